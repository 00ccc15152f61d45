/* SPDX-License-Identifier: Apache-2.0 */
/* Timers, and what happens when the process has no descriptors left. */
#include "peer/loop.h"

#include "base/mem.h"
#include "tests/check.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MANY = 4000, FEW_DESCRIPTORS = 64 };

struct scene {
    struct loop *loop;
    struct loop_timer *timer[MANY];
    unsigned order[MANY], n_run, n_wanted;
};

struct one {
    struct scene *scene;
    unsigned number;
};

static void quit_when_done(struct scene *s)
{
    if (s->n_run == s->n_wanted)
        loop_quit(s->loop);
}

static void note(void *user)
{
    struct one *one = user;

    one->scene->order[one->scene->n_run++] = one->number;
    quit_when_done(one->scene);
}

static void nothing(void *user)
{
    (void)user;
}

static void run(struct scene *s, loop_fn *begin)
{
    struct err err;

    CHECK_OK(loop_start(s->loop, begin, nothing, s, &err), err);
    loop_join(s->loop);
}

/* Leaves room for what a test needs itself, and no more. */
static rlim_t set_limit(rlim_t to)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    rlim_t was = limit.rlim_cur;
    limit.rlim_cur = to;
    setrlimit(RLIMIT_NOFILE, &limit);
    return was;
}

static struct one ones[MANY];

static void set_many(void *user)
{
    struct scene *s = user;
    uint64_t now = clock_mono_ns();

    for (unsigned i = 0; i < MANY; i++) {
        ones[i] = (struct one){ s, i };
        s->timer[i] = loop_timer_new(s->loop, note, &ones[i]);
        loop_timer_at(s->timer[i], now + (MANY - i) * UINT64_C(1000)); /* the last made, first */
    }
}

TEST(timers_cost_no_descriptors_and_run_in_their_order)
{
    static struct scene s = { .n_wanted = MANY };
    rlim_t was = set_limit(FEW_DESCRIPTORS);
    struct err err;

    CHECK_OK(loop_new(&s.loop, &err), err);
    run(&s, set_many);
    set_limit(was);
    CHECK_U64(s.n_run, MANY);
    for (unsigned i = 0; i < MANY; i++)
        CHECK_U64(s.order[i], MANY - 1 - i);
    for (unsigned i = 0; i < MANY; i++)
        loop_timer_free(s.timer[i]);
    loop_free(s.loop);
}

/* The first frees itself and the second, which is due as well, and sets the third. */
static void on_first(void *user)
{
    struct scene *s = user;

    s->order[s->n_run++] = 0;
    loop_timer_free(STEAL(s->timer[0]));
    loop_timer_free(STEAL(s->timer[1]));
    loop_timer_in(s->timer[2], 1);
}

static void set_three(void *user)
{
    struct scene *s = user;

    for (unsigned i = 1; i < 3; i++)
        ones[i] = (struct one){ s, i };
    s->timer[0] = loop_timer_new(s->loop, on_first, s);
    s->timer[1] = loop_timer_new(s->loop, note, &ones[1]);
    s->timer[2] = loop_timer_new(s->loop, note, &ones[2]);
    loop_timer_at(s->timer[1], 2);
    loop_timer_at(s->timer[2], 3);
    loop_timer_at(s->timer[2], UINT64_MAX);
    loop_timer_at(s->timer[0], 0);
}

TEST(a_timer_may_free_and_set_others)
{
    static struct scene s = { .n_wanted = 2 };
    struct err err;

    CHECK_OK(loop_new(&s.loop, &err), err);
    run(&s, set_three);
    CHECK_U64(s.n_run, 2);
    CHECK_U64(s.order[0], 0);
    CHECK_U64(s.order[1], 2);
    loop_timer_free(s.timer[2]);
    loop_free(s.loop);
}

static void on_word(void *user)
{
    struct scene *s = user;

    s->n_wanted = 1;
    loop_quit(s->loop);
}

/* A timer that is always due, and a word that ends it. */
static void on_always(void *user)
{
    struct scene *s = user;

    if (s->n_run == 0)
        loop_invoke(s->loop, on_word, s);
    if (++s->n_run < MANY * MANY)
        loop_timer_at(s->timer[0], 0);
    else
        loop_quit(s->loop); /* nobody else had a turn */
}

static void set_always(void *user)
{
    struct scene *s = user;

    s->timer[0] = loop_timer_new(s->loop, on_always, s);
    loop_timer_at(s->timer[0], 0);
}

TEST(a_timer_that_is_always_due_lets_others_have_their_turn)
{
    static struct scene s;
    struct err err;

    CHECK_OK(loop_new(&s.loop, &err), err);
    run(&s, set_always);
    CHECK_U64(s.n_wanted, 1);
    CHECK(s.n_run < MANY);
    loop_timer_free(s.timer[0]);
    loop_free(s.loop);
}

TEST(without_descriptors_a_loop_is_an_error)
{
    rlim_t was = set_limit(FEW_DESCRIPTORS);
    int fds[FEW_DESCRIPTORS];
    unsigned n = 0;
    struct loop *loop = NULL;
    struct err err;

    CHECK(loop_has_descriptors());
    while (n < FEW_DESCRIPTORS && (fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        n++;
    CHECK(!loop_has_descriptors());
    for (unsigned left = 0; left < 2; left++) { /* none, then one: the context needs another */
        CHECK_ERR(loop_new(&loop, &err), err, ERR_SYSTEM);
        CHECK_STR(err.text, "starting the library: Too many open files");
        close(fds[--n]);
    }
    CHECK_OK(loop_new(&loop, &err), err);
    CHECK(!loop_has_descriptors());
    loop_free(loop);
    while (n > 0)
        close(fds[--n]);
    CHECK(loop_has_descriptors());
    set_limit(was);
}

/* ---- another thread, while the loop's waits ---- */

struct guarded {
    struct loop *loop;
    unsigned long n_there, n_here; /* not atomic: whoever is inside has it alone */
    bool is_over;
};

enum { TURNS = 2000 };

static void count(void *user)
{
    struct guarded *g = user;

    g->n_there++;
    if (g->is_over)
        loop_quit(g->loop);
}

TEST(who_enters_has_the_loop_to_itself)
{
    struct guarded g = { 0 };
    struct err err;

    CHECK_OK(loop_new(&g.loop, &err), err);
    CHECK_OK(loop_start(g.loop, nothing, nothing, &g, &err), err);
    while (g.n_here < TURNS) {
        unsigned long before, turn = g.n_here;

        loop_invoke(g.loop, count, &g);
        while (!loop_try_enter(g.loop))
            ;
        before = g.n_there;
        for (volatile unsigned i = 0; i < 100; i++)
            ;
        CHECK(g.n_there == before);
        g.n_here = turn + 1;
        loop_leave(g.loop);
    }
    while (!loop_try_enter(g.loop))
        ;
    g.is_over = true;
    loop_leave(g.loop);
    loop_invoke(g.loop, count, &g);
    loop_join(g.loop);
    CHECK_U64(g.n_there, TURNS + 1);
    loop_free(g.loop);
}
