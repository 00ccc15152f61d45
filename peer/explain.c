/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/explain.h"

#include "peer/errand.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    ANSWER_MS = 3000,
    NAT_MS = 3000,
    LOOK_MS = 50,
    AGAIN_MS = 5000,
    FRESH_MS = 60000,
    MOST_TOLD = 24
};

struct explain {
    struct session *session;
    struct ice_pairs *pairs;
    bool is_asking;
    uint8_t key[ICE_PAIRS_KEY];
    struct loop_timer *timer; /* who asks: looks whether all is there */
    uint64_t began_at;
    bool is_gathered, is_answered, is_tried, tells_nothing; /* the other end named no address */
};

static bool goes_direct(const struct session *session)
{
    return session->policy == PEER_PATH_AUTO || session->policy == PEER_PATH_DIRECT;
}

void explain_end(struct session *session)
{
    struct explain *explain = STEAL(session->explain);

    if (!explain)
        return;
    ice_pairs_free(explain->pairs);
    loop_timer_free(explain->timer);
    mem_wipe(explain, sizeof(*explain));
    free(explain);
}

/* ---- the two ends of a trial ---- */

static void send_pairs(struct explain *explain)
{
    struct session *session = explain->session;
    char local[ICE_PAIRS_REMOTE][80];
    uint32_t n = 0;
    _buf_ map = { 0 };

    while (explain->pairs && n < ICE_PAIRS_REMOTE && ice_pairs_local(explain->pairs, n, local[n]))
        n++;
    rpc_put_map(&map, 1);
    rpc_put_str(&map, "pairs");
    rpc_put_map(&map, 3);
    rpc_put_str(&map, "key");
    rpc_put_bin(&map, VIEW_ARR(explain->key));
    rpc_put_str(&map, "ask");
    rpc_put_bool(&map, explain->is_asking);
    rpc_put_str(&map, "to");
    rpc_put_array(&map, n);
    for (uint32_t i = 0; i < n; i++)
        rpc_put_str(&map, local[i]);
    if (session->state != SESSION_UP || !session->link)
        return;
    link_send_report(session->link, clock_mono_ns(), buf_view(&map));
    session_pump(session);
}

static void on_gathered(void *user)
{
    struct explain *explain = user;

    explain->is_gathered = true;
    send_pairs(explain);
    if (!explain->is_asking)
        ice_pairs_start(explain->pairs);
}

static void on_done(void *user)
{
    struct explain *explain = user;

    explain->is_tried = true;
    if (!explain->is_asking)
        explain_end(explain->session);
}

static void begin(struct explain *explain)
{
    struct session *session = explain->session;
    struct core *core = session->core;
    struct ice_pairs_config config = {
        .context = loop_context(core->loop),
        .is_asking = explain->is_asking,
        .allow_loopback = core->allow_loopback,
        .stun = core->stun.host,
        .stun_port = core->stun.port,
        .on_gathered = on_gathered,
        .on_done = on_done,
        .user = explain,
    };

    memcpy(config.key, explain->key, sizeof(config.key));
    if (goes_direct(session))
        explain->pairs = ice_pairs_new(&config);
}

static struct explain *explain_new(struct session *session, bool is_asking)
{
    struct explain *explain = mem_new(struct explain);

    explain->session = session;
    explain->is_asking = is_asking;
    explain->began_at = session->explained_at = clock_mono_ms();
    session->explain = explain;
    return explain;
}

static size_t add_remotes(struct explain *explain, struct view list)
{
    struct rpc_fields f;
    size_t n = 0;

    rpc_fields_open(&f, list);
    for (size_t i = 0; i < ICE_PAIRS_REMOTE && rpc_fields_more(&f); i++)
        n += explain->pairs &&
             ice_pairs_add_remote(explain->pairs, rpc_fields_text(&f, "address", 79));
    return n;
}

/* The other end wants a trial. Who asked for one itself, and is asked, goes on with its own. */
static void take_wish(struct session *session, struct view key, struct view list)
{
    struct explain *explain;

    if (session->explain ||
        (session->explained_at && clock_mono_ms() - session->explained_at < AGAIN_MS) ||
        !loop_has_descriptors())
        return;
    explain = explain_new(session, false);
    memcpy(explain->key, key.data, sizeof(explain->key));
    begin(explain);
    if (!explain->pairs) {
        send_pairs(explain); /* none */
        explain_end(session);
        return;
    }
    add_remotes(explain, list);
}

void explain_take(struct session *session, struct view map)
{
    struct explain *explain = session->explain;
    struct view key, list;

    if (!rpc_map_bin(map, "key", &key) || key.len != ICE_PAIRS_KEY ||
        !rpc_map_get(map, "to", &list) || rpc_value_kind(list) != RPC_ARRAY)
        return;
    if (rpc_map_bool(map, "ask")) {
        take_wish(session, key, list);
        return;
    }
    if (!explain || !explain->is_asking || explain->is_answered ||
        !view_eq_secret(key, VIEW_ARR(explain->key)))
        return;
    explain->is_answered = true;
    explain->tells_nothing = add_remotes(explain, list) == 0;
    if (explain->pairs)
        ice_pairs_start(explain->pairs);
}

/* ---- what is told ---- */

static void tell(const struct explain *explain, const struct finding *f)
{
    finding_tell(f, explain->session->core->hub, explain->session->handle);
}

static void tell_session(const struct explain *explain)
{
    const struct session *session = explain->session;
    struct path_facts path = { 0 };
    struct link_facts link = { 0 };
    struct finding f;
    struct why why;

    path_facts(session->path, &path);
    link_facts(session->link, &link);
    report_why(session, &why);
    finding_begin(&f, path.kind == PATH_DIRECT || why.remedy[0] == '\0' ? PEER_GOOD : PEER_BAD,
                  "path", "%s, %s %s to %s %s, round trip %" PRIu64 ".%" PRIu64 " ms; %s",
                  path_kind_name(path.kind), path.local, path.local_type, path.remote,
                  path.remote_type, link.least_rtt_ns / 1000000, link.least_rtt_ns / 100000 % 10,
                  why.text);
    finding_remedy(&f, why.remedy);
    finding_fact(&f, "kind", "%s", path_kind_name(path.kind));
    finding_fact(&f, "why", "%s", why.code);
    finding_fact(&f, "local", "%s %s", path.local, path.local_type);
    finding_fact(&f, "remote", "%s %s", path.remote, path.remote_type);
    finding_ms(&f, "rtt_ms", link.least_rtt_ns / 1000);
    tell(explain, &f);
}

static void tell_mtu(const struct explain *explain)
{
    const struct session *session = explain->session;
    size_t packet = session->path ? path_packet(session->path) : 0,
           datagram = link_datagram_max(session->link);
    struct path_facts path = { .kind = PATH_KINDS };
    bool has_path = session->path && path_facts(session->path, &path),
         is_narrow = has_path && path.kind != PATH_DIRECT &&
                     (session->report.is_narrow || session->report.theirs.is_narrow);
    struct finding f;

    finding_begin(&f, is_narrow ? PEER_BAD : PEER_GOOD, "mtu",
                  "%s path: packets of %zu bytes, datagrams of %zu in them%s",
                  path_kind_name(path.kind), packet, datagram,
                  is_narrow ? "; the direct one does not even take 1200" : "");
    if (is_narrow)
        finding_remedy(&f, "an MTU of 1280 bytes or more on all of the way between the two");
    finding_fact(&f, "packet_max", "%zu", packet);
    finding_fact(&f, "datagram_max", "%zu", datagram);
    tell(explain, &f);
}

static void tell_end(const struct explain *explain, const struct why_end *end, const char *subject,
                     const char *whose)
{
    static const char *const families[] = { "IPv4", "IPv6" };
    struct finding f;

    for (size_t i = 0; i < 2; i++) {
        const struct ice_nat *nat = &end->nat[i];
        bool is_hard = nat->mapping == ICE_MAPPING_PORT || nat->mapping == ICE_MAPPING_ADDRESS;
        if (!end->has[i])
            continue;
        finding_begin(&f, nat->udp == ICE_UDP_BLOCKED || is_hard ? PEER_BAD : PEER_GOOD, subject,
                      "%s, %s: %s", whose, families[i], ice_nat_name(nat));
        if (f.it.verdict == PEER_BAD)
            finding_remedy(
                &f, is_hard
                        ? "a NAT that keeps one mapping for all destinations, one that gives ports "
                          "(switch on its PCP or NAT-PMP), or IPv6"
                        : "let UDP out");
        finding_fact(&f, "family", "%s", families[i]);
        finding_fact(&f, "name", "%s", ice_nat_name(nat));
        finding_fact(&f, "udp", "%s", ice_udp_name(nat->udp));
        finding_fact(&f, "mapping", "%s", ice_mapping_name(nat->mapping));
        finding_fact(&f, "filtering", "%s", ice_filtering_name(nat->filtering));
        finding_fact(&f, "proxy", "%s", end->has_proxy ? "yes" : "no");
        tell(explain, &f);
    }
    if (end->has[0] || end->has[1])
        return;
    finding_begin(&f, PEER_NOTE, subject, "%s: nothing is known of UDP and NAT", whose);
    tell(explain, &f);
}

static void tell_pair(const struct explain *explain, const struct ice_pair *pair)
{
    struct finding f;

    finding_begin(&f, pair->has_answered ? PEER_GOOD : PEER_NOTE, "pair",
                  "%s %s - %s %s: ", pair->local, ice_kind_name(pair->local_kind), pair->remote,
                  ice_kind_name(pair->remote_kind));
    size_t len = strlen(f.it.text);
    if (pair->has_answered)
        snprintf(f.it.text + len, sizeof(f.it.text) - len, "answers in %" PRIu64 ".%" PRIu64 " ms",
                 pair->rtt_us / 1000, pair->rtt_us % 1000 / 100);
    else
        snprintf(f.it.text + len, sizeof(f.it.text) - len, "%s",
                 pair->was_heard ? "heard from there, but no answer comes back" : "no answer");
    finding_fact(&f, "local", "%s", pair->local);
    finding_fact(&f, "local_type", "%s", ice_kind_name(pair->local_kind));
    finding_fact(&f, "remote", "%s", pair->remote);
    finding_fact(&f, "remote_type", "%s", ice_kind_name(pair->remote_kind));
    finding_fact(&f, "result", "%s",
                 pair->has_answered ? "answered"
                 : pair->was_heard  ? "heard"
                                    : "none");
    if (pair->has_answered)
        finding_ms(&f, "rtt_ms", pair->rtt_us);
    tell(explain, &f);
}

static const char *why_no_pair(const struct explain *explain)
{
    struct ice_pair any;

    if (!explain->pairs)
        return "this end takes no direct path";
    if (!explain->is_answered)
        return "the other end did not answer";
    if (explain->tells_nothing)
        return "the other end tells nobody its addresses";
    return ice_pairs_result(explain->pairs, 0, &any)
               ? NULL
               : "the two ends have no kind of address in common";
}

static void tell_pairs(const struct explain *explain)
{
    const char *why = why_no_pair(explain);
    struct ice_pair pair;
    struct finding f;

    if (why) {
        finding_begin(&f, PEER_NOTE, "pair", "no pair was tried: %s", why);
        tell(explain, &f);
        return;
    }
    for (size_t i = 0; i < MOST_TOLD && ice_pairs_result(explain->pairs, i, &pair); i++)
        tell_pair(explain, &pair);
}

static void tell_carrier(const struct explain *explain, enum path_kind kind, const char *subject,
                         const char *what, bool is_wanted)
{
    bool has = path_has_carrier(explain->session->path, kind);
    struct finding f;

    finding_begin(&f, has ? PEER_GOOD : PEER_NOTE, subject, "%s %s", what,
                  has         ? "is up, and stands by when it is not used"
                  : is_wanted ? "is not up"
                              : "is not used in this session");
    finding_fact(&f, "up", "%s", has ? "yes" : "no");
    tell(explain, &f);
}

static void finish(struct explain *explain)
{
    struct session *session = explain->session;
    struct hub_event *event = hub_event_new(PEER_EVENT_EXAMINED);
    struct why_end own;

    report_own(session, &own);
    tell_session(explain);
    tell_end(explain, &own, "nat_here", "this end");
    tell_end(explain, &session->report.theirs, "nat_there", "the other end, as it says itself");
    tell_pairs(explain);
    tell_carrier(explain, PATH_RELAY, "relay", "the router's relay", session->relay != NULL);
    tell_carrier(explain, PATH_TURN, "turn", "TURN", session->turned != NULL);
    tell_mtu(explain);
    event->event.link = peer_link_ref(session->handle);
    hub_put(session->core->hub, event);
    explain_end(session);
}

static void on_timer(void *user)
{
    struct explain *explain = user;
    struct session *session = explain->session;
    uint64_t passed = clock_mono_ms() - explain->began_at;
    bool knows_all =
        passed > NAT_MS || (!nat_is_looking(session->core) &&
                            (session->report.theirs.has[0] || session->report.theirs.has[1]));
    bool is_tried =
        explain->is_tried || !explain->pairs || (!explain->is_answered && passed > ANSWER_MS);

    if (session->state != SESSION_UP) {
        explain_end(session); /* LINK_DOWN says the rest */
        return;
    }
    if (is_tried && knows_all) {
        finish(explain);
        return;
    }
    loop_timer_in(explain->timer, LOOK_MS);
}

void explain_start(struct session *session)
{
    struct core *core = session->core;
    struct explain *explain;

    if (session->explain && session->explain->is_asking)
        return;
    explain_end(session);
    explain = explain_new(session, true);
    random_bytes(explain->key, sizeof(explain->key));
    explain->timer = loop_timer_new(core->loop, on_timer, explain);
    loop_timer_in(explain->timer, LOOK_MS);
    if (!core->nat.found_at || clock_mono_ms() - core->nat.found_at > FRESH_MS)
        nat_look(core);
    begin(explain);
}

static void errand_explain(struct errand *errand)
{
    struct session *session = errand->link->session;

    if (session && session->state == SESSION_UP)
        explain_start(session);
}

bool peer_link_examine(struct peer_link *link, struct peer_error *ret_error)
{
    return errand_send_up(link, errand_explain, ret_error);
}
