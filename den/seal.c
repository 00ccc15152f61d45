/* SPDX-License-Identifier: Apache-2.0 */
#include "den/seal.h"

#include "base/text.h"
#include "den/record.h"

#include <inttypes.h>
#include <stdio.h>

static const char no_name[] = "audit_sealed", by_name[] = "audit_sealed_by",
                  point_name[] = "audit_checkpoint", at_name[] = "audit_sealed_at";

/* ---- the checkpoint ------------------------------------------------------------------------------ */

static bool find_number(struct view bytes, const char *key, uint64_t *ret_n)
{
    _buf_ text = { 0 };

    return audit_find(bytes, key, &text) && text_read_u64(buf_view(&text), ret_n);
}

bool seal_entry_read(const struct store_audit *entry, struct seal_point *ret)
{
    struct view bytes = buf_view(&entry->bytes);
    struct seal_point point = { .by = entry->no };
    _buf_ head = { 0 };

    if (!view_starts(bytes, VIEW_LIT("what=" AUDIT_SEALED "\n")) ||
        !find_number(bytes, "to", &point.no) || !audit_find(bytes, "head", &head) ||
        !text_read_hex(buf_view(&head), point.head, HASH_SIZE))
        return false;
    *ret = point;
    return true;
}

/* An entry that says what is sealed, as it stands in the store. */
struct witness {
    uint64_t by;
    uint8_t before[HASH_SIZE]; /* the head of the entry before it */
    bool has_before, is_intact;
    struct seal_point says;
};

static bool look_at(void *user, const struct store_audit *entry)
{
    struct witness *w = user;
    uint8_t head[HASH_SIZE];

    if (entry->no < w->by) {
        w->has_before = entry->no == w->by - 1;
        memcpy(w->before, entry->head, HASH_SIZE);
        return true;
    }
    if (entry->no != w->by || !seal_entry_read(entry, &w->says))
        return false;
    if (!w->has_before && w->says.no == w->by - 1)
        memcpy(w->before, w->says.head, HASH_SIZE);
    else if (!w->has_before)
        return false;
    audit_next_head(w->before, entry->no, entry->at, buf_view(&entry->bytes), head);
    w->is_intact = memcmp(head, entry->head, HASH_SIZE) == 0;
    return false;
}

static bool ask_witness(struct store *store, uint64_t by, struct witness *ret, struct err *err)
{
    *ret = (struct witness){ .by = by };
    return by == 0 || store_audit_each(store, by - 1, look_at, ret, err);
}

static bool read_kept(struct store *store, struct seal_point *ret, bool *ret_is_there,
                      struct err *err)
{
    enum store_found found;
    _buf_ bytes = { 0 };
    struct view rest;

    *ret = (struct seal_point){ 0 };
    if (!store_blob_get(store, point_name, &found, &bytes, err))
        return false;
    rest = buf_view(&bytes);
    *ret_is_there = found == STORE_FOUND;
    if (rest.len == 16 + HASH_SIZE) {
        view_take_u64(&rest, &ret->no);
        view_take_u64(&rest, &ret->by);
        memcpy(ret->head, rest.data, HASH_SIZE);
    }
    return true;
}

static bool is_same(const struct seal_point *a, const struct seal_point *b)
{
    return a->no == b->no && a->by == b->by && memcmp(a->head, b->head, HASH_SIZE) == 0;
}

/* Three say it: the numbers, which never fall; the kept point; and the entry. Where one differs, it is the one that was changed, as
 * far as the others tell. An entry that was changed is left to whoever walks the chain from here. */
bool seal_point_read(struct store *store, struct seal_point *ret, bool *ret_is_whole,
                     struct err *err)
{
    struct seal_point kept;
    struct witness w;
    uint64_t no, by;
    bool is_there;

    if (!store_number_get(store, no_name, &no, err) ||
        !store_number_get(store, by_name, &by, err) || !read_kept(store, &kept, &is_there, err) ||
        !ask_witness(store, by, &w, err))
        return err_wrap(err, "audit");
    if (!w.is_intact && kept.by != by && !ask_witness(store, kept.by, &w, err))
        return err_wrap(err, "audit");
    *ret = w.is_intact ? w.says : kept;
    *ret_is_whole = kept.no == no && kept.by == by && is_there == (by != 0) &&
                    (!w.is_intact || is_same(&w.says, &kept));
    return true;
}

/* ---- sealing ------------------------------------------------------------------------------------- */

struct gathering {
    struct seal_part *part;
    uint64_t before, upto, most;
    struct seal_point last; /* the entry before, and its head */
    uint64_t bad_no;        /* 0: none */
};

static bool gather(void *user, const struct store_audit *entry)
{
    struct gathering *g = user;
    struct seal_part *part = g->part;

    if (entry->at >= g->before || entry->no > g->upto || part->n == g->most)
        return false;
    if (!audit_follows(entry, g->last.no, g->last.head)) {
        g->bad_no = g->last.no + 1;
        return false;
    }
    g->last.no = entry->no;
    memcpy(g->last.head, entry->head, HASH_SIZE);
    part->from = part->n++ ? part->from : entry->no;
    part->at = part->at > entry->at ? part->at : entry->at;
    past_see(part->past, entry);
    audit_put_json(entry, &part->lines);
    buf_put_u8(&part->lines, '\n');
    return true;
}

void seal_part_deinit(struct seal_part *part)
{
    buf_free(&part->lines);
    past_free(part->past);
    part->past = NULL;
}

bool seal_find(struct store *store, uint64_t before, uint64_t upto, uint64_t most,
               struct seal_part *ret, struct err *err)
{
    struct gathering g = { .part = ret, .before = before, .upto = upto, .most = most };
    bool is_whole;

    *ret = (struct seal_part){ .past = past_new() };
    if (!seal_point_read(store, &g.last, &is_whole, err))
        return false;
    if (!is_whole)
        return err_set(err, ERR_SYSTEM, "audit: its checkpoint is changed");
    if (!store_audit_each(store, 0, gather, &g, err))
        return err_wrap(err, "audit");
    ret->to = g.last.no;
    memcpy(ret->head, g.last.head, HASH_SIZE);
    return !g.bad_no ||
           err_set(err, ERR_SYSTEM, "audit: entry %" PRIu64 " is changed, missing or out of order",
                   g.bad_no);
}

static bool say(struct store *open, const struct seal_part *part, const char *file, uint64_t keep,
                uint64_t now, struct err *err)
{
    char from[24], to[24], n[24], kept[24], head[RECORD_HEX], hash_hex[RECORD_HEX];
    uint8_t hash[HASH_SIZE];

    hash_sha256(buf_view(&part->lines), hash);
    snprintf(from, sizeof(from), "%" PRIu64, part->from);
    snprintf(to, sizeof(to), "%" PRIu64, part->to);
    snprintf(n, sizeof(n), "%" PRIu64, part->n);
    snprintf(kept, sizeof(kept), "%" PRIu64 "s", keep / 1000);
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("from", from),
        AUDIT_TEXT("to", to),
        AUDIT_TEXT("head", record_hex(VIEW_ARR(part->head), head)),
        AUDIT_TEXT("entries", n),
        AUDIT_TEXT("file", file),
        AUDIT_TEXT("sha256", record_hex(VIEW_ARR(hash), hash_hex)),
        AUDIT_TEXT("audit_keep", kept),
    };
    return audit_append(open, now, AUDIT_SEALED, pairs, N_ELEMENTS(pairs), err);
}

static bool keep_point(struct store *open, const struct seal_part *part, uint64_t by,
                       struct err *err)
{
    _buf_ bytes = { 0 };

    buf_put_u64(&bytes, part->to);
    buf_put_u64(&bytes, by);
    buf_put(&bytes, VIEW_ARR(part->head));
    return store_number_raise(open, no_name, part->to, err) &&
           store_number_raise(open, by_name, by, err) &&
           store_blob_set(open, point_name, buf_view(&bytes), err);
}

/* The wall clock may have been set back between two. */
static bool keep_past(struct store *open, const struct seal_part *part, struct err *err)
{
    uint64_t at;

    return store_number_get(open, at_name, &at, err) &&
           store_number_raise(open, at_name, part->at > at ? part->at : at, err) &&
           past_save(part->past, open, err);
}

bool seal_away(struct store *store, const struct seal_part *part, const char *file, uint64_t keep,
               uint64_t now, struct err *err)
{
    _transaction_ struct store *open = store;
    uint8_t head[HASH_SIZE];
    uint64_t by = 0;

    return store_begin(open, err) && say(open, part, file, keep, now, err) &&
           audit_head(open, &by, head, err) && keep_point(open, part, by, err) &&
           keep_past(open, part, err) && store_audit_drop(open, part->to, err) &&
           store_commit(open, err);
}

/* ---- what is there ------------------------------------------------------------------------------- */

static bool take_time(void *user, const struct store_audit *entry)
{
    *(uint64_t *)user = entry->at;
    return false;
}

bool seal_oldest(struct store *store, uint64_t *ret_at, struct err *err)
{
    *ret_at = UINT64_MAX;
    return store_audit_each(store, 0, take_time, ret_at, err);
}

/* A store that an older version sealed does not say up to which time. */
bool seal_since(struct store *store, uint64_t *ret_since, struct err *err)
{
    uint64_t no, at, oldest;

    if (!store_number_get(store, no_name, &no, err) ||
        !store_number_get(store, at_name, &at, err) || !seal_oldest(store, &oldest, err))
        return false;
    *ret_since = no == 0 ? 0 : at ? at : oldest;
    return true;
}

struct last {
    uint64_t by;
    struct buf hash, name;
};

static bool take_last(void *user, const struct store_audit *entry)
{
    struct last *last = user;
    struct view bytes = buf_view(&entry->bytes);

    if (entry->no == last->by && audit_find(bytes, "sha256", &last->hash))
        audit_find(bytes, "file", &last->name);
    return false;
}

/* A file's name, and no path: it stands in the store, and others may have written there. */
static bool is_name(struct view name)
{
    return name.len > 6 && name.len < 64 && view_starts(name, VIEW_LIT("audit-")) &&
           !memchr(name.data, '/', name.len);
}

bool seal_is_last(struct store *store, struct view lines, bool *ret_is, struct buf *ret_name,
                  struct err *err)
{
    struct last last = { 0 };
    char hex[RECORD_HEX];
    uint8_t hash[HASH_SIZE];
    bool ok;

    hash_sha256(lines, hash);
    ok = store_number_get(store, by_name, &last.by, err) &&
         (last.by == 0 || store_audit_each(store, last.by, take_last, &last, err));
    *ret_is = ok && view_eq_text(buf_view(&last.hash), record_hex(VIEW_ARR(hash), hex)) &&
              is_name(buf_view(&last.name));
    if (*ret_is)
        buf_put(ret_name, buf_view(&last.name));
    buf_free(&last.hash);
    buf_free(&last.name);
    return ok;
}
