/* SPDX-License-Identifier: Apache-2.0 */
/* What the other end of a link sends: control frames, in one piece and in pieces, and the headers of its streams. */
#include "peer/link/control.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void look_into(const struct control_frame *frame)
{
    struct link_reauth reauth;
    struct view reason, text;
    uint64_t code, number;

    if (frame->type == CONTROL_CLOSE)
        control_close_read(frame->payload, &code, &reason);
    if (frame->type == CONTROL_ICE && !link_ice_read(frame->payload, &number, &text))
        abort(); /* the bounds of its length are all there is to it */
    if (frame->type == CONTROL_REAUTH && link_reauth_read(frame->payload, &reauth)) {
        _buf_ again = { 0 };
        control_write_reauth(&again, &reauth);
    }
}

/* The frames in `bytes`, which come `step` at a time, written again. */
static void read_frames(struct view bytes, size_t step, struct buf *to)
{
    struct control_reader reader = { 0 };
    enum control_result result = CONTROL_MORE;
    struct control_frame frame;
    struct err err;

    for (size_t at = 0; at < bytes.len && result != CONTROL_BAD; at += step) {
        control_reader_input(&reader, view_sub(bytes, at, step));
        while ((result = control_reader_next(&reader, &frame, &err)) == CONTROL_FRAME) {
            look_into(&frame);
            control_write(to, frame.type, frame.payload);
        }
    }
    control_reader_deinit(&reader);
}

static void read_header(struct view bytes)
{
    struct view cap, arg, cap_again, arg_again;
    _buf_ again = { 0 };
    struct err err;
    size_t len;

    if (header_read(view_sub(bytes, 0, HEADER_MAX), &cap, &arg, &len, &err) != HEADER_DONE)
        return;
    header_write(&again, cap, arg);
    if (len > bytes.len || !view_eq(buf_view(&again), view_sub(bytes, 0, len)))
        abort();
    if (header_read(buf_view(&again), &cap_again, &arg_again, &len, &err) != HEADER_DONE ||
        !view_eq(cap, cap_again) || !view_eq(arg, arg_again))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _buf_ whole = { 0 };
    _buf_ pieces = { 0 };
    const struct view bytes = VIEW(data, size);

    read_frames(bytes, size ? size : 1, &whole);
    read_frames(bytes, 7, &pieces);
    if (!view_eq(buf_view(&whole), buf_view(&pieces)))
        abort(); /* however the bytes came */
    if (whole.len > size || !view_eq(buf_view(&whole), view_sub(bytes, 0, whole.len)))
        abort(); /* a frame has one form */
    read_header(bytes);
    return 0;
}
