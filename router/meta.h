/* SPDX-License-Identifier: Apache-2.0 */
/* What a realm tells about itself, below `wamp.`: sessions, registrations, subscriptions, and
 * testaments. Who may ask is policy.c's to say. */
#pragma once

#include "router/broker.h"
#include "router/dealer.h"

/* Answers the call. */
void meta_serve(struct conn *conn, const struct rpc_call *ask);

/* Events: wamp.session.on_join and on_leave. */
void meta_on_join(struct conn *conn);
void meta_on_leave(struct conn *conn);
/* What became of a registration or subscription, through `conn`. */
enum meta_what { META_CREATED, META_JOINED, META_LEFT, META_DELETED };
void meta_on_procedure(const struct conn *conn, const struct proc *proc, enum meta_what what);
void meta_on_topic(const struct conn *conn, const struct topic *topic, enum meta_what what);
