/* SPDX-License-Identifier: Apache-2.0 */
#include "router/broker.h"
#include "router/network.h"
#include "router/router.h"

#include <inttypes.h>

enum { MAX_ELIGIBLE = 64 };

struct topic {
    uint64_t id; /* of the subscription: one for all who listen */
    struct buf uri;
    struct list listeners; /* struct sub */
    struct buf retained;   /* the payload; empty: none */
    uint32_t n_retained;   /* its number of values */
    uint64_t publication;  /* of the retained event */
};

struct sub {
    struct list of_topic, of_conn;
    struct topic *topic;
    struct conn *conn;
    struct charge charge;
};

struct broker {
    struct map *by_uri, *by_id; /* struct topic */
    uint64_t last_subscription;
    size_t n_subscriptions;
};

struct broker *broker_new(_unused_ struct router *router)
{
    struct broker *broker = mem_new(struct broker);

    broker->by_uri = map_new();
    broker->by_id = map_new();
    return broker;
}

static struct topic *make_topic(struct broker *broker, struct view uri)
{
    struct topic *topic = map_get(broker->by_uri, uri);

    if (topic)
        return topic;
    topic = mem_new(struct topic);
    topic->id = ++broker->last_subscription;
    topic->uri = buf_dup(uri);
    list_init(&topic->listeners);
    map_set(broker->by_uri, uri, topic);
    map_set(broker->by_id, map_u64(&topic->id), topic);
    return topic;
}

static void topic_free(struct broker *broker, struct topic *topic)
{
    map_remove(broker->by_uri, buf_view(&topic->uri));
    map_remove(broker->by_id, map_u64(&topic->id));
    buf_free(&topic->uri);
    buf_free(&topic->retained);
    free(topic);
}

void broker_free(struct broker *broker)
{
    size_t cursor = 0;
    void *topic;

    if (!broker)
        return;
    while (map_next(broker->by_uri, &cursor, NULL, &topic))
        topic_free(broker, topic);
    map_free(broker->by_uri);
    map_free(broker->by_id);
    free(broker);
}

void broker_announce(struct broker *broker, const char *topic, struct view args)
{
    const struct topic *found = map_get(broker->by_uri, view_text(topic));
    struct rpc_msg event = { .type = RPC_EVENT };
    uint64_t publication = 0;
    _buf_ bytes = { 0 };
    struct sub *sub;

    if (!found)
        return;
    random_bytes(&publication, 6);
    event.event = (struct rpc_event){ .subscription = found->id,
                                      .publication = publication + 1,
                                      .payload = rpc_args(args) };
    rpc_msg_write(&event, &bytes); /* not the router's scratch: others may be writing there */
    LIST_EACH(sub, &found->listeners, of_topic) {
        if (conn_is_slow(sub->conn))
            sub->conn->n_events_dropped++;
        else
            sub->conn->router->outside.send(sub->conn->wire, buf_view(&bytes));
    }
}

size_t broker_n_subscriptions(const struct broker *broker)
{
    return broker->n_subscriptions;
}

static void sub_free(struct sub *sub)
{
    struct broker *broker = sub->conn->realm->broker;
    struct topic *topic = sub->topic;

    list_remove(&sub->of_topic);
    list_remove(&sub->of_conn);
    charge_release(&sub->charge);
    free(sub);
    broker->n_subscriptions--;
    if (list_is_empty(&topic->listeners) && topic->retained.len == 0)
        topic_free(broker, topic);
}

void broker_leave(struct conn *conn)
{
    struct sub *sub;

    LIST_EACH(sub, &conn->subscriptions, of_conn)
        sub_free(sub);
}

/* ---- listening ------------------------------------------------------------------------------- */

static struct sub *find_sub(struct conn *conn, const struct topic *topic)
{
    struct sub *sub;

    LIST_EACH(sub, &conn->subscriptions, of_conn) {
        if (sub->topic == topic)
            return sub;
    }
    return NULL;
}

static bool check_subscribe(struct conn *conn, const struct rpc_register *ask,
                            struct charge *ret_charge, struct err *err)
{
    if (!conn_may(conn, POLICY_SUBSCRIBE, ask->uri, err))
        return false;
    if (ask->match.len && !view_eq_text(ask->match, "exact"))
        return err_set(err, ERR_INVALID_ARGUMENT, "match: only \"exact\" is served");
    if (!quota_take(&conn->quota, QUOTA_SUBSCRIPTIONS, ret_charge))
        return err_set(err, ERR_LIMIT, "%" PRIu64 " subscriptions",
                       conn->quota.limit[QUOTA_SUBSCRIPTIONS]);
    return true;
}

static void listen_to(struct conn *conn, struct topic *topic, struct charge charge)
{
    struct sub *sub;

    if (find_sub(conn, topic)) { /* the same topic twice is one subscription */
        charge_release(&charge);
        return;
    }
    sub = mem_new(struct sub);
    sub->topic = topic;
    sub->conn = conn;
    sub->charge = charge;
    list_append(&topic->listeners, &sub->of_topic);
    list_append(&conn->subscriptions, &sub->of_conn);
    conn->realm->broker->n_subscriptions++;
}

/* Only den's events are retained: its name is all that there is to disclose. */
static void send_retained(struct conn *conn, const struct topic *topic)
{
    struct rpc_event event = {
        .subscription = topic->id,
        .publication = topic->publication,
        .retained = true,
        .publisher_authid = VIEW_LIT("den"),
        .publisher_authrole = VIEW_LIT("den"),
        .payload = { buf_view(&topic->retained), topic->n_retained },
    };

    conn_send(conn, &(struct rpc_msg){ .type = RPC_EVENT, .event = event });
}

bool broker_subscribe(struct conn *conn, const struct conn_input *in, _unused_ struct err *err)
{
    const struct rpc_register *ask = &in->msg->subscribe;
    struct charge charge = { 0 };
    struct err why = { 0 };
    struct topic *topic;

    if (!check_subscribe(conn, ask, &charge, &why)) {
        conn_refuse(conn, RPC_SUBSCRIBE, ask->request, &why);
        return true;
    }
    topic = make_topic(conn->realm->broker, ask->uri);
    listen_to(conn, topic, charge);
    conn_send(conn,
              &(struct rpc_msg){ .type = RPC_SUBSCRIBED, .ids = { ask->request, topic->id } });
    if (ask->get_retained && topic->retained.len)
        send_retained(conn, topic);
    return true;
}

bool broker_unsubscribe(struct conn *conn, const struct conn_input *in, _unused_ struct err *err)
{
    const struct rpc_ids *ask = &in->msg->ids;
    const struct topic *topic = map_get(conn->realm->broker->by_id, map_u64(&ask->second));
    struct sub *sub = topic ? find_sub(conn, topic) : NULL;
    struct err why;

    if (!sub) {
        err_set(&why, ERR_NO_SUCH_SUBSCRIPTION, "%" PRIu64 " is no subscription of this session",
                ask->second);
        conn_refuse(conn, RPC_UNSUBSCRIBE, ask->request, &why);
        return true;
    }
    sub_free(sub);
    conn_send(conn, &(struct rpc_msg){ .type = RPC_UNSUBSCRIBED, .ids = { ask->request, 0 } });
    return true;
}

/* ---- publishing ------------------------------------------------------------------------------ */

struct eligible {
    struct view id[MAX_ELIGIBLE];
    size_t n;
    bool is_all;
};

static bool read_eligible(struct view array, struct eligible *ret_eligible, struct err *err)
{
    struct rpc_fields f;

    ret_eligible->n = 0;
    ret_eligible->is_all = array.len == 0;
    if (ret_eligible->is_all)
        return true;
    rpc_fields_open(&f, array);
    while (rpc_fields_more(&f)) {
        struct view id = rpc_fields_text(&f, "eligible_authid", RPC_MAX_URI);
        if (ret_eligible->n == MAX_ELIGIBLE)
            return err_set(err, ERR_LIMIT, "eligible_authid: more than %d", MAX_ELIGIBLE);
        ret_eligible->id[ret_eligible->n++] = id;
    }
    return rpc_fields_end(&f, err);
}

static bool is_eligible(const struct eligible *eligible, const struct conn *conn)
{
    for (size_t i = 0; i < eligible->n; i++) {
        if (view_eq(eligible->id[i], conn_id(conn)))
            return true;
    }
    return eligible->is_all;
}

static bool check_publish(struct conn *conn, const struct rpc_publish *ask,
                          struct eligible *ret_eligible, struct err *err)
{
    if (!conn_may(conn, POLICY_PUBLISH, ask->topic, err))
        return false;
    if (!read_eligible(ask->eligible_authid, ret_eligible, err))
        return false;
    if (realm_is_standard(conn->realm))
        return true;
    if (ask->retain && (conn->role != ROLE_DEN || !ret_eligible->is_all))
        return err_set(err, ERR_NOT_AUTHORIZED,
                       "retain: for den alone, and for events that all may see");
    if (view_eq_text(ask->topic, "den.heartbeat"))
        return network_take_heartbeat(conn->router, ask->payload, err);
    return true;
}

static void retain(struct topic *topic, uint64_t publication, struct rpc_payload payload)
{
    buf_clear(&topic->retained);
    buf_put(&topic->retained, payload.bytes);
    topic->n_retained = payload.n;
    topic->publication = publication;
}

void broker_retain(struct broker *broker, const char *topic, struct view args)
{
    uint64_t publication = 0;

    random_bytes(&publication, 6);
    retain(make_topic(broker, view_text(topic)), publication + 1, rpc_args(args));
}

/* Written once, sent to all. One who does not keep up loses it. */
static void distribute(const struct conn *from, const struct topic *topic,
                       const struct rpc_publish *ask, const struct eligible *eligible,
                       uint64_t publication)
{
    struct router *router = from->router;
    struct rpc_msg event = {
        .type = RPC_EVENT,
        .event = { .subscription = topic->id,
                   .publication = publication,
                   .publisher = from->session,
                   .publisher_authid = conn_id(from),
                   .publisher_authrole = view_text(from->authrole),
                   .payload = ask->payload },
    };
    struct sub *sub;

    buf_clear(&router->scratch);
    rpc_msg_write(&event, &router->scratch);
    LIST_EACH(sub, &topic->listeners, of_topic) {
        if ((sub->conn == from && !ask->include_me) || !is_eligible(eligible, sub->conn))
            continue;
        if (conn_is_slow(sub->conn))
            sub->conn->n_events_dropped++;
        else
            router->outside.send(sub->conn->wire, buf_view(&router->scratch));
    }
}

static void publish(struct conn *conn, const struct rpc_publish *ask,
                    const struct eligible *eligible, uint64_t publication)
{
    struct broker *broker = conn->realm->broker;
    struct topic *topic =
        ask->retain ? make_topic(broker, ask->topic) : map_get(broker->by_uri, ask->topic);

    if (!topic) /* nobody listens */
        return;
    if (ask->retain)
        retain(topic, publication, ask->payload);
    distribute(conn, topic, ask, eligible, publication);
    if (list_is_empty(&topic->listeners) &&
        topic->retained.len == 0) /* retained nothing, for nobody */
        topic_free(broker, topic);
}

bool broker_publish(struct conn *conn, const struct conn_input *in, _unused_ struct err *err)
{
    const struct rpc_publish *ask = &in->msg->publish;
    struct eligible eligible;
    uint64_t publication = 0;
    struct err why = { 0 };

    if (!check_publish(conn, ask, &eligible, &why)) {
        log_event(LOG_INFO, "publish_refused", "id=%s topic=%s why=%s", conn->id,
                  log_quote(ask->topic), log_quote_text(why.text));
        if (ask->acknowledge)
            conn_refuse(conn, RPC_PUBLISH, ask->request, &why);
        return true;
    }
    random_bytes(&publication, 6); /* 48 bits */
    publication++;
    publish(conn, ask, &eligible, publication);
    if (ask->acknowledge)
        conn_send(conn,
                  &(struct rpc_msg){ .type = RPC_PUBLISHED, .ids = { ask->request, publication } });
    return true;
}
