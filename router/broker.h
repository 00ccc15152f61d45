/* SPDX-License-Identifier: Apache-2.0 */
/* Events: who listens to which topics, exact ones and patterns, and the last event of those that are
 * retained. An event is written once for a subscription and sent to all who share it. WAMP calls
 * this part the broker. */
#pragma once

#include "router/conn.h"
#include "router/match.h"

/* A subscription: one for all who listen to that very pattern. */
struct topic {
    uint64_t id;
    uint64_t created_at; /* wall clock */
    enum match_kind kind;
    struct buf uri;
    struct list listeners; /* struct sub; never empty */
    size_t n_listeners;
};

struct sub {
    struct list of_topic, of_conn;
    struct topic *topic;
    struct conn *conn;
    struct charge charge;
};

struct broker;

struct broker *broker_new(const struct realm *realm);
void broker_free(struct broker *broker);

bool broker_subscribe(struct conn *conn, const struct conn_input *in, struct err *err);
bool broker_unsubscribe(struct conn *conn, const struct conn_input *in, struct err *err);
bool broker_publish(struct conn *conn, const struct conn_input *in, struct err *err);
void broker_leave(struct conn *conn);
/* The same, said by somebody on `conn`'s behalf. *ret_publication: the event's ID. */
bool broker_publish_as(struct conn *conn, const struct rpc_publish *ask, uint64_t *ret_publication,
                       struct err *err);
/* Takes a subscription from its listener, and tells it if it wants to know. */
void broker_revoke(struct sub *sub, struct view reason);
/* What the router itself knows: retained under `topic` as den's. */
void broker_retain(struct broker *broker, const char *topic, struct view args);
/* An event of the router itself, to all who listen; below `wamp.`, to those who may. */
void broker_announce(struct broker *broker, const char *topic, struct view args);
/* The same, to the operators, den and that ID alone. */
void broker_announce_about(struct broker *broker, const char *topic, struct view args,
                           const char *id);
bool broker_is_heard(const struct broker *broker, const char *topic);

struct topic *broker_by_id(const struct broker *broker, uint64_t id);
struct topic *broker_find(const struct broker *broker, enum match_kind kind, struct view uri);
bool broker_next(const struct broker *broker, size_t *cursor, struct topic **ret_topic);
/* All subscriptions that an event of that topic goes to: struct topic. */
void broker_matching(const struct broker *broker, struct view uri, match_visit *visit, void *user);
struct sub *broker_sub_of(const struct conn *conn, uint64_t id); /* its own; NULL */
size_t broker_n_subscriptions(const struct broker *broker);
