/* SPDX-License-Identifier: Apache-2.0 */
/* A copy of the store that cannot be written, as an auditor has it. */
#include "base/file.h"
#include "den/store.h"
#include "tests/check.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct err err;

enum { NOBODY = 65533 };

/* Of what there is of `path`, into a folder of its own that nobody can write. */
static char *copy_of(const char *path, bool with_log, bool with_anchor)
{
    static unsigned n;
    _free_ char *dir = mem_format("%s/copy %u%%#", check_dir(), n++);
    char *copy = mem_format("%s/den.db", dir);
    _free_ char *anchor = mem_format("%.*s.anchor", (int)strlen(path) - 3, path),
                *log = mem_format("%s-wal", path);
    const struct {
        const char *from, *end;
        bool is;
    } files[] = { { path, "den.db", true },
                  { log, "den.db-wal", with_log },
                  { anchor, "den.anchor", with_anchor } };

    CHECK(mkdir(dir, 0700) == 0);
    for (size_t i = 0; i < N_ELEMENTS(files); i++) {
        _free_ char *to = mem_format("%s/%s", dir, files[i].end);
        _buf_ bytes = { 0 };
        if (!files[i].is)
            continue;
        CHECK(file_read(files[i].from, 1 << 26, &bytes, &err) &&
              file_write(to, buf_view(&bytes), 0600, &err));
        CHECK(chmod(to, 0400) == 0 && (geteuid() != 0 || chown(to, NOBODY, NOBODY) == 0));
    }
    CHECK(chmod(dir, 0500) == 0 && (geteuid() != 0 || chown(dir, NOBODY, NOBODY) == 0));
    return copy;
}

/* By somebody who may not write there: how many audit entries it has; -1: it was not opened, and err says why. */
static int count_entries(const char *path)
{
    struct store_audit last = { 0 };
    struct store *store = NULL;
    int ends[2], n = -1, status;
    enum store_found is;
    pid_t pid;

    CHECK(pipe(ends) == 0 && chmod(check_dir(), 0711) == 0);
    pid = fork();
    if (pid == 0) {
        if (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) != 0)
            _exit(1);
        err = (struct err){ 0 };
        if (store_open_to_read(path, &store, &err) && store_audit_last(store, &is, &last, &err))
            n = is == STORE_NONE ? 0 : (int)last.no;
        (void)!write(ends[1], &n, sizeof(n));
        (void)!write(ends[1], &err, sizeof(err));
        _exit(0);
    }
    close(ends[1]);
    CHECK(read(ends[0], &n, sizeof(n)) == sizeof(n) &&
          read(ends[0], &err, sizeof(err)) == sizeof(err));
    close(ends[0]);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    return n;
}

static void add_entry(struct store *store, uint64_t no)
{
    struct store_audit entry = { .no = no, .at = no };

    buf_put_text(&entry.bytes, "what=x\n");
    CHECK(store_begin(store, &err) && store_audit_add(store, &entry, &err) &&
          store_commit(store, &err));
    buf_free(&entry.bytes);
}

TEST(a_copy_that_cannot_be_written_is_read)
{
    _free_ char *path = NULL, *running = NULL, *whole = NULL, *older = NULL;
    struct store *store = NULL;

    path = file_path(check_dir(), "den.db");
    CHECK_OK(store_create(path, &err) && store_open(path, &store, &err), err);
    add_entry(store, 1);
    store_free(store);
    whole = copy_of(path, false, true);
    CHECK_U64((uint64_t)count_entries(whole), 1);
    CHECK_OK(store_open(path, &store, &err), err);
    add_entry(store, 2); /* in the log alone */
    running = copy_of(path, true, true);
    older = copy_of(path, false, true);
    store_free(store);
    CHECK(count_entries(running) == -1);
    CHECK(
        strstr(err.text, "is not whole: what is in its log (-wal) cannot be read without writing"));
    CHECK(count_entries(older) == -1);
    CHECK(strstr(err.text,
                 "is not whole: newer entries of its audit were in a log that is not here"));
}
