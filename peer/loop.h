/* SPDX-License-Identifier: Apache-2.0 */
/* The library's own thread with its loop. Everything that talks to the network happens there; the
 * application's threads hand it errands with loop_invoke(). Only loop.c knows GLib. */
#pragma once

#include "base/clock.h"
#include "base/err.h"

struct loop;
struct loop_timer;
typedef void loop_fn(void *user);

bool loop_new(struct loop **ret_loop, struct err *err); /* SYSTEM: no descriptors are left */
/* Whether some are left for what must go on: files, the connection to the router, the application. What can be refused is refused
 * when they are not. */
enum { LOOP_SPARE_DESCRIPTORS = 32 };
bool loop_has_descriptors(void);
void loop_free(struct loop *loop); /* after loop_join(), or when it was never started */
OWN_FREEP(loop, struct loop)
void *loop_context(struct loop *loop); /* GMainContext: for ice */
void *loop_native(struct loop *loop);  /* GMainLoop: for rpc_ws */

/* Starts the thread: `begin` runs first on it, `end` last, once loop_quit() was called. All signals are blocked there. */
bool loop_start(struct loop *loop, loop_fn *begin, loop_fn *end, void *user, struct err *err);
void loop_invoke(struct loop *loop, loop_fn *fn,
                 void *user); /* from any thread; errands run in order */
/* For another thread, in place of an errand: true when the thread waits, and does so until loop_leave(). What is not safe elsewhere than on the
 * thread (libwebsockets) is not to be called in between. */
bool loop_try_enter(struct loop *loop);
void loop_leave(struct loop *loop);
void loop_quit(struct loop *loop); /* from its own thread */
void loop_join(struct loop *loop);
/* Runs what waits until `is_done`, or for `ms`: the last words of `end`. */
void loop_drain(struct loop *loop, bool (*is_done)(void *user), void *user, uint64_t ms);

/* A descriptor that the loop looks at; the thread's own. It stays its owner's: free the watch before it is closed. */
struct loop_watch;
struct loop_watch *loop_watch_new(struct loop *loop, int fd, loop_fn *fn, void *user);
void loop_watch_free(struct loop_watch *watch); /* also from its own callback; NULL is fine */
/* `fn` runs while any of these is so. */
enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_GONE = 4 /* the other end was closed */ };
void loop_watch_set(struct loop_watch *watch, unsigned wanted);

/* Timers with the grain of the kernel's, for the link's pacing. They need no descriptor each, so that a new one never fails. The
 * thread's own. */
struct loop_timer *loop_timer_new(struct loop *loop, loop_fn *fn, void *user);
void loop_timer_free(struct loop_timer *timer); /* also from its own callback; NULL is fine */
void loop_timer_at(struct loop_timer *timer,
                   uint64_t mono_ns);                      /* clock_mono_ns(); UINT64_MAX: unset */
void loop_timer_in(struct loop_timer *timer, uint64_t ms); /* from now; NEVER_MS: unset */
