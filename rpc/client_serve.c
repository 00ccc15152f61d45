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
    free(reg->match);
    free(reg->invoke);
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
    msg.reg.match = view_text(reg->match);
    msg.reg.invoke = view_text(reg->invoke);
    msg.reg.get_retained = reg->get_retained;
    rpc_client_send(c, &msg);
}

struct rpc_client_reg *rpc_client_take_up(struct rpc_client *c,
                                          const struct rpc_reg_options *options)
{
    struct rpc_client_reg *reg =
        reg_new(options->on_inv ? &c->regs : &c->subs, options->uri, options->user);

    reg->match = options->match ? mem_text(options->match) : NULL;
    reg->invoke = options->invoke ? mem_text(options->invoke) : NULL;
    reg->on_inv = options->on_inv;
    reg->on_event = options->on_event;
    reg->on_state = options->on_state;
    reg->get_retained = options->get_retained;
    ask(c, reg);
    return reg;
}

void rpc_client_register(struct rpc_client *c, uint64_t now, const char *procedure,
                         rpc_on_inv *on_inv, void *user)
{
    const struct rpc_reg_options options = { .uri = procedure, .on_inv = on_inv, .user = user };

    (void)now;
    rpc_client_take_up(c, &options);
}

void rpc_client_subscribe(struct rpc_client *c, uint64_t now, const char *topic, bool get_retained,
                          rpc_on_event *on_event, void *user)
{
    const struct rpc_reg_options options = {
        .uri = topic, .get_retained = get_retained, .on_event = on_event, .user = user
    };

    (void)now;
    rpc_client_take_up(c, &options);
}

/* The same topic twice has one id at the router, and goes with the last of them. */
static bool is_shared(const struct rpc_client *c, const struct rpc_client_reg *sub)
{
    const struct rpc_client_reg *other;

    LIST_EACH(other, &c->subs, node)
        if (other != sub && other->id == sub->id)
            return true;
    return false;
}

static void send_end(struct rpc_client *c, const struct rpc_client_reg *reg)
{
    struct rpc_msg msg = { .type = reg->on_inv ? RPC_UNREGISTER : RPC_UNSUBSCRIBE };

    if (!reg->on_inv && is_shared(c, reg))
        return;
    msg.ids.request = rpc_client_next_request(c);
    msg.ids.second = reg->id;
    rpc_client_send(c, &msg);
}

/* One that is not answered yet is taken back when its answer comes. */
void rpc_client_give_up(struct rpc_client *c, struct rpc_client_reg *reg)
{
    reg->on_state = NULL;
    if (rpc_client_is_up(c) && reg->request) {
        reg->is_gone = true;
        return;
    }
    if (rpc_client_is_up(c) && reg->id)
        send_end(c, reg);
    reg_free(reg->on_inv ? c->regs_by_id : NULL, reg);
}

void rpc_client_unregister(struct rpc_client *c, uint64_t now, const char *procedure)
{
    struct rpc_client_reg *reg;

    (void)now;
    LIST_EACH(reg, &c->regs, node) {
        if (!reg->is_gone && strcmp(reg->uri, procedure) == 0) {
            rpc_client_give_up(c, reg);
            return;
        }
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

/* False: it was given up meanwhile, and is freed. */
static bool still_wanted(struct rpc_client *c, struct rpc_client_reg *reg)
{
    if (!reg->is_gone) {
        if (reg->on_state)
            reg->on_state(reg->user, NULL);
        return true;
    }
    send_end(c, reg);
    reg_free(reg->on_inv ? c->regs_by_id : NULL, reg);
    return false;
}

bool rpc_client_on_registered(struct rpc_client *c, const struct rpc_msg *msg, struct err *err)
{
    struct rpc_client_reg *reg = granted(&c->regs, &msg->ids, err);

    if (!reg)
        return false;
    map_set(c->regs_by_id, map_u64(&reg->id), reg);
    still_wanted(c, reg);
    return true;
}

bool rpc_client_on_subscribed(struct rpc_client *c, const struct rpc_msg *msg, struct err *err)
{
    struct rpc_client_reg *sub = granted(&c->subs, &msg->ids, err);

    if (!sub)
        return false;
    still_wanted(c, sub);
    return true;
}

static void lose_one(struct rpc_client *c, struct list *list, uint64_t id)
{
    struct rpc_client_reg *reg;
    struct err why;

    LIST_EACH(reg, list, node) {
        if (reg->id != id)
            continue;
        reg->id = 0;
        reg->retry_at = c->now + RPC_CLIENT_RETRY_MS;
        err_set(&why, ERR_CANCELED, "the router took it away");
        if (reg->on_state)
            reg->on_state(reg->user, &why);
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
    if (reg->on_state)
        reg->on_state(reg->user, &why);
    else if (c->config.on_refused)
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

static void raise_error(struct rpc_client *c, uint64_t request, struct view uri,
                        struct rpc_payload payload)
{
    struct rpc_msg msg = { .type = RPC_ERROR };

    msg.error.request_type = RPC_INVOCATION;
    msg.error.request = request;
    msg.error.uri = uri;
    msg.error.payload = payload;
    rpc_client_send(c, &msg);
}

static void send_error(struct rpc_client *c, uint64_t request, const char *name_space,
                       const struct err *why)
{
    _buf_ uri = { 0 };
    _buf_ payload = { 0 };

    rpc_error_uri(name_space, why->code, &uri);
    rpc_error_put_payload(why, &payload);
    raise_error(c, request, buf_view(&uri), (struct rpc_payload){ buf_view(&payload), 2 });
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

/* Whoever serves it may go on, for nobody: its answer will be dropped here. */
bool rpc_client_on_interrupt(struct rpc_client *c, const struct rpc_msg *msg, struct err *err)
{
    struct rpc_client_inv *inv = find_inv(c, msg->interrupt.request);
    uint64_t number = inv ? inv->number : 0;
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
    if (c->config.on_interrupt)
        c->config.on_interrupt(c->config.user, number);
    return true;
}

void rpc_client_answer(struct rpc_client *c, uint64_t number, bool is_progress,
                       struct rpc_payload payload)
{
    struct rpc_client_inv *inv = map_get(c->invs, map_u64(&number));
    struct rpc_msg msg = { .type = RPC_YIELD };

    if (!inv || (is_progress && !inv->wants_progress))
        return;
    msg.yield.request = inv->request;
    msg.yield.progress = is_progress;
    msg.yield.payload = payload;
    rpc_client_send(c, &msg);
    if (!is_progress)
        free(map_remove(c->invs, map_u64(&number)));
}

void rpc_client_yield(struct rpc_client *c, uint64_t number, bool is_progress, struct view args)
{
    rpc_client_answer(c, number, is_progress, rpc_args(args));
}

void rpc_client_raise(struct rpc_client *c, uint64_t number, const char *uri,
                      struct rpc_payload payload)
{
    struct rpc_client_inv *inv = map_remove(c->invs, map_u64(&number));

    if (inv)
        raise_error(c, inv->request, view_text(uri), payload);
    free(inv);
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

static uint64_t request_of(struct rpc_client *c, uint64_t now,
                           const struct rpc_publish_options *options)
{
    const struct rpc_client_call like = { .timeout = RPC_CLIENT_PUBLISH_MS,
                                          .is_publish = true,
                                          .on_outcome = options->on_published,
                                          .user = options->user };

    if (!options->on_published)
        return rpc_client_next_request(c);
    return rpc_client_await(c, now, &like) - (c->epoch << RPC_CLIENT_EPOCH_SHIFT);
}

void rpc_client_tell(struct rpc_client *c, uint64_t now, const char *topic,
                     const struct rpc_publish_options *options, struct rpc_payload payload)
{
    static const struct rpc_publish_options defaults;
    struct rpc_msg msg = { .type = RPC_PUBLISH };
    _buf_ eligible = { 0 };

    options = options ? options : &defaults;
    msg.publish.request = request_of(c, now, options);
    if (!rpc_client_is_up(c))
        return;
    if (options->n_eligible) {
        rpc_put_array(&eligible, (uint32_t)options->n_eligible);
        for (size_t i = 0; i < options->n_eligible; i++)
            rpc_put_str(&eligible, options->eligible_authid[i]);
    }
    msg.publish.acknowledge = options->on_published != NULL;
    msg.publish.include_me = options->include_me;
    msg.publish.retain = options->retain;
    msg.publish.eligible_authid = buf_view(&eligible);
    msg.publish.topic = view_text(topic);
    msg.publish.payload = payload;
    rpc_client_send(c, &msg);
}

void rpc_client_publish(struct rpc_client *c, uint64_t now, const char *topic,
                        const struct rpc_publish_options *options, struct view args)
{
    rpc_client_tell(c, now, topic, options, rpc_args(args));
}
