/* SPDX-License-Identifier: Apache-2.0 */
/* Whole router connections: sessions that were let in, and what comes on them. The input is a list
 * of steps: a byte says who does what, and a message is as long as its msgpack is. Whatever comes,
 * what the router says can be read, and when all are gone it holds nothing. */
#include "rpc/token.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/router/app.h"

enum { WIRES = 4, DEN = 2, PEER = 3, MAX_STEPS = 64 };

static struct world *world;
static struct key *key; /* the peer's */

/* den was heard of lately: peers can come. */
static void set_scene(void)
{
    if (world && world->now.wall > WORLD_WALL + 100 * DAY_MS) {
        world_free(world); /* its keys run out */
        key_free(key);
        world = NULL;
    }
    if (!world) {
        world = app_world("profile = standard\n");
        key = key_new();
    }
    join_den(world);
    world_drop_wires(world);
}

/* 0 and 1 are of an application's realm, able and not; then den, and a peer. */
static struct wire *join(unsigned who)
{
    struct wire *wire;

    if (who == DEN)
        wire = join_den(world);
    else if (who == PEER)
        wire = join_with(world, key, "456000", "peer");
    else
        wire = app_join(world, who ? "red" : "blue", "admin", who == 0);
    return wire;
}

/* All that the router says must be readable: wire_next() aborts when it is not. */
static void drain(struct wire *const wires[WIRES])
{
    struct rpc_msg msg;

    for (unsigned i = 0; i < WIRES; i++) {
        while (wires[i] && wire_next(wires[i], &msg))
            ;
    }
}

static void take_message(struct wire *wire, struct view *rest)
{
    struct view frame = *rest;
    struct err err;
    size_t len;

    if (rpc_walk(*rest, &len, &err))
        frame = view_sub(*rest, 0, len);
    *rest = view_sub(*rest, frame.len, rest->len);
    if (wire->conn)
        wire_say(wire, frame);
}

static void take_step(struct wire *wires[WIRES], uint8_t what, struct view *rest)
{
    unsigned who = what % WIRES;

    switch (what >> 4) {
    case 15:
        world_pass(world, 1u << (what & 15));
        return;
    case 14:
        router_tick(world->router, world->now);
        return;
    case 13:
        if (wires[who] && wires[who]->conn)
            wire_drop(wires[who]);
        wires[who] = NULL;
        return;
    case 12: /* to a connection that has yet to say who it is */
        if (!wires[who])
            wires[who] = wire_new(world, "192.0.2.7");
        break;
    case 11: /* it does not keep up */
        if (wires[who])
            wires[who]->queued = what & 8 ? 3 << 20 : 0;
        return;
    default:
        if (!wires[who])
            wires[who] = join(who);
    }
    take_message(wires[who], rest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire *wires[WIRES] = { 0 };
    struct view rest = VIEW(data, size);
    uint8_t what;

    set_scene();
    for (unsigned i = 0; i < MAX_STEPS && view_take_u8(&rest, &what); i++) {
        take_step(wires, what, &rest);
        drain(wires);
    }
    world_drop_wires(world);
    for (size_t i = 0; i < world->router->n_realms; i++) {
        const struct realm *realm = world->router->realms[i];
        CHECK_U64(dealer_n_calls(realm->dealer), 0);
        CHECK_U64(dealer_n_registrations(realm->dealer), 0);
        CHECK_U64(broker_n_subscriptions(realm->broker), 0);
        CHECK_U64(map_count(realm->by_session), 0);
    }
    return 0;
}
