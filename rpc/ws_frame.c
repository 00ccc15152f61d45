/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ws_frame.h"

#include "base/key.h"

enum {
    FIN_TEXT = 0x81,
    FIN_BINARY = 0x82,
    FIN_CLOSE = 0x88,
    FIN_PING = 0x89,
    MASKED = 0x80,
    LENGTH_16 = 126,
    LENGTH_64 = 127,
    MAX_REASON = 120
};

static void put_header(struct buf *out, uint8_t kind, size_t len, const uint8_t *mask)
{
    uint8_t masked = mask ? MASKED : 0;

    buf_put_u8(out, kind);
    if (len < LENGTH_16) {
        buf_put_u8(out, (uint8_t)(masked | len));
    } else if (len <= UINT16_MAX) {
        buf_put_u8(out, (uint8_t)(masked | LENGTH_16));
        buf_put_u16(out, (uint16_t)len);
    } else {
        buf_put_u8(out, (uint8_t)(masked | LENGTH_64));
        buf_put_u64(out, len);
    }
    if (mask)
        buf_put(out, VIEW(mask, RPC_WS_MASK));
}

/* Eight bytes at a time: the mask's period divides them. */
void rpc_ws_frame_mask(uint8_t *to, struct view from, const uint8_t *mask)
{
    uint8_t twice[2 * RPC_WS_MASK];
    uint64_t pattern, word;
    size_t i = 0;

    memcpy(twice, mask, RPC_WS_MASK);
    memcpy(twice + RPC_WS_MASK, mask, RPC_WS_MASK);
    memcpy(&pattern, twice, sizeof(pattern));
    for (; i + sizeof(word) <= from.len; i += sizeof(word)) {
        memcpy(&word, from.data + i, sizeof(word));
        word ^= pattern;
        memcpy(to + i, &word, sizeof(word));
    }
    for (; i < from.len; i++)
        to[i] = from.data[i] ^ mask[i % RPC_WS_MASK];
}

static void put_frame(struct buf *out, uint8_t kind, struct view payload, const uint8_t *mask)
{
    put_header(out, kind, payload.len, mask);
    if (!mask)
        buf_put(out, payload);
    else if (payload.len)
        rpc_ws_frame_mask(buf_grow(out, payload.len), payload, mask);
}

void rpc_ws_frame_put(struct buf *out, bool is_text, struct view message, const uint8_t *mask)
{
    put_frame(out, is_text ? FIN_TEXT : FIN_BINARY, message, mask);
}

void rpc_ws_frame_put_close(struct buf *out, uint16_t code, const char *reason, const uint8_t *mask)
{
    _buf_ payload = { 0 };

    buf_put_u16(&payload, code);
    buf_put(&payload, view_sub(view_text(reason), 0, MAX_REASON));
    put_frame(out, FIN_CLOSE, buf_view(&payload), mask);
}

void rpc_ws_frame_put_ping(struct buf *out, struct view payload, const uint8_t *mask)
{
    put_frame(out, FIN_PING, payload, mask);
}

size_t rpc_ws_frame_header(uint8_t second)
{
    uint8_t len = second & (uint8_t)~MASKED;
    size_t wide = len == LENGTH_16 ? sizeof(uint16_t) : len == LENGTH_64 ? sizeof(uint64_t) : 0;

    return RPC_WS_MIN_HEADER + wide + (second & MASKED ? RPC_WS_MASK : 0u);
}

uint64_t rpc_ws_frame_payload(const uint8_t *header)
{
    uint8_t len = header[1] & (uint8_t)~MASKED;
    struct view wide = VIEW(header + RPC_WS_MIN_HEADER, sizeof(uint64_t));
    uint64_t len64 = len;
    uint16_t len16;

    if (len == LENGTH_64)
        view_take_u64(&wide, &len64);
    else if (len == LENGTH_16 && view_take_u16(&wide, &len16))
        len64 = len16;
    return len64;
}

size_t rpc_ws_frame_run(struct view out, size_t at_least)
{
    size_t run = 0;

    if (out.len <= at_least)
        return out.len;
    while (run < at_least && run < out.len)
        run +=
            rpc_ws_frame_header(out.data[run + 1]) + (size_t)rpc_ws_frame_payload(out.data + run);
    return run;
}

const uint8_t *rpc_ws_mask(struct rpc_ws_masks *masks)
{
    if (masks->n_left == 0) {
        random_bytes(masks->pool, sizeof(masks->pool));
        masks->n_left = sizeof(masks->pool) / RPC_WS_MASK;
    }
    masks->n_left--;
    return masks->pool + masks->n_left * RPC_WS_MASK;
}
