/* SPDX-License-Identifier: Apache-2.0 */
/* Grants that the router is to forget. What could not be said to it is said when it is there again:
 * else it would keep a session open that den has ended. */
#include "den/open.h"

#include "base/log.h"

enum { MAX_UNGRANTS = 4096 };

struct ungrant {
    struct list node; /* in core->ungrants */
    struct den_core *core;
    uint8_t sid[RPC_SID];
    uint64_t call; /* under way; 0: waits for the router */
};

static void ungrant_free(struct ungrant *u)
{
    list_remove(&u->node);
    u->core->n_ungrants--;
    if (u->call)
        u->core->c.port->forget(u->core->c.port->user, u->call);
    free(u);
}

static void on_removed(void *user, const struct rpc_outcome *outcome)
{
    struct ungrant *u = user;
    enum err_code code = outcome->err.code;

    if (outcome->what == RPC_PROGRESS)
        return;
    u->call = 0;
    if (outcome->what == RPC_FAILED && (code == ERR_NETWORK_FAILURE || code == ERR_CLOSED))
        return; /* until the router is there again */
    if (outcome->what == RPC_FAILED)
        log_event(LOG_WARN, "grant.not_removed", "code=%s cause=%s", err_code_name(code),
                  log_quote_text(outcome->err.text));
    ungrant_free(u);
}

static void tell_router(struct ungrant *u)
{
    const struct den_port *port = u->core->c.port;
    _buf_ args = { 0 };

    rpc_put_array(&args, 1);
    rpc_put_bin(&args, VIEW_ARR(u->sid));
    u->call = port->call(port->user, "network.grant.remove", buf_view(&args), CORE_CALL_TIMEOUT,
                         false, on_removed, u);
}

void open_remove_grant(struct den_core *core, struct view sid)
{
    if (core->n_ungrants >= MAX_UNGRANTS) {
        log_event(LOG_WARN, "grant.not_removed", "cause=\"too many wait for the router\"");
        return;
    }
    struct ungrant *u = mem_new(struct ungrant);
    u->core = core;
    memcpy(u->sid, sid.data, sizeof(u->sid));
    list_append(&core->ungrants, &u->node);
    core->n_ungrants++;
    if (core->is_up)
        tell_router(u);
}

void ungrant_again(struct den_core *core)
{
    struct ungrant *u;

    LIST_EACH(u, &core->ungrants, node)
        if (!u->call)
            tell_router(u);
}

void ungrant_drop_all(struct den_core *core)
{
    struct ungrant *u;

    LIST_EACH(u, &core->ungrants, node)
        ungrant_free(u);
}
