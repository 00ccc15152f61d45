/* SPDX-License-Identifier: Apache-2.0 */
/* den.heartbeat: den's numbers, signed. They never fall, across restarts too: hb_no is raised
 * in the store before the statement leaves. A tick brings a new beacon; extra heartbeats in
 * between keep the one there is. */
#include "den/core_in.h"

#include "base/log.h"
#include "den/record.h"

#include <inttypes.h>

enum { RETRY_FOR = 2000 /* ms, when the store did not take the number */ };

/* One that is at the signer, or was answered and not taken up yet. */
struct beating {
    struct signer_statement item;
    uint8_t beacon[RPC_BEACON];
    uint64_t manifest_no;
    bool is_tick;
    bool is_asked, is_answered;
    bool is_dropped; /* a newer one was signed meanwhile */
};

struct beating *heart_beating_new(void)
{
    return mem_new(struct beating);
}

/* The signer was made to forget what it is asked. */
void heart_beating_free(struct beating *beating)
{
    if (!beating)
        return;
    buf_free(&beating->item.bytes);
    free(beating);
}

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

static bool write_heartbeat(struct den_core *core, const uint8_t beacon[RPC_BEACON], bool is_tick,
                            struct buf *ret_bytes, struct err *err)
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
    rpc_statement_write(RPC_W_HEARTBEAT, &h, ret_bytes);
    return true;
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

static void choose_beacon(struct den_core *core, bool is_tick, uint8_t beacon_to[RPC_BEACON])
{
    if (is_tick)
        random_bytes(beacon_to, RPC_BEACON);
    else
        memcpy(beacon_to, fresh_beacon(core->fresh).data, RPC_BEACON);
}

/* It was signed: it is den's newest, and leaves. */
static bool take_up(struct den_core *core, const struct signer_statement *item, bool is_tick,
                    const uint8_t beacon[RPC_BEACON], struct err *err)
{
    if (!move_trust(core, buf_view(&item->bytes), VIEW_ARR(item->sig), err) ||
        !core_save_trust(core, err))
        return err_wrap(err, "heartbeat");
    if (is_tick) {
        fresh_turn(core->fresh, beacon);
        core->tick_at = core_mono(core) + core->c.beat_every;
    }
    if (core->is_up)
        publish(core);
    if (core->is_up && is_tick)
        revoke_again(core);
    return true;
}

/* With waiting: at the start and at the end, and where the signer is in this process. */
static bool beat(struct den_core *core, bool is_tick, struct err *err)
{
    struct signer_statement item = { 0 };
    uint8_t beacon[RPC_BEACON];
    bool ok;

    core->beating->is_dropped = true;
    choose_beacon(core, is_tick, beacon);
    ok = write_heartbeat(core, beacon, is_tick, &item.bytes, err) &&
         (signer_sign_all(core->c.signer, RPC_W_HEARTBEAT, &item, 1, err) ||
          note_rollback(core, err));
    if (ok)
        core->beat_at = NEVER_MS;
    else
        err_wrap(err, "heartbeat");
    ok = ok && take_up(core, &item, is_tick, beacon, err);
    buf_free(&item.bytes);
    return ok;
}

bool heart_start(struct den_core *core, struct err *err)
{
    core->is_resigning = true; /* unless the store says that there is nothing */
    return revoke_sign(core, err) && beat(core, true, err);
}

static void retry(struct den_core *core, bool is_tick, uint64_t after)
{
    if (is_tick)
        core->tick_at = core_mono(core) + after;
    else
        core->beat_at = core_mono(core) + after;
}

static void say_failed(struct den_core *core, bool is_tick, const struct err *err)
{
    core->unbeaten = *err;
    log_event(LOG_ERROR, "heartbeat.failed", "code=%s cause=%s", err_code_name(err->code),
              log_quote_text(err->text));
    retry(core, is_tick, RETRY_FOR);
}

/* When the signer is back it is asked at once. */
static void wait_for_signer(struct den_core *core, bool is_tick, const struct err *why)
{
    core->unbeaten = *why;
    core->beat_missed = true;
    retry(core, is_tick, RETRY_FOR);
}

/* ---- while den works: nobody waits for it ------------------------------------------------------------- */

/* Taken up when the core's turn comes: whoever takes in the signer's answers may be in the midst of something. */
static void on_signed(void *user, _unused_ struct signer_statement *items, _unused_ size_t n)
{
    struct den_core *core = user;

    core->beating->is_answered = true;
}

static void ask(struct den_core *core, bool is_tick)
{
    struct beating *b = core->beating;
    struct err err = { 0 };

    choose_beacon(core, is_tick, b->beacon);
    buf_clear(&b->item.bytes);
    if (!write_heartbeat(core, b->beacon, is_tick, &b->item.bytes, &err)) {
        err_wrap(&err, "heartbeat");
        say_failed(core, is_tick, &err);
        return;
    }
    b->item.word = RPC_W_HEARTBEAT;
    b->manifest_no = rpc_trust_manifest(core->c.trust)->manifest_no;
    b->is_tick = is_tick;
    b->is_dropped = b->is_answered = false;
    b->is_asked = true;
    core->beat_at = NEVER_MS;
    signer_sign_soon(core->c.signer, &b->item, 1, on_signed, core);
}

static void take_up_answer(struct den_core *core)
{
    struct beating *b = core->beating;
    struct err err = b->item.err;

    if (err.code == ERR_NONE && b->manifest_no != rpc_trust_manifest(core->c.trust)->manifest_no) {
        retry(core, b->is_tick, 0); /* den's keys may be others now */
        return;
    }
    if (err.code == ERR_BUSY) { /* it hangs, or ended */
        wait_for_signer(core, b->is_tick, &err);
        return;
    }
    if (err.code != ERR_NONE)
        note_rollback(core, &err);
    if (err.code == ERR_NONE && take_up(core, &b->item, b->is_tick, b->beacon, &err))
        core->unbeaten = (struct err){ 0 };
    else
        say_failed(core, b->is_tick, &err);
}

static void look_at_answer(struct den_core *core)
{
    struct beating *b = core->beating;

    if (!b->is_answered)
        return;
    b->is_asked = b->is_answered = false;
    if (!b->is_dropped && core->fatal.code == ERR_NONE)
        take_up_answer(core);
}

/* A signer that hangs does not hold den up, and no numbers are used up meanwhile. */
static void beat_or_retry(struct den_core *core, bool is_tick)
{
    struct err err = { 0 };

    if (core->fatal.code != ERR_NONE)
        return;
    if (core->beating->is_asked)
        retry(core, is_tick, 0); /* behind that one */
    else if (signer_is_away(core->c.signer, &err))
        wait_for_signer(core, is_tick, &err);
    else if (!signer_is_here(core->c.signer))
        ask(core, is_tick);
    else if (beat(core, is_tick, &err))
        core->unbeaten = (struct err){ 0 };
    else
        say_failed(core, is_tick, &err);
}

void heart_extra(struct den_core *core)
{
    if (core->tick_at !=
        NEVER_MS) /* else it has not started: its first heartbeat will say everything */
        beat_or_retry(core, false);
}

/* What the router has to witness of this store: an entry of the audit, or the number of a heartbeat that did not leave yet. Without that one
 * a copy of the store would be newer than what the router knows, and be taken for one that something came after. */
static bool is_unsaid(struct den_core *core)
{
    const struct rpc_heartbeat *h = rpc_trust_heartbeat(core->c.trust);
    uint8_t head[HASH_SIZE];
    struct err unused;
    uint64_t no, hb_no;

    return h && audit_head(core->c.store, &no, head, &unused) &&
           store_number_get(core->c.store, "hb_no", &hb_no, &unused) &&
           (no > h->audit_no || hb_no > h->hb_no);
}

void den_core_leave(struct den_core *core)
{
    struct err unused;

    core->is_leaving = true;
    if (core->has_met)
        core_audit_left_out(core);
    if (core->is_up && core->has_met && core->tick_at != NEVER_MS && core->fatal.code == ERR_NONE &&
        is_unsaid(core))
        (void)beat(core, false, &unused); /* there is no later */
    core->tick_at = core->beat_at = NEVER_MS;
    core->beat_missed = false;
}

void heart_tick(struct den_core *core)
{
    uint64_t now = core_mono(core);

    core->beat_waits = false;
    look_at_answer(core);
    if (crl_tick(core) && core->tick_at != NEVER_MS)
        core->beat_at = now;
    if (core->tick_at == NEVER_MS || core->beating->is_asked)
        return;
    if (now >= core->tick_at)
        beat_or_retry(core, true);
    else if (now >= core->beat_at)
        beat_or_retry(core, false);
}

void heart_signer(struct den_core *core)
{
    struct err unused;

    if (core->beat_missed && !signer_is_away(core->c.signer, &unused)) {
        core->beat_missed = false;
        core->tick_at = core_mono(core);
        core->beat_waits = true;
    }
    if (core->beat_waits || core->beating->is_answered || crl_is_ready(core))
        heart_tick(core);
}

uint64_t heart_deadline(const struct den_core *core)
{
    if (core->fatal.code != ERR_NONE || core->beat_waits) /* the signer's answer is awaited */
        return NEVER_MS;
    if (core->beating->is_answered)
        return 0;
    if (core->beating->is_asked)
        return core->crl_due_at;
    return min_u64(core->tick_at, min_u64(core->beat_at, core->crl_due_at));
}
