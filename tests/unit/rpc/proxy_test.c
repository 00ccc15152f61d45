/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/proxy.h"
#include "tests/check.h"

#include <stdio.h>

TEST(addresses_of_proxies_are_read)
{
    static const struct {
        const char *text;
        enum rpc_proxy_kind kind;
        const char *host, *user, *password;
        uint16_t port;
    } cases[] = {
        { "", RPC_PROXY_NONE, "", "", "", 0 },
        { "proxy.corp.example:3128", RPC_PROXY_HTTP, "proxy.corp.example", "", "", 3128 },
        { "http://proxy", RPC_PROXY_HTTP, "proxy", "", "", 8080 },
        { "HTTP://[2001:db8::1]:81/", RPC_PROXY_HTTP, "2001:db8::1", "", "", 81 },
        { "http://joe:s%3aec%40ret@192.0.2.1:3128/", RPC_PROXY_HTTP, "192.0.2.1", "joe", "s:ec@ret",
          3128 },
        { "socks5://10.0.0.1", RPC_PROXY_SOCKS5, "10.0.0.1", "", "", 1080 },
        { "socks5h://u@h:9050", RPC_PROXY_SOCKS5, "h", "u", "", 9050 },
    };
    static const char *const bad[] = {
        "https://proxy", "socks4://proxy", "ftp://x",     "http://",       "http://:80",
        "http://h:0",    "http://h:65536", "http://h:x",  "http://@h",     "http://%zz@h",
        "http://%00@h",  "http://a b",     "2001:db8::1", "http://h/path", "http://:pw@h",
    };
    struct rpc_proxy proxy;
    struct err err;

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        CHECK_OK(rpc_proxy_read(cases[i].text, &proxy, &err), err);
        CHECK_U64(proxy.kind, cases[i].kind);
        CHECK_STR(proxy.host, cases[i].host);
        CHECK_STR(proxy.user, cases[i].user);
        CHECK_STR(proxy.password, cases[i].password);
        CHECK_U64(proxy.port, cases[i].port);
    }
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        if (!CHECK(!rpc_proxy_read(bad[i], &proxy, &err)))
            check_failed(__FILE__, __LINE__, "case: %s", bad[i]);
        CHECK_U64(err.code, ERR_INVALID_ARGUMENT);
        CHECK(!strstr(err.text, "pw"));
    }
}

static const char *const *environment;

static char *get(const char *name)
{
    for (size_t i = 0; environment[i]; i += 2) {
        if (strcmp(environment[i], name) == 0)
            return (char *)(uintptr_t)environment[i + 1];
    }
    return NULL;
}

TEST(the_environment_says_it_in_the_usual_words)
{
    static const char *const all[] = { "all_proxy", "socks5://a", "HTTPS_PROXY",
                                       "http://b",  "http_proxy", "http://c",
                                       "no_proxy",  "x,y",        NULL },
                             *const none[] = { "http_proxy", "http://c", NULL },
                             *const empty[] = { "https_proxy", "", "ALL_PROXY", "d:1", NULL },
                             *const bad[] = { "https_proxy", "https://e", NULL };
    struct rpc_proxy proxy;
    struct err err;

    environment = all;
    CHECK_OK(rpc_proxy_from_environment(get, &proxy, &err), err);
    CHECK_STR(proxy.host, "b");
    CHECK_STR(proxy.except, "x,y");
    environment = none;
    CHECK_OK(rpc_proxy_from_environment(get, &proxy, &err), err);
    CHECK_U64(proxy.kind, RPC_PROXY_NONE);
    environment = empty;
    CHECK_OK(rpc_proxy_from_environment(get, &proxy, &err), err);
    CHECK_STR(proxy.host, "d");
    environment = bad;
    CHECK(!rpc_proxy_from_environment(get, &proxy, &err));
    CHECK(strstr(err.text, "environment"));
}

TEST(some_hosts_are_reached_without_it)
{
    static const struct {
        const char *except, *host;
        bool is_for;
    } cases[] = {
        { "", "router.corp.example", true },
        { "", "127.0.0.1", false },
        { "", "localhost", false },
        { "", "::1", false },
        { "*", "router.corp.example", false },
        { "corp.example", "router.corp.example", false },
        { ".corp.example", "router.corp.example", false },
        { "corp.example", "corp.example", false },
        { "orp.example", "router.corp.example", true },
        { "a.example, CORP.example", "router.corp.example", false },
        { "10.0.0.1", "10.0.0.1", false },
        { "[2001:db8::1]", "2001:db8::1", false },
        { "10.0.0.1", "10.0.0.2", true },
    };
    struct rpc_proxy proxy;
    struct err err;

    CHECK_OK(rpc_proxy_read("http://p", &proxy, &err), err);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        snprintf(proxy.except, sizeof(proxy.except), "%s", cases[i].except);
        if (!CHECK_U64(rpc_proxy_is_for(&proxy, cases[i].host), cases[i].is_for))
            check_failed(__FILE__, __LINE__, "case: %s %s", cases[i].except, cases[i].host);
    }
}

/* Says `answer` a byte at a time; what it says is in `said`. How far it came; the rest is in *ret_left. */
static enum rpc_proxy_step talk_to(const char *text, const char *host, struct view answer,
                                   struct buf *said, size_t *ret_left, struct err *err)
{
    enum rpc_proxy_step step = RPC_PROXY_MORE;
    struct rpc_proxy_talk talk;
    struct rpc_proxy proxy;

    CHECK(rpc_proxy_read(text, &proxy, err));
    rpc_proxy_begin(&talk, &proxy, host, 443, said);
    while (step == RPC_PROXY_MORE && answer.len) {
        size_t n = talk.wanted < answer.len ? talk.wanted : answer.len;
        n = n > 1 ? 1 : n;
        step = rpc_proxy_input(&talk, view_sub(answer, 0, n), said, err);
        answer = view_sub(answer, n, answer.len);
    }
    *ret_left = answer.len;
    rpc_proxy_end(&talk);
    return step;
}

TEST(connect_is_said_and_its_answer_read)
{
    static const char ok[] = "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nTLS",
                      no[] = "HTTP/1.0 407 Proxy \x1b[31mAuthentication\r\n\r\n",
                      strange[] = "SSH-2.0-OpenSSH\r\n\r\n";
    struct err err = { 0 };
    _buf_ said = { 0 };
    _buf_ again = { 0 };
    _buf_ more = { 0 };
    size_t left;

    CHECK_U64(
        talk_to("http://joe:secret@p", "router.corp.example", view_text(ok), &said, &left, &err),
        RPC_PROXY_THROUGH);
    CHECK_U64(left, 3); /* what follows is not the proxy's */
    CHECK_STR(buf_cstr(&said), "CONNECT router.corp.example:443 HTTP/1.1\r\n"
                               "Host: router.corp.example:443\r\n"
                               "Proxy-Authorization: Basic am9lOnNlY3JldA==\r\n\r\n");
    CHECK_U64(talk_to("http://p", "2001:db8::1", view_text(no), &again, &left, &err),
              RPC_PROXY_REFUSED);
    CHECK_STR(err.text, "the proxy p port 8080: it answered 407 Proxy ?[31mAuthentication");
    CHECK_STR(buf_cstr(&again),
              "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n");
    CHECK_U64(talk_to("http://p", "h", view_text(strange), &more, &left, &err), RPC_PROXY_REFUSED);
}

/* Whose fault it is: the proxy's own, or that the host cannot be reached from there. */
TEST(what_lies_beyond_the_proxy_is_told_apart)
{
    static const struct {
        const char *proxy;
        struct view answer;
        bool is_beyond;
    } cases[] = {
        { "http://p", VIEW_LIT("HTTP/1.1 502 Bad Gateway\r\n\r\n"), true },
        { "http://p", VIEW_LIT("HTTP/1.1 503 Service Unavailable\r\n\r\n"), true },
        { "http://p", VIEW_LIT("HTTP/1.0 504 Gateway Timeout\r\n\r\n"), true },
        { "http://p", VIEW_LIT("HTTP/1.1 403 Forbidden\r\n\r\n"), false },
        { "http://p", VIEW_LIT("HTTP/1.1 407 Authenticate\r\n\r\n"), false },
        { "http://p", VIEW_LIT("HTTP/1.1 505 What\r\n\r\n"), false },
        { "socks5://p", VIEW_LIT("\5\0\5\1\0\1"), false },
        { "socks5://p", VIEW_LIT("\5\0\5\2\0\1"), false },
        { "socks5://p", VIEW_LIT("\5\0\5\3\0\1"), true },
        { "socks5://p", VIEW_LIT("\5\0\5\4\0\1"), true },
        { "socks5://p", VIEW_LIT("\5\0\5\5\0\1"), true },
        { "socks5://p", VIEW_LIT("\5\0\5\6\0\1"), true },
        { "socks5://p", VIEW_LIT("\5\0\5\7\0\1"), false },
        { "socks5://p", VIEW_LIT("\5\xff"), false },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct rpc_proxy proxy;
        struct rpc_proxy_talk talk;
        struct view rest = cases[i].answer;
        enum rpc_proxy_step step = RPC_PROXY_MORE;
        _buf_ said = { 0 };
        struct err err;

        CHECK(rpc_proxy_read(cases[i].proxy, &proxy, &err));
        rpc_proxy_begin(&talk, &proxy, "h", 443, &said);
        while (step == RPC_PROXY_MORE && rest.len) {
            size_t n = talk.wanted < rest.len ? talk.wanted : rest.len;
            step = rpc_proxy_input(&talk, view_sub(rest, 0, n), &said, &err);
            rest = view_sub(rest, n, rest.len);
        }
        CHECK_U64(step, RPC_PROXY_REFUSED);
        CHECK(talk.is_beyond == cases[i].is_beyond);
        rpc_proxy_end(&talk);
    }
}

TEST(an_answer_without_end_is_refused)
{
    static uint8_t endless[RPC_PROXY_MAX_ANSWER + 10];
    struct err err = { 0 };
    _buf_ said = { 0 };
    size_t left;

    memset(endless, 'x', sizeof(endless));
    CHECK_U64(talk_to("http://p", "h", VIEW_ARR(endless), &said, &left, &err), RPC_PROXY_REFUSED);
    CHECK_U64(left, 10);
}

TEST(socks5_is_said_and_its_answers_read)
{
    static const struct {
        const char *proxy, *host;
        struct view answer, said;
        enum rpc_proxy_step step;
        size_t left;
        const char *why;
    } cases[] = {
        { "socks5://p", "10.1.2.3", VIEW_LIT("\5\0\5\0\0\1\0\0\0\0\0\0T"),
          VIEW_LIT("\5\1\0\5\1\0\1\x0a\1\2\3\1\xbb"), RPC_PROXY_THROUGH, 1, "" },
        { "socks5://u:pw@p", "h.example", VIEW_LIT("\5\2\1\0\5\0\0\3\4name\0\0"),
          VIEW_LIT("\5\2\0\2\1\1u\2pw\5\1\0\3\x09h.example\1\xbb"), RPC_PROXY_THROUGH, 0, "" },
        { "socks5://u:pw@p", "h", VIEW_LIT("\5\0\5\5\0\1"), VIEW_LIT("\5\2\0\2\5\1\0\3\1h\1\xbb"),
          RPC_PROXY_REFUSED, 0, "the host refused the connection" },
        { "socks5://u:pw@p", "h", VIEW_LIT("\5\2\1\1"), VIEW_LIT("\5\2\0\2\1\1u\2pw"),
          RPC_PROXY_REFUSED, 0, "user or password is wrong" },
        { "socks5://p", "h", VIEW_LIT("\5\2"), VIEW_LIT("\5\1\0"), RPC_PROXY_REFUSED, 0,
          "another proof" },
        { "socks5://p", "h", VIEW_LIT("\5\xff"), VIEW_LIT("\5\1\0"), RPC_PROXY_REFUSED, 0,
          "another proof" },
        { "socks5://p", "h", VIEW_LIT("HT"), VIEW_LIT("\5\1\0"), RPC_PROXY_REFUSED, 0,
          "does not speak SOCKS5" },
        { "socks5://p", "h", VIEW_LIT("\5\0\5\0\0\7\0"), VIEW_LIT("\5\1\0\5\1\0\3\1h\1\xbb"),
          RPC_PROXY_REFUSED, 1, "malformed" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct err err = { 0 };
        _buf_ said = { 0 };
        size_t left;
        CHECK_U64(talk_to(cases[i].proxy, cases[i].host, cases[i].answer, &said, &left, &err),
                  cases[i].step);
        CHECK_VIEW(buf_view(&said), cases[i].said);
        CHECK_U64(left, cases[i].left);
        if (!CHECK(strstr(err.text, cases[i].why)))
            check_failed(__FILE__, __LINE__, "case %zu: %s", i, err.text);
    }
}
