/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates: making, issuing and judging them (RFC 5280), on OpenSSL. PROFILE.md says what ours
 * contain and why. No I/O: callers read and write files. Times are milliseconds since
 * 1970, sizes bytes; DER goes in and out as views and bufs. Functions fail as base/err.h says. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/key.h"

struct pki_key;  /* a private key: P-256 for leaves and intermediates, P-384 for roots */
struct pki_cert; /* a parsed certificate, immutable */
struct pki_ca;   /* a CA certificate with its private key */
struct pki_crl;  /* a parsed certificate revocation list */

/* Sizes that are checked before parsing (TOO_LARGE). */
enum { PKI_MAX_CSR = 4096, PKI_MAX_CERT = 8192, PKI_MAX_CRL = 16 * 1024 * 1024, PKI_MAX_CHAIN = 6 };
enum { PKI_MAX_SERIAL = 20 };

/* ---- keys ------------------------------------------------------------------------------- */

enum pki_curve { PKI_P256, PKI_P384 };

/* From now on private numbers are kept in memory that is locked, guarded and left out of dumps. Before the first key.
 * False: it could not be locked; all goes on without. */
bool pki_guard_keys(void);
bool pki_key_new(enum pki_curve curve, struct pki_key **ret_key, struct err *err);
void pki_key_free(struct pki_key *key); /* NULL is fine */
OWN_FREEP(pki_key, struct pki_key)
/* PKCS#8 PEM; encrypted (PBES2: scrypt, AES-256) unless the passphrase is empty. */
bool pki_key_write(const struct pki_key *key, struct view passphrase, struct buf *ret_pem,
                   struct err *err);
/* NOT_AUTHORIZED when the passphrase is wrong or missing. Takes PBKDF2 too. */
bool pki_key_read(struct view pem, struct view passphrase, struct pki_key **ret_key,
                  struct err *err);
/* DER of the SubjectPublicKeyInfo, and its SHA-256 (the `spki` of our statements). */
bool pki_key_spki(const struct pki_key *key, struct buf *ret_der, struct err *err);
bool pki_key_spki_hash(const struct pki_key *key, uint8_t ret_hash[HASH_SIZE], struct err *err);
/* ECDSA with SHA-256 (P-256) or SHA-384 (P-384), DER. The root signs manifests with this. */
bool pki_key_sign(const struct pki_key *key, struct view bytes, struct buf *ret_sig,
                  struct err *err);
/* Verifies such a signature with the public key of a certificate given as DER: BAD_SIGNATURE. It
 * has the shape of rpc.h's judge of manifests. */
bool pki_verify_by_cert(struct view cert_der, struct view bytes, struct view sig, struct err *err);
/* The same by a key given as DER of its SubjectPublicKeyInfo: WRONG_KEY when that is not one of
 * ours. */
bool pki_verify_by_spki(struct view spki, struct view bytes, struct view sig, struct err *err);
/* The key unencrypted as DER (PKCS#8), for handing it to a TLS library in this process. Wipe it. */
bool pki_key_der(const struct pki_key *key, struct buf *ret_der, struct err *err);

/* A key whose private half is elsewhere. `sign` appends r and s, each of the curve's size, over a digest; its code and
 * reason are the error of whoever wanted a signature. `free` may be NULL. */
struct pki_remote {
    bool (*sign)(void *user, struct view digest, struct buf *ret_halves, struct err *err);
    void (*free)(void *user);
    void *user;
};
/* Takes `user` in success and failure alike. WRONG_KEY. pki_key_write() and pki_key_der() fail for it. */
bool pki_key_remote(struct view spki, const struct pki_remote *remote_taken,
                    struct pki_key **ret_key, struct err *err);
/* The SubjectPublicKeyInfo by what a token says of a key: the curve's OID, and the point. False: none of ours. */
bool pki_spki_by_params(struct view params, struct view point, struct buf *ret_spki,
                        enum pki_curve *ret_curve);
enum pki_curve pki_key_curve(const struct pki_key *key);
const char *pki_curve_text(enum pki_curve curve); /* "P-256" */

/* ---- requests --------------------------------------------------------------------------- */

struct pki_csr; /* a PKCS#10 request that was parsed and whose self-signature verified */

/* A request for `key`, its subject empty and without extensions. */
bool pki_csr_new(const struct pki_key *key, struct buf *ret_der, struct err *err);
/* Size, strict DER, self-signature, key rules (P-256 only): TOO_LARGE, BAD_WIRE, BAD_SIGNATURE,
 * WRONG_KEY. */
bool pki_csr_read(struct view der, struct pki_csr **ret_csr, struct err *err);
/* Many at once, which costs less each: ret_csrs[i] is NULL where ret_errs[i] says why. */
void pki_csr_read_all(const struct view *ders, size_t n, struct pki_csr **ret_csrs,
                      struct err *ret_errs);
/* The key of a request that somebody else has read and verified: of the rest nothing is looked at, and
 * pki_csr_check_names() is not for it. TOO_LARGE, BAD_WIRE, WRONG_KEY. */
bool pki_csr_take(struct view der, struct pki_csr **ret_csr, struct err *err);
void pki_csr_free(struct pki_csr *csr);
OWN_FREEP(pki_csr, struct pki_csr)
void pki_csr_spki_hash(const struct pki_csr *csr, uint8_t ret_hash[HASH_SIZE]);
/* Names in a request must be absent or equal: CN to `<label>`, every SAN to the dNSName
 * `<label>.<network>`; anything else, in any position, is NAME_MISMATCH. */
bool pki_csr_check_names(const struct pki_csr *csr, const char *label, const char *network,
                         struct err *err);

/* ---- certificates ----------------------------------------------------------------------- */

struct pki_facts { /* what people and --json want to see; texts owned by the certificate */
    const char *subject, *issuer; /* RFC 2253 */
    const char *names;            /* "DNS:456000.corp.example"; several joined by ", " */
    const char *serial;           /* lower-case hex */
    uint64_t not_before, not_after;
};

bool pki_cert_read(struct view der, struct pki_cert **ret_cert, struct err *err);
/* The same for a fifth of the price, for one that is looked at, by eyes and by the profile, and that verifies
 * nothing: its key stays the bytes that it is. */
bool pki_cert_read_keyless(struct view der, struct pki_cert **ret_cert, struct err *err);
/* The first of at most PKI_MAX_CHAIN. */
bool pki_cert_read_pem(struct view pem, struct pki_cert **ret_cert, struct err *err);
void pki_cert_free(struct pki_cert *cert);
OWN_FREEP(pki_cert, struct pki_cert)
/* When a certificate that our own signer made is valid, and its serial (the INTEGER's content octets, borrowed), without
 * looking at the rest. False: they are not there. */
struct pki_span {
    uint64_t not_before, not_after;
};
bool pki_cert_span(struct view der, struct view *ret_serial, struct pki_span *ret_span);
/* Views borrow from the certificate. The serial is the INTEGER's content octets. */
struct view pki_cert_der(const struct pki_cert *cert);
struct view pki_cert_serial(const struct pki_cert *cert);
const struct pki_facts *pki_cert_facts(const struct pki_cert *cert);
void pki_cert_hash(const struct pki_cert *cert, uint8_t ret_hash[HASH_SIZE]); /* of the DER */
void pki_cert_spki_hash(const struct pki_cert *cert, uint8_t ret_hash[HASH_SIZE]);
/* The first 16 hexadecimal digits of its key's identifier (SKI), lower case: what the addresses end with where an
 * intermediate and its revocation list are fetched. */
enum { PKI_KEY_DIGITS = 16 };
void pki_cert_key_digits(const struct pki_cert *cert, char ret_digits[PKI_KEY_DIGITS + 1]);
/* Whether it names `issuer` as its issuer, by name and by key identifier. No signature is looked at. */
bool pki_cert_is_by(const struct pki_cert *cert, const struct pki_cert *issuer);
void pki_pem_put(struct buf *to, const char *label,
                 struct view der); /* appends "-----BEGIN label..." */
/* All blocks of that label, each appended to ret[n] (zeroed by the caller, who frees them, on
 * failure too). BAD_WIRE when one is not base64, TOO_LARGE when more than `max`; none is fine. */
bool pki_pem_read_all(struct view pem, const char *label, struct buf *ret, size_t max,
                      size_t *ret_n, struct err *err);

/* ---- the authority ---------------------------------------------------------------------- */

/* A self-signed root for `network`, and an intermediate below it, as PROFILE.md has them. */
bool pki_ca_new_root(const char *network, uint64_t now, uint64_t life_ms, struct pki_key *key_taken,
                     struct pki_ca **ret_ca, struct err *err);
bool pki_ca_new_intermediate(const struct pki_ca *root, const char *network, uint64_t now,
                             uint64_t life_ms, struct pki_key *key_taken, struct pki_ca **ret_ca,
                             struct err *err);
/* An intermediate for a key that is elsewhere: only its request came. */
bool pki_ca_certify(const struct pki_ca *root, const struct pki_csr *csr, const char *network,
                    uint64_t now, uint64_t life_ms, struct pki_cert **ret_cert, struct err *err);
/* Whether a certificate is an intermediate below `root`, or with NULL a root: profile, signature, times. */
bool pki_check_ca(const struct pki_cert *cert, const struct pki_cert *root, const char *network,
                  uint64_t now, struct err *err);
/* A CA from its stored halves; WRONG_KEY when they do not belong together. Takes `key_taken`
 * in success and failure alike, as the two above do. */
bool pki_ca_load(struct view cert_der, struct pki_key *key_taken, struct pki_ca **ret_ca,
                 struct err *err);
void pki_ca_free(struct pki_ca *ca);
OWN_FREEP(pki_ca, struct pki_ca)
const struct pki_cert *pki_ca_cert(const struct pki_ca *ca);
const struct pki_key *pki_ca_key(const struct pki_ca *ca);

/* `<id>.<network>`, `router.<network>`, `ocsp.<network>`: rows of profile.c's table. */
enum pki_profile { PKI_PEER, PKI_ROUTER, PKI_OCSP };

struct pki_order { /* what to put into a leaf; nothing but the key comes from the request */
    enum pki_profile profile;
    const char *label; /* "456000", "router" */
    const char *network;
    uint64_t now,
        life_ms; /* notBefore is five minutes before now; notAfter never after the issuer's */
    const char *crl_url, *ca_url,
        *ocsp_url; /* CRLDP and AIA where given, as they are; NULL or empty: none */
    uint8_t serial[PKI_MAX_SERIAL]; /* as drawn and recorded by the caller: pki_serial_new() */
    size_t serial_len;
};
/* 1 prefix byte (01..7f, so that it is positive) and 16 random bytes. */
void pki_serial_new(uint8_t ret_serial[PKI_MAX_SERIAL], size_t *ret_len);
/* First signs with a throwaway key and holds the result against the profile; only what passed is
 * signed with the CA's, and the bytes that are signed are the ones that were looked at. */
bool pki_ca_issue(struct pki_ca *ca, const struct pki_csr *csr, const struct pki_order *order,
                  struct pki_cert **ret_cert, struct err *err);
/* The same as DER alone; *ret_der is replaced. */
bool pki_ca_issue_der(struct pki_ca *ca, const struct pki_csr *csr, const struct pki_order *order,
                      struct buf *ret_der, struct err *err);

/* For whoever makes many: their signatures are verified together, which is cheaper, and each thread has a desk of its own.
 * None may leave before pki_desk_verify(), nor when it fails: INTERNAL. */
struct pki_desk;
/* Of a CA that outlives it. Takes some milliseconds. */
struct pki_desk *pki_desk_new(const struct pki_ca *ca);
void pki_desk_free(struct pki_desk *desk);
OWN_FREEP(pki_desk, struct pki_desk)
/* pki_ca_issue_der(), not verified yet. */
bool pki_desk_issue(struct pki_desk *desk, const struct pki_csr *csr, const struct pki_order *order,
                    struct buf *ret_der, struct err *err);
/* All that were issued since the last time. */
bool pki_desk_verify(struct pki_desk *desk, struct err *err);

/* SHA-256 by OpenSSL, which uses the processor's instructions, several times as fast as hash_sha256(): for lists of
 * megabytes, and where there is much to hash for everybody. */
void pki_hash(struct view bytes, uint8_t ret_hash[HASH_SIZE]);
/* RFC 2104 with SHA-1, for protocols that know no other: TURN's credentials. */
enum { PKI_SHA1 = 20 };
void pki_hmac_sha1(struct view key, struct view bytes, uint8_t ret_mac[PKI_SHA1]);

struct pki_revoked {
    struct view serial;
    uint64_t at;
    uint8_t reason; /* RFC 5280, 5.3.1 */
};
/* A v2 CRL with number, AKI and the entries in the given order. */
bool pki_ca_issue_crl(struct pki_ca *ca, uint64_t number, uint64_t now, uint64_t next_update,
                      const struct pki_revoked *revoked, size_t n_revoked, struct buf *ret_der,
                      struct err *err);
/* The same for a list that is long and often made anew: its entries are written once, each by pki_revoked_put(), and
 * kept; whoever signs it sees them in pieces. What he signs is a list by his own hand: its head and its end are written
 * here, and what comes between is looked at, entry by entry. */
struct pki_list {
    uint64_t number, now, next_update;
    size_t n_entries; /* bytes of all of them */
};
bool pki_revoked_put(struct buf *to, const struct pki_revoked *revoked, struct err *err);
struct pki_listing;
/* The CA must outlive it. TOO_LARGE. */
bool pki_listing_new(struct pki_ca *ca, const struct pki_list *list, struct pki_listing **ret,
                     struct err *err);
void pki_listing_free(struct pki_listing *listing);
OWN_FREEP(pki_listing, struct pki_listing)
/* The next entries, whole ones. BAD_WIRE. */
bool pki_listing_put(struct pki_listing *listing, struct view entries, struct err *err);
/* When all are there: what stands before them in the list and what behind them, appended, and the hash of all of it. */
bool pki_listing_sign(struct pki_listing *listing, struct buf *ret_before, struct buf *ret_behind,
                      uint8_t ret_hash[HASH_SIZE], struct err *err);
bool pki_crl_read(struct view der, struct pki_crl **ret_crl, struct err *err);
void pki_crl_free(struct pki_crl *crl);
OWN_FREEP(pki_crl, struct pki_crl)
uint64_t pki_crl_number(const struct pki_crl *crl);
/* Of the key that it says it was signed with (AKI), as pki_cert_key_digits(). */
void pki_crl_key_digits(const struct pki_crl *crl, char ret_digits[PKI_KEY_DIGITS + 1]);
/* Its entries, in their order; `each` returns false to stop. */
typedef bool pki_on_revoked(void *user, const struct pki_revoked *revoked);
void pki_crl_each(const struct pki_crl *crl, pki_on_revoked *each, void *user);

/* ---- OCSP (RFC 6960) ------------------------------------------------------------------------ */

enum { PKI_MAX_OCSP = 4096, PKI_OCSP_MAX_ITEMS = 16, PKI_OCSP_MAX_EXTENSIONS = 16 };
enum pki_ocsp_hash { PKI_OCSP_SHA1, PKI_OCSP_SHA256, PKI_OCSP_OTHER_HASH };

struct pki_ocsp_item { /* views borrow from the request */
    struct view id;    /* the CertID as it came, to be repeated in the answer */
    enum pki_ocsp_hash hash;
    struct view name_hash, key_hash; /* of its issuer */
    struct view serial;              /* the INTEGER's content octets */
};
struct pki_ocsp_request {
    struct pki_ocsp_item items[PKI_OCSP_MAX_ITEMS];
    size_t n_items;    /* at least one */
    struct view nonce; /* the extension's value, to be repeated; empty: none */
};
/* TOO_LARGE, BAD_WIRE. Signatures and requestor names are skipped. */
bool pki_ocsp_read(struct view der, struct pki_ocsp_request *ret_request, struct err *err);

/* Whether it is about a certificate of that issuer. */
bool pki_ocsp_is_of(const struct pki_cert *issuer, const struct pki_ocsp_item *item);

/* A delegated signer (profile PKI_OCSP): for what its own certificate's issuer issued. */
struct pki_ocsp;
/* Takes `key_taken` in success and failure alike. WRONG_KEY when it is not the certificate's. */
bool pki_ocsp_new(struct view cert_der, struct pki_key *key_taken, struct pki_ocsp **ret_ocsp,
                  struct err *err);
void pki_ocsp_free(struct pki_ocsp *ocsp);
OWN_FREEP(pki_ocsp, struct pki_ocsp)

struct pki_ocsp_status {
    enum { PKI_OCSP_UNKNOWN, PKI_OCSP_GOOD, PKI_OCSP_REVOKED } what;
    uint64_t revoked_at;
    uint8_t reason;
};
struct pki_ocsp_times {
    uint64_t now, holds_for; /* ms: thisUpdate; nextUpdate that much later */
};
/* Appends a signed answer: a status for each item, in their order. */
bool pki_ocsp_write(const struct pki_ocsp *ocsp, const struct pki_ocsp_request *request,
                    const struct pki_ocsp_status *statuses, const struct pki_ocsp_times *times,
                    struct buf *to, struct err *err);
enum pki_ocsp_failure {
    PKI_OCSP_MALFORMED = 1,
    PKI_OCSP_INTERNAL = 2,
    PKI_OCSP_TRY_LATER = 3,
    PKI_OCSP_UNAUTHORIZED = 6, /* RFC 5019, 2.2.3: nobody here may speak for that issuer */
};
void pki_ocsp_write_failure(enum pki_ocsp_failure why, struct buf *to); /* appends; not signed */

/* ---- the one judge ---------------------------------------------------------------------- */

/* The trust set: the roots and intermediates that the newest manifest lists. */
struct pki_trust;
struct pki_trust *pki_trust_new(void);
void pki_trust_free(struct pki_trust *trust);
OWN_FREEP(pki_trust, struct pki_trust)
/* BAD_CERTIFICATE when it is not signed by itself; the rest is judged with each chain. */
bool pki_trust_add_root(struct pki_trust *trust, struct view der, struct err *err);
/* Intermediates may be known (added here) or only listed by hash (the chain brings them). */
bool pki_trust_add_intermediate(struct pki_trust *trust, struct view der, struct err *err);
void pki_trust_list_intermediate(struct pki_trust *trust, const uint8_t der_hash[HASH_SIZE]);
/* Replaces the list, which is copied; its signature and freshness are checked when a chain is
 * judged. On failure the old one stays. */
bool pki_trust_set_crl(struct pki_trust *trust, struct view der, struct err *err);

enum pki_role { PKI_CLIENT, PKI_SERVER }; /* the EKU that the other side must have */

struct pki_question {
    const char *name;    /* exactly this dNSName: "456000.corp.example" */
    const char *network; /* the name constraint that the CAs above must carry */
    enum pki_role role;
    uint64_t now;        /* network time */
    const uint8_t *spki; /* HASH_SIZE bytes that the leaf's key must hash to; NULL: not asked */
    bool needs_crl;      /* refuse when there is no fresh list */
};
/* Judges a chain as it came from the other side, leaf first, then intermediates in any order; a
 * root among them is ignored. X509_STRICT, auth level 2, purpose, trust set alone; then the profile
 * on the built chain, the exact name, the key, the CRL. BAD_CERTIFICATE with the reason, TOO_LARGE,
 * EXPIRED, REVOKED, NAME_MISMATCH (another name), WRONG_KEY (spki), BAD_SIGNATURE (a forged list).
 * *ret_leaf may be NULL; else the leaf, owned by the caller. */
bool pki_judge(const struct pki_trust *trust, const struct view *chain, size_t n_chain,
               const struct pki_question *question, struct pki_cert **ret_leaf, struct err *err);
/* The profile alone, on one leaf below `issuer`: the lint of certificates. No signature is looked
 * at, so that a draft can be checked too. */
bool pki_check_leaf(const struct pki_cert *leaf, const struct pki_cert *issuer, const char *name,
                    const char *network, struct err *err);

/* ---- for other programs --------------------------------------------------------------------- */

/* PKCS#12, AES-256 under the passphrase (of at least 6 characters): `key` with its certificate first and the chain
 * behind it; or without a key certificates that are to be trusted, in Java's way too. `name` is what other programs
 * list it as. INVALID_ARGUMENT. */
bool pki_pkcs12_write(const struct pki_key *key, const struct view *certs, size_t n,
                      const char *name, const char *passphrase, struct buf *ret_der,
                      struct err *err);

/* ---- chains of other CAs ------------------------------------------------------------------ */

enum { PKI_MAX_GENERAL = 16 }; /* certificates in a chain, and anchors */

struct pki_general {
    const struct view *chain; /* DER, the leaf first, the others in any order */
    size_t n_chain;
    const struct view *anchors; /* self-signed certificates that are trusted */
    size_t n_anchors;
    const struct view *crls; /* when there is one, the leaf's issuer must have one that is fresh */
    size_t n_crls;
    const char *name; /* the dNSName, or an IP address as text; NULL: not asked */
    enum pki_role role;
    uint64_t now;
    int max_intermediates; /* -1: any number */
};
/* Judges a chain by RFC 5280 and what public CAs have agreed on, where ours, pki_judge(), asks for
 * our own profile. PROFILE.md has the rules. BAD_CERTIFICATE, EXPIRED, REVOKED, NAME_MISMATCH,
 * TOO_LARGE, each with the reason. */
bool pki_judge_general(const struct pki_general *question, struct err *err);
/* Whether a host is a name that public authorities certify: not an address, not a single label. */
bool pki_is_public_name(const char *host);
/* Judges a chain, leaf first, by the authorities that this system trusts (SSL_CERT_FILE and
 * SSL_CERT_DIR move their list), for the dNSName `host` and a server: BAD_CERTIFICATE. For a
 * router that is reached by a public name; never for peers. */
bool pki_judge_public(const char *host, const struct view *chain, size_t n, uint64_t now,
                      struct err *err);
