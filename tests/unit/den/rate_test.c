/* SPDX-License-Identifier: Apache-2.0 */
/* Whoever asks for much is slowed down, and nobody else is. */
#include "base/clock.h"
#include "tests/unit/den/scene.h"

#include <stdio.h>

#define POLICY "rules: [{from: any, to: any, can: any, consent: deny}]\n"

static enum err_code code_of(const struct world *w, uint64_t inv)
{
    const struct world_answer *a = world_answer(w, inv);

    return CHECK(a) && a->what == WORLD_REFUSED ? a->err.code : ERR_NONE;
}

static uint64_t close_unknown(struct world *w, const struct world_peer *by)
{
    uint8_t sid[RPC_SID];
    struct buf args = { 0 };
    _buf_ body = { 0 };

    random_bytes(sid, sizeof(sid));
    rpc_put_map(&body, 1);
    rpc_put_str(&body, "sid");
    rpc_put_bin(&body, VIEW_ARR(sid));
    world_put_request(w, &args, by->key, by->id, "den.session.close", buf_view(&body));
    return world_handle(w, "den.session.close", "peer", by->id, &args);
}

static uint64_t refresh(struct world *w, const struct world_peer *by)
{
    struct buf args = { 0 };
    _buf_ body = { 0 };

    rpc_put_map(&body, 0);
    world_put_request(w, &args, by->key, by->id, "den.identity.refresh", buf_view(&body));
    return world_handle(w, "den.identity.refresh", "peer", by->id, &args);
}

static uint64_t enrol(struct world *w, const struct world_peer *peer, const struct key *token)
{
    uint8_t nonce[RPC_NONCE16];
    struct rpc_enrol e = world_enrol(w, peer, token, nonce);
    struct buf args = { 0 };

    world_put_enrol(&args, &e, peer->key, token);
    return world_handle(w, "den.identity.admit", "router", "", &args);
}

static enum err_code enrol_new(struct world *w, const struct key *token)
{
    _cleanup_(key_freep) struct key *key = key_new();
    const struct world_peer peer = { .key = key };

    return code_of(w, enrol(w, &peer, token));
}

TEST(a_flood_of_signed_requests_stops_at_its_sender)
{
    SCENE(s);
    size_t n_heard = 0;

    for (size_t i = 0; i < 1000; i++)
        n_heard += code_of(s.w, close_unknown(s.w, s.carol)) == ERR_NOT_FOUND;
    CHECK(n_heard > 150 && n_heard <= 200); /* her certificate was a request too */
    scene_check_refused(s.w, close_unknown(s.w, s.carol), ERR_LIMIT,
                        "close: too many requests of yours: wait some seconds");
    DIAL(hers, s.w, s.carol, s.bob->id);
    scene_check_refused(s.w, scene_dial(s.w, &hers), ERR_LIMIT,
                        "dial: too many requests of yours: wait some seconds");
    CHECK(code_of(s.w, close_unknown(s.w, s.alice)) == ERR_NOT_FOUND);
    CHECK(code_of(s.w, refresh(s.w, s.alice)) == ERR_NONE);
    DIAL(dial, s.w, s.alice, s.bob->id);
    uint64_t inv;
    CHECK(scene_ring(s.w, &dial, s.bob, &inv) != NULL);
    world_pass(s.w, SECOND_MS);
    CHECK(code_of(s.w, close_unknown(s.w, s.carol)) == ERR_NOT_FOUND);
}

TEST(a_limit_is_said_before_the_signature_is_looked_at)
{
    SCENE(s);
    const struct world_peer liar = { .key = s.bob->key };
    struct world_peer other = liar;

    memcpy(other.id, s.carol->id, sizeof(other.id));
    for (size_t i = 0; i < 200; i++)
        close_unknown(s.w, s.carol);
    CHECK(code_of(s.w, close_unknown(s.w, &other)) == ERR_LIMIT);
}

/* A router that lies sends junk in her name: with signatures of another key, and her own requests again. */
TEST(what_somebody_else_stamps_with_her_id_takes_nothing_of_her_budget)
{
    SCENE(s);
    struct world_peer liar = { .key = s.bob->key };

    memcpy(liar.id, s.carol->id, sizeof(liar.id));
    liar.csr = s.carol->csr;
    for (size_t i = 0; i < 50; i++) {
        enum err_code code = code_of(s.w, world_sign(s.w, &liar));
        CHECK(code == ERR_BAD_SIGNATURE);
        CHECK(code_of(s.w, refresh(s.w, &liar)) == ERR_BAD_SIGNATURE);
    }
    CHECK(code_of(s.w, refresh(s.w, s.carol)) == ERR_NONE);
    for (size_t i = 1; i < 5; i++) /* enrolling took one */
        CHECK(code_of(s.w, world_sign(s.w, s.carol)) == ERR_NONE);
    CHECK(code_of(s.w, world_sign(s.w, s.carol)) == ERR_LIMIT);
    CHECK(code_of(s.w, world_sign(s.w, &liar)) == ERR_LIMIT); /* and no signature is looked at */
}

static enum err_code look_up(struct world *w, const struct world_peer *by, const char *source)
{
    struct buf args = { 0 };

    w->source = source;
    rpc_put_array(&args, 1);
    rpc_put_str(&args, "nobodys-name");
    return code_of(w, world_handle(w, "den.directory.lookup", "peer", by->id, &args));
}

/* Machines of one network share what may reach nobody. */
TEST(whoever_tries_names_from_many_machines_of_a_network_is_slowed_down)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    struct world_peer *peers[9];
    size_t n_missed = 0, n_limited = 0;

    for (size_t i = 0; i < N_ELEMENTS(peers); i++)
        peers[i] = world_peer_new(w);
    for (size_t i = 0; i < 4 * 8; i++) {
        enum err_code code =
            look_up(w, peers[i % 8], i % 2 ? "198.51.100.7:4000" : "198.51.100.200:4000");
        n_missed += code == ERR_NOT_REACHABLE;
        n_limited += code == ERR_LIMIT;
    }
    CHECK_U64(n_missed, 30);
    CHECK_U64(n_limited, 2);
    CHECK(look_up(w, peers[8], "198.51.100.1:4000") ==
          ERR_LIMIT); /* though it asked for nothing yet */
    CHECK(look_up(w, peers[8], "198.51.101.1:4000") == ERR_NOT_REACHABLE);
    CHECK(look_up(w, peers[8], "[2001:db8:1::1]:4000") == ERR_NOT_REACHABLE);
    world_pass(w, 2 * SECOND_MS);
    CHECK(look_up(w, peers[8], "198.51.100.1:4000") == ERR_NOT_REACHABLE);
    CHECK(look_up(w, peers[8], "198.51.100.1:4000") == ERR_LIMIT);
    for (size_t i = 0; i < N_ELEMENTS(peers); i++)
        world_peer_free(peers[i]);
}

TEST(admissions_are_renewed_now_and_then)
{
    SCENE(s);
    uint64_t before = world_number(s.w, "audit");

    for (size_t i = 0; i < 5; i++)
        CHECK(code_of(s.w, refresh(s.w, s.alice)) == ERR_NONE);
    CHECK_U64(world_number(s.w, "audit"), before + 5);
    CHECK(code_of(s.w, refresh(s.w, s.alice)) == ERR_LIMIT);
    CHECK(code_of(s.w, refresh(s.w, s.bob)) == ERR_NONE);
    world_pass(s.w, 10 * MINUTE_MS);
    CHECK(code_of(s.w, refresh(s.w, s.alice)) == ERR_NONE);
    CHECK(code_of(s.w, refresh(s.w, s.alice)) == ERR_LIMIT);
}

TEST(a_known_key_is_admitted_now_and_then)
{
    SCENE(s);

    for (size_t i = 0; i < 20; i++)
        CHECK(code_of(s.w, enrol(s.w, s.alice, NULL)) == ERR_NONE);
    scene_check_refused(s.w, enrol(s.w, s.alice, NULL), ERR_LIMIT,
                        "enrolment: too many with this key: wait some seconds");
    CHECK(code_of(s.w, enrol(s.w, s.bob, NULL)) == ERR_NONE);
    world_pass(s.w, 10 * SECOND_MS);
    CHECK(code_of(s.w, enrol(s.w, s.alice, NULL)) == ERR_NONE);
}

/* Nobody uses up another's rate with enrolments that the other did not sign. */
TEST(enrolments_that_others_signed_cost_a_key_nothing)
{
    SCENE(s);
    const struct world_peer forged = { .key = s.alice->key };

    for (size_t i = 0; i < 30; i++) {
        uint8_t nonce[RPC_NONCE16];
        struct rpc_enrol e = world_enrol(s.w, &forged, NULL, nonce);
        struct buf args = { 0 };
        world_put_enrol(&args, &e, s.bob->key, NULL);
        CHECK(code_of(s.w, world_handle(s.w, "den.identity.admit", "guest", "", &args)) ==
              ERR_BAD_SIGNATURE);
    }
    CHECK(code_of(s.w, enrol(s.w, s.alice, NULL)) == ERR_NONE);
}

TEST(sixty_peers_join_from_one_address_at_once_and_no_more)
{
    _cleanup_(world_freep) struct world *w =
        world_new("rules: [{from: any, to: any, can: any, consent: deny}]\n");
    _cleanup_(key_freep) struct key *token = world_token(w, "peer", 1000, 0);
    _cleanup_(world_peer_freep) struct world_peer *known = world_stranger_new(w);

    CHECK(code_of(w, enrol(w, known, token)) == ERR_NONE);
    for (size_t i = 1; i < 60; i++)
        CHECK(enrol_new(w, token) == ERR_NONE);
    uint64_t n_audited = world_audited(w, "identity.enrolled", NULL);
    CHECK_U64(n_audited, 60);
    CHECK(enrol_new(w, token) == ERR_LIMIT);
    w->source = "192.0.2.77";
    CHECK(enrol_new(w, token) == ERR_LIMIT);
    CHECK(code_of(w, enrol(w, known, token)) == ERR_NONE); /* who is known still comes back */
    w->source = "198.51.100.7";
    CHECK(enrol_new(w, token) == ERR_NONE);
    w->source = "192.0.2.7";
    world_pass(w, SECOND_MS);
    CHECK(enrol_new(w, token) == ERR_NONE);
    CHECK(enrol_new(w, token) == ERR_LIMIT);
}

TEST(dials_are_counted)
{
    SCENE(s);
    struct err err;
    uint64_t inv;

    s.w->config.rates[RATE_DIAL].burst = 3;
    CHECK_OK(world_restart(s.w, &err), err);
    for (size_t i = 0; i < 4; i++) {
        DIAL(dial, s.w, s.alice, s.bob->id);
        if (i < 3)
            CHECK(scene_ring(s.w, &dial, s.bob, &inv) != NULL);
        else
            scene_check_refused(s.w, scene_dial(s.w, &dial), ERR_LIMIT,
                                "dial: too many dials: wait some seconds");
    }
    world_pass(s.w, SECOND_MS);
    DIAL(dial, s.w, s.alice, s.bob->id);
    CHECK(code_of(s.w, close_unknown(s.w, s.alice)) == ERR_NOT_FOUND);
    size_t n_calls = s.w->n_calls;
    scene_dial(s.w, &dial);
    CHECK_U64(s.w->n_calls, n_calls + 1); /* den asks for the callee */
}

/* ---- refusals ------------------------------------------------------------------------------ */

static void refuse_often(struct scene *s, const struct world_peer *by, size_t n)
{
    for (size_t i = 0; i < n; i++)
        close_unknown(s->w, by);
}

TEST(a_flooder_keeps_nobody_elses_refusals_out_of_the_audit)
{
    SCENE(s);
    char carol[32], alice[32];

    snprintf(carol, sizeof(carol), "id=%s", s.carol->id);
    snprintf(alice, sizeof(alice), "id=%s", s.alice->id);
    refuse_often(&s, s.carol, 500);
    CHECK_U64(world_audited(s.w, "request.refused", carol), 10);
    refuse_often(&s, s.alice, 3);
    CHECK_U64(world_audited(s.w, "request.refused", alice), 3);
    CHECK_U64(world_audited(s.w, "left_out_before=490", alice), 1);
}

TEST(a_flooder_does_not_fill_the_log)
{
    SCENE(s);
    size_t before = world_logged("refused", NULL);

    refuse_often(&s, s.carol, 500);
    CHECK_U64(world_logged("refused", NULL) - before, 20);
    refuse_often(&s, s.alice, 1);
    CHECK_U64(world_logged("refused", "left_out_before=0") - before, 21);
    s.w->mono += 3 * SECOND_MS;
    refuse_often(&s, s.carol, 1);
    CHECK_U64(world_logged("refused", "left_out_before=480") - before, 22);
    refuse_often(&s, s.carol, 7);
    world_pass(s.w, 2 * MINUTE_MS); /* she says nothing more: what she left is said for her */
    CHECK(world_logged("refused.left_out", "n=7") >= 1);
}
