/* SPDX-License-Identifier: Apache-2.0 */
/* Backups, in the open and sealed, and sealed files: what somebody may have written to where they were kept. */
#include "base/archive.h"
#include "base/seal.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PIECE = 4096 };

static void read_members(struct archive_reader *reader, size_t size)
{
    struct archive_member member;
    bool is_end = false;
    uint64_t n = 0;
    struct err err;

    while (archive_next(reader, &member, &is_end, &err) && !is_end) {
        _buf_ piece = { 0 };
        if (member.name[0] == '\0' || member.name[0] == '.' || strchr(member.name, '/'))
            abort(); /* files are made of these */
        do {
            buf_clear(&piece);
            if (!archive_take(reader, PIECE, &piece, &err))
                return;
            n += piece.len;
        } while (piece.len);
    }
    if (n > size)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(archive_reader_freep) struct archive_reader *reader = NULL;
    int fd = memfd_create("archive", MFD_CLOEXEC);
    struct err err;

    if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) != 0)
        abort();
    /* a passphrase costs a fifth of a second: what is behind it is out of reach of who has none */
    if (archive_open(fd, &reader, &err) && !archive_is_sealed(reader))
        read_members(reader, size);
    close(fd);
    seal_is(VIEW(data, size));
    return 0;
}
