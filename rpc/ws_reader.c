/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ws_reader.h"

#include "base/clock.h"

enum {
    FIN = 0x80,
    OPCODE = 0x0f,
    FIN_BINARY = 0x82,
    FIRST_CONTROL = 8,
    MASKED = 0x80,
    LENGTH_16 = 126,
    LENGTH_64 = 127,
};

/* The length of the whole frame at the front of `came`, a binary message; 0: none. No such frame is
 * longer than a TLS record: one with a length of eight bytes is somebody else's. */
static size_t whole_message(struct view came, bool is_masked)
{
    size_t head;
    uint64_t len;

    if (came.len < RPC_WS_MIN_HEADER || came.data[0] != FIN_BINARY ||
        !(came.data[1] & MASKED) == is_masked || (came.data[1] & ~MASKED) == LENGTH_64)
        return 0;
    head = rpc_ws_frame_header(came.data[1]);
    if (came.len < head)
        return 0;
    len = rpc_ws_frame_payload(came.data);
    if (head + len > came.len || ((came.data[1] & ~MASKED) == LENGTH_16 && len < LENGTH_16))
        return 0;
    return head + (size_t)len;
}

size_t rpc_ws_reader_run(const struct rpc_ws_reader *reader, struct view came, bool is_masked)
{
    size_t run = 0, len;

    if (reader->is_lost || reader->left || reader->n_head || reader->is_in_message)
        return 0;
    while ((len = whole_message(view_sub(came, run, came.len), is_masked)))
        run += len;
    return run;
}

bool rpc_ws_reader_take(uint8_t *run, size_t len, size_t *at, struct view *ret_message)
{
    uint8_t *frame = run + *at;
    size_t head, n;

    if (*at >= len)
        return false;
    head = rpc_ws_frame_header(frame[1]);
    n = (size_t)rpc_ws_frame_payload(frame);
    if (frame[1] & MASKED)
        rpc_ws_frame_mask(frame + head, VIEW(frame + head, n), frame + head - RPC_WS_MASK);
    *ret_message = VIEW(frame + head, n);
    *at += head + n;
    return true;
}

static void begin_frame(struct rpc_ws_reader *reader)
{
    uint8_t first = reader->head[0];

    reader->left = rpc_ws_frame_payload(reader->head);
    reader->n_head = 0;
    if ((first & OPCODE) < FIRST_CONTROL) /* control frames may stand between fragments */
        reader->is_in_message = !(first & FIN);
}

void rpc_ws_reader_pass(struct rpc_ws_reader *reader, struct view came)
{
    size_t at = 0;

    while (at < came.len) {
        size_t skip = (size_t)min_u64(reader->left, came.len - at);
        at += skip;
        reader->left -= skip;
        if (at == came.len)
            return;
        reader->head[reader->n_head++] = came.data[at++];
        if (reader->n_head >= RPC_WS_MIN_HEADER &&
            reader->n_head == rpc_ws_frame_header(reader->head[1]))
            begin_frame(reader);
    }
}
