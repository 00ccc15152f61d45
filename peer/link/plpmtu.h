/* SPDX-License-Identifier: Apache-2.0 */
/* How large a packet may be on one carrier: packetization layer path MTU discovery for datagrams (RFC 8899), with questions
 * of the path's own (PROTOCOL.md, section 6) instead of QUIC's, because each carrier of a link has another answer. Sizes are
 * those of UDP's payload, in bytes. Bytes and time in, bytes out; no I/O. */
#pragma once

#include "base/buf.h"

enum {
    PLPMTU_BASE = 1200, /* RFC 9000, 14: QUIC needs as much */
    PLPMTU_MAX = 1452,  /* Ethernet's 1500, less the headers of IPv6 and UDP */
    PLPMTU_RUNGS = 9,
    PLPMTU_SIGN = 9, /* bytes of a question's head, and of its answer */
    PLPMTU_QUESTION = 3,
};

enum plpmtu_phase { /* RFC 8899, 5.2 */
                    PLPMTU_IDLE,
                    PLPMTU_SEARCH, /* Base and Search: both at once */
                    PLPMTU_COMPLETE,
                    PLPMTU_CONFIRM, /* complete, and asked whether that still holds */
                    PLPMTU_ERROR,   /* not even the base gets through */
};

struct plpmtu {
    enum plpmtu_phase phase;
    size_t size;         /* of packets that may go: the base until more is proven */
    bool is_proven;      /* the base is */
    bool has_failed;     /* the newest that was heard of the base */
    bool is_open;        /* a question */
    unsigned n_tries;    /* without an answer, or with one that was not the best */
    uint8_t nonce[7];    /* of this search */
    uint64_t at;         /* the end of the open question, or the next one; UINT64_MAX: none */
    uint64_t raise_at;   /* when more is tried again */
    uint64_t confirm_at; /* 0: nothing large went since it was proven */
    uint64_t error_pause, failed_at;
};

void plpmtu_init(struct plpmtu *p); /* idle */
/* Idle again, unless the last search failed: its pause goes on. */
void plpmtu_reset(struct plpmtu *p);
void plpmtu_start(struct plpmtu *p, uint64_t now);
uint64_t plpmtu_deadline(const struct plpmtu *p); /* ns; UINT64_MAX: none */
/* At the deadline: the sizes to ask about now, the largest first; how many. An answer takes `patience` ns at most. */
size_t plpmtu_tick(struct plpmtu *p, uint64_t now, uint64_t patience,
                   size_t ret_sizes[PLPMTU_RUNGS]);
/* A question of that size, PLPMTU_MAX bytes at most. */
void plpmtu_question(const struct plpmtu *p, size_t size, uint8_t to[PLPMTU_MAX]);
/* What an answer repeats. False: it is none of these questions'. */
bool plpmtu_answered(struct plpmtu *p, uint64_t now, const uint8_t repeated[PLPMTU_SIGN - 1]);
void plpmtu_sent(struct plpmtu *p, uint64_t now, size_t size); /* the link's packets, the largest */
void plpmtu_doubt(struct plpmtu *p, uint64_t now); /* packets are lost: it may not hold any more */
