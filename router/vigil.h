/* SPDX-License-Identifier: Apache-2.0 */
/* A den that is connected and hangs: whoever calls it is told within two seconds, as when it is away. While calls wait for den and
 * nothing at all comes from it, it is asked for a sign of life; if there is none, its calls fail, and new ones at once, until it is
 * heard of again. A dial that rings waits for whoever is called, not for den, until that one has answered. */
#pragma once

#include "router/deadline.h"

#include <stdbool.h>
#include <stdint.h>

struct conn;

#define DEN_SILENT "den is connected and does not answer"

enum { VIGIL_ASK_MS = 200, VIGIL_ANSWER_MS = 1300 };

struct vigil { /* in struct conn */
    struct deadline due;
    uint64_t since, heard_at; /* mono */
    uint64_t answered_at;     /* mono: what it had called itself was answered last; 0: never */
    bool is_asking;
    bool is_mute;
};

void vigil_begin(struct conn *callee); /* it has one more call; others than den are not watched */
void vigil_answered(
    struct conn *caller);            /* what it called was answered: now it has to say something */
void vigil_heard(struct conn *conn); /* anything came from it */
void vigil_end(struct conn *conn);   /* it is gone */
/* False: it gave no sign of life when it was asked, and nothing came since. */
bool vigil_is_well(const struct conn *callee);
