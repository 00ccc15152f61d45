/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/batch.h"
#include "tests/check.h"

static const enum rpc_batch kinds[] = { RPC_BATCH_LENGTHS, RPC_BATCH_SEPARATORS };

TEST(a_batch_has_the_bytes_that_wamp_says)
{
    _buf_ lengths = { 0 };
    _buf_ separators = { 0 };
    _buf_ none = { 0 };

    rpc_batch_put(RPC_BATCH_LENGTHS, VIEW_LIT("\x93\x21\x04\x0c"), &lengths);
    rpc_batch_put(RPC_BATCH_LENGTHS, VIEW_LIT("\x92\x22\x05"), &lengths);
    CHECK_VIEW(buf_view(&lengths), VIEW_LIT("\0\0\0\x04\x93\x21\x04\x0c\0\0\0\x03\x92\x22\x05"));
    rpc_batch_put(RPC_BATCH_SEPARATORS, VIEW_LIT("[33,4,12]"), &separators);
    rpc_batch_put(RPC_BATCH_SEPARATORS, VIEW_LIT("[35,5]"), &separators);
    CHECK_VIEW(buf_view(&separators), VIEW_LIT("[33,4,12]\x1e[35,5]\x1e"));
    rpc_batch_put(RPC_BATCH_NONE, VIEW_LIT("[35,5]"), &none);
    CHECK_VIEW(buf_view(&none), VIEW_LIT("[35,5]"));
}

TEST(what_was_put_together_comes_apart_again)
{
    static const char *const messages[] = { "[1]", "[48,1,{},\"a.b\",[\"\xc3\xa9\"]]", "x",
                                            "[35,5]" };

    for (size_t k = 0; k < N_ELEMENTS(kinds); k++) {
        _buf_ batch = { 0 };
        struct view rest, message;
        struct err err;
        for (size_t i = 0; i < N_ELEMENTS(messages); i++)
            rpc_batch_put(kinds[k], view_text(messages[i]), &batch);
        CHECK_OK(rpc_batch_check(kinds[k], buf_view(&batch), &err), err);
        rest = buf_view(&batch);
        for (size_t i = 0; i < N_ELEMENTS(messages); i++) {
            CHECK(rpc_batch_next(kinds[k], &rest, &message));
            CHECK_VIEW(message, view_text(messages[i]));
        }
        CHECK(!rpc_batch_next(kinds[k], &rest, &message));
    }
}

TEST(malformed_batches_are_refused)
{
    static const struct {
        enum rpc_batch kind;
        struct view batch;
        const char *why;
    } cases[] = {
#define ROW(kind, bytes, why)                                                                      \
    { RPC_BATCH_##kind, { (const uint8_t *)(bytes), sizeof(bytes) - 1 }, why }
        ROW(LENGTHS, "", "batch: empty"),
        ROW(LENGTHS, "\0\0\0", "batch: byte 0: cut short"),
        ROW(LENGTHS, "\0\0\0\0", "batch: byte 0: an empty message"),
        ROW(LENGTHS, "\0\0\0\x02x", "batch: byte 0: cut short"),
        ROW(LENGTHS, "\xff\xff\xff\xffx", "batch: byte 0: cut short"),
        ROW(LENGTHS, "\0\0\0\x01x\0\0\0\x02y", "batch: byte 5: cut short"),
        ROW(LENGTHS, "\0\0\0\x01xy", "batch: byte 5: cut short"),
        ROW(LENGTHS, "\0\0\0\x01x\0\0\0\0", "batch: byte 5: an empty message"),
        ROW(SEPARATORS, "", "batch: empty"),
        ROW(SEPARATORS, "[1]", "batch: byte 0: no separator at the end"),
        ROW(SEPARATORS, "\x1e", "batch: byte 0: an empty message"),
        ROW(SEPARATORS, "[1]\x1e\x1e", "batch: byte 4: an empty message"),
        ROW(SEPARATORS, "[1]\x1e[2]", "batch: byte 4: no separator at the end"),
        ROW(NONE, "", "batch: empty"),
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct err err;
        CHECK_ERR(rpc_batch_check(cases[i].kind, cases[i].batch, &err), err, ERR_BAD_WIRE);
        CHECK_STR(err.text, cases[i].why);
    }
}

TEST(a_batch_has_so_many_messages_at_most)
{
    for (size_t k = 0; k < N_ELEMENTS(kinds); k++) {
        _buf_ batch = { 0 };
        struct err err;
        for (int i = 0; i < RPC_BATCH_MAX; i++)
            rpc_batch_put(kinds[k], VIEW_LIT("x"), &batch);
        CHECK_OK(rpc_batch_check(kinds[k], buf_view(&batch), &err), err);
        rpc_batch_put(kinds[k], VIEW_LIT("x"), &batch);
        CHECK_ERR(rpc_batch_check(kinds[k], buf_view(&batch), &err), err, ERR_BAD_WIRE);
        CHECK_STR(err.text, kinds[k] == RPC_BATCH_LENGTHS ? "batch: byte 20480: too many messages"
                                                          : "batch: byte 8192: too many messages");
    }
}

/* Whatever the front of a batch is, it is a batch or refused, and never read past its end. */
TEST(every_front_of_a_batch_is_bounded)
{
    for (size_t k = 0; k < N_ELEMENTS(kinds); k++) {
        _buf_ batch = { 0 };
        for (int i = 0; i < 5; i++)
            rpc_batch_put(kinds[k], VIEW_LIT("[50,7,{},[1]]"), &batch);
        for (size_t len = 0; len <= batch.len; len++) {
            _buf_ front = buf_dup(view_sub(buf_view(&batch), 0, len));
            size_t one = batch.len / 5;
            struct err err;
            CHECK(rpc_batch_check(kinds[k], buf_view(&front), &err) == (len && len % one == 0));
        }
    }
}
