/* SPDX-License-Identifier: Apache-2.0 */
/* `warren-den router add`: answers a router's request in a network that stands. A key that the newest manifest does not
 * list is put into the next one, which takes the root key; one that it lists only gets a new certificate. */
#pragma once

#include "den/config.h"

struct router_add_order {
    const struct den_config *config;
    const char *config_path;      /* the file that it is from */
    const char *keys_fd, *pin_fd; /* as keys_ask() and keys_ask_pin() take them */
    const char *signer_dir;       /* where the signer's keys are; NULL: as the configuration says */
    const char *request_path, *answer_path;
    const char *root_key_path; /* NULL: in the state folder */
    int passphrase_fd;
    const char *root_request_path, *root_response_path; /* where the root is elsewhere */
    uint64_t now;
    struct buf *ret_text; /* what was done, and what comes next */
};
/* den must not run meanwhile: BUSY; but for the request to the root it may. ALREADY_EXISTS when the answer's file is there. With root_request_path
 * no answer is made yet. */
bool router_add(const struct router_add_order *order, struct err *err);
