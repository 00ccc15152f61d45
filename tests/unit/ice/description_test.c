/* SPDX-License-Identifier: Apache-2.0 */
#include "ice/ice.h"
#include "tests/check.h"

#define HEAD "ice-ufrag:Fg3a\nice-pwd:0123456789abcdefghijkl\n"
#define HOST "candidate:1 1 UDP 2130706431 192.0.2.1 40000 typ host\n"

TEST(a_description_is_read_and_written_again)
{
    static const char *const texts[] = {
        HEAD,
        HEAD "end-of-candidates\n",
        HEAD HOST "candidate:2 1 UDP 1 127.0.0.1 5 typ host\n",
        HEAD HOST HOST "end-of-candidates\n",
    };
    for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
        _cleanup_(ice_description_deinit) struct ice_description d = { 0 };
        struct err err = { 0 };
        _buf_ out = { 0 };

        CHECK_OK(ice_description_read(view_text(texts[i]), &d, &err), err);
        CHECK_STR(d.ufrag, "Fg3a");
        ice_description_write(&d, &out);
        CHECK_VIEW(buf_view(&out), view_text(texts[i]));
    }
}

TEST(bad_descriptions_are_refused_with_the_line)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        { "", "ICE description: ends before ice-pwd" },
        { "\n", "ICE description: line 1: wanted \"ice-ufrag:\"" },
        { "ice-ufrag:Fg3a", "ICE description: line 1: no line feed at its end" },
        { "ice-ufrag:Fg3a\n", "ICE description: ends before ice-pwd" },
        { "ice-ufrag:Fg3\n", "ICE description: line 1: ice-ufrag: shorter than 4 characters" },
        { "ice-ufrag:Fg-a\n", "ICE description: line 1: ice-ufrag: a character out of its set" },
        { "ice-ufrag:Fg3a\nice-pwd:short\n",
          "ICE description: line 2: ice-pwd: shorter than 22 characters" },
        { "ice-ufrag:Fg3a\nice-pwd:0123456789abcdefghij\rl\n",
          "ICE description: line 2: ice-pwd: a character out of its set" },
        { "ice-pwd:0123456789abcdefghijkl\nice-ufrag:Fg3a\n",
          "ICE description: line 1: wanted \"ice-ufrag:\"" },
        { HEAD HEAD, "ICE description: line 3: candidate: not a candidate line" },
        { HEAD "\n", "ICE description: line 3: candidate: not a candidate line" },
        { HEAD "a=fingerprint:x\n", "ICE description: line 3: candidate: not a candidate line" },
        { HEAD "candidate:1 1 TCP 1 192.0.2.1 5 typ host\n",
          "ICE description: line 3: candidate: transport: not UDP" },
        { HEAD HOST "candidate:1 1 UDP 1 ff02::1 5 typ host\n",
          "ICE description: line 4: candidate: address: not a unicast address" },
        { HEAD "end-of-candidates\n" HOST,
          "ICE description: line 4: something after end-of-candidates" },
        { HEAD "end-of-candidates", "ICE description: line 3: no line feed at its end" },
        { HEAD "end-of-candidates\n\n",
          "ICE description: line 4: something after end-of-candidates" },
    };
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct ice_description d = { 0 };
        struct err err = { 0 };

        if (!CHECK(!ice_description_read(view_text(cases[i].text), &d, &err)) ||
            !CHECK_STR(err.text, cases[i].why) || !CHECK_U64(err.code, ERR_BAD_WIRE))
            check_failed(__FILE__, __LINE__, "case %zu", i);
    }
}

TEST(sizes_are_bounded)
{
    struct ice_description d = { 0 };
    struct err err = { 0 };
    _buf_ text = { 0 };
    _buf_ line = { 0 };

    buf_put_text(&text, HEAD);
    for (unsigned i = 0; i < ICE_MAX_CANDIDATES; i++)
        buf_printf(&text, "candidate:1 1 UDP 1 192.0.2.1 %u typ host\n", i + 1);
    CHECK_OK(ice_description_read(buf_view(&text), &d, &err), err);
    CHECK_U64(d.n_candidates, ICE_MAX_CANDIDATES);
    ice_description_deinit(&d);

    buf_put_text(&text, "candidate:1 1 UDP 1 192.0.2.1 99 typ host\n");
    CHECK_ERR(ice_description_read(buf_view(&text), &d, &err), err, ERR_TOO_LARGE);
    CHECK_STR(err.text, "ICE description: line 35: more than 32 candidates");

    while (text.len <= ICE_MAX_OFFER)
        buf_put_u8(&text, 'x');
    CHECK_ERR(ice_description_read(buf_view(&text), &d, &err), err, ERR_TOO_LARGE);
    CHECK_STR(err.text, "ICE description: longer than 2048 bytes");

    buf_put_text(&line, "ice-ufrag:");
    while (line.len < ICE_MAX_LINE)
        buf_put_u8(&line, 'x');
    buf_put_text(&line, "\n");
    CHECK_ERR(ice_description_read(buf_view(&line), &d, &err), err, ERR_TOO_LARGE);
    CHECK_STR(err.text, "ICE description: line 1: longer than 256 bytes");
}

TEST(candidates_that_come_later_have_no_credentials)
{
    struct ice_description d = { 0 };
    struct err err = { 0 };
    _buf_ text = { 0 };

    for (unsigned i = 0; i < ICE_MAX_LATER; i++)
        buf_printf(&text, "candidate:1 1 UDP 1 192.0.2.1 %u typ host\n", i + 1);
    buf_put_text(&text, "end-of-candidates\n");
    CHECK_OK(ice_description_read_later(buf_view(&text), &d, &err), err);
    CHECK_U64(d.n_candidates, ICE_MAX_LATER);
    CHECK(d.is_complete && !d.ufrag && !d.pwd);
    ice_description_deinit(&d);

    static const struct {
        const char *text, *why;
    } cases[] = {
        { "ice-ufrag:Fg3a\n", "ICE candidates: line 1: candidate" },
        { "candidate:1 1 UDP 1 192.0.2.1 9 typ host", "ICE candidates: line 1: no line feed" },
        { "end-of-candidates\nend-of-candidates\n", "ICE candidates: line 2: something after" },
        { "candidate:1 1 UDP 1 224.0.0.1 9 typ host\n", "ICE candidates: line 1: " },
    };
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        CHECK_ERR(ice_description_read_later(view_text(cases[i].text), &d, &err), err,
                  ERR_BAD_WIRE);
        CHECK(strncmp(err.text, cases[i].why, strlen(cases[i].why)) == 0);
    }
    buf_clear(&text);
    for (unsigned i = 0; i <= ICE_MAX_LATER; i++)
        buf_printf(&text, "candidate:1 1 UDP 1 192.0.2.1 %u typ host\n", i + 1);
    CHECK_ERR(ice_description_read_later(buf_view(&text), &d, &err), err, ERR_TOO_LARGE);
}
