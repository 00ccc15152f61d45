/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "tests/check.h"

TEST(context_goes_before_the_cause)
{
    struct err err;

    CHECK(!err_set(&err, ERR_STALE, "beacon %d is old", 7));
    CHECK(!err_wrap(&err, "request"));
    CHECK(!err_wrap(&err, "den.ca.sign"));
    CHECK_STR(err.text, "den.ca.sign: request: beacon 7 is old");
    CHECK_U64(err.code, ERR_STALE);
}

TEST(text_is_one_printable_line_and_bounded)
{
    char flood[5000];
    struct err err;

    err_set(&err, ERR_BAD_WIRE, "a\nb\033[2Jc");
    CHECK_STR(err.text, "a\\x0ab\\x1b[2Jc");
    err_set(&err, ERR_BAD_WIRE, "gr\xc3\xbc\xc3\x9f \xff\xc2\x9b cut \xe2\x82");
    CHECK_STR(err.text, "gr\xc3\xbc\xc3\x9f \\xff\\xc2\\x9b cut \\xe2\\x82");
    memset(flood, '\n', sizeof(flood));
    flood[sizeof(flood) - 1] = '\0';
    err_set(&err, ERR_BAD_WIRE, "%s", flood);
    CHECK(strlen(err.text) < sizeof(err.text));
}

TEST(every_code_has_a_name_of_its_own_and_a_remedy)
{
    for (enum err_code a = 1; a < ERR_N_CODES; a++) {
        CHECK(err_code_remedy(a)[0] != '\0' && err_code_line(a)[0] != '\0');
        CHECK_U64(err_code_find(err_code_name(a), strlen(err_code_name(a))), a);
    }
    CHECK_U64(err_code_find("no_such_code", 12), ERR_INTERNAL);
}

TEST(an_error_may_have_a_remedy_of_its_own)
{
    struct err err;

    err_set(&err, ERR_STALE, "old");
    CHECK_STR(err_remedy(&err), err_code_remedy(ERR_STALE));
    CHECK(!err_advise(&err, "put it back"));
    err_wrap(&err, "starting");
    CHECK_STR(err_remedy(&err), "put it back");
    err_set(&err, ERR_BUSY, "other"); /* of the one before */
    CHECK_STR(err_remedy(&err), err_code_remedy(ERR_BUSY));
}
