/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "tests/check.h"

TEST(log_lines_become_json)
{
    static const struct {
        const char *fields, *json;
    } cases[] = {
        { "event=joined id=456000", "\"event\":\"joined\",\"id\":\"456000\"" },
        { "why=\"a \\\"b\\\" \\\\ c\" x=1", "\"why\":\"a \\\"b\\\" \\\\ c\",\"x\":\"1\"" },
        { "why=\"l\\xc3\\xa4ngs\"", "\"why\":\"l\xc3\xa4ngs\"" },
        { "why=\"\\xff\\x00\\x0a\"", "\"why\":\"\\u00ff\\u0000\\u000a\"" },
        { "uri= x=\"\"", "\"uri\":\"\",\"x\":\"\"" },
        { "odd", "\"odd\":\"\"" },
        { "why=\"unfinished \\", "\"why\":\"unfinished \\\\\"" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ to = { 0 };
        log_put_json(view_text(cases[i].fields), &to);
        CHECK_STR(buf_cstr(&to), cases[i].json);
    }
}

TEST(whatever_is_quoted_comes_out_of_json_again)
{
    _buf_ fields = { 0 };
    _buf_ to = { 0 };

    buf_printf(&fields, "a=%s b=%s", log_quote(VIEW_LIT("x=\"y\"\n\0z")), log_quote_text("plain"));
    log_put_json(buf_view(&fields), &to);
    CHECK_STR(buf_cstr(&to), "\"a\":\"x=\\\"y\\\"\\u000a\\u0000z\",\"b\":\"plain\"");
}
