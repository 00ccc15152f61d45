/* SPDX-License-Identifier: Apache-2.0 */
/* Client libraries that lawful words end. One hands the keywords of a payload on to functions of its
 * own: where a keyword has the name of a parameter there, its connection ends. What would do that is
 * kept from the sessions that CONN_IS_FRAIL marks; nobody else's payloads are looked at. Pure. */
#pragma once

#include "rpc/rpc.h"

/* Whether HELLO's `roles` (map, raw) are those of such a library. */
bool frailty_is_in(struct view roles);
/* The first keyword at the top of the payload's kwargs that a frail session cannot take in an EVENT,
 * INVOCATION or ERROR; NULL: none. Reads the payload once, without copying; static text. */
const char *frailty_find(enum rpc_type type, struct rpc_payload payload);
const char *frailty_find_in_result(struct rpc_payload payload, bool is_progress);
/* INVALID_ARGUMENT "keyword self: the client library of the callee cannot take it"; false. */
bool frailty_refuse(const char *keyword, const char *whose, struct err *err);
