/* SPDX-License-Identifier: Apache-2.0 */
/* Control frames and stream headers as bytes. PROTOCOL.md, sections 2 and 3. No I/O. */
#pragma once

#include "peer/link/link.h"

/* Every frame, in the order of types: NAME, name for people, least and most bytes of payload. */
#define CONTROL_FRAMES(X)                                                                          \
    X(BIND, "BIND", 48, 48)                                                                        \
    X(HEART, "HEART", 69, 16452)                                                                   \
    X(REVOKE, "REVOKE", 69, 16452)                                                                 \
    X(REAUTH, "REAUTH", 76, 65536)                                                                 \
    X(SWITCH, "SWITCH", 9, 9)                                                                      \
    X(SAS, "SAS", 32, 32)                                                                          \
    X(CLOSE, "CLOSE", 8, 208)                                                                      \
    X(REPORT, "REPORT", 1, 2048)                                                                   \
    X(ICE, "ICE", 9, 2056)

enum control_type {
    CONTROL_NONE,
#define X(name, text, least, most) CONTROL_##name,
    CONTROL_FRAMES(X)
#undef X
        CONTROL_N_TYPES
};

struct control_frame {
    enum control_type type;
    struct view payload; /* borrows from the reader until its next call */
};

struct control_reader { /* zeroed to begin with */
    struct buf pending; /* bytes of the frame that is not complete: bounded by its type's limit */
    size_t used;        /* of pending, by the frame that was returned last */
};
void control_reader_deinit(struct control_reader *r);
void control_reader_input(struct control_reader *r, struct view bytes);
enum control_result { CONTROL_FRAME, CONTROL_MORE, CONTROL_BAD };
/* The next complete frame. After CONTROL_BAD (err says why) the reader is of no more use. Call
 * it until CONTROL_MORE after every input: then no more than one frame's most is ever held. */
enum control_result control_reader_next(struct control_reader *r, struct control_frame *ret,
                                        struct err *err);

const char *control_name(enum control_type type);
void control_write(struct buf *to, enum control_type type, struct view payload);
void control_write_bind(struct buf *to, const uint8_t sid[LINK_SID],
                        const uint8_t grant_hash[HASH_SIZE]);

/* link_reauth_read() reads it. */
void control_write_reauth(struct buf *to, const struct link_reauth *reauth);

/* CLOSE's payload apart; false: a code that QUIC has no number for. */
bool control_close_read(struct view payload, uint64_t *ret_code, struct view *ret_reason);

/* The header of a stream. */
enum { HEADER_MAX = 1 + LINK_MAX_CAP + 2 + LINK_MAX_ARG };
void header_write(struct buf *to, struct view cap, struct view arg);
enum header_result { HEADER_DONE, HEADER_MORE, HEADER_BAD };
/* From the first bytes of a stream, HEADER_MAX of them or all there are. cap and arg borrow from
 * `bytes`. */
enum header_result header_read(struct view bytes, struct view *ret_cap, struct view *ret_arg,
                               size_t *ret_len, struct err *err);
bool header_cap_is_ok(struct view cap); /* 1 to 64 printable ASCII characters without space */
