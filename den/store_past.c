/* SPDX-License-Identifier: Apache-2.0 */
/* store.h: what brings a store that was taken back to an older state past everything that was said
 * since. Inside one transaction, which lifts the guards of the schema that it needs to lift. */
#include "base/clock.h"
#include "den/sql.h"

#include <inttypes.h>
#include <stdio.h>

/* What is revoked and not known otherwise stays on the list for so long: longer than any leaf lives. */
#define LEAF_LIFE (31 * DAY_MS)

/* ---- guards ------------------------------------------------------------------------------------- */

static bool exec(struct store *s, const char *sql, struct err *err)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK || sql_err(s, err);
}

/* Until the text that it gives back is executed, or the transaction ends otherwise. */
static bool lift(struct store *s, const char *guard, struct buf *ret_sql, struct err *err)
{
    _free_ char *drop = mem_format("DROP TRIGGER %s", guard);
    enum store_found found;
    _row_ row = { 0 };

    if (!sql_ask(s, SQL_GUARD_GET, ARGS(TEXT(guard)), &row, &found, err))
        return false;
    if (found == STORE_NONE)
        return err_set(err, ERR_SYSTEM, "%s: damaged: no trigger %s", s->path, guard);
    buf_put(ret_sql, row_view(&row));
    row_reset(&row);
    return exec(s, drop, err);
}

static bool put_back(struct store *s, struct buf *sql, struct err *err)
{
    return exec(s, buf_cstr(sql), err);
}

/* ---- numbers ------------------------------------------------------------------------------------ */

static bool raise_names(struct store *s, uint64_t to, struct err *err)
{
    _buf_ guard = { 0 };
    int n;

    return lift(s, "name_numbers_rise", &guard, err) &&
           sql_change(s, SQL_NAME_NOS_RAISE, ARGS(NUMBER(to)), &n, err) && put_back(s, &guard, err);
}

bool store_begin_epoch(struct store *s, uint64_t epoch, uint64_t at, struct err *err)
{
    uint64_t first = epoch << STORE_EPOCH_OF_ID;
    int n;

    return store_number_raise(s, "epoch", epoch, err) &&
           sql_change(s, SQL_ADM_NOS_RAISE, ARGS(NUMBER(first)), &n, err) &&
           sql_change(s, SQL_TOKENS_END, ARGS(NUMBER(at)), &n, err) && raise_names(s, first, err);
}

/* ---- revocations -------------------------------------------------------------------------------- */

struct pile {
    struct store_revocation *item;
    size_t n;
};

static bool collect(void *user, const struct store_revocation *r)
{
    struct pile *pile = user;

    if (r->statement.len)
        return true;
    pile->item = mem_resize(pile->item, pile->n + 1, sizeof(*pile->item));
    pile->item[pile->n] = *r;
    pile->item[pile->n++].statement = (struct view){ 0 };
    return true;
}

/* Nobody was told of them by their numbers: they are put down anew. */
static bool take_back(struct store *s, const struct pile *pile, struct err *err)
{
    int n;

    for (size_t i = 0; i < pile->n; i++) {
        if (!sql_change(s, SQL_CERTIFICATE_UNMARK, ARGS(NUMBER(pile->item[i].no)), &n, err) ||
            !sql_change_one(s, SQL_REVOCATION_TAKE_BACK, ARGS(NUMBER(pile->item[i].no)),
                            "revocation", err))
            return false;
    }
    return true;
}

static bool put_down_again(struct store *s, const struct pile *pile, struct err *err)
{
    uint64_t no;
    bool is_new;

    for (size_t i = 0; i < pile->n; i++) {
        if (!store_revocation_add(s, &pile->item[i], &no, &is_new, err))
            return false;
    }
    return true;
}

/* A serial that nothing else is known of: it stands on the list until no certificate can be valid. */
static bool know(struct store *s, struct view serial, const char *id, const struct store_revoked *r,
                 bool *ret_is_new, struct err *err)
{
    _cleanup_(store_certificate_deinit) struct store_certificate c = { 0 };
    enum store_found found;
    int n;

    if (!store_certificate_by_serial(s, serial, &found, &c, err))
        return false;
    *ret_is_new = found == STORE_NONE;
    return found == STORE_FOUND ||
           sql_change(s, SQL_CERTIFICATE_LOST,
                      ARGS(BLOB(serial), TEXT(id), NUMBER(r->at), NUMBER(r->at + LEAF_LIFE),
                           NUMBER(r->at), NUMBER(r->reason), NUMBER(r->by)),
                      &n, err);
}

bool store_serial_is_lost(struct store *s, struct view serial, const struct store_revoked *r,
                          bool *ret_is_new, struct err *err)
{
    return know(s, serial, "lost", r, ret_is_new, err);
}

static bool know_serial(struct store *s, const struct store_revocation *r, struct err *err)
{
    const struct store_revoked lost = { .at = r->at, .reason = r->reason, .by = r->no };
    bool is_new;

    return know(s, VIEW(r->subject, r->subject_len), r->id, &lost, &is_new, err);
}

/* An identity that enrolled since is known again, as revoked: the statement names its key. */
static bool know_identity(struct store *s, const struct store_revocation *r, struct err *err)
{
    struct store_identity who = { .role = "peer", .created_at = r->at, .seen_at = r->at };
    struct store_identity other;
    enum store_found found, has_key;

    if (!store_identity_by_id(s, view_text(r->id), &found, &other, err) ||
        !store_identity_by_key(s, VIEW(r->subject, r->subject_len), &has_key, &other, err))
        return false;
    if (found == STORE_FOUND || has_key == STORE_FOUND || r->subject_len != KEY_SIZE)
        return true;
    memcpy(who.id, r->id, sizeof(who.id));
    memcpy(who.pk, r->subject, KEY_SIZE);
    return store_identity_add(s, &who, err);
}

/* Ended too: its admissions here, up to its newest, are those that were revoked. */
static bool end_identity(struct store *s, const struct store_revocation *r, struct err *err)
{
    struct view subject = VIEW(r->subject, r->subject_len);
    struct store_identity who;
    enum store_found found;
    uint64_t below;

    if (!view_take_u64(&subject, &below))
        return err_set(err, ERR_BAD_STATEMENT, "revocation %" PRIu64 ": no number", r->no);
    if (!store_identity_by_id(s, view_text(r->id), &found, &who, err))
        return false;
    if (found == STORE_NONE || who.adm_no >= below || who.ended != STORE_LIVES)
        return true;
    who.ended = who.kind == STORE_EPHEMERAL ? STORE_VANISHED : STORE_REMOVED;
    if (who.kind == STORE_PROVISIONAL)
        who.kind = STORE_COMMITTED;
    return store_identity_set(s, &who, err);
}

static bool mark(struct store *s, const struct store_revocation *r, struct err *err)
{
    struct store_identity who;
    enum store_found found;

    switch (r->kind) {
    case STORE_REVOKE_SERIAL:
        return know_serial(s, r, err) && sql_mark_revoked(s, r, r->no, err);
    case STORE_REVOKE_TLS_KEY:
        return sql_mark_revoked(s, r, r->no, err);
    case STORE_REVOKE_IDENTITY:
        return know_identity(s, r, err) &&
               store_identity_by_id(s, view_text(r->id), &found, &who, err) &&
               (found == STORE_NONE || sql_mark_revoked(s, r, r->no, err));
    case STORE_REVOKE_ADMISSIONS:
        return end_identity(s, r, err);
    }
    return err_set(err, ERR_BAD_STATEMENT, "revocation %" PRIu64 ": of no known kind", r->no);
}

static bool replay_one(struct store *s, const struct store_revocation *r, struct err *err)
{
    return sql_change_one(s, SQL_REVOCATION_ADD,
                          ARGS(NUMBER(r->no), NUMBER(r->kind), TEXT(r->id),
                               BLOB(VIEW(r->subject, r->subject_len)), NUMBER(r->reason),
                               NUMBER(r->at)),
                          "revocation", err) &&
           mark(s, r, err) && store_revocation_sign(s, r->no, r->statement, r->sig, err);
}

static bool replay(struct store *s, const struct store_revocation *list, size_t n,
                   const struct pile *pile, struct err *err)
{
    _buf_ of_revocations = { 0 };
    _buf_ of_certificates = { 0 };

    if (!lift(s, "revocations_stay", &of_revocations, err) ||
        !lift(s, "certificate_stays_revoked", &of_certificates, err) || !take_back(s, pile, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!replay_one(s, &list[i], err))
            return err_wrap(err, "revocation %" PRIu64, list[i].no);
    }
    return put_down_again(s, pile, err) && put_back(s, &of_revocations, err) &&
           put_back(s, &of_certificates, err);
}

bool store_revocations_replay(struct store *s, const struct store_revocation *list, size_t n,
                              struct err *err)
{
    struct pile pile = { 0 };
    bool ok;

    ok = store_revocation_each(s, 1, collect, &pile, err) && replay(s, list, n, &pile, err);
    free(pile.item);
    return ok;
}
