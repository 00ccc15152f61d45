/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/mdns.h"

#include "base/clock.h"
#include "base/key.h"
#include "base/text.h"

enum { HEADER = 12, SRV = 33, TXT = 16, IN_ALONE = 0x8001, SLACK_MINUTES = 2, LIVES_S = 10 };
#define DAY (24 * 60 * UINT64_C(60000))

static const uint8_t suffix[] = "\7_warren\4_udp\5local";

/* ---- what is proved ---- */

static void mac(const uint8_t key[MDNS_KEY], const char *word, const struct buf *bytes,
                uint8_t ret[MDNS_MAC])
{
    uint8_t full[HASH_SIZE];
    _buf_ all = { 0 };

    buf_put(&all, VIEW(word, strlen(word) + 1));
    buf_put(&all, buf_view(bytes));
    hmac_sha256(VIEW(key, MDNS_KEY), buf_view(&all), full);
    memcpy(ret, full, MDNS_MAC);
}

void mdns_label(const uint8_t key[MDNS_KEY], uint64_t now_ms, uint8_t ret_label[MDNS_LABEL])
{
    _buf_ bytes = { 0 };

    buf_put_u64(&bytes, now_ms / DAY);
    mac(key, "warren/1 lan label", &bytes, ret_label);
}

static void ask_mac(const uint8_t key[MDNS_KEY], const struct mdns_question *q, uint64_t minute,
                    uint8_t ret[MDNS_MAC])
{
    _buf_ bytes = { 0 };

    buf_put(&bytes, VIEW_ARR(q->label));
    buf_put(&bytes, VIEW_ARR(q->nonce));
    buf_put_u64(&bytes, minute);
    mac(key, "warren/1 lan ask", &bytes, ret);
}

void mdns_ask(const uint8_t key[MDNS_KEY], uint64_t now_ms, const uint8_t nonce[MDNS_NONCE],
              struct mdns_question *ret)
{
    struct mdns_question q;

    mdns_label(key, now_ms, q.label);
    memcpy(q.nonce, nonce, MDNS_NONCE);
    ask_mac(key, &q, now_ms / MINUTE_MS, q.mac);
    *ret = q;
}

bool mdns_is_asked(const uint8_t key[MDNS_KEY], uint64_t now_ms, const struct mdns_question *q)
{
    uint64_t minute = now_ms / MINUTE_MS,
             from = minute > SLACK_MINUTES ? minute - SLACK_MINUTES : 0;

    for (uint64_t m = from; m <= minute + SLACK_MINUTES; m++) {
        uint8_t label[MDNS_LABEL], wanted[MDNS_MAC];

        mdns_label(key, m * MINUTE_MS, label);
        if (!view_eq_secret(VIEW_ARR(label), VIEW_ARR(q->label)))
            continue;
        ask_mac(key, q, m, wanted);
        if (view_eq_secret(VIEW_ARR(wanted), VIEW_ARR(q->mac)))
            return true;
    }
    return false;
}

static void answer_mac(const uint8_t key[MDNS_KEY], const struct mdns_answer *a,
                       uint8_t ret[MDNS_MAC])
{
    _buf_ bytes = { 0 };

    buf_put(&bytes, VIEW_ARR(a->question.nonce));
    buf_put_u16(&bytes, a->port);
    buf_put(&bytes, VIEW_ARR(a->cookie));
    mac(key, "warren/1 lan here", &bytes, ret);
}

void mdns_answer(const uint8_t key[MDNS_KEY], const struct mdns_question *question, uint16_t port,
                 const uint8_t cookie[MDNS_COOKIE], struct mdns_answer *ret)
{
    struct mdns_answer a = { .question = *question, .port = port };

    memcpy(a.cookie, cookie, MDNS_COOKIE);
    answer_mac(key, &a, a.mac);
    *ret = a;
}

bool mdns_is_answered(const uint8_t key[MDNS_KEY], const struct mdns_answer *answer)
{
    uint8_t wanted[MDNS_MAC];

    answer_mac(key, answer, wanted);
    return view_eq_secret(VIEW_ARR(wanted), VIEW_ARR(answer->mac));
}

/* ---- how it is written ---- */

static void put_label(struct buf *to, struct view bytes)
{
    _buf_ text = { 0 };

    text_put_base32(&text, bytes);
    buf_put_u8(to, (uint8_t)text.len);
    buf_put(to, buf_view(&text));
}

static void put_name(struct buf *to, const struct mdns_question *q)
{
    uint8_t token[MDNS_NONCE + MDNS_MAC];

    memcpy(token, q->nonce, MDNS_NONCE);
    memcpy(token + MDNS_NONCE, q->mac, MDNS_MAC);
    put_label(to, VIEW_ARR(q->label));
    put_label(to, VIEW_ARR(token));
    buf_put(to, VIEW_ARR(suffix)); /* with the NUL, which is the root */
}

static void put_header(struct buf *to, uint16_t flags, uint16_t n_questions, uint16_t n_answers)
{
    buf_put_u16(to, 0);
    buf_put_u16(to, flags);
    buf_put_u16(to, n_questions);
    buf_put_u16(to, n_answers);
    buf_put_u32(to, 0);
}

void mdns_put_question(const struct mdns_question *question, struct buf *to)
{
    put_header(to, 0, 1, 0);
    put_name(to, question);
    buf_put_u16(to, SRV);
    buf_put_u16(to, IN_ALONE);
}

static void put_record(struct buf *to, const struct mdns_question *q, uint16_t type,
                       const struct buf *data)
{
    put_name(to, q);
    buf_put_u16(to, type);
    buf_put_u16(to, IN_ALONE);
    buf_put_u32(to, LIVES_S);
    buf_put_u16(to, (uint16_t)data->len);
    buf_put(to, buf_view(data));
}

void mdns_put_answer(const struct mdns_answer *answer, struct buf *to)
{
    _buf_ srv = { 0 }, txt = { 0 };

    buf_put_u32(&srv, 0); /* priority and weight */
    buf_put_u16(&srv, answer->port);
    buf_put_u8(&srv, 0); /* no host: it is whoever answers */
    buf_put_u8(&txt, 2 * (MDNS_COOKIE + MDNS_MAC));
    text_put_hex(&txt, VIEW_ARR(answer->cookie));
    text_put_hex(&txt, VIEW_ARR(answer->mac));
    put_header(to, 0x8400, 0, 2);
    put_record(to, &answer->question, SRV, &srv);
    put_record(to, &answer->question, TXT, &txt);
}

/* ---- and read: what we write, to the byte, and nothing else ---- */

static bool take_label(struct view *rest, uint8_t *to, size_t size)
{
    struct view text;
    size_t ignored;
    uint8_t len;

    return view_take_u8(rest, &len) && len <= 63 && view_take(rest, len, &text) &&
           text_read_base32(text, to, size, &ignored);
}

static bool take_name(struct view *rest, struct mdns_question *ret)
{
    uint8_t token[MDNS_NONCE + MDNS_MAC];
    struct view tail;

    if (!take_label(rest, ret->label, MDNS_LABEL) || !take_label(rest, token, sizeof(token)) ||
        !view_take(rest, sizeof(suffix), &tail) || !view_eq(tail, VIEW_ARR(suffix)))
        return false;
    memcpy(ret->nonce, token, MDNS_NONCE);
    memcpy(ret->mac, token + MDNS_NONCE, MDNS_MAC);
    return true;
}

static bool take_header(struct view *rest, uint16_t is_answer, uint16_t n_questions,
                        uint16_t n_answers)
{
    uint16_t id, flags, questions, answers;
    uint32_t others;

    return view_take_u16(rest, &id) && view_take_u16(rest, &flags) &&
           view_take_u16(rest, &questions) && view_take_u16(rest, &answers) &&
           view_take_u32(rest, &others) && (flags & 0x8000) == is_answer &&
           questions == n_questions && answers == n_answers && others == 0;
}

bool mdns_read_question(struct view message, struct mdns_question *ret)
{
    struct mdns_question q = { 0 };
    uint16_t type, class;

    if (message.len > MDNS_MAX || !take_header(&message, 0, 1, 0) || !take_name(&message, &q) ||
        !view_take_u16(&message, &type) || !view_take_u16(&message, &class) || type != SRV ||
        (class & 0x7fff) != 1 || message.len)
        return false;
    *ret = q;
    return true;
}

static bool take_record(struct view *rest, uint16_t wanted, struct mdns_question *ret_q,
                        struct view *ret_data)
{
    uint16_t type, class, len;
    uint32_t lives;

    return take_name(rest, ret_q) && view_take_u16(rest, &type) && view_take_u16(rest, &class) &&
           view_take_u32(rest, &lives) && view_take_u16(rest, &len) &&
           view_take(rest, len, ret_data) && type == wanted;
}

bool mdns_read_answer(struct view message, struct mdns_answer *ret)
{
    struct mdns_question second = { 0 };
    struct mdns_answer a = { 0 };
    struct view srv, txt, hex;
    uint32_t priority;
    uint8_t root, len;

    if (message.len > MDNS_MAX || !take_header(&message, 0x8000, 0, 2) ||
        !take_record(&message, SRV, &a.question, &srv) ||
        !take_record(&message, TXT, &second, &txt) || message.len ||
        memcmp(&second, &a.question, sizeof(second)) != 0)
        return false;
    if (!view_take_u32(&srv, &priority) || !view_take_u16(&srv, &a.port) ||
        !view_take_u8(&srv, &root) || root || srv.len || a.port == 0)
        return false;
    if (!view_take_u8(&txt, &len) || !view_take(&txt, len, &hex) || txt.len ||
        !text_read_hex(view_sub(hex, 0, 2 * MDNS_COOKIE), a.cookie, MDNS_COOKIE) ||
        !text_read_hex(view_sub(hex, 2 * MDNS_COOKIE, hex.len), a.mac, MDNS_MAC))
        return false;
    *ret = a;
    return true;
}
