/* SPDX-License-Identifier: Apache-2.0 */
/* Values and errors, for programs and for people. */
#include "rpc.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *json_of(const void *bytes, size_t size, const char *none)
{
    struct peer_error error;
    char *json = size ? peer_json_from_msgpack(bytes, size, &error) : NULL;

    if (!json && size)
        json = strdup("null"); /* a NaN, which JSON has no word for */
    return json ? json : strdup(none);
}

void rpc_print_members(FILE *out, const struct peer_values *values)
{
    char *args = json_of(values->args, values->args_size, "[]");
    char *kwargs = json_of(values->kwargs, values->kwargs_size, "{}");

    fprintf(out, "\"args\": %s, \"kwargs\": %s", args, kwargs);
    free(args);
    free(kwargs);
}

/* ---- plain ---- */

const char *rpc_json_end(const char *at)
{
    bool is_text = false;
    int depth = 0;

    for (; *at != '\0'; at++) {
        if (is_text && *at == '\\')
            at++;
        else if (*at == '"')
            is_text = !is_text;
        else if (!is_text && (*at == '[' || *at == '{'))
            depth++;
        else if (!is_text && (*at == ']' || *at == '}') && depth-- == 0)
            break;
        else if (!is_text && *at == ',' && depth == 0)
            break;
    }
    return at;
}

static int unescaped(const char **at)
{
    static const char from[] = "nrtbf", to[] = "\n\r\t\b\f";
    const char *found;
    unsigned code;

    (*at)++;
    if (**at == 'u' && sscanf(*at + 1, "%4x", &code) == 1) {
        *at += 4; /* a control character: the only ones that are written so */
        return (int)code;
    }
    found = strchr(from, **at);
    return found ? to[found - from] : **at;
}

char *rpc_json_text(const char *from, const char *end, size_t *ret_size)
{
    char *text = malloc((size_t)(end - from) + 1);
    size_t n = 0;

    if (!text)
        abort();
    for (const char *at = from + 1; at < end - 1; at++)
        text[n++] = (char)(*at == '\\' ? unescaped(&at) : *at);
    text[n] = '\0';
    if (ret_size)
        *ret_size = n;
    return text;
}

/* As it is into a file or a pipe, and safely onto a terminal. */
static void put_text(FILE *out, const char *from, const char *end)
{
    size_t n;
    char *text = rpc_json_text(from, end, &n), *line = text, *newline;

    if (!isatty(fileno(out)))
        fwrite(text, 1, n, out);
    while (isatty(fileno(out)) && n) {
        newline = memchr(line, '\n', n);
        size_t len = newline ? (size_t)(newline - line) : n;
        cli_put_safe(out, line, len);
        if (newline)
            fputc('\n', out);
        n -= newline ? len + 1 : len;
        line += newline ? len + 1 : len;
    }
    free(text);
}

static void put_value(FILE *out, const char *from, const char *end)
{
    bool is_binary = strncmp(from, "\"\\u0000", 7) == 0;

    if (*from == '"' && !is_binary)
        put_text(out, from, end);
    else if (isatty(fileno(out)))
        cli_put_safe(out, from, (size_t)(end - from));
    else
        fwrite(from, 1, (size_t)(end - from), out);
    fputc('\n', out);
}

void rpc_print_plain(FILE *out, const struct peer_values *values)
{
    char *args = json_of(values->args, values->args_size, "[]"), *kwargs;
    const char *at = args + 1, *end;

    while (*at != ']' && *at != '\0') {
        end = rpc_json_end(at);
        put_value(out, at, end);
        at = *end == ',' ? end + 1 : end;
    }
    free(args);
    if (!values->kwargs_size)
        return;
    kwargs = json_of(values->kwargs, values->kwargs_size, "{}");
    if (strcmp(kwargs, "{}") != 0)
        put_value(out, kwargs, kwargs + strlen(kwargs));
    free(kwargs);
}

/* ---- errors ---- */

/* The manual has the same table. */
static int status_of(const struct peer_error *error)
{
    static const struct {
        const char *name;
        int status;
    } rows[] = {
        { "application_error", 3 },
        { "not_authorized", 4 },
        { "capability", 4 },
        { "no_such_procedure", 5 },
        { "not_reachable", 5 },
        { "timeout", 6 },
        { "canceled", 7 },
        { "declined", 7 },
        { "busy", 7 },
        { "limit", 7 },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        if (strcmp(rows[i].name, error->name) == 0)
            return rows[i].status;
    }
    return 1;
}

/* What has a code of ours has said it all. */
static bool has_values(const struct peer_error *error, const struct peer_message *message)
{
    return message && strcmp(error->name, "application_error") == 0 &&
           (message->values.args_size > 1 || message->values.kwargs_size > 1);
}

static void put_json_error(const struct peer_error *error, const struct peer_message *message)
{
    printf("{\"error\": {\"code\": ");
    cli_json_text(stdout, error->name);
    printf(", \"cause\": ");
    cli_json_text(stdout, error->text);
    printf(", \"remedy\": ");
    cli_json_text(stdout, error->remedy);
    if (message && message->uri[0] != '\0') {
        printf(", \"uri\": ");
        cli_json_text(stdout, message->uri);
        printf(", ");
        rpc_print_members(stdout, &message->values);
    }
    printf("}}\n");
}

int rpc_fail(const struct cli *cli, const char *verb, const struct peer_error *error,
             const struct peer_message *message)
{
    char *line;

    if (cli_goes_on())
        return 1;
    if (cli->json || cli_speaks_json())
        put_json_error(error, message);
    fprintf(stderr, "warren: %s: %s: ", verb, error->name);
    cli_put_safe(stderr, error->text, strlen(error->text));
    fputc('\n', stderr);
    if (message && message->uri[0] != '\0') {
        fprintf(stderr, "error URI: ");
        cli_put_safe(stderr, message->uri, strlen(message->uri));
        fputc('\n', stderr);
    }
    if (has_values(error, message)) {
        line = json_of(message->values.args, message->values.args_size, "[]");
        fprintf(stderr, "with: ");
        cli_put_safe(stderr, line, strlen(line));
        free(line);
        line = json_of(message->values.kwargs, message->values.kwargs_size, "{}");
        fputc(' ', stderr);
        cli_put_safe(stderr, line, strlen(line));
        fputc('\n', stderr);
        free(line);
    }
    fprintf(stderr, "what to do: ");
    cli_put_safe(stderr, error->remedy, strlen(error->remedy));
    fputc('\n', stderr);
    if (!message && strcmp(error->name, "invalid_argument") == 0)
        return 2; /* it was not even sent */
    return status_of(error);
}

void rpc_help_names(const struct peer_error *error, const char *id, const char *what)
{
    if (strcmp(error->name, "not_authorized") != 0)
        return;
    fprintf(
        stderr,
        "this machine may %s names below peer.%s. (short: me.), and below those that the router's "
        "operator opened to all peers (`open` in realms.conf)\n",
        what, id);
}
