/* SPDX-License-Identifier: Apache-2.0 */
#include "router/sources.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"

#include <arpa/inet.h>

/* IPv4 addresses in IPv6 */
static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

struct source {
    uint8_t key[SOURCE_KEY];
    struct sources *sources;
    uint32_t n_open;
    uint32_t n_second;        /* connections asked for since second_at */
    uint64_t second_at;       /* 0: never */
    uint64_t penalised_until; /* what its faults come to */
    bool is_refused;          /* they came to enough, until then */
    bool is_exempt;
    struct deadline forgotten; /* set while nothing is open */
};

struct sources {
    struct sources_config config;
    struct map *by_key;
    struct deadlines deadlines; /* of those with no connection: the mildest is the first */
    uint64_t n_unproved;
};

static void source_free(struct source *source)
{
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the analyzer does not see deadline_clear() unlink it */
    deadline_clear(&source->sources->deadlines, &source->forgotten);
    map_remove(source->sources->by_key, VIEW_ARR(source->key));
    free(source);
}

struct sources *sources_new(const struct sources_config *config)
{
    struct sources *sources = mem_new(struct sources);

    sources->config = *config;
    sources->by_key = map_new();
    return sources;
}

void sources_free(struct sources *sources)
{
    size_t cursor = 0;
    struct view key;
    void *source;

    if (!sources)
        return;
    while (map_next(sources->by_key, &cursor, &key, &source))
        free(source);
    map_free(sources->by_key);
    deadlines_deinit(&sources->deadlines);
    free(sources);
}

/* ---- networks without limits ----------------------------------------------------------------- */

static bool is_inside(const struct source_network *network, const uint8_t key[SOURCE_KEY])
{
    unsigned bytes = network->bits / 8, bits = network->bits % 8;
    uint8_t mask = (uint8_t)(0xff00u >> bits);

    /* ::1 by /64 begins as mapped IPv4 does */
    if (memcmp(key, mapped, sizeof(mapped)) == 0 && network->bits < 8 * sizeof(mapped))
        return false;
    if (memcmp(network->key, key, bytes) != 0)
        return false;
    return bits == 0 || ((network->key[bytes] ^ key[bytes]) & mask) == 0;
}

static bool is_exempt(const struct sources *sources, const uint8_t key[SOURCE_KEY])
{
    for (size_t i = 0; i < sources->config.n_networks; i++) {
        if (is_inside(&sources->config.network[i], key))
            return true;
    }
    return false;
}

void sources_set_config(struct sources *sources, const struct sources_config *config)
{
    size_t cursor = 0;
    struct view key;
    void *value;

    sources->config = *config;
    while (map_next(sources->by_key, &cursor, &key, &value)) {
        struct source *source = value;
        source->is_exempt = is_exempt(sources, source->key);
    }
}

static bool read_network(struct view text, struct source_network *ret_network)
{
    const uint8_t *slash = memchr(text.data, '/', text.len);
    char address[64];
    size_t len = slash ? (size_t)(slash - text.data) : text.len;
    uint64_t bits = 0;
    bool is_v4;

    if (len >= sizeof(address))
        return false;
    memcpy(address, text.data, len);
    address[len] = '\0';
    is_v4 = inet_pton(AF_INET, address, ret_network->key + sizeof(mapped)) == 1;
    if (is_v4)
        memcpy(ret_network->key, mapped, sizeof(mapped));
    else if (inet_pton(AF_INET6, address, ret_network->key) != 1)
        return false;
    if (!slash)
        bits = is_v4 ? 32 : 128;
    else if (!text_read_u64(view_sub(text, len + 1, text.len), &bits) || bits > (is_v4 ? 32 : 128))
        return false;
    ret_network->bits = (unsigned)bits + (is_v4 ? 96 : 0);
    if (!is_v4 && ret_network->bits > 64) /* counted by /64, so exempt by /64 */
        ret_network->bits = 64;
    return true;
}

bool source_networks_read(const char *text, struct source_network to[SOURCES_MAX_NETWORKS],
                          size_t *ret_n)
{
    struct view left = view_text(text);
    size_t n = 0;

    while (left.len) {
        const uint8_t *space = memchr(left.data, ' ', left.len);
        size_t len = space ? (size_t)(space - left.data) : left.len;
        if (len && (n == SOURCES_MAX_NETWORKS || !read_network(view_sub(left, 0, len), &to[n++])))
            return false;
        left = view_sub(left, len + 1, left.len);
    }
    *ret_n = n;
    return true;
}

/* ---- what is remembered ---------------------------------------------------------------------- */

static void on_forgotten(struct deadline *deadline)
{
    source_free(CONTAINER(deadline, struct source, forgotten));
}

static struct source *find(struct sources *sources, const uint8_t key[SOURCE_KEY])
{
    return map_get(sources->by_key, VIEW(key, SOURCE_KEY));
}

static struct source *find_or_make(struct sources *sources, const uint8_t key[SOURCE_KEY])
{
    struct source *source = find(sources, key);

    if (source)
        return source;
    source = mem_new(struct source);
    memcpy(source->key, key, SOURCE_KEY);
    source->sources = sources;
    source->is_exempt = is_exempt(sources, key);
    source->forgotten.on_passed = on_forgotten;
    map_set(sources->by_key, VIEW_ARR(source->key), source);
    return source;
}

/* Without a connection it is remembered for as long as there is something to remember. Only the
 * one whose time is up first makes room for others: nobody can flush its own past. */
static void settle(struct sources *sources, struct source *source)
{
    uint64_t until = source->second_at + SECOND_MS;

    if (source->n_open) {
        deadline_clear(&sources->deadlines, &source->forgotten);
        return;
    }
    if (source->penalised_until > until)
        until = source->penalised_until;
    deadline_set(&sources->deadlines, &source->forgotten, until);
    while (sources->deadlines.n > sources->config.tracked)
        source_free(CONTAINER(sources->deadlines.heap[1], struct source, forgotten));
}

size_t sources_n_tracked(const struct sources *sources)
{
    return map_count(sources->by_key);
}

size_t sources_n_unproved(const struct sources *sources)
{
    return sources->n_unproved;
}

/* ---- connections ----------------------------------------------------------------------------- */

static bool is_too_often(const struct sources *sources, struct source *source, uint64_t now)
{
    if (now - source->second_at >= SECOND_MS || !source->second_at) {
        source->second_at = now;
        source->n_second = 0;
    }
    if (sources->config.per_second && source->n_second >= sources->config.per_second)
        return true;
    source->n_second++;
    return false;
}

static bool is_penalised(struct source *source, uint64_t now)
{
    if (source->penalised_until <= now)
        source->is_refused = false;
    return source->is_refused;
}

/* From half of the cap on the chance grows from three tenths to certainty. */
static bool is_dropped(const struct sources *sources, uint32_t dice)
{
    uint64_t cap = sources->config.unproved, start = cap / 2, n = sources->n_unproved, chance;

    if (!cap || n < start)
        return false;
    if (n >= cap)
        return true;
    chance = 300 + 700 * (n - start) / (cap - start);
    return dice % 1000 < chance;
}

static enum source_verdict judge(struct sources *sources, struct source *source, uint64_t now,
                                 uint32_t dice)
{
    if (source->is_exempt)
        return SOURCE_MAY;
    if (is_penalised(source, now))
        return SOURCE_PENALISED;
    if (sources->config.per_address && source->n_open >= sources->config.per_address)
        return SOURCE_TOO_MANY;
    if (is_too_often(sources, source, now))
        return SOURCE_TOO_OFTEN;
    return is_dropped(sources, dice) ? SOURCE_EARLY_DROP : SOURCE_MAY;
}

enum source_verdict sources_ask(struct sources *sources, const uint8_t key[SOURCE_KEY],
                                uint64_t now, uint32_t dice)
{
    enum source_verdict verdict;
    struct source *source;

    deadlines_run(&sources->deadlines, now);
    source = find_or_make(sources, key);
    verdict = judge(sources, source, now, dice);
    settle(sources, source);
    return verdict;
}

struct source *sources_open(struct sources *sources, const uint8_t key[SOURCE_KEY],
                            _unused_ uint64_t now)
{
    struct source *source = find_or_make(sources, key);

    source->n_open++;
    sources->n_unproved++;
    settle(sources, source);
    return source;
}

void sources_proved(struct sources *sources)
{
    sources->n_unproved--;
}

void sources_close(struct sources *sources, struct source *source, bool was_proved, uint64_t now)
{
    source->n_open--;
    if (!was_proved)
        sources->n_unproved--;
    deadlines_run(&sources->deadlines, now);
    settle(sources, source);
}

uint64_t sources_blame(struct sources *sources, struct source *source, enum source_fault fault,
                       uint64_t now)
{
    uint64_t until = source->penalised_until > now ? source->penalised_until : now;

    if (source->is_exempt || !sources->config.penalty[fault])
        return 0;
    is_penalised(source, now);
    until += sources->config.penalty[fault];
    if (until - now > sources->config.penalty_most)
        until = now + sources->config.penalty_most;
    source->penalised_until = until;
    if (until - now >= sources->config.penalty_least)
        source->is_refused = true;
    settle(sources, source);
    return source->is_refused ? until - now : 0;
}

bool source_near(const struct source *source, uint8_t ret_near[SOURCE_KEY])
{
    bool is_v4 = memcmp(source->key, mapped, sizeof(mapped)) == 0;

    memset(ret_near, 0, SOURCE_KEY);
    memcpy(ret_near, source->key, is_v4 ? 15 : 6);
    return !source->is_exempt;
}

const char *source_fault_name(enum source_fault fault)
{
    static const char *const names[SOURCE_FAULTS] = { "none", "silence", "authentication",
                                                      "protocol" };

    return names[fault];
}
