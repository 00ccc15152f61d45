/* SPDX-License-Identifier: Apache-2.0 */
#include "router/testament.h"
#include "router/broker.h"
#include "router/router.h"

struct testament {
    struct list of_conn;
    bool
        is_detached; /* its scope; sessions are not resumed here: both end at the same time, these first */
    struct buf frame; /* PUBLISH */
};

static void testament_free(struct testament *testament)
{
    list_remove(&testament->of_conn);
    buf_free(&testament->frame);
    free(testament);
}

static bool read_scope(struct view kwargs, bool *ret_is_detached, struct err *err)
{
    struct view scope = VIEW_LIT("destroyed"), value;

    if (rpc_map_get(kwargs, "scope", &value) && !rpc_value_text(value, &scope))
        return err_set(err, ERR_INVALID_ARGUMENT, "scope: not text");
    *ret_is_detached = view_eq_text(scope, "detached");
    return *ret_is_detached || view_eq_text(scope, "destroyed") ||
           err_set(err, ERR_INVALID_ARGUMENT, "scope: neither destroyed nor detached");
}

/* The PUBLISH that the arguments stand for; it is checked like any other. */
static bool put_publish(struct rpc_payload payload, struct buf *to, struct err *err)
{
    struct view topic, args, kwargs, options;
    struct rpc_fields f;

    rpc_fields_open(&f, rpc_payload_args(payload));
    topic = rpc_fields_uri(&f, "topic");
    args = rpc_fields_array(&f, "args");
    kwargs = rpc_fields_map(&f, "kwargs");
    if (!rpc_fields_end(&f, err)) {
        err->code = ERR_INVALID_ARGUMENT;
        return false;
    }
    rpc_put_array(to, 6);
    rpc_put_u64(to, RPC_PUBLISH);
    rpc_put_u64(to, 1);
    if (rpc_map_get(rpc_payload_kwargs(payload), "publish_options", &options))
        rpc_put_raw(to, options);
    else
        rpc_put_map(to, 0);
    rpc_put_text(to, topic);
    rpc_put_raw(to, args);
    rpc_put_raw(to, kwargs);
    return true;
}

static size_t count(const struct conn *conn)
{
    const struct testament *testament;
    size_t n = 0;

    LIST_EACH(testament, &conn->testaments, of_conn)
        n++;
    return n;
}

static bool check(struct conn *conn, struct view frame, struct err *err)
{
    struct rpc_msg msg;

    if (count(conn) >= conn->router->config->max_testaments) {
        conn_over(conn, LIMIT_TESTAMENTS);
        return err_set(err, ERR_LIMIT, "%zu testaments", count(conn));
    }
    if (frame.len > TESTAMENT_MAX_BYTES)
        return err_set(err, ERR_TOO_LARGE, "testament: longer than %d bytes", TESTAMENT_MAX_BYTES);
    if (!rpc_msg_read(frame, &msg, err) ||
        !conn_may_pack(conn, CONN_PACKS_EVENTS, &msg.publish.ppt, err)) {
        err->code = ERR_INVALID_ARGUMENT;
        return false;
    }
    return conn_may(conn, POLICY_PUBLISH, msg.publish.topic, err);
}

bool testament_add(struct conn *conn, struct rpc_payload payload, struct err *err)
{
    _buf_ frame = { 0 };
    struct testament *testament;
    bool is_detached = false;

    if (!read_scope(rpc_payload_kwargs(payload), &is_detached, err) ||
        !put_publish(payload, &frame, err) || !check(conn, buf_view(&frame), err))
        return false;
    testament = mem_new(struct testament);
    testament->is_detached = is_detached;
    testament->frame = buf_dup(buf_view(&frame));
    list_append(&conn->testaments, &testament->of_conn);
    return true;
}

bool testament_flush(struct conn *conn, struct rpc_payload payload, struct err *err)
{
    struct testament *testament;
    bool is_detached = false;

    if (!read_scope(rpc_payload_kwargs(payload), &is_detached, err))
        return false;
    LIST_EACH(testament, &conn->testaments, of_conn) {
        if (testament->is_detached == is_detached)
            testament_free(testament);
    }
    return true;
}

void testament_drop(struct conn *conn)
{
    struct testament *testament;

    LIST_EACH(testament, &conn->testaments, of_conn)
        testament_free(testament);
}

static void read_out(struct conn *conn, struct testament *testament)
{
    uint64_t publication;
    struct rpc_msg msg;
    struct err err;

    if (!rpc_msg_read(buf_view(&testament->frame), &msg, &err) ||
        !broker_publish_as(conn, &msg.publish, &publication, &err))
        log_event(LOG_INFO, "testament_refused", "id=%s why=%s", conn->id,
                  log_quote_text(err.text));
    testament_free(testament);
}

void testament_read_out(struct conn *conn)
{
    struct testament *testament;

    LIST_EACH(testament, &conn->testaments, of_conn) {
        if (testament->is_detached)
            read_out(conn, testament);
    }
    LIST_EACH(testament, &conn->testaments, of_conn)
        read_out(conn, testament);
}
