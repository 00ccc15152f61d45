/* SPDX-License-Identifier: Apache-2.0 */
/* What an examination found, for people and as JSON: `warren doctor` and `warren explain`. */
#pragma once

#include "cli.h"

struct findings {
    bool json;
    unsigned n, n_bad;
};

void findings_begin(struct findings *findings, bool json);
void findings_put(struct findings *findings, const struct peer_finding *finding);
/* What stands in the way of a finding is one. */
void findings_put_error(struct findings *findings, const char *subject,
                        const struct peer_error *error);
int findings_end(struct findings *findings); /* the exit status: 1 when something is bad */
