/* SPDX-License-Identifier: Apache-2.0 */
/* What links are judged by: the CAs that the newest manifest lists, and the revocation list that the newest heartbeat names. */
#include "peer/session.h"

enum { CALL_MS = 20000, SUSPECT_MS = 60000 };

uint64_t core_now(const struct core *core)
{
    return rpc_trust_now(core->trust, clock_mono_ms(), clock_wall_ms());
}

static uint64_t manifest_no(const struct core *core)
{
    const struct rpc_manifest *manifest = rpc_trust_manifest(core->trust);

    return manifest ? manifest->manifest_no : 0;
}

static bool is_listed(const struct rpc_items *hashes, struct view der)
{
    uint8_t hash[HASH_SIZE];

    hash_sha256(der, hash);
    for (size_t i = 0; i < hashes->n; i++) {
        if (view_eq(hashes->item[i], VIEW_ARR(hash)))
            return true;
    }
    return false;
}

static bool add_cas(const struct core *core, struct pki_trust *anchors, struct err *err)
{
    const struct rpc_manifest *manifest = rpc_trust_manifest(core->trust);
    struct view der;

    for (size_t i = 0; rpc_trust_root(core->trust, i, &der); i++) {
        if (!pki_trust_add_root(anchors, der, err))
            return err_wrap(err, "root %zu", i + 1);
    }
    for (size_t i = 0; i < manifest->intermediates.n; i++)
        pki_trust_list_intermediate(anchors, manifest->intermediates.item[i].data);
    for (size_t i = 0; i < core->n_intermediates; i++) {
        if (is_listed(&manifest->intermediates, buf_view(&core->intermediates[i])) &&
            !pki_trust_add_intermediate(anchors, buf_view(&core->intermediates[i]), err))
            return err_wrap(err, "intermediate %zu", i + 1);
    }
    return !core->has_crl || pki_trust_set_crl(anchors, buf_view(&core->crl), err);
}

/* On failure the old set stays: a network whose CAs cannot be read gets no new links either. */
static bool rebuild(struct core *core, struct err *err)
{
    _cleanup_(pki_trust_freep) struct pki_trust *anchors = pki_trust_new();

    if (!rpc_trust_is_ready(core->trust))
        return true;
    if (!add_cas(core, anchors, err))
        return err_wrap(err, "trust set");
    pki_trust_free(core->anchors);
    core->anchors = STEAL(anchors);
    if (core->anchors_manifest_no != manifest_no(core)) {
        core->anchors_manifest_no = manifest_no(core);
        follow_changed(core);
    }
    return true;
}

static void keep_intermediate(struct core *core, struct view der)
{
    for (size_t i = 0; i < core->n_intermediates; i++) {
        if (view_eq(buf_view(&core->intermediates[i]), der))
            return;
    }
    if (core->n_intermediates < CORE_MAX_INTERMEDIATES)
        core->intermediates[core->n_intermediates++] = buf_dup(der);
}

static bool take_crl(struct core *core, struct view der, struct err *err)
{
    _cleanup_(pki_crl_freep) struct pki_crl *crl = NULL;

    if (!pki_crl_read(der, &crl, err))
        return false;
    buf_free(&core->crl);
    core->crl = buf_dup(der);
    core->crl_no = pki_crl_number(crl);
    core->has_crl = true;
    return true;
}

/* ---- den contradicts itself --------------------------------------------------------------------- */

/* An alarm outlives the process: the first line of the file says why. */
static bool load_alarm(struct core *core, struct err *err)
{
    _buf_ text = { 0 };
    bool exists;

    if (!state_read_if(core->state, STATE_ALARM, &text, &exists, err))
        return false;
    if (!exists)
        return true;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\n')
            text.len = i;
    }
    err_set(&core->alarm, ERR_BAD_STATEMENT, "%s (%s)", buf_cstr(&text),
            state_path(core->state, STATE_ALARM));
    return true;
}

static void put_heart(struct buf *to, struct view bytes, struct view sig)
{
    text_put_hex(to, bytes);
    buf_put_u8(to, ' ');
    text_put_hex(to, sig);
    buf_put_u8(to, '\n');
}

void trust_on_fork(void *user, struct view bytes, struct view sig, const struct err *why)
{
    struct core *core = user;
    _buf_ text = { 0 };
    struct err err;

    if (core->alarm.code != ERR_NONE)
        return; /* the first pair is proof enough */
    core->alarm = *why;
    buf_printf(&text, "%s\n", why->text);
    put_heart(&text, rpc_trust_heartbeat_bytes(core->trust), rpc_trust_heartbeat_sig(core->trust));
    put_heart(&text, bytes, sig);
    if (!state_write(core->state, STATE_ALARM, buf_view(&text), &err))
        err_wrap(&core->alarm, "%s (not kept: %s)", why->text, err.text);
    core_alarm(core);
}

bool trust_load(struct core *core, struct err *err)
{
    struct buf intermediates[PKI_MAX_CHAIN] = { 0 };
    _buf_ crl = { 0 }, pem = { 0 };
    size_t n = 0;
    bool has_crl, has_pem;

    if (!load_alarm(core, err) || !state_read_if(core->state, STATE_CRL, &crl, &has_crl, err) ||
        !state_read_if(core->state, STATE_CERT, &pem, &has_pem, err))
        return false;
    if (has_crl && !take_crl(core, buf_view(&crl), err))
        *err = (struct err){ 0 }; /* damaged: it is fetched anew before any link is made */
    if (has_pem &&
        !pki_pem_read_all(buf_view(&pem), "CERTIFICATE", intermediates, PKI_MAX_CHAIN, &n, err))
        return err_wrap(err, "%s", state_path(core->state, STATE_CERT));
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            keep_intermediate(core, buf_view(&intermediates[i]));
        buf_free(&intermediates[i]);
    }
    return revoked_load(core, err) && restored_load(core, err) && rebuild(core, err);
}

bool trust_store(struct core *core, struct err *err)
{
    _buf_ bytes = { 0 };

    rpc_trust_save(core->trust, &bytes);
    return state_write(core->state, STATE_TRUST, buf_view(&bytes), err);
}

/* A failure to store or rebuild costs this heartbeat's news after a crash, nothing else: the next one tries again. */
void trust_moved(struct core *core)
{
    struct err err;

    restored_look(core);
    if (core->is_joined)
        trust_store(core, &err);
    if (core->anchors_manifest_no != manifest_no(core))
        rebuild(core, &err);
    core_publish(core);
    for (size_t i = 0; i < CORE_STEPS; i++)
        core->steps[i].not_before = 0; /* den is there: what failed before has its turn again */
    dial_note_beacon(core);
    session_gossip(core);
    listen_settle(core);
    core_settle(core);
}

bool trust_take_heart(struct core *core, struct view bytes, struct view sig, struct err *err)
{
    enum rpc_heart heart;

    if (!rpc_trust_add_heartbeat(core->trust, bytes, sig, clock_mono_ms(), clock_wall_ms(), &heart,
                                 err)) {
        if (heart == RPC_HEART_FORKED)
            trust_on_fork(core, bytes, sig, err);
        return false;
    }
    if (heart == RPC_HEART_NEWER)
        trust_moved(core);
    return true;
}

/* One that is not den's is passed over: it proves nothing. But den's key may be another one now, by a manifest that did
 * not reach us: now and then it is asked for. */
static void suspect_manifest(struct core *core)
{
    uint64_t now = clock_mono_ms();

    if (now - core->suspected_at < SUSPECT_MS)
        return;
    core->suspected_at = now;
    core->suspects_manifest = true;
    core_settle(core);
}

void trust_on_heartbeat(void *user, const struct rpc_event *event)
{
    struct rpc_fields f;
    struct err err;

    rpc_fields_open(&f, rpc_payload_args(event->payload));
    struct view bytes = rpc_fields_bin(&f, "heartbeat", RPC_MAX_STATEMENT);
    struct view sig = rpc_fields_fixed(&f, "signature", SIG_SIZE);
    if (rpc_fields_end(&f, &err) && !trust_take_heart(user, bytes, sig, &err) &&
        err.code == ERR_BAD_SIGNATURE)
        suspect_manifest(user);
}

/* ---- the time ----------------------------------------------------------------------------------- */

static bool is_time_sure(const struct core *core)
{
    return rpc_trust_time_is_sure(core->trust, clock_mono_ms(), clock_wall_ms());
}

bool trust_is_fresh(const struct core *core, struct err *err)
{
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(core->trust);
    uint64_t age = rpc_trust_heartbeat_age(core->trust, clock_mono_ms());

    if (core->alarm.code != ERR_NONE) {
        *err = core->alarm;
        return err_wrap(err, "alarm");
    }
    if (!heart)
        return err_set(err, ERR_DEN_AWAY, "no heartbeat of den has come");
    if (!is_time_sure(core))
        return err_set(err, ERR_DEN_AWAY, "network time is not confirmed: den has not answered");
    if (age > heart->bound)
        return err_set(err, ERR_STALE,
                       "no heartbeat of den came for %llu s: nobody knows what was revoked since",
                       (unsigned long long)(age / SECOND_MS));
    if (revoked_is_behind(core))
        return err_set(err, ERR_STALE, "den revoked %llu times, of which %llu are known so far",
                       (unsigned long long)heart->rev_no,
                       (unsigned long long)rpc_revoked_no(core->revoked));
    if (heart->manifest_no > manifest_no(core))
        return err_set(err, ERR_STALE, "den has manifest %llu, and this machine only %llu so far",
                       (unsigned long long)heart->manifest_no,
                       (unsigned long long)manifest_no(core));
    return true;
}

/* Anew with each connection, and when the wall clock has parted from network time. */
bool trust_needs_time(const struct core *core)
{
    return !core->has_asked_time || !is_time_sure(core);
}

static bool take_time(struct core *core, struct rpc_payload payload, struct err *err)
{
    struct rpc_time_answer answer = { .nonce = VIEW_ARR(core->time_nonce),
                                      .asked_at = core->time_asked_at };
    struct rpc_fields f;

    rpc_fields_open(&f, rpc_payload_args(payload));
    answer.bytes = rpc_fields_bin(&f, "time", RPC_MAX_STATEMENT);
    answer.sig = rpc_fields_fixed(&f, "signature", SIG_SIZE);
    rpc_fields_skip_rest(&f);
    return rpc_fields_end(&f, err) &&
           rpc_trust_take_time(core->trust, &answer, clock_mono_ms(), clock_wall_ms(), err);
}

/* Once for each clock that is wrong: links go by network time, other programs of this machine do not. */
static void tell_skew(struct core *core)
{
    uint64_t wall = clock_wall_ms(), apart = wall - core_now(core);
    uint64_t moved = apart - core->told_apart;
    bool is_told = moved <= RPC_CLOCK_SKEW_MS || moved >= (uint64_t)0 - RPC_CLOCK_SKEW_MS;
    struct hub_event *event;
    struct err err;

    if (is_told)
        return;
    core->told_apart = apart;
    if (!rpc_trust_clock_is_wrong(wall, core_now(core), &err))
        return; /* it was set right */
    event = hub_event_new(PEER_EVENT_CLOCK);
    hub_error(&err, &event->event.error);
    hub_put(core->hub, event);
}

static void on_time(void *user, const struct rpc_outcome *outcome)
{
    struct core *core = user;
    struct err err = outcome->err;
    bool ok = outcome->what == RPC_RESULTED && take_time(core, outcome->payload, &err);

    if (!ok)
        err_wrap(&err, "network time is not confirmed");
    core->has_asked_time |= ok;
    if (ok)
        tell_skew(core);
    core_step_done(core, STEP_TIME, ok ? NULL : &err);
    if (ok)
        listen_settle(core);
}

void trust_fetch_time(struct core *core)
{
    _buf_ args = { 0 };

    random_bytes(core->time_nonce, sizeof(core->time_nonce));
    core->time_asked_at = clock_mono_ms();
    rpc_put_array(&args, 1);
    rpc_put_bin(&args, VIEW_ARR(core->time_nonce));
    rpc_client_call(core->client, core->time_asked_at, "den.time", buf_view(&args), RPC_TIME_MS,
                    false, on_time, core);
}

/* ---- the CAs ---------------------------------------------------------------------------------- */

bool trust_needs_chain(const struct core *core)
{
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(core->trust);

    return core->suspects_manifest || core->chain_manifest_no != manifest_no(core) ||
           (heart && heart->manifest_no > manifest_no(core));
}

static bool take_chain(struct core *core, struct rpc_payload payload, struct err *err)
{
    struct rpc_fields f, list;
    struct err ignored;

    rpc_fields_open(&f, rpc_payload_args(payload));
    struct view roots = rpc_fields_array(&f, "roots"), cas = rpc_fields_array(&f, "intermediates");
    struct view manifests = rpc_fields_array(&f, "manifests");
    rpc_fields_skip_rest(&f);
    if (!rpc_fields_end(&f, err))
        return false;
    if (!rpc_trust_take_challenge(core->trust, roots, manifests, clock_wall_ms(), err))
        return false;

    const struct rpc_manifest *manifest =
        rpc_trust_manifest(core->trust); /* the newest, after that */
    rpc_fields_open(&list, cas);
    while (rpc_fields_more(&list)) {
        struct view der = rpc_fields_bin(&list, "intermediate", PKI_MAX_CERT);
        if (der.len && is_listed(&manifest->intermediates, der))
            keep_intermediate(core, der);
    }
    if (!rpc_fields_end(&list, err) || !rebuild(core, err))
        return false;
    if (core->is_joined)
        trust_store(core,
                    &ignored); /* a full disk costs the manifest after a crash, nothing else */
    return true;
}

static void on_chain(void *user, const struct rpc_outcome *outcome)
{
    struct core *core = user;
    struct err err = outcome->err;
    bool ok = outcome->what == RPC_RESULTED && take_chain(core, outcome->payload, &err);

    core->suspects_manifest = false;
    if (ok)
        core->chain_manifest_no = manifest_no(core);
    if (ok && trust_needs_chain(core))
        ok = err_set(&err, ERR_STALE,
                     "den's chain ends before the manifest that its heartbeat names");
    core_step_done(core, STEP_CHAIN, ok ? NULL : &err);
}

void trust_fetch_chain(struct core *core)
{
    rpc_client_call(core->client, clock_mono_ms(), "den.ca.chain", VIEW(NULL, 0), CALL_MS, false,
                    on_chain, core);
}

/* ---- the revocation list ------------------------------------------------------------------------ */

bool trust_needs_crl(const struct core *core)
{
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(core->trust);

    return heart && heart->crl_no > (core->has_crl ? core->crl_no : 0);
}

static bool take_fetched_crl(struct core *core, struct rpc_payload payload, struct err *err)
{
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(core->trust);
    uint8_t hash[HASH_SIZE];
    struct rpc_fields f;

    rpc_fields_open(&f, rpc_payload_args(payload));
    struct view der = rpc_fields_bin(&f, "list", PKI_MAX_CRL);
    rpc_fields_skip_rest(&f);
    if (!rpc_fields_end(&f, err))
        return false;
    hash_sha256(der, hash);
    if (!heart || !view_eq(heart->crl_hash, VIEW_ARR(hash)))
        return err_set(err, ERR_STALE, "it is not the one that the newest heartbeat names");
    return take_crl(core, der, err) && rebuild(core, err) &&
           state_write(core->state, STATE_CRL, der, err);
}

static void on_crl(void *user, const struct rpc_outcome *outcome)
{
    struct core *core = user;
    struct err err = outcome->err;
    bool ok = outcome->what == RPC_RESULTED && take_fetched_crl(core, outcome->payload, &err);

    if (!ok)
        err_wrap(&err, "revocation list");
    core_step_done(core, STEP_CRL, ok ? NULL : &err);
    if (ok)
        listen_settle(core);
}

void trust_fetch_crl(struct core *core)
{
    rpc_client_call(core->client, clock_mono_ms(), "den.ca.crl", VIEW(NULL, 0), CALL_MS, false,
                    on_crl, core);
}
