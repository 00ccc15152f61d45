/* SPDX-License-Identifier: Apache-2.0 */
/* A line of an examination, as it is put together and told. */
#pragma once

#include "base/own.h"
#include "peer/handle.h"

struct finding {
    struct peer_finding it;
};

void finding_begin(struct finding *f, enum peer_verdict verdict, const char *subject,
                   const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void finding_remedy(struct finding *f, const char *remedy);
/* At most PEER_MAX_FINDING_FACTS; one too many is left out. */
void finding_fact(struct finding *f, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void finding_ms(struct finding *f, const char *name, uint64_t us); /* "12.3" */
/* `link`: whose examination it is; NULL: the machine's. */
void finding_tell(const struct finding *f, struct hub *hub, struct peer_link *link);
