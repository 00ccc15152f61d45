/* SPDX-License-Identifier: Apache-2.0 */
/* den.ca.sign and the signer. The linker gives this program its own store_certificate_put(), to
 * fail between the reservation of a serial and the record of what was signed with it. */
#include "base/clock.h"
#include "den/audit.h"
#include "tests/unit/den/world.h"

#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define POLICY "rules: [{from: any, to: any, can: any, consent: deny}]\n"

static enum { PUT_WORKS, PUT_FAILS, PUT_DIES } put_mode;
bool __real_store_certificate_put(struct store *s, struct view serial, struct view der,
                                  uint64_t not_before, uint64_t not_after, struct err *err);
bool __wrap_store_certificate_put(struct store *s, struct view serial, struct view der,
                                  uint64_t not_before, uint64_t not_after, struct err *err);
bool __wrap_store_certificate_put(struct store *s, struct view serial, struct view der,
                                  uint64_t not_before, uint64_t not_after, struct err *err)
{
    switch (put_mode) {
    case PUT_WORKS:
        break;
    case PUT_FAILS:
        return err_set(err, ERR_SYSTEM, "no space left on device");
    case PUT_DIES:
        kill(getpid(), SIGKILL);
    }
    return __real_store_certificate_put(s, serial, der, not_before, not_after, err);
}

static uint64_t sign_body(struct world *w, const struct key *key, const char *id, struct view body)
{
    struct buf args = { 0 };

    world_put_request(w, &args, key, id, "den.ca.sign", body);
    return world_handle(w, "den.ca.sign", "peer", id, &args);
}

static uint64_t sign_csr(struct world *w, const struct world_peer *peer, struct view csr)
{
    _buf_ body = { 0 };

    rpc_put_map(&body, 1);
    rpc_put_str(&body, "csr");
    rpc_put_bin(&body, csr);
    return sign_body(w, peer->key, peer->id, buf_view(&body));
}

/* The certificate of an answer; the caller frees it. */
static struct pki_cert *cert_of(const struct world *w, uint64_t inv)
{
    const struct world_answer *answer = world_answer(w, inv);
    struct pki_cert *cert = NULL;
    struct rpc_fields f;
    struct err err;

    if (!answer || answer->what != WORLD_YIELDED) {
        check_failed(__FILE__, __LINE__, "no certificate: %s",
                     answer ? answer->err.text : "no answer");
        return NULL;
    }
    rpc_fields_open(&f, buf_view(&answer->bytes));
    struct view der = rpc_fields_bin(&f, "certificate", PKI_MAX_CERT),
                chain = rpc_fields_array(&f, "chain");
    struct rpc_fields c;
    rpc_fields_open(&c, chain);
    CHECK_VIEW(rpc_fields_bin(&c, "intermediate", PKI_MAX_CERT),
               pki_cert_der(signer_cert(w->signer)));
    if (!rpc_fields_end(&f, &err) || !rpc_fields_end(&c, &err) || !pki_cert_read(der, &cert, &err))
        check_failed(__FILE__, __LINE__, "certificate: %s", err.text);
    return cert;
}

static void check_refused(const struct world *w, uint64_t inv, enum err_code code,
                          const char *start)
{
    const struct world_answer *a = world_answer(w, inv);

    if (!CHECK(a && a->what == WORLD_REFUSED))
        return;
    CHECK_STR(err_code_name(a->err.code), err_code_name(code));
    if (!view_starts(view_text(a->err.text), view_text(start)))
        check_failed(__FILE__, __LINE__, "got \"%s\", wanted \"%s...\"", a->err.text, start);
}

/* A world in which nobody is slowed down. */
static struct world *fast_world(void)
{
    struct world *w = world_new(POLICY);

    if (w)
        CHECK(world_unlimited(w));
    return w;
}

TEST(a_certificate_has_the_id_that_den_gave)
{
    _cleanup_(world_freep) struct world *w = fast_world();
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    _cleanup_(pki_cert_freep) struct pki_cert *cert = cert_of(w, world_sign(w, peer));
    char name[64];
    uint8_t spki[HASH_SIZE];

    snprintf(name, sizeof(name), "DNS:%s." WORLD_NETWORK, peer->id);
    CHECK_STR(pki_cert_facts(cert)->names, name);
    pki_cert_spki_hash(cert, spki);
    CHECK_VIEW(VIEW_ARR(spki), VIEW_ARR(peer->spki));
    CHECK_U64(pki_cert_facts(cert)->not_after, w->wall + DAY_MS);
    CHECK_U64(world_audited(w, "certificate.issued", pki_cert_facts(cert)->serial), 1);
}

static void new_tls_key(struct world_peer *peer)
{
    struct err err = { 0 };

    pki_key_free(STEAL(peer->tls));
    buf_free(&peer->csr);
    CHECK_OK(pki_key_new(PKI_P256, &peer->tls, &err), err);
    CHECK_OK(pki_csr_new(peer->tls, &peer->csr, &err), err);
}

TEST(the_same_key_asked_again_gets_the_same_certificate_while_it_lasts)
{
    _cleanup_(world_freep) struct world *w = fast_world();
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    _cleanup_(pki_cert_freep) struct pki_cert *first = cert_of(w, world_sign(w, peer));
    _cleanup_(pki_cert_freep) struct pki_cert *again = cert_of(w, world_sign(w, peer));
    struct err err;

    CHECK_VIEW(pki_cert_der(again), pki_cert_der(first));
    CHECK_OK(world_restart(w, &err), err);
    _cleanup_(pki_cert_freep) struct pki_cert *later = cert_of(w, world_sign(w, peer));
    CHECK_VIEW(pki_cert_der(later), pki_cert_der(first));
    world_pass(w, DAY_MS); /* an expired one locks nobody out, with another key */
    world_check_refused(w, world_sign(w, peer), ERR_WRONG_KEY);
    new_tls_key(peer);
    _cleanup_(pki_cert_freep) struct pki_cert *renewed = cert_of(w, world_sign(w, peer));
    CHECK(!view_eq(pki_cert_serial(renewed), pki_cert_serial(first)));
    CHECK_U64(world_audited(w, "certificate.issued", peer->id), 2);
}

TEST(a_key_of_another_id_or_of_an_authority_is_refused)
{
    _cleanup_(world_freep) struct world *w = fast_world();
    _cleanup_(world_peer_freep) struct world_peer *alice = world_peer_new(w),
                                                  *bob = world_peer_new(w);
    _buf_ of_root = { 0 };
    struct err err;

    check_refused(w, sign_csr(w, bob, buf_view(&alice->csr)), ERR_WRONG_KEY,
                  "certificate request: this key was used by another ID: make a new one");
    CHECK_OK(pki_csr_new(pki_ca_key(w->root), &of_root, &err), err);
    check_refused(w, sign_csr(w, bob, buf_view(&of_root)), ERR_WRONG_KEY, "certificate request: ");
}

/* `text` with each %s replaced; the caller frees it. */
static char *with_id(const char *text, const char *id)
{
    _buf_ out = { 0 };

    for (; text && *text; text++) {
        if (text[0] == '%' && text[1] == 's') {
            buf_put_text(&out, id);
            text++;
        } else {
            buf_put_u8(&out, (uint8_t)*text);
        }
    }
    return text ? view_dup_text(buf_view(&out)) : NULL;
}

static bool set_names(X509_REQ *req, const char *cn, const char *san)
{
    STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
    bool ok = true;

    if (cn)
        ok = X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(req), "CN", MBSTRING_ASC,
                                        (const uint8_t *)cn, -1, -1, 0);
    if (san) {
        X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
        ok = ok && names && sk_X509_EXTENSION_push(extensions, names) &&
             X509_REQ_add_extensions(req, extensions);
    }
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    return ok;
}

/* A request of `peer`'s key with names of the test's choice. */
static struct buf named_csr(const struct world_peer *peer, const char *cn, const char *san)
{
    X509_REQ *req = X509_REQ_new();
    _buf_wipe_ key_der = { 0 };
    struct buf der = { 0 };
    struct err err;

    if (!pki_key_der(peer->tls, &key_der, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    const uint8_t *at = key_der.data;
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &at, (long)key_der.len);
    if (!key || !X509_REQ_set_pubkey(req, key) || !set_names(req, cn, san) ||
        !X509_REQ_sign(req, key, EVP_sha256()))
        check_failed(__FILE__, __LINE__, "cannot make a request: cn=%s san=%s", cn ? cn : "",
                     san ? san : "");
    uint8_t *out = NULL;
    int len = i2d_X509_REQ(req, &out);
    buf_put(&der, VIEW(out, len > 0 ? (size_t)len : 0));
    OPENSSL_free(out);
    EVP_PKEY_free(key);
    X509_REQ_free(req);
    return der;
}

/* Names are absent or the record's; a wrong one is found wherever it stands among right ones;
 * %s is the ID. */
TEST(a_request_with_a_foreign_name_in_any_position_is_refused)
{
    _cleanup_(world_freep) struct world *w = fast_world();
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    static const struct {
        const char *cn, *san;
    } cases[] = {
        { "999999", NULL },
        { "999999", "DNS:%s.corp.example" },
        { "%s.corp.example", NULL },
        { NULL, "DNS:999999.corp.example" },
        { NULL, "DNS:999999.corp.example,DNS:%s.corp.example,DNS:%s.corp.example" },
        { NULL, "DNS:%s.corp.example,DNS:999999.corp.example,DNS:%s.corp.example" },
        { NULL, "DNS:%s.corp.example,DNS:%s.corp.example,DNS:999999.corp.example" },
        { "%s", "DNS:%s.corp.example,DNS:*.corp.example" },
        { "%s", "DNS:%s.corp.example,IP:192.0.2.1" },
        { "%s", "DNS:%s.corp.example,URI:https://corp.example/" },
        { "%s", "DNS:%s.corp.example,email:a@corp.example" },
        { "%s", "DNS:%s" },
        { "%s", "DNS:router.corp.example" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _free_ char *cn = with_id(cases[i].cn, peer->id), *san = with_id(cases[i].san, peer->id);
        _buf_ csr = named_csr(peer, cn, san);
        /* The key has its certificate already; the names are looked at all the same. */
        check_refused(w, sign_csr(w, peer, buf_view(&csr)), ERR_NAME_MISMATCH,
                      "certificate request: ");
    }
    CHECK_U64(world_audited(w, "certificate.issued", NULL), 1);
    _free_ char *cn = with_id("%s", peer->id), *san = with_id("DNS:%s.corp.example", peer->id);
    _buf_ right = named_csr(peer, cn, san);
    CHECK(world_answer(w, sign_csr(w, peer, buf_view(&right)))->what == WORLD_YIELDED);
}

TEST(a_request_for_another_id_is_refused_whoever_signs_or_sends_it)
{
    _cleanup_(world_freep) struct world *w = fast_world();
    _cleanup_(world_peer_freep) struct world_peer *alice = world_peer_new(w),
                                                  *bob = world_peer_new(w);
    _buf_ body = { 0 };
    struct buf args = { 0 };

    rpc_put_map(&body, 1);
    rpc_put_str(&body, "csr");
    rpc_put_bin(&body, buf_view(&alice->csr));
    /* Bob sends alice's own, signed request: the stamp is not hers. */
    world_put_request(w, &args, alice->key, alice->id, "den.ca.sign", buf_view(&body));
    check_refused(w, world_handle(w, "den.ca.sign", "peer", bob->id, &args), ERR_NOT_AUTHORIZED,
                  "certificate request: request: of another ID than the caller's");
    /* The router lies: it says that bob is alice. */
    world_put_request(w, &args, bob->key, bob->id, "den.ca.sign", buf_view(&body));
    check_refused(w, world_handle(w, "den.ca.sign", "peer", alice->id, &args), ERR_NOT_AUTHORIZED,
                  "certificate request: request: of another ID than the caller's");
    world_put_request(w, &args, bob->key, alice->id, "den.ca.sign", buf_view(&body));
    check_refused(w, world_handle(w, "den.ca.sign", "peer", alice->id, &args), ERR_BAD_SIGNATURE,
                  "certificate request: request: ");
    /* An ID that was never given out. */
    world_put_request(w, &args, bob->key, "999998", "den.ca.sign", buf_view(&body));
    check_refused(w, world_handle(w, "den.ca.sign", "peer", "999998", &args), ERR_NOT_AUTHORIZED,
                  "certificate request: the caller has no ID in this network");
}

TEST(a_request_is_used_once_fresh_and_for_its_own_body)
{
    _cleanup_(world_freep) struct world *w = fast_world();
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    _buf_ kept = { 0 };
    _buf_ body = { 0 };
    struct buf args = { 0 };

    rpc_put_map(&body, 1);
    rpc_put_str(&body, "csr");
    rpc_put_bin(&body, buf_view(&peer->csr));
    world_put_request(w, &kept, peer->key, peer->id, "den.ca.sign", buf_view(&body));
    buf_put(&args, buf_view(&kept));
    uint64_t inv = world_handle(w, "den.ca.sign", "peer", peer->id, &args);
    CHECK(world_answer(w, inv)->what == WORLD_YIELDED);
    buf_put(&args, buf_view(&kept));
    check_refused(w, world_handle(w, "den.ca.sign", "peer", peer->id, &args), ERR_REPLAYED,
                  "certificate request: request: it was used before under this beacon");
    world_pass(w, 60 * SECOND_MS);
    buf_put(&args, buf_view(&kept));
    check_refused(w, world_handle(w, "den.ca.sign", "peer", peer->id, &args), ERR_STALE,
                  "certificate request: request: the beacon is not one of the last two");
    /* One bit of the body: array head, bin 8 head, size, then the body. */
    world_put_request(w, &args, peer->key, peer->id, "den.ca.sign", buf_view(&body));
    uint8_t *at = memmem(args.data, args.len, body.data, body.len);
    if (!CHECK(at))
        return;
    at[body.len - 1] ^= 1;
    check_refused(w, world_handle(w, "den.ca.sign", "peer", peer->id, &args), ERR_BAD_STATEMENT,
                  "certificate request: request: the body is not the one that was signed");
}

TEST(malformed_bodies_are_refused)
{
    _cleanup_(world_freep) struct world *w = fast_world();
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    uint8_t junk[PKI_MAX_CSR + 1] = { 0x30 };
    uint8_t huge[PKI_MAX_CSR + 512] = { 0 };
    static const struct {
        const char *body;
        size_t len;
        const char *why;
    } cases[] = {
        { "", 0, "certificate request: body: " },
        { "\x90", 1, "certificate request: body: not one map without duplicate keys" },
        { "\x80\x80", 2, "certificate request: body: not one map without duplicate keys" },
        { "\x80", 1, "certificate request: body: csr: missing, or not bytes" },
        { "\x81\xa3"
          "csr\xa1x",
          7, "certificate request: body: csr: missing, or not bytes" },
        { "\x82\xa3"
          "csr\xc4\x00\xa3"
          "csr\xc4\x00",
          13, "certificate request: body: not one map without duplicate keys" },
        { "\x81\xa3"
          "csr\xc4\x05",
          7, "certificate request: body: " },
        { "\xdf\xff\xff\xff\xff", 5, "certificate request: body: " },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++)
        check_refused(w, sign_body(w, peer->key, peer->id, VIEW(cases[i].body, cases[i].len)),
                      ERR_INVALID_ARGUMENT, cases[i].why);
    check_refused(w, sign_csr(w, peer, VIEW(junk, 1)), ERR_INVALID_ARGUMENT,
                  "certificate request: ");
    check_refused(w, sign_csr(w, peer, VIEW_ARR(junk)), ERR_TOO_LARGE, "certificate request: ");
    uint64_t inv = sign_body(w, peer->key, peer->id, VIEW_ARR(huge));
    CHECK(world_answer(w, inv)->what == WORLD_REFUSED);
    CHECK_U64(world_audited(w, "certificate.issued", NULL), 1);
}

TEST(requests_of_one_id_are_slowed_down_others_are_not)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *alice = world_peer_new(w),
                                                  *bob = world_peer_new(w);

    for (size_t i = 1; i < 5; i++) /* enrolling took one */
        CHECK(world_answer(w, world_sign(w, alice))->what == WORLD_YIELDED);
    check_refused(w, world_sign(w, alice), ERR_LIMIT,
                  "certificate request: too many of these requests");
    CHECK(world_answer(w, world_sign(w, bob))->what == WORLD_YIELDED);
    world_pass(w, 10 * MINUTE_MS);
    CHECK(world_answer(w, world_sign(w, alice))->what == WORLD_YIELDED);
    check_refused(w, world_sign(w, alice), ERR_LIMIT,
                  "certificate request: too many of these requests");
}

/* ---- many in one turn of the loop ----------------------------------------------------------- */

enum { MANY = 6 };

TEST(what_comes_in_one_turn_is_recorded_together)
{
    _cleanup_(world_freep) struct world *w = fast_world();
    struct world_peer *peers[MANY], *fresh[MANY];
    uint64_t invs[MANY + 2];
    struct err err;
    size_t n_before;

    for (size_t i = 0; i < MANY; i++) {
        peers[i] = world_peer_new(w);
        fresh[i] = world_stranger_new(w); /* for its TLS key */
    }
    w->config.sign_together = 10;
    CHECK_OK(world_restart(w, &err), err);
    n_before = world_n_commits;
    w->is_turn_long = true;
    for (size_t i = 0; i < MANY; i++)
        invs[i] = sign_csr(w, peers[i], buf_view(&fresh[i]->csr));
    invs[MANY] = sign_csr(w, peers[0], buf_view(&fresh[0]->csr)); /* its own key once more */
    CHECK(!world_answer(w, invs[0]) && !world_answer(w, invs[MANY]));
    invs[MANY + 1] = sign_csr(w, peers[1], buf_view(&fresh[0]->csr)); /* somebody else's */
    den_core_tick(w->core); /* the signer has looked at their requests */
    check_refused(w, invs[MANY + 1], ERR_WRONG_KEY,
                  "certificate request: this key was used by another ID");
    n_before = world_n_commits; /* the refusal is in the audit */
    world_pass(w, 5);           /* the serials of all; then their certificates */
    CHECK_U64(world_n_commits - n_before, 2);
    for (size_t i = 0; i < MANY; i++) {
        _cleanup_(pki_cert_freep) struct pki_cert *cert = cert_of(w, invs[i]);
        uint8_t spki[HASH_SIZE];
        if (!cert)
            continue;
        pki_cert_spki_hash(cert, spki);
        CHECK_VIEW(VIEW_ARR(spki), VIEW_ARR(fresh[i]->spki));
        CHECK(strstr(pki_cert_facts(cert)->names, peers[i]->id));
    }
    _cleanup_(pki_cert_freep) struct pki_cert *first = cert_of(w, invs[0]);
    _cleanup_(pki_cert_freep) struct pki_cert *twin = cert_of(w, invs[MANY]);
    CHECK(first && twin && view_eq(pki_cert_der(first), pki_cert_der(twin)));
    CHECK_U64(world_audited(w, "certificate.issued", NULL), 2 * MANY);
    for (size_t i = 0; i < MANY; i++) {
        world_peer_free(peers[i]);
        world_peer_free(fresh[i]);
    }
}

TEST(a_request_waits_a_moment_for_others_and_no_longer)
{
    _cleanup_(world_freep) struct world *w = fast_world();
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    struct world_peer *more[12];
    uint64_t invs[N_ELEMENTS(more)];
    size_t n_before;
    struct err err;

    w->config.sign_together = 10;
    CHECK_OK(world_restart(w, &err), err);
    w->is_turn_long = true;
    n_before = world_n_commits;
    for (size_t i = 0; i < N_ELEMENTS(more);
         i++) /* one a millisecond: none of them ends the wait */
        more[i] = world_stranger_new(w);
    for (size_t i = 0; i < N_ELEMENTS(more); i++) {
        invs[i] = sign_csr(w, peer, buf_view(&more[i]->csr));
        den_core_tick(w->core);
        w->mono++;
    }
    CHECK_U64(world_n_commits - n_before, 1); /* the serials of eleven of them */
    world_pass(w, 4);
    CHECK_U64(world_n_commits - n_before, 3);
    for (size_t i = 0; i < N_ELEMENTS(more); i++)
        CHECK(world_answer(w, invs[i]));
    for (size_t i = 0; i < N_ELEMENTS(more); i++)
        world_peer_free(more[i]);
}

static void revoke_peer(struct world *w, const struct world_peer *peer)
{
    struct store_revocation r = { .kind = STORE_REVOKE_IDENTITY, .at = w->wall };
    struct err err;
    bool is_new;

    snprintf(r.id, sizeof(r.id), "%s", peer->id);
    memcpy(r.subject, key_public(peer->key), KEY_SIZE);
    r.subject_len = KEY_SIZE;
    CHECK_OK(store_begin(w->store, &err) &&
                 store_revocation_add(w->store, &r, &r.no, &is_new, &err) &&
                 store_commit(w->store, &err),
             err);
}

/* As `warren-den revoke` does it, from another process, at any moment. */
TEST(who_is_revoked_while_it_waits_gets_no_certificate)
{
    for (size_t stage = 0; stage < 3; stage++) {
        _cleanup_(world_freep) struct world *w = fast_world();
        _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w),
                                                      *fresh = world_stranger_new(w);
        struct err err;
        uint64_t inv;

        w->config.sign_together = 10;
        CHECK_OK(world_restart(w, &err), err);
        w->is_turn_long = true;
        inv = sign_csr(w, peer, buf_view(&fresh->csr));
        if (stage >= 1)
            den_core_tick(w->core); /* looked at */
        w->mono += stage >= 2 ? 2 : 0;
        if (stage >= 2)
            den_core_tick(w->core); /* its serial is reserved, it is signed, and not recorded yet */
        CHECK(!world_answer(w, inv));
        revoke_peer(w, peer);
        world_pass(w, 100);
        world_check_refused(w, inv, ERR_REVOKED);
        CHECK_U64(world_audited(w, "certificate.issued", NULL), 1); /* at its enrolment */
        _cleanup_(store_certificate_deinit) struct store_certificate c = { 0 };
        enum store_found found;
        CHECK_OK(store_certificate_by_spki(w->store, VIEW_ARR(fresh->spki), &found, &c, &err), err);
        CHECK((found == STORE_FOUND) == (stage == 2));
        CHECK_U64(c.der.len, 0);
    }
}

TEST(a_full_disk_refuses_the_whole_turn_and_the_next_one_works)
{
    _cleanup_(world_freep) struct world *w = fast_world();
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w),
                                                  *fresh = world_stranger_new(w);
    uint64_t inv;

    world_disk_is_full = true;
    inv = sign_csr(w, peer, buf_view(&fresh->csr));
    world_disk_is_full = false;
    check_refused(w, inv, ERR_SYSTEM, "den could not do it; its log says why");
    pki_cert_free(cert_of(w, sign_csr(w, peer, buf_view(&fresh->csr))));
}

/* ---- failing between the serial and the record --------------------------------------------- */

static struct store_certificate newest(struct world *w, const struct world_peer *peer)
{
    struct store_certificate c = { 0 };
    enum store_found found = STORE_NONE;
    struct err err;

    if (!store_certificate_by_spki(w->store, VIEW_ARR(peer->spki), &found, &c, &err) ||
        found == STORE_NONE)
        check_failed(__FILE__, __LINE__, "no serial is known for this key");
    return c;
}

TEST(what_could_not_be_recorded_is_not_handed_out_and_its_serial_stays_known)
{
    _cleanup_(world_freep) struct world *w = fast_world();
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w),
                                                  *late = world_stranger_new(w);

    key_free(late->key); /* the same identity with another TLS key */
    late->key = NULL;
    memcpy(late->id, peer->id, sizeof(late->id));
    put_mode = PUT_FAILS;
    uint64_t inv = sign_csr(w, peer, buf_view(&late->csr));
    put_mode = PUT_WORKS;
    check_refused(w, inv, ERR_SYSTEM, "den could not do it; its log says why");
    CHECK_U64(world_audited(w, "certificate.issued", NULL), 1);
    _cleanup_(store_certificate_deinit) struct store_certificate reserved = newest(w, late);
    CHECK_STR(reserved.id, peer->id);
    CHECK_U64(reserved.der.len, 0);
    CHECK_U64(reserved.serial.len, 17);

    _cleanup_(pki_cert_freep) struct pki_cert *cert =
        cert_of(w, sign_csr(w, peer, buf_view(&late->csr)));
    CHECK(!view_eq(pki_cert_serial(cert), buf_view(&reserved.serial)));
    CHECK_U64(world_audited(w, "certificate.issued", NULL), 2);
}

TEST(killed_between_serial_and_record_den_goes_on_with_another_serial)
{
    _cleanup_(world_freep) struct world *w = fast_world();
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w),
                                                  *late = world_stranger_new(w);
    struct err err;
    int status = 0;

    /* The child is the den that dies; the store must not be open across the fork. */
    store_free(w->store);
    w->store = NULL;
    pid_t child = fork();
    if (child == 0) {
        struct world *own = w;
        if (!world_restart(own, &err))
            _exit(1);
        put_mode = PUT_DIES;
        sign_csr(own, peer, buf_view(&late->csr));
        _exit(2);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHECK_OK(world_restart(w, &err), err);
    _cleanup_(store_certificate_deinit) struct store_certificate reserved = newest(w, late);
    CHECK_U64(reserved.der.len, 0);
    CHECK_U64(world_audited(w, "certificate.issued", NULL), 1);
    _cleanup_(pki_cert_freep) struct pki_cert *cert =
        cert_of(w, sign_csr(w, peer, buf_view(&late->csr)));
    CHECK(!view_eq(pki_cert_serial(cert), buf_view(&reserved.serial)));
    uint64_t n, bad;
    CHECK_OK(audit_verify(w->store, &n, &bad, NULL, &err), err);
    CHECK_U64(bad, 0);
}

/* ---- chain and list ------------------------------------------------------------------------ */

TEST(chain_gives_roots_intermediates_and_manifests)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    struct buf none = { 0 };
    uint64_t inv = world_handle(w, "den.ca.chain", "guest", "", &none);
    struct rpc_fields f, list;
    struct err err;

    rpc_fields_open(&f, buf_view(&world_answer(w, inv)->bytes));
    rpc_fields_open(&list, rpc_fields_array(&f, "roots"));
    CHECK_VIEW(rpc_fields_bin(&list, "root", 4096), pki_cert_der(pki_ca_cert(w->root)));
    CHECK_OK(rpc_fields_end(&list, &err), err);
    rpc_fields_open(&list, rpc_fields_array(&f, "intermediates"));
    CHECK_VIEW(rpc_fields_bin(&list, "intermediate", 4096), pki_cert_der(signer_cert(w->signer)));
    CHECK_OK(rpc_fields_end(&list, &err), err);
    rpc_fields_open(&list, rpc_fields_array(&f, "manifests"));
    rpc_fields_open(&list, rpc_fields_array(&list, "first"));
    CHECK_VIEW(rpc_fields_bin(&list, "M", RPC_MAX_STATEMENT), rpc_trust_manifest_bytes(w->trust));
    CHECK_OK(rpc_fields_end(&f, &err), err);
}

TEST(the_list_is_the_one_that_the_heartbeat_names)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    struct buf none = { 0 };
    uint64_t inv = world_handle(w, "den.ca.crl", "peer", "456000", &none);
    _cleanup_(pki_crl_freep) struct pki_crl *crl = NULL;
    struct rpc_heartbeat h = world_heartbeat(w);
    uint8_t hash[HASH_SIZE];
    struct rpc_fields f;
    struct err err;

    rpc_fields_open(&f, buf_view(&world_answer(w, inv)->bytes));
    struct view der = rpc_fields_bin(&f, "list", PKI_MAX_CRL);
    hash_sha256(der, hash);
    CHECK_VIEW(h.crl_hash, VIEW_ARR(hash));
    CHECK_OK(pki_crl_read(der, &crl, &err), err);
    CHECK_U64(pki_crl_number(crl), h.crl_no);
    CHECK_U64(h.crl_no, WORLD_START_S);
}
