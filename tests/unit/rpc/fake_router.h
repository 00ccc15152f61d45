/* SPDX-License-Identifier: Apache-2.0 */
/* The router's end of one session, as scripted as a test needs it: proves itself (or lies),
 * welcomes, and answers calls by what they are called. No I/O. */
#pragma once

#include "rpc/rpc.h"
#include "tests/unit/rpc/fakenet.h"

enum fake_lie {
    LIE_NONE,
    /* in CHALLENGE */
    LIE_METHOD,
    LIE_PIN,
    LIE_KEY,
    LIE_SIGNER,
    LIE_EXPORTER,
    LIE_NONCE,
    LIE_NO_NONCE,
    LIE_NO_HEARTBEAT,
    LIE_HEARTBEAT_SIGNER,
    LIE_WELCOME_AT_ONCE,
    LIE_ABORT,
    LIE_NONSENSE,
    LIE_SILENCE,
    /* in WELCOME */
    LIE_NO_ADMISSION,
    LIE_ADMISSION_SIGNER,
    LIE_ADMISSION_PK,
    LIE_ADMISSION_ID,
    LIE_ADMISSION_ROLE,
    LIE_ADMISSION_EXPIRED,
    LIE_ADMISSION_NETWORK,
};

enum { FAKE_NOW = FAKE_ISSUED + 1000, FAKE_SEEN = 64 };

struct fake_router {
    struct fake_root root, other_root;
    struct fake_manifest manifest, other_manifest;
    struct key *router_key, *den_sign, *den_login, *stranger;
    enum fake_lie lie;
    uint64_t hb_no;
    bool refuses_registrations;

    struct rpc_netsign proof; /* of the newest HELLO */
    bool has_proved;          /* S2 verified */
    uint64_t session, last_invocation;
    struct {
        enum rpc_type type;
        uint64_t request;
        char uri[64];
    } seen[FAKE_SEEN]; /* what the client sent, in order */
    size_t n_seen;
    void (*send)(void *user, struct view frame);
    void *user;
};
void fake_router_init(struct fake_router *r);
void fake_router_deinit(struct fake_router *r);
#define _fake_router_ _cleanup_(fake_router_deinit) struct fake_router
struct rpc_trust *
fake_router_trust(const struct fake_router *r); /* a newcomer's, pinned to its root */
uint64_t fake_wall(void);                       /* FAKE_NOW, always */

void fake_router_opened(struct fake_router *r, const uint8_t exporter[32]);
/* Calls of "a.echo" get their arguments back, "a.fail" an error, "a.steps" two progressive
 * results and one more; others nothing. */
void fake_router_input(struct fake_router *r, struct view frame);
void fake_router_invoke(struct fake_router *r, uint64_t registration, const char *authrole,
                        struct view args);
void fake_router_event(struct fake_router *r, uint64_t subscription, struct view args);
void fake_router_send(struct fake_router *r, const struct rpc_msg *msg);
