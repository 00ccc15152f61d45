/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ws_accept.h"

#include "base/mem.h"
#include "rpc/loop.h"
#include "rpc/ws_bind.h"
#include "tests/check.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CROWD = 40, A_FEW = 16 };

struct crowd {
    struct rpc_loop *loop;
    int clients[CROWD], servers[CROWD];
    size_t n_accepted, n_before, most_in_a_turn, n_turns;
};

static void on_accepted(void *user, int fd)
{
    struct crowd *crowd = user;

    crowd->servers[crowd->n_accepted++] = fd;
}

static void on_no_files(_unused_ void *user)
{
    check_failed(__FILE__, __LINE__, "there are descriptors enough");
}

static void on_turn(void *user)
{
    struct crowd *crowd = user;
    size_t came = crowd->n_accepted - crowd->n_before;

    crowd->n_before = crowd->n_accepted;
    crowd->n_turns += came > 0;
    if (came > crowd->most_in_a_turn)
        crowd->most_in_a_turn = came;
    if (crowd->n_accepted == CROWD)
        rpc_loop_stop(crowd->loop);
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
    return fd;
}

TEST(a_crowd_is_taken_a_few_a_turn)
{
    static const struct rpc_ws_accept_events events = { on_accepted, on_no_files };
    struct crowd crowd = { 0 };
    struct rpc_ws_accept *accept;
    struct rpc_turn *turn;
    struct err err;
    int fd;

    CHECK_OK(rpc_loop_new(&crowd.loop, &err), err);
    CHECK_OK(rpc_ws_bind("127.0.0.1", 0, &fd, &err), err);
    CHECK_OK(rpc_ws_accept_new(rpc_loop_native(crowd.loop), fd, &events, &crowd, &accept, &err),
             err);
    turn = rpc_turn_new(rpc_loop_native(crowd.loop), on_turn, &crowd);
    for (size_t i = 0; i < CROWD; i++)
        crowd.clients[i] = connect_to(rpc_ws_accept_port(accept));
    rpc_loop_run(crowd.loop);
    CHECK_U64(crowd.n_accepted, CROWD);
    CHECK(crowd.most_in_a_turn <= A_FEW);
    CHECK(crowd.n_turns >= CROWD / A_FEW);
    for (size_t i = 0; i < CROWD; i++) {
        close(crowd.clients[i]);
        close(crowd.servers[i]);
    }
    rpc_turn_free(turn);
    rpc_ws_accept_free(accept);
    rpc_loop_free(crowd.loop);
}

TEST(an_address_that_cannot_be_listened_on_is_named)
{
    struct sockaddr_in at = { 0 };
    socklen_t len = sizeof(at);
    struct err err;
    int fd, other;

    CHECK_OK(rpc_ws_bind("127.0.0.1", 0, &fd, &err), err);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    CHECK_ERR(rpc_ws_bind("127.0.0.1", ntohs(at.sin_port), &other, &err), err, ERR_SYSTEM);
    CHECK(strstr(err.text, "127.0.0.1 port"));
    CHECK_ERR(rpc_ws_bind("relay.corp.example", 0, &other, &err), err, ERR_BAD_CONFIG);
    CHECK(strstr(err.text, "relay.corp.example"));
    close(fd);
}

TEST(all_addresses_are_of_both_families)
{
    struct sockaddr_storage at = { 0 };
    socklen_t len = sizeof(at);
    struct err err;
    uint16_t port;
    int fd;

    CHECK_OK(rpc_ws_bind(NULL, 0, &fd, &err), err);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    port = at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                    : ((struct sockaddr_in *)&at)->sin_port;
    close(connect_to(ntohs(port)));
    close(fd);
}
