/* SPDX-License-Identifier: Apache-2.0 */
/* Two ends, a direct way and a relay between them that can be cut in either direction, and a clock of the test's own.
 * Each end sends numbered packets and acknowledges the other's, as a link does. */
#include "base/list.h"
#include "peer/link/path.h"
#include "tests/check.h"

#include <stdlib.h>

#define MS ((uint64_t)1000000)
enum { WAYS = 2, PACKET = 40, STEP_MS = 5, SEND_EACH_MS = 20, LATE_MS = 120 };

struct flight { /* a packet, or a SWITCH, that is under way */
    struct list node;
    uint64_t at;
    size_t to, way;
    struct buf bytes;
};

struct end {
    struct world *world;
    size_t side;
    struct path *path;
    struct way {
        struct path_carrier base;
        struct end *end;
        size_t number;
        bool is_cut;  /* what this end sends is lost */
        size_t takes; /* what is larger is lost; 0: nothing is */
        unsigned n_sent;
    } ways[WAYS];
    bool sends;
    uint64_t next_send, n_sent, n_acked, oldest_unacked_at, last_ack_at, worst_gap;
    uint64_t n_received;
    unsigned n_changed, n_switches, n_lost;
    bool is_narrow; /* as it was told to the other end */
    uint64_t switches[4096];
};

struct world {
    uint64_t now;
    struct end ends[2];
    struct list flights, promises; /* promises: SWITCHes that have not got through */
    uint64_t delay[WAYS];
};

static uint64_t now_of(void *user)
{
    return ((struct end *)user)->world->now;
}

static void launch(struct list *to, struct flight like, struct view bytes)
{
    struct flight *flight = mem_new(struct flight);

    *flight = like;
    flight->bytes = buf_dup(bytes);
    list_append(to, &flight->node);
}

static void flight_free(struct flight *flight)
{
    list_remove(&flight->node);
    buf_free(&flight->bytes);
    free(flight);
}

static size_t way_send(struct path_carrier *carrier, const struct view *packets, size_t n)
{
    struct way *way = CONTAINER(carrier, struct way, base);
    struct world *w = way->end->world;

    way->n_sent += (unsigned)n;
    for (size_t i = 0; i < n && !way->is_cut; i++) {
        if (way->takes && packets[i].len > way->takes)
            continue;
        launch(&w->flights,
               (struct flight){ .at = w->now + w->delay[way->number],
                                .to = !way->end->side,
                                .way = way->number },
               packets[i]);
    }
    return n;
}

static bool way_facts(const struct path_carrier *carrier, struct path_facts *ret)
{
    *ret = (struct path_facts){ .kind = carrier->ops->kind };
    return true;
}

static const struct path_carrier_ops ops[WAYS] = {
    { PATH_DIRECT, way_send, way_facts, NULL },
    { PATH_RELAY, way_send, way_facts, NULL },
};

static void say(struct end *end, char kind, uint64_t number)
{
    uint8_t bytes[PACKET] = { (uint8_t)kind };
    struct view packet = VIEW_ARR(bytes);

    memcpy(bytes + 8, &number, sizeof(number));
    path_send(end->path, &packet, 1);
}

static void on_packets(void *user, const struct view *packets, size_t n)
{
    struct end *end = user;
    uint64_t number, gap;

    for (size_t i = 0; i < n; i++) {
        CHECK_U64(packets[i].len, PACKET);
        memcpy(&number, packets[i].data + 8, sizeof(number));
        if (packets[i].data[0] == 'd') {
            end->n_received = number > end->n_received ? number : end->n_received;
            say(end, 'a', number);
        } else if (number > end->n_acked) {
            gap = end->world->now - end->last_ack_at;
            end->worst_gap = gap > end->worst_gap ? gap : end->worst_gap;
            end->n_acked = number;
            end->last_ack_at = end->oldest_unacked_at = end->world->now;
        }
    }
}

static void on_nothing(void *user)
{
    (void)user;
}

static void on_changed(void *user)
{
    ((struct end *)user)->n_changed++;
}

static void on_lost(void *user)
{
    ((struct end *)user)->n_lost++;
}

/* As the control stream does: said until it gets through. */
static void on_switch(void *user, uint64_t number, enum path_kind kind)
{
    struct end *end = user;
    uint8_t bytes[9] = { (uint8_t)kind };

    memcpy(bytes + 1, &number, sizeof(number));
    if (CHECK(end->n_switches < N_ELEMENTS(end->switches)))
        end->switches[end->n_switches++] = end->world->now;
    launch(&end->world->promises, (struct flight){ .at = end->world->now, .to = !end->side },
           VIEW_ARR(bytes));
}

static struct world *world_new(void)
{
    static const struct path_events events = { on_packets, on_nothing, on_changed,
                                               on_lost,    on_switch,  now_of };
    struct world *w = mem_new(struct world);

    w->now = 1000 * MS;
    w->delay[0] = 10 * MS;
    w->delay[1] = 25 * MS;
    list_init(&w->flights);
    list_init(&w->promises);
    for (size_t i = 0; i < 2; i++) {
        struct end *end = &w->ends[i];
        end->world = w;
        end->side = i;
        end->path = path_new(&events, i == 0, end);
        for (size_t k = 0; k < WAYS; k++) {
            end->ways[k].base.ops = &ops[k];
            end->ways[k].end = end;
            end->ways[k].number = k;
        }
    }
    return w;
}

static void world_free(struct world *w)
{
    struct flight *flight;

    if (!w)
        return;
    LIST_EACH(flight, &w->flights, node)
        flight_free(flight);
    LIST_EACH(flight, &w->promises, node)
        flight_free(flight);
    path_free(w->ends[0].path);
    path_free(w->ends[1].path);
    free(w);
}
OWN_FREEP(world, struct world)

static void arrive(struct world *w)
{
    struct flight *flight;

    LIST_EACH(flight, &w->flights, node) {
        struct end *to = &w->ends[flight->to];
        struct view packet = buf_view(&flight->bytes);
        if (flight->at > w->now)
            continue;
        path_carrier_received(to->path, &to->ways[flight->way].base, &packet, 1);
        flight_free(flight);
    }
}

/* Which way an end's packets take: the first that carries, or both after a late answer, if one of them is whole. */
static bool gets_through(const struct end *from)
{
    struct path_facts facts;
    bool is_late = from->world->now - from->oldest_unacked_at > LATE_MS * MS;

    if (!path_facts(from->path, &facts))
        return false;
    if (is_late || !from->sends)
        return !from->ways[0].is_cut || !from->ways[1].is_cut;
    return !from->ways[facts.kind == PATH_DIRECT ? 0 : 1].is_cut;
}

static void keep_promises(struct world *w)
{
    struct flight *flight;

    LIST_EACH(flight, &w->promises, node) {
        struct end *to = &w->ends[flight->to];
        uint64_t number;
        if (!gets_through(&w->ends[!flight->to]) || flight->at + 60 * MS > w->now)
            continue;
        memcpy(&number, flight->bytes.data + 1, sizeof(number));
        path_switched(to->path, number, (enum path_kind)flight->bytes.data[0]);
        flight_free(flight);
    }
}

static void live(struct end *end)
{
    struct world *w = end->world;
    bool is_waiting;

    if (end->sends && w->now >= end->next_send) {
        end->next_send = w->now + SEND_EACH_MS * MS;
        if (end->n_sent == end->n_acked)
            end->oldest_unacked_at = w->now;
        say(end, 'd', ++end->n_sent);
    }
    is_waiting = end->n_sent > end->n_acked;
    path_set_pressure(end->path,
                      &(struct path_pressure){
                          is_waiting, is_waiting && w->now - end->oldest_unacked_at > LATE_MS * MS,
                          LATE_MS * MS });
    for (unsigned n = 0; n < 3 && path_deadline(end->path) <= w->now; n++)
        path_tick(end->path);
    CHECK(path_deadline(end->path) > w->now); /* or its owner's clock rings for ever */
}

/* REPORT, as the link says it. */
static void report(struct end *end)
{
    bool is_narrow = path_is_narrow(end->path, PATH_DIRECT);

    if (is_narrow == end->is_narrow || !gets_through(end))
        return;
    end->is_narrow = is_narrow;
    path_set_narrow_there(end->world->ends[!end->side].path, is_narrow);
}

static void pass(struct world *w, uint64_t ms)
{
    for (uint64_t end = w->now + ms * MS; w->now < end;) {
        w->now += STEP_MS * MS;
        arrive(w);
        keep_promises(w);
        live(&w->ends[0]);
        live(&w->ends[1]);
        report(&w->ends[0]);
        report(&w->ends[1]);
    }
}

static enum path_kind kind_at(const struct world *w, size_t side)
{
    struct path_facts facts;

    return CHECK(path_facts(w->ends[side].path, &facts)) ? facts.kind : PATH_KINDS;
}

static void up(struct world *w, size_t way)
{
    for (size_t i = 0; i < 2; i++)
        path_carrier_up(w->ends[i].path, &w->ends[i].ways[way].base);
}

static void cut(struct world *w, size_t way, bool is_cut)
{
    w->ends[0].ways[way].is_cut = w->ends[1].ways[way].is_cut = is_cut;
}

static void begin(struct world *w, bool first_sends, bool second_sends)
{
    up(w, 1);
    path_set_linked(w->ends[0].path);
    path_set_linked(w->ends[1].path);
    w->ends[0].sends = first_sends;
    w->ends[1].sends = second_sends;
    w->ends[0].last_ack_at = w->ends[1].last_ack_at = w->now;
    pass(w, 500);
    CHECK_U64(kind_at(w, 0), PATH_RELAY);
    up(w, 0);
    pass(w, 500);
    CHECK_U64(kind_at(w, 0), PATH_DIRECT);
    CHECK_U64(kind_at(w, 1), PATH_DIRECT);
    for (size_t i = 0; i < 2; i++)
        w->ends[i].worst_gap = 0;
}

static void check_gap(const struct end *end)
{
    if (end->sends && !CHECK(end->worst_gap <= 500 * MS))
        check_failed(__FILE__, __LINE__, "gap: %llu ms", (unsigned long long)(end->worst_gap / MS));
}

TEST(a_link_begins_at_the_relay_and_moves)
{
    _cleanup_(world_freep) struct world *w = world_new();

    begin(w, true, true);
    CHECK(w->ends[0].n_switches + w->ends[1].n_switches <= 2);
    CHECK_U64(w->ends[0].n_changed, 1);
}

TEST(without_carriers_nothing_is_due)
{
    _cleanup_(world_freep) struct world *w = world_new();

    begin(w, true, true);
    path_carrier_down(w->ends[0].path, &w->ends[0].ways[0].base); /* which is told, */
    up(w, 0);
    pass(w, 10); /* as soon as one may be again, */
    path_carrier_down(w->ends[0].path, &w->ends[0].ways[0].base);
    path_carrier_down(w->ends[0].path, &w->ends[0].ways[1].base); /* and of nothing now */
    pass(w, 5000);
    CHECK_U64(path_deadline(w->ends[0].path), UINT64_MAX);
    cut(w, 0, false);
    up(w, 0);
    pass(w, 2000);
    CHECK_U64(kind_at(w, 0), PATH_DIRECT);
    CHECK_U64(kind_at(w, 1), PATH_DIRECT);
}

TEST(a_dead_path_is_left_within_half_a_second_and_comes_back)
{
    static const struct {
        bool first, second;
    } senders[] = { { true, true }, { true, false }, { false, true } };

    for (size_t i = 0; i < N_ELEMENTS(senders); i++) {
        _cleanup_(world_freep) struct world *w = world_new();
        begin(w, senders[i].first, senders[i].second);
        cut(w, 0, true);
        pass(w, 1000);
        CHECK_U64(kind_at(w, 0), PATH_RELAY);
        CHECK_U64(kind_at(w, 1), PATH_RELAY);
        pass(w, 5000);
        check_gap(&w->ends[0]);
        check_gap(&w->ends[1]);
        cut(w, 0, false);
        pass(w, 3000);
        CHECK_U64(kind_at(w, 0), PATH_DIRECT);
        CHECK_U64(kind_at(w, 1), PATH_DIRECT);
        check_gap(&w->ends[0]);
        check_gap(&w->ends[1]);
        CHECK(w->ends[0].n_changed <= 4);
    }
}

TEST(one_that_is_deaf_one_way_is_left_by_both)
{
    for (size_t side = 0; side < 2; side++) {
        _cleanup_(world_freep) struct world *w = world_new();
        begin(w, true, true);
        w->ends[side].ways[0].is_cut = true;
        pass(w, 20000);
        CHECK_U64(kind_at(w, 0), PATH_RELAY);
        CHECK_U64(kind_at(w, 1), PATH_RELAY);
        check_gap(&w->ends[0]);
        check_gap(&w->ends[1]);
        CHECK(w->ends[0].n_changed <= 4);
        cut(w, 0, false);
        pass(w, 20000);
        CHECK_U64(kind_at(w, 0), PATH_DIRECT);
        CHECK_U64(kind_at(w, 1), PATH_DIRECT);
    }
}

/* QUIC's packets get through from one end, and not from the other. */
TEST(one_that_is_narrow_one_way_is_used_by_nobody)
{
    for (size_t side = 0; side < 2; side++) {
        _cleanup_(world_freep) struct world *w = world_new();

        up(w, 1);
        path_set_linked(w->ends[0].path);
        path_set_linked(w->ends[1].path);
        w->ends[0].sends = w->ends[1].sends = true;
        pass(w, 500);
        w->ends[side].ways[0].takes = 1100;
        up(w, 0);
        pass(w, 120000);
        CHECK_U64(kind_at(w, 0), PATH_RELAY);
        CHECK_U64(kind_at(w, 1), PATH_RELAY);
        CHECK(w->ends[0].n_changed <= 4 && w->ends[1].n_changed <= 4);

        w->ends[side].ways[0].takes = 0; /* it is noticed within five minutes */
        pass(w, 310000);
        CHECK_U64(kind_at(w, 0), PATH_DIRECT);
        CHECK_U64(kind_at(w, 1), PATH_DIRECT);
    }
}

TEST(an_idle_link_notices_too)
{
    _cleanup_(world_freep) struct world *w = world_new();

    begin(w, false, false);
    cut(w, 0, true);
    pass(w, 10000);
    CHECK_U64(kind_at(w, 0), PATH_RELAY);
    CHECK_U64(kind_at(w, 1), PATH_RELAY);
    cut(w, 0, false);
    pass(w, 5000);
    CHECK_U64(kind_at(w, 0), PATH_DIRECT);
    CHECK_U64(kind_at(w, 1), PATH_DIRECT);
}

TEST(an_idle_link_says_little)
{
    _cleanup_(world_freep) struct world *w = world_new();
    unsigned before;

    begin(w, false, false);
    before = w->ends[0].ways[0].n_sent + w->ends[0].ways[1].n_sent;
    pass(w, 60000);
    CHECK(w->ends[0].ways[0].n_sent + w->ends[0].ways[1].n_sent - before <= 40);
}

TEST(a_relay_that_is_lost_changes_nothing)
{
    _cleanup_(world_freep) struct world *w = world_new();

    begin(w, true, true);
    cut(w, 1, true);
    pass(w, 60000);
    CHECK_U64(w->ends[0].n_changed, 1);
    cut(w, 1, false);
    pass(w, 5000);
    cut(w, 0, true); /* it is known to be there again */
    pass(w, 5000);
    CHECK_U64(kind_at(w, 0), PATH_RELAY);
    check_gap(&w->ends[0]);
}

TEST(when_all_was_dead_the_first_that_returns_carries)
{
    for (size_t way = 0; way < WAYS; way++) {
        _cleanup_(world_freep) struct world *w = world_new();
        begin(w, true, true);
        cut(w, 0, true);
        cut(w, 1, true);
        pass(w, 10000);
        cut(w, way, false);
        pass(w, 3000);
        CHECK(w->now - w->ends[0].last_ack_at < 200 * MS);
        CHECK(w->now - w->ends[1].last_ack_at < 200 * MS);
    }
}

/* Whatever happens in between: when all is well again both ends are at the better one, and nobody switched more
 * often than ten times a second. */
TEST(a_thousand_random_cuts_end_well)
{
    unsigned seed = 7;

    for (int round = 0; round < 60; round++) {
        _cleanup_(world_freep) struct world *w = world_new();
        begin(w, true, rand_r(&seed) & 1);
        for (int i = 0; i < 20; i++) {
            unsigned draw = (unsigned)rand_r(&seed);
            w->ends[draw & 1].ways[draw >> 1 & 1].is_cut = draw >> 2 & 1;
            pass(w, 20 + (unsigned)rand_r(&seed) % 1500);
        }
        cut(w, 0, false);
        cut(w, 1, false);
        pass(w, 30000);
        CHECK_U64(kind_at(w, 0), PATH_DIRECT);
        CHECK_U64(kind_at(w, 1), PATH_DIRECT);
        for (size_t side = 0; side < 2; side++) {
            const struct end *end = &w->ends[side];
            for (unsigned i = 10; i < end->n_switches; i++)
                CHECK(end->switches[i] - end->switches[i - 10] >= 1000 * MS);
        }
    }
}

TEST(a_carrier_that_goes_down_is_left_at_once)
{
    _cleanup_(world_freep) struct world *w = world_new();

    begin(w, true, true);
    path_carrier_down(w->ends[0].path, &w->ends[0].ways[0].base);
    CHECK_U64(kind_at(w, 0), PATH_RELAY);
    pass(w, 1000);
    CHECK_U64(kind_at(w, 1), PATH_RELAY);
    check_gap(&w->ends[0]);
    path_carrier_up(w->ends[0].path, &w->ends[0].ways[0].base);
    pass(w, 3000);
    CHECK_U64(kind_at(w, 0), PATH_DIRECT);
    CHECK_U64(kind_at(w, 1), PATH_DIRECT);
}

TEST(switches_that_are_old_or_too_many_change_nothing)
{
    _cleanup_(world_freep) struct world *w = world_new();

    begin(w, false, false);
    path_switched(w->ends[0].path, 0, PATH_RELAY);
    CHECK_U64(kind_at(w, 0), PATH_DIRECT);
    for (uint64_t i = 0; i < 50; i++)
        path_switched(w->ends[0].path, 10 + i, i & 1 ? PATH_DIRECT : PATH_RELAY);
    CHECK(w->ends[0].n_changed <= 12);
}
