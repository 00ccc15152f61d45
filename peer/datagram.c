/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams that the application sends: they wait in the link's handle until the library's thread, or the application's own in its
 * place, hands them to the link. */
#include "peer/errand.h"

struct waiting {
    struct list node;
    struct buf bytes;
};

static void waiting_free(struct waiting *waiting)
{
    if (!waiting)
        return;
    buf_free(&waiting->bytes);
    free(waiting);
}

/* Under the lock; NULL: none. */
static struct waiting *take_first(struct peer_link *link)
{
    struct waiting *first;

    if (link->n_datagrams == 0)
        return NULL;
    first = LIST_ITEM(link->datagrams.next, struct waiting, node);
    list_remove(&first->node);
    link->n_datagrams--;
    return first;
}

void datagrams_drop(struct peer_link *link)
{
    struct waiting *waiting;

    LIST_EACH(waiting, &link->datagrams, node)
        waiting_free(waiting);
}

/* Under the lock. */
static bool check(const struct peer_link *link, size_t size, struct err *err)
{
    if (!hub_is_ours(link->hub, err))
        return false;
    if (!link->is_up)
        return err_set(err, ERR_CLOSED, "the link is not up");
    return size <= link->datagram_max ||
           err_set(err, ERR_TOO_LARGE, "%zu bytes fit into a datagram now", link->datagram_max);
}

/* Under the lock. What had to go for it; NULL: nothing. */
static struct waiting *put(struct peer_link *link, struct waiting *waiting)
{
    struct waiting *oldest = link->n_datagrams == HUB_MAX_DATAGRAMS ? take_first(link) : NULL;

    list_append(&link->datagrams, &waiting->node);
    link->n_datagrams++;
    return oldest;
}

static void take_all(struct peer_link *link, struct list *to)
{
    struct waiting *waiting;

    list_init(to);
    hub_lock(link->hub);
    LIST_EACH(waiting, &link->datagrams, node) {
        list_remove(&waiting->node);
        list_append(to, &waiting->node);
    }
    link->n_datagrams = 0;
    link->is_datagram_queued = false;
    hub_unlock(link->hub);
}

/* On the library's thread, or in its place. */
static void hand_over(struct session *session, struct peer_link *link)
{
    struct waiting *waiting;
    struct list all;
    struct err err;

    take_all(link, &all);
    LIST_EACH(waiting, &all, node) {
        if (session && session->state == SESSION_UP)
            link_datagram_send(session->link, clock_mono_ns(), buf_view(&waiting->bytes),
                               &err); /* lost, if it does not go */
        waiting_free(waiting);
    }
}

void errand_datagrams(struct errand *errand)
{
    hand_over(errand->link->session, errand->link);
    if (errand->link->session)
        session_pump(errand->link->session);
}

static bool push_here(struct peer_link *link)
{
    struct core *core = link->peer->core;
    bool may, is_settled = false;

    if (!loop_try_enter(core->loop))
        return false;
    may = link->session && session_takes_here(link->session);
    if (may) {
        hand_over(link->session, link);
        is_settled = session_settle(link->session);
    }
    loop_leave(core->loop);
    return is_settled;
}

bool peer_datagram_send(struct peer_link *link, const void *bytes, size_t size,
                        struct peer_error *ret_error)
{
    struct waiting *waiting, *dropped;
    struct err err = { 0 };
    bool must_go;

    hub_lock(link->hub);
    check(link, size, &err);
    hub_unlock(link->hub);
    if (err.code != ERR_NONE) {
        errand_put_error(&err, ret_error);
        return false;
    }
    waiting = mem_new(struct waiting);
    waiting->bytes = buf_dup(VIEW(bytes, size));
    hub_lock(link->hub);
    dropped = put(link, waiting);
    must_go = !link->is_datagram_queued;
    link->is_datagram_queued = true;
    hub_unlock(link->hub);
    waiting_free(dropped);
    if (must_go && !push_here(link))
        errand_send(errand_new(link->peer, link, NULL), errand_datagrams);
    return true;
}
