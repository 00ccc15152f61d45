/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "ice/portmap.h"
#include "tests/check.h"

#include <glib-unix.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define BYTES(...)                                                                                 \
    VIEW(((const uint8_t[]){ __VA_ARGS__ }), sizeof((const uint8_t[]){ __VA_ARGS__ }))
#define MAPPED 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff
#define NONCE  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12

/* ---- NAT-PMP ---- */

TEST(answers_of_nat_pmp_are_read)
{
    struct portmap_answer a;

    CHECK(portmap_read(BYTES(0, 128, 0, 0, 0, 0, 0, 9, 203, 0, 113, 7), &a) && a.has_address &&
          !a.has_port && a.address[3] == 7);
    CHECK(portmap_read(BYTES(0, 129, 0, 0, 0, 0, 0, 9, 0x9c, 0x40, 0x9c, 0x41, 0, 0, 0x1c, 0x20),
                       &a));
    CHECK(!a.has_address && a.has_port && !a.is_other && a.version == PORTMAP_PMP);
    CHECK(a.inner == 40000 && a.outer == 40001 && a.life_s == 7200);
}

TEST(what_is_no_good_answer_of_nat_pmp_is_passed_over)
{
    struct portmap_answer a;
    static const uint8_t good[] = { 0,    129,  0,    0, 0, 0,    0,    9, 0x9c,
                                    0x40, 0x9c, 0x41, 0, 0, 0x1c, 0x20, 0 };

    for (size_t len = 0; len < 16; len++)
        CHECK(!portmap_read(VIEW(good, len), &a));
    CHECK(!portmap_read(VIEW(good, 17), &a));
    CHECK(!portmap_read(BYTES(0, 129, 0, 2, 0, 0, 0, 9, 0x9c, 0x40, 0x9c, 0x41, 0, 0, 0x1c, 0x20),
                        &a)); /* not authorized */
    CHECK(!portmap_read(BYTES(0, 129, 0, 0, 0, 0, 0, 9, 0x9c, 0x40, 0, 0, 0, 0, 0x1c, 0x20), &a));
    CHECK(!portmap_read(BYTES(1, 129, 0, 0, 0, 0, 0, 9, 0x9c, 0x40, 0x9c, 0x41, 0, 0, 0x1c, 0x20),
                        &a));
    CHECK(
        !portmap_read(BYTES(0, 1, 0, 0, 0, 0, 0, 9, 0x9c, 0x40, 0x9c, 0x41, 0, 0, 0x1c, 0x20), &a));
}

TEST(the_question_of_nat_pmp_is_as_the_rfc_has_it)
{
    const struct portmap_question q = { .inner = 40000, .outer = 40001, .life_s = 7200 };
    uint8_t ask[PORTMAP_MAX_ASK];
    size_t len = portmap_write(PORTMAP_PMP, &q, ask);

    CHECK_VIEW(VIEW(ask, len), BYTES(0, 1, 0, 0, 0x9c, 0x40, 0x9c, 0x41, 0, 0, 0x1c, 0x20));
}

/* ---- PCP ---- */

TEST(the_question_of_pcp_is_as_the_rfc_has_it)
{
    const struct portmap_question q = { .nonce = { NONCE },
                                        .local = { 192, 168, 1, 2 },
                                        .inner = 40000,
                                        .outer = 40001,
                                        .outer_address = { 203, 0, 113, 7 },
                                        .life_s = 7200 };
    uint8_t ask[PORTMAP_MAX_ASK];
    size_t len = portmap_write(PORTMAP_PCP, &q, ask);

    CHECK_VIEW(VIEW(ask, len), BYTES(2, 1, 0, 0, 0, 0, 0x1c, 0x20, MAPPED, 192, 168, 1, 2, NONCE,
                                     17, 0, 0, 0, 0x9c, 0x40, 0x9c, 0x41, MAPPED, 203, 0, 113, 7));
}

/* Version, opcode, reserved, result; life; epoch; reserved; nonce; protocol; ports; address. */
static const uint8_t
    pcp[] = {
        2,    0x81, 0,    0,      0,   0, 0x1c, 0x20, 0, 0,     0,  9, 0, 0, 0,
        0,    0,    0,    0,      0,   0, 0,    0,    0, NONCE, 17, 0, 0, 0, 0x9c,
        0x40, 0x9c, 0x41, MAPPED, 203, 0, 113,  7,    0, 0,     0,  0 /* an option would follow */
    };
enum { PCP_LEN = 60 };

TEST(answers_of_pcp_are_read)
{
    struct portmap_answer a;

    for (size_t more = 0; more <= 4; more += 4) {
        CHECK(portmap_read(VIEW(pcp, PCP_LEN + more), &a));
        CHECK(a.version == PORTMAP_PCP && a.has_address && a.has_port && !a.is_other);
        CHECK(a.inner == 40000 && a.outer == 40001 && a.life_s == 7200);
        CHECK_VIEW(VIEW_ARR(a.nonce), BYTES(NONCE));
        CHECK_VIEW(VIEW_ARR(a.address), BYTES(203, 0, 113, 7));
    }
}

TEST(what_is_no_good_answer_of_pcp_is_passed_over)
{
    static const struct {
        size_t at;
        uint8_t is;
        const char *why;
    } cases[] = {
        { 0, 1, "version" },   { 1, 1, "a question" },        { 1, 0x82, "another opcode" },
        { 3, 2, "refused" },   { 36, 6, "another protocol" }, { 54, 0, "no IPv4 address" },
        { 44, 1, "nor this" },
    };
    static const uint8_t zero[4];
    struct portmap_answer a;
    uint8_t bytes[PORTMAP_MAX_ANSWER + 4] = { 0 };

    for (size_t len = 0; len < PCP_LEN; len++)
        CHECK(!portmap_read(VIEW(pcp, len), &a));
    CHECK(!portmap_read(VIEW(pcp, PCP_LEN + 1), &a));
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        memcpy(bytes, pcp, PCP_LEN);
        bytes[cases[i].at] = cases[i].is;
        if (!CHECK(!portmap_read(VIEW(bytes, PCP_LEN), &a)))
            check_failed(__FILE__, __LINE__, "%s", cases[i].why);
    }
    memcpy(bytes, pcp, PCP_LEN);
    memcpy(bytes + 4, zero, 4); /* for no time */
    CHECK(!portmap_read(VIEW(bytes, PCP_LEN), &a));
    memcpy(bytes, pcp, PCP_LEN);
    memcpy(bytes + 42, zero, 2); /* no port */
    CHECK(!portmap_read(VIEW(bytes, PCP_LEN), &a));
    memcpy(bytes, pcp, PCP_LEN);
    CHECK(portmap_read(VIEW(bytes, PORTMAP_MAX_ANSWER), &a));
    CHECK(!portmap_read(VIEW(bytes, PORTMAP_MAX_ANSWER + 4), &a));
}

TEST(who_speaks_another_version_says_so)
{
    struct portmap_answer a;
    uint8_t bytes[24] = { 2, 0x81, 0, 1 };

    CHECK(portmap_read(BYTES(0, 129, 0, 1, 0, 0, 0, 9), &a) && a.is_other && !a.has_port);
    CHECK_U64(a.version, PORTMAP_PMP);
    CHECK(portmap_read(VIEW_ARR(bytes), &a) && a.is_other && !a.has_port);
    CHECK_U64(a.version, PORTMAP_PCP);
    CHECK(!portmap_read(VIEW(bytes, 20), &a));
}

/* ---- a router ---- */

struct router {
    GMainContext *context;
    GSource *readable;
    int fd;
    bool speaks[3]; /* by version */
    bool is_silent; /* to what it does not speak */
    bool bends_nonce;
    uint16_t outer;
    uint32_t life_s;
    uint8_t nonce[PORTMAP_NONCE];
    unsigned n_asked[3], n_given_back, n_nonces;
    uint16_t wished; /* the outer port in the last question */
    char address[32];
    uint16_t port;
    unsigned n_mapped;
};

static void on_mapped(void *user, const char *address, uint16_t port)
{
    struct router *r = user;

    snprintf(r->address, sizeof(r->address), "%s", address);
    r->port = port;
    r->n_mapped++;
}

static void say(const struct router *r, struct view bytes)
{
    (void)!send(r->fd, bytes.data, bytes.len, 0); /* who gave the port back is gone */
}

static void answer_pmp(struct router *r, struct view asked)
{
    uint8_t bytes[16] = { 0, 129, 0, 0, 0, 0, 0, 9 };

    if (asked.len == 2) {
        say(r, BYTES(0, 128, 0, 0, 0, 0, 0, 9, 203, 0, 113, 7));
        return;
    }
    r->wished = (uint16_t)(asked.data[6] << 8 | asked.data[7]);
    r->n_given_back += asked.data[10] == 0 && asked.data[11] == 0;
    memcpy(bytes + 8, asked.data + 4, 2);
    bytes[10] = (uint8_t)(r->outer >> 8);
    bytes[11] = (uint8_t)r->outer;
    bytes[14] = (uint8_t)(r->life_s >> 8);
    bytes[15] = (uint8_t)r->life_s;
    say(r, VIEW_ARR(bytes));
}

static void answer_pcp(struct router *r, struct view asked)
{
    static const uint8_t public[4] = { 203, 0, 113, 7 };
    uint8_t bytes[PCP_LEN] = { 0 };

    if (!CHECK_U64(asked.len, PCP_LEN))
        return;
    CHECK_VIEW(VIEW(asked.data + 8, 16), BYTES(MAPPED, 192, 168, 1, 2));
    r->wished = (uint16_t)(asked.data[42] << 8 | asked.data[43]);
    r->n_given_back += asked.data[6] == 0 && asked.data[7] == 0;
    r->n_nonces += memcmp(r->nonce, asked.data + 24, PORTMAP_NONCE) != 0;
    memcpy(r->nonce, asked.data + 24, PORTMAP_NONCE);
    memcpy(bytes, asked.data, PCP_LEN);
    bytes[1] = 0x81;
    bytes[6] = (uint8_t)(r->life_s >> 8);
    bytes[7] = (uint8_t)r->life_s;
    memset(bytes + 8, 0, 16);
    bytes[24] ^= r->bends_nonce;
    bytes[42] = (uint8_t)(r->outer >> 8);
    bytes[43] = (uint8_t)r->outer;
    memcpy(bytes + 56, public, 4);
    say(r, VIEW_ARR(bytes));
}

static gboolean on_asked(gint fd, _unused_ GIOCondition condition, gpointer user)
{
    static const uint8_t not_pmp[24] = { 2, 0x81, 0, 1 };
    struct router *r = user;
    uint8_t bytes[100];
    ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

    if (n <= 0)
        return G_SOURCE_REMOVE;
    if (!CHECK(bytes[0] == PORTMAP_PMP || bytes[0] == PORTMAP_PCP))
        return G_SOURCE_REMOVE;
    r->n_asked[bytes[0]]++;
    if (!r->speaks[bytes[0]] && !r->is_silent)
        say(r, bytes[0] == PORTMAP_PMP ? VIEW_ARR(not_pmp) : BYTES(0, 129, 0, 1, 0, 0, 0, 9));
    if (!r->speaks[bytes[0]])
        return G_SOURCE_CONTINUE;
    if (bytes[0] == PORTMAP_PCP)
        answer_pcp(r, VIEW(bytes, (size_t)n));
    else
        answer_pmp(r, VIEW(bytes, (size_t)n));
    return G_SOURCE_CONTINUE;
}

static struct ice_portmap *begin(struct router *r)
{
    static const uint8_t local[4] = { 192, 168, 1, 2 };
    int fds[2];

    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    r->fd = fds[0];
    r->outer = r->outer ? r->outer : 40001;
    r->life_s = r->life_s ? r->life_s : 7200;
    r->context = g_main_context_new();
    r->readable = g_unix_fd_source_new(r->fd, G_IO_IN);
    g_source_set_callback(r->readable, G_SOURCE_FUNC(on_asked), r, NULL);
    g_source_attach(r->readable, r->context);
    return ice_portmap_over(r->context, fds[1], local, 40000, on_mapped, r);
}

static void end(struct router *r, struct ice_portmap *portmap)
{
    ice_portmap_free(portmap);
    while (g_main_context_iteration(r->context, FALSE))
        ;
    g_source_destroy(r->readable);
    g_source_unref(r->readable);
    g_main_context_unref(r->context);
    close(r->fd);
}

static gboolean on_nothing(_unused_ gpointer user)
{
    return G_SOURCE_CONTINUE;
}

/* Until so many ports were given, for `s` seconds at most. */
static void wait_for(const struct router *r, const unsigned *n, unsigned wanted, unsigned s)
{
    uint64_t until = clock_mono_ms() + s * 1000;
    GSource *tick = g_timeout_source_new(100);

    g_source_set_callback(tick, on_nothing, NULL, NULL);
    g_source_attach(tick, r->context);
    while (*n < wanted && clock_mono_ms() < until)
        g_main_context_iteration(r->context, TRUE);
    g_source_destroy(tick);
    g_source_unref(tick);
}

TEST(a_port_is_had_of_a_router_that_speaks_one_of_both_and_given_back)
{
    static const struct {
        bool pmp, pcp, is_silent;
    } cases[] = { { true, true, false },
                  { true, false, false },
                  { false, true, false },
                  { true, false, true },
                  { false, true, true } };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct router r = {
            .speaks = { [PORTMAP_PMP] = cases[i].pmp, [PORTMAP_PCP] = cases[i].pcp },
            .is_silent = cases[i].is_silent
        };
        struct ice_portmap *portmap = begin(&r);

        wait_for(&r, &r.n_mapped, 1, 30);
        CHECK_U64(r.n_mapped, 1);
        CHECK_STR(r.address, "203.0.113.7");
        CHECK_U64(r.port, 40001);
        CHECK_U64(r.n_given_back, 0);
        end(&r, portmap);
        CHECK_U64(r.n_given_back, 1);
        CHECK_U64(r.wished, 0);
        if (cases[i].pcp) {
            CHECK_U64(r.n_nonces, 1);
            CHECK_U64(r.n_asked[PORTMAP_PMP], 0);
        }
    }
}

TEST(an_answer_to_another_ones_question_is_not_believed)
{
    struct router r = { .speaks = { [PORTMAP_PCP] = true },
                        .is_silent = true,
                        .bends_nonce = true };
    struct ice_portmap *portmap = begin(&r);

    wait_for(&r, &r.n_asked[PORTMAP_PMP], 1, 30); /* nothing came of the first */
    CHECK_U64(r.n_asked[PORTMAP_PCP], 1);
    CHECK_U64(r.n_mapped, 0);
    r.bends_nonce = false;
    wait_for(&r, &r.n_mapped, 1, 30);
    CHECK_U64(r.n_mapped, 1);
    end(&r, portmap);
}

TEST(a_router_that_refuses_both_is_left_alone)
{
    struct router r = { .speaks = { false } };
    struct ice_portmap *portmap = begin(&r);

    wait_for(&r, &r.n_asked[PORTMAP_PMP], 4, 30); /* two messages each time */
    CHECK_U64(r.n_mapped, 0);
    CHECK_U64(r.n_asked[PORTMAP_PCP], 1);
    end(&r, portmap);
    CHECK_U64(r.n_given_back, 0);
}

/* Whatever time was asked for. */
TEST(a_port_that_is_given_for_a_short_time_is_renewed_in_it)
{
    static const enum portmap_version versions[2] = { PORTMAP_PMP, PORTMAP_PCP };
    struct router routers[2] = { { .life_s = 8 }, { .life_s = 8 } };
    struct ice_portmap *portmaps[2];

    for (size_t i = 0; i < 2; i++) { /* their time passes together */
        routers[i].speaks[versions[i]] = true;
        portmaps[i] = begin(&routers[i]);
        wait_for(&routers[i], &routers[i].n_mapped, 1, 30);
        routers[i].outer = 40002; /* it has lost its state */
    }
    for (size_t i = 0; i < 2; i++) {
        wait_for(&routers[i], &routers[i].n_mapped, 2, 60);
        CHECK_U64(routers[i].n_mapped, 2);
        CHECK_U64(routers[i].wished, 40001);
        CHECK_U64(routers[i].port, 40002);
        end(&routers[i], portmaps[i]);
    }
}

/* ---- where it is ---- */

TEST(the_default_route_is_found)
{
    uint8_t a[4] = { 0 };

    CHECK(portmap_gateway(VIEW_LIT("Iface\tDestination\tGateway \tFlags\n"
                                   "eth1\t0000A8C0\t00000000\t0001\n"
                                   "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\n"),
                          a));
    CHECK(a[0] == 192 && a[1] == 168 && a[2] == 1 && a[3] == 1);
    CHECK(!portmap_gateway(VIEW_LIT("Iface\tDestination\tGateway \tFlags\n"), a));
    CHECK(!portmap_gateway(VIEW_LIT("tun0\t00000000\t00000000\t0001\n"),
                           a)); /* no gateway behind it */
}

TEST(addresses_behind_another_nat_are_of_no_use)
{
    CHECK(portmap_is_outer((const uint8_t[]){ 203, 0, 113, 7 }));
    CHECK(!portmap_is_outer((const uint8_t[]){ 10, 1, 2, 3 }) &&
          !portmap_is_outer((const uint8_t[]){ 100, 64, 0, 1 }));
    CHECK(!portmap_is_outer((const uint8_t[]){ 192, 168, 0, 1 }) &&
          !portmap_is_outer((const uint8_t[]){ 172, 31, 0, 1 }));
    CHECK(!portmap_is_outer((const uint8_t[]){ 0, 0, 0, 0 }) &&
          !portmap_is_outer((const uint8_t[]){ 224, 0, 0, 1 }));
}
