/* SPDX-License-Identifier: Apache-2.0 */
/* An agent's life, and what it is told, on libnice. See agent.h for how its events come out. */
#include "ice/agent.h"
#include "ice/portmap.h"

#include <gio/gio.h>
#include <nice/interfaces.h>
#include <signal.h>

enum {
    MAX_LOCAL_ADDRESSES = 16,
    PACE_MS = 5, /* between two checks: the least of RFC 8445, 14.2 */
    TURNS_TO_ASK = 3
};

static unsigned n_closing; /* touched from several contexts: atomically */

unsigned ice_n_closing(void)
{
    return __atomic_load_n(&n_closing, __ATOMIC_ACQUIRE);
}

static void *begin(_unused_ void *none)
{
    struct sigaction before;

    sigaction(SIGPIPE, NULL, &before);
    g_type_class_unref(g_type_class_ref(G_TYPE_SOCKET));
    sigaction(SIGPIPE, &before, NULL);
    return NULL;
}

void ice_begin(void)
{
    static GOnce once = G_ONCE_INIT;

    g_once(&once, begin, NULL);
}

/* ---- the wake source ---- */

void agent_wake(struct ice_agent *agent)
{
    g_source_set_ready_time(agent->wake, 0);
}

static void report_state(struct ice_agent *agent)
{
    if (agent->is_closed || agent->reported == agent->state)
        return;
    agent->reported = agent->state;
    if (agent->events.on_state)
        agent->events.on_state(agent->config.user, agent->state);
}

static void report_candidates(struct ice_agent *agent)
{
    while (!agent->is_closed && agent->is_described && agent->n_told < agent->n_lines) {
        const char *line = agent->lines[agent->n_told++];

        if (agent->events.on_candidate)
            agent->events.on_candidate(agent->config.user, line);
    }
}

static void report_gathered(struct ice_agent *agent)
{
    if (agent->is_closed || !agent->is_gathered || agent->is_gathered_reported)
        return;
    agent->is_gathered_reported = true;
    if (agent->events.on_gathered)
        agent->events.on_gathered(agent->config.user);
}

/* Before READY is told: what is sent from then on goes the quick way. */
static void follow_pair(struct ice_agent *agent)
{
    if (agent->is_closed || (!agent->is_pair_new && agent->reported == agent->state))
        return;
    agent->is_pair_new = false;
    agent_socket_follow(agent);
}

static void agent_dispose(struct ice_agent *agent)
{
    for (size_t i = 0; i < agent->n_lines; i++)
        free(agent->lines[i]);
    agent_turn_free(agent->turn);
    ice_description_deinit(&agent->theirs);
    g_source_destroy(agent->wake);
    g_source_unref(agent->wake);
    g_main_context_unref(agent->context);
    free(agent->batch);
    free(agent);
    __atomic_sub_fetch(&n_closing, 1, __ATOMIC_RELEASE);
}

static void on_closed(GObject *nice, GAsyncResult *result, gpointer user)
{
    (void)result;
    g_object_unref(nice);
    agent_dispose(user);
}

/* Dropping an agent without closing it first leaks descriptors of relayed candidates (libnice
 * 0.1.21). The result comes to the thread's default context at the time of the call: make that
 * ours. */
static void start_closing(struct ice_agent *agent)
{
    agent->is_closing = true;
    agent_stop_waiting(agent);
    agent_socket_free(STEAL(agent->socket));
    agent_turn_free(STEAL(agent->turn));
    ice_portmap_free(STEAL(agent->portmap));
    g_signal_handlers_disconnect_by_data(agent->nice, agent);
    nice_agent_attach_recv(agent->nice, agent->stream, AGENT_COMPONENT, agent->context, NULL, NULL);
    g_main_context_push_thread_default(agent->context);
    nice_agent_close_async(agent->nice, on_closed, agent);
    g_main_context_pop_thread_default(agent->context);
}

/* libnice 0.1.21 has the STUN server's address read in two turns of the loop, and forgets what it holds for that when it is closed before. */
static bool is_asking(struct ice_agent *agent)
{
    return !agent->is_gathered && agent->n_turns++ < TURNS_TO_ASK;
}

static void close_or_wait(struct ice_agent *agent)
{
    if (is_asking(agent))
        agent_wake(agent);
    else
        start_closing(agent);
}

static gboolean on_wake(GSource *source, GSourceFunc callback, gpointer user)
{
    struct ice_agent *agent = *(struct ice_agent **)(source + 1);

    (void)callback;
    (void)user;
    g_source_set_ready_time(source, -1);
    follow_pair(agent);
    report_state(agent);
    agent_hand_over(agent);
    report_candidates(agent);
    report_gathered(agent);
    if (agent->is_closed && !agent->is_closing)
        close_or_wait(agent);
    return G_SOURCE_CONTINUE;
}

static GSource *wake_new(struct ice_agent *agent)
{
    static GSourceFuncs functions = { .dispatch = on_wake };
    GSource *source = g_source_new(&functions, sizeof(GSource) + sizeof(struct ice_agent *));

    *(struct ice_agent **)(source + 1) = agent;
    g_source_set_static_name(source, "ice agent");
    g_source_attach(source, agent->context);
    return source;
}

/* ---- life ---- */

static bool open_stream(struct ice_agent *agent, struct err *err)
{
    agent->nice =
        nice_agent_new_full(agent->context, NICE_COMPATIBILITY_RFC5245,
                            NICE_AGENT_OPTION_ICE_TRICKLE | NICE_AGENT_OPTION_CONSENT_FRESHNESS);
    g_object_set(agent->nice, "controlling-mode", (gboolean)agent->config.is_controlling, "ice-tcp",
                 FALSE, "stun-pacing-timer", (guint)PACE_MS, "upnp", FALSE, "force-relay",
                 (gboolean)(agent->turn && agent->config.is_controlling), NULL);
    if (agent->config.stun && agent->config.stun[0])
        g_object_set(agent->nice, "stun-server", agent->config.stun, "stun-server-port",
                     (guint)agent->config.stun_port, NULL);
    agent->config.stun = NULL; /* it is the caller's */
    agent->stream = nice_agent_add_stream(agent->nice, AGENT_COMPONENT);
    if (agent->stream == 0)
        return err_set(err, ERR_SYSTEM, "libnice made no stream");
    agent_connect_signals(agent);
    agent_attach_recv(agent);
    return true;
}

bool ice_agent_new(const struct ice_config *config, struct ice_agent **ret_agent, struct err *err)
{
    _cleanup_(ice_agent_freep) struct ice_agent *agent = mem_new(struct ice_agent);

    __atomic_add_fetch(&n_closing, 1, __ATOMIC_ACQ_REL); /* until it is known to live */
    agent->config = *config;
    if (config->events)
        agent->events = *config->events;
    agent->batch = mem_new(struct agent_batch);
    agent->context = config->context ? g_main_context_ref(config->context)
                                     : g_main_context_ref(g_main_context_default());
    agent->wake = wake_new(agent);
    if (config->turn)
        agent->turn = agent_turn_new(agent, config->turn);
    agent->config.turn = NULL; /* the caller's */
    if (!open_stream(agent, err))
        return false;
    __atomic_sub_fetch(&n_closing, 1, __ATOMIC_ACQ_REL);
    *ret_agent = STEAL(agent);
    return true;
}

void ice_agent_free(struct ice_agent *agent)
{
    if (!agent || agent->is_closed)
        return;
    agent->is_closed = true;
    __atomic_add_fetch(&n_closing, 1, __ATOMIC_ACQ_REL);
    agent_wake(agent);
}

/* ---- our half ---- */

static bool is_link_local(const char *address)
{
    return g_ascii_strncasecmp(address, "fe8", 3) == 0 ||
           g_ascii_strncasecmp(address, "fe9", 3) == 0 ||
           g_ascii_strncasecmp(address, "fea", 3) == 0 ||
           g_ascii_strncasecmp(address, "feb", 3) == 0;
}

/* Names the addresses ourselves: libnice would take loopback only where there is nothing else. */
static size_t add_local_addresses(struct ice_agent *agent)
{
    GList *all = nice_interfaces_get_local_ips(agent->config.allow_loopback);
    size_t n = 0;

    for (GList *at = all; at && n < MAX_LOCAL_ADDRESSES; at = at->next) {
        NiceAddress *address = nice_address_new();

        if (!is_link_local(at->data) && nice_address_set_from_string(address, at->data))
            n += nice_agent_add_local_address(agent->nice, address) ? 1 : 0;
        nice_address_free(address);
    }
    g_list_free_full(all, g_free);
    return n;
}

bool ice_agent_gather(struct ice_agent *agent, struct err *err)
{
    if (agent->turn) {
        agent_turn_gather(agent->turn);
        return true;
    }
    if (add_local_addresses(agent) == 0)
        return err_set(err, ERR_NO_PATH, "this machine has no usable address");
    if (!nice_agent_gather_candidates(agent->nice, agent->stream))
        return err_set(err, ERR_NO_PATH, "libnice gathered no candidate");
    agent_read_lines(agent);
    agent_tune_sockets(agent);
    if (agent->config.maps_ports)
        agent_portmap_begin(agent);
    return true;
}

bool ice_agent_is_gathered(const struct ice_agent *agent)
{
    return agent->is_gathered;
}

void ice_agent_take(struct ice_agent *agent, const struct ice_config *config)
{
    agent->config.user = config->user;
    if (config->events)
        agent->events = *config->events;
    if (config->maps_ports)
        agent_portmap_begin(agent);
}

void ice_agent_describe(struct ice_agent *agent, struct ice_description *ret)
{
    struct ice_description d = { 0 };
    gchar *ufrag = NULL, *pwd = NULL;
    size_t size;

    nice_agent_get_local_credentials(agent->nice, agent->stream, &ufrag, &pwd);
    d.ufrag = mem_text(ufrag ? ufrag : "");
    d.pwd = mem_text(pwd ? pwd : "");
    g_free(ufrag);
    g_free(pwd);

    size = strlen("ice-ufrag:\nice-pwd:\nend-of-candidates\n") + strlen(d.ufrag) + strlen(d.pwd);
    agent->n_told = 0;
    while (agent->n_told < agent->n_lines && agent->n_told < ICE_MAX_CANDIDATES &&
           (size += strlen(agent->lines[agent->n_told]) + 1) <= ICE_MAX_OFFER)
        d.candidates[d.n_candidates++] = mem_text(agent->lines[agent->n_told++]);
    d.is_complete = agent->is_gathered && agent->n_told == agent->n_lines;
    agent->is_described = true;
    agent_wake(agent);
    *ret = d;
}

bool ice_agent_has_relayed(const struct ice_agent *agent)
{
    for (size_t i = 0; i < agent->n_lines; i++)
        if (strstr(agent->lines[i], " typ relay"))
            return true;
    return false;
}

/* ---- their half ---- */

static NiceCandidate *candidate_for_nice(const struct ice_agent *agent, const struct candidate *c)
{
    static const NiceCandidateType types[] = {
        [ICE_HOST] = NICE_CANDIDATE_TYPE_HOST,
        [ICE_SRFLX] = NICE_CANDIDATE_TYPE_SERVER_REFLEXIVE,
        [ICE_PRFLX] = NICE_CANDIDATE_TYPE_PEER_REFLEXIVE,
        [ICE_RELAY] = NICE_CANDIDATE_TYPE_RELAYED,
    };
    NiceCandidate *to = nice_candidate_new(types[c->kind]);

    to->transport = NICE_CANDIDATE_TRANSPORT_UDP;
    to->priority = c->priority;
    to->stream_id = agent->stream;
    to->component_id = AGENT_COMPONENT;
    snprintf(to->foundation, sizeof(to->foundation), "%s", c->foundation);
    nice_address_set_from_string(&to->addr, c->address);
    nice_address_set_port(&to->addr, c->port);
    to->base_addr = to->addr;
    if (c->base_address[0]) {
        nice_address_set_from_string(&to->base_addr, c->base_address);
        nice_address_set_port(&to->base_addr, c->base_port);
    }
    return to;
}

static bool give_candidate(struct ice_agent *agent, struct view line, struct err *err)
{
    struct candidate c;
    GSList *one;

    if (!candidate_read(line, &c, err))
        return false;
    if (c.is_loopback && !agent->config.allow_loopback)
        return true; /* skipped: theirs allows it, ours does not */
    if (agent->turn && !agent->config.is_controlling && c.kind != ICE_RELAY)
        return true; /* would make a direct path */
    one = g_slist_prepend(NULL, candidate_for_nice(agent, &c));
    nice_agent_set_remote_candidates(agent->nice, agent->stream, AGENT_COMPONENT, one);
    g_slist_free_full(one, (GDestroyNotify)nice_candidate_free);
    return true;
}

static void keep_line(struct ice_agent *agent, struct view line)
{
    struct ice_description *d = &agent->theirs;

    if (d->n_candidates < ICE_MAX_CANDIDATES)
        d->candidates[d->n_candidates++] = view_dup_text(line);
}

static void keep_theirs(struct ice_agent *agent, const struct ice_description *theirs)
{
    ice_description_deinit(&agent->theirs);
    agent->theirs.ufrag = mem_text(theirs->ufrag);
    agent->theirs.pwd = mem_text(theirs->pwd);
    for (size_t i = 0; i < theirs->n_candidates; i++)
        keep_line(agent, view_text(theirs->candidates[i]));
}

/* libnice forgets both ends' credentials in a restart, and keeps the sockets. */
bool ice_agent_check_again(struct ice_agent *agent)
{
    const struct ice_description *theirs = &agent->theirs;
    gchar *ufrag = NULL, *pwd = NULL;
    struct err ignored;
    bool ok;

    if (!theirs->ufrag || agent->turn || agent->is_closed ||
        !nice_agent_get_local_credentials(agent->nice, agent->stream, &ufrag, &pwd))
        return false;
    ok = nice_agent_restart_stream(agent->nice, agent->stream) &&
         nice_agent_set_local_credentials(agent->nice, agent->stream, ufrag, pwd) &&
         nice_agent_set_remote_credentials(agent->nice, agent->stream, theirs->ufrag, theirs->pwd);
    g_free(ufrag);
    g_free(pwd);
    for (size_t i = 0; ok && i < theirs->n_candidates; i++)
        give_candidate(agent, view_text(theirs->candidates[i]), &ignored);
    if (ok)
        ice_agent_end_remote(agent);
    return ok;
}

bool ice_agent_set_remote(struct ice_agent *agent, const struct ice_description *theirs,
                          struct err *err)
{
    if (!nice_agent_set_remote_credentials(agent->nice, agent->stream, theirs->ufrag, theirs->pwd))
        return err_set(err, ERR_BAD_WIRE, "ICE: the other side's credentials are not usable");
    keep_theirs(agent, theirs);
    for (size_t i = 0; i < theirs->n_candidates; i++)
        if (!give_candidate(agent, view_text(theirs->candidates[i]), err))
            return err_wrap(err, "ICE");
    if (theirs->is_complete)
        ice_agent_end_remote(agent);
    return true;
}

bool ice_agent_add_remote(struct ice_agent *agent, struct view candidate_line, struct err *err)
{
    if (agent->n_remote_later == ICE_MAX_LATER)
        return err_set(err, ERR_TOO_LARGE, "ICE: more than %d later candidates", ICE_MAX_LATER);
    if (!give_candidate(agent, candidate_line, err))
        return err_wrap(err, "ICE");
    agent->n_remote_later++;
    keep_line(agent, candidate_line);
    return true;
}

/* Where no pair was made and all was gathered before, no timer of libnice's runs that would say so. */
void ice_agent_end_remote(struct ice_agent *agent)
{
    NiceComponentState state;

    nice_agent_peer_candidate_gathering_done(agent->nice, agent->stream);
    state = nice_agent_get_component_state(agent->nice, agent->stream, AGENT_COMPONENT);
    if (!agent->is_gathered ||
        (state != NICE_COMPONENT_STATE_DISCONNECTED && state != NICE_COMPONENT_STATE_GATHERING))
        return;
    agent->state = ICE_FAILED;
    agent_wake(agent);
}

/* ---- what it came to ---- */

enum ice_state ice_agent_state(const struct ice_agent *agent)
{
    return agent->state;
}

bool ice_agent_path(const struct ice_agent *agent, struct ice_path *ret_path)
{
    NiceCandidate *local = NULL, *remote = NULL;
    struct ice_path path = { 0 };

    if (agent->is_closed || agent->state != ICE_READY ||
        !nice_agent_get_selected_pair(agent->nice, agent->stream, AGENT_COMPONENT, &local, &remote))
        return false;
    agent_address(&local->addr, path.local);
    agent_address(&remote->addr, path.remote);
    path.local_kind = agent_kind(local);
    path.remote_kind = agent_kind(remote);
    *ret_path = path;
    return true;
}
