/* SPDX-License-Identifier: Apache-2.0 */
/* warren-den policy: what was and is in force, what a file would change, and why something is decided. */
#include "base/clock.h"
#include "base/conf.h"
#include "base/text.h"
#include "den/acting.h"
#include "den/args.h"
#include "den/audit.h"
#include "den/policy_diff.h"
#include "den/policy_kept.h"
#include "den/verb.h"
#include "den/when.h"

#include <inttypes.h>
#include <stdio.h>

enum { SHOWN_EFFECTS = 50 };

struct order { /* what stood behind the verb */
    const char *config, *at, *since;
    bool is_json;
    const char *word[3];
    size_t n_words;
};

static bool is_option(const char *word)
{
    return strncmp(word, "--", 2) == 0;
}

/* How many words stand alone: of those with a `--`, --json alone has no value behind it. */
static size_t count_words(int argc, char **argv)
{
    size_t n = 0;

    for (int i = 0; i < argc; i++) {
        if (!is_option(argv[i]))
            n++;
        else if (strcmp(argv[i], "--json") != 0 && !strchr(argv[i], '='))
            i++;
    }
    return n;
}

static int read_order(int argc, char **argv, const char *const *names, size_t least, size_t most,
                      struct order *order)
{
    const struct args_option options[] = {
        { "config", &order->config, .is_needed = false },
        { "at", &order->at, false },
        { "since", &order->since, false },
        { "json", .flag = &order->is_json },
    };
    struct err err;

    order->n_words = count_words(argc, argv);
    if (order->n_words < least)
        order->n_words = least;
    if (order->n_words > most)
        order->n_words = most;
    return args_read(argc, argv, options, N_ELEMENTS(options), names, order->word, order->n_words,
                     &err)
               ? VERB_DONE
               : verb_misuse(&err);
}

/* An instant, or how long ago. */
static bool read_time(const char *option, const char *text, uint64_t *ret_at, struct err *err)
{
    uint64_t now = clock_wall_ms(), ago;

    if (conf_duration(view_text(text), &ago) && ago <= now) {
        *ret_at = now - ago;
        return true;
    }
    return when_read_instant(view_text(text), ret_at) ||
           err_set(err, ERR_INVALID_ARGUMENT,
                   "--%s: expected an instant such as 2027-01-31T10:00Z, or how long ago, such as "
                   "24h; found \"%.64s\"",
                   option, text);
}

static void put_text(struct buf *to, const char *before, const char *name, struct view text)
{
    buf_printf(to, "%s\"%s\": ", before, name);
    audit_put_json_text(to, text);
}

static void put_at(struct buf *to, const char *before, const char *name, uint64_t at)
{
    char text[CLOCK_TEXT];

    if (at)
        put_text(to, before, name, view_text(clock_text(at, text)));
    else
        buf_printf(to, "%s\"%s\": null", before, name);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* ---- a den's policies -------------------------------------------------------------------------- */

struct archive {
    struct den_config config;
    struct store *store;
};

static void archive_close(struct archive *a)
{
    store_free(a->store);
    config_deinit(&a->config);
}

static int archive_open(const struct order *order, struct archive *a)
{
    struct err err = { 0 };

    if (!order->config) {
        err_set(&err, ERR_INVALID_ARGUMENT, "--config FILE is missing");
        return verb_misuse(&err);
    }
    return verb_load_config(order->config, &a->config) && verb_open_store(order->config, &a->store)
               ? VERB_DONE
               : VERB_FAILED;
}

static bool load_number(struct archive *a, uint64_t no, struct policy **ret_policy,
                        uint64_t *ret_at, struct err *err)
{
    enum store_found found;
    _buf_ text = { 0 };

    if (!policy_kept_find(a->store, no, &found, ret_at, &text, err))
        return false;
    if (found == STORE_NONE)
        return err_set(err, ERR_NOT_FOUND, "policy: there is no number %" PRIu64 " (any more)", no);
    return policy_parse(base_name(a->config.policy), buf_view(&text), ret_policy, NULL, err) ||
           err_wrap(err, "number %" PRIu64, no);
}

static bool load_newest(struct archive *a, struct policy **ret_policy, uint64_t *ret_no,
                        struct err *err)
{
    uint64_t first, at;

    return policy_kept_range(a->store, &first, ret_no, err) &&
           load_number(a, *ret_no, ret_policy, &at, err);
}

/* A number, or a file. */
static bool load_word(struct archive *a, const char *word, struct policy **ret_policy,
                      struct err *err)
{
    struct owner den, owner;
    _acting_ struct acting as = { 0 };
    _buf_ text = { 0 };
    uint64_t no, at;

    if (text_read_u64(view_text(word), &no))
        return load_number(a, no, ret_policy, &at, err);
    if (!owner_of_dir(a->config.state, &den, err))
        return false;
    owner = owner_for_file(word, &den);
    return acting_begin(&as, &owner, err) && policy_read(word, ret_policy, &text, NULL, err);
}

/* ---- list, show ---------------------------------------------------------------------------------- */

static bool put_version(struct archive *a, uint64_t no, uint64_t last, bool is_json, struct buf *to,
                        struct err *err)
{
    _cleanup_(policy_freep) struct policy *policy = NULL;
    enum store_found found;
    _buf_ text = { 0 };
    struct err unread = { 0 };
    char since[CLOCK_TEXT];
    uint64_t at;

    if (!policy_kept_find(a->store, no, &found, &at, &text, err))
        return false;
    if (found == STORE_NONE)
        return true;
    if (!policy_parse("policy", buf_view(&text), &policy, NULL, &unread))
        policy = NULL;
    if (is_json) {
        buf_printf(to, "%s{\"number\": %" PRIu64, to->len ? ",\n " : "", no);
        put_at(to, ", ", "since", at);
        buf_printf(to, ", \"bytes\": %zu, \"rules\": %zu, \"tests\": %zu, \"in_force\": %s}",
                   text.len, policy ? policy_count(policy) : 0,
                   policy ? policy_count_tests(policy) : 0, no == last ? "true" : "false");
    } else {
        buf_printf(to, "%-8" PRIu64 "%-22s%-8zu%-8zu%-10zu%s\n", no, clock_text(at, since),
                   policy ? policy_count(policy) : 0, policy ? policy_count_tests(policy) : 0,
                   text.len, no == last ? "in force" : "");
    }
    return true;
}

int verb_policy_list(int argc, char **argv)
{
    _cleanup_(archive_close) struct archive a = { 0 };
    struct order order = { 0 };
    uint64_t first, last;
    _buf_ to = { 0 };
    struct err err;
    int status = read_order(argc, argv, NULL, 0, 0, &order);

    if (status != VERB_DONE || (status = archive_open(&order, &a)) != VERB_DONE)
        return status;
    if (!policy_kept_range(a.store, &first, &last, &err))
        return verb_fail(&err);
    for (uint64_t no = last; no >= first && no; no--)
        if (!put_version(&a, no, last, order.is_json, &to, &err))
            return verb_fail(&err);
    if (order.is_json)
        printf("[%s]\n", buf_cstr(&to));
    else
        printf("%-8s%-22s%-8s%-8s%s\n%s", "NUMBER", "SINCE", "RULES", "TESTS", "BYTES",
               buf_cstr(&to));
    return VERB_DONE;
}

int verb_policy_show(int argc, char **argv)
{
    static const char *const names[] = { "N" };
    _cleanup_(archive_close) struct archive a = { 0 };
    struct order order = { 0 };
    uint64_t first, no, at = 0;
    enum store_found found;
    _buf_ text = { 0 }, json = { 0 };
    struct err err;
    int status = read_order(argc, argv, names, 0, 1, &order);

    if (status != VERB_DONE || (status = archive_open(&order, &a)) != VERB_DONE)
        return status;
    if (!policy_kept_range(a.store, &first, &no, &err))
        return verb_fail(&err);
    if (order.n_words && !text_read_u64(view_text(order.word[0]), &no)) {
        err_set(&err, ERR_INVALID_ARGUMENT, "N: expected a number of `policy list`");
        return verb_misuse(&err);
    }
    if (!policy_kept_find(a.store, no, &found, &at, &text, &err))
        return verb_fail(&err);
    if (found == STORE_NONE) {
        err_set(&err, ERR_NOT_FOUND, "policy: there is no number %" PRIu64 " (any more)", no);
        return verb_fail(&err);
    }
    if (!order.is_json)
        return fwrite(text.data, 1, text.len, stdout) == text.len ? VERB_DONE : VERB_FAILED;
    buf_printf(&json, "{\"number\": %" PRIu64, no);
    put_at(&json, ", ", "since", at);
    put_text(&json, ", ", "text", buf_view(&text));
    printf("%s}\n", buf_cstr(&json));
    return VERB_DONE;
}

/* ---- check, test ---------------------------------------------------------------------------------- */

static void print_errors(struct view all, bool is_json)
{
    _buf_ json = { 0 };

    if (!is_json) {
        fprintf(stderr, "%.*s", VIEW_FMT(all));
        return;
    }
    while (all.len) {
        const uint8_t *end = memchr(all.data, '\n', all.len);
        struct view line = view_sub(all, 0, end ? (size_t)(end - all.data) : all.len);
        buf_put_text(&json, json.len ? ", " : "");
        audit_put_json_text(&json, line);
        all = view_sub(all, line.len + 1, all.len);
    }
    printf("{\"ok\": false, \"errors\": [%s]}\n", buf_cstr(&json));
}

static int check_file(const char *path, bool is_json)
{
    _cleanup_(policy_freep) struct policy *policy = NULL;
    _buf_ text = { 0 }, all = { 0 };
    struct err err;

    if (!policy_read(path, &policy, &text, &all, &err)) {
        print_errors(buf_view(&all), is_json);
        return VERB_FAILED;
    }
    if (is_json)
        printf("{\"ok\": true, \"rules\": %zu, \"tests\": %zu}\n", policy_count(policy),
               policy_count_tests(policy));
    else
        printf("%s: %zu rules, %zu tests, all as expected\n", path, policy_count(policy),
               policy_count_tests(policy));
    return VERB_DONE;
}

int verb_policy_check(int argc, char **argv)
{
    static const char *const names[] = { "FILE" };
    struct order order = { 0 };
    int status = read_order(argc, argv, names, 1, 1, &order);

    return status == VERB_DONE ? check_file(order.word[0], order.is_json) : status;
}

/* The file that den reads, where none is named. */
int verb_policy_test(int argc, char **argv)
{
    static const char *const names[] = { "FILE" };
    _cleanup_(config_deinit) struct den_config config = { 0 };
    struct order order = { 0 };
    struct err err = { 0 };
    int status = read_order(argc, argv, names, 0, 1, &order);

    if (status != VERB_DONE)
        return status;
    if (order.n_words)
        return check_file(order.word[0], order.is_json);
    if (!order.config) {
        err_set(&err, ERR_INVALID_ARGUMENT, "expected FILE, or --config FILE");
        return verb_misuse(&err);
    }
    if (!verb_load_config(order.config, &config))
        return VERB_FAILED;
    if (!verb_enter(order.config, &config, &err))
        return verb_fail(&err);
    return check_file(config.policy, order.is_json);
}

/* ---- diff ------------------------------------------------------------------------------------------ */

static const char *verdict_word(const struct policy_decision *d)
{
    return d->verdict == POLICY_DENIED ? "deny" : "allow";
}

static const char *consent_word(const struct policy_decision *d)
{
    return d->must_ask ? "ask" : "none";
}

static void put_decision(struct buf *to, const struct policy_decision *d)
{
    char until[CLOCK_TEXT];

    buf_put_text(to, verdict_word(d));
    if (d->verdict == POLICY_ALLOWED)
        buf_printf(to, ", consent %s", consent_word(d));
    if (d->live_until)
        buf_printf(to, ", until %s", clock_text(d->live_until, until));
    buf_printf(to, " (%s)", d->rule);
}

static void put_decision_json(struct buf *to, const struct policy_decision *d)
{
    buf_printf(to, "{\"verdict\": \"%s\", \"consent\": ", verdict_word(d));
    buf_printf(to, d->verdict == POLICY_ALLOWED ? "\"%s\"" : "null", consent_word(d));
    put_text(to, ", ", "rule", view_text(d->rule));
    buf_printf(to, ", \"line\": %u", d->line);
    put_at(to, ", ", "until", d->live_until);
    buf_put_text(to, "}");
}

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
        put_decision(&to, &effects[i].before);
        buf_put_text(&to, " -> ");
        put_decision(&to, &effects[i].after);
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

    put_at(&to, "{", "at", at);
    buf_put_text(&to, ", \"rules\": [");
    for (size_t i = 0; i < n_rules; i++) {
        buf_printf(&to, "%s{\"change\": \"%s\", \"old_line\": %u, \"new_line\": %u", i ? ", " : "",
                   changes[rules[i].change], rules[i].old_line, rules[i].new_line);
        put_text(&to, ", ", "old", rules[i].old_text);
        put_text(&to, ", ", "new", rules[i].new_text);
        buf_put_text(&to, "}");
    }
    put_text(&to, "], ", "machines", policy_diff_machines(diff));
    buf_printf(&to, ", \"tried\": %s, \"n_effects\": %" PRIu64 ", \"effects\": [",
               is_tried ? "true" : "false", n_all);
    for (size_t i = 0; i < n; i++) {
        put_text(&to, i ? ", {" : "{", "from", effects[i].from);
        put_text(&to, ", ", "to", effects[i].to);
        put_text(&to, ", ", "can", effects[i].cap);
        buf_put_text(&to, ", \"before\": ");
        put_decision_json(&to, &effects[i].before);
        buf_put_text(&to, ", \"after\": ");
        put_decision_json(&to, &effects[i].after);
        buf_put_text(&to, "}");
    }
    printf("%s]}\n", buf_cstr(&to));
}

int verb_policy_diff(int argc, char **argv)
{
    static const char *const names[] = { "A", "B" };
    _cleanup_(archive_close) struct archive a = { 0 };
    _cleanup_(policy_freep) struct policy *before = NULL, *after = NULL;
    struct order order = { 0 };
    uint64_t at = clock_wall_ms(), no;
    struct err err;
    int status = read_order(argc, argv, names, 0, 2, &order);

    if (status != VERB_DONE)
        return status;
    if (order.at && !read_time("at", order.at, &at, &err))
        return verb_misuse(&err);
    if ((status = archive_open(&order, &a)) != VERB_DONE)
        return status;
    if (!(order.n_words == 2 ? load_word(&a, order.word[0], &before, &err)
                             : load_newest(&a, &before, &no, &err)) ||
        !load_word(&a, order.n_words ? order.word[order.n_words - 1] : a.config.policy, &after,
                   &err))
        return verb_fail(&err);
    _cleanup_(policy_diff_freep) struct policy_diff *diff = policy_diff_new(before, after, at);
    if (order.is_json)
        print_diff_json(diff, at);
    else
        print_diff(diff, at);
    return VERB_DONE;
}

/* ---- why ---------------------------------------------------------------------------------------- */

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

static bool find_party(struct archive *a, const struct past *past, const char *typed,
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

/* Joined by commas; INVALID_ARGUMENT. */
static bool split_caps(const char *text, struct view caps[POLICY_MAX_CAPS], size_t *ret_n,
                       struct err *err)
{
    struct view rest = view_text(text);
    size_t n = 0;

    do {
        const uint8_t *comma = rest.len ? memchr(rest.data, ',', rest.len) : NULL;
        struct view cap = view_sub(rest, 0, comma ? (size_t)(comma - rest.data) : rest.len);
        if (n == POLICY_MAX_CAPS || !policy_cap_is_valid(cap) || policy_cap_is_pattern(cap))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "expected capabilities such as chat,tunnel:3389, found \"%.64s\"", text);
        caps[n++] = cap;
        rest = view_sub(rest, cap.len + 1, rest.len);
    } while (rest.len);
    *ret_n = n;
    return true;
}

static void put_party(struct buf *to, const struct party *party)
{
    buf_printf(to, "  %s: %s%s%s\n", party->id,
               !party->is_there   ? "there is no such ID"
               : party->groups[0] ? "groups "
                                  : "no groups of den's own",
               party->is_there ? party->groups : "",
               party->is_recorded ? ""
                                  : " (as they are now: what they were then was not recorded)");
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

    put_decision(&to, &x->decision);
    if (x->decision.is_unattended && x->decision.verdict == POLICY_ALLOWED)
        buf_put_text(&to, ": nobody is asked, for the machine is marked as unattended");
    buf_printf(&to, "\n  at %s by policy %" PRIu64 ", in force since %s\n", clock_text(x->at, at),
               x->number, clock_text(x->since, since));
    if (x->decision.line) {
        policy_put_rule(x->policy, x->decision.rule_no, &rule);
        buf_printf(&to, "  rule in line %u: %s\n", x->decision.line, buf_cstr(&rule));
    } else {
        buf_put_text(&to, "  no rule matches, and what no rule allows is forbidden\n");
    }
    put_party(&to, &x->from);
    put_party(&to, &x->to);
    printf("%s", buf_cstr(&to));
}

static void put_party_json(struct buf *to, const char *name, const struct party *party)
{
    buf_printf(to, ", \"%s\": {\"id\": \"%s\", \"known\": %s", name, party->id,
               party->is_there ? "true" : "false");
    put_text(to, ", ", "groups", view_text(party->groups));
    buf_printf(to, ", \"groups_recorded\": %s}", party->is_recorded ? "true" : "false");
}

static void print_why_json(const struct answer *x)
{
    _buf_ to = { 0 }, rule = { 0 };

    put_at(&to, "{", "at", x->at);
    buf_printf(&to, ", \"policy\": %" PRIu64, x->number);
    put_at(&to, ", ", "policy_since", x->since);
    buf_put_text(&to, ", \"decision\": ");
    put_decision_json(&to, &x->decision);
    if (x->decision.line)
        policy_put_rule(x->policy, x->decision.rule_no, &rule);
    put_text(&to, ", ", "text", buf_view(&rule));
    put_party_json(&to, "from", &x->from);
    put_party_json(&to, "to", &x->to);
    printf("%s}\n", buf_cstr(&to));
}

static bool find_answer(struct archive *a, const struct order *order, struct answer *x,
                        struct err *err)
{
    _cleanup_(past_freep) struct past *past = past_new();
    struct until until = { past, x->at };
    struct view caps[POLICY_MAX_CAPS];
    struct policy_dial dial = { .caps = caps, .at = x->at };

    if (!split_caps(order->word[2], caps, &dial.n_caps, err) ||
        !policy_kept_at(a->store, x->at, &x->number, err) ||
        !load_number(a, x->number, &x->policy, &x->since, err) ||
        !store_audit_each(a->store, 1, see_until, &until, err) ||
        !find_party(a, past, order->word[0], &x->from, err) ||
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
    _cleanup_(archive_close) struct archive a = { 0 };
    _cleanup_(answer_deinit) struct answer x = { .at = clock_wall_ms() };
    struct order order = { 0 };
    struct err err;
    int status = read_order(argc, argv, names, 3, 3, &order);

    if (status != VERB_DONE)
        return status;
    if (order.at && !read_time("at", order.at, &x.at, &err))
        return verb_misuse(&err);
    if ((status = archive_open(&order, &a)) != VERB_DONE)
        return status;
    if (!find_answer(&a, &order, &x, &err))
        return err.code == ERR_INVALID_ARGUMENT ? verb_misuse(&err) : verb_fail(&err);
    if (order.is_json)
        print_why_json(&x);
    else
        print_why(&x);
    return VERB_DONE;
}

/* ---- replay -------------------------------------------------------------------------------------- */

struct replay {
    const struct policy *policy;
    struct past *past;
    uint64_t since;
    bool is_json;
    uint64_t n, n_otherwise, n_skipped;
    struct buf text;
};

static void put_otherwise(struct replay *r, const struct store_audit *entry,
                          const struct policy_dial *dial, const char *was, struct view by,
                          const struct policy_decision *d)
{
    char at[CLOCK_TEXT];
    _buf_ can = { 0 };

    audit_find(buf_view(&entry->bytes), "can", &can);
    if (r->is_json) {
        put_at(&r->text, r->text.len ? ",\n {" : "{", "at", entry->at);
        buf_printf(&r->text, ", \"audit\": %" PRIu64, entry->no);
        put_text(&r->text, ", ", "from", dial->from.id);
        put_text(&r->text, ", ", "to", dial->to.id);
        put_text(&r->text, ", ", "can", buf_view(&can));
        put_text(&r->text, ", ", "was", view_text(was));
        put_text(&r->text, ", ", "by", by);
        buf_put_text(&r->text, ", \"would_be\": ");
        put_decision_json(&r->text, d);
        buf_put_text(&r->text, "}");
        return;
    }
    buf_printf(&r->text, "%s  %.*s to %.*s, %.*s: %s (%.*s) -> ", clock_text(entry->at, at),
               VIEW_FMT(dial->from.id), VIEW_FMT(dial->to.id), VIEW_FMT(buf_view(&can)), was,
               VIEW_FMT(by));
    put_decision(&r->text, d);
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
        !split_caps(buf_cstr(&can), caps, &dial.n_caps, &err)) {
        r->n_skipped += view_starts(bytes, VIEW_LIT("what=session.refused\n"));
        return;
    }
    from_groups = past_groups(r->past, buf_cstr(&from));
    to_groups = past_groups(r->past, buf_cstr(&to));
    dial.from = policy_party(buf_cstr(&from), from_groups ? from_groups : "");
    dial.to = policy_party(buf_cstr(&to), to_groups ? to_groups : "");
    policy_decide(r->policy, &dial, &d);
    r->n++;
    if (!is_otherwise(was, &d))
        return;
    r->n_otherwise++;
    put_otherwise(r, entry, &dial, was, buf_view(&by), &d);
}

static bool replay_entry(void *user, const struct store_audit *entry)
{
    struct replay *r = user;

    past_see(r->past, entry);
    if (entry->at >= r->since && view_starts(buf_view(&entry->bytes), VIEW_LIT("what=session.")))
        replay_session(r, entry);
    return true;
}

static void print_replay(struct replay *r)
{
    if (r->is_json) {
        printf("{\"sessions\": %" PRIu64 ", \"otherwise\": %" PRIu64 ", \"not_judged\": %" PRIu64
               ", \"list\": [%s]}\n",
               r->n, r->n_otherwise, r->n_skipped, buf_cstr(&r->text));
        return;
    }
    printf("%s%" PRIu64 " sessions and refusals looked at, %" PRIu64 " would be decided otherwise",
           buf_cstr(&r->text), r->n, r->n_otherwise);
    if (r->n_skipped)
        printf("; %" PRIu64 " refusals for other reasons than policy left out", r->n_skipped);
    printf("\n");
}

int verb_policy_replay(int argc, char **argv)
{
    static const char *const names[] = { "FILE" };
    _cleanup_(archive_close) struct archive a = { 0 };
    _cleanup_(policy_freep) struct policy *policy = NULL;
    _cleanup_(past_freep) struct past *past = past_new();
    struct replay r = { .past = past };
    struct order order = { 0 };
    _buf_ text = { 0 }, all = { 0 };
    struct err err;
    int status = read_order(argc, argv, names, 1, 1, &order);

    if (status != VERB_DONE)
        return status;
    if (order.since && !read_time("since", order.since, &r.since, &err))
        return verb_misuse(&err);
    if (!policy_read(order.word[0], &policy, &text, &all, &err)) {
        print_errors(buf_view(&all), order.is_json);
        return VERB_FAILED;
    }
    if ((status = archive_open(&order, &a)) != VERB_DONE)
        return status;
    r.policy = policy;
    r.is_json = order.is_json;
    if (!store_audit_each(a.store, 1, replay_entry, &r, &err))
        status = verb_fail(&err);
    else
        print_replay(&r);
    buf_free(&r.text);
    return status;
}
