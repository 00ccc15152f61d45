/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a path. path.c: carriers, life and death, and over which one; path_send.c: packets to them, and how large. */
#pragma once

#include "peer/link/path.h"
#include "peer/link/plpmtu.h"

#define MS           ((uint64_t)1000000)
#define PATH_SILENCE (250 * MS) /* of a carrier that should answer */

enum {
    /* Two direct and two TURN ones while one takes the place of another, the relay, and the calls that a link begins over. */
    PATH_CARRIERS = 6,
    PATH_SIGN =
        PLPMTU_SIGN, /* bytes of a sign of life: QUIC has no packet as short (RFC 9001, 5.4.2) */
};

struct slot {
    struct path_carrier *carrier;
    bool is_dead;     /* as far as we know */
    uint64_t last_in; /* when something came over it */
    uint64_t ask_at;  /* the next question, to one that is dead or missed one */
    uint64_t last_ask;
    uint64_t asked_at; /* 0: none is open */
    uint8_t question[PATH_SIGN];
    unsigned n_missed, n_answers, n_wanted;
    uint64_t alive_since, dead_since;
    uint64_t age; /* of two of one kind the one with the higher number came later */
    bool is_new;  /* it has to show what it carries before it takes another one's place */
    struct plpmtu mtu;
};

struct path {
    struct path_events events;
    void *user;
    bool is_caller, is_linked, was_lost;
    bool is_narrow[PATH_KINDS];
    bool is_narrow_there;             /* the other end's direct path carries too little, it says */
    struct slot slots[PATH_CARRIERS]; /* those that are up */
    size_t n_slots;
    struct path_carrier *current; /* the one that sends; NULL: none */
    uint64_t n_came;              /* carriers, so far */

    uint64_t number; /* of the newest SWITCH */
    bool is_ours;    /* it was our word */
    enum path_kind agreed;
    bool must_tell;
    uint64_t told_at;
    unsigned n_heard; /* SWITCHes in this second */
    uint64_t heard_since;

    struct path_pressure pressure;
    uint64_t waiting_since;
    uint64_t twice_until; /* packets came another way: ours go both, until it is clear */
};

uint64_t path_now(const struct path *path);
enum path_kind path_kind_of(const struct path_carrier *carrier);
const struct slot *path_slot_seen(const struct path *path, const struct path_carrier *carrier);
struct slot *path_slot(struct path *path,
                       const struct path_carrier *carrier); /* NULL: it is not up */
/* The relay's own packets are a TCP connection's: it carries any size. */
static inline bool path_has_mtu(const struct slot *slot)
{
    return path_kind_of(slot->carrier) != PATH_RELAY;
}
