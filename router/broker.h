/* SPDX-License-Identifier: Apache-2.0 */
/* Events: who listens to a topic, and the last event of those that are retained. Exact match. An
 * event is written once and sent to all. WAMP calls this part the broker. */
#pragma once

#include "router/conn.h"

struct broker;

struct broker *broker_new(struct router *router);
void broker_free(struct broker *broker);

bool broker_subscribe(struct conn *conn, const struct conn_input *in, struct err *err);
bool broker_unsubscribe(struct conn *conn, const struct conn_input *in, struct err *err);
bool broker_publish(struct conn *conn, const struct conn_input *in, struct err *err);
void broker_leave(struct conn *conn);
/* What the router itself knows: retained under `topic` as den's. */
void broker_retain(struct broker *broker, const char *topic, struct view args);
/* An event of the router itself, to all who listen. */
void broker_announce(struct broker *broker, const char *topic, struct view args);
size_t broker_n_subscriptions(const struct broker *broker);
