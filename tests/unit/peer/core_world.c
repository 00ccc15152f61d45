/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/peer/core_world.h"

#include <stdio.h>

struct caught caught;
static struct hub_event *last;

/* The manifests' time. */
uint64_t __wrap_clock_wall_ms(void)
{
    return WORLD_NOW;
}

uint64_t __wrap_rpc_client_call(_unused_ struct rpc_client *client, _unused_ uint64_t now,
                                const char *procedure, struct view args, uint64_t timeout,
                                _unused_ bool wants_progress, rpc_on_outcome *on_outcome,
                                void *user)
{
    CHECK(timeout > 0 && !caught.is_open); /* one after the other */
    snprintf(caught.procedure, sizeof(caught.procedure), "%s", procedure);
    buf_clear(&caught.args);
    buf_put(&caught.args, args);
    caught.on_outcome = on_outcome;
    caught.user = user;
    caught.is_open = true;
    return ++caught.n;
}

void core_world_init(struct core_world *s, const char *name)
{
    struct loop *loop = NULL;
    struct err err;

    world_init(&s->w);
    CHECK_OK(hub_init(&s->hub, &err), err);
    s->dir = file_path(check_dir(), name);
    CHECK_OK(loop_new(&loop, &err), err);
    s->core = core_new(NULL, &s->hub, loop);
    CHECK_OK(state_open(s->dir, true, &s->core->state, &err), err);
    CHECK_OK(state_identity(s->core->state, true, &s->core->key, &err), err);
    s->core->trust = STEAL(s->w.trust);
    snprintf(s->core->id, sizeof(s->core->id), "%s", WORLD_A);
    s->core->is_up = true;
    caught.is_open = false;
    caught.n = 0;
}

void core_world_deinit(struct core_world *s)
{
    struct loop *loop = s->core->loop;

    s->w.trust = STEAL(s->core->trust);
    core_free(s->core);
    loop_free(loop);
    hub_deinit(&s->hub);
    world_deinit(&s->w);
    free(s->dir);
    hub_event_free(STEAL(last));
    buf_free(&caught.args);
}

static void give(const struct rpc_outcome *outcome)
{
    if (!CHECK(caught.is_open))
        return;
    caught.is_open = outcome->what == RPC_PROGRESS;
    caught.on_outcome(caught.user, outcome);
}

void core_world_answer(struct buf *args)
{
    const struct rpc_outcome outcome = { .what = RPC_RESULTED, .payload = { buf_view(args), 1 } };

    give(&outcome);
    buf_free(args);
}

void core_world_answer_signed(struct view statement, const uint8_t sig[SIG_SIZE])
{
    struct buf args = { 0 };

    rpc_put_array(&args, 2);
    rpc_put_bin(&args, statement);
    rpc_put_bin(&args, VIEW(sig, SIG_SIZE));
    core_world_answer(&args);
}

void core_world_refuse(enum err_code code)
{
    struct rpc_outcome outcome = { .what = RPC_FAILED };

    err_set(&outcome.err, code, "den says so");
    give(&outcome);
}

void core_world_progress(void)
{
    const struct rpc_outcome outcome = { .what = RPC_PROGRESS };

    give(&outcome);
}

struct view core_world_body(const struct core_world *s)
{
    uint8_t hash[HASH_SIZE];
    struct rpc_request r;
    struct rpc_fields f;
    struct err err;

    rpc_fields_open(&f, buf_view(&caught.args));
    struct view body = rpc_fields_bin(&f, "body", RPC_MAX_STATEMENT),
                bytes = rpc_fields_bin(&f, "R", RPC_MAX_STATEMENT),
                sig = rpc_fields_fixed(&f, "signature", SIG_SIZE);
    if (!rpc_fields_end(&f, &err) ||
        !rpc_statement_open(RPC_W_REQUEST, key_public_view(s->core->key), bytes, sig, &r, &err)) {
        check_failed(__FILE__, __LINE__, "%s", err.text);
        return VIEW(NULL, 0);
    }
    hash_sha256(body, hash);
    CHECK_VIEW(r.body_hash, VIEW_ARR(hash));
    CHECK_VIEW(r.procedure, view_text(caught.procedure));
    CHECK_VIEW(r.id, VIEW_LIT(WORLD_A));
    CHECK_VIEW(r.netid, VIEW_ARR(s->w.root.hash));
    CHECK_VIEW(r.beacon, VIEW_ARR(s->w.beacon));
    return body;
}

const char *core_world_event(struct core_world *s, enum peer_event_type type)
{
    hub_event_free(STEAL(last));
    last = hub_take(&s->hub);
    return last && last->event.type == type ? last->event.error.text : NULL;
}

const struct hub_event *core_world_last(void)
{
    return last;
}
