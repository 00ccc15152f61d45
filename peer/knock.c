/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/knock.h"

#include "base/mem.h"
#include "base/own.h"
#include "ice/ice.h"
#include "ice/nat_core.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct knock {
    struct loop *loop;
    struct loop_timer *timer;
    struct loop_watch *watch;
    struct ice_lookup *lookup;
    int fd;
    uint16_t port;
    uint64_t began_at; /* us */
    struct knock_result result;
    knock_on_result *on_result;
    void *user;
};

void knock_free(struct knock *knock)
{
    if (!knock)
        return;
    ice_lookup_cancel(knock->lookup);
    loop_watch_free(knock->watch);
    loop_timer_free(knock->timer);
    if (knock->fd >= 0)
        close(knock->fd);
    free(knock);
}

static void finish(struct knock *knock)
{
    struct knock_result result = knock->result;
    knock_on_result *on_result = knock->on_result;
    void *user = knock->user;

    knock_free(knock);
    on_result(user, &result);
}

static void fail(struct knock *knock, const char *why)
{
    snprintf(knock->result.why, sizeof(knock->result.why), "%s", why);
    loop_timer_in(knock->timer, 0); /* not from inside knock_new() */
}

static void on_timer(void *user)
{
    struct knock *knock = user;

    if (knock->result.why[0] == '\0')
        snprintf(knock->result.why, sizeof(knock->result.why), "%s",
                 knock->lookup ? "its name has no address in time" : "no answer");
    finish(knock);
}

static void on_writable(void *user)
{
    struct knock *knock = user;
    union nat_address local = { 0 };
    socklen_t len = sizeof(local);
    struct tcp_info info = { 0 };
    socklen_t info_len = sizeof(info);
    int error = 0;
    socklen_t error_len = sizeof(error);

    getsockopt(knock->fd, SOL_SOCKET, SO_ERROR, &error, &error_len);
    if (error) {
        snprintf(knock->result.why, sizeof(knock->result.why), "%s", strerror(error));
        finish(knock);
        return;
    }
    knock->result.is_open = true;
    knock->result.rtt_us = clock_mono_ns() / 1000 - knock->began_at;
    if (getsockname(knock->fd, &local.any, &len) == 0)
        nat_address_write(&local, knock->result.local);
    if (getsockopt(knock->fd, IPPROTO_TCP, TCP_INFO, &info, &info_len) == 0)
        knock->result.mtu = info.tcpi_pmtu;
    finish(knock);
}

static void on_address(void *user, const char *address)
{
    struct knock *knock = user;
    union nat_address to;

    knock->lookup = NULL;
    if (!address || !nat_address_read(address, knock->port, &to)) {
        fail(knock, "its name has no address");
        return;
    }
    nat_address_write(&to, knock->result.remote);
    knock->fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    knock->began_at = clock_mono_ns() / 1000;
    if (knock->fd < 0 ||
        (connect(knock->fd, &to.any, nat_address_size(&to)) != 0 && errno != EINPROGRESS)) {
        fail(knock, strerror(errno));
        return;
    }
    knock->watch = loop_watch_new(knock->loop, knock->fd, on_writable, knock);
    loop_watch_set(knock->watch, LOOP_WRITE | LOOP_GONE);
}

struct knock *knock_new(struct loop *loop, const char *host, uint16_t port, uint64_t ms,
                        knock_on_result *on_result, void *user)
{
    struct knock *knock = mem_new(struct knock);
    union nat_address any;

    knock->loop = loop;
    knock->fd = -1;
    knock->port = port;
    knock->on_result = on_result;
    knock->user = user;
    knock->timer = loop_timer_new(loop, on_timer, knock);
    loop_timer_in(knock->timer, ms);
    if (nat_address_read(host, port, &any))
        on_address(knock, host);
    else
        knock->lookup = ice_lookup_new(loop_context(loop), host, on_address, knock);
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
