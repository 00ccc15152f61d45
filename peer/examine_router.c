/* SPDX-License-Identifier: Apache-2.0 */
/* What the connection to the router shows: who it is, what time den signs, what this machine's certificate is worth; and whether
 * the router relays. */
#include "peer/examine.h"

#include <inttypes.h>
#include <stdio.h>

enum { RELAY_MS = 4000, LITTLE_SKEW_MS = 60000 };

static const char *duration(uint64_t ms, char to[32])
{
    uint64_t minutes = ms / MINUTE_MS;

    if (minutes >= 2 * 24 * 60)
        snprintf(to, 32, "%" PRIu64 " days", minutes / (24 * 60));
    else if (minutes >= 120)
        snprintf(to, 32, "%" PRIu64 " hours", minutes / 60);
    else
        snprintf(to, 32, "%" PRIu64 " minutes", minutes);
    return to;
}

/* ---- the router ---- */

void examine_offline(struct examine *examine)
{
    const struct core *core = examine->core;
    const struct err *why = &core->offline;
    bool is_clock = why->code == ERR_CLOCK_SKEW;
    struct finding f;

    if (why->code == ERR_NONE)
        finding_begin(&f, PEER_BAD, "router", "no connection to the router in time");
    else
        finding_begin(&f, PEER_BAD, is_clock ? "clock" : "router", "%s", why->text);
    finding_remedy(&f, why->code == ERR_NONE
                           ? "try again; if it repeats, ask the operator whether the router runs"
                           : err_remedy(why));
    finding_fact(&f, "error", "%s", err_code_name(why->code));
    beside_tell(core, &f);
}

static void tell_router(const struct core *core)
{
    const struct rpc_join_host *host = rpc_uplink_host(core->uplink);
    struct finding f;

    finding_begin(&f, PEER_GOOD, "router",
                  "connected to %.120s:%u over TLS 1.3; its certificate is verified as "
                  "router.%.100s, and its key "
                  "is in the manifest",
                  host->host, host->port, core->join.network);
    finding_fact(&f, "host", "%.95s:%u", host->host, host->port);
    finding_fact(&f, "network", "%.100s", core->join.network);
    beside_tell(core, &f);
}

static void tell_den(const struct core *core)
{
    uint64_t age = rpc_trust_heartbeat_age(core->trust, clock_mono_ms());
    struct err why = { 0 };
    struct finding f;

    if (!trust_is_fresh(core, &why)) {
        finding_begin(&f, PEER_BAD, "den", "%s", why.text);
        finding_remedy(&f, err_remedy(&why));
    } else {
        finding_begin(&f, PEER_GOOD, "den", "its newest heartbeat is %" PRIu64 " s old",
                      age / SECOND_MS);
    }
    finding_fact(&f, "heartbeat_age_ms", "%" PRIu64, age == UINT64_MAX ? 0 : age);
    beside_tell(core, &f);
}

/* ---- the clock ---- */

/* What den signed before it went away is old, by any clock; but no clock that is right is behind it. */
static void tell_unsure_clock(const struct core *core, uint64_t wall, struct finding *f)
{
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(core->trust);
    char at[CLOCK_TEXT], here[CLOCK_TEXT];
    struct err why = { 0 };

    if (!heart) {
        finding_begin(f, PEER_NOTE, "clock", "not known: den has not told the time yet");
    } else if (wall < heart->time && rpc_trust_clock_is_wrong(wall, heart->time, &why)) {
        finding_begin(f, PEER_BAD, "clock",
                      "this machine has %s, and den signed %s before it went away",
                      clock_text(wall, here), clock_text(heart->time, at));
        finding_remedy(f, "set this machine's clock, best by NTP");
    } else {
        finding_begin(f, PEER_NOTE, "clock",
                      "not known: no signed time since %s, for den does not answer",
                      clock_text(heart->time, at));
    }
    if (heart)
        finding_fact(f, "signed", "%s", clock_text(heart->time, at));
}

static void tell_sure_clock(const struct core *core, uint64_t wall, struct finding *f)
{
    uint64_t network = core_now(core);
    int64_t ahead = (int64_t)(wall - network);
    uint64_t apart = (uint64_t)(ahead < 0 ? -ahead : ahead);
    char here[CLOCK_TEXT], there[CLOCK_TEXT];
    struct err why = { 0 };

    clock_text(wall, here);
    clock_text(network, there);
    if (rpc_trust_clock_is_wrong(wall, network, &why)) {
        finding_begin(f, PEER_BAD, "clock", "this machine has %s, the network's signed time is %s",
                      here, there);
        finding_remedy(f, "set this machine's clock, best by NTP");
    } else {
        finding_begin(f, apart > LITTLE_SKEW_MS ? PEER_NOTE : PEER_GOOD, "clock",
                      "%" PRIu64 ".%" PRIu64 " s %s den's signed time", apart / 1000,
                      apart % 1000 / 100, ahead < 0 ? "behind" : "ahead of");
    }
    finding_fact(f, "ahead_ms", "%" PRId64, ahead);
    finding_fact(f, "network", "%s", there);
}

static void tell_clock(const struct core *core)
{
    uint64_t wall = clock_wall_ms();
    char here[CLOCK_TEXT];
    struct finding f;

    if (rpc_trust_time_is_sure(core->trust, clock_mono_ms(), wall))
        tell_sure_clock(core, wall, &f);
    else
        tell_unsure_clock(core, wall, &f);
    finding_fact(&f, "here", "%s", clock_text(wall, here));
    beside_tell(core, &f);
}

/* ---- the certificate and what it stands on ---- */

static void tell_certificate(const struct core *core)
{
    uint64_t now = core_now(core);
    const struct pki_facts *facts = core->cert ? pki_cert_facts(core->cert->leaf) : NULL;
    char left[32], at[CLOCK_TEXT];
    struct finding f;

    if (!facts || facts->not_after <= now) {
        finding_begin(&f, PEER_BAD, "certificate",
                      facts ? "this machine's certificate ran out"
                            : "this machine has no certificate");
        finding_remedy(
            &f, "it is asked for by itself while den is there; if it repeats, ask the operator");
        beside_tell(core, &f);
        return;
    }
    finding_begin(&f, PEER_GOOD, "certificate",
                  "%.80s by %.100s, for another %s; renewed by itself", facts->names, facts->issuer,
                  duration(facts->not_after - now, left));
    finding_fact(&f, "names", "%.100s", facts->names);
    finding_fact(&f, "issuer", "%.100s", facts->issuer);
    finding_fact(&f, "serial", "%.100s", facts->serial);
    finding_fact(&f, "not_after", "%s", clock_text(facts->not_after, at));
    beside_tell(core, &f);
}

/* The end of what is above the leaf that comes first. */
static uint64_t first_end(const struct core *core, const char **ret_what)
{
    const struct rpc_manifest *manifest = rpc_trust_manifest(core->trust);
    uint64_t end = manifest ? manifest->not_after : UINT64_MAX;
    struct view root;

    *ret_what = "the manifest";
    for (size_t i = 1; core->cert && i <= core->cert->n_chain; i++) {
        _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
        struct err ignored;
        bool is_root = i == core->cert->n_chain;

        if (is_root && !rpc_trust_root(core->trust, 0, &root))
            break;
        if (!pki_cert_read(is_root ? root : buf_view(&core->cert->chain[i]), &cert, &ignored) ||
            pki_cert_facts(cert)->not_after >= end)
            continue;
        end = pki_cert_facts(cert)->not_after;
        *ret_what = is_root ? "the root" : "the intermediate";
    }
    return end;
}

static void tell_chain(const struct core *core)
{
    const struct rpc_manifest *manifest = rpc_trust_manifest(core->trust);
    uint64_t now = core_now(core), end;
    const char *what;
    char left[32], at[CLOCK_TEXT];
    struct finding f;

    end = first_end(core, &what);
    if (!manifest)
        return;
    if (end <= now + 7 * DAY_MS) {
        finding_begin(&f, PEER_BAD, "chain", "%s %s %s", what,
                      end <= now ? "ran out at" : "runs out at", clock_text(end, at));
        finding_remedy(&f, "the operator makes new ones: warren-den(8), ROLLOVER");
    } else {
        finding_begin(&f, PEER_GOOD, "chain",
                      "manifest %" PRIu64 "; the first of it to run out is %s, in %s",
                      manifest->manifest_no, what, duration(end - now, left));
    }
    finding_fact(&f, "manifest", "%" PRIu64, manifest->manifest_no);
    finding_fact(&f, "ends", "%s", clock_text(end, at));
    beside_tell(core, &f);
}

void examine_router(struct examine *examine)
{
    const struct core *core = examine->core;

    if (core->uplink)
        tell_router(core);
    tell_den(core);
    tell_clock(core);
    tell_certificate(core);
    tell_chain(core);
}

/* ---- the relay: whether it greets with a key of the manifest; a session of one's own it needs for more ---- */

static bool on_judge(void *user, const char *host, const struct view *chain, size_t n,
                     struct err *err)
{
    struct examine *examine = user;

    return join_judge_router(examine->core, host, chain, n, err);
}

static bool put_opening(void *user, const struct carrier_relay_greeting *greeting, struct buf *to)
{
    struct examine *examine = user;
    struct core *core = examine->core;

    (void)to;
    if (rpc_trust_check_key(core->trust, RPC_KEY_ROUTER, greeting->router_pk, core_now(core),
                            &examine->relay_why)) {
        examine->relay_greeted = true;
        examine->relay_ns = clock_mono_ns() - examine->relay_began_at;
    }
    examine_turn_page(core);
    return false;
}

static void on_relay_state(void *user, enum carrier_relay_state state, const struct err *why)
{
    struct examine *examine = user;

    (void)state;
    if (why)
        examine->relay_why = *why;
    examine_turn_page(examine->core);
}

void examine_relay_begin(struct examine *examine)
{
    static const struct path_events none = { 0 };
    struct core *core = examine->core;
    _free_ char *name = mem_format("router.%s", core->join.network);
    struct carrier_relay_config config = {
        .ws = core->ws,
        .server_name = name,
        .judge = on_judge,
        .put_opening = put_opening,
        .on_state = on_relay_state,
        .user = examine,
    };

    if (!core->ws || !core->uplink)
        return;
    config.host = *rpc_uplink_host(core->uplink);
    examine->relay = EXAMINE_UNDER_WAY;
    examine->relay_began_at = clock_mono_ns();
    examine->path = path_new(&none, true, NULL);
    carrier_relay_new(examine->path, &config, &examine->carrier);
    carrier_relay_open(examine->carrier);
}

void examine_relay_end(struct examine *examine)
{
    carrier_relay_free(STEAL(examine->carrier));
    path_free(STEAL(examine->path));
}

bool examine_relay_done(struct examine *examine)
{
    uint64_t passed = (clock_mono_ns() - examine->relay_began_at) / 1000000;
    struct finding f;

    if (examine->relay != EXAMINE_UNDER_WAY)
        return true;
    if (!examine->relay_greeted && examine->relay_why.code == ERR_NONE && passed < RELAY_MS)
        return false;
    examine->relay = EXAMINE_OVER;
    if (examine->relay_greeted) {
        finding_begin(&f, PEER_GOOD, "relay",
                      "the router's relay answers in %" PRIu64 " ms, with a key of the manifest",
                      examine->relay_ns / 1000000);
        finding_ms(&f, "connect_ms", examine->relay_ns / 1000);
    } else {
        finding_begin(&f, PEER_BAD, "relay", "the router's relay: %s",
                      examine->relay_why.code ? examine->relay_why.text : "no answer");
        finding_remedy(&f, "ask the operator: `relay` in router.conf, or a proxy before the router "
                           "that does not pass it on");
    }
    beside_tell(examine->core, &f);
    examine_relay_end(examine);
    return true;
}
