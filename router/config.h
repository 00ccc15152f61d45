/* SPDX-License-Identifier: Apache-2.0 */
/* The options of router.conf(5), as one table. */
#pragma once

#include "base/conf.h"
#include "base/log.h"

enum { ROUTER_MAX_PROXIES = 8 };

#define ROUTER_OPTIONS(X)                                                                          \
    X(listen, TEXT, "*:443",                                                                       \
      "ADDRESS:PORT to listen on; * for all addresses, port 0 for any free one")                   \
    X(listen_plain, TEXT, "",                                                                      \
      "loopback ADDRESS:PORT to listen on without TLS, for a proxy that ends it")                  \
    X(proxy_certificates, TEXT, "",                                                                \
      "SHA-256 of the certificates of that proxy, in hexadecimal, with spaces between")            \
    X(realms, PATH, "", "file with the realms: realms.conf(5)")                                    \
    X(host, ADDRESS, NULL, "HOST:PORT that peers connect to, as the join string has it")           \
    X(state, PATH, ".", "folder with the router's keys and what it knows of its network")          \
    X(handshake_timeout, DURATION, "10s", "time for a new connection to prove who it is")          \
    X(admission_stale, DURATION, "24h", "refuse admissions when den has been silent for longer")   \
    X(call_timeout, DURATION, "60s", "the longest that a call may wait for its next answer")       \
    X(drain_timeout, DURATION, "10s", "time for calls in flight to end when the router stops")     \
    X(max_connections, NUMBER, "10000", "connections at the same time")                            \
    X(max_per_address, NUMBER, "64", "connections from one address")                               \
    X(max_message, SIZE, "1MiB", "one message, after authentication")                              \
    X(max_queue, SIZE, "4MiB", "waiting for one connection: events are dropped at half of it")     \
    X(max_pending_calls, NUMBER, "64",                                                             \
      "calls of one session that wait for an answer; den has 65536")                               \
    X(max_registrations, NUMBER, "256", "procedures that one session serves")                      \
    X(max_subscriptions, NUMBER, "256", "topics that one session listens to")                      \
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
void router_config_help(struct buf *to);
/* What `init` writes: `host`, `listen`, and every other key as a comment with its default. */
void router_config_template(const char *host, const char *listen, struct buf *to);
/* `listen` apart; *ret_host is NULL for "*". The caller frees it. */
bool router_config_listen(const char *listen, char **ret_host, uint16_t *ret_port);
/* The hashes in `proxy_certificates`; false: it is not such a list, or has more than `max`. */
bool router_config_hashes(const char *text, uint8_t (*to)[32], size_t max, size_t *ret_n);
bool router_config_log_level(const char *text, enum log_level *ret_level);
