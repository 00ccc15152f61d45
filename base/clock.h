/* SPDX-License-Identifier: Apache-2.0 */
/* The only reader of the clock. Cores are handed time as an argument. */
#pragma once

#include <stdint.h>

#define SECOND_MS ((uint64_t)1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)
#define NEVER_MS  UINT64_MAX /* a deadline that does not come */

uint64_t clock_mono_ms(void); /* since some start; never goes back (CLOCK_BOOTTIME: counts sleep) */
uint64_t clock_mono_us(void); /* the same, finer */
uint64_t clock_mono_ns(void); /* CLOCK_MONOTONIC, for the link's pacing */
uint64_t clock_wall_ms(void); /* since 1970 UTC */

#define CLOCK_TEXT 32
/* "2026-11-20T19:03:02Z" into `to`; returns it. `ms` since 1970. */
const char *clock_text(uint64_t ms, char to[CLOCK_TEXT]);
/* The same with its milliseconds: "2026-11-20T19:03:02.250Z". */
const char *clock_text_ms(uint64_t ms, char to[CLOCK_TEXT]);

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
