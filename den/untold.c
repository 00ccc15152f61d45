/* SPDX-License-Identifier: Apache-2.0 */
/* Ends of sessions that their ends are to hear of with den's signature. Those of one turn of the loop are signed by one question to the signer.
 * While it or the router is away they wait; an end of a session that is away itself hears of it when it comes (mine.c). */
#include "den/open.h"

#include "base/log.h"
#include "den/signer.h"

enum {
    MAX_UNTOLD = 4096,
    MAX_TOGETHER = 64, /* signed by one question; the signer takes VAULT_MAX_BATCH */
    MAX_ASKINGS = 4,   /* questions under way: what else is asked of the signer comes behind them */
};

struct untold {
    struct list node; /* of core->untold, unless it is at the signer */
    uint8_t sid[RPC_SID];
    char a_id[STORE_ID], b_id[STORE_ID], *reason;
    bool is_told; /* without a signature, for now */
};

struct untold_asking {
    struct list node; /* of core->untold_askings */
    struct den_core *core;
    size_t n;
    struct untold *untold[MAX_TOGETHER];
    struct signer_statement items[MAX_TOGETHER];
};

static void untold_free(struct untold *untold)
{
    free(untold->reason);
    free(untold);
}

static struct untold *take_first(struct den_core *core)
{
    struct untold *untold = LIST_ITEM(core->untold.next, struct untold, node);

    list_remove(&untold->node);
    core->n_untold--;
    return untold;
}

static void wait(struct den_core *core, struct untold *untold)
{
    if (core->n_untold >= MAX_UNTOLD) {
        log_event(LOG_WARN, "session.end_untold", "cause=too_many");
        untold_free(take_first(core));
    }
    list_append(&core->untold, &untold->node);
    core->n_untold++;
}

static void asking_free(struct untold_asking *asking)
{
    list_remove(&asking->node);
    asking->core->n_untold_askings--;
    for (size_t i = 0; i < asking->n; i++)
        buf_free(&asking->items[i].bytes);
    free(asking);
}

/* The signer was made to forget what it is asked. */
void untold_free_all(struct den_core *core)
{
    struct untold_asking *asking;

    while (core->n_untold)
        untold_free(take_first(core));
    LIST_EACH(asking, &core->untold_askings, node) {
        for (size_t i = 0; i < asking->n; i++)
            untold_free(asking->untold[i]);
        asking_free(asking);
    }
}

void untold_keep(struct den_core *core, struct view sid, const char *a_id, const char *b_id,
                 struct view reason)
{
    struct untold *untold = mem_new(struct untold);

    memcpy(untold->sid, sid.data, sizeof(untold->sid));
    memcpy(untold->a_id, a_id, strlen(a_id) + 1);
    memcpy(untold->b_id, b_id, strlen(b_id) + 1);
    untold->reason = view_dup_text(reason);
    wait(core, untold);
    core->is_untold_due = true;
}

/* ---- telling ---------------------------------------------------------------------------------------- */

static void tell(struct den_core *core, struct untold *untold, const struct signer_statement *end)
{
    open_tell(core, VIEW_ARR(untold->sid), untold->a_id, untold->b_id, view_text(untold->reason),
              end);
    untold->is_told = true;
}

/* What is not up yet ends by that already. */
static void tell_unsigned(struct den_core *core)
{
    struct untold *untold;

    LIST_EACH(untold, &core->untold, node)
        if (!untold->is_told)
            tell(core, untold, NULL);
}

/* ---- signing ---------------------------------------------------------------------------------------- */

/* What a statement has room for: printable ASCII. */
static struct view sayable(struct view reason, char to[CORE_MAX_REASON])
{
    size_t len = reason.len < CORE_MAX_REASON ? reason.len : CORE_MAX_REASON;

    for (size_t i = 0; i < len; i++)
        to[i] = reason.data[i] >= 0x20 && reason.data[i] < 0x7f ? (char)reason.data[i] : '?';
    return len ? VIEW(to, len) : VIEW_LIT("an administrator closed it");
}

static void write_end(const struct den_core *core, const struct untold *untold, struct buf *to)
{
    char text[CORE_MAX_REASON];
    const struct rpc_end e = {
        .netid = rpc_trust_netid(core->c.trust),
        .sid = VIEW_ARR(untold->sid),
        .a_id = view_text(untold->a_id),
        .b_id = view_text(untold->b_id),
        .at = core_wall(core),
        .reason = sayable(view_text(untold->reason), text),
    };

    rpc_statement_write(RPC_W_END, &e, to);
}

/* Told, or kept for the next time that the signer or the router is there. */
static void take_one(struct den_core *core, struct untold *untold,
                     const struct signer_statement *item)
{
    if (item->err.code == ERR_NONE && core->is_up) {
        tell(core, untold, item);
        untold_free(untold);
        return;
    }
    if (item->err.code != ERR_NONE && !untold->is_told)
        log_event(LOG_ERROR, "session.end_not_signed", "cause=%s", log_quote_text(item->err.text));
    wait(core, untold);
}

static void on_signed(void *user, _unused_ struct signer_statement *items, _unused_ size_t n)
{
    struct untold_asking *asking = user;
    struct den_core *core = asking->core;
    bool is_any = false;

    for (size_t i = 0; i < asking->n; i++) {
        is_any |= asking->items[i].err.code == ERR_NONE;
        take_one(core, asking->untold[i], &asking->items[i]);
    }
    asking_free(asking);
    core->is_untold_due |= is_any; /* else when it is looked at again */
    if (core->is_up && !is_any)
        tell_unsigned(core);
}

static void ask(struct den_core *core)
{
    struct untold_asking *asking = mem_new(struct untold_asking);

    asking->core = core;
    list_append(&core->untold_askings, &asking->node);
    core->n_untold_askings++;
    for (; core->n_untold && asking->n < MAX_TOGETHER; asking->n++) {
        asking->untold[asking->n] = take_first(core);
        asking->items[asking->n].word = RPC_W_END;
        write_end(core, asking->untold[asking->n], &asking->items[asking->n].bytes);
    }
    signer_sign_soon(core->c.signer, asking->items, asking->n, on_signed, asking);
}

void untold_tick(struct den_core *core)
{
    struct err unused;

    core->is_untold_due = false;
    if (!core->is_up || !core->n_untold)
        return;
    if (signer_is_away(core->c.signer, &unused)) {
        tell_unsigned(core);
        return;
    }
    while (core->n_untold && core->n_untold_askings < MAX_ASKINGS)
        ask(core);
}

uint64_t untold_deadline(const struct den_core *core)
{
    return core->is_untold_due && core->is_up && core->n_untold &&
                   core->n_untold_askings < MAX_ASKINGS
               ? 0
               : NEVER_MS;
}
