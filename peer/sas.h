/* SPDX-License-Identifier: Apache-2.0 */
/* The short authentication string, for two people who read it to each other. Commit and reveal, once a link: each end draws n and
 * sends SHA-256(n); who has the other's commitment sends n. So neither can choose its number after it has seen the other one, and
 * somebody who sits between two links has one try in 2^20 at making both strings the same. From the exporter alone such a string
 * could be ground in a minute. The link's PROTOCOL.md, section 2. Pure: no I/O. */
#pragma once

#include "base/err.h"
#include "base/key.h"

enum { SAS_TEXT = 5 }; /* four characters and the NUL */

struct sas { /* zeroed to begin with */
    uint8_t ours[HASH_SIZE], commitment[HASH_SIZE] /* theirs */, theirs[HASH_SIZE];
    bool has_committed, has_theirs, is_done;
};

/* Our number, and what is to be sent for it. Once. */
void sas_commit(struct sas *sas, const uint8_t number[HASH_SIZE],
                uint8_t ret_commitment[HASH_SIZE]);
/* Their next message, 32 bytes. BAD_WIRE: not what they committed to, or one too many. */
bool sas_input(struct sas *sas, struct view bytes, struct err *err);
/* Once is_done. */
void sas_text(const struct sas *sas, bool is_caller, struct view exporter, char ret_text[SAS_TEXT]);
