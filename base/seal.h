/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes under a passphrase: Argon2id (RFC 9106) makes the key, XChaCha20-Poly1305 keeps them secret and whole. The sealed
 * form says its own cost, so that it can rise later. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum { SEAL_MAX = 16 * 1024 * 1024 };

/* Appends `bytes`, sealed. Takes a fraction of a second and 64 MiB on purpose. INVALID_ARGUMENT for an empty passphrase. */
bool seal_put(struct view bytes, struct view passphrase, struct buf *to, struct err *err);
/* BAD_PASSPHRASE, or somebody changed it: which of the two cannot be told; BAD_CONFIG when it is not sealed bytes. The
 * caller wipes what it gets. */
bool seal_open(struct view sealed, struct view passphrase, struct buf *ret_bytes, struct err *err);
bool seal_is(struct view bytes); /* looks like sealed bytes */
