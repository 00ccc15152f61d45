/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/trust_state.h"
#include "rpc/statement_words.h"

#include <stdio.h>

struct rpc_trust *rpc_trust_new(const char *network, const uint8_t pin[HASH_SIZE],
                                rpc_manifest_judge *judge)
{
    struct rpc_trust *trust = mem_new(struct rpc_trust);

    snprintf(trust->network, sizeof(trust->network), "%s", network);
    memcpy(trust->pin, pin, HASH_SIZE);
    memcpy(trust->anchor, pin, HASH_SIZE);
    trust->judge = judge;
    return trust;
}

static void manifest_deinit(struct rpc_trust_manifest *m)
{
    buf_free(&m->bytes);
    for (size_t i = 0; i < m->n_signatures; i++)
        buf_free(&m->signature[i].sig);
    *m = (struct rpc_trust_manifest){ 0 };
}

void rpc_trust_free(struct rpc_trust *trust)
{
    if (!trust)
        return;
    for (size_t i = 0; i < trust->n_roots; i++)
        buf_free(&trust->root[i].der);
    for (size_t i = 0; i < trust->n_manifests; i++)
        manifest_deinit(&trust->manifest[i]);
    buf_free(&trust->heart_bytes);
    free(trust);
}

/* What was verified once needs no second look: bytes that were read are read again into views. */
static void reread(enum rpc_word word, const struct buf *bytes, void *statement)
{
    struct err err;

    if (!rpc_statement_read(word, buf_view(bytes), statement, &err))
        abort();
}

struct rpc_trust *rpc_trust_copy(const struct rpc_trust *trust)
{
    struct rpc_trust *copy = mem_dup(trust, sizeof(*trust));

    for (size_t i = 0; i < copy->n_roots; i++)
        copy->root[i].der = buf_dup(buf_view(&trust->root[i].der));
    for (size_t i = 0; i < copy->n_manifests; i++) {
        struct rpc_trust_manifest *m = &copy->manifest[i];
        m->bytes = buf_dup(buf_view(&m->bytes));
        for (size_t j = 0; j < m->n_signatures; j++)
            m->signature[j].sig = buf_dup(buf_view(&m->signature[j].sig));
    }
    copy->heart_bytes = buf_dup(buf_view(&trust->heart_bytes));
    if (copy->n_manifests)
        reread(RPC_W_MANIFEST, &copy->manifest[copy->n_manifests - 1].bytes, &copy->newest);
    if (copy->heart.hb_no)
        reread(RPC_W_HEARTBEAT, &copy->heart_bytes, &copy->heart);
    return copy;
}

void rpc_trust_swap(struct rpc_trust *trust, struct rpc_trust *from)
{
    struct rpc_trust *held = mem_dup(trust, sizeof(*trust));

    memcpy(trust, from, sizeof(*trust));
    memcpy(from, held, sizeof(*held));
    free(held);
    rpc_trust_free(from);
}

/* ---- roots ---------------------------------------------------------------------------------- */

const struct rpc_trust_root *rpc_trust_find_root(const struct rpc_trust *trust, struct view hash)
{
    for (size_t i = 0; i < trust->n_roots; i++) {
        if (view_eq(VIEW_ARR(trust->root[i].hash), hash))
            return &trust->root[i];
    }
    return NULL;
}

bool rpc_trust_add_root(struct rpc_trust *trust, struct view der, struct err *err)
{
    struct rpc_trust_root *root;
    uint8_t hash[HASH_SIZE];

    if (der.len == 0 || der.len > RPC_MAX_ROOT_DER)
        return err_set(err, ERR_BAD_WIRE, "root: empty, or longer than %d bytes", RPC_MAX_ROOT_DER);
    hash_sha256(der, hash);
    if (rpc_trust_find_root(trust, VIEW_ARR(hash)))
        return true;
    if (trust->n_roots == RPC_MAX_ROOTS)
        return err_set(err, ERR_LIMIT, "root: more than %d", RPC_MAX_ROOTS);
    root = &trust->root[trust->n_roots++];
    root->der = buf_dup(der);
    memcpy(root->hash, hash, HASH_SIZE);
    return true;
}

bool rpc_trust_has_item(const struct rpc_items *items, struct view hash)
{
    for (size_t i = 0; i < items->n; i++) {
        if (view_eq(items->item[i], hash))
            return true;
    }
    return false;
}

static bool is_root_in_use(const struct rpc_trust *trust, struct view hash)
{
    if (view_eq(VIEW_ARR(trust->pin), hash) || view_eq(VIEW_ARR(trust->anchor), hash))
        return true;
    for (size_t i = 0; i < trust->n_manifests; i++) {
        const struct rpc_trust_manifest *held = &trust->manifest[i];
        struct rpc_manifest m;
        reread(RPC_W_MANIFEST, &held->bytes, &m);
        if (rpc_trust_has_item(&m.roots, hash))
            return true;
        for (size_t j = 0; j < held->n_signatures; j++) {
            if (view_eq(VIEW_ARR(held->signature[j].root), hash))
                return true;
        }
    }
    return false;
}

void rpc_trust_prune_roots(struct rpc_trust *trust)
{
    size_t kept = 0;

    for (size_t i = 0; i < trust->n_roots; i++) {
        if (is_root_in_use(trust, VIEW_ARR(trust->root[i].hash)))
            trust->root[kept++] = trust->root[i];
        else
            buf_free(&trust->root[i].der);
    }
    trust->n_roots = kept;
}

/* ---- manifests ------------------------------------------------------------------------------ */

/* One manifest on trial: what it says, and its signatures as they are found good. */
struct trial {
    const struct rpc_trust *trust;
    struct rpc_manifest m;
    struct view bytes;
    const struct view *sigs;
    size_t n_sigs;
    uint8_t signer[RPC_MAX_SIGNERS][HASH_SIZE];
};

/* Whether signature `i` was made by the root of that hash. */
static bool is_signed_by(struct trial *t, size_t i, struct view hash)
{
    const struct rpc_trust_root *root = rpc_trust_find_root(t->trust, hash);
    struct err unused;

    if (!root || !t->trust->judge(buf_view(&root->der), t->bytes, t->sigs[i], &unused))
        return false;
    memcpy(t->signer[i], root->hash, HASH_SIZE);
    return true;
}

/* Each root that is listed but not in `known` has signed, in list order, from signature `i` on; and
 * nobody else has. */
static bool check_added(struct trial *t, size_t i, const struct rpc_items *known, struct err *err)
{
    for (size_t r = 0; r < t->m.roots.n; r++) {
        if (rpc_trust_has_item(known, t->m.roots.item[r]))
            continue;
        if (i >= t->n_sigs || !is_signed_by(t, i, t->m.roots.item[r]))
            return err_set(err, ERR_BAD_SIGNATURE, "root %zu is new and has not signed", r + 1);
        i++;
    }
    return i == t->n_sigs ||
           err_set(err, ERR_BAD_SIGNATURE, "%zu signatures, expected %zu", t->n_sigs, i);
}

/* The first of all: its root is the network's, for ever. */
static bool check_first(struct trial *t, struct err *err)
{
    struct rpc_items itself = { { t->m.netid }, 1 };

    if (!rpc_trust_has_item(&t->m.roots, t->m.netid))
        return err_set(err, ERR_BAD_STATEMENT, "netid: not one of its roots");
    if (!is_signed_by(t, 0, t->m.netid))
        return err_set(err, ERR_BAD_SIGNATURE, "not signed by the network's first root");
    return check_added(t, 1, &itself, err);
}

/* What begins our chain must be signed by the root we were told of; of a later one nothing else can
 * be checked, as what went before is not known. */
static bool check_anchor(struct trial *t, struct err *err)
{
    struct view anchor = VIEW_ARR(t->trust->anchor);

    if (!rpc_trust_find_root(t->trust, anchor))
        return err_set(err, ERR_BAD_PIN, "no root has the pinned fingerprint");
    if (t->m.manifest_no == 1 && !check_first(t, err))
        return false;
    for (size_t i = 0; i < t->n_sigs; i++) {
        if (is_signed_by(t, i, anchor))
            return true;
    }
    return err_set(err, ERR_BAD_PIN, "not signed by the pinned root");
}

static bool check_next(struct trial *t, struct err *err)
{
    const struct rpc_trust_manifest *last = &t->trust->manifest[t->trust->n_manifests - 1];
    const struct rpc_items *before = &t->trust->newest.roots;
    uint8_t hash[HASH_SIZE];

    hash_sha256(buf_view(&last->bytes), hash);
    if (t->m.manifest_no != last->number + 1)
        return err_set(err, ERR_BAD_STATEMENT, "number %llu is missing",
                       (unsigned long long)last->number + 1);
    if (!view_eq(t->m.netid, t->trust->newest.netid))
        return err_set(err, ERR_BAD_STATEMENT, "netid: another network's");
    if (!view_eq(t->m.previous, VIEW_ARR(hash)))
        return err_set(err, ERR_BAD_STATEMENT, "previous: not the hash of number %llu",
                       (unsigned long long)last->number);
    for (size_t r = 0; r < before->n; r++) {
        if (is_signed_by(t, 0, before->item[r]))
            return check_added(t, 1, before, err);
    }
    return err_set(err, ERR_BAD_SIGNATURE, "not signed by a root of number %llu",
                   (unsigned long long)last->number);
}

static bool check_roots_known(struct trial *t, struct err *err)
{
    for (size_t i = 0; i < t->m.roots.n; i++) {
        if (!rpc_trust_find_root(t->trust, t->m.roots.item[i]))
            return err_set(err, ERR_BAD_STATEMENT, "root %zu did not come with it", i + 1);
    }
    return true;
}

/* The oldest goes; the one after it becomes what our chain hangs from. It was verified, so its
 * first signer is known. */
static void drop_oldest(struct rpc_trust *trust)
{
    manifest_deinit(&trust->manifest[0]);
    trust->n_manifests--;
    memmove(&trust->manifest[0], &trust->manifest[1],
            trust->n_manifests * sizeof(trust->manifest[0]));
    memset(&trust->manifest[trust->n_manifests], 0, sizeof(trust->manifest[0]));
    memcpy(trust->anchor, trust->manifest[0].signature[0].root, HASH_SIZE);
}

static void take(struct rpc_trust *trust, const struct trial *t)
{
    struct rpc_trust_manifest *m;

    if (trust->n_manifests == RPC_MAX_MANIFESTS)
        drop_oldest(trust);
    m = &trust->manifest[trust->n_manifests++];
    m->bytes = buf_dup(t->bytes);
    m->number = t->m.manifest_no;
    m->n_signatures = t->n_sigs;
    for (size_t i = 0; i < t->n_sigs; i++) {
        m->signature[i].sig = buf_dup(t->sigs[i]);
        memcpy(m->signature[i].root, t->signer[i], HASH_SIZE);
    }
    reread(RPC_W_MANIFEST, &m->bytes, &trust->newest);
}

/* A number that is known already must be the same manifest. */
static bool check_known(const struct rpc_trust *trust, uint64_t number, struct view bytes,
                        struct err *err)
{
    uint64_t first = trust->manifest[0].number;

    if (number < first)
        return err_set(err, ERR_STALE, "older than what is kept");
    if (!view_eq(buf_view(&trust->manifest[number - first].bytes), bytes))
        return err_set(err, ERR_BAD_STATEMENT, "not the manifest that is known by this number");
    return true;
}

static bool add_manifest(struct rpc_trust *trust, struct trial *t, struct err *err)
{
    if (t->n_sigs == 0 || t->n_sigs > RPC_MAX_SIGNERS)
        return err_set(err, ERR_BAD_SIGNATURE, "no signature, or more than %d", RPC_MAX_SIGNERS);
    for (size_t i = 0; i < t->n_sigs; i++) {
        if (t->sigs[i].len > RPC_MAX_MANIFEST_SIG)
            return err_set(err, ERR_BAD_SIGNATURE, "a signature is longer than %d bytes",
                           RPC_MAX_MANIFEST_SIG);
    }
    if (!view_eq_text(t->m.network, trust->network))
        return err_set(err, ERR_BAD_STATEMENT, "network: another one's");
    if (t->m.roots.n > RPC_MAX_ROOTS)
        return err_set(err, ERR_LIMIT, "more than %d roots", RPC_MAX_ROOTS);
    if (trust->n_manifests && t->m.manifest_no <= trust->newest.manifest_no)
        return check_known(trust, t->m.manifest_no, t->bytes, err);
    if (!(trust->n_manifests ? check_next(t, err) : check_anchor(t, err)) ||
        !check_roots_known(t, err))
        return false;
    take(trust, t);
    return true;
}

bool rpc_trust_add_manifest(struct rpc_trust *trust, struct view bytes, const struct view *sigs,
                            size_t n_sigs, struct err *err)
{
    struct trial t = { .trust = trust, .bytes = bytes, .sigs = sigs, .n_sigs = n_sigs };

    /* Read before it is verified: who must sign is in the chain, but for a newcomer in the bytes. */
    if (!rpc_statement_read(RPC_W_MANIFEST, bytes, &t.m, err))
        return false;
    return add_manifest(trust, &t, err) ||
           err_wrap(err, "manifest %llu", (unsigned long long)t.m.manifest_no);
}

uint64_t rpc_trust_first_listing(const struct rpc_trust *trust, struct view hash)
{
    for (size_t i = 0; i < trust->n_manifests; i++) {
        struct rpc_manifest m;
        reread(RPC_W_MANIFEST, &trust->manifest[i].bytes, &m);
        if (rpc_trust_has_item(&m.roots, hash) || rpc_trust_has_item(&m.intermediates, hash))
            return m.manifest_no;
    }
    return 0;
}

/* The first key of a role, or that key. */
static const struct rpc_key_entry *find_key(const struct rpc_manifest *m, enum rpc_key_role role,
                                            const struct view *pk)
{
    for (size_t i = 0; i < m->keys.n; i++) {
        const struct rpc_key_entry *key = &m->keys.item[i];
        if (key->role == role && (!pk || view_eq(key->pk, *pk)))
            return key;
    }
    return NULL;
}

uint64_t rpc_trust_first_key(const struct rpc_trust *trust, enum rpc_key_role role, struct view pk)
{
    for (size_t i = 0; i < trust->n_manifests; i++) {
        struct rpc_manifest m;
        reread(RPC_W_MANIFEST, &trust->manifest[i].bytes, &m);
        if (find_key(&m, role, &pk))
            return m.manifest_no;
    }
    return 0;
}

bool rpc_trust_key_at(const struct rpc_trust *trust, uint64_t no, enum rpc_key_role role,
                      struct view *ret_pk)
{
    for (size_t i = 0; i < trust->n_manifests; i++) {
        const struct rpc_key_entry *key;
        struct rpc_manifest m;
        if (trust->manifest[i].number != no)
            continue;
        reread(RPC_W_MANIFEST, &trust->manifest[i].bytes, &m);
        key = find_key(&m, role, NULL);
        if (key)
            *ret_pk = key->pk;
        return key != NULL;
    }
    return false;
}

/* ---- asking --------------------------------------------------------------------------------- */

bool rpc_trust_is_ready(const struct rpc_trust *trust)
{
    return trust->n_manifests > 0;
}

const char *rpc_trust_network(const struct rpc_trust *trust)
{
    return trust->network;
}

struct view rpc_trust_pin(const struct rpc_trust *trust)
{
    return VIEW_ARR(trust->pin);
}

uint64_t rpc_trust_manifest_no(const struct rpc_trust *trust)
{
    return trust->newest.manifest_no;
}

struct view rpc_trust_netid(const struct rpc_trust *trust)
{
    return trust->newest.netid;
}

const struct rpc_manifest *rpc_trust_manifest(const struct rpc_trust *trust)
{
    return trust->n_manifests ? &trust->newest : NULL;
}

struct view rpc_trust_manifest_bytes(const struct rpc_trust *trust)
{
    return trust->n_manifests ? buf_view(&trust->manifest[trust->n_manifests - 1].bytes)
                              : (struct view){ 0 };
}

bool rpc_trust_manifest_signature(const struct rpc_trust *trust, size_t i, struct view *ret_sig,
                                  struct view *ret_root_der)
{
    const struct rpc_trust_manifest *m =
        trust->n_manifests ? &trust->manifest[trust->n_manifests - 1] : NULL;
    const struct rpc_trust_root *root;

    if (!m || i >= m->n_signatures)
        return false;
    root = rpc_trust_find_root(trust, VIEW_ARR(m->signature[i].root));
    *ret_sig = buf_view(&m->signature[i].sig);
    *ret_root_der = root ? buf_view(&root->der) : (struct view){ 0 };
    return true;
}

bool rpc_trust_root(const struct rpc_trust *trust, size_t i, struct view *ret_der)
{
    const struct rpc_trust_root *root;

    if (!trust->n_manifests || i >= trust->newest.roots.n)
        return false;
    root = rpc_trust_find_root(trust, trust->newest.roots.item[i]);
    if (!root)
        return false;
    *ret_der = buf_view(&root->der);
    return true;
}

static bool is_in_force(const struct rpc_key_entry *entry, uint64_t now)
{
    return entry->from <= now && now < entry->to;
}

bool rpc_trust_check_key(const struct rpc_trust *trust, enum rpc_key_role role, struct view pk,
                         uint64_t now, struct err *err)
{
    static const char *const roles[] = { "", "den-login", "den-sign", "router" };
    bool is_listed = false;

    for (size_t i = 0; i < trust->newest.keys.n; i++) {
        const struct rpc_key_entry *entry = &trust->newest.keys.item[i];
        if (entry->role != role || !view_eq(entry->pk, pk))
            continue;
        if (is_in_force(entry, now))
            return true;
        is_listed = true;
    }
    return err_set(err, ERR_UNLISTED_KEY, "manifest %llu %s as a key of %s",
                   (unsigned long long)trust->newest.manifest_no,
                   is_listed ? "lists this key for another time" : "does not list this key",
                   roles[role]);
}

bool rpc_trust_den_sign(const struct rpc_trust *trust, uint64_t now, struct view *ret_pk)
{
    for (size_t i = 0; i < trust->newest.keys.n; i++) {
        const struct rpc_key_entry *entry = &trust->newest.keys.item[i];
        if (entry->role == RPC_KEY_DEN_SIGN && is_in_force(entry, now)) {
            *ret_pk = entry->pk;
            return true;
        }
    }
    return false;
}

bool rpc_trust_read(const struct rpc_trust *trust, enum rpc_word word, struct view bytes,
                    void *ret_statement, struct err *err)
{
    union rpc_any_statement any;

    if (!rpc_statement_read(word, bytes, &any, err))
        return false;
    if (!view_eq(any.netid, trust->newest.netid))
        return err_set(err, ERR_BAD_STATEMENT, "%s: netid: another network's", rpc_word_name(word));
    memcpy(ret_statement, &any, rpc_word_shape(word)->struct_size);
    return true;
}

bool rpc_trust_open(const struct rpc_trust *trust, enum rpc_word word, struct view bytes,
                    struct view sig, uint64_t now, void *ret_statement, struct err *err)
{
    bool is_signed = false;

    for (size_t i = 0; i < trust->newest.keys.n && !is_signed; i++) {
        const struct rpc_key_entry *entry = &trust->newest.keys.item[i];
        is_signed = entry->role == RPC_KEY_DEN_SIGN && is_in_force(entry, now) &&
                    key_verify(entry->pk, bytes, sig);
    }
    if (!is_signed)
        return err_set(err, ERR_BAD_SIGNATURE, "%s: not signed by a den-sign key of manifest %llu",
                       rpc_word_name(word), (unsigned long long)trust->newest.manifest_no);
    return rpc_trust_read(trust, word, bytes, ret_statement, err);
}
