/* SPDX-License-Identifier: Apache-2.0 */
/* Who does something, from where and when: what the audit says of every act of an operator or administrator. */
#pragma once

#include "den/audit.h"

struct deed {
    char by
        [32]; /* an ID; "uid 1000": the account on den's own machine; or "file": what den read there */
    char source
        [64]; /* the address that an ID asked from, "local", or the file (of a long path the end) */
    uint64_t at;
};
/* Whoever runs this process. */
struct deed deed_here(uint64_t now);
/* An account of this machine that asks a den at work. */
struct deed deed_of_uid(unsigned long uid, uint64_t now);
/* What a file of den's said when it was read: whoever may write it. */
struct deed deed_of_file(const char *path, uint64_t now);
struct deed deed_of_id(const char *id, struct view source, uint64_t now);

/* The last pairs of such an entry. */
#define DEED_PAIRS(deed) AUDIT_TEXT("by", (deed)->by), AUDIT_TEXT("source", (deed)->source)
