/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/meter.h"
#include "base/clock.h"

#include <stdio.h>

static const uint64_t second = 1000000000, warm_up = 1, counted = 3; /* of a second; seconds */

void meter_add(struct meter *meter, size_t n)
{
    uint64_t now = clock_mono_ns();

    if (!meter->started_at)
        meter->started_at = now;
    if (!meter->counted_at) {
        if (now - meter->started_at >= warm_up * second)
            meter->counted_at = now;
        return;
    }
    meter->bytes += n;
    if (!meter->is_done && now - meter->counted_at >= counted * second) {
        meter->mbit_per_s = (double)meter->bytes * 8e3 / (double)(now - meter->counted_at);
        meter->is_done = true;
    }
}

void meter_print(const struct meter *meter, const char *of)
{
    printf("{\"suite\": \"link\", \"figure\": \"loopback\", \"unit\": \"Mbit/s\", \"value\": %.1f, "
           "\"of\": \"%s\"}\n",
           meter->mbit_per_s, of);
}
