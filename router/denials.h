/* SPDX-License-Identifier: Apache-2.0 */
/* What the router's own table refused in the network's realm, for den's audit: counted by who and what, told den at the first time
 * within a second and then once a minute. What den did not acknowledge is told again. With it goes whom an administrator cut off,
 * or took a registration or subscription from, which den cannot know otherwise either. */
#pragma once

#include "router/conn.h"

enum {
    DENIALS_MAX = 2048,   /* kinds that are counted apart; the others are one */
    DENIALS_PER_ID = 128, /* of one caller; its others are one */
    DENIALS_ACTS = 4096,  /* of what one administrator did; its others are one of a kind */
    DENIALS_AT_ONCE = 64, /* in a call to den */
    DENIALS_EVERY_MS = 60 * 1000,
    DENIALS_SOON_MS = 1000,
    DENIALS_AGAIN_MS = 5 * 1000,         /* den was not there */
    DENIALS_JOIN = POLICY_SUBSCRIBE + 1, /* verbs of their own */
    DENIALS_KICK,
    DENIALS_REMOVE_CALLEE,
    DENIALS_REMOVE_SUBSCRIBER,
    DENIALS_NOT_FOUND = POLICY_NO_CAPABILITY + 1, /* a verdict of its own */
    DENIALS_MAX_KEPT =
        4 * 1024 * 1024,   /* bytes of acts on the disk; what is more is in memory alone */
    DENIALS_MAX_WHY = 240, /* of whom and why together; den takes 255 */
};

struct denials;

struct denials *denials_new(struct router *router);
void denials_free(struct denials *denials); /* before what serves calls */
void denials_note(struct conn *conn, enum policy_verb verb, struct view uri,
                  enum policy_verdict verdict);
/* Somebody did not prove to be who he said. What he said is not known to be true: it counts for where he came from; the reason stands in
 * the URI's place. */
void denials_note_join(struct conn *conn, enum err_code code);
/* `by` ended the session of `whom`, an ID or the number of a session; in the URI's place stand that and, behind a space, why. */
void denials_note_kick(struct conn *by, const char *whom, struct view why);
/* `by` took the registration (`is_callee`) or subscription of `uri` away from `whom`; in the URI's place stand whom, a space, the URI and,
 * behind a space, why. */
void denials_note_removal(struct conn *by, bool is_callee, const char *whom, struct view uri,
                          struct view why);
/* `by` might have ended something by that procedure, and nothing was there: a refusal for that reason. */
void denials_note_nobody(struct conn *by, struct view procedure);
/* What acts were noted is on the disk: before whoever acted is told that it is done. */
void denials_keep(struct denials *denials);
/* What denials_keep() left on the disk, of which den was not told everything. */
void denials_load(struct denials *denials, struct view acts);
/* The router stops: what was not told yet is told now. */
void denials_flush(struct denials *denials);
size_t denials_count(const struct denials *denials);
