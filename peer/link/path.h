/* SPDX-License-Identifier: Apache-2.0 */
/* A way for datagrams between the two ends of one session. The link (link.h) sees one path;
 * below it stand the carriers: direct and TURN (ICE), and the router's relay. The link never learns an
 * address. The path looks after its carriers: it asks those that are silent for a sign of life,
 * leaves one that gives none, and comes back to the better one when it answers again. Both ends
 * send over the same one: which, a numbered SWITCH tells (PROTOCOL.md, section 6). One thread, no
 * clock of its own. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* From the best to the worst; as SWITCH says them. */
enum path_kind { PATH_DIRECT, PATH_TURN, PATH_RELAY, PATH_KINDS };

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
    enum path_kind kind; /* unless kind_of() is there */
    size_t (*send)(struct path_carrier *carrier, const struct view *packets,
                   size_t n); /* how many went */
    bool (*facts)(const struct path_carrier *carrier, struct path_facts *ret);
    enum path_kind (*kind_of)(const struct path_carrier *carrier); /* now; NULL: `kind` */
};

struct path;
struct path_events {
    void (*on_packets)(void *user, const struct view *packets, size_t n);
    void (*on_usable)(
        void *user); /* the first carrier is up, or sending may go on after it blocked */
    void (*on_changed)(
        void *user); /* another carrier took over, maybe after a time without any: path_facts() */
    void (*on_lost)(void *user); /* no carrier is left */
    /* To be told to the other end, reliably; NULL: it is not. */
    void (*on_switch)(void *user, uint64_t number, enum path_kind kind);
    uint64_t (*now)(void *user); /* ns of one monotonic clock; NULL: time stands still */
};
/* `is_caller`: its word counts where both ends switch at once. */
struct path *path_new(const struct path_events *events, bool is_caller, void *user);
/* Its owner is being taken apart: from now on it is told nothing. NULL is fine. */
void path_end(struct path *path);
void path_free(struct path *path);
OWN_FREEP(path, struct path)

/* Carriers call these. A carrier is owned by whoever made it and is removed before it is freed. One that comes while another
 * of its kind lives takes its place once it has answered; the owner removes the other one then. */
void path_carrier_up(struct path *path, struct path_carrier *carrier);
void path_carrier_down(struct path *path, struct path_carrier *carrier);
void path_carrier_writable(struct path *path, struct path_carrier *carrier);
void path_carrier_received(struct path *path, struct path_carrier *carrier,
                           const struct view *packets, size_t n);
bool path_has_carrier(const struct path *path, enum path_kind kind); /* up, and alive as we know */
bool path_is_alive(const struct path *path, const struct path_carrier *carrier); /* likewise */
/* Another one than that is alive. */
bool path_has_other(const struct path *path, const struct path_carrier *carrier);

/* The link's owner calls these. */
/* ns that no carrier of that kind has been alive, though there is one; 0: one is, or there is none. */
uint64_t path_dead_for(const struct path *path, enum path_kind kind);
/* ns that the link has waited for an answer and nothing came over any carrier. */
uint64_t path_silent_for(const struct path *path);
bool path_is_usable(const struct path *path);
/* Packets go over the direct carrier, and over it alone. */
bool path_is_straight(const struct path *path);
size_t path_send(struct path *path, const struct view *packets, size_t n); /* how many went */
/* How large a packet may be now, in bytes of UDP's payload: 1200 to 1452 (plpmtu.h). */
size_t path_packet(const struct path *path);
/* The last one of that kind that was asked answers, and does not carry packets of 1200 bytes. */
bool path_is_narrow(const struct path *path, enum path_kind kind);
/* The other end says so of its direct path (REPORT): it is not gone back to before it says otherwise, or has left it. */
void path_set_narrow_there(struct path *path, bool is_narrow);
bool path_facts(const struct path *path, struct path_facts *ret); /* false when there is none */
const char *path_kind_name(enum path_kind kind);                  /* "direct", "turn", "relay" */

/* What the link has to say about it, after whatever it did. */
struct path_pressure {
    bool is_waiting; /* for an answer to what was sent */
    bool
        is_probing; /* it came so late that QUIC probes (RFC 9002, 6.2): everything is sent twice */
    uint64_t late_ns; /* when an answer is late: RFC 9002's PTO; 0: not known */
};
void path_set_pressure(struct path *path, const struct path_pressure *pressure);
/* The control stream is there: from now on the other end is told, and what was chosen before. */
void path_set_linked(struct path *path);
/* The other end's SWITCH. */
void path_switched(struct path *path, uint64_t number, enum path_kind kind);
uint64_t path_deadline(const struct path *path); /* ns; UINT64_MAX: none */
void path_tick(struct path *path);               /* call at path_deadline() */
