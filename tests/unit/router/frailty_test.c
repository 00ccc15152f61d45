/* SPDX-License-Identifier: Apache-2.0 */
/* Keywords that end autobahn for Python are kept from it, and from nobody else. */
#include "router/frailty.h"
#include "tests/unit/router/app.h"

#include <string.h>

/* [] and {"first": 1, keyword: 2} */
static struct rpc_payload payload_of(const char *keyword, struct buf *to)
{
    buf_clear(to);
    rpc_put_array(to, 0);
    rpc_put_map(to, 2);
    rpc_put_str(to, "first");
    rpc_put_u64(to, 1);
    rpc_put_str(to, keyword);
    rpc_put_u64(to, 2);
    return (struct rpc_payload){ buf_view(to), 2 };
}

static struct wire *join(struct world *w, const char *authid, bool is_frail)
{
    struct wire *wire = app_join(w, authid, "user", true);

    CHECK(!(wire->conn->features & CONN_IS_FRAIL));
    if (is_frail)
        wire->conn->features |= CONN_IS_FRAIL;
    return wire;
}

/* ---- the tables ------------------------------------------------------------------------------ */

static bool is_frail(const char *role, const char *feature, bool value)
{
    _buf_ roles = { 0 };

    rpc_put_map(&roles, 1);
    rpc_put_str(&roles, role);
    rpc_put_map(&roles, 1);
    rpc_put_str(&roles, "features");
    rpc_put_map(&roles, 1);
    rpc_put_str(&roles, feature);
    rpc_put_bool(&roles, value);
    return frailty_is_in(buf_view(&roles));
}

TEST(it_is_known_by_a_feature)
{
    static const char *const roles[] = { "caller", "callee", "subscriber", "publisher" };

    for (size_t i = 0; i < N_ELEMENTS(roles); i++) {
        CHECK(is_frail(roles[i], "payload_encryption_cryptobox", true));
        CHECK(!is_frail(roles[i], "payload_encryption_cryptobox", false));
        CHECK(!is_frail(roles[i], "payload_passthru_mode", true));
    }
    CHECK(!frailty_is_in((struct view){ 0 }));
}

static bool has(const char *const *list, const char *keyword)
{
    for (; *list; list++) {
        if (strcmp(*list, keyword) == 0)
            return true;
    }
    return false;
}

static bool is_same(const char *found, bool is_wanted, const char *keyword)
{
    return is_wanted ? found && strcmp(found, keyword) == 0 : !found;
}

TEST(each_message_has_its_keywords)
{
    static const char *const all[] = { "self",
                                       "fun",
                                       "callee",
                                       "callee_authid",
                                       "callee_authrole",
                                       "forward_for",
                                       "enc_algo",
                                       "error",
                                       "selfish",
                                       "sel",
                                       "",
                                       "first" };
    static const char *const call[] = { "self", "fun", NULL },
                             *const error[] = { "self", "error", NULL },
                             *const result[] = { "self",
                                                 "callee",
                                                 "callee_authid",
                                                 "callee_authrole",
                                                 "forward_for",
                                                 "enc_algo",
                                                 NULL };

    for (size_t i = 0; i < N_ELEMENTS(all); i++) {
        const char *key = all[i];
        _buf_ bytes = { 0 };
        struct rpc_payload payload = payload_of(key, &bytes);
        bool is_in_result = has(result, key);
        CHECK(is_same(frailty_find(RPC_EVENT, payload), has(call, key), key));
        CHECK(is_same(frailty_find(RPC_INVOCATION, payload), has(call, key), key));
        CHECK(is_same(frailty_find(RPC_ERROR, payload), has(error, key), key));
        CHECK(is_same(frailty_find_in_result(payload, false), is_in_result, key));
        CHECK(is_same(frailty_find_in_result(payload, true),
                      is_in_result || strcmp(key, "fun") == 0, key));
        CHECK(!frailty_find(RPC_PUBLISH, payload));
        payload.n = 1; /* the same bytes as args alone */
        CHECK(!frailty_find(RPC_EVENT, payload));
    }
}

TEST(deeper_down_it_does_no_harm)
{
    _buf_ bytes = { 0 };
    struct rpc_payload payload;

    rpc_put_array(&bytes, 1);
    rpc_put_map(&bytes, 1);
    rpc_put_str(&bytes, "self");
    rpc_put_nil(&bytes);
    rpc_put_map(&bytes, 1);
    rpc_put_str(&bytes, "k");
    rpc_put_map(&bytes, 1);
    rpc_put_str(&bytes, "self");
    rpc_put_nil(&bytes);
    payload = (struct rpc_payload){ buf_view(&bytes), 2 };
    CHECK(!frailty_find(RPC_EVENT, payload) && !frailty_find_in_result(payload, true));
}

/* ---- calls ----------------------------------------------------------------------------------- */

static uint64_t call_with(struct wire *caller, struct rpc_call call, const char *keyword)
{
    _buf_ bytes = { 0 };

    if (!call.request)
        call.request = wire_request(caller);
    call.procedure = VIEW_LIT("a.b");
    if (keyword)
        call.payload = payload_of(keyword, &bytes);
    wire_send(caller, &(struct rpc_msg){ .type = RPC_CALL, .call = call });
    return call.request;
}

static uint64_t invoked(struct wire *callee)
{
    struct rpc_msg msg;

    return app_take(callee, RPC_INVOCATION, &msg) ? msg.invocation.request : 0;
}

/* The caller's only answer: INVALID_ARGUMENT that names the keyword. */
static void check_refused(struct wire *caller, uint64_t request, const char *keyword)
{
    struct rpc_msg msg;
    struct view cause;

    if (!app_take(caller, RPC_ERROR, &msg))
        return;
    CHECK_U64(msg.error.request, request);
    CHECK_VIEW(msg.error.uri, VIEW_LIT("wamp.error.invalid_argument"));
    CHECK(rpc_map_text(rpc_payload_kwargs(msg.error.payload), "cause", &cause) &&
          memmem(cause.data, cause.len, keyword, strlen(keyword)));
    CHECK(!frailty_find(RPC_ERROR, msg.error.payload));
    CHECK(app_is_quiet(caller));
}

TEST(an_invocation_is_refused_before_it_is_sent)
{
    struct world *w = app_world("");
    struct wire *caller = join(w, "ann", false), *callee = join(w, "bob", true);

    app_register(callee, "a.b", "", "");
    check_refused(caller, call_with(caller, (struct rpc_call){ 0 }, "fun"), "fun");
    CHECK(app_is_quiet(callee));
    CHECK_U64(w->router->metrics.counter[METRIC_WITHHELD_INVOCATIONS], 1);
    CHECK_U64(dealer_n_calls(w->router->realms[1]->dealer), 0);
    call_with(caller, (struct rpc_call){ 0 }, "error");
    CHECK(invoked(callee) != 0);
    callee->conn->features &= ~(unsigned)CONN_IS_FRAIL;
    call_with(caller, (struct rpc_call){ 0 }, "fun");
    CHECK(invoked(callee) != 0);
    world_free(w);
}

TEST(another_callee_that_can_take_it_does)
{
    struct world *w = app_world("");
    struct wire *caller = join(w, "ann", false), *frail = join(w, "bob", true),
                *first = join(w, "joe", false);
    struct rpc_msg msg;

    app_register(first, "a.b", "", "first");
    app_register(frail, "a.b", "", "first");
    call_with(caller, (struct rpc_call){ 0 }, "self");
    app_refuse(first, invoked(first), "wamp.error.unavailable"); /* nor is it rerouted to it */
    CHECK(app_take(caller, RPC_ERROR, &msg));
    CHECK_VIEW(msg.error.uri, VIEW_LIT("wamp.error.no_available_callee"));
    CHECK(app_is_quiet(frail));
    world_free(w);

    w = app_world("");
    caller = join(w, "ann", false), frail = join(w, "bob", true), first = join(w, "joe", false);
    app_register(frail, "a.b", "", "first");
    app_register(first, "a.b", "", "first");
    call_with(caller, (struct rpc_call){ 0 }, "self");
    CHECK(invoked(first) != 0 && app_is_quiet(frail));
    world_free(w);
}

TEST(a_further_part_of_a_call_ends_it)
{
    struct world *w = app_world("");
    struct wire *caller = join(w, "ann", false), *callee = join(w, "bob", true);
    struct rpc_msg msg;
    uint64_t request, invocation;

    app_register(callee, "a.b", "", "");
    request = call_with(caller, (struct rpc_call){ .progress = true }, NULL);
    invocation = invoked(callee);
    call_with(caller, (struct rpc_call){ .request = request, .progress = true }, "self");
    CHECK(app_take(callee, RPC_INTERRUPT, &msg) && msg.interrupt.request == invocation);
    check_refused(caller, request, "self");
    app_yield(callee, invocation, false, 1);
    CHECK(app_is_quiet(caller) && app_is_quiet(callee));
    CHECK_U64(dealer_n_calls(w->router->realms[1]->dealer), 0);
    world_free(w);
}

static void yield_with(struct wire *callee, uint64_t invocation, bool is_progress,
                       const char *keyword)
{
    _buf_ bytes = { 0 };

    wire_send(callee, &(struct rpc_msg){
                          .type = RPC_YIELD,
                          .yield = { invocation, is_progress, payload_of(keyword, &bytes) } });
}

TEST(a_result_becomes_an_error_once)
{
    static const struct {
        bool is_progress, is_frail;
        const char *keyword;
        bool is_refused;
    } cases[] = {
        { false, true, "callee", true }, { true, true, "callee", true },
        { false, true, "fun", false },   { true, true, "fun", true },
        { false, false, "self", false }, { true, false, "self", false },
        { false, true, "error", false },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct world *w = app_world("");
        struct wire *caller = join(w, "ann", cases[i].is_frail), *callee = join(w, "bob", false);
        struct rpc_msg msg;
        uint64_t request, invocation;
        app_register(callee, "a.b", "", "");
        request = call_with(caller, (struct rpc_call){ .receive_progress = true }, NULL);
        invocation = invoked(callee);
        yield_with(callee, invocation, cases[i].is_progress, cases[i].keyword);
        if (cases[i].is_refused) {
            check_refused(caller, request, cases[i].keyword);
            if (cases[i].is_progress)
                CHECK(app_take(callee, RPC_INTERRUPT, &msg));
            app_yield(callee, invocation, false, 1); /* too late */
            CHECK(app_is_quiet(caller) && !callee->is_closed);
            CHECK_U64(dealer_n_calls(w->router->realms[1]->dealer), 0);
        } else {
            CHECK(app_take(caller, RPC_RESULT, &msg) && rpc_payload_kwargs(msg.result.payload).len);
        }
        CHECK_U64(w->router->metrics.counter[METRIC_WITHHELD_RESULTS], cases[i].is_refused);
        world_free(w);
    }
}

TEST(progress_that_nobody_wanted_is_not_looked_at)
{
    struct world *w = app_world("");
    struct wire *caller = join(w, "ann", true), *callee = join(w, "bob", false);
    struct rpc_msg msg;
    uint64_t invocation;

    app_register(callee, "a.b", "", "");
    call_with(caller, (struct rpc_call){ 0 }, NULL);
    invocation = invoked(callee);
    yield_with(callee, invocation, true, "self");
    CHECK(app_is_quiet(caller));
    app_yield(callee, invocation, false, 1);
    CHECK(app_take(caller, RPC_RESULT, &msg));
    world_free(w);
}

TEST(progress_always_has_args_and_kwargs)
{
    struct world *w = app_world("");
    struct wire *caller = join(w, "ann", true), *callee = join(w, "bob", false);
    struct rpc_msg msg;
    uint64_t invocation;

    app_register(callee, "a.b", "", "");
    call_with(caller, (struct rpc_call){ .receive_progress = true }, NULL);
    invocation = invoked(callee);
    app_yield(callee, invocation, true, 7);
    CHECK(app_take(caller, RPC_RESULT, &msg) && app_arg(msg.result.payload) == 7);
    CHECK_U64(msg.result.payload.n, 2);
    wire_send(callee, &(struct rpc_msg){ .type = RPC_YIELD, .yield = { invocation, true } });
    CHECK(app_take(caller, RPC_RESULT, &msg) && msg.result.payload.n == 2);
    world_free(w);
}

TEST(an_error_loses_its_keywords)
{
    struct world *w = app_world("");
    struct wire *caller = join(w, "ann", true), *callee = join(w, "bob", false);
    static const char *const keywords[] = { "error", "self", "callee" };

    app_register(callee, "a.b", "", "");
    for (size_t i = 0; i < N_ELEMENTS(keywords); i++) {
        _buf_ bytes = { 0 };
        struct rpc_msg msg = { .type = RPC_ERROR };
        call_with(caller, (struct rpc_call){ 0 }, NULL);
        msg.error = (struct rpc_error){ .request_type = RPC_INVOCATION,
                                        .request = invoked(callee),
                                        .uri = VIEW_LIT("app.no"),
                                        .payload = payload_of(keywords[i], &bytes) };
        wire_send(callee, &msg);
        CHECK(app_take(caller, RPC_ERROR, &msg));
        CHECK_VIEW(msg.error.uri, VIEW_LIT("app.no"));
        CHECK_U64(msg.error.payload.n, i == 2 ? 2 : 1);
    }
    CHECK_U64(w->router->metrics.counter[METRIC_WITHHELD_ERRORS], 2);
    world_free(w);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void publish_with(struct wire *wire, const char *keyword, bool retain)
{
    _buf_ bytes = { 0 };
    struct rpc_publish publish = { .request = wire_request(wire),
                                   .topic = VIEW_LIT("a.t"),
                                   .retain = retain,
                                   .payload = payload_of(keyword, &bytes) };

    wire_send(wire, &(struct rpc_msg){ .type = RPC_PUBLISH, .publish = publish });
}

TEST(an_event_goes_to_the_others)
{
    struct world *w = app_world("");
    struct wire *publisher = join(w, "ann", false);
    struct wire *listeners[] = { join(w, "bob", true), join(w, "joe", false), join(w, "sue", true),
                                 join(w, "tom", false) };
    struct rpc_msg msg;

    for (size_t i = 0; i < N_ELEMENTS(listeners); i++)
        app_subscribe(listeners[i], "a.t", "", false);
    publish_with(publisher, "fun", false);
    publish_with(publisher, "callee", false);
    for (size_t i = 0; i < N_ELEMENTS(listeners); i++) {
        if (i % 2)
            CHECK(app_take(listeners[i], RPC_EVENT, &msg));
        CHECK(app_take(listeners[i], RPC_EVENT, &msg));
        CHECK(app_is_quiet(listeners[i]));
        CHECK_U64(listeners[i]->conn->n_events_dropped, i % 2 ? 0 : 1);
    }
    CHECK_U64(w->router->metrics.counter[METRIC_WITHHELD_EVENTS], 2);
    world_free(w);
}

TEST(a_retained_event_too)
{
    struct world *w = app_world("");
    struct wire *publisher = join(w, "ann", false), *frail = join(w, "bob", true),
                *other = join(w, "joe", false);
    struct rpc_msg msg;

    publish_with(publisher, "self", true);
    app_subscribe(frail, "a.t", "", true);
    CHECK(app_is_quiet(frail));
    app_subscribe(other, "a.t", "", true);
    CHECK(app_take(other, RPC_EVENT, &msg));
    CHECK_U64(w->router->metrics.counter[METRIC_WITHHELD_EVENTS], 1);
    world_free(w);
}
