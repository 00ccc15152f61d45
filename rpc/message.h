/* SPDX-License-Identifier: Apache-2.0 */
/* WAMP messages, read and written. A read message's views borrow from the frame; its payload was
 * walked and is valid, but not decoded, and is a suffix of the frame that can be spliced. */
#pragma once

#include "rpc/value.h"

#define RPC_MAX_ID ((uint64_t)1 << 53)
enum { RPC_MAX_URI = 255, RPC_MAX_MESSAGE = 1024 * 1024, RPC_MAX_MESSAGE_BEFORE_AUTH = 16 * 1024 };

enum rpc_type {
    RPC_HELLO = 1,
    RPC_WELCOME = 2,
    RPC_ABORT = 3,
    RPC_CHALLENGE = 4,
    RPC_AUTHENTICATE = 5,
    RPC_GOODBYE = 6,
    RPC_ERROR = 8,
    RPC_PUBLISH = 16,
    RPC_PUBLISHED = 17,
    RPC_SUBSCRIBE = 32,
    RPC_SUBSCRIBED = 33,
    RPC_UNSUBSCRIBE = 34,
    RPC_UNSUBSCRIBED = 35,
    RPC_EVENT = 36,
    RPC_CALL = 48,
    RPC_CANCEL = 49,
    RPC_RESULT = 50,
    RPC_REGISTER = 64,
    RPC_REGISTERED = 65,
    RPC_UNREGISTER = 66,
    RPC_UNREGISTERED = 67,
    RPC_INVOCATION = 68,
    RPC_INTERRUPT = 69,
    RPC_YIELD = 70,
};

/* args and kwargs as they stand: `n` (0, 1 or 2) msgpack values, an array and then a map. */
struct rpc_payload {
    struct view bytes;
    uint32_t n;
};
struct view rpc_payload_args(struct rpc_payload payload); /* the array; an empty one when absent */
struct view rpc_payload_kwargs(struct rpc_payload payload);  /* the map; empty bytes when absent */
static inline struct rpc_payload rpc_args(struct view array) /* a payload of args alone */
{
    return (struct rpc_payload){ array, array.len ? 1 : 0 };
}

/* Payload passthru mode: how the two ends packed the payload, passed on as it is. */
struct rpc_ppt {
    struct view scheme, serializer, cipher, keyid;
};
static inline bool rpc_ppt_is_empty(const struct rpc_ppt *ppt)
{
    return !(ppt->scheme.len | ppt->serializer.len | ppt->cipher.len | ppt->keyid.len);
}

struct rpc_hello {
    struct view realm, agent, authid;
    struct view authmethods; /* array of text, raw; empty bytes when absent */
    struct view authextra;   /* map, raw; likewise */
    struct view roles;       /* map, raw; read alone: what is written is what we do */
};
struct rpc_welcome {
    uint64_t session;
    struct view realm, authid, authrole, authmethod, authprovider, agent, authextra;
    struct view roles; /* as HELLO's */
};
struct rpc_abort { /* GOODBYE has the same shape */
    struct view reason, message;
    struct rpc_payload payload; /* ABORT alone */
    uint64_t retry_after;       /* ms to stay away; 0: not said */
};
struct rpc_challenge {
    struct view method, extra;
};
struct rpc_authenticate {
    struct view signature; /* bin or text: its bytes */
    struct view extra;
};
struct rpc_error {
    enum rpc_type request_type;
    uint64_t request;
    struct view uri;
    struct rpc_payload payload;
    struct rpc_ppt ppt;
};
struct rpc_call {
    uint64_t request, timeout; /* timeout in ms, 0: none */
    bool receive_progress;
    struct view procedure;
    struct rpc_payload payload;
    bool progress; /* more of the payload follows, under the same number */
    bool disclose_me;
    struct rpc_ppt ppt;
};
struct rpc_cancel {
    uint64_t request;
    struct view mode; /* "skip", "kill", "killnowait" or empty */
};
struct rpc_interrupt {
    uint64_t request; /* the INVOCATION's */
    struct view mode, reason;
};
struct rpc_result { /* YIELD has the same shape */
    uint64_t request;
    bool progress;
    struct rpc_payload payload;
    struct rpc_ppt ppt;
};
struct rpc_invocation {
    uint64_t request, registration, caller; /* caller 0: the router itself */
    bool receive_progress;
    struct view caller_authid, caller_authrole, procedure, source; /* source: `_warren_source` */
    struct rpc_payload payload;
    bool progress;    /* as CALL's */
    uint64_t timeout; /* when the callee wants to watch it itself; 0: none */
    struct rpc_ppt ppt;
};
struct rpc_register { /* SUBSCRIBE has the same shape */
    uint64_t request;
    struct view match;  /* "exact", "prefix", "wildcard" or empty */
    struct view invoke; /* REGISTER alone */
    bool get_retained;  /* SUBSCRIBE alone */
    struct view uri;    /* a pattern when `match` says so: prefixes may end, wildcards may have
                           any component empty */
    bool disclose_caller, forward_timeout; /* REGISTER alone */
};
/* REGISTERED, UNREGISTER, SUBSCRIBED, UNSUBSCRIBE, PUBLISHED: `second` is theirs. UNREGISTERED,
 * UNSUBSCRIBED: it is 0, but with request 0 (the router took it away) it says which, and why. */
struct rpc_ids {
    uint64_t request, second;
    struct view reason;
};
struct rpc_publish {
    uint64_t request;
    bool acknowledge, include_me /* exclude_me = false */, retain;
    struct view eligible_authid; /* array of text, raw; empty bytes: everybody */
    struct view topic;
    struct rpc_payload payload;
    bool disclose_me;
    /* Likewise: an absent list narrows nothing, an empty one of `eligible` lets nobody through. */
    struct view eligible_authrole, exclude_authid, exclude_authrole;
    struct view eligible, exclude; /* arrays of ids */
    struct rpc_ppt ppt;
};
struct rpc_event {
    uint64_t subscription, publication, publisher;
    bool retained;
    struct view publisher_authid, publisher_authrole;
    struct rpc_payload payload;
    struct view topic; /* for those who subscribed to a pattern */
    struct rpc_ppt ppt;
};

struct rpc_msg {
    enum rpc_type type;
    union {
        struct rpc_hello hello;
        struct rpc_welcome welcome;
        struct rpc_abort abort; /* and */
        struct rpc_abort goodbye;
        struct rpc_challenge challenge;
        struct rpc_authenticate authenticate;
        struct rpc_error error;
        struct rpc_call call;
        struct rpc_cancel cancel;
        struct rpc_interrupt interrupt;
        struct rpc_result result; /* and */
        struct rpc_result yield;
        struct rpc_invocation invocation;
        struct rpc_register reg; /* and */
        struct rpc_register subscribe;
        struct rpc_ids ids;
        struct rpc_publish publish;
        struct rpc_event event;
    };
};

/* One WAMP message from one WebSocket message. BAD_WIRE "YIELD: request: not an id"; INVALID_URI
 * "CALL: procedure: empty component" of HELLO, CALL, REGISTER, SUBSCRIBE, PUBLISH, which can be told so:
 * rpc_msg_read_misnamed() has what stands before the name, the request's number and options. Of a message that is refused
 * *ret_msg says nothing. */
bool rpc_msg_read(struct view frame, struct rpc_msg *ret_msg, struct err *err);
void rpc_msg_read_misnamed(struct view frame, struct rpc_msg *ret_msg);
/* Appends the message; every dictionary is built anew from the fields here, nothing is copied
 * through. */
void rpc_msg_write(const struct rpc_msg *msg, struct buf *to);
const char *rpc_type_name(enum rpc_type type); /* "CALL"; "unknown" */
/* Loose URI of WAMP: components of characters other than space, '.', '#', none empty; at most 255
 * bytes. */
bool rpc_uri_is_valid(struct view uri);
/* Whether roles.<role>.features.<feature> is true in a HELLO's or a WELCOME's `roles`. */
bool rpc_roles_have(struct view roles, const char *role, const char *feature);
/* Whether `uri` is `prefix` or stands below it, on a component boundary: ("peer.12", "peer.12.x")
 * but not "peer.123". */
bool rpc_uri_is_below(struct view prefix, struct view uri);
