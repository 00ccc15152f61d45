/* SPDX-License-Identifier: Apache-2.0 */
/* What den signed for ever, revocations and new keys on an administrator's word, is signed anew when den's signing key
 * changes. The statements stay as they are, and with them the chain of their hashes: only the signatures beside them are
 * others. A number of revocations at a time, so that nobody waits. */
#include "den/core_in.h"
#include "den/record.h"
#include "den/rollover.h"

#include "base/log.h"

#include <inttypes.h>

enum { AT_ONCE = 500 };

/* As kept: the key, and how many it has signed; ALL: the rest comes from it anyway. */
struct progress {
    uint8_t by[KEY_SIZE];
    uint64_t n;
};
#define ALL ROLLOVER_ALL_RESIGNED

static bool save(struct den_core *core, const struct progress *p, struct err *err)
{
    _buf_ bytes = { 0 };

    buf_put(&bytes, VIEW_ARR(p->by));
    buf_put_u64(&bytes, p->n);
    return store_blob_set(core->c.store, rollover_resigned_by, buf_view(&bytes), err);
}

static bool load(struct den_core *core, struct progress *ret_p, bool *ret_is_known, struct err *err)
{
    enum store_found found;
    _buf_ bytes = { 0 };
    struct view rest, by;

    if (!store_blob_get(core->c.store, rollover_resigned_by, &found, &bytes, err))
        return false;
    rest = buf_view(&bytes);
    *ret_is_known =
        found == STORE_FOUND && view_take(&rest, KEY_SIZE, &by) && view_take_u64(&rest, &ret_p->n);
    if (*ret_is_known)
        memcpy(ret_p->by, by.data, KEY_SIZE);
    return true;
}

struct batch {
    struct den_core *core;
    struct signer_statement items[AT_ONCE];
    uint64_t no[AT_ONCE];
    bool is_ours; /* of the first that was looked at */
    size_t n;
};

static bool collect(void *user, const struct store_revocation *r)
{
    struct batch *batch = user;

    if (!r->statement.len)
        return false;
    if (batch->n == 0)
        batch->is_ours = key_verify(core_sign_pk(batch->core), r->statement, r->sig);
    batch->items[batch->n].bytes = buf_dup(r->statement);
    batch->no[batch->n] = r->no;
    return ++batch->n < AT_ONCE;
}

static void batch_free(struct batch *batch)
{
    for (size_t i = 0; i < batch->n; i++)
        buf_free(&batch->items[i].bytes);
    free(batch);
}

static bool sign_batch(struct den_core *core, struct batch *batch, struct progress *p,
                       struct err *err)
{
    _transaction_ struct store *open = core->c.store;

    if (!signer_sign_all(core->c.signer, RPC_W_REVOKE, batch->items, batch->n, err) ||
        !store_begin(open, err))
        return false;
    for (size_t i = 0; i < batch->n; i++) {
        if (!store_revocation_resign(open, batch->no[i], VIEW_ARR(batch->items[i].sig), err))
            return false;
        p->n = batch->no[i];
    }
    return save(core, p, err) && store_commit(open, err);
}

/* Those that den signed itself are few: an administrator's word each. */
static bool resign_rekeys(struct den_core *core, struct err *err)
{
    _transaction_ struct store *open = core->c.store;

    if (!store_begin(open, err))
        return false;
    for (uint64_t i = 0;; i++) {
        struct store_rekey k = { 0 };
        enum store_found found;
        struct rpc_rekey said;
        uint8_t sig[SIG_SIZE];
        bool ok = store_rekey_at(open, i, &found, &k, err);

        if (!ok || found == STORE_NONE)
            return ok && store_commit(open, err);
        ok = rpc_statement_read(RPC_W_REKEY, buf_view(&k.statement), &said, err);
        if (ok && said.by.len) {
            ok =
                signer_re_sign(core->c.signer, buf_view(&k.statement), VIEW_ARR(k.sig), sig, err) &&
                store_rekey_resign(open, k.id, k.rekey_no, VIEW_ARR(sig), err);
        }
        buf_free(&k.statement);
        if (!ok)
            return false;
    }
}

static bool start_over(struct den_core *core, struct progress *p, struct err *err)
{
    memcpy(p->by, core_sign_pk(core).data, KEY_SIZE);
    p->n = 0;
    return resign_rekeys(core, err);
}

static bool save_alone(struct den_core *core, const struct progress *p, struct err *err)
{
    _transaction_ struct store *open = core->c.store;

    return store_begin(open, err) && save(core, p, err) && store_commit(open, err);
}

static bool take_batch(struct den_core *core, struct progress *p, bool is_known,
                       struct batch *batch, struct err *err)
{
    if (!store_revocation_each(core->c.store, p->n + 1, collect, batch, err))
        return false;
    if (batch->n && (is_known || !batch->is_ours) && !sign_batch(core, batch, p, err))
        return false;
    if (batch->n == AT_ONCE && (is_known || !batch->is_ours))
        return true;
    p->n = ALL; /* or a store that was never asked before: what its first is signed with, all are */
    return save_alone(core, p, err);
}

bool resign_more(struct den_core *core, bool *ret_is_all, struct err *err)
{
    struct progress p = { 0 };
    bool is_known, is_ours, ok;
    struct batch *batch;

    if (!load(core, &p, &is_known, err))
        return false;
    is_ours = is_known && view_eq(VIEW_ARR(p.by), core_sign_pk(core));
    *ret_is_all = is_ours && p.n == ALL;
    if (*ret_is_all)
        return true;
    if (!is_ours && !start_over(core, &p, err))
        return false;
    batch = mem_new(struct batch);
    batch->core = core;
    ok = take_batch(core, &p, is_known, batch, err);
    batch_free(batch);
    *ret_is_all = p.n == ALL;
    if (ok && is_known && *ret_is_all)
        log_event(LOG_INFO, "revocations.resigned", "no=%" PRIu64, core->rev_no);
    return ok;
}
