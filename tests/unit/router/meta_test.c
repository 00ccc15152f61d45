/* SPDX-License-Identifier: Apache-2.0 */
/* The meta API, in a realm of another application; `root` has the role that may use it. */
#include "tests/unit/router/app.h"

#include <stdio.h>

struct scene {
    struct world *w;
    struct wire *root, *ann, *bob;
};

static struct scene scene_new(void)
{
    struct scene s = { .w = app_world("") };

    s.root = app_join(s.w, "root", "admin", true);
    s.ann = app_join(s.w, "ann", "user", true);
    s.bob = app_join(s.w, "bob", "guest", false);
    return s;
}

static void scene_free(struct scene *s)
{
    world_free(s->w);
}
#define _scene_ _cleanup_(scene_free) struct scene

/* A call with up to two arguments. */
static struct rpc_payload put_args(struct buf *to, uint64_t a, uint64_t b)
{
    rpc_put_array(to, b ? 2 : a ? 1 : 0);
    if (a)
        rpc_put_u64(to, a);
    if (b)
        rpc_put_u64(to, b);
    return rpc_args(buf_view(to));
}

static struct rpc_payload put_text(struct buf *to, const char *text)
{
    rpc_put_array(to, 1);
    rpc_put_str(to, text);
    return rpc_args(buf_view(to));
}

/* The first value of a payload; lives as long as the message. */
static struct view first(struct rpc_payload payload)
{
    struct rpc_fields f;

    rpc_fields_open(&f, rpc_payload_args(payload));
    return rpc_fields_value(&f, "first");
}

static uint64_t number(struct rpc_payload payload)
{
    uint64_t n = 0;

    return rpc_value_u64(first(payload), &n) ? n : UINT64_MAX;
}

static size_t n_items(struct view array)
{
    struct rpc_fields f;

    rpc_fields_open(&f, array);
    return f.has_failed ? SIZE_MAX : f.n_left;
}

static const char *ask(struct wire *wire, const char *procedure, struct rpc_payload payload)
{
    struct rpc_call call = { .request = wire_request(wire),
                             .procedure = view_text(procedure),
                             .payload = payload };

    wire_send(wire, &(struct rpc_msg){ .type = RPC_CALL, .call = call });
    return answer_to(wire);
}

TEST(only_the_realms_meta_roles_may_look)
{
    static const char *const procedures[] = {
        "wamp.session.count",     "wamp.session.list",      "wamp.session.kill_all",
        "wamp.registration.list", "wamp.subscription.list", "wamp.nothing",
    };
    static const char *const topics[] = { "wamp.session.on_join", "wamp.registration.on_create",
                                          "wamp.x" };
    _scene_ s = scene_new();

    for (size_t i = 0; i < N_ELEMENTS(procedures); i++)
        CHECK_STR(ask(s.ann, procedures[i], (struct rpc_payload){ 0 }),
                  "wamp.error.not_authorized");
    for (size_t i = 0; i < N_ELEMENTS(topics); i++) {
        CHECK_STR(try_subscribe(s.ann, topics[i]), "wamp.error.not_authorized");
        CHECK_STR(try_subscribe(s.root, topics[i]), "SUBSCRIBED");
        CHECK_STR(try_publish(s.root, topics[i]), "wamp.error.not_authorized");
        CHECK_STR(try_register(s.root, topics[i]), "wamp.error.not_authorized");
    }
    CHECK_STR(ask(s.root, "wamp.nothing", (struct rpc_payload){ 0 }),
              "wamp.error.no_such_procedure");
}

TEST(a_wide_pattern_hears_no_meta_events)
{
    _scene_ s = scene_new();
    struct rpc_msg msg;

    app_subscribe(s.ann, "", "prefix", false);
    app_subscribe(s.ann, "..", "wildcard", false);
    app_subscribe(s.root, "..", "wildcard", false);
    wire_skip(s.root);
    wire_drop(s.bob);
    CHECK(app_is_quiet(s.ann));
    CHECK(app_take(s.root, RPC_EVENT, &msg));
    CHECK_VIEW(msg.event.topic, VIEW_LIT("wamp.session.on_leave"));
}

TEST(sessions_are_counted_listed_and_shown)
{
    _scene_ s = scene_new();
    struct rpc_msg msg;
    _buf_ roles = { 0 };
    _buf_ args = { 0 };
    struct view text;

    CHECK(app_ask(s.root, "wamp.session.count", (struct rpc_payload){ 0 }, &msg));
    CHECK_U64(number(msg.result.payload), 3);
    rpc_put_array(&roles, 1);
    rpc_put_array(&roles, 2);
    rpc_put_str(&roles, "user");
    rpc_put_str(&roles, "guest");
    CHECK(app_ask(s.root, "wamp.session.count", rpc_args(buf_view(&roles)), &msg));
    CHECK_U64(number(msg.result.payload), 2);
    CHECK(app_ask(s.root, "wamp.session.list", rpc_args(buf_view(&roles)), &msg));
    CHECK_U64(n_items(first(msg.result.payload)), 2);
    CHECK(app_ask(s.root, "wamp.session.get", put_args(&args, s.ann->session, 0), &msg));
    CHECK(rpc_map_text(first(msg.result.payload), "authid", &text) && view_eq_text(text, "ann"));
    CHECK(rpc_map_text(first(msg.result.payload), "authrole", &text) && view_eq_text(text, "user"));
    CHECK(rpc_map_text(first(msg.result.payload), "authmethod", &text) &&
          view_eq_text(text, "anonymous"));
    _buf_ none = { 0 };
    CHECK_STR(ask(s.root, "wamp.session.get", put_args(&none, 77, 0)),
              "wamp.error.no_such_session");
    CHECK_STR(ask(s.root, "wamp.session.get", (struct rpc_payload){ 0 }),
              "wamp.error.invalid_argument");
}

TEST(sessions_come_and_go)
{
    _scene_ s = scene_new();
    struct wire *eve;
    struct rpc_msg msg;
    struct view text;

    CHECK_STR(try_subscribe(s.root, "wamp.session.on_join"), "SUBSCRIBED");
    CHECK_STR(try_subscribe(s.root, "wamp.session.on_leave"), "SUBSCRIBED");
    eve = app_join(s.w, "eve", "user", true);
    if (!app_take(s.root, RPC_EVENT, &msg))
        return;
    CHECK(rpc_map_text(first(msg.event.payload), "authmethod", &text));
    CHECK(!msg.event.publisher_authid.len);
    wire_drop(eve);
    if (!app_take(s.root, RPC_EVENT, &msg))
        return;
    CHECK_U64(number(msg.event.payload), eve->session);
    CHECK(app_is_quiet(s.root));
}

/* ---- ending sessions ------------------------------------------------------------------------- */

static struct rpc_payload put_kill(struct buf *to, uint64_t session, const char *reason)
{
    rpc_put_array(to, 1);
    rpc_put_u64(to, session);
    rpc_put_map(to, 2);
    rpc_put_str(to, "reason");
    rpc_put_str(to, reason);
    rpc_put_str(to, "message");
    rpc_put_str(to, "enough");
    return (struct rpc_payload){ buf_view(to), 2 };
}

TEST(a_session_is_ended_with_a_reason)
{
    _scene_ s = scene_new();
    struct rpc_msg msg;
    _buf_ bad = { 0 };
    _buf_ good = { 0 };
    _buf_ own = { 0 };

    CHECK_STR(ask(s.root, "wamp.session.kill", put_kill(&bad, s.ann->session, "a..b")),
              "wamp.error.invalid_uri");
    CHECK_STR(ask(s.root, "wamp.session.kill", put_kill(&own, s.root->session, "app.enough")),
              "wamp.error.no_such_session");
    CHECK_STR(ask(s.root, "wamp.session.kill", put_kill(&good, s.ann->session, "app.enough")),
              "RESULT");
    if (app_take(s.ann, RPC_GOODBYE, &msg)) {
        CHECK_VIEW(msg.goodbye.reason, VIEW_LIT("app.enough"));
        CHECK_VIEW(msg.goodbye.message, VIEW_LIT("enough"));
    }
    CHECK(s.ann->is_closed && !s.bob->is_closed);
}

TEST(sessions_are_ended_by_name_by_role_and_all)
{
    _scene_ s = scene_new();
    struct wire *ann2 = app_join(s.w, "ann", "user", true),
                *admin2 = app_join(s.w, "root2", "admin", true);
    struct rpc_msg msg;
    _buf_ ann = { 0 };
    _buf_ admin = { 0 };

    CHECK(app_ask(s.root, "wamp.session.kill_by_authid", put_text(&ann, "ann"), &msg));
    CHECK_U64(n_items(first(msg.result.payload)), 2);
    CHECK(s.ann->is_closed && ann2->is_closed && !s.bob->is_closed);
    CHECK_STR(answer_to(ann2), "GOODBYE wamp.close.killed");
    CHECK(app_ask(s.root, "wamp.session.kill_by_authrole", put_text(&admin, "admin"), &msg));
    CHECK_U64(number(msg.result.payload), 1); /* not the caller */
    CHECK(admin2->is_closed && !s.root->is_closed);
    CHECK_STR(try_subscribe(s.root, "wamp.session.on_leave"), "SUBSCRIBED");
    CHECK(app_ask(s.root, "wamp.session.kill_all", (struct rpc_payload){ 0 }, &msg));
    CHECK_U64(number(msg.result.payload), 1);
    CHECK(s.bob->is_closed && !s.root->is_closed);
    wire_drop(s.bob);
    CHECK(app_is_quiet(s.root)); /* the end of all is no event */
}

/* ---- registrations and subscriptions --------------------------------------------------------- */

/* The topics of the events that came, in order. */
static const char *story(struct wire *wire)
{
    static char text[200];
    struct rpc_msg msg;
    size_t len = 0;

    text[0] = '\0';
    while (wire_next(wire, &msg)) {
        if (msg.type == RPC_EVENT && len < sizeof(text) - 20)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%.*s", len ? " " : "",
                                    (int)msg.event.topic.len, (const char *)msg.event.topic.data);
    }
    return text;
}

TEST(registrations_are_told_in_order)
{
    _scene_ s = scene_new();
    uint64_t id;

    app_subscribe(s.root, "wamp.registration.", "wildcard", false);
    id = app_register(s.ann, "a.b", "", "first");
    CHECK_STR(story(s.root), "wamp.registration.on_create wamp.registration.on_register");
    app_register(s.bob, "a.b", "", "first");
    CHECK_STR(story(s.root), "wamp.registration.on_register");
    wire_send(s.ann,
              &(struct rpc_msg){ .type = RPC_UNREGISTER, .ids = { wire_request(s.ann), id } });
    CHECK_STR(story(s.root), "wamp.registration.on_unregister");
    wire_drop(s.bob);
    CHECK_STR(story(s.root), "wamp.registration.on_unregister wamp.registration.on_delete");
}

TEST(subscriptions_are_told_in_order)
{
    _scene_ s = scene_new();

    app_subscribe(s.root, "wamp.subscription.", "wildcard", false);
    wire_skip(s.root); /* its own */
    app_subscribe(s.ann, "a.b", "", false);
    app_subscribe(s.ann, "a.b", "", false); /* the same */
    CHECK_STR(story(s.root), "wamp.subscription.on_create wamp.subscription.on_subscribe");
    app_subscribe(s.bob, "a.b", "", false);
    CHECK_STR(story(s.root), "wamp.subscription.on_subscribe");
    wire_drop(s.ann);
    CHECK_STR(story(s.root), "wamp.subscription.on_unsubscribe");
    wire_drop(s.bob);
    CHECK_STR(story(s.root), "wamp.subscription.on_unsubscribe wamp.subscription.on_delete");
}

static void look(struct scene *s, const char *family, const char *members, uint64_t exact,
                 uint64_t prefix)
{
    struct rpc_msg msg;
    struct view list, text;
    char name[64];
    _buf_ uri = { 0 };
    _buf_ one = { 0 };
    _buf_ none = { 0 };
    _buf_ options = { 0 };
    _buf_ nil = { 0 };

    snprintf(name, sizeof(name), "wamp.%s.list", family);
    CHECK(app_ask(s->root, name, (struct rpc_payload){ 0 }, &msg));
    CHECK(rpc_map_get(first(msg.result.payload), "prefix", &list) && n_items(list) == 1);
    CHECK(rpc_map_get(first(msg.result.payload), "wildcard", &list) && n_items(list) == 0);
    snprintf(name, sizeof(name), "wamp.%s.lookup", family);
    CHECK(app_ask(s->root, name, put_text(&uri, "a.b"), &msg));
    CHECK_U64(number(msg.result.payload), exact);
    rpc_put_array(&nil, 2); /* options that are left out */
    rpc_put_str(&nil, "a.b");
    rpc_put_nil(&nil);
    CHECK(app_ask(s->root, name, rpc_args(buf_view(&nil)), &msg));
    CHECK_U64(number(msg.result.payload), exact);
    rpc_put_array(&options, 2);
    rpc_put_str(&options, "a");
    rpc_put_map(&options, 1);
    rpc_put_str(&options, "match");
    rpc_put_str(&options, "prefix");
    CHECK(app_ask(s->root, name, rpc_args(buf_view(&options)), &msg));
    CHECK_U64(number(msg.result.payload), prefix);
    snprintf(name, sizeof(name), "wamp.%s.get", family);
    CHECK(app_ask(s->root, name, put_args(&one, prefix, 0), &msg));
    CHECK(rpc_map_text(first(msg.result.payload), "uri", &text) && view_eq_text(text, "a"));
    CHECK(rpc_map_text(first(msg.result.payload), "match", &text) && view_eq_text(text, "prefix"));
    CHECK(rpc_map_text(first(msg.result.payload), "created", &text) && text.len >= 20);
    snprintf(name, sizeof(name), "wamp.%s.list_%s", family, members);
    CHECK(app_ask(s->root, name, rpc_args(buf_view(&one)), &msg));
    CHECK_U64(n_items(first(msg.result.payload)), 2);
    snprintf(name, sizeof(name), "wamp.%s.count_%s", family, members);
    CHECK(app_ask(s->root, name, rpc_args(buf_view(&one)), &msg));
    CHECK_U64(number(msg.result.payload), 2);
    put_args(&none, 999, 0);
    CHECK(strstr(ask(s->root, name, rpc_args(buf_view(&none))), "wamp.error.no_such_"));
}

TEST(registrations_and_subscriptions_are_looked_up)
{
    _scene_ s = scene_new();
    uint64_t exact = app_register(s.ann, "a.b", "", ""),
             prefix = app_register(s.ann, "a", "prefix", "roundrobin");
    struct rpc_msg msg;
    _buf_ uri = { 0 };

    app_register(s.bob, "a", "prefix", "roundrobin");
    look(&s, "registration", "callees", exact, prefix);
    CHECK(app_ask(s.root, "wamp.registration.match", put_text(&uri, "a.c"), &msg));
    CHECK_U64(number(msg.result.payload), prefix);
    exact = app_subscribe(s.ann, "a.b", "", false);
    prefix = app_subscribe(s.ann, "a", "prefix", false);
    app_subscribe(s.bob, "a", "prefix", false);
    look(&s, "subscription", "subscribers", exact, prefix);
    _buf_ both = { 0 };
    CHECK(app_ask(s.root, "wamp.subscription.match", put_text(&both, "a.b"), &msg));
    CHECK_U64(n_items(first(msg.result.payload)), 2);
    _buf_ nothing = { 0 };
    CHECK(app_ask(s.root, "wamp.subscription.match", put_text(&nothing, "z"), &msg));
    CHECK(rpc_value_kind(first(msg.result.payload)) == RPC_NIL);
}

TEST(what_is_taken_away_is_told_to_who_listens_for_it)
{
    _scene_ s = scene_new();
    uint64_t reg = app_register(s.ann, "a.b", "", "last"),
             sub = app_subscribe(s.ann, "t", "", false);
    struct rpc_msg msg;
    _buf_ ann_reg = { 0 };
    _buf_ ann_sub = { 0 };
    _buf_ bob_reg = { 0 };

    app_register(s.bob, "a.b", "", "last");
    CHECK_STR(
        ask(s.root, "wamp.registration.remove_callee", put_args(&ann_reg, reg, s.ann->session)),
        "RESULT");
    if (app_take(s.ann, RPC_UNREGISTERED, &msg)) {
        CHECK_U64(msg.ids.request, 0);
        CHECK_U64(msg.ids.second, reg);
        CHECK(msg.ids.reason.len);
    }
    CHECK_STR(ask(s.root, "wamp.registration.remove_callee", rpc_args(buf_view(&ann_reg))),
              "wamp.error.no_such_session"); /* it does not serve it any more */
    CHECK_STR(
        ask(s.root, "wamp.registration.remove_callee", put_args(&bob_reg, reg, s.bob->session)),
        "RESULT");
    CHECK(app_is_quiet(s.bob)); /* it would not know what that is */
    CHECK_STR(try_call(s.root, "a.b", (struct view){ 0 }), "wamp.error.no_such_procedure");
    CHECK_STR(
        ask(s.root, "wamp.subscription.remove_subscriber", put_args(&ann_sub, sub, s.ann->session)),
        "RESULT");
    if (app_take(s.ann, RPC_UNSUBSCRIBED, &msg))
        CHECK_U64(msg.ids.second, sub);
    app_publish(s.root, NULL, "t", 1);
    CHECK(app_is_quiet(s.ann));
}

TEST(admins_and_den_look_in_the_networks_own_realm)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w), *alice = join_peer(w, "456000");

    CHECK_STR(ask(den, "wamp.session.count", (struct rpc_payload){ 0 }), "RESULT");
    CHECK_STR(ask(alice, "wamp.session.count", (struct rpc_payload){ 0 }),
              "wamp.error.not_authorized");
    CHECK_STR(try_subscribe(den, "wamp.session.on_join"), "SUBSCRIBED");
    CHECK_STR(try_subscribe(alice, "wamp.session.on_join"), "wamp.error.not_authorized");
}
