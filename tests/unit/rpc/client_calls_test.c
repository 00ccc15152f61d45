/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/rpc/talk.h"

#include "tests/check.h"

#include <stdio.h>

struct answer {
    unsigned n_progress, n_results, n_failures, n_cut;
    uint64_t first; /* of the last payload */
    struct err err;
};

static void on_outcome(void *user, const struct rpc_outcome *outcome)
{
    struct answer *answer = user;
    struct rpc_fields f;

    answer->n_progress += outcome->what == RPC_PROGRESS;
    answer->n_results += outcome->what == RPC_RESULTED;
    answer->n_failures += outcome->what == RPC_FAILED;
    answer->n_cut += rpc_outcome_is_cut(outcome);
    answer->err = outcome->err;
    if (outcome->what == RPC_FAILED)
        return;
    rpc_fields_open(&f, rpc_payload_args(outcome->payload));
    answer->first = rpc_fields_u64(&f, "first");
}

static uint64_t call(struct talk *t, const char *procedure, bool wants_progress,
                     struct answer *answer)
{
    _buf_ args = { 0 };

    return rpc_client_call(t->client, t->now, procedure, talk_numbers(&args, 42), 1000,
                           wants_progress, on_outcome, answer);
}

TEST(calls_bring_results_errors_and_progress)
{
    static const struct {
        const char *procedure;
        bool wants_progress;
        unsigned n_progress, n_results, n_failures;
    } cases[] = {
        { "a.echo", false, 0, 1, 0 }, { "a.steps", true, 2, 1, 0 },   { "a.steps", false, 0, 1, 0 },
        { "a.fail", false, 0, 0, 1 }, { "a.silent", false, 0, 0, 0 },
    };
    _talk_ t;

    talk_init(&t, false);
    talk_open(&t);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct answer answer = { 0 };
        uint64_t number = call(&t, cases[i].procedure, cases[i].wants_progress, &answer);
        talk_pump(&t);
        CHECK_U64(answer.n_progress, cases[i].n_progress);
        CHECK_U64(answer.n_results, cases[i].n_results);
        CHECK_U64(answer.n_failures, cases[i].n_failures);
        CHECK_U64(answer.n_cut, 0); /* an error is an answer */
        if (answer.n_results)
            CHECK_U64(answer.first, 42);
        if (answer.n_failures) {
            CHECK_U64(answer.err.code, ERR_NOT_REACHABLE);
            CHECK_STR(answer.err.text, "it is asleep");
        }
        rpc_client_forget(t.client, number); /* one that is over: harmless */
    }
}

/* What an ERROR brought besides its code, and what never came over the wire. */
struct told {
    char uri[64];
    struct buf payload;
    struct err err;
    unsigned n;
    uint64_t publication;
};

static void on_told(void *user, const struct rpc_outcome *outcome)
{
    struct told *told = user;

    told->n++;
    told->publication = outcome->publication;
    told->err = outcome->what == RPC_FAILED ? outcome->err : (struct err){ 0 };
    snprintf(told->uri, sizeof(told->uri), "%.*s", VIEW_FMT(outcome->uri));
    buf_clear(&told->payload);
    buf_put(&told->payload, outcome->payload.bytes);
}

TEST(an_error_comes_with_its_uri_and_payload_and_a_lost_connection_with_none)
{
    _talk_ t;
    _buf_ payload = { 0 };
    struct told told = { 0 };
    struct rpc_client_ask ask = { .timeout = 1000, .on_outcome = on_told, .user = &told };

    talk_init(&t, false);
    talk_open(&t);
    rpc_put_array(&payload, 0);
    rpc_put_map(&payload, 1);
    rpc_put_str(&payload, "k");
    rpc_put_u64(&payload, 1);
    ask.payload = (struct rpc_payload){ buf_view(&payload), 2 };
    ask.procedure = "a.echo";
    rpc_client_ask(t.client, t.now, &ask);
    talk_pump(&t);
    CHECK_VIEW(buf_view(&told.payload), buf_view(&payload));
    ask.procedure = "a.fail";
    rpc_client_ask(t.client, t.now, &ask);
    talk_pump(&t);
    CHECK_STR(told.uri, "den.error.not_reachable");
    CHECK(told.payload.len > 10);
    ask.procedure = "a.silent";
    rpc_client_ask(t.client, t.now, &ask);
    talk_pump(&t);
    rpc_client_closed(t.client, t.now, &(struct err){ ERR_NETWORK_FAILURE, "lost" });
    CHECK_U64(told.n, 3);
    CHECK_STR(told.uri, "");
    CHECK_U64(told.err.code, ERR_NETWORK_FAILURE);
    buf_free(&told.payload);
}

TEST(a_canceled_call_ends_with_the_routers_word)
{
    _talk_ t;
    struct answer answer = { 0 };

    talk_init(&t, false);
    uint64_t unsent = call(&t, "a.silent", false, &answer);
    rpc_client_cancel(t.client, unsent, "kill");
    talk_open(&t);
    CHECK_U64(talk_count(&t, RPC_CANCEL), 0);
    rpc_client_tick(t.client, t.now);
    CHECK_U64(answer.n_failures, 1);
    uint64_t number = call(&t, "a.silent", false, &answer);
    rpc_client_cancel(t.client, number, "kill");
    talk_pump(&t);
    CHECK_U64(talk_count(&t, RPC_CANCEL), 1);
    CHECK_STR(t.router.seen[t.router.n_seen - 1].uri, "kill");
    CHECK_U64(answer.n_failures, 2);
    CHECK_U64(answer.err.code, ERR_CANCELED);
    rpc_client_cancel(t.client, number, "kill"); /* over: harmless */
    talk_pump(&t);
    CHECK_U64(talk_count(&t, RPC_CANCEL), 1);
}

TEST(publications_are_acknowledged_when_that_is_asked_for)
{
    static const struct {
        const char *topic;
        enum err_code code;
    } cases[] = { { "a.open", ERR_NONE }, { "a.closed", ERR_NOT_AUTHORIZED } };
    _talk_ t;
    struct told told = { 0 };
    struct rpc_publish_options options = { .on_published = on_told, .user = &told };

    talk_init(&t, false);
    rpc_client_tell(t.client, t.now, "a.open", &options, (struct rpc_payload){ 0 });
    rpc_client_tick(t.client, t.now);
    CHECK_U64(told.n, 1);
    CHECK_U64(told.err.code, ERR_NETWORK_FAILURE);
    talk_open(&t);
    rpc_client_tell(t.client, t.now, "a.open", NULL, (struct rpc_payload){ 0 });
    talk_pump(&t);
    CHECK_U64(told.n, 1);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        rpc_client_tell(t.client, t.now, cases[i].topic, &options, (struct rpc_payload){ 0 });
        talk_pump(&t);
        CHECK_U64(told.n, i + 2);
        CHECK_U64(told.err.code, cases[i].code);
        CHECK_U64(told.publication, cases[i].code ? 0 : 77);
    }
    rpc_client_tell(t.client, t.now, "a.open", &options, (struct rpc_payload){ 0 });
    rpc_client_closed(t.client, t.now, &(struct err){ ERR_NETWORK_FAILURE, "lost" });
    CHECK_U64(told.n, 4);
    CHECK_STR(told.err.text, "lost");
    buf_free(&told.payload);
}

TEST(requests_are_numbered_from_1_in_every_session)
{
    _talk_ t;
    struct answer answer = { 0 };

    talk_init(&t, false);
    for (int session = 0; session < 2; session++) {
        talk_open(&t);
        t.router.n_seen = 0;
        call(&t, "a.echo", false, &answer);
        rpc_client_publish(t.client, t.now, "a.topic", NULL, VIEW_LIT(""));
        call(&t, "a.echo", false, &answer);
        talk_pump(&t);
        for (uint64_t i = 0; i < 3; i++)
            CHECK_U64(t.router.seen[i].request, i + 1);
        rpc_client_closed(t.client, t.now, &(struct err){ ERR_NETWORK_FAILURE, "lost" });
    }
}

TEST(a_call_without_an_answer_times_out_and_a_late_one_is_dropped)
{
    _talk_ t;
    struct answer answer = { 0 };
    struct rpc_msg late = { .type = RPC_RESULT };

    talk_init(&t, false);
    talk_open(&t);
    call(&t, "a.silent", false, &answer);
    talk_pump(&t);
    CHECK_U64(rpc_client_deadline(t.client), TALK_START + 1000);
    rpc_client_tick(t.client, TALK_START + 999);
    CHECK_U64(answer.n_failures, 0);
    t.now = TALK_START + 1000;
    rpc_client_tick(t.client, t.now);
    CHECK_U64(answer.n_failures, 1);
    CHECK_U64(answer.err.code, ERR_TIMEOUT);
    CHECK_U64(answer.n_cut, 0); /* whoever was called may be at it */
    talk_pump(&t);
    CHECK_U64(talk_count(&t, RPC_CANCEL), 1); /* whoever works on it may stop */
    late.result.request = 1;
    fake_router_send(&t.router, &late);
    talk_pump(&t);
    CHECK_U64(answer.n_results, 0);
    CHECK(rpc_client_is_up(t.client));
    CHECK_U64(rpc_client_deadline(t.client), NEVER_MS);
}

TEST(progress_gives_a_call_more_time)
{
    _talk_ t;
    struct answer answer = { 0 };
    struct rpc_msg step = { .type = RPC_RESULT };

    talk_init(&t, false);
    talk_open(&t);
    call(&t, "a.silent", true, &answer);
    t.now = TALK_START + 900;
    step.result.request = 1;
    step.result.progress = true;
    fake_router_send(&t.router, &step);
    talk_pump(&t);
    CHECK_U64(answer.n_progress, 1);
    rpc_client_tick(t.client, TALK_START + 1899);
    CHECK_U64(answer.n_failures, 0);
    rpc_client_tick(t.client, TALK_START + 1900);
    CHECK_U64(answer.n_failures, 1);
}

TEST(a_forgotten_call_is_silent)
{
    _talk_ t;
    struct answer answer = { 0 };

    talk_init(&t, false);
    talk_open(&t);
    rpc_client_forget(t.client, call(&t, "a.echo", false, &answer));
    talk_pump(&t);
    rpc_client_tick(t.client, TALK_START + 5000);
    CHECK_U64(answer.n_results + answer.n_failures, 0);
}

TEST(a_call_without_a_session_fails_at_the_next_tick)
{
    _talk_ t;
    struct answer answer = { 0 };

    talk_init(&t, false);
    call(&t, "a.echo", false, &answer);
    CHECK_U64(answer.n_failures, 0);
    CHECK(rpc_client_deadline(t.client) <= t.now);
    rpc_client_tick(t.client, t.now);
    CHECK_U64(answer.n_failures, 1);
    CHECK_U64(answer.n_cut, 1);
    CHECK_U64(answer.err.code, ERR_NETWORK_FAILURE);
    CHECK_STR(answer.err.text, "not connected to the router");
    CHECK_U64(rpc_client_deadline(t.client), NEVER_MS);
}

static struct talk *again_talk;
static struct answer again_answer;

static void call_again(void *user, const struct rpc_outcome *outcome)
{
    on_outcome(user, outcome);
    call(again_talk, "a.echo", false, &again_answer);
}

TEST(a_lost_connection_fails_what_waits_even_when_that_calls_again)
{
    _talk_ t;
    struct answer answer = { 0 };

    talk_init(&t, false);
    again_talk = &t;
    again_answer = (struct answer){ 0 };
    talk_open(&t);
    rpc_client_call(t.client, t.now, "a.silent", VIEW_LIT(""), 1000, false, call_again, &answer);
    talk_pump(&t);
    rpc_client_closed(t.client, t.now,
                      &(struct err){ ERR_NETWORK_FAILURE, "the connection was lost" });
    CHECK_U64(answer.n_failures, 1);
    CHECK_U64(answer.n_cut, 1);
    CHECK_STR(answer.err.text, "the connection was lost");
    CHECK_U64(t.n_down, 1);
    CHECK_U64(again_answer.n_failures, 0);
    rpc_client_tick(t.client, t.now);
    CHECK_U64(again_answer.n_failures, 1);
}
