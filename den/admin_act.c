/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of one thing, and what changes one. */
#include "den/admin.h"

#include "base/text.h"
#include "den/inventory.h"
#include "den/people.h"
#include "den/policy_kept.h"
#include "den/record.h"
#include "den/revocation.h"
#include "den/rollover.h"
#include "den/token.h"

#include <stdio.h>

enum { VERIFY_AT_ONCE = 20000, MAX_LISTED = 100 };

static bool find_peer(const struct admin *a, struct store_identity *ret_who, struct err *err)
{
    char id[ADMIN_WORD];

    return admin_need(a, "id", id, err) && people_find(a->store, id, ret_who, err);
}

static void answer_peer(const struct admin *a, const char *id, struct buf *to)
{
    struct store_identity who;
    enum store_found found = STORE_NONE;
    struct err unused;

    if (store_identity_by_id(a->store, view_text(id), &found, &who, &unused) &&
        found == STORE_FOUND)
        admin_put_peer(&who, a->deed.at, to);
    else
        rpc_put_nil(to);
}

/* ---- peers --------------------------------------------------------------------------------------- */

struct some { /* a list that ends after MAX_LISTED */
    struct buf items;
    uint32_t n;
    uint64_t now;
    const char *id;
};

static bool add_name(void *user, const struct store_name *name)
{
    struct some *s = user;

    admin_put_name(name, &s->items);
    return ++s->n < MAX_LISTED;
}

static bool add_certificate(void *user, const struct store_certificate *c)
{
    struct some *s = user;

    if (inventory_state_of(c, s->now) != INVENTORY_VALID)
        return true;
    inventory_put(c, s->now, &s->items);
    return ++s->n < MAX_LISTED;
}

static bool add_session(void *user, const struct store_session *x)
{
    struct some *s = user;

    if (strcmp(x->a_id, s->id) != 0 && strcmp(x->b_id, s->id) != 0)
        return true;
    admin_put_session(x, &s->items);
    return ++s->n < MAX_LISTED;
}

static void end_some(struct some *s, struct admin_object *o, const char *key)
{
    _buf_ list = { 0 };

    rpc_put_array(&list, s->n);
    buf_put(&list, buf_view(&s->items));
    admin_value(o, key, buf_view(&list));
    buf_clear(&s->items);
    s->n = 0;
}

static void some_deinit(struct some *s)
{
    buf_free(&s->items);
}

bool admin_peer_get(const struct admin *a, struct buf *to, struct err *err)
{
    _cleanup_(some_deinit) struct some s = { .now = a->deed.at };
    struct admin_object o = { 0 };
    struct store_identity who;
    _buf_ peer = { 0 };
    bool ok;

    if (!find_peer(a, &who, err))
        return false;
    s.id = who.id;
    admin_put_peer(&who, a->deed.at, &peer);
    admin_value(&o, "peer", buf_view(&peer));
    ok = store_name_each(a->store, who.id, add_name, &s, err);
    end_some(&s, &o, "names");
    ok = ok && store_certificate_each(a->store, who.id, add_certificate, &s, err);
    end_some(&s, &o, "certificates");
    ok = ok && store_session_each_open(a->store, add_session, &s, err);
    end_some(&s, &o, "sessions");
    admin_end(&o, to);
    return ok;
}

bool admin_peer_groups(const struct admin *a, struct buf *to, struct err *err)
{
    struct store_identity who;
    char groups[ADMIN_WORD];

    if (!find_peer(a, &who, err) || !admin_need(a, "groups", groups, err) ||
        !people_set_groups(a->store, &who, groups, &a->deed, err))
        return false;
    answer_peer(a, who.id, to);
    return true;
}

bool admin_peer_remove(const struct admin *a, struct buf *to, struct err *err)
{
    struct store_identity who;

    if (!find_peer(a, &who, err) || !people_remove(a->store, &who, &a->deed, err))
        return false;
    answer_peer(a, who.id, to);
    return true;
}

/* ---- names --------------------------------------------------------------------------------------- */

static bool answer_name(const struct admin *a, const char *text, struct buf *to, struct err *err)
{
    enum store_found found = STORE_NONE;
    struct store_name name;

    if (!store_name_find(a->store, view_text(text), &found, &name, err))
        return false;
    if (found == STORE_FOUND)
        admin_put_name(&name, to);
    else
        rpc_put_nil(to);
    return true;
}

bool admin_name_assign(const struct admin *a, struct buf *to, struct err *err)
{
    struct store_identity who;
    char name[ADMIN_WORD];

    return admin_need(a, "name", name, err) && find_peer(a, &who, err) &&
           people_assign_name(a->store, name, &who, &a->deed, err) && answer_name(a, name, to, err);
}

bool admin_name_free(const struct admin *a, struct buf *to, struct err *err)
{
    char name[ADMIN_WORD];

    return admin_need(a, "name", name, err) && people_free_name(a->store, name, &a->deed, err) &&
           answer_name(a, name, to, err);
}

/* ---- tokens -------------------------------------------------------------------------------------- */

/* What crosses the router is no secret: who asks from afar draws the token, and den gets its public key alone. */
static bool read_token_key(const struct admin *a, uint8_t pk[KEY_SIZE], struct token_order *order,
                           struct err *err)
{
    char hex[ADMIN_WORD];
    const char *word = NULL;

    if (!admin_word(a, "key", hex, &word, err))
        return false;
    if (!word)
        return a->is_local ||
               err_set(err, ERR_INVALID_ARGUMENT,
                       "key: missing: whoever asks draws the token, and says its public key; "
                       "`warren admin token add` does");
    order->pk = pk;
    return text_read_hex(view_text(word), pk, KEY_SIZE) ||
           err_set(err, ERR_INVALID_ARGUMENT, "key: expected 64 hexadecimal digits");
}

static bool make_token(const struct admin *a, struct token_order *order, struct buf *ret_join,
                       struct err *err)
{
    if (!a->trust || !a->place)
        return err_set(err, ERR_DEN_AWAY, "this den makes no join strings");
    order->trust = a->trust;
    order->router = a->place->join_host;
    order->deed = a->deed;
    return token_new(a->store, order, ret_join, err);
}

static void answer_token(const struct token_order *order, const struct buf *join,
                         const uint8_t pk[KEY_SIZE], struct admin_object *o)
{
    admin_view(o, "join", buf_view(join));
    admin_hex(o, "token", VIEW(pk, KEY_SIZE));
    admin_text(o, "role", order->role);
    admin_time(o, "expires_at", order->life_ms ? order->deed.at + order->life_ms : 0);
}

bool admin_token_add(const struct admin *a, struct buf *to, struct err *err)
{
    char texts[7][ADMIN_WORD];
    struct token_words w = { .needs_approval = rpc_map_bool(a->body, "needs_approval") };
    struct token_order order = { 0 };
    struct admin_object o = { 0 };
    uint8_t pk[KEY_SIZE], made[KEY_SIZE];
    _buf_wipe_ join = { 0 };

    if (!admin_word(a, "uses", texts[0], &w.uses, err) ||
        !admin_word(a, "expires", texts[1], &w.expires, err) ||
        !admin_word(a, "role", texts[2], &w.role, err) ||
        !admin_word(a, "groups", texts[3], &w.groups, err) ||
        !admin_word(a, "label", texts[4], &w.label, err) ||
        !admin_word(a, "ephemeral", texts[5], &w.ephemeral, err) ||
        !admin_word(a, "device_life", texts[6], &w.device_life, err) ||
        !token_read_words(&w, &order, err) || !read_token_key(a, pk, &order, err))
        return false;
    order.ret_pk = made;
    if (!make_token(a, &order, &join, err))
        return false;
    answer_token(&order, &join, made, &o);
    admin_end(&o, to);
    return true;
}

bool admin_token_revoke(const struct admin *a, struct buf *to, struct err *err)
{
    struct store_token token;
    char digits[ADMIN_WORD];
    uint64_t before;

    if (!admin_need(a, "token", digits, err) || !token_by_name(a->store, digits, &token, err) ||
        !token_revoke(a->store, &token, &a->deed, &before, err))
        return false;
    token.revoked_at = before ? before : a->deed.at;
    admin_put_token(&token, a->deed.at, to);
    return true;
}

bool admin_peer_re_enrol(const struct admin *a, struct buf *to, struct err *err)
{
    struct token_order order = { .deed = a->deed };
    char expires[ADMIN_WORD], life[ADMIN_WORD];
    const char *typed = "24h", *typed_life = NULL;
    struct admin_object o = { 0 };
    struct store_identity who;
    uint8_t pk[KEY_SIZE], made[KEY_SIZE];
    _buf_wipe_ join = { 0 };

    if (!find_peer(a, &who, err) || !admin_word(a, "expires", expires, &typed, err) ||
        !admin_word(a, "device_life", life, &typed_life, err) ||
        !token_read_duration("expires", typed, false, &order.life_ms, err) ||
        !token_read_known(&who, typed_life, &order, err) || !read_token_key(a, pk, &order, err))
        return false;
    order.ret_pk = made;
    if (!make_token(a, &order, &join, err))
        return false;
    if (a->place->order_key && !a->place->order_key(a->place->user, who.id, VIEW_ARR(made),
                                                    order.deed.at + order.life_ms, err))
        return false;
    answer_token(&order, &join, made, &o);
    admin_text(&o, "id", who.id);
    admin_bool(&o, "signer_is_told", a->place->order_key != NULL);
    admin_end(&o, to);
    return true;
}

/* ---- machines that wait ------------------------------------------------------------------------------ */

static bool find_waiting(const struct admin *a, struct store_waiting *ret_w, struct err *err)
{
    char code[ADMIN_WORD];

    return admin_need(a, "code", code, err) && people_find_waiting(a->store, code, ret_w, err);
}

/* An ID instead of a code: a provisional one is kept. Codes have hyphens or letters in their first nine. */
static bool commit_id(const struct admin *a, const char *id, struct buf *to, struct err *err)
{
    struct store_identity who;

    if (!people_find(a->store, id, &who, err) || !people_commit(a->store, &who, &a->deed, err))
        return false;
    answer_peer(a, who.id, to);
    return true;
}

bool admin_approve(const struct admin *a, struct buf *to, struct err *err)
{
    char code[ADMIN_WORD], role[ADMIN_WORD], groups[ADMIN_WORD], id[TEXT_ID];
    const char *typed_role = NULL, *typed_groups = NULL;
    struct store_waiting w;

    if (!admin_need(a, "code", code, err) || !admin_word(a, "role", role, &typed_role, err) ||
        !admin_word(a, "groups", groups, &typed_groups, err))
        return false;
    if (text_read_id(code, id) && !typed_role && !typed_groups)
        return commit_id(a, id, to, err);
    if (!people_find_waiting(a->store, code, &w, err) ||
        !people_approve(a->store, &w, typed_role, typed_groups, &a->deed, err))
        return false;
    admin_put_waiting(&w, to);
    return true;
}

bool admin_deny(const struct admin *a, struct buf *to, struct err *err)
{
    struct store_waiting w;

    if (!find_waiting(a, &w, err) || !people_deny(a->store, &w, &a->deed, err))
        return false;
    admin_put_waiting(&w, to);
    return true;
}

/* ---- certificates ------------------------------------------------------------------------------------ */

bool admin_cert_show(const struct admin *a, struct buf *to, struct err *err)
{
    _cleanup_(store_certificate_deinit) struct store_certificate c = { 0 };
    struct revocation_serial serial = { 0 };
    enum store_found found = STORE_NONE;
    struct admin_object o = { 0 };
    char typed[ADMIN_WORD];
    _buf_ map = { 0 }, pem = { 0 };

    if (!admin_need(a, "serial", typed, err) || !revocation_read_serial(typed, &serial, err) ||
        !store_certificate_by_serial(a->store, VIEW(serial.octets, serial.len), &found, &c, err))
        return false;
    if (found == STORE_NONE)
        return err_set(err, ERR_NOT_FOUND, "no certificate has the serial number %.64s", typed);
    inventory_put(&c, a->deed.at, &map);
    if (c.der.len)
        pki_pem_put(&pem, "CERTIFICATE", buf_view(&c.der));
    admin_value(&o, "certificate", buf_view(&map));
    admin_view(&o, "pem", buf_view(&pem));
    admin_end(&o, to);
    return true;
}

bool admin_revoke(const struct admin *a, struct buf *to, struct err *err)
{
    char texts[4][ADMIN_WORD];
    struct revocation_words words = { 0 };
    struct store_revocation r = { 0 };
    struct admin_object o = { 0 };
    bool is_new = false;

    if (!admin_word(a, "serial", texts[0], &words.serial, err) ||
        !admin_word(a, "key", texts[1], &words.key, err) ||
        !admin_word(a, "id", texts[2], &words.id, err) ||
        !admin_word(a, "reason", texts[3], &words.reason, err) ||
        !revocation_resolve(a->store, &words, a->deed.at, &r, err) ||
        !revocation_put_down(a->store, &r, &a->deed, &is_new, err))
        return false;
    admin_number(&o, "rev_no", r.no);
    admin_text(&o, "kind", revocation_kind_name(r.kind));
    admin_text(&o, "id", r.id);
    admin_bool(&o, "is_new", is_new);
    admin_end(&o, to);
    return true;
}

/* ---- sessions ---------------------------------------------------------------------------------------- */

bool admin_session_close(const struct admin *a, struct buf *to, struct err *err)
{
    char typed[ADMIN_WORD], reason[ADMIN_WORD];
    const char *why = "closed by an administrator";
    struct store_session session;
    enum store_found found = STORE_NONE;
    uint8_t sid[RPC_SID];

    if (!admin_need(a, "sid", typed, err) || !admin_word(a, "reason", reason, &why, err))
        return false;
    if (!text_read_hex(view_text(typed), sid, sizeof(sid)))
        return err_set(err, ERR_INVALID_ARGUMENT, "sid: expected 32 hexadecimal digits");
    if (strlen(why) > 100)
        return err_set(err, ERR_TOO_LARGE, "reason: over 100 bytes");
    if (!text_is_printable(view_text(why)))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "reason: expected printable ASCII, for both ends are told it as it is");
    if (!a->den)
        return err_set(err, ERR_DEN_AWAY, "a session is closed by a den at work, and none answers");
    if (!a->den->close(a->den->user, VIEW_ARR(sid), &a->deed, view_text(why), err) ||
        !store_session_find(a->store, VIEW_ARR(sid), &found, &session, err))
        return false;
    if (found == STORE_FOUND)
        admin_put_session(&session, to);
    else
        rpc_put_nil(to);
    return true;
}

/* ---- policy, routers, rollover --------------------------------------------------------------------------- */

bool admin_policy_show(const struct admin *a, struct buf *to, struct err *err)
{
    enum store_found found = STORE_NONE;
    struct admin_object o = { 0 };
    uint8_t hash[HASH_SIZE];
    _buf_ text = { 0 };
    uint64_t no, at = 0;

    if (!store_number_get(a->store, "policy_no", &no, err) ||
        !policy_kept_find(a->store, no, &found, &at, &text, err) ||
        !policy_kept_check(a->store, no, at, buf_view(&text), err))
        return false;
    hash_sha256(buf_view(&text), hash);
    admin_number(&o, "number", no);
    admin_time(&o, "loaded_at", at);
    admin_hex(&o, "sha256", VIEW_ARR(hash));
    admin_view(&o, "text", buf_view(&text));
    admin_end(&o, to);
    return true;
}

bool admin_policy_load(const struct admin *a, struct buf *to, struct err *err)
{
    struct admin_object o = { 0 };

    if (!a->den)
        return err_set(err, ERR_DEN_AWAY, "a policy is loaded by a den at work, and none answers");
    if (!a->den->load_policy(a->den->user, a->body, &a->deed, &o, err)) {
        buf_free(&o.bytes);
        return false;
    }
    admin_end(&o, to);
    return true;
}

static bool need_trust(const struct admin *a, struct err *err)
{
    return a->trust || err_set(err, ERR_DEN_AWAY, "the trust set is not at hand");
}

bool admin_router_list(const struct admin *a, struct buf *to, struct err *err)
{
    _cleanup_(some_deinit) struct some s = { .now = a->deed.at };
    const struct rpc_key_list *keys;
    struct admin_object o = { 0 };

    if (!need_trust(a, err))
        return false;
    keys = &rpc_trust_manifest(a->trust)->keys;
    for (size_t i = 0; i < keys->n; i++) {
        struct admin_object one = { 0 };
        if (keys->item[i].role != RPC_KEY_ROUTER)
            continue;
        admin_hex(&one, "key", keys->item[i].pk);
        admin_time(&one, "from", keys->item[i].from);
        admin_time(&one, "until", keys->item[i].to);
        admin_end(&one, &s.items);
        s.n++;
    }
    end_some(&s, &o, "items");
    if (!store_certificate_each(a->store, "router", add_certificate, &s, err)) {
        buf_free(&o.bytes);
        return false;
    }
    end_some(&s, &o, "certificates");
    admin_end(&o, to);
    return true;
}

bool admin_rollover_status(const struct admin *a, struct buf *to, struct err *err)
{
    static const char *const stages[] = { "none", "staged", "switched" };
    struct store_progress progress;
    struct change_state state;
    struct admin_object o = { 0 };
    uint64_t no, router_no;

    if (!need_trust(a, err))
        return false;
    no = rpc_trust_manifest_no(a->trust);
    state = change_state_of(a->trust);
    if (!store_number_get(a->store, rollover_router, &router_no, err) ||
        !store_identity_progress(a->store, no, a->deed.at - min_u64(a->deed.at, ROLLOVER_RECENT_MS),
                                 a->deed.at, &progress, err))
        return false;
    admin_number(&o, "manifest", no);
    admin_time(&o, "not_after", rpc_trust_manifest(a->trust)->not_after);
    admin_text(&o, "stage", stages[state.stage]);
    admin_text(&o, "what", state.stage == CHANGE_NONE ? "" : change_what_name(state.what));
    admin_number(&o, "router", router_no);
    admin_number(&o, "machines", progress.n);
    admin_number(&o, "acknowledged", progress.n_acknowledged);
    admin_number(&o, "unheard", progress.n - progress.n_acknowledged);
    admin_number(&o, "unheard_seen_within_a_day", progress.n_seen);
    admin_time(&o, "longest_silent_since", progress.longest_since);
    admin_end(&o, to);
    return true;
}

/* ---- the audit --------------------------------------------------------------------------------------- */

bool admin_audit_head(const struct admin *a, struct buf *to, struct err *err)
{
    struct admin_object o = { 0 };
    uint8_t head[HASH_SIZE];
    uint64_t no = 0;

    if (!audit_head(a->store, &no, head, err))
        return false;
    admin_number(&o, "no", no);
    admin_hex(&o, "head", VIEW_ARR(head));
    admin_end(&o, to);
    return true;
}

/* A part at a time: den does nothing else meanwhile. */
bool admin_audit_verify(const struct admin *a, struct buf *to, struct err *err)
{
    struct audit_checked checked;
    struct admin_object o = { 0 };
    char text[ADMIN_WORD];
    const char *word = NULL;
    uint64_t after = 0;

    if (!admin_word(a, "after", text, &word, err))
        return false;
    if (word && (!text_read_u64(view_text(word), &after) || after > INT64_MAX))
        return err_set(err, ERR_INVALID_ARGUMENT, "after: expected the number of an entry");
    if (!audit_verify_some(a->store, after, VERIFY_AT_ONCE, &checked, err))
        return false;
    admin_number(&o, "last", checked.last_no);
    admin_hex(&o, "head", VIEW_ARR(checked.head));
    admin_number(&o, "bad", checked.bad_no);
    admin_number(&o, "sealed", checked.sealed_no);
    admin_bool(&o, "checkpoint_is_bad", checked.is_point_bad);
    admin_bool(&o, "is_all", checked.is_all);
    admin_end(&o, to);
    return true;
}

bool admin_status(const struct admin *a, struct buf *to, struct err *err)
{
    struct admin_object o = { 0 };

    if (!a->den)
        return err_set(err, ERR_DEN_AWAY, "no den is at work");
    a->den->put_status(a->den->user, &o);
    admin_end(&o, to);
    return true;
}
