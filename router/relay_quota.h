/* SPDX-License-Identifier: Apache-2.0 */
/* What relaying comes to: bytes in all and a second, of each session and of each peer in all its
 * sessions. An account outlives its connections, so that whoever comes again does not begin anew. No
 * I/O. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "base/text.h"

enum relay_charge {
    RELAY_MAY,
    RELAY_OVER_SESSION_BYTES, /* it is over with the session ... */
    RELAY_OVER_PEER_BYTES,    /* ... or with the peer, until its 24 hours have passed */
    RELAY_OVER_SESSION_RATE,  /* this datagram is too much */
    RELAY_OVER_PEER_RATE,
};

struct relay_limits { /* bytes; 0: any number */
    uint64_t session_bytes, session_rate, peer_bytes, peer_rate;
};

struct relay_account {
    struct list node; /* in idle, while nobody uses it */
    uint8_t key[TEXT_ID];
    size_t key_len;
    size_t n_users;
    uint64_t bytes, since; /* clock_mono_ms() */
    uint64_t room, room_at;
};

struct relay_accounts {
    struct map *by_key;
    struct list idle; /* the first was left first */
    uint64_t period;  /* after so long `bytes` begin anew; NEVER_MS: they do not */
    size_t max;       /* accounts nobody uses are forgotten beyond that */
};
void relay_accounts_init(struct relay_accounts *accounts, uint64_t period, size_t max);
void relay_accounts_deinit(struct relay_accounts *accounts);
/* The key's, at most TEXT_ID bytes; relay_account_leave() for each. */
struct relay_account *relay_account_use(struct relay_accounts *accounts, struct view key,
                                        uint64_t now);
void relay_account_leave(struct relay_accounts *accounts, struct relay_account *account);
/* Whether its bytes are used up already. */
bool relay_account_is_over(const struct relay_accounts *accounts, struct relay_account *account,
                           uint64_t max_bytes, uint64_t now);

/* Takes `len` bytes of both, or of neither. */
enum relay_charge relay_charge(const struct relay_limits *limits, struct relay_account *session,
                               struct relay_account *peer, size_t len, uint64_t now);
