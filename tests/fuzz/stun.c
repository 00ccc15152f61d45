/* SPDX-License-Identifier: Apache-2.0 */
/* What anybody sends to the STUN server: an answer goes to who asked, is short, carries the request's transaction, and adds up. */
#include "router/stun.h"
#include "base/key.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void look_at(const struct stun_answer *answer, struct view request)
{
    struct view bytes = VIEW(answer->bytes, answer->len);

    if (bytes.len < 20 || bytes.len > STUN_MAX_ANSWER || bytes.len >= 4 * request.len)
        abort();
    if (bytes.data[0] != 1 || memcmp(bytes.data + 4, request.data + 4, 16) != 0)
        abort();
    if (((size_t)bytes.data[2] << 8 | bytes.data[3]) + 20 != bytes.len)
        abort();
    for (size_t at = 20; at < bytes.len;) {
        size_t size = (size_t)bytes.data[at + 2] << 8 | bytes.data[at + 3];
        at += 4 + ((size + 3) & ~(size_t)3);
        if (at > bytes.len)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct stun_limits none = { 0, 0 };
    static struct stun *stun;
    struct stun_request request = { .packet = VIEW(data, size) };
    struct stun_answer answer = { 0 };
    enum stun_outcome outcome;
    struct err err;

    if (!stun && key_init(&err))
        stun = stun_new(&none);
    request.from.in6 =
        (struct sockaddr_in6){ .sin6_family = size % 2 ? AF_INET6 : AF_INET, .sin6_port = 1000 };
    request.at.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = 1000 };
    request.other_port = size % 3 ? 3479 : 0;
    outcome = stun_serve(stun, &request, 5000, &answer);
    if (outcome == STUN_ANSWERED || outcome == STUN_REFUSED)
        look_at(&answer, request.packet);
    else if (answer.len)
        abort();
    return 0;
}
