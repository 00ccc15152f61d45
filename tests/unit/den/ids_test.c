/* SPDX-License-Identifier: Apache-2.0 */
/* IDs over a long time: registered, released, expired, den restarted, at random; nobody ever has another's.
 * And the IDs themselves: uniform. WARREN_IDS_STEPS and WARREN_IDS_DRAWN make them longer. */
#include "base/clock.h"
#include "base/map.h"
#include "den/people.h"
#include "tests/unit/den/world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_MACHINES = 400, BINS = 100, PER_BEACON = 50000 /* den takes so many under one */ };

struct machine {
    struct world_peer *peer; /* NULL: the slot is free */
    bool has_joined;
};

static size_t n_steps(const char *variable, size_t fallback)
{
    const char *text = getenv(variable);

    return text ? strtoul(text, NULL, 10) : fallback;
}

struct history {          /* who ever had which ID */
    struct map *owner_of; /* ID -> a copy of the key that had it committed */
    size_t n_double;
    size_t n_ids;
    uint32_t longest; /* ms that go by at once: all together less than the manifest lives */
};

/* A committed ID has one key, for ever; a provisional one may be drawn again once it was given up. */
static void note(struct history *h, const struct store_identity *who)
{
    uint8_t *before = map_get(h->owner_of, view_text(who->id));

    if (!before) {
        before = mem_dup(who->pk, KEY_SIZE);
        map_set(h->owner_of, view_text(who->id), before);
        h->n_ids++;
    } else if (memcmp(before, who->pk, KEY_SIZE) != 0) {
        h->n_double++;
    }
}

static void answer_all(struct world *w)
{
    struct world_call *call;

    while ((call = world_pending(w, "network.peer.get")))
        world_say_online(call, random_below(2) == 0);
}

static void step(struct world *w, struct machine *m, struct key *const tokens[2], struct history *h)
{
    const struct world_answer *answer;
    struct store_identity who;
    enum store_found found;
    struct err err = { 0 };

    if (!m->peer) {
        m->peer = world_stranger_new(w);
        m->has_joined = false;
    }
    switch (random_below(20)) {
    case 0: /* it is thrown away */
        world_peer_free(m->peer);
        m->peer = NULL;
        return;
    case 1:
        if (m->has_joined && people_find(w->store, m->peer->id, &who, &err))
            people_remove(w->store, &who, &(struct deed){ .by = "uid 0", .at = w->wall }, &err);
        return;
    case 2:
        world_jump(w, random_below(h->longest));
        answer_all(w);
        return;
    case 3:
        world_jump(w, MINUTE_MS);
        answer_all(w);
        return;
    default:
        break;
    }
    uint32_t kind = random_below(3);
    uint64_t inv = world_admit(w, m->peer, kind < 2 ? tokens[kind] : NULL);
    answer = world_answer(w, inv);
    if (!answer || answer->what != WORLD_YIELDED)
        return;
    world_take_id(w, inv, m->peer);
    m->has_joined = true;
    CHECK_OK(store_identity_by_key(w->store, key_public_view(m->peer->key), &found, &who, &err),
             err);
    CHECK(found == STORE_FOUND && strcmp(who.id, m->peer->id) == 0);
    if (who.kind != STORE_PROVISIONAL)
        note(h, &who);
}

static bool count(void *user, _unused_ const struct store_identity *who)
{
    ++*(size_t *)user;
    return true;
}

TEST(no_id_ever_has_two_owners)
{
    _cleanup_(world_freep) struct world *w =
        world_new("rules: [{from: any, to: any, can: any, consent: deny}]\n");
    struct history h = { .owner_of = map_new() };
    static struct machine machines[MAX_MACHINES];
    size_t n = n_steps("WARREN_IDS_STEPS", 400), n_rows = 0, n_restarts = 0;
    struct err err = { 0 };
    struct view id;
    void *owner;

    h.longest = (uint32_t)min_u64(4 * DAY_MS, 300 * DAY_MS * 30 / n);
    w->config.enrolment = DEN_OPEN;
    CHECK(world_unlimited(w));
    struct key *tokens[2] = { world_add_token(w, (struct store_token){ .vanish_after = 0 }),
                              world_add_token(w, (struct store_token){ .vanish_after = HOUR_MS }) };
    for (size_t i = 0; i < n; i++) {
        if (random_below(200) == 0) {
            CHECK_OK(world_restart(w, &err), err);
            n_restarts++;
        }
        step(w, &machines[random_below(MAX_MACHINES)], tokens, &h);
    }
    CHECK_OK(store_identity_each(w->store, false, count, &n_rows, &err), err);
    CHECK_U64(h.n_double, 0);
    printf(
        "# steps=%zu restarts=%zu ids_committed_or_ephemeral=%zu ids_now=%zu double_owners=%zu\n",
        n, n_restarts, h.n_ids, n_rows, h.n_double);
    for (size_t i = 0; i < MAX_MACHINES; i++)
        world_peer_free(machines[i].peer);
    for (size_t i = 0; i < 2; i++)
        key_free(tokens[i]);
    for (size_t at = 0; map_next(h.owner_of, &at, &id, &owner);)
        free(owner);
    map_free(h.owner_of);
}

/* Wilson and Hilferty: how many standard deviations a chi-square of `df` degrees lies above its middle. */
static double deviations(double chi, double df)
{
    double a = 2.0 / (9.0 * df);

    return (pow(chi / df, 1.0 / 3.0) - (1.0 - a)) / sqrt(a);
}

TEST(ids_are_drawn_uniformly)
{
    _cleanup_(world_freep) struct world *w =
        world_new("rules: [{from: any, to: any, can: any, consent: deny}]\n");
    static size_t bins[BINS], last[10];
    size_t n = n_steps("WARREN_IDS_DRAWN", 1000);
    _cleanup_(key_freep) struct key *token =
        world_add_token(w, (struct store_token){ .vanish_after = 0 });
    double chi = 0, chi_last = 0;

    CHECK(world_unlimited(w));
    for (size_t i = 0; i < n; i++) {
        struct world_peer peer = { .key = key_new() };
        unsigned long id = strtoul(world_take_id(w, world_admit(w, &peer, token), &peer), NULL, 10);
        CHECK(id >= 100000 && id <= 999999);
        bins[(id - 100000) / 9000]++;
        last[id % 10]++;
        key_free(peer.key);
        if (i % PER_BEACON == PER_BEACON - 1)
            world_pass(w, 30 * SECOND_MS);
    }
    for (size_t i = 0; i < BINS; i++)
        chi += pow((double)bins[i] - (double)n / BINS, 2) / ((double)n / BINS);
    for (size_t i = 0; i < 10; i++)
        chi_last += pow((double)last[i] - (double)n / 10, 2) / ((double)n / 10);
    printf("# ids=%zu chi_square=%.1f df=%d deviations=%.2f last_digit=%.1f df=9\n", n, chi,
           BINS - 1, deviations(chi, BINS - 1), chi_last);
    CHECK(deviations(chi, BINS - 1) < 3.09); /* p > 0.001 */
    CHECK(deviations(chi_last, 9) < 3.09);
}
