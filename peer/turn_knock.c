/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/turn_knock.h"

#include "base/key.h"
#include "base/mem.h"
#include "base/own.h"
#include "ice/allocate.h"
#include "peer/connecting.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { AGAIN_MS = 500 /* then twice as long (RFC 8489, 6.2.1) */ };

struct turn_knock {
    struct loop *loop;
    struct loop_timer *timer;
    struct loop_watch *watch;
    struct connecting *connecting;
    int fd;
    bool is_tcp;
    uint64_t ends_at, again_at, pause; /* ms */
    uint64_t sent_at;                  /* ns, the newest */
    uint8_t txid[ALLOCATE_TXID];
    uint8_t got[ALLOCATE_MAX_ANSWER];
    size_t n_got;
    struct turn_knock_result result;
    turn_knock_on_result *on_result;
    void *user;
};

void turn_knock_free(struct turn_knock *knock)
{
    if (!knock)
        return;
    connecting_free(knock->connecting);
    loop_watch_free(knock->watch);
    loop_timer_free(knock->timer);
    if (knock->fd >= 0)
        close(knock->fd);
    free(knock);
}

static void finish(struct turn_knock *knock)
{
    struct turn_knock_result result = knock->result;
    turn_knock_on_result *on_result = knock->on_result;
    void *user = knock->user;

    turn_knock_free(knock);
    on_result(user, &result);
}

static void say(struct turn_knock *knock, const char *why)
{
    snprintf(knock->result.why, sizeof(knock->result.why), "%s", why);
}

static void await(struct turn_knock *knock)
{
    uint64_t now = clock_mono_ms(), at = min_u64(knock->again_at, knock->ends_at);

    loop_timer_in(knock->timer, at > now ? at - now : 0);
}

/* What is lost is asked for again; TCP does that itself. */
static void ask(struct turn_knock *knock)
{
    uint8_t request[ALLOCATE_REQUEST];

    ice_allocate_put(knock->txid, request);
    knock->sent_at = clock_mono_ns();
    if (send(knock->fd, request, sizeof(request), MSG_NOSIGNAL) != (ssize_t)sizeof(request) &&
        knock->is_tcp) {
        say(knock, strerror(errno));
        loop_timer_in(knock->timer, 0);
        return;
    }
    knock->again_at = knock->is_tcp ? NEVER_MS : clock_mono_ms() + knock->pause;
    knock->pause *= 2;
    await(knock);
}

static void on_timer(void *user)
{
    struct turn_knock *knock = user;
    uint64_t now = clock_mono_ms();

    if (knock->result.why[0] || now >= knock->ends_at) {
        if (!knock->result.why[0])
            say(knock, "no answer");
        finish(knock);
    } else if (now >= knock->again_at) {
        ask(knock);
    } else {
        await(knock);
    }
}

static void end_allocation(struct turn_knock *knock)
{
    uint8_t request[ALLOCATE_REQUEST];

    random_bytes(knock->txid, sizeof(knock->txid));
    ice_allocate_put_end(knock->txid, request);
    (void)!send(knock->fd, request, sizeof(request), MSG_NOSIGNAL);
}

/* False: it goes on. */
static bool take(struct turn_knock *knock)
{
    unsigned code;

    switch (ice_allocate_read(VIEW(knock->got, knock->n_got), knock->txid, &code)) {
    case ICE_ALLOCATE_PART:
        return false;
    case ICE_ALLOCATE_NONE:
        if (!knock->is_tcp)
            return false; /* somebody else's packet, or an answer to nothing */
        say(knock, "what answers there is no TURN server");
        break;
    case ICE_ALLOCATE_WANTS:
        knock->result.wants_credential = true;
        break;
    case ICE_ALLOCATE_OPEN:
        knock->result.is_open = true;
        end_allocation(knock);
        break;
    case ICE_ALLOCATE_REFUSED:
        snprintf(knock->result.why, sizeof(knock->result.why), "it refuses with error %u", code);
        break;
    }
    knock->result.rtt_us = (clock_mono_ns() - knock->sent_at) / 1000;
    return true;
}

static void on_readable(void *user)
{
    struct turn_knock *knock = user;

    if (!knock->is_tcp)
        knock->n_got = 0; /* a packet is a message */
    size_t room = sizeof(knock->got) - knock->n_got;
    ssize_t n = room ? recv(knock->fd, knock->got + knock->n_got, room, 0) : 0;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0 && !knock->is_tcp && errno == ECONNREFUSED) {
        say(knock, strerror(errno));
    } else if (n <= 0 && knock->is_tcp) {
        say(knock, n < 0 ? strerror(errno) : "it closes the connection");
    } else {
        knock->n_got += n > 0 ? (size_t)n : 0;
        if (!take(knock))
            return;
    }
    finish(knock);
}

static void on_connected(void *user, const struct connecting_result *connected)
{
    struct turn_knock *knock = user;

    knock->connecting = NULL;
    knock->fd = connected->fd;
    if (knock->fd < 0) {
        say(knock, connected->why);
        finish(knock);
        return;
    }
    knock->watch = loop_watch_new(knock->loop, knock->fd, on_readable, knock);
    loop_watch_set(knock->watch, LOOP_READ | LOOP_GONE);
    knock->timer = loop_timer_new(knock->loop, on_timer, knock);
    ask(knock);
}

struct turn_knock *turn_knock_new(struct loop *loop, const struct ice_turn_server *server,
                                  uint64_t ms, turn_knock_on_result *on_result, void *user)
{
    struct turn_knock *knock = mem_new(struct turn_knock);

    knock->loop = loop;
    knock->fd = -1;
    knock->is_tcp = server->is_tcp;
    knock->on_result = on_result;
    knock->user = user;
    knock->pause = AGAIN_MS;
    knock->ends_at = clock_mono_ms() + ms;
    random_bytes(knock->txid, sizeof(knock->txid));
    knock->connecting = connecting_new(loop, server->is_tcp ? SOCK_STREAM : SOCK_DGRAM,
                                       server->host, server->port, ms, on_connected, knock);
    return knock;
}
