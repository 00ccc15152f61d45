/* SPDX-License-Identifier: Apache-2.0 */
#include "den/home.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "base/log.h"
#include "den/adopt.h"
#include "den/audit.h"
#include "den/folder.h"

#include <inttypes.h>
#include <unistd.h>

enum { MAX_CSR_FILE = 16 * 1024, MAX_ANCHOR = 64 };

void home_free(struct home *home)
{
    if (!home)
        return;
    signer_free(home->signer);
    store_free(home->store);
    rpc_trust_free(home->trust);
    key_free(home->login);
    buf_free(&home->router_csr);
    buf_free(&home->crl_kept);
    free(home->list_path);
    free(home->trust_path);
    free(home->crl_path);
    if (home->lock_fd >= 0)
        close(home->lock_fd);
    free(home);
}

static struct view passphrase_of(const struct den_config *config)
{
    return config->passphrase ? buf_view(config->passphrase) : VIEW(NULL, 0);
}

static bool read_key(const struct den_config *config, const char *name, struct key **ret_key,
                     struct err *err)
{
    _free_ char *path = file_path(config->state, name);

    return key_unlock(path, passphrase_of(config), ret_key, err);
}

static bool open_store(const struct den_config *config, struct store **ret_store, struct err *err)
{
    _cleanup_(store_freep) struct store *store = NULL;
    uint8_t head[HASH_SIZE];
    uint64_t number;

    if (!folder_open_store(config, &store, err))
        return false;
    if (!audit_head(store, &number, head, err))
        return err_wrap(err, "audit");
    *ret_store = STEAL(store);
    return true;
}

bool home_read_router_csr(const char *dir, struct buf *ret_der, struct err *err)
{
    _free_ char *path = file_path(dir, "router.csr");
    _buf_ bytes = { 0 };
    size_t n = 0;

    if (!file_exists(path))
        return true;
    if (!file_read(path, MAX_CSR_FILE, &bytes, err))
        return false;
    if (!view_starts(buf_view(&bytes), VIEW_LIT("-----BEGIN"))) {
        *ret_der = bytes;
        bytes = (struct buf){ 0 };
        return true;
    }
    if (!pki_pem_read_all(buf_view(&bytes), "CERTIFICATE REQUEST", ret_der, 1, &n, err))
        return err_wrap(err, "%s", path);
    return n == 1 || err_set(err, ERR_BAD_CONFIG, "%s: holds no certificate request", path);
}

/* "NUMBER TIME\n" */
static bool read_crl_floor(struct home *home, struct err *err)
{
    struct signer_anchor floor;
    _buf_ text = { 0 };
    struct view number, at;
    const uint8_t *space;

    if (!file_exists(home->crl_path))
        return true;
    if (!file_read(home->crl_path, MAX_ANCHOR, &text, err))
        return false;
    space = text.len ? memchr(text.data, ' ', text.len) : NULL;
    number = view_sub(buf_view(&text), 0, space ? (size_t)(space - text.data) : 0);
    at = view_sub(buf_view(&text), number.len + 1, text.len);
    at.len -= at.len && at.data[at.len - 1] == '\n';
    if (!text_read_u64(number, &floor.number) || !text_read_u64(at, &floor.at))
        return err_set(err, ERR_BAD_CONFIG,
                       "%s: damaged: expected the number of the newest revocation list and its "
                       "time, in ms since 1970",
                       home->crl_path);
    home->crl_floor = floor;
    return true;
}

bool home_keep_list(const struct home *home, struct view der, struct err *err)
{
    return file_write_soon(home->list_path, der, 0644, err);
}

bool home_keep_crl(const struct home *home, const struct signer_anchor *anchor, struct err *err)
{
    _buf_ text = { 0 };

    buf_printf(&text, "%" PRIu64 " %" PRIu64 "\n", anchor->number, anchor->at);
    return file_write(home->crl_path, buf_view(&text), 0600, err);
}

/* A folder from before signers had books gets one. */
static bool open_signer(struct home *home, const struct den_config *config,
                        const struct signer_config *signer, struct err *err)
{
    const struct signer_place place = { .socket = config->signer,
                                        .dir = config->state,
                                        .log_format = config->log_format,
                                        .passphrase = signer->passphrase };
    struct signer_road road = { .ask = signer_link_ask,
                                .free = signer_link_free_any,
                                .generation = signer_link_generation };
    bool is_new = false;

    if (!(config->signer && *config->signer) &&
        !adopt_book(config->state, home->store, home->trust, buf_view(&home->router_csr),
                    clock_wall_ms(), &is_new, err))
        return false;
    if (is_new)
        log_event(LOG_WARN, "signer.book.made", "from=store dir=%s", log_quote_text(config->state));
    road.user = home->link = signer_link_new(&place);
    return signer_new_on(&road, signer, &home->signer, err);
}

static bool read_all(struct home *home, const struct den_config *config, struct err *err)
{
    const struct signer_config signer = {
        .network = config->network,
        .crl_url = config->crl_url,
        .ca_url = config->ca_url,
        .ocsp_url = config->ocsp_url,
        .passphrase = passphrase_of(config),
    };

    if (!config_check_secrets(config, err) || !folder_lock(config, &home->lock_fd, err))
        return false;
    return read_key(config, "login.key", &home->login, err) &&
           folder_load_trust(config, &home->trust, err) && open_store(config, &home->store, err) &&
           read_crl_floor(home, err) &&
           home_read_router_csr(config->state, &home->router_csr, err) &&
           open_signer(home, config, &signer, err);
}

static bool is_listed(const struct rpc_items *items, const struct pki_cert *cert)
{
    uint8_t hash[HASH_SIZE];

    pki_cert_hash(cert, hash);
    for (size_t i = 0; i < items->n; i++)
        if (view_eq(items->item[i], VIEW_ARR(hash)))
            return true;
    return false;
}

/* Only what the root signed counts: a key or an authority that the manifest does not list would
 * be refused by everybody. */
static bool check_listed(const struct home *home, struct err *err)
{
    const struct rpc_manifest *m = rpc_trust_manifest(home->trust);
    uint64_t now = clock_wall_ms();
    char until[CLOCK_TEXT];

    if (m->not_after <= now)
        return err_set(err, ERR_EXPIRED,
                       "manifest %" PRIu64 " was valid until %s: have the root sign a new one",
                       m->manifest_no, clock_text(m->not_after, until));
    if (!rpc_trust_check_key(home->trust, RPC_KEY_DEN_LOGIN, key_public_view(home->login), now,
                             err))
        return err_wrap(err, "login.key");
    if (!rpc_trust_check_key(home->trust, RPC_KEY_DEN_SIGN, signer_sign_pk(home->signer), now, err))
        return err_wrap(err, "sign.key");
    if (!view_eq(signer_netid(home->signer), rpc_trust_netid(home->trust)))
        return err_set(err, ERR_BAD_CONFIG, "the signer's book is of another network");
    if (!is_listed(&m->intermediates, signer_cert(home->signer)))
        return err_set(err, ERR_UNLISTED_KEY,
                       "intermediate.pem: manifest %" PRIu64 " does not list it", m->manifest_no);
    return true;
}

bool home_open(const struct den_config *config, struct home **ret_home, struct err *err)
{
    _cleanup_(home_freep) struct home *home = mem_new(struct home);

    home->lock_fd = -1;
    home->trust_path = file_path(config->state, "trust");
    home->crl_path = file_path(config->state, "crl.number");
    home->list_path = file_path(config->state, "crl.der");
    if (file_exists(home->list_path) &&
        !file_read(home->list_path, PKI_MAX_CRL, &home->crl_kept, err))
        return false;
    if (!read_all(home, config, err) || !check_listed(home, err))
        return false;
    if (config->passphrase)
        buf_wipe(config->passphrase);
    *ret_home = STEAL(home);
    return true;
}

bool home_save_trust(const struct home *home, struct view bytes, struct err *err)
{
    return file_write(home->trust_path, bytes, 0600, err);
}

bool home_trust_set(const struct home *home, struct pki_trust **ret_set, struct err *err)
{
    _cleanup_(pki_trust_freep) struct pki_trust *set = pki_trust_new();
    const struct rpc_manifest *m = rpc_trust_manifest(home->trust);
    struct view der;

    for (size_t i = 0; rpc_trust_root(home->trust, i, &der); i++)
        if (!pki_trust_add_root(set, der, err))
            return false;
    for (size_t i = 0; i < m->intermediates.n; i++)
        pki_trust_list_intermediate(set, m->intermediates.item[i].data);
    *ret_set = STEAL(set);
    return true;
}
