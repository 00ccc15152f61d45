/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/ws_ticket.h"

#include "base/clock.h"
#include "base/key.h"

#include <openssl/core_names.h>
#include <openssl/ssl.h>

enum { NAME = 16, IV = 16, SECRET = 32 };

/* ---- the server ------------------------------------------------------------------------------ */

struct ticket_key {
    uint8_t name[NAME], aes[SECRET], hmac[SECRET];
    uint64_t made_at; /* clock_mono_ms() */
};

struct ticket_keys {
    struct ticket_key now, before; /* before: opens what it sealed, for as long again */
    bool has_before;
};

static void make_key(struct ticket_keys *keys)
{
    random_bytes(keys->now.name, NAME);
    random_bytes(keys->now.aes, SECRET);
    random_bytes(keys->now.hmac, SECRET);
    keys->now.made_at = clock_mono_ms();
}

static void turn(struct ticket_keys *keys)
{
    keys->before = keys->now;
    keys->has_before = true;
    make_key(keys);
}

static void turn_in_time(struct ticket_keys *keys)
{
    uint64_t age = clock_mono_ms() - keys->now.made_at, most = RPC_WS_TICKET_SECS * SECOND_MS;

    if (age >= most)
        turn(keys);
    if (age >= 2 * most)
        keys->has_before = false;
}

static void free_keys(_unused_ void *parent, void *keys, _unused_ CRYPTO_EX_DATA *all,
                      _unused_ int index, _unused_ long argl, _unused_ void *argp)
{
    if (keys)
        mem_wipe(keys, sizeof(struct ticket_keys));
    free(keys);
}

/* Where an SSL_CTX has its keys: they end with it. */
static int keys_index(void)
{
    static int index = -1;

    if (index < 0)
        index = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL_CTX, 0, NULL, NULL, NULL, free_keys);
    return index;
}

static const struct ticket_key *find_key(const struct ticket_keys *keys, const uint8_t *name)
{
    if (memcmp(keys->now.name, name, NAME) == 0)
        return &keys->now;
    if (keys->has_before && memcmp(keys->before.name, name, NAME) == 0)
        return &keys->before;
    return NULL;
}

static bool set_hmac(EVP_MAC_CTX *mac, const struct ticket_key *key)
{
    char digest[] = "SHA256";
    uint8_t secret[SECRET];
    OSSL_PARAM params[] = { OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, secret, SECRET),
                            OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                            OSSL_PARAM_construct_end() };
    bool ok;

    memcpy(secret, key->hmac, SECRET);
    ok = EVP_MAC_CTX_set_params(mac, params) == 1;
    mem_wipe(secret, sizeof(secret));
    return ok;
}

/* OpenSSL's question: 1 yes, 2 yes and the client gets another one, 0 it is of no key that we have (a
 * full handshake follows). A ticket is used once: that is why there is always another. */
static int on_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                  EVP_MAC_CTX *mac, int seals)
{
    struct ticket_keys *keys = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), keys_index());
    const struct ticket_key *key;

    turn_in_time(keys);
    if (seals) {
        memcpy(name, keys->now.name, NAME);
        random_bytes(iv, IV);
    }
    key = find_key(keys, name);
    if (!key)
        return 0;
    if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv, seals) != 1 ||
        !set_hmac(mac, key))
        return -1;
    return seals ? 1 : 2;
}

bool rpc_ws_tickets_serve(SSL_CTX *ssl)
{
    static const unsigned char id[] = "warren";
    struct ticket_keys *keys = mem_new(struct ticket_keys);

    make_key(keys);
    if (SSL_CTX_set_ex_data(ssl, keys_index(), keys) != 1) {
        free(keys);
        return false;
    }
    SSL_CTX_set_timeout(ssl, RPC_WS_TICKET_SECS);
    return SSL_CTX_set_session_id_context(ssl, id, sizeof(id) - 1) == 1 &&
           SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_key) == 1 &&
           SSL_CTX_set_num_tickets(ssl, 1) == 1;
}

void rpc_ws_tickets_turn(SSL_CTX *ssl)
{
    struct ticket_keys *keys = SSL_CTX_get_ex_data(ssl, keys_index());

    if (keys)
        turn(keys);
}

void rpc_ws_tickets_forget(SSL_CTX *ssl)
{
    struct ticket_keys *keys = SSL_CTX_get_ex_data(ssl, keys_index());

    if (!keys)
        return;
    mem_wipe(keys, sizeof(*keys));
    keys->has_before = false;
    make_key(keys);
}

/* ---- the client ------------------------------------------------------------------------------ */

/* What stood at `at`, without its session. */
static SSL_SESSION *remove_at(struct rpc_ws_tickets *tickets, size_t at)
{
    SSL_SESSION *session = tickets->held[at].session;

    free(tickets->held[at].server);
    tickets->n--;
    memmove(&tickets->held[at], &tickets->held[at + 1],
            (tickets->n - at) * sizeof(tickets->held[0]));
    return session;
}

void rpc_ws_tickets_free(struct rpc_ws_tickets *tickets)
{
    while (tickets->n)
        SSL_SESSION_free(remove_at(tickets, tickets->n - 1));
}

void rpc_ws_tickets_put(struct rpc_ws_tickets *tickets, const char *server, SSL_SESSION *session)
{
    if (tickets->n == RPC_WS_MAX_TICKETS)
        SSL_SESSION_free(remove_at(tickets, 0));
    tickets->held[tickets->n++] = (struct rpc_ws_held_ticket){ mem_text(server), session };
}

static bool is_good(const SSL_SESSION *session)
{
    return SSL_SESSION_is_resumable(session) &&
           (uint64_t)SSL_SESSION_get_time(session) + (uint64_t)SSL_SESSION_get_timeout(session) >
               clock_wall_ms() / SECOND_MS;
}

SSL_SESSION *rpc_ws_tickets_take(struct rpc_ws_tickets *tickets, const char *server)
{
    for (size_t i = tickets->n; i-- > 0;) {
        SSL_SESSION *session;
        if (strcmp(tickets->held[i].server, server) != 0)
            continue;
        session = remove_at(tickets, i);
        if (is_good(session))
            return session;
        SSL_SESSION_free(session);
    }
    return NULL;
}

static int events_index(void)
{
    static int index = -1;

    if (index < 0)
        index = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL_CTX, 0, NULL, NULL, NULL, NULL);
    return index;
}

static const struct rpc_ws_ticket_events *events_of(const SSL *ssl)
{
    return SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), events_index());
}

/* libwebsockets makes the SSL and starts it in one go: this is where one can say something. */
static void on_info(const SSL *ssl, int where, _unused_ int ret)
{
    const struct rpc_ws_ticket_events *events = events_of(ssl);

    if ((where & SSL_CB_HANDSHAKE_START) && SSL_in_before(ssl))
        /* NOLINTNEXTLINE(performance-no-int-to-ptr): OpenSSL has it const here alone */
        events->on_start(events->user, (SSL *)(uintptr_t)ssl);
}

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    const struct rpc_ws_ticket_events *events = events_of(ssl);

    events->on_ticket(events->user, ssl, session);
    return 0;
}

void rpc_ws_tickets_want(SSL_CTX *ssl, const struct rpc_ws_ticket_events *events)
{
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): read as const, always */
    SSL_CTX_set_ex_data(ssl, events_index(), (void *)(uintptr_t)events);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ssl, on_new_session);
    SSL_CTX_set_info_callback(ssl, on_info);
}
