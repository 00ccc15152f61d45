/* SPDX-License-Identifier: Apache-2.0 */
/* What a TURN server says to somebody who has no credential (RFC 8656, 7.2): one that works and is not open to anybody asks for one. No
 * I/O: packets and random numbers are handed in. */
#pragma once

#include "base/buf.h"

enum { ALLOCATE_REQUEST = 28, ALLOCATE_TXID = 12, ALLOCATE_MAX_ANSWER = 1500 };

enum ice_allocate {
    ICE_ALLOCATE_PART,    /* of an answer: more has to come (TCP) */
    ICE_ALLOCATE_NONE,    /* no answer to it */
    ICE_ALLOCATE_WANTS,   /* a credential: as it should be */
    ICE_ALLOCATE_OPEN,    /* it was given, to somebody without one */
    ICE_ALLOCATE_REFUSED, /* for another reason: *ret_code */
};

void ice_allocate_put(const uint8_t txid[ALLOCATE_TXID], uint8_t to[ALLOCATE_REQUEST]);
/* Ends what an open server gave. */
void ice_allocate_put_end(const uint8_t txid[ALLOCATE_TXID], uint8_t to[ALLOCATE_REQUEST]);
/* `bytes` as they came so far. `ret_code`: of the refusal; 0: none. */
enum ice_allocate ice_allocate_read(struct view bytes, const uint8_t txid[ALLOCATE_TXID],
                                    unsigned *ret_code);
