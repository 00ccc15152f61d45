/* SPDX-License-Identifier: Apache-2.0 */
#include "base/key.h"
#include "base/file.h"
#include "base/text.h"
#include "tests/check.h"

#include <sys/stat.h>

/* RFC 8032, 7.1, test 2. */
TEST(ed25519_is_the_one_of_rfc_8032)
{
    static const char seed_hex[] =
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                      public_hex[] =
                          "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                      sig_hex[] =
                          "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                          "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
    _cleanup_(key_freep) struct key *key = NULL;
    uint8_t seed[SEED_SIZE], public_key[KEY_SIZE], wanted[SIG_SIZE], sig[SIG_SIZE], message = 0x72;

    CHECK(text_read_hex(view_text(seed_hex), seed, sizeof(seed)));
    CHECK(text_read_hex(view_text(public_hex), public_key, sizeof(public_key)));
    CHECK(text_read_hex(view_text(sig_hex), wanted, sizeof(wanted)));
    key = key_from_seed(seed);
    CHECK_VIEW(key_public_view(key), VIEW_ARR(public_key));
    key_sign(key, VIEW(&message, 1), sig);
    CHECK_VIEW(VIEW_ARR(sig), VIEW_ARR(wanted));
    CHECK(key_verify(VIEW_ARR(public_key), VIEW(&message, 1), VIEW_ARR(sig)));
    sig[3] ^= 1;
    CHECK(!key_verify(VIEW_ARR(public_key), VIEW(&message, 1), VIEW_ARR(sig)));
    CHECK(!key_verify(VIEW_ARR(public_key), VIEW(&message, 1), VIEW(sig, 63)));
    CHECK(!key_verify(VIEW(public_key, 31), VIEW(&message, 1), VIEW_ARR(sig)));
}

TEST(a_key_file_gives_the_same_key_and_is_never_overwritten)
{
    _free_ char *path = file_path(check_dir(), "identity.key");
    _cleanup_(key_freep) struct key *key = key_new(), *back = NULL, *other = key_new();
    struct stat st;
    struct err err;

    CHECK_OK(key_write(key, path, &err), err);
    CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    CHECK_OK(key_read(path, &back, &err), err);
    CHECK_VIEW(key_public_view(back), key_public_view(key));
    CHECK_ERR(key_write(other, path, &err), err, ERR_ALREADY_EXISTS);
}

TEST(bad_key_files)
{
    static const struct {
        const char *text;
        enum err_code code;
    } cases[] = {
        { "", ERR_BAD_CONFIG },
        { "warren-ed25519 00\n", ERR_BAD_CONFIG },
        { "warren-ed25519 zz00000000000000000000000000000000000000000000000000000000000000\n",
          ERR_BAD_CONFIG },
        { "warren-ed25519 0000000000000000000000000000000000000000000000000000000000000000",
          ERR_BAD_CONFIG },
    };
    _free_ char *path = file_path(check_dir(), "bad.key");
    struct key *back;
    struct err err;

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        CHECK_OK(file_write(path, view_text(cases[i].text), 0600, &err), err);
        CHECK_ERR(key_read(path, &back, &err), err, cases[i].code);
    }
}

TEST(hmac_sha256_of_rfc_4231)
{
    static const struct {
        const char *key, *text, *mac;
    } cases[] = {
        { "4a656665", "what do ya want for nothing?",
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
        { "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "Hi There",
          "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        uint8_t key[32], want[HASH_SIZE], mac[HASH_SIZE];
        size_t len = strlen(cases[i].key) / 2;
        CHECK(text_read_hex(view_text(cases[i].key), key, len));
        CHECK(text_read_hex(view_text(cases[i].mac), want, sizeof(want)));
        hmac_sha256(VIEW(key, len), view_text(cases[i].text), mac);
        CHECK_VIEW(VIEW_ARR(mac), VIEW_ARR(want));
    }
}
