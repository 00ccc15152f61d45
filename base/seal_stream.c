/* SPDX-License-Identifier: Apache-2.0 */
/* magic | u32be operations | u32be MiB | salt 16 | secretstream head 24 | pieces, each 17 bytes longer than what is in it. The head is
 * authenticated with every piece. */
#include "base/seal_stream.h"

#include "base/key.h"

#include <sodium.h>

static const char magic[] = "warren-sealed-stream-1\n";

enum {
    MAGIC = sizeof(magic) - 1,
    SALT = crypto_pwhash_argon2id_SALTBYTES,
    INIT = crypto_secretstream_xchacha20poly1305_HEADERBYTES,
    MORE = crypto_secretstream_xchacha20poly1305_ABYTES,
    KEY = crypto_secretstream_xchacha20poly1305_KEYBYTES,
    HEAD = MAGIC + 4 + 4 + SALT + INIT,
    OPERATIONS = 3,
    MIB = 64, /* RFC 9106's second choice */
    MOST_OPERATIONS = 16,
    MOST_MIB = 1024,
};

struct seal_stream {
    crypto_secretstream_xchacha20poly1305_state state;
    uint8_t head[HEAD];
};

void seal_stream_free(struct seal_stream *stream)
{
    if (stream)
        mem_wipe(stream, sizeof(*stream));
    free(stream);
}

static bool derive(struct view passphrase, const uint8_t *salt, uint32_t operations, uint32_t mib,
                   uint8_t key[KEY], struct err *err)
{
    return crypto_pwhash_argon2id(key, KEY, (const char *)passphrase.data, passphrase.len, salt,
                                  operations, (size_t)mib << 20,
                                  crypto_pwhash_argon2id_ALG_ARGON2ID13) == 0 ||
           err_set(err, ERR_SYSTEM, "not enough memory to derive a key: %u MiB are needed", mib);
}

bool seal_stream_new(struct view passphrase, struct seal_stream **ret_stream, struct buf *to,
                     struct err *err)
{
    _cleanup_(seal_stream_freep) struct seal_stream *stream = mem_new(struct seal_stream);
    uint8_t salt[SALT], init[INIT], key[KEY];
    _buf_ head = { 0 };

    if (passphrase.len == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "the passphrase is empty");
    random_bytes(salt, sizeof(salt));
    if (!derive(passphrase, salt, OPERATIONS, MIB, key, err))
        return false;
    crypto_secretstream_xchacha20poly1305_init_push(&stream->state, init, key);
    mem_wipe(key, sizeof(key));
    buf_put(&head, VIEW(magic, MAGIC));
    buf_put_u32(&head, OPERATIONS);
    buf_put_u32(&head, MIB);
    buf_put(&head, VIEW_ARR(salt));
    buf_put(&head, VIEW_ARR(init));
    memcpy(stream->head, head.data, HEAD);
    buf_put(to, buf_view(&head));
    *ret_stream = STEAL(stream);
    return true;
}

void seal_stream_put(struct seal_stream *stream, struct view piece, bool is_last, struct buf *to)
{
    uint8_t *place = buf_grow(to, piece.len + MORE);

    crypto_secretstream_xchacha20poly1305_push(
        &stream->state, place, NULL, piece.data, piece.len, stream->head, HEAD,
        is_last ? crypto_secretstream_xchacha20poly1305_TAG_FINAL : 0);
}

bool seal_stream_is(struct view head)
{
    return view_starts(head, VIEW(magic, MAGIC));
}

size_t seal_stream_head_len(void)
{
    return HEAD;
}

size_t seal_stream_piece_len(void)
{
    return SEAL_PIECE + MORE;
}

bool seal_stream_open(struct view head, struct view passphrase, struct seal_stream **ret_stream,
                      struct err *err)
{
    _cleanup_(seal_stream_freep) struct seal_stream *stream = mem_new(struct seal_stream);
    struct view rest = view_sub(head, MAGIC, head.len), salt, init;
    uint32_t operations, mib;
    uint8_t key[KEY];
    bool ok;

    if (!seal_stream_is(head) || !view_take_u32(&rest, &operations) ||
        !view_take_u32(&rest, &mib) || !view_take(&rest, SALT, &salt) ||
        !view_take(&rest, INIT, &init) || rest.len)
        return err_set(err, ERR_BAD_CONFIG, "not sealed under a passphrase, or cut short");
    if (operations == 0 || operations > MOST_OPERATIONS || mib == 0 || mib > MOST_MIB)
        return err_set(err, ERR_BAD_CONFIG, "sealed at a cost that is not accepted");
    if (passphrase.len == 0)
        return err_set(err, ERR_BAD_PASSPHRASE, "the passphrase is empty");
    if (!derive(passphrase, salt.data, operations, mib, key, err))
        return false;
    ok = crypto_secretstream_xchacha20poly1305_init_pull(&stream->state, init.data, key) == 0;
    mem_wipe(key, sizeof(key));
    if (!ok)
        return err_set(err, ERR_BAD_CONFIG, "sealed by another program");
    memcpy(stream->head, head.data, HEAD);
    *ret_stream = STEAL(stream);
    return true;
}

bool seal_stream_take(struct seal_stream *stream, struct view sealed, struct buf *to,
                      bool *ret_is_last, struct err *err)
{
    size_t before = to->len;
    unsigned char tag;

    if (sealed.len < MORE)
        return err_set(err, ERR_BAD_PASSPHRASE, "cut short");
    uint8_t *place = buf_grow(to, sealed.len - MORE);
    if (crypto_secretstream_xchacha20poly1305_pull(&stream->state, place, NULL, &tag, sealed.data,
                                                   sealed.len, stream->head, HEAD) != 0) {
        to->len = before;
        return err_set(err, ERR_BAD_PASSPHRASE,
                       "the passphrase is wrong, or the bytes were changed");
    }
    *ret_is_last = tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL;
    return true;
}
