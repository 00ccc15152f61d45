/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ws_accept.h"

#include "base/mem.h"
#include "rpc/loop.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* libpeer does not link libuv, and accepts nobody. */
#pragma weak rpc_readable_new
#pragma weak rpc_readable_free
#pragma weak rpc_readable_pause
#pragma weak rpc_readable_resume

enum {
    A_TURN = 8
}; /* so many at most, then those who are connected have their turn: each costs a
                         TLS handshake soon, some 0.3 ms, and nobody else is heard meanwhile */

struct rpc_ws_accept {
    int fd;
    uint16_t port;
    bool is_paused;
    struct rpc_readable *readable;
    struct rpc_ws_accept_events events;
    void *user;
};

static int option_of(int fd, int name)
{
    socklen_t len = sizeof(int);
    int value = -1;

    return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

static bool look_at(int fd, uint16_t *ret_port, struct err *err)
{
    struct sockaddr_storage at = { 0 };
    socklen_t len = sizeof(at);

    if (option_of(fd, SO_TYPE) != SOCK_STREAM || option_of(fd, SO_ACCEPTCONN) != 1)
        return err_set(err, ERR_BAD_CONFIG, "descriptor %d is no listening stream socket", fd);
    if (getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        return err_set(err, ERR_SYSTEM, "descriptor %d: %s", fd, strerror(errno));
    if (at.ss_family == AF_INET)
        *ret_port = ntohs(((struct sockaddr_in *)&at)->sin_port);
    else if (at.ss_family == AF_INET6)
        *ret_port = ntohs(((struct sockaddr_in6 *)&at)->sin6_port);
    else
        return err_set(err, ERR_BAD_CONFIG, "descriptor %d is no TCP socket", fd);
    return true;
}

/* It would be readable in every turn: until there may be descriptors again it is not looked at. */
static void pause_for_files(struct rpc_ws_accept *accept)
{
    rpc_readable_pause(accept->readable);
    accept->is_paused = true;
    accept->events.no_files(accept->user);
}

static void on_readable(void *user)
{
    struct rpc_ws_accept *accept = user;
    int fd, yes = 1;

    for (int i = 0; i < A_TURN; i++) {
        fd = accept4(accept->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
            accept->events.accepted(accept->user, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM ||
                   errno == EINVAL /* somebody shut it down */) {
            pause_for_files(accept);
            return;
        } else if (errno == EAGAIN) {
            return;
        } /* else that one is gone again: accept(2) lists many reasons */
    }
}

bool rpc_ws_accept_new(void *native, int fd, const struct rpc_ws_accept_events *events, void *user,
                       struct rpc_ws_accept **ret_accept, struct err *err)
{
    _free_ struct rpc_ws_accept *accept = mem_new(struct rpc_ws_accept);

    if (!look_at(fd, &accept->port, err) ||
        !rpc_readable_new(native, fd, on_readable, accept, &accept->readable, err))
        return err_wrap(err, "listening");
    accept->fd = fd;
    accept->events = *events;
    accept->user = user;
    *ret_accept = STEAL(accept);
    return true;
}

void rpc_ws_accept_free(struct rpc_ws_accept *accept)
{
    if (!accept)
        return;
    rpc_readable_free(accept->readable);
    close(accept->fd);
    free(accept);
}

void rpc_ws_accept_resume(struct rpc_ws_accept *accept)
{
    if (!accept->is_paused)
        return;
    accept->is_paused = false;
    rpc_readable_resume(accept->readable);
}

uint16_t rpc_ws_accept_port(const struct rpc_ws_accept *accept)
{
    return accept->port;
}
