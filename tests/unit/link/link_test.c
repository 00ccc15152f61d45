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

/* As when a person takes half a minute to accept, and the first packets wait with the words for it. */
TEST(time_in_which_nobody_could_answer_is_no_round_trip)
{
    _cleanup_(pair_freep) struct pair *pair = pair_with((struct pair_options){ 0 });
    struct link_facts facts;

    link_resume(pair->caller.link, pair->now);
    CHECK_U64(pair->n_packets, 1);
    pair->now += 30 * S_NS;
    link_waited(pair->caller.link, pair->now, 100 * MS_NS);
    CHECK(pair_up(pair));
    link_facts(pair->caller.link, &facts);
    CHECK(facts.rtt_ns < 150 * MS_NS);
    CHECK(link_deadline(pair->caller.link) > pair->now); /* by the clock of its owner */
    CHECK(link_deadline(pair->caller.link) < pair->now + 30 * S_NS);
    struct link_stream *stream = pair_open(&pair->caller, "chat", "");
    CHECK(stream && link_stream_write(stream, pair->now, VIEW_LIT("hello"), false) == 5);
    CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->callee.n_bytes == 5));
}

TEST(a_caller_may_learn_the_grant_after_its_first_packet)
{
    _cleanup_(pair_freep) struct pair *pair =
        pair_with((struct pair_options){ .caller.wrong_grant = true });
    uint8_t grant[HASH_SIZE];

    memset(grant, 2, sizeof(grant));
    link_resume(pair->caller.link, pair->now);
    link_set_grant(pair->caller.link, grant);
    CHECK(pair_up(pair));
}

TEST(both_ends_and_nobody_else_have_the_exporter)
{
    _cleanup_(pair_freep) struct pair *pair = pair_with((struct pair_options){ 0 });
    _cleanup_(pair_freep) struct pair *other = pair_with((struct pair_options){ 0 });
    uint8_t caller[LINK_EXPORTER], callee[LINK_EXPORTER], theirs[LINK_EXPORTER];
    struct err err = { 0 };

    CHECK(pair_up(pair) && pair_up(other));
    CHECK_OK(link_exporter(pair->caller.link, LINK_EXPORTER_REAUTH, caller, &err), err);
    CHECK_OK(link_exporter(pair->callee.link, LINK_EXPORTER_REAUTH, callee, &err), err);
    CHECK_OK(link_exporter(other->caller.link, LINK_EXPORTER_REAUTH, theirs, &err), err);
    CHECK_VIEW(VIEW_ARR(caller), VIEW_ARR(callee));
    CHECK(memcmp(caller, theirs, LINK_EXPORTER) != 0);
}

TEST(a_reauth_arrives_whole)
{
    static const uint8_t sig[SIG_SIZE] = { 7 }, leaf[9000] = { 8 };
    _cleanup_(pair_freep) struct pair *pair = pair_with((struct pair_options){ 0 });
    const struct link_reauth said = {
        VIEW_LIT("a statement"), VIEW_ARR(sig), VIEW_LIT("by the key"), { VIEW_ARR(leaf) }, 1,
    };
    struct link_reauth back;

    CHECK(pair_up(pair));
    link_send_reauth(pair->callee.link, pair->now, &said);
    CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->caller.n_reauths == 1));
    CHECK(link_reauth_read(buf_view(&pair->caller.reauth), &back));
    CHECK_VIEW(back.statement, said.statement);
    CHECK_VIEW(back.chain[0], said.chain[0]);
}

TEST(words_of_another_try_go_before_what_waits)
{
    _cleanup_(pair_freep) struct pair *pair =
        pair_new(&(struct pair_options){ .wire = { .delay_ns = 20 * MS_NS } });
    uint8_t large[LINK_MAX_ICE + 1] = { 'x' };
    struct view text = { 0 };
    uint64_t number = 0, place = 0;

    CHECK(pair_up(pair));
    pair_write_pattern(pair, pair_open(&pair->caller, "chat", ""), &place, 800000);
    CHECK(link_send_ice(pair->caller.link, pair->now, 7, VIEW(large, LINK_MAX_ICE)));
    CHECK(PAIR_UNTIL(pair, S_NS, pair->callee.n_ices == 1));
    CHECK(pair->callee.n_bytes < 800000);
    CHECK(link_ice_read(buf_view(&pair->callee.ice), &number, &text));
    CHECK_U64(number, 7);
    CHECK_VIEW(text, VIEW(large, LINK_MAX_ICE));
    CHECK(!link_send_ice(pair->caller.link, pair->now, 8, VIEW_ARR(large)));
    CHECK(!link_send_ice(pair->caller.link, pair->now, 8, VIEW(large, 0)));
    CHECK(!link_ice_read(VIEW(large, 8), &number, &text));
}

TEST(what_was_lost_in_a_long_silence_goes_at_once_when_the_path_is_back)
{
    _cleanup_(pair_freep) struct pair *pair =
        pair_new(&(struct pair_options){ .wire = { .delay_ns = 20 * MS_NS } });
    struct link_stream *stream;
    uint8_t bytes[1000];
    uint64_t back_at;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = pattern_byte(i);
    CHECK(pair_up(pair));
    stream = pair_open(&pair->caller, "chat", "");
    link_stream_write(stream, pair->now, VIEW_ARR(bytes), false);
    CHECK(PAIR_UNTIL(pair, S_NS, pair->callee.n_bytes == 1000));
    pair->wire.loss_pct = 100;
    link_stream_write(stream, pair->now, VIEW_ARR(bytes), false);
    CHECK(!PAIR_UNTIL(pair, 9 * S_NS, pair->callee.n_bytes == 2000));
    pair->wire.loss_pct = 0;
    back_at = pair->now;
    CHECK(link_deadline(pair->caller.link) > pair->now + 500 * MS_NS); /* QUIC's own next try */
    link_hurry(pair->caller.link, pair->now);
    CHECK(link_deadline(pair->caller.link) > pair->now);
    CHECK(PAIR_UNTIL(pair, S_NS, pair->callee.n_bytes == 2000));
    CHECK(pair->now - back_at < 200 * MS_NS);

    /* Its clock is ahead by now; it idles as ever. */
    CHECK(!PAIR_UNTIL(pair, 60 * S_NS, pair->caller.n_down + pair->callee.n_down > 0));
    link_hurry(pair->caller.link, pair->now); /* nothing was lost: nothing happens */
    link_stream_write(stream, pair->now, VIEW_ARR(bytes), false);
    CHECK(PAIR_UNTIL(pair, S_NS, pair->callee.n_bytes == 3000));
}

TEST(a_report_arrives_whole)
{
    _cleanup_(pair_freep) struct pair *pair =
        pair_new(&(struct pair_options){ .wire = { .delay_ns = 20 * MS_NS } });
    static const uint8_t most[LINK_MAX_REPORT + 1] = { 7, 8, 9 };

    CHECK(pair_up(pair));
    link_send_report(pair->caller.link, pair->now, VIEW(most, LINK_MAX_REPORT + 1)); /* too long */
    link_send_report(pair->caller.link, pair->now, VIEW(most, 0));
    link_send_report(pair->callee.link, pair->now, VIEW_LIT("of the callee"));
    link_send_report(pair->caller.link, pair->now, VIEW(most, LINK_MAX_REPORT));
    CHECK(PAIR_UNTIL(pair, S_NS, pair->callee.n_reports == 1 && pair->caller.n_reports == 1));
    CHECK_VIEW(buf_view(&pair->callee.report), VIEW(most, LINK_MAX_REPORT));
    CHECK_VIEW(buf_view(&pair->caller.report), VIEW_LIT("of the callee"));
    CHECK(!PAIR_UNTIL(pair, S_NS, pair->callee.n_reports > 1 || pair->callee.n_down));
}

TEST(a_switch_goes_before_what_waits)
{
    _cleanup_(pair_freep) struct pair *pair =
        pair_new(&(struct pair_options){ .wire = { .delay_ns = 20 * MS_NS } });
    struct link_pressure pressure;
    struct link_stream *stream;
    uint64_t place = 0;

    CHECK(pair_up(pair));
    stream = pair_open(&pair->caller, "chat", "");
    pair_write_pattern(pair, stream, &place, 800000); /* more than leaves in one round trip */
    link_pressure(pair->caller.link, &pressure);
    CHECK(pressure.is_waiting);
    CHECK(!pressure.is_probing);
    CHECK(pressure.late_ns >= 40 * MS_NS && pressure.late_ns < 500 * MS_NS);
    link_send_switch(pair->caller.link, pair->now, 7, 2);
    CHECK(PAIR_UNTIL(pair, S_NS, pair->callee.n_switches == 1));
    CHECK_U64(pair->callee.switch_number, 7);
    CHECK_U64(pair->callee.switch_carrier, 2);
    CHECK(pair->callee.n_bytes < 800000);
    CHECK(PAIR_UNTIL(pair, 10 * S_NS, pair->callee.n_bytes == 800000));
}
