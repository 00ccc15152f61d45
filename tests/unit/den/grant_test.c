/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/text.h"
#include "tests/unit/den/world.h"

#include <stdio.h>

/* One line each, so that a rule's number tells which one decided. Alice is %1, bob %2, carol
 * %3. */
static const char rules[] = "allow from %1 to %2 can chat,tunnel:3389 back chat consent none\n"
                            "allow from %2 to %1 can chat consent ask\n"
                            "deny from %1 to %3 can *\n"
                            "allow from %1 to 999998 can chat\n";

struct scene {
    struct world *w;
    struct world_peer *alice, *bob, *carol;
};

static void scene_end(struct scene *s)
{
    world_peer_free(s->alice);
    world_peer_free(s->bob);
    world_peer_free(s->carol);
    world_free(s->w);
}

static bool scene_begin(struct scene *s)
{
    struct err err;
    _buf_ policy = { 0 };

    s->w = world_new("deny from * to * can *\n");
    if (!s->w)
        return false;
    s->alice = world_peer_new(s->w);
    s->bob = world_peer_new(s->w);
    s->carol = world_peer_new(s->w);
    const char *const ids[] = { s->alice->id, s->bob->id, s->carol->id };
    for (const char *at = rules; *at; at++) {
        if (*at == '%')
            buf_put_text(&policy, ids[*++at - '1']);
        else
            buf_put_u8(&policy, (uint8_t)*at);
    }
    if (!world_set_policy(s->w, buf_cstr(&policy), &err))
        check_failed(__FILE__, __LINE__, "policy: %s", err.text);
    return true;
}
#define SCENE(s)                                                                                   \
    _cleanup_(scene_end) struct scene s = { 0 };                                                   \
    if (!scene_begin(&s))                                                                          \
    return

/* ---- an honest dial and accept, for tests to spoil ----------------------------------------- */

struct dial {
    struct rpc_dial d;
    uint8_t sid[RPC_SID], ice_hash[HASH_SIZE], beacon[RPC_BEACON];
    struct buf ice;
    const struct key *key;
    const char *stamp;
};

static void dial_end(struct dial *dial)
{
    buf_free(&dial->ice);
}

static void dial_begin(struct dial *dial, const struct world *w, const struct world_peer *from,
                       const char *to)
{
    *dial = (struct dial){ .key = from->key, .stamp = from->id };
    random_bytes(dial->sid, sizeof(dial->sid));
    memcpy(dial->beacon, world_beacon(w).data, sizeof(dial->beacon));
    buf_put(&dial->ice, buf_view(&from->ice));
    hash_sha256(buf_view(&dial->ice), dial->ice_hash);
    dial->d = (struct rpc_dial){
        .netid = rpc_trust_netid(w->trust),
        .sid = VIEW_ARR(dial->sid),
        .a_id = view_text(from->id),
        .a_pk = key_public_view(from->key),
        .b_id = view_text(to),
        .caps = { { VIEW_LIT("chat") }, 1 },
        .a_spki = VIEW_ARR(from->spki),
        .a_ice = VIEW_ARR(dial->ice_hash),
        .beacon = VIEW_ARR(dial->beacon),
    };
}
#define DIAL(name, w, from, to)                                                                    \
    _cleanup_(dial_end) struct dial name;                                                          \
    dial_begin(&name, w, from, to)

static uint64_t send_dial(struct world *w, const struct dial *dial)
{
    struct buf args = { 0 };

    rpc_put_array(&args, 4);
    world_put_signed(&args, RPC_W_DIAL, &dial->d, dial->key);
    rpc_put_bin(&args, buf_view(&dial->ice));
    rpc_put_nil(&args);
    return world_handle(w, "den.session.open", "peer", dial->stamp, &args);
}

static void say_online(struct world *w, bool is)
{
    struct world_call *call = world_pending(w, "network.peer.get");
    struct buf args = { 0 };

    if (!CHECK(call))
        return;
    rpc_put_array(&args, 1);
    rpc_put_map(&args, 1);
    rpc_put_str(&args, "online");
    rpc_put_bool(&args, is);
    world_result(call, &args);
}

static void say_installed(struct world *w)
{
    struct world_call *call = world_pending(w, "network.grant.install");
    struct buf none = { 0 };

    if (CHECK(call))
        world_result(call, &none);
}

static struct world_call *offer_to(struct world *w, const struct world_peer *peer)
{
    char procedure[64];

    snprintf(procedure, sizeof(procedure), "peer.%s.session.offer", peer->id);
    return world_pending(w, procedure);
}

struct offer {
    struct view grant, grant_sig, dial, dial_sig, ice;
    struct rpc_grant g;
};

static bool read_offer(const struct world *w, const struct world_call *call, struct offer *ret)
{
    struct rpc_fields f;
    struct err err;

    rpc_fields_open(&f, buf_view(&call->args));
    ret->grant = rpc_fields_bin(&f, "G", RPC_MAX_STATEMENT);
    ret->grant_sig = rpc_fields_fixed(&f, "sig", SIG_SIZE);
    ret->dial = rpc_fields_bin(&f, "D", RPC_MAX_STATEMENT);
    ret->dial_sig = rpc_fields_fixed(&f, "sig", SIG_SIZE);
    ret->ice = rpc_fields_bin(&f, "ice", 2048);
    if (rpc_fields_end(&f, &err) && rpc_statement_open(RPC_W_GRANT, key_public_view(w->sign),
                                                       ret->grant, ret->grant_sig, &ret->g, &err))
        return true;
    check_failed(__FILE__, __LINE__, "offer: %s", err.text);
    return false;
}

struct accept {
    struct rpc_accept c;
    uint8_t grant_hash[HASH_SIZE], ice_hash[HASH_SIZE];
    const struct key *key;
    struct view ice;
};

static void accept_begin(struct accept *a, const struct world *w, const struct offer *offer,
                         const struct world_peer *by)
{
    *a = (struct accept){ .key = by->key, .ice = buf_view(&by->ice) };
    hash_sha256(offer->grant, a->grant_hash);
    hash_sha256(a->ice, a->ice_hash);
    a->c = (struct rpc_accept){
        .netid = rpc_trust_netid(w->trust),
        .sid = offer->g.sid,
        .grant_hash = VIEW_ARR(a->grant_hash),
        .b_id = view_text(by->id),
        .b_pk = key_public_view(by->key),
        .caps = offer->g.caps,
        .b_spki = VIEW_ARR(by->spki),
        .b_ice = VIEW_ARR(a->ice_hash),
    };
}

static void send_accept(struct world_call *call, const struct accept *a)
{
    struct buf args = { 0 };

    rpc_put_array(&args, 3);
    world_put_signed(&args, RPC_W_ACCEPT, &a->c, a->key);
    rpc_put_bin(&args, a->ice);
    world_result(call, &args);
}

/* Up to the offer at `to`; NULL: did not come that far. */
static struct world_call *ring(struct world *w, const struct dial *dial,
                               const struct world_peer *to, uint64_t *ret_inv)
{
    *ret_inv = send_dial(w, dial);
    say_online(w, true);
    say_installed(w);
    struct world_call *call = offer_to(w, to);
    CHECK(call);
    return call;
}

static void check_refused(const struct world *w, uint64_t inv, enum err_code code, const char *text)
{
    const struct world_answer *a = world_answer(w, inv);

    if (!a) {
        check_failed(__FILE__, __LINE__, "no answer, wanted: %s", text);
        return;
    }
    if (!CHECK(a->what == WORLD_REFUSED))
        return;
    CHECK_STR(err_code_name(a->err.code), err_code_name(code));
    CHECK_STR(a->err.text, text);
}

static const char *state_of(struct world *w, const uint8_t sid[RPC_SID])
{
    static struct store_session session;
    enum store_found found;
    struct err err;

    if (!store_session_find(w->store, VIEW(sid, RPC_SID), &found, &session, &err) ||
        found == STORE_NONE)
        return "";
    return session.state;
}

/* ---- the road that ends well --------------------------------------------------------------- */

TEST(a_dial_that_policy_allows_brings_grant_and_accept)
{
    SCENE(s);
    DIAL(dial, s.w, s.alice, s.bob->id);
    dial.d.caps = (struct rpc_items){ { VIEW_LIT("chat"), VIEW_LIT("tunnel:3389") }, 2 };
    uint64_t inv = send_dial(s.w, &dial);
    CHECK_U64(world_audited(s.w, "session.granted", NULL), 0);
    say_online(s.w, true);
    CHECK_U64(world_audited(s.w, "session.granted", "rule=policy.conf:1"),
              1); /* before anybody is told */
    CHECK(!offer_to(s.w, s.bob));
    say_installed(s.w);
    struct world_call *call = offer_to(s.w, s.bob);
    struct offer offer;
    if (!CHECK(call) || !read_offer(s.w, call, &offer))
        return;
    CHECK_U64(call->timeout, 60 * SECOND_MS);
    uint8_t dial_hash[HASH_SIZE];
    hash_sha256(offer.dial, dial_hash);
    CHECK_VIEW(offer.g.netid, rpc_trust_netid(s.w->trust));
    CHECK_VIEW(offer.g.sid, VIEW_ARR(dial.sid));
    CHECK_VIEW(offer.g.a_id, view_text(s.alice->id));
    CHECK_VIEW(offer.g.a_pk, key_public_view(s.alice->key));
    CHECK_VIEW(offer.g.b_id, view_text(s.bob->id));
    CHECK_VIEW(offer.g.b_pk, key_public_view(s.bob->key));
    CHECK_VIEW(offer.g.dial_hash, VIEW_ARR(dial_hash));
    CHECK_U64(offer.g.caps.n, 2);
    CHECK_U64(offer.g.caps_back.n, 1);
    CHECK_VIEW(offer.g.caps_back.item[0], VIEW_LIT("chat"));
    CHECK_U64(offer.g.consent, 0);
    CHECK_VIEW(offer.g.beacon, world_beacon(s.w));
    CHECK_U64(offer.g.policy_no, 2);
    CHECK_U64(offer.g.crl_no, WORLD_START_S);
    CHECK_VIEW(offer.ice, buf_view(&dial.ice));

    world_progress(call);
    world_progress(call);
    CHECK_U64(world_n_progress(s.w, inv), 1);
    CHECK_STR(state_of(s.w, dial.sid), "offered");
    struct accept accept;
    accept_begin(&accept, s.w, &offer, s.bob);
    accept.c.caps.n = 1; /* fewer are fine */
    send_accept(call, &accept);
    CHECK_STR(state_of(s.w, dial.sid), "accepted");
    CHECK_U64(world_audited(s.w, "session.accepted", s.alice->id), 1);

    const struct world_answer *answer = world_answer(s.w, inv);
    if (!CHECK(answer && answer->what == WORLD_YIELDED))
        return;
    struct rpc_fields f;
    struct err err;
    struct rpc_accept c;
    rpc_fields_open(&f, buf_view(&answer->bytes));
    CHECK_VIEW(rpc_fields_bin(&f, "G", RPC_MAX_STATEMENT), offer.grant);
    CHECK_VIEW(rpc_fields_fixed(&f, "sig", SIG_SIZE), offer.grant_sig);
    struct view bytes = rpc_fields_bin(&f, "C", RPC_MAX_STATEMENT),
                sig = rpc_fields_fixed(&f, "sig", SIG_SIZE);
    CHECK(rpc_statement_open(RPC_W_ACCEPT, key_public_view(s.bob->key), bytes, sig, &c, &err));
    CHECK_VIEW(rpc_fields_bin(&f, "ice", 2048), buf_view(&s.bob->ice));
    CHECK(rpc_value_kind(rpc_fields_value(&f, "turn")) == RPC_NIL);
    CHECK_OK(rpc_fields_end(&f, &err), err);
    CHECK(!world_pending(s.w, "network.grant.remove"));
}

TEST(a_rule_that_asks_for_consent_says_so_in_the_grant)
{
    SCENE(s);
    DIAL(dial, s.w, s.bob, s.alice->id);
    uint64_t inv;
    struct world_call *call = ring(s.w, &dial, s.alice, &inv);
    struct offer offer;

    if (!call || !read_offer(s.w, call, &offer))
        return;
    CHECK_U64(offer.g.consent, 1);
    CHECK_U64(offer.g.caps_back.n, 0);
}

/* ---- not reachable ------------------------------------------------------------------------- */

/* One answer, byte for byte, after the same questions to store, policy and router; the truth is
 * den's own. */
TEST(unknown_offline_and_forbidden_are_one_answer)
{
    SCENE(s);
    const struct {
        const char *to;
        bool is_online;
        const char *reason, *rule;
    } cases[] = {
        { "999998", false, "reason=unknown",
          "rule=policy.conf:4" }, /* allowed, but nobody has it */
        { s.bob->id, false, "reason=offline", "rule=policy.conf:1" },
        { s.carol->id, true, "reason=denied", "rule=policy.conf:3" },
        { s.carol->id, false, "reason=denied", "rule=policy.conf:3" },
        { "999997", false, "reason=unknown", "rule=default" },
    };
    _buf_ first = { 0 };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        size_t n_calls = s.w->n_calls, audited = world_audited(s.w, cases[i].reason, cases[i].rule);
        DIAL(dial, s.w, s.alice, cases[i].to);
        uint64_t inv = send_dial(s.w, &dial);
        CHECK(!world_answer(s.w, inv)); /* nobody is answered before the router was asked */
        say_online(s.w, cases[i].is_online);
        const struct world_answer *answer = world_answer(s.w, inv);
        if (!CHECK(answer && answer->what == WORLD_REFUSED))
            return;
        CHECK_U64(s.w->n_calls, n_calls + 1);
        if (i == 0)
            buf_put(&first, buf_view(&answer->bytes));
        CHECK_VIEW(buf_view(&answer->bytes), buf_view(&first));
        CHECK(answer->err.code == ERR_NOT_REACHABLE);
        CHECK_U64(world_audited(s.w, cases[i].reason, cases[i].rule), audited + 1);
        CHECK_STR(state_of(s.w, dial.sid), "");
    }
    CHECK_U64(world_audited(s.w, "session.refused", "sid="), N_ELEMENTS(cases));
    CHECK_U64(world_audited(s.w, "session.granted", NULL), 0);
}

TEST(a_callee_that_left_before_the_offer_is_the_same_answer)
{
    SCENE(s);
    DIAL(refused, s.w, s.alice, s.carol->id);
    uint64_t denied = send_dial(s.w, &refused), inv;
    say_online(s.w, true);
    DIAL(dial, s.w, s.alice, s.bob->id);
    struct world_call *call = ring(s.w, &dial, s.bob, &inv);

    if (!call)
        return;
    world_fail(call, ERR_NO_SUCH_PROCEDURE);
    CHECK_VIEW(buf_view(&world_answer(s.w, inv)->bytes),
               buf_view(&world_answer(s.w, denied)->bytes));
    CHECK(world_pending(s.w, "network.grant.remove") != NULL);
    CHECK_STR(state_of(s.w, dial.sid), "failed");
}

TEST(whoever_dials_at_random_is_slowed_down)
{
    SCENE(s);

    for (size_t i = 0; i < 10; i++) {
        DIAL(dial, s.w, s.alice, "999997");
        send_dial(s.w, &dial);
        say_online(s.w, false);
    }
    DIAL(dial, s.w, s.alice, s.bob->id);
    check_refused(s.w, send_dial(s.w, &dial), ERR_LIMIT,
                  "dial: too many dials that reached nobody: wait a minute");
    DIAL(other, s.w, s.bob, s.alice->id);
    uint64_t inv;
    CHECK(ring(s.w, &other, s.alice, &inv) != NULL);
    world_pass(s.w, 6 * SECOND_MS);
    DIAL(later, s.w, s.alice, s.bob->id);
    CHECK(ring(s.w, &later, s.bob, &inv) != NULL);
}

/* ---- dials that are not what they should be ------------------------------------------------ */

static uint8_t wrong32[HASH_SIZE] = { 1 };

static void other_stamp(struct dial *d, const struct scene *s)
{
    d->stamp = s->carol->id;
}
static void unknown_stamp(struct dial *d, const struct scene *s)
{
    (void)s;
    d->stamp = "999997";
}
static void other_signer(struct dial *d, const struct scene *s)
{
    d->key = s->carol->key;
}
static void other_pk(struct dial *d, const struct scene *s)
{
    d->d.a_pk = key_public_view(s->carol->key);
}
static void other_network(struct dial *d, const struct scene *s)
{
    (void)s;
    d->d.netid = VIEW_ARR(wrong32);
}
static void old_beacon(struct dial *d, const struct scene *s)
{
    (void)s;
    d->beacon[0] ^= 1;
}
static void other_ice(struct dial *d, const struct scene *s)
{
    (void)s;
    d->ice.data[0] ^= 1;
}
static void other_spki(struct dial *d, const struct scene *s)
{
    d->d.a_spki = VIEW_ARR(s->carol->spki);
}
static void unknown_spki(struct dial *d, const struct scene *s)
{
    (void)s;
    d->d.a_spki = VIEW_ARR(wrong32);
}
static void no_caps(struct dial *d, const struct scene *s)
{
    (void)s;
    d->d.caps.n = 0;
}
static void bad_cap(struct dial *d, const struct scene *s)
{
    (void)s;
    d->d.caps.item[0] = VIEW_LIT("-chat");
}
static void to_self(struct dial *d, const struct scene *s)
{
    d->d.b_id = view_text(s->alice->id);
}

TEST(a_dial_is_checked_before_anybody_hears_of_it)
{
    SCENE(s);
    static const struct {
        void (*spoil)(struct dial *d, const struct scene *s);
        enum err_code code;
        const char *why; /* its start */
    } cases[] = {
        { other_stamp, ERR_NOT_AUTHORIZED, "dial: of another ID than the caller's" },
        { unknown_stamp, ERR_NOT_AUTHORIZED, "dial: the caller has no ID in this network" },
        { other_signer, ERR_BAD_SIGNATURE, "dial: " },
        { other_pk, ERR_BAD_STATEMENT,
          "dial: for another network, or by another key than it names" },
        { other_network, ERR_BAD_STATEMENT,
          "dial: for another network, or by another key than it names" },
        { old_beacon, ERR_STALE, "dial: the beacon is not one of the last two" },
        { other_ice, ERR_BAD_STATEMENT, "dial: ICE description: not the one that was signed" },
        { other_spki, ERR_WRONG_KEY, "dial: its TLS key is not one that was certified for" },
        { unknown_spki, ERR_WRONG_KEY, "dial: its TLS key is not one that was certified for" },
        { no_caps, ERR_INVALID_ARGUMENT, "dial: capabilities: ask for 1 to 16" },
        { bad_cap, ERR_INVALID_ARGUMENT,
          "dial: capabilities: number 1 is not a capability's name" },
        { to_self, ERR_INVALID_ARGUMENT, "dial: this is your own ID" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        DIAL(dial, s.w, s.alice, s.bob->id);
        size_t n_calls = s.w->n_calls;
        cases[i].spoil(&dial, &s);
        uint64_t inv = send_dial(s.w, &dial);
        const struct world_answer *a = world_answer(s.w, inv);
        if (!CHECK(a && a->what == WORLD_REFUSED))
            continue;
        if (a->err.code != cases[i].code ||
            !view_starts(view_text(a->err.text), view_text(cases[i].why)))
            check_failed(__FILE__, __LINE__, "case %zu: got %s (%s), wanted %s", i,
                         err_code_name(a->err.code), a->err.text, cases[i].why);
        CHECK_U64(s.w->n_calls, n_calls);
    }
}

TEST(no_byte_of_a_dial_can_be_changed)
{
    SCENE(s);
    DIAL(dial, s.w, s.alice, s.bob->id);
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    rpc_statement_sign(RPC_W_DIAL, &dial.d, dial.key, &bytes, sig);
    for (size_t i = 0; i < bytes.len; i++) {
        struct buf args = { 0 };
        bytes.data[i] ^= 0x20;
        rpc_put_array(&args, 4);
        rpc_put_bin(&args, buf_view(&bytes));
        rpc_put_bin(&args, VIEW_ARR(sig));
        rpc_put_bin(&args, buf_view(&dial.ice));
        rpc_put_nil(&args);
        uint64_t inv = world_handle(s.w, "den.session.open", "peer", s.alice->id, &args);
        bytes.data[i] ^= 0x20;
        if (!CHECK(world_answer(s.w, inv) && world_answer(s.w, inv)->what == WORLD_REFUSED))
            return;
    }
}

TEST(a_dial_is_good_once_and_for_two_beacons)
{
    SCENE(s);
    DIAL(dial, s.w, s.alice, s.bob->id);
    uint64_t inv;
    struct err err;

    CHECK(ring(s.w, &dial, s.bob, &inv) != NULL);
    check_refused(s.w, send_dial(s.w, &dial), ERR_REPLAYED,
                  "dial: it was used before under this beacon");
    DIAL(denied, s.w, s.alice, s.carol->id);
    send_dial(s.w, &denied);
    say_online(s.w, true);
    check_refused(s.w, send_dial(s.w, &denied), ERR_REPLAYED,
                  "dial: it was used before under this beacon");
    DIAL(early, s.w, s.alice, s.bob->id);
    world_pass(s.w, 60 * SECOND_MS);
    check_refused(s.w, send_dial(s.w, &early), ERR_STALE,
                  "dial: the beacon is not one of the last two");
    /* The number of a session is used up for ever, whatever beacon comes with it. */
    memcpy(dial.beacon, world_beacon(s.w).data, sizeof(dial.beacon));
    check_refused(s.w, send_dial(s.w, &dial), ERR_REPLAYED,
                  "dial: its session number was used before");
    DIAL(late, s.w, s.alice, s.bob->id);
    CHECK_OK(world_restart(s.w, &err), err);
    late.d.netid = rpc_trust_netid(s.w->trust);
    check_refused(s.w, send_dial(s.w, &late), ERR_STALE,
                  "dial: the beacon is not one of the last two");
}

TEST(an_expired_certificate_does_not_dial)
{
    SCENE(s);

    world_pass(s.w, DAY_MS);
    DIAL(dial, s.w, s.alice, s.bob->id);
    check_refused(s.w, send_dial(s.w, &dial), ERR_EXPIRED,
                  "dial: the certificate of its TLS key is out of time: get a new one");
}

TEST(one_caller_has_so_many_dials_at_once)
{
    SCENE(s);

    for (size_t i = 0; i < 8; i++) {
        DIAL(dial, s.w, s.alice, s.bob->id);
        CHECK(!world_answer(s.w, send_dial(s.w, &dial)));
    }
    DIAL(dial, s.w, s.alice, s.bob->id);
    check_refused(s.w, send_dial(s.w, &dial), ERR_LIMIT,
                  "dial: too many dials at once: wait for the others");
    DIAL(other, s.w, s.bob, s.alice->id);
    CHECK(!world_answer(s.w, send_dial(s.w, &other)));
}

/* ---- what the callee says ------------------------------------------------------------------ */

static void accept_other_signer(struct accept *a, const struct scene *s)
{
    a->key = s->carol->key;
}
static void accept_other_pk(struct accept *a, const struct scene *s)
{
    a->c.b_pk = key_public_view(s->carol->key);
}
static void accept_other_id(struct accept *a, const struct scene *s)
{
    a->c.b_id = view_text(s->carol->id);
}
static void accept_other_sid(struct accept *a, const struct scene *s)
{
    (void)s;
    a->c.sid = VIEW(wrong32, RPC_SID);
}
static void accept_other_net(struct accept *a, const struct scene *s)
{
    (void)s;
    a->c.netid = VIEW_ARR(wrong32);
}
static void accept_other_grant(struct accept *a, const struct scene *s)
{
    (void)s;
    a->grant_hash[0] ^= 1;
}
static void accept_other_ice(struct accept *a, const struct scene *s)
{
    (void)s;
    a->ice_hash[0] ^= 1;
}
static void accept_other_spki(struct accept *a, const struct scene *s)
{
    a->c.b_spki = VIEW_ARR(s->carol->spki);
}
static void accept_more_caps(struct accept *a, const struct scene *s)
{
    (void)s;
    a->c.caps = (struct rpc_items){ { VIEW_LIT("chat"), VIEW_LIT("tunnel:22") }, 2 };
}

TEST(an_accept_that_is_not_the_callees_for_this_grant_is_refused)
{
    SCENE(s);
    static const struct {
        void (*spoil)(struct accept *a, const struct scene *s);
        enum err_code code;
        const char *why; /* its start */
    } cases[] = {
        { accept_other_signer, ERR_BAD_SIGNATURE, "accept: " },
        { accept_other_pk, ERR_BAD_STATEMENT, "accept: of another ID or key" },
        { accept_other_id, ERR_BAD_STATEMENT, "accept: of another ID or key" },
        { accept_other_sid, ERR_BAD_STATEMENT, "accept: for another network or session" },
        { accept_other_net, ERR_BAD_STATEMENT, "accept: for another network or session" },
        { accept_other_grant, ERR_BAD_STATEMENT, "accept: grant: not the one that was signed" },
        { accept_other_ice, ERR_BAD_STATEMENT,
          "accept: ICE description: not the one that was signed" },
        { accept_other_spki, ERR_WRONG_KEY,
          "accept: its TLS key is not one that was certified for" },
        { accept_more_caps, ERR_BAD_STATEMENT, "accept: capabilities that were not granted" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        DIAL(dial, s.w, s.alice, s.bob->id);
        struct accept accept;
        struct offer offer;
        uint64_t inv;
        struct world_call *call = ring(s.w, &dial, s.bob, &inv);
        if (!call || !read_offer(s.w, call, &offer))
            return;
        accept_begin(&accept, s.w, &offer, s.bob);
        cases[i].spoil(&accept, &s);
        send_accept(call, &accept);
        const struct world_answer *a = world_answer(s.w, inv);
        if (!CHECK(a && a->what == WORLD_REFUSED))
            continue;
        if (a->err.code != cases[i].code ||
            !view_starts(view_text(a->err.text), view_text(cases[i].why)))
            check_failed(__FILE__, __LINE__, "case %zu: got %s (%s), wanted %s", i,
                         err_code_name(a->err.code), a->err.text, cases[i].why);
        CHECK_STR(state_of(s.w, dial.sid), "failed");
        CHECK_U64(world_audited(s.w, "session.failed", NULL), i + 1);
        struct world_call *removal = world_pending(s.w, "network.grant.remove");
        struct buf none = { 0 };
        if (CHECK(removal))
            world_result(removal, &none);
    }
}

TEST(the_callee_says_no_or_nothing)
{
    SCENE(s);
    static const struct {
        enum err_code said, told;
        const char *state, *text;
    } cases[] = {
        { ERR_DECLINED, ERR_DECLINED, "declined", "as the test wants it" },
        { ERR_BUSY, ERR_BUSY, "declined", "as the test wants it" },
        { ERR_TIMEOUT, ERR_TIMEOUT, "failed", "the other side did not answer" },
        { ERR_STALE, ERR_STALE, "failed", "the other side refused: as the test wants it" },
        { ERR_INTERNAL, ERR_NOT_REACHABLE, "failed", "this ID cannot be reached by you" },
        { ERR_NETWORK_FAILURE, ERR_NOT_REACHABLE, "failed", "this ID cannot be reached by you" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        DIAL(dial, s.w, s.alice, s.bob->id);
        uint64_t inv;
        struct world_call *call = ring(s.w, &dial, s.bob, &inv);
        if (!call)
            return;
        world_fail(call, cases[i].said);
        check_refused(s.w, inv, cases[i].told, cases[i].text);
        CHECK_STR(state_of(s.w, dial.sid), cases[i].state);
        struct world_call *removal = world_pending(s.w, "network.grant.remove");
        struct buf none = { 0 };
        if (CHECK(removal))
            world_result(removal, &none);
    }
}

TEST(den_that_ends_with_open_dials_forgets_them)
{
    SCENE(s);
    DIAL(dial, s.w, s.alice, s.bob->id);
    uint64_t inv;
    struct err err;
    struct world_call *call = ring(s.w, &dial, s.bob, &inv);

    if (!call)
        return;
    CHECK_OK(world_restart(s.w, &err), err);
    CHECK(call->is_forgotten);
}

/* ---- closing ------------------------------------------------------------------------------- */

static uint64_t send_close(struct world *w, const struct world_peer *by, struct view sid,
                           const char *reason)
{
    struct buf args = { 0 };
    _buf_ body = { 0 };

    rpc_put_map(&body, 2);
    rpc_put_str(&body, "sid");
    rpc_put_bin(&body, sid);
    rpc_put_str(&body, "reason");
    rpc_put_str(&body, reason);
    world_put_request(w, &args, by->key, by->id, "den.session.close", buf_view(&body));
    return world_handle(w, "den.session.close", "peer", by->id, &args);
}

static void check_told(const struct scene *s, const char *reason)
{
    const struct world_event *event = world_last_event(s->w, "den.session.on_state");
    char ends[64];
    struct rpc_fields f;

    snprintf(ends, sizeof(ends), "%s,%s", s->alice->id, s->bob->id);
    if (!CHECK(event))
        return;
    CHECK_STR(event->eligible, ends);
    CHECK(!event->is_retained);
    rpc_fields_open(&f, buf_view(&event->args));
    CHECK_U64(rpc_fields_fixed(&f, "sid", RPC_SID).len, RPC_SID);
    CHECK_VIEW(rpc_fields_text(&f, "state", 16), VIEW_LIT("closed"));
    CHECK_VIEW(rpc_fields_text(&f, "reason", 100), view_text(reason));
}

TEST(either_end_closes_a_session_and_nobody_else)
{
    SCENE(s);
    const struct world_peer *const closers[] = { s.alice, s.bob };

    for (size_t i = 0; i < N_ELEMENTS(closers); i++) {
        DIAL(dial, s.w, s.alice, s.bob->id);
        uint64_t inv;
        struct offer offer;
        struct accept accept;
        struct world_call *call = ring(s.w, &dial, s.bob, &inv);
        if (!call || !read_offer(s.w, call, &offer))
            return;
        accept_begin(&accept, s.w, &offer, s.bob);
        send_accept(call, &accept);
        check_refused(s.w, send_close(s.w, s.carol, VIEW_ARR(dial.sid), "mine"), ERR_NOT_FOUND,
                      "close: no such session of yours");
        CHECK_STR(state_of(s.w, dial.sid), "accepted");
        inv = send_close(s.w, closers[i], VIEW_ARR(dial.sid), "done");
        CHECK(world_answer(s.w, inv) && world_answer(s.w, inv)->what == WORLD_YIELDED);
        CHECK_STR(state_of(s.w, dial.sid), "closed");
        check_told(&s, "done");
        struct world_call *removal = world_pending(s.w, "network.grant.remove");
        struct buf none = { 0 };
        if (CHECK(removal))
            world_result(removal, &none);
        size_t n_events = s.w->n_events;
        inv = send_close(s.w, closers[i], VIEW_ARR(dial.sid), "again"); /* harmless */
        CHECK(world_answer(s.w, inv) && world_answer(s.w, inv)->what == WORLD_YIELDED);
        CHECK_U64(s.w->n_events, n_events);
    }
    check_refused(s.w, send_close(s.w, s.alice, VIEW(wrong32, RPC_SID), "x"), ERR_NOT_FOUND,
                  "close: no such session of yours");
    check_refused(s.w, send_close(s.w, s.alice, VIEW(wrong32, 3), "x"), ERR_BAD_WIRE,
                  "close: body: sid: missing, or not 16 bytes");
}

TEST(closing_what_still_rings_answers_its_caller)
{
    SCENE(s);
    DIAL(dial, s.w, s.alice, s.bob->id);
    uint64_t inv;
    struct world_call *call = ring(s.w, &dial, s.bob, &inv);

    if (!call)
        return;
    send_close(s.w, s.alice, VIEW_ARR(dial.sid), "changed my mind");
    check_refused(s.w, inv, ERR_CANCELED, "closed before it was answered");
    CHECK(call->is_forgotten);
    CHECK_STR(state_of(s.w, dial.sid), "closed");
    CHECK(world_pending(s.w, "network.grant.remove") != NULL);
    check_told(&s, "canceled");
}

TEST(nobody_is_told_of_a_session_that_could_not_be_recorded)
{
    SCENE(s);
    DIAL(dial, s.w, s.alice, s.bob->id);
    uint64_t inv = send_dial(s.w, &dial);

    world_disk_is_full = true;
    say_online(s.w, true);
    world_disk_is_full = false;
    check_refused(s.w, inv, ERR_SYSTEM, "den could not do it; its log says why");
    CHECK(!world_pending(s.w, "network.grant.install"));
    CHECK_STR(state_of(s.w, dial.sid), "");
}
