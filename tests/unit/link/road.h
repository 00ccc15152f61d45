/* SPDX-License-Identifier: Apache-2.0 */
/* One end of a link over a path over ICE, turned by a GLib context: the whole road, in small.
 * For tests and benches. */
#pragma once

#include "ice/ice.h"
#include "peer/link/carrier_ice.h"
#include "peer/link/link.h"

struct road;
struct road_config {
    void *context; /* GMainContext */
    bool is_caller;
    void (*on_event)(void *user, struct road *road, const struct link_event *event);
    void *user;
};
bool road_prepare(
    struct err *err); /* makes the certificates; once, before there are several threads */
bool road_new(const struct road_config *config, struct road **ret_road, struct err *err);
void road_free(struct road *road);
OWN_FREEP(road, struct road)
void road_describe(struct road *road, struct buf *to); /* our ICE description as text */
bool road_set_remote(struct road *road, struct view text, struct err *err);
struct link *road_link(struct road *road); /* NULL before there is a path */
struct path *road_path(struct road *road);
uint64_t road_now(void);
void road_touch(
    struct road *road); /* after calls into the link that come from outside: events and timer */
