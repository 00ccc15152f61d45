/* SPDX-License-Identifier: Apache-2.0 */
/* What administrators do, as one table: a procedure of the network, of the socket in den's folder, and what the verbs of
 * warren-den stand on. An act reads the store or changes it in one transaction with its audit entry. No I/O but the
 * store's; what more it takes comes through struct admin_place. */
#pragma once

#include "den/admin_put.h"
#include "den/deed.h"
#include "rpc/rpc.h"

/* What lies around the store. */
struct admin_place {
    const char *join_host; /* HOST:PORT, as join strings name the router */
    /* Lets the signer take `token_pk` for a new key of `id`. NULL: the signer has a folder of its own, which is told
     * by hand. */
    bool (*order_key)(void *user, const char *id, struct view token_pk, uint64_t until,
                      struct err *err);
    /* Takes that back. NULL with the other. */
    bool (*end_order)(void *user, struct view token_pk, struct err *err);
    /* The policy's file, whole. NULL: it is not changed from here. */
    bool (*read_policy)(void *user, struct buf *ret_text, struct err *err);
    bool (*keep_policy)(void *user, struct view text, struct err *err);
    void (*put_facts)(void *user,
                      struct admin_object *to); /* of the machine, for the status; or NULL */
    void *user;
};

/* A den at work. */
struct admin_den {
    bool (*close)(void *user, struct view sid, const struct deed *deed, struct view reason,
                  struct err *err);
    void (*put_status)(void *user, struct admin_object *to);
    bool (*load_policy)(void *user, struct view body, const struct deed *deed,
                        struct admin_object *to, struct err *err);
    void *user;
};

struct admin {
    struct store *store;
    const struct rpc_trust *trust;   /* NULL: what needs it is refused */
    const struct admin_place *place; /* likewise */
    const struct admin_den *den;     /* NULL: none is at work, or not here */
    bool is_local; /* asked by an account of this machine: it may be given secrets */
    struct deed deed;
    struct view body; /* a map of msgpack, walked */
};
typedef bool admin_act(const struct admin *a, struct buf *to /* one value */, struct err *err);

enum { ADMIN_READS, ADMIN_CHANGES, ADMIN_MAX_BODY = 8192, ADMIN_MAX_POLICY = 768 * 1024 };
struct admin_row {
    const char *procedure; /* "den.peer.list" */
    const char *keys;      /* of the body, with spaces between */
    int kind;
    admin_act *act;
    size_t max_body; /* 0: ADMIN_MAX_BODY */
};
const struct admin_row *admin_row(size_t i); /* NULL after the last */
const struct admin_row *admin_find(const char *procedure);
/* INVALID_ARGUMENT for a key that is not among `keys`, which have spaces between them. */
bool admin_check_keys(const char *procedure, const char *keys, struct view body, struct err *err);
/* Checks the body's keys, and acts. */
bool admin_run(const struct admin_row *row, const struct admin *a, struct buf *to, struct err *err);

/* ---- for the acts -------------------------------------------------------------------------------- */

enum { ADMIN_WORD = 512, ADMIN_PAGE = 100, ADMIN_MAX_PAGE = 1000, ADMIN_MAX_BYTES = 256 * 1024 };

/* Text, or a number as text; *ret stays NULL where there is none. */
bool admin_word(const struct admin *a, const char *key, char to[ADMIN_WORD], const char **ret,
                struct err *err);
/* The same, refused where it is missing. */
bool admin_need(const struct admin *a, const char *key, char to[ADMIN_WORD], struct err *err);

/* A list in parts: {items: [...], next: where the next part begins, as text, or nil}. */
struct admin_page {
    const struct admin *a;
    struct buf items, one; /* `one`: the next item, being written */
    uint32_t n;
    uint64_t limit;
    bool is_more;
    char after[160], next[160]; /* where it begins; the place of the newest item */
};
bool admin_page_begin(const struct admin *a, struct admin_page *page, struct err *err);
/* Takes `one`, which is found again at `place`. False: the page is full, and did not take it. */
bool admin_page_take(struct admin_page *page, const char *place);
void admin_page_end(struct admin_page *page, struct buf *to); /* frees it */
void admin_page_deinit(struct admin_page *page);

admin_act admin_peer_list, admin_name_list, admin_token_list, admin_waiting_list, admin_cert_list,
    admin_session_list, admin_audit_list; /* admin_list.c */
admin_act admin_peer_get, admin_peer_groups, admin_peer_remove, admin_peer_re_enrol,
    admin_name_assign, admin_name_free, admin_token_add, admin_token_revoke, admin_approve,
    admin_deny, admin_cert_show, admin_revoke, admin_session_close, admin_policy_show,
    admin_policy_load, admin_router_list, admin_rollover_status, admin_audit_head,
    admin_audit_verify, admin_status; /* admin_act.c */
