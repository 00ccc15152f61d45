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

bool crl_renew(struct den_core *core, struct err *err)
{
    struct signer_list list = {
        .now = core_wall(core),
        .life = core->c.crl_life,
        .floor = core->crl_is,
        .keep = keep,
        .user = core,
    };
    struct signer_anchor is;
    struct err kept = { 0 };
    _buf_ der = { 0 };

    /* RFC 5280, 3.3: an entry stays until it was on a list that is newer than its certificate */
    revoked_drop_ended(core->revoked, core->crl_is.at);
    list.entries = revoked_entries(core->revoked);
    if (!signer_issue_crl(core->c.signer, core->c.store, &list, &der, &is, err))
        return false;
    buf_free(&core->crl);
    core->crl = der;
    der = (struct buf){ 0 };
    core->crl_is = is;
    core->crl_rev_no = revoked_no(core->revoked);
    pki_hash(buf_view(&core->crl), core->crl_hash);
    if (core->c.port->keep_list && !core->is_behind &&
        !core->c.port->keep_list(core->c.port->user, buf_view(&core->crl), &kept))
        log_event(LOG_WARN, "crl.not_kept", "cause=%s", log_quote_text(kept.text));
    core->crl_due_at = core_mono(core) + core->c.crl_life / 2;
    return true;
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
    return revoked_load(core->revoked, core->c.store, core->crl_is.at, SIZE_MAX, &is_all, err) &&
           crl_renew(core, err);
}

bool crl_restart(struct den_core *core, const struct signer_anchor *floor, struct err *err)
{
    bool is_all;

    if (floor->number > core->crl_is.number)
        core->crl_is.number = floor->number;
    if (floor->at > core->crl_is.at)
        core->crl_is.at = floor->at;
    revoked_free(core->revoked);
    core->revoked = revoked_new();
    return revoked_load(core->revoked, core->c.store, core->crl_is.at, SIZE_MAX, &is_all, err) &&
           crl_renew(core, err);
}

bool crl_tick(struct den_core *core)
{
    struct err err = { 0 };

    if (core_mono(core) < core->crl_due_at)
        return false;
    if (crl_renew(core, &err))
        return true;
    log_event(LOG_ERROR, "crl.failed", "code=%s cause=%s", err_code_name(err.code),
              log_quote_text(err.text));
    core->crl_due_at = core_mono(core) + RETRY_FOR;
    return false;
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

    if (!roll_look(core, err) || (core->is_resigning && !resign_more(core, &is_all, err)))
        return err_wrap(err, "rollover");
    core->is_resigning = core->is_resigning && !is_all;
    return true;
}

bool den_core_look(struct den_core *core)
{
    struct err err = { 0 };
    uint64_t last = 0;
    bool is_all = true;

    if (!look_at_manifests(core, &err)) {
        log_event(LOG_ERROR, "rollover.failed", "code=%s cause=%s", err_code_name(err.code),
                  log_quote_text(err.text));
        return true;
    }
    if (core->is_resigning)
        return false;
    if (!store_revocation_last(core->c.store, &last, &err) ||
        (last > core->rev_no && !revoke_look(core, &err)) ||
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
