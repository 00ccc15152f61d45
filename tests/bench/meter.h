/* SPDX-License-Identifier: Apache-2.0 */
/* Counts what a receiver takes: a second to get going, then three that count. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct meter {
    uint64_t started_at, counted_at, bytes; /* ns; counted_at: the warm-up is over */
    double mbit_per_s;
    bool is_done;
};
void meter_add(struct meter *meter, size_t n); /* sets is_done once it is */
/* {"suite": "link", "figure": "loopback", "unit": "Mbit/s", "value": 1234.5, "of": "..."} and a
 * line feed. */
void meter_print(const struct meter *meter, const char *of);
