/* SPDX-License-Identifier: Apache-2.0 */
/* A library to preload: calls that change what is on the disk fail, or end the program, when told to. FAULTS names a file of
 * which the first bytes are what to do, as struct faults below has it; whoever tests writes there while the program runs.
 * Only files whose paths begin as FAULTS_UNDER says are concerned, but for those that begin as FAULTS_BUT does. */
#undef _FILE_OFFSET_BITS /* both names of a call are ours */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CALL_WRITE = 1,
    CALL_SYNC = 2,
    CALL_OPEN = 4,
    CALL_RENAME = 8,
    CALL_TRUNCATE = 16,
    CALL_READ = 32
};

struct faults {
    uint32_t calls; /* which: bits */
    /* errno; 0: none, 255: SIGKILL before the call, 254: after half of a write, 253: it takes its time, 252: SIGKILL after a rename */
    uint32_t number;
    uint32_t after;            /* so many of them go well first; 253: ms */
    uint32_t how_many;         /* fail then; 0: all */
    uint32_t n_seen, n_failed; /* counted here */
};

static struct faults *faults;
static const char *under, *but;

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("FAULTS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *at;

    under = getenv("FAULTS_UNDER");
    but = getenv("FAULTS_BUT");
    if (fd < 0 || !under) {
        fprintf(stderr, "faults: FAULTS or FAULTS_UNDER is not usable\n");
        abort();
    }
    at = mmap(NULL, sizeof(*faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        abort();
    faults = at;
}

static int is_under(const char *path)
{
    return strncmp(path, under, strlen(under)) == 0 &&
           !(but && strncmp(path, but, strlen(but)) == 0);
}

/* Noted when a file is opened: a sandboxed program cannot ask later. */
static unsigned char ours[65536];

static int is_ours(int fd)
{
    return fd >= 0 && fd < (int)sizeof(ours) && ours[fd];
}

static int note(int fd, const char *path)
{
    if (fd >= 0 && fd < (int)sizeof(ours))
        ours[fd] = (unsigned char)(faults && is_under(path));
    return fd;
}

/* Whether this call fails; errno is set. `half`: a write may be cut in two, a rename be the last that is done. */
static int fails(uint32_t call, int *half)
{
    uint32_t n;

    if (!faults || !(faults->calls & call))
        return 0;
    n = __atomic_fetch_add(&faults->n_seen, 1, __ATOMIC_SEQ_CST);
    if (faults->number == 253) {
        poll(NULL, 0, (int)faults->after); /* a sandbox allows it */
        return 0;
    }
    if (!faults->number || n < faults->after ||
        (faults->how_many && n >= faults->after + faults->how_many))
        return 0;
    __atomic_fetch_add(&faults->n_failed, 1, __ATOMIC_SEQ_CST);
    if ((faults->number == 254 || faults->number == 252) && half) {
        *half = 1;
        return 0;
    }
    if (faults->number >= 252)
        kill(getpid(), SIGKILL);
    errno = (int)faults->number;
    return 1;
}

#define REAL(type, name) type real = (type)dlsym(RTLD_NEXT, name)

typedef ssize_t write_call(int fd, const void *bytes, size_t len);
typedef ssize_t pwrite_call(int fd, const void *bytes, size_t len, off64_t at);
typedef ssize_t pread_call(int fd, void *bytes, size_t len, off64_t at);
typedef int fd_call(int fd);
typedef int truncate_call(int fd, off64_t len);
typedef int open_call(const char *path, int flags, ...);
typedef int rename_call(const char *from, const char *to);

ssize_t write(int fd, const void *bytes, size_t len)
{
    REAL(write_call *, "write");
    int half = 0;

    if (faults && (faults->calls & CALL_WRITE) && is_ours(fd) && fails(CALL_WRITE, &half))
        return -1;
    if (half) {
        (void)!real(fd, bytes, len / 2);
        kill(getpid(), SIGKILL);
    }
    return real(fd, bytes, len);
}

static ssize_t pwrite_any(const char *name, int fd, const void *bytes, size_t len, off64_t at)
{
    REAL(pwrite_call *, name);
    int half = 0;

    if (faults && (faults->calls & CALL_WRITE) && is_ours(fd) && fails(CALL_WRITE, &half))
        return -1;
    if (half) {
        (void)!real(fd, bytes, len / 2, at);
        kill(getpid(), SIGKILL);
    }
    return real(fd, bytes, len, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    return pwrite_any("pwrite", fd, bytes, len, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
    return pwrite_any("pwrite64", fd, bytes, len, at);
}

static ssize_t pread_any(const char *name, int fd, void *bytes, size_t len, off64_t at)
{
    REAL(pread_call *, name);

    if (faults && (faults->calls & CALL_READ) && is_ours(fd) && fails(CALL_READ, NULL))
        return -1;
    return real(fd, bytes, len, at);
}

ssize_t pread(int fd, void *bytes, size_t len, off_t at)
{
    return pread_any("pread", fd, bytes, len, at);
}

ssize_t pread64(int fd, void *bytes, size_t len, off64_t at)
{
    return pread_any("pread64", fd, bytes, len, at);
}

int close(int fd)
{
    REAL(fd_call *, "close");

    if (fd >= 0 && fd < (int)sizeof(ours))
        ours[fd] = 0;
    return real(fd);
}

int fsync(int fd)
{
    REAL(fd_call *, "fsync");

    if (faults && (faults->calls & CALL_SYNC) && is_ours(fd) && fails(CALL_SYNC, NULL))
        return -1;
    return real(fd);
}

int fdatasync(int fd)
{
    REAL(fd_call *, "fdatasync");

    if (faults && (faults->calls & CALL_SYNC) && is_ours(fd) && fails(CALL_SYNC, NULL))
        return -1;
    return real(fd);
}

static int truncate_any(const char *name, int fd, off64_t len)
{
    REAL(truncate_call *, name);

    if (faults && (faults->calls & CALL_TRUNCATE) && is_ours(fd) && fails(CALL_TRUNCATE, NULL))
        return -1;
    return real(fd, len);
}

int ftruncate(int fd, off_t len)
{
    return truncate_any("ftruncate", fd, len);
}

int ftruncate64(int fd, off64_t len)
{
    return truncate_any("ftruncate64", fd, len);
}

static int open_any(const char *name, const char *path, int flags, mode_t mode)
{
    REAL(open_call *, name);

    if (faults && (faults->calls & CALL_OPEN) && (flags & (O_WRONLY | O_RDWR)) && is_under(path) &&
        fails(CALL_OPEN, NULL))
        return -1;
    return note(real(path, flags, mode), path);
}

static mode_t mode_of(int flags, va_list args)
{
    return flags & O_CREAT ? va_arg(args, mode_t) : 0;
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list args;                                                                              \
        mode_t mode;                                                                               \
                                                                                                   \
        va_start(args, flags);                                                                     \
        mode = mode_of(flags, args);                                                               \
        va_end(args);                                                                              \
        return open_any(#name, path, flags, mode);                                                 \
    }
OPEN(open)
OPEN(open64)

int rename(const char *from, const char *to)
{
    REAL(rename_call *, "rename");
    int is_last = 0, result;

    if (faults && (faults->calls & CALL_RENAME) && is_under(to) && fails(CALL_RENAME, &is_last))
        return -1;
    result = real(from, to);
    if (is_last)
        kill(getpid(), SIGKILL);
    return result;
}
