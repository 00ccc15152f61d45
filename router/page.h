/* SPDX-License-Identifier: Apache-2.0 */
/* What machines read of a router: its figures, for Prometheus, and whether it is ready. */
#pragma once

#include "router/router.h"

/* What only the edge knows. */
struct page_scene {
    const char *version;
    uint64_t wall;       /* clock_wall_ms() */
    uint64_t started_at; /* the same, when the process began */
    uint64_t resident_bytes, virtual_bytes, open_files, max_files, cpu_ms;
};

/* Text format of Prometheus, 0.0.4. Sets router->now. */
void page_metrics(struct router *router, struct moment now, const struct page_scene *scene,
                  struct buf *to);
/* Whether new sessions can be opened here; appends a line that says so, or why not. */
bool page_ready(struct router *router, struct moment now, struct buf *to);
