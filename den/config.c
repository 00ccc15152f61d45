/* SPDX-License-Identifier: Apache-2.0 */
#include "den/config.h"
#include "base/clock.h"
#include "base/dir.h"
#include "base/file.h"
#include "den/turn.h"
#include "vault/vault.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

enum {
    MAX_FILE = 256 * 1024,
    MAX_BURST = 1000000,
    MAX_SESSIONS = 1000000,
    MAX_URL = 480, /* a certificate has 32 more: of whom it is */
    MAX_SOCKET = 108
};

#define URL_EXPECTED "a web address, http:// or https://, of at most 480 characters"

#define ROW(...) CONF_ROW(struct den_config, __VA_ARGS__)
static const struct conf_option options[] = { DEN_OPTIONS(ROW) };
#undef ROW

/* What a type alone does not say: a range of numbers, or one of some words. */
struct limit {
    const char *name;
    size_t offset;
    uint64_t least, most;
    const char *const *words; /* NULL: a number */
    const char *expected;
};

static const char *const enrolments[] = { "token", "approval", "open", NULL };
static const char *const levels[] = { "debug", "info", "warn", "error", NULL };
static const char *const formats[] = { "text", "json", NULL };

#define RANGE(name, least, most, text)                                                             \
    {                                                                                              \
#name, offsetof(struct den_config, name), (least), (most), NULL, text                      \
    }
#define WORDS(name, words, text)                                                                   \
    {                                                                                              \
#name, offsetof(struct den_config, name), 0, 0, words, text                                \
    }
static const struct limit limits[] = {
    RANGE(leaf_life, 10 * MINUTE_MS, 7 * DAY_MS, "10m to 7d"),
    RANGE(router_life, HOUR_MS, 30 * DAY_MS, "1h to 30d"),
    RANGE(crl_life, 10 * MINUTE_MS, DAY_MS, "10m to 24h"),
    RANGE(ocsp_life, MINUTE_MS, 7 * DAY_MS, "1m to 7d"),
    RANGE(csr_burst, 0, MAX_BURST, "0 to 1000000"),
    RANGE(ocsp_burst, 0, MAX_BURST, "0 to 1000000"),
    RANGE(csr_every, 1, DAY_MS, "1ms to 1d"),
    RANGE(admission_life, 10 * MINUTE_MS, 90 * DAY_MS, "10m to 90d"),
    RANGE(heartbeat_interval, SECOND_MS, 10 * MINUTE_MS, "1s to 10m"),
    RANGE(heartbeat_bound, 10 * SECOND_MS, 30 * DAY_MS,
          "10s to 30d, and at least twice heartbeat_interval"),
    RANGE(offer_timeout, SECOND_MS, 10 * MINUTE_MS, "1s to 10m"),
    RANGE(enrol_burst, 0, MAX_BURST, "0 to 1000000"),
    RANGE(enrol_every, 1, DAY_MS, "1ms to 1d"),
    RANGE(dial_burst, 0, MAX_BURST, "0 to 1000000"),
    RANGE(dial_every, 1, DAY_MS, "1ms to 1d"),
    RANGE(misses_per_network, 0, MAX_BURST, "0 to 1000000"),
    RANGE(sessions_per_pair, 0, MAX_SESSIONS, "0 to 1000000"),
    RANGE(sessions_per_id, 0, MAX_SESSIONS, "0 to 1000000"),
    RANGE(lost_after, MINUTE_MS, 30 * DAY_MS, "1m to 30d"),
    RANGE(provisional_life, DAY_MS, 3650 * DAY_MS, "1d to 3650d"),
    RANGE(names_per_id, 0, 1000, "0 to 1000"),
    RANGE(name_quarantine, DAY_MS, 3650 * DAY_MS, "1d to 3650d"),
    RANGE(id_digits, 6, 9, "6 to 9"),
    WORDS(enrolment, enrolments, "token, approval or open"),
    WORDS(log_level, levels, "debug, info, warn or error"),
    WORDS(log_format, formats, "text or json"),
};

static bool is_within(const struct limit *limit, const struct den_config *config)
{
    const void *field = (const char *)config + limit->offset;
    uint64_t n;

    if (!limit->words) {
        memcpy(&n, field, sizeof(n));
        return n >= limit->least && n <= limit->most;
    }
    if (!*(char *const *)field)
        return true;
    for (size_t i = 0; limit->words[i]; i++) {
        if (strcmp(*(char *const *)field, limit->words[i]) == 0)
            return true;
    }
    return false;
}

static const char *default_of(const char *key)
{
    for (size_t i = 0; i < N_ELEMENTS(options); i++)
        if (strcmp(options[i].name, key) == 0 && options[i].fallback)
            return options[i].fallback;
    return "";
}

/* What the file does not set has no line: its default does not go with something else that is there. */
static bool refuse(const char *path, struct view text, const struct limit *limit,
                   struct buf *ret_all, struct err *err)
{
    unsigned line = conf_line_of(text, limit->name);

    if (line)
        err_set(err, ERR_BAD_CONFIG, "%s:%u: %s: expected %s", path, line, limit->name,
                limit->expected);
    else
        err_set(err, ERR_BAD_CONFIG, "%s: %s: expected %s; it is not set, and its default is %s",
                path, limit->name, limit->expected, default_of(limit->name));
    if (ret_all)
        buf_printf(ret_all, "%s\n", err->text);
    return false;
}

/* A line that could not even be read is not looked at again. */
static bool is_told(const char *path, unsigned line, struct buf *all)
{
    _free_ char *place = mem_format("%s:%u: ", path, line);

    return line && all->len && strstr(buf_cstr(all), place);
}

static bool check_limits(const char *path, struct view text, const struct den_config *config,
                         struct buf *ret_all, struct err *err)
{
    struct err one;
    bool ok = true;

    for (size_t i = 0; i < N_ELEMENTS(limits); i++) {
        bool is_bad = !is_told(path, conf_line_of(text, limits[i].name), ret_all) &&
                      (!is_within(&limits[i], config) ||
                       (limits[i].offset == offsetof(struct den_config, heartbeat_bound) &&
                        config->heartbeat_bound / 2 < config->heartbeat_interval));
        if (is_bad)
            refuse(path, text, &limits[i], ret_all, ok ? err : &one);
        ok &= !is_bad;
    }
    return ok;
}

static bool is_web_url(const char *url)
{
    size_t len = strlen(url);

    for (size_t i = 0; i < len; i++)
        if (url[i] <= ' ' || url[i] >= 0x7f)
            return false;
    return len <= MAX_URL && (strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0);
}

static bool is_listening_address(const char *text)
{
    _free_ char *host = NULL;
    uint16_t port;

    return conf_split_address(view_text(text), 0, &host, &port);
}

static bool is_copy_place(const char *place)
{
    return strcmp(place, "journal") == 0 || (place[0] == '/' && strlen(place) < MAX_SOCKET);
}

/* Either for ever, or long enough for whoever looks at it once a day. */
static bool check_keep(const char *path, struct view text, const struct den_config *config,
                       struct buf *ret_all, struct err *err)
{
    static const struct limit limit = { "audit_keep", .expected = "0d, or 1h to 36500d" };
    bool is_good = config->audit_keep == 0 ||
                   (config->audit_keep >= HOUR_MS && config->audit_keep <= 36500 * DAY_MS);

    return is_good || is_told(path, conf_line_of(text, limit.name), ret_all) ||
           refuse(path, text, &limit, ret_all, err);
}

/* Whether the first that is opened there leaves nothing to the second. */
static bool is_one_place(const char *a, const char *b)
{
    static const char *const any[] = { "0.0.0.0", "::", "*" };
    _free_ char *host_a = NULL, *host_b = NULL;
    uint16_t port_a, port_b;

    if (!a || !b || !conf_split_address(view_text(a), 0, &host_a, &port_a) ||
        !conf_split_address(view_text(b), 0, &host_b, &port_b) || port_a != port_b)
        return false;
    for (size_t i = 0; i < N_ELEMENTS(any); i++)
        if (strcmp(host_a, any[i]) == 0 || strcmp(host_b, any[i]) == 0)
            return true;
    return strcmp(host_a, host_b) == 0;
}

/* What certificates would carry, and where den would listen: wrong, they would only show later. */
static bool check_web(const char *path, struct view text, const struct den_config *config,
                      struct buf *ret_all, struct err *err)
{
    const struct {
        const char *value;
        bool (*is_good)(const char *value);
        struct limit limit;
    } rows[] = {
        { config->crl_url, is_web_url, { "crl_url", .expected = URL_EXPECTED } },
        { config->ca_url, is_web_url, { "ca_url", .expected = URL_EXPECTED } },
        { config->ocsp_url, is_web_url, { "ocsp_url", .expected = URL_EXPECTED } },
        { config->http, is_listening_address, { "http", .expected = "ADDRESS:PORT" } },
        { config->audit_copy,
          is_copy_place,
          { "audit_copy",
            .expected = "journal, or the path of a socket, of at most 107 characters" } },
        { config->metrics, is_listening_address, { "metrics", .expected = "ADDRESS:PORT" } },
    };
    struct err one;
    bool ok = true;

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        if (!rows[i].value || !*rows[i].value || rows[i].is_good(rows[i].value))
            continue;
        refuse(path, text, &rows[i].limit, ret_all, ok ? err : &one);
        ok = false;
    }
    if (is_one_place(config->http, config->metrics)) {
        static const struct limit apart = { "metrics",
                                            .expected = "another ADDRESS:PORT than that of http" };
        refuse(path, text, &apart, ret_all, ok ? err : &one);
        ok = false;
    }
    return ok;
}

/* Where keys are made later: wrong, it would only show then. */
static bool check_token(const char *path, struct view text, const struct den_config *config,
                        struct buf *ret_all, struct err *err)
{
    struct token_uri uri = { 0 };
    const char *wrong = NULL;
    struct err why = { 0 };

    if (config->intermediate_key &&
        !token_uri_read(view_text(config->intermediate_key), &uri, &why))
        wrong = "intermediate_key";
    token_uri_deinit(&uri);
    if (!wrong && config->token_paths && !token_check_paths(config->token_paths, &why))
        wrong = "token_paths";
    if (!wrong)
        return true;
    err_set(err, ERR_BAD_CONFIG, "%s:%u: %s: %s", path, conf_line_of(text, wrong), wrong, why.text);
    if (ret_all)
        buf_printf(ret_all, "%s\n", err->text);
    return false;
}

static void refuse_value(const char *path, struct view text, const char *key, const char *why,
                         struct buf *ret_all, struct err *err)
{
    err_set(err, ERR_BAD_CONFIG, "%s:%u: %s: %s", path, conf_line_of(text, key), key, why);
    if (ret_all)
        buf_printf(ret_all, "%s\n", err->text);
}

/* Each that is bad, of some with spaces between them; `err` is the first. */
static bool check_words(const char *path, struct view text, const char *key, const char *words,
                        bool (*check)(struct view word, struct err *err), struct buf *ret_all,
                        struct err *err)
{
    struct err one, why = { 0 };
    bool ok = true;

    for (;;) {
        words += strspn(words, " \t");
        struct view word = VIEW(words, strcspn(words, " \t"));
        if (word.len == 0)
            return ok;
        words += word.len;
        if (check(word, &why))
            continue;
        err_wrap(&why, "%.*s", (int)(word.len < 100 ? word.len : 100), word.data);
        refuse_value(path, text, key, why.text, ret_all, ok ? err : &one);
        ok = false;
    }
}

static bool check_turn_word(struct view word, struct err *err)
{
    struct rpc_turn_server server;

    return rpc_turn_uri_read(word, &server, err);
}

/* The files themselves are looked at when they are read. */
static bool check_turn(const char *path, struct view text, const struct den_config *config,
                       struct buf *ret_all, struct err *err)
{
    const char *wrong = NULL;
    struct err why = { 0 };

    if (config->turn && !is_told(path, conf_line_of(text, "turn"), ret_all) &&
        !check_words(path, text, "turn", config->turn, check_turn_word, ret_all, err))
        return false;
    if (config->turn && !turn_check_uris(config->turn, &why)) {
        wrong = "turn";
    } else if (config->turn && !config->turn_secrets) {
        wrong = "turn";
        err_set(&why, ERR_BAD_CONFIG, "turn_secrets has to name the secrets of these servers");
    } else if (config->turn_secrets && !config->turn) {
        wrong = "turn_secrets";
        err_set(&why, ERR_BAD_CONFIG, "turn has to name the servers that know them");
    }
    if (!wrong || is_told(path, conf_line_of(text, wrong), ret_all))
        return true;
    refuse_value(path, text, wrong, why.text, ret_all, err);
    return false;
}

static bool check_relay_word(struct view word, struct err *err)
{
    _free_ char *host = NULL;
    uint16_t port;

    return rpc_join_check_host(word, err) &&
           (conf_split_address(word, 0, &host, &port) ||
            err_set(err, ERR_INVALID_ARGUMENT, "expected HOST:PORT or [IPv6]:PORT"));
}

static bool check_relay(const char *path, struct view text, const struct den_config *config,
                        struct buf *ret_all, struct err *err)
{
    struct rpc_items items = { 0 };
    struct err why = { 0 };

    if (!config->relay || is_told(path, conf_line_of(text, "relay"), ret_all))
        return true;
    if (!check_words(path, text, "relay", config->relay, check_relay_word, ret_all, err))
        return false;
    if (grant_read_relays(config->relay, &items, &why))
        return true;
    refuse_value(path, text, "relay", why.text, ret_all, err);
    return false;
}

/* All errors at once; `err` is the first. */
static bool check_all(const char *path, struct view text, struct den_config *config,
                      struct buf *ret_all, struct err *err)
{
    static bool (*const checks[])(const char *path, struct view text,
                                  const struct den_config *config, struct buf *ret_all,
                                  struct err *err) = { check_limits, check_web,  check_keep,
                                                       check_token,  check_turn, check_relay };
    _buf_ here = { 0 };
    struct buf *all = ret_all ? ret_all : &here;
    struct err one;
    bool ok = conf_parse(path, text, options, N_ELEMENTS(options), config, all, err);

    for (size_t i = 0; i < N_ELEMENTS(checks); i++)
        ok &= checks[i](path, text, config, all, ok ? err : &one);
    return ok;
}

/* Relative paths start from the configuration's folder, as those of other options do. */
static void resolve_secrets(const char *path, struct den_config *config)
{
    const char *slash = strrchr(path, '/'), *at = config->turn_secrets;
    _buf_ all = { 0 };

    while (at && *at && slash) {
        size_t len = strcspn(at, " \t");
        if (len && *at != '/')
            buf_printf(&all, "%.*s/", (int)(slash - path), path);
        buf_printf(&all, "%.*s%s", (int)len, at, at[len] && len ? " " : "");
        at += len + (at[len] != '\0');
    }
    if (!all.len)
        return;
    free(config->turn_secrets);
    config->turn_secrets = view_dup_text(buf_view(&all));
}

bool config_open_turn(const char *path, const struct den_config *config, struct turn **ret_turn,
                      struct err *err)
{
    _buf_ text = { 0 };
    struct err ignored;

    *ret_turn = NULL;
    if (!config->turn || turn_open(config->turn, config->turn_secrets, ret_turn, err))
        return true;
    if (!file_read(path, MAX_FILE, &text, &ignored))
        return false;
    return err_wrap(err, "%s:%u: turn_secrets", path,
                    conf_line_of(buf_view(&text), "turn_secrets"));
}

bool config_check_turn(const char *path, const struct den_config *config, struct buf *ret_all)
{
    _buf_ text = { 0 };
    struct err ignored;

    if (!config->turn_secrets || !file_read(path, MAX_FILE, &text, &ignored))
        return true; /* it was said that one names none */
    _free_ char *place =
        mem_format("%s:%u: turn_secrets: ", path, conf_line_of(buf_view(&text), "turn_secrets"));
    return turn_check_secrets(config->turn_secrets, place, ret_all);
}

bool config_read(const char *path, struct den_config *config, struct buf *ret_all, struct err *err)
{
    _buf_ text = { 0 };

    *config = (struct den_config){ 0 };
    if (!file_read(path, MAX_FILE, &text, err))
        return err_wrap(err, "configuration");
    if (!check_all(path, buf_view(&text), config, ret_all, err)) {
        resolve_secrets(path, config); /* somebody may want to hear of them too */
        return false;
    }
    if (strlen(config->state) > 2 && strcmp(config->state + strlen(config->state) - 2, "/.") == 0)
        config->state[strlen(config->state) - 2] = '\0'; /* as people would write the default */
    if (!config->join_host)
        config->join_host = mem_text(config->router);
    resolve_secrets(path, config);
    return true;
}

/* Something behind the last slash that a file would be called, or a query: nothing can stand below that. */
static bool names_a_file(const char *url)
{
    const char *host = strstr(url, "://"), *path = host ? strchr(host + 3, '/') : NULL,
               *last = path ? strrchr(path, '/') : NULL;

    return last && strpbrk(last, ".?#");
}

void config_doubts(const char *path, const struct den_config *config, struct buf *to)
{
    const struct {
        const char *key, *url;
    } rows[] = { { "crl_url", config->crl_url }, { "ca_url", config->ca_url } };
    _buf_ text = { 0 };
    struct err unused;

    if (!file_read(path, MAX_FILE, &text, &unused))
        return;
    for (size_t i = 0; i < N_ELEMENTS(rows); i++)
        if (rows[i].url && names_a_file(rows[i].url))
            buf_printf(
                to,
                "%s:%u: warning: %s: certificates will name %s/DIGITS, an address below what "
                "looks like a file: give the folder in which there is one for each issuer "
                "(den.conf(5))\n",
                path, conf_line_of(buf_view(&text), rows[i].key), rows[i].key, rows[i].url);
}

void config_deinit(struct den_config *config)
{
    conf_deinit(options, N_ELEMENTS(options), config);
}

/* Read each time that they are used. */
static const char *const live[] = {
    "router_life",
    "admission_life",
    "heartbeat_interval",
    "heartbeat_bound",
    "offer_timeout",
    "sessions_per_pair",
    "sessions_per_id",
    "lost_after",
    "id_digits",
    "turn",
    "turn_secrets",
    "relay",
    "enrolment",
    "provisional_life",
    "names_per_id",
    "name_quarantine",
    "ocsp_life",
    "policy",
    "log_level",
    "log_format",
    "audit_keep",
    "audit_copy",
    "enrol_burst",
    "enrol_every",
    "dial_burst",
    "dial_every",
    "misses_per_network",
    "csr_burst",
    "csr_every",
    "ocsp_burst",
    "leaf_life",
    "crl_life",
    "join_host",
    "http",
    "metrics",
};

bool config_is_live(const char *name)
{
    for (size_t i = 0; i < N_ELEMENTS(live); i++) {
        if (strcmp(live[i], name) == 0)
            return true;
    }
    return false;
}

bool config_reload(const char *path, struct den_config *config, struct turn **ret_turn,
                   struct buf *ret_taken, struct buf *ret_left, struct buf *ret_all,
                   struct err *err)
{
    _cleanup_(config_deinit) struct den_config next = { 0 };

    if (!config_read(path, &next, ret_all, err))
        return false;
    if (!config_open_turn(path, &next, ret_turn, err)) {
        config_check_turn(path, &next, ret_all);
        return false;
    }
    for (size_t i = 0; i < N_ELEMENTS(options); i++) {
        struct buf *to = config_is_live(options[i].name) ? ret_taken : ret_left;
        if (conf_is_same(&options[i], config, &next))
            continue;
        buf_printf(to, "%s%s", to->len ? " " : "", options[i].name);
        if (to == ret_taken)
            conf_swap(&options[i], config, &next);
    }
    return true;
}

void config_each_value(const struct den_config *config,
                       void (*each)(void *user, const char *key, const char *value), void *user)
{
    for (size_t i = 0; i < N_ELEMENTS(options); i++) {
        _buf_ value = { 0 };
        conf_put_value(&options[i], config, &value);
        each(user, options[i].name, buf_cstr(&value));
    }
}

void config_help(struct buf *to)
{
    conf_help(options, N_ELEMENTS(options), to);
}

static const char *value_of(const struct config_values *values, const char *name)
{
    const struct {
        const char *name, *value;
    } rows[] = { { "network", values->network },
                 { "router", values->router },
                 { "intermediate_key", values->intermediate_key },
                 { "token_paths", values->token_paths } };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            return rows[i].value && *rows[i].value ? rows[i].value : NULL;
    return NULL;
}

void config_write(const struct config_values *values, struct buf *to)
{
    buf_put_text(
        to,
        "# The configuration of warren-den: den.conf(5). Lines with a # show the defaults.\n\n");
    for (size_t i = 0; i < N_ELEMENTS(options); i++) {
        const char *name = options[i].name, *fallback = options[i].fallback;
        const char *value = value_of(values, name);
        buf_printf(to, "# %s\n", options[i].help);
        if (value)
            buf_printf(to, "%s = %s\n\n", name, value);
        else
            buf_printf(to, "#%s =%s%s\n\n", name, fallback && *fallback ? " " : "",
                       fallback ? fallback : "");
    }
}

static struct view view_of(const struct buf *buf)
{
    return buf ? buf_view(buf) : VIEW(NULL, 0);
}

struct vault_secrets config_secrets(const struct den_config *config)
{
    return (struct vault_secrets){ .passphrase = view_of(config->passphrase),
                                   .login = { view_of(config->pin), TOKEN_ATTENDED } };
}

/* A file that is not there is no danger; whoever needs it will say so. */
static bool check_secret(const char *path, struct err *err)
{
    struct stat st;

    if (stat(path, &st) != 0 && errno == ENOENT)
        return true;
    if (stat(path, &st) != 0)
        return err_errno(err, "%s", path);
    if (!file_check_owner(path, &st, err))
        return false;
    if ((st.st_mode & 077) != 0)
        return err_set(err, ERR_EXPOSED, "%s: mode %04o lets others at it; chmod 0600 it", path,
                       (unsigned)(st.st_mode & 07777));
    return true;
}

/* Every key, whatever manifest it was made for. */
static bool check_keys(const char *dir, struct err *err)
{
    DIR *folder = opendir(dir);
    struct dirent *entry;
    bool ok = true;

    if (!folder)
        return err_errno(err, "%s", dir);
    while (ok && (entry = readdir(folder))) {
        _free_ char *path = file_path(dir, entry->d_name);
        size_t len = strlen(entry->d_name);
        if (len > 4 && strcmp(entry->d_name + len - 4, ".key") == 0)
            ok = check_secret(path, err);
    }
    closedir(folder);
    return ok;
}

/* Nobody is told to change the rights of a folder that is another program's. */
static bool check_dens(const char *dir, struct err *err)
{
    _free_ char *db = file_path(dir, "den.db");
    _free_ char *other = NULL;
    struct err ignored;

    if (file_exists(db) || !dir_find_other(dir, NULL, 0, &other, &ignored) || !other)
        return true;
    err_set(err, ERR_NOT_FOUND, "%s is not den's: it holds %s, and no den.db", dir, other);
    return err_advise(
        err, "correct `state` in den.conf; where den.db was lost, restore it from a backup");
}

bool config_check_folder(const char *dir, struct err *err)
{
    return check_dens(dir, err) && file_check_private_dir(dir, err);
}

bool config_check_secrets(const struct den_config *config, struct err *err)
{
    static const char *const secrets[] = {
        "admin.join", "den.db", "den.db-wal", "signer.book", "signer.numbers", "signer.orders",
    };

    if (!config_check_folder(config->state, err))
        return err_wrap(err, "state folder");
    for (size_t i = 0; i < N_ELEMENTS(secrets); i++) {
        _free_ char *path = file_path(config->state, secrets[i]);
        if (!check_secret(path, err))
            return false;
    }
    return check_keys(config->state, err);
}
