/* SPDX-License-Identifier: Apache-2.0 */
/* `warren chat`: lines of standard input go to the other side, its lines come out on standard output. One conversation at a
 * time; who calls meanwhile is told that we are busy. */
#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <termios.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 8192 };

struct chat {
    const struct cli *cli;
    struct peer *peer;
    struct peer_link *link; /* the conversation, or the call being asked about */
    struct peer_stream *stream;
    char remote_id[CLI_WHOM];
    bool is_caller, is_asking /* the person, whether to accept */, is_up;
    struct cli_ready_wait ready; /* the caller's */
    bool input_ended, we_ended, they_ended, is_over;
    unsigned n_calls; /* taken or asked about */
    int status;
    char in[LINE_MAX_BYTES]; /* typed, not yet sent */
    size_t n_in;
    char line[LINE_MAX_BYTES]; /* received, no newline yet */
    size_t n_line;
    char path[256]; /* as it was said last */
};

static const char *const wanted[] = { "chat", NULL };

static void put_facts(const struct chat *chat, FILE *out, const struct peer_link_facts *f)
{
    fprintf(out, "{");
    cli_json_network(out, chat->peer);
    fprintf(out, ",\n \"remote_id\": ");
    cli_json_text(out, f->remote_id);
    fprintf(out, ",\n \"path\": {\"kind\": ");
    cli_json_text(out, f->path_kind);
    fprintf(out, ", \"local\": ");
    cli_json_text(out, f->path_local);
    fprintf(out, ", \"remote\": ");
    cli_json_text(out, f->path_remote);
    fprintf(out, "},\n \"tls\": {\"version\": ");
    cli_json_text(out, f->tls_version);
    fprintf(out, ", \"cipher\": ");
    cli_json_text(out, f->cipher);
    fprintf(out, ", \"alpn\": ");
    cli_json_text(out, f->alpn);
    fprintf(out, ", \"verified\": ");
    cli_json_text(out, f->verified_name);
    fprintf(out, "}");
    const struct {
        const char *name, *key;
        const void *bytes, *signature;
        size_t size;
    } statements[] = {
        { "grant", f->grant_key, f->grant, f->grant_signature, f->grant_size },
        { "dial", f->dial_key, f->dial, f->dial_signature, f->dial_size },
        { "accept", f->accept_key, f->accept, f->accept_signature, f->accept_size },
    };
    for (size_t i = 0; i < sizeof(statements) / sizeof(*statements); i++) {
        fprintf(out, ",\n \"%s\": {\"bytes\": ", statements[i].name);
        cli_json_hex(out, statements[i].bytes, statements[i].size);
        fprintf(out, ", \"signature\": ");
        cli_json_hex(out, statements[i].signature, statements[i].signature ? 64 : 0);
        fprintf(out, ", \"public_key\": ");
        cli_json_text(out, statements[i].key);
        fprintf(out, "}");
    }
    fprintf(out, ",\n \"ends_at\": %llu", (unsigned long long)f->ends_at);
    fprintf(out, ",\n \"caller\": %s}\n", chat->is_caller ? "true" : "false");
}

static void write_facts(const struct chat *chat, const struct peer_link_facts *facts)
{
    FILE *out = fopen(chat->cli->facts_file, "we");

    if (!out) {
        cli_say("warren: chat: %s: %s", chat->cli->facts_file, strerror(errno));
        return;
    }
    put_facts(chat, out, facts);
    if (fclose(out) != 0)
        cli_say("warren: chat: %s: %s", chat->cli->facts_file, strerror(errno));
}

/* Once: the move that an event tells may be in the facts before. */
static void say_path_once(struct chat *chat, const struct peer_link_facts *facts)
{
    char path[sizeof(chat->path)];

    snprintf(path, sizeof(path), "path %s: %s <-> %s", facts->path_kind, facts->path_local,
             facts->path_remote);
    if (strcmp(path, chat->path) == 0)
        return;
    memcpy(chat->path, path, sizeof(path));
    cli_say("%s", path);
}

static void say_facts(struct chat *chat)
{
    struct peer_link_facts facts;
    char id[24], when[CLI_TIME];

    if (!peer_link_facts(chat->link, &facts))
        return;
    cli_say("linked with %s: %s %s, verified as %s", cli_show_id(facts.remote_id, id),
            facts.tls_version, facts.cipher, facts.verified_name);
    cli_say("certificate of %s, by %s", facts.remote_subject, facts.remote_issuer);
    chat->path[0] = '\0';
    say_path_once(chat, &facts);
    cli_say("grant: %s", facts.grant_text);
    if (facts.ends_at)
        cli_say("it ends at %s", cli_show_time(facts.ends_at, when));
    if (chat->cli->facts_file)
        write_facts(chat, &facts);
}

static void say_path(struct chat *chat, const struct peer_link *link)
{
    struct peer_link_facts facts;

    if (link != chat->link || !peer_link_facts(link, &facts))
        return;
    say_path_once(chat, &facts);
    if (chat->cli->facts_file)
        write_facts(chat, &facts);
}

/* What was typed for one is not said to another, and does not answer a question that came later. */
static void drop_typed(struct chat *chat)
{
    struct pollfd fd = { STDIN_FILENO, POLLIN, 0 };
    char bytes[4096];

    chat->n_in = 0;
    if (isatty(STDIN_FILENO))
        tcflush(STDIN_FILENO, TCIFLUSH);
    while (!chat->input_ended && poll(&fd, 1, 0) > 0)
        chat->input_ended = read(STDIN_FILENO, bytes, sizeof(bytes)) <= 0;
}

/* The conversation is over: the caller leaves, who waits waits on. */
static void forget_link(struct chat *chat, int status)
{
    chat->link = NULL;
    chat->stream = NULL;
    chat->is_up = chat->is_asking = chat->we_ended = chat->they_ended = false;
    chat->n_line = 0;
    chat->n_in = 0;
    if (chat->is_caller || (chat->input_ended && status == 0)) {
        chat->is_over = true;
        chat->status = status;
    } else {
        cli_say("waiting for the next call");
    }
}

static void print_line(struct chat *chat)
{
    char id[24];

    printf("%s: ", cli_show_id(chat->remote_id, id));
    cli_put_safe(stdout, chat->line, chat->n_line);
    putchar('\n');
    fflush(stdout);
    chat->n_line = 0;
}

static void receive(struct chat *chat)
{
    char bytes[4096];
    bool is_end = false;
    size_t n;

    while ((n = peer_stream_read(chat->stream, bytes, sizeof(bytes), &is_end)) > 0) {
        for (size_t i = 0; i < n; i++) {
            if (bytes[i] != '\n')
                chat->line[chat->n_line++] = bytes[i];
            if (bytes[i] == '\n' || chat->n_line == sizeof(chat->line))
                print_line(chat);
        }
    }
    if (is_end && !chat->they_ended) {
        chat->they_ended = true;
        if (chat->n_line)
            print_line(chat);
        cli_say("the other side has said all it will");
    }
}

/* Sends what was typed; at the end of the input our half ends. */
static void send_typed(struct chat *chat)
{
    size_t n;

    if (!chat->stream || !chat->is_up)
        return;
    n = peer_stream_write(chat->stream, chat->in, chat->n_in);
    memmove(chat->in, chat->in + n, chat->n_in - n);
    chat->n_in -= n;
    if (chat->input_ended && chat->n_in == 0 && !chat->we_ended) {
        peer_stream_finish(chat->stream);
        chat->we_ended = true;
    }
}

static void close_if_done(struct chat *chat)
{
    if (chat->is_up && !chat->stream && chat->we_ended && chat->they_ended)
        peer_link_close(chat->link,
                        "done"); /* the stream is closed: all of ours was acknowledged */
}

static void answer_call(struct chat *chat, const struct cli_answer *answer)
{
    chat->is_asking = false;
    cli_answer_call(chat->cli, "chat", chat->link, answer);
}

static void on_incoming(struct chat *chat, const struct peer_event *event)
{
    if (chat->link) {
        peer_link_decline(event->link, "busy");
        return;
    }
    chat->link = event->link;
    snprintf(chat->remote_id, sizeof(chat->remote_id), "%s", event->remote_id);
    if (chat->n_calls++ > 0 || !chat->cli->accept || isatty(STDIN_FILENO))
        drop_typed(chat);
    cli_show_call(event);
    if (chat->cli->accept) {
        answer_call(chat, &(struct cli_answer){ .yes = true, .duration_ms = chat->cli->for_ms });
    } else if (chat->input_ended) {
        cli_say("nobody is here to ask; run with --accept to take calls without asking");
        answer_call(chat, &(struct cli_answer){ .reason = "declined" });
    } else {
        chat->is_asking = true;
        cli_ask_call();
    }
}

static void on_up(struct chat *chat)
{
    struct peer_error error;

    chat->is_up = true;
    say_facts(chat);
    if (chat->cli->sas && !peer_link_sas(chat->link, &error))
        cli_fail(chat->cli, "chat", &error);
    if (!chat->is_caller)
        return;
    chat->stream = peer_stream_open(chat->link, "chat", NULL, &error);
    if (!chat->stream) {
        cli_fail(chat->cli, "chat", &error);
        peer_link_close(chat->link, "no stream");
    }
}

static bool takes_changed_key(const struct chat *chat);
static void dial(struct chat *chat);

static void on_down(struct chat *chat, const struct peer_event *event)
{
    bool is_clean = chat->is_up && chat->they_ended;

    if (event->link != chat->link)
        return;
    if (chat->stream && chat->is_up)
        receive(chat);
    if (chat->is_asking)
        fputc('\n', stderr); /* the question is not answered any more */
    if (event->error.name[0] != '\0' && !is_clean) {
        cli_fail(chat->cli, "chat", &event->error);
        if (strcmp(event->error.name, "identity_changed") == 0 && takes_changed_key(chat)) {
            chat->link = NULL;
            dial(chat);
            return;
        }
        forget_link(chat, 1);
    } else {
        cli_say("the link is closed");
        forget_link(chat, 0);
    }
}

static bool is_digits(const char *text)
{
    return strspn(text, "0123456789") == strlen(text);
}

/* A known machine came with another key: the person decides, never this program. */
static bool takes_changed_key(const struct chat *chat)
{
    char before[65], now[65];
    struct peer_error error;

    if (!chat->is_caller || !is_digits(chat->remote_id) || !isatty(STDIN_FILENO) ||
        !peer_known_offered(chat->cli->state_dir, chat->remote_id, before, now, &error))
        return false;
    cli_say("fingerprint known:  %s\nfingerprint now:    %s", before, now);
    return cli_ask("Ask its owner on another way. Does it have the new key?") &&
           peer_known_accept(chat->cli->state_dir, chat->remote_id, now, &error);
}

static void dial(struct chat *chat)
{
    struct peer_error error;
    char id[24];

    if (!chat->is_caller || chat->link)
        return;
    chat->link = peer_dial(chat->peer, chat->remote_id, wanted, &error);
    if (!chat->link) {
        chat->is_over = true;
        chat->status = cli_fail(chat->cli, "chat", &error);
        return;
    }
    cli_say("dialling %s",
            is_digits(chat->remote_id) ? cli_show_id(chat->remote_id, id) : chat->remote_id);
}

static void on_ready(struct chat *chat)
{
    struct peer_identity identity;
    char id[24];

    if (peer_identity(chat->peer, &identity))
        cli_say("this machine is %s in %s", cli_show_id(identity.id, id), identity.network);
    if (chat->is_caller)
        dial(chat);
    else
        cli_say("waiting for a call");
}

static void on_stream(struct chat *chat, const struct peer_event *event)
{
    if (event->link != chat->link || chat->stream) {
        peer_stream_reset(event->stream, 0);
        return;
    }
    chat->stream = event->stream;
    receive(chat);
    send_typed(chat);
}

/* A person who dials is told rather than kept waiting. */
static void on_offline(struct chat *chat, const struct peer_event *event)
{
    if (cli_ready_offline(&chat->ready, chat->peer, event, chat->is_up))
        return;
    chat->is_over = true;
    chat->status = cli_fail(chat->cli, "chat", &event->error);
}

/* What only is said. */
static void say_event(struct chat *chat, const struct peer_event *event)
{
    char id[24];

    switch (event->type) {
    case PEER_EVENT_REFUSED:
        cli_say("a call of %s was refused", cli_show_id(event->remote_id, id));
        cli_fail(chat->cli, "chat", &event->error);
        break;
    case PEER_EVENT_ALARM:
        cli_say("alarm: %s; no new links are made", event->error.text);
        break;
    case PEER_EVENT_RINGING:
        cli_say("ringing");
        break;
    case PEER_EVENT_REKEYED:
        if (event->remote_id)
            cli_say("%s has a new identity key; its old one signed for it",
                    cli_show_id(event->remote_id, id));
        break;
    case PEER_EVENT_WAITING:
        cli_say("this machine waits for approval; its code is %s", event->code);
        break;
    case PEER_EVENT_SAS:
        cli_say("compare with the other side, on the phone: %s", event->code);
        break;
    case PEER_EVENT_CLONED:
    case PEER_EVENT_CLOCK:
    case PEER_EVENT_NAME_MOVED:
        cli_say("%s: %s\nwhat to do: %s", event->error.name, event->error.text,
                event->error.remedy);
        break;
    case PEER_EVENT_PATH:
        say_path(chat, event->link);
        break;
    default: /* nothing is called, served or examined here */
        break;
    }
}

static void on_stream_closed(struct chat *chat, const struct peer_event *event)
{
    if (event->stream != chat->stream)
        return;
    receive(chat);
    chat->stream = NULL;
    chat->we_ended = chat->they_ended = true;
}

static void on_event(struct chat *chat, const struct peer_event *event)
{
    switch (event->type) {
    case PEER_EVENT_JOINED:
        cli_ready_joined(&chat->ready);
        on_ready(chat);
        break;
    case PEER_EVENT_ONLINE:
        cli_ready_online(&chat->ready);
        break;
    case PEER_EVENT_OFFLINE:
        on_offline(chat, event);
        break;
    case PEER_EVENT_FAILED:
        chat->is_over = true;
        chat->status = cli_fail(chat->cli, "chat", &event->error);
        break;
    case PEER_EVENT_INCOMING:
        on_incoming(chat, event);
        break;
    case PEER_EVENT_LINK_UP:
        on_up(chat);
        break;
    case PEER_EVENT_LINK_DOWN:
        on_down(chat, event);
        break;
    case PEER_EVENT_STREAM:
        on_stream(chat, event);
        break;
    case PEER_EVENT_READABLE:
        if (event->stream == chat->stream)
            receive(chat);
        break;
    case PEER_EVENT_STREAM_CLOSED:
        on_stream_closed(chat, event);
        break;
    default:
        say_event(chat, event);
    }
}

static void read_input(struct chat *chat)
{
    ssize_t n = read(STDIN_FILENO, chat->in + chat->n_in, sizeof(chat->in) - chat->n_in);
    char *newline;

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0)
        chat->input_ended = true;
    else
        chat->n_in += (size_t)n;
    if (n > 0 && !isatty(STDIN_FILENO))
        cli_only_once(); /* a script's words are not said twice, nor by halves */
    if (!chat->is_asking)
        return;
    newline = memchr(chat->in, '\n', chat->n_in);
    if (newline || chat->input_ended) {
        size_t used = newline ? (size_t)(newline - chat->in) + 1 : chat->n_in;
        struct cli_answer answer = cli_read_answer(chat->in, newline ? used - 1 : used);
        memmove(chat->in, chat->in + used, chat->n_in - used);
        chat->n_in -= used;
        answer_call(chat, &answer);
    }
}

/* What is typed is read when there is a place for it: a conversation, or a question. */
static bool wants_input(const struct chat *chat)
{
    if (chat->input_ended || chat->n_in == sizeof(chat->in))
        return false;
    return chat->is_asking || (chat->is_up && chat->stream);
}

static void run(struct chat *chat)
{
    struct peer_event event;

    while (!chat->is_over && !cli_stopped()) {
        if (cli_wait(chat->peer, wants_input(chat) ? STDIN_FILENO : -1,
                     cli_ready_left(&chat->ready)) &
            CLI_INPUT)
            read_input(chat);
        while (!chat->is_over && cli_next_event(chat->peer, &event))
            on_event(chat, &event);
        send_typed(chat);
        close_if_done(chat);
        if (!chat->is_over && cli_ready_left(&chat->ready) == 0) {
            chat->is_over = true;
            chat->status = cli_ready_over(chat->cli, "chat", &chat->ready);
        }
    }
    if (chat->is_over)
        return;
    cli_say("hanging up");
    chat->status = 128 + cli_stopped();
}

int cli_chat(const struct cli *cli)
{
    static struct chat chat;
    struct peer_config config = { .size = sizeof(config),
                                  .state_dir = cli->state_dir,
                                  .capabilities = wanted,
                                  .allow_loopback = cli->loopback,
                                  .path = cli->path };

    chat = (struct chat){ .cli = cli, .is_caller = cli->argument != NULL };
    chat.ready.dials = chat.is_caller;
    if (chat.is_caller && (chat.status = cli_whom(cli, "chat", cli->argument, chat.remote_id)) != 0)
        return chat.status;
    chat.peer = cli_open(cli, "chat", &config);
    if (!chat.peer)
        return 1;
    cli_catch_signals(); /* the prompt had its own way with them */
    run(&chat);
    peer_free(chat.peer); /* closes the link, and tells den */
    return chat.status;
}
