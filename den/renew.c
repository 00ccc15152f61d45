/* SPDX-License-Identifier: Apache-2.0 */
/* The router's certificate is renewed over the network, for the key that it has: its request
 * lies in den's folder. */
#include "den/core_in.h"
#include "den/record.h"
#include "den/rollover.h"

#include "base/log.h"

#include <inttypes.h>

enum { ASK_EVERY = 3600 * 1000 /* ms */, ASK_AGAIN = 60 * 1000 };

/* What the router says of itself. It only saves work: nothing is signed but the key of the
 * request on our own disk. */
struct status {
    uint64_t not_after, manifest_no;
    struct view pk, spki;
};

static bool read_status(struct rpc_payload payload, struct status *ret_status, struct err *err)
{
    struct rpc_fields fields;
    struct status s = { 0 };

    rpc_fields_open(&fields, rpc_payload_args(payload));
    struct view map = rpc_fields_map(&fields, "status");
    if (!rpc_fields_end(&fields, err))
        return false;
    if (!rpc_map_bin(map, "pk", &s.pk) || s.pk.len != KEY_SIZE ||
        !rpc_map_bin(map, "spki", &s.spki) || !rpc_map_u64(map, "not_after", &s.not_after) ||
        !rpc_map_u64(map, "manifest", &s.manifest_no))
        return err_set(err, ERR_BAD_WIRE, "status: pk, spki, not_after or manifest is missing");
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

static bool record(struct den_core *core, uint64_t manifest_no, struct view refused,
                   struct err *err)
{
    struct view pk = VIEW_ARR(core->router_pk);
    _free_ char *number = rollover_router_number(pk);
    _transaction_ struct store *open = core->c.store;

    return store_begin(open, err) && store_blob_set(open, rollover_router_pk, pk, err) &&
           store_blob_set(open, rollover_refused, refused, err) &&
           store_number_raise(open, rollover_router, manifest_no, err) &&
           store_number_raise(open, number, manifest_no, err) && store_commit(open, err);
}

/* Durable, so that `warren-den rollover` knows it; a failure costs an operator's wait for the next look. `refused`: why it does not
 * have the newest. */
static void note_router(struct den_core *core, uint64_t manifest_no, const char *refused)
{
    struct err err = { 0 };

    if (manifest_no == core->router_noted && !*refused)
        return;
    if (record(core, manifest_no, view_text(refused), &err))
        core->router_noted = *refused ? 0 : manifest_no;
    else
        log_event(LOG_ERROR, "router.manifest.not_noted", "cause=%s", log_quote_text(err.text));
    if (core->c.port->router_has && !*refused)
        core->c.port->router_has(core->c.port->user, manifest_no);
}

static void on_installed(void *user, const struct rpc_outcome *outcome)
{
    struct den_core *core = user;

    if (outcome->what == RPC_PROGRESS)
        return;
    if (outcome->what == RPC_FAILED) {
        if (core->manifest_sent > core->router_says)
            note_router(core, core->router_says, outcome->err.text);
        log_event(LOG_ERROR, "router.certificate.refused", "code=%s cause=%s",
                  err_code_name(outcome->err.code), log_quote_text(outcome->err.text));
        finish(core, ASK_AGAIN);
        return;
    }
    note_router(core, core->manifest_sent, "");
    log_event(LOG_INFO, "router.certificate.renewed", "at=router manifest=%" PRIu64,
              core->manifest_sent);
    roll_tell(core); /* who came to the router before den did knows only what it knew */
    finish(core, ask_every(core));
    if (core->manifest_sent < rpc_trust_manifest_no(core->c.trust))
        renew_now(core);
    heart_extra(core); /* the router knows every key now that it may be signed with */
}

/* The intermediate above a leaf of ours: the one in use, or one before it. */
static struct view above(const struct den_core *core, const struct pki_cert *leaf)
{
    for (size_t i = 0; i < core->c.n_intermediates; i++) {
        _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
        struct err unused;
        if (pki_cert_read(buf_view(&core->c.intermediates[i]), &cert, &unused) &&
            pki_cert_is_by(leaf, cert))
            return buf_view(&core->c.intermediates[i]);
    }
    return pki_cert_der(signer_cert(core->c.signer));
}

static bool install(struct den_core *core, struct view leaf, struct err *err)
{
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    _buf_ roots = { 0 };
    _buf_ manifests = { 0 };
    _buf_ args = { 0 };

    if (!pki_cert_read(leaf, &cert, err))
        return false;
    rpc_trust_put_all(core->c.trust, &roots, &manifests);
    rpc_put_array(&args, 3);
    rpc_put_array(&args, 2);
    rpc_put_bin(&args, leaf);
    rpc_put_bin(&args, above(core, cert));
    rpc_put_raw(&args, buf_view(&manifests));
    rpc_put_raw(&args, buf_view(&roots));
    core->manifest_sent = rpc_trust_manifest_no(core->c.trust);
    core->c.port->call(core->c.port->user, "network.router.certificate", buf_view(&args),
                       CORE_CALL_TIMEOUT, false, on_installed, core);
    return true;
}

/* What the router serves, as it was issued here; empty: it was not. */
static bool find_served(struct den_core *core, const struct status *status,
                        struct store_certificate *ret_known, struct err *err)
{
    enum store_found found = STORE_NONE;

    return store_certificate_by_spki(core->c.store, status->spki, &found, ret_known, err);
}

static bool is_of_signer(const struct den_core *core, struct view leaf)
{
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    struct err unused;

    return pki_cert_read(leaf, &cert, &unused) && pki_cert_is_by(cert, signer_cert(core->c.signer));
}

static bool issue(struct den_core *core, const struct status *status, struct buf *ret_leaf,
                  struct err *err)
{
    _cleanup_(pki_csr_freep) struct pki_csr *csr = NULL;
    uint8_t spki[HASH_SIZE];

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
        .now = core_wall(core),
        .life = core->c.router_life,
    };
    return signer_issue(core->c.signer, core->c.store, &order, ret_leaf, err);
}

/* *ret_is_asked: an answer of the router is awaited. A router that lives on older manifests gets ours, beside the
 * certificate that it has; one whose certificate ends, was revoked, or is of an intermediate that is used no more, gets a new one. */
static bool renew(struct den_core *core, const struct status *status, bool *ret_is_asked,
                  struct err *err)
{
    _cleanup_(store_certificate_deinit) struct store_certificate served = { 0 };
    bool is_behind = status->manifest_no < rpc_trust_manifest_no(core->c.trust);
    uint64_t now = core_wall(core);
    _buf_ leaf = { 0 };

    *ret_is_asked = false;
    if (!view_eq(VIEW_ARR(core->router_pk), status->pk))
        core->router_noted = 0;
    memcpy(core->router_pk, status->pk.data, KEY_SIZE);
    core->router_says = status->manifest_no;
    if (!is_behind)
        note_router(core, status->manifest_no, "");
    if (!find_served(core, status, &served, err))
        return false;
    bool is_long = status->not_after > now && status->not_after - now > core->c.router_life / 3;
    bool is_good = is_long && !served.is_revoked &&
                   (!served.der.len || is_of_signer(core, buf_view(&served.der)));
    if (is_good && !is_behind)
        return true;
    if (served.der.len && (is_good || !core->c.router_csr.len))
        leaf = buf_dup(buf_view(&served.der));
    else if (!core->c.router_csr.len)
        return err_set(err, ERR_WRONG_KEY,
                       "the router serves a TLS key that was never certified here");
    else if (!issue(core, status, &leaf, err))
        return false;
    *ret_is_asked = install(core, buf_view(&leaf), err);
    return *ret_is_asked;
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

void renew_now(struct den_core *core)
{
    if (!core->is_renewing) /* else what is on its way sees to it */
        core->renew_at = core_mono(core);
    renew_tick(core);
}

void renew_tick(struct den_core *core)
{
    if (!core->is_up || core->is_renewing || core_mono(core) < core->renew_at)
        return;
    core->is_renewing = true;
    core->renew_at = NEVER_MS;
    core->c.port->call(core->c.port->user, "network.router.status", VIEW(NULL, 0),
                       CORE_CALL_TIMEOUT, false, on_status, core);
}
