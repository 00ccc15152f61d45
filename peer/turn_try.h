/* SPDX-License-Identifier: Apache-2.0 */
/* One try at a way through the network's TURN servers: an ICE agent of its own beside the direct one, and what the two ends tell each
 * other of it over the router (rpc/PROCEDURES.md). Number 0 is the one that the session was opened with. */
#pragma once

#include "peer/session.h"

struct turn_try;
struct turn_try *turn_try_new(struct session *session, uint64_t number);
void turn_try_free(struct turn_try *try); /* not inside an event of ICE or the path; NULL is fine */
OWN_FREEP(turn_try, struct turn_try)
/* Makes the agent, once; what it needs of `servers` is copied. */
void turn_try_begin(struct turn_try *try, const struct ice_turn *servers);
/* What the other end says: it may be early, and it may say the same twice. */
void turn_try_take(struct turn_try *try, struct view list, struct view more);
/* Tells what the other end was not told, or, of a later try that found no pair, all of it every other second: it may not have been there. */
void turn_try_tell(struct turn_try *try);
/* That nothing will come of it: who began it, or heard of it from here, need not wait. Not of the first one. */
void turn_try_tell_failed(const struct turn_try *try);
uint64_t turn_try_number(const struct turn_try *try);
bool turn_try_has_begun(const struct turn_try *try); /* there is an agent, which has not failed */
bool turn_try_has_failed(const struct turn_try *try);
bool turn_try_is_alive(const struct turn_try *try);
bool turn_try_has_candidate(const struct turn_try *try); /* a server relays for this end */
