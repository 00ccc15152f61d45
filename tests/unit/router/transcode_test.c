/* SPDX-License-Identifier: Apache-2.0 */
#include "router/transcode.h"
#include "tests/check.h"

static struct transcode *small(void)
{
    return transcode_new(200, 400);
}

static struct buf written(const struct rpc_msg *msg)
{
    struct buf frame = { 0 };

    rpc_msg_write(msg, &frame);
    return frame;
}

static struct buf message_of(const char *json)
{
    struct buf frame = { 0 };
    struct err err;

    if (!rpc_json_to_msgpack(view_text(json), 4096, &frame, &err))
        check_failed(__FILE__, __LINE__, "%s: %s", json, err.text);
    return frame;
}

TEST(what_comes_in_is_msgpack_or_refused)
{
    _cleanup_(transcode_freep) struct transcode *t = small();
    _buf_ long_text = { 0 };
    struct view message;
    struct err err;

    CHECK_OK(transcode_in(t, VIEW_LIT("[48, 1, {}, \"a.b\"]"), &message, &err), err);
    CHECK_VIEW(message, VIEW_LIT("\x94\x30\x01\x80\xa3"
                                 "a.b"));
    CHECK_OK(transcode_in(t, VIEW_LIT("[34,5,6]"), &message, &err), err);
    CHECK_VIEW(message, VIEW_LIT("\x93\x22\x05\x06"));
    CHECK_ERR(transcode_in(t, VIEW_LIT("[34,5,"), &message, &err), err, ERR_BAD_WIRE);
    CHECK_STR(err.text, "message: byte 6: cut short");
    buf_put_u8(&long_text, '[');
    for (int i = 0; i < 30; i++)
        buf_put_text(&long_text, "1e1,");
    buf_put_text(&long_text, "1]");
    CHECK_ERR(transcode_in(t, buf_view(&long_text), &message, &err), err, ERR_TOO_LARGE);
    CHECK_STR(err.text, "message: more than 200 bytes as msgpack");
}

TEST(what_goes_out_is_json)
{
    static const char *const texts[] = {
        "[50,7,{},[\"\\u0000AP8=\",1.5]]",
        "[36,12,90211,{\"retained\":true},[1]]",
        "[36,12,90211,{\"retained\":true},[1]]", /* the same again */
        "[36,12,90212,{\"retained\":true},[1]]",
        "[36,12,90211,{\"retained\":true},[1]]",
        "[65,8,21]",
    };
    _cleanup_(transcode_freep) struct transcode *t = small();

    for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
        _buf_ message = message_of(texts[i]);
        struct view text = { 0 };
        struct err why = { 0 };
        CHECK_U64(transcode_out(t, buf_view(&message), &text, &why), TRANSCODED);
        CHECK_VIEW(text, view_text(texts[i]));
        CHECK_U64(why.code, ERR_NONE);
    }
}

/* ---- what has no JSON ------------------------------------------------------------------------ */

/* [NaN], or a text that is as long as it can be but too long in JSON. */
static struct buf bad_args(bool is_long)
{
    struct buf args = { 0 };
    uint8_t controls[100];

    rpc_put_array(&args, 1);
    if (!is_long) {
        rpc_put_double(&args, __builtin_nan(""));
    } else {
        memset(controls, 1, sizeof(controls));
        rpc_put_text(&args, VIEW_ARR(controls));
    }
    return args;
}

TEST(a_result_without_json_becomes_an_error)
{
    struct rpc_msg msg = { .type = RPC_RESULT, .result = { .request = 7 } };

    for (int is_long = 0; is_long <= 1; is_long++) {
        _cleanup_(transcode_freep) struct transcode *t = small();
        _buf_ args = bad_args(is_long);
        struct view text = { 0 };
        struct err why = { 0 };
        msg.result.payload = rpc_args(buf_view(&args));
        _buf_ message = written(&msg);
        CHECK_U64(transcode_out(t, buf_view(&message), &text, &why), TRANSCODED_REPLACED);
        CHECK(view_starts(text,
                          is_long ? VIEW_LIT("[8,48,7,{},\"wamp.error.payload_size_exceeded\",[],"
                                             "{\"code\":\"too_large\",\"cause\":\"the RESULT for")
                                  : VIEW_LIT("[8,48,7,{},\"wamp.error.invalid_argument\",[],"
                                             "{\"code\":\"invalid_argument\",\"cause\":\"the RE")));
        CHECK_STR(why.text,
                  is_long ? "the RESULT for a client that speaks JSON: more than 400 bytes as JSON"
                          : "the RESULT for a client that speaks JSON: byte 5: JSON has no NaN "
                            "and no infinity");
    }
}

TEST(an_invocation_without_json_is_refused_for_the_callee)
{
    for (int is_long = 0; is_long <= 1; is_long++) {
        _cleanup_(transcode_freep) struct transcode *t = small();
        _buf_ args = bad_args(is_long);
        struct rpc_msg msg = { .type = RPC_INVOCATION,
                               .invocation = { .request = 3, .registration = 21 } },
                       back;
        struct view text = { 0 };
        struct err why = { 0 }, err;
        msg.invocation.payload = rpc_args(buf_view(&args));
        _buf_ message = written(&msg);
        CHECK_U64(transcode_out(t, buf_view(&message), &text, &why), TRANSCODED_REFUSED);
        CHECK_OK(rpc_msg_read(text, &back, &err), err);
        CHECK_U64(back.type, RPC_ERROR);
        CHECK_U64(back.error.request_type, RPC_INVOCATION);
        CHECK_U64(back.error.request, 3);
        CHECK_VIEW(back.error.uri, is_long ? VIEW_LIT("wamp.error.payload_size_exceeded")
                                           : VIEW_LIT("wamp.error.invalid_argument"));
    }
}

/* An error keeps its URI: only what it says of itself is lost. */
TEST(an_error_without_json_keeps_its_uri)
{
    _cleanup_(transcode_freep) struct transcode *t = small();
    _buf_ args = bad_args(false);
    struct rpc_msg msg = { .type = RPC_ERROR,
                           .error = { .request_type = RPC_CALL,
                                      .request = 9,
                                      .uri = VIEW_LIT("a.error.b"),
                                      .payload = rpc_args(buf_view(&args)) } };
    _buf_ message = written(&msg);
    struct view text = { 0 };
    struct err why = { 0 };

    CHECK_U64(transcode_out(t, buf_view(&message), &text, &why), TRANSCODED_REPLACED);
    CHECK(
        view_starts(text, VIEW_LIT("[8,48,9,{},\"a.error.b\",[],{\"code\":\"invalid_argument\"")));
}

TEST(events_and_partial_results_without_json_are_dropped)
{
    _cleanup_(transcode_freep) struct transcode *t = small();
    _buf_ args = bad_args(false);
    struct rpc_payload payload = rpc_args(buf_view(&args));
    struct rpc_msg cases[] = {
        { .type = RPC_EVENT, .event = { .subscription = 1, .publication = 2, .payload = payload } },
        { .type = RPC_RESULT, .result = { .request = 7, .progress = true, .payload = payload } },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ message = written(&cases[i]);
        struct view text = { 0 };
        struct err why = { 0 };
        CHECK_U64(transcode_out(t, buf_view(&message), &text, &why), TRANSCODED_DROPPED);
        CHECK(why.text[0]);
    }
}

TEST(a_session_whose_own_messages_have_no_json_ends)
{
    _cleanup_(transcode_freep) struct transcode *t = small();
    char long_text[600];
    struct rpc_msg msg = { .type = RPC_GOODBYE,
                           .goodbye = { .reason = VIEW_LIT("a.b"),
                                        .message = VIEW(long_text, sizeof(long_text)) } };
    struct view text = { 0 };
    struct err why = { 0 };

    memset(long_text, 'x', sizeof(long_text));
    _buf_ message = written(&msg);
    CHECK_U64(transcode_out(t, buf_view(&message), &text, &why), TRANSCODED_FATAL);
}
