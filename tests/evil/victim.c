/* SPDX-License-Identifier: Apache-2.0 */
/* An application on the public header that is called by somebody evil: victim STATE. It sends back what comes, keeps count, and says so, as a
 * line of JSON, for each line that it reads. It ends with its input. */
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const capabilities[] = { "chat", "rpc", "shell", NULL };
static unsigned long n_links, n_streams, n_foreign, n_datagrams, n_bytes;

static void echo(struct peer_stream *stream)
{
    bool has_ended = false;
    char bytes[4096];
    size_t n;

    while ((n = peer_stream_read(stream, bytes, sizeof(bytes), &has_ended)) > 0) {
        n_bytes += n;
        peer_stream_write(stream, bytes, n); /* what does not go is not sent back */
    }
    if (has_ended)
        peer_stream_finish(stream);
}

static void on_event(struct peer *peer, const struct peer_event *event)
{
    static const char *const granted[] = { "chat", NULL };
    struct peer_error error;

    (void)peer;
    switch ((int)event->type) {
    case PEER_EVENT_JOINED:
        printf("ready\n");
        break;
    case PEER_EVENT_INCOMING:
        peer_link_accept(event->link, granted, &error);
        break;
    case PEER_EVENT_LINK_UP:
        n_links++;
        break;
    case PEER_EVENT_STREAM:
        n_streams++;
        n_foreign += strcmp(event->capability, "chat") != 0;
        break;
    case PEER_EVENT_READABLE:
        echo(event->stream);
        break;
    case PEER_EVENT_DATAGRAM:
        n_datagrams++;
        break;
    default:
        break;
    }
}

int main(int argc, char **argv)
{
    struct peer_config config = { .size = sizeof(config),
                                  .capabilities = capabilities,
                                  .allow_loopback = true };
    struct peer_error error;
    struct peer_event event;
    struct peer *peer;
    char line[16];

    setvbuf(stdout, NULL, _IOLBF, 0);
    config.state_dir = argc > 1 ? argv[1] : NULL;
    peer = peer_new(&config, &error);
    if (!peer) {
        fprintf(stderr, "victim: %s\n", error.text);
        return 1;
    }
    for (;;) {
        struct pollfd fds[] = { { peer_fd(peer), POLLIN, 0 }, { STDIN_FILENO, POLLIN, 0 } };

        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return 1;
        while (peer_next_event(peer, &event))
            on_event(peer, &event);
        if (!fds[1].revents)
            continue;
        if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
            break;
        printf("{\"links\": %lu, \"streams\": %lu, \"foreign\": %lu, \"datagrams\": "
               "%lu, \"bytes\": %lu}\n",
               n_links, n_streams, n_foreign, n_datagrams, n_bytes);
    }
    peer_free(peer);
    return 0;
}
