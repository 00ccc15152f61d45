/* SPDX-License-Identifier: Apache-2.0 */
#include "base/conf.h"
#include "tests/check.h"

#include <stdio.h>

#define OPTIONS(X)                                                                                 \
    X(listen, ADDRESS, NULL, "where to listen")                                                    \
    X(network, NETWORK, "corp.example", "the network")                                             \
    X(idle, DURATION, "45s", "idle time")                                                          \
    X(max, SIZE, "1MiB", "largest message")                                                        \
    X(count, NUMBER, "7", "how many")                                                              \
    X(echo, BOOL, "no", "answer")                                                                  \
    X(state, PATH, ".", "folder")                                                                  \
    X(url, TEXT, "", "an URL, none by default")

struct config {
    OPTIONS(CONF_FIELD)
};
#define ROW(...) CONF_ROW(struct config, __VA_ARGS__)
static const struct conf_option options[] = { OPTIONS(ROW) };

static bool parse(const char *text, struct config *config, struct buf *all, struct err *err)
{
    *config = (struct config){ 0 };
    return conf_parse("/etc/x/test.conf", view_text(text), options, N_ELEMENTS(options), config,
                      all, err);
}

TEST(a_value_is_put_as_a_file_says_it)
{
    static const char *const cases[] = {
        "listen = [::1]:443", "network = a.example", "idle = 0ms",  "idle = 1500ms",
        "idle = 36h",         "idle = 7d",           "max = 64KiB", "max = 100",
        "max = 3GiB",         "count = 12",          "echo = yes",  "echo = no",
        "state = /srv",       "url = http://a/",     "url =",
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _free_ char *text = mem_format("listen = a:1\n%s\n", cases[i]);
        struct config c;
        struct err err;
        CHECK_OK(parse(strncmp(cases[i], "listen", 6) == 0 ? cases[i] : text, &c, NULL, &err), err);
        for (size_t j = 0; j < N_ELEMENTS(options); j++) {
            _buf_ value = { 0 };
            size_t len = strlen(options[j].name);
            conf_put_value(&options[j], &c, &value);
            if (strncmp(cases[i], options[j].name, len) == 0 && cases[i][len] == ' ')
                CHECK_STR(buf_cstr(&value), cases[i] + len + 2 + (cases[i][len + 2] == ' '));
        }
        conf_deinit(options, N_ELEMENTS(options), &c);
    }
}

TEST(values_and_defaults)
{
    struct config c;
    struct err err;

    CHECK_OK(
        parse("# a comment\n\n listen = [::1]:443 # here\nidle=10m\necho = yes\nstate = keys\r\n",
              &c, NULL, &err),
        err);
    CHECK_STR(c.listen, "[::1]:443");
    CHECK_STR(c.network, "corp.example");
    CHECK_U64(c.idle, 600000);
    CHECK_U64(c.max, 1048576);
    CHECK_U64(c.count, 7);
    CHECK(c.echo);
    CHECK_STR(c.state, "/etc/x/keys");
    CHECK(c.url == NULL);
    conf_deinit(options, N_ELEMENTS(options), &c);
    CHECK_OK(parse("listen = a:1\nurl =   # none\n", &c, NULL, &err), err);
    CHECK(c.url == NULL);
    conf_deinit(options, N_ELEMENTS(options), &c);
}

TEST(bad_lines_name_file_line_and_what_was_expected)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        { "listen = a:1\ncolour = red\n", "/etc/x/test.conf:2: unknown key \"colour\"" },
        { "listen = a:1\n\nidle = fast\n", "/etc/x/test.conf:3: idle: expected a duration such as "
                                           "500ms, 45s, 10m, 24h or 7d, found \"fast\"" },
        { "listen = a:1\nidle = 99999999999999999999d\n",
          "/etc/x/test.conf:2: idle: expected a duration such as 500ms, 45s, 10m, 24h or 7d, found "
          "\"99999999999999999999d\"" },
        { "listen = a:70000\n",
          "/etc/x/test.conf:1: listen: expected HOST:PORT or [IPv6]:PORT, found \"a:70000\"" },
        { "listen = a:1\nlisten = b:1\n", "/etc/x/test.conf:2: listen: given twice" },
        { "listen = a:1\nmax = 1MB\n",
          "/etc/x/test.conf:2: max: expected a size such as 64KiB or 1MiB, found \"1MB\"" },
        { "listen = a:1\necho = true\n",
          "/etc/x/test.conf:2: echo: expected yes or no, found \"true\"" },
        { "listen = a:1\ncount = -1\n",
          "/etc/x/test.conf:2: count: expected a whole number, 0 or more, found \"-1\"" },
        { "listen = a:1\nnetwork = Corp\n", "/etc/x/test.conf:2: network: expected a network name "
                                            "such as corp.example, in lower case, found \"Corp\"" },
        { "listen = a:1\nurl =\nurl =\n", "/etc/x/test.conf:3: url: given twice" },
        { "listen = a:1\nstate =\n", "/etc/x/test.conf:2: state: expected a path, found \"\"" },
        { "listen =\n", "/etc/x/test.conf:1: listen: expected HOST:PORT or [IPv6]:PORT, found "
                        "\"\"" },
        { "listen = a:1\nnonsense\n", "/etc/x/test.conf:2: expected KEY = VALUE" },
        { "listen = a:1\nwarren-ed25519 00112233\n", "/etc/x/test.conf:2: expected KEY = VALUE" },
        { "listen = a:1\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQ==\n",
          "/etc/x/test.conf:2: unknown key: expected lower-case letters, digits and _" },
        { "", "/etc/x/test.conf: listen is missing: expected HOST:PORT or [IPv6]:PORT" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct config c;
        struct err err;
        CHECK_ERR(parse(cases[i].text, &c, NULL, &err), err, ERR_BAD_CONFIG);
        CHECK_STR(err.text, cases[i].why);
        conf_deinit(options, N_ELEMENTS(options), &c);
    }
}

TEST(all_errors_of_a_file_come_at_once)
{
    _buf_ all = { 0 };
    struct config c;
    struct err err;

    CHECK(!parse("colour = red\necho = perhaps\n", &c, &all, &err));
    CHECK_STR(buf_cstr(&all),
              "/etc/x/test.conf:1: unknown key \"colour\"\n"
              "/etc/x/test.conf:2: echo: expected yes or no, found \"perhaps\"\n"
              "/etc/x/test.conf: listen is missing: expected HOST:PORT or [IPv6]:PORT\n");
    conf_deinit(options, N_ELEMENTS(options), &c);
}

/* More options than bits in a word. */
TEST(a_table_may_be_long)
{
    enum { N = 200 };
    struct conf_option many[N];
    static char names[N][8];
    uint64_t values[N] = { 0 };
    _buf_ text = { 0 };
    struct err err = { 0 };

    for (size_t i = 0; i < N; i++) {
        snprintf(names[i], sizeof(names[i]), "k%zu", i);
        many[i] = (struct conf_option){ names[i], CONF_NUMBER, "7", "", i * sizeof(values[0]) };
    }
    buf_put_text(&text, "k0 = 1\nk64 = 2\nk199 = 3\n");
    CHECK(conf_parse("x", buf_view(&text), many, N, values, NULL, &err));
    CHECK(values[0] == 1 && values[1] == 7 && values[64] == 2 && values[128] == 7);
    CHECK_U64(values[199], 3);
    buf_put_text(&text, "k64 = 2\n");
    CHECK(!conf_parse("x", buf_view(&text), many, N, values, NULL, &err));
    CHECK_STR(err.text, "x:4: k64: given twice");
}

TEST(addresses_apart)
{
    static const struct {
        const char *text, *host;
        uint16_t fallback, port;
    } cases[] = {
        { "a.example:443", "a.example", 0, 443 },
        { "[2001:db8::1]:8443", "2001:db8::1", 0, 8443 },
        { "a.example", "a.example", 443, 443 },
        { "[::1]", "::1", 443, 443 },
        { "a.example", NULL, 0, 0 },
        { ":443", NULL, 0, 0 },
        { "a:0", NULL, 443, 0 },
        { "a:65536", NULL, 0, 0 },
        { "[::1", NULL, 443, 0 },
        { "[::1]x", NULL, 443, 0 },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _free_ char *host = NULL;
        uint16_t port;
        bool ok = conf_split_address(view_text(cases[i].text), cases[i].fallback, &host, &port);
        CHECK(ok == (cases[i].host != NULL));
        if (ok) {
            CHECK_STR(host, cases[i].host);
            CHECK_U64(port, cases[i].port);
        }
    }
}

/* ---- sections -------------------------------------------------------------------------------- */

#define ROOM_OPTIONS(X)                                                                            \
    X(seats, NUMBER, NULL, "how many")                                                             \
    X(code, TEXT, "none", "what opens it")

struct room {
    ROOM_OPTIONS(CONF_FIELD)
};
#define ROOM_ROW(...) CONF_ROW(struct room, __VA_ARGS__)
static const struct conf_option room_options[] = { ROOM_OPTIONS(ROOM_ROW) };

static bool take_room(void *user, struct view name, const void *config, struct err *err)
{
    const struct room *room = config;

    if (room->seats == 13)
        return err_set(err, ERR_BAD_CONFIG, "seats: not thirteen");
    buf_printf(user, "%.*s %llu %s;", VIEW_FMT(name), (unsigned long long)room->seats, room->code);
    return true;
}

static const struct conf_kind room_kinds[] = {
    { "room", room_options, N_ELEMENTS(room_options), sizeof(struct room), take_room },
};

static bool parse_rooms(const char *text, struct buf *rooms, struct buf *all, struct err *err)
{
    return conf_parse_sections("r.conf", view_text(text), room_kinds, 1, rooms, all, err);
}

TEST(sections_one_after_the_other)
{
    static const struct {
        const char *text, *rooms;
    } cases[] = {
        { "", "" },
        { "# nothing\n\n", "" },
        { "[room a]\nseats = 4\n", "a 4 none;" },
        { "[ room  big hall ] # here\nseats=4\ncode = x\n\n[room b]\ncode = y # z\nseats = 5",
          "big hall 4 x;b 5 y;" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ rooms = { 0 };
        struct err err;
        CHECK_OK(parse_rooms(cases[i].text, &rooms, NULL, &err), err);
        CHECK_STR(buf_cstr(&rooms), cases[i].rooms);
    }
}

TEST(bad_sections_name_file_and_line)
{
    static const struct {
        const char *text, *why, *rooms;
    } cases[] = {
        { "seats = 1\n", "r.conf:1: expected a section such as [room NAME] first\n", "" },
        { "[room]\nseats = 1\n", "r.conf:1: expected a section such as [room NAME]\n", "" },
        { "[", "r.conf:1: expected a section such as [room NAME]\n", "" },
        { "\n[hall a]\nseats = 1\n[room b]\nseats = 2\n",
          "r.conf:2: expected a section such as [room NAME]\n", "b 2 none;" },
        { "[room a]\n[room b]\nseats = 2\n",
          "r.conf:1: seats is missing: expected a whole number, 0 or more\n", "b 2 none;" },
        { "[room a]\nseats = 2\nseats = 3\nchairs = 4\n",
          "r.conf:3: seats: given twice\nr.conf:4: unknown key \"chairs\"\n", "" },
        { "[room c]\nseats = 1\n[room a]\nseats = 13\n",
          "r.conf:3: [room a]: seats: not thirteen\n", "c 1 none;" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ rooms = { 0 };
        _buf_ all = { 0 };
        struct err err;
        CHECK_ERR(parse_rooms(cases[i].text, &rooms, &all, &err), err, ERR_BAD_CONFIG);
        CHECK_STR(buf_cstr(&all), cases[i].why);
        CHECK_STR(buf_cstr(&rooms), cases[i].rooms);
    }
}
