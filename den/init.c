/* SPDX-License-Identifier: Apache-2.0 */
#include "den/init.h"
#include "base/clock.h"
#include "base/dir.h"
#include "base/file.h"
#include "den/config.h"
#include "den/init_wait.h"
#include "den/keys.h"
#include "den/passphrase.h"
#include "den/record.h"
#include "den/root_key.h"
#include "den/token_key.h"
#include "den/signer.h"
#include "den/token.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROUTER_LIFE_MS     (30 * DAY_MS)
#define ADMIN_JOIN_LIFE_MS (7 * DAY_MS)

/* A network in the making. */
struct founding {
    const struct init_order *order;
    const char *network;
    char *dir;  /* as asked for, without slashes at its end */
    char *work; /* where it is made */
    char *wait; /* where it waits for a root that is elsewhere */
    char *
        answer; /* where the answer is in the end; outside of `dir` it is written last, before the rename */
    bool is_answer_apart, is_answer_written, is_work_made;
    struct root_order asked;
    struct root_answer answered;
    struct buf request_text;
    struct rpc_router_request request;
    struct pki_csr *csr;
    struct buf passphrase, root_pin, pin;
    char *root_token, *token; /* what is said of keys there */
    struct pki_ca *root;      /* NULL: elsewhere */
    struct pki_cert *root_cert;
    struct pki_key *key; /* the intermediate's */
    struct signer *signer;
    struct key *login, *sign;
    struct rpc_trust *trust;
    struct store *store;
    struct buf router_der;
    uint64_t router_until;
};

static void founding_deinit(struct founding *f)
{
    store_free(f->store);
    if (f->is_work_made)
        dir_remove_flat(f->work);
    if (f->is_answer_written)
        unlink(f->answer);
    root_order_deinit(&f->asked);
    root_answer_deinit(&f->answered);
    buf_free(&f->request_text);
    rpc_router_request_deinit(&f->request);
    pki_csr_free(f->csr);
    buf_wipe(&f->passphrase);
    buf_wipe(&f->root_pin);
    buf_wipe(&f->pin);
    free(f->root_token);
    free(f->token);
    pki_ca_free(f->root);
    pki_cert_free(f->root_cert);
    pki_key_free(f->key);
    signer_free(f->signer);
    key_free(f->login);
    key_free(f->sign);
    rpc_trust_free(f->trust);
    buf_free(&f->router_der);
    free(f->dir);
    free(f->work);
    free(f->wait);
    free(f->answer);
}

/* ---- before anything is made --------------------------------------------------------------------- */

static bool check_free(const char *path, struct err *err)
{
    _free_ char *other = NULL;

    if (!dir_find_other(path, NULL, 0, &other, err))
        return false;
    if (!other)
        return true;
    err_set(err, ERR_ALREADY_EXISTS, "%s is not empty: it holds %s; nothing was overwritten", path,
            other);
    return err_advise(err, "give the name of a new folder");
}

static bool check_answer_path(struct founding *f, struct err *err)
{
    f->is_answer_apart = f->order->answer_path;
    f->answer =
        f->is_answer_apart ? mem_text(f->order->answer_path) : file_path(f->dir, "router.answer");
    if (f->is_answer_apart && file_exists(f->answer))
        return err_set(err, ERR_ALREADY_EXISTS, "%s exists; nothing was overwritten", f->answer);
    return true;
}

/* Of a network that waits, what it was begun with; what is said again has to be the same. */
static bool read_waiting(struct founding *f, struct err *err)
{
    const struct init_order *order = f->order;
    _buf_ answer = { 0 }, again = { 0 };

    if (!file_read(order->root_response, ROOT_MAX_FILE, &answer, err) ||
        !root_answer_read(order->root_response, buf_view(&answer), &f->answered, err) ||
        !init_wait_read(f->wait, &f->asked, &f->request_text, err))
        return false;
    f->network = f->asked.network;
    if (order->network && strcmp(order->network, f->network) != 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s is of network %s, not of %s", f->wait,
                       f->network, order->network);
    if (!order->request_path)
        return true;
    return file_read(order->request_path, RPC_MAX_ROUTER_FILE, &again, err) &&
           (view_eq(buf_view(&again), buf_view(&f->request_text)) ||
            err_set(err, ERR_INVALID_ARGUMENT,
                    "%s is another router's request than the one in %s, whose key the root signed",
                    order->request_path, f->wait));
}

static bool read_request(struct founding *f, struct err *err)
{
    const char *path = f->order->request_path ? f->order->request_path : f->wait;

    if (f->order->root_response && !read_waiting(f, err))
        return false;
    if ((!f->order->root_response &&
         !file_read(path, RPC_MAX_ROUTER_FILE, &f->request_text, err)) ||
        !rpc_router_request_read(path, buf_view(&f->request_text), &f->request, err))
        return err_wrap(err, "the router's request");
    if (!pki_csr_read(buf_view(&f->request.csr), &f->csr, err) ||
        !pki_csr_check_names(f->csr, "router", f->network, err))
        return err_wrap(err, "%s: csr", path);
    return true;
}

static bool check_uri(const char *option, const char *text, struct token_uri *ret_uri,
                      struct err *err)
{
    return !text || token_uri_read(view_text(text), ret_uri, err) || err_wrap(err, "--%s", option);
}

static bool ask_waiting_pin(struct founding *f, struct err *err)
{
    bool is_in_token;

    if (!keys_are_in_token(f->wait, &is_in_token, err) ||
        !keys_ask_pin(f->wait, f->order->pin_fd, &f->pin, err))
        return false;
    f->token = is_in_token ? mem_text("in its token") : NULL;
    return true;
}

/* Of two keys in one token the PIN is asked for once. */
static bool ask_pins(struct founding *f, struct err *err)
{
    const struct init_order *order = f->order;
    _cleanup_(token_uri_deinit) struct token_uri root = { 0 }, key = { 0 };

    if (!check_uri("root-key", order->root_key, &root, err) ||
        !check_uri("intermediate-key", order->intermediate_key, &key, err))
        return false;
    if (order->token_paths && !token_check_paths(order->token_paths, err))
        return err_wrap(err, "--token-paths");
    if (order->root_response)
        return ask_waiting_pin(f, err);
    if (!order->root_request &&
        !(order->root_key ? passphrase_read_pin(order->passphrase_fd, &f->root_pin, err)
                          : passphrase_read(order->passphrase_fd, true, &f->passphrase, err)))
        return false;
    if (!order->intermediate_key)
        return true;
    if (order->root_key && !order->pin_fd && token_uri_is_same_token(&root, &key)) {
        f->pin = buf_dup(buf_view(&f->root_pin));
        return true;
    }
    return keys_ask_pin_of("the intermediate's token", "--pin-fd", order->pin_fd, &f->pin, err);
}

static bool prepare(struct founding *f, struct err *err)
{
    const struct init_order *order = f->order;
    size_t len = strlen(order->dir);

    while (len > 1 && order->dir[len - 1] == '/')
        len--;
    if (len == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "the folder's name is empty");
    f->network = order->network;
    if (f->network && !text_is_network(view_text(f->network)))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "network: expected a name such as corp.example in lower case, found \"%s\"",
                       order->network);
    f->dir = view_dup_text(VIEW(order->dir, len));
    f->work = mem_format("%s.new-%ld", f->dir, (long)getpid());
    f->wait = init_wait_path(f->dir);
    if (order->root_request && file_exists(order->root_request))
        return err_set(err, ERR_ALREADY_EXISTS, "%s exists; nothing was overwritten",
                       order->root_request);
    return check_free(f->dir, err) && init_wait_check(f->dir, order->root_response, err) &&
           check_answer_path(f, err) && read_request(f, err) && ask_pins(f, err);
}

/* ---- keys and certificates ------------------------------------------------------------------------ */

static bool put(const struct founding *f, const char *name, struct view bytes, unsigned mode,
                struct err *err)
{
    _free_ char *path = file_path(f->work, name);

    return file_create(path, bytes, mode, err);
}

static bool put_cert(const struct founding *f, const char *name, const struct pki_cert *cert,
                     struct err *err)
{
    _buf_ pem = { 0 };

    pki_pem_put(&pem, "CERTIFICATE", pki_cert_der(cert));
    return put(f, name, buf_view(&pem), 0644, err);
}

static bool put_key(const struct founding *f, const char *name, const struct pki_key *key,
                    struct view passphrase, struct err *err)
{
    _buf_wipe_ pem = { 0 };

    return pki_key_write(key, passphrase, &pem, err) && put(f, name, buf_view(&pem), 0600, err);
}

static char *said_of(bool is_new)
{
    return mem_text(is_new ? "made in its token" : "was in its token before, and is used now");
}

static bool take_root(struct founding *f, struct err *err)
{
    const struct root_key_source from = { .key = f->order->root_key, .pin = &f->root_pin };
    _buf_ place = { 0 };
    bool is_new;

    if (!root_key_make(&from, f->network, f->order->now, &f->root, &place, &is_new, err))
        return false;
    f->root_token = said_of(is_new);
    return put(f, "root.key", buf_view(&place), 0600, err);
}

static bool make_root(struct founding *f, struct err *err)
{
    struct pki_key *key;

    if (f->order->root_key)
        return take_root(f, err);
    return pki_key_new(PKI_P384, &key, err) &&
           pki_ca_new_root(f->network, f->order->now, ROOT_LIFE_MS, key, &f->root, err) &&
           put_key(f, "root.key", pki_ca_key(f->root), buf_view(&f->passphrase), err);
}

static bool take_intermediate_key(struct founding *f, struct err *err)
{
    const struct token_key_order order = { .uri = f->order->intermediate_key,
                                           .paths = f->order->token_paths,
                                           .network = f->network,
                                           .no = 1,
                                           .login = { buf_view(&f->pin), TOKEN_ATTENDED } };
    _buf_ place = { 0 };
    bool is_new;

    if (!token_key_order(&order, &f->key, &place, &is_new, err))
        return false;
    f->token = said_of(is_new);
    return put(f, "intermediate.key", buf_view(&place), 0600, err);
}

static bool make_intermediate_key(struct founding *f, struct err *err)
{
    if (f->order->intermediate_key)
        return take_intermediate_key(f, err);
    return pki_key_new(PKI_P256, &f->key, err) &&
           put_key(f, "intermediate.key", f->key, VIEW(NULL, 0), err);
}

static bool make_key(const struct founding *f, const char *name, struct key **ret_key,
                     struct err *err)
{
    _free_ char *path = file_path(f->work, name);

    *ret_key = key_new();
    return key_write(*ret_key, path, err);
}

/* On the files that were written, with a book of its own. */
static bool make_signer(struct founding *f, struct err *err)
{
    const struct signer_config config = {
        .network = f->network,
        .secrets = { .login = { buf_view(&f->pin), TOKEN_ATTENDED } },
    };

    return vault_book_create(f->work, rpc_trust_netid(f->trust), f->network, err) &&
           signer_load(f->work, &config, &f->signer, err);
}

/* What the root signs is asked for and taken in one way, wherever it is. */
static bool make_order(struct founding *f, struct err *err)
{
    struct root_order *asked = &f->asked;

    asked->step = CHANGE_FOUND;
    asked->network = mem_text(f->network);
    asked->reason = mem_text("");
    asked->host = mem_text(f->request.host);
    asked->made_at = f->order->now;
    asked->pk = buf_dup(VIEW_ARR(f->request.public_key));
    asked->login_pk = buf_dup(key_public_view(f->login));
    asked->sign_pk = buf_dup(key_public_view(f->sign));
    if (!pki_csr_new(f->key, &asked->csr, err))
        return false;
    root_order_write(asked);
    return true;
}

static bool put_certificates(struct founding *f, struct err *err)
{
    _buf_ pem = { 0 };

    pki_pem_put(&pem, "CERTIFICATE", buf_view(&f->answered.intermediate));
    return pki_cert_read(buf_view(&f->answered.root), &f->root_cert, err) &&
           put_cert(f, "root.pem", f->root_cert, err) &&
           put(f, "intermediate.pem", buf_view(&pem), 0644, err);
}

static bool sign_here(struct founding *f, struct err *err)
{
    return make_root(f, err) && root_sign(&f->asked, &(struct root_signers){ f->root, NULL },
                                          f->order->now, &f->answered, err);
}

static bool take_trust(struct founding *f, struct err *err)
{
    _buf_ bytes = { 0 };

    if (!root_accept(&f->trust, &f->asked, &f->answered, f->order->now, err))
        return err_wrap(err, "what the root signed");
    rpc_trust_save(f->trust, &bytes);
    return put_certificates(f, err) && put(f, "trust", buf_view(&bytes), 0600, err);
}

/* ---- the store, from its first entry on ------------------------------------------------------------ */

static bool audit_founding(struct founding *f, struct err *err)
{
    const struct deed deed = deed_here(f->order->now);
    _transaction_ struct store *open = f->store;
    char root[RECORD_HEX], intermediate[RECORD_HEX], router[RECORD_HEX], manifest[RECORD_HEX];
    uint8_t root_hash[HASH_SIZE], intermediate_hash[HASH_SIZE], manifest_hash[HASH_SIZE];

    pki_cert_hash(f->root_cert, root_hash);
    pki_cert_hash(signer_cert(f->signer), intermediate_hash);
    hash_sha256(rpc_trust_manifest_bytes(f->trust), manifest_hash);
    const struct audit_pair pairs[] = {
        AUDIT_TEXT("network", f->network),
        AUDIT_TEXT("root", record_hex(VIEW_ARR(root_hash), root)),
        AUDIT_TEXT("intermediate", record_hex(VIEW_ARR(intermediate_hash), intermediate)),
        AUDIT_TEXT("manifest", record_hex(VIEW_ARR(manifest_hash), manifest)),
        AUDIT_TEXT("router", record_hex(VIEW_ARR(f->request.public_key), router)),
        AUDIT_TEXT("host", f->request.host),
        DEED_PAIRS(&deed),
    };
    return store_begin(open, err) &&
           audit_append(open, f->order->now, "network.created", pairs, N_ELEMENTS(pairs), err) &&
           store_commit(open, err);
}

static bool make_store(struct founding *f, struct err *err)
{
    _free_ char *path = file_path(f->work, "den.db");

    return store_create(path, err) && store_open(path, &f->store, err) && audit_founding(f, err);
}

static bool put_answer(struct founding *f, struct err *err)
{
    struct rpc_router_answer answer = {
        .network = mem_text(f->network),
        .certificate = buf_dup(buf_view(&f->router_der)),
        .chain = buf_dup(pki_cert_der(signer_cert(f->signer))),
    };
    _buf_ text = { 0 };

    rpc_trust_save(f->trust, &answer.trust);
    rpc_router_answer_write(&answer, &text);
    rpc_router_answer_deinit(&answer);
    if (!f->is_answer_apart)
        return put(f, "router.answer", buf_view(&text), 0644, err);
    f->is_answer_written = file_create(f->answer, buf_view(&text), 0644, err);
    return f->is_answer_written;
}

static bool certify_router(struct founding *f, struct err *err)
{
    const struct signer_order order = {
        .profile = PKI_ROUTER,
        .label = "router",
        .csr = f->csr,
        .der = buf_view(&f->request.csr),
        .now = f->order->now,
        .life = ROUTER_LIFE_MS,
    };
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    _buf_ csr = { 0 };

    if (!signer_issue(f->signer, f->store, &order, &f->router_der, err) ||
        !pki_cert_read(buf_view(&f->router_der), &cert, err))
        return false;
    f->router_until = pki_cert_facts(cert)->not_after;
    pki_pem_put(&csr, "CERTIFICATE REQUEST", buf_view(&f->request.csr)); /* to renew from */
    return put(f, "router.csr", buf_view(&csr), 0644, err) && put_answer(f, err);
}

static bool put_join(const struct founding *f, struct err *err)
{
    const struct token_order order = {
        .role = "admin",
        .uses = 1,
        .life_ms = ADMIN_JOIN_LIFE_MS,
        .deed = deed_here(f->order->now),
        .router = f->request.host,
        .trust = f->trust,
    };
    _buf_wipe_ join = { 0 };

    if (!token_new(f->store, &order, &join, err))
        return false;
    buf_put_text(&join, "\n");
    return put(f, "admin.join", buf_view(&join), 0600, err);
}

static bool put_configuration(const struct founding *f, struct err *err)
{
    _buf_ text = { 0 };

    config_write(&(struct config_values){ .network = f->network,
                                          .router = f->request.host,
                                          .intermediate_key = f->order->intermediate_key,
                                          .token_paths = f->order->token_paths },
                 &text);
    return put(f, "den.conf", buf_view(&text), 0600, err) &&
           put(f, "policy.yaml", view_text(init_policy), 0600, err);
}

/* ---- all or nothing ------------------------------------------------------------------------------- */

static bool sync_dir(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;

    if (!ok)
        err_errno(err, "%s: syncing the folder", path);
    if (fd >= 0)
        close(fd);
    return ok;
}

static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return mem_text(".");
    return view_dup_text(VIEW(path, slash == path ? 1 : (size_t)(slash - path)));
}

static bool move_work(struct founding *f, const char *to, struct err *err)
{
    _free_ char *parent = parent_of(f->dir);

    if (!sync_dir(f->work, err))
        return false;
    if (rename(f->work, to) != 0)
        return err_errno(err, "%s", to);
    f->is_work_made = false;
    f->is_answer_written = false;
    return sync_dir(parent, err);
}

/* From here on the network is there. */
static bool reveal(struct founding *f, struct err *err)
{
    store_free(f->store); /* its log is folded in: the database is one file */
    f->store = NULL;
    if (!move_work(f, f->dir, err))
        return false;
    if (f->order->root_response)
        dir_remove_flat(f->wait);
    return true;
}

/* A folder that stands there is not ours to fill, and least of all to remove. */
static bool make_work(struct founding *f, struct err *err)
{
    assert(f->work); /* prepare() named it */
    const char *slash = strrchr(f->work, '/');
    _free_ char *parent =
        slash && slash != f->work ? view_dup_text(VIEW(f->work, (size_t)(slash - f->work))) : NULL;

    if (parent && !file_exists(parent) && !file_private_dir(parent, err))
        return false;
    f->is_work_made = mkdir(f->work, 0700) == 0;
    if (!f->is_work_made && errno == EEXIST)
        return err_set(err, ERR_ALREADY_EXISTS,
                       "%s exists; nothing was overwritten: remove it, if it is left from an init "
                       "that was killed",
                       f->work);
    return f->is_work_made || err_errno(err, "%s", f->work);
}

static bool make_own_keys(struct founding *f, struct err *err)
{
    return make_intermediate_key(f, err) && make_key(f, "login.key", &f->login, err) &&
           make_key(f, "sign.key", &f->sign, err) && make_order(f, err) &&
           put_configuration(f, err);
}

static bool finish(struct founding *f, struct err *err)
{
    return take_trust(f, err) && make_signer(f, err) && make_store(f, err) &&
           certify_router(f, err) && put_join(f, err) && reveal(f, err);
}

/* The request leaves last: a response to it finds its keys here. */
static bool wait_for_root(struct founding *f, struct err *err)
{
    if (!init_wait_put(f->work, &f->asked, buf_view(&f->request_text), err) ||
        !move_work(f, f->wait, err))
        return false;
    if (file_create(f->order->root_request, buf_view(&f->asked.text), 0644, err))
        return true;
    dir_remove_flat(f->wait);
    return false;
}

static bool make(struct founding *f, struct err *err)
{
    if (!make_work(f, err))
        return false;
    if (f->order->root_response)
        return init_wait_copy(f->wait, f->work, err) && finish(f, err);
    if (!make_own_keys(f, err))
        return false;
    if (f->order->root_request)
        return wait_for_root(f, err);
    return sign_here(f, err) && finish(f, err);
}

/* Takes a second at most; a signal meanwhile waits, so that it leaves nothing half-made behind. */
static bool make_undisturbed(struct founding *f, struct err *err)
{
    sigset_t waiting, before;
    bool ok;

    sigemptyset(&waiting);
    sigaddset(&waiting, SIGINT);
    sigaddset(&waiting, SIGTERM);
    sigaddset(&waiting, SIGHUP);
    sigprocmask(SIG_BLOCK, &waiting, &before);
    ok = make(f, err);
    if (!ok && f->is_work_made) {
        store_free(f->store);
        f->store = NULL;
        dir_remove_flat(f->work);
        f->is_work_made = false;
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return ok;
}

bool init_network(const struct init_order *order, struct buf *ret_text, struct err *err)
{
    _cleanup_(founding_deinit) struct founding f = { .order = order };
    uint8_t pin[HASH_SIZE];
    char pin_text[RECORD_HEX];

    if (!prepare(&f, err) || !make_undisturbed(&f, err))
        return err_wrap(err, "init");
    if (order->root_request) {
        init_put_waiting(f.dir, f.wait, order->root_request, order->intermediate_key != NULL,
                         ret_text);
        return true;
    }
    pki_cert_hash(f.root_cert, pin);
    const struct init_made made = {
        .dir = f.dir,
        .network = f.network,
        .is_root_elsewhere = order->root_response,
        .host = f.request.host,
        .answer_path = f.answer,
        .root_token = f.root_token,
        .intermediate_token = f.token,
        .pin = record_hex(VIEW_ARR(pin), pin_text),
        .root_until = pki_cert_facts(f.root_cert)->not_after,
        .intermediate_until = pki_cert_facts(signer_cert(f.signer))->not_after,
        .router_until = f.router_until,
        .manifest_until = rpc_trust_manifest(f.trust)->not_after,
        .join_until = order->now + ADMIN_JOIN_LIFE_MS,
    };
    init_put_text(&made, ret_text);
    return true;
}
