/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in tokens: how they are named, and what a token does on its worst day. The system tests have a real one. */
#include "vault/token.h"

#include "base/file.h"
#include "base/log.h"
#include "tests/check.h"
#include "tests/unit/vault/fake_module.h"

#include <dlfcn.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODULE "?module-path=/m.so"

static struct err err;

/* ---- URIs --------------------------------------------------------------------------------------- */

TEST(a_uri_is_written_as_it_was_read)
{
    static const char *const cases[] = {
        "pkcs11:token=warren;object=root" MODULE,
        "pkcs11:token=a%20b%3B%3F%3D%25;object=%C3%BC;id=%00%FF" MODULE,
        "pkcs11:token=t;serial=0012;manufacturer=M%20%26%20N;model=X" MODULE,
        "pkcs11:serial=12?module-path=/a%20b/c.so",
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _cleanup_(token_uri_deinit) struct token_uri uri = { 0 };
        _buf_ text = { 0 };
        CHECK_OK(token_uri_read(view_text(cases[i]), &uri, &err), err);
        token_uri_write(&uri, &text);
        CHECK_STR(buf_cstr(&text), cases[i]);
    }
}

TEST(a_uri_that_is_wrong_is_refused_with_the_reason)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        { "", "expected pkcs11:token=" },
        { "pkcs12:token=a" MODULE, "expected pkcs11:token=" },
        { "pkcs11:" MODULE, "names no token" },
        { "pkcs11:object=a" MODULE, "names no token" },
        { "pkcs11:token=a", "names no module" },
        { "pkcs11:token=a?module-path=m.so", "an absolute path" },
        { "pkcs11:token=a?module-name=m", "module-name: expected module-path" },
        { "pkcs11:token=a" MODULE "&pin-value=1", "no place for a PIN" },
        { "pkcs11:token=a" MODULE "&pin-source=/x", "no place for a PIN" },
        { "pkcs11:token=a;token=b" MODULE, "token stands twice" },
        { "pkcs11:token=a;id=%01;id=%02" MODULE, "id stands twice" },
        { "pkcs11:token=a;slot-id=1" MODULE, "slot-id: expected token" },
        { "pkcs11:token=a;type=cert" MODULE, "a private key is wanted" },
        { "pkcs11:token=" MODULE, "token: expected a text" },
        { "pkcs11:token=%ff" MODULE, "token: expected a text" },
        { "pkcs11:token=a%00b" MODULE, "token: expected a text" },
        { "pkcs11:token=a%2" MODULE, "expected pkcs11:token=" },
        { "pkcs11:token=a%zz" MODULE, "expected pkcs11:token=" },
        { "pkcs11:token" MODULE, "expected pkcs11:token=" },
        { "pkcs11:token=a b" MODULE, "expected pkcs11:token=" },
        { "pkcs11:token=a;"
          "id=%00%01%02%03%04%05%06%07%08%09%00%01%02%03%04%05%06%07%08%09%00%01%02%03%04%05%06%07%"
          "08%09"
          "%00%01%02%03%04%05%06%07%08%09%00%01%02%03%04%05%06%07%08%09%00%01%02%03%04%05%06%07%08%"
          "09%00%01%02%03%04" MODULE,
          "1 to 64 bytes" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct token_uri uri = { 0 };
        CHECK_ERR(token_uri_read(view_text(cases[i].text), &uri, &err), err, ERR_INVALID_ARGUMENT);
        if (!strstr(err.text, cases[i].why))
            check_failed(__FILE__, __LINE__, "%s: %s", cases[i].text, err.text);
    }
}

TEST(a_file_says_where_its_key_is)
{
    _cleanup_(token_place_deinit) struct token_place place = { .paths = mem_text("/a /b") },
                                                     back = { 0 };
    _buf_ text = { 0 };

    CHECK_OK(token_uri_read(VIEW_LIT("pkcs11:token=t;object=o" MODULE), &place.uri, &err), err);
    token_file_write(&place, &text);
    CHECK(token_file_is(buf_view(&text)));
    CHECK_OK(token_file_read("x.key", buf_view(&text), &back, &err), err);
    CHECK_STR(back.paths, "/a /b");
    CHECK_STR(back.uri.object, "o");
    CHECK(!token_file_is(VIEW_LIT("-----BEGIN PRIVATE KEY-----\nkey = x\n")));
    CHECK(!token_file_is(VIEW_LIT("warren-sealed-1\n")));
    CHECK(!token_file_is(VIEW_LIT("# nothing\n\n")));
    CHECK_ERR(token_file_read("x.key", VIEW_LIT("#\nkey = pkcs11:x\n"), &back, &err), err,
              ERR_BAD_CONFIG);
    CHECK(strstr(err.text, "x.key:2: "));
    CHECK_ERR(token_file_read("x.key", VIEW_LIT("key = pkcs11:token=t" MODULE "\npaths = /a b\n"),
                              &back, &err),
              err, ERR_BAD_CONFIG);
    CHECK(strstr(err.text, "x.key:2: expected absolute paths"));
}

/* ---- a token that a test holds in its hands ---------------------------------------------------------- */

struct scene {
    char dir[32], *path;
    struct fake *fake;
    struct token_uri uri;
    struct token_login login;
};

/* Each test has a copy of the module: they stay loaded. */
static void begin(struct scene *s)
{
    _free_ char *uri = NULL;
    _buf_ bytes = { 0 };
    void *handle;

    snprintf(s->dir, sizeof(s->dir), "/tmp/warren-token-XXXXXX");
    CHECK(mkdtemp(s->dir));
    s->path = file_path(s->dir, "fake.so");
    CHECK(file_read(FAKE_MODULE, 16 * 1024 * 1024, &bytes, &err) &&
          file_create(s->path, buf_view(&bytes), 0700, &err));
    uri = mem_format("pkcs11:token=fake;object=key?module-path=%s", s->path);
    CHECK(token_uri_read(view_text(uri), &s->uri, &err));
    handle = dlopen(s->path, RTLD_NOW | RTLD_LOCAL);
    CHECK(handle);
    s->fake = dlsym(handle, "fake_module");
    *s->fake = (struct fake){ .pin = "1234", .n_tokens = 1, .has_key = true, .has_public = true };
    s->login = (struct token_login){ VIEW_LIT("1234"), TOKEN_UNATTENDED };
}

static void scene_end(struct scene *s)
{
    unlink(s->path);
    rmdir(s->dir);
    free(s->path);
    token_uri_deinit(&s->uri);
}

#define _scene_ _cleanup_(scene_end) struct scene

static bool load(struct scene *s, struct pki_key **ret_key)
{
    return token_key_load(&s->uri, &s->login, PKI_P256, ret_key, &err);
}

static bool signs(const struct pki_key *key)
{
    _buf_ sig = { 0 };

    return pki_key_sign(key, VIEW_LIT("x"), &sig, &err);
}

static void pause_for_the_next_try(void)
{
    poll(NULL, 0, 600);
}

TEST(a_key_is_found_proved_and_used)
{
    for (int is_raw = 0; is_raw < 2; is_raw++) {
        _scene_ s = { 0 };
        _cleanup_(pki_key_freep) struct pki_key *key = NULL;
        begin(&s);
        s.fake->is_raw_point = is_raw;
        CHECK_OK(load(&s, &key), err);
        CHECK_U64(s.fake->n_signed, 1);
        CHECK(signs(key) && signs(key));
        CHECK_U64(s.fake->n_logins, 1);
    }
}

TEST(what_does_not_fit_is_refused)
{
    static const struct {
        struct fake fake;
        enum err_code code;
        const char *why;
    } cases[] = {
        { { .n_tokens = 0, .has_key = true, .has_public = true }, ERR_NOT_FOUND, "has none" },
        { { .n_tokens = 2, .has_key = true, .has_public = true },
          ERR_INVALID_ARGUMENT,
          "2 tokens are \"fake\": add serial=" },
        { { .n_tokens = 1, .has_public = true }, ERR_NOT_FOUND, "has no private key \"key\"" },
        { { .n_tokens = 1, .has_key = true }, ERR_NOT_FOUND, "no public key that belongs to" },
        { { .n_tokens = 1, .has_key = true, .has_public = true, .is_rsa = true },
          ERR_WRONG_KEY,
          "no EC key; P-256 is needed" },
        { { .n_tokens = 1, .has_key = true, .has_public = true, .is_p384 = true },
          ERR_WRONG_KEY,
          "of another curve; P-256" },
        { { .n_tokens = 1, .has_key = true, .has_public = true, .is_another_key = true },
          ERR_BAD_SIGNATURE,
          "trying the key" },
        { { .n_tokens = 1, .has_key = true, .has_public = true, .sig_len = 63 },
          ERR_SYSTEM,
          "63 bytes, expected 64" },
        { { .n_tokens = 1,
            .has_key = true,
            .has_public = true,
            .sign_answer = CKR_KEY_FUNCTION_NOT_PERMITTED },
          ERR_SYSTEM,
          "the key is not for signing" },
        { { .n_tokens = 1, .has_key = true, .has_public = true, .flags = CKF_USER_PIN_LOCKED },
          ERR_NOT_AUTHORIZED,
          "its PIN is locked" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _scene_ s = { 0 };
        struct pki_key *key = NULL;
        begin(&s);
        *s.fake = cases[i].fake;
        s.fake->pin = "1234";
        CHECK_ERR(load(&s, &key), err, cases[i].code);
        if (!strstr(err.text, cases[i].why))
            check_failed(__FILE__, __LINE__, "wanted %s: %s", cases[i].why, err.text);
    }
}

TEST(a_serial_number_tells_two_tokens_apart)
{
    _scene_ s = { 0 };
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;

    begin(&s);
    s.fake->n_tokens = 2;
    s.uri.serial = mem_text("1");
    CHECK_OK(load(&s, &key), err);
}

TEST(a_wrong_pin_is_tried_once_and_never_by_a_machine_again)
{
    _scene_ s = { 0 };
    struct pki_key *key = NULL;

    begin(&s);
    s.login.pin = VIEW_LIT("0000");
    CHECK_ERR(load(&s, &key), err, ERR_BAD_PASSPHRASE);
    CHECK_U64(s.fake->n_logins, 1);
    s.fake->flags = CKF_USER_PIN_COUNT_LOW; /* as tokens say then */
    CHECK_ERR(load(&s, &key), err, ERR_NOT_AUTHORIZED);
    CHECK(strstr(err.text, "nothing was tried"));
    CHECK_U64(s.fake->n_logins, 1);
    s.login = (struct token_login){ VIEW_LIT("0000"), TOKEN_ATTENDED };
    CHECK_ERR(load(&s, &key), err, ERR_BAD_PASSPHRASE);
    CHECK_U64(s.fake->n_logins, 2);
    s.fake->flags = CKF_USER_PIN_FINAL_TRY; /* nor by a person, when it is the last one */
    CHECK_ERR(load(&s, &key), err, ERR_NOT_AUTHORIZED);
    CHECK_U64(s.fake->n_logins, 2);
}

TEST(a_token_that_was_away_is_used_again)
{
    _scene_ s = { 0 };
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;

    begin(&s);
    CHECK_OK(load(&s, &key), err);
    s.fake->is_away = s.fake->is_lost = true;
    CHECK(!signs(key) && err.code == ERR_BUSY && strstr(err.text, "token \"fake\" is away"));
    unsigned n_starts = s.fake->n_starts;
    CHECK(!signs(key) && err.code == ERR_BUSY); /* not at once again */
    CHECK_U64(s.fake->n_starts, n_starts);
    s.fake->is_away = false; /* it is there, and the module knows when it is started anew */
    pause_for_the_next_try();
    CHECK(signs(key));
    CHECK_U64(s.fake->n_logins, 2);
    CHECK(signs(key));
    CHECK_U64(s.fake->n_logins, 2);
}

TEST(a_session_that_ended_is_opened_again_at_once)
{
    _scene_ s = { 0 };
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;

    begin(&s);
    CHECK_OK(load(&s, &key), err);
    s.fake->n_starts++; /* of no session of ours */
    CHECK(signs(key));
    CHECK_U64(s.fake->n_logins, 2);
}

TEST(a_pin_that_was_right_is_not_tried_again_when_it_is_refused)
{
    _scene_ s = { 0 };
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;

    begin(&s);
    CHECK_OK(load(&s, &key), err);
    s.fake->n_starts++;
    s.fake->pin = "9999"; /* somebody changed it */
    CHECK(!signs(key) && err.code == ERR_BUSY &&
          strstr(err.text, "refuses the PIN that it took before"));
    CHECK_U64(s.fake->n_logins, 2);
    pause_for_the_next_try();
    for (int i = 0; i < 10; i++)
        CHECK(!signs(key) && err.code == ERR_BUSY);
    CHECK_U64(s.fake->n_logins, 2);
}

TEST(a_key_that_asks_each_time_gets_its_pin_each_time)
{
    _scene_ s = { 0 };
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;

    begin(&s);
    s.fake->asks_each_time = true;
    CHECK_OK(load(&s, &key), err);
    CHECK(signs(key));
    CHECK_U64(s.fake->n_each_time, 2);
    s.fake->login_answer = CKR_PIN_INCORRECT;
    CHECK(!signs(key) && !signs(key));
    CHECK_U64(s.fake->n_each_time, 3);
}

TEST(a_key_is_made_where_there_is_none)
{
    _scene_ s = { 0 };
    _cleanup_(pki_key_freep) struct pki_key *key = NULL, *again = NULL;
    _cleanup_(token_uri_deinit) struct token_uri at = { 0 }, at_again = { 0 };
    bool is_new = false;

    begin(&s);
    s.fake->has_key = s.fake->has_public = false;
    CHECK_OK(token_key_make(&s.uri, &s.login, PKI_P256, &at, &key, &is_new, &err), err);
    CHECK(is_new && at.id.len == 1);
    CHECK_OK(token_key_make(&s.uri, &s.login, PKI_P256, &at_again, &again, &is_new, &err), err);
    CHECK(!is_new);
    CHECK_U64(s.fake->n_made, 1);
    s.fake->has_key = false; /* an identifier names one that is there */
    CHECK_ERR(token_key_make(&at, &s.login, PKI_P256, &at_again, &again, &is_new, &err), err,
              ERR_NOT_FOUND);
}

TEST(a_module_that_others_could_change_is_not_loaded)
{
    _scene_ s = { 0 };
    struct pki_key *key = NULL;
    _free_ char *twin = NULL;

    begin(&s);
    twin = file_path(s.dir, "twin.so");
    CHECK(link(s.path, twin) == 0 && chmod(twin, 0722) == 0);
    free(s.uri.module);
    s.uri.module = mem_text(twin);
    CHECK_ERR(load(&s, &key), err, ERR_EXPOSED);
    chmod(twin, 0700);
    CHECK(chmod(s.dir, 0777) == 0);
    CHECK_ERR(load(&s, &key), err, ERR_EXPOSED);
    unlink(twin);
}
