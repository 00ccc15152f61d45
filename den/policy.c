/* SPDX-License-Identifier: Apache-2.0 */
#include "den/policy.h"
#include "base/file.h"
#include "base/text.h"

#include <stdio.h>
#include <sys/stat.h>

enum { MAX_FILE = 16 * 1024 * 1024, MAX_GROUP = 32 };

struct caps { /* texts borrowed from the policy's own copy of the file */
    struct view *item;
    size_t n;
    bool is_any;
};

struct rule {
    bool allows, must_ask;
    unsigned line;
    struct view from, to; /* empty: any; "@group" */
    struct caps can, back;
};

struct policy {
    char *name;
    struct buf text;
    struct rule *rules;
    size_t n, room;
};

/* ---- reading ------------------------------------------------------------------------------------ */

struct reading { /* of one line */
    struct policy *policy;
    unsigned line;
    struct view rest;
    struct err *err;
};

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct view take_word(struct reading *r)
{
    size_t start = 0, end;

    while (start < r->rest.len && is_space(r->rest.data[start]))
        start++;
    for (end = start; end < r->rest.len && !is_space(r->rest.data[end]);)
        end++;
    if (start < r->rest.len && r->rest.data[start] == '#') /* the rest is a comment */
        start = end = r->rest.len;
    struct view word = view_sub(r->rest, start, end - start);
    r->rest = view_sub(r->rest, end, r->rest.len);
    return word;
}

static bool expected(struct reading *r, const char *what, struct view found)
{
    if (!found.len)
        return err_set(r->err, ERR_BAD_CONFIG, "%s:%u: expected %s, found the end of the line",
                       r->policy->name, r->line, what);
    return err_set(r->err, ERR_BAD_CONFIG, "%s:%u: expected %s, found \"%.*s\"", r->policy->name,
                   r->line, what, VIEW_FMT(view_sub(found, 0, 64)));
}

static bool read_id(struct reading *r, const char *keyword, struct view *ret_id)
{
    _free_ char *quoted = mem_format("\"%s\"", keyword);
    struct view word = take_word(r);

    if (!view_eq_text(word, keyword))
        return expected(r, quoted, word);
    word = take_word(r);
    if (view_eq_text(word, "*"))
        word = (struct view){ 0 };
    else if (!text_is_id(word) && !(word.len && word.data[0] == '@' &&
                                    policy_group_is_valid(view_sub(word, 1, word.len))))
        return expected(r, "an ID of 6 to 9 digits without spaces, @GROUP, or *", word);
    *ret_id = word;
    return true;
}

bool policy_group_is_valid(struct view group)
{
    if (group.len == 0 || group.len > MAX_GROUP || group.data[0] < 'a' || group.data[0] > 'z')
        return false;
    for (size_t i = 0; i < group.len; i++) {
        uint8_t c = group.data[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
            return false;
    }
    return true;
}

static struct view take_group(struct view *groups)
{
    const uint8_t *comma = groups->len ? memchr(groups->data, ',', groups->len) : NULL;
    struct view group = view_sub(*groups, 0, comma ? (size_t)(comma - groups->data) : groups->len);

    *groups = view_sub(*groups, group.len + 1, groups->len);
    return group;
}

static bool is_in(struct view group, struct view groups)
{
    while (groups.len) {
        if (view_eq(take_group(&groups), group))
            return true;
    }
    return false;
}

bool policy_groups_are_valid(struct view groups)
{
    if (groups.len && groups.data[groups.len - 1] == ',')
        return false;
    while (groups.len) {
        struct view group = take_group(&groups);
        if (!policy_group_is_valid(group) || is_in(group, groups))
            return false;
    }
    return true;
}

bool policy_cap_is_valid(struct view cap)
{
    size_t i = 0;

    if (cap.len == 0 || cap.len > POLICY_MAX_CAP || cap.data[0] < 'a' || cap.data[0] > 'z')
        return false;
    while (i < cap.len && cap.data[i] &&
           strchr("abcdefghijklmnopqrstuvwxyz0123456789_-", cap.data[i]))
        i++;
    if (i == cap.len)
        return true;
    if (cap.data[i] != ':' || i + 1 == cap.len)
        return false;
    for (i++; i < cap.len; i++) {
        if (cap.data[i] <= 0x20 || cap.data[i] > 0x7e || cap.data[i] == ',')
            return false;
    }
    return true;
}

static bool read_caps(struct reading *r, struct view word, struct caps *caps)
{
    struct view item[POLICY_MAX_CAPS];

    for (bool has_more = true; has_more;) {
        const uint8_t *comma = word.len ? memchr(word.data, ',', word.len) : NULL;
        struct view cap = view_sub(word, 0, comma ? (size_t)(comma - word.data) : word.len);
        has_more = comma;
        word = view_sub(word, cap.len + 1, word.len);
        if (!policy_cap_is_valid(cap))
            return expected(r, "capabilities such as chat,tunnel:3389", cap);
        if (caps->n == POLICY_MAX_CAPS)
            return expected(r, "at most 16 capabilities", cap);
        item[caps->n++] = cap;
    }
    caps->item = mem_dup(item, caps->n * sizeof(*item));
    return true;
}

static bool read_can(struct reading *r, struct rule *rule)
{
    struct view word = take_word(r);

    if (!view_eq_text(word, "can"))
        return expected(r, "\"can\"", word);
    word = take_word(r);
    rule->can.is_any = view_eq_text(word, "*");
    return rule->can.is_any || read_caps(r, word, &rule->can);
}

static bool read_consent(struct reading *r, struct rule *rule)
{
    struct view word = take_word(r);

    rule->must_ask = view_eq_text(word, "ask");
    return rule->must_ask || view_eq_text(word, "none") || expected(r, "\"none\" or \"ask\"", word);
}

/* [back CAPS] [consent none|ask], of an allow rule. */
static bool read_options(struct reading *r, struct rule *rule)
{
    struct view word = take_word(r);
    bool has_back = view_eq_text(word, "back"), has_consent;

    rule->must_ask = true;
    if (has_back && !read_caps(r, take_word(r), &rule->back))
        return false;
    if (has_back)
        word = take_word(r);
    has_consent = view_eq_text(word, "consent");
    if (has_consent && !read_consent(r, rule))
        return false;
    if (has_consent)
        word = take_word(r);
    if (!word.len)
        return true;
    return expected(r,
                    has_consent ? "the end of the line"
                    : has_back  ? "\"consent\""
                                : "\"back\" or \"consent\"",
                    word);
}

static bool read_rule(struct reading *r, struct view word, struct rule *rule)
{
    rule->allows = view_eq_text(word, "allow");
    rule->line = r->line;
    if (!rule->allows && !view_eq_text(word, "deny"))
        return expected(r, "\"allow\" or \"deny\"", word);
    if (!read_id(r, "from", &rule->from) || !read_id(r, "to", &rule->to) || !read_can(r, rule))
        return false;
    if (rule->allows)
        return read_options(r, rule);
    word = take_word(r);
    return !word.len || expected(r, "the end of the line", word);
}

/* The rule's slot is the policy's at once, so that a half-read one is freed with it. */
static bool read_line(struct reading *r)
{
    struct policy *policy = r->policy;
    struct view word = take_word(r);

    if (!word.len)
        return true;
    if (policy->n == POLICY_MAX_RULES)
        return err_set(r->err, ERR_BAD_CONFIG, "%s:%u: expected at most %d rules", policy->name,
                       r->line, POLICY_MAX_RULES);
    if (policy->n == policy->room) {
        policy->room = policy->room ? 2 * policy->room : 16;
        policy->rules = mem_resize(policy->rules, policy->room, sizeof(*policy->rules));
    }
    policy->rules[policy->n] = (struct rule){ 0 };
    return read_rule(r, word, &policy->rules[policy->n++]);
}

bool policy_parse(const char *name, struct view text, struct policy **ret_policy, struct err *err)
{
    _cleanup_(policy_freep) struct policy *policy = mem_new(struct policy);
    struct reading r = { policy, 0, { 0 }, err };
    struct view rest;

    policy->name = mem_text(name);
    policy->text = buf_dup(text);
    for (rest = buf_view(&policy->text); rest.len;) {
        const uint8_t *end = memchr(rest.data, '\n', rest.len);
        r.rest = view_sub(rest, 0, end ? (size_t)(end - rest.data) : rest.len);
        rest = view_sub(rest, r.rest.len + 1, rest.len);
        r.line++;
        if (!read_line(&r))
            return false;
    }
    *ret_policy = STEAL(policy);
    return true;
}

/* What decides who may reach whom may be changed by its owner alone. */
static bool check_mode(const char *path, struct err *err)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return true; /* reading it will say what is wrong */
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return err_set(err, ERR_EXPOSED, "%s: mode %04o lets others write it; chmod go-w it", path,
                       (unsigned)(st.st_mode & 07777));
    return file_check_owner(path, &st, err);
}

bool policy_read(const char *path, struct policy **ret_policy, struct buf *ret_text,
                 struct err *err)
{
    _cleanup_(policy_freep) struct policy *policy = NULL;
    const char *slash = strrchr(path, '/');
    _buf_ text = { 0 };

    if (!check_mode(path, err) || !file_read(path, MAX_FILE, &text, err))
        return err_wrap(err, "policy");
    if (!policy_parse(slash ? slash + 1 : path, buf_view(&text), &policy, err))
        return false;
    if (text.len == 0) /* cut short, more likely than meant: comments alone do forbid everything */
        return err_set(err, ERR_BAD_CONFIG, "%s: expected rules or comments, found an empty file",
                       path);
    *ret_policy = STEAL(policy);
    *ret_text = text;
    text = (struct buf){ 0 };
    return true;
}

void policy_free(struct policy *policy)
{
    if (!policy)
        return;
    for (size_t i = 0; i < policy->n; i++) {
        free(policy->rules[i].can.item);
        free(policy->rules[i].back.item);
    }
    free(policy->rules);
    free(policy->name);
    buf_free(&policy->text);
    free(policy);
}

size_t policy_count(const struct policy *policy)
{
    return policy->n;
}

/* ---- deciding ----------------------------------------------------------------------------------- */

static bool matches(struct view wanted, const struct policy_party *party)
{
    if (wanted.len && wanted.data[0] == '@')
        return is_in(view_sub(wanted, 1, wanted.len), party->groups);
    return !wanted.len || view_eq(wanted, party->id);
}

static bool holds(const struct caps *caps, struct view cap)
{
    for (size_t i = 0; i < caps->n; i++) {
        if (view_eq(caps->item[i], cap))
            return true;
    }
    return caps->is_any;
}

/* All that are asked for (allow), or any of them (deny). */
static bool caps_match(const struct rule *rule, const struct view *caps, size_t n_caps)
{
    for (size_t i = 0; i < n_caps; i++) {
        if (holds(&rule->can, caps[i]) != rule->allows)
            return !rule->allows;
    }
    return rule->allows || rule->can.is_any;
}

void policy_decide(const struct policy *policy, struct policy_party from, struct policy_party to,
                   const struct view *caps, size_t n_caps, struct policy_decision *ret_decision)
{
    struct policy_decision decision = { .verdict = POLICY_DENIED, .must_ask = true };

    snprintf(decision.rule, sizeof(decision.rule), "default");
    for (size_t i = 0; i < policy->n; i++) {
        const struct rule *rule = &policy->rules[i];
        if (!matches(rule->from, &from) || !matches(rule->to, &to) ||
            !caps_match(rule, caps, n_caps))
            continue;
        decision.verdict = rule->allows ? POLICY_ALLOWED : POLICY_DENIED;
        decision.must_ask = rule->must_ask;
        decision.line = rule->line;
        snprintf(decision.rule, sizeof(decision.rule), "%.140s:%u", policy->name, rule->line);
        decision.caps_back = rule->back.item;
        decision.n_caps_back = rule->back.n;
        break;
    }
    *ret_decision = decision;
}

bool policy_may_meet(const struct policy *policy, struct policy_party from, struct policy_party to)
{
    for (size_t i = 0; i < policy->n; i++) {
        const struct rule *rule = &policy->rules[i];
        bool is_about = matches(rule->from, &from) && matches(rule->to, &to);
        if (is_about && (rule->allows || rule->can.is_any))
            return rule->allows;
    }
    return false;
}
