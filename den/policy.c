/* SPDX-License-Identifier: Apache-2.0 */
#include "den/policy.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "den/policy_in.h"

#include <stdio.h>
#include <sys/stat.h>

enum { MAX_FILE = 16 * 1024 * 1024 };

/* ---- groups as text -------------------------------------------------------------------------- */

static struct view take_group(struct view *groups)
{
    const uint8_t *comma = groups->len ? memchr(groups->data, ',', groups->len) : NULL;
    struct view group = view_sub(*groups, 0, comma ? (size_t)(comma - groups->data) : groups->len);

    *groups = view_sub(*groups, group.len + 1, groups->len);
    return group;
}

static bool is_in(struct view group, struct view groups)
{
    while (groups.len) {
        if (view_eq(take_group(&groups), group))
            return true;
    }
    return false;
}

bool policy_groups_are_valid(struct view groups)
{
    if (groups.len && groups.data[groups.len - 1] == ',')
        return false;
    while (groups.len) {
        struct view group = take_group(&groups);
        if (!policy_group_is_valid(group) || is_in(group, groups))
            return false;
    }
    return true;
}

/* ---- from text to a policy -------------------------------------------------------------------- */

struct machine *policy_machine(struct policy *policy, const char *id)
{
    struct machine *machine = map_get(policy->machines, view_text(id));

    if (machine)
        return machine;
    machine = mem_new(struct machine);
    snprintf(machine->id, sizeof(machine->id), "%s", id);
    *policy->last_machine = machine;
    policy->last_machine = &machine->next;
    map_set(policy->machines, view_text(machine->id), machine);
    return machine;
}

const struct machine *policy_find_machine(const struct policy *policy, struct view id)
{
    return map_get(policy->machines, id);
}

/* "allow from 456000 to ..." was a rule once. */
static bool check_form(const char *name, struct view text, struct err *err)
{
    unsigned line = 1;

    while (text.len) {
        const uint8_t *end = memchr(text.data, '\n', text.len);
        struct view one = view_sub(text, 0, end ? (size_t)(end - text.data) : text.len);
        text = view_sub(text, one.len + 1, text.len);
        if (view_starts(one, VIEW_LIT("allow from ")) || view_starts(one, VIEW_LIT("deny from ")) ||
            view_starts(one, VIEW_LIT("deny  from ")))
            return err_set(err, ERR_BAD_CONFIG,
                           "%s:%u:1: rules are YAML now; one reads, below a line \"rules:\": "
                           "\"  - {from: 456000, to: 123456, can: [chat], consent: ask}\"; any "
                           "stands for *, group:NAME for @NAME",
                           name, line);
        line++;
    }
    return true;
}

static bool read_all(struct policy_reading *r)
{
    policy_read_file(r);
    if (r->n_faults)
        return false;
    r->policy->index = policy_index_new(r->policy, r);
    if (r->policy->index)
        policy_run_trials(r);
    return r->n_faults == 0;
}

bool policy_parse(const char *name, struct view text, struct policy **ret_policy,
                  struct buf *ret_all, struct err *err)
{
    _cleanup_(policy_freep) struct policy *policy = mem_new(struct policy);
    struct policy_reading r = { .policy = policy, .all = ret_all, .err = err };

    policy->name = mem_text(name);
    policy->machines = map_new();
    policy->last_machine = &policy->first_machine;
    if (!check_form(name, text, err) || !yaml_file_parse(name, text, &policy->yaml, err)) {
        if (ret_all)
            buf_printf(ret_all, "%s\n", err->text);
        return false;
    }
    if (!read_all(&r))
        return false;
    *ret_policy = STEAL(policy);
    return true;
}

/* What decides who may reach whom may be changed by its owner alone. */
static bool check_mode(const char *path, struct err *err)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return true; /* reading it will say what is wrong */
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return err_set(err, ERR_EXPOSED, "%s: mode %04o lets others write it; chmod go-w it", path,
                       (unsigned)(st.st_mode & 07777));
    return file_check_owner(path, &st, err);
}

bool policy_read_text(const char *path, struct buf *ret_text, struct err *err)
{
    if (!check_mode(path, err) || !file_read(path, MAX_FILE, ret_text, err))
        return err_wrap(err, "policy");
    return ret_text->len !=
               0 || /* cut short, more likely than meant: comments alone do forbid all */
           err_set(err, ERR_BAD_CONFIG, "%s: expected rules or comments, found an empty file",
                   path);
}

bool policy_read(const char *path, struct policy **ret_policy, struct buf *ret_text,
                 struct buf *ret_all, struct err *err)
{
    const char *slash = strrchr(path, '/');
    _buf_ text = { 0 };

    if (!policy_read_text(path, &text, err)) {
        if (ret_all)
            buf_printf(ret_all, "%s\n", err->text);
        return false;
    }
    if (!policy_parse(slash ? slash + 1 : path, buf_view(&text), ret_policy, ret_all, err))
        return false;
    *ret_text = text;
    text = (struct buf){ 0 };
    return true;
}

static void rule_deinit(struct rule *rule)
{
    free(rule->from.item);
    free(rule->to.item);
    free(rule->can.item);
    free(rule->back.item);
    free(rule->when);
}

static void free_names(struct policy *policy)
{
    struct machine *machine;
    struct zone *zone;

    while ((machine = policy->first_machine)) {
        policy->first_machine = machine->next;
        free(machine->is.item);
        free(machine->atoms);
        free(machine);
    }
    while ((zone = policy->zones)) {
        policy->zones = zone->next;
        when_zone_free(zone->zone);
        free(zone);
    }
    map_free(policy->machines);
}

void policy_free(struct policy *policy)
{
    if (!policy)
        return;
    for (size_t i = 0; i < policy->n; i++)
        rule_deinit(&policy->rules[i]);
    for (size_t i = 0; i < policy->n_trials; i++) {
        free(policy->trials[i].from.item);
        free(policy->trials[i].to.item);
        free(policy->trials[i].can.item);
    }
    free_names(policy);
    policy_index_free(policy->index);
    yaml_file_free(policy->yaml);
    free(policy->rules);
    free(policy->trials);
    free(policy->name);
    free(policy);
}

size_t policy_count(const struct policy *policy)
{
    return policy->n;
}

size_t policy_count_tests(const struct policy *policy)
{
    return policy->n_trials;
}

bool policy_has_times(const struct policy *policy)
{
    return policy->has_times;
}

/* ---- does a rule fit --------------------------------------------------------------------------- */

bool rule_holds(const struct rule *rule, struct view cap)
{
    for (size_t i = 0; i < rule->can.n; i++) {
        struct view own = rule->can.item[i];
        if (view_eq(own, cap) || (policy_cap_is_pattern(own) && cap.len >= own.len &&
                                  view_starts(cap, view_sub(own, 0, own.len - 1))))
            return true;
    }
    return rule->can.is_any;
}

/* All that are asked for, or any of them where it denies. */
static bool caps_fit(const struct rule *rule, const struct view *caps, size_t n_caps)
{
    for (size_t i = 0; i < n_caps; i++) {
        if (rule_holds(rule, caps[i]) == rule->denies)
            return rule->denies;
    }
    return !rule->denies || rule->can.is_any;
}

bool rule_is_open(const struct rule *rule, uint64_t at)
{
    if (rule->n_when == 0 || at == POLICY_NO_TIME)
        return true;
    for (size_t i = 0; i < rule->n_when; i++)
        if (when_is_open(&rule->when[i], at))
            return true;
    return false;
}

bool rule_fits(const struct rule *rule, const struct policy_dial *dial)
{
    return caps_fit(rule, dial->caps, dial->n_caps) && rule_is_open(rule, dial->at);
}

static bool machine_is(const struct machine *machine, enum who_kind kind, struct view name)
{
    for (size_t i = 0; machine && i < machine->is.n; i++)
        if (machine->is.item[i].kind == kind && view_eq(machine->is.item[i].name, name))
            return true;
    return false;
}

static bool names(const struct policy *policy, const struct party_list *list,
                  const struct policy_party *party)
{
    const struct machine *machine = policy_find_machine(policy, party->id);

    for (size_t i = 0; i < list->n; i++) {
        const struct who *who = &list->item[i];
        bool is_it = false;
        switch (who->kind) {
        case WHO_ANY:
            return true;
        case WHO_ID:
            is_it = view_eq(who->name, party->id);
            break;
        case WHO_GROUP:
            is_it = is_in(who->name, party->groups) || machine_is(machine, WHO_GROUP, who->name);
            break;
        case WHO_TAG:
            is_it = is_in(who->name, party->tags) || machine_is(machine, WHO_TAG, who->name);
            break;
        }
        if (is_it)
            return true;
    }
    return false;
}

/* ---- deciding ----------------------------------------------------------------------------------- */

static uint64_t ends_at(const struct rule *rule, uint64_t at)
{
    uint64_t closes = rule->n_when ? when_closes_at(rule->when, rule->n_when, at) : 0;
    uint64_t longest = rule->longest ? at + rule->longest : 0;

    if (!closes || !longest)
        return closes ? closes : longest;
    return min_u64(closes, longest);
}

static void decide_by(const struct policy *policy, size_t i, const struct policy_dial *dial,
                      struct policy_decision *d)
{
    const struct rule *rule = &policy->rules[i];
    const struct machine *callee = policy_find_machine(policy, dial->to.id);

    d->verdict = rule->denies ? POLICY_DENIED : POLICY_ALLOWED;
    d->is_unattended = rule->asks && callee && callee->is_unattended;
    d->must_ask = rule->asks && !d->is_unattended;
    d->needs_time = dial->at == POLICY_NO_TIME && rule->n_when;
    d->rule_no = i;
    d->line = rule->line;
    d->caps_back = rule->back.item;
    d->n_caps_back = rule->back.n;
    d->longest = rule->longest;
    d->offline = rule->denies ? 0 : rule->offline;
    d->live_until = rule->denies || dial->at == POLICY_NO_TIME ? 0 : ends_at(rule, dial->at);
    snprintf(d->rule, sizeof(d->rule), "%.140s:%u", policy->name, rule->line);
}

static struct policy_decision nothing_decided(void)
{
    struct policy_decision d = { .verdict = POLICY_DENIED, .must_ask = true, .rule_no = SIZE_MAX };

    snprintf(d.rule, sizeof(d.rule), "default");
    return d;
}

static bool takes(void *user, const struct rule *rule)
{
    return rule_fits(rule, user);
}

void policy_decide(const struct policy *policy, const struct policy_dial *dial,
                   struct policy_decision *ret_decision)
{
    struct policy_decision d = nothing_decided();
    struct policy_dial asked = *dial;
    size_t i = policy_index_find(policy, &dial->from, &dial->to, takes, &asked);

    if (i != SIZE_MAX)
        decide_by(policy, i, dial, &d);
    *ret_decision = d;
}

void policy_decide_by_scan(const struct policy *policy, const struct policy_dial *dial,
                           struct policy_decision *ret_decision)
{
    struct policy_decision d = nothing_decided();

    for (size_t i = 0; i < policy->n && d.rule_no == SIZE_MAX; i++) {
        const struct rule *rule = &policy->rules[i];
        if (names(policy, &rule->from, &dial->from) && names(policy, &rule->to, &dial->to) &&
            rule_fits(rule, dial))
            decide_by(policy, i, dial, &d);
    }
    *ret_decision = d;
}

/* The first rule about the two that allows something, or forbids everything. */
static bool takes_any(void *user, const struct rule *rule)
{
    const uint64_t *at = user;

    return (!rule->denies || rule->can.is_any) && rule_is_open(rule, *at);
}

bool policy_may_meet(const struct policy *policy, struct policy_party from, struct policy_party to,
                     uint64_t at)
{
    size_t i = policy_index_find(policy, &from, &to, takes_any, &at);

    return i != SIZE_MAX && !policy->rules[i].denies;
}
