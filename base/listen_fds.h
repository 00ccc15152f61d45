/* SPDX-License-Identifier: Apache-2.0 */
/* sd_listen_fds(3) without its library: listening sockets that systemd, or whoever started this
 * program, opened before it. */
#pragma once

#include "base/err.h"

#include <stddef.h>

enum { LISTEN_FDS_MAX = 8 };

/* They belong to the caller, are closed by exec(), and are handed out once: the variables that told
 * of them are unset. None are there (0) when $LISTEN_PID is not this process. BAD_CONFIG: the
 * variables cannot be understood, or there are too many. */
bool listen_fds_take(int ret_fds[LISTEN_FDS_MAX], size_t *ret_n, struct err *err);
