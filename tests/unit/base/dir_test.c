/* SPDX-License-Identifier: Apache-2.0 */
#include "base/dir.h"

#include "base/file.h"
#include "tests/check.h"

#include <unistd.h>

static void put(const char *dir, const char *name)
{
    _free_ char *path = file_path(dir, name);
    struct err err;

    CHECK_OK(file_write(path, VIEW_LIT("x"), 0600, &err), err);
}

TEST(what_is_not_known_is_found)
{
    static const char *const names[] = { "identity.key", "lock" };
    _free_ char *dir = file_path(check_dir(), "d"), *file = NULL, *other = NULL;
    struct err err = { 0 };

    CHECK_OK(dir_find_other(dir, names, 2, &other, &err), err); /* no such folder */
    CHECK(!other);
    CHECK_OK(file_private_dir(dir, &err), err);
    put(dir, "lock");
    put(dir, "identity.key.new-12"); /* was interrupted */
    CHECK_OK(dir_find_other(dir, names, 2, &other, &err), err);
    CHECK(!other);
    put(dir, "lockpick");
    CHECK_OK(dir_find_other(dir, names, 2, &other, &err), err);
    CHECK_STR(other, "lockpick");
    file = file_path(dir, "lock");
    free(STEAL(other));
    CHECK_ERR(dir_find_other(file, names, 2, &other, &err), err, ERR_SYSTEM);
}

TEST(a_folder_goes_with_its_files)
{
    _free_ char *dir = file_path(check_dir(), "gone");
    struct err err = { 0 };

    CHECK_OK(file_private_dir(dir, &err), err);
    put(dir, "a");
    put(dir, ".b");
    dir_remove_flat(dir);
    CHECK(access(dir, F_OK) != 0);
}
