/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/proxy_knock.h"

#include "base/mem.h"
#include "base/own.h"
#include "peer/connecting.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { ASK_MS = 4000, AGAIN_MS = 2000 };

struct proxy_knock {
    struct loop *loop;
    struct loop_timer *timer;
    struct loop_watch *watch;
    struct connecting *connecting;
    const struct rpc_proxy *proxy;
    const struct rpc_join_host *host;
    int fd;
    uint64_t began_at; /* ns */
    bool is_talking, has_come;
    bool is_again; /* it was silent: whether it is an HTTP proxy at all */
    struct rpc_proxy_talk talk;
    struct proxy_knock_result result;
    proxy_knock_on_result *on_result;
    void *user;
};

static void disconnect(struct proxy_knock *knock)
{
    connecting_free(STEAL(knock->connecting));
    loop_watch_free(STEAL(knock->watch));
    loop_timer_free(STEAL(knock->timer));
    if (knock->fd >= 0)
        close(knock->fd);
    knock->fd = -1;
    if (knock->is_talking)
        rpc_proxy_end(&knock->talk);
    knock->is_talking = knock->has_come = false;
}

void proxy_knock_free(struct proxy_knock *knock)
{
    if (!knock)
        return;
    disconnect(knock);
    free(knock);
}

static void finish(struct proxy_knock *knock, enum proxy_way way, const char *why)
{
    struct proxy_knock_result result = { .way = way };
    proxy_knock_on_result *on_result = knock->on_result;
    void *user = knock->user;

    result.rtt_us = (clock_mono_ns() - knock->began_at) / 1000;
    snprintf(result.why, sizeof(result.why), "%s", why);
    proxy_knock_free(knock);
    on_result(user, &result);
}

static void connect_to(struct proxy_knock *knock, uint64_t ms);

/* A proxy says nothing while it waits for the host; what speaks another protocol says nothing either. Of SOCKS the first word tells, of HTTP
 * a question that is about the proxy alone. */
static void on_silence(void *user)
{
    struct proxy_knock *knock = user;

    if (knock->proxy->kind == RPC_PROXY_HTTP && !knock->is_again) {
        knock->is_again = true;
        disconnect(knock);
        connect_to(knock, AGAIN_MS);
    } else if (knock->has_come) {
        finish(knock, PROXY_WAY_BEYOND, "it waits for an answer from there");
    } else {
        finish(knock, PROXY_WAY_NONE, "no answer");
    }
}

static bool say(const struct proxy_knock *knock, const struct buf *words)
{
    return words->len == 0 ||
           send(knock->fd, words->data, words->len, MSG_NOSIGNAL) == (ssize_t)words->len;
}

/* rpc/proxy.c's text, without the words that name the proxy. */
static const char *bare(const struct proxy_knock *knock, const char *text)
{
    char before[320];
    int n = snprintf(before, sizeof(before), "the proxy %s port %u: ", knock->proxy->host,
                     (unsigned)knock->proxy->port);

    return n > 0 && strncmp(text, before, (size_t)n) == 0 ? text + n : text;
}

static void take(struct proxy_knock *knock, struct view came)
{
    _buf_wipe_ out = { 0 };
    struct err err = { 0 };

    if (knock->is_again) {
        bool is_http = came.data[0] == 'H';
        finish(knock, is_http ? PROXY_WAY_BEYOND : PROXY_WAY_NONE,
               is_http ? "it waits for an answer from there" : "it does not speak HTTP/1.1");
        return;
    }
    switch (rpc_proxy_input(&knock->talk, came, &out, &err)) {
    case RPC_PROXY_MORE:
        if (!say(knock, &out))
            finish(knock, PROXY_WAY_NONE, strerror(errno));
        break;
    case RPC_PROXY_THROUGH:
        finish(knock, PROXY_WAY_THROUGH, "");
        break;
    case RPC_PROXY_REFUSED:
        finish(knock, knock->talk.is_beyond ? PROXY_WAY_BEYOND : PROXY_WAY_NONE,
               bare(knock, err.text));
        break;
    }
}

static void on_readable(void *user)
{
    struct proxy_knock *knock = user;
    uint8_t bytes[512];
    size_t room = knock->is_again ? 1 : min_u64(knock->talk.wanted, sizeof(bytes));
    ssize_t n = recv(knock->fd, bytes, room, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        finish(knock, PROXY_WAY_NONE, n < 0 ? strerror(errno) : "it closed the connection");
        return;
    }
    knock->has_come = true;
    take(knock, VIEW(bytes, (size_t)n));
}

static void on_connected(void *user, const struct connecting_result *connected)
{
    struct proxy_knock *knock = user;
    _buf_wipe_ words = { 0 };

    knock->connecting = NULL;
    knock->fd = connected->fd;
    if (knock->fd < 0) {
        finish(knock, PROXY_WAY_NONE, connected->why);
        return;
    }
    if (knock->is_again) {
        buf_put_text(&words, "OPTIONS * HTTP/1.1\r\nHost: proxy.invalid\r\nMax-Forwards: 0\r\n"
                             "Connection: close\r\n\r\n");
    } else {
        rpc_proxy_begin(&knock->talk, knock->proxy, knock->host->host, knock->host->port, &words);
        knock->is_talking = true;
    }
    if (!say(knock, &words)) {
        finish(knock, PROXY_WAY_NONE, strerror(errno));
        return;
    }
    knock->watch = loop_watch_new(knock->loop, knock->fd, on_readable, knock);
    loop_watch_set(knock->watch, LOOP_READ | LOOP_GONE);
    knock->timer = loop_timer_new(knock->loop, on_silence, knock);
    loop_timer_in(knock->timer, knock->is_again ? AGAIN_MS : ASK_MS);
}

static void connect_to(struct proxy_knock *knock, uint64_t ms)
{
    knock->connecting = connecting_new(knock->loop, SOCK_STREAM, knock->proxy->host,
                                       knock->proxy->port, ms, on_connected, knock);
}

struct proxy_knock *proxy_knock_new(struct loop *loop, const struct rpc_proxy *proxy,
                                    const struct rpc_join_host *host,
                                    proxy_knock_on_result *on_result, void *user)
{
    struct proxy_knock *knock = mem_new(struct proxy_knock);

    knock->loop = loop;
    knock->fd = -1;
    knock->proxy = proxy;
    knock->host = host;
    knock->began_at = clock_mono_ns();
    knock->on_result = on_result;
    knock->user = user;
    connect_to(knock, ASK_MS);
    return knock;
}
