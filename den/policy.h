/* SPDX-License-Identifier: Apache-2.0 */
/* Who may reach whom: an ordered list of rules, the first that matches decides, none is deny. policy.yaml(5) has the file:
 *
 *     groups:
 *       staff: [456 000, 123456]
 *     rules:
 *       - {from: group:staff, to: any, can: [chat, tunnel:3389], back: [chat], consent: ask}
 *       - {from: any, to: 777777, can: any, consent: deny}
 *
 * A rule matches a dial when `from` and `to` match, its time has come and every capability asked for is among `can`; one
 * that denies, when any is. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum {
    POLICY_MAX_RULES = 100000,
    POLICY_MAX_CAPS = 16, /* of a dial, and back */
    POLICY_MAX_CAP = 64,
    POLICY_MAX_CAN = 64,      /* of a rule */
    POLICY_MAX_PARTIES = 256, /* that one rule names, on one side */
    POLICY_MAX_ERRORS = 100,  /* that are said of one file */
    POLICY_RULE = 160,
};
#define POLICY_NO_TIME UINT64_MAX

struct policy;

/* All of the file is checked, its own tests are run. BAD_CONFIG: `err` has the first error, *ret_all (may be NULL) a line
 * for each: "name:line:column: ...". */
bool policy_parse(const char *name, struct view text, struct policy **ret_policy,
                  struct buf *ret_all, struct err *err);
/* Names of files without their folder stand in errors and decisions. */
bool policy_read(const char *path, struct policy **ret_policy, struct buf *ret_text,
                 struct buf *ret_all, struct err *err);
/* The text alone. */
bool policy_read_text(const char *path, struct buf *ret_text, struct err *err);
void policy_free(struct policy *policy);
OWN_FREEP(policy, struct policy)
size_t policy_count(const struct policy *policy);
size_t policy_count_tests(const struct policy *policy);
/* Whether what it decides may change as time goes by. */
bool policy_has_times(const struct policy *policy);

enum policy_verdict { POLICY_DENIED, POLICY_ALLOWED };
struct policy_decision {
    enum policy_verdict verdict;
    bool must_ask;                /* consent ask */
    bool is_unattended;           /* somebody would be asked, but for the mark of the machine */
    bool needs_time;              /* NO_TIME, and the rule is not there at all times */
    unsigned line;                /* of the rule; 0: no rule matched (the default) */
    size_t rule_no;               /* from 0; SIZE_MAX: the default */
    char rule[POLICY_RULE];       /* "policy.yaml:12", or "default" */
    const struct view *caps_back; /* borrowed from the policy */
    size_t n_caps_back;
    uint64_t longest; /* ms that a session may last; 0: no limit */
    uint64_t offline; /* ms for which the two may meet again without den; 0: never */
    uint64_t
        live_until; /* ms since 1970: when that, or the rule's time, is over; 0: no limit that is near */
};
/* One side of a dial. */
struct policy_party {
    struct view id, groups; /* names joined by ',': those that it has beside those of the file */
    struct view tags;       /* the same, of tests alone */
};
static inline struct policy_party policy_party(const char *id, const char *groups)
{
    return (struct policy_party){ .id = view_text(id), .groups = view_text(groups) };
}
struct policy_dial {
    struct policy_party from, to;
    const struct view *caps;
    size_t n_caps;
    uint64_t at; /* ms since 1970, or NO_TIME */
};
void policy_decide(const struct policy *policy, const struct policy_dial *dial,
                   struct policy_decision *ret_decision);
/* The same by looking at one rule after the other: for tests and measurements. */
void policy_decide_by_scan(const struct policy *policy, const struct policy_dial *dial,
                           struct policy_decision *ret_decision);
/* Whether any dial from `from` to `to` could be allowed at `at`. */
bool policy_may_meet(const struct policy *policy, struct policy_party from, struct policy_party to,
                     uint64_t at);

/* Number `i` as one line of YAML without its line number, the same for rules that mean the same; and where it stands. */
void policy_put_rule(const struct policy *policy, size_t i, struct buf *to);
unsigned policy_rule_line(const struct policy *policy, size_t i);
/* "123456: [group:staff, tag:kiosk], unattended", a line each, in order. */
void policy_put_machines(const struct policy *policy, struct buf *to);
/* The same for one, without its ID and the line's end; nothing when the file says nothing of it. */
void policy_put_machine(const struct policy *policy, const char *id, struct buf *to);

/* A group's or tag's name: [a-z][a-z0-9-]*, at most 32 characters. Several: joined by ',', each once. */
bool policy_group_is_valid(struct view group);
bool policy_groups_are_valid(struct view groups);
/* Whether `cap` is a capability's name: [a-z][a-z0-9_-]* with an optional ":" and printable argument, at most 64 bytes. */
bool policy_cap_is_valid(struct view cap);
/* "tunnel:*": every capability that begins with "tunnel:". Rules may have them; dials name what they want. */
bool policy_cap_is_pattern(struct view cap);
