/* SPDX-License-Identifier: Apache-2.0 */
/* Who is written down in the realm's file of principals: ticket, wampcra, cryptosign. */
#include "base/base64.h"
#include "base/text.h"
#include "router/handshake_state.h"

#include <inttypes.h>
#include <stdio.h>

/* WAMP: "Ticket-based Authentication". The whole of it stands on TLS. */
bool ticket_hello(struct handshake *h, const struct conn_input *in, _unused_ struct err *err)
{
    _buf_ extra = { 0 };

    h->principal = map_get(h->conn->realm->config->principals, in->msg->hello.authid);
    rpc_put_map(&extra, 0);
    handshake_challenge(h, buf_view(&extra));
    return true;
}

bool ticket_authenticate(struct handshake *h, const struct conn_input *in, _unused_ struct err *err)
{
    struct view ticket = { 0 };
    uint8_t wanted[HASH_SIZE], given[HASH_SIZE];
    bool ok;

    if (h->principal)
        ticket = buf_view(&h->principal->ticket);
    hash_sha256(ticket, wanted); /* of equal length, whatever was sent */
    hash_sha256(in->msg->authenticate.signature, given);
    ok = view_eq_secret(VIEW_ARR(wanted), VIEW_ARR(given)) && ticket.len;
    if (!ok)
        return handshake_fail(h->conn);
    handshake_admit(h);
    return true;
}

/* ---- WAMP: "Challenge Response Authentication" ------------------------------------------------ */

/* Only what needs no escape in JSON; no principal has another name. */
static bool is_plain(struct view authid)
{
    for (size_t i = 0; i < authid.len; i++) {
        if (authid.data[i] < 0x20 || authid.data[i] > 0x7e || strchr("\"\\", authid.data[i]))
            return false;
    }
    return authid.len < REALM_AUTHID;
}

static void put_cra_text(struct handshake *h, struct view authid)
{
    char at[CLOCK_TEXT];

    random_bytes(h->challenge, sizeof(h->challenge));
    buf_put_text(&h->text, "{\"nonce\":\"");
    text_put_hex(&h->text, VIEW_ARR(h->challenge));
    buf_printf(&h->text,
               "\",\"authprovider\":\"static\",\"authid\":\"%.*s\",\"authmethod\":\"wampcra\","
               "\"session\":%" PRIu64 ",\"timestamp\":\"%s\"}",
               VIEW_FMT(authid), h->session, clock_text(router_network_time(h->conn->router), at));
}

/* Who is unknown gets a salt too, and the same one each time. */
static void put_salt(const struct handshake *h, struct view authid, struct buf *extra)
{
    const struct realm_config *realm = h->conn->realm->config;
    const struct principal *p = h->principal;
    uint64_t iterations = p ? p->iterations : realm->iterations;
    uint64_t keylen = p ? p->keylen : realm->keylen;
    bool is_salted = p ? p->salt != NULL : realm->is_salted;
    uint8_t mac[HASH_SIZE];
    _buf_ fake = { 0 };

    rpc_put_map(extra, is_salted ? 4 : 1);
    rpc_put_str(extra, "challenge");
    rpc_put_text(extra, buf_view(&h->text));
    if (!is_salted)
        return;
    hmac_sha256(VIEW_ARR(realm->fake_salts), authid, mac);
    text_put_hex(&fake, VIEW(mac, 8));
    rpc_put_str(extra, "salt");
    rpc_put_text(extra, p ? view_text(p->salt) : buf_view(&fake));
    rpc_put_str(extra, "iterations");
    rpc_put_u64(extra, iterations);
    rpc_put_str(extra, "keylen");
    rpc_put_u64(extra, keylen);
}

bool wampcra_hello(struct handshake *h, const struct conn_input *in, _unused_ struct err *err)
{
    struct view authid = in->msg->hello.authid;
    _buf_ extra = { 0 };

    if (!is_plain(authid))
        return handshake_fail(h->conn);
    h->principal = map_get(h->conn->realm->config->principals, authid);
    if (h->principal && h->principal->secret.len == 0)
        h->principal = NULL;
    put_cra_text(h, authid);
    put_salt(h, authid, &extra);
    handshake_challenge(h, buf_view(&extra));
    return true;
}

bool wampcra_authenticate(struct handshake *h, const struct conn_input *in,
                          _unused_ struct err *err)
{
    const struct principal *p = h->principal && h->principal->secret.len ? h->principal : NULL;
    uint8_t mac[HASH_SIZE];
    _buf_wipe_ wanted = { 0 };

    hmac_sha256(p ? buf_view(&p->secret) : (struct view){ 0 }, buf_view(&h->text), mac);
    base64_put(&wanted, VIEW_ARR(mac));
    if (!view_eq_secret(buf_view(&wanted), in->msg->authenticate.signature) || !p)
        return handshake_fail(h->conn);
    handshake_admit(h);
    return true;
}

/* ---- WAMP: "Cryptosign-based Authentication" -------------------------------------------------- */

/* Without a channel binding: the specification's own protects from nothing (the one in between
 * knows both channels, and sends a challenge that cancels them out). */
static void put_router_proof(const struct realm_config *realm, const uint8_t *theirs,
                             struct buf *extra)
{
    uint8_t sig[SIG_SIZE];
    _buf_ text = { 0 };

    key_sign(realm->key, VIEW(theirs, 32), sig);
    rpc_put_str(extra, "pubkey");
    text_put_hex(&text, key_public_view(realm->key));
    rpc_put_text(extra, buf_view(&text));
    buf_clear(&text);
    text_put_hex(&text, VIEW_ARR(sig));
    text_put_hex(&text, VIEW(theirs, 32));
    rpc_put_str(extra, "signature");
    rpc_put_text(extra, buf_view(&text));
}

/* The principal of this key; NULL too when it asked for another's name, and of a key that ever came
 * by netsign: it must not be talked into signing what others choose. */
static const struct principal *find_by_key(const struct handshake *h, struct view key,
                                           struct view authid)
{
    const struct principal *p = map_get(h->conn->realm->config->by_key, key);

    if (p && authid.len && !view_eq_text(authid, p->authid))
        return NULL;
    return p && netkeys_is_refused(h->conn->router->netkeys, key) ? NULL : p;
}

bool cryptosign_hello(struct handshake *h, const struct conn_input *in, struct err *err)
{
    const struct rpc_hello *hello = &in->msg->hello;
    const struct realm_config *realm = h->conn->realm->config;
    uint8_t theirs[32];
    struct view text;
    bool is_asked = rpc_map_text(hello->authextra, "challenge", &text);
    _buf_ extra = { 0 };
    _buf_ hex = { 0 };

    if (is_asked && !text_read_hex(text, theirs, sizeof(theirs)))
        return err_set(err, ERR_BAD_WIRE, "HELLO: authextra: challenge: not 64 hexadecimal digits");
    if (!rpc_map_text(hello->authextra, "pubkey", &text) ||
        !text_read_hex(text, h->netsign.client_pk, KEY_SIZE))
        return err_set(err, ERR_BAD_WIRE, "HELLO: authextra: pubkey: not 64 hexadecimal digits");
    h->principal = find_by_key(h, VIEW_ARR(h->netsign.client_pk), hello->authid);
    random_bytes(h->challenge, sizeof(h->challenge));
    text_put_hex(&hex, VIEW_ARR(h->challenge));
    rpc_put_map(&extra, is_asked && realm->key ? 4 : 2);
    rpc_put_str(&extra, "challenge");
    rpc_put_text(&extra, buf_view(&hex));
    rpc_put_str(&extra, "channel_binding");
    rpc_put_nil(&extra);
    if (is_asked && realm->key)
        put_router_proof(realm, theirs, &extra);
    handshake_challenge(h, buf_view(&extra));
    return true;
}

/* Signature and what it is of: that this is our challenge has to be checked, or one that was given
 * to anybody at any time would do. */
bool cryptosign_authenticate(struct handshake *h, const struct conn_input *in,
                             _unused_ struct err *err)
{
    uint8_t proof[SIG_SIZE + 32] = { 0 };
    struct view message = VIEW(proof + SIG_SIZE, 32);
    bool ok = text_read_hex(in->msg->authenticate.signature, proof, sizeof(proof));

    ok = ok && view_eq_secret(message, VIEW_ARR(h->challenge)) &&
         key_verify(VIEW_ARR(h->netsign.client_pk), message, VIEW(proof, SIG_SIZE));
    if (!ok || !h->principal ||
        netkeys_is_refused(h->conn->router->netkeys, VIEW_ARR(h->netsign.client_pk)))
        return handshake_fail(h->conn);
    handshake_admit(h);
    return true;
}
