/* SPDX-License-Identifier: Apache-2.0 */
/* The STUN server, byte by byte: the bytes expected were written by hand from RFC 8489 and RFC 5780. */
#include "router/stun.h"
#include "tests/check.h"

#include <arpa/inet.h>
#include <stdio.h>

enum { NOW = 100000 };

static const struct stun_limits none = { 0, 0 };

static union stun_address address(const char *text, uint16_t port)
{
    union stun_address a = { .in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) } };

    if (inet_pton(AF_INET6, text, &a.in6.sin6_addr) == 1)
        return a;
    a = (union stun_address){ .in = { .sin_family = AF_INET, .sin_port = htons(port) } };
    CHECK(inet_pton(AF_INET, text, &a.in.sin_addr) == 1);
    return a;
}

static struct stun_request request_of(struct view packet)
{
    return (struct stun_request){ packet, address("192.0.2.1", 32853),
                                  address("198.51.100.10", 3478), 0 };
}

static enum stun_outcome serve(struct stun *stun, struct view packet, struct stun_answer *answer)
{
    struct stun_request request = request_of(packet);

    return stun_serve(stun, &request, NOW, answer);
}

#define ID     0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae /* RFC 5769's */
#define COOKIE 0x21, 0x12, 0xa4, 0x42

static const uint8_t plain[] = { 0x00, 0x01, 0x00, 0x00, COOKIE, ID };

TEST(answers_with_the_address_that_it_was_asked_from)
{
    /* XOR-MAPPED-ADDRESS of 192.0.2.1:32853 is RFC 5769, 2.2's; then RESPONSE-ORIGIN 198.51.100.10:3478 */
    static const uint8_t wanted[] = { 0x01, 0x01, 0x00, 0x18, COOKIE, ID,               /**/
                                      0x00, 0x20, 0x00, 0x08, 0x00,   0x01, 0xa1, 0x47, /**/
                                      0xe1, 0x12, 0xa6, 0x43,                           /**/
                                      0x80, 0x2b, 0x00, 0x08, 0x00,   0x01, 0x0d, 0x96, /**/
                                      0xc6, 0x33, 0x64, 0x0a };
    _cleanup_(stun_freep) struct stun *stun = stun_new(&none);
    struct stun_answer answer = { 0 };

    CHECK(serve(stun, VIEW_ARR(plain), &answer) == STUN_ANSWERED);
    CHECK(view_eq(VIEW(answer.bytes, answer.len), VIEW_ARR(wanted)));
    CHECK(answer.to.in.sin_port == htons(32853) && !answer.from_other_port);
}

TEST(answers_old_clients_in_their_words)
{
    static const uint8_t old[] = { 0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x43, ID };
    /* MAPPED-ADDRESS and SOURCE-ADDRESS of RFC 3489, 11.2.1 and 11.2.5 */
    static const uint8_t wanted[] = { 0x01, 0x01, 0x00, 0x18, 0x21, 0x12, 0xa4, 0x43, ID,
                                      0x00, 0x01, 0x00, 0x08, 0x00, 0x01, 0x80, 0x55, /**/
                                      0xc0, 0x00, 0x02, 0x01,                         /**/
                                      0x00, 0x04, 0x00, 0x08, 0x00, 0x01, 0x0d, 0x96, /**/
                                      0xc6, 0x33, 0x64, 0x0a };
    _cleanup_(stun_freep) struct stun *stun = stun_new(&none);
    struct stun_answer answer = { 0 };

    CHECK(serve(stun, VIEW_ARR(old), &answer) == STUN_ANSWERED);
    CHECK(view_eq(VIEW(answer.bytes, answer.len), VIEW_ARR(wanted)));
}

TEST(answers_over_ipv6)
{
    /* XOR-MAPPED-ADDRESS of [2001:db8:1234:5678:11:2233:4455:6677]:32853: RFC 5769, 2.3's */
    static const uint8_t mapped[] = { 0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47,
                                      0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79,
                                      0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9 };
    _cleanup_(stun_freep) struct stun *stun = stun_new(&none);
    struct stun_request request = { VIEW_ARR(plain),
                                    address("2001:db8:1234:5678:11:2233:4455:6677", 32853),
                                    address("2001:db8::1", 3478), 0 };
    struct stun_answer answer = { 0 };

    CHECK(stun_serve(stun, &request, NOW, &answer) == STUN_ANSWERED);
    CHECK(answer.len == 20 + 24 + 24);
    CHECK(view_eq(VIEW(answer.bytes + 20, 24), VIEW_ARR(mapped)));
}

TEST(mapped_ipv4_is_ipv4)
{
    _cleanup_(stun_freep) struct stun *stun = stun_new(&none);
    struct stun_request request = { VIEW_ARR(plain), address("::ffff:192.0.2.1", 32853),
                                    address("::ffff:198.51.100.10", 3478), 0 };
    struct stun_answer mapped = { 0 }, as_is = { 0 };

    CHECK(stun_serve(stun, &request, NOW, &mapped) == STUN_ANSWERED);
    CHECK(serve(stun, VIEW_ARR(plain), &as_is) == STUN_ANSWERED);
    CHECK(view_eq(VIEW(mapped.bytes, mapped.len), VIEW(as_is.bytes, as_is.len)));
    CHECK(mapped.to.any.sa_family == AF_INET6); /* the socket's own family */
}

/* CRC-32 as RFC 8489, 14.7 has it, with its own table: bit by bit. */
static uint32_t fingerprint(struct view bytes)
{
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= bytes.data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc ^ 0x5354554e;
}

static void put_fingerprint(uint8_t *packet, size_t len)
{
    static const uint8_t head[] = { 0x80, 0x28, 0x00, 0x04 };

    packet[3] = (uint8_t)(len + 8 - 20);
    uint32_t n = htonl(fingerprint(VIEW(packet, len)));
    memcpy(packet + len, head, sizeof(head));
    memcpy(packet + len + 4, &n, sizeof(n));
}

TEST(a_fingerprint_is_checked_and_answered)
{
    _cleanup_(stun_freep) struct stun *stun = stun_new(&none);
    struct stun_answer answer = { 0 };
    uint8_t packet[28] = { 0 };
    uint32_t n;

    memcpy(packet, plain, sizeof(plain));
    put_fingerprint(packet, sizeof(plain));
    CHECK(serve(stun, VIEW_ARR(packet), &answer) == STUN_ANSWERED);
    CHECK(answer.len == 20 + 12 + 12 + 8);
    n = htonl(fingerprint(VIEW(answer.bytes, answer.len - 8)));
    CHECK(memcmp(answer.bytes + answer.len - 4, &n, sizeof(n)) == 0);
    packet[27] ^= 1;
    CHECK(serve(stun, VIEW_ARR(packet), &answer) == STUN_DROPPED);
}

TEST(answers_from_another_port_and_to_another_port)
{
    static const uint8_t change_port[] = { 0x00, 0x01, 0x00, 0x08, COOKIE, ID, /**/
                                           0x00, 0x03, 0x00, 0x04, 0x00,   0x00, 0x00, 0x02 };
    static const uint8_t to_port[] = { 0x00, 0x01, 0x00, 0x08, COOKIE, ID, /**/
                                       0x00, 0x27, 0x00, 0x04, 0x30,   0x39, 0x00, 0x00 };
    _cleanup_(stun_freep) struct stun *stun = stun_new(&none);
    struct stun_request request = request_of(VIEW_ARR(change_port));
    struct stun_answer answer = { 0 };

    request.other_port = 3479;
    CHECK(stun_serve(stun, &request, NOW, &answer) == STUN_ANSWERED);
    CHECK(answer.from_other_port);
    CHECK(answer.bytes[38] == 0x0d && answer.bytes[39] == 0x97); /* RESPONSE-ORIGIN's port, 3479 */
    CHECK(serve(stun, VIEW_ARR(to_port), &answer) == STUN_ANSWERED);
    CHECK(answer.to.in.sin_port == htons(12345) && !answer.from_other_port);
    CHECK(answer.bytes[26] == 0xa1 &&
          answer.bytes[27] == 0x47); /* seen from where it was sent from */
}

TEST(refuses_what_it_does_not_have_and_says_so)
{
    static const struct {
        uint8_t attribute[8];
    } cases[] = {
        { { 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x00, 0x02 } }, /* a changed port: there is none */
        { { 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x00, 0x04 } }, /* a changed address */
        { { 0x00, 0x26, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00 } }, /* PADDING */
        { { 0x7f, 0x01, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00 } }, /* nobody's */
    };
    _cleanup_(stun_freep) struct stun *stun = stun_new(&none);

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct stun_answer answer = { 0 };
        uint8_t packet[28];
        struct view bytes;
        size_t at;

        memcpy(packet, plain, sizeof(plain));
        packet[3] = 8;
        memcpy(packet + 20, cases[i].attribute, 8);
        CHECK(serve(stun, VIEW_ARR(packet), &answer) == STUN_REFUSED);
        bytes = VIEW(answer.bytes, answer.len);
        CHECK(bytes.data[0] == 0x01 && bytes.data[1] == 0x11);
        CHECK(bytes.data[21] == 0x09 && bytes.data[26] == 4 && bytes.data[27] == 20); /* 420 */
        at = 24u + ((bytes.data[23] + 3u) & ~3u);
        CHECK(bytes.data[at + 1] == 0x0a);
        CHECK(memcmp(bytes.data + at + 4, cases[i].attribute, 2) == 0);
        CHECK(answer.len < 4 * sizeof(packet));
    }
}

/* Whoever wants to know how large a packet reaches it (RFC 8489, 14.14: what comes twice is passed over). */
TEST(a_long_request_gets_a_short_answer)
{
    uint8_t request[STUN_MAX_REQUEST] = { 0x00, 0x01, 0x05, 0xac, COOKIE, ID };
    _cleanup_(stun_freep) struct stun *stun = stun_new(&none);
    struct stun_answer answer = { 0 };

    for (size_t at = 20; at < sizeof(request); at += 484) {
        static const uint8_t head[] = { 0x80, 0x22, 0x01, 0xe0 };
        memcpy(request + at, head, sizeof(head));
    }
    CHECK(serve(stun, VIEW_ARR(request), &answer) == STUN_ANSWERED);
    CHECK(answer.len > 20 && answer.len < 160);
}

TEST(drops_what_is_no_binding_request)
{
    static const uint8_t response[] = { 0x01, 0x01, 0x00, 0x00, COOKIE, ID },
                         indication[] = { 0x00, 0x11, 0x00, 0x00, COOKIE, ID },
                         allocate[] = { 0x00, 0x03, 0x00, 0x00, COOKIE, ID },
                         longer[] = { 0x00, 0x01, 0x00, 0x04, COOKIE, ID },
                         quic[] = { 0xc0, 0x01, 0x00, 0x00, COOKIE, ID },
                         torn[] = { 0x00, 0x01, 0x00, 0x08, COOKIE, ID,   0x00,
                                    0x03, 0x00, 0x20, 0x00, 0x00,   0x00, 0x02 },
                         short_port[] = {
                             0x00, 0x01, 0x00, 0x04, COOKIE, ID, 0x00, 0x27, 0x00, 0x00
                         };
    const struct view cases[] = { VIEW_ARR(response),   VIEW_ARR(indication), VIEW_ARR(allocate),
                                  VIEW_ARR(longer),     VIEW_ARR(quic),       VIEW_ARR(torn),
                                  VIEW_ARR(short_port), VIEW(plain, 19),      VIEW(plain, 0) };
    static uint8_t large[STUN_MAX_REQUEST + 4] = { 0x00, 0x01, 0x05, 0xb0, COOKIE, ID };
    _cleanup_(stun_freep) struct stun *stun = stun_new(&none);
    struct stun_request request = request_of(VIEW_ARR(plain));
    struct stun_answer answer = { 0 };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++)
        CHECK(serve(stun, cases[i], &answer) == STUN_DROPPED);
    CHECK(serve(stun, VIEW_ARR(large), &answer) == STUN_DROPPED);
    request.from = address("192.0.2.1", 0);
    CHECK(stun_serve(stun, &request, NOW, &answer) == STUN_DROPPED);
    request.from.any.sa_family = AF_UNIX;
    CHECK(stun_serve(stun, &request, NOW, &answer) == STUN_DROPPED);
    CHECK(answer.len == 0);
}

static unsigned answered(struct stun *stun, const char *from, unsigned n, uint64_t now)
{
    unsigned n_answered = 0;

    for (unsigned i = 0; i < n; i++) {
        struct stun_request request = { VIEW_ARR(plain), address(from, (uint16_t)(1024 + i)),
                                        address("198.51.100.10", 3478), 0 };
        struct stun_answer answer;
        n_answered += stun_serve(stun, &request, now, &answer) == STUN_ANSWERED;
    }
    return n_answered;
}

TEST(each_network_gets_so_many_a_second)
{
    static const struct stun_limits limits = { 10, 0 };
    _cleanup_(stun_freep) struct stun *stun = stun_new(&limits);

    CHECK(answered(stun, "192.0.2.1", 30, NOW) == 10);
    CHECK(answered(stun, "192.0.2.200", 30, NOW) == 0); /* of the same /24 */
    CHECK(answered(stun, "2001:db8:1::1", 30, NOW) == 10);
    CHECK(answered(stun, "2001:db8:1:9::1", 30, NOW) == 0); /* of the same /48 */
    CHECK(answered(stun, "192.0.2.1", 30, NOW + 300) == 3);
    CHECK(answered(stun, "192.0.2.1", 30, NOW + 90000) == 10); /* no more than a second's worth */
}

TEST(all_together_get_so_many_a_second)
{
    static const struct stun_limits limits = { 0, 25 };
    _cleanup_(stun_freep) struct stun *stun = stun_new(&limits);
    unsigned n = 0;
    char from[32];

    for (unsigned i = 0; i < 100; i++) {
        snprintf(from, sizeof(from), "10.0.%u.1", i);
        n += answered(stun, from, 1, NOW);
    }
    CHECK(n == 25);
}
