/* SPDX-License-Identifier: Apache-2.0 */
/* Events beyond the Basic Profile, in a realm of another application. */
#include "tests/unit/router/app.h"

#include <stdio.h>

static const struct rpc_publish retained = { .retain = true };

/* The argument of the one event that came; 255: none. */
static uint8_t heard(struct wire *wire)
{
    struct rpc_msg msg;

    return wire_next(wire, &msg) && msg.type == RPC_EVENT ? app_arg(msg.event.payload) : 255;
}

TEST(an_event_comes_once_for_each_pattern_with_its_topic)
{
    _cleanup_(world_freep) struct world *w = app_world("");
    struct wire *ann = app_join(w, "ann", "user", true), *bob = app_join(w, "bob", "user", true);
    uint64_t ids[] = { app_subscribe(bob, "a.b.c", "", false),
                       app_subscribe(bob, "a.b", "prefix", false),
                       app_subscribe(bob, "a..c", "wildcard", false) };
    struct rpc_msg msg;

    app_publish(ann, NULL, "a.b.c", 1);
    for (size_t i = 0; i < N_ELEMENTS(ids); i++) {
        if (!app_take(bob, RPC_EVENT, &msg))
            return;
        CHECK_U64(msg.event.subscription, ids[i]);
        CHECK_VIEW(msg.event.topic, view_text(i ? "a.b.c" : ""));
    }
    CHECK(app_is_quiet(bob));
    app_publish(ann, NULL, "a.bc", 1); /* a prefix of the text, here */
    CHECK(app_take(bob, RPC_EVENT, &msg) && msg.event.subscription == ids[1]);
    app_publish(ann, NULL, "b", 1);
    CHECK(app_is_quiet(bob));
}

TEST(prefixes_keep_to_components_in_the_networks_own_realm)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *den = join_den(w), *alice;
    struct rpc_msg msg;

    alice = join_peer(w, "456000");
    CHECK(app_subscribe(alice, "den.session.on_state", "prefix", false));
    CHECK_STR(try_publish(den, "den.session.on_statement"), "PUBLISHED");
    CHECK(app_is_quiet(alice));
    CHECK_STR(try_publish(den, "den.session.on_state.x"), "PUBLISHED");
    CHECK(app_take(alice, RPC_EVENT, &msg));
}

TEST(nobody_subscribes_to_more_than_is_his)
{
    static const struct {
        const char *match, *uri, *answer;
    } cases[] = {
        { "prefix", "den.heartbeat", "SUBSCRIBED" },
        { "prefix", "peer.456000", "SUBSCRIBED" },
        { "wildcard", "peer.456000..x", "SUBSCRIBED" },
        { "prefix", "den", "wamp.error.not_authorized" },
        { "prefix", "den.session", "wamp.error.not_authorized" },
        { "prefix", "", "wamp.error.not_authorized" },
        { "prefix", "peer", "wamp.error.not_authorized" },
        { "prefix", "peer.123456", "wamp.error.not_authorized" },
        { "prefix", "network", "wamp.error.not_authorized" },
        { "prefix", "network.peer", "wamp.error.not_authorized" },
        { "prefix", "wamp", "wamp.error.not_authorized" },
        { "wildcard", "", "wamp.error.not_authorized" },
        { "wildcard", ".", "wamp.error.not_authorized" },
        { "wildcard", ".heartbeat", "wamp.error.not_authorized" },
        { "wildcard", "den.", "wamp.error.not_authorized" },
    };
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *alice;

    join_den(w);
    alice = join_peer(w, "456000");
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct rpc_register ask = { .request = wire_request(alice),
                                    .match = view_text(cases[i].match),
                                    .uri = view_text(cases[i].uri) };
        wire_send(alice, &(struct rpc_msg){ .type = RPC_SUBSCRIBE, .subscribe = ask });
        CHECK_STR(answer_to(alice), cases[i].answer);
    }
}

/* ---- who gets it ----------------------------------------------------------------------------- */

enum { LISTENERS = 4 };

static struct view ids(struct buf *to, const struct wire *a, const struct wire *b)
{
    rpc_put_array(to, b ? 2 : a ? 1 : 0);
    if (a)
        rpc_put_u64(to, a->session);
    if (b)
        rpc_put_u64(to, b->session);
    return buf_view(to);
}

static struct view texts(struct buf *to, const char *a, const char *b)
{
    rpc_put_array(to, b ? 2 : a ? 1 : 0);
    if (a)
        rpc_put_str(to, a);
    if (b)
        rpc_put_str(to, b);
    return buf_view(to);
}

TEST(each_list_narrows_who_gets_an_event)
{
    enum which { NONE, ELIGIBLE, ELIGIBLE_ID, ELIGIBLE_ROLE, EXCLUDE, EXCLUDE_ID, EXCLUDE_ROLE };
    static const struct {
        enum which list[2]; /* sessions 0 and 1; "a" and "b"; role "red" */
        bool is_empty;
        bool gets[LISTENERS];
    } cases[] = {
        { { NONE, NONE }, false, { true, true, true, true } },
        { { ELIGIBLE, NONE }, false, { true, true, false, false } },
        { { ELIGIBLE_ID, NONE }, false, { true, true, false, false } },
        { { ELIGIBLE_ROLE, NONE }, false, { true, false, true, false } },
        { { EXCLUDE, NONE }, false, { false, false, true, true } },
        { { EXCLUDE_ID, NONE }, false, { false, false, true, true } },
        { { EXCLUDE_ROLE, NONE }, false, { false, true, false, true } },
        { { ELIGIBLE, ELIGIBLE_ROLE }, false, { true, false, false, false } },
        { { ELIGIBLE_ROLE, EXCLUDE_ID }, false, { false, false, true, false } },
        { { EXCLUDE_ROLE, EXCLUDE }, false, { false, false, false, true } },
        { { ELIGIBLE, NONE }, true, { false, false, false, false } }, /* to nobody */
        { { ELIGIBLE_ID, NONE }, true, { false, false, false, false } },
        { { EXCLUDE, NONE }, true, { true, true, true, true } },
    };
    static const char *const names[] = { "a", "b", "c", "d" }, *const roles[] = { "red", "blue" };
    _cleanup_(world_freep) struct world *w = app_world("");
    struct wire *listeners[LISTENERS], *ann = app_join(w, "ann", "user", true);

    for (size_t i = 0; i < LISTENERS; i++) {
        listeners[i] = app_join(w, names[i], roles[i % 2], true);
        app_subscribe(listeners[i], "t", i % 2 ? "" : "prefix", false);
    }
    for (size_t c = 0; c < N_ELEMENTS(cases); c++) {
        struct rpc_publish options = { 0 };
        struct view *const places[] = { NULL,
                                        &options.eligible,
                                        &options.eligible_authid,
                                        &options.eligible_authrole,
                                        &options.exclude,
                                        &options.exclude_authid,
                                        &options.exclude_authrole };
        struct buf lists[2] = { 0 };
        bool is_full = !cases[c].is_empty;
        for (size_t k = 0; k < 2; k++) {
            enum which which = cases[c].list[k];
            if (which == ELIGIBLE || which == EXCLUDE)
                *places[which] =
                    ids(&lists[k], is_full ? listeners[0] : NULL, is_full ? listeners[1] : NULL);
            else if (which == ELIGIBLE_ROLE || which == EXCLUDE_ROLE)
                *places[which] = texts(&lists[k], is_full ? "red" : NULL, NULL);
            else if (which)
                *places[which] = texts(&lists[k], is_full ? "a" : NULL, is_full ? "b" : NULL);
        }
        app_publish(ann, &options, "t", (uint8_t)c);
        for (size_t i = 0; i < LISTENERS; i++) {
            if (heard(listeners[i]) != (cases[c].gets[i] ? c : 255))
                check_failed(__FILE__, __LINE__, "case %zu, listener %zu", c, i);
        }
        buf_free(&lists[0]);
        buf_free(&lists[1]);
    }
}

TEST(a_list_has_an_end)
{
    _cleanup_(world_freep) struct world *w = app_world("");
    struct wire *ann = app_join(w, "ann", "user", true);
    struct rpc_publish options = { .acknowledge = true };
    struct rpc_msg msg;
    _buf_ list = { 0 };

    rpc_put_array(&list, 65);
    for (int i = 0; i < 65; i++)
        rpc_put_u64(&list, 7);
    options.exclude = buf_view(&list);
    app_publish(ann, &options, "t", 1);
    if (!app_take(ann, RPC_ERROR, &msg))
        return;
    CHECK_VIEW(msg.error.uri, VIEW_LIT("network.error.limit"));
}

TEST(a_publisher_hears_itself_only_when_it_wants_to)
{
    _cleanup_(world_freep) struct world *w = app_world("");
    struct wire *ann = app_join(w, "ann", "user", true);

    app_subscribe(ann, "t", "prefix", false);
    app_publish(ann, NULL, "t", 1);
    CHECK(app_is_quiet(ann));
    app_publish(ann, &(struct rpc_publish){ .include_me = true }, "t", 2);
    CHECK_U64(heard(ann), 2);
}

TEST(publishers_are_named_as_the_realm_says)
{
    static const struct {
        const char *options;
        bool asks, is_named, is_refused;
    } cases[] = {
        { "disclosure = request\n", false, false, false },
        { "disclosure = request\n", true, true, false },
        { "disclosure = always\n", false, true, false },
        { "disclosure = never\n", true, false, true },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _cleanup_(world_freep) struct world *w = app_world(cases[i].options);
        struct wire *ann = app_join(w, "ann", "user", true),
                    *bob = app_join(w, "bob", "user", true);
        struct rpc_publish options = { .acknowledge = true, .disclose_me = cases[i].asks };
        struct rpc_msg msg;
        app_subscribe(bob, "t", "", false);
        app_publish(ann, &options, "t", 1);
        CHECK_STR(answer_to(ann),
                  cases[i].is_refused ? "wamp.error.option_disallowed.disclose_me" : "PUBLISHED");
        if (cases[i].is_refused) {
            CHECK(app_is_quiet(bob));
            continue;
        }
        if (!app_take(bob, RPC_EVENT, &msg))
            continue;
        CHECK_U64(msg.event.publisher, cases[i].is_named ? ann->session : 0);
        CHECK_VIEW(msg.event.publisher_authid, view_text(cases[i].is_named ? "ann" : ""));
    }
}

TEST(the_four_words_about_a_payload_come_along)
{
    _cleanup_(world_freep) struct world *w = app_world("");
    struct wire *ann = app_join(w, "ann", "user", true), *bob = app_join(w, "bob", "user", true);
    struct rpc_publish options = { .retain = true,
                                   .ppt = { .scheme = VIEW_LIT("x_box"), .keyid = VIEW_LIT("k") } };
    struct rpc_msg msg;

    app_publish(ann, &options, "t", 1);
    app_subscribe(bob, "t", "", true);
    CHECK(app_take(bob, RPC_EVENT, &msg) && msg.event.retained);
    CHECK_VIEW(msg.event.ppt.scheme, VIEW_LIT("x_box"));
    CHECK_VIEW(msg.event.ppt.keyid, VIEW_LIT("k"));
}

TEST(listening_once_more_is_no_more_at_the_limit)
{
    _cleanup_(world_freep) struct world *w = app_world("");
    struct wire *ann;
    uint64_t id;

    w->config.max_subscriptions = 1;
    ann = app_join(w, "ann", "user", true);
    id = app_subscribe(ann, "a.b", "", false);
    CHECK_U64(app_subscribe(ann, "a.b", "", false), id);
    CHECK_STR(try_subscribe(ann, "a.c"), "network.error.too_many_subscriptions");
}

/* ---- retained -------------------------------------------------------------------------------- */

TEST(the_last_event_of_each_topic_waits_for_who_comes)
{
    static const struct {
        const char *match, *uri;
        unsigned sum; /* of what is heard */
    } cases[] = {
        { "", "a.b", 1 }, { "prefix", "a.", 3 }, { "prefix", "a.b", 3 },  { "wildcard", "a.", 3 },
        { "", "a.c", 0 }, { "prefix", "", 7 },   { "wildcard", ".b", 5 },
    };
    _cleanup_(world_freep) struct world *w = app_world("");
    struct wire *ann = app_join(w, "ann", "user", true);
    struct rpc_msg msg;

    app_publish(ann, &retained, "a.b", 9);
    app_publish(ann, &retained, "a.b", 1); /* instead of the one before */
    app_publish(ann, &retained, "a.bc", 2);
    app_publish(ann, &retained, "z.b", 4);
    app_publish(ann, NULL, "a.b", 8); /* not for keeping */
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct wire *bob = app_join(w, "bob", "user", true);
        unsigned sum = 0;
        app_subscribe(bob, cases[i].uri, cases[i].match, true);
        while (wire_next(bob, &msg)) {
            CHECK(msg.type == RPC_EVENT && msg.event.retained);
            CHECK((msg.event.topic.len != 0) == (*cases[i].match != '\0'));
            sum += app_arg(msg.event.payload);
        }
        CHECK_U64(sum, cases[i].sum);
        app_subscribe(bob, cases[i].uri, cases[i].match, false);
        CHECK(app_is_quiet(bob));
    }
    wire_send(ann, &(struct rpc_msg){ .type = RPC_PUBLISH,
                                      .publish = { .request = wire_request(ann),
                                                   .retain = true,
                                                   .topic = VIEW_LIT("a.b") } });
    app_subscribe(ann, "a.b", "", true); /* empty: it was taken back */
    CHECK(app_is_quiet(ann));
}

/* The lists are kept with the event, and asked when it is handed over. */
TEST(who_comes_later_gets_what_the_lists_leave_him)
{
#define LIST(member, is_excluding)                                                                 \
    {                                                                                              \
#member, offsetof(struct rpc_publish, member), is_excluding                                \
    }
    static const struct {
        const char *name;
        size_t place;
        bool is_excluding;
    } cases[] = {
        LIST(eligible, false),          LIST(exclude, true),
        LIST(eligible_authid, false),   LIST(exclude_authid, true),
        LIST(eligible_authrole, false), LIST(exclude_authrole, true),
    };
#undef LIST
    _cleanup_(world_freep) struct world *w = app_world("");
    struct wire *ann = app_join(w, "ann", "user", true), *bob = app_join(w, "bob", "red", true),
                *cid = app_join(w, "cid", "user", true);

    for (size_t i = 0; i < 2 * N_ELEMENTS(cases); i++) {
        bool is_listed = i % 2, bob_gets = is_listed != cases[i / 2].is_excluding;
        struct rpc_publish options = { .acknowledge = true, .retain = true };
        struct view *place = (struct view *)(void *)((char *)&options + cases[i / 2].place);
        char topic[32];
        _buf_ list = { 0 };
        snprintf(topic, sizeof(topic), "%s.%zu", cases[i / 2].name, i % 2);
        if (strstr(topic, "auth"))
            *place = texts(&list, !is_listed ? NULL : strstr(topic, "role") ? "red" : "bob", NULL);
        else
            *place = ids(&list, is_listed ? bob : NULL, NULL);
        app_publish(ann, &options, topic, 1);
        CHECK_STR(answer_to(ann), "PUBLISHED");
        app_subscribe(bob, topic, i % 3 ? "" : "prefix", true);
        CHECK_U64(heard(bob), bob_gets ? 1 : 255);
        app_subscribe(cid, topic, "", true); /* in none of the lists */
        CHECK_U64(heard(cid), cases[i / 2].is_excluding ? 1 : 255);
    }
}

TEST(who_may_not_have_the_last_gets_the_last_for_all)
{
    _cleanup_(world_freep) struct world *w = app_world("");
    struct wire *ann = app_join(w, "ann", "user", true), *bob = app_join(w, "bob", "user", true),
                *cid = app_join(w, "cid", "user", true);
    struct rpc_publish options = { .retain = true }, for_some = { .retain = true };
    _buf_ list = { 0 };

    for_some.exclude_authid = texts(&list, "bob", NULL);
    app_publish(ann, &options, "t", 1);
    app_publish(ann, &for_some, "t", 2);
    app_subscribe(bob, "t", "", true);
    CHECK_U64(heard(bob), 1);
    app_subscribe(cid, "t", "", true);
    CHECK_U64(heard(cid), 2);
    app_publish(ann, &options, "t", 3); /* newer than both, for all */
    wire_skip(bob);
    wire_skip(cid);
    app_subscribe(cid, "t", "", true);
    CHECK_U64(heard(cid), 3);
    app_subscribe(ann, "t", "", true); /* it would not have heard its own */
    CHECK(app_is_quiet(ann));
    options.include_me = true;
    app_publish(ann, &options, "t", 4);
    wire_skip(ann);
    app_subscribe(ann, "t", "", true);
    CHECK_U64(heard(ann), 4);
}

/* By the letter of WAMP: only in our own realm does an event without arguments take one away. */
TEST(an_event_without_arguments_is_kept_too)
{
    _cleanup_(world_freep) struct world *w = app_world("");
    struct wire *ann = app_join(w, "ann", "user", true), *bob = app_join(w, "bob", "user", true);
    struct rpc_publish bare = { .retain = true, .topic = VIEW_LIT("a.b") };
    struct rpc_msg msg;

    app_publish(ann, &retained, "a.b", 1);
    bare.request = wire_request(ann);
    wire_send(ann, &(struct rpc_msg){ .type = RPC_PUBLISH, .publish = bare });
    app_subscribe(bob, "a.b", "", true);
    CHECK(app_take(bob, RPC_EVENT, &msg) && msg.event.retained && msg.event.payload.n == 0);
}

/* ---- testaments ------------------------------------------------------------------------------ */

static const char *testament_with(struct wire *wire, const char *topic, uint8_t arg,
                                  const char *key, const char *option, const char *value)
{
    struct rpc_call call = { .request = wire_request(wire),
                             .procedure = VIEW_LIT("wamp.session.add_testament") };
    _buf_ payload = { 0 };

    rpc_put_array(&payload, 3);
    rpc_put_str(&payload, topic);
    rpc_put_array(&payload, 1);
    rpc_put_u64(&payload, arg);
    rpc_put_map(&payload, 0);
    rpc_put_map(&payload, *key ? 1 : 0);
    if (*key)
        rpc_put_str(&payload, key);
    if (*option) {
        rpc_put_map(&payload, 1);
        rpc_put_str(&payload, option);
    }
    if (*key)
        rpc_put_str(&payload, value);
    call.payload = (struct rpc_payload){ buf_view(&payload), 2 };
    wire_send(wire, &(struct rpc_msg){ .type = RPC_CALL, .call = call });
    return answer_to(wire);
}

static const char *testament(struct wire *wire, const char *topic, uint8_t arg, const char *scope)
{
    return testament_with(wire, topic, arg, *scope ? "scope" : "", "", scope);
}

TEST(who_packs_a_testament_has_announced_it)
{
    _cleanup_(world_freep) struct world *w = app_world("");
    struct wire *ann = app_join(w, "ann", "user", true), *bob = app_join(w, "bob", "user", false);

    CHECK_STR(testament_with(ann, "t", 1, "publish_options", "ppt_scheme", "x_box"), "RESULT");
    CHECK_STR(testament_with(bob, "t", 1, "publish_options", "ppt_scheme", "x_box"),
              "wamp.error.invalid_argument");
}

TEST(a_testament_is_read_out_when_its_session_ends)
{
    _cleanup_(world_freep) struct world *w = app_world("disclosure = always\n");
    struct wire *ann = app_join(w, "ann", "user", true), *bob = app_join(w, "bob", "user", true);
    struct rpc_msg msg;

    app_subscribe(bob, "ann", "prefix", false);
    app_subscribe(ann, "ann", "prefix", false); /* it does not hear its own */
    CHECK_STR(testament(ann, "ann.gone", 1, ""), "RESULT");
    CHECK_STR(testament(ann, "ann.away", 2, "detached"), "RESULT");
    CHECK_STR(testament(ann, "ann.away", 2, "someday"), "wamp.error.invalid_argument");
    CHECK_STR(testament(ann, "wamp.session.on_join", 3, ""), "wamp.error.not_authorized");
    CHECK_STR(testament(ann, "a..b", 3, ""), "wamp.error.invalid_argument");
    CHECK(app_ask(ann, "wamp.session.flush_testaments", (struct rpc_payload){ 0 }, &msg));
    CHECK_STR(testament(ann, "ann.gone", 4, "destroyed"), "RESULT");
    CHECK_STR(testament(ann, "ann.away", 5, "detached"), "RESULT");
    CHECK(app_is_quiet(bob));
    wire_drop(ann);
    if (app_take(bob, RPC_EVENT, &msg)) {
        CHECK_U64(app_arg(msg.event.payload), 2);
        CHECK_VIEW(msg.event.publisher_authid, VIEW_LIT("ann"));
    }
    CHECK_U64(heard(bob), 5); /* the detached first */
    CHECK_U64(heard(bob), 4);
    CHECK(app_is_quiet(bob));
}

TEST(testaments_have_an_end)
{
    _cleanup_(world_freep) struct world *w = app_world("");
    struct wire *ann = app_join(w, "ann", "user", true);

    for (int i = 0; i < 32; i++)
        CHECK_STR(testament(ann, "t", 1, ""), "RESULT");
    CHECK_STR(testament(ann, "t", 1, ""), "network.error.too_many_testaments");
}

TEST(nobody_leaves_what_he_may_not_publish)
{
    _cleanup_(world_freep) struct world *w = world_new();
    struct wire *alice;

    join_den(w);
    alice = join_peer(w, "456000");
    CHECK_STR(testament(alice, "den.session.on_state", 1, ""), "wamp.error.not_authorized");
    CHECK_STR(testament(alice, "peer.123456.gone", 1, ""), "wamp.error.not_authorized");
    CHECK_STR(testament(alice, "peer.456000.gone", 1, ""), "RESULT");
}
