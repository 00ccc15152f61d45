/* SPDX-License-Identifier: Apache-2.0 */
#include "router/sources.h"
#include "tests/check.h"

static const struct sources_config limits = {
    .per_address = 3,
    .per_second = 5,
    .unproved = 10,
    .penalty = { [SOURCE_SILENCE] = 1000,
                 [SOURCE_AUTHENTICATION] = 5000,
                 [SOURCE_PROTOCOL] = 10000 },
    .penalty_least = 15000,
    .penalty_most = 600000,
    .tracked = 100,
};

struct key {
    uint8_t bytes[SOURCE_KEY];
};

static struct key v4(uint32_t n)
{
    return (struct key){
        { [10] = 0xff, 0xff, 192, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n }
    };
}

static enum source_verdict ask(struct sources *s, uint32_t n, uint64_t now)
{
    return sources_ask(s, v4(n).bytes, now, UINT32_MAX - 296); /* % 1000 is 999: the lucky side */
}

static struct source *open_one(struct sources *s, uint32_t n, uint64_t now)
{
    return sources_open(s, v4(n).bytes, now);
}

/* One connection that ends with that fault; what it is refused for from then on. */
static uint64_t fault_of(struct sources *s, uint32_t n, enum source_fault fault, uint64_t now)
{
    struct source *source = open_one(s, n, now);
    uint64_t refused_for = sources_blame(s, source, fault, now);

    sources_close(s, source, false, now);
    return refused_for;
}

TEST(an_address_has_so_many_connections)
{
    struct sources *s = sources_new(&limits);
    struct source *source[3];

    for (size_t i = 0; i < 3; i++) {
        CHECK_U64(ask(s, 1, i * 1000), SOURCE_MAY);
        source[i] = open_one(s, 1, i * 1000);
        sources_proved(s); /* it is not about those alone that have not */
    }
    CHECK_U64(ask(s, 1, 5000), SOURCE_TOO_MANY);
    CHECK_U64(ask(s, 2, 5000), SOURCE_MAY); /* others do not notice */
    sources_close(s, source[0], true, 6000);
    CHECK_U64(ask(s, 1, 6000), SOURCE_MAY);
    sources_close(s, source[1], true, 6000);
    sources_close(s, source[2], true, 6000);
    CHECK_U64(ask(s, 3, 9000), SOURCE_MAY); /* the others are forgotten by now */
    CHECK_U64(sources_n_tracked(s), 1);
    CHECK_U64(sources_n_unproved(s), 0);
    sources_free(s);
}

TEST(an_address_opens_so_many_a_second)
{
    struct sources *s = sources_new(&limits);

    for (size_t i = 0; i < 5; i++)
        CHECK_U64(ask(s, 1, 10000 + i), SOURCE_MAY);
    CHECK_U64(ask(s, 1, 10005), SOURCE_TOO_OFTEN);
    CHECK_U64(ask(s, 1, 10999), SOURCE_TOO_OFTEN);
    CHECK_U64(ask(s, 2, 10999), SOURCE_MAY);
    CHECK_U64(ask(s, 1, 11000), SOURCE_MAY);
    sources_free(s);
}

TEST(penalties_add_up_to_a_refusal_that_passes)
{
    struct sources *s = sources_new(&limits);

    CHECK_U64(fault_of(s, 1, SOURCE_AUTHENTICATION, 1000), 0);
    CHECK_U64(fault_of(s, 1, SOURCE_AUTHENTICATION, 1000), 0);
    CHECK_U64(ask(s, 1, 1001), SOURCE_MAY); /* ten seconds: nobody is refused for a slip */
    CHECK_U64(fault_of(s, 1, SOURCE_AUTHENTICATION, 1000), 15000);
    CHECK_U64(ask(s, 1, 1001), SOURCE_PENALISED);
    CHECK_U64(ask(s, 2, 1001), SOURCE_MAY);
    CHECK_U64(ask(s, 1, 15999), SOURCE_PENALISED);
    CHECK_U64(ask(s, 1, 16000), SOURCE_MAY);
    CHECK_U64(fault_of(s, 1, SOURCE_AUTHENTICATION, 16000), 0); /* it begins anew */
    sources_free(s);
}

TEST(penalties_fade_and_have_an_end)
{
    struct sources *s = sources_new(&limits);
    uint64_t now = 0;

    for (size_t i = 0; i < 100; i++, now += 6000) /* a slip every six seconds costs nothing */
        CHECK_U64(fault_of(s, 1, SOURCE_AUTHENTICATION, now), 0);
    for (size_t i = 0; i < 100; i++)
        fault_of(s, 2, SOURCE_PROTOCOL, now);
    CHECK_U64(fault_of(s, 2, SOURCE_PROTOCOL, now), 600000);
    CHECK_U64(ask(s, 2, now + 599999), SOURCE_PENALISED);
    CHECK_U64(ask(s, 2, now + 600000), SOURCE_MAY);
    sources_free(s);
}

TEST(a_session_that_lives_keeps_its_past)
{
    struct sources *s = sources_new(&limits);
    struct source *source = open_one(s, 1, 0);

    for (size_t i = 0; i < 3; i++)
        fault_of(s, 1, SOURCE_AUTHENTICATION, 0);
    CHECK_U64(ask(s, 1, 10), SOURCE_PENALISED); /* a new one; nobody touches the old one */
    sources_close(s, source, true, 20);
    CHECK_U64(ask(s, 1, 30), SOURCE_PENALISED);
    sources_free(s);
}

/* Whoever makes others forget loses the mildest first: the worst stays. */
TEST(the_worst_is_remembered)
{
    struct sources *s = sources_new(&limits);

    for (size_t i = 0; i < 60; i++)
        fault_of(s, 7, SOURCE_PROTOCOL, 0);
    for (uint32_t n = 1000; n < 3000; n++)
        fault_of(s, n, SOURCE_SILENCE, 1);
    for (uint32_t n = 3000; n < 4000; n++)
        ask(s, n, 2);
    CHECK(sources_n_tracked(s) <= limits.tracked);
    CHECK_U64(ask(s, 7, 3), SOURCE_PENALISED);
    sources_free(s);
}

TEST(of_many_without_a_proof_some_are_dropped_early)
{
    struct sources *s = sources_new(&limits);
    struct source *held[10];
    unsigned n_dropped[11] = { 0 };

    for (uint32_t n = 0; n <= 10; n++) {
        for (uint32_t dice = 0; dice < 1000; dice++)
            n_dropped[n] += sources_ask(s, v4(10000 + n * 1000 + dice).bytes, 5000 + n * 2000,
                                        dice) == SOURCE_EARLY_DROP;
        if (n < 10)
            held[n] = open_one(s, n, 5000 + n * 2000);
    }
    CHECK_U64(n_dropped[0], 0);
    CHECK_U64(n_dropped[4], 0);
    CHECK_U64(n_dropped[5], 300); /* half of the cap */
    CHECK(n_dropped[7] > n_dropped[6] && n_dropped[9] < 1000);
    CHECK_U64(n_dropped[10], 1000);
    for (size_t i = 0; i < 6; i++)
        sources_proved(s);
    CHECK_U64(sources_n_unproved(s), 4);
    CHECK_U64(sources_ask(s, v4(99).bytes, 60000, 0), SOURCE_MAY);
    for (size_t i = 0; i < 10; i++)
        sources_close(s, held[i], i < 6, 60000);
    CHECK_U64(sources_n_unproved(s), 0);
    sources_free(s);
}

TEST(some_networks_have_no_limits)
{
    struct sources_config some = limits;
    struct sources *s;

    CHECK(
        source_networks_read(" ::1 192.0.0.0/30  2001:db8::/47 ", some.network, &some.n_networks));
    CHECK_U64(some.n_networks, 3);
    s = sources_new(&some);
    for (size_t i = 0; i < 50; i++) {
        CHECK_U64(ask(s, 3, 1), SOURCE_MAY);
        CHECK_U64(fault_of(s, 3, SOURCE_PROTOCOL, 1), 0);
    }
    for (size_t i = 0; i < 2; i++)
        fault_of(s, 4, SOURCE_PROTOCOL, 1);
    CHECK_U64(ask(s, 4, 2), SOURCE_PENALISED); /* the next /30 */
    sources_set_config(s, &limits);            /* reloaded */
    for (size_t i = 0; i < 2; i++)
        fault_of(s, 3, SOURCE_PROTOCOL, 3);
    CHECK_U64(ask(s, 3, 4), SOURCE_PENALISED);
    sources_free(s);
}

TEST(ipv6_networks_end_at_any_bit)
{
    struct sources_config some = limits;
    const uint8_t inside[SOURCE_KEY] = { 0x20, 0x01, 0x0d, 0xb8, 0, 1 },
                  outside[SOURCE_KEY] = { 0x20, 0x01, 0x0d, 0xb8, 0, 2 };
    struct sources *s;

    CHECK(source_networks_read("2001:db8::/47", some.network, &some.n_networks));
    some.per_second = 1;
    s = sources_new(&some);
    for (size_t i = 0; i < 2; i++) {
        CHECK_U64(sources_ask(s, inside, 1, 999), SOURCE_MAY);
        CHECK_U64(sources_ask(s, outside, 1, 999), i ? SOURCE_TOO_OFTEN : SOURCE_MAY);
    }
    sources_free(s);
}

TEST(what_is_no_network_is_refused)
{
    static const char *const bad[] = { "x",           "10.0.0.0/33",       "10.0.0/8",
                                       "::/129",      "10.0.0.0/",         "/8",
                                       "10.0.0.0/-1", "10.0.0.0,10.0.0.1", "fe80::1%lo",
                                       "10.0.0.0/8/8" };
    struct source_network to[SOURCES_MAX_NETWORKS];
    _buf_ many = { 0 };
    size_t n;

    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        if (!CHECK(!source_networks_read(bad[i], to, &n)))
            check_failed(__FILE__, __LINE__, "%s", bad[i]);
    }
    CHECK(source_networks_read("", to, &n) && n == 0);
    for (size_t i = 0; i < SOURCES_MAX_NETWORKS; i++)
        buf_put_text(&many, "::1 ");
    CHECK(source_networks_read(buf_cstr(&many), to, &n));
    CHECK_U64(n, SOURCES_MAX_NETWORKS);
    buf_put_text(&many, "::1");
    CHECK(!source_networks_read(buf_cstr(&many), to, &n));
}
