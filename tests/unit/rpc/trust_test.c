/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "tests/check.h"
#include "tests/unit/rpc/fakenet.h"

/* Three roots and the manifests of a rollover: 1 by a; 2 adds b; 3 drops a, signed by b. */
struct story {
    struct fake_root a, b, c;
    struct fake_manifest m1, m2, m3;
};

static void story_init(struct story *s)
{
    fake_root_init(&s->a, 1);
    fake_root_init(&s->b, 2);
    fake_root_init(&s->c, 3);
    fake_manifest_make(&s->m1, &(struct fake_says){ 1, &s->a, NULL, { &s->a }, { &s->a } });
    fake_manifest_make(&s->m2,
                       &(struct fake_says){ 2, &s->a, &s->m1, { &s->a, &s->b }, { &s->a, &s->b } });
    fake_manifest_make(&s->m3, &(struct fake_says){ 3, &s->a, &s->m2, { &s->b }, { &s->b } });
}

static void story_deinit(struct story *s)
{
    fake_root_deinit(&s->a);
    fake_root_deinit(&s->b);
    fake_root_deinit(&s->c);
    fake_manifest_deinit(&s->m1);
    fake_manifest_deinit(&s->m2);
    fake_manifest_deinit(&s->m3);
}
#define STORY(s)                                                                                   \
    _cleanup_(story_deinit) struct story s;                                                        \
    story_init(&s)

/* Knows the pin of `pinned` and the roots a and b. */
static struct rpc_trust *newcomer(const struct story *s, const struct fake_root *pinned)
{
    struct rpc_trust *trust = rpc_trust_new("corp.example", pinned->hash, fake_judge);
    struct err err;

    CHECK(rpc_trust_add_root(trust, buf_view(&s->a.der), &err));
    CHECK(rpc_trust_add_root(trust, buf_view(&s->b.der), &err));
    return trust;
}
#define NEWCOMER(t, s, pinned) _cleanup_(rpc_trust_freep) struct rpc_trust *t = newcomer(s, pinned)

TEST(a_newcomer_follows_the_chain)
{
    STORY(s);
    NEWCOMER(trust, &s, &s.a);
    struct view der, sig;
    struct err err;

    CHECK(!rpc_trust_is_ready(trust));
    CHECK(!rpc_trust_manifest(trust));
    CHECK_U64(rpc_trust_manifest_no(trust), 0);
    CHECK_OK(fake_add(trust, &s.m1, &err), err);
    CHECK_OK(fake_add(trust, &s.m2, &err), err);
    CHECK_OK(fake_add(trust, &s.m3, &err), err);
    CHECK(rpc_trust_is_ready(trust));
    CHECK_U64(rpc_trust_manifest_no(trust), 3);
    CHECK_VIEW(rpc_trust_netid(trust), VIEW_ARR(s.a.hash)); /* the first root's, for ever */
    CHECK_VIEW(rpc_trust_manifest_bytes(trust), buf_view(&s.m3.bytes));
    CHECK(rpc_trust_root(trust, 0, &der) && !rpc_trust_root(trust, 1, &sig));
    CHECK_VIEW(der, buf_view(&s.b.der));
    CHECK(rpc_trust_manifest_signature(trust, 0, &sig, &der));
    CHECK_VIEW(sig, s.m3.sigs[0]);
    CHECK_VIEW(der, buf_view(&s.b.der));
    CHECK(!rpc_trust_manifest_signature(trust, 1, &sig, &der));
}

TEST(a_newcomer_may_start_later_with_the_root_that_signed_there)
{
    STORY(s);
    NEWCOMER(by_b, &s, &s.b);
    NEWCOMER(by_b_at_once, &s, &s.b);
    NEWCOMER(by_a, &s, &s.a);
    struct err err;

    CHECK_ERR(fake_add(by_b, &s.m1, &err), err, ERR_BAD_PIN);
    CHECK_OK(fake_add(by_b, &s.m2, &err), err); /* b signed it, as the root that it adds */
    CHECK_OK(fake_add(by_b, &s.m3, &err), err);
    CHECK_OK(fake_add(by_b_at_once, &s.m3, &err), err);
    CHECK_VIEW(rpc_trust_netid(by_b), VIEW_ARR(s.a.hash));
    CHECK_ERR(fake_add(by_a, &s.m3, &err), err, ERR_BAD_PIN);
    CHECK_STR(err.text, "manifest 3: not signed by the pinned root");
}

TEST(manifests_that_are_wrong_are_refused_and_change_nothing)
{
    STORY(s);
    struct fake_root *a = &s.a, *b = &s.b, *c = &s.c;
    const struct {
        size_t n_before; /* of the story's manifests */
        struct fake_says says;
        enum err_code code;
        const char *why;
    } cases[] = {
        { 0,
          { 1, b, NULL, { b }, { b } },
          ERR_BAD_PIN,
          "manifest 1: not signed by the pinned root" },
        { 0,
          { 1, a, NULL, { a }, { b } },
          ERR_BAD_SIGNATURE,
          "manifest 1: not signed by the network's first root" },
        { 0,
          { 1, a, NULL, { a }, { NULL } },
          ERR_BAD_SIGNATURE,
          "manifest 1: no signature, or more than 9" },
        { 0,
          { 1, a, NULL, { a }, { a, a } },
          ERR_BAD_SIGNATURE,
          "manifest 1: 2 signatures, expected 1" },
        { 0,
          { 1, a, NULL, { a, b }, { a } },
          ERR_BAD_SIGNATURE,
          "manifest 1: root 2 is new and has not signed" },
        { 0,
          { 1, b, NULL, { a }, { a } },
          ERR_BAD_STATEMENT,
          "manifest 1: netid: not one of its roots" },
        { 0,
          { 1, a, NULL, { a }, { a }, 0, "other.example" },
          ERR_BAD_STATEMENT,
          "manifest 1: network: another one's" },
        { 0,
          { 1, a, NULL, { a, c }, { a, c } },
          ERR_BAD_SIGNATURE,
          "manifest 1: root 2 is new and has not signed" },
        { 1,
          { 2, a, &s.m1, { a }, { b } },
          ERR_BAD_SIGNATURE,
          "manifest 2: not signed by a root of number 1" },
        { 1,
          { 2, a, &s.m1, { a, b }, { a } },
          ERR_BAD_SIGNATURE,
          "manifest 2: root 2 is new and has not signed" },
        { 1,
          { 2, a, &s.m1, { a, b }, { b } },
          ERR_BAD_SIGNATURE,
          "manifest 2: not signed by a root of number 1" },
        { 1,
          { 2, a, &s.m1, { a, b }, { b, a } },
          ERR_BAD_SIGNATURE,
          "manifest 2: not signed by a root of number 1" },
        { 1,
          { 2, a, &s.m1, { a, b }, { a, b, b } },
          ERR_BAD_SIGNATURE,
          "manifest 2: 3 signatures, expected 2" },
        { 1,
          { 2, a, &s.m1, { b }, { b } },
          ERR_BAD_SIGNATURE,
          "manifest 2: not signed by a root of number 1" },
        { 1,
          { 2, a, &s.m2, { a }, { a } },
          ERR_BAD_STATEMENT,
          "manifest 2: previous: not the hash of number 1" },
        { 1,
          { 2, b, &s.m1, { a }, { a } },
          ERR_BAD_STATEMENT,
          "manifest 2: netid: another network's" },
        { 1, { 3, a, &s.m1, { a }, { a } }, ERR_BAD_STATEMENT, "manifest 3: number 2 is missing" },
        { 1,
          { 1, a, NULL, { a }, { a }, FAKE_NOT_AFTER - 1 },
          ERR_BAD_STATEMENT,
          "manifest 1: not the manifest that is known by this number" },
        { 2,
          { 3, a, &s.m2, { a, b }, { c } },
          ERR_BAD_SIGNATURE,
          "manifest 3: not signed by a root of number 2" },
        { 3,
          { 4, a, &s.m3, { b }, { a } },
          ERR_BAD_SIGNATURE,
          "manifest 4: not signed by a root of number 3" },
        { 3,
          { 4, a, &s.m3, { a, b }, { b } },
          ERR_BAD_SIGNATURE,
          "manifest 4: root 1 is new and has not signed" },
    };
    const struct fake_manifest *before[] = { &s.m1, &s.m2, &s.m3 };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        NEWCOMER(trust, &s, a);
        _fake_manifest_ m;
        _buf_ was = { 0 };
        _buf_ is = { 0 };
        struct err err;
        for (size_t k = 0; k < cases[i].n_before; k++)
            CHECK_OK(fake_add(trust, before[k], &err), err);
        rpc_trust_save(trust, &was);
        fake_manifest_make(&m, &cases[i].says);
        CHECK_ERR(fake_add(trust, &m, &err), err, cases[i].code);
        CHECK_STR(err.text, cases[i].why);
        rpc_trust_save(trust, &is);
        CHECK_VIEW(buf_view(&is), buf_view(&was));
    }
}

TEST(a_root_taken_up_again_signs_again)
{
    STORY(s);
    NEWCOMER(trust, &s, &s.a);
    _fake_manifest_ m4;
    struct err err;

    fake_manifest_make(&m4, &(struct fake_says){ 4, &s.a, &s.m3, { &s.a, &s.b }, { &s.b, &s.a } });
    CHECK_OK(fake_add(trust, &s.m1, &err), err);
    CHECK_OK(fake_add(trust, &s.m2, &err), err);
    CHECK_OK(fake_add(trust, &s.m3, &err), err);
    CHECK_OK(fake_add(trust, &m4, &err), err);
}

TEST(what_is_known_may_come_again)
{
    STORY(s);
    NEWCOMER(trust, &s, &s.a);
    NEWCOMER(late, &s, &s.b);
    struct err err;

    CHECK_OK(fake_add(trust, &s.m1, &err), err);
    CHECK_OK(fake_add(trust, &s.m2, &err), err);
    CHECK_OK(fake_add(trust, &s.m1, &err), err);
    CHECK_OK(fake_add(trust, &s.m2, &err), err);
    CHECK_U64(rpc_trust_manifest_no(trust), 2);
    CHECK_OK(fake_add(late, &s.m2, &err), err);
    CHECK_ERR(fake_add(late, &s.m1, &err), err, ERR_STALE);
    CHECK_STR(err.text, "manifest 1: older than what is kept");
}

TEST(a_pin_that_no_root_has_names_itself)
{
    STORY(s);
    NEWCOMER(trust, &s, &s.c);
    struct err err;

    CHECK_ERR(fake_add(trust, &s.m1, &err), err, ERR_BAD_PIN);
    CHECK_STR(err.text, "manifest 1: no root has the pinned fingerprint");
    CHECK_VIEW(rpc_trust_pin(trust), VIEW_ARR(s.c.hash));
}

/* ---- CHALLENGE ------------------------------------------------------------------------------ */

static bool take(struct rpc_trust *trust, const struct fake_root *const *roots, size_t n_roots,
                 const struct fake_manifest *const *manifests, size_t n_manifests, uint64_t now,
                 struct err *err)
{
    _buf_ r = { 0 };
    _buf_ m = { 0 };

    fake_put_roots(&r, roots, n_roots);
    fake_put_manifests(&m, manifests, n_manifests);
    return rpc_trust_take_challenge(trust, buf_view(&r), buf_view(&m), now, err);
}

TEST(a_challenge_is_taken_whole_or_not_at_all)
{
    STORY(s);
    _cleanup_(rpc_trust_freep) struct rpc_trust *trust =
        rpc_trust_new("corp.example", s.a.hash, fake_judge);
    const struct fake_root *roots[] = { &s.a, &s.b };
    _fake_manifest_ bad3;
    struct err err;

    fake_manifest_make(&bad3, &(struct fake_says){ 3, &s.a, &s.m2, { &s.b }, { &s.c } });
    const struct fake_manifest *bad[] = { &s.m1, &s.m2, &bad3 }, *good[] = { &s.m1, &s.m2, &s.m3 };
    CHECK_ERR(take(trust, roots, 2, bad, 3, FAKE_ISSUED, &err), err, ERR_BAD_SIGNATURE);
    CHECK(!rpc_trust_is_ready(trust));
    CHECK_ERR(take(trust, roots, 1, good, 3, FAKE_ISSUED, &err), err,
              ERR_BAD_SIGNATURE); /* root b is missing */
    CHECK(!rpc_trust_is_ready(trust));
    CHECK_ERR(take(trust, roots, 2, good, 3, FAKE_NOT_AFTER, &err), err, ERR_EXPIRED);
    CHECK(strstr(err.text, "manifest 3 held until ") &&
          strstr(err.text, "this machine's clock says "));
    CHECK(!rpc_trust_is_ready(trust));
    CHECK_ERR(take(trust, roots, 2, good, 0, FAKE_ISSUED, &err), err, ERR_BAD_WIRE);
    CHECK_STR(err.text, "manifests: none");

    CHECK_OK(take(trust, roots, 2, good, 1, FAKE_ISSUED, &err), err);
    CHECK_U64(rpc_trust_manifest_no(trust), 1);
    CHECK_ERR(take(trust, roots, 2, bad, 3, FAKE_ISSUED, &err), err, ERR_BAD_SIGNATURE);
    CHECK_U64(rpc_trust_manifest_no(trust), 1);
    CHECK_OK(take(trust, roots, 2, good, 3, FAKE_ISSUED, &err), err);
    CHECK_U64(rpc_trust_manifest_no(trust), 3);
    CHECK_ERR(take(trust, roots, 2, good, 2, FAKE_ISSUED, &err), err, ERR_STALE);
    CHECK_STR(err.text, "the router knows manifest 2, this machine 3");
    CHECK_OK(take(trust, roots, 2, good + 2, 1, FAKE_ISSUED, &err), err);
}

TEST(a_challenge_of_a_wrong_shape_is_refused)
{
    STORY(s);
    _buf_ roots = { 0 };
    const struct fake_root *all[] = { &s.a };
    const struct fake_manifest *m1[] = { &s.m1 };
    static const struct {
        const char *bytes;
        size_t len;
    } shapes[] = { { "\xc0", 1 },     { "\x80", 1 },         { "\x91\x01", 2 },
                   { "\x91\x90", 2 }, { "\x91\x91\x01", 3 }, { "\x91\x91\xc4\x00", 4 },
                   { "", 0 } };
    struct err err;

    fake_put_roots(&roots, all, 1);
    for (size_t i = 0; i < N_ELEMENTS(shapes); i++) {
        _cleanup_(rpc_trust_freep) struct rpc_trust *trust =
            rpc_trust_new("corp.example", s.a.hash, fake_judge);
        _buf_ manifests = { 0 };
        struct view bad = VIEW(shapes[i].bytes, shapes[i].len);
        fake_put_manifests(&manifests, m1, 1);
        CHECK(!rpc_trust_take_challenge(trust, buf_view(&roots), bad, FAKE_ISSUED, &err));
        CHECK(!rpc_trust_take_challenge(trust, bad, buf_view(&manifests), FAKE_ISSUED, &err));
        CHECK(!rpc_trust_is_ready(trust));
        CHECK_OK(rpc_trust_take_challenge(trust, buf_view(&roots), buf_view(&manifests),
                                          FAKE_ISSUED, &err),
                 err);
    }
}

TEST(junk_roots_are_bounded_and_not_kept)
{
    STORY(s);
    _cleanup_(rpc_trust_freep) struct rpc_trust *trust =
        rpc_trust_new("corp.example", s.a.hash, fake_judge);
    struct fake_root junk[RPC_MAX_ROOTS];
    const struct fake_root *roots[RPC_MAX_ROOTS + 1] = { &s.a };
    const struct fake_manifest *m1[] = { &s.m1 };
    _buf_ before = { 0 };
    _buf_ after = { 0 };
    struct err err;

    for (uint8_t i = 0; i < RPC_MAX_ROOTS; i++) {
        fake_root_init(&junk[i], (uint8_t)(20 + i));
        roots[1 + i] = &junk[i];
    }
    CHECK_ERR(take(trust, roots, RPC_MAX_ROOTS + 1, m1, 1, FAKE_ISSUED, &err), err, ERR_LIMIT);
    CHECK_OK(take(trust, roots, 1, m1, 1, FAKE_ISSUED, &err), err);
    rpc_trust_save(trust, &before);
    CHECK_OK(take(trust, roots, RPC_MAX_ROOTS, m1, 1, FAKE_ISSUED, &err), err);
    rpc_trust_save(trust, &after);
    CHECK_VIEW(buf_view(&after), buf_view(&before));
    for (uint8_t i = 0; i < RPC_MAX_ROOTS; i++)
        fake_root_deinit(&junk[i]);
}

TEST(a_router_gives_each_what_it_lacks)
{
    STORY(s);
    NEWCOMER(router, &s, &s.a);
    struct err err;
    const struct {
        uint64_t known_no;
        struct view pin;
        uint64_t first; /* of the manifests that come; 0: refused */
    } cases[] = {
        { 0, VIEW_ARR(s.a.hash), 1 },
        { 0, VIEW_ARR(s.b.hash), 2 },
        { 0, VIEW_ARR(s.c.hash), 0 },
        { 0, { 0 }, 0 },
        { 1, { 0 }, 1 },
        { 2, { 0 }, 2 },
        { 3, { 0 }, 3 },
        { 9, { 0 }, 3 },
    };
    _buf_ none = { 0 };

    CHECK_ERR(rpc_trust_put_challenge(router, 0, VIEW_ARR(s.a.hash), &none, &none, &err), err,
              ERR_NOT_FOUND);
    CHECK_OK(fake_add(router, &s.m1, &err), err);
    CHECK_OK(fake_add(router, &s.m2, &err), err);
    CHECK_OK(fake_add(router, &s.m3, &err), err);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ roots = { 0 };
        _buf_ manifests = { 0 };
        struct rpc_fields f;
        if (cases[i].first == 0) {
            CHECK_ERR(rpc_trust_put_challenge(router, cases[i].known_no, cases[i].pin, &roots,
                                              &manifests, &err),
                      err, ERR_BAD_PIN);
            continue;
        }
        CHECK_OK(rpc_trust_put_challenge(router, cases[i].known_no, cases[i].pin, &roots,
                                         &manifests, &err),
                 err);
        rpc_fields_open(&f, buf_view(&manifests));
        CHECK_U64(f.n_left, 4 - cases[i].first);
        if (cases[i].pin.len) { /* and it is enough for a newcomer */
            _cleanup_(rpc_trust_freep) struct rpc_trust *fresh =
                rpc_trust_new("corp.example", cases[i].pin.data, fake_judge);
            CHECK_OK(rpc_trust_take_challenge(fresh, buf_view(&roots), buf_view(&manifests),
                                              FAKE_ISSUED, &err),
                     err);
            CHECK_U64(rpc_trust_manifest_no(fresh), 3);
        }
    }
}

/* ---- keys ----------------------------------------------------------------------------------- */

TEST(keys_count_for_their_role_and_time)
{
    STORY(s);
    NEWCOMER(trust, &s, &s.a);
    _cleanup_(key_freep) struct key *router = fake_key(RPC_KEY_ROUTER);
    _cleanup_(key_freep) struct key *sign = fake_key(RPC_KEY_DEN_SIGN);
    struct view pk;
    struct err err;

    CHECK_ERR(
        rpc_trust_check_key(trust, RPC_KEY_ROUTER, key_public_view(router), FAKE_ISSUED, &err), err,
        ERR_UNLISTED_KEY);
    CHECK(!rpc_trust_den_sign(trust, FAKE_ISSUED, &pk));
    CHECK_OK(fake_add(trust, &s.m1, &err), err);
    CHECK_OK(rpc_trust_check_key(trust, RPC_KEY_ROUTER, key_public_view(router), FAKE_ISSUED, &err),
             err);
    CHECK_ERR(
        rpc_trust_check_key(trust, RPC_KEY_DEN_LOGIN, key_public_view(router), FAKE_ISSUED, &err),
        err, ERR_UNLISTED_KEY);
    CHECK_STR(err.text, "manifest 1 does not list this key as a key of den-login");
    CHECK_ERR(
        rpc_trust_check_key(trust, RPC_KEY_ROUTER, key_public_view(router), FAKE_ISSUED - 1, &err),
        err, ERR_UNLISTED_KEY);
    CHECK_STR(err.text, "manifest 1 lists this key for another time as a key of router");
    CHECK_ERR(
        rpc_trust_check_key(trust, RPC_KEY_ROUTER, key_public_view(router), FAKE_NOT_AFTER, &err),
        err, ERR_UNLISTED_KEY);
    CHECK(rpc_trust_den_sign(trust, FAKE_ISSUED, &pk));
    CHECK_VIEW(pk, key_public_view(sign));
    CHECK(!rpc_trust_den_sign(trust, FAKE_NOT_AFTER, &pk));
}

static struct rpc_admission admission(struct view netid, const struct key *client)
{
    return (struct rpc_admission){
        netid,
        VIEW_LIT("corp.example"),
        VIEW_LIT("456000"),
        key_public_view(client),
        VIEW_LIT("peer"),
        1,
        5,
        6,
        { 0 },
    };
}

TEST(dens_statements_open_under_its_key_and_for_this_network)
{
    STORY(s);
    NEWCOMER(trust, &s, &s.a);
    _cleanup_(key_freep) struct key *sign = fake_key(RPC_KEY_DEN_SIGN);
    _cleanup_(key_freep) struct key *login = fake_key(RPC_KEY_DEN_LOGIN);
    struct rpc_admission a = admission(VIEW_ARR(s.a.hash), login),
                         foreign = admission(VIEW_ARR(s.b.hash), login), back;
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };
    struct err err;

    CHECK_OK(fake_add(trust, &s.m1, &err), err);
    rpc_statement_sign(RPC_W_ADMISSION, &a, sign, &bytes, sig);
    CHECK_OK(rpc_trust_open(trust, RPC_W_ADMISSION, buf_view(&bytes), VIEW_ARR(sig), FAKE_ISSUED,
                            &back, &err),
             err);
    CHECK_VIEW(back.id, VIEW_LIT("456000"));
    CHECK_ERR(rpc_trust_open(trust, RPC_W_ADMISSION, buf_view(&bytes), VIEW_ARR(sig),
                             FAKE_NOT_AFTER, &back, &err),
              err, ERR_BAD_SIGNATURE);
    rpc_statement_sign(RPC_W_ADMISSION, &a, login, &bytes,
                       sig); /* den's other key signs other words */
    CHECK_ERR(rpc_trust_open(trust, RPC_W_ADMISSION, buf_view(&bytes), VIEW_ARR(sig), FAKE_ISSUED,
                             &back, &err),
              err, ERR_BAD_SIGNATURE);
    CHECK_STR(err.text, "admission: not signed by a den-sign key of manifest 1");
    rpc_statement_sign(RPC_W_ADMISSION, &foreign, sign, &bytes, sig);
    CHECK_ERR(rpc_trust_open(trust, RPC_W_ADMISSION, buf_view(&bytes), VIEW_ARR(sig), FAKE_ISSUED,
                             &back, &err),
              err, ERR_BAD_STATEMENT);
    CHECK_STR(err.text, "admission: netid: another network's");
}

/* ---- disk ----------------------------------------------------------------------------------- */

TEST(the_file_brings_everything_back_and_is_verified)
{
    STORY(s);
    NEWCOMER(trust, &s, &s.a);
    _cleanup_(rpc_trust_freep) struct rpc_trust *back = NULL;
    _buf_ file = { 0 };
    _buf_ again = { 0 };
    struct err err;

    CHECK_OK(fake_add(trust, &s.m1, &err), err);
    CHECK_OK(fake_add(trust, &s.m2, &err), err);
    CHECK_OK(fake_add(trust, &s.m3, &err), err);
    rpc_trust_save(trust, &file);
    CHECK_OK(rpc_trust_load(buf_view(&file), fake_judge, &back, &err), err);
    CHECK_U64(rpc_trust_manifest_no(back), 3);
    CHECK_STR(rpc_trust_network(back), "corp.example");
    CHECK_VIEW(rpc_trust_pin(back), VIEW_ARR(s.a.hash));
    rpc_trust_save(back, &again);
    CHECK_VIEW(buf_view(&again), buf_view(&file));

    for (size_t n = 0; n < file.len; n++) {
        struct rpc_trust *none = NULL;
        _buf_ prefix = buf_dup(view_sub(buf_view(&file), 0, n));
        CHECK(!rpc_trust_load(buf_view(&prefix), fake_judge, &none, &err));
    }
    buf_put_u8(&file, 0xc0);
    struct rpc_trust *none = NULL;
    CHECK_ERR(rpc_trust_load(buf_view(&file), fake_judge, &none, &err), err, ERR_BAD_WIRE);
    CHECK_STR(err.text, "trust file: bytes left over");
}

TEST(an_altered_file_is_refused)
{
    STORY(s);
    NEWCOMER(trust, &s, &s.a);
    _buf_ file = { 0 };
    struct err err;

    CHECK_OK(fake_add(trust, &s.m1, &err), err);
    CHECK_OK(fake_add(trust, &s.m2, &err), err);
    rpc_trust_save(trust, &file);
    for (size_t i = 0; i < file.len; i += 3) {
        _cleanup_(rpc_trust_freep) struct rpc_trust *back = NULL;
        file.data[i] ^= 1;
        /* a change that is taken is one of the pin, which manifests already replaced as what the
         * chain hangs from */
        if (rpc_trust_load(buf_view(&file), fake_judge, &back, &err))
            CHECK(!view_eq(rpc_trust_pin(back), VIEW_ARR(s.a.hash)));
        file.data[i] ^= 1;
    }
}

TEST(the_oldest_manifests_go_and_the_rest_stands)
{
    STORY(s);
    NEWCOMER(trust, &s, &s.a);
    _cleanup_(rpc_trust_freep) struct rpc_trust *back = NULL;
    struct fake_manifest m[RPC_MAX_MANIFESTS + 4];
    const size_t n = N_ELEMENTS(m);
    _buf_ file = { 0 };
    _buf_ roots = { 0 };
    _buf_ manifests = { 0 };
    struct err err;

    fake_manifest_make(&m[0], &(struct fake_says){ 1, &s.a, NULL, { &s.a }, { &s.a } });
    fake_manifest_make(&m[1],
                       &(struct fake_says){ 2, &s.a, &m[0], { &s.a, &s.b }, { &s.a, &s.b } });
    for (size_t i = 2; i < n; i++)
        fake_manifest_make(&m[i],
                           &(struct fake_says){ i + 1, &s.a, &m[i - 1], { &s.b }, { &s.b } });
    for (size_t i = 0; i < n; i++)
        CHECK_OK(fake_add(trust, &m[i], &err), err);
    CHECK_U64(rpc_trust_manifest_no(trust), n);

    rpc_trust_save(trust, &file);
    CHECK_OK(rpc_trust_load(buf_view(&file), fake_judge, &back, &err), err);
    CHECK_U64(rpc_trust_manifest_no(back), n);
    CHECK_VIEW(rpc_trust_pin(back), VIEW_ARR(s.a.hash));
    CHECK_ERR(rpc_trust_put_challenge(trust, 4, (struct view){ 0 }, &roots, &manifests, &err), err,
              ERR_NOT_FOUND);
    CHECK_STR(err.text, "manifest 4 is no longer kept: join again");
    CHECK_OK(rpc_trust_put_challenge(trust, 5, (struct view){ 0 }, &roots, &manifests, &err), err);
    CHECK_ERR(rpc_trust_put_challenge(trust, 0, VIEW_ARR(s.a.hash), &roots, &manifests, &err), err,
              ERR_BAD_PIN);
    CHECK_ERR(fake_add(trust, &m[0], &err), err, ERR_STALE);
    for (size_t i = 0; i < n; i++)
        fake_manifest_deinit(&m[i]);
}
