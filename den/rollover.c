/* SPDX-License-Identifier: Apache-2.0 */
#include "den/rollover.h"

#include "base/file.h"
#include "base/text.h"
#include "den/audit.h"
#include "den/deed.h"
#include "den/folder.h"
#include "den/keyring.h"
#include "den/keys.h"
#include "den/record.h"
#include "den/rolling.h"
#include "den/root_key.h"
#include "vault/vault.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

const char rollover_manifests[] = "manifests";
const char rollover_number[] = "manifest_no";
const char rollover_router[] = "router_manifest_no";
const char rollover_router_pk[] = "router_pk";
const char rollover_refused[] = "router_refused_manifest";
const char rollover_resigned_by[] = "revocations_signed_by";

enum { MAX_TRUST = 4 * 1024 * 1024, LEAST_DIGITS = 8 };

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

/* What the operator named is read and written as the operator. */
static bool read_named(const char *path, size_t max, struct buf *ret_bytes, struct err *err)
{
    const struct owner self = owner_self();
    _acting_ struct acting as = { 0 };

    return acting_begin(&as, &self, err) && file_read(path, max, ret_bytes, err);
}

/* One key of the manifest's routers begins so. */
static bool find_listed(struct rolling *r, struct view digits, struct buf *ret_pk, struct err *err)
{
    const struct rpc_key_list *keys = &rpc_trust_manifest(*r->trust)->keys;
    size_t n = 0;

    for (size_t i = 0; i < keys->n; i++) {
        _buf_ hex = { 0 };
        text_put_hex(&hex, keys->item[i].pk);
        if (keys->item[i].role != RPC_KEY_ROUTER || !view_starts(buf_view(&hex), digits))
            continue;
        buf_clear(ret_pk);
        buf_put(ret_pk, keys->item[i].pk);
        n++;
    }
    if (n == 1)
        return true;
    return err_set(err, n ? ERR_INVALID_ARGUMENT : ERR_NOT_FOUND,
                   n ? "%.*s: %zu routers have keys that begin so: give more digits"
                     : "%.*s: the manifest lists no router with such a key (rollover status shows "
                       "those that it does)",
                   VIEW_FMT(digits), n);
}

static bool is_digits(const char *text)
{
    size_t n = strspn(text, "0123456789abcdef");

    return n >= LEAST_DIGITS && text[n] == '\0';
}

static bool find_router(struct rolling *r, struct buf *ret_pk, struct err *err)
{
    const char *word = r->order->router;
    struct rpc_router_request request = { 0 };
    _buf_ text = { 0 };

    if (is_digits(word))
        return find_listed(r, view_text(word), ret_pk, err);
    if (!file_exists(word))
        return err_set(
            err, ERR_INVALID_ARGUMENT,
            "%.80s: neither %d digits or more of a router's key, as rollover status shows "
            "them, nor the file of its request",
            word, LEAST_DIGITS);
    if (!read_named(word, RPC_MAX_ROUTER_FILE, &text, err) ||
        !rpc_router_request_read(word, buf_view(&text), &request, err))
        return false;
    buf_put(ret_pk, VIEW_ARR(request.public_key));
    rpc_router_request_deinit(&request);
    return true;
}

/* den would be without one. */
static bool check_other_router(struct rolling *r, struct view pk, struct err *err)
{
    enum store_found found;
    _buf_ mine = { 0 };

    if (r->order->is_anyway)
        return true;
    if (!store_blob_get(r->store, rollover_router_pk, &found, &mine, err))
        return false;
    return !view_eq(pk, buf_view(&mine)) ||
           err_set(
               err, ERR_BUSY,
               "den connects to this router: have router in den.conf name another one and start "
               "den first (--anyway does it nevertheless)");
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
    r->asked.pk = buf_dup(order->pk);
    if (order->router && !find_router(r, &r->asked.pk, err))
        return false;
    change =
        (struct change){ .step = order->step, .what = r->asked.what, .pk = buf_view(&r->asked.pk) };
    if (!change_check(*r->trust, &change, err) ||
        (order->router && !check_other_router(r, change.pk, err)))
        return false;
    r->asked.step = order->step;
    r->asked.network = mem_text(r->order->config->network);
    r->asked.reason = mem_text(order->reason ? order->reason : "");
    r->asked.host = mem_text(order->host ? order->host : "");
    r->asked.made_at = order->now;
    if (!rolling_make_key(r, err))
        return err_wrap(err, "the new key");
    if (!copy_trust(*r->trust, &r->asked.trust, err))
        return false;
    root_order_write(&r->asked);
    return true;
}

/* ---- who signs ---------------------------------------------------------------------------------- */

/* A token is the operator's; a file may lie in den's folder. */
static struct owner root_owner(const struct rolling *r, const struct root_key_source *from)
{
    if (!from->key)
        return r->den;
    return token_is_uri(view_text(from->key)) ? owner_self() : owner_for_file(from->key, &r->den);
}

/* What a file in den's folder says of a token is looked up there as the operator, who has it. */
static void find_token(struct rolling *r, struct root_key_source *from, struct buf *uri)
{
    struct owner owner = root_owner(r, from);
    _acting_ struct acting as = { 0 };
    struct err unused;

    if (acting_begin(&as, &owner, &unused) && root_key_in_token(from, *r->trust, uri))
        from->key = buf_cstr(uri);
}

/* Beside its certificate, as one that is a file. */
static bool put_root_place(struct rolling *r, struct view place, struct err *err)
{
    _acting_ struct acting as = { 0 };

    r->root_key = keyring_path(r->dir, "root", rolling_next_no(r), "key");
    return acting_begin(&as, &r->den, err) && file_write(r->root_key, place, 0600, err);
}

static bool load_root(struct rolling *r, const struct root_key_source *from,
                      struct pki_ca **ret_root, struct err *err)
{
    struct owner owner = root_owner(r, from);
    _acting_ struct acting as = { 0 };

    return acting_begin(&as, &owner, err) && root_key_load(from, *r->trust, ret_root, err);
}

/* One that is there already is the operator's: it stays whatever comes of this. */
static bool make_root(struct rolling *r, const struct root_key_source *from,
                      struct pki_ca **ret_root, struct err *err)
{
    struct owner owner = root_owner(r, from);
    _acting_ struct acting as = { 0 };
    _buf_ place = { 0 };
    bool is_new;

    if (!acting_begin(&as, &owner, err) ||
        !root_key_make(from, r->asked.network, r->order->now, ret_root, &place, &is_new, err))
        return false;
    if (place.len)
        return put_root_place(r, buf_view(&place), err);
    r->root_key = is_new ? mem_text(from->key) : NULL;
    return true;
}

static bool sign_here(struct rolling *r, struct err *err)
{
    const struct rollover_order *order = r->order;
    const struct change change = { .step = r->asked.step, .what = r->asked.what };
    struct root_key_source old = { order->root_key, r->dir, order->passphrase_fd, NULL };
    _free_ char *path = order->new_root_key
                            ? mem_text(order->new_root_key)
                            : keyring_path(r->dir, "root", rolling_next_no(r), "key");
    const struct root_key_source new = { path, NULL, order->new_passphrase_fd, NULL };
    _cleanup_(pki_ca_freep) struct pki_ca *root = NULL, *fresh = NULL;

    _acting_ struct acting as = { 0 };
    _buf_ uri = { 0 };
    struct owner owner;

    find_token(r, &old, &uri);
    if (!load_root(r, &old, &root, err) ||
        (change_needs_root(&change) && !make_root(r, &new, &fresh, err)))
        return false;
    owner = root_owner(r, fresh && token_is_uri(view_text(path)) ? &new : &old);
    if (!acting_begin(&as, &owner, err)) /* a token may open files with each signature */
        return false;
    return root_sign(&r->asked, &(struct root_signers){ root, fresh }, order->now, &r->answer, err);
}

static bool read_answer(struct rolling *r, struct err *err)
{
    const char *path = r->order->response_path;
    _buf_ asked = { 0 }, answer = { 0 };

    if (!read_named(path, ROOT_MAX_FILE, &answer, err))
        return false;
    if (!file_read(r->pending_path, ROOT_MAX_FILE, &asked, err))
        return err->code == ERR_NOT_FOUND
                   ? err_set(err, ERR_NOT_FOUND,
                             "no request waits for an answer: it was taken already, or --request "
                             "FILE comes first")
                   : false;
    if (!root_order_read(r->pending_path, buf_view(&asked), &r->asked, err) ||
        !root_answer_read(path, buf_view(&answer), &r->answer, err))
        return false;
    if (r->asked.step != r->order->step)
        return err_set(err, ERR_INVALID_ARGUMENT, "the request that waits is for %s, not for %s",
                       change_step_name(r->asked.step), change_step_name(r->order->step));
    return rolling_check_key(r, err);
}

/* ---- what came of it ------------------------------------------------------------------------------ */

struct manifest_words {
    char number[24], hash[RECORD_HEX];
};

static struct manifest_words words_of(const struct rpc_trust *trust)
{
    struct manifest_words words;
    uint8_t hash[HASH_SIZE];

    hash_sha256(rpc_trust_manifest_bytes(trust), hash);
    snprintf(words.number, sizeof(words.number), "%" PRIu64, rpc_trust_manifest_no(trust));
    record_hex(VIEW_ARR(hash), words.hash);
    return words;
}

static bool record(struct rolling *r, const struct manifest_words *was, struct err *err)
{
    _transaction_ struct store *open = r->store;
    const struct root_order *asked = &r->asked;
    struct manifest_words is = words_of(*r->trust);
    char pk[RECORD_HEX], made[RECORD_HEX];
    uint8_t made_hash[HASH_SIZE];
    struct view der = buf_view(&r->answer.intermediate);
    _buf_ bytes = { 0 };

    hash_sha256(der, made_hash);
    const struct deed deed = deed_here(r->order->now);
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("number_before", was->number),
        AUDIT_TEXT("number", is.number),
        AUDIT_TEXT("sha256_before", was->hash),
        AUDIT_TEXT("sha256", is.hash),
        AUDIT_TEXT("step", change_step_name(asked->step)),
        AUDIT_TEXT("what", asked->step < CHANGE_RENEW ? change_what_name(asked->what) : ""),
        AUDIT_TEXT("reason", asked->reason),
        AUDIT_TEXT("host", asked->host),
        AUDIT_TEXT("key", record_hex(buf_view(&asked->pk), pk)),
        AUDIT_TEXT("intermediate", record_hex(VIEW(made_hash, der.len ? HASH_SIZE : 0), made)),
        DEED_PAIRS(&deed),
    };
    rpc_trust_save(*r->trust, &bytes);
    return store_begin(open, err) &&
           store_blob_set(open, rollover_manifests, buf_view(&bytes), err) &&
           store_number_raise(open, rollover_number, rpc_trust_manifest_no(*r->trust), err) &&
           audit_append(open, r->order->now, "manifest.signed", pairs, N_ELEMENTS(pairs), err) &&
           store_commit(open, err);
}

/* Files first, then the store's one transaction, which is what counts. */
static bool install(struct rolling *r, struct err *err)
{
    struct manifest_words was = words_of(*r->trust);

    if (!rolling_put_key(r, err))
        return false;
    if (!root_accept(r->trust, &r->asked, &r->answer, r->order->now, err))
        return err_wrap(err, "what the root signed");
    if (!rolling_put_cert(r, "intermediate", buf_view(&r->answer.intermediate), err) ||
        !rolling_put_cert(r, "root", buf_view(&r->answer.root), err) ||
        !rolling_put_manifests(r, err) || !record(r, &was, err))
        return false;
    r->is_kept = true;
    unlink(r->pending_path);
    rolling_forget(r);
    return true;
}

/* Who works with a key that is under a passphrase has to be given that anew for another one. */
static bool changes_what_is_used(const struct rolling *r)
{
    return r->asked.step == CHANGE_SWITCH || r->asked.step == CHANGE_BACK ||
           r->asked.step == CHANGE_REPLACE;
}

/* The PIN, too, is nobody's to keep but the signer's that has it. */
static bool needs_pin(const struct rolling *r)
{
    _acting_ struct acting as = { 0 };
    struct err unused;
    bool are = false;

    return changes_what_is_used(r) && r->asked.what != CHANGE_DEN_LOGIN &&
           acting_begin(&as, &r->signer, &unused) &&
           keys_are_in_token(r->signer_dir, &are, &unused) && are;
}

static bool needs_passphrase(const struct rolling *r)
{
    _acting_ struct acting as = { 0 };
    bool is_dens = r->asked.what == CHANGE_DEN_LOGIN, are_sealed = false;
    struct err unused;

    if (!changes_what_is_used(r))
        return false;
    return acting_begin(&as, is_dens ? &r->den : &r->signer, &unused) &&
           keys_are_sealed(is_dens ? r->dir : r->signer_dir, &are_sealed, &unused) && are_sealed;
}

static void put_done(const struct rolling *r, struct buf *to)
{
    static const char *const nexts[CHANGE_STEPS] = {
        [CHANGE_STAGE] = "next: rollover switch, when rollover status shows that it was heard",
        [CHANGE_SWITCH] = "next: rollover retire, when rollover status shows that it was heard",
        [CHANGE_RETIRE] = "the rollover is over",
        [CHANGE_BACK] = "rollover status shows where it is now",
        [CHANGE_REPLACE] = "the old one is out; rollover status shows who has heard of it",
        [CHANGE_REMOVE_ROUTER] = "whoever has the manifest believes that router no more",
    };
    const char *next = nexts[r->asked.step];

    buf_printf(to, "manifest %" PRIu64 ": %s", rpc_trust_manifest_no(*r->trust),
               change_step_name(r->asked.step));
    if (r->asked.step < CHANGE_RENEW)
        buf_printf(to, " %s", change_what_name(r->asked.what));
    buf_put_text(to, "; den takes it within a second, or when it is started\n");
    if (next)
        buf_printf(to, "%s\n", next);
    if (needs_passphrase(r))
        buf_printf(to, "%s",
                   r->is_apart ? "the signer's keys are under a passphrase: it ends when den takes "
                                 "the manifest, and has to be started again with it\n"
                               : "den's keys are under a passphrase: stop warren-den and start it "
                                 "again with it, until then it goes on with what it had "
                                 "(rollover status says so)\n");
    if (needs_pin(r))
        buf_put_text(
            to, r->is_apart
                    ? "the intermediate's key is in a token: the signer ends when den takes the "
                      "manifest, "
                      "and has to be started again with the PIN\n"
                    : "the intermediate's key is in a token: stop warren-den and start it again "
                      "with the "
                      "PIN, until then it goes on with what it had (rollover status says so)\n");
    if (r->asked.what == CHANGE_ROOT && r->answer.root.len && !r->order->response_path &&
        !(r->order->new_root_key && token_is_uri(view_text(r->order->new_root_key))))
        buf_put_text(to, "the new root's key is in the state folder under its passphrase: keep it, "
                         "and a copy, where you kept the old one's\n");
}

static bool put_request(const struct rolling *r, struct err *err)
{
    const struct owner self = owner_self();
    _acting_ struct acting as = { 0 };

    return acting_begin(&as, &self, err) &&
           file_create(r->order->request_path, buf_view(&r->asked.text), 0644, err);
}

static bool write_request(struct rolling *r, struct buf *ret_text, struct err *err)
{
    const char *path = r->order->request_path;

    if (!rolling_put_key(r, err) ||
        !file_write(r->pending_path, buf_view(&r->asked.text), 0600, err) || !put_request(r, err))
        return false;
    r->is_kept = true;
    buf_printf(ret_text,
               "%s: take it to the root's machine, have it signed there\n"
               "  warren-den root sign %s --root-key FILE -o RESPONSE\n"
               "and bring the response back: the same command with --response RESPONSE instead of "
               "--request\n",
               path, path);
    return true;
}

static bool step(struct rolling *r, struct buf *ret_text, struct err *err)
{
    const struct rollover_order *order = r->order;

    if (order->request_path && file_exists(order->request_path))
        return err_set(err, ERR_ALREADY_EXISTS, "%s exists; nothing was overwritten",
                       order->request_path);
    rolling_forget(r); /* what a step before this one was killed over */
    if (order->response_path ? !read_answer(r, err) : !make_order(r, err))
        return false;
    if (!rolling_check_ready(r, err))
        return false;
    if (order->request_path)
        return write_request(r, ret_text, err);
    if ((!order->response_path && !sign_here(r, err)) || !install(r, err))
        return false;
    put_done(r, ret_text);
    return true;
}

bool rollover_step(const struct rollover_order *order, struct store *store,
                   struct rpc_trust **trust, struct buf *ret_text, struct err *err)
{
    _cleanup_(rolling_deinit) struct rolling r = { .order = order, .store = store, .trust = trust };

    return rolling_open(&r, err) && step(&r, ret_text, err);
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

/* All of it as den's user, but for what lies in the signer's folder or was named by the operator. */
bool rollover_run(const struct rollover_order *order, struct buf *ret_text, struct err *err)
{
    struct owner den = { 0 };
    _acting_ struct acting as = { 0 };
    _cleanup_(opened_deinit) struct opened o = { .lock_fd = -1 };

    return owner_of_dir(order->config->state, &den, err) &&
           owner_check_guide(order->config_path, &den, err) && acting_begin(&as, &den, err) &&
           config_check_secrets(order->config, err) &&
           rollover_lock(order->config, &o.lock_fd, err) &&
           folder_open_store(order->config, &o.store, err) &&
           rollover_load_trust(order->config, o.store, &o.trust, err) &&
           rollover_step(order, o.store, &o.trust, ret_text, err);
}
