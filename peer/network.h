/* SPDX-License-Identifier: Apache-2.0 */
/* Says when the addresses of this machine, or its way to the Internet, are other ones. The loop's own thread. */
#pragma once

#include "peer/loop.h"

struct network;
/* NULL where the system does not tell. `on_change` comes from the loop, once after several changes at once. */
struct network *network_new(struct loop *loop, loop_fn *on_change, void *user);
void network_free(struct network *network); /* NULL is fine */
