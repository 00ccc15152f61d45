/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ws_tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

enum { MAX_CHAIN = 8 };

struct rpc_ws_pair {
    X509 *leaf;
    STACK_OF(X509) * above; /* the chain without the leaf */
    EVP_PKEY *key;
};

struct judge {
    rpc_ws_on_chain *on_chain;
    void *user;
};

void rpc_ws_pair_free(struct rpc_ws_pair *pair)
{
    if (!pair)
        return;
    X509_free(pair->leaf);
    sk_X509_pop_free(pair->above, X509_free);
    EVP_PKEY_free(pair->key);
    free(pair);
}

static X509 *read_der(struct view der)
{
    const unsigned char *at = der.data;
    X509 *cert = d2i_X509(NULL, &at, (long)der.len);

    if (cert && at == der.data + der.len)
        return cert;
    X509_free(cert);
    return NULL;
}

static bool read_chain(struct rpc_ws_pair *pair, const struct rpc_ws_tls *tls, struct err *err)
{
    if (!tls->n_chain || tls->n_chain > MAX_CHAIN)
        return err_set(err, ERR_INVALID_ARGUMENT, "TLS: a chain of %zu certificates", tls->n_chain);
    pair->above = sk_X509_new_null();
    for (size_t i = 0; i < tls->n_chain; i++) {
        X509 *cert = read_der(tls->chain[i]);
        if (!cert)
            return err_set(err, ERR_BAD_CERTIFICATE,
                           "TLS: certificate %zu of the chain is not readable", i + 1);
        if (i == 0)
            pair->leaf = cert;
        else
            sk_X509_push(pair->above, cert);
    }
    return true;
}

bool rpc_ws_pair_read(const struct rpc_ws_tls *tls, struct rpc_ws_pair **ret_pair, struct err *err)
{
    _cleanup_(rpc_ws_pair_freep) struct rpc_ws_pair *pair = mem_new(struct rpc_ws_pair);
    const unsigned char *at = tls->key.data;

    if (!read_chain(pair, tls, err))
        return false;
    pair->key = d2i_AutoPrivateKey(NULL, &at, (long)tls->key.len);
    if (!pair->key)
        return err_set(err, ERR_INVALID_ARGUMENT, "TLS: the key is not readable");
    if (X509_check_private_key(pair->leaf, pair->key) != 1)
        return err_set(err, ERR_INVALID_ARGUMENT, "TLS: the key is not the certificate's");
    *ret_pair = STEAL(pair);
    return true;
}

bool rpc_ws_pair_use(const struct rpc_ws_pair *pair, SSL_CTX *ssl, struct err *err)
{
    const int replace = 1;

    return SSL_CTX_use_cert_and_key(ssl, pair->leaf, pair->key, pair->above, replace) == 1 ||
           err_set(err, ERR_BAD_CERTIFICATE, "TLS: OpenSSL refuses the certificate or its key");
}

/* TLS 1.3 alone, and nothing before its handshake is through. */
bool rpc_ws_tls_profile(SSL_CTX *ssl)
{
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    return SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_max_early_data(ssl, 0) == 1 &&
           SSL_CTX_set_recv_max_early_data(ssl, 0) == 1 &&
           SSL_CTX_set1_groups_list(ssl, "X25519:P-256") == 1 &&
           SSL_CTX_set_num_tickets(ssl, 0) == 1;
}

static bool judge_chain(const struct judge *judge, const SSL *ssl, STACK_OF(X509) * sent)
{
    struct view chain[MAX_CHAIN];
    unsigned char *der[MAX_CHAIN] = { NULL };
    int n = sk_X509_num(sent);
    bool is_good;

    if (n < 1 || n > MAX_CHAIN)
        return false;
    for (int i = 0; i < n; i++) {
        int len = i2d_X509(sk_X509_value(sent, i), &der[i]);
        chain[i] = VIEW(der[i], len > 0 ? (size_t)len : 0);
    }
    is_good = judge->on_chain(judge->user, ssl, chain, (size_t)n);
    for (int i = 0; i < n; i++)
        OPENSSL_free(der[i]);
    return is_good;
}

/* What the server sent stands in `untrusted`, its leaf first. */
static int on_verify(X509_STORE_CTX *store, void *arg)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    bool is_good = judge_chain(arg, ssl, X509_STORE_CTX_get0_untrusted(store));

    X509_STORE_CTX_set_error(store, is_good ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
    return is_good;
}

bool rpc_ws_tls_judge_again(SSL *ssl, rpc_ws_on_chain *on_chain, void *user)
{
    const struct judge judge = { on_chain, user };

    return judge_chain(&judge, ssl, SSL_get_peer_cert_chain(ssl));
}

bool rpc_ws_tls_client(rpc_ws_on_chain *on_chain, void *user, SSL_CTX **ret_ssl, struct err *err)
{
    SSL_CTX *ssl = SSL_CTX_new(TLS_client_method());
    struct judge *judge;

    if (!ssl || !rpc_ws_tls_profile(ssl)) {
        SSL_CTX_free(ssl);
        return err_set(err, ERR_SYSTEM, "TLS: OpenSSL offers no TLS 1.3");
    }
    judge = mem_new(struct judge);
    judge->on_chain = on_chain;
    judge->user = user;
    SSL_CTX_set_app_data(ssl, judge);
    SSL_CTX_set_cert_verify_callback(ssl, on_verify, judge);
    *ret_ssl = ssl;
    return true;
}

void rpc_ws_tls_free(SSL_CTX *ssl)
{
    if (!ssl)
        return;
    free(SSL_CTX_get_app_data(ssl));
    SSL_CTX_free(ssl);
}

bool rpc_ws_tls_exporter(SSL *ssl, uint8_t ret_exporter[32])
{
    static const char label[] = "EXPORTER-Channel-Binding"; /* RFC 9266 */

    return SSL_export_keying_material(ssl, ret_exporter, 32, label, sizeof(label) - 1,
                                      (const unsigned char *)"", 0, 1) == 1;
}

bool rpc_ws_tls_certificate(const SSL *ssl, uint8_t ret_hash[32])
{
    const X509 *leaf = SSL_get0_peer_certificate(ssl);
    unsigned int len = 32;

    return leaf && X509_digest(leaf, EVP_sha256(), ret_hash, &len) == 1;
}

/* ---- reading ahead --------------------------------------------------------------------------- */

/* The socket has more, but nobody shall have it now. */
static long hold_back(BIO *bio)
{
    BIO_clear_retry_flags(bio);
    BIO_set_retry_read(bio);
    return -1;
}

static long on_bio(BIO *bio, int operation, _unused_ const char *bytes, _unused_ size_t len,
                   _unused_ int argi, _unused_ long argl, int ret, size_t *processed)
{
    struct rpc_ws_ahead *ahead = (void *)BIO_get_callback_arg(bio);

    if (operation == BIO_CB_READ && ahead->may_read && !ahead->may_read(ahead->user))
        return hold_back(bio);
    if (operation == (BIO_CB_READ | BIO_CB_RETURN) && ret > 0 && ahead->came)
        ahead->came(ahead->user, *processed);
    if (operation == BIO_CB_FREE)
        free(ahead);
    return ret;
}

void rpc_ws_tls_read_ahead(SSL *ssl, const struct rpc_ws_ahead *wanted)
{
    BIO *bio = SSL_get_rbio(ssl);
    struct rpc_ws_ahead *ahead = (void *)BIO_get_callback_arg(bio);

    if (!ahead)
        ahead = mem_new(struct rpc_ws_ahead);
    *ahead = wanted ? *wanted : (struct rpc_ws_ahead){ 0 };
    BIO_set_callback_arg(bio, (char *)ahead);
    BIO_set_callback_ex(bio, on_bio);
    SSL_set_read_ahead(ssl, wanted != NULL);
}

/* Once it had to ask the socket for the rest of a record, the socket's next bytes wake us. */
bool rpc_ws_tls_has_more(const SSL *ssl)
{
    return SSL_has_pending(ssl) && !SSL_want_read(ssl);
}

size_t rpc_ws_tls_peek(SSL *ssl, uint8_t *to, size_t len, bool *ret_is_over)
{
    size_t n = 0;

    *ret_is_over = false;
    ERR_clear_error();
    if (SSL_peek_ex(ssl, to, len, &n) != 1) {
        int why = SSL_get_error(ssl, 0); /* an answer to a KeyUpdate may wait for the socket */
        n = 0;
        *ret_is_over = why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE;
    }
    return n;
}

bool rpc_ws_tls_take(SSL *ssl, uint8_t *to, size_t len)
{
    size_t n = 0;

    return SSL_read_ex(ssl, to, len, &n) == 1 && n == len;
}
