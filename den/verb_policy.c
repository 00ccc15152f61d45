/* SPDX-License-Identifier: Apache-2.0 */
/* warren-den policy list, show, check, test: what was and is in force, and whether a file could be. */
#include "den/verb_policy.h"

#include "base/clock.h"
#include "base/text.h"
#include "den/audit.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- list, show ---------------------------------------------------------------------------------- */

static bool put_version(struct policy_archive *a, uint64_t no, uint64_t last, bool is_json,
                        struct buf *to, struct err *err)
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
    if (!text.len && is_json)
        return true;
    if (!text.len) {
        buf_printf(to, "%-8s%-26slost with the database that was not put back\n", "-",
                   clock_text(at, since));
        return true;
    }
    if (!policy_parse("policy", buf_view(&text), &policy, NULL, &unread))
        policy = NULL;
    if (is_json) {
        buf_printf(to, "%s{\"number\": %" PRIu64, to->len ? ", " : "", no);
        verb_policy_put_at(to, ", ", "since", at);
        buf_printf(to, ", \"bytes\": %zu, \"rules\": %zu, \"tests\": %zu, \"in_force\": %s}",
                   text.len, policy ? policy_count(policy) : 0,
                   policy ? policy_count_tests(policy) : 0, no == last ? "true" : "false");
    } else {
        buf_printf(to, "%-8" PRIu64 "%-26s%-8zu%-8zu%-10zu%s\n", no, clock_text_ms(at, since),
                   policy ? policy_count(policy) : 0, policy ? policy_count_tests(policy) : 0,
                   text.len, no == last ? "in force" : "");
    }
    return true;
}

int verb_policy_list(int argc, char **argv)
{
    _cleanup_(policy_archive_close) struct policy_archive a = { 0 };
    struct policy_order order = { 0 };
    uint64_t first, last;
    _buf_ to = { 0 };
    struct err err;
    int status = verb_policy_read(argc, argv, NULL, 0, 0, &order);

    if (status != VERB_DONE || (status = policy_archive_open(&order, &a)) != VERB_DONE)
        return status;
    if (!policy_kept_range(a.store, &first, &last, &err))
        return verb_fail(&err);
    for (uint64_t no = last; no >= first && no; no--)
        if (!put_version(&a, no, last, order.is_json, &to, &err))
            return verb_fail(&err);
    if (order.is_json)
        printf("[%s]\n", buf_cstr(&to));
    else
        printf("%-8s%-26s%-8s%-8s%s\n%s", "NUMBER", "SINCE", "RULES", "TESTS", "BYTES",
               buf_cstr(&to));
    return VERB_DONE;
}

int verb_policy_show(int argc, char **argv)
{
    static const char *const names[] = { "N" };
    _cleanup_(policy_archive_close) struct policy_archive a = { 0 };
    struct policy_order order = { 0 };
    uint64_t first, no, at = 0;
    enum store_found found;
    _buf_ text = { 0 }, json = { 0 };
    struct err err;
    int status = verb_policy_read(argc, argv, names, 0, 1, &order);

    if (status != VERB_DONE || (status = policy_archive_open(&order, &a)) != VERB_DONE)
        return status;
    if (!policy_kept_range(a.store, &first, &no, &err))
        return verb_fail(&err);
    if (order.n_words && !text_read_u64(view_text(order.word[0]), &no)) {
        err_set(&err, ERR_INVALID_ARGUMENT, "N: expected a number of `policy list`");
        return verb_misuse(&err);
    }
    if (!policy_kept_find(a.store, no, &found, &at, &text, &err))
        return verb_fail(&err);
    if (found == STORE_NONE || !text.len) {
        err_set(&err, ERR_NOT_FOUND, "policy: there is no number %" PRIu64 " (any more)", no);
        return verb_fail(&err);
    }
    if (!policy_kept_check(a.store, no, at, buf_view(&text), &err))
        return verb_fail(&err);
    if (!order.is_json)
        return fwrite(text.data, 1, text.len, stdout) == text.len ? VERB_DONE : VERB_FAILED;
    buf_printf(&json, "{\"number\": %" PRIu64, no);
    verb_policy_put_at(&json, ", ", "since", at);
    verb_policy_put_text(&json, ", ", "text", buf_view(&text));
    printf("%s}\n", buf_cstr(&json));
    return VERB_DONE;
}

/* ---- check, test ---------------------------------------------------------------------------------- */

static int check_file(const char *path, bool is_json)
{
    _cleanup_(policy_freep) struct policy *policy = NULL;
    _buf_ text = { 0 }, all = { 0 };
    struct err err;

    if (!policy_read(path, &policy, &text, &all, &err)) {
        verb_policy_print_errors(buf_view(&all), is_json);
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
    struct policy_order order = { 0 };
    int status = verb_policy_read(argc, argv, names, 1, 1, &order);

    return status == VERB_DONE ? check_file(order.word[0], order.is_json) : status;
}

/* The file that den reads, where none is named. */
int verb_policy_test(int argc, char **argv)
{
    static const char *const names[] = { "FILE" };
    _cleanup_(config_deinit) struct den_config config = { 0 };
    struct policy_order order = { 0 };
    struct err err = { 0 };
    int status = verb_policy_read(argc, argv, names, 0, 1, &order);

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
