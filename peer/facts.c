/* SPDX-License-Identifier: Apache-2.0 */
/* What the application may know of a link: copied out for it under the hub's lock. */
#include "peer/session.h"

#include "base/text.h"

#include <stdio.h>

static void put_hex(char to[65], struct view key)
{
    _buf_ hex = { 0 };

    text_put_hex(&hex, key);
    snprintf(to, 65, "%s", buf_cstr(&hex));
}

static void put_caps(struct buf *to, const struct rpc_items *caps)
{
    for (size_t i = 0; i < caps->n; i++)
        buf_printf(to, "%s%.*s", i ? ", " : "", VIEW_FMT(caps->item[i]));
    if (caps->n == 0)
        buf_put_text(to, "nothing");
}

static char *grant_text(const struct rpc_grant *g)
{
    _free_ char *a = view_dup_text(g->a_id), *b = view_dup_text(g->b_id);
    char a_shown[TEXT_ID], b_shown[TEXT_ID], time[CLOCK_TEXT];
    _buf_ text = { 0 };

    buf_printf(&text, "%s may call %s for ", text_id(a, a_shown), text_id(b, b_shown));
    put_caps(&text, &g->caps);
    if (g->caps_back.n) {
        buf_put_text(&text, ", and back for ");
        put_caps(&text, &g->caps_back);
    }
    buf_put_text(&text, g->consent ? "; the callee is asked" : "; no consent needed");
    buf_printf(&text, "; granted %s", clock_text(g->issued_at, time));
    if (g->live_until)
        buf_printf(&text, ", until %s", clock_text(g->live_until, time));
    buf_printf(&text, " (policy %llu)", (unsigned long long)g->policy_no);
    return mem_text(buf_cstr(&text));
}

/* Once, when all three statements are there; the handle's copies stay as they are until it is freed. */
static void copy_statements(struct session *session, struct peer_link_facts *facts)
{
    struct peer_link *handle = session->handle;
    struct core *core = session->core;

    handle->grant = buf_dup(buf_view(&session->grant));
    handle->dial = buf_dup(buf_view(&session->dial));
    handle->accept = buf_dup(buf_view(&session->accept));
    memcpy(handle->grant_sig, session->grant_sig, SIG_SIZE);
    memcpy(handle->dial_sig, session->dial_sig, SIG_SIZE);
    memcpy(handle->accept_sig, session->accept_sig, SIG_SIZE);
    handle->grant_text = grant_text(&session->g);
    facts->grant = handle->grant.data;
    facts->grant_size = handle->grant.len;
    facts->grant_signature = handle->grant_sig;
    facts->dial = handle->dial.data;
    facts->dial_size = handle->dial.len;
    facts->dial_signature = handle->dial_sig;
    facts->accept = handle->accept.data;
    facts->accept_size = handle->accept.len;
    facts->accept_signature = handle->accept_sig;
    facts->grant_text = handle->grant_text;
    put_hex(facts->grant_key, check_signer(core->trust, core_now(core), buf_view(&session->grant),
                                           VIEW_ARR(session->grant_sig)));
    put_hex(facts->dial_key, session->g.a_pk);
    put_hex(facts->accept_key, session->g.b_pk);
}

static void put_path(const struct path *path, struct peer_link_facts *facts)
{
    struct path_facts found;

    if (!path || !path_facts(path, &found))
        return;
    snprintf(facts->path_kind, sizeof(facts->path_kind), "%s", path_kind_name(found.kind));
    snprintf(facts->path_local, sizeof(facts->path_local), "%.60s %s", found.local,
             found.local_type);
    snprintf(facts->path_remote, sizeof(facts->path_remote), "%.60s %s", found.remote,
             found.remote_type);
}

static void put_link(const struct session *session, struct peer_link_facts *facts)
{
    struct link_facts found = { 0 };

    link_facts(session->link, &found);
    snprintf(facts->tls_version, sizeof(facts->tls_version), "%s", found.tls_version);
    snprintf(facts->cipher, sizeof(facts->cipher), "%s", found.cipher);
    snprintf(facts->alpn, sizeof(facts->alpn), "%s", found.alpn);
    facts->rtt_us = found.rtt_ns / 1000;
    facts->bytes_sent = found.bytes_sent;
    facts->bytes_received = found.bytes_received;
    facts->packets_sent = found.packets_sent;
    facts->packets_received = found.packets_received;
    facts->packets_lost = found.packets_lost;
    facts->under_way = found.bytes_in_flight;
    facts->window = found.cwnd;
    facts->rate = found.delivery_rate;
    facts->datagram_max = link_datagram_max(session->link);
}

/* That a certificate ends before does not count: it is renewed. */
uint64_t session_promised_end(const struct session *session)
{
    uint64_t a = session->g.live_until, b = session->allowed_until;

    return a && b ? min_u64(a, b) : a ? a : b;
}

void session_refresh(struct session *session)
{
    struct peer_link *handle = session->handle;

    if (!handle || session->state != SESSION_UP)
        return;
    session->refreshed_at = clock_mono_ms();
    hub_lock(session->core->hub);
    struct peer_link_facts facts = handle->facts;
    bool is_first = !handle->has_facts;
    hub_unlock(session->core->hub);

    if (is_first)
        copy_statements(session, &facts);
    snprintf(facts.remote_id, sizeof(facts.remote_id), "%.15s", session->remote_id);
    snprintf(facts.verified_name, sizeof(facts.verified_name), "%s.%s", session->remote_id,
             session->core->join.network);
    snprintf(facts.remote_subject, sizeof(facts.remote_subject), "%s", session->leaf_subject);
    snprintf(facts.remote_issuer, sizeof(facts.remote_issuer), "%s", session->leaf_issuer);
    facts.ends_at = session_promised_end(session);
    put_path(session->path, &facts);
    put_link(session, &facts);

    hub_lock(session->core->hub);
    handle->facts = facts;
    handle->has_facts = true;
    handle->datagram_max = link_datagram_max(session->link);
    hub_unlock(session->core->hub);
}
