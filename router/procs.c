/* SPDX-License-Identifier: Apache-2.0 */
#include "router/procs.h"
#include "router/dealer.h"
#include "router/meta.h"
#include "router/router.h"

#include <inttypes.h>

struct procs {
    struct match *index; /* struct proc */
    struct map *by_id;
    uint64_t last_id;
    size_t n_regs;
};

static const char *const invokes[] = { "single", "roundrobin", "random", "first", "last" };

const char *procs_invoke_name(enum procs_invoke invoke)
{
    return invokes[invoke];
}

static bool read_invoke(struct view text, enum procs_invoke *ret_invoke)
{
    *ret_invoke = PROCS_SINGLE;
    if (text.len == 0)
        return true;
    for (enum procs_invoke invoke = 0; invoke < PROCS_INVOKES; invoke++) {
        *ret_invoke = invoke;
        if (view_eq_text(text, invokes[invoke]))
            return true;
    }
    return false;
}

struct procs *procs_new(const struct realm *realm)
{
    struct procs *procs = mem_new(struct procs);

    procs->index = match_new(realm_is_standard(realm));
    procs->by_id = map_new();
    return procs;
}

void procs_free(struct procs *procs)
{
    if (!procs)
        return;
    match_free(procs->index);
    map_free(procs->by_id);
    free(procs);
}

static struct procs *procs_of(const struct conn *conn)
{
    return dealer_procs(conn->realm->dealer);
}

/* ---- finding --------------------------------------------------------------------------------- */

size_t procs_n_regs(const struct procs *procs)
{
    return procs->n_regs;
}

struct proc *procs_best(const struct procs *procs, struct view uri)
{
    return match_best(procs->index, uri);
}

struct proc *procs_by_id(const struct procs *procs, uint64_t id)
{
    return map_get(procs->by_id, map_u64(&id));
}

struct proc *procs_find(const struct procs *procs, enum match_kind kind, struct view uri)
{
    return match_get(procs->index, kind, match_normal(procs->index, kind, uri));
}

bool procs_next(const struct procs *procs, size_t *cursor, struct proc **ret_proc)
{
    void *proc;

    if (!map_next(procs->by_id, cursor, NULL, &proc))
        return false;
    *ret_proc = proc;
    return true;
}

struct reg *procs_reg_of(const struct conn *conn, uint64_t id)
{
    struct reg *reg;

    LIST_EACH(reg, &conn->registrations, of_owner) {
        if (reg->proc->id == id)
            return reg;
    }
    return NULL;
}

/* ---- registering ----------------------------------------------------------------------------- */

struct wish {
    struct view uri; /* as it is kept */
    enum match_kind kind;
    enum procs_invoke invoke;
    struct proc *proc; /* who serves it already; NULL: nobody */
    struct charge charge;
};

static bool check_shared(const struct conn *conn, const struct wish *wish, struct err *err)
{
    const struct reg *reg;

    if (!wish->proc)
        return true;
    if (wish->proc->invoke == PROCS_SINGLE || wish->invoke != wish->proc->invoke)
        return err_set(err, ERR_ALREADY_EXISTS, "%.*s is registered already, with invoke=%s",
                       VIEW_FMT(wish->uri), invokes[wish->proc->invoke]);
    LIST_EACH(reg, &conn->registrations, of_owner) {
        if (reg->proc == wish->proc)
            return err_set(err, ERR_ALREADY_EXISTS, "%.*s: this session serves it already",
                           VIEW_FMT(wish->uri));
    }
    return true;
}

static bool check_register(struct conn *conn, const struct rpc_register *ask, struct wish *wish,
                           struct err *err)
{
    if (!match_read(ask->match, &wish->kind))
        return err_set(err, ERR_INVALID_ARGUMENT, "match: neither exact, prefix nor wildcard");
    if (!read_invoke(ask->invoke, &wish->invoke))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "invoke: neither single, roundrobin, random, first nor last");
    wish->uri = match_normal(procs_of(conn)->index, wish->kind, ask->uri);
    if (!conn_may_match(conn, POLICY_REGISTER, wish->kind, wish->uri, err))
        return false;
    if (!match_has_room(procs_of(conn)->index, wish->kind, wish->uri))
        return match_refuse(err);
    wish->proc = match_get(procs_of(conn)->index, wish->kind, wish->uri);
    if (!check_shared(conn, wish, err))
        return false;
    if (quota_take(&conn->quota, QUOTA_REGISTRATIONS, &wish->charge))
        return true;
    conn_over(conn, LIMIT_REGISTRATIONS);
    return err_set(err, ERR_LIMIT, "%" PRIu64 " registrations",
                   conn->quota.limit[QUOTA_REGISTRATIONS]);
}

static struct proc *proc_new(struct conn *conn, const struct wish *wish)
{
    struct procs *procs = procs_of(conn);
    struct proc *proc = mem_new(struct proc);

    proc->id = ++procs->last_id;
    proc->created_at = conn->router->now.wall;
    proc->kind = wish->kind;
    proc->invoke = wish->invoke;
    proc->uri = buf_dup(wish->uri);
    list_init(&proc->regs);
    proc->turn = &proc->regs;
    match_set(procs->index, proc->kind, wish->uri, proc);
    map_set(procs->by_id, map_u64(&proc->id), proc);
    return proc;
}

static void join(struct conn *conn, const struct rpc_register *ask, struct proc *proc,
                 struct charge charge)
{
    struct reg *reg = mem_new(struct reg);

    reg->proc = proc;
    reg->owner = conn;
    reg->discloses_caller = ask->disclose_caller;
    reg->forwards_timeout = ask->forward_timeout;
    reg->charge = charge;
    list_append(&proc->regs, &reg->of_proc);
    list_append(&conn->registrations, &reg->of_owner);
    proc->n_regs++;
    procs_of(conn)->n_regs++;
}

bool procs_register(struct conn *conn, const struct conn_input *in, _unused_ struct err *err)
{
    const struct rpc_register *ask = &in->msg->reg;
    struct wish wish = { 0 };
    struct err why = { 0 };
    struct proc *proc;

    if (!check_register(conn, ask, &wish, &why)) {
        conn_refuse(conn, RPC_REGISTER, ask->request, &why);
        return true;
    }
    proc = wish.proc ? wish.proc : proc_new(conn, &wish);
    join(conn, ask, proc, wish.charge);
    if (conn_may_log(conn))
        log_event(LOG_INFO, "registered", "id=%s match=%s uri=%s", conn->id, match_name(proc->kind),
                  log_quote(wish.uri));
    conn_send(conn, &(struct rpc_msg){ .type = RPC_REGISTERED, .ids = { ask->request, proc->id } });
    if (!wish.proc)
        meta_on_procedure(conn, proc, META_CREATED);
    meta_on_procedure(conn, proc, META_JOINED);
    return true;
}

/* ---- leaving --------------------------------------------------------------------------------- */

static void proc_free(struct procs *procs, struct proc *proc)
{
    match_remove(procs->index, proc->kind, buf_view(&proc->uri));
    map_remove(procs->by_id, map_u64(&proc->id));
    buf_free(&proc->uri);
    free(proc);
}

static void reg_free(struct reg *reg)
{
    struct proc *proc = reg->proc;
    struct conn *owner = reg->owner;

    if (proc->turn == &reg->of_proc)
        proc->turn = reg->of_proc.prev;
    list_remove(&reg->of_proc);
    list_remove(&reg->of_owner);
    charge_release(&reg->charge);
    free(reg);
    proc->n_regs--;
    procs_of(owner)->n_regs--;
    meta_on_procedure(owner, proc, META_LEFT);
    if (!list_is_empty(&proc->regs))
        return;
    meta_on_procedure(owner, proc, META_DELETED);
    proc_free(procs_of(owner), proc);
}

bool procs_unregister(struct conn *conn, const struct conn_input *in, _unused_ struct err *err)
{
    const struct rpc_ids *ask = &in->msg->ids;
    struct reg *reg = procs_reg_of(conn, ask->second);
    struct err why;

    if (!reg) {
        err_set(&why, ERR_NO_SUCH_REGISTRATION, "%" PRIu64 " is no registration of this session",
                ask->second);
        conn_refuse(conn, RPC_UNREGISTER, ask->request, &why);
        return true;
    }
    if (conn_may_log(conn))
        log_event(LOG_INFO, "unregistered", "id=%s uri=%s", conn->id,
                  log_quote(buf_view(&reg->proc->uri)));
    conn_send(conn, &(struct rpc_msg){ .type = RPC_UNREGISTERED, .ids = { ask->request, 0 } });
    reg_free(reg);
    return true;
}

void procs_revoke(struct reg *reg, struct view reason)
{
    log_event(LOG_INFO, "revoked", "id=%s uri=%s reason=%s", reg->owner->id,
              log_quote(buf_view(&reg->proc->uri)), log_quote(reason));
    if (reg->owner->features & CONN_HEARS_UNREGISTERED)
        conn_send(reg->owner, &(struct rpc_msg){ .type = RPC_UNREGISTERED,
                                                 .ids = { 0, reg->proc->id, reason } });
    reg_free(reg);
}

void procs_leave(struct conn *conn)
{
    struct reg *reg;

    LIST_EACH(reg, &conn->registrations, of_owner)
        reg_free(reg);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static struct list *step(struct proc *proc, struct list *at)
{
    bool is_backwards = proc->invoke == PROCS_LAST;

    at = is_backwards ? at->prev : at->next;
    if (at == &proc->regs) /* over the head */
        at = is_backwards ? at->prev : at->next;
    return at;
}

static struct list *start_of(struct proc *proc)
{
    struct list *at = &proc->regs;

    if (proc->invoke == PROCS_ROUNDROBIN)
        at = proc->turn;
    if (proc->invoke == PROCS_RANDOM) {
        for (uint32_t n = random_below((uint32_t)proc->n_regs); n; n--)
            at = at->next;
    }
    return step(proc, at);
}

struct reg *procs_pick(struct proc *proc, procs_can *can, void *user)
{
    struct list *at = start_of(proc);

    for (size_t n = proc->n_regs; n; n--, at = step(proc, at)) {
        struct reg *reg = LIST_ITEM(at, struct reg, of_proc);
        if (!can(user, reg))
            continue;
        proc->turn = at;
        return reg;
    }
    return NULL;
}
