/* SPDX-License-Identifier: Apache-2.0 */
/* warren consent: what the owner of this machine wants of calls. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

static const char *const floors[] = {
    [PEER_CONSENT_NONE] = "none",
    [PEER_CONSENT_ASK] = "ask",
    [PEER_CONSENT_DENY] = "deny",
};
static const char *const meanings[] = {
    [PEER_CONSENT_NONE] = "whether somebody is asked before a call is taken is left to policy",
    [PEER_CONSENT_ASK] = "somebody is asked before a call is taken, whatever policy says",
    [PEER_CONSENT_DENY] = "no call is taken, whatever policy says",
};

static bool take_word(const char *word, enum peer_consent *floor, bool *is_unattended)
{
    if (strcmp(word, "unattended") == 0 || strcmp(word, "attended") == 0) {
        *is_unattended = *word == 'u';
        return true;
    }
    for (size_t i = 0; i < sizeof(floors) / sizeof(*floors); i++) {
        if (strcmp(word, floors[i]) != 0)
            continue;
        *floor = (enum peer_consent)i;
        return true;
    }
    cli_misuse("try: warren --help",
               "consent: expected none, ask or deny, attended or unattended, found \"%.64s\"",
               word);
    return false;
}

static void show(const struct cli *cli, enum peer_consent floor, bool is_unattended,
                 unsigned long long longest_ms)
{
    char longest[24];

    if (cli->json) {
        printf("{\"floor\": \"%s\", \"unattended\": %s, \"longest_ms\": %llu}\n", floors[floor],
               is_unattended ? "true" : "false", longest_ms);
        return;
    }
    printf("%s%s: %s\n", floors[floor], is_unattended ? ", unattended" : "",
           is_unattended && floor == PEER_CONSENT_ASK
               ? "nobody is here to be asked: it is left to policy"
               : meanings[floor]);
    if (!longest_ms)
        return;
    cli_show_duration(longest_ms, longest);
    printf("longest %s: a call that is taken ends after that at the latest\n", longest);
}

/* 0: as always. */
static int set_longest(const struct cli *cli, const char *word)
{
    struct peer_error error;
    unsigned long long ms = 0;

    if (!word || (strcmp(word, "none") != 0 && !cli_read_duration(word, &ms))) {
        return cli_misuse(
            "usage: warren consent longest DURATION|none",
            "consent longest: expected a duration such as 30m or 2h, or none%s%.64s%s",
            word ? ", found \"" : "", word ? word : "", word ? "\"" : "");
    }
    return peer_consent_set_longest(cli->state_dir, ms, &error) ? 0
                                                                : cli_fail(cli, "consent", &error);
}

int cli_consent(const struct cli *cli)
{
    const char *words[] = { cli->argument, cli->more[0] };
    enum peer_consent floor;
    struct peer_error error;
    unsigned long long longest_ms;
    bool is_unattended;
    int status;

    if (words[0] && strcmp(words[0], "longest") == 0) {
        status = set_longest(cli, words[1]);
        if (status != 0)
            return status;
        words[0] = words[1] = NULL;
    }
    if (!peer_consent_get(cli->state_dir, &floor, &is_unattended, &error))
        return cli_fail(cli, "consent", &error);
    for (size_t i = 0; i < 2; i++)
        if (words[i] && !take_word(words[i], &floor, &is_unattended))
            return 2;
    if (words[0] && !peer_consent_set(cli->state_dir, floor, is_unattended, &error))
        return cli_fail(cli, "consent", &error);
    if (!peer_consent_get_longest(cli->state_dir, &longest_ms, &error))
        return cli_fail(cli, "consent", &error);
    show(cli, floor, is_unattended, longest_ms);
    return 0;
}
