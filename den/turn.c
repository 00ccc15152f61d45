/* SPDX-License-Identifier: Apache-2.0 */
#include "den/turn.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "pki/pki.h"
#include "rpc/rpc.h"

#include <inttypes.h>

enum { MIN_SECRET = 16, MAX_SECRET = 256 };

struct turn {
    char *uris[RPC_TURN_SERVERS];
    size_t n_uris;
    struct buf secrets[TURN_MAX_SECRETS];
    size_t n_secrets;
};

void turn_free(struct turn *turn)
{
    if (!turn)
        return;
    for (size_t i = 0; i < turn->n_uris; i++)
        free(turn->uris[i]);
    for (size_t i = 0; i < turn->n_secrets; i++)
        buf_wipe(&turn->secrets[i]);
    free(turn);
}

size_t turn_n_servers(const struct turn *turn)
{
    return turn ? turn->n_uris : 0;
}

size_t turn_n_secrets(const struct turn *turn)
{
    return turn ? turn->n_secrets : 0;
}

/* The next of some words that spaces separate; NULL after the last. */
static char *next_word(const char **rest)
{
    const char *start = *rest + strspn(*rest, " \t");
    size_t len = strcspn(start, " \t");

    *rest = start + len;
    return len ? view_dup_text(VIEW(start, len)) : NULL;
}

bool grant_read_relays(const char *text, struct rpc_items *ret_items, struct err *err)
{
    struct rpc_items items = { 0 };

    for (;;) {
        text += strspn(text, " \t");
        size_t len = strcspn(text, " \t");
        if (len == 0)
            break;
        if (len > 262)
            return err_set(err, ERR_INVALID_ARGUMENT, "%.100s: too long", text);
        if (items.n == GRANT_MAX_RELAYS)
            return err_set(err, ERR_INVALID_ARGUMENT, "more than %d relays", GRANT_MAX_RELAYS);
        if (!rpc_join_check_host(VIEW(text, len), err))
            return err_wrap(err, "%.100s", text);
        items.item[items.n++] = VIEW(text, len);
        text += len;
    }
    *ret_items = items;
    return true;
}

static bool read_uris(const char *text, struct turn *turn, struct err *err)
{
    struct rpc_turn_server server;
    char *word;

    while ((word = next_word(&text))) {
        if (turn->n_uris == RPC_TURN_SERVERS) {
            free(word);
            return err_set(err, ERR_INVALID_ARGUMENT, "more than %d servers", RPC_TURN_SERVERS);
        }
        turn->uris[turn->n_uris++] = word;
        if (!rpc_turn_uri_read(view_text(word), &server, err))
            return err_wrap(err, "%.100s", word);
    }
    return turn->n_uris || err_set(err, ERR_INVALID_ARGUMENT, "no server is named");
}

bool turn_check_uris(const char *uris, struct err *err)
{
    _cleanup_(turn_freep) struct turn *turn = mem_new(struct turn);

    return read_uris(uris, turn, err);
}

/* As coturn reads its own: one word of printable ASCII. */
static bool check_secret(const char *path, const struct buf *secret, struct err *err)
{
    if (secret->len < MIN_SECRET)
        return err_set(err, ERR_BAD_CONFIG, "%s: a secret has %d characters or more", path,
                       MIN_SECRET);
    for (size_t i = 0; i < secret->len; i++)
        if (secret->data[i] <= 0x20 || secret->data[i] > 0x7e)
            return err_set(err, ERR_BAD_CONFIG,
                           "%s: a secret is one line of printable characters without spaces", path);
    return true;
}

static bool read_secret(const char *path, struct buf *secret, struct err *err)
{
    if (!file_read_secret(path, MAX_SECRET, secret, err))
        return false;
    while (secret->len &&
           (secret->data[secret->len - 1] == '\n' || secret->data[secret->len - 1] == '\r'))
        secret->len--;
    return check_secret(path, secret, err);
}

static bool read_secrets(const char *paths, struct turn *turn, struct err *err)
{
    for (;;) {
        _free_ char *path = next_word(&paths);
        if (!path)
            break;
        if (turn->n_secrets == TURN_MAX_SECRETS)
            return err_set(err, ERR_BAD_CONFIG, "more than %d secrets", TURN_MAX_SECRETS);
        if (!read_secret(path, &turn->secrets[turn->n_secrets++], err))
            return false;
    }
    return turn->n_secrets || err_set(err, ERR_BAD_CONFIG, "no file with a secret is named");
}

bool turn_check_secrets(const char *paths, const char *place, struct buf *ret_all)
{
    struct err err;
    bool ok = true;
    size_t n = 0;

    for (;;) {
        _free_ char *path = next_word(&paths);
        _buf_wipe_ secret = { 0 };
        if (!path)
            break;
        if (++n == TURN_MAX_SECRETS + 1)
            err_set(&err, ERR_BAD_CONFIG, "more than %d secrets", TURN_MAX_SECRETS);
        else if (n > TURN_MAX_SECRETS || read_secret(path, &secret, &err))
            continue;
        buf_printf(ret_all, "%s%s\n", place, err.text);
        ok = false;
    }
    return ok;
}

bool turn_open(const char *uris, const char *secrets, struct turn **ret_turn, struct err *err)
{
    _cleanup_(turn_freep) struct turn *turn = mem_new(struct turn);

    if (!read_uris(uris, turn, err) || !read_secrets(secrets, turn, err))
        return false;
    *ret_turn = STEAL(turn);
    return true;
}

/* "EXPIRY:SID-ID": the server's log can be laid beside the audit, and its quota counts what stands behind the colon. */
static void put_username(struct view sid, const char *id, uint64_t expires_at, struct buf *to)
{
    buf_printf(to, "%" PRIu64 ":", expires_at / SECOND_MS);
    text_put_hex(to, sid);
    buf_printf(to, "-%s", id);
}

static void name_servers(const struct turn *turn, struct rpc_turn *t)
{
    for (; t->n_uris < turn->n_uris; t->n_uris++)
        t->uris[t->n_uris] = view_text(turn->uris[t->n_uris]);
}

void turn_put(const struct turn *turn, struct view sid, const char *id, uint64_t now,
              struct buf *to)
{
    struct rpc_turn t = { .expires_at = now + TURN_CREDENTIAL_MS };
    _buf_wipe_ username = { 0 }, password = { 0 };
    uint8_t mac[PKI_SHA1];

    if (!turn) {
        rpc_put_nil(to);
        return;
    }
    put_username(sid, id, t.expires_at, &username);
    pki_hmac_sha1(buf_view(&turn->secrets[0]), buf_view(&username), mac);
    base64_put(&password, VIEW_ARR(mac));
    mem_wipe(mac, sizeof(mac));
    t.username = buf_view(&username);
    t.password = buf_view(&password);
    name_servers(turn, &t);
    rpc_turn_put(&t, to);
}

void turn_put_servers(const struct turn *turn, struct buf *to)
{
    struct rpc_turn t = { 0 };

    if (!turn) {
        rpc_put_nil(to);
        return;
    }
    name_servers(turn, &t);
    rpc_turn_put(&t, to);
}
