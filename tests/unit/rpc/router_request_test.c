/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/router_request.h"
#include "base/text.h"
#include "tests/check.h"

static const uint8_t csr[] = { 0x30, 0x03, 0x02, 0x01, 0x07 };

static void make_request(struct buf *ret_text, const struct key *key)
{
    rpc_router_request_write("rendezvous.example:443", VIEW_ARR(csr), key, ret_text);
}

/* `text` with the first `from` replaced by `to`, of the same length or not. */
static void replace(struct buf *text, const char *from, const char *to)
{
    const char *at = strstr(buf_cstr(text), from);
    _buf_ out = { 0 };

    if (!CHECK(at != NULL))
        return;
    buf_put(&out, VIEW(text->data, (size_t)((const uint8_t *)at - text->data)));
    buf_put_text(&out, to);
    buf_put_text(&out, at + strlen(from));
    buf_clear(text);
    buf_put(text, buf_view(&out));
}

TEST(a_request_says_who_asks_and_for_which_keys)
{
    _cleanup_(rpc_router_request_deinit) struct rpc_router_request request = { 0 };
    _cleanup_(key_freep) struct key *key = NULL;
    struct err err = { 0 };
    _buf_ text = { 0 };

    CHECK_OK(key_init(&err), err);
    key = key_new();
    make_request(&text, key);
    CHECK_OK(rpc_router_request_read("router.request", buf_view(&text), &request, &err), err);
    CHECK_STR(request.host, "rendezvous.example:443");
    CHECK_VIEW(VIEW_ARR(request.public_key), key_public_view(key));
    CHECK_VIEW(buf_view(&request.csr), VIEW_ARR(csr));
}

TEST(bad_requests_are_refused)
{
    static const struct {
        const char *from, *to;
        enum err_code code;
        const char *why;
    } cases[] = {
        { "host = rendezvous", "host = somewhere", ERR_BAD_SIGNATURE,
          "router.request: signature: not by public_key over host and csr" },
        { "3003020107", "3003020108", ERR_BAD_SIGNATURE,
          "router.request: signature: not by public_key over host and csr" },
        { "3003020107", "300302010", ERR_BAD_CONFIG, "router.request: csr: not hexadecimal" },
        { "public_key = ", "public_key = 00", ERR_BAD_CONFIG,
          "router.request: public_key: not 32 bytes in hexadecimal" },
        { "signature = ", "signature = x", ERR_BAD_CONFIG,
          "router.request: signature: not 64 bytes in hexadecimal" },
        { "request = 1", "request = 2", ERR_BAD_CONFIG,
          "router.request: request: a form of this file that this version does not know" },
        { "request = 1", "# request", ERR_BAD_CONFIG,
          "router.request: request is missing: expected a whole number, 0 or more" },
        { "host = ", "hots = ", ERR_BAD_CONFIG, "router.request:4: unknown key \"hots\"" },
    };
    _cleanup_(key_freep) struct key *key = NULL;
    struct err err = { 0 };

    CHECK_OK(key_init(&err), err);
    key = key_new();
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct rpc_router_request request = { 0 };
        _buf_ text = { 0 };
        make_request(&text, key);
        replace(&text, cases[i].from, cases[i].to);
        CHECK_ERR(rpc_router_request_read("router.request", buf_view(&text), &request, &err), err,
                  cases[i].code);
        CHECK_STR(err.text, cases[i].why);
    }
}

TEST(an_answer_round_trips)
{
    struct rpc_router_answer answer = { .network = mem_text("corp.example"),
                                        .certificate = buf_dup(VIEW_LIT("leaf")),
                                        .chain = buf_dup(VIEW_LIT("intermediate")),
                                        .trust = buf_dup(VIEW_LIT("trust")) };
    struct rpc_router_answer back = { 0 };
    struct err err = { 0 };
    _buf_ text = { 0 };

    rpc_router_answer_write(&answer, &text);
    CHECK_OK(rpc_router_answer_read("router.answer", buf_view(&text), &back, &err), err);
    CHECK_STR(back.network, "corp.example");
    CHECK_VIEW(buf_view(&back.certificate), VIEW_LIT("leaf"));
    CHECK_VIEW(buf_view(&back.chain), VIEW_LIT("intermediate"));
    CHECK_VIEW(buf_view(&back.trust), VIEW_LIT("trust"));
    rpc_router_answer_deinit(&back);
    CHECK_ERR(rpc_router_answer_read("router.answer", VIEW_LIT("answer = 1\n"), &back, &err), err,
              ERR_BAD_CONFIG);
    rpc_router_answer_deinit(&answer);
}
