/* SPDX-License-Identifier: Apache-2.0 */
/* What is different between two policies: the rules, and what is decided. */
#pragma once

#include "den/policy.h"

enum policy_change { POLICY_ADDED, POLICY_REMOVED, POLICY_CHANGED, POLICY_MOVED };
struct policy_rule_diff {
    enum policy_change change;
    unsigned old_line, new_line; /* 0: there is none */
    struct view old_text, new_text;
};
struct policy_effect {         /* a dial that is decided otherwise */
    struct view from, to, cap; /* "456000", "group:staff", "any"; "tunnel:*" */
    struct policy_decision before, after;
};

struct policy_diff;
/* Borrows both, which must outlive it. Decisions are compared at `at`. */
struct policy_diff *policy_diff_new(const struct policy *before, const struct policy *after,
                                    uint64_t at);
void policy_diff_free(struct policy_diff *diff);
OWN_FREEP(policy_diff, struct policy_diff)
size_t policy_diff_rules(const struct policy_diff *diff, const struct policy_rule_diff **ret_rules);
/* Lines "456000: [group:staff, tag:kiosk], unattended" that only the one has, or the other. */
struct view policy_diff_machines(const struct policy_diff *diff);
/* At most POLICY_MAX_EFFECTS are kept of *ret_n_all. False: there would be too many dials to try. */
enum { POLICY_MAX_EFFECTS = 1000 };
bool policy_diff_effects(const struct policy_diff *diff, const struct policy_effect **ret_effects,
                         size_t *ret_n, uint64_t *ret_n_all);
