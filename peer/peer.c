/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions: what the application's thread does. It checks arguments, copies, and hands errands to the library's
 * thread; it never touches a socket, a session or a key after peer_new(). */
#include "peer/errand.h"

#include "base/text.h"

#include <stdio.h>
#include <unistd.h>

enum { MAX_CAPS = 16, FREE_MS = 2000 };

static bool caps_are_usable(const char *const *caps, struct err *err)
{
    struct rpc_items items = { 0 };

    for (; caps && caps[items.n]; items.n++) {
        if (items.n == MAX_CAPS)
            return err_set(err, ERR_INVALID_ARGUMENT, "more than %d capabilities", MAX_CAPS);
        items.item[items.n] = view_text(caps[items.n]);
    }
    if (!check_caps(&items, err)) {
        err->code = ERR_INVALID_ARGUMENT;
        return err_wrap(err, "capabilities (a-z 0-9 - . _ : are allowed, at most 64)");
    }
    return true;
}

static void put_error(const struct err *err, struct peer_error *ret_error)
{
    if (ret_error)
        hub_error(err, ret_error);
}

/* ---- starting ------------------------------------------------------------------------------------------ */

/* What the state folder says about the network that it joined; the hosts of a new join string replace the stored ones. */
static bool settle_network(struct core *core, bool has_join, struct err *err)
{
    struct rpc_join stored = { 0 };
    _buf_ text = { 0 };
    bool exists;

    if (!state_read_if(core->state, STATE_NETWORK, &text, &exists, err))
        return false;
    if (!exists)
        return has_join || err_set(err, ERR_NOT_JOINED, "the state folder knows no network");
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

static bool load(struct core *core, const struct peer_config *config, struct err *err)
{
    _free_ char *dir = NULL;
    bool has_join = config->join != NULL;

    if (!caps_are_usable(config->capabilities, err))
        return false;
    if (has_join && !rpc_join_read(view_text(config->join), &core->join, err))
        return err_wrap(err, "join string");
    if (!state_default_dir(config->state_dir, &dir, err) ||
        !state_open(dir, has_join, &core->state, err) || !settle_network(core, has_join, err) ||
        !state_identity(core->state, has_join, &core->key, err) || !load_trust(core, err))
        return false;
    copy_served(core, config->capabilities);
    core->allow_loopback = config->allow_loopback;
    return !core->is_joined ||
           (join_load(core, err) && trust_load(core, err) && identity_load(core, err));
}

static struct peer *fail_new(struct peer *peer, const struct err *err, struct peer_error *ret_error)
{
    put_error(err, ret_error);
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
    if (!load(peer->core, &copy, &err) ||
        !loop_start(peer->loop, core_begin, core_end, peer->core, &err))
        return fail_new(peer, &err, ret_error);
    return peer;
}

/* ---- stopping ------------------------------------------------------------------------------------------ */

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
    hub_event_free(event);
}

static void quit(void *user)
{
    loop_quit(user);
}

void peer_free(struct peer *peer)
{
    struct peer_link *link;

    if (!peer)
        return;
    loop_invoke(peer->loop, quit, peer->loop);
    loop_join(peer->loop);
    settle_current(peer);
    LIST_EACH(link, &peer->links, node)
        drop_link(link);
    core_free(peer->core);
    loop_free(peer->loop);
    hub_deinit(&peer->hub);
    free(peer);
}

/* ---- events -------------------------------------------------------------------------------------------- */

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
    }
    if (to->type == PEER_EVENT_STREAM) {
        list_append(&to->link->streams, &peer_stream_ref(to->stream)->node);
        to->capability = event->capability;
        to->argument = event->argument;
    }
}

/* A handle that the application gave back (a stream that it reset) shows up no more. */
static bool is_stale(const struct hub_event *event)
{
    const struct peer_event *e = &event->event;

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
        hub_event_free(STEAL(peer->current));
    }
    return false;
}

/* ---- what is known of ourselves ------------------------------------------------------------------------- */

bool peer_identity(const struct peer *peer, struct peer_identity *ret_identity)
{
    hub_lock(peer->core->hub);
    bool has_id = peer->core->snapshot.has_id;
    if (has_id)
        *ret_identity = peer->core->snapshot.identity;
    hub_unlock(peer->core->hub);
    return has_id;
}

static size_t copy_out(struct view from, char *to, size_t size)
{
    if (from.len && size) {
        size_t n = from.len < size - 1 ? from.len : size - 1;
        memcpy(to, from.data, n);
        to[n] = '\0';
    }
    return from.len;
}

size_t peer_chain_pem(const struct peer *peer, char *to, size_t size)
{
    hub_lock(peer->core->hub);
    size_t len = copy_out(buf_view(&peer->core->snapshot.chain_pem), to, size);
    hub_unlock(peer->core->hub);
    return len;
}

size_t peer_root_pem(const struct peer *peer, char *to, size_t size)
{
    hub_lock(peer->core->hub);
    size_t len = copy_out(buf_view(&peer->core->snapshot.root_pem), to, size);
    hub_unlock(peer->core->hub);
    return len;
}

size_t peer_manifest(const struct peer *peer, void *to, size_t size)
{
    hub_lock(peer->core->hub);
    const struct buf *manifest = &peer->core->snapshot.manifest;
    size_t len = manifest->len;
    if (len && len <= size)
        memcpy(to, manifest->data, len);
    hub_unlock(peer->core->hub);
    return len;
}

bool peer_manifest_signature(const struct peer *peer, size_t i,
                             struct peer_manifest_signature *ret_signature)
{
    hub_lock(peer->core->hub);
    bool exists = i < peer->core->snapshot.n_signatures;
    if (exists)
        *ret_signature = peer->core->snapshot.signatures[i];
    hub_unlock(peer->core->hub);
    return exists;
}

const char *peer_version(void)
{
    return WARREN_VERSION;
}

/* ---- links ---------------------------------------------------------------------------------------------- */

static bool check_dialled(struct peer *peer, const char *id, const char *const *caps,
                          char ret_id[TEXT_ID], struct err *err)
{
    struct peer_identity own;

    if (!id || !text_read_id(id, ret_id))
        return err_set(err, ERR_INVALID_ARGUMENT, "an ID has 6 to 9 digits");
    if (!caps || !caps[0])
        return err_set(err, ERR_INVALID_ARGUMENT, "at least one capability must be asked for");
    if (!caps_are_usable(caps, err))
        return false;
    if (!peer_identity(peer, &own))
        return err_set(err, ERR_NOT_JOINED, "this machine has no ID yet: wait for JOINED");
    if (strcmp(own.id, ret_id) == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "that is this machine's own ID");
    return true;
}

struct peer_link *peer_dial(struct peer *peer, const char *id, const char *const *capabilities,
                            struct peer_error *ret_error)
{
    char digits[TEXT_ID];
    struct err err = { 0 };

    if (!check_dialled(peer, id, capabilities, digits, &err)) {
        put_error(&err, ret_error);
        return NULL;
    }

    struct peer_link *link = peer_link_new(peer, &peer->hub);
    struct errand *errand = errand_new(peer, link, NULL);
    list_append(&peer->links, &link->node);
    errand->text = mem_text(digits);
    errand_copy_caps(errand, capabilities);
    errand_send(errand, errand_dial);
    return link;
}

bool peer_link_accept(struct peer_link *link, const char *const *capabilities,
                      struct peer_error *ret_error)
{
    struct errand *errand;
    struct err err = { 0 };

    if (!link->awaits_answer)
        err_set(&err, ERR_INVALID_ARGUMENT, "this call does not wait for an answer");
    if (err.code != ERR_NONE || !caps_are_usable(capabilities, &err)) {
        put_error(&err, ret_error);
        return false;
    }
    link->awaits_answer = false;
    errand = errand_new(link->peer, link, NULL);
    errand->has_caps = capabilities != NULL;
    errand_copy_caps(errand, capabilities);
    errand_send(errand, errand_accept);
    return true;
}

void peer_link_decline(struct peer_link *link, const char *reason)
{
    struct errand *errand = errand_new(link->peer, link, NULL);

    link->awaits_answer = false;
    errand->text = mem_text(reason ? reason : "");
    errand_send(errand, errand_decline);
}

void peer_link_close(struct peer_link *link, const char *reason)
{
    struct errand *errand = errand_new(link->peer, link, NULL);

    errand->text = mem_text(reason ? reason : "");
    errand_send(errand, errand_close);
}

bool peer_link_facts(const struct peer_link *link, struct peer_link_facts *ret_facts)
{
    hub_lock(link->hub);
    bool has_facts = link->has_facts;
    if (has_facts)
        *ret_facts = link->facts;
    hub_unlock(link->hub);
    return has_facts;
}

void peer_link_set_user(struct peer_link *link, void *user)
{
    link->user = user;
}

void *peer_link_user(const struct peer_link *link)
{
    return link->user;
}

/* ---- streams -------------------------------------------------------------------------------------------- */

static bool may_open(const struct peer_link *link, const char *cap, const char *arg,
                     struct err *err)
{
    bool is_up, is_ours = false;

    hub_lock(link->hub);
    is_up = link->is_up;
    for (size_t i = 0; cap && link->outgoing[i]; i++)
        is_ours |= strcmp(link->outgoing[i], cap) == 0;
    hub_unlock(link->hub);
    if (!cap || (arg && strlen(arg) > 1024))
        return err_set(err, ERR_INVALID_ARGUMENT, "no capability, or an argument over 1024 bytes");
    if (!is_up)
        return err_set(err, ERR_CLOSED, "the link is not up");
    if (!is_ours)
        return err_set(err, ERR_CAPABILITY, "this session does not let us open %s", cap);
    return true;
}

struct peer_stream *peer_stream_open(struct peer_link *link, const char *capability,
                                     const char *argument, struct peer_error *ret_error)
{
    struct err err = { 0 };

    if (!may_open(link, capability, argument, &err)) {
        put_error(&err, ret_error);
        return NULL;
    }

    struct peer_stream *stream = peer_stream_new(link);
    struct errand *errand = errand_new(link->peer, link, stream);
    list_append(&link->streams, &stream->node);
    errand->text = mem_text(capability);
    errand->argument = mem_text(argument ? argument : "");
    errand_send(errand, errand_open);
    return stream;
}

struct peer_link *peer_stream_link(const struct peer_stream *stream)
{
    return stream->link;
}

/* One errand at a time moves all that lies in the rings. */
static void pump_later(struct peer_stream *stream)
{
    errand_send(errand_new(stream->link->peer, stream->link, stream), errand_pump);
}

size_t peer_stream_write(struct peer_stream *stream, const void *bytes, size_t size)
{
    bool needs_pump;
    size_t n = 0;

    hub_lock(stream->hub);
    if (!stream->is_over && !stream->wants_end)
        n = ring_put(&stream->out, VIEW(bytes, size));
    stream->wants_room |= n < size;
    needs_pump = n > 0 && !stream->is_pump_queued;
    stream->is_pump_queued |= needs_pump;
    hub_unlock(stream->hub);
    if (needs_pump)
        pump_later(stream);
    return n;
}

void peer_stream_finish(struct peer_stream *stream)
{
    hub_lock(stream->hub);
    stream->wants_end = true;
    bool needs_pump = !stream->is_pump_queued;
    stream->is_pump_queued = true;
    hub_unlock(stream->hub);
    if (needs_pump)
        pump_later(stream);
}

size_t peer_stream_read(struct peer_stream *stream, void *to, size_t size, bool *ret_end)
{
    bool needs_pump;
    size_t n;

    hub_lock(stream->hub);
    n = ring_get(&stream->in, to, size);
    *ret_end = n == 0 && stream->has_ended && stream->in.len == 0;
    needs_pump =
        stream->is_starved && !stream->is_pump_queued && ring_left(&stream->in) >= STREAM_RING / 2;
    stream->is_pump_queued |= needs_pump;
    stream->is_starved &= !needs_pump;
    hub_unlock(stream->hub);
    if (needs_pump)
        pump_later(stream);
    return n;
}

void peer_stream_reset(struct peer_stream *stream, uint64_t code)
{
    struct errand *errand = errand_new(stream->link->peer, stream->link, stream);

    hub_lock(stream->hub);
    stream->is_over = true;
    hub_unlock(stream->hub);
    errand->code = code;
    errand_send(errand, errand_reset);
}

void peer_stream_set_user(struct peer_stream *stream, void *user)
{
    stream->user = user;
}

void *peer_stream_user(const struct peer_stream *stream)
{
    return stream->user;
}

bool peer_datagram_send(struct peer_link *link, const void *bytes, size_t size,
                        struct peer_error *ret_error)
{
    struct err err = { 0 };

    hub_lock(link->hub);
    if (!link->is_up)
        err_set(&err, ERR_CLOSED, "the link is not up");
    else if (size > link->datagram_max)
        err_set(&err, ERR_TOO_LARGE, "%zu bytes fit into a datagram now", link->datagram_max);
    else if (link->n_datagrams_out >= HUB_MAX_DATAGRAMS)
        err_set(&err, ERR_LIMIT, "%d datagrams wait already", HUB_MAX_DATAGRAMS);
    else
        link->n_datagrams_out++;
    hub_unlock(link->hub);
    if (err.code != ERR_NONE) {
        put_error(&err, ret_error);
        return false;
    }

    struct errand *errand = errand_new(link->peer, link, NULL);
    errand->data = buf_dup(VIEW(bytes, size));
    errand_send(errand, errand_datagram);
    return true;
}

/* ---- without connecting ---------------------------------------------------------------------------------- */

static bool load_identity(const char *state_dir, struct peer_identity *ret_identity,
                          struct err *err)
{
    _cleanup_(state_freep) struct state *state = NULL;
    _cleanup_(key_freep) struct key *key = NULL;
    _cleanup_(pki_cert_freep) struct pki_cert *leaf = NULL;
    _buf_ bytes = { 0 }, pem = { 0 };
    struct view admission, sig;
    struct rpc_admission a;
    _free_ char *dir = NULL;
    struct err none;

    if (!key_init(err) || !state_default_dir(state_dir, &dir, err) ||
        !state_look(dir, &state, err) || !state_identity(state, false, &key, err))
        return false;
    if (!state_read(state, STATE_ADMISSION, &bytes, err))
        return err->code == ERR_NOT_FOUND ? err_set(err, ERR_NOT_JOINED, "%s has no ID yet", dir)
                                          : false;
    if (!state_read_signed(buf_view(&bytes), &admission, &sig) ||
        !rpc_statement_read(RPC_W_ADMISSION, admission, &a, err))
        return err_set(err, ERR_BAD_CONFIG, "%s: not an admission",
                       state_path(state, STATE_ADMISSION));
    if (state_read(state, STATE_CERT, &pem, &none)) /* there may be none yet */
        pki_cert_read_pem(buf_view(&pem), &leaf, &none);

    _free_ char *id = view_dup_text(a.id), *network = view_dup_text(a.network);
    identity_describe(key, id, network, leaf, ret_identity);
    return true;
}

bool peer_identity_load(const char *state_dir, struct peer_identity *ret_identity,
                        struct peer_error *ret_error)
{
    struct err err = { 0 };

    if (load_identity(state_dir, ret_identity, &err))
        return true;
    put_error(&err, ret_error);
    return false;
}
