/* SPDX-License-Identifier: Apache-2.0 */
/* `warren-den rollover`: a new root, intermediate or key of den's, in steps of one manifest each. The manifest goes into
 * the store, from where a running den takes it within a second; one that is started later takes it then. */
#pragma once

#include "den/change.h"
#include "den/config.h"
#include "den/root.h"
#include "den/store.h"

struct rollover_order {
    const struct den_config *config;
    const char *config_path; /* the file that it is from */
    const char *keys_fd;     /* as keys_ask() takes it */
    const char *
        pin_fd; /* as keys_ask_pin_of() does: of the token where the new intermediate's key is made */
    enum change_step step;
    bool has_what; /* else of switch, retire and back: whatever is under way */
    enum change_what what;
    const char *reason; /* a word of RFC 5280; NULL: none */
    struct view pk;     /* of a router to be added */
    const char *
        router; /* to be removed: the first 8 digits of its key, or more; or the file of its request */
    const char *host;         /* the router's; NULL: none */
    const char *root_key;     /* NULL: in the state folder */
    const char *new_root_key; /* NULL: in the state folder */
    int passphrase_fd, new_passphrase_fd;
    const char *request_path;  /* write what the root is asked for, and end there */
    const char *response_path; /* take what it answered */
    const char *signer_dir;    /* where the signer's keys are; NULL: as the configuration says */
    bool is_anyway;            /* switch and retire, though somebody is not ready for it */
    uint64_t now;
};
/* *ret_text: what was done, and what comes next. */
bool rollover_run(const struct rollover_order *order, struct buf *ret_text, struct err *err);
/* The same for a caller who has the trust set, which moves on, and the store open; under rollover_lock(). */
bool rollover_step(const struct rollover_order *order, struct store *store,
                   struct rpc_trust **trust, struct buf *ret_text, struct err *err);
/* One at a time: BUSY. */
bool rollover_lock(const struct den_config *config, int *ret_fd, struct err *err);

/* The trust set of the folder and what the store has beyond it. */
bool rollover_load_trust(const struct den_config *config, struct store *store,
                         struct rpc_trust **ret_trust, struct err *err);
extern const char rollover_manifests[]; /* the store's blob: a trust set */
extern const char rollover_number[];    /* its number: of the newest manifest */
extern const char
    rollover_router[]; /* the store's number: the newest manifest that the router has */
extern const char
    rollover_router_pk[]; /* the store's blob: the key of the router that den connects to */
extern const char rollover_refused
    []; /* the store's blob: why that router refused a manifest; empty: it did not */
/* The store's number: the newest manifest that the router of that key has, as it said or as its answer brought it. The caller
 * frees the name. */
char *rollover_router_number(struct view pk);
extern const char rollover_resigned_by
    []; /* the store's blob: the den-sign key under all revocations, then their count */

#define ROLLOVER_ALL_RESIGNED UINT64_MAX

enum { ROLLOVER_RECENT_MS = 24 * 3600 * 1000 };
struct rollover_status_order {
    const struct den_config *config;
    const char *config_path;
    bool is_json, lists_unheard;
    uint64_t now;
};
bool rollover_status(const struct rollover_status_order *order, struct buf *ret_text,
                     struct err *err);
