/* SPDX-License-Identifier: Apache-2.0 */
/* The shortest decimal of a float64. Inside rpc/ only. */
#pragma once

#include <stdint.h>

struct rpc_decimal {
    uint64_t digits; /* at most 17, the last not zero unless there is one alone */
    int exponent;    /* of ten, by which they are multiplied */
};

/* Of all decimals that read back as `number`, which is finite and not negative, one of the fewest
 * digits, and of those the nearest. Costs the same for every number. */
struct rpc_decimal rpc_shortest(double number);
