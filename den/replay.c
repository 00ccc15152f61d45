/* SPDX-License-Identifier: Apache-2.0 */
/* Every revocation that was ever handed to the router, back from there: it holds all of the chain, and
 * the heartbeat that it kept names the last. */
#include "den/rollback.h"

#include "base/log.h"

#include <inttypes.h>

enum { MAX_FETCHED = 1024 * 1024 * 1024 /* bytes, as the router's file */ };

struct rollback {
    struct den_core *core;
    uint64_t call;   /* 0: none */
    struct buf file; /* as rpc_revoked_load() takes it */
    uint64_t n;
};

void rollback_down(struct den_core *core)
{
    struct rollback *r = STEAL(core->rollback);

    core->meet_at = NEVER_MS;
    if (!r)
        return;
    if (r->call)
        core->c.port->forget(core->c.port->user, r->call);
    buf_free(&r->file);
    free(r);
}

static void fail(struct den_core *core, const struct err *why)
{
    log_event(LOG_ERROR, "rollback.not_accepted", "code=%s cause=%s again_in_ms=%d",
              err_code_name(why->code), log_quote_text(why->text), MEET_AGAIN);
    rollback_down(core);
    core->meet_at = core_mono(core) + MEET_AGAIN;
}

/* ---- reading them -------------------------------------------------------------------------- */

static bool take_one(struct rpc_fields *list, struct rollback *r, struct err *err)
{
    struct rpc_fields one;

    rpc_fields_open(&one, rpc_fields_array(list, "revocation"));
    struct view bytes = rpc_fields_bin(&one, "statement", RPC_MAX_STATEMENT);
    struct view sig = rpc_fields_fixed(&one, "signature", SIG_SIZE);
    if (!rpc_fields_end(&one, err))
        return false;
    if (r->file.len > MAX_FETCHED)
        return err_set(err, ERR_TOO_LARGE, "more revocations than any router keeps");
    rpc_revoked_put_record(&r->file, bytes, sig);
    r->n++;
    return true;
}

static bool take_page(struct rollback *r, struct rpc_payload payload, bool *ret_is_all,
                      struct err *err)
{
    struct rpc_fields f, list;
    uint64_t before = r->n;

    rpc_fields_open(&f, rpc_payload_args(payload));
    rpc_fields_open(&list, rpc_fields_array(&f, "revocations"));
    rpc_fields_skip_rest(&f);
    if (!rpc_fields_end(&f, err))
        return false;
    while (rpc_fields_more(&list))
        if (!take_one(&list, r, err))
            return false;
    *ret_is_all = r->n == before;
    return rpc_fields_end(&list, err);
}

/* ---- checking them ------------------------------------------------------------------------- */

static bool check_all(struct den_core *core, const struct rollback *r, struct err *err)
{
    const struct rpc_heartbeat *h = rpc_trust_heartbeat(core->c.trust);
    _cleanup_(rpc_revoked_freep) struct rpc_revoked *all = NULL;
    size_t len;

    if (!rpc_revoked_load(buf_view(&r->file), core->c.trust, &all, &len, err))
        return false;
    if (h && rpc_revoked_no(all) < h->rev_no)
        return err_set(err, ERR_STALE,
                       "the router has revocations up to %" PRIu64 ", the heartbeat names %" PRIu64
                       ": stop it, put the file `revocations` of a machine that was online last "
                       "into its folder, start it",
                       rpc_revoked_no(all), h->rev_no);
    return rpc_revoked_no(all) >= core->rev_no ||
           err_set(err, ERR_STALE,
                   "the router has revocations up to %" PRIu64 ", den.db has %" PRIu64,
                   rpc_revoked_no(all), core->rev_no);
}

static bool fill(struct store_revocation *to, struct view bytes, struct view sig, struct err *err)
{
    struct rpc_revocation v;

    if (!rpc_statement_read(RPC_W_REVOKE, bytes, &v, err))
        return false;
    if (v.subject.len > sizeof(to->subject) || v.id.len >= sizeof(to->id))
        return err_set(err, ERR_BAD_STATEMENT, "revocation %" PRIu64 ": too long", v.rev_no);
    *to = (struct store_revocation){ .no = v.rev_no,
                                     .kind = (enum store_revoke)v.kind,
                                     .subject_len = v.subject.len,
                                     .reason = (uint8_t)v.reason,
                                     .at = v.at,
                                     .statement = bytes,
                                     .sig = sig };
    memcpy(to->subject, v.subject.data, v.subject.len);
    memcpy(to->id, v.id.data, v.id.len);
    return true;
}

/* Those above the newest that the store has, which is to be one of them: all after it follow from it. */
static bool collect(struct den_core *core, const struct rollback *r, struct replay *to,
                    struct err *err)
{
    struct view rest = buf_view(&r->file), bytes, sig;
    uint8_t hash[HASH_SIZE];
    uint64_t no = 0;

    rpc_revoked_skip_head(&rest);
    while (rpc_revoked_take_record(&rest, &bytes, &sig)) {
        if (++no == core->rev_no) {
            hash_sha256(bytes, hash);
            if (!view_eq(VIEW_ARR(hash), VIEW_ARR(core->rev_head)))
                return err_set(err, ERR_BAD_STATEMENT,
                               "revocation %" PRIu64 " of den.db is another than the router's", no);
        }
        if (no > core->rev_no && !fill(&to->item[to->n++], bytes, sig, err))
            return false;
    }
    return true;
}

static void finish(struct den_core *core, struct rollback *r)
{
    struct replay replay = { .item = mem_array(struct store_revocation, r->n + 1) };
    struct err err = { 0 };

    if (check_all(core, r, &err) && collect(core, r, &replay, &err))
        rollback_replayed(core, &replay);
    else
        fail(core, &err);
    free(replay.item);
}

/* ---- asking for them ----------------------------------------------------------------------- */

static void ask(struct den_core *core, struct rollback *r);

static void on_page(void *user, const struct rpc_outcome *outcome)
{
    struct den_core *core = user;
    struct rollback *r = core->rollback;
    struct err err = outcome->err;
    bool is_all = false;

    if (outcome->what == RPC_PROGRESS)
        return;
    r->call = 0;
    if (outcome->what != RPC_RESULTED || !take_page(r, outcome->payload, &is_all, &err)) {
        err_wrap(&err, "revocations");
        fail(core, &err);
    } else if (!is_all) {
        ask(core, r);
    } else {
        core->rollback = NULL;
        finish(core, r);
        buf_free(&r->file);
        free(r);
    }
}

static void ask(struct den_core *core, struct rollback *r)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 1);
    rpc_put_u64(&args, r->n + 1);
    r->call = core->c.port->call(core->c.port->user, "network.revocations.list", buf_view(&args),
                                 CORE_CALL_TIMEOUT, false, on_page, core);
}

void replay_fetch(struct den_core *core)
{
    if (core->rollback)
        return;
    core->rollback = mem_new(struct rollback);
    rpc_revoked_put_head(&core->rollback->file);
    ask(core, core->rollback);
}
