/* SPDX-License-Identifier: Apache-2.0 */
/* den.name.* and den.directory.lookup: readable names for IDs. A name is changed by whoever has it and
 * knows its newest number, so that of two who change it at once one is refused; it is never taken
 * from anybody, and what was released lies idle before somebody else may have it. */
#include "den/core_in.h"

#include "base/log.h"
#include "den/record.h"

#include <inttypes.h>
#include <stdio.h>

enum { MAX_BODY = 512, NAMES_AT_ONCE = 1024 };
#define NAME_LIFE DAY_MS /* of a name statement */

struct change { /* what a request asks for */
    struct view name, to;
    uint64_t name_no;
};

static const char *const reserved[] = {
    "admin", "administrator", "anonymous", "authority", "certificate", "den",
    "guest", "help",          "localhost", "network",   "operator",    "peer",
    "root",  "router",        "security",  "support",   "system",      "warren",
};

static bool is_reserved(struct view skeleton)
{
    for (size_t i = 0; i < N_ELEMENTS(reserved); i++) {
        _buf_ one = { 0 };
        rpc_name_skeleton(view_text(reserved[i]), &one);
        if (view_eq(buf_view(&one), skeleton))
            return true;
    }
    return false;
}

static bool read_change(struct view body, bool has_to, struct change *ret_change, struct err *err)
{
    struct change c = { 0 };

    if (!rpc_map_text(body, "name", &c.name) || !rpc_map_u64(body, "name_no", &c.name_no) ||
        (has_to && !rpc_map_text(body, "to", &c.to)))
        return err_set(err, ERR_BAD_WIRE, "body: expected name, name_no%s",
                       has_to ? " and to" : "");
    if (c.name.len > RPC_MAX_NAME || !rpc_name_is_valid(c.name))
        return err_set(err, ERR_INVALID_ARGUMENT, "%s",
                       rpc_name_fault(c.name) ? rpc_name_fault(c.name) : "not a name");
    *ret_change = c;
    return true;
}

/* ---- the statement ---------------------------------------------------------------------------- */

static bool put_statement(struct den_core *core, const struct store_name *name, struct buf *to,
                          struct err *err)
{
    struct store_identity who;
    enum store_found found = STORE_NONE;
    uint8_t sig[SIG_SIZE];
    _buf_ bytes = { 0 };

    if (!store_identity_by_id(core->c.store, view_text(name->id), &found, &who, err))
        return false;
    if (found == STORE_NONE)
        return err_set(err, ERR_INTERNAL, "the name of an unknown ID");
    const struct rpc_name n = {
        .netid = rpc_trust_netid(core->c.trust),
        .name = view_text(name->name),
        .id = view_text(who.id),
        .client_pk = VIEW_ARR(who.pk),
        .name_no = name->name_no,
        .not_after = core_wall(core) + NAME_LIFE,
    };
    if (!signer_sign(core->c.signer, RPC_W_NAME, &n, &bytes, sig, err))
        return false;
    rpc_put_array(to, 2);
    rpc_put_bin(to, buf_view(&bytes));
    rpc_put_bin(to, VIEW_ARR(sig));
    return true;
}

/* ---- claim, release, transfer ------------------------------------------------------------------ */

static bool store(struct den_core *core, const char *what, const struct store_name *name,
                  const char *by, bool is_new, struct err *err)
{
    _transaction_ struct store *open = core->c.store;
    char number[24];

    snprintf(number, sizeof(number), "%" PRIu64, name->name_no);
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("name", name->name),
        AUDIT_TEXT("id", name->id),
        AUDIT_TEXT("by", by),
        AUDIT_TEXT("name_no", number),
    };
    if (!store_begin(open, err) ||
        !(is_new ? store_name_add(open, name, err) : store_name_set(open, name, err)) ||
        !audit_append(open, core_wall(core), what, pairs, N_ELEMENTS(pairs), err) ||
        !store_commit(open, err))
        return false;
    log_event(LOG_INFO, what, "name=%s id=%s name_no=%" PRIu64, name->name, name->id,
              name->name_no);
    return true;
}

static bool check_room(struct den_core *core, const char *id, const char *whose, struct err *err)
{
    uint64_t now = core_wall(core), n;
    uint64_t since = now > core->c.name_quarantine ? now - core->c.name_quarantine : 0;

    if (!store_name_count(core->c.store, id, since, &n, err))
        return false;
    return n < core->c.names_per_id ||
           err_set(err, ERR_LIMIT,
                   "%s has %" PRIu64 " names, the most (released ones count while "
                   "they lie idle)",
                   whose, n);
}

/* Whether `id` may have it, as `name` is now (found or not). */
static bool check_free(const struct den_core *core, const struct change *c, const char *id,
                       const struct store_name *name, struct err *err)
{
    bool is_idle =
        name->released_at && name->released_at + core->c.name_quarantine > core_wall(core);

    if (!name->released_at)
        return err_set(err, ERR_ALREADY_EXISTS, "%s is taken", name->name);
    if (name->is_assigned || (is_idle && strcmp(name->id, id) != 0))
        return err_set(err, ERR_ALREADY_EXISTS, "%s was released lately and lies idle", name->name);
    return c->name_no == 0 || c->name_no == name->name_no || /* 0: free, as far as it knows */
           err_set(err, ERR_STALE, "name_no: %s changed, its number is %" PRIu64, name->name,
                   name->name_no);
}

/* Never the name of the other: only that there is one. */
static bool check_looks(struct den_core *core, struct view skeleton, struct err *err)
{
    struct store_name other;
    enum store_found found = STORE_NONE;

    if (is_reserved(skeleton))
        return err_set(err, ERR_ALREADY_EXISTS, "this name is reserved, or looks like one that is");
    if (!store_name_by_skeleton(core->c.store, skeleton, &found, &other, err))
        return false;
    return found == STORE_NONE ||
           err_set(err, ERR_ALREADY_EXISTS, "this name looks like one that is taken");
}

static bool claim_new(struct den_core *core, const struct change *c, struct store_name *name,
                      struct err *err)
{
    _buf_ skeleton = { 0 };

    if (c->name_no != 0)
        return err_set(err, ERR_STALE, "name_no: nobody ever had this name, its number is 0");
    rpc_name_skeleton(c->name, &skeleton);
    if (!check_looks(core, buf_view(&skeleton), err))
        return false;
    name->name_no = core->epoch << STORE_EPOCH_OF_ID;
    snprintf(name->name, sizeof(name->name), "%.*s", VIEW_FMT(c->name));
    snprintf(name->skeleton, sizeof(name->skeleton), "%s", buf_cstr(&skeleton));
    return true;
}

/* Claimed again by whoever has it, it is answered as before: a lost answer costs nothing. */
static bool is_had(const struct store_name *name, const char *id)
{
    return !name->released_at && strcmp(name->id, id) == 0;
}

static bool claim(struct den_core *core, const struct store_identity *who, struct view body,
                  struct store_name *ret_name, struct err *err)
{
    struct store_name name = { 0 };
    enum store_found found = STORE_NONE;
    struct change c;

    if (!read_change(body, false, &c, err) ||
        !store_name_find(core->c.store, c.name, &found, &name, err))
        return false;
    if (found == STORE_FOUND && is_had(&name, who->id)) {
        *ret_name = name;
        return true;
    }
    if (rpc_name_is_assigned(c.name))
        return err_set(err, ERR_NOT_AUTHORIZED, "names with @ are assigned by an administrator");
    if (who->kind != STORE_COMMITTED)
        return err_set(err, ERR_NOT_AUTHORIZED, "%s has its ID for a time only, so no name",
                       who->id);
    if (found == STORE_FOUND ? !check_free(core, &c, who->id, &name, err)
                             : !claim_new(core, &c, &name, err))
        return false;
    /* its own idle one does not count twice */
    if (!(found == STORE_FOUND && strcmp(name.id, who->id) == 0) &&
        !check_room(core, who->id, "this peer", err))
        return false;
    snprintf(name.id, sizeof(name.id), "%s", who->id);
    name.name_no++;
    name.claimed_at = core_wall(core);
    name.released_at = 0;
    if (!store(core, "name.claimed", &name, who->id, found == STORE_NONE, err))
        return false;
    *ret_name = name;
    return true;
}

bool name_claim(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                struct err *err)
{
    struct request request;
    struct store_name name;
    _buf_ answer = { 0 };

    if (!request_open(core, inv, args, "den.name.claim", MAX_BODY, RATE_NAME, &request, err) ||
        !claim(core, &request.who, request.body, &name, err) ||
        !put_statement(core, &name, &answer, err))
        return err_wrap(err, "name");
    core_yield(core, inv->number, buf_view(&answer));
    return true;
}

/* One that `who` has, with the number that it has now. */
static bool find_own(struct den_core *core, const struct store_identity *who,
                     const struct change *c, struct store_name *ret_name, struct err *err)
{
    enum store_found found = STORE_NONE;

    if (!store_name_find(core->c.store, c->name, &found, ret_name, err))
        return false;
    if (found == STORE_NONE || !is_had(ret_name, who->id))
        return err_set(err, ERR_NOT_FOUND, "%.*s is not a name of yours", VIEW_FMT(c->name));
    if (ret_name->is_assigned)
        return err_set(err, ERR_NOT_AUTHORIZED, "%s was assigned by an administrator",
                       ret_name->name);
    return c->name_no == ret_name->name_no ||
           err_set(err, ERR_STALE, "name_no: %s changed, its number is %" PRIu64, ret_name->name,
                   ret_name->name_no);
}

bool name_release(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                  struct err *err)
{
    struct request request;
    struct store_name name;
    struct change c;
    _buf_ answer = { 0 };

    if (!request_open(core, inv, args, "den.name.release", MAX_BODY, RATE_NAME, &request, err) ||
        !read_change(request.body, false, &c, err) || !find_own(core, &request.who, &c, &name, err))
        return err_wrap(err, "name");
    name.name_no++;
    name.released_at = core_wall(core);
    if (!store(core, "name.released", &name, request.who.id, false, err))
        return err_wrap(err, "name");
    rpc_put_array(&answer, 0);
    core_yield(core, inv->number, buf_view(&answer));
    return true;
}

static bool check_heir(struct den_core *core, const struct store_identity *who, struct view to,
                       struct view source, struct store_identity *ret_heir, struct err *err)
{
    enum store_found found = STORE_NONE;
    struct err why;

    if (!text_is_id(to))
        return err_set(err, ERR_INVALID_ARGUMENT, "to: expected an ID of 6 to 9 digits");
    if (!store_identity_by_id(core->c.store, to, &found, ret_heir, err))
        return false;
    /* whoever may not reach an ID does not learn whether it exists */
    if (found == STORE_NONE || !enrolment_is_alive(ret_heir, core_wall(core), &why) ||
        ret_heir->kind != STORE_COMMITTED || strcmp(ret_heir->id, who->id) == 0 ||
        !policy_may_meet(core->policy, policy_party(who->id, who->groups),
                         policy_party(ret_heir->id, ret_heir->groups), core_wall(core))) {
        core_missed(core, view_text(who->id), source);
        return err_set(err, ERR_NOT_REACHABLE, "this ID cannot be reached by you");
    }
    return check_room(core, ret_heir->id, "that peer", err);
}

bool name_transfer(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                   struct err *err)
{
    struct store_identity heir;
    struct request request;
    struct store_name name;
    struct change c;
    _buf_ answer = { 0 };

    if (!request_open(core, inv, args, "den.name.transfer", MAX_BODY, RATE_NAME, &request, err) ||
        !read_change(request.body, true, &c, err) ||
        !find_own(core, &request.who, &c, &name, err) ||
        !check_heir(core, &request.who, c.to, inv->invocation->source, &heir, err))
        return err_wrap(err, "name");
    memcpy(name.id, heir.id, sizeof(name.id));
    name.name_no++;
    name.claimed_at = core_wall(core);
    if (!store(core, "name.transferred", &name, request.who.id, false, err) ||
        !put_statement(core, &name, &answer, err))
        return err_wrap(err, "name");
    core_yield(core, inv->number, buf_view(&answer));
    return true;
}

/* ---- reading ----------------------------------------------------------------------------------- */

struct listing {
    struct buf rows;
    uint32_t n;
};

static bool put_row(void *user, const struct store_name *name)
{
    struct listing *l = user;

    rpc_put_map(&l->rows, 4);
    rpc_put_str(&l->rows, "name");
    rpc_put_text(&l->rows, view_text(name->name));
    rpc_put_str(&l->rows, "name_no");
    rpc_put_u64(&l->rows, name->name_no);
    rpc_put_str(&l->rows, "assigned");
    rpc_put_bool(&l->rows, name->is_assigned);
    rpc_put_str(&l->rows, "released_at");
    rpc_put_u64(&l->rows, name->released_at);
    return ++l->n < NAMES_AT_ONCE;
}

/* The caller's own, with those that it released: their numbers are needed to claim them again. */
bool name_list(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
               struct err *err)
{
    struct listing l = { 0 };
    struct store_identity who;
    _buf_ answer = { 0 };
    bool ok;

    if (!rpc_fields_end(args, err) || !request_caller(core, inv, &who, err) ||
        !request_take(core, view_text(who.id), err))
        return false;
    ok = store_name_each(core->c.store, who.id, put_row, &l, err);
    rpc_put_array(&answer, 1);
    rpc_put_array(&answer, l.n);
    rpc_put_raw(&answer, buf_view(&l.rows));
    buf_free(&l.rows);
    if (ok)
        core_yield(core, inv->number, buf_view(&answer));
    return ok;
}

/* One answer for names that nobody has and names of those whom the caller may not reach, after the same
 * look-ups: a stand-in takes the place of whoever is not there. */
static bool may_know(struct den_core *core, const struct store_identity *who, bool is_there,
                     const struct store_name *name, bool *ret_may, struct err *err)
{
    struct store_identity other = { 0 };
    enum store_found found = STORE_NONE;
    struct err why;
    bool is_alive, may_meet;

    if (!store_identity_by_id(core->c.store, view_text(is_there ? name->id : "000000"), &found,
                              &other, err))
        return false;
    is_alive = enrolment_is_alive(&other, core_wall(core), &why);
    may_meet = policy_may_meet(core->policy, policy_party(who->id, who->groups),
                               policy_party(other.id, other.groups), core_wall(core));
    *ret_may = is_there && found == STORE_FOUND && is_alive &&
               (may_meet || strcmp(other.id, who->id) == 0);
    return true;
}

bool name_lookup(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                 struct err *err)
{
    struct view text = rpc_fields_text(args, "name", RPC_MAX_NAME);
    struct store_identity who;
    struct store_name name = { 0 };
    enum store_found found = STORE_NONE;
    bool may_know_it = false;
    _buf_ answer = { 0 };

    if (!rpc_fields_end(args, err) || !request_caller(core, inv, &who, err) ||
        !request_take(core, view_text(who.id), err))
        return err_wrap(err, "name");
    if (!rpc_name_is_valid(text))
        return err_set(err, ERR_INVALID_ARGUMENT, "name: %s",
                       rpc_name_fault(text) ? rpc_name_fault(text) : "not a name");
    if (!core_may_miss(core, view_text(who.id), inv->invocation->source, err))
        return err_wrap(err, "name");
    if (!store_name_find(core->c.store, text, &found, &name, err) ||
        !may_know(core, &who, found == STORE_FOUND && !name.released_at, &name, &may_know_it, err))
        return err_wrap(err, "name");
    if (!may_know_it) {
        core_missed(core, view_text(who.id), inv->invocation->source);
        return err_set(err, ERR_NOT_REACHABLE, "this name cannot be reached by you");
    }
    if (!put_statement(core, &name, &answer, err))
        return err_wrap(err, "name");
    core_yield(core, inv->number, buf_view(&answer));
    return true;
}
