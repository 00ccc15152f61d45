/* SPDX-License-Identifier: Apache-2.0 */
/* One end of a link, for the figures of `link`, on the public header: link_end [--plain] [--loopback] STATE serve | ID FIGURE ...
 *
 *     bulk WARM COUNTED     Mbit/s of one stream in COUNTED seconds, after WARM; counted by who receives
 *     ping N                microseconds of N round trips of 64 bytes: median and p99
 *     input SECONDS         milliseconds of the round trips of 64 urgent bytes, 50 a second: p99 of an idle link, and beside a bulk stream
 *     idle N                bytes of memory that each of N more idle links takes
 *
 * The dialling end waits for a direct path, and prints a line of JSON. --plain: a kernel that gives a link no socket of its own beside
 * libnice's: the system call that does is refused. */
#include "base/clock.h"
#include "base/mem.h"
#include "peer.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MESSAGE = 64, EVERY_MS = 20, MAX_LINKS = 8, SETTLE_MS = 3000, MAX_SAMPLES = 1 << 20 };

static const char *const capabilities[] = { "chat", NULL };
static uint8_t block[65536];

static struct peer *peer;
static struct peer_link *links[MAX_LINKS];
static size_t n_links, n_up;
static bool is_joined;

/* ---- what is counted ---- */

static double *samples;
static size_t n_samples;

static void add_sample(double value)
{
    if (n_samples < MAX_SAMPLES)
        samples[n_samples++] = value;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static double part_of(double part) /* of the samples; 0.5 is the median */
{
    qsort(samples, n_samples, sizeof(*samples), by_value);
    return n_samples ? samples[(size_t)((double)(n_samples - 1) * part)] : 0;
}

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "link_end: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(1);
}

/* ---- the serving end: streams of two kinds, told apart by their argument ---- */

struct sink { /* "sink WARM COUNTED", milliseconds; NULL instead of one: echo */
    uint64_t warm, counted, begin, bytes;
};

static void take(struct peer_stream *stream, struct sink *sink, size_t n)
{
    uint64_t now = clock_mono_us(), from;
    char text[64];

    if (!sink->begin)
        sink->begin = now;
    from = sink->begin + sink->warm * 1000;
    if (now < from)
        return;
    sink->bytes += n;
    if (!sink->counted || now < from + sink->counted * 1000)
        return;
    snprintf(text, sizeof(text), "%.1f\n", (double)sink->bytes * 8 / (double)(now - from));
    peer_stream_write(stream, text, strlen(text));
    sink->counted = 0;
}

static void serve_stream(struct peer_stream *stream)
{
    struct sink *sink = peer_stream_user(stream);
    bool has_ended;
    size_t n;

    while ((n = peer_stream_read(stream, block, sizeof(block), &has_ended)) > 0) {
        if (sink)
            take(stream, sink, n);
        else
            peer_stream_write(stream, block, n); /* pings: there is room */
    }
}

static void on_stream(const struct peer_event *event)
{
    struct sink *sink = NULL;

    if (strncmp(event->argument, "sink", 4) == 0) {
        sink = mem_new(struct sink);
        if (sscanf(event->argument, "sink %lu %lu", &sink->warm, &sink->counted) != 2)
            die("%s: not sink WARM COUNTED", event->argument);
    }
    peer_stream_set_user(event->stream, sink);
}

/* ---- events ---- */

static bool is_writable;

static void on_event(const struct peer_event *event)
{
    struct peer_error error;

    switch ((int)event->type) {
    case PEER_EVENT_JOINED:
        is_joined = true;
        break;
    case PEER_EVENT_INCOMING:
        if (!peer_link_accept(event->link, NULL, &error))
            die("%s", error.text);
        break;
    case PEER_EVENT_LINK_UP:
        n_up++;
        break;
    case PEER_EVENT_LINK_DOWN:
        if (n_links)
            die("the link is down: %s", event->error.text);
        break;
    case PEER_EVENT_STREAM:
        on_stream(event);
        break;
    case PEER_EVENT_READABLE:
        if (!n_links)
            serve_stream(event->stream);
        break;
    case PEER_EVENT_WRITABLE:
        is_writable = true;
        break;
    case PEER_EVENT_STREAM_CLOSED:
        free(peer_stream_user(event->stream));
        break;
    case PEER_EVENT_FAILED:
        die("%s", event->error.text);
    default:
        break;
    }
}

static void wait_events(int timeout_ms)
{
    struct pollfd fd = { peer_fd(peer), POLLIN, 0 };
    struct peer_event event;

    if (poll(&fd, 1, timeout_ms) < 0 && errno != EINTR)
        die("poll: %s", strerror(errno));
    while (peer_next_event(peer, &event))
        on_event(&event);
}

/* ---- the dialling end ---- */

static bool is_direct(struct peer_link *link)
{
    struct peer_link_facts facts = { 0 };

    return peer_link_facts(link, &facts) && strcmp(facts.path_kind, "direct") == 0;
}

static void dial(const char *id, size_t n)
{
    uint64_t until = clock_mono_ms() + 30000;
    struct peer_error error;
    size_t from = n_links;

    for (size_t i = 0; i < n; i++) {
        links[n_links] = peer_dial(peer, id, capabilities, &error);
        if (!links[n_links])
            die("%s", error.text);
        n_links++;
        while (n_up < n_links) /* one after the other: a caller may have few calls unanswered */
            wait_events(-1);
    }
    for (size_t i = from; i < n_links; i++)
        while (!is_direct(links[i]) && clock_mono_ms() < until)
            wait_events(100);
    if (clock_mono_ms() >= until)
        die("there was no direct path in time");
}

static struct peer_stream *open_stream(const char *argument, unsigned urgency)
{
    struct peer_error error;
    struct peer_stream *stream = peer_stream_open(links[0], "chat", argument, &error);

    if (!stream)
        die("%s", error.text);
    peer_stream_set_urgency(stream, urgency);
    return stream;
}

static void fill(struct peer_stream *stream)
{
    while (peer_stream_write(stream, block, sizeof(block)) == sizeof(block))
        ;
    is_writable = false;
}

static void bulk(const char *warm, const char *counted)
{
    char argument[64], answer[64] = "";
    struct peer_stream *stream;
    bool has_ended = false;
    size_t n;

    snprintf(argument, sizeof(argument), "sink %.0f %.0f", atof(warm) * 1000, atof(counted) * 1000);
    stream = open_stream(argument, 3);
    fill(stream);
    do {
        wait_events(-1);
        if (is_writable)
            fill(stream);
        n = peer_stream_read(stream, answer, sizeof(answer) - 1, &has_ended);
    } while (!n && !has_ended);
    printf("{\"value\": %.1f}\n", atof(answer));
}

/* One message there and back; microseconds. */
static double round_trip(struct peer_stream *stream, struct peer_stream *beside)
{
    uint64_t begin = clock_mono_ns();
    uint8_t message[MESSAGE];
    bool has_ended;
    size_t n = 0;

    memcpy(message, &begin, sizeof(begin));
    peer_stream_write(stream, message, sizeof(message));
    while (n < sizeof(message)) {
        n += peer_stream_read(stream, message + n, sizeof(message) - n, &has_ended);
        if (n < sizeof(message))
            wait_events(-1);
        if (beside && is_writable)
            fill(beside);
    }
    return (double)(clock_mono_ns() - begin) / 1000;
}

static void ping(const char *times)
{
    struct peer_stream *stream = open_stream("echo", 0);

    for (int i = 0; i < 200; i++)
        round_trip(stream, NULL);
    for (long i = 0; i < strtol(times, NULL, 10); i++)
        add_sample(round_trip(stream, NULL));
    printf("{\"value\": %.1f, \"p99\": %.1f}\n", part_of(0.5), part_of(0.99));
}

static double input_for(struct peer_stream *stream, struct peer_stream *beside, double seconds)
{
    uint64_t until = clock_mono_ms() + (uint64_t)(seconds * 1000), next = clock_mono_ms();

    n_samples = 0;
    while (clock_mono_ms() < until) {
        add_sample(round_trip(stream, beside) / 1000);
        for (next += EVERY_MS; clock_mono_ms() < next;) {
            wait_events((int)(next - clock_mono_ms()));
            if (beside && is_writable)
                fill(beside);
        }
    }
    return part_of(0.99);
}

static void input(const char *seconds)
{
    struct peer_stream *urgent = open_stream("echo", 0), *beside;
    double idle = input_for(urgent, NULL, atof(seconds)), median, busy;

    beside = open_stream("sink 0 0", 7);
    fill(beside);
    input_for(urgent, beside, 3); /* it fills the path meanwhile */
    busy = input_for(urgent, beside, atof(seconds));
    median = part_of(0.5);
    printf("{\"value\": %.1f, \"idle\": %.1f, \"median\": %.1f}\n", busy, idle, median);
}

static double resident(void)
{
    unsigned long size, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (!file || fscanf(file, "%lu %lu", &size, &pages) != 2)
        die("/proc/self/statm: %s", strerror(errno));
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void settle(void)
{
    uint64_t until = clock_mono_ms() + SETTLE_MS;

    while (clock_mono_ms() < until)
        wait_events(100);
    malloc_trim(0);
}

static void idle(const char *id, const char *number)
{
    size_t n = strtoul(number, NULL, 10);
    double heap, before;

    if (n < 1 || n + n_links > MAX_LINKS)
        die("idle: 1 to %d", MAX_LINKS - 1);
    settle();
    before = resident();
    heap = (double)mallinfo2().uordblks;
    dial(id, n);
    settle();
    printf("{\"value\": %.0f, \"heap\": %.0f}\n", (resident() - before) / (double)n,
           ((double)mallinfo2().uordblks - heap) / (double)n);
}

/* ---- a kernel that refuses ---- */

/* SO_ATTACH_REUSEPORT_CBPF is what a socket beside libnice's cannot do without. */
static void refuse_own_sockets(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setsockopt, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SO_ATTACH_REUSEPORT_CBPF, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof(code) / sizeof(*code), code };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        die("seccomp: %s", strerror(errno));
}

static void run(const char *id, int argc, char **argv)
{
    const char *figure = argv[0], *first = argc > 1 ? argv[1] : "1",
               *second = argc > 2 ? argv[2] : "1";

    dial(id, 1);
    if (strcmp(figure, "bulk") == 0)
        bulk(first, second);
    else if (strcmp(figure, "ping") == 0)
        ping(first);
    else if (strcmp(figure, "input") == 0)
        input(first);
    else if (strcmp(figure, "idle") == 0)
        idle(id, first);
    else
        die("%s: no such figure", figure);
    fflush(stdout);
    _exit(0); /* nothing is to be taken down in order */
}

int main(int argc, char **argv)
{
    struct peer_config config = { .size = sizeof(config), .capabilities = capabilities };
    struct peer_error error;

    for (; argc > 1 && strncmp(argv[1], "--", 2) == 0; argc--, argv++) {
        if (strcmp(argv[1], "--plain") == 0)
            refuse_own_sockets();
        else if (strcmp(argv[1], "--loopback") == 0)
            config.allow_loopback = true;
    }
    if (argc < 3 || (strcmp(argv[2], "serve") != 0 && argc < 4))
        die("usage: link_end [--plain] [--loopback] STATE serve | ID bulk|ping|input|idle ...");
    samples = mem_resize(NULL, MAX_SAMPLES, sizeof(*samples));
    config.state_dir = argv[1];
    peer = peer_new(&config, &error);
    if (!peer)
        die("%s", error.text);
    while (!is_joined)
        wait_events(-1);
    if (strcmp(argv[2], "serve") != 0)
        run(argv[2], argc - 3, argv + 3);
    printf("ready\n");
    fflush(stdout);
    for (;;)
        wait_events(-1);
}
