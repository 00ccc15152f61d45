/* SPDX-License-Identifier: Apache-2.0 */
/* `warren name` and `warren rekey`: one question to den, over a connection of their own. */
#include "cli.h"

#include <string.h>

struct errand {
    const struct cli *cli;
    const char *what;
    bool (*send)(const struct cli *cli, struct peer *peer, struct peer_error *error);
    bool (*is_answer)(const struct cli *cli, const struct peer_event *event, int *ret_status);
    bool (*next_event)(struct peer *peer, struct peer_event *ret_event);
};

/* Until the answer is there, the time is up, or this machine cannot go on. */
static int wait_answer(const struct errand *errand, struct peer *peer)
{
    unsigned long long began = cli_now(), without_den = 0, /* 0: den is not away, or was asked */
        until = began + (unsigned long long)(errand->cli->timeout_s * 1000);
    struct peer_error last = { "timeout", "no answer came in time", "try again" };
    struct peer_event event;
    bool was_sent = false;
    int status = 1;

    for (;;) {
        unsigned long long now = cli_now();
        unsigned long long due = without_den && without_den < until ? without_den : until;
        if (now >= due)
            return cli_fail(errand->cli, errand->what, &last);
        cli_wait(peer, -1, (int)(due - now));
        if (cli_stopped())
            return 128 + cli_stopped();
        while (errand->next_event(peer, &event)) {
            if (event.type == PEER_EVENT_JOINED && !errand->send(errand->cli, peer, &last))
                return cli_fail(errand->cli, errand->what, &last);
            was_sent |= event.type == PEER_EVENT_JOINED;
            if (was_sent)
                without_den = 0;
            else if (!without_den && !errand->cli->has_timeout)
                without_den = cli_ready_without_den(&event, began);
            if (event.type == PEER_EVENT_FAILED)
                return cli_fail(errand->cli, errand->what, &event.error);
            if (event.type == PEER_EVENT_CLOCK)
                cli_say("%s: %s\nwhat to do: %s", event.error.name, event.error.text,
                        event.error.remedy);
            if (event.type == PEER_EVENT_OFFLINE)
                last = event.error;
            if (event.type == PEER_EVENT_OFFLINE && cli_is_for_people(&last))
                return cli_fail(errand->cli, errand->what, &last);
            if (errand->is_answer(errand->cli, &event, &status))
                return status;
        }
    }
}

static int run(const struct errand *errand)
{
    struct peer_config config = { .size = sizeof(config), .state_dir = errand->cli->state_dir };
    struct peer *peer;
    int status;

    peer = cli_open(errand->cli, errand->what, &config);
    if (!peer)
        return 1;
    cli_catch_signals(); /* the prompt had its own way with them */
    status = wait_answer(errand, peer);
    peer_free(peer);
    return status;
}

/* ---- names --------------------------------------------------------------------------------------------- */

static bool send_name(const struct cli *cli, struct peer *peer, struct peer_error *error)
{
    if (strcmp(cli->argument, "claim") == 0)
        return peer_name_claim(peer, cli->more[0], error);
    if (strcmp(cli->argument, "release") == 0)
        return peer_name_release(peer, cli->more[0], error);
    if (strcmp(cli->argument, "transfer") == 0)
        return peer_name_transfer(peer, cli->more[0], cli->more[1], error);
    return peer_name_list(peer, error);
}

static bool send_name_once(const struct cli *cli, struct peer *peer, struct peer_error *error)
{
    if (strcmp(cli->argument, "list") != 0)
        cli_only_once();
    return send_name(cli, peer, error);
}

static void print_json(const struct peer_name *name, bool is_first)
{
    printf("%s{\"name\": ", is_first ? "" : ", ");
    cli_json_text(stdout, name->name);
    printf(", \"id\": ");
    cli_json_text(stdout, name->id);
    printf(", \"name_no\": %llu, \"assigned\": %s, \"released_at\": %llu}",
           (unsigned long long)name->name_no, name->is_assigned ? "true" : "false",
           (unsigned long long)name->released_at);
}

static void print_names(const struct cli *cli, const struct peer_event *event)
{
    char id[24];

    if (cli->json)
        printf("[");
    for (size_t i = 0; i < event->n_names; i++) {
        const struct peer_name *name = &event->names[i];
        if (cli->json)
            print_json(name, i == 0);
        else
            printf("%-32s %s%s%s\n", name->name, cli_show_id(name->id, id),
                   name->is_assigned ? ", assigned by an administrator" : "",
                   name->released_at ? ", released: it lies idle" : "");
    }
    if (cli->json)
        printf("]\n");
    else if (event->n_names == 0 && strcmp(cli->argument, "list") == 0)
        printf("this machine has no name\n");
    else if (event->n_names == 0)
        printf("%s is given up; it lies idle now\n", cli->more[0]);
}

static bool is_name_answer(const struct cli *cli, const struct peer_event *event, int *ret_status)
{
    if (event->type != PEER_EVENT_NAMES)
        return false;
    if (event->error.name[0] != '\0') {
        *ret_status = cli_fail(cli, "name", &event->error);
        return true;
    }
    print_names(cli, event);
    *ret_status = 0;
    return true;
}

int cli_name(const struct cli *cli)
{
    static const struct {
        const char *word;
        int n;
    } words[] = { { "list", 0 }, { "claim", 1 }, { "release", 1 }, { "transfer", 2 } };
    const struct errand errand = { cli, "name", send_name_once, is_name_answer, cli_next_event };
    int n = (cli->more[0] != NULL) + (cli->more[1] != NULL);

    for (size_t i = 0; cli->argument && i < sizeof(words) / sizeof(*words); i++) {
        if (strcmp(cli->argument, words[i].word) == 0 && n == words[i].n)
            return run(&errand);
    }
    return cli_misuse("try: warren --help",
                      "name: expected list, claim NAME, release NAME or transfer NAME ID");
}

/* ---- rekey --------------------------------------------------------------------------------------------- */

static bool send_rekey(const struct cli *cli, struct peer *peer, struct peer_error *error)
{
    (void)cli;
    return peer_rekey(peer, error);
}

static bool is_rekey_answer(const struct cli *cli, const struct peer_event *event, int *ret_status)
{
    struct peer_identity own;
    struct peer_error error;

    if (event->type != PEER_EVENT_REKEYED || event->remote_id)
        return false;
    *ret_status = 0;
    if (event->error.name[0] != '\0') {
        *ret_status = cli_fail(cli, "rekey", &event->error);
        return true;
    }
    if (!peer_identity_load(cli->state_dir, &own, &error)) {
        *ret_status = cli_fail(cli, "rekey", &error);
        return true;
    }
    cli_say("this machine has a new identity key; whoever knows it takes it from the old one");
    cli_print_identity(&own, stdout);
    return true;
}

int cli_rekey(const struct cli *cli)
{
    const struct errand errand = { cli, "rekey", send_rekey, is_rekey_answer, peer_next_event };

    return run(&errand);
}
