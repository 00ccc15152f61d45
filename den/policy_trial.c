/* SPDX-License-Identifier: Apache-2.0 */
/* The file's own tests: each names two parties by what they are, and what should be decided. */
#include "den/policy_in.h"

static void put_name(struct buf *to, struct view name)
{
    if (to->len)
        buf_put_text(to, ",");
    buf_put(to, name);
}

struct described {
    struct buf groups, tags;
    struct policy_party party;
};

static void described_deinit(struct described *d)
{
    buf_free(&d->groups);
    buf_free(&d->tags);
}

static bool describe(struct policy_reading *r, const struct trial *trial,
                     const struct party_list *list, struct described *d)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct who *who = &list->item[i];
        switch (who->kind) {
        case WHO_ANY: /* somebody of whom nothing is known */
            break;
        case WHO_ID:
            if (d->party.id.len)
                return policy_fault(r, trial->line, trial->column,
                                    "a test is about one machine on each side, which may be in "
                                    "several groups");
            d->party.id = who->name;
            break;
        case WHO_GROUP:
            put_name(&d->groups, who->name);
            break;
        case WHO_TAG:
            put_name(&d->tags, who->name);
            break;
        }
    }
    d->party.groups = buf_view(&d->groups);
    d->party.tags = buf_view(&d->tags);
    return true;
}

static const char *said(bool is_allowed, bool asks)
{
    return !is_allowed ? "deny" : asks ? "allow, consent ask" : "allow, consent none";
}

static void judge(struct policy_reading *r, const struct trial *trial,
                  const struct policy_decision *d)
{
    bool is_allowed = d->verdict == POLICY_ALLOWED;

    if (d->needs_time)
        policy_fault(r, trial->line, trial->column,
                     "test: %s decides at some times only: say when, with \"at\"", d->rule);
    else if (is_allowed != trial->is_allowed)
        policy_fault(r, trial->line, trial->column, "test: expected %s, got %s, by %s",
                     trial->is_allowed ? "allow" : "deny", said(is_allowed, d->must_ask), d->rule);
    else if (trial->has_consent && trial->asks != d->must_ask)
        policy_fault(r, trial->line, trial->column, "test: expected %s, got %s, by %s",
                     said(true, trial->asks), said(true, d->must_ask), d->rule);
}

static void run(struct policy_reading *r, const struct trial *trial)
{
    _cleanup_(described_deinit) struct described from = { 0 };
    _cleanup_(described_deinit) struct described to = { 0 };
    struct policy_decision decision;

    if (!describe(r, trial, &trial->from, &from) || !describe(r, trial, &trial->to, &to))
        return;
    const struct policy_dial dial = { from.party, to.party, trial->can.item, trial->can.n,
                                      trial->at };
    policy_decide(r->policy, &dial, &decision);
    judge(r, trial, &decision);
}

void policy_run_trials(struct policy_reading *r)
{
    for (size_t i = 0; i < r->policy->n_trials; i++)
        run(r, &r->policy->trials[i]);
}
