/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/hub.h"

#include "peer/handle.h"
#include "peer/talk.h"

#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

bool hub_init(struct hub *hub, struct err *err)
{
    hub->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (hub->fd < 0)
        return err_errno(err, "eventfd");
    pthread_mutex_init(&hub->lock, NULL);
    list_init(&hub->events);
    list_init(&hub->datagrams);
    hub->held = -1;
    hub_watch_fork(hub);
    return true;
}

void hub_deinit(struct hub *hub)
{
    struct hub_event *event;

    hub_forget_fork(hub);
    LIST_EACH(event, &hub->events, node) {
        list_remove(&event->node);
        hub_event_free(event);
    }
    pthread_mutex_destroy(&hub->lock);
    close(hub->fd);
}

void hub_lock(struct hub *hub)
{
    pthread_mutex_lock(&hub->lock);
}

void hub_unlock(struct hub *hub)
{
    pthread_mutex_unlock(&hub->lock);
}

struct hub_event *hub_event_new(enum peer_event_type type)
{
    struct hub_event *event = mem_new(struct hub_event);

    list_init(&event->node);
    list_init(&event->in_datagrams);
    event->event.type = type;
    return event;
}

void hub_event_free(struct hub_event *event)
{
    if (!event)
        return;
    peer_link_unref(event->event.link);
    peer_stream_unref(event->event.stream);
    talk_unref(event->talk);
    talk_unref(event->serving);
    free(event->uri);
    free(event->id);
    free(event->role);
    for (size_t i = 0; i < HUB_CAPS; i++)
        free(event->caps[i]);
    free(event->names);
    free(event->finding);
    free(event->capability);
    free(event->argument);
    free(event->who_names);
    free(event->who_groups);
    buf_free(&event->data);
    free(event);
}

static bool is_message(const struct hub_event *event)
{
    return event->event.type == PEER_EVENT_MESSAGE || event->event.type == PEER_EVENT_INVOCATION ||
           (event->event.type == PEER_EVENT_RESULT && event->message.progress);
}

static void settle_event(struct hub *hub, struct hub_event *event)
{
    struct peer_stream *stream = event->event.stream;

    list_remove(&event->node);
    list_remove(&event->in_datagrams);
    hub->n_datagrams -= event->event.type == PEER_EVENT_DATAGRAM;
    hub->n_calls -= event->event.type == PEER_EVENT_INCOMING;
    hub->n_messages -= is_message(event);
    hub->n_bytes -= event->talk ? event->data.len : 0;
    if (event->talk && (event->event.type == PEER_EVENT_REGISTRATION ||
                        event->event.type == PEER_EVENT_SUBSCRIPTION)) {
        event->talk->is_standing_queued = false;
        hub_error(&event->talk->standing, &event->event.error);
    }
    if (event->event.type == PEER_EVENT_PATH)
        event->event.link->is_path_queued = false;
    if (event->event.type == PEER_EVENT_READABLE)
        stream->is_readable_queued = false;
    if (event->event.type == PEER_EVENT_WRITABLE)
        stream->is_writable_queued = false;
}

/* Under the lock. What has to go for one more datagram of `link`; NULL: there is room. The oldest of that link's: who sends
 * too many loses his own. */
static struct hub_event *take_oldest_datagram(struct hub *hub, const struct peer_link *link)
{
    struct hub_event *oldest, *at;

    if (hub->n_datagrams < HUB_MAX_DATAGRAMS)
        return NULL;
    oldest = LIST_ITEM(hub->datagrams.next, struct hub_event, in_datagrams);
    LIST_EACH(at, &hub->datagrams, in_datagrams) {
        if (at->event.link == link) {
            oldest = at;
            break;
        }
    }
    settle_event(hub, oldest);
    return oldest;
}

void hub_put(struct hub *hub, struct hub_event *event_taken)
{
    static const uint64_t one = 1;
    bool is_datagram = event_taken->event.type == PEER_EVENT_DATAGRAM, was_empty;
    struct hub_event *dropped = NULL;

    hub_lock(hub);
    was_empty = list_is_empty(&hub->events);
    if (is_datagram) {
        dropped = take_oldest_datagram(hub, event_taken->event.link);
        list_append(&hub->datagrams, &event_taken->in_datagrams);
    }
    list_append(&hub->events, &event_taken->node);
    hub->n_datagrams += is_datagram;
    hub->n_calls += event_taken->event.type == PEER_EVENT_INCOMING;
    hub->n_messages += is_message(event_taken);
    hub->n_bytes += event_taken->talk ? event_taken->data.len : 0;
    hub_unlock(hub);
    /* Outside: who wakes up wants the lock. Cannot fail: the counter is small. */
    if (was_empty && write(hub->fd, &one, sizeof(one)) != sizeof(one))
        abort();
    hub_event_free(dropped);
}

/* Nothing is left. A word that is said a moment after its event was taken is taken back the next time. */
static void take_back(struct hub *hub)
{
    uint64_t count;

    hub->is_word_late = read(hub->fd, &count, sizeof(count)) != sizeof(count);
}

/* All that a child is told, once. */
static struct hub_event *take_forked(struct hub *hub)
{
    struct hub_event *event;
    struct err err = { 0 };

    if (hub->is_fork_told)
        return NULL;
    hub->is_fork_told = true;
    take_back(hub);
    event = hub_event_new(PEER_EVENT_FAILED);
    hub_is_ours(hub, &err);
    hub_error(&err, &event->event.error);
    return event;
}

struct hub_event *hub_take(struct hub *hub)
{
    struct hub_event *event = NULL;

    if (hub->is_forked)
        return take_forked(hub);
    hub_lock(hub);
    if (!list_is_empty(&hub->events)) {
        event = LIST_ITEM(hub->events.next, struct hub_event, node);
        settle_event(hub, event);
    }
    if (list_is_empty(&hub->events) && (event || hub->is_word_late))
        take_back(hub);
    hub_unlock(hub);
    return event;
}

bool hub_is_behind(struct hub *hub)
{
    hub_lock(hub);
    bool is_behind = hub->n_calls >= HUB_MAX_CALLS;
    hub_unlock(hub);
    return is_behind;
}

bool hub_claim_path(struct hub *hub, struct peer_link *link)
{
    hub_lock(hub);
    bool claimed = !link->is_path_queued;
    link->is_path_queued = true;
    hub_unlock(hub);
    return claimed;
}

bool hub_has_room_for_result(struct hub *hub, size_t n_bytes)
{
    hub_lock(hub);
    bool has_room = hub->n_bytes + n_bytes <= HUB_MAX_BYTES;
    hub_unlock(hub);
    return has_room;
}

bool hub_has_room(struct hub *hub, size_t n_bytes)
{
    hub_lock(hub);
    bool has_room = hub->n_messages < HUB_MAX_MESSAGES && hub->n_bytes + n_bytes <= HUB_MAX_BYTES;
    hub_unlock(hub);
    return has_room;
}

void hub_put_standing(struct hub *hub, struct talk *talk, const struct err *err)
{
    struct hub_event *event;

    hub_lock(hub);
    bool is_queued = talk->is_standing_queued;
    talk->standing = *err;
    talk->is_standing_queued = true;
    hub_unlock(hub);
    if (is_queued)
        return;
    event = hub_event_new(talk->kind == TALK_REGISTRATION ? PEER_EVENT_REGISTRATION
                                                          : PEER_EVENT_SUBSCRIPTION);
    event->talk = talk_ref(talk);
    hub_put(hub, event);
}

bool hub_charge(struct hub *hub, size_t n_bytes)
{
    hub_lock(hub);
    bool has_room = hub->n_bytes_out + n_bytes <= HUB_MAX_BYTES_OUT;
    hub->n_bytes_out += has_room ? n_bytes : 0;
    hub_unlock(hub);
    return has_room;
}

void hub_discharge(struct hub *hub, size_t n_bytes)
{
    hub_lock(hub);
    hub->n_bytes_out -= n_bytes;
    hub_unlock(hub);
}

void hub_error(const struct err *err, struct peer_error *ret_error)
{
    *ret_error = (struct peer_error){ 0 };
    if (err->code == ERR_NONE)
        return;
    snprintf(ret_error->name, sizeof(ret_error->name), "%s", err_code_name(err->code));
    snprintf(ret_error->text, sizeof(ret_error->text), "%s", err->text);
    snprintf(ret_error->remedy, sizeof(ret_error->remedy), "%s", err_remedy(err));
}
