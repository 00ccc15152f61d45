/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/proxy.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <strings.h>

enum { HTTP_PORT = 8080, SOCKS_PORT = 1080 };
enum { WAIT_HTTP, WAIT_METHOD, WAIT_AUTH, WAIT_REPLY, WAIT_LENGTH, WAIT_BOUND };
enum { NET_UNREACHABLE = 3, TOO_LONG = 6 }; /* of SOCKS5's replies: the host is at fault */
enum { SOCKS5 = 5, NO_AUTH = 0, PASSWORD = 2, CONNECT = 1, IPV4 = 1, NAME = 3, IPV6 = 4 };

/* ---- where it is --------------------------------------------------------------------------------- */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode(struct view from, char *to, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < from.len; i++) {
        int c = from.data[i];
        if (c == '%') {
            if (i + 2 >= from.len || hex_digit(from.data[i + 1]) < 0 ||
                hex_digit(from.data[i + 2]) < 0)
                return false;
            c = hex_digit(from.data[i + 1]) << 4 | hex_digit(from.data[i + 2]);
            i += 2;
        }
        if (c == 0 || n + 1 >= size)
            return false;
        to[n++] = (char)c;
    }
    to[n] = '\0';
    return true;
}

static bool take_scheme(struct view *rest, struct rpc_proxy *proxy)
{
    static const struct {
        const char *text;
        enum rpc_proxy_kind kind;
        uint16_t port;
    } schemes[] = { { "http://", RPC_PROXY_HTTP, HTTP_PORT },
                    { "socks5://", RPC_PROXY_SOCKS5, SOCKS_PORT },
                    { "socks5h://", RPC_PROXY_SOCKS5, SOCKS_PORT } };

    proxy->kind = RPC_PROXY_HTTP;
    proxy->port = HTTP_PORT;
    for (size_t i = 0; i < N_ELEMENTS(schemes); i++) {
        size_t len = strlen(schemes[i].text);
        if (rest->len < len || strncasecmp((const char *)rest->data, schemes[i].text, len) != 0)
            continue;
        proxy->kind = schemes[i].kind;
        proxy->port = schemes[i].port;
        *rest = view_sub(*rest, len, rest->len);
        return true;
    }
    return !memmem(rest->data, rest->len, "://", 3);
}

static bool take_user(struct view *rest, struct rpc_proxy *proxy)
{
    const uint8_t *at = memrchr(rest->data, '@', rest->len), *colon;
    struct view user, password = { 0 };

    if (!at)
        return true;
    user = view_sub(*rest, 0, (size_t)(at - rest->data));
    *rest = view_sub(*rest, user.len + 1, rest->len);
    colon = memchr(user.data, ':', user.len);
    if (colon) {
        password = view_sub(user, (size_t)(colon - user.data) + 1, user.len);
        user = view_sub(user, 0, (size_t)(colon - user.data));
    }
    return decode(user, proxy->user, sizeof(proxy->user)) && proxy->user[0] != '\0' &&
           decode(password, proxy->password, sizeof(proxy->password));
}

static bool take_host(struct view rest, struct rpc_proxy *proxy)
{
    const uint8_t *colon;
    struct view host = rest;
    uint64_t port;

    if (rest.len && rest.data[rest.len - 1] == '/')
        host = rest = view_sub(rest, 0, rest.len - 1);
    colon = memrchr(rest.data, ':', rest.len);
    if (colon && !memchr(colon, ']', rest.len - (size_t)(colon - rest.data))) {
        host = view_sub(rest, 0, (size_t)(colon - rest.data));
        if (!text_read_u64(view_sub(rest, host.len + 1, rest.len), &port) || port < 1 ||
            port > UINT16_MAX)
            return false;
        proxy->port = (uint16_t)port;
    }
    if (host.len >= 2 && host.data[0] == '[' && host.data[host.len - 1] == ']')
        host = view_sub(host, 1, host.len - 2);
    else if (memchr(host.data, ':', host.len))
        return false;
    for (size_t i = 0; i < host.len; i++) {
        if (host.data[i] <= ' ' || host.data[i] > '~' || host.data[i] == '/')
            return false;
    }
    return host.len > 0 && decode(host, proxy->host, sizeof(proxy->host));
}

bool rpc_proxy_read(const char *text, struct rpc_proxy *ret_proxy, struct err *err)
{
    struct rpc_proxy proxy = { 0 };
    struct view rest = view_text(text);

    if (rest.len && (!take_scheme(&rest, &proxy) || !rest.len || !take_user(&rest, &proxy) ||
                     !rest.len || !take_host(rest, &proxy)))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "proxy: expected http:// or socks5:// with [USER:PASSWORD@]HOST:PORT");
    *ret_proxy = proxy;
    return true;
}

static const char *first_of(char *(*get)(const char *name), const char *const *names)
{
    for (; *names; names++) {
        const char *value = get(*names);
        if (value && *value)
            return value;
    }
    return NULL;
}

bool rpc_proxy_from_environment(char *(*get)(const char *name), struct rpc_proxy *ret_proxy,
                                struct err *err)
{
    static const char *const where[] = { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
                                         NULL };
    static const char *const except[] = { "no_proxy", "NO_PROXY", NULL };
    const char *text = first_of(get, where), *names = first_of(get, except);
    struct rpc_proxy proxy;

    if (!rpc_proxy_read(text ? text : "", &proxy, err))
        return err_wrap(err, "the environment's https_proxy or all_proxy");
    if (names && strlen(names) >= sizeof(proxy.except))
        return err_set(err, ERR_INVALID_ARGUMENT, "the environment's no_proxy: %zu bytes or more",
                       sizeof(proxy.except));
    if (names)
        memcpy(proxy.except, names, strlen(names) + 1);
    *ret_proxy = proxy;
    return true;
}

static bool is_loopback(const char *host)
{
    return strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
           strcmp(host, "::1") == 0;
}

/* The host itself, or one below the domain. */
static bool matches(const char *name, size_t len, const char *host)
{
    size_t n = strlen(host);

    while (len && *name == '.')
        name++, len--;
    if (len && name[0] == '[' && name[len - 1] == ']')
        name++, len -= 2;
    if (len == 1 && *name == '*')
        return true;
    return len && n >= len && strncasecmp(host + n - len, name, len) == 0 &&
           (n == len || host[n - len - 1] == '.');
}

bool rpc_proxy_is_for(const struct rpc_proxy *proxy, const char *host)
{
    const char *at = proxy->except;

    if (proxy->kind == RPC_PROXY_NONE || is_loopback(host))
        return false;
    while (*at) {
        size_t len = strcspn(at, ", \t");
        if (matches(at, len, host))
            return false;
        at += len;
        at += strspn(at, ", \t");
    }
    return true;
}

/* ---- HTTP ---------------------------------------------------------------------------------------- */

static void put_base64(struct buf *to, struct view from)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < from.len; i += 3) {
        size_t n = from.len - i < 3 ? from.len - i : 3;
        uint32_t word = (uint32_t)from.data[i] << 16;
        word |= n > 1 ? (uint32_t)from.data[i + 1] << 8 : 0;
        word |= n > 2 ? from.data[i + 2] : 0;
        for (size_t k = 0; k < 4; k++)
            buf_put_u8(to, k <= n ? (uint8_t)digits[word >> (18 - 6 * k) & 63] : '=');
    }
}

static void say_connect(const struct rpc_proxy_talk *talk, struct buf *out)
{
    const struct rpc_proxy *proxy = talk->proxy;
    bool is_ipv6 = strchr(talk->host, ':') != NULL;
    _free_ char *where =
        mem_format(is_ipv6 ? "[%s]:%u" : "%s:%u", talk->host, (unsigned)talk->port);
    _buf_wipe_ pair = { 0 };

    buf_printf(out, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", where, where);
    if (proxy->user[0]) {
        buf_printf(&pair, "%s:%s", proxy->user, proxy->password);
        buf_put_text(out, "Proxy-Authorization: Basic ");
        put_base64(out, buf_view(&pair));
        buf_put_text(out, "\r\n");
    }
    buf_put_text(out, "\r\n");
}

static enum rpc_proxy_step refused(const struct rpc_proxy_talk *talk, struct err *err,
                                   const char *what)
{
    err_set(err, ERR_NETWORK_FAILURE, "the proxy %s port %u: %s", talk->proxy->host,
            (unsigned)talk->proxy->port, what);
    return RPC_PROXY_REFUSED;
}

/* A byte at a time: what follows the empty line is the host's. */
static enum rpc_proxy_step take_http(struct rpc_proxy_talk *talk, struct err *err)
{
    struct view answer = buf_view(&talk->answer);
    char what[100], line[64] = "";
    unsigned status = 0;

    if (answer.len < 4 || memcmp(answer.data + answer.len - 4, "\r\n\r\n", 4) != 0)
        return answer.len < RPC_PROXY_MAX_ANSWER ? RPC_PROXY_MORE
                                                 : refused(talk, err, "its answer has no end");
    snprintf(line, sizeof(line), "%.*s", VIEW_FMT(view_sub(answer, 0, sizeof(line) - 1)));
    line[strcspn(line, "\r\n")] = '\0';
    if (sscanf(line, "HTTP/1.%*1[01] %3u", &status) != 1)
        return refused(talk, err, "it does not speak HTTP/1.1");
    if (status >= 200 && status < 300)
        return RPC_PROXY_THROUGH;
    for (char *c = line; *c; c++)
        *c = *c < ' ' || *c > '~' ? '?' : *c;
    talk->is_beyond = status >= 502 && status <= 504; /* a gateway's own words for that */
    snprintf(what, sizeof(what), "it answered %s", line + strcspn(line, " ") + 1);
    return refused(talk, err, what);
}

/* ---- SOCKS5 -------------------------------------------------------------------------------------- */

static enum rpc_proxy_step expect(struct rpc_proxy_talk *talk, unsigned state, size_t n)
{
    buf_clear(&talk->answer);
    talk->state = state;
    talk->wanted = n;
    return RPC_PROXY_MORE;
}

static void say_methods(const struct rpc_proxy_talk *talk, struct buf *out)
{
    buf_put_u8(out, SOCKS5);
    buf_put_u8(out, talk->proxy->user[0] ? 2 : 1);
    buf_put_u8(out, NO_AUTH);
    if (talk->proxy->user[0])
        buf_put_u8(out, PASSWORD);
}

static enum rpc_proxy_step say_password(struct rpc_proxy_talk *talk, struct buf *out)
{
    struct view user = view_text(talk->proxy->user), password = view_text(talk->proxy->password);

    buf_put_u8(out, 1);
    buf_put_u8(out, (uint8_t)user.len);
    buf_put(out, user);
    buf_put_u8(out, (uint8_t)password.len);
    buf_put(out, password);
    return expect(talk, WAIT_AUTH, 2);
}

static enum rpc_proxy_step say_request(struct rpc_proxy_talk *talk, struct buf *out)
{
    uint8_t address[16];

    buf_put_u8(out, SOCKS5);
    buf_put_u8(out, CONNECT);
    buf_put_u8(out, 0);
    if (inet_pton(AF_INET, talk->host, address) == 1) {
        buf_put_u8(out, IPV4);
        buf_put(out, VIEW(address, 4));
    } else if (inet_pton(AF_INET6, talk->host, address) == 1) {
        buf_put_u8(out, IPV6);
        buf_put(out, VIEW(address, 16));
    } else {
        buf_put_u8(out, NAME);
        buf_put_u8(out, (uint8_t)strlen(talk->host));
        buf_put_text(out, talk->host);
    }
    buf_put_u16(out, talk->port);
    return expect(talk, WAIT_REPLY, 4);
}

static const char *socks_reply(uint8_t code)
{
    static const char *const texts[] = {
        "",
        "it failed",
        "its rules do not allow the connection",
        "the network cannot be reached from there",
        "the host cannot be reached from there",
        "the host refused the connection",
        "the connection took too long",
        "it does not do CONNECT",
        "it does not know this kind of address",
    };

    return code < N_ELEMENTS(texts) ? texts[code] : "it refused";
}

/* Then comes the address that it bound, and the port. */
static enum rpc_proxy_step take_reply(struct rpc_proxy_talk *talk, const uint8_t *b,
                                      struct err *err)
{
    if (b[0] != SOCKS5)
        return refused(talk, err, "it does not speak SOCKS5");
    talk->is_beyond = b[1] >= NET_UNREACHABLE && b[1] <= TOO_LONG;
    if (b[1] != 0)
        return refused(talk, err, socks_reply(b[1]));
    if (b[3] == NAME)
        return expect(talk, WAIT_LENGTH, 1);
    if (b[3] != IPV4 && b[3] != IPV6)
        return refused(talk, err, "its answer is malformed");
    return expect(talk, WAIT_BOUND, b[3] == IPV4 ? 4 + 2 : 16 + 2);
}

static enum rpc_proxy_step take_socks(struct rpc_proxy_talk *talk, struct buf *out, struct err *err)
{
    const uint8_t *b = talk->answer.data;

    switch (talk->state) {
    case WAIT_METHOD:
        if (b[0] != SOCKS5)
            return refused(talk, err, "it does not speak SOCKS5");
        if (b[1] == PASSWORD && talk->proxy->user[0])
            return say_password(talk, out);
        return b[1] == NO_AUTH ? say_request(talk, out)
                               : refused(talk, err, "it wants another proof than was configured");
    case WAIT_AUTH:
        return b[1] == 0 ? say_request(talk, out) : refused(talk, err, "user or password is wrong");
    case WAIT_REPLY:
        return take_reply(talk, b, err);
    case WAIT_LENGTH:
        return expect(talk, WAIT_BOUND, b[0] + 2u);
    default:
        return RPC_PROXY_THROUGH;
    }
}

/* ---- both ---------------------------------------------------------------------------------------- */

void rpc_proxy_begin(struct rpc_proxy_talk *talk, const struct rpc_proxy *proxy, const char *host,
                     uint16_t port, struct buf *out)
{
    *talk = (struct rpc_proxy_talk){ .proxy = proxy, .host = host, .port = port };
    if (proxy->kind == RPC_PROXY_HTTP) {
        say_connect(talk, out);
        expect(talk, WAIT_HTTP, 1);
    } else {
        say_methods(talk, out);
        expect(talk, WAIT_METHOD, 2);
    }
}

enum rpc_proxy_step rpc_proxy_input(struct rpc_proxy_talk *talk, struct view came, struct buf *out,
                                    struct err *err)
{
    assert(came.len <= talk->wanted);
    buf_put(&talk->answer, came);
    talk->wanted -= came.len;
    if (talk->wanted)
        return RPC_PROXY_MORE;
    if (talk->state != WAIT_HTTP)
        return take_socks(talk, out, err);
    talk->wanted = 1;
    return take_http(talk, err);
}

void rpc_proxy_end(struct rpc_proxy_talk *talk)
{
    buf_free(&talk->answer);
}
