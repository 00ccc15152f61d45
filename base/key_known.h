/* SPDX-License-Identifier: Apache-2.0 */
/* Public keys under which signatures verified several times of late, each with a table that makes the next ones cheaper
 * (base/edwards.h): at most 4096, 16 MB when all of them are busy. All threads of the process share them. */
#pragma once

#include "base/edwards.h"
#include "base/key.h"

/* NULL: not known so well. Otherwise a share of the table: edwards_table_release() it. */
const struct edwards_table *key_known_take(const uint8_t public_key[KEY_SIZE]);
/* A signature under it verified, by libsodium, which refuses unsound keys. */
void key_known_note(const uint8_t public_key[KEY_SIZE]);
