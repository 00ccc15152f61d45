/* SPDX-License-Identifier: Apache-2.0 */
/* Years of a network in seconds, in which everything that it trusts is replaced over and over: manifests are renewed, intermediates, roots
 * and den's keys staged, switched, retired, taken back or replaced at once, while machines sleep through them, up to two years, and new
 * ones come with join strings of any age. den and its signer find their keys in files, as always; the root signs requests.
 * Seeded: ROLLOVERS_SEED, ROLLOVERS_YEARS. */
#include "base/clock.h"
#include "base/file.h"
#include "den/keyring.h"
#include "den/record.h"
#include "den/rollover.h"
#include "den/root.h"
#include "tests/unit/den/ocsp.h"
#include "den/web.h"
#include "tests/unit/den/world.h"
#include "vault/vault.h"

#include <inttypes.h>
#include <openssl/ocsp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define POLICY "rules: [{from: any, to: any, can: [chat]}]\n"

enum {
    N_PEERS = 5,
    YEARS = 2,
    LEAF_DAYS = 7,
    MAX_SLEEP_DAYS = 720,
    SLEEP_PERCENT = 12,
    STEP_DAYS = 45, /* from one step of the operator's to the next, at most */
    MAX_CAS = 200,
    MAX_ROOTS = 64,
};

struct member {
    struct world_peer *peer;
    struct rpc_trust *trust; /* its own: what it knows of the network */
    uint64_t awake_at, admitted_until;
    struct buf serial, issuer; /* its newest certificate's; DER of the intermediate */
};

struct root { /* everyone that there was */
    struct pki_ca *ca;
    uint64_t last_signed; /* manifest */
};

struct life {
    struct world *w;
    char dir[200];
    struct member members[N_PEERS];
    struct root roots[MAX_ROOTS];
    size_t n_roots;
    struct buf cas[MAX_CAS], listed[RPC_MAX_ITEMS];
    size_t n_cas;
    uint64_t dice, dice_first, step_at;
    unsigned n_changes;
    unsigned n_steps[CHANGE_STEPS], n_whats[CHANGE_WHATS], n_certificates, n_far, n_newcomers,
        n_old_pins, n_again, n_restarts, n_asked[2];
};

static struct life *life; /* for the port, whose user is the world */

/* SplitMix64: the same seed, the same life. */
static uint64_t draw(uint64_t below)
{
    uint64_t z = life->dice += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % below;
}

static uint64_t number_from(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : fallback;
}

static bool fine(bool is_fine, const struct err *err)
{
    if (!is_fine)
        check_failed(__FILE__, __LINE__, "%s", err->text);
    return is_fine;
}

static struct rpc_trust *copy_of(const struct rpc_trust *trust)
{
    struct rpc_trust *copy = NULL;
    _buf_ bytes = { 0 };
    struct err err = { 0 };

    rpc_trust_save(trust, &bytes);
    fine(rpc_trust_load(buf_view(&bytes), pki_verify_by_cert, &copy, &err), &err);
    return copy;
}

/* ---- den's side ---------------------------------------------------------------------------- */

/* As den does it, which does not have the folder opened anew for less; a signer that was not told what is retired still
 * signs lists of it. */
static bool has_listed(const struct rpc_trust *trust)
{
    uint8_t hash[HASH_SIZE];
    struct view pk;

    pki_cert_hash(signer_cert(life->w->signer), hash);
    return view_eq(rpc_trust_manifest(trust)->intermediates.item[0], VIEW_ARR(hash)) &&
           rpc_trust_den_sign(trust, life->w->wall, &pk) &&
           view_eq(pk, signer_sign_pk(life->w->signer));
}

static bool take_keys(_unused_ void *user, const struct rpc_trust *trust,
                      struct den_authority *ret_authority, struct err *err)
{
    const struct rpc_manifest *m = rpc_trust_manifest(trust);
    size_t n = 0;

    if (!has_listed(trust) && !signer_re_open(life->w->signer, err))
        return false;
    for (size_t i = 0; i < m->intermediates.n; i++) {
        for (size_t k = 0; k < life->n_cas; k++) {
            uint8_t hash[HASH_SIZE];
            hash_sha256(buf_view(&life->cas[k]), hash);
            if (view_eq(VIEW_ARR(hash), m->intermediates.item[i]))
                life->listed[n++] = life->cas[k];
        }
    }
    *ret_authority = (struct den_authority){ life->listed, n, buf_view(&life->w->router_csr) };
    return true;
}

static void note_ca(struct view der)
{
    if (CHECK(life->n_cas < MAX_CAS))
        life->cas[life->n_cas++] = buf_dup(der);
}

/* ---- the operator's ---------------------------------------------------------------------------- */

static struct pki_ca *root_in_use(void)
{
    for (size_t i = 0; i < life->n_roots; i++) {
        uint8_t hash[HASH_SIZE];
        pki_cert_hash(pki_ca_cert(life->roots[i].ca), hash);
        if (view_eq(VIEW_ARR(hash), rpc_trust_manifest(life->w->trust)->roots.item[0])) {
            life->roots[i].last_signed = rpc_trust_manifest_no(life->w->trust) + 1;
            return life->roots[i].ca;
        }
    }
    check_failed(__FILE__, __LINE__, "the root in use is nobody's");
    return NULL;
}

static struct pki_ca *new_root(void)
{
    struct pki_key *key = NULL;
    struct pki_ca *ca = NULL;
    struct err err = { 0 };

    fine(pki_key_new(PKI_P384, &key, &err) &&
             pki_ca_new_root(WORLD_NETWORK, life->w->wall, ROOT_LIFE_MS, key, &ca, &err),
         &err);
    if (CHECK(life->n_roots < MAX_ROOTS))
        life->roots[life->n_roots++] =
            (struct root){ ca, rpc_trust_manifest_no(life->w->trust) + 1 };
    return ca;
}

static void put_new_keys(struct root_order *asked, uint64_t no)
{
    const struct change change = { .step = asked->step, .what = asked->what };
    bool is_sign = asked->what == CHANGE_DEN_SIGN;
    struct err err = { 0 };

    if (change_needs_intermediate(&change)) {
        _free_ char *path = keyring_path(life->dir, "intermediate", no, "key");
        _cleanup_(pki_key_freep) struct pki_key *key = NULL;
        _buf_wipe_ pem = { 0 };
        CHECK_OK(pki_key_new(PKI_P256, &key, &err) && pki_csr_new(key, &asked->csr, &err) &&
                     pki_key_write(key, VIEW(NULL, 0), &pem, &err) &&
                     file_write(path, buf_view(&pem), 0600, &err),
                 err);
    } else if (change_needs_key(&change)) {
        _free_ char *path = keyring_path(life->dir, is_sign ? "sign" : "login", no, "key");
        _cleanup_(key_freep) struct key *key = key_new();
        CHECK_OK(key_write(key, path, &err), err);
        asked->pk = buf_dup(key_public_view(key));
    }
}

static void put_signed(const struct root_answer *answer, const struct rpc_trust *trust)
{
    uint64_t no = rpc_trust_manifest_no(trust);
    _free_ char *cert = keyring_path(life->dir, "intermediate", no, "pem"),
                *manifests = file_path(life->dir, VAULT_MANIFESTS);
    _transaction_ struct store *open = life->w->store;
    _buf_ pem = { 0 }, bytes = { 0 };
    struct err err = { 0 };

    if (answer->intermediate.len) {
        note_ca(buf_view(&answer->intermediate));
        pki_pem_put(&pem, "CERTIFICATE", buf_view(&answer->intermediate));
        CHECK_OK(file_write(cert, buf_view(&pem), 0644, &err), err);
    }
    rpc_trust_save(trust, &bytes);
    CHECK_OK(file_write(manifests, buf_view(&bytes), 0600, &err), err);
    CHECK_OK(store_begin(open, &err) &&
                 store_blob_set(open, rollover_manifests, buf_view(&bytes), &err) &&
                 store_number_raise(open, rollover_number, no, &err) && store_commit(open, &err),
             err);
}

/* By file, as it goes where the root is on another machine. */
static void have_signed(struct root_order *asked, struct rpc_trust **trust)
{
    const struct change change = { .step = asked->step, .what = asked->what };
    _cleanup_(root_order_deinit) struct root_order read = { 0 };
    _cleanup_(root_answer_deinit) struct root_answer made = { 0 }, answer = { 0 };
    struct root_signers by = { root_in_use(), change_needs_root(&change) ? new_root() : NULL };
    _buf_ text = { 0 };
    struct err err = { 0 };

    root_order_write(asked);
    CHECK_OK(root_order_read("request", buf_view(&asked->text), &read, &err), err);
    CHECK_OK(root_sign(&read, &by, life->w->wall, &made, &err), err);
    root_answer_write(&made, &text);
    CHECK_OK(root_answer_read("response", buf_view(&text), &answer, &err), err);
    CHECK_OK(root_accept(trust, asked, &answer, life->w->wall, &err), err);
    put_signed(&answer, *trust);
}

static size_t count_keys(const char *kind)
{
    size_t n = 0;

    for (uint64_t no = 0; no <= rpc_trust_manifest_no(life->w->trust); no++) {
        _free_ char *path = no ? keyring_path(life->dir, kind, no, "key")
                               : mem_format("%s/%s.key", life->dir, kind);
        n += file_exists(path);
    }
    return n;
}

/* The world speaks to den with the key that is in use. */
static void follow_sign_key(void)
{
    struct view pk;
    struct err err = { 0 };
    struct key *key = NULL;

    if (!CHECK(rpc_trust_den_sign(life->w->trust, life->w->wall, &pk)) ||
        view_eq(pk, key_public_view(life->w->sign)))
        return;
    CHECK_OK(vault_find_key(life->dir, "sign", pk, VIEW(NULL, 0), &key, &err), err);
    key_free(life->w->sign);
    life->w->sign = key;
}

static bool is_signed_by_us(_unused_ void *user, const struct store_revocation *r)
{
    return CHECK(key_verify(key_public_view(life->w->sign), r->statement, r->sig));
}

/* The router has the manifest before, and takes this one with a certificate: only then den signs with a key that it did not know. */
static void answer_as_router(uint64_t has)
{
    struct world_call *call = world_pending(life->w, "network.router.status");
    _cleanup_(pki_csr_freep) struct pki_csr *csr = NULL;
    uint8_t spki[HASH_SIZE];
    struct buf args = { 0 }, none = { 0 };
    struct err err = { 0 };

    if (!CHECK(call))
        return;
    CHECK_OK(pki_csr_read(buf_view(&life->w->router_csr), &csr, &err), err);
    pki_csr_spki_hash(csr, spki);
    rpc_put_array(&args, 1);
    rpc_put_map(&args, 4);
    rpc_put_str(&args, "pk");
    rpc_put_bin(&args, key_public_view(life->w->router));
    rpc_put_str(&args, "spki");
    rpc_put_bin(&args, VIEW_ARR(spki));
    rpc_put_str(&args, "not_after");
    rpc_put_u64(&args, life->w->wall + 25 * DAY_MS);
    rpc_put_str(&args, "manifest");
    rpc_put_u64(&args, has);
    world_result(call, &args);
    call = world_pending(life->w, "network.router.certificate");
    if (CHECK(call))
        world_result(call, &none);
    CHECK_U64(world_number(life->w, rollover_router), has + 1);
}

static void take_step(enum change_step step, enum change_what what)
{
    _cleanup_(rpc_trust_freep) struct rpc_trust *trust = copy_of(life->w->trust);
    _cleanup_(root_order_deinit) struct root_order asked = {
        .step = step,
        .what = what,
        .network = mem_text(WORLD_NETWORK),
        .reason = mem_text(""),
        .host = mem_text(""),
        .made_at = life->w->wall,
        .trust = copy_of(life->w->trust),
    };
    uint64_t no = rpc_trust_manifest_no(trust) + 1;
    struct err err = { 0 };

    put_new_keys(&asked, no);
    have_signed(&asked, &trust);
    while (!den_core_look(life->w->core)) /* takes it, and signs anew what it has to */
        ;
    answer_as_router(no - 1);
    world_pass(life->w, MINUTE_MS);
    CHECK_U64(rpc_trust_manifest_no(life->w->trust), no);
    follow_sign_key();
    CHECK_OK(store_revocation_each(life->w->store, 1, is_signed_by_us, NULL, &err), err);
    keyring_forget(life->dir, life->w->trust);
    life->n_steps[step]++;
    if (step == CHANGE_STAGE || step == CHANGE_REPLACE)
        life->n_whats[what]++;
}

/* Each in its turn, so that short lives have them all. */
static enum change_what next_what(void)
{
    return (enum change_what)((life->n_changes++ + life->dice_first) % CHANGE_WHATS);
}

static void operate(void)
{
    struct change_state state = change_state_of(life->w->trust);

    if (state.stage == CHANGE_STAGED)
        take_step(draw(6) ? CHANGE_SWITCH : CHANGE_BACK, state.what);
    else if (state.stage == CHANGE_SWITCHED)
        take_step(draw(8) ? CHANGE_RETIRE : CHANGE_BACK, state.what);
    else if (draw(4) == 0)
        take_step(CHANGE_RENEW, CHANGE_INTERMEDIATE);
    else
        take_step(draw(8) ? CHANGE_STAGE : CHANGE_REPLACE, next_what());
    state = change_state_of(life->w->trust);
    if (state.stage == CHANGE_NONE) {
        CHECK_U64(count_keys("intermediate"), 1);
        CHECK_U64(count_keys("sign"), 1);
        CHECK(count_keys("login") <= 1);
    }
    life->step_at = life->w->wall + DAY_MS + draw(STEP_DAYS * DAY_MS);
}

/* ---- a machine's ------------------------------------------------------------------------------ */

/* What the router says to whoever connects. */
static bool meet(struct rpc_trust *trust, struct err *err)
{
    _buf_ roots = { 0 }, manifests = { 0 };
    enum rpc_heart heart;
    const struct rpc_trust *by =
        life->w->trust; /* the router has what den has: a switch waits for that */

    if (!rpc_trust_put_challenge(by, rpc_trust_manifest_no(trust), rpc_trust_pin(trust), &roots,
                                 &manifests, err) ||
        !rpc_trust_take_challenge(trust, buf_view(&roots), buf_view(&manifests), life->w->wall,
                                  err))
        return false;
    return rpc_trust_add_heartbeat(trust, rpc_trust_heartbeat_bytes(by),
                                   rpc_trust_heartbeat_sig(by), life->w->mono, life->w->wall,
                                   &heart, err);
}

static struct pki_trust *anchors_of(const struct rpc_trust *trust)
{
    const struct rpc_manifest *m = rpc_trust_manifest(trust);
    struct pki_trust *set = pki_trust_new();
    struct err err = { 0 };
    struct view der;

    for (size_t i = 0; rpc_trust_root(trust, i, &der); i++)
        fine(pki_trust_add_root(set, der, &err), &err);
    for (size_t i = 0; i < m->intermediates.n; i++)
        pki_trust_list_intermediate(set, m->intermediates.item[i].data);
    return set;
}

static struct view serial_in(struct view der)
{
    struct pki_span span;
    struct view serial = { 0 };

    CHECK(pki_cert_span(der, &serial, &span));
    return serial;
}

/* Another one's certificate, judged by what this one trusts. */
static void take_certificate(struct member *m)
{
    _cleanup_(pki_trust_freep) struct pki_trust *set = anchors_of(m->trust);
    const struct world_answer *answer;
    struct rpc_fields f, above;
    struct view chain[2];
    char name[64];
    struct err err = { 0 };

    pki_key_free(STEAL(m->peer->tls));
    buf_free(&m->peer->csr);
    CHECK_OK(pki_key_new(PKI_P256, &m->peer->tls, &err) &&
                 pki_csr_new(m->peer->tls, &m->peer->csr, &err),
             err);
    answer = world_answer(life->w, world_sign(life->w, m->peer));
    if (!CHECK(answer && answer->what == WORLD_YIELDED))
        return;
    rpc_fields_open(&f, buf_view(&answer->bytes));
    chain[0] = rpc_fields_bin(&f, "certificate", PKI_MAX_CERT);
    rpc_fields_open(&above, rpc_fields_array(&f, "chain"));
    chain[1] = rpc_fields_bin(&above, "intermediate", PKI_MAX_CERT);
    snprintf(name, sizeof(name), "%s." WORLD_NETWORK, m->peer->id);
    const struct pki_question question = {
        .name = name, .network = WORLD_NETWORK, .role = PKI_SERVER, .now = life->w->wall
    };
    CHECK_OK(pki_judge(set, chain, 2, &question, NULL, &err), err);
    life->n_certificates++;
    buf_clear(&m->serial);
    buf_put(&m->serial, serial_in(chain[0]));
    buf_clear(&m->issuer);
    buf_put(&m->issuer, chain[1]);
}

/* The list of its own issuer is where its certificate says, as long as that is listed. */
static void fetch_list(const struct member *m, bool is_listed)
{
    struct pki_cert *issuer = NULL;
    char digits[PKI_KEY_DIGITS + 1];
    struct web_page page = { 0 };
    struct err err = { 0 };

    CHECK_OK(pki_cert_read(buf_view(&m->issuer), &issuer, &err), err);
    pki_cert_key_digits(issuer, digits);
    _free_ char *path = mem_format("/crl/%s", digits);
    web_serve(life->w->core, false, view_text(path), VIEW(NULL, 0), VIEW_LIT("192.0.2.1"), &page);
    CHECK_U64(page.status, is_listed ? 200 : 404);
    CHECK(!is_listed || crl_is_signed_by(buf_view(&page.body), buf_view(&m->issuer)));
    buf_free(&page.body);
    pki_cert_free(issuer);
}

/* Software that knows nothing of manifests asks about it: whoever is listed answers, and for who is not nobody does. */
static void ask_status(const struct member *m)
{
    const struct rpc_manifest *now = rpc_trust_manifest(life->w->trust);
    uint8_t hash[HASH_SIZE];
    bool is_listed = false;
    int status;
    _buf_ request = { 0 }, answer = { 0 };

    if (!m->serial.len)
        return;
    hash_sha256(buf_view(&m->issuer), hash);
    for (size_t i = 0; i < now->intermediates.n; i++)
        is_listed |= view_eq(now->intermediates.item[i], VIEW_ARR(hash));
    request = ocsp_ask(buf_view(&m->issuer), buf_view(&m->serial));
    den_core_ocsp(life->w->core, buf_view(&request), &answer);
    status = ocsp_says(buf_view(&answer), buf_view(&m->issuer));
    if (is_listed)
        CHECK(status == V_OCSP_CERTSTATUS_GOOD || status == V_OCSP_CERTSTATUS_REVOKED);
    else
        CHECK_U64((uint64_t)-status, OCSP_RESPONSE_STATUS_UNAUTHORIZED);
    fetch_list(m, is_listed);
    life->n_asked[is_listed && !view_eq(now->intermediates.item[0], VIEW_ARR(hash))]++;
}

static bool is_by_key_in_use(const struct member *m, uint64_t inv)
{
    const struct world_answer *answer = world_answer(life->w, inv);
    struct rpc_admission a;
    struct rpc_fields f;
    struct err err = { 0 };

    rpc_fields_open(&f, buf_view(&answer->bytes));
    struct view bytes = rpc_fields_bin(&f, "A", RPC_MAX_STATEMENT),
                sig = rpc_fields_fixed(&f, "sig", SIG_SIZE);
    return fine(rpc_trust_open(m->trust, RPC_W_ADMISSION, bytes, sig, life->w->wall, &a, &err),
                &err);
}

static void come_in(struct member *m)
{
    char id[STORE_ID];
    uint64_t inv;

    if (life->w->wall < m->admitted_until)
        return;
    snprintf(id, sizeof(id), "%s", m->peer->id);
    inv = world_admit(life->w, m->peer, NULL);
    CHECK_STR(world_take_id(life->w, inv, m->peer), id);
    is_by_key_in_use(m, inv);
    m->admitted_until = life->w->wall + 7 * DAY_MS;
}

static void acknowledge(const struct member *m)
{
    _buf_ body = { 0 };
    uint64_t inv;

    rpc_put_map(&body, 1);
    rpc_put_str(&body, "manifest");
    rpc_put_u64(&body, rpc_trust_manifest_no(m->trust));
    inv = world_request(life->w, m->peer, "den.ca.acknowledge", buf_view(&body));
    CHECK(world_answer(life->w, inv) && world_answer(life->w, inv)->what == WORLD_YIELDED);
}

/* More manifests than are kept: it is told, and joins again, with the key and ID that it has. */
static void join_again(struct member *m)
{
    uint8_t pin[HASH_SIZE];
    struct err err = { 0 };

    CHECK(!meet(m->trust, &err) && err.code == ERR_NOT_FOUND && strstr(err.text, "join again"));
    rpc_trust_free(m->trust);
    memcpy(pin, rpc_trust_manifest(life->w->trust)->roots.item[0].data, HASH_SIZE);
    m->trust = rpc_trust_new(WORLD_NETWORK, pin, pki_verify_by_cert);
    life->n_again++;
}

/* However much it slept through: the chain of manifests leads to where the network is now. */
static void wake(struct member *m)
{
    uint64_t known = rpc_trust_manifest_no(m->trust);
    struct err err = { 0 };

    if (known + RPC_MAX_MANIFESTS <= rpc_trust_manifest_no(life->w->trust))
        join_again(m);
    CHECK_OK(meet(m->trust, &err), err);
    CHECK_U64(rpc_trust_manifest_no(m->trust), rpc_trust_manifest_no(life->w->trust));
    life->n_far += rpc_trust_manifest_no(m->trust) > known + 9;
    come_in(m);
    take_certificate(m);
    acknowledge(m);
    if (draw(30) == 0)
        world_revoke_tls_key(life->w, m->peer);
    m->awake_at = life->w->wall + LEAF_DAYS * DAY_MS * 2 / 3;
    if (draw(100) < SLEEP_PERCENT)
        m->awake_at += draw(MAX_SLEEP_DAYS * DAY_MS);
}

/* With a join string that was made at any time: it holds as long as the root that it names is among those that signed the manifests
 * that are kept. */
static void join_with_some_pin(void)
{
    const struct root *root = &life->roots[draw(life->n_roots)];
    bool is_kept = root->last_signed + RPC_MAX_MANIFESTS > rpc_trust_manifest_no(life->w->trust);
    _cleanup_(rpc_trust_freep) struct rpc_trust *trust = NULL;
    struct err err = { 0 };
    uint8_t pin[HASH_SIZE];

    pki_cert_hash(pki_ca_cert(root->ca), pin);
    trust = rpc_trust_new(WORLD_NETWORK, pin, pki_verify_by_cert);
    if (!is_kept) {
        CHECK(!meet(trust, &err) && err.code == ERR_BAD_PIN);
        return;
    }
    CHECK_OK(meet(trust, &err), err);
    CHECK_VIEW(rpc_trust_manifest_bytes(trust), rpc_trust_manifest_bytes(life->w->trust));
    CHECK_VIEW(rpc_trust_netid(trust), rpc_trust_netid(life->w->trust));
    life->n_newcomers++;
    life->n_old_pins += root->ca != root_in_use();
}

/* ---- years ------------------------------------------------------------------------------------ */

static void restart(void)
{
    struct err err = { 0 };

    CHECK_OK(world_restart(life->w, &err), err);
    life->n_restarts++;
}

static void begin(struct life *l, uint64_t seed)
{
    struct err err = { 0 };

    *l = (struct life){ .dice = seed, .dice_first = seed };
    life = l;
    snprintf(l->dir, sizeof(l->dir), "%s/rollover-keys", check_dir());
    CHECK(mkdir(l->dir, 0700) == 0);
    l->w = world_new_in(l->dir, POLICY);
    if (!l->w)
        exit(1);
    l->w->port.take_keys = take_keys;
    l->w->config.leaf_life = LEAF_DAYS * DAY_MS;
    CHECK(world_unlimited(l->w));
    note_ca(pki_cert_der(signer_cert(l->w->signer)));
    l->roots[l->n_roots++] = (struct root){ l->w->root, 1 };
    for (size_t i = 0; i < N_PEERS; i++) {
        struct member *m = &l->members[i];
        uint8_t pin[HASH_SIZE];
        pki_cert_hash(pki_ca_cert(l->w->root), pin);
        m->trust = rpc_trust_new(WORLD_NETWORK, pin, pki_verify_by_cert);
        m->peer = world_peer_new(l->w);
        m->awake_at = l->w->wall + draw(DAY_MS);
        CHECK_OK(meet(m->trust, &err), err);
    }
    l->step_at = l->w->wall + draw(STEP_DAYS * DAY_MS);
}

static void end(struct life *l)
{
    for (size_t i = 0; i < N_PEERS; i++) {
        world_peer_free(l->members[i].peer);
        buf_free(&l->members[i].serial);
        buf_free(&l->members[i].issuer);
        rpc_trust_free(l->members[i].trust);
    }
    for (size_t i = 1; i < l->n_roots; i++) /* the first is the world's */
        pki_ca_free(l->roots[i].ca);
    world_free(l->w);
    for (size_t i = 0; i < l->n_cas; i++)
        buf_free(&l->cas[i]);
}

static void one_event(void)
{
    struct member *next = &life->members[0];
    uint64_t at;

    for (size_t i = 1; i < N_PEERS; i++)
        next = life->members[i].awake_at < next->awake_at ? &life->members[i] : next;
    at = min_u64(next->awake_at, life->step_at);
    if (at > life->w->wall)
        world_jump(life->w, at - life->w->wall);
    if (draw(40) == 0)
        restart();
    if (at == life->step_at) {
        operate();
        for (size_t i = 0; i < N_PEERS; i++)
            ask_status(&life->members[i]);
        join_with_some_pin();
    } else {
        wake(next);
    }
}

TEST(years_of_rollovers_lose_nobody)
{
    uint64_t seed = number_from("ROLLOVERS_SEED", 1), until;
    static struct life l;

    begin(&l, seed);
    until = l.w->wall + number_from("ROLLOVERS_YEARS", YEARS) * 365 * DAY_MS;
    while (l.w->wall < until)
        one_event();
    for (size_t i = 0; i < N_PEERS; i++) { /* who sleeps still */
        wake(&l.members[i]);
    }
    printf("# seed %" PRIu64 ": %" PRIu64 " manifests (%u renewed, %u replaced at once, %u taken "
           "back), %u intermediates, %u roots, %u den-sign, "
           "%u den-login; %u certificates, %u times ten manifests or more slept through, %u "
           "joined, %u of them by an older root; %u "
           "restarts, %u joined again\n",
           seed, rpc_trust_manifest_no(l.w->trust), l.n_steps[CHANGE_RENEW],
           l.n_steps[CHANGE_REPLACE], l.n_steps[CHANGE_BACK], l.n_whats[CHANGE_INTERMEDIATE],
           l.n_whats[CHANGE_ROOT], l.n_whats[CHANGE_DEN_SIGN], l.n_whats[CHANGE_DEN_LOGIN],
           l.n_certificates, l.n_far, l.n_newcomers, l.n_old_pins, l.n_restarts, l.n_again);
    CHECK(rpc_trust_manifest_no(l.w->trust) > 25 && l.n_certificates > 80 && l.n_newcomers > 15);
    CHECK(l.n_far > 0 && l.n_old_pins > 0 && l.n_asked[true] > 0);
    for (size_t i = 0; i < CHANGE_WHATS; i++)
        CHECK(l.n_whats[i] > 0);
    end(&l);
}
