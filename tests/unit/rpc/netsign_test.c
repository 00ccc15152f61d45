/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/netsign.h"
#include "tests/check.h"
#include "tests/unit/rpc/samples.h"

static struct rpc_netsign handshake(const struct key *router, const struct key *client)
{
    struct rpc_netsign n = { .network = "corp.example",
                             .binding = RPC_BINDING_EXPORTER,
                             .has_heartbeat = true };

    memset(n.netid, 1, sizeof(n.netid));
    memset(n.binding_data, 2, sizeof(n.binding_data));
    memset(n.nonce_router, 3, sizeof(n.nonce_router));
    memset(n.nonce_client, 4, sizeof(n.nonce_client));
    memset(n.hello_hash, 5, sizeof(n.hello_hash));
    memset(n.heartbeat_hash, 6, sizeof(n.heartbeat_hash));
    memcpy(n.router_pk, key_public(router), KEY_SIZE);
    memcpy(n.client_pk, key_public(client), KEY_SIZE);
    return n;
}

TEST(both_sides_prove_themselves)
{
    _cleanup_(key_freep) struct key *router = sample_den();
    _cleanup_(key_freep) struct key *client = sample_identity();
    struct rpc_netsign n = handshake(router, client);
    uint8_t s1[SIG_SIZE], s2[SIG_SIZE];
    struct err err;

    rpc_netsign_sign(&n, true, router, s1);
    rpc_netsign_sign(&n, false, client, s2);
    CHECK_OK(rpc_netsign_verify(&n, true, VIEW_ARR(s1), &err), err);
    CHECK_OK(rpc_netsign_verify(&n, false, VIEW_ARR(s2), &err), err);
    CHECK_ERR(rpc_netsign_verify(&n, true, VIEW_ARR(s2), &err), err, ERR_BAD_SIGNATURE);
    CHECK_ERR(rpc_netsign_verify(&n, false, VIEW_ARR(s1), &err), err, ERR_BAD_SIGNATURE);
    CHECK_STR(err.text,
              "netsign: the client's proof does not verify: another key, or somebody in between");
    CHECK_ERR(rpc_netsign_verify(&n, true, (struct view){ 0 }, &err), err, ERR_BAD_SIGNATURE);
}

/* One side's signature sent back as the other's, both having one key. */
TEST(a_proof_has_a_direction)
{
    _cleanup_(key_freep) struct key *key = sample_identity();
    struct rpc_netsign n = handshake(key, key);
    uint8_t s1[SIG_SIZE];
    struct err err;

    n.has_heartbeat = false;
    rpc_netsign_sign(&n, true, key, s1);
    CHECK_ERR(rpc_netsign_verify(&n, false, VIEW_ARR(s1), &err), err, ERR_BAD_SIGNATURE);
}

TEST(whatever_differs_breaks_the_proof)
{
    _cleanup_(key_freep) struct key *router = sample_den();
    _cleanup_(key_freep) struct key *client = sample_identity();
    const struct rpc_netsign good = handshake(router, client);
    static const struct {
        const char *name;
        size_t at;
        bool in_s1;
    } cases[] = {
        { "network", offsetof(struct rpc_netsign, network), true },
        { "netid", offsetof(struct rpc_netsign, netid), true },
        { "exporter", offsetof(struct rpc_netsign, binding_data), true },
        { "nonce_router", offsetof(struct rpc_netsign, nonce_router), true },
        { "nonce_client", offsetof(struct rpc_netsign, nonce_client), true },
        { "client_pk", offsetof(struct rpc_netsign, client_pk), true },
        { "router_pk", offsetof(struct rpc_netsign, router_pk), true },
        { "hello", offsetof(struct rpc_netsign, hello_hash), true },
        { "heartbeat", offsetof(struct rpc_netsign, heartbeat_hash), false },
        { "has_heartbeat", offsetof(struct rpc_netsign, has_heartbeat), false },
    };
    uint8_t s1[SIG_SIZE], s2[SIG_SIZE];

    rpc_netsign_sign(&good, true, router, s1);
    rpc_netsign_sign(&good, false, client, s2);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct rpc_netsign n = good;
        struct err err;
        ((uint8_t *)&n)[cases[i].at] ^= 1;
        if (rpc_netsign_verify(&n, true, VIEW_ARR(s1), &err) == cases[i].in_s1 ||
            rpc_netsign_verify(&n, false, VIEW_ARR(s2), &err))
            check_failed(__FILE__, __LINE__, "%s", cases[i].name);
    }
}

TEST(without_a_heartbeat_the_client_says_so)
{
    _cleanup_(key_freep) struct key *router = sample_den();
    _cleanup_(key_freep) struct key *client = sample_identity();
    struct rpc_netsign n = handshake(router, client);
    uint8_t sig[SIG_SIZE];
    struct err err;

    n.has_heartbeat = false;
    rpc_netsign_sign(&n, false, client, sig);
    CHECK_OK(rpc_netsign_verify(&n, false, VIEW_ARR(sig), &err), err);
    n.has_heartbeat = true;
    CHECK_ERR(rpc_netsign_verify(&n, false, VIEW_ARR(sig), &err), err, ERR_BAD_SIGNATURE);
}

TEST(an_unknown_binding_verifies_nothing)
{
    _cleanup_(key_freep) struct key *router = sample_den();
    _cleanup_(key_freep) struct key *client = sample_identity();
    struct rpc_netsign n = handshake(router, client);
    uint8_t sig[SIG_SIZE] = { 0 };
    struct err err;

    strncpy(n.binding, "tls-unique", sizeof(n.binding) - 1);
    CHECK_ERR(rpc_netsign_verify(&n, true, VIEW_ARR(sig), &err), err, ERR_BAD_SIGNATURE);
    CHECK_STR(err.text, "netsign: unknown binding");
}
