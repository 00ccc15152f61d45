/* SPDX-License-Identifier: Apache-2.0 */
#include "den/token.h"
#include "base/clock.h"
#include "base/conf.h"
#include "den/policy.h"
#include "den/record.h"

#include <inttypes.h>
#include <stdio.h>

#define MAX_LIFE (3650 * DAY_MS)

static bool check_texts(const struct token_order *order, struct err *err)
{
    struct view groups = view_text(order->groups), label = view_text(order->label);

    if (groups.len >= STORE_GROUPS || !policy_groups_are_valid(groups))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "groups: expected names such as staff,servers (a-z, 0-9 and -, a letter "
                       "first), at most 255 characters, each once");
    for (size_t i = 0; i < label.len; i++) {
        if (label.data[i] < ' ' || label.data[i] > '~')
            return err_set(err, ERR_INVALID_ARGUMENT, "label: expected printable ASCII");
    }
    return label.len < STORE_LABEL ||
           err_set(err, ERR_INVALID_ARGUMENT, "label: expected at most 64 characters");
}

static bool check_order(const struct token_order *order, struct err *err)
{
    if (strcmp(order->role, "peer") != 0 && strcmp(order->role, "admin") != 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "role: expected peer or admin, found \"%s\"",
                       order->role);
    if (order->uses == 0 || (order->uses > TOKEN_MAX_USES && order->uses != TOKEN_ANY))
        return err_set(err, ERR_INVALID_ARGUMENT, "uses: expected 1 to %d, found %" PRIu64,
                       TOKEN_MAX_USES, order->uses);
    if (order->life_ms > MAX_LIFE || order->device_life > MAX_LIFE ||
        order->vanish_after > MAX_LIFE)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "expires: expected at most 3650d, as for the life of devices");
    if (order->vanish_after && order->vanish_after < MINUTE_MS)
        return err_set(err, ERR_INVALID_ARGUMENT, "ephemeral: expected at least 1m");
    return check_texts(order, err);
}

bool token_read_duration(const char *option, const char *text, bool may_be_never, uint64_t *ret_ms,
                         struct err *err)
{
    *ret_ms = 0;
    if (!text || (may_be_never && strcmp(text, "never") == 0))
        return true;
    if (!conf_duration(view_text(text), ret_ms) || *ret_ms == 0)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "%s: expected a duration such as 45m, 24h or 7d%s, found \"%.64s\"", option,
                       may_be_never ? ", or never" : "", text);
    return true;
}

bool token_read_words(const struct token_words *words, struct token_order *order, struct err *err)
{
    const char *uses = words->uses ? words->uses : "1";

    order->role = words->role ? words->role : "peer";
    order->groups = words->groups;
    order->label = words->label;
    order->needs_approval = words->needs_approval;
    if (strcmp(uses, "any") == 0)
        order->uses = TOKEN_ANY;
    else if (!text_read_u64(view_text(uses), &order->uses) || order->uses == 0)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "uses: expected a number from 1 on, or any, found \"%.64s\"", uses);
    return token_read_duration("expires", words->expires ? words->expires : TOKEN_EXPIRES, true,
                               &order->life_ms, err) &&
           token_read_duration("ephemeral", words->ephemeral, false, &order->vanish_after, err) &&
           token_read_duration("device-life", words->device_life, false, &order->device_life, err);
}

bool token_read_known(const struct store_identity *who, const char *device_life,
                      struct token_order *order, struct err *err)
{
    order->uses = 1;
    order->for_id = who->id;
    order->role = who->role;
    order->groups = who->groups;
    if (!token_read_duration("device-life", device_life, false, &order->device_life, err))
        return false;
    return order->device_life || !who->expires_at || who->expires_at > order->deed.at ||
           err_set(err, ERR_INVALID_ARGUMENT,
                   "device-life: missing: the time of %s is over, so say how long it lives from "
                   "its joining on",
                   who->id);
}

/* `n`: how many waited for an approval of what it said. */
static bool note_end(struct store *open, const struct store_token *token, int n,
                     const struct deed *deed, struct err *err)
{
    char pk[RECORD_HEX], waited[24];

    snprintf(waited, sizeof(waited), "%d", n);
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("token", record_hex(VIEW_ARR(token->pk), pk)),
        AUDIT_TEXT("role", token->role),
        AUDIT_TEXT("for", token->for_id),
        AUDIT_TEXT("state_before", token_state(token, deed->at)),
        AUDIT_TEXT("state", "revoked"),
        AUDIT_TEXT("waiting_dropped", waited),
        DEED_PAIRS(deed),
    };
    return audit_append(open, deed->at, "token.revoked", pairs, N_ELEMENTS(pairs), err);
}

/* With those who wait for it. */
static bool end(struct store *open, const struct store_token *token, const struct deed *deed,
                struct err *err)
{
    int n = 0;

    return store_token_revoke(open, VIEW_ARR(token->pk), deed->at, err) &&
           store_waiting_drop_token(open, VIEW_ARR(token->pk), &n, err) &&
           note_end(open, token, n, deed, err);
}

bool token_end_for(struct store *open, const char *id, const struct deed *deed, struct err *err)
{
    struct store_token token;
    enum store_found found;

    for (;;) {
        if (!store_token_open_for(open, id, &found, &token, err))
            return false;
        if (found == STORE_NONE)
            return true;
        if (!end(open, &token, deed, err))
            return false;
    }
}

static bool record(struct store *store, const struct store_token *token, const struct deed *deed,
                   struct err *err)
{
    _transaction_ struct store *open = store;
    char pk[RECORD_HEX], until[CLOCK_TEXT], uses[24];

    snprintf(uses, sizeof(uses), "%" PRIu64, token->uses);
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("token", record_hex(VIEW_ARR(token->pk), pk)),
        AUDIT_TEXT("role", token->role),
        AUDIT_TEXT("uses", token->uses ? uses : "any number"),
        AUDIT_TEXT("expires", token->expires_at ? clock_text(token->expires_at, until) : "never"),
        AUDIT_TEXT("groups", token->groups),
        AUDIT_TEXT("for", token->for_id),
        AUDIT_TEXT("label", token->label),
        AUDIT_TEXT("needs_approval", token->needs_approval ? "yes" : "no"),
        DEED_PAIRS(deed),
    };
    return store_begin(open, err) &&
           (!*token->for_id || token_end_for(open, token->for_id, deed, err)) &&
           store_token_add(open, token, err) &&
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
        .uses = order->uses == TOKEN_ANY ? 0 : order->uses,
        .uses_left = order->uses == TOKEN_ANY ? 0 : order->uses,
        .needs_approval = order->needs_approval,
        .device_life = order->device_life,
        .vanish_after = order->vanish_after,
        .created_at = order->deed.at,
        .expires_at = order->life_ms ? order->deed.at + order->life_ms : 0,
    };
    _cleanup_(rpc_join_wipe) struct rpc_join join = { .has_token = !order->pk };
    _cleanup_(key_freep) struct key *key = NULL;

    if (!check_order(order, err) || !fill_join(order, &join, err))
        return err_wrap(err, "token");
    if (!order->pk) {
        random_bytes(join.token, sizeof(join.token));
        key = rpc_token_key(join.token);
    }
    memcpy(token.pk, order->pk ? order->pk : key_public(key), KEY_SIZE);
    snprintf(token.role, sizeof(token.role), "%s", order->role);
    snprintf(token.groups, sizeof(token.groups), "%s", order->groups ? order->groups : "");
    snprintf(token.label, sizeof(token.label), "%s", order->label ? order->label : "");
    snprintf(token.for_id, sizeof(token.for_id), "%s", order->for_id ? order->for_id : "");
    snprintf(token.by, sizeof(token.by), "%s", order->deed.by);
    if (!record(store, &token, &order->deed, err))
        return err_wrap(err, "recording a token");
    if (order->ret_pk)
        memcpy(order->ret_pk, token.pk, KEY_SIZE);
    rpc_join_write(&join, ret_join);
    return true;
}

/* ---- those that are there ------------------------------------------------------------------------ */

enum { LEAST_DIGITS = 8 };

struct search {
    const char *digits;
    struct store_token token;
    size_t n;
};

static bool compare(void *user, const struct store_token *token)
{
    struct search *search = user;
    char pk[RECORD_HEX];

    record_hex(VIEW_ARR(token->pk), pk);
    if (strncmp(pk, search->digits, strlen(search->digits)) == 0) {
        search->token = *token;
        search->n++;
    }
    return true;
}

bool token_by_name(struct store *store, const char *digits, struct store_token *ret_token,
                   struct err *err)
{
    struct search search = { .digits = digits };
    size_t len = strlen(digits);

    if (len < LEAST_DIGITS || len > 2 * KEY_SIZE || strspn(digits, "0123456789abcdef") != len)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "a token is named by the first 8 or more digits of its public key, as "
                       "`warren-den token list` shows it");
    if (!store_token_each(store, compare, &search, err))
        return false;
    if (search.n == 0)
        return err_set(err, ERR_NOT_FOUND, "there is no token %s", digits);
    if (search.n > 1)
        return err_set(err, ERR_INVALID_ARGUMENT, "%zu tokens start with %s: give more digits",
                       search.n, digits);
    *ret_token = search.token;
    return true;
}

bool token_revoke(struct store *store, const struct store_token *token, const struct deed *deed,
                  uint64_t *ret_before, struct err *err)
{
    _transaction_ struct store *open = store;
    struct store_token now;
    enum store_found found = STORE_NONE;

    if (!store_begin(open, err) || !store_token_find(open, VIEW_ARR(token->pk), &found, &now, err))
        return false;
    if (found == STORE_NONE)
        return err_set(err, ERR_NOT_FOUND, "that token is not there any more");
    *ret_before = now.revoked_at;
    return (now.revoked_at ? note_end(open, &now, 0, deed, err) : end(open, &now, deed, err)) &&
           store_commit(open, err);
}

const char *token_state(const struct store_token *token, uint64_t now)
{
    if (token->revoked_at)
        return "revoked";
    if (token->expires_at && token->expires_at <= now)
        return "expired";
    return token->uses && token->uses_left == 0 ? "spent" : "usable";
}
