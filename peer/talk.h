/* SPDX-License-Identifier: Apache-2.0 */
/* Calls, registrations, invocations, subscriptions and publications: what the application's pointers point to. As links are, a
 * handle is held by the application, by the library's thread, by each event and each errand that names it. talk.c is the
 * application's side, talk_core.c the thread's. */
#pragma once

#include "peer/hub.h"
#include "rpc/rpc.h"

enum talk_kind {
    TALK_CALL,
    TALK_REGISTRATION,
    TALK_INVOCATION,
    TALK_SUBSCRIPTION,
    TALK_PUBLICATION,
    TALK_KINDS
};

enum { TALK_MAX_ELIGIBLE = 256, TALK_MAX_INVOCATIONS = 1024 /* unanswered */ };

struct talk {
    enum talk_kind kind;
    struct peer *peer;
    unsigned refs; /* atomic */

    /* constant once it is shared */
    void *user;
    char *uri, *match, *invoke;
    bool wants_progress, is_signed, get_retained, acknowledge, retain, include_me;
    uint64_t timeout_ms;
    char **eligible; /* NULL: everybody */

    struct list node; /* the application's, as its reference: in peer->talks */

    /* the library thread's */
    struct list core_node; /* as its reference: in core->talks; empty: it is over */
    uint64_t number;       /* the call's or invocation's */
    struct rpc_client_reg *reg;
    bool was_sent;
    uint64_t n_lost;

    /* under the hub's lock */
    bool is_standing_queued;
    struct err standing;
};

/* What the public types are. */
struct peer_call {
    struct talk talk;
};
struct peer_registration {
    struct talk talk;
};
struct peer_invocation {
    struct talk talk;
};
struct peer_subscription {
    struct talk talk;
};

struct talk *talk_new(enum talk_kind kind, struct peer *peer); /* one reference */
struct talk *talk_ref(struct talk *talk);
void talk_unref(struct talk *talk); /* NULL is fine */

/* ---- talk.c: what peer.c asks ---- */

void talk_show(struct hub_event *event); /* fills in the event from its talk */
/* The application holds it no more. */
void talk_drop(struct talk *talk);
/* An invocation whose registration is gone, and that nobody saw. */
void talk_turn_away(struct talk *invocation);

/* ---- talk_core.c: on the library's thread ---- */

struct core;
struct errand;
void talk_on_interrupt(void *core, uint64_t inv);
void talk_on_down(struct core *core, const struct err *why); /* the session is over */
void talk_end_all(struct core *core);                        /* and there is no other */
void errand_talk_call(struct errand *errand);
void errand_talk_cancel(struct errand *errand);
void errand_talk_begin(struct errand *errand); /* registers, subscribes */
void errand_talk_end(struct errand *errand);
void errand_talk_answer(struct errand *errand);
void errand_talk_part(struct errand *errand);
void errand_talk_refuse(struct errand *errand);
void errand_talk_publish(struct errand *errand);
