/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/clock.h"
#include "base/text.h"

#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum { PATIENCE_MS = 200 };

static const char *program_name = "warren";
static enum log_level lowest_level = LOG_INFO;
static enum log_format line_format = LOG_TEXT;

void log_open(const char *program, enum log_level lowest)
{
    program_name = program;
    lowest_level = lowest;
}

void log_set_format(enum log_format format)
{
    line_format = format;
}

bool log_read_format(const char *text, enum log_format *ret_format)
{
    static const char *const names[] = { [LOG_TEXT] = "text", [LOG_JSON] = "json" };

    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret_format = (enum log_format)i;
            return true;
        }
    }
    return false;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* The value that log_quote() made a word of, off the front of *text. */
static void take_value(struct view *text, struct buf *ret_value)
{
    bool is_quoted = text->len && text->data[0] == '"';
    size_t i = is_quoted;

    for (; i < text->len && text->data[i] != (is_quoted ? '"' : ' '); i++) {
        uint8_t c = text->data[i];
        if (is_quoted && c == '\\' && i + 1 < text->len) {
            c = text->data[++i];
            if (c == 'x' && text_read_hex(view_sub(*text, i + 1, 2), &c, 1))
                i += 2;
        }
        buf_put_u8(ret_value, c);
    }
    *text = view_sub(*text, i + is_quoted, text->len);
}

/* Bytes that are no UTF-8 become the characters of the same numbers. */
static void put_string(struct view value, struct buf *to)
{
    bool is_utf8 = text_is_utf8(value);

    buf_put_u8(to, '"');
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.data[i];
        if (c == '"' || c == '\\')
            buf_printf(to, "\\%c", c);
        else if (c < ' ' || c == 0x7f || (c > 0x7f && !is_utf8))
            buf_printf(to, "\\u%04x", c);
        else
            buf_put_u8(to, c);
    }
    buf_put_u8(to, '"');
}

void log_put_json(struct view fields, struct buf *to)
{
    const char *comma = "";

    while (fields.len) {
        const uint8_t *equals = memchr(fields.data, '=', fields.len);
        size_t len = equals ? (size_t)(equals - fields.data) : fields.len;
        _buf_ value = { 0 };

        buf_put_text(to, comma);
        put_string(view_sub(fields, 0, len), to);
        fields = view_sub(fields, len + 1, fields.len);
        take_value(&fields, &value);
        buf_put_u8(to, ':');
        put_string(buf_view(&value), to);
        fields = view_sub(fields, 1, fields.len);
        comma = ",";
    }
}

static void make_json(struct buf *line)
{
    _buf_ fields = *line;

    *line = (struct buf){ 0 };
    buf_put_u8(line, '{');
    log_put_json(buf_view(&fields), line);
    buf_put_u8(line, '}');
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* Whoever reads the log may fall behind, or stop: that is no reason for a daemon to stop, too. Once
 * it has waited in vain it does not wait again before there is room. */
static struct {
    _Atomic bool is_stuck; /* threads may log */
    _Atomic uint64_t n_lost;
} outlet;

/* A pipe that is ready takes PIPE_BUF bytes without blocking; a line is shorter. */
static bool has_room(void)
{
    struct pollfd fd = { .fd = STDERR_FILENO, .events = POLLOUT };

    outlet.is_stuck = poll(&fd, 1, outlet.is_stuck ? 0 : PATIENCE_MS) == 0;
    return !outlet.is_stuck;
}

static void end_line(struct buf *line)
{
    if (line_format == LOG_JSON)
        make_json(line);
    buf_put_u8(line, '\n');
}

static void begin_line(struct buf *line, const char *level, const char *event)
{
    char at[CLOCK_TEXT];

    buf_printf(line, "time=%s level=%s program=%s event=%s", clock_text(clock_wall_ms(), at), level,
               program_name, event);
}

static void put(struct view lines)
{
    if (write(STDERR_FILENO, lines.data, lines.len) < 0) /* one write: lines never mix */
        return;                                          /* nowhere left to say it */
}

static void say_lost(void)
{
    uint64_t n = outlet.n_lost;
    _buf_ line = { 0 };

    outlet.n_lost -= n;
    begin_line(&line, "warn", "log_lost");
    buf_printf(&line, " lines=%" PRIu64, n);
    end_line(&line);
    put(buf_view(&line));
}

static void put_or_lose(struct view lines, size_t n)
{
    bool has = has_room();

    if (has && outlet.n_lost) {
        say_lost();
        has = has_room();
    }
    if (has)
        put(lines);
    else
        outlet.n_lost += n;
}

/* ---- many at once ------------------------------------------------------------------------------ */

static _Thread_local struct {
    bool is_on;
    struct buf lines;
    size_t n;
} held;

static void pour(void)
{
    if (held.n)
        put_or_lose(buf_view(&held.lines), held.n);
    buf_clear(&held.lines);
    held.n = 0;
}

static void keep(struct view line)
{
    if (held.lines.len + line.len > PIPE_BUF)
        pour();
    buf_put(&held.lines, line);
    held.n++;
}

void log_hold(void)
{
    held.is_on = true;
}

void log_release(void)
{
    pour();
    buf_free(&held.lines);
    held.is_on = false;
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    _buf_ line = { 0 };
    _free_ char *rest = NULL;
    va_list args;

    if (level < lowest_level)
        return;
    va_start(args, fmt);
    if (vasprintf(&rest, fmt, args) < 0)
        abort();
    va_end(args);
    begin_line(&line, names[level], event);
    buf_printf(&line, "%s%s", *rest ? " " : "", rest);
    end_line(&line);
    if (held.is_on)
        keep(buf_view(&line));
    else
        put_or_lose(buf_view(&line), 1);
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
