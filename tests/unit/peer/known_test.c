/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "peer/known.h"
#include "tests/check.h"

#define KEY_1 "1111111111111111111111111111111111111111111111111111111111111111"
#define KEY_2 "2222222222222222222222222222222222222222222222222222222222222222"

static const char file[] = "# friends\n"
                           "\n"
                           "456000 " KEY_1 " 2026-11-20T19:03:02Z\n"
                           "123456 " KEY_2 " 2026-11-21T19:03:02Z\n";

static void fill(uint8_t pk[KEY_SIZE], uint8_t with)
{
    memset(pk, with, KEY_SIZE);
}

TEST(a_peer_is_new_the_same_or_changed)
{
    static const struct {
        const char *id;
        uint8_t key;
        enum known known;
        size_t line;
    } cases[] = {
        { "456000", 0x11, KNOWN_SAME, 3 }, { "456000", 0x22, KNOWN_CHANGED, 3 },
        { "123456", 0x22, KNOWN_SAME, 4 }, { "123456", 0x11, KNOWN_CHANGED, 4 },
        { "999999", 0x11, KNOWN_NEW, 0 },  { "4560000", 0x11, KNOWN_NEW, 0 },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        uint8_t pk[KEY_SIZE];
        enum known known;
        size_t line = 0;
        struct err err;

        fill(pk, cases[i].key);
        CHECK_OK(known_find(view_text(file), cases[i].id, pk, &known, &line, &err), err);
        CHECK(known == cases[i].known);
        CHECK_U64(line, cases[i].line);
    }
}

TEST(a_line_that_is_not_understood_is_named)
{
    static const char *const cases[] = {
        "456000\n",
        "456000 1111 2026\n",
        "45600 " KEY_1 " x\n",
        "456000 " KEY_1 "\n",
        "456000 " KEY_1 " x y\n",
        "45600a " KEY_1 " x\n",
        "456000 " KEY_1 "1 x\n",
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ text = { 0 };
        uint8_t pk[KEY_SIZE];
        enum known known;
        size_t line;
        struct err err;

        fill(pk, 1);
        buf_printf(&text, "# one\n%s", cases[i]);
        CHECK_ERR(known_find(buf_view(&text), "456000", pk, &known, &line, &err), err,
                  ERR_BAD_CONFIG);
        CHECK_STR(err.text, "line 2: expected an ID, its key as 64 hexadecimal digits, and a time");
    }
}

TEST(what_is_remembered_is_found_and_a_change_names_its_line)
{
    _free_ char *dir = file_path(check_dir(), "known");
    _cleanup_(state_freep) struct state *state = NULL;
    uint8_t pk[KEY_SIZE], other[KEY_SIZE];
    struct err err;

    fill(pk, 0x11);
    fill(other, 0x22);
    CHECK_OK(key_init(&err), err);
    CHECK_OK(state_open(dir, true, &state, &err), err);
    CHECK_OK(known_check(state, "456000", pk, &err), err); /* no file yet: new */
    CHECK_OK(known_remember(state, "123456", other, 1795000000000, &err), err);
    CHECK_OK(known_remember(state, "456000", pk, 1795000000000, &err), err);
    CHECK_OK(known_remember(state, "456000", pk, 1795000000000, &err),
             err); /* again: nothing happens */
    CHECK_OK(known_check(state, "456000", pk, &err), err);

    _free_ char *wanted = mem_format(
        "456 000 came with another identity key than the one in %s/known_peers, line 2", dir);
    CHECK_ERR(known_check(state, "456000", other, &err), err, ERR_IDENTITY_CHANGED);
    CHECK_STR(err.text, wanted);
    CHECK_ERR(known_remember(state, "456000", other, 1, &err), err, ERR_IDENTITY_CHANGED);

    _buf_ text = { 0 };
    CHECK_OK(state_read(state, STATE_KNOWN, &text, &err), err);
    CHECK_STR(buf_cstr(&text),
              "123456 " KEY_2 " 2026-11-18T11:06:40Z\n456000 " KEY_1 " 2026-11-18T11:06:40Z\n");
}

TEST(a_file_that_is_not_understood_is_found_at_the_start)
{
    _free_ char *dir = file_path(check_dir(), "broken");
    _cleanup_(state_freep) struct state *state = NULL;
    struct err err;

    CHECK_OK(state_open(dir, true, &state, &err), err);
    CHECK_OK(known_load(state, &err), err); /* there is none */
    CHECK_OK(state_write(state, STATE_KNOWN, view_text(file), &err), err);
    CHECK_OK(known_load(state, &err), err);
    CHECK_OK(state_write(state, STATE_KNOWN, VIEW_LIT("who?\n"), &err), err);
    CHECK_ERR(known_load(state, &err), err, ERR_BAD_CONFIG);

    _free_ char *wanted = mem_format("%s/known_peers: line 1: expected an ID, its key as 64 "
                                     "hexadecimal digits, and a time",
                                     dir);
    CHECK_STR(err.text, wanted);
}
