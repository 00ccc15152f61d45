/* SPDX-License-Identifier: Apache-2.0 */
#include "ice/candidate.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static const char *const kind_names[] = {
    [ICE_HOST] = "host",
    [ICE_SRFLX] = "srflx",
    [ICE_PRFLX] = "prflx",
    [ICE_RELAY] = "relay",
};

const char *ice_kind_name(enum ice_kind kind)
{
    return kind_names[kind];
}

/* The next word up to one space. Two spaces, or one at the end, make an empty word: refused by
 * whoever reads it. */
static struct view take_word(struct view *rest)
{
    const uint8_t *space = rest->len ? memchr(rest->data, ' ', rest->len) : NULL;
    size_t len = space ? (size_t)(space - rest->data) : rest->len;
    struct view word = view_sub(*rest, 0, len);

    *rest = view_sub(*rest, space ? len + 1 : len, rest->len);
    return word;
}

static bool is_ice_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

static bool is_udp(struct view word)
{
    return word.len == 3 && (word.data[0] | 0x20) == 'u' && (word.data[1] | 0x20) == 'd' &&
           (word.data[2] | 0x20) == 'p';
}

static bool read_number(struct view word, uint64_t least, uint64_t most, uint64_t *ret_n)
{
    return word.len <= 10 && text_read_u64(word, ret_n) && *ret_n >= least && *ret_n <= most;
}

static bool copy_text(struct view word, char *to, size_t size)
{
    if (word.len == 0 || word.len >= size)
        return false;
    memcpy(to, word.data, word.len);
    to[word.len] = 0;
    return true;
}

static bool judge_v4(const struct in_addr *in, bool *ret_is_loopback, struct err *err)
{
    uint32_t a = ntohl(in->s_addr);

    *ret_is_loopback = a >> 24 == 127;
    if (a >> 24 == 0 || a >> 28 >= 14) /* this network; multicast, reserved, broadcast */
        return err_set(err, ERR_BAD_WIRE, "address: not a unicast address");
    return true;
}

static bool judge_v6(const struct in6_addr *in6, bool *ret_is_loopback, struct err *err)
{
    *ret_is_loopback = IN6_IS_ADDR_LOOPBACK(in6);
    if (IN6_IS_ADDR_UNSPECIFIED(in6) || IN6_IS_ADDR_MULTICAST(in6))
        return err_set(err, ERR_BAD_WIRE, "address: not a unicast address");
    if (IN6_IS_ADDR_LINKLOCAL(in6))
        return err_set(err, ERR_BAD_WIRE, "address: link-local");
    if (IN6_IS_ADDR_V4MAPPED(in6) || (IN6_IS_ADDR_V4COMPAT(in6) && !*ret_is_loopback))
        return err_set(err, ERR_BAD_WIRE, "address: IPv4 inside IPv6");
    return true;
}

static bool judge_address(const char *text, bool *ret_is_loopback, struct err *err)
{
    struct in_addr in;
    struct in6_addr in6;

    if (inet_pton(AF_INET, text, &in) == 1)
        return judge_v4(&in, ret_is_loopback, err);
    if (inet_pton(AF_INET6, text, &in6) == 1)
        return judge_v6(&in6, ret_is_loopback, err);
    return err_set(err, ERR_BAD_WIRE, "address: not a literal IP address");
}

static bool is_address(const char *text)
{
    uint8_t any[16];

    return inet_pton(AF_INET, text, any) == 1 || inet_pton(AF_INET6, text, any) == 1;
}

static bool read_kind(struct view word, enum ice_kind *ret_kind)
{
    for (size_t i = 0; i < N_ELEMENTS(kind_names); i++)
        if (view_eq_text(word, kind_names[i])) {
            *ret_kind = (enum ice_kind)i;
            return true;
        }
    return false;
}

/* What follows the type: pairs of name and value, of which raddr and rport mean something. */
static bool read_extensions(struct view rest, struct candidate *c, struct err *err)
{
    uint64_t port;

    while (rest.len) {
        struct view name = take_word(&rest), value = take_word(&rest);

        if (!name.len || !value.len)
            return err_set(err, ERR_BAD_WIRE, "extension: a name without a value");
        if (view_eq_text(name, "raddr") &&
            (!copy_text(value, c->base_address, sizeof(c->base_address)) ||
             !is_address(c->base_address)))
            return err_set(err, ERR_BAD_WIRE, "raddr: not a literal IP address");
        if (view_eq_text(name, "rport")) {
            if (!read_number(value, 0, 65535, &port))
                return err_set(err, ERR_BAD_WIRE, "rport: not a port");
            c->base_port = (uint16_t)port;
        }
    }
    return true;
}

static bool read_foundation(struct view word, struct candidate *c, struct err *err)
{
    if (!copy_text(word, c->foundation, sizeof(c->foundation)))
        return err_set(err, ERR_BAD_WIRE, "foundation: not 1 to 32 characters");
    for (size_t i = 0; i < word.len; i++)
        if (!is_ice_char(word.data[i]))
            return err_set(err, ERR_BAD_WIRE, "foundation: a character out of its set");
    return true;
}

static bool read_endpoint(struct view *rest, struct candidate *c, struct err *err)
{
    uint64_t n;

    if (!copy_text(take_word(rest), c->address, sizeof(c->address)))
        return err_set(err, ERR_BAD_WIRE, "address: not a literal IP address");
    if (!judge_address(c->address, &c->is_loopback, err))
        return false;
    if (!read_number(take_word(rest), 1, 65535, &n))
        return err_set(err, ERR_BAD_WIRE, "port: not 1 to 65535");
    c->port = (uint16_t)n;
    return true;
}

static bool read_line(struct view rest, struct candidate *c, struct err *err)
{
    uint64_t n;

    if (!read_foundation(take_word(&rest), c, err))
        return false;
    if (!view_eq_text(take_word(&rest), "1"))
        return err_set(err, ERR_BAD_WIRE, "component: not 1");
    if (!is_udp(take_word(&rest)))
        return err_set(err, ERR_BAD_WIRE, "transport: not UDP");
    if (!read_number(take_word(&rest), 1, INT32_MAX, &n))
        return err_set(err, ERR_BAD_WIRE, "priority: not 1 to 2147483647");
    c->priority = (uint32_t)n;
    if (!read_endpoint(&rest, c, err))
        return false;
    if (!view_eq_text(take_word(&rest), "typ") || !read_kind(take_word(&rest), &c->kind))
        return err_set(err, ERR_BAD_WIRE, "type: not \"typ\" and host, srflx, prflx or relay");
    return read_extensions(rest, c, err);
}

bool candidate_read(struct view line, struct candidate *ret, struct err *err)
{
    static const struct view start = { (const uint8_t *)"candidate:", 10 };
    struct candidate c = { 0 };

    if (line.len > ICE_MAX_LINE - 1)
        return err_set(err, ERR_TOO_LARGE, "candidate: longer than %d bytes", ICE_MAX_LINE - 1);
    for (size_t i = 0; i < line.len; i++)
        if (line.data[i] < 0x20 || line.data[i] > 0x7e)
            return err_set(err, ERR_BAD_WIRE, "candidate: not printable ASCII");
    if (!view_starts(line, start))
        return err_set(err, ERR_BAD_WIRE, "candidate: not a candidate line");
    if (line.data[line.len - 1] == ' ')
        return err_set(err, ERR_BAD_WIRE, "candidate: ends in a space");
    if (!read_line(view_sub(line, start.len, line.len), &c, err))
        return err_wrap(err, "candidate");

    *ret = c;
    return true;
}

void candidate_write(const struct candidate *c, struct buf *to)
{
    buf_printf(to, "candidate:%s 1 UDP %u %s %u typ %s", c->foundation, c->priority, c->address,
               c->port, kind_names[c->kind]);
    if (c->base_address[0])
        buf_printf(to, " raddr %s rport %u", c->base_address, c->base_port);
}

bool ice_candidate_check(struct view line, bool allow_loopback, struct err *err)
{
    struct candidate c = { 0 };

    if (!candidate_read(line, &c, err))
        return false;
    if (c.is_loopback && !allow_loopback)
        return err_set(err, ERR_BAD_WIRE, "candidate: address: loopback");
    return true;
}
