/* SPDX-License-Identifier: Apache-2.0 */
#include "den/root_key.h"

#include "base/file.h"
#include "vault/vault.h"
#include "den/passphrase.h"
#include "vault/token.h"

#include <inttypes.h>

enum { MAX_PEM = 64 * 1024 };

static bool is_in_token(const struct root_key_source *from)
{
    return from->key && token_is_uri(view_text(from->key));
}

static bool get_pin(const struct root_key_source *from, struct buf *asked, struct token_login *to,
                    struct err *err)
{
    if (!from->pin && !passphrase_read_pin(from->passphrase_fd, asked, err))
        return false;
    to->pin = buf_view(from->pin ? from->pin : asked);
    return true;
}

static bool read_token(const struct root_key_source *from, const struct token_uri *uri,
                       struct pki_key **ret_key, struct err *err)
{
    struct token_login login = { .care = TOKEN_ATTENDED };
    _buf_wipe_ pin = { 0 };

    if (!get_pin(from, &pin, &login, err))
        return false;
    return token_key_load(uri, &login, PKI_P384, ret_key, err) || err_wrap(err, "the root's key");
}

static bool read_uri(const struct root_key_source *from, struct pki_key **ret_key, struct err *err)
{
    _cleanup_(token_uri_deinit) struct token_uri uri = { 0 };

    return token_uri_read(view_text(from->key), &uri, err) && read_token(from, &uri, ret_key, err);
}

static bool read_place(const struct root_key_source *from, const char *path, struct view text,
                       struct pki_key **ret_key, struct err *err)
{
    _cleanup_(token_place_deinit) struct token_place place = { 0 };

    return token_file_read(path, text, &place, err) && read_token(from, &place.uri, ret_key, err);
}

static bool read_file(const struct root_key_source *from, const char *path,
                      struct pki_key **ret_key, struct err *err)
{
    _buf_wipe_ pem = { 0 };
    _buf_wipe_ passphrase = { 0 };

    if (is_in_token(from))
        return read_uri(from, ret_key, err);
    if (!file_read_secret(path, MAX_PEM, &pem, err))
        return err_wrap(err, "the root's key is needed (--root-key FILE or PKCS#11 URI; or "
                             "--request FILE, where it is on another machine)");
    if (token_file_is(buf_view(&pem)))
        return read_place(from, path, buf_view(&pem), ret_key, err);
    if (!passphrase_read(from->passphrase_fd, false, &passphrase, err))
        return false;
    return pki_key_read(buf_view(&pem), buf_view(&passphrase), ret_key, err) ||
           err_wrap(err, "%s", path);
}

/* Of the roots in the folder whose certificate is listed, the one in use. */
static char *default_path(const char *dir, const struct rpc_trust *trust)
{
    const struct rpc_manifest *m = rpc_trust_manifest(trust);

    for (size_t i = 0; i < m->roots.n; i++) {
        _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
        _free_ char *path = NULL;
        struct err unused;
        if (vault_find_cert(dir, "root", m->roots.item[i], &cert, &path, &unused) &&
            file_exists(path))
            return STEAL(path);
    }
    return file_path(dir, "root.key");
}

bool root_key_in_token(const struct root_key_source *from, const struct rpc_trust *trust,
                       struct buf *ret_uri)
{
    _free_ char *path = from->key ? mem_text(from->key) : default_path(from->dir, trust);

    return token_file_say(path, ret_uri);
}

bool root_key_load(const struct root_key_source *from, const struct rpc_trust *trust,
                   struct pki_ca **ret_root, struct err *err)
{
    _free_ char *path = from->key ? mem_text(from->key) : default_path(from->dir, trust);
    struct pki_key *key;
    uint8_t is[HASH_SIZE], wanted[HASH_SIZE];
    struct view der;

    if (!read_file(from, path, &key, err))
        return false;
    for (size_t i = 0; rpc_trust_root(trust, i, &der); i++) {
        _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
        if (!pki_cert_read(der, &cert, err) || !pki_key_spki_hash(key, is, err))
            break;
        pki_cert_spki_hash(cert, wanted);
        if (view_eq(VIEW_ARR(is), VIEW_ARR(wanted)))
            return pki_ca_load(der, key, ret_root, err) || err_wrap(err, "%s", path);
    }
    pki_key_free(key);
    return err_set(err, ERR_WRONG_KEY,
                   "%s: is not the key of a root that manifest %" PRIu64 " lists", path,
                   rpc_trust_manifest_no(trust));
}

static bool make_file(const struct root_key_source *from, struct pki_key **ret_key, struct err *err)
{
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;
    _buf_wipe_ passphrase = { 0 };
    _buf_wipe_ pem = { 0 };

    if (!pki_key_new(PKI_P384, &key, err) ||
        !passphrase_read(from->passphrase_fd, true, &passphrase, err) ||
        !pki_key_write(key, buf_view(&passphrase), &pem, err) ||
        !file_create(from->key, buf_view(&pem), 0600, err))
        return false;
    *ret_key = STEAL(key);
    return true;
}

static bool make_in_token(const struct root_key_source *from, struct pki_key **ret_key,
                          struct buf *ret_file, bool *ret_is_new, struct err *err)
{
    _cleanup_(token_uri_deinit) struct token_uri uri = { 0 };
    _cleanup_(token_place_deinit) struct token_place place = { 0 };
    struct token_login login = { .care = TOKEN_ATTENDED };
    _buf_wipe_ pin = { 0 };

    if (!token_uri_read(view_text(from->key), &uri, err))
        return false;
    if (!uri.object)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "the root's key has no name: add ;object=NAME to the URI");
    if (!get_pin(from, &pin, &login, err))
        return false;
    if (!token_key_make(&uri, &login, PKI_P384, &place.uri, ret_key, ret_is_new, err))
        return false;
    if (ret_file)
        token_file_write(&place, ret_file);
    return true;
}

bool root_key_make(const struct root_key_source *from, const char *network, uint64_t now,
                   struct pki_ca **ret_root, struct buf *ret_file, bool *ret_is_new,
                   struct err *err)
{
    struct pki_key *key;
    bool ok;

    *ret_is_new = !is_in_token(from) && !file_exists(from->key);
    ok = is_in_token(from) ? make_in_token(from, &key, ret_file, ret_is_new, err)
         : *ret_is_new     ? make_file(from, &key, err)
                           : read_file(from, from->key, &key, err);

    if (!ok)
        return err_wrap(err, "the new root");
    return pki_ca_new_root(network, now, ROOT_LIFE_MS, key, ret_root, err) ||
           err_wrap(err, "%s", from->key);
}
