/* SPDX-License-Identifier: Apache-2.0 */
/* A network whose root is on another machine, between the request to that root and its response. Its keys, its configuration and
 * both requests are in the folder DIR.founding, beside the one that is asked for. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "den/root.h"

char *init_wait_path(const char *dir); /* the caller frees it */
/* ALREADY_EXISTS when one waits, or with `is_answer` NOT_FOUND when none does; with what to do. */
bool init_wait_check(const char *dir, bool is_answer, struct err *err);
/* Into `folder`, which becomes the one that waits: what has to be known when the response comes. */
bool init_wait_put(const char *folder, const struct root_order *asked, struct view router_request,
                   struct err *err);
/* What init_wait_put() wrote. */
bool init_wait_read(const char *folder, struct root_order *ret_asked,
                    struct buf *ret_router_request, struct err *err);
/* Keys and configuration, into the folder that becomes den's. */
bool init_wait_copy(const char *folder, const char *to, struct err *err);
