/* SPDX-License-Identifier: Apache-2.0 */
/* Which rules are about two parties. What a rule may name of a party (its ID, a group, a tag, any) is an atom, and each
 * pair of atoms that a rule names leads to it: what a decision costs depends on what the two are, and on the rules
 * about them, not on how many rules there are. */
#include "den/policy_in.h"

enum { MAX_PAIRS = 4000000, SOME_ATOMS = 32, ATOM_ANY = 1, HASH_SPARE = 2 };

struct slot {
    uint64_t pair;   /* 0: free */
    uint32_t *rules; /* rising */
    uint32_t n;
};

struct policy_index {
    struct map *atoms; /* "any", "i456000", "gstaff", "tkiosk" -> its number, from ATOM_ANY on */
    size_t n_atoms;
    struct slot *slots; /* by hash; a power of two, at most half of them in use */
    size_t n_slots, n_used, n_pairs;
};

static const char letters[] = {
    [WHO_ANY] = 'a', [WHO_ID] = 'i', [WHO_GROUP] = 'g', [WHO_TAG] = 't'
};

static struct view atom_key(enum who_kind kind, struct view name, uint8_t to[40])
{
    size_t len = name.len < 39 ? name.len : 39;

    to[0] = (uint8_t)letters[kind];
    if (len)
        memcpy(to + 1, name.data, len);
    return VIEW(to, len + 1);
}

static uint32_t find_atom(const struct policy_index *index, enum who_kind kind, struct view name)
{
    uint8_t key[40];

    return (uint32_t)(uintptr_t)map_get(index->atoms, atom_key(kind, name, key));
}

static uint32_t make_atom(struct policy_index *index, const struct who *who)
{
    uint8_t key[40];
    uint32_t atom = find_atom(index, who->kind, who->name);

    if (atom)
        return atom;
    atom = (uint32_t)++index->n_atoms;
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): a number, which nobody follows */
    map_set(index->atoms, atom_key(who->kind, who->name, key), (void *)(uintptr_t)atom);
    return atom;
}

/* ---- pairs --------------------------------------------------------------------------------------- */

/* Atoms are numbered here, nobody from afar chooses them. */
static size_t slot_of(const struct policy_index *index, uint64_t pair)
{
    uint64_t hash = pair * 0x9e3779b97f4a7c15u;

    return (size_t)(hash ^ hash >> 32) & (index->n_slots - 1);
}

static struct slot *find_slot(const struct policy_index *index, uint64_t pair)
{
    size_t i = slot_of(index, pair);

    while (index->slots[i].pair && index->slots[i].pair != pair)
        i = (i + 1) & (index->n_slots - 1);
    return &index->slots[i];
}

static void grow(struct policy_index *index)
{
    struct slot *old = index->slots;
    size_t n_old = index->n_slots;

    index->n_slots = n_old ? 2 * n_old : 64;
    index->slots = mem_array(struct slot, index->n_slots);
    for (size_t i = 0; i < n_old; i++)
        if (old[i].pair)
            *find_slot(index, old[i].pair) = old[i];
    free(old);
}

static void add_pair(struct policy_index *index, uint64_t pair, uint32_t rule)
{
    struct slot *slot;

    if (HASH_SPARE * (index->n_used + 1) > index->n_slots)
        grow(index);
    slot = find_slot(index, pair);
    if (slot->n && slot->rules[slot->n - 1] == rule)
        return;
    if (!slot->pair) {
        slot->pair = pair;
        index->n_used++;
    }
    if ((slot->n & (slot->n - 1)) == 0)
        slot->rules = mem_resize(slot->rules, slot->n ? 2 * slot->n : 1, sizeof(*slot->rules));
    slot->rules[slot->n++] = rule;
    index->n_pairs++;
}

static void add_rule(struct policy_index *index, const struct rule *rule, uint32_t no)
{
    for (size_t i = 0; i < rule->from.n; i++) {
        uint64_t from = make_atom(index, &rule->from.item[i]);
        for (size_t j = 0; j < rule->to.n; j++)
            add_pair(index, from << 32 | make_atom(index, &rule->to.item[j]), no);
    }
}

static void note_atoms(const struct policy_index *index, struct machine *machine)
{
    uint32_t atom;

    machine->atoms = mem_array(uint32_t, machine->is.n + 1);
    if ((atom = find_atom(index, WHO_ID, view_text(machine->id))))
        machine->atoms[machine->n_atoms++] = atom;
    for (size_t i = 0; i < machine->is.n; i++)
        if ((atom = find_atom(index, machine->is.item[i].kind, machine->is.item[i].name)))
            machine->atoms[machine->n_atoms++] = atom;
}

struct policy_index *policy_index_new(struct policy *policy, struct policy_reading *r)
{
    static const struct who any = { .kind = WHO_ANY };
    struct policy_index *index = mem_new(struct policy_index);

    index->atoms = map_new();
    make_atom(index, &any);
    grow(index);
    for (size_t i = 0; i < policy->n; i++) {
        const struct rule *rule = &policy->rules[i];
        if (index->n_pairs + rule->from.n * rule->to.n > MAX_PAIRS) {
            policy_fault(r, rule->line, 1,
                         "with this one, rules name too many pairs (%d): make groups", MAX_PAIRS);
            policy_index_free(index);
            return NULL;
        }
        add_rule(index, rule, (uint32_t)i);
    }
    for (struct machine *machine = policy->first_machine; machine; machine = machine->next)
        note_atoms(index, machine);
    return index;
}

void policy_index_free(struct policy_index *index)
{
    if (!index)
        return;
    for (size_t i = 0; i < index->n_slots; i++)
        free(index->slots[i].rules);
    free(index->slots);
    map_free(index->atoms);
    free(index);
}

/* ---- finding --------------------------------------------------------------------------------------- */

struct atoms {
    uint32_t *item;
    size_t n;
    uint32_t some[SOME_ATOMS]; /* where they fit, as nearly always */
};

static void put_listed(const struct policy_index *index, struct view list, enum who_kind kind,
                       struct atoms *to)
{
    while (list.len) {
        const uint8_t *comma = memchr(list.data, ',', list.len);
        struct view name = view_sub(list, 0, comma ? (size_t)(comma - list.data) : list.len);
        uint32_t atom = find_atom(index, kind, name);
        list = view_sub(list, name.len + 1, list.len);
        if (atom)
            to->item[to->n++] = atom;
    }
}

static void find_atoms(const struct policy *policy, const struct policy_party *party,
                       struct atoms *to)
{
    const struct machine *machine = policy_find_machine(policy, party->id);
    size_t n_at_most =
        1 + (machine ? machine->n_atoms : 0) + (party->groups.len + party->tags.len) / 2 + 2;

    to->item = n_at_most <= SOME_ATOMS ? to->some : mem_array(uint32_t, n_at_most);
    to->item[0] = ATOM_ANY;
    to->n = 1;
    for (size_t i = 0; machine && i < machine->n_atoms; i++)
        to->item[to->n++] = machine->atoms[i];
    put_listed(policy->index, party->groups, WHO_GROUP, to);
    put_listed(policy->index, party->tags, WHO_TAG, to);
}

static size_t find_first(const struct policy *policy, const struct slot *slot, size_t before,
                         bool (*takes)(void *user, const struct rule *rule), void *user)
{
    for (uint32_t i = 0; i < slot->n && slot->rules[i] < before; i++)
        if (takes(user, &policy->rules[slot->rules[i]]))
            return slot->rules[i];
    return before;
}

size_t policy_index_find(const struct policy *policy, const struct policy_party *from,
                         const struct policy_party *to,
                         bool (*takes)(void *user, const struct rule *rule), void *user)
{
    struct atoms froms, tos;
    size_t found = SIZE_MAX;

    find_atoms(policy, from, &froms);
    find_atoms(policy, to, &tos);
    for (size_t i = 0; i < froms.n; i++) {
        for (size_t j = 0; j < tos.n; j++) {
            uint64_t pair = (uint64_t)froms.item[i] << 32 | tos.item[j];
            found = find_first(policy, find_slot(policy->index, pair), found, takes, user);
        }
    }
    if (froms.item != froms.some)
        free(froms.item);
    if (tos.item != tos.some)
        free(tos.item);
    return found;
}
