/* SPDX-License-Identifier: Apache-2.0 */
/* What a root is about to sign, for whoever holds it: computed from the manifest itself, not from what the order says of it. */
#include "base/text.h"
#include "den/root.h"

#include <inttypes.h>

static const char *const role_names[] = { "", "den's login key", "den's signing key",
                                          "router key" };

static const uint8_t
    unmade[HASH_SIZE]; /* stands for the hash of a certificate that is not made yet */

static void put_hash(struct buf *to, struct view hash)
{
    if (view_eq(hash, VIEW_ARR(unmade)))
        buf_put_text(to, "(made by this signature)");
    else
        text_put_hex(to, hash);
}

/* One line a member: whether it comes, goes or stays, and which of them is used. */
static void put_items(struct buf *to, const char *what, const struct rpc_items *before,
                      const struct rpc_items *after)
{
    for (size_t i = 0; i < after->n; i++) {
        bool was_there = false;
        for (size_t k = 0; k < before->n; k++)
            was_there |= view_eq(before->item[k], after->item[i]);
        buf_printf(to, "  %s %s ", was_there ? " " : "+", what);
        put_hash(to, after->item[i]);
        buf_printf(to, "%s%s\n", was_there ? "" : "  NEW", i == 0 ? "  in use" : "");
    }
    for (size_t i = 0; i < before->n; i++) {
        bool stays = false;
        for (size_t k = 0; k < after->n; k++)
            stays |= view_eq(after->item[k], before->item[i]);
        if (stays)
            continue;
        buf_printf(to, "  - %s ", what);
        put_hash(to, before->item[i]);
        buf_put_text(to, "  IS OUT\n");
    }
}

static struct rpc_items keys_of(const struct rpc_manifest *m, enum rpc_key_role role)
{
    struct rpc_items items = { 0 };

    for (size_t i = 0; i < m->keys.n && items.n < RPC_MAX_ITEMS; i++) {
        if (m->keys.item[i].role == role)
            items.item[items.n++] = m->keys.item[i].pk;
    }
    return items;
}

static void put_manifest(struct buf *to, const struct rpc_manifest *before,
                         const struct rpc_manifest *after)
{
    char until[CLOCK_TEXT];

    put_items(to, "root", &before->roots, &after->roots);
    put_items(to, "intermediate", &before->intermediates, &after->intermediates);
    for (int role = RPC_KEY_DEN_LOGIN; role <= RPC_KEY_ROUTER; role++) {
        struct rpc_items was = keys_of(before, (enum rpc_key_role)role),
                         is = keys_of(after, (enum rpc_key_role)role);
        put_items(to, role_names[role], &was, &is);
    }
    buf_printf(to, "  valid until %s\n", clock_text(after->not_after, until));
}

static void put_meaning(const struct root_order *order, struct buf *to)
{
    static const char *const meanings[CHANGE_STEPS] = {
        [CHANGE_STAGE] = "Everybody will accept the new one beside the one in use.",
        [CHANGE_SWITCH] = "den uses the new one from then on; the old one is still accepted.",
        [CHANGE_RETIRE] = "The old one is accepted by nobody any more. This cannot be undone.",
        [CHANGE_BACK] = "The last step is undone.",
        [CHANGE_REPLACE] =
            "The old one is accepted by nobody any more, at once. This cannot be undone.",
        [CHANGE_RENEW] = "Nothing changes but the dates.",
        [CHANGE_ADD_ROUTER] =
            "Whoever has this router's key is believed to be the network's router.",
        [CHANGE_REMOVE_ROUTER] = "This router is believed by nobody any more.",
        [CHANGE_FOUND] = "A new network, with this root as its first.",
    };

    buf_printf(to, "%s\n", meanings[order->step]);
    if (*order->host)
        buf_printf(to, "The router is reached at %s.\n", order->host);
    if (*order->reason)
        buf_printf(to, "Reason: %s.\n", order->reason);
}

void root_describe(const struct root_order *order, uint64_t now, struct buf *to)
{
    static const struct rpc_manifest nothing;
    const struct rpc_manifest *before = order->trust ? rpc_trust_manifest(order->trust) : &nothing;
    struct change change = {
        .step = order->step,
        .what = order->what,
        .pk = buf_view(&order->pk),
        .network = order->network,
        .login_pk = buf_view(&order->login_pk),
        .sign_pk = buf_view(&order->sign_pk),
        .root = VIEW_ARR(unmade),
        .intermediate = VIEW_ARR(unmade),
        .at = now,
    };
    uint8_t previous[HASH_SIZE];
    struct rpc_manifest next;
    char made[CLOCK_TEXT];

    change_apply(order->trust, &change, previous, &next);
    buf_printf(to, "Network %s asks its root, at %s: %s", order->network,
               clock_text(order->made_at, made), change_step_name(order->step));
    if (order->step < CHANGE_RENEW)
        buf_printf(to, " %s", change_what_name(order->what));
    buf_printf(to, ".\nManifest %" PRIu64 " would be signed, to follow manifest %" PRIu64 ":\n",
               next.manifest_no, next.manifest_no - 1);
    put_manifest(to, before, &next);
    put_meaning(order, to);
}
