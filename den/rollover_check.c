/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a step may be taken now: who would be left behind. */
#include "base/text.h"
#include "den/rolling.h"

#include <inttypes.h>

enum { SHOWN_KEY = 16 /* digits of a key */ };

char *rollover_router_number(struct view pk)
{
    _buf_ hex = { 0 };

    text_put_hex(&hex, pk);
    return mem_format("%s.%s", rollover_router, buf_cstr(&hex));
}

/* Who connects to a router that does not know den's new key is refused by it. */
static bool check_one(struct rolling *r, struct view pk, uint64_t wanted, struct err *err)
{
    _free_ char *name = rollover_router_number(pk);
    _buf_ hex = { 0 };
    uint64_t has;

    if (!store_number_get(r->store, name, &has, err))
        return false;
    if (has >= wanted)
        return true;
    text_put_hex(&hex, pk);
    return err_set(err, ERR_BUSY,
                   "router %.*s... has manifest %" PRIu64 " of %" PRIu64
                   ", and den does not connect to it: router add and warren-router accept bring it "
                   "the rest, router remove takes it out",
                   SHOWN_KEY, buf_cstr(&hex), has, wanted);
}

static bool check_mine(struct rolling *r, uint64_t wanted, struct err *err)
{
    enum store_found found;
    _buf_ cause = { 0 };
    uint64_t has;

    if (!store_number_get(r->store, rollover_router, &has, err) ||
        !store_blob_get(r->store, rollover_refused, &found, &cause, err))
        return false;
    if (has >= wanted)
        return true;
    if (found == STORE_FOUND && cause.len)
        return err_set(err, ERR_BUSY,
                       "router %s has manifest %" PRIu64 " of %" PRIu64
                       " and refused the rest: %.120s",
                       r->order->config->router, has, wanted, buf_cstr(&cause));
    return err_set(err, ERR_BUSY,
                   "router %s has manifest %" PRIu64 " of %" PRIu64
                   ": den brings it the rest as soon as both run",
                   r->order->config->router, has, wanted);
}

/* The one that den connects to says for itself what it has; of the others we know what they were given. */
static bool check_routers(struct rolling *r, struct err *err)
{
    const struct rpc_key_list *keys = &rpc_trust_manifest(*r->trust)->keys;
    uint64_t wanted = rpc_trust_manifest_no(*r->trust);
    enum store_found found;
    _buf_ mine = { 0 };

    if (!check_mine(r, wanted, err) ||
        !store_blob_get(r->store, rollover_router_pk, &found, &mine, err))
        return false;
    for (size_t i = 0; i < keys->n; i++) {
        if (keys->item[i].role != RPC_KEY_ROUTER || view_eq(keys->item[i].pk, buf_view(&mine)))
            continue;
        if (mine.len && !check_one(r, keys->item[i].pk, wanted, err))
            return false;
    }
    return true;
}

/* What den signed for ever must be signed by the key that stays. */
static bool check_resigned(struct rolling *r, struct err *err)
{
    enum store_found found;
    _buf_ by = { 0 };
    struct view pk, rest, signed_by = { 0 };
    uint64_t n = 0;

    if (r->asked.what != CHANGE_DEN_SIGN)
        return true;
    if (!store_blob_get(r->store, rollover_resigned_by, &found, &by, err))
        return false;
    rest = buf_view(&by);
    return (view_take(&rest, KEY_SIZE, &signed_by) && view_take_u64(&rest, &n) &&
            n == ROLLOVER_ALL_RESIGNED && rpc_trust_den_sign(*r->trust, r->order->now, &pk) &&
            view_eq(signed_by, pk)) ||
           err_set(err, ERR_BUSY,
                   "den has not signed its revocations anew with the new key: it does so when it "
                   "runs");
}

static bool check_heard(struct rolling *r, struct err *err)
{
    uint64_t no = rpc_trust_manifest_no(*r->trust);
    struct store_progress p;

    if (!store_identity_progress(r->store, no, r->order->now - ROLLOVER_RECENT_MS, r->order->now,
                                 &p, err))
        return false;
    return p.n_seen == 0 ||
           err_set(err, ERR_BUSY,
                   "%" PRIu64 " machines that were seen within a day have not acknowledged "
                   "manifest %" PRIu64 " (rollover status --unheard lists them)",
                   p.n_seen, no);
}

bool rolling_check_ready(struct rolling *r, struct err *err)
{
    bool is_ready = true;

    if (r->order->is_anyway)
        return true;
    if (r->asked.step == CHANGE_SWITCH)
        is_ready = check_routers(r, err);
    else if (r->asked.step == CHANGE_RETIRE)
        is_ready = check_routers(r, err) && check_resigned(r, err) && check_heard(r, err);
    return is_ready || err_wrap(err, "not yet (--anyway does it nevertheless)");
}
