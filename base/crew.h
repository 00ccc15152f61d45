/* SPDX-License-Identifier: Apache-2.0 */
/* Work of one moment, spread over several processors, for somebody who waits until all of it is done. */
#pragma once

#include "base/own.h"

#include <stdbool.h>
#include <stddef.h>

struct crew;
/* `n_helpers`: threads beside the one that calls. They start with the first work, so that they are in whatever sandbox is
 * entered before it; where one cannot be started the others do its share. */
struct crew *crew_new(unsigned n_helpers);
unsigned crew_size(const struct crew *crew); /* with the one that calls; NULL: 1 */
/* Ends the threads. NULL is ignored. */
void crew_free(struct crew *crew);
OWN_FREEP(crew, struct crew)

/* `who`: 0 for the thread that called, and another number up to that of the helpers for each of them. */
typedef void crew_piece(void *user, unsigned who, size_t at);
/* Calls `piece` once for every `at` below `n`, in no order and several at a time, and returns when all have returned.
 * From one thread only, and not from a piece. `crew` NULL: one after the other. */
void crew_run(struct crew *crew, crew_piece *piece, void *user, size_t n);

/* How many helpers there is a processor for, beside the caller's; at most `most`. */
unsigned crew_spare(unsigned most);
