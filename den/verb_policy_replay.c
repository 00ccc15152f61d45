/* SPDX-License-Identifier: Apache-2.0 */
/* warren-den policy replay: which sessions of the past another file would have decided otherwise. */
#include "den/verb_policy.h"

#include "base/clock.h"
#include "base/map.h"
#include "den/audit.h"
#include "den/seal.h"

#include <inttypes.h>
#include <stdio.h>

struct replay {
    const struct policy *policy;
    struct past *past;
    struct map
        *accepted; /* sid -> char *: what was accepted, where it was less than what was asked for */
    uint64_t since, sealed_until /* 0: nothing is */;
    bool is_json;
    uint64_t n, n_otherwise, n_skipped, n_unknown;
    struct buf text;
};

static void replay_deinit(struct replay *r)
{
    size_t cursor = 0;
    struct view sid;
    void *caps;

    while (r->accepted && map_next(r->accepted, &cursor, &sid, &caps))
        free(caps);
    map_free(r->accepted);
    past_free(r->past);
    buf_free(&r->text);
}

/* The called side took less than was asked for: what the file says of that alone. NULL: it took all, or nothing. */
static const char *decide_accepted(struct replay *r, const struct store_audit *entry,
                                   const struct policy_dial *dial,
                                   struct policy_decision *ret_decision)
{
    struct view caps[POLICY_MAX_CAPS];
    struct policy_dial less = *dial;
    _buf_ sid = { 0 };
    const char *accepted;
    struct err ignored;

    audit_find(buf_view(&entry->bytes), "sid", &sid);
    accepted = map_get(r->accepted, buf_view(&sid));
    less.caps = caps;
    if (!accepted || !verb_policy_split_caps(accepted, caps, &less.n_caps, &ignored))
        return NULL;
    policy_decide(r->policy, &less, ret_decision);
    return accepted;
}

static void put_otherwise(struct replay *r, const struct store_audit *entry,
                          const struct policy_dial *dial, const char *was, struct view by,
                          const struct policy_decision *d)
{
    char at[CLOCK_TEXT];
    _buf_ can = { 0 };
    struct policy_decision of_accepted;
    const char *accepted = decide_accepted(r, entry, dial, &of_accepted);

    audit_find(buf_view(&entry->bytes), "can", &can);
    if (r->is_json) {
        verb_policy_put_at(&r->text, r->text.len ? ", {" : "{", "at", entry->at);
        buf_printf(&r->text, ", \"audit\": %" PRIu64, entry->no);
        verb_policy_put_text(&r->text, ", ", "from", dial->from.id);
        verb_policy_put_text(&r->text, ", ", "to", dial->to.id);
        verb_policy_put_text(&r->text, ", ", "can", buf_view(&can));
        verb_policy_put_text(&r->text, ", ", "was", view_text(was));
        verb_policy_put_text(&r->text, ", ", "by", by);
        buf_put_text(&r->text, ", \"would_be\": ");
        verb_policy_put_decision_json(&r->text, d);
        if (accepted) {
            verb_policy_put_text(&r->text, ", ", "accepted", view_text(accepted));
            buf_put_text(&r->text, ", \"accepted_would_be\": ");
            verb_policy_put_decision_json(&r->text, &of_accepted);
        }
        buf_put_text(&r->text, "}");
        return;
    }
    buf_printf(&r->text, "%s  %.*s to %.*s, %.*s: %s (%.*s) -> ", clock_text(entry->at, at),
               VIEW_FMT(dial->from.id), VIEW_FMT(dial->to.id), VIEW_FMT(buf_view(&can)), was,
               VIEW_FMT(by));
    verb_policy_put_decision(&r->text, d);
    if (accepted) {
        buf_printf(&r->text, "\n    accepted was %s alone: ", accepted);
        verb_policy_put_decision(&r->text, &of_accepted);
    }
    buf_put_text(&r->text, "\n");
}

/* What policy said of it, not what came of it; NULL: that is not known. */
static const char *what_was(struct view entry)
{
    _buf_ consent = { 0 }, reason = { 0 };

    if (view_starts(entry, VIEW_LIT("what=session.granted\n"))) {
        audit_find(entry, "consent", &consent);
        return view_eq_text(buf_view(&consent), "ask") ? "allow, consent ask"
                                                       : "allow, consent none";
    }
    if (!view_starts(entry, VIEW_LIT("what=session.refused\n")) ||
        !audit_find(entry, "reason", &reason))
        return NULL;
    if (view_eq_text(buf_view(&reason), "denied"))
        return "deny";
    return view_eq_text(buf_view(&reason), "offline") ? "allow" : NULL;
}

static bool is_otherwise(const char *was, const struct policy_decision *d)
{
    bool was_allowed = strncmp(was, "allow", 5) == 0;

    if (was_allowed != (d->verdict == POLICY_ALLOWED))
        return true;
    return was_allowed && strchr(was, ',') && d->must_ask != (strstr(was, "ask") != NULL);
}

static void replay_session(struct replay *r, const struct store_audit *entry)
{
    struct view bytes = buf_view(&entry->bytes), caps[POLICY_MAX_CAPS];
    const char *was = what_was(bytes), *from_groups, *to_groups;
    struct policy_dial dial = { .caps = caps, .at = entry->at };
    struct policy_decision d;
    _buf_ from = { 0 }, to = { 0 }, can = { 0 }, by = { 0 };
    struct err err;

    if (!was || !audit_find(bytes, "from", &from) || !audit_find(bytes, "to", &to) ||
        !audit_find(bytes, "can", &can) || !audit_find(bytes, "rule", &by) ||
        !verb_policy_split_caps(buf_cstr(&can), caps, &dial.n_caps, &err)) {
        r->n_skipped += view_starts(bytes, VIEW_LIT("what=session.refused\n"));
        return;
    }
    from_groups = past_groups(r->past, buf_cstr(&from));
    to_groups = past_groups(r->past, buf_cstr(&to));
    if (r->sealed_until && (!from_groups || !to_groups)) {
        r->n_unknown++;
        return;
    }
    dial.from = policy_party(buf_cstr(&from), from_groups ? from_groups : "");
    dial.to = policy_party(buf_cstr(&to), to_groups ? to_groups : "");
    policy_decide(r->policy, &dial, &d);
    r->n++;
    if (!is_otherwise(was, &d))
        return;
    r->n_otherwise++;
    put_otherwise(r, entry, &dial, was, buf_view(&by), &d);
}

static bool note_accepted(void *user, const struct store_audit *entry)
{
    struct replay *r = user;
    struct view bytes = buf_view(&entry->bytes);
    _buf_ sid = { 0 }, asked = { 0 }, can = { 0 };

    if (view_starts(bytes, VIEW_LIT("what=session.accepted\n")) &&
        audit_find(bytes, "asked", &asked) && audit_find(bytes, "can", &can) &&
        audit_find(bytes, "sid", &sid))
        free(map_set(r->accepted, buf_view(&sid), mem_text(buf_cstr(&can))));
    return true;
}

static bool replay_entry(void *user, const struct store_audit *entry)
{
    struct replay *r = user;

    past_see(r->past, entry);
    if (entry->at >= r->since && view_starts(buf_view(&entry->bytes), VIEW_LIT("what=session.")))
        replay_session(r, entry);
    return true;
}

static void print_replay_json(struct replay *r, bool is_cut)
{
    _buf_ sealed = { 0 };

    verb_policy_put_at(&sealed, ", ", "sealed_until", is_cut ? r->sealed_until : 0);
    printf("{\"sessions\": %" PRIu64 ", \"otherwise\": %" PRIu64 ", \"not_judged\": %" PRIu64
           ", \"groups_unknown\": %" PRIu64 "%s, \"list\": [%s]}\n",
           r->n, r->n_otherwise, r->n_skipped, r->n_unknown, buf_cstr(&sealed), buf_cstr(&r->text));
}

static void print_replay(struct replay *r)
{
    bool is_cut = r->sealed_until && r->since <= r->sealed_until;
    char at[CLOCK_TEXT];

    if (r->is_json) {
        print_replay_json(r, is_cut);
        return;
    }
    printf("%s%" PRIu64 " sessions and refusals looked at, %" PRIu64 " would be decided otherwise",
           buf_cstr(&r->text), r->n, r->n_otherwise);
    if (r->n_skipped)
        printf("; %" PRIu64 " refusals for other reasons than policy left out", r->n_skipped);
    if (r->n_unknown)
        printf("; %" PRIu64 " left out, for the groups of their machines then are not known",
               r->n_unknown);
    printf("\n");
    if (is_cut)
        printf("what was up to %s is not looked at: the audit of then was sealed into files\n",
               clock_text_ms(r->sealed_until, at));
}

int verb_policy_replay(int argc, char **argv)
{
    static const char *const names[] = { "FILE" };
    _cleanup_(policy_archive_close) struct policy_archive a = { 0 };
    _cleanup_(policy_freep) struct policy *policy = NULL;
    _cleanup_(replay_deinit) struct replay r = { .past = past_new(), .accepted = map_new() };
    struct policy_order order = { 0 };
    _buf_ text = { 0 }, all = { 0 };
    struct err err;
    int status = verb_policy_read(argc, argv, names, 1, 1, &order);

    if (status != VERB_DONE)
        return status;
    if (order.since && !verb_policy_read_time("since", order.since, &r.since, &err))
        return verb_misuse(&err);
    if (!policy_read(order.word[0], &policy, &text, &all, &err)) {
        verb_policy_print_errors(buf_view(&all), order.is_json);
        return VERB_FAILED;
    }
    if ((status = policy_archive_open(&order, &a)) != VERB_DONE)
        return status;
    r.policy = policy;
    r.is_json = order.is_json;
    store_look(a.store); /* den may seal meanwhile */
    if (!seal_since(a.store, &r.sealed_until, &err) || !past_load(r.past, a.store, &err) ||
        !store_audit_each(a.store, 1, note_accepted, &r, &err) ||
        !store_audit_each(a.store, 1, replay_entry, &r, &err))
        return verb_fail(&err);
    print_replay(&r);
    return VERB_DONE;
}
