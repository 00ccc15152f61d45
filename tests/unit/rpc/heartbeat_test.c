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
