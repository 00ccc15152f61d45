/* SPDX-License-Identifier: Apache-2.0 */
#include "ice/candidate.h"
#include "tests/check.h"

TEST(good_candidates_are_read_and_written_again)
{
    static const char *const lines[] = {
        "candidate:1 1 UDP 2130706431 192.0.2.1 40000 typ host",
        "candidate:abcdefghijklmnopqrstuvwxyz+/0123 1 UDP 1 198.51.100.7 65535 typ host",
        "candidate:2 1 UDP 1694498815 203.0.113.4 1 typ srflx raddr 192.0.2.1 rport 40000",
        "candidate:3 1 UDP 100 203.0.113.5 3478 typ relay raddr 0.0.0.0 rport 0",
        "candidate:4 1 UDP 2147483647 2001:db8::1 9 typ host",
        "candidate:5 1 UDP 5 169.254.3.4 9 typ prflx raddr fd00::1 rport 9",
    };
    for (size_t i = 0; i < N_ELEMENTS(lines); i++) {
        struct candidate c;
        struct err err = { 0 };
        _buf_ out = { 0 };

        CHECK_OK(candidate_read(view_text(lines[i]), &c, &err), err);
        CHECK_OK(ice_candidate_check(view_text(lines[i]), false, &err), err);
        candidate_write(&c, &out);
        CHECK_VIEW(buf_view(&out), view_text(lines[i]));
    }
}

TEST(extensions_are_skipped_and_the_transport_is_read_in_any_case)
{
    struct candidate c;
    struct err err = { 0 };

    CHECK_OK(candidate_read(
                 VIEW_LIT("candidate:1 1 udp 7 192.0.2.1 5 typ host generation 0 network-id 3"), &c,
                 &err),
             err);
    CHECK_STR(c.address, "192.0.2.1");
    CHECK_U64(c.port, 5);
    CHECK_U64(c.priority, 7);
}

TEST(bad_candidates_are_refused_with_their_fault)
{
    static const struct {
        const char *line, *why;
    } cases[] = {
        { "", "candidate: not a candidate line" },
        { "candidate:", "candidate: foundation: not 1 to 32 characters" },
        { "a=candidate:1 1 UDP 1 192.0.2.1 5 typ host", "candidate: not a candidate line" },
        { "candidate:1 1 UDP 1 192.0.2.1 5 typ host ", "candidate: ends in a space" },
        { "candidate:1  1 UDP 1 192.0.2.1 5 typ host", "candidate: component: not 1" },
        { "candidate:123456789012345678901234567890123 1 UDP 1 192.0.2.1 5 typ host",
          "candidate: foundation: not 1 to 32 characters" },
        { "candidate:a-b 1 UDP 1 192.0.2.1 5 typ host",
          "candidate: foundation: a character out of its set" },
        { "candidate:1 2 UDP 1 192.0.2.1 5 typ host", "candidate: component: not 1" },
        { "candidate:1 1 TCP 1 192.0.2.1 5 typ host", "candidate: transport: not UDP" },
        { "candidate:1 1 UDP 0 192.0.2.1 5 typ host", "candidate: priority: not 1 to 2147483647" },
        { "candidate:1 1 UDP 2147483648 192.0.2.1 5 typ host",
          "candidate: priority: not 1 to 2147483647" },
        { "candidate:1 1 UDP -1 192.0.2.1 5 typ host", "candidate: priority: not 1 to 2147483647" },
        { "candidate:1 1 UDP 1 host.example 5 typ host",
          "candidate: address: not a literal IP address" },
        { "candidate:1 1 UDP 1 abc.local 5 typ host",
          "candidate: address: not a literal IP address" },
        { "candidate:1 1 UDP 1 192.0.2 5 typ host",
          "candidate: address: not a literal IP address" },
        { "candidate:1 1 UDP 1 fe80::1%eth0 5 typ host",
          "candidate: address: not a literal IP address" },
        { "candidate:1 1 UDP 1 0.0.0.0 5 typ host", "candidate: address: not a unicast address" },
        { "candidate:1 1 UDP 1 224.0.0.1 5 typ host", "candidate: address: not a unicast address" },
        { "candidate:1 1 UDP 1 255.255.255.255 5 typ host",
          "candidate: address: not a unicast address" },
        { "candidate:1 1 UDP 1 240.0.0.1 5 typ host", "candidate: address: not a unicast address" },
        { "candidate:1 1 UDP 1 :: 5 typ host", "candidate: address: not a unicast address" },
        { "candidate:1 1 UDP 1 ff02::1 5 typ host", "candidate: address: not a unicast address" },
        { "candidate:1 1 UDP 1 fe80::1 5 typ host", "candidate: address: link-local" },
        { "candidate:1 1 UDP 1 ::ffff:192.0.2.1 5 typ host",
          "candidate: address: IPv4 inside IPv6" },
        { "candidate:1 1 UDP 1 127.0.0.1 5 typ host", "candidate: address: loopback" },
        { "candidate:1 1 UDP 1 127.255.0.1 5 typ host", "candidate: address: loopback" },
        { "candidate:1 1 UDP 1 ::1 5 typ host", "candidate: address: loopback" },
        { "candidate:1 1 UDP 1 192.0.2.1 0 typ host", "candidate: port: not 1 to 65535" },
        { "candidate:1 1 UDP 1 192.0.2.1 65536 typ host", "candidate: port: not 1 to 65535" },
        { "candidate:1 1 UDP 1 192.0.2.1 5",
          "candidate: type: not \"typ\" and host, srflx, prflx or relay" },
        { "candidate:1 1 UDP 1 192.0.2.1 5 typ",
          "candidate: type: not \"typ\" and host, srflx, prflx or relay" },
        { "candidate:1 1 UDP 1 192.0.2.1 5 typ hosts",
          "candidate: type: not \"typ\" and host, srflx, prflx or relay" },
        { "candidate:1 1 UDP 1 192.0.2.1 5 typ srflx raddr x rport 1",
          "candidate: raddr: not a literal IP address" },
        { "candidate:1 1 UDP 1 192.0.2.1 5 typ srflx raddr 192.0.2.1 rport x",
          "candidate: rport: not a port" },
        { "candidate:1 1 UDP 1 192.0.2.1 5 typ host generation",
          "candidate: extension: a name without a value" },
        { "candidate:1 1 UDP 1 192.0.2.1 5 typ host\r", "candidate: not printable ASCII" },
        { "candidate:1 1 UDP 1 192.0.2.1\t5 typ host", "candidate: not printable ASCII" },
    };
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct err err = { 0 };

        if (!CHECK(!ice_candidate_check(view_text(cases[i].line), false, &err)) ||
            !CHECK_STR(err.text, cases[i].why) || !CHECK_U64(err.code, ERR_BAD_WIRE))
            check_failed(__FILE__, __LINE__, "case: %s", cases[i].line);
    }
}

TEST(loopback_passes_where_it_is_allowed_and_length_is_bounded)
{
    struct err err = { 0 };
    char line[400];

    CHECK_OK(ice_candidate_check(VIEW_LIT("candidate:1 1 UDP 1 127.0.0.1 5 typ host"), true, &err),
             err);
    CHECK_OK(ice_candidate_check(VIEW_LIT("candidate:1 1 UDP 1 ::1 5 typ host"), true, &err), err);
    memset(line, 'x', sizeof(line));
    CHECK_ERR(ice_candidate_check(VIEW(line, ICE_MAX_LINE), true, &err), err, ERR_TOO_LARGE);
}

TEST(every_prefix_of_a_candidate_is_refused_or_read_never_overread)
{
    static const char line[] =
        "candidate:1 1 UDP 100 203.0.113.5 3478 typ relay raddr 192.0.2.1 rport 40000";

    for (size_t len = 0; len < sizeof(line); len++) {
        _free_ uint8_t *exact =
            mem_dup(line, len ? len : 1); /* so that a sanitizer sees one byte too many */
        struct candidate c;
        struct err err = { 0 };

        CHECK(candidate_read(VIEW(exact, len), &c, &err) || err.code == ERR_BAD_WIRE);
    }
}
