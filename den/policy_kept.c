/* SPDX-License-Identifier: Apache-2.0 */
#include "den/policy_kept.h"

#include "base/map.h"
#include "den/audit.h"
#include "den/record.h"

#include <inttypes.h>
#include <stdio.h>

static const char first_name[] = "policy_first", last_name[] = "policy_no";

static const char *name_of(uint64_t no, char to[40])
{
    snprintf(to, 40, "policy/%" PRIu64, no);
    return to;
}

bool policy_kept_range(struct store *store, uint64_t *ret_first, uint64_t *ret_last,
                       struct err *err)
{
    if (!store_number_get(store, first_name, ret_first, err) ||
        !store_number_get(store, last_name, ret_last, err))
        return false;
    if (*ret_first == 0)
        *ret_first = 1;
    return true;
}

bool policy_kept_find(struct store *store, uint64_t no, enum store_found *ret, uint64_t *ret_at,
                      struct buf *ret_text, struct err *err)
{
    _buf_ bytes = { 0 };
    struct view rest;
    char name[40];

    if (!store_blob_get(store, name_of(no, name), ret, &bytes, err))
        return err_wrap(err, "policy");
    rest = buf_view(&bytes);
    if (*ret == STORE_NONE)
        return true;
    if (!view_take_u64(&rest, ret_at))
        return err_set(err, ERR_SYSTEM, "policy: version %" PRIu64 " is damaged in the store", no);
    *ret_text = buf_dup(rest);
    return true;
}

/* From the oldest on, as long as there are too many. Numbers that were given up with a lost store have none. */
static bool drop_old(struct store *store, uint64_t newest, struct err *err)
{
    uint64_t first, last, keep_from = newest, at, size = 0;
    enum store_found found;
    char name[40];

    if (!policy_kept_range(store, &first, &last, err))
        return false;
    for (uint64_t no = newest; no >= first && newest - no < POLICY_KEPT; no--) {
        _buf_ text = { 0 };
        if (!policy_kept_find(store, no, &found, &at, &text, err))
            return false;
        size += text.len;
        if (size > POLICY_KEPT_BYTES && newest - no >= 2)
            break;
        if (found == STORE_FOUND)
            keep_from = no;
    }
    for (uint64_t no = first; no < keep_from; no++)
        if (!store_blob_drop(store, name_of(no, name), err))
            return false;
    return keep_from == first || store_number_raise(store, first_name, keep_from, err);
}

bool policy_kept_add(struct store *store, uint64_t no, uint64_t at, struct view text,
                     struct err *err)
{
    _buf_ bytes = { 0 };
    char name[40];

    buf_put_u64(&bytes, at);
    buf_put(&bytes, text);
    return store_blob_set(store, name_of(no, name), buf_view(&bytes), err) &&
           drop_old(store, no, err);
}

bool policy_kept_go_on(struct store *store, uint64_t no, uint64_t lost_at, uint64_t now,
                       struct err *err)
{
    enum store_found found;
    uint64_t last, at;
    _buf_ text = { 0 };

    if (!store_number_get(store, last_name, &last, err) ||
        !policy_kept_find(store, last, &found, &at, &text, err))
        return false;
    if (found == STORE_NONE)
        return store_number_raise(store, last_name, no, err);
    return (last + 1 == no || policy_kept_add(store, last + 1, lost_at, VIEW(NULL, 0), err)) &&
           store_number_raise(store, last_name, no, err) &&
           policy_kept_add(store, no, now, buf_view(&text), err);
}

bool policy_kept_at(struct store *store, uint64_t at, uint64_t *ret_no, struct err *err)
{
    uint64_t first, last, since;

    if (!policy_kept_range(store, &first, &last, err))
        return false;
    for (uint64_t no = last; no >= first; no--) {
        enum store_found found;
        _buf_ text = { 0 };
        if (!policy_kept_find(store, no, &found, &since, &text, err))
            return false;
        if (found == STORE_NONE || since > at)
            continue;
        if (text.len == 0) {
            err_set(err, ERR_NOT_FOUND,
                    "policy: the one that was in force then was lost with the database that was "
                    "not put back");
            return err_advise(err, "look for policy.yaml of that time elsewhere");
        }
        *ret_no = no;
        return true;
    }
    err_set(err, ERR_NOT_FOUND,
            "policy: the one that was in force then is not kept any more, or there was none");
    return err_advise(err, "`warren-den policy list` shows since when each was in force");
}

struct kept_check {
    char no[24], hash[RECORD_HEX];
    uint64_t at, bad_no; /* the entry that says otherwise; 0: none */
    bool is_otherwise_of_time;
};

static bool says(struct view bytes, const char *key, const char *value)
{
    _buf_ found = { 0 };

    return audit_find(bytes, key, &found) && view_eq_text(buf_view(&found), value);
}

/* One that was loaded again has an entry for that too, with its own time. */
static bool compare_loaded(void *user, const struct store_audit *entry)
{
    struct kept_check *c = user;
    struct view bytes = buf_view(&entry->bytes);

    if (!view_starts(bytes, VIEW_LIT("what=policy.loaded\n")) || !says(bytes, "number", c->no))
        return true;
    c->is_otherwise_of_time = says(bytes, "sha256", c->hash);
    if (!c->is_otherwise_of_time || (entry->at != c->at && !says(bytes, "number_before", c->no)))
        c->bad_no = entry->no;
    return !c->bad_no;
}

bool policy_kept_check(struct store *store, uint64_t no, uint64_t at, struct view text,
                       struct err *err)
{
    struct kept_check c = { .at = at };
    uint8_t hash[HASH_SIZE];

    hash_sha256(text, hash);
    record_hex(VIEW_ARR(hash), c.hash);
    snprintf(c.no, sizeof(c.no), "%" PRIu64, no);
    if (!store_audit_each(store, 1, compare_loaded, &c, err))
        return false;
    if (!c.bad_no)
        return true;
    err_set(err, ERR_SYSTEM,
            "policy: number %" PRIu64 " was changed where it is kept: its %s is another one than "
            "that in entry %" PRIu64 " of the audit",
            no, c.is_otherwise_of_time ? "time" : "SHA-256", c.bad_no);
    return err_advise(err, "have the audit checked (warren-den audit verify), and look for the "
                           "policy of that time in a backup");
}

/* ---- an order ------------------------------------------------------------------------------------ */

static const char order_name[] =
    "policy_ordered"; /* the text's SHA-256, by, source: of a struct deed, whole */

bool policy_order_note(struct store *store, struct view text, const struct deed *deed,
                       struct err *err)
{
    uint8_t hash[HASH_SIZE];
    _buf_ bytes = { 0 };

    hash_sha256(text, hash);
    buf_put(&bytes, VIEW_ARR(hash));
    buf_put(&bytes, VIEW(deed->by, sizeof(deed->by)));
    buf_put(&bytes, VIEW(deed->source, sizeof(deed->source)));
    return store_blob_set(store, order_name, buf_view(&bytes), err);
}

bool policy_order_find(struct store *store, struct view text, enum policy_ordered *ret,
                       struct deed *deed, struct err *err)
{
    uint8_t hash[HASH_SIZE];
    enum store_found found;
    _buf_ bytes = { 0 };

    if (!store_blob_get(store, order_name, &found, &bytes, err))
        return err_wrap(err, "policy");
    hash_sha256(text, hash);
    *ret = found == STORE_NONE ? POLICY_NO_ORDER : POLICY_OTHER_ORDERED;
    if (bytes.len != HASH_SIZE + sizeof(deed->by) + sizeof(deed->source) ||
        memcmp(bytes.data, hash, HASH_SIZE) != 0)
        return true;
    snprintf(deed->by, sizeof(deed->by), "%s", (const char *)bytes.data + HASH_SIZE);
    snprintf(deed->source, sizeof(deed->source), "%s",
             (const char *)bytes.data + HASH_SIZE + sizeof(deed->by));
    *ret = POLICY_ORDERED;
    return true;
}

bool policy_order_end(struct store *store, struct err *err)
{
    return store_blob_drop(store, order_name, err);
}

/* ---- groups, then -------------------------------------------------------------------------------- */

struct past {
    struct map *groups; /* ID -> char * */
};

struct past *past_new(void)
{
    struct past *past = mem_new(struct past);

    past->groups = map_new();
    return past;
}

void past_free(struct past *past)
{
    size_t cursor = 0;
    struct view id;
    void *groups;

    if (!past)
        return;
    while (map_next(past->groups, &cursor, &id, &groups))
        free(groups);
    map_free(past->groups);
    free(past);
}

void past_see(struct past *past, const struct store_audit *entry)
{
    struct view bytes = buf_view(&entry->bytes);
    _buf_ id = { 0 }, groups = { 0 };

    if (!view_starts(bytes, VIEW_LIT("what=identity.")) || !audit_find(bytes, "id", &id) ||
        !audit_find(bytes, "groups", &groups))
        return;
    free(map_set(past->groups, buf_view(&id), mem_text(buf_cstr(&groups))));
}

const char *past_groups(const struct past *past, const char *id)
{
    return map_get(past->groups, view_text(id));
}

static void take_sealed(void *user, const char *id, const char *groups)
{
    const struct past *past = user;

    free(map_set(past->groups, view_text(id), mem_text(groups)));
}

bool past_load(struct past *past, struct store *store, struct err *err)
{
    return store_sealed_groups_each(store, take_sealed, past, err) || err_wrap(err, "groups");
}

bool past_save(const struct past *past, struct store *open, struct err *err)
{
    size_t cursor = 0;
    struct view id;
    void *groups;

    while (map_next(past->groups, &cursor, &id, &groups)) {
        _free_ char *text = view_dup_text(id);
        if (!store_sealed_groups_set(open, text, groups, err))
            return err_wrap(err, "groups");
    }
    return true;
}
