/* SPDX-License-Identifier: Apache-2.0 */
/* The router's core: owns connections, routes between them. No I/O: it is handed frames and time,
 * and says through `struct router_outside` what is to be sent, closed and stored. Nothing out
 * there calls back from inside those. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "router/backlog.h"
#include "router/broker.h"
#include "router/config.h"
#include "router/conn.h"
#include "router/dealer.h"
#include "router/grants.h"
#include "router/lookups.h"
#include "router/metrics.h"
#include "router/names.h"
#include "router/netkeys.h"
#include "router/realm.h"

struct denials;

struct router_outside {
    void (*send)(void *wire, struct view message); /* copies it */
    size_t (*queued)(void *wire);                  /* bytes waiting there */
    void (*close)(void *wire, const char *reason); /* after what is queued */
    void (*trusted)(void *wire);                   /* authenticated: the larger limits */
    bool (*save_trust)(void *user, struct view bytes, struct err *err);
    /* Adds records to those that are kept (rpc_revoked_load). */
    bool (*keep_revocations)(void *user, struct view records, struct err *err);
    /* The file that they were kept in, whole. */
    bool (*read_revocations)(void *user, struct buf *ret_file, struct err *err);
    /* Writes the chain (leaf first) and uses it for new connections; the key stays. */
    bool (*install_chain)(void *user, const struct view *chain, size_t n, struct err *err);
    void *user;
    /* An event that many get: what it comes to on the wire may be kept in it. */
    void (*send_event)(void *wire, struct parcel *parcel);
    /* The session is established, a guest's too; `trusted` comes for others alone. NULL is fine. */
    void (*established)(void *wire);
    /* Adds records to those that are kept (netkeys_load). NULL: memory alone. */
    bool (*keep_netkeys)(void *user, struct view records, struct err *err);
    /* Adds records of acts that den was not told yet (denials_load) to those that are kept, durably, or puts them (`is_all`) in the place
     * of all. NULL: memory alone. */
    bool (*keep_acts)(void *user, struct view records, bool is_all, struct err *err);
    /* A ping: router_answered() when the pong to it comes. NULL: nobody is ever asked. */
    void (*ask)(void *wire, uint64_t nonce);
};

struct moment {
    uint64_t mono, wall; /* clock_mono_ms(), clock_wall_ms() */
    uint64_t fine;       /* clock_mono_us(), to measure with */
};

struct router_setup {
    const struct router_config *config; /* borrowed */
    struct realms *realms;              /* taken; NULL: the network's own alone */
    const struct key *key;              /* borrowed */
    struct rpc_trust *trust;            /* taken */
    struct rpc_revoked *revoked;        /* taken; NULL: nothing */
    struct netkeys *netkeys;            /* taken; NULL: none */
    struct view acts;                   /* borrowed: what keep_acts() kept */
    uint8_t tls_spki[HASH_SIZE];
    uint64_t certificate_not_after;
    struct router_outside outside;
};

struct router {
    const struct router_config *config;
    struct realms *realms_config;
    const struct key *key;
    struct rpc_trust *trust;
    struct rpc_revoked *revoked;
    struct buf unkept; /* revocations that the disk lacks: the next one tries again */
    struct netkeys *netkeys;
    struct buf unkept_netkeys; /* that the disk lacks until `netkeys_due` */
    struct deadline netkeys_due;
    uint8_t tls_spki[HASH_SIZE];
    uint64_t certificate_not_after;
    struct router_outside outside;
    struct moment now; /* of the call being made on the router */
    struct deadlines deadlines;
    struct list conns; /* in the order in which they came */
    uint64_t last_conn;
    struct map *by_id; /* established, by authid */
    struct names *names;
    struct grants *grants;
    struct realm *realms[REALMS_MAX];
    size_t n_realms;
    /* SHA-256 of the certificates of proxies that end TLS before us */
    uint8_t proxy_certificates[ROUTER_MAX_PROXIES][HASH_SIZE];
    size_t n_proxy_certificates;
    struct realm *home; /* realms[0]: that of the network */
    /* Of realms that a reload took away: their last connections may still be closing. */
    struct list retired;
    struct buf scratch; /* the message being written */
    struct metrics metrics;
    struct backlog backlog;
    bool is_draining;
    uint64_t drain_until; /* calls in flight may end by then */
    struct deadline drain;
    enum metric_limit over; /* the limit that the message at hand ran into; LIMIT_N: none */
    uint64_t n_guests;
    struct lookups *lookups;
    struct relay *relay; /* NULL: none. Its owner's */
    struct denials *denials;
    uint16_t stun_port, stun_other_port; /* of the STUN server; 0: none */
    bool is_trust_unsaved; /* the disk lacks what memory has: the next heartbeat tries again */
};

struct router *router_new(const struct router_setup *setup, struct moment now);
void router_free(struct router *router); /* every connection must be closed */
OWN_FREEP(router, struct router)

/* `exporter`: 32 bytes of tls-exporter; NULL: TLS ends before us, or there is none. */
struct conn *router_opened(struct router *router, struct moment now, void *wire,
                           const char *address, const uint8_t *exporter);
void router_input(struct conn *conn, struct moment now, struct view frame);
/* The ERROR to an INVOCATION that could not be told to its client, who knows nothing of it. */
void router_answer_for(struct conn *conn, struct moment now, struct view frame);
/* What came is not even a message: tells it why, and closes. */
void router_refuse(struct conn *conn, struct moment now, const struct err *why);
/* The answer to outside.ask() came. */
void router_answered(struct conn *conn, struct moment now, uint64_t nonce);
/* The wire is gone; conn is freed. What is to be held against where it came from. */
enum source_fault router_closed(struct conn *conn, struct moment now, const char *why);
uint64_t router_deadline(const struct router *router); /* now, while it is behind */
/* Events wait for their turn: router_tick() gives out the next of them. It is to be called again
 * and again, with what comes in from outside in between. */
bool router_is_behind(const struct router *router);
void router_tick(struct router *router, struct moment now);
/* Stops without haste: new sessions and new calls are refused, whoever waits for no call and answers
 * none is told goodbye, the others when their calls are over, and at the latest when
 * config->drain_timeout has passed. Again: at once. */
void router_drain(struct router *router, struct moment now);
bool router_is_drained(const struct router *router); /* everybody has been told */
/* Takes other realms (SIGHUP; NULL: the network's own alone), and `config` as it is now: reload.c
 * says who stays. */
void router_take_proxies(struct router *router); /* from the configuration */
void router_reload(struct router *router, struct moment now, struct realms *realms);
/* Takes another trust set (SIGHUP) when it knows a newer manifest than ours; takes `trust` in any
 * case. */
bool router_reload_trust(struct router *router, struct moment now, struct rpc_trust *trust,
                         struct err *err);

uint64_t router_draw_session(const struct realm *realm); /* none of a living session */
uint64_t router_network_time(const struct router *router);
struct conn *router_find(const struct router *router, struct view id); /* established, or NULL */
bool router_save_trust(struct router *router, struct err *err);
/* A key came in by netsign: never again by cryptosign. On disk in a second: many may come at once. */
void router_note_netkey(struct router *router, struct view public_key);
/* On disk now, or with the next: a failure is logged. */
void router_keep_revocations(struct router *router, struct view records);
