/* SPDX-License-Identifier: Apache-2.0 */
/* Fractions as JSON has them, in any locale. Inside rpc/ only. */
#pragma once

#include "base/buf.h"

enum { RPC_JSON_MAX_DIGITS = 400 }; /* the longest finite number has 309 before the point */

/* A number's text, already found well-formed, to the nearest float64. Returns what is wrong, or
 * NULL. */
const char *rpc_json_read_double(struct view text, double *ret_number);
/* Appends the shortest text that reads back as the same float64; it always has a '.' or an 'e', so
 * that it stays a fraction. `number` is finite. */
void rpc_json_put_double(struct buf *to, double number);
