/* SPDX-License-Identifier: Apache-2.0 */
/* The next identity key of this machine. It is on disk, with its statement, before den hears of it: whichever of the two
 * ends in between, the other has what it takes to go on. */
#include "peer/errand.h"

#include "base/file.h"

#include <stdio.h>

enum { CALL_MS = 30000 };

struct pending {
    uint8_t seed[SEED_SIZE];
    struct buf file; /* what the views borrow from */
    struct view statement, sig, new_sig;
};

static void pending_deinit(struct pending *p)
{
    mem_wipe(p->seed, sizeof(p->seed));
    buf_wipe(&p->file);
}

/* seed, length u32be and statement, both signatures. */
static bool read_pending(const struct core *core, struct pending *p, struct err *err)
{
    struct view rest, seed;
    uint32_t len;

    if (!state_read(core->state, STATE_REKEY, &p->file, err))
        return false;
    rest = buf_view(&p->file);
    if (!view_take(&rest, SEED_SIZE, &seed) || !view_take_u32(&rest, &len) ||
        !view_take(&rest, len, &p->statement) || !view_take(&rest, SIG_SIZE, &p->sig) ||
        !view_take(&rest, SIG_SIZE, &p->new_sig) || rest.len)
        return err_set(err, ERR_BAD_CONFIG, "%s: damaged", state_path(core->state, STATE_REKEY));
    memcpy(p->seed, seed.data, SEED_SIZE);
    return true;
}

static bool make_pending(struct core *core, struct err *err)
{
    uint8_t seed[SEED_SIZE], sig[SIG_SIZE], new_sig[SIG_SIZE];
    _cleanup_(key_freep) struct key *next = NULL;
    _buf_wipe_ file = { 0 };
    _buf_ bytes = { 0 };
    bool ok;

    random_bytes(seed, sizeof(seed));
    next = key_from_seed(seed);
    const struct rpc_rekey k = {
        .netid = rpc_trust_netid(core->trust),
        .id = view_text(core->id),
        .old_pk = key_public_view(core->key),
        .new_pk = key_public_view(next),
        .rekey_no = core->rekey_no + 1,
        .at = core_now(core),
    };
    rpc_statement_sign(RPC_W_REKEY, &k, core->key, &bytes, sig);
    key_sign(next, buf_view(&bytes), new_sig);
    buf_grow(&file, SEED_SIZE + 4 + bytes.len + 2 * SIG_SIZE); /* at once: no copies behind */
    buf_clear(&file);
    buf_put(&file, VIEW_ARR(seed));
    buf_put_u32(&file, (uint32_t)bytes.len);
    buf_put(&file, buf_view(&bytes));
    buf_put(&file, VIEW_ARR(sig));
    buf_put(&file, VIEW_ARR(new_sig));
    ok = state_write(core->state, STATE_REKEY, buf_view(&file), err);
    mem_wipe(seed, sizeof(seed));
    core->has_pending_rekey |= ok;
    return ok;
}

static void stop_uplink(void *user)
{
    join_end(user);
}

void rekey_stop(struct core *core)
{
    loop_invoke(core->loop, stop_uplink, core); /* not from inside its own callback */
}

/* Nothing is begun any more with the key before: it would be refused. What came in is still answered. */
static void tell(struct core *core)
{
    core->has_failed = true;
    core_event(core, PEER_EVENT_REKEYED); /* no remote_id: ours */
}

/* The application is told; the step is tried again later. */
static void fail_step(struct core *core, const struct err *err)
{
    struct hub_event *event = hub_event_new(PEER_EVENT_REKEYED);

    hub_error(err, &event->event.error);
    hub_put(core->hub, event);
    core_step_done(core, STEP_REKEY, err);
}

/* The key first: an admission that does not fit it is fetched anew while `rekey` is there, which therefore goes last. Without an
 * admission it stays: the one that comes with the next connection removes it. */
static bool settle(struct core *core, const struct pending *p, struct view signed_admission,
                   struct err *err)
{
    if (!state_replace_identity(core->state, p->seed, err))
        return false;
    core->has_pending_rekey = false;
    return signed_admission.len == 0 ||
           (state_write(core->state, STATE_ADMISSION, signed_admission, err) &&
            state_remove(core->state, STATE_REKEY, err));
}

static bool take_answer(struct core *core, struct rpc_payload payload, struct err *err)
{
    _cleanup_(pending_deinit) struct pending p = { 0 };
    _cleanup_(key_freep) struct key *next = NULL;
    struct rpc_admission a;
    struct rpc_fields f;
    _buf_ bytes = { 0 };

    rpc_fields_open(&f, rpc_payload_args(payload));
    struct view admission = rpc_fields_bin(&f, "admission", RPC_MAX_STATEMENT);
    struct view sig = rpc_fields_fixed(&f, "signature", SIG_SIZE);
    if (!rpc_fields_end(&f, err) || !read_pending(core, &p, err) ||
        !rpc_trust_open(core->trust, RPC_W_ADMISSION, admission, sig, core_now(core), &a, err))
        return false;
    next = key_from_seed(p.seed);
    if (!view_eq(a.client_pk, key_public_view(next)) || !view_eq_text(a.id, core->id))
        return err_set(err, ERR_BAD_STATEMENT, "admission: of another key or ID");
    state_put_signed(&bytes, admission, sig);
    return settle(core, &p, buf_view(&bytes), err);
}

static void on_replaced(void *user, const struct rpc_outcome *outcome)
{
    struct core *core = user;
    struct err err = outcome->err;
    bool ok;

    if (outcome->what == RPC_PROGRESS)
        return;
    ok = outcome->what == RPC_RESULTED && take_answer(core, outcome->payload, &err);
    if (!ok) {
        fail_step(core, &err);
        return;
    }
    tell(core);
    core_step_done(core, STEP_REKEY, NULL);
}

static void send(struct core *core, struct view statement, struct view sig, struct view new_sig,
                 rpc_on_outcome *on_outcome)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 3);
    rpc_put_bin(&args, statement);
    rpc_put_bin(&args, sig);
    rpc_put_bin(&args, new_sig);
    rpc_client_call(core->client, clock_mono_ms(), "den.identity.rekey", buf_view(&args), CALL_MS,
                    false, on_outcome, core);
}

/* ---- what an administrator ordered --------------------------------------------------------------------- */

static void on_confirmed(void *user, const struct rpc_outcome *outcome)
{
    struct core *core = user;

    if (outcome->what == RPC_PROGRESS)
        return;
    core->may_be_unsigned = outcome->what == RPC_FAILED;
    core_step_done(core, STEP_REKEY, outcome->what == RPC_FAILED ? &outcome->err : NULL);
}

/* Only what names this ID and this key as the new one is signed. */
static bool confirm(struct core *core, struct rpc_payload payload, bool *ret_is_sent,
                    struct err *err)
{
    uint8_t new_sig[SIG_SIZE];
    struct rpc_fields f;
    struct rpc_rekey k;

    *ret_is_sent = false;
    rpc_fields_open(&f, rpc_payload_args(payload));
    if (!rpc_fields_more(&f))
        return rpc_fields_end(&f, err);
    struct view bytes = rpc_fields_bin(&f, "rekey", RPC_MAX_STATEMENT);
    struct view sig = rpc_fields_fixed(&f, "signature", SIG_SIZE);
    if (!rpc_fields_end(&f, err) ||
        !rpc_trust_open(core->trust, RPC_W_REKEY, bytes, sig, core_now(core), &k, err))
        return false;
    if (!view_eq(k.netid, rpc_trust_netid(core->trust)) || !view_eq_text(k.id, core->id) ||
        !view_eq(k.new_pk, key_public_view(core->key)) || k.by.len == 0)
        return err_set(err, ERR_BAD_STATEMENT, "rekey: not about this machine's key");
    key_sign(core->key, bytes, new_sig);
    send(core, bytes, sig, VIEW_ARR(new_sig), on_confirmed);
    *ret_is_sent = true;
    return true;
}

static void on_unsigned(void *user, const struct rpc_outcome *outcome)
{
    struct core *core = user;
    struct err err = outcome->err;
    bool is_sent = false, ok;

    if (outcome->what == RPC_PROGRESS)
        return;
    ok = outcome->what == RPC_RESULTED && confirm(core, outcome->payload, &is_sent, &err);
    if (is_sent)
        return;
    core->may_be_unsigned = !ok;
    core_step_done(core, STEP_REKEY, ok ? NULL : &err);
}

/* ---- starting and going on ----------------------------------------------------------------------------- */

bool rekey_is_needed(const struct core *core)
{
    return core->has_pending_rekey || core->wants_rekey || core->may_be_unsigned;
}

static void replace(struct core *core)
{
    _cleanup_(pending_deinit) struct pending p = { 0 };
    struct err err;

    if ((!core->has_pending_rekey && !make_pending(core, &err)) || !read_pending(core, &p, &err)) {
        fail_step(core, &err);
        return;
    }
    core->wants_rekey = false;
    send(core, p.statement, p.sig, p.new_sig, on_replaced);
}

/* How often the key changed before is den's to say. */
static void on_number(void *user, const struct rpc_outcome *outcome)
{
    struct core *core = user;
    struct rpc_fields f;
    struct err err = outcome->err;

    if (outcome->what == RPC_PROGRESS)
        return;
    if (outcome->what == RPC_RESULTED) {
        rpc_fields_open(&f, rpc_payload_args(outcome->payload));
        core->rekey_no = rpc_fields_u64(&f, "number");
        if (rpc_fields_end(&f, &err)) {
            replace(core);
            core_flush_soon(core);
            return;
        }
    }
    fail_step(core, &err);
}

void rekey_go_on(struct core *core)
{
    _buf_ args = { 0 };
    bool is_new = core->wants_rekey && !core->has_pending_rekey;

    rpc_put_array(&args, 0);
    if (core->has_pending_rekey)
        replace(core);
    else
        rpc_client_call(core->client, clock_mono_ms(),
                        is_new ? "den.identity.keys" : "den.identity.unsigned", buf_view(&args),
                        CALL_MS, false, is_new ? on_number : on_unsigned, core);
}

void rekey_start(struct core *core)
{
    core->wants_rekey = true;
    core_settle(core);
    core_flush_soon(core);
}

struct key *rekey_next(const struct core *core)
{
    _cleanup_(pending_deinit) struct pending p = { 0 };
    struct err unused;

    return core->has_pending_rekey && read_pending(core, &p, &unused) ? key_from_seed(p.seed)
                                                                      : NULL;
}

bool rekey_admitted(struct core *core, struct view admission, struct view sig, struct err *err)
{
    _cleanup_(pending_deinit) struct pending p = { 0 };
    _buf_ bytes = { 0 };

    state_put_signed(&bytes, admission, sig);
    if (!read_pending(core, &p, err) || !settle(core, &p, buf_view(&bytes), err))
        return false;
    tell(core);
    rekey_stop(core);
    return true;
}

void rekey_drop(struct core *core)
{
    struct err ignored; /* then it is dropped the next time */

    core->has_pending_rekey = false;
    state_remove(core->state, STATE_REKEY, &ignored);
}

bool rekey_take_over(struct core *core)
{
    _cleanup_(pending_deinit) struct pending p = { 0 };
    struct err err;

    if (!core->has_pending_rekey || !read_pending(core, &p, &err) ||
        !settle(core, &p, VIEW(NULL, 0), &err))
        return false;
    tell(core);
    rekey_stop(core);
    return true;
}

void rekey_load(struct core *core)
{
    _cleanup_(pending_deinit) struct pending p = { 0 };
    _cleanup_(key_freep) struct key *next = NULL;
    struct err unused; /* of a damaged one: whoever goes on with it says it */

    core->has_rekey_file = file_exists(state_path(core->state, STATE_REKEY));
    if (core->has_rekey_file && read_pending(core, &p, &unused))
        next = key_from_seed(p.seed);
    core->has_pending_rekey = core->has_rekey_file &&
                              !(next && view_eq(key_public_view(next), key_public_view(core->key)));
}

/* ---- the application's side ---------------------------------------------------------------------------- */

static void run(struct errand *errand)
{
    rekey_start(errand->peer->core);
}

bool peer_rekey(struct peer *peer, struct peer_error *ret_error)
{
    struct peer_identity own;
    struct err err = { 0 };

    if (hub_is_ours(&peer->hub, &err) && !peer_identity(peer, &own))
        err_set(&err, ERR_NOT_JOINED, "this machine has no ID yet: wait for JOINED");
    if (err.code != ERR_NONE) {
        errand_put_error(&err, ret_error);
        return false;
    }
    errand_send(errand_new(peer, NULL, NULL), run);
    return true;
}
