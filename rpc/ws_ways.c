/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ws_ways.h"

#include "base/mem.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct addrinfo *read_address(const char *address, uint16_t port)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
    struct addrinfo *found = NULL;
    char text[8];

    snprintf(text, sizeof(text), "%u", (unsigned)port);
    return getaddrinfo(address, text, &hints, &found) == 0 ? found : NULL;
}

static void add_one(struct rpc_ws_ways *ways, size_t host, uint16_t port, const char *address)
{
    struct rpc_ws_way *way = &ways->way[ways->n++];

    *way = (struct rpc_ws_way){ .host = host, .port = port, .fd = -1 };
    memcpy(way->address, address, sizeof(way->address));
}

static void put_first(struct rpc_ws_ways *ways, size_t from, const char *first)
{
    for (size_t i = from; i < ways->n; i++) {
        struct rpc_ws_way way = ways->way[i];
        if (strcmp(way.address, first) != 0)
            continue;
        memmove(&ways->way[from + 1], &ways->way[from], (i - from) * sizeof(way));
        ways->way[from] = way;
        return;
    }
}

void rpc_ws_ways_add(struct rpc_ws_ways *ways, size_t host, uint16_t port,
                     const struct rpc_ws_addresses *all, const char *first)
{
    size_t from = ways->n;

    for (size_t i = 0; i < all->n && ways->n < RPC_WS_MAX_WAYS; i++)
        add_one(ways, host, port, all->text[i]);
    put_first(ways, from, first);
}

bool rpc_ws_ways_begin(struct rpc_ws_ways *ways, size_t host)
{
    for (size_t i = 0; i < ways->n; i++) {
        if (ways->way[i].host != host || ways->way[i].is_bad)
            continue;
        ways->at = i;
        return true;
    }
    return false;
}

bool rpc_ws_ways_next(struct rpc_ws_ways *ways)
{
    ways->way[ways->at].is_bad = true;
    return rpc_ws_ways_begin(ways, ways->way[ways->at].host);
}

static void ask(struct rpc_ws_way *way)
{
    struct addrinfo *to = read_address(way->address, way->port);

    if (to)
        way->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (way->fd < 0 || (connect(way->fd, to->ai_addr, to->ai_addrlen) < 0 && errno != EINPROGRESS))
        way->is_bad = true;
    if (to)
        freeaddrinfo(to);
}

void rpc_ws_ways_ask(struct rpc_ws_ways *ways)
{
    ways->has_asked = true;
    for (size_t i = 0; i < ways->n; i++) {
        if (i != ways->at && !ways->way[i].is_bad && ways->way[i].fd < 0)
            ask(&ways->way[i]);
    }
}

static enum rpc_ws_ways_answer look(struct rpc_ws_way *way)
{
    struct pollfd question = { way->fd, POLLOUT, 0 };
    socklen_t len = sizeof(int);
    int why = 0;

    if (way->fd < 0 || way->is_bad)
        return RPC_WS_WAYS_NONE;
    if (poll(&question, 1, 0) <= 0)
        return RPC_WS_WAYS_SILENT;
    getsockopt(way->fd, SOL_SOCKET, SO_ERROR, &why, &len);
    way->is_bad = why != 0;
    return why ? RPC_WS_WAYS_NONE : RPC_WS_WAYS_ANSWERED;
}

enum rpc_ws_ways_answer rpc_ws_ways_look(struct rpc_ws_ways *ways)
{
    enum rpc_ws_ways_answer all = RPC_WS_WAYS_NONE;

    for (size_t i = 0; i < ways->n; i++) {
        enum rpc_ws_ways_answer one = look(&ways->way[i]);
        if (one == RPC_WS_WAYS_ANSWERED) {
            if (ways->at != RPC_WS_NO_WAY)
                ways->way[ways->at].is_bad = true;
            ways->at = i;
            rpc_ws_ways_end(ways);
            return RPC_WS_WAYS_ANSWERED;
        }
        if (one == RPC_WS_WAYS_SILENT)
            all = RPC_WS_WAYS_SILENT;
    }
    return all;
}

void rpc_ws_ways_end(struct rpc_ws_ways *ways)
{
    for (size_t i = 0; i < ways->n; i++) {
        if (ways->way[i].fd >= 0)
            close(ways->way[i].fd);
        ways->way[i].fd = -1;
    }
}
