/* SPDX-License-Identifier: Apache-2.0 */
/* store.h's identities, tokens and waiting machines. */
#include "den/sql.h"

/* The words of the schema for an enum's values, in its order. */
static const char *const kinds[] = { "committed", "provisional", "ephemeral" };
static const char *const ends[] = { "", "vanished", "removed" };
static const char *const answers[] = { "", "approved", "denied" };

static unsigned row_word(struct row *row, const char *const *words, size_t n)
{
    struct view text = row_view(row);

    for (unsigned i = 0; i < n; i++) {
        if (view_eq_text(text, words[i]))
            return i;
    }
    row->is_damaged = true;
    return 0;
}

/* ---- identities --------------------------------------------------------------------------------- */

static void read_identity(struct row *row, struct store_identity *i)
{
    row_text(row, i->id, sizeof(i->id));
    row_bytes(row, i->pk, sizeof(i->pk));
    row_text(row, i->role, sizeof(i->role));
    i->adm_no = row_number(row);
    i->created_at = row_number(row);
    i->is_revoked = row_is_set(row);
    i->kind = (enum store_kind)row_word(row, kinds, N_ELEMENTS(kinds));
    i->ended = (enum store_ended)row_word(row, ends, N_ELEMENTS(ends));
    row_text(row, i->groups, sizeof(i->groups));
    row_text(row, i->host, sizeof(i->host));
    i->expires_at = row_number(row);
    i->vanish_after = row_number(row);
    i->seen_at = row_number(row);
    i->rekey_no = row_number(row);
}

static bool find_identity(struct store *s, enum sql which, struct arg by, enum store_found *ret,
                          struct store_identity *ret_i, struct err *err)
{
    struct store_identity i = { 0 };
    _row_ row = { 0 };

    if (!sql_ask(s, which, &by, 1, &row, ret, err))
        return false;
    if (*ret == STORE_NONE)
        return true;
    read_identity(&row, &i);
    if (!row_end(s, &row, err))
        return false;
    *ret_i = i;
    return true;
}

bool store_identity_by_key(struct store *s, struct view pk, enum store_found *ret,
                           struct store_identity *ret_i, struct err *err)
{
    return find_identity(s, SQL_IDENTITY_BY_KEY, (struct arg)BLOB(pk), ret, ret_i, err);
}

bool store_identity_by_id(struct store *s, struct view id, enum store_found *ret,
                          struct store_identity *ret_i, struct err *err)
{
    return find_identity(s, SQL_IDENTITY_BY_ID, (struct arg)TEXT_OF(id), ret, ret_i, err);
}

bool store_identity_add(struct store *s, const struct store_identity *i, struct err *err)
{
    return sql_change_one(s, SQL_IDENTITY_ADD,
                          ARGS(TEXT(i->id), BLOB(VIEW_ARR(i->pk)), TEXT(i->role), NUMBER(i->adm_no),
                               NUMBER(i->created_at), TEXT(kinds[i->kind]), TEXT(i->groups),
                               TEXT(i->host), NUMBER(i->expires_at), NUMBER(i->vanish_after),
                               NUMBER(i->seen_at)),
                          "identity", err);
}

bool store_identity_set(struct store *s, const struct store_identity *i, struct err *err)
{
    return sql_change_one(s, SQL_IDENTITY_SET,
                          ARGS(TEXT(i->role), TEXT(kinds[i->kind]), TEXT(ends[i->ended]),
                               TEXT(i->groups), TEXT(i->host), NUMBER(i->expires_at),
                               NUMBER(i->vanish_after), NUMBER(i->seen_at), TEXT(i->id)),
                          "identity", err);
}

bool store_identity_set_key(struct store *s, const char *id, struct view pk, uint64_t rekey_no,
                            struct err *err)
{
    return sql_change_one(s, SQL_IDENTITY_SET_KEY, ARGS(BLOB(pk), NUMBER(rekey_no), TEXT(id)),
                          "identity", err);
}

bool store_identity_unrevoke(struct store *s, const char *id, struct err *err)
{
    return sql_change_one(s, SQL_IDENTITY_UNREVOKE, ARGS(TEXT(id)), "identity", err);
}

bool store_identity_drop(struct store *s, const char *id, struct err *err)
{
    return sql_change_one(s, SQL_IDENTITY_DROP, ARGS(TEXT(id)), "identity", err);
}

bool store_identity_set_adm_no(struct store *s, const char *id, uint64_t adm_no, struct err *err)
{
    return sql_change_one(s, SQL_IDENTITY_SET_ADM_NO, ARGS(NUMBER(adm_no), TEXT(id)), "identity",
                          err);
}

bool store_identity_revoke(struct store *s, const char *id, struct view pk, uint64_t at,
                           bool *ret_is_its_key, struct err *err)
{
    int n;

    if (!sql_change(s, SQL_IDENTITY_REVOKE, ARGS(NUMBER(at), TEXT(id), BLOB(pk)), &n, err))
        return false;
    *ret_is_its_key = n != 0;
    return true;
}

bool store_identity_acknowledge(struct store *s, const char *id, uint64_t manifest_no, uint64_t at,
                                struct err *err)
{
    return sql_change_one(s, SQL_IDENTITY_ACKNOWLEDGE,
                          ARGS(NUMBER(manifest_no), NUMBER(at), TEXT(id)), "identity", err);
}

bool store_identity_progress(struct store *s, uint64_t manifest_no, uint64_t since, uint64_t now,
                             struct store_progress *ret_p, struct err *err)
{
    struct store_progress p = { 0 };
    enum store_found found;
    _row_ row = { 0 };

    if (!sql_ask(s, SQL_IDENTITY_BEHIND, ARGS(NUMBER(manifest_no), NUMBER(since), NUMBER(now)),
                 &row, &found, err))
        return false;
    p.n = row_number(&row);
    p.n_acknowledged = row_number(&row);
    p.n_seen = row_number(&row);
    p.longest_since = row_number(&row);
    if (!row_end(s, &row, err))
        return false;
    *ret_p = p;
    return true;
}

bool store_identity_each_behind(struct store *s, uint64_t manifest_no, uint64_t now,
                                bool (*each)(void *user, const struct store_behind *b), void *user,
                                struct err *err)
{
    bool is_row, goes_on = true;
    _row_ row = { 0 };

    if (!sql_start(s, SQL_IDENTITY_EACH_BEHIND, ARGS(NUMBER(manifest_no), NUMBER(now)), &row, err))
        return false;
    while (goes_on) {
        struct store_behind b = { 0 };
        if (!sql_next(s, &row, &is_row, err))
            return false;
        if (!is_row)
            break;
        row_text(&row, b.id, sizeof(b.id));
        row_text(&row, b.host, sizeof(b.host));
        b.manifest_no = row_number(&row);
        b.seen_at = row_number(&row);
        if (!row_end(s, &row, err))
            return false;
        goes_on = each(user, &b);
    }
    return true;
}

bool store_identity_count(struct store *s, unsigned n_digits, uint64_t *ret_n, struct err *err)
{
    const struct arg digits = NUMBER(n_digits);
    enum store_found found;
    _row_ row = { 0 };

    if (!sql_ask(s, n_digits ? SQL_IDENTITY_COUNT_OF : SQL_IDENTITY_COUNT, &digits,
                 n_digits ? 1 : 0, &row, &found, err))
        return false;
    *ret_n = found == STORE_FOUND ? row_number(&row) : 0;
    return true;
}

static bool walk_identities(struct store *s, enum sql which, const struct arg *args, size_t n_args,
                            store_on_identity *each, void *user, struct err *err)
{
    _row_ row = { 0 };
    bool is_row, goes_on = true;

    if (!sql_start(s, which, args, n_args, &row, err))
        return false;
    while (goes_on) {
        struct store_identity i = { 0 };
        if (!sql_next(s, &row, &is_row, err))
            return false;
        if (!is_row)
            return true;
        read_identity(&row, &i);
        if (!row_end(s, &row, err))
            return false;
        goes_on = each(user, &i);
    }
    return true;
}

bool store_identity_each(struct store *s, bool only_passing, store_on_identity *each, void *user,
                         struct err *err)
{
    return walk_identities(s, only_passing ? SQL_IDENTITY_EACH_PASSING : SQL_IDENTITY_EACH, NO_ARGS,
                           each, user, err);
}

bool store_identity_after(struct store *s, const char *id, store_on_identity *each, void *user,
                          struct err *err)
{
    return walk_identities(s, SQL_IDENTITY_AFTER, ARGS(TEXT(id)), each, user, err);
}

/* ---- tokens ------------------------------------------------------------------------------------- */

static void read_token(struct row *row, struct store_token *t)
{
    row_bytes(row, t->pk, sizeof(t->pk));
    row_text(row, t->role, sizeof(t->role));
    row_text(row, t->groups, sizeof(t->groups));
    row_text(row, t->label, sizeof(t->label));
    t->uses = row_number(row);
    t->uses_left = row_number(row);
    t->n_used = row_number(row);
    t->created_at = row_number(row);
    t->expires_at = row_number(row);
    t->needs_approval = row_number(row) == 0;
    t->device_life = row_number(row);
    t->vanish_after = row_number(row);
    row_text(row, t->for_id, sizeof(t->for_id));
    row_text(row, t->by, sizeof(t->by));
    t->revoked_at = row_number(row);
}

bool store_token_add(struct store *s, const struct store_token *t, struct err *err)
{
    return sql_change_one(
        s, SQL_TOKEN_ADD,
        ARGS(BLOB(VIEW_ARR(t->pk)), TEXT(t->role), TEXT(t->groups), TEXT(t->label), NUMBER(t->uses),
             NUMBER(t->uses_left), NUMBER(t->n_used), NUMBER(t->created_at), NUMBER(t->expires_at),
             NUMBER(t->needs_approval ? 0 : 1), NUMBER(t->device_life), NUMBER(t->vanish_after),
             TEXT(t->for_id), TEXT(t->by), NUMBER(t->revoked_at)),
        "token", err);
}

static bool find_token(struct store *s, enum sql which, const struct arg *by, enum store_found *ret,
                       struct store_token *ret_t, struct err *err)
{
    struct store_token t = { 0 };
    _row_ row = { 0 };

    if (!sql_ask(s, which, by, 1, &row, ret, err))
        return false;
    if (*ret == STORE_NONE)
        return true;
    read_token(&row, &t);
    if (!row_end(s, &row, err))
        return false;
    *ret_t = t;
    return true;
}

bool store_token_find(struct store *s, struct view pk, enum store_found *ret,
                      struct store_token *ret_t, struct err *err)
{
    const struct arg by = BLOB(pk);

    return find_token(s, SQL_TOKEN_FIND, &by, ret, ret_t, err);
}

bool store_token_open_for(struct store *s, const char *id, enum store_found *ret,
                          struct store_token *ret_t, struct err *err)
{
    const struct arg by = TEXT(id);

    return find_token(s, SQL_TOKEN_OPEN_FOR, &by, ret, ret_t, err);
}

bool store_token_use(struct store *s, struct view token_pk, struct view identity_pk, uint64_t at,
                     struct err *err)
{
    enum store_found found;
    _row_ row = { 0 };
    int n;

    if (!sql_ask(s, SQL_TOKEN_WAS_USED, ARGS(BLOB(token_pk), BLOB(identity_pk)), &row, &found, err))
        return false;
    if (found == STORE_FOUND)
        return true;
    if (!sql_change(s, SQL_TOKEN_COUNT_DOWN, ARGS(BLOB(token_pk)), &n, err))
        return false;
    if (n != 1)
        return err_set(err, ERR_BAD_TOKEN, "unknown, or no use of it is left");
    return sql_change_one(s, SQL_TOKEN_NOTE_USE,
                          ARGS(BLOB(token_pk), BLOB(identity_pk), NUMBER(at)), "token", err);
}

bool store_token_revoke(struct store *s, struct view pk, uint64_t at, struct err *err)
{
    return sql_change_one(s, SQL_TOKEN_REVOKE, ARGS(NUMBER(at), BLOB(pk)), "token", err);
}

static bool walk_tokens(struct store *s, enum sql which, const struct arg *args, size_t n_args,
                        store_on_token *each, void *user, struct err *err)
{
    _row_ row = { 0 };
    bool is_row, goes_on = true;

    if (!sql_start(s, which, args, n_args, &row, err))
        return false;
    while (goes_on) {
        struct store_token x = { 0 };
        if (!sql_next(s, &row, &is_row, err))
            return false;
        if (!is_row)
            return true;
        read_token(&row, &x);
        if (!row_end(s, &row, err))
            return false;
        goes_on = each(user, &x);
    }
    return true;
}

bool store_token_each(struct store *s, store_on_token *each, void *user, struct err *err)
{
    return walk_tokens(s, SQL_TOKEN_EACH, NO_ARGS, each, user, err);
}

bool store_token_before(struct store *s, uint64_t at, struct view pk, store_on_token *each,
                        void *user, struct err *err)
{
    return walk_tokens(s, SQL_TOKEN_BEFORE, ARGS(NUMBER(at), BLOB(pk)), each, user, err);
}

/* ---- machines that wait ------------------------------------------------------------------------- */

static void read_waiting(struct row *row, struct store_waiting *w)
{
    struct view bytes;

    row_bytes(row, w->pk, sizeof(w->pk));
    row_text(row, w->code, sizeof(w->code));
    row_text(row, w->host, sizeof(w->host));
    row_text(row, w->source, sizeof(w->source));
    bytes = row_view(row);
    w->network_len = bytes.len <= sizeof(w->network) ? bytes.len : 0;
    if (w->network_len)
        memcpy(w->network, bytes.data, w->network_len);
    bytes = row_view(row);
    w->has_token = bytes.len == sizeof(w->token_pk);
    if (w->has_token)
        memcpy(w->token_pk, bytes.data, bytes.len);
    w->first_at = row_number(row);
    w->last_at = row_number(row);
    w->answer = (enum store_answer)row_word(row, answers, N_ELEMENTS(answers));
    row_text(row, w->role, sizeof(w->role));
    row_text(row, w->groups, sizeof(w->groups));
}

bool store_waiting_find(struct store *s, struct view pk, enum store_found *ret,
                        struct store_waiting *ret_w, struct err *err)
{
    struct store_waiting w = { 0 };
    _row_ row = { 0 };

    if (!sql_ask(s, SQL_WAITING_FIND, ARGS(BLOB(pk)), &row, ret, err))
        return false;
    if (*ret == STORE_NONE)
        return true;
    read_waiting(&row, &w);
    if (!row_end(s, &row, err))
        return false;
    *ret_w = w;
    return true;
}

bool store_waiting_put(struct store *s, const struct store_waiting *w, struct err *err)
{
    return sql_change_one(s, SQL_WAITING_PUT,
                          ARGS(BLOB(VIEW_ARR(w->pk)), TEXT(w->code), TEXT(w->host), TEXT(w->source),
                               BLOB(VIEW(w->network, w->network_len)),
                               BLOB(VIEW(w->token_pk, w->has_token ? sizeof(w->token_pk) : 0)),
                               NUMBER(w->first_at), NUMBER(w->last_at), TEXT(answers[w->answer]),
                               TEXT(w->role), TEXT(w->groups)),
                          "waiting machine", err);
}

bool store_waiting_drop(struct store *s, struct view pk, struct err *err)
{
    return sql_change_one(s, SQL_WAITING_DROP, ARGS(BLOB(pk)), "waiting machine", err);
}

bool store_waiting_drop_old(struct store *s, uint64_t before, struct err *err)
{
    int n;

    return sql_change(s, SQL_WAITING_DROP_OLD, ARGS(NUMBER(before)), &n, err);
}

bool store_waiting_drop_token(struct store *s, struct view token_pk, int *ret_n, struct err *err)
{
    return sql_change(s, SQL_WAITING_DROP_TOKEN, ARGS(BLOB(token_pk)), ret_n, err);
}

bool store_waiting_count(struct store *s, struct view network, uint64_t *ret_n, struct err *err)
{
    const struct arg by = BLOB(network);
    enum store_found found;
    _row_ row = { 0 };

    if (!sql_ask(s, network.len ? SQL_WAITING_COUNT_NETWORK : SQL_WAITING_COUNT, &by,
                 network.len ? 1 : 0, &row, &found, err))
        return false;
    *ret_n = row_number(&row);
    return true;
}

static bool walk_waiting(struct store *s, enum sql which, const struct arg *args, size_t n_args,
                         store_on_waiting *each, void *user, struct err *err)
{
    _row_ row = { 0 };
    bool is_row, goes_on = true;

    if (!sql_start(s, which, args, n_args, &row, err))
        return false;
    while (goes_on) {
        struct store_waiting x = { 0 };
        if (!sql_next(s, &row, &is_row, err))
            return false;
        if (!is_row)
            return true;
        read_waiting(&row, &x);
        if (!row_end(s, &row, err))
            return false;
        goes_on = each(user, &x);
    }
    return true;
}

bool store_waiting_each(struct store *s, store_on_waiting *each, void *user, struct err *err)
{
    return walk_waiting(s, SQL_WAITING_EACH, NO_ARGS, each, user, err);
}

bool store_waiting_after(struct store *s, uint64_t at, struct view pk, store_on_waiting *each,
                         void *user, struct err *err)
{
    return walk_waiting(s, SQL_WAITING_AFTER, ARGS(NUMBER(at), BLOB(pk)), each, user, err);
}

/* ---- groups, then ------------------------------------------------------------------------------- */

bool store_sealed_groups_set(struct store *s, const char *id, const char *groups, struct err *err)
{
    return sql_change_one(s, SQL_SEALED_GROUPS_SET, ARGS(TEXT(id), TEXT(groups)), "groups", err);
}

bool store_sealed_groups_each(struct store *s,
                              void (*each)(void *user, const char *id, const char *groups),
                              void *user, struct err *err)
{
    char id[STORE_ID], groups[STORE_GROUPS];
    _row_ row = { 0 };
    bool is_row;

    if (!sql_start(s, SQL_SEALED_GROUPS_EACH, NO_ARGS, &row, err))
        return false;
    for (;;) {
        if (!sql_next(s, &row, &is_row, err))
            return false;
        if (!is_row)
            return true;
        row_text(&row, id, sizeof(id));
        row_text(&row, groups, sizeof(groups));
        if (!row_end(s, &row, err))
            return false;
        each(user, id, groups);
    }
}
