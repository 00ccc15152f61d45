/* SPDX-License-Identifier: Apache-2.0 */
#include "den/policy.h"
#include "base/file.h"
#include "base/key.h"
#include "den/audit.h"
#include "den/when.h"
#include "tests/check.h"

#include <stdio.h>

static struct err err;

static struct policy *parse(const char *text)
{
    struct policy *policy = NULL;

    if (!policy_parse("policy.yaml", view_text(text), &policy, NULL, &err))
        check_failed(__FILE__, __LINE__, "%s: %s", text, err.text);
    return policy;
}

static uint64_t instant(const char *text)
{
    uint64_t at = 0;

    if (!when_read_instant(view_text(text), &at))
        check_failed(__FILE__, __LINE__, "%s: no instant", text);
    return at;
}

TEST(an_instant_has_fractions_and_an_offset)
{
    static const struct {
        const char *text;
        uint64_t at; /* 0: it is none */
    } cases[] = {
        { "2027-01-15T08:00:00Z", 1800000000000 },
        { "2027-01-15T08:00:00.25Z", 1800000000250 },
        { "2027-01-15T08:00:00.001Z", 1800000000001 },
        { "2027-01-15T08:00:00.9999999Z", 1800000000999 },
        { "2027-01-15T09:00:00.5+01:00", 1800000000500 },
        { "2027-01-15T08:00Z", 1800000000000 },
        { "2027-01-15T08:00:00.Z", 0 },
        { "2027-01-15T08:00.5Z", 0 },
        { "2027-01-15T08:00:00.5", 0 },
        { "2027-01-15T08:00:60.5Z", 0 },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        uint64_t at = 0, same = 0;
        CHECK(when_read_instant(view_text(cases[i].text), &at) == (cases[i].at != 0));
        CHECK_U64(at, cases[i].at);
        CHECK(audit_read_time(cases[i].text, 1900000000000, &same) == (cases[i].at != 0));
        CHECK_U64(same, at);
    }
    uint64_t at = 0;
    CHECK(audit_read_time("1800000000123", 0, &at)); /* as at_ms */
    CHECK_U64(at, 1800000000123);
    CHECK(audit_read_time("36h", 1800000000000, &at));
    CHECK_U64(at, 1800000000000 - 36 * 3600 * 1000ull);
    CHECK(!audit_read_time("1234", 1800000000000, &at));
}

/* `caps` joined by ','. */
static struct policy_decision decide_at(const struct policy *policy, struct policy_party from,
                                        struct policy_party to, const char *caps, uint64_t at)
{
    struct policy_decision decision, scanned;
    struct view list[POLICY_MAX_CAPS], rest = view_text(caps);
    struct policy_dial dial = { from, to, list, 0, at };

    while (rest.len) {
        const uint8_t *comma = memchr(rest.data, ',', rest.len);
        list[dial.n_caps] = view_sub(rest, 0, comma ? (size_t)(comma - rest.data) : rest.len);
        rest = view_sub(rest, list[dial.n_caps++].len + 1, rest.len);
    }
    policy_decide(policy, &dial, &decision);
    policy_decide_by_scan(policy, &dial, &scanned);
    if (strcmp(decision.rule, scanned.rule) != 0 || decision.live_until != scanned.live_until ||
        decision.verdict != scanned.verdict || decision.must_ask != scanned.must_ask)
        check_failed(__FILE__, __LINE__, "by the index %s, by a scan %s", decision.rule,
                     scanned.rule);
    return decision;
}

static struct policy_decision decide(const struct policy *policy, const char *from, const char *to,
                                     const char *caps)
{
    return decide_at(policy, policy_party(from, ""), policy_party(to, ""), caps, 0);
}

TEST(the_first_rule_that_matches_decides)
{
    _cleanup_(policy_freep) struct policy *policy =
        parse("# who may reach whom\n"
              "rules:\n"
              "  - {from: 456 000, to: 123456, can: file, consent: deny}\n"
              "  - from: [456000]   # by day\n"
              "    to: 123 456\n"
              "    can: [chat, file, tunnel:3389]\n"
              "    back: [chat, call:pad]\n"
              "    consent: none\n"
              "  - {from: any, to: 123456, can: [chat]}\n"
              "  - {from: any, to: 777777, can: any, consent: deny}\n"
              "  - {from: 111111, to: any, can: any, consent: ask}\n");
    static const struct {
        const char *from, *to, *caps, *rule;
        enum policy_verdict verdict;
        bool must_ask;
    } cases[] = {
        { "456000", "123456", "chat", "policy.yaml:4", POLICY_ALLOWED, false },
        { "456000", "123456", "chat,tunnel:3389", "policy.yaml:4", POLICY_ALLOWED, false },
        { "456000", "123456", "chat,file", "policy.yaml:3", POLICY_DENIED, false },
        { "456000", "123456", "tunnel:22", "default", POLICY_DENIED, true },
        { "456000", "123456", "chat,tunnel:22", "default", POLICY_DENIED, true },
        { "222222", "123456", "chat", "policy.yaml:9", POLICY_ALLOWED, true },
        { "222222", "123456", "file", "default", POLICY_DENIED, true },
        { "123456", "456000", "chat", "default", POLICY_DENIED, true },
        { "111111", "777777", "anything", "policy.yaml:10", POLICY_DENIED, false },
        { "111111", "777777", "", "policy.yaml:10", POLICY_DENIED, false },
        { "111111", "888888", "a,b,c", "policy.yaml:11", POLICY_ALLOWED, true },
    };

    CHECK_U64(policy_count(policy), 5);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct policy_decision d = decide(policy, cases[i].from, cases[i].to, cases[i].caps);
        CHECK_STR(d.rule, cases[i].rule);
        CHECK(d.verdict == cases[i].verdict);
        CHECK(d.verdict == POLICY_DENIED || d.must_ask == cases[i].must_ask);
    }
}

TEST(any_in_a_list_of_capabilities_is_any)
{
    _cleanup_(policy_freep) struct policy *policy =
        parse("rules:\n"
              "  - {from: 456000, to: any, can: [any], consent: deny}\n"
              "  - {from: any, to: 123456, can: [chat, any], longest: 3650d}\n");

    CHECK_U64(decide(policy, "456000", "123456", "chat").verdict, POLICY_DENIED);
    CHECK_U64(decide(policy, "456000", "123456", "tunnel:22").line, 2);
    CHECK_U64(decide(policy, "999999", "123456", "tunnel:22").verdict, POLICY_ALLOWED);
}

TEST(capabilities_back_consent_and_duration_come_from_the_rule)
{
    _cleanup_(policy_freep) struct policy *policy =
        parse("machines:\n"
              "  123459: {unattended: yes}\n"
              "rules:\n"
              "  - {from: 456000, to: 123456, can: [chat], back: [chat, 'call:pad'], longest: 8h}\n"
              "  - {from: 456000, to: 123457, can: [chat], back: file, consent: none}\n"
              "  - {from: 456000, to: any, can: [chat]}\n");
    struct policy_decision d = decide(policy, "456000", "123456", "chat");

    CHECK(d.must_ask && !d.is_unattended);
    CHECK_U64(d.line, 4);
    CHECK_U64(d.n_caps_back, 2);
    CHECK_VIEW(d.caps_back[0], VIEW_LIT("chat"));
    CHECK_VIEW(d.caps_back[1], VIEW_LIT("call:pad"));
    CHECK_U64(d.longest, 8 * 3600000);
    CHECK_U64(d.live_until, 8 * 3600000);
    d = decide(policy, "456000", "123457", "chat");
    CHECK(!d.must_ask && !d.is_unattended);
    CHECK_U64(d.n_caps_back, 1);
    CHECK_U64(d.live_until, 0);
    d = decide(policy, "456000", "123458", "chat");
    CHECK(d.must_ask);
    CHECK_U64(d.n_caps_back, 0);
    d = decide(policy, "456000", "123459", "chat"); /* nobody is there to be asked */
    CHECK(!d.must_ask && d.is_unattended);
}

TEST(groups_tags_and_patterns)
{
    _cleanup_(policy_freep) struct policy *policy =
        parse("groups: {staff: [456000, 456001], night: 456001}\n"
              "machines:\n"
              "  123456: {tags: [kiosk, lab]}\n"
              "rules:\n"
              "  - {from: group:night, to: tag:kiosk, can: [view], consent: deny}\n"
              "  - {from: [group:staff, group:guests], to: [tag:kiosk], can: [view, tunnel:*]}\n");

    CHECK_STR(decide(policy, "456000", "123456", "view").rule, "policy.yaml:6");
    CHECK_STR(decide(policy, "456001", "123456", "view").rule, "policy.yaml:5");
    CHECK_STR(decide(policy, "456001", "123456", "tunnel:22").rule, "policy.yaml:6");
    CHECK_STR(decide(policy, "456000", "123456", "tunnel:1,view").rule, "policy.yaml:6");
    CHECK_STR(decide(policy, "456000", "123456", "tunnel:").rule, "default");
    CHECK_STR(decide(policy, "456000", "123457", "view").rule, "default");
    CHECK_STR(decide(policy, "456002", "123456", "view").rule, "default");
    /* in addition to those of the file */
    CHECK_STR(
        decide_at(policy, policy_party("456002", "x,guests"), policy_party("123456", ""), "view", 0)
            .rule,
        "policy.yaml:6");
    CHECK_STR(
        decide_at(policy, policy_party("456000", "night"), policy_party("123456", ""), "view", 0)
            .rule,
        "policy.yaml:5");
    CHECK(policy_may_meet(policy, policy_party("456000", ""), policy_party("123456", ""), 0));
    CHECK(!policy_may_meet(policy, policy_party("123456", ""), policy_party("456000", ""), 0));
}

TEST(rules_have_their_time)
{
    _cleanup_(policy_freep) struct policy *policy =
        parse("rules:\n"
              "  - from: 456000\n"
              "    to: any\n"
              "    can: [chat]\n"
              "    longest: 3h\n"
              "    when:\n"
              "      - {days: mon-fri, hours: 08:00-18:00, zone: Europe/Berlin}\n"
              "      - {days: [sat], hours: 22:00-02:00, zone: Europe/Berlin, last: 2026-11-28}\n");
    static const struct {
        const char *at, *until; /* NULL: denied */
    } cases[] = {
        { "2026-11-23T06:59:59Z", NULL }, /* Monday */
        { "2026-11-23T07:00Z", "2026-11-23T10:00Z" },
        { "2026-11-23T16:59Z", "2026-11-23T17:00Z" },
        { "2026-11-23T17:00Z", NULL },
        { "2026-07-20T06:00Z", "2026-07-20T09:00Z" }, /* summer time */
        { "2026-07-20T15:30Z", "2026-07-20T16:00Z" },
        { "2026-11-21T12:00Z", NULL },                /* Saturday */
        { "2026-11-22T00:30Z", "2026-11-22T01:00Z" }, /* its night */
        { "2026-11-22T01:00Z", NULL },
        { "2026-11-22T22:00Z", NULL },
        { "2026-11-29T00:30Z", "2026-11-29T01:00Z" },
        { "2026-12-06T00:30Z", NULL }, /* after the last */
    };

    CHECK(policy_has_times(policy));
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct policy_decision d = decide_at(policy, policy_party("456000", ""),
                                             policy_party("1", ""), "chat", instant(cases[i].at));
        CHECK((d.verdict == POLICY_ALLOWED) == (cases[i].until != NULL));
        CHECK_U64(d.live_until, cases[i].until ? instant(cases[i].until) : 0);
    }
    CHECK(
        decide_at(policy, policy_party("456000", ""), policy_party("1", ""), "chat", POLICY_NO_TIME)
            .needs_time);
}

/* All of a file's errors, below one another. */
TEST(errors_name_the_place_and_what_was_expected)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        { "rule: []",
          "policy.yaml:1:1: expected groups, machines, rules or tests, found \"rule\"\n" },
        { "- a",
          "policy.yaml:1:1: expected groups:, machines:, rules: and tests:, found a list\n" },
        { "rules: {}",
          "policy.yaml:1:8: expected a list: lines that begin with \"- \", found a mapping\n" },
        { "rules:\n  - allow\n",
          "policy.yaml:2:5: expected {from: 456000, to: 123456, can: [chat]}, found \"allow\"\n" },
        { "rules:\n  - {from: 456, to: alice, can: Chat, consent: maybe, why: no}\n",
          "policy.yaml:2:12: expected an ID of 6 to 9 digits, group:NAME, tag:NAME, or any, found "
          "\"456\"\n"
          "policy.yaml:2:21: expected an ID of 6 to 9 digits, group:NAME, tag:NAME, or any, found "
          "\"alice\"\n"
          "policy.yaml:2:33: expected a capability such as chat, tunnel:3389 or tunnel:*, found "
          "\"Chat\"\n"
          "policy.yaml:2:48: expected none, ask or deny, found \"maybe\"\n"
          "policy.yaml:2:55: expected from, to, can, back, consent, longest, when or offline, "
          "found "
          "\"why\"\n" },
        { "rules:\n  - {from: any}\n  - {to: any}\n",
          "policy.yaml:2:5: expected \"to\" here too\npolicy.yaml:2:5: expected \"can\" here too\n"
          "policy.yaml:3:5: expected \"from\" here too\npolicy.yaml:3:5: expected \"can\" here "
          "too\n" },
        { "rules: [{from: [], to: any, can: []}]",
          "policy.yaml:1:16: expected 1 to 256 of them, found 0\n"
          "policy.yaml:1:34: expected 1 to 64 capabilities, found 0\n" },
        { "rules: [{from: any, to: any, can: any, consent: deny, back: chat, longest: 1h}]",
          "policy.yaml:1:61: consent: deny has no \"back\"\npolicy.yaml:1:76: consent: deny has no "
          "\"longest\"\n" },
        { "rules: [{from: any, to: any, can: any, back: tunnel:*, longest: soon}]",
          "policy.yaml:1:46: expected a capability such as chat or tunnel:3389, each by itself, "
          "found \"tunnel:*\"\n"
          "policy.yaml:1:65: expected a duration of at most 3650d, such as 30m or 8h, found "
          "\"soon\"\n" },
        { "rules: [{from: any, to: any, can: any, longest: 150000000000d}]",
          "policy.yaml:1:49: expected a duration of at most 3650d, such as 30m or 8h, found "
          "\"150000000000d\"\n" },
        { "rules: [{from: any, to: any, can: any, longest: 3651d}]",
          "policy.yaml:1:49: expected a duration of at most 3650d, such as 30m or 8h, found "
          "\"3651d\"\n" },
        { "rules: [{from: any, to: any, can: [chat], back: [any]}]",
          "policy.yaml:1:50: expected a capability such as chat or tunnel:3389, each by itself, "
          "found \"any\"\n" },
        { "rules: [{from: any, to: any, can: any, consent: deny, when: {days: [], zone: UTC}}]",
          "policy.yaml:1:68: expected days such as mon-fri or [sat, sun], found an empty list; "
          "for every day leave days out\n" },
        { "rules: [{from: any, to: *, can: any}]",
          "policy.yaml:1:25: expected an alias's name behind *: for anybody, or anything, write "
          "any\n" },
        { "rules: &a []", "policy.yaml:1:8: anchors (&) are not understood here: write it out\n" },
        { "groups: {a: [*b]}", "policy.yaml:1:14: aliases (*) are not understood here: write it "
                               "out; for anybody, or anything, write any\n" },
        { "rules: !x []", "policy.yaml:1:8: tags (!) are not understood here: leave them out\n" },
        { "rules: []\n---\nrules: []\n",
          "policy.yaml:2:1: a second document begins here: one file is one\n" },
        { "rules: []\nrules: []\n", "policy.yaml:2:1: \"rules\" stands here a second time\n" },
        { "rules: [[[[[[[[[[]]]]]]]]]]", "policy.yaml:1:16: this is nested too deeply\n" },
        { "rules: [\x1b[2J]", "policy.yaml: at byte 8: control characters are not allowed\n" },
        { "groups:\n  Staff: [456000]\n  ops: [alice]\n",
          "policy.yaml:2:3: expected a group's name such as staff (a-z, 0-9 and -, a letter "
          "first), found \"Staff\"\n"
          "policy.yaml:3:9: expected an ID of 6 to 9 digits, found \"alice\"\n" },
        { "machines: {123456: {tags: [A], unattended: maybe}, 123 456: {}}",
          "policy.yaml:1:28: expected a tag such as kiosk (a-z, 0-9 and -, a letter first), found "
          "\"A\"\n"
          "policy.yaml:1:44: expected yes or no, found \"maybe\"\n"
          "policy.yaml:1:52: 123456 stands here a second time\n" },
        { "rules: [{from: any, to: any, can: any, when: {days: mo, hours: 8-18, zone: Mars/Base, "
          "first: soon, last: 2026-02-30}}]",
          "policy.yaml:1:53: expected days such as mon-fri or [sat, sun], found \"mo\"\n"
          "policy.yaml:1:64: expected hours such as 08:00-18:30, or 22:00-06:00 over midnight, "
          "found \"8-18\"\n"
          "policy.yaml:1:76: expected a time zone of this machine's tzdata such as Europe/Berlin, "
          "found \"Mars/Base\"\n"
          "policy.yaml:1:94: expected a date such as 2027-01-31, found \"soon\"\n"
          "policy.yaml:1:106: expected a date such as 2027-01-31, found \"2026-02-30\"\n" },
        { "rules: [{from: any, to: any, can: any, when: [{hours: 08:00-18:00}, {zone: "
          "../../etc/passwd}]}]",
          "policy.yaml:1:47: expected a zone: whose clocks? (zone: UTC, zone: Europe/Berlin)\n"
          "policy.yaml:1:76: expected a time zone of this machine's tzdata such as Europe/Berlin, "
          "found \"../../etc/passwd\"\n" },
        { "# old\nallow from 456000 to * can chat\n",
          "policy.yaml:2:1: rules are YAML now; one reads, below a line \"rules:\": \"  - {from: "
          "456000, "
          "to: 123456, can: [chat], consent: ask}\"; any stands for *, group:NAME for @NAME\n" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct policy *policy = NULL;
        _buf_ all = { 0 };
        err = (struct err){ 0 };
        CHECK_ERR(policy_parse("policy.yaml", view_text(cases[i].text), &policy, &all, &err), err,
                  ERR_BAD_CONFIG);
        CHECK_STR(buf_cstr(&all), cases[i].why);
        CHECK(view_starts(buf_view(&all), view_text(err.text)));
    }
}

TEST(a_file_that_fails_its_own_tests_is_refused)
{
    static const char rules[] =
        "groups: {staff: [456000]}\n"
        "machines: {777777: {tags: [kiosk], unattended: yes}}\n"
        "rules:\n"
        "  - {from: group:staff, to: 123456, can: [chat], consent: ask}\n"
        "  - {from: any, to: tag:kiosk, can: [view]}\n"
        "  - {from: 111111, to: any, can: [chat], when: {hours: 08:00-09:00, zone: UTC}}\n";
    static const struct {
        const char *tests, *why;
    } cases[] = {
        { "  - {from: 456000, to: 123456, can: [chat], expect: allow, consent: ask}\n"
          "  - {from: group:staff, to: 123456, can: [chat], expect: allow}\n"
          "  - {from: [999999, group:staff], to: 123456, can: chat, expect: allow}\n"
          "  - {from: any, to: [tag:kiosk, 888888], can: [view], expect: allow, consent: ask}\n"
          "  - {from: any, to: 777777, can: [view], expect: allow, consent: none}\n"
          "  - {from: 111111, to: 1234567, can: [chat], at: '2026-11-23T08:30+00:00', expect: "
          "allow}\n"
          "  - {from: 111111, to: 1234567, can: [chat], at: 2026-11-23 09:00:00Z, expect: deny}\n"
          "  - {from: any, to: any, can: [chat], expect: deny}\n",
          "" },
        { "  - {from: 456001, to: 123456, can: [chat], expect: allow}\n"
          "  - {from: 456000, to: 123456, can: [chat], expect: deny}\n"
          "  - {from: 456000, to: 123456, can: [chat], expect: allow, consent: none}\n"
          "  - {from: 111111, to: 123456, can: [chat], expect: allow}\n"
          "  - {from: [456000, 456001], to: 123456, can: [chat], expect: allow}\n",
          "policy.yaml:8:5: test: expected allow, got deny, by default\n"
          "policy.yaml:9:5: test: expected deny, got allow, consent ask, by policy.yaml:4\n"
          "policy.yaml:10:5: test: expected allow, consent none, got allow, consent ask, by "
          "policy.yaml:4\n"
          "policy.yaml:11:5: test: policy.yaml:6 decides at some times only: say when, with "
          "\"at\"\n"
          "policy.yaml:12:5: a test is about one machine on each side, which may be in several "
          "groups\n" },
        { "  - {from: any, to: any, can: tunnel:*, at: noon, expect: perhaps}\n"
          "  - {from: any, to: any, can: chat, expect: deny, consent: ask}\n",
          "policy.yaml:8:31: expected a capability such as chat or tunnel:3389, each by itself, "
          "found \"tunnel:*\"\n"
          "policy.yaml:8:45: expected an instant such as 2027-01-31T10:00Z or "
          "2027-01-31T10:00+01:00, found \"noon\"\n"
          "policy.yaml:8:59: expected allow or deny, found \"perhaps\"\n"
          "policy.yaml:9:5: expect: deny has no consent\n" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _cleanup_(policy_freep) struct policy *policy = NULL;
        _free_ char *text = mem_format("%stests:\n%s", rules, cases[i].tests);
        _buf_ all = { 0 };
        bool ok = policy_parse("policy.yaml", view_text(text), &policy, &all, &err);
        CHECK_STR(buf_cstr(&all), cases[i].why);
        CHECK(ok == !*cases[i].why);
        CHECK(!ok || policy_count_tests(policy) == 8);
    }
}

TEST(an_empty_file_and_one_that_others_write_are_refused)
{
    _free_ char *path = mem_format("%s/policy.yaml", check_dir());
    _free_ char *wanted = mem_format("%s: expected rules or comments, found an empty file", path);
    _cleanup_(policy_freep) struct policy *policy = NULL, *commented = NULL;
    static const char rule[] = "rules: [{from: any, to: any, can: any, consent: deny}]\n";
    _buf_ text = { 0 };
    _buf_ comments = { 0 };

    CHECK_ERR(policy_read(path, &policy, &text, NULL, &err), err, ERR_NOT_FOUND);
    CHECK_OK(file_write(path, VIEW_LIT(""), 0644, &err), err);
    CHECK_ERR(policy_read(path, &policy, &text, NULL, &err), err, ERR_BAD_CONFIG);
    CHECK_STR(err.text, wanted);
    static const mode_t exposed[] = { 0666, 0664, 0620, 0602 };
    for (size_t i = 0; i < N_ELEMENTS(exposed); i++) {
        _free_ char *why = mem_format("policy: %s: mode %04o lets others write it; chmod go-w it",
                                      path, (unsigned)exposed[i]);
        CHECK_OK(file_write(path, view_text(rule), exposed[i], &err), err);
        CHECK_ERR(policy_read(path, &policy, &text, NULL, &err), err, ERR_EXPOSED);
        CHECK_STR(err.text, why);
    }
    CHECK_OK(file_write(path, view_text(rule), 0644, &err), err);
    CHECK_OK(policy_read(path, &policy, &text, NULL, &err), err);
    CHECK_VIEW(buf_view(&text), view_text(rule));
    CHECK_STR(decide(policy, "456000", "123456", "chat").rule, "policy.yaml:1");
    CHECK_OK(file_write(path, VIEW_LIT("# nobody\n"), 0644, &err), err);
    CHECK_OK(policy_read(path, &commented, &comments, NULL, &err), err);
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

/* ---- windows of time against a clock that looks at every minute ---------------------------------- */

TEST(windows_close_when_the_clock_says_so)
{
    static const char *const zones[] = { "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe",
                                         "UTC" };
    uint64_t start = instant("2026-10-20"), spring = instant("2027-03-10");

    for (unsigned round = 0; round < 200; round++) {
        struct when_zone *zone = when_zone_new(view_text(zones[random_below(4)]));
        struct when when[3];
        size_t n = 1 + random_below(N_ELEMENTS(when));
        uint64_t at = (random_below(2) ? start : spring) + random_below(25 * 1440) * 60000ull;
        uint64_t closes = at;

        CHECK(zone != NULL);
        for (size_t i = 0; i < n; i++) {
            when[i] = WHEN_ALWAYS;
            when[i].days = (uint8_t)(1 + random_below(127));
            when[i].from = random_below(48) * 30;
            when[i].until = (when[i].from + 30 + random_below(46) * 30) % 1440;
            when[i].zone = zone;
        }
        for (bool is_open = true; is_open && closes < at + 8ull * 86400000;) {
            is_open = false;
            for (size_t i = 0; i < n; i++)
                is_open |= when_is_open(&when[i], closes);
            closes += is_open ? 60000 : 0;
        }
        CHECK_U64(when_closes_at(when, n, at), closes - at > 7ull * 86400000 ? 0 : closes);
        when_zone_free(zone);
    }
}

/* ---- against a model: bit sets instead of text, and no early way out ------------------------------- */

static const char *const caps[] = { "chat", "file", "tunnel:22", "call:x" };
enum { N_CAPS = N_ELEMENTS(caps), ALL_CAPS = (1u << N_CAPS) - 1, N_IDS = 6, N_NAMES = 3 };

struct model_side { /* of a rule: bits */
    unsigned ids, groups, tags;
    bool is_any;
};
struct model_rule {
    struct model_side from, to;
    unsigned can, line, asks, hour; /* hour 24: always; else open for six of them, UTC */
    bool denies;
};
struct model_party {
    unsigned id, groups;
};
struct model {
    struct model_rule rules[16];
    unsigned n;
    unsigned group_of[N_IDS], tag_of[N_IDS]; /* that the file gives */
    unsigned unattended;
};

static void put_bits(struct buf *to, const char *before, unsigned bits, const char *start,
                     unsigned first)
{
    for (unsigned i = 0; i < 8; i++)
        if (bits & 1u << i)
            buf_printf(to, "%s%s%u", to->len && to->data[to->len - 1] != '[' ? before : "", start,
                       first + i);
}

static struct model_side random_side(struct buf *text)
{
    struct model_side side = { .is_any = random_below(5) == 0 };

    if (!side.is_any) {
        side.ids = random_below(3) ? 1u << random_below(N_IDS) : 0;
        side.groups = random_below(2) ? 1u << random_below(N_NAMES) : 0;
        side.tags =
            random_below(3) == 0 || !(side.ids | side.groups) ? 1u << random_below(N_NAMES) : 0;
    }
    buf_put_text(text, side.is_any ? "[any" : "[");
    put_bits(text, ", ", side.ids, "", 100000);
    put_bits(text, ", ", side.groups, "group:g", 0);
    put_bits(text, ", ", side.tags, "tag:t", 0);
    buf_put_text(text, "]");
    return side;
}

static struct model_rule random_rule(struct buf *text, unsigned line)
{
    struct model_rule rule = { .line = line, .can = 1 + random_below(ALL_CAPS + 1) };

    rule.denies = random_below(3) == 0;
    rule.asks = random_below(2);
    rule.hour = random_below(2) ? random_below(24) : 24;
    buf_put_text(text, " - {from: ");
    rule.from = random_side(text);
    buf_put_text(text, ", to: ");
    rule.to = random_side(text);
    buf_put_text(text, rule.can > ALL_CAPS ? ", can: any" : ", can: [");
    for (unsigned i = 0; rule.can <= ALL_CAPS && i < N_CAPS; i++)
        if (rule.can & 1u << i)
            buf_printf(text, "%s, ", caps[i]);
    buf_put_text(text, rule.can > ALL_CAPS ? "" : "]");
    if (rule.hour < 24)
        buf_printf(text, ", when: {hours: %02u:00-%02u:00, zone: UTC}", rule.hour,
                   (rule.hour + 6) % 24);
    buf_printf(text, ", consent: %s}\n", rule.denies ? "deny" : rule.asks ? "ask" : "none");
    return rule;
}

static void random_policy(struct model *m, struct buf *text)
{
    unsigned line = 0;

    *m = (struct model){ .n = 1 + random_below(N_ELEMENTS(m->rules)) };
    buf_put_text(text, "groups:\n");
    for (unsigned g = 0; g < N_NAMES; g++) {
        unsigned members = random_below(1u << N_IDS);
        buf_printf(text, " g%u: [", g);
        put_bits(text, ", ", members, "", 100000);
        buf_put_text(text, "]\n");
        for (unsigned i = 0; i < N_IDS; i++)
            m->group_of[i] |= (members >> i & 1) << g;
    }
    buf_put_text(text, "machines:\n");
    for (unsigned i = 0; i < N_IDS; i++) {
        bool is_unattended = random_below(4) == 0;
        m->tag_of[i] = random_below(1u << N_NAMES);
        m->unattended |= (unsigned)is_unattended << i;
        buf_printf(text, " %u: {unattended: %s, tags: [", 100000 + i, is_unattended ? "yes" : "no");
        put_bits(text, ", ", m->tag_of[i], "t", 0);
        buf_put_text(text, "]}\n");
    }
    buf_put_text(text, "rules:\n");
    for (size_t i = 0; i < text->len; i++)
        line += text->data[i] == '\n';
    for (unsigned i = 0; i < m->n; i++)
        m->rules[i] = random_rule(text, ++line);
}

static bool model_is(const struct model *m, const struct model_side *side,
                     const struct model_party *p)
{
    return side->is_any || (side->ids >> p->id & 1) ||
           (side->groups & (p->groups | m->group_of[p->id])) || (side->tags & m->tag_of[p->id]);
}

/* Backwards: the last one written down is the first of the file. */
static const struct model_rule *model_decide(const struct model *m, const struct model_party *from,
                                             const struct model_party *to, unsigned asked,
                                             unsigned hour)
{
    const struct model_rule *decided = NULL;

    for (unsigned i = m->n; i-- > 0;) {
        const struct model_rule *r = &m->rules[i];
        unsigned can = r->can > ALL_CAPS ? ALL_CAPS : r->can;
        bool fits = r->denies ? (asked & can) != 0 : (asked & ~can) == 0;
        bool is_open = r->hour == 24 || (hour + 24 - r->hour) % 24 < 6;
        if (fits && is_open && model_is(m, &r->from, from) && model_is(m, &r->to, to))
            decided = r;
    }
    return decided;
}

static void compare(const struct policy *policy, const struct model *m, const char *text)
{
    struct model_party from = { random_below(N_IDS), random_below(1u << N_NAMES) };
    struct model_party to = { random_below(N_IDS), random_below(1u << N_NAMES) };
    unsigned asked = 1 + random_below(ALL_CAPS), hour = random_below(24);
    const struct model_rule *wanted = model_decide(m, &from, &to, asked, hour);
    _buf_ joined = { 0 }, from_groups = { 0 }, to_groups = { 0 };
    char from_id[16], to_id[16];

    for (unsigned i = 0; i < N_CAPS; i++)
        if (asked & 1u << i)
            buf_printf(&joined, "%s%s", joined.len ? "," : "", caps[i]);
    put_bits(&from_groups, ",", from.groups, "g", 0);
    put_bits(&to_groups, ",", to.groups, "g", 0);
    snprintf(from_id, sizeof(from_id), "%u", 100000 + from.id);
    snprintf(to_id, sizeof(to_id), "%u", 100000 + to.id);
    struct policy_decision d =
        decide_at(policy, policy_party(from_id, buf_cstr(&from_groups)),
                  policy_party(to_id, buf_cstr(&to_groups)), buf_cstr(&joined),
                  instant("2026-11-23") + hour * 3600000ull);
    bool asks = wanted && wanted->asks && !(m->unattended >> to.id & 1);
    if ((d.verdict == POLICY_ALLOWED) != (wanted && !wanted->denies) ||
        d.line != (wanted ? wanted->line : 0) ||
        (d.verdict == POLICY_ALLOWED && d.must_ask != asks))
        check_failed(__FILE__, __LINE__,
                     "%s [%s] to %s [%s] for %s at %u: %s, model says %u, of\n%s", from_id,
                     buf_cstr(&from_groups), to_id, buf_cstr(&to_groups), buf_cstr(&joined), hour,
                     d.rule, wanted ? wanted->line : 0, text);
}

TEST(random_policies_decide_as_the_model_does)
{
    for (unsigned round = 0; round < 500; round++) {
        _cleanup_(policy_freep) struct policy *policy = NULL;
        struct model m;
        _buf_ text = { 0 };

        random_policy(&m, &text);
        CHECK_OK(policy_parse("p", buf_view(&text), &policy, NULL, &err), err);
        if (!policy)
            return;
        for (unsigned i = 0; i < 200; i++)
            compare(policy, &m, buf_cstr(&text));
    }
}
