/* SPDX-License-Identifier: Apache-2.0 */
/* A TCP port of one machine that comes out at another one, with libuv, each stream of libpeer as a descriptor.
 *
 *     tunnel STATE-DIR PORT               takes calls; connections come out at 127.0.0.1:PORT
 *     tunnel STATE-DIR LOCALPORT ID       connections to 127.0.0.1:LOCALPORT go to ID
 *
 * Policy lets one reach the other for `tunnel`. Compile: cc tunnel.c $(pkg-config --cflags --libs libpeer libuv) */
#include <peer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static const char *const capabilities[] = { "tunnel", NULL };
static struct peer *peer;
static struct peer_link *link_to; /* the caller's, once it is up */
static const char *whom;
static struct sockaddr_in port;

/* ---- a pump between two descriptors; nothing of libpeer in it ---- */

struct pump { /* one direction; one piece at a time, so who is slow slows the other */
    uv_stream_t *from, *to;
    struct pair *pair;
    uv_write_t write;
    uv_shutdown_t shutdown;
    char bytes[16384];
};
struct pair { /* a TCP connection and a stream */
    uv_tcp_t tcp;
    uv_pipe_t pipe;
    struct pump out, back;
    int n_ended, n_closed;
};

static void on_closed(uv_handle_t *handle)
{
    struct pump *pump = handle->data;

    if (++pump->pair->n_closed == 2)
        free(pump->pair);
}

static void give_up(struct pair *pair)
{
    if (uv_is_closing((uv_handle_t *)&pair->tcp))
        return;
    uv_close((uv_handle_t *)&pair->tcp, on_closed);
    uv_close((uv_handle_t *)&pair->pipe, on_closed);
}

static void on_shut(uv_shutdown_t *request, int status)
{
    struct pump *pump = request->handle->data;

    if (status != 0 || ++pump->pair->n_ended == 2)
        give_up(pump->pair);
}

static void on_room(uv_handle_t *from, size_t size, uv_buf_t *ret)
{
    struct pump *pump = from->data;

    (void)size; /* what it suggests */
    *ret = uv_buf_init(pump->bytes, sizeof(pump->bytes));
}

static void on_read(uv_stream_t *from, ssize_t n, const uv_buf_t *buf);

static void on_written(uv_write_t *request, int status)
{
    struct pump *pump = request->data;

    if (status != 0)
        give_up(pump->pair);
    else if (!uv_is_closing((uv_handle_t *)pump->from))
        uv_read_start(pump->from, on_room, on_read);
}

static void on_read(uv_stream_t *from, ssize_t n, const uv_buf_t *buf)
{
    struct pump *pump = from->data;
    uv_buf_t piece = uv_buf_init(buf->base, n > 0 ? (unsigned)n : 0);

    if (n == 0)
        return;
    uv_read_stop(from);
    pump->write.data = pump;
    if (n > 0 && uv_write(&pump->write, pump->to, &piece, 1, on_written) == 0)
        return;
    if (n != UV_EOF || uv_shutdown(&pump->shutdown, pump->to, on_shut) != 0)
        give_up(pump->pair);
}

/* ---- streams as descriptors ---- */

static struct pair *pair_new(struct peer_stream *stream)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    struct peer_error error;
    int fd = stream ? peer_stream_fd(stream, &error) : -1;

    uv_tcp_init(uv_default_loop(), &pair->tcp);
    uv_pipe_init(uv_default_loop(), &pair->pipe, 0);
    pair->out.from = pair->back.to = (uv_stream_t *)&pair->tcp;
    pair->back.from = pair->out.to = (uv_stream_t *)&pair->pipe;
    pair->out.pair = pair->back.pair = pair;
    pair->tcp.data = &pair->out;
    pair->pipe.data = &pair->back;
    if (fd < 0 || uv_pipe_open(&pair->pipe, fd) != 0)
        pair->n_ended = 2; /* there is no stream */
    return pair;
}

static void start(struct pair *pair)
{
    uv_read_start((uv_stream_t *)&pair->tcp, on_room, on_read);
    uv_read_start((uv_stream_t *)&pair->pipe, on_room, on_read);
    if (pair->n_ended)
        give_up(pair);
}

static void on_connection(uv_stream_t *from, int status)
{
    struct pair *pair = pair_new(link_to ? peer_stream_open(link_to, "tunnel", NULL, NULL) : NULL);

    if (status != 0 || uv_accept(from, (uv_stream_t *)&pair->tcp) != 0)
        pair->n_ended = 2;
    start(pair);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct pair *pair = (struct pair *)request->handle;

    free(request);
    pair->n_ended = status == 0 ? pair->n_ended : 2;
    start(pair);
}

static void handle(const struct peer_event *event)
{
    struct peer_error error = event->error;
    bool is_over =
        event->type == PEER_EVENT_FAILED || (event->type == PEER_EVENT_LINK_DOWN && whom);

    if (event->type == PEER_EVENT_JOINED && whom)
        is_over = !peer_dial(peer, whom, capabilities, &error);
    else if (event->type == PEER_EVENT_INCOMING)
        peer_link_accept(event->link, NULL, NULL);
    else if (event->type == PEER_EVENT_LINK_UP && whom)
        link_to = event->link;
    else if (event->type == PEER_EVENT_STREAM)
        uv_tcp_connect(calloc(1, sizeof(uv_connect_t)), &pair_new(event->stream)->tcp,
                       (const struct sockaddr *)&port, on_connected);
    if (event->type == PEER_EVENT_LINK_UP || event->type == PEER_EVENT_JOINED)
        fprintf(stderr, event->type == PEER_EVENT_LINK_UP ? "linked\n" : "ready\n");
    if (is_over) {
        fprintf(stderr, "%s\n", error.text);
        uv_stop(uv_default_loop());
    }
}

static void on_events(uv_poll_t *poll, int status, int events)
{
    struct peer_event event;

    (void)poll, (void)status, (void)events;
    while (peer_next_event(peer, &event))
        handle(&event);
}

int main(int argc, char **argv)
{
    const struct peer_config config = { .size = sizeof(config),
                                        .state_dir = argc > 1 ? argv[1] : NULL,
                                        .capabilities = capabilities,
                                        .allow_loopback = true };
    struct peer_error error;
    uv_tcp_t listener;
    uv_poll_t events;

    if (argc < 3 || !(peer = peer_new(&config, &error))) {
        fprintf(stderr, "%s\n", argc < 3 ? "usage: tunnel STATE-DIR PORT [ID]" : error.text);
        return 1;
    }
    whom = argc > 3 ? argv[3] : NULL;
    uv_ip4_addr("127.0.0.1", (int)strtol(argv[2], NULL, 10), &port);
    uv_poll_init(uv_default_loop(), &events, peer_fd(peer));
    uv_poll_start(&events, UV_READABLE, on_events);
    uv_tcp_init(uv_default_loop(), &listener);
    if (whom && (uv_tcp_bind(&listener, (const struct sockaddr *)&port, 0) != 0 ||
                 uv_listen((uv_stream_t *)&listener, 64, on_connection) != 0))
        return 1;
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    peer_free(peer);
    return 0;
}
