/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that were granted, or accepted, in one turn of the loop are recorded in one transaction, and their grants are
 * signed by one question to the signer: both cost more than all the rest of a session. While the disk and the signer are
 * busy, the next ones gather. */
#include "den/open.h"

#include "base/log.h"
#include "den/signer.h"

enum { MAX_TOGETHER = 128 };

struct together {
    struct list granted, accepted; /* stages of struct open, to be recorded */
    size_t n;
    struct list mintings; /* struct minting: at the signer */
};

struct minting {
    struct list node;
    struct den_core *core;
    size_t n, n_items;
    struct signer_statement items[2 * MAX_TOGETHER]; /* the grants, then what is said of callers */
    struct open *opens[MAX_TOGETHER];                /* NULL: it has failed meanwhile */
    size_t of[MAX_TOGETHER];                         /* items[n + i] is about opens[of[i]] */
};

struct together *together_new(void)
{
    struct together *t = mem_new(struct together);

    list_init(&t->granted);
    list_init(&t->accepted);
    list_init(&t->mintings);
    return t;
}

static void minting_free(struct minting *m)
{
    list_remove(&m->node);
    for (size_t i = 0; i < m->n; i++)
        if (m->opens[i])
            m->opens[i]->minted = NULL;
    for (size_t i = 0; i < m->n_items; i++)
        buf_free(&m->items[i].bytes);
    free(m);
}

/* The signer was made to forget what it is asked. */
void together_free(struct together *t)
{
    struct minting *m;

    if (!t)
        return;
    LIST_EACH(m, &t->mintings, node)
        minting_free(m);
    free(t);
}

void together_grant(struct open *open)
{
    list_append(&open->core->together->granted, &open->stage);
    open->core->together->n++;
}

void together_accept(struct open *open)
{
    list_append(&open->core->together->accepted, &open->stage);
    open->core->together->n++;
}

void together_leave(struct open *open)
{
    if (!list_is_empty(&open->stage))
        open->core->together->n--;
    list_remove(&open->stage);
    if (open->minted)
        *open->minted = NULL;
}

uint64_t together_deadline(const struct den_core *core)
{
    return core->together->n ? 0 : NEVER_MS;
}

/* ---- one transaction ------------------------------------------------------------------------------ */

struct batch {
    struct open *granted[MAX_TOGETHER], *accepted[MAX_TOGETHER];
    struct err why[MAX_TOGETHER]; /* of those that are not granted, alone */
    size_t n_granted, n_accepted;
};

static size_t take_some(struct together *t, struct list *stage, struct open **ret)
{
    size_t n = 0;

    while (!list_is_empty(stage) && n < MAX_TOGETHER) {
        ret[n] = LIST_ITEM(stage->next, struct open, stage);
        list_remove(&ret[n++]->stage);
        t->n--;
    }
    return n;
}

static bool add_session(struct open *open, struct audit_run *run, struct err *why, struct err *err)
{
    struct den_core *core = open->core;
    struct store_session session = { .state = "offered", .opened_at = core_wall(core) };
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("from", open->a.id),    AUDIT_TEXT("to", open->b.id),
        AUDIT_TEXT("can", open->caps),     AUDIT_TEXT("consent", open->must_ask ? "ask" : "none"),
        AUDIT_TEXT("rule", open->rule),    AUDIT_TEXT("sid", open->sid),
        AUDIT_TEXT("dialled", open->name),
    };
    size_t n_pairs = N_ELEMENTS(pairs) - (*open->name == '\0');

    memcpy(session.sid, open->d.sid.data, sizeof(session.sid));
    memcpy(session.a_id, open->a.id, sizeof(session.a_id));
    memcpy(session.b_id, open->b.id, sizeof(session.b_id));
    memcpy(session.caps, open->caps, sizeof(session.caps));
    memcpy(session.caps_back, open->caps_back, sizeof(session.caps_back));
    if (!live_has_room(core, open->a.id, open->b.id, why)) /* also for those before it */
        return true;
    if (!store_session_add(core->c.store, &session, err)) {
        err_set(why, ERR_REPLAYED, "dial: its session number was used before");
        return err->code == ERR_ALREADY_EXISTS; /* by another one, in this turn */
    }
    live_add(core, &session, open->judged);
    open->is_live = true;
    return audit_run_append(run, session.opened_at, "session.granted", pairs, n_pairs, err);
}

static bool accept_session(struct open *open, struct audit_run *run, struct err *err)
{
    struct store_session report = { .ends_at = open->ends_at };
    struct store *store = open->core->c.store;
    uint64_t now = core_wall(open->core);
    char until[CLOCK_TEXT];
    struct audit_pair pairs[7] = {
        AUDIT_TEXT("sid", open->sid),
        AUDIT_TEXT("from", open->a.id),
        AUDIT_TEXT("to", open->b.id),
        AUDIT_TEXT("can", open->caps_accepted),
    };
    size_t n = 4;

    if (strcmp(open->caps, open->caps_accepted) != 0)
        pairs[n++] = (struct audit_pair)AUDIT_TEXT("asked", open->caps);
    if (*open->consent) /* as the callee has it: it may have asked where policy does not */
        pairs[n++] = (struct audit_pair)AUDIT_TEXT("consent", open->consent);
    if (open->ends_at)
        pairs[n++] = (struct audit_pair)AUDIT_TEXT("until", clock_text(open->ends_at, until));

    memcpy(report.sid, open->d.sid.data, sizeof(report.sid));
    memcpy(report.caps_accepted, open->caps_accepted, sizeof(report.caps_accepted));
    return store_session_set_state(store, open->d.sid, "accepted", "", now, err) &&
           store_session_report(store, &report, err) &&
           audit_run_append(run, now, "session.accepted", pairs, n, err);
}

static bool record(struct den_core *core, struct batch *batch, struct err *err)
{
    _transaction_ struct store *store = core->c.store;
    struct audit_run run;

    if (!store_begin(store, err) || !audit_run_start(store, &run, err))
        return false;
    for (size_t i = 0; i < batch->n_accepted; i++)
        if (!accept_session(batch->accepted[i], &run, err))
            return false;
    for (size_t i = 0; i < batch->n_granted; i++)
        if (!add_session(batch->granted[i], &run, &batch->why[i], err))
            return false;
    return audit_run_end(&run, err) && store_commit(store, err);
}

/* ---- signing -------------------------------------------------------------------------------------- */

/* The call goes without what could not be signed. */
static void take_whos(struct minting *m)
{
    for (size_t i = m->n; i < m->n_items; i++) {
        struct open *open = m->opens[m->of[i - m->n]];
        if (!open)
            continue;
        if (m->items[i].err.code == ERR_NONE) {
            memcpy(open->who_sig, m->items[i].sig, SIG_SIZE);
            continue;
        }
        log_event(LOG_ERROR, "who.not_signed", "sid=%s cause=%s", open->sid,
                  log_quote_text(m->items[i].err.text));
        buf_free(&open->who);
    }
}

static void on_minted(void *user, _unused_ struct signer_statement *items, _unused_ size_t n)
{
    struct minting *m = user;

    take_whos(m);
    for (size_t i = 0; i < m->n; i++) {
        struct open *open = m->opens[i];
        if (!open)
            continue;
        open->minted = NULL;
        m->opens[i] = NULL;
        if (m->items[i].err.code == ERR_NONE)
            grant_minted(open, m->items[i].sig);
        else
            open_fail(open, "failed", &m->items[i].err);
    }
    minting_free(m);
}

static void mint(struct den_core *core, struct open *const *opens, size_t n)
{
    struct minting *m = mem_new(struct minting);

    m->core = core;
    list_append(&core->together->mintings, &m->node);
    for (size_t i = 0; i < n; i++, m->n++) {
        m->opens[i] = opens[i];
        m->items[i].word = RPC_W_GRANT;
        m->items[i].bytes = buf_dup(buf_view(&opens[i]->grant));
        opens[i]->minted = &m->opens[i];
    }
    m->n_items = m->n;
    for (size_t i = 0; i < n; i++) {
        if (!who_write(opens[i]))
            continue;
        m->of[m->n_items - m->n] = i;
        m->items[m->n_items].word = RPC_W_WHO;
        m->items[m->n_items++].bytes = buf_dup(buf_view(&opens[i]->who));
    }
    signer_sign_soon(core->c.signer, m->items, m->n_items, on_minted, m);
}

/* ---- and on --------------------------------------------------------------------------------------- */

static void forget_live(struct open *open)
{
    if (open->is_live)
        live_moved(open->core, open->d.sid, "failed");
    open->is_live = false;
}

static void go_on_granted(struct den_core *core, const struct batch *batch, const struct err *all)
{
    struct open *minted[MAX_TOGETHER];
    size_t n = 0;

    for (size_t i = 0; i < batch->n_granted; i++) {
        struct open *open = batch->granted[i];
        struct err why = all ? *all : batch->why[i];
        if (why.code == ERR_NONE) {
            grant_recorded(open);
            minted[n++] = open;
            continue;
        }
        forget_live(open);
        if (all)
            err_wrap(&why, "recording a session");
        open_fail(open, "failed", &why);
    }
    if (n)
        mint(core, minted, n);
}

static void flush(struct den_core *core)
{
    _free_ struct batch *batch = mem_new(struct batch);
    struct together *t = core->together;
    struct err err = { 0 };
    bool ok;

    batch->n_granted = take_some(t, &t->granted, batch->granted);
    batch->n_accepted = take_some(t, &t->accepted, batch->accepted);
    ok = record(core, batch, &err);
    log_hold();
    go_on_granted(core, batch, ok ? NULL : &err); /* the signer first: it has a core of its own */
    for (size_t i = 0; i < batch->n_accepted; i++) {
        if (ok)
            grant_accepted(batch->accepted[i]);
        else
            open_fail(batch->accepted[i], "failed", &err);
    }
    log_release();
}

void together_tick(struct den_core *core)
{
    while (core->together->n)
        flush(core);
}
