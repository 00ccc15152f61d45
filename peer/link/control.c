/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/link/control.h"
#include "base/text.h"

enum { FRAME_HEADER = 5 };

static const struct {
    const char *name;
    uint32_t least, most;
} frames[CONTROL_N_TYPES] = {
#define X(name, text, least, most) [CONTROL_##name] = { text, least, most },
    CONTROL_FRAMES(X)
#undef X
};

const char *control_name(enum control_type type)
{
    return frames[type].name;
}

void control_reader_deinit(struct control_reader *r)
{
    buf_free(&r->pending);
}

void control_reader_input(struct control_reader *r, struct view bytes)
{
    buf_put(&r->pending, bytes);
}

/* { length u32 | statement | signature 64 }, the lengths adding up. */
bool link_signed_read(struct view payload, struct view *ret_statement, struct view *ret_sig)
{
    uint32_t len;

    return view_take_u32(&payload, &len) && len >= 1 && view_take(&payload, len, ret_statement) &&
           view_take(&payload, SIG_SIZE, ret_sig) && payload.len == 0;
}

void link_signed_write(struct buf *to, struct view statement, const uint8_t sig[SIG_SIZE])
{
    buf_put_u32(to, (uint32_t)statement.len);
    buf_put(to, statement);
    buf_put(to, VIEW(sig, SIG_SIZE));
}

void control_write_reauth(struct buf *to, const struct link_reauth *reauth)
{
    buf_put_u32(to, (uint32_t)reauth->statement.len);
    buf_put(to, reauth->statement);
    buf_put(to, reauth->sig);
    buf_put_u16(to, (uint16_t)reauth->tls_sig.len);
    buf_put(to, reauth->tls_sig);
    buf_put_u8(to, (uint8_t)reauth->n_chain);
    for (size_t i = 0; i < reauth->n_chain; i++) {
        buf_put_u16(to, (uint16_t)reauth->chain[i].len);
        buf_put(to, reauth->chain[i]);
    }
}

bool link_reauth_read(struct view bytes, struct link_reauth *ret_reauth)
{
    struct link_reauth r = { 0 };
    uint32_t len;
    uint16_t short_len;
    uint8_t n;

    if (!view_take_u32(&bytes, &len) || len < 1 || !view_take(&bytes, len, &r.statement) ||
        !view_take(&bytes, SIG_SIZE, &r.sig) || !view_take_u16(&bytes, &short_len) ||
        short_len < 1 || short_len > LINK_MAX_TLS_SIG ||
        !view_take(&bytes, short_len, &r.tls_sig) || !view_take_u8(&bytes, &n) || n < 1 ||
        n > N_ELEMENTS(r.chain))
        return false;
    for (; r.n_chain < n; r.n_chain++) {
        if (!view_take_u16(&bytes, &short_len) || short_len < 1 ||
            !view_take(&bytes, short_len, &r.chain[r.n_chain]))
            return false;
    }
    *ret_reauth = r;
    return bytes.len == 0;
}

static bool inner_lengths_fit(enum control_type type, struct view payload)
{
    struct link_reauth reauth;
    struct view statement, sig;

    if (type == CONTROL_HEART || type == CONTROL_REVOKE)
        return link_signed_read(payload, &statement, &sig);
    if (type == CONTROL_REAUTH)
        return link_reauth_read(payload, &reauth);
    if (type == CONTROL_CLOSE)
        return text_is_utf8(view_sub(payload, 8, payload.len));
    return true;
}

static enum control_result refuse(struct err *err, const char *what, enum control_type type,
                                  uint32_t n)
{
    err_set(err, ERR_BAD_WIRE, "%s: %s: %u bytes", frames[type].name, what, n);
    return CONTROL_BAD;
}

enum control_result control_reader_next(struct control_reader *r, struct control_frame *ret,
                                        struct err *err)
{
    struct view rest, payload;
    uint8_t type;
    uint32_t len;

    buf_drop_front(&r->pending, r->used);
    r->used = 0;
    rest = buf_view(&r->pending);
    if (rest.len && (rest.data[0] == CONTROL_NONE || rest.data[0] >= CONTROL_N_TYPES)) {
        err_set(err, ERR_BAD_WIRE, "control frame of unknown type %u", rest.data[0]);
        return CONTROL_BAD;
    }
    if (!view_take_u8(&rest, &type) || !view_take_u32(&rest, &len))
        return CONTROL_MORE;
    if (len < frames[type].least || len > frames[type].most)
        return refuse(err, "length out of bounds", type, len);
    if (!view_take(&rest, len, &payload))
        return CONTROL_MORE;
    if (!inner_lengths_fit(type, payload))
        return refuse(err, "malformed", type, len);

    r->used = FRAME_HEADER + len;
    *ret = (struct control_frame){ type, payload };
    return CONTROL_FRAME;
}

void control_write(struct buf *to, enum control_type type, struct view payload)
{
    buf_put_u8(to, (uint8_t)type);
    buf_put_u32(to, (uint32_t)payload.len);
    buf_put(to, payload);
}

void control_write_bind(struct buf *to, const uint8_t sid[LINK_SID],
                        const uint8_t grant_hash[HASH_SIZE])
{
    uint8_t payload[LINK_SID + HASH_SIZE];

    memcpy(payload, sid, LINK_SID);
    memcpy(payload + LINK_SID, grant_hash, HASH_SIZE);
    control_write(to, CONTROL_BIND, VIEW_ARR(payload));
}

bool control_close_read(struct view payload, uint64_t *ret_code, struct view *ret_reason)
{
    if (!view_take_u64(&payload, ret_code) || *ret_code > LINK_MAX_CODE)
        return false;
    *ret_reason = payload;
    return true;
}

/* ---- stream headers ---- */

bool header_cap_is_ok(struct view cap)
{
    if (cap.len < 1 || cap.len > LINK_MAX_CAP)
        return false;
    for (size_t i = 0; i < cap.len; i++)
        if (cap.data[i] <= 0x20 || cap.data[i] > 0x7e)
            return false;
    return true;
}

void header_write(struct buf *to, struct view cap, struct view arg)
{
    buf_put_u8(to, (uint8_t)cap.len);
    buf_put(to, cap);
    buf_put_u16(to, (uint16_t)arg.len);
    buf_put(to, arg);
}

static enum header_result bad_header(struct err *err, const char *why)
{
    err_set(err, ERR_BAD_WIRE, "stream header: %s", why);
    return HEADER_BAD;
}

enum header_result header_read(struct view bytes, struct view *ret_cap, struct view *ret_arg,
                               size_t *ret_len, struct err *err)
{
    struct view rest = bytes, cap, arg;
    uint8_t cap_len;
    uint16_t arg_len;

    if (!view_take_u8(&rest, &cap_len))
        return HEADER_MORE;
    if (cap_len < 1 || cap_len > LINK_MAX_CAP)
        return bad_header(err, "capability not 1 to 64 bytes");
    if (!view_take(&rest, cap_len, &cap))
        return HEADER_MORE;
    if (!header_cap_is_ok(cap))
        return bad_header(err, "capability not printable ASCII");
    if (!view_take_u16(&rest, &arg_len))
        return HEADER_MORE;
    if (arg_len > LINK_MAX_ARG)
        return bad_header(err, "argument over 1024 bytes");
    if (!view_take(&rest, arg_len, &arg))
        return HEADER_MORE;

    *ret_cap = cap;
    *ret_arg = arg;
    *ret_len = bytes.len - rest.len;
    return HEADER_DONE;
}
