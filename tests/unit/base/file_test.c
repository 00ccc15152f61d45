/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "tests/check.h"

#include <sys/stat.h>
#include <unistd.h>

TEST(a_file_is_replaced_whole_and_keeps_its_mode)
{
    _free_ char *path = file_path(check_dir(), "state");
    _buf_ back = { 0 };
    struct stat st;
    struct err err;

    CHECK_OK(file_write(path, VIEW_LIT("first"), 0600, &err), err);
    CHECK_OK(file_write(path, VIEW_LIT("second"), 0600, &err), err);
    CHECK_OK(file_read_secret(path, 100, &back, &err), err);
    CHECK_VIEW(buf_view(&back), VIEW_LIT("second"));
    CHECK(stat(path, &st) == 0);
    CHECK_U64(st.st_mode & 0777, 0600);
}

TEST(create_overwrites_nothing)
{
    _free_ char *path = file_path(check_dir(), "once");
    _buf_ back = { 0 };
    struct err err;

    CHECK_OK(file_create(path, VIEW_LIT("kept"), 0600, &err), err);
    CHECK_ERR(file_create(path, VIEW_LIT("lost"), 0600, &err), err, ERR_ALREADY_EXISTS);
    CHECK_OK(file_read(path, 100, &back, &err), err);
    CHECK_VIEW(buf_view(&back), VIEW_LIT("kept"));
}

TEST(secrets_that_others_can_read_are_refused)
{
    static const mode_t bad[] = { 0640, 0604, 0620, 0601, 0666 };
    _free_ char *path = file_path(check_dir(), "secret");
    _buf_ back = { 0 };
    struct err err;

    CHECK_OK(file_write(path, VIEW_LIT("s"), 0600, &err), err);
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        CHECK(chmod(path, bad[i]) == 0);
        CHECK_ERR(file_read_secret(path, 100, &back, &err), err, ERR_EXPOSED);
        CHECK(strstr(err.text, "chmod 0600") != NULL);
    }
}

TEST(folders_that_others_can_enter_are_refused)
{
    _free_ char *path = file_path(check_dir(), "a/b/c");
    struct err err;

    CHECK_ERR(file_check_private_dir(path, &err), err, ERR_NOT_FOUND);
    CHECK_OK(file_private_dir(path, &err), err);
    CHECK_OK(file_private_dir(path, &err), err);
    CHECK(chmod(path, 0750) == 0);
    CHECK_ERR(file_private_dir(path, &err), err, ERR_EXPOSED);
    CHECK(strstr(err.text, "chmod 0700") != NULL);
}

TEST(reading_is_bounded_and_names_what_is_missing)
{
    _free_ char *path = file_path(check_dir(), "large"), *none = file_path(check_dir(), "none");
    _buf_ back = { 0 };
    struct err err;

    CHECK_OK(file_write(path, VIEW_LIT("0123456789"), 0600, &err), err);
    CHECK_ERR(file_read(path, 9, &back, &err), err, ERR_TOO_LARGE);
    CHECK_OK(file_read(path, 10, &back, &err), err);
    CHECK_ERR(file_read(none, 9, &back, &err), err, ERR_NOT_FOUND);
    CHECK(strstr(err.text, none) != NULL);
}

TEST(a_folder_is_used_by_one_process)
{
    _free_ char *path = file_path(check_dir(), "lock");
    struct err err;
    int first, second;

    CHECK_OK(file_lock(path, &first, &err), err);
    CHECK_ERR(file_lock(path, &second, &err), err, ERR_BUSY);
    close(first);
    CHECK_OK(file_lock(path, &second, &err), err);
    close(second);
}
