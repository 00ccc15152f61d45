/* SPDX-License-Identifier: Apache-2.0 */
/* Dials by name, while the name server is silent. */
#include "tests/unit/rpc/ws_road.h"

#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <unistd.h>

/* ---- a resolver that answers when the test says so ---------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool is_silent;
static unsigned n_asked, n_waiting, most_waiting;

/* The wait has an end, so that a loop that waits here fails and does not hang. */
static void wait_for_word(void)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    n_waiting++;
    if (most_waiting < n_waiting)
        most_waiting = n_waiting;
    while (is_silent && pthread_cond_timedwait(&changed, &lock, &until) == 0)
        ;
    n_waiting--;
    pthread_cond_broadcast(&changed);
}

/* Instead of the system's: all that ends in .test is this machine. */
int getaddrinfo(const char *restrict name, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict ret_found)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = NULL;
    size_t len = name ? strlen(name) : 0;

    *(void **)&next = dlsym(RTLD_NEXT, "getaddrinfo");
    if (len < 5 || strcmp(name + len - 5, ".test") != 0 ||
        (hints && hints->ai_flags & AI_NUMERICHOST))
        return next(name, service, hints, ret_found);
    pthread_mutex_lock(&lock);
    n_asked++;
    wait_for_word();
    pthread_mutex_unlock(&lock);
    return strncmp(name, "none", 4) == 0 ? EAI_NONAME
                                         : next("127.0.0.1", service, hints, ret_found);
}

static void be_silent(bool now)
{
    pthread_mutex_lock(&lock);
    is_silent = now;
    n_asked = most_waiting = n_waiting;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* Until no thread is left here: the next case counts its own. */
static void speak_again(void *unused)
{
    (void)unused;
    be_silent(false);
    pthread_mutex_lock(&lock);
    while (n_waiting > 0)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}
#define _silence_ _cleanup_(speak_again) __attribute__((unused)) int

static unsigned get(const unsigned *number)
{
    pthread_mutex_lock(&lock);
    unsigned n = *number;
    pthread_mutex_unlock(&lock);
    return n;
}

static bool somebody_waits(void *unused)
{
    (void)unused;
    return get(&n_waiting) > 0;
}

static bool eight_wait(void *unused)
{
    (void)unused;
    return get(&n_waiting) == 8;
}

static bool has_echo(void *user)
{
    return ((const struct end *)user)->n_messages > 0;
}

static bool has_asked(void *user)
{
    return clock_mono_ms() > *(const uint64_t *)user + 400;
}

/* ---- the cases ---------------------------------------------------------------------------------- */

TEST(a_silent_name_server_holds_up_nothing)
{
    struct end other = { 0 };
    _silence_ silence;
    _road_ road;

    road_init(&road);
    road.server.echoes = true;
    road_open(&road);
    be_silent(true);
    road.dial.host = "router.test";
    road_dial(&road, &other);
    CHECK(edge_until(road.loop, somebody_waits, NULL));
    send_numbered(road.client.conn, 0, 100);
    CHECK(edge_until(road.loop, has_echo, &road.client));
    CHECK(somebody_waits(NULL));
    CHECK_U64(other.n_opened + other.n_closed, 0);
    be_silent(false);
    CHECK(edge_until(road.loop, is_settled, &other));
    CHECK_U64(other.n_opened, 1);
}

TEST(another_host_is_reached_meanwhile)
{
    struct rpc_ws_place others[2] = { { .host = "second.test" }, { .host = "127.0.0.1" } };
    _silence_ silence;
    _road_ road;

    road_init(&road);
    road_listen(&road);
    be_silent(true);
    road.dial.host = "first.test";
    others[0].port = others[1].port = road.dial.port;
    road.dial.others = others;
    road.dial.n_others = 2;
    road_dial(&road, &road.client);
    CHECK(edge_until(road.loop, both_open, &road));
    CHECK(somebody_waits(NULL));
}

TEST(a_name_that_comes_late_is_still_raced)
{
    struct rpc_ws_place other = { .host = "127.0.0.1" };
    uint64_t begun = clock_mono_ms();
    _silence_ silence;
    _road_ road;

    road_init(&road);
    road_listen(&road);
    be_silent(true);
    other.port = 1; /* refuses */
    road.dial.host = "first.test";
    road.dial.others = &other;
    road.dial.n_others = 1;
    road_dial(&road, &road.client);
    CHECK(edge_until(road.loop, has_asked, &begun));
    CHECK(somebody_waits(NULL));
    be_silent(false);
    CHECK(edge_until(road.loop, both_open, &road));
}

static size_t moved[4], n_moved;

static void on_moved(void *user, size_t which)
{
    (void)user;
    moved[n_moved++] = which;
    if (which == 0) /* the host is found while the other one, which says nothing, is tried */
        be_silent(false);
}

TEST(a_name_that_comes_after_another_host_was_taken)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int mute = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct rpc_ws_place other = { .host = "127.0.0.1" };
    socklen_t len = sizeof(at);
    _silence_ silence;
    _road_ road;

    CHECK(bind(mute, (const struct sockaddr *)&at, len) == 0 && listen(mute, 8) == 0);
    CHECK(getsockname(mute, (struct sockaddr *)&at, &len) == 0);
    other.port = ntohs(at.sin_port);
    n_moved = 0;
    road_init(&road);
    road_listen(&road);
    be_silent(true);
    road.dial.host = "router.test";
    road.dial.others = &other;
    road.dial.n_others = 1;
    road.dial.moved = on_moved;
    road_dial(&road, &road.client);
    CHECK(edge_until(road.loop, both_open, &road));
    CHECK_U64(n_moved, 2);
    CHECK(moved[0] == 0 && moved[1] == RPC_WS_THE_HOST);
    close(mute);
}

TEST(what_was_known_serves_while_nobody_answers)
{
    struct end again = { 0 };
    _silence_ silence;
    _road_ road;

    road_init(&road);
    road_listen(&road);
    road.dial.host = "router.test";
    road_dial(&road, &road.client);
    CHECK(edge_until(road.loop, both_open, &road));
    be_silent(true);
    road_dial(&road, &again);
    CHECK(edge_until(road.loop, is_settled, &again));
    CHECK_U64(again.n_opened, 1);
    CHECK(somebody_waits(NULL));
}

TEST(a_host_that_is_not_there_is_told)
{
    _road_ road;

    road_init(&road);
    road_listen(&road);
    road.dial.host = "none.test";
    road_dial(&road, &road.client);
    CHECK(edge_until(road.loop, is_closed, &road.client));
    CHECK_U64(road.client.n_opened, 0);
}

TEST(a_host_is_asked_for_once)
{
    struct end ends[3] = { 0 };
    _silence_ silence;
    _road_ road;

    road_init(&road);
    road_listen(&road);
    be_silent(true);
    road.dial.host = "router.test";
    for (size_t i = 0; i < N_ELEMENTS(ends); i++)
        road_dial(&road, &ends[i]);
    CHECK(edge_until(road.loop, somebody_waits, NULL));
    be_silent(false);
    for (size_t i = 0; i < N_ELEMENTS(ends); i++)
        CHECK(edge_until(road.loop, is_open, &ends[i]));
    CHECK_U64(get(&n_asked), 1);
}

/* Of a queue that eight at most work off all are answered in the end. */
TEST(few_threads_wait)
{
    struct end ends[20] = { 0 };
    char host[16];
    _silence_ silence;
    _road_ road;

    road_init(&road);
    road_listen(&road);
    be_silent(true);
    road.dial.host = host;
    for (size_t i = 0; i < N_ELEMENTS(ends); i++) {
        snprintf(host, sizeof(host), "host%zu.test", i);
        road_dial(&road, &ends[i]);
    }
    CHECK(edge_until(road.loop, eight_wait, NULL));
    be_silent(false);
    for (size_t i = 0; i < N_ELEMENTS(ends); i++)
        CHECK(edge_until(road.loop, is_open, &ends[i]));
    CHECK(get(&most_waiting) <= 8);
}

TEST(closed_or_freed_meanwhile)
{
    struct end left = { 0 };
    _silence_ silence;
    _road_ road;

    road_init(&road);
    road_listen(&road);
    be_silent(true);
    road.dial.host = "router.test";
    road.client.conn = road_dial(&road, &road.client);
    road.dial.host = "other.test";
    road_dial(&road, &left);
    CHECK(edge_until(road.loop, somebody_waits, NULL));
    rpc_ws_close(road.client.conn, 1000, "not wanted");
    CHECK(edge_until(road.loop, is_closed, &road.client));
    CHECK(somebody_waits(NULL));
    CHECK_U64(left.n_closed, 0); /* the road's end frees it, and the threads come back after that */
}
