/* SPDX-License-Identifier: Apache-2.0 */
#include "den/folder.h"
#include "base/file.h"
#include "pki/pki.h"

enum { MAX_TRUST = 4 * 1024 * 1024 };

bool folder_load_trust(const struct den_config *config, struct rpc_trust **ret_trust,
                       struct err *err)
{
    _cleanup_(rpc_trust_freep) struct rpc_trust *trust = NULL;
    _free_ char *path = file_path(config->state, "trust");
    _buf_ bytes = { 0 };

    if (!file_read(path, MAX_TRUST, &bytes, err))
        return false;
    if (!rpc_trust_load(buf_view(&bytes), pki_verify_by_cert, &trust, err))
        return err_wrap(err, "%s", path);
    if (!rpc_trust_is_ready(trust))
        return err_set(err, ERR_BAD_CONFIG, "%s: holds no manifest", path);
    if (strcmp(rpc_trust_network(trust), config->network) != 0)
        return err_set(err, ERR_BAD_CONFIG, "%s: is of network %s, the configuration says %s", path,
                       rpc_trust_network(trust), config->network);
    *ret_trust = STEAL(trust);
    return true;
}

bool folder_open_store(const struct den_config *config, struct store **ret_store, struct err *err)
{
    _free_ char *path = file_path(config->state, "den.db");

    return store_open(path, ret_store, err);
}

bool folder_read_store(const struct den_config *config, struct store **ret_store, struct err *err)
{
    _free_ char *path = file_path(config->state, "den.db");

    return store_open_to_read(path, ret_store, err);
}

bool folder_lock(const struct den_config *config, int *ret_fd, struct err *err)
{
    _free_ char *path = file_path(config->state, "den.lock");

    return file_lock(path, ret_fd, err);
}
