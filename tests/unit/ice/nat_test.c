/* SPDX-License-Identifier: Apache-2.0 */
/* nat.c behind NATs that are made here, each with servers of one address or two. */
#include "ice/nat_core.h"
#include "tests/check.h"

#include <arpa/inet.h>

enum { MAP_NONE, MAP_ONE, MAP_ADDRESS, MAP_PORT };
enum { FILTER_NONE, FILTER_ADDRESS, FILTER_PORT };
enum { LOCAL = 0x0a000002, PUBLIC = 0xc6336402 }; /* 10.0.0.2, 198.51.100.2 */
enum { ROUTER = 0xc000020a, TURN = 0xc0000214, TURN_OTHER = 0xc0000215 }; /* 192.0.2.10, 20, 21 */

struct world {
    int maps, filters;
    bool is_blocked, has_second, is_full;
    unsigned lost; /* so many of each question's first packets */
    size_t takes;  /* larger packets vanish; 0: it is not measured */
    union nat_address sent[96];
    unsigned from[96], n_sent;
};

static union nat_address at(uint32_t ip, unsigned port)
{
    union nat_address a = { .in = { .sin_family = AF_INET,
                                    .sin_port = htons((uint16_t)port),
                                    .sin_addr.s_addr = htonl(ip) } };
    return a;
}

static union nat_address mapped(const struct world *w, unsigned socket, const union nat_address *to)
{
    unsigned port = 20000 + socket * 1000;

    if (w->maps == MAP_NONE)
        return at(LOCAL, 5000 + socket);
    if (w->maps != MAP_ONE)
        port += ntohl(to->in.sin_addr.s_addr) & 0xff;
    if (w->maps == MAP_PORT)
        port += ntohs(to->in.sin_port) & 1 ? 500 : 0;
    return at(PUBLIC, port);
}

static bool lets_in(const struct world *w, unsigned socket, const union nat_address *from)
{
    for (unsigned i = 0; i < w->n_sent; i++) {
        if (w->from[i] != socket)
            continue;
        if (w->filters == FILTER_NONE ||
            (w->sent[i].in.sin_addr.s_addr == from->in.sin_addr.s_addr &&
             (w->filters == FILTER_ADDRESS || w->sent[i].in.sin_port == from->in.sin_port)))
            return true;
    }
    return false;
}

static void put_address(struct buf *to, unsigned type, const union nat_address *a, bool masked)
{
    uint8_t value[12] = { (uint8_t)(type >> 8), (uint8_t)type, 0, 8, 0, 1 };
    static const uint8_t cookie[] = { 0x21, 0x12, 0xa4, 0x42 };

    memcpy(value + 6, &a->in.sin_port, 2);
    memcpy(value + 8, &a->in.sin_addr, 4);
    for (size_t i = 0; masked && i < 6; i++)
        value[6 + i] ^= cookie[i < 2 ? i : i - 2];
    buf_put(to, VIEW_ARR(value));
}

/* What a server that is asked so answers, and from where. */
static void serve(struct world *w, struct nat_core *nat, const struct nat_packet *packet,
                  uint64_t now)
{
    uint32_t ip = ntohl(packet->to.in.sin_addr.s_addr);
    unsigned change = packet->len == 28 ? packet->bytes[27] : 0,
             port = ntohs(packet->to.in.sin_port);
    bool is_full = w->is_full && ip != ROUTER;
    union nat_address from, seen = mapped(w, packet->socket, &packet->to);
    _buf_ answer = { 0 };

    if (w->takes && packet->len > w->takes)
        return;
    CHECK_U64((unsigned)packet->bytes[2] << 8 | packet->bytes[3], packet->len - 20);
    w->sent[w->n_sent] = packet->to;
    w->from[w->n_sent++] = packet->socket;
    if (w->is_blocked || (ip != ROUTER && !w->has_second) || (change & 4 && !is_full))
        return;
    from = at(change & 4 ? (ip == TURN ? TURN_OTHER : TURN) : ip, change & 2 ? port ^ 1 : port);
    if (!lets_in(w, packet->socket, &from))
        return;
    buf_put(&answer, VIEW("\x01\x01\0\0", 4));
    buf_put(&answer, VIEW(packet->bytes + 4, 16));
    put_address(&answer, 0x20, &seen, true);
    if (is_full) {
        union nat_address other = at(TURN_OTHER, 3479);
        put_address(&answer, 0x802c, &other, false);
    }
    answer.data[3] = (uint8_t)(answer.len - 20);
    nat_input(nat, packet->socket, &from, buf_view(&answer), now * 1000 + 12000);
}

static struct ice_nat run(struct world *w)
{
    const struct ice_nat_question q = { "192.0.2.10", 3478,
                                        3479,         w->has_second ? "192.0.2.20" : NULL,
                                        3478,         w->takes > 0 };
    union nat_address local = at(LOCAL, 5000);
    uint8_t txids[NAT_TESTS][NAT_TXID];
    struct nat_packet packet;
    struct nat_core nat;
    struct ice_nat result;
    uint64_t now = 1000;

    for (size_t i = 0; i < NAT_TESTS; i++)
        memset(txids[i], (int)i + 1, NAT_TXID);
    w->n_sent = 0;
    for (nat_begin(&nat, &q, &local, txids, now); !nat_is_done(&nat, now);
         now = nat_deadline(&nat)) {
        while (nat_next(&nat, now, &packet)) {
            if (nat.tests[0].n_sent > w->lost)
                serve(w, &nat, &packet, now);
        }
        if (nat_deadline(&nat) <= now)
            break;
    }
    nat_result(&nat, &result);
    return result;
}

TEST(how_large_a_packet_gets_through)
{
    static const size_t cases[][2] = { { 1472, 1452 }, { 1451, 1412 }, { 1392, 1392 },
                                       { 1252, 1252 }, { 1251, 1232 }, { 1200, 1200 },
                                       { 1199, 548 },  { 547, 0 } };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct world w = { .maps = MAP_ONE, .filters = FILTER_PORT, .takes = cases[i][0] };
        struct ice_nat found = run(&w);
        CHECK_U64(found.packet, cases[i][1]);
        CHECK_STR(ice_nat_name(&found), "port-restricted NAT");
        w.is_blocked = true;
        found = run(&w);
        CHECK_U64(found.packet, 0);
        w = (struct world){ .maps = MAP_ONE };
        CHECK_U64(run(&w).packet, 0);
    }
}

#define NAME(wanted, ...)                                                                          \
    do {                                                                                           \
        struct world w = { __VA_ARGS__ };                                                          \
        struct ice_nat found = run(&w);                                                            \
        CHECK_STR(ice_nat_name(&found), wanted);                                                   \
    } while (0)

TEST(with_a_server_of_two_addresses_each_kind_has_its_name)
{
#define FULL .has_second = true, .is_full = true
    NAME("no NAT, nothing filtered", .maps = MAP_NONE, .filters = FILTER_NONE, FULL);
    NAME("no NAT, a firewall that lets answers in", .maps = MAP_NONE, .filters = FILTER_PORT, FULL);
    NAME("full-cone NAT", .maps = MAP_ONE, .filters = FILTER_NONE, FULL);
    NAME("address-restricted NAT", .maps = MAP_ONE, .filters = FILTER_ADDRESS, FULL);
    NAME("port-restricted NAT", .maps = MAP_ONE, .filters = FILTER_PORT, FULL);
    NAME("symmetric NAT", .maps = MAP_PORT, .filters = FILTER_PORT, FULL);
    NAME("symmetric NAT", .maps = MAP_ADDRESS, .filters = FILTER_PORT, FULL);
    NAME("UDP is blocked", .is_blocked = true, FULL);
}

TEST(with_one_address_no_more_is_said_than_can_be_known)
{
    NAME("full-cone or address-restricted NAT", .maps = MAP_ONE, .filters = FILTER_NONE);
    NAME("full-cone or address-restricted NAT", .maps = MAP_ONE, .filters = FILTER_ADDRESS);
    NAME("port-restricted NAT", .maps = MAP_ONE, .filters = FILTER_PORT);
    NAME("symmetric NAT", .maps = MAP_PORT, .filters = FILTER_PORT);
    NAME("UDP is blocked", .is_blocked = true);
    NAME("symmetric NAT", .maps = MAP_ADDRESS, .filters = FILTER_PORT, .has_second = true);
}

TEST(a_few_lost_packets_change_nothing)
{
    NAME("port-restricted NAT", .maps = MAP_ONE, .filters = FILTER_PORT, .lost = 3);
    NAME("address-restricted NAT", .maps = MAP_ONE, .filters = FILTER_ADDRESS, .lost = 2, FULL);
}

TEST(who_can_punch_through_to_whom)
{
    struct world worlds[] = {
        { .maps = MAP_ONE, .filters = FILTER_NONE, FULL },
        { .maps = MAP_ONE, .filters = FILTER_ADDRESS, FULL },
        { .maps = MAP_ONE, .filters = FILTER_PORT, FULL },
        { .maps = MAP_PORT, .filters = FILTER_PORT, FULL },
        { .is_blocked = true, FULL },
    };
    static const char wanted[] = "++++-"
                                 "++++-"
                                 "+++--"
                                 "++---"
                                 "-----";

    for (size_t a = 0; a < N_ELEMENTS(worlds); a++) {
        for (size_t b = 0; b < N_ELEMENTS(worlds); b++) {
            struct ice_nat left = run(&worlds[a]), right = run(&worlds[b]);
            CHECK(ice_nat_punch(&left, &right) ==
                  (wanted[a * 5 + b] == '+' ? ICE_PUNCH_WORKS : ICE_PUNCH_FAILS));
        }
    }
}

TEST(answers_that_were_not_asked_for_are_passed_over)
{
    const struct ice_nat_question q = { "192.0.2.10", 3478, 3479, NULL, 0 };
    union nat_address local = at(LOCAL, 5000), from = at(ROUTER, 3478), other = at(ROUTER, 3479),
                      seen = local;
    uint8_t txids[NAT_TESTS][NAT_TXID] = { { 7 }, { 8 }, { 9 } };
    struct nat_packet packet;
    struct nat_core nat;
    struct ice_nat result;
    _buf_ answer = { 0 };

    nat_begin(&nat, &q, &local, txids, 5);
    while (nat_next(&nat, 5, &packet))
        ;
    buf_put(&answer, VIEW("\x01\x01\0\x0c\x21\x12\xa4\x42", 8));
    buf_put(&answer, VIEW(txids[0], NAT_TXID));
    put_address(&answer, 0x20, &seen, true);
    nat_input(&nat, 0, &other, buf_view(&answer), 9000); /* from elsewhere */
    nat_input(&nat, 1, &from, buf_view(&answer), 9000);  /* to another socket */
    for (size_t len = 0; len < answer.len; len++)        /* cut short */
        nat_input(&nat, 0, &from, VIEW(answer.data, len), 9000);
    answer.data[8] ^= 1; /* another question's */
    nat_input(&nat, 0, &from, buf_view(&answer), 9000);
    nat_result(&nat, &result);
    CHECK_STR(ice_udp_name(result.udp), "blocked");
    answer.data[8] ^= 1;
    nat_input(&nat, 0, &from, buf_view(&answer), 9000);
    nat_result(&nat, &result);
    CHECK_STR(ice_udp_name(result.udp), "open");
    CHECK_STR(ice_nat_name(&result), "no NAT");
    CHECK_STR(result.mapped, "10.0.0.2:5000");
    CHECK_U64(result.rtt_us, 4000);
}

/* A server that ignores the wish to be answered from elsewhere does not make a NAT look open. */
TEST(an_answer_from_the_port_that_was_asked_proves_nothing)
{
    const struct ice_nat_question q = { "192.0.2.10", 3478, 3479, NULL, 0 };
    union nat_address local = at(LOCAL, 5000), from = at(ROUTER, 3478), seen = at(PUBLIC, 9);
    uint8_t txids[NAT_TESTS][NAT_TXID] = { { 7 }, { 8 }, { 9 } };
    struct nat_core nat;
    _buf_ answer = { 0 };

    nat_begin(&nat, &q, &local, txids, 5);
    buf_put(&answer, VIEW("\x01\x01\0\x0c\x21\x12\xa4\x42", 8));
    buf_put(&answer, VIEW(txids[2], NAT_TXID));
    put_address(&answer, 0x20, &seen, true);
    nat_input(&nat, 1, &from, buf_view(&answer), 9000);
    CHECK(!nat.tests[2].is_answered);
}
