/* SPDX-License-Identifier: Apache-2.0 */
/* The two messages of mDNS (RFC 6762) by which machines with a permit find each other, and nothing else of it. No I/O. A question is
 *
 *     LABEL.TOKEN._warren._udp.local  SRV, to be answered to its sender alone
 *
 * LABEL is HMAC-SHA-256(key, "warren/1 lan label" 0 day), TOKEN is 8 random bytes and HMAC-SHA-256(key, "warren/1 lan ask" 0 label bytes
 * minute), each 16 bytes of it, in Crockford's base32; day and minute are counted from 1970, 8 bytes. Nobody without the key can
 * tell whose it is, nor link one day's with the next day's. Whoever has the key answers with an SRV (the port) and a TXT that proves it: 16
 * bytes to come back with, and HMAC-SHA-256(key, "warren/1 lan here" 0 the token's 8 bytes, port, those 16), in hexadecimal. All others are silent. */
#pragma once

#include "base/buf.h"

enum {
    MDNS_KEY = 32,
    MDNS_LABEL = 16,
    MDNS_NONCE = 8,
    MDNS_MAC = 16,
    MDNS_COOKIE = 16,
    MDNS_MAX = 512,
    MDNS_PORT = 5353
};

struct mdns_question {
    uint8_t label[MDNS_LABEL], nonce[MDNS_NONCE], mac[MDNS_MAC];
};
struct mdns_answer {
    struct mdns_question question;
    uint16_t port;
    uint8_t cookie[MDNS_COOKIE], mac[MDNS_MAC];
};

void mdns_label(const uint8_t key[MDNS_KEY], uint64_t now_ms, uint8_t ret_label[MDNS_LABEL]);
void mdns_ask(const uint8_t key[MDNS_KEY], uint64_t now_ms, const uint8_t nonce[MDNS_NONCE],
              struct mdns_question *ret);
/* Whether it was made with that key, today, or within two minutes of the turn of the day, at most two minutes ago or ahead. */
bool mdns_is_asked(const uint8_t key[MDNS_KEY], uint64_t now_ms,
                   const struct mdns_question *question);
void mdns_answer(const uint8_t key[MDNS_KEY], const struct mdns_question *question, uint16_t port,
                 const uint8_t cookie[MDNS_COOKIE], struct mdns_answer *ret);
bool mdns_is_answered(const uint8_t key[MDNS_KEY], const struct mdns_answer *answer);

void mdns_put_question(const struct mdns_question *question, struct buf *to);
bool mdns_read_question(struct view message,
                        struct mdns_question *ret); /* false: some other message */
void mdns_put_answer(const struct mdns_answer *answer, struct buf *to);
bool mdns_read_answer(struct view message, struct mdns_answer *ret);
