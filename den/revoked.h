/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of the revocation list, in memory as they stand in it: a list of a hundred thousand is
 * made anew without asking the store about each of them. */
#pragma once

#include "den/store.h"

struct revoked;

struct revoked *revoked_new(void);
void revoked_free(struct revoked *revoked);
OWN_FREEP(revoked, struct revoked)

/* Takes in what the store knows above the newest revocation that is here, certificates that ended
 * before `since` left out: about `max` at a time, *ret_is_all false when there are more. */
bool revoked_load(struct revoked *revoked, struct store *store, uint64_t since, size_t max,
                  bool *ret_is_all, struct err *err);
/* Drops certificates that ended before `before`. */
void revoked_drop_ended(struct revoked *revoked, uint64_t before);
struct view revoked_entries(
    const struct revoked *revoked); /* for pki_listing_put(); until others are loaded or dropped */
size_t revoked_count(const struct revoked *revoked);
uint64_t revoked_no(const struct revoked *revoked); /* of the newest revocation that is here */
