/* SPDX-License-Identifier: Apache-2.0 */
#include "vault/wire.h"

size_t vault_max_request(uint8_t kind)
{
    if (kind < VAULT_HELLO || kind >= VAULT_N_KINDS)
        return 0;
    return VAULT_MAX_REQUEST;
}

void vault_put(struct buf *to, struct view bytes)
{
    buf_put_u32(to, (uint32_t)bytes.len);
    buf_put(to, bytes);
}

void vault_put_text(struct buf *to, const char *text)
{
    vault_put(to, view_text(text));
}

void vault_put_refusal(struct buf *to, const struct err *why)
{
    buf_put_u8(to, VAULT_NO);
    vault_put_text(to, err_code_name(why->code));
    vault_put_text(to, why->text);
}

uint8_t vault_u8(struct vault_in *in)
{
    uint8_t n = 0;

    in->is_bad = in->is_bad || !view_take_u8(&in->rest, &n);
    return in->is_bad ? 0 : n;
}

uint16_t vault_u16(struct vault_in *in)
{
    uint16_t n = 0;

    in->is_bad = in->is_bad || !view_take_u16(&in->rest, &n);
    return in->is_bad ? 0 : n;
}

uint64_t vault_u64(struct vault_in *in)
{
    uint64_t n = 0;

    in->is_bad = in->is_bad || !view_take_u64(&in->rest, &n);
    return in->is_bad ? 0 : n;
}

struct view vault_bytes(struct vault_in *in, size_t max)
{
    struct view bytes = { 0 };
    uint32_t len = 0;

    in->is_bad = in->is_bad || !view_take_u32(&in->rest, &len) || len > max ||
                 !view_take(&in->rest, len, &bytes);
    return in->is_bad ? (struct view){ 0 } : bytes;
}

struct view vault_fixed(struct vault_in *in, size_t len)
{
    struct view bytes = vault_bytes(in, len);

    in->is_bad = in->is_bad || bytes.len != len;
    return in->is_bad ? (struct view){ 0 } : bytes;
}

bool vault_end(const struct vault_in *in)
{
    return !in->is_bad && in->rest.len == 0;
}

bool vault_take_outcome(struct vault_in *in, struct err *err)
{
    uint8_t what = vault_u8(in);
    struct view code, text;

    if (what == VAULT_YES && !in->is_bad)
        return true;
    code = vault_bytes(in, 64);
    text = vault_bytes(in, sizeof(err->text));
    if (in->is_bad || what != VAULT_NO)
        return err_set(err, ERR_BAD_WIRE, "the signer's answer is damaged");
    return err_set(err, err_code_find((const char *)code.data, code.len), "%.*s", VIEW_FMT(text));
}
