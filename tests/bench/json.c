/* SPDX-License-Identifier: Apache-2.0 */
/* What it costs to transcode one message, in either direction. Prints a line of JSON a figure. */
#include "base/clock.h"
#include "base/key.h"
#include "rpc/rpc.h"

#include <stdio.h>

static const uint64_t measured = 300 * 1000 * 1000; /* ns, each */

static void print(const char *direction, const char *of, size_t len, uint64_t ns, uint64_t n)
{
    printf("{\"suite\": \"json\", \"figure\": \"%s\", \"unit\": \"ns\", \"value\": %.0f, "
           "\"of\": \"%s\", \"bytes\": %zu}\n",
           direction, (double)ns / (double)n, of, len);
}

/* Until the time is over; the first rounds, which make the buffers, do not count. */
static void measure(const char *direction, const char *of,
                    bool (*transcode)(struct view, size_t, struct buf *, struct err *),
                    struct view from)
{
    _buf_ to = { 0 };
    struct err err;
    uint64_t n = 0, started = clock_mono_ns(), passed = 0;

    for (; passed < measured; n++) {
        buf_clear(&to);
        if (!transcode(from, SIZE_MAX, &to, &err))
            abort();
        if (n == 10)
            started = clock_mono_ns();
        if (n % 64 == 63)
            passed = clock_mono_ns() - started;
    }
    print(direction, of, from.len, passed, n - 11);
}

static void put_call(struct buf *to, struct view args)
{
    struct rpc_msg msg = { .type = RPC_CALL,
                           .call = { .request = 123456,
                                     .procedure = VIEW_LIT("com.example.files.read"),
                                     .payload = rpc_args(args) } };

    rpc_msg_write(&msg, to);
}

static void put_text(struct buf *args, size_t len, const char *of)
{
    _buf_ text = { 0 };

    while (text.len + strlen(of) <= len)
        buf_put_text(&text, of);
    rpc_put_array(args, 1);
    rpc_put_text(args, buf_view(&text));
}

static void put_numbers(struct buf *args)
{
    rpc_put_array(args, 128);
    for (uint64_t i = 0; i < 128; i++)
        rpc_put_u64(args, i * 7919);
}

static void put_fractions(struct buf *args)
{
    rpc_put_array(args, 128);
    for (int i = 0; i < 128; i++)
        rpc_put_double(args, (double)i * 12.25 + 0.1);
}

static void put_long_fractions(struct buf *args)
{
    rpc_put_array(args, 128);
    for (int i = 1; i <= 128; i++)
        rpc_put_double(args, 1.0 / (double)i);
}

/* Of all sizes: 17 digits mostly. */
static void put_any_fractions(struct buf *args)
{
    uint64_t bits = 1;

    rpc_put_array(args, 128);
    for (int i = 0; i < 128; i++) {
        double number;
        bits = bits * 6364136223846793005 + 1442695040888963407;
        if ((bits >> 52) % 2048 == 2047)
            bits >>= 1;
        memcpy(&number, &bits, sizeof(number));
        rpc_put_double(args, number);
    }
}

static void put_least_fractions(struct buf *args)
{
    rpc_put_array(args, 128);
    for (int i = 1; i <= 128; i++)
        rpc_put_double(args, (double)i * 5e-324);
}

static void put_dictionary(struct buf *args)
{
    rpc_put_array(args, 4);
    for (int i = 0; i < 4; i++) {
        rpc_put_map(args, 8);
        for (int k = 0; k < 8; k++) {
            char key[16];
            snprintf(key, sizeof(key), "key_%d", k);
            rpc_put_str(args, key);
            if (k % 2)
                rpc_put_str(args, "a short value");
            else
                rpc_put_u64(args, (uint64_t)(i * k) << 9);
        }
    }
}

static void put_binary(struct buf *args)
{
    static uint8_t bytes[4096];

    random_bytes(bytes, sizeof(bytes));
    rpc_put_array(args, 1);
    rpc_put_bin(args, VIEW_ARR(bytes));
}

static void both_ways(const char *of, struct view args)
{
    _buf_ message = { 0 };
    _buf_ text = { 0 };
    struct err err;

    put_call(&message, args);
    if (!rpc_json_from_msgpack(buf_view(&message), SIZE_MAX, &text, &err))
        abort();
    measure("to_json", of, rpc_json_from_msgpack, buf_view(&message));
    measure("from_json", of, rpc_json_to_msgpack, buf_view(&text));
}

int main(void)
{
    static void (*const makers[])(
        struct buf *) = { put_dictionary,    put_numbers,         put_fractions, put_long_fractions,
                          put_any_fractions, put_least_fractions, put_binary };
    static const char *const names[] = { "CALL, 4x8 dictionary",
                                         "CALL, 128 integers",
                                         "CALL, 128 short fractions",
                                         "CALL, 128 long fractions",
                                         "CALL, 128 fractions of any size",
                                         "CALL, 128 of the least fractions",
                                         "CALL, 4 KiB binary" };
    static const struct {
        const char *name, *of;
        size_t len;
    } texts[] = {
        { "CALL, 64 bytes of text", "0123456789abcdef", 64 },
        { "CALL, 4 KiB of text", "0123456789abcdef", 4096 },
        { "CALL, 4 KiB of text with escapes", "a line\n", 4096 },
        { "CALL, 4 KiB of text beyond ASCII",
          "gr\xc3\xb6\xc3\x9f"
          "er ",
          4096 },
    };
    struct err err;

    if (!key_init(&err))
        return 1;
    for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
        _buf_ args = { 0 };
        put_text(&args, texts[i].len, texts[i].of);
        both_ways(texts[i].name, buf_view(&args));
    }
    for (size_t i = 0; i < N_ELEMENTS(makers); i++) {
        _buf_ args = { 0 };
        makers[i](&args);
        both_ways(names[i], buf_view(&args));
    }
    return 0;
}
