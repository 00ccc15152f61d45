/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket frames as bytes (RFC 6455, 5.2), so that many of them leave in one write. */
#pragma once

#include "base/buf.h"

enum { RPC_WS_MASK = 4, RPC_WS_MIN_HEADER = 2, RPC_WS_MAX_HEADER = 14 };

/* Appends `message` as one frame, text or binary; a client gives a fresh mask, a server NULL. */
void rpc_ws_frame_put(struct buf *out, bool is_text, struct view message, const uint8_t *mask);
/* A close frame (5.5.1); the reason is cut to fit. */
void rpc_ws_frame_put_close(struct buf *out, uint16_t code, const char *reason,
                            const uint8_t *mask);
/* A ping (5.5.2); its payload, at most 125 bytes, comes back in the pong. */
void rpc_ws_frame_put_ping(struct buf *out, struct view payload, const uint8_t *mask);
/* Bytes of a frame's header, by its second one; and of its payload, by all of them. */
size_t rpc_ws_frame_header(uint8_t second);
uint64_t rpc_ws_frame_payload(const uint8_t *header);
/* Masks, or unmasks (5.3); `to` may be where `from` is. */
void rpc_ws_frame_mask(uint8_t *to, struct view from, const uint8_t *mask);
/* The length of the whole frames at the front of `out` (frames of our own making) that come to
 * at least `at_least` bytes, or of all of them. */
size_t rpc_ws_frame_run(struct view out, size_t at_least);

/* Fresh masks, random bytes fetched many at a time (RFC 6455, 5.3: not to be guessed). */
struct rpc_ws_masks {
    uint8_t pool[64 * RPC_WS_MASK];
    size_t n_left;
};
const uint8_t *rpc_ws_mask(struct rpc_ws_masks *masks); /* valid until the next call */
