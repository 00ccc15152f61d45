/* SPDX-License-Identifier: Apache-2.0 */
/* What the application's pointers point to. A handle is held by the application, by the library's thread, by each event and
 * by each errand that names it, and freed by the last of them. */
#pragma once

#include "peer/hub.h"
#include "peer/ring.h"

enum { STREAM_RING = 256 * 1024 };

struct session;
struct flow;
struct plug;

struct peer_link {
    struct peer *peer;
    struct hub *hub;
    unsigned refs; /* atomic */

    /* the application's */
    struct list node;    /* in peer's links; the application's reference */
    struct list streams; /* its streams, by node */
    void *user;
    bool awaits_answer; /* INCOMING was delivered, neither accepted nor declined */

    /* the library thread's */
    struct session *session; /* NULL once it is over */

    /* under the hub's lock */
    bool is_up, has_facts, is_path_queued;
    struct peer_link_facts facts;
    size_t datagram_max, n_datagrams;
    struct list datagrams; /* datagram.c: that wait for the thread */
    bool is_datagram_queued;
    char *outgoing[HUB_CAPS]; /* capabilities we may open streams with; set when it comes up */

    /* set before LINK_UP is queued, constant afterwards */
    char *grant_text;
    struct buf grant, dial, accept;
    uint8_t grant_sig[64], dial_sig[64], accept_sig[64];
};

struct peer_stream {
    struct peer_link *link; /* held */
    struct hub *hub;
    unsigned refs;    /* atomic */
    struct list node; /* the application's, as its reference */
    void *user;
    bool is_theirs; /* the other side opened it, and may open another one when this one is gone */
    struct flow *flow; /* the library thread's; NULL once it is over */
    struct plug *plug; /* likewise: the other end of the descriptor; NULL: none */

    /* under the hub's lock */
    struct ring in, out;
    bool has_ended;  /* nothing comes after what is in `in` */
    bool wants_end;  /* nothing comes after what is in `out` */
    bool wants_room; /* a write was cut short: WRITABLE when there is room */
    bool is_starved; /* the thread has more than fits into `in` */
    bool is_over;    /* takes no bytes any more */
    bool is_pump_queued, is_readable_queued, is_writable_queued;
    bool is_socket;   /* the application reads and writes a descriptor: plug.c */
    size_t high, low; /* of `out` */
    uint64_t n_written, n_read;
};

struct peer_link *peer_link_new(struct peer *peer, struct hub *hub); /* one reference */
struct peer_link *peer_link_ref(struct peer_link *link);
void peer_link_unref(struct peer_link *link); /* NULL is fine */
void datagrams_drop(struct peer_link *link);  /* datagram.c */
struct peer_stream *peer_stream_new(struct peer_link *link);
struct peer_stream *peer_stream_ref(struct peer_stream *stream);
void peer_stream_unref(struct peer_stream *stream);
