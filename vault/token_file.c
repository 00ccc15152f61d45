/* SPDX-License-Identifier: Apache-2.0 */
#include "vault/token.h"

#include "base/conf.h"
#include "base/file.h"

enum { MAX_FILE = 64 * 1024 };

static const char head[] =
    "# Where this key is: in a PKCS#11 token. No secret is in here. warren-den-signer(8), TOKENS\n";

#define PLACE_OPTIONS(X)                                                                           \
    X(key, TEXT, NULL, "the key, as a PKCS#11 URI")                                                \
    X(paths, TEXT, "", "what the module opens while it signs: files and folders")

struct place_config {
#define X(...) CONF_FIELD(__VA_ARGS__)
    PLACE_OPTIONS(X)
#undef X
};
#define ROW(...) CONF_ROW(struct place_config, __VA_ARGS__)
static const struct conf_option options[] = { PLACE_OPTIONS(ROW) };
#undef ROW

void token_place_deinit(struct token_place *place)
{
    token_uri_deinit(&place->uri);
    free(place->paths);
    place->paths = NULL;
}

/* Its first line that is neither empty nor a comment sets the key: what holds one is PEM, sealed, or a word and digits. */
bool token_file_is(struct view bytes)
{
    while (bytes.len) {
        const uint8_t *end = memchr(bytes.data, '\n', bytes.len);
        struct view line = view_sub(bytes, 0, end ? (size_t)(end - bytes.data) : bytes.len);
        if (line.len && line.data[0] != '#')
            return view_starts(line, VIEW_LIT("key =")) || view_starts(line, VIEW_LIT("key="));
        bytes = view_sub(bytes, line.len + 1, bytes.len);
    }
    return false;
}

bool token_check_paths(const char *paths, struct err *err)
{
    for (const char *at = paths; *at;) {
        size_t len = strcspn(at, " ");
        if (len && *at != '/')
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "expected absolute paths with spaces between them, found \"%.*s\"",
                           (int)len, at);
        at += len + (at[len] == ' ');
    }
    return true;
}

static bool take(const char *name, struct view bytes, const struct place_config *config,
                 struct token_place *ret_place, struct err *err)
{
    const char *paths = config->paths ? config->paths : "";
    bool is_bad_key = !token_uri_read(view_text(config->key), &ret_place->uri, err);
    struct err why = *err;

    if (!is_bad_key && token_check_paths(paths, &why)) {
        ret_place->paths = mem_text(paths);
        return true;
    }
    token_uri_deinit(&ret_place->uri);
    return err_set(err, ERR_BAD_CONFIG, "%s:%u: %s", name,
                   conf_line_of(bytes, is_bad_key ? "key" : "paths"), why.text);
}

bool token_file_read(const char *name, struct view bytes, struct token_place *ret_place,
                     struct err *err)
{
    struct place_config config = { 0 };
    struct token_place place = { 0 };
    bool ok = conf_parse(name, bytes, options, N_ELEMENTS(options), &config, NULL, err) &&
              take(name, bytes, &config, &place, err);

    conf_deinit(options, N_ELEMENTS(options), &config);
    if (ok)
        *ret_place = place;
    return ok;
}

void token_file_write(const struct token_place *place, struct buf *to)
{
    buf_put_text(to, head);
    buf_put_text(to, "key = ");
    token_uri_write(&place->uri, to);
    buf_put_text(to, "\n");
    if (place->paths && *place->paths)
        buf_printf(to, "paths = %s\n", place->paths);
}

bool token_file_look(const char *path, bool *ret_is, struct err *err)
{
    _buf_wipe_ bytes = { 0 };

    *ret_is = false;
    if (!file_exists(path))
        return true;
    if (!file_read_secret(path, MAX_FILE, &bytes, err))
        return false;
    *ret_is = token_file_is(buf_view(&bytes));
    return true;
}

bool token_file_say(const char *path, struct buf *to)
{
    _cleanup_(token_place_deinit) struct token_place place = { 0 };
    _buf_wipe_ bytes = { 0 };
    struct err unused;

    if (!file_read(path, MAX_FILE, &bytes, &unused) || !token_file_is(buf_view(&bytes)) ||
        !token_file_read(path, buf_view(&bytes), &place, &unused))
        return false;
    token_uri_write(&place.uri, to);
    return true;
}
