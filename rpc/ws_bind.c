/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ws_bind.h"

#include "base/mem.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* 0, or errno. */
static int try_bind(const struct addrinfo *address, bool is_any, int *ret_fd)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int yes = 1, no = 0, why;

    if (fd < 0)
        return errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (is_any && address->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0) {
        *ret_fd = fd;
        return 0;
    }
    why = errno;
    close(fd);
    return why;
}

static bool find_address(const char *host, const char *service, struct addrinfo **ret_found,
                         struct err *err)
{
    const struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
                                    .ai_socktype = SOCK_STREAM };

    return getaddrinfo(host, service, &hints, ret_found) == 0 ||
           err_set(err, ERR_BAD_CONFIG, "listening: \"%s\" is not a numeric address", host);
}

bool rpc_ws_bind(const char *host, uint16_t port, int *ret_fd, struct err *err)
{
    const char *const every[] = { "::", "0.0.0.0" };
    const char *const *hosts = host ? &host : every;
    _free_ char *service = mem_format("%u", port);
    int why = 0;

    for (size_t i = 0; i < (host ? 1 : N_ELEMENTS(every)); i++) {
        struct addrinfo *found = NULL;
        if (!find_address(hosts[i], service, &found, err))
            return false;
        why = try_bind(found, !host, ret_fd);
        freeaddrinfo(found);
        if (why != EAFNOSUPPORT && why != EADDRNOTAVAIL)
            break;
    }
    return why == 0 || err_set(err, ERR_SYSTEM, "listening: %s port %u: %s", host ? host : "*",
                               port, strerror(why));
}

bool rpc_ws_bind_failed(const char *host, uint16_t port, struct err *err)
{
    int fd = -1;

    if (!rpc_ws_bind(host, port, &fd, err))
        return false;
    close(fd);
    return err_set(err, ERR_SYSTEM, "listening: %s port %u: it cannot be bound", host ? host : "*",
                   port);
}
