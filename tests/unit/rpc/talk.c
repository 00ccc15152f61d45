/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/rpc/talk.h"

#include "base/clock.h"
#include "tests/check.h"

static void to_client(void *user, struct view frame)
{
    struct talk *t = user;

    if (CHECK(t->n_to_client < N_ELEMENTS(t->to_client)))
        buf_put(&t->to_client[t->n_to_client++], frame);
}

static void on_up(void *user)
{
    ((struct talk *)user)->n_up++;
}

static void on_down(void *user, const struct err *why)
{
    struct talk *t = user;

    t->n_down++;
    t->down = *why;
}

static void on_trust(void *user)
{
    ((struct talk *)user)->n_trust++;
}

static void on_refused(void *user, const char *uri, const struct err *why)
{
    ((struct talk *)user)->n_refused++;
    CHECK_STR(uri, "peer.456000.chat");
    CHECK_U64(why->code, ERR_ALREADY_EXISTS);
}

static void on_interrupt(void *user, uint64_t inv)
{
    ((struct talk *)user)->interrupted = inv;
}

static bool admitted(void *user, struct view bytes, struct view sig, const struct rpc_admission *a,
                     struct err *err)
{
    struct talk *t = user;

    t->n_admitted++;
    CHECK_VIEW(a->id, VIEW_LIT("456000"));
    CHECK(key_verify(key_public_view(t->router.den_sign), bytes, sig));
    return !t->forbids_admission || err_set(err, ERR_BAD_STATEMENT, "made for another enrolment");
}

static bool credentials(void *user, struct buf *ret_extra, struct err *err)
{
    (void)user;
    (void)err;
    rpc_put_map(ret_extra, 0);
    return true;
}

void talk_init(struct talk *t, bool is_den)
{
    struct rpc_client_config config = {
        .agent = "test/1",
        .is_den = is_den,
        .credentials = credentials,
        .admitted = admitted,
        .on_up = on_up,
        .on_down = on_down,
        .on_trust = on_trust,
        .on_refused = on_refused,
        .on_interrupt = on_interrupt,
        .wall = fake_wall,
        .user = t,
    };
    struct err err;

    *t = (struct talk){ .now = TALK_START };
    CHECK_OK(key_init(&err), err);
    fake_router_init(&t->router);
    t->router.send = to_client;
    t->router.user = t;
    t->key = is_den ? fake_key(RPC_KEY_DEN_LOGIN) : key_new();
    t->trust = fake_router_trust(&t->router);
    config.key = t->key;
    config.trust = t->trust;
    t->client = rpc_client_new(&config);
}

void talk_deinit(struct talk *t)
{
    rpc_client_free(t->client);
    rpc_trust_free(t->trust);
    key_free(t->key);
    fake_router_deinit(&t->router);
    for (size_t i = 0; i < t->n_to_client; i++)
        buf_free(&t->to_client[i]);
}

void talk_pump(struct talk *t)
{
    _buf_ frame = { 0 };
    bool has_moved = true;

    while (has_moved) {
        has_moved = false;
        while (rpc_client_output(t->client, &frame)) {
            fake_router_input(&t->router, buf_view(&frame));
            has_moved = true;
        }
        for (; t->n_taken < t->n_to_client; t->n_taken++, has_moved = true)
            rpc_client_input(t->client, t->now, buf_view(&t->to_client[t->n_taken]));
        for (size_t i = 0; i < t->n_to_client; i++)
            buf_free(&t->to_client[i]);
        t->n_taken = t->n_to_client = 0;
    }
}

void talk_open(struct talk *t)
{
    uint8_t exporter[32];

    random_bytes(exporter, sizeof(exporter));
    fake_router_opened(&t->router, exporter);
    rpc_client_opened(t->client, t->now, exporter);
    talk_pump(t);
}

size_t talk_count(const struct talk *t, enum rpc_type type)
{
    size_t n = 0;

    for (size_t i = 0; i < t->router.n_seen; i++)
        n += t->router.seen[i].type == type;
    return n;
}

struct view talk_numbers(struct buf *to, uint64_t n)
{
    rpc_put_array(to, 1);
    rpc_put_u64(to, n);
    return buf_view(to);
}

size_t talk_last(const struct talk *t)
{
    return t->router.n_seen - 1;
}
