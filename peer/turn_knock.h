/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a TURN server is there and does its work, asked without a credential (ice/allocate.h). */
#pragma once

#include "ice/ice.h"
#include "peer/loop.h"

struct turn_knock_result {
    bool wants_credential; /* all is well */
    bool is_open;          /* to anybody */
    uint64_t rtt_us;
    char why[128]; /* when neither */
};

struct turn_knock;
typedef void turn_knock_on_result(void *user, const struct turn_knock_result *result);
/* Calls once, within `ms`; then, or by turn_knock_free(), it is gone. */
struct turn_knock *turn_knock_new(struct loop *loop, const struct ice_turn_server *server,
                                  uint64_t ms, turn_knock_on_result *on_result, void *user);
void turn_knock_free(struct turn_knock *knock); /* NULL is fine; not after it has called */
