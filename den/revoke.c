/* SPDX-License-Identifier: Apache-2.0 */
/* Revocations as statements: signed in the order in which they were put down, each with the hash of
 * the one before, handed to the router, published, and given to whoever asks for them. */
#include "den/core_in.h"

#include "base/log.h"
#include "den/record.h"

#include <inttypes.h>

enum {
    SIGN_AT_ONCE = 500,
    MAX_EVENTS = 100,
    MAX_PAGE = 512 * 1024, /* bytes of an answer, or of what the router is given at once */
    MAX_PER_PAGE = 4000,
};

static const char signed_name[] = "rev_no"; /* the newest that was signed */

/* ---- signing ------------------------------------------------------------------------------- */

struct batch { /* revocations that were read, to be signed when the store is not walked any more */
    struct store_revocation item[SIGN_AT_ONCE];
    size_t n;
};

static bool collect(void *user, const struct store_revocation *r)
{
    struct batch *batch = user;

    batch->item[batch->n] = *r;
    batch->item[batch->n].statement = batch->item[batch->n].sig = (struct view){ 0 };
    return ++batch->n < SIGN_AT_ONCE;
}

/* The statement of one, after `core`'s newest; it is the newest then. */
static bool write_one(struct den_core *core, const struct store_revocation *r,
                      struct signer_statement *to, struct err *err)
{
    const struct rpc_revocation v = {
        .netid = rpc_trust_netid(core->c.trust),
        .rev_no = core->rev_no + 1,
        .previous = VIEW_ARR(core->rev_head),
        .kind = r->kind,
        .id = view_text(r->id),
        .subject = VIEW(r->subject, r->subject_len),
        .reason = r->reason,
        .at = r->at,
    };

    if (r->no != v.rev_no)
        return err_set(err, ERR_SYSTEM, "revocation %" PRIu64 " is missing from the store",
                       v.rev_no);
    rpc_statement_write(RPC_W_REVOKE, &v, &to->bytes);
    core->rev_no = r->no;
    hash_sha256(buf_view(&to->bytes), core->rev_head);
    return true;
}

static bool record_batch(struct den_core *core, const struct batch *batch,
                         const struct signer_statement *signed_ones, struct err *err)
{
    _transaction_ struct store *open = core->c.store;

    if (!store_begin(open, err))
        return false;
    for (size_t i = 0; i < batch->n; i++) {
        if (!store_revocation_sign(open, batch->item[i].no, buf_view(&signed_ones[i].bytes),
                                   VIEW_ARR(signed_ones[i].sig), err))
            return false;
    }
    return store_number_raise(open, signed_name, core->rev_no, err) && store_commit(open, err);
}

/* Signed together, then recorded together. What was signed and could not be recorded is signed again, the same. */
static bool sign_batch(struct den_core *core, const struct batch *batch, struct err *err)
{
    _free_ struct signer_statement *all = mem_array(struct signer_statement, batch->n);
    bool ok = true;

    for (size_t i = 0; ok && i < batch->n; i++)
        ok = write_one(core, &batch->item[i], &all[i], err);
    ok = ok && signer_sign_all(core->c.signer, RPC_W_REVOKE, all, batch->n, err) &&
         record_batch(core, batch, all, err);
    for (size_t i = 0; i < batch->n; i++)
        buf_free(&all[i].bytes);
    return ok;
}

/* Whoever has the list takes the router's certificate no more: it gets another one at once. */
static bool is_of_router(const struct batch *batch)
{
    for (size_t i = 0; i < batch->n; i++)
        if (strcmp(batch->item[i].id, "router") == 0)
            return true;
    return false;
}

/* Signs what is not signed, a good many at a time. */
static bool sign_more(struct den_core *core, bool *ret_is_all, struct err *err)
{
    _free_ struct batch *batch = mem_new(struct batch);
    uint64_t no = core->rev_no;
    uint8_t head[HASH_SIZE];

    memcpy(head, core->rev_head, sizeof(head));
    if (!store_revocation_each(core->c.store, core->rev_no + 1, collect, batch, err))
        return false;
    *ret_is_all = batch->n < SIGN_AT_ONCE;
    if (!batch->n || sign_batch(core, batch, err)) {
        if (core->is_up && is_of_router(batch))
            renew_now(core);
        return true;
    }
    core->rev_no = no;
    memcpy(core->rev_head, head, sizeof(head));
    return false;
}

static bool take_head(void *user, const struct store_revocation *r)
{
    struct den_core *core = user;

    if (r->statement.len)
        hash_sha256(r->statement, core->rev_head);
    return false;
}

bool revoke_start(struct den_core *core, struct err *err)
{
    return store_number_get(core->c.store, signed_name, &core->rev_no, err) &&
           (!core->rev_no ||
            store_revocation_each(core->c.store, core->rev_no, take_head, core, err));
}

bool revoke_sign(struct den_core *core, struct err *err)
{
    bool is_all = false;

    while (!is_all) {
        if (!sign_more(core, &is_all, err))
            return err_wrap(err, "revocations");
    }
    return true;
}

/* ---- telling ------------------------------------------------------------------------------- */

struct page {
    struct buf items;
    uint32_t n;
    uint64_t last;
    bool is_full;
};

static bool put_item(void *user, const struct store_revocation *r)
{
    struct page *page = user;

    if (!r->statement.len)
        return false;
    if (page->n == MAX_PER_PAGE || page->items.len + r->statement.len + 128 > MAX_PAGE) {
        page->is_full = true;
        return false;
    }
    rpc_put_array(&page->items, 2);
    rpc_put_bin(&page->items, r->statement);
    rpc_put_bin(&page->items, r->sig);
    page->last = r->no;
    page->n++;
    return true;
}

static bool read_page(struct den_core *core, uint64_t from, struct page *page, struct err *err)
{
    return store_revocation_each(core->c.store, from, put_item, page, err);
}

bool revoke_list(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                 struct err *err)
{
    uint64_t from = rpc_fields_u64(args, "from");
    struct page page = { 0 };
    uint8_t key[RATE_KEY];
    _buf_ answer = { 0 };
    bool ok;

    if (!rpc_fields_end(args, err))
        return false;
    if (!core_take(core, RATE_REVOKED, core_caller(inv, key)))
        return err_set(err, ERR_LIMIT, "too often: wait some seconds");
    ok = read_page(core, from, &page, err);
    if (ok) {
        rpc_put_array(&answer, 2);
        rpc_put_array(&answer, page.n);
        rpc_put_raw(&answer, buf_view(&page.items));
        rpc_put_bool(&answer, page.is_full);
        core_yield(core, inv->number, buf_view(&answer));
    }
    buf_free(&page.items);
    return ok;
}

static void publish_one(struct den_core *core, struct view statement, struct view sig)
{
    static const struct rpc_publish_options options = { 0 };
    _buf_ args = { 0 };

    rpc_put_array(&args, 2);
    rpc_put_bin(&args, statement);
    rpc_put_bin(&args, sig);
    core->c.port->publish(core->c.port->user, "den.ca.on_revoke", &options, buf_view(&args));
}

static bool publish_item(void *user, const struct store_revocation *r)
{
    struct den_core *core = user;

    if (!r->statement.len)
        return false;
    publish_one(core, r->statement, r->sig);
    core->rev_published = r->no;
    return r->no < core->rev_no;
}

/* ---- the router ----------------------------------------------------------------------------- */

static void hand_over(struct den_core *core, uint64_t from);

static bool read_answer(struct rpc_payload payload, uint64_t *ret_no, struct err *err)
{
    struct rpc_fields f;

    rpc_fields_open(&f, rpc_payload_args(payload));
    *ret_no = rpc_fields_u64(&f, "rev_no");
    rpc_fields_skip_rest(&f);
    return rpc_fields_end(&f, err);
}

/* The router says what it has: the rest goes on its way. A heartbeat follows when it has all, since it lets
 * nobody in who comes while it is behind. */
static void on_handed_over(void *user, const struct rpc_outcome *outcome)
{
    struct den_core *core = user;
    struct err err = outcome->err;
    uint64_t no = 0;

    if (outcome->what == RPC_PROGRESS)
        return;
    core->is_handing_over = false;
    if (outcome->what != RPC_RESULTED || !read_answer(outcome->payload, &no, &err)) {
        log_event(LOG_ERROR, "revocations.not_handed_over", "code=%s cause=%s",
                  err_code_name(err.code), log_quote_text(err.text));
        core->has_handed_over = false; /* the next tick asks again */
        heart_extra(core);
        return;
    }
    core->has_handed_over = no >= core->rev_no;
    if (no < core->rev_no)
        hand_over(core, no + 1);
    else
        heart_extra(core);
}

/* From that number on; 0: only asks what the router has. */
static void hand_over(struct den_core *core, uint64_t from)
{
    struct page page = { 0 };
    struct err err = { 0 };
    _buf_ args = { 0 };

    if (!core->is_up || core->is_handing_over)
        return;
    if (from && !read_page(core, from, &page, &err))
        log_event(LOG_ERROR, "revocations.not_handed_over", "code=%s cause=%s",
                  err_code_name(err.code), log_quote_text(err.text));
    rpc_put_array(&args, 1);
    rpc_put_array(&args, page.n);
    rpc_put_raw(&args, buf_view(&page.items));
    buf_free(&page.items);
    core->is_handing_over = true;
    core->c.port->call(core->c.port->user, "network.revocations.install", buf_view(&args),
                       CORE_CALL_TIMEOUT, false, on_handed_over, core);
}

void revoke_up(struct den_core *core)
{
    core->is_handing_over = core->has_handed_over = false;
    core->rev_published = core->rev_no; /* who was away fetches them: the heartbeat says so */
    if (core->rev_no) {
        hand_over(core, 0);
        return;
    }
    core->has_handed_over = true;
    heart_extra(core);
}

void revoke_again(struct den_core *core)
{
    if (!core->has_handed_over)
        hand_over(core, 0);
}

/* What came to the store: signed, then the router first, so that it acts before anybody knows. */
bool revoke_look(struct den_core *core, struct err *err)
{
    uint64_t before = core->rev_no;
    bool is_all = true;

    if (!core->has_met)
        return true;
    if (!sign_more(core, &is_all, err))
        return false;
    if (core->rev_no == before || !core->is_up)
        return true;
    hand_over(core, core->has_handed_over ? before + 1 : 0);
    if (core->rev_no - core->rev_published > MAX_EVENTS)
        core->rev_published = core->rev_no; /* whoever needs them fetches them together */
    return core->rev_published == core->rev_no ||
           store_revocation_each(core->c.store, core->rev_published + 1, publish_item, core, err);
}
