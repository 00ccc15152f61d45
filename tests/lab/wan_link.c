/* SPDX-License-Identifier: Apache-2.0 */
#include "wan_link.h"

enum { MILLION = 1000000, NS = 1000000000 };

static bool happens(uint32_t ppm, uint64_t (*random)(void))
{
    return ppm && random() % MILLION < ppm;
}

/* When its last bit has left the queue; false: there is no room. */
static bool queue(struct wan_link *link, uint64_t now_ns, size_t size, uint64_t *ret_out_ns)
{
    uint64_t start = link->busy_until_ns > now_ns ? link->busy_until_ns : now_ns;

    *ret_out_ns = now_ns;
    if (link->rate_bps == 0)
        return true;
    if ((start - now_ns) / 8 * link->rate_bps / NS + size > link->queue_bytes)
        return false;
    *ret_out_ns = link->busy_until_ns = start + (uint64_t)size * 8 * NS / link->rate_bps;
    return true;
}

bool wan_link_take(struct wan_link *link, uint64_t now_ns, size_t size, uint64_t (*random)(void),
                   uint64_t *ret_due_ns)
{
    uint64_t due;

    if (link->is_cut)
        return link->n_cut++, false;
    if (happens(link->loss_ppm, random))
        return link->n_lost++, false;
    if (!queue(link, now_ns, size, &due))
        return link->n_overflow++, false;

    link->n_packets++;
    link->n_bytes += size;
    due += link->delay_ns;
    if (link->jitter_ns)
        due += random() % (link->jitter_ns + 1);
    if (happens(link->reorder_ppm, random)) {
        link->n_reordered++;
        *ret_due_ns = due + link->reorder_ns;
        return true;
    }
    if (due < link->last_due_ns)
        due = link->last_due_ns;
    *ret_due_ns = link->last_due_ns = due;
    return true;
}

static bool is_before(const struct wan_wait *a, const struct wan_wait *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->number < b->number;
}

bool wan_heap_push(struct wan_heap *heap, struct wan_wait wait)
{
    size_t at = heap->n;

    if (heap->n == heap->size)
        return false;
    wait.number = heap->n_ever++;
    heap->n++;
    while (at && is_before(&wait, &heap->waits[(at - 1) / 2])) {
        heap->waits[at] = heap->waits[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap->waits[at] = wait;
    return true;
}

struct wan_wait wan_heap_pop(struct wan_heap *heap)
{
    struct wan_wait first = heap->waits[0], last = heap->waits[--heap->n];
    size_t at = 0, below;

    while ((below = 2 * at + 1) < heap->n) {
        if (below + 1 < heap->n && is_before(&heap->waits[below + 1], &heap->waits[below]))
            below++;
        if (!is_before(&heap->waits[below], &last))
            break;
        heap->waits[at] = heap->waits[below];
        at = below;
    }
    heap->waits[at] = last;
    return first;
}
