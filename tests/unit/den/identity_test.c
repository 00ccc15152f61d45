/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "tests/unit/den/world.h"

#include <stdio.h>

#define POLICY "rules: [{from: any, to: any, can: any, consent: deny}]\n"

static struct rpc_admission admission_of(const struct world *w, uint64_t inv)
{
    const struct world_answer *answer = world_answer(w, inv);
    struct rpc_admission a = { 0 };
    struct rpc_fields f;
    struct err err = { 0 };

    if (!answer || answer->what != WORLD_YIELDED) {
        check_failed(__FILE__, __LINE__, "no admission: %s",
                     answer ? answer->err.text : "no answer");
        return a;
    }
    rpc_fields_open(&f, buf_view(&answer->bytes));
    struct view bytes = rpc_fields_bin(&f, "A", RPC_MAX_STATEMENT),
                sig = rpc_fields_fixed(&f, "sig", SIG_SIZE);
    if (!rpc_fields_end(&f, &err) ||
        !rpc_statement_open(RPC_W_ADMISSION, key_public_view(w->sign), bytes, sig, &a, &err))
        check_failed(__FILE__, __LINE__, "admission: %s", err.text);
    return a;
}

static uint64_t admit(struct world *w, const struct rpc_enrol *e, const struct key *key,
                      const struct key *token)
{
    struct buf args = { 0 };

    world_put_enrol(&args, e, key, token);
    return world_handle(w, "den.identity.admit", "router", "", &args);
}

static void check_refused(const struct world *w, uint64_t inv, enum err_code code, const char *text)
{
    const struct world_answer *a = world_answer(w, inv);

    if (!CHECK(a && a->what == WORLD_REFUSED))
        return;
    CHECK_STR(err_code_name(a->err.code), err_code_name(code));
    CHECK_STR(a->err.text, text);
}

TEST(a_token_gives_a_new_key_an_id_and_its_role)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
    _cleanup_(key_freep) struct key *token = world_token(w, "admin", 1, 0);
    uint8_t nonce[RPC_NONCE16], hash[HASH_SIZE];
    struct rpc_enrol e = world_enrol(w, peer, token, nonce);
    _buf_ bytes = { 0 };

    struct rpc_admission a = admission_of(w, admit(w, &e, peer->key, token));
    rpc_statement_write(RPC_W_ENROL, &e, &bytes);
    hash_sha256(buf_view(&bytes), hash);
    CHECK_U64(a.id.len, 6);
    CHECK(a.id.len && a.id.data[0] != '0');
    CHECK_VIEW(a.client_pk, key_public_view(peer->key));
    CHECK_VIEW(a.role, VIEW_LIT("admin"));
    CHECK_VIEW(a.enrol_hash, VIEW_ARR(hash));
    CHECK_VIEW(a.netid, rpc_trust_netid(w->trust));
    CHECK_U64(a.adm_no, 1);
    CHECK_U64(a.not_after - a.issued_at, 7 * DAY_MS);
    CHECK_U64(world_audited(w, "identity.enrolled", "192.0.2.7"), 1);
}

TEST(the_same_key_has_the_same_id_for_ever_and_needs_no_token_again)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
    _cleanup_(key_freep) struct key *token = world_token(w, "peer", 1, 0);
    uint8_t nonce[RPC_NONCE16];
    char id[16];
    struct err err = { 0 };

    struct rpc_enrol e = world_enrol(w, peer, token, nonce);
    struct rpc_admission first = admission_of(w, admit(w, &e, peer->key, token));
    snprintf(id, sizeof(id), "%.*s", VIEW_FMT(first.id));
    e = world_enrol(w, peer, token, nonce); /* with the spent token: it does not count */
    struct rpc_admission again = admission_of(w, admit(w, &e, peer->key, token));
    CHECK_VIEW(again.id, view_text(id));
    CHECK_U64(again.adm_no, 2);
    CHECK_OK(world_restart(w, &err), err);
    e = world_enrol(w, peer, NULL, nonce);
    again = admission_of(w, admit(w, &e, peer->key, NULL));
    CHECK_VIEW(again.id, view_text(id));
    CHECK_VIEW(again.role, VIEW_LIT("peer"));
    CHECK_U64(again.adm_no, 3);
}

TEST(bad_tokens_are_refused_with_their_reason)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(key_freep) struct key *spent = world_token(w, "peer", 1, 0);
    _cleanup_(key_freep) struct key *expired = world_token(w, "peer", 1, w->wall);
    _cleanup_(key_freep) struct key *unknown = key_new();
    _cleanup_(world_peer_freep) struct world_peer *first = world_stranger_new(w),
                                                  *peer = world_stranger_new(w);
    uint8_t nonce[RPC_NONCE16];
    const struct {
        const struct key *token;
        const char *why;
    } cases[] = {
        { spent, "enrolment: the token is spent" },
        { expired, "enrolment: the token has expired" },
        { unknown, "enrolment: the token is unknown" },
        { NULL, "enrolment: this key is new here, and no token came with it" },
    };

    struct rpc_enrol e = world_enrol(w, first, spent, nonce);
    admission_of(w, admit(w, &e, first->key, spent));
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        e = world_enrol(w, peer, cases[i].token, nonce);
        check_refused(w, admit(w, &e, peer->key, cases[i].token), ERR_BAD_TOKEN, cases[i].why);
    }
    CHECK_U64(world_audited(w, "request.refused", "bad_token"), N_ELEMENTS(cases));
}

TEST(an_open_network_gives_longer_ids_without_a_token)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
    uint8_t nonce[RPC_NONCE16];
    struct err err = { 0 };

    w->config.enrolment = DEN_OPEN;
    CHECK_OK(world_restart(w, &err), err);
    struct rpc_enrol e = world_enrol(w, peer, NULL, nonce);
    struct rpc_admission a = admission_of(w, admit(w, &e, peer->key, NULL));
    CHECK_U64(a.id.len, 9);
    CHECK_VIEW(a.role, VIEW_LIT("peer"));
}

TEST(an_enrolment_is_used_once_and_only_while_its_beacon_is_fresh)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
    _cleanup_(key_freep) struct key *token = world_token(w, "peer", 5, 0);
    uint8_t nonce[RPC_NONCE16], beacon[RPC_BEACON];
    struct err err = { 0 };

    memcpy(beacon, world_beacon(w).data, sizeof(beacon));
    struct rpc_enrol e = world_enrol(w, peer, token, nonce);
    e.beacon = VIEW_ARR(beacon);
    admission_of(w, admit(w, &e, peer->key, token));
    check_refused(w, admit(w, &e, peer->key, token), ERR_REPLAYED,
                  "enrolment: it was used before under this beacon");
    world_pass(w, 30 * SECOND_MS); /* the last but one is still taken, and still remembered */
    check_refused(w, admit(w, &e, peer->key, token), ERR_REPLAYED,
                  "enrolment: it was used before under this beacon");
    world_pass(w, 30 * SECOND_MS);
    check_refused(w, admit(w, &e, peer->key, token), ERR_STALE,
                  "enrolment: the beacon is not one of the last two");
    memcpy(beacon, world_beacon(w).data, sizeof(beacon));
    CHECK_OK(world_restart(w, &err), err);
    e.netid = rpc_trust_netid(w->trust);
    check_refused(w, admit(w, &e, peer->key, token), ERR_STALE,
                  "enrolment: the beacon is not one of the last two");
}

TEST(altered_and_foreign_enrolments_are_refused)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w),
                                                  *other = world_stranger_new(w);
    _cleanup_(key_freep) struct key *token = world_token(w, "peer", 5, 0);
    _cleanup_(key_freep) struct key *another = key_new();
    uint8_t nonce[RPC_NONCE16], netid[HASH_SIZE] = { 1 };

    struct rpc_enrol e = world_enrol(w, peer, token, nonce);
    check_refused(w, admit(w, &e, other->key, token), ERR_BAD_SIGNATURE,
                  "enrolment: not signed by the key that it enrols");
    check_refused(w, admit(w, &e, peer->key, another), ERR_BAD_SIGNATURE,
                  "enrolment: not signed by the token's key");
    check_refused(w, admit(w, &e, peer->key, NULL), ERR_BAD_SIGNATURE,
                  "enrolment: not signed by the token's key");
    e.netid = VIEW_ARR(netid);
    check_refused(w, admit(w, &e, peer->key, token), ERR_BAD_STATEMENT,
                  "enrolment: for another network");
    e = world_enrol(w, peer, token, nonce);
    e.network = VIEW_LIT("other.example");
    check_refused(w, admit(w, &e, peer->key, token), ERR_BAD_STATEMENT,
                  "enrolment: for another network");
    e = world_enrol(w, peer, token, nonce);
    e.client_pk = key_public_view(w->router);
    check_refused(w, admit(w, &e, w->router, token), ERR_WRONG_KEY,
                  "enrolment: this key is the router's or den's");
}

/* Each byte of the statement is covered by the signature. */
TEST(no_byte_of_an_enrolment_can_be_changed)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
    _cleanup_(key_freep) struct key *token = world_token(w, "peer", 5, 0);
    uint8_t nonce[RPC_NONCE16], sig[SIG_SIZE], token_sig[SIG_SIZE];
    struct rpc_enrol e = world_enrol(w, peer, token, nonce);
    _buf_ bytes = { 0 };
    _buf_ same = { 0 };

    rpc_statement_sign(RPC_W_ENROL, &e, peer->key, &bytes, sig);
    rpc_statement_sign(RPC_W_ENROL, &e, token, &same, token_sig);
    for (size_t i = 0; i < bytes.len; i++) {
        struct buf args = { 0 };
        bytes.data[i] ^= 1;
        rpc_put_array(&args, 3);
        rpc_put_bin(&args, buf_view(&bytes));
        rpc_put_bin(&args, VIEW_ARR(sig));
        rpc_put_bin(&args, VIEW_ARR(token_sig));
        uint64_t inv = world_handle(w, "den.identity.admit", "router", "", &args);
        bytes.data[i] ^= 1;
        if (!CHECK(world_answer(w, inv) && world_answer(w, inv)->what == WORLD_REFUSED))
            return;
    }
    uint64_t n = 1;
    struct err err;
    CHECK(store_identity_count(w->store, 0, &n, &err));
    CHECK_U64(n, 0);
}

TEST(malformed_arguments_are_refused)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    struct buf args = { 0 };

    check_refused(w, world_handle(w, "den.identity.admit", "router", "", &args),
                  ERR_INVALID_ARGUMENT, "enrolment: enrolment: missing");
    rpc_put_array(&args, 3);
    rpc_put_str(&args, "text");
    rpc_put_nil(&args);
    rpc_put_nil(&args);
    check_refused(w, world_handle(w, "den.identity.admit", "guest", "", &args),
                  ERR_INVALID_ARGUMENT, "enrolment: enrolment: not binary");
}

TEST(roles_may_call_what_is_theirs)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    static const struct {
        const char *procedure, *role;
        bool may;
    } cases[] = {
        { "den.identity.admit", "router", true },   { "den.identity.admit", "guest", true },
        { "den.identity.admit", "peer", true },     { "den.identity.admit", "script", false },
        { "den.identity.refresh", "peer", true },   { "den.identity.refresh", "admin", true },
        { "den.identity.refresh", "guest", false }, { "den.ca.sign", "peer", true },
        { "den.ca.sign", "admin", true },           { "den.ca.sign", "guest", false },
        { "den.ca.sign", "router", false },         { "den.ca.chain", "guest", true },
        { "den.ca.chain", "script", true },         { "den.ca.crl", "guest", true },
        { "den.session.open", "peer", true },       { "den.session.open", "guest", false },
        { "den.session.open", "script", false },    { "den.session.open", "den", false },
        { "den.session.close", "router", false },   { "den.session.close", "", false },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct buf args = { 0 };
        uint64_t inv = world_handle(w, cases[i].procedure, cases[i].role, "456000", &args);
        const struct world_answer *a = world_answer(w, inv);
        char why[80];
        if (!CHECK(a))
            return;
        snprintf(why, sizeof(why), "this role may not call %s", cases[i].procedure);
        bool is_forbidden = a->what == WORLD_REFUSED && strcmp(a->err.text, why) == 0;
        if (is_forbidden == cases[i].may)
            check_failed(__FILE__, __LINE__, "%s by %s: %s", cases[i].procedure, cases[i].role,
                         a->err.text);
    }
}

TEST(refresh_counts_up_for_the_caller_alone)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *alice = world_peer_new(w),
                                                  *bob = world_peer_new(w);
    struct buf args = { 0 };
    _buf_ body = { 0 };
    _buf_ replay = { 0 };

    rpc_put_map(&body, 0);
    world_put_request(w, &args, alice->key, alice->id, "den.identity.refresh", buf_view(&body));
    buf_put(&replay, buf_view(&args));
    struct rpc_admission a =
        admission_of(w, world_handle(w, "den.identity.refresh", "peer", alice->id, &args));
    CHECK_VIEW(a.id, view_text(alice->id));
    CHECK_U64(a.adm_no, 2);
    CHECK_U64(a.enrol_hash.len, 0);

    buf_put(&args, buf_view(&replay));
    check_refused(w, world_handle(w, "den.identity.refresh", "peer", alice->id, &args),
                  ERR_REPLAYED, "request: it was used before under this beacon");
    world_put_request(w, &args, alice->key, alice->id, "den.identity.refresh", buf_view(&body));
    uint64_t inv = world_handle(w, "den.identity.refresh", "peer", bob->id, &args);
    CHECK(world_answer(w, inv)->err.code == ERR_NOT_AUTHORIZED);
    world_put_request(w, &args, bob->key, alice->id, "den.identity.refresh", buf_view(&body));
    inv = world_handle(w, "den.identity.refresh", "peer", alice->id, &args);
    CHECK(world_answer(w, inv)->err.code == ERR_BAD_SIGNATURE);
    world_put_request(w, &args, alice->key, alice->id, "den.ca.sign", buf_view(&body));
    check_refused(w, world_handle(w, "den.identity.refresh", "peer", alice->id, &args),
                  ERR_BAD_STATEMENT, "request: for another procedure");
}

/* A flood of refusals neither fills the audit nor is left unsaid. */
TEST(refusals_are_audited_but_bounded)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);

    for (size_t i = 0; i < 200; i++) {
        struct buf args = { 0 };
        world_handle(w, "den.identity.admit", "guest", "", &args);
    }
    CHECK_U64(world_audited(w, "request.refused", NULL), 10);
    world_pass(w, 5 * SECOND_MS);
    struct buf args = { 0 };
    world_handle(w, "den.identity.admit", "guest", "", &args);
    CHECK_U64(world_audited(w, "request.refused", "left_out_before=190"), 1);
}

TEST(refusals_that_were_left_out_are_told_when_den_stops)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);

    for (size_t i = 0; i < 200; i++) {
        struct buf args = { 0 };
        world_handle(w, "den.identity.admit", "guest", "", &args);
    }
    den_core_leave(w->core);
    CHECK_U64(world_audited(w, "what=refusals.left_out", "requests=190"), 1);
    den_core_leave(w->core);
    CHECK_U64(world_audited(w, "what=refusals.left_out", NULL), 1);
}

TEST(what_could_not_be_written_was_not_given_out)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
    _cleanup_(key_freep) struct key *token = world_token(w, "peer", 1, 0);
    uint8_t nonce[RPC_NONCE16];
    struct rpc_enrol e = world_enrol(w, peer, token, nonce);
    struct store_token kept;
    enum store_found found;
    struct err err;
    uint64_t n = 1;

    world_disk_is_full = true;
    uint64_t inv = admit(w, &e, peer->key, token);
    world_disk_is_full = false;
    check_refused(w, inv, ERR_SYSTEM, "den could not do it; its log says why");
    CHECK_OK(store_identity_count(w->store, 0, &n, &err), err);
    CHECK_U64(n, 0);
    CHECK_OK(store_token_find(w->store, key_public_view(token), &found, &kept, &err), err);
    CHECK(found == STORE_FOUND);
    CHECK_U64(kept.uses_left, 1);
    CHECK_U64(world_audited(w, "identity.enrolled", NULL), 0);
    CHECK_U64(admission_of(w, admit(w, &e, peer->key, token)).adm_no, 1); /* space is back */
}
