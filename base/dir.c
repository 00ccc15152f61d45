/* SPDX-License-Identifier: Apache-2.0 */
#include "base/dir.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static bool is_one_of(const char *entry, const char *const *names, size_t n)
{
    if (strcmp(entry, ".") == 0 || strcmp(entry, "..") == 0)
        return true;
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(names[i]);
        if (strncmp(entry, names[i], len) == 0 &&
            (entry[len] == '\0' || strncmp(entry + len, ".new-", 5) == 0))
            return true;
    }
    return false;
}

bool dir_find_other(const char *path, const char *const *names, size_t n, char **ret_name,
                    struct err *err)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    *ret_name = NULL;
    if (!dir)
        return errno == ENOENT || err_errno(err, "%s", path);
    while (!*ret_name && (entry = readdir(dir)))
        if (!is_one_of(entry->d_name, names, n))
            *ret_name = mem_text(entry->d_name);
    closedir(dir);
    return true;
}

void dir_remove_flat(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd); /* which closes it */
    struct dirent *entry;

    while (dir && (entry = readdir(dir)))
        unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(path);
}
