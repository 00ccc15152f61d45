/* SPDX-License-Identifier: Apache-2.0 */
/* Calls: which wait for an answer, from whom, and until when. Every call gets exactly one last
 * answer: its callee's, or ours when it is canceled, late, or nobody is left to take it. WAMP calls
 * this part, together with procs.h, the dealer. */
#pragma once

#include "router/procs.h"

struct dealer;
struct call;

struct dealer *dealer_new(const struct realm *realm);
void dealer_free(struct dealer *dealer);
struct procs *dealer_procs(const struct dealer *dealer);

/* For conn's table: false ends the session (protocol violation). */
bool dealer_call(struct conn *conn, const struct conn_input *in, struct err *err);
bool dealer_cancel(struct conn *conn, const struct conn_input *in, struct err *err);
bool dealer_yield(struct conn *conn, const struct conn_input *in, struct err *err);
bool dealer_error(struct conn *conn, const struct conn_input *in, struct err *err);
/* The session ends: its procedures go, calls to it fail with `canceled`, those who work for it are
 * interrupted, and their answers will be dropped. */
void dealer_leave(struct conn *conn);
/* Ends the calls that conn waits for: each is told `cause`. */
void dealer_give_up(struct conn *conn, const char *cause);

/* The router itself asks: answered exactly once, unless it is forgotten. */
struct dealer_answer {
    bool is_error;
    struct view uri;            /* of the error */
    struct rpc_payload payload; /* valid during the callback */
    struct rpc_ppt ppt;
};
typedef void dealer_on_answer(void *user, const struct dealer_answer *answer);
/* In the network's own realm. NULL: nobody serves it. `source` goes out as `_warren_source`. */
struct call *dealer_ask(struct router *router, const char *procedure, struct rpc_payload payload,
                        const char *source, dealer_on_answer *on_answer, void *user);
void dealer_forget(struct call *call);
/* Whether conn serves a call for which it gave no sign of progress yet; and these fail, or all. */
bool dealer_is_awaited(const struct conn *conn);
void dealer_abandon(struct conn *conn, bool also_answering, enum err_code code, const char *cause);
bool dealer_serves(const struct dealer *dealer, struct view procedure);
/* Registrations and pending calls, for the tests. */
size_t dealer_n_registrations(const struct dealer *dealer);
size_t dealer_n_calls(const struct dealer *dealer);
