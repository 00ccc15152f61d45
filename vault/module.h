/* SPDX-License-Identifier: Apache-2.0 */
/* A PKCS#11 module in this process. One that is used by several keys is loaded and started once. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <p11-kit/pkcs11.h>
#include <pthread.h>

struct module {
    struct module *next;
    char *path;
    CK_FUNCTION_LIST *f;
    unsigned n_users;
    unsigned n_starts;    /* what it gave before the newest start, is gone */
    pthread_mutex_t lock; /* for whoever uses a session */
};
/* NOT_FOUND; EXPOSED when somebody else than root and this user could change it: it gets the keys' PIN. */
bool module_take(const char *path, struct module **ret_module, struct err *err);
void module_release(struct module *module); /* NULL is fine */
/* Ends it and starts it anew, without loading it again. */
bool module_start_again(struct module *module, struct err *err);

/* "the PIN is wrong (CKR_PIN_INCORRECT)". The result lives until the next call. */
const char *module_reason(CK_RV rv);
