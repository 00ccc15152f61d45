/* SPDX-License-Identifier: Apache-2.0 */
/* Two folders with an owner each: den's, and the signer's, where that is another. Whoever runs a step acts in each as its
 * owner. */
#include "den/rolling.h"

#include "base/file.h"
#include "base/secret.h"
#include "den/keyring.h"
#include "den/keys.h"
#include "den/token_key.h"
#include "vault/vault.h"

#include <string.h>
#include <unistd.h>

static bool is_set(const char *text)
{
    return text && *text;
}

/* ---- the folders -------------------------------------------------------------------------------- */

/* den's configuration is in the hands of den's user, who is to have none of the signer's keys. */
static bool check_signer_owner(const struct rolling *r, struct err *err)
{
    bool is_said_by_den = !r->order->signer_dir;

    return !is_said_by_den || getuid() != 0 || r->den.uid == 0 || r->signer.uid != r->den.uid ||
           err_set(err, ERR_EXPOSED,
                   "%s, which den.conf names as the signer's folder, belongs to den's own user: if "
                   "that is what you want, name it by --signer-folder",
                   r->signer_dir);
}

static bool open_signer_dir(struct rolling *r, struct err *err)
{
    _acting_ struct acting as = { 0 };
    const char *dir = r->order->signer_dir ? r->order->signer_dir : r->order->config->signer_folder;

    if (!is_set(dir))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "den.conf says signer = %s, which has a folder of its own: name it by "
                       "--signer-folder, or by signer_folder in den.conf",
                       r->order->config->signer);
    r->signer_dir = dir;
    if (!owner_of_dir(dir, &r->signer, err) || !check_signer_owner(r, err) ||
        !acting_begin(&as, &r->signer, err) || !file_check_private_dir(dir, err))
        return err_wrap(err, "the signer's folder");
    return vault_book_exists(dir) ||
           err_set(err, ERR_NOT_FOUND, "%s has no signer.book: it is not the signer's folder", dir);
}

/* The others change what den and the router work with, and nothing that the signer does. */
static bool is_for_signer(const struct rollover_order *order)
{
    return order->step < CHANGE_RENEW;
}

bool rolling_open(struct rolling *r, struct err *err)
{
    const struct den_config *config = r->order->config;

    r->dir = r->signer_dir = config->state;
    r->pending_path = file_path(r->dir, "root.request");
    if (!owner_of_dir(r->dir, &r->den, err))
        return false;
    r->signer = r->den;
    r->is_apart =
        is_for_signer(r->order) && (is_set(config->signer) || is_set(r->order->signer_dir));
    return !r->is_apart || open_signer_dir(r, err);
}

static void remove_made(struct rolling *r)
{
    _acting_ struct acting as = { 0 };
    bool is_signers = r->asked.what != CHANGE_DEN_LOGIN;
    struct err unused;

    if (r->root_key)
        unlink(r->root_key);
    if (r->key_path && acting_begin(&as, is_signers ? &r->signer : &r->den, &unused))
        unlink(r->key_path);
}

void rolling_deinit(struct rolling *r)
{
    if (!r->is_kept)
        remove_made(r);
    free(r->pending_path);
    free(r->key_path);
    free(r->root_key);
    key_free(r->den_key);
    pki_key_free(r->ca_key);
    buf_free(&r->place);
    buf_wipe(&r->passphrase);
    root_order_deinit(&r->asked);
    root_answer_deinit(&r->answer);
}

uint64_t rolling_next_no(const struct rolling *r)
{
    return rpc_trust_manifest_no(*r->trust) + 1;
}

/* ---- a new key ----------------------------------------------------------------------------------- */

static const char *kind_of(const struct rolling *r)
{
    static const char *const kinds[CHANGE_WHATS] = { [CHANGE_INTERMEDIATE] = "intermediate",
                                                     [CHANGE_ROOT] = "intermediate",
                                                     [CHANGE_DEN_SIGN] = "sign",
                                                     [CHANGE_DEN_LOGIN] = "login" };
    return kinds[r->asked.what];
}

static bool is_dens(const struct rolling *r)
{
    return r->asked.what == CHANGE_DEN_LOGIN;
}

static const char *key_dir(const struct rolling *r)
{
    return is_dens(r) ? r->dir : r->signer_dir;
}

static const struct owner *key_owner(const struct rolling *r)
{
    return is_dens(r) ? &r->den : &r->signer;
}

static char *new_key_path(const struct rolling *r)
{
    return keyring_path(key_dir(r), kind_of(r), rolling_next_no(r), "key");
}

/* New keys are sealed as the others are: with a passphrase that is mistyped nobody would open them again. */
static bool check_passphrase(struct rolling *r, struct err *err)
{
    struct den_config config = { .state = r->order->config->state, .passphrase = &r->passphrase };
    const struct vault_secrets secrets = { .passphrase = buf_view(&r->passphrase) };
    struct keyring keys = { 0 };
    struct vault_keys vault = { 0 };

    if (is_dens(r) ? !keyring_load(&config, *r->trust, 0, NULL, &keys, err)
                   : !vault_keys_read(r->signer_dir, &secrets, &vault, err))
        return err_wrap(err, "the keys that are in use");
    keyring_deinit(&keys);
    vault_keys_deinit(&vault);
    return true;
}

/* One in a token has no passphrase, and its PIN is not asked for: den-sign, beside it, has the same one. */
static bool check_with_sign(struct rolling *r, struct err *err)
{
    _cleanup_(key_freep) struct key *key = NULL;
    struct view pk;

    return (rpc_trust_key_at(*r->trust, rpc_trust_manifest_no(*r->trust), RPC_KEY_DEN_SIGN, &pk) &&
            vault_find_key(r->signer_dir, "sign", pk, buf_view(&r->passphrase), &key, err)) ||
           err_wrap(err, "the keys that are in use");
}

static bool ask_passphrase(struct rolling *r, struct err *err)
{
    _acting_ struct acting as = { 0 };
    bool are_in_token;

    if (!acting_begin(&as, key_owner(r), err) ||
        !keys_ask(key_dir(r), r->order->keys_fd, &r->passphrase, err) ||
        !keys_are_in_token(key_dir(r), &are_in_token, err))
        return false;
    return r->passphrase.len == 0 ||
           (are_in_token && !is_dens(r) ? check_with_sign(r, err) : check_passphrase(r, err));
}

/* The number of the manifest is in its name there: one from an order that was never answered is taken again. */
static bool make_in_token(struct rolling *r, struct err *err)
{
    const struct den_config *config = r->order->config;
    struct token_key_order order = { .uri = config->intermediate_key,
                                     .paths = config->token_paths,
                                     .network = config->network,
                                     .no = rolling_next_no(r),
                                     .login.care = TOKEN_ATTENDED };
    _acting_ struct acting as = { 0 };
    _buf_wipe_ pin = { 0 };
    bool is_new;

    if (!keys_ask_pin_of("the new intermediate's token", "--pin-fd", r->order->pin_fd, &pin, err) ||
        !acting_begin(&as, key_owner(r), err))
        return false;
    order.login.pin = buf_view(&pin);
    return token_key_order(&order, &r->ca_key, &r->place, &is_new, err) &&
           pki_csr_new(r->ca_key, &r->asked.csr, err);
}

static bool make_ca_key(struct rolling *r, struct err *err)
{
    if (r->order->config->intermediate_key)
        return make_in_token(r, err);
    return ask_passphrase(r, err) && pki_key_new(PKI_P256, &r->ca_key, err) &&
           pki_csr_new(r->ca_key, &r->asked.csr, err);
}

bool rolling_make_key(struct rolling *r, struct err *err)
{
    const struct change change = { .step = r->asked.step, .what = r->asked.what };
    bool is_ca = change_needs_intermediate(&change);

    if (!is_ca && !change_needs_key(&change))
        return true;
    if (is_ca)
        return make_ca_key(r, err);
    if (!ask_passphrase(r, err))
        return false;
    r->den_key = key_new();
    buf_free(&r->asked.pk);
    r->asked.pk = buf_dup(key_public_view(r->den_key));
    return true;
}

static bool write_key(struct rolling *r, struct err *err)
{
    struct view passphrase = buf_view(&r->passphrase);
    _buf_wipe_ pem = { 0 };

    unlink(r->key_path); /* of an order for this manifest that was never answered */
    if (r->den_key)
        return key_create(r->den_key, r->key_path, passphrase, err);
    if (r->place.len)
        return file_write(r->key_path, buf_view(&r->place), 0600, err);
    return pki_key_write(r->ca_key, VIEW(NULL, 0), &pem, err) &&
           secret_write(r->key_path, buf_view(&pem), passphrase, err);
}

bool rolling_put_key(struct rolling *r, struct err *err)
{
    _acting_ struct acting as = { 0 };

    if (!r->den_key && !r->ca_key)
        return true;
    unlink(r->pending_path);
    r->key_path = new_key_path(r);
    return acting_begin(&as, key_owner(r), err) && write_key(r, err);
}

bool rolling_check_key(struct rolling *r, struct err *err)
{
    const struct change change = { .step = r->asked.step, .what = r->asked.what };
    _free_ char *path = NULL;
    _acting_ struct acting as = { 0 };

    if (!change_needs_intermediate(&change) && !change_needs_key(&change))
        return true;
    path = new_key_path(r);
    if (!acting_begin(&as, key_owner(r), err))
        return false;
    return file_exists(path) ||
           err_set(err, ERR_NOT_FOUND,
                   "%s: the key that the request was made with is gone: make another request",
                   path);
}

/* ---- what goes into the folders -------------------------------------------------------------------- */

static bool put_cert_in(const char *dir, const struct owner *owner, const char *path_kind,
                        uint64_t no, struct view der, struct err *err)
{
    _free_ char *path = keyring_path(dir, path_kind, no, "pem");
    _acting_ struct acting as = { 0 };
    _buf_ pem = { 0 };

    pki_pem_put(&pem, "CERTIFICATE", der);
    return acting_begin(&as, owner, err) && file_write(path, buf_view(&pem), 0644, err);
}

bool rolling_put_cert(struct rolling *r, const char *kind, struct view der, struct err *err)
{
    uint64_t no = rpc_trust_manifest_no(*r->trust);
    bool is_for_both = r->is_apart && strcmp(kind, "intermediate") == 0;

    return !der.len ||
           (put_cert_in(r->dir, &r->den, kind, no, der, err) &&
            (!is_for_both || put_cert_in(r->signer_dir, &r->signer, kind, no, der, err)));
}

bool rolling_put_manifests(struct rolling *r, struct err *err)
{
    _free_ char *path = file_path(r->signer_dir, VAULT_MANIFESTS);
    bool is_elsewhere = is_set(r->order->config->signer) && !r->is_apart;
    _acting_ struct acting as = { 0 };
    _buf_ bytes = { 0 };

    if (is_elsewhere)
        return true;
    rpc_trust_save(*r->trust, &bytes);
    return acting_begin(&as, &r->signer, err) && file_write(path, buf_view(&bytes), 0600, err);
}

void rolling_forget(struct rolling *r)
{
    _acting_ struct acting as = { 0 };
    struct err unused;

    if (r->is_apart && acting_begin(&as, &r->signer, &unused))
        keyring_forget(r->signer_dir, *r->trust);
}
