/* SPDX-License-Identifier: Apache-2.0 */
/* What is in a folder. */
#pragma once

#include "base/err.h"

#include <stddef.h>

/* An entry that is none of the `n` names (nor one of those on its way to the disk: base/file.h); the caller frees it. NULL: there is
 * none, or no such folder. SYSTEM when it cannot be read. */
bool dir_find_other(const char *path, const char *const *names, size_t n, char **ret_name,
                    struct err *err);
/* Removes a folder of our own making, which has no folders in it. */
void dir_remove_flat(const char *path);
