/* SPDX-License-Identifier: Apache-2.0 */
/* Frames and headers as bytes; chunks of memory. */
#include "peer/link/inside.h"
#include "tests/check.h"

static struct buf frame_of(enum control_type type, size_t len)
{
    struct buf to = { 0 };
    _buf_ payload = { 0 };

    if (len)
        memset(buf_grow(&payload, len), 0, len);
    if (type == CONTROL_HEART || type == CONTROL_REVOKE) {
        payload.data[2] = (uint8_t)((len - 68) >> 8);
        payload.data[3] = (uint8_t)(len - 68);
    }
    if (type == CONTROL_REAUTH && len > 75) { /* one certificate that fills it */
        payload.data[3] = payload.data[70] = payload.data[72] = 1;
        payload.data[73] = (uint8_t)((len - 75) >> 8);
        payload.data[74] = (uint8_t)(len - 75);
    }
    control_write(&to, type, buf_view(&payload));
    return to;
}

TEST(every_frame_is_read_at_its_bounds_and_refused_beyond)
{
    static const struct {
        enum control_type type;
        size_t least, most;
    } cases[] = {
#define X(name, text, least, most) { CONTROL_##name, least, most },
        CONTROL_FRAMES(X)
#undef X
    };
    for (size_t i = 0; i < N_ELEMENTS(cases); i++)
        for (size_t j = 0; j < 4; j++) {
            size_t lens[] = { cases[i].least, cases[i].most, cases[i].least - 1,
                              cases[i].most + 1 };
            _cleanup_(control_reader_deinit) struct control_reader reader = { 0 };
            struct control_frame frame;
            struct err err = { 0 };
            _buf_ bytes = frame_of(cases[i].type, lens[j]);
            enum control_result got;

            control_reader_input(&reader, buf_view(&bytes));
            got = control_reader_next(&reader, &frame, &err);
            CHECK_U64(got, j < 2 ? CONTROL_FRAME : CONTROL_BAD);
            if (got == CONTROL_FRAME)
                CHECK_U64(frame.payload.len, lens[j]);
            else
                CHECK_U64(err.code, ERR_BAD_WIRE);
        }
}

TEST(frames_are_read_byte_by_byte_and_in_a_row)
{
    _cleanup_(control_reader_deinit) struct control_reader reader = { 0 };
    static const uint8_t sid[LINK_SID] = { 1 }, hash[HASH_SIZE] = { 2 };
    struct control_frame frame;
    struct err err = { 0 };
    _buf_ bytes = { 0 };
    unsigned n = 0;

    for (unsigned i = 0; i < 3; i++)
        control_write_bind(&bytes, sid, hash);
    for (size_t i = 0; i < bytes.len; i++) {
        control_reader_input(&reader, view_sub(buf_view(&bytes), i, 1));
        while (control_reader_next(&reader, &frame, &err) == CONTROL_FRAME)
            n++;
        CHECK_U64(err.code, ERR_NONE);
        CHECK_U64(n, (i + 1) / 53);
    }
    control_reader_input(&reader, buf_view(&bytes));
    while (control_reader_next(&reader, &frame, &err) == CONTROL_FRAME)
        n++;
    CHECK_U64(n, 6);
    CHECK_VIEW(view_sub(frame.payload, 0, 2), VIEW_LIT("\1\0"));
}

TEST(signed_statements_must_add_up)
{
    uint8_t bytes[4 + 10 + SIG_SIZE] = { 0, 0, 0, 10 };
    struct view statement, sig;

    CHECK(link_signed_read(VIEW_ARR(bytes), &statement, &sig));
    CHECK_U64(statement.len, 10);
    CHECK_U64(sig.len, SIG_SIZE);
    CHECK(!link_signed_read(VIEW(bytes, sizeof(bytes) - 1), &statement, &sig));
    for (unsigned len = 0; len < 256; len++) {
        bytes[3] = (uint8_t)len;
        CHECK(link_signed_read(VIEW_ARR(bytes), &statement, &sig) == (len == 10));
    }
    bytes[0] = 255;
    CHECK(!link_signed_read(VIEW_ARR(bytes), &statement, &sig));
}

TEST(a_reauth_is_read_as_it_was_written)
{
    static const uint8_t sig[SIG_SIZE] = { 7 };
    const struct link_reauth said = { VIEW_LIT("a statement"),
                                      VIEW_ARR(sig),
                                      VIEW_LIT("by the key"),
                                      { VIEW_LIT("a leaf"), VIEW_LIT("a CA") },
                                      2 };
    struct link_reauth back;
    _buf_ bytes = { 0 };

    control_write_reauth(&bytes, &said);
    CHECK(link_reauth_read(buf_view(&bytes), &back));
    CHECK_VIEW(back.statement, said.statement);
    CHECK_VIEW(back.sig, said.sig);
    CHECK_VIEW(back.tls_sig, said.tls_sig);
    CHECK_U64(back.n_chain, 2);
    CHECK_VIEW(back.chain[1], said.chain[1]);
    for (size_t len = 0; len < bytes.len; len++) /* no part of it is one */
        CHECK(!link_reauth_read(view_sub(buf_view(&bytes), 0, len), &back));
    buf_put_u8(&bytes, 0);
    CHECK(!link_reauth_read(buf_view(&bytes), &back));
}

TEST(a_header_is_incomplete_until_it_is_complete)
{
    _buf_ bytes = { 0 };
    struct view cap, arg;
    struct err err = { 0 };
    size_t used;

    header_write(&bytes, VIEW_LIT("chat"), VIEW_LIT("an argument"));
    for (size_t i = 0; i < bytes.len; i++)
        CHECK_U64(header_read(view_sub(buf_view(&bytes), 0, i), &cap, &arg, &used, &err),
                  HEADER_MORE);
    buf_put_text(&bytes, "data");
    CHECK_U64(header_read(buf_view(&bytes), &cap, &arg, &used, &err), HEADER_DONE);
    CHECK_VIEW(cap, VIEW_LIT("chat"));
    CHECK_VIEW(arg, VIEW_LIT("an argument"));
    CHECK_U64(used, bytes.len - 4);
}

TEST(chunks_give_back_what_was_put)
{
    _cleanup_(chunks_free) struct chunks q = { 0 };
    uint8_t bytes[10000], got[10000];
    uint64_t put = 0, dropped = 0;
    unsigned seed = 7;

    for (unsigned round = 0; round < 2000; round++) {
        size_t n = (seed = seed * 1103515245 + 12345) % sizeof(bytes), m;

        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)((put + i) * 7);
        chunks_put(&q, VIEW(bytes, n));
        put += n;
        m = chunks_peek(&q, got, sizeof(got));
        CHECK_U64(m, put - dropped < sizeof(got) ? put - dropped : sizeof(got));
        for (size_t i = 0; i < m; i++)
            if (got[i] != (uint8_t)((dropped + i) * 7)) {
                check_failed(__FILE__, __LINE__, "garbled at %zu", i);
                return;
            }
        m = (seed >> 8) % (sizeof(got) + 5000);
        m = m > q.len ? q.len : m;
        chunks_drop(&q, m);
        dropped += m;
        CHECK_U64(q.len, put - dropped);
    }
}

TEST(pieces_begin_at_any_offset)
{
    _cleanup_(chunks_free) struct chunks q = { 0 };
    struct view pieces[8];
    uint8_t bytes[200000];
    size_t n, total;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i % 251);
    chunks_put(&q, VIEW_ARR(bytes));
    for (size_t at = 0; at <= sizeof(bytes); at += 997) {
        n = chunks_pieces(&q, at, pieces, N_ELEMENTS(pieces));
        total = 0;
        for (size_t i = 0; i < n; i++) {
            CHECK(pieces[i].data[0] == bytes[at + total]);
            total += pieces[i].len;
        }
        CHECK_U64(total, sizeof(bytes) - at);
    }
    CHECK_U64(chunks_pieces(&q, sizeof(bytes), pieces, N_ELEMENTS(pieces)), 0);
}
