/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/check.h"

#include "base/text.h"

enum { MAX_CAP = 64 };

bool check_is_cap(struct view cap)
{
    if (cap.len == 0 || cap.len > MAX_CAP)
        return false;
    for (size_t i = 0; i < cap.len; i++) {
        uint8_t c = cap.data[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '.' &&
            c != '_' && c != ':')
            return false;
    }
    return true;
}

bool check_has_cap(const struct rpc_items *caps, struct view cap)
{
    for (size_t i = 0; i < caps->n; i++) {
        if (view_eq(caps->item[i], cap))
            return true;
    }
    return false;
}

bool check_caps(const struct rpc_items *caps, struct err *err)
{
    for (size_t i = 0; i < caps->n; i++) {
        struct rpc_items before = *caps;

        before.n = i;
        if (!check_is_cap(caps->item[i]))
            return err_set(err, ERR_CAPABILITY, "capability %zu is not one", i + 1);
        if (check_has_cap(&before, caps->item[i]))
            return err_set(err, ERR_CAPABILITY, "%.*s is listed twice", VIEW_FMT(caps->item[i]));
    }
    return true;
}

static bool is_subset(const struct rpc_items *caps, const struct rpc_items *of, struct err *err)
{
    for (size_t i = 0; i < caps->n; i++) {
        if (!check_has_cap(of, caps->item[i]))
            return err_set(err, ERR_CAPABILITY, "%.*s was not asked for", VIEW_FMT(caps->item[i]));
    }
    return true;
}

/* One field of a statement against what it must be. */
struct wanted {
    struct view got, wanted;
    enum err_code code;
    const char *why;
};

static bool check_fields(const struct wanted *fields, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (!view_eq_secret(fields[i].got, fields[i].wanted))
            return err_set(err, fields[i].code, "%s", fields[i].why);
    }
    return true;
}

static bool is_hash_of(struct view hash, struct view bytes)
{
    uint8_t own[HASH_SIZE];

    hash_sha256(bytes, own);
    return view_eq_secret(hash, VIEW_ARR(own));
}

static bool knows_beacon(const struct check_self *self, struct view beacon)
{
    for (size_t at = 0; at < self->beacons.len; at += RPC_BEACON) {
        if (view_eq(view_sub(self->beacons, at, RPC_BEACON), beacon))
            return true;
    }
    return rpc_trust_knows_beacon(self->trust, beacon);
}

static bool open_grant(const struct check_self *self, struct view bytes, struct view sig,
                       struct rpc_grant *ret_grant, struct err *err)
{
    struct rpc_grant g = { 0 };

    if (!rpc_trust_open(self->trust, RPC_W_GRANT, bytes, sig, self->now, &g, err))
        return false; /* the network is checked there too */
    if (!knows_beacon(self, g.beacon))
        return err_set(err, ERR_STALE, "grant: its beacon is none of the last two");
    if (g.live_until && g.live_until <= self->now)
        return err_set(err, ERR_EXPIRED, "grant: it ended already");
    if (!check_caps(&g.caps, err) || !check_caps(&g.caps_back, err))
        return err_wrap(err, "grant");
    *ret_grant = g;
    return true;
}

bool check_grant(const struct check_self *self, struct view bytes, struct view sig,
                 struct rpc_grant *ret_grant, struct err *err)
{
    struct rpc_grant g = { 0 };

    if (!open_grant(self, bytes, sig, &g, err))
        return false;
    const struct wanted fields[] = {
        { g.b_id, view_text(self->id), ERR_BAD_STATEMENT, "is for another ID than ours" },
        { g.b_pk, self->pk, ERR_WRONG_KEY, "is for another identity key than ours" },
    };
    if (!check_fields(fields, N_ELEMENTS(fields), err))
        return err_wrap(err, "grant");
    if (view_eq(g.a_id, g.b_id) || view_eq(g.a_pk, g.b_pk))
        return err_set(err, ERR_BAD_STATEMENT, "grant: both ends are the same");
    *ret_grant = g;
    return true;
}

bool check_grant_answer(const struct check_self *self, struct view dial_bytes,
                        const struct rpc_dial *dial, struct view bytes, struct view sig,
                        struct rpc_grant *ret_grant, struct err *err)
{
    struct rpc_grant g = { 0 };

    if (!open_grant(self, bytes, sig, &g, err))
        return false;
    const struct wanted fields[] = {
        { g.a_id, view_text(self->id), ERR_BAD_STATEMENT, "names another caller than us" },
        { g.a_pk, self->pk, ERR_WRONG_KEY, "names another identity key than ours" },
        { g.b_id, dial->b_id, ERR_BAD_STATEMENT, "is for another ID than the one dialled" },
        { g.sid, dial->sid, ERR_BAD_STATEMENT, "is of another session" },
    };
    if (!check_fields(fields, N_ELEMENTS(fields), err))
        return err_wrap(err, "grant");
    if (!is_hash_of(g.dial_hash, dial_bytes))
        return err_set(err, ERR_BAD_STATEMENT, "grant: answers another dial than ours");
    if (!is_subset(&g.caps, &dial->caps, err))
        return err_wrap(err, "grant");
    *ret_grant = g;
    return true;
}

bool check_dial(const struct rpc_grant *grant, struct view bytes, struct view sig, struct view ice,
                struct rpc_dial *ret_dial, struct err *err)
{
    struct rpc_dial d = { 0 };

    if (!rpc_statement_open(RPC_W_DIAL, grant->a_pk, bytes, sig, &d, err))
        return false;
    const struct wanted fields[] = {
        { d.netid, grant->netid, ERR_BAD_STATEMENT, "is of another network" },
        { d.sid, grant->sid, ERR_BAD_STATEMENT, "is of another session than the grant" },
        { d.a_id, grant->a_id, ERR_BAD_STATEMENT, "names another caller than the grant" },
        { d.a_pk, grant->a_pk, ERR_WRONG_KEY, "names another key of the caller than the grant" },
        { d.b_id, grant->b_id, ERR_BAD_STATEMENT, "is for another ID than the grant" },
    };
    if (!check_fields(fields, N_ELEMENTS(fields), err))
        return err_wrap(err, "dial");
    if (!is_hash_of(grant->dial_hash, bytes))
        return err_set(err, ERR_BAD_STATEMENT, "dial: is not the one that was granted");
    if (!is_hash_of(d.a_ice, ice))
        return err_set(err, ERR_BAD_STATEMENT, "dial: the ICE description is not the signed one");
    if (!check_caps(&d.caps, err) || !is_subset(&grant->caps, &d.caps, err))
        return err_wrap(err, "dial");
    *ret_dial = d;
    return true;
}

bool check_accept(const struct rpc_grant *grant, struct view grant_bytes, struct view bytes,
                  struct view sig, struct view ice, struct rpc_accept *ret_accept, struct err *err)
{
    struct rpc_accept c = { 0 };

    if (!rpc_statement_open(RPC_W_ACCEPT, grant->b_pk, bytes, sig, &c, err))
        return false;
    const struct wanted fields[] = {
        { c.netid, grant->netid, ERR_BAD_STATEMENT, "is of another network" },
        { c.sid, grant->sid, ERR_BAD_STATEMENT, "is of another session" },
        { c.b_id, grant->b_id, ERR_BAD_STATEMENT, "names another callee than the grant" },
        { c.b_pk, grant->b_pk, ERR_WRONG_KEY, "names another key of the callee than the grant" },
    };
    if (!check_fields(fields, N_ELEMENTS(fields), err))
        return err_wrap(err, "accept");
    if (!is_hash_of(c.grant_hash, grant_bytes))
        return err_set(err, ERR_BAD_STATEMENT, "accept: answers another grant");
    if (!is_hash_of(c.b_ice, ice))
        return err_set(err, ERR_BAD_STATEMENT, "accept: the ICE description is not the signed one");
    if (!check_caps(&c.caps, err) || !is_subset(&c.caps, &grant->caps, err))
        return err_wrap(err, "accept");
    *ret_accept = c;
    return true;
}

struct view check_signer(const struct rpc_trust *trust, uint64_t now, struct view bytes,
                         struct view sig)
{
    const struct rpc_manifest *manifest = rpc_trust_manifest(trust);

    for (size_t i = 0; manifest && i < manifest->keys.n; i++) {
        const struct rpc_key_entry *entry = &manifest->keys.item[i];
        if (entry->role == RPC_KEY_DEN_SIGN && entry->from <= now && now < entry->to &&
            key_verify(entry->pk, bytes, sig))
            return entry->pk;
    }
    return VIEW(NULL, 0);
}
