/* SPDX-License-Identifier: Apache-2.0 */
#include "den/revocation.h"

#include "base/text.h"
#include "den/audit.h"
#include "den/inventory.h"
#include "den/people.h"
#include "den/record.h"
#include "den/token.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const kinds[] = {
    [STORE_REVOKE_SERIAL] = "serial",
    [STORE_REVOKE_TLS_KEY] = "key",
    [STORE_REVOKE_IDENTITY] = "identity",
    [STORE_REVOKE_ADMISSIONS] = "admissions",
};

const char *revocation_kind_name(enum store_revoke kind)
{
    return kinds[kind];
}

bool revocation_read_serial(const char *typed, struct revocation_serial *ret_serial,
                            struct err *err)
{
    _buf_ hex = { 0 };
    struct revocation_serial serial = { 0 };

    for (const char *c = typed; *c; c++)
        if (*c != ':')
            buf_put_u8(&hex, (uint8_t)*c);
    serial.len = hex.len / 2;
    if (hex.len == 0 || hex.len % 2 || serial.len > PKI_MAX_SERIAL ||
        !text_read_hex(buf_view(&hex), serial.octets, serial.len))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "serial: expected up to %d octets in hexadecimal, found \"%.64s\"",
                       PKI_MAX_SERIAL, typed);
    *ret_serial = serial;
    return true;
}

static void set_subject(struct store_revocation *r, enum store_revoke kind, const char *id,
                        struct view subject)
{
    r->kind = kind;
    snprintf(r->id, sizeof(r->id), "%s", id);
    r->subject_len = subject.len;
    memcpy(r->subject, subject.data, subject.len);
}

static bool by_serial(struct store *store, const char *typed, struct store_revocation *to,
                      struct err *err)
{
    _cleanup_(store_certificate_deinit) struct store_certificate c = { 0 };
    struct revocation_serial serial = { 0 };
    enum store_found found;
    char hex[RECORD_HEX];

    if (!revocation_read_serial(typed, &serial, err) ||
        !store_certificate_by_serial(store, VIEW(serial.octets, serial.len), &found, &c, err))
        return false;
    if (found == STORE_NONE)
        return err_set(err, ERR_NOT_FOUND, "no certificate has the serial number %s",
                       record_hex(VIEW(serial.octets, serial.len), hex));
    set_subject(to, STORE_REVOKE_SERIAL, c.id, VIEW(serial.octets, serial.len));
    return true;
}

static bool by_key(struct store *store, const char *typed, struct store_revocation *to,
                   struct err *err)
{
    _cleanup_(store_certificate_deinit) struct store_certificate c = { 0 };
    uint8_t spki[HASH_SIZE];
    enum store_found found;

    if (!text_read_hex(view_text(typed), spki, sizeof(spki)))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "key: expected the SHA-256 of a SubjectPublicKeyInfo, 64 hexadecimal "
                       "digits, found \"%.80s\"",
                       typed);
    if (!store_certificate_by_spki(store, VIEW_ARR(spki), &found, &c, err))
        return false;
    if (found == STORE_NONE)
        return err_set(err, ERR_NOT_FOUND, "no certificate was ever asked for with the key %s",
                       typed);
    set_subject(to, STORE_REVOKE_TLS_KEY, c.id, VIEW_ARR(spki));
    return true;
}

static bool by_id(struct store *store, const char *typed, struct store_revocation *to,
                  struct err *err)
{
    struct store_identity who;
    enum store_found found;
    char id[TEXT_ID];

    if (!text_read_id(typed, id))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "id: expected an ID of 6 to 9 digits, found \"%.64s\"", typed);
    if (!store_identity_by_id(store, view_text(id), &found, &who, err))
        return false;
    if (found == STORE_NONE)
        return err_set(err, ERR_NOT_FOUND, "nobody has the ID %s", id);
    set_subject(to, STORE_REVOKE_IDENTITY, id, VIEW_ARR(who.pk));
    return true;
}

/* Inside a transaction: an ID is revoked under the key that it has, whichever it had when it was found. */
static bool aim(struct store *open, struct store_revocation *r, struct err *err)
{
    return r->kind != STORE_REVOKE_IDENTITY || by_id(open, r->id, r, err);
}

/* What it was until now, as the lists of identities and certificates have it. */
static bool read_state(struct store *open, const struct store_revocation *r, const char **ret_word,
                       struct err *err)
{
    _cleanup_(store_certificate_deinit) struct store_certificate c = { 0 };
    struct view subject = VIEW(r->subject, r->subject_len);
    struct store_identity who;
    enum store_found found = STORE_NONE;

    *ret_word = "";
    if (r->kind == STORE_REVOKE_IDENTITY) {
        if (!store_identity_by_id(open, view_text(r->id), &found, &who, err))
            return false;
        if (found == STORE_FOUND)
            *ret_word = people_state_word(&who, r->at);
        return true;
    }
    if (!(r->kind == STORE_REVOKE_TLS_KEY
              ? store_certificate_by_spki(open, subject, &found, &c, err)
              : store_certificate_by_serial(open, subject, &found, &c, err)))
        return false;
    if (found == STORE_FOUND)
        *ret_word = inventory_state_name(inventory_state_of(&c, r->at));
    return true;
}

static bool read_reason(const char *typed, uint8_t *ret_reason, struct err *err)
{
    return !typed || inventory_reason_read("reason", typed, ret_reason, err);
}

bool revocation_resolve(struct store *store, const struct revocation_words *words, uint64_t now,
                        struct store_revocation *ret_revocation, struct err *err)
{
    struct store_revocation *to = ret_revocation;

    *to = (struct store_revocation){ .at = now };
    if (!!words->id + !!words->serial + !!words->key != 1)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "what is revoked: expected one of id, serial and key");
    if (!read_reason(words->reason, &to->reason, err))
        return false;
    if (words->serial)
        return by_serial(store, words->serial, to, err);
    return words->key ? by_key(store, words->key, to, err) : by_id(store, words->id, to, err);
}

bool revocation_put_down(struct store *store, struct store_revocation *r, const struct deed *deed,
                         bool *ret_is_new, struct err *err)
{
    _transaction_ struct store *open = store;
    char subject[RECORD_HEX], no[24];
    const char *before;

    if (!store_begin(open, err) || !aim(open, r, err) || !read_state(open, r, &before, err) ||
        !store_revocation_add(open, r, &r->no, ret_is_new, err) ||
        (r->kind == STORE_REVOKE_IDENTITY && !token_end_for(open, r->id, deed, err)))
        return false;
    if (!*ret_is_new &&
        strcmp(deed->by, r->id) == 0) /* its own, again: that is no administrator's act */
        return store_commit(open, err);
    snprintf(no, sizeof(no), "%" PRIu64, r->no);
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("number", no),
        AUDIT_TEXT("kind", kinds[r->kind]),
        AUDIT_TEXT("id", r->id),
        AUDIT_TEXT("subject", record_hex(VIEW(r->subject, r->subject_len), subject)),
        AUDIT_TEXT("state_before", before),
        AUDIT_TEXT("state", "revoked"),
        AUDIT_TEXT("reason", inventory_reason_name(r->reason)),
        DEED_PAIRS(deed),
    };
    return audit_append(open, r->at, "revoked", pairs, N_ELEMENTS(pairs), err) &&
           store_commit(open, err);
}
