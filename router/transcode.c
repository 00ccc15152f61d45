/* SPDX-License-Identifier: Apache-2.0 */
#include "router/transcode.h"

struct transcode {
    size_t max_in, max_out;
    struct buf in, out;
};

struct transcode *transcode_new(size_t max_in, size_t max_out)
{
    struct transcode *t = mem_new(struct transcode);

    t->max_in = max_in;
    t->max_out = max_out;
    return t;
}

void transcode_free(struct transcode *t)
{
    if (!t)
        return;
    buf_wipe(&t->in); /* a ticket may have stood there */
    buf_free(&t->out);
    free(t);
}

bool transcode_in(struct transcode *t, struct view text, struct view *ret_message, struct err *err)
{
    buf_clear(&t->in);
    if (!rpc_json_to_msgpack(text, t->max_in, &t->in, err))
        return err_wrap(err, "message");
    *ret_message = buf_view(&t->in);
    return true;
}

/* ---- what has no JSON ------------------------------------------------------------------------ */

static void put_error(enum rpc_type type, uint64_t request, struct view uri, const struct err *why,
                      struct buf *to)
{
    _buf_ own_uri = { 0 };
    _buf_ payload = { 0 };

    rpc_error_uri("network", why->code, &own_uri);
    rpc_error_put_payload(why, &payload);
    rpc_msg_write(&(struct rpc_msg){ .type = RPC_ERROR,
                                     .error = { .request_type = type,
                                                .request = request,
                                                .uri = uri.len ? uri : buf_view(&own_uri),
                                                .payload = { buf_view(&payload), 2 } } },
                  to);
}

static enum transcoded replace(struct transcode *t, uint64_t request, enum rpc_type type,
                               struct view uri, const struct err *why, struct view *ret_text)
{
    _buf_ error = { 0 };
    struct err ignored;

    put_error(type, request, uri, why, &error);
    buf_clear(&t->out);
    if (!rpc_json_from_msgpack(buf_view(&error), t->max_out, &t->out, &ignored))
        return TRANSCODED_FATAL;
    *ret_text = buf_view(&t->out);
    return TRANSCODED_REPLACED;
}

static enum transcoded refuse(struct transcode *t, struct view message, struct err *why,
                              struct view *ret_text)
{
    static const struct view none = { 0 };
    struct rpc_msg msg;
    struct err ignored;

    if (why->code == ERR_BAD_WIRE) /* it is well-formed: only not for everybody */
        why->code = ERR_INVALID_ARGUMENT;
    if (!rpc_msg_read(message, &msg, &ignored))
        return TRANSCODED_FATAL;
    switch ((int)msg.type) {
    case RPC_EVENT:
        err_wrap(why, "an EVENT for a client that speaks JSON");
        return TRANSCODED_DROPPED;
    case RPC_RESULT:
        err_wrap(why, "the RESULT for a client that speaks JSON");
        if (msg.result.progress) /* the call goes on */
            return TRANSCODED_DROPPED;
        return replace(t, msg.result.request, RPC_CALL, none, why, ret_text);
    case RPC_ERROR:
        err_wrap(why, "the ERROR for a client that speaks JSON");
        return replace(t, msg.error.request, msg.error.request_type, msg.error.uri, why, ret_text);
    case RPC_INVOCATION:
        err_wrap(why, "the callee speaks JSON");
        buf_clear(&t->out);
        put_error(RPC_INVOCATION, msg.invocation.request, none, why, &t->out);
        *ret_text = buf_view(&t->out);
        return TRANSCODED_REFUSED;
    default:
        return TRANSCODED_FATAL;
    }
}

/* ---- out ------------------------------------------------------------------------------------- */

enum transcoded transcode_out(struct transcode *t, struct view message, struct view *ret_text,
                              struct err *why)
{
    buf_clear(&t->out);
    if (!rpc_json_from_msgpack(message, t->max_out, &t->out, why))
        return refuse(t, message, why, ret_text);
    *ret_text = buf_view(&t->out);
    return TRANSCODED;
}
