/* SPDX-License-Identifier: Apache-2.0 */
#include "den/router_add.h"
#include "base/clock.h"
#include "base/file.h"
#include "den/adopt.h"
#include "den/folder.h"
#include "den/manifest.h"
#include "den/passphrase.h"
#include "den/record.h"
#include "den/signer_link.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { MAX_PEM = 64 * 1024 };

/* A router being taken in. */
struct adding {
    const struct router_add_order *order;
    const struct den_config *config;
    int lock_fd;
    struct rpc_router_request request;
    struct pki_csr *csr;
    struct rpc_trust *trust;
    struct store *store;
    struct signer *signer;
    bool is_new; /* to the manifest */
};

static void adding_deinit(struct adding *a)
{
    rpc_router_request_deinit(&a->request);
    pki_csr_free(a->csr);
    rpc_trust_free(a->trust);
    store_free(a->store);
    signer_free(a->signer);
    if (a->lock_fd >= 0)
        close(a->lock_fd);
}

static bool read_request(struct adding *a, struct err *err)
{
    const char *path = a->order->request_path;
    _buf_ text = { 0 };

    if (!file_read(path, RPC_MAX_ROUTER_FILE, &text, err) ||
        !rpc_router_request_read(path, buf_view(&text), &a->request, err))
        return err_wrap(err, "the router's request");
    if (!pki_csr_read(buf_view(&a->request.csr), &a->csr, err) ||
        !pki_csr_check_names(a->csr, "router", a->config->network, err))
        return err_wrap(err, "%s: csr", path);
    return true;
}

/* One that has a folder of its own is asked, as den asks it; it wants the operator's order there. A folder from before
 * signers had books gets one. */
static bool load_signer(struct adding *a, const struct signer_config *signer, struct err *err)
{
    const struct signer_place place = { .socket = a->config->signer, .dir = a->config->state };
    struct signer_road road = { .ask = signer_link_ask, .free = signer_link_free_any };
    bool is_new;

    if (place.socket && *place.socket) {
        road.user = signer_link_new(&place);
        return signer_new_on(&road, signer, &a->signer, err);
    }
    return adopt_book(a->config->state, a->store, a->trust, VIEW(NULL, 0), a->order->now, &is_new,
                      err) &&
           signer_load(a->config->state, signer, &a->signer, err);
}

static bool open_parts(struct adding *a, struct err *err)
{
    const struct signer_config signer = {
        .network = a->config->network,
        .crl_url = a->config->crl_url,
        .ca_url = a->config->ca_url,
        .passphrase = a->config->passphrase ? buf_view(a->config->passphrase) : VIEW(NULL, 0),
    };
    struct err listed;

    if (!config_check_secrets(a->config, err))
        return false;
    if (!folder_lock(a->config, &a->lock_fd, err))
        return err->code == ERR_BUSY ? err_wrap(err, "stop warren-den first") : false;
    if (!folder_load_trust(a->config, &a->trust, err) ||
        !folder_open_store(a->config, &a->store, err) || !load_signer(a, &signer, err))
        return false;
    a->is_new = !rpc_trust_check_key(a->trust, RPC_KEY_ROUTER, VIEW_ARR(a->request.public_key),
                                     a->order->now, &listed);
    return true;
}

static bool load_root(const struct adding *a, struct pki_ca **ret_root, struct err *err)
{
    _free_ char *key_path = a->order->root_key_path ? mem_text(a->order->root_key_path)
                                                    : file_path(a->config->state, "root.key");
    _buf_wipe_ pem = { 0 };
    _buf_wipe_ passphrase = { 0 };
    struct pki_key *key;
    struct view der;

    if (!file_read_secret(key_path, MAX_PEM, &pem, err))
        return err_wrap(err, "the root key is needed for a new manifest (--root-key FILE)");
    if (!passphrase_read(a->order->passphrase_fd, false, &passphrase, err))
        return false;
    if (!pki_key_read(buf_view(&pem), buf_view(&passphrase), &key, err))
        return err_wrap(err, "%s", key_path);
    if (!rpc_trust_root(a->trust, 0, &der)) {
        pki_key_free(key);
        return err_set(err, ERR_NOT_FOUND, "the trust set lists no root");
    }
    return pki_ca_load(der, key, ret_root, err) || err_wrap(err, "%s", key_path);
}

static bool audit_router(const struct adding *a, struct err *err)
{
    _transaction_ struct store *open = a->store;
    char pk[RECORD_HEX], number[24];

    snprintf(number, sizeof(number), "%" PRIu64, rpc_trust_manifest(a->trust)->manifest_no);
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("router", record_hex(VIEW_ARR(a->request.public_key), pk)),
        AUDIT_TEXT("host", a->request.host),
        AUDIT_TEXT("manifest", number),
    };
    return store_begin(open, err) &&
           audit_append(open, a->order->now, "router.added", pairs, N_ELEMENTS(pairs), err) &&
           store_commit(open, err);
}

/* Audited before anybody can see it; a repeat finds the key listed and goes on from there. */
static bool list_router(const struct adding *a, struct err *err)
{
    _cleanup_(pki_ca_freep) struct pki_ca *root = NULL;
    _free_ char *path = file_path(a->config->state, "trust");
    _buf_ bytes = { 0 };

    if (!load_root(a, &root, err) ||
        !manifest_add_router(a->trust, root, VIEW_ARR(a->request.public_key), a->order->now, err) ||
        !audit_router(a, err))
        return false;
    rpc_trust_save(a->trust, &bytes);
    return file_write(path, buf_view(&bytes), 0600, err);
}

static bool put_answer(const struct adding *a, struct err *err)
{
    const struct signer_order order = {
        .profile = PKI_ROUTER,
        .label = "router",
        .csr = a->csr,
        .der = buf_view(&a->request.csr),
        .now = a->order->now,
        .life = a->config->router_life,
    };
    struct rpc_router_answer answer = { 0 };
    _buf_ text = { 0 };

    if (!signer_issue(a->signer, a->store, &order, &answer.certificate, err))
        return false;
    answer.network = mem_text(a->config->network);
    answer.chain = buf_dup(pki_cert_der(signer_cert(a->signer)));
    rpc_trust_save(a->trust, &answer.trust);
    rpc_router_answer_write(&answer, &text);
    rpc_router_answer_deinit(&answer);
    return file_create(a->order->answer_path, buf_view(&text), 0644, err);
}

/* den renews the certificate of the router that it connects to. */
static bool keep_csr(const struct adding *a, struct err *err)
{
    _free_ char *path = file_path(a->config->state, "router.csr");
    _buf_ pem = { 0 };

    if (strcmp(a->request.host, a->config->router) != 0)
        return true;
    pki_pem_put(&pem, "CERTIFICATE REQUEST", buf_view(&a->request.csr));
    return file_write(path, buf_view(&pem), 0644, err);
}

bool router_add(const struct router_add_order *order, struct err *err)
{
    _cleanup_(
        adding_deinit) struct adding a = { .order = order, .config = order->config, .lock_fd = -1 };

    if (file_exists(order->answer_path))
        return err_set(err, ERR_ALREADY_EXISTS, "%s exists; nothing was overwritten",
                       order->answer_path);
    return read_request(&a, err) && open_parts(&a, err) && (!a.is_new || list_router(&a, err)) &&
           keep_csr(&a, err) && put_answer(&a, err);
}
