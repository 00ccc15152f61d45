/* SPDX-License-Identifier: Apache-2.0 */
/* A peer that has its ID and is connected, without a network: what it calls is caught (rpc_client_call is wrapped), and a
 * test answers in den's place, with statements that it bends before it signs them. */
#pragma once

#include "base/file.h"
#include "peer/core.h"
#include "tests/unit/peer/session_world.h"

struct core_world {
    struct world w;
    struct hub hub;
    struct core *core; /* WORLD_A, with a key of its own: `w.a` */
    char *dir;
};

void core_world_init(struct core_world *s, const char *name);
void core_world_deinit(struct core_world *s);
#define CORE_WORLD(s, name)                                                                        \
    _cleanup_(core_world_deinit) struct core_world s = { 0 };                                      \
    core_world_init(&s, name)

/* The last call; `is_open` until it was answered. */
struct caught {
    char procedure[64];
    struct buf args;
    rpc_on_outcome *on_outcome;
    void *user;
    bool is_open;
    unsigned n; /* so many so far */
};
extern struct caught caught;

/* Answers it: with these args, which are freed; or with an error. */
void core_world_answer(struct buf *args);
void core_world_answer_signed(struct view statement, const uint8_t sig[SIG_SIZE]);
void core_world_refuse(enum err_code code);
void core_world_progress(void);
/* The body of the request that was caught; it is signed by this machine, for that procedure, or the test has failed. */
struct view core_world_body(const struct core_world *s);

/* The next event's error as text, "" for one without; NULL: there is none of that type. Valid until the next one. */
const char *core_world_event(struct core_world *s, enum peer_event_type type);
const struct hub_event *core_world_last(void);

uint64_t __wrap_clock_wall_ms(void);
uint64_t __wrap_rpc_client_call(struct rpc_client *client, uint64_t now, const char *procedure,
                                struct view args, uint64_t timeout, bool wants_progress,
                                rpc_on_outcome *on_outcome, void *user);
