/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/den/scene.h"

#include <stdio.h>

/* Alice is %1, bob %2, carol %3. */
static const char rules[] =
    "rules:\n"
    "  - {from: %1, to: %2, can: [chat, tunnel:3389], back: [chat], consent: none}\n"
    "  - {from: %2, to: %1, can: [chat], consent: ask}\n"
    "  - {from: %1, to: %3, can: any, consent: deny}\n"
    "  - {from: %1, to: 999998, can: [chat]}\n";

void scene_end(struct scene *s)
{
    world_peer_free(s->alice);
    world_peer_free(s->bob);
    world_peer_free(s->carol);
    world_free(s->w);
}

bool scene_begin(struct scene *s)
{
    struct err err;
    _buf_ policy = { 0 };

    s->w = world_new("rules: [{from: any, to: any, can: any, consent: deny}]\n");
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

void dial_end(struct dial *dial)
{
    buf_free(&dial->ice);
}

void dial_begin(struct dial *dial, const struct world *w, const struct world_peer *from,
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

uint64_t scene_dial(struct world *w, const struct dial *dial)
{
    struct buf args = { 0 };

    rpc_put_array(&args, dial->first.len ? 5 : 4);
    world_put_signed(&args, RPC_W_DIAL, &dial->d, dial->key);
    rpc_put_bin(&args, buf_view(&dial->ice));
    rpc_put_nil(&args);
    rpc_put_raw(&args, dial->first);
    return world_handle(w, "den.session.open", "peer", dial->stamp, &args);
}

void scene_say_online(struct world *w, bool is)
{
    struct world_call *call = world_pending(w, "network.peer.get");

    if (CHECK(call))
        world_say_online(call, is);
}

void scene_say_installed(struct world *w)
{
    struct world_call *call = world_pending(w, "network.grant.install");
    struct buf none = { 0 };

    if (CHECK(call))
        world_result(call, &none);
}

struct world_call *scene_offer_to(struct world *w, const struct world_peer *peer)
{
    char procedure[64];

    snprintf(procedure, sizeof(procedure), "peer.%s.session.offer", peer->id);
    return world_pending(w, procedure);
}

bool scene_read_offer(const struct world *w, const struct world_call *call, struct offer *ret)
{
    struct rpc_fields f;
    struct err err;

    rpc_fields_open(&f, buf_view(&call->args));
    ret->grant = rpc_fields_bin(&f, "G", RPC_MAX_STATEMENT);
    ret->grant_sig = rpc_fields_fixed(&f, "sig", SIG_SIZE);
    ret->dial = rpc_fields_bin(&f, "D", RPC_MAX_STATEMENT);
    ret->dial_sig = rpc_fields_fixed(&f, "sig", SIG_SIZE);
    ret->ice = rpc_fields_bin(&f, "ice", 2048);
    rpc_fields_array(&f, "rekeys");
    rpc_fields_value(&f, "TURN");
    ret->permit = rpc_fields_value(&f, "permit");
    ret->first = rpc_fields_array(&f, "packets");
    ret->who = rpc_fields_value(&f, "who");
    if (rpc_fields_end(&f, &err) && rpc_statement_open(RPC_W_GRANT, key_public_view(w->sign),
                                                       ret->grant, ret->grant_sig, &ret->g, &err))
        return true;
    check_failed(__FILE__, __LINE__, "offer: %s", err.text);
    return false;
}

void accept_begin(struct accept *a, const struct world *w, const struct offer *offer,
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

void scene_accept(struct world_call *call, const struct accept *a)
{
    struct buf args = { 0 };

    rpc_put_array(&args, a->first.len ? 6 : 3);
    world_put_signed(&args, RPC_W_ACCEPT, &a->c, a->key);
    rpc_put_bin(&args, a->ice);
    if (a->first.len) {
        rpc_put_str(&args, "none");
        rpc_put_u64(&args, 0);
        rpc_put_raw(&args, a->first);
    }
    world_result(call, &args);
}

struct world_call *scene_ring(struct world *w, const struct dial *dial, const struct world_peer *to,
                              uint64_t *ret_inv)
{
    *ret_inv = scene_dial(w, dial);
    scene_say_online(w, true);
    scene_say_installed(w);
    struct world_call *call = scene_offer_to(w, to);
    CHECK(call);
    return call;
}

bool scene_check_refused_why(const struct world *w, uint64_t inv, enum err_code code,
                             const char *why)
{
    const struct world_answer *a = world_answer(w, inv);

    if (!CHECK(a && a->what == WORLD_REFUSED))
        return false;
    if (a->err.code != code || !view_starts(view_text(a->err.text), view_text(why)))
        check_failed(__FILE__, __LINE__, "got %s (%s), wanted %s", err_code_name(a->err.code),
                     a->err.text, why);
    return true;
}

void scene_check_refused(const struct world *w, uint64_t inv, enum err_code code, const char *text)
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

const char *scene_state_of(struct world *w, const uint8_t sid[RPC_SID])
{
    static struct store_session session;
    enum store_found found;
    struct err err;

    if (!store_session_find(w->store, VIEW(sid, RPC_SID), &found, &session, &err) ||
        found == STORE_NONE)
        return "";
    return session.state;
}
