/* SPDX-License-Identifier: Apache-2.0 */
#include "vault/module.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct module *modules; /* that are loaded; C_Initialize() is the process's, too */

/* ---- what it says ------------------------------------------------------------------------------- */

const char *module_reason(CK_RV rv)
{
    static const struct {
        CK_RV rv;
        const char *text;
    } reasons[] = {
        { CKR_HOST_MEMORY, "no memory (CKR_HOST_MEMORY)" },
        { CKR_GENERAL_ERROR, "it gives no reason (CKR_GENERAL_ERROR)" },
        { CKR_FUNCTION_FAILED, "it gives no reason (CKR_FUNCTION_FAILED)" },
        { CKR_CANT_LOCK, "it cannot be used by threads (CKR_CANT_LOCK)" },
        { CKR_ATTRIBUTE_TYPE_INVALID, "it does not tell (CKR_ATTRIBUTE_TYPE_INVALID)" },
        { CKR_DEVICE_ERROR, "the device failed (CKR_DEVICE_ERROR)" },
        { CKR_DEVICE_MEMORY, "the token is full (CKR_DEVICE_MEMORY)" },
        { CKR_DEVICE_REMOVED, "the token was removed (CKR_DEVICE_REMOVED)" },
        { CKR_TOKEN_NOT_PRESENT, "the token is not there (CKR_TOKEN_NOT_PRESENT)" },
        { CKR_KEY_HANDLE_INVALID, "the key is gone (CKR_KEY_HANDLE_INVALID)" },
        { CKR_OBJECT_HANDLE_INVALID, "the key is gone (CKR_OBJECT_HANDLE_INVALID)" },
        { CKR_SESSION_HANDLE_INVALID, "the session is over (CKR_SESSION_HANDLE_INVALID)" },
        { CKR_SESSION_CLOSED, "the session is over (CKR_SESSION_CLOSED)" },
        { CKR_KEY_FUNCTION_NOT_PERMITTED,
          "the key is not for signing (CKR_KEY_FUNCTION_NOT_PERMITTED)" },
        { CKR_KEY_TYPE_INCONSISTENT, "the key is not for ECDSA (CKR_KEY_TYPE_INCONSISTENT)" },
        { CKR_MECHANISM_INVALID, "the token has no such operation (CKR_MECHANISM_INVALID)" },
        { CKR_TEMPLATE_INCONSISTENT, "the token makes no such key (CKR_TEMPLATE_INCONSISTENT)" },
        { CKR_CURVE_NOT_SUPPORTED, "the token does not know the curve (CKR_CURVE_NOT_SUPPORTED)" },
        { CKR_PIN_INCORRECT, "the PIN is wrong (CKR_PIN_INCORRECT)" },
        { CKR_PIN_LEN_RANGE, "the PIN is too short or too long (CKR_PIN_LEN_RANGE)" },
        { CKR_PIN_INVALID, "the PIN has characters that it does not take (CKR_PIN_INVALID)" },
        { CKR_PIN_EXPIRED, "the PIN has expired (CKR_PIN_EXPIRED)" },
        { CKR_PIN_LOCKED, "the PIN is locked (CKR_PIN_LOCKED)" },
        { CKR_USER_NOT_LOGGED_IN, "nobody is logged in (CKR_USER_NOT_LOGGED_IN)" },
        { CKR_USER_PIN_NOT_INITIALIZED, "its PIN was never set (CKR_USER_PIN_NOT_INITIALIZED)" },
        { CKR_TOKEN_WRITE_PROTECTED, "it cannot be written to (CKR_TOKEN_WRITE_PROTECTED)" },
        { CKR_CRYPTOKI_NOT_INITIALIZED, "the module ended (CKR_CRYPTOKI_NOT_INITIALIZED)" },
    };
    static _Thread_local char other[40];

    for (size_t i = 0; i < N_ELEMENTS(reasons); i++)
        if (reasons[i].rv == rv)
            return reasons[i].text;
    snprintf(other, sizeof(other), "CKR 0x%lx", rv);
    return other;
}

/* ---- whose it is -------------------------------------------------------------------------------- */

/* Root may act as another user here, whose own module it does not load: code can become root again. */
static bool check_one(const char *path, struct err *err)
{
    bool is_writable;
    struct stat st;

    if (stat(path, &st) != 0)
        return errno == ENOENT ? err_set(err, ERR_NOT_FOUND, "%s: there is no such module", path)
                               : err_errno(err, "%s", path);
    is_writable = (st.st_mode & 022) != 0 && !(S_ISDIR(st.st_mode) && (st.st_mode & S_ISVTX));
    return ((st.st_uid == 0 || st.st_uid == getuid()) && !is_writable) ||
           err_set(err, ERR_EXPOSED,
                   "%s: somebody else could put another module there, which would get the PIN",
                   path);
}

/* The file, and every folder above it. *ret_real: where it is without any link, which nobody else can change any more. */
static bool check_owners(const char *path, char **ret_real, struct err *err)
{
    _free_ char *real = realpath(path, NULL);
    char *slash;

    if (!real)
        return errno == ENOENT ? err_set(err, ERR_NOT_FOUND, "%s: there is no such module", path)
                               : err_errno(err, "%s", path);
    *ret_real = mem_text(real);
    for (;;) {
        if (!check_one(*real ? real : "/", err))
            return false;
        if (!*real)
            return true;
        slash = strrchr(real, '/');
        *slash = '\0';
    }
}

/* ---- loading ------------------------------------------------------------------------------------- */

static bool start(struct module *m, struct err *err)
{
    CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK };
    CK_RV rv = m->f->C_Initialize(&args);

    if (rv == CKR_CANT_LOCK) /* we lock ourselves */
        rv = m->f->C_Initialize(NULL);
    m->n_starts++;
    return rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED ||
           err_set(err, ERR_SYSTEM, "%s: it does not start: %s", m->path, module_reason(rv));
}

/* It stays loaded to the process's end: some leave threads or handlers behind. */
static bool load(const char *path, CK_FUNCTION_LIST **ret_f, struct err *err)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get = NULL;
    CK_FUNCTION_LIST *f = NULL;

    if (!handle)
        return err_set(err, ERR_BAD_CONFIG, "the module cannot be loaded: %s", dlerror());
    *(void **)&get = dlsym(handle, "C_GetFunctionList");
    if (!get || get(&f) != CKR_OK || !f || f->version.major != 2)
        return err_set(err, ERR_BAD_CONFIG, "%s: is no PKCS#11 module", path);
    *ret_f = f;
    return true;
}

bool module_take(const char *path, struct module **ret_module, struct err *err)
{
    struct module *m = modules;
    _free_ char *real = NULL;
    CK_FUNCTION_LIST *f;

    while (m && strcmp(m->path, path) != 0)
        m = m->next;
    if (!m) {
        if (!check_owners(path, &real, err) || !load(real, &f, err))
            return false;
        m = mem_new(struct module);
        m->path = mem_text(path);
        m->f = f;
        pthread_mutex_init(&m->lock, NULL);
        m->next = modules;
        modules = m;
    }
    if (m->n_users == 0 && !start(m, err))
        return false;
    m->n_users++;
    *ret_module = m;
    return true;
}

void module_release(struct module *m)
{
    if (m && --m->n_users == 0)
        m->f->C_Finalize(NULL);
}

bool module_start_again(struct module *m, struct err *err)
{
    m->f->C_Finalize(NULL);
    return start(m, err);
}
