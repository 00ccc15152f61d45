/* SPDX-License-Identifier: Apache-2.0 */
#include "base/box.h"
#include "base/key.h"
#include "tests/check.h"

TEST(what_was_boxed_comes_out_with_its_key_alone)
{
    uint8_t key[BOX_KEY] = { 1 }, other[BOX_KEY] = { 2 };
    _buf_ boxed = { 0 }, out = { 0 };

    box_put(key, VIEW_LIT("between two"), &boxed);
    CHECK_U64(boxed.len, 11 + BOX_MORE);
    CHECK(!box_open(other, buf_view(&boxed), &out) && out.len == 0);
    CHECK(box_open(key, buf_view(&boxed), &out));
    CHECK_VIEW(buf_view(&out), VIEW_LIT("between two"));
}

TEST(a_changed_or_shortened_box_is_refused)
{
    uint8_t key[BOX_KEY] = { 1 };
    _buf_ boxed = { 0 }, out = { 0 };

    box_put(key, VIEW_LIT("x"), &boxed);
    for (size_t i = 0; i < boxed.len; i++) {
        boxed.data[i] ^= 1;
        CHECK(!box_open(key, buf_view(&boxed), &out));
        boxed.data[i] ^= 1;
        CHECK(!box_open(key, VIEW(boxed.data, i), &out));
    }
    CHECK(out.len == 0 && box_open(key, buf_view(&boxed), &out));
}

TEST(two_identity_keys_agree_and_a_third_does_not)
{
    struct err err = { 0 };

    CHECK_OK(key_init(&err), err);
    _cleanup_(key_freep) struct key *a = key_new(), *b = key_new(), *c = key_new();
    static const uint8_t zeros[KEY_SIZE];
    uint8_t ab[KEY_SIZE], ba[KEY_SIZE], ca[KEY_SIZE];

    CHECK(key_shared(a, key_public_view(b), ab) && key_shared(b, key_public_view(a), ba) &&
          key_shared(c, key_public_view(a), ca));
    CHECK(memcmp(ab, ba, KEY_SIZE) == 0 && memcmp(ab, ca, KEY_SIZE) != 0);
    CHECK(!key_shared(a, VIEW_ARR(zeros), ab)); /* of small order */
    CHECK(!key_shared(a, VIEW(zeros, 31), ab));
}
