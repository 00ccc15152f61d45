/* SPDX-License-Identifier: Apache-2.0 */
#include "vault/book.h"

#include "base/file.h"
#include "base/list.h"
#include "base/map.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

enum { MAX_BOOK = 1 << 30, MAX_LINE = 512, SEAL_HEX = 16, SLOT = 512, N_SLOTS = 2 };
enum { LAST_WRITTEN = 1 << 20 }; /* bytes: more than one request writes */
enum { LOCK_TRIES = 150, LOCK_PAUSE = 20 /* ms */ };

static const char head_word[] = "warren-signer-book/1", numbers_word[] = "warren-signer-numbers/1";
static const char book_name[] = "signer.book", numbers_name[] = "signer.numbers",
                  orders_name[] = "signer.orders";
static const char lost[] = "LOST FILES in warren-den-signer(8) says how it is made again";

struct vault_book {
    int fd, numbers_fd, orders_fd; /* -1: in memory */
    uint8_t netid[HASH_SIZE];
    char *network;
    struct map *ids, *keys; /* struct vault_who: by ID, and by every key that one ever had */
    struct map *routers, *tokens;
    struct buf heads; /* HASH_SIZE each */
    uint8_t chain[HASH_SIZE];
    struct buf pending; /* lines that are not on the disk yet */
    uint64_t len;       /* of what is */
    struct vault_numbers numbers;
    uint64_t slot;
    bool is_broken;
};

struct vault_book *vault_book_new(struct view netid, const char *network)
{
    struct vault_book *book = mem_new(struct vault_book);

    book->fd = book->numbers_fd = book->orders_fd = -1;
    if (netid.len == HASH_SIZE)
        memcpy(book->netid, netid.data, HASH_SIZE);
    book->network = mem_text(network);
    book->ids = map_new();
    book->keys = map_new();
    book->routers = map_new();
    book->tokens = map_new();
    return book;
}

void vault_book_free(struct vault_book *book)
{
    struct view key;
    size_t at = 0;
    void *who;

    if (!book)
        return;
    while (map_next(book->ids, &at, &key, &who))
        free(who);
    map_free(book->ids);
    map_free(book->keys);
    map_free(book->routers);
    map_free(book->tokens);
    const int fds[] = { book->fd, book->numbers_fd, book->orders_fd };
    for (size_t i = 0; i < N_ELEMENTS(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    buf_free(&book->heads);
    buf_free(&book->pending);
    free(book->network);
    free(book);
}

struct view vault_book_netid(const struct vault_book *book)
{
    return VIEW_ARR(book->netid);
}

const char *vault_book_network(const struct vault_book *book)
{
    return book->network;
}

int vault_book_orders_fd(const struct vault_book *book)
{
    return book->orders_fd;
}

struct vault_numbers *vault_book_numbers(struct vault_book *book)
{
    return &book->numbers;
}

/* ---- what a line does ------------------------------------------------------------------------------ */

static struct vault_who *find(const struct vault_book *book, struct view id)
{
    return map_get(book->ids, id);
}

const struct vault_who *vault_book_find(const struct vault_book *book, struct view id)
{
    return find(book, id);
}

bool vault_book_knows_key(const struct vault_book *book, struct view pk)
{
    return map_get(book->keys, pk) != NULL;
}

static void add(struct vault_book *book, struct view id, struct view pk, uint64_t rekey_no)
{
    struct vault_who *who = mem_new(struct vault_who);

    snprintf(who->id, sizeof(who->id), "%.*s", VIEW_FMT(id));
    memcpy(who->pk, pk.data, KEY_SIZE);
    who->rekey_no = rekey_no;
    map_set(book->ids, id, who);
    map_set(book->keys, pk, who);
}

static void move(struct vault_book *book, struct vault_who *who, struct view pk, uint64_t rekey_no,
                 struct view token_pk)
{
    memcpy(who->pk, pk.data, KEY_SIZE);
    who->rekey_no = rekey_no;
    who->is_revoked = false;
    map_set(book->keys, pk, who);
    if (token_pk.len)
        map_set(book->tokens, token_pk, who);
}

static void take_revoked(struct vault_book *book, const uint8_t head[HASH_SIZE], struct view pk)
{
    struct vault_who *who = pk.len ? map_get(book->keys, pk) : NULL;

    buf_put(&book->heads, VIEW(head, HASH_SIZE));
    if (who && view_eq(VIEW_ARR(who->pk), pk))
        who->is_revoked = true;
}

/* ---- lines ------------------------------------------------------------------------------------------ */

static void chain_on(uint8_t chain[HASH_SIZE], struct view line)
{
    _buf_ all = { 0 };

    buf_put(&all, VIEW(chain, HASH_SIZE));
    buf_put(&all, line);
    hash_sha256(buf_view(&all), chain);
}

static void seal(uint8_t chain[HASH_SIZE], struct buf *line)
{
    chain_on(chain, buf_view(line));
    buf_put_text(line, " ");
    text_put_hex(line, VIEW(chain, SEAL_HEX / 2));
    buf_put_text(line, "\n");
}

static void put_line(struct vault_book *book, struct buf *line)
{
    seal(book->chain, line);
    buf_put(&book->pending, buf_view(line));
}

static void put_hex_or_none(struct buf *line, struct view bytes)
{
    buf_put_text(line, " ");
    if (bytes.len)
        text_put_hex(line, bytes);
    else
        buf_put_text(line, "-");
}

static void put_id(struct vault_book *book, struct view id, struct view pk, uint64_t rekey_no,
                   uint64_t now)
{
    _buf_ line = { 0 };

    buf_printf(&line, "id %.*s", VIEW_FMT(id));
    put_hex_or_none(&line, pk);
    buf_printf(&line, " %" PRIu64 " %" PRIu64, rekey_no, now);
    put_line(book, &line);
    add(book, id, pk, rekey_no);
}

enum vault_claim vault_book_claim(struct vault_book *book, struct view id, struct view pk,
                                  uint64_t now, const struct vault_who **ret_who)
{
    struct vault_who *who = find(book, id), *has = map_get(book->keys, pk);

    *ret_who = who;
    if (who && !view_eq_secret(VIEW_ARR(who->pk), pk))
        return VAULT_ID_TAKEN;
    if (who)
        return who->is_revoked ? VAULT_KEY_REVOKED : VAULT_CLAIMED;
    if (has && !view_eq_secret(VIEW_ARR(has->pk), pk))
        return VAULT_KEY_USED;
    if (has) {
        *ret_who = has;
        return VAULT_KEY_HAS_ID;
    }
    put_id(book, id, pk, 0, now);
    *ret_who = find(book, id);
    return VAULT_CLAIMED;
}

bool vault_book_adopt(struct vault_book *book, const struct vault_who *who, uint64_t now,
                      struct err *err)
{
    if (find(book, view_text(who->id)) || map_get(book->keys, VIEW_ARR(who->pk)))
        return err_set(err, ERR_ALREADY_EXISTS, "%s: this ID, or its key, is there twice", who->id);
    put_id(book, view_text(who->id), VIEW_ARR(who->pk), who->rekey_no, now);
    return true;
}

void vault_book_move(struct vault_book *book, struct view id, struct view pk, uint64_t rekey_no,
                     struct view token_pk, uint64_t now)
{
    _buf_ line = { 0 };

    buf_printf(&line, "key %.*s", VIEW_FMT(id));
    put_hex_or_none(&line, pk);
    buf_printf(&line, " %" PRIu64, rekey_no);
    put_hex_or_none(&line, token_pk);
    buf_printf(&line, " %" PRIu64, now);
    put_line(book, &line);
    move(book, find(book, id), pk, rekey_no, token_pk);
}

void vault_book_revoke(struct vault_book *book, const uint8_t head[HASH_SIZE], struct view pk,
                       uint64_t now)
{
    _buf_ line = { 0 };

    buf_printf(&line, "revoked %" PRIu64, vault_book_n_revoked(book) + 1);
    put_hex_or_none(&line, VIEW(head, HASH_SIZE));
    put_hex_or_none(&line, pk);
    buf_printf(&line, " %" PRIu64, now);
    put_line(book, &line);
    take_revoked(book, head, pk);
}

uint64_t vault_book_n_revoked(const struct vault_book *book)
{
    return book->heads.len / HASH_SIZE;
}

struct view vault_book_revoked_head(const struct vault_book *book, uint64_t no)
{
    static const uint8_t zeros[HASH_SIZE];

    return no == 0 || no > vault_book_n_revoked(book)
               ? VIEW_ARR(zeros)
               : VIEW(book->heads.data + (no - 1) * HASH_SIZE, HASH_SIZE);
}

void vault_book_add_router(struct vault_book *book, struct view spki_hash, uint64_t now)
{
    _buf_ line = { 0 };

    if (vault_book_is_router(book, spki_hash))
        return;
    buf_put_text(&line, "router");
    put_hex_or_none(&line, spki_hash);
    buf_printf(&line, " %" PRIu64, now);
    put_line(book, &line);
    map_set(book->routers, spki_hash, book);
}

bool vault_book_is_router(const struct vault_book *book, struct view spki_hash)
{
    return map_get(book->routers, spki_hash) != NULL;
}

bool vault_book_used(const struct vault_book *book, struct view token_pk)
{
    return map_get(book->tokens, token_pk) != NULL;
}

/* ---- on the disk ------------------------------------------------------------------------------------ */

/* What could not be written may be there in part: this process relies on nothing any more; the next one reads what
 * is there. */
static bool broken(struct vault_book *book, struct err *err, const char *name)
{
    if (!book->is_broken)
        err_errno(err, "%s", name);
    else
        err_set(err, ERR_SYSTEM, "%s could not be written before", name);
    book->is_broken = true;
    return false;
}

bool vault_book_sync(struct vault_book *book, struct err *err)
{
    if (book->is_broken)
        return broken(book, err, book_name);
    if (book->pending.len == 0 || book->fd < 0) {
        buf_clear(&book->pending);
        return true;
    }
    if (!file_write_at(book->fd, buf_view(&book->pending), book->len) || fdatasync(book->fd) != 0)
        return broken(book, err, book_name);
    book->len += book->pending.len;
    buf_clear(&book->pending);
    return true;
}

/* Two slots, written in turn: one of them is whole whenever the machine stops. */
bool vault_book_keep_numbers(struct vault_book *book, struct err *err)
{
    const struct vault_numbers *n = &book->numbers;
    uint8_t chain[HASH_SIZE] = { 0 };
    _buf_ slot = { 0 };

    if (book->is_broken)
        return broken(book, err, numbers_name);
    book->slot++;
    if (book->numbers_fd < 0)
        return true;
    buf_printf(&slot,
               "%s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
               " %" PRIu64 " %" PRIu64 " ",
               numbers_word, book->slot, n->hb_no, n->hb_crl_no, n->hb_rev_no, n->manifest_no,
               n->policy_no, n->audit_no, n->crl_no, n->crl_at);
    text_put_hex(&slot, VIEW_ARR(n->audit_head));
    buf_put_text(&slot, " ");
    text_put_hex(&slot, VIEW_ARR(n->crl_hash));
    buf_put_text(&slot, " ");
    text_put_hex(&slot, VIEW(n->beacons, sizeof(n->beacons)));
    seal(chain, &slot);
    while (slot.len < SLOT)
        buf_put_u8(&slot, '\n');
    if (slot.len > SLOT ||
        !file_write_at(book->numbers_fd, buf_view(&slot), book->slot % N_SLOTS * SLOT) ||
        fdatasync(book->numbers_fd) != 0)
        return broken(book, err, numbers_name);
    return true;
}

/* ---- reading ---------------------------------------------------------------------------------------- */

enum { MAX_WORDS = 16 };

struct line {
    struct view words[MAX_WORDS];
    size_t n;
};

static struct line split(struct view text)
{
    struct line line = { 0 };
    size_t from = 0;

    for (size_t i = 0; i <= text.len && line.n < MAX_WORDS; i++) {
        if (i < text.len && text.data[i] != ' ')
            continue;
        line.words[line.n++] = view_sub(text, from, i - from);
        from = i + 1;
    }
    return line;
}

static bool take_hex(struct view word, size_t len, uint8_t *to)
{
    return word.len == 2 * len && text_read_hex(word, to, len);
}

static bool read_head(struct vault_book *book, const struct line *l)
{
    if (l->n != 3 || !view_eq_text(l->words[0], head_word) ||
        !take_hex(l->words[1], HASH_SIZE, book->netid) || !text_is_network(l->words[2]))
        return false;
    free(book->network);
    book->network = view_dup_text(l->words[2]);
    return true;
}

static bool read_id(struct vault_book *book, const struct line *l)
{
    uint8_t pk[KEY_SIZE];
    uint64_t no, at;

    if (l->n != 5 || !text_is_id(l->words[1]) || !take_hex(l->words[2], KEY_SIZE, pk) ||
        !text_read_u64(l->words[3], &no) || !text_read_u64(l->words[4], &at) ||
        find(book, l->words[1]))
        return false;
    add(book, l->words[1], VIEW_ARR(pk), no);
    return true;
}

static bool read_key(struct vault_book *book, const struct line *l)
{
    struct vault_who *who = l->n == 6 ? find(book, l->words[1]) : NULL;
    uint8_t pk[KEY_SIZE], token[KEY_SIZE];
    uint64_t no, at;
    bool has_token;

    if (!who || !take_hex(l->words[2], KEY_SIZE, pk) || !text_read_u64(l->words[3], &no) ||
        !text_read_u64(l->words[5], &at))
        return false;
    has_token = !view_eq_text(l->words[4], "-");
    if (has_token && !take_hex(l->words[4], KEY_SIZE, token))
        return false;
    move(book, who, VIEW_ARR(pk), no, VIEW(token, has_token ? KEY_SIZE : 0));
    return true;
}

static bool read_revoked(struct vault_book *book, const struct line *l)
{
    uint8_t head[HASH_SIZE], pk[KEY_SIZE];
    uint64_t no, at;
    bool has_pk;

    if (l->n != 5 || !text_read_u64(l->words[1], &no) || no != vault_book_n_revoked(book) + 1 ||
        !take_hex(l->words[2], HASH_SIZE, head) || !text_read_u64(l->words[4], &at))
        return false;
    has_pk = !view_eq_text(l->words[3], "-");
    if (has_pk && !take_hex(l->words[3], KEY_SIZE, pk))
        return false;
    take_revoked(book, head, VIEW(pk, has_pk ? KEY_SIZE : 0));
    return true;
}

static bool read_router(struct vault_book *book, const struct line *l)
{
    uint8_t spki[HASH_SIZE];
    uint64_t at;

    if (l->n != 3 || !take_hex(l->words[1], HASH_SIZE, spki) || !text_read_u64(l->words[2], &at))
        return false;
    map_set(book->routers, VIEW_ARR(spki), book);
    return true;
}

static bool read_line(struct vault_book *book, struct view text, bool is_first)
{
    static const struct {
        const char *word;
        bool (*read)(struct vault_book *book, const struct line *line);
    } kinds[] = {
        { "id", read_id },
        { "key", read_key },
        { "revoked", read_revoked },
        { "router", read_router },
    };
    const struct line line = split(text);

    if (is_first)
        return read_head(book, &line);
    for (size_t i = 0; i < N_ELEMENTS(kinds); i++)
        if (view_eq_text(line.words[0], kinds[i].word))
            return kinds[i].read(book, &line);
    return false;
}

/* The line without its seal; false when that does not follow from everything before. */
static bool open_seal(uint8_t chain[HASH_SIZE], struct view *line)
{
    uint8_t seal_is[SEAL_HEX / 2];
    struct view text;

    if (line->len < SEAL_HEX + 2 || line->len > MAX_LINE)
        return false;
    text = view_sub(*line, 0, line->len - SEAL_HEX - 1);
    if (line->data[text.len] != ' ' ||
        !text_read_hex(view_sub(*line, text.len + 1, SEAL_HEX), seal_is, sizeof(seal_is)))
        return false;
    chain_on(chain, text);
    *line = text;
    return view_eq(VIEW_ARR(seal_is), VIEW(chain, sizeof(seal_is)));
}

static bool read_lines(struct vault_book *book, struct view all, const char *path, struct err *err)
{
    uint64_t no = 0;

    while (all.len) {
        const uint8_t *end = memchr(all.data, '\n', all.len);
        if (!end) /* its writer did not come to its end, and nobody relied on it */
            break;
        struct view line = VIEW(all.data, (size_t)(end - all.data));
        size_t len = line.len + 1;
        if (!open_seal(book->chain, &line) || !read_line(book, line, no == 0))
            return err_set(err, ERR_BAD_CONFIG,
                           "%s: line %" PRIu64 " is damaged, or one before it was taken away", path,
                           no + 1);
        no++;
        book->len += len;
        all = view_sub(all, len, all.len);
    }
    return no > 0 || err_set(err, ERR_BAD_CONFIG, "%s: empty", path);
}

static bool read_slot(struct view slot, uint64_t *ret_no, struct vault_numbers *ret)
{
    const uint8_t *end = slot.len ? memchr(slot.data, '\n', slot.len) : NULL;
    struct view line = VIEW(slot.data, end ? (size_t)(end - slot.data) : 0);
    uint8_t chain[HASH_SIZE] = { 0 };
    struct vault_numbers n = { 0 };
    uint64_t *const to[] = { ret_no,       &n.hb_no,    &n.hb_crl_no, &n.hb_rev_no, &n.manifest_no,
                             &n.policy_no, &n.audit_no, &n.crl_no,    &n.crl_at };

    if (!open_seal(chain, &line))
        return false;
    const struct line l = split(line);
    if (l.n != N_ELEMENTS(to) + 4 || !view_eq_text(l.words[0], numbers_word))
        return false;
    for (size_t i = 0; i < N_ELEMENTS(to); i++)
        if (!text_read_u64(l.words[i + 1], to[i]))
            return false;
    const struct view *rest = l.words + N_ELEMENTS(to) + 1;
    if (!take_hex(rest[0], HASH_SIZE, n.audit_head) || !take_hex(rest[1], HASH_SIZE, n.crl_hash) ||
        !take_hex(rest[2], sizeof(n.beacons), n.beacons[0]))
        return false;
    *ret = n;
    return true;
}

static bool read_numbers(struct vault_book *book, const char *path, struct err *err)
{
    _buf_ all = { 0 };
    bool is_any = false;

    if (!file_read_fd(book->numbers_fd, N_SLOTS * SLOT, &all, err))
        return err_wrap(err, "%s", path);
    for (size_t i = 0; i < N_SLOTS; i++) {
        struct vault_numbers n;
        uint64_t no;
        if (!read_slot(view_sub(buf_view(&all), i * SLOT, SLOT), &no, &n) ||
            (is_any && no < book->slot))
            continue;
        is_any = true;
        book->slot = no;
        book->numbers = n;
    }
    if (is_any)
        return true;
    err_set(err, ERR_BAD_CONFIG, "%s: damaged", path);
    return err_advise(err, lost);
}

/* ---- the folder --------------------------------------------------------------------------------------- */

bool vault_book_exists(const char *dir)
{
    _free_ char *path = file_path(dir, book_name);

    return file_exists(path);
}

bool vault_book_create(const char *dir, struct view netid, const char *network, struct err *err)
{
    _free_ char *path = file_path(dir, book_name), *numbers = file_path(dir, numbers_name),
                *orders = file_path(dir, orders_name);
    _cleanup_(vault_book_freep) struct vault_book *book = vault_book_new(netid, network);
    _buf_ line = { 0 }, room = { 0 };

    memset(buf_grow(&room, N_SLOTS * SLOT), '\n', N_SLOTS * SLOT);
    if (!file_write(numbers, buf_view(&room), 0600, err))
        return false;
    book->numbers_fd = open(numbers, O_RDWR | O_CLOEXEC);
    if (book->numbers_fd < 0)
        return err_errno(err, "%s", numbers);
    if (!vault_book_keep_numbers(book, err) ||
        (!file_exists(orders) && !file_create(orders, VIEW(NULL, 0), 0600, err)))
        return false;
    buf_printf(&line, "%s ", head_word);
    text_put_hex(&line, VIEW_ARR(book->netid));
    buf_printf(&line, " %s", network);
    seal(book->chain, &line);
    return file_create(path, buf_view(&line), 0600, err); /* last: with it the folder counts */
}

bool vault_book_rename(const char *from, const char *to, struct err *err)
{
    const char *const names[] = { orders_name, numbers_name, book_name };

    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        _free_ char *old = file_path(from, names[i]), *new = file_path(to, names[i]);
        if (names[i] == orders_name && file_exists(new)) /* of before: they stay */
            continue;
        if (rename(old, new) != 0)
            return err_errno(err, "%s", new);
    }
    int fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok)
        err_errno(err, "%s: syncing the folder", to);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool open_file(const char *path, int flags, int *ret_fd, struct err *err)
{
    *ret_fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW);
    if (*ret_fd >= 0)
        return true;
    bool is_lost = errno == ENOENT;
    err_errno(err, "%s", path);
    if (is_lost)
        err_advise(err, lost);
    return false;
}

/* One process at a time writes a book. */
static bool open_files(struct vault_book *book, const char *paths[3], struct err *err)
{
    if (!open_file(paths[0], O_RDWR, &book->fd, err) ||
        !open_file(paths[1], O_RDWR, &book->numbers_fd, err) ||
        !open_file(paths[2], O_RDONLY, &book->orders_fd, err))
        return false;
    for (int i = 0; i < LOCK_TRIES && flock(book->fd, LOCK_EX | LOCK_NB) != 0; i++) {
        if (errno != EWOULDBLOCK)
            break;
        poll(NULL, 0, LOCK_PAUSE); /* one whose den was killed is ending */
    }
    if (flock(book->fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK
                   ? err_set(err, ERR_BUSY, "%s: another process has it open", paths[0])
                   : err_errno(err, "%s", paths[0]);
    return true;
}

/* The process before may have ended because the disk did not take what it wrote. That is read here all the same, out of memory, and the
 * system has said so once: a sync alone would succeed (fsync(2)). So what it wrote last is written once more. */
static bool settle(struct vault_book *book, struct view all, const char *path, struct err *err)
{
    size_t from = book->len > LAST_WRITTEN ? (size_t)book->len - LAST_WRITTEN : 0;

    if (book->len < all.len && ftruncate(book->fd, (off_t)book->len) != 0)
        return err_errno(err, "%s", path);
    return (file_write_at(book->fd, view_sub(all, from, (size_t)book->len - from), from) &&
            fdatasync(book->fd) == 0) ||
           err_errno(err, "%s", path);
}

bool vault_book_open(const char *dir, struct vault_book **ret_book, struct err *err)
{
    _free_ char *path = file_path(dir, book_name), *numbers = file_path(dir, numbers_name),
                *orders = file_path(dir, orders_name);
    _cleanup_(vault_book_freep) struct vault_book *book = vault_book_new(VIEW(NULL, 0), "");
    const char *paths[] = { path, numbers, orders };
    _buf_ all = { 0 };

    if (!file_exists(path))
        return err_set(err, ERR_NOT_FOUND, "%s: no such file", path);
    if (!file_read_secret(path, MAX_BOOK, &all, err))
        return false;
    buf_free(&all); /* its rights are checked; it is read when nobody else writes */
    if (!open_files(book, paths, err) || !file_read_fd(book->fd, MAX_BOOK, &all, err) ||
        !read_lines(book, buf_view(&all), path, err) || !read_numbers(book, numbers, err) ||
        !settle(book, buf_view(&all), path, err))
        return false;
    *ret_book = STEAL(book);
    return true;
}
