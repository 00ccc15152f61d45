/* SPDX-License-Identifier: Apache-2.0 */
/* magic | u32be operations | u32be MiB | salt 16 | nonce 24 | ciphertext and tag; all before the ciphertext is authenticated. */
#include "base/seal.h"

#include "base/key.h"

#include <sodium.h>

static const char magic[] = "warren-sealed-1\n";

enum {
    MAGIC = sizeof(magic) - 1,
    SALT = crypto_pwhash_argon2id_SALTBYTES,
    NONCE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    TAG = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    KEY = crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
    HEAD = MAGIC + 4 + 4 + SALT + NONCE,
    OPERATIONS = 3,
    MIB = 64, /* RFC 9106's second choice: for machines that have little */
    MOST_OPERATIONS = 16,
    MOST_MIB = 1024,
};

struct secret {
    uint8_t key[KEY];
};

static void wipe(struct secret *secret)
{
    mem_wipe(secret->key, sizeof(secret->key));
}

static bool derive(struct view passphrase, const uint8_t salt[SALT], uint32_t operations,
                   uint32_t mib, struct secret *secret, struct err *err)
{
    return crypto_pwhash_argon2id(secret->key, sizeof(secret->key), (const char *)passphrase.data,
                                  passphrase.len, salt, operations, (size_t)mib << 20,
                                  crypto_pwhash_argon2id_ALG_ARGON2ID13) == 0 ||
           err_set(err, ERR_SYSTEM, "not enough memory to derive a key: %u MiB are needed", mib);
}

bool seal_is(struct view bytes)
{
    return view_starts(bytes, VIEW(magic, MAGIC));
}

bool seal_put(struct view bytes, struct view passphrase, struct buf *to, struct err *err)
{
    _cleanup_(wipe) struct secret secret = { { 0 } };
    uint8_t salt[SALT], nonce[NONCE];
    size_t start = to->len;

    if (passphrase.len == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "the passphrase is empty");
    if (bytes.len > SEAL_MAX)
        return err_set(err, ERR_TOO_LARGE, "more than can be sealed");
    random_bytes(salt, sizeof(salt));
    random_bytes(nonce, sizeof(nonce));
    if (!derive(passphrase, salt, OPERATIONS, MIB, &secret, err))
        return false;
    buf_put(to, VIEW(magic, MAGIC));
    buf_put_u32(to, OPERATIONS);
    buf_put_u32(to, MIB);
    buf_put(to, VIEW_ARR(salt));
    buf_put(to, VIEW_ARR(nonce));
    uint8_t *place = buf_grow(to, bytes.len + TAG);
    crypto_aead_xchacha20poly1305_ietf_encrypt(place, NULL, bytes.data, bytes.len, to->data + start,
                                               HEAD, NULL, nonce, secret.key);
    return true;
}

bool seal_open(struct view sealed, struct view passphrase, struct buf *ret_bytes, struct err *err)
{
    _cleanup_(wipe) struct secret secret = { { 0 } };
    struct view rest = sealed, head = view_sub(sealed, 0, HEAD), salt, nonce;
    uint32_t operations, mib;
    _buf_wipe_ bytes = { 0 };

    if (!seal_is(sealed) || sealed.len < HEAD + TAG || sealed.len > SEAL_MAX + HEAD + TAG)
        return err_set(err, ERR_BAD_CONFIG,
                       "not bytes that were sealed under a passphrase, or cut short");
    rest = view_sub(sealed, MAGIC, sealed.len);
    view_take_u32(&rest, &operations);
    view_take_u32(&rest, &mib);
    view_take(&rest, SALT, &salt);
    view_take(&rest, NONCE, &nonce);
    if (operations == 0 || operations > MOST_OPERATIONS || mib == 0 || mib > MOST_MIB)
        return err_set(err, ERR_BAD_CONFIG, "sealed at a cost that is not accepted");
    if (passphrase.len == 0)
        return err_set(err, ERR_BAD_PASSPHRASE, "the passphrase is empty");
    if (!derive(passphrase, salt.data, operations, mib, &secret, err))
        return false;
    buf_grow(&bytes, rest.len - TAG);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(bytes.data, NULL, NULL, rest.data, rest.len,
                                                   head.data, HEAD, nonce.data, secret.key) != 0)
        return err_set(err, ERR_BAD_PASSPHRASE,
                       "the passphrase is wrong, or the bytes were changed");
    *ret_bytes = bytes;
    bytes = (struct buf){ 0 };
    return true;
}
