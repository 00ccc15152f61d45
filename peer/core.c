/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/errand.h"
#include "peer/examine.h"
#include "peer/told.h"

#include <stdio.h>

enum { RETRY_MS = 1000, RETRY_MAX_MS = 60000, SETTLE_MS = 30000, LAST_WORDS_MS = 300 };

static const struct {
    bool (*is_needed)(const struct core *core);
    void (*start)(struct core *core);
    bool is_vital; /* no link can be made without it */
} steps[CORE_STEPS] = {
    [STEP_TIME] = { trust_needs_time, trust_fetch_time, true },
    [STEP_CHAIN] = { trust_needs_chain, trust_fetch_chain, false },
    [STEP_CRL] = { trust_needs_crl, trust_fetch_crl, false },
    [STEP_REVOKED] = { revoked_is_behind, revoked_fetch, true },
    [STEP_RESTORED] = { restored_is_needed, restored_ask, true },
    [STEP_CERT] = { identity_needs_cert, identity_request, true },
    [STEP_REKEY] = { rekey_is_needed, rekey_go_on, false },
    [STEP_ADMISSION] = { follow_needs_admission, follow_fetch_admission, false },
    [STEP_ACKNOWLEDGE] = { acknowledge_is_needed, acknowledge_send, false },
    [STEP_SESSIONS] = { told_is_needed, told_send, false },
};

struct core *core_new(struct peer *peer, struct hub *hub, struct loop *loop)
{
    struct core *core = mem_new(struct core);

    core->peer = peer;
    core->hub = hub;
    core->loop = loop;
    random_bytes(core->instance, sizeof(core->instance));
    list_init(&core->sessions);
    list_init(&core->untold);
    core->revoked = rpc_revoked_new();
    list_init(&core->talks);
    list_init(&core->plugs);
    list_init(&core->backlog);
    core->invocations = map_new();
    return core;
}

static void snapshot_deinit(struct snapshot *snapshot)
{
    buf_free(&snapshot->chain_pem);
    buf_free(&snapshot->root_pem);
    buf_free(&snapshot->manifest);
    free(snapshot->signatures);
    *snapshot = (struct snapshot){ 0 };
}

void core_free(struct core *core)
{
    if (!core)
        return;
    stun_forget(core);
    nat_forget(core);
    told_free(core);
    snapshot_deinit(&core->snapshot);
    permits_free(&core->permits);
    cert_unref(core->cert);
    pki_key_free(core->next_key);
    pki_trust_free(core->anchors);
    for (size_t i = 0; i < core->n_intermediates; i++)
        buf_free(&core->intermediates[i]);
    for (size_t i = 0; i < core->n_router_chain; i++)
        buf_free(&core->router_chain[i]);
    buf_free(&core->crl);
    buf_free(&core->admission);
    buf_free(&core->admission_sig);
    buf_free(&core->serves_bytes);
    map_free(core->invocations);
    rpc_trust_free(core->trust);
    rpc_revoked_free(core->revoked);
    buf_free(&core->revoked_unkept);
    for (size_t i = 0; i < CORE_RECENT_REVOCATIONS; i++)
        buf_free(&core->recent[i]);
    key_free(core->key);
    rpc_join_wipe(&core->join);
    mem_wipe(&core->proxy, sizeof(core->proxy));
    state_free(core->state);
    free(core);
}

void core_event(struct core *core, enum peer_event_type type)
{
    hub_put(core->hub, hub_event_new(type));
}

void core_flush(struct core *core)
{
    if (core->uplink)
        rpc_uplink_flush(core->uplink);
}

static void flush_now(void *user)
{
    struct core *core = user;

    core->is_flush_queued = false;
    core_flush(core);
}

void core_flush_soon(struct core *core)
{
    if (core->is_flush_queued)
        return;
    core->is_flush_queued = true;
    loop_invoke(core->loop, flush_now, core);
}

static void stop_uplink(void *user)
{
    join_end(user);
}

void core_fail(struct core *core, const struct err *err)
{
    struct hub_event *event = hub_event_new(PEER_EVENT_FAILED);

    if (core->has_failed) {
        hub_event_free(event);
        return;
    }
    core->has_failed = true;
    hub_error(err, &event->event.error);
    hub_put(core->hub, event);
    loop_invoke(core->loop, stop_uplink, core); /* not from inside its own callback */
}

void core_alarm(struct core *core)
{
    struct hub_event *event = hub_event_new(PEER_EVENT_ALARM);

    hub_error(&core->alarm, &event->event.error);
    hub_put(core->hub, event);
}

static void on_settle_timer(void *user)
{
    struct core *core = user;

    core_settle(core);
    core_flush(core);
    lan_settle(core);
    loop_timer_in(core->settle_timer, SETTLE_MS);
}

void core_begin(void *user)
{
    struct core *core = user;
    struct err err;

    core->settle_timer = loop_timer_new(core->loop, on_settle_timer, core);
    core->backlog_timer = loop_timer_new(core->loop, errand_drain, core);
    loop_timer_in(core->settle_timer, SETTLE_MS);
    watch_begin(core);
    beside_begin(core);
    core_publish(core);
    if (core->alarm.code != ERR_NONE)
        core_alarm(core);
    if (revoked_check_self(core) && !join_begin(core, &err))
        core_fail(core, &err);
}

static bool is_drained(_unused_ void *user)
{
    return ice_n_closing() == 0;
}

static bool has_said_all(void *user)
{
    const struct core *core = user;

    return !core->ws || rpc_ws_n_closing(core->ws) == 0;
}

void core_end(void *user)
{
    struct core *core = user;

    acknowledge_before_end(core);
    core->is_closing = true;
    examine_end(core);
    beside_end(core);
    stun_forget(core);
    nat_forget(core);
    watch_end(core);
    spare_end(core);
    session_close_all(core);
    plug_free_all(core);
    core_flush(core);
    loop_drain(core->loop, has_said_all, core, LAST_WORDS_MS);
    lan_free(core);
    join_end(core);
    errand_drop_backlog(core);
    loop_timer_free(core->settle_timer);
    loop_timer_free(core->backlog_timer);
    core->settle_timer = core->backlog_timer = NULL;
    loop_drain(core->loop, is_drained, NULL, 1500);
}

/* ---- what is fetched from den ------------------------------------------------------------------- */

bool core_has_cert(const struct core *core)
{
    return core->cert && pki_cert_facts(core->cert->leaf)->not_after > core_now(core) &&
           follow_is_listed(core);
}

bool core_is_ready(const struct core *core, struct err *err)
{
    if (!core_has_cert(core))
        return err_set(err, ERR_NOT_JOINED, "this machine has no valid certificate");
    if (!core->is_up)
        return err_set(err, ERR_NETWORK_FAILURE, "not connected to the router");
    return trust_is_fresh(core, err);
}

static void tell_ready(struct core *core)
{
    struct err err;

    /* An answer on this connection says that what we registered before it stands. */
    if (core->was_ready || !core->has_answered || !core_is_ready(core, &err))
        return;
    core->was_ready = true;
    core_event(core, PEER_EVENT_JOINED);
}

void core_settle(struct core *core)
{
    uint64_t now = clock_mono_ms();

    if (!core->is_up || core->has_failed || core->is_closing)
        return;
    for (size_t i = 0; i < CORE_STEPS; i++) {
        if (core->steps[i].is_pending)
            return; /* one after the other */
    }
    for (size_t i = 0; i < CORE_STEPS; i++) {
        if (!steps[i].is_needed(core) || core->steps[i].not_before > now)
            continue;
        core->steps[i].is_pending = true;
        steps[i].start(core);
        return;
    }
    tell_ready(core);
}

static void settle_soon(void *user)
{
    struct core *core = user;

    core_settle(core);
    core_flush(core);
}

void core_step_done(struct core *core, enum step step, const struct err *err)
{
    struct err unused;
    uint64_t pause = (uint64_t)RETRY_MS << min_u64(core->steps[step].failures, 6);

    core->steps[step].is_pending = false;
    core->has_answered |= core->is_up;
    if (err) {
        pause = min_u64(pause, RETRY_MAX_MS);
        core->steps[step].failures++;
        core->steps[step].not_before = clock_mono_ms() + pause;
        if (core->settle_timer)
            loop_timer_in(core->settle_timer, pause);
    } else {
        core->steps[step].failures = core->steps[step].not_before = 0;
    }
    if (err && core->is_up && steps[step].is_vital && !core_is_ready(core, &unused)) {
        struct hub_event *event = hub_event_new(PEER_EVENT_OFFLINE);
        hub_error(err, &event->event.error);
        event->event.pause_ms = pause;
        hub_put(core->hub, event);
    }
    loop_invoke(core->loop, settle_soon, core);
}

/* ---- what the application may read --------------------------------------------------------------- */

static void put_manifest(const struct core *core, struct snapshot *snapshot)
{
    struct view sig, root;
    size_t n = 0;

    snapshot->manifest = buf_dup(rpc_trust_manifest_bytes(core->trust));
    while (rpc_trust_manifest_signature(core->trust, n, &sig, &root))
        n++;
    snapshot->signatures = mem_array(struct peer_manifest_signature, n + 1);
    for (size_t i = 0; i < n && rpc_trust_manifest_signature(core->trust, i, &sig, &root); i++) {
        struct peer_manifest_signature *to = &snapshot->signatures[i];
        _buf_ pem = { 0 };

        pki_pem_put(&pem, "CERTIFICATE", root);
        if (sig.len > sizeof(to->signature) || pem.len >= sizeof(to->signer_pem))
            break;
        memcpy(to->signature, sig.data, sig.len);
        to->signature_size = sig.len;
        snprintf(to->signer_pem, sizeof(to->signer_pem), "%s", buf_cstr(&pem));
        snapshot->n_signatures = i + 1;
    }
}

void core_publish(struct core *core)
{
    struct snapshot snapshot = { .has_id = core->is_joined, .is_online = core->is_up }, old;
    struct view root;

    identity_describe(key_public_view(core->key), core->id, core->join.network,
                      core->cert ? core->cert->leaf : NULL, &snapshot.identity);
    for (size_t i = 0; core->cert && i < core->cert->n_chain; i++)
        pki_pem_put(&snapshot.chain_pem, "CERTIFICATE", buf_view(&core->cert->chain[i]));
    if (rpc_trust_root(core->trust, 0, &root))
        pki_pem_put(&snapshot.root_pem, "CERTIFICATE", root);
    if (rpc_trust_is_ready(core->trust))
        put_manifest(core, &snapshot);

    hub_lock(core->hub);
    old = core->snapshot;
    core->snapshot = snapshot;
    hub_unlock(core->hub);
    snapshot_deinit(&old);
}
