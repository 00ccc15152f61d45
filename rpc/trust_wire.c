/* SPDX-License-Identifier: Apache-2.0 */
/* Roots and manifests as a CHALLENGE carries them: [DER, ...] and [[M, sig, ...], ...]. */
#include "base/clock.h"
#include "rpc/trust_state.h"
#include "rpc/value.h"

#include <stdio.h>

void rpc_trust_put_roots(const struct rpc_trust *trust, struct buf *to)
{
    rpc_put_array(to, (uint32_t)trust->n_roots);
    for (size_t i = 0; i < trust->n_roots; i++)
        rpc_put_bin(to, buf_view(&trust->root[i].der));
}

static void put_manifest(const struct rpc_trust_manifest *m, struct buf *to)
{
    rpc_put_array(to, (uint32_t)(1 + m->n_signatures));
    rpc_put_bin(to, buf_view(&m->bytes));
    for (size_t i = 0; i < m->n_signatures; i++)
        rpc_put_bin(to, buf_view(&m->signature[i].sig));
}

void rpc_trust_put_manifests(const struct rpc_trust *trust, uint64_t from, struct buf *to)
{
    uint32_t n = 0;

    for (size_t i = 0; i < trust->n_manifests; i++)
        n += trust->manifest[i].number >= from;
    rpc_put_array(to, n);
    for (size_t i = 0; i < trust->n_manifests; i++) {
        if (trust->manifest[i].number >= from)
            put_manifest(&trust->manifest[i], to);
    }
}

/* The number of the first manifest that the root of that hash signed; 0: none. */
static uint64_t first_signed_by(const struct rpc_trust *trust, struct view pin)
{
    for (size_t i = 0; i < trust->n_manifests; i++) {
        const struct rpc_trust_manifest *m = &trust->manifest[i];
        for (size_t j = 0; j < m->n_signatures; j++) {
            if (view_eq(VIEW_ARR(m->signature[j].root), pin))
                return m->number;
        }
    }
    return 0;
}

bool rpc_trust_put_challenge(const struct rpc_trust *trust, uint64_t known_no, struct view pin,
                             struct buf *ret_roots, struct buf *ret_manifests, struct err *err)
{
    uint64_t from = known_no ? known_no : first_signed_by(trust, pin);

    if (!trust->n_manifests)
        return err_set(err, ERR_NOT_FOUND, "there is no manifest yet");
    if (from == 0)
        return err_set(err, ERR_BAD_PIN, "the pinned root never headed this network");
    if (from < trust->manifest[0].number)
        return err_set(err, ERR_NOT_FOUND, "manifest %llu is no longer kept: join again",
                       (unsigned long long)from);
    /* Who knows a newer one than we do is shown ours, and sees that we are behind. */
    from = from < trust->newest.manifest_no ? from : trust->newest.manifest_no;
    rpc_trust_put_roots(trust, ret_roots);
    rpc_trust_put_manifests(trust, from, ret_manifests);
    return true;
}

void rpc_trust_put_all(const struct rpc_trust *trust, struct buf *ret_roots,
                       struct buf *ret_manifests)
{
    rpc_trust_put_roots(trust, ret_roots);
    rpc_trust_put_manifests(trust, 0, ret_manifests);
}

bool rpc_trust_add_roots(struct rpc_trust *trust, struct view roots, struct err *err)
{
    struct rpc_fields f;

    rpc_fields_open(&f, roots);
    while (rpc_fields_more(&f)) {
        struct view der = rpc_fields_bin(&f, "root", RPC_MAX_ROOT_DER);
        if (!f.has_failed && !rpc_trust_add_root(trust, der, err))
            return false;
    }
    return rpc_fields_end(&f, err) || err_wrap(err, "roots");
}

/* Whoever sends all that is kept may go back further than our own chain, which begins where our pin did. */
static bool is_before_ours(const struct rpc_trust *trust, struct view bytes)
{
    struct rpc_manifest m;
    struct err unused;

    return trust->n_manifests && rpc_statement_read(RPC_W_MANIFEST, bytes, &m, &unused) &&
           m.manifest_no < trust->manifest[0].number;
}

/* [M, sig, ...] */
static bool add_one(struct rpc_trust *trust, struct view value, uint64_t *highest, struct err *err)
{
    struct view bytes, sigs[RPC_MAX_SIGNERS];
    struct rpc_manifest m;
    struct rpc_fields f;
    size_t n = 0;

    rpc_fields_open(&f, value);
    bytes = rpc_fields_bin(&f, "manifest", RPC_MAX_STATEMENT);
    while (rpc_fields_more(&f) && n < N_ELEMENTS(sigs))
        sigs[n++] = rpc_fields_bin(&f, "signature", RPC_MAX_MANIFEST_SIG);
    if (!rpc_fields_end(&f, err))
        return false;
    if (is_before_ours(trust, bytes))
        return true;
    if (!rpc_trust_add_manifest(trust, bytes, sigs, n, err))
        return false;
    if (!rpc_statement_read(RPC_W_MANIFEST, bytes, &m, err))
        return false;
    *highest = m.manifest_no > *highest ? m.manifest_no : *highest;
    return true;
}

bool rpc_trust_add_manifests(struct rpc_trust *trust, struct view manifests, uint64_t *ret_highest,
                             struct err *err)
{
    uint64_t highest = 0;
    struct rpc_fields f;

    rpc_fields_open(&f, manifests);
    if (f.n_left > RPC_MAX_MANIFESTS)
        rpc_fields_fail(&f, "manifests", "more than 32");
    while (rpc_fields_more(&f)) {
        struct view value = rpc_fields_array(&f, "manifests");
        if (!f.has_failed && !add_one(trust, value, &highest, err))
            return false;
    }
    if (!rpc_fields_end(&f, err))
        return false;
    *ret_highest = highest;
    return true;
}

static bool take_into(struct rpc_trust *copy, struct view roots, struct view manifests,
                      uint64_t wall_now, struct err *err)
{
    uint64_t known = copy->newest.manifest_no, highest;
    char held[CLOCK_TEXT], now[CLOCK_TEXT];

    if (!rpc_trust_add_roots(copy, roots, err) ||
        !rpc_trust_add_manifests(copy, manifests, &highest, err))
        return false;
    if (highest == 0)
        return err_set(err, ERR_BAD_WIRE, "manifests: none");
    if (highest < known)
        return err_set(err, ERR_STALE, "the router knows manifest %llu, this machine %llu",
                       (unsigned long long)highest, (unsigned long long)known);
    if (copy->newest.not_after <= wall_now)
        return err_set(err, ERR_EXPIRED,
                       "manifest %llu held until %s; this machine's clock says %s",
                       (unsigned long long)copy->newest.manifest_no,
                       clock_text(copy->newest.not_after, held), clock_text(wall_now, now));
    rpc_trust_prune_roots(copy);
    return true;
}

bool rpc_trust_take_challenge(struct rpc_trust *trust, struct view roots, struct view manifests,
                              uint64_t wall_now, struct err *err)
{
    _cleanup_(rpc_trust_freep) struct rpc_trust *copy = rpc_trust_copy(trust);

    if (!take_into(copy, roots, manifests, wall_now, err))
        return false;
    rpc_trust_swap(trust, STEAL(copy));
    return true;
}

static bool follow_into(struct rpc_trust *copy, const struct rpc_trust *newer, struct err *err)
{
    for (size_t i = 0; i < newer->n_roots; i++) {
        if (!rpc_trust_add_root(copy, buf_view(&newer->root[i].der), err))
            return false;
    }
    for (size_t i = 0; i < newer->n_manifests; i++) {
        const struct rpc_trust_manifest *m = &newer->manifest[i];
        struct view sigs[RPC_MAX_SIGNERS];
        if (m->number <= copy->newest.manifest_no)
            continue;
        for (size_t k = 0; k < m->n_signatures; k++)
            sigs[k] = buf_view(&m->signature[k].sig);
        if (!rpc_trust_add_manifest(copy, buf_view(&m->bytes), sigs, m->n_signatures, err))
            return false;
    }
    rpc_trust_prune_roots(copy);
    return true;
}

bool rpc_trust_follow(struct rpc_trust *trust, const struct rpc_trust *newer, struct err *err)
{
    _cleanup_(rpc_trust_freep) struct rpc_trust *copy = NULL;

    if (newer->newest.manifest_no <= trust->newest.manifest_no)
        return true;
    copy = rpc_trust_copy(trust);
    if (!follow_into(copy, newer, err))
        return false;
    rpc_trust_swap(trust, STEAL(copy));
    return true;
}
