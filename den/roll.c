/* SPDX-License-Identifier: Apache-2.0 */
/* A new manifest, which `warren-den rollover` put into the store: den takes it with the keys that it asks for, the router
 * gets it, then everybody who is connected, and who has it says so. */
#include "den/core_in.h"
#include "den/record.h"
#include "den/rollover.h"

#include "base/log.h"

#include <inttypes.h>

enum { MAX_BODY = 64, TRY_SOON = 1000 /* ms */, TRY_AGAIN = 30000 };

static bool load(struct den_core *core, struct rpc_trust **ret_newer, struct err *err)
{
    _cleanup_(rpc_trust_freep) struct rpc_trust *newer = NULL;
    enum store_found found;
    _buf_ bytes = { 0 }, own = { 0 };

    if (!store_blob_get(core->c.store, rollover_manifests, &found, &bytes, err))
        return false;
    if (found == STORE_NONE)
        return err_set(err, ERR_NOT_FOUND, "the store names a manifest that it does not have");
    if (!rpc_trust_load(buf_view(&bytes), pki_verify_by_cert, &newer, err))
        return err_wrap(err, "the store's manifests");
    /* what will be, heartbeat and all, so that keys are looked for before anything changes */
    rpc_trust_save(core->c.trust, &own);
    if (!rpc_trust_load(buf_view(&own), pki_verify_by_cert, ret_newer, err))
        return false;
    if (rpc_trust_follow(*ret_newer, newer, err))
        return true;
    rpc_trust_free(*ret_newer);
    *ret_newer = NULL;
    return false;
}

static void use(struct den_core *core, const struct den_authority *a)
{
    /* everybody has to ask for a certificate now: nobody pays for that with what they asked before */
    buckets_free(core->rates[RATE_CSR]);
    core->rates[RATE_CSR] = buckets_new(&core->c.rates[RATE_CSR]);
    core->c.intermediates = a->intermediates;
    core->c.n_intermediates = a->n_intermediates;
    core->c.router_csr = a->router_csr;
    ocsp_renew(core);
    core->crl_due_at = core_mono(core); /* of the intermediate that is in use now */
    core->is_resigning = true;
}

static bool keep(struct den_core *core, struct err *err)
{
    _buf_ bytes = { 0 };

    rpc_trust_save(core->c.trust, &bytes);
    return core->c.port->save_trust(core->c.port->user, buf_view(&bytes), err);
}

static bool adopt(struct den_core *core, struct err *err)
{
    _cleanup_(rpc_trust_freep) struct rpc_trust *newer = NULL;
    struct den_authority authority = { 0 };
    bool is_kept;

    if (!load(core, &newer, err) ||
        rpc_trust_manifest_no(newer) == rpc_trust_manifest_no(core->c.trust) ||
        !core->c.port->take_keys(core->c.port->user, newer, &authority, err) ||
        !rpc_trust_follow(core->c.trust, newer, err))
        return false;
    use(core, &authority);
    is_kept = keep(core, err); /* if not, it is in use all the same */
    log_event(LOG_INFO, "manifest.taken", "number=%" PRIu64, rpc_trust_manifest_no(core->c.trust));
    if (core->is_up) {
        roll_tell(core);
        renew_now(core);
    }
    return is_kept;
}

/* What is missing may come: a signer that is started again, a file that is put back. */
static bool refuse(struct den_core *core, uint64_t no, enum err_code code)
{
    bool is_soon = code == ERR_BUSY || code == ERR_SYSTEM;

    core->refused_manifest = no;
    core->refused_until = core_mono(core) + (is_soon ? TRY_SOON : TRY_AGAIN);
    return false;
}

bool roll_look(struct den_core *core, struct err *err)
{
    uint64_t no;

    if (!core->c.port->take_keys)
        return true;
    if (!store_number_get(core->c.store, rollover_number, &no, err))
        return false;
    if (no <= rpc_trust_manifest_no(core->c.trust) ||
        (no == core->refused_manifest && core_mono(core) < core->refused_until))
        return true;
    if (!core_may_ask(core))
        return true;
    return adopt(core, err) || refuse(core, no, err->code);
}

/* The roots vouch for it, so that nobody has to trust den's word: who lacks a key of den's to verify a heartbeat with gets it
 * here. */
void roll_tell(struct den_core *core)
{
    static const struct rpc_publish_options options = { 0 };
    _buf_ roots = { 0 }, manifests = { 0 }, args = { 0 };

    rpc_trust_put_all(core->c.trust, &roots, &manifests);
    rpc_put_array(&args, 2);
    rpc_put_raw(&args, buf_view(&roots));
    rpc_put_raw(&args, buf_view(&manifests));
    core->c.port->publish(core->c.port->user, "den.ca.on_manifest", &options, buf_view(&args));
}

/* ---- who has it ------------------------------------------------------------------------------ */

static bool note(struct den_core *core, const struct store_identity *who, uint64_t no,
                 struct err *err)
{
    _transaction_ struct store *open = core->c.store;

    return store_begin(open, err) &&
           store_identity_acknowledge(open, who->id, no, core_wall(core), err) &&
           store_commit(open, err);
}

bool roll_acknowledge(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                      struct err *err)
{
    struct request request;
    _buf_ answer = { 0 };
    uint64_t no;

    if (!request_open(core, inv, args, "den.ca.acknowledge", MAX_BODY, N_RATES, &request, err))
        return false;
    if (!rpc_map_u64(request.body, "manifest", &no) || no == 0)
        return err_set(err, ERR_BAD_WIRE, "body: manifest: missing, or not a number from 1 on");
    if (no > rpc_trust_manifest_no(core->c.trust))
        return err_set(err, ERR_BAD_STATEMENT, "body: manifest: the newest is %" PRIu64,
                       rpc_trust_manifest_no(core->c.trust));
    if (!note(core, &request.who, no, err))
        return err_wrap(err, "acknowledgement");
    rpc_put_array(&answer, 0);
    core_yield(core, inv->number, buf_view(&answer));
    return true;
}
