/* SPDX-License-Identifier: Apache-2.0 */
#include "den/home.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "base/log.h"
#include "den/adopt.h"
#include "den/audit.h"
#include "den/folder.h"
#include "den/rollover.h"

#include <inttypes.h>
#include <poll.h>
#include <unistd.h>

enum { MAX_CSR_FILE = 16 * 1024, MAX_ANCHOR = 64 };

void home_free(struct home *home)
{
    if (!home)
        return;
    if (home->login != home->keys.login)
        key_free(home->login);
    keyring_deinit(&home->keys);
    keyring_deinit(&home->retired);
    signer_free(home->signer);
    store_free(home->store);
    rpc_trust_free(home->trust);
    buf_free(&home->router_csr);
    buf_free(&home->crl_kept);
    free(home->list_path);
    free(home->trust_path);
    free(home->crl_path);
    if (home->lock_fd >= 0)
        close(home->lock_fd);
    free(home);
}

static bool open_store(const struct den_config *config, struct store **ret_store, struct err *err)
{
    _cleanup_(store_freep) struct store *store = NULL;
    uint8_t head[HASH_SIZE];
    uint64_t number;

    if (!folder_open_store(config, &store, err) || !store_settle(store, err))
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
                                        .secrets = signer->secrets };
    struct signer_road road = { .send = signer_link_send,
                                .receive = signer_link_receive,
                                .free = signer_link_free_any,
                                .may_leave = signer_link_may_leave,
                                .has_left = signer_link_has_left,
                                .is_away = signer_link_is_away,
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

/* What was signed while den did not run is in the store. */
static bool keep_trust(struct home *home, struct err *err)
{
    _buf_ bytes = { 0 };

    if (!rollover_load_trust(home->config, home->store, &home->trust, err))
        return false;
    rpc_trust_save(home->trust, &bytes);
    return home_save_trust(home, buf_view(&bytes), err);
}

/* What it has as it said itself. Where it can know none of the keys that are listed by that, den was told to forget those it
 * knows, and the answer that it was given by hand (router add) is what it goes by. */
static bool read_router_no(struct home *home, struct err *err)
{
    _free_ char *name = NULL;
    enum store_found found;
    uint64_t given;
    _buf_ pk = { 0 };

    if (!store_number_get(home->store, rollover_router, &home->router_no, err) ||
        !store_blob_get(home->store, rollover_router_pk, &found, &pk, err))
        return false;
    if (keyring_has_login(home->trust, home->router_no) || found == STORE_NONE)
        return true;
    name = rollover_router_number(buf_view(&pk));
    if (!store_number_get(home->store, name, &given, err))
        return false;
    home->router_no = given > home->router_no ? given : home->router_no;
    return true;
}

static bool read_all(struct home *home, struct err *err)
{
    const struct den_config *config = home->config;
    const struct signer_config signer = {
        .network = config->network,
        .crl_url = config->crl_url,
        .ca_url = config->ca_url,
        .ocsp_url = config->ocsp_url,
        .secrets = config_secrets(config),
    };

    return config_check_secrets(config, err) && folder_lock(config, &home->lock_fd, err) &&
           open_store(config, &home->store, err) && keep_trust(home, err) &&
           read_router_no(home, err) &&
           keyring_load(config, home->trust, home->router_no, NULL, &home->keys, err) &&
           read_crl_floor(home, err) &&
           home_read_router_csr(config->state, &home->router_csr, err) &&
           open_signer(home, config, &signer, err);
}

/* What is listed and not here is in a newer folder: this one is from a backup that is older than the rollover. */
#define OLDER   " is older than that manifest: put the newer "
#define RESTART ", readable for its user, and restart its service (warren-den-signer)"
#define GONE(what)                                                                                 \
    "; if it is gone, `warren-den rollover replace --what " what "` (warren-den(8), RESTORING)"

static bool is_separate(const struct home *home)
{
    return home->config->signer && *home->config->signer;
}

static bool fail_listed(const struct home *home, bool is_sign, const struct rpc_manifest *m,
                        struct err *err)
{
    static const char *const remedies[2][2] = {
        { "this folder" OLDER "intermediate.N.key and .pem here" GONE("intermediate"),
          "this folder" OLDER "sign.N.key here" GONE("den-sign") },
        { "the signer's folder" OLDER
          "intermediate.N.key and .pem there" RESTART GONE("intermediate"),
          "the signer's folder" OLDER "sign.N.key there" RESTART GONE("den-sign") },
    };

    err_set(err, ERR_UNLISTED_KEY,
            "the signer does not have the %s that manifest %" PRIu64 " lists first",
            is_sign ? "den-sign key" : "intermediate", m->manifest_no);
    return err_advise(err, remedies[is_separate(home)][is_sign]);
}

/* Only what the root signed counts: with a key or an authority that the manifest does not list first, den would be
 * refused by somebody. */
static bool check_listed(const struct home *home, const struct rpc_trust *trust, struct err *err)
{
    const struct rpc_manifest *m = rpc_trust_manifest(trust);
    uint8_t hash[HASH_SIZE];
    struct view pk;

    if (!view_eq(signer_netid(home->signer), rpc_trust_netid(trust)))
        return err_set(err, ERR_BAD_CONFIG, "the signer's book is of another network");
    pki_cert_hash(signer_cert(home->signer), hash);
    if (!rpc_trust_den_sign(trust, clock_wall_ms(), &pk) ||
        !view_eq(pk, signer_sign_pk(home->signer)))
        return fail_listed(home, true, m, err);
    if (m->intermediates.n == 0 || !view_eq(m->intermediates.item[0], VIEW_ARR(hash)))
        return fail_listed(home, false, m, err);
    return true;
}

bool home_take_keys(struct home *home, const struct rpc_trust *trust, struct err *err)
{
    const struct rpc_manifest *m = rpc_trust_manifest(trust);
    _cleanup_(keyring_deinit) struct keyring keys = { 0 };
    _buf_ csr = { 0 };
    struct err unused;

    if (!home_read_router_csr(home->config->state, &csr, err) ||
        !keyring_load(home->config, trust, home->router_no, home->keys.login, &keys, err) ||
        !signer_greet(home->signer, err) ||
        (!check_listed(home, trust, &unused) && !signer_re_open(home->signer, err)) ||
        !check_listed(home, trust, err) ||
        !signer_keep(home->signer, m->intermediates.item, m->intermediates.n, err))
        return false;
    buf_free(&home->router_csr);
    home->router_csr = csr;
    csr = (struct buf){ 0 };
    if (!keys.login)
        keys.login = STEAL(home->keys.login);
    keyring_deinit(&home->retired);
    home->retired = home->keys;
    home->keys = keys;
    keys = (struct keyring){ 0 };
    if (home->retired.login == home->login) /* the connection still has it */
        home->retired.login = NULL;
    return true;
}

const struct key *home_login(struct home *home)
{
    if (home->login != home->keys.login)
        key_free(home->login);
    home->login = home->keys.login;
    return home->login;
}

bool home_has_new_login(const struct home *home)
{
    return home->router_no >= rpc_trust_manifest_no(home->trust) && home->login &&
           !view_eq(key_public_view(home->login), key_public_view(home->keys.login));
}

void home_router_has(struct home *home, uint64_t manifest_no)
{
    home->router_no = manifest_no;
    if (manifest_no == rpc_trust_manifest_no(home->trust))
        keyring_forget(home->config->state, home->trust);
}

/* ---- at the start ------------------------------------------------------------------------------------------ */

enum { SIGNER_BACK_WITHIN = 15, SIGNER_LOOK_EVERY = 50 /* ms */ };

/* Whoever runs it starts it again. */
static bool await_signer(struct home *home, uint64_t until, struct err *err)
{
    struct err unused;

    while (!signer_link_look(home->link) || !signer_greet(home->signer, &unused)) {
        if (clock_mono_ms() >= until) {
            err_set(err, ERR_BUSY,
                    "the signer was asked to open its folder anew, and is not back after %d s",
                    SIGNER_BACK_WITHIN);
            return err_advise(err, "start its service (warren-den-signer) again, and then den; the "
                                   "signer's log says why it does not start");
        }
        poll(NULL, 0, SIGNER_LOOK_EVERY);
    }
    return true;
}

/* One that ran on while den was stopped has the keys of its own start: nobody told it of a rollover. */
static bool re_open_signer(struct home *home, struct err *err)
{
    uint64_t until = clock_mono_ms() + SIGNER_BACK_WITHIN * SECOND_MS;
    struct err unused;

    log_event(LOG_INFO, "signer.re_open", "manifest=%" PRIu64, rpc_trust_manifest_no(home->trust));
    /* whether it is back already is seen by looking */
    return signer_re_open(home->signer, &unused) || await_signer(home, until, err);
}

static bool agree_with_signer(struct home *home, struct err *err)
{
    const struct rpc_manifest *m = rpc_trust_manifest(home->trust);
    struct err why = { 0 };

    if (!check_listed(home, home->trust, &why)) {
        if (why.code != ERR_UNLISTED_KEY || !is_separate(home)) {
            *err = why;
            return false;
        }
        if (!re_open_signer(home, err) || !check_listed(home, home->trust, err))
            return false;
    }
    return signer_keep(home->signer, m->intermediates.item, m->intermediates.n, err);
}

bool home_open(const struct den_config *config, struct home **ret_home, struct err *err)
{
    _cleanup_(home_freep) struct home *home = mem_new(struct home);

    home->config = config;
    home->lock_fd = -1;
    home->trust_path = file_path(config->state, "trust");
    home->crl_path = file_path(config->state, "crl.number");
    home->list_path = file_path(config->state, "crl.der");
    if (file_exists(home->list_path) &&
        !file_read(home->list_path, PKI_MAX_CRL, &home->crl_kept, err))
        return false;
    if (!read_all(home, err) || !agree_with_signer(home, err))
        return false;
    if (config->passphrase)
        buf_wipe(config->passphrase);
    if (config->pin)
        buf_wipe(config->pin);
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
