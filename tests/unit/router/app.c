/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/router/app.h"

#include <stdio.h>
#include <stdlib.h>

struct world *app_world(const char *options)
{
    _buf_ text = { 0 };

    buf_printf(&text, "[realm " APP_REALM "]\nmethods = anonymous\nmeta = admin\n%s", options);
    return world_with_realms(buf_cstr(&text), "");
}

static void put_features(struct buf *to, const char *role, const char *const *features, uint32_t n)
{
    rpc_put_str(to, role);
    rpc_put_map(to, 1);
    rpc_put_str(to, "features");
    rpc_put_map(to, n);
    for (uint32_t i = 0; i < n; i++) {
        rpc_put_str(to, features[i]);
        rpc_put_bool(to, true);
    }
}

static void hello(struct wire *wire, bool is_able)
{
    static const char *const caller[] = { "progressive_call_invocations", "payload_passthru_mode" },
                             *const callee[] = { "call_canceling", "progressive_call_invocations",
                                                 "registration_revocation",
                                                 "payload_passthru_mode" },
                             *const subscriber[] = { "subscription_revocation",
                                                     "payload_passthru_mode" },
                             *const publisher[] = { "payload_passthru_mode" };
    _buf_ frame = { 0 };

    rpc_put_array(&frame, 3);
    rpc_put_u64(&frame, RPC_HELLO);
    rpc_put_str(&frame, APP_REALM);
    rpc_put_map(&frame, 1);
    rpc_put_str(&frame, "roles");
    rpc_put_map(&frame, 4);
    put_features(&frame, "caller", caller, is_able ? N_ELEMENTS(caller) : 0);
    put_features(&frame, "callee", callee, is_able ? N_ELEMENTS(callee) : 0);
    put_features(&frame, "subscriber", subscriber, is_able ? N_ELEMENTS(subscriber) : 0);
    put_features(&frame, "publisher", publisher, is_able ? N_ELEMENTS(publisher) : 0);
    wire_say(wire, buf_view(&frame));
}

struct wire *app_join(struct world *w, const char *authid, const char *role, bool is_able)
{
    struct wire *wire = wire_new(w, "192.0.2.9");
    struct rpc_msg msg;

    hello(wire, is_able);
    if (!wire_next(wire, &msg) || msg.type != RPC_WELCOME) {
        fprintf(stderr, "app_join: no WELCOME\n");
        abort();
    }
    wire->session = msg.welcome.session;
    snprintf(wire->conn->id, sizeof(wire->conn->id), "%s", authid);
    snprintf(wire->conn->authrole, sizeof(wire->conn->authrole), "%s", role);
    return wire;
}

bool app_take(struct wire *wire, enum rpc_type type, struct rpc_msg *ret_msg)
{
    if (!wire_next(wire, ret_msg)) {
        check_failed(__FILE__, __LINE__, "nothing came, wanted %s", rpc_type_name(type));
        return false;
    }
    if (ret_msg->type != type)
        check_failed(__FILE__, __LINE__, "%s came, wanted %s: %.*s", rpc_type_name(ret_msg->type),
                     rpc_type_name(type),
                     VIEW_FMT(ret_msg->type == RPC_ERROR ? ret_msg->error.uri : VIEW_LIT("")));
    return ret_msg->type == type;
}

bool app_is_quiet(struct wire *wire)
{
    struct rpc_msg msg;

    if (!wire_next(wire, &msg))
        return true;
    check_failed(__FILE__, __LINE__, "%s came, wanted nothing", rpc_type_name(msg.type));
    return false;
}

uint64_t app_register(struct wire *wire, const char *uri, const char *match, const char *invoke)
{
    struct rpc_register ask = { .request = wire_request(wire),
                                .uri = view_text(uri),
                                .match = view_text(match),
                                .invoke = view_text(invoke) };
    struct rpc_msg msg;

    wire_send(wire, &(struct rpc_msg){ .type = RPC_REGISTER, .reg = ask });
    return app_take(wire, RPC_REGISTERED, &msg) ? msg.ids.second : 0;
}

uint64_t app_subscribe(struct wire *wire, const char *uri, const char *match, bool get_retained)
{
    struct rpc_register ask = { .request = wire_request(wire),
                                .uri = view_text(uri),
                                .match = view_text(match),
                                .get_retained = get_retained };
    struct rpc_msg msg;

    wire_send(wire, &(struct rpc_msg){ .type = RPC_SUBSCRIBE, .subscribe = ask });
    return app_take(wire, RPC_SUBSCRIBED, &msg) ? msg.ids.second : 0;
}

static struct view put_arg(uint8_t to[2], uint8_t arg)
{
    to[0] = 0x91;
    to[1] = arg;
    return VIEW(to, 2);
}

uint64_t app_call(struct wire *wire, const struct rpc_call *options, const char *procedure,
                  uint8_t arg)
{
    struct rpc_call call = options ? *options : (struct rpc_call){ 0 };
    uint8_t args[2];

    if (!call.request)
        call.request = wire_request(wire);
    call.procedure = view_text(procedure);
    call.payload = rpc_args(put_arg(args, arg));
    wire_send(wire, &(struct rpc_msg){ .type = RPC_CALL, .call = call });
    return call.request;
}

void app_yield(struct wire *wire, uint64_t invocation, bool is_progress, uint8_t arg)
{
    uint8_t args[2];

    wire_send(wire, &(struct rpc_msg){
                        .type = RPC_YIELD,
                        .yield = { invocation, is_progress, rpc_args(put_arg(args, arg)) } });
}

void app_refuse(struct wire *wire, uint64_t invocation, const char *uri)
{
    wire_send(wire, &(struct rpc_msg){ .type = RPC_ERROR,
                                       .error = { .request_type = RPC_INVOCATION,
                                                  .request = invocation,
                                                  .uri = view_text(uri) } });
}

void app_publish(struct wire *wire, const struct rpc_publish *options, const char *topic,
                 uint8_t arg)
{
    struct rpc_publish publish = options ? *options : (struct rpc_publish){ 0 };
    uint8_t args[2];

    publish.request = wire_request(wire);
    publish.topic = view_text(topic);
    publish.payload = rpc_args(put_arg(args, arg));
    wire_send(wire, &(struct rpc_msg){ .type = RPC_PUBLISH, .publish = publish });
}

uint8_t app_arg(struct rpc_payload payload)
{
    struct rpc_fields f;
    uint64_t n;

    rpc_fields_open(&f, rpc_payload_args(payload));
    n = rpc_fields_u64(&f, "arg");
    return f.has_failed || n > 254 ? 255 : (uint8_t)n;
}

bool app_ask(struct wire *wire, const char *procedure, struct rpc_payload payload,
             struct rpc_msg *ret_msg)
{
    struct rpc_call call = { .request = wire_request(wire),
                             .procedure = view_text(procedure),
                             .payload = payload };

    wire_send(wire, &(struct rpc_msg){ .type = RPC_CALL, .call = call });
    return app_take(wire, RPC_RESULT, ret_msg);
}
