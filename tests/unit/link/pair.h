/* SPDX-License-Identifier: Apache-2.0 */
/* Two links in one process, a network between them that loses, doubles, delays and reorders on
 * purpose, and a clock that jumps from event to event. Seeded: the same run every time. */
#pragma once

#include "peer/link/inside.h"
#include "pki/pki.h"
#include "tests/check.h"

struct pair_wire {
    unsigned loss_pct, twice_pct,
        late_pct; /* late: another two delays, so that others overtake it */
    uint64_t delay_ns;
    size_t mtu;           /* larger datagrams vanish; 0: none does */
    size_t said;          /* what the links are told of it; 0: the truth */
    uint64_t bytes_per_s; /* a bottleneck with 256 KiB before it; 0: none */
    size_t takes; /* how many packets `send` takes at once, before it blocks for a while; 0: all */
};

struct pair_side { /* how an end differs from a good one */
    bool wrong_sid, wrong_grant, judge_refuses;
    const struct tls_profile *profile;
    const char *no_cap; /* not allowed, outgoing or incoming */
    struct view heart;
    const struct view *chain; /* shown instead of the good one, with its key */
    size_t n_chain;
    struct view key_der;
    bool (*judge)(void *user, const struct view *chain, size_t n,
                  struct err *err); /* instead of pki's */
};

struct pair_options {
    struct pair_wire wire;
    struct pair_side caller, callee;
    unsigned seed;
};

enum { PAIR_MAX_STREAMS = 512 };

struct pair_end {
    struct pair *pair;
    struct link *link;
    struct pair_side side;
    bool is_caller;
    /* What the events said. */
    uint64_t switch_number;
    uint8_t switch_carrier;
    unsigned n_up, n_down, n_failed, n_hearts, n_revokes, n_switches, n_reports, n_ices, n_reauths,
        n_opened, n_closed, n_resets, n_writable, n_datagrams, n_judged;
    struct err err;
    uint64_t code, reset_code;
    bool by_remote;
    struct buf heart, report, reauth, ice, cap, arg, datagram;
    struct link_stream *last; /* the stream opened last by the other side */
    bool is_not_reading;      /* leaves what comes unread */
    bool keeps_credit;        /* link_stream_keep_credit() for what the other side opens */
    bool echoes;              /* writes back what it reads, and the end */
    uint64_t n_bytes, n_ends; /* read from all streams */
    bool is_garbled;          /* a byte was not pattern_byte() of its place */
    uint64_t blocked_until;   /* the wire's `takes` */
};

struct pair {
    struct pair_wire wire;
    uint64_t now, seed, steps, n_packets, n_taken, free_at[2];
    size_t largest;      /* the largest datagram that went */
    struct pair *beside; /* whose bottleneck this one goes through; NULL: its own */
    struct pair_end caller, callee;
    struct list packets; /* by time */
};

struct pair *pair_new(const struct pair_options *options);
void pair_free(struct pair *pair);
OWN_FREEP(pair, struct pair)
/* Goes on until the condition holds or `for_ns` have gone by; whether it holds. */
#define PAIR_UNTIL(pair, for_ns, condition)                                                        \
    ({                                                                                             \
        uint64_t end_ = (pair)->now + (for_ns);                                                    \
        while (!(condition) && (pair)->now < end_ && pair_step((pair), end_))                      \
            ;                                                                                      \
        (condition);                                                                               \
    })
bool pair_step(struct pair *pair, uint64_t end); /* false: nothing will ever happen again */
bool pair_up(struct pair *pair);                 /* both ends, within 30 s */
uint8_t pattern_byte(uint64_t place);
/* Writes pattern bytes from *place up to `total`, as far as there is room; the end with the
 * last. */
void pair_write_pattern(struct pair *pair, struct link_stream *stream, uint64_t *place,
                        uint64_t total);
struct link_stream *pair_open(struct pair_end *end, const char *cap, const char *arg);
void read_again(struct pair_end *end); /* all streams of an end that did not read */
struct view pair_heart(char fill);     /* a well-formed heartbeat with its signature; static */
