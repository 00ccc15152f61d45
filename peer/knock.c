/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/knock.h"

#include "base/mem.h"
#include "peer/connecting.h"

#include <ifaddrs.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct knock {
    struct connecting *connecting;
    knock_on_result *on_result;
    void *user;
};

void knock_free(struct knock *knock)
{
    if (!knock)
        return;
    connecting_free(knock->connecting);
    free(knock);
}

static void look(int fd, struct knock_result *result)
{
    union nat_address local = { 0 };
    socklen_t len = sizeof(local);
    struct tcp_info info = { 0 };
    socklen_t info_len = sizeof(info);

    if (getsockname(fd, &local.any, &len) == 0)
        nat_address_write(&local, result->local);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_len) == 0)
        result->mtu = info.tcpi_pmtu;
}

static void on_connected(void *user, const struct connecting_result *connected)
{
    struct knock knock = *(struct knock *)user;
    struct knock_result result = { .is_open = connected->fd >= 0 };

    free(user);
    if (connected->remote.any.sa_family != AF_UNSPEC)
        nat_address_write(&connected->remote, result.remote);
    if (result.is_open) {
        result.rtt_us = (clock_mono_ns() - connected->began_at) / 1000;
        look(connected->fd, &result);
        close(connected->fd);
    }
    snprintf(result.why, sizeof(result.why), "%s", connected->why);
    knock.on_result(knock.user, &result);
}

struct knock *knock_new(struct loop *loop, const char *host, uint16_t port, uint64_t ms,
                        knock_on_result *on_result, void *user)
{
    struct knock *knock = mem_new(struct knock);

    knock->on_result = on_result;
    knock->user = user;
    knock->connecting = connecting_new(loop, SOCK_STREAM, host, port, ms, on_connected, knock);
    return knock;
}

static bool is_worth_telling(const struct ifaddrs *at, int family)
{
    const union nat_address *address = (const union nat_address *)(const void *)at->ifa_addr;

    if (!address || address->any.sa_family != family || !(at->ifa_flags & IFF_UP) ||
        at->ifa_flags & IFF_LOOPBACK)
        return false;
    return family == AF_INET || !IN6_IS_ADDR_LINKLOCAL(&address->in6.sin6_addr);
}

void knock_addresses(int family, char to[KNOCK_ADDRESSES])
{
    struct ifaddrs *all = NULL;
    size_t used = 0;

    to[0] = '\0';
    if (getifaddrs(&all) != 0)
        return;
    for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
        char text[64];
        int n;

        if (!is_worth_telling(at, family))
            continue;
        nat_address_write((const union nat_address *)(const void *)at->ifa_addr, text);
        char *end = strrchr(text, ':'); /* the port, which is 0 */
        if (end)
            *end = '\0';
        n = snprintf(to + used, KNOCK_ADDRESSES - used, "%s%s on %s", used ? ", " : "", text,
                     at->ifa_name);
        if (n < 0 || (size_t)n >= KNOCK_ADDRESSES - used) {
            to[used] = '\0';
            break;
        }
        used += (size_t)n;
    }
    freeifaddrs(all);
}
