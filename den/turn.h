/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials for TURN servers (coturn's REST scheme): den and the servers share a secret, the two ends of a session
 * get what was made with it, good for this session and ten minutes. The secrets are read from their files alone: they
 * are in no store, no backup, no log and no audit. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum { TURN_MAX_SECRETS = 8, TURN_CREDENTIAL_MS = 10 * 60 * 1000 };

/* The words of `text`, "HOST[:PORT] ...", which it borrows: relays as a grant names them. INVALID_ARGUMENT names the one that is none; at most 4. */
enum { GRANT_MAX_RELAYS = 4 };
struct rpc_items;
bool grant_read_relays(const char *text, struct rpc_items *ret_items, struct err *err);

struct turn;

/* Whether `uris`, separated by spaces, are TURN servers: at most 8. INVALID_ARGUMENT names the one that is not. */
bool turn_check_uris(const char *uris, struct err *err);
/* Reads the secrets' files, of mode 0600 and with one line each; the first makes credentials, the others have to be good
 * too: servers know them, before or after. NOT_FOUND, EXPOSED, BAD_CONFIG. */
bool turn_open(const char *uris, const char *secrets /* paths, separated by spaces */,
               struct turn **ret_turn, struct err *err);
/* All that is wrong with these files: appends a line for each, with `place` before it. False: there is one. */
bool turn_check_secrets(const char *secrets, const char *place, struct buf *ret_all);
void turn_free(struct turn *turn); /* wipes them; NULL is fine */
OWN_FREEP(turn, struct turn)
size_t turn_n_servers(const struct turn *turn); /* 0: none, NULL is fine */
size_t turn_n_secrets(const struct turn *turn);
/* Appends what `id`, one of the two ends of session `sid`, is given: nil where there is no TURN. */
void turn_put(const struct turn *turn, struct view sid, const char *id, uint64_t now,
              struct buf *to);
/* The servers alone, without a credential: for who looks whether they are there. */
void turn_put_servers(const struct turn *turn, struct buf *to);
