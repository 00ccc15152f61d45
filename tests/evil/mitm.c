/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody between two peers: mitm ROUNDS HONEST-PORT LIAR-PORT. He ends the link himself, as its server and as its client, with each kind of
 * certificate that he could have; the honest end is a real link that judges with pki, over UDP sockets of 127.0.0.1, so that a capture shows what
 * left it. As soon as its link is up it says something. A line of JSON a kind; the last kind is an honest other end, for comparison. */
#include "base/clock.h"
#include "peer/link/link.h"
#include "tests/unit/pki/bad_certs.h"
#include "tests/unit/pki/net.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { AT_MOST_MS = 5000, AFTER_MS = 5 };

static const struct {
    const char *kind, *row; /* NULL: as it should be */
} kinds[] = {
    { "self-signed", "self_signed" },
    { "another peer's valid certificate", "certificate_of_another_peer" },
    { "expired", "expired_leaf" },
    { "of another root", "root_of_another_network" },
    { "the right name for another use", "eku_code_signing" },
    { "revoked", "revoked" },
    { "control: the right one", NULL },
};

static struct net network;
static struct pki_trust *trust;
static bool needs_crl;

struct end {
    int fd;
    bool is_caller, is_honest;
    struct link *link;
    bool is_up, is_over;
    size_t n_judged, n_said;
    enum err_code code;
};

static size_t on_send(void *user, const struct view *packets, size_t n)
{
    const struct end *end = user;

    for (size_t i = 0; i < n; i++)
        (void)!send(end->fd, packets[i].data, packets[i].len, MSG_DONTWAIT);
    return n;
}

static bool may_open(void *user, bool outgoing, struct view cap)
{
    (void)user;
    (void)outgoing;
    (void)cap;
    return true;
}

static bool on_judge(void *user, const struct view *chain, size_t n, struct err *err)
{
    struct end *end = user;
    struct pki_question question = {
        .name = "456000." NET_NAME,
        .network = NET_NAME,
        .role = end->is_caller ? PKI_SERVER : PKI_CLIENT,
        .now = NET_NOW,
        .needs_crl = needs_crl,
    };

    end->n_judged++;
    if (!end->is_honest)
        return true;
    if (pki_judge(trust, chain, n, &question, NULL, err))
        return true;
    end->code = err->code;
    return false;
}

static void say_something(struct end *end)
{
    static const uint8_t
        words[20000]; /* so much that its packets are large, as QUIC's own never are here */
    struct link_stream *stream;
    struct err err = { 0 };

    if (!link_stream_open(end->link, clock_mono_ns(), view_text("chat"), view_text(""), &stream,
                          &err))
        return;
    end->n_said += link_stream_write(stream, clock_mono_ns(), VIEW_ARR(words), false);
}

static void look(struct end *end)
{
    struct link_event event;

    if (end->is_honest && end->n_said == 0)
        say_something(end); /* it would, if it might */
    while (link_next_event(end->link, &event)) {
        end->is_up |= event.type == LINK_UP;
        end->is_over |= event.type == LINK_FAILED || event.type == LINK_DOWN;
    }
}

static int open_socket(uint16_t own, uint16_t other)
{
    struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(own) },
                       there = { .sin_family = AF_INET, .sin_port = htons(other) };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    here.sin_addr.s_addr = there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof(here)) < 0 ||
        connect(fd, (struct sockaddr *)&there, sizeof(there)) < 0) {
        perror("mitm: socket");
        exit(1);
    }
    return fd;
}

static bool take_packets(struct end *end)
{
    uint8_t bytes[2048];
    ssize_t len = recv(end->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (len < 0)
        return false;
    link_input(end->link, clock_mono_ns(), &VIEW(bytes, (size_t)len), 1);
    return true;
}

static void turn(struct end *end)
{
    while (take_packets(end))
        look(end);
    if (link_deadline(end->link) <= clock_mono_ns())
        link_tick(end->link, clock_mono_ns());
    look(end);
}

static void run(struct end *a, struct end *b)
{
    struct pollfd fds[] = { { a->fd, POLLIN, 0 }, { b->fd, POLLIN, 0 } };
    uint64_t until = clock_mono_ms() + AT_MOST_MS, done_at = 0;

    link_resume(a->is_caller ? a->link : b->link, clock_mono_ns());
    while (clock_mono_ms() < until && (!done_at || clock_mono_ms() < done_at + AFTER_MS)) {
        poll(fds, 2, 1);
        turn(a);
        turn(b);
        if (!done_at && ((a->is_over && b->is_over) || (a->is_up && b->is_up)))
            done_at = clock_mono_ms();
    }
}

/* The honest end's own certificate, which nobody questions here. */
static void own_chain(struct view chain[2], struct buf *key, struct err *err)
{
    static struct pki_cert *cert;
    static struct pki_key *pki_key;

    if (!cert && !net_issue(&network, PKI_PEER, "456001", &pki_key, &cert, err)) {
        fprintf(stderr, "mitm: %s\n", err->text);
        exit(1);
    }
    chain[0] = pki_cert_der(cert);
    chain[1] = pki_cert_der(pki_ca_cert(network.intermediate));
    if (!pki_key_der(pki_key, key, err))
        exit(1);
}

static void make_link(struct end *end, const struct view *chain, size_t n, struct view key)
{
    struct link_config config = {
        .is_caller = end->is_caller,
        .chain = chain,
        .n_chain = n,
        .key_der = key,
        .judge = on_judge,
        .may_open = may_open,
        .send = on_send,
        .user = end,
    };
    struct err err = { 0 };

    if (!link_new(&config, clock_mono_ns(), &end->link, &err)) {
        fprintf(stderr, "mitm: %s\n", err.text);
        exit(1);
    }
}

struct count {
    unsigned tried, up, judged, said;
    enum err_code code;
};

static void one_round(const struct bad_cert *cert, bool liar_calls, uint16_t ports[2],
                      struct count *count)
{
    struct end honest = { .is_honest = true, .is_caller = !liar_calls },
               liar = { .is_caller = liar_calls };
    struct view own[2], shown[BAD_MAX_CHAIN];
    struct err err = { 0 };
    _buf_wipe_ key = { 0 };

    for (size_t i = 0; i < cert->n_chain; i++)
        shown[i] = buf_view(&cert->chain[i]);
    own_chain(own, &key, &err);
    honest.fd = open_socket(ports[0], ports[1]);
    liar.fd = open_socket(ports[1], ports[0]);
    make_link(&honest, own, 2, buf_view(&key));
    make_link(&liar, shown, cert->n_chain, buf_view(&cert->key));
    run(&honest, &liar);
    count->tried++;
    count->up += honest.is_up;
    count->judged += honest.n_judged > 0;
    count->said += (unsigned)honest.n_said;
    count->code = honest.code ? honest.code : count->code;
    link_free(honest.link);
    link_free(liar.link);
    close(honest.fd);
    close(liar.fd);
}

static bool make_cert(const char *row, struct bad_cert *cert, struct err *err)
{
    struct bad_net where = { "456000", NET_NAME, network.root, network.intermediate, NET_NOW };

    if (!row)
        return bad_certs_make_control(0, &where, cert, err);
    for (size_t i = 0; i < bad_certs_count(); i++) {
        if (strcmp(bad_certs_name(i), row) == 0)
            return bad_certs_make(i, &where, cert, err);
    }
    return err_set(err, ERR_INTERNAL, "no row %s", row);
}

static bool make_trust(const struct bad_cert *cert, struct err *err)
{
    trust = pki_trust_new();
    needs_crl = cert->needs_crl;
    return pki_trust_add_root(trust, pki_cert_der(pki_ca_cert(network.root)), err) &&
           pki_trust_add_intermediate(trust, pki_cert_der(pki_ca_cert(network.intermediate)),
                                      err) &&
           bad_cert_trust(cert, trust, err);
}

static bool try_kind(size_t kind, unsigned rounds, uint16_t ports[2], struct err *err)
{
    _cleanup_(bad_cert_deinit) struct bad_cert cert = { 0 };
    struct count count = { 0 };

    if (!make_cert(kinds[kind].row, &cert, err) || !make_trust(&cert, err))
        return false;
    for (unsigned i = 0; i < rounds; i++)
        one_round(&cert, i % 2, ports, &count);
    pki_trust_free(trust);
    printf("{\"kind\": \"%s\", \"tried\": %u, \"up\": %u, \"judged\": %u, \"said\": %u, \"code\": "
           "\"%s\"}\n",
           kinds[kind].kind, count.tried, count.up, count.judged, count.said,
           err_code_name(count.code));
    return true;
}

int main(int argc, char **argv)
{
    struct err err = { 0 };

    if (argc < 4) {
        fprintf(stderr, "usage: mitm ROUNDS HONEST-PORT LIAR-PORT\n");
        return 2;
    }
    unsigned rounds = (unsigned)strtoul(argv[1], NULL, 10);
    uint16_t first = (uint16_t)strtoul(argv[2], NULL, 10),
             second = (uint16_t)strtoul(argv[3], NULL, 10);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!net_init(&network, &err)) {
        fprintf(stderr, "mitm: %s\n", err.text);
        return 1;
    }
    for (size_t kind = 0; kind < N_ELEMENTS(kinds); kind++) {
        /* Each its own ports: the capture tells them apart. */
        uint16_t ports[2] = { (uint16_t)(first + kind), (uint16_t)(second + kind) };
        if (!try_kind(kind, rounds, ports, &err)) {
            fprintf(stderr, "mitm: %s: %s\n", kinds[kind].kind, err.text);
            return 1;
        }
    }
    net_deinit(&network);
    return 0;
}
