/* SPDX-License-Identifier: Apache-2.0 */
/* A realm: a world of its own within one router. Sessions of one realm cannot see, call or hear
 * those of another: each has its own dealer and broker. The first one, router->home, is that of
 * the network. */
#pragma once

#include "base/list.h"
#include "router/realms.h"

struct router;
struct dealer;
struct broker;

struct realm {
    struct router *router;
    const struct realm_config *config; /* borrowed from the router's realms; NULL: retired */
    struct list retired;               /* in the router's list once a reload took it away */
    struct map *by_session;            /* established: struct conn by session ID */
    struct dealer *dealer;
    struct broker *broker;
};

struct realm *realm_new(struct router *router, const struct realm_config *config);
void realm_free(struct realm *realm); /* every session of it must be over */
OWN_FREEP(realm, struct realm)

/* By the letter of the specification: no owner namespaces, string prefixes, nothing below
 * `network.`. */
static inline bool realm_is_standard(const struct realm *realm)
{
    return realm->config->profile == REALM_STANDARD;
}
/* Whether a caller or publisher is named to others. `is_asked`: by itself (disclose_me), or by the
 * callee (disclose_caller). */
static inline bool realm_discloses(const struct realm *realm, bool is_asked)
{
    return realm->config->disclosure == REALM_ALWAYS ||
           (realm->config->disclosure == REALM_ON_REQUEST && is_asked);
}
/* Who may call and subscribe to what is below `wamp.`. */
bool realm_may_meta(const struct realm *realm, struct view role);
/* Whether the realm's configuration gives a name to all peers. */
bool realm_is_open(const struct realm *realm, struct view uri);
