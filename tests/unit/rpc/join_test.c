/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "rpc/join.h"
#include "tests/check.h"

#define PIN "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

TEST(join_strings_are_read)
{
    static const struct {
        const char *text, *host;
        size_t n_hosts;
        uint16_t port;
        bool has_token;
        const char *written; /* NULL: as it was */
    } cases[] = {
        { "warren://router.corp.example/corp.example#" PIN, "router.corp.example", 1, 443, false,
          NULL },
        { "warren://192.0.2.7:8443/corp.example#" PIN, "192.0.2.7", 1, 8443, false, NULL },
        { "warren://[2001:db8::7]:8443/corp.example#" PIN, "2001:db8::7", 1, 8443, false, NULL },
        { "warren://[::1]/a.b#" PIN, "::1", 1, 443, false, NULL },
        { "warren://a,b:1,c.d:65535,[::2]/corp.example#" PIN, "a", 4, 443, false, NULL },
        { "warren://localhost:443/corp.example#" PIN, "localhost", 1, 443, false,
          "warren://localhost/corp.example#" PIN },
        { "warren://ROUTER.Example/corp.example#" PIN, "router.example", 1, 443, false,
          "warren://router.example/corp.example#" PIN },
        { "warren://3com.example/corp.example#" PIN ".wt10123456789abcdefghjkmnpqr0",
          "3com.example", 1, 443, true, NULL },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct rpc_join join;
        struct err err;
        _buf_ text = { 0 };
        CHECK_OK(rpc_join_read(view_text(cases[i].text), &join, &err), err);
        CHECK_STR(join.hosts[0].host, cases[i].host);
        CHECK_U64(join.hosts[0].port, cases[i].port);
        CHECK_U64(join.n_hosts, cases[i].n_hosts);
        CHECK(join.has_token == cases[i].has_token);
        CHECK_U64(join.pin[31], 0x1f);
        rpc_join_write(&join, &text);
        CHECK_STR(buf_cstr(&text), cases[i].written ? cases[i].written : cases[i].text);
    }
}

TEST(join_strings_that_are_wrong_name_the_column)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        { "", "column 1: expected warren://" },
        { "https://a/b.c#" PIN, "column 1: expected warren://" },
        { "warren:/", "column 9: expected warren://" },
        { " warren://a/b.c#" PIN, "column 1: expected warren://" },
        { "warren:///b.c#" PIN, "column 10: expected a host name or address" },
        { "warren://a_b/b.c#" PIN, "column 11: expected ':', ',' or '/' and the network's name" },
        { "warren://user@a/b.c#" PIN,
          "column 14: expected ':', ',' or '/' and the network's name" },
        { "warren://a%20/b.c#" PIN, "column 11: expected ':', ',' or '/' and the network's name" },
        { "warren://a..b/b.c#" PIN, "column 10: expected a host name or address" },
        { "warren://-a/b.c#" PIN, "column 10: expected a host name or address" },
        { "warren://a-/b.c#" PIN, "column 10: expected a host name or address" },
        { "warren://a./b.c#" PIN, "column 10: expected a host name or address" },
        { "warren://1.2.3.256/b.c#" PIN, "column 10: expected a host name or address" },
        { "warren://1.2.3/b.c#" PIN, "column 10: expected a host name or address" },
        { "warren://[::g]/b.c#" PIN, "column 13: expected an IPv6 address and ']'" },
        { "warren://[::1:::2]/b.c#" PIN, "column 11: expected an IPv6 address" },
        { "warren://[]/b.c#" PIN, "column 11: expected an IPv6 address" },
        { "warren://[::1", "column 14: expected an IPv6 address and ']'" },
        { "warren://a:/b.c#" PIN, "column 12: expected a port from 1 to 65535" },
        { "warren://a:0/b.c#" PIN, "column 12: expected a port from 1 to 65535" },
        { "warren://a:0443/b.c#" PIN, "column 12: expected a port from 1 to 65535" },
        { "warren://a:65536/b.c#" PIN, "column 12: expected a port from 1 to 65535" },
        { "warren://a:99999999999999/b.c#" PIN, "column 12: expected a port from 1 to 65535" },
        { "warren://a,b,c,d,e/b.c#" PIN, "column 17: expected '/': at most four hosts" },
        { "warren://a,/b.c#" PIN, "column 12: expected a host name or address" },
        { "warren://a", "column 11: expected ':', ',' or '/' and the network's name" },
        { "warren://a/#" PIN, "column 12: expected a network's name such as corp.example" },
        { "warren://a/single#" PIN, "column 12: expected a network's name such as corp.example" },
        { "warren://a/b.123#" PIN, "column 12: expected a network's name such as corp.example" },
        { "warren://a/B.c#" PIN,
          "column 12: expected a lower-case letter, digit, '-', '.' or '#'" },
        { "warren://a/b.c?x=1#" PIN,
          "column 15: expected a lower-case letter, digit, '-', '.' or '#'" },
        { "warren://a/b.c", "column 15: expected '#' and the root's fingerprint" },
        { "warren://a/b.c#",
          "column 16: expected one of the fingerprint's 64 lower-case hexadecimal digits" },
        { "warren://a/b.c#0g",
          "column 17: expected one of the fingerprint's 64 lower-case hexadecimal digits" },
        { "warren://a/b.c#0A",
          "column 17: expected one of the fingerprint's 64 lower-case hexadecimal digits" },
        { "warren://a/b.c#" PIN "0", "column 80: expected '.' and a token, or the end" },
        { "warren://a/b.c#" PIN "\n", "column 80: expected '.' and a token, or the end" },
        { "warren://a/b.c#" PIN ".", "column 81: expected a token: it starts with wt1" },
        { "warren://a/b.c#" PIN ".wt2", "column 83: expected a token: it starts with wt1" },
        { "warren://a/b.c#" PIN ".wt1", "column 84: expected one of the token's 26 digits" },
        { "warren://a/b.c#" PIN ".wt1012u", "column 87: expected one of the token's 26 digits" },
        { "warren://a/b.c#" PIN ".wt10123456789abcdefghjkmnpqr",
          "column 109: expected one of the token's 26 digits" },
        { "warren://a/b.c#" PIN ".wt1I123456789abcdefghjkmnpqr0",
          "column 84: expected one of the token's 26 digits" },
        { "warren://a/b.c#" PIN ".wt10123456789abcdefghjkmnpqr1",
          "column 109: expected one of the token's 26 digits" },
        { "warren://a/b.c#" PIN ".wt10123456789abcdefghjkmnpqr00", "column 110: expected the end" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct rpc_join join;
        struct err err;
        _free_ char *wanted = mem_format("join string: %s", cases[i].why);
        CHECK_ERR(rpc_join_read(view_text(cases[i].text), &join, &err), err, ERR_INVALID_ARGUMENT);
        if (!CHECK_STR(err.text, wanted))
            check_failed(__FILE__, __LINE__, "in %s", cases[i].text);
    }
}

TEST(join_strings_are_bounded)
{
    _buf_ text = { 0 };
    struct rpc_join join;
    struct err err;

    buf_put_text(&text, "warren://");
    while (text.len < 505)
        buf_put_text(&text, "a.");
    buf_put_text(&text, "a/b.c#" PIN);
    CHECK_ERR(rpc_join_read(buf_view(&text), &join, &err), err, ERR_INVALID_ARGUMENT);
    CHECK_STR(err.text, "join string: column 513: expected the end: at most 512 characters");
    text.len = 300;
    CHECK_ERR(rpc_join_read(buf_view(&text), &join, &err), err, ERR_INVALID_ARGUMENT);
    CHECK_STR(err.text, "join string: column 263: expected a host name of at most 253 characters");
}

TEST(join_errors_never_show_the_text)
{
    static const char text[] = "warren://a/b.c#" PIN ".wt1secretsecretsecret";
    struct rpc_join join;
    struct err err;

    CHECK_ERR(rpc_join_read(view_text(text), &join, &err), err, ERR_INVALID_ARGUMENT);
    CHECK(!strstr(err.text, "secret") && !strstr(err.text, "0001020304"));
}

/* 16 bytes of 0xff are 25 'z' and a last digit of three bits: "w". */
TEST(tokens_become_keys)
{
    static const char text[] = "warren://a/b.c#" PIN ".wt1zzzzzzzzzzzzzzzzzzzzzzzzzw";
    struct rpc_join join;
    uint8_t ones[RPC_TOKEN], label_and_token[15 + RPC_TOKEN] = "warren/1 token", seed[SEED_SIZE];
    struct err err;

    memset(ones, 0xff, sizeof(ones));
    CHECK_OK(rpc_join_read(view_text(text), &join, &err), err);
    CHECK_VIEW(VIEW_ARR(join.token), VIEW_ARR(ones));

    memcpy(label_and_token + 15, ones, RPC_TOKEN);
    hash_blake2b(VIEW_ARR(label_and_token), seed);
    _cleanup_(key_freep) struct key *key = rpc_token_key(join.token);
    _cleanup_(key_freep) struct key *wanted = key_from_seed(seed);
    CHECK_VIEW(key_public_view(key), key_public_view(wanted));

    rpc_join_wipe(&join);
    CHECK(!join.has_token && join.token[0] == 0);
}

TEST(hosts_that_a_join_string_can_carry)
{
    static const struct {
        const char *text, *why; /* NULL: good */
    } cases[] = {
        { "relay.corp.example:443", NULL },
        { "192.0.2.1", NULL },
        { "[2001:db8::1]:8443", NULL },
        { "foo_bar:443", "host: " },
        { "relay.corp.example:443/x", "host: " },
        { "a,b", "host: " },
        { "", "host: " },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct err err = { 0 };
        bool ok = rpc_join_check_host(view_text(cases[i].text), &err);
        CHECK(ok == (cases[i].why == NULL));
        if (!ok && cases[i].why)
            CHECK(strstr(err.text, cases[i].why) == err.text);
    }
}
