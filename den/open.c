/* SPDX-License-Identifier: Apache-2.0 */
#include "den/open.h"

#include "base/log.h"
#include "den/signer.h"

#include <stdio.h>

struct open *open_new(struct den_core *core, const struct rpc_inv *inv)
{
    struct open *open = mem_new(struct open);

    open->core = core;
    open->inv = inv->number;
    snprintf(open->source, sizeof(open->source), "%.*s", VIEW_FMT(inv->invocation->source));
    open->wants_progress = inv->invocation->receive_progress;
    list_init(&open->stage);
    list_init(&open->proof.node);
    snprintf(open->caller, sizeof(open->caller), "%.*s",
             VIEW_FMT(view_sub(inv->invocation->caller_authid, 0, TEXT_ID - 1)));
    list_append(&core->opens, &open->node);
    core->n_opens++;
    return open;
}

/* Out of everything that finds it. */
static void leave(struct open *open)
{
    list_remove(&open->node);
    together_leave(open);
    open->core->n_opens--;
    if (open->call)
        open->core->c.port->forget(open->core->c.port->user, open->call);
    open->call = 0;
    open->has_left = true;
}

void open_free(struct open *open)
{
    if (!open)
        return;
    if (!open->has_left)
        leave(open);
    if (!proof_leave(open))
        return;
    buf_free(&open->dial);
    buf_free(&open->ice);
    buf_free(&open->grant);
    buf_free(&open->accept);
    buf_free(&open->accept_ice);
    buf_free(&open->first);
    buf_free(&open->who);
    buf_free(&open->accept_first);
    buf_free(&open->permit);
    free(open);
}

void open_drop_all(struct den_core *core)
{
    struct open *open;

    LIST_EACH(open, &core->opens, node)
        open_free(open);
}

/* ---- towards the router and the two ends --------------------------------------------------- */

void open_tell(struct den_core *core, struct view sid, const char *a_id, const char *b_id,
               struct view reason, const struct signer_statement *end)
{
    const char *const ends[] = { a_id, b_id };
    const struct rpc_publish_options options = { .eligible_authid = ends,
                                                 .n_eligible = N_ELEMENTS(ends) };
    _buf_ args = { 0 };

    rpc_put_array(&args, end ? 5 : 3);
    rpc_put_bin(&args, sid);
    rpc_put_str(&args, "closed");
    rpc_put_text(&args, reason);
    if (end) {
        rpc_put_bin(&args, buf_view(&end->bytes));
        rpc_put_bin(&args, VIEW_ARR(end->sig));
    }
    core->c.port->publish(core->c.port->user, "den.session.on_state", &options, buf_view(&args));
}

/* ---- the record ---------------------------------------------------------------------------- */

bool open_record_state(struct den_core *core, struct view sid, const char *state,
                       const char *reason, const struct store_session *report,
                       const struct audit_pair *pairs, size_t n_pairs, struct err *err)
{
    _transaction_ struct store *store = core->c.store;
    uint64_t now = core_wall(core);
    char what[32];

    snprintf(what, sizeof(what), "session.%s", state);
    if (!store_begin(store, err) || !store_session_set_state(store, sid, state, reason, now, err) ||
        (report && !store_session_report(store, report, err)) ||
        !audit_append(store, now, what, pairs, n_pairs, err) || !store_commit(store, err))
        return false;
    live_moved(core, sid, state);
    return true;
}

static void record_failure(struct open *open, const char *state, const struct err *why)
{
    struct err err = { 0 };
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("sid", open->sid),   AUDIT_TEXT("from", open->a.id),
        AUDIT_TEXT("to", open->b.id),   AUDIT_TEXT("code", err_code_name(why->code)),
        AUDIT_TEXT("cause", why->text),
    };

    /* Whoever declines says why in words of his own. */
    const char *reason = strcmp(state, "declined") == 0 ? why->text : err_code_name(why->code);

    if (open_record_state(open->core, open->d.sid, state, reason, NULL, pairs, N_ELEMENTS(pairs),
                          &err))
        return;
    log_event(LOG_ERROR, "audit.failed", "sid=%s cause=%s", open->sid, log_quote_text(err.text));
    live_doom(open->core, open->d.sid);
}

static void record_end(struct open *open, const char *state, const struct err *why)
{
    if (open->is_granted)
        record_failure(open, state, why);
    log_event(LOG_INFO, "session.failed", "sid=%s from=%s to=%s state=%s code=%s cause=%s",
              open->sid, open->a.id, open->b.id, state, err_code_name(why->code),
              log_quote_text(why->text));
    if (open->is_granted)
        open_remove_grant(open->core, open->d.sid);
    core_refuse(open->core, open->inv,
                why); /* before its caller hears that it is closed: here is why */
}

void open_fail(struct open *open, const char *state, const struct err *why)
{
    record_end(open, state, why);
    if (open->is_granted && (why->code == ERR_TIMEOUT || why->code == ERR_CANCELED))
        open_tell(open->core, open->d.sid, open->a.id, open->b.id,
                  view_text(err_code_name(why->code)), NULL);
    open_free(open);
}

void open_close(struct open *open, const struct err *why, struct view reason)
{
    record_end(open, "closed", why);
    if (open->is_granted)
        untold_keep(open->core, open->d.sid, open->a.id, open->b.id, reason);
    open_free(open);
}

void open_cut(const struct den_core *core, struct err *ret_why)
{
    err_set(ret_why, ERR_CLOSED, "%s before the answer of whoever was called was recorded",
            core->is_leaving ? "den was stopped" : "the router went away");
}

void open_down(struct den_core *core)
{
    struct err why = { 0 };
    struct open *open;

    open_cut(core, &why);
    LIST_EACH(open, &core->opens, node) {
        if (open->call) /* which fails by itself */
            continue;
        if (open->is_granted) {
            record_failure(open, "failed", &why);
            open_remove_grant(core, open->d.sid);
        }
        open_free(open);
    }
}

void open_interrupt(struct den_core *core, uint64_t inv)
{
    struct err why = { 0 };
    struct open *open;

    LIST_EACH(open, &core->opens, node) {
        if (open->inv != inv)
            continue;
        err_set(&why, ERR_CANCELED, "its caller does not wait for the answer any more");
        open_fail(open, "closed", &why);
        return;
    }
}

/* ---- checks that dial and accept share ----------------------------------------------------- */

bool open_check_spki(struct den_core *core, struct view spki, const char *id, struct err *err)
{
    _cleanup_(store_certificate_deinit) struct store_certificate c = { 0 };
    enum store_found found = STORE_NONE;
    uint64_t now = core_wall(core);

    if (!store_certificate_by_spki(core->c.store, spki, &found, &c, err))
        return false;
    if (found == STORE_NONE || !c.der.len || strcmp(c.id, id) != 0)
        return err_set(err, ERR_WRONG_KEY, "its TLS key is not one that was certified for %s", id);
    if (c.is_revoked)
        return err_set(err, ERR_REVOKED, "the certificate of its TLS key was revoked");
    if (now < c.not_before || now >= c.not_after)
        return err_set(err, ERR_EXPIRED,
                       "the certificate of its TLS key is out of time: get a new one");
    return true;
}

bool open_check_hash(struct view bytes, struct view hash, const char *what, struct err *err)
{
    uint8_t own[HASH_SIZE];

    pki_hash(bytes, own);
    return view_eq_secret(VIEW_ARR(own), hash) ||
           err_set(err, ERR_BAD_STATEMENT, "%s: not the one that was signed", what);
}
