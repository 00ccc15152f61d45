/* SPDX-License-Identifier: Apache-2.0 */
#include "router/backlog.h"
#include "router/router.h"

struct waiting {
    struct list node;
    struct parcel *parcel;
};

void backlog_init(struct backlog *backlog)
{
    *backlog = (struct backlog){ .slice = BACKLOG_SLICE, .left = BACKLOG_SLICE };
    list_init(&backlog->conns);
}

bool backlog_is_empty(const struct backlog *backlog)
{
    return list_is_empty(&backlog->conns);
}

/* ---- parcels --------------------------------------------------------------------------------- */

struct parcel *parcel_new(struct backlog *backlog)
{
    struct parcel *parcel = mem_new(struct parcel);

    parcel->backlog = backlog;
    parcel->n_refs = 1;
    return parcel;
}

void parcel_release(struct parcel *parcel)
{
    if (!parcel || --parcel->n_refs)
        return;
    buf_free(&parcel->frame);
    buf_free(&parcel->text);
    free(parcel);
}

static void hold(struct parcel *parcel)
{
    parcel->n_refs++;
    if (parcel->n_waiting++ == 0)
        parcel->backlog->bytes += parcel->frame.len;
}

static void let_go(struct parcel *parcel)
{
    if (--parcel->n_waiting == 0)
        parcel->backlog->bytes -= parcel->frame.len;
    parcel_release(parcel);
}

/* ---- one connection's ------------------------------------------------------------------------ */

static size_t cost_of(const struct parcel *parcel)
{
    return parcel->frame.len + BACKLOG_HELD;
}

static void append(struct conn *conn, struct parcel *parcel)
{
    struct backlog *backlog = &conn->router->backlog;
    struct waiting *one = mem_new(struct waiting);

    hold(parcel);
    one->parcel = parcel;
    if (list_is_empty(&conn->waiting))
        list_append(&backlog->conns, &conn->of_backlog);
    list_append(&conn->waiting, &one->node);
    conn->waiting_bytes += cost_of(parcel);
    backlog->n++;
}

static void forget(struct conn *conn, struct waiting *one)
{
    list_remove(&one->node);
    if (list_is_empty(&conn->waiting))
        list_remove(&conn->of_backlog);
    conn->waiting_bytes -= cost_of(one->parcel);
    conn->router->backlog.n--;
    let_go(one->parcel);
    free(one);
}

static size_t minus(size_t from, size_t what)
{
    return from > what ? from - what : 0;
}

static void give(struct conn *conn, struct parcel *parcel)
{
    struct router *router = conn->router;
    struct backlog *backlog = &router->backlog;

    if (conn->slice != backlog->number)
        backlog->left = minus(backlog->left, BACKLOG_TOUCH);
    conn->slice = backlog->number;
    backlog->left = minus(backlog->left, cost_of(parcel));
    metrics_count(&router->metrics, METRIC_EVENTS_DELIVERED);
    metrics_flow(router->metrics.out, RPC_EVENT, parcel->frame.len);
    router->outside.send_event(conn->wire, parcel);
}

void backlog_catch_up(struct conn *conn)
{
    struct waiting *one;

    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the analyzer does not see forget() unlink it */
    LIST_EACH(one, &conn->waiting, node) {
        give(conn, one->parcel);
        forget(conn, one);
    }
}

void backlog_drop(struct conn *conn)
{
    struct waiting *one;

    LIST_EACH(one, &conn->waiting, node)
        forget(conn, one);
}

/* ---- slices ---------------------------------------------------------------------------------- */

static void begin_slice(struct router *router)
{
    struct backlog *backlog = &router->backlog;

    backlog->left = backlog->slice;
    backlog->began_at = router->now.mono;
    backlog->number++;
}

/* A connection's events leave together, as one record does: no fewer wait for another turn. */
static void work_off(struct backlog *backlog)
{
    backlog_catch_up(LIST_ITEM(backlog->conns.next, struct conn, of_backlog));
}

void backlog_put(struct conn *conn, struct parcel *parcel)
{
    struct backlog *backlog = &conn->router->backlog;

    if (backlog->began_at != conn->router->now.mono)
        begin_slice(conn->router);
    if (backlog->left && list_is_empty(&conn->waiting)) {
        give(conn, parcel);
        return;
    }
    append(conn, parcel);
    while (backlog->n > BACKLOG_MAX || backlog->bytes > BACKLOG_MAX_BYTES)
        work_off(backlog);
}

void backlog_work(struct router *router)
{
    struct backlog *backlog = &router->backlog;

    begin_slice(router);
    while (backlog->left && !backlog_is_empty(backlog))
        work_off(backlog);
}
