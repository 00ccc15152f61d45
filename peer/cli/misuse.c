/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static bool speaks_json;

void cli_speak_json(void)
{
    speaks_json = true;
}

bool cli_speaks_json(void)
{
    return speaks_json;
}

static void put_object(const char *code, const char *cause, const char *remedy)
{
    printf("{\"error\": {\"code\": ");
    cli_json_text(stdout, code);
    printf(", \"cause\": ");
    cli_json_text(stdout, cause);
    printf(", \"remedy\": ");
    cli_json_text(stdout, remedy);
    printf("}}\n");
}

void cli_put_error(const struct peer_error *error)
{
    put_object(error->name, error->text, error->remedy);
}

__attribute__((format(printf, 1, 0))) static char *format(const char *fmt, va_list args)
{
    char *text;

    if (vasprintf(&text, fmt, args) < 0)
        abort();
    return text;
}

void cli_put_cause(const char *code, const char *remedy, const char *fmt, ...)
{
    va_list args;

    if (!speaks_json)
        return;
    va_start(args, fmt);
    char *cause = format(fmt, args);
    va_end(args);
    put_object(code, cause, remedy);
    free(cause);
}

int cli_misuse(const char *remedy, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    char *cause = format(fmt, args);
    va_end(args);
    cli_put_cause("invalid_argument", remedy, "%s", cause);
    fprintf(stderr, "warren: ");
    cli_put_safe(stderr, cause, strlen(cause));
    fprintf(stderr, "; %s\n", remedy);
    free(cause);
    return 2;
}

int cli_bad_option(char **argv, int c, const char *verb, const char *remedy)
{
    const char *word = argv[optind - 1], *colon = *verb ? ": " : "";

    if (c == ':')
        return cli_misuse(remedy, "%s%s%s: its value is missing", verb, colon, word);
    if (strncmp(word, "--", 2) != 0) /* one of several letters in a word */
        return cli_misuse(remedy, "%s%sthere is no option -%c", verb, colon, optopt);
    return cli_misuse(remedy, "%s%s%s \"%s\"", verb, colon,
                      optopt ? "no value is taken by" : "there is no option", word);
}
