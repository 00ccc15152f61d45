/* SPDX-License-Identifier: Apache-2.0 */
#include "den/passphrase.h"

#include "base/ask.h"

bool passphrase_read(int fd, bool is_new, struct buf *ret_passphrase, struct err *err)
{
    const struct ask ask = {
        .what = "the root key", .option = "--root-passphrase-fd", .fd = fd, .is_new = is_new
    };

    return ask_passphrase(&ask, ret_passphrase, err);
}

bool passphrase_read_pin(int fd, struct buf *ret_pin, struct err *err)
{
    const struct ask ask = {
        .what = "the root's token", .option = "--root-passphrase-fd", .fd = fd, .is_pin = true
    };

    return ask_passphrase(&ask, ret_pin, err);
}
