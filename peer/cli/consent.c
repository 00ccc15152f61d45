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
    fprintf(
        stderr,
        "warren: consent: expected none, ask or deny, attended or unattended, found \"%.64s\"\n",
        word);
    return false;
}

static void show(const struct cli *cli, enum peer_consent floor, bool is_unattended)
{
    if (cli->json)
        printf("{\"floor\": \"%s\", \"unattended\": %s}\n", floors[floor],
               is_unattended ? "true" : "false");
    else
        printf("%s%s: %s\n", floors[floor], is_unattended ? ", unattended" : "",
               is_unattended && floor == PEER_CONSENT_ASK
                   ? "nobody is here to be asked: it is left to policy"
                   : meanings[floor]);
}

int cli_consent(const struct cli *cli)
{
    const char *const words[] = { cli->argument, cli->more[0] };
    enum peer_consent floor;
    struct peer_error error;
    bool is_unattended;

    if (!peer_consent_get(cli->state_dir, &floor, &is_unattended, &error))
        return cli_fail(cli, "consent", &error);
    for (size_t i = 0; i < 2; i++)
        if (words[i] && !take_word(words[i], &floor, &is_unattended))
            return 2;
    if (words[0] && !peer_consent_set(cli->state_dir, floor, is_unattended, &error))
        return cli_fail(cli, "consent", &error);
    show(cli, floor, is_unattended);
    return 0;
}
