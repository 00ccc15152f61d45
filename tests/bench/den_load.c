/* SPDX-License-Identifier: Apache-2.0 */
/* Load for a real den behind a real router: den_load VERB DEN_FOLDER port=N [name=N ...]
 *   keys    prints ID and public key of count= peers, a line of JSON each: they are put into den's store
 *   sign    those peers ask for requests= certificates, window= at a time; CSRs and requests are
 *           prepared and signed before the clock starts, of which a line of its own tells
 *   ping    one peer asks den for its chain, one call after the other, for seconds=; on SIGUSR1 it says how long the
 *           longest took since then
 * Each prints lines of JSON. */
#include "pki/pki.h"
#include "tests/bench/road.h"

#include <signal.h>
#include <stdio.h>

enum { OPENING = 32, CALL_TIMEOUT_MS = 60000, N_KEYS = 64 };

static struct road road;

static struct {
    struct session *sessions;
    struct buf *args; /* of each request, in order */
    size_t count, n_opened, n_up, n_requests, window, n_sent, n_answered;
    uint64_t first_at, last_at; /* ns */
    struct samples samples;
    uint64_t *sent_at;
} load;

/* ---- preparing ---------------------------------------------------------------------------------- */

static void put_csr(struct buf *body)
{
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;
    _buf_ csr = { 0 };
    struct err err;

    if (!pki_key_new(PKI_P256, &key, &err) || !pki_csr_new(key, &csr, &err))
        give_up("a request for a certificate", &err);
    rpc_put_map(body, 1);
    rpc_put_str(body, "csr");
    rpc_put_bin(body, buf_view(&csr));
}

/* Request r is of peer r % count. */
static void prepare(struct buf *bodies)
{
    for (size_t i = 0; i < load.count; i++) {
        struct key *key = peer_key((uint32_t)i);
        for (size_t r = i; r < load.n_requests; r += load.count) {
            road_put_request(&road, &load.args[r], load.sessions[i].id, key, buf_view(&bodies[r]));
            buf_free(&bodies[r]);
        }
        key_free(key);
    }
}

/* ---- sign --------------------------------------------------------------------------------------- */

static struct buf *bodies;
static rpc_on_outcome on_signed;

static void send_next(void)
{
    size_t r = load.n_sent++;
    struct session *s = &load.sessions[r % load.count];

    load.sent_at[r] = clock_mono_ns();
    rpc_client_call(s->client, load.sent_at[r] / 1000000, "den.ca.sign", buf_view(&load.args[r]),
                    CALL_TIMEOUT_MS, false, on_signed, &load.sent_at[r]);
    session_flush(s);
}

static void on_signed(void *user, const struct rpc_outcome *outcome)
{
    uint64_t now = clock_mono_ns();

    if (outcome->what == RPC_FAILED)
        give_up("a certificate", &outcome->err);
    samples_add(&load.samples, now - *(const uint64_t *)user);
    load.last_at = now;
    if (load.n_sent < load.n_requests)
        send_next();
    if (++load.n_answered < load.n_requests)
        return;
    printf("{\"certificates\": %zu, \"value\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
           load.n_answered, (double)load.n_answered * 1e9 / (double)(load.last_at - load.first_at),
           samples_us(&load.samples, 0.5), samples_us(&load.samples, 0.99));
    fflush(stdout);
    rpc_loop_stop(road.loop);
}

static void open_next(void)
{
    if (load.n_opened < load.count)
        session_open(&load.sessions[load.n_opened++]);
}

static void on_go(_unused_ void *user)
{
    prepare(bodies);
    printf("{\"said\": \"started\"}\n");
    fflush(stdout);
    load.first_at = clock_mono_ns();
    for (size_t i = 0; i < load.window && load.n_sent < load.n_requests; i++)
        send_next();
}

static void sign_up(_unused_ struct session *s)
{
    static struct rpc_timer *go;

    open_next();
    if (++load.n_up < load.count)
        return;
    go = rpc_timer_new(road.loop, on_go, NULL); /* outside of the session that came last */
    rpc_timer_set(go, clock_mono_ms());
}

static void run_sign(char **argv)
{
    load.count = argument(argv, "count", 1000);
    load.n_requests = argument(argv, "requests", 20000);
    load.window = argument(argv, "window", 512);
    load.sessions = mem_array(struct session, load.count);
    load.args = mem_array(struct buf, load.n_requests);
    load.sent_at = mem_array(uint64_t, load.n_requests);
    bodies = mem_array(struct buf, load.n_requests);
    for (size_t r = 0; r < load.n_requests; r++)
        put_csr(&bodies[r]);
    for (size_t i = 0; i < load.count; i++)
        load.sessions[i] =
            (struct session){ .road = &road, .number = (uint32_t)i, .on_up = sign_up };
    for (size_t i = 0; i < OPENING; i++)
        open_next();
    rpc_loop_run(road.loop);
}

/* ---- ping --------------------------------------------------------------------------------------- */

static struct {
    struct session session;
    uint64_t sent_at, longest, n;
} ping;

static rpc_on_outcome on_pong;

static void ping_again(void)
{
    ping.sent_at = clock_mono_ns();
    rpc_client_call(ping.session.client, ping.sent_at / 1000000, "den.ca.chain", VIEW(NULL, 0),
                    CALL_TIMEOUT_MS, false, on_pong, NULL);
}

static void on_pong(_unused_ void *user, const struct rpc_outcome *outcome)
{
    uint64_t took = clock_mono_ns() - ping.sent_at;

    if (outcome->what == RPC_FAILED)
        give_up("a call", &outcome->err);
    ping.longest = took > ping.longest ? took : ping.longest;
    ping.n++;
    ping_again();
}

static void on_asked(_unused_ void *user, _unused_ int signal_number)
{
    printf("{\"calls\": %llu, \"value\": %.2f}\n", (unsigned long long)ping.n,
           (double)ping.longest / 1e6);
    fflush(stdout);
    ping.longest = ping.n = 0;
}

static void ping_up(_unused_ struct session *s)
{
    printf("{\"said\": \"ready\"}\n");
    fflush(stdout);
    ping_again();
}

static void run_ping(_unused_ char **argv)
{
    ping.session = (struct session){ .road = &road, .number = 0, .on_up = ping_up };
    rpc_loop_on_signal(road.loop, SIGUSR1, on_asked, NULL);
    session_open(&ping.session);
    rpc_loop_run(road.loop);
}

/* ---- keys --------------------------------------------------------------------------------------- */

static void run_keys(char **argv)
{
    for (uint32_t i = 0; i < argument(argv, "count", 1000); i++) {
        struct key *key = peer_key(i);
        char id[TEXT_ID];
        _buf_ hex = { 0 };
        peer_id(i, id);
        text_put_hex(&hex, key_public_view(key));
        printf("{\"id\": \"%s\", \"pk\": \"%s\"}\n", id, buf_cstr(&hex));
        key_free(key);
    }
}

static const struct verb {
    const char *name;
    void (*run)(char **argv);
} verbs[] = { { "keys", run_keys }, { "sign", run_sign }, { "ping", run_ping } };

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 2 && i < N_ELEMENTS(verbs); i++) {
        if (strcmp(argv[1], verbs[i].name) != 0)
            continue;
        road_open(&road, argv[2], (uint16_t)argument(argv + 3, "port", 0));
        verbs[i].run(argv + 3);
        return 0; /* connections end with the process: nothing is to be tidied up */
    }
    fputs("usage: den_load keys|sign|ping DEN_FOLDER port=N [name=N ...]\n", stderr);
    return 2;
}
