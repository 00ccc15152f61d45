/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns whose empty components match any one. Those with the same gaps are one shape, and a URI
 * is looked up once in each shape of its number of components: what patterns cost does not grow
 * with their number, and only so much with their length. Values are borrowed. No I/O. */
#pragma once

#include "base/buf.h"

/* Of one number of components: all that there are of up to seven. */
enum { WILDCARDS_SHAPES = 128 };

struct wildcards;

struct wildcards *wildcards_new(void);
void wildcards_free(struct wildcards *wildcards);
void *wildcards_get(const struct wildcards *wildcards, struct view pattern);
/* False: it has a new shape, and there are WILDCARDS_SHAPES of that many components. */
bool wildcards_has_room(const struct wildcards *wildcards, struct view pattern);
void wildcards_set(struct wildcards *wildcards, struct view pattern, void *value);
void wildcards_remove(struct wildcards *wildcards, struct view pattern);

/* All values whose patterns match `uri`, the one with the longest run of components before its first
 * gap first, and so on, until `visit` returns false. */
typedef bool wildcards_visit(void *user, void *value);
void wildcards_each(const struct wildcards *wildcards, struct view uri, wildcards_visit *visit,
                    void *user);
bool wildcards_is(struct view pattern, struct view uri); /* whether that one matches */
/* The component at *at, and where the next one starts: behind the end of the URI after the last. */
struct view wildcards_component(struct view uri, size_t *at);
