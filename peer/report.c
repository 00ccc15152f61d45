/* SPDX-License-Identifier: Apache-2.0 */
/* What the two ends of a link say of themselves (link/PROTOCOL.md, REPORT), and what both say to den of the path that they use. */
#include "peer/explain.h"

#include <stdio.h>

enum { MAX_A_MINUTE = 30, DEN_AFTER_MS = 3000, DEN_MOST = 8, DEN_CALL_MS = 10000 };
enum { SHORT_MS = 1000 }; /* of what is over sooner, the word that closes it says enough */

/* ---- to the other end ---- */

static void put_nat(const char *name, const struct ice_nat *nat, struct buf *to)
{
    rpc_put_str(to, name);
    rpc_put_array(to, 3);
    rpc_put_str(to, ice_udp_name(nat->udp));
    rpc_put_str(to, ice_mapping_name(nat->mapping));
    rpc_put_str(to, ice_filtering_name(nat->filtering));
}

void report_own(const struct session *session, struct why_end *ret_own)
{
    const struct core *core = session->core;
    struct why_end own = { .policy = session->policy,
                           .has_proxy = core->proxy.kind != RPC_PROXY_NONE && core->join.n_hosts &&
                                        rpc_proxy_is_for(&core->proxy, core->join.hosts[0].host),
                           .has_turn = turned_has_candidate(session),
                           .is_narrow =
                               session->path && path_is_narrow(session->path, PATH_DIRECT) };

    for (size_t i = 0; i < 2; i++) {
        own.nat[i] = core->nat.is[i];
        own.has[i] = core->nat.has[i];
    }
    *ret_own = own;
}

void report_send(struct session *session)
{
    struct why_end own;
    _buf_ map = { 0 };

    if (session->state != SESSION_UP || !session->link)
        return;
    report_own(session, &own);
    rpc_put_map(&map, 4u + own.has[0] + own.has[1]);
    if (own.has[0])
        put_nat("nat4", &own.nat[0], &map);
    if (own.has[1])
        put_nat("nat6", &own.nat[1], &map);
    rpc_put_str(&map, "proxy");
    rpc_put_bool(&map, own.has_proxy);
    rpc_put_str(&map, "policy");
    rpc_put_str(&map, why_policy_name(own.policy));
    rpc_put_str(&map, "turn");
    rpc_put_bool(&map, own.has_turn);
    rpc_put_str(&map, "narrow");
    rpc_put_bool(&map, own.is_narrow);
    session->report.is_narrow = own.is_narrow;
    link_send_report(session->link, clock_mono_ns(), buf_view(&map));
    session_pump(session);
}

void report_size(struct session *session)
{
    if (path_is_narrow(session->path, PATH_DIRECT) != session->report.is_narrow)
        report_send(session);
}

void report_send_all(struct core *core)
{
    struct session *session;

    LIST_EACH(session, &core->sessions, node)
        report_send(session);
}

static void take_nat(struct session *session, struct view map, const char *name, size_t family)
{
    struct view value, udp, mapping, filtering;
    struct rpc_fields f;
    struct err ignored;

    if (!rpc_map_get(map, name, &value) || rpc_value_kind(value) != RPC_ARRAY)
        return;
    rpc_fields_open(&f, value);
    udp = rpc_fields_text(&f, "udp", 32);
    mapping = rpc_fields_text(&f, "mapping", 32);
    filtering = rpc_fields_text(&f, "filtering", 32);
    if (rpc_fields_end(&f, &ignored) &&
        ice_nat_read(udp, mapping, filtering, &session->report.theirs.nat[family]))
        session->report.theirs.has[family] = true;
}

static bool is_too_often(struct session *session)
{
    uint64_t now = clock_mono_ms();

    if (now - session->report.since >= MINUTE_MS) {
        session->report.since = now;
        session->report.n_taken = 0;
    }
    return session->report.n_taken++ >= MAX_A_MINUTE;
}

void report_take(struct session *session, struct view data)
{
    struct why_end *theirs = &session->report.theirs;
    struct view policy, pairs;
    struct err ignored;
    size_t len;

    if (is_too_often(session) || !rpc_walk(data, &len, &ignored) || len != data.len ||
        rpc_value_kind(data) != RPC_MAP)
        return;
    take_nat(session, data, "nat4", 0);
    take_nat(session, data, "nat6", 1);
    if (rpc_map_text(data, "policy", &policy)) {
        why_policy_read(policy, &theirs->policy);
        theirs->has_proxy = rpc_map_bool(data, "proxy");
        theirs->has_turn = rpc_map_bool(data, "turn");
        theirs->is_narrow = rpc_map_bool(data, "narrow");
        if (session->path)
            path_set_narrow_there(session->path, theirs->is_narrow);
    }
    if (rpc_map_get(data, "pairs", &pairs) && rpc_value_kind(pairs) == RPC_MAP)
        explain_take(session, pairs);
}

/* ---- to den ---- */

void report_why(const struct session *session, struct why *ret_why)
{
    struct path_facts facts = { 0 };
    struct why_end own;

    report_own(session, &own);
    if (!session->path || !path_facts(session->path, &facts)) {
        *ret_why = (struct why){ .code = "none", .remedy = "" };
        return;
    }
    why_path(facts.kind, &own, &session->report.theirs,
             !session->has_ice_failed && clock_mono_ms() - session->report.up_at < 10000, ret_why);
}

static void on_told(void *user, const struct rpc_outcome *outcome)
{
    (void)user;
    (void)outcome; /* it stands in its audit, or not: the link does not depend on it */
}

/* "relay (nats) 192.0.2.10:443": the kind, why no better one, and where to. */
void report_text(const struct session *session, char to[64])
{
    struct path_facts path = { 0 };
    struct why why;

    to[0] = '\0';
    if (!session->path || !path_facts(session->path, &path))
        return;
    report_why(session, &why);
    if (path.kind == PATH_DIRECT)
        snprintf(to, 64, "direct %.46s %.6s", path.remote, path.remote_type);
    else
        snprintf(to, 64, "%.6s (%.24s) %.29s", path_kind_name(path.kind), why.code, path.remote);
}

static void put_path(const struct session *session, const char *text, struct buf *to)
{
    struct link_facts link = { 0 };
    struct why why;

    link_facts(session->link, &link);
    report_why(session, &why);
    rpc_put_map(to, 5);
    rpc_put_str(to, "sid");
    rpc_put_bin(to, VIEW_ARR(session->sid));
    rpc_put_str(to, "path");
    rpc_put_str(to, text);
    rpc_put_str(to, "code");
    rpc_put_str(to, why.code);
    rpc_put_str(to, "why");
    rpc_put_str(to, why.text);
    rpc_put_str(to, "rtt_us");
    rpc_put_u64(to, link.least_rtt_ns / 1000);
}

/* What this end signs: the path, and why no better one. */
static void tell_den(struct session *session)
{
    struct core *core = session->core;
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(core->trust);
    struct rpc_request context = { .netid = rpc_trust_netid(core->trust),
                                   .id = view_text(core->id) };
    _buf_ body = { 0 }, args = { 0 };
    char text[64];

    report_text(session, text);
    if (strstr(text, "(searching)")) {
        loop_timer_in(session->report.timer, DEN_AFTER_MS);
        return;
    }
    if (session->state != SESSION_UP || !session->is_known_to_den || !core->is_up || !heart ||
        session->report.n_told == DEN_MOST || text[0] == '\0' ||
        strcmp(text, session->report.told) == 0 ||
        !rpc_trust_den_sign(core->trust, core_now(core), &context.den_pk))
        return;
    session->report.n_told++;
    snprintf(session->report.told, sizeof(session->report.told), "%s", text);
    put_path(session, text, &body);
    context.beacon = heart->beacon;
    rpc_request_put(&args, core->key, &context, "den.session.path", buf_view(&body));
    rpc_client_call(core->client, clock_mono_ms(), "den.session.path", buf_view(&args), DEN_CALL_MS,
                    false, on_told, NULL);
    core_flush_soon(core);
}

static void on_den_timer(void *user)
{
    tell_den(user);
}

void report_path(struct session *session)
{
    if (!session->report.timer)
        session->report.timer = loop_timer_new(session->core->loop, on_den_timer, session);
    loop_timer_in(session->report.timer, DEN_AFTER_MS);
}

void report_up(struct session *session)
{
    session->report.up_at = clock_mono_ms();
    report_send(session);
    report_path(session);
}

void report_over(struct session *session)
{
    if (session->report.timer && session->report.n_told == 0 &&
        clock_mono_ms() - session->report.up_at >= SHORT_MS)
        tell_den(session);
}

void report_end(struct session *session)
{
    loop_timer_free(session->report.timer);
    session->report.timer = NULL;
    explain_end(session);
}
