/* SPDX-License-Identifier: Apache-2.0 */
/* JSON as a way to write msgpack values in tests and in PROTOCOL.md; h'00ff' is binary. */
#pragma once

#include "base/buf.h"

/* Appends the msgpack of the one JSON value in `text`; false when it is not JSON (`to` may have
 * grown). */
bool json_to_msgpack(struct view text, struct buf *to);
/* The same for text that the test itself wrote: aborts. */
struct buf json_must(const char *text);
