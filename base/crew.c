/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crew.h"

#include "base/mem.h"
#include "base/thread.h"

#include <sched.h>

struct helper {
    struct crew *crew;
    pthread_t thread;
};

struct crew {
    pthread_mutex_t lock;
    pthread_cond_t begun, done;
    struct helper *helpers;
    unsigned n_helpers, n_threads; /* wanted; started */
    bool was_started, is_ending;
    /* the work at hand; all under the lock, which costs little beside a piece of it */
    crew_piece *piece;
    void *user;
    size_t n, next, n_done;
};

struct crew *crew_new(unsigned n_helpers)
{
    struct crew *crew = mem_new(struct crew);

    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->begun, NULL);
    pthread_cond_init(&crew->done, NULL);
    crew->helpers = mem_array(struct helper, n_helpers ? n_helpers : 1);
    crew->n_helpers = n_helpers;
    return crew;
}

unsigned crew_size(const struct crew *crew)
{
    return 1 + (crew ? crew->n_helpers : 0);
}

/* Locked, before and after. */
static void work(struct crew *crew, unsigned who)
{
    while (crew->next < crew->n) {
        size_t at = crew->next++;
        pthread_mutex_unlock(&crew->lock);
        crew->piece(crew->user, who, at);
        pthread_mutex_lock(&crew->lock);
        if (++crew->n_done == crew->n)
            pthread_cond_signal(&crew->done);
    }
}

static void *help(void *user)
{
    const struct helper *helper = user;
    struct crew *crew = helper->crew;
    unsigned who = (unsigned)(helper - crew->helpers) + 1;

    pthread_mutex_lock(&crew->lock);
    while (!crew->is_ending) {
        work(crew, who);
        if (!crew->is_ending)
            pthread_cond_wait(&crew->begun, &crew->lock);
    }
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

static void start(struct crew *crew)
{
    crew->was_started = true;
    while (crew->n_threads < crew->n_helpers) {
        struct helper *helper = &crew->helpers[crew->n_threads];
        helper->crew = crew;
        if (thread_start(help, helper, &helper->thread) != 0)
            break;
        crew->n_threads++;
    }
}

void crew_run(struct crew *crew, crew_piece *piece, void *user, size_t n)
{
    if (!crew || n < 2) {
        for (size_t at = 0; at < n; at++)
            piece(user, 0, at);
        return;
    }
    if (!crew->was_started)
        start(crew);
    pthread_mutex_lock(&crew->lock);
    crew->piece = piece;
    crew->user = user;
    crew->n = n;
    crew->next = crew->n_done = 0;
    pthread_cond_broadcast(&crew->begun);
    work(crew, 0);
    while (crew->n_done < crew->n)
        pthread_cond_wait(&crew->done, &crew->lock);
    pthread_mutex_unlock(&crew->lock);
}

void crew_free(struct crew *crew)
{
    if (!crew)
        return;
    pthread_mutex_lock(&crew->lock);
    crew->is_ending = true;
    pthread_cond_broadcast(&crew->begun);
    pthread_mutex_unlock(&crew->lock);
    for (unsigned i = 0; i < crew->n_threads; i++)
        pthread_join(crew->helpers[i].thread, NULL);
    pthread_cond_destroy(&crew->begun);
    pthread_cond_destroy(&crew->done);
    pthread_mutex_destroy(&crew->lock);
    free(crew->helpers);
    free(crew);
}

unsigned crew_spare(unsigned most)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

    return n <= 1 ? 0 : (unsigned)(n - 1) < most ? (unsigned)(n - 1) : most;
}
