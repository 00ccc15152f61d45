/* SPDX-License-Identifier: Apache-2.0 */
#include "base/box.h"

#include "base/mem.h"

#include <sodium.h>

enum { NONCE = crypto_secretbox_NONCEBYTES, MAC = crypto_secretbox_MACBYTES };

_Static_assert(NONCE + MAC == BOX_MORE && crypto_secretbox_KEYBYTES == BOX_KEY,
               "libsodium's sizes");

void box_put(const uint8_t key[BOX_KEY], struct view bytes, struct buf *to)
{
    uint8_t nonce[NONCE], *boxed = mem_array(uint8_t, bytes.len + MAC);

    randombytes_buf(nonce, sizeof(nonce));
    crypto_secretbox_easy(boxed, bytes.data, bytes.len, nonce, key);
    buf_put(to, VIEW_ARR(nonce));
    buf_put(to, VIEW(boxed, bytes.len + MAC));
    free(boxed);
}

bool box_open(const uint8_t key[BOX_KEY], struct view boxed, struct buf *ret_bytes)
{
    size_t len = boxed.len >= BOX_MORE ? boxed.len - BOX_MORE : 0;
    uint8_t *bytes;
    bool ok;

    if (boxed.len < BOX_MORE)
        return false;
    bytes = mem_array(uint8_t, len + 1);
    ok = crypto_secretbox_open_easy(bytes, boxed.data + NONCE, boxed.len - NONCE, boxed.data,
                                    key) == 0;
    if (ok)
        buf_put(ret_bytes, VIEW(bytes, len));
    mem_wipe(bytes, len + 1);
    free(bytes);
    return ok;
}
