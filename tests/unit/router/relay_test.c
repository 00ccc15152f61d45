/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/router/relay_ends.h"

static uint64_t counter(const struct relay_scene *scene, enum metric metric)
{
    return scene->world->router->metrics.counter[metric];
}

static uint64_t limit(const struct relay_scene *scene, enum metric_limit limit)
{
    return scene->world->router->metrics.limit[limit];
}

TEST(two_ends_exchange_datagrams_in_order)
{
    _cleanup_(relay_scene_freep) struct relay_scene *s = relay_scene_new();
    struct relay_end *a = end_open(s, 0), *b;

    CHECK_STR(a->words, "waiting ");
    end_send(a, "early");
    b = end_open(s, 1);
    CHECK_STR(a->words, "waiting paired ");
    CHECK_STR(b->words, "paired ");
    CHECK_STR(buf_cstr(&b->got), "early|");
    end_send(a, "one");
    end_send(b, "two");
    end_send(a, "three");
    CHECK_STR(buf_cstr(&b->got), "early|one|three|");
    CHECK_STR(buf_cstr(&a->got), "two|");
    CHECK_U64(relay_n_sessions(s->relay), 1);
    CHECK_U64(counter(s, METRIC_RELAY_DATAGRAMS), 3);
    CHECK_U64(counter(s, METRIC_RELAY_BYTES), 11);
}

/* ---- what an opening has to say --------------------------------------------------------------- */

static struct key *stranger;
static uint8_t other_bytes[32];

static void wrong_key(struct relay_say *say)
{
    say->key = stranger;
}
static void wrong_side(struct relay_say *say)
{
    say->y.side = !say->y.side;
}
static void wrong_pk(struct relay_say *say)
{
    say->y.pk = key_public_view(stranger);
}
static void wrong_router(struct relay_say *say)
{
    say->y.router_pk = key_public_view(stranger);
}
static void wrong_nonce(struct relay_say *say)
{
    say->y.nonce = VIEW_ARR(other_bytes);
}
static void wrong_exporter(struct relay_say *say)
{
    say->y.binding_data = VIEW_ARR(other_bytes);
}
static void no_binding(struct relay_say *say)
{
    say->y.binding = VIEW_LIT("none");
    say->y.binding_data = VIEW_ARR(say->zeros);
}
static void proxy_binding(struct relay_say *say)
{
    say->y.binding = VIEW_LIT("tls-server-end-point");
}
static void wrong_sid(struct relay_say *say)
{
    say->y.sid = VIEW(other_bytes, RPC_SID);
}
static void wrong_grant_hash(struct relay_say *say)
{
    say->y.grant_hash = VIEW_ARR(other_bytes);
}
static void wrong_network(struct relay_say *say)
{
    say->y.netid = VIEW_ARR(other_bytes);
}
static void admission_of_another(struct relay_say *say)
{
    say->admission_id = "777777";
}
static void admission_of_another_key(struct relay_say *say)
{
    say->admission_key = stranger;
}

TEST(openings_that_do_not_hold_are_refused)
{
    static const struct {
        void (*spoil)(struct relay_say *say);
        const char *why;
    } cases[] = {
        { wrong_key, "relay: the signature does not verify" },
        { wrong_side, "relay: the signature does not verify" },
        { wrong_pk, "relay: pk: not that of its side" },
        { wrong_router, "relay: router_pk: of another router" },
        { wrong_nonce, "relay: nonce: not the one of this connection" },
        { wrong_exporter, "relay: binding: to another connection" },
        { no_binding, "relay: binding: to another connection" },
        { proxy_binding, "relay: binding: to another connection" },
        { wrong_sid, "relay: of another session" },
        { wrong_grant_hash, "relay: of another session" },
        { wrong_network, "relay: of another session" },
        { admission_of_another, "admission: not that of this end" },
        { admission_of_another_key, "admission: not that of this end" },
    };
    _cleanup_(relay_scene_freep) struct relay_scene *s = relay_scene_new();
    struct relay_say say;

    stranger = key_new();
    for (unsigned side = 0; side < 2; side++) {
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
            struct relay_end *end = end_new(s);
            say_init(&say, end, side);
            cases[i].spoil(&say);
            end_say(end, &say);
            CHECK_U64(end->code, RELAY_BAD_PROOF);
            CHECK(strstr(end->reason, cases[i].why));
            CHECK(!end->is_proved);
        }
    }
    CHECK_U64(counter(s, METRIC_RELAY_REFUSED), 2 * N_ELEMENTS(cases));
    CHECK_U64(relay_n_sessions(s->relay), 0);
    key_free(stranger);
}

TEST(an_opening_is_good_for_one_connection)
{
    _cleanup_(relay_scene_freep) struct relay_scene *s = relay_scene_new();
    struct relay_end *a = end_new(s), *thief = end_new(s);
    _buf_ message = { 0 };
    struct relay_say say;

    say_init(&say, a, 0);
    say_put(&say, a, &message);
    end_input(a, buf_view(&message));
    CHECK(a->is_proved);
    end_input(thief, buf_view(&message));
    CHECK_U64(thief->code, RELAY_BAD_PROOF);
    CHECK(!a->is_closed);
}

TEST(what_is_no_opening_is_refused)
{
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = { { "", 0 },    { "x", 1 }, { "\x90", 1 }, { "\x96", 1 }, { "\x96\xc4\x01x", 4 },
                  { "\xc1", 1 } };
    _cleanup_(relay_scene_freep) struct relay_scene *s = relay_scene_new();
    struct relay_end *end, *long_one = end_new(s);
    _buf_ message = { 0 };
    struct relay_say say;

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        end = end_new(s);
        end_input(end, VIEW(cases[i].bytes, cases[i].len));
        CHECK_U64(end->code, RELAY_BAD_MESSAGE);
    }
    say_init(&say, long_one, 0);
    say_put(&say, long_one, &message);
    buf_put_u8(&message, 0);
    end_input(long_one, buf_view(&message));
    CHECK_U64(long_one->code, RELAY_BAD_MESSAGE);
    end = end_new(s);
    relay_input(end->socket, s->world->now, true, VIEW_LIT("hello"));
    CHECK_U64(end->code, RELAY_BAD_MESSAGE);
    CHECK_U64(relay_closed(STEAL(end->socket), s->world->now), SOURCE_PROTOCOL);
}

static int code_of(struct relay_scene *s, unsigned side)
{
    struct relay_end *end = end_new(s);
    struct relay_say say;

    say_init(&say, end, side);
    end_say(end, &say);
    return end->is_closed ? end->code : 0;
}

TEST(grants_are_dens_and_installed)
{
    _cleanup_(relay_scene_freep) struct relay_scene *s = relay_scene_new();

    scene_grant(s, 2, NULL, false);
    CHECK_U64(code_of(s, 0), RELAY_NO_GRANT); /* den signed it, and never installed it */
    stranger = key_new();
    scene_grant(s, 3, stranger, false);
    CHECK_U64(code_of(s, 0), RELAY_NO_GRANT);
    scene_grant(s, 4, s->world->den_login, false);
    CHECK_U64(code_of(s, 0), RELAY_NO_GRANT);
    s->world->netid[0] ^= 1;
    scene_grant(s, 5, NULL, false);
    CHECK_U64(code_of(s, 0), RELAY_NO_GRANT);
    s->world->netid[0] ^= 1;
    key_free(stranger);
}

TEST(a_grant_of_before_a_restart_is_good_until_it_is_removed)
{
    _cleanup_(relay_scene_freep) struct relay_scene *s = relay_scene_new();
    _buf_ args = { 0 };

    world_pass(s->world, 1000);
    relay_scene_restart(s);
    CHECK_U64(code_of(s, 0), 0);
    rpc_put_array(&args, 1);
    rpc_put_bin(&args, VIEW_ARR(s->sid));
    CHECK_STR(try_call(s->den, "network.grant.remove", buf_view(&args)), "network.error.not_found");
    world_pass(s->world, 500);
    CHECK_U64(s->ends[0]->code, RELAY_ENDED);
    CHECK_U64(code_of(s, 0), RELAY_NO_GRANT);
    world_pass(s->world, 1000);
    scene_grant(s, 2, NULL, false);
    CHECK_U64(code_of(s, 0), RELAY_NO_GRANT);
}

TEST(a_removed_grant_closes_both_ends_after_their_last_words)
{
    _cleanup_(relay_scene_freep) struct relay_scene *s = relay_scene_new();
    struct relay_end *a = end_open(s, 0), *b = end_open(s, 1);

    scene_remove(s);
    CHECK(!a->is_closed && !b->is_closed);
    end_send(a, "goodbye");
    CHECK_STR(buf_cstr(&b->got), "goodbye|");
    CHECK_U64(code_of(s, 0), RELAY_NO_GRANT);
    world_pass(s->world, 500);
    CHECK_U64(a->code, RELAY_ENDED);
    CHECK_U64(b->code, RELAY_ENDED);
    CHECK_U64(relay_n_sessions(s->relay), 0);
    end_send(a, "late");
    CHECK_U64(b->n_got, 1);
    CHECK_U64(code_of(s, 0), RELAY_NO_GRANT);
}

static void revoke(struct relay_scene *s, enum rpc_revoked_kind kind, struct view subject)
{
    _buf_ args = { 0 };
    _buf_ one = { 0 };

    world_revoke(s->world, kind, "123456", subject, &one);
    rpc_put_array(&args, 1);
    rpc_put_array(&args, 1);
    rpc_put_raw(&args, buf_view(&one));
    CHECK_STR(try_call(s->den, "network.revocations.install", buf_view(&args)), "RESULT");
}

TEST(a_revoked_key_ends_the_session_for_both)
{
    _cleanup_(relay_scene_freep) struct relay_scene *s = relay_scene_new();
    struct relay_end *a = end_open(s, 0), *b = end_open(s, 1);

    revoke(s, RPC_REVOKED_IDENTITY, key_public_view(s->key[1]));
    CHECK_U64(a->code, RELAY_REVOKED);
    CHECK_U64(b->code, RELAY_REVOKED);
    CHECK_U64(code_of(s, 0), RELAY_REVOKED);
    CHECK_U64(code_of(s, 1), RELAY_REVOKED);
}

TEST(a_revoked_admission_closes_its_end)
{
    _cleanup_(relay_scene_freep) struct relay_scene *s = relay_scene_new();
    struct relay_end *a = end_open(s, 0), *b = end_open(s, 1);
    static const uint8_t two[8] = { [7] = 2 };

    revoke(s, RPC_REVOKED_ADMISSIONS, VIEW_ARR(two));
    CHECK(!a->is_closed);
    CHECK_STR(a->words, "waiting paired waiting ");
    CHECK_U64(b->code, RELAY_REVOKED);
    CHECK_U64(code_of(s, 1), RELAY_REVOKED);
    s->adm_no = 2;
    CHECK_U64(code_of(s, 1), 0);
    CHECK_STR(a->words, "waiting paired waiting paired ");
}

TEST(time_ends_a_session_and_an_admission)
{
    _cleanup_(relay_scene_freep) struct relay_scene *s = relay_scene_new();
    struct relay_end *a, *b;

    s->live_until = s->world->now.wall + 60 * SECOND_MS;
    scene_grant(s, 2, NULL, true);
    a = end_open(s, 0);
    b = end_open(s, 1);
    world_pass(s->world, 59 * SECOND_MS);
    CHECK(!a->is_closed && !b->is_closed);
    world_pass(s->world, SECOND_MS);
    CHECK_U64(a->code, RELAY_ENDED);
    CHECK_U64(b->code, RELAY_ENDED);
    CHECK_U64(code_of(s, 0), RELAY_ENDED);
    s->live_until = 0;
    scene_grant(s, 3, NULL, true);
    s->adm_not_after = s->world->now.wall + SECOND_MS;
    a = end_open(s, 0);
    s->adm_not_after += DAY_MS;
    b = end_open(s, 1);
    world_pass(s->world, SECOND_MS);
    CHECK_U64(a->code, RELAY_ENDED);
    CHECK(!b->is_closed);
    s->adm_not_after = s->world->now.wall;
    CHECK_U64(code_of(s, 0), RELAY_BAD_PROOF);
}

/* ---- places ----------------------------------------------------------------------------------- */

TEST(the_newest_of_a_side_counts)
{
    _cleanup_(relay_scene_freep) struct relay_scene *s = relay_scene_new();
    struct relay_end *a = end_open(s, 0), *b = end_open(s, 1), *again;

    end_send(a, "one");
    again = end_open(s, 0);
    CHECK_U64(a->code, RELAY_REPLACED);
    CHECK_STR(b->words, "paired paired ");
    CHECK_STR(again->words, "paired ");
    end_send(a, "nobody's");
    end_send(again, "two");
    end_send(b, "three");
    CHECK_STR(buf_cstr(&b->got), "one|two|");
    CHECK_U64(a->n_got, 0);
    CHECK_STR(buf_cstr(&again->got), "three|");
    end_drop(a); /* its end does not touch the newer one */
    end_send(b, "four");
    CHECK_STR(buf_cstr(&again->got), "three|four|");
}

TEST(an_end_without_the_other_is_closed_in_time)
{
    _cleanup_(relay_scene_freep) struct relay_scene *s = relay_scene_new();
    struct relay_end *silent = end_new(s), *a = end_open(s, 0), *b;

    world_pass(s->world, 10 * SECOND_MS);
    CHECK_U64(silent->code, RELAY_UNPAIRED);
    CHECK_U64(relay_closed(STEAL(silent->socket), s->world->now), SOURCE_SILENCE);
    world_pass(s->world, 20 * SECOND_MS - 1);
    CHECK(!a->is_closed);
    b = end_open(s, 1);
    world_pass(s->world, DAY_MS);
    CHECK(!a->is_closed && !b->is_closed);
    end_drop(b);
    CHECK_STR(a->words, "waiting paired waiting ");
    world_pass(s->world, 30 * SECOND_MS);
    CHECK_U64(a->code, RELAY_UNPAIRED);
    CHECK_U64(limit(s, LIMIT_RELAY_UNPAIRED), 1);
}

TEST(what_waits_for_the_other_end_is_bounded)
{
    _cleanup_(relay_scene_freep) struct relay_scene *s = relay_scene_new();
    struct relay_end *a = end_open(s, 0), *b;

    for (unsigned i = 0; i < RELAY_MAX_HELD + 5; i++)
        end_send(a, "x");
    CHECK_U64(counter(s, METRIC_RELAY_DROPPED_ALONE), 5);
    b = end_open(s, 1);
    CHECK_U64(b->n_got, RELAY_MAX_HELD);
}

TEST(as_many_sessions_as_may_be)
{
    _cleanup_(relay_scene_freep) struct relay_scene *s = relay_scene_new();

    s->world->config.max_relay_sessions = 1;
    end_open(s, 0);
    end_open(s, 1);
    scene_grant(s, 2, NULL, true);
    CHECK_U64(code_of(s, 0), RELAY_SESSIONS);
    CHECK_U64(limit(s, LIMIT_RELAY_SESSIONS), 1);
}

/* ---- quotas ----------------------------------------------------------------------------------- */

static void send_bytes(struct relay_end *end, size_t len)
{
    static const uint8_t bytes[RELAY_MAX_DATAGRAM + 1];

    end_input(end, VIEW(bytes, len));
}

TEST(datagrams_have_a_size)
{
    _cleanup_(relay_scene_freep) struct relay_scene *s = relay_scene_new();
    struct relay_end *a = end_open(s, 0), *b = end_open(s, 1);

    send_bytes(a, RELAY_MAX_DATAGRAM);
    CHECK_U64(b->n_got, 1);
    send_bytes(a, RELAY_MAX_DATAGRAM + 1);
    CHECK_U64(a->code, RELAY_TOO_LARGE);
    CHECK(!b->is_closed);
    send_bytes(b, 0);
    CHECK_U64(b->code, RELAY_BAD_MESSAGE);
}

TEST(a_session_has_so_many_bytes_however_often_it_connects)
{
    _cleanup_(relay_scene_freep) struct relay_scene *s = relay_scene_new();
    struct relay_end *a = end_open(s, 0), *b = end_open(s, 1);

    s->world->config.max_relay_session_bytes = 2500;
    send_bytes(a, 1000);
    send_bytes(b, 1000);
    end_drop(a);
    end_drop(b);
    a = end_open(s, 0);
    b = end_open(s, 1);
    send_bytes(a, 500);
    CHECK_U64(b->n_got, 1);
    send_bytes(b, 1);
    CHECK_U64(a->code, RELAY_SESSION_BYTES);
    CHECK_U64(b->code, RELAY_SESSION_BYTES);
    CHECK_U64(limit(s, LIMIT_RELAY_SESSION_BYTES), 1);
}

TEST(a_peer_has_so_many_bytes_a_day)
{
    _cleanup_(relay_scene_freep) struct relay_scene *s = relay_scene_new();
    struct relay_end *a = end_open(s, 0), *b = end_open(s, 1);

    s->world->config.max_relay_peer_bytes = 2000;
    send_bytes(a, 1500);
    send_bytes(b, 1500);
    scene_grant(s, 2, NULL, true); /* another session of the same two */
    a = end_open(s, 0);
    b = end_open(s, 1);
    send_bytes(a, 501);
    CHECK_U64(a->code, RELAY_PEER_BYTES);
    CHECK(!b->is_closed);
    send_bytes(b, 500);
    CHECK_U64(code_of(s, 1), RELAY_PEER_BYTES); /* it is all used up */
    world_pass(s->world, DAY_MS);
    CHECK_U64(code_of(s, 1), 0);
    CHECK_U64(limit(s, LIMIT_RELAY_PEER_BYTES), 2);
}

TEST(rates_drop_and_close_nothing)
{
    _cleanup_(relay_scene_freep) struct relay_scene *s = relay_scene_new();
    struct relay_end *a = end_open(s, 0), *b = end_open(s, 1);
    size_t burst;

    s->world->config.max_relay_session_rate = 100000;
    for (int i = 0; i < 100; i++)
        send_bytes(a, 1000);
    burst = b->n_got;
    CHECK(burst == 65); /* 64 KiB at once */
    CHECK_U64(counter(s, METRIC_RELAY_DROPPED_SESSION), 35);
    world_pass(s->world, 100);
    for (int i = 0; i < 100; i++)
        send_bytes(b, 1000);
    CHECK_U64(a->n_got, 10); /* a tenth of a second's share; both ways are one session */
    s->world->config.max_relay_session_rate = 0;
    s->world->config.max_relay_peer_rate = 100000;
    world_pass(s->world, 10000);
    for (int i = 0; i < 100; i++) {
        send_bytes(a, 1000);
        send_bytes(b, 1000);
    }
    CHECK_U64(b->n_got, burst + 65);
    CHECK_U64(a->n_got, 10 + 65); /* each has its own */
    CHECK_U64(counter(s, METRIC_RELAY_DROPPED_PEER), 70);
    CHECK_U64(limit(s, LIMIT_RELAY_PEER_RATE), 70);
    CHECK(!a->is_closed && !b->is_closed);
}

TEST(a_slow_receiver_loses_its_own)
{
    _cleanup_(relay_scene_freep) struct relay_scene *s = relay_scene_new();
    struct relay_end *a = end_open(s, 0), *b = end_open(s, 1);

    b->queued = s->world->config.max_relay_queue - 999;
    send_bytes(a, 1000);
    CHECK_U64(b->n_got, 0);
    send_bytes(a, 999);
    CHECK_U64(b->n_got, 1);
    send_bytes(b, 1000);
    CHECK_U64(a->n_got, 1);
    CHECK_U64(counter(s, METRIC_RELAY_DROPPED_QUEUE), 1);
    CHECK_U64(limit(s, LIMIT_RELAY_QUEUE), 1);
}

TEST(a_router_that_stops_or_does_not_relay_says_so)
{
    _cleanup_(relay_scene_freep) struct relay_scene *s = relay_scene_new();
    struct relay_end *a = end_open(s, 0), *late;

    relay_shut_down(s->relay, "nothing is relayed here any more");
    CHECK_U64(a->code, RELAY_GOING_AWAY);
    s->world->config.relay = false;
    late = end_new(s);
    CHECK_U64(late->code, RELAY_GOING_AWAY);
    CHECK(!late->has_nonce);
    s->world->config.relay = true;
    a = end_open(s, 0);
    router_drain(s->world->router, s->world->now);
    CHECK_U64(a->code, RELAY_GOING_AWAY);
    late = end_new(s);
    CHECK_U64(late->code, RELAY_GOING_AWAY);
}
