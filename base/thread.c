/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <signal.h>

int thread_start(void *(*run)(void *user), void *user, pthread_t *ret_thread)
{
    sigset_t all, before;
    pthread_t thread;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(ret_thread ? ret_thread : &thread, NULL, run, user);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0 && !ret_thread)
        pthread_detach(thread);
    return rc;
}
