/* SPDX-License-Identifier: Apache-2.0 */
/* The link of a session: who may be at its other end, and what comes out of it. */
#include "peer/explain.h"

#include "peer/known.h"

#include <stdio.h>

enum { AFTER_EXPIRY_MS = 300000, REFRESH_MS = 200 };

static void drop_chain(struct session *session)
{
    for (size_t i = 0; i < session->n_chain; i++)
        buf_free(&session->chain[i]);
    session->n_chain = 0;
}

static void keep_chain(struct session *session, const struct view *chain, size_t n)
{
    struct buf copies[PKI_MAX_CHAIN] = { 0 }; /* it may be its own */

    for (size_t i = 0; i < n; i++)
        copies[i] = buf_dup(chain[i]);
    drop_chain(session);
    memcpy(session->chain, copies, sizeof(copies));
    session->n_chain = n;
}

bool session_chain_holds(const struct session *session, const struct view *chain, size_t n,
                         struct err *err)
{
    const struct core *core = session->core;
    _free_ char *name = mem_format("%s.%s", session->remote_id, core->join.network);
    const struct pki_question question = {
        .name = name,
        .network = core->join.network,
        .role = session->is_caller ? PKI_SERVER : PKI_CLIENT,
        .now = core_now(core),
    };

    return pki_judge(core->anchors, chain, n, &question, NULL, err);
}

bool session_judge(struct session *session, const struct view *chain, size_t n,
                   const uint8_t spki[HASH_SIZE], struct err *err)
{
    struct core *core = session->core;
    _free_ char *name = mem_format("%s.%s", session->remote_id, core->join.network);
    _cleanup_(pki_cert_freep) struct pki_cert *leaf = NULL;
    const struct pki_question question = {
        .name = name,
        .network = core->join.network,
        .role = session->is_caller ? PKI_SERVER : PKI_CLIENT,
        .now = core_now(core),
        .spki = spki,
        .needs_crl = true,
    };

    if (core->has_crl ? core->crl_no < session->g.crl_no : session->g.crl_no > 0)
        return err_set(err, ERR_STALE, "the revocation list is older than the grant asks for");
    if (!pki_judge(core->anchors, chain, n, &question, &leaf, err))
        return err_wrap(err, "certificate of %s", session->remote_id);

    if (!revoked_check_leaf(core, leaf, err))
        return err_wrap(err, "certificate of %s", session->remote_id);

    keep_chain(session, chain, n);
    const struct pki_facts *facts = pki_cert_facts(leaf);
    struct view serial = pki_cert_serial(leaf);
    session->leaf_serial_len = serial.len < PKI_MAX_SERIAL ? serial.len : PKI_MAX_SERIAL;
    memcpy(session->leaf_serial, serial.data, session->leaf_serial_len);
    uint64_t leaf_end = facts->not_after + AFTER_EXPIRY_MS;
    snprintf(session->leaf_subject, sizeof(session->leaf_subject), "%s", facts->subject);
    snprintf(session->leaf_issuer, sizeof(session->leaf_issuer), "%s", facts->issuer);
    session->ends_at = session_promised_end(session);
    session->close_code = LINK_CLOSE_LIVE_UNTIL;
    if (session->ends_at == 0 || leaf_end < session->ends_at) {
        session->ends_at = leaf_end;
        session->close_code = LINK_CLOSE_EXPIRED;
    }
    return true;
}

static bool judge(void *user, const struct view *chain, size_t n, struct err *err)
{
    struct session *session = user;

    return session_judge(session, chain, n, session->remote_spki, err);
}

bool session_may_open(const struct session *session, bool outgoing, struct view cap)
{
    return check_has_cap(outgoing == session->is_caller ? &session->caps : &session->g.caps_back,
                         cap);
}

static bool may_open(void *user, bool outgoing, struct view cap)
{
    return session_may_open(user, outgoing, cap);
}

static size_t send_packets(void *user, const struct view *packets, size_t n)
{
    struct session *session = user;
    size_t went;

    if (first_collect(session, packets, n, &went))
        return went;
    return session->path ? path_send(session->path, packets, n) : 0;
}

static size_t packet_size(void *user)
{
    const struct session *session = user;

    return session->path ? path_packet(session->path) : 0;
}

static void on_link_timer(void *user)
{
    struct session *session = user;

    if (session->path) {
        path_tick(session->path);
        report_size(session);
    }
    link_tick(session->link, clock_mono_ns());
    session_pump(session);
}

/* What the link makes of its path; and when one of the two wants to be looked at. */
static uint64_t look_at_path(struct session *session)
{
    uint64_t at = link_deadline(session->link), path_at;
    struct link_pressure said;

    if (!session->path)
        return at;
    link_pressure(session->link, &said);
    path_set_pressure(session->path,
                      &(struct path_pressure){ said.is_waiting, said.is_probing, said.late_ns });
    path_at = path_deadline(session->path);
    return path_at < at ? path_at : at;
}

void session_put_heart(const struct core *core, struct buf *to)
{
    if (rpc_trust_heartbeat(core->trust))
        state_put_signed(to, rpc_trust_heartbeat_bytes(core->trust),
                         rpc_trust_heartbeat_sig(core->trust));
}

bool session_make_link(struct session *session, struct err *err)
{
    const struct cert *cert = session->cert;
    struct view chain[PKI_MAX_CHAIN];
    _buf_ heart = { 0 };
    struct link_config config = {
        .is_caller = session->is_caller,
        .chain = chain,
        .n_chain = cert->n_chain,
        .key_der = buf_view(&cert->key_der),
        .judge = judge,
        .may_open = may_open,
        .send = send_packets,
        .packet = packet_size,
        .user = session,
    };

    for (size_t i = 0; i < cert->n_chain; i++)
        chain[i] = buf_view(&cert->chain[i]);
    memcpy(config.sid, session->sid, sizeof(config.sid));
    memcpy(config.grant_hash, session->grant_hash, sizeof(config.grant_hash));
    session_put_heart(session->core, &heart);
    config.heart = buf_view(&heart);
    session->link_timer = loop_timer_new(session->core->loop, on_link_timer, session);
    return link_new(&config, clock_mono_ns(), &session->link, err);
}

void session_drop_link(struct session *session)
{
    link_free(STEAL(session->link));
    loop_timer_free(STEAL(session->link_timer));
}

bool session_takes_here(const struct session *session)
{
    return !session->core->is_closing && session->state == SESSION_UP && !session->is_pumping &&
           session->path && path_is_straight(session->path);
}

bool session_settle(struct session *session)
{
    if (link_has_event(session->link))
        return false;
    loop_timer_at(session->link_timer, look_at_path(session));
    return true;
}

void session_pump(struct session *session)
{
    struct link_event event;

    if (!session->link || session->is_pumping)
        return;
    session->is_pumping = true;
    while (link_next_event(session->link, &event))
        session_on_link_event(session, &event);
    session->is_pumping = false;
    if (session->state == SESSION_UP && clock_mono_ms() - session->refreshed_at >= REFRESH_MS)
        session_refresh(session);
    loop_timer_at(session->link_timer, look_at_path(session));
}

static void copy_caps(struct session *session)
{
    const struct rpc_items *caps = session->is_caller ? &session->caps : &session->g.caps_back;

    for (size_t i = 0; i < caps->n; i++)
        session->handle->outgoing[i] = view_dup_text(caps->item[i]);
}

static void on_up(struct session *session)
{
    struct core *core = session->core;
    struct hub_event *event;
    struct err err;

    /* A full disk costs the memory of this peer, not the link; another key, that came first meanwhile, costs the link. */
    if (!known_remember(core->state, session->remote_id, session->remote_pk, core_now(core),
                        &err) &&
        err.code == ERR_IDENTITY_CHANGED) {
        session_close(session, LINK_CLOSE_ADMIN, "identity changed", &err);
        return;
    }
    session_set_up(session);
    session_refresh(session);
    hub_lock(core->hub);
    copy_caps(session);
    session->handle->is_up = true;
    hub_unlock(core->hub);
    path_set_linked(session->path);
    event = hub_event_new(PEER_EVENT_LINK_UP);
    event->event.link = peer_link_ref(session->handle);
    hub_put(core->hub, event);
    restart_soon(session);
    reauth_offer(session); /* a newer certificate may have come while it was made */
    report_up(session);
    permits_keep(session);
}

static void on_heart(struct session *session, struct view data)
{
    struct view bytes, sig;
    struct err err;

    struct rpc_heartbeat heart;

    /* One that den did not sign, or an older one, is passed over. */
    if (!state_read_signed(data, &bytes, &sig))
        return;
    trust_take_heart(session->core, bytes, sig, &err);
    if (rpc_statement_read(RPC_W_HEARTBEAT, bytes, &heart, &err))
        revoked_tell(session, heart.rev_no);
}

static void on_revoke(struct session *session, struct view data)
{
    struct view bytes, sig;
    struct err err;

    if (state_read_signed(data, &bytes, &sig))
        revoked_take(session->core, bytes, sig, &err);
}

static void on_switch(struct session *session, struct view data)
{
    uint64_t number;
    uint8_t kind;

    if (link_switch_read(data, &number, &kind) && kind < PATH_KINDS && session->path)
        path_switched(session->path, number, (enum path_kind)kind);
}

static void on_datagram(struct session *session, struct view data)
{
    struct hub_event *event = hub_event_new(PEER_EVENT_DATAGRAM);

    event->event.link = peer_link_ref(session->handle);
    event->data = buf_dup(data);
    event->event.data = event->data.data;
    event->event.size = event->data.len;
    hub_put(session->core->hub, event);
}

static bool is_direct(const struct session *session)
{
    struct path_facts facts;

    return session->path && path_facts(session->path, &facts) && facts.kind == PATH_DIRECT;
}

static void on_down(struct session *session, const struct link_event *event)
{
    struct err why = event->err;

    if (event->type == LINK_DOWN && event->code == LINK_CLOSE_NORMAL && event->by_remote)
        why = (struct err){ 0 }; /* the application over there closed it */
    else if (event->type == LINK_FAILED)
        err_wrap(&why, "link with %s", session->remote_id);
    if (event->type == LINK_FAILED && why.code == ERR_TIMEOUT && is_direct(session))
        err_advise(&why, "the direct path answers: make sure that tunnels (VPN) and mobile "
                         "networks in between have an MTU of 1280 at least");
    session_over(session, &why);
}

void session_on_link_event(struct session *session, const struct link_event *event)
{
    if (session->state == SESSION_CLOSING)
        return;
    switch (event->type) {
    case LINK_UP:
        on_up(session);
        break;
    case LINK_HEART:
        on_heart(session, event->data);
        break;
    case LINK_REVOKE:
        on_revoke(session, event->data);
        break;
    case LINK_SWITCH:
        on_switch(session, event->data);
        break;
    case LINK_ICE:
        restart_take(session, event->data);
        break;
    case LINK_REAUTH:
        reauth_take(session, event->data);
        break;
    case LINK_SAS:
        compare_take(session, event->data);
        break;
    case LINK_REPORT:
        report_take(session, event->data);
        break;
    case LINK_STREAM_OPENED:
        flow_opened(session, event);
        break;
    case LINK_STREAM_READABLE:
    case LINK_STREAM_WRITABLE:
    case LINK_STREAM_RESET:
    case LINK_STREAM_CLOSED:
        flow_event(session, event);
        break;
    case LINK_DATAGRAM:
        on_datagram(session, event->data);
        break;
    case LINK_DOWN:
    case LINK_FAILED:
        on_down(session, event);
        break;
    }
}

void session_gossip(struct core *core)
{
    struct session *session;
    _buf_ heart = { 0 };

    session_put_heart(core, &heart);
    LIST_EACH(session, &core->sessions, node) {
        if (session->state != SESSION_UP)
            continue;
        link_send_heart(session->link, clock_mono_ns(), buf_view(&heart));
        session_pump(session);
    }
}
