/* SPDX-License-Identifier: Apache-2.0 */
/* The router's certificate is renewed over the network, for the key that it has: its request
 * lies in den's folder. */
#include "den/core_in.h"

#include "base/log.h"

#include <inttypes.h>

enum { ASK_EVERY = 3600 * 1000 /* ms */, ASK_AGAIN = 60 * 1000 };

/* What the router says of itself. It only saves work: nothing is signed but the key of the
 * request on our own disk. */
struct status {
    uint64_t not_after, manifest_no;
    struct view spki;
};

static bool read_status(struct rpc_payload payload, struct status *ret_status, struct err *err)
{
    struct rpc_fields fields;
    struct status s = { 0 };

    rpc_fields_open(&fields, rpc_payload_args(payload));
    struct view map = rpc_fields_map(&fields, "status");
    if (!rpc_fields_end(&fields, err))
        return false;
    if (!rpc_map_bin(map, "spki", &s.spki) || !rpc_map_u64(map, "not_after", &s.not_after) ||
        !rpc_map_u64(map, "manifest", &s.manifest_no))
        return err_set(err, ERR_BAD_WIRE, "status: spki, not_after or manifest is missing");
    *ret_status = s;
    return true;
}

/* Often enough for certificates of an hour too. */
static uint64_t ask_every(const struct den_core *core)
{
    return min_u64(ASK_EVERY, core->c.router_life / 10);
}

static void finish(struct den_core *core, uint64_t ask_again_in)
{
    core->is_renewing = false;
    core->renew_at = core_mono(core) + ask_again_in;
}

static void on_installed(void *user, const struct rpc_outcome *outcome)
{
    struct den_core *core = user;

    if (outcome->what == RPC_PROGRESS)
        return;
    if (outcome->what == RPC_FAILED)
        log_event(LOG_ERROR, "router.certificate.refused", "code=%s cause=%s",
                  err_code_name(outcome->err.code), log_quote_text(outcome->err.text));
    else
        log_event(LOG_INFO, "router.certificate.renewed", "at=router");
    finish(core, outcome->what == RPC_FAILED ? ASK_AGAIN : ask_every(core));
}

static bool install(struct den_core *core, struct view leaf, struct err *err)
{
    _buf_ roots = { 0 };
    _buf_ manifests = { 0 };
    _buf_ args = { 0 };

    if (!rpc_trust_put_challenge(core->c.trust, 0, rpc_trust_netid(core->c.trust), &roots,
                                 &manifests, err))
        return false;
    rpc_put_array(&args, 2);
    rpc_put_array(&args, 2);
    rpc_put_bin(&args, leaf);
    rpc_put_bin(&args, pki_cert_der(signer_cert(core->c.signer)));
    rpc_put_raw(&args, buf_view(&manifests));
    core->c.port->call(core->c.port->user, "network.router.certificate", buf_view(&args),
                       CORE_CALL_TIMEOUT, false, on_installed, core);
    return true;
}

/* A router that lives on older manifests gets ours, beside the certificate that it has. */
static bool bring_manifests(struct den_core *core, const struct status *status, bool *ret_is_asked,
                            struct err *err)
{
    _cleanup_(store_certificate_deinit) struct store_certificate known = { 0 };
    enum store_found found = STORE_NONE;

    if (status->manifest_no >= rpc_trust_manifest(core->c.trust)->manifest_no)
        return true;
    if (!store_certificate_by_spki(core->c.store, status->spki, &found, &known, err))
        return false;
    if (found == STORE_NONE || !known.der.len)
        return err_set(err, ERR_WRONG_KEY,
                       "the router serves a TLS key that was never certified here");
    *ret_is_asked = true;
    return install(core, buf_view(&known.der), err);
}

/* *ret_is_asked: an answer of the router is awaited. */
static bool renew(struct den_core *core, const struct status *status, bool *ret_is_asked,
                  struct err *err)
{
    _cleanup_(pki_csr_freep) struct pki_csr *csr = NULL;
    _buf_ leaf = { 0 };
    uint8_t spki[HASH_SIZE];
    uint64_t now = core_wall(core);

    *ret_is_asked = false;
    if (status->not_after > now && status->not_after - now > core->c.router_life / 3)
        return bring_manifests(core, status, ret_is_asked, err);
    if (!pki_csr_read(core->c.router_csr, &csr, err))
        return err_wrap(err, "router.csr");
    pki_csr_spki_hash(csr, spki);
    if (!view_eq_secret(VIEW_ARR(spki), status->spki))
        return err_set(err, ERR_WRONG_KEY, "the router serves another TLS key than router.csr has");
    const struct signer_order order = {
        .profile = PKI_ROUTER,
        .label = "router",
        .csr = csr,
        .der = core->c.router_csr,
        .now = now,
        .life = core->c.router_life,
    };
    if (!signer_issue(core->c.signer, core->c.store, &order, &leaf, err) ||
        !install(core, buf_view(&leaf), err))
        return false;
    *ret_is_asked = true;
    return true;
}

static void on_status(void *user, const struct rpc_outcome *outcome)
{
    struct den_core *core = user;
    struct status status = { 0 };
    struct err err = outcome->err;
    bool is_asked = false, is_ok;

    if (outcome->what == RPC_PROGRESS)
        return;
    is_ok = outcome->what == RPC_RESULTED && read_status(outcome->payload, &status, &err) &&
            renew(core, &status, &is_asked, &err);
    if (!is_ok)
        log_event(LOG_WARN, "router.certificate.failed", "code=%s cause=%s",
                  err_code_name(err.code), log_quote_text(err.text));
    if (!is_ok || !is_asked)
        finish(core, is_ok ? ask_every(core) : ASK_AGAIN);
}

void renew_tick(struct den_core *core)
{
    if (!core->is_up || core->is_renewing || core->c.router_csr.len == 0 ||
        core_mono(core) < core->renew_at)
        return;
    core->is_renewing = true;
    core->renew_at = NEVER_MS;
    core->c.port->call(core->c.port->user, "network.router.status", VIEW(NULL, 0),
                       CORE_CALL_TIMEOUT, false, on_status, core);
}
