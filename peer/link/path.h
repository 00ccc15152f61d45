/* SPDX-License-Identifier: Apache-2.0 */
/* A way for datagrams between the two ends of one session. The link (link.h) sees one path;
 * below it stand the carriers: ICE (direct) today, TURN and the router's relay later. The link
 * never learns an address. One thread. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum path_kind { PATH_DIRECT, PATH_TURN, PATH_RELAY };

struct path_facts { /* for people, statistics and --json; ASCII */
    enum path_kind kind;
    char local[64], remote[64];           /* addresses with ports */
    char local_type[16], remote_type[16]; /* "host", "srflx", "prflx", "relay" */
};

/* A carrier is something that embeds this. */
struct path_carrier {
    const struct path_carrier_ops *ops;
};
struct path_carrier_ops {
    enum path_kind kind;
    size_t (*send)(struct path_carrier *carrier, const struct view *packets,
                   size_t n); /* how many went */
    bool (*facts)(const struct path_carrier *carrier, struct path_facts *ret);
};

struct path;
struct path_events {
    void (*on_packets)(void *user, const struct view *packets, size_t n);
    void (*on_usable)(
        void *user); /* the first carrier is up, or sending may go on after it blocked */
    void (*on_changed)(void *user); /* another carrier took over: path_facts() */
    void (*on_lost)(void *user);    /* no carrier is left */
};
struct path *path_new(const struct path_events *events, void *user);
void path_free(struct path *path);
OWN_FREEP(path, struct path)

/* Carriers call these. A carrier is owned by whoever made it and is removed before it is freed. */
void path_carrier_up(struct path *path, struct path_carrier *carrier);
void path_carrier_down(struct path *path, struct path_carrier *carrier);
void path_carrier_writable(struct path *path, struct path_carrier *carrier);
void path_carrier_received(struct path *path, struct path_carrier *carrier,
                           const struct view *packets, size_t n);

/* The link calls these. */
bool path_is_usable(const struct path *path);
size_t path_send(struct path *path, const struct view *packets, size_t n); /* how many went */
bool path_facts(const struct path *path, struct path_facts *ret); /* false when there is none */
const char *path_kind_name(enum path_kind kind);                  /* "direct", "turn", "relay" */
