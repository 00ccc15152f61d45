/* SPDX-License-Identifier: Apache-2.0 */
/* What a dial must be before anybody hears of it. */
#include "den/open.h"

#include "base/text.h"

#include <stdio.h>

static bool check_caps(const struct rpc_items *caps, char to[256], struct err *err)
{
    size_t len = 0;

    if (caps->n == 0 || caps->n > POLICY_MAX_CAPS)
        return err_set(err, ERR_INVALID_ARGUMENT, "capabilities: ask for 1 to %d", POLICY_MAX_CAPS);
    for (size_t i = 0; i < caps->n; i++) {
        if (!policy_cap_is_valid(caps->item[i]) || policy_cap_is_pattern(caps->item[i]))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "capabilities: number %zu is not a capability's name", i + 1);
        if (len + caps->item[i].len + 2 > 256)
            return err_set(err, ERR_TOO_LARGE, "capabilities: over 254 bytes together");
        if (len)
            to[len++] = ',';
        memcpy(to + len, caps->item[i].data, caps->item[i].len);
        len += caps->item[i].len;
    }
    to[len] = '\0';
    return true;
}

/* The stamp; nothing of the dial is believed before its signature is known to be right. */
static bool check_stamp(struct open *open, const struct rpc_inv *inv, struct view bytes,
                        struct err *err)
{
    struct rpc_dial d;

    if (!request_caller(open->core, inv, &open->a, err) ||
        !rpc_statement_read(RPC_W_DIAL, bytes, &d, err))
        return false;
    if (!view_eq_text(d.a_id, open->a.id))
        return err_set(err, ERR_NOT_AUTHORIZED, "of another ID than the caller's, %s", open->a.id);
    return request_take(open->core, view_text(open->a.id), err);
}

static bool is_sid_new(struct den_core *core, struct view sid, struct err *err)
{
    struct store_session session;
    enum store_found found = STORE_NONE;

    if (!store_session_find(core->c.store, sid, &found, &session, err))
        return false;
    return found == STORE_NONE || err_set(err, ERR_REPLAYED, "its session number was used before");
}

static bool check_dial(struct open *open, struct view ice, struct err *err)
{
    struct den_core *core = open->core;
    const struct rpc_dial *d = &open->d;

    if (!view_eq_secret(d->netid, rpc_trust_netid(core->c.trust)) ||
        !view_eq_secret(d->a_pk, VIEW_ARR(open->a.pk)))
        return err_set(err, ERR_BAD_STATEMENT,
                       "for another network, or by another key than it names");
    /* Marked as used only when all the rest is right too; another signer cannot use up this
     * one's numbers. */
    if (!fresh_check(fresh_look(core->fresh, d->beacon, d->a_pk, d->sid), err) ||
        !is_sid_new(core, d->sid, err))
        return false;
    if (view_eq(d->a_id, d->b_id))
        return err_set(err, ERR_INVALID_ARGUMENT, "this is your own ID");
    if (!check_caps(&d->caps, open->caps, err) ||
        !open_check_hash(ice, d->a_ice, "ICE description", err) ||
        !open_check_spki(core, d->a_spki, open->a.id, err))
        return false;
    return fresh_check(fresh_take(core->fresh, d->beacon, d->a_pk, d->sid), err);
}

static bool check_room(struct den_core *core, const char *id, const char *source, struct err *err)
{
    size_t n_own = 0;
    struct open *other;

    LIST_EACH(other, &core->opens, node)
        n_own += strcmp(other->a.id, id) == 0;
    if (core->n_opens > CORE_MAX_OPENS ||
        n_own > CORE_MAX_OPENS_PER_ID) /* this one is among them */
        return err_set(err, ERR_LIMIT, "too many dials at once: wait for the others");
    if (!core_may_miss(core, view_text(id), view_text(source), err))
        return false;
    if (!buckets_has(core->rates[RATE_DIAL], core_mono(core), view_text(id)))
        return err_set(err, ERR_LIMIT, "too many dials: wait some seconds");
    return true;
}

bool dial_take(struct open *open, const struct rpc_inv *inv, struct view bytes, struct view sig,
               struct view ice, struct err *err)
{
    if (!check_stamp(open, inv, bytes, err) ||
        !check_room(open->core, open->a.id, open->source, err))
        return false;
    open->dial = buf_dup(bytes);
    memcpy(open->dial_sig, sig.data, SIG_SIZE);
    open->ice = buf_dup(ice);
    return true;
}

bool dial_check(struct open *open, struct err *err)
{
    if (!rpc_statement_read(RPC_W_DIAL, buf_view(&open->dial), &open->d, err) ||
        !check_dial(open, buf_view(&open->ice), err))
        return false;
    core_take(open->core, RATE_DIAL, view_text(open->a.id)); /* there was one */
    record_hex(open->d.sid, open->sid);
    return true;
}
