/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ws_bind.h"

#include "base/mem.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int try_bind(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1, why = 0;

    if (fd < 0)
        return errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(fd, address->ai_addr, address->ai_addrlen) != 0)
        why = errno;
    close(fd);
    return why;
}

bool rpc_ws_bind_failed(const char *host, uint16_t port, struct err *err)
{
    const struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICHOST,
                                    .ai_socktype = SOCK_STREAM };
    _free_ char *service = mem_format("%u", port);
    struct addrinfo *found = NULL;
    int why;

    if (getaddrinfo(host, service, &hints, &found) != 0)
        return err_set(err, ERR_BAD_CONFIG, "listening: \"%s\" is not a numeric address", host);
    why = try_bind(found);
    freeaddrinfo(found);
    return err_set(err, ERR_SYSTEM, "listening: %s port %u: %s", host ? host : "*", port,
                   why ? strerror(why) : "it cannot be bound");
}
