/* SPDX-License-Identifier: Apache-2.0 */
#include "router/state.h"
#include "base/clock.h"
#include "base/dir.h"
#include "base/file.h"
#include "base/log.h"
#include "base/secret.h"
#include "router/certificate.h"
#include "router/config.h"
#include "router/denials.h"

#include <errno.h>
#include <unistd.h>

enum {
    MAX_KEY_FILE = 8192,
    MAX_CHAIN_FILE = 128 * 1024,
    MAX_TRUST_FILE = 1024 * 1024,
    MAX_REVOCATIONS_FILE = 1024 * 1024 * 1024,
    MAX_ACTS_FILE = 2 * DENIALS_MAX_KEPT,
    MAX_NETKEYS_FILE = NETKEYS_HASH * (NETKEYS_MAX + 2)
};

void state_deinit(struct state *state)
{
    key_free(STEAL(state->key));
    buf_wipe(&state->tls_key);
    rpc_trust_free(STEAL(state->trust));
    rpc_revoked_free(STEAL(state->revoked));
    for (size_t i = 0; i < state->n_chain; i++)
        buf_free(&state->chain[i]);
    state->n_chain = 0;
}

size_t state_chain_views(const struct state *state, struct view *chain)
{
    for (size_t i = 0; i < state->n_chain; i++)
        chain[i] = buf_view(&state->chain[i]);
    return state->n_chain;
}

static bool is_sealed(const char *path)
{
    struct err ignored;
    bool is = false;

    return secret_is_sealed(path, &is, &ignored) && is;
}

bool state_is_sealed(const char *dir)
{
    _free_ char *key = file_path(dir, STATE_KEY), *tls = file_path(dir, STATE_TLS_KEY);

    return is_sealed(key) || is_sealed(tls);
}

bool state_change_passphrase(const char *dir, struct view old, struct view next, struct err *err)
{
    _free_ char *key = file_path(dir, STATE_KEY), *tls = file_path(dir, STATE_TLS_KEY);

    return file_check_private_dir(dir, err) && secret_change(key, old, next, err) &&
           secret_change(tls, old, next, err);
}

static bool load_tls_key(const char *dir, struct state *state, struct err *err)
{
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;
    _free_ char *path = file_path(dir, STATE_TLS_KEY);
    _buf_wipe_ pem = { 0 };

    if (state->has_keys && is_sealed(path))
        return true;
    if (!secret_read(path, MAX_KEY_FILE, state->passphrase, &pem, err))
        return false;
    if (!pki_key_read(buf_view(&pem), (struct view){ 0 }, &key, err))
        return err_wrap(err, "%s", path);
    if (!pki_key_spki_hash(key, state->tls_spki, err))
        return err_wrap(err, "%s", path);
    return pki_key_der(key, &state->tls_key, err) || err_wrap(err, "%s", path);
}

static bool check_router_lives(const char *dir, struct err *err)
{
    _free_ char *path = file_path(dir, STATE_KEY);

    if (access(path, F_OK) == 0 || errno != ENOENT)
        return true; /* what keeps us from it is said where it is read */
    err_set(err, ERR_NOT_FOUND,
            "no router lives in %s: it holds no %s, which `warren-router init` makes", dir,
            STATE_KEY);
    return err_advise(err, "give the folder that `warren-router init` made");
}

static bool load_own_key(const char *dir, struct state *state, struct err *err)
{
    _free_ char *path = file_path(dir, STATE_KEY);

    if (!check_router_lives(dir, err) || !file_check_private_dir(dir, err))
        return false;
    if (state->has_keys && is_sealed(path))
        return true;
    if (key_unlock(path, state->passphrase, &state->key, err)) {
        memcpy(state->pk, key_public(state->key), KEY_SIZE);
        return true;
    }
    return false;
}

static bool load_keys(const char *dir, struct state *state, struct err *err)
{
    return load_own_key(dir, state, err) && load_tls_key(dir, state, err);
}

bool state_load_trust(const char *dir, struct rpc_trust **ret_trust, struct err *err)
{
    _free_ char *path = file_path(dir, STATE_TRUST);
    _buf_ bytes = { 0 };

    if (!file_read(path, MAX_TRUST_FILE, &bytes, err)) {
        if (err->code == ERR_NOT_FOUND)
            err_wrap(err, "no network has taken this router in: give " STATE_REQUEST
                          " to warren-den, then run `warren-router accept`");
        return false;
    }
    return rpc_trust_load(buf_view(&bytes), pki_verify_by_cert, ret_trust, err) ||
           err_wrap(err, "%s", path);
}

/* One that cannot be read lets nobody in: the router does not start. `is_check`: nothing is written. */
static bool load_revocations(const char *dir, bool is_check, struct state *state, struct err *err)
{
    _free_ char *path = file_path(dir, STATE_REVOCATIONS);
    _buf_ bytes = { 0 };
    size_t len;

    if (!file_exists(path)) {
        rpc_revoked_put_head(&bytes);
        state->revoked = rpc_revoked_new();
        return is_check || file_write(path, buf_view(&bytes), 0600, err);
    }
    if (!file_read(path, MAX_REVOCATIONS_FILE, &bytes, err))
        return false;
    if (!rpc_revoked_load(buf_view(&bytes), state->trust, &state->revoked, &len, err))
        return err_wrap(err, "%s: damaged; when it is moved away, den hands all of it over again",
                        path);
    return is_check || len == bytes.len ||
           file_write(path, view_sub(buf_view(&bytes), 0, len), 0600, err);
}

static bool load_chain(const char *dir, struct state *state, struct err *err)
{
    _free_ char *path = file_path(dir, STATE_CHAIN);
    _buf_ pem = { 0 };

    if (!file_read(path, MAX_CHAIN_FILE, &pem, err))
        return false;
    return pki_pem_read_all(buf_view(&pem), "CERTIFICATE", state->chain, PKI_MAX_CHAIN,
                            &state->n_chain, err) ||
           err_wrap(err, "%s", path);
}

/* That the network knows this router's key, and that the certificate is for it. */
static bool check(const struct state *state, uint64_t now, uint64_t *ret_not_after, struct err *err)
{
    struct certificate_question question = { state->trust, state->tls_spki, now };
    struct view chain[PKI_MAX_CHAIN];
    size_t n = state_chain_views(state, chain);

    if (!rpc_trust_check_key(state->trust, RPC_KEY_ROUTER, VIEW_ARR(state->pk), now, err))
        return err_wrap(err, STATE_KEY);
    return certificate_judge(&question, chain, n, ret_not_after, err);
}

static bool judge(const struct state *state, uint64_t now, uint64_t *ret_not_after, struct err *err)
{
    if (check(state, now, ret_not_after, err))
        return true;
    if (err->code != ERR_EXPIRED)
        return false;
    log_event(LOG_WARN, "certificate_expired", "why=%s", log_quote_text(err->text));
    return true;
}

bool state_load(const char *dir, uint64_t now, struct state *ret_state, struct err *err)
{
    _cleanup_(state_deinit) struct state state = { .passphrase = ret_state->passphrase };

    if (!load_keys(dir, &state, err) || !state_load_trust(dir, &state.trust, err) ||
        !load_revocations(dir, false, &state, err) || !load_chain(dir, &state, err) ||
        !judge(&state, now, &state.not_after, err))
        return false;
    *ret_state = state;
    state = (struct state){ 0 };
    return true;
}

/* ---- checking -------------------------------------------------------------------------------- */

struct checking {
    struct buf *all;
    struct err *first;
    unsigned n;
};

static bool note(struct checking *c, bool ok, const struct err *err)
{
    if (ok)
        return true;
    buf_printf(c->all, "%s\n", err->text);
    if (c->n++ == 0)
        *c->first = *err;
    return false;
}

bool state_check(const char *dir, uint64_t now, struct state *ret_state, struct buf *ret_all,
                 struct err *err)
{
    struct checking c = { ret_all, err, 0 };
    struct err one = { 0 };

    if (!note(&c, load_own_key(dir, ret_state, &one), &one) && one.code == ERR_NOT_FOUND)
        return false; /* there is no router: nothing more to say */
    note(&c, load_tls_key(dir, ret_state, &one), &one);
    note(&c, load_chain(dir, ret_state, &one), &one);
    if (note(&c, state_load_trust(dir, &ret_state->trust, &one), &one))
        note(&c, load_revocations(dir, true, ret_state, &one), &one);
    if (c.n == 0)
        note(&c, judge(ret_state, now, &ret_state->not_after, &one), &one);
    return c.n == 0;
}

bool state_save_trust(const char *dir, struct view bytes, struct err *err)
{
    _free_ char *path = file_path(dir, STATE_TRUST);

    return file_write(path, bytes, 0600, err);
}

bool state_read_revocations(const char *dir, struct buf *ret_file, struct err *err)
{
    _free_ char *path = file_path(dir, STATE_REVOCATIONS);

    return file_read(path, MAX_REVOCATIONS_FILE, ret_file, err);
}

bool state_keep_revocations(const char *dir, struct view records, struct err *err)
{
    _free_ char *path = file_path(dir, STATE_REVOCATIONS);

    return file_append(path, records, err);
}

/* Without it nobody could tell which keys cryptosign has to refuse: the router does not start. */
static bool load_netkeys(const char *path, struct buf *file, size_t *ret_len,
                         struct netkeys **ret_keys, struct err *err)
{
    if (!file_exists(path)) {
        *ret_len = 0;
        *ret_keys = netkeys_new(NETKEYS_MAX);
        return true;
    }
    if (!file_read(path, MAX_NETKEYS_FILE, file, err))
        return false;
    return netkeys_load(buf_view(file), NETKEYS_MAX, ret_keys, ret_len, err) ||
           err_wrap(err, "%s", path);
}

bool state_read_netkeys(const char *dir, struct netkeys **ret_keys, struct err *err)
{
    _free_ char *path = file_path(dir, STATE_NETKEYS);
    _buf_ file = { 0 };
    size_t len;

    return load_netkeys(path, &file, &len, ret_keys, err);
}

bool state_open_netkeys(const char *dir, struct netkeys **ret_keys, struct err *err)
{
    _cleanup_(netkeys_freep) struct netkeys *keys = NULL;
    _free_ char *path = file_path(dir, STATE_NETKEYS);
    _buf_ file = { 0 };
    size_t len;

    if (!load_netkeys(path, &file, &len, &keys, err))
        return false;
    if (len == 0)
        netkeys_put_head(&file);
    if ((len == 0 || len < file.len) && /* a record was cut short */
        !file_write(path, view_sub(buf_view(&file), 0, len ? len : file.len), 0600, err))
        return false;
    *ret_keys = STEAL(keys);
    return true;
}

bool state_keep_netkeys(const char *dir, struct view records, struct err *err)
{
    _free_ char *path = file_path(dir, STATE_NETKEYS);

    return file_append(path, records, err);
}

bool state_read_acts(const char *dir, struct buf *ret_file, struct err *err)
{
    _free_ char *path = file_path(dir, STATE_ACTS);

    return !file_exists(path) || file_read(path, MAX_ACTS_FILE, ret_file, err);
}

bool state_keep_acts(const char *dir, struct view records, bool is_all, struct err *err)
{
    _free_ char *path = file_path(dir, STATE_ACTS);

    return is_all || !file_exists(path) ? file_write(path, records, 0600, err)
                                        : file_append(path, records, err);
}

bool state_save_chain(const char *dir, const struct view *chain, size_t n, struct err *err)
{
    _free_ char *path = file_path(dir, STATE_CHAIN);
    _buf_ pem = { 0 };

    for (size_t i = 0; i < n; i++)
        pki_pem_put(&pem, "CERTIFICATE", chain[i]);
    return file_write(path, buf_view(&pem), 0600, err);
}

/* ---- init ------------------------------------------------------------------------------------ */

static bool make_tls_key(const char *dir, struct buf *ret_csr, struct err *err)
{
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;
    _free_ char *path = file_path(dir, STATE_TLS_KEY);
    _buf_wipe_ pem = { 0 };

    if (!pki_key_new(PKI_P256, &key, err) || !pki_key_write(key, (struct view){ 0 }, &pem, err))
        return false;
    return pki_csr_new(key, ret_csr, err) && file_create(path, buf_view(&pem), 0600, err);
}

static bool write_text(const char *dir, const char *name, struct view text, struct err *err)
{
    _free_ char *path = file_path(dir, name);

    return file_create(path, text, 0600, err);
}

/* With another program's things in it, it is not ours to change the rights of. */
static bool check_free(const char *dir, struct err *err)
{
    _free_ char *key = file_path(dir, STATE_KEY);
    _free_ char *other = NULL;

    if (file_exists(key)) {
        err_set(err, ERR_ALREADY_EXISTS,
                "%s has a router already: %s exists; nothing was overwritten", dir, STATE_KEY);
        return err_advise(err, "give the name of a new folder");
    }
    if (!dir_find_other(dir, NULL, 0, &other, err))
        return false;
    if (!other)
        return true;
    err_set(err, ERR_ALREADY_EXISTS, "%s is not empty: it holds %s; nothing was overwritten", dir,
            other);
    return err_advise(err, "give the name of a new folder");
}

bool state_init(const char *dir, const char *host, const char *listen, struct err *err)
{
    _cleanup_(key_freep) struct key *key = key_new();
    _free_ char *key_path = file_path(dir, STATE_KEY);
    _buf_ csr = { 0 };
    _buf_ conf = { 0 };
    _buf_ request = { 0 };

    if (!rpc_join_check_host(view_text(host), err) || !check_free(dir, err) ||
        !file_private_dir(dir, err) || !key_write(key, key_path, err) ||
        !make_tls_key(dir, &csr, err))
        return false;
    router_config_template(host, listen, &conf);
    rpc_router_request_write(host, buf_view(&csr), key, &request);
    return write_text(dir, STATE_CONF, buf_view(&conf), err) &&
           write_text(dir, STATE_REQUEST, buf_view(&request), err);
}

/* ---- accept ---------------------------------------------------------------------------------- */

/* Moves the answer's parts into `state`. */
static bool take_answer(const struct rpc_router_answer *answer, struct state *state,
                        struct err *err)
{
    if (!rpc_trust_load(buf_view(&answer->trust), pki_verify_by_cert, &state->trust, err))
        return err_wrap(err, "trust");
    if (strcmp(rpc_trust_network(state->trust), answer->network) != 0)
        return err_set(err, ERR_BAD_CONFIG, "network: %s, but its manifest says %s",
                       answer->network, rpc_trust_network(state->trust));
    state->chain[0] = buf_dup(buf_view(&answer->certificate));
    state->chain[1] = buf_dup(buf_view(&answer->chain));
    state->n_chain = 2;
    return true;
}

/* The answer brings no newer heartbeat than the router has seen: its number must not fall. One
 * that the new manifest's keys did not sign is of no use any more. */
static void keep_heartbeat(const struct rpc_trust *before, struct rpc_trust *trust)
{
    enum rpc_heart heart;
    struct err ignored;

    if (rpc_trust_heartbeat(before))
        (void)rpc_trust_add_heartbeat(trust, rpc_trust_heartbeat_bytes(before),
                                      rpc_trust_heartbeat_sig(before), clock_mono_ms(),
                                      clock_wall_ms(), &heart, &ignored);
}

/* A router that is in a network stays in it: another network's answer is a mistake, or worse. */
static bool check_same_network(const char *dir, const struct state *state, struct err *err)
{
    _cleanup_(rpc_trust_freep) struct rpc_trust *before = NULL;
    _free_ char *path = file_path(dir, STATE_TRUST);

    if (!file_exists(path))
        return true;
    if (!state_load_trust(dir, &before, err))
        return false;
    if (!view_eq(rpc_trust_netid(before), rpc_trust_netid(state->trust)))
        return err_set(err, ERR_BAD_PIN, "this router belongs to another network, %s",
                       rpc_trust_network(before));
    if (rpc_trust_manifest(state->trust)->manifest_no < rpc_trust_manifest(before)->manifest_no)
        return err_set(err, ERR_STALE,
                       "the answer is older than what is installed: ask den for a new one");
    keep_heartbeat(before, state->trust);
    return true;
}

static bool install(const char *dir, const struct state *state, struct err *err)
{
    struct view chain[PKI_MAX_CHAIN];
    _buf_ trust = { 0 };
    size_t n = state_chain_views(state, chain);

    rpc_trust_save(state->trust, &trust);
    return state_save_chain(dir, chain, n, err) && state_save_trust(dir, buf_view(&trust), err);
}

/* A running router keeps the trust set in memory and would write its own over ours. */
static bool lock(const char *dir, int *ret_fd, struct err *err)
{
    _free_ char *path = file_path(dir, STATE_LOCK);

    return file_lock(path, ret_fd, err) || err_wrap(err, "stop the router first");
}

static bool accept_locked(const char *dir, const char *answer_path, uint64_t now, struct err *err)
{
    _cleanup_(rpc_router_answer_deinit) struct rpc_router_answer answer = { 0 };
    _cleanup_(state_deinit) struct state state = { 0 };
    uint64_t not_after;
    _buf_ text = { 0 };

    if (!load_keys(dir, &state, err) || !file_read(answer_path, RPC_MAX_ROUTER_FILE, &text, err))
        return false;
    if (!rpc_router_answer_read(answer_path, buf_view(&text), &answer, err))
        return false;
    if (!take_answer(&answer, &state, err) || !check(&state, now, &not_after, err) ||
        !check_same_network(dir, &state, err))
        return err_wrap(err, "%s", answer_path);
    return install(dir, &state, err);
}

bool state_accept(const char *dir, const char *answer_path, uint64_t now, struct err *err)
{
    bool is_accepted;
    int fd;

    if (!check_router_lives(dir, err) || !file_check_private_dir(dir, err) || !lock(dir, &fd, err))
        return false;
    is_accepted = accept_locked(dir, answer_path, now, err);
    close(fd);
    return is_accepted;
}
