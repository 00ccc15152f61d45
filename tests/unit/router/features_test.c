/* SPDX-License-Identifier: Apache-2.0 */
/* What WELCOME announces is what is done: each feature beside a trial of it, and no feature without
 * one. */
#include "tests/unit/router/app.h"

#include <stdio.h>

struct scene {
    struct world *w;
    struct wire *ann, *bob; /* bob is an admin */
};

static uint64_t invoked(struct wire *callee)
{
    struct rpc_msg msg;

    return app_take(callee, RPC_INVOCATION, &msg) ? msg.invocation.request : 0;
}

/* The arguments of a call: one number. */
static struct rpc_payload number(struct buf *to, uint64_t n)
{
    buf_clear(to);
    rpc_put_array(to, 1);
    rpc_put_u64(to, n);
    return rpc_args(buf_view(to));
}

static struct rpc_payload text(struct buf *to, const char *what)
{
    buf_clear(to);
    rpc_put_array(to, 1);
    rpc_put_str(to, what);
    return rpc_args(buf_view(to));
}

/* ---- broker ---------------------------------------------------------------------------------- */

static void publisher_identification(struct scene *s)
{
    struct rpc_msg msg;

    app_subscribe(s->bob, "t", "", false);
    app_publish(s->ann, &(struct rpc_publish){ .disclose_me = true }, "t", 1);
    CHECK(app_take(s->bob, RPC_EVENT, &msg) && msg.event.publisher == s->ann->session);
    CHECK_VIEW(msg.event.publisher_authid, VIEW_LIT("ann"));
    CHECK_VIEW(msg.event.publisher_authrole, VIEW_LIT("user"));
}

static void publisher_exclusion(struct scene *s)
{
    struct rpc_msg msg;

    app_subscribe(s->ann, "t", "", false);
    app_publish(s->ann, NULL, "t", 1);
    CHECK(app_is_quiet(s->ann));
    app_publish(s->ann, &(struct rpc_publish){ .include_me = true }, "t", 2);
    CHECK(app_take(s->ann, RPC_EVENT, &msg) && app_arg(msg.event.payload) == 2);
}

static void subscriber_blackwhite_listing(struct scene *s)
{
    struct rpc_msg msg;
    _buf_ ids = { 0 };
    _buf_ names = { 0 };

    app_subscribe(s->bob, "t", "", false);
    rpc_put_array(&ids, 1);
    rpc_put_u64(&ids, s->bob->session);
    rpc_put_array(&names, 1);
    rpc_put_str(&names, "bob");
    app_publish(s->ann, &(struct rpc_publish){ .exclude = buf_view(&ids) }, "t", 1);
    app_publish(s->ann, &(struct rpc_publish){ .exclude_authid = buf_view(&names) }, "t", 1);
    app_publish(s->ann, &(struct rpc_publish){ .eligible_authrole = buf_view(&names) }, "t", 1);
    CHECK(app_is_quiet(s->bob));
    app_publish(s->ann, &(struct rpc_publish){ .eligible = buf_view(&ids) }, "t", 2);
    CHECK(app_take(s->bob, RPC_EVENT, &msg) && app_arg(msg.event.payload) == 2);
    app_publish(s->ann, &(struct rpc_publish){ .eligible_authid = buf_view(&names) }, "t", 3);
    CHECK(app_take(s->bob, RPC_EVENT, &msg) && app_arg(msg.event.payload) == 3);
}

static void event_retention(struct scene *s)
{
    struct rpc_msg msg;

    app_publish(s->ann, &(struct rpc_publish){ .retain = true }, "t", 7);
    app_subscribe(s->bob, "t", "", true);
    CHECK(app_take(s->bob, RPC_EVENT, &msg) && msg.event.retained &&
          app_arg(msg.event.payload) == 7);
}

static void pattern_based_subscription(struct scene *s)
{
    uint64_t prefix = app_subscribe(s->bob, "a.", "prefix", false),
             wildcard = app_subscribe(s->bob, "a..c", "wildcard", false);
    struct rpc_msg msg;
    bool has_both = false;

    app_publish(s->ann, NULL, "a.b.c", 1); /* once for each */
    if (!app_take(s->bob, RPC_EVENT, &msg))
        return;
    CHECK_VIEW(msg.event.topic, VIEW_LIT("a.b.c"));
    has_both = msg.event.subscription == prefix;
    CHECK(app_take(s->bob, RPC_EVENT, &msg));
    CHECK_U64(msg.event.subscription, has_both ? wildcard : prefix);
}

static void revoke(struct scene *s, const char *procedure, uint64_t id)
{
    struct rpc_msg msg;
    _buf_ args = { 0 };

    rpc_put_array(&args, 2);
    rpc_put_u64(&args, id);
    rpc_put_u64(&args, s->ann->session);
    CHECK(app_ask(s->bob, procedure, rpc_args(buf_view(&args)), &msg));
}

static void subscription_revocation(struct scene *s)
{
    uint64_t id = app_subscribe(s->ann, "t", "", false);
    struct rpc_msg msg;

    revoke(s, "wamp.subscription.remove_subscriber", id);
    CHECK(app_take(s->ann, RPC_UNSUBSCRIBED, &msg) && msg.ids.request == 0);
    CHECK_U64(msg.ids.second, id);
}

static void session_meta_api(struct scene *s)
{
    struct rpc_msg msg;
    _buf_ args = { 0 };

    CHECK(app_ask(s->bob, "wamp.session.count", (struct rpc_payload){ 0 }, &msg));
    CHECK_U64(app_arg(msg.result.payload), 2);
    CHECK(app_ask(s->bob, "wamp.session.get", number(&args, s->ann->session), &msg));
    app_subscribe(s->bob, "wamp.session.on_leave", "", false);
    wire_drop(s->ann);
    CHECK(app_take(s->bob, RPC_EVENT, &msg));
}

static void subscription_meta_api(struct scene *s)
{
    struct rpc_msg msg;
    _buf_ args = { 0 };

    app_subscribe(s->bob, "wamp.subscription.on_create", "", false);
    wire_skip(s->bob); /* it hears of its own */
    app_subscribe(s->ann, "t", "", false);
    CHECK(app_take(s->bob, RPC_EVENT, &msg));
    CHECK(app_ask(s->bob, "wamp.subscription.lookup", text(&args, "t"), &msg));
    CHECK(app_arg(msg.result.payload) != 255);
}

static void packed_events(struct scene *s)
{
    struct wire *plain = app_join(s->w, "eve", "user", false);
    struct rpc_msg msg;

    app_subscribe(s->bob, "t", "", false);
    app_subscribe(plain, "t", "", false);
    app_publish(s->ann, &(struct rpc_publish){ .ppt.scheme = VIEW_LIT("x_box") }, "t", 1);
    CHECK(app_take(s->bob, RPC_EVENT, &msg));
    CHECK_VIEW(msg.event.ppt.scheme, VIEW_LIT("x_box"));
    CHECK(app_is_quiet(plain)); /* could not read it */
    app_publish(s->ann, &(struct rpc_publish){ .retain = true, .ppt.scheme = VIEW_LIT("x_box") },
                "kept", 1);
    app_subscribe(plain, "kept", "", true);
    CHECK(app_is_quiet(plain));
    app_publish(plain, &(struct rpc_publish){ .ppt.scheme = VIEW_LIT("x_box") }, "t", 1);
    CHECK_STR(answer_to(plain), "ABORT wamp.error.protocol_violation"); /* it did not announce it */
}

/* ---- dealer ---------------------------------------------------------------------------------- */

static void caller_identification(struct scene *s)
{
    struct rpc_msg msg;

    app_register(s->bob, "a.b", "", "");
    app_call(s->ann, &(struct rpc_call){ .disclose_me = true }, "a.b", 1);
    CHECK(app_take(s->bob, RPC_INVOCATION, &msg) && msg.invocation.caller == s->ann->session);
    CHECK_VIEW(msg.invocation.caller_authid, VIEW_LIT("ann"));
}

static void progressive_call_results(struct scene *s)
{
    struct rpc_msg msg;
    uint64_t invocation;

    app_register(s->bob, "a.b", "", "");
    app_call(s->ann, &(struct rpc_call){ .receive_progress = true }, "a.b", 1);
    invocation = invoked(s->bob);
    app_yield(s->bob, invocation, true, 3);
    CHECK(app_take(s->ann, RPC_RESULT, &msg) && msg.result.progress);
    app_yield(s->bob, invocation, false, 4);
    CHECK(app_take(s->ann, RPC_RESULT, &msg) && !msg.result.progress);
}

static void call_timeout(struct scene *s)
{
    app_register(s->bob, "a.b", "", "");
    app_call(s->ann, &(struct rpc_call){ .timeout = 300 }, "a.b", 1);
    world_pass(s->w, 299);
    CHECK(app_is_quiet(s->ann));
    world_pass(s->w, 1);
    CHECK_STR(answer_to(s->ann), "wamp.error.timeout");
}

static void call_canceling(struct scene *s)
{
    struct rpc_msg msg;
    uint64_t request;

    app_register(s->bob, "a.b", "", "");
    request = app_call(s->ann, NULL, "a.b", 1);
    invoked(s->bob);
    wire_send(s->ann, &(struct rpc_msg){ .type = RPC_CANCEL,
                                         .cancel = { request, VIEW_LIT("killnowait") } });
    CHECK_STR(answer_to(s->ann), "wamp.error.canceled");
    CHECK(app_take(s->bob, RPC_INTERRUPT, &msg));
}

static void progressive_call_invocations(struct scene *s)
{
    struct rpc_msg msg;
    uint64_t request, invocation;

    app_register(s->bob, "a.b", "", "");
    request = app_call(s->ann, &(struct rpc_call){ .progress = true }, "a.b", 1);
    CHECK(app_take(s->bob, RPC_INVOCATION, &msg) && msg.invocation.progress);
    invocation = msg.invocation.request;
    app_call(s->ann, &(struct rpc_call){ .request = request }, "a.b", 2);
    CHECK(app_take(s->bob, RPC_INVOCATION, &msg) && !msg.invocation.progress);
    CHECK_U64(msg.invocation.request, invocation);
}

static void pattern_based_registration(struct scene *s)
{
    struct rpc_msg msg;

    app_register(s->bob, "a.", "prefix", "");
    app_call(s->ann, NULL, "a.b.c", 1);
    CHECK(app_take(s->bob, RPC_INVOCATION, &msg));
    CHECK_VIEW(msg.invocation.procedure, VIEW_LIT("a.b.c"));
    app_register(s->bob, "x..z", "wildcard", "");
    app_call(s->ann, NULL, "x.y.z", 1);
    CHECK(app_take(s->bob, RPC_INVOCATION, &msg));
    CHECK_VIEW(msg.invocation.procedure, VIEW_LIT("x.y.z"));
}

static void shared_registration(struct scene *s)
{
    static const char *const policies[] = { "roundrobin", "random", "first", "last" };
    char uri[32];

    for (size_t i = 0; i < N_ELEMENTS(policies); i++) {
        snprintf(uri, sizeof(uri), "s.%s", policies[i]);
        CHECK(app_register(s->ann, uri, "", policies[i]) != 0);
        CHECK(app_register(s->bob, uri, "", policies[i]) != 0);
    }
    CHECK(app_register(s->ann, "s.single", "", "single") != 0);
    CHECK_STR(try_register(s->bob, "s.single"), "wamp.error.procedure_already_exists");
    app_call(s->ann, NULL, "s.last", 1);
    CHECK(invoked(s->bob) != 0);
}

static void call_reroute(struct scene *s)
{
    struct wire *third = app_join(s->w, "eve", "user", true);

    app_register(s->bob, "a.b", "", "first");
    app_register(third, "a.b", "", "first");
    app_call(s->ann, NULL, "a.b", 1);
    app_refuse(s->bob, invoked(s->bob), "wamp.error.unavailable");
    app_refuse(third, invoked(third), "wamp.error.unavailable");
    CHECK_STR(answer_to(s->ann), "wamp.error.no_available_callee");
}

static void registration_revocation(struct scene *s)
{
    uint64_t id = app_register(s->ann, "a.b", "", "");
    struct rpc_msg msg;

    revoke(s, "wamp.registration.remove_callee", id);
    CHECK(app_take(s->ann, RPC_UNREGISTERED, &msg) && msg.ids.request == 0);
    CHECK_U64(msg.ids.second, id);
}

static void registration_meta_api(struct scene *s)
{
    struct rpc_msg msg;
    _buf_ args = { 0 };
    uint64_t id;

    app_subscribe(s->bob, "wamp.registration.on_create", "", false);
    id = app_register(s->ann, "a.b", "", "");
    CHECK(app_take(s->bob, RPC_EVENT, &msg));
    CHECK(app_ask(s->bob, "wamp.registration.match", text(&args, "a.b"), &msg));
    CHECK_U64(app_arg(msg.result.payload), id);
}

static void testament_meta_api(struct scene *s)
{
    struct rpc_msg msg;
    _buf_ args = { 0 };

    rpc_put_array(&args, 3);
    rpc_put_str(&args, "will");
    rpc_put_array(&args, 1);
    rpc_put_u64(&args, 9);
    rpc_put_map(&args, 0);
    app_subscribe(s->bob, "will", "", false);
    CHECK(app_ask(s->ann, "wamp.session.add_testament", rpc_args(buf_view(&args)), &msg));
    wire_drop(s->ann);
    CHECK(app_take(s->bob, RPC_EVENT, &msg) && app_arg(msg.event.payload) == 9);
}

static void packed_calls(struct scene *s)
{
    struct wire *plain = app_join(s->w, "eve", "user", false);
    struct rpc_call packed = { .ppt.scheme = VIEW_LIT("x_box") };
    struct rpc_msg msg, answer = { .type = RPC_YIELD, .yield.ppt.scheme = VIEW_LIT("x_box") };

    app_register(s->bob, "a.b", "", "");
    app_register(plain, "a.plain", "", "");
    app_call(s->ann, &packed, "a.plain", 1); /* could not read it */
    CHECK_STR(answer_to(s->ann), "wamp.error.feature_not_supported");
    app_call(s->ann, &packed, "a.b", 1);
    CHECK(app_take(s->bob, RPC_INVOCATION, &msg));
    CHECK_VIEW(msg.invocation.ppt.scheme, VIEW_LIT("x_box"));
    answer.yield.request = msg.invocation.request;
    wire_send(s->bob, &answer);
    CHECK(app_take(s->ann, RPC_RESULT, &msg));
    CHECK_VIEW(msg.result.ppt.scheme, VIEW_LIT("x_box"));
    app_call(plain, NULL, "a.b", 1);
    answer.yield.request = invoked(s->bob);
    wire_send(s->bob, &answer); /* its caller could not read it */
    CHECK(app_take(s->bob, RPC_INTERRUPT, &msg));
    CHECK_STR(answer_to(plain), "wamp.error.feature_not_supported");
    app_call(s->ann, NULL, "a.plain", 1);
    answer.yield.request = invoked(plain);
    wire_send(plain, &answer); /* it did not announce it */
    CHECK_STR(answer_to(plain), "ABORT wamp.error.protocol_violation");
    CHECK_STR(answer_to(s->ann), "wamp.error.canceled");
    plain = app_join(s->w, "eve", "user", false);
    app_call(plain, &packed, "a.b", 1);
    CHECK_STR(answer_to(plain), "ABORT wamp.error.protocol_violation");
}

/* ---- the list -------------------------------------------------------------------------------- */

static const struct {
    const char *role, *name;
    void (*try)(struct scene *s);
} features[] = {
    { "broker", "publisher_identification", publisher_identification },
    { "broker", "publisher_exclusion", publisher_exclusion },
    { "broker", "subscriber_blackwhite_listing", subscriber_blackwhite_listing },
    { "broker", "event_retention", event_retention },
    { "broker", "pattern_based_subscription", pattern_based_subscription },
    { "broker", "subscription_revocation", subscription_revocation },
    { "broker", "session_meta_api", session_meta_api },
    { "broker", "subscription_meta_api", subscription_meta_api },
    { "broker", "payload_passthru_mode", packed_events },
    { "dealer", "caller_identification", caller_identification },
    { "dealer", "progressive_call_results", progressive_call_results },
    { "dealer", "call_timeout", call_timeout },
    { "dealer", "call_canceling", call_canceling },
    { "dealer", "progressive_call_invocations", progressive_call_invocations },
    { "dealer", "pattern_based_registration", pattern_based_registration },
    { "dealer", "shared_registration", shared_registration },
    { "dealer", "call_reroute", call_reroute },
    { "dealer", "registration_revocation", registration_revocation },
    { "dealer", "session_meta_api", session_meta_api },
    { "dealer", "registration_meta_api", registration_meta_api },
    { "dealer", "testament_meta_api", testament_meta_api },
    { "dealer", "payload_passthru_mode", packed_calls },
};

TEST(each_feature_that_is_announced_works)
{
    for (size_t i = 0; i < N_ELEMENTS(features); i++) {
        struct scene s = { .w = app_world("") };
        s.ann = app_join(s.w, "ann", "user", true);
        s.bob = app_join(s.w, "bob", "admin", true);
        features[i].try(&s);
        world_free(s.w);
    }
}

static bool is_listed(struct view role, struct view name)
{
    for (size_t i = 0; i < N_ELEMENTS(features); i++) {
        if (view_eq_text(role, features[i].role) && view_eq_text(name, features[i].name))
            return true;
    }
    return false;
}

/* Counts those of one role; each has to be in the list. */
static size_t count_announced(struct view role, struct view about)
{
    struct view all = { 0 }, cursor, name, value;
    bool is_true = false;
    uint32_t left;
    size_t n = 0;

    if (!CHECK(rpc_map_get(about, "features", &all)) || !CHECK(rpc_map_open(all, &cursor, &left)))
        return 0;
    for (; rpc_map_next(&cursor, &left, &name, &value); n++) {
        if (!is_listed(role, name) || !rpc_value_bool(value, &is_true) || !is_true)
            check_failed(__FILE__, __LINE__, "%.*s announces %.*s, which nothing here tries",
                         VIEW_FMT(role), VIEW_FMT(name));
    }
    return n;
}

TEST(welcome_announces_those_and_no_other)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *wire = wire_new(w, "192.0.2.9");
    struct view roles, cursor, role, about;
    struct rpc_msg hello = { .type = RPC_HELLO, .hello = { .realm = VIEW_LIT(WORLD_NETWORK) } };
    struct rpc_msg msg;
    size_t n = 0;
    uint32_t left;

    wire_send(wire, &hello);
    if (!app_take(wire, RPC_WELCOME, &msg))
        return;
    roles = msg.welcome.roles;
    if (!CHECK(rpc_map_open(roles, &cursor, &left)))
        return;
    CHECK_U64(left, 2);
    while (rpc_map_next(&cursor, &left, &role, &about))
        n += count_announced(role, about);
    CHECK_U64(n, N_ELEMENTS(features));
}
