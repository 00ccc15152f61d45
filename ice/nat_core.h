/* SPDX-License-Identifier: Apache-2.0 */
/* The questions behind nat.h and what the answers mean. No I/O: packets, time and random numbers are handed in. */
#pragma once

#include "ice/nat.h"

#include <netinet/in.h>

enum {
    NAT_SOCKETS = 4,
    NAT_SIZES = 8,
    NAT_TESTS = 8 + NAT_SIZES,
    NAT_TXID = 12,
    NAT_MAX_PACKET = 548, /* of an answer */
    NAT_MAX_REQUEST = 1452,
    NAT_SENDS = 5,
    NAT_GIVE_UP_MS = 1900,
};

union nat_address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

struct nat_test {
    bool is_on, is_answered, is_over;
    unsigned socket; /* whose packets those are */
    unsigned change; /* of RFC 5780: 4 another address, 2 another port */
    size_t size;     /* 0: as short as it can be */
    union nat_address to, mapped;
    uint8_t txid[NAT_TXID];
    unsigned n_sent;
    uint64_t next_at, sent_at; /* ms */
};

struct nat_core {
    struct nat_test tests[NAT_TESTS];
    union nat_address local; /* of socket 0, as the kernel would send to the server */
    uint64_t began_at, rtt_us;
    bool has_other; /* the second server told its other address */
};

struct nat_packet {
    unsigned socket;
    union nat_address to;
    uint8_t bytes[NAT_MAX_REQUEST];
    size_t len;
};

bool nat_address_read(const char *text, uint16_t port, union nat_address *ret);
void nat_address_write(const union nat_address *address, char to[64]);
socklen_t nat_address_size(const union nat_address *address);
/* `txids`: NAT_TESTS random ones. `local` may have family 0. */
void nat_begin(struct nat_core *nat, const struct ice_nat_question *question,
               const union nat_address *local, const uint8_t txids[NAT_TESTS][NAT_TXID],
               uint64_t now_ms);
bool nat_next(struct nat_core *nat, uint64_t now_ms, struct nat_packet *ret); /* to be sent now */
uint64_t nat_deadline(const struct nat_core *nat); /* when to look at nat_next() again */
/* What came to a socket; anything that is no answer to what was asked is passed over. */
void nat_input(struct nat_core *nat, unsigned socket, const union nat_address *from,
               struct view packet, uint64_t now_us);
bool nat_is_done(const struct nat_core *nat, uint64_t now_ms);
/* Where the sender of that Binding was seen; false: it is not the answer to it. */
bool nat_answer_read(struct view packet, const uint8_t txid[NAT_TXID],
                     union nat_address *ret_mapped);
void nat_result(const struct nat_core *nat, struct ice_nat *ret);
