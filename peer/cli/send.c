/* SPDX-License-Identifier: Apache-2.0 */
/* `warren send FILE... ID`: one after another over one link. The file is hashed as it is read, so nothing is read twice; what the
 * other side has of it from an earlier try is sent again only when it is not the same. */
#include "file.h"
#include "line.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum stage { STAGE_ASKED, STAGE_BYTES, STAGE_TOLD, STAGE_DONE };

struct send {
    struct line line;
    int at; /* which of line.word[] */
    enum stage stage;
    struct peer_stream *stream;
    int fd;
    const char *name;
    uint64_t size, read_at;
    struct file_hash *hash;
    struct file_line said; /* by the other side */
    struct file_progress progress;
    char out[FILE_CHUNK]; /* read, not yet written */
    size_t out_at, n_out;
    char hex[FILE_HEX];
};

static const char *const caps[] = { "file", NULL };

static void fail(struct send *s, const char *why)
{
    cli_say("warren: send: %s: %s", s->name ? s->name : "", why);
    line_end(&s->line, 1);
}

/* ---- a file ---- */

static void close_file(struct send *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    file_hash_free(s->hash);
    s->hash = NULL;
}

static bool open_file(struct send *s, const char *path)
{
    const char *slash = strrchr(path, '/');
    struct stat st;

    s->name = slash ? slash + 1 : path;
    s->fd = open(path,
                 O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe without a writer does not keep us */
    if (s->fd < 0 || fstat(s->fd, &st) < 0) {
        cli_say("warren: send: %s: %s", path, strerror(errno));
        return false;
    }
    if (!S_ISREG(st.st_mode) || *s->name == '\0' || strlen(s->name) >= FILE_NAME) {
        cli_say("warren: send: %s: %s", path,
                S_ISREG(st.st_mode) ? "its name is too long" : "not a file");
        return false;
    }
    s->size = (uint64_t)st.st_size;
    return true;
}

static void next_file(struct send *s)
{
    char argument[FILE_NAME + 32];
    struct peer_error error;

    close_file(s);
    if (s->at == s->line.n - 1) { /* the last word is whom */
        peer_link_close(s->line.link, "done");
        line_end(&s->line, 0);
        return;
    }
    if (!open_file(s, s->line.word[s->at++])) {
        line_end(&s->line, 1);
        return;
    }
    snprintf(argument, sizeof(argument), "%llu %s", (unsigned long long)s->size, s->name);
    s->hash = file_hash_new();
    s->stage = STAGE_ASKED;
    s->said.n = 0;
    s->out_at = s->n_out = 0;
    s->stream = peer_stream_open(s->line.link, "file", argument, &error);
    if (!s->stream)
        line_end(&s->line, cli_fail(s->line.cli, "send", &error));
}

/* ---- what is said, and answered ---- */

/* "at N HASH": whether its N bytes are our first N decides where we begin. */
static void on_at(struct send *s, const char *rest)
{
    char ours[FILE_HEX];
    uint64_t n;

    if (!file_number(&rest, &n) || *rest++ != ' ' || strlen(rest) != FILE_HEX - 1) {
        fail(s, "the other side answered what cannot be understood");
        return;
    }
    if (n && n <= s->size && file_hash_prefix(s->hash, s->fd, n)) {
        file_hash_hex(s->hash, ours);
        if (strcmp(ours, rest) != 0)
            n = 0;
    } else {
        n = 0;
    }
    if (n == 0) {
        file_hash_free(s->hash);
        s->hash = file_hash_new();
    }
    s->read_at = n;
    s->n_out = (size_t)snprintf(s->out, sizeof(s->out), "from %llu\n", (unsigned long long)n);
    s->stage = STAGE_BYTES;
    file_progress_start(&s->progress, "sending", s->name, n, s->size);
}

static void on_said(struct send *s)
{
    const char *text = s->said.text;

    if (strncmp(text, "no ", 3) == 0) {
        fprintf(stderr, "warren: send: ");
        cli_put_safe(stderr, s->name, strlen(s->name));
        fprintf(stderr, ": the other side does not take it: ");
        cli_put_safe(stderr, text + 3, strlen(text + 3));
        fputc('\n', stderr);
        cli_put_cause("declined", "ask the person at the other end",
                      "%s: the other side does not take it: %s", s->name, text + 3);
        line_end(&s->line, 1);
    } else if (s->stage == STAGE_ASKED && strncmp(text, "at ", 3) == 0) {
        on_at(s, text + 3);
    } else if (s->stage == STAGE_TOLD && strcmp(text, "ok") == 0) {
        s->stage = STAGE_DONE;
        s->progress.verb = "sent";
        s->progress.done = s->size;
        file_progress_end(&s->progress, s->hex);
    } else {
        fail(s, "the other side answered what cannot be understood");
    }
    s->said.n = 0;
}

static void read_said(struct send *s)
{
    bool is_end = false;
    char byte[256];
    size_t n;

    while (s->stream && (n = peer_stream_read(s->stream, byte, sizeof(byte), &is_end)) > 0) {
        for (size_t i = 0; i < n && !s->line.is_over; i++) {
            if (file_line_add(&s->said, byte[i]))
                on_said(s);
        }
    }
}

/* ---- the bytes ---- */

static bool read_more(struct send *s)
{
    uint64_t left = s->size - s->read_at;
    ssize_t n;

    s->out_at = s->n_out = 0;
    if (left == 0) {
        file_hash_hex(s->hash, s->hex);
        s->n_out = (size_t)snprintf(s->out, sizeof(s->out), "%s\n", s->hex);
        s->stage = STAGE_TOLD;
        return true;
    }
    n = pread(s->fd, s->out, left < sizeof(s->out) ? (size_t)left : sizeof(s->out),
              (off_t)s->read_at);
    if (n <= 0) {
        fail(s, n < 0 ? strerror(errno) : "it became shorter while it was sent");
        return false;
    }
    file_hash_add(s->hash, s->out, (size_t)n);
    s->n_out = (size_t)n;
    s->read_at += (uint64_t)n;
    return true;
}

static void pump(struct send *s)
{
    while (s->stream && !s->line.is_over && (s->stage == STAGE_BYTES || s->stage == STAGE_TOLD)) {
        size_t left = s->n_out - s->out_at,
               n = left ? peer_stream_write(s->stream, s->out + s->out_at, left) : 0;
        s->out_at += n;
        if (n < left)
            break;
        if (s->stage == STAGE_TOLD) {
            peer_stream_finish(s->stream);
            break;
        }
        if (!read_more(s))
            break;
    }
    if (s->stage == STAGE_BYTES)
        file_progress(&s->progress, s->read_at - (s->n_out - s->out_at));
}

/* ---- */

static void on_closed(struct send *s, const struct peer_event *event)
{
    read_said(s);
    s->stream = NULL;
    if (s->line.is_over)
        return;
    if (s->stage == STAGE_DONE)
        next_file(s);
    else
        fail(s, event->error.name[0] ? event->error.text
                                     : "the other side ended before it said that it has it");
}

static void on_event(struct send *s, const struct peer_event *event)
{
    if (event->type == PEER_EVENT_STREAM_CLOSED && event->stream == s->stream)
        on_closed(s, event);
    if (event->type == PEER_EVENT_LINK_DOWN && event->link == s->line.link)
        s->stream = NULL;
    line_event(&s->line, event);
    if (event->type == PEER_EVENT_LINK_UP && event->link == s->line.link)
        next_file(s);
    if (event->type == PEER_EVENT_STREAM)
        peer_stream_reset(event->stream, 0); /* only we open them */
    if (event->type == PEER_EVENT_READABLE && event->stream == s->stream)
        read_said(s);
    if (event->type == PEER_EVENT_LINK_DOWN && s->line.is_over && s->fd >= 0)
        s->line.status = 1; /* in the middle of a file */
}

static int run(struct send *s)
{
    struct line *line = &s->line;
    struct peer_event event;

    if (!line_open(line))
        return line->status;
    while (!line->is_over && !cli_stopped()) {
        cli_wait(line->peer, -1, line_left(line));
        while (!line->is_over && cli_next_event(line->peer, &event))
            on_event(s, &event);
        pump(s);
        line_check(line);
    }
    if (!line->is_over)
        line_end(line, 128 + cli_stopped());
    peer_free(line->peer);
    return line->status;
}

/* All are there before anybody is called. */
static int check_files(struct send *s)
{
    for (int i = 0; i < s->line.n - 1; i++) {
        bool ok = open_file(s, s->line.word[i]);
        close_file(s);
        if (!ok)
            return 1;
    }
    return 0;
}

int cli_send(struct cli *cli, int argc, char **argv)
{
    static struct send s;
    struct line *line = &s.line;
    int status;

    s = (struct send){ .line = { .cli = cli,
                                 .verb = "send",
                                 .usage = "send FILE... ID|NAME [--path WHICH] [--loopback]",
                                 .caps = caps },
                       .fd = -1 };
    status = line_words(line, argc, argv);
    if (status == 0 && line->n < 2)
        status = line_usage(line, "expected a file, and an ID or a name");
    if (status == 0)
        status = cli_whom(line->cli, line->verb, line->word[line->n - 1], line->whom);
    if (status == 0)
        status = check_files(&s);
    if (status == 0)
        status = run(&s);
    close_file(&s);
    return status;
}
