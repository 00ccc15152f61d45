/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a policy: policy_file.c reads it, policy.c decides by it, policy_index.c finds rules, policy_trial.c runs
 * the file's own tests. Nobody else includes it. */
#pragma once

#include "base/map.h"
#include "den/policy.h"
#include "den/when.h"
#include "den/yaml_file.h"

enum who_kind { WHO_ANY, WHO_ID, WHO_GROUP, WHO_TAG };
struct who {
    enum who_kind kind;
    struct view name; /* digits of an ID; without "group:" or "tag:" */
};
struct party_list {
    struct who *item;
    size_t n;
};
struct cap_list {
    struct view *item;
    size_t n;
    bool is_any;
};

struct rule {
    struct party_list from, to;
    struct cap_list can, back;
    struct when *when; /* none: always */
    size_t n_when;
    bool denies, asks;
    uint64_t longest, offline;
    unsigned line;
};

/* What the file says of an ID. */
struct machine {
    struct machine *next; /* in the file's order */
    char id[16];
    struct party_list is; /* groups and tags */
    bool is_unattended;
    uint32_t *atoms; /* of `is` and of the ID, those that rules name; policy_index.c */
    size_t n_atoms;
};

struct trial { /* a test of the file's own */
    struct party_list from, to;
    struct cap_list can;
    uint64_t at;
    bool is_allowed, has_consent, asks;
    unsigned line, column;
};

struct zone {
    struct zone *next;
    struct view name;
    struct when_zone *zone;
};

struct policy {
    char *name;
    struct yaml_file *yaml; /* texts of all that follows */
    struct rule *rules;
    size_t n, room;
    struct trial *trials;
    size_t n_trials, room_trials;
    struct map *machines; /* by ID */
    struct machine *first_machine, **last_machine;
    struct zone *zones;
    struct policy_index *index;
    bool has_times;
};

/* ---- reading: every fault is noted, and the reading goes on ---------------------------------- */

struct policy_reading {
    struct policy *policy;
    struct buf *all; /* may be NULL */
    struct err *err;
    size_t n_faults;
};
bool policy_fault(struct policy_reading *r, unsigned line, unsigned column, const char *fmt, ...)
    _printf_(4, 5); /* false */

struct machine *policy_machine(struct policy *policy, const char *id); /* new if it is not there */
const struct machine *policy_find_machine(const struct policy *policy, struct view id);

void policy_read_file(struct policy_reading *r);
void policy_run_trials(struct policy_reading *r);

/* ---- deciding --------------------------------------------------------------------------------- */

void policy_put_who(const struct who *who, struct buf *to);

bool rule_holds(const struct rule *rule, struct view cap);
/* All but who and whom. */
bool rule_fits(const struct rule *rule, const struct policy_dial *dial);
bool rule_is_open(const struct rule *rule, uint64_t at); /* NO_TIME: if it ever is */

struct policy_index *policy_index_new(struct policy *policy, struct policy_reading *r);
void policy_index_free(struct policy_index *index);
/* The first rule for both parties that `takes` takes; SIZE_MAX: none. */
size_t policy_index_find(const struct policy *policy, const struct policy_party *from,
                         const struct policy_party *to,
                         bool (*takes)(void *user, const struct rule *rule), void *user);
