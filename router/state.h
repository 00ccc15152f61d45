/* SPDX-License-Identifier: Apache-2.0 */
/* The router's folder: its keys, and what it knows of its network. Everything is checked when it
 * is read. */
#pragma once

#include "pki/pki.h"
#include "router/netkeys.h"
#include "rpc/rpc.h"

#define STATE_CONF        "router.conf"
#define STATE_KEY         "router.key"  /* Ed25519: netsign */
#define STATE_TLS_KEY     "tls.key"     /* P-256, PKCS#8 PEM */
#define STATE_CHAIN       "tls.pem"     /* leaf, then intermediate */
#define STATE_TRUST       "trust"       /* rpc_trust_save() */
#define STATE_REVOCATIONS "revocations" /* rpc_revoked_load() */
#define STATE_NETKEYS     "netkeys"     /* netkeys_load() */
#define STATE_ACTS        "acts"        /* denials_load() */
#define STATE_REQUEST     "router.request"
#define STATE_LOCK        "lock"

struct state {
    struct key *key;
    struct buf tls_key; /* PKCS#8 DER; wiped */
    uint8_t tls_spki[HASH_SIZE];
    struct rpc_trust *trust;
    struct rpc_revoked *revoked;
    struct buf chain[PKI_MAX_CHAIN];
    size_t n_chain;
    uint64_t not_after;   /* of the certificate; 0: it has expired */
    uint8_t pk[KEY_SIZE]; /* of `key` */
    /* To be set before it is loaded: the passphrase of the two keys, borrowed. And whether they are there already, `pk` and
     * `tls_spki` filled in: then those that are sealed are not opened again. */
    struct view passphrase;
    bool has_keys;
};
void state_deinit(struct state *state);
/* EXPOSED, NOT_FOUND (and what to run first), UNLISTED_KEY, BAD_CERTIFICATE ... An expired
 * certificate alone does not keep the router from starting: the log says so. `now`: the wall
 * clock. */
bool state_load(const char *dir, uint64_t now, struct state *ret_state, struct err *err);
/* The same, and nothing is written; all that is wrong, a line each, goes to *ret_all, the first of
 * them to err. *ret_state has what could be read (its trust, or NULL) in any case. */
bool state_check(const char *dir, uint64_t now, struct state *ret_state, struct buf *ret_all,
                 struct err *err);
bool state_load_trust(const char *dir, struct rpc_trust **ret_trust, struct err *err);
bool state_save_trust(const char *dir, struct view bytes, struct err *err);
bool state_read_revocations(const char *dir, struct buf *ret_file, struct err *err);
bool state_keep_revocations(const char *dir, struct view records, struct err *err);
/* Keys that came by netsign; none when there is no such file. */
bool state_read_netkeys(const char *dir, struct netkeys **ret_keys, struct err *err);
/* The same for who will add to them: the file is there then, and whole. */
bool state_open_netkeys(const char *dir, struct netkeys **ret_keys, struct err *err);
bool state_keep_netkeys(const char *dir, struct view records, struct err *err);
/* Empty when there are none. */
bool state_read_acts(const char *dir, struct buf *ret_file, struct err *err);
/* struct router_outside's keep_acts() */
bool state_keep_acts(const char *dir, struct view records, bool is_all, struct err *err);
bool state_save_chain(const char *dir, const struct view *chain, size_t n, struct err *err);
/* Whether one of the two keys is kept under a passphrase; false too where they cannot be read. */
bool state_is_sealed(const char *dir);
/* base/secret.h's secret_change() of both. */
bool state_change_passphrase(const char *dir, struct view old, struct view next, struct err *err);
/* Room for PKI_MAX_CHAIN */
size_t state_chain_views(const struct state *state, struct view *chain);

/* The verbs `init` and `accept`. */
bool state_init(const char *dir, const char *host, const char *listen, struct err *err);
bool state_accept(const char *dir, const char *answer_path, uint64_t now, struct err *err);
