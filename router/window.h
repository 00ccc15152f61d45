/* SPDX-License-Identifier: Apache-2.0 */
/* How often something happened to each key within the last while, exactly: the instants are kept.
 * No I/O. */
#pragma once

#include "base/buf.h"

struct windows;

/* At most `limit` (0: any number) of them within any `span` ms; at most `max_keys` keys: the one
 * that was quiet for longest goes first. */
struct windows *windows_new(uint64_t limit, uint64_t span, size_t max_keys);
void windows_free(struct windows *windows);
void windows_set_limit(struct windows *windows, uint64_t limit); /* forgets what was */
bool windows_is_full(const struct windows *windows, struct view key, uint64_t now);
void windows_add(struct windows *windows, struct view key, uint64_t now);
size_t windows_count(const struct windows *windows);
