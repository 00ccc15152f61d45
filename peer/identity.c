/* SPDX-License-Identifier: Apache-2.0 */
/* This machine's certificate: asked for with the identity key, renewed at two thirds of its life. */
#include "peer/core.h"

#include "base/text.h"

#include <stdio.h>

enum { CALL_MS = 30000 };

struct cert *cert_ref(struct cert *cert)
{
    cert->refs++;
    return cert;
}

void cert_unref(struct cert *cert)
{
    if (!cert || --cert->refs > 0)
        return;
    for (size_t i = 0; i < PKI_MAX_CHAIN; i++)
        buf_free(&cert->chain[i]);
    buf_wipe(&cert->key_der);
    pki_key_free(cert->key);
    pki_cert_free(cert->leaf);
    free(cert);
}

static void cert_unrefp(struct cert **cert)
{
    cert_unref(*cert);
}

/* Many that joined together do not come together again: a tenth of a life is hours for a certificate of a day. */
static uint64_t draw_renewal(const struct pki_facts *facts)
{
    uint64_t life = facts->not_after - facts->not_before, spread = life / 10;
    uint32_t below = (uint32_t)min_u64(spread / SECOND_MS + 1, UINT32_MAX);

    return facts->not_before + life / 3 * 2 + min_u64(random_below(below) * SECOND_MS, spread);
}

struct cert *cert_new(struct pki_key *key_taken, const struct view *chain, size_t n_chain,
                      struct err *err)
{
    _cleanup_(cert_unrefp) struct cert *cert = mem_new(struct cert);
    uint8_t spki[HASH_SIZE];

    cert->refs = 1;
    cert->key = key_taken;
    if (n_chain == 0 || n_chain > PKI_MAX_CHAIN) {
        err_set(err, ERR_BAD_CERTIFICATE, "a chain of %zu certificates", n_chain);
        return NULL;
    }
    if (!pki_cert_read(chain[0], &cert->leaf, err) ||
        !pki_key_der(cert->key, &cert->key_der, err) ||
        !pki_key_spki_hash(cert->key, cert->spki, err))
        return NULL;
    pki_cert_spki_hash(cert->leaf, spki);
    if (!view_eq(VIEW_ARR(spki), VIEW_ARR(cert->spki))) {
        err_set(err, ERR_WRONG_KEY, "the certificate is for another key");
        return NULL;
    }
    for (size_t i = 0; i < n_chain; i++)
        cert->chain[i] = buf_dup(chain[i]);
    cert->n_chain = n_chain;
    cert->renew_at = draw_renewal(pki_cert_facts(cert->leaf));
    return STEAL(cert);
}

void identity_use(struct core *core, struct cert *cert_taken)
{
    cert_unref(core->cert);
    core->cert = cert_taken;
    core_publish(core);
    reauth_offer_all(core);
}

static void copy_text(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from ? from : "");
}

void identity_describe(struct view pk, const char *id, const char *network,
                       const struct pki_cert *leaf, struct peer_identity *ret_identity)
{
    struct peer_identity identity = { 0 };
    _buf_ key = { 0 }, print = { 0 };
    uint8_t hash[HASH_SIZE];

    hash_sha256(pk, hash);
    text_put_hex(&key, pk);
    text_put_hex(&print, VIEW_ARR(hash));
    copy_text(identity.id, sizeof(identity.id), id);
    copy_text(identity.network, sizeof(identity.network), network);
    copy_text(identity.public_key, sizeof(identity.public_key), buf_cstr(&key));
    copy_text(identity.fingerprint, sizeof(identity.fingerprint), buf_cstr(&print));
    if (leaf) {
        const struct pki_facts *facts = pki_cert_facts(leaf);
        copy_text(identity.subject, sizeof(identity.subject), facts->subject);
        copy_text(identity.issuer, sizeof(identity.issuer), facts->issuer);
        copy_text(identity.names, sizeof(identity.names), facts->names);
        copy_text(identity.serial, sizeof(identity.serial), facts->serial);
        identity.not_before = facts->not_before;
        identity.not_after = facts->not_after;
    }
    *ret_identity = identity;
}

/* Our own certificate before the same judge that others will ask. */
static bool judge_own(const struct core *core, const struct cert *cert, struct err *err)
{
    _free_ char *name = mem_format("%s.%s", core->id, core->join.network);
    struct view chain[PKI_MAX_CHAIN];
    const struct pki_question question = {
        .name = name,
        .network = core->join.network,
        .role = PKI_SERVER,
        .now = core_now(core),
        .spki = cert->spki,
    };

    for (size_t i = 0; i < cert->n_chain; i++)
        chain[i] = buf_view(&cert->chain[i]);
    if (!core->anchors)
        return err_set(err, ERR_NOT_JOINED, "no CA is known");
    return pki_judge(core->anchors, chain, cert->n_chain, &question, NULL, err);
}

static bool read_stored(struct core *core, struct cert **ret_cert, struct err *err)
{
    struct buf der[PKI_MAX_CHAIN] = { 0 };
    struct view chain[PKI_MAX_CHAIN];
    _buf_wipe_ key_pem = { 0 };
    _buf_ pem = { 0 };
    struct pki_key *key = NULL;
    size_t n = 0;

    if (!state_read(core->state, STATE_TLS_KEY, &key_pem, err) ||
        !state_read(core->state, STATE_CERT, &pem, err) ||
        !pki_pem_read_all(buf_view(&pem), "CERTIFICATE", der, PKI_MAX_CHAIN, &n, err))
        return false;
    for (size_t i = 0; i < n; i++)
        chain[i] = buf_view(&der[i]);
    if (pki_key_read(buf_view(&key_pem), VIEW(NULL, 0), &key, err))
        *ret_cert = cert_new(key, chain, n, err);
    for (size_t i = 0; i < n; i++)
        buf_free(&der[i]);
    return *ret_cert != NULL;
}

/* A certificate that is gone, foreign, cut off or over is no failure: a new one is asked for. Exposed files are. */
bool identity_load(struct core *core, struct err *err)
{
    struct cert *cert = NULL;

    if (!read_stored(core, &cert, err))
        return err->code != ERR_EXPOSED && err->code != ERR_SYSTEM;
    if (judge_own(core, cert, err))
        core->cert = STEAL(cert);
    cert_unref(cert);
    return true;
}

bool identity_needs_cert(const struct core *core)
{
    if (!core->cert || restored_needs_cert(core))
        return true;

    struct err ignored;
    if (!revoked_check_leaf(core, core->cert->leaf, &ignored) || follow_must_replace(core))
        return true;

    return core_now(core) >= core->cert->renew_at;
}

static bool store(struct core *core, const struct cert *cert, struct err *err)
{
    _buf_wipe_ key_pem = { 0 };
    _buf_ pem = { 0 };

    for (size_t i = 0; i < cert->n_chain; i++)
        pki_pem_put(&pem, "CERTIFICATE", buf_view(&cert->chain[i]));
    return pki_key_write(cert->key, VIEW(NULL, 0), &key_pem, err) &&
           state_write(core->state, STATE_TLS_KEY, buf_view(&key_pem), err) &&
           state_write(core->state, STATE_CERT, buf_view(&pem), err);
}

static bool take_answer(struct core *core, struct rpc_payload payload, struct err *err)
{
    _cleanup_(cert_unrefp) struct cert *cert = NULL;
    struct view chain[PKI_MAX_CHAIN];
    struct rpc_fields f, list;
    size_t n = 0;

    rpc_fields_open(&f, rpc_payload_args(payload));
    chain[n++] = rpc_fields_bin(&f, "certificate", PKI_MAX_CERT);
    struct view rest = rpc_fields_array(&f, "chain");
    rpc_fields_skip_rest(&f);
    if (!rpc_fields_end(&f, err))
        return false;
    rpc_fields_open(&list, rest);
    while (n < PKI_MAX_CHAIN && rpc_fields_more(&list))
        chain[n++] = rpc_fields_bin(&list, "certificate", PKI_MAX_CERT);
    if (!rpc_fields_end(&list, err))
        return false;
    cert = cert_new(STEAL(core->next_key), chain, n, err);
    if (!cert || !judge_own(core, cert, err) || !store(core, cert, err))
        return false;
    identity_use(core, STEAL(cert));
    restored_has_cert(core);
    follow_got_cert(core);
    return true;
}

static void on_signed(void *user, const struct rpc_outcome *outcome)
{
    struct core *core = user;
    struct err err = outcome->err;
    bool ok = outcome->what == RPC_RESULTED && take_answer(core, outcome->payload, &err);

    if (!ok &&
        err.code == ERR_WRONG_KEY) /* its certificate ended while we were away: another one */
        pki_key_free(STEAL(core->next_key));
    if (!ok)
        err_wrap(&err, "certificate");
    core_step_done(core, STEP_CERT, ok ? NULL : &err);
}

bool identity_put_request(const struct core *core, const char *procedure, struct view body,
                          struct buf *args, struct err *err)
{
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(core->trust);
    struct rpc_request context = { .netid = rpc_trust_netid(core->trust),
                                   .id = view_text(core->id) };

    if (!heart || !rpc_trust_den_sign(core->trust, core_now(core), &context.den_pk))
        return err_set(err, ERR_DEN_AWAY, "no heartbeat, or no key of den, is in force");
    context.beacon = heart->beacon;
    rpc_request_put(args, core->key, &context, procedure, body);
    return true;
}

static bool put_request(struct core *core, struct buf *args, struct err *err)
{
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(core->trust);
    struct rpc_request context = { .netid = rpc_trust_netid(core->trust),
                                   .id = view_text(core->id) };
    _buf_ csr = { 0 }, body = { 0 };

    /* A request that was not answered is repeated with its key: den answers with the certificate already issued. */
    if (!core->next_key && !pki_key_new(PKI_P256, &core->next_key, err))
        return false;
    if (!heart || !rpc_trust_den_sign(core->trust, core_now(core), &context.den_pk))
        return err_set(err, ERR_DEN_AWAY, "no heartbeat, or no key of den, is in force");
    context.beacon = heart->beacon;
    if (!pki_csr_new(core->next_key, &csr, err))
        return false;
    rpc_put_map(&body, 1);
    rpc_put_str(&body, "csr");
    rpc_put_bin(&body, buf_view(&csr));
    rpc_request_put(args, core->key, &context, "den.ca.sign", buf_view(&body));
    return true;
}

void identity_request(struct core *core)
{
    _buf_ args = { 0 };
    struct err err;

    if (put_request(core, &args, &err))
        rpc_client_call(core->client, clock_mono_ms(), "den.ca.sign", buf_view(&args), CALL_MS,
                        false, on_signed, core);
    else
        core_step_done(core, STEP_CERT, &err);
}
