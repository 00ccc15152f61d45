/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ws_tunnel.h"
#include "base/clock.h"
#include "base/key.h"
#include "base/text.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATIENCE_MS = 15000, ONE_ADDRESS_MS = 5000 };

struct rpc_ws_tunnel {
    struct rpc_proxy proxy;
    char host[256];
    uint16_t port;
    uint64_t until;
    int stop_fd; /* readable: nobody waits any more */

    pthread_mutex_t lock; /* of what follows */
    unsigned refs;
    void (*done)(void *user); /* NULL: dropped */
    void *user;
    enum rpc_ws_tunnel_state state;
    char name[RPC_WS_TUNNEL_NAME];
    struct err err;
};

static void unref(struct rpc_ws_tunnel *t)
{
    pthread_mutex_lock(&t->lock);
    bool is_last = --t->refs == 0;
    pthread_mutex_unlock(&t->lock);
    if (!is_last)
        return;
    close(t->stop_fd);
    pthread_mutex_destroy(&t->lock);
    mem_wipe(&t->proxy, sizeof(t->proxy));
    free(t);
}

/* ---- the thread ---------------------------------------------------------------------------------- */

static bool failed(const struct rpc_ws_tunnel *t, const char *what, struct err *err)
{
    return err_set(err, ERR_NETWORK_FAILURE, "the proxy %s port %u: %s", t->proxy.host,
                   (unsigned)t->proxy.port, what);
}

static bool wait_for(const struct rpc_ws_tunnel *t, int fd, short events, uint64_t until,
                     struct err *err)
{
    struct pollfd fds[] = { { fd, events, 0 }, { t->stop_fd, POLLIN, 0 } };
    uint64_t now;

    for (;;) {
        now = clock_mono_ms();
        if (now >= until)
            return failed(t, "it does not answer", err);
        if (poll(fds, 2, (int)(until - now)) < 0 && errno != EINTR)
            return err_errno(err, "waiting for the proxy");
        if (fds[1].revents)
            return err_set(err, ERR_CANCELED, "not wanted any more");
        if (fds[0].revents)
            return true;
    }
}

static bool connect_one(const struct rpc_ws_tunnel *t, const struct addrinfo *to, int *ret_fd,
                        struct err *err)
{
    int fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), why = 0, one = 1;
    socklen_t len = sizeof(why);

    if (fd < 0)
        return err_errno(err, "connecting to the proxy");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, to->ai_addr, to->ai_addrlen) == 0 ||
        (errno == EINPROGRESS &&
         wait_for(t, fd, POLLOUT, min_u64(t->until, clock_mono_ms() + ONE_ADDRESS_MS), err) &&
         getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len) == 0 && why == 0)) {
        *ret_fd = fd;
        return true;
    }
    if (err->code == ERR_NONE)
        failed(t, strerror(why ? why : errno), err);
    close(fd);
    return false;
}

static bool connect_any(const struct rpc_ws_tunnel *t, int *ret_fd, struct err *err)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
    struct addrinfo *found = NULL, *at;
    bool is_there = false;
    char port[8];
    int rc;

    snprintf(port, sizeof(port), "%u", (unsigned)t->proxy.port);
    rc = getaddrinfo(t->proxy.host, port, &hints, &found);
    if (rc != 0)
        return failed(t, gai_strerror(rc), err);
    for (at = found; at && !is_there; at = at->ai_next) {
        *err = (struct err){ 0 };
        is_there = connect_one(t, at, ret_fd, err);
    }
    freeaddrinfo(found);
    return is_there;
}

static bool send_all(const struct rpc_ws_tunnel *t, int fd, struct view bytes, struct err *err)
{
    ssize_t n;

    while (bytes.len) {
        if (!wait_for(t, fd, POLLOUT, t->until, err))
            return false;
        n = send(fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return failed(t, strerror(errno), err);
        bytes = view_sub(bytes, n > 0 ? (size_t)n : 0, bytes.len);
    }
    return true;
}

static bool receive(const struct rpc_ws_tunnel *t, int fd, uint8_t *to, size_t max, size_t *ret_n,
                    struct err *err)
{
    ssize_t n;

    if (!wait_for(t, fd, POLLIN, t->until, err))
        return false;
    n = recv(fd, to, max, 0);
    if (n == 0)
        return failed(t, "it closed the connection", err);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return failed(t, strerror(errno), err);
    *ret_n = n > 0 ? (size_t)n : 0;
    return true;
}

static bool ask(const struct rpc_ws_tunnel *t, int fd, struct err *err)
{
    enum rpc_proxy_step step = RPC_PROXY_MORE;
    struct rpc_proxy_talk talk;
    _buf_wipe_ out = { 0 };
    uint8_t came[512];
    size_t n = 0;
    bool ok = true;

    rpc_proxy_begin(&talk, &t->proxy, t->host, t->port, &out);
    while (ok && step == RPC_PROXY_MORE) {
        ok = send_all(t, fd, buf_view(&out), err) &&
             receive(t, fd, came, (size_t)min_u64(talk.wanted, sizeof(came)), &n, err);
        buf_clear(&out);
        if (ok && n)
            step = rpc_proxy_input(&talk, VIEW(came, n), &out, err);
    }
    rpc_proxy_end(&talk);
    return ok && step == RPC_PROXY_THROUGH;
}

/* An abstract name that nobody foresees. */
static bool listen_locally(struct rpc_ws_tunnel *t, int *ret_fd, char name[RPC_WS_TUNNEL_NAME],
                           struct err *err)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    uint8_t number[16];
    socklen_t len;
    _buf_ hex = { 0 };

    (void)t;
    random_bytes(number, sizeof(number));
    text_put_hex(&hex, VIEW_ARR(number));
    snprintf(name, RPC_WS_TUNNEL_NAME, "+@warren-%s", buf_cstr(&hex));
    memcpy(at.sun_path + 1, name + 2, strlen(name) - 2);
    len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name) - 1);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&at, len) == 0 && listen(fd, 1) == 0) {
        *ret_fd = fd;
        return true;
    }
    err_errno(err, "a local socket for the proxy");
    if (fd >= 0)
        close(fd);
    return false;
}

/* The process itself: others may know the name from /proc/net/unix. */
static bool is_ours(int fd)
{
    struct ucred who = { 0 };
    socklen_t len = sizeof(who);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && who.pid == getpid();
}

static int accept_ours(const struct rpc_ws_tunnel *t, int listener)
{
    uint64_t until = clock_mono_ms() + ONE_ADDRESS_MS;
    struct err ignored = { 0 };
    int fd;

    while (wait_for(t, listener, POLLIN, until, &ignored)) {
        fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0 && is_ours(fd))
            return fd;
        if (fd >= 0)
            close(fd);
    }
    return -1;
}

struct half { /* one direction */
    int from, to;
    uint8_t bytes[32 * 1024];
    size_t n, sent;
    bool has_ended;
};

/* False: this direction is broken. */
static bool carry(struct half *half)
{
    ssize_t n;

    if (half->n == 0) {
        n = recv(half->from, half->bytes, sizeof(half->bytes), 0);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        half->has_ended = n == 0;
        half->n = (size_t)n;
        half->sent = 0;
        if (half->has_ended)
            return shutdown(half->to, SHUT_WR) == 0;
    }
    n = send(half->to, half->bytes + half->sent, half->n - half->sent, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    half->sent += (size_t)n;
    if (half->sent == half->n)
        half->n = 0;
    return true;
}

static void carry_all(int local, int proxy)
{
    struct half *halves = mem_array(struct half, 2);
    bool ok = true;

    halves[0] = (struct half){ .from = local, .to = proxy };
    halves[1] = (struct half){ .from = proxy, .to = local };
    while (ok && !(halves[0].has_ended && halves[1].has_ended)) {
        struct pollfd fds[2] = { { local, 0, 0 }, { proxy, 0, 0 } };
        for (size_t i = 0; i < 2; i++) {
            if (halves[i].n)
                fds[!i].events |= POLLOUT;
            else if (!halves[i].has_ended)
                fds[i].events |= POLLIN;
        }
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
        for (size_t i = 0; i < 2 && ok; i++) {
            if (halves[i].n ? fds[!i].revents : fds[i].revents)
                ok = halves[i].has_ended || carry(&halves[i]);
        }
        ok = ok && !((fds[0].revents | fds[1].revents) & POLLERR);
    }
    free(halves);
}

static void tell(struct rpc_ws_tunnel *t, bool is_through, const char *name, const struct err *err)
{
    pthread_mutex_lock(&t->lock);
    snprintf(t->name, sizeof(t->name), "%s", name);
    t->err = *err;
    t->state = is_through ? RPC_WS_TUNNEL_THROUGH : RPC_WS_TUNNEL_FAILED;
    if (t->done)
        t->done(t->user);
    pthread_mutex_unlock(&t->lock);
}

static void *run(void *user)
{
    struct rpc_ws_tunnel *t = user;
    char name[RPC_WS_TUNNEL_NAME] = "";
    int proxy = -1, listener = -1, local = -1;
    struct err err = { 0 };
    bool ok = connect_any(t, &proxy, &err) && ask(t, proxy, &err) &&
              listen_locally(t, &listener, name, &err);

    tell(t, ok, name, &err);
    if (ok)
        local = accept_ours(t, listener);
    if (listener >= 0)
        close(listener);
    unref(t);
    if (local >= 0)
        carry_all(local, proxy);
    if (local >= 0)
        close(local);
    if (proxy >= 0)
        close(proxy);
    return NULL;
}

/* ---- its owner ------------------------------------------------------------------------------------ */

static bool start_thread(struct rpc_ws_tunnel *t, struct err *err)
{
    int rc = thread_start(run, t, NULL);

    return rc == 0 || err_set(err, ERR_SYSTEM, "a thread for the proxy: %s", strerror(rc));
}

bool rpc_ws_tunnel_new(const struct rpc_proxy *proxy, const char *host, uint16_t port,
                       void (*done)(void *user), void *user, struct rpc_ws_tunnel **ret_tunnel,
                       struct err *err)
{
    struct rpc_ws_tunnel *t = mem_new(struct rpc_ws_tunnel);

    *t = (struct rpc_ws_tunnel){ .proxy = *proxy,
                                 .port = port,
                                 .refs = 2,
                                 .done = done,
                                 .user = user,
                                 .until = clock_mono_ms() + PATIENCE_MS };
    snprintf(t->host, sizeof(t->host), "%s", host);
    pthread_mutex_init(&t->lock, NULL);
    t->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (t->stop_fd < 0 || !start_thread(t, err)) {
        if (t->stop_fd < 0)
            err_errno(err, "a connection through the proxy");
        t->refs = 1;
        unref(t);
        return false;
    }
    *ret_tunnel = t;
    return true;
}

enum rpc_ws_tunnel_state rpc_ws_tunnel_look(struct rpc_ws_tunnel *t,
                                            char ret_name[RPC_WS_TUNNEL_NAME], struct err *err)
{
    pthread_mutex_lock(&t->lock);
    enum rpc_ws_tunnel_state state = t->state;
    memcpy(ret_name, t->name, RPC_WS_TUNNEL_NAME);
    *err = t->err;
    pthread_mutex_unlock(&t->lock);
    return state;
}

void rpc_ws_tunnel_leave(struct rpc_ws_tunnel *t)
{
    pthread_mutex_lock(&t->lock);
    t->done = NULL;
    pthread_mutex_unlock(&t->lock);
    unref(t);
}

void rpc_ws_tunnel_drop(struct rpc_ws_tunnel *t)
{
    const uint64_t one = 1;

    if (!t)
        return;
    while (write(t->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
    rpc_ws_tunnel_leave(t);
}
