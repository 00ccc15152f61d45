/* SPDX-License-Identifier: Apache-2.0 */
/* A client that talks with the fake router, without a socket between them. */
#pragma once

#include "tests/unit/rpc/fake_router.h"

enum { TALK_START = 5000000 }; /* ms, the monotonic clock at talk_init() */

/* A client and its router, joined by two queues. */
struct talk {
    struct fake_router router;
    struct key *key;
    struct rpc_trust *trust;
    struct rpc_client *client;
    uint64_t now;
    struct buf to_client[64];
    size_t n_to_client, n_taken;
    unsigned n_up, n_down, n_trust, n_refused, n_admitted;
    struct err down;
    bool forbids_admission;
    uint64_t interrupted;
};

void talk_init(struct talk *t, bool is_den);
void talk_deinit(struct talk *t);
#define _talk_ _cleanup_(talk_deinit) struct talk

void talk_pump(struct talk *t); /* until both have nothing more to say */
void talk_open(struct talk *t);

/* What the router saw: how many of `type`, and the index of the last of all. */
size_t talk_count(const struct talk *t, enum rpc_type type);
size_t talk_last(const struct talk *t);

struct view talk_numbers(struct buf *to, uint64_t n); /* the arguments [n], in `to` */
