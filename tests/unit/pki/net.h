/* SPDX-License-Identifier: Apache-2.0 */
/* A network for the tests of pki: root, intermediate, and a trust set that lists both. */
#pragma once

#include "pki/pki.h"
#include "tests/check.h"

#define NET_NAME "corp.example"
#define NET_NOW  ((uint64_t)1795000000000) /* 2026-11-18 */

struct net {
    struct pki_ca *root, *intermediate;
    struct pki_trust *trust;
    uint64_t now; /* leaves are issued then */
};

bool net_init(struct net *net, struct err *err); /* at NET_NOW */
bool net_init_at(struct net *net, uint64_t now, struct err *err);
void net_deinit(struct net *net);
/* A leaf for a fresh key; *ret_key may be NULL. */
bool net_issue(const struct net *net, enum pki_profile profile, const char *label,
               struct pki_key **ret_key, struct pki_cert **ret_cert, struct err *err);
/* An order as den writes it: 24 h, or 30 days for the router. */
struct pki_order net_order(enum pki_profile profile, const char *label);
