/* SPDX-License-Identifier: Apache-2.0 */
/* The admin table in a den at work: signed requests of administrators, and accounts of this machine. */
#pragma once

#include "den/core_in.h"

/* An invocation of one of the table's procedures: [body, R, signature] of an ID with role admin. */
bool admin_asked(struct den_core *core, const char *procedure, const struct rpc_inv *inv,
                 struct rpc_fields *args, struct err *err);
