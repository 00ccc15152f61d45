/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/revoked.h"
#include "base/map.h"
#include "rpc/trust_state.h"
#include "rpc/value.h"

enum { MAX_SUBJECT = 33 };

static const char file_head[] = "warren revocations 1\n";

struct rpc_revoked {
    uint64_t no;
    uint8_t head[HASH_SIZE];
    struct map *subjects;   /* kind, then subject: for kinds 1 to 3 */
    struct map *admissions; /* ID: uint64_t, the lowest number that is good */
};

struct rpc_revoked *rpc_revoked_new(void)
{
    struct rpc_revoked *revoked = mem_new(struct rpc_revoked);

    revoked->subjects = map_new();
    revoked->admissions = map_new();
    return revoked;
}

void rpc_revoked_free(struct rpc_revoked *revoked)
{
    size_t cursor = 0;
    struct view id;
    void *least;

    if (!revoked)
        return;
    while (map_next(revoked->admissions, &cursor, &id, &least))
        free(least);
    map_free(revoked->admissions);
    map_free(revoked->subjects);
    free(revoked);
}

uint64_t rpc_revoked_no(const struct rpc_revoked *revoked)
{
    return revoked->no;
}

struct view rpc_revoked_head(const struct rpc_revoked *revoked)
{
    return VIEW_ARR(revoked->head);
}

static struct view subject_key(uint64_t kind, struct view subject, uint8_t to[MAX_SUBJECT])
{
    size_t len = subject.len < MAX_SUBJECT - 1 ? subject.len : MAX_SUBJECT - 1;

    to[0] = (uint8_t)kind;
    if (len)
        memcpy(to + 1, subject.data, len);
    return VIEW(to, 1 + len);
}

static void raise_admissions(struct rpc_revoked *revoked, const struct rpc_revocation *r)
{
    uint64_t *least = map_get(revoked->admissions, r->id), to = 0;
    struct view subject = r->subject;

    if (!view_take_u64(&subject, &to))
        abort(); /* it was read */
    if (!least) {
        least = mem_new(uint64_t);
        map_set(revoked->admissions, r->id, least);
    }
    *least = to > *least ? to : *least;
}

static void take(struct rpc_revoked *revoked, const struct rpc_revocation *r,
                 const uint8_t head[HASH_SIZE])
{
    uint8_t key[MAX_SUBJECT];

    if (r->kind == RPC_REVOKED_ADMISSIONS)
        raise_admissions(revoked, r);
    else
        map_set(revoked->subjects, subject_key(r->kind, r->subject, key), revoked);
    revoked->no = r->rev_no;
    memcpy(revoked->head, head, HASH_SIZE);
}

bool rpc_revoked_add(struct rpc_revoked *revoked, const struct rpc_trust *trust, struct view bytes,
                     struct view sig, uint64_t now, struct rpc_revoked_news *ret_news,
                     struct err *err)
{
    struct rpc_revoked_news news = { .step = RPC_REVOKED_KNOWN };
    struct rpc_revocation *r = &news.revocation;
    uint8_t hash[HASH_SIZE];

    *ret_news = news;
    if (!rpc_trust_open(trust, RPC_W_REVOKE, bytes, sig, now, r, err))
        return false;
    hash_sha256(bytes, hash);
    if (r->rev_no == revoked->no && !view_eq(VIEW_ARR(hash), VIEW_ARR(revoked->head)))
        ret_news->is_fork = true;
    else if (r->rev_no == revoked->no + 1 && !view_eq(r->previous, VIEW_ARR(revoked->head)))
        ret_news->is_fork = true;
    if (ret_news->is_fork)
        return err_set(err, ERR_BAD_STATEMENT,
                       "revocation %llu: den signed another one of this number, or before it",
                       (unsigned long long)r->rev_no);
    if (r->rev_no > revoked->no + 1)
        news.step = RPC_REVOKED_GAP;
    if (r->rev_no == revoked->no + 1) {
        news.step = RPC_REVOKED_TAKEN;
        take(revoked, r, hash);
    }
    *ret_news = news;
    return true;
}

bool rpc_revoked_has(const struct rpc_revoked *revoked, enum rpc_revoked_kind kind,
                     struct view subject)
{
    uint8_t key[MAX_SUBJECT];

    return map_get(revoked->subjects, subject_key(kind, subject, key)) != NULL;
}

uint64_t rpc_revoked_min_adm_no(const struct rpc_revoked *revoked, struct view id)
{
    const uint64_t *least = map_get(revoked->admissions, id);

    return least ? *least : 0;
}

bool rpc_revoked_is_behind(const struct rpc_revoked *revoked, const struct rpc_trust *trust)
{
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(trust);

    return heart && heart->rev_no > revoked->no;
}

/* ---- on disk -------------------------------------------------------------------------------- */

void rpc_revoked_put_head(struct buf *to)
{
    buf_put_text(to, file_head);
}

void rpc_revoked_put_record(struct buf *to, struct view bytes, struct view sig)
{
    buf_put_u32(to, (uint32_t)bytes.len);
    buf_put(to, bytes);
    buf_put(to, sig);
}

bool rpc_revoked_skip_head(struct view *file)
{
    bool is_ours = view_starts(*file, view_text(file_head));

    *file = view_sub(*file, sizeof(file_head) - 1, file->len);
    return is_ours;
}

bool rpc_revoked_take_record(struct view *rest, struct view *ret_bytes, struct view *ret_sig)
{
    struct view at = *rest;
    uint32_t len;

    if (!view_take_u32(&at, &len) || len > RPC_MAX_STATEMENT || !view_take(&at, len, ret_bytes) ||
        !view_take(&at, SIG_SIZE, ret_sig))
        return false;
    *rest = at;
    return true;
}

/* Whether the chain of records up to the number that the heartbeat names ends in the head that it
 * names: den signed that one, and so all before it. */
static bool is_anchored(struct view records, const struct rpc_heartbeat *heart)
{
    struct view bytes, sig;
    uint8_t hash[HASH_SIZE];
    uint64_t n = 0;

    while (heart && n < heart->rev_no && rpc_revoked_take_record(&records, &bytes, &sig))
        n++;
    if (!n || n != heart->rev_no)
        return false;
    hash_sha256(bytes, hash);
    return view_eq(VIEW_ARR(hash), heart->rev_head);
}

static bool load_record(struct rpc_revoked *revoked, const struct rpc_trust *trust,
                        struct view bytes, struct err *err)
{
    struct rpc_revocation r;
    uint8_t hash[HASH_SIZE];

    if (!rpc_trust_read(trust, RPC_W_REVOKE, bytes, &r, err))
        return false;
    if (r.rev_no != revoked->no + 1 || !view_eq(r.previous, VIEW_ARR(revoked->head)))
        return err_set(err, ERR_BAD_CONFIG, "revocation %llu does not follow from %llu",
                       (unsigned long long)r.rev_no, (unsigned long long)revoked->no);
    hash_sha256(bytes, hash);
    take(revoked, &r, hash);
    return true;
}

static bool load(struct rpc_revoked *revoked, const struct rpc_trust *trust, struct view *records,
                 struct err *err)
{
    const struct rpc_heartbeat *heart = rpc_trust_heartbeat(trust);
    uint64_t n_anchored = is_anchored(*records, heart) ? heart->rev_no : 0;
    struct view bytes, sig;

    while (rpc_revoked_take_record(records, &bytes, &sig)) {
        if (revoked->no >= n_anchored && !rpc_trust_is_by_a_den(trust, bytes, sig))
            return err_set(err, ERR_BAD_SIGNATURE,
                           "revocation %llu: not signed by a den-sign key of any kept manifest",
                           (unsigned long long)revoked->no + 1);
        if (!load_record(revoked, trust, bytes, err))
            return false;
    }
    return true;
}

bool rpc_revoked_load(struct view bytes, const struct rpc_trust *trust,
                      struct rpc_revoked **ret_revoked, size_t *ret_len, struct err *err)
{
    _cleanup_(rpc_revoked_freep) struct rpc_revoked *revoked = rpc_revoked_new();
    struct view records = bytes;

    if (!rpc_revoked_skip_head(&records))
        return err_set(err, ERR_BAD_CONFIG, "revocations: not one of ours");
    if (!load(revoked, trust, &records, err))
        return err_wrap(err, "revocations");
    *ret_len = bytes.len - records.len;
    *ret_revoked = STEAL(revoked);
    return true;
}
