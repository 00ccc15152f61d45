/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/permits.h"

#include "peer/lan.h"
#include "peer/session.h"

#include <stdio.h>

static void permit_free(struct permit *permit)
{
    if (!permit)
        return;
    buf_free(&permit->bytes);
    mem_wipe(permit, sizeof(*permit));
    free(permit);
}
OWN_FREEP(permit, struct permit)

void permits_free(struct permits *permits)
{
    for (size_t i = 0; i < permits->n; i++)
        permit_free(permits->item[i]);
    permits->n = 0;
}

/* H("warren/1 permit" 0, what the two identity keys agree on (X25519), the permit's number). */
static bool make_key(const struct key *own, struct permit *permit)
{
    static const char word[] = "warren/1 permit";
    uint8_t shared[KEY_SIZE];
    _buf_wipe_ bytes = { 0 };

    if (!key_shared(own, permit->is_caller ? permit->p.b_pk : permit->p.a_pk, shared))
        return false;
    buf_put(&bytes, VIEW(word, sizeof(word)));
    buf_put(&bytes, VIEW_ARR(shared));
    buf_put(&bytes, permit->p.permit_id);
    hash_sha256(buf_view(&bytes), permit->key);
    mem_wipe(shared, sizeof(shared));
    return true;
}

/* One that is about this machine; NULL when it is not, or is over, or den did not sign it. */
static struct permit *permit_read(const struct core *core, struct view bytes, struct view sig)
{
    _cleanup_(permit_freep) struct permit *permit = mem_new(struct permit);
    struct view own = key_public_view(core->key);
    uint64_t now = core_now(core);
    struct err ignored;

    permit->bytes = buf_dup(bytes);
    memcpy(permit->sig, sig.data, SIG_SIZE);
    if (!rpc_trust_open(core->trust, RPC_W_PERMIT, buf_view(&permit->bytes), VIEW_ARR(permit->sig),
                        now, &permit->p, &ignored) ||
        permit->p.not_after <= now)
        return NULL;
    permit->is_caller = view_eq(permit->p.a_pk, own);
    if (!view_eq_text(permit->is_caller ? permit->p.a_id : permit->p.b_id, core->id) ||
        !view_eq(permit->is_caller ? permit->p.a_pk : permit->p.b_pk, own) ||
        !check_caps(&permit->p.caps, &ignored) || !check_caps(&permit->p.caps_back, &ignored))
        return NULL;
    snprintf(permit->other, sizeof(permit->other), "%.*s",
             VIEW_FMT(permit->is_caller ? permit->p.b_id : permit->p.a_id));
    return make_key(core->key, permit) ? STEAL(permit) : NULL;
}

/* In the place of the one before for the same two; else of the one that is over first. */
static void add(struct permits *permits, struct permit *permit)
{
    size_t at = permits->n;

    for (size_t i = 0; i < permits->n; i++)
        if (permits->item[i]->is_caller == permit->is_caller &&
            strcmp(permits->item[i]->other, permit->other) == 0)
            at = i;
    if (at == PERMITS_MAX) {
        at = 0;
        for (size_t i = 1; i < PERMITS_MAX; i++)
            if (permits->item[i]->p.not_after < permits->item[at]->p.not_after)
                at = i;
    }
    if (at == permits->n)
        permits->n++;
    else
        permit_free(permits->item[at]);
    permits->item[at] = permit;
}

bool permits_load(struct core *core, struct err *err)
{
    _buf_ all = { 0 };
    struct view rest, one, statement, sig;
    uint32_t len;
    bool exists;

    if (!state_read_if(core->state, STATE_PERMITS, &all, &exists, err))
        return false;
    for (rest = buf_view(&all); view_take_u32(&rest, &len) && view_take(&rest, len, &one);) {
        struct permit *permit =
            state_read_signed(one, &statement, &sig) ? permit_read(core, statement, sig) : NULL;
        if (permit)
            add(&core->permits, permit);
    }
    return true;
}

static void store(const struct core *core)
{
    _buf_ all = { 0 };
    struct err ignored;

    for (size_t i = 0; i < core->permits.n; i++) {
        const struct permit *permit = core->permits.item[i];
        _buf_ one = { 0 };

        if (permit->p.not_after <= core_now(core))
            continue;
        state_put_signed(&one, buf_view(&permit->bytes), VIEW_ARR(permit->sig));
        buf_put_u32(&all, (uint32_t)one.len);
        buf_put(&all, buf_view(&one));
    }
    state_write(core->state, STATE_PERMITS, buf_view(&all),
                &ignored); /* a full disk costs the memory of this process */
}

void permits_take(struct session *session, struct view value)
{
    struct rpc_fields f;
    struct err ignored;
    struct view bytes, sig;

    if (rpc_value_kind(value) != RPC_ARRAY)
        return;
    rpc_fields_open(&f, value);
    bytes = rpc_fields_bin(&f, "permit", PERMITS_MAX_BYTES);
    sig = rpc_fields_fixed(&f, "permit's signature", SIG_SIZE);
    if (!rpc_fields_end(&f, &ignored))
        return;
    buf_clear(&session->permit);
    state_put_signed(&session->permit, bytes, sig);
}

void permits_keep(struct session *session)
{
    struct core *core = session->core;
    struct view statement, sig;
    struct permit *permit;

    if (!state_read_signed(buf_view(&session->permit), &statement, &sig) ||
        !(permit = permit_read(core, statement, sig)))
        return;
    if (permit->is_caller != session->is_caller || strcmp(permit->other, session->remote_id) != 0 ||
        !view_eq(session->is_caller ? permit->p.b_pk : permit->p.a_pk,
                 VIEW_ARR(session->remote_pk))) {
        permit_free(permit);
        return;
    }
    add(&core->permits, permit);
    store(core);
    lan_settle(core);
}

bool permit_holds(const struct core *core, const struct permit *permit, struct err *err)
{
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(core->trust);
    uint64_t now = core_now(core);
    struct rpc_permit p;

    if (core->alarm.code != ERR_NONE)
        return err_set(err, ERR_STALE, "den contradicted itself: no link is made");
    if (permit->p.not_after <= now || permit->p.issued_at > now + RPC_CLOCK_SKEW_MS)
        return err_set(err, ERR_EXPIRED, "permit: it is over, or this machine's clock is wrong");
    if (!rpc_trust_open(core->trust, RPC_W_PERMIT, buf_view(&permit->bytes), VIEW_ARR(permit->sig),
                        now, &p, err))
        return false;
    if (!heart || now > heart->time + permit->p.max_hb_age)
        return err_set(err, ERR_STALE,
                       "permit: no heartbeat of den came for longer than it allows");
    return revoked_check_key(core, permit->other,
                             permit->is_caller ? permit->p.b_pk : permit->p.a_pk, err);
}

struct permit *permits_find(const struct core *core, const char *other, bool is_caller)
{
    for (size_t i = 0; i < core->permits.n; i++)
        if (core->permits.item[i]->is_caller == is_caller &&
            strcmp(core->permits.item[i]->other, other) == 0)
            return core->permits.item[i];
    return NULL;
}

bool permits_any(const struct core *core)
{
    struct err ignored;

    for (size_t i = 0; i < core->permits.n; i++)
        if (permit_holds(core, core->permits.item[i], &ignored))
            return true;
    return false;
}
