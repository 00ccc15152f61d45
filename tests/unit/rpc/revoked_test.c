/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/revoked.h"
#include "tests/check.h"
#include "tests/unit/rpc/fakenet.h"

enum { NOW = FAKE_ISSUED + 7000, MANY = 40 };

static const uint8_t zeros[HASH_SIZE];

/* A party that knows manifest 1, den's signing key, and den's own end of the chain. */
struct net {
    struct fake_root root;
    struct fake_manifest m1;
    struct key *sign;
    struct rpc_trust *trust;
    struct rpc_revoked *revoked;
    uint64_t no;
    uint8_t head[HASH_SIZE];
    struct buf file;
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
    net->revoked = rpc_revoked_new();
    rpc_revoked_put_head(&net->file);
}

static void net_deinit(struct net *net)
{
    fake_root_deinit(&net->root);
    fake_manifest_deinit(&net->m1);
    key_free(net->sign);
    rpc_trust_free(net->trust);
    rpc_revoked_free(net->revoked);
    buf_free(&net->file);
}
#define NET(n)                                                                                     \
    _cleanup_(net_deinit) struct net n = { 0 };                                                    \
    net_init(&n)

static const struct rpc_revocation stolen = {
    .kind = RPC_REVOKED_IDENTITY,
    .id = { (const uint8_t *)"456000", 6 },
    .subject = { zeros, HASH_SIZE },
    .reason = 1,
    .at = NOW,
};

/* Number `no` after `previous`, signed by `key`. */
static void sign(const struct net *net, const struct key *key, struct rpc_revocation r, uint64_t no,
                 const uint8_t previous[HASH_SIZE], struct buf *bytes, uint8_t sig[SIG_SIZE])
{
    r.netid = VIEW_ARR(net->root.hash);
    r.rev_no = no;
    r.previous = VIEW(previous, HASH_SIZE);
    rpc_statement_sign(RPC_W_REVOKE, &r, key, bytes, sig);
}

static bool add(struct net *net, struct view bytes, const uint8_t sig[SIG_SIZE],
                struct rpc_revoked_news *news, struct err *err)
{
    return rpc_revoked_add(net->revoked, net->trust, bytes, VIEW(sig, SIG_SIZE), NOW, news, err);
}

/* den's next one; added, and appended to the file. */
static void revoke(struct net *net, const struct rpc_revocation *r)
{
    uint8_t sig[SIG_SIZE];
    struct rpc_revoked_news news;
    struct err err = { 0 };
    _buf_ bytes = { 0 };

    sign(net, net->sign, *r, ++net->no, net->head, &bytes, sig);
    hash_sha256(buf_view(&bytes), net->head);
    CHECK_OK(add(net, buf_view(&bytes), sig, &news, &err), err);
    CHECK_U64(news.step, RPC_REVOKED_TAKEN);
    rpc_revoked_put_record(&net->file, buf_view(&bytes), VIEW_ARR(sig));
}

TEST(each_kind_is_known_by_what_it_names)
{
    NET(net);
    struct rpc_revocation serial = stolen, tls = stolen, admissions = stolen;

    serial.kind = RPC_REVOKED_SERIAL;
    serial.subject = VIEW_LIT("\x01\x02\x03");
    tls.kind = RPC_REVOKED_TLS_KEY;
    admissions.kind = RPC_REVOKED_ADMISSIONS;
    admissions.subject = VIEW_LIT("\0\0\0\0\0\0\0\5");
    CHECK(!rpc_revoked_has(net.revoked, RPC_REVOKED_SERIAL, serial.subject));
    revoke(&net, &serial);
    CHECK(rpc_revoked_has(net.revoked, RPC_REVOKED_SERIAL, serial.subject));
    CHECK(!rpc_revoked_has(net.revoked, RPC_REVOKED_SERIAL, VIEW_LIT("\x01\x02")));
    CHECK(!rpc_revoked_has(net.revoked, RPC_REVOKED_TLS_KEY, tls.subject));
    revoke(&net, &tls);
    CHECK(rpc_revoked_has(net.revoked, RPC_REVOKED_TLS_KEY, tls.subject));
    CHECK(!rpc_revoked_has(net.revoked, RPC_REVOKED_IDENTITY, stolen.subject));
    revoke(&net, &stolen);
    CHECK(rpc_revoked_has(net.revoked, RPC_REVOKED_IDENTITY, stolen.subject));
    CHECK_U64(rpc_revoked_min_adm_no(net.revoked, VIEW_LIT("456000")), 0);
    revoke(&net, &admissions);
    CHECK_U64(rpc_revoked_min_adm_no(net.revoked, VIEW_LIT("456000")), 5);
    admissions.subject = VIEW_LIT("\0\0\0\0\0\0\0\4"); /* it does not fall */
    revoke(&net, &admissions);
    CHECK_U64(rpc_revoked_min_adm_no(net.revoked, VIEW_LIT("456000")), 5);
    CHECK_U64(rpc_revoked_min_adm_no(net.revoked, VIEW_LIT("456001")), 0);
    CHECK_U64(rpc_revoked_no(net.revoked), 5);
    CHECK_VIEW(rpc_revoked_head(net.revoked), VIEW_ARR(net.head));
}

TEST(one_that_is_missing_shows)
{
    NET(net);
    uint8_t sig[SIG_SIZE];
    struct rpc_revoked_news news;
    struct err err = { 0 };
    _buf_ bytes = { 0 };

    revoke(&net, &stolen);
    sign(&net, net.sign, stolen, 3, net.head, &bytes, sig);
    CHECK_OK(add(&net, buf_view(&bytes), sig, &news, &err), err);
    CHECK_U64(news.step, RPC_REVOKED_GAP);
    CHECK_U64(rpc_revoked_no(net.revoked), 1);
}

TEST(a_den_that_contradicts_itself_is_caught)
{
    NET(net);
    uint8_t sig[SIG_SIZE];
    struct rpc_revocation other = stolen;
    struct rpc_revoked_news news;
    struct err err = { 0 };
    _buf_ bytes = { 0 };

    revoke(&net, &stolen);
    other.reason = 4;
    sign(&net, net.sign, other, 1, zeros, &bytes, sig); /* another number 1 */
    CHECK_ERR(add(&net, buf_view(&bytes), sig, &news, &err), err, ERR_BAD_STATEMENT);
    CHECK(news.is_fork);
    sign(&net, net.sign, other, 2, net.root.hash, &bytes,
         sig); /* one that follows from another 1 */
    CHECK_ERR(add(&net, buf_view(&bytes), sig, &news, &err), err, ERR_BAD_STATEMENT);
    CHECK(news.is_fork);
    CHECK_U64(rpc_revoked_no(net.revoked), 1);
}

TEST(what_is_known_changes_nothing)
{
    NET(net);
    uint8_t sig[SIG_SIZE];
    struct rpc_revoked_news news;
    struct err err = { 0 };
    _buf_ bytes = { 0 };

    sign(&net, net.sign, stolen, 1, zeros, &bytes, sig);
    CHECK_OK(add(&net, buf_view(&bytes), sig, &news, &err), err);
    CHECK_OK(add(&net, buf_view(&bytes), sig, &news, &err), err);
    CHECK_U64(news.step, RPC_REVOKED_KNOWN);
    CHECK_U64(rpc_revoked_no(net.revoked), 1);
}

TEST(nobody_but_den_revokes)
{
    NET(net);
    _cleanup_(key_freep) struct key *mallory = key_new();
    uint8_t sig[SIG_SIZE];
    struct rpc_revoked_news news;
    struct err err = { 0 };
    _buf_ bytes = { 0 };

    sign(&net, mallory, stolen, 1, zeros, &bytes, sig);
    CHECK_ERR(add(&net, buf_view(&bytes), sig, &news, &err), err, ERR_BAD_SIGNATURE);
    CHECK(!news.is_fork);
    memset(net.root.hash, 9, HASH_SIZE); /* another network's */
    sign(&net, net.sign, stolen, 1, zeros, &bytes, sig);
    CHECK_ERR(add(&net, buf_view(&bytes), sig, &news, &err), err, ERR_BAD_STATEMENT);
    CHECK(!news.is_fork);
    CHECK_U64(rpc_revoked_no(net.revoked), 0);
}

/* ---- on disk -------------------------------------------------------------------------------- */

static void heart(struct net *net, uint64_t rev_no)
{
    uint8_t beacon[RPC_BEACON] = { 0 }, sig[SIG_SIZE];
    struct rpc_heartbeat h = {
        .netid = VIEW_ARR(net->root.hash),
        .hb_no = 1,
        .time = NOW,
        .beacon = VIEW_ARR(beacon),
        .crl_hash = VIEW_ARR(zeros),
        .rev_no = rev_no,
        .rev_head = VIEW_ARR(net->head),
        .manifest_no = 1,
        .audit_head = VIEW_ARR(zeros),
    };
    enum rpc_heart what;
    struct err err = { 0 };
    _buf_ bytes = { 0 };

    rpc_statement_sign(RPC_W_HEARTBEAT, &h, net->sign, &bytes, sig);
    CHECK_OK(
        rpc_trust_add_heartbeat(net->trust, buf_view(&bytes), VIEW_ARR(sig), 500, NOW, &what, &err),
        err);
}

static bool load(struct net *net, struct view file, struct err *err)
{
    struct rpc_revoked *loaded;
    size_t len;

    if (!rpc_revoked_load(file, net->trust, &loaded, &len, err))
        return false;
    rpc_revoked_free(net->revoked);
    net->revoked = loaded;
    net->no = rpc_revoked_no(loaded);
    CHECK(len <= file.len);
    return true;
}

static void revoke_many(struct net *net)
{
    struct rpc_revocation r = stolen;
    uint8_t subject[HASH_SIZE] = { 0 };

    r.subject = VIEW_ARR(subject);
    for (int i = 0; i < MANY; i++) {
        subject[0] = (uint8_t)i;
        revoke(net, &r);
    }
}

TEST(the_file_is_read_back)
{
    NET(net);
    uint8_t last[HASH_SIZE] = { MANY - 1 };
    struct err err = { 0 };

    revoke_many(&net);
    CHECK(!rpc_revoked_is_behind(net.revoked, net.trust));
    heart(&net, MANY);
    CHECK(!rpc_revoked_is_behind(net.revoked, net.trust));
    CHECK_OK(load(&net, buf_view(&net.file), &err), err);
    CHECK_U64(net.no, MANY);
    CHECK_VIEW(rpc_revoked_head(net.revoked), VIEW_ARR(net.head));
    CHECK(rpc_revoked_has(net.revoked, RPC_REVOKED_IDENTITY, VIEW_ARR(last)));
}

/* A crash while the file grew leaves whole records, and a rest that is passed over. */
TEST(a_file_cut_anywhere_keeps_what_is_whole)
{
    NET(net);
    size_t head_len = net.file.len, record;
    struct err err = { 0 };

    revoke_many(&net);
    record = (net.file.len - head_len) / MANY;
    for (size_t len = head_len; len <= net.file.len; len += 7) {
        struct rpc_revoked *loaded;
        size_t kept;
        if (!CHECK(rpc_revoked_load(view_sub(buf_view(&net.file), 0, len), net.trust, &loaded,
                                    &kept, &err)))
            continue;
        CHECK_U64(rpc_revoked_no(loaded), (len - head_len) / record);
        CHECK_U64(kept, head_len + (len - head_len) / record * record);
        rpc_revoked_free(loaded);
    }
}

TEST(a_changed_file_is_refused)
{
    NET(net);
    struct err err = { 0 };
    size_t n_refused = 0, n = 0;

    revoke_many(&net);
    heart(&net, MANY);
    for (size_t i = 0; i < net.file.len; i += 13) {
        struct rpc_revoked *loaded = NULL;
        size_t len = 0;
        net.file.data[i] ^= 0x20;
        bool ok = rpc_revoked_load(buf_view(&net.file), net.trust, &loaded, &len, &err);
        /* a length that now goes past the end cuts the file; a signature under the head is not looked at */
        if (!ok || rpc_revoked_no(loaded) < MANY)
            n_refused++;
        else
            CHECK_VIEW(rpc_revoked_head(loaded), VIEW_ARR(net.head));
        rpc_revoked_free(loaded);
        net.file.data[i] ^= 0x20;
        n++;
    }
    CHECK(n_refused > n / 2); /* signatures are a quarter of the file */
}

TEST(behind_is_behind)
{
    NET(net);

    revoke(&net, &stolen);
    heart(&net, 2);
    CHECK(rpc_revoked_is_behind(net.revoked, net.trust));
}
