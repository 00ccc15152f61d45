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
    /* Messages, invocations and parts of results, and the bytes of these and of results. */
    HUB_MAX_MESSAGES = 8192,
    HUB_MAX_BYTES = 16 * 1024 * 1024,
    HUB_MAX_BYTES_OUT = 16 * 1024 * 1024, /* that the application wants to be sent */
    HUB_CAPS = 17                         /* RPC_MAX_ITEMS and the NULL */
};

struct talk;

/* An event with all that it points to. */
struct hub_event {
    struct list node, in_datagrams;
    struct peer_event event;
    struct talk *talk;    /* held; NULL: none */
    struct talk *serving; /* INVOCATION: held, the registration */
    struct peer_message message;
    char *uri, *id, *role;
    char remote_id[16];
    char *caps[HUB_CAPS], *capability, *argument, *who_names, *who_groups;
    struct buf data;
    struct peer_name *names;
    size_t n_names;
    struct peer_finding *finding;
};

struct hub {
    pthread_mutex_t lock;
    int fd;                        /* eventfd: readable while `events` is not empty */
    struct list in_fork;           /* fork.c: all hubs of this process */
    int held;                      /* a descriptor that no child is to have; -1: none */
    bool is_forked, is_fork_told;  /* this process is a child: the thread is its parent's */
    struct list events, datagrams; /* those of them that are one */
    bool is_word_late;             /* `fd` will be readable without an event */
    unsigned n_datagrams, n_calls, n_messages; /* in `events` */
    size_t n_bytes;                            /* likewise, of messages */
    size_t n_bytes_out;                        /* in errands */
};

bool hub_init(struct hub *hub, struct err *err);
void hub_deinit(struct hub *hub); /* frees what nobody fetched */
/* ---- fork.c ---- */
void hub_watch_fork(struct hub *hub);
void hub_forget_fork(struct hub *hub);
void hub_hold(struct hub *hub, int fd);                   /* no child is to have it; -1: none */
bool hub_is_ours(const struct hub *hub, struct err *err); /* CLOSED: in a child of fork(2) */

void hub_lock(struct hub *hub);
void hub_unlock(struct hub *hub);

struct hub_event *hub_event_new(enum peer_event_type type);
void hub_event_free(struct hub_event *event);
OWN_FREEP(hub_event, struct hub_event)
/* With a datagram too many the oldest is dropped. */
void hub_put(struct hub *hub, struct hub_event *event_taken);
struct hub_event *hub_take(struct hub *hub); /* NULL: none */

bool hub_is_behind(struct hub *hub); /* the application has not even heard of the last calls */
/* Whether a PATH event of the link is to be queued now: none waits. */
bool hub_claim_path(struct hub *hub, struct peer_link *link);

/* Whether a message, an invocation or a part of a result still has a place. */
bool hub_has_room(struct hub *hub, size_t n_bytes);
bool hub_has_room_for_result(struct hub *hub, size_t n_bytes); /* for bytes alone */
/* Puts the event that tells how a registration or subscription stands, if none waits; it shows the
 * newest. Error code NONE: it stands. */
void hub_put_standing(struct hub *hub, struct talk *talk, const struct err *err);
/* Charges what the application wants to be sent; false: too much waits. */
bool hub_charge(struct hub *hub, size_t n_bytes);
void hub_discharge(struct hub *hub, size_t n_bytes);

void hub_error(const struct err *err, struct peer_error *ret_error); /* code NONE: empty texts */
