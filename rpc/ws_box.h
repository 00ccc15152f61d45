/* SPDX-License-Identifier: Apache-2.0 */
/* What waits at a connection: frames to be sent, and pieces of the message that is coming in. No
 * I/O. */
#pragma once

#include "base/buf.h"
#include "rpc/ws_frame.h"

/* ---- out ------------------------------------------------------------------------------------- */

/* Empty buffers that connections of one edge hand on: an idle one holds none, a busy one need not
 * grow a new one for each turn. */
enum { RPC_WS_SPARES = 16 };
struct rpc_ws_spares {
    struct buf buf[RPC_WS_SPARES];
    size_t n;
};
void rpc_ws_spares_free(struct rpc_ws_spares *spares);

struct rpc_ws_out {
    struct rpc_ws_spares *spares; /* NULL: none */
    struct buf bytes;
    size_t from;   /* bytes at the front that are gone */
    size_t handed; /* bytes that the socket's owner took but could not send yet, at most */
};
size_t rpc_ws_out_waiting(const struct rpc_ws_out *out);
bool rpc_ws_out_has_more(const struct rpc_ws_out *out);
void rpc_ws_out_put(struct rpc_ws_out *out, bool is_text, struct view message, const uint8_t *mask);
/* Whole frames to hand over next, some 64 KiB of them; valid until something is put. */
struct view rpc_ws_out_next(const struct rpc_ws_out *out);
/* They were taken; `is_stuck`: not all of it left. */
void rpc_ws_out_taken(struct rpc_ws_out *out, size_t len, bool is_stuck);

/* ---- in -------------------------------------------------------------------------------------- */

enum { RPC_WS_MAX_FRAGMENTS = 1024 };

struct rpc_ws_in {
    struct buf held;
    size_t max;
    uint32_t n_fragments, max_fragments; /* 0: RPC_WS_MAX_FRAGMENTS */
};
enum rpc_ws_arrival { RPC_WS_PIECE, RPC_WS_WHOLE, RPC_WS_TOO_LARGE, RPC_WS_TOO_MANY };
/* A piece came, and its frame's header announced `left` bytes more: refused before any of it is
 * held. When the message is whole it stands in *ret_whole: `piece` itself, or what was held,
 * until rpc_ws_in_clear(). */
enum rpc_ws_arrival rpc_ws_in_take(struct rpc_ws_in *in, struct view piece, size_t left,
                                   bool is_final, struct view *ret_whole);
void rpc_ws_in_clear(struct rpc_ws_in *in);
