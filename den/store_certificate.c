/* SPDX-License-Identifier: Apache-2.0 */
/* store.h: certificates and what revokes them. */
#include "den/sql.h"

void store_certificate_deinit(struct store_certificate *c)
{
    buf_free(&c->serial);
    buf_free(&c->der);
}

bool store_serial_reserve(struct store *s, struct view serial, const char *id, struct view spki,
                          uint64_t at, struct err *err)
{
    return sql_change_one(s, SQL_SERIAL_RESERVE,
                          ARGS(BLOB(serial), TEXT(id), BLOB(spki), NUMBER(at)), "serial", err);
}

/* On true the caller owns what is in it. */
static bool read_certificate(struct store *s, struct row *row, struct store_certificate *ret_c,
                             struct err *err)
{
    struct store_certificate c = { 0 };
    struct view serial, der;

    c.no = row_number(row);
    serial = row_view(row);
    der = row_view(row);
    row_text(row, c.id, sizeof(c.id));
    row_bytes(row, c.spki, sizeof(c.spki));
    c.reserved_at = row_number(row);
    c.not_before = row_number(row);
    c.not_after = row_number(row);
    c.is_revoked = row_is_set(row);
    row->column--;
    c.revoked_at = row_number(row);
    c.reason = (uint8_t)row_number(row);
    if (!row_end(s, row, err))
        return false;
    c.serial = buf_dup(serial);
    c.der = buf_dup(der);
    *ret_c = c;
    return true;
}

static bool find_certificate(struct store *s, enum sql which, struct view by, enum store_found *ret,
                             struct store_certificate *ret_c, struct err *err)
{
    _row_ row = { 0 };

    return sql_ask(s, which, ARGS(BLOB(by)), &row, ret, err) &&
           (*ret == STORE_NONE || read_certificate(s, &row, ret_c, err));
}

bool store_certificate_by_spki(struct store *s, struct view spki, enum store_found *ret,
                               struct store_certificate *ret_c, struct err *err)
{
    return find_certificate(s, SQL_CERTIFICATE_BY_SPKI, spki, ret, ret_c, err);
}

bool store_certificate_by_serial(struct store *s, struct view serial, enum store_found *ret,
                                 struct store_certificate *ret_c, struct err *err)
{
    return find_certificate(s, SQL_CERTIFICATE_BY_SERIAL, serial, ret, ret_c, err);
}

static bool is_revoked(struct store *s, struct view serial)
{
    _cleanup_(store_certificate_deinit) struct store_certificate c = { 0 };
    enum store_found found;
    struct err unused;

    return store_certificate_by_serial(s, serial, &found, &c, &unused) && found == STORE_FOUND &&
           c.is_revoked;
}

bool store_certificate_put(struct store *s, struct view serial, struct view der,
                           uint64_t not_before, uint64_t not_after, struct err *err)
{
    int n;

    if (!sql_change(s, SQL_CERTIFICATE_PUT,
                    ARGS(BLOB(der), NUMBER(not_before), NUMBER(not_after), BLOB(serial)), &n, err))
        return false;
    if (n == 1)
        return true;
    return is_revoked(s, serial)
               ? err_set(err, ERR_REVOKED, "the certificate was revoked before it was signed")
               : err_set(err, ERR_NOT_FOUND, "no such serial reserved and unsigned");
}

static bool walk_certificates(struct store *s, enum sql which, const struct arg *args,
                              size_t n_args, store_on_certificate *each, void *user,
                              struct err *err)
{
    _row_ row = { 0 };
    bool is_row, goes_on = true;

    if (!sql_start(s, which, args, n_args, &row, err))
        return false;
    while (goes_on) {
        struct store_certificate c = { 0 };
        if (!sql_next(s, &row, &is_row, err))
            return false;
        if (!is_row)
            return true;
        if (!read_certificate(s, &row, &c, err))
            return false;
        goes_on = each(user, &c);
        store_certificate_deinit(&c);
    }
    return true;
}

bool store_certificate_each(struct store *s, const char *id, store_on_certificate *each, void *user,
                            struct err *err)
{
    const struct arg of = TEXT(id ? id : "");

    return walk_certificates(s, id ? SQL_CERTIFICATE_EACH_OF : SQL_CERTIFICATE_EACH, &of,
                             id ? 1 : 0, each, user, err);
}

bool store_certificate_after(struct store *s, const char *id, uint64_t no,
                             store_on_certificate *each, void *user, struct err *err)
{
    const struct arg args[] = { NUMBER(no), TEXT(id ? id : "") };

    return walk_certificates(s, id ? SQL_CERTIFICATE_AFTER_OF : SQL_CERTIFICATE_AFTER, args,
                             id ? 2 : 1, each, user, err);
}

/* ---- revocations ------------------------------------------------------------------------------- */

bool store_revocation_last(struct store *s, uint64_t *ret_no, struct err *err)
{
    enum store_found found;
    _row_ row = { 0 };

    if (!sql_ask(s, SQL_REVOCATION_LAST, NO_ARGS, &row, &found, err))
        return false;
    *ret_no = found == STORE_FOUND ? row_number(&row) : 0;
    return row_end(s, &row, err);
}

static bool find_revocation(struct store *s, const struct store_revocation *r, uint64_t *ret_no,
                            struct err *err)
{
    enum store_found found;
    _row_ row = { 0 };

    if (!sql_ask(s, SQL_REVOCATION_FIND,
                 ARGS(NUMBER(r->kind), TEXT(r->id), BLOB(VIEW(r->subject, r->subject_len))), &row,
                 &found, err))
        return false;
    *ret_no = found == STORE_FOUND ? row_number(&row) : 0;
    return row_end(s, &row, err);
}

/* Certificates that have expired already need no entry in any list. Those of the ID come under its key, not under one
 * that it had before. */
static bool mark_identity(struct store *s, const struct store_revocation *r, uint64_t no,
                          struct err *err)
{
    bool is_its_key;
    int n;

    if (!store_identity_revoke(s, r->id, VIEW(r->subject, r->subject_len), r->at, &is_its_key, err))
        return false;
    return !is_its_key || sql_change(s, SQL_CERTIFICATE_REVOKE_ID,
                                     ARGS(NUMBER(r->at), NUMBER(r->reason), NUMBER(no), TEXT(r->id),
                                          NUMBER(r->at)),
                                     &n, err);
}

bool sql_mark_revoked(struct store *s, const struct store_revocation *r, uint64_t no,
                      struct err *err)
{
    static const enum sql whiches[] = {
        [STORE_REVOKE_SERIAL] = SQL_CERTIFICATE_REVOKE,
        [STORE_REVOKE_TLS_KEY] = SQL_CERTIFICATE_REVOKE_KEY,
    };
    struct view subject = VIEW(r->subject, r->subject_len);
    int n;

    if (r->kind == STORE_REVOKE_ADMISSIONS)
        return true;
    if (r->kind == STORE_REVOKE_IDENTITY)
        return mark_identity(s, r, no, err);
    return sql_change(s, whiches[r->kind],
                      ARGS(NUMBER(r->at), NUMBER(r->reason), NUMBER(no), BLOB(subject)), &n, err);
}

bool store_revocation_add(struct store *s, const struct store_revocation *r, uint64_t *ret_no,
                          bool *ret_is_new, struct err *err)
{
    uint64_t no;

    if (!find_revocation(s, r, &no, err))
        return false;
    *ret_is_new = no == 0;
    if (no) {
        *ret_no = no;
        return true;
    }
    if (!store_revocation_last(s, &no, err))
        return false;
    no++;
    if (!sql_change_one(s, SQL_REVOCATION_ADD,
                        ARGS(NUMBER(no), NUMBER(r->kind), TEXT(r->id),
                             BLOB(VIEW(r->subject, r->subject_len)), NUMBER(r->reason),
                             NUMBER(r->at)),
                        "revocation", err) ||
        !sql_mark_revoked(s, r, no, err))
        return false;
    *ret_no = no;
    return true;
}

bool store_certificate_revoke(struct store *s, struct view serial, uint64_t at, uint8_t reason,
                              struct err *err)
{
    _cleanup_(store_certificate_deinit) struct store_certificate c = { 0 };
    struct store_revocation r = { .kind = STORE_REVOKE_SERIAL, .reason = reason, .at = at };
    enum store_found found;
    bool is_new;

    if (!store_certificate_by_serial(s, serial, &found, &c, err))
        return false;
    if (found == STORE_NONE || serial.len > sizeof(r.subject))
        return err_set(err, ERR_NOT_FOUND, "no certificate with this serial number");
    memcpy(r.id, c.id, sizeof(r.id));
    memcpy(r.subject, serial.data, serial.len);
    r.subject_len = serial.len;
    return store_revocation_add(s, &r, &r.no, &is_new, err);
}

bool store_revocation_each(struct store *s, uint64_t from,
                           bool (*each)(void *user, const struct store_revocation *r), void *user,
                           struct err *err)
{
    _row_ row = { 0 };
    bool is_row;

    if (!sql_start(s, SQL_REVOCATION_EACH, ARGS(NUMBER(from)), &row, err))
        return false;
    for (;;) {
        struct store_revocation r = { 0 };
        struct view subject;
        if (!sql_next(s, &row, &is_row, err))
            return false;
        if (!is_row)
            return true;
        r.no = row_number(&row);
        r.kind = (enum store_revoke)row_number(&row);
        row_text(&row, r.id, sizeof(r.id));
        subject = row_view(&row);
        row.is_damaged |= subject.len > sizeof(r.subject);
        r.subject_len = row.is_damaged ? 0 : subject.len;
        if (r.subject_len)
            memcpy(r.subject, subject.data, r.subject_len);
        r.reason = (uint8_t)row_number(&row);
        r.at = row_number(&row);
        r.statement = row_view(&row);
        r.sig = row_view(&row);
        if (!row_end(s, &row, err))
            return false;
        if (!each(user, &r))
            return true;
    }
}

bool store_revocation_sign(struct store *s, uint64_t no, struct view statement, struct view sig,
                           struct err *err)
{
    return sql_change_one(s, SQL_REVOCATION_SIGN, ARGS(BLOB(statement), BLOB(sig), NUMBER(no)),
                          "revocation", err);
}

bool store_revocation_resign(struct store *s, uint64_t no, struct view sig, struct err *err)
{
    return sql_change_one(s, SQL_REVOCATION_RESIGN, ARGS(BLOB(sig), NUMBER(no)), "revocation", err);
}

bool store_key_is_revoked(struct store *s, struct view spki, bool *ret_is, struct err *err)
{
    enum store_found found;
    _row_ row = { 0 };

    if (!sql_ask(s, SQL_KEY_IS_REVOKED, ARGS(BLOB(spki), BLOB(spki)), &row, &found, err))
        return false;
    *ret_is = row_number(&row) != 0;
    return row_end(s, &row, err);
}

bool store_admission_is_revoked(struct store *s, struct view id, struct view pk, uint64_t adm_no,
                                bool *ret_is, struct err *err)
{
    uint8_t number[8];
    enum store_found found;
    _row_ row = { 0 };

    for (size_t i = 0; i < sizeof(number); i++)
        number[i] = (uint8_t)(adm_no >> (56 - 8 * i));
    if (!sql_ask(s, SQL_ADMISSION_IS_REVOKED, ARGS(BLOB(pk), TEXT_OF(id), BLOB(VIEW_ARR(number))),
                 &row, &found, err))
        return false;
    *ret_is = row_number(&row) != 0;
    return row_end(s, &row, err);
}

/* ---- for the list ------------------------------------------------------------------------------ */

static void read_revoked(struct row *row, struct store_revoked *to)
{
    struct view serial = row_view(row);

    row->is_damaged |= serial.len > sizeof(to->serial);
    to->serial_len = row->is_damaged ? 0 : serial.len;
    if (to->serial_len)
        memcpy(to->serial, serial.data, to->serial_len);
    to->at = row_number(row);
    to->reason = (uint8_t)row_number(row);
    to->not_after = row_number(row);
    to->by = row_number(row);
}

bool store_revoked_each(struct store *s, uint64_t after, uint64_t not_after,
                        bool (*each)(void *user, const struct store_revoked *r), void *user,
                        struct err *err)
{
    _row_ row = { 0 };
    bool is_row;

    if (!sql_start(s, SQL_REVOKED_EACH, ARGS(NUMBER(after), NUMBER(not_after)), &row, err))
        return false;
    for (;;) {
        struct store_revoked r = { 0 };
        if (!sql_next(s, &row, &is_row, err))
            return false;
        if (!is_row)
            return true;
        read_revoked(&row, &r);
        if (!row_end(s, &row, err))
            return false;
        if (!each(user, &r))
            return true;
    }
}
