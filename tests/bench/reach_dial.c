/* SPDX-License-Identifier: Apache-2.0 */
/* One end of a link, for the figures of `reach`: reach_dial STATE serve | dial ID [relay]. It says lines of JSON; `at` in them is the machine's
 * monotonic clock in microseconds, one for both ends.
 *
 * The serving end speaks first, as a screen does that is looked at, and sends back what comes. The dialling one waits for "dial" on standard
 * input, says when the other's first byte was there, when its own was back and over which path, when the link was on a direct one, and sends a
 * byte every 5 ms from then on. "mark" forgets what was; "gap" asks for the longest time without an answer since. */
#include "base/clock.h"
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EVERY_MS = 5 };

static const char *const capabilities[] = { "chat", NULL };
static const char *callee; /* NULL: we serve */
static struct peer *peer;
static struct peer_link *link_up;
static struct peer_stream *stream;
static uint64_t dialled_us, heard_us, longest_us;
static bool has_heard, is_direct;
static enum peer_path path;

static double since_dial(void)
{
    return (double)(clock_mono_us() - dialled_us) / 1000;
}

static void say_at(const char *what)
{
    printf("{\"said\": \"%s\", \"at\": %llu}\n", what, (unsigned long long)clock_mono_us());
}

static void say_path(const char *what)
{
    struct peer_link_facts facts = { 0 };

    if (!link_up || !peer_link_facts(link_up, &facts))
        return;
    printf("{\"said\": \"%s\", \"ms\": %.1f, \"path\": \"%s\"}\n", what, since_dial(),
           facts.path_kind);
    if (strcmp(facts.path_kind, "direct") == 0 && !is_direct) {
        is_direct = true;
        printf("{\"said\": \"direct\", \"ms\": %.1f}\n", since_dial());
    }
}

static void hear(uint64_t now)
{
    if (!has_heard)
        say_path("first_byte");
    else if (now - heard_us > longest_us)
        longest_us = now - heard_us;
    has_heard = true;
    heard_us = now;
}

static void read_all(struct peer_stream *from)
{
    char bytes[65536];
    bool has_ended;
    size_t n;

    while ((n = peer_stream_read(from, bytes, sizeof(bytes), &has_ended)) > 0) {
        if (callee && from == stream) {
            hear(clock_mono_us());
            continue;
        }
        if (callee) {
            printf("{\"said\": \"greeted\", \"ms\": %.1f}\n", since_dial());
            continue;
        }
        if (from == stream)
            continue;
        if (!has_heard)
            say_at("heard");
        has_heard = true;
        peer_stream_write(from, bytes, n); /* a byte each 5 ms: there is always room */
    }
}

static void on_up(struct peer_link *link)
{
    struct peer_error error;

    link_up = link;
    say_at("up");
    stream = peer_stream_open(link, "chat", "", &error);
    if (!stream) {
        fprintf(stderr, "reach_dial: %s\n", error.text);
        exit(1);
    }
    peer_stream_write(stream, "x", 1);
}

static void on_event(const struct peer_event *event)
{
    struct peer_error error;

    switch ((int)event->type) {
    case PEER_EVENT_JOINED:
        printf("{\"said\": \"ready\"}\n");
        break;
    case PEER_EVENT_INCOMING:
        say_at("called");
        peer_link_accept(event->link, NULL, &error);
        break;
    case PEER_EVENT_LINK_UP:
        on_up(event->link);
        break;
    case PEER_EVENT_READABLE:
        read_all(event->stream);
        break;
    case PEER_EVENT_PATH:
        if (callee)
            say_path("path");
        break;
    case PEER_EVENT_LINK_DOWN:
        printf("{\"said\": \"down\", \"why\": \"%s\"}\n", event->error.name);
        stream = NULL;
        link_up = NULL;
        has_heard = is_direct = false;
        break;
    case PEER_EVENT_FAILED:
        fprintf(stderr, "reach_dial: %s\n", event->error.text);
        exit(1);
    default:
        break;
    }
}

static void obey(const char *line)
{
    struct peer_error error;

    if (strncmp(line, "dial", 4) == 0) {
        const struct peer_dial_options options = { .size = sizeof(options), .path = path };

        dialled_us = clock_mono_us();
        say_at("dialled");
        if (!peer_dial_with(peer, callee, capabilities, &options, &error)) {
            fprintf(stderr, "reach_dial: %s\n", error.text);
            exit(1);
        }
    } else if (strncmp(line, "mark", 4) == 0) {
        longest_us = 0;
        printf("{\"said\": \"marked\"}\n");
    } else if (strncmp(line, "gap", 3) == 0) {
        uint64_t now = clock_mono_us(), open = has_heard ? now - heard_us : 0;
        printf("{\"said\": \"gap\", \"ms\": %.1f}\n",
               (double)(open > longest_us ? open : longest_us) / 1000);
    }
}

int main(int argc, char **argv)
{
    struct peer_config config = { .size = sizeof(config), .capabilities = capabilities };
    struct peer_event event;
    struct peer_error error;
    char line[64];

    if (argc < 3 || (strcmp(argv[2], "dial") == 0 && argc < 4)) {
        fprintf(stderr, "usage: reach_dial STATE serve | dial ID [relay]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0);
    callee = strcmp(argv[2], "dial") == 0 ? argv[3] : NULL;
    if (callee && argc > 4 && strcmp(argv[4], "relay") == 0)
        path = PEER_PATH_RELAY;
    config.state_dir = argv[1];
    peer = peer_new(&config, &error);
    if (!peer) {
        fprintf(stderr, "reach_dial: %s\n", error.text);
        return 1;
    }
    for (;;) {
        struct pollfd fds[] = { { peer_fd(peer), POLLIN, 0 }, { STDIN_FILENO, POLLIN, 0 } };
        if (poll(fds, 2, callee && has_heard ? EVERY_MS : -1) < 0 && errno != EINTR)
            return 1;
        while (peer_next_event(peer, &event))
            on_event(&event);
        if (callee && stream && has_heard)
            peer_stream_write(stream, "x", 1);
        if (fds[1].revents && !fgets(line, sizeof(line), stdin))
            break;
        if (fds[1].revents)
            obey(line);
    }
    peer_free(peer);
    return 0;
}
