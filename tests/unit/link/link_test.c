/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/link/pair.h"

static struct pair *pair_with(struct pair_options options)
{
    if (!options.wire.delay_ns)
        options.wire.delay_ns = 5 * MS_NS;
    return pair_new(&options);
}

TEST(link_comes_up_and_says_what_it_is)
{
    _cleanup_(pair_freep) struct pair *pair = pair_with((struct pair_options){ 0 });
    struct link_facts facts;

    CHECK(pair_up(pair));
    CHECK(link_is_up(pair->caller.link) && link_is_up(pair->callee.link));
    CHECK_U64(pair->caller.n_judged, 1);
    CHECK_U64(pair->callee.n_judged, 1);
    link_facts(pair->callee.link, &facts);
    CHECK_STR(facts.tls_version, "TLS1.3");
    CHECK_STR(facts.cipher, "TLS_AES_128_GCM_SHA256");
    CHECK_STR(facts.group, "X25519");
    CHECK_STR(facts.alpn, "warren-link/1");
    CHECK(facts.rtt_ns >= 10 * MS_NS && facts.rtt_ns < 100 * MS_NS);
}
