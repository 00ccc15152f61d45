/* SPDX-License-Identifier: Apache-2.0 */
/* The set of keys that came by netsign. */
#include "router/netkeys.h"
#include "base/file.h"
#include "base/text.h"
#include "tests/check.h"

static void make_key(uint32_t n, uint8_t ret_key[KEY_SIZE])
{
    memset(ret_key, 0, KEY_SIZE);
    memcpy(ret_key, &n, sizeof(n));
}

TEST(what_was_added_is_there_and_nothing_else)
{
    enum { N = 20000 };
    _cleanup_(netkeys_freep) struct netkeys *keys = netkeys_new(NETKEYS_MAX);
    uint8_t key[KEY_SIZE];
    _buf_ records = { 0 };

    for (uint32_t i = 0; i < N; i++) {
        make_key(i, key);
        CHECK(netkeys_add(keys, VIEW_ARR(key), &records));
        CHECK(!netkeys_add(keys, VIEW_ARR(key), &records)); /* once is enough */
    }
    CHECK_U64(netkeys_count(keys), N);
    CHECK_U64(records.len, N * NETKEYS_HASH);
    for (uint32_t i = 0; i < 2 * N; i++) {
        make_key(i, key);
        CHECK(netkeys_has(keys, VIEW_ARR(key)) == (i < N));
        CHECK(netkeys_is_refused(keys, VIEW_ARR(key)) == (i < N));
    }
}

/* What cannot be told any more is not believed. */
TEST(when_it_is_full_cryptosign_is_over)
{
    _cleanup_(netkeys_freep) struct netkeys *keys = netkeys_new(2);
    uint8_t key[3][KEY_SIZE];
    _buf_ records = { 0 };

    for (uint32_t i = 0; i < 3; i++)
        make_key(i, key[i]);
    CHECK(netkeys_add(keys, VIEW_ARR(key[0]), &records));
    CHECK(!netkeys_is_refused(keys, VIEW_ARR(key[2])));
    CHECK(netkeys_add(keys, VIEW_ARR(key[1]), &records));
    CHECK(!netkeys_add(keys, VIEW_ARR(key[2]), &records));
    CHECK(!netkeys_has(keys, VIEW_ARR(key[2])));
    CHECK(netkeys_is_refused(keys, VIEW_ARR(key[2])));
    CHECK_U64(records.len, 2 * NETKEYS_HASH);
}

TEST(a_principal_with_such_a_key_is_named)
{
    _cleanup_(netkeys_freep) struct netkeys *keys = netkeys_new(NETKEYS_MAX);
    _cleanup_(realms_freep) struct realms *realms = NULL;
    _free_ char *path = file_path(check_dir(), "realms.conf");
    _free_ char *people = file_path(check_dir(), "people");
    struct err err = { 0 };
    uint8_t mine[KEY_SIZE] = { 0xaa }, other[KEY_SIZE] = { 0xbb };
    _buf_ records = { 0 };
    _buf_ text = { 0 };
    _buf_ all = { 0 };

    if (!key_init(&err))
        abort();
    buf_put_text(&text, "[principal ann]\nrole = a\nkeys = ");
    text_put_hex(&text, VIEW_ARR(other));
    buf_put_text(&text, "\n[principal joe]\nrole = a\nkeys = ");
    text_put_hex(&text, VIEW_ARR(mine));
    buf_put_text(&text, "\n");
    CHECK_OK(file_write(people, buf_view(&text), 0600, &err), err);
    CHECK_OK(file_write(path, VIEW_LIT("[realm app]\nmethods = cryptosign\nprincipals = people\n"),
                        0600, &err),
             err);
    CHECK_OK(realms_read(path, "corp.example", &realms, NULL, &err), err);
    CHECK_OK(netkeys_check_realms(keys, realms, &all, &err), err);
    netkeys_add(keys, VIEW_ARR(mine), &records);
    CHECK_ERR(netkeys_check_realms(keys, realms, &all, &err), err, ERR_BAD_CONFIG);
    CHECK(strstr(err.text, "realm app: principal joe: key aa0000") != NULL);
    CHECK(strstr(buf_cstr(&all), "principal joe") && !strstr(buf_cstr(&all), "principal ann"));
}
