/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/crew.h"
#include "base/text.h"
#include "pki/own.h"
#include "tests/unit/pki/net.h"

#include <openssl/x509.h>
#include <stdio.h>

static bool new_csr(struct pki_csr **ret_csr, struct err *err)
{
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;
    _buf_ der = { 0 };

    return pki_key_new(PKI_P256, &key, err) && pki_csr_new(key, &der, err) &&
           pki_csr_read(buf_view(&der), ret_csr, err);
}

/* The linker leads through here what signs copies of leaves, and what signs leaves. */
static _Atomic size_t n_copies, n_signed;
bool __real_pki_throwaway_sign(struct pki_throwaway *t, struct view bytes, struct buf *ret_sig,
                               struct err *err);
bool __wrap_pki_throwaway_sign(struct pki_throwaway *t, struct view bytes, struct buf *ret_sig,
                               struct err *err);
bool __wrap_pki_throwaway_sign(struct pki_throwaway *t, struct view bytes, struct buf *ret_sig,
                               struct err *err)
{
    n_copies++;
    return __real_pki_throwaway_sign(t, bytes, ret_sig, err);
}

bool __real_pki_own_sign_soon(struct pki_own *own, struct view bytes, struct buf *ret_sig,
                              struct err *err);
bool __wrap_pki_own_sign_soon(struct pki_own *own, struct view bytes, struct buf *ret_sig,
                              struct err *err);
bool __wrap_pki_own_sign_soon(struct pki_own *own, struct view bytes, struct buf *ret_sig,
                              struct err *err)
{
    n_signed++;
    return __real_pki_own_sign_soon(own, bytes, ret_sig, err);
}

/* A processor that errs. */
static bool is_faulty;
int __real_EVP_PKEY_sign(EVP_PKEY_CTX *ctx, unsigned char *sig, size_t *len,
                         const unsigned char *hash, size_t n_hash);
int __wrap_EVP_PKEY_sign(EVP_PKEY_CTX *ctx, unsigned char *sig, size_t *len,
                         const unsigned char *hash, size_t n_hash);
int __wrap_EVP_PKEY_sign(EVP_PKEY_CTX *ctx, unsigned char *sig, size_t *len,
                         const unsigned char *hash, size_t n_hash)
{
    int ok = __real_EVP_PKEY_sign(ctx, sig, len, hash, n_hash);

    sig[*len - 1] ^= is_faulty;
    return ok;
}

/* A network, and a request for a peer's key. */
struct scene {
    struct net net;
    struct pki_csr *csr;
};

static bool scene_init(struct scene *s, struct err *err)
{
    return net_init(&s->net, err) && new_csr(&s->csr, err);
}

static void scene_deinit(struct scene *s)
{
    pki_csr_free(s->csr);
    net_deinit(&s->net);
}

/* By OpenSSL's own way. */
static bool is_signed_by(const struct pki_cert *cert, const struct pki_ca *ca)
{
    struct view der = pki_cert_der(cert), ca_der = pki_cert_der(pki_ca_cert(ca));
    const unsigned char *at = der.data, *ca_at = ca_der.data;
    X509 *x509 = d2i_X509(NULL, &at, (long)der.len),
         *above = d2i_X509(NULL, &ca_at, (long)ca_der.len);
    bool is = X509_verify(x509, X509_get0_pubkey(above)) == 1;

    X509_free(x509);
    X509_free(above);
    return is;
}

TEST(serials_are_positive_and_never_the_same)
{
    uint8_t last[PKI_MAX_SERIAL] = { 0 }, serial[PKI_MAX_SERIAL];
    bool seen[0x80] = { false };
    size_t len, n_seen = 0;

    for (size_t i = 0; i < 5000; i++) {
        pki_serial_new(serial, &len);
        CHECK_U64(len, 17);
        CHECK(serial[0] >= 1 && serial[0] <= 0x7f);
        CHECK(memcmp(serial, last, len) != 0);
        n_seen += !seen[serial[0]];
        seen[serial[0]] = true;
        memcpy(last, serial, sizeof(last));
    }
    CHECK(n_seen > 100);
}

TEST(a_leaf_says_what_the_order_says)
{
    _cleanup_(scene_deinit) struct scene s = { 0 };
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    struct pki_order order = net_order(PKI_PEER, "123456789");
    uint8_t by_csr[HASH_SIZE], by_cert[HASH_SIZE];
    struct err err = { 0 };

    CHECK_OK(scene_init(&s, &err), err);
    order.crl_url = "http://pki.corp.example/crl";
    order.ca_url = "http://pki.corp.example/"
                   "ca?with=a%20long%20name-and-more-than-a-hundred-and-twenty-seven-octets-"
                   "so-that-the-lengths-around-it-take-two-octets-each";
    CHECK_OK(pki_ca_issue(s.net.intermediate, s.csr, &order, &cert, &err), err);
    CHECK_STR(pki_cert_facts(cert)->names, "DNS:123456789.corp.example");
    CHECK_VIEW(pki_cert_serial(cert), VIEW(order.serial, order.serial_len));
    pki_csr_spki_hash(s.csr, by_csr);
    pki_cert_spki_hash(cert, by_cert);
    CHECK_VIEW(VIEW_ARR(by_cert), VIEW_ARR(by_csr));
    CHECK_OK(pki_check_leaf(cert, pki_ca_cert(s.net.intermediate), "123456789.corp.example",
                            NET_NAME, &err),
             err);
    CHECK_ERR(pki_check_leaf(cert, pki_ca_cert(s.net.intermediate), "123456780.corp.example",
                             NET_NAME, &err),
              err, ERR_NAME_MISMATCH);
    CHECK_STR(err.text,
              "the certificate is for 123456789.corp.example, not 123456780.corp.example");
    CHECK_ERR(
        pki_check_leaf(cert, pki_ca_cert(s.net.root), "123456789.corp.example", NET_NAME, &err),
        err, ERR_BAD_CERTIFICATE);
    CHECK_ERR(pki_check_leaf(cert, pki_ca_cert(s.net.intermediate), "123456789.else.example",
                             NET_NAME, &err),
              err, ERR_INVALID_ARGUMENT);
}

/* The last octet of the one P-256 point in `der`, turned: off the curve it is. */
static void leave_the_curve(struct buf *der)
{
    static const uint8_t head[] = { 0x03, 0x42, 0x00,
                                    0x04 }; /* a bit string of an uncompressed point */
    uint8_t *at = memmem(der->data, der->len, head, sizeof(head));

    if (CHECK(at))
        at[sizeof(head) + 63] ^= 1;
}

TEST(a_point_off_the_curve_is_no_key)
{
    _cleanup_(scene_deinit) struct scene s = { 0 };
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL, *bent = NULL;
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;
    struct pki_order order = net_order(PKI_PEER, "456000");
    struct pki_csr *none = NULL;
    _buf_ der = { 0 }, request = { 0 };
    struct err err = { 0 };

    CHECK_OK(scene_init(&s, &err), err);
    CHECK_OK(pki_ca_issue(s.net.intermediate, s.csr, &order, &cert, &err), err);
    der = buf_dup(pki_cert_der(cert));
    leave_the_curve(&der);
    CHECK_OK(pki_cert_read(buf_view(&der), &bent, &err), err);
    CHECK_ERR(pki_check_leaf(bent, pki_ca_cert(s.net.intermediate), "456000.corp.example", NET_NAME,
                             &err),
              err, ERR_BAD_CERTIFICATE);
    CHECK_STR(err.text, "the certificate has a key that is not P-256");
    CHECK_OK(pki_key_new(PKI_P256, &key, &err), err);
    CHECK_OK(pki_csr_new(key, &request, &err), err);
    leave_the_curve(&request);
    CHECK_ERR(pki_csr_read(buf_view(&request), &none, &err), err, ERR_WRONG_KEY);
    CHECK_STR(err.text, "the request's key is no point of P-256");
}

static size_t n_found(const struct pki_cert *cert, const char *url)
{
    struct view der = pki_cert_der(cert), wanted = view_text(url);
    size_t n = 0;

    for (size_t i = 0; i + wanted.len <= der.len; i++)
        n += view_eq(view_sub(der, i, wanted.len), wanted);
    return n;
}

TEST(a_leaf_carries_the_urls_that_are_given_and_no_others)
{
    _cleanup_(scene_deinit) struct scene s = { 0 };
    static const char *const crl = "http://a.example/crl", *const ca = "http://a.example/ca",
                             *const ocsp = "http://a.example/ocsp";
    struct err err = { 0 };

    CHECK_OK(scene_init(&s, &err), err);
    for (unsigned i = 0; i < 8; i++) {
        _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
        struct pki_order order = net_order(PKI_PEER, "456000");
        order.crl_url = i & 1 ? crl : "";
        order.ca_url = i & 2 ? ca : NULL;
        order.ocsp_url = i & 4 ? ocsp : "";
        CHECK_OK(pki_ca_issue(s.net.intermediate, s.csr, &order, &cert, &err), err);
        CHECK_U64(n_found(cert, crl), i & 1);
        CHECK_U64(n_found(cert, ca), i >> 1 & 1);
        CHECK_U64(n_found(cert, ocsp), i >> 2);
    }
}

TEST(a_leaf_never_outlives_its_issuer_and_never_its_profile)
{
    _cleanup_(scene_deinit) struct scene s = { 0 };
    struct err err = { 0 };

    CHECK_OK(scene_init(&s, &err), err);
    const struct pki_facts *issuer = pki_cert_facts(pki_ca_cert(s.net.intermediate));
    struct {
        uint64_t now, life, from, to;
    } cases[] = {
        { NET_NOW, DAY_MS, NET_NOW - 5 * MINUTE_MS, NET_NOW + DAY_MS },
        { NET_NOW, 7 * DAY_MS, NET_NOW - 5 * MINUTE_MS, NET_NOW + 7 * DAY_MS - 5 * MINUTE_MS },
        { issuer->not_after - HOUR_MS, DAY_MS, issuer->not_after - HOUR_MS - 5 * MINUTE_MS,
          issuer->not_after },
        { issuer->not_before + MINUTE_MS, DAY_MS, issuer->not_before,
          issuer->not_before + DAY_MS + MINUTE_MS },
    };
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
        struct pki_order order = net_order(PKI_PEER, "456000");
        order.now = cases[i].now;
        order.life_ms = cases[i].life;
        CHECK_OK(pki_ca_issue(s.net.intermediate, s.csr, &order, &cert, &err), err);
        CHECK_U64(pki_cert_facts(cert)->not_before, cases[i].from);
        CHECK_U64(pki_cert_facts(cert)->not_after, cases[i].to);
    }
}

#define X10  "xxxxxxxxxx"
#define X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10

TEST(orders_that_the_profile_forbids_are_refused)
{
    static const char long_url[600] = { [0 ... 598] = 'x' };
    static const struct {
        enum pki_profile profile;
        const char *label, *network, *url, *why;
        int64_t now, life; /* 0: as always */
        size_t serial_len; /* 0: as drawn */
        enum err_code code;
    } cases[] = {
        { .label = "45600",
          .why = "no certificate is ever for \"45600\": it is neither an ID nor \"router\"" },
        { .label = "alice",
          .why = "no certificate is ever for \"alice\": it is neither an ID nor \"router\"" },
        { .label = "*",
          .why = "no certificate is ever for \"*\": it is neither an ID nor \"router\"" },
        { .label = "",
          .why = "no certificate is ever for \"\": it is neither an ID nor \"router\"" },
        { .label = "router", .why = "router is not a label of that profile" },
        { .label = "456000",
          .profile = PKI_ROUTER,
          .why = "456000 is not a label of that profile" },
        { .network = "corp", .why = "corp is not the name of a network" },
        { .network = "else.example", .why = "the CA is not constrained to else.example" },
        { .network = "sub.corp.example", .why = "the CA is not constrained to sub.corp.example" },
        { .life = 8 * (int64_t)DAY_MS, .why = "a life of 8 days, at most 7 days" },
        { .label = "router",
          .profile = PKI_ROUTER,
          .life = 31 * (int64_t)DAY_MS,
          .why = "a life of 31 days, at most 30 days" },
        { .serial_len = 4, .why = "a serial number must come from pki_serial_new()" },
        { .serial_len = 21, .why = "a serial number must come from pki_serial_new()" },
        { .url = long_url, .why = "\"" X100 "\" is not a web address of at most 512 characters" },
        { .url = "ldap://x", .why = "\"ldap://x\" is not a web address of at most 512 characters" },
        { .now = NET_NOW + 6 * 365 * (int64_t)DAY_MS,
          .code = ERR_EXPIRED,
          .why = "the intermediate is not valid now" },
        { .now = NET_NOW - 9 * (int64_t)DAY_MS,
          .code = ERR_EXPIRED,
          .why = "the intermediate is not valid now" },
    };
    _cleanup_(scene_deinit) struct scene s = { 0 };
    struct err err = { 0 };

    CHECK_OK(scene_init(&s, &err), err);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct pki_order order =
            net_order(cases[i].profile, cases[i].label ? cases[i].label : "456000");
        struct pki_cert *cert = NULL;
        order.network = cases[i].network ? cases[i].network : NET_NAME;
        order.life_ms = cases[i].life ? (uint64_t)cases[i].life : order.life_ms;
        order.now = cases[i].now ? (uint64_t)cases[i].now : order.now;
        order.serial_len = cases[i].serial_len ? cases[i].serial_len : order.serial_len;
        order.crl_url = cases[i].url;
        CHECK_ERR(pki_ca_issue(s.net.intermediate, s.csr, &order, &cert, &err), err,
                  cases[i].code ? cases[i].code : ERR_INVALID_ARGUMENT);
        CHECK_STR(err.text, cases[i].why);
    }
}

TEST(the_cas_own_key_gets_no_certificate)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    _cleanup_(pki_csr_freep) struct pki_csr *csr = NULL;
    struct pki_order order = net_order(PKI_PEER, "456000");
    struct pki_cert *cert = NULL;
    struct err err = { 0 };
    _buf_ der = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    CHECK_OK(pki_csr_new(pki_ca_key(net.intermediate), &der, &err), err);
    CHECK_OK(pki_csr_read(buf_view(&der), &csr, &err), err);
    CHECK_ERR(pki_ca_issue(net.intermediate, csr, &order, &cert, &err), err, ERR_WRONG_KEY);
    CHECK_STR(err.text, "the request has the CA's own key");
}

TEST(the_root_issues_no_leaf)
{
    _cleanup_(scene_deinit) struct scene s = { 0 };
    struct pki_order order = net_order(PKI_PEER, "456000");
    struct pki_cert *cert = NULL;
    struct err err = { 0 };

    CHECK_OK(scene_init(&s, &err), err);
    n_copies = n_signed = 0;
    CHECK_ERR(pki_ca_issue(s.net.root, s.csr, &order, &cert, &err), err, ERR_BAD_CERTIFICATE);
    CHECK_STR(err.text, "our own certificate: the certificate is signed by ecdsa-with-SHA384, not "
                        "by ECDSA with SHA256");
    /* a copy was signed, and looked at; the root's key was not touched */
    CHECK_U64(n_copies, 1);
    CHECK_U64(n_signed, 0);
    CHECK_OK(pki_ca_issue(s.net.intermediate, s.csr, &order, &cert, &err), err);
    CHECK_U64(n_copies, 2);
    CHECK_U64(n_signed, 1);
    CHECK(is_signed_by(cert, s.net.intermediate));
    pki_cert_free(cert);
}

TEST(a_signature_that_is_wrong_does_not_leave)
{
    _cleanup_(scene_deinit) struct scene s = { 0 };
    struct pki_order order = net_order(PKI_PEER, "456000");
    struct pki_cert *cert = NULL;
    struct err err = { 0 };
    _buf_ der = { 0 };

    CHECK_OK(scene_init(&s, &err), err);
    is_faulty = true;
    CHECK_ERR(pki_ca_issue_der(s.net.intermediate, s.csr, &order, &der, &err), err, ERR_INTERNAL);
    CHECK_STR(err.text, "our own signature does not verify");
    CHECK_U64(der.len, 0);
    is_faulty = false;
    for (size_t i = 0; i < 200; i++) { /* numbers of every length */
        CHECK_OK(pki_ca_issue(s.net.intermediate, s.csr, &order, &cert, &err), err);
        CHECK(is_signed_by(cert, s.net.intermediate));
        pki_cert_free(cert);
    }
}

TEST(of_many_that_are_verified_together_none_leaves_when_one_is_wrong)
{
    _cleanup_(scene_deinit) struct scene s = { 0 };
    _cleanup_(pki_desk_freep) struct pki_desk *desk = NULL;
    struct pki_order order = net_order(PKI_PEER, "456000");
    struct err err = { 0 };

    CHECK_OK(scene_init(&s, &err), err);
    desk = pki_desk_new(s.net.intermediate);
    CHECK_OK(pki_desk_verify(desk, &err), err); /* of none */
    for (size_t wrong = 0; wrong <= 5; wrong++) {
        for (size_t i = 0; i < 5; i++) {
            _buf_ der = { 0 };
            is_faulty = i == wrong;
            CHECK_OK(pki_desk_issue(desk, s.csr, &order, &der, &err), err);
        }
        is_faulty = false;
        if (wrong < 5)
            CHECK_ERR(pki_desk_verify(desk, &err), err, ERR_INTERNAL);
        else
            CHECK_OK(pki_desk_verify(desk, &err), err);
    }
}

/* ---- several threads ------------------------------------------------------------------------------- */

enum { N_DESKS = 4, N_LEAVES = 400 };

struct office {
    struct scene *scene;
    struct pki_desk *desks[N_DESKS];
    uint8_t serials[N_LEAVES][PKI_MAX_SERIAL];
    struct buf leaves[N_LEAVES];
    struct err errs[N_LEAVES];
};

static void issue_at(void *user, unsigned who, size_t at)
{
    struct office *office = user;
    struct pki_order order = net_order(PKI_PEER, "456000");

    memcpy(order.serial, office->serials[at], order.serial_len);
    pki_desk_issue(office->desks[who], office->scene->csr, &order, &office->leaves[at],
                   &office->errs[at]);
}

TEST(each_thread_issues_at_a_desk_of_its_own)
{
    _cleanup_(scene_deinit) struct scene s = { 0 };
    _cleanup_(crew_freep) struct crew *crew = crew_new(N_DESKS - 1);
    struct pki_order order = { 0 };
    static struct office office;
    struct err err = { 0 };

    CHECK_OK(scene_init(&s, &err), err);
    office.scene = &s;
    for (size_t i = 0; i < N_DESKS; i++)
        office.desks[i] = pki_desk_new(s.net.intermediate);
    for (size_t i = 0; i < N_LEAVES; i++)
        pki_serial_new(office.serials[i], &order.serial_len);
    crew_run(crew, issue_at, &office, N_LEAVES);
    for (size_t i = 0; i < N_DESKS; i++) {
        CHECK_OK(pki_desk_verify(office.desks[i], &err), err);
        pki_desk_free(office.desks[i]);
    }
    for (size_t i = 0; i < N_LEAVES; i++) {
        _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
        CHECK_OK(office.errs[i].code == ERR_NONE, office.errs[i]);
        CHECK_OK(pki_cert_read(buf_view(&office.leaves[i]), &cert, &err), err);
        CHECK(is_signed_by(cert, s.net.intermediate));
        CHECK_VIEW(pki_cert_serial(cert), VIEW(office.serials[i], order.serial_len));
        buf_free(&office.leaves[i]);
    }
}

TEST(copies_are_signed_by_the_throwaway_key)
{
    _cleanup_(pki_throwaway_freep) struct pki_throwaway *t = pki_throwaway_new(),
                                                        *other = pki_throwaway_new();
    static const uint8_t head[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00 };
    uint8_t point[PKI_P256_POINT];
    _buf_ spki = { 0 };
    struct err err = { 0 };

    pki_throwaway_point(t, point);
    buf_put(&spki, VIEW_ARR(head));
    buf_put(&spki, VIEW_ARR(point));
    for (unsigned i = 0; i < 200; i++) {
        _buf_ sig = { 0 }, wrong = { 0 };
        CHECK_OK(pki_throwaway_sign(t, VIEW(&i, sizeof(i)), &sig, &err), err);
        CHECK_OK(pki_verify_by_spki(buf_view(&spki), VIEW(&i, sizeof(i)), buf_view(&sig), &err),
                 err);
        CHECK_OK(pki_throwaway_sign(other, VIEW(&i, sizeof(i)), &wrong, &err), err);
        CHECK_ERR(pki_verify_by_spki(buf_view(&spki), VIEW(&i, sizeof(i)), buf_view(&wrong), &err),
                  err, ERR_BAD_SIGNATURE);
    }
}

TEST(a_ca_needs_the_right_curve_and_a_network)
{
    static const struct {
        enum pki_curve curve;
        const char *network;
        enum err_code code;
        const char *why;
    } cases[] = {
        { PKI_P256, NET_NAME, ERR_WRONG_KEY, "the root needs a P-384 key" },
        { PKI_P384, "corp", ERR_INVALID_ARGUMENT, "corp is not the name of a network" },
        { PKI_P384, "Corp.example", ERR_INVALID_ARGUMENT,
          "Corp.example is not the name of a network" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct pki_key *key = NULL;
        struct pki_ca *ca = NULL;
        struct err err = { 0 };
        CHECK_OK(pki_key_new(cases[i].curve, &key, &err), err);
        CHECK_ERR(pki_ca_new_root(cases[i].network, NET_NOW, DAY_MS, key, &ca, &err), err,
                  cases[i].code);
        CHECK_STR(err.text, cases[i].why);
    }
}

TEST(an_intermediate_stays_inside_its_root)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    _cleanup_(pki_ca_freep) struct pki_ca *ca = NULL;
    struct pki_ca *no = NULL;
    struct pki_key *key = NULL, *wrong = NULL, *long_lived = NULL;
    struct err err = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    CHECK_OK(pki_key_new(PKI_P256, &key, &err), err);
    CHECK_OK(pki_ca_new_intermediate(net.root, NET_NAME, NET_NOW + 19 * 365 * DAY_MS,
                                     5 * 365 * DAY_MS, key, &ca, &err),
             err);
    CHECK_U64(pki_cert_facts(pki_ca_cert(ca))->not_after,
              pki_cert_facts(pki_ca_cert(net.root))->not_after);
    CHECK_OK(pki_key_new(PKI_P384, &wrong, &err), err);
    CHECK_ERR(pki_ca_new_intermediate(net.root, NET_NAME, NET_NOW, DAY_MS, wrong, &no, &err), err,
              ERR_WRONG_KEY);
    CHECK_STR(err.text, "the intermediate needs a P-256 key");
    CHECK_OK(pki_key_new(PKI_P256, &long_lived, &err), err);
    CHECK_ERR(pki_ca_new_intermediate(net.root, NET_NAME, NET_NOW, 6 * 366 * DAY_MS, long_lived,
                                      &no, &err),
              err, ERR_BAD_CERTIFICATE);
    CHECK_STR(err.text,
              "our own certificate: the intermediate lives for 2196 days, at most 1830 days");
    CHECK_OK(pki_key_new(PKI_P256, &key, &err), err);
    CHECK_ERR(pki_ca_new_intermediate(net.root, "else.example", NET_NOW, DAY_MS, key, &no, &err),
              err, ERR_INVALID_ARGUMENT);
    CHECK_STR(err.text, "the root is not constrained to else.example");
}

TEST(networks_with_long_names_have_cas_too)
{
    static const char *const networks[] = {
        "a.b",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
        "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb."
        "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc.example",
    };

    for (size_t i = 0; i < N_ELEMENTS(networks); i++) {
        _cleanup_(pki_ca_freep) struct pki_ca *root = NULL, *intermediate = NULL;
        _cleanup_(pki_trust_freep) struct pki_trust *trust = pki_trust_new();
        _cleanup_(pki_csr_freep) struct pki_csr *csr = NULL;
        _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
        struct pki_key *root_key = NULL, *key = NULL;
        struct pki_order order = net_order(PKI_PEER, "123456789");
        struct err err = { 0 };
        _buf_ name = { 0 };
        order.network = networks[i];
        buf_printf(&name, "123456789.%s", networks[i]);
        CHECK_OK(pki_key_new(PKI_P384, &root_key, &err), err);
        CHECK_OK(pki_ca_new_root(networks[i], NET_NOW, 999 * DAY_MS, root_key, &root, &err), err);
        CHECK_OK(pki_key_new(PKI_P256, &key, &err), err);
        CHECK_OK(pki_ca_new_intermediate(root, networks[i], NET_NOW, 99 * DAY_MS, key,
                                         &intermediate, &err),
                 err);
        CHECK_OK(new_csr(&csr, &err), err);
        CHECK_OK(pki_ca_issue(intermediate, csr, &order, &cert, &err), err);
        CHECK_OK(pki_trust_add_root(trust, pki_cert_der(pki_ca_cert(root)), &err), err);
        CHECK_OK(pki_trust_add_intermediate(trust, pki_cert_der(pki_ca_cert(intermediate)), &err),
                 err);
        struct pki_question asked = { .name = buf_cstr(&name),
                                      .network = networks[i],
                                      .now = NET_NOW };
        struct view chain = pki_cert_der(cert);
        CHECK_OK(pki_judge(trust, &chain, 1, &asked, NULL, &err), err);
    }
}

TEST(a_ca_is_loaded_from_halves_that_belong_together)
{
    _cleanup_(net_deinit) struct net net = { 0 };
    _cleanup_(pki_ca_freep) struct pki_ca *ca = NULL;
    _cleanup_(pki_cert_freep) struct pki_cert *leaf = NULL;
    struct pki_ca *no = NULL;
    struct pki_key *key = NULL, *other = NULL, *leaf_key = NULL;
    struct err err = { 0 };
    _buf_ pem = { 0 };

    CHECK_OK(net_init(&net, &err), err);
    struct view der = pki_cert_der(pki_ca_cert(net.intermediate));
    CHECK_OK(pki_key_write(pki_ca_key(net.intermediate), VIEW(NULL, 0), &pem, &err), err);
    CHECK_OK(pki_key_read(buf_view(&pem), VIEW(NULL, 0), &key, &err), err);
    CHECK_OK(pki_ca_load(der, key, &ca, &err), err);
    CHECK_VIEW(pki_cert_der(pki_ca_cert(ca)), der);
    CHECK_OK(pki_key_new(PKI_P256, &other, &err), err);
    CHECK_ERR(pki_ca_load(der, other, &no, &err), err, ERR_WRONG_KEY);
    CHECK(strncmp(err.text, "the key is not the one of CN=Warren intermediate ", 49) == 0);
    CHECK_OK(net_issue(&net, PKI_PEER, "456000", &leaf_key, &leaf, &err), err);
    CHECK_ERR(pki_ca_load(pki_cert_der(leaf), leaf_key, &no, &err), err, ERR_BAD_CERTIFICATE);
    CHECK_STR(err.text, "CN=456000 is not a CA");
}
