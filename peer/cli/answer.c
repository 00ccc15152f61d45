/* SPDX-License-Identifier: Apache-2.0 */
/* The question before a call is taken, and its answer. */
#include "cli.h"

#include <string.h>
#include <strings.h>

static void show_known(const char *what, const char *text)
{
    if (!text[0])
        return;
    fprintf(stderr, ", %s ", what);
    cli_put_safe(stderr, text, strlen(text));
}

void cli_show_call(const struct peer_event *event)
{
    char id[24];

    fprintf(stderr, "%s calls (its ID is proved)", cli_show_id(event->remote_id, id));
    show_known("named", event->remote_names);
    show_known("of", event->remote_groups);
    fprintf(stderr, " and asks for:");
    for (size_t i = 0; event->capabilities[i]; i++)
        fprintf(stderr, " %s", event->capabilities[i]);
    fputc('\n', stderr);
}

void cli_ask_call(void)
{
    fprintf(stderr, "accept? [y/N] (\"y 30m\" for so long, \"n TEXT\" with a reason) ");
    fflush(stderr);
}

static bool is_word(const char *text, size_t len, const char *word, const char *letter)
{
    return strncasecmp(text, word, len) == 0 && (len == strlen(word) || len == strlen(letter));
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct cli_answer cli_read_answer(const char *text, size_t len)
{
    struct cli_answer answer = { .reason = "declined" };
    size_t word, rest;
    char more[128];

    while (len && is_space(text[len - 1]))
        len--;
    while (len && is_space(*text)) {
        text++;
        len--;
    }
    for (word = 0; word < len && !is_space(text[word]); word++)
        ;
    for (rest = word; rest < len && is_space(text[rest]); rest++)
        ;
    snprintf(more, sizeof(more), "%.*s", (int)(len - rest), text + rest);
    if (word && is_word(text, word, "yes", "y"))
        answer.yes = !*more || cli_read_duration(more, &answer.duration_ms);
    else if (word && is_word(text, word, "no", "n") && *more)
        snprintf(answer.reason, sizeof(answer.reason), "%s", more);
    return answer;
}

void cli_answer_call(const struct cli *cli, const char *what, struct peer_link *link,
                     const struct cli_answer *answer)
{
    const struct peer_accept_options options = { .size = sizeof(options),
                                                 .duration_ms = answer->duration_ms };
    struct peer_error error;

    if (!answer->yes) {
        peer_link_decline(link, answer->reason);
        cli_say("declined");
    } else if (!peer_link_accept_with(link, NULL, &options, &error)) {
        cli_fail(cli, what, &error);
    }
}
