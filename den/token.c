/* SPDX-License-Identifier: Apache-2.0 */
#include "den/token.h"
#include "base/clock.h"
#include "base/conf.h"
#include "den/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static bool check_order(const struct token_order *order, struct err *err)
{
    if (strcmp(order->role, "peer") != 0 && strcmp(order->role, "admin") != 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "role: expected peer or admin, found \"%s\"",
                       order->role);
    if (order->uses == 0 || order->uses > TOKEN_MAX_USES)
        return err_set(err, ERR_INVALID_ARGUMENT, "uses: expected 1 to %d, found %" PRIu64,
                       TOKEN_MAX_USES, order->uses);
    if (order->life_ms > 3650 * DAY_MS)
        return err_set(err, ERR_INVALID_ARGUMENT, "expires: expected at most 3650d");
    return true;
}

static bool record(struct store *store, const struct store_token *token, struct err *err)
{
    _transaction_ struct store *open = store;
    char pk[RECORD_HEX], until[CLOCK_TEXT], uses[24], by[32];

    snprintf(uses, sizeof(uses), "%" PRIu64, token->uses_left);
    snprintf(by, sizeof(by), "uid %lu", (unsigned long)getuid());
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("token", record_hex(VIEW_ARR(token->pk), pk)),
        AUDIT_TEXT("role", token->role),
        AUDIT_TEXT("uses", uses),
        AUDIT_TEXT("expires", token->expires_at ? clock_text(token->expires_at, until) : "never"),
        AUDIT_TEXT("by", by),
    };
    return store_begin(open, err) && store_token_add(open, token, err) &&
           audit_append(open, token->created_at, "token.created", pairs, N_ELEMENTS(pairs), err) &&
           store_commit(open, err);
}

/* All of the join string but its token. */
static bool fill_join(const struct token_order *order, struct rpc_join *join, struct err *err)
{
    _free_ char *host = NULL;
    struct view root;

    if (!conf_split_address(view_text(order->router), 0, &host, &join->hosts[0].port) ||
        strlen(host) >= sizeof(join->hosts[0].host))
        return err_set(err, ERR_INVALID_ARGUMENT, "router: expected HOST:PORT, found \"%s\"",
                       order->router);
    snprintf(join->hosts[0].host, sizeof(join->hosts[0].host), "%s", host);
    join->n_hosts = 1;
    snprintf(join->network, sizeof(join->network), "%s", rpc_trust_network(order->trust));
    if (!rpc_trust_root(order->trust, 0, &root))
        return err_set(err, ERR_NOT_FOUND, "the trust set lists no root");
    hash_sha256(root, join->pin);
    return true;
}

bool token_new(struct store *store, const struct token_order *order, struct buf *ret_join,
               struct err *err)
{
    struct store_token token = {
        .uses_left = order->uses,
        .created_at = order->now,
        .expires_at = order->life_ms ? order->now + order->life_ms : 0,
    };
    _cleanup_(rpc_join_wipe) struct rpc_join join = { .has_token = true };
    _cleanup_(key_freep) struct key *key = NULL;

    if (!check_order(order, err) || !fill_join(order, &join, err))
        return err_wrap(err, "token");
    random_bytes(join.token, sizeof(join.token));
    key = rpc_token_key(join.token);
    memcpy(token.pk, key_public(key), KEY_SIZE);
    snprintf(token.role, sizeof(token.role), "%s", order->role);
    if (!record(store, &token, err))
        return err_wrap(err, "recording a token");
    rpc_join_write(&join, ret_join);
    return true;
}
