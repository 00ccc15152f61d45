/* SPDX-License-Identifier: Apache-2.0 */
/* What a tunnel's two ends call the same thing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* "tunnel:PORT" for a port of the machine itself, "tunnel:HOST:PORT" for one that it reaches. False: not a capability's name. */
bool tunnel_capability(const char *host, const char *port, char *to, size_t size);
/* "[HOST:]PORT", an IPv6 HOST in brackets, into its parts, in place; the host is "" when there is none. */
bool tunnel_split(char *word, char **ret_host, char **ret_port);
