/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets by key: `burst` at once, then one each `every` ms, in bounded memory. */
#pragma once

#include "base/buf.h"

struct bucket_rule {
    uint64_t burst;  /* 0: no limit */
    uint64_t every;  /* ms until one more is allowed */
    size_t max_keys; /* how many keys are tracked at once */
};

struct buckets;

struct buckets *buckets_new(const struct bucket_rule *rule);
void buckets_free(struct buckets *buckets);
OWN_FREEP(buckets, struct buckets)

/* What is counted already stays counted. */
void buckets_set_rule(struct buckets *buckets, const struct bucket_rule *rule);
/* Takes one. False when none is left, or when so many keys are tracked that no further one
 * fits. */
bool buckets_take(struct buckets *buckets, uint64_t mono_now, struct view key);
/* Back what was taken last: it came to nothing, by no fault of whoever took it. */
void buckets_give(struct buckets *buckets, uint64_t mono_now, struct view key);
/* How often `key` got none since the last call of this or the next. */
uint64_t buckets_missed(struct buckets *buckets, struct view key);
uint64_t buckets_missed_by_all(struct buckets *buckets);
/* Whether one is left; takes none. */
bool buckets_has(const struct buckets *buckets, uint64_t mono_now, struct view key);
