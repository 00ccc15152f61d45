/* SPDX-License-Identifier: Apache-2.0 */
/* What den serves over plain HTTP: lists, answers and CAs for everybody, figures and health for its operator. */
#include "den/running.h"

#include "base/conf.h"
#include "base/log.h"
#include "den/metrics.h"
#include "den/web.h"

enum { HTTP_CONNS = 64 };

static void give(struct den *den, bool is_post, struct view path, struct view body,
                 struct rpc_http_page *to)
{
    struct web_page page = { 0 };

    web_serve(den->core, is_post, path, body, view_text(to->address), &page);
    to->status = page.status;
    to->type = page.type;
    to->body = page.body;
    den_arm(den);
}

static void on_get(void *user, struct view path, struct rpc_http_page *page)
{
    give(user, false, path, VIEW(NULL, 0), page);
}

static void on_post(void *user, struct view path, struct view body, struct rpc_http_page *page)
{
    give(user, true, path, body, page);
}

bool den_open_http(struct den *den, struct err *err)
{
    _free_ char *host = NULL;
    struct rpc_http_listener listener = {
        .serve = on_get,
        .post = on_post,
        .max_body = PKI_MAX_OCSP,
        .max_conns = HTTP_CONNS,
        .user = den,
    };

    if (!den->config->http || !*den->config->http)
        return true;
    if (!conf_split_address(view_text(den->config->http), 0, &host, &listener.port))
        return err_set(err, ERR_BAD_CONFIG, "http: expected ADDRESS:PORT");
    listener.host = host;
    if (!rpc_http_new(den->loop, &listener, &den->http, err))
        return err_wrap(err, "http");
    log_event(LOG_INFO, "http", "listening=%s port=%u", log_quote_text(den->config->http),
              rpc_http_port(den->http));
    return true;
}

static void on_figures(void *user, struct view path, struct rpc_http_page *to)
{
    struct den *den = user;
    struct web_page page = { 0 };

    metrics_serve(den->core, path, &page);
    to->status = page.status;
    to->type = page.type;
    to->body = page.body;
    den_arm(den);
}

bool den_open_figures(struct den *den, struct err *err)
{
    _free_ char *host = NULL;
    struct rpc_http_listener listener = { .serve = on_figures, .user = den };

    if (!den->config->metrics || !*den->config->metrics)
        return true;
    if (!conf_split_address(view_text(den->config->metrics), 0, &host, &listener.port))
        return err_set(err, ERR_BAD_CONFIG, "metrics: expected ADDRESS:PORT");
    listener.host = host;
    if (!rpc_http_new(den->loop, &listener, &den->figures, err))
        return err_wrap(err, "metrics");
    log_event(LOG_INFO, "metrics", "listening=%s port=%u", log_quote_text(den->config->metrics),
              rpc_http_port(den->figures));
    return true;
}
