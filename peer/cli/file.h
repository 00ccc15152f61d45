/* SPDX-License-Identifier: Apache-2.0 */
/* What `warren send` and `warren receive` say to each other, on one stream a file with the capability "file":
 *
 *   the stream's argument   SIZE SP NAME               who sends; decimal bytes; the name without folders
 *   <- "at N HASH\n"        who receives has N bytes of it from an earlier try, whose SHA-256 in hex is HASH
 *      "no REASON\n"        or does not take it
 *   -> "from N\n"           the same N, if these are the file's first bytes, or 0
 *      SIZE - N bytes, then "HASH\n", the SHA-256 of the whole file; then the stream's end
 *   <- "ok\n"               it is complete, on the disk under its name; or "no REASON\n" */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    FILE_CHUNK = 256 * 1024,
    FILE_HEX = 65,   /* a SHA-256 in hex and the NUL */
    FILE_NAME = 201, /* the longest name that is taken, and the NUL */
    FILE_LINE = 400  /* the longest line, and the NUL */
};

/* ---- SHA-256 as the bytes come ---- */

struct file_hash;
struct file_hash *file_hash_new(void);
void file_hash_free(struct file_hash *hash);
void file_hash_add(struct file_hash *hash, const void *bytes, size_t size);
void file_hash_hex(const struct file_hash *hash, char to[FILE_HEX]); /* so far; more may be added */
/* Adds the first `size` bytes of `fd`; false when it has not so many, or cannot be read. */
bool file_hash_prefix(struct file_hash *hash, int fd, uint64_t size);

/* ---- lines ---- */

struct file_line {
    char text[FILE_LINE];
    size_t n;
};
/* One byte of a line; true when it is whole, without its newline. A line that is too long is cut. */
bool file_line_add(struct file_line *line, char byte);
/* A decimal number at *at, which moves behind it. */
bool file_number(const char **at, uint64_t *ret);

/* ---- how it goes ---- */

struct file_progress {
    const char *verb, *name;
    uint64_t from, done, size;
    unsigned long long began, told; /* ms */
    bool is_terminal;
};
void file_progress_start(struct file_progress *p, const char *verb, const char *name, uint64_t from,
                         uint64_t size);
void file_progress(struct file_progress *p, uint64_t done); /* says it from time to time */
/* "12.3 MB in 1.2 s (10.3 MB/s)" */
void file_progress_end(struct file_progress *p, const char *hash);
