/* SPDX-License-Identifier: Apache-2.0 */
/* What a den that was taken over may ask for, and does not get: certificates and revocation lists. */
#include "pki/crl.h"
#include "vault/serials.h"
#include "tests/unit/vault/scene.h"

#include <stdio.h>

struct order {
    const char *label, *signed_for, *procedure;
    const struct key *signer, *pk; /* whose signature; whose key den says that it is */
    struct view csr, body_csr;     /* outside of the body; in it */
    bool is_body_changed, has_old_beacon;
    enum pki_profile profile;
};

static void put_order(struct scene *s, const struct order *o)
{
    uint8_t beacon[RPC_BEACON] = { 3 };
    const struct rpc_request context = {
        .netid = VIEW_ARR(s->netid),
        .den_pk = key_public_view(s->sign),
        .id = view_text(o->signed_for),
        .beacon = o->has_old_beacon ? VIEW_ARR(beacon) : VIEW_ARR(s->beacon),
    };
    _buf_ body = { 0 }, args = { 0 };
    struct rpc_fields f;

    rpc_put_map(&body, 1);
    rpc_put_str(&body, "csr");
    rpc_put_bin(&body, o->body_csr);
    rpc_request_put(&args, o->signer, &context, o->procedure, buf_view(&body));
    rpc_fields_open(&f, buf_view(&args));
    rpc_fields_bin(&f, "body", 65536);
    struct view r = rpc_fields_bin(&f, "R", RPC_MAX_STATEMENT),
                sig = rpc_fields_fixed(&f, "sig", SIG_SIZE);
    if (o->is_body_changed)
        body.data[body.len - 1] ^= 1;
    scene_begin(s, VAULT_APPLY);
    buf_put_u16(&s->request, 1);
    buf_put_u8(&s->request, (uint8_t)o->profile);
    vault_put_text(&s->request, o->label);
    vault_put(&s->request, o->csr);
    vault_put(&s->request, buf_view(&body));
    vault_put(&s->request, r);
    vault_put(&s->request, sig);
    vault_put(&s->request, key_public_view(o->pk));
}

static struct order order_of_peer(const struct scene *s, const struct buf *csr)
{
    return (struct order){
        .label = "456000",
        .signed_for = "456000",
        .procedure = "den.ca.sign",
        .signer = s->peer,
        .pk = s->peer,
        .body_csr = buf_view(csr),
        .profile = PKI_PEER,
    };
}

struct number {
    uint8_t serial[PKI_MAX_SERIAL];
    size_t len;
};

static bool apply(struct scene *s, const struct order *o, struct number *ret)
{
    struct view serial;

    put_order(s, o);
    if (!scene_asked(s) || !vault_take_outcome(&s->in, &err))
        return false;
    serial = vault_bytes(&s->in, PKI_MAX_SERIAL);
    CHECK_U64(serial.len, 17);
    memcpy(ret->serial, serial.data, serial.len);
    ret->len = serial.len;
    return true;
}

static bool certify(struct scene *s, const struct number *number, struct pki_cert **ret_cert)
{
    scene_begin(s, VAULT_ISSUE);
    for (size_t i = 0; i < 3; i++)
        vault_put_text(&s->request, "");
    buf_put_u16(&s->request, 1);
    vault_put(&s->request, VIEW(number->serial, number->len));
    buf_put_u64(&s->request, s->now);
    buf_put_u64(&s->request, DAY_MS);
    return scene_asked(s) && vault_take_outcome(&s->in, &err) &&
           pki_cert_read(vault_bytes(&s->in, PKI_MAX_CERT), ret_cert, &err);
}

static bool issue(struct scene *s, const struct order *o)
{
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    _free_ char *wanted = mem_format("DNS:%s." NETWORK, o->label);
    struct number number;

    if (!apply(s, o, &number) || !certify(s, &number, &cert))
        return false;
    CHECK_STR(pki_cert_facts(cert)->names, wanted);
    CHECK_VIEW(pki_cert_serial(cert), VIEW(number.serial, number.len));
    return true;
}

TEST(a_serial_is_signed_once_and_soon_and_by_who_drew_it)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _cleanup_(pki_key_freep) struct pki_key *tls = NULL;
    struct number first, second, own = { .serial = { 5, 4, 3, 2, 1, 9, 8, 7, 6, 5, 4 }, .len = 17 };
    static const uint8_t zeros[HASH_SIZE];
    struct pki_cert *cert = NULL;
    _buf_ csr = { 0 };

    CHECK_OK(pki_key_new(PKI_P256, &tls, &err) && pki_csr_new(tls, &csr, &err), err);
    scene_beat(&s);
    const struct order order = order_of_peer(&s, &csr);
    CHECK_OK(apply(&s, &order, &first) && apply(&s, &order, &second), err);
    CHECK(memcmp(first.serial, second.serial, first.len) != 0);
    CHECK_ERR(certify(&s, &own, &cert), err, ERR_BUSY);
    CHECK_OK(certify(&s, &second, &cert), err);
    CHECK_VIEW(pki_cert_serial(cert), VIEW(second.serial, second.len));
    pki_cert_free(STEAL(cert));
    CHECK_ERR(certify(&s, &second, &cert), err, ERR_BUSY); /* twice */
    s.now += 59 * SECOND_MS;
    CHECK_OK(certify(&s, &first, &cert), err);
    pki_cert_free(STEAL(cert));

    CHECK_OK(apply(&s, &order, &first) && apply(&s, &order, &second), err);
    s.now += 60 * SECOND_MS;
    CHECK_ERR(certify(&s, &first, &cert), err, ERR_BUSY); /* too late */
    s.now -= 61 * SECOND_MS;
    CHECK_ERR(certify(&s, &second, &cert), err, ERR_BUSY); /* a clock that was set back */

    CHECK_OK(apply(&s, &order, &first), err);
    scene_reopen(&s);
    CHECK_ERR(certify(&s, &first, &cert), err, ERR_BUSY); /* drawn by another process */

    CHECK_OK(apply(&s, &order, &first), err);
    const struct rpc_revocation v = scene_revocation(&s, 1, zeros);
    CHECK_OK(scene_sign(&s, RPC_W_REVOKE, &v), err);
    CHECK_ERR(certify(&s, &first, &cert), err, ERR_REVOKED); /* between the two */
    CHECK(!cert);
}

/* den gives a signer up that answers nothing for a second. */
TEST(what_a_slow_token_has_no_time_for_is_asked_for_again)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _cleanup_(pki_key_freep) struct pki_key *tls = NULL;
    struct number numbers[4];
    size_t n_signed = 0;
    _buf_ csr = { 0 };

    CHECK_OK(pki_key_new(PKI_P256, &tls, &err) && pki_csr_new(tls, &csr, &err), err);
    scene_beat(&s);
    const struct order order = order_of_peer(&s, &csr);
    for (size_t i = 0; i < N_ELEMENTS(numbers); i++)
        CHECK_OK(apply(&s, &order, &numbers[i]), err);
    scene_begin(&s, VAULT_ISSUE);
    for (size_t i = 0; i < 3; i++)
        vault_put_text(&s.request, "");
    buf_put_u16(&s.request, N_ELEMENTS(numbers));
    for (size_t i = 0; i < N_ELEMENTS(numbers); i++) {
        vault_put(&s.request, VIEW(numbers[i].serial, numbers[i].len));
        buf_put_u64(&s.request, s.now);
        buf_put_u64(&s.request, DAY_MS);
    }
    vault_set_helpers(s.vault, 0);
    scene_signing_takes = SECOND_MS / 5;
    CHECK(scene_asked(&s));
    scene_signing_takes = 0;
    for (size_t i = 0; i < N_ELEMENTS(numbers); i++) {
        if (vault_take_outcome(&s.in, &err)) {
            CHECK(vault_bytes(&s.in, PKI_MAX_CERT).len > 0);
            n_signed++;
            continue;
        }
        CHECK_U64(err.code, ERR_BUSY);
        CHECK(strstr(err.text, "signs too slowly"));
    }
    CHECK_U64(n_signed, 2);
}

TEST(serials_that_nobody_uses_are_counted)
{
    _cleanup_(vault_serials_freep) struct vault_serials *serials = vault_serials_new();

    for (size_t i = 0; i < VAULT_MAX_SERIALS; i++)
        CHECK(vault_serials_draw(serials, mem_new(struct vault_serial), NOW, &err));
    CHECK(!vault_serials_draw(serials, mem_new(struct vault_serial), NOW + 1, &err));
    CHECK_U64(err.code, ERR_BUSY);
    CHECK(vault_serials_draw(serials, mem_new(struct vault_serial), NOW + VAULT_SERIAL_FOR, &err));
}

TEST(a_certificate_needs_the_request_of_the_key_that_the_id_has)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _cleanup_(pki_key_freep) struct pki_key *tls = NULL;
    _buf_ csr = { 0 };

    CHECK_OK(pki_key_new(PKI_P256, &tls, &err) && pki_csr_new(tls, &csr, &err), err);
    scene_beat(&s);
    const struct order good = {
        .label = "456000",
        .signed_for = "456000",
        .procedure = "den.ca.sign",
        .signer = s.peer,
        .pk = s.peer,
        .body_csr = buf_view(&csr),
        .profile = PKI_PEER,
    };
    struct order o = good;
    o.signer = s.other; /* nobody has the ID yet, and it still needs its own signature */
    CHECK_ERR(issue(&s, &o), err, ERR_BAD_SIGNATURE);
    CHECK_OK(issue(&s, &good), err);
    o = good, o.signer = o.pk = s.other; /* another key for a known ID */
    CHECK_ERR(issue(&s, &o), err, ERR_WRONG_KEY);
    o = good, o.signer = s.other;
    CHECK_ERR(issue(&s, &o), err, ERR_BAD_SIGNATURE);
    o = good, o.signed_for = "456001";
    CHECK_ERR(issue(&s, &o), err, ERR_BAD_STATEMENT);
    o = good, o.label = o.signed_for = "456001";
    CHECK_ERR(issue(&s, &o), err, ERR_WRONG_KEY);
    o = good, o.procedure = "den.identity.refresh";
    CHECK_ERR(issue(&s, &o), err, ERR_BAD_STATEMENT);
    o = good, o.is_body_changed = true;
    CHECK_ERR(issue(&s, &o), err, ERR_BAD_STATEMENT);
    o = good, o.has_old_beacon = true;
    CHECK_ERR(issue(&s, &o), err, ERR_STALE);
    o = good, o.body_csr = VIEW_LIT("no request");
    CHECK_ERR(issue(&s, &o), err, ERR_BAD_WIRE);
    o = good, o.label = "router", o.profile = PKI_ROUTER, o.csr = buf_view(&csr);
    CHECK_ERR(issue(&s, &o), err, ERR_NOT_AUTHORIZED); /* no operator took that key in */
    o = good, o.label = "ocsp", o.profile = PKI_OCSP, o.csr = buf_view(&csr);
    CHECK_ERR(issue(&s, &o), err, ERR_NOT_AUTHORIZED);
    uint8_t spki[HASH_SIZE];
    CHECK_OK(pki_key_spki_hash(tls, spki, &err), err);
    CHECK_OK(vault_order_add_router(s.dir, VIEW_ARR(spki), NOW - 1, &err), err);
    o = good, o.label = "router", o.profile = PKI_ROUTER, o.csr = buf_view(&csr);
    CHECK_ERR(issue(&s, &o), err, ERR_NOT_AUTHORIZED); /* that order is over */
    CHECK_OK(vault_order_add_router(s.dir, VIEW_ARR(spki), NOW + DAY_MS, &err), err);
    CHECK_OK(issue(&s, &o), err);
    scene_reopen(&s);
    CHECK_OK(issue(&s, &o), err); /* and is remembered */
    CHECK_OK(issue(&s, &good), err);
}

static bool begin_list(struct scene *s, uint64_t number, uint64_t at, uint64_t until, uint64_t n)
{
    scene_begin(s, VAULT_LIST);
    buf_put_u64(&s->request, number);
    buf_put_u64(&s->request, at);
    buf_put_u64(&s->request, until);
    buf_put_u64(&s->request, n);
    return scene_asked(s);
}

static bool put_part(struct scene *s, struct view entries)
{
    scene_begin(s, VAULT_LIST_PART);
    vault_put(&s->request, entries);
    return scene_asked(s);
}

static bool sign_list(struct scene *s)
{
    scene_begin(s, VAULT_LIST_SIGN);
    return scene_asked(s);
}

static bool empty_list(struct scene *s, uint64_t number, uint64_t at, uint64_t until)
{
    return begin_list(s, number, at, until, 0) && sign_list(s);
}

TEST(lists_count_up)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    const struct {
        uint64_t number, at, until;
        enum err_code wanted;
    } rows[] = {
        { 1000, NOW, NOW + DAY_MS, ERR_NONE },
        { 1000, NOW, NOW + DAY_MS, ERR_STALE },
        { 999, NOW, NOW + DAY_MS, ERR_STALE },
        { 1001, NOW - 1, NOW + DAY_MS, ERR_STALE },
        { 1001, NOW, NOW + 2 * DAY_MS, ERR_BAD_STATEMENT },
        { UINT64_MAX, NOW, NOW + DAY_MS, ERR_BAD_STATEMENT },
        { 1001, NOW, NOW + DAY_MS, ERR_NONE },
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        if (rows[i].wanted == ERR_NONE)
            CHECK_OK(empty_list(&s, rows[i].number, rows[i].at, rows[i].until), err);
        else
            CHECK_ERR(empty_list(&s, rows[i].number, rows[i].at, rows[i].until), err,
                      rows[i].wanted);
        scene_reopen(&s);
    }
    CHECK_OK(begin_list(&s, 1002, NOW, NOW + DAY_MS, 0), err);
    CHECK_OK(begin_list(&s, 1003, NOW, NOW + DAY_MS, 0), err); /* the first is given up */
    CHECK_OK(sign_list(&s), err);
    CHECK_ERR(sign_list(&s), err, ERR_BUSY);
    CHECK_OK(begin_list(&s, 1004, NOW, NOW + DAY_MS, 0), err);
    scene_reopen(&s);
    CHECK_ERR(sign_list(&s), err, ERR_BUSY); /* of the process before */
}

/* A vault that has the key of another intermediate too. */
static void add_other(struct scene *s, struct pki_cert **ret_cert)
{
    struct vault_keys keys = { 0 };
    struct vault_book *book = NULL;
    struct pki_key *key = NULL;
    struct pki_ca *other = NULL;

    vault_free(STEAL(s->vault));
    CHECK_OK(vault_keys_read(s->dir, &(struct vault_secrets){ 0 }, &keys, &err) &&
                 vault_book_open(s->dir, &book, &err) && pki_key_new(PKI_P256, &key, &err) &&
                 pki_ca_new_intermediate(s->root, NETWORK, NOW, 1000 * DAY_MS, key, &other, &err),
             err);
    CHECK_OK(pki_cert_read(pki_cert_der(pki_ca_cert(other)), ret_cert, &err), err);
    keys.others[keys.n_others++] = other;
    s->vault = vault_new(&keys, book, VAULT_ASKED_BY_DEN);
    vault_set_helpers(s->vault, 2);
}

static bool keep(struct scene *s, struct view hashes)
{
    scene_begin(s, VAULT_KEEP);
    buf_put_u8(&s->request, (uint8_t)(hashes.len / HASH_SIZE));
    vault_put(&s->request, hashes);
    return scene_asked(s);
}

static bool new_ocsp_key(struct scene *s, const uint8_t issuer[HASH_SIZE])
{
    scene_begin(s, VAULT_OCSP_KEY);
    vault_put(&s->request, VIEW(issuer, HASH_SIZE));
    return scene_asked(s);
}

/* How many others signed the list whose answer is here; the last one, whole, is in `to`. */
static unsigned take_others(struct scene *s, struct view entries, char *digits, struct buf *to)
{
    vault_bytes(&s->in, 4096);
    vault_bytes(&s->in, 4096);
    vault_fixed(&s->in, HASH_SIZE);
    unsigned n = vault_u8(&s->in);
    for (unsigned i = 0; i < n; i++) {
        struct view is = vault_fixed(&s->in, PKI_KEY_DIGITS);
        snprintf(digits, PKI_KEY_DIGITS + 1, "%.*s", VIEW_FMT(is));
        buf_clear(to);
        buf_put(to, vault_bytes(&s->in, 4096));
        buf_put(to, entries);
        buf_put(to, vault_bytes(&s->in, 4096));
    }
    CHECK(vault_end(&s->in));
    return n;
}

TEST(another_intermediate_that_is_listed_signs_the_same_list_until_it_is_retired)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    const struct pki_revoked revoked = { VIEW_LIT("\x05\x06\x07"), NOW, 1 };
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    _cleanup_(pki_crl_freep) struct pki_crl *crl = NULL;
    char digits[PKI_KEY_DIGITS + 1] = "", wanted[PKI_KEY_DIGITS + 1];
    _buf_ entries = { 0 }, whole = { 0 };
    uint8_t hash[HASH_SIZE];

    add_other(&s, &cert);
    pki_cert_hash(cert, hash);
    pki_cert_key_digits(cert, wanted);
    CHECK_OK(pki_revoked_put(&entries, &revoked, &err), err);
    CHECK_OK(begin_list(&s, 3000, NOW, NOW + DAY_MS, entries.len), err);
    CHECK_OK(put_part(&s, buf_view(&entries)), err);
    CHECK_OK(sign_list(&s), err);
    CHECK_U64(take_others(&s, buf_view(&entries), digits, &whole), 1);
    CHECK_STR(digits, wanted);
    CHECK_OK(pki_crl_read(buf_view(&whole), &crl, &err), err);
    CHECK_OK(pki_crl_verify(crl, cert, &err), err);
    CHECK_U64(pki_crl_number(crl), 3000);

    CHECK_OK(keep(&s, VIEW_ARR(hash)), err); /* it is listed still */
    CHECK_OK(new_ocsp_key(&s, hash), err);
    CHECK_OK(begin_list(&s, 3001, NOW, NOW + DAY_MS, 0), err);
    CHECK_OK(keep(&s, VIEW(NULL, 0)), err);
    CHECK_OK(sign_list(&s), err);
    CHECK_U64(take_others(&s, VIEW(NULL, 0), digits, &whole), 0);
    CHECK_ERR(new_ocsp_key(&s, hash), err, ERR_UNLISTED_KEY);
    CHECK_OK(empty_list(&s, 3002, NOW, NOW + DAY_MS), err);
    CHECK_U64(take_others(&s, VIEW(NULL, 0), digits, &whole), 0);
}

/* What is signed as a list has nothing in it but entries, and as many as were said. */
TEST(a_list_is_a_list)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    const struct pki_revoked revoked[] = { { VIEW_LIT("\x05\x06\x07"), NOW, 0 },
                                           { VIEW_LIT("\x7f"), NOW + DAY_MS, 4 } };
    static const char *const evil[] = { "00", "3000", "30820400", "30030201ff", "308003020105" };
    _buf_ entries = { 0 }, whole = { 0 };
    uint64_t number = 2000;

    for (size_t i = 0; i < N_ELEMENTS(revoked); i++)
        CHECK_OK(pki_revoked_put(&entries, &revoked[i], &err), err);
    for (size_t i = 0; i < N_ELEMENTS(evil); i++) {
        uint8_t bytes[16];
        size_t len = strlen(evil[i]) / 2;
        CHECK(text_read_hex(view_text(evil[i]), bytes, len));
        CHECK_OK(begin_list(&s, number++, NOW, NOW + DAY_MS, len), err);
        CHECK_ERR(put_part(&s, VIEW(bytes, len)), err, ERR_BAD_WIRE);
        CHECK_ERR(put_part(&s, buf_view(&entries)), err, ERR_BUSY); /* it is over */
    }
    CHECK_OK(begin_list(&s, number++, NOW, NOW + DAY_MS, entries.len - 1), err);
    CHECK_ERR(put_part(&s, buf_view(&entries)), err, ERR_BAD_WIRE);
    CHECK_OK(begin_list(&s, number++, NOW, NOW + DAY_MS, entries.len + 1), err);
    CHECK_OK(put_part(&s, buf_view(&entries)), err);
    CHECK_ERR(sign_list(&s), err, ERR_BAD_WIRE);
    CHECK_ERR(begin_list(&s, number++, NOW, NOW + DAY_MS, UINT64_MAX), err, ERR_TOO_LARGE);

    CHECK_OK(begin_list(&s, number, NOW, NOW + DAY_MS, entries.len), err);
    CHECK_OK(put_part(&s, buf_view(&entries)), err);
    CHECK_OK(sign_list(&s), err);
    _cleanup_(pki_crl_freep) struct pki_crl *crl = NULL;
    uint8_t hash[HASH_SIZE];
    buf_put(&whole, vault_bytes(&s.in, 4096));
    buf_put(&whole, buf_view(&entries));
    buf_put(&whole, vault_bytes(&s.in, 4096));
    CHECK_OK(pki_crl_read(buf_view(&whole), &crl, &err), err);
    CHECK_U64(pki_crl_number(crl), number);
    pki_hash(buf_view(&whole), hash);
    CHECK_VIEW(vault_fixed(&s.in, HASH_SIZE), VIEW_ARR(hash));
}
