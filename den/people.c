/* SPDX-License-Identifier: Apache-2.0 */
#include "den/people.h"

#include "den/policy.h"
#include "den/record.h"
#include "den/token.h"

#include <inttypes.h>
#include <stdio.h>

enum { LEAST_CODE = 4 };

/* ---- machines that wait ----------------------------------------------------------------------- */

struct search {
    const char *typed;
    struct store_waiting w;
    size_t n;
};

static bool compare(void *user, const struct store_waiting *w)
{
    struct search *search = user;
    uint8_t hash[HASH_SIZE];
    char print[RECORD_HEX];

    hash_sha256(VIEW_ARR(w->pk), hash);
    if (strncmp(w->code, search->typed, strlen(search->typed)) == 0 ||
        strcmp(record_hex(VIEW_ARR(hash), print), search->typed) == 0) {
        search->w = *w;
        search->n++;
    }
    return true;
}

bool people_find_waiting(struct store *store, const char *typed, struct store_waiting *ret_w,
                         struct err *err)
{
    struct search search = { .typed = typed };

    if (strlen(typed) < LEAST_CODE)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "expected a code such as 7k3f-9qzt-m2xa (4 characters of it at least) or a "
                       "fingerprint; `warren-den waiting list` shows them");
    if (!store_waiting_each(store, compare, &search, err))
        return false;
    if (search.n == 0)
        return err_set(err, ERR_NOT_FOUND, "no machine waits under \"%.64s\"", typed);
    if (search.n > 1)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "%zu machines wait under \"%.64s\": give all of it", search.n, typed);
    *ret_w = search.w;
    return true;
}

const char *people_answer_word(enum store_answer answer)
{
    switch (answer) {
    case STORE_WAITS:
        return "waits";
    case STORE_APPROVED:
        return "approved";
    case STORE_DENIED:
        return "denied";
    }
    abort();
}

struct decision {
    enum store_answer answer;
    const char *role,
        *groups; /* NULL: what the machine's token says, as the operator has seen it */
};

/* It may ask with another token by now, for other things. */
static bool is_as_seen(const struct store_waiting *seen, const struct store_waiting *is,
                       const struct decision *d)
{
    return d->answer == STORE_DENIED || ((d->role || strcmp(seen->role, is->role) == 0) &&
                                         (d->groups || strcmp(seen->groups, is->groups) == 0));
}

/* *w becomes what is recorded: the row as it is, which may have moved since it was read. */
static bool decide(struct store *store, struct store_waiting *w, const struct decision *d,
                   const char *what, const struct deed *deed, struct err *err)
{
    _transaction_ struct store *open = store;
    struct store_waiting before, after;
    enum store_found found = STORE_NONE;
    char pk[RECORD_HEX];

    if (!store_begin(open, err) || !store_waiting_find(open, VIEW_ARR(w->pk), &found, &before, err))
        return false;
    if (found == STORE_NONE)
        return err_set(err, ERR_NOT_FOUND, "%s waits no longer", w->code);
    if (!is_as_seen(w, &before, d))
        return err_set(err, ERR_STALE,
                       "%s asks for something else by now: look at `warren-den waiting list` again",
                       w->code);
    after = before;
    after.answer = d->answer;
    if (d->role)
        snprintf(after.role, sizeof(after.role), "%s", d->role);
    if (d->groups)
        snprintf(after.groups, sizeof(after.groups), "%s", d->groups);
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("code", w->code),
        AUDIT_TEXT("key", record_hex(VIEW_ARR(w->pk), pk)),
        AUDIT_TEXT("state_before", people_answer_word(before.answer)),
        AUDIT_TEXT("state", people_answer_word(after.answer)),
        AUDIT_TEXT("role_before", before.role),
        AUDIT_TEXT("role", after.role),
        AUDIT_TEXT("groups_before", before.groups),
        AUDIT_TEXT("groups", after.groups),
        DEED_PAIRS(deed),
    };
    if (!store_waiting_put(open, &after, err) ||
        !audit_append(open, deed->at, what, pairs, N_ELEMENTS(pairs), err) ||
        !store_commit(open, err))
        return false;
    *w = after;
    return true;
}

static bool check_groups(const char *groups, struct err *err)
{
    struct view text = view_text(groups);

    return (text.len < STORE_GROUPS && policy_groups_are_valid(text)) ||
           err_set(err, ERR_INVALID_ARGUMENT,
                   "groups: expected names such as staff,servers (a-z, 0-9 and -, a letter first), "
                   "at most 255 characters, each once");
}

bool people_approve(struct store *store, struct store_waiting *w, const char *role,
                    const char *groups, const struct deed *deed, struct err *err)
{
    if (role && strcmp(role, "peer") != 0 && strcmp(role, "admin") != 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "role: expected peer or admin, found \"%.64s\"",
                       role);
    if (groups && !check_groups(groups, err))
        return false;
    const struct decision d = { STORE_APPROVED, role, groups };
    return decide(store, w, &d, "identity.approved", deed, err);
}

bool people_deny(struct store *store, struct store_waiting *w, const struct deed *deed,
                 struct err *err)
{
    const struct decision d = { .answer = STORE_DENIED };

    return decide(store, w, &d, "identity.denied", deed, err);
}

/* ---- identities -------------------------------------------------------------------------------- */

bool people_find(struct store *store, const char *typed, struct store_identity *ret_who,
                 struct err *err)
{
    enum store_found found = STORE_NONE;
    char id[TEXT_ID];

    if (!text_read_id(typed, id))
        return err_set(err, ERR_INVALID_ARGUMENT, "\"%.64s\" is not an ID of 6 to 9 digits", typed);
    if (!store_identity_by_id(store, view_text(id), &found, ret_who, err))
        return false;
    return found == STORE_FOUND || err_set(err, ERR_NOT_FOUND, "there is no ID %s", id);
}

bool people_begin(struct store *store, struct store_identity *who, struct err *err)
{
    struct store_identity now;
    enum store_found found = STORE_NONE;

    if (!store_begin(store, err) ||
        !store_identity_by_id(store, view_text(who->id), &found, &now, err))
        return false;
    if (found == STORE_NONE)
        return err_set(err, ERR_NOT_FOUND, "there is no ID %s any more", who->id);
    *who = now;
    return true;
}

bool people_end_admissions(struct store *open, const char *id, uint64_t below, uint64_t now,
                           struct err *err)
{
    struct store_revocation r = { .kind = STORE_REVOKE_ADMISSIONS, .subject_len = 8, .at = now };
    bool is_new;

    snprintf(r.id, sizeof(r.id), "%s", id);
    for (size_t i = 0; i < r.subject_len; i++)
        r.subject[i] = (uint8_t)(below >> (56 - 8 * i));
    return store_revocation_add(open, &r, &r.no, &is_new, err);
}

bool people_end_key(struct store *open, const char *id, struct view pk, uint64_t now,
                    struct err *err)
{
    struct store_revocation r = {
        .kind = STORE_REVOKE_IDENTITY, .subject_len = KEY_SIZE, .at = now, .reason = RPC_SUPERSEDED
    };
    bool is_new;

    snprintf(r.id, sizeof(r.id), "%s", id);
    memcpy(r.subject, pk.data, KEY_SIZE);
    return store_revocation_add(open, &r, &r.no, &is_new, err);
}

const char *people_state_word(const struct store_identity *who, uint64_t now)
{
    static const char *const kinds[] = {
        [STORE_COMMITTED] = "committed",
        [STORE_PROVISIONAL] = "provisional",
        [STORE_EPHEMERAL] = "ephemeral",
    };

    if (who->is_revoked)
        return "revoked";
    if (who->ended != STORE_LIVES)
        return who->ended == STORE_REMOVED ? "removed" : "gone";
    return who->expires_at && who->expires_at <= now ? "over" : kinds[who->kind];
}

static const char removed[] = "identity.removed";

/* Inside the transaction in which `before` was read. */
static bool set(struct store *open, const struct store_identity *before,
                const struct store_identity *who, const char *what, const struct deed *deed,
                struct err *err)
{
    uint64_t no = 0;

    if (!store_number_get(open, "people", &no, err) ||
        !store_number_raise(open, "people", no + 1, err)) /* den looks at it */
        return false;
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("id", who->id),
        AUDIT_TEXT("state_before", people_state_word(before, deed->at)),
        AUDIT_TEXT("state", people_state_word(who, deed->at)),
        AUDIT_TEXT("groups_before", before->groups),
        AUDIT_TEXT("groups", who->groups),
        DEED_PAIRS(deed),
    };
    if (!store_identity_set(open, who, err) ||
        (strcmp(what, removed) == 0 && !token_end_for(open, who->id, deed, err)) ||
        (who->ended != STORE_LIVES &&
         !people_end_admissions(open, who->id, who->adm_no + 1, deed->at, err)))
        return false;
    return audit_append(open, deed->at, what, pairs, N_ELEMENTS(pairs), err) &&
           store_commit(open, err);
}

bool people_commit(struct store *store, struct store_identity *who, const struct deed *deed,
                   struct err *err)
{
    _transaction_ struct store *open = store;
    struct store_identity before;

    if (!people_begin(open, who, err))
        return false;
    if (who->kind != STORE_PROVISIONAL)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s is not provisional", who->id);
    before = *who;
    who->kind = STORE_COMMITTED;
    return set(open, &before, who, "identity.committed", deed, err);
}

bool people_remove(struct store *store, struct store_identity *who, const struct deed *deed,
                   struct err *err)
{
    _transaction_ struct store *open = store;
    struct store_identity before;

    if (!people_begin(open, who, err))
        return false;
    before = *who;
    who->ended = STORE_REMOVED;
    if (who->kind == STORE_PROVISIONAL) /* or its ID would be given up, and its key come back */
        who->kind = STORE_COMMITTED;
    return set(open, &before, who, removed, deed, err);
}

bool people_set_groups(struct store *store, struct store_identity *who, const char *groups,
                       const struct deed *deed, struct err *err)
{
    _transaction_ struct store *open = store;
    struct store_identity before;

    if (!check_groups(groups, err) || !people_begin(open, who, err))
        return false;
    before = *who;
    snprintf(who->groups, sizeof(who->groups), "%s", groups);
    return set(open, &before, who, "identity.groups", deed, err);
}

/* ---- names -------------------------------------------------------------------------------------- */

/* `before`: whose it was; "": nobody's. */
static bool put_name(struct store *open, const struct store_name *name, bool is_new,
                     const char *before, const char *what, const struct deed *deed, struct err *err)
{
    char number[24];

    snprintf(number, sizeof(number), "%" PRIu64, name->name_no);
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("name", name->name),
        AUDIT_TEXT("id_before", before),
        AUDIT_TEXT("id", name->released_at ? "" : name->id),
        AUDIT_TEXT("name_no", number),
        DEED_PAIRS(deed),
    };
    return (is_new ? store_name_add(open, name, err) : store_name_set(open, name, err)) &&
           audit_append(open, deed->at, what, pairs, N_ELEMENTS(pairs), err) &&
           store_commit(open, err);
}

static bool begin_assigned(struct store *open, const char *text, struct store_name *name,
                           bool *ret_is_new, struct err *err)
{
    enum store_found found = STORE_NONE, looks = STORE_NONE;
    struct store_name other;
    _buf_ skeleton = { 0 };
    uint64_t epoch;

    if (!store_name_find(open, view_text(text), &found, name, err))
        return false;
    *ret_is_new = found == STORE_NONE;
    if (found == STORE_FOUND)
        return true;
    if (!store_number_get(open, "epoch", &epoch, err))
        return false;
    name->name_no = epoch << STORE_EPOCH_OF_ID;
    rpc_name_skeleton(view_text(text), &skeleton);
    if (!store_name_by_skeleton(open, buf_view(&skeleton), &looks, &other, err))
        return false;
    if (looks == STORE_FOUND)
        return err_set(err, ERR_ALREADY_EXISTS, "%s looks like %s, which is taken", text,
                       other.name);
    snprintf(name->name, sizeof(name->name), "%s", text);
    snprintf(name->skeleton, sizeof(name->skeleton), "%s", buf_cstr(&skeleton));
    return true;
}

bool people_assign_name(struct store *store, const char *text, const struct store_identity *who,
                        const struct deed *deed, struct err *err)
{
    _transaction_ struct store *open = store;
    struct store_name name = { 0 };
    char before[STORE_ID] = "";
    bool is_new = false;

    if (!rpc_name_is_assigned(view_text(text)))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "\"%.130s\": expected user@domain in lower case, such as "
                       "alice@corp.example; other names are claimed by their peers",
                       text);
    if (!store_begin(open, err) || !begin_assigned(open, text, &name, &is_new, err))
        return false;
    if (!is_new && !name.released_at && strcmp(name.id, who->id) != 0)
        return err_set(err, ERR_ALREADY_EXISTS, "%s is the name of %s: free it first", name.name,
                       name.id);
    if (!is_new && !name.released_at)
        memcpy(before, name.id, sizeof(before));
    snprintf(name.id, sizeof(name.id), "%s", who->id);
    name.name_no++;
    name.is_assigned = true;
    name.claimed_at = deed->at;
    name.released_at = 0;
    return put_name(open, &name, is_new, before, "name.assigned", deed, err);
}

bool people_free_name(struct store *store, const char *text, const struct deed *deed,
                      struct err *err)
{
    _transaction_ struct store *open = store;
    enum store_found found = STORE_NONE;
    struct store_name name = { 0 };

    if (!store_begin(open, err) || !store_name_find(open, view_text(text), &found, &name, err))
        return false;
    if (found == STORE_NONE || name.released_at)
        return err_set(err, ERR_NOT_FOUND, "nobody has the name %.130s", text);
    name.name_no++;
    name.released_at = deed->at;
    return put_name(open, &name, false, name.id, "name.freed", deed, err);
}
