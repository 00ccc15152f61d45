/* SPDX-License-Identifier: Apache-2.0 */
/* What the machine and libwebsockets can do without WAMP: frames from one client go to another, as they are. TLS, one
 * write per connection and turn of the loop, reading ahead, as the router does it.
 *   forward route PORT CERT KEY     passes frames between the client of "forward.serve" and that of "forward.call"
 *   forward serve|call port=N window=N size=N seconds=N
 * The clients are Warren's edge, as the router's load program has it. Each prints lines of JSON. */
#include "base/clock.h"
#include "rpc/loop.h"
#include "rpc/ws.h"
#include "tests/bench/road.h"

#include <libwebsockets.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

enum { MAX_FRAME = 125, WARM_MS = 500, OUT_MAX = 1 << 20 };

static void say_ready(void)
{
    printf("{\"said\": \"ready\"}\n");
    fflush(stdout);
}

/* ---- the forwarder ------------------------------------------------------------------------------ */

struct end {
    struct lws *wsi;
    struct buf out; /* LWS_PRE, then whole frames */
    bool is_unread;
};

static struct {
    struct lws_context *context;
    struct end serve, call;
    const char *cert, *key;
    uv_check_t check;
    uv_prepare_t prepare;
    uv_idle_t again;
} hub;

static struct end *end_of(struct lws *wsi)
{
    return wsi == hub.serve.wsi ? &hub.serve : wsi == hub.call.wsi ? &hub.call : NULL;
}

static void forward(struct end *to, struct view payload)
{
    if (!to->wsi || payload.len > MAX_FRAME || to->out.len > OUT_MAX)
        return;
    if (!to->out.len) {
        buf_grow(&to->out, LWS_PRE);
    }
    buf_put_u8(&to->out, 0x82); /* FIN, binary */
    buf_put_u8(&to->out, (uint8_t)payload.len);
    buf_put(&to->out, payload);
}

static void flush(struct end *end)
{
    if (!end->wsi || !end->out.len || lws_partial_buffered(end->wsi))
        return;
    lws_write(end->wsi, end->out.data + LWS_PRE, end->out.len - LWS_PRE, LWS_WRITE_RAW);
    buf_clear(&end->out);
}

/* libwebsockets does not look at what OpenSSL read ahead. */
static bool read_on(struct end *end)
{
    SSL *ssl = end->wsi ? lws_get_ssl(end->wsi) : NULL;

    for (int i = 0; i < 64 && end->is_unread && end->wsi && SSL_has_pending(ssl); i++) {
        struct lws_pollfd readable = { lws_get_socket_fd(end->wsi), POLLIN, POLLIN };
        lws_service_fd(hub.context, &readable);
    }
    end->is_unread = end->is_unread && end->wsi && SSL_has_pending(ssl);
    return end->is_unread;
}

static void on_again(uv_idle_t *idle)
{
    uv_idle_stop(idle);
}

static void turn(void)
{
    bool is_more = read_on(&hub.serve);

    is_more = read_on(&hub.call) || is_more;
    if (is_more)
        uv_idle_start(&hub.again, on_again);
    flush(&hub.serve);
    flush(&hub.call);
}

static void on_check(_unused_ uv_check_t *check)
{
    turn();
}

static void on_prepare(_unused_ uv_prepare_t *prepare)
{
    turn();
}

static int set_up_tls(SSL_CTX *ssl)
{
    SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION);
    return SSL_CTX_use_certificate_chain_file(ssl, hub.cert) == 1 &&
                   SSL_CTX_use_PrivateKey_file(ssl, hub.key, SSL_FILETYPE_PEM) == 1
               ? 0
               : -1;
}

static int take(struct lws *wsi)
{
    struct end *end =
        strcmp(lws_get_protocol(wsi)->name, "forward.serve") == 0 ? &hub.serve : &hub.call;

    buf_clear(&end->out);
    end->wsi = wsi;
    end->is_unread = true;
    SSL_set_read_ahead(lws_get_ssl(wsi), 1);
    return 0;
}

static int on_frame(struct end *from, struct view payload)
{
    if (!from)
        return -1;
    from->is_unread = true;
    forward(from == &hub.serve ? &hub.call : &hub.serve, payload);
    return 0;
}

static int on_route(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    struct end *end;

    switch ((int)reason) {
    case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
        return set_up_tls(user);
    case LWS_CALLBACK_ESTABLISHED:
        return take(wsi);
    case LWS_CALLBACK_RECEIVE:
        return on_frame(end_of(wsi), VIEW(in, len));
    case LWS_CALLBACK_CLOSED:
        end = end_of(wsi);
        if (end)
            end->wsi = NULL;
        return 0;
    default:
        return 0;
    }
}

static int run_route(int port)
{
    static const struct lws_protocols protocols[] = {
        { .name = "http", .callback = on_route },
        { .name = "forward.serve",
          .callback = on_route,
          .rx_buffer_size = 1024,
          .tx_packet_size = OUT_MAX * 2 },
        { .name = "forward.call",
          .callback = on_route,
          .rx_buffer_size = 1024,
          .tx_packet_size = OUT_MAX * 2 },
        { 0 },
    };
    struct lws_context_creation_info info = { 0 };
    uv_loop_t *loop = uv_default_loop();
    void *loops[] = { loop };

    info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
                   LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
    info.foreign_loops = loops;
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.pt_serv_buf_size = 16 * 1024;
    info.gid = info.uid = -1;
    lws_set_log_level(0, NULL);
    hub.context = lws_create_context(&info);
    if (!hub.context)
        return 1;
    info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX |
                   LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
    info.iface = "127.0.0.1";
    info.port = port;
    info.protocols = protocols;
    info.alpn = "http/1.1";
    if (!lws_create_vhost(hub.context, &info))
        return 1;
    uv_idle_init(loop, &hub.again);
    uv_check_init(loop, &hub.check);
    uv_check_start(&hub.check, on_check);
    uv_prepare_init(loop, &hub.prepare);
    uv_prepare_start(&hub.prepare, on_prepare);
    say_ready();
    return uv_run(loop, UV_RUN_DEFAULT);
}

/* ---- its clients -------------------------------------------------------------------------------- */

static struct {
    struct rpc_loop *loop;
    struct rpc_ws_conn *conn;
    bool is_caller;
    struct buf message;
    uint64_t *sent_at; /* of the window, in order: answers come in theirs */
    size_t window, next;
    uint64_t warm_at, end_at, for_ns, n, first_at, last_at;
    struct samples samples;
} client;

static void send_at(uint64_t now)
{
    client.sent_at[client.next] = now;
    client.next = (client.next + 1) % client.window;
    rpc_ws_send(client.conn, buf_view(&client.message));
}

static void on_opened(_unused_ void *user, struct rpc_ws_conn *conn)
{
    uint64_t now = clock_mono_ns();

    client.conn = conn;
    if (!client.is_caller) {
        say_ready();
        return;
    }
    client.warm_at = now + WARM_MS * 1000000ull;
    client.end_at = client.warm_at + client.for_ns;
    for (size_t i = 0; i < client.window; i++)
        send_at(now);
}

static void print_result(void)
{
    printf("{\"calls\": %llu, \"value\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
           (unsigned long long)client.n,
           (double)client.n * 1e9 / (double)(client.last_at - client.first_at),
           samples_us(&client.samples, 0.5), samples_us(&client.samples, 0.99));
    fflush(stdout);
    rpc_loop_stop(client.loop);
}

static void on_message(_unused_ void *user, struct rpc_ws_conn *conn, struct view message)
{
    uint64_t now;

    if (!client.is_caller) {
        rpc_ws_send(conn, message);
        return;
    }
    now = clock_mono_ns();
    if (now >= client.end_at) {
        if (client.n)
            print_result();
        client.n = 0;
        return;
    }
    if (now >= client.warm_at) {
        if (!client.n++)
            client.first_at = now;
        client.last_at = now;
        samples_add(&client.samples, now - client.sent_at[client.next]);
    }
    send_at(now);
}

static void on_closed(_unused_ void *user, _unused_ struct rpc_ws_conn *conn, const struct err *why)
{
    give_up("a connection", why);
}

static void run_client(char **argv)
{
    static const struct rpc_ws_events events = { on_opened, on_message, on_closed };
    struct rpc_ws_dial dial = {
        .host = "127.0.0.1",
        .port = (uint16_t)argument(argv, "port", 0),
        .protocol = client.is_caller ? "forward.call" : "forward.serve",
        .max_message = 1024,
    };
    size_t size = argument(argv, "size", 64);
    struct rpc_ws *ws;
    struct err err;

    client.window = argument(argv, "window", 64);
    client.for_ns = argument(argv, "seconds", 2) * 1000000000ull;
    client.sent_at = mem_array(uint64_t, client.window);
    memset(buf_grow(&client.message, size), 'x', size);
    if (!rpc_loop_new(&client.loop, &err) ||
        !rpc_ws_new(RPC_WS_UV, rpc_loop_native(client.loop), &ws, &err) ||
        !rpc_ws_connect(ws, &dial, &events, NULL, &client.conn, &err))
        give_up("a client", &err);
    rpc_loop_run(client.loop);
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "route") == 0) {
        hub.cert = argv[3];
        hub.key = argv[4];
        return run_route((int)strtoul(argv[2], NULL, 10));
    }
    if (argc > 2 && (strcmp(argv[1], "serve") == 0 || strcmp(argv[1], "call") == 0)) {
        client.is_caller = argv[1][0] == 'c';
        run_client(argv + 2);
        return 0; /* connections end with the process */
    }
    fputs("usage: forward route PORT CERT KEY | serve|call port=N [name=N ...]\n", stderr);
    return 2;
}
