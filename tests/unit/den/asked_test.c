/* SPDX-License-Identifier: Apache-2.0 */
/* den.ca.sign where its signatures are looked at in another thread: here that thread runs when the test says so. */
#include "tests/unit/den/world.h"

#define POLICY "rules: [{from: any, to: any, can: any, consent: deny}]\n"

enum { MAX_WORKS = 4200, MAX_ASKED = 4096 /* asked.c */ };

static struct {
    void (*work)(void *user), (*done)(void *user);
    void *user;
} works[MAX_WORKS];
static size_t n_works;

static void hold(_unused_ void *user, void (*work)(void *), void (*done)(void *), void *work_user)
{
    if (n_works == MAX_WORKS)
        abort();
    works[n_works].work = work;
    works[n_works].done = done;
    works[n_works++].user = work_user;
}

static void run_works(void)
{
    for (size_t i = 0; i < n_works; i++)
        works[i].work(works[i].user);
    for (size_t i = 0; i < n_works; i++)
        works[i].done(works[i].user);
    n_works = 0;
}

static struct world *threaded_world(void)
{
    struct world *w = world_new(POLICY);

    n_works = 0;
    if (w && CHECK(world_unlimited(w)))
        w->port.work = hold;
    return w;
}

static struct buf request_of(const struct world *w, const struct world_peer *peer, struct view csr)
{
    _buf_ body = { 0 };
    struct buf args = { 0 };

    rpc_put_map(&body, 1);
    rpc_put_str(&body, "csr");
    rpc_put_bin(&body, csr);
    world_put_request(w, &args, peer->key, peer->id, "den.ca.sign", buf_view(&body));
    return args;
}

/* `args` is taken. */
static uint64_t ask(struct world *w, const struct world_peer *peer, struct buf args)
{
    return world_handle(w, "den.ca.sign", "peer", peer->id, &args);
}

static void check_yielded(const struct world *w, uint64_t inv)
{
    const struct world_answer *answer = world_answer(w, inv);

    CHECK(answer && answer->what == WORLD_YIELDED);
}

TEST(others_are_served_while_signatures_are_looked_at)
{
    _cleanup_(world_freep) struct world *w = threaded_world();
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
    _cleanup_(key_freep) struct key *token = world_token(w, "peer", 1, 0);
    struct buf none = { 0 };
    uint64_t inv, chain;

    world_take_id(w, world_admit(w, peer, token), peer);
    inv = ask(w, peer, request_of(w, peer, buf_view(&peer->csr)));
    rpc_put_array(&none, 0);
    chain = world_handle(w, "den.ca.chain", "peer", peer->id, &none);
    check_yielded(w, chain);
    world_pass(w, 1000);
    CHECK(!world_answer(w, inv));
    CHECK_U64(world_audited(w, "certificate.issued", NULL), 0);
    run_works();
    world_pass(w, 100);
    check_yielded(w, inv);
    CHECK_U64(world_audited(w, "certificate.issued", peer->id), 1);
}

TEST(a_request_that_is_looked_at_twice_at_once_is_used_once)
{
    _cleanup_(world_freep) struct world *w = threaded_world();
    w->port.work = NULL;
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    w->port.work = hold;
    struct buf first = request_of(w, peer, buf_view(&peer->csr)),
               second = buf_dup(buf_view(&first));
    uint64_t one = ask(w, peer, first), two = ask(w, peer, second);

    CHECK_U64(n_works, 2);
    run_works();
    world_pass(w, 100);
    check_yielded(w, one);
    world_check_refused(w, two, ERR_REPLAYED);
}

TEST(what_is_not_signed_uses_up_no_nonce_and_is_audited_under_who_sent_it)
{
    _cleanup_(world_freep) struct world *w = threaded_world();
    w->port.work = NULL;
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    w->port.work = hold;
    struct buf right = request_of(w, peer, buf_view(&peer->csr)), wrong = buf_dup(buf_view(&right));
    uint64_t inv;

    wrong.data[wrong.len - 1] ^= 1; /* the signature comes last */
    inv = ask(w, peer, wrong);
    run_works();
    world_check_refused(w, inv, ERR_BAD_SIGNATURE);
    CHECK_U64(world_audited(w, "request.refused", peer->id), 1);
    inv = ask(w, peer, right);
    run_works();
    world_pass(w, 1);
    check_yielded(w, inv);
}

TEST(a_csr_with_a_wrong_signature_is_refused_when_it_was_looked_at)
{
    _cleanup_(world_freep) struct world *w = threaded_world();
    w->port.work = NULL;
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    w->port.work = hold;
    _buf_ csr = buf_dup(buf_view(&peer->csr));
    uint64_t inv;

    csr.data[csr.len - 1] ^= 1;
    inv = ask(w, peer, request_of(w, peer, buf_view(&csr)));
    CHECK(!world_answer(w, inv));
    run_works();
    world_check_refused(w, inv, ERR_BAD_SIGNATURE);
}

TEST(who_is_gone_when_its_signature_is_known_gets_nothing)
{
    _cleanup_(world_freep) struct world *w = threaded_world();
    _cleanup_(world_peer_freep) struct world_peer *peer = world_stranger_new(w);
    _cleanup_(key_freep) struct key *token = world_token(w, "peer", 1, 0);
    uint64_t inv;

    world_take_id(w, world_admit(w, peer, token), peer);
    inv = ask(w, peer, request_of(w, peer, buf_view(&peer->csr)));
    den_core_down(w->core);
    run_works();
    den_core_up(w->core);
    world_pass(w, 1000);
    CHECK(!world_answer(w, inv));
    CHECK_U64(world_audited(w, "certificate.issued", NULL), 0);
}

TEST(so_many_wait_at_once_and_no_more)
{
    _cleanup_(world_freep) struct world *w = threaded_world();
    w->port.work = NULL;
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    w->port.work = hold;
    _buf_ one = request_of(w, peer, buf_view(&peer->csr));
    uint64_t inv = 0;

    for (size_t i = 0; i < MAX_ASKED; i++)
        inv = ask(w, peer, buf_dup(buf_view(&one)));
    CHECK(!world_answer(w, inv));
    world_check_refused(w, ask(w, peer, buf_dup(buf_view(&one))), ERR_BUSY);
    den_core_down(w->core);
    run_works();
    den_core_up(w->core);
    inv = ask(w, peer, request_of(w, peer, buf_view(&peer->csr)));
    run_works();
    world_pass(w, 1);
    check_yielded(w, inv);
}
