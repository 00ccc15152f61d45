/* SPDX-License-Identifier: Apache-2.0 */
/* The link's TLS 1.3 session (RFC 9001), on GnuTLS. Of certificates GnuTLS only carries the
 * bytes: the judge decides. */
#include "peer/link/inside.h"

#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>
#include <stdio.h>

/* RFC 9001, 8.4: no middlebox compatibility mode in QUIC. */
static const char priority[] =
    "%DISABLE_TLS13_COMPAT_MODE:NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:"
    "+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:"
    "-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1";

const struct tls_profile tls_profile_link = { .alpn = "warren-link/1", .has_chain = true };

/* RFC 8446, 6. */
const char *tls_alert_name(unsigned alert)
{
    static const char *const names[] = {
        [10] = "unexpected_message",
        [20] = "bad_record_mac",
        [40] = "handshake_failure",
        [42] = "bad_certificate",
        [43] = "unsupported_certificate",
        [44] = "certificate_revoked",
        [45] = "certificate_expired",
        [46] = "certificate_unknown",
        [47] = "illegal_parameter",
        [48] = "unknown_ca",
        [49] = "access_denied",
        [50] = "decode_error",
        [51] = "decrypt_error",
        [70] = "protocol_version",
        [71] = "insufficient_security",
        [80] = "internal_error",
        [109] = "missing_extension",
        [110] = "unsupported_extension",
        [112] = "unrecognized_name",
        [116] = "certificate_required",
        [120] = "no_application_protocol",
    };
    return alert < N_ELEMENTS(names) && names[alert] ? names[alert] : "unknown";
}

static bool tls_err(struct err *err, enum err_code code, const char *what, int rc)
{
    return err_set(err, code, "%s: %s", what, gnutls_strerror(rc));
}

/* ---- our certificates ---- */

static void pcerts_deinit(gnutls_pcert_st *pcerts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gnutls_pcert_deinit(&pcerts[i]);
}

static gnutls_datum_t datum_of(struct view view)
{
    return (gnutls_datum_t){ .data = unconst(view.data), .size = (unsigned)view.len };
}

static bool import_key(struct view der, gnutls_privkey_t *ret_key, struct err *err)
{
    gnutls_datum_t datum = datum_of(der);
    gnutls_privkey_t key;
    int rc = gnutls_privkey_init(&key);

    if (rc < 0)
        return tls_err(err, ERR_SYSTEM, "TLS key", rc);
    rc = gnutls_privkey_import_x509_raw(key, &datum, GNUTLS_X509_FMT_DER, NULL, GNUTLS_PKCS_PLAIN);
    if (rc < 0) {
        gnutls_privkey_deinit(key);
        return tls_err(err, ERR_INVALID_ARGUMENT, "TLS key", rc);
    }
    *ret_key = key;
    return true;
}

static bool import_chain(const struct link_config *config, gnutls_pcert_st *pcerts, struct err *err)
{
    for (size_t i = 0; i < config->n_chain; i++) {
        gnutls_datum_t datum = datum_of(config->chain[i]);
        int rc = gnutls_pcert_import_x509_raw(&pcerts[i], &datum, GNUTLS_X509_FMT_DER, 0);

        if (rc < 0) {
            pcerts_deinit(pcerts, i);
            return tls_err(err, ERR_INVALID_ARGUMENT, "own certificate", rc);
        }
    }
    return true;
}

/* gnutls_certificate_set_key() takes over the key and what the array holds, when it succeeds. */
static bool set_key(struct tls *tls, const struct link_config *config, struct err *err)
{
    gnutls_pcert_st pcerts[LINK_MAX_CHAIN];
    gnutls_privkey_t key = NULL;
    int rc;

    if (config->n_chain < 1 || config->n_chain > LINK_MAX_CHAIN)
        return err_set(err, ERR_INVALID_ARGUMENT, "own chain: not 1 to %d certificates",
                       LINK_MAX_CHAIN);
    if (!import_chain(config, pcerts, err))
        return false;
    if (!import_key(config->key_der, &key, err)) {
        pcerts_deinit(pcerts, config->n_chain);
        return false;
    }
    rc = gnutls_certificate_set_key(tls->credentials, NULL, 0, pcerts, (int)config->n_chain, key);
    if (rc < 0) {
        pcerts_deinit(pcerts, config->n_chain);
        gnutls_privkey_deinit(key);
        return tls_err(err, ERR_INVALID_ARGUMENT, "own certificate and key", rc);
    }
    return true;
}

bool tls_credentials_new(struct tls *tls, const struct link_config *config,
                         const struct tls_profile *profile, struct err *err)
{
    int rc = gnutls_certificate_allocate_credentials(&tls->credentials);

    if (rc < 0)
        return tls_err(err, ERR_SYSTEM, "TLS credentials", rc);
    return !profile->has_chain || set_key(tls, config, err);
}

void tls_deinit(struct tls *tls)
{
    if (tls->session)
        gnutls_deinit(tls->session);
    if (tls->credentials)
        gnutls_certificate_free_credentials(tls->credentials);
    *tls = (struct tls){ 0 };
}

/* ---- the session ---- */

static ngtcp2_conn *conn_of_ref(ngtcp2_crypto_conn_ref *ref)
{
    return ((struct link *)ref->user_data)->conn;
}

static struct link *link_of(gnutls_session_t session)
{
    return ((ngtcp2_crypto_conn_ref *)gnutls_session_get_ptr(session))->user_data;
}

static bool collect_chain(gnutls_session_t session, struct view *ret_chain, size_t *ret_n,
                          struct err *err)
{
    unsigned n = 0;
    const gnutls_datum_t *certs = gnutls_certificate_get_peers(session, &n);

    if (!certs || n == 0)
        return err_set(err, ERR_BAD_CERTIFICATE, "the other side sent no certificate");
    if (n > LINK_MAX_CHAIN)
        return err_set(err, ERR_BAD_CERTIFICATE,
                       "the other side sent %u certificates: more than %d", n, LINK_MAX_CHAIN);
    for (unsigned i = 0; i < n; i++) {
        if (certs[i].size > LINK_MAX_CERT)
            return err_set(err, ERR_BAD_CERTIFICATE,
                           "the other side sent a certificate of %u bytes", certs[i].size);
        ret_chain[i] = VIEW(certs[i].data, certs[i].size);
    }
    *ret_n = n;
    return true;
}

/* Not 0 is GNUTLS_E_CERTIFICATE_ERROR: alert bad_certificate, before anything of the
 * application's was sent. */
static int on_verify(gnutls_session_t session)
{
    struct link *link = link_of(session);
    struct view chain[LINK_MAX_CHAIN];
    size_t n = 0;

    if (!collect_chain(session, chain, &n, &link->judged))
        return -1;
    if (!link->config.judge(link->config.user, chain, n, &link->judged)) {
        if (link->judged.code == ERR_NONE)
            err_set(&link->judged, ERR_BAD_CERTIFICATE, "refused");
        return -1;
    }
    link->tls.is_judged = true;
    return 0;
}

static int configure(struct link *link)
{
    gnutls_session_t session = link->tls.session;
    const char *alpn = link->profile->alpn;
    gnutls_datum_t protocol = datum_of(view_text(alpn));
    int rc = gnutls_priority_set_direct(session, priority, NULL);

    if (rc == 0)
        rc = link->config.is_caller ? ngtcp2_crypto_gnutls_configure_client_session(session)
                                    : ngtcp2_crypto_gnutls_configure_server_session(session);
    if (rc == 0)
        rc = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, link->tls.credentials);
    if (rc == 0 && alpn)
        rc = gnutls_alpn_set_protocols(session, &protocol, 1, GNUTLS_ALPN_MANDATORY);
    return rc;
}

bool tls_session_new(struct link *link, struct err *err)
{
    unsigned flags = GNUTLS_NO_TICKETS | GNUTLS_NO_AUTO_SEND_TICKET | GNUTLS_NO_END_OF_EARLY_DATA |
                     GNUTLS_NONBLOCK;
    int rc = gnutls_init(&link->tls.session,
                         flags | (link->config.is_caller ? GNUTLS_CLIENT : GNUTLS_SERVER));

    if (rc < 0)
        return tls_err(err, ERR_SYSTEM, "TLS session", rc);
    rc = configure(link);
    if (rc < 0)
        return tls_err(err, ERR_SYSTEM, "TLS session", rc);
    link->conn_ref = (ngtcp2_crypto_conn_ref){ .get_conn = conn_of_ref, .user_data = link };
    gnutls_session_set_ptr(link->tls.session, &link->conn_ref);
    gnutls_session_set_verify_function(link->tls.session, on_verify);
    if (!link->config.is_caller)
        gnutls_certificate_server_set_request(link->tls.session, GNUTLS_CERT_REQUIRE);
    ngtcp2_conn_set_tls_native_handle(link->conn, link->tls.session);
    return true;
}

/* ---- what came of it ---- */

/* GnuTLS insists on an ALPN answer only where the other side offers one at all. */
bool tls_is_right(struct link *link, struct err *err)
{
    gnutls_datum_t alpn = { 0 };

    if (!link->tls.is_judged)
        return err_set(err, ERR_BAD_CERTIFICATE, "the other side's certificate was not judged");
    if (gnutls_protocol_get_version(link->tls.session) != GNUTLS_TLS1_3)
        return err_set(err, ERR_BAD_WIRE, "not TLS 1.3");
    if (gnutls_session_is_resumed(link->tls.session))
        return err_set(err, ERR_BAD_WIRE, "a resumed TLS session");
    if (gnutls_alpn_get_selected_protocol(link->tls.session, &alpn) < 0 ||
        !view_eq_text(VIEW(alpn.data, alpn.size), tls_profile_link.alpn))
        return err_set(err, ERR_BAD_WIRE, "the other side does not speak %s",
                       tls_profile_link.alpn);
    return true;
}

static void copy_name(char *to, size_t size, const char *name)
{
    snprintf(to, size, "%s", name ? name : "");
}

void tls_facts(const struct tls *tls, struct link_facts *to)
{
    gnutls_datum_t alpn = { 0 };

    copy_name(to->tls_version, sizeof(to->tls_version),
              gnutls_protocol_get_name(gnutls_protocol_get_version(tls->session)));
    copy_name(to->cipher, sizeof(to->cipher), gnutls_ciphersuite_get(tls->session));
    copy_name(to->group, sizeof(to->group), gnutls_group_get_name(gnutls_group_get(tls->session)));
    if (gnutls_alpn_get_selected_protocol(tls->session, &alpn) == 0)
        snprintf(to->alpn, sizeof(to->alpn), "%.*s", (int)alpn.size, (const char *)alpn.data);
}

bool tls_exporter(const struct tls *tls, const char *label, uint8_t ret_exporter[LINK_EXPORTER],
                  struct err *err)
{
    int rc = gnutls_prf_rfc5705(tls->session, strlen(label), label, 0, NULL, LINK_EXPORTER,
                                (char *)ret_exporter);

    return rc == 0 || tls_err(err, ERR_SYSTEM, "exporter", rc);
}
