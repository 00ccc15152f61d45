/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ws_http.h"

#include "base/mem.h"
#include "rpc/ws_bind.h"

#include <libwebsockets.h>
#include <stdio.h>

enum {
    ASK_SECS = 10,
    TAKE_SECS = 10,
    TICK_MS = 1000,
    PIECE = 16 * 1024,
    MAX_HEADER = 2048,
};

struct rpc_http {
    struct lws_context *context;
    struct lws_vhost *vhost;
    struct lws_protocols protocols[2];
    struct rpc_loop *loop;
    struct rpc_timer *tick;
    rpc_http_serve *serve;
    void *user;
    unsigned n_conns;
    bool is_closing;
};

/* The bytes of an answer, behind room for what libwebsockets writes in front. */
struct answer {
    struct buf bytes;
    size_t from;
};

/* libwebsockets looks at its time limits only when one of its sockets had an event. */
static void on_tick(void *user)
{
    struct rpc_http *http = user;

    lws_cancel_service(http->context);
    if (http->n_conns)
        rpc_timer_set(http->tick, clock_mono_ms() + TICK_MS);
}

/* ---- answering ------------------------------------------------------------------------------- */

static const char *reason_of(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 503:
        return "Service Unavailable";
    default:
        return "Status";
    }
}

static struct answer *answer_new(struct rpc_http_page *page, bool has_body)
{
    struct answer *answer = mem_new(struct answer);

    memset(buf_grow(&answer->bytes, LWS_PRE), 0, LWS_PRE);
    answer->from = LWS_PRE;
    buf_printf(&answer->bytes,
               "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
               "Cache-Control: no-store\r\nConnection: close\r\n%s\r\n",
               page->status, reason_of(page->status), page->type, page->body.len,
               page->status == 405 ? "Allow: GET, HEAD\r\n" : "");
    if (has_body)
        buf_put(&answer->bytes, buf_view(&page->body));
    return answer;
}

static void answer_free(struct answer *answer)
{
    if (!answer)
        return;
    buf_free(&answer->bytes);
    free(answer);
}

static struct view without_query(struct view path)
{
    const uint8_t *mark = memchr(path.data, '?', path.len);

    return mark ? view_sub(path, 0, (size_t)(mark - path.data)) : path;
}

/* Not GET: the answer goes at once, for a body may follow that nobody wants to read. */
static int refuse_method(struct lws *wsi)
{
    struct rpc_http_page page = { .status = 405, .type = "text/plain" };
    struct answer *answer = answer_new(&page, true);

    lws_write(wsi, answer->bytes.data + LWS_PRE, answer->bytes.len - LWS_PRE, LWS_WRITE_RAW);
    answer_free(answer);
    return -1;
}

static int on_request(struct rpc_http *http, struct lws *wsi, struct view path)
{
    struct rpc_http_page page = { .status = 404, .type = "text/plain; charset=utf-8" };
    bool is_head = lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0;

    if (lws_get_opaque_user_data(wsi)) /* one question a connection */
        return -1;
    if (!is_head && lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) <= 0)
        return refuse_method(wsi);
    http->serve(http->user, without_query(path), &page);
    if (page.status != 200 && page.body.len == 0)
        buf_printf(&page.body, "%s\n", reason_of(page.status));
    lws_set_opaque_user_data(wsi, answer_new(&page, !is_head));
    buf_free(&page.body);
    lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, TAKE_SECS);
    lws_callback_on_writable(wsi);
    return 0;
}

/* A piece at a time; with the last one the connection closes. */
static int on_writable(struct lws *wsi)
{
    struct answer *answer = lws_get_opaque_user_data(wsi);
    size_t left, len;

    if (!answer)
        return -1;
    if (!lws_partial_buffered(wsi)) {
        left = answer->bytes.len - answer->from;
        if (left == 0)
            return -1;
        len = left < PIECE ? left : PIECE;
        if (lws_write(wsi, answer->bytes.data + answer->from, len, LWS_WRITE_RAW) < (int)len)
            return -1;
        answer->from += len;
    }
    lws_callback_on_writable(wsi);
    return 0;
}

static int on_created(struct rpc_http *http)
{
    http->n_conns++;
    rpc_timer_set(http->tick, clock_mono_ms() + TICK_MS);
    return 0;
}

static int on_destroyed(struct rpc_http *http, struct lws *wsi)
{
    answer_free(lws_get_opaque_user_data(wsi));
    lws_set_opaque_user_data(wsi, NULL);
    if (http->n_conns)
        http->n_conns--;
    return 0;
}

static int on_http(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                   size_t len)
{
    struct rpc_http *http = lws_context_user(lws_get_context(wsi));

    (void)user;
    switch ((int)reason) {
    case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
        return http->is_closing || http->n_conns >= RPC_HTTP_MAX_CONNS;
    case LWS_CALLBACK_WSI_CREATE:
        return on_created(http);
    case LWS_CALLBACK_WSI_DESTROY:
        return on_destroyed(http, wsi);
    case LWS_CALLBACK_HTTP:
        return on_request(http, wsi, VIEW(in, len));
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return on_writable(wsi);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE: /* `in` may be freed memory: it is not looked at */
    case LWS_CALLBACK_HTTP_BODY:
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
    case LWS_CALLBACK_RAW_ADOPT: /* CONNECT */
    case LWS_CALLBACK_RAW_RX:
        return -1;
    default:
        return 0;
    }
}

/* ---- starting and stopping ------------------------------------------------------------------- */

static bool make_context(struct rpc_http *http, struct err *err)
{
    void *loops[] = { rpc_loop_native(http->loop) };
    struct lws_context_creation_info info = {
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS,
        .foreign_loops = loops,
        .port = CONTEXT_PORT_NO_LISTEN,
        .server_string = "warren",
        .max_http_header_data = MAX_HEADER,
        .max_http_header_pool = RPC_HTTP_MAX_CONNS,
        .timeout_secs = ASK_SECS,
        .gid = -1,
        .uid = -1,
        .user = http,
        .external_baggage_free_on_destroy = http,
    };

    lws_set_log_level(0, NULL);
    http->context = lws_create_context(&info);
    return http->context || err_set(err, ERR_SYSTEM, "libwebsockets cannot start");
}

static bool open_vhost(struct rpc_http *http, const struct rpc_http_listener *listener,
                       struct err *err)
{
    struct lws_context_creation_info info = { 0 };

    http->protocols[0] = (struct lws_protocols){ .name = "http", .callback = on_http };
    info.options =
        LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND |
        (listener->host && !strchr(listener->host, ':') ? LWS_SERVER_OPTION_DISABLE_IPV6 : 0);
    info.vhost_name = "http";
    info.iface = listener->host;
    info.port = listener->port;
    info.protocols = http->protocols;
    info.timeout_secs = ASK_SECS;
    info.keepalive_timeout = 1;
    http->vhost = lws_create_vhost(http->context, &info);
    return http->vhost || rpc_ws_bind_failed(listener->host, listener->port, err);
}

bool rpc_http_new(struct rpc_loop *loop, const struct rpc_http_listener *listener,
                  struct rpc_http **ret_http, struct err *err)
{
    struct rpc_http *http = mem_new(struct rpc_http);

    http->loop = loop;
    http->serve = listener->serve;
    http->user = listener->user;
    if (!make_context(http, err)) {
        free(http);
        return false;
    }
    http->tick = rpc_timer_new(loop, on_tick, http);
    if (!open_vhost(http, listener, err)) {
        rpc_http_free(http);
        return false;
    }
    *ret_http = http;
    return true;
}

uint16_t rpc_http_port(const struct rpc_http *http)
{
    return (uint16_t)lws_get_vhost_listen_port(http->vhost);
}

/* On libuv libwebsockets closes its handles first, and wants to be told again when that is done. */
static void finish(void *context)
{
    lws_context_destroy(context);
}

void rpc_http_free(struct rpc_http *http)
{
    struct lws_context *context;

    if (!http)
        return;
    http->is_closing = true;
    rpc_timer_free(http->tick);
    context = http->context;
    rpc_loop_at_end(rpc_loop_native(http->loop), finish, context);
    lws_context_destroy(context);
}
