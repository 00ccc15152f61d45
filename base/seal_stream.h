/* SPDX-License-Identifier: Apache-2.0 */
/* Long streams under a passphrase: as base/seal.h, but a piece at a time. Argon2id (RFC 9106) makes the key; libsodium's
 * secretstream (XChaCha20-Poly1305) seals each piece and their order, and the last one says that it is the last: what was
 * changed, reordered or cut short does not open. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum { SEAL_PIECE = 64 * 1024 /* of plain bytes; only the last is shorter */ };

struct seal_stream;
void seal_stream_free(struct seal_stream *stream); /* wipes the key */
OWN_FREEP(seal_stream, struct seal_stream)

/* Appends the head to `to`. INVALID_ARGUMENT for an empty passphrase. */
bool seal_stream_new(struct view passphrase, struct seal_stream **ret_stream, struct buf *to,
                     struct err *err);
/* Appends a sealed piece. */
void seal_stream_put(struct seal_stream *stream, struct view piece, bool is_last, struct buf *to);

bool seal_stream_is(struct view head); /* looks like such a head */
size_t seal_stream_head_len(void);
size_t seal_stream_piece_len(void); /* of a sealed piece that is whole */
/* `head` has seal_stream_head_len() bytes. BAD_CONFIG. */
bool seal_stream_open(struct view head, struct view passphrase, struct seal_stream **ret_stream,
                      struct err *err);
/* Appends the plain bytes. BAD_PASSPHRASE: wrong, or changed. */
bool seal_stream_take(struct seal_stream *stream, struct view sealed, struct buf *to,
                      bool *ret_is_last, struct err *err);
