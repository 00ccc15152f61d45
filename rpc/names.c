/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/names.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum { MIN_NAME = 3, MAX_LOCAL = 63 };

void rpc_identity_code(struct view netid, struct view pk, char ret_code[RPC_CODE])
{
    static const char label[] = "warren/1 code"; /* with its NUL */
    uint8_t hash[HASH_SIZE];
    _buf_ bytes = { 0 }, text = { 0 };

    buf_put(&bytes, VIEW(label, sizeof(label)));
    buf_put(&bytes, netid);
    buf_put(&bytes, pk);
    hash_sha256(buf_view(&bytes), hash);
    text_put_base32(&text, VIEW(hash, 8));
    snprintf(ret_code, RPC_CODE, "%.4s-%.4s-%.4s", buf_cstr(&text), buf_cstr(&text) + 4,
             buf_cstr(&text) + 8);
}

static bool is_letter(uint8_t c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_alnum(uint8_t c)
{
    return is_letter(c) || (c >= '0' && c <= '9');
}

const char *rpc_name_fault(struct view name)
{
    if (name.len < MIN_NAME || name.len > RPC_MAX_CLAIMED)
        return "a name has 3 to 63 characters";
    if (!is_letter(name.data[0]))
        return "a name starts with a lower-case letter";
    if (!is_alnum(name.data[name.len - 1]))
        return "a name ends with a letter or a digit";
    for (size_t i = 0; i < name.len; i++) {
        if (!is_alnum(name.data[i]) && name.data[i] != '-')
            return "a name has lower-case letters, digits and hyphens alone";
        if (name.data[i] == '-' && name.data[i + 1] == '-')
            return "a name has no two hyphens in a row";
    }
    return NULL;
}

static bool is_local(struct view local)
{
    if (local.len == 0 || local.len > MAX_LOCAL || !is_alnum(local.data[0]) ||
        !is_alnum(local.data[local.len - 1]))
        return false;
    for (size_t i = 0; i < local.len; i++) {
        uint8_t c = local.data[i];
        if (!is_alnum(c) && (!strchr("._-", c) || c == '\0' || !is_alnum(local.data[i + 1])))
            return false;
    }
    return true;
}

bool rpc_name_is_assigned(struct view name)
{
    const uint8_t *at = name.len ? memchr(name.data, '@', name.len) : NULL;
    size_t n = at ? (size_t)(at - name.data) : 0;

    return at && name.len <= RPC_MAX_NAME && is_local(VIEW(name.data, n)) &&
           text_is_network(VIEW(at + 1, name.len - n - 1));
}

bool rpc_name_is_valid(struct view name)
{
    return !rpc_name_fault(name) || rpc_name_is_assigned(name);
}

static uint8_t look(uint8_t c)
{
    switch (c) {
    case '0':
        return 'o';
    case '1':
    case 'i':
        return 'l';
    case '5':
        return 's';
    default:
        return c;
    }
}

void rpc_name_skeleton(struct view name, struct buf *ret_skeleton)
{
    for (size_t i = 0; i < name.len; i++) {
        bool has_next = i + 1 < name.len;
        if (name.data[i] == '-' || name.data[i] == '.' || name.data[i] == '_')
            continue;
        if (has_next && name.data[i] == 'r' && name.data[i + 1] == 'n') {
            buf_put_u8(ret_skeleton, 'm');
            i++;
        } else if (has_next && name.data[i] == 'v' && name.data[i + 1] == 'v') {
            buf_put_u8(ret_skeleton, 'w');
            i++;
        } else {
            buf_put_u8(ret_skeleton, look(name.data[i]));
        }
    }
}
