/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions on one's own network while router and den are away: by a permit the two find each other (mdns.h), and exchange the dial and
 * the accept, boxed under its key (link/PROTOCOL.md, section 7). From there on they are sessions as all others are. */
#pragma once

#include "peer/permits.h"

struct core;
struct session;
struct lan;     /* the sockets; nothing is opened, and nothing listens, while there is no permit */
struct lan_end; /* a session's */

void lan_settle(struct core *core); /* permits came, or time went by */
void lan_free(struct core *core);
bool lan_is_possible(const struct core *core); /* a certificate and a permit are there */

/* Instead of den.session.open: from a session whose D is to be made for `caps`. False: there is no permit that holds, or it does not include them. */
bool lan_dial(struct session *session, const struct rpc_items *caps, struct err *err);
void lan_answer(struct session *session);                         /* called: C is there */
void lan_refuse(struct session *session, const struct err *told); /* called: not */
void lan_end(struct session *session);
