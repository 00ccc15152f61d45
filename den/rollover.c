/* SPDX-License-Identifier: Apache-2.0 */
#include "den/rollover.h"

#include "base/file.h"
#include "base/secret.h"
#include "den/audit.h"
#include "den/folder.h"
#include "den/keyring.h"
#include "den/record.h"
#include "den/root_key.h"
#include "vault/vault.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

const char rollover_manifests[] = "manifests";
const char rollover_number[] = "manifest_no";
const char rollover_router[] = "router_manifest_no";
const char rollover_resigned_by[] = "revocations_signed_by";

enum { MAX_TRUST = 4 * 1024 * 1024 };

bool rollover_lock(const struct den_config *config, int *ret_fd, struct err *err)
{
    _free_ char *path = file_path(config->state, "rollover.lock");

    return file_lock(path, ret_fd, err) ||
           (err->code == ERR_BUSY ? err_wrap(err, "another rollover command runs") : false);
}

bool rollover_load_trust(const struct den_config *config, struct store *store,
                         struct rpc_trust **ret_trust, struct err *err)
{
    _cleanup_(rpc_trust_freep) struct rpc_trust *trust = NULL, *newer = NULL;
    enum store_found found;
    _buf_ bytes = { 0 };

    if (!folder_load_trust(config, &trust, err) ||
        !store_blob_get(store, rollover_manifests, &found, &bytes, err))
        return false;
    if (found == STORE_FOUND &&
        (!rpc_trust_load(buf_view(&bytes), pki_verify_by_cert, &newer, err) ||
         !rpc_trust_follow(trust, newer, err)))
        return err_wrap(err, "the store's manifests");
    *ret_trust = STEAL(trust);
    return true;
}

/* ---- what is asked for -------------------------------------------------------------------------- */

struct rolling {
    const struct rollover_order *order;
    const char *dir, *signer_dir;
    char *pending_path; /* the order that waits for its answer */
    struct store *store;
    struct rpc_trust **trust;
    struct root_order asked;
    struct root_answer answer;
};

static void rolling_deinit(struct rolling *r)
{
    free(r->pending_path);
    root_order_deinit(&r->asked);
    root_answer_deinit(&r->answer);
}

static uint64_t next_no(const struct rolling *r)
{
    return rpc_trust_manifest_no(*r->trust) + 1;
}

/* To whoever the folder belongs to: the signer may be another user. */
static bool give(const char *dir, const char *path, struct err *err)
{
    struct stat st;

    if (stat(dir, &st) != 0)
        return err_errno(err, "%s", dir);
    return (st.st_uid == geteuid() && st.st_gid == getegid()) ||
           chown(path, st.st_uid, st.st_gid) == 0 || err_errno(err, "%s", path);
}

static bool put_file(const char *dir, const char *path, struct view bytes, unsigned mode,
                     struct err *err)
{
    return file_write(path, bytes, mode, err) && give(dir, path, err);
}

/* As den's other keys are. */
static bool seal(const struct rolling *r, const char *path, struct err *err)
{
    const struct buf *passphrase = r->order->config->passphrase;

    return !passphrase || !passphrase->len ||
           secret_change(path, VIEW(NULL, 0), buf_view(passphrase), err);
}

/* Files for a manifest that is not there yet are left from an order that was never answered. */
static bool make_intermediate_key(struct rolling *r, struct err *err)
{
    _free_ char *path = keyring_path(r->signer_dir, "intermediate", next_no(r), "key");
    const struct buf *passphrase = r->order->config->passphrase;
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;
    _buf_wipe_ pem = { 0 };

    return pki_key_new(PKI_P256, &key, err) && pki_key_write(key, VIEW(NULL, 0), &pem, err) &&
           secret_write(path, buf_view(&pem), passphrase ? buf_view(passphrase) : VIEW(NULL, 0),
                        err) &&
           give(r->signer_dir, path, err) && pki_csr_new(key, &r->asked.csr, err);
}

/* New keys are sealed as the others are: with a passphrase that is mistyped nobody would open them again. */
static bool check_passphrase(const struct rolling *r, struct err *err)
{
    const struct buf *passphrase = r->order->config->passphrase;
    struct keyring keys = { 0 };

    if (!passphrase || !passphrase->len)
        return true;
    if (!keyring_load(r->order->config, *r->trust, 0, NULL, &keys, err))
        return err_wrap(err, "den's keys");
    keyring_deinit(&keys);
    return true;
}

static bool make_den_key(struct rolling *r, struct err *err)
{
    bool is_sign = r->asked.what == CHANGE_DEN_SIGN;
    const char *dir = is_sign ? r->signer_dir : r->dir;
    _free_ char *path = keyring_path(dir, is_sign ? "sign" : "login", next_no(r), "key");
    _cleanup_(key_freep) struct key *key = key_new();

    unlink(path);
    if (!key_write(key, path, err) || !seal(r, path, err) || !give(dir, path, err))
        return false;
    r->asked.pk = buf_dup(key_public_view(key));
    return true;
}

/* switch, retire and back are about whatever is under way; to name something else is a mistake. */
static bool choose_what(struct rolling *r, struct err *err)
{
    const struct rollover_order *order = r->order;
    struct change_state state = change_state_of(*r->trust);
    bool is_under_way =
        order->step == CHANGE_SWITCH || order->step == CHANGE_RETIRE || order->step == CHANGE_BACK;

    r->asked.what = order->what;
    if (!is_under_way || state.stage == CHANGE_NONE)
        return true;
    if (order->has_what && order->what != state.what)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "the rollover under way is of the %s, not of the %s",
                       change_what_name(state.what), change_what_name(order->what));
    r->asked.what = state.what;
    return true;
}

static bool copy_trust(const struct rpc_trust *trust, struct rpc_trust **ret_copy, struct err *err)
{
    _buf_ bytes = { 0 };

    rpc_trust_save(trust, &bytes);
    return rpc_trust_load(buf_view(&bytes), pki_verify_by_cert, ret_copy, err);
}

/* Made before anything is asked: the order carries the public halves. */
static bool make_order(struct rolling *r, struct err *err)
{
    const struct rollover_order *order = r->order;
    struct change change;

    if (!choose_what(r, err))
        return false;
    change = (struct change){ .step = order->step, .what = r->asked.what, .pk = order->pk };
    if (!change_check(*r->trust, &change, err))
        return false;
    r->asked.step = order->step;
    r->asked.network = mem_text(r->order->config->network);
    r->asked.reason = mem_text(order->reason ? order->reason : "");
    r->asked.host = mem_text(order->host ? order->host : "");
    r->asked.made_at = order->now;
    r->asked.pk = buf_dup(order->pk);
    if (!check_passphrase(r, err))
        return false;
    if (change_needs_intermediate(&change) && !make_intermediate_key(r, err))
        return err_wrap(err, "the new intermediate");
    if (change_needs_key(&change) && !make_den_key(r, err))
        return err_wrap(err, "the new key");
    if (!copy_trust(*r->trust, &r->asked.trust, err))
        return false;
    root_order_write(&r->asked);
    return true;
}

/* ---- whether the old one may go ------------------------------------------------------------------ */

static bool check_router(struct rolling *r, struct err *err)
{
    uint64_t has, wanted = rpc_trust_manifest_no(*r->trust);

    if (!store_number_get(r->store, rollover_router, &has, err))
        return false;
    return has >= wanted || err_set(err, ERR_BUSY,
                                    "the router has manifest %" PRIu64 " of %" PRIu64
                                    ": den brings it the rest as soon as both run",
                                    has, wanted);
}

/* What den signed for ever must be signed by the key that stays. */
static bool check_resigned(struct rolling *r, struct err *err)
{
    enum store_found found;
    _buf_ by = { 0 };
    struct view pk, rest, signed_by = { 0 };
    uint64_t n = 0;

    if (r->asked.what != CHANGE_DEN_SIGN)
        return true;
    if (!store_blob_get(r->store, rollover_resigned_by, &found, &by, err))
        return false;
    rest = buf_view(&by);
    return (view_take(&rest, KEY_SIZE, &signed_by) && view_take_u64(&rest, &n) &&
            n == ROLLOVER_ALL_RESIGNED && rpc_trust_den_sign(*r->trust, r->order->now, &pk) &&
            view_eq(signed_by, pk)) ||
           err_set(err, ERR_BUSY,
                   "den has not signed its revocations anew with the new key: it does so when it "
                   "runs");
}

static bool check_heard(struct rolling *r, struct err *err)
{
    uint64_t no = rpc_trust_manifest_no(*r->trust);
    struct store_progress p;

    if (!store_identity_progress(r->store, no, r->order->now - ROLLOVER_RECENT_MS, r->order->now,
                                 &p, err))
        return false;
    return p.n_seen == 0 ||
           err_set(err, ERR_BUSY,
                   "%" PRIu64 " machines that were seen within a day have not acknowledged "
                   "manifest %" PRIu64 " (rollover status --unheard lists them)",
                   p.n_seen, no);
}

static bool check_retire(struct rolling *r, struct err *err)
{
    if (r->order->step != CHANGE_RETIRE || r->order->is_anyway)
        return true;
    return (check_router(r, err) && check_resigned(r, err) && check_heard(r, err)) ||
           err_wrap(err, "not yet (--anyway does it nevertheless)");
}

/* ---- who signs ---------------------------------------------------------------------------------- */

static bool sign_here(struct rolling *r, struct err *err)
{
    const struct rollover_order *order = r->order;
    const struct change change = { .step = r->asked.step, .what = r->asked.what };
    const struct root_key_source old = { order->root_key, r->dir, order->passphrase_fd };
    _free_ char *path = order->new_root_key ? mem_text(order->new_root_key)
                                            : keyring_path(r->dir, "root", next_no(r), "key");
    const struct root_key_source new = { path, NULL, order->new_passphrase_fd };
    _cleanup_(pki_ca_freep) struct pki_ca *root = NULL, *fresh = NULL;

    if (!root_key_load(&old, *r->trust, &root, err) ||
        (change_needs_root(&change) &&
         !root_key_make(&new, r->asked.network, order->now, &fresh, err)))
        return false;
    return root_sign(&r->asked, &(struct root_signers){ root, fresh }, order->now, &r->answer, err);
}

static bool read_answer(struct rolling *r, struct err *err)
{
    const char *path = r->order->response_path;
    _buf_ asked = { 0 }, answer = { 0 };

    if (!file_read(r->pending_path, ROOT_MAX_FILE, &asked, err))
        return err->code == ERR_NOT_FOUND
                   ? err_set(err, ERR_NOT_FOUND,
                             "no request waits for an answer: it was taken already, or --request "
                             "FILE comes first")
                   : false;
    if (!root_order_read(r->pending_path, buf_view(&asked), &r->asked, err) ||
        !file_read(path, ROOT_MAX_FILE, &answer, err) ||
        !root_answer_read(path, buf_view(&answer), &r->answer, err))
        return false;
    if (r->asked.step != r->order->step)
        return err_set(err, ERR_INVALID_ARGUMENT, "the request that waits is for %s, not for %s",
                       change_step_name(r->asked.step), change_step_name(r->order->step));
    return true;
}

/* ---- what came of it ------------------------------------------------------------------------------ */

static bool put_cert(const char *dir, const char *kind, struct view der, uint64_t no,
                     struct err *err)
{
    _free_ char *path = keyring_path(dir, kind, no, "pem");
    _buf_ pem = { 0 };

    if (!der.len)
        return true;
    pki_pem_put(&pem, "CERTIFICATE", der);
    return put_file(dir, path, buf_view(&pem), 0644, err);
}

/* By which the signer chooses among its keys. */
static bool put_manifests(struct rolling *r, struct err *err)
{
    _free_ char *path = file_path(r->signer_dir, VAULT_MANIFESTS);
    _buf_ bytes = { 0 };

    rpc_trust_save(*r->trust, &bytes);
    return put_file(r->signer_dir, path, buf_view(&bytes), 0600, err);
}

static bool record(struct rolling *r, struct err *err)
{
    _transaction_ struct store *open = r->store;
    const struct root_order *asked = &r->asked;
    uint64_t no = rpc_trust_manifest_no(*r->trust);
    char number[24], manifest[RECORD_HEX], pk[RECORD_HEX], made[RECORD_HEX];
    uint8_t hash[HASH_SIZE], made_hash[HASH_SIZE];
    struct view der = buf_view(&r->answer.intermediate);
    _buf_ bytes = { 0 };

    snprintf(number, sizeof(number), "%" PRIu64, no);
    hash_sha256(rpc_trust_manifest_bytes(*r->trust), hash);
    hash_sha256(der, made_hash);
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("number", number),
        AUDIT_TEXT("sha256", record_hex(VIEW_ARR(hash), manifest)),
        AUDIT_TEXT("step", change_step_name(asked->step)),
        AUDIT_TEXT("what", asked->step < CHANGE_RENEW ? change_what_name(asked->what) : ""),
        AUDIT_TEXT("reason", asked->reason),
        AUDIT_TEXT("host", asked->host),
        AUDIT_TEXT("key", record_hex(buf_view(&asked->pk), pk)),
        AUDIT_TEXT("intermediate", record_hex(VIEW(made_hash, der.len ? HASH_SIZE : 0), made)),
    };
    rpc_trust_save(*r->trust, &bytes);
    return store_begin(open, err) &&
           store_blob_set(open, rollover_manifests, buf_view(&bytes), err) &&
           store_number_raise(open, rollover_number, no, err) &&
           audit_append(open, r->order->now, "manifest.signed", pairs, N_ELEMENTS(pairs), err) &&
           store_commit(open, err);
}

/* Files first, then the store's one transaction, which is what counts. */
static bool install(struct rolling *r, struct err *err)
{
    uint64_t no = next_no(r);

    if (!root_accept(r->trust, &r->asked, &r->answer, r->order->now, err))
        return err_wrap(err, "what the root signed");
    return put_cert(r->dir, "intermediate", buf_view(&r->answer.intermediate), no, err) &&
           (strcmp(r->dir, r->signer_dir) == 0 ||
            put_cert(r->signer_dir, "intermediate", buf_view(&r->answer.intermediate), no, err)) &&
           put_cert(r->dir, "root", buf_view(&r->answer.root), no, err) && put_manifests(r, err) &&
           record(r, err);
}

static void put_done(const struct rolling *r, struct buf *to)
{
    static const char *const nexts[CHANGE_STEPS] = {
        [CHANGE_STAGE] = "next: rollover switch, when rollover status shows that it was heard",
        [CHANGE_SWITCH] = "next: rollover retire, when rollover status shows that it was heard",
        [CHANGE_RETIRE] = "the rollover is over",
        [CHANGE_BACK] = "rollover status shows where it is now",
        [CHANGE_REPLACE] = "the old one is out; rollover status shows who has heard of it",
    };
    const char *next = nexts[r->asked.step];

    buf_printf(to, "manifest %" PRIu64 ": %s", rpc_trust_manifest_no(*r->trust),
               change_step_name(r->asked.step));
    if (r->asked.step < CHANGE_RENEW)
        buf_printf(to, " %s", change_what_name(r->asked.what));
    buf_put_text(to, "; den takes it within a second, or when it is started\n");
    if (next)
        buf_printf(to, "%s\n", next);
    if (r->asked.what == CHANGE_ROOT && r->answer.root.len && !r->order->response_path)
        buf_put_text(to, "the new root's key is in the state folder under its passphrase: keep it, "
                         "and a copy, where you kept the old one's\n");
}

static bool write_request(struct rolling *r, struct buf *ret_text, struct err *err)
{
    const char *path = r->order->request_path;

    if (!file_write(r->pending_path, buf_view(&r->asked.text), 0600, err) ||
        !file_create(path, buf_view(&r->asked.text), 0644, err))
        return false;
    buf_printf(ret_text,
               "%s: take it to the root's machine, have it signed there\n"
               "  warren-den root sign %s --root-key FILE -o RESPONSE\n"
               "and bring the response back: the same command with --response RESPONSE instead of "
               "--request\n",
               path, path);
    return true;
}

bool rollover_step(const struct rollover_order *order, struct store *store,
                   struct rpc_trust **trust, struct buf *ret_text, struct err *err)
{
    _cleanup_(rolling_deinit) struct rolling r = {
        .order = order,
        .dir = order->config->state,
        .signer_dir = order->signer_dir ? order->signer_dir : order->config->state,
        .pending_path = file_path(order->config->state, "root.request"),
        .store = store,
        .trust = trust,
    };

    if (order->request_path && file_exists(order->request_path))
        return err_set(err, ERR_ALREADY_EXISTS, "%s exists; nothing was overwritten",
                       order->request_path);
    if (order->response_path ? !read_answer(&r, err) : !make_order(&r, err))
        return false;
    if (!check_retire(&r, err))
        return false;
    if (order->request_path)
        return write_request(&r, ret_text, err);
    if ((!order->response_path && !sign_here(&r, err)) || !install(&r, err))
        return false;
    unlink(r.pending_path);
    put_done(&r, ret_text);
    return true;
}

struct opened {
    struct store *store;
    struct rpc_trust *trust;
    int lock_fd;
};

static void opened_deinit(struct opened *o)
{
    rpc_trust_free(o->trust);
    store_free(o->store);
    if (o->lock_fd >= 0)
        close(o->lock_fd);
}

bool rollover_run(const struct rollover_order *order, struct buf *ret_text, struct err *err)
{
    _cleanup_(opened_deinit) struct opened o = { .lock_fd = -1 };

    return config_check_secrets(order->config, err) &&
           rollover_lock(order->config, &o.lock_fd, err) &&
           folder_open_store(order->config, &o.store, err) &&
           rollover_load_trust(order->config, o.store, &o.trust, err) &&
           rollover_step(order, o.store, &o.trust, ret_text, err);
}
