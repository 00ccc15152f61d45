/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/ring.h"
#include "tests/check.h"

TEST(what_goes_in_comes_out_in_order_across_the_seam)
{
    struct ring ring;
    uint8_t in = 0, out = 0, bytes[7], back[5];

    ring_init(&ring, 11);
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)(in + i);
        in = (uint8_t)(in + ring_put(&ring, VIEW_ARR(bytes)));
        size_t n = ring_get(&ring, back, sizeof(back));
        for (size_t i = 0; i < n; i++)
            CHECK_U64(back[i], (uint8_t)(out + i));
        out = (uint8_t)(out + n);
        CHECK_U64((uint8_t)(in - out), ring.len);
    }
    ring_deinit(&ring);
}

TEST(a_full_ring_takes_no_more)
{
    struct ring ring;
    uint8_t back[8];

    ring_init(&ring, 4);
    CHECK_U64(ring_put(&ring, VIEW_LIT("abcdef")), 4);
    CHECK_U64(ring_put(&ring, VIEW_LIT("x")), 0);
    CHECK_U64(ring_get(&ring, back, 3), 3);
    CHECK_U64(ring_put(&ring, VIEW_LIT("efgh")), 3);
    CHECK_VIEW(ring_front(&ring), VIEW_LIT("d"));
    CHECK_U64(ring_get(&ring, back, sizeof(back)), 4);
    CHECK_VIEW(VIEW(back, 4), VIEW_LIT("defg"));
    CHECK_U64(ring_get(&ring, back, sizeof(back)), 0);
    ring_deinit(&ring);
}

TEST(dropping_does_not_move_the_place_behind_the_last_byte)
{
    struct ring ring;
    size_t room;

    ring_init(&ring, 8);
    ring_put(&ring, VIEW_LIT("abc"));
    uint8_t *before = ring_room(&ring, &room);
    ring_drop(&ring, 3);
    CHECK(ring_room(&ring, &room) == before); /* the other side may be copying there */
    ring_deinit(&ring);
}
