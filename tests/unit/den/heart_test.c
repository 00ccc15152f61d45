/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/file.h"
#include "den/audit.h"
#include "tests/unit/den/world.h"

#include <openssl/x509.h>
#include <stdio.h>
#include <time.h>

#define POLICY "rules: [{from: any, to: any, can: any, consent: deny}]\n"

struct numbers {
    uint64_t hb, crl, policy, audit, manifest;
};

static struct numbers numbers_of(const struct world *w)
{
    struct rpc_heartbeat h = world_heartbeat(w);

    return (struct numbers){ h.hb_no, h.crl_no, h.policy_no, h.audit_no, h.manifest_no };
}

static void check_not_below(struct numbers now, struct numbers before)
{
    CHECK(now.hb > before.hb);
    CHECK(now.crl >= before.crl);
    CHECK(now.policy >= before.policy);
    CHECK(now.audit >= before.audit);
    CHECK(now.manifest >= before.manifest);
}

TEST(a_tick_brings_a_new_beacon_an_extra_heartbeat_keeps_it)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    uint8_t beacon[RPC_BEACON];
    struct err err;
    size_t n = w->n_events;

    CHECK(world_last_event(w, "den.heartbeat")->is_retained);
    memcpy(beacon, world_heartbeat(w).beacon.data, sizeof(beacon));
    world_pass(w, 10 * SECOND_MS);
    CHECK_U64(w->n_events, n);
    CHECK_OK(
        world_set_policy(w, "rules: [{from: any, to: any, can: [chat], consent: deny}]\n", &err),
        err);
    CHECK_U64(w->n_events, n + 1);
    CHECK_VIEW(world_heartbeat(w).beacon, VIEW_ARR(beacon));
    CHECK_U64(world_heartbeat(w).policy_no, 2);
    CHECK_U64(world_heartbeat(w).next_in, 20 * SECOND_MS);
    world_pass(w, 20 * SECOND_MS);
    CHECK_U64(w->n_events, n + 2);
    CHECK(!view_eq(world_heartbeat(w).beacon, VIEW_ARR(beacon)));
    CHECK_U64(world_heartbeat(w).next_in, 30 * SECOND_MS);
    CHECK_U64(world_heartbeat(w).bound, 10 * MINUTE_MS);
    CHECK_U64(world_heartbeat(w).time, w->wall);
}

TEST(numbers_never_fall_across_restarts)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    struct numbers before = numbers_of(w);
    struct err err;

    for (size_t i = 0; i < 5; i++) {
        if (i == 2)
            w->wall -= HOUR_MS; /* the clock goes back */
        CHECK_OK(world_restart(w, &err), err);
        struct numbers now = numbers_of(w);
        check_not_below(now, before);
        CHECK(now.crl > before.crl); /* a new list at each start */
        CHECK_U64(now.policy, before.policy);
        before = now;
        world_pass(w, 90 * SECOND_MS);
        check_not_below(numbers_of(w), before);
        before = numbers_of(w);
    }
}

TEST(the_list_is_renewed_at_half_of_its_life_with_a_higher_number)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    uint64_t first = numbers_of(w).crl;

    world_pass(w, 12 * HOUR_MS - SECOND_MS);
    CHECK_U64(numbers_of(w).crl, first);
    world_pass(w, 2 * SECOND_MS);
    CHECK_U64(numbers_of(w).crl, first + 12 * 3600);
    CHECK_U64(world_audited(w, "crl.issued", NULL), 2);
}

static bool keep_nothing(_unused_ void *user, _unused_ const struct signer_anchor *anchor,
                         _unused_ struct err *err)
{
    return true;
}

TEST(two_lists_in_one_second_and_a_clock_that_went_back_still_count_up)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(signer_listing_deinit) struct signer_listing l = { 0 };
    uint64_t before = world_number(w, "crl_no"), at = w->wall;
    struct signer_list list = { .now = w->wall, .life = DAY_MS, .keep = keep_nothing };
    struct err err;

    CHECK_OK(signer_list_now(w->signer, w->store, &list, &l, &err), err);
    CHECK_U64(l.is.number, before + 1);
    list.now -= DAY_MS;
    CHECK_OK(signer_list_now(w->signer, w->store, &list, &l, &err), err);
    CHECK_U64(l.is.number, before + 2);
    CHECK_U64(l.is.at, at);
    CHECK_U64(world_number(w, "crl_no"), before + 2);
    /* the store forgot, and the clock is behind: what was kept outside of the store counts */
    list.floor = (struct signer_anchor){ before + 5000, at + HOUR_MS };
    CHECK_OK(signer_list_now(w->signer, w->store, &list, &l, &err), err);
    CHECK_U64(l.is.number, before + 5001);
    CHECK_U64(l.is.at, at + HOUR_MS);
}

TEST(a_heartbeat_shows_the_audit_as_it_stands)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    uint8_t head[HASH_SIZE];
    uint64_t number;
    struct err err;

    world_pass(w, 30 * SECOND_MS);
    CHECK_OK(audit_head(w->store, &number, head, &err), err);
    CHECK_U64(world_heartbeat(w).audit_no, number);
    CHECK_VIEW(world_heartbeat(w).audit_head, VIEW_ARR(head));
    CHECK(peer && number >= 4); /* policy, list, enrolment, certificate */
}

TEST(the_same_policy_read_again_is_no_change)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    size_t n = w->n_events;
    struct err err = { 0 };

    CHECK_OK(world_set_policy(w, POLICY, &err), err);
    CHECK_U64(w->n_events, n);
    CHECK_U64(world_number(w, "policy_no"), 1);
    CHECK(!world_set_policy(w, "rules: [{from: everybody, to: any, can: [chat]}]\n", &err));
    CHECK(err.code == ERR_BAD_CONFIG);
    CHECK(strstr(err.text, "policy.yaml:1:16: ") != NULL);
    CHECK_U64(world_number(w, "policy_no"), 1);
}

/* R16: what was signed is ahead of the store that an operator put back. */
TEST(a_store_from_a_backup_is_noticed)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _free_ char *copy = mem_format("%s-backup", w->store_path);
    _buf_ bytes = { 0 };
    struct err err;

    /* The write-ahead log is merged when the last user closes. */
    CHECK_OK(world_restart(w, &err), err);
    store_free(w->store);
    CHECK_OK(file_read(w->store_path, 64 << 20, &bytes, &err), err);
    CHECK_OK(store_open(w->store_path, &w->store, &err), err);
    CHECK_OK(file_write(copy, buf_view(&bytes), 0600, &err), err);
    w->config.store = w->store;
    CHECK_OK(world_restart(w, &err), err);
    world_pass(w, 5 * MINUTE_MS);
    free(w->store_path);
    w->store_path = STEAL(copy);
    CHECK_ERR(world_restart(w, &err), err, ERR_STALE);
    CHECK(strstr(err.text, "den.db was taken back to an older state") != NULL);
}

TEST(a_disk_that_is_full_stops_nothing_for_long)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    size_t n = w->n_events;

    w->cannot_save = true;
    world_pass(w, 35 * SECOND_MS);
    CHECK_U64(w->n_events, n);
    w->cannot_save = false;
    world_pass(w, 3 * SECOND_MS);
    CHECK_U64(w->n_events, n + 1);
    CHECK(den_core_fatal(w->core) == NULL);
}

/* What the router kept is a witness too: its heartbeat comes with the CHALLENGE. */
TEST(a_newer_heartbeat_of_our_own_that_we_do_not_remember_stops_den)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    struct rpc_heartbeat h = world_heartbeat(w);
    enum rpc_heart heart;
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };
    struct err err;

    h.hb_no += 100;
    rpc_statement_sign(RPC_W_HEARTBEAT, &h, w->sign, &bytes, sig);
    CHECK_OK(rpc_trust_add_heartbeat(w->trust, buf_view(&bytes), VIEW_ARR(sig), w->mono, w->wall,
                                     &heart, &err),
             err);
    size_t n = w->n_events;
    world_pass(w, 30 * SECOND_MS);
    CHECK_U64(w->n_events, n);
    if (!CHECK(den_core_fatal(w->core)))
        return;
    CHECK(den_core_fatal(w->core)->code == ERR_STALE);
    CHECK_U64(den_core_deadline(w->core), NEVER_MS); /* and it does not go on trying */
}

TEST(a_heartbeat_that_could_not_be_counted_is_not_sent)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    size_t n = w->n_events;
    uint64_t number = numbers_of(w).hb;

    world_disk_is_full = true;
    world_pass(w, 35 * SECOND_MS);
    world_disk_is_full = false;
    CHECK_U64(w->n_events, n);
    world_pass(w, 3 * SECOND_MS);
    CHECK_U64(numbers_of(w).hb, number + 1);
}

/* thisUpdate of the list that is served: seconds since 1970. */
static time_t this_update(const struct world *w)
{
    struct view der = den_core_crl(w->core);
    const unsigned char *at = der.data;
    X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)der.len);
    struct tm tm = { 0 };

    CHECK_U64(crl && ASN1_TIME_to_tm(X509_CRL_get0_lastUpdate(crl), &tm), 1);
    X509_CRL_free(crl);
    return timegm(&tm);
}

static bool count_serial(void *user, _unused_ const struct store_certificate *c)
{
    ++*(size_t *)user;
    return true;
}

/* R15: serials are the store's own key, so that one that came twice would have failed. */
TEST(the_clock_goes_back_an_hour_while_den_runs_and_before_it_starts)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    struct err err;

    world_jump(w, 5 * HOUR_MS); /* the intermediate was made an instant ago */
    CHECK_OK(world_restart(w, &err), err);
    struct numbers before = numbers_of(w);
    time_t updated = this_update(w);
    size_t n_signed = 0, n_wanted = 0;

    for (size_t i = 0; i < 4; i++) {
        if (i == 0)
            w->wall -= HOUR_MS;
        if (i == 2) {
            w->wall -= HOUR_MS;
            CHECK_OK(world_restart(w, &err), err);
        }
        _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
        n_wanted++;
        if (!CHECK(peer))
            return;
        CHECK(store_begin(w->store, &err));
        struct store_revocation r = { .kind = STORE_REVOKE_TLS_KEY,
                                      .subject_len = HASH_SIZE,
                                      .at = w->wall };
        bool is_new;
        memcpy(r.id, peer->id, sizeof(r.id));
        memcpy(r.subject, peer->spki, HASH_SIZE);
        CHECK_OK(store_revocation_add(w->store, &r, &r.no, &is_new, &err), err);
        CHECK_OK(store_commit(w->store, &err), err);
        while (!den_core_look(w->core))
            continue;
        world_pass(w, MINUTE_MS);
        check_not_below(numbers_of(w), before);
        CHECK(numbers_of(w).crl > before.crl);
        CHECK(this_update(w) >= updated);
        before = numbers_of(w);
        updated = this_update(w);
    }
    CHECK_OK(store_certificate_each(w->store, NULL, count_serial, &n_signed, &err), err);
    CHECK_U64(n_signed, n_wanted);
}

/* Whoever restores this store is asked by the router for a heartbeat that nobody heard of. */
TEST(den_does_not_leave_with_a_number_that_it_has_not_said)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    struct store *store = w->store;
    struct numbers before;
    struct err err;
    uint64_t number;

    world_pass(w, 30 * SECOND_MS); /* the audit is said */
    before = numbers_of(w);
    CHECK_OK(store_begin(store, &err) && store_number_raise(store, "hb_no", before.hb + 1, &err) &&
                 store_commit(store, &err), /* it is at the signer */
             err);
    den_core_leave(w->core);
    CHECK_U64(numbers_of(w).hb, before.hb + 2);
    world_pass(w, 60 * SECOND_MS); /* until the router has answered its goodbye */
    CHECK_U64(numbers_of(w).hb, before.hb + 2);
    CHECK_OK(store_number_get(store, "hb_no", &number, &err), err);
    CHECK_U64(number, before.hb + 2);
}
