/* SPDX-License-Identifier: Apache-2.0 */
/* The options of router.conf(5), as one table. */
#pragma once

#include "base/conf.h"
#include "base/log.h"

enum { ROUTER_MAX_PROXIES = 8, CONFIG_STUN_OTHER_PORT = 3479 /* by default, RFC 5780 */ };

#define ROUTER_OPTIONS(X)                                                                          \
    X(listen, TEXT, "*:443",                                                                       \
      "ADDRESS:PORT to listen on; * for all addresses, port 0 for any free one")                   \
    X(listen_plain, TEXT, "",                                                                      \
      "loopback ADDRESS:PORT to listen on without TLS, for a proxy that ends it")                  \
    X(proxy_certificates, TEXT, "",                                                                \
      "SHA-256 of the certificates of that proxy, in hexadecimal, with spaces between")            \
    X(forwarded_for, BOOL, "no",                                                                   \
      "take the client's address from the X-Forwarded-For that the proxy writes")                  \
    X(echo, BOOL, "no",                                                                            \
      "serve the sub-protocol echo, to test WebSocket conformance; on loopback alone")             \
    X(realms, PATH, "", "file with the realms: realms.conf(5)")                                    \
    X(host, ADDRESS, NULL, "HOST:PORT that peers connect to, as the join string has it")           \
    X(state, PATH, ".", "folder with the router's keys and what it knows of its network")          \
    X(handshake_timeout, DURATION, "10s", "time for a new connection to prove who it is")          \
    X(admission_stale, DURATION, "24h", "refuse admissions when den has been silent for longer")   \
    X(call_timeout, DURATION, "60s", "the longest that a call may wait for its next answer")       \
    X(drain_timeout, DURATION, "10s", "time for calls in flight to end when the router stops")     \
    X(max_connections, NUMBER, "0",                                                                \
      "connections at the same time; 0: as many as open files allow, at most 100000")              \
    X(max_per_address, NUMBER, "64", "connections from one address, or one IPv6 /64")              \
    X(max_connection_rate, NUMBER, "20", "new connections a second from one address")              \
    X(max_unauthenticated, NUMBER, "1000",                                                         \
      "connections that have not proved anything yet; from half of it on some are refused")        \
    X(max_guests, NUMBER, "1000", "guest sessions at the same time")                               \
    X(unlimited_networks, TEXT, "",                                                                \
      "networks whose addresses have no limits, with spaces between: 192.0.2.0/24")                \
    X(penalty_authentication, DURATION, "5s", "for a proof that was wrong")                        \
    X(penalty_silence, DURATION, "1s", "for a connection that ended without a proof")              \
    X(penalty_protocol, DURATION, "10s", "for breaking the protocol")                              \
    X(penalty_least, DURATION, "15s", "penalties of an address count once they come to this")      \
    X(penalty_most, DURATION, "10m", "penalties of an address never come to more")                 \
    X(max_penalties, NUMBER, "65536", "addresses whose penalties are remembered")                  \
    X(origins, TEXT, "", "origins of web pages that may connect, with spaces between, or *")       \
    X(max_message_before, SIZE, "16KiB", "one message, before authentication and of guests")       \
    X(max_message, SIZE, "1MiB", "one message, after authentication")                              \
    X(max_fragments, NUMBER, "1024", "fragments of one message")                                   \
    X(max_control_rate, SIZE, "32KiB",                                                             \
      "bytes a second that belong to no message: pings, empty fragments")                          \
    X(stall_timeout, DURATION, "24s", "time for a message to come whole, or to leave")             \
    X(max_queue, SIZE, "4MiB", "waiting for one connection: events are dropped at half of it")     \
    X(max_pending_calls, NUMBER, "64",                                                             \
      "calls of one session that wait for an answer; den has 65536")                               \
    X(max_registrations, NUMBER, "256", "procedures that one session serves")                      \
    X(max_subscriptions, NUMBER, "256", "topics that one session listens to")                      \
    X(max_request_rate, NUMBER, "10000", "requests a second of one session")                       \
    X(max_testaments, NUMBER, "32", "testaments of one session")                                   \
    X(max_retained, NUMBER, "4096", "events that one realm keeps for later subscribers")           \
    X(max_retained_size, SIZE, "64MiB", "what they may come to")                                   \
    X(max_grants, NUMBER, "65536", "grants that den may have installed")                           \
    X(guest_request_rate, NUMBER, "20", "requests a second of a guest")                            \
    X(guest_pending_calls, NUMBER, "4", "calls of a guest that wait for an answer")                \
    X(guest_registrations, NUMBER, "0", "procedures that a guest serves")                          \
    X(guest_subscriptions, NUMBER, "8", "topics that a guest listens to")                          \
    X(max_lookups, NUMBER, "10", "failed lookups a minute of one identity")                        \
    X(max_lookups_network, NUMBER, "60", "failed lookups a minute of one /24, or IPv6 /48")        \
    X(relay, BOOL, "yes", "relay datagrams between the two ends of a session")                     \
    X(relay_unpaired_timeout, DURATION, "30s", "time for the other end to come to the relay")      \
    X(max_relay_sessions, NUMBER, "4096", "sessions that use the relay at the same time")          \
    X(max_relay_queue, SIZE, "256KiB", "datagrams waiting for one end: more are dropped")          \
    X(max_relay_session_rate, SIZE, "64MiB",                                                       \
      "relayed bytes a second of one session; 0: any number")                                      \
    X(max_relay_session_bytes, SIZE, "0", "relayed bytes of one session; 0: any number")           \
    X(max_relay_peer_rate, SIZE, "64MiB",                                                          \
      "bytes a second that one peer sends over the relay; 0: any number")                          \
    X(max_relay_peer_bytes, SIZE, "0",                                                             \
      "bytes that one peer sends over the relay in 24 hours; 0: any number")                       \
    X(stun, TEXT, "", "ADDRESS:PORT for STUN on UDP; without it that of listen; no: none")         \
    X(stun_other_port, NUMBER, "3479",                                                             \
      "another UDP port of it, to find out what kind of NAT somebody is behind; 0: none")          \
    X(stun_host, TEXT, "", "HOST:PORT that peers are told, when it is not host with that port")    \
    X(max_stun_rate, NUMBER, "50", "STUN answers a second to one IPv4 /24, or IPv6 /48")           \
    X(max_stun_total, NUMBER, "10000", "STUN answers a second to all together")                    \
    X(metrics, TEXT, "",                                                                           \
      "ADDRESS:PORT of a plain HTTP listener with /metrics, /healthz and /readyz")                 \
    X(log_level, TEXT, "info", "debug, info, warn or error")                                       \
    X(log_format, TEXT, "text", "text, which is key=value, or json")

struct router_config {
    ROUTER_OPTIONS(CONF_FIELD)
};

/* BAD_CONFIG; *ret_all (may be NULL) gets a line per error. router_config_deinit() in any case. */
bool router_config_read(const char *path, struct router_config *config, struct buf *ret_all,
                        struct err *err);
bool router_config_parse(const char *name, struct view text, struct router_config *config,
                         struct buf *ret_all, struct err *err);
void router_config_deinit(struct router_config *config);
/* A running router takes another configuration: `config` gets the values of `other` and the reverse, but
 * for options that are only looked at when it starts. Those that differ are named, with spaces between,
 * in *ret_ignored. */
void router_config_exchange(struct router_config *config, struct router_config *other,
                            struct buf *ret_ignored);
void router_config_help(struct buf *to);
/* What `init` writes: `host`, `listen`, and every other key as a comment with its default. */
void router_config_template(const char *host, const char *listen, struct buf *to);
/* `listen` apart; *ret_host is NULL for "*". The caller frees it. */
bool router_config_listen(const char *listen, char **ret_host, uint16_t *ret_port);
/* The hashes in `proxy_certificates`; false: it is not such a list, or has more than `max`. */
bool router_config_hashes(const char *text, uint8_t (*to)[32], size_t max, size_t *ret_n);
/* A browser's page is one of `origins`; NULL: none is. */
bool router_config_has_origin(const char *origins, struct view origin);
bool router_config_log_level(const char *text, enum log_level *ret_level);
