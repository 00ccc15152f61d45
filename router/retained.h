/* SPDX-License-Identifier: Apache-2.0 */
/* The last event of each topic that was published to be kept. */
#pragma once

#include "base/map.h"
#include "router/match.h"
#include "rpc/rpc.h"

struct retained;

struct retained_event {
    struct rpc_event event;
    const struct rpc_publish *lists; /* who may get it; NULL: all */
    uint64_t but;                    /* the session that does not: it published it; 0: none */
};

/* At most events of so many topics, of so many bytes in all. */
struct retained *retained_new(size_t max, size_t max_bytes);
void retained_free(struct retained *retained);
size_t retained_count(const struct retained *retained);
void retained_drop(struct retained *retained, struct view topic);
/* Keeps it for `topic` instead of those before; what has lists, beside the last that was for all. LIMIT */
bool retained_set(struct retained *retained, struct view topic, const struct retained_event *event,
                  struct err *err);

/* False: it is not for this one, and the last that was for all is shown. */
typedef bool retained_visit(void *user, struct view topic, const struct retained_event *event);
/* Those whose topics the pattern matches. What that was worth, in requests. */
size_t retained_each(const struct retained *retained, const struct match *index,
                     enum match_kind kind, struct view pattern, retained_visit *visit, void *user);
