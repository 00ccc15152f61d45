/* SPDX-License-Identifier: Apache-2.0 */
/* The beginning of a link, while no carrier is there yet: its first packets go along with the words that agree on the session, and
 * the next ones as calls over the router, until a real carrier has shown that it works. What they are, QUIC says: whoever
 * carries them can change, read, or add nothing that either end would take. */
#include "peer/session.h"

#include <stdio.h>

enum {
    MAX_PACKET = 1452, /* peer/link/PROTOCOL.md, section 6 */
    MAX_ALONG = 4,     /* packets that go along with a word: a flight, before its answer */
    MAX_ALONG_BYTES = 6144,
    MAX_SENT = 64, /* packets as calls; what does not fit in waits for a carrier */
    MAX_HEARD = 256,
    CALL_MS = 10000,
    CALLS_MS = 10000, /* for so long: where nothing else came, there is no path */
};
/* What counts, of the time that somebody took to accept, as a first guess of the round trip. */
static const uint64_t most_wait_ns = UINT64_C(300000000);

struct first {
    struct path_carrier base; /* the calls */
    struct session *session;
    bool is_collecting, is_up;
    bool has_other;  /* another carrier has shown that it works */
    struct buf ours; /* packets to go along, each a msgpack bin */
    size_t n_ours;
    struct buf theirs; /* that came along: a msgpack array */
    unsigned n_sent, n_heard;
    uint64_t up_at; /* clock_mono_ms() */
};

/* Where policy wants no relayed packet, none goes over the router. */
static bool is_allowed(const struct session *session)
{
    return !session->lan &&
           (session->policy == PEER_PATH_AUTO || session->policy == PEER_PATH_RELAY);
}

static struct first *get(struct session *session)
{
    if (!session->first) {
        session->first = mem_new(struct first);
        session->first->session = session;
    }
    return session->first;
}

/* ---- along with the words ---------------------------------------------------------------------- */

bool first_collect(struct session *session, const struct view *packets, size_t n, size_t *ret_went)
{
    struct first *first = session->first;
    size_t went = 0;

    if (!first || !first->is_collecting)
        return false;
    for (; went < n && first->n_ours < MAX_ALONG && packets[went].len <= MAX_PACKET; went++) {
        rpc_put_bin(&first->ours, packets[went]);
        first->n_ours++;
    }
    *ret_went = went;
    return true;
}

void first_put(const struct session *session, struct buf *to)
{
    const struct first *first = session->first;

    rpc_put_array(to, first ? (uint32_t)first->n_ours : 0);
    if (first)
        rpc_put_raw(to, buf_view(&first->ours));
}

void first_take(struct session *session, struct view packets)
{
    struct first *first;

    if (!is_allowed(session) || packets.len > MAX_ALONG_BYTES)
        return;
    first = get(session);
    buf_free(&first->theirs);
    first->theirs = buf_dup(packets);
}

static size_t read_packets(struct view array, struct view *ret_packets, size_t max)
{
    struct rpc_fields f;
    struct err ignored;
    size_t n = 0;

    rpc_fields_open(&f, array);
    while (n < max && rpc_fields_more(&f))
        ret_packets[n++] = rpc_fields_bin(&f, "packet", MAX_PACKET);
    rpc_fields_skip_rest(&f);
    return rpc_fields_end(&f, &ignored) ? n : 0;
}

/* The link is there and says its first packets, or its answer to theirs. */
static void collect(struct first *first)
{
    struct view packets[MAX_ALONG];
    size_t n = read_packets(buf_view(&first->theirs), packets, MAX_ALONG);

    buf_clear(&first->ours);
    first->n_ours = 0;
    first->is_collecting = true;
    if (first->session->is_caller)
        link_resume(first->session->link, clock_mono_ns());
    else
        link_input(first->session->link, clock_mono_ns(), packets, n);
    first->is_collecting = false;
}

void first_begin(struct session *session)
{
    struct err ignored;

    session_drop_link(session);
    if (is_allowed(session) && session_make_link(session, &ignored))
        collect(get(session));
    else
        session_drop_link(session);
}

bool first_answer(struct session *session, struct err *err)
{
    struct view packet;

    if (!session->first || read_packets(buf_view(&session->first->theirs), &packet, 1) == 0)
        return true;
    hash_sha256(buf_view(&session->grant), session->grant_hash);
    if (!session_make_link(session, err))
        return false;
    collect(session->first);
    if (session->first->n_ours == 0) /* it was no beginning: another one may come */
        session_drop_link(session);
    return true;
}

/* ---- as calls over the router -------------------------------------------------------------------- */

static void on_called(void *user, const struct rpc_outcome *outcome)
{
    (void)user;
    (void)outcome; /* a packet that is lost, QUIC says again */
}

static size_t carrier_send(struct path_carrier *base, const struct view *packets, size_t n)
{
    struct first *first = CONTAINER(base, struct first, base);
    struct session *session = first->session;
    struct core *core = session->core;
    _free_ char *procedure = mem_format("peer.%s.session.packets", session->remote_id);
    _buf_ args = { 0 };

    n = n < MAX_SENT - first->n_sent ? n : MAX_SENT - first->n_sent;
    if (!core->is_up || !core->client || n == 0)
        return 0;
    first->n_sent += (unsigned)n;
    rpc_put_array(&args, 2);
    rpc_put_bin(&args, VIEW_ARR(session->sid));
    rpc_put_array(&args, (uint32_t)n);
    for (size_t i = 0; i < n; i++)
        rpc_put_bin(&args, packets[i]);
    rpc_client_call(core->client, clock_mono_ms(), procedure, buf_view(&args), CALL_MS, false,
                    on_called, NULL);
    core_flush_soon(core);
    return n;
}

/* To whoever reads them it is the relay, which takes its place. */
static bool carrier_facts(const struct path_carrier *base, struct path_facts *ret)
{
    const struct first *first = (const struct first *)(const void *)base;
    const struct core *core = first->session->core;
    const struct rpc_join_host *host = core->uplink ? rpc_uplink_host(core->uplink) : NULL;

    *ret = (struct path_facts){ .kind = PATH_RELAY };
    snprintf(ret->local, sizeof(ret->local), "tls");
    if (host)
        snprintf(ret->remote, sizeof(ret->remote), "%.50s:%u", host->host, (unsigned)host->port);
    snprintf(ret->local_type, sizeof(ret->local_type), "relay");
    snprintf(ret->remote_type, sizeof(ret->remote_type), "relay");
    return true;
}

static const struct path_carrier_ops carrier_ops = {
    .kind = PATH_RELAY,
    .send = carrier_send,
    .facts = carrier_facts,
};

/* Packets went along both ways: false, the link begins anew over a carrier. */
static bool has_begun(const struct first *first)
{
    struct view packet;

    return first->session->link && first->n_ours > 0 &&
           read_packets(buf_view(&first->theirs), &packet, 1) > 0;
}

void first_open(struct session *session)
{
    struct first *first = session->first;

    if (!first || !has_begun(first)) {
        if (session->is_caller)
            session_drop_link(session);
        return;
    }
    if (session->is_caller) {
        link_set_grant(session->link, session->grant_hash);
        link_waited(session->link, clock_mono_ns(), most_wait_ns);
    }
    first->base.ops = &carrier_ops;
    first->up_at = clock_mono_ms();
    first->is_up = true;
    path_carrier_up(session->path, &first->base);
}

void first_go_on(struct session *session)
{
    struct first *first = session->first;
    struct view packets[MAX_ALONG];
    _buf_ heart = { 0 };
    size_t n;

    if (!first || !first->is_up || !session->is_caller || session->state != SESSION_CONNECTING)
        return;
    n = read_packets(buf_view(&first->theirs), packets, MAX_ALONG);
    session_put_heart(session->core, &heart);
    link_send_heart(session->link, clock_mono_ns(), buf_view(&heart)); /* when it will be up */
    link_input(session->link, clock_mono_ns(), packets, n);
    session_pump(session);
}

static void close_calls(struct first *first)
{
    if (!first->is_up)
        return;
    first->is_up = false;
    path_carrier_down(first->session->path, &first->base);
}

void first_look(struct session *session)
{
    struct first *first = session->first;
    struct err err = { 0 };

    if (!first || !first->is_up)
        return;
    first->has_other |= path_has_other(session->path, &first->base);
    if (!(session->relay && carrier_relay_is_alive(session->relay)) &&
        clock_mono_ms() - first->up_at < CALLS_MS)
        return;
    close_calls(first);
    if (first->has_other)
        return;
    session_set_no_path(session, "in time", &err);
    session_close(session, LINK_CLOSE_NORMAL, "no path", &err);
}

void first_end(struct session *session)
{
    struct first *first = STEAL(session->first);

    if (!first)
        return;
    close_calls(first);
    buf_free(&first->ours);
    buf_free(&first->theirs);
    free(first);
}

/* ---- what the router brings ---------------------------------------------------------------------- */

static bool take_packets(struct session *session, struct view array, struct err *err)
{
    struct first *first = session->first;
    struct view packets[MAX_SENT];
    size_t n = read_packets(array, packets, MAX_SENT);

    if (!first || !first->is_up)
        return true; /* over: a carrier brings them */
    if (n > MAX_HEARD - first->n_heard)
        return err_set(err, ERR_LIMIT, "%d packets over the router are the most", MAX_HEARD);
    first->n_heard += (unsigned)n;
    path_carrier_received(session->path, &first->base, packets, n);
    return true;
}

void first_on_packets(void *user, const struct rpc_inv *inv)
{
    struct core *core = user;
    struct session *session;
    struct rpc_fields f;
    struct err err = { 0 };

    rpc_fields_open(&f, rpc_payload_args(inv->invocation->payload));
    struct view sid = rpc_fields_fixed(&f, "sid", RPC_SID),
                packets = rpc_fields_array(&f, "packets");
    rpc_fields_skip_rest(&f);
    if (!rpc_fields_end(&f, &err) ||
        !(session = session_with(core, sid, inv->invocation->caller_authid, &err)) ||
        !take_packets(session, packets, &err))
        rpc_client_refuse(core->client, inv->number, "peer", &err);
    else
        rpc_client_yield(core->client, inv->number, false, VIEW(NULL, 0));
}
