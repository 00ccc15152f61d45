/* SPDX-License-Identifier: Apache-2.0 */
/* What has to happen by when: a heap of deadlines that live in the things that they end. */
#pragma once

#include "base/clock.h"

#include <stddef.h>

struct deadline {
    uint64_t at;
    size_t place; /* in the heap, from 1; 0: not set */
    void (*on_passed)(struct deadline *deadline);
};

struct deadlines {
    struct deadline **heap; /* [0] is unused */
    size_t n, cap;
};

void deadlines_deinit(struct deadlines *all);
/* Sets it, or moves it. */
void deadline_set(struct deadlines *all, struct deadline *deadline, uint64_t at);
/* Harmless when it is not set. */
void deadline_clear(struct deadlines *all, struct deadline *deadline);
uint64_t deadlines_next(const struct deadlines *all); /* NEVER_MS: none */
/* Clears each that has passed, and calls it. */
void deadlines_run(struct deadlines *all, uint64_t now);
