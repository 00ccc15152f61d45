/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/road.h"
#include "base/file.h"
#include "pki/pki.h"
#include "rpc/ws_conn.h"

#include <stdio.h>

enum { FIRST_ID = 100000 };

void give_up(const char *what, const struct err *why)
{
    fprintf(stderr, "bench: %s: %s\n", what, why->text);
    exit(EXIT_FAILURE);
}

uint64_t argument(char **argv, const char *name, uint64_t fallback)
{
    size_t len = strlen(name);
    uint64_t n;

    for (; *argv; argv++) {
        if (strncmp(*argv, name, len) == 0 && (*argv)[len] == '=' &&
            text_read_u64(view_text(*argv + len + 1), &n))
            return n;
    }
    return fallback;
}

/* ---- the network ------------------------------------------------------------------------------ */

static struct key *den_key(const char *folder, const char *name)
{
    _free_ char *path = file_path(folder, name);
    struct key *key = NULL;
    struct err err;

    if (!key_read(path, &key, &err))
        give_up("den's keys", &err);
    return key;
}

void road_open(struct road *road, const char *den_folder, uint16_t port)
{
    _free_ char *path = file_path(den_folder, "trust");
    _buf_ bytes = { 0 };
    struct err err;

    *road = (struct road){ .port = port };
    if (!key_init(&err) || !file_read(path, 1024 * 1024, &bytes, &err) ||
        !rpc_trust_load(buf_view(&bytes), pki_verify_by_cert, &road->trust, &err) ||
        !rpc_loop_new(&road->loop, &err) ||
        !rpc_ws_new(RPC_WS_UV, rpc_loop_native(road->loop), &road->ws, &err))
        give_up("starting", &err);
    road->login = den_key(den_folder, "login.key");
    road->sign = den_key(den_folder, "sign.key");
}

void peer_id(uint32_t number, char ret_id[TEXT_ID])
{
    snprintf(ret_id, TEXT_ID, "%u", FIRST_ID + number);
}

struct key *peer_key(uint32_t number)
{
    char text[64];
    uint8_t seed[HASH_SIZE];

    snprintf(text, sizeof(text), "warren bench peer %u", number);
    hash_sha256(view_text(text), seed);
    return key_from_seed(seed);
}

void road_put_request(const struct road *road, struct buf *args, const char *id,
                      const struct key *key, struct view body)
{
    uint8_t nonce[RPC_NONCE16], hash[HASH_SIZE], sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    random_bytes(nonce, sizeof(nonce));
    hash_sha256(body, hash);
    const struct rpc_request request = {
        .netid = rpc_trust_netid(road->trust),
        .den_pk = key_public_view(road->sign),
        .id = view_text(id),
        .procedure = VIEW_LIT("den.ca.sign"),
        .beacon = rpc_trust_heartbeat(road->trust)->beacon,
        .nonce = VIEW_ARR(nonce),
        .body_hash = VIEW_ARR(hash),
    };
    rpc_statement_sign(RPC_W_REQUEST, &request, key, &bytes, sig);
    rpc_put_array(args, 3);
    rpc_put_bin(args, body);
    rpc_put_bin(args, buf_view(&bytes));
    rpc_put_bin(args, VIEW_ARR(sig));
}

/* ---- a session -------------------------------------------------------------------------------- */

/* The admission that den would have given: signed with its key. */
static bool credentials(void *user, struct buf *ret_extra, struct err *err)
{
    struct session *s = user;
    struct rpc_admission a = {
        .netid = rpc_trust_netid(s->road->trust),
        .network = view_text(rpc_trust_network(s->road->trust)),
        .id = view_text(s->id),
        .client_pk = key_public_view(s->key),
        .role = VIEW_LIT("peer"),
        .adm_no = 1,
        .issued_at = clock_wall_ms() - MINUTE_MS,
        .not_after = clock_wall_ms() + DAY_MS,
    };
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    (void)err;
    if (s->is_den)
        return true;
    rpc_statement_sign(RPC_W_ADMISSION, &a, s->road->sign, &bytes, sig);
    rpc_put_map(ret_extra, 1);
    rpc_put_str(ret_extra, "admission");
    rpc_put_array(ret_extra, 2);
    rpc_put_bin(ret_extra, buf_view(&bytes));
    rpc_put_bin(ret_extra, VIEW_ARR(sig));
    return true;
}

static void up(void *user)
{
    struct session *s = user;

    s->on_up(s);
}

static void down(void *user, const struct err *why)
{
    struct session *s = user;

    if (!s->is_leaving && !s->on_lost)
        give_up("a session ended", why);
}

static void refused(void *user, const char *uri, const struct err *why)
{
    (void)user;
    give_up(uri, why);
}

void session_flush(struct session *s)
{
    struct view frame;

    while (rpc_client_output_view(s->client, &frame)) {
        rpc_ws_send(s->conn, frame);
        if (s->is_single)
            rpc_ws_conn_flush(s->conn);
    }
    if (s->key && rpc_client_is_up(s->client)) { /* its guarded memory is dear */
        key_free(s->key);
        s->key = NULL;
    }
}

static void on_opened(void *user, struct rpc_ws_conn *conn)
{
    struct session *s = user;
    uint8_t exporter[32];

    rpc_ws_exporter(conn, exporter);
    rpc_client_opened(s->client, clock_mono_ms(), exporter);
    session_flush(s);
}

static void on_message(void *user, struct rpc_ws_conn *conn, struct view message)
{
    struct session *s = user;

    (void)conn;
    rpc_client_input(s->client, clock_mono_ms(), message);
    session_flush(s);
}

static void on_closed(void *user, struct rpc_ws_conn *conn, const struct err *why)
{
    struct session *s = user;

    void (*then)(struct session *) = s->is_leaving ? s->on_closed : s->on_lost;

    (void)conn;
    if (!then)
        give_up("a connection ended", why);
    rpc_client_closed(s->client, clock_mono_ms(), why);
    rpc_client_free(s->client);
    s->client = NULL;
    s->conn = NULL;
    then(s);
}

static void start(struct session *s)
{
    static const struct rpc_ws_events events = { on_opened, on_message, on_closed };
    char host[16];
    struct rpc_client_config config = {
        .agent = "warren-bench",
        .key = s->key,
        .trust = s->road->trust,
        .is_den = s->is_den,
        .credentials = credentials,
        .on_up = up,
        .on_down = down,
        .on_refused = refused,
        .user = s,
    };
    struct rpc_ws_dial dial = {
        .host = host,
        .port = s->road->port,
        .server_name = "router.bench.warren",
        .protocol = "wamp.2.msgpack",
        .max_message = RPC_MAX_MESSAGE,
        .is_fresh = s->is_fresh,
    };
    struct err err;

    snprintf(host, sizeof(host), "127.0.0.%u", 1u + s->host);
    random_bytes(config.instance, sizeof(config.instance));
    s->is_leaving = false;
    s->client = rpc_client_new(&config);
    if (!rpc_ws_connect(s->road->ws, &dial, &events, s, &s->conn, &err))
        give_up("connecting", &err);
}

void session_open(struct session *s)
{
    peer_id(s->number, s->id);
    s->key = peer_key(s->number);
    start(s);
}

/* The client borrows the key: den's is the road's, and a copy of it would be one more secret. */
void session_open_den(struct session *s)
{
    s->is_den = true;
    s->key = STEAL(s->road->login);
    start(s);
}

void session_close(struct session *s)
{
    s->is_leaving = true;
    rpc_ws_close(s->conn, 1000, "done");
}

/* ---- latencies -------------------------------------------------------------------------------- */

void samples_add(struct samples *samples, uint64_t ns)
{
    if (!samples->ns)
        samples->ns = mem_array(uint32_t, MAX_SAMPLES);
    if (samples->n < MAX_SAMPLES)
        samples->ns[samples->n++] = (uint32_t)min_u64(ns, UINT32_MAX);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

double samples_us(struct samples *samples, double part)
{
    size_t at = (size_t)((double)samples->n * part);

    if (!samples->n)
        return 0;
    qsort(samples->ns, samples->n, sizeof(*samples->ns), by_size);
    return samples->ns[at < samples->n ? at : samples->n - 1] / 1000.0;
}
