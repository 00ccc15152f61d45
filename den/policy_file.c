/* SPDX-License-Identifier: Apache-2.0 */
/* From the file's tree to rules. What is wrong in one place does not keep the rest from being looked at. */
#include "den/policy_in.h"

#include "base/clock.h"
#include "base/conf.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>

enum { MAX_NAME = 32, MAX_WHENS = 16, MAX_LONGEST_DAYS = 3650, SHOWN = 64 };

bool policy_fault(struct policy_reading *r, unsigned line, unsigned column, const char *fmt, ...)
{
    struct err one = { 0 };
    char text[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    err_set(&one, ERR_BAD_CONFIG, "%s:%u:%u: %s", r->policy->name, line, column, text);
    if (r->n_faults++ == 0)
        *r->err = one;
    if (r->all && r->n_faults <= POLICY_MAX_ERRORS)
        buf_printf(r->all, "%s\n", one.text);
    else if (r->all && r->n_faults == POLICY_MAX_ERRORS + 1)
        buf_printf(r->all, "%s: there are more\n", r->policy->name);
    return false;
}

static const char *shown(const struct yaml_node *node, char to[SHOWN + 16])
{
    switch (node->kind) {
    case YAML_LIST:
        return "a list";
    case YAML_MAP:
        return "a mapping";
    case YAML_TEXT:
        break;
    }
    if (node->is_empty)
        return "nothing";
    snprintf(to, SHOWN + 16, "\"%.*s\"", VIEW_FMT(view_sub(node->text, 0, SHOWN)));
    return to;
}

static bool expected(struct policy_reading *r, const struct yaml_node *node, const char *what)
{
    char found[SHOWN + 16];

    return policy_fault(r, node->line, node->column, "expected %s, found %s", what,
                        shown(node, found));
}

/* ---- mappings against a table of keys ---------------------------------------------------------- */

struct key {
    const char *name;
    void (*read)(struct policy_reading *r, const struct yaml_node *value, void *into);
};

static void unknown_key(struct policy_reading *r, const struct yaml_node *node,
                        const struct key *keys, size_t n_keys)
{
    _buf_ known = { 0 };
    char found[SHOWN + 16];

    for (size_t i = 0; i < n_keys; i++)
        buf_printf(&known, "%s%s", i == 0 ? "" : i + 1 == n_keys ? " or " : ", ", keys[i].name);
    policy_fault(r, node->line, node->column, "expected %s, found %s", buf_cstr(&known),
                 shown(node, found));
}

/* A map is its keys and values in turn. */
static const struct yaml_node *next_key(const struct yaml_node *key)
{
    return key->next ? key->next->next : NULL;
}

static void read_map(struct policy_reading *r, const struct yaml_node *map, const struct key *keys,
                     size_t n_keys, void *into)
{
    for (const struct yaml_node *key = map->first; key; key = next_key(key)) {
        size_t i = 0;
        while (i < n_keys && !view_eq_text(key->text, keys[i].name))
            i++;
        if (i == n_keys)
            unknown_key(r, key, keys, n_keys);
        else
            keys[i].read(r, key->next, into);
    }
}

static const struct yaml_node *find_key(const struct yaml_node *map, const char *name)
{
    for (const struct yaml_node *key = map->first; key; key = next_key(key))
        if (view_eq_text(key->text, name))
            return key->next;
    return NULL;
}

static bool is_any(const struct yaml_node *node)
{
    return node->kind == YAML_TEXT && view_eq_text(node->text, "any");
}

/* A list's items, or one item alone. */
static const struct yaml_node *items_of(const struct yaml_node *node, size_t *ret_n)
{
    *ret_n = node->kind == YAML_LIST ? node->n : 1;
    return node->kind == YAML_LIST ? node->first : node;
}

/* ---- IDs, groups, tags -------------------------------------------------------------------------- */

bool policy_group_is_valid(struct view group)
{
    if (group.len == 0 || group.len > MAX_NAME || group.data[0] < 'a' || group.data[0] > 'z')
        return false;
    for (size_t i = 0; i < group.len; i++) {
        uint8_t c = group.data[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
            return false;
    }
    return true;
}

static bool read_id(const struct yaml_node *node, char to[TEXT_ID])
{
    char typed[TEXT_ID];

    if (node->kind != YAML_TEXT || node->text.len == 0 || node->text.len >= sizeof(typed) ||
        memchr(node->text.data, '\0', node->text.len))
        return false;
    snprintf(typed, sizeof(typed), "%.*s", VIEW_FMT(node->text));
    return text_read_id(typed, to);
}

static bool read_named(struct view text, const char *prefix, enum who_kind kind,
                       struct who *ret_who)
{
    struct view name = view_sub(text, strlen(prefix), text.len);

    if (!view_starts(text, view_text(prefix)) || !policy_group_is_valid(name))
        return false;
    *ret_who = (struct who){ kind, name };
    return true;
}

static bool read_who(struct policy_reading *r, const struct yaml_node *node, struct who *ret_who)
{
    char id[TEXT_ID];

    if (read_id(node, id)) {
        *ret_who = (struct who){ WHO_ID, view_text(policy_machine(r->policy, id)->id) };
        return true;
    }
    if (is_any(node)) {
        *ret_who = (struct who){ .kind = WHO_ANY };
        return true;
    }
    return (node->kind == YAML_TEXT && (read_named(node->text, "group:", WHO_GROUP, ret_who) ||
                                        read_named(node->text, "tag:", WHO_TAG, ret_who))) ||
           expected(r, node, "an ID of 6 to 9 digits, group:NAME, tag:NAME, or any");
}

static void read_parties(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    struct party_list *list = into;
    size_t n;
    const struct yaml_node *item = items_of(node, &n);

    if (n == 0 || n > POLICY_MAX_PARTIES) {
        policy_fault(r, node->line, node->column, "expected 1 to %d of them, found %zu%s",
                     POLICY_MAX_PARTIES, n, n ? ": make a group" : "");
        return;
    }
    list->item = mem_array(struct who, n);
    for (size_t i = 0; i < n; i++, item = item->next)
        list->n += read_who(r, item, &list->item[list->n]);
}

static void add_is(struct machine *machine, enum who_kind kind, struct view name)
{
    struct party_list *is = &machine->is;

    for (size_t i = 0; i < is->n; i++)
        if (is->item[i].kind == kind && view_eq(is->item[i].name, name))
            return;
    if ((is->n & (is->n - 1)) == 0) /* 0, 1, 2, 4, 8 ... */
        is->item = mem_resize(is->item, is->n ? 2 * is->n : 1, sizeof(*is->item));
    is->item[is->n++] = (struct who){ kind, name };
}

static void read_group(struct policy_reading *r, const struct yaml_node *name,
                       const struct yaml_node *members)
{
    char id[TEXT_ID];
    size_t n;
    const struct yaml_node *item = items_of(members, &n);

    if (!policy_group_is_valid(name->text)) {
        expected(r, name, "a group's name such as staff (a-z, 0-9 and -, a letter first)");
        return;
    }
    if (members->kind == YAML_TEXT && members->is_empty)
        return;
    for (size_t i = 0; i < n; i++, item = item->next) {
        if (read_id(item, id))
            add_is(policy_machine(r->policy, id), WHO_GROUP, name->text);
        else
            expected(r, item, "an ID of 6 to 9 digits");
    }
}

static void read_groups(struct policy_reading *r, const struct yaml_node *node, _unused_ void *into)
{
    if (node->kind == YAML_TEXT && node->is_empty)
        return;
    if (node->kind != YAML_MAP) {
        expected(r, node, "groups such as staff: [456000, 123456]");
        return;
    }
    for (const struct yaml_node *key = node->first; key; key = next_key(key))
        read_group(r, key, key->next);
}

/* ---- machines ----------------------------------------------------------------------------------- */

static void read_tags(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    size_t n;
    const struct yaml_node *item = items_of(node, &n);

    for (size_t i = 0; i < n; i++, item = item->next) {
        if (item->kind == YAML_TEXT && policy_group_is_valid(item->text))
            add_is(into, WHO_TAG, item->text);
        else
            expected(r, item, "a tag such as kiosk (a-z, 0-9 and -, a letter first)");
    }
}

static bool read_bool(struct policy_reading *r, const struct yaml_node *node, bool *ret_is)
{
    bool yes = node->kind == YAML_TEXT &&
               (view_eq_text(node->text, "yes") || view_eq_text(node->text, "true"));
    bool no = node->kind == YAML_TEXT &&
              (view_eq_text(node->text, "no") || view_eq_text(node->text, "false"));

    if (!yes && !no)
        return expected(r, node, "yes or no");
    *ret_is = yes;
    return true;
}

static void read_unattended(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    struct machine *machine = into;

    read_bool(r, node, &machine->is_unattended);
}

static void read_machines(struct policy_reading *r, const struct yaml_node *node,
                          _unused_ void *into)
{
    static const struct key keys[] = { { "tags", read_tags }, { "unattended", read_unattended } };
    _cleanup_(map_freep) struct map *seen = map_new();
    char id[TEXT_ID];

    if (node->kind == YAML_TEXT && node->is_empty)
        return;
    if (node->kind != YAML_MAP) {
        expected(r, node, "machines such as 123456: {tags: [kiosk], unattended: yes}");
        return;
    }
    for (const struct yaml_node *key = node->first; key; key = next_key(key)) {
        if (!read_id(key, id))
            expected(r, key, "an ID of 6 to 9 digits");
        else if (map_set(seen, view_text(id), r))
            policy_fault(r, key->line, key->column, "%s stands here a second time", id);
        else if (key->next->kind != YAML_MAP)
            expected(r, key->next, "{tags: [kiosk], unattended: yes}");
        else
            read_map(r, key->next, keys, N_ELEMENTS(keys), policy_machine(r->policy, id));
    }
}

/* ---- capabilities --------------------------------------------------------------------------------- */

bool policy_cap_is_valid(struct view cap)
{
    size_t i = 0;

    if (cap.len == 0 || cap.len > POLICY_MAX_CAP || cap.data[0] < 'a' || cap.data[0] > 'z')
        return false;
    while (i < cap.len && cap.data[i] &&
           strchr("abcdefghijklmnopqrstuvwxyz0123456789_-", cap.data[i]))
        i++;
    if (i == cap.len)
        return true;
    if (cap.data[i] != ':' || i + 1 == cap.len)
        return false;
    for (i++; i < cap.len; i++) {
        if (cap.data[i] <= 0x20 || cap.data[i] > 0x7e || cap.data[i] == ',')
            return false;
    }
    return true;
}

bool policy_cap_is_pattern(struct view cap)
{
    return cap.len >= 3 && cap.data[cap.len - 1] == '*' && policy_cap_is_valid(cap);
}

static void read_caps(struct policy_reading *r, const struct yaml_node *node, size_t max,
                      bool may_be_pattern, struct cap_list *caps)
{
    const char *what = may_be_pattern ? "a capability such as chat, tunnel:3389 or tunnel:*"
                                      : "a capability such as chat or tunnel:3389, each by itself";
    size_t n;
    const struct yaml_node *item = items_of(node, &n);

    if (n == 0 || n > max) {
        policy_fault(r, node->line, node->column, "expected 1 to %zu capabilities, found %zu", max,
                     n);
        return;
    }
    caps->item = mem_array(struct view, n);
    for (size_t i = 0; i < n; i++, item = item->next) {
        if (may_be_pattern && is_any(item))
            caps->is_any = true;
        else if (item->kind != YAML_TEXT || !policy_cap_is_valid(item->text) || is_any(item) ||
                 (!may_be_pattern && policy_cap_is_pattern(item->text)))
            expected(r, item, what);
        else
            caps->item[caps->n++] = item->text;
    }
}

static void read_can(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    struct rule *rule = into;

    read_caps(r, node, POLICY_MAX_CAN, true, &rule->can);
}

static void read_back(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    struct rule *rule = into;

    read_caps(r, node, POLICY_MAX_CAPS, false, &rule->back);
}

/* ---- time ------------------------------------------------------------------------------------------ */

static void read_days(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    struct when *when = into;
    size_t n;
    const struct yaml_node *item = items_of(node, &n);

    if (n == 0) {
        policy_fault(r, node->line, node->column,
                     "expected days such as mon-fri or [sat, sun], found an empty list; for every "
                     "day leave days out");
        return;
    }
    when->days = 0;
    for (size_t i = 0; i < n; i++, item = item->next) {
        uint8_t days = 0;
        if (item->kind != YAML_TEXT || !when_read_days(item->text, &days))
            expected(r, item, "days such as mon-fri or [sat, sun]");
        when->days |= days;
    }
}

static void read_hours(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    struct when *when = into;

    if (node->kind != YAML_TEXT || !when_read_hours(node->text, &when->from, &when->until))
        expected(r, node, "hours such as 08:00-18:30, or 22:00-06:00 over midnight");
}

static void read_first(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    struct when *when = into;

    if (node->kind != YAML_TEXT || !when_read_date(node->text, &when->first))
        expected(r, node, "a date such as 2027-01-31");
}

static void read_last(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    struct when *when = into;

    if (node->kind != YAML_TEXT || !when_read_date(node->text, &when->last))
        expected(r, node, "a date such as 2027-01-31");
}

static struct when_zone *find_zone(struct policy *policy, struct view name)
{
    struct zone *zone;
    struct when_zone *found;

    for (zone = policy->zones; zone; zone = zone->next)
        if (view_eq(zone->name, name))
            return zone->zone;
    found = when_zone_new(name);
    if (!found)
        return NULL;
    zone = mem_new(struct zone);
    *zone = (struct zone){ policy->zones, name, found };
    policy->zones = zone;
    return found;
}

static void read_zone(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    struct when *when = into;

    if (node->kind != YAML_TEXT || !(when->zone = find_zone(r->policy, node->text)))
        expected(r, node, "a time zone of this machine's tzdata such as Europe/Berlin");
}

static void read_window(struct policy_reading *r, const struct yaml_node *node, struct when *when)
{
    static const struct key keys[] = {
        { "days", read_days },   { "hours", read_hours }, { "zone", read_zone },
        { "first", read_first }, { "last", read_last },
    };

    *when = WHEN_ALWAYS;
    if (node->kind != YAML_MAP) {
        expected(r, node, "{days: mon-fri, hours: 08:00-18:00, zone: Europe/Berlin}");
        return;
    }
    read_map(r, node, keys, N_ELEMENTS(keys), when);
    if (when->first > when->last)
        policy_fault(r, node->line, node->column, "the last day is before the first");
    if (!find_key(node, "zone") && (find_key(node, "hours") || find_key(node, "days")))
        policy_fault(r, node->line, node->column,
                     "expected a zone: whose clocks? (zone: UTC, zone: Europe/Berlin)");
}

static void read_when(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    struct rule *rule = into;
    size_t n;
    const struct yaml_node *item = items_of(node, &n);

    if (n == 0 || n > MAX_WHENS) {
        policy_fault(r, node->line, node->column, "expected 1 to %d windows of time, found %zu",
                     MAX_WHENS, n);
        return;
    }
    r->policy->has_times = true;
    rule->when = mem_array(struct when, n);
    for (; rule->n_when < n; item = item->next)
        read_window(r, item, &rule->when[rule->n_when++]);
}

/* ---- rules ------------------------------------------------------------------------------------------ */

static void read_from(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    read_parties(r, node, &((struct rule *)into)->from);
}

static void read_to(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    read_parties(r, node, &((struct rule *)into)->to);
}

static void read_consent(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    struct rule *rule = into;

    rule->denies = node->kind == YAML_TEXT && view_eq_text(node->text, "deny");
    rule->asks = node->kind == YAML_TEXT && view_eq_text(node->text, "ask");
    if (!rule->denies && !rule->asks &&
        !(node->kind == YAML_TEXT && view_eq_text(node->text, "none")))
        expected(r, node, "none, ask or deny");
}

static void read_longest(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    struct rule *rule = into;

    if (node->kind != YAML_TEXT || !conf_duration(node->text, &rule->longest) ||
        rule->longest < 1000 || rule->longest > MAX_LONGEST_DAYS * DAY_MS)
        expected(r, node, "a duration of at most 3650d, such as 30m or 8h");
    r->policy->has_times = true;
}

static void read_offline(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    struct rule *rule = into;

    if (node->kind != YAML_TEXT || !conf_duration(node->text, &rule->offline) ||
        rule->offline < MINUTE_MS || rule->offline > DAY_MS)
        expected(r, node, "a duration of at most 24h, such as 8h");
}

static void check_needed(struct policy_reading *r, const struct yaml_node *node,
                         const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!find_key(node, names[i]))
            policy_fault(r, node->line, node->column, "expected \"%s\" here too", names[i]);
}

static void check_deny(struct policy_reading *r, const struct yaml_node *node)
{
    static const char *const senseless[] = { "back", "longest", "offline" };

    for (size_t i = 0; i < N_ELEMENTS(senseless); i++) {
        const struct yaml_node *value = find_key(node, senseless[i]);
        if (value)
            policy_fault(r, value->line, value->column, "consent: deny has no \"%s\"",
                         senseless[i]);
    }
}

static void read_rule(struct policy_reading *r, const struct yaml_node *node)
{
    static const struct key keys[] = {
        { "from", read_from }, { "to", read_to },           { "can", read_can },
        { "back", read_back }, { "consent", read_consent }, { "longest", read_longest },
        { "when", read_when }, { "offline", read_offline },
    };
    static const char *const needed[] = { "from", "to", "can" };
    struct policy *policy = r->policy;

    if (policy->n == policy->room) {
        policy->room = policy->room ? 2 * policy->room : 16;
        policy->rules = mem_resize(policy->rules, policy->room, sizeof(*policy->rules));
    }
    policy->rules[policy->n] = (struct rule){ .asks = true, .line = node->line };
    struct rule *rule = &policy->rules[policy->n++];
    if (node->kind != YAML_MAP) {
        expected(r, node, "{from: 456000, to: 123456, can: [chat]}");
        return;
    }
    read_map(r, node, keys, N_ELEMENTS(keys), rule);
    check_needed(r, node, needed, N_ELEMENTS(needed));
    if (rule->denies)
        check_deny(r, node);
}

static void read_list(struct policy_reading *r, const struct yaml_node *node, size_t max,
                      void (*read)(struct policy_reading *r, const struct yaml_node *node))
{
    size_t n = 0;

    if (node->kind == YAML_TEXT && node->is_empty)
        return;
    if (node->kind != YAML_LIST) {
        expected(r, node, "a list: lines that begin with \"- \"");
        return;
    }
    for (const struct yaml_node *item = node->first; item; item = item->next) {
        if (n++ == max) {
            policy_fault(r, item->line, item->column, "expected at most %zu of them", max);
            return;
        }
        read(r, item);
    }
}

static void read_rules(struct policy_reading *r, const struct yaml_node *node, _unused_ void *into)
{
    read_list(r, node, POLICY_MAX_RULES, read_rule);
}

/* ---- tests ------------------------------------------------------------------------------------------- */

static void read_trial_from(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    read_parties(r, node, &((struct trial *)into)->from);
}

static void read_trial_to(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    read_parties(r, node, &((struct trial *)into)->to);
}

static void read_trial_can(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    read_caps(r, node, POLICY_MAX_CAPS, false, &((struct trial *)into)->can);
}

static void read_trial_at(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    struct trial *trial = into;

    if (node->kind != YAML_TEXT || !when_read_instant(node->text, &trial->at))
        expected(r, node, "an instant such as 2027-01-31T10:00Z or 2027-01-31T10:00+01:00");
}

static void read_expect(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    struct trial *trial = into;

    trial->is_allowed = node->kind == YAML_TEXT && view_eq_text(node->text, "allow");
    if (!trial->is_allowed && !(node->kind == YAML_TEXT && view_eq_text(node->text, "deny")))
        expected(r, node, "allow or deny");
}

static void read_trial_consent(struct policy_reading *r, const struct yaml_node *node, void *into)
{
    struct trial *trial = into;

    trial->has_consent = true;
    trial->asks = node->kind == YAML_TEXT && view_eq_text(node->text, "ask");
    if (!trial->asks && !(node->kind == YAML_TEXT && view_eq_text(node->text, "none")))
        expected(r, node, "none or ask");
}

static void read_trial(struct policy_reading *r, const struct yaml_node *node)
{
    static const struct key keys[] = {
        { "from", read_trial_from }, { "to", read_trial_to },   { "can", read_trial_can },
        { "at", read_trial_at },     { "expect", read_expect }, { "consent", read_trial_consent },
    };
    static const char *const needed[] = { "from", "to", "can", "expect" };
    struct policy *policy = r->policy;

    if (policy->n_trials == policy->room_trials) {
        policy->room_trials = policy->room_trials ? 2 * policy->room_trials : 16;
        policy->trials = mem_resize(policy->trials, policy->room_trials, sizeof(*policy->trials));
    }
    policy->trials[policy->n_trials] =
        (struct trial){ .at = POLICY_NO_TIME, .line = node->line, .column = node->column };
    struct trial *trial = &policy->trials[policy->n_trials++];
    if (node->kind != YAML_MAP) {
        expected(r, node, "{from: 456000, to: 123456, can: [chat], expect: allow, consent: ask}");
        return;
    }
    read_map(r, node, keys, N_ELEMENTS(keys), trial);
    check_needed(r, node, needed, N_ELEMENTS(needed));
    if (!trial->is_allowed && trial->has_consent)
        policy_fault(r, node->line, node->column, "expect: deny has no consent");
}

static void read_trials(struct policy_reading *r, const struct yaml_node *node, _unused_ void *into)
{
    read_list(r, node, POLICY_MAX_RULES, read_trial);
}

/* ---- all of it --------------------------------------------------------------------------------------- */

void policy_read_file(struct policy_reading *r)
{
    static const struct key keys[] = {
        { "groups", read_groups },
        { "machines", read_machines },
        { "rules", read_rules },
        { "tests", read_trials },
    };
    const struct yaml_node *root = yaml_file_root(r->policy->yaml);

    if (root->kind == YAML_TEXT && root->is_empty) /* comments alone: nobody reaches anybody */
        return;
    if (root->kind != YAML_MAP) {
        expected(r, root, "groups:, machines:, rules: and tests:");
        return;
    }
    read_map(r, root, keys, N_ELEMENTS(keys), r->policy);
}
