/* SPDX-License-Identifier: Apache-2.0 */
#include "router/stun_edge.h"
#include "base/text.h"
#include "router/stun.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* In one turn of the loop, of each socket: everybody else waits meanwhile. */
enum { AT_ONCE = 32 };

struct stun_socket {
    struct stun_edge *edge;
    struct rpc_readable *readable;
    int fd;
    uint16_t port;
};

struct stun_edge {
    struct router *router;
    struct stun *stun;
    struct stun_socket sockets[2]; /* the second one on the other port: fd -1 when there is none */
};

/* A socket that was bound to all addresses has to answer from the one that was asked. */
union control {
    struct cmsghdr head;
    uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo))];
};

static void note_where(struct msghdr *message, const struct stun_socket *s, union stun_address *at)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            at->in = (struct sockaddr_in){ .sin_family = AF_INET,
                                           .sin_port = htons(s->port),
                                           .sin_addr = info.ipi_addr };
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            at->in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
                                             .sin6_port = htons(s->port),
                                             .sin6_addr = info.ipi6_addr };
        }
    }
}

static void put_where(struct msghdr *message, union control *control, const union stun_address *at)
{
    struct in_pktinfo info = { .ipi_spec_dst = at->in.sin_addr };
    struct in6_pktinfo info6 = { .ipi6_addr = at->in6.sin6_addr };
    bool is_v4 = at->any.sa_family == AF_INET;
    size_t size = is_v4 ? sizeof(info) : sizeof(info6);
    struct cmsghdr *c;

    message->msg_control = control;
    message->msg_controllen = CMSG_SPACE(size);
    c = CMSG_FIRSTHDR(message);
    c->cmsg_level = is_v4 ? IPPROTO_IP : IPPROTO_IPV6;
    c->cmsg_type = is_v4 ? IP_PKTINFO : IPV6_PKTINFO;
    c->cmsg_len = CMSG_LEN(size);
    if (is_v4)
        memcpy(CMSG_DATA(c), &info, sizeof(info));
    else
        memcpy(CMSG_DATA(c), &info6, sizeof(info6));
}

static void send_answer(const struct stun_socket *s, const union stun_address *at,
                        struct stun_answer *answer)
{
    union control control = { 0 };
    struct iovec bytes = { answer->bytes, answer->len };
    bool is_v4 = answer->to.any.sa_family == AF_INET;
    struct msghdr message = { .msg_name = &answer->to,
                              .msg_namelen = is_v4 ? sizeof(answer->to.in) : sizeof(answer->to.in6),
                              .msg_iov = &bytes,
                              .msg_iovlen = 1 };

    put_where(&message, &control, at);
    while (sendmsg(s->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EINTR)
        ; /* any other failure: it is a datagram, and whoever asked asks again */
}

static void count(struct metrics *metrics, enum stun_outcome outcome)
{
    static const enum metric rows[] = { [STUN_ANSWERED] = METRIC_STUN_ANSWERED,
                                        [STUN_REFUSED] = METRIC_STUN_REFUSED,
                                        [STUN_DROPPED] = METRIC_STUN_DROPPED,
                                        [STUN_TOO_MANY] = METRIC_STUN_LIMITED };

    metrics_count(metrics, rows[outcome]);
    if (outcome == STUN_TOO_MANY)
        metrics_limit(metrics, LIMIT_STUN_RATE);
}

static bool receive(const struct stun_socket *s, uint8_t *bytes, size_t size,
                    struct stun_request *ret_request)
{
    struct stun_request request = { 0 };
    union control control;
    struct iovec room = { bytes, size };
    struct msghdr message = { .msg_name = &request.from,
                              .msg_namelen = sizeof(request.from),
                              .msg_iov = &room,
                              .msg_iovlen = 1,
                              .msg_control = &control,
                              .msg_controllen = sizeof(control) };
    ssize_t len = recvmsg(s->fd, &message, MSG_DONTWAIT);

    if (len < 0)
        return false;
    request.packet = VIEW(bytes, (size_t)len);
    note_where(&message, s, &request.at);
    *ret_request = request;
    return true;
}

static void on_readable(void *user)
{
    const struct stun_socket *s = user;
    struct stun_edge *edge = s->edge;
    const struct stun_socket *other = &edge->sockets[s == edge->sockets ? 1 : 0];
    uint8_t bytes[STUN_MAX_REQUEST + 1]; /* a longer one is cut, and then too long */
    struct stun_request request;
    struct stun_answer answer;

    for (int i = 0; i < AT_ONCE && receive(s, bytes, sizeof(bytes), &request); i++) {
        request.other_port = other->fd >= 0 ? other->port : 0;
        enum stun_outcome outcome = stun_serve(edge->stun, &request, clock_mono_ms(), &answer);
        count(&edge->router->metrics, outcome);
        if (outcome == STUN_ANSWERED || outcome == STUN_REFUSED)
            send_answer(answer.from_other_port ? other : s, &request.at, &answer);
    }
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool read_where(const char *host, uint16_t port, union stun_address *ret)
{
    *ret = (union stun_address){ .in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) } };
    if (!host || inet_pton(AF_INET6, host, &ret->in6.sin6_addr) == 1)
        return true; /* without a host: all addresses of both families */
    ret->in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
    return inet_pton(AF_INET, host, &ret->in.sin_addr) == 1;
}

static bool set_on(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

static bool set_up(int fd, const union stun_address *where)
{
    bool is_v4 = where->any.sa_family == AF_INET;

    return is_v4 ? set_on(fd, IPPROTO_IP, IP_PKTINFO, 1) &&
                       bind(fd, &where->any, sizeof(where->in)) == 0
                 : set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) &&
                       set_on(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) &&
                       bind(fd, &where->any, sizeof(where->in6)) == 0;
}

/* A machine without IPv6 has all addresses of IPv4. */
static int open_any(uint16_t port, union stun_address *where)
{
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0 || errno != EAFNOSUPPORT)
        return fd;
    where->in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
    return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static bool open_socket(struct stun_socket *s, struct rpc_loop *loop, const char *host,
                        uint16_t port, struct err *err)
{
    union stun_address where;
    socklen_t size = sizeof(where);

    if (!read_where(host, port, &where))
        return err_set(err, ERR_BAD_CONFIG, "stun: %s: not an address", host);
    s->fd = host ? socket(where.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
                 : open_any(port, &where);
    if (s->fd < 0 || !set_up(s->fd, &where) ||
        getsockname(s->fd, &where.any, &size) < 0) /* port 0: which one it is */
        return err_set(err, ERR_SYSTEM, "stun: UDP %s port %u: %s", host ? host : "*",
                       (unsigned)port, strerror(errno));
    s->port = ntohs(where.any.sa_family == AF_INET ? where.in.sin_port : where.in6.sin6_port);
    return rpc_readable_new(rpc_loop_native(loop), s->fd, on_readable, s, &s->readable, err);
}

static void close_socket(struct stun_socket *s)
{
    rpc_readable_free(s->readable);
    if (s->fd >= 0)
        close(s->fd);
    s->readable = NULL;
    s->fd = -1;
    s->port = 0;
}

/* Of the default port somebody else may have been first: then peers learn less of their NATs. */
static bool open_sockets(struct stun_edge *edge, struct rpc_loop *loop, const char *host,
                         uint16_t port, struct err *err)
{
    const struct router_config *config = edge->router->config;

    if (!open_socket(&edge->sockets[0], loop, host, port, err))
        return false;
    if (config->stun_other_port == 0 || config->stun_other_port == edge->sockets[0].port ||
        open_socket(&edge->sockets[1], loop, host, (uint16_t)config->stun_other_port, err))
        return true;
    if (config->stun_other_port != CONFIG_STUN_OTHER_PORT)
        return false;
    log_event(LOG_WARN, "no_stun_other_port", "why=%s", log_quote_text(err->text));
    close_socket(&edge->sockets[1]);
    return true;
}

void stun_edge_reload(struct stun_edge *edge)
{
    struct stun_limits limits = { edge->router->config->max_stun_rate,
                                  edge->router->config->max_stun_total };

    stun_set_limits(edge->stun, &limits);
}

bool stun_edge_new(struct rpc_loop *loop, struct router *router, uint16_t listen_port,
                   struct stun_edge **ret_edge, struct err *err)
{
    const struct router_config *config = router->config;
    bool is_asked_for = config->stun != NULL;
    _cleanup_(stun_edge_freep) struct stun_edge *edge = NULL;
    struct stun_limits limits = { config->max_stun_rate, config->max_stun_total };
    _free_ char *host = NULL;
    uint16_t port;

    *ret_edge = NULL;
    if (is_asked_for && strcmp(config->stun, "no") == 0)
        return true;
    if (!router_config_listen(is_asked_for ? config->stun : config->listen, &host, &port))
        return err_set(err, ERR_BAD_CONFIG, "stun: not an address");
    edge = mem_new(struct stun_edge);
    edge->sockets[0] = edge->sockets[1] = (struct stun_socket){ .edge = edge, .fd = -1 };
    edge->router = router;
    edge->stun = stun_new(&limits);
    if (!open_sockets(edge, loop, host, is_asked_for ? port : listen_port, err)) {
        if (!is_asked_for) /* somebody else's port, most likely */
            log_event(LOG_WARN, "no_stun", "why=%s", log_quote_text(err->text));
        return !is_asked_for;
    }
    router->stun_port = edge->sockets[0].port;
    router->stun_other_port = edge->sockets[1].port;
    log_event(LOG_INFO, "listening_stun", "address=%s port=%u other_port=%u", host ? host : "*",
              (unsigned)router->stun_port, (unsigned)router->stun_other_port);
    *ret_edge = STEAL(edge);
    return true;
}

void stun_edge_free(struct stun_edge *edge)
{
    if (!edge)
        return;
    for (size_t i = 0; i < N_ELEMENTS(edge->sockets); i++)
        close_socket(&edge->sockets[i]);
    stun_free(edge->stun);
    free(edge);
}
