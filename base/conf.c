/* SPDX-License-Identifier: Apache-2.0 */
#include "base/conf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { MAX_FILE = 256 * 1024 };

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit durations[] = { { "ms", 1 },      { "s", SECOND_MS }, { "m", MINUTE_MS },
                                         { "h", HOUR_MS }, { "d", DAY_MS },    { NULL, 0 } };
static const struct unit sizes[] = { { "", 1 },
                                     { "B", 1 },
                                     { "KiB", 1024 },
                                     { "MiB", 1024 * 1024 },
                                     { "GiB", 1024ull * 1024 * 1024 },
                                     { NULL, 0 } };

static const char *const expected[] = {
    [CONF_TEXT] = "text",
    [CONF_PATH] = "a path",
    [CONF_NUMBER] = "a whole number, 0 or more",
    [CONF_SIZE] = "a size such as 64KiB or 1MiB",
    [CONF_DURATION] = "a duration such as 500ms, 45s, 10m, 24h or 7d",
    [CONF_BOOL] = "yes or no",
    [CONF_ADDRESS] = "HOST:PORT or [IPv6]:PORT",
    [CONF_NETWORK] = "a network name such as corp.example, in lower case",
};

static bool read_united(struct view text, const struct unit *units, uint64_t *ret_n)
{
    size_t digits = 0;
    uint64_t n;

    while (digits < text.len && text.data[digits] >= '0' && text.data[digits] <= '9')
        digits++;
    if (!text_read_u64(view_sub(text, 0, digits), &n))
        return false;
    for (; units->name; units++) {
        if (view_eq_text(view_sub(text, digits, text.len), units->name))
            return !__builtin_mul_overflow(n, units->factor, ret_n);
    }
    return false;
}

bool conf_duration(struct view text, uint64_t *ret_ms)
{
    return read_united(text, durations, ret_ms);
}

static struct view trim(struct view text)
{
    while (text.len && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = view_sub(text, 1, text.len);
    while (text.len && strchr(" \t\r", text.data[text.len - 1]))
        text.len--;
    return text;
}

bool conf_split_address(struct view text, uint16_t fallback_port, char **ret_host,
                        uint16_t *ret_port)
{
    struct view host = text, port = { 0 };
    const uint8_t *end;
    uint64_t n = fallback_port;

    if (text.len && text.data[0] == '[') {
        end = memchr(text.data, ']', text.len);
        if (!end)
            return false;
        host = VIEW(text.data + 1, (size_t)(end - text.data) - 1);
        port = view_sub(text, (size_t)(end - text.data) + 1, text.len);
    } else if (text.len && (end = memchr(text.data, ':', text.len))) {
        host = VIEW(text.data, (size_t)(end - text.data));
        port = view_sub(text, host.len, text.len);
    }
    if (port.len && (port.data[0] != ':' || !text_read_u64(view_sub(port, 1, port.len), &n)))
        return false;
    if (host.len == 0 || n == 0 || n > 65535)
        return false;
    *ret_host = view_dup_text(host);
    *ret_port = (uint16_t)n;
    return true;
}

static char *resolve_path(const char *file, struct view value)
{
    const char *slash = strrchr(file, '/');
    _free_ char *text = view_dup_text(value);

    if (text[0] == '/' || !slash)
        return STEAL(text);
    return mem_format("%.*s/%s", (int)(slash - file), file, text);
}

/* Stores `value` into the option's field; false when it is not of the option's type. */
static bool store(const char *file, const struct conf_option *option, struct view value,
                  void *config)
{
    void *field = (char *)config + option->offset;
    char **text = field;
    _free_ char *host = NULL;
    uint16_t port;

    switch (option->type) {
    case CONF_NUMBER:
        return text_read_u64(value, field);
    case CONF_SIZE:
        return read_united(value, sizes, field);
    case CONF_DURATION:
        return read_united(value, durations, field);
    case CONF_BOOL:
        *(bool *)field = view_eq_text(value, "yes");
        return *(bool *)field || view_eq_text(value, "no");
    case CONF_ADDRESS:
        if (!conf_split_address(value, 0, &host, &port))
            return false;
        break;
    case CONF_NETWORK:
        if (!text_is_network(value))
            return false;
        break;
    case CONF_TEXT:
    case CONF_PATH:
        if (value.len == 0)
            return false;
        break;
    }
    free(*text);
    *text = option->type == CONF_PATH ? resolve_path(file, value) : view_dup_text(value);
    return true;
}

struct reading {
    const char *file;
    const struct conf_option *options;
    size_t n_options;
    void *config;
    bool *seen; /* by option */
    struct buf *all;
    struct err *err;
    bool failed; /* this section, or the file when there are none */
    bool has_error;
    /* `key =`, as the templates have it. Not in sections: there an empty secret is a mistake. */
    bool takes_nothing;
};

static void complain(struct reading *r, unsigned line, const char *fmt, ...) _printf_(3, 4);
static void complain(struct reading *r, unsigned line, const char *fmt, ...)
{
    _free_ char *what = NULL;
    struct err one;
    va_list args;

    va_start(args, fmt);
    if (vasprintf(&what, fmt, args) < 0)
        abort();
    va_end(args);
    if (line)
        err_set(&one, ERR_BAD_CONFIG, "%s:%u: %s", r->file, line, what);
    else
        err_set(&one, ERR_BAD_CONFIG, "%s: %s", r->file, what);
    if (r->all)
        buf_printf(r->all, "%s\n", one.text);
    if (!r->has_error)
        *r->err = one;
    r->failed = r->has_error = true;
}

/* What may be shown of a line that is not understood. */
static bool is_key_name(struct view key)
{
    if (key.len == 0 || key.len > 40 || key.data[0] < 'a' || key.data[0] > 'z')
        return false;
    for (size_t i = 0; i < key.len; i++) {
        uint8_t c = key.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'))
            return false;
    }
    return true;
}

static void read_line(struct reading *r, unsigned line, struct view text)
{
    const uint8_t *equals = text.len ? memchr(text.data, '=', text.len) : NULL;
    struct view key, value;

    if (memchr(text.data, '\0', text.len)) {
        complain(r, line, "expected text, found a NUL byte");
        return;
    }
    if (!equals) { /* the line is not shown: it may be of a key file that was given by mistake */
        complain(r, line, "expected KEY = VALUE");
        return;
    }
    key = trim(VIEW(text.data, (size_t)(equals - text.data)));
    value = trim(view_sub(text, (size_t)(equals - text.data) + 1, text.len));
    for (size_t i = 0; i < r->n_options; i++) {
        const struct conf_option *option = &r->options[i];
        if (!view_eq_text(key, option->name))
            continue;
        if (r->seen[i]) { /* the first one stays: what is wrong with it is told at its line */
            complain(r, line, "%s: given twice", option->name);
            return;
        }
        r->seen[i] = true;
        if (value.len == 0 && r->takes_nothing && option->fallback && !*option->fallback)
            return; /* none, as when it is not given */
        if (!store(r->file, option, value, r->config))
            complain(r, line, "%s: expected %s, found \"%.*s\"", option->name,
                     expected[option->type], VIEW_FMT(value));
        return;
    }
    if (is_key_name(key))
        complain(r, line, "unknown key \"%.*s\"", VIEW_FMT(key));
    else
        complain(r, line, "unknown key: expected lower-case letters, digits and _");
}

/* The line without its comment: a '#' first, or after white space. */
static struct view uncomment(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '#' && (i == 0 || text.data[i - 1] == ' ' || text.data[i - 1] == '\t'))
            return trim(view_sub(text, 0, i));
    }
    return trim(text);
}

/* The next line without its comment, off the front of *text; false at the end. */
static bool take_line(struct view *text, unsigned *line, struct view *ret_line)
{
    const uint8_t *end = text->len ? memchr(text->data, '\n', text->len) : NULL;
    size_t len = end ? (size_t)(end - text->data) : text->len;

    if (text->len == 0)
        return false;
    *ret_line = uncomment(view_sub(*text, 0, len));
    *text = view_sub(*text, len + 1, text->len);
    (*line)++;
    return true;
}

/* Defaults for what was not given. `line`: where the section began, 0 for a whole file. */
static void fill(struct reading *r, unsigned line)
{
    for (size_t i = 0; i < r->n_options; i++) {
        const struct conf_option *option = &r->options[i];
        if (r->seen[i])
            continue;
        if (!option->fallback)
            complain(r, line, "%s is missing: expected %s", option->name, expected[option->type]);
        else if (*option->fallback &&
                 !store(r->file, option, view_text(option->fallback), r->config))
            abort(); /* a default that its own type refuses */
    }
}

unsigned conf_line_of(struct view text, const char *key)
{
    for (unsigned line = 1; text.len; line++) {
        const uint8_t *end = memchr(text.data, '\n', text.len);
        struct view one = view_sub(text, 0, end ? (size_t)(end - text.data) : text.len);
        text = view_sub(text, one.len + 1, text.len);
        while (one.len && (one.data[0] == ' ' || one.data[0] == '\t'))
            one = view_sub(one, 1, one.len);
        if (!view_starts(one, view_text(key)))
            continue;
        one = view_sub(one, strlen(key), one.len);
        if (one.len && strchr(" \t=", one.data[0]))
            return line;
    }
    return 0;
}

bool conf_parse(const char *name, struct view text, const struct conf_option *options,
                size_t n_options, void *config, struct buf *ret_all, struct err *err)
{
    _free_ bool *seen = mem_array(bool, n_options);
    struct reading r = { name, options, n_options, config, seen, ret_all, err, false, false, true };
    unsigned line = 0;
    struct view one;

    while (take_line(&text, &line, &one)) {
        if (one.len)
            read_line(&r, line, one);
    }
    fill(&r, 0);
    return !r.failed;
}

/* ---- sections -------------------------------------------------------------------------------- */

struct sections {
    struct reading reading; /* of the section that is open; config is NULL: none is */
    const struct conf_kind *kinds, *open;
    size_t n_kinds;
    struct view name;
    unsigned line; /* where it began */
    void *user;
};

static void close_section(struct sections *s)
{
    struct reading *r = &s->reading;
    const struct conf_kind *kind = s->open;
    struct err err = { 0 };

    if (!kind)
        return;
    fill(r, s->line);
    if (!r->failed && !kind->take(s->user, s->name, r->config, &err))
        complain(r, s->line, "[%s %.*s]: %s", kind->word, VIEW_FMT(s->name), err.text);
    conf_wipe(kind->options, kind->n_options, r->config);
    free(STEAL(r->config));
    free(STEAL(r->seen));
    s->open = NULL;
}

/* "[WORD NAME]" */
static void open_section(struct sections *s, unsigned line, struct view header)
{
    struct reading *r = &s->reading;
    struct view inside = trim(view_sub(header, 1, header.len - 2)), word = inside;
    const uint8_t *space = inside.len ? memchr(inside.data, ' ', inside.len) : NULL;

    close_section(s);
    if (space)
        word.len = (size_t)(space - inside.data);
    s->name = trim(view_sub(inside, word.len, inside.len));
    for (size_t i = 0; i < s->n_kinds && !s->open; i++) {
        if (header.data[header.len - 1] == ']' && s->name.len &&
            view_eq_text(word, s->kinds[i].word))
            s->open = &s->kinds[i];
    }
    s->line = line;
    r->failed = false;
    if (!s->open) {
        complain(r, line, "expected a section such as [%s NAME]", s->kinds[0].word);
        return;
    }
    r->options = s->open->options;
    r->n_options = s->open->n_options;
    r->seen = mem_array(bool, r->n_options);
    r->config = mem_zero(1, s->open->size);
}

bool conf_parse_sections(const char *name, struct view text, const struct conf_kind *kinds,
                         size_t n_kinds, void *user, struct buf *ret_all, struct err *err)
{
    struct sections s = {
        .reading = { .file = name, .all = ret_all, .err = err },
        .kinds = kinds,
        .n_kinds = n_kinds,
        .user = user,
    };
    struct view one;
    unsigned line = 0;
    bool is_lost = false; /* below a header that was refused: its lines say nothing */

    while (take_line(&text, &line, &one)) {
        if (one.len && one.data[0] == '[') {
            open_section(&s, line, one);
            is_lost = !s.open;
        } else if (one.len && s.open) {
            read_line(&s.reading, line, one);
        } else if (one.len && !is_lost) {
            complain(&s.reading, line, "expected a section such as [%s NAME] first", kinds[0].word);
            is_lost = true;
        }
    }
    close_section(&s);
    return !s.reading.has_error;
}

bool conf_read(const char *path, const struct conf_option *options, size_t n_options, void *config,
               struct buf *ret_all, struct err *err)
{
    _buf_ text = { 0 };

    if (!file_read(path, MAX_FILE, &text, err))
        return err_wrap(err, "configuration");
    return conf_parse(path, buf_view(&text), options, n_options, config, ret_all, err);
}

static void release(const struct conf_option *options, size_t n_options, void *config,
                    bool is_secret)
{
    for (size_t i = 0; i < n_options; i++) {
        char **text = (void *)((char *)config + options[i].offset);
        switch (options[i].type) {
        case CONF_TEXT:
        case CONF_PATH:
        case CONF_ADDRESS:
        case CONF_NETWORK:
            if (is_secret && *text)
                mem_wipe(*text, strlen(*text));
            free(*text);
            *text = NULL;
            break;
        case CONF_NUMBER:
        case CONF_SIZE:
        case CONF_DURATION:
        case CONF_BOOL:
            break;
        }
    }
}

void conf_deinit(const struct conf_option *options, size_t n_options, void *config)
{
    release(options, n_options, config, false);
}

void conf_wipe(const struct conf_option *options, size_t n_options, void *config)
{
    release(options, n_options, config, true);
}

static bool is_text(enum conf_type type)
{
    return type == CONF_TEXT || type == CONF_PATH || type == CONF_ADDRESS || type == CONF_NETWORK;
}

static size_t size_of(const struct conf_option *option)
{
    return is_text(option->type)       ? sizeof(char *)
           : option->type == CONF_BOOL ? sizeof(bool)
                                       : sizeof(uint64_t);
}

bool conf_is_same(const struct conf_option *option, const void *a, const void *b)
{
    const void *x = (const char *)a + option->offset, *y = (const char *)b + option->offset;
    const char *s, *t;

    if (!is_text(option->type))
        return memcmp(x, y, size_of(option)) == 0;
    memcpy(&s, x, sizeof(s));
    memcpy(&t, y, sizeof(t));
    return s == t || (s && t && strcmp(s, t) == 0);
}

void conf_swap(const struct conf_option *option, void *a, void *b)
{
    uint8_t kept[sizeof(uint64_t)];
    uint8_t *x = (uint8_t *)a + option->offset, *y = (uint8_t *)b + option->offset;
    size_t size = size_of(option);

    memcpy(kept, x, size);
    memcpy(x, y, size);
    memcpy(y, kept, size);
}

static void put_united(uint64_t n, const struct unit *units, struct buf *to)
{
    const struct unit *best = units;

    for (; units->name; units++)
        if (n && units->factor > best->factor && n % units->factor == 0)
            best = units;
    buf_printf(to, "%" PRIu64 "%s", n / best->factor, best->name);
}

void conf_put_value(const struct conf_option *option, const void *config, struct buf *to)
{
    const void *field = (const char *)config + option->offset;
    const char *text = NULL;
    uint64_t n = 0;

    if (is_text(option->type))
        memcpy(&text, field, sizeof(text));
    else if (option->type != CONF_BOOL)
        memcpy(&n, field, sizeof(n));
    if (option->type == CONF_DURATION)
        put_united(n, durations, to);
    else if (option->type == CONF_SIZE)
        put_united(n, sizes, to);
    else if (option->type == CONF_NUMBER)
        buf_printf(to, "%" PRIu64, n);
    else if (option->type == CONF_BOOL)
        buf_put_text(to, *(const bool *)field ? "yes" : "no");
    else if (text)
        buf_put_text(to, text);
}

void conf_help(const struct conf_option *options, size_t n_options, struct buf *to)
{
    for (size_t i = 0; i < n_options; i++) {
        buf_printf(to, "  %-22s %s\n", options[i].name, options[i].help);
        if (options[i].fallback)
            buf_printf(to, "  %-22s (%s; default %s)\n", "", expected[options[i].type],
                       *options[i].fallback ? options[i].fallback : "none");
        else
            buf_printf(to, "  %-22s (%s; must be given)\n", "", expected[options[i].type]);
    }
}
