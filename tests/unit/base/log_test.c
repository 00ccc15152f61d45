/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "tests/check.h"

#include <fcntl.h>
#include <unistd.h>

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

/* All that can be read now, of a pipe whose other end is ours, too. */
static void drain(int fd, struct buf *to)
{
    uint8_t bytes[4096];
    ssize_t n;

    do {
        n = read(fd, bytes, sizeof(bytes));
        if (n > 0)
            buf_put(to, VIEW(bytes, (size_t)n));
    } while (n == (ssize_t)sizeof(bytes));
}

TEST(a_log_that_nobody_reads_stops_nobody)
{
    enum { LINES = 5000 };
    int ends[2], before = dup(STDERR_FILENO);
    _buf_ text = { 0 };
    size_t n = 0;

    CHECK(pipe(ends) == 0 && before >= 0 && fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    log_open("test", LOG_INFO);
    CHECK(dup2(ends[1], STDERR_FILENO) >= 0);
    for (size_t i = 0; i < LINES; i++)
        log_event(LOG_INFO, "line", "n=%zu", i);
    drain(ends[0], &text);
    log_event(LOG_INFO, "line", "n=%d", LINES);
    drain(ends[0], &text);
    dup2(before, STDERR_FILENO);
    for (const char *at = buf_cstr(&text); (at = strstr(at, "event=line n=")); at++)
        n++;
    CHECK(n > 100 && n < LINES);
    CHECK(strstr(buf_cstr(&text), "event=log_lost lines=") != NULL);
    CHECK(strstr(buf_cstr(&text), "event=line n=5000\n") != NULL);
    close(ends[0]);
    close(ends[1]);
    close(before);
}

TEST(lines_that_are_held_come_together_and_whole)
{
    enum { LINES = 300 };
    int ends[2], before = dup(STDERR_FILENO);
    _buf_ text = { 0 }, expected = { 0 };
    const char *at;

    CHECK(pipe(ends) == 0 && before >= 0 && fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    log_open("test", LOG_INFO);
    CHECK(dup2(ends[1], STDERR_FILENO) >= 0);
    log_hold();
    log_event(LOG_INFO, "line", "n=0");
    drain(ends[0], &text);
    CHECK_U64(text.len, 0);
    for (size_t i = 1; i < LINES; i++)
        log_event(LOG_INFO, "line", "n=%zu", i);
    log_release();
    log_event(LOG_INFO, "line", "n=%d", LINES);
    drain(ends[0], &text);
    dup2(before, STDERR_FILENO);
    at = buf_cstr(&text);
    for (size_t i = 0; i <= LINES && at; i++) { /* in their order, one a line */
        buf_clear(&expected);
        buf_printf(&expected, " event=line n=%zu\n", i);
        at = strstr(at, buf_cstr(&expected));
        CHECK(at != NULL);
    }
    close(ends[0]);
    close(ends[1]);
    close(before);
}
