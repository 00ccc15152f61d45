/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static const char *program_name = "warren";
static enum log_level lowest_level = LOG_INFO;

void log_open(const char *program, enum log_level lowest)
{
    program_name = program;
    lowest_level = lowest;
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    char at[CLOCK_TEXT];
    _buf_ line = { 0 };
    _free_ char *rest = NULL;
    va_list args;

    if (level < lowest_level)
        return;
    va_start(args, fmt);
    if (vasprintf(&rest, fmt, args) < 0)
        abort();
    va_end(args);
    buf_printf(&line, "time=%s level=%s program=%s event=%s%s%s\n", clock_text(clock_wall_ms(), at),
               names[level], program_name, event, *rest ? " " : "", rest);
    if (write(STDERR_FILENO, line.data, line.len) < 0) /* one write: lines never mix */
        return;                                        /* nowhere left to say it */
}

const char *log_quote(struct view text)
{
    static _Thread_local char slots[8][840];
    static _Thread_local unsigned turn;
    char *slot = slots[turn++ % N_ELEMENTS(slots)], *to = slot;
    bool is_plain = text.len > 0;
    size_t n = text.len > 200 ? 200 : text.len;

    for (size_t i = 0; i < n && is_plain; i++)
        is_plain = text.data[i] > ' ' && text.data[i] < 0x7f && !strchr("\"\\=", text.data[i]);
    if (!is_plain)
        *to++ = '"';
    for (size_t i = 0; i < n; i++) {
        uint8_t c = text.data[i];
        if (c < ' ' || c >= 0x7f)
            to += snprintf(to, 5, "\\x%02x", c);
        else if (c == '"' || c == '\\')
            to += snprintf(to, 3, "\\%c", c);
        else
            *to++ = (char)c;
    }
    if (!is_plain)
        *to++ = '"';
    *to = '\0';
    return slot;
}

const char *log_quote_text(const char *text)
{
    return log_quote(view_text(text));
}
