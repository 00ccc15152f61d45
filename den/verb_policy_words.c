/* SPDX-License-Identifier: Apache-2.0 */
#include "den/verb_policy.h"

#include "base/clock.h"
#include "base/conf.h"
#include "base/text.h"
#include "den/acting.h"
#include "den/args.h"
#include "den/audit.h"
#include "den/when.h"

#include <inttypes.h>
#include <stdio.h>

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

int verb_policy_read(int argc, char **argv, const char *const *names, size_t least, size_t most,
                     struct policy_order *order)
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

bool verb_policy_read_time(const char *option, const char *text, uint64_t *ret_at, struct err *err)
{
    return audit_read_time(text, clock_wall_ms(), ret_at) ||
           err_set(err, ERR_INVALID_ARGUMENT,
                   "--%s: expected an instant such as 2027-01-31T10:00Z or "
                   "2027-01-31T10:00:00.250Z, an `at_ms` of the audit, or how long ago, such as "
                   "24h; found \"%.64s\"",
                   option, text);
}

void verb_policy_put_text(struct buf *to, const char *before, const char *name, struct view text)
{
    buf_printf(to, "%s\"%s\": ", before, name);
    audit_put_json_text(to, text);
}

void verb_policy_put_at(struct buf *to, const char *before, const char *name, uint64_t at)
{
    char text[CLOCK_TEXT];

    if (at)
        verb_policy_put_text(to, before, name, view_text(clock_text_ms(at, text)));
    else
        buf_printf(to, "%s\"%s\": null", before, name);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* ---- decisions -------------------------------------------------------------------------------------- */

static const char *verdict_word(const struct policy_decision *d)
{
    return d->verdict == POLICY_DENIED ? "deny" : "allow";
}

static const char *consent_word(const struct policy_decision *d)
{
    return d->must_ask ? "ask" : "none";
}

void verb_policy_put_decision(struct buf *to, const struct policy_decision *d)
{
    char until[CLOCK_TEXT];

    buf_put_text(to, verdict_word(d));
    if (d->verdict == POLICY_ALLOWED)
        buf_printf(to, ", consent %s", consent_word(d));
    if (d->live_until)
        buf_printf(to, ", until %s", clock_text(d->live_until, until));
    buf_printf(to, " (%s)", d->rule);
}

void verb_policy_put_decision_json(struct buf *to, const struct policy_decision *d)
{
    buf_printf(to, "{\"verdict\": \"%s\", \"consent\": ", verdict_word(d));
    buf_printf(to, d->verdict == POLICY_ALLOWED ? "\"%s\"" : "null", consent_word(d));
    verb_policy_put_text(to, ", ", "rule", view_text(d->rule));
    buf_printf(to, ", \"line\": %u", d->line);
    verb_policy_put_at(to, ", ", "until", d->live_until);
    buf_put_text(to, "}");
}

bool verb_policy_split_caps(const char *text, struct view caps[POLICY_MAX_CAPS], size_t *ret_n,
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

void verb_policy_print_errors(struct view all, bool is_json)
{
    _buf_ json = { 0 }, first = { 0 };

    fprintf(stderr, "%.*s", VIEW_FMT(all));
    if (!is_json)
        return;
    while (all.len) {
        const uint8_t *end = memchr(all.data, '\n', all.len);
        struct view line = view_sub(all, 0, end ? (size_t)(end - all.data) : all.len);
        buf_put_text(&json, json.len ? ", " : "");
        audit_put_json_text(&json, line);
        if (!first.len)
            audit_put_json_text(&first, line);
        all = view_sub(all, line.len + 1, all.len);
    }
    printf("{\"ok\": false, \"errors\": [%s], \"error\": {\"code\": \"%s\", \"cause\": %s, "
           "\"remedy\": ",
           buf_cstr(&json), err_code_name(ERR_BAD_CONFIG), buf_cstr(&first));
    buf_clear(&json);
    audit_put_json_text(&json, view_text(err_code_remedy(ERR_BAD_CONFIG)));
    printf("%s}}\n", buf_cstr(&json));
}

/* ---- a den's policies -------------------------------------------------------------------------- */

void policy_archive_close(struct policy_archive *a)
{
    store_free(a->store);
    config_deinit(&a->config);
}

int policy_archive_open(const struct policy_order *order, struct policy_archive *a)
{
    struct err err = { 0 };

    if (!order->config) {
        err_set(&err, ERR_INVALID_ARGUMENT, "--config FILE is missing");
        return verb_misuse(&err);
    }
    return verb_load_config(order->config, &a->config) && verb_read_store(order->config, &a->store)
               ? VERB_DONE
               : VERB_FAILED;
}

bool policy_archive_number(struct policy_archive *a, uint64_t no, struct policy **ret_policy,
                           uint64_t *ret_at, struct err *err)
{
    enum store_found found;
    _buf_ text = { 0 };

    if (!policy_kept_find(a->store, no, &found, ret_at, &text, err))
        return false;
    if (found == STORE_NONE || !text.len)
        return err_set(err, ERR_NOT_FOUND, "policy: there is no number %" PRIu64 " (any more)", no);
    if (!policy_kept_check(a->store, no, *ret_at, buf_view(&text), err))
        return false;
    return policy_parse(base_name(a->config.policy), buf_view(&text), ret_policy, NULL, err) ||
           err_wrap(err, "number %" PRIu64, no);
}

bool policy_archive_newest(struct policy_archive *a, struct policy **ret_policy, uint64_t *ret_no,
                           struct err *err)
{
    uint64_t first, at;

    return policy_kept_range(a->store, &first, ret_no, err) &&
           policy_archive_number(a, *ret_no, ret_policy, &at, err);
}

bool policy_archive_word(struct policy_archive *a, const char *word, struct policy **ret_policy,
                         struct err *err)
{
    struct owner den, owner;
    _acting_ struct acting as = { 0 };
    _buf_ text = { 0 };
    uint64_t no, at;

    if (text_read_u64(view_text(word), &no))
        return policy_archive_number(a, no, ret_policy, &at, err);
    if (!owner_of_dir(a->config.state, &den, err))
        return false;
    owner = owner_for_file(word, &den);
    return acting_begin(&as, &owner, err) && policy_read(word, ret_policy, &text, NULL, err);
}
