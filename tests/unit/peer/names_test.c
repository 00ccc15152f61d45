/* SPDX-License-Identifier: Apache-2.0 */
/* Which answers of den a name is taken from, and what den is asked. */
#include "tests/unit/peer/core_world.h"

#include <stdio.h>

#define NAME "alice-laptop"

static struct rpc_name good(const struct core_world *s)
{
    return (struct rpc_name){ .netid = VIEW_ARR(s->w.root.hash),
                              .name = VIEW_LIT(NAME),
                              .id = VIEW_LIT(WORLD_A),
                              .client_pk = key_public_view(s->w.a),
                              .name_no = 7,
                              .not_after = core_now(s->core) + HOUR_MS };
}

static void answer(const struct rpc_name *n, const struct key *by)
{
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    rpc_statement_sign(RPC_W_NAME, n, by, &bytes, sig);
    core_world_answer_signed(buf_view(&bytes), sig);
}

static void check_body(const struct core_world *s, uint64_t name_no, const char *to)
{
    struct view body = core_world_body(s), name, whom;
    uint64_t no = 0;

    CHECK(rpc_map_text(body, "name", &name) && rpc_map_u64(body, "name_no", &no));
    CHECK_VIEW(name, VIEW_LIT(NAME));
    CHECK_U64(no, name_no);
    CHECK(rpc_map_text(body, "to", &whom) == (to != NULL));
    if (to)
        CHECK_VIEW(whom, view_text(to));
}

TEST(a_claim_is_answered_by_dens_word_on_that_name_and_id_alone)
{
    CORE_WORLD(s, "claim");
    enum { GOOD, NETWORK, OTHER_NAME, OTHER_ID, OVER, STRANGER, N_CASES };
    static const char *const why[N_CASES] = {
        [GOOD] = "",
        [NETWORK] = "name: netid: another network's",
        [OTHER_NAME] = "name: of another name or network",
        [OTHER_ID] = "name: den gave it to another ID",
        [OVER] = "name: the statement is over",
    };

    for (int i = 0; i < N_CASES; i++) {
        struct rpc_name n = good(&s);
        if (i == NETWORK)
            n.netid = VIEW_ARR(s.w.other);
        if (i == OTHER_NAME)
            n.name = VIEW_LIT("alice-desktop");
        if (i == OTHER_ID)
            n.id = VIEW_LIT(WORLD_B);
        if (i == OVER)
            n.not_after = core_now(s.core);
        names_start(s.core, NAME_CLAIM, NAME, NULL);
        CHECK_STR(caught.procedure, "den.name.claim");
        check_body(&s, 0, NULL);
        core_world_progress();
        answer(&n, i == STRANGER ? s.w.stranger : s.w.den);
        const char *told = core_world_event(&s, PEER_EVENT_NAMES);
        if (!CHECK(told))
            continue;
        if (i == STRANGER)
            CHECK_STR(core_world_last()->event.error.name, err_code_name(ERR_BAD_SIGNATURE));
        else
            CHECK_STR(told, why[i]);
        CHECK_U64(core_world_last()->n_names, i == GOOD);
    }
}

TEST(what_was_claimed_is_told_with_its_number)
{
    CORE_WORLD(s, "told");
    struct rpc_name n = good(&s);

    names_start(s.core, NAME_CLAIM, NAME, NULL);
    answer(&n, s.w.den);
    CHECK_STR(core_world_event(&s, PEER_EVENT_NAMES), "");
    const struct peer_name *is = core_world_last()->names;
    if (!CHECK(core_world_last()->n_names == 1))
        return;
    CHECK_STR(is->name, NAME);
    CHECK_STR(is->id, WORLD_A);
    CHECK_U64(is->name_no, 7);
    CHECK(!core_world_event(&s, PEER_EVENT_NAMES)); /* once */
}

TEST(an_answer_that_is_none_and_a_refusal_are_told)
{
    CORE_WORLD(s, "none");
    struct buf args = { 0 };

    names_start(s.core, NAME_CLAIM, NAME, NULL);
    rpc_put_array(&args, 1);
    rpc_put_str(&args, "yours");
    core_world_answer(&args);
    CHECK(*core_world_event(&s, PEER_EVENT_NAMES));
    names_start(s.core, NAME_CLAIM, NAME, NULL);
    core_world_refuse(ERR_ALREADY_EXISTS);
    CHECK_STR(core_world_event(&s, PEER_EVENT_NAMES), "den says so");
    CHECK_STR(core_world_last()->event.error.name, err_code_name(ERR_ALREADY_EXISTS));
}

TEST(without_a_connection_nothing_is_asked)
{
    CORE_WORLD(s, "down");

    s.core->is_up = false;
    names_start(s.core, NAME_LIST, NULL, NULL);
    CHECK_STR(core_world_event(&s, PEER_EVENT_NAMES), "not connected to the router");
    CHECK_U64(caught.n, 0);
}

/* ---- with the number that den last gave the name --------------------------------------------------------- */

static void put_row(struct buf *to, const char *name, uint64_t no, uint64_t released_at)
{
    rpc_put_map(to, 4);
    rpc_put_str(to, "name");
    rpc_put_text(to, view_text(name));
    rpc_put_str(to, "name_no");
    rpc_put_u64(to, no);
    rpc_put_str(to, "released_at");
    rpc_put_u64(to, released_at);
    rpc_put_str(to, "assigned");
    rpc_put_bool(to, false);
}

static void answer_list(uint64_t no, uint64_t released_at)
{
    struct buf args = { 0 };

    CHECK_STR(caught.procedure, "den.name.list");
    rpc_put_array(&args, 1);
    rpc_put_array(&args, 2);
    put_row(&args, "another", 99, 0);
    put_row(&args, NAME, no, released_at);
    core_world_answer(&args);
}

TEST(a_name_is_released_by_the_number_that_it_has)
{
    CORE_WORLD(s, "release");
    struct buf args = { 0 };

    names_start(s.core, NAME_RELEASE, NAME, NULL);
    answer_list(41, 0);
    CHECK_STR(caught.procedure, "den.name.release");
    check_body(&s, 41, NULL);
    rpc_put_array(&args, 0);
    core_world_answer(&args);
    CHECK_STR(core_world_event(&s, PEER_EVENT_NAMES), "");
}

TEST(a_name_is_given_to_the_one_it_was_meant_for)
{
    CORE_WORLD(s, "transfer");
    struct rpc_name n = good(&s);

    for (int is_theirs = 0; is_theirs < 2; is_theirs++) {
        names_start(s.core, NAME_TRANSFER, NAME, WORLD_B);
        answer_list(41, 0);
        CHECK_STR(caught.procedure, "den.name.transfer");
        check_body(&s, 41, WORLD_B);
        n.id = is_theirs ? VIEW_LIT(WORLD_B) : VIEW_LIT(WORLD_A);
        answer(&n, s.w.den);
        CHECK_STR(core_world_event(&s, PEER_EVENT_NAMES),
                  is_theirs ? "" : "name: den gave it to another ID");
    }
}

TEST(what_is_not_or_no_longer_ours_is_not_changed)
{
    CORE_WORLD(s, "not-ours");

    for (int is_there = 0; is_there < 2; is_there++) {
        names_start(s.core, NAME_RELEASE, is_there ? NAME : "bobs-laptop", NULL);
        answer_list(41, is_there ? 1234 : 0);
        CHECK_STR(core_world_event(&s, PEER_EVENT_NAMES),
                  is_there ? NAME " is not a name of this machine"
                           : "bobs-laptop is not a name of this machine");
        CHECK(!caught.is_open);
    }
}

TEST(a_list_is_told_whole_or_not_at_all)
{
    CORE_WORLD(s, "list");
    struct buf args = { 0 };

    names_start(s.core, NAME_LIST, NULL, NULL);
    answer_list(41, 1234);
    CHECK_STR(core_world_event(&s, PEER_EVENT_NAMES), "");
    const struct hub_event *told = core_world_last();
    CHECK_U64(told->n_names, 2);
    CHECK_STR(told->names[0].name, "another");
    CHECK_U64(told->names[1].released_at, 1234);
    CHECK_STR(told->names[1].id, WORLD_A);
    names_start(s.core, NAME_LIST, NULL, NULL);
    rpc_put_array(&args, 1);
    rpc_put_array(&args, 2);
    put_row(&args, "another", 99, 0);
    put_row(&args, "-not-a-name", 1, 0);
    core_world_answer(&args);
    CHECK(*core_world_event(&s, PEER_EVENT_NAMES));
    CHECK_U64(core_world_last()->n_names, 0);
}
