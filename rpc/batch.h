/* SPDX-License-Identifier: Apache-2.0 */
/* The sub-protocols that carry several WAMP messages in one WebSocket message: each behind its
 * length (u32, big-endian) for msgpack, each before a separator (0x1e) for JSON, in which that byte
 * cannot occur otherwise. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum { RPC_BATCH_MAX = 4096 }; /* messages: what one client has done for it in one turn */

enum rpc_batch { RPC_BATCH_NONE, RPC_BATCH_LENGTHS, RPC_BATCH_SEPARATORS };

/* Appends `message`; RPC_BATCH_NONE: as it is. */
void rpc_batch_put(enum rpc_batch kind, struct view message, struct buf *to);
/* At least one message, at most RPC_BATCH_MAX, none empty, nothing left over: looked at whole
 * before any of it is read.
 * BAD_WIRE "batch: byte 12: cut short". */
bool rpc_batch_check(enum rpc_batch kind, struct view batch, struct err *err);
/* The next message off the front of a checked batch; false: no more. RPC_BATCH_NONE: all of it, if
 * it is not empty. */
bool rpc_batch_next(enum rpc_batch kind, struct view *batch, struct view *ret_message);
