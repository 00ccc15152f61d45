/* SPDX-License-Identifier: Apache-2.0 */
/* Calls: who serves a procedure, and which calls wait for an answer. Exact match; the caller is
 * disclosed from the connection's proved state, always. WAMP calls this part the dealer. */
#pragma once

#include "router/conn.h"

struct dealer;
struct call;

struct dealer *dealer_new(struct router *router);
void dealer_free(struct dealer *dealer);

/* For conn's table: false ends the session (protocol violation). */
bool dealer_register(struct conn *conn, const struct conn_input *in, struct err *err);
bool dealer_unregister(struct conn *conn, const struct conn_input *in, struct err *err);
bool dealer_call(struct conn *conn, const struct conn_input *in, struct err *err);
bool dealer_yield(struct conn *conn, const struct conn_input *in, struct err *err);
bool dealer_error(struct conn *conn, const struct conn_input *in, struct err *err);
/* The session ends: its procedures go, calls to it fail with `canceled`, answers for it will be
 * dropped. */
void dealer_leave(struct conn *conn);

/* The router itself asks: answered exactly once, unless it is forgotten. */
struct dealer_answer {
    bool is_error;
    struct view uri;            /* of the error */
    struct rpc_payload payload; /* valid during the callback */
};
typedef void dealer_on_answer(void *user, const struct dealer_answer *answer);
/* NULL: nobody serves it. `source` goes out as `_warren_source`. */
struct call *dealer_ask(struct router *router, const char *procedure, struct rpc_payload payload,
                        const char *source, dealer_on_answer *on_answer, void *user);
void dealer_forget(struct call *call);
bool dealer_serves(const struct dealer *dealer, struct view procedure);
/* Registrations and pending calls, for the tests. */
size_t dealer_n_registrations(const struct dealer *dealer);
size_t dealer_n_calls(const struct dealer *dealer);
