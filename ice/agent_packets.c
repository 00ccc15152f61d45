/* SPDX-License-Identifier: Apache-2.0 */
/* An agent's datagrams. libnice hands them over one by one, in one go until its socket is empty:
 * they are gathered and handed on as batches, because the link flushes once a batch. */
#include "ice/agent.h"

#include <netinet/in.h>

enum { BLOCKED_FOR_MS = 2, SOCKET_BUFFER = 4 * 1024 * 1024 };

void agent_hand_over(struct ice_agent *agent)
{
    struct agent_batch *batch = agent->batch;
    size_t n = batch->n;

    batch->n = batch->len = 0;
    if (n && !agent->is_closed && agent->events.on_packets)
        agent->events.on_packets(agent->config.user, batch->packets, n);
}

static void on_recv(NiceAgent *nice, guint stream, guint component, guint len, gchar *bytes,
                    gpointer user)
{
    struct ice_agent *agent = user;
    struct agent_batch *batch = agent->batch;

    (void)nice;
    (void)stream;
    (void)component;
    if (agent->is_closed || len == 0 ||
        len > AGENT_PACKET) /* nothing of the link's is that large */
        return;
    memcpy(batch->bytes + batch->len, bytes, len);
    batch->packets[batch->n++] = VIEW(batch->bytes + batch->len, len);
    batch->len += len;
    if (batch->n == AGENT_BATCH)
        agent_hand_over(agent);
    else if (batch->n == 1)
        agent_wake(agent);
}

void agent_attach_recv(struct ice_agent *agent)
{
    nice_agent_attach_recv(agent->nice, agent->stream, AGENT_COMPONENT, agent->context, on_recv,
                           agent);
}

/* Best effort: a kernel that refuses only costs speed, or lets a path's MTU be found too large.
 * PROBE sets DF and leaves finding the path's MTU to QUIC, without the kernel's own idea of it. */
void agent_tune_socket(int fd)
{
    int probe4 = IP_PMTUDISC_PROBE, probe6 = IPV6_PMTUDISC_PROBE, size = SOCKET_BUFFER;

    (void)setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &probe4, sizeof(probe4));
    (void)setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &probe6, sizeof(probe6));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

void agent_tune_sockets(struct ice_agent *agent)
{
    GPtrArray *sockets = nice_agent_get_sockets(agent->nice, agent->stream, AGENT_COMPONENT);

    for (guint i = 0; sockets && i < sockets->len; i++)
        agent_tune_socket(g_socket_get_fd(g_ptr_array_index(sockets, i)));
    if (sockets)
        g_ptr_array_unref(sockets);
}

static gboolean on_room(struct ice_agent *agent)
{
    agent_stop_waiting(agent);
    if (!agent->is_closed && agent->events.on_writable)
        agent->events.on_writable(agent->config.user);
    return G_SOURCE_REMOVE;
}

static gboolean on_socket_room(GSocket *socket, GIOCondition condition, gpointer user)
{
    (void)socket;
    (void)condition;
    return on_room(user);
}

static gboolean on_timer_room(gpointer user)
{
    return on_room(user);
}

/* libnice says nothing about room in unreliable mode. TURN and TCP pairs have no socket to wait
 * for: a timer then. */
static void wait_for_room(struct ice_agent *agent)
{
    GSocket *socket;

    if (agent->writable)
        return;
    socket = nice_agent_get_selected_socket(agent->nice, agent->stream, AGENT_COMPONENT);
    if (socket) {
        agent->writable = g_socket_create_source(socket, G_IO_OUT, NULL);
        g_source_set_callback(agent->writable, G_SOURCE_FUNC(on_socket_room), agent, NULL);
        g_object_unref(socket);
    } else {
        agent->writable = g_timeout_source_new(BLOCKED_FOR_MS);
        g_source_set_callback(agent->writable, on_timer_room, agent, NULL);
    }
    g_source_attach(agent->writable, agent->context);
}

void agent_stop_waiting(struct ice_agent *agent)
{
    source_drop(&agent->writable);
}

/* How many of `n` messages went. One that the system refuses for its own sake (too large for the
 * interface, no route just now) counts as sent and is lost, as on any path. */
static size_t send_messages(struct ice_agent *agent, const NiceOutputMessage *messages, size_t n)
{
    size_t sent = 0;

    while (sent < n) {
        GError *error = NULL;
        gint rc =
            nice_agent_send_messages_nonblocking(agent->nice, agent->stream, AGENT_COMPONENT,
                                                 messages + sent, (guint)(n - sent), NULL, &error);
        bool would_block = rc == 0 || g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);

        g_clear_error(&error);
        if (rc <= 0 && would_block)
            break;
        sent += rc > 0 ? (size_t)rc : 1;
    }
    return sent;
}

size_t ice_agent_send(struct ice_agent *agent, const struct view *packets, size_t n)
{
    size_t sent = 0;

    if (agent->is_closed || agent->state != ICE_READY)
        return 0;
    if (agent->socket)
        return agent_socket_send(agent->socket, packets, n);
    while (sent < n) {
        GOutputVector vectors[AGENT_BATCH];
        NiceOutputMessage messages[AGENT_BATCH];
        size_t want = n - sent < AGENT_BATCH ? n - sent : AGENT_BATCH, went;

        for (size_t i = 0; i < want; i++) {
            vectors[i] = (GOutputVector){ packets[sent + i].data, packets[sent + i].len };
            messages[i] = (NiceOutputMessage){ &vectors[i], 1 };
        }
        went = send_messages(agent, messages, want);
        sent += went;
        if (went < want) {
            wait_for_room(agent);
            break;
        }
    }
    return sent;
}
