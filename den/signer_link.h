/* SPDX-License-Identifier: Apache-2.0 */
/* The road to a signer in a process of its own: one that den starts and starts again, or one that somebody else runs
 * and that listens on a socket. */
#pragma once

#include "den/signer.h"

struct signer_link;

struct signer_place {
    const char *socket; /* where it listens; NULL or empty: den starts it, on the keys in `dir` */
    const char *dir;
    const char *log_format; /* of the one that is started: "text", "json" */
    /* Of the keys in `dir`, handed to the first one that is started and forgotten: then there is no second one. */
    struct vault_secrets secrets;
};
/* Not started yet: the first question does that. */
struct signer_link *signer_link_new(const struct signer_place *place);
void signer_link_free(struct signer_link *link);
OWN_FREEP(signer_link, struct signer_link)

/* For struct signer_road; `user` is the link. BUSY while it is not there. */
bool signer_link_send(void *link, struct view request, struct err *err);
bool signer_link_receive(void *link, bool waits, struct buf *answer, bool *ret_is_there,
                         struct err *err);
/* It is not there, or it hangs: it is there, and did not answer in time. Nothing is sent to that one, and what was asked
 * before has failed, until it has answered all of that. */
bool signer_link_is_away(const void *link, struct err *ret_why);
/* From now on others are held up by whoever waits for an answer: that is for a second at most, before, and for verbs, for ten. What
 * nobody waits for has a second too, or twice of what an answer took in the last minute, up to ten seconds. */
void signer_link_turn(struct signer_link *link);
/* Readable when answers come, and at its end. -1: not there. It is the link's, which may close it at any call. */
int signer_link_fd(const struct signer_link *link);
/* Rises each time that it was reached anew. */
uint64_t signer_link_generation(void *link);
/* LOCKED: a child whose keys are under a passphrase, which is not kept. */
bool signer_link_may_leave(void *link, struct err *err);
void signer_link_has_left(void *link); /* the next question reaches it anew */
void signer_link_free_any(void *link);

/* Often (each 250 ms): notices when it ended, says so in the log, and starts or reaches it again. Whether it is there. */
bool signer_link_look(struct signer_link *link);
bool signer_link_is_there(const struct signer_link *link);
/* That there will be none any more: its keys were under a passphrase, which only whoever starts den has. */
bool signer_link_is_over(const struct signer_link *link, struct err *ret_why);
