/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "tests/check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

/* Who runs the tests: root gives the file away, anybody else pretends to be somebody else. */
static uid_t pretended;
uid_t __real_geteuid(void);
uid_t __wrap_geteuid(void);
uid_t __wrap_geteuid(void)
{
    return pretended ? pretended : __real_geteuid();
}

static bool give_away(const char *path)
{
    if (__real_geteuid() == 0)
        return chown(path, 65533, (gid_t)-1) == 0;
    pretended = 65533;
    return true;
}

TEST(what_belongs_to_others_is_refused)
{
    _free_ char *secret = file_path(check_dir(), "theirs"), *dir = file_path(check_dir(), "their");
    _free_ char *wanted = mem_format("%s: it belongs to user ", secret);
    _buf_ back = { 0 };
    struct err err;

    CHECK_OK(file_write(secret, VIEW_LIT("s"), 0600, &err), err);
    CHECK_OK(file_private_dir(dir, &err), err);
    CHECK_OK(file_read_secret(secret, 100, &back, &err), err);
    CHECK(give_away(secret) && give_away(dir));
    CHECK_ERR(file_read_secret(secret, 100, &back, &err), err, ERR_EXPOSED);
    CHECK(strncmp(err.text, wanted, strlen(wanted)) == 0);
    CHECK(strstr(err.text, "neither this one nor root; chown it") != NULL);
    CHECK_ERR(file_check_private_dir(dir, &err), err, ERR_EXPOSED);
    CHECK(strstr(err.text, "chown it") != NULL);
    buf_free(&back);
    CHECK_OK(file_read(secret, 100, &back, &err), err); /* no secret to this reader */
    pretended = 0;
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

TEST(what_is_no_file_is_refused_at_once)
{
    _free_ char *fifo = file_path(check_dir(), "fifo");
    const struct {
        const char *path, *why;
    } cases[] = {
        { fifo, "a named pipe, not a file" },
        { check_dir(), "a folder, not a file" },
        { "/dev/zero", "a device, not a file" },
    };
    _buf_ back = { 0 };
    struct err err;

    CHECK(mkfifo(fifo, 0600) == 0);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        CHECK_ERR(file_read(cases[i].path, 100, &back, &err), err, ERR_INVALID_ARGUMENT);
        CHECK(strstr(err.text, cases[i].path) && strstr(err.text, cases[i].why));
    }
    CHECK_ERR(file_read_secret(fifo, 100, &back, &err), err, ERR_INVALID_ARGUMENT);
}

/* A shell's `<(...)`, whose writer takes its time. */
TEST(a_pipe_that_was_handed_over_is_read_to_its_end)
{
    _buf_ back = { 0 };
    struct err err;
    int ends[2];

    if (!CHECK(pipe(ends) == 0))
        return;
    _free_ char *path = mem_format("/dev/fd/%d", ends[0]);
    pid_t child = fork();
    if (child == 0) {
        usleep(50000);
        _exit(write(ends[1], "slow", 4) == 4 ? 0 : 1);
    }
    close(ends[1]);
    CHECK_OK(file_read(path, 100, &back, &err), err);
    CHECK_VIEW(buf_view(&back), VIEW_LIT("slow"));
    CHECK(waitpid(child, NULL, 0) == child);
    close(ends[0]);
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

TEST(what_is_appended_comes_after_what_is_there)
{
    _free_ char *path = file_path(check_dir(), "log"), *none = file_path(check_dir(), "none");
    _buf_ bytes = { 0 };
    struct err err = { 0 };

    CHECK_OK(file_write(path, VIEW_LIT("first\n"), 0600, &err), err);
    CHECK_OK(file_append(path, VIEW_LIT("second\n"), &err), err);
    CHECK_OK(file_read(path, 100, &bytes, &err), err);
    CHECK_VIEW(buf_view(&bytes), VIEW_LIT("first\nsecond\n"));
    CHECK_ERR(file_append(none, VIEW_LIT("x"), &err), err, ERR_NOT_FOUND);
}

/* ---- at an offset ----------------------------------------------------------------------------------- */

/* What the next calls do: 'i' is interrupted, 's' writes 3 bytes, 'f' finds no room, '0' writes nothing; then as they are. */
static const char *moods = "";

static bool fails(size_t *len, ssize_t *ret_n)
{
    switch (*moods ? *moods++ : '\0') {
    case 'i':
        errno = EINTR;
        *ret_n = -1;
        return true;
    case 'f':
        errno = EFBIG;
        *ret_n = -1;
        return true;
    case '0':
        *ret_n = 0;
        return true;
    case 's':
        *len = *len < 3 ? *len : 3;
    }
    return false;
}

/* Either name, as the system's headers have it. */
ssize_t __real_pwrite(int fd, const void *bytes, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    ssize_t n;

    return fails(&len, &n) ? n : __real_pwrite(fd, bytes, len, at);
}

ssize_t __real_pwrite64(int fd, const void *bytes, size_t len, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t len, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t len, off_t at)
{
    ssize_t n;

    return fails(&len, &n) ? n : __real_pwrite64(fd, bytes, len, at);
}

TEST(what_is_written_at_an_offset_is_written_wholly)
{
    static const struct row {
        const char *moods, *after;
        int number; /* 0: it succeeds */
    } rows[] = {
        { "", "ab12345678kl", 0 },
        { "isisii", "ab12345678kl", 0 },
        { "ss0", "ab123456ijkl", ENOSPC },
        { "sif", "ab123fghijkl", EFBIG },
    };
    _free_ char *path = file_path(check_dir(), "slots");

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        _buf_ bytes = { 0 };
        struct err err = { 0 };
        CHECK_OK(file_write(path, VIEW_LIT("abcdefghijkl"), 0600, &err), err);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        moods = rows[i].moods;
        bool ok = file_write_at(fd, VIEW_LIT("12345678"), 2);
        CHECK_U64(ok ? 0 : (uint64_t)errno, (uint64_t)rows[i].number);
        CHECK_STR(moods, "");
        close(fd);
        CHECK_OK(file_read(path, 100, &bytes, &err), err);
        CHECK_VIEW(buf_view(&bytes), view_text(rows[i].after));
    }
}
