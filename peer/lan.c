/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/lan.h"

#include "peer/known.h"
#include "peer/lan_socket.h"
#include "peer/mdns.h"
#include "peer/session.h"

#include <stdio.h>

/* What a datagram to a door begins with: "wl" and one of these; then a box. */
enum { LAN_HELLO = 1, LAN_ACCEPT = 2, LAN_REFUSAL = 3, LAN_HEAD = 3 };
enum {
    ASK_MS = 500, /* until the question is asked again, at first */
    LAST_ASK_MS = 4000,
    GIVE_UP_MS = 10000, /* nobody is there */
    ANSWER_MS = 65000,  /* somebody is, and is being asked */
    MAX_READS = 16,
    MAX_A_SECOND = 50, /* datagrams that are looked at */
    N_NONCES = 256,
    JOIN_MS = 30000, /* interfaces come and go */
};

struct lan_watch {
    struct lan *lan;
    struct loop_watch *watch;
    bool is_group;
    size_t family;
};

struct lan {
    struct core *core;
    struct lan_sockets sockets;
    struct lan_watch watches[2 * LAN_FAMILIES];
    uint8_t secret[32]; /* of the cookies */
    uint8_t nonces[N_NONCES][MDNS_NONCE], families[N_NONCES];
    size_t n_nonces; /* seen, modulo their count */
    uint64_t second;
    unsigned n_in_second;
    uint64_t joined_at;
};

struct lan_end {
    struct session *session;
    uint8_t key[BOX_KEY]; /* the permit's, which the store may drop meanwhile */
    uint8_t dial_hash[HASH_SIZE];
    struct loop_timer *timer;
    uint64_t began_at, pause;
    struct mdns_question question; /* caller's */
    bool is_found;
    struct buf said; /* HELLO, or the answer to it: said again when it is asked for again */
    union nat_address remote;
    size_t family;
};

/* ---- boxes ---- */

static void put_boxed(const uint8_t key[BOX_KEY], uint8_t kind, const struct buf *array,
                      struct buf *to)
{
    buf_clear(to);
    buf_put_text(to, "wl");
    buf_put_u8(to, kind);
    box_put(key, buf_view(array), to);
}

static bool open_boxed(const uint8_t key[BOX_KEY], struct view datagram, struct buf *ret_array)
{
    struct err ignored;
    size_t len;

    return box_open(key, view_sub(datagram, LAN_HEAD, datagram.len), ret_array) &&
           rpc_walk(buf_view(ret_array), &len, &ignored) && len == ret_array->len &&
           rpc_value_kind(buf_view(ret_array)) == RPC_ARRAY;
}

static void put_cookie(const struct lan *lan, uint64_t minute, uint8_t ret[MDNS_COOKIE])
{
    uint8_t full[HASH_SIZE];
    _buf_ bytes = { 0 };

    buf_put_u64(&bytes, minute);
    hmac_sha256(VIEW_ARR(lan->secret), buf_view(&bytes), full);
    memcpy(ret, full, MDNS_COOKIE);
}

static bool is_cookie(const struct lan *lan, struct view cookie)
{
    uint64_t minute = clock_mono_ms() / MINUTE_MS;
    uint8_t wanted[2][MDNS_COOKIE];

    put_cookie(lan, minute, wanted[0]);
    put_cookie(lan, minute ? minute - 1 : 0, wanted[1]);
    return view_eq_secret(cookie, VIEW_ARR(wanted[0])) ||
           view_eq_secret(cookie, VIEW_ARR(wanted[1]));
}

/* ---- a session of a permit ---- */

void lan_end(struct session *session)
{
    struct lan_end *end = STEAL(session->lan);

    if (!end)
        return;
    loop_timer_free(end->timer);
    buf_free(&end->said);
    mem_wipe(end, sizeof(*end));
    free(end);
}

static struct lan_end *end_new(struct session *session, const struct permit *permit)
{
    struct lan_end *end = mem_new(struct lan_end);

    end->session = session;
    end->began_at = clock_mono_ms();
    memcpy(end->key, permit->key, sizeof(end->key));
    session->lan = end;
    session->policy = PEER_PATH_DIRECT;
    buf_free(&session->grant);
    session->grant = buf_dup(buf_view(&permit->bytes));
    memcpy(session->grant_sig, permit->sig, SIG_SIZE);
    return end;
}

/* P in the place of the grant, for what `dial` asks of it. */
static bool take_grant(struct session *session, const struct rpc_dial *dial, struct err *err)
{
    struct rpc_permit p;

    if (!rpc_statement_read(RPC_W_PERMIT, buf_view(&session->grant), &p, err))
        return false;
    for (size_t i = 0; i < dial->caps.n; i++)
        if (!check_has_cap(&p.caps, dial->caps.item[i]))
            return err_set(err, ERR_CAPABILITY, "the permit does not include %.*s",
                           VIEW_FMT(dial->caps.item[i]));
    hash_sha256(buf_view(&session->dial), session->lan->dial_hash);
    session->g = (struct rpc_grant){
        .netid = p.netid,
        .sid = VIEW_ARR(session->sid),
        .a_id = p.a_id,
        .a_pk = p.a_pk,
        .b_id = p.b_id,
        .b_pk = p.b_pk,
        .dial_hash = VIEW_ARR(session->lan->dial_hash),
        .caps = dial->caps,
        .caps_back = p.caps_back,
        .consent = 1, /* somebody is asked, whatever the rule said when den was there */
        .issued_at = p.issued_at,
        .live_until = p.not_after,
    };
    return true;
}

/* ---- calling ---- */

static void ask(struct lan_end *end)
{
    struct core *core = end->session->core;
    uint8_t nonce[MDNS_NONCE];
    _buf_ message = { 0 };

    random_bytes(nonce, sizeof(nonce));
    mdns_ask(end->key, core_now(core), nonce, &end->question);
    mdns_put_question(&end->question, &message);
    lan_sockets_join(&core->lan->sockets);
    lan_sockets_ask(&core->lan->sockets, buf_view(&message));
}

static void on_timer(void *user)
{
    struct lan_end *end = user;
    struct session *session = end->session;
    uint64_t passed = clock_mono_ms() - end->began_at;
    struct err err = { 0 };

    if (session->state != SESSION_OPENING || !session->core->lan)
        return;
    if (passed > (end->is_found ? ANSWER_MS : GIVE_UP_MS)) {
        err_set(&err, end->is_found ? ERR_TIMEOUT : ERR_NOT_REACHABLE,
                end->is_found ? "nobody answered the call"
                              : "the router is away, and %s does not answer on this network",
                session->remote_id);
        session_over(session, &err);
        return;
    }
    if (end->is_found)
        lan_socket_write(session->core->lan->sockets.door[end->family], &end->remote,
                         buf_view(&end->said));
    else
        ask(end);
    loop_timer_in(end->timer, end->pause);
    end->pause = min_u64(2 * end->pause, LAST_ASK_MS);
}

bool lan_dial(struct session *session, const struct rpc_items *caps, struct err *err)
{
    struct core *core = session->core;
    const struct permit *permit = permits_find(core, session->remote_id, true);
    struct rpc_dial dial;
    struct lan_end *end;

    if (!permit)
        return err_set(err, ERR_NETWORK_FAILURE,
                       "not connected to the router, and den left no permit for %s",
                       session->remote_id);
    if (!core_has_cert(core))
        return err_set(err, ERR_NOT_JOINED, "this machine has no valid certificate");
    if (!permit_holds(core, permit, err))
        return false;
    lan_settle(core);
    if (!core->lan)
        return err_set(err, ERR_SYSTEM, "no socket for this network could be had");
    end = end_new(session, permit);
    if (!session_gather(session, err))
        return false;
    random_bytes(session->sid, sizeof(session->sid));
    dial_sign(session, caps);
    if (!rpc_statement_read(RPC_W_DIAL, buf_view(&session->dial), &dial, err) ||
        !take_grant(session, &dial, err))
        return false;
    end->timer = loop_timer_new(core->loop, on_timer, end);
    end->pause = ASK_MS;
    loop_timer_in(end->timer, 0);
    return true;
}

static void send_hello(struct lan_end *end, const struct mdns_answer *answer)
{
    struct session *session = end->session;
    _buf_ array = { 0 };

    rpc_put_array(&array, 4);
    rpc_put_bin(&array, VIEW_ARR(answer->cookie));
    rpc_put_bin(&array, buf_view(&session->dial));
    rpc_put_bin(&array, VIEW_ARR(session->dial_sig));
    rpc_put_bin(&array, buf_view(&session->our_ice));
    put_boxed(end->key, LAN_HELLO, &array, &end->said);
    lan_socket_write(session->core->lan->sockets.door[end->family], &end->remote,
                     buf_view(&end->said));
    end->pause = ASK_MS;
    loop_timer_in(end->timer, end->pause);
}

/* To the door from which it came: that is where it is. */
static void take_answer(struct lan *lan, size_t family, const union nat_address *from,
                        struct view message)
{
    struct mdns_answer answer;
    struct session *session;

    if (!mdns_read_answer(message, &answer))
        return;
    LIST_EACH(session, &lan->core->sessions, node) {
        struct lan_end *end = session->lan;

        if (!end || !session->is_caller || session->state != SESSION_OPENING || end->is_found ||
            memcmp(&answer.question, &end->question, sizeof(answer.question)) != 0 ||
            !mdns_is_answered(end->key, &answer))
            continue;
        end->is_found = true;
        end->began_at = clock_mono_ms();
        end->remote = *from;
        end->family = family;
        send_hello(end, &answer);
        return;
    }
}

/* Which of the calls that go by one permit it is about: the first word of an answer or a refusal. An
 * old one that somebody sends again is about none. */
static bool is_about(const struct session *session, struct view array)
{
    struct rpc_fields f;

    rpc_fields_open(&f, array);
    return view_eq_secret(rpc_fields_fixed(&f, "sid", RPC_SID), VIEW_ARR(session->sid));
}

static bool read_accept(struct session *session, struct view array, struct err *err)
{
    struct rpc_accept accept;
    struct rpc_fields f;

    rpc_fields_open(&f, array);
    rpc_fields_value(&f, "sid"); /* is_about() read it */
    struct view bytes = rpc_fields_bin(&f, "accept", RPC_MAX_STATEMENT),
                sig = rpc_fields_fixed(&f, "accept's signature", SIG_SIZE),
                ice = rpc_fields_bin(&f, "ice", ICE_MAX_OFFER);
    if (!rpc_fields_end(&f, err))
        return false;
    buf_free(&session->accept);
    buf_free(&session->their_ice);
    session->accept = buf_dup(bytes);
    session->their_ice = buf_dup(ice);
    memcpy(session->accept_sig, sig.data, SIG_SIZE);
    if (!check_accept(&session->g, buf_view(&session->grant), buf_view(&session->accept),
                      VIEW_ARR(session->accept_sig), buf_view(&session->their_ice), &accept, err))
        return false;
    session->caps = accept.caps;
    memcpy(session->remote_pk, accept.b_pk.data, KEY_SIZE);
    memcpy(session->remote_spki, accept.b_spki.data, HASH_SIZE);
    return changed_check(session->core, session->remote_id, session->remote_pk, VIEW(NULL, 0), err);
}

static void read_refusal(struct view array, struct err *err)
{
    struct rpc_fields f;
    struct err bad;

    rpc_fields_open(&f, array);
    rpc_fields_value(&f, "sid"); /* is_about() read it */
    struct view code = rpc_fields_text(&f, "code", 32),
                text = rpc_fields_text(&f, "text", SESSION_REASON);
    if (!rpc_fields_end(&f, &bad))
        err_set(err, ERR_DECLINED, "declined");
    else
        err_set(err, err_code_find((const char *)code.data, code.len), "%.*s", VIEW_FMT(text));
}

static void take_reply(struct lan *lan, struct view datagram)
{
    struct session *session;

    LIST_EACH(session, &lan->core->sessions, node) {
        struct err err = { 0 };
        _buf_wipe_ array = { 0 };

        if (!session->lan || !session->is_caller || session->state != SESSION_OPENING ||
            !open_boxed(session->lan->key, datagram, &array) ||
            !is_about(session, buf_view(&array)))
            continue;
        if (datagram.data[2] == LAN_REFUSAL)
            read_refusal(buf_view(&array), &err);
        if (err.code == ERR_NONE && read_accept(session, buf_view(&array), &err) &&
            session_connect(session, &err))
            return;
        session_over(session, &err);
        return;
    }
}

/* ---- called ---- */

void lan_answer(struct session *session)
{
    struct lan_end *end = session->lan;
    _buf_ array = { 0 };

    rpc_put_array(&array, 4);
    rpc_put_bin(&array, VIEW_ARR(session->sid));
    rpc_put_bin(&array, buf_view(&session->accept));
    rpc_put_bin(&array, VIEW_ARR(session->accept_sig));
    rpc_put_bin(&array, buf_view(&session->our_ice));
    put_boxed(end->key, LAN_ACCEPT, &array, &end->said);
    if (session->core->lan)
        lan_socket_write(session->core->lan->sockets.door[end->family], &end->remote,
                         buf_view(&end->said));
}

void lan_refuse(struct session *session, const struct err *told)
{
    struct lan_end *end = session->lan;
    char text[SESSION_REASON];
    _buf_ array = { 0 };

    if (session->accept.len || end->said.len || !session->core->lan)
        return; /* it was answered */
    snprintf(text, sizeof(text), "%.100s", told->text);
    rpc_put_array(&array, 3);
    rpc_put_bin(&array, VIEW_ARR(session->sid));
    rpc_put_str(&array, err_code_name(told->code));
    rpc_put_str(&array, text);
    put_boxed(end->key, LAN_REFUSAL, &array, &end->said);
    lan_socket_write(session->core->lan->sockets.door[end->family], &end->remote,
                     buf_view(&end->said));
}

/* Whose answer was lost. */
static bool is_known(struct lan *lan, struct view sid)
{
    struct session *session = session_find(lan->core, sid);

    if (!session)
        return false;
    if (session->lan && !session->is_caller && session->lan->said.len)
        lan_socket_write(lan->sockets.door[session->lan->family], &session->lan->remote,
                         buf_view(&session->lan->said));
    return true;
}

static bool check_hello(struct session *session, struct view dial_bytes, struct view sig,
                        struct view ice, struct err *err)
{
    struct core *core = session->core;
    struct rpc_dial dial;

    session->dial = buf_dup(dial_bytes);
    session->their_ice = buf_dup(ice);
    memcpy(session->dial_sig, sig.data, SIG_SIZE);
    if (!rpc_statement_read(RPC_W_DIAL, buf_view(&session->dial), &dial, err))
        return false;
    memcpy(session->sid, dial.sid.data, RPC_SID);
    if (!take_grant(session, &dial, err) ||
        !check_dial(&session->g, buf_view(&session->dial), VIEW_ARR(session->dial_sig),
                    buf_view(&session->their_ice), &dial, err))
        return false;
    session->g.beacon = dial.beacon; /* for seen_take() */
    memcpy(session->remote_pk, dial.a_pk.data, KEY_SIZE);
    memcpy(session->remote_spki, dial.a_spki.data, HASH_SIZE);
    return changed_check(core, session->remote_id, session->remote_pk, VIEW(NULL, 0), err);
}

static void take_hello_of(struct lan *lan, const struct permit *permit, struct view array,
                          size_t family, const union nat_address *from)
{
    struct core *core = lan->core;
    struct rpc_fields f;
    struct rpc_dial dial;
    struct err err = { 0 };

    rpc_fields_open(&f, array);
    struct view cookie = rpc_fields_fixed(&f, "cookie", MDNS_COOKIE),
                bytes = rpc_fields_bin(&f, "dial", RPC_MAX_STATEMENT),
                sig = rpc_fields_fixed(&f, "dial's signature", SIG_SIZE),
                ice = rpc_fields_bin(&f, "ice", ICE_MAX_OFFER);
    if (!rpc_fields_end(&f, &err) || !is_cookie(lan, cookie) || !permit_holds(core, permit, &err) ||
        !rpc_statement_read(RPC_W_DIAL, bytes, &dial, &err) || is_known(lan, dial.sid) ||
        !listen_has_room(core, &err) || !core_has_cert(core))
        return;

    struct session *session = session_new(core, false);
    struct lan_end *end = end_new(session, permit);
    session_set_state(session, SESSION_OPENING, NEVER_MS);
    end->remote = *from;
    end->family = family;
    snprintf(session->remote_id, sizeof(session->remote_id), "%s", permit->other);
    if (!check_hello(session, bytes, sig, ice, &err))
        session_over(session, &err);
    else
        listen_on_lan(session);
}

static void take_hello(struct lan *lan, size_t family, const union nat_address *from,
                       struct view datagram)
{
    struct core *core = lan->core;

    for (size_t i = 0; core->takes_calls && i < core->permits.n; i++) {
        const struct permit *permit = core->permits.item[i];
        _buf_wipe_ array = { 0 };

        if (permit->is_caller || !open_boxed(permit->key, datagram, &array))
            continue;
        take_hello_of(lan, permit, buf_view(&array), family, from);
        return;
    }
}

/* A question is answered once over IPv4 and once over IPv6: one of the two answers may not find its way back. */
static bool is_new(struct lan *lan, const uint8_t nonce[MDNS_NONCE], size_t family)
{
    size_t at = lan->n_nonces % N_NONCES;

    for (size_t i = 0; i < N_NONCES && i < lan->n_nonces; i++)
        if (lan->families[i] == family && memcmp(lan->nonces[i], nonce, MDNS_NONCE) == 0)
            return false;
    memcpy(lan->nonces[at], nonce, MDNS_NONCE);
    lan->families[at] = (uint8_t)family;
    lan->n_nonces++;
    return true;
}

/* A machine without an IPv4 address asks over IPv4 too, from 0.0.0.0: nobody is there. */
static bool is_somewhere(const union nat_address *from)
{
    static const struct in6_addr none = { 0 };

    return from->any.sa_family == AF_INET ? from->in.sin_addr.s_addr != 0
                                          : memcmp(&from->in6.sin6_addr, &none, sizeof(none)) != 0;
}

static void take_question(struct lan *lan, size_t family, const union nat_address *from,
                          struct view message)
{
    struct core *core = lan->core;
    uint8_t cookie[MDNS_COOKIE];
    struct mdns_question question;
    struct mdns_answer answer;
    struct err ignored;
    _buf_ to = { 0 };

    if (!core->takes_calls || lan->sockets.door[family] < 0 || !is_somewhere(from) ||
        !mdns_read_question(message, &question))
        return;
    for (size_t i = 0; i < core->permits.n; i++) {
        const struct permit *permit = core->permits.item[i];

        if (permit->is_caller || !mdns_is_asked(permit->key, core_now(core), &question) ||
            !permit_holds(core, permit, &ignored) || !is_new(lan, question.nonce, family))
            continue;
        put_cookie(lan, clock_mono_ms() / MINUTE_MS, cookie);
        mdns_answer(permit->key, &question, lan_socket_port(lan->sockets.door[family]), cookie,
                    &answer);
        mdns_put_answer(&answer, &to);
        lan_socket_write(lan->sockets.door[family], from, buf_view(&to));
        return;
    }
}

/* ---- the sockets ---- */

static bool is_too_much(struct lan *lan)
{
    uint64_t second = clock_mono_ms() / SECOND_MS;

    if (second != lan->second)
        lan->n_in_second = 0;
    lan->second = second;
    return lan->n_in_second++ >= MAX_A_SECOND;
}

static void take(struct lan *lan, const struct lan_watch *watch, const union nat_address *from,
                 struct view datagram)
{
    if (is_too_much(lan))
        return;
    if (watch->is_group)
        take_question(lan, watch->family, from, datagram);
    else if (datagram.len > LAN_HEAD + BOX_MORE && memcmp(datagram.data, "wl", 2) == 0)
        datagram.data[2] == LAN_HELLO ? take_hello(lan, watch->family, from, datagram)
                                      : take_reply(lan, datagram);
    else
        take_answer(lan, watch->family, from, datagram);
}

static void on_readable(void *user)
{
    struct lan_watch *watch = user;
    struct lan *lan = watch->lan;
    int fd = watch->is_group ? lan->sockets.group[watch->family] : lan->sockets.door[watch->family];
    uint8_t bytes[LAN_MAX_DATAGRAM];
    union nat_address from;

    for (int i = 0; i < MAX_READS; i++) {
        size_t n = lan_socket_read(fd, bytes, &from);
        if (n == 0)
            break;
        take(lan, watch, &from, VIEW(bytes, n));
    }
}

static void watch(struct lan *lan, size_t i, int fd, bool is_group, size_t family)
{
    lan->watches[i] = (struct lan_watch){ .lan = lan, .is_group = is_group, .family = family };
    if (fd < 0)
        return;
    lan->watches[i].watch = loop_watch_new(lan->core->loop, fd, on_readable, &lan->watches[i]);
    loop_watch_set(lan->watches[i].watch, LOOP_READ);
}

void lan_free(struct core *core)
{
    struct lan *lan = STEAL(core->lan);

    if (!lan)
        return;
    for (size_t i = 0; i < N_ELEMENTS(lan->watches); i++)
        loop_watch_free(lan->watches[i].watch);
    lan_sockets_close(&lan->sockets);
    mem_wipe(lan, sizeof(*lan));
    free(lan);
}

static bool is_in_use(const struct core *core)
{
    const struct session *session;

    LIST_EACH(session, &core->sessions, node)
        if (session->lan)
            return true;
    return false;
}

void lan_settle(struct core *core)
{
    bool is_wanted = permits_any(core) && !core->is_closing;

    if (!is_wanted && !is_in_use(core))
        lan_free(core);
    if (core->lan && clock_mono_ms() - core->lan->joined_at > JOIN_MS) {
        core->lan->joined_at = clock_mono_ms();
        lan_sockets_join(&core->lan->sockets);
    }
    if (!is_wanted || core->lan || !loop_has_descriptors())
        return;
    core->lan = mem_new(struct lan);
    core->lan->core = core;
    core->lan->joined_at = clock_mono_ms();
    random_bytes(core->lan->secret, sizeof(core->lan->secret));
    if (!lan_sockets_open(&core->lan->sockets)) {
        lan_free(core);
        return;
    }
    for (size_t i = 0; i < LAN_FAMILIES; i++) {
        watch(core->lan, 2 * i, core->lan->sockets.group[i], true, i);
        watch(core->lan, 2 * i + 1, core->lan->sockets.door[i], false, i);
    }
}

bool lan_is_possible(const struct core *core)
{
    return core_has_cert(core) && permits_any(core);
}
