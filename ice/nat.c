/* SPDX-License-Identifier: Apache-2.0 */
#include "ice/nat_core.h"

#include "base/mem.h"
#include "base/own.h"

#include <arpa/inet.h>
#include <stdio.h>

/* RFC 8489 and RFC 5780. */
enum {
    BINDING = 0x0001,
    BINDING_ANSWER = 0x0101,
    MAPPED = 0x0001,
    CHANGE_REQUEST = 0x0003,
    XOR_MAPPED = 0x0020,
    OTHER_ADDRESS = 0x802c,
    SOFTWARE = 0x8022,
    MAX_SOFTWARE = 508, /* RFC 8489, 14.14: 509 */
    CHANGE_IP = 4,
    CHANGE_PORT = 2,
    HEADER = 20,
};
static const uint8_t cookie[] = { 0x21, 0x12, 0xa4, 0x42 };

/* Each question, and from which socket. What is asked to be answered from elsewhere has a socket of its own: to what came from it
 * nobody else's packets may have opened the NAT. */
enum {
    T_FIRST,       /* the router */
    T_OTHER_PORT,  /* its other port: is the mapping another one? */
    T_FROM_PORT,   /* answer from the other port: does it come in? */
    T_SECOND,      /* another server: is the mapping another one? */
    T_SECOND_PORT, /* that server's other address: is the mapping another one? */
    T_FROM_BOTH,   /* answer from another address and port: does it come in? */
    T_FROM_PORT_2, /* from another port of the second server */
    T_SIZES = NAT_TESTS - NAT_SIZES,
};

/* As the link asks about them (peer/link/plpmtu.c); and one that gets through everywhere. */
static const size_t sizes[NAT_SIZES] = { 1452, 1412, 1392, 1372, 1252, 1232, 1200, 548 };
enum { SIZES_AFTER_MS = 500, SIZE_SENDS = 3, SIZE_PAUSE_MS = 300 }; /* servers count requests */

/* ---- words ---- */

static const char *const udp_names[] = { "unknown", "open", "blocked" };
static const char *const mapping_names[] = { "unknown", "none", "endpoint-independent",
                                             "address-dependent", "address-and-port-dependent" };
static const char *const filtering_names[] = { "unknown", "endpoint-independent",
                                               "address-dependent", "address-and-port-dependent",
                                               "not-port-dependent" };

const char *ice_udp_name(enum ice_udp udp)
{
    return udp_names[udp];
}

const char *ice_mapping_name(enum ice_mapping mapping)
{
    return mapping_names[mapping];
}

const char *ice_filtering_name(enum ice_filtering filtering)
{
    return filtering_names[filtering];
}

static bool find_word(struct view word, const char *const *names, size_t n, unsigned *ret)
{
    for (unsigned i = 0; i < n; i++) {
        if (view_eq_text(word, names[i])) {
            *ret = i;
            return true;
        }
    }
    return false;
}

bool ice_nat_read(struct view udp, struct view mapping, struct view filtering,
                  struct ice_nat *ret_nat)
{
    unsigned u, m, f;

    if (!find_word(udp, udp_names, N_ELEMENTS(udp_names), &u) ||
        !find_word(mapping, mapping_names, N_ELEMENTS(mapping_names), &m) ||
        !find_word(filtering, filtering_names, N_ELEMENTS(filtering_names), &f))
        return false;
    *ret_nat = (struct ice_nat){ .udp = (enum ice_udp)u,
                                 .mapping = (enum ice_mapping)m,
                                 .filtering = (enum ice_filtering)f };
    return true;
}

static const char *open_name(enum ice_filtering filtering)
{
    switch (filtering) {
    case ICE_FILTERING_NONE:
        return "no NAT, nothing filtered";
    case ICE_FILTERING_NOT_PORT:
        return "no NAT, not filtered by port";
    case ICE_FILTERING_ADDRESS:
    case ICE_FILTERING_PORT:
        return "no NAT, a firewall that lets answers in";
    case ICE_FILTERING_UNKNOWN:
        break;
    }
    return "no NAT";
}

static const char *cone_name(enum ice_filtering filtering)
{
    switch (filtering) {
    case ICE_FILTERING_NONE:
        return "full-cone NAT";
    case ICE_FILTERING_ADDRESS:
        return "address-restricted NAT";
    case ICE_FILTERING_PORT:
        return "port-restricted NAT";
    case ICE_FILTERING_NOT_PORT:
        return "full-cone or address-restricted NAT";
    case ICE_FILTERING_UNKNOWN:
        break;
    }
    return "cone NAT";
}

const char *ice_nat_name(const struct ice_nat *nat)
{
    if (nat->udp == ICE_UDP_BLOCKED)
        return "UDP is blocked";
    switch (nat->mapping) {
    case ICE_MAPPING_NONE:
        return open_name(nat->filtering);
    case ICE_MAPPING_ENDPOINT:
        return cone_name(nat->filtering);
    case ICE_MAPPING_ADDRESS:
    case ICE_MAPPING_PORT:
        return "symmetric NAT";
    case ICE_MAPPING_UNKNOWN:
        break;
    }
    return "not known";
}

static bool maps_each(const struct ice_nat *nat)
{
    return nat->mapping == ICE_MAPPING_ADDRESS || nat->mapping == ICE_MAPPING_PORT;
}

enum ice_punch ice_nat_punch(const struct ice_nat *a, const struct ice_nat *b)
{
    if (a->udp == ICE_UDP_BLOCKED || b->udp == ICE_UDP_BLOCKED)
        return ICE_PUNCH_FAILS;
    if (a->mapping == ICE_MAPPING_UNKNOWN || b->mapping == ICE_MAPPING_UNKNOWN)
        return ICE_PUNCH_UNKNOWN;
    if ((maps_each(a) && maps_each(b)) || (maps_each(a) && b->filtering == ICE_FILTERING_PORT) ||
        (maps_each(b) && a->filtering == ICE_FILTERING_PORT))
        return ICE_PUNCH_FAILS;
    return ICE_PUNCH_WORKS;
}

/* ---- addresses ---- */

socklen_t nat_address_size(const union nat_address *address)
{
    return address->any.sa_family == AF_INET ? sizeof(address->in) : sizeof(address->in6);
}

bool nat_address_read(const char *text, uint16_t port, union nat_address *ret)
{
    union nat_address a = { 0 };

    if (inet_pton(AF_INET, text, &a.in.sin_addr) == 1) {
        a.in.sin_family = AF_INET;
        a.in.sin_port = htons(port);
    } else if (inet_pton(AF_INET6, text, &a.in6.sin6_addr) == 1) {
        a.in6.sin6_family = AF_INET6;
        a.in6.sin6_port = htons(port);
    } else {
        return false;
    }
    *ret = a;
    return true;
}

void nat_address_write(const union nat_address *address, char to[64])
{
    char text[INET6_ADDRSTRLEN] = "";

    to[0] = '\0';
    if (address->any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &address->in.sin_addr, text, sizeof(text));
        snprintf(to, 64, "%s:%u", text, ntohs(address->in.sin_port));
    } else if (address->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->in6.sin6_addr, text, sizeof(text));
        snprintf(to, 64, "[%s]:%u", text, ntohs(address->in6.sin6_port));
    }
}

static bool same_ip(const union nat_address *a, const union nat_address *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return false;
    return a->any.sa_family == AF_INET
               ? a->in.sin_addr.s_addr == b->in.sin_addr.s_addr
               : memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(struct in6_addr)) == 0;
}

static in_port_t port_of(const union nat_address *a)
{
    return a->any.sa_family == AF_INET ? a->in.sin_port : a->in6.sin6_port;
}

static bool same(const union nat_address *a, const union nat_address *b)
{
    return same_ip(a, b) && port_of(a) == port_of(b);
}

/* ---- asking ---- */

static void add(struct nat_core *nat, unsigned i, unsigned socket, const union nat_address *to,
                unsigned change, uint64_t now)
{
    struct nat_test *test = &nat->tests[i];

    test->is_on = true;
    test->socket = socket;
    test->to = *to;
    test->change = change;
    test->next_at = now;
}

void nat_begin(struct nat_core *nat, const struct ice_nat_question *q,
               const union nat_address *local, const uint8_t txids[NAT_TESTS][NAT_TXID],
               uint64_t now)
{
    union nat_address to;

    *nat = (struct nat_core){ .local = *local, .began_at = now };
    for (size_t i = 0; i < NAT_TESTS; i++)
        memcpy(nat->tests[i].txid, txids[i], NAT_TXID);
    if (nat_address_read(q->server, q->port, &to))
        add(nat, T_FIRST, 0, &to, 0, now);
    if (q->other_port && nat_address_read(q->server, q->other_port, &to))
        add(nat, T_OTHER_PORT, 0, &to, 0, now);
    if (q->other_port && nat_address_read(q->server, q->port, &to))
        add(nat, T_FROM_PORT, 1, &to, CHANGE_PORT, now);
    if (q->second && q->second[0] && nat_address_read(q->second, q->second_port, &to))
        add(nat, T_SECOND, 0, &to, 0, now);
    for (unsigned i = 0; q->measures && i < NAT_SIZES && nat_address_read(q->server, q->port, &to);
         i++) {
        add(nat, T_SIZES + i, 0, &to, 0, now + SIZES_AFTER_MS);
        nat->tests[T_SIZES + i].size = sizes[i];
    }
}

/* SOFTWARE is what every server passes over, however often it comes. */
static void pad(struct nat_packet *packet, size_t size)
{
    while (packet->len + 4 <= size) {
        uint8_t *p = packet->bytes + packet->len;
        size_t room = size - packet->len - 4, len = room < MAX_SOFTWARE ? room : MAX_SOFTWARE;

        p[0] = SOFTWARE >> 8;
        p[1] = SOFTWARE & 0xff;
        p[2] = (uint8_t)(len >> 8);
        p[3] = (uint8_t)len;
        memset(p + 4, ' ', len);
        packet->len += 4 + len;
    }
    packet->bytes[2] = (uint8_t)((packet->len - HEADER) >> 8);
    packet->bytes[3] = (uint8_t)(packet->len - HEADER);
}

static void write_request(const struct nat_test *test, struct nat_packet *ret)
{
    uint8_t *p = ret->bytes;

    memset(p, 0, sizeof(ret->bytes));
    p[1] = BINDING;
    memcpy(p + 4, cookie, sizeof(cookie));
    memcpy(p + 8, test->txid, NAT_TXID);
    ret->len = HEADER;
    if (test->change) {
        p[3] = 8;
        p[21] = CHANGE_REQUEST;
        p[23] = 4;
        p[27] = (uint8_t)test->change;
        ret->len += 8;
    }
    pad(ret, test->size);
    ret->socket = test->socket;
    ret->to = test->to;
}

static unsigned sends_of(const struct nat_test *test)
{
    return test->size ? SIZE_SENDS : NAT_SENDS;
}

bool nat_next(struct nat_core *nat, uint64_t now, struct nat_packet *ret)
{
    for (size_t i = 0; i < NAT_TESTS; i++) {
        struct nat_test *test = &nat->tests[i];

        if (!test->is_on || test->is_over || test->n_sent == sends_of(test) || test->next_at > now)
            continue;
        write_request(test, ret);
        test->sent_at = now;
        test->next_at =
            now + (test->size ? (uint64_t)SIZE_PAUSE_MS : UINT64_C(100) << test->n_sent);
        test->n_sent++;
        return true;
    }
    return false;
}

uint64_t nat_deadline(const struct nat_core *nat)
{
    uint64_t at = nat->began_at + NAT_GIVE_UP_MS;

    for (size_t i = 0; i < NAT_TESTS; i++) {
        const struct nat_test *test = &nat->tests[i];
        if (test->is_on && !test->is_over && test->n_sent < sends_of(test) && test->next_at < at)
            at = test->next_at;
    }
    return at;
}

/* ---- answers ---- */

static unsigned u16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

/* An address attribute's value; `mask`: the cookie and transaction, or NULL. */
static bool read_address(struct view value, const uint8_t *mask, union nat_address *ret)
{
    union nat_address a = { 0 };
    size_t size = value.len >= 2 && value.data[1] == 2 ? 16 : 4;
    uint8_t bytes[18];

    if (value.len != 4 + size || (value.data[1] != 1 && value.data[1] != 2))
        return false;
    memcpy(bytes, value.data + 2, 2 + size);
    for (size_t i = 0; mask && i < 2 + size; i++)
        bytes[i] ^= i < 2 ? mask[i] : mask[i - 2];
    if (size == 4) {
        a.in.sin_family = AF_INET;
        memcpy(&a.in.sin_port, bytes, 2);
        memcpy(&a.in.sin_addr, bytes + 2, 4);
    } else {
        a.in6.sin6_family = AF_INET6;
        memcpy(&a.in6.sin6_port, bytes, 2);
        memcpy(&a.in6.sin6_addr, bytes + 2, 16);
    }
    *ret = a;
    return true;
}

/* The attribute of that type; false: it is not there, or the message is none. */
static bool find(struct view packet, unsigned type, struct view *ret)
{
    size_t at = HEADER;

    while (at + 4 <= packet.len) {
        size_t len = u16(packet.data + at + 2);
        if (at + 4 + len > packet.len)
            return false;
        if (u16(packet.data + at) == type) {
            *ret = view_sub(packet, at + 4, len);
            return true;
        }
        at += 4 + ((len + 3) & ~(size_t)3);
    }
    return false;
}

static bool is_answer(struct view packet)
{
    return packet.len >= HEADER && packet.len <= NAT_MAX_PACKET &&
           u16(packet.data) == BINDING_ANSWER && u16(packet.data + 2) == packet.len - HEADER &&
           memcmp(packet.data + 4, cookie, sizeof(cookie)) == 0;
}

static bool read_mapped(struct view packet, union nat_address *ret)
{
    struct view value;

    if (find(packet, XOR_MAPPED, &value))
        return read_address(value, packet.data + 4, ret);
    return find(packet, MAPPED, &value) && read_address(value, NULL, ret);
}

bool nat_answer_read(struct view packet, const uint8_t txid[NAT_TXID],
                     union nat_address *ret_mapped)
{
    return is_answer(packet) && memcmp(packet.data + 8, txid, NAT_TXID) == 0 &&
           read_mapped(packet, ret_mapped);
}

/* The second server has another address: what only such a one can answer is asked. */
static void ask_more(struct nat_core *nat, struct view packet, uint64_t now)
{
    const struct nat_test *second = &nat->tests[T_SECOND];
    union nat_address other;
    struct view value;

    if (nat->has_other || !find(packet, OTHER_ADDRESS, &value) ||
        !read_address(value, NULL, &other) || other.any.sa_family != second->to.any.sa_family ||
        same_ip(&other, &second->to) || port_of(&other) == 0)
        return;
    nat->has_other = true;
    add(nat, T_SECOND_PORT, 0, &other, 0, now);
    add(nat, T_FROM_BOTH, 2, &second->to, CHANGE_IP | CHANGE_PORT, now);
    add(nat, T_FROM_PORT_2, 3, &second->to, CHANGE_PORT, now);
}

/* Where the answer has to come from: what is asked to come from elsewhere must, or a server that ignores the wish would make a NAT look
 * open. */
static bool is_from(const struct nat_test *test, const union nat_address *from)
{
    if (!test->change)
        return same(from, &test->to);
    if (test->change & CHANGE_IP)
        return !same_ip(from, &test->to);
    return same_ip(from, &test->to) && port_of(from) != port_of(&test->to);
}

void nat_input(struct nat_core *nat, unsigned socket, const union nat_address *from,
               struct view packet, uint64_t now_us)
{
    if (!is_answer(packet))
        return;
    for (size_t i = 0; i < NAT_TESTS; i++) {
        struct nat_test *test = &nat->tests[i];
        union nat_address mapped;

        if (!test->is_on || test->is_over || test->socket != socket ||
            memcmp(packet.data + 8, test->txid, NAT_TXID) != 0)
            continue;
        if (!is_from(test, from) || !read_mapped(packet, &mapped))
            return;
        test->is_over = test->is_answered = true;
        test->mapped = mapped;
        if (!nat->rtt_us && test->n_sent == 1 &&
            !test->size) /* which of several it answers is not known */
            nat->rtt_us = now_us > test->sent_at * 1000 ? now_us - test->sent_at * 1000 : 1;
        if (i == T_SECOND)
            ask_more(nat, packet, now_us / 1000);
        return;
    }
}

bool nat_is_done(const struct nat_core *nat, uint64_t now)
{
    bool is_open = false;

    for (size_t i = 0; i < NAT_TESTS; i++)
        is_open |= nat->tests[i].is_on && !nat->tests[i].is_over;
    return !is_open || now >= nat->began_at + NAT_GIVE_UP_MS;
}

/* ---- what it means ---- */

static bool answered(const struct nat_core *nat, unsigned i)
{
    return nat->tests[i].is_answered;
}

static const union nat_address *mapped(const struct nat_core *nat, unsigned i)
{
    return &nat->tests[i].mapped;
}

static enum ice_mapping mapping_of(const struct nat_core *nat)
{
    unsigned base = answered(nat, T_FIRST) ? T_FIRST : T_SECOND;
    bool port_differs =
        answered(nat, T_OTHER_PORT) && !same(mapped(nat, base), mapped(nat, T_OTHER_PORT));
    bool address_differs =
        (answered(nat, T_SECOND) && !same(mapped(nat, base), mapped(nat, T_SECOND))) ||
        (answered(nat, T_SECOND_PORT) && !same(mapped(nat, base), mapped(nat, T_SECOND_PORT)));

    if (!answered(nat, base))
        return ICE_MAPPING_UNKNOWN;
    if (nat->local.any.sa_family && same(mapped(nat, base), &nat->local))
        return ICE_MAPPING_NONE;
    if (port_differs)
        return ICE_MAPPING_PORT;
    return address_differs ? ICE_MAPPING_ADDRESS : ICE_MAPPING_ENDPOINT;
}

static enum ice_filtering filtering_of(const struct nat_core *nat)
{
    bool asked_port =
        (nat->tests[T_FROM_PORT].is_on && answered(nat, T_FIRST) && answered(nat, T_OTHER_PORT)) ||
        nat->tests[T_FROM_PORT_2].is_on;

    if (answered(nat, T_FROM_BOTH))
        return ICE_FILTERING_NONE;
    if (answered(nat, T_FROM_PORT) || answered(nat, T_FROM_PORT_2))
        return nat->has_other ? ICE_FILTERING_ADDRESS : ICE_FILTERING_NOT_PORT;
    return asked_port ? ICE_FILTERING_PORT : ICE_FILTERING_UNKNOWN;
}

void nat_result(const struct nat_core *nat, struct ice_nat *ret)
{
    bool any = answered(nat, T_FIRST) || answered(nat, T_OTHER_PORT) || answered(nat, T_SECOND);
    bool asked = nat->tests[T_FIRST].n_sent || nat->tests[T_SECOND].n_sent;
    struct ice_nat result = { .udp = any     ? ICE_UDP_OPEN
                                     : asked ? ICE_UDP_BLOCKED
                                             : ICE_UDP_UNKNOWN,
                              .rtt_us = nat->rtt_us };

    if (any) {
        result.mapping = mapping_of(nat);
        result.filtering = filtering_of(nat);
        nat_address_write(mapped(nat, answered(nat, T_FIRST) ? T_FIRST : T_SECOND), result.mapped);
    }
    for (size_t i = NAT_SIZES; i-- > 0;)
        result.packet = answered(nat, T_SIZES + (unsigned)i) ? sizes[i] : result.packet;
    nat_address_write(&nat->local, result.local);
    *ret = result;
}
