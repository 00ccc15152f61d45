/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/join.h"
#include "base/text.h"

#include <arpa/inet.h>

static const char scheme[] = "warren://";
static const char token_word[] = "wt1";
static const char crockford[] = "0123456789abcdefghjkmnpqrstvwxyz";
enum { TOKEN_DIGITS = 26, PIN_DIGITS = 2 * HASH_SIZE };

/* Where reading stands. `bad_at` is the offset of the first wrong character, `wanted` what should
 * stand there. */
struct reader {
    struct view text;
    size_t at, bad_at;
    const char *wanted;
};

static bool bad(struct reader *r, size_t at, const char *wanted)
{
    r->bad_at = at;
    r->wanted = wanted;
    return false;
}

/* The character at the cursor; NUL at the end (no text of ours contains one). */
static char peek(const struct reader *r)
{
    return r->at < r->text.len ? (char)r->text.data[r->at] : '\0';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '.';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool take_char(struct reader *r, char c, const char *wanted)
{
    if (r->at >= r->text.len || peek(r) != c)
        return bad(r, r->at, wanted);
    r->at++;
    return true;
}

static bool read_ipv6(struct reader *r, char to[256])
{
    size_t start = r->at, used = 0;
    struct in6_addr address;

    while (is_digit(peek(r)) || (lower(peek(r)) >= 'a' && lower(peek(r)) <= 'f') ||
           peek(r) == ':' || peek(r) == '.') {
        if (used == INET6_ADDRSTRLEN)
            return bad(r, start, "an IPv6 address");
        to[used++] = lower(peek(r));
        r->at++;
    }
    if (!take_char(r, ']', "an IPv6 address and ']'"))
        return false;
    to[used] = '\0';
    return inet_pton(AF_INET6, to, &address) == 1 || bad(r, start, "an IPv6 address");
}

/* RFC 1123: labels of letters, digits and inner hyphens. A last label of digits alone makes it an
 * IPv4 address. */
static bool is_host(const char *host)
{
    struct in_addr address;
    size_t label = 0, n_digits = 0;

    for (const char *c = host; *c; c++) {
        if (*c == '.') {
            if (label == 0 || c[-1] == '-')
                return false;
            label = n_digits = 0;
            continue;
        }
        if ((label == 0 && *c == '-') || ++label > 63)
            return false;
        n_digits += is_digit(*c);
    }
    if (label == 0 || host[strlen(host) - 1] == '-')
        return false;
    return n_digits < label || inet_pton(AF_INET, host, &address) == 1;
}

static bool read_name(struct reader *r, char to[256])
{
    size_t start = r->at, used = 0;

    for (; is_name_char(lower(peek(r))); r->at++) {
        if (used == 253)
            return bad(r, r->at, "a host name of at most 253 characters");
        to[used++] = lower(peek(r));
    }
    to[used] = '\0';
    if (used == 0)
        return bad(r, start, "a host name or address");
    return is_host(to) || bad(r, start, "a host name or address");
}

static bool read_port(struct reader *r, uint16_t *ret_port)
{
    static const char wanted[] = "a port from 1 to 65535";
    size_t start = r->at;
    uint32_t port = 0;

    for (; is_digit(peek(r)); r->at++) {
        port = port * 10 + (uint32_t)(peek(r) - '0');
        if (port > UINT16_MAX || (r->at == start && port == 0))
            return bad(r, start, wanted);
    }
    if (r->at == start)
        return bad(r, start, wanted);
    *ret_port = (uint16_t)port;
    return true;
}

static bool read_host(struct reader *r, struct rpc_join_host *host)
{
    host->port = RPC_DEFAULT_PORT;
    if (peek(r) == '[') {
        r->at++;
        if (!read_ipv6(r, host->host))
            return false;
    } else if (!read_name(r, host->host)) {
        return false;
    }
    if (peek(r) != ':')
        return true;
    r->at++;
    return read_port(r, &host->port);
}

static bool read_hosts(struct reader *r, struct rpc_join *join)
{
    for (;;) {
        if (!read_host(r, &join->hosts[join->n_hosts]))
            return false;
        join->n_hosts++;
        if (peek(r) != ',')
            return take_char(r, '/', "':', ',' or '/' and the network's name");
        if (join->n_hosts == RPC_JOIN_HOSTS)
            return bad(r, r->at, "'/': at most four hosts");
        r->at++;
    }
}

static bool read_network(struct reader *r, struct rpc_join *join)
{
    size_t start = r->at;
    struct view name;

    while (is_name_char(peek(r)))
        r->at++;
    name = view_sub(r->text, start, r->at - start);
    if (r->at < r->text.len && peek(r) != '#')
        return bad(r, r->at, "a lower-case letter, digit, '-', '.' or '#'");
    if (!text_is_network(name))
        return bad(r, start, "a network's name such as corp.example");
    memcpy(join->network, name.data, name.len);
    join->network[name.len] = '\0';
    return take_char(r, '#', "'#' and the root's fingerprint");
}

static bool read_pin(struct reader *r, struct rpc_join *join)
{
    size_t start = r->at;

    while (r->at - start < PIN_DIGITS) {
        char c = peek(r);
        if (!is_digit(c) && !(c >= 'a' && c <= 'f'))
            return bad(r, r->at, "one of the fingerprint's 64 lower-case hexadecimal digits");
        r->at++;
    }
    return text_read_hex(view_sub(r->text, start, PIN_DIGITS), join->pin, HASH_SIZE);
}

static bool read_token(struct reader *r, struct rpc_join *join)
{
    static const char wanted[] = "one of the token's 26 digits";
    struct view digits;
    size_t bad_at;

    if (r->at == r->text.len)
        return true;
    if (!take_char(r, '.', "'.' and a token, or the end"))
        return false;
    for (const char *c = token_word; *c; c++) {
        if (!take_char(r, *c, "a token: it starts with wt1"))
            return false;
    }
    digits = view_sub(r->text, r->at, TOKEN_DIGITS);
    for (size_t end = r->at + TOKEN_DIGITS; r->at < end; r->at++) {
        if (r->at >= r->text.len || !strchr(crockford, peek(r)))
            return bad(r, r->at, wanted);
    }
    if (!text_read_base32(digits, join->token, RPC_TOKEN, &bad_at)) /* bits left over in the last */
        return bad(r, r->at - 1, wanted);
    join->has_token = true;
    return r->at == r->text.len || bad(r, r->at, "the end");
}

static bool read_all(struct reader *r, struct rpc_join *join)
{
    if (r->text.len > RPC_JOIN_MAX)
        return bad(r, RPC_JOIN_MAX, "the end: at most 512 characters");
    for (const char *c = scheme; *c; c++) {
        if (!take_char(r, *c, "warren://"))
            return false;
    }
    return read_hosts(r, join) && read_network(r, join) && read_pin(r, join) && read_token(r, join);
}

bool rpc_join_read(struct view text, struct rpc_join *ret_join, struct err *err)
{
    struct reader r = { .text = text };
    struct rpc_join join = { 0 };

    if (!read_all(&r, &join)) {
        rpc_join_wipe(&join);
        return err_set(err, ERR_INVALID_ARGUMENT, "join string: column %zu: expected %s",
                       r.bad_at + 1, r.wanted);
    }
    *ret_join = join;
    rpc_join_wipe(&join);
    return true;
}

bool rpc_join_check_host(struct view text, struct err *err)
{
    struct rpc_join_host ignored;

    return rpc_join_read_host(text, &ignored, err);
}

bool rpc_join_read_host(struct view text, struct rpc_join_host *ret_host, struct err *err)
{
    struct reader r = { .text = text };
    struct rpc_join_host host = { 0 };

    if (read_host(&r, &host) && r.at == text.len) {
        *ret_host = host;
        return true;
    }
    if (!r.wanted)
        bad(&r, r.at, "the end");
    return err_set(err, ERR_INVALID_ARGUMENT, "host: column %zu: expected %s", r.bad_at + 1,
                   r.wanted);
}

void rpc_join_write(const struct rpc_join *join, struct buf *to)
{
    buf_put_text(to, scheme);
    for (size_t i = 0; i < join->n_hosts; i++) {
        const struct rpc_join_host *host = &join->hosts[i];
        bool is_ipv6 = strchr(host->host, ':') != NULL;
        buf_printf(to, "%s%s%s%s", i ? "," : "", is_ipv6 ? "[" : "", host->host,
                   is_ipv6 ? "]" : "");
        if (host->port != RPC_DEFAULT_PORT)
            buf_printf(to, ":%u", host->port);
    }
    buf_printf(to, "/%s#", join->network);
    text_put_hex(to, VIEW_ARR(join->pin));
    if (!join->has_token)
        return;
    buf_put_text(to, ".");
    rpc_token_write(join->token, to);
}

void rpc_token_write(const uint8_t token[RPC_TOKEN], struct buf *to)
{
    buf_put_text(to, token_word);
    text_put_base32(to, VIEW(token, RPC_TOKEN));
}

void rpc_join_wipe(struct rpc_join *join)
{
    mem_wipe(join, sizeof(*join));
}

struct key *rpc_token_key(const uint8_t token[RPC_TOKEN])
{
    static const char label[] = "warren/1 token"; /* its NUL counts */
    uint8_t bytes[sizeof(label) + RPC_TOKEN], seed[SEED_SIZE];
    struct key *key;

    memcpy(bytes, label, sizeof(label));
    memcpy(bytes + sizeof(label), token, RPC_TOKEN);
    hash_blake2b(VIEW_ARR(bytes), seed);
    key = key_from_seed(seed);
    mem_wipe(bytes, sizeof(bytes));
    mem_wipe(seed, sizeof(seed));
    return key;
}
