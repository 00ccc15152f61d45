/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/rpc/fake_router.h"

#include "base/clock.h"
#include "tests/check.h"

#include <stdio.h>

enum { START = 5000000 };

/* A client and its router, joined by two queues. */
struct talk {
    struct fake_router router;
    struct key *key;
    struct rpc_trust *trust;
    struct rpc_client *client;
    uint64_t now;
    struct buf to_client[64];
    size_t n_to_client, n_taken;
    unsigned n_up, n_down, n_trust, n_refused, n_admitted;
    struct err down;
    bool forbids_admission;
    uint64_t interrupted;
};

static void to_client(void *user, struct view frame)
{
    struct talk *t = user;

    if (CHECK(t->n_to_client < N_ELEMENTS(t->to_client)))
        buf_put(&t->to_client[t->n_to_client++], frame);
}

static void on_up(void *user)
{
    ((struct talk *)user)->n_up++;
}

static void on_down(void *user, const struct err *why)
{
    struct talk *t = user;

    t->n_down++;
    t->down = *why;
}

static void on_trust(void *user)
{
    ((struct talk *)user)->n_trust++;
}

static void on_refused(void *user, const char *uri, const struct err *why)
{
    ((struct talk *)user)->n_refused++;
    CHECK_STR(uri, "peer.456000.chat");
    CHECK_U64(why->code, ERR_ALREADY_EXISTS);
}

static void on_interrupt(void *user, uint64_t inv)
{
    ((struct talk *)user)->interrupted = inv;
}

static bool admitted(void *user, struct view bytes, struct view sig, const struct rpc_admission *a,
                     struct err *err)
{
    struct talk *t = user;

    t->n_admitted++;
    CHECK_VIEW(a->id, VIEW_LIT("456000"));
    CHECK(key_verify(key_public_view(t->router.den_sign), bytes, sig));
    return !t->forbids_admission || err_set(err, ERR_BAD_STATEMENT, "made for another enrolment");
}

static bool credentials(void *user, struct buf *ret_extra, struct err *err)
{
    (void)user;
    (void)err;
    rpc_put_map(ret_extra, 0);
    return true;
}

static void talk_init(struct talk *t, bool is_den)
{
    struct rpc_client_config config = {
        .agent = "test/1",
        .is_den = is_den,
        .credentials = credentials,
        .admitted = admitted,
        .on_up = on_up,
        .on_down = on_down,
        .on_trust = on_trust,
        .on_refused = on_refused,
        .on_interrupt = on_interrupt,
        .wall = fake_wall,
        .user = t,
    };
    struct err err;

    *t = (struct talk){ .now = START };
    CHECK_OK(key_init(&err), err);
    fake_router_init(&t->router);
    t->router.send = to_client;
    t->router.user = t;
    t->key = is_den ? fake_key(RPC_KEY_DEN_LOGIN) : key_new();
    t->trust = fake_router_trust(&t->router);
    config.key = t->key;
    config.trust = t->trust;
    t->client = rpc_client_new(&config);
}

static void talk_deinit(struct talk *t)
{
    rpc_client_free(t->client);
    rpc_trust_free(t->trust);
    key_free(t->key);
    fake_router_deinit(&t->router);
    for (size_t i = 0; i < t->n_to_client; i++)
        buf_free(&t->to_client[i]);
}
#define _talk_ _cleanup_(talk_deinit) struct talk

/* Until both have nothing more to say. */
static void pump(struct talk *t)
{
    _buf_ frame = { 0 };
    bool has_moved = true;

    while (has_moved) {
        has_moved = false;
        while (rpc_client_output(t->client, &frame)) {
            fake_router_input(&t->router, buf_view(&frame));
            has_moved = true;
        }
        for (; t->n_taken < t->n_to_client; t->n_taken++, has_moved = true)
            rpc_client_input(t->client, t->now, buf_view(&t->to_client[t->n_taken]));
        for (size_t i = 0; i < t->n_to_client; i++)
            buf_free(&t->to_client[i]);
        t->n_taken = t->n_to_client = 0;
    }
}

static void open_session(struct talk *t)
{
    uint8_t exporter[32];

    random_bytes(exporter, sizeof(exporter));
    fake_router_opened(&t->router, exporter);
    rpc_client_opened(t->client, t->now, exporter);
    pump(t);
}

static size_t count_seen(const struct talk *t, enum rpc_type type)
{
    size_t n = 0;

    for (size_t i = 0; i < t->router.n_seen; i++)
        n += t->router.seen[i].type == type;
    return n;
}

static struct view numbers(struct buf *to, uint64_t n)
{
    rpc_put_array(to, 1);
    rpc_put_u64(to, n);
    return buf_view(to);
}

/* ---- joining --------------------------------------------------------------------------------- */

TEST(a_peer_joins)
{
    _talk_ t;

    talk_init(&t, false);
    open_session(&t);
    CHECK(rpc_client_is_up(t.client));
    CHECK(t.router.has_proved);
    CHECK_STR(rpc_client_id(t.client), "456000");
    CHECK_STR(rpc_client_role(t.client), "peer");
    CHECK_U64(rpc_client_session(t.client), t.router.session);
    CHECK_U64(t.n_up + t.n_trust + t.n_admitted, 3);
    CHECK_U64(t.n_down, 0);
    CHECK(rpc_trust_heartbeat(t.trust)->hb_no == 7);
    CHECK_U64(rpc_client_deadline(t.client), NEVER_MS);
}

TEST(den_joins_before_its_first_heartbeat)
{
    _talk_ t;

    talk_init(&t, true);
    t.router.lie = LIE_NO_HEARTBEAT;
    open_session(&t);
    CHECK(rpc_client_is_up(t.client));
    CHECK_STR(rpc_client_role(t.client), "den");
    CHECK_U64(t.n_admitted, 0);
}

TEST(den_is_let_in_with_an_older_heartbeat_than_its_own)
{
    _talk_ t;

    talk_init(&t, true);
    open_session(&t);
    t.router.hb_no = 6;
    rpc_client_closed(t.client, t.now, &(struct err){ ERR_NETWORK_FAILURE, "lost" });
    open_session(&t);
    CHECK(rpc_client_is_up(t.client));
}

TEST(a_router_that_lies_gets_nothing_signed)
{
    static const struct {
        enum fake_lie lie;
        enum err_code code;
        const char *text;
    } cases[] = {
        { LIE_METHOD, ERR_BAD_WIRE,
          "CHALLENGE: the router asks for ticket, we prove by netsign alone" },
        { LIE_PIN, ERR_BAD_PIN, NULL },
        { LIE_KEY, ERR_UNLISTED_KEY, NULL },
        { LIE_SIGNER, ERR_BAD_SIGNATURE,
          "CHALLENGE: netsign: the router's proof does not verify: another key, or somebody in "
          "between" },
        { LIE_EXPORTER, ERR_BAD_SIGNATURE,
          "CHALLENGE: netsign: the router's proof does not verify: another key, or somebody in "
          "between" },
        { LIE_NONCE, ERR_BAD_SIGNATURE,
          "CHALLENGE: netsign: the router's proof does not verify: another key, or somebody in "
          "between" },
        { LIE_NO_NONCE, ERR_BAD_WIRE, "CHALLENGE: extra: nonce: not 32 bytes" },
        { LIE_NO_HEARTBEAT, ERR_DEN_AWAY,
          "CHALLENGE: the network's authority (den) was not there yet" },
        { LIE_HEARTBEAT_SIGNER, ERR_BAD_SIGNATURE, NULL },
        { LIE_WELCOME_AT_ONCE, ERR_BAD_WIRE, "WELCOME while waiting for CHALLENGE" },
        { LIE_NONSENSE, ERR_BAD_WIRE, NULL },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _talk_ t;
        talk_init(&t, false);
        t.router.lie = cases[i].lie;
        open_session(&t);
        CHECK_U64(t.n_up, 0);
        CHECK_U64(t.n_down, 1);
        CHECK_U64(t.down.code, cases[i].code);
        if (cases[i].text)
            CHECK_STR(t.down.text, cases[i].text);
        CHECK_U64(count_seen(&t, RPC_AUTHENTICATE), 0);
        CHECK_U64(count_seen(&t, RPC_ABORT), 1); /* it is told why */
        CHECK(rpc_client_wants_close(t.client));
    }
}

TEST(an_admission_that_is_not_ours_is_refused)
{
    static const struct {
        enum fake_lie lie;
        enum err_code code;
        const char *text;
    } cases[] = {
        { LIE_NO_ADMISSION, ERR_BAD_WIRE, "WELCOME: no admission in authextra" },
        { LIE_ADMISSION_SIGNER, ERR_BAD_SIGNATURE, NULL },
        { LIE_ADMISSION_PK, ERR_WRONG_KEY, "WELCOME: admission: for another key than ours" },
        { LIE_ADMISSION_ID, ERR_BAD_STATEMENT,
          "WELCOME: admission: for 456001, but the router calls us 456000" },
        { LIE_ADMISSION_ROLE, ERR_BAD_STATEMENT,
          "WELCOME: admission: for role admin, but the router says peer" },
        { LIE_ADMISSION_EXPIRED, ERR_EXPIRED, "WELCOME: admission: it has expired" },
        { LIE_ADMISSION_NETWORK, ERR_BAD_STATEMENT, "WELCOME: admission: another network's" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _talk_ t;
        talk_init(&t, false);
        t.router.lie = cases[i].lie;
        open_session(&t);
        CHECK_U64(t.n_up, 0);
        CHECK_U64(t.n_admitted, 0);
        CHECK_U64(t.n_down, 1);
        CHECK_U64(t.down.code, cases[i].code);
        if (cases[i].text)
            CHECK_STR(t.down.text, cases[i].text);
        CHECK_U64(count_seen(&t, RPC_ABORT), 1);
    }
}

TEST(the_owner_may_refuse_an_admission)
{
    _talk_ t;

    talk_init(&t, false);
    t.forbids_admission = true;
    open_session(&t);
    CHECK_U64(t.n_up, 0);
    CHECK_STR(t.down.text, "WELCOME: made for another enrolment");
}

TEST(an_old_heartbeat_is_refused_once_a_newer_was_seen)
{
    _talk_ t;

    talk_init(&t, false);
    open_session(&t);
    rpc_client_closed(t.client, t.now, &(struct err){ ERR_NETWORK_FAILURE, "lost" });
    t.router.hb_no = 6;
    open_session(&t);
    CHECK_U64(t.down.code, ERR_STALE);
    CHECK_STR(t.down.text, "CHALLENGE: heartbeat: older than one that was seen before");
}

TEST(the_routers_own_refusal_keeps_its_code)
{
    _talk_ t;

    talk_init(&t, false);
    t.router.lie = LIE_ABORT;
    open_session(&t);
    CHECK_U64(t.down.code, ERR_NO_SUCH_REALM);
    CHECK(rpc_client_wants_close(t.client));
    CHECK_U64(count_seen(&t, RPC_ABORT), 0);
}

TEST(a_silent_router_is_given_ten_seconds)
{
    _talk_ t;

    talk_init(&t, false);
    t.router.lie = LIE_SILENCE;
    open_session(&t);
    CHECK_U64(rpc_client_deadline(t.client), START + 10000);
    rpc_client_tick(t.client, START + 9999);
    CHECK_U64(t.n_down, 0);
    rpc_client_tick(t.client, START + 10000);
    CHECK_U64(t.n_down, 1);
    CHECK_U64(t.down.code, ERR_TIMEOUT);
    CHECK_STR(t.down.text, "the router did not answer while waiting for CHALLENGE");
}

/* ---- calls ----------------------------------------------------------------------------------- */

struct answer {
    unsigned n_progress, n_results, n_failures;
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

    return rpc_client_call(t->client, t->now, procedure, numbers(&args, 42), 1000, wants_progress,
                           on_outcome, answer);
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
    open_session(&t);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct answer answer = { 0 };
        uint64_t number = call(&t, cases[i].procedure, cases[i].wants_progress, &answer);
        pump(&t);
        CHECK_U64(answer.n_progress, cases[i].n_progress);
        CHECK_U64(answer.n_results, cases[i].n_results);
        CHECK_U64(answer.n_failures, cases[i].n_failures);
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
    open_session(&t);
    rpc_put_array(&payload, 0);
    rpc_put_map(&payload, 1);
    rpc_put_str(&payload, "k");
    rpc_put_u64(&payload, 1);
    ask.payload = (struct rpc_payload){ buf_view(&payload), 2 };
    ask.procedure = "a.echo";
    rpc_client_ask(t.client, t.now, &ask);
    pump(&t);
    CHECK_VIEW(buf_view(&told.payload), buf_view(&payload));
    ask.procedure = "a.fail";
    rpc_client_ask(t.client, t.now, &ask);
    pump(&t);
    CHECK_STR(told.uri, "den.error.not_reachable");
    CHECK(told.payload.len > 10);
    ask.procedure = "a.silent";
    rpc_client_ask(t.client, t.now, &ask);
    pump(&t);
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
    open_session(&t);
    CHECK_U64(count_seen(&t, RPC_CANCEL), 0);
    rpc_client_tick(t.client, t.now);
    CHECK_U64(answer.n_failures, 1);
    uint64_t number = call(&t, "a.silent", false, &answer);
    rpc_client_cancel(t.client, number, "kill");
    pump(&t);
    CHECK_U64(count_seen(&t, RPC_CANCEL), 1);
    CHECK_STR(t.router.seen[t.router.n_seen - 1].uri, "kill");
    CHECK_U64(answer.n_failures, 2);
    CHECK_U64(answer.err.code, ERR_CANCELED);
    rpc_client_cancel(t.client, number, "kill"); /* over: harmless */
    pump(&t);
    CHECK_U64(count_seen(&t, RPC_CANCEL), 1);
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
    open_session(&t);
    rpc_client_tell(t.client, t.now, "a.open", NULL, (struct rpc_payload){ 0 });
    pump(&t);
    CHECK_U64(told.n, 1);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        rpc_client_tell(t.client, t.now, cases[i].topic, &options, (struct rpc_payload){ 0 });
        pump(&t);
        CHECK_U64(told.n, i + 2);
        CHECK_U64(told.err.code, cases[i].code);
        CHECK_U64(told.publication, cases[i].code ? 0 : 77);
    }
    rpc_client_tell(t.client, t.now, "a.open", &options, (struct rpc_payload){ 0 });
    rpc_client_closed(t.client, t.now, &(struct err){ ERR_NETWORK_FAILURE, "lost" });
    CHECK_U64(told.n, 4);
    CHECK_STR(told.err.text, "lost");
}

TEST(requests_are_numbered_from_1_in_every_session)
{
    _talk_ t;
    struct answer answer = { 0 };

    talk_init(&t, false);
    for (int session = 0; session < 2; session++) {
        open_session(&t);
        t.router.n_seen = 0;
        call(&t, "a.echo", false, &answer);
        rpc_client_publish(t.client, t.now, "a.topic", NULL, VIEW_LIT(""));
        call(&t, "a.echo", false, &answer);
        pump(&t);
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
    open_session(&t);
    call(&t, "a.silent", false, &answer);
    pump(&t);
    CHECK_U64(rpc_client_deadline(t.client), START + 1000);
    rpc_client_tick(t.client, START + 999);
    CHECK_U64(answer.n_failures, 0);
    t.now = START + 1000;
    rpc_client_tick(t.client, t.now);
    CHECK_U64(answer.n_failures, 1);
    CHECK_U64(answer.err.code, ERR_TIMEOUT);
    pump(&t);
    CHECK_U64(count_seen(&t, RPC_CANCEL), 1); /* whoever works on it may stop */
    late.result.request = 1;
    fake_router_send(&t.router, &late);
    pump(&t);
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
    open_session(&t);
    call(&t, "a.silent", true, &answer);
    t.now = START + 900;
    step.result.request = 1;
    step.result.progress = true;
    fake_router_send(&t.router, &step);
    pump(&t);
    CHECK_U64(answer.n_progress, 1);
    rpc_client_tick(t.client, START + 1899);
    CHECK_U64(answer.n_failures, 0);
    rpc_client_tick(t.client, START + 1900);
    CHECK_U64(answer.n_failures, 1);
}

TEST(a_forgotten_call_is_silent)
{
    _talk_ t;
    struct answer answer = { 0 };

    talk_init(&t, false);
    open_session(&t);
    rpc_client_forget(t.client, call(&t, "a.echo", false, &answer));
    pump(&t);
    rpc_client_tick(t.client, START + 5000);
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
    open_session(&t);
    rpc_client_call(t.client, t.now, "a.silent", VIEW_LIT(""), 1000, false, call_again, &answer);
    pump(&t);
    rpc_client_closed(t.client, t.now,
                      &(struct err){ ERR_NETWORK_FAILURE, "the connection was lost" });
    CHECK_U64(answer.n_failures, 1);
    CHECK_STR(answer.err.text, "the connection was lost");
    CHECK_U64(t.n_down, 1);
    CHECK_U64(again_answer.n_failures, 0);
    rpc_client_tick(t.client, t.now);
    CHECK_U64(again_answer.n_failures, 1);
}

/* ---- being called, events -------------------------------------------------------------------- */

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

static size_t last_seen(const struct talk *t)
{
    return t->router.n_seen - 1;
}

TEST(registrations_are_served_and_outlive_sessions)
{
    _talk_ t;
    _buf_ args = { 0 };
    struct served served = { 0 };
    struct err declined;

    talk_init(&t, false);
    rpc_client_register(t.client, t.now, "peer.456000.chat", on_inv, &served);
    numbers(&args, 9);
    for (size_t session = 0; session < 2; session++) {
        open_session(&t);
        fake_router_invoke(&t.router, id_of(&t, RPC_REGISTER, session), "peer", buf_view(&args));
        pump(&t);
        CHECK_U64(served.n, session + 1);
        CHECK_U64(served.first, 9);
        CHECK_STR(served.authid, "123456");
        CHECK_STR(served.authrole, "peer");
        rpc_client_yield(t.client, served.number, true, buf_view(&args));
        rpc_client_yield(t.client, served.number, false, buf_view(&args));
        rpc_client_yield(t.client, served.number, false, buf_view(&args)); /* answered: harmless */
        pump(&t);
        CHECK_U64(count_seen(&t, RPC_YIELD), 2 * (session + 1));
        CHECK_U64(t.router.seen[last_seen(&t)].request, t.router.last_invocation);
        rpc_client_closed(t.client, t.now, &(struct err){ ERR_NETWORK_FAILURE, "lost" });
        rpc_client_yield(t.client, served.number, false, buf_view(&args));
    }
    open_session(&t);
    err_set(&declined, ERR_DECLINED, "not now");
    fake_router_invoke(&t.router, id_of(&t, RPC_REGISTER, 2), "den", buf_view(&args));
    pump(&t);
    rpc_client_refuse(t.client, served.number, "peer", &declined);
    pump(&t);
    CHECK_U64(t.router.seen[last_seen(&t)].type, RPC_ERROR);
    CHECK_STR(t.router.seen[last_seen(&t)].uri, "peer.error.declined");
}

static void interrupt(struct talk *t, const char *mode)
{
    struct rpc_msg msg = { .type = RPC_INTERRUPT };

    msg.interrupt.request = t->router.last_invocation;
    msg.interrupt.mode = view_text(mode);
    fake_router_send(&t->router, &msg);
    pump(t);
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
        numbers(&args, 9);
        open_session(&t);
        fake_router_invoke(&t.router, id_of(&t, RPC_REGISTER, 0), "peer", buf_view(&args));
        pump(&t);
        interrupt(&t, cases[i].mode);
        CHECK_U64(count_seen(&t, RPC_ERROR), cases[i].n_errors);
        CHECK_U64(t.interrupted, served.number);
        t.interrupted = 0;
        interrupt(&t, cases[i].mode); /* it is over: harmless */
        rpc_client_yield(t.client, served.number, false, buf_view(&args));
        pump(&t);
        CHECK_U64(count_seen(&t, RPC_ERROR), cases[i].n_errors);
        CHECK_U64(count_seen(&t, RPC_YIELD), 0);
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
    numbers(&args, 9);
    open_session(&t);
    fake_router_invoke(&t.router, id_of(&t, RPC_REGISTER, 0), "peer", buf_view(&args));
    pump(&t);
    t.router.last_invocation--;
    fake_router_invoke(&t.router, id_of(&t, RPC_REGISTER, 0), "peer", buf_view(&args));
    pump(&t);
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
    open_session(&t);
    pump(&t);
    CHECK_U64(count_seen(&t, RPC_REGISTER), 1);
    gone.ids.second = id_of(&t, RPC_REGISTER, 0);
    fake_router_send(&t.router, &gone);
    pump(&t);
    CHECK(rpc_client_deadline(t.client) < NEVER_MS);
    t.now = rpc_client_deadline(t.client);
    rpc_client_tick(t.client, t.now);
    pump(&t);
    CHECK_U64(count_seen(&t, RPC_REGISTER), 2);
}

TEST(an_invocation_of_an_earlier_session_is_not_answered_in_the_next)
{
    _talk_ t;
    struct served served = { 0 };

    talk_init(&t, false);
    rpc_client_register(t.client, t.now, "peer.456000.chat", on_inv, &served);
    open_session(&t);
    fake_router_invoke(&t.router, id_of(&t, RPC_REGISTER, 0), "peer", VIEW_LIT(""));
    pump(&t);
    rpc_client_closed(t.client, t.now, &(struct err){ ERR_NETWORK_FAILURE, "lost" });
    open_session(&t);
    rpc_client_yield(t.client, served.number, false, VIEW_LIT(""));
    pump(&t);
    CHECK_U64(served.n, 1);
    CHECK_U64(count_seen(&t, RPC_YIELD), 0);
}

TEST(an_undisclosed_caller_ends_the_session)
{
    _talk_ t;
    struct served served = { 0 };

    talk_init(&t, false);
    rpc_client_register(t.client, t.now, "peer.456000.chat", on_inv, &served);
    open_session(&t);
    fake_router_invoke(&t.router, id_of(&t, RPC_REGISTER, 0), NULL, VIEW_LIT(""));
    pump(&t);
    CHECK_U64(served.n, 0);
    CHECK_STR(t.down.text, "INVOCATION: the caller is not disclosed");
    CHECK_STR(t.router.seen[last_seen(&t)].uri, "wamp.error.protocol_violation");
}

TEST(what_is_unregistered_is_not_served_any_more)
{
    _talk_ t;
    struct served served = { 0 };

    talk_init(&t, false);
    open_session(&t);
    rpc_client_register(t.client, t.now, "peer.456000.chat", on_inv, &served);
    rpc_client_unregister(t.client, t.now, "peer.456000.chat"); /* before its answer came */
    pump(&t);
    CHECK_U64(count_seen(&t, RPC_UNREGISTER), 1);
    fake_router_invoke(&t.router, id_of(&t, RPC_REGISTER, 0), "peer", VIEW_LIT(""));
    pump(&t);
    CHECK_U64(served.n, 0);
    CHECK_STR(t.router.seen[last_seen(&t)].uri, "wamp.error.no_such_procedure");
    rpc_client_closed(t.client, t.now, &(struct err){ ERR_NETWORK_FAILURE, "lost" });
    open_session(&t);
    CHECK_U64(count_seen(&t, RPC_REGISTER), 1);
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
    open_session(&t);
    CHECK_U64(s.n_up, 1);
    rpc_client_closed(t.client, t.now, &(struct err){ ERR_NETWORK_FAILURE, "lost" });
    t.router.refuses_registrations = true;
    open_session(&t);
    CHECK_U64(s.n_down, 1);
    CHECK_U64(s.why.code, ERR_ALREADY_EXISTS);
    CHECK_U64(t.n_refused, 0); /* it has its own ear */
    t.router.refuses_registrations = false;
    t.now += 3000;
    rpc_client_tick(t.client, t.now);
    pump(&t);
    CHECK_U64(s.n_up, 2);
    rpc_client_give_up(t.client, reg);
    pump(&t);
    CHECK_U64(count_seen(&t, RPC_UNREGISTER), 1);
    reg = rpc_client_take_up(t.client, &options);
    rpc_client_give_up(t.client, reg); /* before it was answered */
    pump(&t);
    CHECK_U64(count_seen(&t, RPC_UNREGISTER), 2);
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
    open_session(&t);
    struct rpc_client_reg *one = rpc_client_take_up(t.client, &options);
    pump(&t);
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
    pump(&t);
    CHECK_U64(s.n_up, 2);
    fake_router_event(&t.router, id, (struct view){ 0 });
    pump(&t);
    CHECK_U64(s.n_events, 2);
    rpc_client_give_up(t.client, one);
    pump(&t);
    CHECK_U64(count_seen(&t, RPC_UNSUBSCRIBE), 0);
    fake_router_event(&t.router, id, (struct view){ 0 });
    pump(&t);
    CHECK_U64(s.n_events, 3);
    rpc_client_give_up(t.client, two);
    pump(&t);
    CHECK_U64(count_seen(&t, RPC_UNSUBSCRIBE), 1);
    CHECK_U64(t.router.seen[last_seen(&t)].request, id);
    fake_router_event(&t.router, id, (struct view){ 0 });
    pump(&t);
    CHECK_U64(s.n_events, 3);
}

TEST(a_refused_registration_is_tried_again)
{
    _talk_ t;
    struct served served = { 0 };

    talk_init(&t, false);
    t.router.refuses_registrations = true;
    rpc_client_register(t.client, t.now, "peer.456000.chat", on_inv, &served);
    open_session(&t);
    CHECK_U64(t.n_refused, 1);
    t.router.refuses_registrations = false;
    t.now = rpc_client_deadline(t.client);
    CHECK(t.now > START && t.now < START + 60000);
    rpc_client_tick(t.client, t.now);
    pump(&t);
    CHECK_U64(count_seen(&t, RPC_REGISTER), 2);
    CHECK_U64(rpc_client_deadline(t.client), NEVER_MS);
    fake_router_invoke(&t.router, id_of(&t, RPC_REGISTER, 1), "peer", VIEW_LIT(""));
    pump(&t);
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
    numbers(&args, 5);
    rpc_client_subscribe(t.client, t.now, "den.heartbeat", true, on_event, &sum);
    for (size_t session = 0; session < 2; session++) {
        open_session(&t);
        fake_router_event(&t.router, id_of(&t, RPC_SUBSCRIBE, session), buf_view(&args));
        fake_router_event(&t.router, 99999, buf_view(&args)); /* of nothing we know: passed over */
        pump(&t);
        CHECK_U64(sum, 5 * (session + 1));
        rpc_client_closed(t.client, t.now, &(struct err){ ERR_NETWORK_FAILURE, "lost" });
    }
}

/* ---- leaving --------------------------------------------------------------------------------- */

TEST(goodbye_is_answered_on_both_sides)
{
    _talk_ t;
    struct rpc_msg bye = { .type = RPC_GOODBYE };

    talk_init(&t, false);
    open_session(&t);
    rpc_client_goodbye(t.client, t.now);
    CHECK(!rpc_client_wants_close(t.client));
    pump(&t);
    CHECK(rpc_client_wants_close(t.client));
    CHECK_STR(t.down.text, "goodbye said");
    rpc_client_closed(t.client, t.now, &(struct err){ ERR_NETWORK_FAILURE, "lost" });
    CHECK_U64(t.n_down, 1);

    open_session(&t);
    t.router.n_seen = 0;
    bye.goodbye.reason = view_text("wamp.close.system_shutdown");
    bye.goodbye.retry_after = 1234;
    fake_router_send(&t.router, &bye);
    pump(&t);
    CHECK_STR(t.router.seen[0].uri, "wamp.close.goodbye_and_out");
    CHECK_U64(t.down.code, ERR_CLOSED);
    CHECK_STR(t.down.text, "the router said goodbye: wamp.close.system_shutdown");
    CHECK_U64(rpc_client_take_retry_after(t.client), 1234);
    CHECK_U64(rpc_client_take_retry_after(t.client), 0);
}

TEST(a_goodbye_without_an_answer_ends_all_the_same)
{
    _talk_ t;

    talk_init(&t, false);
    open_session(&t);
    rpc_client_goodbye(t.client, t.now);
    t.now = rpc_client_deadline(t.client);
    CHECK(t.now > START && t.now < START + 60000);
    rpc_client_tick(t.client, t.now);
    CHECK(rpc_client_wants_close(t.client));
    CHECK_U64(t.n_down, 1);
}

TEST(messages_that_may_not_come_end_the_session)
{
    static const struct {
        struct rpc_msg msg;
        const char *text;
    } cases[] = {
        { { .type = RPC_CHALLENGE }, "CHALLENGE while established" },
        { { .type = RPC_REGISTERED, .ids = { 77, 1 } },
          "REGISTERED: nothing was asked under this number" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _talk_ t;
        struct rpc_msg msg = cases[i].msg;
        talk_init(&t, false);
        open_session(&t);
        if (msg.type == RPC_CHALLENGE) {
            msg.challenge.method = VIEW_LIT("netsign");
            msg.challenge.extra = VIEW_LIT("\x80");
        }
        fake_router_send(&t.router, &msg);
        pump(&t);
        CHECK_STR(t.down.text, cases[i].text);
        CHECK_STR(t.router.seen[last_seen(&t)].uri, "wamp.error.protocol_violation");
    }
}
