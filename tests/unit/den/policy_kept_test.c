/* SPDX-License-Identifier: Apache-2.0 */
/* What the store keeps of policies, who was in which groups then, and what two policies decide otherwise. */
#include "den/policy_kept.h"
#include "den/audit.h"
#include "den/record.h"
#include "den/policy_diff.h"
#include "tests/check.h"

#include <inttypes.h>
#include <stdio.h>

static struct err err;

static struct store *open_store(void)
{
    _free_ char *path = mem_format("%s/kept.sqlite", check_dir());
    struct store *store = NULL;

    if (!store_create(path, &err) || !store_open(path, &store, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    return store;
}

static bool add(struct store *store, uint64_t no, uint64_t at, struct view text)
{
    _transaction_ struct store *open = store;

    return store_begin(open, &err) && store_number_raise(open, "policy_no", no, &err) &&
           policy_kept_add(open, no, at, text, &err) && store_commit(open, &err);
}

TEST(versions_are_found_by_number_and_by_time_and_the_oldest_go)
{
    _cleanup_(store_freep) struct store *store = open_store();
    uint64_t first, last, at, no;
    enum store_found found;

    CHECK_ERR(policy_kept_at(store, 5000, &no, &err), err, ERR_NOT_FOUND);
    for (uint64_t i = 1; i <= POLICY_KEPT + 5; i++) {
        _free_ char *text = mem_format("# %" PRIu64 "\n", i);
        CHECK_OK(add(store, i, 1000 * i, view_text(text)), err);
    }
    CHECK_OK(policy_kept_range(store, &first, &last, &err), err);
    CHECK_U64(first, 6);
    CHECK_U64(last, POLICY_KEPT + 5);
    for (no = 5; no <= 6; no++) {
        _buf_ text = { 0 };
        CHECK_OK(policy_kept_find(store, no, &found, &at, &text, &err), err);
        CHECK(found == (no == 5 ? STORE_NONE : STORE_FOUND));
        CHECK_STR(buf_cstr(&text), no == 5 ? "" : "# 6\n");
    }
    CHECK_OK(policy_kept_at(store, 10999, &no, &err), err);
    CHECK_U64(no, 10);
    CHECK_OK(policy_kept_at(store, 11000, &no, &err), err);
    CHECK_U64(no, 11);
    CHECK_ERR(policy_kept_at(store, 5999, &no, &err), err, ERR_NOT_FOUND);
}

static bool go_on(struct store *store, uint64_t no, uint64_t lost_at, uint64_t now)
{
    _transaction_ struct store *open = store;

    return store_begin(open, &err) && policy_kept_go_on(open, no, lost_at, now, &err) &&
           store_commit(open, &err);
}

/* Numbers 3 to 6 were given up with a store that is lost; the second policy goes on as number 7. */
TEST(the_policy_of_a_restored_store_goes_on_under_a_new_number)
{
    _free_ char *path = mem_format("%s/gap.sqlite", check_dir());
    _cleanup_(store_freep) struct store *store = NULL;
    uint64_t at, no;
    enum store_found found;

    CHECK_OK(store_create(path, &err) && store_open(path, &store, &err), err);
    CHECK_OK(add(store, 1, 1000, VIEW_LIT("# 1\n")), err);
    CHECK_OK(add(store, 2, 2000, VIEW_LIT("# 2\n")), err);
    CHECK_OK(go_on(store, 7, 3000, 9000), err);
    _buf_ text = { 0 };
    CHECK_OK(policy_kept_find(store, 7, &found, &at, &text, &err), err);
    CHECK(found == STORE_FOUND && at == 9000);
    CHECK_STR(buf_cstr(&text), "# 2\n");
    CHECK_OK(policy_kept_at(store, 9000, &no, &err), err);
    CHECK_U64(no, 7);
    CHECK_OK(policy_kept_at(store, 2999, &no, &err), err);
    CHECK_U64(no, 2);
    CHECK_ERR(policy_kept_at(store, 5000, &no, &err), err, ERR_NOT_FOUND); /* nobody knows */
    CHECK_OK(add(store, 8, 10000, VIEW_LIT("# 8\n")), err);
    CHECK_OK(policy_kept_at(store, 1000, &no, &err), err);
    CHECK_U64(no, 1);                             /* those before the gap stay */
    CHECK_OK(go_on(store, 9, 11000, 12000), err); /* none was lost */
    CHECK_OK(policy_kept_at(store, 11500, &no, &err), err);
    CHECK_U64(no, 8);
}

TEST(large_ones_leave_room_for_few)
{
    _free_ char *path = mem_format("%s/large.sqlite", check_dir());
    _cleanup_(store_freep) struct store *store = NULL;
    _buf_ text = { 0 };
    uint64_t first, last;

    CHECK_OK(store_create(path, &err) && store_open(path, &store, &err), err);
    memset(buf_grow(&text, POLICY_KEPT_BYTES * 2 / 5), '#', POLICY_KEPT_BYTES * 2 / 5);
    for (uint64_t i = 1; i <= 4; i++)
        CHECK_OK(add(store, i, i, buf_view(&text)), err);
    CHECK_OK(policy_kept_range(store, &first, &last, &err), err);
    CHECK_U64(first, 3);
}

static void see(struct past *past, const char *text)
{
    struct store_audit entry = { .bytes = buf_dup(view_text(text)) };

    past_see(past, &entry);
    buf_free(&entry.bytes);
}

TEST(groups_are_those_of_the_newest_entry_that_tells)
{
    _cleanup_(past_freep) struct past *past = past_new();

    see(past, "what=identity.enrolled\nid=456000\ngroups=a,b\n");
    see(past, "what=identity.waits\ncode=1\ngroups=z\n");
    see(past, "what=session.granted\nid=456000\ngroups=z\n");
    CHECK_STR(past_groups(past, "456000"), "a,b");
    see(past, "what=identity.groups\nid=456000\ngroups=\nby=root\n");
    CHECK_STR(past_groups(past, "456000"), "");
    see(past, "what=identity.groups\nid=456000\ngroups=x\\5cy\\0a\nby=root\n");
    CHECK(past_groups(past, "123456") == NULL);
}

TEST(values_of_entries_come_back_as_they_were)
{
    struct view entry = VIEW_LIT("what=a\ncan=x\\x5cy\\x0az\ncancel=no\nempty=\n");
    _buf_ can = { 0 }, cancel = { 0 }, empty = { 0 }, none = { 0 };

    CHECK(audit_find(entry, "can", &can));
    CHECK_VIEW(buf_view(&can), VIEW_LIT("x\\y\nz"));
    CHECK(audit_find(entry, "cancel", &cancel) && view_eq_text(buf_view(&cancel), "no"));
    CHECK(audit_find(entry, "empty", &empty) && empty.len == 0);
    CHECK(!audit_find(entry, "canc", &none));
}

/* ---- differences ------------------------------------------------------------------------------------ */

static struct policy *parse(const char *text)
{
    struct policy *policy = NULL;

    if (!policy_parse("p", view_text(text), &policy, NULL, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    return policy;
}

TEST(rules_are_compared_by_what_they_mean)
{
    _cleanup_(policy_freep) struct policy *a =
        parse("machines: {777777: {tags: [kiosk]}}\n"
              "rules:\n"
              " - {from: [456000, 123456], to: any, can: [chat, file]} # the same\n"
              " - {from: 111111, to: 222222, can: [chat]}\n"
              " - {from: 111111, to: 333333, can: [chat]}\n"
              " - {from: 111111, to: 444444, can: [chat]}\n");
    _cleanup_(policy_freep) struct policy *b =
        parse("machines: {777777: {tags: [kiosk], unattended: yes}}\n"
              "rules:\n"
              " - {from: 111111, to: 333333, can: [chat]}\n"
              " - {consent: ask, can: [file, chat], from: [123 456, 456000], to: [any]}\n"
              " - {from: 111111, to: 222222, can: [chat], consent: none}\n"
              " - {from: 555555, to: tag:kiosk, can: [tunnel:*]}\n");
    _cleanup_(policy_diff_freep) struct policy_diff *diff = policy_diff_new(a, b, 0);
    static const struct {
        enum policy_change change;
        unsigned old_line, new_line;
    } wanted[] = {
        { POLICY_CHANGED, 4, 5 },
        { POLICY_MOVED, 5, 3 },
        { POLICY_REMOVED, 6, 0 },
        { POLICY_ADDED, 0, 6 },
    };
    const struct policy_rule_diff *rules;
    const struct policy_effect *effects;
    size_t n = policy_diff_rules(diff, &rules), n_effects;
    uint64_t n_all;

    CHECK_U64(n, N_ELEMENTS(wanted));
    for (size_t i = 0; i < n && i < N_ELEMENTS(wanted); i++) {
        CHECK(rules[i].change == wanted[i].change);
        CHECK_U64(rules[i].old_line, wanted[i].old_line);
        CHECK_U64(rules[i].new_line, wanted[i].new_line);
    }
    CHECK_VIEW(rules[0].new_text,
               VIEW_LIT("{from: [111111], to: [222222], can: [chat], consent: none}"));
    CHECK_VIEW(policy_diff_machines(diff), VIEW_LIT("- 777777: [tag:kiosk]\n"
                                                    "+ 777777: [tag:kiosk], unattended\n"));
    CHECK(policy_diff_effects(diff, &effects, &n_effects, &n_all));
    /* consent to 222222; 444444 is out; 555555 to the tag and to 777777; nobody is asked at 777777: chat and file
     * from 456000 and 123456 */
    CHECK_U64(n_all, 1 + 1 + 2 + 4);
    CHECK_U64(n_effects, n_all);
}

TEST(equal_policies_have_no_difference)
{
    static const char text[] = "groups: {staff: [456000]}\n"
                               "rules:\n"
                               " - {from: group:staff, to: any, can: any, longest: 1h, when: "
                               "{days: mon-fri, hours: 08:00-18:00, zone: UTC}}\n"
                               " - {from: group:staff, to: any, can: [chat]}\n"
                               " - {from: group:staff, to: any, can: [chat]}\n";
    _cleanup_(policy_freep) struct policy *a = parse(text), *b = parse(text);
    _cleanup_(policy_diff_freep) struct policy_diff *diff = policy_diff_new(a, b, 1800000000000);
    const struct policy_rule_diff *rules;
    const struct policy_effect *effects;
    size_t n;
    uint64_t n_all;

    CHECK_U64(policy_diff_rules(diff, &rules), 0);
    CHECK(policy_diff_effects(diff, &effects, &n, &n_all));
    CHECK_U64(n_all, 0);
    CHECK_U64(policy_diff_machines(diff).len, 0);
}
