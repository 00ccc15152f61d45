/* SPDX-License-Identifier: Apache-2.0 */
#include "den/init_wait.h"
#include "base/file.h"
#include "rpc/rpc.h"

enum { MAX_COPIED = 64 * 1024 };

static const char root_request[] = "root.request", router_request[] = "router.request";

char *init_wait_path(const char *dir)
{
    return mem_format("%s.founding", dir);
}

bool init_wait_check(const char *dir, bool is_answer, struct err *err)
{
    _free_ char *folder = init_wait_path(dir);

    if (file_exists(folder) == is_answer)
        return true;
    if (is_answer)
        return err_set(err, ERR_NOT_FOUND,
                       "%s: no such folder, so no request waits for this response: init with "
                       "--root-request FILE comes first, and the response is taken once",
                       folder);
    err_set(err, ERR_ALREADY_EXISTS,
            "%s: a request to this network's root waits there for its response; nothing was "
            "overwritten",
            folder);
    return err_advise(err, "go on with --root-response FILE (the request is that folder's "
                           "root.request); or remove the folder, to begin anew");
}

static bool put(const char *folder, const char *name, struct view bytes, struct err *err)
{
    _free_ char *path = file_path(folder, name);

    return file_create(path, bytes, 0600, err);
}

bool init_wait_put(const char *folder, const struct root_order *asked, struct view router,
                   struct err *err)
{
    return put(folder, root_request, buf_view(&asked->text), err) &&
           put(folder, router_request, router, err);
}

bool init_wait_read(const char *folder, struct root_order *ret_asked, struct buf *ret_router,
                    struct err *err)
{
    _free_ char *root_path = file_path(folder, root_request);
    _free_ char *router_path = file_path(folder, router_request);
    _buf_ text = { 0 };

    if (!file_read(root_path, ROOT_MAX_FILE, &text, err) ||
        !root_order_read(root_path, buf_view(&text), ret_asked, err))
        return false;
    if (ret_asked->step != CHANGE_FOUND)
        return err_set(err, ERR_BAD_CONFIG, "%s: asks for no new network", root_path);
    return file_read(router_path, RPC_MAX_ROUTER_FILE, ret_router, err);
}

bool init_wait_copy(const char *folder, const char *to, struct err *err)
{
    static const char *const names[] = { "intermediate.key", "login.key", "sign.key", "den.conf",
                                         "policy.yaml" };

    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        _free_ char *path = file_path(folder, names[i]);
        _buf_wipe_ bytes = { 0 };
        if (!file_read_secret(path, MAX_COPIED, &bytes, err) ||
            !put(to, names[i], buf_view(&bytes), err))
            return false;
    }
    return true;
}
