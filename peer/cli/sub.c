/* SPDX-License-Identifier: Apache-2.0 */
/* `warren sub`: what is published, a JSON line each. It goes on over a loss of the router. */
#include "rpc.h"

#include <stdlib.h>
#include <string.h>

struct sub {
    const struct cli *cli;
    const struct rpc_words *words;
    struct peer *peer;
    char own_id[16];
    unsigned long n;
    bool has_stood, is_over;
    int status;
};

static void end(struct sub *s, int status)
{
    s->is_over = true;
    s->status = status;
}

static void print(struct sub *s, const struct peer_message *message)
{
    if (message->n_lost)
        cli_say("%llu publications were lost: they came faster than they were taken",
                (unsigned long long)message->n_lost);
    printf("{\"topic\": ");
    cli_json_text(stdout, message->uri);
    printf(", \"publisher\": ");
    cli_json_text(stdout, message->remote_id);
    printf(", \"role\": ");
    cli_json_text(stdout, message->remote_role);
    printf(", \"session\": %llu, \"retained\": %s, ", (unsigned long long)message->remote_session,
           message->retained ? "true" : "false");
    rpc_print_members(stdout, &message->values);
    printf("}\n");
    if (s->words->has_count)
        cli_only_once(); /* so many, not more */
    if (s->words->has_count && ++s->n >= s->words->count)
        end(s, 0);
}

/* Refused at first: there is something to correct. Later it is tried again, as after a loss. */
static void on_standing(struct sub *s, const struct peer_event *event)
{
    if (event->error.name[0] == '\0') {
        cli_say(s->has_stood ? "subscribed again" : "subscribed");
        s->has_stood = true;
    } else if (s->has_stood) {
        cli_say("not subscribed any more: %s; trying again", event->error.text);
    } else {
        end(s, rpc_fail(s->cli, "sub", &event->error, NULL));
        rpc_help_names(&event->error, s->own_id, "subscribe to");
    }
}

static void on_event(struct sub *s, const struct peer_event *event)
{
    if (rpc_on_connection(s->peer, event))
        return;
    if (event->type == PEER_EVENT_SUBSCRIPTION)
        on_standing(s, event);
    else if (event->type == PEER_EVENT_MESSAGE)
        print(s, event->message);
    else if (event->type == PEER_EVENT_FAILED)
        end(s, rpc_fail(s->cli, "sub", &event->error, NULL));
}

static void run(struct sub *s)
{
    struct peer_event event;

    while (!s->is_over && !cli_stopped()) {
        cli_wait(s->peer, -1, -1);
        while (!s->is_over && cli_next_event(s->peer, &event))
            on_event(s, &event);
        if (fflush(stdout) != 0 && !s->is_over) /* at once, when there is no more at once */
            end(s, 1);                          /* main() says why */
    }
    if (!s->is_over)
        s->status = 128 + cli_stopped();
}

static int subscribe(struct sub *s, const char *topic)
{
    const struct peer_subscription_options options = { .size = sizeof(options),
                                                       .match = s->words->match,
                                                       .get_retained = s->words->retained };
    struct peer_error error;

    s->peer = rpc_open(s->cli, s->words, NULL, &s->status);
    if (!s->peer)
        return s->status;
    if (peer_subscribe(s->peer, topic, &options, &error))
        run(s);
    else
        s->status = rpc_fail(s->cli, "sub", &error, NULL);
    peer_free(s->peer);
    return s->status;
}

int cli_sub(struct cli *cli, int argc, char **argv)
{
    struct rpc_words words;
    struct sub s = { .cli = cli, .words = &words };
    char *topic = NULL;
    int status = rpc_words_read(cli, argc, argv, "mrcJ", &words);

    if (status != 0)
        return status;
    if (words.n != 1)
        return rpc_usage(&words, words.n ? "one topic too many: \"%s\"" : "expected a topic%s",
                         words.n ? words.word[1] : "");
    status = rpc_name(cli, &words, words.word[0], s.own_id, &topic);
    if (status == 0)
        status = subscribe(&s, topic);
    free(topic);
    return status;
}
