/* SPDX-License-Identifier: Apache-2.0 */
/* den's answers to administrators, for people: JSON as libpeer writes it, in columns or a line a member. */
#include "admin.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_COLUMNS = 12, WIDEST = 44 };

const char *admin_member(const char *object, const char *name, const char **ret_end)
{
    size_t len = strlen(name);

    for (const char *at = object + 1, *end; *object == '{' && *at == '"';
         at = *end == ',' ? end + 1 : end) {
        end = rpc_json_end(at);
        if (strncmp(at + 1, name, len) == 0 && strncmp(at + 1 + len, "\":", 2) == 0) {
            *ret_end = end;
            return at + len + 3;
        }
    }
    return NULL;
}

char *admin_text_member(const char *object, const char *name)
{
    const char *end, *at = admin_member(object, name, &end);

    return at && *at == '"' ? rpc_json_text(at, end, NULL) : NULL;
}

/* What a column shows; the caller frees it. */
static char *cell(const char *at, const char *end)
{
    if (!at || strncmp(at, "null", 4) == 0 || strncmp(at, "\"\"", 2) == 0)
        return strdup("-");
    if (*at == '"')
        return rpc_json_text(at, end, NULL);
    if (end - at == 4 && strncmp(at, "true", 4) == 0)
        return strdup("yes");
    if (end - at == 5 && strncmp(at, "false", 5) == 0)
        return strdup("no");
    return strndup(at, (size_t)(end - at));
}

/* ---- lists ------------------------------------------------------------------------------------------- */

struct columns {
    char name[MAX_COLUMNS][32];
    size_t n, width[MAX_COLUMNS];
};

static void read_columns(const char *names, struct columns *c)
{
    for (c->n = 0; *names && c->n < MAX_COLUMNS; c->n++) {
        size_t len = strcspn(names, " ");
        snprintf(c->name[c->n], sizeof(c->name[0]), "%.*s", (int)len, names);
        c->width[c->n] = strlen(c->name[c->n]);
        names += len + (names[len] == ' ');
    }
}

static void measure(struct columns *c, const char *item)
{
    for (size_t i = 0; i < c->n; i++) {
        const char *end = NULL, *at = admin_member(item, c->name[i], &end);
        char *text = cell(at, end);
        size_t len = text ? strlen(text) : 0;
        if (len > c->width[i])
            c->width[i] = len < WIDEST ? len : WIDEST;
        free(text);
    }
}

static void put_padded(const char *text, size_t width, bool is_last)
{
    size_t len = strlen(text);

    cli_put_safe(stdout, text, len);
    for (; !is_last && len < width; len++)
        putchar(' ');
    fputs(is_last ? "\n" : "  ", stdout);
}

static void put_head(const struct columns *c)
{
    for (size_t i = 0; i < c->n; i++) {
        char upper[32];
        snprintf(upper, sizeof(upper), "%s", c->name[i]);
        for (char *at = upper; *at; at++)
            *at = (char)(*at == '_' ? ' ' : *at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at);
        put_padded(upper, c->width[i], i + 1 == c->n);
    }
}

static void put_row(const struct columns *c, const char *item)
{
    for (size_t i = 0; i < c->n; i++) {
        const char *end = NULL, *at = admin_member(item, c->name[i], &end);
        char *text = cell(at, end);
        put_padded(text ? text : "", c->width[i], i + 1 == c->n);
        free(text);
    }
}

void admin_print_items(const char *items, const char *names, bool is_first)
{
    struct columns c;

    read_columns(names, &c);
    for (const char *at = items + 1, *end; *at == '{'; at = *end == ',' ? end + 1 : end) {
        end = rpc_json_end(at);
        measure(&c, at);
    }
    if (is_first && items[1] != ']')
        put_head(&c);
    for (const char *at = items + 1, *end; *at == '{'; at = *end == ',' ? end + 1 : end) {
        end = rpc_json_end(at);
        put_row(&c, at);
    }
}

unsigned admin_print_json_items(const char *items, const char *before, const char *between)
{
    unsigned n = 0;

    for (const char *at = items + 1, *end; *at == '{'; at = *end == ',' ? end + 1 : end, n++) {
        end = rpc_json_end(at);
        fputs(n ? between : before, stdout);
        fwrite(at, 1, (size_t)(end - at), stdout);
    }
    return n;
}

/* ---- one thing ---------------------------------------------------------------------------------------- */

static void put_value(const char *at, const char *end)
{
    char *text = cell(at, end);

    if (text && strchr(text, '\n')) {
        putchar('\n');
        for (char *line = text, *next; line && *line; line = next) {
            next = strchr(line, '\n');
            cli_put_safe(stdout, line, next ? (size_t)(next - line) : strlen(line));
            putchar('\n');
            next = next ? next + 1 : NULL;
        }
    } else if (text) {
        cli_put_safe(stdout, text, strlen(text));
    }
    free(text);
}

/* "known 3, waiting 0" */
static void put_inline(const char *object)
{
    for (const char *at = object + 1, *end, *name_end; *at == '"';
         at = *end == ',' ? end + 1 : end) {
        end = rpc_json_end(at);
        name_end = strstr(at, "\":");
        if (at != object + 1)
            fputs(", ", stdout);
        cli_put_safe(stdout, at + 1, (size_t)(name_end - at - 1));
        putchar(' ');
        put_value(name_end + 2, end);
    }
}

static void put_list(const char *list)
{
    for (const char *at = list + 1, *end; *at != ']' && *at; at = *end == ',' ? end + 1 : end) {
        end = rpc_json_end(at);
        fputs("\n  ", stdout);
        if (*at == '{')
            put_inline(at);
        else
            put_value(at, end);
    }
    if (list[1] == ']')
        fputs("none", stdout);
}

void admin_print_object(const char *object)
{
    for (const char *at = object + 1, *end, *name_end; *object == '{' && *at == '"';
         at = *end == ',' ? end + 1 : end) {
        end = rpc_json_end(at);
        name_end = strstr(at, "\":");
        printf("%-14.*s ", (int)(name_end - at - 1), at + 1);
        if (name_end[2] == '{')
            put_inline(name_end + 2);
        else if (name_end[2] == '[')
            put_list(name_end + 2);
        else
            put_value(name_end + 2, end);
        putchar('\n');
    }
}
