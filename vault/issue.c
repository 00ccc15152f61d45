/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates. A peer's certificate is signed for the TLS key that its identity key
 * asked for, and for no other. */
#include "vault/inside.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>

enum { MAX_BODY = PKI_MAX_CSR + 256, MAX_URL = 512 };
#define MOST_OF_A_FRAME 500 /* ms */

struct application {
    uint8_t profile;
    char label[VAULT_LABEL + 1];
    struct view csr;                    /* of a router, or of our own OCSP signer */
    struct view body, request, sig, pk; /* of a peer: what it signed; the key that den has for it */

    struct rpc_request r; /* of a peer, if `why` has none */
    uint8_t body_hash[HASH_SIZE];
    struct err why;
};

static void read_application(struct vault_in *in, struct application *a)
{
    struct view label;

    a->profile = vault_u8(in);
    label = vault_bytes(in, VAULT_LABEL);
    snprintf(a->label, sizeof(a->label), "%.*s", VIEW_FMT(label));
    a->csr = vault_bytes(in, PKI_MAX_CSR);
    a->body = vault_bytes(in, MAX_BODY);
    a->request = vault_bytes(in, RPC_MAX_STATEMENT);
    a->sig = vault_bytes(in, SIG_SIZE);
    a->pk = vault_bytes(in, KEY_SIZE);
}

/* ---- who may have one ------------------------------------------------------------------------------- */

/* Of whatever thread: it touches this application alone. */
static void open_request(void *user, _unused_ unsigned who, size_t at)
{
    struct application *a = (struct application *)user + at;

    if (a->profile != PKI_PEER)
        return;
    pki_hash(a->body, a->body_hash);
    if (!rpc_statement_open(RPC_W_REQUEST, a->pk, a->request, a->sig, &a->r, &a->why))
        err_wrap(&a->why, "request");
}

/* R is of the key that the book has for this ID, about this body, and was made lately. */
static bool check_request(struct vault *v, const struct application *a, struct err *err)
{
    struct view id = view_text(a->label);
    const struct rpc_request *r = &a->r;

    if (a->why.code != ERR_NONE) {
        *err = a->why;
        return false;
    }
    if (!vault_check_netid(v, r->netid, err) || !vault_is_den_sign(v, r->den_pk) ||
        !view_eq(r->id, id) || !view_eq_text(r->procedure, "den.ca.sign") ||
        !view_eq(r->body_hash, VIEW_ARR(a->body_hash)))
        return err_set(err, ERR_BAD_STATEMENT, "request of %s: about something else", a->label);
    return vault_check_beacon(v, r->beacon, err) && vault_check_key(v, id, a->pk, err);
}

static bool read_body(struct view body, struct view *ret_csr, struct err *err)
{
    size_t len = 0;

    if (!rpc_walk(body, &len, err))
        return err_wrap(err, "body");
    return (len == body.len && rpc_value_kind(body) == RPC_MAP && !rpc_map_has_duplicates(body) &&
            rpc_map_bin(body, "csr", ret_csr)) ||
           err_set(err, ERR_BAD_WIRE, "body: not a map with a csr");
}

static bool check_router(struct vault *v, struct view spki, struct err *err)
{
    if (vault_book_is_router(v->book, spki))
        return true;
    if (v->trust != VAULT_ASKED_BY_OPERATOR &&
        !vault_order_check_router(v->book, spki, v->now, err))
        return false;
    vault_book_add_router(v->book, spki, v->now);
    return true;
}

static bool check_owner(struct vault *v, const struct vault_serial *s, struct err *err)
{
    uint8_t spki[HASH_SIZE];

    pki_csr_spki_hash(s->csr, spki);
    switch (s->profile) {
    case PKI_PEER:
        return vault_check_key(v, view_text(s->label), VIEW_ARR(s->pk), err);
    case PKI_ROUTER:
        return check_router(v, VIEW_ARR(spki), err);
    case PKI_OCSP:
        return vault_ocsp_waits(v, VIEW_ARR(spki)) ||
               err_set(err, ERR_NOT_AUTHORIZED,
                       "the OCSP signer's key is made by the signer alone");
    }
    return err_set(err, ERR_BAD_WIRE, "no such profile");
}

/* ---- serial numbers: drawn here, so that none is ever signed twice ------------------------------------ */

static const struct vault_serial *apply_one(struct vault *v, const struct application *a,
                                            struct err *err)
{
    _cleanup_(vault_serial_freep) struct vault_serial *s = mem_new(struct vault_serial);
    bool is_peer = a->profile == PKI_PEER;
    struct view csr = a->csr;

    s->profile = (enum pki_profile)a->profile;
    memcpy(s->label, a->label, sizeof(s->label));
    if (is_peer && (!check_request(v, a, err) || !read_body(a->body, &csr, err)))
        return NULL;
    if (is_peer)
        memcpy(s->pk, a->pk.data, KEY_SIZE);
    if (!pki_csr_take(csr, &s->csr, err) || (!is_peer && !check_owner(v, s, err)))
        return NULL;
    return vault_serials_draw(v->serials, STEAL(s), v->now, err);
}

bool vault_apply(struct vault *v, struct vault_in *in, struct buf *answer, _unused_ struct err *err)
{
    uint16_t n = vault_u16(in);
    _free_ struct application *all = NULL;

    if (in->is_bad || n > VAULT_MAX_BATCH) {
        in->is_bad = true;
        return false;
    }
    all = mem_array(struct application, n + 1);
    for (uint16_t i = 0; i < n; i++)
        read_application(in, &all[i]);
    if (!vault_end(in))
        return false;
    crew_run(v->crew, open_request, all, n);
    buf_put_u8(answer, VAULT_YES);
    for (uint16_t i = 0; i < n; i++) {
        struct err why = { 0 };
        const struct vault_serial *s = apply_one(v, &all[i], &why);
        if (s) {
            buf_put_u8(answer, VAULT_YES);
            vault_put(answer, VIEW(s->serial, s->len));
            continue;
        }
        vault_log_refusal(v, "certificate request", &why);
        vault_put_refusal(answer, &why);
    }
    return true;
}

/* ---- signing ------------------------------------------------------------------------------------------ */

struct job {
    struct view serial;
    uint64_t now, life;
    struct vault_serial *drawn; /* what it was drawn for */
    struct pki_order leaf;
    struct buf der;
    struct err why;
};

struct jobs {
    struct vault *v;
    struct pki_order urls;
    uint64_t since; /* mono */
    struct job *all;
    size_t n;
};

static void jobs_deinit(struct jobs *jobs)
{
    for (size_t i = 0; i < jobs->n; i++) {
        vault_serial_free(jobs->all[i].drawn);
        buf_free(&jobs->all[i].der);
    }
    free(jobs->all);
}

/* Whatever comes of it, the serial is used up. */
static void take_job(const struct jobs *jobs, struct job *job)
{
    struct vault *v = jobs->v;
    struct vault_serial *s = vault_serials_use(v->serials, job->serial, v->now);
    struct pki_order *leaf = &job->leaf;

    job->drawn = s;
    if (!s)
        err_set(&job->why, ERR_BUSY,
                "this serial number was not drawn by den's signer lately, or is used: ask once "
                "more");
    if (!s || !vault_check_now(v, job->now, "time", &job->why) || !check_owner(v, s, &job->why))
        return;
    *leaf = jobs->urls;
    leaf->profile = s->profile;
    leaf->label = s->label;
    leaf->network = vault_book_network(v->book);
    leaf->now = job->now;
    leaf->life_ms = job->life;
    leaf->serial_len = s->len;
    memcpy(leaf->serial, s->serial, s->len);
    if (s->profile == PKI_OCSP)
        vault_ocsp_issue(v, s->csr, leaf, &job->der, &job->why);
}

/* den waits for a second: with a slow token, or processor, what is left is asked for once more. */
static bool check_time(uint64_t since, struct err *err)
{
    return clock_mono_ms() < since + MOST_OF_A_FRAME ||
           err_set(err, ERR_BUSY, "the signer signs too slowly for so many at once: try again");
}

/* At the desk of the thread that does it. */
static void sign_job(void *user, unsigned who, size_t at)
{
    const struct jobs *jobs = user;
    struct job *job = &jobs->all[at];

    if (job->why.code == ERR_NONE && job->drawn->profile != PKI_OCSP &&
        check_time(jobs->since, &job->why))
        pki_desk_issue(jobs->v->desks[who], job->drawn->csr, &job->leaf, &job->der, &job->why);
}

/* What is behind it is signed by, or is, one intermediate: so each has an address of its own. */
static char *address_of(const struct vault *v, struct view url)
{
    char digits[PKI_KEY_DIGITS + 1];
    bool has_slash = url.len && url.data[url.len - 1] == '/';

    if (!url.len)
        return mem_text("");
    pki_cert_key_digits(pki_ca_cert(v->keys.ca), digits);
    return mem_format("%.*s%s%s", VIEW_FMT(url), has_slash ? "" : "/", digits);
}

static void sign_jobs(struct jobs *jobs)
{
    struct vault *v = jobs->v;

    jobs->since = clock_mono_ms();
    for (size_t i = 0; i < jobs->n; i++)
        take_job(jobs, &jobs->all[i]);
    crew_run(vault_token_paths(v) ? NULL : v->crew, sign_job, jobs, jobs->n);
}

struct verdicts {
    struct vault *v;
    struct err of[VAULT_MAX_DESKS];
};

static void verify_at(void *user, _unused_ unsigned who, size_t at)
{
    struct verdicts *verdicts = user;

    pki_desk_verify(verdicts->v->desks[at], &verdicts->of[at]);
}

/* Nothing may wait at a desk, whoever asked for it. */
static bool verify(struct vault *v, struct err *err)
{
    struct verdicts verdicts = { .v = v };

    crew_run(v->crew, verify_at, &verdicts, v->n_desks);
    for (size_t i = 0; i < v->n_desks; i++)
        if (verdicts.of[i].code != ERR_NONE) {
            *err = verdicts.of[i];
            return false;
        }
    return true;
}

static bool read_jobs(struct vault_in *in, struct jobs *jobs, size_t n)
{
    jobs->all = mem_array(struct job, n + 1);
    jobs->n = n;
    for (size_t i = 0; i < n; i++) {
        jobs->all[i].serial = vault_bytes(in, PKI_MAX_SERIAL);
        jobs->all[i].now = vault_u64(in);
        jobs->all[i].life = vault_u64(in);
    }
    return vault_end(in);
}

static void put_jobs(const struct jobs *jobs, struct buf *answer)
{
    buf_put_u8(answer, VAULT_YES);
    for (size_t i = 0; i < jobs->n; i++) {
        const struct job *job = &jobs->all[i];
        if (job->why.code == ERR_NONE) {
            buf_put_u8(answer, VAULT_YES);
            vault_put(answer, buf_view(&job->der));
            continue;
        }
        vault_log_refusal(jobs->v, "certificate", &job->why);
        vault_put_refusal(answer, &job->why);
    }
}

bool vault_issue(struct vault *v, struct vault_in *in, struct buf *answer, struct err *err)
{
    _free_ char *crl = address_of(v, vault_bytes(in, MAX_URL)),
                *ca = address_of(v, vault_bytes(in, MAX_URL)),
                *ocsp = view_dup_text(vault_bytes(in, MAX_URL));
    _cleanup_(jobs_deinit) struct jobs jobs = { .v = v };
    uint16_t n = vault_u16(in);

    jobs.urls = (struct pki_order){ .crl_url = crl, .ca_url = ca, .ocsp_url = ocsp };
    if (in->is_bad || n > VAULT_MAX_BATCH) {
        in->is_bad = true;
        return false;
    }
    if (!read_jobs(in, &jobs, n))
        return false;
    vault_open_desks(v);
    sign_jobs(&jobs);
    if (!verify(v, err))
        return false;
    put_jobs(&jobs, answer);
    return true;
}
