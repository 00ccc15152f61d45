/* SPDX-License-Identifier: Apache-2.0 */
#include "den/inventory.h"

#include "base/clock.h"
#include "base/conf.h"
#include "base/text.h"
#include "den/record.h"
#include "den/when.h"
#include "rpc/rpc.h"

#include <ctype.h>
#include <stdio.h>

static const char *const states[INVENTORY_N_STATES] = { "valid", "expired", "revoked", "unsigned" };

static const struct {
    const char *word;
    uint8_t reason;
} reasons[] = {
    { "unspecified", 0 },         { "key-compromise", 1 }, { "ca-compromise", 2 },
    { "affiliation-changed", 3 }, { "superseded", 4 },     { "cessation-of-operation", 5 },
    { "privilege-withdrawn", 9 }, { "aa-compromise", 10 },
};

const char *inventory_state_name(enum inventory_state state)
{
    return states[state];
}

bool inventory_state_find(const char *word, enum inventory_state *ret_state)
{
    for (size_t i = 0; i < N_ELEMENTS(states); i++) {
        if (strcmp(states[i], word) != 0)
            continue;
        *ret_state = (enum inventory_state)i;
        return true;
    }
    return false;
}

enum inventory_state inventory_state_of(const struct store_certificate *c, uint64_t now)
{
    if (c->is_revoked)
        return INVENTORY_REVOKED;
    if (!c->der.len)
        return INVENTORY_UNSIGNED;
    return now > c->not_after ? INVENTORY_EXPIRED : INVENTORY_VALID;
}

const char *inventory_reason_name(uint8_t reason)
{
    for (size_t i = 0; i < N_ELEMENTS(reasons); i++)
        if (reasons[i].reason == reason)
            return reasons[i].word;
    return "other";
}

/* As RFC 5280 spells them, keyCompromise, they differ in hyphens and capitals alone. */
static bool is_same_word(const char *a, const char *b)
{
    for (;;) {
        a += *a == '-';
        b += *b == '-';
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
        if (*a == '\0')
            return true;
        a++;
        b++;
    }
}

static bool find_reason(const char *word, uint8_t *ret_reason)
{
    for (size_t i = 0; i < N_ELEMENTS(reasons); i++) {
        if (!is_same_word(reasons[i].word, word))
            continue;
        *ret_reason = reasons[i].reason;
        return true;
    }
    return false;
}

bool inventory_reason_read(const char *what, const char *word, uint8_t *ret_reason, struct err *err)
{
    _buf_ known = { 0 };

    if (find_reason(word, ret_reason))
        return true;
    if (is_same_word("certificate-hold", word) || is_same_word("remove-from-crl", word))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "%s: %.64s is for what comes back, and nothing that was revoked here does",
                       what, word);
    for (size_t i = 0; i < N_ELEMENTS(reasons); i++)
        buf_printf(&known, "%s%s", i ? ", " : "", reasons[i].word);
    return err_set(err, ERR_INVALID_ARGUMENT, "%s: expected %s, found \"%.32s\"", what,
                   buf_cstr(&known), word);
}

bool inventory_is_wanted(const struct inventory_wanted *wanted, const struct store_certificate *c)
{
    enum inventory_state state = inventory_state_of(c, wanted->now);

    if (wanted->id && strcmp(wanted->id, c->id) != 0)
        return false;
    if (wanted->has_state && state != wanted->state)
        return false;
    return !wanted->expires_before ||
           (state == INVENTORY_VALID && c->not_after < wanted->expires_before);
}

static const char *time_or_dash(uint64_t ms, char to[CLOCK_TEXT])
{
    return ms ? clock_text(ms, to) : "-";
}

void inventory_put_line(const struct store_certificate *c, uint64_t now, struct buf *to)
{
    char from[CLOCK_TEXT], until[CLOCK_TEXT], at[CLOCK_TEXT], hex[RECORD_HEX];

    buf_printf(to, "%-34s  %-9s  %-8s  %-24s  %-24s", record_hex(buf_view(&c->serial), hex), c->id,
               states[inventory_state_of(c, now)], time_or_dash(c->not_before, from),
               time_or_dash(c->not_after, until));
    if (c->is_revoked)
        buf_printf(to, "  revoked %s: %s", clock_text(c->revoked_at, at),
                   inventory_reason_name(c->reason));
}

static void put_text(struct buf *to, const char *key, const char *text)
{
    rpc_put_str(to, key);
    if (text)
        rpc_put_str(to, text);
    else
        rpc_put_nil(to);
}

static void put_time(struct buf *to, const char *key, uint64_t ms)
{
    char text[CLOCK_TEXT];

    put_text(to, key, ms ? clock_text(ms, text) : NULL);
}

void inventory_put(const struct store_certificate *c, uint64_t now, struct buf *to)
{
    enum { N_KEYS = 10 };
    char serial[RECORD_HEX], spki[RECORD_HEX], sha256[RECORD_HEX];
    uint8_t hash[HASH_SIZE];

    hash_sha256(buf_view(&c->der), hash);
    rpc_put_map(to, N_KEYS);
    put_text(to, "serial", record_hex(buf_view(&c->serial), serial));
    put_text(to, "id", c->id);
    put_text(to, "state", states[inventory_state_of(c, now)]);
    put_time(to, "reserved_at", c->reserved_at);
    put_time(to, "not_before", c->not_before);
    put_time(to, "not_after", c->not_after);
    put_time(to, "revoked_at", c->is_revoked ? c->revoked_at : 0);
    put_text(to, "reason", c->is_revoked ? inventory_reason_name(c->reason) : NULL);
    put_text(to, "spki", record_hex(VIEW_ARR(c->spki), spki));
    put_text(to, "sha256", c->der.len ? record_hex(VIEW_ARR(hash), sha256) : NULL);
}

void inventory_put_json(const struct store_certificate *c, uint64_t now, struct buf *to)
{
    enum { MAX = 4096 };
    _buf_ map = { 0 };
    struct err err;

    inventory_put(c, now, &map);
    if (!rpc_json_from_msgpack(buf_view(&map), MAX, to, &err))
        abort(); /* all of it is ours */
}

bool inventory_read_time(const char *text, uint64_t now, uint64_t *ret_at)
{
    uint64_t span;

    if (when_read_instant(view_text(text), ret_at))
        return true;
    if (!conf_duration(view_text(text), &span))
        return false;
    *ret_at = now + span;
    return true;
}
