/* SPDX-License-Identifier: Apache-2.0 */
/* Whether what links are judged by is as new as it must be, and what happens when den contradicts itself. */
#include "base/file.h"
#include "peer/core.h"
#include "tests/unit/peer/session_world.h"

#include <unistd.h>

struct scene {
    struct world w;
    struct hub hub;
    struct core *core;
    char *dir;
};

/* A core without a network: it knows the world's trust, and a state folder of its own. */
static void load(struct scene *s)
{
    struct loop *loop = NULL;
    struct err err;

    CHECK_OK(loop_new(&loop, &err), err);
    s->core = core_new(NULL, &s->hub, loop);
    s->core->key = key_new();
    CHECK_OK(state_open(s->dir, true, &s->core->state, &err), err);
    s->core->trust = STEAL(s->w.trust);
    CHECK_OK(trust_load(s->core, &err) || err.code == ERR_BAD_CERTIFICATE,
             err); /* its root is not X.509 */
}

static void unload(struct scene *s)
{
    struct loop *loop = s->core->loop;

    s->w.trust = STEAL(s->core->trust);
    core_free(s->core);
    loop_free(loop);
}

static void scene_init(struct scene *s, const char *name)
{
    struct err err;

    world_init(&s->w);
    CHECK_OK(hub_init(&s->hub, &err), err);
    s->dir = file_path(check_dir(), name);
    load(s);
}

static void scene_deinit(struct scene *s)
{
    unload(s);
    hub_deinit(&s->hub);
    world_deinit(&s->w);
    free(s->dir);
}

#define SCENE(s, name)                                                                             \
    _cleanup_(scene_deinit) struct scene s = { 0 };                                                \
    scene_init(&s, name)

static bool confirm(struct scene *s, struct err *err)
{
    static const uint8_t nonce[RPC_NONCE16];
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };
    const struct rpc_time t = { VIEW_ARR(s->w.root.hash), VIEW_ARR(nonce), core_now(s->core) };
    struct rpc_time_answer answer = { .nonce = VIEW_ARR(nonce), .asked_at = clock_mono_ms() };

    rpc_statement_sign(RPC_W_TIME, &t, s->w.den, &bytes, sig);
    answer.bytes = buf_view(&bytes);
    answer.sig = VIEW_ARR(sig);
    return rpc_trust_take_time(s->core->trust, &answer, clock_mono_ms(), clock_wall_ms(), err);
}

struct beat {
    uint64_t hb_no, ago, bound, manifest_no, crl_no;
};

static bool beat(struct scene *s, const struct beat *says, struct err *err)
{
    uint8_t beacon[RPC_BEACON] = { 9 }, zero[HASH_SIZE] = { 0 }, sig[SIG_SIZE];
    _buf_ bytes = { 0 };
    const struct rpc_heartbeat h = {
        .netid = VIEW_ARR(s->w.root.hash),
        .hb_no = says->hb_no,
        .time = core_now(s->core) - says->ago,
        .next_in = 30000,
        .bound = says->bound,
        .beacon = VIEW_ARR(beacon),
        .crl_no = says->crl_no,
        .crl_hash = VIEW_ARR(zero),
        .rev_head = VIEW_ARR(zero),
        .manifest_no = says->manifest_no,
        .policy_no = 1,
        .audit_no = says->hb_no,
        .audit_head = VIEW_ARR(zero),
    };

    rpc_statement_sign(RPC_W_HEARTBEAT, &h, s->w.den, &bytes, sig);
    return trust_take_heart(s->core, buf_view(&bytes), VIEW_ARR(sig), err);
}

TEST(links_need_a_time_that_den_confirmed)
{
    SCENE(s, "time");
    struct err err;

    CHECK_OK(beat(&s, &(struct beat){ 10, 0, 600000, 1, 1 }, &err), err);
    CHECK(trust_needs_time(s.core));
    CHECK_ERR(trust_is_fresh(s.core, &err), err, ERR_DEN_AWAY);
    CHECK_STR(err.text, "network time is not confirmed: den has not answered");
    CHECK_OK(confirm(&s, &err), err);
    CHECK(trust_needs_time(s.core)); /* this connection has not answered yet */
    s.core->has_asked_time = true;
    CHECK(!trust_needs_time(s.core));
    CHECK_OK(trust_is_fresh(s.core, &err), err);
}

TEST(a_heartbeat_over_its_bound_or_ahead_of_the_manifests_stops_new_links)
{
    static const struct {
        struct beat says;
        const char *why;
        bool needs_chain;
    } cases[] = {
        { { 10, 0, 600000, 1, 1 }, NULL, false },
        { { 11, 5500, 2000, 1, 1 },
          "no heartbeat of den came for 5 s: nobody knows what was revoked since",
          false },
        { { 12, 0, 600000, 1, 1 }, NULL, false },
        { { 13, 0, 600000, 2, 1 }, "den has manifest 2, and this machine only 1 so far", true },
    };
    SCENE(s, "bound");
    struct err err;

    CHECK_OK(confirm(&s, &err), err);
    s.core->chain_manifest_no = 1;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        CHECK_OK(beat(&s, &cases[i].says, &err), err);
        bool ok = trust_is_fresh(s.core, &err);
        CHECK(ok == !cases[i].why);
        if (!ok) {
            CHECK_U64(err.code, ERR_STALE);
            CHECK_STR(err.text, cases[i].why);
        }
        CHECK(trust_needs_chain(s.core) == cases[i].needs_chain);
    }
}

static bool has_alarm_event(struct scene *s, struct peer_error *ret_error)
{
    for (struct hub_event *event; (event = hub_take(&s->hub));) {
        bool is_alarm = event->event.type == PEER_EVENT_ALARM;

        *ret_error = event->event.error;
        hub_event_free(event);
        if (is_alarm)
            return true;
    }
    return false;
}

static unsigned count_lines(const char *path)
{
    _buf_ text = { 0 };
    unsigned n = 0;
    struct err err;

    if (!file_read(path, 1 << 20, &text, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    for (size_t i = 0; i < text.len; i++)
        n += text.data[i] == '\n';
    return n;
}

TEST(a_den_that_contradicts_itself_is_an_alarm_that_stays)
{
    static const char why[] = "heartbeat 11: crl_no fell: den shows an older state";
    SCENE(s, "alarm");
    _free_ char *path = file_path(s.dir, "alarm");
    struct peer_error error = { 0 };
    struct err err;

    CHECK_OK(confirm(&s, &err), err);
    CHECK_OK(beat(&s, &(struct beat){ 10, 0, 600000, 1, 5 }, &err), err);
    CHECK_OK(trust_is_fresh(s.core, &err), err);
    CHECK(!has_alarm_event(&s, &error));
    CHECK_ERR(beat(&s, &(struct beat){ 11, 0, 600000, 1, 4 }, &err), err, ERR_STALE);
    CHECK(has_alarm_event(&s, &error));
    CHECK_STR(error.text, why);
    CHECK_ERR(trust_is_fresh(s.core, &err), err, ERR_STALE);
    CHECK_U64(count_lines(path), 3); /* why, and both */

    CHECK_ERR(beat(&s, &(struct beat){ 11, 0, 600000, 1, 3 }, &err), err, ERR_STALE);
    CHECK(!has_alarm_event(&s, &error)); /* once */
    CHECK_OK(beat(&s, &(struct beat){ 12, 0, 600000, 1, 5 }, &err), err);
    CHECK(!trust_is_fresh(s.core, &err)); /* a good one after it mends nothing */

    unload(&s);
    load(&s);
    CHECK_OK(confirm(&s, &err), err);
    CHECK_ERR(trust_is_fresh(s.core, &err), err, ERR_BAD_STATEMENT);
    CHECK(strstr(err.text, why) && strstr(err.text, path));
    unload(&s);
    CHECK(unlink(path) == 0); /* a person has looked */
    load(&s);
    CHECK_OK(trust_is_fresh(s.core, &err), err);
}
