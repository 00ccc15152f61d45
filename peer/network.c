/* SPDX-License-Identifier: Apache-2.0 */
/* Linux: rtnetlink says that something changed (rtnetlink(7)); what, is not read from it, but looked up once it is quiet: messages may be
 * lost, and most of them are about nothing that matters here. */
#include "peer/network.h"
#include "base/buf.h"
#include "base/key.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SETTLE_MS = 250, AT_ONCE = 64, MAX_ADDRESSES = 1024 };

struct network {
    int fd;
    struct loop_watch *watch;
    struct loop_timer *timer;
    loop_fn *on_change;
    void *user;
    bool is_pending;
    uint8_t seen[HASH_SIZE];
};

/* ---- what matters of the machine's network ---- */

static struct view address_bytes(const struct sockaddr *address)
{
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;

    if (address && address->sa_family == AF_INET)
        return VIEW((const uint8_t *)&v4->sin_addr, 4);
    if (address && address->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr))
        return VIEW((const uint8_t *)&v6->sin6_addr, 16);
    return VIEW(NULL, 0);
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, HASH_SIZE);
}

/* Of every interface that is up and has a carrier, in no order. */
static void put_addresses(struct buf *to)
{
    const unsigned live = IFF_UP | IFF_RUNNING;
    struct ifaddrs *all = NULL;
    size_t n = 0;

    if (getifaddrs(&all) < 0)
        return;
    for (const struct ifaddrs *at = all; at && n < MAX_ADDRESSES; at = at->ifa_next) {
        struct view bytes = address_bytes(at->ifa_addr);
        uint8_t hash[HASH_SIZE];
        _buf_ line = { 0 };

        if (!bytes.len || (at->ifa_flags & live) != live || at->ifa_flags & IFF_LOOPBACK)
            continue;
        buf_put_text(&line, at->ifa_name);
        buf_put_u8(&line, 0);
        buf_put(&line, bytes);
        hash_sha256(buf_view(&line), hash);
        buf_put(to, VIEW_ARR(hash));
        n++;
    }
    freeifaddrs(all);
    if (n)
        qsort(to->data, n, HASH_SIZE, by_bytes);
}

/* Where datagrams to the Internet would be sent from; nothing is sent. The destinations are for documentation (RFC 5737, RFC 3849). */
static void put_source(int family, struct buf *to)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(9) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(9) };
    struct sockaddr_storage from = { 0 };
    socklen_t len = sizeof(from);
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, "192.0.2.1", &v4.sin_addr);
    inet_pton(AF_INET6, "2001:db8::1", &v6.sin6_addr);
    if (fd < 0)
        return;
    if ((family == AF_INET ? connect(fd, (struct sockaddr *)&v4, sizeof(v4))
                           : connect(fd, (struct sockaddr *)&v6, sizeof(v6))) == 0 &&
        getsockname(fd, (struct sockaddr *)&from, &len) == 0)
        buf_put(to, address_bytes((struct sockaddr *)&from));
    close(fd);
    buf_put_u8(to, (uint8_t)family);
}

static void look(uint8_t ret_seen[HASH_SIZE])
{
    _buf_ all = { 0 };

    put_addresses(&all);
    put_source(AF_INET, &all);
    put_source(AF_INET6, &all);
    hash_sha256(buf_view(&all), ret_seen);
}

/* ---- when to look ---- */

static void on_quiet(void *user)
{
    struct network *network = user;
    uint8_t seen[HASH_SIZE];

    network->is_pending = false;
    look(seen);
    if (memcmp(seen, network->seen, HASH_SIZE) == 0)
        return;
    memcpy(network->seen, seen, HASH_SIZE);
    network->on_change(network->user);
}

/* Their number is not bounded by us: those beyond a share wait for the loop's next turn, and the timer runs once for all. */
static void on_readable(void *user)
{
    struct network *network = user;
    uint8_t bytes[8192];
    ssize_t len = 1;

    for (int i = 0; i < AT_ONCE && len > 0; i++)
        len = recv(network->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (network->is_pending)
        return;
    network->is_pending = true;
    loop_timer_in(network->timer, SETTLE_MS);
}

static int open_netlink(void)
{
    struct sockaddr_nl address = { .nl_family = AF_NETLINK,
                                   .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR |
                                                RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                                                RTMGRP_IPV6_ROUTE };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

struct network *network_new(struct loop *loop, loop_fn *on_change, void *user)
{
    int fd = open_netlink();
    struct network *network;

    if (fd < 0)
        return NULL;
    network = mem_new(struct network);
    network->fd = fd;
    network->on_change = on_change;
    network->user = user;
    network->timer = loop_timer_new(loop, on_quiet, network);
    network->watch = loop_watch_new(loop, fd, on_readable, network);
    loop_watch_set(network->watch, LOOP_READ);
    look(network->seen);
    return network;
}

void network_free(struct network *network)
{
    if (!network)
        return;
    loop_watch_free(network->watch);
    loop_timer_free(network->timer);
    close(network->fd);
    free(network);
}
