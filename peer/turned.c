/* SPDX-License-Identifier: Apache-2.0 */
/* A session's way through the network's TURN servers: an ICE agent of its own beside the direct one, made when den's credential is
 * there, and signalled over the router. It delays nothing of the direct path, and stays ready when that one carries. */
#include "peer/session.h"

#include <stdio.h>

enum { TELL_CALL_MS = 10000, MAX_UFRAG = 256 };

struct turned {
    struct session *session;
    struct ice_turn config; /* wiped when the agent has it */
    struct carrier_ice *carrier;
    bool has_failed;
    bool is_told;              /* our credentials are */
    char *ours[ICE_MAX_LATER]; /* that wait for the grant, or the router */
    size_t n_ours;
    bool ours_ended, ours_end_told;
    char *ufrag, *pwd;           /* theirs; NULL: not yet */
    char *theirs[ICE_MAX_LATER]; /* that came before our agent */
    size_t n_theirs, n_theirs_all;
    bool theirs_ended, is_remote_set;
};

static bool is_allowed(const struct session *session)
{
    return session->policy == PEER_PATH_AUTO || session->policy == PEER_PATH_TURN;
}

/* Updates may come before den's answer: then there is nothing but them. */
static struct turned *get(struct session *session)
{
    if (!session->turned) {
        session->turned = mem_new(struct turned);
        session->turned->session = session;
    }
    return session->turned;
}

void turned_end(struct session *session)
{
    struct turned *turned = STEAL(session->turned);

    if (!turned)
        return;
    carrier_ice_free(turned->carrier);
    ice_turn_wipe(&turned->config);
    for (size_t i = 0; i < ICE_MAX_LATER; i++) {
        free(turned->ours[i]);
        free(turned->theirs[i]);
    }
    free(turned->ufrag);
    if (turned->pwd)
        mem_wipe(turned->pwd, strlen(turned->pwd));
    free(turned->pwd);
    free(turned);
}

/* ---- den's credential ------------------------------------------------------------------------ */

static void copy(struct view text, char *to, size_t size)
{
    snprintf(to, size, "%.*s", VIEW_FMT(text));
}

void turned_take(struct session *session, struct view value)
{
    struct rpc_turn_server server;
    struct rpc_turn turn;
    struct ice_turn *to;
    struct err ignored;

    if (!is_allowed(session) || rpc_value_kind(value) == RPC_NIL ||
        !rpc_turn_read(value, &turn, &ignored))
        return; /* the session does without */
    to = &get(session)->config;
    copy(turn.username, to->username, sizeof(to->username));
    copy(turn.password, to->password, sizeof(to->password));
    for (to->n_servers = 0; to->n_servers < turn.n_uris && to->n_servers < ICE_MAX_TURN;) {
        struct ice_turn_server *at = &to->servers[to->n_servers];
        if (!rpc_turn_uri_read(turn.uris[to->n_servers], &server, &ignored))
            break; /* rpc_turn_read() left these out */
        copy(server.host, at->host, sizeof(at->host));
        at->port = server.port;
        at->is_tcp = server.transport == RPC_TURN_TCP;
        if (!at->is_tcp)
            nat_take_second(session->core, at->host, at->port);
        to->n_servers++;
    }
}

/* ---- telling the other side -------------------------------------------------------------------- */

static void on_told(void *user, const struct rpc_outcome *outcome)
{
    (void)user;
    (void)outcome; /* without these candidates there may still be a path */
}

static void put_more(struct turned *turned, struct buf *to)
{
    bool tells_end = turned->ours_ended && !turned->ours_end_told;
    struct ice_description d = { 0 };

    ice_agent_describe(carrier_ice_agent(turned->carrier), &d);
    rpc_put_map(to, 3 + tells_end);
    rpc_put_str(to, "path");
    rpc_put_str(to, "turn");
    rpc_put_str(to, "ufrag");
    rpc_put_str(to, d.ufrag);
    rpc_put_str(to, "pwd");
    rpc_put_str(to, d.pwd);
    ice_description_deinit(&d);
    if (tells_end) {
        rpc_put_str(to, "end");
        rpc_put_bool(to, true);
        turned->ours_end_told = true;
    }
}

static void tell(struct turned *turned)
{
    struct session *session = turned->session;
    _free_ char *procedure = mem_format("peer.%s.ice.update", session->remote_id);
    bool tells_end = turned->ours_ended && !turned->ours_end_told;
    _buf_wipe_ args = { 0 };

    if (!turned->carrier || !session->core->is_up || !session->core->client ||
        (session->state != SESSION_CONNECTING && session->state != SESSION_UP) ||
        (turned->is_told && turned->n_ours == 0 && !tells_end))
        return;
    rpc_put_array(&args, 3);
    rpc_put_bin(&args, VIEW_ARR(session->sid));
    rpc_put_array(&args, (uint32_t)turned->n_ours);
    for (size_t i = 0; i < turned->n_ours; i++) {
        rpc_put_str(&args, turned->ours[i]);
        free(STEAL(turned->ours[i]));
    }
    turned->n_ours = 0;
    turned->is_told = true;
    put_more(turned, &args);
    rpc_client_call(session->core->client, clock_mono_ms(), procedure, buf_view(&args),
                    TELL_CALL_MS, false, on_told, NULL);
    core_flush_soon(session->core);
}

static void on_candidate(void *user, const char *line)
{
    struct turned *turned = user;

    if (turned->n_ours < ICE_MAX_LATER)
        turned->ours[turned->n_ours++] = mem_text(line);
    tell(turned);
}

static void on_gathered(void *user)
{
    struct turned *turned = user;

    turned->ours_ended = true;
    tell(turned);
}

static void on_state(void *user, enum ice_state state)
{
    struct turned *turned = user;

    turned->has_failed = state == ICE_FAILED;
    if (turned->has_failed)
        session_look_for_path(turned->session);
}

/* ---- hearing of it ----------------------------------------------------------------------------- */

static void give(struct turned *turned, const char *line)
{
    struct err ignored;

    ice_agent_add_remote(carrier_ice_agent(turned->carrier), view_text(line), &ignored);
}

/* As far as both have come. */
static void pair(struct turned *turned)
{
    struct ice_description theirs = { .ufrag = turned->ufrag, .pwd = turned->pwd };
    struct err ignored;

    if (!turned->carrier || !turned->ufrag)
        return;
    if (!turned->is_remote_set)
        turned->is_remote_set =
            ice_agent_set_remote(carrier_ice_agent(turned->carrier), &theirs, &ignored);
    for (size_t i = 0; i < turned->n_theirs; i++) {
        give(turned, turned->theirs[i]);
        free(STEAL(turned->theirs[i]));
    }
    turned->n_theirs = 0;
    if (turned->theirs_ended)
        ice_agent_end_remote(carrier_ice_agent(turned->carrier));
}

/* The same rules as for a description that is signed. */
static void take_credentials(struct turned *turned, struct view more)
{
    struct view ufrag = { 0 }, pwd = { 0 };
    _cleanup_(ice_description_deinit) struct ice_description d = { 0 };
    _buf_wipe_ text = { 0 };
    struct err ignored;

    if (turned->ufrag || !rpc_map_text(more, "ufrag", &ufrag) || !rpc_map_text(more, "pwd", &pwd) ||
        ufrag.len > MAX_UFRAG || pwd.len > MAX_UFRAG)
        return;
    buf_printf(&text, "ice-ufrag:%.*s\nice-pwd:%.*s\n", VIEW_FMT(ufrag), VIEW_FMT(pwd));
    if (!ice_description_read(buf_view(&text), &d, &ignored) || d.n_candidates || d.is_complete)
        return;
    turned->ufrag = STEAL(d.ufrag);
    turned->pwd = STEAL(d.pwd);
}

void turned_update(struct session *session, struct view list, struct view more)
{
    struct turned *turned = get(session);
    struct rpc_fields f;
    struct err ignored;

    take_credentials(turned, more);
    rpc_fields_open(&f, list);
    while (rpc_fields_more(&f)) {
        struct view line = rpc_fields_text(&f, "candidate", ICE_MAX_LINE);
        if (turned->n_theirs_all == ICE_MAX_LATER || !ice_candidate_check(line, true, &ignored))
            continue;
        turned->theirs[turned->n_theirs++] = view_dup_text(line);
        turned->n_theirs_all++;
    }
    turned->theirs_ended |= rpc_map_bool(more, "end");
    pair(turned);
}

/* ---- the agent ----------------------------------------------------------------------------------- */

void turned_begin(struct session *session)
{
    static const struct carrier_ice_events events = { on_candidate, on_gathered, on_state };
    struct turned *turned = session->turned;
    struct ice_description ours = { 0 };
    struct err ignored;

    /* Where policy names other paths alone, what den gave is not even asked with. */
    if (!turned || turned->carrier || turned->config.n_servers == 0 ||
        (session->policy != PEER_PATH_AUTO && session->policy != PEER_PATH_TURN))
        return;
    const struct carrier_ice_config config = {
        .context = loop_context(session->core->loop),
        .is_controlling = session->is_caller,
        .allow_loopback = session->core->allow_loopback,
        .turn = &turned->config,
        .events = &events,
        .user = turned,
    };
    if (carrier_ice_new(session->path, &config, &turned->carrier, &ignored) &&
        !ice_agent_gather(carrier_ice_agent(turned->carrier), &ignored))
        turned->has_failed = true;
    ice_turn_wipe(&turned->config);
    if (!turned->carrier)
        return;
    ice_agent_describe(carrier_ice_agent(turned->carrier), &ours); /* from now on it tells */
    for (size_t i = 0; i < ours.n_candidates && turned->n_ours < ICE_MAX_LATER; i++)
        turned->ours[turned->n_ours++] = mem_text(ours.candidates[i]);
    ice_description_deinit(&ours);
    tell(turned);
    pair(turned);
}

bool turned_has_candidate(const struct session *session)
{
    const struct turned *turned = session->turned;

    return turned && turned->carrier && ice_agent_has_relayed(carrier_ice_agent(turned->carrier));
}

bool turned_may_come(const struct session *session)
{
    return session->turned && session->turned->carrier && !session->turned->has_failed;
}
