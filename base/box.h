/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes under a key that two parties share: XSalsa20-Poly1305 with a random nonce in front. */
#pragma once

#include "base/buf.h"

enum { BOX_KEY = 32, BOX_MORE = 40 /* bytes that boxing adds */ };

void box_put(const uint8_t key[BOX_KEY], struct view bytes, struct buf *to); /* appends */
/* False: it was not made with this key, or somebody changed it. The caller wipes what it gets. */
bool box_open(const uint8_t key[BOX_KEY], struct view boxed, struct buf *ret_bytes);
