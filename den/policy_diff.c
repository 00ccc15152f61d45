/* SPDX-License-Identifier: Apache-2.0 */
#include "den/policy_diff.h"
#include "den/policy_in.h"

enum { MAX_TRIES = 3000000 };

struct side { /* the rules of one policy as text */
    const struct policy *policy;
    struct buf *text;
    size_t *twin; /* the same rule in the other one; SIZE_MAX: it has none */
};

struct policy_diff {
    struct side before, after;
    struct policy_rule_diff *rules;
    size_t n_rules;
    struct buf machines;
    struct policy_effect *effects;
    size_t n_effects;
    uint64_t n_all_effects;
    bool is_tried;
    struct map *names; /* texts of effects, by themselves */
    uint64_t at;
};

/* ---- rules -------------------------------------------------------------------------------------- */

static void side_init(struct side *side, const struct policy *policy)
{
    side->policy = policy;
    side->text = mem_array(struct buf, policy->n + 1);
    side->twin = mem_array(size_t, policy->n + 1);
    for (size_t i = 0; i < policy->n; i++) {
        policy_put_rule(policy, i, &side->text[i]);
        side->twin[i] = SIZE_MAX;
    }
}

static void side_deinit(struct side *side)
{
    for (size_t i = 0; side->text && i < side->policy->n; i++)
        buf_free(&side->text[i]);
    free(side->text);
    free(side->twin);
}

static void pair_up(struct policy_diff *diff, size_t old, size_t new)
{
    diff->before.twin[old] = new;
    diff->after.twin[new] = old;
}

/* Rules that say the same: the first of the one with the first of the other. */
static void find_same(struct policy_diff *diff)
{
    _cleanup_(map_freep) struct map *next = map_new(); /* text -> the twin to look on from */

    for (size_t i = 0; i < diff->before.policy->n; i++) {
        struct view text = buf_view(&diff->before.text[i]);
        const size_t *from = map_get(next, text);
        for (size_t j = from ? (size_t)(from - diff->after.twin) : 0; j < diff->after.policy->n;
             j++) {
            if (diff->after.twin[j] != SIZE_MAX || !view_eq(text, buf_view(&diff->after.text[j])))
                continue;
            pair_up(diff, i, j);
            map_set(next, text, &diff->after.twin[j + 1]);
            break;
        }
    }
}

static bool same_parties(const struct view a, const struct view b)
{
    static const char end[] = ", can: ";
    const uint8_t *one = memmem(a.data, a.len, end, sizeof(end) - 1);
    size_t len = one ? (size_t)(one - a.data) + sizeof(end) - 1 : a.len;

    return b.len >= len && memcmp(a.data, b.data, len) == 0;
}

/* Rules about the same two that say another thing. */
static void find_changed(struct policy_diff *diff)
{
    for (size_t i = 0; i < diff->before.policy->n; i++) {
        for (size_t j = 0; diff->before.twin[i] == SIZE_MAX && j < diff->after.policy->n; j++)
            if (diff->after.twin[j] == SIZE_MAX &&
                same_parties(buf_view(&diff->before.text[i]), buf_view(&diff->after.text[j])))
                pair_up(diff, i, j);
    }
}

static void add(struct policy_diff *diff, enum policy_change change, size_t old, size_t new)
{
    struct policy_rule_diff *d = &diff->rules[diff->n_rules++];

    *d = (struct policy_rule_diff){ .change = change };
    if (old != SIZE_MAX) {
        d->old_line = diff->before.policy->rules[old].line;
        d->old_text = buf_view(&diff->before.text[old]);
    }
    if (new != SIZE_MAX) {
        d->new_line = diff->after.policy->rules[new].line;
        d->new_text = buf_view(&diff->after.text[new]);
    }
}

/* A rule moved when one that came before it comes after it now. */
static void list_rules(struct policy_diff *diff)
{
    size_t n_old = diff->before.policy->n, n_new = diff->after.policy->n, highest = 0;

    diff->rules = mem_array(struct policy_rule_diff, n_old + n_new + 1);
    for (size_t i = 0; i < n_old; i++) {
        size_t twin = diff->before.twin[i];
        if (twin == SIZE_MAX)
            add(diff, POLICY_REMOVED, i, SIZE_MAX);
        else if (!view_eq(buf_view(&diff->before.text[i]), buf_view(&diff->after.text[twin])))
            add(diff, POLICY_CHANGED, i, twin);
        else if (twin + 1 < highest)
            add(diff, POLICY_MOVED, i, twin);
        if (twin != SIZE_MAX && twin + 1 > highest)
            highest = twin + 1;
    }
    for (size_t i = 0; i < n_new; i++)
        if (diff->after.twin[i] == SIZE_MAX)
            add(diff, POLICY_ADDED, SIZE_MAX, i);
}

static bool take_line(struct view *rest, struct view *ret_line)
{
    const uint8_t *end = rest->len ? memchr(rest->data, '\n', rest->len) : NULL;

    if (!end)
        return false;
    *ret_line = view_sub(*rest, 0, (size_t)(end - rest->data));
    *rest = view_sub(*rest, ret_line->len + 1, rest->len);
    return true;
}

/* Lines of `own` that `other` has not. */
static void put_own(struct policy_diff *diff, struct view own, struct view other, char sign)
{
    _cleanup_(map_freep) struct map *others = map_new();
    struct view line;

    while (take_line(&other, &line))
        map_set(others, line, diff);
    while (take_line(&own, &line))
        if (!map_get(others, line))
            buf_printf(&diff->machines, "%c %.*s\n", sign, VIEW_FMT(line));
}

static void list_machines(struct policy_diff *diff)
{
    _buf_ before = { 0 }, after = { 0 };

    policy_put_machines(diff->before.policy, &before);
    policy_put_machines(diff->after.policy, &after);
    put_own(diff, buf_view(&before), buf_view(&after), '-');
    put_own(diff, buf_view(&after), buf_view(&before), '+');
}

/* ---- decisions ------------------------------------------------------------------------------------ */

struct tried { /* what dials are made of: all that is named, and one that is not */
    struct who *parties;
    struct view *caps;
    size_t n_parties, n_caps;
    struct map *seen;
};

static void add_party(struct tried *tried, const struct who *who)
{
    _buf_ key = { 0 };

    policy_put_who(who, &key);
    if (map_set(tried->seen, buf_view(&key), tried))
        return;
    if ((tried->n_parties & (tried->n_parties - 1)) == 0)
        tried->parties = mem_resize(tried->parties, tried->n_parties ? 2 * tried->n_parties : 1,
                                    sizeof(*tried->parties));
    tried->parties[tried->n_parties++] = *who;
}

static void add_cap(struct tried *tried, struct view cap)
{
    _buf_ key = { 0 };

    buf_printf(&key, "can %.*s", VIEW_FMT(cap));
    if (map_set(tried->seen, buf_view(&key), tried))
        return;
    if ((tried->n_caps & (tried->n_caps - 1)) == 0)
        tried->caps =
            mem_resize(tried->caps, tried->n_caps ? 2 * tried->n_caps : 1, sizeof(*tried->caps));
    tried->caps[tried->n_caps++] = cap;
}

static void collect(struct tried *tried, const struct policy *policy)
{
    for (size_t i = 0; i < policy->n; i++) {
        const struct rule *rule = &policy->rules[i];
        for (size_t j = 0; j < rule->from.n; j++)
            add_party(tried, &rule->from.item[j]);
        for (size_t j = 0; j < rule->to.n; j++)
            add_party(tried, &rule->to.item[j]);
        for (size_t j = 0; j < rule->can.n; j++)
            add_cap(tried, rule->can.item[j]);
    }
    for (const struct machine *m = policy->first_machine; m; m = m->next) {
        const struct who who = { WHO_ID, view_text(m->id) };
        add_party(tried, &who);
    }
}

static struct policy_party party_of(const struct who *who)
{
    switch (who->kind) {
    case WHO_ANY:
        break;
    case WHO_ID:
        return (struct policy_party){ .id = who->name };
    case WHO_GROUP:
        return (struct policy_party){ .groups = who->name };
    case WHO_TAG:
        return (struct policy_party){ .tags = who->name };
    }
    return (struct policy_party){ 0 };
}

static bool is_same(const struct policy_decision *a, const struct policy_decision *b)
{
    if (a->verdict != b->verdict)
        return false;
    return a->verdict == POLICY_DENIED ||
           (a->must_ask == b->must_ask && a->live_until == b->live_until);
}

static struct view keep_name(struct policy_diff *diff, struct view text)
{
    struct buf *kept = map_get(diff->names, text);

    if (!kept) {
        kept = mem_new(struct buf);
        *kept = buf_dup(text);
        map_set(diff->names, text, kept);
    }
    return buf_view(kept);
}

static void add_effect(struct policy_diff *diff, const struct who *from, const struct who *to,
                       struct view cap, const struct policy_decision decisions[2])
{
    _buf_ from_text = { 0 }, to_text = { 0 };
    struct policy_effect *e;

    if (diff->n_all_effects++ >= POLICY_MAX_EFFECTS)
        return;
    policy_put_who(from, &from_text);
    policy_put_who(to, &to_text);
    e = &diff->effects[diff->n_effects++];
    e->from = keep_name(diff, buf_view(&from_text));
    e->to = keep_name(diff, buf_view(&to_text));
    e->cap = keep_name(diff, cap);
    e->before = decisions[0];
    e->after = decisions[1];
}

static void try_dial(struct policy_diff *diff, const struct who *from, const struct who *to,
                     struct view cap)
{
    char example[POLICY_MAX_CAP + 1];
    struct view asked = cap;
    struct policy_decision decisions[2];

    if (policy_cap_is_pattern(cap)) { /* one of them */
        memcpy(example, cap.data, cap.len);
        example[cap.len - 1] = '~';
        asked = VIEW(example, cap.len);
    }
    const struct policy_dial dial = { party_of(from), party_of(to), &asked, 1, diff->at };
    policy_decide(diff->before.policy, &dial, &decisions[0]);
    policy_decide(diff->after.policy, &dial, &decisions[1]);
    if (!is_same(&decisions[0], &decisions[1]))
        add_effect(diff, from, to, cap, decisions);
}

static void try_all(struct policy_diff *diff, const struct tried *tried)
{
    for (size_t i = 0; i < tried->n_parties; i++)
        for (size_t j = 0; j < tried->n_parties; j++)
            for (size_t k = 0; (i != j || tried->parties[i].kind != WHO_ID) && k < tried->n_caps;
                 k++)
                try_dial(diff, &tried->parties[i], &tried->parties[j], tried->caps[k]);
}

static void find_effects(struct policy_diff *diff)
{
    const struct who anybody = { .kind = WHO_ANY };
    struct tried tried = { .seen = map_new() };

    collect(&tried, diff->before.policy);
    collect(&tried, diff->after.policy);
    add_party(&tried, &anybody);
    add_cap(&tried, VIEW_LIT("anything-else"));
    diff->is_tried = tried.n_parties * tried.n_parties * tried.n_caps <= MAX_TRIES &&
                     tried.n_parties < MAX_TRIES;
    if (diff->is_tried)
        try_all(diff, &tried);
    map_free(tried.seen);
    free(tried.parties);
    free(tried.caps);
}

/* ---- from new to free ------------------------------------------------------------------------------ */

struct policy_diff *policy_diff_new(const struct policy *before, const struct policy *after,
                                    uint64_t at)
{
    struct policy_diff *diff = mem_new(struct policy_diff);

    diff->at = at;
    diff->names = map_new();
    diff->effects = mem_array(struct policy_effect, POLICY_MAX_EFFECTS);
    side_init(&diff->before, before);
    side_init(&diff->after, after);
    find_same(diff);
    find_changed(diff);
    list_rules(diff);
    list_machines(diff);
    find_effects(diff);
    return diff;
}

void policy_diff_free(struct policy_diff *diff)
{
    size_t cursor = 0;
    struct view key;
    void *kept;

    if (!diff)
        return;
    while (map_next(diff->names, &cursor, &key, &kept)) {
        buf_free(kept);
        free(kept);
    }
    map_free(diff->names);
    side_deinit(&diff->before);
    side_deinit(&diff->after);
    buf_free(&diff->machines);
    free(diff->rules);
    free(diff->effects);
    free(diff);
}

size_t policy_diff_rules(const struct policy_diff *diff, const struct policy_rule_diff **ret_rules)
{
    *ret_rules = diff->rules;
    return diff->n_rules;
}

struct view policy_diff_machines(const struct policy_diff *diff)
{
    return buf_view(&diff->machines);
}

bool policy_diff_effects(const struct policy_diff *diff, const struct policy_effect **ret_effects,
                         size_t *ret_n, uint64_t *ret_n_all)
{
    *ret_effects = diff->effects;
    *ret_n = diff->n_effects;
    *ret_n_all = diff->n_all_effects;
    return diff->is_tried;
}
