/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel that gives a direct pair no socket beside libnice's: all of it goes through libnice. A program of its own: what is refused here stays
 * refused. */
#include "tests/unit/ice/two.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static bool refuse(unsigned option)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setsockopt, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, option, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { N_ELEMENTS(code), code };

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST(a_kernel_that_refuses_leaves_all_of_it_with_libnice)
{
    const size_t mixed[] = { 1200, 1200, 1200, 700, 1200, 9, 9, 9, 30, 1452, 1452, 60 };
    struct two two = { 0 };
    struct ice_path path;

    CHECK(refuse(SO_ATTACH_REUSEPORT_CBPF));
    begin(&two);
    CHECK(ice_agent_path(two.a.agent, &path));
    CHECK_U64(n_bound(port_of(path.local)), 1);
    check_arrives(&two, mixed, N_ELEMENTS(mixed));
    end(&two);
}
