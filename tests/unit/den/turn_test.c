/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "den/config.h"
#include "den/turn.h"
#include "rpc/rpc.h"
#include "tests/check.h"

#include <stdio.h>
#include <sys/stat.h>

#define LEAST "network = corp.example\nrouter = router.example:8443\n"

static struct err err;
static const uint8_t sid[RPC_SID] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

static char *write_named(const char *name, const char *text, unsigned mode)
{
    char *path = mem_format("%s/%s", check_dir(), name);

    CHECK(file_write(path, view_text(text), mode, &err));
    return path;
}

/* What `id` is given by the first secret. The caller frees *bytes. */
static struct rpc_turn mint(const struct turn *turn, const char *id, struct buf *bytes)
{
    struct rpc_turn t = { 0 };

    turn_put(turn, VIEW_ARR(sid), id, 1800000000000, bytes);
    CHECK(rpc_turn_read(buf_view(bytes), &t, &err));
    return t;
}

/* The password was made by Python's hmac. */
TEST(credentials_are_those_of_the_rest_scheme)
{
    _free_ char *first = write_named("first", "north-south-east-west\n", 0600);
    _free_ char *second = write_named("second", "0123456789abcdef\r\n", 0400);
    _free_ char *paths = mem_format(" %s  %s ", first, second);
    _cleanup_(turn_freep) struct turn *turn = NULL;
    _buf_ bytes = { 0 }, other = { 0 };

    CHECK_OK(turn_open("turn:a turn:a?transport=tcp turn:[2001:db8::7]:443", paths, &turn, &err),
             err);
    CHECK_U64(turn_n_servers(turn), 3);
    CHECK_U64(turn_n_secrets(turn), 2);
    struct rpc_turn t = mint(turn, "456000", &bytes), u = mint(turn, "123456", &other);
    CHECK_VIEW(t.username, VIEW_LIT("1800000600:000102030405060708090a0b0c0d0e0f-456000"));
    CHECK_VIEW(t.password, VIEW_LIT("XkaAc4pEDLe2hA0uB702S2s882o="));
    CHECK_U64(t.expires_at, 1800000600000);
    CHECK_U64(t.n_uris, 3);
    CHECK_VIEW(t.uris[1], VIEW_LIT("turn:a?transport=tcp"));
    CHECK_VIEW(t.uris[2], VIEW_LIT("turn:[2001:db8::7]:443"));
    CHECK(!view_eq(t.username, u.username) && !view_eq(t.password, u.password));
}

TEST(without_servers_nil_is_given)
{
    _buf_ bytes = { 0 };

    turn_put(NULL, VIEW_ARR(sid), "456000", 0, &bytes);
    CHECK(rpc_value_kind(buf_view(&bytes)) == RPC_NIL);
    CHECK_U64(turn_n_servers(NULL), 0);
}

TEST(a_secret_that_is_none_or_that_others_can_read_is_refused)
{
    static const struct {
        const char *text;
        unsigned mode;
        enum err_code code;
        const char *why; /* is in it */
    } cases[] = {
        { "0123456789abcdef\n", 0640, ERR_EXPOSED, "secret-" },
        { "short\n", 0600, ERR_BAD_CONFIG, "has 16 characters or more" },
        { "0123456789 abcdef\n", 0600, ERR_BAD_CONFIG, "without spaces" },
        { "0123456789abcdef\nx\n", 0600, ERR_BAD_CONFIG, "one line" },
        { "", 0600, ERR_BAD_CONFIG, "has 16 characters or more" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _free_ char *name = mem_format("secret-%zu", i);
        _free_ char *path = write_named(name, cases[i].text, cases[i].mode);
        struct turn *turn = NULL;
        CHECK(!turn_open("turn:a", path, &turn, &err));
        CHECK(err.code == cases[i].code);
        if (!CHECK(strstr(err.text, cases[i].why) && strstr(err.text, name)))
            printf("# %s\n", err.text);
        CHECK(!*cases[i].text || !strstr(err.text, "0123456789"));
    }
}

TEST(the_configuration_names_what_is_wrong_with_file_and_line)
{
    static const struct {
        const char *lines, *why; /* is in it */
    } cases[] = {
        { "turn = turn:a\n", ":3: turn: turn_secrets has to name" },
        { "turn_secrets = x\n", ":3: turn_secrets: turn has to name" },
        { "turn_secrets = x\nturn = turn:a http://b\n", ":4: turn: http://b: expected turn:HOST" },
        { "turn_secrets = x\nturn = turns:a\n", ":4: turn: turns:a: TURN over TLS is not" },
        { "turn = turn:a turn:a turn:a turn:a turn:a turn:a turn:a turn:a turn:a\n",
          ":3: turn: more than 8 servers" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _free_ char *text = mem_format(LEAST "%s", cases[i].lines);
        _free_ char *path = write_named("bad.conf", text, 0600);
        _cleanup_(config_deinit) struct den_config c = { 0 };
        _buf_ all = { 0 };
        CHECK(!config_read(path, &c, &all, &err));
        CHECK(err.code == ERR_BAD_CONFIG);
        if (!CHECK(strstr(buf_cstr(&all), cases[i].why) && strstr(err.text, cases[i].why)))
            printf("# %s\n", err.text);
    }
}

TEST(secrets_start_from_the_configurations_folder)
{
    _free_ char *near = write_named("near", "0123456789abcdef", 0600);
    _free_ char *far = write_named("far", "fedcba9876543210", 0600);
    _free_ char *text = mem_format(LEAST "turn = turn:a\nturn_secrets = near %s\n", far);
    _free_ char *path = write_named("den.conf", text, 0600);
    _free_ char *wanted = mem_format("%s %s", near, far);
    _cleanup_(config_deinit) struct den_config c = { 0 };
    _cleanup_(turn_freep) struct turn *turn = NULL;
    struct turn *none = NULL;

    CHECK_OK(config_read(path, &c, NULL, &err), err);
    CHECK_STR(c.turn_secrets, wanted);
    CHECK_OK(config_open_turn(path, &c, &turn, &err), err);
    CHECK_U64(turn_n_secrets(turn), 2);

    chmod(near, 0644);
    _free_ char *place = mem_format("%s:4: turn_secrets: %s", path, near);
    CHECK(!config_open_turn(path, &c, &none, &err));
    if (!CHECK(strncmp(err.text, place, strlen(place)) == 0))
        printf("# %s\n", err.text);
}

/* Each that is wrong, beside whatever else is. */
TEST(all_secrets_are_looked_at_whatever_else_is_wrong)
{
    _free_ char *good = write_named("good", "0123456789abcdef", 0600);
    _free_ char *open = write_named("open", "fedcba9876543210", 0644);
    _free_ char *text = mem_format(LEAST "nonsense = 1\nturn = turn:a\n"
                                         "turn_secrets = near.none good open %s/far.none\n",
                                   check_dir());
    _free_ char *path = write_named("several.conf", text, 0600);
    _free_ char *wanted =
        mem_format("%s:5: turn_secrets: %s/near.none: no such file\n"
                   "%s:5: turn_secrets: %s: mode 0644 lets others at it; chmod 0600 it\n"
                   "%s:5: turn_secrets: %s/far.none: no such file\n",
                   path, check_dir(), path, open, path, check_dir());
    _cleanup_(config_deinit) struct den_config c = { 0 };
    _buf_ all = { 0 }, of_turn = { 0 };

    CHECK(good && !config_read(path, &c, &all, &err));
    CHECK(strstr(buf_cstr(&all), "nonsense") && !strstr(buf_cstr(&all), "turn_secrets"));
    CHECK(!config_check_turn(path, &c, &of_turn));
    CHECK_STR(buf_cstr(&of_turn), wanted);
}
