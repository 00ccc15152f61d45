/* SPDX-License-Identifier: Apache-2.0 */
/* Events that a session leaves behind, to be published in its name when it ends. */
#pragma once

#include "router/conn.h"

enum { TESTAMENT_MAX_BYTES = 64 * 1024 };

/* [topic, args, kwargs], {publish_options, scope}: what wamp.session.add_testament takes. */
bool testament_add(struct conn *conn, struct rpc_payload payload, struct err *err);
/* {scope}: removes those of that scope. */
bool testament_flush(struct conn *conn, struct rpc_payload payload, struct err *err);
/* The session ended: publishes them. */
void testament_read_out(struct conn *conn);
void testament_drop(struct conn *conn); /* or does not */
