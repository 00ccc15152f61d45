/* SPDX-License-Identifier: Apache-2.0 */
/* One identity key in two processes. Whoever comes with the key of a session that another process
 * has waits until that session's end was asked for a sign of life. If it gives one, the key is in
 * use twice: the session stays, the newcomer is refused, and both hear of the other. If it gives
 * none within five seconds, or is gone, the newcomer takes its place: it is the same machine that
 * came back. */
#pragma once

#include "router/handshake_state.h"

enum { CLONE_ANSWER_MS = 5000 };

/* `h` is proved and admitted. True: it waits; EV_ADMITTED comes later, or its end. False: nobody is
 * in its way. */
bool clone_asks(struct handshake *h);
/* A pong came with that number. */
void clone_answered(struct conn *before, uint64_t nonce);
/* Its session is over: whoever waits for a sign of it waits no longer. */
void clone_is_gone(struct conn *before);
/* Harmless when it does not wait. */
void clone_forget(struct handshake *h);
