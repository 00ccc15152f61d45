/* SPDX-License-Identifier: Apache-2.0 */
/* The grants that den installed: who may call whom, for what, until when. One that says nothing
 * else is no permission. No I/O. */
#pragma once

#include "rpc/rpc.h"

enum { GRANTS_MAX = 65536 }; /* unless grants_set_max() says otherwise */

struct grants;

/* `trust` is borrowed; whoever replaces it says so with grants_set_trust(). */
struct grants *grants_new(const struct rpc_trust *trust);
void grants_set_max(struct grants *grants, size_t max);
void grants_free(struct grants *grants);
OWN_FREEP(grants, struct grants)
void grants_set_trust(struct grants *grants, const struct rpc_trust *trust);

/* Verifies G by den-sign, its network, its beacon and its end, then holds it. The same statement
 * again changes nothing. BAD_SIGNATURE, BAD_STATEMENT, STALE, EXPIRED, REPLAYED (the sid stands
 * for another grant), LIMIT. `now`: network time. */
bool grants_install(struct grants *grants, struct view bytes, struct view sig, uint64_t now,
                    struct rpc_grant *ret_grant /* borrows from bytes */, struct err *err);
bool grants_remove(struct grants *grants, struct view sid); /* false: there is none */
/* Appends those after number `after` (0: from the first), at most `limit`, as maps; returns how
 * many. *ret_next: to go on from; 0: that was all. */
uint32_t grants_put_page(const struct grants *grants, uint64_t after, uint64_t limit,
                         struct buf *to, uint64_t *ret_next);
/* Whether exactly this grant is installed. */
bool grants_holds(const struct grants *grants, struct view sid, struct view bytes);
size_t grants_count(const struct grants *grants);

enum grants_answer { GRANTS_NONE, GRANTS_WITHOUT_CAP, GRANTS_ALLOWED };
/* Whether `caller` may reach `callee` at `now`: under any grant between the two when `cap` is
 * empty, else under one that gives the caller this capability. */
enum grants_answer grants_ask(const struct grants *grants, struct view caller, struct view callee,
                              struct view cap, uint64_t now);
