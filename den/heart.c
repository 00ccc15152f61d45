/* SPDX-License-Identifier: Apache-2.0 */
/* den.heartbeat: den's numbers, signed. They never fall, across restarts too: hb_no is raised
 * in the store before the statement leaves. A tick brings a new beacon; extra heartbeats in
 * between keep the one there is. */
#include "den/core_in.h"

#include "base/log.h"
#include "den/record.h"

#include <inttypes.h>

enum { RETRY_FOR = 2000 /* ms, when the store did not take the number */ };

/* The numbers of the next heartbeat: durable when this returns true. */
static bool take_numbers(struct den_core *core, struct rpc_heartbeat *h,
                         uint8_t audit_head_to[HASH_SIZE], struct err *err)
{
    _transaction_ struct store *open = core->c.store;

    if (!store_begin(open, err) || !store_number_get(open, "hb_no", &h->hb_no, err))
        return false;
    h->hb_no++;
    return store_number_raise(open, "hb_no", h->hb_no, err) &&
           audit_head(open, &h->audit_no, audit_head_to, err) && store_commit(open, err);
}

static uint64_t until_tick(const struct den_core *core, bool is_tick)
{
    uint64_t now = core_mono(core);

    if (is_tick || core->tick_at == NEVER_MS)
        return core->c.beat_every;
    return core->tick_at > now ? core->tick_at - now : 0;
}

static bool say_rollback(struct den_core *core, struct err *err)
{
    err_set(&core->fatal, ERR_STALE,
            "the store is behind what this den signed before: was it restored from a backup? %s",
            err->text);
    err_advise(&core->fatal, rollback_remedy);
    *err = core->fatal;
    return false;
}

/* Our own trust is the witness that the store was not taken back to an older state: it stands
 * in another file, and the router shows what it kept. */
static bool move_trust(struct den_core *core, struct view bytes, struct view sig, struct err *err)
{
    enum rpc_heart heart = RPC_HEART_NEWER;
    struct err why = { 0 };

    if (!rpc_trust_add_heartbeat(core->c.trust, bytes, sig, core_mono(core), core_wall(core),
                                 &heart, &why)) {
        *err = why;
        if (why.code != ERR_STALE && why.code != ERR_BAD_STATEMENT)
            return false;
    } else if (heart == RPC_HEART_NEWER) {
        return true;
    }
    *err = why;
    return say_rollback(core, err);
}

/* The signer remembers its numbers too. */
static bool note_rollback(struct den_core *core, struct err *err)
{
    if (err->code == ERR_STALE)
        return say_rollback(core, err);
    return false;
}

static bool sign_heartbeat(struct den_core *core, const uint8_t beacon[RPC_BEACON], bool is_tick,
                           struct buf *ret_bytes, uint8_t ret_sig[SIG_SIZE], struct err *err)
{
    uint8_t head[HASH_SIZE];
    struct rpc_heartbeat h = {
        .netid = rpc_trust_netid(core->c.trust),
        .time = core_wall(core),
        .next_in = until_tick(core, is_tick),
        .bound = core->c.bound,
        .beacon = VIEW(beacon, RPC_BEACON),
        .crl_no = core->crl_is.number,
        .crl_hash = VIEW_ARR(core->crl_hash),
        .rev_no = core->rev_no,
        .rev_head = VIEW_ARR(core->rev_head),
        .manifest_no = rpc_trust_manifest(core->c.trust)->manifest_no,
        .policy_no = core->policy_no,
        .audit_head = VIEW_ARR(head),
    };

    if (!take_numbers(core, &h, head, err))
        return false;
    return signer_sign(core->c.signer, RPC_W_HEARTBEAT, &h, ret_bytes, ret_sig, err) ||
           note_rollback(core, err);
}

static void publish(struct den_core *core)
{
    static const struct rpc_publish_options options = { .retain = true };
    _buf_ args = { 0 };

    rpc_put_array(&args, 2);
    rpc_put_bin(&args, rpc_trust_heartbeat_bytes(core->c.trust));
    rpc_put_bin(&args, rpc_trust_heartbeat_sig(core->c.trust));
    core->c.port->publish(core->c.port->user, "den.heartbeat", &options, buf_view(&args));
}

bool core_save_trust(struct den_core *core, struct err *err)
{
    _buf_ bytes = { 0 };

    rpc_trust_save(core->c.trust, &bytes);
    return core->c.port->save_trust(core->c.port->user, buf_view(&bytes), err);
}

static bool beat(struct den_core *core, bool is_tick, struct err *err)
{
    uint8_t beacon[RPC_BEACON], sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    if (is_tick)
        random_bytes(beacon, sizeof(beacon));
    else
        memcpy(beacon, fresh_beacon(core->fresh).data, sizeof(beacon));
    if (!sign_heartbeat(core, beacon, is_tick, &bytes, sig, err) ||
        !move_trust(core, buf_view(&bytes), VIEW_ARR(sig), err) || !core_save_trust(core, err))
        return err_wrap(err, "heartbeat");
    if (is_tick) {
        fresh_turn(core->fresh, beacon);
        core->tick_at = core_mono(core) + core->c.beat_every;
    }
    core->beat_at = NEVER_MS;
    if (core->is_up)
        publish(core);
    if (core->is_up && is_tick)
        revoke_again(core);
    return true;
}

bool heart_start(struct den_core *core, struct err *err)
{
    core->is_resigning = true; /* unless the store says that there is nothing */
    return revoke_sign(core, err) && beat(core, true, err);
}

static void beat_or_retry(struct den_core *core, bool is_tick)
{
    struct err err = { 0 };
    bool is_done = core->fatal.code != ERR_NONE || beat(core, is_tick, &err);

    core->unbeaten = is_done ? (struct err){ 0 } : err;
    if (is_done)
        return;
    log_event(LOG_ERROR, "heartbeat.failed", "code=%s cause=%s", err_code_name(err.code),
              log_quote_text(err.text));
    if (is_tick)
        core->tick_at = core_mono(core) + RETRY_FOR;
    else
        core->beat_at = core_mono(core) + RETRY_FOR;
}

void heart_extra(struct den_core *core)
{
    if (core->tick_at !=
        NEVER_MS) /* else it has not started: its first heartbeat will say everything */
        beat_or_retry(core, false);
}

void den_core_leave(struct den_core *core)
{
    const struct rpc_heartbeat *h = rpc_trust_heartbeat(core->c.trust);
    uint8_t head[HASH_SIZE];
    struct err unused;
    uint64_t no;

    if (core->is_up && core->has_met && h && audit_head(core->c.store, &no, head, &unused) &&
        no > h->audit_no)
        heart_extra(core);
}

void heart_tick(struct den_core *core)
{
    uint64_t now = core_mono(core);

    if (crl_tick(core) && core->tick_at != NEVER_MS)
        core->beat_at = now;
    if (core->tick_at == NEVER_MS)
        return;
    if (now >= core->tick_at)
        beat_or_retry(core, true);
    else if (now >= core->beat_at)
        beat_or_retry(core, false);
}

uint64_t heart_deadline(const struct den_core *core)
{
    if (core->fatal.code != ERR_NONE)
        return NEVER_MS;
    return min_u64(core->tick_at, min_u64(core->beat_at, core->crl_due_at));
}
