/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/vault/scene.h"

#include <unistd.h>

struct err err;
bool scene_disk_fails;
uint64_t scene_signing_takes;
static uint64_t mono = 1000000;

uint64_t __wrap_clock_mono_ms(void);
uint64_t __wrap_clock_mono_ms(void)
{
    return mono += scene_signing_takes;
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    return scene_disk_fails ? -1 : __real_fdatasync(fd);
}

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

void scene_reopen(struct scene *s)
{
    vault_free(STEAL(s->vault));
    CHECK_OK(vault_open(s->dir, VAULT_ASKED_BY_DEN, &s->vault, &err), err);
    vault_set_helpers(s->vault, 1);
}

static void found(struct scene *s)
{
    CHECK_OK(file_private_dir(s->dir, &err), err);
    write_keys(s);
    pki_cert_hash(pki_ca_cert(s->root), s->netid);
    CHECK_OK(vault_book_create(s->dir, VIEW_ARR(s->netid), NETWORK, &err), err);
    scene_reopen(s);
}

struct scene scene_new(void)
{
    static unsigned n;
    struct scene s = { .dir = mem_format("%s/vault-%u", check_dir(), n++), .now = NOW };

    log_open("vault_test", LOG_ERROR);
    scene_disk_fails = false;
    s.peer = key_new();
    s.other = key_new();
    found(&s);
    return s;
}

void scene_deinit(struct scene *s)
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

void scene_begin(struct scene *s, enum vault_kind kind)
{
    buf_clear(&s->request);
    buf_put_u8(&s->request, (uint8_t)kind);
}

enum vault_outcome scene_send(struct scene *s)
{
    enum vault_outcome outcome;

    buf_clear(&s->answer);
    outcome = vault_handle(s->vault, s->now, buf_view(&s->request), &s->answer);
    s->in = (struct vault_in){ .rest = buf_view(&s->answer) };
    return outcome;
}

bool scene_asked(struct scene *s)
{
    enum vault_outcome outcome = scene_send(s);

    err = (struct err){ 0 };
    if (outcome != VAULT_ANSWERED)
        return err_set(&err, ERR_INTERNAL, "outcome %d", outcome);
    return vault_take_outcome(&s->in, &err);
}

bool scene_sign_bytes(struct scene *s, uint8_t word, struct view bytes)
{
    scene_begin(s, VAULT_STATEMENTS);
    buf_put_u16(&s->request, 1);
    buf_put_u8(&s->request, word);
    vault_put(&s->request, bytes);
    if (!scene_asked(s) || !vault_take_outcome(&s->in, &err))
        return false;
    return key_verify(key_public_view(s->sign), bytes, vault_fixed(&s->in, SIG_SIZE)) ||
           err_set(&err, ERR_INTERNAL, "another signature");
}

bool scene_sign(struct scene *s, enum rpc_word word, const void *statement)
{
    _buf_ bytes = { 0 };

    rpc_statement_write(word, statement, &bytes);
    return scene_sign_bytes(s, (uint8_t)word, buf_view(&bytes));
}

struct rpc_heartbeat scene_heartbeat(struct scene *s)
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

void scene_beat(struct scene *s)
{
    const struct rpc_heartbeat h = scene_heartbeat(s);

    CHECK_OK(scene_sign(s, RPC_W_HEARTBEAT, &h), err);
}

struct rpc_revocation scene_revocation(const struct scene *s, uint64_t no,
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
