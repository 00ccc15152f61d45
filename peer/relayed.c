/* SPDX-License-Identifier: Apache-2.0 */
/* A session's connection to the router's relay: made while the session is being agreed on, so that the link begins
 * at once, and kept beside a better path for when that one dies. */
#include "peer/session.h"

enum {
    LEAST_PAUSE_MS = 4000,
    SILENT_PAUSE_MS = 6000, /* at most, while no path lives: the link has 25 s */
    MOST_PAUSE_MS = 30000,
};
static const uint64_t DEAD_NS = UINT64_C(3000000000);

static bool on_judge(void *user, const char *host, const struct view *chain, size_t n,
                     struct err *err)
{
    struct session *session = user;

    return join_judge_router(session->core, host, chain, n, err);
}

/* Y: this session's end, over this connection. */
static void sign_relay(const struct session *session, const struct carrier_relay_greeting *greeting,
                       struct buf *to, uint8_t sig[SIG_SIZE])
{
    const struct rpc_relay y = {
        .netid = rpc_trust_netid(session->core->trust),
        .sid = VIEW_ARR(session->sid),
        .grant_hash = VIEW_ARR(session->grant_hash),
        .side = session->is_caller ? RPC_SIDE_CALLER : RPC_SIDE_CALLEE,
        .pk = key_public_view(session->core->key),
        .router_pk = greeting->router_pk,
        .binding = view_text(greeting->binding.name),
        .binding_data = VIEW_ARR(greeting->binding.data),
        .nonce = greeting->nonce,
    };

    rpc_statement_sign(RPC_W_RELAY, &y, session->core->key, to, sig);
}

static bool put_opening(void *user, const struct carrier_relay_greeting *greeting, struct buf *to)
{
    struct session *session = user;
    struct core *core = session->core;
    uint8_t sig[SIG_SIZE];
    _buf_ statement = { 0 };
    struct err err;

    if (!session->may_relay || core->admission.len == 0 ||
        !rpc_trust_check_key(core->trust, RPC_KEY_ROUTER, greeting->router_pk, core_now(core),
                             &err))
        return false;
    sign_relay(session, greeting, &statement, sig);
    rpc_put_array(to, 6);
    rpc_put_bin(to, buf_view(&session->grant));
    rpc_put_bin(to, VIEW_ARR(session->grant_sig));
    rpc_put_bin(to, buf_view(&statement));
    rpc_put_bin(to, VIEW_ARR(sig));
    rpc_put_bin(to, buf_view(&core->admission));
    rpc_put_bin(to, buf_view(&core->admission_sig));
    return true;
}

static void on_state(void *user, enum carrier_relay_state state, const struct err *why)
{
    struct session *session = user;

    if (why)
        session->relay_why = *why;
    session->is_relay_over = state == CARRIER_RELAY_OVER;
    if (state == CARRIER_RELAY_OVER)
        session_look_for_path(session);
}

/* The first of the grant's, or the router that we are connected to. */
static bool find_host(const struct session *session, struct rpc_join_host *ret_host)
{
    const struct rpc_items *named = &session->g.relay;
    struct err ignored;

    if (session->may_relay && named->n)
        return rpc_join_read_host(named->item[0], ret_host, &ignored);
    if (!session->core->uplink)
        return false;
    *ret_host = *rpc_uplink_host(session->core->uplink);
    return true;
}

/* Wherever it is: both ends come to the same one. */
static size_t find_hosts(const struct session *session, struct rpc_join_host to[RPC_JOIN_HOSTS])
{
    const struct rpc_items *named = &session->g.relay;
    const struct rpc_join *join = &session->core->join;
    struct err ignored;
    size_t n = 0;

    if (!session->may_relay || named->n == 0) {
        memcpy(to, join->hosts, join->n_hosts * sizeof(*to));
        return join->n_hosts;
    }
    for (size_t i = 0; i < named->n && n < RPC_JOIN_HOSTS; i++)
        n += rpc_join_read_host(named->item[i], &to[n], &ignored);
    return n;
}

void relayed_begin(struct session *session)
{
    struct core *core = session->core;
    _free_ char *name = mem_format("router.%s", core->join.network);
    struct carrier_relay_config config = {
        .ws = core->ws,
        .server_name = name,
        .is_eager = session->is_caller,
        .judge = on_judge,
        .put_opening = put_opening,
        .on_state = on_state,
        .user = session,
    };

    if (session->relay || !core->ws || !find_host(session, &config.host) ||
        session->policy == PEER_PATH_DIRECT || session->policy == PEER_PATH_TURN)
        return;
    config.n_others = find_hosts(session, config.others);
    carrier_relay_new(session->path, &config, &session->relay);
}

void relayed_open(struct session *session)
{
    struct rpc_join_host host, hosts[RPC_JOIN_HOSTS];

    session->may_relay = true;
    relayed_begin(session);
    if (!session->relay)
        return;
    carrier_relay_set_others(session->relay, hosts, find_hosts(session, hosts));
    if (session->g.relay.n && find_host(session, &host))
        carrier_relay_move(session->relay, &host);
    carrier_relay_open(session->relay);
}

/* TCP may wait for minutes for what a NAT forgot. */
static bool is_dead(const struct session *session)
{
    uint64_t silent = path_silent_for(session->path),
             dead = path_dead_for(session->path, PATH_RELAY);

    return (silent > dead ? silent : dead) >= DEAD_NS;
}

/* A relay that the grant names is at one place. The router has several addresses, of which this one may not be reached from here any
 * more, as the machine is in another network: then where it is reached now. False: it is there. */
static bool follow_router(struct session *session)
{
    const struct core *core = session->core;

    return !session->g.relay.n && core->is_up && core->uplink &&
           carrier_relay_move(session->relay, rpc_uplink_host(core->uplink));
}

static void renew(struct session *session)
{
    if (!follow_router(session))
        carrier_relay_renew(session->relay);
}

void relayed_look(struct session *session)
{
    uint64_t now = clock_mono_ms(), most = MOST_PAUSE_MS;

    if (!session->relay || session->is_relay_over || !session->path)
        return;
    if (!is_dead(session)) {
        session->relay_pause = 0;
        return;
    }
    if (path_silent_for(session->path) >= DEAD_NS)
        most = SILENT_PAUSE_MS;
    if (now - session->relay_renewed_at < min_u64(session->relay_pause, most))
        return;
    if (session->core->uplink)
        rpc_uplink_doubt(session->core->uplink); /* which may go the same way */
    session->relay_renewed_at = now;
    session->relay_pause =
        session->relay_pause ? min_u64(2 * session->relay_pause, MOST_PAUSE_MS) : LEAST_PAUSE_MS;
    renew(session);
}

void relayed_moved(struct session *session)
{
    session->relay_pause = 0;
    if (session->relay && !session->is_relay_over && carrier_relay_is_stranded(session->relay))
        renew(session);
}

void relayed_up(struct session *session)
{
    if (session->relay && !session->is_relay_over && session->state == SESSION_UP &&
        !carrier_relay_is_alive(session->relay))
        follow_router(session);
}

void relayed_end(struct session *session)
{
    carrier_relay_free(STEAL(session->relay));
}
