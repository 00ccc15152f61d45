/* SPDX-License-Identifier: Apache-2.0 */
/* known_peers: which identity key each peer proved when it was first met. One line a peer,
 *
 *     456000 9f8e...64 hex digits... 2026-11-20T19:03:02Z
 *
 * `#` starts a comment line; blank lines are fine. People may edit it: removing a line forgets the peer. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/key.h"

#include "peer/state.h"

enum known { KNOWN_NEW, KNOWN_SAME, KNOWN_CHANGED };

/* Looks `id` up in the file's text. *ret_line is the line's number (from 1) unless KNOWN_NEW. BAD_CONFIG names a
 * line that is not understood. */
bool known_find(struct view text, const char *id, const uint8_t pk[KEY_SIZE], enum known *ret_known,
                size_t *ret_line, struct err *err);
void known_put(struct buf *text, const char *id, const uint8_t pk[KEY_SIZE], uint64_t now);

/* On the file, which is read each time because people may have edited it. IDENTITY_CHANGED names file and line. */
bool known_check(const struct state *state, const char *id, const uint8_t pk[KEY_SIZE],
                 struct err *err);
/* The key that is known of `id`; false when the file cannot be read. */
bool known_key(const struct state *state, const char *id, uint8_t ret_pk[KEY_SIZE],
               bool *ret_is_known);
void known_key_in(struct view text, const char *id, uint8_t ret_pk[KEY_SIZE], bool *ret_is_known);
/* From now on `id` has this key; its line before stays as a comment. */
bool known_replace(const struct state *state, const char *id, const uint8_t pk[KEY_SIZE],
                   uint64_t now, struct err *err);
/* Whether the file is understood at all: BAD_CONFIG names the line. */
bool known_load(const struct state *state, struct err *err);
/* Remembers a peer that has proved itself; nothing happens when it is known. */
bool known_remember(const struct state *state, const char *id, const uint8_t pk[KEY_SIZE],
                    uint64_t now, struct err *err);
