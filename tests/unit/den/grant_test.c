/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "den/metrics.h"
#include "den/turn.h"
#include "tests/unit/den/scene.h"

#include <inttypes.h>
#include <stdio.h>

static uint8_t wrong[HASH_SIZE] = { 1 };

/* ---- the road that ends well --------------------------------------------------------------- */

TEST(a_dial_that_policy_allows_brings_grant_and_accept)
{
    SCENE(s);
    DIAL(dial, s.w, s.alice, s.bob->id);
    dial.d.caps = (struct rpc_items){ { VIEW_LIT("chat"), VIEW_LIT("tunnel:3389") }, 2 };
    uint64_t inv = scene_dial(s.w, &dial);
    CHECK_U64(world_audited(s.w, "session.granted", NULL), 0);
    scene_say_online(s.w, true);
    CHECK_U64(world_audited(s.w, "session.granted", "rule=policy.yaml:2"),
              1); /* before anybody is told */
    CHECK(!scene_offer_to(s.w, s.bob));
    scene_say_installed(s.w);
    struct world_call *call = scene_offer_to(s.w, s.bob);
    struct offer offer;
    if (!CHECK(call) || !scene_read_offer(s.w, call, &offer))
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
    CHECK_STR(scene_state_of(s.w, dial.sid), "offered");
    struct accept accept;
    accept_begin(&accept, s.w, &offer, s.bob);
    accept.c.caps.n = 1; /* fewer are fine */
    scene_accept(call, &accept);
    CHECK_STR(scene_state_of(s.w, dial.sid), "accepted");
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
    CHECK_U64(rpc_fields_array(&f, "rekeys").len, 1); /* none */
    CHECK_U64(rpc_fields_u64(&f, "end"), 0);
    CHECK(rpc_value_kind(rpc_fields_value(&f, "permit")) == RPC_NIL);
    CHECK(rpc_value_kind(offer.permit) == RPC_NIL);
    CHECK_U64(rpc_fields_array(&f, "packets").len, 1); /* none */
    CHECK_U64(offer.first.len, 1);
    CHECK(rpc_value_kind(offer.who) == RPC_NIL);
    CHECK_OK(rpc_fields_end(&f, &err), err);
    CHECK(!world_pending(s.w, "network.grant.remove"));
}

TEST(who_is_called_hears_what_the_caller_is_called_now)
{
    SCENE(s);
    struct store_name one = { .name = "alice-laptop", .skeleton = "alice-laptop", .name_no = 1 },
                      gone = { .name = "alice-old",
                               .skeleton = "alice-old",
                               .name_no = 1,
                               .released_at = 1 };
    struct offer offer;
    struct err err;
    uint64_t inv;

    snprintf(one.id, sizeof(one.id), "%s", s.alice->id);
    snprintf(gone.id, sizeof(gone.id), "%s", s.alice->id);
    CHECK_OK(store_begin(s.w->store, &err) && store_name_add(s.w->store, &one, &err) &&
                 store_name_add(s.w->store, &gone, &err) && store_commit(s.w->store, &err),
             err);
    DIAL(dial, s.w, s.alice, s.bob->id);
    struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);
    if (!CHECK(call && scene_read_offer(s.w, call, &offer)))
        return;
    struct rpc_fields f;
    struct rpc_who who;
    rpc_fields_open(&f, offer.who);
    struct view bytes = rpc_fields_bin(&f, "who", RPC_MAX_STATEMENT),
                sig = rpc_fields_fixed(&f, "signature", SIG_SIZE);
    CHECK_OK(rpc_fields_end(&f, &err) &&
                 rpc_statement_open(RPC_W_WHO, key_public_view(s.w->sign), bytes, sig, &who, &err),
             err);
    CHECK_VIEW(who.names, VIEW_LIT("alice-laptop"));
    CHECK_VIEW(who.sid, offer.g.sid);
    CHECK_VIEW(who.a_id, view_text(s.alice->id));
}

/* An array of one packet of `len` bytes. */
static void put_packet(struct buf *to, size_t len)
{
    uint8_t bytes[8192];

    memset(bytes, 0x5a, sizeof(bytes));
    rpc_put_array(to, 1);
    rpc_put_bin(to, VIEW(bytes, len));
}

TEST(the_first_packets_of_a_link_go_along_both_ways)
{
    SCENE(s);
    _buf_ caller = { 0 }, callee = { 0 };
    struct offer offer;
    struct accept accept;
    struct rpc_fields f;
    uint64_t inv;

    put_packet(&caller, 1200);
    put_packet(&callee, 3600);
    DIAL(dial, s.w, s.alice, s.bob->id);
    dial.first = buf_view(&caller);
    struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);
    if (!CHECK(call && scene_read_offer(s.w, call, &offer)))
        return;
    CHECK_VIEW(offer.first, buf_view(&caller));
    accept_begin(&accept, s.w, &offer, s.bob);
    accept.first = buf_view(&callee);
    scene_accept(call, &accept);
    const struct world_answer *answer = world_answer(s.w, inv);
    if (!CHECK(answer && answer->what == WORLD_YIELDED))
        return;
    rpc_fields_open(&f, buf_view(&answer->bytes));
    for (int i = 0; i < 9; i++)
        rpc_fields_value(&f, "what stands before");
    CHECK_VIEW(rpc_fields_array(&f, "packets"), buf_view(&callee));
}

TEST(more_packets_than_a_beginning_has_are_refused)
{
    SCENE(s);
    _buf_ many = { 0 };
    struct offer offer;
    struct accept accept;
    uint64_t inv;

    put_packet(&many, 6200);
    DIAL(large, s.w, s.alice, s.bob->id);
    large.first = buf_view(&many);
    scene_check_refused_why(s.w, scene_dial(s.w, &large), ERR_INVALID_ARGUMENT,
                            "dial: packets: too long");
    DIAL(dial, s.w, s.alice, s.bob->id);
    struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);
    if (!CHECK(call && scene_read_offer(s.w, call, &offer)))
        return;
    accept_begin(&accept, s.w, &offer, s.bob);
    accept.first = buf_view(&many);
    scene_accept(call, &accept);
    scene_check_refused_why(s.w, inv, ERR_INVALID_ARGUMENT, "accept: packets: too long");
    CHECK_STR(scene_state_of(s.w, dial.sid), "failed");
}

TEST(the_grant_names_the_relays_of_the_configuration)
{
    SCENE(s);
    struct den_core_config next = s.w->config;
    struct rpc_items items = { 0 };
    struct offer offer;
    struct err err = { 0 };
    uint64_t inv;

    snprintf(next.relay, sizeof(next.relay), "relay.corp.example:443  [2001:db8::1]:8443");
    den_core_adjust(s.w->core, &next);
    DIAL(dial, s.w, s.alice, s.bob->id);
    struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);
    if (!CHECK(call && scene_read_offer(s.w, call, &offer)))
        return;
    CHECK_U64(offer.g.relay.n, 2);
    CHECK_VIEW(offer.g.relay.item[0], VIEW_LIT("relay.corp.example:443"));
    CHECK_VIEW(offer.g.relay.item[1], VIEW_LIT("[2001:db8::1]:8443"));
    CHECK_ERR(grant_read_relays("a.example b.example c.example d.example e.example", &items, &err),
              err, ERR_INVALID_ARGUMENT);
    CHECK(!grant_read_relays("not/a:host", &items, &err));
    CHECK(grant_read_relays("", &items, &err) && items.n == 0);
}

TEST(a_rule_that_says_offline_brings_both_ends_one_permit)
{
    SCENE(s);
    struct rpc_fields f;
    struct rpc_permit p;
    struct offer offer;
    struct accept accept;
    struct err err;
    uint64_t inv;

    _free_ char *policy = mem_format("rules: [{from: %s, to: %s, can: [chat, file], back: [file], "
                                     "consent: none, offline: 8h}]\n",
                                     s.alice->id, s.bob->id);
    CHECK_OK(world_set_policy(s.w, policy, &err), err);
    DIAL(dial, s.w, s.alice, s.bob->id);
    struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);
    if (!CHECK(call && scene_read_offer(s.w, call, &offer)))
        return;
    _buf_ kept = buf_dup(offer.permit);
    rpc_fields_open(&f, buf_view(&kept));
    struct view bytes = rpc_fields_bin(&f, "P", RPC_MAX_STATEMENT),
                sig = rpc_fields_fixed(&f, "sig", SIG_SIZE);
    CHECK_OK(rpc_fields_end(&f, &err), err);
    CHECK_OK(rpc_statement_open(RPC_W_PERMIT, key_public_view(s.w->sign), bytes, sig, &p, &err),
             err);
    CHECK(view_eq_text(p.a_id, s.alice->id) && view_eq_text(p.b_id, s.bob->id));
    CHECK_VIEW(p.a_pk, key_public_view(s.alice->key));
    CHECK_VIEW(p.b_pk, key_public_view(s.bob->key));
    CHECK(p.caps.n == offer.g.caps.n && view_eq(p.caps.item[0], offer.g.caps.item[0]) &&
          p.caps_back.n == 1);
    CHECK_U64(p.not_after - p.issued_at, 8 * HOUR_MS);
    CHECK_U64(p.max_hb_age, 8 * HOUR_MS);
    CHECK_U64(world_audited(s.w, "session.permit", s.alice->id), 1);
    accept_begin(&accept, s.w, &offer, s.bob);
    scene_accept(call, &accept);
    const struct world_answer *answer = world_answer(s.w, inv);
    if (!CHECK(answer && answer->what == WORLD_YIELDED))
        return;
    rpc_fields_open(&f, buf_view(&answer->bytes));
    for (size_t i = 0; i < 8; i++)
        rpc_fields_value(&f, "before");
    CHECK_VIEW(rpc_fields_value(&f, "permit"), buf_view(&kept));
}

/* The TURN of an offer or an answer. */
static bool read_turn(struct view args, size_t n_before, struct rpc_turn *ret)
{
    struct rpc_fields f;
    struct err err;

    rpc_fields_open(&f, args);
    for (size_t i = 0; i < n_before; i++)
        rpc_fields_value(&f, "before");
    return CHECK(rpc_turn_read(rpc_fields_value(&f, "turn"), ret, &err));
}

TEST(each_end_gets_a_credential_of_its_own_for_turn)
{
    SCENE(s);
    _free_ char *path = mem_format("%s/turn.secret", check_dir());
    _cleanup_(turn_freep) struct turn *turn = NULL;
    struct rpc_turn of_alice, of_bob;
    struct err err;
    uint64_t inv;

    CHECK_OK(file_write(path, VIEW_LIT("0123456789abcdef"), 0600, &err), err);
    CHECK_OK(turn_open("turn:turn.corp.example", path, &turn, &err), err);
    struct den_core_config next = s.w->config;
    next.turn = turn;
    den_core_adjust(s.w->core, &next);

    DIAL(dial, s.w, s.alice, s.bob->id);
    struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);
    struct offer offer;
    struct accept accept;
    if (!call || !scene_read_offer(s.w, call, &offer) ||
        !read_turn(buf_view(&call->args), 6, &of_bob))
        return;
    accept_begin(&accept, s.w, &offer, s.bob);
    scene_accept(call, &accept);
    const struct world_answer *answer = world_answer(s.w, inv);
    if (!CHECK(answer && answer->what == WORLD_YIELDED) ||
        !read_turn(buf_view(&answer->bytes), 5, &of_alice))
        return;
    _buf_ sid = { 0 };
    text_put_hex(&sid, VIEW_ARR(dial.sid));
    _free_ char *alice = mem_format("%" PRIu64 ":%s-%s", of_alice.expires_at / SECOND_MS,
                                    buf_cstr(&sid), s.alice->id);
    _free_ char *bob =
        mem_format("%" PRIu64 ":%s-%s", of_bob.expires_at / SECOND_MS, buf_cstr(&sid), s.bob->id);
    CHECK_VIEW(of_alice.username, view_text(alice));
    CHECK_VIEW(of_bob.username, view_text(bob));
    CHECK(!view_eq(of_alice.password, of_bob.password));
    CHECK_U64(of_bob.expires_at, s.w->wall + 10 * MINUTE_MS);
    CHECK_U64(of_alice.n_uris, 1);

    /* Who gets no grant gets no credential, and nothing of it is written down. */
    DIAL(forbidden, s.w, s.alice, s.carol->id);
    inv = scene_dial(s.w, &forbidden);
    scene_say_online(s.w, true);
    scene_check_refused(s.w, inv, ERR_NOT_REACHABLE, "this ID cannot be reached by you");
    _free_ char *password = view_dup_text(of_bob.password);
    CHECK_U64(world_audited(s.w, password, NULL), 0);
    CHECK_U64(world_audited(s.w, "0123456789abcdef", NULL), 0);
    den_core_adjust(s.w->core, &s.w->config);
}

/* An accept with `duration`: [C, sig, ice, consent, duration]. */
static void accept_for(struct world_call *call, const struct accept *a, uint64_t duration)
{
    struct buf args = { 0 };

    rpc_put_array(&args, 5);
    world_put_signed(&args, RPC_W_ACCEPT, &a->c, a->key);
    rpc_put_bin(&args, a->ice);
    rpc_put_str(&args, "ask");
    rpc_put_u64(&args, duration);
    world_result(call, &args);
}

static uint64_t end_told(const struct world_answer *answer)
{
    struct rpc_fields f;

    rpc_fields_open(&f, buf_view(&answer->bytes));
    for (size_t i = 0; i < 7; i++)
        rpc_fields_value(&f, "before");
    return rpc_fields_u64(&f, "end");
}

/* The whole of den.session.turn; `by` NULL: without a session, as alice. */
static uint64_t ask_turn(const struct scene *s, const struct world_peer *by, struct view sid)
{
    struct buf args = { 0 };
    _buf_ body = { 0 };

    if (!by) {
        rpc_put_array(&args, 0);
        return world_handle(s->w, "den.session.turn", "peer", s->alice->id, &args);
    }
    rpc_put_map(&body, 1);
    rpc_put_str(&body, "sid");
    rpc_put_bin(&body, sid);
    return world_request(s->w, by, "den.session.turn", buf_view(&body));
}

static void check_given(const struct scene *s, const struct world_peer *by, const struct dial *dial)
{
    const struct world_answer *answer = world_answer(s->w, ask_turn(s, by, VIEW_ARR(dial->sid)));
    struct rpc_turn given;
    _buf_ sid = { 0 };

    if (!CHECK(answer && answer->what == WORLD_YIELDED) ||
        !read_turn(buf_view(&answer->bytes), 0, &given))
        return;
    text_put_hex(&sid, VIEW_ARR(dial->sid));
    _free_ char *name =
        mem_format("%" PRIu64 ":%s-%s", given.expires_at / SECOND_MS, buf_cstr(&sid), by->id);
    CHECK_VIEW(given.username, view_text(name));
    CHECK_U64(given.expires_at, s->w->wall + TURN_CREDENTIAL_MS);
    CHECK(given.password.len > 0);
}

TEST(a_credential_for_turn_needs_a_grant_that_lives)
{
    SCENE(s);
    _free_ char *path = mem_format("%s/turn.secret", check_dir());
    _cleanup_(turn_freep) struct turn *turn = NULL;
    struct err err;
    uint64_t inv;

    CHECK_OK(file_write(path, VIEW_LIT("0123456789abcdef"), 0600, &err), err);
    CHECK_OK(turn_open("turn:turn.corp.example", path, &turn, &err), err);
    struct den_core_config next = s.w->config;
    next.turn = turn;
    den_core_adjust(s.w->core, &next);

    /* Where they are, anybody is told; no more than that. */
    const struct world_answer *answer = world_answer(s.w, ask_turn(&s, NULL, (struct view){ 0 }));
    struct rpc_fields f;
    struct rpc_turn servers;
    if (!CHECK(answer && answer->what == WORLD_YIELDED))
        return;
    rpc_fields_open(&f, buf_view(&answer->bytes));
    struct view map = rpc_fields_value(&f, "turn"), text = VIEW_LIT("?");
    CHECK(!rpc_turn_read(map, &servers, &err));
    CHECK_OK(rpc_turn_read_servers(map, &servers, &err), err);
    CHECK_U64(servers.n_uris, 1);
    CHECK(rpc_map_text(map, "username", &text) && text.len == 0);
    CHECK(rpc_map_text(map, "password", &text) && text.len == 0);

    DIAL(dial, s.w, s.alice, s.bob->id);
    static const char why[] = "turn: no such session of yours";
    scene_check_refused(s.w, ask_turn(&s, s.alice, VIEW_ARR(dial.sid)), ERR_NOT_FOUND, why);
    struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);
    struct offer offer;
    struct accept accept;
    if (!call || !scene_read_offer(s.w, call, &offer))
        return;
    check_given(&s, s.bob, &dial); /* it rings: it was granted */
    accept_begin(&accept, s.w, &offer, s.bob);
    scene_accept(call, &accept);
    check_given(&s, s.alice, &dial);
    check_given(&s, s.bob, &dial);
    CHECK_U64(world_audited(s.w, "what=session.turn\n", s.alice->id), 3); /* in each as an end */
    _free_ char *by = mem_format("by=%s\n", s.bob->id);
    CHECK_U64(world_audited(s.w, "what=session.turn\n", by), 2);
    scene_check_refused(s.w, ask_turn(&s, s.carol, VIEW_ARR(dial.sid)), ERR_NOT_FOUND, why);
    CHECK_U64(world_audited(s.w, "what=request.refused\n", "den.session.turn"), 2);

    _buf_ body = { 0 };
    rpc_put_map(&body, 1);
    rpc_put_str(&body, "sid");
    rpc_put_bin(&body, VIEW_ARR(dial.sid));
    world_request(s.w, s.bob, "den.session.close", buf_view(&body));
    CHECK_STR(scene_state_of(s.w, dial.sid), "closed");
    scene_check_refused(s.w, ask_turn(&s, s.alice, VIEW_ARR(dial.sid)), ERR_NOT_FOUND,
                        "turn: the session is over");
    scene_check_refused(s.w, ask_turn(&s, s.alice, VIEW("abc", 3)), ERR_INVALID_ARGUMENT,
                        "turn: body: sid: missing, or not 16 bytes");
    CHECK_U64(world_audited(s.w, "what=session.turn\n", NULL), 3);
}

TEST(the_called_side_says_for_how_long_and_den_ends_it_then)
{
    SCENE(s);
    DIAL(dial, s.w, s.alice, s.bob->id);
    struct accept accept;
    struct offer offer;
    struct err err;
    uint64_t inv;
    struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);

    if (!call || !scene_read_offer(s.w, call, &offer))
        return;
    accept_begin(&accept, s.w, &offer, s.bob);
    accept_for(call, &accept, 90 * SECOND_MS);
    const struct world_answer *answer = world_answer(s.w, inv);
    if (!CHECK(answer && answer->what == WORLD_YIELDED))
        return;
    CHECK_U64(end_told(answer), s.w->wall + 90 * SECOND_MS);
    CHECK_U64(world_audited(s.w, "session.accepted", "until="), 1);
    world_pass(s.w, 89 * SECOND_MS);
    CHECK_STR(scene_state_of(s.w, dial.sid), "accepted");
    CHECK_OK(world_restart(s.w, &err), err); /* it is not forgotten */
    world_pass(s.w, 1 * SECOND_MS);
    CHECK_STR(scene_state_of(s.w, dial.sid), "closed");
    CHECK_U64(world_audited(s.w, "session.closed", "the time that it was allowed for is over"), 1);
    CHECK(world_pending(s.w, "network.grant.remove") != NULL);
    CHECK(world_last_event(s.w, "den.session.on_state") != NULL);
}

TEST(a_duration_that_is_none_is_refused)
{
    SCENE(s);
    DIAL(dial, s.w, s.alice, s.bob->id);
    struct accept accept;
    struct offer offer;
    uint64_t inv;
    struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);

    if (!call || !scene_read_offer(s.w, call, &offer))
        return;
    accept_begin(&accept, s.w, &offer, s.bob);
    accept_for(call, &accept, 401 * DAY_MS);
    scene_check_refused_why(s.w, inv, ERR_INVALID_ARGUMENT,
                            "accept: duration: longer than 400 days");
}

TEST(a_rule_that_asks_for_consent_says_so_in_the_grant)
{
    SCENE(s);
    DIAL(dial, s.w, s.bob, s.alice->id);
    uint64_t inv;
    struct world_call *call = scene_ring(s.w, &dial, s.alice, &inv);
    struct offer offer;

    if (!call || !scene_read_offer(s.w, call, &offer))
        return;
    CHECK_U64(offer.g.consent, 1);
    CHECK_U64(offer.g.caps_back.n, 0);
}

TEST(nobody_is_told_of_a_session_that_could_not_be_recorded)
{
    SCENE(s);
    DIAL(dial, s.w, s.alice, s.bob->id);
    uint64_t inv = scene_dial(s.w, &dial);

    world_disk_is_full = true;
    scene_say_online(s.w, true);
    world_disk_is_full = false;
    scene_check_refused(s.w, inv, ERR_SYSTEM, "den could not do it; its log says why");
    CHECK(!world_pending(s.w, "network.grant.install"));
    CHECK_STR(scene_state_of(s.w, dial.sid), "");
}

/* Of one turn of the loop: the second has the number of the first, the third one of its own. */
TEST(dials_of_one_turn_are_recorded_together_and_judged_each)
{
    SCENE(s);
    DIAL(first, s.w, s.alice, s.bob->id);
    DIAL(second, s.w, s.bob, s.alice->id);
    DIAL(third, s.w, s.bob, s.alice->id);
    memcpy(second.sid, first.sid, sizeof(second.sid));
    s.w->is_turn_long = true;
    scene_dial(s.w, &first);
    uint64_t inv = scene_dial(s.w, &second);
    scene_dial(s.w, &third);
    for (size_t i = 0; i < 3; i++)
        scene_say_online(s.w, true);
    CHECK_STR(scene_state_of(s.w, first.sid), "");
    CHECK(!world_pending(s.w, "network.grant.install"));
    world_pass(s.w, 1);
    CHECK_STR(scene_state_of(s.w, first.sid), "offered");
    CHECK_STR(scene_state_of(s.w, third.sid), "offered");
    CHECK_U64(world_audited(s.w, "session.granted", NULL), 2);
    scene_check_refused(s.w, inv, ERR_REPLAYED, "dial: its session number was used before");
    s.w->is_turn_long = false;
    scene_say_installed(s.w);
    scene_say_installed(s.w);
    CHECK(scene_offer_to(s.w, s.bob) && scene_offer_to(s.w, s.alice));
}

/* Neither recorded nor signed: nobody hears of it. */
TEST(a_dial_that_is_called_off_before_its_record_leaves_none)
{
    SCENE(s);
    DIAL(dial, s.w, s.alice, s.bob->id);

    s.w->is_turn_long = true;
    uint64_t inv = scene_dial(s.w, &dial);
    scene_say_online(s.w, true);
    den_core_interrupt(s.w->core, inv);
    world_pass(s.w, 1);
    CHECK_STR(scene_state_of(s.w, dial.sid), "");
    CHECK(!world_pending(s.w, "network.grant.install"));
    scene_check_refused(s.w, inv, ERR_CANCELED, "its caller does not wait for the answer any more");
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
          "rule=policy.yaml:5" }, /* allowed, but nobody has it */
        { s.bob->id, false, "reason=offline", "rule=policy.yaml:2" },
        { s.carol->id, true, "reason=denied", "rule=policy.yaml:4" },
        { s.carol->id, false, "reason=denied", "rule=policy.yaml:4" },
        { "999997", false, "reason=unknown", "rule=default" },
    };
    _buf_ first = { 0 };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        size_t n_calls = s.w->n_calls, audited = world_audited(s.w, cases[i].reason, cases[i].rule);
        DIAL(dial, s.w, s.alice, cases[i].to);
        uint64_t inv = scene_dial(s.w, &dial);
        CHECK(!world_answer(s.w, inv)); /* nobody is answered before the router was asked */
        scene_say_online(s.w, cases[i].is_online);
        const struct world_answer *answer = world_answer(s.w, inv);
        if (!CHECK(answer && answer->what == WORLD_REFUSED))
            return;
        CHECK_U64(s.w->n_calls, n_calls + 1);
        if (i == 0)
            buf_put(&first, buf_view(&answer->bytes));
        CHECK_VIEW(buf_view(&answer->bytes), buf_view(&first));
        CHECK(answer->err.code == ERR_NOT_REACHABLE);
        CHECK_U64(world_audited(s.w, cases[i].reason, cases[i].rule), audited + 1);
        CHECK_STR(scene_state_of(s.w, dial.sid), "");
    }
    CHECK_U64(world_audited(s.w, "session.refused", "sid="), N_ELEMENTS(cases));
    CHECK_U64(world_audited(s.w, "session.refused", "source=192.0.2.7\n"), N_ELEMENTS(cases));
    _free_ char *figure =
        mem_format("\nwarren_den_sessions_refused_total %zu\n", N_ELEMENTS(cases));
    _free_ char *all = mem_format("\nwarren_den_refused_total %zu\n", N_ELEMENTS(cases));
    struct web_page page = { 0 };
    metrics_serve(s.w->core, VIEW_LIT("/metrics"), &page);
    CHECK(strstr(buf_cstr(&page.body), figure) != NULL);
    CHECK(strstr(buf_cstr(&page.body), all) != NULL);
    buf_free(&page.body);
    CHECK_U64(world_audited(s.w, "session.granted", NULL), 0);
}

TEST(a_callee_that_left_before_the_offer_is_the_same_answer)
{
    SCENE(s);
    DIAL(refused, s.w, s.alice, s.carol->id);
    uint64_t denied = scene_dial(s.w, &refused), inv;
    scene_say_online(s.w, true);
    DIAL(dial, s.w, s.alice, s.bob->id);
    struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);

    if (!call)
        return;
    world_fail(call, ERR_NO_SUCH_PROCEDURE);
    CHECK_VIEW(buf_view(&world_answer(s.w, inv)->bytes),
               buf_view(&world_answer(s.w, denied)->bytes));
    CHECK(world_pending(s.w, "network.grant.remove") != NULL);
    CHECK_STR(scene_state_of(s.w, dial.sid), "failed");
}

TEST(whoever_dials_at_random_is_slowed_down)
{
    SCENE(s);

    for (size_t i = 0; i < 5; i++) {
        DIAL(dial, s.w, s.alice, "999997");
        scene_dial(s.w, &dial);
        scene_say_online(s.w, false);
    }
    DIAL(dial, s.w, s.alice, s.bob->id);
    scene_check_refused(s.w, scene_dial(s.w, &dial), ERR_LIMIT,
                        "dial: too many that reached nobody: wait a minute");
    DIAL(other, s.w, s.bob, s.alice->id);
    uint64_t inv;
    CHECK(scene_ring(s.w, &other, s.alice, &inv) != NULL);
    world_pass(s.w, 12 * SECOND_MS);
    DIAL(later, s.w, s.alice, s.bob->id);
    CHECK(scene_ring(s.w, &later, s.bob, &inv) != NULL);
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
    a->c.sid = VIEW(wrong, RPC_SID);
}
static void accept_other_net(struct accept *a, const struct scene *s)
{
    (void)s;
    a->c.netid = VIEW_ARR(wrong);
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
        struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);
        if (!call || !scene_read_offer(s.w, call, &offer))
            return;
        accept_begin(&accept, s.w, &offer, s.bob);
        cases[i].spoil(&accept, &s);
        scene_accept(call, &accept);
        if (!scene_check_refused_why(s.w, inv, cases[i].code, cases[i].why))
            continue;
        CHECK_STR(scene_state_of(s.w, dial.sid), "failed");
        CHECK_U64(world_audited(s.w, "session.failed", NULL), i + 1);
        struct world_call *removal = world_pending(s.w, "network.grant.remove");
        struct buf none = { 0 };
        if (CHECK(removal))
            world_result(removal, &none);
    }
}

/* In the list. */
static void check_reason(struct world *w, const uint8_t sid[RPC_SID], const char *reason)
{
    struct store_session session;
    enum store_found found;
    struct err err;

    CHECK_OK(store_session_find(w->store, VIEW(sid, RPC_SID), &found, &session, &err), err);
    CHECK_STR(session.reason, reason);
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
        struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);
        if (!call)
            return;
        world_fail(call, cases[i].said);
        scene_check_refused(s.w, inv, cases[i].told, cases[i].text);
        CHECK_STR(scene_state_of(s.w, dial.sid), cases[i].state);
        check_reason(s.w, dial.sid,
                     strcmp(cases[i].state, "declined") == 0 ? cases[i].text
                                                             : err_code_name(cases[i].told));
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
    struct world_call *call = scene_ring(s.w, &dial, s.bob, &inv);

    if (!call)
        return;
    CHECK_OK(world_restart(s.w, &err), err);
    CHECK(call->is_forgotten);
}
