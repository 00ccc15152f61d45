/* SPDX-License-Identifier: Apache-2.0 */
/* Tries at a TURN server after the first one: when den is asked for a credential, and what the other end is told of those that fail. The
 * agents are not made: whether one finds a pair, a test says. */
#include "peer/session.h"
#include "peer/turn_try.h"
#include "tests/unit/peer/core_world.h"

#include <stdio.h>

static uint64_t now;
static unsigned n_agents;
static bool has_failed;

uint64_t __wrap_clock_mono_ms(void);
uint64_t __wrap_clock_mono_ms(void)
{
    return now;
}

void __wrap_turn_try_begin(struct turn_try *try, const struct ice_turn *servers);
void __wrap_turn_try_begin(_unused_ struct turn_try *try, _unused_ const struct ice_turn *servers)
{
    n_agents++;
}

bool __wrap_turn_try_has_failed(const struct turn_try *try);
bool __wrap_turn_try_has_failed(_unused_ const struct turn_try *try)
{
    return has_failed;
}

/* A link that is up, over nothing. */
struct talk_world {
    struct core_world s;
    struct cert cert;
    struct session *session;
};

static void ignore(_unused_ void *user)
{
}

static uint64_t now_ns(_unused_ void *user)
{
    return now * 1000000;
}

static void put_turn(struct buf *to)
{
    const struct rpc_turn turn = {
        .username = VIEW_LIT("name"),
        .password = VIEW_LIT("word"),
        .expires_at = WORLD_NOW + DAY_MS,
        .uris = { VIEW_LIT("turn:192.0.2.1?transport=tcp") },
        .n_uris = 1,
    };

    rpc_turn_put(&turn, to);
}

static void talk_world_init(struct talk_world *t, const char *name)
{
    static const struct path_events events = {
        .on_usable = ignore, .on_changed = ignore, .on_lost = ignore, .now = now_ns
    };
    static char client;
    _buf_ turn = { 0 };

    now = 1000000;
    n_agents = 0;
    has_failed = false;
    core_world_init(&t->s, name);
    t->s.core->client = (struct rpc_client *)(void *)&client; /* the calls are caught */
    t->cert.refs = 2; /* it is no certificate: nobody frees it */
    t->s.core->cert = &t->cert;
    t->session = session_new(t->s.core, true);
    snprintf(t->session->remote_id, sizeof(t->session->remote_id), "%s", WORLD_B);
    t->session->policy = PEER_PATH_AUTO;
    t->session->state = SESSION_UP;
    t->session->path = path_new(&events, true, t->session);
    put_turn(&turn);
    turned_take(t->session, buf_view(&turn));
}

static void talk_world_deinit(struct talk_world *t)
{
    if (caught.is_open)
        core_world_refuse(ERR_CANCELED);
    session_free(t->session);
    t->s.core->client = NULL;
    core_world_deinit(&t->s);
}
#define TALK_WORLD(t, name)                                                                        \
    _cleanup_(talk_world_deinit) struct talk_world t = { 0 };                                      \
    talk_world_init(&t, name)

static bool is_asked(void)
{
    return caught.is_open && strcmp(caught.procedure, "den.session.turn") == 0;
}

/* Once a second, until den is asked; how long that took. NEVER_MS: it was not, for an hour. */
static uint64_t until_asked(const struct talk_world *t)
{
    for (uint64_t begin = now; now - begin < HOUR_MS; now += 1000) {
        turned_look(t->session);
        if (is_asked())
            return now - begin;
    }
    return NEVER_MS;
}

static void answer_from_den(void)
{
    struct buf args = { 0 };

    rpc_put_array(&args, 1);
    put_turn(&args);
    core_world_answer(&args);
}

static void refuse_from_den(enum err_code code)
{
    struct rpc_outcome outcome = { .what = RPC_FAILED, .uri = VIEW_LIT("den.error.x") };

    err_set(&outcome.err, code, "den says so");
    caught.is_open = false;
    caught.on_outcome(caught.user, &outcome);
}

/* What the other end says of its try: with credentials, or that it has failed. */
static void hear(const struct talk_world *t, uint64_t number, bool says_failed)
{
    static const uint8_t none[] = { 0x90 };
    _buf_ more = { 0 };

    rpc_put_map(&more, says_failed ? 3 : 4);
    rpc_put_str(&more, "path");
    rpc_put_str(&more, "turn");
    rpc_put_str(&more, "try");
    rpc_put_u64(&more, number);
    if (says_failed) {
        rpc_put_str(&more, "failed");
        rpc_put_bool(&more, true);
    } else {
        rpc_put_str(&more, "ufrag");
        rpc_put_str(&more, "Fg3a");
        rpc_put_str(&more, "pwd");
        rpc_put_str(&more, "0123456789abcdefghijkl");
    }
    turned_update(t->session, VIEW_ARR(none), buf_view(&more));
}

/* The other end is told that this try has failed, and nothing else. */
static void check_told_failed(const struct talk_world *t, uint64_t wanted)
{
    struct rpc_fields f;
    struct view path = { 0 };
    uint64_t number = 0;
    struct err err;

    CHECK_STR(caught.procedure, "peer." WORLD_B ".ice.update");
    rpc_fields_open(&f, buf_view(&caught.args));
    CHECK_VIEW(rpc_fields_fixed(&f, "sid", RPC_SID), VIEW_ARR(t->session->sid));
    CHECK_U64(rpc_fields_value(&f, "candidates").len, 1);
    struct view more = rpc_fields_value(&f, "more");
    CHECK_OK(rpc_fields_end(&f, &err), err);
    CHECK(rpc_map_text(more, "path", &path) && view_eq_text(path, "turn"));
    CHECK(rpc_map_u64(more, "try", &number) && number == wanted);
    CHECK(rpc_map_bool(more, "failed"));
}

TEST(a_connection_that_goes_with_each_question_is_asked_over_ever_more_rarely)
{
    TALK_WORLD(t, "lost");
    uint64_t pause, all = 0;

    until_asked(&t);
    core_world_refuse(ERR_NETWORK_FAILURE);
    CHECK_U64(until_asked(&t), 0); /* once at once: the network may be another one */
    for (unsigned i = 0; i < 8; i++) {
        core_world_refuse(i % 2 ? ERR_CLOSED : ERR_NETWORK_FAILURE);
        pause = until_asked(&t);
        if (!CHECK(pause >= (UINT64_C(750) << i) && pause <= (UINT64_C(1250) << i) + 1000))
            check_failed(__FILE__, __LINE__, "%llu ms after %u", (unsigned long long)pause, i);
        all += pause;
    }
    CHECK(all < 10 * 60 * 1000);
    turned_wish(t.session); /* another network */
    CHECK(until_asked(&t) <= 2000);
    core_world_refuse(ERR_NETWORK_FAILURE);
    CHECK_U64(until_asked(&t), 0);
    answer_from_den();
    CHECK_U64(n_agents, 1);
}

TEST(what_no_connection_carried_keeps_its_number)
{
    TALK_WORLD(t, "number");

    hear(&t, 7, false);
    CHECK(is_asked());
    core_world_refuse(ERR_CLOSED);
    CHECK_U64(until_asked(&t), 0);
    answer_from_den();
    CHECK_U64(n_agents, 1);
    hear(&t, 7, false); /* the same one: nothing new begins */
    CHECK(!caught.is_open);
    has_failed = true;
    turned_look(t.session);
    check_told_failed(&t, 7);
}

TEST(what_den_or_the_router_says_is_a_failure_like_others)
{
    TALK_WORLD(t, "said");

    until_asked(&t);
    refuse_from_den(ERR_NETWORK_FAILURE);
    CHECK(until_asked(&t) >= 7500);
    core_world_refuse(ERR_TIMEOUT);
    CHECK(until_asked(&t) >= 15000);
}

TEST(who_gives_up_a_try_that_the_other_end_knows_says_so)
{
    TALK_WORLD(t, "told");

    until_asked(&t);
    refuse_from_den(ERR_LIMIT); /* nobody else heard of it */
    CHECK(!caught.is_open);

    hear(&t, 5, false);
    CHECK(is_asked());
    refuse_from_den(ERR_LIMIT);
    check_told_failed(&t, 5);
    core_world_refuse(ERR_CANCELED);

    hear(&t, 6, false);
    answer_from_den();
    CHECK_U64(n_agents, 1);
    has_failed = true; /* its checks led to nothing */
    turned_look(t.session);
    check_told_failed(&t, 6);
}

TEST(a_try_that_failed_at_the_other_end_ends_here)
{
    TALK_WORLD(t, "theirs");

    hear(&t, 3, false);
    answer_from_den();
    hear(&t, 4, true); /* one that is not known begins nothing, */
    hear(&t, 2, true); /* nor does another one end this one */
    CHECK(!caught.is_open);
    now += 5000;
    hear(&t, 3, true);
    CHECK(!caught.is_open);                 /* it knows */
    CHECK(until_asked(&t) <= 12500 + 1000); /* 15 s of this one, and then the pause */
    hear(&t, 4, true);                      /* while den is asked */
    answer_from_den();
    CHECK_U64(n_agents, 1);
}
