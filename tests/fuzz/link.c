/* SPDX-License-Identifier: Apache-2.0 */
/* A whole link whose other end was let in and then says what it likes: QUIC frames of any kind under the right keys, among them the control stream, streams with
 * and without headers, datagrams; packets of nobody's; and what an honest end does, in between. The input is a list of steps: a byte
 * that says what, a byte that says how long, so many bytes. Whatever comes, what the called side holds is bounded, and nothing that it was not told to allow shows. */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/link/pair.h"

#include <ngtcp2/ngtcp2_crypto.h>
#include <stdlib.h>

enum { FORBIDDEN_LEN = 6, CARRIER_BYTES = 1000, MAX_STEPS = 48, MAX_HELD = 8 << 20 };

static struct view said; /* instead of what the next packet would say */

static int encrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
                   const ngtcp2_crypto_aead_ctx *context, const uint8_t *plaintext, size_t len,
                   const uint8_t *nonce, size_t nonce_len, const uint8_t *aad, size_t aad_len)
{
    uint8_t bytes[LINK_MAX_PACKET] = { 0 }; /* PADDING */

    if (!said.len || len < said.len || len > sizeof(bytes) || aad_len == 0 || aad[0] & 0x80)
        return ngtcp2_crypto_encrypt_cb(dest, aead, context, plaintext, len, nonce, nonce_len, aad,
                                        aad_len);
    memcpy(bytes, said.data, said.len);
    said.len = 0;
    return ngtcp2_crypto_encrypt_cb(dest, aead, context, bytes, len, nonce, nonce_len, aad,
                                    aad_len);
}

static bool judge(void *user, const struct view *chain, size_t n, struct err *err)
{
    (void)user, (void)chain, (void)n, (void)err;
    return true; /* who they are is another harness's */
}

static void say(struct pair *pair, struct view frames)
{
    static const uint8_t carrier[CARRIER_BYTES];
    struct err err;

    said = frames;
    link_datagram_send(pair->caller.link, pair->now, VIEW_ARR(carrier), &err);
    said.len = 0;
}

static void behave(struct pair *pair, uint8_t how, struct view bytes)
{
    struct link_stream *stream = NULL, *last = pair->callee.last;
    struct err err;

    switch (how % 6) {
    case 0:
        if (link_stream_open(pair->caller.link, pair->now, view_text("file"), bytes, &stream, &err))
            link_stream_write(stream, pair->now, bytes, how & 8);
        break;
    case 1:
        link_datagram_send(pair->caller.link, pair->now, bytes, &err);
        break;
    case 2:
        link_send_report(pair->caller.link, pair->now, bytes);
        break;
    case 3:
        link_send_switch(pair->caller.link, pair->now, bytes.len, how);
        break;
    case 4:
        link_stream_open(pair->callee.link, pair->now, view_text("back"), bytes, &stream, &err);
        break;
    default: /* the application over here closes what it was shown */
        if (last && !pair->callee.n_closed)
            link_stream_set_urgency(last, how);
        break;
    }
}

static void step(struct pair *pair, uint8_t what, struct view bytes)
{
    switch (what >> 6) {
    case 0:
    case 1:
        say(pair, bytes);
        break;
    case 2:
        behave(pair, what & 63, bytes);
        break;
    default:
        if (bytes.len)
            link_input(pair->callee.link, pair->now, &bytes, 1);
        break;
    }
    PAIR_UNTIL(pair, what & 32 ? 500 * MS_NS : 5 * MS_NS, false);
}

static void check_bounds(struct pair *pair)
{
    const struct link *link = pair->callee.link;
    const struct link_stream *stream;
    size_t n = 0, held = link->datagrams_in.n * LINK_MAX_PACKET;

    LIST_EACH(stream, &link->streams, in_streams) {
        n++;
        held += stream->in.len + stream->header.len;
        if (stream->is_announced && view_eq_text(stream->cap, "forbid"))
            abort();
    }
    if (n > 2 * LINK_MAX_STREAMS + 1 || link->datagrams_in.n > LINK_MAX_DATAGRAMS ||
        held > MAX_HELD || link->n_notes > LINK_MAX_EVENTS || pair->callee.n_up > 1)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct tls_profile evil = { .alpn = "warren-link/1",
                                             .has_chain = true,
                                             .encrypt = encrypt };
    const struct pair_options options = {
        .wire = { .delay_ns = MS_NS },
        .caller = { .profile = &evil, .judge = judge },
        .callee = { .judge = judge, .no_cap = "forbid" },
    };
    _cleanup_(pair_freep) struct pair *pair = pair_new(&options);
    struct view rest = VIEW(data, size), bytes;
    uint8_t what, len;

    said.len = 0;
    if (!pair_up(pair))
        abort();
    for (int i = 0; i < MAX_STEPS && view_take_u8(&rest, &what) && view_take_u8(&rest, &len); i++) {
        bytes = view_sub(rest, 0, len);
        rest = view_sub(rest, bytes.len, rest.len);
        step(pair, what, bytes);
        check_bounds(pair);
    }
    return 0;
}
