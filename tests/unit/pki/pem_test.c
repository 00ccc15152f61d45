/* SPDX-License-Identifier: Apache-2.0 */
#include "base/key.h"
#include "pki/pki.h"
#include "tests/check.h"

TEST(every_length_round_trips_in_lines_of_64)
{
    uint8_t bytes[200], *at;

    random_bytes(bytes, sizeof(bytes));
    for (size_t len = 1; len <= sizeof(bytes); len++) {
        _buf_ pem = { 0 }, back = { 0 };
        struct err err = { 0 };
        size_t n = 0, column = 0;
        pki_pem_put(&pem, "THING", VIEW(bytes, len));
        for (at = pem.data; at < pem.data + pem.len; at++) {
            column = *at == '\n' ? 0 : column + 1;
            CHECK(column <= 64);
        }
        CHECK_OK(pki_pem_read_all(buf_view(&pem), "THING", &back, 1, &n, &err), err);
        CHECK_U64(n, 1);
        CHECK_VIEW(buf_view(&back), VIEW(bytes, len));
    }
}

TEST(what_is_written_is_what_the_rfc_shows)
{
    _buf_ pem = { 0 };

    pki_pem_put(&pem, "CERTIFICATE", VIEW_LIT("any carnal pleas"));
    CHECK_STR(buf_cstr(&pem),
              "-----BEGIN CERTIFICATE-----\nYW55IGNhcm5hbCBwbGVhcw==\n-----END CERTIFICATE-----\n");
}

TEST(blocks_are_found_between_other_text)
{
    static const char text[] = "subject=CN = x\r\n-----BEGIN A-----\r\nYWJj\r\n-----END A-----\r\n"
                               "-----BEGIN B-----\nYQ==\n-----END B-----\n"
                               "noise -----BEGIN A-----\n-----BEGIN A-----\nZGVm\n-----END A-----";
    struct buf found[3] = { 0 };
    struct err err = { 0 };
    size_t n = 9;

    CHECK_OK(pki_pem_read_all(view_text(text), "A", found, 3, &n, &err), err);
    CHECK_U64(n, 2);
    CHECK_VIEW(buf_view(&found[0]), VIEW_LIT("abc"));
    CHECK_VIEW(buf_view(&found[1]), VIEW_LIT("def"));
    buf_free(&found[0]);
    buf_free(&found[1]);
    CHECK_OK(pki_pem_read_all(view_text(text), "C", found, 3, &n, &err), err);
    CHECK_U64(n, 0);
    CHECK_ERR(pki_pem_read_all(view_text(text), "A", found, 1, &n, &err), err, ERR_TOO_LARGE);
    buf_free(&found[0]);
}

TEST(bad_base64_is_refused)
{
    static const char *const cases[] = {
        "",         "A",    "AA",   "AAA",  "A===",     "====",     "AA=A",
        "AAA=AAAA", "AB==", "AAB=", "AA-A", "AAAA\x80", "AA==AA==",
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ pem = { 0 }, back = { 0 };
        struct err err = { 0 };
        size_t n;
        buf_printf(&pem, "-----BEGIN A-----\n%s\n-----END A-----\n", cases[i]);
        CHECK_ERR(pki_pem_read_all(buf_view(&pem), "A", &back, 1, &n, &err), err, ERR_BAD_WIRE);
        CHECK_STR(err.text, "A number 1 is not base64");
    }
}
