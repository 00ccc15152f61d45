/* SPDX-License-Identifier: Apache-2.0 */
/* One call from its beginning to its last word; the dealer's own (dealer.c). */
#pragma once

#include "router/dealer.h"
#include "router/router.h"

/* A call that waits for an answer. */
struct call {
    struct list of_caller, of_callee;
    struct router *router;
    struct conn *caller; /* NULL: the router itself */
    struct conn *callee;
    uint64_t request;      /* the caller's number */
    uint64_t invocation;   /* ours, for the callee */
    uint64_t registration; /* struct proc's ID: it may be gone by now */
    uint64_t began_at;     /* moment.fine */
    uint64_t asked_at;     /* moment.mono: from then on its caller's time-out runs */
    uint64_t timeout;      /* ms; 0: it is its callee who looks after it, or none was asked for */
    bool wants_progress;
    bool is_open;      /* more of it comes */
    bool is_in_parts;  /* it was open once: only its head is kept */
    bool is_continued; /* a second part went out */
    bool discloses;    /* names its caller */
    bool tells_which;  /* names the procedure: its callee serves a pattern */
    bool tells_timeout;
    bool is_killed;    /* canceled, and the callee has the last word */
    bool is_packed;    /* by payload passthru mode */
    bool is_answering; /* progress went out: it stays with this callee */
    struct deadline deadline;
    struct charge charge;
    /* The CALL again: whole where another callee may have to take it, its head alone where more of
     * it comes. Empty otherwise. */
    struct buf frame;
    size_t n_kept;    /* bytes of it that count for the caller */
    struct buf tried; /* sessions that said `unavailable`, u64 each */
    dealer_on_answer *on_answer;
    void *user;
};

struct dealer {
    struct procs *procs;
    struct map *calls; /* by callee's session and invocation */
    struct map *asked; /* by caller's session and request */
};

struct call_key {
    uint64_t session, number; /* the callee's and the invocation, or the caller's and the request */
};

struct call *call_new(struct router *router, const struct reg *reg);
void call_free(struct call *call); /* says nothing to anybody */
/* A call of the router itself has no caller: no number that anybody could ask for. */
void call_join_caller(struct call *call, struct conn *caller, uint64_t request);
void call_join_callee(struct call *call, const struct reg *reg);
void call_leave_callee(struct call *call);
/* For another sign of life, and never beyond what the caller said (WAMP: "Call Timeout"). */
void call_wait(struct call *call);
/* Every word of the details is ours: of what the caller wrote, only what two ends agree on about
 * the payload gets in here. They are the same in each part of a call. */
void call_invoke(const struct call *call, const struct rpc_call *ask, const char *source);
/* The callee may stop working on it. One who did not say that it understands is left alone. */
void call_interrupt(const struct call *call, const char *mode, const char *reason);

/* The last word on a call, which is freed before the answer goes out. */
void call_finish(struct call *call, const struct dealer_answer *answer);
void call_fail(struct call *call, enum err_code code, const char *cause);
void call_fail_over(struct call *call, enum metric_limit limit, const struct err *why);
/* What it came to, where nobody is there to be answered; error_uri: empty for a result. */
void call_count_end(const struct call *call, struct view error_uri);
