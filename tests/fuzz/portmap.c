/* SPDX-License-Identifier: Apache-2.0 */
/* What a home router answers, or whoever took its address: what is taken says one thing, within its bounds. */
#include "base/own.h"
#include "ice/portmap.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

/* The same mapping is asked for again: within the bounds, and of the version. */
static void ask_again(const struct portmap_answer *a)
{
    struct portmap_question q = { .inner = a->inner, .outer = a->outer, .life_s = a->life_s };
    uint8_t bytes[PORTMAP_MAX_ASK];

    memcpy(q.nonce, a->nonce, sizeof(q.nonce));
    memcpy(q.outer_address, a->address, sizeof(q.outer_address));
    if (portmap_write(a->version, &q, bytes) > sizeof(bytes) || bytes[0] != a->version)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct portmap_answer a;
    uint8_t gateway[4];

    portmap_gateway(VIEW(data, size), gateway);
    if (!portmap_read(VIEW(data, size), &a))
        return 0;
    if (size > PORTMAP_MAX_ANSWER || data[0] != a.version ||
        a.is_other == (a.has_address || a.has_port) || (a.has_port && (!a.outer || !a.life_s)) ||
        (a.version == PORTMAP_PCP && a.has_port != a.has_address))
        abort();
    ask_again(&a);
    return 0;
}
