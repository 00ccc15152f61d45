/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ws_names.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/thread.h"

#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

enum { MAX_THREADS = 8, MAX_KEPT = 16 };

/* One question. Its owner and the queue, or the thread that took it from there, hold a reference each. */
struct question {
    struct list node;
    char *host;
    unsigned refs;
    struct rpc_ws_names *owner; /* NULL: nobody wants to know any more */
    uint64_t answered_at;       /* 0: not yet */
    int result;
    struct rpc_ws_addresses found;
};

/* Of the process: however many edges come and go while a name server is silent, no more threads wait for it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all questions too */
static struct list queue = { &queue, &queue };
static unsigned n_threads;

struct host {
    struct list node;
    char *name;
    struct question *question; /* NULL: none is open */
    uint64_t answered_at;
    struct rpc_ws_addresses known;
};

struct rpc_ws_names {
    struct list hosts; /* what was wanted last comes last */
    size_t n_hosts;
    atomic_bool has_news;
    void (*wake)(void *user);
    void *user;
};

static int look_up(const char *host, int flags, struct rpc_ws_addresses *ret_found)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags };
    struct addrinfo *all = NULL;
    int rc = getaddrinfo(host, NULL, &hints, &all);

    if (rc != 0)
        return rc;
    ret_found->n = 0;
    for (struct addrinfo *at = all; at && ret_found->n < RPC_WS_MAX_ADDRESSES; at = at->ai_next)
        ret_found->n += getnameinfo(at->ai_addr, at->ai_addrlen, ret_found->text[ret_found->n],
                                    RPC_WS_NUMERIC, NULL, 0, NI_NUMERICHOST) == 0;
    freeaddrinfo(all);
    return 0;
}

/* ---- the threads ------------------------------------------------------------------------------ */

/* What follows has the lock. */
static void unref(struct question *q)
{
    if (--q->refs > 0)
        return;
    free(q->host);
    free(q);
}

static void answer(struct question *q, int result, const struct rpc_ws_addresses *found)
{
    q->result = result;
    q->found = *found;
    q->answered_at = clock_mono_ms();
    if (q->owner) {
        atomic_store(&q->owner->has_news, true);
        q->owner->wake(q->owner->user);
    }
    unref(q);
}

static void *run(void *unused)
{
    pthread_mutex_lock(&lock);
    while (!list_is_empty(&queue)) {
        struct question *q = LIST_ITEM(queue.next, struct question, node);
        struct rpc_ws_addresses found = { 0 };
        list_remove(&q->node);
        pthread_mutex_unlock(&lock);
        int result = look_up(q->host, 0, &found);
        pthread_mutex_lock(&lock);
        answer(q, result, &found);
    }
    n_threads--;
    pthread_mutex_unlock(&lock);
    return unused;
}

static void put(struct question *q)
{
    const struct rpc_ws_addresses none = { 0 };

    list_append(&queue, &q->node);
    if (n_threads == MAX_THREADS)
        return;
    if (thread_start(run, NULL, NULL) == 0) {
        n_threads++;
    } else if (n_threads == 0) { /* nobody will come by */
        list_remove(&q->node);
        answer(q, EAI_AGAIN, &none);
    }
}

/* ---- their owner ------------------------------------------------------------------------------- */

static void ask(struct rpc_ws_names *names, struct host *host)
{
    struct question *q = mem_new(struct question);

    list_init(&q->node);
    q->host = mem_text(host->name);
    q->owner = names;
    q->refs = 2;
    host->question = q;
    pthread_mutex_lock(&lock);
    put(q);
    pthread_mutex_unlock(&lock);
}

/* The answer, if it is there. */
static void take(struct host *host)
{
    struct question *q = host->question;

    if (!q)
        return;
    pthread_mutex_lock(&lock);
    if (q->answered_at) {
        host->answered_at = q->answered_at;
        if (q->result == 0 || q->result == EAI_NONAME || q->result == EAI_NODATA)
            host->known = q->found;
        host->question = NULL;
        unref(q);
    }
    pthread_mutex_unlock(&lock);
}

static void host_free(struct rpc_ws_names *names, struct host *host)
{
    struct question *q = host->question;

    pthread_mutex_lock(&lock);
    if (q) {
        q->owner = NULL;
        q->refs -= !list_is_empty(&q->node); /* no thread has it yet */
        list_remove(&q->node);
        unref(q);
    }
    pthread_mutex_unlock(&lock);
    list_remove(&host->node);
    names->n_hosts--;
    free(host->name);
    free(host);
}

static void make_room(struct rpc_ws_names *names)
{
    struct host *host;

    LIST_EACH(host, &names->hosts, node) {
        if (names->n_hosts < MAX_KEPT)
            return;
        take(host);
        if (!host->question)
            host_free(names, host);
    }
}

static struct host *find_host(struct rpc_ws_names *names, const char *name)
{
    struct host *host;

    LIST_EACH(host, &names->hosts, node) {
        if (strcmp(host->name, name) != 0)
            continue;
        list_remove(&host->node);
        list_append(&names->hosts, &host->node);
        return host;
    }
    make_room(names);
    host = mem_new(struct host);
    host->name = mem_text(name);
    list_append(&names->hosts, &host->node);
    names->n_hosts++;
    return host;
}

enum rpc_ws_names_state rpc_ws_names_find(struct rpc_ws_names *names, const char *host,
                                          uint64_t since, struct rpc_ws_addresses *ret_found)
{
    struct host *at;

    if (look_up(host, AI_NUMERICHOST, ret_found) == 0)
        return RPC_WS_NAMES_KNOWN;
    at = find_host(names, host);
    take(at);
    if (!at->question && (at->answered_at == 0 || at->answered_at < since)) {
        ask(names, at);
        take(at);
    }
    *ret_found = at->known;
    if (at->question)
        return at->known.n ? RPC_WS_NAMES_KEPT : RPC_WS_NAMES_AWAITED;
    return at->known.n ? RPC_WS_NAMES_KNOWN : RPC_WS_NAMES_NONE;
}

bool rpc_ws_names_has_news(struct rpc_ws_names *names)
{
    return atomic_exchange(&names->has_news, false);
}

struct rpc_ws_names *rpc_ws_names_new(void (*wake)(void *user), void *user)
{
    struct rpc_ws_names *names = mem_new(struct rpc_ws_names);

    list_init(&names->hosts);
    names->wake = wake;
    names->user = user;
    return names;
}

void rpc_ws_names_free(struct rpc_ws_names *names)
{
    struct host *host;

    if (!names)
        return;
    LIST_EACH(host, &names->hosts, node)
        host_free(names, host);
    free(names);
}
