/* SPDX-License-Identifier: Apache-2.0 */
/* What the fixtures of unit tests need of tests/check.c, in a program that libFuzzer runs: what
 * fails, aborts. */
#include "base/key.h"
#include "tests/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static char dir[64];

static void remove_dir(void)
{
    _free_ char *command = mem_format("rm -rf -- '%s'", dir);

    if (system(command) != 0)
        fprintf(stderr, "could not remove %s\n", dir);
}

const char *check_dir(void)
{
    if (!dir[0]) {
        snprintf(dir, sizeof(dir), "/tmp/warren-fuzz-XXXXXX");
        if (!mkdtemp(dir))
            abort();
        atexit(remove_dir);
    }
    return dir;
}

void check_failed(const char *file, int line, const char *fmt, ...)
{
    va_list args;

    fprintf(stderr, "%s:%d: ", file, line);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

bool check_str(const char *file, int line, const char *got, const char *wanted)
{
    if (strcmp(got, wanted) != 0)
        check_failed(file, line, "got \"%s\", wanted \"%s\"", got, wanted);
    return true;
}

bool check_u64(const char *file, int line, const char *what, uint64_t got, uint64_t wanted)
{
    if (got != wanted)
        check_failed(file, line, "%s: got %llu, wanted %llu", what, (unsigned long long)got,
                     (unsigned long long)wanted);
    return true;
}

bool check_view(const char *file, int line, struct view got, struct view wanted)
{
    if (!view_eq(got, wanted))
        check_failed(file, line, "other bytes than wanted");
    return true;
}

/* libFuzzer's word for what comes before the first input; replay.c does it by itself. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct err err;

    (void)argc;
    (void)argv;
    return key_init(&err) ? 0 : 1;
}
