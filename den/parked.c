/* SPDX-License-Identifier: Apache-2.0 */
/* A handler that asks the signer waits for the answer, and all of den with it. So it is begun when the signer has just shown
 * that it answers: until then the invocation is kept here. While the signer hangs, those that cannot do without it are
 * refused, and den goes on. */
#include "den/core_in.h"

enum {
    KEPT_FOR = 1500, /* ms */
    MAX_KEPT = 8192,
    MAX_BYTES = 8 * 1024 * 1024,
};

struct parked {
    struct list node;
    struct buf bytes; /* what the views below borrow from */
    struct rpc_invocation invocation;
    uint64_t number, until; /* mono */
    enum parked_need need;
    const char *procedure; /* of the table */
};

static struct view put(struct buf *to, struct view bytes)
{
    size_t start = to->len;

    buf_put(to, bytes);
    return view_sub(buf_view(to), start, to->len);
}

static size_t size_of(const struct rpc_invocation *call)
{
    return call->caller_authid.len + call->caller_authrole.len + call->source.len +
           call->payload.bytes.len;
}

static void keep(struct den_core *core, enum parked_need need, const char *procedure,
                 const struct rpc_inv *inv)
{
    const struct rpc_invocation *call = inv->invocation;
    struct parked *p = mem_new(struct parked);

    buf_grow(&p->bytes, size_of(call) + 1); /* room for all: it never moves */
    buf_clear(&p->bytes);
    p->invocation = *call;
    p->invocation.caller_authid = put(&p->bytes, call->caller_authid);
    p->invocation.caller_authrole = put(&p->bytes, call->caller_authrole);
    p->invocation.source = put(&p->bytes, call->source);
    p->invocation.payload.bytes = put(&p->bytes, call->payload.bytes);
    p->invocation.procedure = view_text(procedure);
    p->invocation.ppt = (struct rpc_ppt){ 0 };
    p->number = inv->number;
    p->until = core_mono(core) + KEPT_FOR;
    p->need = need;
    p->procedure = procedure;
    list_append(&core->parked, &p->node);
    core->n_parked++;
    core->parked_bytes += p->bytes.len;
}

static void take_out(struct den_core *core, struct parked *p)
{
    list_remove(&p->node);
    core->n_parked--;
    core->parked_bytes -= p->bytes.len;
}

static void parked_free(struct parked *p)
{
    buf_wipe(&p->bytes);
    free(p);
}

static void drop(struct den_core *core, struct parked *p)
{
    take_out(core, p);
    parked_free(p);
}

static bool has_room(const struct den_core *core, const struct rpc_inv *inv)
{
    return core->n_parked < MAX_KEPT && core->parked_bytes + size_of(inv->invocation) <= MAX_BYTES;
}

enum parked_turn parked_take(struct den_core *core, enum parked_need need, const char *procedure,
                             const struct rpc_inv *inv, struct err *err)
{
    if (need == PARKED_NOTHING)
        return PARKED_GO;
    if (need == PARKED_AT_ONCE)
        return signer_is_away(core->c.signer, err) ? PARKED_REFUSED : PARKED_GO;
    switch (signer_mood(core->c.signer, err)) {
    case SIGNER_ANSWERS:
        return PARKED_GO;
    case SIGNER_AWAY:
        return need == PARKED_WANTS ? PARKED_GO : PARKED_REFUSED;
    case SIGNER_ASKED:
        break;
    }
    if (!has_room(core, inv)) {
        err_set(err, ERR_BUSY, "too many wait for den's signer: try again soon");
        return PARKED_REFUSED;
    }
    keep(core, need, procedure, inv);
    return PARKED_WAITS;
}

/* ---- and on ------------------------------------------------------------------------------------ */

static void end(struct den_core *core, struct parked *p, const struct err *why)
{
    const struct rpc_inv inv = { .number = p->number, .invocation = &p->invocation };

    if (why && p->need == PARKED_NEEDS)
        core_refuse_inv(core, p->procedure, &inv, why);
    else
        core_go(core, p->procedure, &inv);
    parked_free(p);
}

/* False: it waits on, and those behind it. */
static bool try_one(struct den_core *core, struct parked *p)
{
    enum signer_mood mood;
    struct err why = { 0 };

    mood = signer_mood(core->c.signer, &why);
    if (mood == SIGNER_ASKED && core_mono(core) < p->until)
        return false;
    if (mood == SIGNER_ASKED)
        err_set(&why, ERR_BUSY, "den's signer did not answer in time: try again soon");
    take_out(core, p); /* what is done for it may come by here */
    end(core, p, mood == SIGNER_ANSWERS ? NULL : &why);
    return true;
}

void parked_tick(struct den_core *core)
{
    while (!list_is_empty(&core->parked))
        if (!try_one(core, LIST_ITEM(core->parked.next, struct parked, node)))
            return;
}

void parked_interrupt(struct den_core *core, uint64_t inv)
{
    struct parked *p;

    LIST_EACH(p, &core->parked, node)
        if (p->number == inv)
            drop(core, p);
}

void parked_drop_all(struct den_core *core)
{
    struct parked *p;

    LIST_EACH(p, &core->parked, node)
        drop(core, p);
}
