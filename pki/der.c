/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/der.h"

static void put_head(struct buf *to, unsigned tag, size_t len)
{
    buf_put_u8(to, (uint8_t)tag);
    if (len >= 0x100)
        buf_put_u8(to, 0x82);
    else if (len >= 0x80)
        buf_put_u8(to, 0x81);
    if (len >= 0x100)
        buf_put_u8(to, (uint8_t)(len >> 8));
    buf_put_u8(to, (uint8_t)len);
}

void der_put(struct buf *to, unsigned tag, struct view content)
{
    put_head(to, tag, content.len);
    buf_put(to, content);
}

void der_wrap(struct buf *to, size_t start, unsigned tag)
{
    _buf_ content = buf_dup(view_sub(buf_view(to), start, to->len));

    to->len = start;
    der_put(to, tag, buf_view(&content));
}
