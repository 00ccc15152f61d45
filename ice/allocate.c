/* SPDX-License-Identifier: Apache-2.0 */
#include "ice/allocate.h"

/* RFC 8489 and RFC 8656. */
enum {
    ALLOCATE = 0x0003,
    ALLOCATED = 0x0103,
    NOT_ALLOCATED = 0x0113,
    REFRESH = 0x0004,
    ERROR_CODE = 0x0009,
    LIFETIME = 0x000d,
    REALM = 0x0014,
    NONCE = 0x0015,
    REQUESTED_TRANSPORT = 0x0019,
    UDP = 17,
    UNAUTHORIZED = 401,
    HEADER = 20,
};
static const uint8_t cookie[] = { 0x21, 0x12, 0xa4, 0x42 };

static unsigned u16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

/* A message with one attribute of four bytes, of which the first is `value`. */
static void put(unsigned method, const uint8_t txid[ALLOCATE_TXID], unsigned attribute,
                uint8_t value, uint8_t to[ALLOCATE_REQUEST])
{
    memset(to, 0, ALLOCATE_REQUEST);
    to[1] = (uint8_t)method;
    to[3] = ALLOCATE_REQUEST - HEADER;
    memcpy(to + 4, cookie, sizeof(cookie));
    memcpy(to + 8, txid, ALLOCATE_TXID);
    to[HEADER + 1] = (uint8_t)attribute;
    to[HEADER + 3] = 4;
    to[HEADER + 4] = value;
}

void ice_allocate_put(const uint8_t txid[ALLOCATE_TXID], uint8_t to[ALLOCATE_REQUEST])
{
    put(ALLOCATE, txid, REQUESTED_TRANSPORT, UDP, to);
}

void ice_allocate_put_end(const uint8_t txid[ALLOCATE_TXID], uint8_t to[ALLOCATE_REQUEST])
{
    put(REFRESH, txid, LIFETIME, 0, to);
}

static bool find(struct view message, unsigned type, struct view *ret)
{
    size_t at = HEADER;

    while (at + 4 <= message.len) {
        size_t len = u16(message.data + at + 2);
        if (at + 4 + len > message.len)
            return false;
        if (u16(message.data + at) == type) {
            *ret = view_sub(message, at + 4, len);
            return true;
        }
        at += 4 + ((len + 3) & ~(size_t)3);
    }
    return false;
}

static enum ice_allocate read_refusal(struct view message, unsigned *ret_code)
{
    struct view value, any;

    if (!find(message, ERROR_CODE, &value) || value.len < 4)
        return ICE_ALLOCATE_NONE;
    *ret_code = (value.data[2] & 7u) * 100 + value.data[3];
    return *ret_code == UNAUTHORIZED && find(message, REALM, &any) && find(message, NONCE, &any)
               ? ICE_ALLOCATE_WANTS
               : ICE_ALLOCATE_REFUSED;
}

enum ice_allocate ice_allocate_read(struct view bytes, const uint8_t txid[ALLOCATE_TXID],
                                    unsigned *ret_code)
{
    size_t len;

    *ret_code = 0;
    if (bytes.len < HEADER)
        return ICE_ALLOCATE_PART;
    len = HEADER + u16(bytes.data + 2);
    if (len > ALLOCATE_MAX_ANSWER || memcmp(bytes.data + 4, cookie, sizeof(cookie)) != 0 ||
        memcmp(bytes.data + 8, txid, ALLOCATE_TXID) != 0)
        return ICE_ALLOCATE_NONE;
    if (bytes.len < len)
        return ICE_ALLOCATE_PART;
    if (u16(bytes.data) == ALLOCATED)
        return ICE_ALLOCATE_OPEN;
    return u16(bytes.data) == NOT_ALLOCATED ? read_refusal(view_sub(bytes, 0, len), ret_code)
                                            : ICE_ALLOCATE_NONE;
}
