/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "tests/check.h"
#include "tests/unit/rpc/fakenet.h"

enum { MONO = 500, TIME = FAKE_ISSUED + 7000 };

/* A party that knows manifest 1, and den's signing key. */
struct net {
    struct fake_root root;
    struct fake_manifest m1;
    struct key *sign;
    struct rpc_trust *trust;
};

static void net_init(struct net *net)
{
    struct err err;

    fake_root_init(&net->root, 1);
    fake_manifest_make(&net->m1,
                       &(struct fake_says){ 1, &net->root, NULL, { &net->root }, { &net->root } });
    net->sign = fake_key(RPC_KEY_DEN_SIGN);
    net->trust = rpc_trust_new("corp.example", net->root.hash, fake_judge);
    CHECK(rpc_trust_add_root(net->trust, buf_view(&net->root.der), &err));
    CHECK(fake_add(net->trust, &net->m1, &err));
}

static void net_deinit(struct net *net)
{
    fake_root_deinit(&net->root);
    fake_manifest_deinit(&net->m1);
    key_free(net->sign);
    rpc_trust_free(net->trust);
}
#define NET(n)                                                                                     \
    _cleanup_(net_deinit) struct net n = { 0 };                                                    \
    net_init(&n)

/* What a case says of a heartbeat; the rest follows. */
struct says {
    uint64_t hb_no, time;
    uint8_t beacon;
    uint64_t crl_no, rev_no, manifest_no, policy_no, audit_no;
    uint8_t rev_head, audit_head;
};

static void sign(const struct net *net, const struct key *key, const struct says *says,
                 struct buf *bytes, uint8_t sig[SIG_SIZE])
{
    uint8_t beacon[RPC_BEACON], rev_head[HASH_SIZE], audit_head[HASH_SIZE], crl[HASH_SIZE] = { 0 };
    struct rpc_heartbeat h = {
        .netid = VIEW_ARR(net->root.hash),
        .hb_no = says->hb_no,
        .time = says->time,
        .next_in = 30000,
        .bound = 600000,
        .beacon = VIEW_ARR(beacon),
        .crl_no = says->crl_no,
        .crl_hash = VIEW_ARR(crl),
        .rev_no = says->rev_no,
        .rev_head = VIEW_ARR(rev_head),
        .manifest_no = says->manifest_no,
        .policy_no = says->policy_no,
        .audit_no = says->audit_no,
        .audit_head = VIEW_ARR(audit_head),
    };

    memset(beacon, says->beacon, sizeof(beacon));
    memset(rev_head, says->rev_head, sizeof(rev_head));
    memset(audit_head, says->audit_head, sizeof(audit_head));
    rpc_statement_sign(RPC_W_HEARTBEAT, &h, key, bytes, sig);
}

static bool add_at(struct net *net, const struct says *says, uint64_t mono,
                   enum rpc_heart *ret_heart, struct err *err)
{
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    sign(net, net->sign, says, &bytes, sig);
    return rpc_trust_add_heartbeat(net->trust, buf_view(&bytes), VIEW_ARR(sig), mono, TIME,
                                   ret_heart, err);
}

static bool add(struct net *net, const struct says *says, enum rpc_heart *ret_heart,
                struct err *err)
{
    return add_at(net, says, MONO, ret_heart, err);
}

static bool knows(const struct net *net, uint8_t with)
{
    uint8_t beacon[RPC_BEACON];

    memset(beacon, with, sizeof(beacon));
    return rpc_trust_knows_beacon(net->trust, VIEW_ARR(beacon));
}

static const struct says base = { 5, TIME, 1, 10, 10, 1, 10, 10, 7, 7 };

TEST(heartbeats_are_newer_same_or_older)
{
    NET(net);
    struct says newer = base, older = base;
    enum rpc_heart heart;
    struct err err;

    CHECK(!rpc_trust_heartbeat(net.trust));
    CHECK_U64(rpc_trust_heartbeat_bytes(net.trust).len, 0);
    CHECK_OK(add(&net, &base, &heart, &err), err);
    CHECK_U64(heart, RPC_HEART_NEWER);
    CHECK_OK(add(&net, &base, &heart, &err), err);
    CHECK_U64(heart, RPC_HEART_SAME);
    older.hb_no = 4;
    older.crl_no = 9; /* as it was then */
    CHECK_OK(add(&net, &older, &heart, &err), err);
    CHECK_U64(heart, RPC_HEART_OLDER);
    CHECK_U64(rpc_trust_heartbeat(net.trust)->hb_no, 5);
    newer.hb_no = 9;
    CHECK_OK(add(&net, &newer, &heart, &err), err);
    CHECK_U64(heart, RPC_HEART_NEWER);
    CHECK_U64(rpc_trust_heartbeat(net.trust)->hb_no, 9);
    CHECK_U64(rpc_trust_heartbeat_sig(net.trust).len, SIG_SIZE);
}

TEST(no_number_ever_falls_and_nothing_changes_when_one_does)
{
    static const struct {
        struct says says;
        enum err_code code;
        const char *why;
    } cases[] = {
        { { 6, TIME, 2, 9, 10, 1, 10, 10, 7, 7 },
          ERR_STALE,
          "heartbeat 6: crl_no fell: den shows an older state" },
        { { 6, TIME, 2, 10, 9, 1, 10, 10, 7, 7 },
          ERR_STALE,
          "heartbeat 6: rev_no fell: den shows an older state" },
        { { 6, TIME, 2, 10, 10, 1, 9, 10, 7, 7 },
          ERR_STALE,
          "heartbeat 6: policy_no fell: den shows an older state" },
        { { 6, TIME, 2, 10, 10, 1, 10, 9, 7, 7 },
          ERR_STALE,
          "heartbeat 6: audit_no fell: den shows an older state" },
        { { 6, TIME, 2, 10, 10, 1, 10, 10, 8, 7 },
          ERR_BAD_STATEMENT,
          "heartbeat 6: rev_head changed, but not its number" },
        { { 6, TIME, 2, 10, 10, 1, 10, 10, 7, 8 },
          ERR_BAD_STATEMENT,
          "heartbeat 6: audit_head changed, but not its number" },
        { { 5, TIME + 1, 1, 10, 10, 1, 10, 10, 7, 7 },
          ERR_BAD_STATEMENT,
          "heartbeat 5: den signed two different ones of this number" },
    };
    NET(net);
    enum rpc_heart heart;
    struct err err;
    _buf_ was = { 0 };

    CHECK_OK(add(&net, &base, &heart, &err), err);
    buf_put(&was, rpc_trust_heartbeat_bytes(net.trust));
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        CHECK_ERR(add_at(&net, &cases[i].says, MONO + 1000, &heart, &err), err, cases[i].code);
        CHECK_STR(err.text, cases[i].why);
        CHECK_U64(heart, RPC_HEART_FORKED);
        CHECK_VIEW(rpc_trust_heartbeat_bytes(net.trust), buf_view(&was));
        CHECK_U64(rpc_trust_heartbeat_age(net.trust, MONO + 1000), 1000);
        CHECK(!knows(&net, 2));
    }
}

TEST(the_manifest_number_does_not_fall_either)
{
    NET(net);
    struct says first = base, second = base;
    enum rpc_heart heart;
    struct err err;

    first.manifest_no = 2;
    second.hb_no = 6;
    CHECK_OK(add(&net, &first, &heart, &err), err);
    CHECK_ERR(add(&net, &second, &heart, &err), err, ERR_STALE);
    CHECK_STR(err.text, "heartbeat 6: manifest_no fell: den shows an older state");
}

TEST(heartbeats_of_others_are_refused)
{
    NET(net);
    _fake_root_ other;
    _cleanup_(key_freep) struct key *login = fake_key(RPC_KEY_DEN_LOGIN);
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };
    enum rpc_heart heart;
    struct err err;

    fake_root_init(&other, 9);
    sign(&net, login, &base, &bytes, sig);
    CHECK_ERR(rpc_trust_add_heartbeat(net.trust, buf_view(&bytes), VIEW_ARR(sig), MONO, TIME,
                                      &heart, &err),
              err, ERR_BAD_SIGNATURE);
    sign(&net, net.sign, &base, &bytes, sig);
    CHECK_ERR(rpc_trust_add_heartbeat(net.trust, buf_view(&bytes), VIEW_ARR(sig), MONO,
                                      FAKE_NOT_AFTER, &heart, &err),
              err, ERR_BAD_SIGNATURE); /* by the wall clock, before the first one told the time */
    memcpy(net.root.hash, other.hash, HASH_SIZE);
    sign(&net, net.sign, &base, &bytes, sig);
    CHECK_ERR(rpc_trust_add_heartbeat(net.trust, buf_view(&bytes), VIEW_ARR(sig), MONO, TIME,
                                      &heart, &err),
              err, ERR_BAD_STATEMENT);
    CHECK_STR(err.text, "heartbeat: netid: another network's");
    CHECK(!rpc_trust_heartbeat(net.trust));
}

TEST(the_last_two_beacons_are_fresh)
{
    NET(net);
    enum rpc_heart heart;
    struct err err;
    struct says h = base;

    CHECK(!knows(&net, 1) && !knows(&net, 0));
    CHECK_OK(add(&net, &h, &heart, &err), err); /* beacon 1 */
    CHECK(knows(&net, 1) && !knows(&net, 0));
    h.hb_no++; /* an extra one keeps the beacon */
    CHECK_OK(add(&net, &h, &heart, &err), err);
    h.hb_no++;
    h.beacon = 2;
    CHECK_OK(add(&net, &h, &heart, &err), err);
    CHECK(knows(&net, 1) && knows(&net, 2));
    h.hb_no++;
    CHECK_OK(add(&net, &h, &heart, &err), err);
    CHECK(knows(&net, 1) && knows(&net, 2));
    h.hb_no++;
    h.beacon = 3;
    CHECK_OK(add(&net, &h, &heart, &err), err);
    CHECK(!knows(&net, 1) && knows(&net, 2) && knows(&net, 3));
    CHECK(!rpc_trust_knows_beacon(net.trust, (struct view){ 0 }));
}

TEST(network_time_runs_from_the_newest_heartbeat)
{
    NET(net);
    struct says h = base;
    enum rpc_heart heart;
    struct err err;

    CHECK_U64(rpc_trust_now(net.trust, MONO, 12345), 12345);
    CHECK_U64(rpc_trust_heartbeat_age(net.trust, MONO), UINT64_MAX);
    CHECK_OK(add(&net, &h, &heart, &err), err);
    CHECK_U64(rpc_trust_now(net.trust, MONO + 250, 12345), TIME + 250);
    CHECK_U64(rpc_trust_heartbeat_age(net.trust, MONO + 250), 250);
    CHECK_OK(add_at(&net, &h, MONO + 9000, &heart, &err),
             err); /* the same again is no sign of life */
    CHECK_U64(rpc_trust_heartbeat_age(net.trust, MONO + 9000), 9000);
    h.hb_no++;
    h.time = TIME + 60000;
    CHECK_OK(add_at(&net, &h, MONO + 30000, &heart, &err), err);
    CHECK_U64(rpc_trust_now(net.trust, MONO + 30001, 12345), TIME + 60001);
}

/* One who stands in between and delivers late must not hold a party in the past. */
TEST(a_heartbeat_that_comes_late_shows_its_true_age)
{
    NET(net);
    struct says h = base;
    enum rpc_heart heart;
    struct err err;

    CHECK_OK(add(&net, &h, &heart, &err), err);
    for (uint64_t i = 1; i < 200; i++) { /* each 30 s newer than the last, and 570 s after it */
        h.hb_no++;
        h.time = TIME + i * 30000;
        CHECK_OK(add_at(&net, &h, MONO + i * 570000, &heart, &err), err);
        CHECK_U64(heart, RPC_HEART_NEWER);
        CHECK_U64(rpc_trust_now(net.trust, MONO + i * 570000, 12345), TIME + i * 570000);
        CHECK_U64(rpc_trust_heartbeat_age(net.trust, MONO + i * 570000), i * 540000);
    }
    h.hb_no++;
    h.time = TIME + 200 * UINT64_C(570000);
    CHECK_OK(add_at(&net, &h, MONO + 199 * 570000, &heart, &err), err); /* ahead: taken at once */
    CHECK_U64(rpc_trust_heartbeat_age(net.trust, MONO + 199 * 570000), 0);
    CHECK_U64(rpc_trust_now(net.trust, MONO + 199 * 570000, 12345), h.time);
    CHECK_U64(rpc_trust_now(net.trust, MONO, 12345), h.time); /* nor does a clock that goes back */
}

/* den's answer as `says` would have it. */
struct told {
    uint64_t time, asked_at, mono, wall;
    uint8_t nonce, asked_nonce;
};

static bool tell(struct net *net, const struct key *key, const struct told *told, struct err *err)
{
    uint8_t sig[SIG_SIZE], nonce[RPC_NONCE16], asked[RPC_NONCE16];
    _buf_ bytes = { 0 };
    const struct rpc_time t = { VIEW_ARR(net->root.hash), VIEW_ARR(nonce), told->time };
    struct rpc_time_answer answer = { .nonce = VIEW_ARR(asked), .asked_at = told->asked_at };

    memset(nonce, told->nonce, sizeof(nonce));
    memset(asked, told->asked_nonce, sizeof(asked));
    rpc_statement_sign(RPC_W_TIME, &t, key, &bytes, sig);
    answer.bytes = buf_view(&bytes);
    answer.sig = VIEW_ARR(sig);
    return rpc_trust_take_time(net->trust, &answer, told->mono, told->wall, err);
}

enum { DAY = 86400000 };

TEST(a_heartbeat_that_is_shown_again_after_days_is_days_old)
{
    NET(net);
    struct told told = { TIME + 3 * DAY, MONO, MONO + 10, TIME + 3 * DAY, 7, 7 };
    enum rpc_heart heart;
    _buf_ file = { 0 };
    struct err err;

    CHECK_OK(add(&net, &base, &heart, &err), err);
    rpc_trust_save(net.trust, &file);
    rpc_trust_free(STEAL(net.trust));
    CHECK_OK(rpc_trust_load(buf_view(&file), fake_judge, &net.trust, &err), err);

    CHECK_OK(add(&net, &base, &heart, &err), err); /* the router kept the others back */
    CHECK(!rpc_trust_time_is_sure(net.trust, MONO, TIME + 3 * DAY));
    CHECK_OK(tell(&net, net.sign, &told, &err), err);
    CHECK(rpc_trust_time_is_sure(net.trust, MONO + 10, TIME + 3 * DAY));
    CHECK_U64(rpc_trust_now(net.trust, MONO + 20, 12345), TIME + 3 * DAY + 10);
    CHECK_U64(rpc_trust_heartbeat_age(net.trust, MONO + 20), 3 * DAY + 10);
    CHECK_OK(add_at(&net, &base, MONO + 1000, &heart, &err), err); /* it cannot take it back */
    CHECK_U64(rpc_trust_heartbeat_age(net.trust, MONO + 20), 3 * DAY + 10);
}

TEST(what_does_not_answer_our_question_confirms_no_time)
{
    static const struct {
        struct told told;
        bool by_another;
        enum err_code code;
        const char *why;
    } cases[] = {
        { { TIME, MONO, MONO + 10, TIME, 7, 8 },
          false,
          ERR_BAD_STATEMENT,
          "time: answers another nonce than ours" },
        { { TIME, MONO, MONO + RPC_TIME_MS, TIME, 7, 7 },
          false,
          ERR_STALE,
          "time: the answer took 10000 ms" },
        { { TIME, MONO, MONO + 10, TIME, 7, 7 }, true, ERR_BAD_SIGNATURE, NULL },
        { { FAKE_NOT_AFTER, MONO, MONO + 10, TIME, 7, 7 }, false, ERR_BAD_SIGNATURE, NULL },
    };
    NET(net);
    _cleanup_(key_freep) struct key *other = key_new();
    enum rpc_heart heart;
    struct err err;

    CHECK_OK(add(&net, &base, &heart, &err), err);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        const struct key *key = cases[i].by_another ? other : net.sign;

        CHECK_ERR(tell(&net, key, &cases[i].told, &err), err, cases[i].code);
        if (cases[i].why)
            CHECK_STR(err.text, cases[i].why);
        CHECK(!rpc_trust_time_is_sure(net.trust, MONO + 10, TIME));
        CHECK_U64(rpc_trust_now(net.trust, MONO, 12345), TIME);
    }
}

TEST(a_clock_that_parts_from_network_time_asks_for_a_new_answer)
{
    static const struct {
        int64_t by; /* the wall clock against the monotonic one, since */
        bool is_sure;
    } cases[] = {
        { 0, true },
        { RPC_TIME_DRIFT_MS, true },
        { -RPC_TIME_DRIFT_MS, true },
        { RPC_TIME_DRIFT_MS + 1, false }, /* the machine slept */
        { -RPC_TIME_DRIFT_MS - 1, false },
        { 3 * DAY, false },
    };
    static const int64_t wrong_by[] = { 0, 10 * DAY,
                                        -10 * DAY }; /* all the time: that is no news */
    struct err err;

    for (size_t w = 0; w < N_ELEMENTS(wrong_by); w++) {
        uint64_t wall = (uint64_t)(TIME + wrong_by[w]);
        const struct told told = { TIME, MONO, MONO, wall, 7, 7 };
        enum rpc_heart heart;
        NET(net);

        CHECK_OK(add(&net, &base, &heart, &err), err);
        CHECK_OK(tell(&net, net.sign, &told, &err), err);
        for (size_t i = 0; i < N_ELEMENTS(cases); i++)
            CHECK(rpc_trust_time_is_sure(net.trust, MONO + DAY,
                                         wall + DAY + (uint64_t)cases[i].by) == cases[i].is_sure);
    }
}

TEST(a_heartbeat_from_disk_keeps_its_numbers_but_tells_no_time)
{
    NET(net);
    enum rpc_heart heart;
    struct says fallen = base;
    _buf_ file = { 0 };
    struct err err;

    CHECK_OK(add(&net, &base, &heart, &err), err);
    rpc_trust_save(net.trust, &file);
    rpc_trust_free(STEAL(net.trust));
    CHECK_OK(rpc_trust_load(buf_view(&file), fake_judge, &net.trust, &err), err);

    CHECK_U64(rpc_trust_heartbeat(net.trust)->hb_no, 5);
    CHECK_U64(rpc_trust_now(net.trust, MONO, 12345), 12345);
    CHECK_U64(rpc_trust_heartbeat_age(net.trust, MONO), UINT64_MAX);
    CHECK(!knows(&net, 1));
    fallen.hb_no = 6;
    fallen.audit_no = 3;
    CHECK_ERR(add(&net, &fallen, &heart, &err), err, ERR_STALE);
    CHECK_OK(add(&net, &base, &heart, &err),
             err); /* it comes again: now it was heard in this process */
    CHECK_U64(heart, RPC_HEART_SAME);
    CHECK(knows(&net, 1));
    CHECK_U64(rpc_trust_now(net.trust, MONO + 1, 12345), TIME + 1);
}

TEST(an_altered_heartbeat_on_disk_is_refused)
{
    NET(net);
    _cleanup_(rpc_trust_freep) struct rpc_trust *back = NULL;
    enum rpc_heart heart;
    _buf_ file = { 0 };
    struct err err;

    CHECK_OK(add(&net, &base, &heart, &err), err);
    rpc_trust_save(net.trust, &file);
    file.data[file.len - SIG_SIZE - 20] ^= 1;
    CHECK_ERR(rpc_trust_load(buf_view(&file), fake_judge, &back, &err), err, ERR_BAD_SIGNATURE);
    CHECK_STR(err.text, "trust file: heartbeat: not signed by a den-sign key of any kept manifest");
}

/* den's key was replaced while this machine was off: what it saved before still counts. */
TEST(a_heartbeat_survives_its_key)
{
    NET(net);
    _fake_manifest_ m2 = { 0 };
    struct rpc_manifest says;
    uint8_t other[KEY_SIZE], previous[HASH_SIZE], sig[SIG_SIZE];
    _cleanup_(rpc_trust_freep) struct rpc_trust *back = NULL;
    enum rpc_heart heart;
    _buf_ file = { 0 };
    struct err err;

    CHECK_OK(add(&net, &base, &heart, &err), err);
    memset(other, 0x77, sizeof(other));
    CHECK_OK(rpc_statement_read(RPC_W_MANIFEST, buf_view(&net.m1.bytes), &says, &err), err);
    hash_sha256(buf_view(&net.m1.bytes), previous);
    says.manifest_no = 2;
    says.previous = VIEW_ARR(previous);
    says.keys.item[1].pk = VIEW_ARR(other);
    rpc_statement_write(RPC_W_MANIFEST, &says, &m2.bytes);
    key_sign(net.root.key, buf_view(&m2.bytes), sig);
    m2.sigs[m2.n_sigs++] = VIEW_ARR(sig);
    CHECK_OK(fake_add(net.trust, &m2, &err), err);

    rpc_trust_save(net.trust, &file);
    CHECK_OK(rpc_trust_load(buf_view(&file), fake_judge, &back, &err), err);
    CHECK_U64(rpc_trust_heartbeat(back)->hb_no, 5);
}

TEST(a_challenge_keeps_the_heartbeat)
{
    NET(net);
    const struct fake_root *roots[] = { &net.root };
    const struct fake_manifest *manifests[] = { &net.m1 };
    enum rpc_heart heart;
    _buf_ r = { 0 };
    _buf_ m = { 0 };
    struct err err;

    CHECK_OK(add(&net, &base, &heart, &err), err);
    fake_put_roots(&r, roots, 1);
    fake_put_manifests(&m, manifests, 1);
    CHECK_OK(rpc_trust_take_challenge(net.trust, buf_view(&r), buf_view(&m), TIME, &err), err);
    CHECK_U64(rpc_trust_heartbeat(net.trust)->hb_no, 5);
    CHECK_VIEW(rpc_trust_heartbeat(net.trust)->netid, VIEW_ARR(net.root.hash));
    CHECK(knows(&net, 1));
}

#define LATER (TIME + 2 * DAY_MS)
/* den's key is in force from FAKE_ISSUED on: a clock a day behind that is what is wrong. */
TEST(a_clock_that_is_wrong_is_blamed_with_both_times)
{
    static const struct {
        uint64_t wall, time;
        bool is_wrong;
    } cases[] = {
        { LATER - DAY_MS, LATER, true },
        { LATER + DAY_MS, LATER, true },
        { LATER - RPC_CLOCK_SKEW_MS, LATER, false },
        { LATER + RPC_CLOCK_SKEW_MS + 1, LATER, true },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        NET(net);
        const struct says says = { .hb_no = 1,
                                   .time = cases[i].time,
                                   .beacon = 1,
                                   .crl_no = 1,
                                   .manifest_no = 1,
                                   .policy_no = 1,
                                   .audit_no = 1 };
        uint8_t sig[SIG_SIZE], theirs[SIG_SIZE];
        _cleanup_(key_freep) struct key *stranger = key_new();
        _buf_ bytes = { 0 };
        _buf_ other = { 0 };
        struct err err = { 0 };
        enum rpc_heart heart;

        sign(&net, net.sign, &says, &bytes, sig);
        sign(&net, stranger, &says, &other, theirs);
        const struct rpc_trust_shown good = { .heartbeat = buf_view(&bytes), .sig = VIEW_ARR(sig) },
                                     bad = { .heartbeat = buf_view(&other),
                                             .sig = VIEW_ARR(theirs) };
        CHECK(!rpc_trust_blames_clock(net.trust, &bad, cases[i].wall, &err));
        CHECK(rpc_trust_blames_clock(net.trust, &good, cases[i].wall, &err) == cases[i].is_wrong);
        if (cases[i].is_wrong) {
            CHECK_U64(err.code, ERR_CLOCK_SKEW);
            CHECK(strstr(err.text, "this machine's clock says ") &&
                  strstr(err.text, "the network's time is "));
        }
        /* once network time is known, no clock is to blame */
        CHECK_OK(rpc_trust_add_heartbeat(net.trust, buf_view(&bytes), VIEW_ARR(sig), MONO, LATER,
                                         &heart, &err),
                 err);
        CHECK(!rpc_trust_blames_clock(net.trust, &good, cases[i].wall, &err));
    }
}

/* A day before the root has to sign the next one, by a clock that is a day and an hour ahead. The newcomer has its pin alone. */
TEST(a_manifest_that_is_over_by_a_wrong_clock_alone_is_the_clocks_fault)
{
    enum { OVER_HERE, OVER_THERE, STRANGER, N_CASES };
    const uint64_t ends = FAKE_NOT_AFTER, wall = ends + HOUR_MS;

    for (int is_new = 0; is_new < 2; is_new++) {
        for (int i = 0; i < N_CASES; i++) {
            NET(net);
            _cleanup_(key_freep) struct key *stranger = key_new();
            _cleanup_(rpc_trust_freep) struct rpc_trust *newcomer =
                rpc_trust_new("corp.example", net.root.hash, fake_judge);
            struct rpc_trust *trust = is_new ? newcomer : net.trust;
            const struct fake_root *const roots[] = { &net.root };
            const struct fake_manifest *const manifests[] = { &net.m1 };
            const struct says says = { .hb_no = 1,
                                       .time = i == OVER_THERE ? ends + HOUR_MS / 2 : ends - DAY_MS,
                                       .beacon = 1,
                                       .crl_no = 1,
                                       .manifest_no = 1,
                                       .policy_no = 1,
                                       .audit_no = 1 };
            uint8_t sig[SIG_SIZE];
            _buf_ bytes = { 0 }, r = { 0 }, m = { 0 };
            struct err err = { 0 };

            sign(&net, i == STRANGER ? stranger : net.sign, &says, &bytes, sig);
            fake_put_roots(&r, roots, 1);
            fake_put_manifests(&m, manifests, 1);
            const struct rpc_trust_shown shown = { buf_view(&r), buf_view(&m), buf_view(&bytes),
                                                   VIEW_ARR(sig) };
            CHECK_ERR(rpc_trust_take_challenge(trust, shown.roots, shown.manifests, wall, &err),
                      err, ERR_EXPIRED);
            CHECK(rpc_trust_blames_clock(trust, &shown, wall, &err) == (i == OVER_HERE));
            CHECK_U64(err.code, i == OVER_HERE ? ERR_CLOCK_SKEW : ERR_EXPIRED);
            CHECK(i != OVER_HERE || (strstr(err.text, "this machine's clock says ") &&
                                     strstr(err.text, "the network's time is ")));
            CHECK_U64(rpc_trust_manifest_no(trust), is_new ? 0 : 1); /* and nothing was taken */
        }
    }
}
