/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/handle.h"
#include "peer/loop.h"
#include "tests/check.h"

#include <poll.h>

static bool is_readable(int fd)
{
    struct pollfd p = { fd, POLLIN, 0 };

    return poll(&p, 1, 0) == 1;
}

TEST(the_descriptor_is_readable_while_an_event_waits)
{
    struct hub hub = { 0 };
    struct err err;

    CHECK_OK(hub_init(&hub, &err), err);
    CHECK(!is_readable(hub.fd));
    hub_put(&hub, hub_event_new(PEER_EVENT_ONLINE));
    hub_put(&hub, hub_event_new(PEER_EVENT_JOINED));
    CHECK(is_readable(hub.fd));
    for (int i = 0; i < 2; i++) {
        _cleanup_(hub_event_freep) struct hub_event *event = hub_take(&hub);
        CHECK_U64(event->event.type, i == 0 ? PEER_EVENT_ONLINE : PEER_EVENT_JOINED);
        CHECK(is_readable(hub.fd) == (i == 0));
    }
    CHECK(!hub_take(&hub));
    hub_put(&hub, hub_event_new(PEER_EVENT_ONLINE)); /* freed with the hub */
    hub_deinit(&hub);
}

TEST(of_too_many_datagrams_the_oldest_are_dropped)
{
    struct hub hub = { 0 };
    struct err err;
    size_t n = 0;

    CHECK_OK(hub_init(&hub, &err), err);
    hub_put(&hub, hub_event_new(PEER_EVENT_ONLINE));
    for (size_t i = 0; i < HUB_MAX_DATAGRAMS + 10; i++) {
        struct hub_event *event = hub_event_new(PEER_EVENT_DATAGRAM);
        event->event.size = i;
        hub_put(&hub, event);
    }
    for (struct hub_event *event; (event = hub_take(&hub)); n++) {
        CHECK_U64(event->event.size, n ? n + 9 : 0);
        hub_event_free(event);
    }
    CHECK_U64(n, HUB_MAX_DATAGRAMS + 1);
    hub_put(&hub, hub_event_new(PEER_EVENT_DATAGRAM)); /* there is room again */
    CHECK_U64(hub.n_datagrams, 1);
    hub_deinit(&hub);
}

static void put_datagrams(struct hub *hub, struct peer_link *link, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct hub_event *event = hub_event_new(PEER_EVENT_DATAGRAM);
        event->event.link = peer_link_ref(link);
        hub_put(hub, event);
    }
}

TEST(who_sends_too_many_datagrams_loses_his_own)
{
    struct hub hub = { 0 };
    struct err err;
    size_t n_quiet = 0, n = 0;

    CHECK_OK(hub_init(&hub, &err), err);
    struct peer_link *quiet = peer_link_new(NULL, &hub), *loud = peer_link_new(NULL, &hub);
    put_datagrams(&hub, quiet, 3);
    put_datagrams(&hub, loud, HUB_MAX_DATAGRAMS * 2);
    for (struct hub_event *event; (event = hub_take(&hub)); n++) {
        n_quiet += event->event.link == quiet;
        hub_event_free(event);
    }
    CHECK_U64(n, HUB_MAX_DATAGRAMS);
    CHECK_U64(n_quiet, 3);
    peer_link_unref(quiet);
    peer_link_unref(loud);
    hub_deinit(&hub);
}

TEST(calls_that_wait_are_counted_and_of_a_link_one_path)
{
    struct peer_link *link;
    struct hub hub = { 0 };
    struct err err;

    CHECK_OK(hub_init(&hub, &err), err);
    for (int i = 0; i < HUB_MAX_CALLS; i++) {
        CHECK(!hub_is_behind(&hub));
        hub_put(&hub, hub_event_new(PEER_EVENT_INCOMING));
    }
    CHECK(hub_is_behind(&hub));
    hub_event_free(hub_take(&hub));
    CHECK(!hub_is_behind(&hub));
    while (hub.n_calls)
        hub_event_free(hub_take(&hub));

    link = peer_link_new(NULL, &hub);
    for (int i = 0; i < 2; i++) {
        struct hub_event *event = hub_event_new(PEER_EVENT_PATH);
        event->event.link = peer_link_ref(link);
        CHECK(hub_claim_path(&hub, link));
        CHECK(!hub_claim_path(&hub, link));
        hub_put(&hub, event);
        hub_event_free(hub_take(&hub)); /* fetched: the next one is news */
    }
    peer_link_unref(link);
    hub_deinit(&hub);
}

TEST(an_error_comes_with_its_name_and_remedy)
{
    struct peer_error error;
    struct err err = { 0 };

    hub_error(&err, &error);
    CHECK_STR(error.name, "");
    err_set(&err, ERR_NOT_REACHABLE, "why");
    hub_error(&err, &error);
    CHECK_STR(error.name, "not_reachable");
    CHECK_STR(error.text, "why");
    CHECK(error.remedy[0] != '\0');
}

/* ---- the loop ---- */

struct run {
    struct loop *loop;
    struct loop_timer *timer;
    unsigned n_begun, n_ended, n_errands, n_ticks;
    unsigned order[4];
};

static void on_tick(void *user)
{
    struct run *run = user;

    run->n_ticks++;
    loop_timer_free(STEAL(run->timer)); /* from its own callback */
    loop_quit(run->loop);
}

static void begin(void *user)
{
    struct run *run = user;

    run->n_begun++;
    run->timer = loop_timer_new(run->loop, on_tick, run);
}

static void end(void *user)
{
    ((struct run *)user)->n_ended++;
}

static void errand(void *user)
{
    struct run *run = user;

    run->order[run->n_errands] = run->n_begun;
    if (++run->n_errands == 3)
        loop_timer_in(run->timer, 1);
}

TEST(errands_run_on_the_thread_after_it_began)
{
    struct run run = { 0 };
    struct err err;

    CHECK_OK(loop_new(&run.loop, &err), err);
    loop_invoke(run.loop, errand, &run); /* before the start: it waits */
    CHECK_OK(loop_start(run.loop, begin, end, &run, &err), err);
    loop_invoke(run.loop, errand, &run);
    loop_invoke(run.loop, errand, &run);
    loop_join(run.loop);
    CHECK_U64(run.n_errands, 3);
    CHECK_U64(run.n_ticks, 1);
    CHECK_U64(run.n_ended, 1);
    for (size_t i = 0; i < 3; i++)
        CHECK_U64(run.order[i], 1);
    loop_free(run.loop);
}
