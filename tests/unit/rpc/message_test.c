/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "rpc/message.h"
#include "tests/check.h"
#include "tests/unit/rpc/json.h"

/* Reads the message that `json` says; the frame must outlive `msg`. */
static bool read_json(const char *json, struct buf *frame, struct rpc_msg *msg, struct err *err)
{
    buf_free(frame);
    *frame = json_must(json);
    return rpc_msg_read(buf_view(frame), msg, err);
}

/* A request can be answered when nothing but its name is wrong. */
static bool names_uri(const char *why)
{
    return strstr(why, ": empty component") || strstr(why, "control character") ||
           strstr(why, "longer than 255");
}

TEST(messages_that_are_malformed_are_refused_with_the_place)
{
    static const struct {
        const char *json, *why;
    } cases[] = {
        { "{}", "message: fields: not an array" },
        { "5", "message: fields: not an array" },
        { "[]", "message: type: missing" },
        { "[\"CALL\"]", "message: type: not a non-negative integer" },
        { "[-1]", "message: type: not a non-negative integer" },
        { "[0]", "message: type: 0 is none of ours" },
        { "[7]", "message: type: 7 is none of ours" },
        { "[51, 1, {}]", "message: type: 51 is none of ours" },
        { "[49, 1, {\"mode\": \"stop\"}]",
          "CANCEL: options: mode: neither skip, kill nor killnowait" },
        { "[69, 1, {\"mode\": 1}]", "INTERRUPT: options: mode: not text" },
        { "[64, 1, {\"match\": \"prefix\"}, \"a..b\"]", "REGISTER: procedure: empty component" },
        { "[64, 1, {}, \"a.\"]", "REGISTER: procedure: empty component" },
        { "[32, 1, {\"match\": \"wildcard\"}, \"a. .b\"]",
          "SUBSCRIBE: topic: '#', space or control character" },
        { "[16, 1, {\"exclude\": [0]}, \"a\"]", "PUBLISH: options: exclude: not an array of ids" },
        { "[300]", "message: type: 300 is none of ours" },
        { "[18446744073709551615]", "message: type: 18446744073709551615 is none of ours" },
        { "[4294967344, 1, {}, \"a\"]",
          "message: type: 4294967344 is none of ours" }, /* 48 + 2^32 */
        { "[48, -1, {}, \"a.b\"]", "CALL: request: not an id" },
        { "[48, 0, {}, \"a.b\"]", "CALL: request: not an id" },
        { "[48, 1.5, {}, \"a.b\"]", "CALL: request: not an id" },
        { "[48, 1, {}, \"a..b\"]", "CALL: procedure: empty component" },
        { "[48, 1, {}]", "CALL: procedure: missing" },
        { "[48, 1, [], \"a\"]", "CALL: options: not a map" },
        { "[48, 1, {\"timeout\": 1, \"timeout\": 2}, \"a\"]",
          "CALL: options: a key twice, or more than 64" },
        { "[48, 1, {\"timeout\": \"5\"}, \"a\"]",
          "CALL: options: timeout: not an integer up to 2^53" },
        { "[48, 1, {\"timeout\": -5}, \"a\"]",
          "CALL: options: timeout: not an integer up to 2^53" },
        { "[48, 1, {\"timeout\": 9007199254740993}, \"a\"]",
          "CALL: options: timeout: not an integer up to 2^53" },
        { "[48, 1, {\"receive_progress\": 1}, \"a\"]",
          "CALL: options: receive_progress: not a boolean" },
        { "[48, 1, {}, \"a\", {}]", "CALL: args: not an array" },
        { "[48, 1, {}, \"a\", null]", "CALL: args: not an array" },
        { "[48, 1, {}, \"a\", [], []]", "CALL: kwargs: not a map" },
        { "[48, 1, {}, \"a\", [], {}, 1]", "CALL: fields: more than expected" },
        { "[1, \"net work\", {}]", "HELLO: realm: '#', space or control character" },
        { "[1, \"a\", {\"roles\": []}]", "HELLO: details: roles: not a map" },
        { "[1, \"a\", {\"authmethods\": \"netsign\"}]",
          "HELLO: details: authmethods: not an array of text" },
        { "[1, \"a\", {\"authmethods\": [1]}]",
          "HELLO: details: authmethods: not an array of text" },
        { "[1, \"a\", {\"authextra\": []}]", "HELLO: details: authextra: not a map" },
        { "[1, \"a\", {\"authextra\": {\"k\": 1, \"k\": 2}}]",
          "HELLO: details: authextra: a key twice, or more than 64" },
        { "[1, \"a\", {}, []]", "HELLO: fields: more than expected" },
        { "[4, \"netsign\", {\"k\": 1, \"k\": 2}]",
          "CHALLENGE: extra: a key twice, or more than 64" },
        { "[5, 1, {}]", "AUTHENTICATE: signature: neither binary nor text" },
        { "[5, null, {}]", "AUTHENTICATE: signature: neither binary nor text" },
        { "[5, \"s\", null]", "AUTHENTICATE: extra: not a map" },
        { "[8, 50, 1, {}, \"a\"]", "ERROR: request type: not a request's type" },
        { "[8, 4294967344, 1, {}, \"a\"]", "ERROR: request type: not a request's type" },
        { "[8, 48, 1, {}]", "ERROR: error: missing" },
        { "[16, 1, {\"eligible_authid\": \"456000\"}, \"a\"]",
          "PUBLISH: options: eligible_authid: not an array of text" },
        { "[16, 1, {\"exclude_me\": \"no\"}, \"a\"]",
          "PUBLISH: options: exclude_me: not a boolean" },
        { "[35, 0]", "UNSUBSCRIBED: subscription: not an id" },
        { "[67, 0, {}]", "UNREGISTERED: registration: not an id" },
        { "[67, 1, []]", "UNREGISTERED: details: not a map" },
        { "[65, 1]", "REGISTERED: registration: missing" },
        { "[68, 1, 2, {\"caller\": \"x\"}]",
          "INVOCATION: details: caller: not an integer up to 2^53" },
        { "[6, {}, \"wamp.close.normal\", []]", "GOODBYE: fields: more than expected" },
    };
    _buf_ frame = { 0 };
    struct rpc_msg msg;
    struct err err;

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        enum err_code code = names_uri(cases[i].why) ? ERR_INVALID_URI : ERR_BAD_WIRE;
        CHECK_ERR(read_json(cases[i].json, &frame, &msg, &err), err, code);
        CHECK_STR(err.text, cases[i].why);
    }
}

/* One of every message, as JSON; what it reads back as is checked in vectors_test.c and
 * protocol_test.c too. */
static const char *const every_message[] = {
    "[1, \"corp.example\", {\"roles\": {\"caller\": {}}, \"agent\": \"x/1\", \"authmethods\": "
    "[\"netsign\"], "
    "\"authextra\": {\"nonce\": h'00'}}]",
    "[2, 9007199254740991, {\"roles\": {}, \"authid\": \"456000\", \"authrole\": \"peer\", "
    "\"authextra\": {\"admission\": []}}]",
    "[3, {\"message\": \"away\"}, \"network.error.den_away\", [], {\"code\": \"den_away\"}]",
    "[4, \"netsign\", {\"nonce\": h'0102'}]",
    "[5, h'aabb', {\"enrol\": [h'00', h'01']}]",
    "[6, {}, \"wamp.close.normal\"]",
    "[8, 48, 1, {}, \"den.error.not_reachable\", [], {\"code\": \"not_reachable\"}]",
    "[16, 1, {\"acknowledge\": true, \"exclude_me\": false, \"retain\": true, \"eligible_authid\": "
    "[\"456000\"]}, \"den.x\", [1]]",
    "[17, 1, 2]",
    "[32, 1, {\"get_retained\": true}, \"den.heartbeat\"]",
    "[33, 1, 2]",
    "[34, 1, 2]",
    "[35, 1]",
    "[36, 1, 2, {\"publisher\": 5, \"publisher_authid\": \"den\", \"retained\": true}, [h'00']]",
    "[48, 1, {\"timeout\": 5000, \"receive_progress\": true}, \"den.ca.sign\", [1, 2], {\"k\": 3}]",
    "[48, 1, {\"progress\": true, \"disclose_me\": true, \"ppt_scheme\": \"x_net_box\", "
    "\"ppt_serializer\": \"msgpack\", \"ppt_cipher\": \"c\", \"ppt_keyid\": \"k\"}, \"a\", "
    "[h'00']]",
    "[49, 1, {\"mode\": \"kill\"}]",
    "[50, 1, {\"progress\": true}, [\"ringing\"]]",
    "[16, 1, {\"disclose_me\": true, \"eligible\": [1, 2], \"eligible_authrole\": [\"peer\"], "
    "\"exclude\": [], \"exclude_authid\": [\"den\"], \"exclude_authrole\": []}, \"a\"]",
    "[32, 1, {\"match\": \"wildcard\"}, \".a..b.\"]",
    "[36, 1, 2, {\"topic\": \"a.b\", \"ppt_scheme\": \"x_a\"}]",
    "[64, 1, {\"match\": \"prefix\", \"invoke\": \"roundrobin\", \"disclose_caller\": true, "
    "\"forward_timeout\": true}, \"a.\"]",
    "[64, 1, {\"match\": \"prefix\"}, \"\"]",
    "[67, 0, {\"registration\": 7, \"reason\": \"a.b\"}]",
    "[68, 1, 2, {\"progress\": true, \"timeout\": 5}]",
    "[69, 1, {\"mode\": \"killnowait\", \"reason\": \"wamp.error.timeout\"}]",
    "[64, 1, {\"match\": \"exact\", \"invoke\": \"single\"}, \"peer.456000.chat\"]",
    "[65, 1, 2]",
    "[66, 1, 2]",
    "[67, 1]",
    "[67, 0, {\"registration\": 7}]",
    "[68, 1, 2, {\"caller\": 3, \"caller_authid\": \"456000\", \"caller_authrole\": \"peer\", "
    "\"procedure\": \"a.b\", "
    "\"_warren_source\": \"192.0.2.1\", \"receive_progress\": true}, [1]]",
    "[70, 1, {}, [], {}]",
};

TEST(messages_survive_reading_and_writing)
{
    for (size_t i = 0; i < N_ELEMENTS(every_message); i++) {
        _buf_ frame = { 0 };
        _buf_ once = { 0 };
        _buf_ twice = { 0 };
        struct rpc_msg msg, back;
        struct err err;
        CHECK_OK(read_json(every_message[i], &frame, &msg, &err), err);
        rpc_msg_write(&msg, &once);
        CHECK_OK(rpc_msg_read(buf_view(&once), &back, &err), err);
        CHECK_U64(back.type, msg.type);
        rpc_msg_write(&back, &twice);
        CHECK_VIEW(buf_view(&twice), buf_view(&once));
        if (msg.type != RPC_HELLO &&
            msg.type != RPC_WELCOME) /* these are written with our own roles */
            CHECK_VIEW(buf_view(&once), buf_view(&frame));
    }
}

TEST(messages_cut_short_anywhere_are_refused)
{
    for (size_t i = 0; i < N_ELEMENTS(every_message); i++) {
        _buf_ frame = json_must(every_message[i]);
        for (size_t n = 0; n < frame.len; n++) {
            _buf_ prefix = buf_dup(view_sub(buf_view(&frame), 0, n));
            struct rpc_msg msg;
            struct err err;
            CHECK_ERR(rpc_msg_read(buf_view(&prefix), &msg, &err), err, ERR_BAD_WIRE);
        }
    }
}

TEST(a_message_is_one_value)
{
    _buf_ frame = json_must("[35, 1]");
    struct rpc_msg msg;
    struct err err;

    rpc_put_nil(&frame);
    CHECK_ERR(rpc_msg_read(buf_view(&frame), &msg, &err), err, ERR_BAD_WIRE);
    CHECK_STR(err.text, "message: byte 3: more than one value");
}

TEST(oversized_over_nested_and_non_utf8_messages_are_refused)
{
    _buf_ frame = { 0 };
    struct rpc_msg msg;
    struct err err;

    buf_grow(&frame, RPC_MAX_MESSAGE + 1);
    CHECK_ERR(rpc_msg_read(buf_view(&frame), &msg, &err), err, ERR_TOO_LARGE);
    CHECK_STR(err.text, "message: longer than 1048576 bytes");

    buf_clear(&frame);
    rpc_put_array(&frame, 5);
    rpc_put_u64(&frame, RPC_CALL);
    rpc_put_u64(&frame, 1);
    rpc_put_map(&frame, 0);
    rpc_put_str(&frame, "a");
    for (int i = 0; i < 40; i++)
        rpc_put_array(&frame, 1);
    rpc_put_nil(&frame);
    CHECK_ERR(rpc_msg_read(buf_view(&frame), &msg, &err), err, ERR_BAD_WIRE);
    CHECK_STR(err.text, "message: byte 37: nested too deep");

    static const uint8_t bad_text[] = { 0x94, 48, 1, 0x80, 0xa2, 'a', 0xff };
    CHECK_ERR(rpc_msg_read(VIEW_ARR(bad_text), &msg, &err), err, ERR_BAD_WIRE);
    CHECK_STR(err.text, "message: byte 4: text is not UTF-8");
}

TEST(ids_are_taken_in_any_form_and_written_in_one)
{
    static const uint8_t as_double[] = { 0x92, 35, 0xcb, 0x43, 0x40, 0, 0, 0, 0, 0, 0 };
    static const uint8_t as_int64[] = { 0x92, 35, 0xd3, 0, 0x20, 0, 0, 0, 0, 0, 0 };
    static const uint8_t canonical[] = { 0x92, 35, 0xcf, 0, 0x20, 0, 0, 0, 0, 0, 0 };
    struct view forms[] = { VIEW_ARR(as_double), VIEW_ARR(as_int64), VIEW_ARR(canonical) };

    for (size_t i = 0; i < N_ELEMENTS(forms); i++) {
        _buf_ out = { 0 };
        struct rpc_msg msg;
        struct err err;
        CHECK_OK(rpc_msg_read(forms[i], &msg, &err), err);
        CHECK_U64(msg.ids.request, RPC_MAX_ID);
        rpc_msg_write(&msg, &out);
        CHECK_VIEW(buf_view(&out), VIEW_ARR(canonical));
    }
}

TEST(unknown_keys_and_nil_are_passed_over)
{
    _buf_ frame = { 0 };
    _buf_ out = { 0 };
    struct rpc_msg msg;
    struct err err;

    CHECK_OK(
        read_json("[48, 1, {\"timeout\": null, \"x_unknown\": [1, {\"y\": 2}], \"x_me\": true, "
                  "\"receive_progress\": true}, \"a\"]",
                  &frame, &msg, &err),
        err);
    CHECK_U64(msg.call.timeout, 0);
    CHECK(msg.call.receive_progress);
    rpc_msg_write(&msg, &out);
    _buf_ wanted = json_must("[48, 1, {\"receive_progress\": true}, \"a\"]");
    CHECK_VIEW(buf_view(&out), buf_view(&wanted));
}

TEST(what_a_caller_writes_into_options_does_not_become_a_fact)
{
    _buf_ frame = { 0 };
    _buf_ out = { 0 };
    struct rpc_msg call, inv = { .type = RPC_INVOCATION };
    struct err err;

    CHECK_OK(read_json("[48, 1, {\"caller_authid\": \"den\", \"caller_authrole\": \"den\", "
                       "\"caller\": 1}, \"a\", [7]]",
                       &frame, &call, &err),
             err);
    inv.invocation = (struct rpc_invocation){
        .request = 9,
        .registration = 8,
        .caller = 77,
        .caller_authid = VIEW_LIT("456000"),
        .caller_authrole = VIEW_LIT("peer"),
        .payload = call.call.payload,
    };
    rpc_msg_write(&inv, &out);
    _buf_ wanted = json_must("[68, 9, 8, {\"caller\": 77, \"caller_authid\": \"456000\", "
                             "\"caller_authrole\": \"peer\"}, [7]]");
    CHECK_VIEW(buf_view(&out), buf_view(&wanted));
}

TEST(payload_is_a_suffix_of_the_frame)
{
    _buf_ frame = { 0 };
    struct rpc_msg msg;
    struct err err;

    CHECK_OK(read_json("[48, 1, {}, \"a\", [1, \"two\"], {\"k\": h'03'}]", &frame, &msg, &err),
             err);
    CHECK_U64(msg.call.payload.n, 2);
    CHECK(msg.call.payload.bytes.data + msg.call.payload.bytes.len == frame.data + frame.len);
    _buf_ args = json_must("[1, \"two\"]");
    _buf_ kwargs = json_must("{\"k\": h'03'}");
    CHECK_VIEW(rpc_payload_args(msg.call.payload), buf_view(&args));
    CHECK_VIEW(rpc_payload_kwargs(msg.call.payload), buf_view(&kwargs));

    CHECK_OK(read_json("[48, 1, {}, \"a\"]", &frame, &msg, &err), err);
    _buf_ none = json_must("[]");
    CHECK_U64(msg.call.payload.n, 0);
    CHECK_VIEW(rpc_payload_args(msg.call.payload), buf_view(&none));
    CHECK_U64(rpc_payload_kwargs(msg.call.payload).len, 0);
}

TEST(the_router_may_take_a_registration_away)
{
    _buf_ frame = { 0 };
    struct rpc_msg msg;
    struct err err;

    CHECK_OK(
        read_json("[67, 0, {\"registration\": 7, \"reason\": \"wamp.x\"}]", &frame, &msg, &err),
        err);
    CHECK_U64(msg.ids.request, 0);
    CHECK_U64(msg.ids.second, 7);
}

TEST(roles_are_announced)
{
    _buf_ out = { 0 };
    struct rpc_msg hello = { .type = RPC_HELLO, .hello = { .realm = VIEW_LIT("corp.example") } };
    struct view details, roles = { 0 }, caller = { 0 }, features = { 0 };
    struct rpc_fields f;

    rpc_msg_write(&hello, &out);
    rpc_fields_open(&f, buf_view(&out));
    rpc_fields_u64(&f, "type");
    rpc_fields_text(&f, "realm", 100);
    details = rpc_fields_map(&f, "details");
    CHECK(rpc_map_get(details, "roles", &roles) && rpc_map_get(roles, "caller", &caller));
    CHECK(rpc_map_get(caller, "features", &features) &&
          rpc_map_bool(features, "progressive_call_results"));
}

TEST(types_have_names)
{
    CHECK_STR(rpc_type_name(RPC_CALL), "CALL");
    CHECK_STR(rpc_type_name(RPC_INVOCATION), "INVOCATION");
    CHECK_STR(rpc_type_name((enum rpc_type)7), "unknown");
    CHECK_STR(rpc_type_name((enum rpc_type)1000), "unknown");
}
