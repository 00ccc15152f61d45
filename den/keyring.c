/* SPDX-License-Identifier: Apache-2.0 */
#include "den/keyring.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "vault/vault.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { MAX_PEM = 64 * 1024 };

char *keyring_path(const char *dir, const char *kind, uint64_t no, const char *ending)
{
    _free_ char *name = mem_format("%s.%" PRIu64 ".%s", kind, no, ending);

    return file_path(dir, name);
}

/* ---- all that den works with ------------------------------------------------------------------ */

void keyring_deinit(struct keyring *keys)
{
    key_free(keys->login);
    for (size_t i = 0; i < keys->n_intermediates; i++)
        buf_free(&keys->intermediates[i]);
    *keys = (struct keyring){ 0 };
}

/* One that is listed and not here is listed for others: den never had it, or its file is gone. */
static void load_intermediates(const char *dir, const struct rpc_manifest *m, struct keyring *keys)
{
    for (size_t i = 0; i < m->intermediates.n; i++) {
        _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
        struct err unused;
        if (vault_find_cert(dir, "intermediate", m->intermediates.item[i], &cert, NULL, &unused))
            keys->intermediates[keys->n_intermediates++] = buf_dup(pki_cert_der(cert));
    }
}

bool keyring_has_login(const struct rpc_trust *trust, uint64_t router_no)
{
    const struct rpc_key_list *listed = &rpc_trust_manifest(trust)->keys;

    for (size_t i = 0; i < listed->n; i++)
        if (listed->item[i].role == RPC_KEY_DEN_LOGIN &&
            rpc_trust_first_key(trust, RPC_KEY_DEN_LOGIN, listed->item[i].pk) <= router_no)
            return true;
    return router_no == 0;
}

/* A router that was away while den's login key changed knows only the one before. */
static struct view login_for(const struct rpc_trust *trust, uint64_t router_no)
{
    const struct rpc_key_list *listed = &rpc_trust_manifest(trust)->keys;
    struct view first = { 0 };

    for (size_t i = 0; i < listed->n; i++) {
        struct view pk = listed->item[i].pk;
        if (listed->item[i].role != RPC_KEY_DEN_LOGIN)
            continue;
        first = first.len ? first : pk;
        if (!router_no || rpc_trust_first_key(trust, RPC_KEY_DEN_LOGIN, pk) <= router_no)
            return pk;
    }
    rpc_trust_key_at(trust, router_no, RPC_KEY_DEN_LOGIN, &first);
    return first;
}

/* One that is at hand needs no passphrase. */
static bool load_login(const struct den_config *config, struct view pk, const struct key *at_hand,
                       struct key **ret_key, struct err *err)
{
    struct view passphrase = config->passphrase ? buf_view(config->passphrase) : VIEW(NULL, 0);

    if (!pk.len)
        return err_set(err, ERR_NOT_FOUND, "the manifest lists no den-login key");
    if (at_hand && view_eq(key_public_view(at_hand), pk))
        return true;
    return vault_find_key(config->state, "login", pk, passphrase, ret_key, err);
}

bool keyring_load(const struct den_config *config, const struct rpc_trust *trust,
                  uint64_t router_no, const struct key *at_hand, struct keyring *ret_keys,
                  struct err *err)
{
    const struct rpc_manifest *m = rpc_trust_manifest(trust);
    _cleanup_(keyring_deinit) struct keyring keys = { 0 };
    uint64_t now = clock_wall_ms();
    char until[CLOCK_TEXT];

    if (m->not_after <= now)
        return err_set(err, ERR_EXPIRED,
                       "manifest %" PRIu64
                       " was valid until %s: have the root sign a new one (rollover renew)",
                       m->manifest_no, clock_text(m->not_after, until));
    if (!load_login(config, login_for(trust, router_no), at_hand, &keys.login, err))
        return false;
    load_intermediates(config->state, m, &keys);
    *ret_keys = keys;
    keys = (struct keyring){ 0 };
    return true;
}

/* ---- what nobody needs any more ------------------------------------------------------------- */

struct forgetting {
    const struct rpc_trust *trust;
    enum rpc_key_role role;
};

static void destroy(const char *path)
{
    if (unlink(path) == 0)
        log_event(LOG_INFO, "key.destroyed", "file=%s", log_quote_text(path));
}

/* NAME.key was made for the first manifest, NAME.7.key for the seventh. */
static uint64_t number_of(const char *path)
{
    const char *name = strrchr(path, '/'), *dot = strchr(name ? name : path, '.');
    uint64_t no = 0;

    if (!dot || strchr(dot + 1, '.') == NULL)
        return 1;
    for (dot++; *dot >= '0' && *dot <= '9' && no < UINT64_MAX / 16; dot++)
        no = no * 10 + (uint64_t)(*dot - '0');
    return no;
}

/* By its file's number alone, as one under a passphrase does not show whose it is: its manifest is there, and nothing that this
 * manifest listed first is listed now. */
static bool is_past(const struct forgetting *f, const char *path)
{
    const struct rpc_key_list *listed = &rpc_trust_manifest(f->trust)->keys;
    uint64_t no = number_of(path);
    struct view unused;

    if (!rpc_trust_key_at(f->trust, no, f->role, &unused))
        return false;
    for (size_t i = 0; i < listed->n; i++) {
        if (listed->item[i].role == f->role &&
            rpc_trust_first_key(f->trust, f->role, listed->item[i].pk) == no)
            return false;
    }
    return true;
}

static bool is_listed_now(const struct forgetting *f, struct view pk)
{
    const struct rpc_key_list *listed = &rpc_trust_manifest(f->trust)->keys;

    for (size_t i = 0; i < listed->n; i++) {
        if (view_eq(listed->item[i].pk, pk))
            return true;
    }
    return false;
}

static bool forget_key(void *user, const char *path)
{
    const struct forgetting *f = user;
    _cleanup_(key_freep) struct key *key = NULL;
    struct err err;

    if (!key_read(path, &key, &err)) {
        if (err.code == ERR_LOCKED && is_past(f, path))
            destroy(path);
        return true;
    }
    if (!is_listed_now(f, key_public_view(key)) &&
        (rpc_trust_first_key(f->trust, f->role, key_public_view(key)) || is_past(f, path)))
        destroy(path);
    return true;
}

/* Made for a manifest that came without it. */
static bool forget_unsigned(void *user, const char *path)
{
    const struct forgetting *f = user;
    _free_ char *cert_path = mem_format("%.*spem", (int)(strlen(path) - strlen("key")), path);

    if (number_of(path) > 1 && number_of(path) <= rpc_trust_manifest_no(f->trust) &&
        !file_exists(cert_path))
        destroy(path);
    return true;
}

/* The file no more counts; the key is destroyed where it is, by whoever has the token's PIN. */
static bool retire_token(const char *path)
{
    _free_ char *retired = mem_format("%s.retired", path);
    _buf_ uri = { 0 };

    if (!token_file_say(path, &uri))
        return false;
    if (rename(path, retired) == 0)
        log_event(LOG_WARN, "key.in_token", "file=%s key=%s remedy=%s", log_quote_text(retired),
                  log_quote_text(buf_cstr(&uri)),
                  log_quote_text("nothing needs it: pkcs11-tool --delete-object --type privkey"));
    return true;
}

static bool forget_intermediate(void *user, const char *path)
{
    const struct forgetting *f = user;
    const struct rpc_items *listed = &rpc_trust_manifest(f->trust)->intermediates;
    _free_ char *key_path = mem_format("%.*skey", (int)(strlen(path) - strlen("pem")), path);
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    uint8_t hash[HASH_SIZE];
    bool is_listed = false;
    struct err unused;
    _buf_ pem = { 0 };

    if (!file_exists(key_path) || !file_read(path, MAX_PEM, &pem, &unused) ||
        !pki_cert_read_pem(buf_view(&pem), &cert, &unused))
        return true;
    pki_cert_hash(cert, hash);
    for (size_t i = 0; i < listed->n; i++)
        is_listed |= view_eq(listed->item[i], VIEW_ARR(hash));
    if (!is_listed && rpc_trust_first_listing(f->trust, VIEW_ARR(hash)) && !retire_token(key_path))
        destroy(key_path);
    return true;
}

void keyring_forget(const char *dir, const struct rpc_trust *trust)
{
    struct forgetting login = { trust, RPC_KEY_DEN_LOGIN }, sign = { trust, RPC_KEY_DEN_SIGN };

    vault_each_file(dir, "login", "key", forget_key, &login);
    vault_each_file(dir, "sign", "key", forget_key, &sign);
    vault_each_file(dir, "intermediate", "pem", forget_intermediate, &sign);
    vault_each_file(dir, "intermediate", "key", forget_unsigned, &sign);
}
