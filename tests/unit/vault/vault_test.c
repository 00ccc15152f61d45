/* SPDX-License-Identifier: Apache-2.0 */
/* What a den that was taken over may ask for, and does not get. */
#include "vault/vault.h"
#include "vault/serials.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "rpc/rpc.h"
#include "tests/check.h"

#include <stdio.h>
#include <unistd.h>

#define NETWORK "corp.example"
#define NOW     ((uint64_t)1800000000 * 1000)

static struct err err;
static bool disk_fails;

static uint64_t signing_takes, mono = 1000000;

uint64_t __wrap_clock_mono_ms(void);
uint64_t __wrap_clock_mono_ms(void)
{
    return mono += signing_takes;
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    return disk_fails ? -1 : __real_fdatasync(fd);
}

/* A vault on a folder of its own, and a peer that it knows nothing about. */
struct scene {
    char *dir;
    struct pki_ca *root;
    struct vault *vault;
    struct key *sign, *peer, *other;
    uint8_t netid[HASH_SIZE], beacon[RPC_BEACON];
    uint64_t now, hb_no;
    struct buf request, answer;
    struct vault_in in;
};

static void write_keys(struct scene *s)
{
    _free_ char *sign = file_path(s->dir, "sign.key"), *key = file_path(s->dir, "intermediate.key"),
                *cert = file_path(s->dir, "intermediate.pem");
    struct pki_key *root_key, *ca_key;
    struct pki_ca *ca = NULL;
    _buf_ key_pem = { 0 }, cert_pem = { 0 };

    s->sign = key_new();
    CHECK_OK(key_write(s->sign, sign, &err), err);
    CHECK_OK(pki_key_new(PKI_P384, &root_key, &err) &&
                 pki_ca_new_root(NETWORK, NOW, 3650 * DAY_MS, root_key, &s->root, &err) &&
                 pki_key_new(PKI_P256, &ca_key, &err) &&
                 pki_ca_new_intermediate(s->root, NETWORK, NOW, 1000 * DAY_MS, ca_key, &ca, &err),
             err);
    CHECK_OK(pki_key_write(pki_ca_key(ca), VIEW(NULL, 0), &key_pem, &err), err);
    pki_pem_put(&cert_pem, "CERTIFICATE", pki_cert_der(pki_ca_cert(ca)));
    CHECK_OK(file_create(key, buf_view(&key_pem), 0600, &err) &&
                 file_create(cert, buf_view(&cert_pem), 0644, &err),
             err);
    pki_ca_free(ca);
}

static void reopen(struct scene *s)
{
    vault_free(STEAL(s->vault));
    CHECK_OK(vault_open(s->dir, VAULT_ASKED_BY_DEN, &s->vault, &err), err);
}

static void found(struct scene *s)
{
    CHECK_OK(file_private_dir(s->dir, &err), err);
    write_keys(s);
    pki_cert_hash(pki_ca_cert(s->root), s->netid);
    CHECK_OK(vault_book_create(s->dir, VIEW_ARR(s->netid), NETWORK, &err), err);
    reopen(s);
}

static struct scene scene_new(void)
{
    static unsigned n;
    struct scene s = { .dir = mem_format("%s/vault-%u", check_dir(), n++), .now = NOW };

    log_open("vault_test", LOG_ERROR);
    disk_fails = false;
    s.peer = key_new();
    s.other = key_new();
    found(&s);
    return s;
}

static void scene_deinit(struct scene *s)
{
    vault_free(s->vault);
    pki_ca_free(s->root);
    key_free(s->sign);
    key_free(s->peer);
    key_free(s->other);
    buf_free(&s->request);
    buf_free(&s->answer);
    free(s->dir);
}

static void begin(struct scene *s, enum vault_kind kind)
{
    buf_clear(&s->request);
    buf_put_u8(&s->request, (uint8_t)kind);
}

static enum vault_outcome send_it(struct scene *s)
{
    enum vault_outcome outcome;

    buf_clear(&s->answer);
    outcome = vault_handle(s->vault, s->now, buf_view(&s->request), &s->answer);
    s->in = (struct vault_in){ .rest = buf_view(&s->answer) };
    return outcome;
}

/* Whether it says yes; else `err` says why not. */
static bool asked(struct scene *s)
{
    enum vault_outcome outcome = send_it(s);

    err = (struct err){ 0 };
    if (outcome != VAULT_ANSWERED)
        return err_set(&err, ERR_INTERNAL, "outcome %d", outcome);
    return vault_take_outcome(&s->in, &err);
}

static bool sign_bytes(struct scene *s, uint8_t word, struct view bytes)
{
    begin(s, VAULT_STATEMENTS);
    buf_put_u16(&s->request, 1);
    buf_put_u8(&s->request, word);
    vault_put(&s->request, bytes);
    if (!asked(s) || !vault_take_outcome(&s->in, &err))
        return false;
    return key_verify(key_public_view(s->sign), bytes, vault_fixed(&s->in, SIG_SIZE)) ||
           err_set(&err, ERR_INTERNAL, "another signature");
}

static bool sign_one(struct scene *s, enum rpc_word word, const void *statement)
{
    _buf_ bytes = { 0 };

    rpc_statement_write(word, statement, &bytes);
    return sign_bytes(s, (uint8_t)word, buf_view(&bytes));
}

static struct rpc_heartbeat heartbeat(struct scene *s)
{
    static const uint8_t zeros[HASH_SIZE], some[HASH_SIZE] = { 1 };

    random_bytes(s->beacon, sizeof(s->beacon));
    return (struct rpc_heartbeat){
        .netid = VIEW_ARR(s->netid),
        .hb_no = ++s->hb_no,
        .time = s->now,
        .next_in = 30000,
        .bound = 600000,
        .beacon = VIEW_ARR(s->beacon),
        .crl_hash = VIEW_ARR(zeros),
        .rev_head = VIEW_ARR(zeros),
        .manifest_no = 2,
        .policy_no = 2,
        .audit_no = s->hb_no,
        .audit_head = VIEW_ARR(some),
    };
}

static void beat(struct scene *s)
{
    const struct rpc_heartbeat h = heartbeat(s);

    CHECK_OK(sign_one(s, RPC_W_HEARTBEAT, &h), err);
}

static bool claim(struct scene *s, const char *id, const struct key *key, enum vault_claim *ret)
{
    begin(s, VAULT_CLAIM);
    vault_put_text(&s->request, id);
    vault_put(&s->request, key_public_view(key));
    if (!asked(s))
        return false;
    *ret = (enum vault_claim)vault_u8(&s->in);
    return true;
}

static void check_claim(struct scene *s, const char *id, const struct key *key,
                        enum vault_claim wanted)
{
    enum vault_claim is = VAULT_KEY_USED;

    CHECK_OK(claim(s, id, key, &is), err);
    CHECK_U64(is, wanted);
}

static struct rpc_admission admission(const struct scene *s, const struct key *key)
{
    return (struct rpc_admission){
        .netid = VIEW_ARR(s->netid),
        .network = VIEW_LIT(NETWORK),
        .id = VIEW_LIT("456000"),
        .client_pk = key_public_view(key),
        .role = VIEW_LIT("peer"),
        .adm_no = 1,
        .issued_at = s->now,
        .not_after = s->now + 7 * DAY_MS,
    };
}

/* ---- keys of IDs ---------------------------------------------------------------------------------------- */

TEST(the_first_key_of_an_id_is_its_key_also_after_a_restart)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();

    check_claim(&s, "456000", s.peer, VAULT_CLAIMED);
    check_claim(&s, "456000", s.other, VAULT_ID_TAKEN);
    check_claim(&s, "456001", s.peer, VAULT_KEY_HAS_ID);
    reopen(&s);
    check_claim(&s, "456000", s.other, VAULT_ID_TAKEN);
    check_claim(&s, "456000", s.peer, VAULT_CLAIMED);
    check_claim(&s, "456001", s.other, VAULT_CLAIMED);
}

TEST(an_admission_is_of_the_key_that_the_id_has)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    struct rpc_admission a = admission(&s, s.peer);
    uint8_t foreign[HASH_SIZE] = { 9 };

    CHECK_OK(sign_one(&s, RPC_W_ADMISSION, &a), err);
    a.client_pk = key_public_view(s.other);
    CHECK_ERR(sign_one(&s, RPC_W_ADMISSION, &a), err, ERR_WRONG_KEY);
    reopen(&s);
    CHECK_ERR(sign_one(&s, RPC_W_ADMISSION, &a), err, ERR_WRONG_KEY);
    a = admission(&s, s.peer);
    CHECK_OK(sign_one(&s, RPC_W_ADMISSION, &a), err);
    a.netid = VIEW_ARR(foreign);
    CHECK_ERR(sign_one(&s, RPC_W_ADMISSION, &a), err, ERR_BAD_STATEMENT);
    a = admission(&s, s.peer);
    a.not_after += 100 * DAY_MS;
    CHECK_ERR(sign_one(&s, RPC_W_ADMISSION, &a), err, ERR_BAD_STATEMENT);
    a = admission(&s, s.peer);
    a.issued_at -= HOUR_MS;
    CHECK_ERR(sign_one(&s, RPC_W_ADMISSION, &a), err, ERR_EXPIRED);
}

static struct rpc_rekey rekey(const struct scene *s, const char *by)
{
    return (struct rpc_rekey){
        .netid = VIEW_ARR(s->netid),
        .id = VIEW_LIT("456000"),
        .old_pk = key_public_view(s->peer),
        .new_pk = key_public_view(s->other),
        .rekey_no = 1,
        .at = s->now,
        .by = view_text(by),
    };
}

static bool move(struct scene *s, const struct rpc_rekey *k, const struct key *old,
                 const struct key *new)
{
    uint8_t sig[SIG_SIZE], new_sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    rpc_statement_sign(RPC_W_REKEY, k, old, &bytes, sig);
    key_sign(new, buf_view(&bytes), new_sig);
    begin(s, VAULT_MOVE);
    vault_put(&s->request, buf_view(&bytes));
    vault_put(&s->request, VIEW_ARR(sig));
    vault_put(&s->request, VIEW_ARR(new_sig));
    return asked(s);
}

TEST(a_key_moves_on_by_the_key_before)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    struct rpc_rekey k = rekey(&s, "");

    CHECK_ERR(move(&s, &k, s.peer, s.other), err, ERR_NOT_FOUND);
    check_claim(&s, "456000", s.peer, VAULT_CLAIMED);
    CHECK_ERR(move(&s, &k, s.other, s.other), err, ERR_BAD_SIGNATURE);
    CHECK_ERR(move(&s, &k, s.peer, s.peer), err, ERR_BAD_SIGNATURE);
    k.rekey_no = 2;
    CHECK_ERR(move(&s, &k, s.peer, s.other), err, ERR_BAD_STATEMENT);
    k = rekey(&s, "operator");
    CHECK_ERR(move(&s, &k, s.peer, s.other), err, ERR_NOT_AUTHORIZED);
    k = rekey(&s, "");
    CHECK_OK(move(&s, &k, s.peer, s.other), err);
    CHECK_OK(move(&s, &k, s.peer, s.other), err); /* den had not recorded it */
    reopen(&s);
    check_claim(&s, "456000", s.other, VAULT_CLAIMED);
    check_claim(&s, "456000", s.peer, VAULT_ID_TAKEN);
    CHECK_ERR(claim(&s, "456002", s.peer, &(enum vault_claim){ 0 }), err, ERR_WRONG_KEY);
}

static bool re_enrol(struct scene *s, const struct key *token, const struct key *e_token_signer)
{
    const struct rpc_rekey k = rekey(s, "operator");
    uint8_t nonce[RPC_NONCE16] = { 7 }, sig[SIG_SIZE], token_sig[SIG_SIZE];
    const struct rpc_enrol e = {
        .netid = VIEW_ARR(s->netid),
        .network = VIEW_LIT(NETWORK),
        .client_pk = key_public_view(s->other),
        .beacon = VIEW_ARR(s->beacon),
        .nonce = VIEW_ARR(nonce),
        .token_pk = key_public_view(token),
        .host = VIEW_LIT("host"),
    };
    _buf_ k_bytes = { 0 }, e_bytes = { 0 };

    rpc_statement_write(RPC_W_REKEY, &k, &k_bytes);
    rpc_statement_sign(RPC_W_ENROL, &e, s->other, &e_bytes, sig);
    key_sign(e_token_signer, buf_view(&e_bytes), token_sig);
    begin(s, VAULT_RE_ENROL);
    vault_put(&s->request, buf_view(&k_bytes));
    vault_put(&s->request, buf_view(&e_bytes));
    vault_put(&s->request, VIEW_ARR(sig));
    vault_put(&s->request, VIEW_ARR(token_sig));
    return asked(s) && (key_verify(key_public_view(s->sign), buf_view(&k_bytes),
                                   vault_fixed(&s->in, SIG_SIZE)) ||
                        err_set(&err, ERR_INTERNAL, "another signature"));
}

TEST(an_operator_orders_a_new_key_and_den_alone_cannot)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _cleanup_(key_freep) struct key *token = key_new(), *dens = key_new();

    check_claim(&s, "456000", s.peer, VAULT_CLAIMED);
    beat(&s);
    CHECK_ERR(re_enrol(&s, dens, dens), err, ERR_NOT_AUTHORIZED);
    CHECK_OK(vault_order_add(s.dir, "456001", key_public_view(token), NOW + DAY_MS, &err), err);
    CHECK_ERR(re_enrol(&s, token, token), err, ERR_NOT_AUTHORIZED); /* another ID's */
    CHECK_OK(vault_order_add(s.dir, "456000", key_public_view(token), NOW - 1, &err), err);
    CHECK_ERR(re_enrol(&s, token, token), err, ERR_NOT_AUTHORIZED); /* over */
    CHECK_OK(vault_order_add(s.dir, "456000", key_public_view(token), NOW + DAY_MS, &err), err);
    CHECK_ERR(re_enrol(&s, token, dens), err, ERR_BAD_SIGNATURE);
    CHECK_ERR(re_enrol(&s, dens, dens), err, ERR_NOT_AUTHORIZED);
    CHECK_OK(re_enrol(&s, token, token), err);
    CHECK_OK(re_enrol(&s, token, token), err); /* the same again: den had not recorded it */
    reopen(&s);
    check_claim(&s, "456000", s.other, VAULT_CLAIMED);
    check_claim(&s, "456000", s.peer, VAULT_ID_TAKEN);
}

/* ---- statements ------------------------------------------------------------------------------------------- */

TEST(den_sign_says_its_own_words_alone)
{
    static const enum rpc_word never[] = {
        RPC_W_MANIFEST, RPC_W_NETSIGN_ROUTER, RPC_W_NETSIGN_CLIENT, RPC_W_ENROL, RPC_W_REQUEST,
        RPC_W_DIAL,     RPC_W_ACCEPT,         RPC_W_REAUTH,         RPC_W_REKEY
    };
    _cleanup_(scene_deinit) struct scene s = scene_new();
    const struct rpc_admission a = admission(&s, s.peer);
    _buf_ bytes = { 0 };

    for (size_t i = 0; i < N_ELEMENTS(never); i++)
        CHECK_ERR(sign_bytes(&s, (uint8_t)never[i], VIEW_LIT("anything")), err, ERR_NOT_AUTHORIZED);
    CHECK_ERR(sign_bytes(&s, 200, VIEW_LIT("anything")), err, ERR_BAD_WIRE);
    rpc_statement_write(RPC_W_ADMISSION, &a, &bytes);
    CHECK_ERR(sign_bytes(&s, RPC_W_NAME, buf_view(&bytes)), err, ERR_BAD_STATEMENT);
    buf_put_u8(&bytes, 0);
    CHECK_ERR(sign_bytes(&s, RPC_W_ADMISSION, buf_view(&bytes)), err, ERR_BAD_STATEMENT);
}

TEST(a_grant_names_both_ends_by_the_keys_that_they_have)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _cleanup_(key_freep) struct key *thief = key_new();
    uint8_t sid[RPC_SID] = { 1 }, hash[HASH_SIZE] = { 2 };

    check_claim(&s, "456000", s.peer, VAULT_CLAIMED);
    check_claim(&s, "456001", s.other, VAULT_CLAIMED);
    beat(&s);
    struct rpc_grant g = {
        .netid = VIEW_ARR(s.netid),
        .sid = VIEW_ARR(sid),
        .a_id = VIEW_LIT("456000"),
        .a_pk = key_public_view(s.peer),
        .b_id = VIEW_LIT("456001"),
        .b_pk = key_public_view(s.other),
        .dial_hash = VIEW_ARR(hash),
        .issued_at = s.now,
        .beacon = VIEW_ARR(s.beacon),
        .caps = { { VIEW_LIT("chat") }, 1 },
    };
    CHECK_OK(sign_one(&s, RPC_W_GRANT, &g), err);
    g.b_pk = key_public_view(thief);
    CHECK_ERR(sign_one(&s, RPC_W_GRANT, &g), err, ERR_WRONG_KEY);
    g.b_pk = key_public_view(s.other);
    g.a_pk = key_public_view(thief);
    CHECK_ERR(sign_one(&s, RPC_W_GRANT, &g), err, ERR_WRONG_KEY);
    g.a_pk = key_public_view(s.peer);
    g.beacon = VIEW_ARR(sid);
    CHECK_ERR(sign_one(&s, RPC_W_GRANT, &g), err, ERR_STALE);
}

TEST(numbers_of_heartbeats_do_not_fall_also_after_a_restart)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    struct rpc_heartbeat h;

    for (unsigned i = 0; i < 3; i++)
        beat(&s);
    reopen(&s);
    h = heartbeat(&s);
    h.hb_no = 3;
    CHECK_ERR(sign_one(&s, RPC_W_HEARTBEAT, &h), err, ERR_STALE);
    h.hb_no = 4;
    h.audit_no = 2;
    CHECK_ERR(sign_one(&s, RPC_W_HEARTBEAT, &h), err, ERR_STALE);
    h.audit_no = 4;
    h.manifest_no = 1;
    CHECK_ERR(sign_one(&s, RPC_W_HEARTBEAT, &h), err, ERR_STALE);
    h.manifest_no = 2;
    h.policy_no = 1;
    CHECK_ERR(sign_one(&s, RPC_W_HEARTBEAT, &h), err, ERR_STALE);
    h.policy_no = 2;
    h.crl_no = 5;
    CHECK_ERR(sign_one(&s, RPC_W_HEARTBEAT, &h), err, ERR_BAD_STATEMENT);
    h.crl_no = 0;
    h.time += HOUR_MS;
    CHECK_ERR(sign_one(&s, RPC_W_HEARTBEAT, &h), err, ERR_EXPIRED);
    h.time = s.now;
    h.hb_no = UINT64_MAX;
    CHECK_ERR(sign_one(&s, RPC_W_HEARTBEAT, &h), err, ERR_BAD_STATEMENT);
    h.hb_no = 4;
    CHECK_OK(sign_one(&s, RPC_W_HEARTBEAT, &h), err);
}

static struct rpc_revocation revocation(const struct scene *s, uint64_t no,
                                        const uint8_t previous[HASH_SIZE])
{
    return (struct rpc_revocation){
        .netid = VIEW_ARR(s->netid),
        .rev_no = no,
        .previous = VIEW(previous, HASH_SIZE),
        .kind = RPC_REVOKED_IDENTITY,
        .id = VIEW_LIT("456000"),
        .subject = key_public_view(s->peer),
        .at = s->now,
    };
}

TEST(revocations_are_one_chain_and_end_a_key)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    static const uint8_t zeros[HASH_SIZE], forged[HASH_SIZE] = { 5 };
    uint8_t head[HASH_SIZE];
    struct rpc_revocation v = revocation(&s, 1, zeros);
    const struct rpc_admission a = admission(&s, s.peer);
    _buf_ bytes = { 0 };

    CHECK_OK(sign_one(&s, RPC_W_ADMISSION, &a), err);
    CHECK_OK(sign_one(&s, RPC_W_REVOKE, &v), err);
    CHECK_OK(sign_one(&s, RPC_W_REVOKE, &v), err); /* the answer was lost */
    rpc_statement_write(RPC_W_REVOKE, &v, &bytes);
    hash_sha256(buf_view(&bytes), head);
    v.reason = 1;
    CHECK_ERR(sign_one(&s, RPC_W_REVOKE, &v), err, ERR_STALE); /* another one under its number */
    v = revocation(&s, 2, forged);
    CHECK_ERR(sign_one(&s, RPC_W_REVOKE, &v), err, ERR_STALE);
    v = revocation(&s, 3, head);
    CHECK_ERR(sign_one(&s, RPC_W_REVOKE, &v), err, ERR_BAD_STATEMENT);
    reopen(&s);
    CHECK_ERR(sign_one(&s, RPC_W_ADMISSION, &a), err, ERR_REVOKED);
    v = revocation(&s, 2, head);
    CHECK_OK(sign_one(&s, RPC_W_REVOKE, &v), err);
}

/* ---- certificates ------------------------------------------------------------------------------------------- */

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
    begin(s, VAULT_APPLY);
    buf_put_u16(&s->request, 1);
    buf_put_u8(&s->request, (uint8_t)o->profile);
    vault_put_text(&s->request, o->label);
    vault_put(&s->request, o->csr);
    vault_put(&s->request, buf_view(&body));
    vault_put(&s->request, r);
    vault_put(&s->request, sig);
    vault_put(&s->request, key_public_view(o->pk));
}

struct number {
    uint8_t serial[PKI_MAX_SERIAL];
    size_t len;
};

static bool apply(struct scene *s, const struct order *o, struct number *ret)
{
    struct view serial;

    put_order(s, o);
    if (!asked(s) || !vault_take_outcome(&s->in, &err))
        return false;
    serial = vault_bytes(&s->in, PKI_MAX_SERIAL);
    CHECK_U64(serial.len, 17);
    memcpy(ret->serial, serial.data, serial.len);
    ret->len = serial.len;
    return true;
}

static bool certify(struct scene *s, const struct number *number, struct pki_cert **ret_cert)
{
    begin(s, VAULT_ISSUE);
    for (size_t i = 0; i < 3; i++)
        vault_put_text(&s->request, "");
    buf_put_u16(&s->request, 1);
    vault_put(&s->request, VIEW(number->serial, number->len));
    buf_put_u64(&s->request, s->now);
    buf_put_u64(&s->request, DAY_MS);
    return asked(s) && vault_take_outcome(&s->in, &err) &&
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
    beat(&s);
    const struct order order = {
        .label = "456000",
        .signed_for = "456000",
        .procedure = "den.ca.sign",
        .signer = s.peer,
        .pk = s.peer,
        .body_csr = buf_view(&csr),
        .profile = PKI_PEER,
    };
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
    reopen(&s);
    CHECK_ERR(certify(&s, &first, &cert), err, ERR_BUSY); /* drawn by another process */

    CHECK_OK(apply(&s, &order, &first), err);
    const struct rpc_revocation v = revocation(&s, 1, zeros);
    CHECK_OK(sign_one(&s, RPC_W_REVOKE, &v), err);
    CHECK_ERR(certify(&s, &first, &cert), err, ERR_REVOKED); /* between the two */
    CHECK(!cert);
}

/* den gives a signer up that answers nothing for 10 s. */
TEST(what_a_slow_token_has_no_time_for_is_asked_for_again)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _cleanup_(pki_key_freep) struct pki_key *tls = NULL;
    struct number numbers[4];
    size_t n_signed = 0;
    _buf_ csr = { 0 };

    CHECK_OK(pki_key_new(PKI_P256, &tls, &err) && pki_csr_new(tls, &csr, &err), err);
    beat(&s);
    const struct order order = {
        .label = "456000",
        .signed_for = "456000",
        .procedure = "den.ca.sign",
        .signer = s.peer,
        .pk = s.peer,
        .body_csr = buf_view(&csr),
        .profile = PKI_PEER,
    };
    for (size_t i = 0; i < N_ELEMENTS(numbers); i++)
        CHECK_OK(apply(&s, &order, &numbers[i]), err);
    begin(&s, VAULT_ISSUE);
    for (size_t i = 0; i < 3; i++)
        vault_put_text(&s.request, "");
    buf_put_u16(&s.request, N_ELEMENTS(numbers));
    for (size_t i = 0; i < N_ELEMENTS(numbers); i++) {
        vault_put(&s.request, VIEW(numbers[i].serial, numbers[i].len));
        buf_put_u64(&s.request, s.now);
        buf_put_u64(&s.request, DAY_MS);
    }
    signing_takes = 2 * SECOND_MS;
    CHECK(asked(&s));
    signing_takes = 0;
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
    beat(&s);
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
    reopen(&s);
    CHECK_OK(issue(&s, &o), err); /* and is remembered */
    CHECK_OK(issue(&s, &good), err);
}

static bool begin_list(struct scene *s, uint64_t number, uint64_t at, uint64_t until, uint64_t n)
{
    begin(s, VAULT_LIST);
    buf_put_u64(&s->request, number);
    buf_put_u64(&s->request, at);
    buf_put_u64(&s->request, until);
    buf_put_u64(&s->request, n);
    return asked(s);
}

static bool put_part(struct scene *s, struct view entries)
{
    begin(s, VAULT_LIST_PART);
    vault_put(&s->request, entries);
    return asked(s);
}

static bool sign_list(struct scene *s)
{
    begin(s, VAULT_LIST_SIGN);
    return asked(s);
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
        reopen(&s);
    }
    CHECK_OK(begin_list(&s, 1002, NOW, NOW + DAY_MS, 0), err);
    CHECK_OK(begin_list(&s, 1003, NOW, NOW + DAY_MS, 0), err); /* the first is given up */
    CHECK_OK(sign_list(&s), err);
    CHECK_ERR(sign_list(&s), err, ERR_BUSY);
    CHECK_OK(begin_list(&s, 1004, NOW, NOW + DAY_MS, 0), err);
    reopen(&s);
    CHECK_ERR(sign_list(&s), err, ERR_BUSY); /* of the process before */
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

/* ---- frames and the book -------------------------------------------------------------------------------------- */

TEST(junk_is_noticed_as_that)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    static const char *const frames[] = { "",           "00",     "ff",      "0103",
                                          "02ffff",     "020001", "03",      "0300000001",
                                          "06ffffffff", "0700",   "09000000" };

    for (size_t i = 0; i < N_ELEMENTS(frames); i++) {
        uint8_t bytes[16];
        size_t len = strlen(frames[i]) / 2;
        CHECK(text_read_hex(view_text(frames[i]), bytes, len));
        buf_clear(&s.request);
        buf_put(&s.request, VIEW(bytes, len));
        if (i == 3) { /* another version: a refusal that says so */
            CHECK_ERR(asked(&s), err, ERR_BAD_WIRE);
            continue;
        }
        CHECK_U64(send_it(&s), VAULT_JUNK);
        CHECK_U64(s.answer.len, 0);
    }
}

TEST(nothing_leaves_that_could_not_be_written)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    const struct rpc_admission a = admission(&s, s.peer);
    enum vault_claim is;

    disk_fails = true;
    CHECK(!sign_one(&s, RPC_W_ADMISSION, &a));
    CHECK_U64(s.answer.len, 0);
    disk_fails = false;
    CHECK(!claim(&s, "456009", s.other, &is)); /* a disk that failed is not believed again */
    reopen(&s);
    CHECK_OK(sign_one(&s, RPC_W_ADMISSION, &a), err);
}

static void change_book(const struct scene *s, struct buf *to, struct view text)
{
    _free_ char *path = file_path(s->dir, "signer.book");

    buf_clear(to);
    buf_put(to, text);
    CHECK_OK(file_write(path, text, 0600, &err), err);
}

TEST(a_book_that_was_changed_is_noticed_and_a_cut_line_is_dropped)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _free_ char *path = file_path(s.dir, "signer.book");
    _buf_ book = { 0 }, changed = { 0 };

    check_claim(&s, "456000", s.peer, VAULT_CLAIMED);
    check_claim(&s, "456001", s.other, VAULT_CLAIMED);
    vault_free(STEAL(s.vault));
    CHECK_OK(file_read(path, 65536, &book, &err), err);
    for (size_t i = 0; i + 1 < book.len; i++) { /* each byte but the last line's end */
        book.data[i] ^= 1;
        change_book(&s, &changed, buf_view(&book));
        CHECK_ERR(vault_open(s.dir, VAULT_ASKED_BY_DEN, &s.vault, &err), err, ERR_BAD_CONFIG);
        book.data[i] ^= 1;
    }
    change_book(&s, &changed,
                view_sub(buf_view(&book), 0, book.len - 9)); /* killed while it wrote */
    reopen(&s);
    check_claim(&s, "456000", s.other, VAULT_ID_TAKEN);
    check_claim(&s, "456001", s.other, VAULT_CLAIMED);
    reopen(&s);
    check_claim(&s, "456001", s.peer, VAULT_ID_TAKEN);
}

TEST(a_book_has_one_writer)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    struct vault *second;

    CHECK_ERR(vault_open(s.dir, VAULT_ASKED_BY_DEN, &second, &err), err, ERR_BUSY);
}
