/* SPDX-License-Identifier: Apache-2.0 */
/* What anybody on the same network can say to a machine that has a permit: questions and answers of mDNS, answers of STUN servers. What is taken is
 * written and read as the same again. */
#include "base/mem.h"
#include "ice/nat_core.h"
#include "peer/mdns.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void look_at_question(struct view message)
{
    static const uint8_t key[MDNS_KEY];
    struct mdns_question q = { 0 }, again = { 0 };
    _buf_ bytes = { 0 };

    if (!mdns_read_question(message, &q))
        return;
    mdns_put_question(&q, &bytes);
    if (!mdns_read_question(buf_view(&bytes), &again) || memcmp(&q, &again, sizeof(q)) != 0)
        abort();
    mdns_is_asked(key, 1800000000000, &q);
}

static void look_at_answer(struct view message)
{
    static const uint8_t key[MDNS_KEY];
    struct mdns_answer a = { 0 }, again = { 0 };
    _buf_ bytes = { 0 };

    if (!mdns_read_answer(message, &a))
        return;
    mdns_put_answer(&a, &bytes);
    if (!mdns_read_answer(buf_view(&bytes), &again) || memcmp(&a, &again, sizeof(a)) != 0)
        abort();
    if (mdns_is_answered(key, &a))
        return;
}

static void look_at_stun(struct view message)
{
    static const uint8_t txids[NAT_TESTS][NAT_TXID];
    const struct ice_nat_question q = { "192.0.2.10", 3478, 3479, "192.0.2.20", 3478 };
    union nat_address from, local = { 0 };
    struct nat_core nat;
    struct nat_packet packet;
    struct ice_nat result;

    nat_begin(&nat, &q, &local, txids, 5);
    while (nat_next(&nat, 5, &packet))
        ;
    nat_address_read("192.0.2.10", 3478, &from);
    for (unsigned i = 0; i < NAT_SOCKETS; i++)
        nat_input(&nat, i, &from, message, 9000);
    nat_address_read("192.0.2.20", 3478, &from);
    nat_input(&nat, 0, &from, message, 9000);
    nat_result(&nat, &result);
    ice_nat_name(&result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    look_at_question(VIEW(data, size));
    look_at_answer(VIEW(data, size));
    look_at_stun(VIEW(data, size));
    return 0;
}
