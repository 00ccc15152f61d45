/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef err_set
#undef err_wrap
#undef err_errno
#undef err_advise

static const struct {
    const char *name, *line, *remedy;
} codes[ERR_N_CODES] = { [ERR_NONE] = { "none", "nothing failed", "nothing to do" },
#define X(id, wire, who, line, remedy) [ERR_##id] = { wire, line, remedy },
                         ERR_CODES(X)
#undef X
};

/* Copies `from` into `to` of `size` bytes as one printable line of UTF-8. */
static void put_printable(char *to, size_t size, const char *from)
{
    const uint8_t *s = (const uint8_t *)from;
    size_t used = 0, left = strlen(from);

    while (left && used + 5 < size) {
        size_t n = text_utf8_sequence(s, left);
        bool is_control = n == 0 || (n == 1 && (*s < 0x20 || *s == 0x7f)) ||
                          (n == 2 && *s == 0xc2 && s[1] < 0xa0);
        if (is_control) {
            used += (size_t)snprintf(to + used, size - used, "\\x%02x", *s);
            n = 1;
        } else {
            memcpy(to + used, s, n);
            used += n;
        }
        s += n;
        left -= n;
    }
    to[used] = '\0';
}

static _printf_(2, 0) void set_text(struct err *err, const char *fmt, va_list args,
                                    const char *tail)
{
    char head[sizeof(err->text)], whole[2 * sizeof(err->text) + 4];

    vsnprintf(head, sizeof(head), fmt, args);
    if (tail && *tail != '\0')
        snprintf(whole, sizeof(whole), "%s: %s", head, tail);
    else
        snprintf(whole, sizeof(whole), "%s", head);
    put_printable(err->text, sizeof(err->text), whole);
}

bool err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    va_list args;

    err->code = code;
    err->remedy = NULL;
    va_start(args, fmt);
    set_text(err, fmt, args, NULL);
    va_end(args);
    return false;
}

bool err_wrap(struct err *err, const char *fmt, ...)
{
    char inner[sizeof(err->text)];
    va_list args;

    memcpy(inner, err->text, sizeof(inner));
    va_start(args, fmt);
    set_text(err, fmt, args, inner);
    va_end(args);
    return false;
}

bool err_errno(struct err *err, const char *fmt, ...)
{
    char reason[128];
    va_list args;

    snprintf(reason, sizeof(reason), "%s", strerror(errno));
    err->code = ERR_SYSTEM;
    err->remedy = NULL;
    va_start(args, fmt);
    set_text(err, fmt, args, reason);
    va_end(args);
    return false;
}

bool err_advise(struct err *err, const char *remedy)
{
    err->remedy = remedy;
    return false;
}

const char *err_remedy(const struct err *err)
{
    return err->remedy ? err->remedy : err_code_remedy(err->code);
}

const char *err_code_name(enum err_code code)
{
    return codes[code < ERR_N_CODES ? code : ERR_INTERNAL].name;
}

const char *err_code_line(enum err_code code)
{
    return codes[code < ERR_N_CODES ? code : ERR_INTERNAL].line;
}

const char *err_code_remedy(enum err_code code)
{
    return codes[code < ERR_N_CODES ? code : ERR_INTERNAL].remedy;
}

enum err_code err_code_find(const char *name, size_t len)
{
    for (enum err_code code = 1; code < ERR_N_CODES; code++) {
        if (strlen(codes[code].name) == len && memcmp(codes[code].name, name, len) == 0)
            return code;
    }
    return ERR_INTERNAL;
}
