/* SPDX-License-Identifier: Apache-2.0 */
/* Stores of every version that there was, with what such a store held: opened by this program they keep
 * all of it, also when the machine dies on the way, and when two processes come at once. */
#include "base/file.h"
#include "base/key.h"
#include "base/text.h"
#include "den/audit.h"
#include "tests/check.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const steps[] = {
#include "den/schema.sql.inc"
    ,
#include "den/schema_3.sql.inc"
    ,
#include "den/schema_4.sql.inc"
    ,
#include "den/schema_5.sql.inc"
    ,
#include "den/schema_6.sql.inc"
    ,
#include "den/schema_7.sql.inc"
    ,
#include "den/schema_8.sql.inc"
    ,
#include "den/schema_9.sql.inc"
    ,
#include "den/schema_10.sql.inc"
};
enum { N_VERSIONS = N_ELEMENTS(steps), N_AUDIT = 5, N_PROCESSES = 4 };

static struct err err;

/* ---- what stores held --------------------------------------------------------------------------- */

#define X8(x)  x x x x x x x x
#define B32(x) "x'" X8(x) X8(x) X8(x) X8(x) "'"
#define B64(x) "x'" X8(X8(x)) "'"

static const char *const rows[N_VERSIONS] = {
    /* what version 1 wrote */
    "INSERT INTO identity VALUES ('456000'," B32(
        "01") ",'peer',7,1000,NULL),"
              "  ('456001'," B32("02") ",'admin',1,1001,NULL), ('4560022'," B32(
                  "03") ",'peer',2,1002,5000);"
                        "INSERT INTO token VALUES (" B32(
                            "11") ",'peer',3,1000,99000)," /* two of five uses are gone */
                                  "  (" B32("12") ",'admin',0,1000,0), (" B32(
                                      "13") ",'peer',1,1000,2000);"
                                            "INSERT INTO token_use VALUES (" B32("11") "," B32(
                                                "01") ",1000),"
                                                      "  (" B32("11") "," B32("03") ",1002), (" B32("12") "," B32(
                                                          "02") ",1001);"
                                                                "INSERT INTO certificate VALUES "
                                                                "(1,x'0a01','456000'," B32(
                                                                    "21") ",x'3001',1500,2000,"
                                                                          "90000,NULL,0),"
                                                                          "  "
                                                                          "(2,x'0a02','456001'"
                                                                          "," B32(
                                                                              "22") ",x'3002',1500,"
                                                                                    "2000,90000,"
                                                                                    "4000,1),"
                                                                                    "  "
                                                                                    "(3,x'0a03','"
                                                                                    "456000'," B32(
                                                                                        "23") ",NUL"
                                                                                              "L,"
                                                                                              "1500"
                                                                                              ",0,"
                                                                                              "0,"
                                                                                              "NULL"
                                                                                              ",0)," /* drawn, never signed */
                                                                                              "  "
                                                                                              "(4,"
                                                                                              "x'"
                                                                                              "0a04"
                                                                                              "','"
                                                                                              "4560"
                                                                                              "00'"
                                                                                              "," B32(
                                                                                                  "21") ",x'3004',1500,2000,90000,3000,4),"
                                                                                                        "  (5,x'0a05','router'," B32(
                                                                                                            "25") ",x'3005',1500,2000,90000,3000,5),"
                                                                                                                  "  (6,x'0a06','456001'," B32(
                                                                                                                      "26") ",NULL,1500,0,0,6000,0);" /* revoked before it was signed */
                                                                                                                            "INSERT INTO session VALUES"
                                                                                                                            "  (substr(" B32(
                                                                                                                                "31") ",1,16),'456000','456001','chat,file','accepted','',2000,0),"
                                                                                                                                      "  (substr(" B32(
                                                                                                                                          "32") ",1,16),'456001','456000','chat','closed','hung up',2000,2500);"
                                                                                                                                                "INSERT INTO number VALUES ('crl_no',12), ('audit',5), ('big',9223372036854775807);"
                                                                                                                                                "INSERT INTO blob VALUES ('policy',x'00ff0a'), ('empty',x'');",

    /* what version 2 adds: the first two are signed, 6 and 7 are new kinds */
    "UPDATE revocation SET statement = x'aa01', sig = " B64(
        "41") " WHERE no <= 2;"
              "INSERT INTO revocation VALUES (6,2,'456000'," B32(
                  "23") ",1,7000,NULL,NULL),"
                        "  (7,4,'456001',x'0000000000000001',0,7001,NULL,NULL);"
                        "UPDATE certificate SET revoked_at = 7000, reason = 1, revoked_by = 6 "
                        "WHERE no = 3;"
                        "INSERT INTO number VALUES ('rev_no',2);",

    /* what version 3 adds */
    "INSERT INTO identity (id, pk, role, adm_no, created_at, kind, groups, host, vanish_after, "
    "seen_at)"
    "  VALUES ('456000009'," B32(
        "04") ",'peer',1,8000,'ephemeral','ops','box',60000,8001),"
              "  ('456000010'," B32(
                  "05") ",'peer',1,8000,'provisional','','',0,8001);"
                        "UPDATE identity SET pk = " B32(
                            "06") ", rekey_no = 1 WHERE id = '456000';"
                                  "INSERT INTO rekey VALUES ('456000',1," B32("01") "," B32(
                                      "06") ",x'bb'," B64("42") ",x'');"
                                                                "INSERT INTO token (pk, role, "
                                                                "uses_left, created_at, "
                                                                "expires_at, "
                                                                "uses, label)"
                                                                "  VALUES (" B32(
                                                                    "14") ",'peer',0,8000,0,0,'any "
                                                                          "number');"
                                                                          "INSERT INTO waiting "
                                                                          "VALUES (" B32(
                                                                              "51") ",'7k3f-9qzt-"
                                                                                    "m2xa','box','"
                                                                                    "192.0.2.1',x'"
                                                                                    "c0000201',x'',"
                                                                                    "    "
                                                                                    "8000,8000,'','"
                                                                                    "peer','');"
                                                                                    "INSERT INTO "
                                                                                    "name VALUES "
                                                                                    "('bobs-desk','"
                                                                                    "bobs-desk','"
                                                                                    "456001',1,0,"
                                                                                    "8000,0);",
    /* what version 4 adds */
    "UPDATE identity SET manifest_no = 3, manifest_at = 8500 WHERE id = '456000';",
    /* what version 5 adds */
    "UPDATE session SET path = 'direct', a_sent = 7, b_sent = 8 WHERE closed_at = 2500;",
    /* version 6 adds nothing of its own */
    "",
    /* version 7 neither */
    "",
};

struct wanted {
    int since; /* the version that had it */
    const char *sql, *text;
};
static const struct wanted wanted[] = {
    { 1,
      "SELECT group_concat(id||' '||hex(substr(pk,32))||' '||role||' '||adm_no||' '||created_at||' "
      "'||"
      "ifnull(revoked_at,'-')||' '||kind||' '||rekey_no||' '||ended, ';') FROM"
      " (SELECT * FROM identity WHERE created_at BETWEEN 1001 AND 2000 ORDER BY id)",
      "456001 02 admin 1 1001 - committed 0 ;4560022 03 peer 2 1002 5000 committed 0 " },
    { 1, "SELECT adm_no||' '||created_at||' '||kind FROM identity WHERE id = '456000'",
      "7 1000 committed" },
    { 1, "SELECT n FROM identity_count WHERE digits = 6", "2" },
    { 1, "SELECT n FROM identity_count WHERE digits = 7", "1" },
    { 3, "SELECT n FROM identity_count WHERE digits = 9", "2" },
    { 1,
      "SELECT group_concat(hex(substr(pk,32))||' '||role||' '||uses||' '||uses_left||' "
      "'||n_used||' '||"
      "expires_at||' '||is_approved||' '||revoked_at, ';') FROM"
      " (SELECT * FROM token WHERE created_at = 1000 ORDER BY pk)",
      "11 peer 5 3 2 99000 1 0;12 admin 1 0 1 0 1 0;13 peer 1 1 0 2000 1 0" },
    { 1,
      "SELECT group_concat(hex(substr(token_pk,32))||hex(substr(identity_pk,32))||' '||at, ';') "
      "FROM"
      " (SELECT * FROM token_use ORDER BY token_pk, identity_pk)",
      "1101 1000;1103 1002;1202 1001" },
    /* in the order in which they were made, the identity last */
    { 1,
      "SELECT group_concat(no||' '||kind||' '||id||' '||hex(substr(subject,1,2))||' '||reason||' "
      "'||at,"
      " ';') FROM (SELECT * FROM revocation WHERE no <= 5 ORDER BY no)",
      "1 1 456000 0A04 4 3000;2 1 router 0A05 5 3000;3 1 456001 0A02 1 4000;4 1 456001 0A06 0 6000;"
      "5 3 4560022 0303 0 5000" },
    { 1, "SELECT length(subject) FROM revocation WHERE no = 5", "32" },
    { 1, "SELECT count(*) FROM revocation WHERE no > 2 AND statement IS NOT NULL", "0" },
    { 2, "SELECT group_concat(hex(statement)||length(sig), ';') FROM revocation WHERE no <= 2",
      "AA0164;AA0164" },
    { 2,
      "SELECT max(no)||' '||(SELECT hex(subject) FROM revocation WHERE kind = 4) FROM revocation",
      "7 0000000000000001" },
    { 1,
      "SELECT group_concat(no||' '||hex(serial)||' '||id||' '||hex(substr(spki,32))||' "
      "'||iif(der IS NULL, '-', hex(der))||' '||"
      "reserved_at||' '||not_before||' '||not_after||' '||ifnull(revoked_at,'-')||' "
      "'||reason||"
      "' '||ifnull(revoked_by,'-'), ';') FROM (SELECT * FROM certificate WHERE no <> 3 ORDER BY "
      "no)",
      "1 0A01 456000 21 3001 1500 2000 90000 - 0 -;2 0A02 456001 22 3002 1500 2000 90000 4000 1 3;"
      "4 0A04 456000 21 3004 1500 2000 90000 3000 4 1;5 0A05 router 25 3005 1500 2000 90000 3000 5 "
      "2;"
      "6 0A06 456001 26 - 1500 0 0 6000 0 4" },
    { 1, "SELECT hex(serial)||iif(der IS NULL, '-', hex(der)) FROM certificate WHERE no = 3",
      "0A03-" },
    { 2, "SELECT revoked_by FROM certificate WHERE no = 3", "6" },
    { 1, "SELECT seq FROM sqlite_sequence WHERE name = 'certificate'", "6" },
    { 1,
      "SELECT group_concat(hex(substr(sid,16))||' '||a_id||' '||b_id||' '||caps||' '||state||' "
      "'||reason||"
      "' '||opened_at||' '||closed_at, ';') FROM (SELECT * FROM session ORDER BY sid)",
      "31 456000 456001 chat,file accepted  2000 0;32 456001 456000 chat closed hung up 2000 "
      "2500" },
    { 1, "SELECT path||a_sent||' '||b_sent FROM session WHERE closed_at = 0", "0 0" },
    { 1, "SELECT count(*) FROM session WHERE caps_accepted = ''", "2" },
    { 5, "SELECT path||a_sent||' '||b_sent FROM session WHERE closed_at = 2500", "direct7 8" },
    { 1, "SELECT n FROM number WHERE name = 'crl_no'", "12" },
    { 1, "SELECT n FROM number WHERE name = 'big'", "9223372036854775807" },
    { 2, "SELECT n FROM number WHERE name = 'rev_no'", "2" },
    { 1, "SELECT group_concat(name||hex(bytes), ';') FROM (SELECT * FROM blob ORDER BY name)",
      "empty;policy00FF0A" },
    { 3,
      "SELECT group_concat(id||' '||kind||' '||groups||' '||vanish_after, ';') FROM"
      " (SELECT * FROM identity WHERE created_at = 8000 ORDER BY id)",
      "456000009 ephemeral ops 60000;456000010 provisional  0" },
    { 3, "SELECT uses||label FROM token WHERE created_at = 8000", "0any number" },
    { 3, "SELECT hex(substr(old_pk,32))||hex(substr(new_pk,32)) FROM rekey WHERE id = '456000'",
      "0106" },
    { 3, "SELECT code||host FROM waiting", "7k3f-9qzt-m2xabox" },
    { 3, "SELECT id||name_no FROM name WHERE name = 'bobs-desk'", "4560011" },
    { 4, "SELECT manifest_no||' '||manifest_at FROM identity WHERE id = '456000'", "3 8500" },
    { 1, "SELECT manifest_no||' '||manifest_at FROM identity WHERE id = '456001'", "0 0" },
    { 1, "PRAGMA integrity_check", "ok" },
    { 1, "SELECT count(*) FROM pragma_foreign_key_check", "0" },
};

/* What nobody may do to such a store, by slip or otherwise. */
static const struct {
    const char *sql, *why;
} forbidden[] = {
    { "DELETE FROM identity WHERE id = '456000'", "never given up" },
    { "UPDATE identity SET id = '456009' WHERE id = '456000'", "belongs to one key" },
    { "UPDATE identity SET pk = zeroblob(32) WHERE id = '456000'", "belongs to one key" },
    { "UPDATE identity SET adm_no = adm_no - 1 WHERE id = '456000'", "never falls" },
    { "UPDATE identity SET kind = 'provisional' WHERE id = '456001'", "never given up" },
    { "UPDATE identity SET role = 'king' WHERE id = '456001'", "CHECK" },
    { "UPDATE token SET uses_left = -1", "CHECK" },
    { "INSERT INTO token_use VALUES (zeroblob(32), zeroblob(32), 1)", "FOREIGN KEY" },
    { "DELETE FROM certificate WHERE no = 3", "never forgotten" },
    { "UPDATE certificate SET der = x'31' WHERE no = 1", "stands for one certificate" },
    { "UPDATE certificate SET revoked_at = NULL WHERE no = 2", "never undone" },
    { "UPDATE certificate SET revoked_by = 9 WHERE no = 5", "never undone" },
    { "INSERT INTO certificate (serial, id, spki, reserved_at)"
      " VALUES (x'0a03', '456000', zeroblob(32), 1)",
      "UNIQUE" },
    { "UPDATE identity SET manifest_no = -1 WHERE id = '456001'", "never falls" },
    { "DELETE FROM revocation WHERE no = 1", "never undone" },
    { "UPDATE revocation SET at = 1 WHERE no = 3", "never undone" },
    { "UPDATE number SET n = n - 1 WHERE name = 'crl_no'", "never falls" },
    { "DELETE FROM number", "never falls" },
    { "DELETE FROM audit WHERE no = 1", "only added to" },
    { "UPDATE audit SET at = 0 WHERE no = 2", "only added to" },
};

/* ---- SQLite by hand ------------------------------------------------------------------------------ */

/* The store's own calls of it: what a test wants to happen at one of them. */
static int (*on_exec)(sqlite3 *db, const char *sql);

int __real_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **),
                        void *user, char **text);
int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **),
                        void *user, char **text);
int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **),
                        void *user, char **text)
{
    int rc = on_exec ? on_exec(db, sql) : SQLITE_OK;

    return rc == SQLITE_OK ? __real_sqlite3_exec(db, sql, each, user, text) : rc;
}

static sqlite3 *open_db(const char *path)
{
    sqlite3 *db = NULL;

    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        check_failed(__FILE__, __LINE__, "%s: cannot be opened", path);
    return db;
}

static void run_sql(sqlite3 *db, const char *sql)
{
    if (__real_sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        check_failed(__FILE__, __LINE__, "%.60s: %s", sql, sqlite3_errmsg(db));
}

/* The one value that it asks for; "(none)" when there is none. The caller frees it. */
static char *ask(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    const unsigned char *text = NULL;
    char *copy;

    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        check_failed(__FILE__, __LINE__, "%.60s: %s", sql, sqlite3_errmsg(db));
    else if (sqlite3_step(statement) == SQLITE_ROW)
        text = sqlite3_column_text(statement, 0);
    copy = mem_text(text ? (const char *)text : "(none)");
    sqlite3_finalize(statement);
    return copy;
}

static void put_audit(sqlite3 *db)
{
    uint8_t head[HASH_SIZE] = { 0 };

    for (uint64_t no = 1; no <= N_AUDIT; no++) {
        _free_ char *text = mem_format("what=identity.admitted\nid=45600%u\n", (unsigned)no);
        char hex[2 * HASH_SIZE + 1];
        _free_ char *sql = NULL;
        _buf_ all = { 0 };

        buf_put(&all, VIEW_LIT("warren/1 audit\0"));
        buf_put(&all, VIEW_ARR(head));
        buf_put_u64(&all, no);
        buf_put_u64(&all, 1000 * no);
        buf_put_u32(&all, (uint32_t)strlen(text));
        buf_put_text(&all, text);
        hash_sha256(buf_view(&all), head);
        for (size_t i = 0; i < HASH_SIZE; i++)
            snprintf(hex + 2 * i, 3, "%02x", head[i]);
        sql = mem_format("INSERT INTO audit VALUES (%u, %u, CAST('%s' AS BLOB), x'%s')",
                         (unsigned)no, (unsigned)no * 1000, text, hex);
        run_sql(db, sql);
    }
}

/* A store as the program of that version left it. The caller frees its path. */
static char *old_store(int version)
{
    static unsigned n;
    char *path = mem_format("%s/old-%u.db", check_dir(), n++);
    _free_ char *pragma = mem_format("PRAGMA user_version = %d", version);
    sqlite3 *db;

    if (!file_write(path, VIEW_LIT(""), 0600, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    db = open_db(path);
    run_sql(db, "PRAGMA journal_mode = WAL");
    for (int i = 0; i < version; i++) {
        run_sql(db, steps[i]);
        run_sql(db, rows[i]);
    }
    put_audit(db);
    run_sql(db, pragma);
    sqlite3_close(db);
    return path;
}

static const char shape[] =
    "SELECT group_concat(type||' '||name||' '||ifnull(sql, ''), char(10)) FROM"
    " (SELECT * FROM sqlite_master ORDER BY type, name)";

/* That the store at `path` is whole in the shape of today, with all that version `from` held. */
static void check_new(const char *path, int from)
{
    sqlite3 *db = open_db(path);
    _free_ char *version = ask(db, "PRAGMA user_version");

    CHECK_U64(strtoul(version, NULL, 10), N_VERSIONS);
    for (size_t i = 0; i < N_ELEMENTS(wanted); i++) {
        if (wanted[i].since <= from) {
            _free_ char *text = ask(db, wanted[i].sql);
            if (!CHECK_STR(text, wanted[i].text))
                printf("# from version %d: %.60s\n", from, wanted[i].sql);
        }
    }
    sqlite3_close(db);
}

/* That it is as it was. */
static void check_old(const char *path, int version, const char *old_shape)
{
    sqlite3 *db = open_db(path);
    _free_ char *now = ask(db, "PRAGMA user_version"), *text = ask(db, shape);
    _free_ char *whole = ask(db, "PRAGMA integrity_check");
    _free_ char *n = ask(db, "SELECT count(*) FROM certificate, audit, session");
    sqlite3_close(db);

    CHECK_U64(strtoul(now, NULL, 10), version);
    CHECK_STR(text, old_shape);
    CHECK_STR(whole, "ok");
    CHECK_STR(n, "60");
}

/* ---- every version ------------------------------------------------------------------------------- */

TEST(what_was_ever_on_main_is_not_changed)
{
    static const char *const hashes[N_VERSIONS] = {
        "50c67b3a21573ec991a33345947024d346feb560859adcf05353802f18b4ec8e",
        "7cf200537245b2682076bbca25c367b2998358036c2770f0a098943436541642",
        "5ef1fffb35749c047bb3d9f5efa82a482bd7d964257c8ad93ef82634ccd64416",
        "d071eef4ace36a098948b232c69f873a2e40db8ac327e104c8d8092df77f8616",
        "9e83fa77eb4582dd629a34754ff5e2c28ab7b03e488bd8adb688949b0b9cd17d",
        "558be0ceba7aad0119a3a97292a87356e72757aa70a077e94b051640b2343476",
        "ac30ad9680acd3b27360eb52d0e93c00822f0540577fed9e0c37d4602d45b38f",
        "2fdc433823a4aa3d3cb7781cea44e3b99911bd8cc6dd4225e84c947b06317d4b",
        "b6b1fc69fae8e169cca1d8d699172f13e9cb65cc93e23ae11d24181db46181bf",
    };

    for (size_t i = 0; i < N_VERSIONS; i++) {
        uint8_t hash[HASH_SIZE];
        char hex[2 * HASH_SIZE + 1];

        hash_sha256(view_text(steps[i]), hash);
        for (size_t k = 0; k < HASH_SIZE; k++)
            snprintf(hex + 2 * k, 3, "%02x", hash[k]);
        if (!CHECK_STR(hex, hashes[i]))
            printf("# stores of version %zu exist: add a step instead\n", i + 1);
    }
}

TEST(everything_is_there_from_every_version)
{
    for (int version = 1; version <= N_VERSIONS; version++) {
        _free_ char *path = old_store(version);
        _cleanup_(store_freep) struct store *store = NULL;
        uint64_t n = 0, bad = 1;

        CHECK_OK(store_open(path, &store, &err), err);
        CHECK_OK(audit_verify(store, &n, &bad, NULL, &err), err);
        CHECK_U64(n, N_AUDIT);
        CHECK_U64(bad, 0);
        check_new(path, version);
    }
}

TEST(they_have_the_shape_of_a_new_store)
{
    _free_ char *fresh = mem_format("%s/fresh.db", check_dir());
    sqlite3 *db;

    CHECK_OK(store_create(fresh, &err), err);
    db = open_db(fresh);
    _free_ char *fresh_shape = ask(db, shape);
    sqlite3_close(db);
    for (int version = 1; version <= N_VERSIONS; version++) {
        _free_ char *path = old_store(version);
        _cleanup_(store_freep) struct store *store = NULL;

        CHECK_OK(store_open(path, &store, &err), err);
        db = open_db(path);
        _free_ char *text = ask(db, shape);
        sqlite3_close(db);
        CHECK_STR(text, fresh_shape);
    }
}

TEST(what_must_never_be_undone_is_held)
{
    for (int version = 1; version <= N_VERSIONS; version++) {
        _free_ char *path = old_store(version);
        _cleanup_(store_freep) struct store *store = NULL;
        sqlite3 *db;

        CHECK_OK(store_open(path, &store, &err), err);
        db = open_db(path);
        run_sql(db, "PRAGMA foreign_keys = ON");
        for (size_t i = 0; i < N_ELEMENTS(forbidden); i++) {
            int rc = __real_sqlite3_exec(db, forbidden[i].sql, NULL, NULL, NULL);
            if (!CHECK(rc == SQLITE_CONSTRAINT && strstr(sqlite3_errmsg(db), forbidden[i].why)))
                printf("# from version %d: %s: %s\n", version, forbidden[i].sql,
                       sqlite3_errmsg(db));
        }
        sqlite3_close(db);
        check_new(path, version);
    }
}

static bool take_number(void *user, const struct store_revocation *r)
{
    uint64_t *next = user;

    CHECK_U64(r->no, ++*next);
    return true;
}

TEST(the_store_goes_on_from_there)
{
    _free_ char *path = old_store(1);
    _cleanup_(store_freep) struct store *store = NULL;
    struct store_identity who;
    struct store_token token;
    enum store_found found;
    uint8_t key[KEY_SIZE], other[KEY_SIZE];
    uint64_t n = 0, bad = 1;

    CHECK_OK(store_open(path, &store, &err), err);
    memset(key, 3, sizeof(key));
    CHECK_OK(store_identity_by_key(store, VIEW_ARR(key), &found, &who, &err), err);
    CHECK(found == STORE_FOUND && who.is_revoked && who.kind == STORE_COMMITTED);
    memset(key, 0x12, sizeof(key)); /* spent before, so spent now */
    memset(other, 0x77, sizeof(other));
    CHECK_OK(store_token_find(store, VIEW_ARR(key), &found, &token, &err), err);
    CHECK(found == STORE_FOUND && token.uses == 1 && token.uses_left == 0);
    CHECK_OK(store_begin(store, &err), err);
    CHECK_ERR(store_token_use(store, VIEW_ARR(key), VIEW_ARR(other), 1, &err), err, ERR_BAD_TOKEN);
    store_rollback(store);
    CHECK_OK(store_begin(store, &err), err);
    CHECK_OK(store_certificate_revoke(store, VIEW_LIT("\x0a\x01"), 9000, 1, &err), err);
    CHECK_OK(store_certificate_revoke(store, VIEW_LIT("\x0a\x02"), 9000, 1, &err), err);
    CHECK_OK(audit_append(store, 9000, "test", NULL, 0, &err), err);
    CHECK_OK(store_commit(store, &err), err);
    CHECK_OK(store_revocation_each(store, 1, take_number, &n, &err), err);
    CHECK_U64(n, 6); /* one more: the other was revoked before */
    CHECK_OK(audit_verify(store, &n, &bad, NULL, &err), err);
    CHECK_U64(n, N_AUDIT + 1);
    CHECK_U64(bad, 0);
}

TEST(a_newer_store_is_refused_and_left_alone)
{
    _free_ char *path = old_store(N_VERSIONS), *wanted_text = NULL, *old_shape = NULL;
    _free_ char *pragma = mem_format("PRAGMA user_version = %d", N_VERSIONS + 1);
    sqlite3 *db = open_db(path);
    struct store *store = NULL;

    run_sql(db, pragma);
    old_shape = ask(db, shape);
    sqlite3_close(db);
    CHECK_ERR(store_open(path, &store, &err), err, ERR_BAD_CONFIG);
    CHECK(!store);
    wanted_text = mem_format("%s: its schema is version %d, this program reads versions 1 to %d: a "
                             "newer warren-den wrote it; run that one",
                             path, N_VERSIONS + 1, N_VERSIONS);
    CHECK_STR(err.text, wanted_text);
    check_old(path, N_VERSIONS + 1, old_shape);
}

/* ---- on the way ---------------------------------------------------------------------------------- */

static unsigned n_ticks, dies_at;

static int tick(void *user)
{
    (void)user;
    if (++n_ticks == dies_at)
        raise(SIGKILL);
    return 0;
}

/* Every instruction of SQLite's machine is a place to die at. */
static int count_ticks(sqlite3 *db, const char *sql)
{
    (void)sql;
    sqlite3_progress_handler(db, 1, tick, NULL);
    return SQLITE_OK;
}

/* Opens it in a process that dies at that tick; how it ended. */
static int open_and_die(const char *path, unsigned at)
{
    struct store *store = NULL;
    int status = -1;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        dies_at = at;
        on_exec = count_ticks;
        _exit(store_open(path, &store, &err) ? 0 : 1);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}

TEST(killed_anywhere_it_is_the_old_one_or_the_new_one)
{
    for (int version = 1; version < N_VERSIONS; version++) {
        unsigned at = 1, n_old = 0;
        int status;
        do {
            _free_ char *path = old_store(version);
            sqlite3 *db = open_db(path);
            _free_ char *old_shape = ask(db, shape), *now = NULL;
            _cleanup_(store_freep) struct store *store = NULL;

            sqlite3_close(db);
            status = open_and_die(path, at);
            db = open_db(path);
            now = ask(db, "PRAGMA user_version");
            sqlite3_close(db);
            if (now[0] == '0' + version) {
                n_old++;
                check_old(path, version, old_shape);
            }
            CHECK_OK(store_open(path, &store, &err), err); /* and the next start does it */
            check_new(path, version);
            at += 1 + at / 8;
        } while (WIFSIGNALED(status) && check_n_failed() == 0);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        CHECK(n_old > 20);
    }
}

static const char *fails_at;

static int fail(sqlite3 *db, const char *sql)
{
    (void)db;
    return strstr(sql, fails_at) ? SQLITE_FULL : SQLITE_OK;
}

TEST(a_step_that_fails_leaves_the_old_version)
{
    static const char *const places[] = { "CREATE TABLE revocation", "CREATE TABLE rekey",
                                          "PRAGMA user_version =", "COMMIT" };

    for (size_t i = 0; i < N_ELEMENTS(places); i++) {
        _free_ char *path = old_store(1), *old_shape = NULL;
        sqlite3 *db = open_db(path);
        struct store *store = NULL;

        old_shape = ask(db, shape);
        sqlite3_close(db);
        fails_at = places[i];
        on_exec = fail;
        CHECK(!store_open(path, &store, &err));
        on_exec = NULL;
        CHECK(strstr(err.text, "migrating the store"));
        check_old(path, 1, old_shape);
    }
}

/* ---- several at once ----------------------------------------------------------------------------- */

static int says_ready, waits_for_go;

/* All of them have seen the old version before the first takes the lock. */
static int wait_for_others(sqlite3 *db, const char *sql)
{
    char byte = 0;

    (void)db;
    if (strcmp(sql, "BEGIN IMMEDIATE") != 0)
        return SQLITE_OK;
    return write(says_ready, &byte, 1) == 1 && read(waits_for_go, &byte, 1) == 0 ? SQLITE_OK
                                                                                 : SQLITE_ERROR;
}

/* Processes that are about to migrate it; closing *ret_go lets them. */
static void start_some(const char *path, pid_t pids[N_PROCESSES], int *ret_go)
{
    int ready[2] = { -1, -1 }, go[2] = { -1, -1 };
    char byte;

    CHECK(pipe(ready) == 0 && pipe(go) == 0);
    fflush(stdout);
    for (size_t i = 0; i < N_PROCESSES; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            struct store *store = NULL;
            close(go[1]);
            says_ready = ready[1];
            waits_for_go = go[0];
            on_exec = wait_for_others;
            _exit(store_open(path, &store, &err) ? 0 : err.code == ERR_BAD_CONFIG ? 2 : 1);
        }
    }
    close(ready[1]);
    close(go[0]);
    for (size_t i = 0; i < N_PROCESSES; i++)
        CHECK(read(ready[0], &byte, 1) == 1);
    close(ready[0]);
    *ret_go = go[1];
}

static void check_ended(const pid_t pids[N_PROCESSES], int wanted_status)
{
    for (size_t i = 0; i < N_PROCESSES; i++) {
        int status = -1;
        CHECK(waitpid(pids[i], &status, 0) == pids[i]);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == wanted_status);
    }
}

TEST(several_processes_migrate_it_once)
{
    for (int version = 1; version < N_VERSIONS; version++) {
        _free_ char *path = old_store(version);
        pid_t pids[N_PROCESSES];
        int go;

        start_some(path, pids, &go);
        close(go);
        check_ended(pids, 0);
        check_new(path, version);
    }
}

TEST(a_newer_program_may_have_been_faster)
{
    _free_ char *path = old_store(1), *pragma = NULL, *old_shape = NULL;
    pid_t pids[N_PROCESSES];
    sqlite3 *db;
    int go;

    start_some(path, pids, &go);
    pragma = mem_format("PRAGMA user_version = %d", N_VERSIONS + 1);
    db = open_db(path);
    run_sql(db, pragma);
    old_shape = ask(db, shape);
    sqlite3_close(db);
    close(go);
    check_ended(pids, 2);
    check_old(path, N_VERSIONS + 1, old_shape);
}
