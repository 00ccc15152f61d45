/* SPDX-License-Identifier: Apache-2.0 */
/* How a session begins: HELLO, CHALLENGE and AUTHENTICATE by the method that realm and client share,
 * WELCOME. */
#pragma once

#include "router/conn.h"

/* Actions of conn's table; on false the connection is aborted with `err`. */
bool handshake_hello(struct conn *conn, const struct conn_input *in, struct err *err);
bool handshake_authenticate(struct conn *conn, const struct conn_input *in, struct err *err);
bool handshake_welcome(struct conn *conn, const struct conn_input *in, struct err *err);
bool handshake_is_decided(const struct conn *conn);     /* EV_ADMITTED may come */
bool handshake_has_proved_key(const struct conn *conn); /* by netsign; it may not be admitted yet */
/* NULL is fine; den's answer is not waited for any longer */
void handshake_free(struct handshake *handshake);
