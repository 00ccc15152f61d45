/* SPDX-License-Identifier: Apache-2.0 */
#include "den/change.h"

#include <inttypes.h>

static const char *const steps[CHANGE_STEPS] = {
    [CHANGE_STAGE] = "stage",
    [CHANGE_SWITCH] = "switch",
    [CHANGE_RETIRE] = "retire",
    [CHANGE_BACK] = "back",
    [CHANGE_REPLACE] = "replace",
    [CHANGE_RENEW] = "renew",
    [CHANGE_ADD_ROUTER] = "router-add",
    [CHANGE_REMOVE_ROUTER] = "router-remove",
    [CHANGE_FOUND] = "init",
};
static const char *const whats[CHANGE_WHATS] = {
    [CHANGE_INTERMEDIATE] = "intermediate",
    [CHANGE_ROOT] = "root",
    [CHANGE_DEN_SIGN] = "den-sign",
    [CHANGE_DEN_LOGIN] = "den-login",
};
static const enum rpc_key_role key_roles[CHANGE_WHATS] = {
    [CHANGE_DEN_SIGN] = RPC_KEY_DEN_SIGN, [CHANGE_DEN_LOGIN] = RPC_KEY_DEN_LOGIN
};

const char *change_step_name(enum change_step step)
{
    return steps[step];
}

const char *change_what_name(enum change_what what)
{
    return whats[what];
}

bool change_step_find(const char *name, enum change_step *ret_step)
{
    for (size_t i = 0; i < CHANGE_STEPS; i++) {
        if (strcmp(name, steps[i]) == 0) {
            *ret_step = (enum change_step)i;
            return true;
        }
    }
    return false;
}

bool change_what_find(const char *name, enum change_what *ret_what)
{
    for (size_t i = 0; i < CHANGE_WHATS; i++) {
        if (strcmp(name, whats[i]) == 0) {
            *ret_what = (enum change_what)i;
            return true;
        }
    }
    return false;
}

static bool makes_new(const struct change *change)
{
    return change->step == CHANGE_STAGE || change->step == CHANGE_REPLACE;
}

bool change_needs_root(const struct change *change)
{
    return makes_new(change) && change->what == CHANGE_ROOT;
}

bool change_needs_intermediate(const struct change *change)
{
    return change->step == CHANGE_FOUND ||
           (makes_new(change) &&
            (change->what == CHANGE_ROOT || change->what == CHANGE_INTERMEDIATE));
}

bool change_needs_key(const struct change *change)
{
    return makes_new(change) && !change_needs_intermediate(change);
}

/* ---- where a rollover is ------------------------------------------------------------------ */

struct pair { /* the first two of a list: since which manifest each is listed */
    size_t n;
    uint64_t first_no[2];
};

static struct pair pair_of_items(const struct rpc_trust *trust, const struct rpc_items *items)
{
    struct pair pair = { .n = items->n };

    for (size_t i = 0; i < 2 && i < items->n; i++)
        pair.first_no[i] = rpc_trust_first_listing(trust, items->item[i]);
    return pair;
}

static struct pair pair_of_keys(const struct rpc_trust *trust, enum rpc_key_role role)
{
    const struct rpc_key_list *keys = &rpc_trust_manifest(trust)->keys;
    struct pair pair = { 0 };

    for (size_t i = 0; i < keys->n; i++) {
        if (keys->item[i].role != role)
            continue;
        if (pair.n < 2)
            pair.first_no[pair.n] = rpc_trust_first_key(trust, role, keys->item[i].pk);
        pair.n++;
    }
    return pair;
}

static struct pair pair_of(const struct rpc_trust *trust, enum change_what what)
{
    const struct rpc_manifest *m = rpc_trust_manifest(trust);

    if (what == CHANGE_ROOT)
        return pair_of_items(trust, &m->roots);
    if (what == CHANGE_INTERMEDIATE)
        return pair_of_items(trust, &m->intermediates);
    return pair_of_keys(trust, key_roles[what]);
}

/* A root brings an intermediate along, so it is asked about first. */
struct change_state change_state_of(const struct rpc_trust *trust)
{
    static const enum change_what order[] = { CHANGE_ROOT, CHANGE_INTERMEDIATE, CHANGE_DEN_SIGN,
                                              CHANGE_DEN_LOGIN };
    struct change_state state = { 0 };

    for (size_t i = 0; i < N_ELEMENTS(order); i++) {
        struct pair pair = pair_of(trust, order[i]);
        if (pair.n < 2)
            continue;
        state.what = order[i];
        state.stage = pair.first_no[1] > pair.first_no[0] ? CHANGE_STAGED : CHANGE_SWITCHED;
        state.staged_no = pair.first_no[state.stage == CHANGE_STAGED];
        return state;
    }
    return state;
}

/* ---- whether a step may be taken ----------------------------------------------------------- */

static bool is_listed(const struct rpc_manifest *m, struct view pk)
{
    for (size_t i = 0; i < m->keys.n; i++) {
        if (view_eq(m->keys.item[i].pk, pk))
            return true;
    }
    return false;
}

static size_t count_routers(const struct rpc_manifest *m)
{
    size_t n = 0;

    for (size_t i = 0; i < m->keys.n; i++)
        n += m->keys.item[i].role == RPC_KEY_ROUTER;
    return n;
}

static bool check_router(const struct rpc_manifest *m, const struct change *change, struct err *err)
{
    bool is_there = is_listed(m, change->pk);

    if (change->step == CHANGE_ADD_ROUTER && is_there)
        return err_set(err, ERR_ALREADY_EXISTS, "manifest %" PRIu64 " lists this key",
                       m->manifest_no);
    if (change->step == CHANGE_REMOVE_ROUTER && !is_there)
        return err_set(err, ERR_NOT_FOUND, "manifest %" PRIu64 " lists no such router",
                       m->manifest_no);
    if (change->step == CHANGE_REMOVE_ROUTER && count_routers(m) < 2)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "this is the network's only router: add another one first");
    return true;
}

static bool check_stage(const struct change_state *now, const struct change *change,
                        struct err *err)
{
    const char *name = whats[now->what];

    switch (change->step) {
    case CHANGE_STAGE:
        return now->stage == CHANGE_NONE ||
               err_set(err, ERR_ALREADY_EXISTS,
                       "a rollover of the %s is under way: finish it (switch, retire) or undo it "
                       "(back) first",
                       name);
    case CHANGE_SWITCH:
        return now->stage == CHANGE_STAGED ||
               err_set(err, ERR_NOT_FOUND,
                       now->stage == CHANGE_NONE ? "nothing is staged: stage comes first"
                                                 : "the new %s is in use already: retire is next",
                       name);
    case CHANGE_RETIRE:
        return now->stage == CHANGE_SWITCHED ||
               err_set(err, ERR_NOT_FOUND,
                       now->stage == CHANGE_NONE
                           ? "there is nothing to retire: no rollover is under way"
                           : "the old %s is still in use: switch comes first",
                       name);
    case CHANGE_BACK:
        return now->stage != CHANGE_NONE ||
               err_set(err, ERR_NOT_FOUND, "there is nothing to undo: no rollover is under way");
    case CHANGE_REPLACE:
    case CHANGE_RENEW:
    case CHANGE_ADD_ROUTER:
    case CHANGE_REMOVE_ROUTER:
    case CHANGE_FOUND:
    case CHANGE_STEPS:
        break;
    }
    return true;
}

bool change_check(const struct rpc_trust *trust, const struct change *change, struct err *err)
{
    const struct rpc_manifest *m = rpc_trust_manifest(trust);
    struct change_state now;
    size_t room = change->step == CHANGE_ADD_ROUTER || change_needs_key(change);

    if (!m)
        return err_set(err, ERR_NOT_FOUND, "the trust set holds no manifest");
    now = change_state_of(trust);
    if (!check_router(m, change, err) || !check_stage(&now, change, err))
        return false;
    if (change_needs_key(change) && change->pk.len && is_listed(m, change->pk))
        return err_set(err, ERR_ALREADY_EXISTS, "manifest %" PRIu64 " lists this key",
                       m->manifest_no);
    if (m->keys.n + room > RPC_MAX_KEYS)
        return err_set(err, ERR_LIMIT, "manifest %" PRIu64 " lists %d keys", m->manifest_no,
                       RPC_MAX_KEYS);
    return true;
}

/* ---- the next manifest ---------------------------------------------------------------------- */

static void swap_first(struct rpc_items *items)
{
    struct view first = items->item[0];

    if (items->n < 2)
        return;
    items->item[0] = items->item[1];
    items->item[1] = first;
}

/* The same on a list of hashes and on the keys of one role: an array of `n`, of which `fresh` is new. */
static void move_items(struct rpc_items *items, enum change_step step, bool is_switched,
                       struct view fresh)
{
    switch (step) {
    case CHANGE_STAGE:
        items->item[items->n++] = fresh;
        break;
    case CHANGE_REPLACE:
        *items = (struct rpc_items){ { fresh }, 1 };
        break;
    case CHANGE_RETIRE:
        items->n = items->n ? 1 : 0;
        break;
    case CHANGE_BACK:
        if (is_switched)
            swap_first(items);
        else
            items->n = items->n ? 1 : 0;
        break;
    case CHANGE_SWITCH:
        swap_first(items);
        break;
    case CHANGE_RENEW:
    case CHANGE_ADD_ROUTER:
    case CHANGE_REMOVE_ROUTER:
    case CHANGE_FOUND:
    case CHANGE_STEPS:
        break;
    }
}

static const struct rpc_key_entry *find_entry(const struct rpc_key_list *keys,
                                              enum rpc_key_role role, struct view pk)
{
    for (size_t i = 0; i < keys->n; i++) {
        if (keys->item[i].role == role && view_eq(keys->item[i].pk, pk))
            return &keys->item[i];
    }
    return NULL;
}

/* The keys of a role go through the same moves as hashes, and come back with the times that they had. */
static void move_keys(struct rpc_key_list *keys, enum rpc_key_role role,
                      const struct change *change, bool is_switched, struct rpc_key_entry fresh)
{
    struct rpc_key_list before = *keys;
    struct rpc_items pks = { 0 };
    size_t n = 0;

    for (size_t i = 0; i < before.n && pks.n < RPC_MAX_ITEMS - 1; i++) {
        if (before.item[i].role == role)
            pks.item[pks.n++] = before.item[i].pk;
    }
    move_items(&pks, change->step, is_switched, change->pk);
    for (size_t i = 0; i < pks.n; i++) {
        const struct rpc_key_entry *known = find_entry(&before, role, pks.item[i]);
        keys->item[n++] = known ? *known : fresh;
    }
    for (size_t i = 0; i < before.n && n < RPC_MAX_KEYS; i++) {
        if (before.item[i].role != role)
            keys->item[n++] = before.item[i];
    }
    keys->n = n;
}

static void drop_key(struct rpc_key_list *keys, struct view pk)
{
    size_t n = 0;

    for (size_t i = 0; i < keys->n; i++) {
        if (keys->item[i].role != RPC_KEY_ROUTER || !view_eq(keys->item[i].pk, pk))
            keys->item[n++] = keys->item[i];
    }
    keys->n = n;
}

/* A key that was ended on a day of its own stays ended. */
static void prolong(struct rpc_manifest *next, uint64_t before, uint64_t to)
{
    for (size_t i = 0; i < next->keys.n; i++) {
        if (next->keys.item[i].to == before)
            next->keys.item[i].to = to;
    }
}

static void apply_moves(struct rpc_manifest *next, const struct change *change, bool is_switched)
{
    const struct rpc_key_entry fresh = { key_roles[change->what], change->pk, next->issued_at,
                                         next->not_after };

    if (change->what == CHANGE_DEN_SIGN || change->what == CHANGE_DEN_LOGIN) {
        move_keys(&next->keys, key_roles[change->what], change, is_switched, fresh);
        return;
    }
    move_items(&next->intermediates, change->step, is_switched, change->intermediate);
    if (change->what == CHANGE_ROOT)
        move_items(&next->roots, change->step, is_switched, change->root);
}

static void found(const struct change *change, uint8_t previous_to[HASH_SIZE],
                  struct rpc_manifest *ret_first)
{
    const uint64_t from = change->at - MANIFEST_BACKDATE_MS, to = from + MANIFEST_LIFE_MS;

    memset(previous_to, 0, HASH_SIZE);
    *ret_first = (struct rpc_manifest){
        .netid = change->root,
        .network = view_text(change->network),
        .manifest_no = 1,
        .previous = VIEW(previous_to, HASH_SIZE),
        .roots = { { change->root }, 1 },
        .intermediates = { { change->intermediate }, 1 },
        .keys = { .item = { { RPC_KEY_DEN_LOGIN, change->login_pk, from, to },
                            { RPC_KEY_DEN_SIGN, change->sign_pk, from, to },
                            { RPC_KEY_ROUTER, change->pk, from, to } },
                  .n = 3 },
        .issued_at = from,
        .not_after = to,
    };
}

void change_apply(const struct rpc_trust *trust, const struct change *change,
                  uint8_t previous_to[HASH_SIZE], struct rpc_manifest *ret_next)
{
    struct change_state now;
    struct rpc_manifest next;
    uint64_t before;

    if (change->step == CHANGE_FOUND) {
        found(change, previous_to, ret_next);
        return;
    }
    now = change_state_of(trust);
    next = *rpc_trust_manifest(trust);
    before = next.not_after;
    hash_sha256(rpc_trust_manifest_bytes(trust), previous_to);
    next.previous = VIEW(previous_to, HASH_SIZE);
    next.manifest_no++;
    next.issued_at = change->at - MANIFEST_BACKDATE_MS;
    next.not_after = next.issued_at + MANIFEST_LIFE_MS;
    prolong(&next, before, next.not_after);
    if (change->step == CHANGE_ADD_ROUTER)
        next.keys.item[next.keys.n++] =
            (struct rpc_key_entry){ RPC_KEY_ROUTER, change->pk, next.issued_at, next.not_after };
    else if (change->step == CHANGE_REMOVE_ROUTER)
        drop_key(&next.keys, change->pk);
    else if (change->step != CHANGE_RENEW)
        apply_moves(&next, change, now.stage == CHANGE_SWITCHED);
    *ret_next = next;
}
