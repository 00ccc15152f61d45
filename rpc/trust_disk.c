/* SPDX-License-Identifier: Apache-2.0 */
/* The file: a line of text, then msgpack [network, pin, anchor, roots, manifests, H or nil, sig or
 * nil]. */
#include "rpc/trust_state.h"
#include "rpc/value.h"

static const char head[] = "warren trust 1\n";

void rpc_trust_save(const struct rpc_trust *trust, struct buf *to)
{
    buf_put_text(to, head);
    rpc_put_array(to, 7);
    rpc_put_str(to, trust->network);
    rpc_put_bin(to, VIEW_ARR(trust->pin));
    rpc_put_bin(to, VIEW_ARR(trust->anchor));
    rpc_trust_put_roots(trust, to);
    rpc_trust_put_manifests(trust, 0, to);
    if (trust->heart.hb_no) {
        rpc_put_bin(to, buf_view(&trust->heart_bytes));
        rpc_put_bin(to, VIEW_ARR(trust->heart_sig));
    } else {
        rpc_put_nil(to);
        rpc_put_nil(to);
    }
}

static bool load(struct rpc_fields *f, rpc_manifest_judge *judge, struct rpc_trust **ret_trust,
                 struct err *err)
{
    _cleanup_(rpc_trust_freep) struct rpc_trust *trust = NULL;
    struct view network = rpc_fields_text(f, "network", 200);
    struct view pin = rpc_fields_fixed(f, "pin", HASH_SIZE);
    struct view anchor = rpc_fields_fixed(f, "anchor", HASH_SIZE);
    struct view roots = rpc_fields_array(f, "roots");
    struct view manifests = rpc_fields_array(f, "manifests");
    struct view heart = rpc_fields_bin_or_nil(f, "heartbeat", RPC_MAX_STATEMENT);
    struct view sig = rpc_fields_bin_or_nil(f, "heartbeat's signature", SIG_SIZE);
    _free_ char *name = view_dup_text(network);
    uint64_t highest;

    if (!rpc_fields_end(f, err))
        return false;
    trust = rpc_trust_new(name, pin.data, judge);
    memcpy(trust->anchor, anchor.data, HASH_SIZE);
    if (!rpc_trust_add_roots(trust, roots, err) ||
        !rpc_trust_add_manifests(trust, manifests, &highest, err))
        return false;
    if (heart.len && !rpc_trust_restore_heartbeat(trust, heart, sig, err))
        return false;
    *ret_trust = STEAL(trust);
    return true;
}

bool rpc_trust_load(struct view bytes, rpc_manifest_judge *judge, struct rpc_trust **ret_trust,
                    struct err *err)
{
    struct view body = view_sub(bytes, sizeof(head) - 1, bytes.len);
    struct rpc_fields f;
    size_t len;

    if (!view_starts(bytes, view_text(head)))
        return err_set(err, ERR_BAD_CONFIG, "trust file: not one of ours");
    if (!rpc_walk(body, &len, err))
        return err_wrap(err, "trust file");
    if (len != body.len)
        return err_set(err, ERR_BAD_WIRE, "trust file: bytes left over");
    rpc_fields_open(&f, body);
    return load(&f, judge, ret_trust, err) || err_wrap(err, "trust file");
}
