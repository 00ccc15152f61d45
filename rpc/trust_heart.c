/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "rpc/trust_state.h"

#include <stdio.h>

/* The first number of `new` that is below `old`'s; NULL: none. They only ever grow: a fall shows an
 * older state of den. */
static const char *find_fall(const struct rpc_heartbeat *old, const struct rpc_heartbeat *new)
{
    const struct {
        const char *name;
        uint64_t was, is;
    } numbers[] = {
        { "crl_no", old->crl_no, new->crl_no },
        { "rev_no", old->rev_no, new->rev_no },
        { "manifest_no", old->manifest_no, new->manifest_no },
        { "policy_no", old->policy_no, new->policy_no },
        { "audit_no", old->audit_no, new->audit_no },
    };

    for (size_t i = 0; i < N_ELEMENTS(numbers); i++) {
        if (numbers[i].is < numbers[i].was)
            return numbers[i].name;
    }
    return NULL;
}

/* The head of a chain of hashes cannot change while its number stays. */
static const char *find_fork(const struct rpc_heartbeat *old, const struct rpc_heartbeat *new)
{
    if (old->rev_no == new->rev_no && !view_eq(old->rev_head, new->rev_head))
        return "rev_head";
    if (old->audit_no == new->audit_no && !view_eq(old->audit_head, new->audit_head))
        return "audit_head";
    return NULL;
}

static bool check_newer(const struct rpc_heartbeat *old, const struct rpc_heartbeat *new,
                        struct err *err)
{
    const char *name = find_fall(old, new);
    unsigned long long number = new->hb_no;

    if (name)
        return err_set(err, ERR_STALE, "heartbeat %llu: %s fell: den shows an older state", number,
                       name);
    name = find_fork(old, new);
    return !name || err_set(err, ERR_BAD_STATEMENT,
                            "heartbeat %llu: %s changed, but not its number", number, name);
}

/* Extra heartbeats keep the beacon; a new one pushes out the older of the two. */
static void take_beacon(struct rpc_trust *trust)
{
    struct view beacon = trust->heart.beacon;

    if (trust->n_beacons && view_eq(VIEW_ARR(trust->beacon[0].bytes), beacon))
        return;
    trust->beacon[1] = trust->beacon[0];
    memcpy(trust->beacon[0].bytes, beacon.data, RPC_BEACON);
    if (trust->n_beacons < N_ELEMENTS(trust->beacon))
        trust->n_beacons++;
}

/* Network time does not fall: what says less was said earlier, or by a clock that was set back. */
static void anchor(struct rpc_trust *trust, uint64_t time, uint64_t mono_now)
{
    uint64_t now = trust->has_time ? rpc_trust_now(trust, mono_now, 0) : 0;

    trust->time = time > now ? time : now;
    trust->time_mono = mono_now;
    trust->has_time = true;
}

static void take(struct rpc_trust *trust, struct view bytes, struct view sig)
{
    struct buf copy = buf_dup(bytes);
    struct err err;

    buf_free(&trust->heart_bytes);
    trust->heart_bytes = copy;
    memcpy(trust->heart_sig, sig.data, SIG_SIZE);
    if (!rpc_statement_read(RPC_W_HEARTBEAT, buf_view(&copy), &trust->heart, &err))
        abort(); /* it was read before */
}

/* One number, one heartbeat: two that differ prove that den lies. What came from disk tells the
 * time once it comes again, unless den told it better. */
static bool check_same(struct rpc_trust *trust, struct view bytes, uint64_t mono_now,
                       enum rpc_heart *ret_heart, struct err *err)
{
    if (!view_eq(buf_view(&trust->heart_bytes), bytes))
        return err_set(err, ERR_BAD_STATEMENT,
                       "heartbeat %llu: den signed two different ones of this number",
                       (unsigned long long)trust->heart.hb_no);
    if (!trust->has_time)
        anchor(trust, trust->heart.time, mono_now);
    if (!trust->has_heart)
        take_beacon(trust);
    trust->has_heart = true;
    *ret_heart = RPC_HEART_SAME;
    return true;
}

bool rpc_trust_add_heartbeat(struct rpc_trust *trust, struct view bytes, struct view sig,
                             uint64_t mono_now, uint64_t wall_now, enum rpc_heart *ret_heart,
                             struct err *err)
{
    struct rpc_heartbeat h;

    *ret_heart = RPC_HEART_OLDER;
    if (!rpc_trust_open(trust, RPC_W_HEARTBEAT, bytes, sig,
                        rpc_trust_now(trust, mono_now, wall_now), &h, err))
        return false;
    if (h.hb_no < trust->heart.hb_no)
        return true;
    *ret_heart = RPC_HEART_FORKED;
    if (h.hb_no == trust->heart.hb_no)
        return check_same(trust, bytes, mono_now, ret_heart, err);
    if (trust->heart.hb_no && !check_newer(&trust->heart, &h, err))
        return false;
    take(trust, bytes, sig);
    anchor(trust, trust->heart.time, mono_now);
    take_beacon(trust);
    trust->has_heart = true;
    *ret_heart = RPC_HEART_NEWER;
    return true;
}

bool rpc_trust_is_by_a_den(const struct rpc_trust *trust, struct view bytes, struct view sig)
{
    struct view tried = {
        0
    }; /* most manifests list the same key first as the one before: once is enough */
    struct rpc_manifest m;
    struct err err;

    for (size_t i = 0; i < trust->n_manifests; i++) {
        if (!rpc_statement_read(RPC_W_MANIFEST, buf_view(&trust->manifest[i].bytes), &m, &err))
            abort();
        for (size_t k = 0; k < m.keys.n; k++) {
            struct view pk = m.keys.item[k].pk;
            if (m.keys.item[k].role != RPC_KEY_DEN_SIGN || view_eq(pk, tried))
                continue;
            if (key_verify(pk, bytes, sig))
                return true;
            tried = pk;
        }
    }
    return false;
}

bool rpc_trust_restore_heartbeat(struct rpc_trust *trust, struct view bytes, struct view sig,
                                 struct err *err)
{
    struct rpc_heartbeat h;

    if (!rpc_trust_is_by_a_den(trust, bytes, sig))
        return err_set(err, ERR_BAD_SIGNATURE,
                       "heartbeat: not signed by a den-sign key of any kept manifest");
    if (!rpc_trust_read(trust, RPC_W_HEARTBEAT, bytes, &h, err))
        return false;
    take(trust, bytes, sig);
    return true;
}

const struct rpc_heartbeat *rpc_trust_heartbeat(const struct rpc_trust *trust)
{
    return trust->heart.hb_no ? &trust->heart : NULL;
}

struct view rpc_trust_heartbeat_bytes(const struct rpc_trust *trust)
{
    return buf_view(&trust->heart_bytes);
}

struct view rpc_trust_heartbeat_sig(const struct rpc_trust *trust)
{
    return trust->heart.hb_no ? VIEW_ARR(trust->heart_sig) : (struct view){ 0 };
}

bool rpc_trust_knows_beacon(const struct rpc_trust *trust, struct view beacon)
{
    for (size_t i = 0; i < trust->n_beacons; i++) {
        if (view_eq(VIEW_ARR(trust->beacon[i].bytes), beacon))
            return true;
    }
    return false;
}

/* ---- time ----------------------------------------------------------------------------------- */

uint64_t rpc_trust_now(const struct rpc_trust *trust, uint64_t mono_now, uint64_t wall_now)
{
    if (!trust->has_time)
        return wall_now;
    return trust->time + (mono_now > trust->time_mono ? mono_now - trust->time_mono : 0);
}

uint64_t rpc_trust_heartbeat_age(const struct rpc_trust *trust, uint64_t mono_now)
{
    uint64_t now = rpc_trust_now(trust, mono_now, 0);

    if (!trust->has_time || !trust->heart.hb_no)
        return UINT64_MAX;
    return now > trust->heart.time ? now - trust->heart.time : 0;
}

bool rpc_trust_take_time(struct rpc_trust *trust, const struct rpc_time_answer *answer,
                         uint64_t mono_now, uint64_t wall_now, struct err *err)
{
    uint64_t now = rpc_trust_now(trust, mono_now, wall_now), took = mono_now - answer->asked_at;
    struct rpc_time t;

    if (!rpc_statement_read(RPC_W_TIME, answer->bytes, &t, err))
        return false;
    /* Where network time lags, a key that is over by what den says now does not count. */
    now = t.time > now ? t.time : now;
    if (!rpc_trust_open(trust, RPC_W_TIME, answer->bytes, answer->sig, now, &t, err))
        return false;
    if (!view_eq(t.nonce, answer->nonce))
        return err_set(err, ERR_BAD_STATEMENT, "time: answers another nonce than ours");
    if (took >= RPC_TIME_MS)
        return err_set(err, ERR_STALE, "time: the answer took %llu ms", (unsigned long long)took);
    anchor(trust, t.time, mono_now);
    trust->is_time_sure = true;
    trust->wall_ahead = wall_now - rpc_trust_now(trust, mono_now, wall_now);
    return true;
}

bool rpc_trust_time_is_sure(const struct rpc_trust *trust, uint64_t mono_now, uint64_t wall_now)
{
    uint64_t parted =
        wall_now - rpc_trust_now(trust, mono_now, wall_now) - trust->wall_ahead; /* modulo 2^64 */

    return trust->is_time_sure &&
           (parted <= RPC_TIME_DRIFT_MS || parted >= (uint64_t)0 - RPC_TIME_DRIFT_MS);
}

bool rpc_trust_clock_is_wrong(uint64_t wall_now, uint64_t network_now, struct err *err)
{
    uint64_t apart = wall_now > network_now ? wall_now - network_now : network_now - wall_now;
    char wall[CLOCK_TEXT], network[CLOCK_TEXT];

    if (apart <= RPC_CLOCK_SKEW_MS)
        return false;
    err_set(err, ERR_CLOCK_SKEW, "this machine's clock says %s, the network's time is %s",
            clock_text(wall_now, wall), clock_text(network_now, network));
    return true;
}

static bool blames(const struct rpc_trust *trust, bool knows_time,
                   const struct rpc_trust_shown *shown, uint64_t wall_now, struct err *err)
{
    const struct rpc_manifest *newest = rpc_trust_manifest(trust);
    bool is_over = newest && newest->not_after <= wall_now;
    struct rpc_heartbeat h;
    struct err ignored;

    if (!rpc_trust_is_by_a_den(trust, shown->heartbeat, shown->sig) ||
        !rpc_trust_read(trust, RPC_W_HEARTBEAT, shown->heartbeat, &h, &ignored) ||
        (knows_time && !is_over) || (is_over && newest->not_after <= h.time) ||
        !rpc_trust_clock_is_wrong(wall_now, h.time, err))
        return false;
    if (is_over)
        err_wrap(err, "manifest %llu seems to be over", (unsigned long long)newest->manifest_no);
    return true;
}

bool rpc_trust_blames_clock(const struct rpc_trust *trust, const struct rpc_trust_shown *shown,
                            uint64_t wall_now, struct err *err)
{
    _cleanup_(rpc_trust_freep) struct rpc_trust *copy = rpc_trust_copy(trust);
    uint64_t highest;
    struct err ignored;

    /* A newcomer knows no manifest yet; what does not fit adds nothing. */
    if (shown->roots.len && rpc_trust_add_roots(copy, shown->roots, &ignored))
        rpc_trust_add_manifests(copy, shown->manifests, &highest, &ignored);
    return blames(copy, trust->has_time, shown, wall_now, err);
}
