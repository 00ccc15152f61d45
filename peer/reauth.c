/* SPDX-License-Identifier: Apache-2.0 */
/* A link outlives certificates: an end that has a new one shows it inside the link, with proof that it is the same end of the same
 * link. A link whose other end does not do so in time is closed. */
#include "peer/session.h"

enum { WINDOW_MS = 60000, MAX_IN_WINDOW = 30 };

/* ---- ours ------------------------------------------------------------------------------------------ */

/* L, signed by the identity key and by the key of the certificate that it is for. */
static bool sign(struct session *session, const struct cert *cert, struct buf *statement,
                 uint8_t sig[SIG_SIZE], struct buf *tls_sig, struct err *err)
{
    const struct core *core = session->core;
    uint8_t exporter[LINK_EXPORTER];
    const struct rpc_reauth l = {
        .netid = rpc_trust_netid(core->trust),
        .sid = VIEW_ARR(session->sid),
        .id = view_text(core->id),
        .exporter = VIEW_ARR(exporter),
        .new_spki = VIEW_ARR(cert->spki),
        .counter = session->our_reauths + 1,
    };

    if (!link_exporter(session->link, LINK_EXPORTER_REAUTH, exporter, err))
        return false;
    rpc_statement_sign(RPC_W_REAUTH, &l, core->key, statement, sig);
    return pki_key_sign(cert->key, buf_view(statement), tls_sig, err);
}

void reauth_offer(struct session *session)
{
    struct cert *cert = session->core->cert;
    struct link_reauth reauth = { 0 };
    uint8_t sig[SIG_SIZE];
    _buf_ statement = { 0 }, tls_sig = { 0 };
    struct err
        ignored; /* tried again with the next certificate; the old one has a third of its life left */

    if (session->state != SESSION_UP || cert == session->cert ||
        !sign(session, cert, &statement, sig, &tls_sig, &ignored))
        return;
    reauth.statement = buf_view(&statement);
    reauth.sig = VIEW_ARR(sig);
    reauth.tls_sig = buf_view(&tls_sig);
    for (; reauth.n_chain < cert->n_chain && reauth.n_chain < N_ELEMENTS(reauth.chain);
         reauth.n_chain++)
        reauth.chain[reauth.n_chain] = buf_view(&cert->chain[reauth.n_chain]);
    link_send_reauth(session->link, clock_mono_ns(), &reauth);
    session->our_reauths++;
    cert_unref(session->cert);
    session->cert = cert_ref(cert);
}

void reauth_offer_all(struct core *core)
{
    struct session *session;

    LIST_EACH(session, &core->sessions, node) {
        reauth_offer(session);
        session_pump(session);
    }
}

/* ---- theirs ---------------------------------------------------------------------------------------- */

static bool check_statement(const struct session *session, const struct link_reauth *reauth,
                            struct rpc_reauth *ret_l, struct err *err)
{
    uint8_t exporter[LINK_EXPORTER];

    if (!rpc_statement_open(RPC_W_REAUTH, VIEW_ARR(session->remote_pk), reauth->statement,
                            reauth->sig, ret_l, err) ||
        !link_exporter(session->link, LINK_EXPORTER_REAUTH, exporter, err))
        return false;
    if (!view_eq(ret_l->netid, rpc_trust_netid(session->core->trust)) ||
        !view_eq(ret_l->sid, VIEW_ARR(session->sid)) ||
        !view_eq_text(ret_l->id, session->remote_id) ||
        !view_eq_secret(ret_l->exporter, VIEW_ARR(exporter)))
        return err_set(err, ERR_BAD_STATEMENT, "of another link");
    if (ret_l->counter != session->their_reauths + 1)
        return err_set(err, ERR_REPLAYED, "number %llu, expected %llu",
                       (unsigned long long)ret_l->counter,
                       (unsigned long long)session->their_reauths + 1);
    return pki_verify_by_cert(reauth->chain[0], reauth->statement, reauth->tls_sig, err);
}

static bool is_too_often(struct session *session)
{
    uint64_t now = clock_mono_ms();

    if (now - session->reauths_since >= WINDOW_MS) {
        session->reauths_since = now;
        session->n_reauths = 0;
    }
    return ++session->n_reauths > MAX_IN_WINDOW;
}

/* A certificate that does not hold here changes nothing: the one before counts for as long as it lasts. One under a CA that we
 * do not know yet is looked at again when we do. */
static void judge_held(struct session *session)
{
    struct link_reauth reauth;
    struct rpc_reauth l;
    struct err ignored;

    if (session->reauth.len && link_reauth_read(buf_view(&session->reauth), &reauth) &&
        rpc_statement_read(RPC_W_REAUTH, reauth.statement, &l, &ignored) &&
        session_judge(session, reauth.chain, reauth.n_chain, l.new_spki.data, &ignored)) {
        memcpy(session->remote_spki, l.new_spki.data, HASH_SIZE);
        buf_free(&session->reauth);
        session_set_up(session);
        session_refresh(session);
    }
}

void reauth_take(struct session *session, struct view payload)
{
    struct link_reauth reauth;
    struct rpc_reauth l = { 0 };
    struct err err = { 0 };

    if (is_too_often(session))
        err_set(&err, ERR_BAD_WIRE, "REAUTH: more than %d in a minute", MAX_IN_WINDOW);
    else if (!link_reauth_read(payload, &reauth))
        err_set(&err, ERR_BAD_WIRE, "REAUTH: malformed");
    else if (!check_statement(session, &reauth, &l, &err))
        err_wrap(&err, "REAUTH");
    if (err.code != ERR_NONE) {
        session_close(session, LINK_CLOSE_PROTOCOL, err.text, &err);
        return;
    }
    session->their_reauths = l.counter;
    buf_clear(&session->reauth);
    buf_put(&session->reauth, payload);
    judge_held(session);
}

void reauth_judge_all(struct core *core)
{
    struct session *session;

    LIST_EACH(session, &core->sessions, node) {
        if (session->state == SESSION_UP)
            judge_held(session);
    }
}
