/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/loop.h"

#include "base/list.h"
#include "base/mem.h"

#include <assert.h>
#include <uv.h>

/* A handle's memory belongs to libuv until its close callback: that one frees it. */
struct rpc_timer {
    uv_timer_t uv;
    uint64_t at;       /* when it is due; NEVER_MS: not at all */
    uint64_t armed_at; /* when libuv will call: never later than that */
    rpc_on_timer *on_timer;
    void *user;
    bool *is_gone; /* while it is called: set when it is freed meanwhile */
    struct list node;
};

struct rpc_signal {
    uv_signal_t uv;
    rpc_on_signal *on_signal;
    void *user;
    struct list node;
};

struct rpc_turn {
    uv_prepare_t before_sleep;
    uv_check_t after_sleep;
    uv_idle_t again; /* while it runs the loop does not sleep */
    unsigned n_open;
    void (*on_turn)(void *user);
    void *user;
};

struct rpc_readable {
    uv_poll_t uv;
    void (*on_readable)(void *user);
    void *user;
};

struct work {
    uv_work_t uv;
    struct rpc_loop *loop;
    void (*work)(void *user), (*done)(void *user);
    void *user;
};

struct ending {
    void (*at_end)(void *user);
    void *user;
    struct list node;
};

/* Before each sleep: what passed since the last one, less what was slept. */
struct watch {
    uv_prepare_t uv;
    uint64_t turned_at, slept; /* ns */
    rpc_on_work *on_work;
    void *user;
};

struct rpc_loop {
    uv_loop_t uv;
    struct list signals, timers, endings;
    struct watch *watch; /* often NULL */
    size_t n_works;
};

static void free_handle(uv_handle_t *handle)
{
    free(handle->data);
}

bool rpc_loop_new(struct rpc_loop **ret_loop, struct err *err)
{
    _free_ struct rpc_loop *loop = mem_new(struct rpc_loop);
    int failure = uv_loop_init(&loop->uv);

    if (failure)
        return err_set(err, ERR_SYSTEM, "event loop: %s", uv_strerror(failure));
    list_init(&loop->signals);
    list_init(&loop->timers);
    list_init(&loop->endings);
    *ret_loop = STEAL(loop);
    return true;
}

void rpc_loop_free(struct rpc_loop *loop)
{
    struct rpc_signal *signal_watch;
    struct rpc_timer *timer;
    struct ending *ending;

    if (!loop)
        return;
    LIST_EACH(signal_watch, &loop->signals, node) {
        list_remove(&signal_watch->node);
        uv_close((uv_handle_t *)&signal_watch->uv, free_handle);
    }
    LIST_EACH(timer, &loop->timers, node)
        rpc_timer_free(timer);
    if (loop->watch)
        uv_close((uv_handle_t *)&loop->watch->uv, free_handle);
    /* Close callbacks come from the loop, which ends with its last handle. A handle that is
     * still open then belongs to somebody who should have freed it before: our bug. */
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    assert(!uv_loop_alive(&loop->uv));
    LIST_EACH(ending, &loop->endings, node) {
        ending->at_end(ending->user);
        free(ending);
    }
    uv_loop_close(&loop->uv);
    free(loop);
}

void rpc_loop_run(struct rpc_loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void rpc_loop_stop(struct rpc_loop *loop)
{
    uv_stop(&loop->uv);
}

void *rpc_loop_native(struct rpc_loop *loop)
{
    return &loop->uv;
}

static void on_watch(uv_prepare_t *uv)
{
    struct watch *watch = uv->data;
    uint64_t now = uv_hrtime(), slept = uv_metrics_idle_time(uv->loop);
    uint64_t passed = now - watch->turned_at, idle = slept - watch->slept;

    watch->on_work(watch->user, passed > idle ? (passed - idle) / 1000 : 0);
    watch->turned_at = now;
    watch->slept = slept;
}

void rpc_loop_on_work(struct rpc_loop *loop, rpc_on_work *on_work, void *user)
{
    struct watch *watch = mem_new(struct watch);

    assert(!loop->watch);
    uv_loop_configure(&loop->uv, UV_METRICS_IDLE_TIME);
    uv_prepare_init(&loop->uv, &watch->uv);
    watch->uv.data = watch;
    watch->turned_at = uv_hrtime();
    watch->on_work = on_work;
    watch->user = user;
    uv_prepare_start(&watch->uv, on_watch);
    loop->watch = watch;
}

/* ---- timers ---------------------------------------------------------------------------------- */

static void on_uv_timer(uv_timer_t *uv)
{
    struct rpc_timer *timer = uv->data;
    bool is_gone = false;

    /* It was moved to later, or libuv's clock is a fraction of a millisecond before ours. */
    timer->armed_at = NEVER_MS;
    if (timer->at == NEVER_MS)
        return;
    if (clock_mono_ms() < timer->at) {
        rpc_timer_set(timer, timer->at);
        return;
    }
    timer->at = NEVER_MS;
    timer->is_gone = &is_gone;
    timer->on_timer(timer->user);
    if (!is_gone)
        timer->is_gone = NULL;
}

struct rpc_timer *rpc_timer_new(struct rpc_loop *loop, rpc_on_timer *on_timer, void *user)
{
    struct rpc_timer *timer = mem_new(struct rpc_timer);

    uv_timer_init(&loop->uv, &timer->uv);
    timer->uv.data = timer;
    timer->at = timer->armed_at = NEVER_MS;
    timer->on_timer = on_timer;
    timer->user = user;
    list_append(&loop->timers, &timer->node);
    return timer;
}

/* A deadline that moves to later, as most do, costs nothing: it is looked at when libuv calls.
 * libuv 1.44 calls in one turn whatever is due, also what becomes due meanwhile: a timer that sets
 * itself to now again and again would keep everything else out, for ever. */
void rpc_timer_set(struct rpc_timer *timer, uint64_t at)
{
    uint64_t now, delay, soonest = timer->is_gone ? 1 : 0;

    timer->at = at;
    if (at >= timer->armed_at) /* NEVER_MS too */
        return;
    now = clock_mono_ms();
    delay = at > now ? at - now : 0;
    timer->armed_at = at;
    uv_update_time(timer->uv.loop);
    uv_timer_start(&timer->uv, on_uv_timer, delay > soonest ? delay : soonest, 0);
}

void rpc_timer_free(struct rpc_timer *timer)
{
    if (!timer)
        return;
    if (timer->is_gone)
        *timer->is_gone = true;
    list_remove(&timer->node);
    uv_close((uv_handle_t *)&timer->uv, free_handle);
}

/* ---- signals --------------------------------------------------------------------------------- */

static void on_uv_signal(uv_signal_t *uv, int signal_number)
{
    struct rpc_signal *watch = uv->data;

    watch->on_signal(watch->user, signal_number);
}

void rpc_loop_on_signal(struct rpc_loop *loop, int signal_number, rpc_on_signal *on_signal,
                        void *user)
{
    struct rpc_signal *watch = mem_new(struct rpc_signal);

    watch->on_signal = on_signal;
    watch->user = user;
    uv_signal_init(&loop->uv, &watch->uv);
    watch->uv.data = watch;
    uv_signal_start(&watch->uv, on_uv_signal, signal_number);
    list_append(&loop->signals, &watch->node);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void before_sleep(uv_prepare_t *uv)
{
    struct rpc_turn *turn = uv->data;

    turn->on_turn(turn->user);
}

static void after_sleep(uv_check_t *uv)
{
    struct rpc_turn *turn = uv->data;

    turn->on_turn(turn->user);
}

static void stop_again(uv_idle_t *uv)
{
    uv_idle_stop(uv);
}

void rpc_turn_again(struct rpc_turn *turn)
{
    uv_idle_start(&turn->again, stop_again);
}

static void close_turn(uv_handle_t *handle)
{
    struct rpc_turn *turn = handle->data;

    if (--turn->n_open == 0)
        free(turn);
}

struct rpc_turn *rpc_turn_new(void *native, void (*on_turn)(void *user), void *user)
{
    struct rpc_turn *turn = mem_new(struct rpc_turn);

    turn->on_turn = on_turn;
    turn->user = user;
    turn->n_open = 3;
    uv_prepare_init(native, &turn->before_sleep);
    uv_check_init(native, &turn->after_sleep);
    uv_idle_init(native, &turn->again);
    turn->before_sleep.data = turn->after_sleep.data = turn->again.data = turn;
    uv_prepare_start(&turn->before_sleep, before_sleep);
    uv_check_start(&turn->after_sleep, after_sleep);
    return turn;
}

void rpc_turn_free(struct rpc_turn *turn)
{
    if (!turn)
        return;
    uv_close((uv_handle_t *)&turn->before_sleep, close_turn);
    uv_close((uv_handle_t *)&turn->after_sleep, close_turn);
    uv_close((uv_handle_t *)&turn->again, close_turn);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static void on_uv_poll(uv_poll_t *uv, _unused_ int status, _unused_ int events)
{
    struct rpc_readable *readable = uv->data;

    readable->on_readable(readable->user); /* an error too: reading tells which */
}

bool rpc_readable_new(void *native, int fd, void (*on_readable)(void *user), void *user,
                      struct rpc_readable **ret_readable, struct err *err)
{
    _free_ struct rpc_readable *readable = mem_new(struct rpc_readable);
    int failure = uv_poll_init(native, &readable->uv, fd);

    if (failure)
        return err_set(err, ERR_SYSTEM, "descriptor %d: %s", fd, uv_strerror(failure));
    readable->uv.data = readable;
    readable->on_readable = on_readable;
    readable->user = user;
    rpc_readable_resume(readable);
    *ret_readable = STEAL(readable);
    return true;
}

void rpc_readable_pause(struct rpc_readable *readable)
{
    uv_poll_stop(&readable->uv);
}

void rpc_readable_resume(struct rpc_readable *readable)
{
    uv_poll_start(&readable->uv, UV_READABLE, on_uv_poll);
}

void rpc_readable_free(struct rpc_readable *readable)
{
    if (readable)
        uv_close((uv_handle_t *)&readable->uv, free_handle);
}

void rpc_loop_at_end(void *native, void (*at_end)(void *user), void *user)
{
    struct rpc_loop *loop = CONTAINER(native, struct rpc_loop, uv);
    struct ending *ending = mem_new(struct ending);

    ending->at_end = at_end;
    ending->user = user;
    list_append(&loop->endings, &ending->node);
}

/* ---- work in another thread ------------------------------------------------------------------ */

static void do_work(uv_work_t *uv)
{
    struct work *work = CONTAINER(uv, struct work, uv);

    work->work(work->user);
}

static void on_work_done(uv_work_t *uv, int status)
{
    _free_ struct work *work = CONTAINER(uv, struct work, uv);

    assert(status == 0); /* nobody cancels any */
    work->loop->n_works--;
    work->done(work->user);
}

void rpc_loop_work(struct rpc_loop *loop, void (*work)(void *user), void (*done)(void *user),
                   void *user)
{
    struct work *made = mem_new(struct work);

    made->loop = loop;
    made->work = work;
    made->done = done;
    made->user = user;
    loop->n_works++;
    if (uv_queue_work(&loop->uv, &made->uv, do_work, on_work_done) != 0)
        abort(); /* only without a function */
}

void rpc_loop_finish_works(struct rpc_loop *loop)
{
    while (loop->n_works)
        uv_run(&loop->uv, UV_RUN_ONCE);
}
