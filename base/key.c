/* SPDX-License-Identifier: Apache-2.0 */
#include "base/key.h"
#include "base/secret.h"
#include "base/text.h"

#include <sodium.h>

struct key {
    uint8_t secret[crypto_sign_SECRETKEYBYTES];
    uint8_t public_key[KEY_SIZE];
};

static const char file_word[] = "warren-ed25519 ";

bool key_init(struct err *err)
{
    return sodium_init() >= 0 || err_set(err, ERR_SYSTEM, "libsodium does not start");
}

static struct key *key_alloc(void)
{
    struct key *key = sodium_malloc(sizeof(*key));

    if (!key)
        abort();
    return key;
}

struct key *key_new(void)
{
    struct key *key = key_alloc();

    crypto_sign_keypair(key->public_key, key->secret);
    return key;
}

struct key *key_from_seed(const uint8_t seed[SEED_SIZE])
{
    struct key *key = key_alloc();

    crypto_sign_seed_keypair(key->public_key, key->secret, seed);
    return key;
}

void key_free(struct key *key)
{
    sodium_free(key);
}

const uint8_t *key_public(const struct key *key)
{
    return key->public_key;
}

struct view key_public_view(const struct key *key)
{
    return VIEW_ARR(key->public_key);
}

void key_sign(const struct key *key, struct view bytes, uint8_t ret_sig[SIG_SIZE])
{
    crypto_sign_detached(ret_sig, NULL, bytes.data, bytes.len, key->secret);
}

bool key_verify(struct view public_key, struct view bytes, struct view sig)
{
    return public_key.len == KEY_SIZE && sig.len == SIG_SIZE &&
           crypto_sign_verify_detached(sig.data, bytes.data, bytes.len, public_key.data) == 0;
}

void key_put_text(const uint8_t seed[SEED_SIZE], struct buf *to)
{
    size_t before = to->len;

    buf_grow(to, 128); /* room at once: growing would leave copies of the seed behind */
    to->len = before;
    buf_put_text(to, file_word);
    text_put_hex(to, VIEW(seed, SEED_SIZE));
    buf_put_text(to, "\n");
}

bool key_create(const struct key *key, const char *path, struct view passphrase, struct err *err)
{
    _buf_wipe_ text = { 0 };
    uint8_t seed[SEED_SIZE];

    crypto_sign_ed25519_sk_to_seed(seed, key->secret);
    key_put_text(seed, &text);
    mem_wipe(seed, sizeof(seed));
    return secret_create(path, buf_view(&text), passphrase, err);
}

bool key_write(const struct key *key, const char *path, struct err *err)
{
    return key_create(key, path, VIEW(NULL, 0), err);
}

bool key_read(const char *path, struct key **ret_key, struct err *err)
{
    return key_unlock(path, VIEW(NULL, 0), ret_key, err);
}

bool key_unlock(const char *path, struct view passphrase, struct key **ret_key, struct err *err)
{
    _buf_wipe_ text = { 0 };
    struct view rest, word = view_text(file_word);
    uint8_t seed[SEED_SIZE];
    bool ok;

    if (!secret_read(path, 256, passphrase, &text, err))
        return false;
    rest = buf_view(&text);
    ok = view_starts(rest, word) && rest.len == word.len + 2 * SEED_SIZE + 1 &&
         rest.data[rest.len - 1] == '\n' &&
         text_read_hex(view_sub(rest, word.len, 2 * SEED_SIZE), seed, sizeof(seed));
    if (!ok)
        return err_set(err, ERR_BAD_CONFIG, "%s: not an Ed25519 key file of ours", path);
    *ret_key = key_from_seed(seed);
    mem_wipe(seed, sizeof(seed));
    return true;
}

/* libsodium declares its inputs as never NULL, empty ones too. */
static const uint8_t *at(struct view bytes)
{
    return bytes.len ? bytes.data : (const uint8_t *)"";
}

void hash_sha256(struct view bytes, uint8_t ret_hash[HASH_SIZE])
{
    crypto_hash_sha256(ret_hash, at(bytes), bytes.len);
}

void hash_blake2b(struct view bytes, uint8_t ret_hash[HASH_SIZE])
{
    crypto_generichash(ret_hash, HASH_SIZE, at(bytes), bytes.len, NULL, 0);
}

void hmac_sha256(struct view key, struct view bytes, uint8_t ret_mac[HASH_SIZE])
{
    crypto_auth_hmacsha256_state state;

    crypto_auth_hmacsha256_init(&state, at(key), key.len);
    crypto_auth_hmacsha256_update(&state, at(bytes), bytes.len);
    crypto_auth_hmacsha256_final(&state, ret_mac);
    mem_wipe(&state, sizeof(state));
}

void random_bytes(void *to, size_t size)
{
    randombytes_buf(to, size);
}

uint32_t random_below(uint32_t bound)
{
    return randombytes_uniform(bound);
}

bool key_shared(const struct key *key, struct view pk, uint8_t ret_shared[KEY_SIZE])
{
    uint8_t own[crypto_scalarmult_SCALARBYTES], theirs[crypto_scalarmult_BYTES];
    bool ok = pk.len == KEY_SIZE && crypto_sign_ed25519_pk_to_curve25519(theirs, pk.data) == 0 &&
              crypto_sign_ed25519_sk_to_curve25519(own, key->secret) == 0 &&
              crypto_scalarmult(ret_shared, own, theirs) == 0;

    sodium_memzero(own, sizeof(own));
    return ok;
}
