/* SPDX-License-Identifier: Apache-2.0 */
/* The signatures under dials and accepts, which are most of what a session costs den: looked at in other threads where
 * the port has some, those of a turn of the loop a few at a time, and the loop goes on meanwhile. */
#include "den/open.h"

enum { MAX_LOOK = 8 }; /* more than one, for what waking a thread costs */

struct look {
    struct den_core *core;
    struct open *opens[MAX_LOOK];
    size_t n;
};

/* ---- in the other thread ------------------------------------------------------------------------ */

/* What it reads nobody changes while it is there: open_free() waits for its end. */
static void verify(struct open *open)
{
    struct proof *p = &open->proof;
    struct rpc_accept c;
    struct rpc_dial d;

    if (p->word == RPC_W_DIAL)
        p->is_right = rpc_statement_open(p->word, VIEW_ARR(open->a.pk), buf_view(&open->dial),
                                         VIEW_ARR(open->dial_sig), &d, &p->err);
    else
        p->is_right = rpc_statement_open(p->word, VIEW_ARR(open->b.pk), buf_view(&open->accept),
                                         VIEW_ARR(open->accept_sig), &c, &p->err);
}

static void look(void *user)
{
    const struct look *look = user;

    for (size_t i = 0; i < look->n; i++)
        verify(look->opens[i]);
}

/* ---- on the loop -------------------------------------------------------------------------------- */

static void on_looked(void *user)
{
    _free_ struct look *look = user;

    look->core->n_looking--;
    for (size_t i = 0; i < look->n; i++) {
        struct open *open = look->opens[i];
        open->proof.is_looking = false;
        if (open->proof.is_dropped)
            open_free(open);
        else
            open->proof.then(open, open->proof.is_right, &open->proof.err);
    }
}

static void start(struct den_core *core)
{
    const struct den_port *port = core->c.port;
    struct look *some = mem_new(struct look);

    some->core = core;
    while (!list_is_empty(&core->proofs) && some->n < MAX_LOOK) {
        struct open *open = LIST_ITEM(core->proofs.next, struct open, proof.node);
        list_remove(&open->proof.node);
        core->n_proofs--;
        open->proof.is_looking = true;
        some->opens[some->n++] = open;
    }
    core->n_looking++;
    if (port->work) {
        port->work(port->user, look, on_looked, some);
        return;
    }
    look(some);
    on_looked(some);
}

void proof_ask(struct open *open, enum rpc_word word, proof_then *then)
{
    struct den_core *core = open->core;

    open->proof.word = word;
    open->proof.then = then;
    open->proof.err = (struct err){ 0 };
    list_append(&core->proofs, &open->proof.node);
    core->n_proofs++;
    if (!core->c.port->work || core->n_proofs == MAX_LOOK)
        start(core);
}

bool proof_leave(struct open *open)
{
    if (!list_is_empty(&open->proof.node))
        open->core->n_proofs--;
    list_remove(&open->proof.node);
    open->proof.is_dropped = open->proof.is_looking;
    return !open->proof.is_looking;
}

uint64_t proof_deadline(const struct den_core *core)
{
    return core->n_proofs ? 0 : NEVER_MS;
}

void proof_tick(struct den_core *core)
{
    while (core->n_proofs)
        start(core);
}
