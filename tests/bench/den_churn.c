/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates without end from a den that comes and goes: den_churn DEN_FOLDER port=N count=N. The peers are den_load's. Prints
 * "signed SERIAL" for each that was delivered, and "failed CODE" for each that was not; it goes on either way, until it is
 * ended. */
#include "pki/pki.h"
#include "tests/bench/road.h"

#include <stdio.h>

enum { AGAIN_MS = 50, CALL_TIMEOUT_MS = 5000 };

static struct road road;

struct churner {
    struct session session;
    struct key *key;
    struct rpc_timer *again;
};

static void ask(struct churner *c);

static void on_again(void *user)
{
    struct churner *c = user;

    if (!c->session.client)
        return;
    ask(c);
    session_flush(&c->session);
}

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

static void say_signed(const struct rpc_outcome *outcome)
{
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    struct rpc_fields f;
    struct err err;
    _buf_ hex = { 0 };

    rpc_fields_open(&f, rpc_payload_args(outcome->payload));
    struct view der = rpc_fields_bin(&f, "certificate", PKI_MAX_CERT);
    rpc_fields_skip_rest(&f);
    if (!rpc_fields_end(&f, &err) || !pki_cert_read(der, &cert, &err))
        give_up("the answer", &err);
    text_put_hex(&hex, pki_cert_serial(cert));
    printf("signed %s\n", buf_cstr(&hex));
}

static void on_signed(void *user, const struct rpc_outcome *outcome)
{
    struct churner *c = user;

    if (outcome->what == RPC_PROGRESS)
        return;
    if (outcome->what == RPC_RESULTED)
        say_signed(outcome);
    else
        printf("failed %s\n", err_code_name(outcome->err.code));
    fflush(stdout);
    rpc_timer_set(c->again, clock_mono_ms() + (outcome->what == RPC_RESULTED ? 1 : AGAIN_MS));
}

static void ask(struct churner *c)
{
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(road.trust);
    _buf_ body = { 0 };
    _buf_ args = { 0 };
    const struct rpc_request context = {
        .netid = rpc_trust_netid(road.trust),
        .den_pk = key_public_view(road.sign),
        .id = view_text(c->session.id),
        .beacon = heart ? heart->beacon : VIEW(NULL, 0),
    };

    put_csr(&body);
    rpc_request_put(&args, c->key, &context, "den.ca.sign", buf_view(&body));
    rpc_client_call(c->session.client, clock_mono_ms(), "den.ca.sign", buf_view(&args),
                    CALL_TIMEOUT_MS, false, on_signed, c);
}

static void on_heart(_unused_ void *user, const struct rpc_event *event)
{
    enum rpc_heart heart;
    struct rpc_fields f;
    struct err err;

    rpc_fields_open(&f, rpc_payload_args(event->payload));
    struct view bytes = rpc_fields_bin(&f, "heartbeat", RPC_MAX_STATEMENT);
    struct view sig = rpc_fields_fixed(&f, "signature", SIG_SIZE);
    if (!rpc_fields_end(&f, &err) ||
        !rpc_trust_add_heartbeat(road.trust, bytes, sig, clock_mono_ms(), clock_wall_ms(), &heart,
                                 &err)) {
        printf("alarm %s\n", err.text); /* a number of den's fell */
        fflush(stdout);
    }
}

static void on_up(struct session *s)
{
    struct churner *c = s->user;

    rpc_client_subscribe(s->client, clock_mono_ms(), "den.heartbeat", true, on_heart, c);
    ask(c);
}

static void on_lost(struct session *s)
{
    session_open(s);
}

int main(int argc, char **argv)
{
    struct churner *all;
    size_t n;

    if (argc < 3) {
        fputs("usage: den_churn DEN_FOLDER port=N [count=N]\n", stderr);
        return 2;
    }
    road_open(&road, argv[1], (uint16_t)argument(argv + 2, "port", 0));
    n = argument(argv + 2, "count", 8);
    all = mem_array(struct churner, n);
    for (size_t i = 0; i < n; i++) {
        all[i].session = (struct session){ .road = &road,
                                           .number = (uint32_t)i,
                                           .on_up = on_up,
                                           .on_lost = on_lost,
                                           .user = &all[i] };
        all[i].key = peer_key((uint32_t)i);
        all[i].again = rpc_timer_new(road.loop, on_again, &all[i]);
        session_open(&all[i].session);
    }
    rpc_loop_run(road.loop);
    return 0;
}
