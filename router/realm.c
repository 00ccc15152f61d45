/* SPDX-License-Identifier: Apache-2.0 */
#include "router/realm.h"
#include "router/router.h"

struct realm *realm_new(struct router *router, const struct realm_config *config)
{
    struct realm *realm = mem_new(struct realm);

    list_init(&realm->retired);
    realm->router = router;
    realm->config = config;
    realm->by_session = map_new();
    realm->dealer = dealer_new(realm);
    realm->broker = broker_new(realm);
    return realm;
}

void realm_free(struct realm *realm)
{
    if (!realm)
        return;
    list_remove(&realm->retired);
    broker_free(realm->broker);
    dealer_free(realm->dealer);
    map_free(realm->by_session);
    free(realm);
}

bool realm_may_meta(const struct realm *realm, struct view role)
{
    for (size_t i = 0; i < realm->config->n_meta; i++) {
        if (view_eq_text(role, realm->config->meta[i]))
            return true;
    }
    return false;
}

bool realm_is_open(const struct realm *realm, struct view uri)
{
    for (size_t i = 0; i < realm->config->n_open; i++) {
        if (rpc_uri_is_below(view_text(realm->config->open[i]), uri))
            return true;
    }
    return false;
}
