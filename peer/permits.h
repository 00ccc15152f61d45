/* SPDX-License-Identifier: Apache-2.0 */
/* What den signed for when it is away (rpc/PROTOCOL.md, permit): kept in the state folder, the newest for each pair. The key of one is made
 * from the two identity keys and its number: both ends have it, nobody else, and it is never sent. */
#pragma once

#include "base/box.h"
#include "peer/state.h"
#include "rpc/rpc.h"

enum { PERMITS_MAX = 64, PERMITS_MAX_BYTES = 2048 };

struct core;
struct session;

struct permit {
    struct buf bytes;
    uint8_t sig[SIG_SIZE];
    struct rpc_permit p; /* borrows from `bytes` */
    bool is_caller;      /* this end dials */
    char other[16];      /* the other end's ID */
    uint8_t key[BOX_KEY];
};

struct permits {
    struct permit *item[PERMITS_MAX];
    size_t n;
};

bool permits_load(struct core *core, struct err *err); /* those that are over are left out */
void permits_free(struct permits *permits);
/* The link stands, so both ends agreed: what came with its session is kept. */
void permits_keep(struct session *session);
/* [P, signature] or nil, as den hands it out. */
void permits_take(struct session *session, struct view value);
/* Whether it holds now: in time, by a key of den's that is in force, the other end not revoked, den's newest heartbeat not too old. EXPIRED, STALE, REVOKED, ... */
bool permit_holds(const struct core *core, const struct permit *permit, struct err *err);
struct permit *permits_find(const struct core *core, const char *other,
                            bool is_caller); /* NULL: none */
bool permits_any(const struct core *core);   /* one of them holds */
