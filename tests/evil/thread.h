/* SPDX-License-Identifier: Apache-2.0 */
/* Doing something on a library's thread, and waiting until it was done. */
#pragma once

#include "peer/core.h"
#include "peer/errand.h"

#include <pthread.h>

struct errand_done {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_done;
    void (*fn)(struct core *core, void *user);
    struct core *core;
    void *user;
};

static inline void run_errand(void *user)
{
    struct errand_done *e = user;

    e->fn(e->core, e->user);
    pthread_mutex_lock(&e->lock);
    e->is_done = true;
    pthread_cond_signal(&e->changed);
    pthread_mutex_unlock(&e->lock);
}

static inline void on_thread(struct peer *peer, void (*fn)(struct core *core, void *user),
                             void *user)
{
    struct errand_done e = { .fn = fn, .core = peer->core, .user = user };

    pthread_mutex_init(&e.lock, NULL);
    pthread_cond_init(&e.changed, NULL);
    loop_invoke(peer->loop, run_errand, &e);
    pthread_mutex_lock(&e.lock);
    while (!e.is_done)
        pthread_cond_wait(&e.changed, &e.lock);
    pthread_mutex_unlock(&e.lock);
}
