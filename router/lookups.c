/* SPDX-License-Identifier: Apache-2.0 */
#include "router/lookups.h"
#include "router/router.h"

enum { MAX_KEYS = 65536 };

struct lookups {
    struct windows *by_identity, *by_network;
};

struct lookups *lookups_new(const struct router_config *config)
{
    struct lookups *lookups = mem_new(struct lookups);

    lookups->by_identity = windows_new(config->max_lookups, MINUTE_MS, MAX_KEYS);
    lookups->by_network = windows_new(config->max_lookups_network, MINUTE_MS, MAX_KEYS);
    return lookups;
}

void lookups_free(struct lookups *lookups)
{
    if (!lookups)
        return;
    windows_free(lookups->by_identity);
    windows_free(lookups->by_network);
    free(lookups);
}

/* A guest has a new name with each session, but not a new network. */
static struct view identity_of(const struct conn *conn, struct buf *scratch)
{
    buf_printf(scratch, "%s %s", conn->realm->config->name, conn->id);
    return buf_view(scratch);
}

static struct view network_of(const struct conn *conn)
{
    return VIEW_ARR(conn->near);
}

bool lookups_may(struct conn *conn, struct err *err)
{
    struct lookups *lookups = conn->router->lookups;
    uint64_t now = conn->router->now.mono;
    _buf_ scratch = { 0 };

    if (conn->role == ROLE_DEN)
        return true;
    if (windows_is_full(lookups->by_identity, identity_of(conn, &scratch), now)) {
        conn_over(conn, LIMIT_LOOKUPS);
        return err_set(err, ERR_LIMIT, "too many lookups have failed: wait a minute");
    }
    if (conn->has_near && windows_is_full(lookups->by_network, network_of(conn), now)) {
        conn_over(conn, LIMIT_LOOKUPS_NEAR);
        return err_set(err, ERR_LIMIT, "too many lookups from this network have failed: wait");
    }
    return true;
}

void lookups_failed(struct conn *conn)
{
    struct lookups *lookups = conn->router->lookups;
    uint64_t now = conn->router->now.mono;
    _buf_ scratch = { 0 };

    if (conn->role == ROLE_DEN)
        return;
    windows_add(lookups->by_identity, identity_of(conn, &scratch), now);
    if (conn->has_near)
        windows_add(lookups->by_network, network_of(conn), now);
}
