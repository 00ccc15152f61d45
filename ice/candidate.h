/* SPDX-License-Identifier: Apache-2.0 */
/* A candidate line (RFC 8839, 5.1) apart and together. No I/O. Of the folder's own. */
#pragma once

#include "ice/ice.h"

#define CANDIDATE_FOUNDATION 33 /* 32 characters and a NUL */
#define CANDIDATE_ADDRESS    46 /* INET6_ADDRSTRLEN */

struct candidate {
    enum ice_kind kind;
    char foundation[CANDIDATE_FOUNDATION];
    uint32_t priority;
    char address[CANDIDATE_ADDRESS];
    uint16_t port;
    char base_address[CANDIDATE_ADDRESS]; /* raddr; "" when absent */
    uint16_t base_port;
    bool is_loopback;
};

/* Strict. BAD_WIRE says which part is not usable. Loopback is read and marked. */
bool candidate_read(struct view line, struct candidate *ret, struct err *err);
void candidate_write(const struct candidate *c, struct buf *to); /* without a line feed */
