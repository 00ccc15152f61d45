/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Control characters, invisible ones, and those that turn the direction of text. */
static bool is_invisible(unsigned long point)
{
    static const struct {
        unsigned long from, to;
    } ranges[] = {
        { 0x80, 0x9f },     { 0xad, 0xad },       { 0x61c, 0x61c },   { 0x180e, 0x180e },
        { 0x200b, 0x200f }, { 0x2028, 0x202e },   { 0x2060, 0x206f }, { 0xfeff, 0xfeff },
        { 0xfff9, 0xfffb }, { 0xe0000, 0xe0fff },
    };

    for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++) {
        if (point >= ranges[i].from && point <= ranges[i].to)
            return true;
    }
    return false;
}

/* Length of the printable UTF-8 sequence at the front, 0 when there is none. */
static size_t printable(const unsigned char *s, size_t size)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : 0;
    unsigned long point;

    if ((s[0] & 0xf8) == 0xf0)
        n = 4;
    if (n == 0 || n > size)
        return 0;
    if (n == 1)
        return s[0] >= 0x20 && s[0] != 0x7f;
    point = s[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (s[i] & 0x3fu);
    }
    if (is_invisible(point))
        return 0;
    if (n == 3 && (point < 0x800 || (point >= 0xd800 && point <= 0xdfff)))
        return 0;
    return n == 4 && (point < 0x10000 || point > 0x10ffff) ? 0 : n;
}

void cli_put_safe(FILE *out, const char *text, size_t size)
{
    const unsigned char *s = (const unsigned char *)text;

    while (size) {
        size_t n = *s == '\t' ? 1 : printable(s, size);
        if (n && *s == '\\' && size > 1 && s[1] == 'x')
            fputs("\\\\", out); /* so that nobody can write what looks like an escape of ours */
        else if (n)
            fwrite(s, 1, n, out);
        else
            fprintf(out, "\\x%02x", *s);
        n = n ? n : 1;
        s += n;
        size -= n;
    }
}

void cli_json_bytes(FILE *out, const char *text, size_t size)
{
    fputc('"', out);
    for (const unsigned char *s = (const unsigned char *)text; size--; s++) {
        if (*s == '"' || *s == '\\')
            fprintf(out, "\\%c", *s);
        else if (*s < 0x20)
            fprintf(out, "\\u%04x", *s);
        else
            fputc(*s, out);
    }
    fputc('"', out);
}

void cli_json_text(FILE *out, const char *text)
{
    cli_json_bytes(out, text, strlen(text));
}

void cli_json_hex(FILE *out, const void *bytes, size_t size)
{
    const unsigned char *s = bytes;

    fputc('"', out);
    for (size_t i = 0; i < size; i++)
        fprintf(out, "%02x", s[i]);
    fputc('"', out);
}

static const struct {
    const char *unit;
    unsigned long long ms;
} units[] = {
    { "d", 24 * 3600 * 1000 }, { "h", 3600 * 1000 }, { "m", 60 * 1000 }, { "s", 1000 }, { "ms", 1 }
};

bool cli_read_duration(const char *text, unsigned long long *ret_ms)
{
    unsigned long long n;
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    n = strtoull(text, &end, 10);
    for (size_t i = 0; n > 0 && i < sizeof(units) / sizeof(*units); i++) {
        if (strcmp(end, units[i].unit) != 0 || n > PEER_MAX_DURATION_MS / units[i].ms)
            continue;
        *ret_ms = n * units[i].ms;
        return true;
    }
    return false;
}

void cli_show_duration(unsigned long long ms, char to[24])
{
    size_t i = 0;

    while (ms % units[i].ms != 0)
        i++;
    snprintf(to, 24, "%llu%s", ms / units[i].ms, units[i].unit);
}

const char *cli_show_time(unsigned long long ms, char to[CLI_TIME])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;

    if (!gmtime_r(&seconds, &tm) || strftime(to, CLI_TIME, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(to, CLI_TIME, "?");
    return to;
}
