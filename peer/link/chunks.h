/* SPDX-License-Identifier: Apache-2.0 */
/* A queue of bytes that never move: QUIC sends, and sends again, from the memory it was shown
 * until the bytes are acknowledged. */
#pragma once

#include "base/buf.h"

struct chunk;
struct chunks {
    struct chunk *first, *last;
    size_t len;
    struct chunk *
        near; /* where chunks_pieces() was last: it goes through megabytes from front to back; NULL: nowhere */
    size_t before_near; /* bytes in front of it */
};

void chunks_free(struct chunks *q); /* empties it; the struct stays usable */
void chunks_put(struct chunks *q, struct view bytes);
void chunks_drop(struct chunks *q, size_t len); /* from the front; at most what is there */
/* Copies up to `size` bytes from the front, leaving them. */
size_t chunks_peek(const struct chunks *q, void *to, size_t size);
/* The pieces from `offset` on, at most `max`, in order; returns how many. */
size_t chunks_pieces(struct chunks *q, size_t offset, struct view *ret_pieces, size_t max);
