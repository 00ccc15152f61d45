/* SPDX-License-Identifier: Apache-2.0 */
/* A caller and a callee of one network, made once per process. */
#pragma once

#include "peer/link/link.h"
#include "pki/pki.h"

/* Fills is_caller, chain and key_der; they are borrowed from here. */
bool certs_fill(struct link_config *config, bool is_caller, struct err *err);
/* What the caller (or callee) thinks of the other side's chain. */
bool certs_judge(bool is_caller, const struct view *chain, size_t n, struct err *err);
