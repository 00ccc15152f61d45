/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "peer/state.h"
#include "tests/check.h"

#include <stdlib.h>
#include <sys/stat.h>

static char *fresh(const char *name)
{
    struct err err;

    CHECK(key_init(&err));
    return file_path(check_dir(), name);
}

TEST(a_folder_is_made_private_and_locked)
{
    _free_ char *dir = fresh("a/b/c");
    _cleanup_(state_freep) struct state *state = NULL, *second = NULL;
    struct stat st;
    struct err err;

    CHECK_ERR(state_open(dir, false, &state, &err), err, ERR_NOT_JOINED);
    CHECK_OK(state_open(dir, true, &state, &err), err);
    CHECK(stat(dir, &st) == 0 && (st.st_mode & 0777) == 0700);
    CHECK_ERR(state_open(dir, true, &second, &err), err, ERR_BUSY);
    CHECK_OK(state_look(dir, &second, &err), err); /* looking needs no lock */
}

TEST(a_folder_that_others_can_enter_is_refused)
{
    static const mode_t modes[] = { 0755, 0750, 0711, 0701, 0770 };
    _free_ char *dir = fresh("exposed");
    struct err err;

    CHECK(mkdir(dir, 0700) == 0);
    for (size_t i = 0; i < N_ELEMENTS(modes); i++) {
        _cleanup_(state_freep) struct state *state = NULL;

        CHECK(chmod(dir, modes[i]) == 0);
        CHECK_ERR(state_open(dir, true, &state, &err), err, ERR_EXPOSED);
        CHECK_ERR(state_look(dir, &state, &err), err, ERR_EXPOSED);
    }
}

TEST(a_file_that_others_can_read_is_refused)
{
    _free_ char *dir = fresh("file");
    _cleanup_(state_freep) struct state *state = NULL;
    _buf_ bytes = { 0 };
    struct stat st;
    struct err err;
    bool exists;

    CHECK_OK(state_open(dir, true, &state, &err), err);
    CHECK_OK(state_read_if(state, STATE_CERT, &bytes, &exists, &err), err);
    CHECK(!exists);
    CHECK_OK(state_write(state, STATE_CERT, VIEW_LIT("pem"), &err), err);
    CHECK(stat(state_path(state, STATE_CERT), &st) == 0 && (st.st_mode & 0777) == 0600);
    CHECK_OK(state_read_if(state, STATE_CERT, &bytes, &exists, &err), err);
    CHECK(exists);
    CHECK_VIEW(buf_view(&bytes), VIEW_LIT("pem"));
    CHECK(chmod(state_path(state, STATE_CERT), 0640) == 0);
    CHECK_ERR(state_read_if(state, STATE_CERT, &bytes, &exists, &err), err, ERR_EXPOSED);
}

TEST(the_identity_is_made_once)
{
    _free_ char *dir = fresh("identity");
    _cleanup_(state_freep) struct state *state = NULL;
    _cleanup_(key_freep) struct key *first = NULL, *again = NULL;
    struct err err;

    CHECK_OK(state_open(dir, true, &state, &err), err);
    CHECK_ERR(state_identity(state, false, &first, &err), err, ERR_NOT_JOINED);
    CHECK_OK(state_identity(state, true, &first, &err), err);
    CHECK_OK(state_identity(state, true, &again, &err), err);
    CHECK_VIEW(key_public_view(first), key_public_view(again));
}

TEST(the_default_folder_follows_the_environment)
{
    _free_ char *given = NULL, *state = NULL, *home = NULL, *none = NULL;
    struct err err;

    CHECK_OK(state_default_dir("/some/where", &given, &err), err);
    CHECK_STR(given, "/some/where");
    setenv("HOME", "/home/alice", 1);
    setenv("XDG_STATE_HOME", "/var/x", 1);
    CHECK_OK(state_default_dir(NULL, &state, &err), err);
    CHECK_STR(state, "/var/x/warren");
    setenv("XDG_STATE_HOME", "relative", 1);
    CHECK_OK(state_default_dir(NULL, &home, &err), err);
    CHECK_STR(home, "/home/alice/.local/state/warren");
    CHECK_ERR(state_default_dir("", &none, &err), err, ERR_INVALID_ARGUMENT);
}

TEST(a_signed_statement_is_read_whole_or_not_at_all)
{
    uint8_t sig[SIG_SIZE] = { 1, 2, 3 };
    struct view statement, got_sig;
    _buf_ bytes = { 0 };

    state_put_signed(&bytes, VIEW_LIT("statement"), VIEW_ARR(sig));
    CHECK(state_read_signed(buf_view(&bytes), &statement, &got_sig));
    CHECK_VIEW(statement, VIEW_LIT("statement"));
    CHECK_VIEW(got_sig, VIEW_ARR(sig));
    for (size_t n = 0; n < bytes.len; n++)
        CHECK(!state_read_signed(view_sub(buf_view(&bytes), 0, n), &statement, &got_sig));
    buf_put_u8(&bytes, 0);
    CHECK(!state_read_signed(buf_view(&bytes), &statement, &got_sig));
}
