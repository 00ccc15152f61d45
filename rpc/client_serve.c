/* SPDX-License-Identifier: Apache-2.0 */
/* What a client offers and listens to: registrations and subscriptions outlive sessions,
 * invocations do not. */
#include "rpc/client_state.h"

/* ---- registrations and subscriptions --------------------------------------------------------- */

static struct rpc_client_reg *reg_new(struct list *list, const char *uri, void *user)
{
    struct rpc_client_reg *reg = mem_new(struct rpc_client_reg);

    reg->uri = mem_text(uri);
    reg->user = user;
    reg->retry_at = NEVER_MS;
    list_append(list, &reg->node);
    return reg;
}

static void reg_free(struct map *by_id, struct rpc_client_reg *reg)
{
    if (reg->id && by_id)
        map_remove(by_id, map_u64(&reg->id));
    list_remove(&reg->node);
    free(reg->uri);
    free(reg);
}

static void ask(struct rpc_client *c, struct rpc_client_reg *reg)
{
    struct rpc_msg msg = { .type = reg->on_inv ? RPC_REGISTER : RPC_SUBSCRIBE };

    reg->retry_at = NEVER_MS;
    if (!rpc_client_is_up(c))
        return;
    reg->request = rpc_client_next_request(c);
    msg.reg.request = reg->request;
    msg.reg.uri = view_text(reg->uri);
    msg.reg.get_retained = reg->get_retained;
    rpc_client_send(c, &msg);
}

void rpc_client_register(struct rpc_client *c, uint64_t now, const char *procedure,
                         rpc_on_inv *on_inv, void *user)
{
    struct rpc_client_reg *reg = reg_new(&c->regs, procedure, user);

    (void)now;
    reg->on_inv = on_inv;
    ask(c, reg);
}

void rpc_client_subscribe(struct rpc_client *c, uint64_t now, const char *topic, bool get_retained,
                          rpc_on_event *on_event, void *user)
{
    struct rpc_client_reg *sub = reg_new(&c->subs, topic, user);

    (void)now;
    sub->on_event = on_event;
    sub->get_retained = get_retained;
    ask(c, sub);
}

static void send_unregister(struct rpc_client *c, uint64_t registration)
{
    struct rpc_msg msg = { .type = RPC_UNREGISTER };

    msg.ids.request = rpc_client_next_request(c);
    msg.ids.second = registration;
    rpc_client_send(c, &msg);
}

/* One that is not answered yet is taken back when its REGISTERED comes. */
void rpc_client_unregister(struct rpc_client *c, uint64_t now, const char *procedure)
{
    struct rpc_client_reg *reg;

    (void)now;
    LIST_EACH(reg, &c->regs, node) {
        if (reg->is_gone || strcmp(reg->uri, procedure) != 0)
            continue;
        if (rpc_client_is_up(c) && reg->request) {
            reg->is_gone = true;
            return;
        }
        if (rpc_client_is_up(c) && reg->id)
            send_unregister(c, reg->id);
        reg_free(c->regs_by_id, reg);
        return;
    }
}

static struct rpc_client_reg *find_request(struct list *list, uint64_t request)
{
    struct rpc_client_reg *reg;

    LIST_EACH(reg, list, node)
        if (reg->request == request)
            return reg;
    return NULL;
}

static struct rpc_client_reg *granted(struct list *list, const struct rpc_ids *ids, struct err *err)
{
    struct rpc_client_reg *reg = find_request(list, ids->request);

    if (!reg) {
        err_set(err, ERR_BAD_WIRE, "nothing was asked under this number");
        return NULL;
    }
    reg->request = 0;
    reg->id = ids->second;
    return reg;
}

bool rpc_client_on_registered(struct rpc_client *c, const struct rpc_msg *msg, struct err *err)
{
    struct rpc_client_reg *reg = granted(&c->regs, &msg->ids, err);

    if (!reg)
        return false;
    map_set(c->regs_by_id, map_u64(&reg->id), reg);
    if (reg->is_gone) {
        send_unregister(c, reg->id);
        reg_free(c->regs_by_id, reg);
    }
    return true;
}

bool rpc_client_on_subscribed(struct rpc_client *c, const struct rpc_msg *msg, struct err *err)
{
    return granted(&c->subs, &msg->ids, err) != NULL;
}

static void lose_one(struct rpc_client *c, struct list *list, uint64_t id)
{
    struct rpc_client_reg *reg;

    LIST_EACH(reg, list, node) {
        if (reg->id != id)
            continue;
        reg->id = 0;
        reg->retry_at = c->now + RPC_CLIENT_RETRY_MS;
    }
}

/* The answer to our own wish needs nothing; what the router takes away is asked for again. */
bool rpc_client_on_revoked(struct rpc_client *c, const struct rpc_msg *msg, struct err *err)
{
    uint64_t id = msg->ids.second;

    (void)err;
    if (msg->ids.request)
        return true;
    if (msg->type == RPC_UNSUBSCRIBED) {
        lose_one(c, &c->subs, id);
        return true;
    }
    map_remove(c->regs_by_id, map_u64(&id));
    lose_one(c, &c->regs, id);
    return true;
}

bool rpc_client_serve_error(struct rpc_client *c, const struct rpc_error *error)
{
    struct list *list = error->request_type == RPC_REGISTER    ? &c->regs
                        : error->request_type == RPC_SUBSCRIBE ? &c->subs
                                                               : NULL;
    struct rpc_client_reg *reg = list ? find_request(list, error->request) : NULL;
    struct err why;

    if (!reg)
        return false;
    reg->request = 0;
    if (reg->is_gone) {
        reg_free(c->regs_by_id, reg);
        return true;
    }
    reg->retry_at = c->now + RPC_CLIENT_RETRY_MS;
    rpc_error_read(error->uri, error->payload, &why);
    if (c->config.on_refused)
        c->config.on_refused(c->config.user, reg->uri, &why);
    return true;
}

/* ---- over sessions --------------------------------------------------------------------------- */

void rpc_client_serve_up(struct rpc_client *c)
{
    struct rpc_client_reg *reg;

    LIST_EACH(reg, &c->regs, node)
        ask(c, reg);
    LIST_EACH(reg, &c->subs, node)
        ask(c, reg);
}

static void lose(struct list *list, struct map *by_id)
{
    struct rpc_client_reg *reg;

    LIST_EACH(reg, list, node) {
        if (reg->id && by_id)
            map_remove(by_id, map_u64(&reg->id));
        reg->id = reg->request = 0;
        reg->retry_at = NEVER_MS;
        if (reg->is_gone)
            reg_free(by_id, reg);
    }
}

static void drop_invs(struct rpc_client *c)
{
    size_t cursor = 0;
    struct view key;
    void *inv;

    while (map_next(c->invs, &cursor, &key, &inv)) {
        map_remove(c->invs, key);
        free(inv);
    }
}

void rpc_client_serve_down(struct rpc_client *c)
{
    lose(&c->regs, c->regs_by_id);
    lose(&c->subs, NULL);
    drop_invs(c);
}

static void retry(struct rpc_client *c, struct list *list)
{
    struct rpc_client_reg *reg;

    LIST_EACH(reg, list, node)
        if (reg->retry_at <= c->now)
            ask(c, reg);
}

void rpc_client_serve_tick(struct rpc_client *c)
{
    retry(c, &c->regs);
    retry(c, &c->subs);
}

static uint64_t earliest(const struct list *list)
{
    const struct rpc_client_reg *reg;
    uint64_t at = NEVER_MS;

    LIST_EACH(reg, list, node)
        at = min_u64(at, reg->retry_at);
    return at;
}

uint64_t rpc_client_serve_deadline(const struct rpc_client *c)
{
    return min_u64(earliest(&c->regs), earliest(&c->subs));
}

void rpc_client_serve_free(struct rpc_client *c)
{
    struct rpc_client_reg *reg;

    LIST_EACH(reg, &c->regs, node)
        reg_free(c->regs_by_id, reg);
    LIST_EACH(reg, &c->subs, node)
        reg_free(NULL, reg);
    drop_invs(c);
}

/* ---- being called ---------------------------------------------------------------------------- */

static void send_error(struct rpc_client *c, uint64_t request, const char *name_space,
                       const struct err *why)
{
    struct rpc_msg msg = { .type = RPC_ERROR };
    _buf_ uri = { 0 };
    _buf_ payload = { 0 };

    rpc_error_uri(name_space, why->code, &uri);
    rpc_error_put_payload(why, &payload);
    msg.error.request_type = RPC_INVOCATION;
    msg.error.request = request;
    msg.error.uri = buf_view(&uri);
    msg.error.payload = (struct rpc_payload){ buf_view(&payload), 2 };
    rpc_client_send(c, &msg);
}

/* The stamp is the router's word about its caller: it must be whole. Its own calls carry a role
 * alone. */
static bool check_stamp(const struct rpc_invocation *in, struct err *err)
{
    if (in->caller_authrole.len && (in->caller == 0 || in->caller_authid.len))
        return true;
    return err_set(err, ERR_BAD_WIRE, "the caller is not disclosed");
}

static uint64_t inv_number(const struct rpc_client *c, uint64_t request)
{
    return (c->epoch << RPC_CLIENT_EPOCH_SHIFT) + request;
}

static struct rpc_client_inv *find_inv(const struct rpc_client *c, uint64_t request)
{
    uint64_t number = inv_number(c, request);

    return map_get(c->invs, map_u64(&number));
}

bool rpc_client_on_invocation(struct rpc_client *c, const struct rpc_msg *msg, struct err *err)
{
    const struct rpc_invocation *in = &msg->invocation;
    struct rpc_client_reg *reg = map_get(c->regs_by_id, map_u64(&in->registration));
    struct rpc_client_inv *inv;
    struct rpc_inv given;
    struct err why;

    if (!check_stamp(in, err))
        return false;
    if (find_inv(c, in->request))
        return err_set(err, ERR_BAD_WIRE, "request: %llu is unanswered",
                       (unsigned long long)in->request);
    if (!reg || map_count(c->invs) >= RPC_CLIENT_MAX_INVS) { /* just unregistered, or flooded */
        err_set(&why, reg ? ERR_BUSY : ERR_NO_SUCH_PROCEDURE,
                reg ? "too many calls at once" : "not served any more");
        send_error(c, in->request, "peer", &why);
        return true;
    }
    inv = mem_new(struct rpc_client_inv);
    inv->number = inv_number(c, in->request);
    inv->request = in->request;
    inv->wants_progress = in->receive_progress;
    map_set(c->invs, map_u64(&inv->number), inv);
    given = (struct rpc_inv){ .number = inv->number, .invocation = in };
    reg->on_inv(reg->user, &given);
    return true;
}

/* Whoever serves it goes on, for nobody: its answer will be dropped here. */
bool rpc_client_on_interrupt(struct rpc_client *c, const struct rpc_msg *msg, struct err *err)
{
    struct rpc_client_inv *inv = find_inv(c, msg->interrupt.request);
    struct err why;

    (void)err;
    if (!inv) /* answered meanwhile */
        return true;
    map_remove(c->invs, map_u64(&inv->number));
    if (!view_eq_text(msg->interrupt.mode, "killnowait")) { /* who canceled it waits */
        err_set(&why, ERR_CANCELED, "its caller canceled it");
        send_error(c, inv->request, "peer", &why);
    }
    free(inv);
    return true;
}

void rpc_client_yield(struct rpc_client *c, uint64_t number, bool is_progress, struct view args)
{
    struct rpc_client_inv *inv = map_get(c->invs, map_u64(&number));
    struct rpc_msg msg = { .type = RPC_YIELD };

    if (!inv || (is_progress && !inv->wants_progress))
        return;
    msg.yield.request = inv->request;
    msg.yield.progress = is_progress;
    msg.yield.payload = rpc_args(args);
    rpc_client_send(c, &msg);
    if (!is_progress)
        free(map_remove(c->invs, map_u64(&number)));
}

void rpc_client_refuse(struct rpc_client *c, uint64_t number, const char *name_space,
                       const struct err *why)
{
    struct rpc_client_inv *inv = map_remove(c->invs, map_u64(&number));

    if (inv)
        send_error(c, inv->request, name_space, why);
    free(inv);
}

/* ---- events ---------------------------------------------------------------------------------- */

bool rpc_client_on_event(struct rpc_client *c, const struct rpc_msg *msg, struct err *err)
{
    const struct rpc_client_reg *sub;

    (void)err;
    LIST_EACH(sub, &c->subs, node) /* the same topic twice has one id */
        if (sub->id == msg->event.subscription)
            sub->on_event(sub->user, &msg->event);
    return true;
}

void rpc_client_publish(struct rpc_client *c, uint64_t now, const char *topic,
                        const struct rpc_publish_options *options, struct view args)
{
    struct rpc_msg msg = { .type = RPC_PUBLISH };
    _buf_ eligible = { 0 };

    (void)now;
    if (!rpc_client_is_up(c))
        return;
    if (options && options->n_eligible) {
        rpc_put_array(&eligible, (uint32_t)options->n_eligible);
        for (size_t i = 0; i < options->n_eligible; i++)
            rpc_put_str(&eligible, options->eligible_authid[i]);
    }
    msg.publish.request = rpc_client_next_request(c);
    msg.publish.retain = options && options->retain;
    msg.publish.eligible_authid = buf_view(&eligible);
    msg.publish.topic = view_text(topic);
    msg.publish.payload = rpc_args(args);
    rpc_client_send(c, &msg);
}
