/* SPDX-License-Identifier: Apache-2.0 */
/* `warren-den signer split`: the keys and the signer's book leave den's folder for one that den cannot read. */
#pragma once

#include "den/config.h"

struct split_order {
    const struct den_config *config;
    const char *dir;    /* is made, or is there and has no book yet */
    const char *user;   /* whose it is to be; NULL: of whoever runs this */
    const char *socket; /* what den.conf is to say */
    const char *config_path;
    uint64_t now;
};
/* den must not run meanwhile: BUSY. ALREADY_EXISTS. Copied first, then removed: whenever it is killed, one of the
 * folders is whole, and it can be run again. */
bool split_signer(const struct split_order *order, struct err *err);
