/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/ring.h"

void ring_init(struct ring *ring, size_t cap)
{
    *ring = (struct ring){ .cap = cap };
}

void ring_deinit(struct ring *ring)
{
    if (ring->data)
        mem_wipe(ring->data, ring->cap);
    free(ring->data);
    ring->data = NULL;
    ring->len = 0;
}

uint8_t *ring_room(struct ring *ring, size_t *ret_len)
{
    if (!ring->data)
        ring->data = mem_zero(ring->cap, 1);

    size_t end = (ring->start + ring->len) % ring->cap, up_to_wrap = ring->cap - end;
    *ret_len = ring_left(ring) < up_to_wrap ? ring_left(ring) : up_to_wrap;
    return ring->data + end;
}

void ring_filled(struct ring *ring, size_t len)
{
    ring->len += len;
}

size_t ring_put(struct ring *ring, struct view bytes)
{
    size_t done = 0, room;

    while (done < bytes.len && ring_left(ring)) {
        uint8_t *to = ring_room(ring, &room);
        size_t n = bytes.len - done < room ? bytes.len - done : room;
        memcpy(to, bytes.data + done, n);
        ring_filled(ring, n);
        done += n;
    }
    return done;
}

struct view ring_front(const struct ring *ring)
{
    size_t up_to_wrap = ring->cap - ring->start;

    return VIEW(ring->data ? ring->data + ring->start : NULL,
                ring->len < up_to_wrap ? ring->len : up_to_wrap);
}

void ring_drop(struct ring *ring, size_t len)
{
    ring->start = (ring->start + len) % ring->cap;
    ring->len -= len;
}

size_t ring_get(struct ring *ring, void *to, size_t size)
{
    size_t done = 0;

    while (ring->data && done < size && ring->len) {
        struct view front = ring_front(ring);
        size_t n = size - done < front.len ? size - done : front.len;
        memcpy((uint8_t *)to + done, front.data, n);
        ring_drop(ring, n);
        done += n;
    }
    return done;
}

size_t ring_peek(const struct ring *ring, void *to, size_t size)
{
    struct ring copy = *ring; /* reading changes no byte */

    return ring_get(&copy, to, size);
}
