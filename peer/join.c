/* SPDX-License-Identifier: Apache-2.0 */
/* The connection to the router: proving the key, receiving the ID, and coming back after a loss. */
#include "peer/session.h"
#include "peer/talk.h"
#include "peer/told.h"

#include <stdio.h>

enum { OFFLINE_KEPT_MS = 15000 };

bool join_load(struct core *core, struct err *err)
{
    _buf_ bytes = { 0 };
    struct view statement, sig;
    struct rpc_admission a;
    bool exists;

    if (!state_read_if(core->state, STATE_ADMISSION, &bytes, &exists, err))
        return false;
    if (!exists)
        return true;
    if (!state_read_signed(buf_view(&bytes), &statement, &sig) ||
        !rpc_statement_read(RPC_W_ADMISSION, statement, &a, err))
        return err_set(err, ERR_BAD_CONFIG, "%s: not an admission",
                       state_path(core->state, STATE_ADMISSION));
    if (!view_eq(a.client_pk, key_public_view(core->key)) && core->has_rekey_file) {
        snprintf(core->id, sizeof(core->id), "%.*s", VIEW_FMT(a.id)); /* of the key before */
        core->has_pending_rekey = false; /* the file goes when the new admission is there */
        return true;
    }
    if (!view_eq(a.client_pk, key_public_view(core->key)))
        return err_set(err, ERR_BAD_CONFIG,
                       "%s: is for another key than identity.key (without this file, the network "
                       "gives the key that it knows a new one)",
                       state_path(core->state, STATE_ADMISSION));
    core->admission = buf_dup(statement);
    core->admission_sig = buf_dup(sig);
    snprintf(core->id, sizeof(core->id), "%.*s", VIEW_FMT(a.id));
    return true;
}

static bool can_show_admission(const struct core *core)
{
    struct rpc_admission a;
    struct err err;

    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(core->trust);

    if (core->must_enrol || core->admission.len == 0)
        return false;
    /* by the time of the CHALLENGE: a key of den's that it does not list any more signed it while we slept */
    if (heart && !rpc_trust_open(core->trust, RPC_W_ADMISSION, buf_view(&core->admission),
                                 buf_view(&core->admission_sig), heart->time, &a, &err))
        return false;
    return rpc_statement_read(RPC_W_ADMISSION, buf_view(&core->admission), &a, &err) &&
           a.not_after > core_now(core);
}

static void put_admission(struct core *core, struct buf *to)
{
    rpc_put_map(to, 1);
    rpc_put_str(to, "admission");
    rpc_put_array(to, 2);
    rpc_put_bin(to, buf_view(&core->admission));
    rpc_put_bin(to, buf_view(&core->admission_sig));
}

/* ---- the router's certificate ---- */

static bool knows_time(const struct core *core)
{
    return rpc_trust_heartbeat_age(core->trust, clock_mono_ms()) != UINT64_MAX;
}

/* Before the first heartbeat of this run the machine's own clock is all there is to judge by; the newest of an earlier run shows
 * that it is behind. */
static void blame_clock(const struct core *core, struct err *err)
{
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(core->trust);
    uint64_t wall = clock_wall_ms();

    if (err->code == ERR_EXPIRED && heart && wall < heart->time && !knows_time(core))
        rpc_trust_clock_is_wrong(wall, heart->time, err);
}

bool join_judge_router(struct core *core, const char *host, const struct view *chain, size_t n,
                       struct err *err)
{
    _free_ char *name = mem_format("router.%s", core->join.network);
    const struct pki_question question = {
        .name = name,
        .network = core->join.network,
        .role = PKI_SERVER,
        .now = core_now(core),
    };
    struct err not_public = { 0 };

    if (pki_judge(core->anchors, chain, n, &question, NULL, err) ||
        (pki_is_public_name(host) && pki_judge_public(host, chain, n, question.now, &not_public)))
        return true;
    blame_clock(core, err);
    return pki_is_public_name(host)
               ? err_wrap(err, "the router's certificate: %s; as the network's own",
                          not_public.text)
               : err_wrap(err, "the router's certificate");
}

static void keep_chain(struct core *core, const struct view *chain, size_t n)
{
    for (size_t i = 0; i < core->n_router_chain; i++)
        buf_free(&core->router_chain[i]);
    core->n_router_chain = n < PKI_MAX_CHAIN ? n : PKI_MAX_CHAIN;
    for (size_t i = 0; i < core->n_router_chain; i++)
        core->router_chain[i] = buf_dup(chain[i]);
}

/* Of an intermediate, under the router's name: one that was made since the last manifest that came here looks so. */
static bool may_be_newer(const struct core *core, const struct view *chain, size_t n)
{
    _free_ char *name = mem_format("DNS:router.%s", core->join.network);
    _cleanup_(pki_cert_freep) struct pki_cert *leaf = NULL;
    struct err unused;

    return n > 0 && pki_cert_read(chain[0], &leaf, &unused) &&
           strcmp(pki_cert_facts(leaf)->names, name) == 0 &&
           strcmp(pki_cert_facts(leaf)->subject, pki_cert_facts(leaf)->issuer) != 0;
}

/* Once there is something to judge it by: before, netsign's proof decides. Where a public name is dialled, the operator's public
 * certificate will do as well. One that does not hold may be of an intermediate that came while we were away, or over by a clock
 * that is ahead: the router's CHALLENGE brings the manifest that lists it, and what time it is in the network, and before anything
 * is signed it is judged by these. */
static bool on_judge(void *user, const char *host, const struct view *chain, size_t n,
                     struct err *err)
{
    struct core *core = user;

    keep_chain(core, NULL, 0);
    if (!rpc_trust_is_ready(core->trust) || !core->anchors || !core->is_joined ||
        join_judge_router(core, host, chain, n, err))
        return true;
    if (!(err->code == ERR_EXPIRED && !knows_time(core)) &&
        !(err->code == ERR_BAD_CERTIFICATE && may_be_newer(core, chain, n)))
        return false;
    keep_chain(core, chain, n);
    snprintf(core->router_host, sizeof(core->router_host), "%s", host);
    return true;
}

static bool judge_kept(struct core *core, struct err *err)
{
    struct view chain[PKI_MAX_CHAIN];

    for (size_t i = 0; i < core->n_router_chain; i++)
        chain[i] = buf_view(&core->router_chain[i]);
    return core->n_router_chain == 0 ||
           join_judge_router(core, core->router_host, chain, core->n_router_chain, err);
}

static bool on_credentials(void *user, struct buf *ret_extra, struct err *err)
{
    struct core *core = user;
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(core->trust);
    char host[65];

    core->has_enrolled = false;
    if (!judge_kept(core, err))
        return false;
    if (can_show_admission(core)) {
        put_admission(core, ret_extra);
        return true;
    }
    if (!heart)
        return err_set(err, ERR_DEN_AWAY, "there is no heartbeat to enrol with");

    _cleanup_(key_freep) struct key *token =
        core->join.has_token ? rpc_token_key(core->join.token) : NULL;
    enrol_host_text(host);
    const struct enrol_context context = {
        .netid = rpc_trust_netid(core->trust),
        .beacon = heart->beacon,
        .network = core->join.network,
        .host = host,
        .identity = core->key,
        .token = token,
        .before = buf_view(&core->admission),
        .before_sig = buf_view(&core->admission_sig),
    };
    core->may_be_unsigned |= token != NULL;
    enrol_put(&context, ret_extra, core->enrol_hash);
    core->has_enrolled = true;
    return true;
}

/* On disk before the ID is shown to anybody; `network` last, because it says that all else is there. */
static bool store_all(struct core *core, struct view admission, struct view sig, struct err *err)
{
    _buf_ signed_bytes = { 0 }, network = { 0 };
    struct rpc_join join = core->join;

    join.has_token = false;
    state_put_signed(&signed_bytes, admission, sig);
    rpc_join_write(&join, &network);
    buf_put_u8(&network, '\n');
    rpc_join_wipe(&join);
    return trust_store(core, err) &&
           state_write(core->state, STATE_ADMISSION, buf_view(&signed_bytes), err) &&
           state_write(core->state, STATE_NETWORK, buf_view(&network), err);
}

static bool on_admitted(void *user, struct view admission, struct view sig,
                        const struct rpc_admission *a, struct err *err)
{
    struct core *core = user;
    const struct enrol_wanted wanted = {
        .id = core->id,
        .enrol_hash = core->has_enrolled ? core->enrol_hash : NULL,
        .carried = buf_view(&core->admission),
    };

    if (core->has_failed)
        return err_set(err, ERR_CLOSED, "this peer is over"); /* its key may be the one before */
    if (!enrol_check(&wanted, admission, a, err))
        return false;
    if (a->not_after <= core_now(core))
        return err_set(err, ERR_EXPIRED, "admission: it is over already");
    if (!core->is_joined || !view_eq(admission, buf_view(&core->admission))) {
        if (!store_all(core, admission, sig, err))
            return err_wrap(err, "storing the admission");
        buf_free(&core->admission);
        buf_free(&core->admission_sig);
        core->admission = buf_dup(admission);
        core->admission_sig = buf_dup(sig);
    }
    snprintf(core->id, sizeof(core->id), "%.*s", VIEW_FMT(a->id));
    core->is_joined = true;
    core->must_enrol = false;
    mem_wipe(core->join.token,
             sizeof(core->join.token)); /* spent: the key is what counts from now on */
    core->join.has_token = false;
    if (!core->has_pending_rekey && !state_remove(core->state, STATE_REKEY, err))
        return err_wrap(err, "a key that is in use");
    if (!state_remove(core->state, STATE_JOINING, err))
        return err_wrap(err, "the token is still there");
    return true;
}

static void on_up(void *user)
{
    struct core *core = user;
    struct session *session;

    core->is_up = true;
    core->offline = (struct err){ 0 };
    core->has_answered = core->has_asked_time = false;
    told_up(core);
    for (size_t i = 0; i < CORE_STEPS; i++)
        core->steps[i].not_before = core->steps[i].failures = 0;
    if (!core->has_registered) {
        listen_register(core);
        rpc_client_subscribe(core->client, clock_mono_ms(), "den.heartbeat", true,
                             trust_on_heartbeat, core);
        rpc_client_subscribe(core->client, clock_mono_ms(), "den.ca.on_manifest", false,
                             follow_on_manifest, core);
        rpc_client_subscribe(core->client, clock_mono_ms(), "den.ca.on_revoke", false,
                             revoked_on_event, core);
        rpc_client_subscribe(core->client, clock_mono_ms(), "den.session.on_state", false,
                             session_on_state, core);
        rpc_client_subscribe(core->client, clock_mono_ms(), "network.peer.on_clone", false,
                             cloned_on_event, core);
        core->has_registered = true;
    }
    stun_ask(core);
    core_publish(core);
    core_event(core, PEER_EVENT_ONLINE);
    LIST_EACH(session, &core->sessions, node) {
        relayed_up(session);
        turned_soon(session); /* what waited for den */
    }
    core_settle(core);
}

/* Whether the admission that we carry may be the reason: outdated, or made with a key that den no longer uses. */
static bool blames_admission(enum err_code code)
{
    static const enum err_code codes[] = {
        ERR_EXPIRED,       ERR_STALE,         ERR_NOT_AUTHORIZED,
        ERR_BAD_SIGNATURE, ERR_BAD_STATEMENT, ERR_UNLISTED_KEY,
    };

    for (size_t i = 0; i < N_ELEMENTS(codes); i++) {
        if (codes[i] == code)
            return true;
    }
    return false;
}

static void on_down(void *user, const struct err *why)
{
    struct core *core = user;

    /* Enrolling anew with the same key gives the same ID; where that fails, the admission gets its turn again. */
    if (!core->is_up)
        core->must_enrol =
            !core->has_enrolled && core->admission.len && blames_admission(why->code);
    core->is_up = false;
    core_publish(core);
    listen_on_down(core, why);
    talk_on_down(core, why);
}

static void on_interrupt(void *user, uint64_t inv)
{
    listen_on_interrupt(user, inv);
    talk_on_interrupt(user, inv);
}

/* What trying again does not cure, before the first admission. Afterwards a stranger in between could cause most of these, and
 * must not be able to stop us for good. */
static bool is_final(const struct core *core, enum err_code code)
{
    static const enum err_code final_before[] = {
        ERR_BAD_PIN,        ERR_BAD_TOKEN,     ERR_NO_SUCH_REALM,
        ERR_UNLISTED_KEY,   ERR_BAD_SIGNATURE, ERR_BAD_STATEMENT,
        ERR_NOT_AUTHORIZED, ERR_REVOKED,       ERR_EXPOSED,
    };

    for (size_t i = 0; !core->is_joined && i < N_ELEMENTS(final_before); i++) {
        if (final_before[i] == code)
            return true;
    }
    return false;
}

/* So that it goes on where it was when this program is started again. */
static void keep_joining(const struct core *core)
{
    _buf_wipe_ text = { 0 };
    struct err ignored;

    if (core->is_joined)
        return;
    rpc_join_write(&core->join, &text);
    buf_put_u8(&text, '\n');
    state_write(core->state, STATE_JOINING, buf_view(&text), &ignored);
}

static void tell_waiting(struct core *core, const struct err *why, uint64_t pause_ms)
{
    struct hub_event *event = hub_event_new(PEER_EVENT_WAITING);
    char code[RPC_CODE];

    keep_joining(core);
    core->is_waiting = true;
    rpc_identity_code(rpc_trust_netid(core->trust), key_public_view(core->key), code);
    event->capability = mem_text(code); /* the event's `code` */
    event->event.code = event->capability;
    hub_error(why, &event->event.error);
    event->event.pause_ms = pause_ms;
    hub_put(core->hub, event);
}

/* What a router said, or what it showed, says more than that another of its addresses is not reached. */
static void keep_why(struct core *core, const struct err *why)
{
    bool says_little = why->code == ERR_NETWORK_FAILURE || why->code == ERR_CLOSED;
    bool said_more = core->offline.code != ERR_NONE && core->offline.code != ERR_NETWORK_FAILURE &&
                     core->offline.code != ERR_CLOSED;
    uint64_t now = clock_mono_ms();

    if (says_little && said_more && now - core->offline_at < OFFLINE_KEPT_MS)
        return;
    core->offline = *why;
    core->offline_at = now;
}

void join_tell_offline(struct core *core, const struct err *why, uint64_t pause_ms)
{
    struct hub_event *event = hub_event_new(PEER_EVENT_OFFLINE);

    hub_error(why, &event->event.error);
    event->event.pause_ms = pause_ms;
    hub_put(core->hub, event);
    lan_settle(core);
    if (!core->was_ready && lan_is_possible(core)) { /* to dial and to be dialled on this network */
        core->was_ready = true;
        core_event(core, PEER_EVENT_JOINED);
    }
}

static void on_retry(void *user, const struct err *why, uint64_t pause_ms)
{
    struct core *core = user;
    struct err ignored;

    if (core->has_failed)
        rekey_stop(core); /* or it is stopped already */
    if (core->is_closing || core->has_failed)
        return;
    keep_why(core, why);
    if (why->code == ERR_PENDING || (core->is_waiting && why->code == ERR_LIMIT)) {
        tell_waiting(core, why, pause_ms);
        return;
    }
    if (why->code == ERR_REVOKED && trial_begin(core) && !core->has_tried)
        return; /* trial.c says what comes of it */
    core->n_final = is_final(core, why->code) ? core->n_final + 1 : 0;
    if (core->n_final >= core->join.n_hosts) { /* not one of the routers would do */
        struct err err = *why;
        err_wrap(&err, "joining %s", core->join.network);
        state_remove(core->state, STATE_JOINING, &ignored);
        core_fail(core, &err);
        return;
    }

    join_tell_offline(core, why, pause_ms);
}

static void on_trust(void *user)
{
    trust_moved(user);
}

bool join_begin(struct core *core, struct err *err)
{
    _free_ char *name = mem_format("router.%s", core->join.network);
    struct rpc_uplink_config config = {
        .hosts = core->join.hosts,
        .n_hosts = core->join.n_hosts,
        .server_name = name,
        .judge = on_judge,
        .on_retry = on_retry,
        .client = { .agent = "libpeer/" WARREN_VERSION,
                    .key = core->key,
                    .trust = core->trust,
                    .credentials = on_credentials,
                    .admitted = on_admitted,
                    .on_up = on_up,
                    .on_down = on_down,
                    .on_trust = on_trust,
                    .on_fork = trust_on_fork,
                    .on_interrupt = on_interrupt,
                    .user = core },
    };

    memcpy(config.client.instance, core->instance, sizeof(config.client.instance));
    if (!rpc_ws_new(RPC_WS_GLIB, loop_native(core->loop), &core->ws, err))
        return false;
    rpc_ws_set_proxy(core->ws, &core->proxy);
    config.ws = core->ws;
    if (!rpc_uplink_new(&config, &core->uplink, err))
        return false;
    core->client = rpc_uplink_client(core->uplink);
    return true;
}

void join_end(struct core *core)
{
    struct session *session;

    LIST_EACH(session, &core->sessions, node)
        relayed_end(session); /* its connection goes with all others */
    core->is_up = false;
    if (core->client)
        talk_end_all(core);
    trial_end(core);
    core->client = NULL;
    rpc_uplink_free(core->uplink);
    core->uplink = NULL;
    rpc_ws_free(core->ws);
    core->ws = NULL;
}
