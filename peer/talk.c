/* SPDX-License-Identifier: Apache-2.0 */
/* Procedures and topics, as the application sees them: arguments are checked here, so that nothing leaves that the router would end
 * the session for. */
#include "peer/errand.h"

/* OVERHEAD: what an errand costs beside its payload. */
enum {
    OVERHEAD = 512,
    DEFAULT_TIMEOUT_MS = 60000,
    MAX_TIMEOUT_MS = 24 * 3600 * 1000,
    MAX_SIGNED = 64 * 1024,
};

static const struct {
    const char *name;
    unsigned max;
} kinds[TALK_KINDS] = {
    [TALK_CALL] = { "calls", 1024 },
    [TALK_REGISTRATION] = { "registrations", 256 },
    [TALK_INVOCATION] = { "invocations", UINT32_MAX },
    [TALK_SUBSCRIPTION] = { "subscriptions", 256 },
    [TALK_PUBLICATION] = { "publications that wait for their acknowledgement", 1024 },
};

struct talk *talk_new(enum talk_kind kind, struct peer *peer)
{
    struct talk *talk = mem_new(struct talk);

    talk->kind = kind;
    talk->peer = peer;
    talk->refs = 1;
    list_init(&talk->node);
    list_init(&talk->core_node);
    return talk;
}

struct talk *talk_ref(struct talk *talk)
{
    __atomic_add_fetch(&talk->refs, 1, __ATOMIC_RELAXED);
    return talk;
}

void talk_unref(struct talk *talk)
{
    if (!talk || __atomic_sub_fetch(&talk->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; talk->eligible && talk->eligible[i]; i++)
        free(talk->eligible[i]);
    free(talk->eligible);
    free(talk->uri);
    free(talk->match);
    free(talk->invoke);
    free(talk);
}

/* ---- checks ---- */

static bool check_pattern(const char *uri, const char *match, struct err *err)
{
    bool is_wildcard = match && strcmp(match, "wildcard") == 0;
    struct view pattern;
    struct rpc_fields f;
    _buf_ array = { 0 };

    rpc_put_array(&array, 1);
    rpc_put_str(&array, uri);
    rpc_fields_open(&f, buf_view(&array));
    pattern = rpc_fields_pattern(&f, "pattern", is_wildcard);
    return pattern.len <= RPC_MAX_URI && rpc_fields_end(&f, err);
}

static bool check_uri(const char *uri, const char *match, struct err *err)
{
    bool is_exact = !match || strcmp(match, "exact") == 0;

    if (!uri || strlen(uri) > RPC_MAX_URI)
        return err_set(err, ERR_INVALID_ARGUMENT, "no name, or one of more than %d bytes",
                       RPC_MAX_URI);
    if (!text_is_utf8(view_text(uri)) ||
        !(is_exact ? rpc_uri_is_valid(view_text(uri)) : check_pattern(uri, match, err)))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "\"%s\" is no name: expected words with dots between, without space and #",
                       uri);
    return true;
}

static bool check_word(const char *word, const char *what, const char *const *words,
                       struct err *err)
{
    if (!word)
        return true;
    for (size_t i = 0; words[i]; i++) {
        if (strcmp(words[i], word) == 0)
            return true;
    }
    return err_set(err, ERR_INVALID_ARGUMENT, "%s: there is no \"%s\"", what, word);
}

static bool check_match(const char *match, struct err *err)
{
    static const char *const words[] = { "exact", "prefix", "wildcard", NULL };

    return check_word(match, "match", words, err);
}

static bool check_invoke(const char *invoke, struct err *err)
{
    static const char *const words[] = { "single", "roundrobin", "random", "first", "last", NULL };

    return check_word(invoke, "invoke", words, err);
}

static bool check_value(const void *bytes, size_t size, enum rpc_kind kind, struct err *err)
{
    const char *name = kind == RPC_ARRAY ? "args" : "kwargs";
    size_t len = 0;

    if (!size)
        return true;
    if (!bytes)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: NULL with a size", name);
    if (!rpc_walk_payload(VIEW(bytes, size), &len, err)) {
        err->code = ERR_INVALID_ARGUMENT;
        return err_wrap(err, "%s", name);
    }
    if (len != size)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: more than one value", name);
    if (rpc_value_kind(VIEW(bytes, size)) != kind)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: not %s", name,
                       kind == RPC_ARRAY ? "an array" : "a map");
    return true;
}

/* Copies the values as a payload, 0 to 2 of them. */
static bool take_values(const struct peer_values *values, struct buf *to, uint32_t *ret_n,
                        struct err *err)
{
    static const struct peer_values none;

    values = values ? values : &none;
    *ret_n = 0;
    if (values->args_size > PEER_MAX_VALUES || values->kwargs_size > PEER_MAX_VALUES ||
        values->args_size + values->kwargs_size > PEER_MAX_VALUES)
        return err_set(err, ERR_TOO_LARGE, "values: more than %d bytes", PEER_MAX_VALUES);
    if (!check_value(values->args, values->args_size, RPC_ARRAY, err) ||
        !check_value(values->kwargs, values->kwargs_size, RPC_MAP, err))
        return false;
    if (values->args && values->args_size)
        buf_put(to, VIEW(values->args, values->args_size));
    else if (values->kwargs_size)
        rpc_put_array(to, 0);
    if (values->kwargs && values->kwargs_size)
        buf_put(to, VIEW(values->kwargs, values->kwargs_size));
    *ret_n = values->kwargs_size ? 2 : values->args_size ? 1 : 0;
    return true;
}

/* The keywords alone: what is signed. None at all: an empty map. */
static bool take_body(const struct peer_values *values, struct buf *to, struct err *err)
{
    if (values && values->args_size > 1) /* an empty array is one byte */
        return err_set(err, ERR_INVALID_ARGUMENT, "a signed request has kwargs and no args");
    if (!values || !values->kwargs_size) {
        rpc_put_map(to, 0);
        return true;
    }
    if (values->kwargs_size > MAX_SIGNED)
        return err_set(err, ERR_TOO_LARGE, "values: more than %d bytes to be signed", MAX_SIGNED);
    if (!check_value(values->kwargs, values->kwargs_size, RPC_MAP, err))
        return false;
    buf_put(to, VIEW(values->kwargs, values->kwargs_size));
    return true;
}

/* Options of any size: what an older program does not know stays 0. */
static bool take_options(const void *options, void *to, size_t size, struct err *err)
{
    size_t given = 0;

    if (!options)
        return true;
    memcpy(&given, options, sizeof(given));
    if (given < sizeof(given) || given > 65536)
        return err_set(err, ERR_INVALID_ARGUMENT, "options: size must be that of the struct");
    memcpy(to, options, given < size ? given : size);
    return true;
}

/* ---- handles and errands ---- */

static bool has_place(struct peer *peer, enum talk_kind kind, struct err *err)
{
    return hub_is_ours(&peer->hub, err) &&
           (peer->n_talks[kind] < kinds[kind].max ||
            err_set(err, ERR_LIMIT, "%u %s are there already", kinds[kind].max, kinds[kind].name));
}

static struct talk *hold(struct talk *talk)
{
    list_append(&talk->peer->talks, &talk->node);
    talk->peer->n_talks[talk->kind]++;
    return talk;
}

void talk_drop(struct talk *talk)
{
    if (list_is_empty(&talk->node))
        return;
    list_remove(&talk->node);
    talk->peer->n_talks[talk->kind]--;
    talk_unref(talk);
}

static bool fail(const struct err *err, struct peer_error *ret_error)
{
    errand_put_error(err, ret_error);
    return false;
}

/* With the payload, which is charged until the thread has sent it. */
static bool send_with(struct talk *talk, struct buf *payload, uint32_t n_values, const char *text,
                      void (*run)(struct errand *errand), struct err *err)
{
    struct errand *errand;

    if (!hub_is_ours(&talk->peer->hub, err))
        return false;
    if (!hub_charge(&talk->peer->hub, payload->len + OVERHEAD))
        return err_set(err, ERR_LIMIT, "%d bytes wait to be sent already", HUB_MAX_BYTES_OUT);
    errand = errand_new(talk->peer, NULL, NULL);
    errand->talk = talk_ref(talk);
    errand->data = *payload;
    errand->n_charged = payload->len + OVERHEAD;
    errand->n_values = n_values;
    errand->text = text ? mem_text(text) : NULL;
    *payload = (struct buf){ 0 };
    errand_send(errand, run);
    return true;
}

static bool send(struct talk *talk, struct buf *payload, uint32_t n_values,
                 void (*run)(struct errand *errand), struct err *err)
{
    return send_with(talk, payload, n_values, NULL, run, err);
}

static void send_word(struct talk *talk, const char *text, void (*run)(struct errand *errand))
{
    struct errand *errand = errand_new(talk->peer, NULL, NULL);

    errand->talk = talk_ref(talk);
    errand->text = text ? mem_text(text) : NULL;
    errand_send(errand, run);
}

/* ---- calling ---- */

struct peer_call *peer_call(struct peer *peer, const char *procedure,
                            const struct peer_values *values,
                            const struct peer_call_options *options, struct peer_error *ret_error)
{
    struct peer_call_options given = { 0 };
    _buf_ payload = { 0 };
    struct err err = { 0 };
    uint32_t n = 0;

    if (!take_options(options, &given, sizeof(given), &err) || !check_uri(procedure, NULL, &err) ||
        !(given.is_signed ? take_body(values, &payload, &err)
                          : take_values(values, &payload, &n, &err)) ||
        !has_place(peer, TALK_CALL, &err)) {
        fail(&err, ret_error);
        return NULL;
    }

    struct talk *talk = talk_new(TALK_CALL, peer);
    talk->uri = mem_text(procedure);
    talk->user = given.user;
    talk->wants_progress = given.progress;
    talk->is_signed = given.is_signed;
    talk->timeout_ms =
        given.timeout_ms ? min_u64(given.timeout_ms, MAX_TIMEOUT_MS) : DEFAULT_TIMEOUT_MS;
    if (!send(talk, &payload, n, errand_talk_call, &err)) {
        talk_unref(talk);
        fail(&err, ret_error);
        return NULL;
    }
    return CONTAINER(hold(talk), struct peer_call, talk);
}

void peer_call_cancel(struct peer_call *call, enum peer_cancel mode)
{
    static const char *const modes[] = {
        [PEER_CANCEL_KILL] = "kill",
        [PEER_CANCEL_KILLNOWAIT] = "killnowait",
        [PEER_CANCEL_SKIP] = "skip",
    };

    send_word(&call->talk, (unsigned)mode < N_ELEMENTS(modes) ? modes[mode] : modes[0],
              errand_talk_cancel);
}

/* ---- serving ---- */

struct peer_registration *peer_register(struct peer *peer, const char *procedure,
                                        const struct peer_registration_options *options,
                                        struct peer_error *ret_error)
{
    struct peer_registration_options given = { 0 };
    struct err err = { 0 };

    if (!take_options(options, &given, sizeof(given), &err) || !check_match(given.match, &err) ||
        !check_invoke(given.invoke, &err) || !check_uri(procedure, given.match, &err) ||
        !has_place(peer, TALK_REGISTRATION, &err)) {
        fail(&err, ret_error);
        return NULL;
    }

    struct talk *talk = talk_new(TALK_REGISTRATION, peer);
    talk->uri = mem_text(procedure);
    talk->match = given.match ? mem_text(given.match) : NULL;
    talk->invoke = given.invoke ? mem_text(given.invoke) : NULL;
    talk->user = given.user;
    send_word(hold(talk), NULL, errand_talk_begin);
    return CONTAINER(talk, struct peer_registration, talk);
}

void peer_unregister(struct peer_registration *registration)
{
    send_word(&registration->talk, NULL, errand_talk_end);
    talk_drop(&registration->talk);
}

static bool answer(struct peer_invocation *invocation, const struct peer_values *values,
                   void (*run)(struct errand *errand), struct err *err)
{
    _buf_ payload = { 0 };
    uint32_t n = 0;

    return take_values(values, &payload, &n, err) && send(&invocation->talk, &payload, n, run, err);
}

bool peer_answer(struct peer_invocation *invocation, const struct peer_values *values,
                 struct peer_error *ret_error)
{
    struct err err = { 0 };

    if (!answer(invocation, values, errand_talk_answer, &err))
        return fail(&err, ret_error);
    talk_drop(&invocation->talk);
    return true;
}

bool peer_answer_part(struct peer_invocation *invocation, const struct peer_values *values,
                      struct peer_error *ret_error)
{
    struct err err = { 0 };

    if (!invocation->talk.wants_progress)
        return true;
    return answer(invocation, values, errand_talk_part, &err) || fail(&err, ret_error);
}

bool peer_refuse(struct peer_invocation *invocation, const char *error_uri,
                 const struct peer_values *values, struct peer_error *ret_error)
{
    struct talk *talk = &invocation->talk;
    _buf_ payload = { 0 };
    struct err err = { 0 };
    uint32_t n = 0;

    if (!check_uri(error_uri, NULL, &err) || !take_values(values, &payload, &n, &err) ||
        !send_with(talk, &payload, n, error_uri, errand_talk_refuse, &err))
        return fail(&err, ret_error);
    talk_drop(talk);
    return true;
}

void talk_turn_away(struct talk *invocation)
{
    send_word(invocation, "wamp.error.no_such_procedure", errand_talk_refuse);
}

/* ---- topics ---- */

struct peer_subscription *peer_subscribe(struct peer *peer, const char *topic,
                                         const struct peer_subscription_options *options,
                                         struct peer_error *ret_error)
{
    struct peer_subscription_options given = { 0 };
    struct err err = { 0 };

    if (!take_options(options, &given, sizeof(given), &err) || !check_match(given.match, &err) ||
        !check_uri(topic, given.match, &err) || !has_place(peer, TALK_SUBSCRIPTION, &err)) {
        fail(&err, ret_error);
        return NULL;
    }

    struct talk *talk = talk_new(TALK_SUBSCRIPTION, peer);
    talk->uri = mem_text(topic);
    talk->match = given.match ? mem_text(given.match) : NULL;
    talk->get_retained = given.get_retained;
    talk->user = given.user;
    send_word(hold(talk), NULL, errand_talk_begin);
    return CONTAINER(talk, struct peer_subscription, talk);
}

void peer_unsubscribe(struct peer_subscription *subscription)
{
    send_word(&subscription->talk, NULL, errand_talk_end);
    talk_drop(&subscription->talk);
}

static bool copy_eligible(struct talk *talk, const char *const *ids, struct err *err)
{
    char digits[TEXT_ID];
    size_t n = 0;

    while (ids && ids[n])
        n++;
    if (!ids)
        return true;
    if (n == 0 || n > TALK_MAX_ELIGIBLE)
        return err_set(err, ERR_INVALID_ARGUMENT, "eligible: expected 1 to %d IDs",
                       TALK_MAX_ELIGIBLE);
    talk->eligible = mem_array(char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        if (!text_read_id(ids[i], digits))
            return err_set(err, ERR_INVALID_ARGUMENT, "eligible: \"%s\" is no ID", ids[i]);
        talk->eligible[i] = mem_text(digits);
    }
    return true;
}

static bool is_online(struct peer *peer, struct err *err)
{
    return peer_is_online(peer) || err_set(err, ERR_NETWORK_FAILURE, "not connected to the router");
}

bool peer_publish(struct peer *peer, const char *topic, const struct peer_values *values,
                  const struct peer_publish_options *options, struct peer_error *ret_error)
{
    struct peer_publish_options given = { 0 };
    struct talk *talk = talk_new(TALK_PUBLICATION, peer);
    _buf_ payload = { 0 };
    struct err err = { 0 };
    uint32_t n = 0;
    bool ok;

    ok = take_options(options, &given, sizeof(given), &err) && check_uri(topic, NULL, &err) &&
         take_values(values, &payload, &n, &err) && copy_eligible(talk, given.eligible, &err) &&
         has_place(peer, TALK_PUBLICATION, &err) && is_online(peer, &err);
    talk->uri = mem_text(ok ? topic : "");
    talk->acknowledge = given.acknowledge;
    talk->retain = given.retain;
    talk->include_me = given.include_me;
    talk->user = given.user;
    ok = ok && send(talk, &payload, n, errand_talk_publish, &err);
    if (ok && given.acknowledge)
        hold(talk_ref(talk));
    talk_unref(talk);
    return ok || fail(&err, ret_error);
}

/* ---- events ---- */

void talk_show(struct hub_event *event)
{
    struct peer_event *to = &event->event;
    struct talk *talk = event->talk;

    to->user = talk->user;
    event->message.uri = event->uri ? event->uri : "";
    event->message.remote_id = event->id ? event->id : "";
    event->message.remote_role = event->role ? event->role : "";
    switch (talk->kind) {
    case TALK_CALL:
        to->call = CONTAINER(talk, struct peer_call, talk);
        to->message = &event->message;
        break;
    case TALK_REGISTRATION:
        to->registration = CONTAINER(talk, struct peer_registration, talk);
        break;
    case TALK_INVOCATION:
        to->invocation = CONTAINER(talk, struct peer_invocation, talk);
        if (to->type != PEER_EVENT_INVOCATION)
            break;
        to->registration = CONTAINER(event->serving, struct peer_registration, talk);
        to->message = &event->message;
        hold(talk_ref(talk));
        break;
    case TALK_SUBSCRIPTION:
        to->subscription = CONTAINER(talk, struct peer_subscription, talk);
        if (to->type == PEER_EVENT_MESSAGE)
            to->message = &event->message;
        break;
    case TALK_PUBLICATION:
    case TALK_KINDS:
        break;
    }
}
