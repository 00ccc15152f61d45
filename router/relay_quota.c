/* SPDX-License-Identifier: Apache-2.0 */
#include "router/relay_quota.h"
#include "base/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* What may come at once: a quarter of a second's share, and never less than some datagrams. */
enum { LEAST_BURST = 64 * 1024, BURST_PART = 4 };

void relay_accounts_init(struct relay_accounts *accounts, uint64_t period, size_t max)
{
    accounts->by_key = map_new();
    accounts->period = period;
    accounts->max = max;
    list_init(&accounts->idle);
}

static void forget(struct relay_accounts *accounts, struct relay_account *account)
{
    map_remove(accounts->by_key, VIEW(account->key, account->key_len));
    list_remove(&account->node);
    free(account);
}

void relay_accounts_deinit(struct relay_accounts *accounts)
{
    size_t cursor = 0;
    void *account;

    while (map_next(accounts->by_key, &cursor, NULL, &account))
        forget(accounts, account);
    map_free(accounts->by_key);
}

static void begin_anew(const struct relay_accounts *accounts, struct relay_account *account,
                       uint64_t now)
{
    if (accounts->period == NEVER_MS || now - account->since < accounts->period)
        return;
    account->bytes = 0;
    account->since = now;
}

struct relay_account *relay_account_use(struct relay_accounts *accounts, struct view key,
                                        uint64_t now)
{
    struct relay_account *account = map_get(accounts->by_key, key);

    assert(key.len <= sizeof(account->key));
    if (!account) {
        if (map_count(accounts->by_key) >= accounts->max && !list_is_empty(&accounts->idle))
            forget(accounts, LIST_ITEM(accounts->idle.next, struct relay_account, node));
        account = mem_new(struct relay_account);
        list_init(&account->node);
        memcpy(account->key, key.data, key.len);
        account->key_len = key.len;
        account->since = now;
        account->room = UINT64_MAX;
        account->room_at = now;
        map_set(accounts->by_key, key, account);
    }
    list_remove(&account->node);
    account->n_users++;
    begin_anew(accounts, account, now);
    return account;
}

void relay_account_leave(struct relay_accounts *accounts, struct relay_account *account)
{
    if (--account->n_users == 0)
        list_append(&accounts->idle, &account->node);
}

bool relay_account_is_over(const struct relay_accounts *accounts, struct relay_account *account,
                           uint64_t max_bytes, uint64_t now)
{
    begin_anew(accounts, account, now);
    return max_bytes && account->bytes >= max_bytes;
}

/* Fills up with time. */
static bool has_room(struct relay_account *account, uint64_t rate, size_t len, uint64_t now)
{
    uint64_t most = rate / BURST_PART > LEAST_BURST ? rate / BURST_PART : LEAST_BURST;
    uint64_t passed = now - account->room_at;

    if (rate == 0)
        return true;
    account->room_at = now;
    if (passed >= SECOND_MS || account->room > most)
        account->room = most;
    else
        account->room = min_u64(most, account->room + rate * passed / SECOND_MS);
    return account->room >= len;
}

static void take(struct relay_account *account, uint64_t rate, size_t len)
{
    account->bytes += len;
    if (rate)
        account->room -= len;
}

enum relay_charge relay_charge(const struct relay_limits *limits, struct relay_account *session,
                               struct relay_account *peer, size_t len, uint64_t now)
{
    if (limits->session_bytes && session->bytes + len > limits->session_bytes)
        return RELAY_OVER_SESSION_BYTES;
    if (limits->peer_bytes && peer->bytes + len > limits->peer_bytes)
        return RELAY_OVER_PEER_BYTES;
    if (!has_room(session, limits->session_rate, len, now))
        return RELAY_OVER_SESSION_RATE;
    if (!has_room(peer, limits->peer_rate, len, now))
        return RELAY_OVER_PEER_RATE;
    take(session, limits->session_rate, len);
    take(peer, limits->peer_rate, len);
    return RELAY_MAY;
}
