/* SPDX-License-Identifier: Apache-2.0 */
/* Service names and the sessions that they stand for: `network.resolve("den")`. A name is freed
 * with its session. */
#pragma once

#include "base/buf.h"

struct names;
struct conn;

struct names *names_new(void);
void names_free(struct names *names);
/* The newest holder has it. */
void names_set(struct names *names, struct view service, struct conn *holder);
/* Unless another has it now */
void names_drop(struct names *names, struct view service, const struct conn *holder);
/* The service that a session has the name of; the empty view: none. Lives as long as the name. */
struct view names_of(const struct names *names, const struct conn *holder);
struct conn *names_find(const struct names *names, struct view service); /* NULL: not connected */
