/* SPDX-License-Identifier: Apache-2.0 */
/* Questions for a port, and what is read of their answers. */
#include "ice/portmap.h"

#include "base/mem.h"
#include "base/own.h"
#include "base/text.h"

#include <stdio.h>

enum { UDP = 17, UNSUPPORTED_VERSION = 1 };
enum { PMP_ADDRESS = 128, PMP_MAP_UDP = 129 }; /* of answers */
enum { PCP_MAP = 1, PCP_ANSWER = 0x80 };
static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff }; /* IPv4 in IPv6: RFC 6887, 5 */

/* ---- questions ---- */

static void put_pmp(const struct portmap_question *q, struct buf *to)
{
    buf_put_u8(to, PORTMAP_PMP);
    buf_put_u8(to, PMP_MAP_UDP - PMP_ADDRESS);
    buf_put_u16(to, 0);
    buf_put_u16(to, q->inner);
    buf_put_u16(to, q->outer);
    buf_put_u32(to, q->life_s);
}

static void put_address(struct buf *to, const uint8_t address[4])
{
    buf_put(to, VIEW_ARR(mapped));
    buf_put(to, VIEW(address, 4));
}

static void put_pcp(const struct portmap_question *q, struct buf *to)
{
    buf_put_u8(to, PORTMAP_PCP);
    buf_put_u8(to, PCP_MAP);
    buf_put_u16(to, 0);
    buf_put_u32(to, q->life_s);
    put_address(to, q->local);
    buf_put(to, VIEW_ARR(q->nonce));
    buf_put_u8(to, UDP);
    buf_put_u8(to, 0);
    buf_put_u16(to, 0);
    buf_put_u16(to, q->inner);
    buf_put_u16(to, q->outer);
    put_address(to, q->outer_address);
}

size_t portmap_write(enum portmap_version version, const struct portmap_question *q,
                     uint8_t to[PORTMAP_MAX_ASK])
{
    _buf_ bytes = { 0 };

    if (version == PORTMAP_PCP)
        put_pcp(q, &bytes);
    else
        put_pmp(q, &bytes);
    memcpy(to, bytes.data, bytes.len);
    return bytes.len;
}

/* ---- answers ---- */

static bool take_address(struct view *d, uint8_t ret_address[4])
{
    struct view bytes;

    if (!view_take(d, 4, &bytes))
        return false;
    memcpy(ret_address, bytes.data, 4);
    return true;
}

/* After the version. */
static bool read_pmp(struct view d, struct portmap_answer *a)
{
    uint8_t op;
    uint16_t result;
    uint32_t epoch;

    if (!view_take_u8(&d, &op) || !view_take_u16(&d, &result) || !view_take_u32(&d, &epoch) ||
        op < PMP_ADDRESS)
        return false;
    a->is_other = result == UNSUPPORTED_VERSION;
    if (result != 0)
        return a->is_other;
    a->has_address = op == PMP_ADDRESS;
    a->has_port = op == PMP_MAP_UDP;
    if (a->has_address)
        return take_address(&d, a->address) && d.len == 0;
    return a->has_port && view_take_u16(&d, &a->inner) && view_take_u16(&d, &a->outer) &&
           view_take_u32(&d, &a->life_s) && d.len == 0 && a->outer && a->life_s;
}

/* Options that may follow are not of those that were asked for. */
static bool read_pcp_mapping(struct view d, struct portmap_answer *a)
{
    struct view nonce, zero, prefix;
    uint8_t protocol;

    if (!view_take(&d, PORTMAP_NONCE, &nonce) || !view_take_u8(&d, &protocol) ||
        !view_take(&d, 3, &zero) || !view_take_u16(&d, &a->inner) ||
        !view_take_u16(&d, &a->outer) || !view_take(&d, sizeof(mapped), &prefix) ||
        !take_address(&d, a->address))
        return false;
    memcpy(a->nonce, nonce.data, PORTMAP_NONCE);
    a->has_address = a->has_port = true;
    return protocol == UDP && a->outer && a->life_s && view_eq(prefix, VIEW_ARR(mapped));
}

static bool read_pcp(struct view d, struct portmap_answer *a)
{
    uint8_t op, reserved, result;
    uint32_t epoch;
    struct view rest;

    if (!view_take_u8(&d, &op) || !view_take_u8(&d, &reserved) || !view_take_u8(&d, &result) ||
        !view_take_u32(&d, &a->life_s) || !view_take_u32(&d, &epoch) || !view_take(&d, 12, &rest) ||
        !(op & PCP_ANSWER))
        return false;
    a->is_other = result == UNSUPPORTED_VERSION;
    if (result != 0)
        return a->is_other;
    return op == (PCP_ANSWER | PCP_MAP) && read_pcp_mapping(d, a);
}

bool portmap_read(struct view d, struct portmap_answer *ret)
{
    struct portmap_answer a = { 0 };
    size_t len = d.len;
    uint8_t version;

    if (!view_take_u8(&d, &version) || len > PORTMAP_MAX_ANSWER)
        return false;
    a.version = version == PORTMAP_PCP ? PORTMAP_PCP : PORTMAP_PMP;
    if (version == PORTMAP_PCP ? len % 4 != 0 || !read_pcp(d, &a)
                               : version != 0 || !read_pmp(d, &a))
        return false;
    *ret = a;
    return true;
}

/* ---- the first hop ---- */

/* "eth0\t00000000\t0101A8C0\t0003..." : the address as the machine's own number, in hexadecimal. */
bool portmap_gateway(struct view text, uint8_t ret_address[4])
{
    _free_ char *copy = view_dup_text(text);
    char *rest = copy, *line;

    while ((line = strsep(&rest, "\n"))) {
        unsigned to, gateway, flags;
        char name[32];

        if (sscanf(line, "%31s %x %x %x", name, &to, &gateway, &flags) != 4 || to != 0 ||
            !(flags & 2) || gateway == 0)
            continue;
        memcpy(ret_address, &gateway, 4);
        return true;
    }
    return false;
}

bool portmap_is_outer(const uint8_t a[4])
{
    return !(a[0] == 0 || a[0] == 10 || a[0] == 127 || a[0] >= 224 ||
             (a[0] == 100 && (a[1] & 0xc0) == 64) || (a[0] == 172 && (a[1] & 0xf0) == 16) ||
             (a[0] == 192 && a[1] == 168) || (a[0] == 169 && a[1] == 254));
}
