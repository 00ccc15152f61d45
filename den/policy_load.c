/* SPDX-License-Identifier: Apache-2.0 */
/* The policy that den goes by: from its file when it starts and on a reload, and from afar, on an administrator's word. */
#include "den/admin.h"
#include "den/core_in.h"

#include "base/log.h"
#include "base/text.h"
#include "den/policy_kept.h"
#include "den/record.h"

#include <inttypes.h>
#include <stdio.h>

enum { MAX_ERRORS_TEXT = 16 * 1024 };

struct summary {
    char no[24], rules[24], hash[RECORD_HEX];
};

static struct summary summary_of(uint64_t number, size_t rules, struct view text)
{
    struct summary s;
    uint8_t hash[HASH_SIZE];

    hash_sha256(text, hash);
    snprintf(s.no, sizeof(s.no), "%" PRIu64, number);
    snprintf(s.rules, sizeof(s.rules), "%zu", rules);
    record_hex(VIEW_ARR(hash), s.hash);
    return s;
}

static bool read_kept_at(struct den_core *core, struct buf *ret_text, uint64_t *ret_at,
                         bool *ret_is_there, struct err *err)
{
    enum store_found found;

    if (!policy_kept_find(core->c.store, core->policy_no, &found, ret_at, ret_text, err))
        return false;
    *ret_is_there = core->policy_no > 0 && found == STORE_FOUND;
    return true;
}

static bool read_kept(struct den_core *core, struct buf *ret_text, bool *ret_is_there,
                      struct err *err)
{
    uint64_t at;

    return read_kept_at(core, ret_text, &at, ret_is_there, err);
}

static bool record(struct den_core *core, const struct policy *policy, struct view text,
                   struct view before, const struct deed *deed, struct err *err)
{
    _transaction_ struct store *open = core->c.store;
    uint64_t number = core->policy_no + 1,
             at = core_wall(core); /* one: the audit tells from when on it decided */
    struct summary now = summary_of(number, policy_count(policy), text),
                   was = summary_of(core->policy_no, core->policy ? policy_count(core->policy) : 0,
                                    before);
    struct audit_pair pairs[8] = {
        AUDIT_TEXT("number", now.no),
        AUDIT_TEXT("rules", now.rules),
        AUDIT_TEXT("sha256", now.hash),
    };
    size_t n = 3;

    if (core->policy_no) { /* 0: there was none */
        pairs[n++] = (struct audit_pair)AUDIT_TEXT("number_before", was.no);
        pairs[n++] = (struct audit_pair)AUDIT_TEXT("sha256_before", was.hash);
    }
    if (core->policy) /* when den starts it has not read the one before */
        pairs[n++] = (struct audit_pair)AUDIT_TEXT("rules_before", was.rules);
    pairs[n++] = (struct audit_pair)AUDIT_TEXT("by", deed->by);
    pairs[n++] = (struct audit_pair)AUDIT_TEXT("source", deed->source);
    return store_begin(open, err) && store_number_raise(open, "policy_no", number, err) &&
           policy_kept_add(open, number, at, text, err) &&
           audit_append(open, at, "policy.loaded", pairs, n, err) && policy_order_end(open, err) &&
           store_commit(open, err);
}

bool policy_load_take(struct den_core *core, struct policy *policy_taken, struct view text,
                      const struct deed *deed, struct err *err)
{
    _cleanup_(policy_freep) struct policy *policy = policy_taken;
    bool is_kept = false, is_first = !core->policy;
    _buf_ before = { 0 };

    if (!read_kept(core, &before, &is_kept, err))
        return err_wrap(err, "policy");
    is_kept = is_kept && view_eq(buf_view(&before), text);
    if (!is_kept) {
        if (!record(core, policy, text, buf_view(&before), deed, err))
            return err_wrap(err, "policy");
        core->policy_no++;
    }
    policy_free(core->policy);
    core->policy = STEAL(policy);
    core->policy_refused = (struct err){ 0 };
    judge_all(core);
    log_event(LOG_INFO, "policy.loaded", "number=%" PRIu64 " rules=%zu changed=%s", core->policy_no,
              policy_count(core->policy), is_kept ? "no" : "yes");
    if (!is_kept && !is_first)
        heart_extra(core);
    return true;
}

/* It was in force already: that somebody loaded it stands in the audit all the same. */
static bool note_unchanged(struct den_core *core, struct view text, const struct deed *deed,
                           struct err *err)
{
    _transaction_ struct store *open = core->c.store;
    struct summary is = summary_of(core->policy_no, policy_count(core->policy), text);
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("number", is.no),          AUDIT_TEXT("rules", is.rules),
        AUDIT_TEXT("sha256", is.hash),        AUDIT_TEXT("number_before", is.no),
        AUDIT_TEXT("sha256_before", is.hash), DEED_PAIRS(deed),
    };

    return store_begin(open, err) &&
           audit_append(open, core_wall(core), "policy.loaded", pairs, N_ELEMENTS(pairs), err) &&
           policy_order_end(open, err) && store_commit(open, err);
}

/* An order that nothing came of is for no later text. */
static bool forget_order(struct den_core *core, struct err *err)
{
    _transaction_ struct store *open = core->c.store;

    return store_begin(open, err) && policy_order_end(open, err) && store_commit(open, err);
}

/* What the file says may be what an administrator ordered, just before den ended. */
bool den_core_set_policy(struct den_core *core, struct policy *policy_taken, struct view text,
                         const char *path, struct err *err)
{
    _cleanup_(policy_freep) struct policy *policy = policy_taken;
    struct deed deed = deed_of_file(path, core_wall(core));
    uint64_t number = core->policy_no;
    enum policy_ordered order;

    if (!policy_order_find(core->c.store, text, &order, &deed, err) ||
        !policy_load_take(core, STEAL(policy), text, &deed, err))
        return false;
    if (order == POLICY_NO_ORDER || core->policy_no != number)
        return true;
    return order == POLICY_ORDERED ? note_unchanged(core, text, &deed, err)
                                   : forget_order(core, err);
}

bool den_core_keep_policy(struct den_core *core, const char *name, bool *ret_is, struct err *err)
{
    const struct deed none = deed_of_file(name, core_wall(core)); /* nothing is recorded */
    struct policy *policy;
    _buf_ text = { 0 };
    uint64_t at;

    if (!read_kept_at(core, &text, &at, ret_is, err))
        return false;
    *ret_is = *ret_is && text.len;
    return !*ret_is ||
           (policy_kept_check(core->c.store, core->policy_no, at, buf_view(&text), err) &&
            policy_parse(name, buf_view(&text), &policy, NULL, err) &&
            policy_load_take(core, policy, buf_view(&text), &none, err));
}

void den_core_note_refused(struct den_core *core, const char *what, const char *path,
                           const struct err *why)
{
    const struct deed deed = deed_of_file(path, core_wall(core));
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("code", err_code_name(why->code)),
        AUDIT_TEXT("cause", why->text),
        DEED_PAIRS(&deed),
    };

    core_audit_refusal(core, view_text(deed.by), what, pairs, N_ELEMENTS(pairs));
    if (strcmp(what, "policy.refused") == 0)
        core->policy_refused = *why;
}

/* ---- from afar ------------------------------------------------------------------------------- */

struct order {
    struct view text;
    bool is_trial;
    uint64_t replaces; /* 0: whichever is in force */
};

static void audit_refused(struct den_core *core, const struct order *o, const struct deed *deed,
                          const struct err *why)
{
    struct summary was = summary_of(core->policy_no, 0, o->text);
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("number_in_force", was.no),
        AUDIT_TEXT("sha256", was.hash),
        AUDIT_TEXT("code", err_code_name(why->code)),
        AUDIT_TEXT("cause", why->text),
        DEED_PAIRS(deed),
    };

    core_audit_refusal(core, view_text(deed->by), "policy.refused", pairs, N_ELEMENTS(pairs));
}

static void put_answer(struct den_core *core, bool is_loaded, const struct policy *policy,
                       struct view errors, struct admin_object *to)
{
    admin_bool(to, "is_good", policy != NULL);
    admin_bool(to, "is_loaded", is_loaded);
    admin_number(to, "number", core->policy_no);
    admin_number(to, "rules", policy ? policy_count(policy) : 0);
    admin_number(to, "tests", policy ? policy_count_tests(policy) : 0);
    admin_view(to, "errors", view_sub(errors, 0, MAX_ERRORS_TEXT));
}

/* The file is what den starts with: it says the same as what is in force, or nobody overwrites it. */
static bool check_place(struct den_core *core, const struct order *o, struct err *err)
{
    const struct admin_place *place = core->c.place;
    _buf_ file = { 0 }, kept = { 0 };
    bool is_there;

    if (!place || !place->keep_policy)
        return err_set(err, ERR_DEN_AWAY, "this den takes its policy from its file alone");
    if (o->replaces && o->replaces != core->policy_no)
        return err_set(err, ERR_STALE,
                       "policy %" PRIu64 " is in force, not %" PRIu64 ", which this was to replace",
                       core->policy_no, o->replaces);
    if (!read_kept(core, &kept, &is_there, err) || !place->read_policy(place->user, &file, err))
        return false;
    if (is_there && view_eq(buf_view(&file), buf_view(&kept)))
        return true;
    err_set(
        err, ERR_STALE,
        "the policy's file on den's machine is not the policy in force: somebody changed it there");
    return err_advise(err, "have den read it first (systemctl reload warren-den), or put back what "
                           "`warren admin policy show` prints");
}

static bool note_order(struct den_core *core, struct view text, const struct deed *deed,
                       struct err *err)
{
    _transaction_ struct store *open = core->c.store;

    return store_begin(open, err) && policy_order_note(open, text, deed, err) &&
           store_commit(open, err);
}

/* The order, the file, then what is in force, with the audit: killed between any two, den finishes when it starts. */
static bool load(struct den_core *core, const struct order *o, struct policy **policy_taken,
                 const struct deed *deed, struct err *err)
{
    const struct admin_place *place = core->c.place;
    struct err unused;
    _buf_ before = { 0 };

    if (!check_place(core, o, err) || !place->read_policy(place->user, &before, err) ||
        !note_order(core, o->text, deed, err))
        return false;
    if (!place->keep_policy(place->user, o->text, err)) {
        forget_order(core, &unused);
        return false;
    }
    const uint64_t number = core->policy_no;
    if (policy_load_take(core, STEAL(*policy_taken), o->text, deed, err))
        return core->policy_no != number || note_unchanged(core, o->text, deed, err);
    if (place->keep_policy(place->user, buf_view(&before), &unused))
        forget_order(core, &unused);
    return false;
}

static bool read_order(struct view body, struct order *o, struct err *err)
{
    struct view number;

    if (!rpc_map_text(body, "text", &o->text) || !o->text.len)
        return err_set(err, ERR_INVALID_ARGUMENT, "text: expected the policy, as in its file");
    o->is_trial = rpc_map_bool(body, "trial");
    if (!rpc_map_get(body, "replaces", &number) || rpc_map_u64(body, "replaces", &o->replaces) ||
        (rpc_value_text(number, &number) && text_read_u64(number, &o->replaces)))
        return true;
    return err_set(err, ERR_INVALID_ARGUMENT, "replaces: expected the number of a policy");
}

bool policy_load_asked(struct den_core *core, struct view body, const struct deed *deed,
                       struct admin_object *to, struct err *err)
{
    _cleanup_(policy_freep) struct policy *policy = NULL;
    struct err why = { 0 };
    struct order o = { 0 };
    _buf_ errors = { 0 };

    if (!read_order(body, &o, err))
        return false;
    if (!policy_parse("policy.yaml", o.text, &policy, &errors, &why)) {
        if (!o.is_trial)
            audit_refused(core, &o, deed, &why);
        put_answer(core, false, NULL, buf_view(&errors), to);
        return true;
    }
    if (o.is_trial) {
        put_answer(core, false, policy, VIEW_LIT(""), to);
        return true;
    }
    if (!load(core, &o, &policy, deed, &why)) {
        *err = why;
        return false;
    }
    put_answer(core, true, core->policy, VIEW_LIT(""), to);
    return true;
}
