/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that a process's signals do not reach: those are the business of whoever was there before, and a write to a dead
 * connection is an error, not a SIGPIPE. */
#pragma once

#include <pthread.h>

/* 0, or an error number as pthread_create(3) has it. `ret_thread` NULL: nobody waits for its end. */
int thread_start(void *(*run)(void *user), void *user, pthread_t *ret_thread);
