/* SPDX-License-Identifier: Apache-2.0 */
/* PROTOCOL.md, "Messages", has the same tables for people. */
#include "rpc/message_tables.h"

#define AT(type, member) offsetof(struct rpc_##type, member)
#define END                                                                                        \
    {                                                                                              \
        RPC_S_END, NULL, 0, NULL                                                                   \
    }

/* What each end announces: only what it does. */
const struct rpc_role rpc_client_roles[] = {
    { "caller",
      { "caller_identification", "progressive_call_results", "call_timeout", "call_canceling" } },
    { "callee",
      { "caller_identification", "progressive_call_results", "call_canceling",
        "pattern_based_registration", "shared_registration", "registration_revocation" } },
    { "publisher",
      { "publisher_identification", "publisher_exclusion", "subscriber_blackwhite_listing" } },
    { "subscriber",
      { "publisher_identification", "pattern_based_subscription", "event_retention",
        "subscription_revocation" } },
    { NULL },
};
const struct rpc_role rpc_router_roles[] = {
    { "broker",
      { "publisher_identification", "publisher_exclusion", "subscriber_blackwhite_listing",
        "event_retention", "pattern_based_subscription", "subscription_revocation",
        "session_meta_api", "subscription_meta_api", "payload_passthru_mode" } },
    { "dealer",
      { "caller_identification", "progressive_call_results", "call_timeout", "call_canceling",
        "progressive_call_invocations", "pattern_based_registration", "shared_registration",
        "call_reroute", "registration_revocation", "session_meta_api", "registration_meta_api",
        "testament_meta_api", "payload_passthru_mode" } },
    { NULL },
};

#define PPT(type)                                                                                  \
    { RPC_S_TEXT, "ppt_scheme", AT(type, ppt.scheme), NULL },                                      \
        { RPC_S_TEXT, "ppt_serializer", AT(type, ppt.serializer), NULL },                          \
        { RPC_S_TEXT, "ppt_cipher", AT(type, ppt.cipher), NULL },                                  \
    {                                                                                              \
        RPC_S_TEXT, "ppt_keyid", AT(type, ppt.keyid), NULL                                         \
    }

static const struct rpc_shape hello_details[] = {
    { RPC_S_CLIENT_ROLES, "roles", AT(hello, roles), NULL },
    { RPC_S_TEXT, "agent", AT(hello, agent), NULL },
    { RPC_S_TEXT, "authid", AT(hello, authid), NULL },
    { RPC_S_TEXTS, "authmethods", AT(hello, authmethods), NULL },
    { RPC_S_MAP, "authextra", AT(hello, authextra), NULL },
    END,
};
static const struct rpc_shape hello[] = {
    { RPC_S_URI, "realm", AT(hello, realm), NULL },
    { RPC_S_DICT, "details", 0, hello_details },
    END,
};

static const struct rpc_shape welcome_details[] = {
    { RPC_S_ROUTER_ROLES, "roles", AT(welcome, roles), NULL },
    { RPC_S_TEXT, "realm", AT(welcome, realm), NULL },
    { RPC_S_TEXT, "authid", AT(welcome, authid), NULL },
    { RPC_S_TEXT, "authrole", AT(welcome, authrole), NULL },
    { RPC_S_TEXT, "authmethod", AT(welcome, authmethod), NULL },
    { RPC_S_TEXT, "authprovider", AT(welcome, authprovider), NULL },
    { RPC_S_TEXT, "agent", AT(welcome, agent), NULL },
    { RPC_S_MAP, "authextra", AT(welcome, authextra), NULL },
    END,
};
static const struct rpc_shape welcome[] = {
    { RPC_S_ID, "session", AT(welcome, session), NULL },
    { RPC_S_DICT, "details", 0, welcome_details },
    END,
};

static const struct rpc_shape abort_details[] = {
    { RPC_S_LONG_TEXT, "message", AT(abort, message), NULL },
    { RPC_S_U64, "_warren_retry_after", AT(abort, retry_after), NULL },
    END,
};
static const struct rpc_shape abort_[] = {
    { RPC_S_DICT, "details", 0, abort_details },
    { RPC_S_URI, "reason", AT(abort, reason), NULL },
    { RPC_S_PAYLOAD, "payload", AT(abort, payload), NULL },
    END,
};
static const struct rpc_shape goodbye[] = {
    { RPC_S_DICT, "details", 0, abort_details },
    { RPC_S_URI, "reason", AT(abort, reason), NULL },
    END,
};

static const struct rpc_shape challenge[] = {
    { RPC_S_TEXT, "method", AT(challenge, method), NULL },
    { RPC_S_MAP, "extra", AT(challenge, extra), NULL },
    END,
};
static const struct rpc_shape authenticate[] = {
    { RPC_S_SIGNATURE, "signature", AT(authenticate, signature), NULL },
    { RPC_S_MAP, "extra", AT(authenticate, extra), NULL },
    END,
};

static const struct rpc_shape error_details[] = { PPT(error), END };
static const struct rpc_shape error[] = {
    { RPC_S_ERROR_TYPE, "request type", AT(error, request_type), NULL },
    { RPC_S_ID, "request", AT(error, request), NULL },
    { RPC_S_DICT, "details", 0, error_details },
    { RPC_S_URI, "error", AT(error, uri), NULL },
    { RPC_S_PAYLOAD, "payload", AT(error, payload), NULL },
    END,
};

static const struct rpc_shape call_options[] = {
    { RPC_S_U64, "timeout", AT(call, timeout), NULL },
    { RPC_S_BOOL, "receive_progress", AT(call, receive_progress), NULL },
    { RPC_S_BOOL, "progress", AT(call, progress), NULL },
    { RPC_S_BOOL, "disclose_me", AT(call, disclose_me), NULL },
    PPT(call),
    END,
};
static const struct rpc_shape call[] = {
    { RPC_S_ID, "request", AT(call, request), NULL },
    { RPC_S_DICT, "options", 0, call_options },
    { RPC_S_URI, "procedure", AT(call, procedure), NULL },
    { RPC_S_PAYLOAD, "payload", AT(call, payload), NULL },
    END,
};

static const struct rpc_shape cancel_options[] = {
    { RPC_S_MODE, "mode", AT(cancel, mode), NULL },
    END,
};
static const struct rpc_shape cancel[] = {
    { RPC_S_ID, "request", AT(cancel, request), NULL },
    { RPC_S_DICT, "options", 0, cancel_options },
    END,
};
static const struct rpc_shape interrupt_options[] = {
    { RPC_S_MODE, "mode", AT(interrupt, mode), NULL },
    { RPC_S_TEXT, "reason", AT(interrupt, reason), NULL },
    END,
};
static const struct rpc_shape interrupt[] = {
    { RPC_S_ID, "request", AT(interrupt, request), NULL },
    { RPC_S_DICT, "options", 0, interrupt_options },
    END,
};

static const struct rpc_shape result_details[] = {
    { RPC_S_BOOL, "progress", AT(result, progress), NULL },
    PPT(result),
    END,
};
static const struct rpc_shape result[] = {
    /* and YIELD */
    { RPC_S_ID, "request", AT(result, request), NULL },
    { RPC_S_DICT, "details", 0, result_details },
    { RPC_S_PAYLOAD, "payload", AT(result, payload), NULL },
    END,
};

static const struct rpc_shape invocation_details[] = {
    { RPC_S_U64, "caller", AT(invocation, caller), NULL },
    { RPC_S_TEXT, "caller_authid", AT(invocation, caller_authid), NULL },
    { RPC_S_TEXT, "caller_authrole", AT(invocation, caller_authrole), NULL },
    { RPC_S_TEXT, "procedure", AT(invocation, procedure), NULL },
    { RPC_S_TEXT, "_warren_source", AT(invocation, source), NULL },
    { RPC_S_BOOL, "receive_progress", AT(invocation, receive_progress), NULL },
    { RPC_S_BOOL, "progress", AT(invocation, progress), NULL },
    { RPC_S_U64, "timeout", AT(invocation, timeout), NULL },
    PPT(invocation),
    END,
};
static const struct rpc_shape invocation[] = {
    { RPC_S_ID, "request", AT(invocation, request), NULL },
    { RPC_S_ID, "registration", AT(invocation, registration), NULL },
    { RPC_S_DICT, "details", 0, invocation_details },
    { RPC_S_PAYLOAD, "payload", AT(invocation, payload), NULL },
    END,
};

static const struct rpc_shape register_options[] = {
    { RPC_S_MATCH, "match", AT(register, match), NULL },
    { RPC_S_TEXT, "invoke", AT(register, invoke), NULL },
    { RPC_S_BOOL, "disclose_caller", AT(register, disclose_caller), NULL },
    { RPC_S_BOOL, "forward_timeout", AT(register, forward_timeout), NULL },
    END,
};
static const struct rpc_shape register_[] = {
    { RPC_S_ID, "request", AT(register, request), NULL },
    { RPC_S_DICT, "options", 0, register_options },
    { RPC_S_PATTERN, "procedure", AT(register, uri), NULL },
    END,
};
static const struct rpc_shape subscribe_options[] = {
    { RPC_S_MATCH, "match", AT(register, match), NULL },
    { RPC_S_BOOL, "get_retained", AT(register, get_retained), NULL },
    END,
};
static const struct rpc_shape subscribe[] = {
    { RPC_S_ID, "request", AT(register, request), NULL },
    { RPC_S_DICT, "options", 0, subscribe_options },
    { RPC_S_PATTERN, "topic", AT(register, uri), NULL },
    END,
};

static const struct rpc_shape registration[] = {
    /* REGISTERED, UNREGISTER */
    { RPC_S_ID, "request", AT(ids, request), NULL },
    { RPC_S_ID, "registration", AT(ids, second), NULL },
    END,
};
static const struct rpc_shape subscription[] = {
    /* SUBSCRIBED, UNSUBSCRIBE */
    { RPC_S_ID, "request", AT(ids, request), NULL },
    { RPC_S_ID, "subscription", AT(ids, second), NULL },
    END,
};
static const struct rpc_shape published[] = {
    { RPC_S_ID, "request", AT(ids, request), NULL },
    { RPC_S_ID, "publication", AT(ids, second), NULL },
    END,
};
static const struct rpc_shape unregistered[] = {
    { RPC_S_REVOKED, "registration", 0, NULL },
    END,
};
static const struct rpc_shape unsubscribed[] = {
    { RPC_S_REVOKED, "subscription", 0, NULL },
    END,
};

static const struct rpc_shape publish_options[] = {
    { RPC_S_BOOL, "acknowledge", AT(publish, acknowledge), NULL },
    { RPC_S_NOT, "exclude_me", AT(publish, include_me), NULL },
    { RPC_S_BOOL, "retain", AT(publish, retain), NULL },
    { RPC_S_BOOL, "disclose_me", AT(publish, disclose_me), NULL },
    { RPC_S_IDS, "eligible", AT(publish, eligible), NULL },
    { RPC_S_TEXTS, "eligible_authid", AT(publish, eligible_authid), NULL },
    { RPC_S_TEXTS, "eligible_authrole", AT(publish, eligible_authrole), NULL },
    { RPC_S_IDS, "exclude", AT(publish, exclude), NULL },
    { RPC_S_TEXTS, "exclude_authid", AT(publish, exclude_authid), NULL },
    { RPC_S_TEXTS, "exclude_authrole", AT(publish, exclude_authrole), NULL },
    PPT(publish),
    END,
};
static const struct rpc_shape publish[] = {
    { RPC_S_ID, "request", AT(publish, request), NULL },
    { RPC_S_DICT, "options", 0, publish_options },
    { RPC_S_URI, "topic", AT(publish, topic), NULL },
    { RPC_S_PAYLOAD, "payload", AT(publish, payload), NULL },
    END,
};

static const struct rpc_shape event_details[] = {
    { RPC_S_U64, "publisher", AT(event, publisher), NULL },
    { RPC_S_TEXT, "publisher_authid", AT(event, publisher_authid), NULL },
    { RPC_S_TEXT, "publisher_authrole", AT(event, publisher_authrole), NULL },
    { RPC_S_BOOL, "retained", AT(event, retained), NULL },
    { RPC_S_TEXT, "topic", AT(event, topic), NULL },
    PPT(event),
    END,
};
static const struct rpc_shape event[] = {
    { RPC_S_ID, "subscription", AT(event, subscription), NULL },
    { RPC_S_ID, "publication", AT(event, publication), NULL },
    { RPC_S_DICT, "details", 0, event_details },
    { RPC_S_PAYLOAD, "payload", AT(event, payload), NULL },
    END,
};

static const struct {
    const char *name;
    const struct rpc_shape *shape;
    bool is_request;
} messages[] = {
    [RPC_HELLO] = { "HELLO", hello, false },
    [RPC_WELCOME] = { "WELCOME", welcome, false },
    [RPC_ABORT] = { "ABORT", abort_, false },
    [RPC_CHALLENGE] = { "CHALLENGE", challenge, false },
    [RPC_AUTHENTICATE] = { "AUTHENTICATE", authenticate, false },
    [RPC_GOODBYE] = { "GOODBYE", goodbye, false },
    [RPC_ERROR] = { "ERROR", error, false },
    [RPC_PUBLISH] = { "PUBLISH", publish, true },
    [RPC_PUBLISHED] = { "PUBLISHED", published, false },
    [RPC_SUBSCRIBE] = { "SUBSCRIBE", subscribe, true },
    [RPC_SUBSCRIBED] = { "SUBSCRIBED", subscription, false },
    [RPC_UNSUBSCRIBE] = { "UNSUBSCRIBE", subscription, true },
    [RPC_UNSUBSCRIBED] = { "UNSUBSCRIBED", unsubscribed, false },
    [RPC_EVENT] = { "EVENT", event, false },
    [RPC_CALL] = { "CALL", call, true },
    [RPC_CANCEL] = { "CANCEL", cancel, false },
    [RPC_RESULT] = { "RESULT", result, false },
    [RPC_REGISTER] = { "REGISTER", register_, true },
    [RPC_REGISTERED] = { "REGISTERED", registration, false },
    [RPC_UNREGISTER] = { "UNREGISTER", registration, true },
    [RPC_UNREGISTERED] = { "UNREGISTERED", unregistered, false },
    [RPC_INVOCATION] = { "INVOCATION", invocation, true },
    [RPC_INTERRUPT] = { "INTERRUPT", interrupt, false },
    [RPC_YIELD] = { "YIELD", result, false },
};

const struct rpc_shape *rpc_shape_of(enum rpc_type type)
{
    return (size_t)type < N_ELEMENTS(messages) ? messages[type].shape : NULL;
}

const char *rpc_type_name(enum rpc_type type)
{
    return rpc_shape_of(type) ? messages[type].name : "unknown";
}

bool rpc_type_is_request(enum rpc_type type)
{
    return rpc_shape_of(type) && messages[type].is_request;
}
