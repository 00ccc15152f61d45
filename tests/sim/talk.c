/* SPDX-License-Identifier: Apache-2.0 */
/* What nodes say to each other once they are members: numbered calls and numbered events. */
#include "tests/sim/node.h"

#include <stdio.h>

enum { GRANT_MS = 3600000, INSTALL_MS = 10000 };
static const char topic[] = "den.session.on_state"; /* which den publishes and peers may hear */

static void procedure_of(const struct sim_node *node, char to[64])
{
    snprintf(to, 64, "peer.%s.echo.say", node->id);
}

static bool read_number(struct rpc_payload payload, uint64_t *ret_number)
{
    struct rpc_fields f;

    rpc_fields_open(&f, rpc_payload_args(payload));
    *ret_number = rpc_fields_u64(&f, "number");
    return !f.has_failed;
}

/* ---- serving --------------------------------------------------------------------------------- */

struct reply {
    struct sim_node *node;
    unsigned start;
    uint64_t inv;
    unsigned n_progress;
};

static void reply_later(struct reply *reply);

static void say_reply(void *user)
{
    struct reply *reply = user;
    struct rpc_client *client;
    struct err no = { 0 };
    uint8_t none = 0x90;

    if (!reply->node->uplink || reply->node->n_starts != reply->start) {
        free(reply);
        return;
    }
    client = node_client(reply->node);
    if (reply->n_progress) {
        reply->n_progress--;
        rpc_client_yield(client, reply->inv, true, VIEW(&none, 1));
        rpc_uplink_flush(reply->node->uplink);
        reply_later(reply);
        return;
    }
    if (sim_draw(reply->node->sim, 8)) {
        rpc_client_yield(client, reply->inv, false, VIEW(&none, 1));
    } else {
        err_set(&no, ERR_BUSY, "not now");
        rpc_client_refuse(client, reply->inv, "peer", &no);
    }
    rpc_uplink_flush(reply->node->uplink);
    free(reply);
}

static void reply_later(struct reply *reply)
{
    struct sim *sim = reply->node->sim;

    net_at(sim->net, net_now(sim->net) + sim_draw(sim, reply->node->lazy_ms + 1), say_reply, reply);
}

static struct sim_heard *find_caller(struct sim_node *node, struct view id)
{
    struct sim_heard *heard;

    LIST_EACH(heard, &node->callers, node) {
        if (view_eq_text(id, heard->who))
            return heard;
    }
    heard = mem_new(struct sim_heard);
    snprintf(heard->who, sizeof(heard->who), "%.*s", VIEW_FMT(id));
    list_append(&node->callers, &heard->node);
    return heard;
}

static void on_inv(void *user, const struct rpc_inv *inv)
{
    struct sim_node *node = user;
    struct sim_heard *caller = find_caller(node, inv->invocation->caller_authid);
    struct reply *reply;
    uint64_t number = 0;

    CHECK(read_number(inv->invocation->payload, &number));
    if (number <= caller->last)
        check_failed(__FILE__, __LINE__, "%s: call %llu of %s after %llu", node->name,
                     (unsigned long long)number, caller->who, (unsigned long long)caller->last);
    caller->last = number;
    node->n_served++;
    if (node->lazy_ms && !sim_draw(node->sim, 16)) /* some are never answered */
        return;
    reply = mem_new(struct reply);
    *reply = (struct reply){ node, node->n_starts, inv->number, 0 };
    if (inv->invocation->receive_progress)
        reply->n_progress = (unsigned)sim_draw(node->sim, 4);
    reply_later(reply);
}

void sim_serve(struct sim_node *node, uint32_t lazy_ms)
{
    char procedure[64];

    node->lazy_ms = lazy_ms;
    node->serves = true;
    procedure_of(node, procedure);
    rpc_client_register(node_client(node), clock_mono_ms(), procedure, on_inv, node);
    rpc_uplink_flush(node->uplink);
}

unsigned sim_n_served(const struct sim_node *node)
{
    return node->n_served;
}

/* ---- calling --------------------------------------------------------------------------------- */

static void on_outcome(void *user, const struct rpc_outcome *outcome)
{
    struct sim_made *made = user;

    CHECK_U64(made->call.n_last, 0);
    if (outcome->what == RPC_PROGRESS) {
        made->call.n_progress++;
        return;
    }
    made->call.n_last++;
    made->call.is_good = outcome->what == RPC_RESULTED;
    made->call.code = outcome->err.code;
    made->call.done_at = clock_mono_ms();
}

static const struct sim_call *call(struct sim_node *from, const char *procedure, struct view args,
                                   uint64_t timeout, bool wants_progress)
{
    struct sim *sim = from->sim;
    struct sim_made *made = mem_new(struct sim_made);

    made->by = from;
    made->start = from->n_starts;
    sim->calls = mem_resize(sim->calls, sim->n_calls + 1, sizeof(struct sim_made *));
    sim->calls[sim->n_calls++] = made;
    rpc_client_call(node_client(from), clock_mono_ms(), procedure, args, timeout, wants_progress,
                    on_outcome, made);
    rpc_uplink_flush(from->uplink);
    return &made->call;
}

const struct sim_call *sim_call(struct sim_node *from, struct sim_node *to, uint64_t timeout,
                                bool wants_progress)
{
    char procedure[64];

    _buf_ args = { 0 };

    rpc_put_array(&args, 1);
    rpc_put_u64(&args, ++from->n_calls);
    procedure_of(to, procedure);
    return call(from, procedure, buf_view(&args), timeout, wants_progress);
}

const struct sim_call *sim_ask(struct sim_node *from, const char *procedure, uint64_t timeout)
{
    return call(from, procedure, (struct view){ 0 }, timeout, false);
}

bool talk_is_done(const struct sim *sim)
{
    for (size_t i = 0; i < sim->n_calls; i++) {
        const struct sim_made *made = sim->calls[i];
        if (!made->call.n_last && made->by->uplink && made->by->n_starts == made->start)
            return false;
    }
    return true;
}

/* Who ended with its caller may have had none. */
void talk_check(const struct sim *sim)
{
    for (size_t i = 0; i < sim->n_calls; i++) {
        const struct sim_made *made = sim->calls[i];
        if (made->by->n_starts == made->start && made->by->uplink)
            CHECK_U64(made->call.n_last, 1);
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

static void on_event(void *user, const struct rpc_event *event)
{
    struct sim_node *node = user;
    uint64_t number = 0;

    CHECK(read_number(event->payload, &number));
    if (number <= node->last_heard)
        check_failed(__FILE__, __LINE__, "%s: event %llu after %llu", node->name,
                     (unsigned long long)number, (unsigned long long)node->last_heard);
    node->last_heard = number;
    node->n_heard++;
}

void sim_listen(struct sim_node *node)
{
    node->listens = true;
    rpc_client_subscribe(node_client(node), clock_mono_ms(), topic, false, on_event, node);
    rpc_uplink_flush(node->uplink);
}

void sim_tell(struct sim *sim, size_t size)
{
    const struct rpc_publish_options options = { 0 };
    _buf_ args = { 0 };
    _buf_ filling = { 0 };

    for (size_t i = 0; i < size; i++)
        buf_put_u8(&filling, 'x');
    rpc_put_array(&args, 2);
    rpc_put_u64(&args, ++sim->n_told);
    rpc_put_bin(&args, buf_view(&filling));
    rpc_client_publish(node_client(sim->den), clock_mono_ms(), topic, &options, buf_view(&args));
    rpc_uplink_flush(sim->den->uplink);
}

unsigned sim_n_heard(const struct sim_node *node)
{
    return node->n_heard;
}

unsigned sim_n_told(const struct sim *sim)
{
    return (unsigned)sim->n_told;
}

/* ---- grants ---------------------------------------------------------------------------------- */

static void on_installed(void *user, const struct rpc_outcome *outcome)
{
    (void)user;
    if (outcome->what == RPC_FAILED && outcome->err.code != ERR_NETWORK_FAILURE &&
        outcome->err.code != ERR_CLOSED)
        check_failed(__FILE__, __LINE__, "grant: %s", outcome->err.text);
}

static void install(struct sim *sim, size_t i)
{
    uint8_t sid[RPC_SID], hash[HASH_SIZE] = { 9 }, sig[SIG_SIZE];
    _buf_ bytes = { 0 };
    struct world *w = sim->world;
    const struct sim_node *a = sim->grants[i].from, *b = sim->grants[i].to;
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(den_world_trust(w));
    const struct rpc_grant g = {
        .netid = rpc_trust_netid(den_world_trust(w)),
        .sid = VIEW_ARR(sid),
        .a_id = view_text(a->id),
        .a_pk = key_public_view(a->key),
        .b_id = view_text(b->id),
        .b_pk = key_public_view(b->key),
        .dial_hash = VIEW_ARR(hash),
        .caps = { { VIEW_LIT("call:echo") }, 1 },
        .caps_back = { { VIEW_LIT("call:echo") }, 1 },
        .issued_at = clock_wall_ms(),
        .live_until = clock_wall_ms() + GRANT_MS,
        .beacon = heart->beacon,
        .crl_no = heart->crl_no,
        .policy_no = heart->policy_no,
    };
    _buf_ args = { 0 };

    random_bytes(sid, sizeof(sid));
    rpc_put_array(&args, 2);
    rpc_statement_sign(RPC_W_GRANT, &g, den_world_sign_key(w), &bytes, sig);
    rpc_put_bin(&args, buf_view(&bytes));
    rpc_put_bin(&args, VIEW_ARR(sig));
    rpc_client_call(node_client(sim->den), clock_mono_ms(), "network.grant.install",
                    buf_view(&args), INSTALL_MS, false, on_installed, NULL);
    rpc_uplink_flush(sim->den->uplink);
}

void sim_grant(struct sim *sim, struct sim_node *from, struct sim_node *to)
{
    CHECK(sim->n_grants < SIM_GRANTS);
    sim->grants[sim->n_grants].from = from;
    sim->grants[sim->n_grants].to = to;
    install(sim, sim->n_grants++);
}

void talk_granted(struct sim *sim)
{
    for (size_t i = 0; i < sim->n_grants; i++)
        install(sim, i);
}

void talk_start(struct sim_node *node)
{
    if (node->serves)
        sim_serve(node, node->lazy_ms);
    if (node->listens)
        sim_listen(node);
}
