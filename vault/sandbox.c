/* SPDX-License-Identifier: Apache-2.0 */
#include "vault/sandbox.h"

#include "base/file.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER 0
#endif

/* ---- landlock: no file at all, or those of a token ------------------------------------------------------------------------- */

struct ruleset { /* as of ABI 6; older kernels are handed the front of it */
    uint64_t fs, net, scoped;
};

/* Access rights of each ABI: what a kernel does not know must not be named. */
static const struct {
    unsigned n_fs, n_net, n_scoped;
    size_t size;
} abis[] = {
    { 0, 0, 0, 0 },   { 13, 0, 0, 8 },  { 14, 0, 0, 8 },  { 15, 0, 0, 8 },
    { 15, 2, 0, 16 }, { 16, 2, 0, 16 }, { 16, 2, 2, 24 },
};

static uint64_t bits(unsigned n)
{
    return ((uint64_t)1 << n) - 1;
}

#define OF_A_FILE                                                                                  \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |                                \
     (uint64_t)1 << 14 /* TRUNCATE */)
#define OF_A_FOLDER                                                                                \
    (OF_A_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |                    \
     LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG)

static bool allow_path(int ruleset, const char *path, uint64_t known, struct err *err)
{
    struct landlock_path_beneath_attr rule = {
        .parent_fd = open(path, O_PATH | O_CLOEXEC),
    };
    struct stat st = { 0 };
    bool ok;

    if (rule.parent_fd < 0)
        return err_errno(err, "token paths: %s", path);
    ok = fstat(rule.parent_fd, &st) == 0;
    rule.allowed_access = (S_ISDIR(st.st_mode) ? OF_A_FOLDER : OF_A_FILE) & known;
    ok = ok && syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    if (!ok)
        err_errno(err, "token paths: %s", path);
    close(rule.parent_fd);
    return ok;
}

static bool allow_paths(int ruleset, const char *paths, uint64_t known, struct err *err)
{
    while (paths && *paths) {
        size_t len = strcspn(paths, " ");
        _free_ char *path = view_dup_text(VIEW(paths, len));
        if (len && !allow_path(ruleset, path, known, err))
            return false;
        paths += len + (paths[len] == ' ');
    }
    return true;
}

/* *ret_abi: what is in force; 0: the kernel has none. */
static bool landlock(const char *paths, long *ret_abi, struct err *err)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    size_t row = abi < 0 ? 0 : (size_t)abi;
    bool ok;
    int fd;

    *ret_abi = 0;
    if (abi <= 0)
        return true;
    row = row < sizeof(abis) / sizeof(*abis) ? row : sizeof(abis) / sizeof(*abis) - 1;
    const struct ruleset all = { bits(abis[row].n_fs), bits(abis[row].n_net),
                                 bits(abis[row].n_scoped) };
    fd = (int)syscall(SYS_landlock_create_ruleset, &all, abis[row].size, 0);
    if (fd < 0)
        return true;
    ok = allow_paths(fd, paths, all.fs, err);
    if (ok && syscall(SYS_landlock_restrict_self, fd, 0) == 0)
        *ret_abi = abi;
    close(fd);
    return ok;
}

/* ---- seccomp: a list of what is needed, all else kills -------------------------------------------------- */

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#else
#define ARCH 0
#endif

enum { MAX_FILTER = 512 };

struct program {
    struct sock_filter code[MAX_FILTER];
    unsigned short n;
};

static void put(struct program *p, struct sock_filter instruction)
{
    if (p->n < MAX_FILTER)
        p->code[p->n++] = instruction;
}

#define LOAD(member)                                                                               \
    (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define SKIP_UNLESS(value, n)                                                                      \
    (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 0, (n))
#define RETURN(what) (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, (what))

static void allow(struct program *p, long nr)
{
    put(p, SKIP_UNLESS(nr, 1));
    put(p, RETURN(SECCOMP_RET_ALLOW));
}

/* Memory that is not to be executed. */
static void allow_data(struct program *p, long nr)
{
    put(p, SKIP_UNLESS(nr, 4));
    put(p, LOAD(args[2]));
    put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1));
    put(p, RETURN(SECCOMP_RET_KILL_PROCESS));
    put(p, RETURN(SECCOMP_RET_ALLOW));
}

/* Threads, but no processes. glibc takes clone() where there is no clone3(), whose flags no filter can see. */
static void allow_threads(struct program *p)
{
    put(p, SKIP_UNLESS(SYS_clone3, 1));
    put(p, RETURN(SECCOMP_RET_ERRNO | ENOSYS));
    put(p, SKIP_UNLESS(SYS_clone, 4));
    put(p, LOAD(args[0]));
    put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1));
    put(p, RETURN(SECCOMP_RET_ALLOW));
    put(p, RETURN(SECCOMP_RET_KILL_PROCESS));
}

static const long needed[] = {
    /* the descriptors that it has */
    SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_recvfrom, SYS_recvmsg, SYS_sendto, SYS_sendmsg,
    SYS_ppoll, SYS_close, SYS_pread64, SYS_pwrite64, SYS_lseek, SYS_fdatasync, SYS_fsync,
    SYS_ftruncate, SYS_fstat,
    /* memory */
    SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk, SYS_mlock, SYS_mlock2, SYS_munlock,
    /* time and chance */
    SYS_clock_gettime, SYS_clock_nanosleep, SYS_gettimeofday, SYS_getrandom,
    /* itself, its threads and its end */
    SYS_futex, SYS_getpid, SYS_gettid, SYS_getuid, SYS_geteuid, SYS_sched_yield,
    SYS_sched_getaffinity, SYS_set_robust_list, SYS_rseq, SYS_rt_sigaction, SYS_rt_sigprocmask,
    SYS_rt_sigreturn, SYS_sigaltstack, SYS_restart_syscall, SYS_tgkill, SYS_exit, SYS_exit_group,
#ifdef SYS_poll
    SYS_poll,
#endif
#ifdef SYS_newfstatat
    SYS_newfstatat, /* glibc's fstat(); what it could say of other files, landlock does not hide */
#endif
};
/* Beside sockets. SoftHSM reads and locks its files for each signature, looks through its folder when it starts anew and writes
 * when it logs in; others talk to a daemon of this machine, from a thread. */
static const long needed_by_token[] = {
    SYS_openat,       SYS_fcntl,       SYS_flock,      SYS_getdents64,  SYS_readlinkat,
    SYS_unlinkat,     SYS_renameat2,   SYS_mkdirat,    SYS_faccessat,   SYS_faccessat2,
    SYS_statx,        SYS_fchmod,      SYS_fallocate,  SYS_dup,         SYS_fstatfs,
    SYS_connect,      SYS_getsockopt,  SYS_setsockopt, SYS_getsockname, SYS_getpeername,
    SYS_shutdown,     SYS_pselect6,    SYS_pipe2,      SYS_eventfd2,    SYS_epoll_create1,
    SYS_epoll_ctl,    SYS_epoll_pwait, SYS_uname,      SYS_sysinfo,     SYS_getppid,
    SYS_getgid,       SYS_getegid,     SYS_umask,      SYS_prlimit64,   SYS_nanosleep,
    SYS_clock_getres, SYS_pwritev,     SYS_preadv,
#ifdef SYS_open
    SYS_open,         SYS_stat,        SYS_lstat,      SYS_access,      SYS_readlink,
    SYS_unlink,       SYS_rename,      SYS_mkdir,      SYS_select,      SYS_time,
    SYS_dup2,         SYS_epoll_wait,
#endif
#ifdef SYS_renameat
    SYS_renameat,
#endif
#ifdef SYS_newfstatat
    SYS_newfstatat,
#endif
};
static const long needed_to_accept[] = { SYS_accept4, SYS_getsockopt, SYS_setsockopt };

/* Of this machine alone. */
static void allow_local_sockets(struct program *p)
{
    put(p, SKIP_UNLESS(SYS_socket, 4));
    put(p, LOAD(args[0]));
    put(p, SKIP_UNLESS(AF_UNIX, 1));
    put(p, RETURN(SECCOMP_RET_ALLOW));
    put(p, RETURN(SECCOMP_RET_KILL_PROCESS));
}

static bool seccomp(bool may_accept, bool has_token)
{
    struct program p = { .n = 0 };

    put(&p, LOAD(arch));
    put(&p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0));
    put(&p, RETURN(SECCOMP_RET_KILL_PROCESS));
    put(&p, LOAD(nr));
    for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
        allow(&p, needed[i]);
    for (size_t i = 0; may_accept && i < sizeof(needed_to_accept) / sizeof(*needed_to_accept); i++)
        allow(&p, needed_to_accept[i]);
    for (size_t i = 0; has_token && i < sizeof(needed_by_token) / sizeof(*needed_by_token); i++)
        allow(&p, needed_by_token[i]);
    if (has_token) {
        allow_local_sockets(&p);
        put(&p, LOAD(nr));
    }
    allow_data(&p, SYS_mmap);
    put(&p, LOAD(nr));
    allow_data(&p, SYS_mprotect);
    put(&p, LOAD(nr));
    allow_threads(&p);
    put(&p, RETURN(SECCOMP_RET_KILL_PROCESS));
    const struct sock_fprog program = { .len = p.n, .filter = p.code };
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0;
}

/* ---- all of it --------------------------------------------------------------------------------------------- */

static const char *enter_seccomp(bool may_accept, bool has_token, struct err *err)
{
    if (HAS_SANITIZER) /* it looks at the process from another one at its end */
        return "off(sanitizer)";
    if (ARCH == 0)
        return "off(unknown_machine)";
    if (seccomp(may_accept, has_token))
        return "on";
    err_errno(err, "seccomp");
    return NULL;
}

/* Threads of a module, which were there before: landlock is not for them. */
static unsigned n_others(void)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    unsigned n = 0;

    while (tasks && (entry = readdir(tasks)))
        n += entry->d_name[0] != '.';
    if (tasks)
        closedir(tasks);
    return n > 1 ? n - 1 : 0;
}

static void report_token(const char *paths, unsigned n_threads, struct buf *to)
{
    buf_printf(to, " token_paths=%s", *paths ? log_quote_text(paths) : "none");
    if (n_threads)
        buf_printf(to, " threads_without_landlock=%u", n_threads);
}

bool vault_sandbox_enter(bool may_accept, const char *token_paths, struct buf *ret_report,
                         struct err *err)
{
    const struct rlimit none = { 0, 0 };
    const char *is_filtered;
    long abi;

    file_forbid_dumps();
    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return err_errno(err, "sandbox");
    unsigned n_threads = token_paths ? n_others() : 0;
    if (!landlock(token_paths, &abi, err))
        return false;
    is_filtered = enter_seccomp(may_accept, token_paths, err);
    if (!is_filtered)
        return false;
    buf_printf(ret_report, "seccomp=%s landlock=", is_filtered);
    if (abi)
        buf_printf(ret_report, "v%ld", abi);
    else
        buf_put_text(ret_report, "off(not_in_this_kernel)");
    if (token_paths)
        report_token(token_paths, n_threads, ret_report);
    buf_put_text(ret_report, " new_privileges=off core_dumps=off");
    return true;
}
