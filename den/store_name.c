/* SPDX-License-Identifier: Apache-2.0 */
/* store.h's names, and new keys of known IDs. */
#include "den/sql.h"

/* ---- names -------------------------------------------------------------------------------------- */

static void read_name(struct row *row, struct store_name *n)
{
    row_text(row, n->name, sizeof(n->name));
    row_text(row, n->skeleton, sizeof(n->skeleton));
    row_text(row, n->id, sizeof(n->id));
    n->name_no = row_number(row);
    n->is_assigned = row_number(row) != 0;
    n->claimed_at = row_number(row);
    n->released_at = row_number(row);
}

static bool find_name(struct store *s, enum sql which, struct view by, enum store_found *ret,
                      struct store_name *ret_n, struct err *err)
{
    struct store_name n = { 0 };
    _row_ row = { 0 };

    if (!sql_ask(s, which, ARGS(TEXT_OF(by)), &row, ret, err))
        return false;
    if (*ret == STORE_NONE)
        return true;
    read_name(&row, &n);
    if (!row_end(s, &row, err))
        return false;
    *ret_n = n;
    return true;
}

bool store_name_find(struct store *s, struct view name, enum store_found *ret,
                     struct store_name *ret_n, struct err *err)
{
    return find_name(s, SQL_NAME_FIND, name, ret, ret_n, err);
}

bool store_name_by_skeleton(struct store *s, struct view skeleton, enum store_found *ret,
                            struct store_name *ret_n, struct err *err)
{
    return find_name(s, SQL_NAME_BY_SKELETON, skeleton, ret, ret_n, err);
}

bool store_name_add(struct store *s, const struct store_name *n, struct err *err)
{
    return sql_change_one(s, SQL_NAME_ADD,
                          ARGS(TEXT(n->name), TEXT(n->skeleton), TEXT(n->id), NUMBER(n->name_no),
                               NUMBER(n->is_assigned), NUMBER(n->claimed_at),
                               NUMBER(n->released_at)),
                          "name", err);
}

bool store_name_set(struct store *s, const struct store_name *n, struct err *err)
{
    return sql_change_one(s, SQL_NAME_SET,
                          ARGS(TEXT(n->id), NUMBER(n->name_no), NUMBER(n->is_assigned),
                               NUMBER(n->claimed_at), NUMBER(n->released_at), TEXT(n->name)),
                          "name", err);
}

bool store_name_count(struct store *s, const char *id, uint64_t since, uint64_t *ret_n,
                      struct err *err)
{
    enum store_found found;
    _row_ row = { 0 };

    if (!sql_ask(s, SQL_NAME_COUNT, ARGS(TEXT(id), NUMBER(since)), &row, &found, err))
        return false;
    *ret_n = row_number(&row);
    return true;
}

static bool walk_names(struct store *s, enum sql which, const struct arg *args, size_t n_args,
                       store_on_name *each, void *user, struct err *err)
{
    _row_ row = { 0 };
    bool is_row, goes_on = true;

    if (!sql_start(s, which, args, n_args, &row, err))
        return false;
    while (goes_on) {
        struct store_name n = { 0 };
        if (!sql_next(s, &row, &is_row, err))
            return false;
        if (!is_row)
            return true;
        read_name(&row, &n);
        if (!row_end(s, &row, err))
            return false;
        goes_on = each(user, &n);
    }
    return true;
}

bool store_name_each(struct store *s, const char *id, store_on_name *each, void *user,
                     struct err *err)
{
    const struct arg of = TEXT(id ? id : "");

    return walk_names(s, id ? SQL_NAME_EACH_OF : SQL_NAME_EACH, &of, id ? 1 : 0, each, user, err);
}

bool store_name_after(struct store *s, const char *name, store_on_name *each, void *user,
                      struct err *err)
{
    return walk_names(s, SQL_NAME_AFTER, ARGS(TEXT(name)), each, user, err);
}

/* ---- new keys ----------------------------------------------------------------------------------- */

bool store_rekey_add(struct store *s, const struct store_rekey *k, struct err *err)
{
    return sql_change_one(s, SQL_REKEY_ADD,
                          ARGS(TEXT(k->id), NUMBER(k->rekey_no), BLOB(VIEW_ARR(k->old_pk)),
                               BLOB(VIEW_ARR(k->new_pk)), BLOB(buf_view(&k->statement)),
                               BLOB(VIEW_ARR(k->sig)),
                               BLOB(VIEW(k->new_sig, k->has_new_sig ? sizeof(k->new_sig) : 0))),
                          "new key", err);
}

bool store_rekey_sign(struct store *s, const char *id, uint64_t rekey_no, struct view new_sig,
                      struct err *err)
{
    return sql_change_one(s, SQL_REKEY_SIGN, ARGS(BLOB(new_sig), TEXT(id), NUMBER(rekey_no)),
                          "new key", err);
}

static bool find_rekey(struct store *s, enum sql which, const struct arg *by, size_t n_by,
                       enum store_found *ret, struct store_rekey *ret_k, struct err *err)
{
    struct store_rekey k = { 0 };
    struct view statement, new_sig;
    _row_ row = { 0 };

    if (!sql_ask(s, which, by, n_by, &row, ret, err))
        return false;
    if (*ret == STORE_NONE)
        return true;
    row_text(&row, k.id, sizeof(k.id));
    k.rekey_no = row_number(&row);
    row_bytes(&row, k.old_pk, sizeof(k.old_pk));
    row_bytes(&row, k.new_pk, sizeof(k.new_pk));
    statement = row_view(&row);
    row_bytes(&row, k.sig, sizeof(k.sig));
    new_sig = row_view(&row);
    k.has_new_sig = new_sig.len == sizeof(k.new_sig);
    if (k.has_new_sig)
        memcpy(k.new_sig, new_sig.data, new_sig.len);
    if (!row_end(s, &row, err))
        return false;
    k.statement = buf_dup(statement);
    *ret_k = k;
    return true;
}

bool store_rekey_resign(struct store *s, const char *id, uint64_t rekey_no, struct view sig,
                        struct err *err)
{
    return sql_change_one(s, SQL_REKEY_RESIGN, ARGS(BLOB(sig), TEXT(id), NUMBER(rekey_no)),
                          "new key", err);
}

bool store_rekey_at(struct store *s, uint64_t i, enum store_found *ret, struct store_rekey *ret_k,
                    struct err *err)
{
    return find_rekey(s, SQL_REKEY_BY_DEN, ARGS(NUMBER(i)), ret, ret_k, err);
}

bool store_rekey_by_old(struct store *s, struct view old_pk, enum store_found *ret,
                        struct store_rekey *ret_k, struct err *err)
{
    return find_rekey(s, SQL_REKEY_BY_OLD, ARGS(BLOB(old_pk)), ret, ret_k, err);
}

bool store_rekey_find(struct store *s, const char *id, uint64_t rekey_no, enum store_found *ret,
                      struct store_rekey *ret_k, struct err *err)
{
    return find_rekey(s, SQL_REKEY_FIND, ARGS(TEXT(id), NUMBER(rekey_no)), ret, ret_k, err);
}
