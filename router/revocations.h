/* SPDX-License-Identifier: Apache-2.0 */
/* What den has revoked, as the router acts on it: who is revoked goes, and does not come back. */
#pragma once

#include "router/router.h"

/* network.revocations.install: args [[[V, sig], ...]]; answers [rev_no], the newest that is known
 * then. None at all: only asks. STALE when one is missing before the first. */
bool revocations_install(struct conn *caller, struct rpc_fields *args, struct buf *to,
                         struct err *err);
/* network.revocations.list: args [from]; answers [[[V, sig], ...]], those from that number on that are
 * known here, as many as fit; none: there are no more. */
bool revocations_list(struct conn *caller, struct rpc_fields *args, struct buf *to,
                      struct err *err);
/* Whether somebody with this identity key and admission may be here: REVOKED. */
bool revocations_check(const struct router *router, struct view pk, const struct rpc_admission *a,
                       struct err *err);
