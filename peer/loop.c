/* SPDX-License-Identifier: Apache-2.0 */
/* The only file of libpeer with GLib: a thread with a context of its own. The default context
 * belongs to the application and is never touched. */
#include "peer/loop.h"

#include "base/mem.h"

#include <glib-unix.h>
#include <glib.h>
#include <pthread.h>
#include <signal.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct loop {
    GMainContext *context;
    GMainLoop *main;
    pthread_t thread;
    bool is_started;
    loop_fn *begin, *end;
    void *user;
};

struct loop_timer {
    loop_fn *fn;
    void *user;
    GSource *source;
    int fd;
    uint64_t at; /* what it is set to; saves a system call when nothing changes */
};

struct invoked {
    loop_fn *fn;
    void *user;
};

bool loop_new(struct loop **ret_loop, struct err *err)
{
    struct loop *loop = mem_new(struct loop);

    (void)err;
    loop->context = g_main_context_new();
    loop->main = g_main_loop_new(loop->context, FALSE);
    *ret_loop = loop;
    return true;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    g_main_loop_unref(loop->main);
    g_main_context_unref(loop->context);
    free(loop);
}

void *loop_context(struct loop *loop)
{
    return loop->context;
}

void *loop_native(struct loop *loop)
{
    return loop->main;
}

static void *run(void *user)
{
    struct loop *loop = user;

    g_main_context_push_thread_default(loop->context);
    loop->begin(loop->user);
    g_main_loop_run(loop->main);
    loop->end(loop->user);
    g_main_context_pop_thread_default(loop->context);
    return NULL;
}

bool loop_start(struct loop *loop, loop_fn *begin, loop_fn *end, void *user, struct err *err)
{
    sigset_t all, before;

    loop->begin = begin;
    loop->end = end;
    loop->user = user;
    /* The thread inherits the mask: the application's handlers run in the application's threads,
     * and a write to a dead connection is an error there, not a SIGPIPE. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&loop->thread, NULL, run, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0)
        return err_set(err, ERR_SYSTEM, "starting the library's thread: error %d", failed);
    loop->is_started = true;
    return true;
}

static gboolean run_invoked(gpointer user)
{
    struct invoked *invoked = user;

    invoked->fn(invoked->user);
    return G_SOURCE_REMOVE;
}

void loop_invoke(struct loop *loop, loop_fn *fn, void *user)
{
    struct invoked *invoked = mem_new(struct invoked);
    GSource *source = g_idle_source_new();

    *invoked = (struct invoked){ fn, user };
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, run_invoked, invoked, free);
    g_source_attach(source, loop->context);
    g_source_unref(source);
}

void loop_quit(struct loop *loop)
{
    g_main_loop_quit(loop->main);
}

void loop_join(struct loop *loop)
{
    if (loop->is_started)
        pthread_join(loop->thread, NULL);
    loop->is_started = false;
}

static gboolean on_drain_timer(gpointer user)
{
    (void)user;
    return G_SOURCE_CONTINUE; /* it only makes the loop turn */
}

void loop_drain(struct loop *loop, bool (*is_done)(void), uint64_t ms)
{
    uint64_t until = clock_mono_ms() + ms;
    GSource *timer = g_timeout_source_new(20);

    g_source_set_callback(timer, on_drain_timer, NULL, NULL);
    g_source_attach(timer, loop->context);
    while (g_main_context_iteration(loop->context, FALSE))
        if (clock_mono_ms() >= until)
            break;
    while (!is_done() && clock_mono_ms() < until)
        g_main_context_iteration(loop->context, TRUE);
    g_source_destroy(timer);
    g_source_unref(timer);
}

static gboolean on_timer(gint fd, GIOCondition condition, gpointer user)
{
    struct loop_timer *timer = user;
    uint64_t n_expired;

    (void)condition;
    if (read(fd, &n_expired, sizeof(n_expired)) != sizeof(n_expired))
        return G_SOURCE_CONTINUE; /* set anew meanwhile */
    timer->at = UINT64_MAX;
    timer->fn(timer->user); /* may free the timer: nothing after this */
    return G_SOURCE_CONTINUE;
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_fn *fn, void *user)
{
    struct loop_timer *timer = mem_new(struct loop_timer);

    *timer = (struct loop_timer){ .fn = fn, .user = user, .at = UINT64_MAX };
    timer->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (timer->fd < 0)
        abort(); /* no descriptors are left: nothing below would work either */
    timer->source = g_unix_fd_source_new(timer->fd, G_IO_IN);
    g_source_set_callback(timer->source, G_SOURCE_FUNC(on_timer), timer, NULL);
    g_source_attach(timer->source, loop->context);
    return timer;
}

void loop_timer_free(struct loop_timer *timer)
{
    if (!timer)
        return;
    g_source_destroy(timer->source);
    g_source_unref(timer->source);
    close(timer->fd);
    free(timer);
}

void loop_timer_at(struct loop_timer *timer, uint64_t mono_ns)
{
    struct itimerspec when = { 0 };

    if (timer->at == mono_ns)
        return;
    timer->at = mono_ns;
    if (mono_ns != UINT64_MAX) {
        when.it_value.tv_sec = (time_t)(mono_ns / 1000000000);
        when.it_value.tv_nsec = (long)(mono_ns % 1000000000);
        if (mono_ns == 0)
            when.it_value.tv_nsec = 1; /* zero would unset it */
    }
    timerfd_settime(timer->fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void loop_timer_in(struct loop_timer *timer, uint64_t ms)
{
    loop_timer_at(timer, ms == NEVER_MS ? UINT64_MAX : clock_mono_ns() + ms * 1000000);
}
