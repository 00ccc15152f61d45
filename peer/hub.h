/* SPDX-License-Identifier: Apache-2.0 */
/* What the application's thread and the library's own share: the queue of events behind one descriptor, and a lock. The
 * lock is held for copies only, never across a call into anything else. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "peer/include/peer.h"

#include <pthread.h>

/* What waits for a slow application is bounded. Of a stream at most one event of each type waits, and the other side has no
 * more streams than link/inside.h's LINK_MAX_STREAMS whose end the application has not fetched; of a link one PATH, and one each of
 * what comes once. Datagrams and calls are counted here. */
enum {
    HUB_MAX_DATAGRAMS = 256,
    HUB_MAX_CALLS = 16,
    HUB_CAPS = 17 /* RPC_MAX_ITEMS and the NULL */
};

/* An event with all that it points to. */
struct hub_event {
    struct list node;
    struct peer_event event;
    char remote_id[16];
    char *caps[HUB_CAPS], *capability, *argument;
    struct buf data;
};

struct hub {
    pthread_mutex_t lock;
    int fd; /* eventfd: readable while `events` is not empty */
    struct list events;
    unsigned n_datagrams, n_calls; /* in `events` */
};

bool hub_init(struct hub *hub, struct err *err);
void hub_deinit(struct hub *hub); /* frees what nobody fetched */
void hub_lock(struct hub *hub);
void hub_unlock(struct hub *hub);

struct hub_event *hub_event_new(enum peer_event_type type);
void hub_event_free(struct hub_event *event);
OWN_FREEP(hub_event, struct hub_event)
void hub_put(struct hub *hub, struct hub_event *event_taken); /* a datagram too many is dropped */
struct hub_event *hub_take(struct hub *hub);                  /* NULL: none */

bool hub_is_behind(struct hub *hub); /* the application has not even heard of the last calls */
/* Whether a PATH event of the link is to be queued now: none waits. */
bool hub_claim_path(struct hub *hub, struct peer_link *link);

void hub_error(const struct err *err, struct peer_error *ret_error); /* code NONE: empty texts */
