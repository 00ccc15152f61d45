/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "peer/mdns.h"
#include "tests/check.h"

static const uint8_t key[MDNS_KEY] = { 7 }, other[MDNS_KEY] = { 8 };
static const uint8_t nonce[MDNS_NONCE] = "12345678";
#define NOW (UINT64_C(20000) * DAY_MS + 12 * HOUR_MS)

TEST(a_question_and_its_answer_come_through)
{
    uint8_t cookie[MDNS_COOKIE] = { 9, 8 };
    struct mdns_question q, q2;
    struct mdns_answer a, a2;
    _buf_ question = { 0 }, answer = { 0 };

    mdns_ask(key, NOW, nonce, &q);
    mdns_put_question(&q, &question);
    CHECK(mdns_read_question(buf_view(&question), &q2) && memcmp(&q, &q2, sizeof(q)) == 0);
    CHECK(mdns_is_asked(key, NOW, &q2) && !mdns_is_asked(other, NOW, &q2));
    mdns_answer(key, &q2, 4321, cookie, &a);
    mdns_put_answer(&a, &answer);
    CHECK(mdns_read_answer(buf_view(&answer), &a2) && memcmp(&a, &a2, sizeof(a)) == 0);
    CHECK(mdns_is_answered(key, &a2) && !mdns_is_answered(other, &a2));
    CHECK(!mdns_read_answer(buf_view(&question), &a2) &&
          !mdns_read_question(buf_view(&answer), &q2));
    CHECK(question.len <= MDNS_MAX && answer.len <= MDNS_MAX);
}

TEST(a_question_is_good_for_two_minutes)
{
    struct mdns_question q;

    mdns_ask(key, NOW, nonce, &q);
    CHECK(mdns_is_asked(key, NOW + 2 * MINUTE_MS, &q) &&
          mdns_is_asked(key, NOW - 2 * MINUTE_MS, &q));
    CHECK(!mdns_is_asked(key, NOW + 4 * MINUTE_MS, &q) &&
          !mdns_is_asked(key, NOW - 4 * MINUTE_MS, &q));
    CHECK(!mdns_is_asked(key, NOW + DAY_MS, &q));
    mdns_ask(key, 20000 * DAY_MS - 1, nonce, &q); /* the turn of the day */
    CHECK(mdns_is_asked(key, 20000 * DAY_MS + 1, &q));
}

TEST(no_two_days_have_the_same_label)
{
    uint8_t today[MDNS_LABEL], later[MDNS_LABEL], tomorrow[MDNS_LABEL], theirs[MDNS_LABEL];

    mdns_label(key, NOW, today);
    mdns_label(key, NOW + HOUR_MS, later);
    mdns_label(key, NOW + DAY_MS, tomorrow);
    mdns_label(other, NOW, theirs);
    CHECK(memcmp(today, later, MDNS_LABEL) == 0 && memcmp(today, tomorrow, MDNS_LABEL) != 0 &&
          memcmp(today, theirs, MDNS_LABEL) != 0);
}

TEST(what_is_changed_proves_nothing)
{
    uint8_t cookie[MDNS_COOKIE] = { 1 };
    struct mdns_question q;
    struct mdns_answer a;
    _buf_ bytes = { 0 };

    mdns_ask(key, NOW, nonce, &q);
    mdns_answer(key, &q, 4321, cookie, &a);
    mdns_put_answer(&a, &bytes);
    for (size_t i = 0; i < bytes.len; i++) {
        struct mdns_answer b;

        CHECK(!mdns_read_answer(VIEW(bytes.data, i), &b)); /* cut short */
        bytes.data[i] ^= 1;
        if (mdns_read_answer(buf_view(&bytes), &b) &&
            mdns_is_answered(key, &b)) /* of what counts nothing */
            CHECK(b.port == a.port && memcmp(b.cookie, a.cookie, MDNS_COOKIE) == 0 &&
                  memcmp(b.question.nonce, q.nonce, MDNS_NONCE) == 0);
        bytes.data[i] ^= 1;
    }
    buf_put_u8(&bytes, 0);
    CHECK(!mdns_read_answer(buf_view(&bytes), &a)); /* something behind it */
}
