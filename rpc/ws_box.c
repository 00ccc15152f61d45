/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ws_box.h"

enum { CHUNK = 64 * 1024, MAX_GONE = 2 * 1024 * 1024, MAX_SPARE = 256 * 1024 };

void rpc_ws_spares_free(struct rpc_ws_spares *spares)
{
    while (spares->n)
        buf_free(&spares->buf[--spares->n]);
}

static void take_spare(struct rpc_ws_out *out)
{
    if (out->spares && out->spares->n)
        out->bytes = out->spares->buf[--out->spares->n];
}

static void give_spare(struct rpc_ws_out *out)
{
    if (out->spares && out->spares->n < RPC_WS_SPARES && out->bytes.cap <= MAX_SPARE) {
        buf_clear(&out->bytes);
        out->spares->buf[out->spares->n++] = out->bytes;
        out->bytes = (struct buf){ 0 };
    }
    buf_free(&out->bytes);
}

size_t rpc_ws_out_waiting(const struct rpc_ws_out *out)
{
    return out->bytes.len - out->from + out->handed;
}

bool rpc_ws_out_has_more(const struct rpc_ws_out *out)
{
    return out->from < out->bytes.len;
}

void rpc_ws_out_put(struct rpc_ws_out *out, bool is_text, struct view message, const uint8_t *mask)
{
    if (out->from > MAX_GONE) {
        buf_drop_front(&out->bytes, out->from);
        out->from = 0;
    }
    if (!out->bytes.data)
        take_spare(out);
    rpc_ws_frame_put(&out->bytes, is_text, message, mask);
}

struct view rpc_ws_out_next(const struct rpc_ws_out *out)
{
    struct view rest = view_sub(buf_view(&out->bytes), out->from, SIZE_MAX);

    return view_sub(rest, 0, rpc_ws_frame_run(rest, CHUNK));
}

/* An idle connection holds no buffer. */
void rpc_ws_out_taken(struct rpc_ws_out *out, size_t len, bool is_stuck)
{
    out->handed = is_stuck ? len : 0;
    out->from += len;
    if (rpc_ws_out_has_more(out))
        return;
    give_spare(out);
    out->from = 0;
}

enum rpc_ws_arrival rpc_ws_in_take(struct rpc_ws_in *in, struct view piece, size_t left,
                                   bool is_final, struct view *ret_whole)
{
    if (left > in->max || in->held.len + piece.len + left > in->max)
        return RPC_WS_TOO_LARGE;
    if (left == 0 &&
        ++in->n_fragments > (in->max_fragments ? in->max_fragments : RPC_WS_MAX_FRAGMENTS))
        return RPC_WS_TOO_MANY;
    if (is_final && !in->held.len) {
        *ret_whole = piece;
        return RPC_WS_WHOLE;
    }
    buf_put(&in->held, piece);
    if (!is_final)
        return RPC_WS_PIECE;
    *ret_whole = buf_view(&in->held);
    return RPC_WS_WHOLE;
}

void rpc_ws_in_clear(struct rpc_ws_in *in)
{
    buf_free(&in->held);
    in->n_fragments = 0;
}
