/* SPDX-License-Identifier: Apache-2.0 */
/* A new manifest, as a peer follows it: whose certificate is to be replaced, which admission still counts, and who is believed. */
#include "tests/unit/peer/core_world.h"

enum { N_CAS = 3 };

struct cas { /* intermediates that a manifest lists: the first is the one in use */
    struct buf der[N_CAS];
    uint8_t hash[N_CAS][HASH_SIZE];
    struct fake_manifest m2;
};

static void cas_init(struct cas *cas)
{
    for (size_t i = 0; i < N_CAS; i++) {
        buf_printf(&cas->der[i], "intermediate %zu", i);
        hash_sha256(buf_view(&cas->der[i]), cas->hash[i]);
    }
}

static void cas_deinit(struct cas *cas)
{
    for (size_t i = 0; i < N_CAS; i++)
        buf_free(&cas->der[i]);
    fake_manifest_deinit(&cas->m2);
}
#define CAS(cas)                                                                                   \
    _cleanup_(cas_deinit) struct cas cas = { 0 };                                                  \
    cas_init(&cas)

static void make_m2(struct core_world *s, struct cas *cas, const struct fake_root *signer)
{
    fake_manifest_deinit(&cas->m2);
    fake_manifest_make(&cas->m2,
                       &(struct fake_says){ .number = 2,
                                            .genesis = &s->w.root,
                                            .previous = &s->w.m1,
                                            .roots = { &s->w.root },
                                            .signers = { signer },
                                            .intermediates = { cas->hash[0], cas->hash[1] } });
}

static void tell(struct core_world *s, const struct cas *cas)
{
    const struct fake_root *roots[] = { &s->w.root };
    const struct fake_manifest *manifests[] = { &cas->m2 };
    struct rpc_event event = { 0 };
    _buf_ args = { 0 };

    rpc_put_array(&args, 2);
    fake_put_roots(&args, roots, 1);
    fake_put_manifests(&args, manifests, 1);
    event.payload = (struct rpc_payload){ buf_view(&args), 1 };
    follow_on_manifest(s->core, &event);
}

/* A certificate of that intermediate; nothing here looks into it. */
static struct cert *cert_of(struct view intermediate)
{
    struct cert *cert = mem_new(struct cert);

    cert->refs = 1;
    cert->chain[0] = buf_dup(VIEW_LIT("leaf"));
    cert->n_chain = 1;
    if (intermediate.len)
        cert->chain[cert->n_chain++] = buf_dup(intermediate);
    return cert;
}

TEST(a_manifest_moves_a_peer_when_its_root_signed_it)
{
    CORE_WORLD(s, "moves");
    _fake_root_ mallory = { 0 };
    CAS(cas);

    fake_root_init(&mallory, 9);
    make_m2(&s, &cas, &mallory);
    tell(&s, &cas);
    CHECK_U64(rpc_trust_manifest_no(s.core->trust), 1);
    make_m2(&s, &cas, &s.w.root);
    tell(&s, &cas);
    CHECK_U64(rpc_trust_manifest_no(s.core->trust), 2);
}

TEST(a_certificate_of_another_intermediate_than_the_one_in_use_is_replaced)
{
    CORE_WORLD(s, "replaced");
    CAS(cas);

    make_m2(&s, &cas, &s.w.root);
    tell(&s, &cas);
    CHECK(follow_is_replaced(s.core) && follow_is_listed(s.core)); /* there is none to replace */
    for (size_t i = 0; i <= N_CAS; i++) {
        s.core->cert = cert_of(i < N_CAS ? buf_view(&cas.der[i]) : VIEW(NULL, 0));
        s.core->replace_at = 0;
        CHECK(follow_is_replaced(s.core) == (i == 0 || i == N_CAS));
        CHECK(follow_is_listed(s.core) == (i != 2));
        CHECK(follow_must_replace(s.core) == (i == 1 || i == 2));
        follow_got_cert(
            s.core); /* den gave this one: not at once again, if it is still of the one before */
        CHECK(!follow_must_replace(s.core));
        CHECK((s.core->replace_at > clock_mono_ms()) == (i == 1 || i == 2));
        cert_unref(STEAL(s.core->cert));
    }
}

TEST(intermediates_that_are_listed_no_more_are_dropped)
{
    CORE_WORLD(s, "dropped");
    CAS(cas);

    for (size_t i = 0; i < N_CAS; i++)
        s.core->intermediates[s.core->n_intermediates++] =
            buf_dup(buf_view(&cas.der[N_CAS - 1 - i]));
    make_m2(&s, &cas, &s.w.root);
    tell(&s, &cas);
    follow_changed(s.core);
    if (CHECK(s.core->n_intermediates == 2)) {
        CHECK_VIEW(buf_view(&s.core->intermediates[0]), buf_view(&cas.der[1]));
        CHECK_VIEW(buf_view(&s.core->intermediates[1]), buf_view(&cas.der[0]));
    }
}

TEST(whose_turn_it_is_comes_within_twenty_seconds_and_sooner_for_who_is_alone)
{
    CORE_WORLD(s, "turn");
    CAS(cas);

    make_m2(&s, &cas, &s.w.root);
    s.core->cert = cert_of(buf_view(&cas.der[1]));
    s.core->was_ready = true;
    tell(&s, &cas);
    uint64_t latest = 0;
    for (int i = 0; i < 200; i++) {
        follow_changed(s.core);
        uint64_t wait = s.core->replace_at - clock_mono_ms();
        if (s.core->replace_at > clock_mono_ms() && wait > latest)
            latest = wait;
    }
    CHECK(latest > 5000 && latest <= 20000); /* not all at once */
    cert_unref(s.core->cert);
    s.core->cert = cert_of(buf_view(&cas.der[2])); /* which nobody takes any more */
    for (int i = 0; i < 200; i++) {
        follow_changed(s.core);
        CHECK(s.core->replace_at <= clock_mono_ms() + 5000);
    }
    s.core->was_ready = false; /* it was away: it comes alone */
    follow_changed(s.core);
    CHECK(follow_must_replace(s.core));
}

/* ---- the admission ---------------------------------------------------------------------------- */

static struct rpc_admission good(const struct core_world *s)
{
    return (struct rpc_admission){
        .netid = VIEW_ARR(s->w.root.hash),
        .network = VIEW_LIT("corp.example"),
        .id = VIEW_LIT(WORLD_A),
        .client_pk = key_public_view(s->core->key),
        .role = VIEW_LIT("peer"),
        .adm_no = 3,
        .issued_at = core_now(s->core),
        .not_after = core_now(s->core) + DAY_MS,
    };
}

static void carry(struct core_world *s, const struct key *by)
{
    const struct rpc_admission a = good(s);
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    rpc_statement_sign(RPC_W_ADMISSION, &a, by, &bytes, sig);
    buf_free(&s->core->admission);
    buf_free(&s->core->admission_sig);
    s->core->admission = buf_dup(buf_view(&bytes));
    s->core->admission_sig = buf_dup(VIEW_ARR(sig));
}

TEST(an_admission_by_dens_key_before_is_fetched_anew)
{
    CORE_WORLD(s, "by-whom");

    CHECK(!follow_needs_admission(s.core)); /* there is none */
    carry(&s, s.w.den);
    CHECK(!follow_needs_admission(s.core));
    carry(&s, s.w.stranger);
    CHECK(follow_needs_admission(s.core));
    s.core->id[0] = '\0';
    CHECK(!follow_needs_admission(s.core));
}

TEST(only_an_admission_of_this_key_and_id_by_den_is_taken)
{
    CORE_WORLD(s, "taken");
    enum { STRANGER, OTHER_KEY, OTHER_ID, NOTHING, REFUSED, GOOD, N_CASES };
    _buf_ before = { 0 }, kept = { 0 };
    struct err err;

    carry(&s, s.w.stranger); /* den's key before */
    buf_put(&before, buf_view(&s.core->admission));
    for (int i = 0; i < N_CASES; i++) {
        struct rpc_admission a = good(&s);
        struct buf args = { 0 };
        uint8_t sig[SIG_SIZE];
        _buf_ bytes = { 0 };
        if (i == OTHER_KEY)
            a.client_pk = key_public_view(s.w.b);
        if (i == OTHER_ID)
            a.id = VIEW_LIT(WORLD_B);
        follow_fetch_admission(s.core);
        CHECK_STR(caught.procedure, "den.identity.refresh");
        CHECK(core_world_body(&s).len > 0);
        rpc_statement_sign(RPC_W_ADMISSION, &a, i == STRANGER ? s.w.stranger : s.w.den, &bytes,
                           sig);
        if (i == REFUSED) {
            core_world_refuse(ERR_BUSY);
        } else if (i == NOTHING) {
            rpc_put_array(&args, 0);
            core_world_answer(&args);
        } else {
            core_world_answer_signed(buf_view(&bytes), sig);
        }
        CHECK((s.core->steps[STEP_ADMISSION].failures == 0) == (i == GOOD));
        CHECK(follow_needs_admission(s.core) == (i != GOOD));
        if (i != GOOD) {
            CHECK_VIEW(buf_view(&s.core->admission), buf_view(&before));
            CHECK(!file_exists(state_path(s.core->state, STATE_ADMISSION)));
            continue;
        }
        _buf_ signed_one = { 0 };
        state_put_signed(&signed_one, buf_view(&bytes), VIEW_ARR(sig));
        CHECK_OK(state_read(s.core->state, STATE_ADMISSION, &kept, &err), err);
        CHECK_VIEW(buf_view(&kept), buf_view(&signed_one));
    }
}
