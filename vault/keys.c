/* SPDX-License-Identifier: Apache-2.0 */
#include "vault/vault.h"

#include "base/file.h"
#include "base/secret.h"

enum { MAX_PEM = 64 * 1024 };

static bool read_ca(const char *dir, struct view passphrase, struct pki_ca **ret_ca,
                    struct err *err)
{
    _free_ char *key_path = file_path(dir, "intermediate.key"),
                *cert_path = file_path(dir, "intermediate.pem");
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    _buf_wipe_ key_pem = { 0 };
    _buf_ cert_pem = { 0 };
    struct pki_key *key;

    if (!secret_read(key_path, MAX_PEM, passphrase, &key_pem, err) ||
        !file_read(cert_path, MAX_PEM, &cert_pem, err))
        return false;
    if (!pki_cert_read_pem(buf_view(&cert_pem), &cert, err))
        return err_wrap(err, "%s", cert_path);
    if (!pki_key_read(buf_view(&key_pem), VIEW(NULL, 0), &key, err))
        return err_wrap(err, "%s", key_path);
    return pki_ca_load(pki_cert_der(cert), key, ret_ca, err) ||
           err_wrap(err, "%s and %s", key_path, cert_path);
}

bool vault_keys_read(const char *dir, struct view passphrase, struct vault_keys *ret_keys,
                     struct err *err)
{
    _free_ char *sign_path = file_path(dir, "sign.key");
    _cleanup_(key_freep) struct key *sign = NULL;
    struct pki_ca *ca;

    if (!key_unlock(sign_path, passphrase, &sign, err) || !read_ca(dir, passphrase, &ca, err))
        return false;
    *ret_keys = (struct vault_keys){ STEAL(sign), ca };
    return true;
}

void vault_keys_deinit(struct vault_keys *keys)
{
    key_free(keys->sign);
    pki_ca_free(keys->ca);
    *keys = (struct vault_keys){ 0 };
}
