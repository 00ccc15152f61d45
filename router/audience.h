/* SPDX-License-Identifier: Apache-2.0 */
/* Who may get an event: what its publisher listed as eligible or excluded. */
#pragma once

#include "router/conn.h"

enum { AUDIENCE_MAX = 64 }; /* in one list */

struct audience_list {
    bool is_given; /* else it narrows nothing */
    size_t n;
    struct view text[AUDIENCE_MAX];
    uint64_t id[AUDIENCE_MAX];
};

struct audience {
    const struct conn *publisher; /* gets it when `includes_publisher` */
    bool includes_publisher;
    bool is_all; /* no list was given */
    struct audience_list eligible, eligible_authid, eligible_authrole;
    struct audience_list exclude, exclude_authid, exclude_authrole;
};

/* LIMIT "exclude: more than 64"; the lists borrow from `ask`. */
bool audience_read(const struct conn *publisher, const struct rpc_publish *ask,
                   struct audience *ret_audience, struct err *err);
bool audience_has(const struct audience *audience, const struct conn *conn);
