/* SPDX-License-Identifier: Apache-2.0 */
/* Relayed candidates (RFC 8656), of an agent whose paths all go through a TURN server. One server is asked over UDP first;
 * when that has brought nothing after a short while, all the others are, and those over TCP: so a machine takes one
 * allocation as a rule, and one whose network lets no UDP out does not wait long.
 *
 * From one local address a family: the one from which the kernel reaches the server. An allocation costs the server a
 * port, and from each interface one would be too much. */
#include "ice/agent.h"

#include <unistd.h>

enum {
    LATER_MS = 300,           /* without an answer the other servers are asked too */
    RESOLVE_MS = 1000,        /* names that take longer are done without */
    MAX_ADDRESSES = 4,        /* of one name */
    MAX_RELAYS = ICE_MAX_TURN /* what libnice takes (NICE_CANDIDATE_MAX_TURN_SERVERS) */
};

struct place { /* an address of a server */
    size_t server;
    NiceAddress address;
    bool is_tcp, was_asked;
};

struct lookup {
    struct agent_turn *turn; /* NULL: the agent is gone */
    size_t server;
    struct lookup *next;
};

struct agent_turn {
    struct ice_agent *agent;
    struct ice_turn config;
    GCancellable *cancellable;
    struct lookup *lookups; /* under way */
    struct place places[ICE_MAX_TURN * MAX_ADDRESSES];
    size_t n_places;
    GSource *timer; /* NULL: nothing is waited for */
    bool is_idle;   /* no question to a server is open */
    enum { TURN_RESOLVING, TURN_ASKING_ONE, TURN_ASKING_ALL } stage;
};

void ice_turn_wipe(struct ice_turn *turn)
{
    mem_wipe(turn, sizeof(*turn));
}

struct agent_turn *agent_turn_new(struct ice_agent *agent, const struct ice_turn *config)
{
    struct agent_turn *turn = mem_new(struct agent_turn);

    turn->agent = agent;
    turn->config = *config;
    turn->cancellable = g_cancellable_new();
    return turn;
}

void agent_turn_free(struct agent_turn *turn)
{
    if (!turn)
        return;
    for (struct lookup *at = turn->lookups; at; at = at->next)
        at->turn = NULL;
    g_cancellable_cancel(turn->cancellable);
    g_object_unref(turn->cancellable);
    source_drop(&turn->timer);
    ice_turn_wipe(&turn->config);
    free(turn);
}

static void set_timer(struct agent_turn *turn, guint ms, GSourceFunc function)
{
    source_drop(&turn->timer);
    turn->timer = g_timeout_source_new(ms);
    g_source_set_callback(turn->timer, function, turn, NULL);
    g_source_attach(turn->timer, turn->agent->context);
}

/* ---- asking -------------------------------------------------------------------------------- */

/* From where the kernel would reach it; false: not at all. */
static bool find_local(const NiceAddress *server, NiceAddress *ret_local)
{
    struct sockaddr_storage at = { 0 };
    socklen_t len = sizeof(at);
    socklen_t size;
    bool ok;
    int fd;

    nice_address_copy_to_sockaddr(server, (struct sockaddr *)&at);
    size = at.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    fd = socket(at.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    ok = connect(fd, (struct sockaddr *)&at, size) == 0 &&
         getsockname(fd, (struct sockaddr *)&at, &len) == 0;
    close(fd);
    if (!ok)
        return false;
    nice_address_init(ret_local);
    nice_address_set_from_sockaddr(ret_local, (struct sockaddr *)&at);
    nice_address_set_port(ret_local, 0);
    return true;
}

static void ask(struct agent_turn *turn, struct place *place)
{
    struct ice_agent *agent = turn->agent;
    char text[NICE_ADDRESS_STRING_LEN];

    place->was_asked = true;
    turn->is_idle = false;
    nice_address_to_string(&place->address, text);
    nice_agent_set_relay_info(agent->nice, agent->stream, AGENT_COMPONENT, text,
                              nice_address_get_port(&place->address), turn->config.username,
                              turn->config.password,
                              place->is_tcp ? NICE_RELAY_TYPE_TURN_TCP : NICE_RELAY_TYPE_TURN_UDP);
}

/* No more will come. */
static void settle(struct agent_turn *turn)
{
    struct ice_agent *agent = turn->agent;

    agent->is_gathered = true;
    if (agent->config.is_controlling && !ice_agent_has_relayed(agent))
        agent->state = ICE_FAILED; /* of ours nothing can be reached */
    else if (agent->state == ICE_GATHERING)
        agent->state = ICE_CONNECTING;
    agent_wake(agent);
}

static gboolean on_later(gpointer user)
{
    struct agent_turn *turn = user;
    size_t n = 0;

    source_drop(&turn->timer);
    if (turn->stage != TURN_ASKING_ONE)
        return G_SOURCE_REMOVE;
    turn->stage = TURN_ASKING_ALL;
    if (!ice_agent_has_relayed(turn->agent)) {
        for (size_t i = 0; i < turn->n_places; i++) {
            if (turn->places[i].was_asked || n == MAX_RELAYS - 1)
                continue;
            ask(turn, &turn->places[i]);
            n++;
        }
    }
    agent_tune_sockets(turn->agent);
    mem_wipe(turn->config.password, sizeof(turn->config.password));
    if (ice_agent_has_relayed(turn->agent) || turn->is_idle)
        settle(turn);
    return G_SOURCE_REMOVE;
}

/* libnice has heard from all that were asked, or has given them up. */
void agent_turn_gathered(struct agent_turn *turn)
{
    turn->is_idle = true;
    if (turn->stage == TURN_ASKING_ALL)
        settle(turn);
    else if (turn->stage == TURN_ASKING_ONE)
        set_timer(turn, 0, on_later);
}

/* Those that can be reached from here, in the order of the servers. */
static size_t take_places(struct agent_turn *turn, bool is_tcp, struct place *to)
{
    size_t n = 0;

    for (size_t server = 0; server < turn->config.n_servers; server++) {
        for (size_t i = 0; i < turn->n_places; i++) {
            const struct place *place = &turn->places[i];
            NiceAddress local;
            if (place->server != server || place->is_tcp != is_tcp ||
                !find_local(&place->address, &local))
                continue;
            nice_agent_add_local_address(turn->agent->nice, &local); /* once each */
            to[n++] = *place;
        }
    }
    return n;
}

static void sort_places(struct agent_turn *turn)
{
    struct place sorted[N_ELEMENTS(turn->places)];
    size_t n = take_places(turn, false, sorted);

    n += take_places(turn, true, sorted + n);
    memcpy(turn->places, sorted, n * sizeof(sorted[0]));
    turn->n_places = n;
}

static void begin(struct agent_turn *turn)
{
    struct ice_agent *agent = turn->agent;

    if (turn->stage != TURN_RESOLVING)
        return;
    source_drop(&turn->timer);
    turn->stage = TURN_ASKING_ONE;
    sort_places(turn);
    if (turn->n_places == 0 || !nice_agent_gather_candidates(agent->nice, agent->stream)) {
        turn->stage = TURN_ASKING_ALL;
        settle(turn);
        return;
    }
    agent_read_lines(agent);
    agent_tune_sockets(agent);
    agent_wake(agent);
    if (!turn->places[0].is_tcp)
        ask(turn, &turn->places[0]);
    set_timer(turn, turn->places[0].is_tcp ? 0 : LATER_MS, on_later);
}

/* ---- their addresses --------------------------------------------------------------------- */

static void add_place(struct agent_turn *turn, size_t server, const char *address)
{
    struct place place = { .server = server, .is_tcp = turn->config.servers[server].is_tcp };

    nice_address_init(&place.address);
    if (turn->n_places == N_ELEMENTS(turn->places) ||
        !nice_address_set_from_string(&place.address, address))
        return;
    nice_address_set_port(&place.address, turn->config.servers[server].port);
    turn->places[turn->n_places++] = place;
}

static void on_resolved(GObject *resolver, GAsyncResult *result, gpointer user)
{
    struct lookup *lookup = user, **at;
    struct agent_turn *turn = lookup->turn;
    GList *all = g_resolver_lookup_by_name_finish(G_RESOLVER(resolver), result, NULL);
    int n = 0;

    for (GList *one = all; turn && one && n < MAX_ADDRESSES; one = one->next, n++) {
        gchar *text = g_inet_address_to_string(one->data);
        if (turn->stage == TURN_RESOLVING)
            add_place(turn, lookup->server, text);
        g_free(text);
    }
    g_resolver_free_addresses(all);
    for (at = turn ? &turn->lookups : NULL; at && *at; at = &(*at)->next) {
        if (*at != lookup)
            continue;
        *at = lookup->next;
        break;
    }
    free(lookup);
    if (turn && !turn->lookups)
        begin(turn);
}

static void look_up(struct agent_turn *turn, size_t server)
{
    struct lookup *lookup = mem_new(struct lookup);
    GResolver *resolver = g_resolver_get_default();

    *lookup = (struct lookup){ .turn = turn, .server = server, .next = turn->lookups };
    turn->lookups = lookup;
    /* The answer comes to the thread's default context at the time of the call: make that ours. */
    g_main_context_push_thread_default(turn->agent->context);
    g_resolver_lookup_by_name_async(resolver, turn->config.servers[server].host, turn->cancellable,
                                    on_resolved, lookup);
    g_main_context_pop_thread_default(turn->agent->context);
    g_object_unref(resolver);
}

static gboolean on_resolved_late(gpointer user)
{
    begin(user);
    return G_SOURCE_REMOVE;
}

void agent_turn_gather(struct agent_turn *turn)
{
    for (size_t i = 0; i < turn->config.n_servers; i++) {
        const char *host = turn->config.servers[i].host;
        if (g_hostname_is_ip_address(host))
            add_place(turn, i, host);
        else
            look_up(turn, i);
    }
    if (!turn->lookups)
        begin(turn);
    else
        set_timer(turn, RESOLVE_MS, on_resolved_late);
}
