/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ws_reader.h"
#include "base/clock.h"
#include "base/key.h"
#include "tests/check.h"

static const uint8_t mask[RPC_WS_MASK] = { 0x12, 0x34, 0x56, 0x78 };

static void put(struct buf *to, uint8_t first, struct view payload, bool is_masked)
{
    size_t at = to->len;

    rpc_ws_frame_put(to, false, payload, is_masked ? mask : NULL);
    to->data[at] = first;
}

static size_t run_of(struct view came, bool is_masked)
{
    struct rpc_ws_reader fresh = { 0 };

    return rpc_ws_reader_run(&fresh, came, is_masked);
}

TEST(whole_binary_messages_are_taken_and_unmasked)
{
    static const size_t lens[] = { 0, 1, 7, 8, 9, 125, 126, 127, 1000, 16000 };

    for (int is_masked = 0; is_masked < 2; is_masked++) {
        _buf_ stream = { 0 };
        struct view message;
        size_t at = 0;
        for (size_t i = 0; i < N_ELEMENTS(lens); i++) {
            _buf_ payload = { 0 };
            memset(buf_grow(&payload, lens[i] + 1), (int)('a' + i), lens[i] + 1);
            put(&stream, 0x82, view_sub(buf_view(&payload), 0, lens[i]), is_masked);
        }
        CHECK_U64(run_of(buf_view(&stream), is_masked), stream.len);
        CHECK_U64(run_of(buf_view(&stream), !is_masked), 0);
        for (size_t i = 0; i < N_ELEMENTS(lens); i++) {
            CHECK(rpc_ws_reader_take(stream.data, stream.len, &at, &message));
            CHECK_U64(message.len, lens[i]);
            for (size_t k = 0; k < message.len; k++)
                CHECK_U64(message.data[k], 'a' + i);
        }
        CHECK(!rpc_ws_reader_take(stream.data, stream.len, &at, &message));
    }
}

TEST(a_run_ends_where_something_else_begins)
{
    static const uint8_t others[] = { 0x81, 0x02, 0x00, 0x80, 0x89, 0x8a,
                                      0x88, 0xc2, 0xa2, 0x92, 0x83 };

    for (size_t i = 0; i < N_ELEMENTS(others); i++) {
        _buf_ stream = { 0 };
        size_t first;
        put(&stream, 0x82, VIEW_LIT("one"), true);
        first = stream.len;
        put(&stream, others[i], VIEW_LIT("two"), true);
        put(&stream, 0x82, VIEW_LIT("three"), true);
        CHECK_U64(run_of(buf_view(&stream), true), first);
        CHECK_U64(run_of(view_sub(buf_view(&stream), first, SIZE_MAX), true), 0);
    }
}

TEST(what_is_cut_short_or_oddly_long_is_no_run)
{
    static const uint8_t wide16[] = { 0x82, 126, 0, 3, 'a', 'b', 'c' },
                         wide64[] = { 0x82, 127, 0, 0, 0, 0, 0, 0, 0, 3, 'a', 'b', 'c' },
                         huge[] = {
                             0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'a'
                         };
    _buf_ stream = { 0 };

    put(&stream, 0x82, VIEW_LIT("whole"), true);
    for (size_t len = 0; len < stream.len; len++) {
        uint8_t *exact = mem_dup(stream.data, len + 1); /* so that sanitizers see one byte more */
        CHECK_U64(run_of(VIEW(exact, len), true), 0);
        free(exact);
    }
    CHECK_U64(run_of(VIEW_ARR(wide16), false), 0);
    CHECK_U64(run_of(VIEW_ARR(wide64), false), 0);
    CHECK_U64(run_of(VIEW_ARR(huge), false), 0);
}

/* ---- any stream, cut into any records ---------------------------------------------------------- */

struct told { /* what the one who looks at each byte hears */
    struct buf bytes;
    uint32_t n;
};

static void tell(struct told *told, struct view message)
{
    told->n++;
    buf_put_u32(&told->bytes, (uint32_t)message.len);
    buf_put(&told->bytes, message);
}

static size_t some_len(void)
{
    static const size_t most[] = { 10, 130, 300, 70000 };

    return random_below((uint32_t)most[random_below(N_ELEMENTS(most))]);
}

/* Messages, whole or in fragments, with control frames anywhere. */
static void make_stream(struct buf *stream, struct told *whole, bool is_masked)
{
    for (unsigned n = 1 + random_below(12); n; n--) {
        unsigned parts = random_below(3) ? 1 : 1 + random_below(4);
        _buf_ message = { 0 };
        for (unsigned part = 0; part < parts; part++) {
            size_t len = some_len();
            uint8_t first = (part + 1 == parts ? 0x80 : 0) | (part ? 0 : 0x02);
            _buf_ payload = { 0 };
            random_bytes(buf_grow(&payload, len + 1), len + 1);
            payload.len = len;
            put(stream, first, buf_view(&payload), is_masked);
            buf_put(&message, buf_view(&payload));
            if (!random_below(3))
                put(stream, random_below(2) ? 0x89 : 0x8a, VIEW_LIT("are you there?"), is_masked);
        }
        tell(whole, buf_view(&message));
    }
}

/* The other half of the work, byte by byte, as libwebsockets would. */
struct slow {
    struct buf frame, message;
};

static bool slow_byte(struct slow *slow, uint8_t byte, struct told *told)
{
    struct view frame;
    uint64_t len;
    size_t head;
    bool is_masked;

    buf_put_u8(&slow->frame, byte);
    frame = buf_view(&slow->frame);
    if (frame.len < 2)
        return true;
    is_masked = frame.data[1] & 0x80;
    len = frame.data[1] & 0x7f;
    head = 2 + (len == 126 ? 2u : len == 127 ? 8u : 0u);
    if (frame.len < head + (is_masked ? 4 : 0))
        return true;
    if (len >= 126) {
        len = 0;
        for (size_t i = 2; i < head; i++)
            len = len << 8 | frame.data[i];
    }
    head += is_masked ? 4 : 0;
    if (frame.len < head + len)
        return true;
    if ((frame.data[0] & 0x0f) < 8) {
        for (size_t i = 0; i < len; i++)
            buf_put_u8(&slow->message, frame.data[head + i] ^ (is_masked ? mask[i % 4] : 0));
        if (frame.data[0] & 0x80) {
            tell(told, buf_view(&slow->message));
            buf_clear(&slow->message);
        }
    }
    buf_clear(&slow->frame);
    return true;
}

static void read_in_records(struct view stream, bool is_masked, struct told *told, size_t *n_fast)
{
    struct rpc_ws_reader reader = { 0 };
    struct slow slow = { 0 };

    while (stream.len) {
        size_t n = min_u64(random_below(2) ? stream.len : 1 + some_len(), stream.len);
        size_t run, at = 0;
        uint8_t *record = mem_dup(stream.data, n); /* nothing behind it may be looked at */
        struct view message;
        run = rpc_ws_reader_run(&reader, VIEW(record, n), is_masked);
        while (rpc_ws_reader_take(record, run, &at, &message)) {
            tell(told, message);
            ++*n_fast;
        }
        if (!run) {
            rpc_ws_reader_pass(&reader, VIEW(record, n));
            for (size_t i = 0; i < n; i++)
                slow_byte(&slow, record[i], told);
            run = n;
        }
        free(record);
        stream = view_sub(stream, run, SIZE_MAX);
    }
    CHECK_U64(slow.frame.len, 0);
    buf_free(&slow.frame);
    buf_free(&slow.message);
}

TEST(fast_and_slow_together_hear_every_message_in_its_order)
{
    size_t n_fast = 0, n_all = 0;

    for (unsigned round = 0; round < 400; round++) {
        bool is_masked = random_below(2);
        _buf_ stream = { 0 };
        struct told whole = { 0 }, heard = { 0 };
        make_stream(&stream, &whole, is_masked);
        read_in_records(buf_view(&stream), is_masked, &heard, &n_fast);
        CHECK_U64(heard.n, whole.n);
        CHECK_VIEW(buf_view(&heard.bytes), buf_view(&whole.bytes));
        n_all += whole.n;
        buf_free(&whole.bytes);
        buf_free(&heard.bytes);
    }
    CHECK(n_fast > n_all / 10);
    CHECK(n_fast < n_all);
}

TEST(a_lost_reader_takes_nothing)
{
    struct rpc_ws_reader lost = { .is_lost = true };
    _buf_ stream = { 0 };

    put(&stream, 0x82, VIEW_LIT("whole"), false);
    CHECK_U64(rpc_ws_reader_run(&lost, buf_view(&stream), false), 0);
}
