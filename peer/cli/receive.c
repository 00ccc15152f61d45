/* SPDX-License-Identifier: Apache-2.0 */
/* `warren receive [DIR]`: files that are sent to this machine come into a folder. Nothing that is there is ever replaced. What comes
 * is written to .NAME.ID.part and gets its name when it is whole and its hash is right; what broke off stays, and goes on when the same
 * machine sends it again. */
#include "file.h"
#include "line.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { MAX_FILES = 64, PART_NAME = FILE_NAME + 32 };
enum stage { STAGE_FROM, STAGE_BYTES, STAGE_HASH, STAGE_ANSWERED };

struct incoming {
    struct receive *receive;
    struct peer_link *link;
    struct peer_stream *stream;
    enum stage stage;
    int fd;
    char id[16], name[FILE_NAME], part[PART_NAME];
    uint64_t size, have;
    struct file_hash *hash;
    struct file_line said;
    struct file_progress progress;
    char out[FILE_LINE]; /* to be said */
    size_t out_at, n_out;
};
struct receive {
    struct line line;
    int dir;
    struct incoming *file[MAX_FILES];
    int n;
};

static const char *const caps[] = { "file", NULL };

/* ---- one file ---- */

static void file_free(struct incoming *f)
{
    if (f->stream)
        peer_stream_set_user(f->stream, NULL);
    if (f->fd >= 0)
        close(f->fd); /* and with it the lock */
    file_hash_free(f->hash);
    free(f);
}

/* The last thing that is said; what comes after it is not looked at. */
static void answer(struct incoming *f, const char *text)
{
    f->n_out = (size_t)snprintf(f->out, sizeof(f->out), "%s\n", text);
    f->out_at = 0;
    f->stage = STAGE_ANSWERED;
}

static void refuse(struct incoming *f, const char *reason)
{
    char text[FILE_LINE - 1], id[24];

    fprintf(stderr, "not taken from %s: ", cli_show_id(f->id, id));
    cli_put_safe(stderr, f->name, strlen(f->name));
    fprintf(stderr, ": %s\n", reason);
    snprintf(text, sizeof(text), "no %.300s", reason);
    answer(f, text);
}

/* A name without folders that no terminal and no shell start-up file falls for. */
static bool take_name(struct incoming *f, const char *name)
{
    bool is_hidden = name[0] == '.';
    size_t len = strlen(name);

    for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
        if (*c < ' ' || *c == 127 || *c == '/')
            return false;
    }
    if (len == 0 || len + is_hidden >= FILE_NAME)
        return false;
    f->name[0] = '_';
    memcpy(f->name + is_hidden, name, len + 1);
    snprintf(f->part, sizeof(f->part), ".%s.%s.part", f->name, f->id);
    return true;
}

static bool has_room(const struct incoming *f)
{
    struct statvfs fs;

    return fstatvfs(f->receive->dir, &fs) != 0 ||
           f->size - f->have < (uint64_t)fs.f_bavail * fs.f_frsize;
}

static const char *open_part(struct incoming *f)
{
    struct stat st;

    f->fd = openat(f->receive->dir, f->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
                   0600);
    if (f->fd < 0 || fstat(f->fd, &st) < 0)
        return strerror(errno);
    if (!S_ISREG(st.st_mode))
        return "the place for it is taken";
    if (flock(f->fd, LOCK_EX | LOCK_NB) < 0)
        return "it is being received already";
    f->have = (uint64_t)st.st_size <= f->size ? (uint64_t)st.st_size : 0;
    if (!has_room(f))
        return "there is no room for it on the disk";
    if (f->have && !file_hash_prefix(f->hash, f->fd, f->have))
        return "what is there of it cannot be read";
    return NULL;
}

static void start(struct incoming *f, const char *argument)
{
    const char *at = argument, *wrong;
    char hex[FILE_HEX];

    if (!file_number(&at, &f->size) || *at++ != ' ' || !take_name(f, at)) {
        refuse(f, "its name cannot be taken");
        return;
    }
    f->hash = file_hash_new();
    wrong = open_part(f);
    if (wrong) {
        refuse(f, wrong);
        return;
    }
    file_hash_hex(f->hash, hex);
    f->n_out =
        (size_t)snprintf(f->out, sizeof(f->out), "at %llu %s\n", (unsigned long long)f->have, hex);
}

/* "from N": where it begins is what we said, or the beginning. */
static void on_from(struct incoming *f)
{
    const char *at = f->said.text + 5;
    uint64_t n;

    if (strncmp(f->said.text, "from ", 5) != 0 || !file_number(&at, &n) || *at != '\0' ||
        (n != 0 && n != f->have)) {
        refuse(f, "it was announced in a way that cannot be understood");
        return;
    }
    if (n == 0) {
        file_hash_free(f->hash);
        f->hash = file_hash_new();
    }
    f->have = n;
    if (ftruncate(f->fd, (off_t)n) < 0 || lseek(f->fd, (off_t)n, SEEK_SET) < 0) {
        refuse(f, strerror(errno));
        return;
    }
    f->said.n = 0;
    f->stage = n == f->size ? STAGE_HASH : STAGE_BYTES;
    file_progress_start(&f->progress, "receiving", f->name, n, f->size);
}

/* The first name of NAME, "NAME (1)", "NAME (2)" ... that is free. */
static bool give_name(struct incoming *f, char ret[FILE_NAME + 16])
{
    const char *dot = strrchr(f->name, '.');
    int stem = dot && dot != f->name ? (int)(dot - f->name) : (int)strlen(f->name);

    snprintf(ret, FILE_NAME + 16, "%s", f->name);
    for (int i = 1; i < 1000; i++) {
        if (renameat2(f->receive->dir, f->part, f->receive->dir, ret, RENAME_NOREPLACE) == 0)
            return true;
        if (errno != EEXIST)
            return false;
        snprintf(ret, FILE_NAME + 16, "%.*s (%d)%s", stem, f->name, i, f->name + stem);
    }
    return false;
}

static void say_taken(const struct incoming *f, const char *name, const char *hex)
{
    if (f->receive->line.cli->json) {
        printf("{\"file\": ");
        cli_json_text(stdout, name);
        printf(", \"from\": \"%s\", \"size\": %llu, \"sha256\": \"%s\"}\n", f->id,
               (unsigned long long)f->size, hex);
    } else {
        cli_put_safe(stdout, name, strlen(name));
        putchar('\n');
    }
    fflush(stdout);
}

static void on_hash(struct incoming *f)
{
    char hex[FILE_HEX], name[FILE_NAME + 16];

    file_hash_hex(f->hash, hex);
    if (strcmp(hex, f->said.text) != 0) {
        (void)!ftruncate(f->fd, 0); /* what is there is not the file */
        refuse(f, "its hash is another one; send it again");
        return;
    }
    if (fsync(f->fd) < 0 || !give_name(f, name) || fsync(f->receive->dir) < 0) {
        refuse(f, strerror(errno));
        return;
    }
    f->progress.verb = "received";
    f->progress.done = f->size;
    file_progress_end(&f->progress, hex);
    say_taken(f, name, hex);
    answer(f, "ok");
}

static size_t on_bytes(struct incoming *f, const char *bytes, size_t n)
{
    uint64_t left = f->size - f->have;
    size_t take = n < left ? n : (size_t)left;

    for (size_t at = 0; at < take;) {
        ssize_t done = write(f->fd, bytes + at, take - at);
        if (done < 0) {
            refuse(f, strerror(errno));
            return n;
        }
        at += (size_t)done;
    }
    file_hash_add(f->hash, bytes, take);
    f->have += take;
    file_progress(&f->progress, f->have);
    if (f->have == f->size)
        f->stage = STAGE_HASH;
    return take;
}

static void on_line(struct incoming *f)
{
    if (f->stage == STAGE_FROM)
        on_from(f);
    else
        on_hash(f);
}

static void take(struct incoming *f, const char *bytes, size_t n)
{
    while (n && f->stage != STAGE_ANSWERED) {
        size_t used = 1;
        if (f->stage == STAGE_BYTES)
            used = on_bytes(f, bytes, n);
        else if (file_line_add(&f->said, *bytes))
            on_line(f);
        bytes += used;
        n -= used;
    }
}

static void turn(struct incoming *f)
{
    static char bytes[FILE_CHUNK];
    bool is_end = false;
    size_t n;

    while (f->stream && (n = peer_stream_read(f->stream, bytes, sizeof(bytes), &is_end)) > 0)
        take(f, bytes, n);
    if (!f->stream)
        return;
    f->out_at += peer_stream_write(f->stream, f->out + f->out_at, f->n_out - f->out_at);
    if (f->stage == STAGE_ANSWERED && f->out_at == f->n_out)
        peer_stream_finish(f->stream);
}

/* ---- all of them ---- */

static void on_stream(struct receive *r, const struct peer_event *event)
{
    struct peer_link_facts facts;
    struct incoming *f;

    if (r->n == MAX_FILES || !peer_link_facts(event->link, &facts)) {
        peer_stream_reset(event->stream, 1);
        return;
    }
    f = calloc(1, sizeof(*f));
    if (!f)
        abort();
    f->receive = r;
    f->link = event->link;
    f->stream = event->stream;
    f->fd = -1;
    snprintf(f->id, sizeof(f->id), "%s", facts.remote_id);
    peer_stream_set_user(f->stream, f);
    r->file[r->n++] = f;
    start(f, event->argument);
    turn(f);
}

/* Its stream is over, or the link: what is whole has its name by now, and what is not stays for the next time. */
static void drop(struct receive *r, const struct incoming *f)
{
    for (int i = 0; i < r->n; i++) {
        if (r->file[i] != f)
            continue;
        if (f->stage != STAGE_ANSWERED)
            cli_say("%s broke off after %llu of %llu bytes; it goes on when it is sent again",
                    f->part, (unsigned long long)f->have, (unsigned long long)f->size);
        file_free(r->file[i]);
        r->file[i] = r->file[--r->n];
        return;
    }
}

static void on_event(struct receive *r, const struct peer_event *event)
{
    struct incoming *f = event->stream ? peer_stream_user(event->stream) : NULL;

    if (event->type == PEER_EVENT_STREAM)
        on_stream(r, event);
    else if (f)
        turn(f);
    if (event->type == PEER_EVENT_STREAM_CLOSED && f) {
        f->stream = NULL;
        drop(r, f);
    }
    for (int i = r->n - 1; event->type == PEER_EVENT_LINK_DOWN && i >= 0; i--) {
        if (r->file[i]->link != event->link)
            continue;
        turn(r->file[i]);
        r->file[i]->stream = NULL;
        drop(r, r->file[i]);
    }
    line_event(&r->line, event);
}

static void run(struct receive *r)
{
    struct line *line = &r->line;
    struct peer_event event;

    while (!line->is_over && !cli_stopped()) {
        if (cli_wait(line->peer, line_question(line), -1) & CLI_INPUT)
            line_answer(line);
        while (!line->is_over && cli_next_event(line->peer, &event))
            on_event(r, &event);
    }
    if (!line->is_over)
        line_end(line, 128 + cli_stopped());
    while (r->n)
        drop(r, r->file[0]);
    peer_free(line->peer);
}

int cli_receive(struct cli *cli, int argc, char **argv)
{
    static struct receive r;
    struct line *line = &r.line;
    const char *dir;
    int status;

    r = (struct receive){
        .line = { .cli = cli,
                  .verb = "receive",
                  .usage = "receive [DIR] [--accept] [--path WHICH] [--json] [--loopback]",
                  .caps = caps,
                  .takes_calls = true }
    };
    status = line_words(line, argc, argv);
    if (status == 0 && line->n > 1)
        status = line_usage(line, "one word too many: \"%s\"", line->word[1]);
    if (status != 0)
        return status;
    dir = line->n ? line->word[0] : ".";
    r.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r.dir < 0 || faccessat(r.dir, ".", W_OK, 0) < 0) {
        cli_say("warren: receive: %s: %s", dir, strerror(errno));
        return 1;
    }
    if (line_open(line))
        run(&r);
    close(r.dir);
    return line->status;
}
