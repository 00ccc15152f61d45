/* SPDX-License-Identifier: Apache-2.0 */
/* PROTOCOL.md, "Statements", has the same tables for people. */
#include "base/clock.h"
#include "rpc/statement_words.h"

#define AT(type, member) offsetof(struct rpc_##type, member)
enum {
    MAX_CAP = 64,
    MAX_HOST = 64,
    MAX_REASON = 100,
    MAX_RELAY = 262,
    MAX_MANIFEST_DAYS = 400,
    MAX_CRL_REASON = 10
};

static const struct rpc_field manifest[] = {
    { "netid", RPC_F_FIXED, 32, AT(manifest, netid) },
    { "network", RPC_F_NETWORK, 0, AT(manifest, network) },
    { "manifest_no", RPC_F_NUMBER, 0, AT(manifest, manifest_no) },
    { "previous", RPC_F_FIXED, 32, AT(manifest, previous) },
    { "roots", RPC_F_HASHES, 0, AT(manifest, roots) },
    { "intermediates", RPC_F_HASHES, 0, AT(manifest, intermediates) },
    { "keys", RPC_F_KEYS, 0, AT(manifest, keys) },
    { "issued_at", RPC_F_TIME, 0, AT(manifest, issued_at) },
    { "not_after", RPC_F_TIME, 0, AT(manifest, not_after) },
};

static const char *check_manifest(const void *statement)
{
    static const uint8_t zeros[HASH_SIZE];
    const struct rpc_manifest *m = statement;

    if (view_eq(m->previous, VIEW_ARR(zeros)) != (m->manifest_no == 1))
        return "previous: zero in the first manifest, and only there";
    if (m->roots.n == 0)
        return "roots: none";
    for (size_t i = 0; i < m->roots.n; i++) {
        for (size_t j = 0; j < i; j++) {
            if (view_eq(m->roots.item[i], m->roots.item[j]))
                return "roots: one twice";
        }
    }
    if (m->not_after <= m->issued_at || m->not_after - m->issued_at > MAX_MANIFEST_DAYS * DAY_MS)
        return "not_after: more than 400 days after issued_at, or before it";
    return NULL;
}

#define PROOF                                                                                      \
    { "netid", RPC_F_FIXED, 32, AT(netsign_proof, netid) },                                        \
        { "network", RPC_F_NETWORK, 0, AT(netsign_proof, network) },                               \
        { "binding", RPC_F_BINDING, 0, AT(netsign_proof, binding) },                               \
        { "binding_data", RPC_F_FIXED, 32, AT(netsign_proof, binding_data) },                      \
        { "nonce_router", RPC_F_FIXED, 32, AT(netsign_proof, nonce_router) },                      \
        { "nonce_client", RPC_F_FIXED, 32, AT(netsign_proof, nonce_client) },                      \
        { "router_pk", RPC_F_FIXED, 32, AT(netsign_proof, router_pk) },                            \
        { "client_pk", RPC_F_FIXED, 32, AT(netsign_proof, client_pk) },                            \
    {                                                                                              \
        "hello_hash", RPC_F_FIXED, 32, AT(netsign_proof, hello_hash)                               \
    }

static const struct rpc_field netsign_router[] = { PROOF };
static const struct rpc_field netsign_client[] = {
    PROOF,
    { "heartbeat_hash", RPC_F_MAYBE, 32, AT(netsign_proof, heartbeat_hash) },
};

static const struct rpc_field enrol[] = {
    { "netid", RPC_F_FIXED, 32, AT(enrol, netid) },
    { "network", RPC_F_NETWORK, 0, AT(enrol, network) },
    { "client_pk", RPC_F_FIXED, 32, AT(enrol, client_pk) },
    { "beacon", RPC_F_FIXED, 16, AT(enrol, beacon) },
    { "nonce", RPC_F_FIXED, 16, AT(enrol, nonce) },
    { "token_pk", RPC_F_MAYBE, 32, AT(enrol, token_pk) },
    { "host", RPC_F_HOST, MAX_HOST, AT(enrol, host) },
};

static const struct rpc_field admission[] = {
    { "netid", RPC_F_FIXED, 32, AT(admission, netid) },
    { "network", RPC_F_NETWORK, 0, AT(admission, network) },
    { "id", RPC_F_ID, 0, AT(admission, id) },
    { "client_pk", RPC_F_FIXED, 32, AT(admission, client_pk) },
    { "role", RPC_F_ROLE, 0, AT(admission, role) },
    { "adm_no", RPC_F_NUMBER, 0, AT(admission, adm_no) },
    { "issued_at", RPC_F_TIME, 0, AT(admission, issued_at) },
    { "not_after", RPC_F_TIME, 0, AT(admission, not_after) },
    { "enrol_hash", RPC_F_MAYBE, 32, AT(admission, enrol_hash) },
};

static const struct rpc_field request[] = {
    { "netid", RPC_F_FIXED, 32, AT(request, netid) },
    { "den_pk", RPC_F_FIXED, 32, AT(request, den_pk) },
    { "id", RPC_F_ID, 0, AT(request, id) },
    { "procedure", RPC_F_PROCEDURE, 0, AT(request, procedure) },
    { "beacon", RPC_F_FIXED, 16, AT(request, beacon) },
    { "nonce", RPC_F_FIXED, 16, AT(request, nonce) },
    { "body_hash", RPC_F_FIXED, 32, AT(request, body_hash) },
};

static const struct rpc_field dial[] = {
    { "netid", RPC_F_FIXED, 32, AT(dial, netid) },
    { "sid", RPC_F_FIXED, 16, AT(dial, sid) },
    { "a_id", RPC_F_ID, 0, AT(dial, a_id) },
    { "a_pk", RPC_F_FIXED, 32, AT(dial, a_pk) },
    { "b_id", RPC_F_ID, 0, AT(dial, b_id) },
    { "caps", RPC_F_TEXTS, MAX_CAP, AT(dial, caps) },
    { "a_spki", RPC_F_FIXED, 32, AT(dial, a_spki) },
    { "a_ice", RPC_F_FIXED, 32, AT(dial, a_ice) },
    { "beacon", RPC_F_FIXED, 16, AT(dial, beacon) },
};

static const struct rpc_field grant[] = {
    { "netid", RPC_F_FIXED, 32, AT(grant, netid) },
    { "sid", RPC_F_FIXED, 16, AT(grant, sid) },
    { "a_id", RPC_F_ID, 0, AT(grant, a_id) },
    { "a_pk", RPC_F_FIXED, 32, AT(grant, a_pk) },
    { "b_id", RPC_F_ID, 0, AT(grant, b_id) },
    { "b_pk", RPC_F_FIXED, 32, AT(grant, b_pk) },
    { "dial_hash", RPC_F_FIXED, 32, AT(grant, dial_hash) },
    { "caps", RPC_F_TEXTS, MAX_CAP, AT(grant, caps) },
    { "caps_back", RPC_F_TEXTS, MAX_CAP, AT(grant, caps_back) },
    { "consent", RPC_F_U8, 1, AT(grant, consent) },
    { "issued_at", RPC_F_TIME, 0, AT(grant, issued_at) },
    { "live_until", RPC_F_TIME, 0, AT(grant, live_until) },
    { "beacon", RPC_F_FIXED, 16, AT(grant, beacon) },
    { "crl_no", RPC_F_TIME, 0, AT(grant, crl_no) },
    { "policy_no", RPC_F_TIME, 0, AT(grant, policy_no) },
    { "relay", RPC_F_TEXTS, MAX_RELAY, AT(grant, relay) },
};

static const struct rpc_field accept[] = {
    { "netid", RPC_F_FIXED, 32, AT(accept, netid) },
    { "sid", RPC_F_FIXED, 16, AT(accept, sid) },
    { "grant_hash", RPC_F_FIXED, 32, AT(accept, grant_hash) },
    { "b_id", RPC_F_ID, 0, AT(accept, b_id) },
    { "b_pk", RPC_F_FIXED, 32, AT(accept, b_pk) },
    { "caps", RPC_F_TEXTS, MAX_CAP, AT(accept, caps) },
    { "b_spki", RPC_F_FIXED, 32, AT(accept, b_spki) },
    { "b_ice", RPC_F_FIXED, 32, AT(accept, b_ice) },
};

static const struct rpc_field heartbeat[] = {
    { "netid", RPC_F_FIXED, 32, AT(heartbeat, netid) },
    { "hb_no", RPC_F_NUMBER, 0, AT(heartbeat, hb_no) },
    { "time", RPC_F_TIME, 0, AT(heartbeat, time) },
    { "next_in", RPC_F_TIME, 0, AT(heartbeat, next_in) },
    { "bound", RPC_F_TIME, 0, AT(heartbeat, bound) },
    { "beacon", RPC_F_FIXED, 16, AT(heartbeat, beacon) },
    { "crl_no", RPC_F_TIME, 0, AT(heartbeat, crl_no) },
    { "crl_hash", RPC_F_FIXED, 32, AT(heartbeat, crl_hash) },
    { "rev_no", RPC_F_TIME, 0, AT(heartbeat, rev_no) },
    { "rev_head", RPC_F_FIXED, 32, AT(heartbeat, rev_head) },
    { "manifest_no", RPC_F_NUMBER, 0, AT(heartbeat, manifest_no) },
    { "policy_no", RPC_F_TIME, 0, AT(heartbeat, policy_no) },
    { "audit_no", RPC_F_TIME, 0, AT(heartbeat, audit_no) },
    { "audit_head", RPC_F_FIXED, 32, AT(heartbeat, audit_head) },
};

static const struct rpc_field time_fields[] = {
    { "netid", RPC_F_FIXED, 32, AT(time, netid) },
    { "nonce", RPC_F_FIXED, 16, AT(time, nonce) },
    { "time", RPC_F_TIME, 0, AT(time, time) },
};

static const struct rpc_field revoke[] = {
    { "netid", RPC_F_FIXED, 32, AT(revocation, netid) },
    { "rev_no", RPC_F_NUMBER, 0, AT(revocation, rev_no) },
    { "previous", RPC_F_FIXED, 32, AT(revocation, previous) },
    { "kind", RPC_F_U8, RPC_REVOKED_ADMISSIONS, AT(revocation, kind) },
    { "id", RPC_F_OWNER, 0, AT(revocation, id) },
    { "subject", RPC_F_BYTES, 32, AT(revocation, subject) },
    { "reason", RPC_F_U8, MAX_CRL_REASON, AT(revocation, reason) },
    { "at", RPC_F_TIME, 0, AT(revocation, at) },
};

static const char *check_revoke(const void *statement)
{
    static const uint8_t zeros[HASH_SIZE];
    static const size_t least[] = { 0, 1, 32, 32, 8 }, most[] = { 0, 20, 32, 32, 8 };
    const struct rpc_revocation *r = statement;

    if (view_eq(r->previous, VIEW_ARR(zeros)) != (r->rev_no == 1))
        return "previous: zero in the first revocation, and only there";
    if (r->kind < RPC_REVOKED_SERIAL)
        return "kind: none";
    if (r->subject.len < least[r->kind] || r->subject.len > most[r->kind])
        return "subject: of a wrong length";
    return NULL;
}

static const struct rpc_field reauth[] = {
    { "netid", RPC_F_FIXED, 32, AT(reauth, netid) },
    { "sid", RPC_F_FIXED, 16, AT(reauth, sid) },
    { "id", RPC_F_ID, 0, AT(reauth, id) },
    { "exporter", RPC_F_FIXED, 32, AT(reauth, exporter) },
    { "new_spki", RPC_F_FIXED, 32, AT(reauth, new_spki) },
    { "counter", RPC_F_NUMBER, 0, AT(reauth, counter) },
};

static const struct rpc_field name_fields[] = {
    { "netid", RPC_F_FIXED, 32, AT(name, netid) },
    { "name", RPC_F_NAME, 0, AT(name, name) },
    { "id", RPC_F_ID, 0, AT(name, id) },
    { "client_pk", RPC_F_FIXED, 32, AT(name, client_pk) },
    { "name_no", RPC_F_NUMBER, 0, AT(name, name_no) },
    { "not_after", RPC_F_TIME, 0, AT(name, not_after) },
};

static const struct rpc_field rekey[] = {
    { "netid", RPC_F_FIXED, 32, AT(rekey, netid) },
    { "id", RPC_F_ID, 0, AT(rekey, id) },
    { "old_pk", RPC_F_FIXED, 32, AT(rekey, old_pk) },
    { "new_pk", RPC_F_FIXED, 32, AT(rekey, new_pk) },
    { "rekey_no", RPC_F_NUMBER, 0, AT(rekey, rekey_no) },
    { "at", RPC_F_TIME, 0, AT(rekey, at) },
    { "by", RPC_F_HOST, MAX_HOST, AT(rekey, by) },
};

static const char *check_rekey(const void *statement)
{
    const struct rpc_rekey *k = statement;

    return view_eq(k->old_pk, k->new_pk) ? "new_pk: the same as old_pk" : NULL;
}

static const struct rpc_field end_fields[] = {
    { "netid", RPC_F_FIXED, 32, AT(end, netid) },
    { "sid", RPC_F_FIXED, 16, AT(end, sid) },
    { "a_id", RPC_F_ID, 0, AT(end, a_id) },
    { "b_id", RPC_F_ID, 0, AT(end, b_id) },
    { "at", RPC_F_TIME, 0, AT(end, at) },
    { "reason", RPC_F_HOST, MAX_REASON, AT(end, reason) },
};

static const struct rpc_field who_fields[] = {
    { "netid", RPC_F_FIXED, 32, AT(who, netid) },
    { "sid", RPC_F_FIXED, 16, AT(who, sid) },
    { "a_id", RPC_F_ID, 0, AT(who, a_id) },
    { "names", RPC_F_HOST, RPC_MAX_WHO, AT(who, names) },
    { "groups", RPC_F_HOST, RPC_MAX_WHO, AT(who, groups) },
};

static const struct rpc_field relay[] = {
    { "netid", RPC_F_FIXED, 32, AT(relay, netid) },
    { "sid", RPC_F_FIXED, 16, AT(relay, sid) },
    { "grant_hash", RPC_F_FIXED, 32, AT(relay, grant_hash) },
    { "side", RPC_F_U8, RPC_SIDE_CALLEE, AT(relay, side) },
    { "pk", RPC_F_FIXED, 32, AT(relay, pk) },
    { "router_pk", RPC_F_FIXED, 32, AT(relay, router_pk) },
    { "binding", RPC_F_BINDING, 0, AT(relay, binding) },
    { "binding_data", RPC_F_FIXED, 32, AT(relay, binding_data) },
    { "nonce", RPC_F_FIXED, 32, AT(relay, nonce) },
};

static const struct rpc_field permit[] = {
    { "netid", RPC_F_FIXED, 32, AT(permit, netid) },
    { "permit_id", RPC_F_FIXED, RPC_PERMIT_ID, AT(permit, permit_id) },
    { "a_id", RPC_F_ID, 0, AT(permit, a_id) },
    { "a_pk", RPC_F_FIXED, 32, AT(permit, a_pk) },
    { "b_id", RPC_F_ID, 0, AT(permit, b_id) },
    { "b_pk", RPC_F_FIXED, 32, AT(permit, b_pk) },
    { "caps", RPC_F_TEXTS, MAX_CAP, AT(permit, caps) },
    { "caps_back", RPC_F_TEXTS, MAX_CAP, AT(permit, caps_back) },
    { "issued_at", RPC_F_TIME, 0, AT(permit, issued_at) },
    { "not_after", RPC_F_TIME, 0, AT(permit, not_after) },
    { "max_hb_age", RPC_F_TIME, 0, AT(permit, max_hb_age) },
};

static const char *check_permit(const void *statement)
{
    const struct rpc_permit *p = statement;

    if (view_eq(p->a_id, p->b_id) || view_eq(p->a_pk, p->b_pk))
        return "b_id, b_pk: the same as a's";
    if (p->not_after <= p->issued_at || p->not_after - p->issued_at > RPC_PERMIT_MS)
        return "not_after: more than 24 hours after issued_at, or before it";
    return NULL;
}

#define SHAPE(word, type, fields, check)                                                           \
    {                                                                                              \
        word, sizeof(struct rpc_##type), fields, N_ELEMENTS(fields), check                         \
    }
static const struct rpc_word_shape words[RPC_N_WORDS] = {
    [RPC_W_MANIFEST] = SHAPE("manifest", manifest, manifest, check_manifest),
    [RPC_W_NETSIGN_ROUTER] = SHAPE("netsign-router", netsign_proof, netsign_router, NULL),
    [RPC_W_NETSIGN_CLIENT] = SHAPE("netsign-client", netsign_proof, netsign_client, NULL),
    [RPC_W_ENROL] = SHAPE("enrol", enrol, enrol, NULL),
    [RPC_W_ADMISSION] = SHAPE("admission", admission, admission, NULL),
    [RPC_W_REQUEST] = SHAPE("request", request, request, NULL),
    [RPC_W_DIAL] = SHAPE("dial", dial, dial, NULL),
    [RPC_W_GRANT] = SHAPE("grant", grant, grant, NULL),
    [RPC_W_ACCEPT] = SHAPE("accept", accept, accept, NULL),
    [RPC_W_HEARTBEAT] = SHAPE("heartbeat", heartbeat, heartbeat, NULL),
    [RPC_W_TIME] = SHAPE("time", time, time_fields, NULL),
    [RPC_W_REVOKE] = SHAPE("revoke", revocation, revoke, check_revoke),
    [RPC_W_REAUTH] = SHAPE("reauth", reauth, reauth, NULL),
    [RPC_W_NAME] = SHAPE("name", name, name_fields, NULL),
    [RPC_W_REKEY] = SHAPE("rekey", rekey, rekey, check_rekey),
    [RPC_W_END] = SHAPE("end", end, end_fields, NULL),
    [RPC_W_RELAY] = SHAPE("relay", relay, relay, NULL),
    [RPC_W_PERMIT] = SHAPE("permit", permit, permit, check_permit),
    [RPC_W_WHO] = SHAPE("who", who, who_fields, NULL),
};

const struct rpc_word_shape *rpc_word_shape(enum rpc_word word)
{
    return &words[word];
}

const char *rpc_word_name(enum rpc_word word)
{
    return words[word].word;
}
