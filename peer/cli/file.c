/* SPDX-License-Identifier: Apache-2.0 */
#include "file.h"

#include "cli.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TELL_TERMINAL_MS = 200, TELL_LOG_MS = 10000 };

/* ---- SHA-256 ---- */

struct file_hash {
    EVP_MD_CTX *ctx;
};

static void must(bool ok)
{
    if (!ok)
        abort(); /* out of memory */
}

struct file_hash *file_hash_new(void)
{
    struct file_hash *hash = malloc(sizeof(*hash));

    must(hash != NULL);
    hash->ctx = EVP_MD_CTX_new();
    must(hash->ctx && EVP_DigestInit_ex(hash->ctx, EVP_sha256(), NULL) == 1);
    return hash;
}

void file_hash_free(struct file_hash *hash)
{
    if (!hash)
        return;
    EVP_MD_CTX_free(hash->ctx);
    free(hash);
}

void file_hash_add(struct file_hash *hash, const void *bytes, size_t size)
{
    must(EVP_DigestUpdate(hash->ctx, bytes, size) == 1);
}

void file_hash_hex(const struct file_hash *hash, char to[FILE_HEX])
{
    unsigned char bytes[32];
    EVP_MD_CTX *copy = EVP_MD_CTX_new();

    must(copy && EVP_MD_CTX_copy_ex(copy, hash->ctx) == 1 &&
         EVP_DigestFinal_ex(copy, bytes, NULL) == 1);
    EVP_MD_CTX_free(copy);
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(to + 2 * i, 3, "%02x", bytes[i]);
}

bool file_hash_prefix(struct file_hash *hash, int fd, uint64_t size)
{
    static char bytes[FILE_CHUNK];

    for (uint64_t at = 0; at < size;) {
        uint64_t left = size - at;
        ssize_t n =
            pread(fd, bytes, left < sizeof(bytes) ? (size_t)left : sizeof(bytes), (off_t)at);
        if (n <= 0)
            return false;
        file_hash_add(hash, bytes, (size_t)n);
        at += (uint64_t)n;
    }
    return true;
}

/* ---- lines ---- */

bool file_line_add(struct file_line *line, char byte)
{
    if (byte == '\n') {
        line->text[line->n] = '\0';
        return true;
    }
    if (line->n < sizeof(line->text) - 1)
        line->text[line->n++] = byte;
    return false;
}

bool file_number(const char **at, uint64_t *ret)
{
    uint64_t n = 0;
    int digits = 0;

    for (; isdigit((unsigned char)**at) && digits < 19; ++*at, digits++)
        n = n * 10 + (uint64_t)(**at - '0');
    *ret = n;
    return digits > 0 && !isdigit((unsigned char)**at);
}

/* ---- how it goes ---- */

static const char *amount(double bytes, char to[32])
{
    static const char *const units[] = { "bytes", "kB", "MB", "GB", "TB" };
    int unit = 0;

    for (; bytes >= 1000 && unit < 4; unit++)
        bytes /= 1000;
    snprintf(to, 32, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
    return to;
}

void file_progress_start(struct file_progress *p, const char *verb, const char *name, uint64_t from,
                         uint64_t size)
{
    *p = (struct file_progress){ .verb = verb,
                                 .name = name,
                                 .from = from,
                                 .done = from,
                                 .size = size,
                                 .began = cli_now(),
                                 .is_terminal = isatty(STDERR_FILENO) };
    p->told = p->began;
}

static double rate(const struct file_progress *p, unsigned long long now)
{
    return (double)(p->done - p->from) * 1000 / (double)(now > p->began ? now - p->began : 1);
}

static void tell(const struct file_progress *p, unsigned long long now)
{
    char of[32], speed[32], done[32];
    double per_s = rate(p, now);

    fputs(p->is_terminal ? "\r\033[K" : "", stderr);
    fprintf(stderr, "%s ", p->verb);
    cli_put_safe(stderr, p->name, strlen(p->name));
    fprintf(stderr, ": %s of %s, %.0f %%, %s/s", amount((double)p->done, done),
            amount((double)p->size, of),
            p->size ? 100.0 * (double)p->done / (double)p->size : 100.0, amount(per_s, speed));
    if (per_s > 0)
        fprintf(stderr, ", %.0f s left", (double)(p->size - p->done) / per_s);
    fputs(p->is_terminal ? "" : "\n", stderr);
    fflush(stderr);
}

void file_progress(struct file_progress *p, uint64_t done)
{
    unsigned long long now = cli_now();

    p->done = done;
    if (now - p->told < (p->is_terminal ? TELL_TERMINAL_MS : TELL_LOG_MS))
        return;
    p->told = now;
    tell(p, now);
}

void file_progress_end(struct file_progress *p, const char *hash)
{
    unsigned long long now = cli_now();
    char all[32], speed[32];

    fputs(p->is_terminal ? "\r\033[K" : "", stderr);
    fprintf(stderr, "%s ", p->verb);
    cli_put_safe(stderr, p->name, strlen(p->name));
    fprintf(stderr, ": %s", amount((double)p->size, all));
    if (p->from)
        fprintf(stderr, " (%s of it now)", amount((double)(p->size - p->from), all));
    fprintf(stderr, " in %.1f s, %s/s, SHA-256 %s\n", (double)(now - p->began) / 1000,
            amount(rate(p, now), speed), hash);
}
