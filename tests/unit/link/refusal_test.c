/* SPDX-License-Identifier: Apache-2.0 */
/* Who is refused, what both ends say, and that nothing of the application's was sent before. */
#include "tests/unit/link/pair.h"

static const struct tls_profile no_certificate = { .alpn = "warren-link/1", .has_chain = false };
static const struct tls_profile other_alpn = { .alpn = "h3", .has_chain = true };
static const struct tls_profile no_alpn = { .alpn = NULL, .has_chain = true };

struct outcome {
    enum err_code code;
    const char *text;
    bool by_remote;
};

static const struct {
    const char *name;
    struct pair_side caller, callee;
    struct outcome at_caller, at_callee;
} refusals[] = {
    { "the caller refuses", .caller = { .judge_refuses = true },
      .at_caller = { ERR_BAD_CERTIFICATE, "the caller says no", false },
      .at_callee = { ERR_BAD_CERTIFICATE,
                     "the other side refused our certificate (TLS alert bad_certificate)", true } },
    { "the callee refuses", .callee = { .judge_refuses = true },
      .at_caller = { ERR_BAD_CERTIFICATE,
                     "the other side refused our certificate (TLS alert bad_certificate)", true },
      .at_callee = { ERR_BAD_CERTIFICATE, "the callee says no", false } },
    { "both refuse", .caller = { .judge_refuses = true }, .callee = { .judge_refuses = true },
      .at_caller = { ERR_BAD_CERTIFICATE, "the caller says no", false },
      .at_callee = { ERR_BAD_CERTIFICATE,
                     "the other side refused our certificate (TLS alert bad_certificate)", true } },
    { "no client certificate", .caller = { .profile = &no_certificate },
      .at_caller = { ERR_BAD_CERTIFICATE,
                     "the other side requires a certificate (TLS alert certificate_required)",
                     true },
      .at_callee = { ERR_BAD_CERTIFICATE,
                     "the other side sent no certificate (TLS alert certificate_required)",
                     false } },
    { "no server certificate", .callee = { .profile = &no_certificate },
      .at_caller = { ERR_BAD_WIRE,
                     "the other side ended the handshake (TLS alert handshake_failure)", true },
      .at_callee = { ERR_BAD_WIRE, "the TLS handshake failed (alert handshake_failure)", false } },
    { "another ALPN at the caller", .caller = { .profile = &other_alpn },
      .at_caller = { ERR_BAD_WIRE,
                     "the other side does not speak warren-link/1 (TLS alert "
                     "no_application_protocol)",
                     true },
      .at_callee = { ERR_BAD_WIRE,
                     "the other side does not speak warren-link/1 (TLS alert "
                     "no_application_protocol)",
                     false } },
    { "another ALPN at the callee", .callee = { .profile = &other_alpn },
      .at_caller = { ERR_BAD_WIRE,
                     "the other side does not speak warren-link/1 (TLS alert "
                     "no_application_protocol)",
                     true },
      .at_callee = { ERR_BAD_WIRE,
                     "the other side does not speak warren-link/1 (TLS alert "
                     "no_application_protocol)",
                     false } },
    { "no ALPN at the caller", .caller = { .profile = &no_alpn },
      .at_caller = { ERR_BAD_WIRE, "the other side does not speak warren-link/1", false },
      .at_callee = { ERR_CLOSED, "the other side closed during the handshake", true } },
    { "no ALPN at the callee", .callee = { .profile = &no_alpn },
      .at_caller = { ERR_BAD_WIRE, "the other side does not speak warren-link/1", false },
      .at_callee = { ERR_CLOSED, "the other side closed during the handshake", true } },
    { "the caller's session is another", .caller = { .wrong_sid = true },
      .at_caller = { ERR_BAD_WIRE,
                     "the other side closed the link: BIND names another session: "
                     "the other side's BIND names another session",
                     true },
      .at_callee = { ERR_BAD_WIRE, "the other side's BIND names another session", false } },
    { "the callee's grant is another", .callee = { .wrong_grant = true },
      .at_caller = { ERR_BAD_WIRE,
                     "the other side closed the link: BIND names another session: "
                     "the other side's BIND names another session",
                     true },
      .at_callee = { ERR_BAD_WIRE, "the other side's BIND names another session", false } },
};

static void check_outcome(const char *name, const struct pair_end *end,
                          const struct outcome *wanted)
{
    bool ok = CHECK_STR(end->err.text, wanted->text);

    ok = CHECK_U64(end->err.code, wanted->code) && ok;
    ok = CHECK(end->by_remote == wanted->by_remote) && ok;
    ok = CHECK_U64(end->n_failed, 1) && CHECK_U64(end->n_up, 0) && ok;
    ok = CHECK_U64(end->n_opened + end->n_datagrams + end->n_hearts, 0) && ok;
    if (!ok)
        check_failed(__FILE__, __LINE__, "refusal: %s, at the %s", name,
                     end->is_caller ? "caller" : "callee");
}

TEST(a_refusal_is_told_on_both_sides)
{
    for (size_t i = 0; i < N_ELEMENTS(refusals); i++) {
        struct pair_options options = {
            .wire = { .delay_ns = 5 * MS_NS },
            .caller = refusals[i].caller,
            .callee = refusals[i].callee,
        };
        _cleanup_(pair_freep) struct pair *pair = pair_new(&options);
        struct link_stream *stream = NULL;
        struct err err = { 0 };

        PAIR_UNTIL(pair, 60 * S_NS, pair->caller.n_failed && pair->callee.n_failed);
        check_outcome(refusals[i].name, &pair->caller, &refusals[i].at_caller);
        check_outcome(refusals[i].name, &pair->callee, &refusals[i].at_callee);
        CHECK_ERR(link_stream_open(pair->caller.link, pair->now, VIEW_LIT("c"), (struct view){ 0 },
                                   &stream, &err),
                  err, ERR_CLOSED);
        CHECK_ERR(link_datagram_send(pair->callee.link, pair->now, VIEW_LIT("c"), &err), err,
                  ERR_CLOSED);
    }
}

TEST(the_refused_learn_it_over_a_lossy_wire_too)
{
    for (unsigned seed = 0; seed < 10; seed++) {
        _cleanup_(pair_freep) struct pair *pair =
            pair_new(&(struct pair_options){ .wire = { .delay_ns = 5 * MS_NS, .loss_pct = 20 },
                                             .callee = { .judge_refuses = true },
                                             .seed = seed });

        CHECK(PAIR_UNTIL(pair, 60 * S_NS, pair->caller.n_failed && pair->callee.n_failed));
        CHECK_U64(pair->caller.n_up + pair->callee.n_up, 0);
        CHECK_STR(pair->callee.err.text, "the callee says no");
    }
}

/* ---- closing ---- */

static const struct {
    uint64_t code;
    enum err_code err;
    const char *reason, *text;
} closes[] = {
    { LINK_CLOSE_NORMAL, ERR_CLOSED, "", "the other side closed the link" },
    { LINK_CLOSE_NORMAL, ERR_CLOSED, "bye", "the other side closed the link: bye" },
    { LINK_CLOSE_PROTOCOL, ERR_BAD_WIRE, "", "the other side says that we broke the protocol" },
    { LINK_CLOSE_REVOKED, ERR_REVOKED, "",
      "the other side closed the link: one of the ends was revoked" },
    { LINK_CLOSE_EXPIRED, ERR_EXPIRED, "",
      "the other side closed the link: a certificate ran out" },
    { LINK_CLOSE_BIND, ERR_BAD_WIRE, "",
      "the other side closed the link: BIND names another session" },
    { LINK_CLOSE_CAPABILITY, ERR_CAPABILITY, "",
      "the other side closed the link: a capability is not in the session" },
    { LINK_CLOSE_ADMIN, ERR_CLOSED, "",
      "the other side closed the link: the session was ended by den or an operator" },
    { LINK_CLOSE_LIVE_UNTIL, ERR_EXPIRED, "",
      "the other side closed the link: the session's time is over" },
    { 0x4242, ERR_CLOSED, "\033[1m", "the other side closed the link with code 16962: \\x1b[1m" },
};

TEST(every_close_code_has_its_words)
{
    for (size_t i = 0; i < N_ELEMENTS(closes); i++) {
        _cleanup_(pair_freep) struct pair *pair =
            pair_new(&(struct pair_options){ .wire = { .delay_ns = 5 * MS_NS } });

        CHECK(pair_up(pair));
        link_close(pair->callee.link, pair->now, closes[i].code, closes[i].reason);
        CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->caller.n_down && pair->callee.n_down));
        CHECK_STR(pair->caller.err.text, closes[i].text);
        CHECK_U64(pair->caller.err.code, closes[i].err);
        CHECK_U64(pair->caller.code, closes[i].code);
        CHECK(pair->caller.by_remote && !pair->callee.by_remote);
        CHECK_U64(pair->callee.code, closes[i].code);
        CHECK_U64(pair->callee.err.code, ERR_CLOSED);
    }
}

TEST(a_close_before_the_link_is_up_ends_both)
{
    _cleanup_(pair_freep) struct pair *pair =
        pair_new(&(struct pair_options){ .wire = { .delay_ns = 5 * MS_NS } });

    CHECK(PAIR_UNTIL(pair, S_NS, pair->callee.link->state == LINK_SHAKING));
    CHECK_U64(pair->callee.n_judged, 0);
    link_close(pair->caller.link, pair->now, LINK_CLOSE_NORMAL, "changed my mind");
    CHECK(PAIR_UNTIL(pair, 30 * S_NS, pair->caller.n_failed && pair->callee.n_failed));
    CHECK_STR(pair->caller.err.text, "closed here: changed my mind");
    CHECK_U64(pair->caller.n_up + pair->callee.n_up, 0);
}

TEST(what_arrived_before_the_close_can_still_be_read)
{
    _cleanup_(pair_freep) struct pair *pair =
        pair_new(&(struct pair_options){ .wire = { .delay_ns = 5 * MS_NS } });
    struct link_stream *stream;
    uint64_t place = 0;
    uint8_t bytes[2000];
    bool is_end = false;

    CHECK(pair_up(pair));
    pair->callee.is_not_reading = true;
    stream = pair_open(&pair->caller, "chat", "");
    pair_write_pattern(pair, stream, &place, 1000);
    CHECK(PAIR_UNTIL(pair, S_NS, pair->callee.n_opened == 1));
    link_close(pair->caller.link, pair->now, LINK_CLOSE_NORMAL, "done");
    CHECK(PAIR_UNTIL(pair, S_NS, pair->callee.n_down == 1));
    CHECK_U64(link_stream_read(pair->callee.last, pair->now, bytes, sizeof(bytes), &is_end), 1000);
    CHECK(is_end);
    CHECK_U64(link_stream_write(pair->callee.last, pair->now, VIEW_LIT("late"), false), 0);
    link_stream_reset(pair->callee.last, pair->now, 0);
}

TEST(a_close_that_was_lost_is_repeated)
{
    _cleanup_(pair_freep) struct pair *pair =
        pair_new(&(struct pair_options){ .wire = { .delay_ns = 5 * MS_NS } });
    struct link_stream *stream;
    uint64_t place = 0;

    CHECK(pair_up(pair));
    pair->wire.loss_pct = 100;
    link_close(pair->callee.link, pair->now, LINK_CLOSE_ADMIN, "");
    pair->wire.loss_pct = 0;
    stream = pair_open(&pair->caller, "chat", "");
    pair_write_pattern(pair, stream, &place, 1000);
    CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->caller.n_down == 1));
    CHECK_U64(pair->caller.code, LINK_CLOSE_ADMIN);
}

/* ---- the control stream ---- */

TEST(hearts_are_exchanged_before_any_stream)
{
    _cleanup_(pair_freep) struct pair *pair = NULL;
    struct view caller_heart = pair_heart('a');
    struct buf newer;

    pair = pair_new(&(struct pair_options){ .wire = { .delay_ns = 5 * MS_NS },
                                            .caller = { .heart = caller_heart } });
    CHECK(pair_up(pair));
    CHECK(PAIR_UNTIL(pair, S_NS, pair->callee.n_hearts == 1));
    CHECK_VIEW(buf_view(&pair->callee.heart), caller_heart);
    CHECK_U64(pair->caller.n_hearts, 0);

    newer = buf_dup(pair_heart('b'));
    link_send_heart(pair->callee.link, pair->now, buf_view(&newer));
    link_send_heart(pair->callee.link, pair->now, VIEW_LIT("not a heartbeat"));
    CHECK(PAIR_UNTIL(pair, S_NS, pair->caller.n_hearts == 1));
    PAIR_UNTIL(pair, S_NS, false);
    CHECK_U64(pair->caller.n_hearts, 1);
    CHECK_VIEW(buf_view(&pair->caller.heart), buf_view(&newer));
    buf_free(&newer);
}

static const uint8_t zeros[70000];

static const struct {
    const char *name;
    uint8_t type;
    uint32_t says, has; /* the length it says, the bytes that follow */
    const char *why;
} frames[] = {
    { "type 0", 0, 0, 0, "control frame of unknown type 0" },
    { "type 10", 10, 0, 0, "control frame of unknown type 10" },
    { "type 255", 255, 0, 0, "control frame of unknown type 255" },
    { "a second BIND", CONTROL_BIND, 48, 48, "a second BIND" },
    { "a short HEART", CONTROL_HEART, 68, 68, "HEART: length out of bounds: 68 bytes" },
    { "an endless HEART", CONTROL_HEART, UINT32_MAX, 10,
      "HEART: length out of bounds: 4294967295 bytes" },
    { "a HEART whose lengths differ", CONTROL_HEART, 100, 100, "HEART: malformed: 100 bytes" },
    { "an empty REPORT", CONTROL_REPORT, 0, 0, "REPORT: length out of bounds: 0 bytes" },
    { "a long REPORT", CONTROL_REPORT, 2049, 0, "REPORT: length out of bounds: 2049 bytes" },
    { "a long SAS", CONTROL_SAS, 33, 33, "SAS: length out of bounds: 33 bytes" },
    { "an empty REAUTH", CONTROL_REAUTH, 0, 0, "REAUTH: length out of bounds: 0 bytes" },
    { "a REAUTH of nothing", CONTROL_REAUTH, 65536, 65536, "REAUTH: malformed: 65536 bytes" },
    { "a large REAUTH", CONTROL_REAUTH, 65537, 10, "REAUTH: length out of bounds: 65537 bytes" },
};

TEST(a_bad_control_frame_ends_the_link)
{
    for (size_t i = 0; i < N_ELEMENTS(frames); i++) {
        _cleanup_(pair_freep) struct pair *pair =
            pair_new(&(struct pair_options){ .wire = { .delay_ns = 5 * MS_NS } });
        _buf_ bytes = { 0 };

        CHECK(pair_up(pair));
        buf_put_u8(&bytes, frames[i].type);
        buf_put_u32(&bytes, frames[i].says);
        buf_put(&bytes, VIEW(zeros, frames[i].has));
        link_stream_write(pair->caller.link->control, pair->now, buf_view(&bytes), false);
        CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->caller.n_down && pair->callee.n_down));
        CHECK_STR(pair->callee.err.text, frames[i].why);
        CHECK_U64(pair->callee.err.code, ERR_BAD_WIRE);
        CHECK_U64(pair->caller.code, LINK_CLOSE_PROTOCOL);
        CHECK_U64(pair->caller.err.code, ERR_BAD_WIRE);
    }
}

TEST(reserved_frames_are_taken_and_a_close_frame_closes)
{
    _cleanup_(pair_freep) struct pair *pair =
        pair_new(&(struct pair_options){ .wire = { .delay_ns = 5 * MS_NS } });
    _buf_ bytes = { 0 };
    static const uint8_t close_payload[] = { 0, 0, 0, 0, 0, 0, 0, 0x14, 'b', 'y', 'e' };

    CHECK(pair_up(pair));
    control_write(&bytes, CONTROL_SWITCH, VIEW(zeros, 9));
    control_write(&bytes, CONTROL_SAS, VIEW(zeros, 32));
    control_write(&bytes, CONTROL_REVOKE, pair_heart('v'));
    link_stream_write(pair->caller.link->control, pair->now, buf_view(&bytes), false);
    CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->callee.n_revokes == 1));
    CHECK(link_is_up(pair->callee.link));
    CHECK_U64(pair->callee.n_switches, 1);

    buf_clear(&bytes);
    control_write(&bytes, CONTROL_CLOSE, VIEW_ARR(close_payload));
    link_stream_write(pair->caller.link->control, pair->now, buf_view(&bytes), false);
    CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->callee.n_down == 1));
    CHECK_STR(pair->callee.err.text,
              "the other side closed the link: the session was ended by den or an operator: bye");
    CHECK(pair->callee.by_remote);
    CHECK_U64(pair->callee.code, LINK_CLOSE_ADMIN);
}

/* ngtcp2 aborts the process on a code that QUIC's integers do not reach. */
TEST(a_code_that_quic_has_no_number_for_ends_the_link_alone)
{
    static const struct {
        uint8_t code[8];
        uint64_t seen; /* by the callee */
    } cases[] = {
        { { 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, LINK_MAX_CODE },
        { { 0x40 }, LINK_CLOSE_PROTOCOL },
        { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, LINK_CLOSE_PROTOCOL },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _cleanup_(pair_freep) struct pair *pair =
            pair_new(&(struct pair_options){ .wire = { .delay_ns = 5 * MS_NS } });
        _buf_ bytes = { 0 };

        CHECK(pair_up(pair));
        control_write(&bytes, CONTROL_CLOSE, VIEW_ARR(cases[i].code));
        link_stream_write(pair->caller.link->control, pair->now, buf_view(&bytes), false);
        CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->callee.n_down == 1 && pair->caller.n_down == 1));
        CHECK_U64(pair->callee.code, cases[i].seen);
        CHECK_U64(pair->caller.code, cases[i].seen);
        if (i > 0)
            CHECK_STR(pair->callee.err.text, "CLOSE: a code over 2^62 - 1");
    }
}

TEST(a_code_of_ours_beyond_the_largest_goes_as_the_largest)
{
    _cleanup_(pair_freep) struct pair *pair =
        pair_new(&(struct pair_options){ .wire = { .delay_ns = 5 * MS_NS } });

    CHECK(pair_up(pair));
    link_stream_reset(pair_open(&pair->caller, "chat", ""), pair->now, UINT64_MAX);
    PAIR_UNTIL(pair, S_NS, false);
    CHECK(link_is_up(pair->callee.link));
    link_close(pair->caller.link, pair->now, UINT64_MAX, "bye");
    CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->callee.n_down == 1));
    CHECK_U64(pair->callee.code, LINK_MAX_CODE);
}

TEST(a_control_stream_that_ends_breaks_the_protocol)
{
    for (unsigned i = 0; i < 2; i++) {
        _cleanup_(pair_freep) struct pair *pair =
            pair_new(&(struct pair_options){ .wire = { .delay_ns = 5 * MS_NS } });

        CHECK(pair_up(pair));
        if (i == 0)
            link_stream_write(pair->caller.link->control, pair->now, (struct view){ 0 }, true);
        else
            link_stream_reset(pair->caller.link->control, pair->now, 0);
        CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->callee.n_down == 1));
        CHECK_STR(pair->callee.err.text, i == 0 ? "the other side ended the control stream"
                                                : "the other side reset the control stream");
        CHECK(PAIR_UNTIL(pair, 5 * S_NS, pair->caller.n_down == 1));
        CHECK_U64(pair->caller.code, LINK_CLOSE_PROTOCOL);
        CHECK(pair->caller.by_remote);
    }
}

TEST(a_flood_of_control_frames_is_bounded)
{
    _cleanup_(pair_freep) struct pair *pair =
        pair_new(&(struct pair_options){ .wire = { .delay_ns = 5 * MS_NS } });
    _buf_ bytes = { 0 };

    CHECK(pair_up(pair));
    for (unsigned i = 0; i < LINK_MAX_EVENTS + 1; i++)
        control_write(&bytes, CONTROL_REVOKE, pair_heart('v'));
    /* All at once, to an owner that takes no events meanwhile. */
    struct err err = { 0 };
    CHECK(!bind_input(pair->callee.link, buf_view(&bytes), &err));
    CHECK_STR(err.text, "more than 256 control frames at once");
}

TEST(bad_configurations_are_refused)
{
    struct link_config config = { .is_caller = true };
    struct link *link;
    struct err err;

    CHECK_ERR(link_new(&config, 1, &link, &err), err, ERR_INVALID_ARGUMENT);
    CHECK_STR(err.text, "link: judge, may_open and send must be set");
}
