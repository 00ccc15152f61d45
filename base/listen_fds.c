/* SPDX-License-Identifier: Apache-2.0 */
#include "base/listen_fds.h"
#include "base/text.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_FD = 3 };

static bool read_count(uint64_t *ret_n, struct err *err)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    uint64_t whose = 0;

    *ret_n = 0;
    if (!pid || !fds)
        return true;
    if (!text_read_u64(view_text(pid), &whose))
        return err_set(err, ERR_BAD_CONFIG, "$LISTEN_PID: expected a number");
    if (whose != (uint64_t)getpid()) /* they were for a program that started this one */
        return true;
    if (!text_read_u64(view_text(fds), ret_n))
        return err_set(err, ERR_BAD_CONFIG, "$LISTEN_FDS: expected a number");
    return *ret_n <= LISTEN_FDS_MAX ||
           err_set(err, ERR_BAD_CONFIG, "$LISTEN_FDS: at most %d sockets, %" PRIu64 " were given",
                   LISTEN_FDS_MAX, *ret_n);
}

bool listen_fds_take(int ret_fds[LISTEN_FDS_MAX], size_t *ret_n, struct err *err)
{
    uint64_t n;

    if (!read_count(&n, err))
        return false;
    for (int i = 0; i < (int)n; i++) {
        ret_fds[i] = FIRST_FD + i;
        if (fcntl(ret_fds[i], F_SETFD, FD_CLOEXEC) != 0)
            return err_set(err, ERR_BAD_CONFIG,
                           "$LISTEN_FDS: %" PRIu64 " sockets, but descriptor %d is not open", n,
                           ret_fds[i]);
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    *ret_n = n;
    return true;
}
