/* SPDX-License-Identifier: Apache-2.0 */
/* A ring of bytes with a fixed capacity: what lies between the application and a stream. Dropping at the front does not move
 * the place behind the last byte, nor the other way round: one side may copy without the lock while the other works. */
#pragma once

#include "base/buf.h"

struct ring {
    uint8_t *data; /* made at first use */
    size_t cap, start, len;
};

void ring_init(struct ring *ring, size_t cap);
void ring_deinit(struct ring *ring);
size_t ring_put(struct ring *ring, struct view bytes);            /* as much as there is room for */
size_t ring_get(struct ring *ring, void *to, size_t size);        /* as much as there is */
size_t ring_peek(const struct ring *ring, void *to, size_t size); /* the same, and leaves it */
struct view ring_front(const struct ring *ring);        /* what lies together at the front */
void ring_drop(struct ring *ring, size_t len);          /* at most its length */
uint8_t *ring_room(struct ring *ring, size_t *ret_len); /* a place behind the last byte; then: */
void ring_filled(struct ring *ring, size_t len);
static inline size_t ring_left(const struct ring *ring)
{
    return ring->cap - ring->len;
}
