/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions through a real den behind a real router: den_dial DEN_FOLDER port=N [pairs=N requests=N window=N]
 * `pairs` members dial as many others, requests= dials, window= at a time, each den.session.open to its answer: a grant, and
 * the callee's accept. Dials are signed before the clock starts, of which a line of its own tells; what the callee does is
 * reading the offer and signing the accept, for it has to name the grant. The peers are den_load's; their TLS keys are said
 * to be certified by den's store. Prints lines of JSON. */
#include "tests/bench/road.h"

#include <stdio.h>

enum { OPENING = 32, CALL_TIMEOUT_MS = 60000, ICE_SIZE = 300 };

static struct road road;

struct member {
    struct session session;
    struct key *key; /* the callee's */
    uint8_t spki[HASH_SIZE];
};

static struct {
    struct member *members;
    struct buf *args; /* of each dial, in order */
    uint64_t *sent_at;
    size_t pairs, n_opened, n_up, n_dials, window, n_sent, n_answered;
    uint64_t first_at, last_at; /* ns */
    struct samples samples;
    uint8_t ice[ICE_SIZE], ice_hash[HASH_SIZE];
    struct rpc_items caps;
} load;

/* Of the TLS key that nobody has; scripts/bench_den.py puts the same into den's store. */
static void make_spki(const char *id, uint8_t ret_spki[HASH_SIZE])
{
    char text[64];

    snprintf(text, sizeof(text), "warren bench tls %s", id);
    hash_sha256(view_text(text), ret_spki);
}

/* ---- the caller ----------------------------------------------------------------------------------- */

static void put_dial(struct buf *args, const struct member *from, const struct key *key,
                     const struct member *to)
{
    uint8_t sid[RPC_SID], sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    random_bytes(sid, sizeof(sid));
    const struct rpc_dial dial = {
        .netid = rpc_trust_netid(road.trust),
        .sid = VIEW_ARR(sid),
        .a_id = view_text(from->session.id),
        .a_pk = key_public_view(key),
        .b_id = view_text(to->session.id),
        .caps = load.caps,
        .a_spki = VIEW_ARR(from->spki),
        .a_ice = VIEW_ARR(load.ice_hash),
        .beacon = rpc_trust_heartbeat(road.trust)->beacon,
    };
    rpc_statement_sign(RPC_W_DIAL, &dial, key, &bytes, sig);
    rpc_put_array(args, 3);
    rpc_put_bin(args, buf_view(&bytes));
    rpc_put_bin(args, VIEW_ARR(sig));
    rpc_put_bin(args, VIEW_ARR(load.ice));
}

/* Dial d is of caller d % pairs, to another callee each time. */
static void prepare(void)
{
    for (size_t i = 0; i < load.pairs; i++) {
        const struct member *from = &load.members[i];
        struct key *key = peer_key((uint32_t)i);
        for (size_t d = i; d < load.n_dials; d += load.pairs)
            put_dial(&load.args[d], from, key,
                     &load.members[load.pairs + (i + d / load.pairs) % load.pairs]);
        key_free(key);
    }
}

static rpc_on_outcome on_answered;

static void send_next(void)
{
    size_t d = load.n_sent++;
    struct session *s = &load.members[d % load.pairs].session;

    load.sent_at[d] = clock_mono_ns();
    rpc_client_call(s->client, load.sent_at[d] / 1000000, "den.session.open",
                    buf_view(&load.args[d]), CALL_TIMEOUT_MS, false, on_answered, &load.sent_at[d]);
    session_flush(s);
}

static void say_end(void)
{
    printf("{\"sessions\": %zu, \"value\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
           load.n_answered, (double)load.n_answered * 1e9 / (double)(load.last_at - load.first_at),
           samples_us(&load.samples, 0.5), samples_us(&load.samples, 0.99));
    fflush(stdout);
    rpc_loop_stop(road.loop);
}

static void on_answered(void *user, const struct rpc_outcome *outcome)
{
    if (outcome->what == RPC_PROGRESS)
        return;
    if (outcome->what == RPC_FAILED)
        give_up("a session", &outcome->err);
    load.last_at = clock_mono_ns();
    samples_add(&load.samples, load.last_at - *(const uint64_t *)user);
    if (load.n_sent < load.n_dials)
        send_next();
    if (++load.n_answered == load.n_dials)
        say_end();
}

/* ---- the callee ----------------------------------------------------------------------------------- */

static void put_accept(struct buf *args, const struct member *m, const struct rpc_grant *g,
                       struct view grant)
{
    uint8_t hash[HASH_SIZE], sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    hash_sha256(grant, hash);
    const struct rpc_accept accept = {
        .netid = g->netid,
        .sid = g->sid,
        .grant_hash = VIEW_ARR(hash),
        .b_id = g->b_id,
        .b_pk = g->b_pk,
        .caps = g->caps,
        .b_spki = VIEW_ARR(m->spki),
        .b_ice = VIEW_ARR(load.ice_hash),
    };
    rpc_statement_sign(RPC_W_ACCEPT, &accept, m->key, &bytes, sig);
    rpc_put_array(args, 3);
    rpc_put_bin(args, buf_view(&bytes));
    rpc_put_bin(args, VIEW_ARR(sig));
    rpc_put_bin(args, VIEW_ARR(load.ice));
}

static void on_offer(void *user, const struct rpc_inv *inv)
{
    const struct member *m = user;
    struct rpc_fields fields;
    struct rpc_grant g;
    _buf_ args = { 0 };
    struct err err = { 0 };

    rpc_fields_open(&fields, rpc_payload_args(inv->invocation->payload));
    struct view grant = rpc_fields_bin(&fields, "grant", RPC_MAX_STATEMENT);
    if (!rpc_statement_read(RPC_W_GRANT, grant, &g, &err))
        give_up("an offer", &err);
    put_accept(&args, m, &g, grant);
    rpc_client_yield(m->session.client, inv->number, false, buf_view(&args));
}

/* ---- the beginning -------------------------------------------------------------------------------- */

static void on_go(_unused_ void *user)
{
    prepare();
    printf("{\"said\": \"started\"}\n");
    fflush(stdout);
    load.first_at = clock_mono_ns();
    for (size_t i = 0; i < load.window && load.n_sent < load.n_dials; i++)
        send_next();
}

static void open_next(void)
{
    if (load.n_opened < 2 * load.pairs)
        session_open(&load.members[load.n_opened++].session);
}

static void on_up(struct session *s)
{
    static struct rpc_timer *go;
    struct member *m = s->user;
    char procedure[64];

    make_spki(s->id, m->spki);
    if (s->number >= load.pairs) {
        m->key = peer_key(s->number);
        snprintf(procedure, sizeof(procedure), "peer.%s.session.offer", s->id);
        rpc_client_register(s->client, clock_mono_ms(), procedure, on_offer, m);
    }
    open_next();
    if (++load.n_up < 2 * load.pairs)
        return;
    go = rpc_timer_new(road.loop, on_go, NULL); /* outside of the session that came last */
    rpc_timer_set(go, clock_mono_ms() + 500);   /* the last registrations are on their way */
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fputs("usage: den_dial DEN_FOLDER port=N [pairs=N requests=N window=N]\n", stderr);
        return 2;
    }
    road_open(&road, argv[1], (uint16_t)argument(argv + 2, "port", 0));
    load.pairs = argument(argv + 2, "pairs", 400);
    load.n_dials = argument(argv + 2, "requests", 10000);
    load.window = argument(argv + 2, "window", 256);
    load.members = mem_array(struct member, 2 * load.pairs);
    load.args = mem_array(struct buf, load.n_dials);
    load.sent_at = mem_array(uint64_t, load.n_dials);
    load.caps.item[load.caps.n++] = VIEW_LIT("chat");
    random_bytes(load.ice, sizeof(load.ice));
    hash_sha256(VIEW_ARR(load.ice), load.ice_hash);
    for (size_t i = 0; i < 2 * load.pairs; i++)
        load.members[i].session = (struct session){
            .road = &road, .number = (uint32_t)i, .on_up = on_up, .user = &load.members[i]
        };
    for (size_t i = 0; i < OPENING; i++)
        open_next();
    rpc_loop_run(road.loop);
    return 0; /* connections end with the process: nothing is to be tidied up */
}
