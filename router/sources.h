/* SPDX-License-Identifier: Apache-2.0 */
/* Where connections come from: how many each address has and opens, what it did wrong, and whom a
 * router under pressure turns away. IPv6 counts by /64. No I/O: time and randomness are handed in.
 *
 * Penalties are like those of OpenSSH's PerSourcePenalties: each fault adds its time, up to a
 * maximum; once they come to `penalty_least` the address is refused until they have passed. */
#pragma once

#include "base/buf.h"
#include "router/deadline.h"

enum { SOURCE_KEY = 16, SOURCES_MAX_NETWORKS = 64 }; /* as rpc_ws_address_key() makes it */

enum source_fault {
    SOURCE_NO_FAULT,
    SOURCE_SILENCE,        /* it left, or had to, without having proved who it is */
    SOURCE_AUTHENTICATION, /* its proof was wrong */
    SOURCE_PROTOCOL,       /* it broke the protocol */
    SOURCE_FAULTS
};

enum source_verdict {
    SOURCE_MAY,
    SOURCE_TOO_MANY,   /* connections at once */
    SOURCE_TOO_OFTEN,  /* new connections a second */
    SOURCE_PENALISED,  /* what it did before */
    SOURCE_EARLY_DROP, /* by chance: too many connections have not proved anything yet */
    SOURCE_VERDICTS
};

/* A network whose addresses have no limits. */
struct source_network {
    uint8_t key[SOURCE_KEY]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned bits;           /* of those 128 */
};

struct sources_config {
    uint64_t per_address, per_second; /* connections; 0: any number */
    /* Connections that have not proved anything: from half of it on some new ones are dropped, at
     * all of it all. */
    uint64_t unproved;
    uint64_t penalty[SOURCE_FAULTS]; /* ms */
    uint64_t penalty_least, penalty_most;
    uint64_t tracked; /* addresses remembered that have no connection: the mildest goes first */
    struct source_network network[SOURCES_MAX_NETWORKS];
    size_t n_networks;
};

struct sources;
struct source; /* an address with a connection, or with a past */

struct sources *sources_new(const struct sources_config *config);
void sources_free(struct sources *sources); /* every connection must be closed */
/* Other limits from now on; what is known stays. */
void sources_set_config(struct sources *sources, const struct sources_config *config);

/* Of a new connection, before anything is done for it; `dice`: 32 random bits. */
enum source_verdict sources_ask(struct sources *sources, const uint8_t key[SOURCE_KEY],
                                uint64_t now, uint32_t dice);
/* It is there: unproved. Every one is closed once. */
struct source *sources_open(struct sources *sources, const uint8_t key[SOURCE_KEY], uint64_t now);
void sources_proved(struct sources *sources);
void sources_close(struct sources *sources, struct source *source, bool was_proved, uint64_t now);
/* The time that it is refused for from now on; 0: not (yet). */
uint64_t sources_blame(struct sources *sources, struct source *source, enum source_fault fault,
                       uint64_t now);
/* The network of its address: IPv4 /24, IPv6 /48. False: it has no limits. */
bool source_near(const struct source *source, uint8_t ret_near[SOURCE_KEY]);
size_t sources_n_tracked(const struct sources *sources); /* with a connection or without */
size_t sources_n_unproved(const struct sources *sources);

const char *source_fault_name(enum source_fault fault);
/* "192.0.2.0/24 2001:db8::/32 198.51.100.7": with spaces between. False: not that, or too many. */
bool source_networks_read(const char *text, struct source_network to[SOURCES_MAX_NETWORKS],
                          size_t *ret_n);
