/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a harness over every file of the folders and files given; fails when there is none. */
#include "base/file.h"
#include "base/key.h"
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

enum { MAX_FILE = 2 * 1024 * 1024 };

static unsigned replay(const char *path)
{
    _buf_ bytes = { 0 };
    struct err err;

    if (!file_read(path, MAX_FILE, &bytes, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    _buf_ copy =
        buf_dup(buf_view(&bytes)); /* of its own size, so that a sanitizer sees where it ends */
    LLVMFuzzerTestOneInput(copy.data, copy.len);
    return 1;
}

static unsigned replay_dir(const char *path)
{
    struct dirent *entry;
    unsigned n = 0;
    DIR *dir = opendir(path);

    if (!dir) {
        perror(path);
        exit(1);
    }
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        _free_ char *name = file_path(path, entry->d_name);
        n += replay(name);
    }
    closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    struct stat st;
    unsigned n = 0;
    struct err err;

    if (!key_init(&err))
        return 1;
    for (int i = 1; i < argc; i++)
        n += stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode) ? replay_dir(argv[i]) : replay(argv[i]);
    printf("%u inputs\n", n);
    return n ? 0 : 1;
}
