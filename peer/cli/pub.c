/* SPDX-License-Identifier: Apache-2.0 */
/* `warren pub`: one publication, or one for each line of standard input. It ends when the router has taken them all, or refused one. */
#include "rpc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WINDOW = 64, MAX_TO = 64, LINE = 1024 * 1024 };

struct pub {
    const struct cli *cli;
    const struct rpc_words *words;
    struct peer *peer;
    const char *topic;
    const char *to[MAX_TO + 1];
    char own_id[16];
    struct rpc_json json; /* what is published, without "-" */
    bool reads_lines, is_online, has_ended, is_over;
    char *in; /* of standard input: up to LINE bytes */
    size_t n_in;
    unsigned long n_sent, n_open, n_lines;
    struct peer_error bad; /* of the input: told when what came before it has arrived */
    unsigned long long until;
    struct peer_error last;
    int status;
};

static void end(struct pub *p, int status)
{
    p->is_over = true;
    p->status = status;
}

static void fail(struct pub *p, const struct peer_error *error)
{
    end(p, rpc_fail(p->cli, "pub", error, NULL));
    if (p->reads_lines)
        cli_say("of the lines, %lu were published before it", p->n_sent - p->n_open);
    rpc_help_names(error, p->own_id, "publish to");
}

/* False: not now. */
static bool publish(struct pub *p, const struct peer_values *values)
{
    const struct peer_publish_options options = { .size = sizeof(options),
                                                  .acknowledge = true,
                                                  .retain = p->words->retain,
                                                  .eligible = p->to[0] ? p->to : NULL };
    struct peer_error error;

    if (!peer_publish(p->peer, p->topic, values, &options, &error)) {
        if (strcmp(error.name, "network_failure") == 0)
            p->is_online = false; /* ONLINE comes again */
        else if (strcmp(error.name, "limit") != 0)
            fail(p, &error);
        return false;
    }
    cli_only_once();
    p->n_sent++;
    p->n_open++;
    return true;
}

static void end_input(struct pub *p, const struct peer_error *bad)
{
    p->has_ended = true;
    p->n_in = 0;
    p->bad = *bad;
}

/* Whether the line is done with. */
static bool publish_line(struct pub *p, const char *line, size_t size)
{
    struct rpc_json json = { 0 };
    struct peer_values values;
    struct peer_error error;
    char *value = rpc_json_value(line, size, &error);
    bool ok = value && rpc_json_args(value, &json, &error);

    free(value);
    if (!ok) {
        snprintf(error.remedy, sizeof(error.remedy), "correct line %lu of the input",
                 p->n_lines + 1);
        end_input(p, &error);
        return false;
    }
    json.kwargs = p->json.kwargs;
    json.kwargs_size = p->json.kwargs_size;
    values = rpc_values(&json);
    ok = publish(p, &values);
    json.kwargs = NULL; /* shared by all lines */
    rpc_json_free(&json);
    return ok;
}

static void publish_lines(struct pub *p)
{
    size_t used = 0;

    while (!p->is_over && p->is_online && p->n_open < WINDOW && used < p->n_in) {
        char *newline = memchr(p->in + used, '\n', p->n_in - used);
        size_t size = newline ? (size_t)(newline - p->in) - used : p->n_in - used;
        if (!newline && !p->has_ended)
            break;
        if (size && !publish_line(p, p->in + used, size))
            break;
        used += size + (newline ? 1 : 0);
        p->n_lines++;
    }
    if (p->n_in == 0) /* the input was bad */
        return;
    memmove(p->in, p->in + used, p->n_in - used);
    p->n_in -= used;
}

static void read_lines(struct pub *p)
{
    static const struct peer_error too_long = { "too_large",
                                                "a line of the input is longer than 1 MiB",
                                                "make it shorter" };
    ssize_t n = read(STDIN_FILENO, p->in + p->n_in, LINE - p->n_in);

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n < 0) {
        snprintf(p->bad.text, sizeof(p->bad.text), "standard input: %s", strerror(errno));
        snprintf(p->bad.name, sizeof(p->bad.name), "system");
        snprintf(p->bad.remedy, sizeof(p->bad.remedy), "see what standard input is");
    }
    if (n <= 0)
        p->has_ended = true;
    else
        p->n_in += (size_t)n;
    cli_only_once(); /* what was read is read */
    if (p->n_in == LINE && !memchr(p->in, '\n', p->n_in))
        end_input(p, &too_long);
}

static void go_on(struct pub *p)
{
    struct peer_values values = rpc_values(&p->json);

    if (p->is_over || !p->is_online)
        return;
    if (p->reads_lines)
        publish_lines(p);
    else if (p->n_sent == 0)
        publish(p, &values);
    if (p->is_over || p->n_open > 0 || !(p->reads_lines ? p->has_ended && p->n_in == 0 : p->n_sent))
        return;
    if (p->bad.name[0] != '\0')
        fail(p, &p->bad);
    else
        end(p, 0);
}

static void on_event(struct pub *p, const struct peer_event *event)
{
    if (rpc_on_connection(p->peer, event)) {
        p->is_online = peer_is_online(p->peer);
        if (!p->is_online)
            p->last = event->error;
        if (event->type == PEER_EVENT_OFFLINE && cli_is_for_people(&event->error))
            fail(p, &event->error);
    } else if (event->type == PEER_EVENT_PUBLISHED && event->error.name[0] != '\0') {
        fail(p, &event->error); /* after a loss too: nobody knows whether it went out */
    } else if (event->type == PEER_EVENT_PUBLISHED) {
        p->n_open--;
        if (p->words->acknowledge)
            printf("{\"publication\": %llu}\n", (unsigned long long)event->publication);
    } else if (event->type == PEER_EVENT_FAILED) {
        fail(p, &event->error);
    }
}

/* Time counts while the router is what we wait for. */
static bool is_waiting(const struct pub *p)
{
    return !p->is_online || p->n_open > 0 || !p->reads_lines;
}

static void run(struct pub *p)
{
    unsigned long long patience =
        (unsigned long long)((p->words->timeout_s > 0 ? p->words->timeout_s : 60) * 1000);
    struct peer_event event;

    p->until = cli_now() + patience;
    while (!p->is_over && !cli_stopped()) {
        bool wants = p->reads_lines && !p->has_ended && p->n_in < LINE && p->n_open < WINDOW;
        unsigned long long now = cli_now();
        if (!is_waiting(p))
            p->until = now + patience;
        enum cli_ready ready =
            cli_wait(p->peer, wants ? STDIN_FILENO : -1,
                     !is_waiting(p) ? -1 : (int)(p->until > now ? p->until - now : 0));
        if (ready & CLI_INPUT)
            read_lines(p);
        if (ready & CLI_PEER)
            p->until = cli_now() + patience;
        while (!p->is_over && cli_next_event(p->peer, &event))
            on_event(p, &event);
        go_on(p);
        if (!p->is_over && is_waiting(p) && cli_now() >= p->until)
            fail(p, &p->last);
    }
    if (!p->is_over)
        p->status = 128 + cli_stopped();
}

/* "456000,123 456": spaces are fine. */
static int take_to(struct pub *p, char *text)
{
    size_t n = 0;

    for (char *rest, *id = strtok_r(text, ",", &rest); id; id = strtok_r(NULL, ",", &rest)) {
        if (n == MAX_TO)
            return rpc_usage(p->words, "--to: more than %d IDs", MAX_TO);
        p->to[n++] = id;
    }
    return n ? 0 : rpc_usage(p->words, "--to: expected IDs with commas between");
}

static int open_and_run(struct pub *p)
{
    p->peer = rpc_open(p->cli, p->words, NULL, &p->status);
    if (!p->peer)
        return p->status;
    run(p);
    peer_free(p->peer);
    return p->status;
}

int cli_pub(struct cli *cli, int argc, char **argv)
{
    struct rpc_words words;
    struct pub p = { .cli = cli,
                     .words = &words,
                     .last = { "timeout", "the router did not answer in time", "try again" } };
    char *topic = NULL;
    int status = rpc_words_read(cli, argc, argv, "tkARTJ", &words);

    if (status != 0)
        return status;
    if (words.n < 1)
        return rpc_usage(&words, "expected a topic");
    p.reads_lines = words.n == 2 && strcmp(words.word[1], "-") == 0;
    if (words.to)
        status = take_to(&p, words.to);
    if (status == 0)
        status = rpc_json_of_words(&words, words.word + 1, p.reads_lines ? 0 : words.n - 1, true,
                                   &p.json);
    if (status == 0)
        status = rpc_name(cli, &words, words.word[0], p.own_id, &topic);
    p.topic = topic;
    p.in = p.reads_lines ? malloc(LINE) : NULL;
    if (status == 0)
        status = open_and_run(&p);
    free(p.in);
    free(topic);
    rpc_json_free(&p.json);
    return status;
}
