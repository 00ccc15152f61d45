/* SPDX-License-Identifier: Apache-2.0 */
/* warren-den policy diff: what a file, or another version, would change. */
#include "den/verb_policy.h"

#include "base/clock.h"
#include "den/audit.h"
#include "den/policy_diff.h"

#include <inttypes.h>
#include <stdio.h>

enum { SHOWN_EFFECTS = 50 };

static const char *const changes[] = {
    [POLICY_ADDED] = "added",
    [POLICY_REMOVED] = "removed",
    [POLICY_CHANGED] = "changed",
    [POLICY_MOVED] = "moved",
};

static void put_rule_diff(struct buf *to, const struct policy_rule_diff *d)
{
    switch (d->change) {
    case POLICY_ADDED:
        buf_printf(to, "+ line %u: %.*s\n", d->new_line, VIEW_FMT(d->new_text));
        break;
    case POLICY_REMOVED:
        buf_printf(to, "- line %u: %.*s\n", d->old_line, VIEW_FMT(d->old_text));
        break;
    case POLICY_CHANGED:
        buf_printf(to, "~ line %u: %.*s\n  line %u: %.*s\n", d->old_line, VIEW_FMT(d->old_text),
                   d->new_line, VIEW_FMT(d->new_text));
        break;
    case POLICY_MOVED:
        buf_printf(to, "> line %u to %u, past others: %.*s\n", d->old_line, d->new_line,
                   VIEW_FMT(d->new_text));
        break;
    }
}

static void print_diff(const struct policy_diff *diff, uint64_t at)
{
    const struct policy_rule_diff *rules;
    const struct policy_effect *effects;
    size_t n_rules = policy_diff_rules(diff, &rules), n;
    struct view machines = policy_diff_machines(diff);
    uint64_t n_all;
    bool is_tried = policy_diff_effects(diff, &effects, &n, &n_all);
    char when[CLOCK_TEXT];
    _buf_ to = { 0 };

    for (size_t i = 0; i < n_rules; i++)
        put_rule_diff(&to, &rules[i]);
    buf_put(&to, machines);
    if (!n_rules && !machines.len)
        buf_put_text(&to, "no rule, group, tag or mark is different\n");
    if (!is_tried)
        buf_put_text(&to, "what is decided otherwise was not tried: too many are named\n");
    else
        buf_printf(&to, "%" PRIu64 " decided otherwise at %s\n", n_all, clock_text(at, when));
    for (size_t i = 0; i < n && i < SHOWN_EFFECTS; i++) {
        buf_printf(&to, "  %.*s to %.*s, %.*s: ", VIEW_FMT(effects[i].from),
                   VIEW_FMT(effects[i].to), VIEW_FMT(effects[i].cap));
        verb_policy_put_decision(&to, &effects[i].before);
        buf_put_text(&to, " -> ");
        verb_policy_put_decision(&to, &effects[i].after);
        buf_put_text(&to, "\n");
    }
    if (n_all > SHOWN_EFFECTS)
        buf_printf(&to, "  and %" PRIu64 " more (--json has %d)\n", n_all - SHOWN_EFFECTS,
                   POLICY_MAX_EFFECTS);
    printf("%s", buf_cstr(&to));
}

static void print_diff_json(const struct policy_diff *diff, uint64_t at)
{
    const struct policy_rule_diff *rules;
    const struct policy_effect *effects;
    size_t n_rules = policy_diff_rules(diff, &rules), n;
    uint64_t n_all;
    bool is_tried = policy_diff_effects(diff, &effects, &n, &n_all);
    _buf_ to = { 0 };

    verb_policy_put_at(&to, "{", "at", at);
    buf_put_text(&to, ", \"rules\": [");
    for (size_t i = 0; i < n_rules; i++) {
        buf_printf(&to, "%s{\"change\": \"%s\", \"old_line\": %u, \"new_line\": %u", i ? ", " : "",
                   changes[rules[i].change], rules[i].old_line, rules[i].new_line);
        verb_policy_put_text(&to, ", ", "old", rules[i].old_text);
        verb_policy_put_text(&to, ", ", "new", rules[i].new_text);
        buf_put_text(&to, "}");
    }
    verb_policy_put_text(&to, "], ", "machines", policy_diff_machines(diff));
    buf_printf(&to, ", \"tried\": %s, \"n_effects\": %" PRIu64 ", \"effects\": [",
               is_tried ? "true" : "false", n_all);
    for (size_t i = 0; i < n; i++) {
        verb_policy_put_text(&to, i ? ", {" : "{", "from", effects[i].from);
        verb_policy_put_text(&to, ", ", "to", effects[i].to);
        verb_policy_put_text(&to, ", ", "can", effects[i].cap);
        buf_put_text(&to, ", \"before\": ");
        verb_policy_put_decision_json(&to, &effects[i].before);
        buf_put_text(&to, ", \"after\": ");
        verb_policy_put_decision_json(&to, &effects[i].after);
        buf_put_text(&to, "}");
    }
    printf("%s]}\n", buf_cstr(&to));
}

int verb_policy_diff(int argc, char **argv)
{
    static const char *const names[] = { "A", "B" };
    _cleanup_(policy_archive_close) struct policy_archive a = { 0 };
    _cleanup_(policy_freep) struct policy *before = NULL, *after = NULL;
    struct policy_order order = { 0 };
    uint64_t at = clock_wall_ms(), no;
    struct err err;
    int status = verb_policy_read(argc, argv, names, 0, 2, &order);

    if (status != VERB_DONE)
        return status;
    if (order.at && !verb_policy_read_time("at", order.at, &at, &err))
        return verb_misuse(&err);
    if ((status = policy_archive_open(&order, &a)) != VERB_DONE)
        return status;
    if (!(order.n_words == 2 ? policy_archive_word(&a, order.word[0], &before, &err)
                             : policy_archive_newest(&a, &before, &no, &err)) ||
        !policy_archive_word(&a, order.n_words ? order.word[order.n_words - 1] : a.config.policy,
                             &after, &err))
        return verb_fail(&err);
    _cleanup_(policy_diff_freep) struct policy_diff *diff = policy_diff_new(before, after, at);
    if (order.is_json)
        print_diff_json(diff, at);
    else
        print_diff(diff, at);
    return VERB_DONE;
}
