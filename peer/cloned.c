/* SPDX-License-Identifier: Apache-2.0 */
/* Another process came with this machine's key: the router noticed, kept it out, and says so to this one. */
#include "peer/core.h"

enum { MAX_ADDRESS = 64 };

void cloned_on_event(void *user, const struct rpc_event *rpc_event)
{
    struct core *core = user;
    struct hub_event *event;
    struct rpc_fields f;
    struct err err = { 0 };

    rpc_fields_open(&f, rpc_payload_args(rpc_event->payload));
    struct view id = rpc_fields_text(&f, "id", TEXT_ID);
    rpc_fields_text(&f, "address", MAX_ADDRESS);
    struct view other = rpc_fields_text(&f, "other address", MAX_ADDRESS);
    rpc_fields_skip_rest(&f);
    if (!rpc_fields_end(&f, &err) || !view_eq_text(id, core->id))
        return; /* an administrator's: it is about somebody else */
    err_set(&err, ERR_CLONE,
            "another process came with the key of this machine, from %.*s; it was refused",
            VIEW_FMT(other));
    event = hub_event_new(PEER_EVENT_CLONED);
    hub_error(&err, &event->event.error);
    hub_put(core->hub, event);
}
