/* SPDX-License-Identifier: Apache-2.0 */
/* warren-den policy why: by which rule something is, or was, decided. */
#include "den/verb_policy.h"

#include "base/clock.h"
#include "base/text.h"
#include "den/audit.h"
#include "den/seal.h"

#include <inttypes.h>
#include <stdio.h>

struct party { /* one side, then */
    char id[TEXT_ID];
    char groups[STORE_GROUPS];
    bool is_there;
    bool is_recorded; /* its groups are those of the asked time */
};

struct until {
    struct past *past;
    uint64_t at;
};

static bool see_until(void *user, const struct store_audit *entry)
{
    struct until *until = user;

    if (entry->at <= until->at)
        past_see(until->past, entry);
    return true;
}

static bool find_party(struct policy_archive *a, const struct past *past, const char *typed,
                       struct party *party, struct err *err)
{
    struct store_identity who;
    enum store_found found = STORE_NONE;
    const char *groups;

    if (!text_read_id(typed, party->id))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "expected an ID of 6 to 9 digits, found \"%.64s\"", typed);
    if (!store_identity_by_id(a->store, view_text(party->id), &found, &who, err))
        return false;
    groups = past_groups(past, party->id);
    party->is_there = found == STORE_FOUND;
    party->is_recorded = groups != NULL || !party->is_there;
    if (!groups && party->is_there)
        groups = who.groups;
    snprintf(party->groups, sizeof(party->groups), "%s", groups ? groups : "");
    return true;
}

static void put_party(struct buf *to, const struct policy *policy, const struct party *party)
{
    _buf_ in_file = { 0 };

    policy_put_machine(policy, party->id, &in_file);
    buf_printf(to, "  %s: %s%s%s%s%s\n", party->id,
               !party->is_there   ? "there is no such ID"
               : party->groups[0] ? "groups "
                                  : "no groups of den's own",
               party->is_there ? party->groups : "",
               party->is_recorded ? "" : " (as they are now: what they were then was not recorded)",
               in_file.len ? "; in the file " : "", buf_cstr(&in_file));
}

struct answer {
    struct policy *policy;
    uint64_t number, since, at;
    struct party from, to;
    struct policy_decision decision;
};

static void answer_deinit(struct answer *answer)
{
    policy_free(answer->policy);
}

static void print_why(const struct answer *x)
{
    char at[CLOCK_TEXT], since[CLOCK_TEXT];
    _buf_ to = { 0 }, rule = { 0 };

    verb_policy_put_decision(&to, &x->decision);
    if (x->decision.is_unattended && x->decision.verdict == POLICY_ALLOWED)
        buf_put_text(&to, ": nobody is asked, for the machine is marked as unattended");
    buf_printf(&to, "\n  at %s by policy %" PRIu64 ", in force since %s\n",
               clock_text_ms(x->at, at), x->number, clock_text_ms(x->since, since));
    if (x->decision.line) {
        policy_put_rule(x->policy, x->decision.rule_no, &rule);
        buf_printf(&to, "  rule in line %u: %s\n", x->decision.line, buf_cstr(&rule));
    } else {
        buf_put_text(&to, "  no rule matches, and what no rule allows is forbidden\n");
    }
    put_party(&to, x->policy, &x->from);
    put_party(&to, x->policy, &x->to);
    printf("%s", buf_cstr(&to));
}

static void put_party_json(struct buf *to, const char *name, const struct policy *policy,
                           const struct party *party)
{
    _buf_ in_file = { 0 };

    policy_put_machine(policy, party->id, &in_file);
    buf_printf(to, ", \"%s\": {\"id\": \"%s\", \"known\": %s", name, party->id,
               party->is_there ? "true" : "false");
    verb_policy_put_text(to, ", ", "groups", view_text(party->groups));
    verb_policy_put_text(to, ", ", "in_file", buf_view(&in_file));
    buf_printf(to, ", \"groups_recorded\": %s}", party->is_recorded ? "true" : "false");
}

static void print_why_json(const struct answer *x)
{
    _buf_ to = { 0 }, rule = { 0 };

    verb_policy_put_at(&to, "{", "at", x->at);
    buf_printf(&to, ", \"policy\": %" PRIu64, x->number);
    verb_policy_put_at(&to, ", ", "policy_since", x->since);
    buf_put_text(&to, ", \"decision\": ");
    verb_policy_put_decision_json(&to, &x->decision);
    if (x->decision.line)
        policy_put_rule(x->policy, x->decision.rule_no, &rule);
    verb_policy_put_text(&to, ", ", "text", buf_view(&rule));
    put_party_json(&to, "from", x->policy, &x->from);
    put_party_json(&to, "to", x->policy, &x->to);
    printf("%s}\n", buf_cstr(&to));
}

/* Who was in which groups then: as it was when entries were last sealed, and what those that stayed say since. */
static bool read_past(struct policy_archive *a, uint64_t at, struct past *past, struct err *err)
{
    struct until until = { past, at };
    char text[CLOCK_TEXT];
    uint64_t since;

    if (!seal_since(a->store, &since, err))
        return false;
    if (at < since) {
        err_set(err, ERR_NOT_FOUND,
                "audit: who was in which groups then stands in files that the audit was sealed "
                "into; den itself can tell from %s on",
                clock_text_ms(since, text));
        return err_advise(err,
                          "ask for a later time, or look into the files in the folder `audit` of "
                          "den's state");
    }
    return past_load(past, a->store, err) && store_audit_each(a->store, 1, see_until, &until, err);
}

static bool find_answer(struct policy_archive *a, const struct policy_order *order,
                        struct answer *x, struct err *err)
{
    _cleanup_(past_freep) struct past *past = past_new();
    struct view caps[POLICY_MAX_CAPS];
    struct policy_dial dial = { .caps = caps, .at = x->at };

    store_look(a->store); /* den may seal meanwhile */
    if (!verb_policy_split_caps(order->word[2], caps, &dial.n_caps, err) ||
        !policy_kept_at(a->store, x->at, &x->number, err) ||
        !policy_archive_number(a, x->number, &x->policy, &x->since, err) ||
        !read_past(a, x->at, past, err) || !find_party(a, past, order->word[0], &x->from, err) ||
        !find_party(a, past, order->word[1], &x->to, err))
        return false;
    dial.from = policy_party(x->from.id, x->from.groups);
    dial.to = policy_party(x->to.id, x->to.groups);
    policy_decide(x->policy, &dial, &x->decision);
    return true;
}

int verb_policy_why(int argc, char **argv)
{
    static const char *const names[] = { "ID-OF-CALLER", "ID-OF-CALLED", "CAPABILITY" };
    _cleanup_(policy_archive_close) struct policy_archive a = { 0 };
    _cleanup_(answer_deinit) struct answer x = { .at = clock_wall_ms() };
    struct policy_order order = { 0 };
    struct err err;
    int status = verb_policy_read(argc, argv, names, 3, 3, &order);

    if (status != VERB_DONE)
        return status;
    if (order.at && !verb_policy_read_time("at", order.at, &x.at, &err))
        return verb_misuse(&err);
    if ((status = policy_archive_open(&order, &a)) != VERB_DONE)
        return status;
    if (!find_answer(&a, &order, &x, &err))
        return err.code == ERR_INVALID_ARGUMENT ? verb_misuse(&err) : verb_fail(&err);
    if (order.is_json)
        print_why_json(&x);
    else
        print_why(&x);
    return VERB_DONE;
}
