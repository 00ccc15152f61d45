/* SPDX-License-Identifier: Apache-2.0 */
/* A known peer with another identity key: either its old key says so itself, or an administrator gave it a new one, or it is
 * somebody else. What the old key signed is taken and told; the rest waits for the person at this machine. */
#include "peer/session.h"

#include "base/clock.h"
#include "peer/known.h"

#include <stdio.h>

enum { MAX_CHANGES = 8 };

struct chain { /* from the key that we know, towards the one that came */
    const struct core *core;
    const char *id;
    uint8_t pk[KEY_SIZE];
    bool has_order;    /* an administrator's word is in it */
    uint64_t order_at; /* when */
};

/* One statement further. False where it does not hold, or is not about the key that we are at: those before it are passed
 * over. */
static bool follow(struct chain *c, struct view item)
{
    struct rpc_fields f;
    struct rpc_rekey k;
    struct err ignored;

    rpc_fields_open(&f, item);
    struct view bytes = rpc_fields_bin(&f, "rekey", RPC_MAX_STATEMENT);
    struct view sig = rpc_fields_fixed(&f, "signature", SIG_SIZE);
    struct view new_sig = rpc_fields_fixed(&f, "signature of the new key", SIG_SIZE);
    if (!rpc_fields_end(&f, &ignored) || !rpc_statement_read(RPC_W_REKEY, bytes, &k, &ignored))
        return false;
    if (!view_eq(k.netid, rpc_trust_netid(c->core->trust)) || !view_eq_text(k.id, c->id) ||
        !view_eq(k.old_pk, VIEW_ARR(c->pk)) || !key_verify(k.new_pk, bytes, new_sig))
        return false;
    if (k.by.len ? check_signer(c->core->trust, core_now(c->core), bytes, sig).len == 0
                 : !key_verify(k.old_pk, bytes, sig))
        return false;
    memcpy(c->pk, k.new_pk.data, KEY_SIZE);
    if (k.by.len) {
        c->has_order = true;
        c->order_at = k.at;
    }
    return true;
}

static void tell(struct core *core, const char *id, const struct err *what)
{
    struct hub_event *event = hub_event_new(PEER_EVENT_REKEYED);

    snprintf(event->remote_id, sizeof(event->remote_id), "%.15s", id);
    event->event.remote_id = event->remote_id;
    hub_error(what, &event->event.error);
    hub_put(core->hub, event);
}

/* Kept aside for known_accept(): what the person may agree to. */
static void note_offered(struct core *core, const char *id, const uint8_t pk[KEY_SIZE])
{
    _buf_ text = { 0 };
    struct err ignored;

    known_put(&text, id, pk, core_now(core));
    state_write(core->state, STATE_OFFERED, buf_view(&text), &ignored);
}

bool changed_check(struct core *core, const char *id, const uint8_t pk[KEY_SIZE],
                   struct view rekeys, struct err *err)
{
    struct chain c = { .core = core, .id = id };
    char shown[TEXT_ID], when[CLOCK_TEXT];
    struct rpc_fields f;
    bool is_known = false;
    struct err told = { 0 };

    if (known_check(core->state, id, pk, err))
        return true;
    if (err->code != ERR_IDENTITY_CHANGED || !known_key(core->state, id, c.pk, &is_known) ||
        !is_known)
        return false;
    if (rekeys.len)
        rpc_fields_open(&f, rekeys);
    for (int i = 0; rekeys.len && i < MAX_CHANGES && rpc_fields_more(&f); i++)
        follow(&c, rpc_fields_array(&f, "rekey"));
    note_offered(core, id, pk);
    if (memcmp(c.pk, pk, KEY_SIZE) != 0)
        return false; /* nobody vouches for it */
    text_id(id, shown);
    if (c.has_order)
        return err_set(
            err, ERR_IDENTITY_CHANGED,
            "%s has a new identity key that an administrator of the network gave it (%s), "
            "not its old key: it may be another machine or another person",
            shown, clock_text(c.order_at, when));
    if (!known_replace(core->state, id, pk, core_now(core), err))
        return false;
    err_set(&told, ERR_NONE, "%s has a new identity key; its old one signed for it", shown);
    tell(core, id, &told);
    return true;
}
