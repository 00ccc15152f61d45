/* SPDX-License-Identifier: Apache-2.0 */
/* The last event of each topic that was published to be kept. */
#pragma once

#include "base/map.h"
#include "router/match.h"
#include "rpc/rpc.h"

struct retained;

/* At most so many events, of so many bytes in all. */
struct retained *retained_new(size_t max, size_t max_bytes);
void retained_free(struct retained *retained);
size_t retained_count(const struct retained *retained);
/* Keeps `event` for `topic` instead of the one before; without a payload, keeps none. `ask`: what it
 * was published with, for its lists of who may get it; NULL: all may. LIMIT */
bool retained_set(struct retained *retained, struct view topic, const struct rpc_event *event,
                  const struct rpc_publish *ask, struct err *err);

/* `ask`: its lists; NULL: all may have it. */
typedef void retained_visit(void *user, struct view topic, const struct rpc_event *event,
                            const struct rpc_publish *ask);
/* Those whose topics the pattern matches. What that was worth, in requests. */
size_t retained_each(const struct retained *retained, const struct match *index,
                     enum match_kind kind, struct view pattern, retained_visit *visit, void *user);
