/* SPDX-License-Identifier: Apache-2.0 */
/* A dial whose first address is silent, and others that are not. */
#include "tests/unit/rpc/ws_road.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* A port that swallows what is sent to it, as the queue of those that it would accept is full; or that takes connections, and says
 * nothing. */
struct silent {
    int fd, waiting[4];
    size_t n_waiting;
    uint16_t port;
};

static int new_socket(const struct sockaddr_in *to, int queue)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    if (queue >= 0) {
        CHECK(bind(fd, (const struct sockaddr *)to, sizeof(*to)) == 0);
        CHECK(listen(fd, queue) == 0);
    } else {
        (void)!connect(fd, (const struct sockaddr *)to, sizeof(*to));
    }
    return fd;
}

static void silent_listen(struct silent *silent, int queue)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(at);

    silent->n_waiting = 0;
    silent->fd = new_socket(&at, queue);
    CHECK(getsockname(silent->fd, (struct sockaddr *)&at, &len) == 0);
    silent->port = ntohs(at.sin_port);
    if (queue > 0)
        return;
    for (; silent->n_waiting < N_ELEMENTS(silent->waiting); silent->n_waiting++)
        silent->waiting[silent->n_waiting] = new_socket(&at, -1);
}

static void silent_init(struct silent *silent)
{
    silent_listen(silent, 0);
}

static void silent_deinit(struct silent *silent)
{
    for (size_t i = 0; i < silent->n_waiting; i++)
        close(silent->waiting[i]);
    close(silent->fd);
}
#define _silent_ _cleanup_(silent_deinit) struct silent

static size_t moved_to;
static unsigned n_moved;

static void on_moved(void *user, size_t which)
{
    (void)user;
    moved_to = which;
    n_moved++;
}

static uint16_t refusing_port(void)
{
    _silent_ silent;

    silent_init(&silent);
    return silent.port; /* nobody listens there once this has returned */
}

TEST(the_first_that_answers_is_taken)
{
    struct rpc_ws_place others[3] = { { .host = "127.0.0.1" },
                                      { .host = "127.0.0.1" },
                                      { .host = "127.0.0.1" } };
    _silent_ first, second;
    _road_ road;

    n_moved = 0;
    silent_init(&first);
    silent_init(&second);
    road_init(&road);
    road_listen(&road);
    others[0].port = second.port;
    others[1].port = refusing_port();
    others[2].port = road.dial.port;
    road.dial.port = first.port;
    road.dial.others = others;
    road.dial.n_others = 3;
    road.dial.moved = on_moved;
    road.client.conn = road_dial(&road, &road.client);
    CHECK(edge_until(road.loop, both_open, &road));
    CHECK_U64(n_moved, 1);
    CHECK_U64(moved_to, 2);
    CHECK_U64(road.n_judged, 1);
    CHECK_U64(road.client.n_closed, 0);
}

TEST(one_that_takes_connections_and_says_nothing_is_left)
{
    struct rpc_ws_place others[2] = { { .host = "127.0.0.1" }, { .host = "127.0.0.1" } };
    _silent_ first, second;
    _road_ road;

    n_moved = 0;
    silent_listen(&first, 8);
    silent_init(&second);
    road_init(&road);
    road_listen(&road);
    others[0].port = second.port;
    others[1].port = road.dial.port;
    road.dial.port = first.port;
    road.dial.others = others;
    road.dial.n_others = 2;
    road.dial.moved = on_moved;
    road_dial(&road, &road.client);
    CHECK(edge_until(road.loop, is_settled, &road.client));
    CHECK_U64(road.client.n_opened, 1);
    CHECK_U64(n_moved, 1);
    CHECK_U64(moved_to, 1);
}

/* Also where the next one is no better. */
TEST(and_the_next_like_it)
{
    struct rpc_ws_place others[2] = { { .host = "127.0.0.1" }, { .host = "127.0.0.1" } };
    _silent_ first, second;
    _road_ road;

    n_moved = 0;
    silent_listen(&first, 8);
    silent_listen(&second, 8);
    road_init(&road);
    road_listen(&road);
    others[0].port = second.port;
    others[1].port = road.dial.port;
    road.dial.port = first.port;
    road.dial.others = others;
    road.dial.n_others = 2;
    road.dial.moved = on_moved;
    road_dial(&road, &road.client);
    CHECK(edge_until(road.loop, is_settled, &road.client));
    CHECK_U64(road.client.n_opened, 1);
    CHECK_U64(moved_to, 1);
}

TEST(a_host_that_answers_is_not_left)
{
    struct rpc_ws_place other = { .host = "127.0.0.1" };
    _road_ road;

    n_moved = 0;
    road_init(&road);
    road_listen(&road);
    other.port = road.dial.port;
    road.dial.others = &other;
    road.dial.n_others = 1;
    road.dial.moved = on_moved;
    road.client.conn = road_dial(&road, &road.client);
    CHECK(edge_until(road.loop, both_open, &road));
    CHECK_U64(n_moved, 0);
}

/* Whoever has several hosts decides itself which is the next after one that refuses. */
TEST(a_host_that_refuses_is_told)
{
    struct rpc_ws_place other = { .host = "127.0.0.1" };
    _road_ road;

    n_moved = 0;
    road_init(&road);
    road_listen(&road);
    other.port = road.dial.port;
    road.dial.port = refusing_port();
    road.dial.others = &other;
    road.dial.n_others = 1;
    road.dial.moved = on_moved;
    road_dial(&road, &road.client);
    CHECK(edge_until(road.loop, is_closed, &road.client));
    CHECK_U64(n_moved, 0);
    CHECK_U64(road.client.n_opened, 0);
}

static bool has_asked(void *user)
{
    return clock_mono_ms() > *(const uint64_t *)user + 400;
}

TEST(one_that_is_closed_or_freed_meanwhile)
{
    struct rpc_ws_place other = { .host = "127.0.0.1" };
    struct end left = { 0 };
    uint64_t begun = clock_mono_ms();
    _silent_ first, second;
    _road_ road;

    silent_init(&first);
    silent_init(&second);
    road_init(&road);
    road.dial.port = first.port;
    other.port = second.port;
    road.dial.others = &other;
    road.dial.n_others = 1;
    road.client.conn = road_dial(&road, &road.client);
    road_dial(&road, &left);
    CHECK(edge_until(road.loop, has_asked, &begun));
    rpc_ws_close(road.client.conn, 1000, "not wanted");
    CHECK(edge_until(road.loop, is_closed, &road.client));
    CHECK_U64(left.n_closed, 0); /* the road's end frees it */
}
