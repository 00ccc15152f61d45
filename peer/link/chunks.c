/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/link/chunks.h"

/* A line of chat takes the small one, a transfer the large ones. */
enum { SMALL_CHUNK = 4000, LARGE_CHUNK = 65000 };

struct chunk {
    struct chunk *next;
    size_t from, to, cap; /* the bytes are bytes[from .. to) */
    uint8_t bytes[];
};

static void drop_first(struct chunks *q)
{
    struct chunk *chunk = q->first;

    q->first = chunk->next;
    if (!q->first)
        q->last = NULL;
    if (q->near == chunk)
        q->near = NULL;
    free(chunk);
}

void chunks_free(struct chunks *q)
{
    while (q->first)
        drop_first(q);
    q->len = 0;
}

static struct chunk *add_chunk(struct chunks *q)
{
    size_t cap = q->first ? LARGE_CHUNK : SMALL_CHUNK;
    struct chunk *chunk = mem_resize(NULL, 1, sizeof(struct chunk) + cap);

    *chunk = (struct chunk){ .cap = cap };
    if (q->last)
        q->last->next = chunk;
    else
        q->first = chunk;
    q->last = chunk;
    return chunk;
}

void chunks_put(struct chunks *q, struct view bytes)
{
    q->len += bytes.len;
    while (bytes.len) {
        struct chunk *chunk = q->last && q->last->to < q->last->cap ? q->last : add_chunk(q);
        size_t n = chunk->cap - chunk->to < bytes.len ? chunk->cap - chunk->to : bytes.len;

        memcpy(chunk->bytes + chunk->to, bytes.data, n);
        chunk->to += n;
        bytes = view_sub(bytes, n, bytes.len);
    }
}

void chunks_drop(struct chunks *q, size_t len)
{
    if (len > q->len)
        len = q->len;
    q->len -= len;
    q->before_near -= q->before_near < len ? q->before_near : len;
    while (q->first && len >= q->first->to - q->first->from) {
        len -= q->first->to - q->first->from;
        drop_first(q);
    }
    if (len && q->first)
        q->first->from += len;
}

size_t chunks_peek(const struct chunks *q, void *to, size_t size)
{
    size_t done = 0;

    for (const struct chunk *chunk = q->first; chunk && done < size; chunk = chunk->next) {
        size_t n = chunk->to - chunk->from < size - done ? chunk->to - chunk->from : size - done;

        memcpy((uint8_t *)to + done, chunk->bytes + chunk->from, n);
        done += n;
    }
    return done;
}

size_t chunks_pieces(struct chunks *q, size_t offset, struct view *ret_pieces, size_t max)
{
    size_t n = 0;

    if (!q->near || offset < q->before_near) {
        q->near = q->first;
        q->before_near = 0;
    }
    while (q->near && q->near->next && offset - q->before_near >= q->near->to - q->near->from) {
        q->before_near += q->near->to - q->near->from;
        q->near = q->near->next;
    }
    offset -= q->before_near;
    for (const struct chunk *chunk = q->near; chunk && n < max; chunk = chunk->next) {
        size_t len = chunk->to - chunk->from;

        if (offset >= len) {
            offset -= len;
            continue;
        }
        ret_pieces[n++] = VIEW(chunk->bytes + chunk->from + offset, len - offset);
        offset = 0;
    }
    return n;
}
