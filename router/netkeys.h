/* SPDX-License-Identifier: Apache-2.0 */
/* Every key that ever came in by netsign. Such a key must prove nothing by cryptosign, where the
 * other side chooses the bytes that are signed; so it is remembered after its session, on disk. */
#pragma once

#include "base/key.h"
#include "router/realms.h"

/* Hashes of 128 bits. More keys than that, and cryptosign is over (netkeys_is_refused). */
enum { NETKEYS_HASH = 16, NETKEYS_MAX = 4 * 1024 * 1024 };

struct netkeys;
struct netkeys *netkeys_new(size_t max);
void netkeys_free(struct netkeys *keys);
OWN_FREEP(netkeys, struct netkeys)

/* The file: a head, then one record a key. */
void netkeys_put_head(struct buf *to);
/* *ret_len: how much of the file is whole; less when its last record was cut short. BAD_CONFIG: it
 * is no such file. */
bool netkeys_load(struct view file, size_t max, struct netkeys **ret_keys, size_t *ret_len,
                  struct err *err);

/* False: it is known already, or there is no room. Else its record is put at the end of `records`. */
bool netkeys_add(struct netkeys *keys, struct view public_key, struct buf *records);
bool netkeys_has(const struct netkeys *keys, struct view public_key);
size_t netkeys_count(const struct netkeys *keys);
/* Whether cryptosign refuses it: it came by netsign, or that cannot be told any more. */
bool netkeys_is_refused(const struct netkeys *keys, struct view public_key);
/* BAD_CONFIG: a principal has a key that came by netsign; all of them, a line each, in *ret_all
 * (may be NULL). */
bool netkeys_check_realms(const struct netkeys *keys, const struct realms *realms,
                          struct buf *ret_all, struct err *err);
