/* SPDX-License-Identifier: Apache-2.0 */
/* Two agents in one process, over this machine's own addresses. */
#include "ice/ice.h"
#include "tests/check.h"
#include "tests/unit/ice/turn.h"

#include <glib.h>
#include <malloc.h>

enum { PATIENCE_MS = 60000 };

struct side {
    struct ice_agent *agent;
    enum ice_state state;
    unsigned n_states, n_candidates, n_gathered, n_packets, n_bad, n_writable;
    bool is_in_call, was_called_inside;
    struct ice_agent **free_on_ready; /* the agent frees itself when it is ready */
};

static void called(struct side *side)
{
    side->was_called_inside = side->was_called_inside || side->is_in_call;
}

static void on_state(void *user, enum ice_state state)
{
    struct side *side = user;

    called(side);
    side->state = state;
    side->n_states++;
    if (side->free_on_ready && state == ICE_READY) {
        ice_agent_free(*side->free_on_ready);
        *side->free_on_ready = NULL;
    }
}

static void on_candidate(void *user, const char *line)
{
    struct side *side = user;
    struct err err = { 0 };

    called(side);
    side->n_candidates++;
    CHECK(ice_candidate_check(view_text(line), true, &err));
}

static void on_gathered(void *user)
{
    struct side *side = user;

    called(side);
    side->n_gathered++;
}

static void on_packets(void *user, const struct view *packets, size_t n)
{
    struct side *side = user;

    called(side);
    for (size_t i = 0; i < n; i++)
        side->n_bad += packets[i].len != 1000 || packets[i].data[999] != 0x5a;
    side->n_packets += (unsigned)n;
}

static void on_writable(void *user)
{
    ((struct side *)user)->n_writable++;
}

static const struct ice_events events = {
    .on_state = on_state,
    .on_candidate = on_candidate,
    .on_gathered = on_gathered,
    .on_packets = on_packets,
    .on_writable = on_writable,
};

static bool start(GMainContext *context, struct side *side, bool is_controlling,
                  bool allow_loopback, struct err *err)
{
    struct ice_config config = {
        .context = context,
        .is_controlling = is_controlling,
        .allow_loopback = allow_loopback,
        .events = &events,
        .user = side,
    };
    bool ok;

    side->is_in_call = true;
    ok = ice_agent_new(&config, &side->agent, err) && ice_agent_gather(side->agent, err);
    side->is_in_call = false;
    return ok;
}

/* As it goes over the wire: written, read, checked. */
static bool tell(struct side *from, struct side *to, struct err *err)
{
    _cleanup_(ice_description_deinit) struct ice_description ours = { 0 }, theirs = { 0 };
    _buf_ text = { 0 };
    bool ok;

    ice_agent_describe(from->agent, &ours);
    CHECK(ours.n_candidates > 0 && ours.is_complete);
    ice_description_write(&ours, &text);
    if (!ice_description_read(buf_view(&text), &theirs, err))
        return false;
    to->is_in_call = true;
    ok = ice_agent_set_remote(to->agent, &theirs, err);
    to->is_in_call = false;
    return ok;
}

static void end(GMainContext *context, struct side *a, struct side *b)
{
    ice_agent_free(a->agent);
    ice_agent_free(b->agent);
    CHECK(TURN_UNTIL(context, PATIENCE_MS, ice_n_closing() == 0));
    CHECK(!a->was_called_inside && !b->was_called_inside);
    g_main_context_unref(context);
}

TEST(two_agents_find_a_path_and_carry_packets)
{
    GMainContext *context = g_main_context_new();
    struct side a = { 0 }, b = { 0 };
    struct err err = { 0 };
    struct ice_path path;
    uint8_t bytes[1000];
    struct view packets[200];
    size_t sent = 0;

    memset(bytes, 0x5a, sizeof(bytes));
    for (size_t i = 0; i < N_ELEMENTS(packets); i++)
        packets[i] = VIEW_ARR(bytes);
    CHECK_OK(start(context, &a, true, true, &err) && start(context, &b, false, true, &err), err);
    CHECK(!ice_agent_path(a.agent, &path));
    CHECK_U64(ice_agent_send(a.agent, packets, 1), 0); /* no pair yet */
    CHECK_OK(tell(&a, &b, &err) && tell(&b, &a, &err), err);
    CHECK(TURN_UNTIL(context, PATIENCE_MS, a.state == ICE_READY && b.state == ICE_READY));
    CHECK_U64(a.n_gathered, 1);
    CHECK_U64(a.n_candidates, 0); /* all of them were in the description */

    CHECK(ice_agent_path(a.agent, &path));
    CHECK(strchr(path.local, ':') && strchr(path.remote, ':'));
    CHECK(path.local_kind == ICE_HOST || path.local_kind == ICE_PRFLX);
    while (sent <
           N_ELEMENTS(
               packets)) { /* in doses: loopback drops what the receiver's buffer has no room for */
        sent += ice_agent_send(a.agent, packets + sent, sent + 20 <= N_ELEMENTS(packets) ? 20 : 1);
        CHECK(TURN_UNTIL(context, PATIENCE_MS, b.n_packets == sent));
    }
    CHECK_U64(b.n_packets, N_ELEMENTS(packets));
    CHECK_U64(b.n_bad, 0);
    end(context, &a, &b);
}

static bool start_in_advance(GMainContext *context, struct side *side, bool is_controlling,
                             struct err *err)
{
    const struct ice_config config = {
        .context = context,
        .is_controlling = is_controlling,
        .allow_loopback = true,
    };

    return ice_agent_new(&config, &side->agent, err) && ice_agent_gather(side->agent, err);
}

static void take(struct side *side)
{
    const struct ice_config config = { .events = &events, .user = side };

    ice_agent_take(side->agent, &config);
}

static void take_two(GMainContext *context, struct side *a, struct side *b)
{
    struct err err = { 0 };

    CHECK_OK(start_in_advance(context, a, true, &err) && start_in_advance(context, b, false, &err),
             err);
    CHECK(TURN_UNTIL(context, PATIENCE_MS,
                     ice_agent_is_gathered(a->agent) && ice_agent_is_gathered(b->agent)));
    take(a);
    take(b);
}

TEST(agents_that_gathered_in_advance_are_taken)
{
    GMainContext *context = g_main_context_new();
    struct side a = { 0 }, b = { 0 };
    struct err err = { 0 };
    uint8_t bytes[1000];
    const struct view packet = VIEW_ARR(bytes);

    memset(bytes, 0x5a, sizeof(bytes));
    take_two(context, &a, &b);
    CHECK_OK(tell(&a, &b, &err) && tell(&b, &a, &err), err);
    CHECK(TURN_UNTIL(context, PATIENCE_MS, a.state == ICE_READY && b.state == ICE_READY));
    CHECK_U64(ice_agent_send(a.agent, &packet, 1), 1);
    CHECK_U64(ice_agent_send(b.agent, &packet, 1), 1);
    CHECK(TURN_UNTIL(context, PATIENCE_MS, a.n_packets == 1 && b.n_packets == 1));
    CHECK_U64(a.n_bad + b.n_bad + a.n_candidates + b.n_candidates, 0);
    end(context, &a, &b);
}

TEST(an_agent_that_gathered_in_advance_says_when_there_is_nothing_to_try)
{
    GMainContext *context = g_main_context_new();
    struct side a = { 0 }, b = { 0 };
    struct err err = { 0 };
    _cleanup_(ice_description_deinit) struct ice_description none = { 0 };

    take_two(context, &a, &b);
    ice_agent_describe(a.agent, &none);
    for (size_t i = 0; i < none.n_candidates; i++)
        free(STEAL(none.candidates[i]));
    none.n_candidates = 0;
    CHECK_OK(ice_agent_set_remote(b.agent, &none, &err), err);
    CHECK(TURN_UNTIL(context, PATIENCE_MS, b.state == ICE_FAILED));
    end(context, &a, &b);
}

TEST(candidates_may_come_late)
{
    GMainContext *context = g_main_context_new();
    struct side a = { 0 }, b = { 0 };
    struct ice_description d = { 0 };
    struct err err = { 0 };

    CHECK_OK(start(context, &a, true, true, &err) && start(context, &b, false, true, &err), err);
    CHECK_OK(tell(&a, &b, &err), err);
    ice_agent_describe(b.agent, &d);
    for (size_t i = 0; i < d.n_candidates; i++)
        CHECK_OK(ice_agent_add_remote(a.agent, view_text(d.candidates[i]), &err),
                 err); /* before the credentials */
    for (size_t i = 0; i < d.n_candidates; i++) {
        free(d.candidates[i]);
        d.candidates[i] = NULL;
    }
    d.n_candidates = 0;
    d.is_complete = false;
    CHECK_OK(ice_agent_set_remote(a.agent, &d, &err), err);
    ice_agent_end_remote(a.agent);
    ice_description_deinit(&d);
    CHECK(TURN_UNTIL(context, PATIENCE_MS, a.state == ICE_READY && b.state == ICE_READY));
    end(context, &a, &b);
}

TEST(later_candidates_are_checked_and_counted)
{
    GMainContext *context = g_main_context_new();
    struct side a = { 0 }, b = { 0 };
    struct err err = { 0 };

    CHECK_OK(start(context, &a, true, true, &err) && start(context, &b, false, true, &err), err);
    CHECK_ERR(
        ice_agent_add_remote(a.agent, VIEW_LIT("candidate:1 1 UDP 1 224.0.0.1 5 typ host"), &err),
        err, ERR_BAD_WIRE);
    CHECK_STR(err.text, "ICE: candidate: address: not a unicast address");
    for (unsigned i = 0; i < ICE_MAX_LATER; i++)
        CHECK_OK(ice_agent_add_remote(a.agent, VIEW_LIT("candidate:1 1 UDP 1 192.0.2.1 5 typ host"),
                                      &err),
                 err);
    CHECK_ERR(
        ice_agent_add_remote(a.agent, VIEW_LIT("candidate:1 1 UDP 1 192.0.2.1 5 typ host"), &err),
        err, ERR_TOO_LARGE);
    end(context, &a, &b);
}

TEST(loopback_is_offered_only_where_it_is_allowed)
{
    GMainContext *context = g_main_context_new();
    struct side a = { 0 }, b = { 0 };
    struct ice_description d = { 0 };
    struct err err = { 0 };
    bool has_loopback = false;

    CHECK_OK(start(context, &b, false, true, &err), err);
    ice_agent_describe(b.agent, &d);
    for (size_t i = 0; i < d.n_candidates; i++)
        has_loopback = has_loopback || strstr(d.candidates[i], " 127.0.0.1 ");
    CHECK(has_loopback);
    ice_description_deinit(&d);

    if (start(context, &a, true, false, &err)) {
        ice_agent_describe(a.agent, &d);
        for (size_t i = 0; i < d.n_candidates; i++)
            CHECK(!strstr(d.candidates[i], " 127.0.0.1 ") && !strstr(d.candidates[i], " ::1 "));
        ice_description_deinit(&d);
    } else {
        CHECK_STR(err.text,
                  "this machine has no usable address"); /* a machine with loopback alone */
    }
    end(context, &a, &b);
}

TEST(no_answer_is_a_failure_that_is_told)
{
    GMainContext *context = g_main_context_new();
    struct side a = { 0 }, b = { 0 };
    struct ice_description d = { 0 };
    struct err err = { 0 };

    CHECK_OK(start(context, &a, true, true, &err) && start(context, &b, false, true, &err), err);
    /* Right credentials, but nobody answers where they point to. */
    CHECK_OK(ice_description_read(
                 VIEW_LIT("ice-ufrag:Fg3a\nice-pwd:0123456789abcdefghijkl\n"
                          "candidate:1 1 UDP 2130706431 127.0.0.1 9 typ host\nend-of-candidates\n"),
                 &d, &err),
             err);
    CHECK_OK(ice_agent_set_remote(a.agent, &d, &err), err);
    ice_description_deinit(&d);
    CHECK(TURN_UNTIL(context, PATIENCE_MS, a.state == ICE_FAILED));
    end(context, &a, &b);
}

TEST(an_agent_may_be_freed_inside_its_own_callback)
{
    GMainContext *context = g_main_context_new();
    struct side a = { 0 }, b = { 0 };
    struct err err = { 0 };
    unsigned n_states;

    CHECK_OK(start(context, &a, true, true, &err) && start(context, &b, false, true, &err), err);
    a.free_on_ready = &a.agent;
    CHECK_OK(tell(&a, &b, &err) && tell(&b, &a, &err), err);
    CHECK(TURN_UNTIL(context, PATIENCE_MS, !a.agent));
    n_states = a.n_states;
    CHECK(TURN_UNTIL(context, PATIENCE_MS, ice_n_closing() == 0));
    CHECK_U64(a.n_states, n_states);
    end(context, &a, &b);
}

static void make_and_free(GMainContext *context, size_t n)
{
    const struct ice_config config = {
        .context = context, .allow_loopback = true, .stun = "127.0.0.1", .stun_port = 9
    };
    struct err err = { 0 };

    for (size_t i = 0; i < n; i++) {
        struct ice_agent *agent;
        CHECK_OK(ice_agent_new(&config, &agent, &err) && ice_agent_gather(agent, &err), err);
        ice_agent_free(agent);
        CHECK(TURN_UNTIL(context, PATIENCE_MS, ice_n_closing() == 0));
    }
}

TEST(an_agent_that_is_freed_as_it_begins_to_gather_leaves_nothing)
{
    enum { N = 400 };
    GMainContext *context = g_main_context_new();
    size_t before, after;

    make_and_free(context, N / 4);
    before = mallinfo2().uordblks;
    make_and_free(context, N);
    after = mallinfo2().uordblks;
    CHECK(after <= before || after - before < (size_t)N * 16);
    g_main_context_unref(context);
}

TEST(a_path_whose_other_end_is_gone_is_noticed)
{
    GMainContext *context = g_main_context_new();
    struct side a = { 0 }, b = { 0 };
    struct err err = { 0 };
    struct ice_path path;

    CHECK_OK(start(context, &a, true, true, &err) && start(context, &b, false, true, &err), err);
    CHECK_OK(tell(&a, &b, &err) && tell(&b, &a, &err), err);
    CHECK(TURN_UNTIL(context, PATIENCE_MS, a.state == ICE_READY && b.state == ICE_READY));
    ice_agent_free(b.agent);
    b.agent = NULL;
    CHECK(TURN_UNTIL(context, PATIENCE_MS,
                     a.state == ICE_FAILED)); /* consent (RFC 7675) is not renewed */
    CHECK(!ice_agent_path(a.agent, &path));
    end(context, &a, &b);
}
