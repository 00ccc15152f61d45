/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/rpc/ws_road.h"

#include "rpc/ws_frame.h"

/* ---- frames ---------------------------------------------------------------------------------- */

TEST(frames_have_the_shortest_header)
{
    static const struct {
        size_t len;
        size_t header;
    } cases[] = {
        { 0, 2 }, { 125, 2 }, { 126, 4 }, { 65535, 4 }, { 65536, 10 },
    };
    static const uint8_t mask[] = { 1, 2, 3, 4 };
    static uint8_t bytes[65536];

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ plain = { 0 };
        _buf_ masked = { 0 };
        rpc_ws_frame_put(&plain, false, VIEW(bytes, cases[i].len), NULL);
        rpc_ws_frame_put(&masked, false, VIEW(bytes, cases[i].len), mask);
        CHECK_U64(plain.len, cases[i].header + cases[i].len);
        CHECK_U64(masked.len, cases[i].header + 4 + cases[i].len);
        CHECK_U64(rpc_ws_frame_run(buf_view(&plain), 1), plain.len);
        CHECK_U64(rpc_ws_frame_run(buf_view(&masked), 1), masked.len);
    }
}

TEST(masked_frames_are_those_of_rfc_6455)
{
    static const uint8_t mask[] = { 0x37, 0xfa, 0x21, 0x3d };
    static const uint8_t wanted[] = { 0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d,
                                      0x7f, 0x9f, 0x4d, 0x51, 0x58 };
    _buf_ out = { 0 };

    rpc_ws_frame_put(&out, false, VIEW_LIT("Hello"), mask); /* 5.7's example, but binary */
    CHECK_VIEW(buf_view(&out), VIEW_ARR(wanted));
}

TEST(runs_end_where_a_frame_ends)
{
    _buf_ out = { 0 };
    static uint8_t bytes[300];

    for (int i = 0; i < 3; i++)
        rpc_ws_frame_put(&out, false, VIEW_ARR(bytes), NULL);
    CHECK_U64(rpc_ws_frame_run(buf_view(&out), 1), 304);
    CHECK_U64(rpc_ws_frame_run(buf_view(&out), 304), 304);
    CHECK_U64(rpc_ws_frame_run(buf_view(&out), 305), 608);
    CHECK_U64(rpc_ws_frame_run(buf_view(&out), 10000), 912);
}

/* ---- both ends ------------------------------------------------------------------------------- */

TEST(both_ends_open_and_see_the_same_exporter)
{
    _road_ road;

    road_init(&road);
    road_open(&road);
    CHECK_VIEW(VIEW_ARR(road.client.exporter), VIEW_ARR(road.server.exporter));
    CHECK_STR(road.server.address, "127.0.0.1");
    CHECK_STR(road.client.address, "127.0.0.1");
    CHECK_U64(road.n_judged, 1);
    CHECK_VIEW(buf_view(&road.leaf), buf_view(&road.cert.der));
}

static bool has_5000(void *user)
{
    const struct road *road = user;

    return road->client.n_messages >= 5000 || road->client.n_closed;
}

TEST(thousands_of_messages_keep_their_order)
{
    _road_ road;

    road_init(&road);
    road.server.echoes = true;
    road_open(&road);
    for (uint32_t i = 0; i < 5000; i++)
        send_numbered(road.client.conn, i, 4 + i % 300);
    CHECK(edge_until(road.loop, has_5000, &road));
    CHECK_U64(road.client.n_messages, 5000);
    CHECK_U64(road.client.n_bytes, road.server.n_bytes);
    CHECK_U64(rpc_ws_queued(road.client.conn), 0);
}

static bool has_80(void *user)
{
    return ((const struct road *)user)->server.n_messages >= 80;
}

/* How many bytes wait before one more message sends them off, in this turn. */
static size_t send_until_they_leave(struct rpc_ws_conn *conn, uint32_t *number)
{
    size_t waited;

    do {
        waited = rpc_ws_queued(conn);
        send_numbered(conn, (*number)++, 512);
    } while (rpc_ws_queued(conn) > waited);
    return waited;
}

/* On another core the other side begins before the turn is over: soon at first, then with more each time. */
TEST(a_turn_that_goes_on_lets_its_first_bytes_go)
{
    uint32_t number = 0;
    _road_ road;

    road_init(&road);
    road_open(&road);
    for (size_t bound = 2048; bound <= 16384; bound *= 2) {
        size_t waited = send_until_they_leave(road.client.conn, &number);
        CHECK(waited < bound && waited >= bound / 2);
    }
    while (number < 80)
        send_numbered(road.client.conn, number++, 512);
    CHECK(edge_until(road.loop, has_80, &road)); /* turns went by */
    CHECK(send_until_they_leave(road.client.conn, &number) < 2048);
}

/* Records that were read ahead do not make the socket readable again; a ping is no message. */
TEST(a_record_each_and_pings_between_are_read_to_the_end)
{
    _road_ road;

    road_init(&road);
    road.server.echoes = true;
    road_open(&road);
    for (uint32_t i = 0; i < 5000; i++) {
        if (i % 3 == 0) /* a ping in a record of its own */
            buf_put(&road.client.conn->out.bytes, VIEW_LIT("\x89\x80\1\2\3\4"));
        CHECK(rpc_ws_conn_flush(road.client.conn));
        send_numbered(road.client.conn, i, 4 + i % 300);
        CHECK(rpc_ws_conn_flush(road.client.conn));
    }
    CHECK(edge_until(road.loop, has_5000, &road) && road.client.n_messages == 5000);
}

static bool has_3(void *user)
{
    return ((const struct road *)user)->client.n_messages >= 3 ||
           ((const struct road *)user)->client.n_closed;
}

TEST(a_whole_mebibyte_comes_back)
{
    _road_ road;

    road_init(&road);
    road.server.echoes = true;
    road_open(&road);
    for (uint32_t i = 0; i < 3; i++)
        send_numbered(road.client.conn, i, 1 << 20);
    CHECK(edge_until(road.loop, has_3, &road));
    CHECK_U64(road.client.n_bytes, 3 << 20);
}

TEST(a_close_tells_the_other_side_code_and_reason)
{
    _road_ road;

    road_init(&road);
    road_open(&road);
    send_numbered(road.server.conn, 0, 100);
    rpc_ws_close(road.server.conn, 1008, "enough");
    send_numbered(road.server.conn, 1, 100); /* into the void */
    CHECK(edge_until(road.loop, both_closed, &road));
    CHECK_U64(road.client.n_messages, 1); /* what was queued before the close still came */
    CHECK_STR(road.client.why.text, "the other side closed: 1008 enough");
    CHECK_STR(road.server.why.text, "closed here: enough");
    CHECK_U64(road.server.why.code, ERR_CLOSED);
}

TEST(messages_over_the_limit_are_refused_until_trusted)
{
    static const struct {
        bool is_trusted;
        size_t size;
        const char *why;
    } cases[] = {
        { false, 1024, NULL },
        { false, 1025, "a message over the limit" },
        { false, 300000, "a message over the limit" },
        { true, 1025, NULL },
        { true, 2049, "a message over the limit" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _road_ road;
        char wanted[80];
        road_init(&road);
        road.listener.max_message_before = 1024;
        road.listener.max_message = 2048;
        road.server.trusts = cases[i].is_trusted;
        road_open(&road);
        send_numbered(road.client.conn, 0, cases[i].size);
        rpc_ws_close(road.client.conn, 1000, "end");
        CHECK(edge_until(road.loop, both_closed, &road));
        CHECK_U64(road.server.n_messages, cases[i].why ? 0 : 1);
        snprintf(wanted, sizeof(wanted), "closed here: %s", cases[i].why ? cases[i].why : "");
        CHECK_STR(road.server.why.text, cases[i].why ? wanted : "the other side closed: 1000 end");
    }
}

TEST(a_reader_that_is_too_slow_is_dropped)
{
    _road_ road;

    road_init(&road);
    road.listener.max_queue = 1000;
    road_open(&road);
    for (uint32_t i = 0; i < 3; i++)
        send_numbered(road.server.conn, i, 400);
    CHECK(edge_until(road.loop, both_closed, &road));
    CHECK_U64(road.server.why.code, ERR_LIMIT);
    CHECK_STR(road.server.why.text, "too slow: more than 1000 bytes would wait to be sent");
    CHECK_U64(road.client.why.code, ERR_NETWORK_FAILURE);
}

TEST(a_refused_certificate_says_why)
{
    _road_ road;

    road_init(&road);
    err_set(&road.judged, ERR_BAD_CERTIFICATE, "the leaf is for another host");
    road_listen(&road);
    road_dial(&road, &road.client);
    CHECK(edge_until(road.loop, is_closed, &road.client));
    CHECK_U64(road.client.why.code, ERR_BAD_CERTIFICATE);
    CHECK_STR(road.client.why.text, "the leaf is for another host");
    CHECK_U64(road.client.n_opened + road.server.n_opened, 0);
}

TEST(another_sub_protocol_is_refused)
{
    static const char *const others[] = { "wamp.2.json", "http", "client" };

    for (size_t i = 0; i < N_ELEMENTS(others); i++) {
        _road_ road;
        road_init(&road);
        road.dial.protocol = others[i];
        road_listen(&road);
        road_dial(&road, &road.client);
        CHECK(edge_until(road.loop, is_closed, &road.client));
        CHECK_U64(road.client.n_opened + road.server.n_opened + road.server.n_closed, 0);
        CHECK_U64(road.client.why.code, ERR_NETWORK_FAILURE);
    }
}

TEST(nobody_listening_is_a_network_failure)
{
    _road_ road;

    road_init(&road);
    road.dial.port = 1;
    road_dial(&road, &road.client);
    CHECK(edge_until(road.loop, is_closed, &road.client));
    CHECK_U64(road.client.why.code, ERR_NETWORK_FAILURE);
    CHECK(strncmp(road.client.why.text, "connecting to 127.0.0.1 port 1: ", 32) == 0);
}

TEST(a_dial_can_be_canceled)
{
    _road_ road;
    struct rpc_ws_conn *conn;

    road_init(&road);
    road_listen(&road);
    conn = road_dial(&road, &road.client);
    rpc_ws_close(conn, 1000, "never mind");
    CHECK_U64(road.client.n_closed, 0); /* it comes from the loop */
    CHECK(edge_until(road.loop, is_closed, &road.client));
    CHECK_STR(road.client.why.text, "closed here: never mind");
    CHECK_U64(road.client.n_opened, 0);
}
