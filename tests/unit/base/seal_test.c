/* SPDX-License-Identifier: Apache-2.0 */
#include "base/seal.h"

#include "base/key.h"
#include "tests/check.h"

TEST(what_was_sealed_is_opened_by_its_passphrase_alone)
{
    _buf_ sealed = { 0 }, again = { 0 }, opened = { 0 }, none = { 0 };
    struct err err;

    CHECK_OK(key_init(&err), err);
    CHECK_OK(seal_put(VIEW_LIT("the key"), VIEW_LIT("horse"), &sealed, &err), err);
    CHECK(seal_is(buf_view(&sealed)));
    CHECK_OK(seal_open(buf_view(&sealed), VIEW_LIT("horse"), &opened, &err), err);
    CHECK_VIEW(buf_view(&opened), VIEW_LIT("the key"));
    CHECK(!seal_open(buf_view(&sealed), VIEW_LIT("Horse"), &none, &err));
    CHECK_STR(err_code_name(err.code), "bad_passphrase");
    CHECK(!seal_open(buf_view(&sealed), VIEW_LIT(""), &none, &err));
    CHECK(!seal_put(VIEW_LIT("x"), VIEW_LIT(""), &again, &err));
    CHECK_OK(seal_put(VIEW_LIT("the key"), VIEW_LIT("horse"), &again, &err), err);
    CHECK(!view_eq(buf_view(&sealed), buf_view(&again))); /* a salt and a nonce of its own */
}

TEST(whatever_was_changed_is_refused)
{
    _buf_ sealed = { 0 }, none = { 0 };
    struct err err;

    CHECK_OK(key_init(&err), err);
    CHECK_OK(seal_put(VIEW_LIT("the key"), VIEW_LIT("horse"), &sealed, &err), err);
    for (size_t i = 0; i < sealed.len; i += 7) {
        if (i >= 16 && i < 24)
            continue; /* the cost: it would take the time or memory that it asks for */
        sealed.data[i] ^= 1;
        CHECK(!seal_open(buf_view(&sealed), VIEW_LIT("horse"), &none, &err));
        sealed.data[i] ^= 1;
    }
    for (size_t i = 0; i < sealed.len; i += 9)
        CHECK(!seal_open(view_sub(buf_view(&sealed), 0, i), VIEW_LIT("horse"), &none, &err));
    sealed.data[20] = 0xff; /* 4 TiB */
    CHECK(!seal_open(buf_view(&sealed), VIEW_LIT("horse"), &none, &err));
    CHECK_STR(err_code_name(err.code), "bad_config");
}
