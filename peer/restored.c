/* SPDX-License-Identifier: Apache-2.0 */
/* den may come back from a backup: its heartbeats then begin a new epoch. It may not know this machine
 * any more, nor the certificate that it issued since. So the machine shows it the admission that it has,
 * and asks for a new certificate; a file stands for as long as that is not done. */
#include "peer/core.h"

#include "peer/session.h"

enum { CALL_MS = 20000, EPOCH_BITS = 40 };

static uint64_t epoch_of(const struct core *core)
{
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(core->trust);

    return heart ? heart->hb_no >> EPOCH_BITS : 0;
}

bool restored_load(struct core *core, struct err *err)
{
    _buf_ text = { 0 };

    core->epoch = epoch_of(core);
    core->has_epoch = rpc_trust_heartbeat(core->trust) != NULL;
    return state_read_if(core->state, STATE_RESTORED, &text, &core->is_restoring, err);
}

/* On disk before the heartbeat is. */
void restored_look(struct core *core)
{
    uint64_t epoch = epoch_of(core);
    bool is_new = core->has_epoch && epoch > core->epoch && core->is_joined;
    struct err ignored;

    core->has_epoch |= rpc_trust_heartbeat(core->trust) != NULL;
    core->epoch = epoch;
    if (!is_new)
        return;
    core->is_restoring = true;
    core->is_known_again = false;
    state_write(core->state, STATE_RESTORED, VIEW_LIT("den came back from a backup\n"), &ignored);
}

bool restored_is_needed(const struct core *core)
{
    return core->is_restoring && !core->is_known_again && core->admission.len != 0;
}

bool restored_needs_cert(const struct core *core)
{
    return core->is_restoring && core->is_known_again;
}

void restored_has_cert(struct core *core)
{
    struct err ignored;

    if (restored_needs_cert(core)) {
        core->is_restoring = false;
        state_remove(core->state, STATE_RESTORED, &ignored);
    }
}

static bool take_answer(struct core *core, struct rpc_payload payload, struct err *err)
{
    const struct enrol_wanted wanted = { .id = core->id, .enrol_hash = core->restored_hash };
    struct rpc_admission a;
    struct rpc_fields f;
    _buf_ bytes = { 0 };

    rpc_fields_open(&f, rpc_payload_args(payload));
    struct view admission = rpc_fields_bin(&f, "admission", RPC_MAX_STATEMENT);
    struct view sig = rpc_fields_fixed(&f, "signature", SIG_SIZE);
    rpc_fields_skip_rest(&f);
    if (!rpc_fields_end(&f, err) ||
        !rpc_trust_open(core->trust, RPC_W_ADMISSION, admission, sig, core_now(core), &a, err) ||
        !enrol_check(&wanted, admission, &a, err))
        return false;
    if (!view_eq(a.client_pk, key_public_view(core->key)))
        return err_set(err, ERR_WRONG_KEY, "admission: of another key than ours");
    state_put_signed(&bytes, admission, sig);
    if (!state_write(core->state, STATE_ADMISSION, buf_view(&bytes), err))
        return false;
    buf_clear(&core->admission);
    buf_put(&core->admission, admission);
    buf_clear(&core->admission_sig);
    buf_put(&core->admission_sig, sig);
    return true;
}

static void on_answer(void *user, const struct rpc_outcome *outcome)
{
    struct core *core = user;
    struct err err = outcome->err;
    bool ok;

    if (core->has_failed) /* the key may be the one before */
        return;
    ok = outcome->what == RPC_RESULTED && take_answer(core, outcome->payload, &err);
    core->is_known_again |= ok;
    if (!ok)
        err_wrap(&err, "after den came back from a backup");
    core_step_done(core, STEP_RESTORED, ok ? NULL : &err);
}

void restored_ask(struct core *core)
{
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(core->trust);
    char host[65];
    _buf_ args = { 0 };

    enrol_host_text(host);
    const struct enrol_context context = {
        .netid = rpc_trust_netid(core->trust),
        .beacon = heart->beacon,
        .network = core->join.network,
        .host = host,
        .identity = core->key,
        .before = buf_view(&core->admission),
        .before_sig = buf_view(&core->admission_sig),
    };
    enrol_put_args(&context, &args, core->restored_hash);
    rpc_client_call(core->client, clock_mono_ms(), "den.identity.admit", buf_view(&args), CALL_MS,
                    false, on_answer, core);
}
