/* SPDX-License-Identifier: Apache-2.0 */
/* Who may reach whom: an ordered list of rules, the first that matches decides, none is deny. policy.conf(5) has the grammar:
 *
 *     allow from 456000 to 123456 can chat,tunnel:3389 back chat consent ask
 *     deny  from *      to 123456 can *
 *
 *     allow from @staff to *      can chat
 *
 * A rule matches a dial when `from` and `to` match and every capability asked for is among `can` (allow), or any is (deny). */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum { POLICY_MAX_RULES = 100000, POLICY_MAX_CAPS = 16, POLICY_MAX_CAP = 64 };

struct policy;

bool policy_parse(const char *name, struct view text, struct policy **ret_policy,
                  struct err *err); /* BAD_CONFIG file:line */
bool policy_read(const char *path, struct policy **ret_policy, struct buf *ret_text,
                 struct err *err);
void policy_free(struct policy *policy);
OWN_FREEP(policy, struct policy)
size_t policy_count(const struct policy *policy);

enum policy_verdict { POLICY_DENIED, POLICY_ALLOWED };
struct policy_decision {
    enum policy_verdict verdict;
    bool must_ask;                /* consent ask */
    unsigned line;                /* of the rule; 0: no rule matched (the default) */
    char rule[160];               /* "policy.conf:12", or "default" */
    const struct view *caps_back; /* borrowed from the policy */
    size_t n_caps_back;
};
/* One side of a dial. */
struct policy_party {
    struct view id, groups; /* names joined by ',' */
};
static inline struct policy_party policy_party(const char *id, const char *groups)
{
    return (struct policy_party){ view_text(id), view_text(groups) };
}
void policy_decide(const struct policy *policy, struct policy_party from, struct policy_party to,
                   const struct view *caps, size_t n_caps, struct policy_decision *ret_decision);
/* Whether any dial from `from` to `to` could be allowed. */
bool policy_may_meet(const struct policy *policy, struct policy_party from, struct policy_party to);
/* A group's name: [a-z][a-z0-9-]*, at most 32 characters. Several: joined by ',', each once. */
bool policy_group_is_valid(struct view group);
bool policy_groups_are_valid(struct view groups);
/* Whether `cap` is a capability's name: [a-z][a-z0-9_-]* with an optional ":" and printable argument, at most 64 bytes. */
bool policy_cap_is_valid(struct view cap);
