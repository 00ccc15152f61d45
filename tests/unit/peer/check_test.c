/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/peer/session_world.h"

/* ---- what a bent world looks like: before the statement is signed ------------------------------------------ */

static void nothing(struct world *w)
{
    (void)w;
}
static void g_by_stranger(struct world *w)
{
    w->signs_g = w->stranger;
}
static void g_other_network(struct world *w)
{
    w->g.netid = VIEW_ARR(w->other);
}
static void g_other_sid(struct world *w)
{
    w->g.sid = view_sub(VIEW_ARR(w->other), 0, RPC_SID);
}
static void g_other_a(struct world *w)
{
    w->g.a_id = VIEW_LIT("999999");
}
static void g_other_a_pk(struct world *w)
{
    w->g.a_pk = key_public_view(w->stranger);
}
static void g_other_b(struct world *w)
{
    w->g.b_id = VIEW_LIT("999999");
}
static void g_other_b_pk(struct world *w)
{
    w->g.b_pk = key_public_view(w->stranger);
}
static void g_both_b(struct world *w)
{
    w->g.a_id = w->g.b_id;
}
static void g_old_beacon(struct world *w)
{
    memset(w->beacon, 1, sizeof(w->beacon));
}
static void g_last_but_one(struct world *w)
{
    memset(w->beacon, 2, sizeof(w->beacon));
}
static void g_unknown_beacon(struct world *w)
{
    memset(w->beacon, 9, sizeof(w->beacon));
}
static void g_over(struct world *w)
{
    w->g.live_until = WORLD_NOW;
}
static void g_endless(struct world *w)
{
    w->g.live_until = 0;
}
static void g_other_dial(struct world *w)
{
    w->g.dial_hash = VIEW_ARR(w->other);
}
static void g_more_caps(struct world *w)
{
    w->g.caps.item[1] = VIEW_LIT("tunnel:3389");
}
static void g_twice(struct world *w)
{
    w->g.caps.item[1] = w->g.caps.item[0];
}
static void g_bad_cap(struct world *w)
{
    w->g.caps.item[1] = VIEW_LIT("Chat");
}

struct grant_case {
    const char *name;
    void (*bend)(struct world *w);
    enum err_code code;
    const char *why;
};

static void sign_two(struct world *w, void (*bend)(struct world *w))
{
    world_sign_dial(w);
    bend(w);
    world_sign_grant(w);
}

TEST(a_callee_takes_only_the_grant_that_is_meant_for_it)
{
    static const struct grant_case cases[] = {
        { "right", nothing, ERR_NONE, "" },
        { "endless", g_endless, ERR_NONE, "" },
        { "with the beacon before", g_last_but_one, ERR_NONE, "" },
        { "by a stranger", g_by_stranger, ERR_BAD_SIGNATURE, "grant: " },
        { "of another network", g_other_network, ERR_BAD_STATEMENT,
          "grant: netid: another network's" },
        { "for another ID", g_other_b, ERR_BAD_STATEMENT, "grant: is for another ID than ours" },
        { "for another key", g_other_b_pk, ERR_WRONG_KEY,
          "grant: is for another identity key than ours" },
        { "to oneself", g_both_b, ERR_BAD_STATEMENT, "grant: both ends are the same" },
        { "stale", g_old_beacon, ERR_STALE, "grant: its beacon is none of the last two" },
        { "with a beacon never heard", g_unknown_beacon, ERR_STALE,
          "grant: its beacon is none of the last two" },
        { "expired", g_over, ERR_EXPIRED, "grant: it ended already" },
        { "with a repetition", g_twice, ERR_CAPABILITY, "grant: chat is listed twice" },
        { "with a bad capability", g_bad_cap, ERR_CAPABILITY, "grant: capability 2 is not one" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        WORLD(w);
        const struct check_self self = world_self(&w, false);
        struct err err = { 0 };
        struct rpc_grant g;

        sign_two(&w, cases[i].bend);
        bool ok = check_grant(&self, buf_view(&w.grant), VIEW_ARR(w.grant_sig), &g, &err);
        if (ok != (cases[i].code == ERR_NONE) || err.code != cases[i].code ||
            strncmp(err.text, cases[i].why, strlen(cases[i].why)) != 0)
            check_failed(__FILE__, __LINE__, "%s: %s (%s)", cases[i].name, err.text,
                         err_code_name(err.code));
    }
}

TEST(a_caller_takes_only_the_grant_that_answers_its_dial)
{
    static const struct grant_case cases[] = {
        { "right", nothing, ERR_NONE, "" },
        { "by a stranger", g_by_stranger, ERR_BAD_SIGNATURE, "grant: " },
        { "of another network", g_other_network, ERR_BAD_STATEMENT,
          "grant: netid: another network's" },
        { "of another session", g_other_sid, ERR_BAD_STATEMENT, "grant: is of another session" },
        { "for another caller", g_other_a, ERR_BAD_STATEMENT,
          "grant: names another caller than us" },
        { "for another key", g_other_a_pk, ERR_WRONG_KEY,
          "grant: names another identity key than ours" },
        { "for another callee", g_other_b, ERR_BAD_STATEMENT,
          "grant: is for another ID than the one dialled" },
        { "stale", g_old_beacon, ERR_STALE, "grant: its beacon is none of the last two" },
        { "expired", g_over, ERR_EXPIRED, "grant: it ended already" },
        { "of another dial", g_other_dial, ERR_BAD_STATEMENT,
          "grant: answers another dial than ours" },
        { "with more than asked", g_more_caps, ERR_CAPABILITY,
          "grant: tunnel:3389 was not asked for" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        WORLD(w);
        const struct check_self self = world_self(&w, true);
        struct err err = { 0 };
        struct rpc_grant g;

        sign_two(&w, cases[i].bend);
        bool ok = check_grant_answer(&self, buf_view(&w.dial), &w.d, buf_view(&w.grant),
                                     VIEW_ARR(w.grant_sig), &g, &err);
        if (ok != (cases[i].code == ERR_NONE) || err.code != cases[i].code ||
            strncmp(err.text, cases[i].why, strlen(cases[i].why)) != 0)
            check_failed(__FILE__, __LINE__, "%s: %s (%s)", cases[i].name, err.text,
                         err_code_name(err.code));
    }
}

/* A person may take longer to answer than a beacon is fresh. */
TEST(a_caller_takes_a_beacon_that_came_since_its_dial)
{
    static const struct {
        const char *name;
        uint8_t beacons[2][RPC_BEACON];
        size_t n;
        enum err_code code;
    } cases[] = {
        { "none came", { { 0 } }, 0, ERR_STALE },
        { "others came", { { 7 }, { 8 } }, 2, ERR_STALE },
        { "it came first",
          { { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 }, { 8 } },
          2,
          ERR_NONE },
        { "it came last",
          { { 8 }, { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 } },
          2,
          ERR_NONE },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        WORLD(w);
        struct check_self self = world_self(&w, true);
        struct err err = { 0 };
        struct rpc_grant g;

        self.beacons = VIEW(cases[i].beacons[0], cases[i].n * RPC_BEACON);
        sign_two(&w, g_old_beacon);
        if (check_grant_answer(&self, buf_view(&w.dial), &w.d, buf_view(&w.grant),
                               VIEW_ARR(w.grant_sig), &g, &err) != (cases[i].code == ERR_NONE) ||
            err.code != cases[i].code)
            check_failed(__FILE__, __LINE__, "%s: %s", cases[i].name, err.text);
    }
}

TEST(no_bit_of_a_signed_statement_may_change)
{
    WORLD(w);
    const struct check_self self = world_self(&w, false);
    struct rpc_grant g;
    struct err err;

    sign_two(&w, nothing);
    for (size_t i = 0; i < w.grant.len; i++) {
        w.grant.data[i] ^= 1;
        CHECK_ERR(check_grant(&self, buf_view(&w.grant), VIEW_ARR(w.grant_sig), &g, &err), err,
                  ERR_BAD_SIGNATURE);
        w.grant.data[i] ^= 1;
    }
    for (size_t i = 0; i < SIG_SIZE; i++) {
        w.grant_sig[i] ^= 4;
        CHECK_ERR(check_grant(&self, buf_view(&w.grant), VIEW_ARR(w.grant_sig), &g, &err), err,
                  ERR_BAD_SIGNATURE);
        w.grant_sig[i] ^= 4;
    }
    CHECK_OK(check_grant(&self, buf_view(&w.grant), VIEW_ARR(w.grant_sig), &g, &err), err);
    CHECK_VIEW(check_signer(w.trust, WORLD_NOW, buf_view(&w.grant), VIEW_ARR(w.grant_sig)),
               key_public_view(w.den));
    CHECK_U64(check_signer(w.trust, WORLD_NOW, buf_view(&w.dial), VIEW_ARR(w.grant_sig)).len, 0);
}

/* ---- the dial, as the callee sees it: the grant is right, the dial was bent ----------------------------------- */

static void d_by_stranger(struct world *w)
{
    w->signs_d = w->stranger;
}
static void d_other_network(struct world *w)
{
    w->d.netid = VIEW_ARR(w->other);
}
static void d_other_sid(struct world *w)
{
    w->d.sid = view_sub(VIEW_ARR(w->other), 0, RPC_SID);
}
static void d_other_a(struct world *w)
{
    w->d.a_id = VIEW_LIT("999999");
}
static void d_other_a_pk(struct world *w)
{
    w->d.a_pk = key_public_view(w->stranger);
}
static void d_other_b(struct world *w)
{
    w->d.b_id = VIEW_LIT("999999");
}
static void d_other_ice(struct world *w)
{
    w->ice_a = VIEW_LIT("ice of somebody else");
}
static void d_fewer_caps(struct world *w)
{
    w->d.caps.n = 1;
}

TEST(a_callee_takes_only_the_dial_that_was_granted)
{
    static const struct grant_case cases[] = {
        { "right", nothing, ERR_NONE, "" },
        { "by a stranger", d_by_stranger, ERR_BAD_SIGNATURE, "dial: " },
        { "of another network", d_other_network, ERR_BAD_STATEMENT, "dial: is of another network" },
        { "of another session", d_other_sid, ERR_BAD_STATEMENT,
          "dial: is of another session than the grant" },
        { "of another caller", d_other_a, ERR_BAD_STATEMENT,
          "dial: names another caller than the grant" },
        { "of another key", d_other_a_pk, ERR_WRONG_KEY,
          "dial: names another key of the caller than the grant" },
        { "to another callee", d_other_b, ERR_BAD_STATEMENT,
          "dial: is for another ID than the grant" },
        { "with other addresses", d_other_ice, ERR_BAD_STATEMENT,
          "dial: the ICE description is not the signed one" },
        { "that asked for less", d_fewer_caps, ERR_CAPABILITY, "dial: file was not asked for" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        WORLD(w);
        struct err err = { 0 };
        struct rpc_dial d;

        cases[i].bend(&w);
        world_sign_dial(&w);
        bool ok = check_dial(&w.g, buf_view(&w.dial), VIEW_ARR(w.dial_sig), w.ice_a, &d, &err);
        if (ok != (cases[i].code == ERR_NONE) || err.code != cases[i].code ||
            strncmp(err.text, cases[i].why, strlen(cases[i].why)) != 0)
            check_failed(__FILE__, __LINE__, "%s: %s (%s)", cases[i].name, err.text,
                         err_code_name(err.code));
    }
}

TEST(another_dial_of_the_same_caller_is_not_the_granted_one)
{
    WORLD(w);
    struct rpc_dial d;
    struct err err;

    world_sign_dial(&w);
    w.d.a_spki = VIEW_ARR(w.other); /* another TLS key, rightly signed */
    buf_clear(&w.dial);
    rpc_statement_sign(RPC_W_DIAL, &w.d, w.a, &w.dial, w.dial_sig);
    CHECK_ERR(check_dial(&w.g, buf_view(&w.dial), VIEW_ARR(w.dial_sig), w.ice_a, &d, &err), err,
              ERR_BAD_STATEMENT);
    CHECK_STR(err.text, "dial: is not the one that was granted");
}

/* ---- the accept ----------------------------------------------------------------------------------------------- */

static void c_by_stranger(struct world *w)
{
    w->signs_c = w->stranger;
}
static void c_by_caller(struct world *w)
{
    w->signs_c = w->a;
}
static void c_other_network(struct world *w)
{
    w->c.netid = VIEW_ARR(w->other);
}
static void c_other_sid(struct world *w)
{
    w->c.sid = view_sub(VIEW_ARR(w->other), 0, RPC_SID);
}
static void c_other_grant(struct world *w)
{
    w->c.grant_hash = VIEW_ARR(w->other);
}
static void c_other_b(struct world *w)
{
    w->c.b_id = VIEW_LIT("999999");
}
static void c_other_b_pk(struct world *w)
{
    w->c.b_pk = key_public_view(w->stranger);
}
static void c_more_caps(struct world *w)
{
    w->c.caps.item[0] = VIEW_LIT("tunnel:3389");
}
static void c_other_ice(struct world *w)
{
    w->ice_b = VIEW_LIT("ice of somebody else");
}
static void c_no_caps(struct world *w)
{
    w->c.caps.n = 0;
}

TEST(a_caller_takes_only_the_accept_of_the_one_it_dialled)
{
    static const struct grant_case cases[] = {
        { "right", nothing, ERR_NONE, "" },
        { "of nothing", c_no_caps, ERR_NONE, "" },
        { "by a stranger", c_by_stranger, ERR_BAD_SIGNATURE, "accept: " },
        { "by the caller itself", c_by_caller, ERR_BAD_SIGNATURE, "accept: " },
        { "of another network", c_other_network, ERR_BAD_STATEMENT,
          "accept: is of another network" },
        { "of another session", c_other_sid, ERR_BAD_STATEMENT, "accept: is of another session" },
        { "of another grant", c_other_grant, ERR_BAD_STATEMENT, "accept: answers another grant" },
        { "of another callee", c_other_b, ERR_BAD_STATEMENT,
          "accept: names another callee than the grant" },
        { "of another key", c_other_b_pk, ERR_WRONG_KEY,
          "accept: names another key of the callee than the grant" },
        { "with more than granted", c_more_caps, ERR_CAPABILITY,
          "accept: tunnel:3389 was not asked for" },
        { "with other addresses", c_other_ice, ERR_BAD_STATEMENT,
          "accept: the ICE description is not the signed one" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        WORLD(w);
        struct err err = { 0 };
        struct rpc_accept c;

        sign_two(&w, nothing);
        cases[i].bend(&w);
        world_sign_accept(&w);
        bool ok = check_accept(&w.g, buf_view(&w.grant), buf_view(&w.accept),
                               VIEW_ARR(w.accept_sig), w.ice_b, &c, &err);
        if (ok != (cases[i].code == ERR_NONE) || err.code != cases[i].code ||
            strncmp(err.text, cases[i].why, strlen(cases[i].why)) != 0)
            check_failed(__FILE__, __LINE__, "%s: %s (%s)", cases[i].name, err.text,
                         err_code_name(err.code));
    }
}

TEST(capabilities_are_short_plain_words)
{
    static const struct {
        struct view cap;
        bool ok;
    } cases[] = {
        { VIEW_LIT("chat"), true },
        { VIEW_LIT("tunnel:3389"), true },
        { VIEW_LIT("call:app-1.x_y"), true },
        { VIEW_LIT("0123456789012345678901234567890123456789012345678901234567890123"), true },
        { VIEW_LIT(""), false },
        { VIEW_LIT("Chat"), false },
        { VIEW_LIT("a b"), false },
        { VIEW_LIT("a\n"), false },
        { VIEW_LIT("gr\xc3\xbc"), false },
        { VIEW_LIT("01234567890123456789012345678901234567890123456789012345678901234"), false },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++)
        CHECK(check_is_cap(cases[i].cap) == cases[i].ok);
}
