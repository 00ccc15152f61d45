/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/loop.h"

#include "base/mem.h"
#include "tests/check.h"

#include <pthread.h>

#include <signal.h>
#include <unistd.h>

struct seen {
    struct rpc_loop *loop;
    struct rpc_timer *timer;
    unsigned n_ticks, n_signals, n_turns, n_ends;
    uint64_t at;
};

static void stop(void *user)
{
    struct seen *seen = user;

    seen->n_ticks++;
    seen->at = clock_mono_ms();
    rpc_loop_stop(seen->loop);
}

static void count_tick(void *user)
{
    ((struct seen *)user)->n_ticks += 100;
}

static void on_signal(void *user, int number)
{
    struct seen *seen = user;

    CHECK_U64(number, SIGUSR1);
    seen->n_signals++;
    rpc_loop_stop(seen->loop);
}

static void on_turn(void *user)
{
    ((struct seen *)user)->n_turns++;
}

static void on_end(void *user)
{
    ((struct seen *)user)->n_ends++;
}

TEST(a_timer_is_never_early)
{
    struct seen seen = { 0 };
    uint64_t start = clock_mono_ms();
    struct err err;

    CHECK_OK(rpc_loop_new(&seen.loop, &err), err);
    for (uint64_t i = 0; i < 5; i++) {
        seen.timer = rpc_timer_new(seen.loop, stop, &seen);
        rpc_timer_set(seen.timer, start + 7 * i);
        rpc_loop_run(seen.loop);
        CHECK_U64(seen.n_ticks, i + 1);
        CHECK(seen.at >= start + 7 * i);
        rpc_timer_free(seen.timer);
    }
    rpc_loop_free(seen.loop);
}

static void tick_again(void *user)
{
    struct seen *seen = user;

    seen->n_ticks++;
    rpc_timer_set(seen->timer, seen->at); /* long past */
}

/* A router did that once, with the time of the turn before, and answered nobody any more. */
TEST(a_timer_that_is_always_due_keeps_nothing_else_out)
{
    struct seen seen = { .at = 1 };
    struct err err;

    CHECK_OK(rpc_loop_new(&seen.loop, &err), err);
    rpc_loop_on_signal(seen.loop, SIGUSR1, on_signal, &seen);
    seen.timer = rpc_timer_new(seen.loop, tick_again, &seen);
    rpc_timer_set(seen.timer, seen.at);
    kill(getpid(), SIGUSR1);
    alarm(60); /* instead of a run without end */
    rpc_loop_run(seen.loop);
    alarm(0);
    CHECK_U64(seen.n_signals, 1);
    CHECK(seen.n_ticks > 0);
    rpc_timer_free(seen.timer);
    rpc_loop_free(seen.loop);
}

TEST(a_timer_can_be_moved_unset_and_freed)
{
    struct seen seen = { 0 };
    struct rpc_timer *unset, *freed;
    uint64_t start = clock_mono_ms();
    struct err err;

    CHECK_OK(rpc_loop_new(&seen.loop, &err), err);
    unset = rpc_timer_new(seen.loop, count_tick, &seen);
    freed = rpc_timer_new(seen.loop, count_tick, &seen);
    seen.timer = rpc_timer_new(seen.loop, stop, &seen);
    rpc_timer_set(unset, start);
    rpc_timer_set(unset, NEVER_MS);
    rpc_timer_set(freed, start);
    rpc_timer_free(freed);
    rpc_timer_set(seen.timer, start + 60000);
    rpc_timer_set(seen.timer, start + 5);
    rpc_loop_run(seen.loop);
    CHECK_U64(seen.n_ticks, 1);
    rpc_loop_free(seen.loop); /* with two timers left */
}

TEST(signals_come_through_the_loop)
{
    struct seen seen = { 0 };
    struct err err;

    CHECK_OK(rpc_loop_new(&seen.loop, &err), err);
    rpc_loop_on_signal(seen.loop, SIGUSR1, on_signal, &seen);
    kill(getpid(), SIGUSR1);
    rpc_loop_run(seen.loop);
    CHECK_U64(seen.n_signals, 1);
    rpc_loop_free(seen.loop);
}

TEST(turns_are_told_and_the_end_comes_last)
{
    struct seen seen = { 0 };
    struct rpc_turn *turn;
    struct err err;

    CHECK_OK(rpc_loop_new(&seen.loop, &err), err);
    turn = rpc_turn_new(rpc_loop_native(seen.loop), on_turn, &seen);
    rpc_loop_at_end(rpc_loop_native(seen.loop), on_end, &seen);
    seen.timer = rpc_timer_new(seen.loop, stop, &seen);
    rpc_timer_set(seen.timer, clock_mono_ms() + 2);
    rpc_loop_run(seen.loop);
    CHECK(seen.n_turns >= 2);
    rpc_turn_free(turn);
    CHECK_U64(seen.n_ends, 0);
    rpc_loop_free(seen.loop);
    CHECK_U64(seen.n_ends, 1);
}

struct job {
    struct rpc_loop *loop;
    pthread_t thread;
    unsigned n_done;
    bool is_elsewhere;
};

static void work(void *user)
{
    struct job *job = user;

    job->is_elsewhere = !pthread_equal(job->thread, pthread_self());
}

static void done(void *user)
{
    struct job *job = user;

    CHECK(pthread_equal(job->thread, pthread_self()));
    if (++job->n_done == 1)
        rpc_loop_work(job->loop, work, done, job); /* from inside too */
}

TEST(work_is_done_elsewhere_and_told_here)
{
    _cleanup_(rpc_loop_freep) struct rpc_loop *loop = NULL;
    struct job job = { .thread = pthread_self() };
    struct err err;

    CHECK_OK(rpc_loop_new(&loop, &err), err);
    job.loop = loop;
    rpc_loop_work(loop, work, done, &job);
    CHECK_U64(job.n_done, 0);
    rpc_loop_finish_works(loop);
    CHECK_U64(job.n_done, 2);
    CHECK(job.is_elsewhere);
}
