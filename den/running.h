/* SPDX-License-Identifier: Apache-2.0 */
/* The running den, shared by the files of its edge: den.c (the loop, the router, start and end), den_http.c (what is served over
 * plain HTTP) and reload.c (configuration and policy, taken anew). */
#pragma once

#include "den/admin.h"
#include "den/core.h"
#include "den/den.h"
#include "den/home.h"
#include "den/journal.h"
#include "den/local.h"
#include "den/retention.h"
#include "den/turn.h"
#include "vault/vault.h"

enum { DEN_MAX_PROCEDURES = 128 };

struct den {
    const char *path; /* of den.conf */
    struct den_config *config;
    bool accepts_rollback;
    struct home *home;
    struct rpc_loop *loop;
    struct rpc_timer *timer;
    struct rpc_ws *ws;
    struct rpc_http *http;   /* NULL: not configured */
    struct journal *journal; /* NULL: the audit is not copied */
    struct retention *retention;
    struct rpc_timer *watchdog;
    uint64_t watchdog_for;           /* ms: how often systemd wants to hear of us; 0: never */
    struct rpc_http *figures;        /* NULL: not configured */
    struct rpc_timer *look;          /* for revocations of other processes */
    struct rpc_readable *answers;    /* of the signer; NULL: it is not there */
    int answers_fd;                  /* the link's own may be closed at any time */
    uint64_t answers_of;             /* the generation of the signer */
    struct rpc_uplink *uplink;       /* NULL: not yet, or no longer */
    struct turn *turn, *turn_before; /* the core's; that which it is about to let go of */
    struct rpc_turn *loop_turn;
    struct den_core *core;
    struct den_port port;
    struct admin_place place;
    uint64_t n_connected, connected_at; /* as the router said; when it is asked again */
    struct local *local;                /* NULL: its socket could not be made */
    struct served {
        struct den *den;
        const char *procedure;
    } served[DEN_MAX_PROCEDURES];
    bool is_leaving;
    bool is_up, has_said_online; /* at the router; since it was up */
    struct err over;             /* code ERR_NONE: it may go on */
};

void den_arm(
    struct den *den); /* after the core was called: its timer, and what it wants of others */

/* ---- den_http.c: what is configured; true with nothing, BAD_CONFIG, SYSTEM ---- */
bool den_open_http(struct den *den, struct err *err);
bool den_open_figures(struct den *den, struct err *err);

/* ---- reload.c ---- */
bool den_start_policy(struct den *den, struct err *err);
bool den_note_config(struct den *den,
                     struct err *err); /* for the audit: what is other than it was */
void den_on_reload(void *den, int signal_number);
void den_put_settings(const struct den_config *c, struct den_core_config *core);
