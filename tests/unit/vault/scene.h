/* SPDX-License-Identifier: Apache-2.0 */
/* A vault, and den in front of it as it speaks to it, byte by byte. */
#pragma once

#include "vault/vault.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "rpc/rpc.h"
#include "tests/check.h"

#define NETWORK "corp.example"
#define NOW     ((uint64_t)1800000000 * 1000)

extern struct err err;               /* of what was asked last */
extern bool scene_disk_fails;        /* fdatasync() */
extern uint64_t scene_signing_takes; /* ms, by the clock that does not jump */

/* A vault on a folder of its own, and a peer that it knows nothing about. */
struct scene {
    char *dir;
    struct pki_ca *root;
    struct vault *vault;
    struct key *sign, *peer, *other;
    uint8_t netid[HASH_SIZE], beacon[RPC_BEACON];
    uint64_t now, hb_no;
    struct buf request, answer;
    struct vault_in in;
};

void scene_reopen(struct scene *s);
struct scene scene_new(void);
void scene_deinit(struct scene *s);
/* A request of that kind, to be filled in. */
void scene_begin(struct scene *s, enum vault_kind kind);
enum vault_outcome scene_send(struct scene *s);
/* Whether it says yes; else `err` says why not. */
bool scene_asked(struct scene *s);
bool scene_sign_bytes(struct scene *s, uint8_t word, struct view bytes);
bool scene_sign(struct scene *s, enum rpc_word word, const void *statement);
/* The next one, with a beacon of its own. */
struct rpc_heartbeat scene_heartbeat(struct scene *s);
void scene_beat(struct scene *s);
struct rpc_revocation scene_revocation(const struct scene *s, uint64_t no,
                                       const uint8_t previous[HASH_SIZE]);
