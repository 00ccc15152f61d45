/* SPDX-License-Identifier: Apache-2.0 */
#include "den/policy.h"
#include "base/file.h"
#include "base/key.h"
#include "tests/check.h"

#include <stdio.h>

static struct err err;

static struct policy *parse(const char *text)
{
    struct policy *policy = NULL;

    if (!policy_parse("policy.conf", view_text(text), &policy, &err))
        check_failed(__FILE__, __LINE__, "%s: %s", text, err.text);
    return policy;
}

/* `caps` joined by ','. */
static struct policy_decision decide(const struct policy *policy, const char *from, const char *to,
                                     const char *caps)
{
    struct policy_decision decision;
    struct view list[POLICY_MAX_CAPS], rest = view_text(caps);
    size_t n = 0;

    while (rest.len) {
        const uint8_t *comma = memchr(rest.data, ',', rest.len);
        list[n] = view_sub(rest, 0, comma ? (size_t)(comma - rest.data) : rest.len);
        rest = view_sub(rest, list[n++].len + 1, rest.len);
    }
    policy_decide(policy, policy_party(from, ""), policy_party(to, ""), list, n, &decision);
    return decision;
}

TEST(the_first_rule_that_matches_decides)
{
    _cleanup_(policy_freep) struct policy *policy =
        parse("# who may reach whom\n"
              "\n"
              "deny  from 456000 to 123456 can files\n"
              "allow from 456000 to 123456 can chat,files,tunnel:3389 back chat,call:pad consent "
              "none   # by day\n"
              "allow from *      to 123456 can chat\r\n"
              "deny  from *      to 777777 can *\n"
              "allow from 111111 to *      can * consent ask\n");
    static const struct {
        const char *from, *to, *caps, *rule;
        enum policy_verdict verdict;
        bool must_ask;
    } cases[] = {
        { "456000", "123456", "chat", "policy.conf:4", POLICY_ALLOWED, false },
        { "456000", "123456", "chat,tunnel:3389", "policy.conf:4", POLICY_ALLOWED, false },
        { "456000", "123456", "chat,files", "policy.conf:3", POLICY_DENIED, false },
        { "456000", "123456", "tunnel:22", "default", POLICY_DENIED, true },
        { "456000", "123456", "chat,tunnel:22", "default", POLICY_DENIED, true },
        { "222222", "123456", "chat", "policy.conf:5", POLICY_ALLOWED, true },
        { "222222", "123456", "files", "default", POLICY_DENIED, true },
        { "123456", "456000", "chat", "default", POLICY_DENIED, true },
        { "111111", "777777", "anything", "policy.conf:6", POLICY_DENIED, false },
        { "111111", "777777", "", "policy.conf:6", POLICY_DENIED, false },
        { "111111", "888888", "a,b,c", "policy.conf:7", POLICY_ALLOWED, true },
    };

    CHECK_U64(policy_count(policy), 5);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct policy_decision d = decide(policy, cases[i].from, cases[i].to, cases[i].caps);
        CHECK_STR(d.rule, cases[i].rule);
        CHECK(d.verdict == cases[i].verdict);
        CHECK(d.verdict == POLICY_DENIED || d.must_ask == cases[i].must_ask);
    }
}

TEST(capabilities_back_and_consent_come_from_the_rule)
{
    _cleanup_(policy_freep) struct policy *policy =
        parse("allow from 456000 to 123456 can chat back chat,call:pad\n"
              "allow from 456000 to 123457 can chat back files consent none\n"
              "allow from 456000 to 123458 can chat\n");
    struct policy_decision d = decide(policy, "456000", "123456", "chat");

    CHECK(d.must_ask);
    CHECK_U64(d.line, 1);
    CHECK_U64(d.n_caps_back, 2);
    CHECK_VIEW(d.caps_back[0], VIEW_LIT("chat"));
    CHECK_VIEW(d.caps_back[1], VIEW_LIT("call:pad"));
    d = decide(policy, "456000", "123457", "chat");
    CHECK(!d.must_ask);
    CHECK_U64(d.n_caps_back, 1);
    d = decide(policy, "456000", "123458", "chat");
    CHECK(d.must_ask);
    CHECK_U64(d.n_caps_back, 0);
}

TEST(errors_name_the_line_and_what_was_expected)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        { "permit from * to * can *\n",
          "policy.conf:1: expected \"allow\" or \"deny\", found \"permit\"" },
        { "#\n\nallow\n", "policy.conf:3: expected \"from\", found the end of the line" },
        { "allow to * from * can *", "policy.conf:1: expected \"from\", found \"to\"" },
        { "allow from 456 to * can *", "policy.conf:1: expected an ID of 6 to 9 digits without "
                                       "spaces, @GROUP, or *, found \"456\"" },
        { "allow from 456 000 to * can *", "policy.conf:1: expected an ID of 6 to 9 digits without "
                                           "spaces, @GROUP, or *, found \"456\"" },
        { "allow from alice to * can *", "policy.conf:1: expected an ID of 6 to 9 digits without "
                                         "spaces, @GROUP, or *, found \"alice\"" },
        { "allow from 456000 can *", "policy.conf:1: expected \"to\", found \"can\"" },
        { "allow from 456000 to *", "policy.conf:1: expected \"can\", found the end of the line" },
        { "allow from 456000 to * can", "policy.conf:1: expected capabilities such as "
                                        "chat,tunnel:3389, found the end of the line" },
        { "allow from 456000 to * can # chat", "policy.conf:1: expected capabilities such as "
                                               "chat,tunnel:3389, found the end of the line" },
        { "allow from 456000 to * can Chat",
          "policy.conf:1: expected capabilities such as chat,tunnel:3389, found \"Chat\"" },
        { "allow from 456000 to * can chat,", "policy.conf:1: expected capabilities such as "
                                              "chat,tunnel:3389, found the end of the line" },
        { "allow from 456000 to * can chat,*",
          "policy.conf:1: expected capabilities such as chat,tunnel:3389, found \"*\"" },
        { "allow from 456000 to * can chat, files", "policy.conf:1: expected capabilities such as "
                                                    "chat,tunnel:3389, found the end of the line" },
        { "allow from * to * can a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q",
          "policy.conf:1: expected at most 16 capabilities, found \"q\"" },
        { "allow from * to * can chat files",
          "policy.conf:1: expected \"back\" or \"consent\", found \"files\"" },
        { "allow from * to * can chat back chat ask",
          "policy.conf:1: expected \"consent\", found \"ask\"" },
        { "allow from * to * can chat back *",
          "policy.conf:1: expected capabilities such as chat,tunnel:3389, found \"*\"" },
        { "allow from * to * can chat consent maybe",
          "policy.conf:1: expected \"none\" or \"ask\", found \"maybe\"" },
        { "allow from * to * can chat consent ask back chat",
          "policy.conf:1: expected the end of the line, found \"back\"" },
        { "deny from * to * can chat consent ask",
          "policy.conf:1: expected the end of the line, found \"consent\"" },
        { "allow from * to * can \x1b[2J",
          "policy.conf:1: expected capabilities such as chat,tunnel:3389, found \"\\x1b[2J\"" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct policy *policy = NULL;
        CHECK_ERR(policy_parse("policy.conf", view_text(cases[i].text), &policy, &err), err,
                  ERR_BAD_CONFIG);
        CHECK_STR(err.text, cases[i].why);
    }
}

TEST(an_empty_file_and_one_that_others_write_are_refused)
{
    _free_ char *path = mem_format("%s/policy.conf", check_dir());
    _free_ char *wanted = mem_format("%s: expected rules or comments, found an empty file", path);
    _cleanup_(policy_freep) struct policy *policy = NULL, *commented = NULL;
    _buf_ text = { 0 };
    _buf_ comments = { 0 };

    CHECK_ERR(policy_read(path, &policy, &text, &err), err, ERR_NOT_FOUND);
    CHECK_OK(file_write(path, VIEW_LIT(""), 0644, &err), err);
    CHECK_ERR(policy_read(path, &policy, &text, &err), err, ERR_BAD_CONFIG);
    CHECK_STR(err.text, wanted);
    static const mode_t exposed[] = { 0666, 0664, 0620, 0602 };
    for (size_t i = 0; i < N_ELEMENTS(exposed); i++) {
        _free_ char *why = mem_format("policy: %s: mode %04o lets others write it; chmod go-w it",
                                      path, (unsigned)exposed[i]);
        CHECK_OK(file_write(path, VIEW_LIT("deny from * to * can *\n"), exposed[i], &err), err);
        CHECK_ERR(policy_read(path, &policy, &text, &err), err, ERR_EXPOSED);
        CHECK_STR(err.text, why);
    }
    CHECK_OK(file_write(path, VIEW_LIT("deny from * to * can *\n"), 0644, &err), err);
    CHECK_OK(policy_read(path, &policy, &text, &err), err);
    CHECK_VIEW(buf_view(&text), VIEW_LIT("deny from * to * can *\n"));
    CHECK_STR(decide(policy, "456000", "123456", "chat").rule, "policy.conf:1");
    CHECK_OK(file_write(path, VIEW_LIT("# nobody\n"), 0644, &err), err);
    CHECK_OK(policy_read(path, &commented, &comments, &err), err);
    CHECK(decide(commented, "456000", "123456", "chat").verdict == POLICY_DENIED);
}

TEST(names_of_capabilities)
{
    static const char *const good[] = { "chat",       "a",   "tunnel:3389", "call:a.b",
                                        "x_-9:/path", "a::", "file:a=b" };
    static const char *const bad[] = {
        "",      "Chat", "9a",    "-", ":x",  "chat:",  "a b",
        "a:b c", "a,b",  "a:b,c", "*", "a\n", "a:\x7f", "ch\xc3\xa4t"
    };
    char longest[POLICY_MAX_CAP + 2];

    for (size_t i = 0; i < N_ELEMENTS(good); i++)
        CHECK(policy_cap_is_valid(view_text(good[i])) ||
              (check_failed(__FILE__, __LINE__, "%s", good[i]), false));
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        CHECK(!policy_cap_is_valid(view_text(bad[i])) ||
              (check_failed(__FILE__, __LINE__, "%s", bad[i]), false));
    CHECK(!policy_cap_is_valid(VIEW_LIT("a\0b")));
    memset(longest, 'a', sizeof(longest));
    CHECK(policy_cap_is_valid(VIEW(longest, POLICY_MAX_CAP)));
    CHECK(!policy_cap_is_valid(VIEW(longest, POLICY_MAX_CAP + 1)));
}

/* ---- against a model: bit sets instead of text, and no early way out --------------------------------- */

static const char *const ids[] = { "100000", "200000", "300000", "*" };
static const char *const caps[] = { "chat", "files", "tunnel:22", "call:x" };
enum { ANY = 1u << N_ELEMENTS(caps) };

struct model_rule {
    bool allows, asks;
    unsigned from, to, can, line;
};

static void put_caps(struct buf *to, unsigned set)
{
    const char *before = "";

    if (set == ANY)
        buf_put_text(to, "*");
    for (unsigned i = 0; set != ANY && i < N_ELEMENTS(caps); i++) {
        if (set & 1u << i)
            buf_printf(to, "%s%s", before, caps[i]);
        before = set & 1u << i ? "," : before;
    }
}

static struct model_rule random_rule(struct buf *text, unsigned line)
{
    struct model_rule rule = { random_below(2) == 1, random_below(2) == 1,  random_below(4),
                               random_below(4),      1 + random_below(ANY), line };

    buf_printf(text, "%s from %s to %s can ", rule.allows ? "allow" : "deny", ids[rule.from],
               ids[rule.to]);
    put_caps(text, rule.can);
    if (rule.allows)
        buf_put_text(text, rule.asks ? "" : " consent none");
    buf_put_text(text, "\n");
    return rule;
}

static unsigned model_decide(const struct model_rule *rules, unsigned n, unsigned from, unsigned to,
                             unsigned asked)
{
    unsigned decided = n;

    for (unsigned i = n;
         i-- > 0;) { /* backwards: the last one written down is the first of the file */
        unsigned can = rules[i].can == ANY ? ANY - 1 : rules[i].can;
        bool fits = rules[i].allows ? (asked & ~can) == 0 : (asked & can) != 0;
        bool here = (rules[i].from == 3 || rules[i].from == from) &&
                    (rules[i].to == 3 || rules[i].to == to);
        decided = fits && here ? i : decided;
    }
    return decided;
}

TEST(random_policies_decide_as_the_model_does)
{
    for (unsigned round = 0; round < 400; round++) {
        _cleanup_(policy_freep) struct policy *policy = NULL;
        struct model_rule rules[12];
        unsigned n = 1 + random_below(N_ELEMENTS(rules)), line = 0;
        _buf_ text = { 0 };

        for (unsigned i = 0; i < n; i++) {
            for (; random_below(4) == 0; line++)
                buf_put_text(&text, "  # a comment\n");
            rules[i] = random_rule(&text, ++line);
        }
        CHECK_OK(policy_parse("p", buf_view(&text), &policy, &err), err);
        for (unsigned ask = 0; ask < 3 * 3 * (ANY - 1); ask++) {
            unsigned from = ask % 3, to = ask / 3 % 3, asked = 1 + ask / 9;
            unsigned wanted = model_decide(rules, n, from, to, asked);
            bool allowed = wanted < n && rules[wanted].allows;
            _buf_ joined = { 0 };
            put_caps(&joined, asked);
            struct policy_decision d = decide(policy, ids[from], ids[to], buf_cstr(&joined));
            if ((d.verdict == POLICY_ALLOWED) != allowed ||
                d.line != (wanted < n ? rules[wanted].line : 0) ||
                (allowed && d.must_ask != rules[wanted].asks)) {
                check_failed(__FILE__, __LINE__, "%s to %s for %s: rule %s, model says %u, of\n%s",
                             ids[from], ids[to], buf_cstr(&joined), d.rule, wanted,
                             buf_cstr(&text));
                return;
            }
        }
    }
}
