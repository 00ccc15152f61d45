/* SPDX-License-Identifier: Apache-2.0 */
/* What comes to the relay. The first byte says how: 0 as the opening; 1 as one part of a proper opening, signed
 * properly where it is a statement; 2 behind a proper opening, as datagrams of two lengths a byte. */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/router/relay_ends.h"

static struct relay_scene *scene;

static void open_with_part(struct relay_end *end, struct view rest)
{
    _buf_ message = { 0 };
    struct relay_say say;
    uint8_t which;

    if (!view_take_u8(&rest, &which))
        return;
    say_init(&say, end, which & 1);
    switch (which >> 1 & 3) {
    case 0:
        if (rest.len != RPC_NONCE32)
            return;
        say.y.nonce = rest;
        break;
    case 1:
        if (rest.len != HASH_SIZE)
            return;
        say.y.binding_data = rest;
        break;
    case 2:
        if (rest.len != HASH_SIZE)
            return;
        say.y.grant_hash = rest;
        break;
    default:
        say.y.side = which >> 3 & 1;
        break;
    }
    say_put(&say, end, &message);
    end_input(end, buf_view(&message));
    CHECK(!end->is_proved || (which >> 1 & 3) == 3 ||
          view_eq(rest, (which >> 1 & 3) == 0   ? VIEW_ARR(end->nonce)
                        : (which >> 1 & 3) == 1 ? VIEW_ARR(end->exporter)
                                                : VIEW_ARR(say.grant_hash)));
}

static void send_datagrams(struct relay_end *end, struct view rest)
{
    uint8_t n;

    while (view_take_u8(&rest, &n)) {
        struct view datagram = view_sub(rest, 0, (size_t)n * 8);
        rest = view_sub(rest, datagram.len, rest.len);
        end_input(end, datagram);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view rest = VIEW(data, size);
    struct relay_end *a;
    uint8_t how;

    if (!scene)
        scene = relay_scene_new();
    if (!view_take_u8(&rest, &how))
        return 0;
    if (how % 3 == 0) {
        a = end_new(scene);
        end_input(a, rest);
        CHECK(!a->is_proved);
    } else if (how % 3 == 1) {
        open_with_part(end_new(scene), rest);
    } else {
        a = end_open(scene, 0);
        send_datagrams(end_open(scene, 1), rest);
        CHECK(a->n_got <= size);
    }
    relay_scene_drop(scene);
    CHECK_U64(relay_n_sessions(scene->relay), 0);
    return 0;
}
