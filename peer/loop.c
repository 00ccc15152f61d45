/* SPDX-License-Identifier: Apache-2.0 */
/* The only file of libpeer with GLib: a thread with a context of its own. The default context
 * belongs to the application and is never touched. */
#include "peer/loop.h"

#include "base/list.h"
#include "base/mem.h"
#include "base/thread.h"

#include <glib-unix.h>
#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct loop {
    GMainContext *context;
    GMainLoop *main;
    pthread_t thread;
    bool is_started;
    pthread_mutex_t lock; /* the thread has it while it does not wait */
    atomic_bool is_back;  /* it wants it again: nobody else enters before */
    loop_fn *begin, *end;
    void *user;

    GSource *clock; /* one timerfd for all timers: descriptors are the scarcest of what we use */
    int fd;
    uint64_t set_to;        /* what it is set to; saves a system call when nothing changes */
    struct list timers;     /* those that are set, the earliest first */
    bool is_running_timers; /* the clock is set once, after them */
    uint64_t round_at;      /* the time that they are run for */
};

struct loop_timer {
    struct list node;
    struct loop *loop;
    loop_fn *fn;
    void *user;
    uint64_t at; /* UINT64_MAX: not set */
};

struct invoked {
    loop_fn *fn;
    void *user;
    atomic_bool is_given; /* GLib's lock orders all this, but ThreadSanitizer does not see it */
};

static gboolean on_clock(gint fd, GIOCondition condition, gpointer user);

/* GLib ends the process when a context gets no descriptor of its own, so we ask first. */
static bool has_descriptor(struct err *err)
{
    int fd = eventfd(0, EFD_CLOEXEC);

    if (fd < 0)
        return err_errno(err, "starting the library");
    close(fd);
    return true;
}

/* ---- others, while the thread waits ---- */

static _Thread_local struct loop *running; /* by this thread */

static gint wait_apart(GPollFD *fds, guint n, gint timeout)
{
    struct loop *loop = running;
    gint rc;

    if (!loop || timeout == 0)
        return g_poll(fds, n, timeout);
    pthread_mutex_unlock(&loop->lock);
    rc = g_poll(fds, n, timeout);
    atomic_store(&loop->is_back, true);
    pthread_mutex_lock(&loop->lock);
    atomic_store(&loop->is_back, false);
    return rc;
}

bool loop_try_enter(struct loop *loop)
{
    return !atomic_load(&loop->is_back) && pthread_mutex_trylock(&loop->lock) == 0;
}

void loop_leave(struct loop *loop)
{
    pthread_mutex_unlock(&loop->lock);
}

/* ---- life ---- */

bool loop_new(struct loop **ret_loop, struct err *err)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

    if (fd < 0)
        return err_errno(err, "starting the library");
    if (!has_descriptor(err)) {
        close(fd);
        return false;
    }

    struct loop *loop = mem_new(struct loop);
    pthread_mutex_init(&loop->lock, NULL);
    loop->context = g_main_context_new();
    g_main_context_set_poll_func(loop->context, wait_apart);
    loop->main = g_main_loop_new(loop->context, FALSE);
    loop->fd = fd;
    loop->set_to = UINT64_MAX;
    list_init(&loop->timers);
    loop->clock = g_unix_fd_source_new(fd, G_IO_IN);
    g_source_set_can_recurse(loop->clock, TRUE); /* nothing does, and GLib wakes itself up less */
    g_source_set_callback(loop->clock, G_SOURCE_FUNC(on_clock), loop, NULL);
    g_source_attach(loop->clock, loop->context);
    *ret_loop = loop;
    return true;
}

bool loop_has_descriptors(void)
{
    int fds[LOOP_SPARE_DESCRIPTORS];
    size_t n = 0;

    while (n < N_ELEMENTS(fds) && (fds[n] = eventfd(0, EFD_CLOEXEC)) >= 0)
        n++;
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
    return n == N_ELEMENTS(fds);
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    g_source_destroy(loop->clock);
    g_source_unref(loop->clock);
    close(loop->fd);
    g_main_loop_unref(loop->main);
    g_main_context_unref(loop->context);
    pthread_mutex_destroy(&loop->lock);
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

    running = loop;
    pthread_mutex_lock(&loop->lock);
    g_main_context_push_thread_default(loop->context);
    loop->begin(loop->user);
    g_main_loop_run(loop->main);
    loop->end(loop->user);
    g_main_context_pop_thread_default(loop->context);
    pthread_mutex_unlock(&loop->lock);
    return NULL;
}

bool loop_start(struct loop *loop, loop_fn *begin, loop_fn *end, void *user, struct err *err)
{
    int failed;

    loop->begin = begin;
    loop->end = end;
    loop->user = user;
    failed = thread_start(run, loop, &loop->thread);
    if (failed != 0)
        return err_set(err, ERR_SYSTEM, "starting the library's thread: error %d", failed);
    loop->is_started = true;
    return true;
}

static gboolean run_invoked(gpointer user)
{
    struct invoked *invoked = user;

    if (atomic_load_explicit(&invoked->is_given, memory_order_acquire))
        invoked->fn(invoked->user);
    return G_SOURCE_REMOVE;
}

void loop_invoke(struct loop *loop, loop_fn *fn, void *user)
{
    struct invoked *invoked = mem_new(struct invoked);
    GSource *source = g_idle_source_new();

    invoked->fn = fn;
    invoked->user = user;
    atomic_store_explicit(&invoked->is_given, true, memory_order_release);
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

void loop_drain(struct loop *loop, bool (*is_done)(void *user), void *user, uint64_t ms)
{
    uint64_t until = clock_mono_ms() + ms;
    GSource *timer = g_timeout_source_new(20);

    g_source_set_callback(timer, on_drain_timer, NULL, NULL);
    g_source_attach(timer, loop->context);
    while (g_main_context_iteration(loop->context, FALSE))
        if (clock_mono_ms() >= until)
            break;
    while (!is_done(user) && clock_mono_ms() < until)
        g_main_context_iteration(loop->context, TRUE);
    g_source_destroy(timer);
    g_source_unref(timer);
}

/* ---- descriptors -------------------------------------------------------------------------------- */

struct loop_watch {
    GSource *source; /* NULL: nothing is waited for */
    struct loop *loop;
    int fd;
    loop_fn *fn;
    void *user;
    unsigned wanted;
};

static gboolean on_watched(gint fd, GIOCondition condition, gpointer user)
{
    struct loop_watch *watch = user;

    (void)fd, (void)condition;
    watch->fn(watch->user); /* may free the watch */
    return G_SOURCE_CONTINUE;
}

struct loop_watch *loop_watch_new(struct loop *loop, int fd, loop_fn *fn, void *user)
{
    struct loop_watch *watch = mem_new(struct loop_watch);

    *watch = (struct loop_watch){ .loop = loop, .fd = fd, .fn = fn, .user = user };
    return watch;
}

static void stop_watching(struct loop_watch *watch)
{
    if (watch->source) {
        g_source_destroy(watch->source);
        g_source_unref(watch->source);
    }
    watch->source = NULL;
}

void loop_watch_free(struct loop_watch *watch)
{
    if (!watch)
        return;
    stop_watching(watch);
    free(watch);
}

void loop_watch_set(struct loop_watch *watch, unsigned wanted)
{
    GIOCondition condition =
        G_IO_HUP | (wanted & LOOP_READ ? G_IO_IN : 0) | (wanted & LOOP_WRITE ? G_IO_OUT : 0);

    if (wanted == watch->wanted)
        return;
    watch->wanted = wanted;
    stop_watching(watch);
    if (!wanted)
        return; /* with a source, a hang-up alone would keep the loop turning */
    watch->source = g_unix_fd_source_new(watch->fd, condition);
    g_source_set_can_recurse(watch->source, TRUE);
    g_source_set_callback(watch->source, G_SOURCE_FUNC(on_watched), watch, NULL);
    g_source_attach(watch->source, watch->loop->context);
}

/* ---- timers ------------------------------------------------------------------------------------- */

static void set_clock(struct loop *loop)
{
    struct itimerspec when = { 0 };
    uint64_t at = UINT64_MAX;

    if (!list_is_empty(&loop->timers))
        at = LIST_ITEM(loop->timers.next, struct loop_timer, node)->at;
    if (loop->set_to <= at || loop->is_running_timers)
        return; /* one that fires for nothing is cheaper than setting it with each packet */
    loop->set_to = at;
    if (at != UINT64_MAX) {
        when.it_value.tv_sec = (time_t)(at / 1000000000);
        when.it_value.tv_nsec = (long)(at % 1000000000);
        if (at == 0)
            when.it_value.tv_nsec = 1; /* zero would unset it */
    }
    timerfd_settime(loop->fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* The first that is due; NULL: none. */
static struct loop_timer *due_timer(const struct loop *loop)
{
    struct loop_timer *timer;

    if (list_is_empty(&loop->timers))
        return NULL;
    timer = LIST_ITEM(loop->timers.next, struct loop_timer, node);
    return timer->at <= loop->round_at ? timer : NULL;
}

static gboolean on_clock(gint fd, GIOCondition condition, gpointer user)
{
    struct loop *loop = user;
    struct loop_timer *timer;
    uint64_t n_expired;

    (void)condition;
    if (read(fd, &n_expired, sizeof(n_expired)) != sizeof(n_expired))
        return G_SOURCE_CONTINUE; /* set anew meanwhile */
    loop->set_to = UINT64_MAX;
    loop->is_running_timers = true;
    loop->round_at = clock_mono_ns();
    while ((timer = due_timer(loop))) {
        timer->at = UINT64_MAX;
        list_remove(&timer->node);
        timer->fn(timer->user); /* may free the timer, and others */
    }
    loop->is_running_timers = false;
    set_clock(loop);
    return G_SOURCE_CONTINUE;
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_fn *fn, void *user)
{
    struct loop_timer *timer = mem_new(struct loop_timer);

    *timer = (struct loop_timer){ .loop = loop, .fn = fn, .user = user, .at = UINT64_MAX };
    list_init(&timer->node);
    return timer;
}

void loop_timer_free(struct loop_timer *timer)
{
    if (!timer)
        return;
    list_remove(&timer->node);
    set_clock(timer->loop);
    free(timer);
}

/* From the back: most are set for later than what is set already. There are at most two a session. */
static void insert(struct loop *loop, struct loop_timer *timer)
{
    struct list *before = loop->timers.prev;

    while (before != &loop->timers && LIST_ITEM(before, struct loop_timer, node)->at > timer->at)
        before = before->prev;
    list_append(before->next, &timer->node);
}

/* What a callback sets, even for a time that has passed, has its turn in a later round: the loop's other sources have theirs first. */
void loop_timer_at(struct loop_timer *timer, uint64_t mono_ns)
{
    if (timer->loop->is_running_timers && mono_ns <= timer->loop->round_at)
        mono_ns = timer->loop->round_at + 1;
    if (timer->at == mono_ns)
        return;
    list_remove(&timer->node);
    timer->at = mono_ns;
    if (mono_ns != UINT64_MAX)
        insert(timer->loop, timer);
    set_clock(timer->loop);
}

void loop_timer_in(struct loop_timer *timer, uint64_t ms)
{
    loop_timer_at(timer, ms == NEVER_MS ? UINT64_MAX : clock_mono_ns() + ms * 1000000);
}
