/* SPDX-License-Identifier: Apache-2.0 */
/* The realms that a router serves, as realms.conf(5) has them: how to authenticate, who may come
 * in as whom, and by which rules. */
#pragma once

#include "base/conf.h"
#include "base/key.h"
#include "base/map.h"

enum { REALMS_MAX = 64, REALM_NAME = 200, REALM_ROLE = 32, REALM_AUTHID = 64 };
enum { REALM_MAX_KEYS = 8, REALM_MAX_META = 8, REALM_MAX_PRINCIPALS = 65536 };
enum { REALM_MAX_OPEN = 32, REALM_OPEN = 128 };

enum realm_profile { REALM_WARREN, REALM_STANDARD };
enum realm_disclosure { REALM_ALWAYS, REALM_ON_REQUEST, REALM_NEVER };
/* Ways to prove who one is. */
enum realm_method {
    REALM_NETSIGN,
    REALM_CRYPTOSIGN,
    REALM_WAMPCRA,
    REALM_TICKET,
    REALM_ANONYMOUS,
    REALM_METHODS
};
const char *realm_method_name(enum realm_method method); /* "netsign" */

/* Somebody who may come in with a secret or a key that the operator wrote down. */
struct principal {
    char authid[REALM_AUTHID], role[REALM_ROLE];
    struct buf ticket; /* empty: not by ticket */
    struct buf secret; /* wampcra: the HMAC key; empty: not by wampcra */
    char *salt;        /* NULL: the secret is used as it is */
    uint64_t iterations, keylen;
    uint8_t keys[REALM_MAX_KEYS][KEY_SIZE]; /* cryptosign */
    size_t n_keys;
};

struct realm_config {
    char name[REALM_NAME + 1];
    enum realm_profile profile;
    enum realm_disclosure disclosure;
    bool has_method[REALM_METHODS];
    char anonymous_role[REALM_ROLE];
    char meta[REALM_MAX_META][REALM_ROLE]; /* the roles that may use the meta API */
    size_t n_meta;
    char open[REALM_MAX_OPEN][REALM_OPEN]; /* names that belong to no owner: who first registers */
    size_t n_open;
    struct key *key; /* proves the router in cryptosign; NULL: it does not */
    /* What who is unknown is told for wampcra */
    bool is_salted;
    uint64_t iterations, keylen;
    uint8_t fake_salts[HASH_SIZE];
    struct map *principals; /* struct principal, by authid */
    struct map *by_key;     /* the same, by each key of cryptosign */
};

struct realms {
    struct realm_config *item[REALMS_MAX]; /* [0]: the network's own */
    size_t n;
};

/* The network's realm alone, with its defaults. */
struct realms *realms_new(const char *network);
/* Reads realms.conf, and the files of principals and keys that it names. BAD_CONFIG, EXPOSED;
 * *ret_all (may be NULL) gets a line per error. */
bool realms_read(const char *path, const char *network, struct realms **ret_realms,
                 struct buf *ret_all, struct err *err);
/* The same, and a router_key that is not there is not made. */
bool realms_check(const char *path, const char *network, struct realms **ret_realms,
                  struct buf *ret_all, struct err *err);
void realms_free(struct realms *realms);
struct realm_config *realms_find(const struct realms *realms, const char *name); /* or NULL */
OWN_FREEP(realms, struct realms)
/* Whether a key may come in by cryptosign somewhere: then it may not by netsign. */
bool realms_has_key(const struct realms *realms, struct view public_key);
