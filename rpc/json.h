/* SPDX-License-Identifier: Apache-2.0 */
/* JSON (RFC 8259) to msgpack and back, so that a client which speaks JSON and one which speaks
 * msgpack meet. PROTOCOL.md, section 10, says how the values correspond. Both directions are strict and bounded, as
 * rpc_walk() is: depth at most RPC_MAX_DEPTH, text UTF-8, keys text and never "__proto__", nothing
 * lost. A key twice passes, as there: whoever reads a dictionary refuses it. */
#pragma once

#include "rpc/value.h"

/* Both append the one value that the bytes are; what is appended comes to at most `max` bytes. On
 * false `to` is as long as before: BAD_WIRE "byte 17: a lone surrogate", TOO_LARGE. */
bool rpc_json_to_msgpack(struct view text, size_t max, struct buf *to, struct err *err);
/* Compact, and canonical: one text for one value. The bytes need not have been walked. */
bool rpc_json_from_msgpack(struct view value, size_t max, struct buf *to, struct err *err);
