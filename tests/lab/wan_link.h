/* SPDX-License-Identifier: Apache-2.0 */
/* One way of a path through an emulated network: when, and whether, a packet comes out of it. No I/O, no clock: nanoseconds are
 * handed in. A packet that was not lost waits in a heap of all ways until it is due. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wan_link {
    /* What somebody set; zero is "none" everywhere. */
    uint64_t delay_ns, jitter_ns; /* jitter: up to so much more, evenly spread; order is kept */
    uint32_t loss_ppm;            /* lost of a million */
    uint32_t reorder_ppm; /* overtaken: held for reorder_ns longer, those behind it do not wait */
    uint64_t reorder_ns;
    uint64_t rate_bps;    /* bits a second of whole IP packets; 0: no limit */
    uint64_t queue_bytes; /* that may wait for the rate; what comes on top is dropped */
    bool is_cut;          /* everything is swallowed */

    /* What came of it. */
    uint64_t busy_until_ns, last_due_ns;
    uint64_t n_packets, n_bytes, n_lost, n_overflow, n_cut, n_reordered;
};

/* True: it comes out at *ret_due_ns. False: it is gone, and counted. `random` gives 64 random bits. */
bool wan_link_take(struct wan_link *link, uint64_t now_ns, size_t size, uint64_t (*random)(void),
                   uint64_t *ret_due_ns);

struct wan_wait {
    uint64_t due_ns, number; /* of equal ones the older goes first */
    uint32_t slot, len;
    uint16_t from, to;
};
struct wan_heap {
    struct wan_wait *waits; /* the caller's array of `size` */
    size_t n, size;
    uint64_t n_ever;
};
bool wan_heap_push(struct wan_heap *heap, struct wan_wait wait); /* false: full */
struct wan_wait
wan_heap_pop(struct wan_heap *heap); /* the first due one; of a heap that is not empty */
