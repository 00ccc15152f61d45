/* SPDX-License-Identifier: Apache-2.0 */
/* Whether den can do what it is for, tried when somebody asks: a disk that fills while nobody writes to it is
 * noticed too. */
#include "den/core_in.h"

#include "den/record.h"

#include <inttypes.h>

enum { TRY_EVERY = 1000 /* ms: what it costs is not for who asks to choose */ };
#define ASKED_AGAIN_FOR (2 * MINUTE_MS) /* whoever got no certificate is back by then */

static bool try_store(struct store *store, struct err *err)
{
    _transaction_ struct store *open = store;
    uint64_t n;

    return store_begin(open, err) && store_number_get(open, "health_no", &n, err) &&
           store_number_raise(open, "health_no", n + 1, err) && store_commit(open, err);
}

/* What a heartbeat writes too: the store, then a file beside it. Not before the router was met: until then the store may
 * turn out to be an older state, which stays as it was found. */
static void try_recording(struct den_core *core)
{
    uint64_t now = core_mono(core);

    if (!core->has_met || now < core->try_record_at)
        return;
    core->try_record_at = now + TRY_EVERY;
    core->unrecorded = (struct err){ 0 };
    if (try_store(core->c.store, &core->unrecorded))
        (void)core_save_trust(core, &core->unrecorded);
}

static void put_unrecorded(struct den_core *core, struct buf *to)
{
    struct err unused;

    try_recording(core);
    if (core->unrecorded.code != ERR_NONE)
        buf_printf(to, "nothing can be recorded, so nothing is signed: %s\n",
                   core->unrecorded.text);
    else if (signer_is_away(core->c.signer, &unused))
        return; /* said below, of all that it signs */
    else if (core->unbeaten.code != ERR_NONE)
        buf_printf(to, "no heartbeat can be signed: %s\n", core->unbeaten.text);
    else if (core->uncertified.code != ERR_NONE &&
             core_mono(core) < core->uncertified_at + ASKED_AGAIN_FOR)
        buf_printf(to, "no certificate can be signed: %s\n", core->uncertified.text);
}

void den_core_health(struct den_core *core, struct buf *to)
{
    struct err why = { 0 };

    if (den_core_fatal(core))
        buf_printf(to, "%s\n", core->fatal.text);
    else if (store_sickness(core->c.store))
        buf_printf(to, "%s\n", store_sickness(core->c.store)->text);
    else
        put_unrecorded(core, to);
    if (signer_is_away(core->c.signer, &why))
        buf_printf(to, "no heartbeat can be signed, nor anything else: %s\n", why.text);
    if (!core->is_up)
        buf_put_text(to, core->has_met ? "the router is away\n"
                                       : "the router was not met yet: nothing is signed before\n");
}

void den_core_warnings(struct den_core *core, struct buf *to)
{
    den_core_health(core, to);
    if (core->policy_refused.code != ERR_NONE)
        buf_printf(to, "the policy's file is not in force, policy %" PRIu64 " is: %s\n",
                   core->policy_no, core->policy_refused.text);
}
