/* SPDX-License-Identifier: Apache-2.0 */
/* The audit is kept for so long, and what is older goes into files: chain, witnesses and files still fit together. */
#include "den/retention.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/key.h"
#include "base/text.h"
#include "den/seal.h"
#include "tests/check.h"

#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct err err;

enum { N_ENTRIES = 30, STEP = 3600 * 1000 /* ms: an entry an hour */ };
#define KEEP (10 * HOUR_MS)

/* CHECK_OK where the function goes on. */
#define HOPE(call)                                                                                 \
    do {                                                                                           \
        if (!(call))                                                                               \
            check_failed(__FILE__, __LINE__, "%s: %s", #call, err.text);                           \
    } while (0)

struct room {
    char *dir, *db;
    struct store *store;
};

static void append(struct room *room, uint64_t at, const char *what)
{
    bool ok = store_begin(room->store, &err);

    ok = ok &&
         audit_append(room->store, at, what,
                      (const struct audit_pair[]){ AUDIT_TEXT("id", "456000") }, 1, &err) &&
         store_commit(room->store, &err);
    if (!ok)
        check_failed(__FILE__, __LINE__, "%s", err.text);
}

/* Entries 1 to 30, of the hours 1 to 30. */
static struct room new_room(void)
{
    static unsigned n;
    struct room room = { .dir = mem_format("%s/retention-%u", check_dir(), n++) };

    mkdir(room.dir, 0700);
    room.db = file_path(room.dir, "den.db");
    if (!store_create(room.db, &err) || !store_open(room.db, &room.store, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    for (uint64_t i = 1; i <= N_ENTRIES; i++)
        append(&room, i * STEP, "session.granted");
    return room;
}

static void room_deinit(struct room *room)
{
    store_free(room->store);
    free(room->db);
    free(room->dir);
}
#define _room_ _cleanup_(room_deinit) struct room

static uint64_t run(struct room *room, uint64_t keep, uint64_t upto, uint64_t most, uint64_t now)
{
    uint64_t n = 99;

    HOPE(retention_run(room->dir, room->store, keep, upto, most, now, &n, &err));
    return n;
}

/* The linker leads every store_audit_each() through here: what another process does just before one. */
static struct room *sealed_before;
bool __real_store_audit_each(struct store *store, uint64_t from,
                             bool (*each)(void *user, const struct store_audit *a), void *user,
                             struct err *e);
bool __wrap_store_audit_each(struct store *store, uint64_t from,
                             bool (*each)(void *user, const struct store_audit *a), void *user,
                             struct err *e);
bool __wrap_store_audit_each(struct store *store, uint64_t from,
                             bool (*each)(void *user, const struct store_audit *a), void *user,
                             struct err *e)
{
    struct room *room = sealed_before;

    sealed_before = NULL;
    if (room && !CHECK_U64(run(room, KEEP, N_ENTRIES, 1000, N_ENTRIES * STEP + 1), 20))
        return false;
    return __real_store_audit_each(store, from, each, user, e);
}

static char *file_of(const struct room *room, uint64_t from, uint64_t to)
{
    return mem_format("%s/audit/audit-%012llu-%012llu.jsonl", room->dir, (unsigned long long)from,
                      (unsigned long long)to);
}

static struct audit_checked verify(struct room *room)
{
    struct audit_checked checked = { 0 };

    HOPE(audit_verify_some(room->store, 0, UINT64_MAX, &checked, &err));
    return checked;
}

struct heads {
    uint8_t head[N_ENTRIES + 40][HASH_SIZE];
    uint64_t first, last;
};

static bool take_head(void *user, const struct store_audit *entry)
{
    struct heads *heads = user;

    if (!heads->first)
        heads->first = entry->no;
    heads->last = entry->no;
    if (entry->no < N_ELEMENTS(heads->head))
        memcpy(heads->head[entry->no], entry->head, HASH_SIZE);
    return true;
}

static struct heads heads_of(struct room *room)
{
    struct heads heads = { 0 };

    HOPE(store_audit_each(room->store, 0, take_head, &heads, &err));
    return heads;
}

TEST(what_is_older_goes_into_a_file_and_the_chain_goes_on)
{
    _room_ room = new_room();
    struct heads before = heads_of(&room), after;
    struct audit_checked checked;
    struct stat st;

    /* hour 30: what is of hour 19 and before is over ten hours old; of hour 20 it is not */
    CHECK_U64(run(&room, KEEP, INT64_MAX, 1000, 30 * HOUR_MS), 19);
    after = heads_of(&room);
    CHECK_U64(after.first, 20);
    CHECK_U64(after.last, N_ENTRIES + 1); /* and one that says it */
    CHECK_VIEW(VIEW_ARR(after.head[25]), VIEW_ARR(before.head[25]));
    checked = verify(&room);
    CHECK_U64(checked.bad_no, 0);
    CHECK_U64(checked.sealed_no, 19);
    CHECK_U64(checked.n_entries, N_ENTRIES + 1 - 19);

    _free_ char *path = file_of(&room, 1, 19), *next = mem_format("%s/audit/next.part", room.dir);
    CHECK(stat(path, &st) == 0 && (st.st_mode & 07777) == 0600);
    CHECK(!file_exists(next));
    append(&room, 30 * HOUR_MS, "session.granted");
    CHECK_U64(verify(&room).bad_no, 0);
}

TEST(verifying_beside_a_sealing_is_no_alarm)
{
    _room_ room = new_room(), other = { .dir = mem_text(room.dir), .db = mem_text(room.db) };
    struct audit_checked checked = { 0 };

    HOPE(store_open(other.db, &other.store, &err));
    sealed_before = &other;
    HOPE(audit_verify_some(room.store, 0, UINT64_MAX, &checked, &err));
    CHECK(!sealed_before); /* it was sealed meanwhile */
    CHECK_U64(checked.bad_no, 0);
    CHECK(!checked.is_point_bad);
    CHECK_U64(checked.last_no, N_ENTRIES);
    checked = verify(&room);
    CHECK_U64(checked.bad_no, 0);
    CHECK_U64(checked.sealed_no, 20);
}

static void append_groups(struct room *room, uint64_t at, const char *id, const char *groups)
{
    bool ok = store_begin(room->store, &err);

    ok = ok &&
         audit_append(
             room->store, at, "identity.groups",
             (const struct audit_pair[]){ AUDIT_TEXT("id", id), AUDIT_TEXT("groups", groups) }, 2,
             &err) &&
         store_commit(room->store, &err);
    if (!ok)
        check_failed(__FILE__, __LINE__, "%s", err.text);
}

static bool see(void *user, const struct store_audit *entry)
{
    past_see(user, entry);
    return true;
}

/* Who was in which groups is still known when the entries that say so are sealed away, from the last of them on. */
TEST(groups_of_then_outlive_the_entries)
{
    _room_ room = new_room();
    _cleanup_(past_freep) struct past *past = past_new(), *older = past_new();
    uint64_t since = 99;

    HOPE(seal_since(room.store, &since, &err));
    CHECK_U64(since, 0);
    append_groups(&room, 31 * STEP, "456000", "staff");
    append_groups(&room, 32 * STEP, "456001", "staff,ops");
    append_groups(&room, 33 * STEP, "456000", "");
    append_groups(&room, 60 * STEP, "456001", "ops");
    CHECK_U64(run(&room, KEEP, 40, 32, 61 * STEP), 32); /* up to the second of them */
    HOPE(seal_since(room.store, &since, &err));
    CHECK_U64(since, 32 * STEP);
    HOPE(past_load(older, room.store, &err));
    CHECK_STR(past_groups(older, "456000"), "staff");
    CHECK_STR(past_groups(older, "456001"), "staff,ops");
    CHECK_U64(run(&room, KEEP, 40, 1000, 61 * STEP), 1);
    HOPE(seal_since(room.store, &since, &err));
    CHECK_U64(since, 33 * STEP);
    HOPE(past_load(past, room.store, &err));
    CHECK_STR(past_groups(past, "456000"), "");
    CHECK_STR(past_groups(past, "456001"), "staff,ops");
    HOPE(store_audit_each(room.store, 1, see, past, &err));
    CHECK_STR(past_groups(past, "456001"), "ops");
    CHECK(!past_groups(past, "456002"));
}

TEST(nothing_goes_before_its_time)
{
    _room_ room = new_room();

    CHECK_U64(run(&room, 0, INT64_MAX, 1000, 1000 * DAY_MS), 0); /* for ever */
    CHECK_U64(run(&room, 30 * HOUR_MS, INT64_MAX, 1000, 30 * HOUR_MS), 0);
    /* one by one they are not worth a file; as much as is kept is */
    CHECK_U64(run(&room, KEEP, INT64_MAX, 1000, 20 * HOUR_MS), 0);
    CHECK_U64(run(&room, KEEP, INT64_MAX, 1000, 21 * HOUR_MS), 0);
    CHECK_U64(run(&room, KEEP, INT64_MAX, 1000, 21 * HOUR_MS + 1), 11);
    CHECK_U64(run(&room, KEEP, INT64_MAX, 1000, 21 * HOUR_MS + 1), 0);
}

/* A clock that went back: an old entry behind a young one waits for it. */
TEST(a_young_entry_keeps_what_comes_behind_it)
{
    _room_ room = new_room();

    append(&room, 50 * HOUR_MS, "session.granted"); /* 31 */
    append(&room, 2 * HOUR_MS, "session.granted");  /* 32 */
    CHECK_U64(run(&room, KEEP, INT64_MAX, 1000, 55 * HOUR_MS), 30);
    CHECK_U64(run(&room, KEEP, INT64_MAX, 1000, 56 * HOUR_MS), 0);
    CHECK_U64(heads_of(&room).first, 31);
    CHECK_U64(verify(&room).bad_no, 0);
}

TEST(many_go_a_file_at_a_time_and_what_is_not_copied_stays)
{
    _room_ room = new_room();

    CHECK_U64(run(&room, KEEP, 12, 5, 40 * HOUR_MS), 5);
    CHECK_U64(run(&room, KEEP, 12, 5, 40 * HOUR_MS), 5);
    CHECK_U64(run(&room, KEEP, 12, 5, 40 * HOUR_MS), 2);
    CHECK_U64(run(&room, KEEP, 12, 5, 40 * HOUR_MS), 0);
    CHECK_U64(heads_of(&room).first, 13);
    CHECK_U64(verify(&room).bad_no, 0);
}

TEST(everything_may_go_but_the_entry_that_says_so)
{
    _room_ room = new_room();
    struct heads heads;

    CHECK_U64(run(&room, KEEP, INT64_MAX, 1000, 500 * HOUR_MS), N_ENTRIES);
    heads = heads_of(&room);
    CHECK_U64(heads.first, N_ENTRIES + 1);
    CHECK_U64(heads.last, N_ENTRIES + 1);
    CHECK_U64(verify(&room).bad_no, 0);
    append(&room, 500 * HOUR_MS, "session.granted");
    CHECK_U64(verify(&room).bad_no, 0);
    CHECK_U64(run(&room, KEEP, INT64_MAX, 1000, 900 * HOUR_MS), 2);
    CHECK_U64(verify(&room).bad_no, 0);
}

TEST(witnesses_of_before_are_answered)
{
    _room_ room = new_room();
    struct heads before = heads_of(&room);
    uint8_t other[HASH_SIZE] = { 1 };
    bool knows, is_sealed;

    CHECK_U64(run(&room, KEEP, INT64_MAX, 1000, 30 * HOUR_MS), 19);
    static const struct {
        uint64_t no;
        bool is_true, knows, is_sealed;
    } cases[] = { { 25, true, true, false },   { 25, false, false, false },
                  { 20, true, true, false },   { 19, true, true, false },
                  { 19, false, false, false }, { 18, true, true, true },
                  { 200, true, false, false } };
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        const uint8_t *head =
            cases[i].is_true && cases[i].no <= N_ENTRIES ? before.head[cases[i].no] : other;
        CHECK_OK(audit_knows(room.store, cases[i].no, head, &knows, &is_sealed, &err), err);
        CHECK(knows == cases[i].knows);
        CHECK(is_sealed == cases[i].is_sealed);
    }
}

static sqlite3 *open_db(const struct room *room)
{
    sqlite3 *db = NULL;

    if (sqlite3_open(room->db, &db) != SQLITE_OK)
        abort();
    return db;
}

static void sql(sqlite3 *db, const char *text)
{
    char *why = NULL;

    if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK)
        check_failed(__FILE__, __LINE__, "%s: %s", text, why);
    sqlite3_free(why);
}

TEST(only_what_is_sealed_can_be_deleted)
{
    _room_ room = new_room();
    sqlite3 *db = open_db(&room);

    CHECK(sqlite3_exec(db, "DELETE FROM audit WHERE no = 1", NULL, NULL, NULL) != SQLITE_OK);
    CHECK_U64(run(&room, KEEP, INT64_MAX, 1000, 30 * HOUR_MS), 19);
    CHECK(sqlite3_exec(db, "DELETE FROM audit WHERE no = 20", NULL, NULL, NULL) != SQLITE_OK);
    sqlite3_close(db);
}

TEST(what_was_changed_is_not_sealed)
{
    _room_ room = new_room();
    sqlite3 *db = open_db(&room);
    uint64_t n;

    sql(db, "DROP TRIGGER audit_is_unchanged; UPDATE audit SET at = at + 1 WHERE no = 7");
    CHECK_ERR(retention_run(room.dir, room.store, KEEP, INT64_MAX, 1000, 30 * HOUR_MS, &n, &err),
              err, ERR_SYSTEM);
    CHECK_STR(err.text, "audit_keep: audit: entry 7 is changed, missing or out of order");
    CHECK_U64(heads_of(&room).first, 1);
    sqlite3_close(db);
}

/* Killed before or after its transaction: one file has the entries in the end. */
TEST(a_killed_sealing_is_brought_to_its_end)
{
    _room_ room = new_room();
    _free_ char *path = file_of(&room, 1, 19), *next = mem_format("%s/audit/next.part", room.dir);

    CHECK_U64(run(&room, KEEP, INT64_MAX, 1000, 30 * HOUR_MS), 19);
    CHECK(rename(path, next) == 0); /* as if it had been killed before the file had its name */
    CHECK_U64(run(&room, 0, INT64_MAX, 1000, 30 * HOUR_MS), 0);
    CHECK(file_exists(path) && !file_exists(next));

    CHECK_OK(file_write(next, VIEW_LIT("half a file"), 0600, &err), err);
    CHECK_U64(run(&room, 0, INT64_MAX, 1000, 30 * HOUR_MS), 0);
    CHECK(!file_exists(next));
}

/* ---- whoever changes something is found out ------------------------------------------------------ */

struct mutation {
    char *sql;
    uint64_t bad;
    bool is_point;
};

/* Of entries 20 to 33; 31 says that up to 12, 32 that up to 19 are sealed. */
enum { FIRST = 20, LAST = 33, BY = 32, SEALED = 19 };

static struct mutation draw(void)
{
    unsigned no = FIRST + random_below(LAST - FIRST + 1), other = no;
    unsigned at = random_below(16 + HASH_SIZE), byte = random_below(256);

    while (other == no)
        other = FIRST + random_below(LAST - FIRST + 1);
    switch (random_below(9)) {
    case 0:
        return (struct mutation){ mem_format("UPDATE audit SET at = at + 1 WHERE no = %u", no), no,
                                  false };
    case 1:
        return (struct mutation){
            mem_format("UPDATE audit SET head = randomblob(32) WHERE no = %u", no), no, false
        };
    case 2:
        return (struct mutation){
            mem_format("UPDATE audit SET bytes = CAST(replace(replace(CAST(bytes AS TEXT), "
                       "'456000', '456001'), 'head=', 'head=%x') AS BLOB) WHERE no = %u",
                       random_below(16), no),
            no, false
        };
    case 3:
        return (struct mutation){ mem_format("DELETE FROM audit WHERE no = %u", no), no, false };
    case 4:
        return (struct mutation){ mem_format("DELETE FROM audit WHERE no >= %u", no), no, false };
    case 5:
        return (struct mutation){
            mem_format("UPDATE audit SET no = 99 WHERE no = %u; UPDATE audit SET no = %u WHERE no "
                       "= %u; UPDATE audit SET no = %u WHERE no = 99",
                       no, no, other, other),
            no < other ? no : other, false
        };
    case 6:
        return (struct mutation){
            mem_format("UPDATE blob SET bytes = CAST(substr(bytes, 1, %u) || x'%02x' || "
                       "substr(bytes, %u) AS BLOB) WHERE name = 'audit_checkpoint' AND "
                       "substr(bytes, %u, 1) <> x'%02x'",
                       at, byte, at + 2, at + 1, byte),
            SEALED, true
        };
    case 7:
        return (struct mutation){ mem_format("DELETE FROM blob WHERE name = 'audit_checkpoint'"),
                                  SEALED, true };
    default:
        return (struct mutation){ mem_format("UPDATE number SET n = n %s %u WHERE name = '%s'",
                                             random_below(2) ? "+" : "-", 1 + random_below(9),
                                             random_below(2) ? "audit_sealed" : "audit_sealed_by"),
                                  SEALED, true };
    }
}

static void check_mutation(struct room *room, sqlite3 *db, const struct mutation *m)
{
    struct audit_checked checked;

    sql(db, m->sql);
    if (sqlite3_changes(db) == 0)
        return; /* a byte that was replaced with itself */
    checked = verify(room);
    if (checked.is_point_bad != m->is_point ||
        (m->is_point ? !checked.bad_no : checked.bad_no != m->bad))
        check_failed(__FILE__, __LINE__, "%s: entry %llu, checkpoint %d", m->sql,
                     (unsigned long long)checked.bad_no, checked.is_point_bad);
}

TEST(every_change_of_an_entry_or_of_the_checkpoint_is_named)
{
    _room_ room = new_room();
    sqlite3 *db;

    CHECK_U64(run(&room, KEEP, 12, 1000, 40 * HOUR_MS), 12);
    CHECK_U64(run(&room, KEEP, 19, 1000, 40 * HOUR_MS), 7);
    append(&room, 41 * HOUR_MS, "session.granted");
    CHECK_U64(verify(&room).bad_no, 0);
    CHECK_U64(heads_of(&room).last, LAST);
    db = open_db(&room);
    sql(db, "PRAGMA ignore_check_constraints = ON; PRAGMA synchronous = OFF; DROP TRIGGER "
            "audit_is_kept; DROP TRIGGER audit_is_unchanged; DROP TRIGGER numbers_rise; DROP "
            "TRIGGER numbers_stay; CREATE TABLE a AS SELECT * FROM audit; CREATE TABLE b AS "
            "SELECT * FROM blob; CREATE TABLE n AS SELECT * FROM number");
    for (unsigned i = 0; i < 1000; i++) {
        struct mutation m = draw();
        check_mutation(&room, db, &m);
        free(m.sql);
        sql(db,
            "DELETE FROM audit; INSERT INTO audit SELECT * FROM a; DELETE FROM blob; INSERT "
            "INTO blob SELECT * FROM b; DELETE FROM number; INSERT INTO number SELECT * FROM n");
    }
    CHECK_U64(verify(&room).bad_no, 0);
    sqlite3_close(db);
}
