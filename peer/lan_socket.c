/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/lan_socket.h"

#include "peer/mdns.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <unistd.h>

static const int families[LAN_FAMILIES] = { AF_INET, AF_INET6 };

static void set_on(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value,
                     sizeof(value)); /* where it is not there, less works */
}

static union nat_address any_of(int family, uint16_t port)
{
    union nat_address a = { .any.sa_family = (sa_family_t)family };

    if (family == AF_INET)
        a.in.sin_port = htons(port);
    else
        a.in6.sin6_port = htons(port);
    return a;
}

static union nat_address group_of(int family)
{
    union nat_address a = any_of(family, MDNS_PORT);

    inet_pton(family, family == AF_INET ? "224.0.0.251" : "ff02::fb",
              family == AF_INET ? (void *)&a.in.sin_addr : (void *)&a.in6.sin6_addr);
    return a;
}

static int open_one(int family, uint16_t port)
{
    union nat_address own = any_of(family, port);
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    if (family == AF_INET6)
        set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (port) { /* others on this machine speak mDNS too */
        set_on(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        set_on(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    set_on(fd, IPPROTO_IP, IP_MULTICAST_TTL, 255);
    set_on(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 255);
    if (bind(fd, &own.any, nat_address_size(&own)) == 0)
        return fd;
    close(fd);
    return -1;
}

bool lan_sockets_open(struct lan_sockets *sockets)
{
    bool ok = false;

    for (size_t i = 0; i < LAN_FAMILIES; i++) {
        sockets->group[i] = open_one(families[i], MDNS_PORT);
        sockets->door[i] = open_one(families[i], 0);
        ok |= sockets->door[i] >= 0;
    }
    lan_sockets_join(sockets);
    return ok;
}

void lan_sockets_close(struct lan_sockets *sockets)
{
    for (size_t i = 0; i < LAN_FAMILIES; i++) {
        if (sockets->group[i] >= 0)
            close(sockets->group[i]);
        if (sockets->door[i] >= 0)
            close(sockets->door[i]);
        sockets->group[i] = sockets->door[i] = -1;
    }
}

static void each_interface(struct lan_sockets *sockets,
                           void (*each)(struct lan_sockets *s, size_t family, unsigned index,
                                        void *user),
                           void *user)
{
    struct if_nameindex *all = if_nameindex();

    for (const struct if_nameindex *at = all; at && at->if_index; at++)
        for (size_t i = 0; i < LAN_FAMILIES; i++)
            each(sockets, i, at->if_index, user);
    if (all)
        if_freenameindex(all);
}

static void join(struct lan_sockets *sockets, size_t family, unsigned index, void *user)
{
    union nat_address group = group_of(families[family]);
    struct ip_mreqn v4 = { .imr_multiaddr = group.in.sin_addr, .imr_ifindex = (int)index };
    struct ipv6_mreq v6 = { .ipv6mr_multiaddr = group.in6.sin6_addr, .ipv6mr_interface = index };
    int fd = sockets->group[family];

    (void)user;
    if (fd < 0)
        return;
    if (family == 0) /* one that is joined already says so, which changes nothing */
        (void)setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &v4, sizeof(v4));
    else
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &v6, sizeof(v6));
}

void lan_sockets_join(struct lan_sockets *sockets)
{
    each_interface(sockets, join, NULL);
}

static void ask(struct lan_sockets *sockets, size_t family, unsigned index, void *user)
{
    union nat_address group = group_of(families[family]);
    const struct view *message = user;
    struct ip_mreqn v4 = { .imr_ifindex = (int)index };
    int fd = sockets->door[family], v6 = (int)index;

    if (fd < 0)
        return;
    if (family == 0)
        (void)setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &v4, sizeof(v4));
    else
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &v6, sizeof(v6));
    lan_socket_write(fd, &group, *message);
}

void lan_sockets_ask(struct lan_sockets *sockets, struct view message)
{
    each_interface(sockets, ask, &message);
}

size_t lan_socket_read(int fd, uint8_t to[LAN_MAX_DATAGRAM], union nat_address *ret_from)
{
    socklen_t len = sizeof(*ret_from);
    ssize_t n;

    *ret_from = (union nat_address){ 0 };
    n = recvfrom(fd, to, LAN_MAX_DATAGRAM, MSG_TRUNC, &ret_from->any, &len);
    return n > 0 && n <= LAN_MAX_DATAGRAM ? (size_t)n : 0;
}

void lan_socket_write(int fd, const union nat_address *to, struct view message)
{
    (void)!sendto(fd, message.data, message.len, 0, &to->any,
                  nat_address_size(to)); /* as any that is lost */
}

uint16_t lan_socket_port(int fd)
{
    union nat_address own = { 0 };
    socklen_t len = sizeof(own);

    if (fd < 0 || getsockname(fd, &own.any, &len) != 0)
        return 0;
    return ntohs(own.any.sa_family == AF_INET ? own.in.sin_port : own.in6.sin6_port);
}
