/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/rpc/talk.h"

#include "tests/check.h"

/* ---- joining --------------------------------------------------------------------------------- */

TEST(a_peer_joins)
{
    _talk_ t;

    talk_init(&t, false);
    talk_open(&t);
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
    talk_open(&t);
    CHECK(rpc_client_is_up(t.client));
    CHECK_STR(rpc_client_role(t.client), "den");
    CHECK_U64(t.n_admitted, 0);
}

TEST(den_is_let_in_with_an_older_heartbeat_than_its_own)
{
    _talk_ t;

    talk_init(&t, true);
    talk_open(&t);
    t.router.hb_no = 6;
    rpc_client_closed(t.client, t.now, &(struct err){ ERR_NETWORK_FAILURE, "lost" });
    talk_open(&t);
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
        talk_open(&t);
        CHECK_U64(t.n_up, 0);
        CHECK_U64(t.n_down, 1);
        CHECK_U64(t.down.code, cases[i].code);
        if (cases[i].text)
            CHECK_STR(t.down.text, cases[i].text);
        CHECK_U64(talk_count(&t, RPC_AUTHENTICATE), 0);
        CHECK_U64(talk_count(&t, RPC_ABORT), 1); /* it is told why */
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
        talk_open(&t);
        CHECK_U64(t.n_up, 0);
        CHECK_U64(t.n_admitted, 0);
        CHECK_U64(t.n_down, 1);
        CHECK_U64(t.down.code, cases[i].code);
        if (cases[i].text)
            CHECK_STR(t.down.text, cases[i].text);
        CHECK_U64(talk_count(&t, RPC_ABORT), 1);
    }
}

TEST(the_owner_may_refuse_an_admission)
{
    _talk_ t;

    talk_init(&t, false);
    t.forbids_admission = true;
    talk_open(&t);
    CHECK_U64(t.n_up, 0);
    CHECK_STR(t.down.text, "WELCOME: made for another enrolment");
}

TEST(an_old_heartbeat_is_refused_once_a_newer_was_seen)
{
    _talk_ t;

    talk_init(&t, false);
    talk_open(&t);
    rpc_client_closed(t.client, t.now, &(struct err){ ERR_NETWORK_FAILURE, "lost" });
    t.router.hb_no = 6;
    talk_open(&t);
    CHECK_U64(t.down.code, ERR_STALE);
    CHECK_STR(t.down.text, "CHALLENGE: heartbeat: older than one that was seen before");
}

TEST(the_routers_own_refusal_keeps_its_code)
{
    _talk_ t;

    talk_init(&t, false);
    t.router.lie = LIE_ABORT;
    talk_open(&t);
    CHECK_U64(t.down.code, ERR_NO_SUCH_REALM);
    CHECK(rpc_client_wants_close(t.client));
    CHECK_U64(talk_count(&t, RPC_ABORT), 0);
}

TEST(a_silent_router_is_given_ten_seconds)
{
    _talk_ t;

    talk_init(&t, false);
    t.router.lie = LIE_SILENCE;
    talk_open(&t);
    CHECK_U64(rpc_client_deadline(t.client), TALK_START + 10000);
    rpc_client_tick(t.client, TALK_START + 9999);
    CHECK_U64(t.n_down, 0);
    rpc_client_tick(t.client, TALK_START + 10000);
    CHECK_U64(t.n_down, 1);
    CHECK_U64(t.down.code, ERR_TIMEOUT);
    CHECK_STR(t.down.text, "the router did not answer while waiting for CHALLENGE");
}

/* ---- leaving --------------------------------------------------------------------------------- */

TEST(goodbye_is_answered_on_both_sides)
{
    _talk_ t;
    struct rpc_msg bye = { .type = RPC_GOODBYE };

    talk_init(&t, false);
    talk_open(&t);
    rpc_client_goodbye(t.client, t.now);
    CHECK(!rpc_client_wants_close(t.client));
    talk_pump(&t);
    CHECK(rpc_client_wants_close(t.client));
    CHECK_STR(t.down.text, "goodbye said");
    rpc_client_closed(t.client, t.now, &(struct err){ ERR_NETWORK_FAILURE, "lost" });
    CHECK_U64(t.n_down, 1);

    talk_open(&t);
    t.router.n_seen = 0;
    bye.goodbye.reason = view_text("wamp.close.system_shutdown");
    bye.goodbye.retry_after = 1234;
    fake_router_send(&t.router, &bye);
    talk_pump(&t);
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
    talk_open(&t);
    rpc_client_goodbye(t.client, t.now);
    t.now = rpc_client_deadline(t.client);
    CHECK(t.now > TALK_START && t.now < TALK_START + 60000);
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
        talk_open(&t);
        if (msg.type == RPC_CHALLENGE) {
            msg.challenge.method = VIEW_LIT("netsign");
            msg.challenge.extra = VIEW_LIT("\x80");
        }
        fake_router_send(&t.router, &msg);
        talk_pump(&t);
        CHECK_STR(t.down.text, cases[i].text);
        CHECK_STR(t.router.seen[talk_last(&t)].uri, "wamp.error.protocol_violation");
    }
}
