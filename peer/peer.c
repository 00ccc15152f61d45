/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions: what the application's thread does. It checks arguments, copies, and hands errands to the library's
 * thread; it never touches a socket, a session or a key after peer_new(). Here: a peer's life and its events. self.c
 * has what it knows of itself, call.c links, channel.c streams and datagrams. */
#include "peer/errand.h"
#include "peer/known.h"

#include "base/file.h"

/* ---- starting ---- */

/* A machine that waits for approval goes on with the join string that it had. */
static bool resume(struct core *core, struct err *err)
{
    _buf_wipe_ text = { 0 };
    bool exists;

    if (!state_read_if(core->state, STATE_JOINING, &text, &exists, err))
        return false;
    if (!exists)
        return err_set(err, ERR_NOT_JOINED, "the state folder knows no network");
    while (text.len && text.data[text.len - 1] == '\n')
        text.len--;
    return rpc_join_read(buf_view(&text), &core->join, err) ||
           err_wrap(err, "%s", state_path(core->state, STATE_JOINING));
}

static bool check_not_moved(const struct core *core, struct err *err)
{
    _buf_ text = { 0 };
    bool exists;

    if (!state_read_if(core->state, STATE_MOVED, &text, &exists, err))
        return false;
    return !exists || err_set(err, ERR_MOVED, "%s: %.*s", state_path(core->state, STATE_MOVED),
                              VIEW_FMT(view_sub(buf_view(&text), 0, text.len ? text.len - 1 : 0)));
}

/* What the state folder says about the network that it joined; the hosts of a new join string replace the stored ones. */
static bool settle_network(struct core *core, bool has_join, struct err *err)
{
    struct rpc_join stored = { 0 };
    _buf_ text = { 0 };
    bool exists;

    if (!state_read_if(core->state, STATE_NETWORK, &text, &exists, err))
        return false;
    if (!exists)
        return has_join || resume(core, err);
    while (text.len && text.data[text.len - 1] == '\n')
        text.len--;
    if (!rpc_join_read(buf_view(&text), &stored, err))
        return err_wrap(err, "%s", state_path(core->state, STATE_NETWORK));
    if (has_join && strcmp(stored.network, core->join.network) != 0)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "this state folder has joined %s; use another one for %s", stored.network,
                       core->join.network);
    if (has_join) {
        memcpy(stored.hosts, core->join.hosts, sizeof(stored.hosts));
        stored.n_hosts = core->join.n_hosts;
        memcpy(stored.token, core->join.token, sizeof(stored.token)); /* for an ID that ended */
        stored.has_token = core->join.has_token;
    }
    rpc_join_wipe(&core->join);
    core->join = stored;
    core->is_joined = true;
    return true;
}

static bool load_trust(struct core *core, struct err *err)
{
    _buf_ bytes = { 0 };
    bool exists;

    if (!state_read_if(core->state, STATE_TRUST, &bytes, &exists, err))
        return false;
    if (!exists || !core->is_joined) {
        core->trust = rpc_trust_new(core->join.network, core->join.pin, pki_verify_by_cert);
        return true;
    }
    return rpc_trust_load(buf_view(&bytes), pki_verify_by_cert, &core->trust, err) ||
           err_wrap(err, "%s", state_path(core->state, STATE_TRUST));
}

static void copy_served(struct core *core, const char *const *caps)
{
    core->takes_calls = caps != NULL;
    for (size_t i = 0; caps && caps[i]; i++)
        buf_put_text(&core->serves_bytes, caps[i]);
    for (size_t i = 0, at = 0; caps && caps[i]; at += strlen(caps[i]), i++)
        core->serves.item[core->serves.n++] =
            view_sub(buf_view(&core->serves_bytes), at, strlen(caps[i]));
}

static bool take_proxy(struct core *core, const char *text, struct err *err)
{
    return text ? rpc_proxy_read(text, &core->proxy, err)
                : rpc_proxy_from_environment(getenv, &core->proxy, err);
}

static bool load(struct core *core, const struct peer_config *config, struct err *err)
{
    _free_ char *dir = NULL;
    bool has_join = config->join != NULL;

    if (!take_proxy(core, config->proxy, err) || !errand_check_caps(config->capabilities, err) ||
        !errand_check_path(config->path, err))
        return false;
    if (has_join && !rpc_join_read(view_text(config->join), &core->join, err))
        return false;
    if (!state_default_dir(config->state_dir, &dir, err) ||
        !state_open(dir, has_join, &core->state, err) || !check_not_moved(core, err) ||
        !settle_network(core, has_join, err))
        return false;
    if (config->passphrase)
        state_set_passphrase(core->state, config->passphrase);
    if (!state_identity(core->state, has_join, &core->key, err) || !load_trust(core, err))
        return false;
    rekey_load(core);
    /* An ID that ended comes back with a token alone; one that did not stays as it is, and its token unused. */
    core->must_enrol = has_join && core->join.has_token;
    copy_served(core, config->capabilities);
    core->allow_loopback = config->allow_loopback;
    core->policy = config->path == PEER_PATH_DEFAULT ? PEER_PATH_AUTO : config->path;
    acknowledge_load(core);
    return !core->is_joined ||
           (join_load(core, err) && trust_load(core, err) && identity_load(core, err) &&
            known_load(core->state, err) && permits_load(core, err));
}

static struct peer *fail_new(struct peer *peer, const struct err *err, struct peer_error *ret_error)
{
    errand_put_error(err, ret_error);
    if (peer->has_hub)
        hub_hold(&peer->hub, -1);
    core_free(peer->core);
    loop_free(peer->loop);
    if (peer->has_hub)
        hub_deinit(&peer->hub);
    free(peer);
    return NULL;
}

struct peer *peer_new(const struct peer_config *config, struct peer_error *ret_error)
{
    struct peer *peer = mem_new(struct peer);
    struct peer_config copy = { 0 };
    struct err err = { 0 };

    list_init(&peer->links);
    list_init(&peer->talks);
    ice_begin();
    if (!config || config->size < offsetof(struct peer_config, allow_loopback)) {
        err_set(&err, ERR_INVALID_ARGUMENT, "config.size must be sizeof(struct peer_config)");
        return fail_new(peer, &err, ret_error);
    }
    memcpy(&copy, config, config->size < sizeof(copy) ? config->size : sizeof(copy));
    if (!key_init(&err) || !hub_init(&peer->hub, &err))
        return fail_new(peer, &err, ret_error);
    peer->has_hub = true;
    if (!loop_new(&peer->loop, &err))
        return fail_new(peer, &err, ret_error);
    peer->core = core_new(peer, &peer->hub, peer->loop);
    if (!load(peer->core, &copy, &err))
        return fail_new(peer, &err, ret_error);
    hub_hold(&peer->hub, state_held(peer->core->state));
    if (!loop_start(peer->loop, core_begin, core_end, peer->core, &err))
        return fail_new(peer, &err, ret_error);
    return peer;
}

/* ---- stopping ---- */

static void drop_stream(struct peer_stream *stream)
{
    list_remove(&stream->node);
    peer_stream_unref(stream);
}

static void drop_link(struct peer_link *link)
{
    struct peer_stream *stream;

    LIST_EACH(stream, &link->streams, node)
        drop_stream(stream);
    list_remove(&link->node);
    peer_link_unref(link);
}

/* What the last event ended is gone with the next call. */
static void settle_current(struct peer *peer)
{
    struct hub_event *event = STEAL(peer->current);

    if (!event)
        return;
    if (event->event.type == PEER_EVENT_LINK_DOWN && !list_is_empty(&event->event.link->node))
        drop_link(event->event.link);
    if (event->event.type == PEER_EVENT_STREAM_CLOSED && !list_is_empty(&event->event.stream->node))
        drop_stream(event->event.stream);
    if (event->event.type == PEER_EVENT_STREAM_CLOSED && event->event.stream->is_theirs)
        errand_send(errand_new(peer, event->event.link, NULL), errand_give_stream);
    if (event->event.type == PEER_EVENT_INTERRUPTED || event->event.type == PEER_EVENT_PUBLISHED ||
        (event->event.type == PEER_EVENT_RESULT && !event->message.progress))
        talk_drop(event->talk);
    hub_event_free(event);
}

static void quit(void *user)
{
    loop_quit(user);
}

void peer_free(struct peer *peer)
{
    struct peer_link *link;
    struct talk *talk;

    if (!peer)
        return;
    settle_current(peer);       /* it may send an errand */
    if (!peer->hub.is_forked) { /* in a child, what the thread had stays as it was */
        loop_invoke(peer->loop, quit, peer->loop);
        loop_join(peer->loop);
    }
    LIST_EACH(link, &peer->links, node)
        drop_link(link);
    LIST_EACH(talk, &peer->talks, node)
        talk_drop(talk);
    if (!peer->hub.is_forked) {
        hub_hold(&peer->hub, -1);
        core_free(peer->core);
        loop_free(peer->loop);
    }
    hub_deinit(&peer->hub);
    free(peer);
}

/* ---- events ---- */

int peer_fd(const struct peer *peer)
{
    return peer->hub.fd;
}

/* From here on the application holds what the event shows it. */
static void hand_over(struct peer *peer, struct hub_event *event)
{
    struct peer_event *to = &event->event;

    if (to->type == PEER_EVENT_INCOMING) {
        list_append(&peer->links, &peer_link_ref(to->link)->node);
        to->link->awaits_answer = true;
        to->remote_id = event->remote_id;
        to->capabilities = (const char *const *)event->caps;
        to->remote_names = event->who_names;
        to->remote_groups = event->who_groups;
    }
    if (to->type == PEER_EVENT_NAMES) {
        to->names = event->names;
        to->n_names = event->n_names;
    }
    if (to->type == PEER_EVENT_FINDING)
        to->finding = event->finding;
    if (to->type == PEER_EVENT_STREAM) {
        list_append(&to->link->streams, &peer_stream_ref(to->stream)->node);
        to->capability = event->capability;
        to->argument = event->argument;
    }
    if (event->talk)
        talk_show(event);
}

/* A handle that the application gave back (a stream that it reset) shows up no more. */
static bool is_stale(const struct hub_event *event)
{
    const struct peer_event *e = &event->event;

    if (e->type == PEER_EVENT_INVOCATION)
        return list_is_empty(&event->serving->node);
    if (event->talk)
        return list_is_empty(&event->talk->node);
    if (e->type == PEER_EVENT_INCOMING || e->type == PEER_EVENT_STREAM)
        return e->type == PEER_EVENT_STREAM && list_is_empty(&e->link->node);
    return (e->link && list_is_empty(&e->link->node)) ||
           (e->stream && list_is_empty(&e->stream->node));
}

bool peer_next_event(struct peer *peer, struct peer_event *ret_event)
{
    settle_current(peer);
    while ((peer->current = hub_take(&peer->hub))) {
        if (!is_stale(peer->current)) {
            hand_over(peer, peer->current);
            *ret_event = peer->current->event;
            return true;
        }
        if (peer->current->event.type == PEER_EVENT_INVOCATION)
            talk_turn_away(peer->current->talk);
        hub_event_free(STEAL(peer->current));
    }
    return false;
}
