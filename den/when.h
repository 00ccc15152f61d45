/* SPDX-License-Identifier: Apache-2.0 */
/* Windows of time: days of the week and hours on the clocks of a place, between two dates. */
#pragma once

#include "base/buf.h"

struct when_zone; /* the rules of a place's clocks, as this machine's tzdata has them */

/* An IANA name such as Europe/Berlin, or UTC; NULL: there is none of that name here. */
struct when_zone *when_zone_new(struct view name);
void when_zone_free(struct when_zone *zone);

struct when {
    uint8_t days; /* bit 0: Monday */
    unsigned from,
        until; /* minutes of the day; from > until: over midnight, and the day is the one it begins on */
    int64_t first, last;    /* days since 1970 on which it may begin */
    struct when_zone *zone; /* borrowed; NULL: UTC */
};
#define WHEN_ALWAYS ((struct when){ 0x7f, 0, 24 * 60, INT64_MIN, INT64_MAX, NULL })

bool when_is_open(const struct when *when, uint64_t at /* ms since 1970 */);
/* When the last of those that are open at `at`, or that open before these close, closes: ms. `at` itself when none is
 * open; 0 when that is more than a week away. */
uint64_t when_closes_at(const struct when *when, size_t n, uint64_t at);

/* "mon", "mon-fri", "fri-mon". */
bool when_read_days(struct view text, uint8_t *ret_days);
/* "08:00-18:30", "22:00-06:00", "00:00-24:00". */
bool when_read_hours(struct view text, unsigned *ret_from, unsigned *ret_until);
/* "2026-12-31" as days since 1970. */
bool when_read_date(struct view text, int64_t *ret_day);
/* "2026-12-31T10:00:00Z", "2026-12-31T10:00:00.250Z" (RFC 3339), without seconds too, also with "+01:00" in the place of Z, or a date alone (midnight UTC): ms since 1970. */
bool when_read_instant(struct view text, uint64_t *ret_at);
