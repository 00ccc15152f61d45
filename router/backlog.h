/* SPDX-License-Identifier: Apache-2.0 */
/* Events on their way to many. Each is written once, shared by all who get it, and given out in
 * slices: a slice is what may leave before calls have their turn again. What a session is sent
 * keeps its order: whatever else goes to it goes behind the events that wait for it. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"

struct router;
struct conn;

/* A written event, and how many hold it. */
struct parcel {
    struct backlog *backlog;
    unsigned n_refs, n_waiting; /* of n_refs: connections that it waits for */
    struct buf frame;           /* msgpack */
    /* The same for those who speak JSON, which the edge writes for the first of them. */
    enum { PARCEL_UNTOLD, PARCEL_TOLD, PARCEL_UNTELLABLE } told;
    struct buf text;
    struct err why; /* UNTELLABLE: it has no JSON */
};

struct backlog {
    struct list conns; /* that have events waiting; who waited longest goes first */
    size_t n;          /* events times listeners */
    size_t bytes;      /* of written events, each counted once */
    size_t slice;      /* what it may come to: bytes, and some for each connection touched */
    size_t left;       /* of this slice */
    uint64_t number;   /* of this slice */
    uint64_t began_at; /* moment.mono */
};

enum {
    BACKLOG_SLICE = 128 * 1024,
    BACKLOG_TOUCH = 4 * 1024, /* a TLS record and a system call cost about as much */
    BACKLOG_HELD = 64,        /* what an event that waits costs beside its bytes */
    BACKLOG_MAX = 256 * 1024,
    BACKLOG_MAX_BYTES = 64 * 1024 * 1024,
};

void backlog_init(struct backlog *backlog);
/* Held by the caller. */
struct parcel *parcel_new(struct backlog *backlog);
void parcel_release(struct parcel *parcel); /* NULL is fine */

/* Sends it now when the slice has room and nothing waits for `conn`, or else when its turn comes.
 * Over the limits of the backlog it works off as much as it adds. */
void backlog_put(struct conn *conn, struct parcel *parcel);
/* What waits for `conn` goes now: something is to follow it. */
void backlog_catch_up(struct conn *conn);
void backlog_drop(struct conn *conn); /* it is leaving */
bool backlog_is_empty(const struct backlog *backlog);
void backlog_work(struct router *router); /* the next slice */
