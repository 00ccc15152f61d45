/* SPDX-License-Identifier: Apache-2.0 */
/* A handshake under way, shared by the files that make it. */
#pragma once

#include "router/handshake.h"
#include "router/router.h"

struct handshake {
    struct conn *conn;
    enum realm_method method;
    uint64_t session; /* the one that WELCOME will say */
    bool is_decided;
    enum role role;
    char authid[CONN_ID];
    char authrole[REALM_ROLE]; /* empty: the role's name */

    /* cryptosign, wampcra, ticket */
    const struct principal
        *principal; /* borrowed from the realm; NULL: unknown, which is said last */
    uint8_t challenge[32];
    struct buf text; /* wampcra: what is signed */

    /* netsign */
    struct rpc_netsign netsign; /* what both ends signed */
    uint8_t instance[16];
    struct call *asking;           /* den.identity.admit is under way */
    uint8_t enrol_hash[HASH_SIZE]; /* of the enrolment that den was asked about */
    bool has_enrol,
        is_proved; /* is_proved: the key; what is refused then is an admission or an enrolment */
    uint64_t adm_no;
    struct buf admission, signature; /* as the peer gets it; empty for den */

    /* While the session of another process with the same key is asked for a sign of life. */
    struct deadline answer;
    struct list of_asked; /* among the session's doubters */
    uint64_t asked;       /* the number of its connection */
    uint64_t nonce;       /* in the ping, and in the pong to it */
    unsigned n_asked;
};

/* A method's answer to HELLO or AUTHENTICATE. False aborts with `err`; after true it has
 * challenged, decided, asked den, or ended the connection, with the handshake. */
typedef bool handshake_action(struct handshake *h, const struct conn_input *in, struct err *err);
handshake_action netsign_hello, netsign_authenticate;
handshake_action cryptosign_hello, cryptosign_authenticate;
handshake_action wampcra_hello, wampcra_authenticate;
handshake_action ticket_hello, ticket_authenticate;

void handshake_challenge(struct handshake *h, struct view extra);
/* Lets in h->principal. */
void handshake_admit(struct handshake *h);
void handshake_take_role(struct handshake *h, const char *role);
/* Both end the connection and free the handshake; true. One answer for whoever is unknown and
 * whoever has the wrong proof. */
bool handshake_fail(struct conn *conn);
bool handshake_refuse(struct conn *conn, const char *uri, const char *why);
/* [bytes, sig] */
void handshake_put_signed(struct buf *to, struct view bytes, struct view sig);
