/* SPDX-License-Identifier: Apache-2.0 */
/* signer.orders: den never writes it. It is read when somebody comes with a token, by the descriptor that was opened at
 * the start: the sandbox opens no files. */
#include "vault/book.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { MAX_ORDERS = 1 << 20, MAX_FILE = 64 << 20 };

static bool add(const char *dir, const struct buf *line, struct err *err)
{
    _free_ char *path = file_path(dir, "signer.orders");

    return file_exists(path) ? file_append(path, buf_view(line), err)
                             : file_create(path, buf_view(line), 0600, err);
}

static void put(struct buf *line, const char *word, struct view id, struct view what)
{
    buf_printf(line, "%s %.*s%s", word, VIEW_FMT(id), id.len ? " " : "");
    text_put_hex(line, what);
    buf_put_text(line, " ");
}

bool vault_order_add(const char *dir, const char *id, struct view token_pk, uint64_t until,
                     struct err *err)
{
    _buf_ line = { 0 };

    if (!text_is_id(view_text(id)) || token_pk.len != KEY_SIZE)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "expected an ID of 6 to 9 digits and the 64 digits of a token's public key");
    put(&line, "re-enrol", view_text(id), token_pk);
    buf_printf(&line, "%" PRIu64 "\n", until);
    return add(dir, &line, err);
}

bool vault_order_end(const char *dir, struct view token_pk, struct err *err)
{
    _free_ char *path = file_path(dir, "signer.orders");
    _buf_ line = { 0 }, hex = { 0 }, all = { 0 };

    if (token_pk.len != KEY_SIZE)
        return err_set(err, ERR_INVALID_ARGUMENT, "expected the 64 digits of a token's public key");
    if (!file_exists(path))
        return true;
    if (!file_read(path, MAX_FILE, &all, err))
        return false;
    text_put_hex(&hex, token_pk);
    if (!strstr(buf_cstr(&all), buf_cstr(&hex)))
        return true;
    put(&line, "end", VIEW(NULL, 0), token_pk);
    buf_put_text(&line, "\n");
    return add(dir, &line, err);
}

bool vault_order_add_router(const char *dir, struct view spki_hash, uint64_t until, struct err *err)
{
    _buf_ line = { 0 };

    put(&line, "router", VIEW(NULL, 0), spki_hash);
    buf_printf(&line, "%" PRIu64 "\n", until);
    return add(dir, &line, err);
}

static bool read_orders(int fd, struct buf *to, struct err *err)
{
    off_t size = lseek(fd, 0, SEEK_END), from = size > MAX_ORDERS ? size - MAX_ORDERS : 0;
    ssize_t n;

    if (size < 0)
        return err_errno(err, "signer.orders");
    if (size == 0)
        return true;
    n = pread(fd, buf_grow(to, (size_t)(size - from)), (size_t)(size - from), from);
    if (n < 0)
        return err_errno(err, "signer.orders");
    to->len = (size_t)n;
    return true;
}

/* "re-enrol ID TOKEN UNTIL", "router SPKI UNTIL", "end TOKEN" */
static bool is_order(struct view line, struct view wanted, uint64_t now)
{
    uint64_t until = 0;

    return view_starts(line, wanted) &&
           text_read_u64(view_sub(line, wanted.len, line.len), &until) && until > now;
}

/* `ended`: the line that takes it back; empty: none does. The last word counts. */
static bool has_order(const struct vault_book *book, struct view wanted, struct view ended,
                      uint64_t now, struct err *err)
{
    _buf_ all = { 0 };
    struct view rest;
    bool has = false;

    if (!read_orders(vault_book_orders_fd(book), &all, err))
        return false;
    for (rest = buf_view(&all); rest.len;) {
        const uint8_t *end = memchr(rest.data, '\n', rest.len);
        if (!end)
            break;
        struct view line = VIEW(rest.data, (size_t)(end - rest.data));
        if (is_order(line, wanted, now))
            has = true;
        else if (ended.len && view_starts(line, ended))
            has = false;
        rest = view_sub(rest, line.len + 1, rest.len);
    }
    return has || err_set(err, ERR_NOT_AUTHORIZED, "no operator has ordered it");
}

bool vault_order_check(const struct vault_book *book, struct view id, struct view token_pk,
                       uint64_t now, struct err *err)
{
    _buf_ wanted = { 0 }, ended = { 0 };

    if (vault_book_used(book, token_pk))
        return err_set(err, ERR_NOT_AUTHORIZED, "this token gave %.*s a new key before",
                       VIEW_FMT(id));
    if (vault_book_orders_fd(book) < 0) /* in the operator's own process */
        return true;
    put(&wanted, "re-enrol", id, token_pk);
    put(&ended, "end", VIEW(NULL, 0), token_pk);
    return has_order(book, buf_view(&wanted), buf_view(&ended), now, err) ||
           (err->code == ERR_NOT_AUTHORIZED &&
            err_set(
                err, ERR_NOT_AUTHORIZED,
                "no operator has ordered a new key for %.*s with this token: warren-den peer "
                "re-enrol, and where the signer has a folder of its own warren-den-signer allow",
                VIEW_FMT(id)));
}

bool vault_order_check_router(const struct vault_book *book, struct view spki_hash, uint64_t now,
                              struct err *err)
{
    _buf_ wanted = { 0 }, hex = { 0 };

    put(&wanted, "router", VIEW(NULL, 0), spki_hash);
    if (vault_book_orders_fd(book) >= 0 &&
        has_order(book, buf_view(&wanted), VIEW(NULL, 0), now, err))
        return true;
    text_put_hex(&hex, spki_hash);
    return err_set(
        err, ERR_NOT_AUTHORIZED,
        "no operator has taken in a router with this TLS key: warren-den router add, and "
        "where the signer has a folder of its own warren-den-signer allow-router %s",
        buf_cstr(&hex));
}
