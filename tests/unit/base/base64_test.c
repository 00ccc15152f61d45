/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"
#include "tests/check.h"

/* RFC 4648, section 10, and both characters that are neither letter nor digit. */
static const struct {
    const char *bytes, *text;
} pairs[] = {
    { "", "" },
    { "f", "Zg==" },
    { "fo", "Zm8=" },
    { "foo", "Zm9v" },
    { "foob", "Zm9vYg==" },
    { "fooba", "Zm9vYmE=" },
    { "foobar", "Zm9vYmFy" },
    { "\xfb\xff\xbf", "+/+/" },
};

TEST(base64_is_written_and_read)
{
    for (size_t i = 0; i < N_ELEMENTS(pairs); i++) {
        struct view bytes = view_text(pairs[i].bytes), text = view_text(pairs[i].text);
        uint8_t back[16];
        size_t len = 0;
        _buf_ made = { 0 };
        base64_put(&made, bytes);
        CHECK_VIEW(buf_view(&made), text);
        CHECK(base64_read(text, back, &len));
        CHECK_VIEW(VIEW(back, len), bytes);
    }
}

TEST(base64_is_read_into_its_own_place)
{
    char place[] = "Zm9vYmE=";
    size_t len = 0;

    CHECK(base64_read(VIEW(place, 8), (uint8_t *)place, &len));
    CHECK_VIEW(VIEW(place, len), VIEW_LIT("fooba"));
}

TEST(every_length_comes_back)
{
    uint8_t bytes[256], back[256];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + 3);
    for (size_t len = 0; len <= 250; len++) {
        _buf_ text = { 0 };
        size_t got = 0;
        base64_put(&text, VIEW(bytes, len));
        CHECK_U64(text.len, base64_text_len(len));
        CHECK(base64_read(buf_view(&text), back, &got));
        CHECK_VIEW(VIEW(back, got), VIEW(bytes, len));
    }
}

TEST(other_forms_are_refused)
{
    static const char *const cases[] = {
        "Z",        "Zg",     "Zg=",      "Z===", "====",  "Zh==", "Zm9=", /* left-over bits */
        "Zg==Zg==", "Zm9v\n", "Zm9v    ", "Zm-_", "Zm9=v", "=Zg=", "Z\xc3\xa9v",
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        uint8_t back[16];
        size_t len;
        if (base64_read(view_text(cases[i]), back, &len))
            check_failed(__FILE__, __LINE__, "read: %s", cases[i]);
    }
}
