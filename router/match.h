/* SPDX-License-Identifier: Apache-2.0 */
/* URIs and patterns of URIs, and what stands under them: an exact URI, a prefix, or a wildcard whose
 * empty components match any one. A prefix counts on component boundaries, or, `by_string`, as
 * WAMP's specification has it, anywhere. Values are borrowed. No I/O. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum match_kind { MATCH_EXACT, MATCH_PREFIX, MATCH_WILDCARD, MATCH_KINDS };
const char *match_name(enum match_kind kind); /* "prefix" */
/* What REGISTER and SUBSCRIBE say: empty is exact. False: another word. */
bool match_read(struct view text, enum match_kind *ret_kind);

struct match;

struct match *match_new(bool by_string);
void match_free(struct match *match);
OWN_FREEP(match, struct match)

/* As patterns are kept: on component boundaries a prefix has no dot at its end. */
struct view match_normal(const struct match *match, enum match_kind kind, struct view pattern);
/* The value of that very pattern; NULL: none. */
void *match_get(const struct match *match, enum match_kind kind, struct view pattern);
/* False: no more patterns of that kind can be looked for in one go; wildcards.h says which. */
bool match_has_room(const struct match *match, enum match_kind kind, struct view pattern);
bool match_refuse(struct err *err); /* LIMIT, for that reason */
void match_set(struct match *match, enum match_kind kind, struct view pattern, void *value);
void match_remove(struct match *match, enum match_kind kind, struct view pattern);

/* The one whose turn it is: exact, then the longest prefix, then the wildcard with the longest run
 * of components before its first gap, and so on. NULL: none. */
void *match_best(const struct match *match, struct view uri);
typedef void match_visit(void *user, void *value);
/* All; nothing may be set or removed meanwhile. */
void match_all(const struct match *match, struct view uri, match_visit *visit, void *user);
/* Whether that one pattern matches `uri`. */
bool match_is(const struct match *match, enum match_kind kind, struct view pattern,
              struct view uri);
/* The components at the front that every URI it matches has; all of an exact one. */
struct view match_fixed(enum match_kind kind, struct view pattern);
