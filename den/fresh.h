/* SPDX-License-Identifier: Apache-2.0 */
/* Freshness without a clock: what is signed for den carries a beacon of its heartbeat, and one
 * of the newest two is fresh. What was used under a beacon is remembered as long as that beacon
 * is taken. All of it lives in memory: beacons are random, so after a restart everything signed
 * before is stale. */
#pragma once

#include "rpc/rpc.h"

enum {
    FRESH_MAX_USED = 65536,  /* per beacon: 24 MB at worst */
    FRESH_MAX_PER_KEY = 1024 /* of these: nobody keeps others out by signing much */
};

struct fresh;

struct fresh *fresh_new(void); /* no beacon is known */
void fresh_free(struct fresh *fresh);
OWN_FREEP(fresh, struct fresh)

/* `beacon` becomes the newest; the one before the last, and what was used under it, is
 * forgotten. */
void fresh_turn(struct fresh *fresh, const uint8_t beacon[RPC_BEACON]);
struct view fresh_beacon(const struct fresh *fresh); /* the newest; borrowed */

/* What a look at a beacon and a nonce came to. */
enum fresh_look { FRESH_NEW, FRESH_STALE, FRESH_USED, FRESH_FULL };

/* `pk` and `nonce` (together at most 64 bytes): who signed, and the number that the signer used
 * once. Changes nothing. */
enum fresh_look fresh_look(const struct fresh *fresh, struct view beacon, struct view pk,
                           struct view nonce);
/* The same, and marks it as used when it was new. */
enum fresh_look fresh_take(struct fresh *fresh, struct view beacon, struct view pk,
                           struct view nonce);
/* As an error: STALE, REPLAYED, LIMIT; true for FRESH_NEW. */
bool fresh_check(enum fresh_look look, struct err *err);
