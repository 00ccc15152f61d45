/* SPDX-License-Identifier: Apache-2.0 */
/* Junk for a real den, and what honest machines notice of it: den_flood DEN_FOLDER port=N junk=N honest=N rate=N seconds=N.
 * `junk` members send `rate` requests a second between them that den.ca.sign has to refuse, of every kind that it looks for;
 * the `honest` ones ask for one certificate each, evenly over the time. The peers are den_load's. Prints a line "ready", then one
 * of JSON. */
#include "pki/pki.h"
#include "tests/bench/road.h"

#include <stdio.h>

enum { OPENING = 32, CALL_TIMEOUT_MS = 30000, TICK_MS = 10, N_KINDS = 6, HUGE_BODY = 5000 };

static struct road road;

struct member {
    struct session session;
    struct key *key;
    struct buf junk[N_KINDS]; /* args of the call */
    struct buf csr;           /* honest: its request */
    uint64_t sent_at;
};

static struct {
    struct member *members;
    size_t n_junk, n_honest, n_opened, n_up;
    uint64_t rate, seconds, began_at;
    uint64_t n_sent, n_refused, n_issued, n_asked, n_answered, n_failed;
    char last_error[64];
    struct samples samples;
    struct rpc_timer *tick;
} flood;

/* ---- requests ----------------------------------------------------------------------------------- */

static void put_body(struct buf *body, struct view csr)
{
    rpc_put_map(body, 1);
    rpc_put_str(body, "csr");
    rpc_put_bin(body, csr);
}

static void make_csr(struct buf *csr)
{
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;
    struct err err;

    if (!pki_key_new(PKI_P256, &key, &err) || !pki_csr_new(key, csr, &err))
        give_up("a request for a certificate", &err);
}

/* A random body; a huge one; somebody else's name; a signature that is none; a CSR that is none; one whose own signature is
 * broken. */
static void make_junk(struct member *m)
{
    _cleanup_(key_freep) struct key *stranger = key_new();
    uint8_t noise[200], *huge = mem_array(uint8_t, HUGE_BODY);
    _buf_ csr = { 0 }, good = { 0 }, broken = { 0 }, none = { 0 };

    random_bytes(noise, sizeof(noise));
    random_bytes(huge, HUGE_BODY);
    make_csr(&csr);
    put_body(&good, buf_view(&csr));
    csr.data[csr.len - 5] ^= 0xff;
    put_body(&broken, buf_view(&csr));
    put_body(&none, VIEW_ARR(noise));
    road_put_request(&road, &m->junk[0], m->session.id, m->key, VIEW_ARR(noise));
    road_put_request(&road, &m->junk[1], m->session.id, m->key, VIEW(huge, HUGE_BODY));
    road_put_request(&road, &m->junk[2], "999999", m->key, buf_view(&good));
    road_put_request(&road, &m->junk[3], m->session.id, stranger, buf_view(&good));
    road_put_request(&road, &m->junk[4], m->session.id, m->key, buf_view(&none));
    road_put_request(&road, &m->junk[5], m->session.id, m->key, buf_view(&broken));
    free(huge);
}

/* ---- the flood ---------------------------------------------------------------------------------- */

static void on_junk(_unused_ void *user, const struct rpc_outcome *outcome)
{
    if (outcome->what == RPC_FAILED)
        flood.n_refused++;
    else
        flood.n_issued++;
}

static void on_honest(void *user, const struct rpc_outcome *outcome)
{
    const struct member *m = user;

    flood.n_answered++;
    if (outcome->what == RPC_FAILED) {
        flood.n_failed++;
        snprintf(flood.last_error, sizeof(flood.last_error), "%s",
                 err_code_name(outcome->err.code));
        return;
    }
    samples_add(&flood.samples, clock_mono_ns() - m->sent_at);
}

static void send_junk(void)
{
    struct member *m = &flood.members[flood.n_sent % flood.n_junk];
    const struct buf *args = &m->junk[flood.n_sent / flood.n_junk % N_KINDS];

    flood.n_sent++;
    rpc_client_call(m->session.client, clock_mono_ms(), "den.ca.sign", buf_view(args),
                    CALL_TIMEOUT_MS, false, on_junk, NULL);
}

static void ask_honestly(void)
{
    struct member *m = &flood.members[flood.n_junk + flood.n_asked++];
    _buf_ args = { 0 };
    _buf_ body = { 0 };

    put_body(&body, buf_view(&m->csr));
    road_put_request(&road, &args, m->session.id, m->key, buf_view(&body));
    m->sent_at = clock_mono_ns();
    rpc_client_call(m->session.client, clock_mono_ms(), "den.ca.sign", buf_view(&args),
                    CALL_TIMEOUT_MS, false, on_honest, m);
    session_flush(&m->session);
}

static void say_end(void)
{
    printf("{\"junk\": %llu, \"refused\": %llu, \"issued_to_junk\": %llu, \"honest\": %llu, "
           "\"failed\": %llu, \"error\": "
           "\"%s\", \"p50_ms\": %.1f, \"p99_ms\": %.1f, \"seconds\": %.1f}\n",
           (unsigned long long)flood.n_sent, (unsigned long long)flood.n_refused,
           (unsigned long long)flood.n_issued, (unsigned long long)flood.n_answered,
           (unsigned long long)flood.n_failed, flood.last_error,
           samples_us(&flood.samples, 0.5) / 1000, samples_us(&flood.samples, 0.99) / 1000,
           (double)(clock_mono_ms() - flood.began_at) / 1000);
    fflush(stdout);
    rpc_loop_stop(road.loop);
}

/* As many as should have gone by now, however late the timer is. */
static void on_tick(_unused_ void *user)
{
    uint64_t now = clock_mono_ms(), ms = now - flood.began_at, all = flood.seconds * 1000;

    ms = ms < all ? ms : all;
    while (flood.n_sent < flood.rate * ms / 1000)
        send_junk();
    for (size_t i = 0; i < flood.n_junk; i++)
        session_flush(&flood.members[i].session);
    while (flood.n_asked < flood.n_honest && flood.n_asked < flood.n_honest * ms / all)
        ask_honestly();
    if (ms == all && flood.n_answered == flood.n_honest &&
        flood.n_refused + flood.n_issued == flood.n_sent)
        say_end();
    else
        rpc_timer_set(flood.tick, now + TICK_MS);
}

/* Requests name the newest beacon, which changes twice a minute. */
static void on_heartbeat(_unused_ void *user, const struct rpc_event *event)
{
    struct rpc_fields f;
    enum rpc_heart heart;
    struct err err;

    rpc_fields_open(&f, rpc_payload_args(event->payload));
    struct view bytes = rpc_fields_bin(&f, "heartbeat", RPC_MAX_STATEMENT);
    struct view sig = rpc_fields_fixed(&f, "signature", SIG_SIZE);
    if (!rpc_fields_end(&f, &err) ||
        !rpc_trust_add_heartbeat(road.trust, bytes, sig, clock_mono_ms(), clock_wall_ms(), &heart,
                                 &err))
        give_up("a heartbeat", &err);
}

static void open_next(void)
{
    if (flood.n_opened < flood.n_junk + flood.n_honest)
        session_open(&flood.members[flood.n_opened++].session);
}

static void on_up(struct session *s)
{
    char line[16];

    if (flood.n_up == 0)
        rpc_client_subscribe(s->client, clock_mono_ms(), "den.heartbeat", true, on_heartbeat, NULL);

    open_next();
    if (++flood.n_up < flood.n_junk + flood.n_honest)
        return;
    for (size_t i = 0; i < flood.n_junk; i++)
        make_junk(&flood.members[i]);
    printf("ready\n");
    fflush(stdout);
    if (!fgets(line, sizeof(line), stdin)) /* until the one who watches den is ready too */
        return;
    flood.began_at = clock_mono_ms();
    flood.tick = rpc_timer_new(road.loop, on_tick, NULL);
    rpc_timer_set(flood.tick, flood.began_at);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fputs("usage: den_flood DEN_FOLDER port=N [junk=N honest=N rate=N seconds=N]\n", stderr);
        return 2;
    }
    road_open(&road, argv[1], (uint16_t)argument(argv + 2, "port", 0));
    flood.n_junk = argument(argv + 2, "junk", 20);
    flood.n_honest = argument(argv + 2, "honest", 600);
    flood.rate = argument(argv + 2, "rate", 2000);
    flood.seconds = argument(argv + 2, "seconds", 60);
    flood.members = mem_array(struct member, flood.n_junk + flood.n_honest);
    for (size_t i = 0; i < flood.n_junk + flood.n_honest; i++) {
        struct member *m = &flood.members[i];
        m->session = (struct session){ .road = &road, .number = (uint32_t)i, .on_up = on_up };
        m->key = peer_key((uint32_t)i);
        if (i >= flood.n_junk)
            make_csr(&m->csr);
    }
    for (size_t i = 0; i < OPENING; i++)
        open_next();
    rpc_loop_run(road.loop);
    return 0; /* connections end with the process: nothing is to be tidied up */
}
