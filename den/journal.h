/* SPDX-License-Identifier: Apache-2.0 */
/* A live copy of the audit for systemd's journal, in its native protocol: a datagram of fields an entry. What was copied is
 * numbered in the store, so that nothing is left out while den or the journal is away; after a crash the last few may come twice. */
#pragma once

#include "den/store.h"

struct journal;
/* `place`: "journal", or the path of a socket that speaks its protocol. NULL when it is empty. */
struct journal *journal_new(const char *place);
void journal_free(struct journal *journal); /* NULL is fine */
/* The newest entry that was copied: those behind it are still wanted. NULL, of no journal: all are copied. */
uint64_t journal_copied(const struct journal *journal);
/* Sends what is new, as much as fits in a turn; now and then. */
void journal_copy(struct journal *journal, struct store *store);
