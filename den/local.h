/* SPDX-License-Identifier: Apache-2.0 */
/* The socket in den's folder, for root and den's own account: a line of JSON {"procedure": TEXT, "body": {...}} is
 * answered with {"result": ...} or {"error": {"code", "cause", "remedy"}} and the end of the connection. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "rpc/rpc.h"

#define LOCAL_SOCKET "admin.socket"

struct local;
/* `body` is a map of msgpack; appends one value. `uid` is who asks, as the kernel says. */
typedef bool local_serve(void *user, const char *procedure, unsigned long uid, struct view body,
                         struct buf *ret_value, struct err *err);
bool local_open(struct rpc_loop *loop, const char *dir, local_serve *serve, void *user,
                struct local **ret_local, struct err *err);
void local_tick(struct local *local); /* now and then: who does not ask is hung up on */
/* After rpc_loop_finish_works(). NULL is fine. */
void local_free(struct local *local);

/* ---- the other end -------------------------------------------------------------------------------- */

/* DEN_AWAY: nobody listens there. `body`: a map of msgpack, or empty. Appends one value. */
bool local_ask(const char *dir, const char *procedure, struct view body, struct buf *ret_value,
               struct err *err);
