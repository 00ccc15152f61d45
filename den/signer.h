/* SPDX-License-Identifier: Apache-2.0 */
/* den's side of its signer. A serial is reserved durably, then the certificate is signed by the vault, then recorded
 * durably together with its audit entry; only then it is handed out. The keys are not here: they are in a vault
 * (vault/vault.h), which checks by itself what it is asked for; in a process of its own when den runs. */
#pragma once

#include "den/store.h"
#include "pki/pki.h"
#include "rpc/rpc.h"
#include "vault/vault.h"

struct signer;

struct signer_config {
    const char *network;
    const char *crl_url, *ca_url, *ocsp_url; /* NULL or empty: none */
    /* Of a vault in this process: wall, ms. NULL: the machine's. */
    uint64_t (*clock)(void *user);
    void *clock_user;
    struct vault_secrets
        secrets; /* of the keys that signer_load() reads; of a child to start. Not kept */
};
/* On a vault in this process, which is taken. */
bool signer_new(struct vault *vault_taken, const struct signer_config *config,
                struct signer **ret_signer, struct err *err);
/* On the keys and the book in `dir`, in this process, on the operator's word: EXPOSED, WRONG_KEY when they do
 * not belong together, BUSY when a signer has them. */
bool signer_load(const char *dir, const struct signer_config *config, struct signer **ret_signer,
                 struct err *err);
/* On whatever answers to frames, one after the other. */
struct signer_road {
    bool (*send)(void *user, struct view request, struct err *err);
    /* Appends the next answer. False: there will be none to that request. *ret_is_there is false when none came yet
     * (unless it waits for it), or nothing was asked. */
    bool (*receive)(void *user, bool waits, struct buf *answer, bool *ret_is_there,
                    struct err *err);
    void (*free)(void *user); /* may be NULL */
    /* Rises each time that it was reached anew; NULL: it stays. */
    uint64_t (*generation)(void *user);
    /* Whether it can be started again when it ends to read its keys anew; and that it ended so. NULL: it does not end. */
    bool (*may_leave)(void *user, struct err *err);
    void (*has_left)(void *user);
    /* It hangs, or is not there: whatever is asked would fail at once. NULL: it never does. */
    bool (*is_away)(const void *user, struct err *ret_why);
    void *user;
};
bool signer_new_on(const struct signer_road *road, const struct signer_config *config,
                   struct signer **ret_signer, struct err *err);
void signer_free(struct signer *signer);
OWN_FREEP(signer, struct signer)

/* One that was started anew is asked who it is, without waiting for a question. BUSY and others. */
bool signer_greet(struct signer *signer, struct err *err);
/* The same without waiting for the answer, either: signer_look() takes it. */
void signer_greet_soon(struct signer *signer);

/* Whoever is about to ask and to wait for the answer asks this first, where others would have to wait with him. */
enum signer_mood {
    SIGNER_ANSWERS, /* it did a moment ago */
    SIGNER_ASKED,   /* it was asked whether it does: come again after signer_look() */
    SIGNER_AWAY,    /* whatever is asked fails at once: *ret_why, BUSY */
};
enum signer_mood signer_mood(struct signer *signer, struct err *ret_why);
/* In this process: it answers while it is asked. */
bool signer_is_here(const struct signer *signer);
/* Without asking it anything. */
bool signer_is_away(const struct signer *signer, struct err *ret_why);
/* Often: one of whom nothing was heard for a second is asked whether it answers. */
void signer_watch(struct signer *signer);

const struct pki_cert *signer_cert(const struct signer *signer);
struct view signer_sign_pk(const struct signer *signer); /* den-sign */
struct view signer_netid(const struct signer *signer);   /* that its book is of */
struct signer_numbers { /* that it had signed when it was reached: it remembers them by itself */
    uint64_t hb_no, crl_no, crl_at, rev_no;
};
const struct signer_numbers *signer_numbers(const struct signer *signer);
const char *signer_report(const struct signer *signer); /* on its sandbox, for the log */

/* The folder's manifest lists other keys first now: they are used from then on. BUSY while it is not there again; what
 * signer_cert() and signer_sign_pk() gave before is gone. */
bool signer_re_open(struct signer *signer, struct err *err);

/* The intermediates that the manifest lists (hashes of certificates): it forgets the keys of others. */
bool signer_keep(struct signer *signer, const struct view *listed, size_t n, struct err *err);

/* ---- statements of den-sign ---------------------------------------------------------------------- */

/* Writes and has it signed. What the vault refuses: STALE (a number fell), WRONG_KEY, REVOKED ...; BUSY when it is not
 * there. */
bool signer_sign(struct signer *signer, enum rpc_word word, const void *statement,
                 struct buf *ret_bytes, uint8_t ret_sig[SIG_SIZE], struct err *err);
struct signer_statement {
    enum rpc_word word; /* signer_sign_soon() */
    struct buf bytes;   /* the caller's */
    uint8_t sig[SIG_SIZE];
    struct err err; /* signer_sign_soon(): code ERR_NONE: it was signed */
};
/* Many at once, in their order, at most VAULT_MAX_BATCH: all, or none is to be used. */
bool signer_sign_all(struct signer *signer, enum rpc_word word, struct signer_statement *items,
                     size_t n, struct err *err);

/* Each by itself, without waiting, at most VAULT_MAX_BATCH: `done` hears of it by signer_look(), unless the signer was made
 * to forget. The items stay until then. */
typedef void signer_on_signed(void *user, struct signer_statement *items, size_t n);
void signer_sign_soon(struct signer *signer, struct signer_statement *items, size_t n,
                      signer_on_signed *done, void *user);

/* Another signature of den-sign under a statement about a new key, which an earlier one signed. */
bool signer_re_sign(struct signer *signer, struct view k, struct view sig,
                    uint8_t ret_sig[SIG_SIZE], struct err *err);

/* ---- which key an ID has --------------------------------------------------------------------------- */

/* Before an ID is given away: it gets that key for good. CLAIMED, ID_TAKEN, or KEY_HAS_ID with the ID that this key
 * has already. */
bool signer_claim(struct signer *signer, const char *id, struct view pk, enum vault_claim *ret_is,
                  char ret_has[STORE_ID], struct err *err);
/* Its next one: K signed by both keys. */
bool signer_move(struct signer *signer, struct view k, struct view sig, struct view new_sig,
                 struct err *err);
/* The key that the signer's book has for the ID, and its number: newer than the store's after a restore. NOT_FOUND. */
bool signer_who(struct signer *signer, const char *id, uint8_t ret_pk[KEY_SIZE],
                uint64_t *ret_rekey_no, struct err *err);
struct signer_proof { /* an enrolment with the token that an operator's order names */
    struct view bytes, sig, token_sig;
};
/* Its next one on an operator's order: K is written and signed. NOT_AUTHORIZED without that order. */
bool signer_re_enrol(struct signer *signer, const struct rpc_rekey *k,
                     const struct signer_proof *proof, struct buf *ret_k, uint8_t ret_sig[SIG_SIZE],
                     struct err *err);

/* ---- certificates ------------------------------------------------------------------------------------ */

struct signer_order {
    enum pki_profile profile;
    const char *label; /* the ID, or "router" */
    const struct pki_csr *csr;
    struct view der; /* the request; not needed of a peer: its body has it */
    /* Of a peer: what its identity key `pk` signed. The vault sees for itself. */
    struct view body, request, sig, pk;
    uint64_t now, life;
};
/* The issued certificate as DER. On failure the serial stays reserved, and is never used. */
bool signer_issue(struct signer *signer, struct store *store, const struct signer_order *order,
                  struct buf *ret_der, struct err *err);

struct signer_job {
    struct signer_order order;
    uint8_t serial[PKI_MAX_SERIAL]; /* the signer's */
    size_t serial_len;              /* 0: it has none: `err` says why */
    struct buf der;       /* the certificate, owned by the caller; empty: `err` says why */
    struct pki_span span; /* of the certificate */
    struct err err;
};

/* The same in the steps that it consists of, for many at once and without waiting. Both return at once; `done` is
 * called from signer_look(), in the order in which they were asked, and each of the jobs says what came of it. The jobs
 * stay where they are until then.
 *
 * The signer looks at what each of them is asked for, and draws its serial number, which can be signed once. */
typedef void signer_on_done(void *user, struct signer_job *const *jobs, size_t n);
void signer_apply(struct signer *signer, struct signer_job *const *jobs, size_t n,
                  signer_on_done *done, void *user);
/* Notes its serial in the open transaction: durable before signer_certify(). */
bool signer_reserve(struct store *open, const struct signer_job *job, struct err *err);
void signer_certify(struct signer *signer, struct signer_job *const *jobs, size_t n,
                    signer_on_done *done, void *user);
/* Records the certificates of many in the open transaction, and in the audit: durable before any leaves. One that was
 * revoked meanwhile is not to leave: its job has an `err`, and no `der`. */
bool signer_record(struct store *open, struct signer_job *const *jobs, size_t n, struct err *err);
void signer_log_issued(const struct signer_job *job);

/* Takes the answers that are there. Whether there were any. */
bool signer_look(struct signer *signer);
/* The same of all that was asked: waits for it. */
void signer_wait(struct signer *signer);
/* Questions that signer_look() has not ended yet. */
size_t signer_n_waiting(const struct signer *signer);
/* signer_look() has something to do, which no descriptor tells. */
bool signer_has_answer(const struct signer *signer);
/* Whoever waits is gone: nobody is called. */
void signer_forget(struct signer *signer);

/* The number of the newest list that may have left, and its thisUpdate. */
struct signer_anchor {
    uint64_t number, at;
};
struct signer_list {
    struct view entries; /* by pki_revoked_put() */
    uint64_t now, life;
    struct signer_anchor floor; /* what was kept outside of the store */
    /* Keeps it there, durably, before anything is signed. */
    bool (*keep)(void *user, const struct signer_anchor *anchor, struct err *err);
    void *user;
};
/* What stands around the entries, as another intermediate that is listed signed it. */
struct signer_frame {
    char digits[PKI_KEY_DIGITS + 1]; /* of its key */
    struct buf before, behind;
};
struct signer_listing {
    struct signer_anchor is;
    struct view entries; /* until it is done; of those, `at` bytes were sent */
    size_t at;
    struct buf before, behind; /* the entries, in the list; the caller's, as `others` */
    uint8_t hash[HASH_SIZE];   /* of the whole */
    struct signer_frame others[RPC_MAX_ITEMS];
    size_t n_others;
    struct err err; /* code ERR_NONE: there is one */
    void (*done)(void *user, struct signer_listing *listing);
    void *user;
    struct signer *signer; /* the signer's own, and what follows */
    size_t n_flights;
    bool is_all;
};
void signer_listing_deinit(struct signer_listing *listing);
/* A list of all that is revoked. Its number is the clock in seconds, and always higher than the one before, as its thisUpdate
 * is never earlier: neither a clock that goes back nor a store that was restored from a backup moves them back. Audited.
 * The number is taken at once, then the entries go to the signer piece by piece, between what others ask; `done` is called
 * from signer_look(). False: nothing was begun, `done` is not called. `list->entries` and `listing` stay until it is. */
bool signer_list(struct signer *signer, struct store *store, const struct signer_list *list,
                 struct signer_listing *listing, struct err *err);
/* The same with waiting: `listing` needs nothing in it. */
bool signer_list_now(struct signer *signer, struct store *store, const struct signer_list *list,
                     struct signer_listing *listing, struct err *err);

/* ---- OCSP: the key of the answers is made by the vault, and stays there ------------------------------- */

/* `issuer`: the hash of the certificate of an intermediate, UNLISTED_KEY where its key is not at hand. A request for a
 * certificate (PKI_OCSP) for a new key; it is in use from that certificate on. */
bool signer_ocsp_csr(struct signer *signer, struct view issuer, struct buf *ret_der,
                     struct err *err);
/* As pki_ocsp_write(); `request` as it came. NOT_FOUND: its signer has no certificate (any more). */
bool signer_ocsp_answer(struct signer *signer, struct view issuer, struct view request,
                        const struct pki_ocsp_status *statuses, size_t n,
                        const struct pki_ocsp_times *times, struct buf *to, struct err *err);
