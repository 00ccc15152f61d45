/* SPDX-License-Identifier: Apache-2.0 */
/* What RFC 5280 and the CA/Browser Forum's baseline requirements forbid and OpenSSL 3.0 lets pass, as
 * a table: each rule says at which places of the chain it holds. */
#include "pki/general.h"

#include <arpa/inet.h>
#include <string.h>

enum place { LEAF = 1, BETWEEN = 2, ANCHOR = 4, CA = BETWEEN | ANCHOR, ALL = LEAF | CA };
enum { MAX_SERIAL = 20, MIN_RSA = 2048, MAX_LABEL = 63, MAX_DNS = 253 };

struct subject { /* one certificate of the chain */
    X509 *x509;
    enum place place;
    const struct pki_general *question;
};

static struct view string_view(const ASN1_STRING *s)
{
    return VIEW(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

static bool has(const struct subject *s, int nid)
{
    return X509_get_ext_by_NID(s->x509, nid, -1) >= 0;
}

static bool is_critical(const struct subject *s, int nid)
{
    int at = X509_get_ext_by_NID(s->x509, nid, -1);

    return at >= 0 && X509_EXTENSION_get_critical(X509_get_ext(s->x509, at));
}

static bool is_there_and_malformed(const struct subject *s, int nid, void **ret)
{
    *ret = X509_get_ext_d2i(s->x509, nid, NULL, NULL);
    return !*ret && has(s, nid);
}

/* ---- serial and key ---------------------------------------------------------------------- */

/* RFC 5280, 4.1.2.2: positive, at most 20 octets as two's complement. */
static bool check_serial(const struct subject *s, struct err *err)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(s->x509);
    struct view n = string_view(serial);
    bool is_zero = n.len == 0 || (n.len == 1 && n.data[0] == 0);

    if (is_zero || ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER)
        return err_set(err, ERR_BAD_CERTIFICATE, "has a serial number that is not positive");
    return n.len + (n.data[0] >> 7) <= MAX_SERIAL ||
           err_set(err, ERR_BAD_CERTIFICATE, "has a serial number of more than %d octets",
                   MAX_SERIAL);
}

static bool is_good_rsa(const EVP_PKEY *key)
{
    int bits = EVP_PKEY_get_bits(key);

    return bits >= MIN_RSA && bits % 8 == 0;
}

static bool is_good_curve(const EVP_PKEY *key)
{
    static const char *const curves[] = { "prime256v1", "secp384r1", "secp521r1" };
    char name[40];
    size_t len;

    if (!EVP_PKEY_get_group_name(key, name, sizeof(name), &len))
        return false;
    for (size_t i = 0; i < N_ELEMENTS(curves); i++)
        if (strcmp(name, curves[i]) == 0)
            return true;
    return false;
}

static bool check_key(const struct subject *s, struct err *err)
{
    const EVP_PKEY *key = X509_get0_pubkey(s->x509);

    switch (key ? EVP_PKEY_get_base_id(key) : EVP_PKEY_NONE) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
        return is_good_rsa(key) ||
               err_set(err, ERR_BAD_CERTIFICATE,
                       "has an RSA key of %d bits: at least %d, and a multiple of 8",
                       EVP_PKEY_get_bits(key), MIN_RSA);
    case EVP_PKEY_EC:
        return is_good_curve(key) ||
               err_set(err, ERR_BAD_CERTIFICATE, "has a key that is not of P-256, P-384 or P-521");
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448:
        return true;
    }
    return err_set(err, ERR_BAD_CERTIFICATE, "has a key that is neither RSA, EC nor EdDSA");
}

/* ---- key identifiers --------------------------------------------------------------------- */

/* RFC 5280, 4.2.1.1: everywhere but in what signed itself; and where it stands it holds the key's. */
static bool check_aki(const struct subject *s, struct err *err)
{
    AUTHORITY_KEYID *aki;
    bool is_malformed =
             is_there_and_malformed(s, NID_authority_key_identifier, (void **)(void *)&aki),
         has_id = aki && aki->keyid;

    AUTHORITY_KEYID_free(aki);
    if (is_malformed || (has(s, NID_authority_key_identifier) && !has_id) ||
        (s->place != ANCHOR && !has_id))
        return err_set(err, ERR_BAD_CERTIFICATE,
                       "does not say whose key signed it (authority key identifier)");
    return true;
}

/* ---- names ------------------------------------------------------------------------------- */

static bool is_ldh(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

/* Labels of letters, digits and inner hyphens; a last one that is all digits would be an address. */
static bool is_dns(struct view name)
{
    size_t start = 0;
    bool is_number = true;

    if (name.len == 0 || name.len > MAX_DNS)
        return false;
    for (size_t i = 0; i <= name.len; i++) {
        if (i < name.len && name.data[i] != '.') {
            if (!is_ldh(name.data[i]))
                return false;
            is_number &= name.data[i] >= '0' && name.data[i] <= '9';
            continue;
        }
        if (i == start || i - start > MAX_LABEL || name.data[start] == '-' ||
            name.data[i - 1] == '-')
            return false;
        if (i < name.len)
            is_number = true;
        start = i + 1;
    }
    return !is_number;
}

static bool is_mail(struct view mail)
{
    const uint8_t *at = mail.len ? memchr(mail.data, '@', mail.len) : NULL;
    size_t host = at ? (size_t)(at - mail.data) + 1 : 0;

    if (!at || at == mail.data)
        return false;
    for (const uint8_t *c = mail.data; c < at; c++)
        if (*c <= ' ' || *c >= 0x7f)
            return false;
    return is_dns(view_sub(mail, host, mail.len));
}

static bool is_usable(const GENERAL_NAME *name)
{
    struct view text;

    switch (name->type) {
    case GEN_DNS:
        text = string_view(name->d.dNSName);
        return is_dns(view_starts(text, VIEW_LIT("*.")) ? view_sub(text, 2, text.len) : text);
    case GEN_EMAIL:
        return is_mail(string_view(name->d.rfc822Name));
    case GEN_IPADD:
        return string_view(name->d.iPAddress).len == 4 || string_view(name->d.iPAddress).len == 16;
    }
    return true;
}

/* RFC 5280, 4.2.1.6: critical exactly when there is no subject. */
static bool check_san(const struct subject *s, struct err *err)
{
    bool has_subject = X509_NAME_entry_count(X509_get_subject_name(s->x509)) > 0, is_ok = true;
    _cleanup_(GENERAL_NAMES_freep) GENERAL_NAMES *names = NULL;

    if (is_there_and_malformed(s, NID_subject_alt_name, (void **)(void *)&names))
        return pki_err(err, ERR_BAD_CERTIFICATE, "has alternative names that are malformed");
    if (!names)
        return s->place != LEAF || err_set(err, ERR_BAD_CERTIFICATE, "has no alternative names");
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
        is_ok &= is_usable(sk_GENERAL_NAME_value(names, i));
    if (!is_ok)
        return err_set(err, ERR_BAD_CERTIFICATE,
                       "has an alternative name that is not a usable one");
    return is_critical(s, NID_subject_alt_name) != has_subject ||
           err_set(err, ERR_BAD_CERTIFICATE,
                   "marks its alternative names critical beside a subject, or not without one");
}

static bool is_address_text(const GENERAL_NAME *name, struct view text)
{
    struct view ip = string_view(name->d.iPAddress);
    char canonical[INET6_ADDRSTRLEN];

    return (ip.len == 4 || ip.len == 16) &&
           inet_ntop(ip.len == 4 ? AF_INET : AF_INET6, ip.data, canonical, sizeof(canonical)) &&
           view_eq_text(text, canonical);
}

/* Byte-equal to an alternative name, or to the first label of a dNSName. */
static bool is_said_again(const GENERAL_NAMES *names, struct view text)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        struct view dns;
        if (name->type == GEN_IPADD && is_address_text(name, text))
            return true;
        if (name->type != GEN_DNS)
            continue;
        dns = string_view(name->d.dNSName);
        if (view_eq(dns, text) ||
            (view_starts(dns, text) && dns.len > text.len && dns.data[text.len] == '.'))
            return true;
    }
    return false;
}

/* A host's common name says nothing that the alternative names do not say: some still look there.
 * A person's may be anything. */
static bool check_common_name(const struct subject *s, struct err *err)
{
    _cleanup_(GENERAL_NAMES_freep) GENERAL_NAMES *names =
        X509_get_ext_d2i(s->x509, NID_subject_alt_name, NULL, NULL);
    const X509_NAME *subject = X509_get_subject_name(s->x509);
    int at = -1;

    if (!s->question->name)
        return true;
    while ((at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0) {
        struct view text = string_view(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
        if (text.len == 0 || !is_said_again(names, text))
            return err_set(err, ERR_BAD_CERTIFICATE,
                           "has a common name that is none of its alternative names");
    }
    return true;
}

/* ---- constraints ------------------------------------------------------------------------- */

static bool are_subtrees_usable(STACK_OF(GENERAL_SUBTREE) * trees)
{
    for (int i = 0; i < sk_GENERAL_SUBTREE_num(trees); i++) {
        const GENERAL_NAME *base = sk_GENERAL_SUBTREE_value(trees, i)->base;
        struct view dns;
        if (base->type != GEN_DNS)
            continue;
        dns = string_view(base->d.dNSName);
        if (dns.len && !is_dns(dns)) /* empty: every name */
            return false;
    }
    return true;
}

/* RFC 5280, 4.2.1.10: in CAs alone, critical, and saying something. */
static bool check_constraints(const struct subject *s, struct err *err)
{
    NAME_CONSTRAINTS *nc;
    bool is_malformed = is_there_and_malformed(s, NID_name_constraints, (void **)(void *)&nc),
         is_empty = false, is_usable_tree = true;

    if (nc) {
        is_empty = sk_GENERAL_SUBTREE_num(nc->permittedSubtrees) <= 0 &&
                   sk_GENERAL_SUBTREE_num(nc->excludedSubtrees) <= 0;
        is_usable_tree =
            are_subtrees_usable(nc->permittedSubtrees) && are_subtrees_usable(nc->excludedSubtrees);
        NAME_CONSTRAINTS_free(nc);
    }
    if (is_malformed || is_empty || !is_usable_tree)
        return pki_err(err, ERR_BAD_CERTIFICATE,
                       "has name constraints that are malformed or empty");
    if (s->place == LEAF && has(s, NID_name_constraints))
        return err_set(err, ERR_BAD_CERTIFICATE, "has name constraints and is no CA");
    return !has(s, NID_name_constraints) || is_critical(s, NID_name_constraints) ||
           err_set(err, ERR_BAD_CERTIFICATE, "does not mark its name constraints critical");
}

/* RFC 5280, 4.2.1.11 */
static bool check_policy_constraints(const struct subject *s, struct err *err)
{
    return !has(s, NID_policy_constraints) || is_critical(s, NID_policy_constraints) ||
           err_set(err, ERR_BAD_CERTIFICATE, "does not mark its policy constraints critical");
}

/* ---- what it may be used for -------------------------------------------------------------- */

static bool check_leaf_is_no_ca(const struct subject *s, struct err *err)
{
    BASIC_CONSTRAINTS *bc = X509_get_ext_d2i(s->x509, NID_basic_constraints, NULL, NULL);
    bool is_ca = bc && bc->ca;

    BASIC_CONSTRAINTS_free(bc);
    return !is_ca || err_set(err, ERR_BAD_CERTIFICATE, "is a CA");
}

static bool check_purposes(const struct subject *s, struct err *err)
{
    int wanted = s->question->role == PKI_SERVER ? NID_server_auth : NID_client_auth;
    EXTENDED_KEY_USAGE *eku = X509_get_ext_d2i(s->x509, NID_ext_key_usage, NULL, NULL);
    bool has_wanted = false, has_any = false;

    for (int i = 0; i < sk_ASN1_OBJECT_num(eku); i++) {
        int nid = OBJ_obj2nid(sk_ASN1_OBJECT_value(eku, i));
        has_wanted |= nid == wanted;
        has_any |= nid == NID_anyExtendedKeyUsage;
    }
    EXTENDED_KEY_USAGE_free(eku);
    if (!has_wanted || has_any)
        return err_set(err, ERR_BAD_CERTIFICATE, "does not say what it is for, or says anything");
    return !is_critical(s, NID_ext_key_usage) ||
           err_set(err, ERR_BAD_CERTIFICATE, "marks its extended key usage critical");
}

static bool check_anchor_purposes(const struct subject *s, struct err *err)
{
    return !has(s, NID_ext_key_usage) ||
           err_set(err, ERR_BAD_CERTIFICATE, "is a root and has an extended key usage");
}

static bool check_aia(const struct subject *s, struct err *err)
{
    AUTHORITY_INFO_ACCESS *aia;
    bool is_malformed = is_there_and_malformed(s, NID_info_access, (void **)(void *)&aia);

    AUTHORITY_INFO_ACCESS_free(aia);
    return (!is_malformed && !is_critical(s, NID_info_access)) ||
           pki_err(err, ERR_BAD_CERTIFICATE,
                   "has an authority information access that is malformed or critical");
}

/* ---- the table ---------------------------------------------------------------------------- */

static const struct {
    unsigned places;
    bool (*check)(const struct subject *s, struct err *err);
} rules[] = {
    { ALL, check_serial },
    { ALL, check_key },
    { ALL, check_aki },
    { ALL, check_san },
    { LEAF, check_common_name },
    { ALL, check_constraints },
    { ALL, check_policy_constraints },
    { LEAF, check_leaf_is_no_ca },
    { LEAF, check_purposes },
    { ANCHOR, check_anchor_purposes },
    { ALL, check_aia },
};

bool pki_general_rules(STACK_OF(X509) * chain, const struct pki_general *question, struct err *err)
{
    int n = sk_X509_num(chain);
    struct err why = { 0 };

    for (int i = 0; i < n; i++) {
        const struct subject s = { sk_X509_value(chain, i),
                                   i == n - 1 ? ANCHOR
                                   : i == 0   ? LEAF
                                              : BETWEEN,
                                   question };
        for (size_t j = 0; j < N_ELEMENTS(rules); j++)
            if (rules[j].places & s.place && !rules[j].check(&s, &why))
                return err_set(err, why.code, "certificate %d of the chain %s", i + 1, why.text);
    }
    return true;
}

bool pki_general_list(const X509_CRL *crl, struct err *err)
{
    return X509_CRL_get_ext_by_NID(crl, NID_crl_number, -1) >= 0 ||
           err_set(err, ERR_BAD_CERTIFICATE, "the revocation list has no number");
}
