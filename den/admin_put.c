/* SPDX-License-Identifier: Apache-2.0 */
#include "den/admin_put.h"

#include "base/clock.h"
#include "den/people.h"
#include "den/record.h"
#include "den/token.h"
#include "rpc/rpc.h"

#include <stdio.h>

static void put_key(struct admin_object *o, const char *key)
{
    rpc_put_str(&o->bytes, key);
    o->n++;
}

void admin_text(struct admin_object *o, const char *key, const char *text)
{
    admin_view(o, key, view_text(text));
}

void admin_view(struct admin_object *o, const char *key, struct view text)
{
    _buf_ safe = { 0 };

    put_key(o, key);
    if (text_is_utf8(text)) {
        rpc_put_text(&o->bytes, text);
        return;
    }
    for (size_t i = 0; i < text.len; i++)
        buf_put_u8(&safe, text.data[i] < 0x80 ? text.data[i] : '?');
    rpc_put_text(&o->bytes, buf_view(&safe));
}

void admin_hex(struct admin_object *o, const char *key, struct view bytes)
{
    _buf_ hex = { 0 };

    text_put_hex(&hex, bytes);
    admin_view(o, key, buf_view(&hex));
}

void admin_number(struct admin_object *o, const char *key, uint64_t n)
{
    put_key(o, key);
    rpc_put_u64(&o->bytes, n);
}

void admin_bool(struct admin_object *o, const char *key, bool is)
{
    put_key(o, key);
    rpc_put_bool(&o->bytes, is);
}

void admin_nil(struct admin_object *o, const char *key)
{
    put_key(o, key);
    rpc_put_nil(&o->bytes);
}

void admin_time(struct admin_object *o, const char *key, uint64_t at)
{
    char text[CLOCK_TEXT];

    if (at)
        admin_text(o, key, clock_text(at, text));
    else
        admin_nil(o, key);
}

void admin_value(struct admin_object *o, const char *key, struct view value)
{
    put_key(o, key);
    rpc_put_raw(&o->bytes, value);
}

void admin_end(struct admin_object *o, struct buf *to)
{
    rpc_put_map(to, o->n);
    buf_put(to, buf_view(&o->bytes));
    buf_free(&o->bytes);
    o->n = 0;
}

static void put_fingerprint(struct admin_object *o, const uint8_t pk[KEY_SIZE])
{
    uint8_t hash[HASH_SIZE];

    hash_sha256(VIEW(pk, KEY_SIZE), hash);
    admin_hex(o, "fingerprint", VIEW_ARR(hash));
}

void admin_put_peer(const struct store_identity *who, uint64_t now, struct buf *to)
{
    struct admin_object o = { 0 };

    admin_text(&o, "id", who->id);
    admin_text(&o, "state", people_state_word(who, now));
    admin_text(&o, "role", who->role);
    admin_text(&o, "groups", who->groups);
    admin_text(&o, "host", who->host);
    put_fingerprint(&o, who->pk);
    admin_time(&o, "created_at", who->created_at);
    admin_time(&o, "admitted_at", who->seen_at);
    admin_time(&o, "ends_at", who->expires_at);
    admin_number(&o, "gone_after_ms", who->vanish_after);
    admin_number(&o, "keys_before", who->rekey_no);
    admin_end(&o, to);
}

void admin_put_name(const struct store_name *name, struct buf *to)
{
    struct admin_object o = { 0 };

    admin_text(&o, "name", name->name);
    admin_text(&o, "id", name->id);
    admin_number(&o, "name_no", name->name_no);
    admin_bool(&o, "assigned", name->is_assigned);
    admin_time(&o, "claimed_at", name->claimed_at);
    admin_time(&o, "released_at", name->released_at);
    admin_end(&o, to);
}

void admin_put_token(const struct store_token *t, uint64_t now, struct buf *to)
{
    struct admin_object o = { 0 };

    admin_hex(&o, "token", VIEW_ARR(t->pk));
    admin_text(&o, "state", token_state(t, now));
    admin_text(&o, "role", t->role);
    admin_text(&o, "groups", t->groups);
    admin_text(&o, "label", t->label);
    admin_time(&o, "created_at", t->created_at);
    admin_text(&o, "created_by", t->by);
    admin_time(&o, "expires_at", t->expires_at);
    if (t->uses) {
        admin_number(&o, "uses", t->uses);
        admin_number(&o, "uses_left", t->uses_left);
    } else {
        admin_nil(&o, "uses");
        admin_nil(&o, "uses_left");
    }
    admin_number(&o, "used", t->n_used);
    admin_bool(&o, "needs_approval", t->needs_approval);
    admin_number(&o, "device_life_ms", t->device_life);
    admin_number(&o, "device_gone_after_ms", t->vanish_after);
    admin_text(&o, "for_id", t->for_id);
    admin_end(&o, to);
}

void admin_put_waiting(const struct store_waiting *w, struct buf *to)
{
    struct admin_object o = { 0 };

    admin_text(&o, "code", w->code);
    admin_text(&o, "state", people_answer_word(w->answer));
    put_fingerprint(&o, w->pk);
    admin_text(&o, "host", w->host);
    admin_text(&o, "source", w->source);
    admin_text(&o, "role", w->role);
    admin_text(&o, "groups", w->groups);
    admin_time(&o, "first_asked_at", w->first_at);
    admin_time(&o, "last_asked_at", w->last_at);
    admin_end(&o, to);
}

void admin_put_session(const struct store_session *x, struct buf *to)
{
    struct admin_object o = { 0 };

    admin_hex(&o, "sid", VIEW_ARR(x->sid));
    admin_text(&o, "from", x->a_id);
    admin_text(&o, "to", x->b_id);
    admin_text(&o, "state", x->state);
    admin_text(&o, "capabilities", store_session_caps(x));
    admin_text(&o, "asked", x->caps);
    admin_text(&o, "reason", x->reason);
    admin_time(&o, "opened_at", x->opened_at);
    admin_time(&o, "closed_at", x->closed_at);
    admin_time(&o, "ends_at", x->ends_at);
    admin_text(&o, "path", x->path);
    admin_number(&o, "sent_by_caller", x->a_sent);
    admin_number(&o, "sent_by_called", x->b_sent);
    admin_end(&o, to);
}

static void put_fact(void *user, struct view key, struct view value)
{
    struct admin_object *o = user;
    char name[64];

    snprintf(name, sizeof(name), "%.*s", VIEW_FMT(view_sub(key, 0, sizeof(name) - 1)));
    admin_view(o, name, value);
}

void admin_put_audit(const struct store_audit *entry, struct buf *to)
{
    struct admin_object o = { 0 }, facts = { 0 };
    _buf_ map = { 0 };

    admin_number(&o, "no", entry->no);
    admin_time(&o, "at", entry->at);
    admin_number(&o, "at_ms", entry->at);
    admin_view(&o, "what", audit_each_fact(entry, put_fact, &facts));
    admin_end(&facts, &map);
    admin_value(&o, "facts", buf_view(&map));
    admin_hex(&o, "head", VIEW_ARR(entry->head));
    admin_end(&o, to);
}
