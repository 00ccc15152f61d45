/* SPDX-License-Identifier: Apache-2.0 */
/* `warren serve`: runs a command for every call of a procedure. What a caller sends goes to the command's standard input and
 * nowhere else; who it is stands in the environment, as the router proved it. */
#include "serve.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { MAX_WAITING = 256, GRACE_MS = 10000, MAX_PARALLEL = 256 };

struct serve {
    const struct cli *cli;
    const struct rpc_words *words;
    struct job_world world;
    struct peer *peer;
    struct peer_registration *registration;
    char own_id[16], network[201], capability[80];
    struct job *jobs; /* the oldest first; those with a pid run */
    unsigned long n_running, n_waiting;
    bool has_stood, is_over, is_leaving;
    unsigned long long leave_at;
    int status;
};

static void end(struct serve *s, int status)
{
    s->is_over = true;
    s->status = status;
}

/* ---- answers ---- */

/* Bytes as one value: JSON, else text, else binary. malloc()ed JSON. */
static char *value_of(const char *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct peer_error error;
    size_t length;
    char *json = rpc_json_value(bytes, size, &error);
    FILE *out;

    if (!json && size && strchr("[{\"", bytes[0])) { /* text that only begins like JSON */
        out = open_memstream(&json, &length);
        cli_json_bytes(out, bytes, size);
        fclose(out);
        struct rpc_json probe;
        if (rpc_json_args(json, &probe, &error)) {
            rpc_json_free(&probe);
            return json;
        }
        free(json);
        json = NULL;
    }
    if (json)
        return json;
    out = open_memstream(&json, &length);
    fprintf(out, "\"\\u0000");
    for (size_t i = 0; i < size; i += 3) {
        unsigned long n = 0;
        for (size_t k = 0; k < 3; k++)
            n = n << 8 | (i + k < size ? (unsigned char)bytes[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            fputc(i + k > size ? '=' : digits[n >> (18 - 6 * k) & 63], out);
    }
    fputc('"', out);
    fclose(out);
    return json;
}

static size_t without_newline(const char *bytes, size_t size)
{
    return size && bytes[size - 1] == '\n' ? size - 1 : size;
}

static void refuse(struct job *job, const char *uri, const char *cause, const char *remedy,
                   int code)
{
    char *kwargs = NULL, *text = NULL;
    struct rpc_json json = { 0 };
    struct peer_error error;
    struct peer_values values;
    size_t length, size = without_newline(job->err, job->n_err);
    FILE *out;

    if (!job->invocation)
        return;
    out = open_memstream(&kwargs, &length);
    fprintf(out, "{\"cause\":");
    cli_json_text(out, cause);
    fprintf(out, ",\"remedy\":");
    cli_json_text(out, remedy);
    if (code >= 0)
        fprintf(out, ",\"status\":%d", code);
    fputc('}', out);
    fclose(out);
    if (size)
        text = value_of(job->err, size);
    if (text && strncmp(text, "\"\\u0000", 7) != 0 && *text != '"') { /* a number is text here */
        free(text);
        out = open_memstream(&text, &length);
        cli_json_bytes(out, job->err, size);
        fclose(out);
    }
    if (text && !rpc_json_args(text, &json, &error))
        json = (struct rpc_json){ 0 };
    json.kwargs = peer_msgpack_from_json(kwargs, strlen(kwargs), &json.kwargs_size, &error);
    if (!json.kwargs)
        json.kwargs_size = 0;
    values = rpc_values(&json);
    if (!peer_refuse(job->invocation, uri, &values, &error))
        cli_say("answering %s: %s", job->caller, error.text);
    job->invocation = NULL;
    rpc_json_free(&json);
    free(kwargs);
    free(text);
}

static void answer(struct serve *s, struct job *job)
{
    size_t size = without_newline(job->out, job->n_out);
    char *value = size ? value_of(job->out, size) : NULL;
    struct rpc_json json = { 0 };
    struct peer_error error;
    struct peer_values values;
    bool ok = !value || rpc_json_args(value, &json, &error);

    free(value);
    values = rpc_values(&json);
    ok = ok && peer_answer(job->invocation, &values, &error);
    rpc_json_free(&json);
    if (ok) {
        job->invocation = NULL;
        return;
    }
    rpc_fail(s->cli, "serve", &error, NULL);
    refuse(job, "warren.serve.error.too_large", error.text, error.remedy, -1);
}

/* Whole lines, each a result of its own; what cannot be sent now waits. */
static void answer_parts(struct job *job)
{
    size_t used = 0;
    char *newline;

    while (job->invocation && used < job->n_out &&
           (newline = memchr(job->out + used, '\n', job->n_out - used))) {
        size_t size = (size_t)(newline - job->out) - used;
        char *value = value_of(job->out + used, size);
        struct rpc_json json = { 0 };
        struct peer_error error;
        bool ok = rpc_json_args(value, &json, &error);
        struct peer_values values = rpc_values(&json);

        ok = ok && peer_answer_part(job->invocation, &values, &error);
        free(value);
        rpc_json_free(&json);
        if (!ok && strcmp(error.name, "limit") == 0)
            break;
        used += size + 1;
    }
    if (used)
        memmove(job->out, job->out + used, job->n_out - used);
    job->n_out -= used;
}

static void finish(struct serve *s, struct job *job)
{
    char cause[200];

    if (!job->invocation)
        return;
    if (job->is_too_large) {
        snprintf(cause, sizeof(cause), "%s printed more than %d bytes", s->world.command[0],
                 JOB_MAX_OUT);
        refuse(job, "warren.serve.error.too_large", cause, "ask for less at once", -1);
    } else if (job->kill_at) {
        refuse(job, "wamp.error.canceled", "whoever serves it stopped", "try again later", -1);
    } else if (WIFEXITED(job->wait_status) && WEXITSTATUS(job->wait_status) == 0) {
        if (s->words->progress && job->wants_parts)
            answer_parts(job);
        answer(s, job);
    } else if (WIFEXITED(job->wait_status)) {
        snprintf(cause, sizeof(cause), "the command behind it ended with status %d",
                 WEXITSTATUS(job->wait_status));
        refuse(job, "warren.serve.error.failed", cause,
               "see its words in the arguments, or ask whoever serves it",
               WEXITSTATUS(job->wait_status));
    } else {
        snprintf(cause, sizeof(cause), "the command behind it was ended by signal %d",
                 WTERMSIG(job->wait_status));
        refuse(job, "warren.serve.error.failed", cause, "ask whoever serves it",
               128 + WTERMSIG(job->wait_status));
    }
}

/* ---- jobs ---- */

static void start_jobs(struct serve *s)
{
    char cause[200];

    for (struct job *job = s->jobs; job && s->n_running < s->words->max_parallel; job = job->next) {
        if (job->pid || job->has_ended)
            continue;
        s->n_waiting--;
        if (job->invocation && job_start(job, &s->world)) {
            s->n_running++;
            continue;
        }
        if (job->invocation) {
            snprintf(cause, sizeof(cause), "%s: %s", s->world.command[0], strerror(errno));
            cli_say("%s", cause);
            refuse(job, "warren.serve.error.failed", "the command behind it could not be started",
                   "ask whoever serves it", -1);
        }
        job->has_ended = true;
    }
}

static void drop_ended(struct serve *s)
{
    for (struct job **at = &s->jobs, *job; (job = *at) != NULL;) {
        if (!job->has_ended) {
            at = &job->next;
            continue;
        }
        if (job->pid) {
            s->n_running--;
            finish(s, job);
        }
        *at = job->next;
        job_free(job);
    }
}

static void on_invocation(struct serve *s, const struct peer_event *event)
{
    struct job *job = job_new(event), **at = &s->jobs;

    if (s->n_waiting >= MAX_WAITING || s->is_leaving) {
        refuse(job, "peer.error.busy",
               s->is_leaving ? "it stops serving" : "too many calls wait for their turn",
               "try again later", -1);
        job_free(job);
        return;
    }
    while (*at)
        at = &(*at)->next;
    *at = job;
    s->n_waiting++;
}

static void on_interrupted(struct serve *s, const struct peer_event *event)
{
    for (struct job *job = s->jobs; job; job = job->next) {
        if (job->invocation != event->invocation)
            continue;
        job->invocation = NULL;
        job_stop(job);
        cli_say("the call of %s is over: %s", job->caller, event->error.text);
    }
}

/* ---- events ---- */

static void on_standing(struct serve *s, const struct peer_event *event)
{
    if (event->error.name[0] == '\0') {
        cli_say(s->has_stood ? "serving again" : "serving");
        s->has_stood = true;
    } else if (s->has_stood || strcmp(event->error.name, "already_exists") == 0) {
        cli_say("not registered: %s; trying again", event->error.text);
    } else {
        end(s, rpc_fail(s->cli, "serve", &event->error, NULL));
        rpc_help_names(&event->error, s->own_id, "register");
    }
}

/* A link is what lets another machine call us: for that alone, unless policy wants a person to be asked. */
static void on_incoming(struct serve *s, const struct peer_event *event)
{
    struct peer_error error;
    char id[24];

    if (s->is_leaving) {
        peer_link_decline(event->link, "busy");
    } else if (event->must_ask && !s->words->accept) {
        cli_say("%s was declined: policy wants a person to consent; run with --accept to take "
                "calls without asking",
                cli_show_id(event->remote_id, id));
        peer_link_decline(event->link, "nobody is here to ask");
    } else if (!peer_link_accept(event->link, NULL, &error)) {
        rpc_fail(s->cli, "serve", &error, NULL);
    }
}

static void on_event(struct serve *s, const struct peer_event *event)
{
    char id[24];

    if (rpc_on_connection(s->peer, event))
        return;
    if (event->type == PEER_EVENT_REGISTRATION)
        on_standing(s, event);
    else if (event->type == PEER_EVENT_INVOCATION)
        on_invocation(s, event);
    else if (event->type == PEER_EVENT_INTERRUPTED)
        on_interrupted(s, event);
    else if (event->type == PEER_EVENT_INCOMING)
        on_incoming(s, event);
    else if (event->type == PEER_EVENT_STREAM)
        peer_stream_reset(event->stream, 0); /* there is nothing to say but by calls */
    else if (event->type == PEER_EVENT_REFUSED)
        cli_say("a link of %s was refused: %s", cli_show_id(event->remote_id, id),
                event->error.text);
    else if (event->type == PEER_EVENT_FAILED)
        end(s, rpc_fail(s->cli, "serve", &event->error, NULL));
}

/* ---- leaving ---- */

static void stop_all(struct serve *s)
{
    for (struct job *job = s->jobs; job; job = job->next) {
        job_stop(job);
        if (!job->pid && job->invocation)
            refuse(job, "peer.error.busy", "it stops serving", "try again later", -1);
        if (!job->pid && !job->has_ended) {
            job->has_ended = true;
            s->n_waiting--;
        }
    }
}

static void on_signal(struct serve *s)
{
    if (s->is_leaving) {
        stop_all(s);
        return;
    }
    s->is_leaving = true;
    s->leave_at = cli_now() + GRACE_MS;
    peer_unregister(s->registration);
    if (s->jobs)
        cli_say("not serving any more; waiting at most %d s for calls that run, and interrupt "
                "again ends them",
                GRACE_MS / 1000);
}

static void check_leaving(struct serve *s)
{
    if (!s->is_leaving || s->is_over)
        return;
    if (s->jobs && cli_now() >= s->leave_at)
        stop_all(s);
    if (!s->jobs)
        end(s, 0);
}

static int patience(const struct serve *s)
{
    unsigned long long at = s->is_leaving ? s->leave_at : 0, now = cli_now();

    for (const struct job *job = s->jobs; job; job = job->next) {
        if (job->kill_at && (!at || job->kill_at < at))
            at = job->kill_at;
        if (s->words->progress && job->n_out && (!at || now + 50 < at))
            at = now + 50; /* parts that could not be sent yet */
        if (job->pid && !job->has_ended && job->fd_pid < 0 && (!at || now + 50 < at))
            at = now + 50;
    }
    return !at ? -1 : at > now ? (int)(at - now) : 0;
}

static void turn(struct serve *s)
{
    struct pollfd fds[1 + MAX_PARALLEL * JOB_FDS] = { { peer_fd(s->peer), POLLIN, 0 } };
    struct pollfd *at[MAX_PARALLEL];
    struct job *running[MAX_PARALLEL];
    unsigned long n = 1, count[MAX_PARALLEL], n_running = 0;

    for (struct job *job = s->jobs; job && n_running < MAX_PARALLEL; job = job->next) {
        if (!job->pid || job->has_ended)
            continue;
        at[n_running] = &fds[n];
        running[n_running] = job;
        count[n_running] = job_fds(job, &fds[n]);
        n += count[n_running++];
    }
    if (cli_poll(fds, n, patience(s)) < 0)
        for (unsigned long i = 0; i < n; i++)
            fds[i].revents = 0;
    for (unsigned long i = 0; i < n_running; i++) {
        job_turn(running[i], at[i], count[i]);
        if (s->words->progress && running[i]->wants_parts)
            answer_parts(running[i]);
    }
}

static void run(struct serve *s)
{
    struct peer_event event;

    while (!s->is_over) {
        turn(s);
        while (!s->is_over && cli_next_event(s->peer, &event))
            on_event(s, &event);
        if (!s->is_over && cli_take_stop())
            on_signal(s);
        drop_ended(s);
        start_jobs(s);
        drop_ended(s); /* those that could not be started */
        check_leaving(s);
    }
    stop_all(s);
    drop_ended(s);
}

static int serve(struct serve *s, const char *procedure)
{
    const char *const capabilities[] = { s->capability, NULL };
    const struct peer_registration_options options = { .size = sizeof(options),
                                                       .match = s->words->match,
                                                       .invoke = s->words->invoke };
    struct peer_error error;

    signal(SIGPIPE, SIG_IGN); /* a command need not read what it is given */
    s->peer = rpc_open(s->cli, s->words, s->capability[0] ? capabilities : NULL, &s->status);
    if (!s->peer)
        return s->status;
    s->registration = peer_register(s->peer, procedure, &options, &error);
    if (s->registration)
        run(s);
    else
        s->status = rpc_fail(s->cli, "serve", &error, NULL);
    peer_free(s->peer);
    return s->status;
}

/* Below an ID, callers need <app>.<method>: what they may call is the capability call:<app>. */
static int take_name(struct serve *s, const char *procedure)
{
    bool is_pattern = s->words->match && strcmp(s->words->match, "exact") != 0;
    char id[16], app[72], whole[400];

    if (!rpc_name_split(procedure, id, app))
        return 0;
    snprintf(whole, sizeof(whole), "peer.%s.%s", id, app);
    if (strcmp(whole, procedure) == 0 && !is_pattern)
        return rpc_usage(s->words,
                         "nobody could call \"%s\": name it me.APP.METHOD, for example me.%s.run",
                         procedure, app);
    if (strcmp(id, s->own_id) == 0)
        snprintf(s->capability, sizeof(s->capability), "call:%s", app);
    return 0;
}

int cli_serve(struct cli *cli, int argc, char **argv)
{
    struct rpc_words words;
    struct serve s = { .cli = cli, .words = &words };
    struct peer_identity own;
    struct peer_error error;
    char *procedure = NULL;
    int status = rpc_words_read(cli, argc, argv, "pmiPal-", &words);

    if (status != 0)
        return status;
    if (words.n != 1)
        return rpc_usage(&words,
                         words.n ? "\"%s\" is one word too many: the command follows --"
                                 : "expected a procedure%s",
                         words.n ? words.word[1] : "");
    if (!words.command || !words.command[0])
        return rpc_usage(&words, "expected -- and a command");
    if (words.max_parallel > MAX_PARALLEL)
        return rpc_usage(&words, "--max-parallel: at most %d", MAX_PARALLEL);
    status = rpc_name(cli, &words, words.word[0], s.own_id, &procedure);
    if (status == 0)
        status = take_name(&s, procedure);
    if (status == 0 && peer_identity_load(cli->state_dir, &own, &error))
        snprintf(s.network, sizeof(s.network), "%s", own.network);
    s.world = (struct job_world){ words.command, s.own_id, s.network };
    if (status == 0)
        status = serve(&s, procedure);
    free(procedure);
    return status;
}
