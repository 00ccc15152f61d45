/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/value.h"

#include <msgpack.h>

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

void rpc_put_text(struct buf *to, struct view text)
{
    msgpack_packer pk = packer(to);

    msgpack_pack_str(&pk, text.len);
    buf_put(to, text);
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

    msgpack_pack_array(&pk, n);
}

void rpc_put_map(struct buf *to, uint32_t n)
{
    msgpack_packer pk = packer(to);

    msgpack_pack_map(&pk, n);
}
