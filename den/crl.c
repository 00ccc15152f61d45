/* SPDX-License-Identifier: Apache-2.0 */
/* The revocation list: signed anew at half of its life, and when the store has revocations that are
 * not on it, whoever put them there. */
#include "den/core_in.h"

#include "base/log.h"

#include <inttypes.h>

enum { RETRY_FOR = 2000 /* ms */, LOAD_AT_ONCE = 5000 /* rows: some milliseconds */ };

static bool keep(void *user, const struct signer_anchor *anchor, struct err *err)
{
    struct den_core *core = user;

    return core->c.port->keep_crl(core->c.port->user, anchor, err);
}

static struct signer_list list_of(struct den_core *core)
{
    /* RFC 5280, 3.3: an entry stays until it was on a list that is newer than its certificate */
    revoked_drop_ended(core->revoked, core->crl_is.at);
    return (struct signer_list){
        .entries = revoked_entries(core->revoked),
        .now = core_wall(core),
        .life = core->c.crl_life,
        .floor = core->crl_is,
        .keep = keep,
        .user = core,
    };
}

/* Until the router was asked, this store may be an older one, and what lies there know more than its list. */
void crl_keep(struct den_core *core)
{
    struct err err = { 0 };

    if (core->c.port->keep_list &&
        !core->c.port->keep_list(core->c.port->user, buf_view(&core->crl), &err))
        log_event(LOG_WARN, "crl.not_kept", "cause=%s", log_quote_text(err.text));
}

static void put_whole(struct buf *to, struct view before, struct view entries, struct view behind)
{
    buf_clear(to);
    buf_put(to, before);
    buf_put(to, entries);
    buf_put(to, behind);
}

static void drop_others(struct den_core *core)
{
    for (size_t i = 0; i < core->n_other_crls; i++)
        buf_free(&core->other_crls[i].der);
    core->n_other_crls = 0;
}

bool crl_find_listed(const struct den_core *core, struct view digits, struct pki_cert **ret_cert)
{
    for (size_t i = 0; i < core->c.n_intermediates; i++) {
        _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
        char is[PKI_KEY_DIGITS + 1];
        struct err unused;
        if (!pki_cert_read(buf_view(&core->c.intermediates[i]), &cert, &unused))
            continue;
        pki_cert_key_digits(cert, is);
        if (!view_eq_text(digits, is))
            continue;
        *ret_cert = STEAL(cert);
        return true;
    }
    return false;
}

/* The signer may know one that was retired since it was started. */
static bool is_listed(const struct den_core *core, struct view digits)
{
    _cleanup_(pki_cert_freep) struct pki_cert *unused = NULL;

    return crl_find_listed(core, digits, &unused);
}

static void take_others(struct den_core *core, const struct signer_listing *l, struct view entries)
{
    drop_others(core);
    for (size_t i = 0; i < l->n_others; i++) {
        const struct signer_frame *frame = &l->others[i];
        if (!is_listed(core, view_text(frame->digits)))
            continue;
        struct other_crl *crl = &core->other_crls[core->n_other_crls++];
        memcpy(crl->digits, frame->digits, sizeof(crl->digits));
        put_whole(&crl->der, buf_view(&frame->before), entries, buf_view(&frame->behind));
    }
}

/* Of the first `n_entries` bytes of what is revoked. */
static void take_list(struct den_core *core, const struct signer_listing *l, size_t n_entries,
                      uint64_t rev_no)
{
    struct view entries = view_sub(revoked_entries(core->revoked), 0, n_entries);

    put_whole(&core->crl, buf_view(&l->before), entries, buf_view(&l->behind));
    memcpy(core->crl_hash, l->hash, HASH_SIZE);
    pki_cert_key_digits(signer_cert(core->c.signer), core->crl_digits);
    take_others(core, l, entries);
    core->crl_is = l->is;
    core->crl_rev_no = rev_no;
    if (core->has_met)
        crl_keep(core);
    core->crl_due_at = core_mono(core) + core->c.crl_life / 2;
}

/* With waiting: at the start. */
static bool renew(struct den_core *core, struct err *err)
{
    _cleanup_(signer_listing_deinit) struct signer_listing listing = { 0 };
    const struct signer_list list = list_of(core);

    if (!signer_list_now(core->c.signer, core->c.store, &list, &listing, err))
        return false;
    take_list(core, &listing, list.entries.len, revoked_no(core->revoked));
    return true;
}

bool crl_of(const struct den_core *core, struct view digits, struct view *ret_der)
{
    if (digits.len && view_eq_text(digits, core->crl_digits)) {
        *ret_der = buf_view(&core->crl);
        return true;
    }
    for (size_t i = 0; i < core->n_other_crls; i++)
        if (view_eq_text(digits, core->other_crls[i].digits) && is_listed(core, digits)) {
            *ret_der = buf_view(&core->other_crls[i].der);
            return true;
        }
    return false;
}

void crl_deinit(struct den_core *core)
{
    drop_others(core);
    buf_free(&core->crl);
}

/* ---- while den works ------------------------------------------------------------------------ */

/* A list that is being signed: what is revoked meanwhile is added behind its entries, and comes with the next one. */
struct crl_making {
    struct signer_listing listing;
    size_t n_entries; /* bytes */
    uint64_t rev_no;
    bool is_on, is_new;
};

struct crl_making *crl_making_new(void)
{
    return mem_new(struct crl_making);
}

void crl_making_free(struct crl_making *making)
{
    if (!making)
        return;
    signer_listing_deinit(&making->listing);
    free(making);
}

static void try_later(struct den_core *core, const struct err *why)
{
    log_event(LOG_ERROR, "crl.failed", "code=%s cause=%s", err_code_name(why->code),
              log_quote_text(why->text));
    core->crl_due_at = core_mono(core) + RETRY_FOR;
}

static void on_list(void *user, struct signer_listing *listing)
{
    struct den_core *core = user;
    struct crl_making *making = core->making;

    making->is_on = false;
    if (listing->err.code != ERR_NONE) {
        err_wrap(&listing->err, "revocation list");
        try_later(core, &listing->err);
        return;
    }
    take_list(core, listing, making->n_entries, making->rev_no);
    signer_listing_deinit(listing);
    making->is_new = true;
}

static void make(struct den_core *core)
{
    const struct signer_list list = list_of(core);
    struct crl_making *making = core->making;
    struct err err = { 0 };

    making->listing.done = on_list;
    making->listing.user = core;
    making->n_entries = list.entries.len;
    making->rev_no = revoked_no(core->revoked);
    making->is_on = signer_list(core->c.signer, core->c.store, &list, &making->listing, &err);
    if (making->is_on)
        core->crl_due_at = NEVER_MS;
    else
        try_later(core, &err);
}

/* No number is taken for what cannot be signed. */
static bool may_make(struct den_core *core)
{
    struct err unused;
    enum signer_mood mood = signer_mood(core->c.signer, &unused);

    if (mood == SIGNER_ASKED)
        core->beat_waits = true;
    else if (mood == SIGNER_AWAY)
        core->crl_due_at = core_mono(core) + RETRY_FOR;
    return mood == SIGNER_ANSWERS;
}

bool crl_tick(struct den_core *core)
{
    bool is_new;

    if (core_mono(core) >= core->crl_due_at && !core->making->is_on && !core->is_behind &&
        may_make(core))
        make(core);
    while (core->making->is_on && signer_look(core->c.signer))
        ; /* a signer in this process has answered */
    is_new = core->making->is_new;
    core->making->is_new = false;
    return is_new;
}

bool crl_is_ready(const struct den_core *core)
{
    return core->making->is_new;
}

/* What was published last stays that, until rollback.c knows how this store goes on. */
static void go_on_with_published(struct den_core *core)
{
    _cleanup_(pki_crl_freep) struct pki_crl *kept = NULL;
    struct err unused;

    buf_put(&core->crl, core->c.crl_kept);
    hash_sha256(core->c.crl_kept, core->crl_hash);
    if (pki_crl_read(core->c.crl_kept, &kept, &unused)) /* another one may be in use by now */
        pki_crl_key_digits(kept, core->crl_digits);
    core->crl_rev_no = revoked_no(core->revoked);
    core->crl_due_at = NEVER_MS;
}

bool crl_start(struct den_core *core, struct err *err)
{
    const struct signer_numbers *n = signer_numbers(core->c.signer);
    bool is_all;
    uint64_t at;

    core->crl_is = core->c.crl_floor;
    if (n->crl_no > core->crl_is.number)
        core->crl_is.number = n->crl_no;
    if (n->crl_at > core->crl_is.at)
        core->crl_is.at = n->crl_at;
    if (!store_number_get(core->c.store, "crl_at", &at, err))
        return false;
    core->crl_is.at = at > core->crl_is.at ? at : core->crl_is.at;
    if (!revoked_load(core->revoked, core->c.store, core->crl_is.at, SIZE_MAX, &is_all, err))
        return false;
    if (!core->is_behind)
        return renew(core, err);
    go_on_with_published(core);
    return true;
}

bool crl_restart(struct den_core *core, const struct signer_anchor *floor, struct err *err)
{
    bool is_all;

    if (floor->number > core->crl_is.number)
        core->crl_is.number = floor->number;
    if (floor->at > core->crl_is.at)
        core->crl_is.at = floor->at;
    while (core->making->is_on)
        signer_wait(core->c.signer);
    revoked_free(core->revoked);
    core->revoked = revoked_new();
    return revoked_load(core->revoked, core->c.store, core->crl_is.at, SIZE_MAX, &is_all, err) &&
           renew(core, err);
}

static bool take_more(struct den_core *core, uint64_t last, bool *ret_is_all, struct err *err)
{
    return (last > core->rev_no && core->has_met) || last <= core->crl_rev_no ||
           revoked_load(core->revoked, core->c.store, core->crl_is.at, LOAD_AT_ONCE, ret_is_all,
                        err);
}

/* What `warren-den rollover` put into the store, and what den has to sign anew for it. */
static bool look_at_manifests(struct den_core *core, struct err *err)
{
    bool is_all = true;

    if (!roll_look(core, err))
        return err_wrap(err, "rollover");
    if (!core->is_resigning || !core_may_ask(core))
        return true;
    if (!resign_more(core, &is_all, err))
        return err_wrap(err, "rollover");
    core->is_resigning = !is_all;
    return true;
}

bool den_core_look(struct den_core *core)
{
    struct err err = { 0 };
    uint64_t last = 0;
    bool is_all = true;

    judge_look(core);
    untold_tick(core);
    if (!look_at_manifests(core, &err)) {
        log_event(LOG_ERROR, "rollover.failed", "code=%s cause=%s", err_code_name(err.code),
                  log_quote_text(err.text));
        return true;
    }
    if (core->is_resigning)
        return core->look_waits || signer_is_away(core->c.signer, &err);
    if (core->making->is_on) /* of the entries that are there */
        return true;
    if (store_revocation_last(core->c.store, &last, &err) && last > core->rev_no && core->has_met &&
        !core_may_ask(core))
        return true;
    if (err.code != ERR_NONE || (last > core->rev_no && !revoke_look(core, &err)) ||
        !take_more(core, last, &is_all, &err)) {
        log_event(LOG_ERROR, "revocations.failed", "code=%s cause=%s", err_code_name(err.code),
                  log_quote_text(err.text));
        return true;
    }
    if (last > core->rev_no && core->has_met)
        return false; /* there are more to be signed first */
    if (!is_all || last <= core->crl_rev_no)
        return is_all;
    log_event(LOG_INFO, "revocations.taken", "no=%" PRIu64 " listed=%zu", revoked_no(core->revoked),
              revoked_count(core->revoked));
    core->crl_due_at = core_mono(core);
    heart_tick(core);
    return true;
}
