/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ws_http.h"

#include "rpc/ws_address.h"

#include "base/mem.h"
#include "base/text.h"
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
    rpc_http_post *post;
    size_t max_body;
    void *user;
    unsigned n_conns, max_conns;
    bool is_closing;
};

/* A connection's question while its body comes in, then the bytes of the answer, behind room for what
 * libwebsockets writes in front. */
struct answer {
    struct buf path, body; /* of a POST */
    size_t n_awaited;      /* of its body */
    struct buf bytes;
    size_t from; /* 0: there is no answer yet */
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
    case 411:
        return "Length Required";
    case 413:
        return "Content Too Large";
    case 429:
        return "Too Many Requests";
    case 503:
        return "Service Unavailable";
    default:
        return "Status";
    }
}

static void put_answer(struct answer *answer, const struct rpc_http_page *page, bool has_body)
{
    memset(buf_grow(&answer->bytes, LWS_PRE), 0, LWS_PRE);
    answer->from = LWS_PRE;
    buf_printf(&answer->bytes,
               "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
               "Cache-Control: no-store\r\nConnection: close\r\n%s\r\n",
               page->status, reason_of(page->status), page->type, page->body.len,
               page->status == 405 ? "Allow: GET, HEAD\r\n" : "");
    if (has_body)
        buf_put(&answer->bytes, buf_view(&page->body));
}

static void answer_free(struct answer *answer)
{
    if (!answer)
        return;
    buf_free(&answer->path);
    buf_free(&answer->body);
    buf_free(&answer->bytes);
    free(answer);
}

static struct view without_query(struct view path)
{
    const uint8_t *mark = memchr(path.data, '?', path.len);

    return mark ? view_sub(path, 0, (size_t)(mark - path.data)) : path;
}

/* The answer goes at once, for a body may follow that nobody wants to read. */
static int refuse(struct lws *wsi, unsigned status)
{
    const struct rpc_http_page page = { .status = status, .type = "text/plain" };
    struct answer answer = { 0 };

    put_answer(&answer, &page, true);
    lws_write(wsi, answer.bytes.data + LWS_PRE, answer.bytes.len - LWS_PRE, LWS_WRITE_RAW);
    buf_free(&answer.bytes);
    return -1;
}

static int answer_with(struct lws *wsi, struct answer *answer, struct rpc_http_page *page,
                       bool has_body)
{
    if (page->status != 200 && page->body.len == 0)
        buf_printf(&page->body, "%s\n", reason_of(page->status));
    put_answer(answer, page, has_body);
    buf_free(&page->body);
    lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, TAKE_SECS);
    lws_callback_on_writable(wsi);
    return 0;
}

static const struct rpc_http_page no_page = { .status = 404, .type = "text/plain; charset=utf-8" };

static struct rpc_http_page page_for(struct lws *wsi, char address[RPC_WS_ADDRESS_TEXT])
{
    struct rpc_http_page page = no_page;
    struct sockaddr_storage from;
    uint8_t key[16];

    address[0] = '\0';
    if (rpc_ws_address_of(lws_get_socket_fd(wsi), &from, key))
        rpc_ws_address_text(&from, address);
    page.address = address;
    return page;
}

static int on_posted(struct rpc_http *http, struct lws *wsi)
{
    struct answer *answer = lws_get_opaque_user_data(wsi);
    char address[RPC_WS_ADDRESS_TEXT];
    struct rpc_http_page page = page_for(wsi, address);

    if (!answer || answer->from)
        return -1;
    http->post(http->user, buf_view(&answer->path), buf_view(&answer->body), &page);
    return answer_with(wsi, answer, &page, true);
}

static int on_body(struct lws *wsi, struct view bytes)
{
    struct answer *answer = lws_get_opaque_user_data(wsi);

    if (!answer || answer->from || bytes.len > answer->n_awaited)
        return -1;
    answer->n_awaited -= bytes.len;
    buf_put(&answer->body, bytes);
    return 0;
}

/* The body is bounded before any of it is kept. */
static int on_post(struct rpc_http *http, struct lws *wsi, struct view path)
{
    struct answer *answer;
    char text[24];
    uint64_t len;
    int n = lws_hdr_copy(wsi, text, sizeof(text), WSI_TOKEN_HTTP_CONTENT_LENGTH);

    if (n <= 0 || !text_read_u64(VIEW(text, (size_t)n), &len))
        return refuse(wsi, 411);
    if (len > http->max_body)
        return refuse(wsi, 413);
    answer = mem_new(struct answer);
    lws_set_opaque_user_data(wsi, answer);
    answer->path = buf_dup(path);
    answer->n_awaited = (size_t)len;
    lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, ASK_SECS);
    return len ? 0 : on_posted(http, wsi);
}

static int on_request(struct rpc_http *http, struct lws *wsi, struct view path)
{
    char address[RPC_WS_ADDRESS_TEXT];
    struct rpc_http_page page = page_for(wsi, address);
    bool is_head = lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0;

    if (lws_get_opaque_user_data(wsi)) /* one question a connection */
        return -1;
    if (http->post && lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) > 0)
        return on_post(http, wsi, without_query(path));
    if (!is_head && lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) <= 0)
        return refuse(wsi, 405);
    http->serve(http->user, without_query(path), &page);
    struct answer *answer = mem_new(struct answer);
    lws_set_opaque_user_data(wsi, answer);
    return answer_with(wsi, answer, &page, !is_head);
}

/* A piece at a time; with the last one the connection closes. */
static int on_writable(struct lws *wsi)
{
    struct answer *answer = lws_get_opaque_user_data(wsi);
    size_t left, len;

    if (!answer || !answer->from)
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
        return http->is_closing || http->n_conns >= http->max_conns;
    case LWS_CALLBACK_WSI_CREATE:
        return on_created(http);
    case LWS_CALLBACK_WSI_DESTROY:
        return on_destroyed(http, wsi);
    case LWS_CALLBACK_HTTP:
        return on_request(http, wsi, VIEW(in, len));
    case LWS_CALLBACK_HTTP_BODY:
        return on_body(wsi, VIEW(in, len));
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return on_posted(http, wsi);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return on_writable(wsi);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE: /* `in` may be freed memory: it is not looked at */
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
        .max_http_header_pool = (unsigned short)http->max_conns,
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
    http->post = listener->post;
    http->max_body = listener->max_body;
    http->max_conns = listener->max_conns ? listener->max_conns : RPC_HTTP_MAX_CONNS;
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
