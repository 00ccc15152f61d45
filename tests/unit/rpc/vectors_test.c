/* SPDX-License-Identifier: Apache-2.0 */
/* Other people's samples: the WAMP specification's single messages, and a msgpack suite. */
#include "base/file.h"
#include "base/text.h"
#include "rpc/message.h"
#include "tests/check.h"
#include "tests/unit/rpc/json.h"

#include <stdio.h>

/* A file of JSON below the vectors as msgpack; empty and skipped when there are none. */
static struct buf load(const char *name)
{
    _free_ char *path = check_vectors(name);
    _buf_ text = { 0 };
    struct buf value = { 0 };
    struct view body;
    struct err err;

    if (!path)
        return value;
    if (!file_read(path, 16 * 1024 * 1024, &text, &err)) {
        check_failed(__FILE__, __LINE__, "%s", err.text);
        return value;
    }
    body = buf_view(&text);
    if (view_starts(body, VIEW_LIT("\xef\xbb\xbf")))
        body = view_sub(body, 3, body.len);
    if (!json_to_msgpack(body, &value))
        check_failed(__FILE__, __LINE__, "%s: not JSON", path);
    return value;
}

/* "c4-01-ff" or "c401ff" */
static struct buf unhex(struct view text)
{
    struct buf bytes = { 0 };

    for (size_t i = 0; i + 1 < text.len; i += 2) {
        if (text.data[i] == '-')
            i++;
        if (!text_read_hex(view_sub(text, i, 2), buf_grow(&bytes, 1), 1))
            abort();
    }
    return bytes;
}

/* ---- msgpack -------------------------------------------------------------------------------- */

/* Whether `value` is what the suite says under `kind`, as far as we tell numbers apart: integers
 * from 0 to 2^53. */
static bool is_value(struct view entry, struct view value)
{
    struct view wanted, got, cursor;
    uint32_t n_wanted, n_got;
    uint64_t a, b;
    bool yes;

    if (rpc_map_text(entry, "string", &wanted))
        return rpc_value_text(value, &got) && view_eq(got, wanted);
    if (rpc_map_text(entry, "binary", &wanted)) {
        _buf_ bytes = unhex(wanted);
        return rpc_value_bin(value, &got) && view_eq(got, buf_view(&bytes));
    }
    if (rpc_map_get(entry, "bool", &wanted))
        return rpc_value_bool(value, &yes) && yes == rpc_map_bool(entry, "bool");
    if (rpc_map_get(entry, "array", &wanted)) {
        struct rpc_fields f, g;
        rpc_fields_open(&f, wanted);
        rpc_fields_open(&g, value);
        return !f.has_failed && !g.has_failed && f.n_left == g.n_left;
    }
    if (rpc_map_get(entry, "map", &wanted))
        return rpc_map_open(wanted, &cursor, &n_wanted) && rpc_map_open(value, &cursor, &n_got) &&
               n_wanted == n_got;
    if (rpc_map_get(entry, "number", &wanted)) {
        enum rpc_kind kind = rpc_value_kind(value);
        if (rpc_value_kind(wanted) == RPC_INT && rpc_value_u64(wanted, &a) && kind == RPC_INT)
            return rpc_value_u64(value, &b) && a == b;
        return kind == RPC_INT || kind == RPC_FLOAT;
    }
    if (rpc_map_text(entry, "bignum", &wanted))
        return !text_read_u64(wanted, &a) || !rpc_value_u64(value, &b) || a == b;
    return rpc_value_kind(value) == RPC_NIL;
}

static void check_encoding(struct view entry, struct view hex, bool is_ext)
{
    _buf_ bytes = unhex(hex);
    struct err err = { 0 };
    size_t len = 0;
    bool ok = rpc_walk(buf_view(&bytes), &len, &err);

    if (is_ext) {
        CHECK(!ok && strstr(err.text, "ext"));
        return;
    }
    if (!ok || len != bytes.len || !is_value(entry, buf_view(&bytes)))
        check_failed(__FILE__, __LINE__, "%.*s: %s", VIEW_FMT(hex),
                     ok ? "another value" : err.text);
}

TEST(the_msgpack_suite_is_read_and_its_ext_types_refused)
{
    _buf_ suite = load("msgpack/msgpack-test-suite.json");
    struct view files, name, entries, ignored;
    uint32_t n_files;
    size_t n = 0;

    if (suite.len == 0)
        return;
    CHECK(rpc_map_open(buf_view(&suite), &files, &n_files));
    while (rpc_map_next(&files, &n_files, &name, &entries)) {
        struct rpc_fields f;
        rpc_fields_open(&f, entries);
        while (rpc_fields_more(&f)) {
            struct view entry = rpc_fields_map(&f, "entry"), list;
            struct rpc_fields g;
            bool is_ext =
                rpc_map_get(entry, "ext", &ignored) || rpc_map_get(entry, "timestamp", &ignored);
            CHECK(rpc_map_get(entry, "msgpack", &list));
            rpc_fields_open(&g, list);
            for (; rpc_fields_more(&g); n++)
                check_encoding(entry, rpc_fields_text(&g, "bytes", 4096), is_ext);
        }
    }
    CHECK(n > 200);
}

/* ---- WAMP ----------------------------------------------------------------------------------- */

static void check_id(struct view attributes, const char *key, uint64_t got)
{
    uint64_t wanted;

    if (rpc_map_u64(attributes, key, &wanted))
        CHECK_U64(got, wanted);
}

static void check_text(struct view attributes, const char *key, struct view got)
{
    struct view wanted;

    if (rpc_map_text(attributes, key, &wanted))
        CHECK_VIEW(got, wanted);
}

static void check_payload(struct view attributes, struct rpc_payload payload)
{
    struct view wanted;

    if (rpc_map_get(attributes, "args", &wanted))
        CHECK_VIEW(rpc_payload_args(payload), wanted);
    if (rpc_map_get(attributes, "kwargs", &wanted))
        CHECK_VIEW(rpc_payload_kwargs(payload), wanted);
    else
        CHECK_U64(rpc_payload_kwargs(payload).len, 0);
}

static void check_attributes(struct view a, const struct rpc_msg *msg)
{
    switch (msg->type) {
    case RPC_HELLO:
        check_text(a, "realm", msg->hello.realm);
        return;
    case RPC_WELCOME:
        check_id(a, "session_id", msg->welcome.session);
        return;
    case RPC_ABORT:
    case RPC_GOODBYE:
        check_text(a, "reason", msg->abort.reason);
        return;
    case RPC_CHALLENGE:
        check_text(a, "method", msg->challenge.method);
        return;
    case RPC_AUTHENTICATE:
        check_text(a, "signature", msg->authenticate.signature);
        return;
    case RPC_ERROR:
        check_id(a, "request_type", (uint64_t)msg->error.request_type);
        check_id(a, "request_id", msg->error.request);
        check_text(a, "error", msg->error.uri);
        return;
    case RPC_PUBLISH:
        check_id(a, "request_id", msg->publish.request);
        check_text(a, "topic", msg->publish.topic);
        check_payload(a, msg->publish.payload);
        return;
    case RPC_CALL:
        check_id(a, "request_id", msg->call.request);
        check_text(a, "procedure", msg->call.procedure);
        check_payload(a, msg->call.payload);
        return;
    case RPC_RESULT:
    case RPC_YIELD:
        check_id(a, "request_id", msg->result.request);
        check_payload(a, msg->result.payload);
        return;
    case RPC_INVOCATION:
        check_id(a, "request_id", msg->invocation.request);
        check_id(a, "registration_id", msg->invocation.registration);
        return;
    case RPC_EVENT:
        check_id(a, "subscription", msg->event.subscription);
        check_id(a, "publication", msg->event.publication);
        check_payload(a, msg->event.payload);
        return;
    case RPC_REGISTER:
    case RPC_SUBSCRIBE:
        check_id(a, "request_id", msg->reg.request);
        check_text(a, msg->type == RPC_REGISTER ? "procedure" : "topic", msg->reg.uri);
        return;
    default:
        check_id(a, "request_id", msg->ids.request);
        check_id(a, "registration_id", msg->ids.second);
        check_id(a, "subscription_id", msg->ids.second);
        check_id(a, "publication_id", msg->ids.second);
    }
}

/* What we write is what we read, unless we say more (roles), say it as binary, or leave out what we
 * do not know. */
static void check_rewrite(struct view attributes, const struct rpc_msg *msg, struct view frame)
{
    struct view dict, ignored;
    _buf_ again = { 0 };

    if (msg->type == RPC_HELLO || msg->type == RPC_WELCOME || msg->type == RPC_AUTHENTICATE)
        return;
    if ((rpc_map_get(attributes, "options", &dict) || rpc_map_get(attributes, "details", &dict)) &&
        rpc_map_get(dict, "forward_for", &ignored))
        return;
    rpc_msg_write(msg, &again);
    CHECK_VIEW(buf_view(&again), frame);
}

static void check_sample(struct view sample, size_t *n_read, size_t *n_refused)
{
    struct view attributes, serializers, list, hex, ignored;
    struct rpc_fields f;
    struct rpc_msg msg;
    struct err err;

    if (!rpc_map_get(sample, "serializers", &serializers) ||
        !rpc_map_get(serializers, "msgpack", &list) ||
        !rpc_map_get(sample, "expected_attributes", &attributes))
        return;
    rpc_fields_open(&f, list);
    while (rpc_fields_more(&f)) {
        if (!rpc_map_text(rpc_fields_map(&f, "bytes"), "bytes_hex", &hex))
            continue;
        _buf_ frame = unhex(hex);
        uint64_t type = 0;
        rpc_map_u64(attributes, "message_type", &type);
        /* a payload in place of args, and one type, belong to features that we do not announce */
        if (rpc_map_get(attributes, "payload", &ignored) || type == 337) {
            CHECK_ERR(rpc_msg_read(buf_view(&frame), &msg, &err), err, ERR_BAD_WIRE);
            ++*n_refused;
            continue;
        }
        CHECK_OK(rpc_msg_read(buf_view(&frame), &msg, &err), err);
        CHECK_U64(msg.type, type);
        check_attributes(attributes, &msg);
        check_rewrite(attributes, &msg, buf_view(&frame));
        ++*n_read;
    }
}

/* A message with one option or detail, valid or not. Keys that we do not know are passed over,
 * whatever they hold. */
static void check_option(struct view sample, size_t *n)
{
    static const char *const ours[] = {
        "publisher",
        "publisher_authid",
        "publisher_authrole",
        "retained",
        "acknowledge",
        "exclude_me",
        "exclude",
        "exclude_authid",
        "exclude_authrole",
        "eligible",
        "eligible_authid",
        "eligible_authrole",
        "retain",
        "match",
        "get_retained",
        "topic",
        "disclose_me",
    };
    struct view frame, key = { 0 }, value, cursor, ignored, description = { 0 };
    bool is_ours = false, is_bad, ok;
    struct rpc_msg msg;
    struct rpc_fields f;
    struct err err = { 0 };
    uint32_t n_keys;

    if (!rpc_map_get(sample, "wmsg", &frame))
        return;
    rpc_map_text(sample, "description", &description);
    is_bad = rpc_map_get(sample, "expected_error", &ignored);
    rpc_fields_open(&f, frame);
    while (rpc_fields_more(&f)) {
        if (rpc_map_open(rpc_fields_value(&f, "value"), &cursor, &n_keys))
            rpc_map_next(&cursor, &n_keys, &key, &value);
    }
    for (size_t i = 0; i < N_ELEMENTS(ours); i++)
        is_ours |= view_eq_text(key, ours[i]);
    ok = rpc_msg_read(frame, &msg, &err);
    ++*n;
    if (view_starts(key, VIEW_LIT("enc_"))) { /* with a payload that is no array */
        CHECK(!ok && strstr(err.text, "args: not an array"));
    } else if (ok == (is_ours && is_bad)) {
        check_failed(__FILE__, __LINE__, "%.*s: %s", VIEW_FMT(description),
                     ok ? "taken" : err.text);
    }
}

TEST(the_wamp_specifications_samples)
{
    static const char *const names[] = {
        "basic/abort",        "basic/authenticate",
        "basic/call",         "basic/challenge",
        "basic/error",        "basic/event",
        "basic/goodbye",      "basic/hello",
        "basic/invocation",   "basic/publish",
        "basic/published",    "basic/register",
        "basic/registered",   "basic/result",
        "basic/subscribe",    "basic/subscribed",
        "basic/unregister",   "basic/unregistered",
        "basic/unsubscribe",  "basic/unsubscribed",
        "basic/welcome",      "basic/yield",
        "advanced/cancel",    "advanced/eventreceived",
        "advanced/interrupt", "advanced/publish_with_publisher_exclusion_disabled",
    };
    size_t n_read = 0, n_refused = 0, n_options = 0;

    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        _free_ char *name = mem_format("wamp/%s.json", names[i]);
        _buf_ file = load(name);
        struct view samples;
        struct rpc_fields f;
        if (file.len == 0)
            return;
        if (!CHECK(rpc_map_get(buf_view(&file), "samples", &samples)))
            return;
        rpc_fields_open(&f, samples);
        while (rpc_fields_more(&f)) {
            struct view sample = rpc_fields_map(&f, "sample");
            check_sample(sample, &n_read, &n_refused);
            check_option(sample, &n_options);
        }
    }
    CHECK(n_read >= 30);
    CHECK(n_refused >= 5);
    CHECK(n_options >= 60);
}
