/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that go on are judged again when what decided about them changed: the policy, a group, a machine that was
 * removed; and each minute where rules have their time. What is not allowed any more ends, at the router and at both
 * ends. */
#include "den/open.h"

#include "base/log.h"

enum { AT_ONCE = 64 /* in one go; each that ends is a write that waits for the disk */ };

static const char people_name[] = "people";

void judge_all(struct den_core *core)
{
    live_judge_all(core);
    core->judge_at = core_mono(core);
}

void judge_look(struct den_core *core)
{
    struct err err = { 0 };
    uint64_t no = 0;

    if (!store_number_get(core->c.store, people_name, &no, &err)) {
        log_event(LOG_ERROR, "people.failed", "cause=%s", log_quote_text(err.text));
        return;
    }
    if (no != core->people_no)
        judge_all(core);
    core->people_no = no;
}

/* Whom it is about, as den knows them now. NULL: nothing speaks against it. */
static const char *look_at_ends(struct den_core *core, const struct live_facts *facts,
                                struct store_identity ends[2], struct err *err)
{
    const char *const ids[] = { facts->a_id, facts->b_id };
    struct err why = { 0 };

    for (size_t i = 0; i < 2; i++) {
        enum store_found found = STORE_NONE;
        if (!store_identity_by_id(core->c.store, view_text(ids[i]), &found, &ends[i], err))
            return NULL;
        if (found == STORE_NONE || !enrolment_is_alive(&ends[i], core_wall(core), &why))
            return "one of the two machines is not part of the network any more";
    }
    return NULL;
}

static size_t split_caps(const char *joined, struct view caps[POLICY_MAX_CAPS])
{
    struct view rest = view_text(joined);
    size_t n = 0;

    while (rest.len && n < POLICY_MAX_CAPS) {
        const uint8_t *comma = memchr(rest.data, ',', rest.len);
        caps[n] = view_sub(rest, 0, comma ? (size_t)(comma - rest.data) : rest.len);
        rest = view_sub(rest, caps[n++].len + 1, rest.len);
    }
    return n;
}

/* Whether all that was granted back is so by the rule that decides now. */
static bool is_back_allowed(const char *granted, const struct policy_decision *decision)
{
    struct view caps[POLICY_MAX_CAPS];
    size_t n = split_caps(granted, caps);

    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < decision->n_caps_back && !view_eq(caps[i], decision->caps_back[k]))
            k++;
        if (k == decision->n_caps_back)
            return false;
    }
    return true;
}

static const char *ask_policy(struct den_core *core, const struct live_facts *facts,
                              const struct store_identity ends[2],
                              struct policy_decision *ret_decision)
{
    struct view caps[POLICY_MAX_CAPS];
    const struct policy_dial dial = {
        .from = policy_party(facts->a_id, ends[0].groups),
        .to = policy_party(facts->b_id, ends[1].groups),
        .caps = caps,
        .n_caps = split_caps(facts->caps, caps),
        .at = core_wall(core),
    };

    policy_decide(core->policy, &dial, ret_decision);
    if (ret_decision->verdict == POLICY_DENIED || !is_back_allowed(facts->caps_back, ret_decision))
        return "policy does not allow it any more";
    if (ret_decision->longest && facts->opened_at + ret_decision->longest <= dial.at)
        return "the longest time that policy allows is over";
    return NULL;
}

/* What still rings has a caller who waits for an answer. */
static bool end_ringing(struct den_core *core, const struct live_facts *facts, const char *reason)
{
    struct err why = { 0 };
    struct open *open;

    LIST_EACH(open, &core->opens, node) {
        if (!open->is_granted || !view_eq(open->d.sid, VIEW_ARR(facts->sid)))
            continue;
        err_set(&why, ERR_CANCELED, "%s", reason);
        open_close(open, &why, view_text(reason));
        return true;
    }
    return false;
}

/* It ends with the first of its two machines. */
static void bound_by_ends(struct den_core *core, const struct live_facts *facts,
                          const struct store_identity ends[2])
{
    uint64_t over = min_u64(enrolment_over_at(&ends[0]), enrolment_over_at(&ends[1]));

    live_bound(core, VIEW_ARR(facts->sid), over == NEVER_MS ? 0 : over);
}

static bool judge(struct den_core *core, const struct live_facts *facts, struct err *err)
{
    struct policy_decision decision = { 0 };
    struct store_identity ends[2];
    const char *reason = look_at_ends(core, facts, ends, err);

    if (!reason && err->code == ERR_NONE)
        reason = ask_policy(core, facts, ends, &decision);
    if (err->code != ERR_NONE)
        return false;
    if (!reason && facts->is_accepted) /* a machine may have got its time meanwhile */
        bound_by_ends(core, facts, ends);
    return !reason || (!facts->is_accepted && end_ringing(core, facts, reason)) ||
           live_end(core, VIEW_ARR(facts->sid), reason, decision.rule, err);
}

/* Windows of time open and close on whole minutes. */
static uint64_t next_minute(const struct den_core *core)
{
    return core_mono(core) + MINUTE_MS - core_wall(core) % MINUTE_MS;
}

void judge_tick(struct den_core *core)
{
    struct live_facts facts;
    struct err err = { 0 };
    size_t n = 0;

    if (core_mono(core) < judge_deadline(core) || !core->policy)
        return;
    if (live_is_judged(core) && policy_has_times(core->policy))
        live_judge_all(core);
    while (n++ < AT_ONCE && live_next(core, &facts)) {
        if (judge(core, &facts, &err))
            continue;
        log_event(LOG_ERROR, "session.not_judged", "cause=%s", log_quote_text(err.text));
        err = (struct err){ 0 };
    }
    core->judge_at = !live_is_judged(core)            ? core_mono(core) + 1
                     : policy_has_times(core->policy) ? next_minute(core)
                                                      : NEVER_MS;
}

uint64_t judge_deadline(const struct den_core *core)
{
    /* While the router is away the two ends would not hear of it. */
    return core->fatal.code == ERR_NONE && core->is_up ? core->judge_at : NEVER_MS;
}
