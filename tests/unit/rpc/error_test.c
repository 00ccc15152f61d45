/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/error.h"
#include "tests/check.h"
#include "tests/unit/rpc/json.h"

TEST(every_code_comes_back_as_it_went)
{
    for (enum err_code code = 1; code < ERR_N_CODES; code++) {
        _buf_ uri = { 0 };
        _buf_ bytes = { 0 };
        struct err sent, got;
        err_set(&sent, code, "the cause of %d", (int)code);
        rpc_error_uri("den", code, &uri);
        rpc_error_put_payload(&sent, &bytes);
        rpc_error_read(buf_view(&uri), (struct rpc_payload){ buf_view(&bytes), 2 }, &got);
        CHECK_STR(err_code_name(got.code), err_code_name(code));
        CHECK_STR(got.text, sent.text);
    }
}

TEST(uris_are_ours_unless_wamp_has_a_word)
{
    static const struct {
        const char *name_space;
        enum err_code code;
        const char *uri;
    } cases[] = {
        { "den", ERR_NOT_REACHABLE, "den.error.not_reachable" },
        { "network", ERR_DEN_AWAY, "network.error.den_away" },
        { "peer", ERR_DECLINED, "peer.error.declined" },
        { "den", ERR_ALREADY_EXISTS, "den.error.already_exists" },
        { "network", ERR_NO_SUCH_PROCEDURE, "wamp.error.no_such_procedure" },
        { "network", ERR_NOT_AUTHORIZED, "wamp.error.not_authorized" },
        { "network", ERR_BAD_WIRE, "wamp.error.protocol_violation" },
        { "network", ERR_TOO_LARGE, "wamp.error.payload_size_exceeded" },
        { "network", ERR_ALREADY_EXISTS, "wamp.error.procedure_already_exists" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ uri = { 0 };
        rpc_error_uri(cases[i].name_space, cases[i].code, &uri);
        CHECK_STR(buf_cstr(&uri), cases[i].uri);
    }
}

TEST(errors_of_others_are_understood_or_named)
{
    static const struct {
        const char *uri, *args, *kwargs;
        enum err_code code;
        const char *text;
    } cases[] = {
        { "den.error.stale", NULL, NULL, ERR_STALE, "it is bound to an old beacon" },
        { "den.error.stale", "[]", "{\"cause\": \"beacon 7\"}", ERR_STALE, "beacon 7" },
        { "den.error.stale", "[\"in args\"]", NULL, ERR_STALE, "in args" },
        { "den.error.stale", "[\"in args\"]", "{\"cause\": 5}", ERR_STALE, "in args" },
        { "den.error.stale", "[1]", "{\"cause\": \"a\", \"cause\": \"b\"}", ERR_STALE,
          "it is bound to an old beacon" },
        { "wamp.error.canceled", NULL, NULL, ERR_CANCELED, "it was canceled" },
        { "wamp.error.cancelled", NULL, NULL, ERR_CANCELED, "it was canceled" },
        { "wamp.error.authorization_denied", NULL, NULL, ERR_NOT_AUTHORIZED,
          "this caller may not do that" },
        { "wamp.close.system_shutdown", NULL, NULL, ERR_CLOSED, "it is closed" },
        { "com.app.error.stale", "[\"x\"]", NULL, ERR_INTERNAL, "com.app.error.stale: x" },
        { "den.error.nonsense", NULL, NULL, ERR_INTERNAL,
          "den.error.nonsense: a fault in this program" },
        { ".error.stale", NULL, NULL, ERR_INTERNAL, ".error.stale: a fault in this program" },
        { "den.error.", NULL, NULL, ERR_INTERNAL, "den.error.: a fault in this program" },
        { "den.error.none", NULL, NULL, ERR_INTERNAL, "den.error.none: a fault in this program" },
        { "den.error.stale", "[\"a\\nb\"]", NULL, ERR_STALE, "a\\x0ab" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ bytes = cases[i].args     ? json_must(cases[i].args)
                      : cases[i].kwargs ? json_must("[]")
                                        : (struct buf){ 0 };
        struct rpc_payload payload = { .n = bytes.len ? 1 : 0 };
        struct err got;
        if (cases[i].kwargs) {
            _buf_ kwargs = json_must(cases[i].kwargs);
            buf_put(&bytes, buf_view(&kwargs));
            payload.n = 2;
        }
        payload.bytes = buf_view(&bytes);
        rpc_error_read(view_text(cases[i].uri), payload, &got);
        CHECK_STR(err_code_name(got.code), err_code_name(cases[i].code));
        CHECK_STR(got.text, cases[i].text);
    }
}

TEST(a_text_cut_inside_a_character_is_not_sent)
{
    _buf_ bytes = { 0 };
    struct err what = { .code = ERR_BUSY };
    size_t len;

    strncpy(what.text, "half \xc3", sizeof(what.text) - 1);
    rpc_error_put_payload(&what, &bytes);
    struct err err;
    CHECK_OK(rpc_walk(buf_view(&bytes), &len, &err), err);
    CHECK_OK(rpc_walk(view_sub(buf_view(&bytes), len, bytes.len), &len, &err), err);
}
