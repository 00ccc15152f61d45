/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "tests/unit/den/world.h"

#define POLICY "rules: [{from: any, to: any, can: any, consent: deny}]\n"

static void answer_status(struct world *w, struct view spki, uint64_t not_after, uint64_t manifest)
{
    struct world_call *call = world_pending(w, "network.router.status");
    struct buf args = { 0 };

    if (!CHECK(call))
        return;
    rpc_put_array(&args, 1);
    rpc_put_map(&args, 4);
    rpc_put_str(&args, "pk");
    rpc_put_bin(&args, key_public_view(w->router));
    rpc_put_str(&args, "spki");
    rpc_put_bin(&args, spki);
    rpc_put_str(&args, "not_after");
    rpc_put_u64(&args, not_after);
    rpc_put_str(&args, "manifest");
    rpc_put_u64(&args, manifest);
    world_result(call, &args);
}

/* A world whose den has the router's request. */
static struct world *renewing_world(uint8_t ret_spki[HASH_SIZE])
{
    struct world *w = world_new(POLICY);
    _cleanup_(pki_csr_freep) struct pki_csr *csr = NULL;
    struct err err;

    if (!w)
        return NULL;
    w->config.router_csr = buf_view(&w->router_csr);
    if (!world_restart(w, &err) || !pki_csr_read(buf_view(&w->router_csr), &csr, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    else
        pki_csr_spki_hash(csr, ret_spki);
    return w;
}

TEST(a_certificate_in_the_last_third_of_its_life_is_renewed_for_its_own_key)
{
    uint8_t spki[HASH_SIZE], got[HASH_SIZE];
    _cleanup_(world_freep) struct world *w = renewing_world(spki);
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    struct rpc_fields f, chain;
    struct err err;

    answer_status(w, VIEW_ARR(spki), w->wall + 9 * DAY_MS, 1);
    struct world_call *call = world_pending(w, "network.router.certificate");
    if (!CHECK(call))
        return;
    rpc_fields_open(&f, buf_view(&call->args));
    rpc_fields_open(&chain, rpc_fields_array(&f, "chain"));
    CHECK_OK(pki_cert_read(rpc_fields_bin(&chain, "leaf", PKI_MAX_CERT), &cert, &err), err);
    CHECK_VIEW(rpc_fields_bin(&chain, "intermediate", PKI_MAX_CERT),
               pki_cert_der(signer_cert(w->signer)));
    rpc_fields_array(&f, "manifests");
    rpc_fields_array(&f, "roots");
    CHECK_OK(rpc_fields_end(&f, &err), err);
    pki_cert_spki_hash(cert, got);
    CHECK_VIEW(VIEW_ARR(got), VIEW_ARR(spki));
    CHECK_STR(pki_cert_facts(cert)->names, "DNS:router." WORLD_NETWORK);
    CHECK(pki_cert_facts(cert)->not_after > w->wall + 29 * DAY_MS);
    CHECK_U64(world_audited(w, "certificate.issued", "id=router"), 1);
    struct buf none = { 0 };
    world_result(call, &none);
    CHECK(!world_pending(w, "network.router.status"));
    world_pass(w, HOUR_MS);
    CHECK(world_pending(w, "network.router.status") != NULL); /* asked again, now and then */
}

TEST(a_young_certificate_is_left_alone)
{
    uint8_t spki[HASH_SIZE];
    _cleanup_(world_freep) struct world *w = renewing_world(spki);

    answer_status(w, VIEW_ARR(spki), w->wall + 11 * DAY_MS, 1);
    CHECK(!world_pending(w, "network.router.certificate"));
}

TEST(a_router_with_another_key_gets_nothing)
{
    uint8_t spki[HASH_SIZE];
    _cleanup_(world_freep) struct world *w = renewing_world(spki);

    spki[0] ^= 1;
    answer_status(w, VIEW_ARR(spki), w->wall, 1);
    CHECK(!world_pending(w, "network.router.certificate"));
    CHECK_U64(world_audited(w, "certificate.issued", NULL), 0);
    world_pass(w, MINUTE_MS);
    CHECK(world_pending(w, "network.router.status") != NULL);
}

TEST(a_router_that_does_not_answer_is_asked_again)
{
    uint8_t spki[HASH_SIZE];
    _cleanup_(world_freep) struct world *w = renewing_world(spki);

    world_fail(world_pending(w, "network.router.status"), ERR_TIMEOUT);
    CHECK(!world_pending(w, "network.router.status"));
    world_pass(w, MINUTE_MS);
    CHECK(world_pending(w, "network.router.status") != NULL);
}

TEST(without_the_routers_request_no_certificate_is_made)
{
    uint8_t spki[HASH_SIZE];
    _cleanup_(world_freep) struct world *w = renewing_world(spki);
    struct err err;

    w->config.router_csr = (struct view){ 0 };
    CHECK_OK(world_restart(w, &err), err);
    answer_status(w, VIEW_ARR(spki), w->wall, 1);
    CHECK(!world_pending(w, "network.router.certificate"));
    CHECK_U64(world_audited(w, "certificate.issued", NULL), 0);
}
