/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/rpc/talk.h"

#include "tests/check.h"

#include <stdio.h>

struct served {
    unsigned n;
    uint64_t number, first;
    char authid[16], authrole[16];
};

static void on_inv(void *user, const struct rpc_inv *inv)
{
    struct served *served = user;
    struct rpc_fields f;

    served->n++;
    served->number = inv->number;
    snprintf(served->authid, sizeof(served->authid), "%.*s",
             VIEW_FMT(inv->invocation->caller_authid));
    snprintf(served->authrole, sizeof(served->authrole), "%.*s",
             VIEW_FMT(inv->invocation->caller_authrole));
    rpc_fields_open(&f, rpc_payload_args(inv->invocation->payload));
    served->first = rpc_fields_u64(&f, "first");
}

/* The registration's id at the fake router, of the `n`th REGISTER or SUBSCRIBE it saw. */
static uint64_t id_of(const struct talk *t, enum rpc_type type, size_t n)
{
    for (size_t i = 0; i < t->router.n_seen; i++)
        if (t->router.seen[i].type == type && n-- == 0)
            return 100 + t->router.seen[i].request;
    return 0;
}

TEST(registrations_are_served_and_outlive_sessions)
{
    _talk_ t;
    _buf_ args = { 0 };
    struct served served = { 0 };
    struct err declined;

    talk_init(&t, false);
    rpc_client_register(t.client, t.now, "peer.456000.chat", on_inv, &served);
    talk_numbers(&args, 9);
    for (size_t session = 0; session < 2; session++) {
        talk_open(&t);
        fake_router_invoke(&t.router, id_of(&t, RPC_REGISTER, session), "peer", buf_view(&args));
        talk_pump(&t);
        CHECK_U64(served.n, session + 1);
        CHECK_U64(served.first, 9);
        CHECK_STR(served.authid, "123456");
        CHECK_STR(served.authrole, "peer");
        rpc_client_yield(t.client, served.number, true, buf_view(&args));
        rpc_client_yield(t.client, served.number, false, buf_view(&args));
        rpc_client_yield(t.client, served.number, false, buf_view(&args)); /* answered: harmless */
        talk_pump(&t);
        CHECK_U64(talk_count(&t, RPC_YIELD), 2 * (session + 1));
        CHECK_U64(t.router.seen[talk_last(&t)].request, t.router.last_invocation);
        rpc_client_closed(t.client, t.now, &(struct err){ ERR_NETWORK_FAILURE, "lost" });
        rpc_client_yield(t.client, served.number, false, buf_view(&args));
    }
    talk_open(&t);
    err_set(&declined, ERR_DECLINED, "not now");
    fake_router_invoke(&t.router, id_of(&t, RPC_REGISTER, 2), "den", buf_view(&args));
    talk_pump(&t);
    rpc_client_refuse(t.client, served.number, "peer", &declined);
    talk_pump(&t);
    CHECK_U64(t.router.seen[talk_last(&t)].type, RPC_ERROR);
    CHECK_STR(t.router.seen[talk_last(&t)].uri, "peer.error.declined");
}

static void interrupt(struct talk *t, const char *mode)
{
    struct rpc_msg msg = { .type = RPC_INTERRUPT };

    msg.interrupt.request = t->router.last_invocation;
    msg.interrupt.mode = view_text(mode);
    fake_router_send(&t->router, &msg);
    talk_pump(t);
}

TEST(an_interrupted_invocation_is_answered_once_or_not_at_all)
{
    static const struct {
        const char *mode;
        size_t n_errors;
    } cases[] = { { "killnowait", 0 }, { "kill", 1 }, { "", 1 } };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _talk_ t;
        _buf_ args = { 0 };
        struct served served = { 0 };
        talk_init(&t, false);
        rpc_client_register(t.client, t.now, "peer.456000.chat", on_inv, &served);
        talk_numbers(&args, 9);
        talk_open(&t);
        fake_router_invoke(&t.router, id_of(&t, RPC_REGISTER, 0), "peer", buf_view(&args));
        talk_pump(&t);
        interrupt(&t, cases[i].mode);
        CHECK_U64(talk_count(&t, RPC_ERROR), cases[i].n_errors);
        CHECK_U64(t.interrupted, served.number);
        t.interrupted = 0;
        interrupt(&t, cases[i].mode); /* it is over: harmless */
        rpc_client_yield(t.client, served.number, false, buf_view(&args));
        talk_pump(&t);
        CHECK_U64(talk_count(&t, RPC_ERROR), cases[i].n_errors);
        CHECK_U64(talk_count(&t, RPC_YIELD), 0);
        CHECK_U64(t.interrupted, 0);
        CHECK(rpc_client_is_up(t.client));
    }
}

TEST(a_number_that_is_unanswered_is_not_given_again)
{
    _talk_ t;
    _buf_ args = { 0 };
    struct served served = { 0 };

    talk_init(&t, false);
    rpc_client_register(t.client, t.now, "peer.456000.chat", on_inv, &served);
    talk_numbers(&args, 9);
    talk_open(&t);
    fake_router_invoke(&t.router, id_of(&t, RPC_REGISTER, 0), "peer", buf_view(&args));
    talk_pump(&t);
    t.router.last_invocation--;
    fake_router_invoke(&t.router, id_of(&t, RPC_REGISTER, 0), "peer", buf_view(&args));
    talk_pump(&t);
    CHECK_U64(served.n, 1);
    CHECK(!rpc_client_is_up(t.client));
    CHECK_STR(rpc_client_why(t.client)->text, "INVOCATION: request: 1 is unanswered");
}

TEST(what_the_router_takes_away_is_asked_for_again)
{
    _talk_ t;
    struct served served = { 0 };
    struct rpc_msg gone = { .type = RPC_UNREGISTERED };

    talk_init(&t, false);
    rpc_client_register(t.client, t.now, "peer.456000.chat", on_inv, &served);
    talk_open(&t);
    talk_pump(&t);
    CHECK_U64(talk_count(&t, RPC_REGISTER), 1);
    gone.ids.second = id_of(&t, RPC_REGISTER, 0);
    fake_router_send(&t.router, &gone);
    talk_pump(&t);
    CHECK(rpc_client_deadline(t.client) < NEVER_MS);
    t.now = rpc_client_deadline(t.client);
    rpc_client_tick(t.client, t.now);
    talk_pump(&t);
    CHECK_U64(talk_count(&t, RPC_REGISTER), 2);
}

/* One procedure, and a call of it by a caller of that role. */
static void invoke_once(struct talk *t, struct served *served, const char *role)
{
    talk_init(t, false);
    rpc_client_register(t->client, t->now, "peer.456000.chat", on_inv, served);
    talk_open(t);
    fake_router_invoke(&t->router, id_of(t, RPC_REGISTER, 0), role, VIEW_LIT(""));
    talk_pump(t);
}

TEST(an_invocation_of_an_earlier_session_is_not_answered_in_the_next)
{
    _talk_ t;
    struct served served = { 0 };

    invoke_once(&t, &served, "peer");
    rpc_client_closed(t.client, t.now, &(struct err){ ERR_NETWORK_FAILURE, "lost" });
    talk_open(&t);
    rpc_client_yield(t.client, served.number, false, VIEW_LIT(""));
    talk_pump(&t);
    CHECK_U64(served.n, 1);
    CHECK_U64(talk_count(&t, RPC_YIELD), 0);
}

TEST(an_undisclosed_caller_ends_the_session)
{
    _talk_ t;
    struct served served = { 0 };

    invoke_once(&t, &served, NULL);
    CHECK_U64(served.n, 0);
    CHECK_STR(t.down.text, "INVOCATION: the caller is not disclosed");
    CHECK_STR(t.router.seen[talk_last(&t)].uri, "wamp.error.protocol_violation");
}

TEST(what_is_unregistered_is_not_served_any_more)
{
    _talk_ t;
    struct served served = { 0 };

    talk_init(&t, false);
    talk_open(&t);
    rpc_client_register(t.client, t.now, "peer.456000.chat", on_inv, &served);
    rpc_client_unregister(t.client, t.now, "peer.456000.chat"); /* before its answer came */
    talk_pump(&t);
    CHECK_U64(talk_count(&t, RPC_UNREGISTER), 1);
    fake_router_invoke(&t.router, id_of(&t, RPC_REGISTER, 0), "peer", VIEW_LIT(""));
    talk_pump(&t);
    CHECK_U64(served.n, 0);
    CHECK_STR(t.router.seen[talk_last(&t)].uri, "wamp.error.no_such_procedure");
    rpc_client_closed(t.client, t.now, &(struct err){ ERR_NETWORK_FAILURE, "lost" });
    talk_open(&t);
    CHECK_U64(talk_count(&t, RPC_REGISTER), 1);
}

struct standing {
    unsigned n_up, n_down, n_events;
    struct err why;
};

static void on_standing(void *user, const struct err *why)
{
    struct standing *s = user;

    s->n_up += why == NULL;
    s->n_down += why != NULL;
    if (why)
        s->why = *why;
}

static void on_counted(void *user, const struct rpc_event *event)
{
    (void)event;
    ((struct standing *)user)->n_events++;
}

TEST(who_takes_up_a_registration_hears_how_it_stands)
{
    _talk_ t;
    struct standing s = { 0 };
    struct rpc_reg_options options = { .uri = "a.b.",
                                       .match = "prefix",
                                       .invoke = "roundrobin",
                                       .on_inv = on_inv,
                                       .on_state = on_standing,
                                       .user = &s };

    talk_init(&t, false);
    struct rpc_client_reg *reg = rpc_client_take_up(t.client, &options);
    talk_open(&t);
    CHECK_U64(s.n_up, 1);
    rpc_client_closed(t.client, t.now, &(struct err){ ERR_NETWORK_FAILURE, "lost" });
    t.router.refuses_registrations = true;
    talk_open(&t);
    CHECK_U64(s.n_down, 1);
    CHECK_U64(s.why.code, ERR_ALREADY_EXISTS);
    CHECK_U64(t.n_refused, 0); /* it has its own ear */
    t.router.refuses_registrations = false;
    t.now += 3000;
    rpc_client_tick(t.client, t.now);
    talk_pump(&t);
    CHECK_U64(s.n_up, 2);
    rpc_client_give_up(t.client, reg);
    talk_pump(&t);
    CHECK_U64(talk_count(&t, RPC_UNREGISTER), 1);
    reg = rpc_client_take_up(t.client, &options);
    rpc_client_give_up(t.client, reg); /* before it was answered */
    talk_pump(&t);
    CHECK_U64(talk_count(&t, RPC_UNREGISTER), 2);
    CHECK_U64(s.n_up, 2);
}

/* The router has one subscription for what is subscribed twice: here the fake one gives each an id. */
TEST(a_subscription_ends_with_its_last_listener)
{
    _talk_ t;
    struct standing s = { 0 };
    struct rpc_reg_options options = {
        .uri = "a.b", .on_event = on_counted, .on_state = on_standing, .user = &s
    };
    struct rpc_msg msg = { .type = RPC_SUBSCRIBED };

    talk_init(&t, false);
    talk_open(&t);
    struct rpc_client_reg *one = rpc_client_take_up(t.client, &options);
    talk_pump(&t);
    uint64_t id = id_of(&t, RPC_SUBSCRIBE, 0);
    struct rpc_client_reg *two = rpc_client_take_up(t.client, &options);
    {
        _buf_ out = { 0 };
        while (rpc_client_output(t.client, &out)) /* swallowed: answered by hand */
            ;
    }
    msg.ids.request = id - 100 + 1;
    msg.ids.second = id;
    fake_router_send(&t.router, &msg);
    talk_pump(&t);
    CHECK_U64(s.n_up, 2);
    fake_router_event(&t.router, id, (struct view){ 0 });
    talk_pump(&t);
    CHECK_U64(s.n_events, 2);
    rpc_client_give_up(t.client, one);
    talk_pump(&t);
    CHECK_U64(talk_count(&t, RPC_UNSUBSCRIBE), 0);
    fake_router_event(&t.router, id, (struct view){ 0 });
    talk_pump(&t);
    CHECK_U64(s.n_events, 3);
    rpc_client_give_up(t.client, two);
    talk_pump(&t);
    CHECK_U64(talk_count(&t, RPC_UNSUBSCRIBE), 1);
    CHECK_U64(t.router.seen[talk_last(&t)].request, id);
    fake_router_event(&t.router, id, (struct view){ 0 });
    talk_pump(&t);
    CHECK_U64(s.n_events, 3);
}

TEST(a_refused_registration_is_tried_again)
{
    _talk_ t;
    struct served served = { 0 };

    talk_init(&t, false);
    t.router.refuses_registrations = true;
    rpc_client_register(t.client, t.now, "peer.456000.chat", on_inv, &served);
    talk_open(&t);
    CHECK_U64(t.n_refused, 1);
    t.router.refuses_registrations = false;
    t.now = rpc_client_deadline(t.client);
    CHECK(t.now > TALK_START && t.now < TALK_START + 60000);
    rpc_client_tick(t.client, t.now);
    talk_pump(&t);
    CHECK_U64(talk_count(&t, RPC_REGISTER), 2);
    CHECK_U64(rpc_client_deadline(t.client), NEVER_MS);
    fake_router_invoke(&t.router, id_of(&t, RPC_REGISTER, 1), "peer", VIEW_LIT(""));
    talk_pump(&t);
    CHECK_U64(served.n, 1);
}

static void on_event(void *user, const struct rpc_event *event)
{
    struct rpc_fields f;

    rpc_fields_open(&f, rpc_payload_args(event->payload));
    *(uint64_t *)user += rpc_fields_u64(&f, "first");
}

TEST(events_reach_every_subscriber_in_every_session)
{
    _talk_ t;
    _buf_ args = { 0 };
    uint64_t sum = 0;

    talk_init(&t, false);
    talk_numbers(&args, 5);
    rpc_client_subscribe(t.client, t.now, "den.heartbeat", true, on_event, &sum);
    for (size_t session = 0; session < 2; session++) {
        talk_open(&t);
        fake_router_event(&t.router, id_of(&t, RPC_SUBSCRIBE, session), buf_view(&args));
        fake_router_event(&t.router, 99999, buf_view(&args)); /* of nothing we know: passed over */
        talk_pump(&t);
        CHECK_U64(sum, 5 * (session + 1));
        rpc_client_closed(t.client, t.now, &(struct err){ ERR_NETWORK_FAILURE, "lost" });
    }
}
