/* SPDX-License-Identifier: Apache-2.0 */
#include "ice/portmap.h"
#include "tests/check.h"

#define BYTES(...)                                                                                 \
    VIEW(((const uint8_t[]){ __VA_ARGS__ }), sizeof((const uint8_t[]){ __VA_ARGS__ }))

TEST(answers_are_read)
{
    struct portmap_answer a;

    CHECK(portmap_read(BYTES(0, 128, 0, 0, 0, 0, 0, 9, 203, 0, 113, 7), &a) && a.is_address &&
          a.address[3] == 7);
    CHECK(portmap_read(BYTES(0, 129, 0, 0, 0, 0, 0, 9, 0x9c, 0x40, 0x9c, 0x41, 0, 0, 0x1c, 0x20),
                       &a));
    CHECK(!a.is_address && a.inner == 40000 && a.outer == 40001 && a.life_s == 7200);
}

TEST(what_is_no_good_answer_is_passed_over)
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
    CHECK(!portmap_read(BYTES(2, 129, 0, 0, 0, 0, 0, 9, 0x9c, 0x40, 0x9c, 0x41, 0, 0, 0x1c, 0x20),
                        &a));
    CHECK(
        !portmap_read(BYTES(0, 1, 0, 0, 0, 0, 0, 9, 0x9c, 0x40, 0x9c, 0x41, 0, 0, 0x1c, 0x20), &a));
}

TEST(the_question_is_as_the_rfc_has_it)
{
    uint8_t ask[PORTMAP_ASK];

    portmap_write(40000, 40001, 7200, ask);
    CHECK_VIEW(VIEW_ARR(ask), BYTES(0, 1, 0, 0, 0x9c, 0x40, 0x9c, 0x41, 0, 0, 0x1c, 0x20));
}

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
