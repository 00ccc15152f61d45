/* SPDX-License-Identifier: Apache-2.0 */
#include "ice/allocate.h"
#include "tests/check.h"

static const uint8_t txid[ALLOCATE_TXID] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };

/* As coturn 4.6 answers, with a realm of its own. */
static void put_answer(struct buf *to, unsigned type, unsigned code, bool has_realm)
{
    static const uint8_t realm[] = { 0, 0x14, 0, 5, 'c', 'o', 'r', 'p', '1', 0, 0, 0 };
    static const uint8_t nonce[] = { 0, 0x15, 0, 4, 'a', 'b', 'c', 'd' };
    const uint8_t error[] = { 0, 9, 0, 4, 0, 0, (uint8_t)(code / 100), (uint8_t)(code % 100) };
    const uint8_t head[] = { (uint8_t)(type >> 8), (uint8_t)type, 0, 0, 0x21, 0x12, 0xa4, 0x42 };

    buf_put(to, VIEW_ARR(head));
    buf_put(to, VIEW_ARR(txid));
    if (code)
        buf_put(to, VIEW_ARR(error));
    if (has_realm) {
        buf_put(to, VIEW_ARR(realm));
        buf_put(to, VIEW_ARR(nonce));
    }
    to->data[3] = (uint8_t)(to->len - 20);
}

TEST(the_request_is_an_allocate_for_udp_without_a_credential)
{
    static const uint8_t wanted[] = { 0, 3, 0, 8,  0x21, 0x12, 0xa4, 0x42, 1, 2, 3,  4, 5, 6,
                                      7, 8, 9, 10, 11,   12,   0,    0x19, 0, 4, 17, 0, 0, 0 };
    uint8_t request[ALLOCATE_REQUEST];

    ice_allocate_put(txid, request);
    CHECK_VIEW(VIEW_ARR(request), VIEW_ARR(wanted));
}

TEST(what_a_server_answers)
{
    static const struct {
        unsigned type, code;
        bool has_realm;
        enum ice_allocate what;
        unsigned said;
    } cases[] = {
        { 0x0113, 401, true, ICE_ALLOCATE_WANTS, 401 },
        { 0x0113, 401, false, ICE_ALLOCATE_REFUSED, 401 }, /* with nothing to answer to */
        { 0x0113, 403, true, ICE_ALLOCATE_REFUSED, 403 },
        { 0x0113, 486, false, ICE_ALLOCATE_REFUSED, 486 },
        { 0x0113, 0, true, ICE_ALLOCATE_NONE, 0 },
        { 0x0103, 0, false, ICE_ALLOCATE_OPEN, 0 },
        { 0x0101, 0, false, ICE_ALLOCATE_NONE, 0 }, /* to a Binding */
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ answer = { 0 };
        unsigned code = 99;
        put_answer(&answer, cases[i].type, cases[i].code, cases[i].has_realm);
        CHECK_U64(ice_allocate_read(buf_view(&answer), txid, &code), cases[i].what);
        CHECK_U64(code, cases[i].said);
        for (size_t n = 0; n < answer.len; n++)
            CHECK_U64(ice_allocate_read(VIEW(answer.data, n), txid, &code), ICE_ALLOCATE_PART);
    }
}

TEST(what_is_no_answer_to_it)
{
    uint8_t other[ALLOCATE_TXID] = { 9 };
    unsigned code;
    _buf_ answer = { 0 };

    put_answer(&answer, 0x0113, 401, true);
    CHECK_U64(ice_allocate_read(buf_view(&answer), other, &code), ICE_ALLOCATE_NONE);
    answer.data[2] = 0x7f; /* a length that no answer has */
    CHECK_U64(ice_allocate_read(buf_view(&answer), txid, &code), ICE_ALLOCATE_NONE);
    answer.data[2] = 0;
    answer.data[23] = 0xff; /* an attribute that goes on behind the end */
    CHECK_U64(ice_allocate_read(buf_view(&answer), txid, &code), ICE_ALLOCATE_NONE);
    answer.data[4] ^= 1; /* the cookie */
    CHECK_U64(ice_allocate_read(buf_view(&answer), txid, &code), ICE_ALLOCATE_NONE);
}
