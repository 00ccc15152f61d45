/* SPDX-License-Identifier: Apache-2.0 */
/* What ends a session and what does not, without a network below. */
#include "peer/session.h"

#include "base/file.h"
#include "peer/known.h"
#include "tests/unit/peer/session_world.h"

#include <stdio.h>

struct scene {
    struct world w;
    struct hub hub;
    struct loop *loop;
    struct core *core;
    struct cert *cert;
};

static void scene_init(struct scene *s, const char *name)
{
    _free_ char *dir = file_path(check_dir(), name);
    struct err err;

    world_init(&s->w);
    s->cert = mem_new(struct cert);
    s->cert->refs = 2; /* it is no certificate: nobody else frees it */
    CHECK_OK(hub_init(&s->hub, &err), err);
    CHECK_OK(loop_new(&s->loop, &err), err);
    s->core = core_new(NULL, &s->hub, s->loop);
    s->core->key = key_new();
    s->core->trust = STEAL(s->w.trust);
    s->core->cert = s->cert;
    CHECK_OK(state_open(dir, true, &s->core->state, &err), err);
}

static void scene_deinit(struct scene *s)
{
    struct session *session;

    LIST_EACH(session, &s->core->sessions, node)
        session_free(session);
    core_free(s->core);
    free(s->cert);
    loop_free(s->loop);
    hub_deinit(&s->hub);
    world_deinit(&s->w);
}

#define SCENE(s, name)                                                                             \
    _cleanup_(scene_deinit) struct scene s = { 0 };                                                \
    scene_init(&s, name)

static struct session *add(struct scene *s, const char *id, bool is_caller,
                           enum session_state state)
{
    struct session *session = session_new(s->core, is_caller);

    session->handle = peer_link_new(NULL, &s->hub);
    session->handle->session = session;
    snprintf(session->remote_id, sizeof(session->remote_id), "%s", id);
    random_bytes(session->sid, sizeof(session->sid));
    session->state = state;
    return session;
}

/* The event that the router brings in den's name; nobody signed it. */
static void say_closed(struct scene *s, const struct session *session, const char *reason)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 3);
    rpc_put_bin(&args, VIEW_ARR(session->sid));
    rpc_put_str(&args, "closed");
    rpc_put_str(&args, reason);
    session_on_state(s->core, &(struct rpc_event){ .payload = rpc_args(buf_view(&args)) });
}

TEST(an_event_that_nobody_signed_ends_no_link_that_is_up)
{
    static const struct {
        enum session_state state, after;
        bool is_noted;
    } cases[] = {
        { SESSION_UP, SESSION_UP, false },
        { SESSION_CONNECTING, SESSION_CONNECTING, true }, /* the other end's own word may come */
        { SESSION_ASKING, SESSION_CLOSING, true },        /* the caller hung up */
        { SESSION_CLOSING, SESSION_CLOSING, false },
    };
    SCENE(s, "state");

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct session *session = add(&s, WORLD_A, false, cases[i].state);

        say_closed(&s, session, "done");
        CHECK_U64(session->state, cases[i].after);
        CHECK(session->is_closed_by_den == cases[i].is_noted);
    }
}

/* The same with den's signature under it. */
static void say_ended(struct scene *s, const struct session *session, const struct rpc_end *end,
                      const struct key *key)
{
    uint8_t sig[SIG_SIZE];
    _buf_ args = { 0 }, bytes = { 0 };

    rpc_statement_sign(RPC_W_END, end, key, &bytes, sig);
    rpc_put_array(&args, 5);
    rpc_put_bin(&args, VIEW_ARR(session->sid));
    rpc_put_str(&args, "closed");
    rpc_put_text(&args, end->reason);
    rpc_put_bin(&args, buf_view(&bytes));
    rpc_put_bin(&args, VIEW_ARR(sig));
    session_on_state(s->core, &(struct rpc_event){ .payload = rpc_args(buf_view(&args)) });
}

TEST(den_ends_a_link_that_is_up_and_nobody_else_does)
{
    SCENE(s, "end");
    snprintf(s.core->id, sizeof(s.core->id), "%s", WORLD_B);
    struct session *session = add(&s, WORLD_A, false, SESSION_UP), *other;
    struct rpc_end end = {
        .netid = rpc_trust_netid(s.core->trust),
        .sid = VIEW_ARR(session->sid),
        .a_id = view_text(WORLD_A),
        .b_id = view_text(s.core->id),
        .at = core_now(s.core),
        .reason = VIEW_LIT("policy does not allow it any more"),
    };
    const struct rpc_end right = end;
    struct hub_event *event;

    say_ended(&s, session, &end, s.w.a);
    CHECK_U64(session->state, SESSION_UP);
    other = add(&s, WORLD_A, false, SESSION_UP); /* an end of another session between the two */
    say_ended(&s, other, &end, s.w.den);
    CHECK_U64(other->state, SESSION_UP);
    end.b_id = view_text(WORLD_A);
    end.a_id = view_text(WORLD_A);
    say_ended(&s, session, &end, s.w.den);
    CHECK_U64(session->state, SESSION_UP);
    session->state = SESSION_CONNECTING; /* a link that is up has more below than there is here */
    say_ended(&s, session, &right, s.w.den);
    CHECK_U64(session->state, SESSION_CLOSING);
    event = hub_take(&s.hub);
    CHECK(event && event->event.type == PEER_EVENT_LINK_DOWN);
    CHECK_STR(event->event.error.name, "not_authorized");
    CHECK(strstr(event->event.error.text, "policy does not allow it any more") != NULL);
    hub_event_free(event);
}

TEST(a_key_that_another_one_overtook_ends_the_link)
{
    static const uint8_t first[KEY_SIZE] = { 1 };
    SCENE(s, "known");
    struct session *session = add(&s, WORLD_A, false, SESSION_CONNECTING);
    struct hub_event *event;
    struct err err;

    memset(session->remote_pk, 2,
           sizeof(session->remote_pk)); /* nobody was known when it was checked */
    CHECK_OK(known_remember(s.core->state, WORLD_A, first, 1, &err), err);
    session_on_link_event(session, &(struct link_event){ .type = LINK_UP });
    CHECK_U64(session->state, SESSION_CLOSING);
    event = hub_take(&s.hub);
    CHECK(event && event->event.type == PEER_EVENT_LINK_DOWN);
    CHECK_STR(event->event.error.name, "identity_changed");
    hub_event_free(event);
    CHECK(!hub_take(&s.hub)); /* it was never up */
}

TEST(sessions_are_counted_by_caller)
{
    SCENE(s, "count");
    size_t n_unanswered;

    add(&s, WORLD_A, false, SESSION_UP);
    add(&s, WORLD_A, false, SESSION_CONNECTING);
    add(&s, WORLD_A, false, SESSION_ASKING);
    add(&s, WORLD_A, false, SESSION_VERIFYING);
    add(&s, WORLD_A, false, SESSION_OPENING); /* being looked at */
    add(&s, WORLD_A, false, SESSION_CLOSING); /* over */
    add(&s, WORLD_A, true, SESSION_UP);       /* we called */
    add(&s, WORLD_B, false, SESSION_ASKING);
    CHECK_U64(session_count_with(s.core, WORLD_A, &n_unanswered), 5);
    CHECK_U64(n_unanswered, 3);
    CHECK_U64(session_count_with(s.core, WORLD_B, &n_unanswered), 1);
    CHECK_U64(n_unanswered, 1);
    CHECK_U64(session_count(s.core, true), 4);
    CHECK_U64(session_count(s.core, false), 8);
}

/* den revokes, and says so: what follows is taken as it came from anywhere. */
static void revoke(struct scene *s, enum rpc_revoked_kind kind, const char *id, struct view subject,
                   uint8_t reason)
{
    const struct rpc_revocation r = {
        .netid = rpc_trust_netid(s->core->trust),
        .rev_no = rpc_revoked_no(s->core->revoked) + 1,
        .previous = rpc_revoked_head(s->core->revoked),
        .kind = kind,
        .id = view_text(id),
        .subject = subject,
        .reason = reason,
        .at = WORLD_NOW,
    };
    uint8_t sig[SIG_SIZE];
    struct err err = { 0 };
    _buf_ bytes = { 0 };

    rpc_statement_sign(RPC_W_REVOKE, &r, s->w.den, &bytes, sig);
    CHECK_OK(revoked_take(s->core, buf_view(&bytes), VIEW_ARR(sig), &err), err);
}

static struct session *add_up(struct scene *s, const char *id, const struct key *key)
{
    struct session *session = add(s, id, false, SESSION_CONNECTING);

    memcpy(session->remote_pk, key_public(key), KEY_SIZE);
    return session;
}

/* The event that ended it, NULL while it lives. The caller frees it. */
static struct hub_event *ended(struct scene *s, const struct session *session)
{
    return session->state == SESSION_CLOSING ? hub_take(&s->hub) : NULL;
}

TEST(a_key_that_was_replaced_ends_its_own_links_alone)
{
    SCENE(s, "replaced");
    struct session *old = add_up(&s, WORLD_A, s.w.a), *new = add_up(&s, WORLD_A, s.w.stranger),
                   *other = add_up(&s, WORLD_B, s.w.b);
    struct hub_event *event;

    revoke(&s, RPC_REVOKED_IDENTITY, WORLD_A, key_public_view(s.w.a), RPC_SUPERSEDED);
    CHECK_U64(new->state, SESSION_CONNECTING);
    CHECK_U64(other->state, SESSION_CONNECTING);
    event = ended(&s, old);
    if (CHECK(event != NULL)) {
        CHECK_STR(event->event.error.name, "revoked");
        CHECK_STR(event->event.error.text,
                  "the identity key of " WORLD_A " has been replaced: dial again");
        hub_event_free(event);
    }
}

TEST(an_id_that_was_removed_ends_all_its_links)
{
    SCENE(s, "removed");
    struct session *theirs = add_up(&s, WORLD_A, s.w.a), *other = add_up(&s, WORLD_B, s.w.b);
    struct hub_event *event;

    revoke(&s, RPC_REVOKED_ADMISSIONS, WORLD_A, VIEW_LIT("\0\0\0\0\0\0\0\2"), 0);
    event = ended(&s, theirs);
    if (CHECK(event != NULL)) {
        CHECK_STR(event->event.error.text, WORLD_A " was revoked");
        hub_event_free(event);
    }
    CHECK_U64(other->state, SESSION_CONNECTING);
}

static void carry_admission(struct scene *s, uint64_t adm_no)
{
    const struct rpc_admission a = {
        .netid = rpc_trust_netid(s->core->trust),
        .network = view_text(rpc_trust_network(s->core->trust)),
        .id = view_text(s->core->id),
        .client_pk = key_public_view(s->core->key),
        .role = VIEW_LIT("peer"),
        .adm_no = adm_no,
        .issued_at = WORLD_NOW,
        .not_after = WORLD_NOW + DAY_MS,
    };
    uint8_t sig[SIG_SIZE];

    rpc_statement_sign(RPC_W_ADMISSION, &a, s->w.den, &s->core->admission, sig);
}

TEST(an_end_of_older_admissions_than_ours_is_not_ours)
{
    SCENE(s, "ours");
    struct session *session = add_up(&s, WORLD_A, s.w.a);

    snprintf(s.core->id, sizeof(s.core->id), "%s", WORLD_B);
    carry_admission(&s, 3);
    revoke(&s, RPC_REVOKED_ADMISSIONS, WORLD_B, VIEW_LIT("\0\0\0\0\0\0\0\3"), 0);
    CHECK_U64(session->state, SESSION_CONNECTING);
    revoke(&s, RPC_REVOKED_ADMISSIONS, WORLD_B, VIEW_LIT("\0\0\0\0\0\0\0\4"), 0);
    CHECK_U64(session->state, SESSION_CLOSING);
}
