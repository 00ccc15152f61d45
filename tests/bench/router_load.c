/* SPDX-License-Identifier: Apache-2.0 */
/* Load for a real router: router_load VERB DEN_FOLDER port=N [name=N ...]
 *   den      stands in for the network's den: heartbeat, grants for the callers; SIGUSR1: an event
 *   serve    peer 0 serves its procedure `bench.echo`
 *   call     a peer (number=) calls it: window= in flight, size= bytes, single=1, seconds=
 *   hold     count= peers from number= on, idle, listening to den's event, hosts= addresses;
 *            SIGUSR2: storm= of them connect again, at once; SIGHUP: a report
 *   sessions opens and closes sessions, parallel= at a time; resume=1: TLS resumed
 * Each prints lines of JSON. All but `call` and `sessions` run until SIGTERM. */
#include "tests/bench/road.h"

#include <signal.h>
#include <stdio.h>

enum { CALLERS = 8, WARM_MS = 500, CALL_TIMEOUT_MS = 30000, OPENING = 32 };
#define TOPIC "den.session.on_state"

static struct road road;

static void say(const char *what)
{
    printf("{\"said\": \"%s\", \"at\": %.1f}\n", what, (double)clock_mono_ns() / 1000);
    fflush(stdout);
}

static void procedure_name(char to[64])
{
    char id[TEXT_ID];

    peer_id(0, id);
    snprintf(to, 64, "peer.%s.bench.echo", id);
}

static void on_term(void *user, int signal_number)
{
    (void)user;
    (void)signal_number;
    rpc_loop_stop(road.loop);
}

/* ---- den -------------------------------------------------------------------------------------- */

static uint8_t beacon[RPC_BEACON];
static unsigned n_granted;

static void beat(struct session *s)
{
    static const struct rpc_publish_options options = { .retain = true };
    static const uint8_t none[HASH_SIZE];
    const struct rpc_heartbeat *before = rpc_trust_heartbeat(road.trust);
    struct rpc_heartbeat h = before ? *before : (struct rpc_heartbeat){ 0 };
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };
    _buf_ args = { 0 };

    random_bytes(beacon, sizeof(beacon));
    h.netid = rpc_trust_netid(road.trust);
    h.hb_no++;
    h.time = clock_wall_ms();
    h.next_in = 30 * SECOND_MS;
    h.bound = 10 * MINUTE_MS;
    h.beacon = VIEW_ARR(beacon);
    h.manifest_no = rpc_trust_manifest(road.trust)->manifest_no;
    if (!before)
        h.crl_hash = h.rev_head = h.audit_head = VIEW_ARR(none);
    rpc_statement_sign(RPC_W_HEARTBEAT, &h, road.sign, &bytes, sig);
    rpc_put_array(&args, 2);
    rpc_put_bin(&args, buf_view(&bytes));
    rpc_put_bin(&args, VIEW_ARR(sig));
    rpc_client_publish(s->client, clock_mono_ms(), "den.heartbeat", &options, buf_view(&args));
}

static void on_granted(void *user, const struct rpc_outcome *outcome)
{
    (void)user;
    if (outcome->what == RPC_FAILED)
        give_up("a grant", &outcome->err);
    if (++n_granted == CALLERS)
        say("ready");
}

static void grant(struct session *s, uint32_t caller)
{
    struct key *a = peer_key(caller), *b = peer_key(0);
    char a_id[TEXT_ID], b_id[TEXT_ID];
    uint8_t sid[RPC_SID], hash[HASH_SIZE], sig[SIG_SIZE];
    struct rpc_grant g = {
        .netid = rpc_trust_netid(road.trust),
        .sid = VIEW_ARR(sid),
        .a_pk = key_public_view(a),
        .b_pk = key_public_view(b),
        .dial_hash = VIEW_ARR(hash),
        .caps = { { VIEW_LIT("call:bench") }, 1 },
        .issued_at = clock_wall_ms(),
        .live_until = clock_wall_ms() + DAY_MS,
        .beacon = VIEW_ARR(beacon),
    };
    _buf_ bytes = { 0 };
    _buf_ args = { 0 };

    random_bytes(sid, sizeof(sid));
    random_bytes(hash, sizeof(hash));
    peer_id(caller, a_id);
    peer_id(0, b_id);
    g.a_id = view_text(a_id);
    g.b_id = view_text(b_id);
    rpc_statement_sign(RPC_W_GRANT, &g, road.sign, &bytes, sig);
    rpc_put_array(&args, 2);
    rpc_put_bin(&args, buf_view(&bytes));
    rpc_put_bin(&args, VIEW_ARR(sig));
    rpc_client_call(s->client, clock_mono_ms(), "network.grant.install", buf_view(&args),
                    CALL_TIMEOUT_MS, false, on_granted, NULL);
    key_free(a);
    key_free(b);
}

static void den_up(struct session *s)
{
    beat(s);
    for (uint32_t caller = 1; caller <= CALLERS; caller++)
        grant(s, caller);
}

static void on_event_wanted(void *user, int signal_number)
{
    struct session *s = user;
    uint8_t body[64] = { 0 };
    _buf_ args = { 0 };

    (void)signal_number;
    rpc_put_array(&args, 1);
    rpc_put_bin(&args, VIEW_ARR(body));
    say("published");
    rpc_client_publish(s->client, clock_mono_ms(), TOPIC, NULL, buf_view(&args));
    session_flush(s);
}

static void run_den(_unused_ char **argv)
{
    static struct session den = { .road = &road, .on_up = den_up };

    session_open_den(&den);
    rpc_loop_on_signal(road.loop, SIGUSR1, on_event_wanted, &den);
    rpc_loop_run(road.loop);
}

/* ---- serve ------------------------------------------------------------------------------------ */

static void on_echo(void *user, const struct rpc_inv *inv)
{
    struct session *s = user;

    rpc_client_yield(s->client, inv->number, false, rpc_payload_args(inv->invocation->payload));
}

static void serve_up(struct session *s)
{
    char procedure[64];

    procedure_name(procedure);
    rpc_client_register(s->client, clock_mono_ms(), procedure, on_echo, s);
    say("ready");
}

static void run_serve(char **argv)
{
    static struct session server = { .road = &road, .on_up = serve_up };

    server.is_single = argument(argv, "single", 0) != 0;
    session_open(&server);
    rpc_loop_run(road.loop);
}

/* ---- call ------------------------------------------------------------------------------------- */

struct flight { /* one place of the window */
    uint64_t sent_at;
};

static struct caller {
    struct session session;
    char procedure[64];
    struct buf args;
    struct flight *flights;
    size_t window;
    uint64_t warm_at, end_at; /* ns */
    uint64_t n_counted, first_at, last_at;
    size_t n_ended;
    struct samples samples;
} caller;

static void call_print(void)
{
    double seconds = (double)(caller.last_at - caller.first_at) / 1e9;
    double longest = samples_us(&caller.samples, 1);

    printf("{\"calls\": %llu, \"value\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": "
           "%.1f}\n",
           (unsigned long long)caller.n_counted,
           seconds > 0 ? (double)caller.n_counted / seconds : 0, samples_us(&caller.samples, 0.5),
           samples_us(&caller.samples, 0.99), longest);
    fflush(stdout);
    rpc_loop_stop(road.loop);
}

static rpc_on_outcome on_answer;

static void call_again(struct flight *flight, uint64_t now)
{
    flight->sent_at = now;
    rpc_client_call(caller.session.client, now / 1000000, caller.procedure, buf_view(&caller.args),
                    CALL_TIMEOUT_MS, false, on_answer, flight);
}

static void on_answer(void *user, const struct rpc_outcome *outcome)
{
    struct flight *flight = user;
    uint64_t now = clock_mono_ns();

    if (outcome->what == RPC_FAILED)
        give_up("a call", &outcome->err);
    if (now >= caller.warm_at && now < caller.end_at) {
        if (!caller.n_counted++)
            caller.first_at = now;
        caller.last_at = now;
        samples_add(&caller.samples, now - flight->sent_at);
    }
    if (now < caller.end_at)
        call_again(flight, now);
    else if (++caller.n_ended == caller.window)
        call_print();
}

static void call_up(struct session *s)
{
    uint64_t now = clock_mono_ns();

    (void)s;
    caller.warm_at = now + WARM_MS * 1000000ull;
    caller.end_at += caller.warm_at;
    for (size_t i = 0; i < caller.window; i++)
        call_again(&caller.flights[i], now);
}

static void run_call(char **argv)
{
    size_t size = argument(argv, "size", 64);
    _buf_ body = { 0 };

    caller.window = argument(argv, "window", 64);
    caller.flights = mem_array(struct flight, caller.window);
    caller.end_at = argument(argv, "seconds", 2) * 1000000000ull;
    caller.session = (struct session){
        .road = &road,
        .number = (uint32_t)argument(argv, "number", 1),
        .is_single = argument(argv, "single", 0) != 0,
        .on_up = call_up,
    };
    memset(buf_grow(&body, size), 'x', size);
    rpc_put_array(&caller.args, 1);
    rpc_put_text(&caller.args, buf_view(&body));
    procedure_name(caller.procedure);
    session_open(&caller.session);
    rpc_loop_run(road.loop);
}

/* ---- hold ------------------------------------------------------------------------------------- */

static struct {
    struct session *sessions;
    size_t count, n_opened, n_up, n_heard, n_lost, n_events;
    size_t storm, next, n_away; /* those who connect again */
} held;

static void on_event(void *user, const struct rpc_event *event)
{
    (void)user;
    (void)event;
    held.n_events++;
    if (++held.n_heard < held.count)
        return;
    held.n_heard = 0;
    say("heard");
}

static void open_next(void)
{
    if (held.n_opened < held.count)
        session_open(&held.sessions[held.n_opened++]);
}

static void hold_lost(struct session *s)
{
    (void)s;
    held.n_lost++;
}

static void hold_up(struct session *s)
{
    s->on_lost = hold_lost;
    rpc_client_subscribe(s->client, clock_mono_ms(), TOPIC, false, on_event, s);
    if (held.n_up == held.count) {
        if (--held.n_away == 0)
            say("back");
        return;
    }
    open_next();
    if (++held.n_up == held.count)
        say("ready");
}

static void on_storm(void *user, int signal_number)
{
    (void)user;
    (void)signal_number;
    if (held.n_away || held.n_up < held.count)
        return;
    say("storm");
    for (size_t i = 0; i < held.storm; i++, held.next++) {
        struct session *s = &held.sessions[held.next % held.count];
        if (!s->conn)
            continue;
        held.n_away++;
        session_close(s);
    }
}

static void on_report(void *user, int signal_number)
{
    (void)user;
    (void)signal_number;
    printf("{\"said\": \"report\", \"lost\": %zu, \"events\": %zu}\n", held.n_lost, held.n_events);
    fflush(stdout);
}

static void run_hold(char **argv)
{
    uint32_t first = (uint32_t)argument(argv, "number", 100);
    size_t n_hosts = argument(argv, "hosts", 1);

    held.count = argument(argv, "count", 1);
    held.storm = min_u64(argument(argv, "storm", 0), held.count);
    held.sessions = mem_array(struct session, held.count);
    for (size_t i = 0; i < held.count; i++)
        held.sessions[i] = (struct session){ .road = &road,
                                             .number = first + (uint32_t)i,
                                             .host = (uint8_t)(i % n_hosts),
                                             .on_up = hold_up,
                                             .is_fresh = argument(argv, "fresh", 0) != 0,
                                             .on_closed = session_open };
    rpc_loop_on_signal(road.loop, SIGUSR2, on_storm, NULL);
    rpc_loop_on_signal(road.loop, SIGHUP, on_report, NULL);
    for (size_t i = 0; i < OPENING; i++)
        open_next();
    rpc_loop_run(road.loop);
}

/* ---- sessions --------------------------------------------------------------------------------- */

static struct {
    uint64_t warm_at, end_at, n;
    size_t n_ended, parallel;
} opening;

static void opened_up(struct session *s)
{
    uint64_t now = clock_mono_ns();

    opening.n += now >= opening.warm_at && now < opening.end_at;
    session_close(s);
}

static void opened_closed(struct session *s)
{
    if (clock_mono_ns() < opening.end_at) {
        session_open(s);
        return;
    }
    if (++opening.n_ended < opening.parallel)
        return;
    printf("{\"sessions\": %llu, \"value\": %.1f}\n", (unsigned long long)opening.n,
           (double)opening.n * 1e9 / (double)(opening.end_at - opening.warm_at));
    fflush(stdout);
    rpc_loop_stop(road.loop);
}

static void run_sessions(char **argv)
{
    struct session *sessions;

    opening.parallel = argument(argv, "parallel", 32);
    opening.warm_at = clock_mono_ns() + WARM_MS * 1000000ull;
    opening.end_at = opening.warm_at + argument(argv, "seconds", 2) * 1000000000ull;
    sessions = mem_array(struct session, opening.parallel);
    for (uint32_t i = 0; i < opening.parallel; i++) {
        sessions[i] = (struct session){
            .road = &road,
            .number = 50 + i,
            .on_up = opened_up,
            .on_closed = opened_closed,
            .is_fresh = !argument(argv, "resume", 0),
        };
        session_open(&sessions[i]);
    }
    rpc_loop_run(road.loop);
}

/* ----------------------------------------------------------------------------------------------- */

static const struct verb {
    const char *name;
    void (*run)(char **argv);
} verbs[] = {
    { "den", run_den },   { "serve", run_serve },       { "call", run_call },
    { "hold", run_hold }, { "sessions", run_sessions },
};

int main(int argc, char **argv)
{
    const struct verb *verb = NULL;

    for (size_t i = 0; argc > 2 && i < N_ELEMENTS(verbs); i++) {
        if (strcmp(argv[1], verbs[i].name) == 0)
            verb = &verbs[i];
    }
    if (!verb) {
        fputs("usage: router_load den|serve|call|hold|sessions DEN_FOLDER port=N [name=N ...]\n",
              stderr);
        return 2;
    }
    road_open(&road, argv[2], (uint16_t)argument(argv + 3, "port", 0));
    rpc_loop_on_signal(road.loop, SIGTERM, on_term, NULL);
    verb->run(argv + 3);
    return 0; /* connections end with the process: nothing is to be tidied up */
}
