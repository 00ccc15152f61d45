/* SPDX-License-Identifier: Apache-2.0 */
#include "vault/inside.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>

enum { LOG_BURST = 60 };

struct vault *vault_new(struct vault_keys *keys_taken, struct vault_book *book_taken,
                        enum vault_trust trust)
{
    struct vault *v = mem_new(struct vault);

    v->keys = *keys_taken;
    *keys_taken = (struct vault_keys){ 0 };
    v->book = book_taken;
    v->trust = trust;
    v->serials = vault_serials_new();
    v->ocsp = vault_ocsp_new();
    return v;
}

bool vault_open(const char *dir, enum vault_trust trust, struct vault **ret_vault, struct err *err)
{
    return vault_unlock(dir, trust, &(struct vault_secrets){ 0 }, ret_vault, err);
}

bool vault_unlock(const char *dir, enum vault_trust trust, const struct vault_secrets *secrets,
                  struct vault **ret_vault, struct err *err)
{
    struct vault_keys keys = { 0 };
    struct vault_book *book;

    if (!vault_keys_read(dir, secrets, &keys, err))
        return false;
    if (!vault_book_open(dir, &book, err)) {
        vault_keys_deinit(&keys);
        return false;
    }
    *ret_vault = vault_new(&keys, book, trust);
    return true;
}

struct pki_ca *vault_issuer(const struct vault *v, size_t at)
{
    return at ? v->keys.others[at - 1] : v->keys.ca;
}

size_t vault_n_issuers(const struct vault *v)
{
    return 1 + v->keys.n_others;
}

void vault_free(struct vault *v)
{
    if (!v)
        return;
    for (size_t i = 0; i < v->n_desks; i++)
        pki_desk_free(v->desks[i]);
    vault_keys_deinit(&v->keys);
    vault_book_free(v->book);
    vault_ocsp_free(v->ocsp);
    vault_serials_free(v->serials);
    vault_give_up_list(v);
    crew_free(v->crew);
    free(v);
}

const char *vault_token_paths(const struct vault *v)
{
    return v->keys.place.paths;
}

void vault_set_helpers(struct vault *v, unsigned n)
{
    crew_free(v->crew);
    v->crew = n ? crew_new(n < VAULT_MAX_HELPERS ? n : VAULT_MAX_HELPERS) : NULL;
}

/* Late: most vaults are opened for one question, and a desk takes some milliseconds. */
void vault_open_desks(struct vault *v)
{
    size_t n = vault_token_paths(v) ? 1 : crew_size(v->crew); /* a token does one after the other */

    for (; v->n_desks < n; v->n_desks++)
        v->desks[v->n_desks] = pki_desk_new(v->keys.ca);
}

void vault_set_report(struct vault *v, const char *text)
{
    snprintf(v->report, sizeof(v->report), "%s", text);
}

/* ---- the log --------------------------------------------------------------------------------------- */

void vault_log_refusal(struct vault *v, const char *what, const struct err *why)
{
    if (v->now >= v->logged_at + MINUTE_MS || v->now < v->logged_at) {
        v->logged_at = v->now;
        v->n_logged = 0;
    }
    if (v->n_logged++ >= LOG_BURST) {
        v->n_unlogged++;
        return;
    }
    log_event(LOG_WARN, "signer.refused", "what=%s code=%s cause=%s left_out_before=%" PRIu64, what,
              err_code_name(why->code), log_quote_text(why->text), v->n_unlogged);
    v->n_unlogged = 0;
}

/* ---- HELLO ------------------------------------------------------------------------------------------ */

static bool hello(struct vault *v, struct vault_in *in, struct buf *answer, struct err *err)
{
    const struct vault_numbers *n = vault_book_numbers(v->book);
    uint8_t version = vault_u8(in);

    if (!vault_end(in))
        return false;
    if (version != VAULT_VERSION)
        return err_set(err, ERR_BAD_WIRE,
                       "version %u was asked for; this signer speaks %d: %s is the older one",
                       version, VAULT_VERSION, version < VAULT_VERSION ? "den" : "the signer");
    buf_put_u8(answer, VAULT_YES);
    vault_put(answer, key_public_view(v->keys.sign));
    vault_put(answer, pki_cert_der(pki_ca_cert(v->keys.ca)));
    vault_put(answer, vault_book_netid(v->book));
    vault_put_text(answer, v->report);
    buf_put_u64(answer, n->hb_no);
    buf_put_u64(answer, n->crl_no);
    buf_put_u64(answer, n->crl_at);
    buf_put_u64(answer, vault_book_n_revoked(v->book));
    return true;
}

/* ---- KEEP: what is retired -------------------------------------------------------------------------- */

static bool is_among(const struct pki_ca *ca, struct view hashes)
{
    uint8_t hash[HASH_SIZE];

    pki_cert_hash(pki_ca_cert(ca), hash);
    for (size_t i = 0; i < hashes.len; i += HASH_SIZE)
        if (view_eq(view_sub(hashes, i, HASH_SIZE), VIEW_ARR(hash)))
            return true;
    return false;
}

static void forget(struct vault *v, size_t at)
{
    struct vault_keys *keys = &v->keys;
    char digits[PKI_KEY_DIGITS + 1];

    pki_cert_key_digits(pki_ca_cert(vault_issuer(v, at)), digits);
    log_event(LOG_INFO, "signer.key.forgotten", "what=intermediate key=%s", digits);
    vault_list_forget(v, at);
    vault_ocsp_forget(v, at);
    pki_ca_free(keys->others[at - 1]);
    keys->n_others--;
    for (size_t i = at - 1; i < keys->n_others; i++)
        keys->others[i] = keys->others[i + 1];
    keys->others[keys->n_others] = NULL;
}

/* Without opening the folder anew, which keys under a passphrase do not allow. */
static bool keep(struct vault *v, struct vault_in *in, struct buf *answer, _unused_ struct err *err)
{
    uint8_t n = vault_u8(in);
    struct view listed = vault_fixed(in, (size_t)n * HASH_SIZE);

    if (!vault_end(in))
        return false;
    for (size_t i = vault_n_issuers(v); i-- > 1;)
        if (!is_among(vault_issuer(v, i), listed))
            forget(v, i);
    buf_put_u8(answer, VAULT_YES);
    return true;
}

static bool re_open(_unused_ struct vault *v, struct vault_in *in, struct buf *answer,
                    _unused_ struct err *err)
{
    if (!vault_end(in))
        return false;
    buf_put_u8(answer, VAULT_YES);
    return true;
}

/* ---- one request -------------------------------------------------------------------------------------- */

enum vault_outcome vault_handle(struct vault *v, uint64_t now, struct view request,
                                struct buf *answer)
{
    static const struct {
        vault_handler *handle;
        const char *what;
    } kinds[VAULT_N_KINDS] = {
        [VAULT_HELLO] = { hello, "hello" },
        [VAULT_STATEMENTS] = { vault_statements, "statements" },
        [VAULT_CLAIM] = { vault_claim, "claim" },
        [VAULT_MOVE] = { vault_move, "rekey" },
        [VAULT_RE_ENROL] = { vault_re_enrol, "re-enrolment" },
        [VAULT_APPLY] = { vault_apply, "certificate requests" },
        [VAULT_ISSUE] = { vault_issue, "certificates" },
        [VAULT_LIST] = { vault_list, "revocation list" },
        [VAULT_LIST_PART] = { vault_list_part, "revocation list" },
        [VAULT_LIST_SIGN] = { vault_list_sign, "revocation list" },
        [VAULT_OCSP_KEY] = { vault_ocsp_key, "OCSP key" },
        [VAULT_OCSP] = { vault_ocsp, "OCSP answer" },
        [VAULT_RE_SIGN] = { vault_re_sign, "new signature" },
        [VAULT_RE_OPEN] = { re_open, "opening anew" },
        [VAULT_KEEP] = { keep, "what is listed" },
        [VAULT_WHO] = { vault_say_who, "the key of an ID" },
    };
    struct vault_in in = { .rest = request };
    uint8_t kind = vault_u8(&in);
    size_t start = answer->len;
    struct err err = { 0 };

    if (in.is_bad || kind >= N_ELEMENTS(kinds) || !kinds[kind].handle ||
        request.len > vault_max_request(kind))
        return VAULT_JUNK;
    v->now = now;
    if (!kinds[kind].handle(v, &in, answer, &err)) {
        answer->len = start;
        if (!vault_end(&in) && err.code == ERR_NONE)
            return VAULT_JUNK;
        vault_log_refusal(v, kinds[kind].what, &err);
        vault_put_refusal(answer, &err);
    }
    if (vault_book_sync(v->book, &err))
        return kind == VAULT_RE_OPEN ? VAULT_LEAVES : VAULT_ANSWERED;
    answer->len = start;
    log_event(LOG_ERROR, "signer.broken", "cause=%s", log_quote_text(err.text));
    return VAULT_BROKEN;
}
