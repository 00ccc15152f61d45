/* SPDX-License-Identifier: Apache-2.0 */
/* What links are judged by: the CAs that the newest manifest lists, and the revocation list that the newest heartbeat names. */
#include "peer/session.h"

enum { CALL_MS = 20000 };

uint64_t core_now(const struct core *core)
{
    return rpc_trust_now(core->trust, clock_mono_ms(), clock_wall_ms());
}

static uint64_t manifest_no(const struct core *core)
{
    const struct rpc_manifest *manifest = rpc_trust_manifest(core->trust);

    return manifest ? manifest->manifest_no : 0;
}

static bool is_listed(const struct rpc_items *hashes, struct view der)
{
    uint8_t hash[HASH_SIZE];

    hash_sha256(der, hash);
    for (size_t i = 0; i < hashes->n; i++) {
        if (view_eq(hashes->item[i], VIEW_ARR(hash)))
            return true;
    }
    return false;
}

static bool add_cas(const struct core *core, struct pki_trust *anchors, struct err *err)
{
    const struct rpc_manifest *manifest = rpc_trust_manifest(core->trust);
    struct view der;

    for (size_t i = 0; rpc_trust_root(core->trust, i, &der); i++) {
        if (!pki_trust_add_root(anchors, der, err))
            return err_wrap(err, "root %zu", i + 1);
    }
    for (size_t i = 0; i < manifest->intermediates.n; i++)
        pki_trust_list_intermediate(anchors, manifest->intermediates.item[i].data);
    for (size_t i = 0; i < core->n_intermediates; i++) {
        if (is_listed(&manifest->intermediates, buf_view(&core->intermediates[i])) &&
            !pki_trust_add_intermediate(anchors, buf_view(&core->intermediates[i]), err))
            return err_wrap(err, "intermediate %zu", i + 1);
    }
    return !core->has_crl || pki_trust_set_crl(anchors, buf_view(&core->crl), err);
}

/* On failure the old set stays: a network whose CAs cannot be read gets no new links either. */
static bool rebuild(struct core *core, struct err *err)
{
    _cleanup_(pki_trust_freep) struct pki_trust *anchors = pki_trust_new();

    if (!rpc_trust_is_ready(core->trust))
        return true;
    if (!add_cas(core, anchors, err))
        return err_wrap(err, "trust set");
    pki_trust_free(core->anchors);
    core->anchors = STEAL(anchors);
    core->anchors_manifest_no = manifest_no(core);
    return true;
}

static void keep_intermediate(struct core *core, struct view der)
{
    for (size_t i = 0; i < core->n_intermediates; i++) {
        if (view_eq(buf_view(&core->intermediates[i]), der))
            return;
    }
    if (core->n_intermediates < CORE_MAX_INTERMEDIATES)
        core->intermediates[core->n_intermediates++] = buf_dup(der);
}

static bool take_crl(struct core *core, struct view der, struct err *err)
{
    _cleanup_(pki_crl_freep) struct pki_crl *crl = NULL;

    if (!pki_crl_read(der, &crl, err))
        return false;
    buf_free(&core->crl);
    core->crl = buf_dup(der);
    core->crl_no = pki_crl_number(crl);
    core->has_crl = true;
    return true;
}

bool trust_load(struct core *core, struct err *err)
{
    struct buf intermediates[PKI_MAX_CHAIN] = { 0 };
    _buf_ crl = { 0 }, pem = { 0 };
    size_t n = 0;
    bool has_crl, has_pem;

    if (!state_read_if(core->state, STATE_CRL, &crl, &has_crl, err) ||
        !state_read_if(core->state, STATE_CERT, &pem, &has_pem, err))
        return false;
    if (has_crl && !take_crl(core, buf_view(&crl), err))
        return err_wrap(err, "%s", state_path(core->state, STATE_CRL));
    if (has_pem &&
        !pki_pem_read_all(buf_view(&pem), "CERTIFICATE", intermediates, PKI_MAX_CHAIN, &n, err))
        return err_wrap(err, "%s", state_path(core->state, STATE_CERT));
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            keep_intermediate(core, buf_view(&intermediates[i]));
        buf_free(&intermediates[i]);
    }
    return rebuild(core, err);
}

bool trust_store(struct core *core, struct err *err)
{
    _buf_ bytes = { 0 };

    rpc_trust_save(core->trust, &bytes);
    return state_write(core->state, STATE_TRUST, buf_view(&bytes), err);
}

/* A failure to store or rebuild costs this heartbeat's news after a crash, nothing else: the next one tries again. */
void trust_moved(struct core *core)
{
    struct err err;

    if (core->is_joined)
        trust_store(core, &err);
    if (core->anchors_manifest_no != manifest_no(core))
        rebuild(core, &err);
    core_publish(core);
    for (size_t i = 0; i < CORE_STEPS; i++)
        core->steps[i].not_before = 0; /* den is there: what failed before has its turn again */
    session_gossip(core);
    listen_settle(core);
    core_settle(core);
}

bool trust_take_heart(struct core *core, struct view bytes, struct view sig, struct err *err)
{
    enum rpc_heart heart;

    if (!rpc_trust_add_heartbeat(core->trust, bytes, sig, clock_mono_ms(), clock_wall_ms(), &heart,
                                 err))
        return err_wrap(err, "heartbeat");
    if (heart == RPC_HEART_NEWER)
        trust_moved(core);
    return true;
}

void trust_on_heartbeat(void *user, const struct rpc_event *event)
{
    struct rpc_fields f;
    struct err err;

    rpc_fields_open(&f, rpc_payload_args(event->payload));
    struct view bytes = rpc_fields_bin(&f, "heartbeat", RPC_MAX_STATEMENT);
    struct view sig = rpc_fields_fixed(&f, "signature", SIG_SIZE);
    if (rpc_fields_end(&f, &err)) /* one that is not den's is passed over: it proves nothing */
        trust_take_heart(user, bytes, sig, &err);
}

/* ---- the CAs ---------------------------------------------------------------------------------- */

bool trust_needs_chain(const struct core *core)
{
    return core->chain_manifest_no != manifest_no(core);
}

static bool take_chain(struct core *core, struct rpc_payload payload, struct err *err)
{
    struct rpc_fields f, list;

    rpc_fields_open(&f, rpc_payload_args(payload));
    struct view roots = rpc_fields_array(&f, "roots"), cas = rpc_fields_array(&f, "intermediates");
    struct view manifests = rpc_fields_array(&f, "manifests");
    rpc_fields_skip_rest(&f);
    if (!rpc_fields_end(&f, err))
        return false;
    if (!rpc_trust_take_challenge(core->trust, roots, manifests, clock_wall_ms(), err))
        return false;

    const struct rpc_manifest *manifest =
        rpc_trust_manifest(core->trust); /* the newest, after that */
    rpc_fields_open(&list, cas);
    while (rpc_fields_more(&list)) {
        struct view der = rpc_fields_bin(&list, "intermediate", PKI_MAX_CERT);
        if (der.len && is_listed(&manifest->intermediates, der))
            keep_intermediate(core, der);
    }
    return rpc_fields_end(&list, err) && rebuild(core, err);
}

static void on_chain(void *user, const struct rpc_outcome *outcome)
{
    struct core *core = user;
    struct err err = outcome->err;
    bool ok = outcome->what == RPC_RESULTED && take_chain(core, outcome->payload, &err);

    if (ok)
        core->chain_manifest_no = manifest_no(core);
    core_step_done(core, STEP_CHAIN, ok ? NULL : &err);
}

void trust_fetch_chain(struct core *core)
{
    rpc_client_call(core->client, clock_mono_ms(), "den.ca.chain", VIEW(NULL, 0), CALL_MS, false,
                    on_chain, core);
}

/* ---- the revocation list ------------------------------------------------------------------------ */

bool trust_needs_crl(const struct core *core)
{
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(core->trust);

    return heart && heart->crl_no > (core->has_crl ? core->crl_no : 0);
}

static bool take_fetched_crl(struct core *core, struct rpc_payload payload, struct err *err)
{
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(core->trust);
    uint8_t hash[HASH_SIZE];
    struct rpc_fields f;

    rpc_fields_open(&f, rpc_payload_args(payload));
    struct view der = rpc_fields_bin(&f, "list", PKI_MAX_CRL);
    rpc_fields_skip_rest(&f);
    if (!rpc_fields_end(&f, err))
        return false;
    hash_sha256(der, hash);
    if (!heart || !view_eq(heart->crl_hash, VIEW_ARR(hash)))
        return err_set(err, ERR_STALE, "it is not the one that the newest heartbeat names");
    return take_crl(core, der, err) && rebuild(core, err) &&
           state_write(core->state, STATE_CRL, der, err);
}

static void on_crl(void *user, const struct rpc_outcome *outcome)
{
    struct core *core = user;
    struct err err = outcome->err;
    bool ok = outcome->what == RPC_RESULTED && take_fetched_crl(core, outcome->payload, &err);

    if (!ok)
        err_wrap(&err, "revocation list");
    core_step_done(core, STEP_CRL, ok ? NULL : &err);
    if (ok)
        listen_settle(core);
}

void trust_fetch_crl(struct core *core)
{
    rpc_client_call(core->client, clock_mono_ms(), "den.ca.crl", VIEW(NULL, 0), CALL_MS, false,
                    on_crl, core);
}
