/* SPDX-License-Identifier: Apache-2.0 */
#include "router/meta.h"
#include "router/denials.h"
#include "router/router.h"
#include "router/testament.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

enum { MAX_ROLES = 64, MAX_REASON = 200 };

/* ---- what is told ---------------------------------------------------------------------------- */

static void put_key_u64(struct buf *to, const char *key, uint64_t n)
{
    rpc_put_str(to, key);
    rpc_put_u64(to, n);
}

static void put_key_text(struct buf *to, const char *key, const char *text)
{
    rpc_put_str(to, key);
    rpc_put_str(to, text);
}

static void put_session(struct buf *to, const struct conn *conn)
{
    rpc_put_map(to, 6);
    put_key_u64(to, "session", conn->session);
    put_key_text(to, "authid", conn->id);
    put_key_text(to, "authrole", conn->authrole);
    put_key_text(to, "authmethod", realm_method_name(conn->method));
    put_key_text(to, "authprovider", conn->method == REALM_NETSIGN ? "den" : "static");
    rpc_put_str(to, "transport");
    rpc_put_map(to, 1);
    put_key_text(to, "peer", conn->address);
}

/* RegistrationDetails and SubscriptionDetails; `invoke` is NULL for the latter. */
static void put_details(struct buf *to, uint64_t id, uint64_t created_at, const struct buf *uri,
                        enum match_kind kind, const char *invoke)
{
    char at[CLOCK_TEXT];

    rpc_put_map(to, invoke ? 5 : 4);
    put_key_u64(to, "id", id);
    put_key_text(to, "created", clock_text(created_at, at));
    rpc_put_str(to, "uri");
    rpc_put_text(to, buf_view(uri));
    put_key_text(to, "match", match_name(kind));
    if (invoke)
        put_key_text(to, "invoke", invoke);
}

static void put_procedure(struct buf *to, const struct proc *proc)
{
    put_details(to, proc->id, proc->created_at, &proc->uri, proc->kind,
                procs_invoke_name(proc->invoke));
}

static void put_topic(struct buf *to, const struct topic *topic)
{
    assert(topic);
    put_details(to, topic->id, topic->created_at, &topic->uri, topic->kind, NULL);
}

/* ---- events ---------------------------------------------------------------------------------- */

void meta_on_join(struct conn *conn)
{
    struct broker *broker = conn->realm->broker;
    _buf_ args = { 0 };

    if (!broker_is_heard(broker, "wamp.session.on_join"))
        return;
    rpc_put_array(&args, 1);
    put_session(&args, conn);
    broker_announce(broker, "wamp.session.on_join", buf_view(&args));
}

void meta_on_leave(struct conn *conn)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 3);
    rpc_put_u64(&args, conn->session);
    rpc_put_str(&args, conn->id);
    rpc_put_str(&args, conn->authrole);
    broker_announce(conn->realm->broker, "wamp.session.on_leave", buf_view(&args));
}

/* Both kinds have the same face here. */
struct thing {
    const struct proc *proc; /* one of the two */
    const struct topic *topic;
};

static void put_thing(struct buf *to, const struct thing *thing)
{
    if (thing->proc)
        put_procedure(to, thing->proc);
    else
        put_topic(to, thing->topic);
}

static uint64_t id_of(const struct thing *thing)
{
    assert(thing->proc || thing->topic);
    return thing->proc ? thing->proc->id : thing->topic->id;
}

static void say_change(const struct conn *conn, const char *topic, const struct thing *thing,
                       enum meta_what what)
{
    struct broker *broker = conn->realm->broker;
    _buf_ args = { 0 };

    if (!broker_is_heard(broker, topic))
        return;
    rpc_put_array(&args, 2);
    rpc_put_u64(&args, conn->session);
    if (what == META_CREATED)
        put_thing(&args, thing);
    else
        rpc_put_u64(&args, id_of(thing));
    broker_announce(broker, topic, buf_view(&args));
}

void meta_on_procedure(const struct conn *conn, const struct proc *proc, enum meta_what what)
{
    static const char *const topics[] = { "wamp.registration.on_create",
                                          "wamp.registration.on_register",
                                          "wamp.registration.on_unregister",
                                          "wamp.registration.on_delete" };

    say_change(conn, topics[what], &(struct thing){ .proc = proc }, what);
}

void meta_on_topic(const struct conn *conn, const struct topic *topic, enum meta_what what)
{
    static const char *const topics[] = { "wamp.subscription.on_create",
                                          "wamp.subscription.on_subscribe",
                                          "wamp.subscription.on_unsubscribe",
                                          "wamp.subscription.on_delete" };

    say_change(conn, topics[what], &(struct thing){ .topic = topic }, what);
}

/* ---- sessions -------------------------------------------------------------------------------- */

/* What a procedure was called with, and where its results go. */
struct ask {
    struct conn *conn;
    const struct rpc_call *call;
    struct rpc_fields args;
    struct buf *to;
};
typedef bool meta_action(struct ask *ask, struct err *err);

struct roles {
    struct view item[MAX_ROLES];
    size_t n;
    bool is_all;
};

/* The optional list of roles that narrows count and list. */
static bool read_roles(struct ask *ask, struct roles *ret_roles, struct err *err)
{
    struct rpc_fields f;

    ret_roles->n = 0;
    ret_roles->is_all = !rpc_fields_more(&ask->args) || rpc_value_kind(ask->args.rest) == RPC_NIL;
    if (ret_roles->is_all)
        return true;
    rpc_fields_open(&f, rpc_fields_array(&ask->args, "filter_authroles"));
    while (rpc_fields_more(&f)) {
        struct view role = rpc_fields_text(&f, "authrole", RPC_MAX_URI);
        if (ret_roles->n == MAX_ROLES)
            return err_set(err, ERR_LIMIT, "filter_authroles: more than %d", MAX_ROLES);
        ret_roles->item[ret_roles->n++] = role;
    }
    return rpc_fields_end(&ask->args, err) && rpc_fields_end(&f, err);
}

static bool has_role(const struct roles *roles, const struct conn *conn)
{
    for (size_t i = 0; i < roles->n; i++) {
        if (view_eq_text(roles->item[i], conn->authrole))
            return true;
    }
    return roles->is_all;
}

static bool next_session(const struct ask *ask, size_t *cursor, struct conn **ret_conn)
{
    void *conn;

    if (!map_next(ask->conn->realm->by_session, cursor, NULL, &conn))
        return false;
    *ret_conn = conn;
    return true;
}

static bool session_ids(struct ask *ask, struct buf *to, uint32_t *ret_n, struct err *err)
{
    struct roles roles;
    struct conn *conn;
    size_t cursor = 0;
    uint32_t n = 0;

    if (!read_roles(ask, &roles, err))
        return false;
    while (next_session(ask, &cursor, &conn)) {
        if (!has_role(&roles, conn))
            continue;
        rpc_put_u64(to, conn->session);
        n++;
    }
    *ret_n = n;
    return true;
}

static bool session_count(struct ask *ask, struct err *err)
{
    _buf_ ids = { 0 };
    uint32_t n;

    if (!session_ids(ask, &ids, &n, err))
        return false;
    rpc_put_u64(ask->to, n);
    return true;
}

static bool session_list(struct ask *ask, struct err *err)
{
    _buf_ ids = { 0 };
    uint32_t n;

    if (!session_ids(ask, &ids, &n, err))
        return false;
    rpc_put_array(ask->to, n);
    rpc_put_raw(ask->to, buf_view(&ids));
    return true;
}

static struct conn *read_session(struct ask *ask, struct err *err)
{
    uint64_t session = rpc_fields_id(&ask->args, "session");
    struct conn *conn;

    if (!rpc_fields_end(&ask->args, err))
        return NULL;
    conn = map_get(ask->conn->realm->by_session, map_u64(&session));
    if (!conn)
        err_set(err, ERR_NOT_FOUND, "no session %" PRIu64, session);
    return conn;
}

static bool session_get(struct ask *ask, struct err *err)
{
    const struct conn *conn = read_session(ask, err);

    if (!conn)
        return false;
    put_session(ask->to, conn);
    return true;
}

/* ---- ending sessions ------------------------------------------------------------------------- */

struct farewell {
    char reason[RPC_MAX_URI + 1], message[MAX_REASON + 1];
};

static bool read_farewell(const struct ask *ask, struct farewell *ret_farewell, struct err *err)
{
    struct view kwargs = rpc_payload_kwargs(ask->call->payload), value;
    struct view reason = VIEW_LIT("wamp.close.killed"), message = { 0 };

    if (rpc_map_get(kwargs, "reason", &value) &&
        (!rpc_value_text(value, &reason) || !rpc_uri_is_valid(reason)))
        return err_set(err, ERR_INVALID_URI, "reason: not a URI");
    if (rpc_map_get(kwargs, "message", &value) &&
        (!rpc_value_text(value, &message) || message.len > MAX_REASON))
        return err_set(err, ERR_INVALID_ARGUMENT, "message: not text of at most %d bytes",
                       MAX_REASON);
    snprintf(ret_farewell->reason, sizeof(ret_farewell->reason), "%.*s", VIEW_FMT(reason));
    snprintf(ret_farewell->message, sizeof(ret_farewell->message), "%.*s", VIEW_FMT(message));
    return true;
}

static void note_end(const struct ask *ask, const struct conn *conn,
                     const struct farewell *farewell)
{
    _free_ char *session = mem_format("%" PRIu64, conn->session);
    _free_ char *why =
        mem_format("%s%s%s", farewell->reason, farewell->message[0] ? ": " : "", farewell->message);
    denials_note_kick(ask->conn, conn->id[0] ? conn->id : session, view_text(why));
}

/* What is on the disk by now. */
static void end(const struct ask *ask, struct conn *conn, const struct farewell *farewell)
{
    log_event(LOG_WARN, "killed", "id=%s session=%" PRIu64 " by=%s reason=%s", conn->id,
              conn->session, ask->conn->id, farewell->reason);
    conn_goodbye(conn, farewell->reason, farewell->message);
}

static bool session_kill(struct ask *ask, struct err *err)
{
    struct farewell farewell;
    struct conn *conn = read_session(ask, err);

    if (!conn)
        return false;
    if (conn == ask->conn)
        return err_set(err, ERR_NOT_FOUND, "no other session %" PRIu64, conn->session);
    if (!read_farewell(ask, &farewell, err))
        return false;
    note_end(ask, conn, &farewell);
    denials_keep(ask->conn->router->denials);
    end(ask, conn, &farewell);
    rpc_put_nil(ask->to);
    return true;
}

static bool fits(const struct conn *conn, struct view authid, struct view authrole)
{
    return (!authid.len || view_eq(authid, conn_id(conn))) &&
           (!authrole.len || view_eq_text(authrole, conn->authrole));
}

/* All but the caller. WAMP: "Closing all sessions in the realm will not generate session meta events or testament events"; in
 * our own realm admins hear of each. */
static bool kill_all(struct ask *ask, struct view authid, struct view authrole, struct buf *ids,
                     uint32_t *ret_n, struct err *err)
{
    struct farewell farewell;
    struct conn *conn;
    bool is_whole = !authid.len && !authrole.len;
    size_t cursor = 0;
    uint32_t n = 0;

    if (!rpc_fields_end(&ask->args, err) || !read_farewell(ask, &farewell, err))
        return false;
    while (next_session(ask, &cursor, &conn)) {
        if (conn == ask->conn || !fits(conn, authid, authrole))
            continue;
        rpc_put_u64(ids, conn->session);
        n++;
        note_end(ask, conn, &farewell);
    }
    denials_keep(ask->conn->router->denials);
    for (cursor = 0; next_session(ask, &cursor, &conn);) {
        if (conn == ask->conn || !fits(conn, authid, authrole))
            continue;
        conn->is_hushed = is_whole && realm_is_standard(conn->realm);
        end(ask, conn, &farewell); /* removes it from where we are walking: that is allowed */
    }
    if (n == 0)
        denials_note_nobody(ask->conn, ask->call->procedure);
    *ret_n = n;
    return true;
}

static bool session_kill_by_authid(struct ask *ask, struct err *err)
{
    struct view authid = rpc_fields_text(&ask->args, "authid", RPC_MAX_URI);
    _buf_ ids = { 0 };
    uint32_t n;

    if (!ask->args.has_failed && !authid.len)
        rpc_fields_fail(&ask->args, "authid", "empty");
    if (!kill_all(ask, authid, (struct view){ 0 }, &ids, &n, err))
        return false;
    rpc_put_array(ask->to, n);
    rpc_put_raw(ask->to, buf_view(&ids));
    return true;
}

static bool session_kill_by_authrole(struct ask *ask, struct err *err)
{
    struct view authrole = rpc_fields_text(&ask->args, "authrole", RPC_MAX_URI);
    _buf_ ids = { 0 };
    uint32_t n;

    if (!ask->args.has_failed && !authrole.len)
        rpc_fields_fail(&ask->args, "authrole", "empty");
    if (!kill_all(ask, (struct view){ 0 }, authrole, &ids, &n, err))
        return false;
    rpc_put_u64(ask->to, n);
    return true;
}

static bool session_kill_all(struct ask *ask, struct err *err)
{
    _buf_ ids = { 0 };
    uint32_t n;

    if (!kill_all(ask, (struct view){ 0 }, (struct view){ 0 }, &ids, &n, err))
        return false;
    rpc_put_u64(ask->to, n);
    return true;
}

/* ---- testaments ------------------------------------------------------------------------------ */

static bool add_testament(struct ask *ask, struct err *err)
{
    if (!testament_add(ask->conn, ask->call->payload, err))
        return false;
    rpc_put_nil(ask->to);
    return true;
}

static bool flush_testaments(struct ask *ask, struct err *err)
{
    if (!testament_flush(ask->conn, ask->call->payload, err))
        return false;
    rpc_put_nil(ask->to);
    return true;
}

/* ---- registrations and subscriptions --------------------------------------------------------- */

static bool is_about_procs(const struct ask *ask)
{
    return rpc_uri_is_below(VIEW_LIT("wamp.registration"), ask->call->procedure);
}

static bool read_thing(struct ask *ask, struct thing *ret_thing, struct err *err)
{
    uint64_t id = rpc_fields_id(&ask->args, is_about_procs(ask) ? "registration" : "subscription");

    *ret_thing = (struct thing){ 0 };
    if (ask->args.has_failed)
        return rpc_fields_end(&ask->args, err);
    if (is_about_procs(ask)) {
        ret_thing->proc = procs_by_id(dealer_procs(ask->conn->realm->dealer), id);
        return ret_thing->proc ||
               err_set(err, ERR_NO_SUCH_REGISTRATION, "no registration %" PRIu64, id);
    }
    ret_thing->topic = broker_by_id(ask->conn->realm->broker, id);
    return ret_thing->topic ||
           err_set(err, ERR_NO_SUCH_SUBSCRIPTION, "no subscription %" PRIu64, id);
}

static void list_procs(struct ask *ask, struct buf ids[MATCH_KINDS], uint32_t n[MATCH_KINDS])
{
    struct proc *proc;
    size_t cursor = 0;

    while (procs_next(dealer_procs(ask->conn->realm->dealer), &cursor, &proc)) {
        rpc_put_u64(&ids[proc->kind], proc->id);
        n[proc->kind]++;
    }
}

static void list_topics(struct ask *ask, struct buf ids[MATCH_KINDS], uint32_t n[MATCH_KINDS])
{
    struct topic *topic;
    size_t cursor = 0;

    while (broker_next(ask->conn->realm->broker, &cursor, &topic)) {
        rpc_put_u64(&ids[topic->kind], topic->id);
        n[topic->kind]++;
    }
}

static bool list(struct ask *ask, struct err *err)
{
    struct buf ids[MATCH_KINDS] = { 0 };
    uint32_t n[MATCH_KINDS] = { 0 };

    if (!rpc_fields_end(&ask->args, err))
        return false;
    if (is_about_procs(ask))
        list_procs(ask, ids, n);
    else
        list_topics(ask, ids, n);
    rpc_put_map(ask->to, MATCH_KINDS);
    for (enum match_kind kind = 0; kind < MATCH_KINDS; kind++) {
        rpc_put_str(ask->to, match_name(kind));
        rpc_put_array(ask->to, n[kind]);
        rpc_put_raw(ask->to, buf_view(&ids[kind]));
        buf_free(&ids[kind]);
    }
    return true;
}

static void put_id_or_nil(struct buf *to, const uint64_t *id)
{
    if (id)
        rpc_put_u64(to, *id);
    else
        rpc_put_nil(to);
}

static bool lookup(struct ask *ask, struct err *err)
{
    struct view uri = rpc_fields_text(&ask->args, "uri", RPC_MAX_URI), options = { 0 },
                text = { 0 };
    const struct topic *topic;
    const struct proc *proc;
    enum match_kind kind;

    if (rpc_fields_more(&ask->args) && rpc_value_kind(ask->args.rest) == RPC_NIL)
        rpc_fields_value(&ask->args, "options"); /* left out */
    else if (rpc_fields_more(&ask->args))
        options = rpc_fields_map(&ask->args, "options");
    if (!rpc_fields_end(&ask->args, err))
        return false;
    rpc_map_text(options, "match", &text);
    if (!match_read(text, &kind))
        return err_set(err, ERR_INVALID_ARGUMENT, "match: neither exact, prefix nor wildcard");
    if (is_about_procs(ask)) {
        proc = procs_find(dealer_procs(ask->conn->realm->dealer), kind, uri);
        put_id_or_nil(ask->to, proc ? &proc->id : NULL);
    } else {
        topic = broker_find(ask->conn->realm->broker, kind, uri);
        put_id_or_nil(ask->to, topic ? &topic->id : NULL);
    }
    return true;
}

struct matched {
    struct buf ids;
    uint32_t n;
};

static void put_matched(void *user, void *value)
{
    const struct topic *topic = value;
    struct matched *matched = user;

    rpc_put_u64(&matched->ids, topic->id);
    matched->n++;
}

/* One registration, that would be called; all subscriptions. */
static bool match(struct ask *ask, struct err *err)
{
    struct view uri = rpc_fields_uri(&ask->args, "uri");
    struct matched matched = { 0 };
    const struct proc *proc;

    if (!rpc_fields_end(&ask->args, err))
        return false;
    if (is_about_procs(ask)) {
        proc = procs_best(dealer_procs(ask->conn->realm->dealer), uri);
        put_id_or_nil(ask->to, proc ? &proc->id : NULL);
        return true;
    }
    broker_matching(ask->conn->realm->broker, uri, put_matched, &matched);
    if (matched.n) {
        rpc_put_array(ask->to, matched.n);
        rpc_put_raw(ask->to, buf_view(&matched.ids));
    } else {
        rpc_put_nil(ask->to);
    }
    buf_free(&matched.ids);
    return true;
}

static bool get(struct ask *ask, struct err *err)
{
    struct thing thing;

    if (!read_thing(ask, &thing, err) || !rpc_fields_end(&ask->args, err))
        return false;
    put_thing(ask->to, &thing);
    return true;
}

static bool list_members(struct ask *ask, struct err *err)
{
    const struct reg *reg;
    const struct sub *sub;
    struct thing thing;

    if (!read_thing(ask, &thing, err) || !rpc_fields_end(&ask->args, err))
        return false;
    if (thing.proc) {
        rpc_put_array(ask->to, (uint32_t)thing.proc->n_regs);
        LIST_EACH(reg, &thing.proc->regs, of_proc)
            rpc_put_u64(ask->to, reg->owner->session);
    } else if (thing.topic) {
        rpc_put_array(ask->to, (uint32_t)thing.topic->n_listeners);
        LIST_EACH(sub, &thing.topic->listeners, of_topic)
            rpc_put_u64(ask->to, sub->conn->session);
    }
    return true;
}

static bool count_members(struct ask *ask, struct err *err)
{
    struct thing thing;

    if (!read_thing(ask, &thing, err) || !rpc_fields_end(&ask->args, err))
        return false;
    assert(thing.proc || thing.topic);
    rpc_put_u64(ask->to, thing.proc ? thing.proc->n_regs : thing.topic->n_listeners);
    return true;
}

/* Said before it happens: what nobody has any more is gone then. */
static void note_removal(const struct ask *ask, const struct thing *thing, const struct conn *conn,
                         struct view reason)
{
    _free_ char *session = mem_format("%" PRIu64, conn->session);
    struct view uri = buf_view(thing->proc ? &thing->proc->uri : &thing->topic->uri);

    denials_note_removal(ask->conn, thing->proc != NULL, conn->id[0] ? conn->id : session, uri,
                         reason);
    denials_keep(ask->conn->router->denials);
    log_event(LOG_WARN, "removed", "id=%s session=%" PRIu64 " kind=%s uri=%s by=%s reason=%s",
              conn->id, conn->session, thing->proc ? "registration" : "subscription",
              log_quote(uri), ask->conn->id, log_quote(reason));
}

/* (id, session; reason): takes a registration or subscription away from one session. */
static bool remove_member(struct ask *ask, struct err *err)
{
    struct view value, reason = VIEW_LIT("wamp.error.canceled");
    struct thing thing;
    struct conn *conn;
    uint64_t id;

    if (!read_thing(ask, &thing, err))
        return false;
    id = id_of(&thing);
    conn = read_session(ask, err);
    if (!conn)
        return false;
    if (rpc_map_get(rpc_payload_kwargs(ask->call->payload), "reason", &value) &&
        (!rpc_value_text(value, &reason) || !rpc_uri_is_valid(reason)))
        return err_set(err, ERR_INVALID_URI, "reason: not a URI");
    if (!(thing.proc ? (const void *)procs_reg_of(conn, id) : broker_sub_of(conn, id)))
        return err_set(err, ERR_NOT_FOUND, "session %" PRIu64 " is not part of it", conn->session);
    note_removal(ask, &thing, conn, reason);
    if (thing.proc)
        procs_revoke(procs_reg_of(conn, id), reason);
    else
        broker_revoke(broker_sub_of(conn, id), reason);
    rpc_put_nil(ask->to);
    return true;
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct {
    const char *procedure;
    meta_action *act;
    bool is_deed; /* it ends what others have */
} services[] = {
    { "wamp.session.count", session_count },
    { "wamp.session.list", session_list },
    { "wamp.session.get", session_get },
    { "wamp.session.kill", session_kill, true },
    { "wamp.session.kill_by_authid", session_kill_by_authid },
    { "wamp.session.kill_by_authrole", session_kill_by_authrole },
    { "wamp.session.kill_all", session_kill_all },
    { "wamp.session.add_testament", add_testament },
    { "wamp.session.flush_testaments", flush_testaments },
    { "wamp.registration.list", list },
    { "wamp.registration.lookup", lookup },
    { "wamp.registration.match", match },
    { "wamp.registration.get", get },
    { "wamp.registration.list_callees", list_members },
    { "wamp.registration.count_callees", count_members },
    { "wamp.registration.remove_callee", remove_member, true },
    { "wamp.subscription.list", list },
    { "wamp.subscription.lookup", lookup },
    { "wamp.subscription.match", match },
    { "wamp.subscription.get", get },
    { "wamp.subscription.list_subscribers", list_members },
    { "wamp.subscription.count_subscribers", count_members },
    { "wamp.subscription.remove_subscriber", remove_member, true },
};

static bool serve(struct ask *ask, struct err *err)
{
    for (size_t i = 0; i < N_ELEMENTS(services); i++) {
        if (!view_eq_text(ask->call->procedure, services[i].procedure))
            continue;
        rpc_fields_open(&ask->args, rpc_payload_args(ask->call->payload));
        if (services[i].act(ask, err))
            return true;
        if (services[i].is_deed && err->code == ERR_NOT_FOUND)
            denials_note_nobody(ask->conn, ask->call->procedure);
        return err_wrap(err, "%s", services[i].procedure);
    }
    return err_set(err, ERR_NO_SUCH_PROCEDURE, "nobody serves %.*s",
                   VIEW_FMT(ask->call->procedure));
}

void meta_serve(struct conn *conn, const struct rpc_call *call)
{
    _buf_ args = { 0 };
    struct ask ask = { .conn = conn, .call = call, .to = &args };
    struct err why = { 0 };

    rpc_put_array(&args, 1);
    if (serve(&ask, &why)) {
        conn_send(conn, &(struct rpc_msg){
                            .type = RPC_RESULT,
                            .result = { call->request, false, rpc_args(buf_view(&args)) } });
        return;
    }
    if (why.code == ERR_BAD_WIRE) /* of the arguments: the message itself was sound */
        why.code = ERR_INVALID_ARGUMENT;
    if (why.code == ERR_NOT_FOUND)
        conn_refuse_as(conn, RPC_CALL, call->request, "wamp.error.no_such_session", &why);
    else
        conn_refuse(conn, RPC_CALL, call->request, &why);
}
