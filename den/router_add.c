/* SPDX-License-Identifier: Apache-2.0 */
#include "den/router_add.h"
#include "base/clock.h"
#include "base/file.h"
#include "den/acting.h"
#include "den/adopt.h"
#include "den/folder.h"
#include "den/keys.h"
#include "den/record.h"
#include "den/rollover.h"
#include "den/signer_link.h"
#include "vault/vault.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* A router being taken in. */
struct adding {
    const struct router_add_order *order;
    const struct den_config *config;
    int lock_fd, den_fd;
    struct rpc_router_request request;
    struct pki_csr *csr;
    struct rpc_trust *trust;
    struct store *store;
    struct signer *signer;
    bool is_new;                /* to the manifest */
    struct buf passphrase, pin; /* of the signer's keys */
};

static void adding_deinit(struct adding *a)
{
    rpc_router_request_deinit(&a->request);
    pki_csr_free(a->csr);
    rpc_trust_free(a->trust);
    store_free(a->store);
    signer_free(a->signer);
    buf_wipe(&a->passphrase);
    buf_wipe(&a->pin);
    if (a->lock_fd >= 0)
        close(a->lock_fd);
    if (a->den_fd >= 0)
        close(a->den_fd);
}

/* What the operator named is read and written as the operator. */
static bool read_named(const char *path, size_t max, struct buf *ret_bytes, struct err *err)
{
    const struct owner self = owner_self();
    _acting_ struct acting as = { 0 };

    return acting_begin(&as, &self, err) && file_read(path, max, ret_bytes, err);
}

static bool read_request(struct adding *a, struct err *err)
{
    const char *path = a->order->request_path;
    _buf_ text = { 0 };

    if (!read_named(path, RPC_MAX_ROUTER_FILE, &text, err) ||
        !rpc_router_request_read(path, buf_view(&text), &a->request, err))
        return err_wrap(err, "the router's request");
    if (!pki_csr_read(buf_view(&a->request.csr), &a->csr, err) ||
        !pki_csr_check_names(a->csr, "router", a->config->network, err))
        return err_wrap(err, "%s: csr", path);
    return true;
}

/* Root has the signer's folder at hand, and gives it the order at once. Whoever has not is told what to order. */
static bool order_router(struct adding *a, struct err *err)
{
    const char *dir = a->order->signer_dir ? a->order->signer_dir : a->config->signer_folder;
    struct owner signer = { 0 };
    uint8_t spki[HASH_SIZE];
    _acting_ struct acting as = { 0 };

    if (getuid() != 0 || !dir || !*dir)
        return true;
    pki_csr_spki_hash(a->csr, spki);
    return owner_of_dir(dir, &signer, err) && acting_begin(&as, &signer, err) &&
           vault_order_add_router(dir, VIEW_ARR(spki), a->order->now + DAY_MS, err);
}

/* One that has a folder of its own is asked, as den asks it; it wants the operator's order there. A folder from before
 * signers had books gets one. */
static bool load_signer(struct adding *a, struct err *err)
{
    const struct signer_place place = { .socket = a->config->signer, .dir = a->config->state };
    struct signer_road road = { .send = signer_link_send,
                                .receive = signer_link_receive,
                                .free = signer_link_free_any };
    bool is_apart = place.socket && *place.socket, is_new;

    if (!folder_lock(a->config, &a->den_fd, err))
        return err->code == ERR_BUSY ? err_wrap(err, "stop warren-den first") : false;
    if (is_apart ? !order_router(a, err)
                 : !keys_ask(a->config->state, a->order->keys_fd, &a->passphrase, err) ||
                       !keys_ask_pin(a->config->state, a->order->pin_fd, &a->pin, err))
        return false;
    const struct signer_config signer = {
        .network = a->config->network,
        .crl_url = a->config->crl_url,
        .ca_url = a->config->ca_url,
        .secrets = { .passphrase = buf_view(&a->passphrase),
                     .login = { buf_view(&a->pin), TOKEN_ATTENDED } },
    };
    if (is_apart) {
        road.user = signer_link_new(&place);
        return signer_new_on(&road, &signer, &a->signer, err);
    }
    return adopt_book(a->config->state, a->store, a->trust, VIEW(NULL, 0), a->order->now, &is_new,
                      err) &&
           signer_load(a->config->state, &signer, &a->signer, err);
}

static bool open_parts(struct adding *a, struct err *err)
{
    struct err listed;

    if (!config_check_secrets(a->config, err) || !rollover_lock(a->config, &a->lock_fd, err) ||
        !folder_open_store(a->config, &a->store, err) ||
        !rollover_load_trust(a->config, a->store, &a->trust, err) ||
        (!a->order->root_request_path && !load_signer(a, err)))
        return false;
    a->is_new = !rpc_trust_check_key(a->trust, RPC_KEY_ROUTER, VIEW_ARR(a->request.public_key),
                                     a->order->now, &listed);
    if (!a->is_new && (a->order->root_request_path || a->order->root_response_path))
        return err_set(err, ERR_ALREADY_EXISTS,
                       "the newest manifest lists this router: the root is not needed");
    return true;
}

/* The next manifest, audited with it; a repeat finds the key listed and goes on from there. */
static bool list_router(struct adding *a, struct err *err)
{
    const struct router_add_order *order = a->order;
    const struct rollover_order step = {
        .config = a->config,
        .config_path = order->config_path,
        .step = CHANGE_ADD_ROUTER,
        .pk = VIEW_ARR(a->request.public_key),
        .host = a->request.host,
        .root_key = order->root_key_path,
        .passphrase_fd = order->passphrase_fd,
        .request_path = order->root_request_path,
        .response_path = order->root_response_path,
        .now = order->now,
    };

    return rollover_step(&step, a->store, &a->trust, order->ret_text, err);
}

static bool create_named(const char *path, struct view bytes, struct err *err)
{
    const struct owner self = owner_self();
    _acting_ struct acting as = { 0 };

    return acting_begin(&as, &self, err) && file_create(path, bytes, 0644, err);
}

/* den does not connect to every router: what it was given says what it has. */
static bool note_given(const struct adding *a, struct err *err)
{
    _free_ char *name = rollover_router_number(VIEW_ARR(a->request.public_key));
    _transaction_ struct store *open = a->store;

    return store_begin(open, err) &&
           store_number_raise(open, name, rpc_trust_manifest_no(a->trust), err) &&
           store_commit(open, err);
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
    return create_named(a->order->answer_path, buf_view(&text), err) && note_given(a, err);
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

static bool add(struct adding *a, struct err *err)
{
    if (!read_request(a, err) || !open_parts(a, err) || (a->is_new && !list_router(a, err)))
        return false;
    return a->order->root_request_path || (keep_csr(a, err) && put_answer(a, err));
}

bool router_add(const struct router_add_order *order, struct err *err)
{
    struct owner den = { 0 };
    _acting_ struct acting as = { 0 };
    _cleanup_(adding_deinit) struct adding a = {
        .order = order, .config = order->config, .lock_fd = -1, .den_fd = -1
    };

    if (!order->root_request_path && file_exists(order->answer_path))
        return err_set(err, ERR_ALREADY_EXISTS, "%s exists; nothing was overwritten",
                       order->answer_path);
    return owner_of_dir(order->config->state, &den, err) &&
           owner_check_guide(order->config_path, &den, err) && acting_begin(&as, &den, err) &&
           add(&a, err);
}
