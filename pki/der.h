/* SPDX-License-Identifier: Apache-2.0 */
/* Writing DER by hand (X.690), for values of at most 65535 octets: short enough to be seen. */
#pragma once

#include "base/buf.h"

enum der_tag {
    DER_OCTETS = 0x04,
    DER_OID = 0x06,
    DER_SEQUENCE = 0x30,
    DER_CONTEXT = 0x80,     /* | number: primitive, implicitly tagged */
    DER_CONSTRUCTED = 0xa0, /* | number */
};

void der_put(struct buf *to, unsigned tag, struct view content);
/* The same around what stands in `to` from `start` on. */
void der_wrap(struct buf *to, size_t start, unsigned tag);
