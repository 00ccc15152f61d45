/* SPDX-License-Identifier: Apache-2.0 */
/* The router's STUN server: Binding (RFC 8489, and RFC 3489 for old
 * clients), with RESPONSE-ORIGIN, RESPONSE-PORT and a changed port of
 * RFC 5780, which need one address alone. Tells whoever asks from which address and port it is seen. No I/O:
 * datagrams, addresses and time are handed in.
 *
 * A sender's address may be forged, so that an answer hits somebody else. An answer is short and always less
 * than four times its request, which may be as large as a packet of Ethernet's: whoever asks may want to know what gets through; each network (IPv4 /24, IPv6 /48) gets so many a second, and so do all
 * together; what comes on top is dropped without a word. */
#pragma once

#include "base/buf.h"

#include <netinet/in.h>

enum { STUN_MAX_REQUEST = 1472, STUN_MAX_ANSWER = 160 };

union stun_address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6; /* mapped IPv4 is IPv4 */
};

struct stun_limits {
    uint64_t per_network, total; /* answers a second; 0: any number */
};

struct stun_request {
    struct view packet;
    union stun_address from, at; /* who sent it, and where it came to */
    uint16_t other_port;         /* of another socket of the same address to answer from; 0: none */
};

struct stun_answer {
    uint8_t bytes[STUN_MAX_ANSWER];
    size_t len;
    union stun_address to;
    bool from_other_port;
};

enum stun_outcome {
    STUN_ANSWERED,
    STUN_REFUSED,  /* with an error response: it wants what is not done here */
    STUN_DROPPED,  /* no request of STUN */
    STUN_TOO_MANY, /* dropped for a limit */
};

struct stun;
struct stun *stun_new(const struct stun_limits *limits);
void stun_free(struct stun *stun);
OWN_FREEP(stun, struct stun)
void stun_set_limits(struct stun *stun, const struct stun_limits *limits);
/* *ret_answer is to be sent when it was answered or refused. `now`: clock_mono_ms(). */
enum stun_outcome stun_serve(struct stun *stun, const struct stun_request *request, uint64_t now,
                             struct stun_answer *ret_answer);
