/* SPDX-License-Identifier: Apache-2.0 */
/* The procedures that a realm's sessions serve: exact URIs and patterns, by one session or by
 * several that take turns. */
#pragma once

#include "router/conn.h"
#include "router/match.h"

/* Who of several takes a call. */
enum procs_invoke {
    PROCS_SINGLE,
    PROCS_ROUNDROBIN,
    PROCS_RANDOM,
    PROCS_FIRST,
    PROCS_LAST,
    PROCS_INVOKES
};

struct proc {
    uint64_t id;
    uint64_t created_at; /* wall clock */
    enum match_kind kind;
    enum procs_invoke invoke;
    struct buf uri;
    struct list regs; /* struct reg, in the order in which they came; never empty */
    size_t n_regs;
    struct list *turn; /* of PROCS_ROUNDROBIN: who had it last, or the head */
};

/* A session that serves a procedure. */
struct reg {
    struct list of_proc, of_owner;
    struct proc *proc;
    struct conn *owner;
    bool discloses_caller, forwards_timeout;
    struct charge charge;
};

struct procs;

struct procs *procs_new(const struct realm *realm);
void procs_free(struct procs *procs);
size_t procs_n_regs(const struct procs *procs);

/* For conn's table: false ends the session (protocol violation). */
bool procs_register(struct conn *conn, const struct conn_input *in, struct err *err);
bool procs_unregister(struct conn *conn, const struct conn_input *in, struct err *err);
/* Takes a registration from its owner, and tells it if it wants to know. */
void procs_revoke(struct reg *reg, struct view reason);
void procs_leave(struct conn *conn); /* the session ends */

struct proc *procs_best(const struct procs *procs, struct view uri); /* who is called; NULL */
struct proc *procs_by_id(const struct procs *procs, uint64_t id);
struct proc *procs_find(const struct procs *procs, enum match_kind kind, struct view uri);
bool procs_next(const struct procs *procs, size_t *cursor, struct proc **ret_proc);
struct reg *procs_reg_of(const struct conn *conn, uint64_t id); /* its own; NULL */
const char *procs_invoke_name(enum procs_invoke invoke);

/* Whether that one can take the call that `user` knows. */
typedef bool procs_can(void *user, const struct reg *reg);
/* By the procedure's way to take turns, the first who can; NULL: none. */
struct reg *procs_pick(struct proc *proc, procs_can *can, void *user);
