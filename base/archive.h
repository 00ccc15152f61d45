/* SPDX-License-Identifier: Apache-2.0 */
/* Several files as one stream, in the open or sealed under a passphrase; whoever reads it notices what was changed or cut
 * short. Plain form:
 *   "warren archive 1\n" | members | u16be 0 | SHA-256 of all before
 *   member = u16be length of its name | name | u32be mode | u64be length | bytes
 * Sealed form: the same through base/seal_stream.h. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum { ARCHIVE_NAME = 128 };

struct archive_writer;
/* `fd` is borrowed. An empty passphrase: in the open. */
bool archive_create(int fd, struct view passphrase, struct archive_writer **ret_writer,
                    struct err *err);
void archive_writer_free(struct archive_writer *writer);
OWN_FREEP(archive_writer, struct archive_writer)
bool archive_put(struct archive_writer *writer, const char *name, unsigned mode, struct view bytes,
                 struct err *err);
/* A long one: exactly `len` bytes follow. */
bool archive_begin(struct archive_writer *writer, const char *name, unsigned mode, uint64_t len,
                   struct err *err);
bool archive_more(struct archive_writer *writer, struct view bytes, struct err *err);
bool archive_end(struct archive_writer *writer, struct err *err); /* then the caller syncs */

struct archive_reader;
/* Reads the head: BAD_CONFIG when it is no archive. */
bool archive_open(int fd, struct archive_reader **ret_reader, struct err *err);
void archive_reader_free(struct archive_reader *reader);
OWN_FREEP(archive_reader, struct archive_reader)
bool archive_is_sealed(const struct archive_reader *reader);
/* Before the first member of a sealed one: BAD_PASSPHRASE. */
bool archive_unseal(struct archive_reader *reader, struct view passphrase, struct err *err);

struct archive_member {
    char name[ARCHIVE_NAME]; /* without '/', not hidden: safe to make a file of */
    unsigned mode;
    uint64_t len;
};
/* What is left of the one before is passed over. *ret_is_end: all of it was there, as it was written. */
bool archive_next(struct archive_reader *reader, struct archive_member *ret_member,
                  bool *ret_is_end, struct err *err);
/* Appends more of the member, at most `max` bytes; nothing at its end. */
bool archive_take(struct archive_reader *reader, size_t max, struct buf *to, struct err *err);
