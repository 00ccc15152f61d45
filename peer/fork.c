/* SPDX-License-Identifier: Apache-2.0 */
/* fork(2) copies a peer's memory and descriptors, and not its thread. In the child such a peer says that it failed and does nothing
 * more: what the copy would send, with the same keys and numbers, would be its parent's; and what it took out of a shared
 * descriptor, its parent would miss. */
#include "peer/hub.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list hubs = { &hubs, &hubs };
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* No other thread is within a hub while the memory is copied. */
static void before(void)
{
    struct hub *hub;

    pthread_mutex_lock(&lock);
    LIST_EACH(hub, &hubs, in_fork)
        hub_lock(hub);
}

static void in_parent(void)
{
    struct hub *hub;

    LIST_EACH(hub, &hubs, in_fork)
        hub_unlock(hub);
    pthread_mutex_unlock(&lock);
}

/* An eventfd of its own under the same number, readable. Where there is no descriptor left the parent's is closed first: nothing is read
 * out of that one. */
static void take_own_eventfd(struct hub *hub)
{
    int shared = hub->fd, own = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

    if (own < 0) {
        close(shared);
        own = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    hub->fd = own;
    if (own >= 0 && own != shared && dup3(own, shared, O_CLOEXEC) == shared) {
        close(own);
        hub->fd = shared;
    }
}

/* And nothing that keeps the state folder in use. */
static void part(struct hub *hub)
{
    hub->is_forked = true;
    if (hub->held >= 0)
        close(hub->held);
    hub->held = -1;
    take_own_eventfd(hub);
}

static void in_child(void)
{
    struct hub *hub;

    LIST_EACH(hub, &hubs, in_fork) {
        if (!hub->is_forked)
            part(hub);
        hub_unlock(hub);
    }
    pthread_mutex_unlock(&lock);
}

static void begin(void)
{
    pthread_atfork(before, in_parent, in_child);
}

void hub_watch_fork(struct hub *hub)
{
    pthread_once(&once, begin);
    pthread_mutex_lock(&lock);
    list_append(&hubs, &hub->in_fork);
    pthread_mutex_unlock(&lock);
}

void hub_forget_fork(struct hub *hub)
{
    pthread_mutex_lock(&lock);
    list_remove(&hub->in_fork);
    pthread_mutex_unlock(&lock);
}

void hub_hold(struct hub *hub, int fd)
{
    hub_lock(hub);
    hub->held = fd;
    hub_unlock(hub);
}

bool hub_is_ours(const struct hub *hub, struct err *err)
{
    return !hub->is_forked ||
           err_set(err, ERR_CLOSED, "this peer belongs to the process that was forked");
}
