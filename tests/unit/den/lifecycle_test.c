/* SPDX-License-Identifier: Apache-2.0 */
/* Most of a year, which is as long as a manifest holds, of a network in seconds: machines that renew at two thirds of a certificate's life and a bit, sleep for up to two
 * months and come back, get a certificate revoked now and then, or a new identity key; a den that starts anew in between. Seeded:
 * LIFECYCLE_SEED, LIFECYCLE_DAYS. */
#include "base/clock.h"
#include "base/map.h"
#include "tests/unit/den/world.h"

#include <stdio.h>
#include <stdlib.h>

#define POLICY "rules: [{from: any, to: any, can: [chat]}]\n"

enum { N_PEERS = 8, DAYS = 300, ADMISSION_DAYS = 7, MAX_SLEEP_DAYS = 60, PEER_PERCENT = 8 };

struct member {
    struct world_peer *peer;
    uint64_t awake_at, renew_at, not_after, admitted_until;
    char serial[64];
    bool has_slept;
};

struct life {
    struct world *w;
    struct member members[N_PEERS];
    struct map *serials;
    uint64_t dice;
    struct rpc_heartbeat last;
    unsigned n_certificates, n_sleeps, n_revoked, n_rekeyed, n_restarts;
};

/* SplitMix64: the same seed, the same life. */
static uint64_t draw(struct life *l, uint64_t below)
{
    uint64_t z = l->dice += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % below;
}

static uint64_t number_from(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : fallback;
}

static void new_tls_key(struct world_peer *peer)
{
    struct err err = { 0 };

    pki_key_free(STEAL(peer->tls));
    buf_free(&peer->csr);
    CHECK_OK(pki_key_new(PKI_P256, &peer->tls, &err), err);
    CHECK_OK(pki_csr_new(peer->tls, &peer->csr, &err), err);
}

/* Whatever den says of itself never falls. */
static void check_numbers(struct life *l)
{
    struct rpc_heartbeat h = world_heartbeat(l->w);

    CHECK(h.hb_no >= l->last.hb_no && h.crl_no >= l->last.crl_no && h.rev_no >= l->last.rev_no &&
          h.audit_no >= l->last.audit_no && h.time >= l->last.time);
    l->last = h;
}

static void take_certificate(struct life *l, struct member *m)
{
    uint64_t inv = world_sign(l->w, m->peer);
    const struct world_answer *answer = world_answer(l->w, inv);
    struct pki_cert *cert = NULL;
    struct rpc_fields f;
    char name[64];
    struct err err = { 0 };

    if (!CHECK(answer && answer->what == WORLD_YIELDED))
        return;
    rpc_fields_open(&f, buf_view(&answer->bytes));
    struct view der = rpc_fields_bin(&f, "certificate", PKI_MAX_CERT);
    CHECK_OK(pki_cert_read(der, &cert, &err), err);
    const struct pki_facts *facts = pki_cert_facts(cert);
    uint64_t life = facts->not_after - facts->not_before;
    snprintf(name, sizeof(name), "DNS:%s." WORLD_NETWORK, m->peer->id);
    CHECK_STR(facts->names, name);
    CHECK(facts->not_before <= l->w->wall && facts->not_after > l->w->wall);
    CHECK(!map_get(l->serials, view_text(facts->serial)));
    map_set(l->serials, view_text(facts->serial), l);
    snprintf(m->serial, sizeof(m->serial), "%s", facts->serial);
    m->not_after = facts->not_after;
    m->renew_at = facts->not_before + life / 3 * 2 + draw(l, life / 10);
    l->n_certificates++;
    pki_cert_free(cert);
}

/* An admission lasts a week; the key brings another, without any token, and the same ID. */
static void come_in(struct life *l, struct member *m)
{
    char id[STORE_ID];

    if (l->w->wall < m->admitted_until)
        return;
    snprintf(id, sizeof(id), "%s", m->peer->id);
    CHECK_STR(world_take_id(l->w, world_admit(l->w, m->peer, NULL), m->peer), id);
    m->admitted_until = l->w->wall + ADMISSION_DAYS * DAY_MS;
}

static void revoke(struct life *l, struct member *m)
{
    world_revoke_tls_key(l->w, m->peer);
    world_check_refused(l->w, world_sign(l->w, m->peer), ERR_WRONG_KEY);
    l->n_revoked++;
}

static void rekey(struct life *l, struct member *m)
{
    struct key *next = key_new();
    uint8_t sig[SIG_SIZE], new_sig[SIG_SIZE];
    struct store_identity who;
    enum store_found found;
    struct buf args = { 0 };
    struct err err = { 0 };
    _buf_ bytes = { 0 };
    char id[STORE_ID];

    CHECK_OK(store_identity_by_id(l->w->store, view_text(m->peer->id), &found, &who, &err), err);
    const struct rpc_rekey k = {
        .netid = rpc_trust_netid(l->w->trust),
        .id = view_text(m->peer->id),
        .old_pk = key_public_view(m->peer->key),
        .new_pk = key_public_view(next),
        .rekey_no = who.rekey_no + 1,
        .at = l->w->wall,
    };
    rpc_statement_sign(RPC_W_REKEY, &k, m->peer->key, &bytes, sig);
    key_sign(next, buf_view(&bytes), new_sig);
    rpc_put_array(&args, 3);
    rpc_put_bin(&args, buf_view(&bytes));
    rpc_put_bin(&args, VIEW_ARR(sig));
    rpc_put_bin(&args, VIEW_ARR(new_sig));
    uint64_t inv = world_handle(l->w, "den.identity.rekey", "peer", m->peer->id, &args);
    snprintf(id, sizeof(id), "%s", m->peer->id);
    key_free(m->peer->key);
    m->peer->key = next;
    CHECK_STR(world_take_id(l->w, inv, m->peer), id);
    l->n_rekeyed++;
}

static void wake(struct life *l, struct member *m)
{
    come_in(l, m);
    if (m->not_after <= l->w->wall) /* it slept: its key ended with its certificate */
        world_check_refused(l->w, world_sign(l->w, m->peer), ERR_WRONG_KEY);
    else if (draw(l, 100) < PEER_PERCENT / 2)
        revoke(l, m);
    if (draw(l, 100) < PEER_PERCENT / 4)
        rekey(l, m);
    new_tls_key(m->peer);
    take_certificate(l, m);
    m->awake_at = m->renew_at;
    if (draw(l, 100) < PEER_PERCENT) {
        m->awake_at = l->w->wall + draw(l, MAX_SLEEP_DAYS * DAY_MS);
        m->awake_at = m->awake_at > m->renew_at ? m->awake_at : m->renew_at;
        l->n_sleeps++;
    }
}

static struct member *next_awake(struct life *l)
{
    struct member *next = &l->members[0];

    for (size_t i = 1; i < N_PEERS; i++)
        next = l->members[i].awake_at < next->awake_at ? &l->members[i] : next;
    return next;
}

static void begin(struct life *l, uint64_t seed)
{
    *l = (struct life){ .w = world_new(POLICY), .serials = map_new(), .dice = seed };
    CHECK(world_unlimited(l->w));
    for (size_t i = 0; i < N_PEERS; i++) {
        l->members[i].peer = world_peer_new(l->w);
        l->members[i].awake_at = l->w->wall + draw(l, DAY_MS / 2);
        l->members[i].not_after = l->w->wall + DAY_MS;
        l->members[i].admitted_until = l->w->wall + ADMISSION_DAYS * DAY_MS;
    }
}

static void end(struct life *l)
{
    for (size_t i = 0; i < N_PEERS; i++)
        world_peer_free(l->members[i].peer);
    map_free(l->serials);
    world_free(l->w);
}

TEST(a_year_of_renewals_loses_nobody)
{
    uint64_t seed = number_from("LIFECYCLE_SEED", 1), until;
    struct err err = { 0 };
    struct life l;

    begin(&l, seed);
    until = l.w->wall + number_from("LIFECYCLE_DAYS", DAYS) * DAY_MS;
    while (next_awake(&l)->awake_at < until) {
        struct member *m = next_awake(&l);
        if (m->awake_at > l.w->wall)
            world_jump(l.w, m->awake_at - l.w->wall);
        check_numbers(&l);
        if (draw(&l, 200) == 0) {
            CHECK_OK(world_restart(l.w, &err), err);
            CHECK(world_unlimited(l.w));
            l.n_restarts++;
        }
        wake(&l, m);
    }
    printf("# seed %llu: %u certificates, %u sleeps, %u revoked, %u rekeyed, %u restarts of den\n",
           (unsigned long long)seed, l.n_certificates, l.n_sleeps, l.n_revoked, l.n_rekeyed,
           l.n_restarts);
    CHECK(l.n_certificates > 300 && l.n_sleeps > 20 && l.n_revoked > 5 && l.n_rekeyed > 5);
    end(&l);
}
