/* SPDX-License-Identifier: Apache-2.0 */
/* IDs that end when nobody comes back: ephemeral devices some time after they disconnected, provisional
 * IDs that were never used again. The router is asked whether such a machine is there; every answer
 * that it is moves its time. */
#include "den/core_in.h"

#include "base/log.h"
#include "den/open.h"
#include "den/people.h"
#include "den/record.h"

#include <stdio.h>

enum {
    LOOK_EVERY = 10000, /* ms */
    MAX_ASKINGS = 16,   /* questions to the router under way */
    SIGHTINGS = 4,      /* in the time after which a device is gone */
};

struct asking {
    struct list node; /* in core->askings */
    struct den_core *core;
    uint64_t call;
    struct store_identity who;
};

static void asking_free(struct asking *a)
{
    list_remove(&a->node);
    a->core->n_askings--;
    if (a->call)
        a->core->c.port->forget(a->core->c.port->user, a->call);
    free(a);
}

static uint64_t life_of(const struct den_core *core, const struct store_identity *who)
{
    return who->kind == STORE_EPHEMERAL ? who->vanish_after : core->c.provisional_life;
}

/* While the router was away nobody could be seen. */
static uint64_t seen_at(const struct den_core *core, const struct store_identity *who)
{
    return who->seen_at > core->up_at ? who->seen_at : core->up_at;
}

/* Inside a transaction, which it ends: so does note_seen(). */
static bool end(struct den_core *core, struct store_identity *who, struct err *err)
{
    struct store *open = core->c.store;
    bool is_ephemeral = who->kind == STORE_EPHEMERAL;
    const struct audit_pair pairs[] = { AUDIT_TEXT("id", who->id) };

    who->ended = STORE_VANISHED;
    if (!(is_ephemeral ? store_identity_set(open, who, err)
                       : store_identity_drop(open, who->id, err)) ||
        (is_ephemeral &&
         !people_end_admissions(open, who->id, who->adm_no + 1, core_wall(core), err)) ||
        !audit_append(open, core_wall(core),
                      is_ephemeral ? "identity.vanished" : "identity.given_up", pairs,
                      N_ELEMENTS(pairs), err) ||
        !store_commit(open, err))
        return false;
    log_event(LOG_INFO, is_ephemeral ? "vanished" : "given_up", "id=%s", who->id);
    return true;
}

static bool note_seen(struct den_core *core, struct store_identity *who, struct err *err)
{
    struct store *open = core->c.store;

    who->seen_at = core_wall(core);
    return store_identity_set(open, who, err) && store_commit(open, err);
}

/* As it is now: it may have come back, or changed, while the router was asked; and another process may change it until
 * the transaction has begun. */
static bool settle(struct den_core *core, const char *id, bool is_online, struct err *err)
{
    _transaction_ struct store *open = core->c.store;
    struct store_identity who;
    enum store_found found = STORE_NONE;
    uint64_t now = core_wall(core);

    if (!store_begin(open, err) || !store_identity_by_id(open, view_text(id), &found, &who, err))
        return false;
    if (found == STORE_NONE || who.kind == STORE_COMMITTED || who.ended != STORE_LIVES ||
        who.is_revoked)
        return true;
    if (is_online)
        return note_seen(core, &who, err);
    /* it may have left right after it was seen, or right before the next look */
    return now < seen_at(core, &who) + life_of(core, &who) + life_of(core, &who) / SIGHTINGS ||
           end(core, &who, err);
}

static void on_looked(void *user, const struct rpc_outcome *outcome)
{
    struct asking *a = user;
    struct err err = { 0 };

    if (outcome->what == RPC_PROGRESS)
        return;
    a->call = 0;
    if (outcome->what == RPC_RESULTED && !settle(a->core, a->who.id, open_is_online(outcome), &err))
        log_event(LOG_ERROR, "passing.failed", "id=%s cause=%s", a->who.id,
                  log_quote_text(err.text));
    asking_free(a);
}

static void ask(struct asking *a)
{
    const struct den_port *port = a->core->c.port;
    _buf_ args = { 0 };

    rpc_put_array(&args, 1);
    rpc_put_text(&args, view_text(a->who.id));
    a->call = port->call(port->user, "network.peer.get", buf_view(&args), CORE_CALL_TIMEOUT, false,
                         on_looked, a);
}

static bool is_asked(const struct den_core *core, const char *id)
{
    struct asking *a;

    LIST_EACH(a, &core->askings, node) {
        if (strcmp(a->who.id, id) == 0)
            return true;
    }
    return false;
}

static bool look(void *user, const struct store_identity *who)
{
    struct den_core *core = user;

    if (core->n_askings >= MAX_ASKINGS)
        return false;
    if (core_wall(core) < seen_at(core, who) + life_of(core, who) / SIGHTINGS ||
        is_asked(core, who->id))
        return true;
    struct asking *a = mem_new(struct asking);
    a->core = core;
    a->who = *who;
    list_append(&core->askings, &a->node);
    core->n_askings++;
    return true;
}

void passing_tick(struct den_core *core)
{
    struct asking *a;
    struct err err;

    if (!core->is_up || core_mono(core) < core->passing_at)
        return;
    core->passing_at = core_mono(core) + LOOK_EVERY;
    if (!store_identity_each(core->c.store, true, look, core, &err))
        log_event(LOG_ERROR, "passing.failed", "cause=%s", log_quote_text(err.text));
    LIST_EACH(a, &core->askings, node)
        if (!a->call)
            ask(a);
}

void passing_up(struct den_core *core)
{
    core->up_at = core_wall(core);
    core->passing_at = core_mono(core) + LOOK_EVERY;
}

void passing_drop_all(struct den_core *core)
{
    struct asking *a;

    LIST_EACH(a, &core->askings, node)
        asking_free(a);
}
