/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "tests/unit/den/world.h"

#define POLICY "rules: [{from: any, to: any, can: any, consent: deny}]\n"

static const uint8_t nonce[RPC_NONCE16] = { 1, 2, 3 };

static uint64_t ask(struct world *w, const char *role, const char *id, struct view with)
{
    struct buf args = { 0 };

    rpc_put_array(&args, 1);
    rpc_put_bin(&args, with);
    return world_handle(w, "den.time", role, id, &args);
}

static enum err_code code_of(const struct world *w, uint64_t inv)
{
    const struct world_answer *a = world_answer(w, inv);

    return CHECK(a) && a->what == WORLD_REFUSED ? a->err.code : ERR_NONE;
}

TEST(everybody_is_told_the_time_over_a_nonce_of_theirs)
{
    static const char *const roles[] = { "guest", "peer", "admin", "router" };
    _cleanup_(world_freep) struct world *w = world_new(POLICY);

    for (size_t i = 0; i < N_ELEMENTS(roles); i++) {
        const struct world_answer *a;
        struct rpc_time t = { 0 };
        struct rpc_fields f;
        struct err err = { 0 };
        w->wall += 7;
        a = world_answer(w, ask(w, roles[i], "", VIEW_ARR(nonce)));
        if (!CHECK(a && a->what == WORLD_YIELDED))
            continue;
        rpc_fields_open(&f, buf_view(&a->bytes));
        struct view bytes = rpc_fields_bin(&f, "T", RPC_MAX_STATEMENT),
                    sig = rpc_fields_fixed(&f, "sig", SIG_SIZE);
        CHECK_OK(rpc_fields_end(&f, &err), err);
        CHECK_OK(rpc_statement_open(RPC_W_TIME, key_public_view(w->sign), bytes, sig, &t, &err),
                 err);
        CHECK_VIEW(t.netid, rpc_trust_netid(w->trust));
        CHECK_VIEW(t.nonce, VIEW_ARR(nonce));
        CHECK_U64(t.time, w->wall);
    }
}

TEST(a_nonce_has_its_length)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    struct buf none = { 0 };

    CHECK(code_of(w, ask(w, "peer", "", VIEW(nonce, 15))) == ERR_INVALID_ARGUMENT);
    CHECK(code_of(w, ask(w, "peer", "", VIEW(NULL, 0))) == ERR_INVALID_ARGUMENT);
    CHECK(code_of(w, world_handle(w, "den.time", "peer", "", &none)) == ERR_INVALID_ARGUMENT);
}

TEST(who_asks_without_end_is_refused_and_others_are_not)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    size_t n = 0;

    for (size_t i = 0; i < 100; i++)
        n += code_of(w, ask(w, "peer", "456000", VIEW_ARR(nonce))) == ERR_NONE;
    CHECK_U64(n, 30);
    CHECK(code_of(w, ask(w, "peer", "456000", VIEW_ARR(nonce))) == ERR_LIMIT);
    CHECK(code_of(w, ask(w, "peer", "123456", VIEW_ARR(nonce))) == ERR_NONE);
    CHECK(code_of(w, ask(w, "guest", "", VIEW_ARR(nonce))) == ERR_NONE);
    world_pass(w, SECOND_MS);
    CHECK(code_of(w, ask(w, "peer", "456000", VIEW_ARR(nonce))) == ERR_NONE);
}
