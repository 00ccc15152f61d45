/* SPDX-License-Identifier: Apache-2.0 */
#include "router/relay_edge.h"
#include "router/gate.h"

/* A busy session must not keep calls waiting: TLS records of one connection in one turn. */
enum { SHARE = 8 };

struct relay_wire {
    struct relay_edge *edge;
    struct rpc_ws_conn *ws;
    struct relay_socket *socket; /* NULL while the core makes it */
};

static void send_out(void *user, struct view datagram)
{
    rpc_ws_send(((struct relay_wire *)user)->ws, datagram);
}

static void tell(void *user, const char *word)
{
    rpc_ws_send_text(((struct relay_wire *)user)->ws, view_text(word));
}

static size_t queued(void *user)
{
    return rpc_ws_queued(((struct relay_wire *)user)->ws);
}

static void close_wire(void *user, enum relay_code code, const char *reason)
{
    rpc_ws_close(((struct relay_wire *)user)->ws, (uint16_t)code, reason);
}

static void proved(void *user)
{
    gate_proved(rpc_ws_place(((struct relay_wire *)user)->ws));
}

const struct relay_outside relay_edge_outside = { send_out, tell, queued, close_wire, proved };

static void on_message(void *user, struct rpc_ws_conn *ws, struct view message)
{
    struct relay_wire *wire = user;
    struct relay_edge *edge = wire->edge;
    bool was_open = relay_is_open(wire->socket);

    relay_input(wire->socket, edge->now(edge->user), rpc_ws_is_text(ws), message);
    if (!was_open || !relay_is_open(wire->socket))
        edge->arm(edge->user);
}

static void on_closed(void *user, struct rpc_ws_conn *ws, const struct err *why)
{
    struct relay_wire *wire = user;
    struct relay_edge *edge = wire->edge;
    enum source_fault fault = relay_closed(wire->socket, edge->now(edge->user));

    (void)why;
    gate_blame(rpc_ws_place(ws), fault, rpc_ws_address(ws));
    edge->n_open--;
    free(wire);
    edge->arm(edge->user);
}

void relay_edge_opened(struct relay_edge *edge, struct rpc_ws_conn *ws, const uint8_t *exporter)
{
    static const struct rpc_ws_events events = { .message = on_message, .closed = on_closed };
    struct relay_wire *wire = mem_new(struct relay_wire);

    edge->n_open++;
    wire->edge = edge;
    wire->ws = ws;
    rpc_ws_set_events(ws, &events, wire);
    rpc_ws_set_share(ws, SHARE);
    wire->socket =
        relay_opened(edge->relay, edge->now(edge->user), wire, rpc_ws_address(ws), exporter);
    edge->arm(edge->user);
}
