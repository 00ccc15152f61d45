/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets below nat.c, on a GLib main context. */
#include "ice/agent.h"
#include "ice/nat_core.h"
#include "ice/source.h"

#include "base/clock.h"
#include "base/key.h"
#include "base/mem.h"
#include "base/own.h"

#include <gio/gio.h>
#include <glib-unix.h>
#include <unistd.h>

enum { MAX_READS = 16 };

struct port {
    struct ice_nat_probe *probe;
    int fd;
    GSource *source;
};

struct ice_nat_probe {
    GMainContext *context;
    struct nat_core nat;
    struct port ports[NAT_SOCKETS];
    GSource *timer;
    ice_on_nat *on_nat;
    void *user;
};

void ice_nat_probe_free(struct ice_nat_probe *probe)
{
    if (!probe)
        return;
    source_drop(&probe->timer);
    for (size_t i = 0; i < NAT_SOCKETS; i++) {
        source_drop(&probe->ports[i].source);
        if (probe->ports[i].fd >= 0)
            close(probe->ports[i].fd);
    }
    g_main_context_unref(probe->context);
    free(probe);
}

/* An address without a route loses what is sent, as any way does. */
static void send_due(struct ice_nat_probe *probe)
{
    struct nat_packet packet;

    while (nat_next(&probe->nat, clock_mono_ms(), &packet))
        (void)!sendto(probe->ports[packet.socket].fd, packet.bytes, packet.len, 0, &packet.to.any,
                      nat_address_size(&packet.to));
}

static void turn(struct ice_nat_probe *probe);

static gboolean on_timer(gpointer user)
{
    turn(user);
    return G_SOURCE_REMOVE;
}

static void turn(struct ice_nat_probe *probe)
{
    uint64_t now = clock_mono_ms(), at;
    struct ice_nat result;

    send_due(probe);
    if (nat_is_done(&probe->nat, now)) {
        nat_result(&probe->nat, &result);
        ice_on_nat *on_nat = probe->on_nat;
        void *owner = probe->user;
        ice_nat_probe_free(probe);
        on_nat(owner, &result);
        return;
    }
    at = nat_deadline(&probe->nat);
    source_drop(&probe->timer);
    probe->timer = g_timeout_source_new(at > now ? (guint)(at - now) : 1);
    g_source_set_callback(probe->timer, on_timer, probe, NULL);
    g_source_attach(probe->timer, probe->context);
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer user)
{
    struct port *port = user;
    struct ice_nat_probe *probe = port->probe;

    (void)condition;
    for (int i = 0; i < MAX_READS; i++) {
        union nat_address from = { 0 };
        socklen_t len = sizeof(from);
        uint8_t bytes[NAT_MAX_PACKET + 1];
        ssize_t n = recvfrom(fd, bytes, sizeof(bytes), 0, &from.any, &len);

        if (n < 0)
            break;
        nat_input(&probe->nat, (unsigned)(port - probe->ports), &from, VIEW(bytes, (size_t)n),
                  clock_mono_ns() / 1000);
    }
    turn(probe); /* may free it, and the source with it */
    return G_SOURCE_CONTINUE;
}

static bool open_port(struct ice_nat_probe *probe, size_t i, int family)
{
    struct port *port = &probe->ports[i];
    union nat_address any = { .any.sa_family = (sa_family_t)family };

    port->probe = probe;
    port->fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (port->fd < 0 || bind(port->fd, &any.any, nat_address_size(&any)) != 0)
        return false;
    agent_tune_socket(port->fd); /* whole, or not at all */
    port->source = g_unix_fd_source_new(port->fd, G_IO_IN);
    g_source_set_callback(port->source, G_SOURCE_FUNC(on_readable), port, NULL);
    g_source_attach(port->source, probe->context);
    return true;
}

/* From where the kernel would send, with the port of the socket that asks. */
static void find_local(const struct ice_nat_probe *probe, const union nat_address *to,
                       union nat_address *ret)
{
    union nat_address own = { 0 };
    socklen_t len = sizeof(own), bound_len = sizeof(own);
    union nat_address bound = { 0 };
    int fd = socket(to->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    *ret = (union nat_address){ 0 };
    if (fd < 0)
        return;
    if (connect(fd, &to->any, nat_address_size(to)) == 0 && getsockname(fd, &own.any, &len) == 0 &&
        getsockname(probe->ports[0].fd, &bound.any, &bound_len) == 0) {
        if (own.any.sa_family == AF_INET)
            own.in.sin_port = bound.in.sin_port;
        else
            own.in6.sin6_port = bound.in6.sin6_port;
        *ret = own;
    }
    close(fd);
}

struct ice_nat_probe *ice_nat_probe_new(void *context, const struct ice_nat_question *question,
                                        ice_on_nat *on_nat, void *user)
{
    struct ice_nat_probe *probe;
    uint8_t txids[NAT_TESTS][NAT_TXID];
    union nat_address to, local;
    bool ok = true;

    if (!nat_address_read(question->server, question->port, &to))
        return NULL;
    probe = mem_new(struct ice_nat_probe);
    probe->context = g_main_context_ref(context);
    probe->on_nat = on_nat;
    probe->user = user;
    for (size_t i = 0; i < NAT_SOCKETS; i++)
        probe->ports[i].fd = -1;
    for (size_t i = 0; ok && i < NAT_SOCKETS; i++)
        ok = open_port(probe, i, to.any.sa_family);
    if (!ok) {
        ice_nat_probe_free(probe);
        return NULL;
    }
    find_local(probe, &to, &local);
    if (local.any.sa_family == AF_UNSPEC) { /* no route: nothing can be learnt of that family */
        ice_nat_probe_free(probe);
        return NULL;
    }
    random_bytes(txids, sizeof(txids));
    nat_begin(&probe->nat, question, &local, txids, clock_mono_ms());
    probe->timer = g_timeout_source_new(0);
    g_source_set_callback(probe->timer, on_timer, probe, NULL);
    g_source_attach(probe->timer, probe->context);
    return probe;
}
