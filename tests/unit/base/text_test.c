/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "tests/check.h"

TEST(base32_round_trip_and_bad_characters)
{
    uint8_t bytes[16], back[16];
    size_t bad_at;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 17);
    _buf_ text = { 0 };
    text_put_base32(&text, VIEW_ARR(bytes));
    CHECK_U64(text.len, 26);
    CHECK(text_read_base32(buf_view(&text), back, sizeof(back), &bad_at));
    CHECK_VIEW(VIEW_ARR(back), VIEW_ARR(bytes));
    text.data[7] = 'u'; /* not of the alphabet */
    CHECK(!text_read_base32(buf_view(&text), back, sizeof(back), &bad_at));
    CHECK_U64(bad_at, 7);
}

TEST(base32_refuses_bits_left_over)
{
    uint8_t back[1];
    size_t bad_at;

    CHECK(text_read_base32(VIEW_LIT("zw"), back, 1, &bad_at));
    CHECK_U64(back[0], 0xff);
    CHECK(!text_read_base32(VIEW_LIT("zz"), back, 1, &bad_at));
    CHECK(!text_read_base32(VIEW_LIT("z"), back, 1, &bad_at));
    CHECK(!text_read_base32(VIEW_LIT("zwz"), back, 1, &bad_at));
}

TEST(utf8_follows_rfc_3629)
{
    static const struct {
        struct view text;
        bool ok;
    } cases[] = {
        { VIEW_LIT(""), true },
        { VIEW_LIT("plain ascii, longer than eight"), true },
        { VIEW_LIT("gr\xc3\xbc\xc3\x9f"), true },
        { VIEW_LIT("\xf0\x9f\x90\x87"), true },
        { VIEW_LIT("\xed\xa0\x80"), false },     /* a surrogate */
        { VIEW_LIT("\xc0\x80"), false },         /* overlong */
        { VIEW_LIT("\xe0\x80\x80"), false },     /* overlong */
        { VIEW_LIT("\xf4\x90\x80\x80"), false }, /* over U+10FFFF */
        { VIEW_LIT("\xff"), false },
        { VIEW_LIT("12345678\xc3"), false }, /* cut off */
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++)
        CHECK(text_is_utf8(cases[i].text) == cases[i].ok);
}

TEST(ids_are_typed_with_or_without_spaces)
{
    char id[TEXT_ID], shown[TEXT_ID];

    CHECK(text_read_id("456 000", id));
    CHECK_STR(id, "456000");
    CHECK_STR(text_id("456000", shown), "456 000");
    CHECK_STR(text_id("1234567", shown), "1 234 567");
    CHECK(!text_read_id("45600", id));
    CHECK(!text_read_id("4560000000", id));
    CHECK(!text_read_id("45600a", id));
}

TEST(network_names)
{
    CHECK(text_is_network(VIEW_LIT("corp.example")));
    CHECK(text_is_network(VIEW_LIT("a-b.c9.x1")));
    CHECK(!text_is_network(VIEW_LIT("example")));
    CHECK(!text_is_network(VIEW_LIT("Corp.example")));
    CHECK(!text_is_network(VIEW_LIT("corp..example")));
    CHECK(!text_is_network(VIEW_LIT("-corp.example")));
    CHECK(!text_is_network(VIEW_LIT("corp.123")));
    CHECK(!text_is_network(VIEW_LIT("corp.example.")));
}
