/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks for sessions and peers that are not there: IDs are short, and must not be tried out. */
#pragma once

#include "router/window.h"

struct conn;
struct err;
struct lookups;
struct router_config;

struct lookups *lookups_new(const struct router_config *config);
void lookups_free(struct lookups *lookups);
/* False: too many have failed in the last minute; then not even what is there is told. */
bool lookups_may(struct conn *conn, struct err *err);
void lookups_failed(struct conn *conn);
