/* SPDX-License-Identifier: Apache-2.0 */
/* Names: compare-and-swap, never overwritten, never alike. */
#include "base/clock.h"
#include "den/people.h"
#include "tests/unit/den/world.h"

#include <stdio.h>

#define POLICY                                                                                     \
    "rules:\n"                                                                                     \
    "  - {from: 000000, to: any, can: any, consent: deny}\n"                                       \
    "  - {from: any, to: any, can: [chat]}\n"

static uint64_t ask(struct world *w, const struct world_peer *peer, const char *verb,
                    const char *name, uint64_t no, const char *to)
{
    _free_ char *procedure = mem_format("den.name.%s", verb);
    _buf_ body = { 0 };

    rpc_put_map(&body, to ? 3 : 2);
    rpc_put_str(&body, "name");
    rpc_put_text(&body, view_text(name));
    rpc_put_str(&body, "name_no");
    rpc_put_u64(&body, no);
    if (to) {
        rpc_put_str(&body, "to");
        rpc_put_text(&body, view_text(to));
    }
    return world_request(w, peer, procedure, buf_view(&body));
}

static uint64_t look_up(struct world *w, const struct world_peer *peer, const char *name)
{
    struct buf args = { 0 };

    rpc_put_array(&args, 1);
    rpc_put_text(&args, view_text(name));
    return world_handle(w, "den.directory.lookup", "peer", peer->id, &args);
}

static struct rpc_name statement(struct world *w, uint64_t inv)
{
    const struct world_answer *a = world_answer(w, inv);
    struct rpc_name n = { 0 };
    struct rpc_fields f;
    struct err err = { 0 };

    if (!a || a->what != WORLD_YIELDED) {
        check_failed(__FILE__, __LINE__, "no name: %s", a ? a->err.text : "no answer");
        return n;
    }
    rpc_fields_open(&f, buf_view(&a->bytes));
    struct view bytes = rpc_fields_bin(&f, "N", RPC_MAX_STATEMENT),
                sig = rpc_fields_fixed(&f, "sig", SIG_SIZE);
    CHECK(rpc_statement_open(RPC_W_NAME, key_public_view(w->sign), bytes, sig, &n, &err));
    return n;
}

TEST(a_name_is_claimed_looked_up_released_and_lies_idle)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *alice = world_peer_new(w),
                                                  *bob = world_peer_new(w);

    struct rpc_name n = statement(w, ask(w, alice, "claim", "alice-laptop", 0, NULL));
    CHECK_VIEW(n.id, view_text(alice->id));
    CHECK_VIEW(n.client_pk, key_public_view(alice->key));
    CHECK_U64(n.name_no, 1);
    CHECK(n.not_after <= w->wall + DAY_MS);
    n = statement(w, look_up(w, bob, "alice-laptop"));
    CHECK_VIEW(n.id, view_text(alice->id));
    n = statement(w, ask(w, alice, "claim", "alice-laptop", 0, NULL)); /* a lost answer */
    CHECK_U64(n.name_no, 1);
    world_check_refused(w, ask(w, bob, "claim", "alice-laptop", 0, NULL), ERR_ALREADY_EXISTS);
    world_check_refused(w, ask(w, bob, "claim", "alice-laptop", 1, NULL), ERR_ALREADY_EXISTS);
    world_check_refused(w, ask(w, bob, "release", "alice-laptop", 1, NULL), ERR_NOT_FOUND);
    world_check_refused(w, ask(w, alice, "release", "alice-laptop", 7, NULL), ERR_STALE);
    ask(w, alice, "release", "alice-laptop", 1, NULL);
    world_check_refused(w, look_up(w, bob, "alice-laptop"), ERR_NOT_REACHABLE);
    world_check_refused(w, ask(w, bob, "claim", "alice-laptop", 2, NULL), ERR_ALREADY_EXISTS);
    n = statement(w, ask(w, alice, "claim", "alice-laptop", 2, NULL)); /* not for its own */
    CHECK_U64(n.name_no, 3);
    ask(w, alice, "release", "alice-laptop", 3, NULL);
    world_jump(w, 91 * DAY_MS);
    n = statement(w, ask(w, bob, "claim", "alice-laptop", 4, NULL));
    CHECK_VIEW(n.id, view_text(bob->id));
    CHECK_U64(n.name_no, 5);
}

TEST(a_transfer_is_one_swap)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *alice = world_peer_new(w),
                                                  *bob = world_peer_new(w);

    statement(w, ask(w, alice, "claim", "printer", 0, NULL));
    struct rpc_name n = statement(w, ask(w, alice, "transfer", "printer", 1, bob->id));
    CHECK_VIEW(n.id, view_text(bob->id));
    CHECK_U64(n.name_no, 2);
    world_check_refused(w, ask(w, alice, "transfer", "printer", 2, bob->id), ERR_NOT_FOUND);
    world_check_refused(w, ask(w, bob, "transfer", "printer", 1, alice->id), ERR_STALE);
    world_check_refused(w, ask(w, bob, "transfer", "printer", 2, "999999"), ERR_NOT_REACHABLE);
    CHECK_U64(world_audited(w, "name.transferred", "printer"), 1);
}

TEST(names_that_look_alike_and_reserved_ones_are_refused)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *alice = world_peer_new(w),
                                                  *bob = world_peer_new(w);
    static const char *const alike[] = { "modern-pc", "modem-pc", "rnodem-pc",
                                         "m0dern-pc", "modernpc", "rnodern-pc" };
    static const char *const reserved[] = { "admin", "r00t", "warren", "d-e-n", "adrnin" };
    static const char *const bad[] = { "a",    "Alice",  "alice_1", "-alice", "alice-",
                                       "a--b", "123456", "4lice",   "al ice", "a\303\251b" };

    CHECK(world_unlimited(w));
    statement(w, ask(w, alice, "claim", "modern-pc", 0, NULL));
    for (size_t i = 1; i < N_ELEMENTS(alike); i++)
        world_check_refused(w, ask(w, bob, "claim", alike[i], 0, NULL), ERR_ALREADY_EXISTS);
    for (size_t i = 0; i < N_ELEMENTS(reserved); i++)
        world_check_refused(w, ask(w, bob, "claim", reserved[i], 0, NULL), ERR_ALREADY_EXISTS);
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        world_check_refused(w, ask(w, bob, "claim", bad[i], 0, NULL), ERR_INVALID_ARGUMENT);
}

TEST(a_peer_has_so_many_names_and_no_more)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *alice = world_peer_new(w),
                                                  *bob = world_peer_new(w);
    char name[16];

    for (char c = 'a'; c < 'a' + 8; c++) {
        snprintf(name, sizeof(name), "box-%c%c%c", c, c, 'x');
        statement(w, ask(w, alice, "claim", name, 0, NULL));
    }
    world_check_refused(w, ask(w, alice, "claim", "one-more", 0, NULL), ERR_LIMIT);
    ask(w, alice, "release", "box-aax", 1, NULL); /* idle, it still counts */
    world_check_refused(w, ask(w, alice, "claim", "one-more", 0, NULL), ERR_LIMIT);
    statement(w, ask(w, bob, "claim", "of-bob", 0, NULL));
    world_check_refused(w, ask(w, bob, "transfer", "of-bob", 1, alice->id), ERR_LIMIT);
    statement(w, ask(w, alice, "claim", "box-aax", 2, NULL)); /* its own again */
}

TEST(assigned_names_are_an_administrators)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *alice = world_peer_new(w),
                                                  *bob = world_peer_new(w);
    struct store_identity a, b;
    struct err err = { 0 };

    CHECK_OK(people_find(w->store, alice->id, &a, &err), err);
    CHECK_OK(people_find(w->store, bob->id, &b, &err), err);
    world_check_refused(w, ask(w, alice, "claim", "alice@corp.example", 0, NULL),
                        ERR_NOT_AUTHORIZED);
    CHECK(!people_assign_name(w->store, "alice", &a, &(struct deed){ .by = "uid 0", .at = w->wall },
                              &err));
    CHECK_OK(people_assign_name(w->store, "alice@corp.example", &a,
                                &(struct deed){ .by = "uid 0", .at = w->wall }, &err),
             err);
    struct rpc_name n = statement(w, look_up(w, bob, "alice@corp.example"));
    CHECK_VIEW(n.id, view_text(alice->id));
    CHECK(!people_assign_name(w->store, "alice@corp.example", &b,
                              &(struct deed){ .by = "uid 0", .at = w->wall }, &err));
    CHECK_STR(err_code_name(err.code), "already_exists");
    world_check_refused(w, ask(w, alice, "release", "alice@corp.example", 1, NULL),
                        ERR_NOT_AUTHORIZED);
    CHECK_OK(people_free_name(w->store, "alice@corp.example",
                              &(struct deed){ .by = "uid 0", .at = w->wall }, &err),
             err);
    CHECK_OK(people_assign_name(w->store, "alice@corp.example", &b,
                                &(struct deed){ .by = "uid 0", .at = w->wall }, &err),
             err);
    n = statement(w, look_up(w, alice, "alice@corp.example"));
    CHECK_U64(n.name_no, 3);
}

TEST(a_name_that_must_not_be_reached_is_answered_as_one_that_is_not_there)
{
    _cleanup_(world_freep) struct world *w =
        world_new("rules: [{from: 111111, to: any, can: [chat]}]\n");
    _cleanup_(world_peer_freep) struct world_peer *alice = world_peer_new(w),
                                                  *bob = world_peer_new(w);

    statement(w, ask(w, alice, "claim", "hidden", 0, NULL));
    uint64_t forbidden = look_up(w, bob, "hidden"), unknown = look_up(w, bob, "nowhere");
    world_check_refused(w, forbidden, ERR_NOT_REACHABLE);
    CHECK_VIEW(buf_view(&world_answer(w, forbidden)->bytes),
               buf_view(&world_answer(w, unknown)->bytes));
    statement(w, look_up(w, alice, "hidden"));
    for (int i = 0; i < 8; i++)
        look_up(w, bob, "nowhere");
    world_check_refused(w, look_up(w, bob, "nowhere"), ERR_LIMIT);
}
