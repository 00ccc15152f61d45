/* SPDX-License-Identifier: Apache-2.0 */
/* What one manifest changes against the one before. In each of its lists the first is the one in use: staging
 * appends, switching moves to the front, retiring leaves the first alone. No I/O, no keys: whoever asks for a manifest
 * and whoever signs it compute the same bytes. */
#pragma once

#include "base/clock.h"
#include "rpc/rpc.h"

#define MANIFEST_LIFE_MS     (400 * DAY_MS)
#define MANIFEST_BACKDATE_MS (5 * MINUTE_MS)

enum change_step {
    CHANGE_STAGE,   /* a new one beside the old */
    CHANGE_SWITCH,  /* the new one is used */
    CHANGE_RETIRE,  /* without the old one */
    CHANGE_BACK,    /* the last of stage and switch is undone */
    CHANGE_REPLACE, /* the old one is out at once, and a new one in */
    CHANGE_RENEW,   /* the same lists, for another 400 days */
    CHANGE_ADD_ROUTER,
    CHANGE_REMOVE_ROUTER,
    CHANGE_FOUND, /* a network's first */
    CHANGE_STEPS
};
enum change_what {
    CHANGE_INTERMEDIATE,
    CHANGE_ROOT, /* with an intermediate below it */
    CHANGE_DEN_SIGN,
    CHANGE_DEN_LOGIN,
    CHANGE_WHATS
};
const char *change_step_name(enum change_step step); /* "stage" */
const char *change_what_name(enum change_what what); /* "den-sign" */
bool change_step_find(const char *name, enum change_step *ret_step);
bool change_what_find(const char *name, enum change_what *ret_what);

struct change {
    enum change_step step;
    enum change_what what; /* of the first five steps */
    struct view pk;        /* den's new key, or the router's */
    /* H of the DER of what is new; empty where nothing is */
    struct view root, intermediate;
    uint64_t at; /* the manifest is valid from then, less five minutes */
    /* CHANGE_FOUND alone, with `pk` the router's */
    const char *network;
    struct view login_pk, sign_pk;
};
bool change_needs_root(const struct change *change);         /* a new one */
bool change_needs_intermediate(const struct change *change); /* a new one */
bool change_needs_key(const struct change *change);          /* a new key of den's */

/* A rollover on its way: one at a time. */
enum change_stage { CHANGE_NONE, CHANGE_STAGED, CHANGE_SWITCHED };
struct change_state {
    enum change_stage stage;
    enum change_what what;
    uint64_t staged_no; /* the manifest that listed the new one first */
};
struct change_state change_state_of(const struct rpc_trust *trust);

/* Whether the step makes sense after the newest manifest: ALREADY_EXISTS, NOT_FOUND, LIMIT, INVALID_ARGUMENT, each with
 * what to do instead. `root` and `intermediate` need not be there yet. */
bool change_check(const struct rpc_trust *trust, const struct change *change, struct err *err);
/* The next manifest, after change_check(). Its views borrow from the trust, the change and `previous_to`. `trust`: NULL
 * for the first. */
void change_apply(const struct rpc_trust *trust, const struct change *change,
                  uint8_t previous_to[HASH_SIZE], struct rpc_manifest *ret_next);
