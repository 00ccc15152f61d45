/* SPDX-License-Identifier: Apache-2.0 */
#include "den/audit.h"
#include "base/key.h"
#include "base/text.h"
#include "tests/check.h"

#include <sqlite3.h>

static struct err err;

enum { N_ENTRIES = 7 };

/* A store with entries 1 to 7, open. */
static struct store *new_audit(char **ret_path)
{
    static unsigned n;
    struct store *store = NULL;
    bool ok;

    *ret_path = mem_format("%s/audit-%u.db", check_dir(), n++);
    ok = store_create(*ret_path, &err) && store_open(*ret_path, &store, &err) &&
         store_begin(store, &err);
    for (uint64_t i = 1; ok && i <= N_ENTRIES; i++) {
        _free_ char *id = mem_format("%06llu", (unsigned long long)i);
        const struct audit_pair pairs[] = { AUDIT_TEXT("id", id),
                                            { "raw", VIEW_LIT("a\nb=\\\"\xff") } };
        ok = audit_append(store, 1000 * i, "identity.admitted", pairs, N_ELEMENTS(pairs), &err);
    }
    if (!ok || !store_commit(store, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    return store;
}

TEST(the_head_is_as_documented)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = NULL;
    uint8_t zero[HASH_SIZE] = { 0 }, wanted[HASH_SIZE], head[HASH_SIZE] = { 1 };
    _buf_ by_hand = { 0 };
    uint64_t no = 9;

    path = mem_format("%s/head.db", check_dir());
    CHECK_OK(store_create(path, &err), err);
    CHECK_OK(store_open(path, &store, &err), err);
    CHECK_OK(audit_head(store, &no, head, &err), err);
    CHECK_U64(no, 0);
    CHECK_VIEW(VIEW_ARR(head), VIEW_ARR(zero));

    CHECK_OK(store_begin(store, &err), err);
    CHECK_OK(audit_append(store, 0x1122334455, "network.created",
                          (const struct audit_pair[]){ AUDIT_TEXT("network", "corp.example") }, 1,
                          &err),
             err);
    CHECK_OK(store_commit(store, &err), err);
    buf_put(&by_hand, VIEW_LIT("warren/1 audit\0"));
    buf_put(&by_hand, VIEW_ARR(zero));
    buf_put_u64(&by_hand, 1);
    buf_put_u64(&by_hand, 0x1122334455);
    buf_put_u32(&by_hand, 42);
    buf_put_text(&by_hand, "what=network.created\nnetwork=corp.example\n");
    hash_sha256(buf_view(&by_hand), wanted);
    CHECK_OK(audit_head(store, &no, head, &err), err);
    CHECK_U64(no, 1);
    CHECK_VIEW(VIEW_ARR(head), VIEW_ARR(wanted));
}

TEST(an_entry_that_was_rolled_back_never_was)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_audit(&path);
    uint64_t n, bad;

    CHECK_OK(store_begin(store, &err), err);
    CHECK_OK(audit_append(store, 1, "gone", NULL, 0, &err), err);
    store_rollback(store);
    CHECK_OK(store_begin(store, &err), err);
    CHECK_OK(audit_append(store, 1, "kept", NULL, 0, &err), err);
    CHECK_OK(store_commit(store, &err), err);
    CHECK_OK(audit_verify(store, &n, &bad, NULL, &err), err);
    CHECK_U64(n, N_ENTRIES + 1);
    CHECK_U64(bad, 0);
}

static bool put_json(void *user, const struct store_audit *entry)
{
    struct buf *to = user;

    audit_put_json(entry, to);
    return false;
}

TEST(values_cannot_look_like_other_pairs)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_audit(&path);
    _buf_ json = { 0 };
    const char *start = "{\"no\":2,\"at\":\"1970-01-01T00:00:02Z\",\"at_ms\":2000,\"what\":"
                        "\"identity.admitted\",\"facts\":"
                        "{\"id\":\"000002\",\"raw\":\"a\\\\x0ab=\\\\x5c\\\"\\\\xff\"},\"head\":\"";

    CHECK_OK(store_audit_each(store, 2, put_json, &json, &err), err);
    CHECK_VIEW(view_sub(buf_view(&json), 0, strlen(start)), view_text(start));
    CHECK_U64(json.len, strlen(start) + 2 * HASH_SIZE + 2);
}

static void tamper(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    char *why = NULL;

    if (sqlite3_open(path, &db) != SQLITE_OK ||
        sqlite3_exec(db,
                     "PRAGMA ignore_check_constraints = ON; DROP TRIGGER audit_is_kept; DROP "
                     "TRIGGER audit_is_unchanged",
                     NULL, NULL, &why) != SQLITE_OK ||
        sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        check_failed(__FILE__, __LINE__, "%s: %s", sql, why ? why : "open");
    sqlite3_free(why);
    sqlite3_close(db);
}

TEST(verify_names_the_first_bad_entry)
{
    static const struct {
        const char *sql;
        uint64_t bad;
    } cases[] = {
        { "SELECT 1", 0 },
        { "UPDATE audit SET bytes = CAST(replace(CAST(bytes AS TEXT), '000003', '000009') AS BLOB) "
          "WHERE no = 3",
          3 },
        { "UPDATE audit SET at = at + 1 WHERE no = 4", 4 },
        { "UPDATE audit SET at = -at WHERE no = 4", 4 },
        { "UPDATE audit SET head = randomblob(32) WHERE no = 1", 1 },
        { "UPDATE audit SET head = x'00' WHERE no = 6", 6 },
        { "UPDATE audit SET bytes = x'' WHERE no = 2", 2 },
        { "DELETE FROM audit WHERE no = 1", 1 },
        { "DELETE FROM audit WHERE no = 5", 5 },
        { "DELETE FROM audit WHERE no = 7", 7 },
        { "DELETE FROM audit WHERE no >= 3", 3 },
        { "DELETE FROM audit", 1 },
        { "DELETE FROM audit WHERE no = 3; UPDATE audit SET no = no - 1 WHERE no > 3", 3 },
        { "UPDATE audit SET no = 99 WHERE no = 2; UPDATE audit SET no = 2 WHERE no = 3; UPDATE "
          "audit SET no = 3 WHERE no = 99",
          2 },
        { "INSERT INTO audit SELECT 8, at, bytes, head FROM audit WHERE no = 7", 8 },
        { "INSERT INTO audit SELECT 0, at, bytes, head FROM audit WHERE no = 1", 1 },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _free_ char *path = NULL;
        _cleanup_(store_freep) struct store *store = new_audit(&path);
        uint64_t n, bad = 99;
        tamper(path, cases[i].sql);
        CHECK_OK(audit_verify(store, &n, &bad, NULL, &err), err);
        if (bad != cases[i].bad)
            check_failed(__FILE__, __LINE__, "%s: bad is %llu", cases[i].sql,
                         (unsigned long long)bad);
        CHECK_U64(n, bad ? bad - 1 : N_ENTRIES);
    }
}

/* Flips one bit of one entry; the SQL that undoes it is the caller's. */
static char *flip(sqlite3 *db, const char *column, unsigned no, uint32_t at)
{
    _free_ char *select = mem_format("SELECT %s FROM audit WHERE no = %u", column, no);
    sqlite3_stmt *row = NULL;
    _buf_ before = { 0 };
    _buf_ after = { 0 };
    struct buf bytes;

    if (sqlite3_prepare_v2(db, select, -1, &row, NULL) != SQLITE_OK ||
        sqlite3_step(row) != SQLITE_ROW)
        abort();
    bytes = buf_dup(VIEW(sqlite3_column_blob(row, 0), (size_t)sqlite3_column_bytes(row, 0)));
    text_put_hex(&before, buf_view(&bytes));
    bytes.data[at / 8 % bytes.len] ^= (uint8_t)(1u << at % 8);
    text_put_hex(&after, buf_view(&bytes));
    buf_free(&bytes);
    sqlite3_finalize(row);
    char *sql =
        mem_format("UPDATE audit SET %s = x'%s' WHERE no = %u", column, buf_cstr(&after), no);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        abort();
    free(sql);
    return mem_format("UPDATE audit SET %s = x'%s' WHERE no = %u", column, buf_cstr(&before), no);
}

TEST(verify_finds_every_flipped_bit)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_audit(&path);
    uint64_t n, bad;
    sqlite3 *db = NULL;

    tamper(path, "SELECT 1"); /* the triggers are gone */
    CHECK(sqlite3_open(path, &db) == SQLITE_OK);
    sqlite3_exec(db, "PRAGMA synchronous = OFF", NULL, NULL, NULL);
    for (unsigned i = 0; i < 1000; i++) {
        unsigned no = 1 + random_below(N_ENTRIES);
        _free_ char *undo =
            flip(db, random_below(2) ? "bytes" : "head", no, random_below(1u << 20));
        CHECK_OK(audit_verify(store, &n, &bad, NULL, &err), err);
        CHECK_U64(bad, no);
        CHECK(sqlite3_exec(db, undo, NULL, NULL, NULL) == SQLITE_OK);
    }
    CHECK_OK(audit_verify(store, &n, &bad, NULL, &err), err);
    CHECK_U64(bad, 0);
    sqlite3_close(db);
}

TEST(nothing_is_added_to_an_audit_whose_end_is_missing)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_audit(&path);

    tamper(path, "DELETE FROM audit WHERE no = 7");
    CHECK_OK(store_begin(store, &err), err);
    CHECK_ERR(audit_append(store, 1, "more", NULL, 0, &err), err, ERR_SYSTEM);
    CHECK_STR(err.text, "audit: the newest entry is 6, it should be 7");
    store_rollback(store);
}

TEST(a_plain_change_is_refused_by_the_store_itself)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_audit(&path);
    sqlite3 *db = NULL;

    CHECK(store);
    CHECK(sqlite3_open(path, &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, "DELETE FROM audit WHERE no = 7", NULL, NULL, NULL) != SQLITE_OK);
    CHECK(sqlite3_exec(db, "UPDATE audit SET at = 1", NULL, NULL, NULL) != SQLITE_OK);
    sqlite3_close(db);
}
