/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of every test program: runs the TEST()s, prints TAP. `PROGRAM NAME` runs one. */
#include "tests/check.h"
#include "base/key.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static struct check_test *first, **last = &first;
static unsigned n_failed_checks;
static const char *skipped_because;
static char dir[256];

void check_register(struct check_test *test)
{
    *last = test;
    last = &test->next;
}

void check_failed(const char *file, int line, const char *fmt, ...)
{
    va_list args;

    n_failed_checks++;
    printf("# %s:%d: ", file, line);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("\n");
}

unsigned check_n_failed(void)
{
    return n_failed_checks;
}

void check_skip(const char *why)
{
    skipped_because = why;
}

bool check_str(const char *file, int line, const char *got, const char *wanted)
{
    bool ok = got && strcmp(got, wanted) == 0;

    if (!ok)
        check_failed(file, line, "got \"%s\", wanted \"%s\"", got ? got : "(null)", wanted);
    return ok;
}

bool check_u64(const char *file, int line, const char *what, uint64_t got, uint64_t wanted)
{
    if (got != wanted)
        check_failed(file, line, "%s: got %llu, wanted %llu", what, (unsigned long long)got,
                     (unsigned long long)wanted);
    return got == wanted;
}

bool check_view(const char *file, int line, struct view got, struct view wanted)
{
    _buf_ a = { 0 };
    _buf_ b = { 0 };

    if (view_eq(got, wanted))
        return true;
    text_put_hex(&a, view_sub(got, 0, 600));
    text_put_hex(&b, view_sub(wanted, 0, 600));
    check_failed(file, line, "got %s, wanted %s", buf_cstr(&a), buf_cstr(&b));
    return false;
}

char *check_vectors(const char *name)
{
    const char *root = getenv("WARREN_VECTORS");

    if (root && *root)
        return mem_format("%s/%s", root, name);
    check_skip("WARREN_VECTORS is not set");
    return NULL;
}

static void remove_dir(void)
{
    _free_ char *command = mem_format("rm -rf -- '%s'", dir);

    if (system(command) != 0)
        fprintf(stderr, "could not remove %s\n", dir);
}

const char *check_dir(void)
{
    if (!dir[0]) {
        const char *parent = getenv("TMPDIR");
        snprintf(dir, sizeof(dir), "%s/warren-test-XXXXXX", parent && *parent ? parent : "/tmp");
        if (!mkdtemp(dir))
            abort();
        atexit(remove_dir);
    }
    return dir;
}

const char *check_source_root(void)
{
    const char *root = getenv("WARREN_SOURCE");

    return root ? root : WARREN_SOURCE_ROOT;
}

int main(int argc, char **argv)
{
    unsigned n = 0, n_run = 0, n_bad = 0;
    struct err err;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!key_init(&err))
        return 99;
    for (struct check_test *test = first; test; test = test->next)
        n += argc < 2 || strcmp(argv[1], test->name) == 0;
    printf("1..%u\n", n);
    for (struct check_test *test = first; test; test = test->next) {
        if (argc >= 2 && strcmp(argv[1], test->name) != 0)
            continue;
        n_failed_checks = 0;
        skipped_because = NULL;
        test->run();
        n_run++;
        n_bad += n_failed_checks > 0;
        if (skipped_because && !n_failed_checks)
            printf("ok %u %s # SKIP %s\n", n_run, test->name, skipped_because);
        else
            printf("%s %u %s\n", n_failed_checks ? "not ok" : "ok", n_run, test->name);
    }
    return n_bad || n_run == 0 ? 1 : 0;
}
