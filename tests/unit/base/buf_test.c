/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "tests/check.h"

TEST(integers_round_trip_big_endian)
{
    _buf_ buf = { 0 };
    struct view view;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;

    buf_put_u8(&buf, 0xfe);
    buf_put_u16(&buf, 0x1234);
    buf_put_u32(&buf, 0xdeadbeef);
    buf_put_u64(&buf, 0x0102030405060708);
    CHECK_VIEW(buf_view(&buf),
               VIEW_LIT("\xfe\x12\x34\xde\xad\xbe\xef\x01\x02\x03\x04\x05\x06\x07\x08"));
    view = buf_view(&buf);
    CHECK(view_take_u8(&view, &u8) && u8 == 0xfe);
    CHECK(view_take_u16(&view, &u16) && u16 == 0x1234);
    CHECK(view_take_u32(&view, &u32) && u32 == 0xdeadbeef);
    CHECK(view_take_u64(&view, &u64) && u64 == 0x0102030405060708);
    CHECK(!view_take_u8(&view, &u8));
}

TEST(a_short_view_gives_nothing_and_stays)
{
    struct view view = VIEW_LIT("abc");
    uint32_t n;

    CHECK(!view_take_u32(&view, &n));
    CHECK_U64(view.len, 3);
}

TEST(sub_views_never_leave_the_whole)
{
    struct view whole = VIEW_LIT("abcdef");

    CHECK_VIEW(view_sub(whole, 2, 2), VIEW_LIT("cd"));
    CHECK_VIEW(view_sub(whole, 4, 100), VIEW_LIT("ef"));
    CHECK_U64(view_sub(whole, 6, 1).len, 0);
    CHECK_U64(view_sub(whole, 100, SIZE_MAX).len, 0);
}

TEST(a_grown_buffer_keeps_its_bytes)
{
    _buf_ buf = { 0 };

    for (int i = 0; i < 10000; i++)
        buf_put_u16(&buf, (uint16_t)i);
    for (size_t i = 0; i < 10000; i++) {
        if (!CHECK_U64((uint64_t)(buf.data[2 * i] << 8 | buf.data[2 * i + 1]), i))
            break;
    }
    buf_drop_front(&buf, 19998);
    CHECK_VIEW(buf_view(&buf), VIEW_LIT("\x27\x0f"));
    buf_drop_front(&buf, 5);
    CHECK_U64(buf.len, 0);
}
