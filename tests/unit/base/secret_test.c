/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include "base/file.h"
#include "base/key.h"
#include "tests/check.h"

#include <sys/stat.h>
#include <unistd.h>

static const struct view secret = { (const uint8_t *)"the secret", 10 };

static bool opens(const char *path, struct view passphrase, struct err *err)
{
    _buf_wipe_ bytes = { 0 };

    return secret_read(path, 64, passphrase, &bytes, err) && CHECK_VIEW(buf_view(&bytes), secret);
}

static unsigned mode_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

TEST(a_plain_file_stays_what_it_was)
{
    _free_ char *path = file_path(check_dir(), "plain");
    struct err err = { 0 };
    bool is = true;

    CHECK_OK(secret_write(path, secret, VIEW(NULL, 0), &err), err);
    CHECK(opens(path, VIEW(NULL, 0), &err));
    CHECK(opens(path, VIEW_LIT("not looked at"), &err));
    CHECK_OK(secret_is_sealed(path, &is, &err), err);
    CHECK(!is);
    CHECK_U64(mode_of(path), 0600);
    CHECK_ERR(secret_create(path, secret, VIEW(NULL, 0), &err), err, ERR_ALREADY_EXISTS);
}

TEST(a_sealed_file_opens_with_its_passphrase_alone)
{
    _free_ char *path = file_path(check_dir(), "sealed");
    _buf_ bytes = { 0 };
    struct err err = { 0 };
    bool is = false;

    CHECK_OK(secret_write(path, secret, VIEW_LIT("right"), &err), err);
    CHECK_OK(secret_is_sealed(path, &is, &err), err);
    CHECK(is);
    CHECK_U64(mode_of(path), 0600);
    CHECK_OK(file_read(path, 4096, &bytes, &err), err);
    CHECK(memmem(bytes.data, bytes.len, secret.data, secret.len) == NULL);
    CHECK(opens(path, VIEW_LIT("right"), &err));
    CHECK(!opens(path, VIEW_LIT("wrong"), &err));
    CHECK_U64(err.code, ERR_BAD_PASSPHRASE);
    CHECK(!opens(path, VIEW(NULL, 0), &err));
    CHECK_U64(err.code, ERR_LOCKED);
    CHECK(strstr(err.text, path) != NULL);
    chmod(path, 0640);
    CHECK(!opens(path, VIEW_LIT("right"), &err));
    CHECK_U64(err.code, ERR_EXPOSED);
}

TEST(a_passphrase_is_set_changed_and_taken_away)
{
    static const struct {
        const char *old, *next;
        enum err_code code;
        const char *now;
    } cases[] = {
        { "", "first", ERR_NONE, "first" },
        { "wrong", "second", ERR_BAD_PASSPHRASE, "first" },
        { "", "second", ERR_LOCKED, "first" },
        { "", "", ERR_LOCKED, "first" },
        { "first", "second", ERR_NONE, "second" },
        { "first", "second", ERR_NONE, "second" }, /* it was interrupted behind this file */
        { "second", "", ERR_NONE, "" },
        { "second", "", ERR_NONE, "" },
    };
    _free_ char *path = file_path(check_dir(), "changed");
    struct err err = { 0 };

    CHECK_OK(secret_write(path, secret, VIEW(NULL, 0), &err), err);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        err = (struct err){ 0 };
        CHECK(secret_change(path, view_text(cases[i].old), view_text(cases[i].next), &err) ==
              (cases[i].code == ERR_NONE));
        if (cases[i].code != ERR_NONE)
            CHECK_U64(err.code, cases[i].code);
        CHECK(opens(path, view_text(cases[i].now), &err));
    }
}

TEST(keys_are_read_as_they_are_kept)
{
    _free_ char *path = file_path(check_dir(), "a.key");
    _cleanup_(key_freep) struct key *key = key_new(), *back = NULL, *none = NULL;
    struct err err = { 0 };

    CHECK_OK(key_create(key, path, VIEW_LIT("right"), &err), err);
    CHECK_OK(key_unlock(path, VIEW_LIT("right"), &back, &err), err);
    CHECK_VIEW(key_public_view(back), key_public_view(key));
    CHECK_ERR(key_read(path, &none, &err), err, ERR_LOCKED);
    CHECK_ERR(key_unlock(path, VIEW_LIT("wrong"), &none, &err), err, ERR_BAD_PASSPHRASE);
}

TEST(a_new_passphrase_is_not_too_short)
{
    static const struct {
        const char *passphrase, *why; /* NULL: it is taken */
    } cases[] = {
        { "", "the new passphrase for the root key has 0 characters, and needs at least 12" },
        { "x", "has 1 character, " },
        { "eleven char", "has 11 characters" },
        { "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9",
          "has 7 characters" }, /* of 14 bytes */
        { "twelve chars", NULL },
        { "\xe4\xb8\x80\xe4\xb8\x80\xe4\xb8\x80\xe4\xb8\x80 eight ch", NULL },
    };
    struct err err = { 0 };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        bool is_taken = secret_check_new(view_text(cases[i].passphrase), "the root key", &err);
        CHECK_U64(is_taken, cases[i].why == NULL);
        if (cases[i].why) {
            CHECK_U64(err.code, ERR_INVALID_ARGUMENT);
            CHECK(strstr(err.text, cases[i].why));
        }
    }
}

TEST(what_is_not_there_or_too_large_is_said)
{
    _free_ char *path = file_path(check_dir(), "large"), *none = file_path(check_dir(), "none");
    _buf_wipe_ bytes = { 0 };
    uint8_t much[200] = { 0 };
    struct err err = { 0 };
    bool is;

    CHECK_OK(secret_write(path, VIEW_ARR(much), VIEW(NULL, 0), &err), err);
    CHECK_ERR(secret_read(path, 64, VIEW(NULL, 0), &bytes, &err), err, ERR_TOO_LARGE);
    CHECK_ERR(secret_is_sealed(none, &is, &err), err, ERR_NOT_FOUND);
    CHECK_ERR(secret_change(none, VIEW(NULL, 0), VIEW_LIT("x"), &err), err, ERR_NOT_FOUND);
}
