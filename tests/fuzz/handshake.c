/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that have yet to prove who they are, by every method. The first byte says how far a
 * proper client went before: nowhere, to the CHALLENGE of netsign, or on to AUTHENTICATE with a
 * proper proof and the rest of the input as what goes with it. */
#include "rpc/token.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/router/world.h"

static struct world *world;
static struct key *key;
static struct wire *den;

static void scene(void)
{
    if (world)
        return;
    world = world_with_realms(
        "[realm app]\nmethods = cryptosign wampcra ticket anonymous\nprincipals = principals\n"
        "[realm " WORLD_NETWORK "]\nmethods = netsign anonymous\n",
        "[principal joe]\nrole = frontend\nticket = open sesame\n"
        "keys = 0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20\n"
        "[principal plain]\nrole = backend\nsecret = secret2\n");
    key = key_new();
}

static void say_all(struct wire *wire, struct view rest)
{
    struct rpc_msg msg;
    struct err err;
    size_t len;

    while (rest.len) {
        struct view frame = rpc_walk(rest, &len, &err) ? view_sub(rest, 0, len) : rest;
        rest = view_sub(rest, frame.len, rest.len);
        if (!wire->conn)
            return;
        wire_say(wire, frame);
        while (wire_next(wire, &msg))
            ;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view rest = VIEW(data, size);
    struct wire *wire;
    uint8_t far;

    scene();
    if (!view_take_u8(&rest, &far))
        return 0;
    den = join_den(world);
    wire = wire_new(world, "192.0.2.7");
    if (far % 3) {
        wire_hello(wire, key);
        CHECK(wire_challenge(wire));
    }
    if (far % 3 == 2) {
        struct err err;
        size_t len;
        if (rpc_walk(rest, &len, &err) && len == rest.len && rpc_value_kind(rest) == RPC_MAP)
            wire_authenticate(wire, key, rest);
    } else {
        say_all(wire, rest);
    }
    world_pass(world, 1000);
    world_drop_wires(world);
    CHECK_U64(map_count(world->router->by_id), 0);
    CHECK_U64(dealer_n_calls(world->router->home->dealer), 0);
    return 0;
}
