/* SPDX-License-Identifier: Apache-2.0 */
/* What a party knows for certain about its network: roots, the chain of manifests, the newest
 * heartbeat, and the time that follows from it. Peer, router and den each keep one, on disk, and it
 * only moves forward. No I/O. */
#pragma once

#include "rpc/statement.h"

enum { RPC_MAX_MANIFESTS = 32, RPC_MAX_ROOTS = 8, RPC_MAX_ROOT_DER = 4096 };

/* Verifies a manifest's signature with the public key of a root certificate (DER): rpc knows no
 * X.509. */
typedef bool rpc_manifest_judge(struct view root_der, struct view bytes, struct view sig,
                                struct err *err);

struct rpc_trust;

/* Nothing is known yet but the pin: SHA-256 of a root. */
struct rpc_trust *rpc_trust_new(const char *network, const uint8_t pin[HASH_SIZE],
                                rpc_manifest_judge *judge);
void rpc_trust_free(struct rpc_trust *trust);
OWN_FREEP(rpc_trust, struct rpc_trust)

/* A root that is listed in a manifest, or will be; unlisted ones are of no effect. At most
 * RPC_MAX_ROOTS. */
bool rpc_trust_add_root(struct rpc_trust *trust, struct view der, struct err *err);
/* The next manifest: from the first that the pinned root signed, then in order without gaps; an
 * already known number must be byte-equal. One signature a signer: the roots of the previous
 * manifest of which one must have signed first, then each root it adds, in list order. BAD_PIN,
 * BAD_SIGNATURE, BAD_STATEMENT, STALE (a lower number than is known). */
bool rpc_trust_add_manifest(struct rpc_trust *trust, struct view bytes, const struct view *sigs,
                            size_t n_sigs, struct err *err);
/* All of a CHALLENGE's `roots` and `manifests` (msgpack values), then: the newest must be unexpired
 * at `wall_now`. On failure nothing was changed. */
bool rpc_trust_take_challenge(struct rpc_trust *trust, struct view roots, struct view manifests,
                              uint64_t wall_now, struct err *err);
/* For the router: appends the values of `roots` and `manifests`, from `known_no` on (0 with pin:
 * from the first manifest that the pinned root signed; BAD_PIN when that root never headed this
 * network). */
bool rpc_trust_put_challenge(const struct rpc_trust *trust, uint64_t known_no, struct view pin,
                             struct buf *ret_roots, struct buf *ret_manifests, struct err *err);

/* Appends the values of `roots` and `manifests`: everything that is kept, for whoever may know less. */
void rpc_trust_put_all(const struct rpc_trust *trust, struct buf *ret_roots,
                       struct buf *ret_manifests);
/* Takes the roots and manifests of `newer` that `trust` lacks, verified like a CHALLENGE's. Nothing newer is fine.
 * On failure nothing was changed. */
bool rpc_trust_follow(struct rpc_trust *trust, const struct rpc_trust *newer, struct err *err);

bool rpc_trust_is_ready(const struct rpc_trust *trust); /* has at least one manifest */
const char *rpc_trust_network(const struct rpc_trust *trust);
/* 32 bytes, borrowed: for HELLO while nothing else is known. */
struct view rpc_trust_pin(const struct rpc_trust *trust);
/* The newest, for HELLO; 0 before the first. */
uint64_t rpc_trust_manifest_no(const struct rpc_trust *trust);
/* 32 bytes, borrowed: the hash of the first root. */
struct view rpc_trust_netid(const struct rpc_trust *trust);
const struct rpc_manifest *
rpc_trust_manifest(const struct rpc_trust *trust); /* the newest; NULL before */
struct view rpc_trust_manifest_bytes(const struct rpc_trust *trust);
/* The newest manifest's signature and the root that made it, number `i`; false when there are
 * fewer. */
bool rpc_trust_manifest_signature(const struct rpc_trust *trust, size_t i, struct view *ret_sig,
                                  struct view *ret_root_der);
/* The number of the first kept manifest that lists this hash among its roots or intermediates; 0: none does. */
uint64_t rpc_trust_first_listing(const struct rpc_trust *trust, struct view hash);
/* The same of a key in that role. */
uint64_t rpc_trust_first_key(const struct rpc_trust *trust, enum rpc_key_role role, struct view pk);
/* The first key in that role of manifest `no`; false, and nothing is written, when that is not kept or lists none. */
bool rpc_trust_key_at(const struct rpc_trust *trust, uint64_t no, enum rpc_key_role role,
                      struct view *ret_pk);
bool rpc_trust_root(const struct rpc_trust *trust, size_t i,
                    struct view *ret_der); /* listed roots' DER, in order */
/* Whether the newest manifest lists `pk` for `role` at `now`: UNLISTED_KEY. */
bool rpc_trust_check_key(const struct rpc_trust *trust, enum rpc_key_role role, struct view pk,
                         uint64_t now, struct err *err);
/* The den-sign key in force; false when none is. Several: the newest first entry whose time is
 * right. */
bool rpc_trust_den_sign(const struct rpc_trust *trust, uint64_t now, struct view *ret_pk);
/* Verifies under any den-sign key in force, then reads. */
bool rpc_trust_open(const struct rpc_trust *trust, enum rpc_word word, struct view bytes,
                    struct view sig, uint64_t now, void *ret_statement, struct err *err);

/* Signed by a key that any kept manifest lists for den-sign, whatever the time. */
bool rpc_trust_is_by_a_den(const struct rpc_trust *trust, struct view bytes, struct view sig);

/* ---- heartbeat ------------------------------------------------------------------------------ */

/* FORKED comes with an error: den signed it, and what it says cannot be together with the one that
 * is held. Both are the proof, and worth an alarm. */
enum rpc_heart { RPC_HEART_NEWER, RPC_HEART_SAME, RPC_HEART_OLDER, RPC_HEART_FORKED };
/* Verifies it (netid, den-sign key); takes it when its number is higher and none of its other
 * numbers fell (STALE), no head changed under its number, and there are no two of one number
 * (BAD_STATEMENT): else nothing changes. `mono_now` anchors network time. */
bool rpc_trust_add_heartbeat(struct rpc_trust *trust, struct view bytes, struct view sig,
                             uint64_t mono_now, uint64_t wall_now, enum rpc_heart *ret_heart,
                             struct err *err);
const struct rpc_heartbeat *
rpc_trust_heartbeat(const struct rpc_trust *trust); /* NULL before the first */
struct view rpc_trust_heartbeat_bytes(const struct rpc_trust *trust);
struct view rpc_trust_heartbeat_sig(const struct rpc_trust *trust);
/* Whether `beacon` is one of the last two: "fresh" without a clock. */
bool rpc_trust_knows_beacon(const struct rpc_trust *trust, struct view beacon);
/* Network time: what a heartbeat or den.time said and what the monotonic clock says since; it never
 * falls, so that one that was held back makes nobody believe in the past. The wall clock before the
 * first in this process (a heartbeat loaded from disk tells no time). */
uint64_t rpc_trust_now(const struct rpc_trust *trust, uint64_t mono_now, uint64_t wall_now);
/* Network time less the newest heartbeat's own: not since it arrived. UINT64_MAX while nothing has
 * told the time in this process. */
uint64_t rpc_trust_heartbeat_age(const struct rpc_trust *trust, uint64_t mono_now);

/* How far the wall clock of a machine may be from network time before that is said. */
enum { RPC_CLOCK_SKEW_MS = 5 * 60 * 1000 + 10 * 1000 };
/* CLOCK_SKEW with both times when they are further apart than that, and true. */
bool rpc_trust_clock_is_wrong(uint64_t wall_now, uint64_t network_now, struct err *err);
/* A check failed, and nothing but this machine's clock said what time it is: true when den's heartbeat shows that it was
 * wrong. Then *err says so instead. Whether a manifest is over is always looked at by that clock too: nobody who has old keys
 * makes it valid again by telling an older time. */
struct rpc_trust_shown { /* by a router that is not believed yet */
    struct view roots, manifests, heartbeat, sig;
};
bool rpc_trust_blames_clock(const struct rpc_trust *trust, const struct rpc_trust_shown *shown,
                            uint64_t wall_now, struct err *err);

/* A heartbeat alone may be an old one: whoever stands in between can keep it back. den.time answers
 * a nonce, so its time is not older than the question. */
enum { RPC_TIME_MS = 10000, RPC_TIME_DRIFT_MS = 300000 };
struct rpc_time_answer {
    struct view nonce; /* RPC_NONCE16, what was asked */
    uint64_t asked_at; /* by the monotonic clock */
    struct view bytes, sig;
};
/* Confirms network time. BAD_SIGNATURE, BAD_STATEMENT; STALE when it took RPC_TIME_MS or more. */
bool rpc_trust_take_time(struct rpc_trust *trust, const struct rpc_time_answer *answer,
                         uint64_t mono_now, uint64_t wall_now, struct err *err);
/* Whether it was confirmed in this process, and the wall clock has not parted from it by more than
 * RPC_TIME_DRIFT_MS since: the monotonic one stands still while a machine sleeps. */
bool rpc_trust_time_is_sure(const struct rpc_trust *trust, uint64_t mono_now, uint64_t wall_now);

/* ---- on disk -------------------------------------------------------------------------------- */

/* Everything as one file's bytes; loading verifies all of it again. */
void rpc_trust_save(const struct rpc_trust *trust, struct buf *to);
bool rpc_trust_load(struct view bytes, rpc_manifest_judge *judge, struct rpc_trust **ret_trust,
                    struct err *err);
