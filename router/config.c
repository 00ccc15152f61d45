/* SPDX-License-Identifier: Apache-2.0 */
#include "router/config.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "router/sources.h"
#include "rpc/rpc.h"

#include <stdarg.h>
#include <stdio.h>

#define ROW(...) CONF_ROW(struct router_config, __VA_ARGS__)
static const struct conf_option options[] = { ROUTER_OPTIONS(ROW) };

/* Numbers that make no sense outside of these bounds, though their type allows them. */
struct range {
    const char *name;
    size_t offset;
    uint64_t least, most;
};
#define RANGE(name, least, most)                                                                   \
    {                                                                                              \
#name, offsetof(struct router_config, name), (least), (most)                               \
    }
static const struct range ranges[] = {
    RANGE(handshake_timeout, 100, MINUTE_MS * 10),
    RANGE(admission_stale, MINUTE_MS, DAY_MS * 365),
    RANGE(call_timeout, 100, HOUR_MS),
    RANGE(drain_timeout, 0, HOUR_MS),
    RANGE(max_connections, 0, 1000000),
    RANGE(max_per_address, 0, 1000000),
    RANGE(max_connection_rate, 0, 1000000),
    RANGE(max_unauthenticated, 0, 1000000),
    RANGE(max_guests, 0, 1000000),
    RANGE(penalty_authentication, 0, DAY_MS),
    RANGE(penalty_silence, 0, DAY_MS),
    RANGE(penalty_protocol, 0, DAY_MS),
    RANGE(penalty_least, 0, DAY_MS),
    RANGE(penalty_most, 0, DAY_MS),
    RANGE(max_penalties, 16, 10000000),
    RANGE(max_message_before, 4096, RPC_MAX_MESSAGE),
    RANGE(max_message, RPC_MAX_MESSAGE_BEFORE_AUTH, RPC_MAX_MESSAGE),
    RANGE(max_fragments, 1, 1000000),
    RANGE(max_control_rate, 0, 1024 * 1024 * 1024),
    RANGE(stall_timeout, 10 * SECOND_MS, HOUR_MS),
    RANGE(max_queue, 64 * 1024, 1024 * 1024 * 1024),
    RANGE(max_pending_calls, 1, 1000000),
    RANGE(max_registrations, 1, 1000000),
    RANGE(max_subscriptions, 1, 1000000),
    RANGE(max_request_rate, 0, 1000000000),
    RANGE(max_testaments, 0, 1000),
    RANGE(max_retained, 0, 1000000),
    RANGE(max_retained_size, 0, (uint64_t)16 * 1024 * 1024 * 1024),
    RANGE(max_grants, 1, 10000000),
    RANGE(guest_request_rate, 0, 1000000),
    RANGE(guest_pending_calls, 0, 1000000),
    RANGE(guest_registrations, 0, 1000000),
    RANGE(guest_subscriptions, 0, 1000000),
    RANGE(relay_unpaired_timeout, SECOND_MS, HOUR_MS),
    RANGE(max_relay_sessions, 1, 1000000),
    RANGE(max_relay_queue, 16 * 1024, 64 * 1024 * 1024),
    RANGE(max_relay_session_rate, 0, (uint64_t)1 << 40),
    RANGE(max_relay_session_bytes, 0, (uint64_t)1 << 60),
    RANGE(max_relay_peer_rate, 0, (uint64_t)1 << 40),
    RANGE(max_relay_peer_bytes, 0, (uint64_t)1 << 60),
    RANGE(stun_other_port, 0, 65535),
    RANGE(max_stun_rate, 0, 1000000),
    RANGE(max_stun_total, 0, 1000000),
    RANGE(max_lookups, 0, 10000),
    RANGE(max_lookups_network, 0, 10000),
};

bool router_config_log_level(const char *text, enum log_level *ret_level)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };

    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool router_config_listen(const char *listen, char **ret_host, uint16_t *ret_port)
{
    const char *colon = strrchr(listen, ':');
    struct view host;
    uint64_t port;

    if (!colon || !text_read_u64(view_text(colon + 1), &port) || port > 65535)
        return false;
    host = VIEW(listen, (size_t)(colon - listen));
    if (host.len >= 2 && host.data[0] == '[' && host.data[host.len - 1] == ']')
        host = view_sub(host, 1, host.len - 2);
    else if (host.len == 0 || memchr(host.data, ':', host.len))
        return false;
    *ret_host = view_eq_text(host, "*") ? NULL : view_dup_text(host);
    *ret_port = (uint16_t)port;
    return true;
}

bool router_config_hashes(const char *text, uint8_t (*to)[32], size_t max, size_t *ret_n)
{
    struct view left = view_text(text);
    size_t n = 0;

    while (left.len) {
        const uint8_t *space = memchr(left.data, ' ', left.len);
        size_t len = space ? (size_t)(space - left.data) : left.len;
        if (len && (n == max || !text_read_hex(view_sub(left, 0, len), to[n++], 32)))
            return false;
        left = view_sub(left, len + 1, left.len);
    }
    *ret_n = n;
    return true;
}

static bool is_loopback(const char *host)
{
    return host && (strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0);
}

/* The file being checked, so that an error can name the line. */
struct config_source {
    const char *name;
    struct view text;
    struct buf *all; /* a line per error */
};

static bool bad(const struct config_source *source, const char *key, struct err *err,
                const char *fmt, ...) _printf_(4, 5);
static bool bad(const struct config_source *source, const char *key, struct err *err,
                const char *fmt, ...)
{
    _free_ char *where =
        mem_format("%s:%u: %s: ", source->name, conf_line_of(source->text, key), key);
    char what[200];
    struct err one;
    va_list args;

    if (strstr(buf_cstr(source->all), where)) /* not even read: that was said */
        return false;
    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    err_set(&one, ERR_BAD_CONFIG, "%s%s", where, what);
    buf_printf(source->all, "%s\n", one.text);
    if (err->code == ERR_NONE)
        *err = one;
    return false;
}

/* Without TLS nothing leaves this machine. */
static bool check_plain(const struct config_source *source, const struct router_config *config,
                        struct err *err)
{
    uint8_t hashes[ROUTER_MAX_PROXIES][32];
    _free_ char *host = NULL;
    bool ok = true;
    uint16_t port;
    size_t n;

    if (config->listen_plain &&
        (!router_config_listen(config->listen_plain, &host, &port) || !is_loopback(host)))
        ok = bad(source, "listen_plain", err, "expected 127.0.0.1:PORT or [::1]:PORT, found \"%s\"",
                 config->listen_plain);
    if (config->forwarded_for && !config->listen_plain)
        ok = bad(source, "forwarded_for", err, "there is no listen_plain for a proxy");
    if (config->proxy_certificates &&
        !router_config_hashes(config->proxy_certificates, hashes, ROUTER_MAX_PROXIES, &n))
        ok = bad(source, "proxy_certificates", err,
                 "expected at most %d times 64 hexadecimal digits", ROUTER_MAX_PROXIES);
    return ok;
}

static bool check_metrics(const struct config_source *source, const struct router_config *config,
                          struct err *err)
{
    _free_ char *host = NULL;
    uint16_t port;

    return !config->metrics || router_config_listen(config->metrics, &host, &port) ||
           bad(source, "metrics", err, "expected ADDRESS:PORT, [IPv6]:PORT or *:PORT, found \"%s\"",
               config->metrics);
}

static bool check_stun(const struct config_source *source, const struct router_config *config,
                       struct err *err)
{
    _free_ char *host = NULL, *told = NULL;
    uint16_t port = 0, told_port;
    bool ok = true;

    if (config->stun && strcmp(config->stun, "no") != 0 &&
        !router_config_listen(config->stun, &host, &port))
        ok = bad(source, "stun", err,
                 "expected ADDRESS:PORT, [IPv6]:PORT, *:PORT or no, found \"%s\"", config->stun);
    if (config->stun_other_port && config->stun_other_port == port &&
        port != CONFIG_STUN_OTHER_PORT) /* there is none then */
        ok = bad(source, "stun_other_port", err, "the port of stun itself");
    if (config->stun_host &&
        !conf_split_address(view_text(config->stun_host), 0, &told, &told_port))
        ok = bad(source, "stun_host", err, "expected HOST:PORT or [IPv6]:PORT, found \"%s\"",
                 config->stun_host);
    return ok;
}

static bool check_logs(const struct config_source *source, const struct router_config *config,
                       struct err *err)
{
    enum log_format format;
    enum log_level level;
    bool ok = true;

    if (config->log_level && !router_config_log_level(config->log_level, &level))
        ok = bad(source, "log_level", err, "expected debug, info, warn or error, found \"%s\"",
                 config->log_level);
    if (config->log_format && !log_read_format(config->log_format, &format))
        ok = bad(source, "log_format", err, "expected text or json, found \"%s\"",
                 config->log_format);
    return ok;
}

bool router_config_has_origin(const char *origins, struct view origin)
{
    struct view left = view_text(origins ? origins : "");

    while (left.len) {
        const uint8_t *space = memchr(left.data, ' ', left.len);
        size_t len = space ? (size_t)(space - left.data) : left.len;
        struct view one = view_sub(left, 0, len);
        if (one.len && (view_eq_text(one, "*") || view_eq(one, origin)))
            return true;
        left = view_sub(left, len + 1, left.len);
    }
    return false;
}

/* RFC 6454, 6.2: what a browser sends has no path, and nothing in upper case. */
static bool is_origin(struct view text)
{
    static const char after[] = "://";
    size_t at = 0;

    if (view_eq_text(text, "*") || view_eq_text(text, "null"))
        return true;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c <= 0x20 || c > 0x7e || (c >= 'A' && c <= 'Z'))
            return false;
    }
    while (at < text.len && text.data[at] != ':')
        at++;
    return at && view_starts(view_sub(text, at, text.len), view_text(after)) &&
           text.len > at + strlen(after) &&
           !memchr(text.data + at + strlen(after), '/', text.len - at - strlen(after));
}

static bool are_origins(const char *text)
{
    struct view left = view_text(text);

    while (left.len) {
        const uint8_t *space = memchr(left.data, ' ', left.len);
        size_t len = space ? (size_t)(space - left.data) : left.len;
        if (len && !is_origin(view_sub(left, 0, len)))
            return false;
        left = view_sub(left, len + 1, left.len);
    }
    return true;
}

/* Whom the limits are for, and who may come from a web page. */
static bool check_sources(const struct config_source *source, const struct router_config *config,
                          struct err *err)
{
    struct source_network networks[SOURCES_MAX_NETWORKS];
    bool ok = true;
    size_t n;

    if (config->unlimited_networks &&
        !source_networks_read(config->unlimited_networks, networks, &n))
        ok = bad(source, "unlimited_networks", err,
                 "expected at most %d of ADDRESS or ADDRESS/BITS with spaces between, found "
                 "\"%s\"",
                 SOURCES_MAX_NETWORKS, config->unlimited_networks);
    if (config->origins && !are_origins(config->origins))
        ok = bad(source, "origins", err,
                 "expected such as https://console.corp.example with spaces between, without a "
                 "path, found \"%s\"",
                 config->origins);
    if (config->max_message && config->max_message_before > config->max_message)
        ok = bad(source, "max_message_before", err, "more than max_message");
    /* a queue that is not half full takes one more message, or its owner would pay for the sender */
    if (config->max_queue && config->max_message && config->max_queue < 2 * config->max_message)
        ok = bad(source, "max_queue", err, "less than twice max_message");
    return ok;
}

static bool check(const struct config_source *source, const struct router_config *config,
                  struct err *err)
{
    _free_ char *host = NULL;
    bool ok = true;
    uint16_t port;

    for (size_t i = 0; i < N_ELEMENTS(ranges); i++) {
        const struct range *range = &ranges[i];
        uint64_t n = *(const uint64_t *)(const void *)((const char *)config + range->offset);
        if (n < range->least || n > range->most)
            ok = bad(source, range->name, err, "expected %llu to %llu, found %llu",
                     (unsigned long long)range->least, (unsigned long long)range->most,
                     (unsigned long long)n);
    }
    if (config->listen && !router_config_listen(config->listen, &host, &port))
        ok = bad(source, "listen", err,
                 "expected ADDRESS:PORT, [IPv6]:PORT or *:PORT, found \"%s\"", config->listen);
    if (config->echo && !is_loopback(host))
        ok = bad(source, "echo", err,
                 "served on loopback alone: listen is %s, expected 127.0.0.1:PORT or [::1]:PORT",
                 config->listen ? config->listen : "not given");
    ok &= check_logs(source, config, err);
    ok &= check_metrics(source, config, err);
    ok &= check_stun(source, config, err);
    ok &= check_plain(source, config, err);
    return check_sources(source, config, err) && ok;
}

/* "DIR/." is what the default comes to: DIR reads better. */
static void tidy(char *path)
{
    size_t len = strlen(path);

    if (len > 2 && strcmp(path + len - 2, "/.") == 0)
        path[len - 2] = '\0';
}

bool router_config_parse(const char *name, struct view text, struct router_config *config,
                         struct buf *ret_all, struct err *err)
{
    _buf_ none = { 0 };
    struct config_source source = { name, text, ret_all ? ret_all : &none };
    struct err found = { 0 };
    bool ok = conf_parse(name, text, options, N_ELEMENTS(options), config, source.all, &found);

    if (config->state)
        tidy(config->state);
    ok &= check(&source, config, &found);
    if (!ok)
        *err = found;
    return ok;
}

bool router_config_read(const char *path, struct router_config *config, struct buf *ret_all,
                        struct err *err)
{
    _buf_ text = { 0 };

    if (!file_read(path, 256 * 1024, &text, err))
        return err_wrap(err, "configuration");
    return router_config_parse(path, buf_view(&text), config, ret_all, err);
}

void router_config_deinit(struct router_config *config)
{
    conf_deinit(options, N_ELEMENTS(options), config);
}

/* What sockets, tables and folders were made with. */
static bool is_for_start(const char *name)
{
    static const char *const names[] = {
        "listen",
        "listen_plain",
        "forwarded_for",
        "echo",
        "state",
        "metrics",
        "stun",
        "stun_other_port",
        "max_connections",
        "max_message",
        "max_queue",
        "max_message_before",
        "max_fragments",
        "max_control_rate",
        "stall_timeout",
        "max_retained",
        "max_retained_size",
        "max_lookups",
        "max_lookups_network",
    };

    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

void router_config_exchange(struct router_config *config, struct router_config *other,
                            struct buf *ret_ignored)
{
    for (size_t i = 0; i < N_ELEMENTS(options); i++) {
        if (!is_for_start(options[i].name))
            conf_swap(&options[i], config, other);
        else if (!conf_is_same(&options[i], config, other))
            buf_printf(ret_ignored, "%s%s", ret_ignored->len ? " " : "", options[i].name);
    }
}

void router_config_help(struct buf *to)
{
    conf_help(options, N_ELEMENTS(options), to);
}

void router_config_template(const char *host, const char *listen, struct buf *to)
{
    const char *colon = strrchr(host, ':');
    _free_ char *same_port = mem_format("*%s", colon && !strchr(colon, ']') ? colon : ":443");

    if (!listen) /* the port that peers are told is the one to listen on */
        listen = same_port;
    buf_put_text(to,
                 "# router.conf(5) says more. Lines that are commented out show the defaults.\n\n");
    for (size_t i = 0; i < N_ELEMENTS(options); i++) {
        const struct conf_option *option = &options[i];
        buf_printf(to, "# %s\n", option->help);
        if (strcmp(option->name, "host") == 0)
            buf_printf(to, "host = %s\n", host);
        else if (strcmp(option->name, "listen") == 0)
            buf_printf(to, "listen = %s\n", listen);
        else
            buf_printf(to, "#%s = %s\n", option->name, option->fallback);
    }
}
