/* SPDX-License-Identifier: Apache-2.0 */
#include "den/store.h"
#include "base/file.h"
#include "tests/check.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct err err;

static char *new_path(void)
{
    static unsigned n;

    return mem_format("%s/store-%u.db", check_dir(), n++);
}

/* A fresh store, open. A test that gets none has failed already. */
static struct store *new_store(char **ret_path)
{
    struct store *store = NULL;

    *ret_path = new_path();
    if (!store_create(*ret_path, &err) || !store_open(*ret_path, &store, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    return store;
}

static struct store_identity identity(const char *id, uint8_t fill)
{
    struct store_identity i = { .adm_no = 1, .created_at = 1000 };

    snprintf(i.id, sizeof(i.id), "%s", id);
    snprintf(i.role, sizeof(i.role), "peer");
    memset(i.pk, fill, sizeof(i.pk));
    return i;
}

static unsigned mode_of(const char *path, const char *suffix)
{
    _free_ char *whole = mem_format("%s%s", path, suffix);
    struct stat st;

    return stat(whole, &st) == 0 ? st.st_mode & 07777 : 0;
}

TEST(create_makes_a_private_file_once)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_store(&path);

    CHECK_OK(store_begin(store, &err), err);
    CHECK_OK(store_number_raise(store, "x", 1, &err), err);
    CHECK_OK(store_commit(store, &err), err);
    CHECK_U64(mode_of(path, ""), 0600);
    CHECK_U64(mode_of(path, "-wal"), 0600);
    CHECK_ERR(store_create(path, &err), err, ERR_ALREADY_EXISTS);
}

TEST(open_refuses_what_is_not_ours)
{
    _free_ char *path = new_path(), *version = NULL;
    struct store *store = NULL;

    CHECK_ERR(store_open(path, &store, &err), err, ERR_NOT_FOUND);
    CHECK_OK(file_write(path,
                        VIEW_LIT("not a database, but long enough to look at its first bytes\n"),
                        0600, &err),
             err);
    CHECK_ERR(store_open(path, &store, &err), err, ERR_SYSTEM);
    CHECK_OK(file_write(path, VIEW_LIT(""), 0600, &err), err);
    CHECK_ERR(store_open(path, &store, &err), err, ERR_BAD_CONFIG);
    version = mem_format("%s: not a store that warren-den made", path);
    CHECK_STR(err.text, version);
    CHECK_OK(file_write(path, VIEW_LIT(""), 0640, &err), err);
    CHECK_ERR(store_open(path, &store, &err), err, ERR_EXPOSED);
    CHECK(!store);
}

TEST(changes_need_a_transaction)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_store(&path);
    struct store_identity i = identity("456000", 1);

    CHECK_ERR(store_identity_add(store, &i, &err), err, ERR_INTERNAL);
    store_rollback(store); /* harmless */
}

static bool is_known(struct store *store, const char *id)
{
    struct store_identity found;
    enum store_found is = STORE_NONE;

    CHECK(store_identity_by_id(store, view_text(id), &is, &found, &err));
    return is == STORE_FOUND;
}

TEST(a_look_sees_one_moment_and_ends_with_a_transaction)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_store(&path), *other = NULL;
    struct store_identity i = identity("456000", 1), j = identity("456001", 2);

    CHECK_OK(store_open(path, &other, &err), err);
    store_look(store);
    CHECK(!is_known(store, "456000"));
    CHECK_ERR(store_identity_add(store, &j, &err), err, ERR_INTERNAL); /* it only reads */
    CHECK_OK(store_begin(other, &err) && store_identity_add(other, &i, &err) &&
                 store_commit(other, &err),
             err);
    store_look(store);
    CHECK(!is_known(store, "456000"));
    CHECK_OK(store_begin(store, &err), err);
    CHECK(is_known(store, "456000"));
    store_look(store); /* nothing, within one */
    store_look_end(store);
    CHECK_OK(store_identity_add(store, &j, &err) && store_commit(store, &err), err);
    store_look(store);
    CHECK(is_known(store, "456001"));
    store_look_end(store);
    store_look_end(store);
    CHECK_OK(store_begin(other, &err) && store_commit(other, &err), err);
}

TEST(who_looks_by_turns_sees_one_moment_in_each)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_store(&path), *other = NULL;
    struct store_identity i = identity("456000", 1), j = identity("456001", 2);

    CHECK_OK(store_open(path, &other, &err), err);
    store_look_by_turns(store, true);
    CHECK(!is_known(store, "456000"));
    CHECK_OK(store_begin(other, &err) && store_identity_add(other, &i, &err) &&
                 store_commit(other, &err),
             err);
    CHECK(!is_known(store, "456000"));
    store_look_end(store);
    CHECK(is_known(store, "456000"));
    CHECK_OK(store_begin(store, &err) && store_identity_add(store, &j, &err) &&
                 store_commit(store, &err),
             err);
    CHECK(is_known(store, "456001"));
    store_look_by_turns(store, false);
    CHECK_OK(store_begin(other, &err) && store_identity_set_adm_no(other, "456000", 2, &err) &&
                 store_commit(other, &err),
             err);
    CHECK(is_known(store, "456000"));
}

TEST(identities_are_found_by_key_and_by_id_and_survive_reopening)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_store(&path);
    struct store_identity i = identity("456000", 1), found;
    enum store_found is;
    uint64_t n;

    CHECK_OK(store_begin(store, &err), err);
    CHECK_OK(store_identity_add(store, &i, &err), err);
    CHECK_OK(store_identity_set_adm_no(store, "456000", 7, &err), err);
    CHECK_ERR(store_identity_set_adm_no(store, "456001", 7, &err), err, ERR_NOT_FOUND);
    CHECK_ERR(store_identity_set_adm_no(store, "456000", 6, &err), err, ERR_INTERNAL);
    CHECK_OK(store_commit(store, &err), err);
    store_free(store);
    store = NULL;

    CHECK_OK(store_open(path, &store, &err), err);
    CHECK_OK(store_identity_by_key(store, VIEW_ARR(i.pk), &is, &found, &err), err);
    CHECK(is == STORE_FOUND);
    CHECK_STR(found.id, "456000");
    CHECK_STR(found.role, "peer");
    CHECK_U64(found.adm_no, 7);
    CHECK_U64(found.created_at, 1000);
    CHECK(!found.is_revoked);
    CHECK_OK(store_identity_by_id(store, VIEW_LIT("456000"), &is, &found, &err), err);
    CHECK(is == STORE_FOUND && memcmp(found.pk, i.pk, KEY_SIZE) == 0);
    CHECK_OK(store_identity_by_id(store, VIEW_LIT("456001"), &is, &found, &err), err);
    CHECK(is == STORE_NONE);
    CHECK_OK(store_identity_by_id(store, (struct view){ 0 }, &is, &found, &err), err);
    CHECK(is == STORE_NONE);
    CHECK_OK(store_identity_count(store, 0, &n, &err), err);
    CHECK_U64(n, 1);
}

TEST(an_id_and_a_key_are_taken_once)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_store(&path);
    struct store_identity a = identity("456000", 1), same_id = identity("456000", 2),
                          same_key = identity("456001", 1);
    struct store_identity odd = identity("45", 3), boss = identity("456002", 4), found;
    enum store_found is;

    snprintf(boss.role, sizeof(boss.role), "king");
    CHECK_OK(store_begin(store, &err), err);
    CHECK_OK(store_identity_add(store, &a, &err), err);
    CHECK_ERR(store_identity_add(store, &same_id, &err), err, ERR_ALREADY_EXISTS);
    CHECK_ERR(store_identity_add(store, &same_key, &err), err, ERR_ALREADY_EXISTS);
    CHECK_ERR(store_identity_add(store, &odd, &err), err, ERR_INTERNAL);
    CHECK_ERR(store_identity_add(store, &boss, &err), err, ERR_INTERNAL);
    bool is_its_key = true;
    CHECK_OK(store_identity_revoke(store, "456000", VIEW_LIT("another"), 4, &is_its_key, &err),
             err);
    CHECK(!is_its_key);
    CHECK_OK(store_identity_revoke(store, "456000", VIEW_ARR(a.pk), 5, &is_its_key, &err), err);
    CHECK(is_its_key);
    CHECK_OK(store_commit(store, &err), err);
    CHECK_OK(store_identity_by_id(store, VIEW_LIT("456000"), &is, &found, &err), err);
    CHECK(found.is_revoked);
}

TEST(a_rollback_leaves_nothing)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_store(&path);
    struct store_identity i = identity("456000", 1);
    enum store_found is;
    struct buf blob = { 0 };
    uint64_t n;

    CHECK_OK(store_begin(store, &err), err);
    CHECK_OK(store_identity_add(store, &i, &err), err);
    CHECK_OK(store_number_raise(store, "n", 5, &err), err);
    CHECK_OK(store_blob_set(store, "b", VIEW_LIT("x"), &err), err);
    store_rollback(store);
    CHECK_OK(store_identity_count(store, 0, &n, &err), err);
    CHECK_U64(n, 0);
    CHECK_OK(store_number_get(store, "n", &n, &err), err);
    CHECK_U64(n, 0);
    CHECK_OK(store_blob_get(store, "b", &is, &blob, &err), err);
    CHECK(is == STORE_NONE);
    CHECK_OK(store_begin(store, &err), err); /* and the next transaction is free to start */
    CHECK_ERR(store_begin(store, &err), err, ERR_SYSTEM);
    store_rollback(store);
}

TEST(a_token_counts_each_key_once)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_store(&path);
    struct store_token t = { .role = "admin",
                             .uses = 2,
                             .uses_left = 2,
                             .created_at = 10,
                             .expires_at = 20 },
                       found;
    uint8_t a[KEY_SIZE] = { 1 }, b[KEY_SIZE] = { 2 }, c[KEY_SIZE] = { 3 };
    enum store_found is;

    memset(t.pk, 9, sizeof(t.pk));
    CHECK_OK(store_begin(store, &err), err);
    CHECK_OK(store_token_add(store, &t, &err), err);
    CHECK_ERR(store_token_add(store, &t, &err), err, ERR_ALREADY_EXISTS);
    CHECK_OK(store_token_use(store, VIEW_ARR(t.pk), VIEW_ARR(a), 11, &err), err);
    CHECK_OK(store_token_use(store, VIEW_ARR(t.pk), VIEW_ARR(a), 12, &err), err);
    CHECK_OK(store_token_find(store, VIEW_ARR(t.pk), &is, &found, &err), err);
    CHECK_U64(found.uses_left, 1);
    CHECK_OK(store_token_use(store, VIEW_ARR(t.pk), VIEW_ARR(b), 13, &err), err);
    CHECK_ERR(store_token_use(store, VIEW_ARR(t.pk), VIEW_ARR(c), 14, &err), err, ERR_BAD_TOKEN);
    CHECK_ERR(store_token_use(store, VIEW_ARR(a), VIEW_ARR(c), 14, &err), err, ERR_BAD_TOKEN);
    CHECK_OK(store_token_use(store, VIEW_ARR(t.pk), VIEW_ARR(b), 15, &err), err);
    CHECK_OK(store_commit(store, &err), err);
    CHECK_OK(store_token_find(store, VIEW_ARR(t.pk), &is, &found, &err), err);
    CHECK(is == STORE_FOUND);
    CHECK_U64(found.uses_left, 0);
    CHECK_U64(found.created_at, 10);
    CHECK_U64(found.expires_at, 20);
    CHECK_STR(found.role, "admin");
    CHECK_OK(store_token_find(store, VIEW_ARR(a), &is, &found, &err), err);
    CHECK(is == STORE_NONE);
}

TEST(a_serial_is_reserved_once_and_signed_once)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_store(&path);
    _cleanup_(store_certificate_deinit) struct store_certificate reserved = { 0 },
                                                                 signed_one = { 0 }, none = { 0 };
    uint8_t spki[HASH_SIZE] = { 7 }, other[HASH_SIZE] = { 8 };
    enum store_found is;

    CHECK_OK(store_begin(store, &err), err);
    CHECK_OK(
        store_serial_reserve(store, VIEW_LIT("\x01\x00\x02"), "456000", VIEW_ARR(spki), 5, &err),
        err);
    CHECK_ERR(
        store_serial_reserve(store, VIEW_LIT("\x01\x00\x02"), "456001", VIEW_ARR(other), 5, &err),
        err, ERR_ALREADY_EXISTS);
    CHECK_OK(store_certificate_by_spki(store, VIEW_ARR(spki), &is, &reserved, &err), err);
    CHECK(is == STORE_FOUND && reserved.der.len == 0);
    CHECK_OK(store_certificate_put(store, VIEW_LIT("\x01\x00\x02"), VIEW_LIT("der"), 6, 9, &err),
             err);
    CHECK_ERR(store_certificate_put(store, VIEW_LIT("\x01\x00\x02"), VIEW_LIT("other"), 6, 9, &err),
              err, ERR_NOT_FOUND);
    CHECK_ERR(store_certificate_put(store, VIEW_LIT("\x02"), VIEW_LIT("der"), 6, 9, &err), err,
              ERR_NOT_FOUND);
    CHECK_OK(store_commit(store, &err), err);
    CHECK_OK(store_certificate_by_spki(store, VIEW_ARR(spki), &is, &signed_one, &err), err);
    CHECK_STR(signed_one.id, "456000");
    CHECK_VIEW(buf_view(&signed_one.serial), VIEW_LIT("\x01\x00\x02"));
    CHECK_VIEW(buf_view(&signed_one.der), VIEW_LIT("der"));
    CHECK_U64(signed_one.not_before, 6);
    CHECK_U64(signed_one.not_after, 9);
    CHECK(!signed_one.is_revoked);
    CHECK_OK(store_certificate_by_spki(store, VIEW_ARR(other), &is, &none, &err), err);
    CHECK(is == STORE_NONE);
}

TEST(the_newest_certificate_of_a_key_is_found)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_store(&path);
    _cleanup_(store_certificate_deinit) struct store_certificate c = { 0 };
    uint8_t spki[HASH_SIZE] = { 7 };
    enum store_found is;

    CHECK_OK(store_begin(store, &err), err);
    CHECK_OK(store_serial_reserve(store, VIEW_LIT("\x7f"), "456000", VIEW_ARR(spki), 5, &err), err);
    CHECK_OK(store_serial_reserve(store, VIEW_LIT("\x01"), "456000", VIEW_ARR(spki), 5, &err), err);
    CHECK_OK(store_commit(store, &err), err);
    CHECK_OK(store_certificate_by_spki(store, VIEW_ARR(spki), &is, &c, &err), err);
    CHECK_VIEW(buf_view(&c.serial), VIEW_LIT("\x01"));
}

struct listed {
    struct store_revoked rows[64];
    size_t n;
};

static bool note_revoked(void *user, const struct store_revoked *r)
{
    struct listed *listed = user;

    listed->rows[listed->n++] = *r;
    return listed->n < N_ELEMENTS(listed->rows);
}

TEST(revoked_certificates_are_listed_in_the_order_of_their_revocation)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_store(&path);
    struct listed none = { 0 }, list = { 0 }, later = { 0 };
    uint8_t spki[HASH_SIZE] = { 7 };

    CHECK_OK(store_revoked_each(store, 0, 0, note_revoked, &none, &err), err);
    CHECK_U64(none.n, 0);
    CHECK_OK(store_begin(store, &err), err);
    for (uint8_t i = 1; i <= 40; i++)
        CHECK_OK(store_serial_reserve(store, VIEW(&i, 1), "456000", VIEW_ARR(spki), 5, &err), err);
    for (uint8_t i = 40; i > 0; i = (uint8_t)(i - 2))
        CHECK_OK(store_certificate_revoke(store, VIEW(&i, 1), 100u - i, 1, &err), err);
    CHECK_OK(store_certificate_revoke(store, VIEW_LIT("\x28"), 999, 4, &err),
             err); /* changes nothing */
    CHECK_ERR(store_certificate_revoke(store, VIEW_LIT("\x77"), 1, 1, &err), err, ERR_NOT_FOUND);
    CHECK_OK(store_commit(store, &err), err);
    CHECK_OK(store_revoked_each(store, 0, 0, note_revoked, &list, &err), err);
    CHECK_U64(list.n, 20);
    CHECK_U64(list.rows[0].at, 60);
    CHECK_U64(list.rows[0].reason, 1);
    CHECK_VIEW(VIEW(list.rows[0].serial, list.rows[0].serial_len), VIEW_LIT("\x28"));
    for (size_t i = 1; i < list.n; i++)
        CHECK(list.rows[i - 1].by < list.rows[i].by);
    CHECK_OK(store_revoked_each(store, 15, 0, note_revoked, &later, &err), err);
    CHECK_U64(later.n, 5);
    CHECK_U64(later.rows[0].by, 16);
}

/* Four certificates: two keys, two IDs. */
static void put_four(struct store *store)
{
    static const struct {
        const char *serial, *id;
        uint8_t key;
        uint64_t not_after;
    } rows[] = { { "a", "456000", 1, 50 },
                 { "b", "456000", 2, 900 },
                 { "c", "456000", 1, 950 },
                 { "d", "111111", 3, 990 } };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        uint8_t spki[HASH_SIZE] = { rows[i].key };
        CHECK_OK(store_serial_reserve(store, view_text(rows[i].serial), rows[i].id, VIEW_ARR(spki),
                                      1, &err),
                 err);
        CHECK_OK(store_certificate_put(store, view_text(rows[i].serial), VIEW_LIT("x"), 2,
                                       rows[i].not_after, &err),
                 err);
    }
}

static bool is_marked(struct store *store, const char *serial)
{
    _cleanup_(store_certificate_deinit) struct store_certificate c = { 0 };
    enum store_found is = STORE_NONE;

    if (!store_certificate_by_serial(store, view_text(serial), &is, &c, &err) || is != STORE_FOUND)
        check_failed(__FILE__, __LINE__, "no certificate %s", serial);
    return c.is_revoked;
}

TEST(a_revocation_marks_what_comes_under_it)
{
    static const struct {
        enum store_revoke kind;
        const char *id;
        uint8_t first;
        const char *marked; /* of a, b, c, d */
    } cases[] = {
        { STORE_REVOKE_SERIAL, "456000", 'b', "b" },  { STORE_REVOKE_TLS_KEY, "456000", 1, "ac" },
        { STORE_REVOKE_IDENTITY, "456000", 9, "bc" }, /* a has ended */
        { STORE_REVOKE_IDENTITY, "456000", 8, "" },   /* not its key any more */
        { STORE_REVOKE_ADMISSIONS, "456000", 0, "" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _free_ char *path = NULL;
        _cleanup_(store_freep) struct store *store = new_store(&path);
        struct store_revocation r = { .kind = cases[i].kind,
                                      .subject = { cases[i].first },
                                      .subject_len =
                                          cases[i].kind == STORE_REVOKE_SERIAL ? 1 : HASH_SIZE,
                                      .reason = 1,
                                      .at = 100 };
        struct store_identity who = { .id = "456000", .pk = { 9 }, .role = "peer" };
        uint64_t no = 0, again = 0;
        bool is_new = false, is_key = false;
        uint8_t key[HASH_SIZE] = { 1 };
        snprintf(r.id, sizeof(r.id), "%s", cases[i].id);
        CHECK_OK(store_begin(store, &err), err);
        CHECK_OK(store_identity_add(store, &who, &err), err);
        put_four(store);
        CHECK_OK(store_revocation_add(store, &r, &no, &is_new, &err), err);
        CHECK(is_new);
        CHECK_OK(store_revocation_add(store, &r, &again, &is_new, &err), err);
        CHECK(!is_new && no == 1 && again == 1);
        CHECK_OK(store_commit(store, &err), err);
        for (const char *c = "abcd"; *c; c++) {
            const char serial[] = { *c, '\0' };
            CHECK(is_marked(store, serial) == (strchr(cases[i].marked, *c) != NULL));
        }
        CHECK_OK(store_key_is_revoked(store, VIEW_ARR(key), &is_key, &err), err);
        CHECK(is_key == (strpbrk(cases[i].marked, "ac") != NULL));
        CHECK_OK(store_begin(store, &err), err);
        uint8_t sig[64] = { 0 };
        CHECK_OK(store_revocation_sign(store, 1, VIEW_LIT("V"), VIEW_ARR(sig), &err), err);
        CHECK_ERR(store_revocation_sign(store, 1, VIEW_LIT("W"), VIEW_ARR(sig), &err), err,
                  ERR_NOT_FOUND); /* once */
        CHECK_OK(store_commit(store, &err), err);
    }
}

struct walked {
    char sids[8];
    size_t n, most;
};

static bool note_open(void *user, const struct store_session *x)
{
    struct walked *walked = user;

    walked->sids[walked->n++] = (char)x->sid[0];
    return walked->n < walked->most;
}

TEST(sessions_that_are_open_are_found_again)
{
    static const struct {
        char sid;
        const char *state;
        uint64_t opened_at;
    } rows[] = {
        { 'a', "offered", 50 }, { 'b', "closed", 20 },   { 'c', "accepted", 10 },
        { 'd', "failed", 30 },  { 'e', "declined", 40 }, { 'f', "accepted", 60 },
    };
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_store(&path);
    struct walked all = { .most = 8 }, two = { .most = 2 };

    CHECK_OK(store_begin(store, &err), err);
    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        struct store_session x = { .sid = { (uint8_t)rows[i].sid },
                                   .a_id = "456000",
                                   .b_id = "123456",
                                   .opened_at = rows[i].opened_at };
        snprintf(x.state, sizeof(x.state), "%s", rows[i].state);
        CHECK_OK(store_session_add(store, &x, &err), err);
    }
    CHECK_OK(store_commit(store, &err), err);
    CHECK_OK(store_session_each_open(store, note_open, &all, &err), err);
    CHECK_STR(all.sids, "caf");
    CHECK_OK(store_session_each_open(store, note_open, &two, &err), err);
    CHECK_STR(two.sids, "ca");
}

TEST(a_session_is_seen_once_and_moves)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_store(&path);
    struct store_session x = { .sid = { 1, 2 },
                               .a_id = "456000",
                               .b_id = "123456",
                               .caps = "chat,tunnel:3389",
                               .state = "offered",
                               .reason = "",
                               .opened_at = 50 },
                         found;
    enum store_found is;

    CHECK_OK(store_begin(store, &err), err);
    CHECK_OK(store_session_add(store, &x, &err), err);
    CHECK_ERR(store_session_add(store, &x, &err), err, ERR_ALREADY_EXISTS);
    CHECK_OK(store_session_set_state(store, VIEW_ARR(x.sid), "accepted", "", 60, &err), err);
    CHECK_OK(store_session_find(store, VIEW_ARR(x.sid), &is, &found, &err), err);
    CHECK_STR(found.state, "accepted");
    CHECK_U64(found.closed_at, 0);
    CHECK_OK(store_session_set_state(store, VIEW_ARR(x.sid), "closed", "over", 70, &err), err);
    CHECK_ERR(store_session_set_state(store, VIEW_LIT("0123456789abcdef"), "closed", "", 70, &err),
              err, ERR_NOT_FOUND);
    CHECK_OK(store_commit(store, &err), err);
    CHECK_OK(store_session_find(store, VIEW_ARR(x.sid), &is, &found, &err), err);
    CHECK(is == STORE_FOUND);
    CHECK_STR(found.a_id, "456000");
    CHECK_STR(found.b_id, "123456");
    CHECK_STR(found.caps, "chat,tunnel:3389");
    CHECK_STR(found.state, "closed");
    CHECK_STR(found.reason, "over");
    CHECK_U64(found.opened_at, 50);
    CHECK_U64(found.closed_at, 70);
    CHECK_OK(store_begin(store, &err), err);
    CHECK_OK(store_session_set_state(store, VIEW_ARR(x.sid), "accepted", "", 80, &err), err);
    CHECK_OK(store_commit(store, &err), err);
    CHECK_OK(store_session_find(store, VIEW_ARR(x.sid), &is, &found, &err), err);
    CHECK_U64(found.closed_at, 0); /* found again */
    CHECK_OK(store_session_find(store, VIEW_LIT("0123456789abcdef"), &is, &found, &err), err);
    CHECK(is == STORE_NONE);
}

TEST(numbers_never_fall)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_store(&path);
    uint64_t n;

    CHECK_OK(store_number_get(store, "crl_no", &n, &err), err);
    CHECK_U64(n, 0);
    CHECK_OK(store_begin(store, &err), err);
    CHECK_OK(store_number_raise(store, "crl_no", 5, &err), err);
    CHECK_OK(store_number_raise(store, "crl_no", 5, &err), err);
    CHECK_ERR(store_number_raise(store, "crl_no", 4, &err), err, ERR_INTERNAL);
    CHECK_ERR(store_number_raise(store, "crl_no", UINT64_MAX, &err), err, ERR_INTERNAL);
    CHECK_OK(store_number_raise(store, "crl_no", INT64_MAX, &err), err);
    CHECK_OK(store_commit(store, &err), err);
    CHECK_OK(store_number_get(store, "crl_no", &n, &err), err);
    CHECK_U64(n, INT64_MAX);
}

TEST(blobs_are_replaced)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_store(&path);
    enum store_found is;
    _buf_ bytes = { 0 };
    _buf_ empty = { 0 };

    CHECK_OK(store_begin(store, &err), err);
    CHECK_OK(store_blob_set(store, "crl", VIEW_LIT("first"), &err), err);
    CHECK_OK(store_blob_set(store, "crl", VIEW_LIT("sec\0nd"), &err), err);
    CHECK_OK(store_blob_set(store, "none", (struct view){ 0 }, &err), err);
    CHECK_OK(store_commit(store, &err), err);
    CHECK_OK(store_blob_get(store, "crl", &is, &bytes, &err), err);
    CHECK_VIEW(buf_view(&bytes), VIEW_LIT("sec\0nd"));
    CHECK_OK(store_blob_get(store, "none", &is, &empty, &err), err);
    CHECK(is == STORE_FOUND && empty.len == 0);
}

/* Runs `work` in a process of its own; true when it left with status 0. */
static bool in_child(bool (*work)(const char *path), const char *path)
{
    pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(work(path) ? 0 : 1);
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static bool raise_many(const char *path)
{
    _cleanup_(store_freep) struct store *store = NULL;
    struct err e;
    uint64_t n;

    if (!store_open(path, &store, &e))
        return false;
    for (int i = 0; i < 50; i++) {
        if (!store_begin(store, &e) || !store_number_get(store, "n", &n, &e) ||
            !store_number_raise(store, "n", n + 1, &e) || !store_commit(store, &e))
            return false;
    }
    return true;
}

TEST(two_processes_take_turns)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_store(&path);
    pid_t pid = fork();
    uint64_t n;
    int status;

    if (pid == 0)
        _exit(raise_many(path) ? 0 : 1);
    CHECK(in_child(raise_many, path));
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_OK(store_number_get(store, "n", &n, &err), err);
    CHECK_U64(n, 100); /* a lost turn would be missing */
}

/* Commits numbers and acknowledges each to `fd`, until it is killed; always inside the next transaction. */
static void commit_until_killed(const char *path, int fd)
{
    struct store *store = NULL;
    struct err e;

    if (!store_open(path, &store, &e))
        _exit(1);
    for (uint64_t n = 1;; n++) {
        if (!store_begin(store, &e) || !store_number_raise(store, "n", n, &e) ||
            !store_blob_set(store, "half", VIEW(&n, sizeof(n)), &e) || !store_commit(store, &e))
            _exit(1);
        if (write(fd, &n, sizeof(n)) != sizeof(n))
            _exit(1);
    }
}

TEST(a_killed_writer_loses_nothing_acknowledged)
{
    for (unsigned round = 0; round < 8; round++) {
        _free_ char *path = NULL;
        _cleanup_(store_freep) struct store *store = new_store(&path);
        uint64_t acknowledged = 0, n = 0, kept;
        _buf_ half = { 0 };
        enum store_found is;
        int fds[2];
        pid_t pid;

        CHECK(pipe(fds) == 0);
        pid = fork();
        if (pid == 0) {
            close(fds[0]);
            commit_until_killed(path, fds[1]);
        }
        close(fds[1]);
        while (acknowledged < 3 + 7 * round && read(fds[0], &n, sizeof(n)) == sizeof(n))
            acknowledged = n;
        kill(pid, SIGKILL);
        while (read(fds[0], &n, sizeof(n)) == sizeof(n))
            acknowledged = n;
        close(fds[0]);
        waitpid(pid, NULL, 0);

        CHECK(acknowledged >= 3);
        CHECK_OK(store_number_get(store, "n", &kept, &err), err);
        CHECK(kept == acknowledged || kept == acknowledged + 1);
        CHECK_OK(store_blob_get(store, "half", &is, &half, &err), err);
        CHECK(is == STORE_FOUND && half.len == sizeof(n));
        memcpy(&n, half.data, sizeof(n));
        CHECK_U64(n, kept);                      /* whole transactions alone */
        CHECK_OK(store_begin(store, &err), err); /* and its lock is gone with it */
        store_rollback(store);
    }
}

static bool leave_a_transaction_open(const char *path)
{
    struct store *store = NULL;
    struct err e;
    struct store_identity i = identity("456000", 1);

    if (store_open(path, &store, &e) && store_begin(store, &e) && store_identity_add(store, &i, &e))
        kill(getpid(), SIGKILL);
    return false;
}

TEST(a_killed_transaction_leaves_nothing)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_store(&path);
    uint64_t n;
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(leave_a_transaction_open(path) ? 0 : 1);
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHECK_OK(store_identity_count(store, 0, &n, &err), err);
    CHECK_U64(n, 0);
}

TEST(a_full_disk_refuses_and_is_recovered_from)
{
    _free_ char *path = NULL;
    _cleanup_(store_freep) struct store *store = new_store(&path);
    struct rlimit before, tight;
    _buf_ big = { 0 };
    struct buf kept = { 0 };
    enum store_found is;
    bool was_refused;
    uint64_t n;

    CHECK_OK(store_begin(store, &err), err);
    CHECK_OK(store_number_raise(store, "n", 1, &err), err);
    CHECK_OK(store_commit(store, &err), err);
    memset(buf_grow(&big, 1 << 20), 7, 1 << 20);
    signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    tight = (struct rlimit){ 1 << 18, before.rlim_max };
    CHECK(setrlimit(RLIMIT_FSIZE, &tight) == 0);
    was_refused =
        store_begin(store, &err) && store_number_raise(store, "n", 2, &err) &&
        (!store_blob_set(store, "big", buf_view(&big), &err) || !store_commit(store, &err));
    setrlimit(RLIMIT_FSIZE, &before);
    CHECK(was_refused);
    CHECK_STR(err_code_name(err.code), "system");
    store_rollback(store);

    CHECK_OK(store_number_get(store, "n", &n, &err), err);
    CHECK_U64(n, 1);
    CHECK_OK(store_blob_get(store, "big", &is, &kept, &err), err);
    CHECK(is == STORE_NONE);
    CHECK_OK(store_begin(store, &err), err);
    CHECK_OK(store_blob_set(store, "big", buf_view(&big), &err), err);
    CHECK_OK(store_commit(store, &err), err);
}
