/* SPDX-License-Identifier: Apache-2.0 */
/* `warren admin`: what its words stand for, and how answers are printed. */
#pragma once

#include "rpc.h"

/* The member's value in the JSON of an object, up to *ret_end; NULL: it has none of that name. */
const char *admin_member(const char *object, const char *name, const char **ret_end);
char *admin_text_member(const char *object, const char *name); /* malloc()ed; NULL: no text */
/* A list's objects in columns, whose names stand with spaces between. */
void admin_print_items(const char *items, const char *names, bool is_first);
/* The objects as they are; how many. */
unsigned admin_print_json_items(const char *items, const char *before, const char *between);
void admin_print_object(const char *object); /* a line a member */
