/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/value.h"

#include <msgpack.h>

/* Nearly all that a message has of them fits in the head's own byte: these are written here, at
 * once. */
enum { FIX_INT = 0x80, FIX_MAP = 0x80, FIX_ARRAY = 0x90, FIX_TEXT = 0xa0 };
enum { MAX_FIX_COUNT = 15, MAX_FIX_TEXT = 31 };

static int put_bytes(void *to, const char *bytes, size_t len)
{
    buf_put(to, VIEW(bytes, len));
    return 0;
}

static msgpack_packer packer(struct buf *to)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, to, put_bytes);
    return pk;
}

void rpc_put_nil(struct buf *to)
{
    msgpack_packer pk = packer(to);

    msgpack_pack_nil(&pk);
}

void rpc_put_bool(struct buf *to, bool is)
{
    msgpack_packer pk = packer(to);

    if (is)
        msgpack_pack_true(&pk);
    else
        msgpack_pack_false(&pk);
}

void rpc_put_u64(struct buf *to, uint64_t n)
{
    msgpack_packer pk = packer(to);

    if (n < FIX_INT)
        *buf_grow(to, 1) = (uint8_t)n;
    else
        msgpack_pack_uint64(&pk, n);
}

void rpc_put_i64(struct buf *to, int64_t n)
{
    msgpack_packer pk = packer(to);

    msgpack_pack_int64(&pk, n);
}

void rpc_put_double(struct buf *to, double n)
{
    msgpack_packer pk = packer(to);

    msgpack_pack_double(&pk, n);
}

static void put_long_text(struct buf *to, struct view text)
{
    msgpack_packer pk = packer(to);

    msgpack_pack_str(&pk, text.len);
    buf_put(to, text);
}

void rpc_put_text(struct buf *to, struct view text)
{
    uint8_t *at;

    if (text.len > MAX_FIX_TEXT) {
        put_long_text(to, text);
        return;
    }
    at = buf_grow(to, 1 + text.len);
    *at = (uint8_t)(FIX_TEXT | text.len);
    if (text.len)
        memcpy(at + 1, text.data, text.len);
}

void rpc_put_str(struct buf *to, const char *text)
{
    rpc_put_text(to, view_text(text));
}

void rpc_put_bin(struct buf *to, struct view bytes)
{
    msgpack_packer pk = packer(to);

    msgpack_pack_bin(&pk, bytes.len);
    buf_put(to, bytes);
}

void rpc_put_array(struct buf *to, uint32_t n)
{
    msgpack_packer pk = packer(to);

    if (n <= MAX_FIX_COUNT)
        *buf_grow(to, 1) = (uint8_t)(FIX_ARRAY | n);
    else
        msgpack_pack_array(&pk, n);
}

void rpc_put_map(struct buf *to, uint32_t n)
{
    msgpack_packer pk = packer(to);

    if (n <= MAX_FIX_COUNT)
        *buf_grow(to, 1) = (uint8_t)(FIX_MAP | n);
    else
        msgpack_pack_map(&pk, n);
}
