/* SPDX-License-Identifier: Apache-2.0 */
#include "router/broker.h"
#include "router/audience.h"
#include "router/frailty.h"
#include "router/meta.h"
#include "router/network.h"
#include "router/retained.h"
#include "router/router.h"

#include <inttypes.h>

struct broker {
    const struct realm *realm;
    struct match *index; /* struct topic */
    struct map *by_id;
    struct retained *retained;
    struct retained *open_retained; /* below names that the realm opens: they crowd out no other */
    uint64_t last_subscription;
    size_t n_subscriptions;
};

struct broker *broker_new(const struct realm *realm)
{
    struct broker *broker = mem_new(struct broker);

    broker->realm = realm;
    broker->index = match_new(realm_is_standard(realm));
    broker->by_id = map_new();
    broker->retained = retained_new((size_t)realm->router->config->max_retained,
                                    (size_t)realm->router->config->max_retained_size);
    broker->open_retained = retained_new((size_t)realm->router->config->max_retained,
                                         (size_t)realm->router->config->max_retained_size);
    return broker;
}

void broker_free(struct broker *broker)
{
    if (!broker)
        return;
    match_free(broker->index);
    map_free(broker->by_id);
    retained_free(broker->retained);
    retained_free(broker->open_retained);
    free(broker);
}

/* ---- finding --------------------------------------------------------------------------------- */

size_t broker_n_subscriptions(const struct broker *broker)
{
    return broker->n_subscriptions;
}

struct topic *broker_by_id(const struct broker *broker, uint64_t id)
{
    return map_get(broker->by_id, map_u64(&id));
}

struct topic *broker_find(const struct broker *broker, enum match_kind kind, struct view uri)
{
    return match_get(broker->index, kind, match_normal(broker->index, kind, uri));
}

bool broker_next(const struct broker *broker, size_t *cursor, struct topic **ret_topic)
{
    void *topic;

    if (!map_next(broker->by_id, cursor, NULL, &topic))
        return false;
    *ret_topic = topic;
    return true;
}

void broker_matching(const struct broker *broker, struct view uri, match_visit *visit, void *user)
{
    match_all(broker->index, uri, visit, user);
}

struct sub *broker_sub_of(const struct conn *conn, uint64_t id)
{
    struct sub *sub;

    LIST_EACH(sub, &conn->subscriptions, of_conn) {
        if (sub->topic->id == id)
            return sub;
    }
    return NULL;
}

/* ---- listening ------------------------------------------------------------------------------- */

struct wish {
    struct view uri; /* as it is kept */
    enum match_kind kind;
    struct charge charge;
};

static bool check_subscribe(struct conn *conn, const struct rpc_register *ask, struct wish *wish,
                            struct err *err)
{
    const struct topic *topic;

    if (!match_read(ask->match, &wish->kind))
        return err_set(err, ERR_INVALID_ARGUMENT, "match: neither exact, prefix nor wildcard");
    wish->uri = match_normal(conn->realm->broker->index, wish->kind, ask->uri);
    if (!conn_may_match(conn, POLICY_SUBSCRIBE, wish->kind, wish->uri, err))
        return false;
    topic = match_get(conn->realm->broker->index, wish->kind, wish->uri);
    if (topic && broker_sub_of(conn, topic->id)) /* once more: it holds nothing more */
        return true;
    if (!match_has_room(conn->realm->broker->index, wish->kind, wish->uri))
        return match_refuse(err);
    if (quota_take(&conn->quota, QUOTA_SUBSCRIPTIONS, &wish->charge))
        return true;
    conn_over(conn, LIMIT_SUBSCRIPTIONS);
    return err_set(err, ERR_LIMIT, "%" PRIu64 " subscriptions",
                   conn->quota.limit[QUOTA_SUBSCRIPTIONS]);
}

static struct topic *topic_new(struct broker *broker, const struct wish *wish)
{
    struct topic *topic = mem_new(struct topic);

    topic->id = ++broker->last_subscription;
    topic->created_at = broker->realm->router->now.wall;
    topic->kind = wish->kind;
    topic->uri = buf_dup(wish->uri);
    list_init(&topic->listeners);
    match_set(broker->index, topic->kind, wish->uri, topic);
    map_set(broker->by_id, map_u64(&topic->id), topic);
    return topic;
}

/* False: it listens already, and the same topic twice is one subscription. */
static bool listen_to(struct conn *conn, struct topic *topic, struct charge charge)
{
    struct sub *sub;

    if (broker_sub_of(conn, topic->id)) {
        charge_release(&charge);
        return false;
    }
    sub = mem_new(struct sub);
    sub->topic = topic;
    sub->conn = conn;
    sub->charge = charge;
    list_append(&topic->listeners, &sub->of_topic);
    list_append(&conn->subscriptions, &sub->of_conn);
    topic->n_listeners++;
    conn->realm->broker->n_subscriptions++;
    return true;
}

static void drop_event(struct conn *conn)
{
    conn->n_events_dropped++;
    metrics_count(&conn->router->metrics, METRIC_EVENTS_DROPPED);
}

/* Its library would end at it. */
static void withhold(struct conn *conn)
{
    conn->n_events_dropped++;
    metrics_count(&conn->router->metrics, METRIC_WITHHELD_EVENTS);
}

struct retained_for {
    struct conn *conn;
    const struct topic *topic;
};

/* As if it had listened when the event was published. */
static bool may_have_retained(const struct conn *conn, const struct retained_event *kept)
{
    struct audience audience;
    struct err err;

    if (kept->but == conn->session)
        return false;
    if (!kept->lists)
        return true;
    if (!audience_read(NULL, kept->lists, &audience, &err))
        abort(); /* it was read before */
    return audience_has(&audience, conn);
}

static void give_retained(const struct retained_for *who, struct view uri,
                          const struct rpc_event *kept)
{
    struct rpc_msg msg = { .type = RPC_EVENT, .event = *kept };

    msg.event.subscription = who->topic->id;
    msg.event.retained = true;
    if (who->conn->realm->config->disclosure == REALM_NEVER) { /* it may have been otherwise then */
        msg.event.publisher = 0;
        msg.event.publisher_authid = msg.event.publisher_authrole = (struct view){ 0 };
    }
    if (who->topic->kind != MATCH_EXACT)
        msg.event.topic = uri;
    if (!rpc_ppt_is_empty(&kept->ppt) && !(who->conn->features & CONN_UNPACKS_EVENTS))
        return;
    if (conn_is_slow(who->conn)) { /* before its keywords are looked at */
        drop_event(who->conn);
        return;
    }
    if ((who->conn->features & CONN_IS_FRAIL) && frailty_find(RPC_EVENT, kept->payload)) {
        withhold(who->conn);
        return;
    }
    metrics_count(&who->conn->router->metrics, METRIC_EVENTS_DELIVERED);
    conn_send(who->conn, &msg);
}

static bool send_retained(void *user, struct view uri, const struct retained_event *kept)
{
    const struct retained_for *who = user;

    if (!may_have_retained(who->conn, kept))
        return false;
    give_retained(who, uri, &kept->event);
    return true;
}

bool broker_subscribe(struct conn *conn, const struct conn_input *in, _unused_ struct err *err)
{
    const struct rpc_register *ask = &in->msg->subscribe;
    struct broker *broker = conn->realm->broker;
    struct wish wish = { 0 };
    struct err why = { 0 };
    struct topic *topic;
    bool is_new, has_joined;

    if (!check_subscribe(conn, ask, &wish, &why)) {
        conn_refuse(conn, RPC_SUBSCRIBE, ask->request, &why);
        return true;
    }
    topic = match_get(broker->index, wish.kind, wish.uri);
    is_new = !topic;
    if (is_new)
        topic = topic_new(broker, &wish);
    has_joined = listen_to(conn, topic, wish.charge);
    conn_send(conn,
              &(struct rpc_msg){ .type = RPC_SUBSCRIBED, .ids = { ask->request, topic->id } });
    if (ask->get_retained) {
        const struct retained *both[] = { broker->retained, broker->open_retained };
        for (size_t i = 0; i < N_ELEMENTS(both); i++)
            conn_charge(conn,
                        retained_each(both[i], broker->index, topic->kind, buf_view(&topic->uri),
                                      send_retained, &(struct retained_for){ conn, topic }));
    }
    if (is_new)
        meta_on_topic(conn, topic, META_CREATED);
    if (has_joined)
        meta_on_topic(conn, topic, META_JOINED);
    return true;
}

/* ---- leaving --------------------------------------------------------------------------------- */

/* First of all it stops listening: nothing may be sent to one who leaves. */
static void unlink_sub(struct sub *sub)
{
    list_remove(&sub->of_topic);
    sub->topic->n_listeners--;
    sub->conn->realm->broker->n_subscriptions--;
}

static void sub_free(struct sub *sub)
{
    struct topic *topic = sub->topic;
    struct conn *conn = sub->conn;
    struct broker *broker = conn->realm->broker;

    list_remove(&sub->of_conn);
    charge_release(&sub->charge);
    free(sub);
    meta_on_topic(conn, topic, META_LEFT);
    if (!list_is_empty(&topic->listeners))
        return;
    match_remove(broker->index, topic->kind, buf_view(&topic->uri));
    map_remove(broker->by_id, map_u64(&topic->id));
    meta_on_topic(conn, topic, META_DELETED);
    buf_free(&topic->uri);
    free(topic);
}

bool broker_unsubscribe(struct conn *conn, const struct conn_input *in, _unused_ struct err *err)
{
    const struct rpc_ids *ask = &in->msg->ids;
    struct sub *sub = broker_sub_of(conn, ask->second);
    struct err why;

    if (!sub) {
        err_set(&why, ERR_NO_SUCH_SUBSCRIPTION, "%" PRIu64 " is no subscription of this session",
                ask->second);
        conn_refuse(conn, RPC_UNSUBSCRIBE, ask->request, &why);
        return true;
    }
    conn_send(conn, &(struct rpc_msg){ .type = RPC_UNSUBSCRIBED, .ids = { ask->request, 0 } });
    unlink_sub(sub);
    sub_free(sub);
    return true;
}

void broker_revoke(struct sub *sub, struct view reason)
{
    if (sub->conn->features & CONN_HEARS_UNSUBSCRIBED)
        conn_send(sub->conn, &(struct rpc_msg){ .type = RPC_UNSUBSCRIBED,
                                                .ids = { 0, sub->topic->id, reason } });
    unlink_sub(sub);
    sub_free(sub);
}

void broker_leave(struct conn *conn)
{
    struct sub *sub;

    LIST_EACH(sub, &conn->subscriptions, of_conn)
        unlink_sub(sub);
    LIST_EACH(sub, &conn->subscriptions, of_conn)
        sub_free(sub);
}

/* ---- sending --------------------------------------------------------------------------------- */

/* An event on its way: once for each subscription that it matches. */
struct delivery {
    const struct broker *broker;
    struct view uri;
    struct rpc_msg msg;
    const struct audience *audience; /* NULL: all who listen */
    const char *about;               /* an ID: only to it, den and admins; NULL: to all */
    bool is_meta;                    /* only to those who may use the meta API */
    /* Looked up for the first who is frail. */
    enum { HARM_UNKNOWN, HARMLESS, HARMFUL } harm;
    uint64_t n_looked_at; /* who listens, whether they get it or not */
};

enum { LISTENERS_A_REQUEST = 16 }; /* that cost whoever publishes as much as a request does */

static bool is_concerned(const struct conn *conn, const char *id)
{
    return conn->role == ROLE_DEN || conn->role == ROLE_ADMIN || view_eq_text(conn_id(conn), id);
}

static bool may_have(const struct delivery *delivery, const struct conn *conn)
{
    if (delivery->is_meta && !realm_may_meta(conn->realm, view_text(conn->authrole)))
        return false;
    if (delivery->about && !is_concerned(conn, delivery->about))
        return false;
    if (!rpc_ppt_is_empty(&delivery->msg.event.ppt) && !(conn->features & CONN_UNPACKS_EVENTS))
        return false;
    return !delivery->audience || audience_has(delivery->audience, conn);
}

static bool would_harm(struct delivery *delivery, const struct conn *conn)
{
    if (!(conn->features & CONN_IS_FRAIL))
        return false;
    if (delivery->harm == HARM_UNKNOWN)
        delivery->harm = frailty_find(RPC_EVENT, delivery->msg.event.payload) ? HARMFUL : HARMLESS;
    return delivery->harm == HARMFUL;
}

static struct parcel *write_event(struct delivery *delivery, const struct topic *topic)
{
    struct parcel *parcel = parcel_new(&delivery->broker->realm->router->backlog);

    delivery->msg.event.subscription = topic->id;
    delivery->msg.event.topic = topic->kind == MATCH_EXACT ? (struct view){ 0 } : delivery->uri;
    rpc_msg_write(&delivery->msg, &parcel->frame);
    return parcel;
}

/* Who listens now gets it, at once or in its turn. One who does not keep up loses it; where nobody
 * is left, it is not even written. */
static void distribute(void *user, void *value)
{
    struct delivery *delivery = user;
    const struct topic *topic = value;
    struct parcel *parcel = NULL;
    struct sub *sub;

    LIST_EACH(sub, &topic->listeners, of_topic) {
        delivery->n_looked_at++;
        if (!may_have(delivery, sub->conn))
            continue;
        if (conn_is_slow(sub->conn)) {
            drop_event(sub->conn);
        } else if (would_harm(delivery, sub->conn)) {
            withhold(sub->conn);
        } else {
            parcel = parcel ? parcel : write_event(delivery, topic);
            backlog_put(sub->conn, parcel);
        }
    }
    parcel_release(parcel);
}

static uint64_t new_publication(void)
{
    uint64_t publication;

    random_bytes(&publication, sizeof(publication));
    return (publication & (RPC_MAX_ID - 1)) + 1; /* any, as WAMP has it */
}

bool broker_is_heard(const struct broker *broker, const char *topic)
{
    return match_best(broker->index, view_text(topic)) != NULL;
}

void broker_announce(struct broker *broker, const char *topic, struct view args)
{
    broker_announce_about(broker, topic, args, NULL);
}

void broker_announce_about(struct broker *broker, const char *topic, struct view args,
                           const char *id)
{
    struct delivery delivery = { .broker = broker,
                                 .uri = view_text(topic),
                                 .about = id,
                                 .is_meta = rpc_uri_is_below(VIEW_LIT("wamp"), view_text(topic)),
                                 .msg = { .type = RPC_EVENT } };

    if (!broker_is_heard(broker, topic))
        return;
    delivery.msg.event.publication = new_publication();
    delivery.msg.event.payload = rpc_args(args);
    match_all(broker->index, delivery.uri, distribute, &delivery);
}

/* ---- publishing ------------------------------------------------------------------------------ */

static bool check_publish(struct conn *conn, const struct rpc_publish *ask, struct err *err)
{
    bool is_ours = !realm_is_standard(conn->realm);

    if (!conn_may(conn, POLICY_PUBLISH, ask->topic, err))
        return false;
    if (ask->retain && is_ours && conn->role != ROLE_DEN && !realm_is_open(conn->realm, ask->topic))
        return err_set(err, ERR_NOT_AUTHORIZED,
                       "retain: for den alone, and below names that the realm opens");
    if (!is_ours || !view_eq_text(ask->topic, "den.heartbeat"))
        return true;
    if (!network_take_heartbeat(conn->router, ask->payload, err))
        return false;
    conn->has_beaten = true;
    return true;
}

static struct retained *retained_by(struct conn *conn, struct view topic)
{
    struct broker *broker = conn->realm->broker;
    bool is_opened = !realm_is_standard(conn->realm) && realm_is_open(conn->realm, topic);

    return is_opened ? broker->open_retained : broker->retained;
}

static struct rpc_event event_of(const struct conn *conn, const struct rpc_publish *ask)
{
    struct rpc_event event = { .publication = new_publication(),
                               .payload = ask->payload,
                               .ppt = ask->ppt };

    if (!realm_discloses(conn->realm, ask->disclose_me))
        return event;
    event.publisher = conn->session;
    event.publisher_authid = conn_id(conn);
    event.publisher_authrole = view_text(conn->authrole);
    return event;
}

/* In our own realm an event without a payload takes away what is kept; WAMP knows no such thing. */
static bool retain(struct conn *conn, const struct rpc_publish *ask, const struct rpc_event *event,
                   bool is_for_all, struct err *err)
{
    struct retained *retained = retained_by(conn, ask->topic);
    const struct retained_event kept = { *event, is_for_all ? NULL : ask,
                                         ask->include_me ? 0 : conn->session };

    if (ask->payload.n == 0 && !realm_is_standard(conn->realm)) {
        retained_drop(retained, ask->topic);
        return true;
    }
    if (retained_set(retained, ask->topic, &kept, err))
        return true;
    conn_over(conn, LIMIT_RETAINED);
    return false;
}

static void log_refused(struct conn *conn, const struct rpc_publish *ask, const struct err *why)
{
    if (conn_may_log(conn))
        log_event(LOG_INFO, "publish_refused", "id=%s topic=%s why=%s", conn->id,
                  log_quote(ask->topic), log_quote_text(why->text));
}

bool broker_publish_as(struct conn *conn, const struct rpc_publish *ask, uint64_t *ret_publication,
                       struct err *err)
{
    struct broker *broker = conn->realm->broker;
    struct audience audience;
    struct delivery delivery = { .broker = broker, .uri = ask->topic, .audience = &audience };

    if (!audience_read(conn, ask, &audience, err) || !check_publish(conn, ask, err))
        return false;
    delivery.msg = (struct rpc_msg){ .type = RPC_EVENT, .event = event_of(conn, ask) };
    if (ask->retain && !retain(conn, ask, &delivery.msg.event, audience.is_all, err)) {
        if (ask->acknowledge) /* it hears why, and may publish it without */
            return false;
        log_refused(conn, ask, err);
    }
    match_all(broker->index, ask->topic, distribute, &delivery);
    conn_charge(conn, delivery.n_looked_at / LISTENERS_A_REQUEST);
    *ret_publication = delivery.msg.event.publication;
    return true;
}

bool broker_publish(struct conn *conn, const struct conn_input *in, struct err *err)
{
    const struct rpc_publish *ask = &in->msg->publish;
    uint64_t publication;
    struct err why = { 0 };

    if (!conn_may_pack(conn, CONN_PACKS_EVENTS, &ask->ppt, err))
        return err_wrap(err, "PUBLISH: options");

    if (ask->disclose_me && conn->realm->config->disclosure == REALM_NEVER) {
        err_set(&why, ERR_INVALID_ARGUMENT, "disclose_me: this realm names nobody");
        if (ask->acknowledge)
            conn_refuse_as(conn, RPC_PUBLISH, ask->request,
                           "wamp.error.option_disallowed.disclose_me", &why);
        return true;
    }
    if (!broker_publish_as(conn, ask, &publication, &why)) {
        log_refused(conn, ask, &why);
        if (ask->acknowledge)
            conn_refuse(conn, RPC_PUBLISH, ask->request, &why);
        return true;
    }
    if (ask->acknowledge)
        conn_send(conn,
                  &(struct rpc_msg){ .type = RPC_PUBLISHED, .ids = { ask->request, publication } });
    return true;
}

void broker_retain(struct broker *broker, const char *topic, struct view args)
{
    struct retained_event event = { .event = { .publication = new_publication(),
                                               .publisher_authid = VIEW_LIT("den"),
                                               .publisher_authrole = VIEW_LIT("den"),
                                               .payload = rpc_args(args) } };
    struct err err;

    if (!retained_set(broker->retained, view_text(topic), &event, &err))
        log_event(LOG_WARN, "retain", "topic=%s why=%s", topic, log_quote_text(err.text));
}
