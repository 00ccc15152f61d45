/* SPDX-License-Identifier: Apache-2.0 */
/* Ends of sessions that their ends were not told with den's signature, as the signer or the router was away: told when both are back. An end
 * that is away itself hears it when it comes (mine.c). */
#include "den/open.h"

#include "base/log.h"

enum { MAX_UNTOLD = 4096, MAX_AT_ONCE = 64 };

struct untold {
    struct list node; /* of core->untold */
    uint8_t sid[RPC_SID];
    char a_id[STORE_ID], b_id[STORE_ID], *reason;
};

static void untold_free(struct den_core *core, struct untold *untold)
{
    list_remove(&untold->node);
    core->n_untold--;
    free(untold->reason);
    free(untold);
}

void untold_free_all(struct den_core *core)
{
    struct untold *untold;

    LIST_EACH(untold, &core->untold, node)
        untold_free(core, untold);
}

void untold_keep(struct den_core *core, struct view sid, const char *a_id, const char *b_id,
                 struct view reason)
{
    struct untold *untold = mem_new(struct untold);

    if (core->n_untold >= MAX_UNTOLD) {
        log_event(LOG_WARN, "session.end_untold", "cause=too_many");
        untold_free(core, LIST_ITEM(core->untold.next, struct untold, node));
    }
    memcpy(untold->sid, sid.data, sizeof(untold->sid));
    memcpy(untold->a_id, a_id, strlen(a_id) + 1);
    memcpy(untold->b_id, b_id, strlen(b_id) + 1);
    untold->reason = view_dup_text(reason);
    list_append(&core->untold, &untold->node);
    core->n_untold++;
}

void untold_tick(struct den_core *core)
{
    for (size_t n = 0; n < MAX_AT_ONCE && core->is_up && core->n_untold && core_may_ask(core);
         n++) {
        struct untold *untold = LIST_ITEM(core->untold.next, struct untold, node);
        bool is_told = open_sign_end(core, VIEW_ARR(untold->sid), untold->a_id, untold->b_id,
                                     view_text(untold->reason));
        if (!is_told)
            return;
        untold_free(core, untold);
    }
}
