/* SPDX-License-Identifier: Apache-2.0 */
/* DER by hand (X.690): written where it is short enough to be seen, or long enough to matter; read where a
 * stranger's bytes come in and nothing but views is to be made of them. */
#pragma once

#include "base/buf.h"

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BITS = 0x03,
    DER_OCTETS = 0x04,
    DER_NULL = 0x05,
    DER_OID = 0x06,
    DER_ENUMERATED = 0x0a,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_CONTEXT = 0x80,     /* | number: primitive, implicitly tagged */
    DER_CONSTRUCTED = 0xa0, /* | number */
};

void der_put_head(struct buf *to, unsigned tag, size_t len);
void der_put(struct buf *to, unsigned tag, struct view content);
/* The same around what stands in `to` from `start` on. */
void der_wrap(struct buf *to, size_t start, unsigned tag);
void der_put_u64(struct buf *to, uint64_t n);
/* Milliseconds since 1970, whole seconds written. */
void der_put_generalized(struct buf *to, uint64_t ms);
void der_put_time(struct buf *to, uint64_t ms);

bool der_next_is(struct view from, unsigned tag);
/* The element at the front: exactly that tag, a definite length in its shortest form, whole. On false `from`
 * is as it was. */
bool der_take(struct view *from, unsigned tag, struct view *ret_content);
bool der_take_whole(struct view *from, unsigned tag, struct view *ret_element); /* with its head */
/* UTCTime or GeneralizedTime at the front, as RFC 5280, 4.1.2.5 has them: milliseconds since 1970. */
bool der_take_time(struct view *from, uint64_t *ret_ms);
