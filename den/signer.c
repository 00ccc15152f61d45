/* SPDX-License-Identifier: Apache-2.0 */
#include "den/signer_in.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/list.h"
#include "base/log.h"
#include "den/record.h"

#include <inttypes.h>
#include <stdio.h>

/* An answer of a vault in this process, until it is taken. */
struct kept {
    struct list node;
    struct buf bytes;
    struct err err; /* code ERR_NONE: there is one */
};

/* ---- asking ------------------------------------------------------------------------------------------ */

static bool hello(struct signer *s, struct err *err);

/* One that was started anew says first who it is. */
bool signer_greet(struct signer *s, struct err *err)
{
    return signer_generation(s) == s->generation || hello(s, err);
}

uint64_t signer_generation(const struct signer *s)
{
    return s->road.generation ? s->road.generation(s->road.user) : 0;
}

/* What others asked before is answered before: it is kept for signer_look(). */
bool signer_ask(struct signer *s, const struct buf *request, struct buf *answer,
                struct vault_in *ret_in, struct err *err)
{
    bool is_there;

    if (request->data[0] != VAULT_HELLO && !signer_greet(s, err))
        return false;
    if (!s->road.send(s->road.user, buf_view(request), err))
        return false;
    signer_land(s, FLIGHTS_WAIT);
    if (!s->road.receive(s->road.user, true, answer, &is_there, err))
        return false;
    s->heard_at = clock_mono_ms();
    *ret_in = (struct vault_in){ .rest = buf_view(answer) };
    return vault_take_outcome(ret_in, err);
}

bool signer_end(const struct vault_in *in, struct err *err)
{
    return vault_end(in) || err_set(err, ERR_INTERNAL, "the signer's answer is damaged");
}

static bool read_hello(struct signer *s, struct vault_in *in, struct err *err)
{
    struct pki_cert *cert = NULL;
    struct view pk = vault_fixed(in, KEY_SIZE), der = vault_bytes(in, PKI_MAX_CERT),
                netid = vault_fixed(in, HASH_SIZE), report = vault_bytes(in, sizeof(s->report) - 1);

    struct signer_numbers numbers = { .hb_no = vault_u64(in) };
    numbers.crl_no = vault_u64(in);
    numbers.crl_at = vault_u64(in);
    numbers.rev_no = vault_u64(in);
    if (!signer_end(in, err) || !pki_cert_read(der, &cert, err))
        return false;
    pki_cert_free(s->cert);
    s->cert = cert;
    s->numbers = numbers;
    memcpy(s->sign_pk, pk.data, KEY_SIZE);
    memcpy(s->netid, netid.data, HASH_SIZE);
    snprintf(s->report, sizeof(s->report), "%.*s", VIEW_FMT(report));
    return true;
}

void signer_write_hello(struct buf *request)
{
    buf_put_u8(request, VAULT_HELLO);
    buf_put_u8(request, VAULT_VERSION);
}

/* It runs since before an upgrade, or den does: no file is damaged. */
bool signer_is_strange(struct err *err)
{
    if (err->code == ERR_BAD_WIRE)
        err_advise(err, "den and its signer are of two versions: install both from one, restart "
                        "the signer's service (warren-den-signer), then den");
    return err_wrap(err, "signer");
}

bool signer_take_hello(struct signer *s, struct vault_in *in, struct err *err)
{
    if (!read_hello(s, in, err))
        return err_wrap(err, "signer");
    s->generation = signer_generation(s);
    if (*s->report)
        log_event(LOG_INFO, "signer.ready", "%s", s->report);
    return true;
}

static bool hello(struct signer *s, struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    signer_write_hello(&request);
    return signer_ask(s, &request, &answer, &in, err) ? signer_take_hello(s, &in, err)
                                                      : signer_is_strange(err);
}

/* ---- a vault in this process --------------------------------------------------------------------------- */

static bool ask_vault(struct signer *s, struct view request, struct buf *answer, struct err *err)
{
    uint64_t now = s->config.clock ? s->config.clock(s->config.clock_user) : clock_wall_ms();

    if (!s->vault && !vault_open(s->dir, VAULT_ASKED_BY_OPERATOR, &s->vault, err))
        return false; /* it could not be opened anew before */
    switch (vault_handle(s->vault, now, request, answer)) {
    case VAULT_LEAVES:
    case VAULT_ANSWERED:
        return true;
    case VAULT_JUNK:
        return err_set(err, ERR_INTERNAL, "the signer does not understand the request");
    case VAULT_BROKEN:
        return err_set(err, ERR_SYSTEM, "the signer's book could not be written");
    }
    abort();
}

static bool send_vault(void *user, struct view request, _unused_ struct err *err)
{
    struct kept *kept = mem_new(struct kept);
    struct signer *s = user;

    list_append(&s->kept, &kept->node);
    if (!ask_vault(s, request, &kept->bytes, &kept->err))
        buf_clear(&kept->bytes);
    return true;
}

static void kept_free(struct kept *kept)
{
    list_remove(&kept->node);
    buf_free(&kept->bytes);
    free(kept);
}

static bool receive_vault(void *user, _unused_ bool waits, struct buf *answer, bool *ret_is_there,
                          struct err *err)
{
    struct signer *s = user;
    struct kept *kept;
    bool ok;

    *ret_is_there = !list_is_empty(&s->kept);
    if (!*ret_is_there)
        return true;
    kept = LIST_ITEM(s->kept.next, struct kept, node);
    ok = kept->err.code == ERR_NONE;
    if (ok)
        buf_put(answer, buf_view(&kept->bytes));
    else
        *err = kept->err;
    kept_free(kept);
    return ok;
}

static struct signer *make(const struct signer_config *config)
{
    struct signer *s = mem_new(struct signer);

    list_init(&s->kept);
    list_init(&s->flights);
    s->config = *config;
    s->config.secrets = (struct vault_secrets){ 0 };
    s->network = mem_text(config->network);
    s->crl_url = mem_text(config->crl_url ? config->crl_url : "");
    s->ca_url = mem_text(config->ca_url ? config->ca_url : "");
    s->ocsp_url = mem_text(config->ocsp_url ? config->ocsp_url : "");
    return s;
}

bool signer_new_on(const struct signer_road *road, const struct signer_config *config,
                   struct signer **ret_signer, struct err *err)
{
    _cleanup_(signer_freep) struct signer *s = make(config);

    s->road = *road;
    if (!hello(s, err))
        return false;
    *ret_signer = STEAL(s);
    return true;
}

bool signer_new(struct vault *vault_taken, const struct signer_config *config,
                struct signer **ret_signer, struct err *err)
{
    _cleanup_(signer_freep) struct signer *s = make(config);

    s->vault = vault_taken;
    s->road = (struct signer_road){ .send = send_vault, .receive = receive_vault, .user = s };
    if (!hello(s, err))
        return false;
    *ret_signer = STEAL(s);
    return true;
}

bool signer_load(const char *dir, const struct signer_config *config, struct signer **ret_signer,
                 struct err *err)
{
    struct vault *vault;

    if (!vault_unlock(dir, VAULT_ASKED_BY_OPERATOR, &config->secrets, &vault, err) ||
        !signer_new(vault, config, ret_signer, err))
        return false;
    (*ret_signer)->dir = mem_text(dir);
    return true;
}

/* The book is locked by whoever has it open: the old vault goes first, once the new keys can be read. */
static bool open_vault_again(struct signer *s, struct err *err)
{
    struct vault_keys keys = { 0 };

    if (!vault_keys_read(s->dir, &(struct vault_secrets){ 0 }, &keys, err))
        return err->code == ERR_LOCKED ? err_wrap(err, "start warren-den anew") : false;
    vault_keys_deinit(&keys);
    vault_free(s->vault);
    s->vault = NULL;
    return vault_open(s->dir, VAULT_ASKED_BY_OPERATOR, &s->vault, err);
}

bool signer_re_open(struct signer *s, struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    if (s->road.may_leave && !s->road.may_leave(s->road.user, err))
        return false;
    buf_put_u8(&request, VAULT_RE_OPEN);
    if (!signer_ask(s, &request, &answer, &in, err) || !signer_end(&in, err))
        return err_wrap(err, "signer");
    if (s->dir && !open_vault_again(s, err))
        return err_wrap(err, "signer");
    if (s->road.has_left)
        s->road.has_left(s->road.user);
    return hello(s, err);
}

bool signer_keep(struct signer *s, const struct view *listed, size_t n, struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 }, hashes = { 0 };
    struct vault_in in;

    for (size_t i = 0; i < n; i++)
        buf_put(&hashes, listed[i]);
    buf_put_u8(&request, VAULT_KEEP);
    buf_put_u8(&request, (uint8_t)n);
    vault_put(&request, buf_view(&hashes));
    return (signer_ask(s, &request, &answer, &in, err) && signer_end(&in, err)) ||
           err_wrap(err, "signer");
}

void signer_free(struct signer *signer)
{
    struct flight *flight;
    struct kept *kept;

    if (!signer)
        return;
    LIST_EACH(flight, &signer->flights, node)
        flight->free(flight);
    LIST_EACH(kept, &signer->kept, node)
        kept_free(kept);
    if (signer->road.free)
        signer->road.free(signer->road.user);
    vault_free(signer->vault);
    free(signer->dir);
    pki_cert_free(signer->cert);
    free(signer->network);
    free(signer->crl_url);
    free(signer->ca_url);
    free(signer->ocsp_url);
    free(signer);
}

const struct pki_cert *signer_cert(const struct signer *signer)
{
    return signer->cert;
}

struct view signer_sign_pk(const struct signer *signer)
{
    return VIEW_ARR(signer->sign_pk);
}

struct view signer_netid(const struct signer *signer)
{
    return VIEW_ARR(signer->netid);
}

const struct signer_numbers *signer_numbers(const struct signer *signer)
{
    return &signer->numbers;
}

const char *signer_report(const struct signer *signer)
{
    return signer->report;
}

/* ---- statements ------------------------------------------------------------------------------------------ */

static bool take_sig(struct vault_in *in, uint8_t ret_sig[SIG_SIZE], struct err *err)
{
    struct view sig = vault_fixed(in, SIG_SIZE);

    if (in->is_bad)
        return err_set(err, ERR_INTERNAL, "the signer's answer is damaged");
    memcpy(ret_sig, sig.data, SIG_SIZE);
    return true;
}

static void put_statements(struct buf *request, const struct signer_statement *items, size_t n)
{
    buf_put_u8(request, VAULT_STATEMENTS);
    buf_put_u16(request, (uint16_t)n);
    for (size_t i = 0; i < n; i++) {
        buf_put_u8(request, (uint8_t)items[i].word);
        vault_put(request, buf_view(&items[i].bytes));
    }
}

/* What is to be signed while den does something else. */
struct signing {
    struct flight flight;
    struct signer_statement *items;
    size_t n;
    struct signer *signer;
    bool is_heartbeat;
    signer_on_signed *done;
    void *user;
};

static void signing_landed(struct flight *flight, struct vault_in *in, const struct err *why)
{
    struct signing *s = CONTAINER(flight, struct signing, flight);
    struct err all = { 0 };

    for (size_t i = 0; in && i < s->n; i++) {
        struct err *err = &s->items[i].err;
        if (!vault_take_outcome(in, err) || !take_sig(in, s->items[i].sig, err))
            err_wrap(err, "signer");
    }
    if (!in)
        all = *why;
    else if (!vault_end(in))
        err_set(&all, ERR_INTERNAL, "the signer's answer is damaged");
    for (size_t i = 0; all.code != ERR_NONE && i < s->n; i++)
        s->items[i].err = all;
    s->done(s->user, s->items, s->n);
}

static void signing_free(struct flight *flight)
{
    struct signing *s = CONTAINER(flight, struct signing, flight);

    s->signer->n_heartbeats -= s->is_heartbeat;
    free(s);
}

void signer_sign_soon(struct signer *s, struct signer_statement *items, size_t n,
                      signer_on_signed *done, void *user)
{
    struct signing *signing = mem_new(struct signing);
    _buf_ request = { 0 };

    signing->flight.landed = signing_landed;
    signing->flight.free = signing_free;
    signing->items = items;
    signing->n = n;
    signing->done = done;
    signing->user = user;
    signing->signer = s;
    signing->is_heartbeat = n == 1 && items[0].word == RPC_W_HEARTBEAT;
    s->n_heartbeats += signing->is_heartbeat;
    for (size_t i = 0; i < n; i++)
        items[i].err = (struct err){ 0 };
    put_statements(&request, items, n);
    signer_take_off(s, &request, &signing->flight);
}

bool signer_sign_all(struct signer *s, enum rpc_word word, struct signer_statement *items, size_t n,
                     struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    for (size_t i = 0; i < n; i++)
        items[i].word = word;
    put_statements(&request, items, n);
    if (!signer_ask(s, &request, &answer, &in, err))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!vault_take_outcome(&in, err) || !take_sig(&in, items[i].sig, err))
            return err_wrap(err, "signer");
    return signer_end(&in, err);
}

bool signer_sign(struct signer *s, enum rpc_word word, const void *statement, struct buf *ret_bytes,
                 uint8_t ret_sig[SIG_SIZE], struct err *err)
{
    struct signer_statement one = { 0 };
    bool ok;

    rpc_statement_write(word, statement, &one.bytes);
    ok = signer_sign_all(s, word, &one, 1, err);
    if (ok) {
        buf_clear(ret_bytes);
        buf_put(ret_bytes, buf_view(&one.bytes));
        memcpy(ret_sig, one.sig, SIG_SIZE);
    }
    buf_free(&one.bytes);
    return ok;
}

bool signer_re_sign(struct signer *s, struct view k, struct view sig, uint8_t ret_sig[SIG_SIZE],
                    struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    buf_put_u8(&request, VAULT_RE_SIGN);
    vault_put(&request, k);
    vault_put(&request, sig);
    return (signer_ask(s, &request, &answer, &in, err) && take_sig(&in, ret_sig, err) &&
            signer_end(&in, err)) ||
           err_wrap(err, "signer");
}

/* ---- keys of IDs ------------------------------------------------------------------------------------------ */

bool signer_claim(struct signer *s, const char *id, struct view pk, enum vault_claim *ret_is,
                  char ret_has[STORE_ID], struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;
    uint8_t is;

    buf_put_u8(&request, VAULT_CLAIM);
    vault_put_text(&request, id);
    vault_put(&request, pk);
    if (!signer_ask(s, &request, &answer, &in, err))
        return err_wrap(err, "signer");
    is = vault_u8(&in);
    struct view has = vault_bytes(&in, STORE_ID - 1);
    if (!signer_end(&in, err))
        return false;
    snprintf(ret_has, STORE_ID, "%.*s", VIEW_FMT(has));
    *ret_is = (enum vault_claim)is;
    return true;
}

bool signer_move(struct signer *s, struct view k, struct view sig, struct view new_sig,
                 struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    buf_put_u8(&request, VAULT_MOVE);
    vault_put(&request, k);
    vault_put(&request, sig);
    vault_put(&request, new_sig);
    return (signer_ask(s, &request, &answer, &in, err) && signer_end(&in, err)) ||
           err_wrap(err, "signer");
}

bool signer_who(struct signer *s, const char *id, uint8_t ret_pk[KEY_SIZE], uint64_t *ret_rekey_no,
                struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    buf_put_u8(&request, VAULT_WHO);
    vault_put_text(&request, id);
    if (!signer_ask(s, &request, &answer, &in, err))
        return err_wrap(err, "signer");
    struct view pk = vault_fixed(&in, KEY_SIZE);
    *ret_rekey_no = vault_u64(&in);
    if (!signer_end(&in, err))
        return false;
    memcpy(ret_pk, pk.data, KEY_SIZE);
    return true;
}

bool signer_re_enrol(struct signer *s, const struct rpc_rekey *k, const struct signer_proof *proof,
                     struct buf *ret_k, uint8_t ret_sig[SIG_SIZE], struct err *err)
{
    _buf_ request = { 0 }, answer = { 0 };
    struct vault_in in;

    buf_clear(ret_k);
    rpc_statement_write(RPC_W_REKEY, k, ret_k);
    buf_put_u8(&request, VAULT_RE_ENROL);
    vault_put(&request, buf_view(ret_k));
    vault_put(&request, proof->bytes);
    vault_put(&request, proof->sig);
    vault_put(&request, proof->token_sig);
    return (signer_ask(s, &request, &answer, &in, err) && take_sig(&in, ret_sig, err) &&
            signer_end(&in, err)) ||
           err_wrap(err, "signer");
}
