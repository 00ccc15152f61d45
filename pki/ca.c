/* SPDX-License-Identifier: Apache-2.0 */
/* The authority: makes a root, an intermediate, leaves. Everything it makes is judged by the same
 * profile as a stranger's certificate before it is signed. */
#include "pki/der.h"
#include "pki/own.h"
#include "pki/profile.h"

#include "base/clock.h"
#include "base/text.h"

enum { BACKDATE_MS = 5 * 60 * 1000 }; /* clocks that are a little behind */

void pki_serial_new(uint8_t ret_serial[PKI_MAX_SERIAL], size_t *ret_len)
{
    memset(ret_serial, 0, PKI_MAX_SERIAL);
    ret_serial[0] = (uint8_t)(1 + random_below(0x7f)); /* positive, and no leading zero */
    random_bytes(ret_serial + 1, 16);
    *ret_len = 17;
}

static bool sign(X509 *x509, const struct pki_key *key, struct buf *ret_der, struct err *err)
{
    _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char *out = NULL;

    if (!ctx || EVP_DigestSignInit(ctx, NULL, pki_curve_digest(key->curve), NULL, key->pkey) != 1 ||
        !X509_sign_ctx(x509, ctx))
        return pki_err(err, ERR_SYSTEM, "signing a certificate");
    return pki_take_der(ret_der, &out, i2d_X509(x509, &out), err);
}

/* What a signature is over. */
static struct view signed_part(struct view der)
{
    struct view outer = { 0 }, tbs = { 0 };

    der_take(&der, DER_SEQUENCE, &outer);
    der_take_whole(&outer, DER_SEQUENCE, &tbs);
    return tbs;
}

/* The order as such, which the profile cannot know. */
static bool check_draft(const struct pki_cert *cert, const struct pki_draft *draft, struct err *err)
{
    const struct pki_facts *facts = pki_cert_facts(cert);
    uint8_t spki_hash[HASH_SIZE];

    pki_hash(draft->spki, spki_hash);
    return (view_eq(pki_cert_serial(cert), draft->serial) &&
            facts->not_before / SECOND_MS == draft->not_before / SECOND_MS &&
            facts->not_after / SECOND_MS == draft->not_after / SECOND_MS &&
            view_eq(VIEW_ARR(spki_hash), VIEW_ARR(cert->spki_hash))) ||
           err_set(err, ERR_INTERNAL, "serial, times or key are not the ones that were ordered");
}

/* Of a CA. The copy that passed becomes the certificate: the key above signs the object that was looked at. */
static bool sign_linted(struct pki_cert *cert, const struct pki_key *signer, struct err *err)
{
    const ASN1_BIT_STRING *sig;
    _buf_ der = { 0 };

    if (!sign(cert->x509, signer, &der, err))
        return false;
    if (!view_eq(signed_part(buf_view(&der)), signed_part(buf_view(&cert->der))))
        return err_set(err, ERR_INTERNAL, "what was signed is not what was checked");
    X509_get0_signature(&sig, NULL, cert->x509);
    if (!pki_key_signed(signer->pkey, pki_curve_digest(signer->curve), signed_part(buf_view(&der)),
                        VIEW(ASN1_STRING_get0_data(sig), (size_t)ASN1_STRING_length(sig))))
        return err_set(err, ERR_INTERNAL, "our own signature does not verify");
    buf_free(&cert->der);
    cert->der = buf_dup(buf_view(&der));
    pki_hash(buf_view(&der), cert->hash);
    return true;
}

/* Certificate (RFC 5280, 4.1); `sig` is behind the count of unused bits. */
static void put_signed(struct buf *to, struct view tbs, enum pki_curve curve, struct view sig)
{
    buf_put(to, tbs);
    pki_put_algorithm(to, curve);
    der_put(to, DER_BITS, sig);
    der_wrap(to, 0, DER_SEQUENCE);
}

/* A mistake of ours is found before the CA's key is touched: a signature cannot be taken back. */
static bool make(const struct pki_ask *ask, const struct pki_draft *draft,
                 struct pki_cert **ret_cert, struct err *err)
{
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    _buf_ tbs = { 0 }, der = { 0 }, sig = { 0 };

    buf_put_u8(&sig, 0); /* no unused bits */
    if (!pki_tbs_write(ask, draft, &tbs, err) ||
        !pki_key_sign(draft->throwaway, buf_view(&tbs), &sig, err))
        return false;
    put_signed(&der, buf_view(&tbs), draft->throwaway->curve, buf_view(&sig));
    if (!pki_cert_read_keyless(buf_view(&der), &cert, err))
        return false;
    if (!pki_profile_check(cert, ask, err) || !check_draft(cert, draft, err))
        return err_wrap(err, "our own certificate");
    if (!sign_linted(cert, draft->signer, err))
        return false;
    return pki_cert_read(pki_cert_der(cert), ret_cert, err); /* it stands in chains */
}

/* What a CA's certificate is made from: a key, and who signs. */
struct ca_order {
    enum pki_shape shape;
    const struct pki_ca *above;   /* NULL: signed by itself */
    const struct pki_key *signer; /* above's, or its own */
    const char *network;
    uint64_t now, life_ms;
    struct view spki; /* DER */
};

static bool check_ca_order(const struct ca_order *order, struct err *err)
{
    enum pki_curve curve;

    if (!text_is_network(view_text(order->network)))
        return err_set(err, ERR_INVALID_ARGUMENT, "%s is not the name of a network",
                       order->network);
    if (!pki_spki_curve(order->spki, &curve) || curve != pki_shapes[order->shape].curve)
        return err_set(err, ERR_WRONG_KEY, "%s needs a %s key", pki_shapes[order->shape].what,
                       pki_curve_name(pki_shapes[order->shape].curve));
    if (order->above && !pki_ext_is_bound(order->above->cert->x509, order->network))
        return err_set(err, ERR_INVALID_ARGUMENT, "the root is not constrained to %s",
                       order->network);
    return true;
}

static bool make_ca_cert(const struct ca_order *order, struct pki_cert **ret_cert, struct err *err)
{
    const struct pki_cert *above = order->above ? order->above->cert : NULL;
    struct pki_ask ask = { .shape = order->shape, .network = order->network, .issuer = above };
    _cleanup_(pki_key_freep) struct pki_key *throwaway = NULL;
    uint8_t serial[PKI_MAX_SERIAL];
    struct pki_draft draft = { .serial.data = serial,
                               .not_before = order->now - min_u64(order->now, BACKDATE_MS),
                               .not_after = order->now + order->life_ms,
                               .spki = order->spki,
                               .signer = order->signer };

    if (!check_ca_order(order, err) || !pki_key_new(draft.signer->curve, &throwaway, err))
        return false;
    draft.throwaway = throwaway;
    if (above) {
        draft.not_before =
            draft.not_before > above->facts.not_before ? draft.not_before : above->facts.not_before;
        draft.not_after = min_u64(draft.not_after, above->facts.not_after);
    }
    pki_serial_new(serial, &draft.serial.len);
    return make(&ask, &draft, ret_cert, err);
}

/* A CA's certificate for its own key, signed by `above`, or by itself. */
static bool new_ca(struct ca_order *order, struct pki_key *key_taken, struct pki_ca **ret_ca,
                   struct err *err)
{
    _cleanup_(pki_ca_freep) struct pki_ca *ca = mem_new(struct pki_ca);
    _buf_ spki = { 0 };

    ca->key = key_taken;
    if (!pki_key_spki(key_taken, &spki, err))
        return false;
    order->signer = order->above ? order->above->key : key_taken;
    order->spki = buf_view(&spki);
    if (!make_ca_cert(order, &ca->cert, err))
        return false;
    *ret_ca = STEAL(ca);
    return true;
}

bool pki_ca_new_root(const char *network, uint64_t now, uint64_t life_ms, struct pki_key *key_taken,
                     struct pki_ca **ret_ca, struct err *err)
{
    struct ca_order order = {
        .shape = PKI_SHAPE_ROOT, .network = network, .now = now, .life_ms = life_ms
    };

    return new_ca(&order, key_taken, ret_ca, err);
}

bool pki_ca_new_intermediate(const struct pki_ca *root, const char *network, uint64_t now,
                             uint64_t life_ms, struct pki_key *key_taken, struct pki_ca **ret_ca,
                             struct err *err)
{
    struct ca_order order = { .shape = PKI_SHAPE_INTERMEDIATE,
                              .above = root,
                              .network = network,
                              .now = now,
                              .life_ms = life_ms };

    return new_ca(&order, key_taken, ret_ca, err);
}

bool pki_ca_certify(const struct pki_ca *root, const struct pki_csr *csr, const char *network,
                    uint64_t now, uint64_t life_ms, struct pki_cert **ret_cert, struct err *err)
{
    const struct ca_order order = { .shape = PKI_SHAPE_INTERMEDIATE,
                                    .above = root,
                                    .signer = root->key,
                                    .network = network,
                                    .now = now,
                                    .life_ms = life_ms,
                                    .spki = buf_view(&csr->spki) };

    return make_ca_cert(&order, ret_cert, err);
}

bool pki_check_ca(const struct pki_cert *cert, const struct pki_cert *root, const char *network,
                  uint64_t now, struct err *err)
{
    const struct pki_ask ask = { .shape = root ? PKI_SHAPE_INTERMEDIATE : PKI_SHAPE_ROOT,
                                 .network = network,
                                 .issuer = root };
    const struct pki_cert *signer = root ? root : cert;

    if (!pki_profile_check(cert, &ask, err))
        return false;
    if (X509_verify(cert->x509, X509_get0_pubkey(signer->x509)) != 1)
        return pki_err(err, ERR_BAD_SIGNATURE, "%s is not signed by \"%s\"",
                       pki_shapes[ask.shape].what, signer->facts.subject);
    if (now >= cert->facts.not_after || now < cert->facts.not_before)
        return err_set(err, ERR_EXPIRED, "%s is not valid now", pki_shapes[ask.shape].what);
    return true;
}

bool pki_ca_load(struct view cert_der, struct pki_key *key_taken, struct pki_ca **ret_ca,
                 struct err *err)
{
    _cleanup_(pki_ca_freep) struct pki_ca *ca = mem_new(struct pki_ca);
    uint8_t hash[HASH_SIZE];

    ca->key = key_taken;
    if (!pki_cert_read(cert_der, &ca->cert, err) || !pki_key_spki_hash(key_taken, hash, err))
        return false;
    if (!view_eq(VIEW_ARR(hash), VIEW_ARR(ca->cert->spki_hash)))
        return err_set(err, ERR_WRONG_KEY, "the key is not the one of %s", ca->cert->facts.subject);
    if (X509_check_ca(ca->cert->x509) != 1)
        return pki_err(err, ERR_BAD_CERTIFICATE, "%s is not a CA", ca->cert->facts.subject);
    *ret_ca = STEAL(ca);
    return true;
}

void pki_ca_free(struct pki_ca *ca)
{
    if (!ca)
        return;
    pki_desk_free(ca->desk);
    pki_cert_free(ca->cert);
    pki_key_free(ca->key);
    free(ca);
}

const struct pki_cert *pki_ca_cert(const struct pki_ca *ca)
{
    return ca->cert;
}

const struct pki_key *pki_ca_key(const struct pki_ca *ca)
{
    return ca->key;
}

/* ---- leaves ----------------------------------------------------------------------------- */

struct pki_desk *pki_desk_new(const struct pki_ca *ca)
{
    struct pki_desk *desk = mem_new(struct pki_desk);

    desk->ca = ca;
    desk->own = pki_own_new(ca->key);
    desk->throwaway = pki_throwaway_new();
    return desk;
}

void pki_desk_free(struct pki_desk *desk)
{
    if (!desk)
        return;
    pki_own_free(desk->own);
    pki_throwaway_free(desk->throwaway);
    free(desk->network);
    free(desk);
}

struct pki_desk *pki_ca_desk(struct pki_ca *ca)
{
    ca->desk = ca->desk ? ca->desk : pki_desk_new(ca);
    return ca->desk;
}

/* Neither changes: it is looked at once. */
static bool check_network(struct pki_desk *desk, const char *network, struct err *err)
{
    if (desk->network && strcmp(desk->network, network) == 0)
        return true;
    if (!text_is_network(view_text(network)))
        return err_set(err, ERR_INVALID_ARGUMENT, "%s is not the name of a network", network);
    if (!pki_ext_is_bound(desk->ca->cert->x509, network))
        return err_set(err, ERR_INVALID_ARGUMENT, "the CA is not constrained to %s", network);
    free(desk->network);
    desk->network = mem_text(network);
    return true;
}

static bool check_order(struct pki_desk *desk, const struct pki_csr *csr,
                        const struct pki_order *order, struct err *err)
{
    const struct pki_ca *ca = desk->ca;
    enum pki_shape shape = PKI_SHAPE_PEER;
    char is[PKI_SPAN_TEXT], may[PKI_SPAN_TEXT];

    if (!check_network(desk, order->network, err))
        return false;
    if (!pki_shape_of(view_text(order->label), &shape, err))
        return false;
    if (shape != (enum pki_shape)order->profile)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s is not a label of that profile",
                       order->label);
    if (order->life_ms == 0 || order->life_ms > pki_shapes[shape].max_life)
        return err_set(err, ERR_INVALID_ARGUMENT, "a life of %s, at most %s",
                       pki_span_text(order->life_ms, is),
                       pki_span_text(pki_shapes[shape].max_life, may));
    if (order->serial_len > PKI_MAX_SERIAL)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "a serial number must come from pki_serial_new()");
    if (order->now >= ca->cert->facts.not_after || order->now < ca->cert->facts.not_before)
        return err_set(err, ERR_EXPIRED, "the intermediate is not valid now");
    if (view_eq(VIEW_ARR(csr->spki_hash), VIEW_ARR(ca->cert->spki_hash)))
        return err_set(err, ERR_WRONG_KEY, "the request has the CA's own key");
    return true;
}

/* The copy, whose signature nobody relies on, is read as a stranger would read it. Reasons name what it says: for them
 * it is read once more. */
static bool lint(const struct pki_ask *ask, const struct pki_draft *draft, struct view der,
                 struct err *err)
{
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL, *again = NULL;

    if (!pki_cert_read_bare(der, &cert, err))
        return false;
    if (pki_profile_check(cert, ask, err))
        return check_draft(cert, draft, err) || err_wrap(err, "our own certificate");
    if (pki_cert_read_keyless(der, &again, err))
        pki_profile_check(again, ask, err);
    return err_wrap(err, "our own certificate");
}

static bool make_leaf(struct pki_desk *desk, const struct pki_ask *ask,
                      const struct pki_draft *draft, struct buf *ret_der, struct err *err)
{
    enum pki_curve curve = desk->ca->key->curve;
    _buf_ tbs = { 0 }, copy = { 0 }, sig = { 0 };

    buf_put_u8(&sig, 0);
    if (!pki_tbs_write(ask, draft, &tbs, err) ||
        !pki_throwaway_sign(desk->throwaway, buf_view(&tbs), &sig, err))
        return false;
    put_signed(&copy, buf_view(&tbs), curve, buf_view(&sig));
    if (!lint(ask, draft, buf_view(&copy), err))
        return false;
    sig.len = 1;
    if (!pki_own_sign_soon(desk->own, signed_part(buf_view(&copy)), &sig, err))
        return false;
    buf_clear(ret_der);
    put_signed(ret_der, signed_part(buf_view(&copy)), curve, buf_view(&sig));
    return view_eq(signed_part(buf_view(ret_der)), signed_part(buf_view(&copy))) ||
           err_set(err, ERR_INTERNAL, "what was signed is not what was checked");
}

bool pki_desk_issue(struct pki_desk *desk, const struct pki_csr *csr, const struct pki_order *order,
                    struct buf *ret_der, struct err *err)
{
    const struct pki_ca *ca = desk->ca;
    const struct pki_facts *issuer = &ca->cert->facts;
    struct pki_ask ask = { .shape = (enum pki_shape)order->profile,
                           .issuer = ca->cert,
                           .label = order->label,
                           .network = order->network,
                           .crl_url = order->crl_url,
                           .ca_url = order->ca_url,
                           .ocsp_url = order->ocsp_url };
    uint64_t from = order->now - min_u64(order->now, BACKDATE_MS);
    struct pki_draft draft = { .serial = VIEW(order->serial, order->serial_len),
                               .signer = ca->key,
                               .spki = buf_view(&csr->spki) };

    if (!check_order(desk, csr, order, err))
        return false;
    draft.not_before = from > issuer->not_before ? from : issuer->not_before;
    draft.not_after = min_u64(order->now + order->life_ms, issuer->not_after);
    draft.not_after = min_u64(draft.not_after, draft.not_before + pki_shapes[ask.shape].max_life);
    return make_leaf(desk, &ask, &draft, ret_der, err);
}

bool pki_desk_verify(struct pki_desk *desk, struct err *err)
{
    return pki_own_verify(desk->own, err);
}

bool pki_ca_issue_der(struct pki_ca *ca, const struct pki_csr *csr, const struct pki_order *order,
                      struct buf *ret_der, struct err *err)
{
    struct pki_desk *desk = pki_ca_desk(ca);

    if (pki_desk_issue(desk, csr, order, ret_der, err) && pki_desk_verify(desk, err))
        return true;
    buf_clear(ret_der);
    return false;
}

bool pki_ca_issue(struct pki_ca *ca, const struct pki_csr *csr, const struct pki_order *order,
                  struct pki_cert **ret_cert, struct err *err)
{
    _buf_ der = { 0 };

    return pki_ca_issue_der(ca, csr, order, &der, err) &&
           pki_cert_read_keyless(buf_view(&der), ret_cert, err);
}
