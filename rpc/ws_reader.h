/* SPDX-License-Identifier: Apache-2.0 */
/* Where frames begin in what comes (RFC 6455, 5.2). Nearly all that comes are whole binary messages, a frame each: these
 * are taken as they stand, at a memcpy's price. Everything else is for libwebsockets, which looks at each byte; this
 * only counts along, to know when it is between two messages again. No I/O. */
#pragma once

#include "rpc/ws_frame.h"

struct rpc_ws_reader {
    uint64_t left; /* bytes of the frame that has begun */
    uint8_t head[RPC_WS_MAX_HEADER];
    uint8_t n_head;     /* of a header that has not come to its end */
    bool is_in_message; /* more fragments come */
    bool is_lost;       /* nothing is known any more: all is for libwebsockets */
};

/* How many bytes at the front of `came` are whole binary messages; 0: not between two messages, or something else comes
 * first. `is_masked`: as frames of a client have to be. */
size_t rpc_ws_reader_run(const struct rpc_ws_reader *reader, struct view came, bool is_masked);
/* Takes the next message of such a run, unmasked in its place. False: that was the last. */
bool rpc_ws_reader_take(uint8_t *run, size_t len, size_t *at, struct view *ret_message);
/* Somebody else takes `came`. */
void rpc_ws_reader_pass(struct rpc_ws_reader *reader, struct view came);
