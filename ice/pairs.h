/* SPDX-License-Identifier: Apache-2.0 */
/* Every pair of addresses of two machines, tried now, with its round trip: sockets of its own, beside the session's ICE, which says
 * of its pairs only which one won. Both ends ping every address of the other one at the same time, as ICE does, and answer whatever
 * has the key's mark; what comes from an unknown address is a pair of its own (peer-reflexive). A datagram is 32 bytes:
 *
 *     "wp" | kind u8 (1, 2 the asking end's ping and answer; 3, 4 the other's) | 0 | nonce 12 | HMAC-SHA-256 of these, its first 16 */
#pragma once

#include "ice/ice.h"

enum { ICE_PAIRS_LOCAL = 8, ICE_PAIRS_REMOTE = 8, ICE_PAIRS_MAX = 64, ICE_PAIRS_KEY = 16 };

struct ice_pairs_config {
    void *context; /* GMainContext */
    bool is_asking;
    bool allow_loopback;
    const char *stun; /* an IP address; NULL or "": none */
    uint16_t stun_port;
    uint8_t key[ICE_PAIRS_KEY];
    /* This end's addresses are known: ice_pairs_local(). Once. */
    void (*on_gathered)(void *user);
    void (*on_done)(void *user); /* all were tried: ice_pairs_result() */
    void *user;
};

struct ice_pair {
    char local[64], remote[64]; /* "192.0.2.1:40000" */
    enum ice_kind local_kind, remote_kind;
    bool has_answered, was_heard; /* the other end answered; its pings came */
    uint64_t rtt_us;              /* of the fastest answer */
};

struct ice_pairs;
/* NULL: no socket could be had. */
struct ice_pairs *ice_pairs_new(const struct ice_pairs_config *config);
void ice_pairs_free(struct ice_pairs *pairs); /* NULL is fine; also from its own callbacks */
/* "host 192.0.2.1:40000", "srflx 198.51.100.1:5000"; false: no more. */
bool ice_pairs_local(const struct ice_pairs *pairs, size_t i, char to[80]);
/* One of the other end's, as above; false: it is not usable, or there are too many. */
bool ice_pairs_add_remote(struct ice_pairs *pairs, struct view text);
void ice_pairs_start(struct ice_pairs *pairs); /* all of them were added */
bool ice_pairs_result(const struct ice_pairs *pairs, size_t i, struct ice_pair *ret);
