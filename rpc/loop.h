/* SPDX-License-Identifier: Apache-2.0 */
/* The daemons' loop, on libuv: one thread, timers, signals. */
#pragma once

#include "base/clock.h"
#include "base/err.h"

#include <stdint.h>

struct rpc_loop;
struct rpc_timer;
typedef void rpc_on_timer(void *user);
typedef void rpc_on_signal(void *user, int signal_number);

bool rpc_loop_new(struct rpc_loop **ret_loop, struct err *err);
/* Closes what is left (timers, signals) and frees it. Free what uses the loop, such as rpc_ws,
 * before. */
void rpc_loop_free(struct rpc_loop *loop);
OWN_FREEP(rpc_loop, struct rpc_loop)
void rpc_loop_run(struct rpc_loop *loop); /* until rpc_loop_stop() */
void rpc_loop_stop(struct rpc_loop *loop);
void *rpc_loop_native(struct rpc_loop *loop); /* uv_loop_t, for rpc_ws_new() */
/* Not set. */
struct rpc_timer *rpc_timer_new(struct rpc_loop *loop, rpc_on_timer *on_timer, void *user);
void rpc_timer_set(struct rpc_timer *timer, uint64_t at); /* clock_mono_ms(); NEVER_MS: unset */
void rpc_timer_free(struct rpc_timer *timer);
void rpc_loop_on_signal(struct rpc_loop *loop, int signal_number, rpc_on_signal *on_signal,
                        void *user);

/* Does `work` in another thread, then calls `done` on the loop: for what may wait for a disk. `work` touches
 * nothing that the loop's thread may touch meanwhile. rpc_loop_finish_works() turns the loop until none is
 * under way: before what they use is freed. */
void rpc_loop_work(struct rpc_loop *loop, void (*work)(void *user), void (*done)(void *user),
                   void *user);
void rpc_loop_finish_works(struct rpc_loop *loop);

/* Tells after each turn how long its work took, without the sleep before it: microseconds in which
 * nothing else could happen. Once a loop. */
typedef void rpc_on_work(void *user, uint64_t us);
void rpc_loop_on_work(struct rpc_loop *loop, rpc_on_work *on_work, void *user);

/* ---- for rpc/ws*.c --------------------------------------------------------------------------- */

/* Calls `on_turn` in every turn of the loop twice: before it sleeps, and after it has handled
 * what woke it. */
struct rpc_turn;
struct rpc_turn *rpc_turn_new(void *native /* uv_loop_t */, void (*on_turn)(void *user),
                              void *user);
void rpc_turn_free(struct rpc_turn *turn);
void rpc_turn_again(struct rpc_turn *turn); /* the next turn comes without sleeping */
/* Calls whenever `fd` can be read, as long as it can: a listening socket, when somebody connects.
 * `fd` is made non-blocking, stays the caller's, and may be closed once _free() returned. */
struct rpc_readable;
bool rpc_readable_new(void *native, int fd, void (*on_readable)(void *user), void *user,
                      struct rpc_readable **ret_readable, struct err *err);
void rpc_readable_pause(struct rpc_readable *readable);
void rpc_readable_resume(struct rpc_readable *readable);
void rpc_readable_free(struct rpc_readable *readable);
/* Calls `at_end` from rpc_loop_free(), when every handle is closed. `native` is
 * rpc_loop_native()'s. */
void rpc_loop_at_end(void *native, void (*at_end)(void *user), void *user);
