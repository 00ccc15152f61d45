/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of den's state folder for commands that do not run den: home.h opens all of it. */
#pragma once

#include "den/config.h"
#include "den/store.h"
#include "rpc/rpc.h"

/* Ready, and of the configured network. */
bool folder_load_trust(const struct den_config *config, struct rpc_trust **ret_trust,
                       struct err *err);
bool folder_open_store(const struct den_config *config, struct store **ret_store, struct err *err);
/* store_open_to_read() */
bool folder_read_store(const struct den_config *config, struct store **ret_store, struct err *err);
/* Taken by whoever may change the trust set, for the life of the descriptor: BUSY while another process has it. */
bool folder_lock(const struct den_config *config, int *ret_fd, struct err *err);
