/* SPDX-License-Identifier: Apache-2.0 */
/* A WAMP session that calls and serves: bytes in, messages out, no I/O. Its owner feeds whole
 * WebSocket messages in, takes whole messages out, and calls tick at the deadline. Callbacks
 * come from inside input and tick; from them everything may be called but free. Registrations
 * and subscriptions outlive a session: they are made anew in the next. */
#pragma once

#include "rpc/error.h"
#include "rpc/netsign.h"

struct rpc_client;

struct rpc_outcome { /* of a call */
    enum { RPC_PROGRESS, RPC_RESULTED, RPC_FAILED } what;
    struct rpc_payload payload; /* valid during the callback; RPC_FAILED: the ERROR's */
    struct err err;             /* RPC_FAILED */
    uint64_t publication;       /* a publication's number; else 0 */
    struct view
        uri; /* RPC_FAILED: as the ERROR has it; empty when none came: no connection, time is up */
};
/* Nobody answered, as there was no connection, or it ended: it is not known whether it was done. Not where the time was up. */
bool rpc_outcome_is_cut(const struct rpc_outcome *outcome);
typedef void rpc_on_outcome(void *user, const struct rpc_outcome *outcome);

struct rpc_inv { /* somebody calls us; answer now or later by number */
    uint64_t number;
    const struct rpc_invocation *invocation; /* valid during the callback */
};
typedef void rpc_on_inv(void *user, const struct rpc_inv *inv);
typedef void rpc_on_event(void *user, const struct rpc_event *event);

struct rpc_client_config {
    const char *agent;       /* "warren/0.1.0" */
    const struct key *key;   /* identity or den-login */
    struct rpc_trust *trust; /* moved forward by what CHALLENGE brings */
    bool is_den;
    uint8_t instance[16]; /* random, one a process */
    /* What goes into AUTHENTICATE.extra: the admission, or an enrolment made now (its beacon
     * comes from the heartbeat just received). Both empty for den. */
    bool (*credentials)(void *user, struct buf *ret_extra /* a msgpack map */, struct err *err);
    /* WELCOME.authextra's admission, after rpc checked netid, own key, den's signature, and
     * authid = A.id; the owner checks the enrolment's hash and stores it. False aborts. */
    bool (*admitted)(void *user, struct view admission, struct view sig,
                     const struct rpc_admission *a, struct err *err);
    void (*on_up)(void *user);                          /* ESTABLISHED: may call now */
    void (*on_down)(void *user, const struct err *why); /* the session ended or never began */
    void (*on_trust)(void *user); /* manifests or heartbeat moved: store them */
    /* May be NULL: the router showed a heartbeat of den's that cannot be together with the one that
     * is held (RPC_HEART_FORKED); the connection ends. */
    void (*on_fork)(void *user, struct view bytes, struct view sig, const struct err *why);
    /* May be NULL: the router refused a registration or subscription; it is tried again after a
     * pause. */
    void (*on_refused)(void *user, const char *uri, const struct err *why);
    /* May be NULL: the caller of an invocation does not wait for it any more. Its answer is sent, or
     * none is wanted: whoever works on it may stop. */
    void (*on_interrupt)(void *user, uint64_t inv);
    uint64_t (*wall)(void); /* ms since 1970; NULL: clock_wall_ms() */
    void *user;
};
struct rpc_client *rpc_client_new(const struct rpc_client_config *config);
void rpc_client_free(struct rpc_client *client);
OWN_FREEP(rpc_client, struct rpc_client)

/* A fresh connection is open; writes HELLO. `exporter`: 32 bytes of tls-exporter. */
void rpc_client_opened(struct rpc_client *client, uint64_t now, const uint8_t exporter[32]);
/* The same over any binding. */
void rpc_client_opened_bound(struct rpc_client *client, uint64_t now,
                             const struct rpc_binding *binding);
void rpc_client_input(struct rpc_client *client, uint64_t now, struct view frame);
/* The next whole message to send; false: none. */
bool rpc_client_output(struct rpc_client *client, struct buf *ret_frame);
/* The same without a copy: valid until the next call on the client. */
bool rpc_client_output_view(struct rpc_client *client, struct view *ret_frame);
size_t rpc_client_queued(const struct rpc_client *client); /* bytes that wait in there */
/* The connection is gone: pending calls fail with `why`, on_down comes. */
void rpc_client_closed(struct rpc_client *client, uint64_t now, const struct err *why);
uint64_t rpc_client_deadline(const struct rpc_client *client);
void rpc_client_tick(struct rpc_client *client, uint64_t now);
/* Flush what output gives, then close. */
bool rpc_client_wants_close(const struct rpc_client *client);
/* Why the last session ended, or never began. */
const struct err *rpc_client_why(const struct rpc_client *client);
/* What the router asked for when it ended or refused the last session: ms to stay away; 0: nothing.
 * It draws a number for each client, so that not all come back at once. Told once. */
uint64_t rpc_client_take_retry_after(struct rpc_client *client);
bool rpc_client_is_up(const struct rpc_client *client);
const char *rpc_client_id(const struct rpc_client *client); /* WELCOME.authid; "" before */
const char *rpc_client_role(const struct rpc_client *client);
uint64_t rpc_client_session(const struct rpc_client *client); /* the address */
void rpc_client_goodbye(struct rpc_client *client, uint64_t now);

/* `args`: a msgpack array (empty view: none). `timeout` in ms, at least 1: then RPC_FAILED
 * TIMEOUT. Not up: fails at once through the callback of the next tick. Returns the call's
 * number. */
uint64_t rpc_client_call(struct rpc_client *client, uint64_t now, const char *procedure,
                         struct view args, uint64_t timeout, bool wants_progress,
                         rpc_on_outcome *on_outcome, void *user);
/* The same with keywords. */
struct rpc_client_ask {
    const char *procedure;
    struct rpc_payload payload;
    uint64_t timeout; /* ms, at least 1 */
    bool wants_progress;
    rpc_on_outcome *on_outcome;
    void *user;
};
uint64_t rpc_client_ask(struct rpc_client *client, uint64_t now, const struct rpc_client_ask *ask);
/* Its callback never comes (again). */
void rpc_client_forget(struct rpc_client *client, uint64_t call);
/* Asks for the end of a call, which comes as RPC_FAILED (CANCELED) unless the answer is faster.
 * `mode`: "skip" (the callee goes on), "kill" (its answer is waited for), "killnowait". */
void rpc_client_cancel(struct rpc_client *client, uint64_t call, const char *mode);

void rpc_client_register(struct rpc_client *client, uint64_t now, const char *procedure,
                         rpc_on_inv *on_inv, void *user);
void rpc_client_unregister(struct rpc_client *client, uint64_t now, const char *procedure);
void rpc_client_subscribe(struct rpc_client *client, uint64_t now, const char *topic,
                          bool get_retained, rpc_on_event *on_event, void *user);

/* The same with all options, and a handle to give it back. `match`, `invoke`: NULL is "exact",
 * "single". `on_state` (may be NULL) hears when it stands (NULL), in every session, and why it does
 * not; it is then asked for again after a pause. */
struct rpc_client_reg;
typedef void rpc_on_reg_state(void *user, const struct err *why);
struct rpc_reg_options {
    const char *uri, *match, *invoke; /* invoke: a registration's */
    bool get_retained;                /* a subscription's */
    rpc_on_inv *on_inv;               /* one of both */
    rpc_on_event *on_event;
    rpc_on_reg_state *on_state;
    void *user;
};
struct rpc_client_reg *rpc_client_take_up(struct rpc_client *client,
                                          const struct rpc_reg_options *options);
/* Frees it: its callbacks never come again. Not from inside them. */
void rpc_client_give_up(struct rpc_client *client, struct rpc_client_reg *reg);

/* Answers an invocation by its number; harmless when the session it came in is gone. */
void rpc_client_yield(struct rpc_client *client, uint64_t inv, bool is_progress, struct view args);
void rpc_client_refuse(struct rpc_client *client, uint64_t inv, const char *name_space,
                       const struct err *why);
/* The same with keywords, and with an application's own error. */
void rpc_client_answer(struct rpc_client *client, uint64_t inv, bool is_progress,
                       struct rpc_payload payload);
void rpc_client_raise(struct rpc_client *client, uint64_t inv, const char *uri,
                      struct rpc_payload payload);

struct rpc_publish_options {
    bool retain;
    const char *const *eligible_authid; /* n_eligible of them; 0: everybody */
    size_t n_eligible;
    bool include_me;              /* ourselves too, if we subscribe */
    rpc_on_outcome *on_published; /* NULL: unacknowledged. RPC_RESULTED, or RPC_FAILED with why */
    void *user;                   /* of on_published */
};
void rpc_client_publish(struct rpc_client *client, uint64_t now, const char *topic,
                        const struct rpc_publish_options *options, struct view args);
/* The same with keywords. Not up: fails at the next tick, if it is to be acknowledged. */
void rpc_client_tell(struct rpc_client *client, uint64_t now, const char *topic,
                     const struct rpc_publish_options *options, struct rpc_payload payload);
