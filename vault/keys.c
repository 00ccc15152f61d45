/* SPDX-License-Identifier: Apache-2.0 */
/* From the folder to the keys. Files carry the number of the manifest that they were made for (intermediate.4.key, .pem;
 * sign.7.key; the first ones carry none); which of them are in use says the manifest in the folder, which the roots
 * signed, so that no step of a rollover renames a key. */
#include "vault/vault.h"

#include "base/file.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/text.h"

#include <dirent.h>

enum { MAX_PEM = 64 * 1024, MAX_MANIFESTS = 1024 * 1024 };

/* KIND.ENDING, or KIND.N.ENDING */
static bool is_of_kind(const char *name, const char *kind, const char *ending)
{
    size_t len = strlen(kind), n_digits;
    const char *rest = name + len;

    if (strncmp(name, kind, len) != 0 || *rest != '.')
        return false;
    n_digits = strspn(rest + 1, "0123456789");
    if (n_digits > 0 && rest[1 + n_digits] == '.')
        rest += 1 + n_digits;
    return strcmp(rest + 1, ending) == 0;
}

bool vault_each_file(const char *dir, const char *kind, const char *ending,
                     bool (*each)(void *user, const char *path), void *user)
{
    DIR *folder = opendir(dir);
    struct dirent *entry;
    bool goes_on = true;

    while (folder && goes_on && (entry = readdir(folder))) {
        _free_ char *path = file_path(dir, entry->d_name);
        if (is_of_kind(entry->d_name, kind, ending))
            goes_on = each(user, path);
    }
    if (folder)
        closedir(folder);
    return goes_on;
}

/* ---- finding ------------------------------------------------------------------------------ */

struct cert_search {
    struct view hash;
    struct pki_cert *cert;
    char *path;
};

static bool match_cert(void *user, const char *path)
{
    struct cert_search *s = user;
    struct pki_cert *cert = NULL;
    uint8_t hash[HASH_SIZE];
    struct err unused;
    _buf_ pem = { 0 };

    if (!file_read(path, MAX_PEM, &pem, &unused) ||
        !pki_cert_read_pem(buf_view(&pem), &cert, &unused))
        return true;
    pki_cert_hash(cert, hash);
    if (view_eq(VIEW_ARR(hash), s->hash)) {
        s->cert = cert;
        s->path = mem_text(path);
        return false;
    }
    pki_cert_free(cert);
    return true;
}

bool vault_find_cert(const char *dir, const char *kind, struct view hash,
                     struct pki_cert **ret_cert, char **ret_key_path, struct err *err)
{
    struct cert_search s = { .hash = hash };
    _buf_ hex = { 0 };

    vault_each_file(dir, kind, "pem", match_cert, &s);
    text_put_hex(&hex, hash);
    if (!s.cert)
        return err_set(err, ERR_UNLISTED_KEY,
                       "%s: no %s*.pem is the one that the manifest lists (SHA-256 %s)", dir, kind,
                       buf_cstr(&hex));
    *ret_cert = s.cert;
    if (ret_key_path)
        *ret_key_path = mem_format("%.*skey", (int)(strlen(s.path) - strlen("pem")), s.path);
    free(s.path);
    return true;
}

struct key_search {
    struct view pk, passphrase;
    struct key *key;
    struct err err; /* a file that could not be read */
};

static bool match_key(void *user, const char *path)
{
    struct key_search *s = user;
    struct key *key;

    if (!key_unlock(path, s->passphrase, &key, &s->err))
        return true;
    if (view_eq(key_public_view(key), s->pk)) {
        s->key = key;
        return false;
    }
    key_free(key);
    return true;
}

bool vault_find_key(const char *dir, const char *kind, struct view pk, struct view passphrase,
                    struct key **ret_key, struct err *err)
{
    struct key_search s = { .pk = pk, .passphrase = passphrase };
    _buf_ hex = { 0 };

    vault_each_file(dir, kind, "key", match_key, &s);
    if (s.key) {
        *ret_key = s.key;
        return true;
    }
    if (s.err.code != ERR_NONE) {
        *err = s.err;
        return false;
    }
    text_put_hex(&hex, pk);
    return err_set(err, ERR_UNLISTED_KEY,
                   "%s: no %s*.key has the private half of %s, which the manifest lists", dir, kind,
                   buf_cstr(&hex));
}

/* ---- the vault's --------------------------------------------------------------------------- */

/* The PIN at hand is of the token that has the key in use: no other one is tried with it. */
static bool read_token(const char *path, struct view text, const struct token_login *login,
                       struct vault_keys *keys, struct pki_key **ret_key, struct err *err)
{
    _cleanup_(token_place_deinit) struct token_place place = { 0 };

    if (!token_file_read(path, text, &place, err))
        return false;
    if (keys->ca && !(keys->place.paths && token_uri_is_same_token(&place.uri, &keys->place.uri)))
        return err_set(
            err, ERR_NOT_FOUND,
            "%s: the key is in a token that has not the key in use, and a signer has one PIN",
            path);
    if (!token_key_load(&place.uri, login, PKI_P256, ret_key, err))
        return err_wrap(err, "%s", path);
    if (!keys->ca) {
        keys->place = place;
        place = (struct token_place){ 0 };
    }
    return true;
}

static bool load_ca(const char *path, const struct pki_cert *cert,
                    const struct vault_secrets *secrets, struct vault_keys *keys,
                    struct pki_ca **ret_ca, struct err *err)
{
    _buf_wipe_ bytes = { 0 };
    struct pki_key *key;

    if (!secret_read(path, MAX_PEM, secrets->passphrase, &bytes, err))
        return false;
    if (token_file_is(buf_view(&bytes))) {
        if (!read_token(path, buf_view(&bytes), &secrets->login, keys, &key, err))
            return false;
    } else if (!pki_key_read(buf_view(&bytes), VIEW(NULL, 0), &key, err)) {
        return err_wrap(err, "%s", path);
    }
    return pki_ca_load(pki_cert_der(cert), key, ret_ca, err) || err_wrap(err, "%s", path);
}

/* Until it is retired: what an earlier one signed is asked about by software that knows nothing of manifests. One whose key
 * is elsewhere is no fault, but is told. */
static void load_others(const char *dir, const struct rpc_manifest *m,
                        const struct vault_secrets *secrets, struct vault_keys *keys)
{
    for (size_t i = 1; i < m->intermediates.n; i++) {
        _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
        _free_ char *key_path = NULL;
        struct err why = { 0 };
        if (vault_find_cert(dir, "intermediate", m->intermediates.item[i], &cert, &key_path,
                            &why) &&
            load_ca(key_path, cert, secrets, keys, &keys->others[keys->n_others], &why))
            keys->n_others++;
        else
            log_event(LOG_WARN, "signer.other_key_missing", "code=%s cause=%s",
                      err_code_name(why.code), log_quote_text(why.text));
    }
}

/* Before the first rollover there is one of each. */
static bool read_first(const char *dir, const struct vault_secrets *secrets,
                       struct vault_keys *keys, struct err *err)
{
    _free_ char *key_path = file_path(dir, "intermediate.key"),
                *cert_path = file_path(dir, "intermediate.pem"),
                *sign_path = file_path(dir, "sign.key");
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    _buf_ pem = { 0 };

    if (!key_unlock(sign_path, secrets->passphrase, &keys->sign, err) ||
        !file_read(cert_path, MAX_PEM, &pem, err))
        return false;
    if (!pki_cert_read_pem(buf_view(&pem), &cert, err))
        return err_wrap(err, "%s", cert_path);
    return load_ca(key_path, cert, secrets, keys, &keys->ca, err);
}

static bool read_listed(const char *dir, const struct vault_secrets *secrets,
                        struct vault_keys *keys, struct err *err)
{
    const struct rpc_manifest *m = rpc_trust_manifest(keys->trust);
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    _free_ char *key_path = NULL;
    struct view pk;

    if (m->intermediates.n == 0 ||
        !rpc_trust_key_at(keys->trust, m->manifest_no, RPC_KEY_DEN_SIGN, &pk))
        return err_set(err, ERR_NOT_FOUND, "%s: the manifest lists no intermediate or no den-sign",
                       dir);
    if (!vault_find_key(dir, "sign", pk, secrets->passphrase, &keys->sign, err) ||
        !vault_find_cert(dir, "intermediate", m->intermediates.item[0], &cert, &key_path, err) ||
        !load_ca(key_path, cert, secrets, keys, &keys->ca, err))
        return false;
    load_others(dir, m, secrets, keys);
    return true;
}

static bool read_trust(const char *dir, struct rpc_trust **ret_trust, struct err *err)
{
    _free_ char *path = file_path(dir, VAULT_MANIFESTS);
    _buf_ bytes = { 0 };

    if (!file_exists(path))
        return true;
    if (!file_read(path, MAX_MANIFESTS, &bytes, err))
        return false;
    if (!rpc_trust_load(buf_view(&bytes), pki_verify_by_cert, ret_trust, err))
        return err_wrap(err, "%s", path);
    return rpc_trust_is_ready(*ret_trust) ||
           err_set(err, ERR_BAD_CONFIG, "%s: holds no manifest", path);
}

bool vault_keys_read(const char *dir, const struct vault_secrets *secrets,
                     struct vault_keys *ret_keys, struct err *err)
{
    _cleanup_(vault_keys_deinit) struct vault_keys keys = { 0 };

    if (!read_trust(dir, &keys.trust, err) || !(keys.trust ? read_listed(dir, secrets, &keys, err)
                                                           : read_first(dir, secrets, &keys, err)))
        return false;
    *ret_keys = keys;
    keys = (struct vault_keys){ 0 };
    return true;
}

void vault_keys_deinit(struct vault_keys *keys)
{
    key_free(keys->sign);
    pki_ca_free(keys->ca);
    rpc_trust_free(keys->trust);
    for (size_t i = 0; i < keys->n_others; i++)
        pki_ca_free(keys->others[i]);
    token_place_deinit(&keys->place);
    *keys = (struct vault_keys){ 0 };
}
