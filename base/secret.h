/* SPDX-License-Identifier: Apache-2.0 */
/* Files that hold a secret: plain, with mode 0600, or sealed under a passphrase too (base/seal.h). */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum {
    SECRET_PASSPHRASE = 1024,   /* bytes of one, at most */
    SECRET_PASSPHRASE_MIN = 12, /* characters of a new one, at least */
};

/* For one that is about to be chosen, never for one that opens what is there: whoever has the file may guess without end.
 * (NIST SP 800-63B, 5.1.1.2 has 8 where a server counts the guesses.) `whose`: "the root key". INVALID_ARGUMENT. */
bool secret_check_new(struct view passphrase, const char *whose, struct err *err);

/* As file_read_secret(), at most `max` bytes of it when it is plain. One that is sealed is opened with `passphrase`: LOCKED
 * when that is empty, BAD_PASSPHRASE. The passphrase of a plain file is not looked at. The caller wipes *ret_bytes. */
bool secret_read(const char *path, size_t max, struct view passphrase, struct buf *ret_bytes,
                 struct err *err);
/* Replaces the file, sealed; plain when the passphrase is empty. */
bool secret_write(const char *path, struct view bytes, struct view passphrase, struct err *err);
/* The same, and ALREADY_EXISTS when it is there. */
bool secret_create(const char *path, struct view bytes, struct view passphrase, struct err *err);
/* NOT_FOUND, EXPOSED. */
bool secret_is_sealed(const char *path, bool *ret_is, struct err *err);
/* From `old` (empty: it is plain) to `next` (empty: plain again). A file that `next` opens already is left as it is, so that
 * what was interrupted between two files goes on when it is asked for again. BAD_PASSPHRASE, LOCKED; then nothing changed. */
bool secret_change(const char *path, struct view old, struct view next, struct err *err);
