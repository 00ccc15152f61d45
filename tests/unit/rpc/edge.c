/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/rpc/edge.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

/* ---- certificate ----------------------------------------------------------------------------- */

static void take_der(struct buf *to, unsigned char *der, int len)
{
    buf_put(to, VIEW(der, (size_t)len));
    OPENSSL_free(der);
}

void edge_cert_make(struct edge_cert *cert, const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x509 = X509_new();
    unsigned char *der = NULL;
    PKCS8_PRIV_KEY_INFO *pkcs8 = EVP_PKEY2PKCS8(key);

    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 7);
    X509_gmtime_adj(X509_getm_notBefore(x509), -60);
    X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    X509_set_pubkey(x509, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x509, X509_get_subject_name(x509));
    X509_sign(x509, key, EVP_sha256());
    *cert = (struct edge_cert){ 0 };
    int len = i2d_X509(x509, &der);
    take_der(&cert->der, der, len);
    der = NULL;
    len = i2d_PKCS8_PRIV_KEY_INFO(pkcs8, &der);
    take_der(&cert->key, der, len);
    PKCS8_PRIV_KEY_INFO_free(pkcs8);
    X509_free(x509);
    EVP_PKEY_free(key);
}

void edge_cert_free(struct edge_cert *cert)
{
    buf_free(&cert->der);
    buf_wipe(&cert->key);
}

/* ---- waiting --------------------------------------------------------------------------------- */

struct wait {
    struct rpc_loop *loop;
    struct rpc_timer *timer;
    bool (*is)(void *user);
    void *user;
    uint64_t give_up_at;
    bool has_come;
};

static void look(void *user)
{
    struct wait *wait = user;
    uint64_t now = clock_mono_ms();

    wait->has_come = wait->is(wait->user);
    if (wait->has_come || now >= wait->give_up_at)
        rpc_loop_stop(wait->loop);
    else
        rpc_timer_set(wait->timer, now + 2);
}

bool edge_until(struct rpc_loop *loop, bool (*is)(void *user), void *user)
{
    struct wait wait = {
        .loop = loop, .is = is, .user = user, .give_up_at = clock_mono_ms() + 10000
    };

    wait.timer = rpc_timer_new(loop, look, &wait);
    rpc_timer_set(wait.timer, clock_mono_ms());
    rpc_loop_run(loop);
    rpc_timer_free(wait.timer);
    return wait.has_come;
}

/* ---- a client that is not ours --------------------------------------------------------------- */

struct edge_raw {
    pthread_t thread;
    atomic_bool is_done;
    uint16_t port;
    int max_tls_version;
    struct buf request, then, got;
};

static void talk(struct edge_raw *raw, SSL *ssl)
{
    char bytes[4096];
    int n;

    if (SSL_connect(ssl) != 1) {
        buf_put_text(&raw->got, "no TLS");
        return;
    }
    SSL_write(ssl, raw->request.data, (int)raw->request.len);
    while ((n = SSL_read(ssl, bytes, sizeof(bytes))) > 0) {
        buf_put(&raw->got, VIEW(bytes, (size_t)n));
        if (raw->then.len)
            SSL_write(ssl, raw->then.data, (int)raw->then.len);
        buf_free(&raw->then);
    }
}

static void *run(void *arg)
{
    struct edge_raw *raw = arg;
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(raw->port) };
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    SSL_CTX_set_max_proto_version(ctx, raw->max_tls_version);
    ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
        talk(raw, ssl);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    atomic_store(&raw->is_done, true);
    return NULL;
}

struct edge_raw *edge_raw_start(uint16_t port, struct view request, struct view then,
                                int max_tls_version)
{
    struct edge_raw *raw = mem_new(struct edge_raw);

    signal(SIGPIPE, SIG_IGN);
    raw->port = port;
    raw->max_tls_version = max_tls_version;
    buf_put(&raw->request, request);
    buf_put(&raw->then, then);
    pthread_create(&raw->thread, NULL, run, raw);
    return raw;
}

bool edge_raw_is_done(void *raw)
{
    return atomic_load(&((struct edge_raw *)raw)->is_done);
}

void edge_raw_take(struct edge_raw *raw, struct buf *ret_got)
{
    pthread_join(raw->thread, NULL);
    *ret_got = raw->got;
    buf_free(&raw->request);
    buf_free(&raw->then);
    free(raw);
}
