/* SPDX-License-Identifier: Apache-2.0 */
#include "router/grants.h"
#include "base/list.h"
#include "base/map.h"
#include "base/text.h"

/* All grants between two IDs, whoever called. */
struct pair {
    struct list grants;
    struct buf key;
};

struct grant {
    struct list of_pair, of_all;
    uint64_t number;
    struct pair *pair;
    uint8_t sid[RPC_SID];
    struct buf bytes;        /* G as it came */
    struct rpc_grant fields; /* borrows from bytes */
};

struct grants {
    size_t max;
    const struct rpc_trust *trust;
    struct map *by_sid, *by_pair;
    struct list all; /* in the order in which they came */
    uint64_t last_number;
};

struct grants *grants_new(const struct rpc_trust *trust)
{
    struct grants *grants = mem_new(struct grants);

    grants->max = GRANTS_MAX;
    grants->trust = trust;
    grants->by_sid = map_new();
    grants->by_pair = map_new();
    list_init(&grants->all);
    return grants;
}

void grants_set_trust(struct grants *grants, const struct rpc_trust *trust)
{
    grants->trust = trust;
}

/* The two IDs in order: the pair has one key whichever way it is asked for. IDs are digits: '-'
 * cannot stand in one. */
static void put_pair_key(struct buf *to, struct view a, struct view b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = memcmp(a.data, b.data, len);
    bool is_ordered = order < 0 || (order == 0 && a.len <= b.len);

    buf_put(to, is_ordered ? a : b);
    buf_put_u8(to, '-');
    buf_put(to, is_ordered ? b : a);
}

static struct pair *find_pair(const struct grants *grants, struct view a, struct view b)
{
    _buf_ key = { 0 };

    if (a.len == 0 || b.len == 0)
        return NULL;
    put_pair_key(&key, a, b);
    return map_get(grants->by_pair, buf_view(&key));
}

static struct pair *make_pair(struct grants *grants, struct view a, struct view b)
{
    struct pair *pair = find_pair(grants, a, b);

    if (pair)
        return pair;
    pair = mem_new(struct pair);
    list_init(&pair->grants);
    put_pair_key(&pair->key, a, b);
    map_set(grants->by_pair, buf_view(&pair->key), pair);
    return pair;
}

static void grant_free(struct grants *grants, struct grant *grant)
{
    struct pair *pair = grant->pair;

    map_remove(grants->by_sid, VIEW_ARR(grant->sid));
    list_remove(&grant->of_pair);
    list_remove(&grant->of_all);
    if (list_is_empty(&pair->grants)) {
        map_remove(grants->by_pair, buf_view(&pair->key));
        buf_free(&pair->key);
        free(pair);
    }
    buf_free(&grant->bytes);
    free(grant);
}

void grants_set_max(struct grants *grants, size_t max)
{
    grants->max = max;
}

void grants_free(struct grants *grants)
{
    size_t cursor = 0;
    void *grant;

    if (!grants)
        return;
    while (map_next(grants->by_sid, &cursor, NULL, &grant))
        grant_free(grants, grant);
    map_free(grants->by_sid);
    map_free(grants->by_pair);
    free(grants);
}

static bool is_over(const struct grant *grant, uint64_t now)
{
    return grant->fields.live_until != 0 && grant->fields.live_until <= now;
}

/* Grants that ended are swept when room is needed, not one by one. */
static void sweep(struct grants *grants, uint64_t now)
{
    size_t cursor = 0;
    void *grant;

    while (map_next(grants->by_sid, &cursor, NULL, &grant)) {
        if (is_over(grant, now))
            grant_free(grants, grant);
    }
}

static bool check(const struct grants *grants, const struct rpc_grant *g, uint64_t now,
                  struct err *err)
{
    if (!view_eq(g->netid, rpc_trust_netid(grants->trust)))
        return err_set(err, ERR_BAD_STATEMENT, "netid: of another network");
    if (!text_is_id(g->a_id) || !text_is_id(g->b_id) || view_eq(g->a_id, g->b_id))
        return err_set(err, ERR_BAD_STATEMENT, "a_id and b_id: not two IDs");
    if (g->live_until != 0 && g->live_until <= now)
        return err_set(err, ERR_EXPIRED, "live_until: has passed");
    if (!rpc_trust_knows_beacon(grants->trust, g->beacon))
        return err_set(err, ERR_STALE, "beacon: not of the last two heartbeats");
    return true;
}

static void hold(struct grants *grants, const struct rpc_grant *g, struct view bytes)
{
    struct grant *grant = mem_new(struct grant);
    struct err ignored;

    memcpy(grant->sid, g->sid.data, sizeof(grant->sid));
    grant->bytes = buf_dup(bytes);
    if (!rpc_statement_read(RPC_W_GRANT, buf_view(&grant->bytes), &grant->fields, &ignored))
        abort(); /* the same bytes were read just now */
    grant->pair = make_pair(grants, g->a_id, g->b_id);
    list_append(&grant->pair->grants, &grant->of_pair);
    list_append(&grants->all, &grant->of_all);
    grant->number = ++grants->last_number;
    map_set(grants->by_sid, VIEW_ARR(grant->sid), grant);
}

bool grants_install(struct grants *grants, struct view bytes, struct view sig, uint64_t now,
                    struct rpc_grant *ret_grant, struct err *err)
{
    const struct grant *held;
    struct rpc_grant g;

    if (!rpc_trust_open(grants->trust, RPC_W_GRANT, bytes, sig, now, &g, err))
        return err_wrap(err, "grant");
    if (!check(grants, &g, now, err))
        return err_wrap(err, "grant");
    held = map_get(grants->by_sid, g.sid);
    if (held && !view_eq(buf_view(&held->bytes), bytes))
        return err_set(err, ERR_REPLAYED, "grant: sid: stands for another grant");
    if (map_count(grants->by_sid) >= grants->max)
        sweep(grants, now);
    if (!held && map_count(grants->by_sid) >= grants->max)
        return err_set(err, ERR_LIMIT, "grant: %zu are installed", grants->max);
    if (!held)
        hold(grants, &g, bytes);
    *ret_grant = g;
    return true;
}

bool grants_remove(struct grants *grants, struct view sid)
{
    struct grant *grant = map_get(grants->by_sid, sid);

    if (!grant)
        return false;
    grant_free(grants, grant);
    return true;
}

uint32_t grants_put_page(const struct grants *grants, uint64_t after, uint64_t limit,
                         struct buf *to, uint64_t *ret_next)
{
    const struct grant *grant;
    uint32_t n = 0;

    *ret_next = 0;
    LIST_EACH(grant, &grants->all, of_all) {
        const struct rpc_grant *g = &grant->fields;
        if (grant->number <= after)
            continue;
        rpc_put_map(to, 5);
        rpc_put_str(to, "sid");
        rpc_put_bin(to, VIEW_ARR(grant->sid));
        rpc_put_str(to, "a");
        rpc_put_text(to, g->a_id);
        rpc_put_str(to, "b");
        rpc_put_text(to, g->b_id);
        rpc_put_str(to, "issued_at");
        rpc_put_u64(to, g->issued_at);
        rpc_put_str(to, "live_until");
        rpc_put_u64(to, g->live_until);
        if (++n == limit) {
            *ret_next = grant->number;
            break;
        }
    }
    return n;
}

bool grants_holds(const struct grants *grants, struct view sid, struct view bytes)
{
    const struct grant *held = map_get(grants->by_sid, sid);

    return held && view_eq(buf_view(&held->bytes), bytes);
}

size_t grants_count(const struct grants *grants)
{
    return map_count(grants->by_sid);
}

static bool gives(const struct grant *grant, struct view caller, struct view cap)
{
    const struct rpc_items *caps =
        view_eq(grant->fields.a_id, caller) ? &grant->fields.caps : &grant->fields.caps_back;

    for (size_t i = 0; i < caps->n; i++) {
        if (view_eq(caps->item[i], cap))
            return true;
    }
    return false;
}

enum grants_answer grants_ask(const struct grants *grants, struct view caller, struct view callee,
                              struct view cap, uint64_t now)
{
    struct pair *pair = find_pair(grants, caller, callee);
    enum grants_answer answer = GRANTS_NONE;
    struct grant *grant;

    if (!pair)
        return GRANTS_NONE;
    LIST_EACH(grant, &pair->grants, of_pair) {
        if (is_over(grant, now))
            continue;
        if (cap.len == 0 || gives(grant, caller, cap))
            return GRANTS_ALLOWED;
        answer = GRANTS_WITHOUT_CAP;
    }
    return answer;
}
