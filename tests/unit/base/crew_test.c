/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crew.h"
#include "base/key.h"
#include "base/mem.h"
#include "tests/check.h"

#include <pthread.h>
#include <signal.h>

enum { N = 1000, WHO = 8 };

struct pieces {
    pthread_mutex_t lock;
    pthread_cond_t met;
    unsigned n_calls[N], n_inside, most_inside;
    bool is_inside[WHO];
    bool do_wait; /* for a second one inside */
    bool has_signals;
};

static void piece(void *user, unsigned who, size_t at)
{
    struct pieces *p = user;

    pthread_mutex_lock(&p->lock);
    p->n_calls[at]++;
    CHECK(who < WHO && !p->is_inside[who]);
    p->is_inside[who] = true;
    p->n_inside++;
    if (p->n_inside > p->most_inside)
        p->most_inside = p->n_inside;
    pthread_cond_broadcast(&p->met);
    while (p->do_wait && p->most_inside < 2)
        pthread_cond_wait(&p->met, &p->lock);
    p->n_inside--;
    p->is_inside[who] = false;
    pthread_mutex_unlock(&p->lock);
}

static bool each_was_called_once(const struct pieces *p, size_t n)
{
    for (size_t i = 0; i < N; i++)
        if (!CHECK_U64(p->n_calls[i], i < n))
            return false;
    return true;
}

static void pieces_init(struct pieces *p)
{
    *p = (struct pieces){ 0 };
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->met, NULL);
}

TEST(each_piece_is_done_once_whoever_there_is_to_do_it)
{
    static struct pieces p;

    for (unsigned n_helpers = 0; n_helpers < 5; n_helpers++) {
        _cleanup_(crew_freep) struct crew *crew = crew_new(n_helpers);
        for (size_t round = 0; round < 200; round++) {
            size_t n = random_below(N + 1);
            pieces_init(&p);
            crew_run(crew, piece, &p, n);
            if (!each_was_called_once(&p, n) || !CHECK_U64(p.n_inside, 0) ||
                !CHECK(p.most_inside <= n_helpers + 1))
                return;
        }
    }
    pieces_init(&p);
    crew_run(NULL, piece, &p, N);
    each_was_called_once(&p, N);
    CHECK_U64(p.most_inside, 1);
}

TEST(two_are_at_work_at_a_time)
{
    _cleanup_(crew_freep) struct crew *crew = crew_new(1);
    static struct pieces p;

    pieces_init(&p);
    p.do_wait = true;
    crew_run(crew, piece, &p, N); /* one alone never ends */
    each_was_called_once(&p, N);
    CHECK_U64(p.most_inside, 2);
}

TEST(a_crew_that_never_worked_ends)
{
    crew_free(crew_new(0));
    crew_free(crew_new(3));
    crew_free(NULL);
    CHECK_U64(crew_size(NULL), 1);
    CHECK(crew_spare(0) == 0);
    CHECK(crew_spare(3) <= 3);
}

static void look_at_signals(void *user, unsigned who, size_t at)
{
    struct pieces *p = user;
    sigset_t blocked;

    piece(user, who, at);
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    if (!sigismember(&blocked, SIGTERM)) {
        pthread_mutex_lock(&p->lock);
        p->has_signals = true;
        pthread_mutex_unlock(&p->lock);
    }
}

TEST(signals_stay_with_the_thread_that_was_there)
{
    _cleanup_(crew_freep) struct crew *crew = crew_new(1);
    static struct pieces p;
    sigset_t term, before;

    pieces_init(&p);
    p.do_wait = true;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    crew_run(crew, piece, &p, N); /* its thread is there now */
    pthread_sigmask(SIG_BLOCK, &term, &before);
    pieces_init(&p);
    p.do_wait = true;
    crew_run(crew, look_at_signals, &p, N);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    CHECK(!p.has_signals);
}
