/* SPDX-License-Identifier: Apache-2.0 */
/* What den-sign may say. Each word has its own check; what has none is not signed. */
#include "vault/inside.h"

#include "base/text.h"

#include <inttypes.h>

enum {
    HB_AHEAD = 1000000, /* a number that jumps further would use all of them up */
    EPOCH_BITS = 40,    /* but for the first ones of an epoch: den came back from a backup */
    EPOCHS_AHEAD = 16,
};
#define MAX_ADMISSION (91 * DAY_MS)
#define MAX_NAME      (DAY_MS + VAULT_SKEW)

static bool check_admission(struct vault *v, const void *statement, _unused_ struct view bytes,
                            struct err *err)
{
    const struct rpc_admission *a = statement;

    if (!view_eq_text(a->network, vault_book_network(v->book)))
        return err_set(err, ERR_BAD_STATEMENT, "for another network");
    if (a->not_after > v->now + MAX_ADMISSION)
        return err_set(err, ERR_BAD_STATEMENT, "not_after: more than 91 days from now");
    return vault_check_now(v, a->issued_at, "issued_at", err) &&
           vault_check_key(v, a->id, a->client_pk, err);
}

static bool check_grant(struct vault *v, const void *statement, _unused_ struct view bytes,
                        struct err *err)
{
    const struct rpc_grant *g = statement;

    return vault_check_now(v, g->issued_at, "issued_at", err) &&
           vault_check_beacon(v, g->beacon, err) && vault_check_key(v, g->a_id, g->a_pk, err) &&
           vault_check_key(v, g->b_id, g->b_pk, err);
}

static bool check_name(struct vault *v, const void *statement, _unused_ struct view bytes,
                       struct err *err)
{
    const struct rpc_name *n = statement;

    if (n->not_after > v->now + MAX_NAME)
        return err_set(err, ERR_BAD_STATEMENT, "not_after: more than a day from now");
    return vault_check_key(v, n->id, n->client_pk, err);
}

static bool check_end(struct vault *v, const void *statement, _unused_ struct view bytes,
                      struct err *err)
{
    return vault_check_now(v, ((const struct rpc_end *)statement)->at, "at", err);
}

/* What den says of an ID is den's to know. */
static bool check_who(_unused_ struct vault *v, _unused_ const void *statement,
                      _unused_ struct view bytes, _unused_ struct err *err)
{
    return true;
}

static bool check_permit(struct vault *v, const void *statement, _unused_ struct view bytes,
                         struct err *err)
{
    const struct rpc_permit *p = statement;

    return vault_check_now(v, p->issued_at, "issued_at", err) &&
           vault_check_key(v, p->a_id, p->a_pk, err) && vault_check_key(v, p->b_id, p->b_pk, err);
}

static bool check_time(struct vault *v, const void *statement, _unused_ struct view bytes,
                       struct err *err)
{
    return vault_check_now(v, ((const struct rpc_time *)statement)->time, "time", err);
}

/* One that was signed before is signed again, so that a lost answer costs nothing; another one under its number never is. */
static bool check_revocation(struct vault *v, const void *statement, struct view bytes,
                             struct err *err)
{
    const struct rpc_revocation *r = statement;
    uint64_t n = vault_book_n_revoked(v->book);
    uint8_t head[HASH_SIZE];

    hash_sha256(bytes, head);
    if (r->rev_no <= n)
        return view_eq(VIEW_ARR(head), vault_book_revoked_head(v->book, r->rev_no)) ||
               err_set(err, ERR_STALE,
                       "revocation %" PRIu64 " was signed before, and is another one", r->rev_no);
    if (r->rev_no != n + 1)
        return err_set(err, ERR_BAD_STATEMENT, "rev_no: expected %" PRIu64, n + 1);
    if (!view_eq(r->previous, vault_book_revoked_head(v->book, n)))
        return err_set(err, ERR_STALE, "previous: not revocation %" PRIu64, n);
    vault_book_revoke(v->book, head, r->kind == RPC_REVOKED_IDENTITY ? r->subject : VIEW(NULL, 0),
                      v->now);
    return true;
}

/* ---- heartbeats -------------------------------------------------------------------------------------- */

static bool begins_epoch(uint64_t was, uint64_t is)
{
    uint64_t epochs = (is >> EPOCH_BITS) - (was >> EPOCH_BITS);

    return epochs >= 1 && epochs <= EPOCHS_AHEAD &&
           (is & (((uint64_t)1 << EPOCH_BITS) - 1)) <= HB_AHEAD;
}

static bool check_numbers(const struct vault_numbers *n, const struct rpc_heartbeat *h,
                          struct err *err)
{
    const struct {
        const char *what;
        uint64_t was, is;
    } rows[] = {
        { "crl_no", n->hb_crl_no, h->crl_no },
        { "rev_no", n->hb_rev_no, h->rev_no },
        { "manifest_no", n->manifest_no, h->manifest_no },
        { "policy_no", n->policy_no, h->policy_no },
        { "audit_no", n->audit_no, h->audit_no },
    };

    if (h->hb_no <= n->hb_no)
        return err_set(err, ERR_STALE, "hb_no: %" PRIu64 ", and %" PRIu64 " was signed before",
                       h->hb_no, n->hb_no);
    if (h->hb_no - n->hb_no > HB_AHEAD && !begins_epoch(n->hb_no, h->hb_no))
        return err_set(err, ERR_BAD_STATEMENT, "hb_no: far above the one before");
    for (size_t i = 0; i < N_ELEMENTS(rows); i++)
        if (rows[i].is < rows[i].was)
            return err_set(err, ERR_STALE, "%s: %" PRIu64 ", and %" PRIu64 " was signed before",
                           rows[i].what, rows[i].is, rows[i].was);
    return true;
}

static bool is_zero(const uint8_t *hash)
{
    static const uint8_t zeros[HASH_SIZE];

    return memcmp(hash, zeros, HASH_SIZE) == 0;
}

/* What it says of lists, revocations and audit is what was signed, or said, before. */
static bool check_heads(struct vault *v, const struct rpc_heartbeat *h, struct err *err)
{
    const struct vault_numbers *n = vault_book_numbers(v->book);

    if (h->crl_no > n->crl_no || (h->crl_no == n->crl_no && !is_zero(n->crl_hash) &&
                                  !view_eq(h->crl_hash, VIEW_ARR(n->crl_hash))))
        return err_set(err, ERR_BAD_STATEMENT, "crl_no: not a list that was signed here");
    if (h->rev_no > vault_book_n_revoked(v->book) ||
        !view_eq(h->rev_head, vault_book_revoked_head(v->book, h->rev_no)))
        return err_set(err, ERR_BAD_STATEMENT, "rev_head: not a revocation that was signed here");
    if (h->audit_no == n->audit_no && !is_zero(n->audit_head) &&
        !view_eq(h->audit_head, VIEW_ARR(n->audit_head)))
        return err_set(err, ERR_STALE, "audit_head: another one than was signed before");
    return true;
}

static void take_beacon(struct vault_numbers *n, struct view beacon)
{
    if (view_eq(beacon, VIEW_ARR(n->beacons[0])))
        return;
    memmove(n->beacons[1], n->beacons[0], sizeof(n->beacons) - sizeof(n->beacons[0]));
    memcpy(n->beacons[0], beacon.data, VAULT_BEACON);
}

static bool check_heartbeat(struct vault *v, const void *statement, _unused_ struct view bytes,
                            struct err *err)
{
    struct vault_numbers *n = vault_book_numbers(v->book);
    const struct rpc_heartbeat *h = statement;

    if (!vault_check_now(v, h->time, "time", err) || !check_numbers(n, h, err) ||
        !check_heads(v, h, err))
        return false;
    n->hb_no = h->hb_no;
    n->hb_crl_no = h->crl_no;
    n->hb_rev_no = h->rev_no;
    n->manifest_no = h->manifest_no;
    n->policy_no = h->policy_no;
    n->audit_no = h->audit_no;
    memcpy(n->audit_head, h->audit_head.data, HASH_SIZE);
    take_beacon(n, h->beacon);
    return vault_book_keep_numbers(v->book, err);
}

/* ---- one after the other -------------------------------------------------------------------------------- */

static const struct {
    size_t netid_at;
    bool (*check)(struct vault *v, const void *statement, struct view bytes, struct err *err);
} words[RPC_N_WORDS] = {
    [RPC_W_ADMISSION] = { offsetof(struct rpc_admission, netid), check_admission },
    [RPC_W_GRANT] = { offsetof(struct rpc_grant, netid), check_grant },
    [RPC_W_HEARTBEAT] = { offsetof(struct rpc_heartbeat, netid), check_heartbeat },
    [RPC_W_TIME] = { offsetof(struct rpc_time, netid), check_time },
    [RPC_W_REVOKE] = { offsetof(struct rpc_revocation, netid), check_revocation },
    [RPC_W_NAME] = { offsetof(struct rpc_name, netid), check_name },
    [RPC_W_END] = { offsetof(struct rpc_end, netid), check_end },
    [RPC_W_PERMIT] = { offsetof(struct rpc_permit, netid), check_permit },
    [RPC_W_WHO] = { offsetof(struct rpc_who, netid), check_who },
};

static bool check(struct vault *v, uint8_t word, struct view bytes, struct err *err)
{
    union {
        struct rpc_admission a;
        struct rpc_grant g;
        struct rpc_heartbeat h;
        struct rpc_time t;
        struct rpc_revocation r;
        struct rpc_name n;
        struct rpc_end e;
        struct rpc_permit p;
        struct rpc_who w;
    } any;

    if (word >= RPC_N_WORDS)
        return err_set(err, ERR_BAD_WIRE, "no such statement");
    if (!words[word].check)
        return err_set(err, ERR_NOT_AUTHORIZED, "%s: not for den to sign",
                       rpc_word_name((enum rpc_word)word));
    if (!rpc_statement_read((enum rpc_word)word, bytes, &any, err))
        return false;
    const struct view *netid = (const void *)((const char *)&any + words[word].netid_at);
    return (vault_check_netid(v, *netid, err) && words[word].check(v, &any, bytes, err)) ||
           err_wrap(err, "%s", rpc_word_name((enum rpc_word)word));
}

struct asked {
    const struct key *key;
    struct view bytes;
    struct err why; /* refused */
    uint8_t sig[SIG_SIZE];
};

static void sign_one(void *user, _unused_ unsigned who, size_t at)
{
    struct asked *asked = (struct asked *)user + at;

    if (asked->why.code == ERR_NONE)
        key_sign(asked->key, asked->bytes, asked->sig);
}

/* What is left behind them is the caller's to judge. */
static bool read_asked(struct vault *v, struct vault_in *in, struct asked *all, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t word = vault_u8(in);
        all[i].key = v->keys.sign;
        all[i].bytes = vault_bytes(in, RPC_MAX_STATEMENT);
        if (in->is_bad)
            return false;
        if (!check(v, word, all[i].bytes, &all[i].why))
            vault_log_refusal(v, "statement", &all[i].why);
    }
    return vault_end(in);
}

bool vault_statements(struct vault *v, struct vault_in *in, struct buf *answer,
                      _unused_ struct err *err)
{
    uint16_t n = vault_u16(in);
    _free_ struct asked *all = NULL;

    if (in->is_bad || n > VAULT_MAX_BATCH) {
        in->is_bad = true;
        return false;
    }
    all = mem_array(struct asked, n + 1);
    if (!read_asked(v, in, all, n))
        return false;
    crew_run(v->crew, sign_one, all, n);
    buf_put_u8(answer, VAULT_YES);
    for (size_t i = 0; i < n; i++) {
        if (all[i].why.code != ERR_NONE) {
            vault_put_refusal(answer, &all[i].why);
            continue;
        }
        buf_put_u8(answer, VAULT_YES);
        vault_put(answer, VIEW_ARR(all[i].sig));
    }
    return true;
}

/* ---- a new key of den's ------------------------------------------------------------------------------------ */

bool vault_is_den_sign(const struct vault *v, struct view pk)
{
    const struct rpc_manifest *m = v->keys.trust ? rpc_trust_manifest(v->keys.trust) : NULL;
    bool is = view_eq(pk, key_public_view(v->keys.sign));

    for (size_t i = 0; m && i < m->keys.n; i++)
        is |= m->keys.item[i].role == RPC_KEY_DEN_SIGN && view_eq(m->keys.item[i].pk, pk);
    return is;
}

/* What an operator ordered once, and an earlier key of ours signed, holds under the present one. */
bool vault_re_sign(struct vault *v, struct vault_in *in, struct buf *answer, struct err *err)
{
    struct view bytes = vault_bytes(in, RPC_MAX_STATEMENT), sig = vault_fixed(in, SIG_SIZE);
    uint8_t new_sig[SIG_SIZE];
    struct rpc_rekey k;

    if (!vault_end(in))
        return false;
    if (!rpc_statement_read(RPC_W_REKEY, bytes, &k, err) || !vault_check_netid(v, k.netid, err))
        return false;
    if (!key_verify(key_public_view(v->keys.sign), bytes, sig) &&
        !(v->keys.trust && rpc_trust_is_by_a_den(v->keys.trust, bytes, sig)))
        return err_set(err, ERR_BAD_SIGNATURE, "rekey: not signed by an earlier key of den's");
    key_sign(v->keys.sign, bytes, new_sig);
    buf_put_u8(answer, VAULT_YES);
    vault_put(answer, VIEW_ARR(new_sig));
    return true;
}
