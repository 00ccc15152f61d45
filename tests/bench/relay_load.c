/* SPDX-License-Identifier: Apache-2.0 */
/* Load for a real router's relay: relay_load DEN_FOLDER port=N [name=N ...]
 *   sessions= pairs of ends, size= bytes of a datagram, window= bytes on their way in each session,
 *   seconds= to measure, router= the router's process, whose CPU time is told
 * Both ends are in this program. It holds den's key and makes grants of before the router's start, which need not be
 * installed. One line of JSON. */
#include "tests/bench/road.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { WARM_MS = 500, MAX_SESSIONS = 64, MAX_SIZE = 1500 };

struct end {
    struct pair *pair;
    unsigned side;
    struct rpc_ws_conn *conn;
    bool has_opened;
};

struct pair {
    struct end ends[2];
    struct key *keys[2];
    struct buf grant;
    uint8_t grant_sig[SIG_SIZE], sid[RPC_SID];
    uint64_t n_sent, n_received;
    bool is_paired;
};

static struct road road;
static struct pair *pairs;
static uint64_t n_pairs, size, window, router_pid;
static unsigned n_ready;
static uint64_t n_bytes, n_datagrams, started_at, cpu_at_start;
static bool is_measuring;
static struct rpc_timer *timer;

/* User and system time of a process, in us; 0: unknown. */
static uint64_t cpu_of(uint64_t pid)
{
    _free_ char *path = mem_format("/proc/%" PRIu64 "/stat", pid);
    unsigned long user = 0, kernel = 0;
    FILE *file = pid ? fopen(path, "re") : NULL;
    char line[1024], *rest;

    if (file && fgets(line, sizeof(line), file) && (rest = strrchr(line, ')')))
        sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel);
    if (file)
        fclose(file);
    return (user + kernel) * (1000000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* ---- what den would have signed ---------------------------------------------------------------- */

static void make_grant(struct pair *pair, uint32_t number)
{
    static const uint8_t zeros[HASH_SIZE];
    char a[TEXT_ID], b[TEXT_ID];
    struct rpc_grant g = {
        .netid = rpc_trust_netid(road.trust),
        .sid = VIEW_ARR(pair->sid),
        .dial_hash = VIEW_ARR(zeros),
        .issued_at = clock_wall_ms() - HOUR_MS,
        .beacon = VIEW(zeros, RPC_BEACON),
    };

    peer_id(number, a);
    peer_id(number + 1, b);
    pair->keys[0] = peer_key(number);
    pair->keys[1] = peer_key(number + 1);
    random_bytes(pair->sid, sizeof(pair->sid));
    g.a_id = view_text(a);
    g.b_id = view_text(b);
    g.a_pk = key_public_view(pair->keys[0]);
    g.b_pk = key_public_view(pair->keys[1]);
    rpc_statement_sign(RPC_W_GRANT, &g, road.sign, &pair->grant, pair->grant_sig);
}

static void put_admission(const struct end *end, uint32_t number, struct buf *to)
{
    char id[TEXT_ID];
    struct rpc_admission a = {
        .netid = rpc_trust_netid(road.trust),
        .network = view_text(rpc_trust_network(road.trust)),
        .client_pk = key_public_view(end->pair->keys[end->side]),
        .role = VIEW_LIT("peer"),
        .adm_no = 1,
        .issued_at = clock_wall_ms() - MINUTE_MS,
        .not_after = clock_wall_ms() + DAY_MS,
    };
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    peer_id(number, id);
    a.id = view_text(id);
    rpc_statement_sign(RPC_W_ADMISSION, &a, road.sign, &bytes, sig);
    rpc_put_bin(to, buf_view(&bytes));
    rpc_put_bin(to, VIEW_ARR(sig));
}

static void open_end(struct end *end, struct view greeting)
{
    struct pair *pair = end->pair;
    uint8_t hash[HASH_SIZE], exporter[32], sig[SIG_SIZE];
    struct rpc_relay y = {
        .netid = rpc_trust_netid(road.trust),
        .sid = VIEW_ARR(pair->sid),
        .grant_hash = VIEW_ARR(hash),
        .side = end->side,
        .pk = key_public_view(pair->keys[end->side]),
        .router_pk = view_sub(greeting, RPC_NONCE32, KEY_SIZE),
        .binding = VIEW_LIT("tls-exporter"),
        .binding_data = VIEW_ARR(exporter),
        .nonce = view_sub(greeting, 0, RPC_NONCE32),
    };
    _buf_ bytes = { 0 }, opening = { 0 };

    hash_sha256(buf_view(&pair->grant), hash);
    rpc_ws_exporter(end->conn, exporter);
    rpc_statement_sign(RPC_W_RELAY, &y, pair->keys[end->side], &bytes, sig);
    rpc_put_array(&opening, 6);
    rpc_put_bin(&opening, buf_view(&pair->grant));
    rpc_put_bin(&opening, VIEW_ARR(pair->grant_sig));
    rpc_put_bin(&opening, buf_view(&bytes));
    rpc_put_bin(&opening, VIEW_ARR(sig));
    put_admission(end, (uint32_t)(2 * (pair - pairs)) + end->side, &opening);
    rpc_ws_send(end->conn, buf_view(&opening));
    end->has_opened = true;
}

/* ---- datagrams ----------------------------------------------------------------------------------- */

static void fill(struct pair *pair)
{
    static const uint8_t bytes[MAX_SIZE];

    while (pair->n_sent - pair->n_received < window) {
        rpc_ws_send(pair->ends[0].conn, VIEW(bytes, (size_t)size));
        pair->n_sent += size;
    }
}

static void on_datagram(struct pair *pair, struct view datagram)
{
    pair->n_received += datagram.len;
    if (is_measuring) {
        n_bytes += datagram.len;
        n_datagrams++;
    }
    if (pair->n_sent - pair->n_received < window / 2)
        fill(pair);
}

static void on_word(struct end *end, struct view word)
{
    if (!view_eq_text(word, "paired") || end->side != 1)
        return;
    end->pair->is_paired = true;
    if (++n_ready == n_pairs) {
        for (size_t i = 0; i < n_pairs; i++)
            fill(&pairs[i]);
        rpc_timer_set(timer, clock_mono_ms() + WARM_MS);
    }
}

static void on_message(void *user, struct rpc_ws_conn *conn, struct view message)
{
    struct end *end = user;

    if (rpc_ws_is_text(conn))
        on_word(end, message);
    else if (!end->has_opened)
        open_end(end, message);
    else
        on_datagram(end->pair, message);
}

static void on_opened(void *user, struct rpc_ws_conn *conn)
{
    (void)user;
    (void)conn;
}

static void on_closed(void *user, struct rpc_ws_conn *conn, const struct err *why)
{
    (void)user;
    (void)conn;
    give_up("an end of the relay", why);
}

static void connect_end(struct end *end)
{
    static const struct rpc_ws_events events = { .opened = on_opened,
                                                 .message = on_message,
                                                 .closed = on_closed };
    const struct rpc_ws_dial dial = {
        .host = "127.0.0.1",
        .port = road.port,
        .server_name = "router.bench.warren",
        .protocol = "warren-relay.1",
        .max_message = 16 * 1024,
    };
    struct err err;

    if (!rpc_ws_connect(road.ws, &dial, &events, end, &end->conn, &err))
        give_up("connecting", &err);
}

/* ---- measuring ------------------------------------------------------------------------------------ */

static void report(void)
{
    double seconds = (double)(clock_mono_us() - started_at) / 1e6;
    double cpu = (double)(cpu_of(router_pid) - cpu_at_start) / 1e6;
    uint64_t n_lost = 0;

    for (size_t i = 0; i < n_pairs; i++)
        n_lost += pairs[i].n_sent - pairs[i].n_received > window;
    printf("{\"mbit\": %.0f, \"datagrams\": %.0f, \"seconds\": %.2f, \"router_cpu\": %.2f, "
           "\"mbit_a_core\": %.0f, \"stuck\": %" PRIu64 "}\n",
           (double)n_bytes * 8 / 1e6 / seconds, (double)n_datagrams / seconds, seconds, cpu,
           cpu > 0 ? (double)n_bytes * 8 / 1e6 / cpu : 0, n_lost);
    fflush(stdout);
    exit(n_bytes ? EXIT_SUCCESS : EXIT_FAILURE);
}

static uint64_t measure_ms;

static void on_timer(void *user)
{
    (void)user;
    if (is_measuring)
        report();
    is_measuring = true;
    started_at = clock_mono_us();
    cpu_at_start = cpu_of(router_pid);
    rpc_timer_set(timer, clock_mono_ms() + measure_ms);
}

int main(int argc, char **argv)
{
    uint64_t port;

    if (argc < 3 || !(port = argument(argv, "port", 0))) {
        fprintf(stderr, "usage: relay_load DEN_FOLDER port=N [name=N ...]\n");
        return 2;
    }
    size = min_u64(argument(argv, "size", 1400), MAX_SIZE);
    window = argument(argv, "window", 128 * 1024);
    measure_ms = argument(argv, "seconds", 5) * SECOND_MS;
    router_pid = argument(argv, "router", 0);
    n_pairs = min_u64(argument(argv, "sessions", 1), MAX_SESSIONS);
    road_open(&road, argv[1], (uint16_t)port);
    timer = rpc_timer_new(road.loop, on_timer, NULL);
    pairs = mem_array(struct pair, (size_t)n_pairs);
    for (size_t i = 0; i < n_pairs; i++) {
        make_grant(&pairs[i], (uint32_t)(2 * i));
        for (unsigned side = 0; side < 2; side++) {
            pairs[i].ends[side] = (struct end){ .pair = &pairs[i], .side = side };
            connect_end(&pairs[i].ends[side]);
        }
    }
    rpc_loop_run(road.loop);
    return 0;
}
