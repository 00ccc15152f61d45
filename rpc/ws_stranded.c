/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a connection is from an address that the system would not use any more. */
#include "rpc/ws_edge.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The address without its port. */
static bool is_same(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
    const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;

    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET)
        return a4->sin_addr.s_addr == b4->sin_addr.s_addr;
    return memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0;
}

/* Nothing is sent: the system only chooses where datagrams to `to` would be sent from. */
static bool choose_source(const struct sockaddr_storage *to, socklen_t to_len,
                          struct sockaddr_storage *ret_from)
{
    int fd = socket(to->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(*ret_from);
    bool ok;

    if (fd < 0)
        return false;
    ok = connect(fd, (const struct sockaddr *)to, to_len) == 0 &&
         getsockname(fd, (struct sockaddr *)ret_from, &len) == 0;
    close(fd);
    return ok;
}

bool rpc_ws_is_stranded(const struct rpc_ws_conn *conn)
{
    struct sockaddr_storage local = { 0 }, remote = { 0 }, chosen = { 0 };
    socklen_t local_len = sizeof(local), remote_len = sizeof(remote);
    int fd = conn->wsi ? lws_get_socket_fd(conn->wsi) : -1;

    if (fd < 0 || getsockname(fd, (struct sockaddr *)&local, &local_len) < 0 ||
        getpeername(fd, (struct sockaddr *)&remote, &remote_len) < 0)
        return true; /* not even connected */
    return !choose_source(&remote, remote_len, &chosen) || !is_same(&local, &chosen);
}
