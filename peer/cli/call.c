/* SPDX-License-Identifier: Apache-2.0 */
/* `warren call`: one procedure, its results as they come. A procedure of another machine is called under a link to it that its
 * policy allows, which is dialled first. */
#include "rpc.h"

#include <stdlib.h>
#include <string.h>

enum { CANCEL_PATIENCE_MS = 5000, DEFAULT_TIMEOUT_MS = 60000 };

struct call {
    const struct cli *cli;
    const struct rpc_words *words;
    struct peer *peer;
    struct peer_link *link;
    struct peer_call *call;
    const char *procedure;
    char own_id[16], callee[16], capability[80];
    struct peer_values values;
    unsigned long long timeout_ms, began, until; /* until: for what comes before the call */
    unsigned long long without_den;              /* den is away: until then; 0: it is not */
    bool is_over, is_canceling;
    struct peer_error last; /* why we are not there yet */
    int status;
};

static void end(struct call *c, int status)
{
    c->is_over = true;
    c->status = status;
}

static void fail(struct call *c, const struct peer_error *error, const struct peer_message *message)
{
    end(c, rpc_fail(c->cli, "call", error, message));
    if (strcmp(error->name, "not_authorized") == 0 && strcmp(c->callee, c->own_id) == 0)
        cli_say("a machine cannot call itself through the network");
    else if (strcmp(error->name, "not_reachable") == 0 && c->callee[0] != '\0')
        cli_say("the policy of the network has to let %s call %s, with the capability %s",
                c->own_id, c->callee, c->capability);
}

static void call_now(struct call *c)
{
    const struct peer_call_options options = { .size = sizeof(options),
                                               .timeout_ms = c->timeout_ms,
                                               .progress = c->words->progress,
                                               .is_signed = c->words->sign };
    struct peer_error error;

    if (c->call || c->is_over)
        return;
    cli_only_once();
    c->call = peer_call(c->peer, c->procedure, &c->values, &options, &error);
    if (!c->call)
        fail(c, &error, NULL);
}

static void dial(struct call *c)
{
    const char *const wanted[] = { c->capability, NULL };
    struct peer_error error;
    char id[24];

    if (c->link || c->callee[0] == '\0')
        return;
    cli_say("dialling %s", cli_show_id(c->callee, id));
    c->link = peer_dial(c->peer, c->callee, wanted, &error);
    if (!c->link)
        fail(c, &error, NULL);
}

static void on_result(struct call *c, const struct peer_event *event)
{
    const struct peer_message *message = event->message;

    if (event->error.name[0] != '\0') {
        if (c->is_canceling && strcmp(event->error.name, "canceled") == 0) {
            cli_say("canceled");
            end(c, 128 + c->status);
        } else {
            fail(c, &event->error, message);
        }
        return;
    }
    if (message->n_lost)
        cli_say("%llu results before this one were lost: they came faster than they were taken",
                (unsigned long long)message->n_lost);
    if (c->cli->json) {
        printf("{%s", message->progress ? "\"progress\": true, " : "");
        rpc_print_members(stdout, &message->values);
        printf("}\n");
    } else {
        rpc_print_plain(stdout, &message->values);
    }
    fflush(stdout);
    if (!message->progress)
        end(c, 0);
}

static void on_event(struct call *c, const struct peer_event *event)
{
    if (rpc_on_connection(c->peer, event)) {
        if (event->type == PEER_EVENT_OFFLINE)
            c->last = event->error;
        if (!(c->words->timeout_s > 0) && !c->without_den)
            c->without_den = cli_ready_without_den(event, c->began);
        if (event->type == PEER_EVENT_OFFLINE && cli_is_for_people(&event->error))
            fail(c, &event->error, NULL);
        if (event->type == PEER_EVENT_ONLINE && c->callee[0] == '\0')
            call_now(c);
        return;
    }
    if (event->type == PEER_EVENT_JOINED)
        dial(c);
    else if (event->type == PEER_EVENT_RINGING)
        cli_say("ringing");
    else if (event->type == PEER_EVENT_LINK_UP)
        call_now(c);
    else if (event->type == PEER_EVENT_LINK_DOWN && !c->call)
        fail(c, &event->error, NULL);
    else if (event->type == PEER_EVENT_RESULT)
        on_result(c, event);
    else if (event->type == PEER_EVENT_FAILED)
        fail(c, &event->error, NULL);
}

/* The first interrupt asks for the end of the call, the second one ends this program. */
static void on_signal(struct call *c, int number)
{
    if (!c->call || c->is_canceling) {
        cli_say(c->call ? "not waiting for the end of the call" : "nothing was called");
        end(c, 128 + number);
        return;
    }
    cli_say("canceling the call");
    peer_call_cancel(c->call, PEER_CANCEL_KILL);
    c->is_canceling = true;
    c->status = number;
    c->until = cli_now() + CANCEL_PATIENCE_MS;
}

/* Until when it is waited for what comes before the call, or for its end. A link that is dialled is not den's any more. */
static unsigned long long due(const struct call *c)
{
    bool is_dens = c->without_den && !c->call && !c->link;

    return is_dens && c->without_den < c->until ? c->without_den : c->until;
}

static void check_time(struct call *c)
{
    if (c->is_over || (c->call && !c->is_canceling) || cli_now() < due(c))
        return;
    if (!c->is_canceling) {
        fail(c, &c->last, NULL);
        return;
    }
    cli_say("whoever serves it does not stop: it may go on");
    end(c, 128 + c->status);
}

static void run(struct call *c)
{
    struct peer_event event;
    int number;

    while (!c->is_over) {
        unsigned long long now = cli_now();
        bool is_bounded = !c->call || c->is_canceling;
        cli_wait(c->peer, -1, is_bounded ? (int)(due(c) > now ? due(c) - now : 0) : -1);
        while (!c->is_over && cli_next_event(c->peer, &event))
            on_event(c, &event);
        if (!c->is_over && (number = cli_take_stop()) != 0)
            on_signal(c, number);
        check_time(c);
    }
}

static int call_procedure(const struct cli *cli, const struct rpc_words *words,
                          const char *procedure, const char *own_id, const struct rpc_json *json)
{
    struct call c = { .cli = cli,
                      .words = words,
                      .procedure = procedure,
                      .last = { "timeout", "the other side was not reached in time",
                                "try again, or give more time with --timeout" } };
    char app[72];
    int status = 1;

    c.values = rpc_values(json);
    snprintf(c.own_id, sizeof(c.own_id), "%s", own_id);
    c.timeout_ms = words->timeout_s > 0 ? (unsigned long long)(words->timeout_s * 1000 + 0.5)
                                        : DEFAULT_TIMEOUT_MS;
    if (rpc_name_split(procedure, c.callee, app))
        snprintf(c.capability, sizeof(c.capability), "call:%s", app);
    if (strcmp(c.callee, own_id) == 0)
        return cli_misuse(
            "call another machine",
            "call: invalid_argument: a machine cannot call itself through the network");
    c.peer = rpc_open(cli, words, NULL, &status);
    if (!c.peer)
        return status;
    c.began = cli_now();
    c.until = c.began + c.timeout_ms;
    run(&c);
    peer_free(c.peer);
    return c.status;
}

int cli_call(struct cli *cli, int argc, char **argv)
{
    struct rpc_words words;
    struct rpc_json json = { 0 };
    char *procedure = NULL, own_id[16];
    int status = rpc_words_read(cli, argc, argv, "tpkJlS", &words);

    if (status != 0)
        return status;
    if (words.n < 1)
        return rpc_usage(&words, "expected a procedure, such as network.whoami");
    status = rpc_json_of_words(&words, words.word + 1, words.n - 1, true, &json);
    if (status == 0)
        status = rpc_name(cli, &words, words.word[0], own_id, &procedure);
    if (status == 0)
        status = call_procedure(cli, &words, procedure, own_id, &json);
    rpc_json_free(&json);
    free(procedure);
    return status;
}
