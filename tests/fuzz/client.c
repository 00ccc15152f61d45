/* SPDX-License-Identifier: Apache-2.0 */
/* A client and a router that says anything: from the start, or in a session that began properly and
 * has calls, a registration and a subscription under way. Every call has one last answer at most,
 * and after the end exactly one. */
#include "rpc/token.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/rpc/fake_router.h"

enum { CALLS = 3, START = 5000000 };

struct talk {
    struct rpc_client *client;
    struct buf to_client;
    unsigned n_last[CALLS];
};

static void to_client(void *user, struct view frame)
{
    struct talk *t = user;

    buf_put_u32(&t->to_client, (uint32_t)frame.len);
    buf_put(&t->to_client, frame);
}

static bool credentials(void *user, struct buf *ret_extra, struct err *err)
{
    (void)user;
    (void)err;
    rpc_put_map(ret_extra, 0);
    return true;
}

static void on_outcome(void *user, const struct rpc_outcome *outcome)
{
    unsigned *n_last = user;

    *n_last += outcome->what != RPC_PROGRESS;
    if (*n_last > 1)
        abort();
}

static void on_inv(void *user, const struct rpc_inv *inv)
{
    const struct talk *t = user;
    uint8_t none = 0x90;

    rpc_client_yield(t->client, inv->number, inv->invocation->receive_progress, VIEW(&none, 1));
    rpc_client_yield(t->client, inv->number, false, VIEW(&none, 1));
}

static void on_event(void *user, const struct rpc_event *event)
{
    struct view args = rpc_payload_args(event->payload);

    (void)user;
    if (rpc_value_kind(args) != RPC_ARRAY)
        abort();
}

/* Messages back and forth until both are quiet. */
static void settle(struct talk *t, struct fake_router *router)
{
    _buf_ frame = { 0 };
    bool has_moved = true;

    while (has_moved) {
        has_moved = false;
        while (rpc_client_output(t->client, &frame)) {
            has_moved = true;
            if (router)
                fake_router_input(router, buf_view(&frame));
        }
        _buf_ all = t->to_client; /* what it leads to is the next round's */
        t->to_client = (struct buf){ 0 };
        struct view rest = buf_view(&all), one;
        uint32_t len;
        while (view_take_u32(&rest, &len) && view_take(&rest, len, &one)) {
            has_moved = true;
            rpc_client_input(t->client, START, one);
        }
    }
}

static void say_all(struct talk *t, struct view rest)
{
    _buf_ frame = { 0 };
    struct rpc_msg msg;
    struct err err;
    size_t len;

    while (rest.len) {
        struct view one = rpc_walk(rest, &len, &err) ? view_sub(rest, 0, len) : rest;
        _buf_ exact = buf_dup(one);
        rpc_client_input(t->client, START + 1, buf_view(&exact));
        rest = view_sub(rest, one.len, rest.len);
        while (rpc_client_output(t->client, &frame)) { /* what it says is WAMP */
            if (!rpc_msg_read(buf_view(&frame), &msg, &err))
                abort();
        }
    }
}

static void begin(struct talk *t, struct fake_router *router)
{
    settle(t, router);
    for (size_t i = 0; i < CALLS; i++)
        rpc_client_call(t->client, START, i ? "a.silent" : "a.slow", (struct view){ 0 }, 5000,
                        i == 1, on_outcome, &t->n_last[i]);
    rpc_client_register(t->client, START, "peer.456000.chat", on_inv, t);
    rpc_client_subscribe(t->client, START, "den.heartbeat", true, on_event, t);
    settle(t, router);
}

static void finish(struct talk *t, bool has_calls)
{
    struct err why;

    rpc_client_tick(t->client, START + 60000);
    err_set(&why, ERR_NETWORK_FAILURE, "the end");
    rpc_client_closed(t->client, START + 60001, &why);
    rpc_client_tick(t->client, START + 60002);
    for (size_t i = 0; i < CALLS && has_calls; i++) {
        if (t->n_last[i] != 1)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fake_router router;
    static struct key *key;
    static const uint8_t exporter[32];
    struct view rest = VIEW(data, size);
    struct talk t = { 0 };
    struct rpc_client_config config = {
        .agent = "fuzz", .credentials = credentials, .wall = fake_wall, .user = &t
    };
    struct rpc_trust *trust;
    uint8_t far;

    if (!view_take_u8(&rest, &far))
        return 0;
    if (!key) {
        key = key_new();
        fake_router_init(&router);
    }
    router.send = to_client;
    router.user = &t;
    router.hb_no = 7;
    config.key = key;
    trust = fake_router_trust(&router);
    config.trust = trust;
    t.client = rpc_client_new(&config);
    fake_router_opened(&router, exporter);
    rpc_client_opened(t.client, START, exporter);
    if (far & 1)
        begin(&t, &router);
    say_all(&t, rest);
    finish(&t, far & 1);
    rpc_client_free(t.client);
    rpc_trust_free(trust);
    buf_free(&t.to_client);
    return 0;
}
