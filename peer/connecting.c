/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/connecting.h"

#include "base/mem.h"
#include "base/own.h"
#include "ice/ice.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct connecting {
    struct loop *loop;
    struct loop_timer *timer;
    struct loop_watch *watch;
    struct ice_lookup *lookup;
    int type;
    uint16_t port;
    struct connecting_result result;
    connecting_on_result *on_result;
    void *user;
};

void connecting_free(struct connecting *connecting)
{
    if (!connecting)
        return;
    ice_lookup_cancel(connecting->lookup);
    loop_watch_free(connecting->watch);
    loop_timer_free(connecting->timer);
    if (connecting->result.fd >= 0)
        close(connecting->result.fd);
    free(connecting);
}

static void say(struct connecting *connecting, const char *why)
{
    snprintf(connecting->result.why, sizeof(connecting->result.why), "%s", why);
}

static void finish(struct connecting *connecting)
{
    struct connecting_result result = connecting->result;
    connecting_on_result *on_result = connecting->on_result;
    void *user = connecting->user;

    if (result.why[0])
        result.fd = -1;
    else
        connecting->result.fd = -1; /* theirs now */
    connecting_free(connecting);
    on_result(user, &result);
}

static void on_timer(void *user)
{
    struct connecting *connecting = user;

    if (!connecting->result.why[0])
        say(connecting, connecting->lookup ? "its name has no address in time" : "no answer");
    finish(connecting);
}

static void on_socket(void *user)
{
    struct connecting *connecting = user;
    int error = 0;
    socklen_t len = sizeof(error);

    getsockopt(connecting->result.fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error)
        say(connecting, strerror(error));
    finish(connecting);
}

/* False: why. */
static bool set_out(struct connecting *connecting, const char *address)
{
    struct connecting_result *result = &connecting->result;
    union nat_address *to = &result->remote;

    if (!address || !nat_address_read(address, connecting->port, to)) {
        say(connecting, "its name has no address");
        return false;
    }
    result->began_at = clock_mono_ns();
    result->fd = socket(to->any.sa_family, connecting->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (result->fd < 0 ||
        (connect(result->fd, &to->any, nat_address_size(to)) != 0 && errno != EINPROGRESS)) {
        say(connecting, strerror(errno));
        return false;
    }
    return true;
}

static void on_address(void *user, const char *address)
{
    struct connecting *connecting = user;

    connecting->lookup = NULL;
    if (!set_out(connecting, address)) {
        loop_timer_in(connecting->timer, 0); /* not from inside connecting_new() */
        return;
    }
    connecting->watch =
        loop_watch_new(connecting->loop, connecting->result.fd, on_socket, connecting);
    loop_watch_set(connecting->watch, LOOP_WRITE | LOOP_GONE);
}

struct connecting *connecting_new(struct loop *loop, int type, const char *host, uint16_t port,
                                  uint64_t ms, connecting_on_result *on_result, void *user)
{
    struct connecting *connecting = mem_new(struct connecting);
    union nat_address any;

    connecting->loop = loop;
    connecting->type = type;
    connecting->port = port;
    connecting->result.fd = -1;
    connecting->on_result = on_result;
    connecting->user = user;
    connecting->timer = loop_timer_new(loop, on_timer, connecting);
    loop_timer_in(connecting->timer, ms);
    if (nat_address_read(host, port, &any))
        on_address(connecting, host);
    else
        connecting->lookup = ice_lookup_new(loop_context(loop), host, on_address, connecting);
    return connecting;
}
