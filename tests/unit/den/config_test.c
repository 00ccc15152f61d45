/* SPDX-License-Identifier: Apache-2.0 */
#include "den/config.h"
#include "base/clock.h"
#include "base/file.h"
#include "tests/check.h"

#include <sys/stat.h>

static struct err err;

static const char least[] = "network = corp.example\nrouter = router.example:8443\n";

/* den.conf of the least that is needed, and `more`. The caller frees the path. */
static char *write_config(const char *more)
{
    static unsigned n;
    char *path = mem_format("%s/den-%u.conf", check_dir(), n++);
    _free_ char *text = mem_format("%s%s", least, more);

    if (!file_write(path, view_text(text), 0600, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    return path;
}

TEST(defaults_stand_for_what_is_not_given)
{
    _free_ char *path = write_config("");
    _free_ char *policy = mem_format("%s/policy.yaml", check_dir());
    _cleanup_(config_deinit) struct den_config c = { 0 };

    CHECK_OK(config_read(path, &c, NULL, &err), err);
    CHECK_STR(c.network, "corp.example");
    CHECK_STR(c.router, "router.example:8443");
    CHECK_STR(c.join_host, "router.example:8443");
    CHECK_STR(c.state, check_dir());
    CHECK_STR(c.policy, policy);
    CHECK_U64(c.leaf_life, DAY_MS);
    CHECK_U64(c.router_life, 30 * DAY_MS);
    CHECK_U64(c.crl_life, DAY_MS);
    CHECK_U64(c.admission_life, 7 * DAY_MS);
    CHECK_U64(c.heartbeat_interval, 30 * SECOND_MS);
    CHECK_U64(c.heartbeat_bound, 10 * MINUTE_MS);
    CHECK_U64(c.offer_timeout, MINUTE_MS);
    CHECK_U64(c.enrol_burst, 60);
    CHECK_U64(c.enrol_every, SECOND_MS);
    CHECK_U64(c.dial_burst, 60);
    CHECK_U64(c.dial_every, SECOND_MS);
    CHECK_U64(c.sessions_per_pair, 32);
    CHECK_U64(c.sessions_per_id, 256);
    CHECK_U64(c.lost_after, 5 * MINUTE_MS);
    CHECK_U64(c.id_digits, 6);
    CHECK_STR(c.enrolment, "token");
    CHECK_STR(c.log_level, "info");
    CHECK(!c.crl_url && !c.ca_url);
}

TEST(what_is_given_is_taken)
{
    _free_ char *path = write_config(
        "join_host = [2001:db8::1]:443\nstate = /var/lib/den\npolicy = rules/p.conf # here\n"
        "leaf_life = 7d\nheartbeat_interval = 1s\nheartbeat_bound = 10s\nid_digits = 9\n"
        "enrolment = open\nlog_level = debug\ncrl_url = http://x.example/crl\n");
    _free_ char *policy = mem_format("%s/rules/p.conf", check_dir());
    _cleanup_(config_deinit) struct den_config c = { 0 };

    CHECK_OK(config_read(path, &c, NULL, &err), err);
    CHECK_STR(c.join_host, "[2001:db8::1]:443");
    CHECK_STR(c.state, "/var/lib/den");
    CHECK_STR(c.policy, policy);
    CHECK_U64(c.leaf_life, 7 * DAY_MS);
    CHECK_U64(c.id_digits, 9);
    CHECK_STR(c.enrolment, "open");
    CHECK_STR(c.log_level, "debug");
    CHECK_STR(c.crl_url, "http://x.example/crl");
}

TEST(errors_name_file_line_and_what_was_expected)
{
    static const struct {
        const char *more, *why; /* behind "PATH:" */
    } cases[] = {
        { "colour = red\n", "3: unknown key \"colour\"" },
        { "log_level\n", "3: expected KEY = VALUE" },
        { "\n# x\nleaf_life = soon\n",
          "5: leaf_life: expected a duration such as 500ms, 45s, 10m, 24h or 7d, found \"soon\"" },
        { "leaf_life = 8d\n", "3: leaf_life: expected 10m to 7d" },
        { "leaf_life = 0s\n", "3: leaf_life: expected 10m to 7d" },
        { "router_life = 31d\n", "3: router_life: expected 1h to 30d" },
        { "crl_life = 25h\n", "3: crl_life: expected 10m to 24h" },
        { "admission_life = 1s\n", "3: admission_life: expected 10m to 90d" },
        { "heartbeat_interval = 11m\n", "3: heartbeat_interval: expected 1s to 10m" },
        { "heartbeat_interval = 6m\n heartbeat_bound = 11m\n",
          "4: heartbeat_bound: expected 10s to 30d, and at least twice heartbeat_interval" },
        { "ocsp_url = ldap://x\n",
          "3: ocsp_url: expected a web address, http:// or https://, of at most 480 characters" },
        { "crl_url = http://a b\n",
          "3: crl_url: expected a web address, http:// or https://, of at most 480 characters" },
        { "http = 127.0.0.1\n", "3: http: expected ADDRESS:PORT" },
        { "http = 127.0.0.1:80\nmetrics = 127.0.0.1:80\n",
          "4: metrics: expected another ADDRESS:PORT than that of http" },
        { "metrics = 127.0.0.1:80\nhttp = [::]:80\n",
          "3: metrics: expected another ADDRESS:PORT than that of http" },
        { "relay = x\n", "3: relay: x: expected HOST:PORT or [IPv6]:PORT" },
        { "relay = a.example:1 b\n", "3: relay: b: expected HOST:PORT or [IPv6]:PORT" },
        { "ocsp_life = 8d\n", "3: ocsp_life: expected 1m to 7d" },
        { "csr_every = 2d\n", "3: csr_every: expected 1ms to 1d" },
        { "offer_timeout = 999ms\n", "3: offer_timeout: expected 1s to 10m" },
        { "enrol_burst = 1000001\n", "3: enrol_burst: expected 0 to 1000000" },
        { "enrol_every = 0s\n", "3: enrol_every: expected 1ms to 1d" },
        { "dial_burst = 1000001\n", "3: dial_burst: expected 0 to 1000000" },
        { "dial_every = 2d\n", "3: dial_every: expected 1ms to 1d" },
        { "sessions_per_pair = 1000001\n", "3: sessions_per_pair: expected 0 to 1000000" },
        { "sessions_per_id = 1000001\n", "3: sessions_per_id: expected 0 to 1000000" },
        { "lost_after = 59s\n", "3: lost_after: expected 1m to 30d" },
        { "id_digits = 5\n", "3: id_digits: expected 6 to 9" },
        { "id_digits=10\n", "3: id_digits: expected 6 to 9" },
        { "id_digits = six\n", "3: id_digits: expected a whole number, 0 or more, found \"six\"" },
        { "enrolment = everybody\n", "3: enrolment: expected token, approval or open" },
        { "#\n\tlog_level = loud\n", "4: log_level: expected debug, info, warn or error" },
        { "network = corp.example\n", "3: network: given twice" },
        { "join_host = example\n",
          "3: join_host: expected HOST:PORT or [IPv6]:PORT, found \"example\"" },
        { "state =\n", "3: state: expected a path, found \"\"" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _free_ char *path = write_config(cases[i].more);
        _free_ char *why = mem_format("%s:%s", path, cases[i].why);
        _cleanup_(config_deinit) struct den_config c = { 0 };
        CHECK_ERR(config_read(path, &c, NULL, &err), err, ERR_BAD_CONFIG);
        CHECK_STR(err.text, why);
    }
}

/* All of a value's words, and a bad value whose key comes again. */
TEST(no_error_hides_another)
{
    static const struct {
        const char *more, *why[4];
    } cases[] = {
        { "turn = turn:bar:99999 turn:\nturn_secrets = s\n",
          { ":3: turn: turn:bar:99999: ", ":3: turn: turn:: " } },
        { "relay = :1 x a.example:1\n", { ":3: relay: :1: ", ":3: relay: x: " } },
        { "id_digits = 3\nid_digits = 6\n",
          { ":4: id_digits: given twice", ":3: id_digits: expected 6 to 9" } },
        { "turn = turn:\nturn = turn:bar:1\nturn_secrets = s\n",
          { ":4: turn: given twice", ":3: turn: turn:: " } },
        { "heartbeat_interval = 10m\nid_digits = 3\n",
          { ": heartbeat_bound: expected 10s to 30d, and at least twice heartbeat_interval; it is "
            "not set, and its default is 10m\n",
            ":4: id_digits: expected 6 to 9" } },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _free_ char *path = write_config(cases[i].more);
        _cleanup_(config_deinit) struct den_config c = { 0 };
        _buf_ all = { 0 };
        CHECK_ERR(config_read(path, &c, &all, &err), err, ERR_BAD_CONFIG);
        for (size_t n = 0; n < N_ELEMENTS(cases[i].why) && cases[i].why[n]; n++) {
            _free_ char *wanted = mem_format("%s%s", path, cases[i].why[n]);
            if (!strstr(buf_cstr(&all), wanted))
                check_failed(__FILE__, __LINE__, "no \"%s\" in: %s", wanted, buf_cstr(&all));
        }
    }
}

TEST(every_error_of_a_file_is_told)
{
    _free_ char *path = write_config("id_digits = 3\nlog_level = loud\n");
    _free_ char *wanted = mem_format(
        "%s:3: id_digits: expected 6 to 9\n%s:4: log_level: expected debug, info, warn or error\n",
        path, path);
    _cleanup_(config_deinit) struct den_config c = { 0 };
    _buf_ all = { 0 };

    CHECK_ERR(config_read(path, &c, &all, &err), err, ERR_BAD_CONFIG);
    CHECK_STR(buf_cstr(&all), wanted);
}

TEST(what_must_be_there_is_missed)
{
    _free_ char *path = mem_format("%s/none.conf", check_dir());
    _free_ char *why = mem_format(
        "%s: network is missing: expected a network name such as corp.example, in lower case",
        path);
    _cleanup_(config_deinit) struct den_config c = { 0 }, empty = { 0 };

    CHECK_ERR(config_read(path, &c, NULL, &err), err, ERR_NOT_FOUND);
    CHECK_OK(file_write(path, VIEW_LIT("router = a.example:1\n"), 0600, &err), err);
    CHECK_ERR(config_read(path, &empty, NULL, &err), err, ERR_BAD_CONFIG);
    CHECK_STR(err.text, why);
}

TEST(what_init_writes_reads_as_the_defaults)
{
    _free_ char *path = mem_format("%s/written.conf", check_dir());
    _cleanup_(config_deinit) struct den_config c = { 0 };
    _buf_ text = { 0 };

    config_write(&(struct config_values){ .network = "corp.example", .router = "[::1]:443" },
                 &text);
    CHECK_OK(file_write(path, buf_view(&text), 0600, &err), err);
    CHECK_OK(config_read(path, &c, NULL, &err), err);
    CHECK_STR(c.network, "corp.example");
    CHECK_STR(c.router, "[::1]:443");
    CHECK_U64(c.leaf_life, DAY_MS);
}

/* Every line of the sample with its # taken away is a line that den takes: the sample cannot drift. */
TEST(the_written_defaults_are_the_defaults)
{
    _free_ char *path = mem_format("%s/uncommented.conf", check_dir());
    _cleanup_(config_deinit) struct den_config c = { 0 };
    _buf_ text = { 0 };
    _buf_ plain = { 0 };
    struct view rest;

    config_write(&(struct config_values){ .network = "corp.example", .router = "[::1]:443" },
                 &text);
    for (rest = buf_view(&text); rest.len;) {
        const uint8_t *end = memchr(rest.data, '\n', rest.len);
        struct view line = view_sub(rest, 0, (size_t)(end - rest.data));
        rest = view_sub(rest, line.len + 1, rest.len);
        if (line.len > 1 && line.data[0] == '#' && line.data[1] != ' ' &&
            line.data[line.len - 1] != '=')
            buf_printf(&plain, "%.*s\n", VIEW_FMT(view_sub(line, 1, line.len)));
        else if (line.len && line.data[0] != '#')
            buf_printf(&plain, "%.*s\n", VIEW_FMT(line));
    }
    CHECK_OK(file_write(path, buf_view(&plain), 0600, &err), err);
    CHECK_OK(config_read(path, &c, NULL, &err), err);
    CHECK_U64(c.heartbeat_bound, 10 * MINUTE_MS);
}

TEST(the_manual_has_every_key)
{
    _free_ char *path = mem_format("%s/den/den.conf.5", check_source_root());
    _buf_ manual = { 0 };
    static const char *const names[] = {
#define X(name, ...) #name,
        DEN_OPTIONS(X)
#undef X
    };

    CHECK_OK(file_read(path, 65536, &manual, &err), err);
    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        _free_ char *item = mem_format("\n.It Ic %s\n", names[i]);
        if (!strstr(buf_cstr(&manual), item))
            check_failed(__FILE__, __LINE__, "den.conf.5 has no item %s", names[i]);
    }
}

TEST(the_manual_says_which_keys_need_a_restart)
{
    _free_ char *path = mem_format("%s/den/den.conf.5", check_source_root());
    _buf_ manual = { 0 };
    const char *section;
    static const char *const names[] = {
#define X(name, ...) #name,
        DEN_OPTIONS(X)
#undef X
    };

    CHECK_OK(file_read(path, 65536, &manual, &err), err);
    section = strstr(buf_cstr(&manual), "These need a restart");
    if (!CHECK(section))
        return;
    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        _free_ char *item = mem_format("\n.It\n.Ic %s\n", names[i]);
        if (!strstr(section, item) != config_is_live(names[i]))
            check_failed(__FILE__, __LINE__, "den.conf.5, RELOADING, %s: %s", names[i],
                         config_is_live(names[i]) ? "it needs no restart" : "it needs a restart");
    }
}

TEST(exposed_secrets_are_refused)
{
    static const char *const secrets[] = { "root.key", "intermediate.key", "login.key",
                                           "sign.key", "admin.join",       "den.db" };
    _free_ char *state = mem_format("%s/state", check_dir());
    _free_ char *other = file_path(state, "notes.txt"), *db = file_path(state, "den.db");
    struct den_config c = { .state = state };

    CHECK_ERR(config_check_secrets(&c, &err), err, ERR_NOT_FOUND);
    CHECK_OK(file_private_dir(state, &err), err);
    CHECK_OK(config_check_secrets(&c, &err), err);
    CHECK_OK(file_write(other, VIEW_LIT("x"), 0644, &err), err);
    CHECK_ERR(config_check_secrets(&c, &err), err, ERR_NOT_FOUND); /* another program's folder */
    CHECK(strstr(err.text, "it holds notes.txt, and no den.db"));
    CHECK_OK(file_write(db, VIEW_LIT("x"), 0600, &err), err);
    for (size_t i = 0; i < N_ELEMENTS(secrets); i++) {
        _free_ char *path = file_path(state, secrets[i]);
        _free_ char *why = mem_format("%s: mode 0640 lets others at it; chmod 0600 it", path);
        CHECK_OK(file_write(path, VIEW_LIT("x"), 0640, &err), err);
        CHECK_ERR(config_check_secrets(&c, &err), err, ERR_EXPOSED);
        CHECK_STR(err.text, why);
        CHECK(chmod(path, 0600) == 0);
    }
    CHECK_OK(config_check_secrets(&c, &err), err);
    CHECK(chmod(state, 0750) == 0);
    CHECK_ERR(config_check_secrets(&c, &err), err, ERR_EXPOSED);
}
