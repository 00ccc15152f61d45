/* SPDX-License-Identifier: Apache-2.0 */
/* A realm of another application, by the letter of WAMP, and sessions in it. */
#pragma once

#include "tests/unit/router/world.h"

#define APP_REALM "app"

/* `options`: more lines for the realm. The role `admin` may use the meta API. */
struct world *app_world(const char *options);
/* `is_able`: announces every feature that a client can have; none otherwise. */
struct wire *app_join(struct world *world, const char *authid, const char *role, bool is_able);

/* Reads the next message; false, and a failure, when it is of another type. */
bool app_take(struct wire *wire, enum rpc_type type, struct rpc_msg *ret_msg);
bool app_is_quiet(struct wire *wire); /* nothing came */
/* With the keys as JSON would have them: app_register(w, "a.b", "prefix", "first"). The ID, or 0. */
uint64_t app_register(struct wire *wire, const char *uri, const char *match, const char *invoke);
uint64_t app_subscribe(struct wire *wire, const char *uri, const char *match, bool get_retained);
uint64_t app_call(struct wire *wire, const struct rpc_call *options, const char *procedure,
                  uint8_t arg); /* its number */
void app_yield(struct wire *wire, uint64_t invocation, bool is_progress, uint8_t arg);
void app_refuse(struct wire *wire, uint64_t invocation, const char *uri);
void app_publish(struct wire *wire, const struct rpc_publish *options, const char *topic,
                 uint8_t arg);
uint8_t app_arg(struct rpc_payload payload); /* the only argument; 255: something else */
/* Calls and reads the RESULT; views live until the wire's next message. */
bool app_ask(struct wire *wire, const char *procedure, struct rpc_payload payload,
             struct rpc_msg *ret_msg);
