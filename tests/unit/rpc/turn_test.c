/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/turn.h"
#include "rpc/value.h"
#include "tests/check.h"

static struct err err;

TEST(turn_uris_are_read)
{
    static const struct {
        const char *uri, *host;
        uint16_t port;
        enum rpc_turn_transport transport;
    } cases[] = {
        { "turn:turn.example", "turn.example", 3478, RPC_TURN_UDP },
        { "turn:turn.example?transport=tcp", "turn.example", 3478, RPC_TURN_TCP },
        { "turn:turn.example:443?transport=tcp", "turn.example", 443, RPC_TURN_TCP },
        { "turn:192.0.2.7:65535?transport=udp", "192.0.2.7", 65535, RPC_TURN_UDP },
        { "turn:[2001:db8::7]", "2001:db8::7", 3478, RPC_TURN_UDP },
        { "turn:[2001:db8::7]:1", "2001:db8::7", 1, RPC_TURN_UDP },
        { "turn:t", "t", 3478, RPC_TURN_UDP },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct rpc_turn_server s;
        CHECK_OK(rpc_turn_uri_read(view_text(cases[i].uri), &s, &err), err);
        CHECK_VIEW(s.host, view_text(cases[i].host));
        CHECK_U64(s.port, cases[i].port);
        CHECK(s.transport == cases[i].transport);
    }
}

TEST(what_is_no_turn_uri_is_refused_and_says_why)
{
    static const struct {
        const char *uri, *why; /* its start */
    } cases[] = {
        { "", "expected turn:HOST" },
        { "stun:turn.example", "expected turn:HOST" },
        { "turns:turn.example", "TURN over TLS is not spoken here" },
        { "turn:", "the host is neither" },
        { "turn:-a", "the host is neither" },
        { "turn:a..b", "the host is neither" },
        { "turn:a b", "the host is neither" },
        { "turn:300.1.1.1", "the host is neither" },
        { "turn:[2001:db8::7", "\"[\" without \"]\"" },
        { "turn:[192.0.2.7]", "the host is neither" },
        { "turn:[::1]x", "the port is not" },
        { "turn:a:0", "the port is not" },
        { "turn:a:65536", "the port is not" },
        { "turn:a:", "the port is not" },
        { "turn:a:+1", "the port is not" },
        { "turn:a?transport=sctp", "transport: expected udp or tcp" },
        { "turn:a?transport=tcp&x=y", "transport: expected udp or tcp" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct rpc_turn_server s;
        CHECK(!rpc_turn_uri_read(view_text(cases[i].uri), &s, &err));
        CHECK_VIEW(view_sub(view_text(err.text), 0, strlen(cases[i].why)), view_text(cases[i].why));
    }
}

TEST(what_is_written_is_read)
{
    const struct rpc_turn t = { .username = VIEW_LIT("1800000600:ab-456000"),
                                .password = VIEW_LIT("c2VjcmV0"),
                                .expires_at = 1800000600000,
                                .uris = { VIEW_LIT("turn:a"), VIEW_LIT("turn:b?transport=tcp") },
                                .n_uris = 2 };
    struct rpc_turn back;
    _buf_ bytes = { 0 };

    rpc_turn_put(&t, &bytes);
    CHECK_OK(rpc_turn_read(buf_view(&bytes), &back, &err), err);
    CHECK_VIEW(back.username, t.username);
    CHECK_VIEW(back.password, t.password);
    CHECK_U64(back.expires_at, t.expires_at);
    CHECK_U64(back.n_uris, 2);
    CHECK_VIEW(back.uris[1], t.uris[1]);
}

/* username, password, expires_at, and as many URIs, of which the first is `uri`. */
static void put(struct buf *to, const char *username, const char *password, const char *uri,
                uint32_t n)
{
    rpc_put_map(to, 4);
    rpc_put_str(to, "uris");
    rpc_put_array(to, n);
    for (uint32_t i = 0; i < n; i++)
        rpc_put_str(to, i ? "turn:b" : uri);
    rpc_put_str(to, "username");
    rpc_put_str(to, username);
    rpc_put_str(to, "expires_at");
    rpc_put_u64(to, 1);
    rpc_put_str(to, "password");
    rpc_put_str(to, password);
}

TEST(what_an_older_program_does_not_understand_is_left_out)
{
    struct rpc_turn t;
    _buf_ bytes = { 0 };

    put(&bytes, "u", "p", "turns:a", 3);
    CHECK_OK(rpc_turn_read(buf_view(&bytes), &t, &err), err);
    CHECK_U64(t.n_uris, 2);
    buf_clear(&bytes);
    put(&bytes, "u", "p", "turn:a", 12);
    CHECK_OK(rpc_turn_read(buf_view(&bytes), &t, &err), err);
    CHECK_U64(t.n_uris, RPC_TURN_SERVERS);
}

TEST(what_is_no_credential_is_refused)
{
    char large[RPC_TURN_MAX_TEXT + 2];
    struct rpc_turn t;
    _buf_ bytes = { 0 };

    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    const char *const bad[][2] = { { "", "p" },    { "u", "" },    { "u v", "p" }, { "u\n", "p" },
                                   { large, "p" }, { "u", large }, { "u", "\x7f" } };
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        buf_clear(&bytes);
        put(&bytes, bad[i][0], bad[i][1], "turn:a", 1);
        CHECK(!rpc_turn_read(buf_view(&bytes), &t, &err));
    }
    buf_clear(&bytes);
    rpc_put_array(&bytes, 0);
    CHECK(!rpc_turn_read(buf_view(&bytes), &t, &err));
    buf_clear(&bytes);
    rpc_put_map(&bytes, 0);
    CHECK(!rpc_turn_read(buf_view(&bytes), &t, &err));
    buf_clear(&bytes);
    put(&bytes, "u", "p", "turn:a", 4000);
    CHECK(!rpc_turn_read(buf_view(&bytes), &t, &err));
    CHECK(err.code == ERR_TOO_LARGE);
}
