/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "router/config.h"
#include "tests/check.h"

TEST(the_defaults_are_what_the_manual_says)
{
    struct router_config config = { 0 };
    struct err err = { 0 };

    CHECK_OK(router_config_parse("dir/router.conf", VIEW_LIT("host = rendezvous.example:443\n"),
                                 &config, NULL, &err),
             err);
    CHECK_STR(config.listen, "*:443");
    CHECK_STR(config.state, "dir");
    CHECK_U64(config.handshake_timeout, 10000);
    CHECK_U64(config.call_timeout, 60000);
    CHECK_U64(config.admission_stale, 86400000);
    CHECK_U64(config.max_message, 1024 * 1024);
    CHECK_U64(config.max_pending_calls, 64);
    CHECK_U64(config.max_registrations, 256);
    CHECK_U64(config.max_subscriptions, 256);
    router_config_deinit(&config);
}

TEST(bad_configurations_are_refused_by_line)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        { "", "router.conf: host is missing: expected HOST:PORT or [IPv6]:PORT" },
        { "host = a:1\nhots = b\n", "router.conf:2: unknown key \"hots\"" },
        { "host = a\n", "router.conf:1: host: expected HOST:PORT or [IPv6]:PORT, found \"a\"" },
        { "host = a:1\ncall_timeout = soon\n",
          "router.conf:2: call_timeout: expected a duration such as 500ms, 45s, 10m, 24h or 7d, "
          "found \"soon\"" },
        { "host = a:1\nmax_message = 2MiB\n",
          "router.conf:2: max_message: expected 16384 to 1048576, found 2097152" },
        { "host = a:1\nmax_connections = 1000001\n",
          "router.conf:2: max_connections: expected 0 to 1000000, found 1000001" },
        { "host = a:1\nlisten = nowhere\n", "router.conf:2: listen: expected ADDRESS:PORT, "
                                            "[IPv6]:PORT or *:PORT, found \"nowhere\"" },
        { "host = a:1\nlisten = ::1:443\n", "router.conf:2: listen: expected ADDRESS:PORT, "
                                            "[IPv6]:PORT or *:PORT, found \"::1:443\"" },
        { "host = a:1\nlog_level = loud\n",
          "router.conf:2: log_level: expected debug, info, warn or error, found \"loud\"" },
        { "host = a:1\nlisten_plain = *:80\n",
          "router.conf:2: listen_plain: expected 127.0.0.1:PORT or [::1]:PORT, found \"*:80\"" },
        { "host = a:1\nlisten_plain = 192.0.2.1:80\n",
          "router.conf:2: listen_plain: expected 127.0.0.1:PORT or [::1]:PORT, found "
          "\"192.0.2.1:80\"" },
        { "host = a:1\necho = yes\n",
          "router.conf:2: echo: served on loopback alone: listen is *:443, expected 127.0.0.1:PORT "
          "or [::1]:PORT" },
        { "host = a:1\nlisten = 192.0.2.1:443\necho = yes\n",
          "router.conf:3: echo: served on loopback alone: listen is 192.0.2.1:443, expected "
          "127.0.0.1:PORT or [::1]:PORT" },
        { "host = a:1\nforwarded_for = yes\n",
          "router.conf:2: forwarded_for: there is no listen_plain for a proxy" },
        { "host = a:1\nproxy_certificates = 00ff\n",
          "router.conf:2: proxy_certificates: expected at most 8 times 64 hexadecimal digits" },
        { "host = a:1\nunlimited_networks = 10.0.0.0/8 10.0.0.0/33\n",
          "router.conf:2: unlimited_networks: expected at most 64 of ADDRESS or ADDRESS/BITS with "
          "spaces between, found \"10.0.0.0/8 10.0.0.0/33\"" },
        { "host = a:1\norigins = https://a.example/page\n",
          "router.conf:2: origins: expected such as https://console.corp.example with spaces "
          "between, without a path, found \"https://a.example/page\"" },
        { "host = a:1\nmax_message = 16KiB\nmax_message_before = 32KiB\n",
          "router.conf:3: max_message_before: more than max_message" },
        { "host = a:1\nmax_queue = 1MiB\n",
          "router.conf:2: max_queue: less than twice max_message" },
        { "host = a:1\nstall_timeout = 1s\n",
          "router.conf:2: stall_timeout: expected 10000 to 3600000, found 1000" },
        { "host = a:1\nhost = b:1\n", "router.conf:2: host: given twice" },
        { "host a:1\n", "router.conf:1: expected KEY = VALUE" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct router_config config = { 0 };
        struct err err = { 0 };
        _buf_ all = { 0 };
        CHECK_ERR(router_config_parse("router.conf", view_text(cases[i].text), &config, &all, &err),
                  err, ERR_BAD_CONFIG);
        CHECK_STR(err.text, cases[i].why);
        CHECK(all.len > 0);
        router_config_deinit(&config);
    }
}

TEST(origins_are_compared_whole)
{
    const char *list = "https://a.example  https://b.example:8443 null";

    CHECK(router_config_has_origin(list, VIEW_LIT("https://a.example")));
    CHECK(router_config_has_origin(list, VIEW_LIT("https://b.example:8443")));
    CHECK(router_config_has_origin(list, VIEW_LIT("null")));
    CHECK(!router_config_has_origin(list, VIEW_LIT("https://a.example:8443")));
    CHECK(!router_config_has_origin(list, VIEW_LIT("https://a.example.evil")));
    CHECK(!router_config_has_origin(list, VIEW_LIT("http://a.example")));
    CHECK(!router_config_has_origin(list, VIEW_LIT("")));
    CHECK(!router_config_has_origin(NULL, VIEW_LIT("https://a.example")));
    CHECK(router_config_has_origin("*", VIEW_LIT("https://any.example")));
}

TEST(listen_addresses)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } cases[] = {
        { "*:443", NULL, 443 },
        { "127.0.0.1:0", "127.0.0.1", 0 },
        { "[::1]:7443", "::1", 7443 },
        { "[::]:1", "::", 1 },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _free_ char *host = NULL;
        uint16_t port = 1;
        CHECK(router_config_listen(cases[i].text, &host, &port));
        CHECK((host == NULL) == (cases[i].host == NULL));
        if (host && cases[i].host)
            CHECK_STR(host, cases[i].host);
        CHECK_U64(port, cases[i].port);
    }
}

TEST(the_template_is_a_configuration)
{
    struct router_config config = { 0 };
    struct err err = { 0 };
    _buf_ text = { 0 };

    router_config_template("rendezvous.example:443", "127.0.0.1:0", &text);
    CHECK_OK(router_config_parse("t", buf_view(&text), &config, NULL, &err), err);
    CHECK_STR(config.host, "rendezvous.example:443");
    CHECK_STR(config.listen, "127.0.0.1:0");
    router_config_deinit(&config);
}

/* Every key stands in the manual, and the manual names no key that is not there. */
TEST(the_manual_has_every_key)
{
    _free_ char *path = mem_format("%s/router/router.conf.5", check_source_root());
    struct err err = { 0 };
    _buf_ manual = { 0 };
    const char *at;
    size_t n_in_manual = 0, n_keys = 0;

    CHECK_OK(file_read(path, 256 * 1024, &manual, &err), err);
#define X(name, ...)                                                                               \
    n_keys++;                                                                                      \
    if (!strstr(buf_cstr(&manual), "\n.It Ic " #name "\n"))                                        \
        check_failed(__FILE__, __LINE__, "router.conf(5) lacks %s", #name);
    ROUTER_OPTIONS(X)
#undef X
    for (at = buf_cstr(&manual); (at = strstr(at, "\n.It Ic ")); at++)
        n_in_manual++;
    CHECK_U64(n_in_manual, n_keys);
}
