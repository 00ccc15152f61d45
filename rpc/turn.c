/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/turn.h"

#include "base/text.h"
#include "rpc/value.h"

#include <arpa/inet.h>

/* ---- the URI ------------------------------------------------------------------------------- */

static bool is_name(struct view host)
{
    size_t label = 0;

    if (host.len == 0 || host.len > RPC_TURN_MAX_HOST)
        return false;
    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = host.data[i];
        bool is_alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (c == '.' ? label == 0 : !is_alnum && (c != '-' || label == 0))
            return false;
        label = c == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
    }
    return label > 0;
}

static bool is_address(int family, struct view host)
{
    _free_ char *text = view_dup_text(host);
    uint8_t any[16];

    return inet_pton(family, text, any) == 1;
}

/* No name's last label is a number (RFC 1123, 2.1). */
static bool looks_like_v4(struct view host)
{
    uint8_t last = host.len ? host.data[host.len - 1] : 0;

    for (size_t i = host.len; i > 0 && host.data[i - 1] != '.'; i--)
        if (host.data[i - 1] < '0' || host.data[i - 1] > '9')
            return false;
    return last >= '0' && last <= '9';
}

static bool is_host(struct view host, bool has_brackets)
{
    if (has_brackets)
        return is_address(AF_INET6, host);
    return looks_like_v4(host) ? is_address(AF_INET, host) : is_name(host);
}

/* Its end: ":PORT", or nothing. */
static bool read_port(struct view rest, uint16_t *ret_port)
{
    uint64_t n = RPC_TURN_PORT;

    if (rest.len &&
        (rest.data[0] != ':' || rest.len > 6 || !text_read_u64(view_sub(rest, 1, rest.len), &n)))
        return false;
    *ret_port = (uint16_t)n;
    return n >= 1 && n <= 65535;
}

static bool read_host(struct view text, struct rpc_turn_server *server, struct err *err)
{
    bool has_brackets = text.len && text.data[0] == '[';
    const uint8_t *end = text.len ? memchr(text.data, has_brackets ? ']' : ':', text.len) : NULL;
    size_t len = end ? (size_t)(end - text.data) : text.len;

    if (has_brackets && !end)
        return err_set(err, ERR_INVALID_ARGUMENT, "\"[\" without \"]\"");
    server->host = has_brackets ? view_sub(text, 1, len - 1) : view_sub(text, 0, len);
    if (!is_host(server->host, has_brackets))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "the host is neither a name nor an IP address (IPv6 in brackets)");
    return read_port(view_sub(text, len + has_brackets, text.len), &server->port) ||
           err_set(err, ERR_INVALID_ARGUMENT, "the port is not 1 to 65535");
}

bool rpc_turn_uri_read(struct view uri, struct rpc_turn_server *ret_server, struct err *err)
{
    const uint8_t *mark = uri.len ? memchr(uri.data, '?', uri.len) : NULL;
    size_t len = mark ? (size_t)(mark - uri.data) : uri.len;
    struct view head = view_sub(uri, 0, len), query = view_sub(uri, len, uri.len);
    struct rpc_turn_server server = { .transport = RPC_TURN_UDP };

    if (uri.len > RPC_TURN_MAX_URI)
        return err_set(err, ERR_INVALID_ARGUMENT, "longer than %d bytes", RPC_TURN_MAX_URI);
    if (view_starts(head, VIEW_LIT("turns:")))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "TURN over TLS is not spoken here: give turn: with transport=tcp (what is "
                       "relayed is encrypted end to end)");
    if (!view_starts(head, VIEW_LIT("turn:")))
        return err_set(err, ERR_INVALID_ARGUMENT, "expected turn:HOST[:PORT][?transport=udp|tcp]");
    if (view_eq_text(query, "?transport=tcp"))
        server.transport = RPC_TURN_TCP;
    else if (query.len && !view_eq_text(query, "?transport=udp"))
        return err_set(err, ERR_INVALID_ARGUMENT, "transport: expected udp or tcp");
    if (!read_host(view_sub(head, 5, head.len), &server, err))
        return false;
    *ret_server = server;
    return true;
}

/* ---- on the wire ----------------------------------------------------------------------------- */

void rpc_turn_put(const struct rpc_turn *turn, struct buf *to)
{
    rpc_put_map(to, 4);
    rpc_put_str(to, "username");
    rpc_put_text(to, turn->username);
    rpc_put_str(to, "password");
    rpc_put_text(to, turn->password);
    rpc_put_str(to, "expires_at");
    rpc_put_u64(to, turn->expires_at);
    rpc_put_str(to, "uris");
    rpc_put_array(to, (uint32_t)turn->n_uris);
    for (size_t i = 0; i < turn->n_uris; i++)
        rpc_put_text(to, turn->uris[i]);
}

static bool read_text(struct view map, const char *key, struct view *ret_text, struct err *err)
{
    struct view text = { 0 };

    if (!rpc_map_text(map, key, &text) || text.len == 0)
        return err_set(err, ERR_BAD_WIRE, "TURN: %s: missing, or no text", key);
    if (text.len > RPC_TURN_MAX_TEXT)
        return err_set(err, ERR_TOO_LARGE, "TURN: %s: over %d bytes", key, RPC_TURN_MAX_TEXT);
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] <= 0x20 || text.data[i] > 0x7e)
            return err_set(err, ERR_BAD_WIRE, "TURN: %s: a character out of its set", key);
    *ret_text = text;
    return true;
}

static bool read_uris(struct view map, struct rpc_turn *turn, struct err *err)
{
    struct rpc_turn_server server;
    struct view list = { 0 };
    struct rpc_fields f;
    struct err ignored;

    if (!rpc_map_get(map, "uris", &list) || rpc_value_kind(list) != RPC_ARRAY)
        return err_set(err, ERR_BAD_WIRE, "TURN: uris: missing, or no list");
    rpc_fields_open(&f, list);
    while (rpc_fields_more(&f) && turn->n_uris < RPC_TURN_SERVERS) {
        struct view uri = rpc_fields_text(&f, "uri", RPC_TURN_MAX_URI);
        if (uri.len && rpc_turn_uri_read(uri, &server, &ignored))
            turn->uris[turn->n_uris++] = uri;
    }
    rpc_fields_skip_rest(&f);
    return rpc_fields_end(&f, err) || err_wrap(err, "TURN");
}

static bool check_map(struct view map, struct err *err)
{
    if (map.len > RPC_TURN_MAX)
        return err_set(err, ERR_TOO_LARGE, "TURN: over %d bytes", RPC_TURN_MAX);
    return (rpc_value_kind(map) == RPC_MAP && !rpc_map_has_duplicates(map)) ||
           err_set(err, ERR_BAD_WIRE, "TURN: not a map, or a key twice");
}

bool rpc_turn_read(struct view map, struct rpc_turn *ret_turn, struct err *err)
{
    struct rpc_turn turn = { 0 };

    if (!check_map(map, err) || !read_text(map, "username", &turn.username, err) ||
        !read_text(map, "password", &turn.password, err) || !read_uris(map, &turn, err))
        return false;
    if (!rpc_map_u64(map, "expires_at", &turn.expires_at))
        return err_set(err, ERR_BAD_WIRE, "TURN: expires_at: missing, or no number");
    *ret_turn = turn;
    return true;
}

bool rpc_turn_read_servers(struct view map, struct rpc_turn *ret_turn, struct err *err)
{
    struct rpc_turn turn = { 0 };

    if (!check_map(map, err) || !read_uris(map, &turn, err))
        return false;
    *ret_turn = turn;
    return true;
}
