/* SPDX-License-Identifier: Apache-2.0 */
#include "router/realms.h"
#include "base/base64.h"
#include "base/file.h"
#include "base/text.h"
#include "rpc/rpc.h"

#include <assert.h>
#include <stdio.h>

enum { MAX_FILE = 16 * 1024 * 1024 };

#define REALM_OPTIONS(X)                                                                           \
    X(profile, TEXT, "", "warren, for the network's own realm, or standard")                       \
    X(methods, TEXT, "",                                                                           \
      "netsign, cryptosign, wampcra, ticket and anonymous, with spaces between")                   \
    X(disclosure, TEXT, "", "who is named to others: always, request or never")                    \
    X(anonymous_role, TEXT, "", "the role of who comes in by anonymous")                           \
    X(meta, TEXT, "", "roles that may use the meta API below wamp., with spaces between")          \
    X(open, TEXT, "", "names below which every peer may call, register, publish and subscribe")    \
    X(principals, PATH, "", "file of [principal AUTHID] sections; nobody else may read it")        \
    X(router_key, PATH, "", "key with which the router proves itself in cryptosign")

#define PRINCIPAL_OPTIONS(X)                                                                       \
    X(role, TEXT, NULL, "its role")                                                                \
    X(ticket, TEXT, "", "the ticket")                                                              \
    X(secret, TEXT, "", "the secret of wampcra; with a salt, the key derived from it, as base64")  \
    X(salt, TEXT, "", "the salt of wampcra")                                                       \
    X(iterations, NUMBER, "1000", "rounds of PBKDF2")                                              \
    X(keylen, NUMBER, "32", "bytes of the derived key")                                            \
    X(keys, TEXT, "", "public keys of cryptosign in hexadecimal, with spaces between")

struct realm_section {
    REALM_OPTIONS(CONF_FIELD)
};
struct principal_section {
    PRINCIPAL_OPTIONS(CONF_FIELD)
};
#define REALM_ROW(...)     CONF_ROW(struct realm_section, __VA_ARGS__)
#define PRINCIPAL_ROW(...) CONF_ROW(struct principal_section, __VA_ARGS__)
static const struct conf_option realm_options[] = { REALM_OPTIONS(REALM_ROW) };
static const struct conf_option principal_options[] = { PRINCIPAL_OPTIONS(PRINCIPAL_ROW) };

static const char *const method_names[] = { "netsign", "cryptosign", "wampcra", "ticket",
                                            "anonymous" };

const char *realm_method_name(enum realm_method method)
{
    return method_names[method];
}

static void principal_free(struct principal *principal)
{
    if (!principal)
        return;
    buf_wipe(&principal->ticket);
    buf_wipe(&principal->secret);
    free(principal->salt);
    free(principal);
}
OWN_FREEP(principal, struct principal)

static void realm_config_free(struct realm_config *config)
{
    size_t cursor = 0;
    void *principal;

    while (map_next(config->principals, &cursor, NULL, &principal))
        principal_free(principal);
    map_free(config->principals);
    map_free(config->by_key);
    key_free(config->key);
    free(config);
}

static struct realm_config *add_realm(struct realms *realms, struct view name)
{
    struct realm_config *config = mem_new(struct realm_config);

    snprintf(config->name, sizeof(config->name), "%.*s", VIEW_FMT(name));
    config->principals = map_new();
    config->by_key = map_new();
    realms->item[realms->n++] = config;
    return config;
}

struct realms *realms_new(const char *network)
{
    struct realms *realms = mem_new(struct realms);
    struct realm_config *home = add_realm(realms, view_text(network));

    home->has_method[REALM_NETSIGN] = home->has_method[REALM_ANONYMOUS] = true;
    snprintf(home->anonymous_role, REALM_ROLE, "guest");
    snprintf(home->meta[0], REALM_ROLE, "admin");
    snprintf(home->meta[1], REALM_ROLE, "den");
    home->n_meta = 2;
    return realms;
}

void realms_free(struct realms *realms)
{
    if (!realms)
        return;
    for (size_t i = 0; i < realms->n; i++)
        realm_config_free(realms->item[i]);
    free(realms);
}

struct realm_config *realms_find(const struct realms *realms, const char *name)
{
    for (size_t i = 0; i < realms->n; i++) {
        if (strcmp(realms->item[i]->name, name) == 0)
            return realms->item[i];
    }
    return NULL;
}

bool realms_has_key(const struct realms *realms, struct view public_key)
{
    for (size_t i = 0; i < realms->n; i++) {
        if (map_get(realms->item[i]->by_key, public_key))
            return true;
    }
    return false;
}

/* ---- words ----------------------------------------------------------------------------------- */

/* The next word, off the front of *text; false at the end. */
static bool take_word(struct view *text, struct view *ret_word)
{
    size_t len = 0;

    while (text->len && text->data[0] == ' ')
        *text = view_sub(*text, 1, text->len);
    while (len < text->len && text->data[len] != ' ')
        len++;
    *ret_word = view_sub(*text, 0, len);
    *text = view_sub(*text, len, text->len);
    return len > 0;
}

/* What stands in logs, in JSON and in details of messages without being escaped. */
static bool is_plain(struct view text, size_t size, const char *more)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        bool is_alphanumeric =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_alphanumeric && (c == '\0' || !strchr(more, c)))
            return false;
    }
    return text.len > 0 && text.len < size;
}

static bool take_role(struct view text, const char *what, char to[REALM_ROLE], struct err *err)
{
    if (!is_plain(text, REALM_ROLE, "_-"))
        return err_set(err, ERR_BAD_CONFIG,
                       "%s: expected a role of letters, digits, _ and -, found \"%.*s\"", what,
                       VIEW_FMT(text));
    snprintf(to, REALM_ROLE, "%.*s", VIEW_FMT(text));
    return true;
}

/* The place of `text` among `n` words, or an error that lists them. */
static bool choose(const char *what, struct view text, const char *const *words, size_t n,
                   size_t *ret_i, struct err *err)
{
    _buf_ all = { 0 };

    for (size_t i = 0; i < n; i++) {
        if (view_eq_text(text, words[i])) {
            *ret_i = i;
            return true;
        }
        buf_printf(&all, "%s%s", i == 0 ? "" : i + 1 == n ? " or " : ", ", words[i]);
    }
    return err_set(err, ERR_BAD_CONFIG, "%s: expected %s, found \"%.*s\"", what, buf_cstr(&all),
                   VIEW_FMT(text));
}

/* ---- principals ------------------------------------------------------------------------------ */

static bool take_keys(struct principal *principal, const char *text, struct err *err)
{
    struct view left = view_text(text), word;

    while (take_word(&left, &word)) {
        if (principal->n_keys == REALM_MAX_KEYS)
            return err_set(err, ERR_BAD_CONFIG, "keys: more than %d", REALM_MAX_KEYS);
        if (!text_read_hex(word, principal->keys[principal->n_keys], KEY_SIZE))
            return err_set(err, ERR_BAD_CONFIG, "keys: expected 64 hexadecimal digits each");
        principal->n_keys++;
    }
    return true;
}

/* A salted secret is the derived key as text, for so the HMAC uses it. */
static bool check_salted(const struct principal_section *p, struct err *err)
{
    size_t max = p->secret ? strlen(p->secret) : 0, len = 0;
    _free_ uint8_t *key = mem_zero(max + 1, 1);
    bool ok = max && base64_read(view_text(p->secret), key, &len);

    mem_wipe(key, max);
    if (!ok || len != p->keylen)
        return err_set(err, ERR_BAD_CONFIG,
                       "secret: with a salt, expected the derived key of keylen bytes as base64");
    if (!is_plain(view_text(p->salt), 128, "+/=._-"))
        return err_set(err, ERR_BAD_CONFIG, "salt: expected letters, digits and +/=._-");
    return true;
}

static bool check_principal(const struct realm_config *realm, struct view authid,
                            const struct principal_section *p, struct err *err)
{
    static const char *const own_roles[] = { "guest", "peer", "admin", "script" };
    size_t i;

    if (!is_plain(authid, REALM_AUTHID, "_-.@"))
        return err_set(err, ERR_BAD_CONFIG,
                       "expected an authid of letters, digits and _-.@, of at most %d characters",
                       REALM_AUTHID - 1);
    if (map_get(realm->principals, authid))
        return err_set(err, ERR_BAD_CONFIG, "given twice");
    if (map_count(realm->principals) == REALM_MAX_PRINCIPALS)
        return err_set(err, ERR_BAD_CONFIG, "more than %d principals", REALM_MAX_PRINCIPALS);
    if (!p->ticket && !p->secret && !p->keys)
        return err_set(err, ERR_BAD_CONFIG, "expected a ticket, a secret or keys");
    if (p->iterations < 1 || p->iterations > 10000000 || p->keylen < 16 || p->keylen > 64)
        return err_set(err, ERR_BAD_CONFIG,
                       "expected iterations from 1 to 10000000 and a keylen from 16 to 64");
    if (p->salt && !check_salted(p, err))
        return false;
    if (realm->profile != REALM_WARREN)
        return true;
    if (text_is_id(authid) || view_eq_text(authid, "den"))
        return err_set(err, ERR_BAD_CONFIG, "IDs and \"den\" are given out by den alone");
    return choose("role", view_text(p->role), own_roles, N_ELEMENTS(own_roles), &i, err);
}

static bool take_principal(void *user, struct view authid, const void *config, struct err *err)
{
    _cleanup_(principal_freep) struct principal *principal = mem_new(struct principal);
    const struct principal_section *p = config;
    struct realm_config *realm = user;

    if (!check_principal(realm, authid, p, err) ||
        !take_role(view_text(p->role), "role", principal->role, err) ||
        !take_keys(principal, p->keys ? p->keys : "", err))
        return false;
    for (size_t i = 0; i < principal->n_keys; i++) {
        if (map_get(realm->by_key, VIEW_ARR(principal->keys[i])))
            return err_set(err, ERR_BAD_CONFIG, "keys: key %zu is another principal's too", i + 1);
    }
    snprintf(principal->authid, sizeof(principal->authid), "%.*s", VIEW_FMT(authid));
    principal->ticket = buf_dup(view_text(p->ticket));
    principal->secret = buf_dup(view_text(p->secret));
    principal->salt = mem_text(p->salt);
    principal->iterations = p->iterations;
    principal->keylen = p->keylen;
    if (p->salt) {
        realm->is_salted = true;
        realm->iterations = p->iterations;
        realm->keylen = p->keylen;
    }
    for (size_t i = 0; i < principal->n_keys; i++)
        map_set(realm->by_key, VIEW_ARR(principal->keys[i]), principal);
    map_set(realm->principals, authid, STEAL(principal));
    return true;
}

static const struct conf_kind principal_kind = { "principal", principal_options,
                                                 N_ELEMENTS(principal_options),
                                                 sizeof(struct principal_section), take_principal };

/* Each error of the file goes to `all`, when there is one; then `err` names the file alone. */
static bool read_principals(struct realm_config *realm, const char *path, struct buf *all,
                            struct err *err)
{
    _buf_wipe_ text = { 0 };

    if (!file_read_secret(path, MAX_FILE, &text, err))
        return err_wrap(err, "principals");
    hash_sha256(buf_view(&text), realm->fake_salts); /* the same as long as the file is */
    if (conf_parse_sections(path, buf_view(&text), &principal_kind, 1, realm, all, err))
        return true;
    return all ? err_set(err, ERR_BAD_CONFIG, "principals: errors in %s", path) : false;
}

/* ---- realms ---------------------------------------------------------------------------------- */

struct reading {
    struct realms *realms;
    bool has_home; /* its section was there */
    bool is_check; /* nothing is written */
    struct buf *all;
};

static bool take_methods(struct realm_config *realm, const char *text, struct err *err)
{
    struct view left = view_text(text), word;
    bool is_home = realm->profile == REALM_WARREN;
    size_t method = 0, n = 0;

    memset(realm->has_method, 0, sizeof(realm->has_method));
    for (; take_word(&left, &word); n++) {
        if (!choose("methods", word, method_names, REALM_METHODS, &method, err))
            return false;
        realm->has_method[method] = true;
    }
    if (n == 0)
        return err_set(err, ERR_BAD_CONFIG, "methods is missing: expected one or more");
    if (is_home && !realm->has_method[REALM_NETSIGN])
        return err_set(err, ERR_BAD_CONFIG, "methods: netsign is how the network's peers come in");
    if (!is_home && realm->has_method[REALM_NETSIGN])
        return err_set(err, ERR_BAD_CONFIG, "methods: netsign is for the network's own realm");
    return true;
}

static bool take_meta(struct realm_config *realm, const char *text, struct err *err)
{
    struct view left = view_text(text), word;

    realm->n_meta = 0;
    while (take_word(&left, &word)) {
        if (realm->n_meta == REALM_MAX_META)
            return err_set(err, ERR_BAD_CONFIG, "meta: more than %d roles", REALM_MAX_META);
        if (!take_role(word, "meta", realm->meta[realm->n_meta], err))
            return false;
        realm->n_meta++;
    }
    return true;
}

/* Names with an owner stay that owner's. */
static bool check_open(struct view word, struct err *err)
{
    static const char *const owned[] = { "peer", "den", "network", "wamp" };

    if (!rpc_uri_is_valid(word) || word.len >= REALM_OPEN)
        return err_set(err, ERR_BAD_CONFIG, "open: \"%.*s\" is not a URI of at most %d bytes",
                       VIEW_FMT(word), REALM_OPEN - 1);
    for (size_t i = 0; i < N_ELEMENTS(owned); i++) {
        if (rpc_uri_is_below(view_text(owned[i]), word))
            return err_set(err, ERR_BAD_CONFIG, "open: what is below %s has an owner", owned[i]);
    }
    return true;
}

static bool take_open(struct realm_config *realm, const char *text, bool is_home, struct err *err)
{
    struct view left = view_text(text), word;

    if (!is_home)
        return err_set(err, ERR_BAD_CONFIG, "open: in the profile standard all names are open");
    while (take_word(&left, &word)) {
        if (realm->n_open == REALM_MAX_OPEN)
            return err_set(err, ERR_BAD_CONFIG, "open: more than %d names", REALM_MAX_OPEN);
        if (!check_open(word, err))
            return false;
        snprintf(realm->open[realm->n_open++], REALM_OPEN, "%.*s", VIEW_FMT(word));
    }
    return true;
}

static bool take_profile(struct realm_config *realm, const char *text, bool is_home,
                         struct err *err)
{
    static const char *const words[] = { "warren", "standard" };
    size_t i = is_home ? REALM_WARREN : REALM_STANDARD;

    if (text && !choose("profile", view_text(text), words, N_ELEMENTS(words), &i, err))
        return false;
    if (is_home != (i == REALM_WARREN))
        return err_set(err, ERR_BAD_CONFIG,
                       "profile: warren is that of the network's own realm, and of no other");
    realm->profile = (enum realm_profile)i;
    return true;
}

static bool take_disclosure(struct realm_config *realm, const char *text, struct err *err)
{
    static const char *const words[] = { "always", "request", "never" };
    size_t i = realm->profile == REALM_WARREN ? REALM_ALWAYS : REALM_ON_REQUEST;

    if (text && !choose("disclosure", view_text(text), words, N_ELEMENTS(words), &i, err))
        return false;
    if (realm->profile == REALM_WARREN && i != REALM_ALWAYS)
        return err_set(err, ERR_BAD_CONFIG, "disclosure: in the network's own realm, always");
    realm->disclosure = (enum realm_disclosure)i;
    return true;
}

static bool take_anonymous(struct realm_config *realm, const char *text, struct err *err)
{
    bool is_home = realm->profile == REALM_WARREN;

    if (text && is_home && strcmp(text, "guest") != 0)
        return err_set(err, ERR_BAD_CONFIG, "anonymous_role: in the network's own realm, guest");
    if (!text)
        text = is_home ? "guest" : "anonymous";
    return take_role(view_text(text), "anonymous_role", realm->anonymous_role, err);
}

/* Made when it is not there: nothing else knows of it. */
static bool take_router_key(struct realm_config *realm, const char *path, bool is_check,
                            struct err *err)
{
    if (!path)
        return true;
    if (file_exists(path))
        return key_read(path, &realm->key, err) || err_wrap(err, "router_key");
    realm->key = key_new();
    return is_check || key_write(realm->key, path, err) || err_wrap(err, "router_key");
}

static bool take_people(struct realm_config *realm, const char *path, struct buf *all,
                        struct err *err)
{
    if (path)
        return read_principals(realm, path, all, err);
    for (size_t i = REALM_CRYPTOSIGN; i <= REALM_TICKET; i++) {
        if (realm->has_method[i])
            return err_set(err, ERR_BAD_CONFIG, "principals is missing: %s needs it",
                           method_names[i]);
    }
    return true;
}

static bool find_place(struct reading *r, struct view name, bool is_home,
                       struct realm_config **ret_realm, struct err *err)
{
    if (!rpc_uri_is_valid(name) || name.len > REALM_NAME)
        return err_set(err, ERR_BAD_CONFIG, "expected a realm's name, a URI of at most %d bytes",
                       REALM_NAME);
    if (view_eq_text(name, "wamp") || view_starts(name, VIEW_LIT("wamp.")))
        return err_set(err, ERR_BAD_CONFIG,
                       "names below \"wamp.\" are the protocol's own: take another");
    for (size_t i = is_home && !r->has_home; i < r->realms->n; i++) {
        if (view_eq_text(name, r->realms->item[i]->name))
            return err_set(err, ERR_BAD_CONFIG, "given twice");
    }
    if (!is_home && r->realms->n == REALMS_MAX)
        return err_set(err, ERR_BAD_CONFIG, "more than %d realms", REALMS_MAX);
    *ret_realm = is_home ? r->realms->item[0] : add_realm(r->realms, name);
    r->has_home |= is_home;
    return true;
}

static bool take_realm(void *user, struct view name, const void *config, struct err *err)
{
    const struct realm_section *s = config;
    struct reading *r = user;
    bool is_home = view_eq_text(name, r->realms->item[0]->name);
    struct realm_config *realm = NULL;

    if (!find_place(r, name, is_home, &realm, err))
        return false;
    assert(realm);
    return take_profile(realm, s->profile, is_home, err) &&
           ((is_home && !s->methods) || take_methods(realm, s->methods ? s->methods : "", err)) &&
           take_disclosure(realm, s->disclosure, err) &&
           take_anonymous(realm, s->anonymous_role, err) &&
           (!s->meta || take_meta(realm, s->meta, err)) &&
           (!s->open || take_open(realm, s->open, is_home, err)) &&
           take_people(realm, s->principals, r->all, err) &&
           take_router_key(realm, s->router_key, r->is_check, err);
}

static const struct conf_kind realm_kind = { "realm", realm_options, N_ELEMENTS(realm_options),
                                             sizeof(struct realm_section), take_realm };

static bool read_file(const char *path, const char *network, bool is_check,
                      struct realms **ret_realms, struct buf *ret_all, struct err *err)
{
    _cleanup_(realms_freep) struct realms *realms = realms_new(network);
    struct reading r = { realms, false, is_check, ret_all };
    _buf_ text = { 0 };

    if (!file_read(path, MAX_FILE, &text, err))
        return err_wrap(err, "realms");
    if (!conf_parse_sections(path, buf_view(&text), &realm_kind, 1, &r, ret_all, err))
        return false;
    if (realms->n == 1 && !r.has_home) { /* cut off, more likely than meant */
        err_set(err, ERR_BAD_CONFIG, "%s: expected a [realm NAME] section, found none", path);
        if (ret_all)
            buf_printf(ret_all, "%s\n", err->text);
        return false;
    }
    *ret_realms = STEAL(realms);
    return true;
}

bool realms_read(const char *path, const char *network, struct realms **ret_realms,
                 struct buf *ret_all, struct err *err)
{
    return read_file(path, network, false, ret_realms, ret_all, err);
}

bool realms_check(const char *path, const char *network, struct realms **ret_realms,
                  struct buf *ret_all, struct err *err)
{
    return read_file(path, network, true, ret_realms, ret_all, err);
}
