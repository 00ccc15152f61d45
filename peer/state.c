/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/state.h"

#include "base/text.h"
#include "base/dir.h"
#include "base/file.h"
#include "base/secret.h"

#include <errno.h>
#include <unistd.h>

struct state {
    char *dir, *identity, *path[STATE_N_FILES];
    int lock;
    struct buf passphrase; /* empty: none, or the identity is a plain file */
};

static const struct {
    const char *name;
    size_t max;
} files[STATE_N_FILES] = {
    [STATE_NETWORK] = { "network", 4096 },
    [STATE_TRUST] = { "trust", 4 * 1024 * 1024 },
    [STATE_ADMISSION] = { "admission", 32 * 1024 },
    [STATE_TLS_KEY] = { "tls.key", 16 * 1024 },
    [STATE_CERT] = { "cert.pem", 128 * 1024 },
    [STATE_CRL] = { "crl.der", 16 * 1024 * 1024 },
    [STATE_REVOCATIONS] = { "revocations", 1024 * 1024 * 1024 },
    [STATE_KNOWN] = { "known_peers", 4 * 1024 * 1024 },
    [STATE_ALARM] = { "alarm", 128 * 1024 },
    [STATE_OFFERED] = { "offered_key", 1024 },
    [STATE_JOINING] = { "joining", 1024 },
    [STATE_MOVED] = { "moved", 1024 },
    [STATE_REKEY] = { "rekey", 16 * 1024 },
    [STATE_NAMES] = { "known_names", 1024 * 1024 },
    [STATE_RESTORED] = { "restored", 1024 },
    [STATE_ACKNOWLEDGED] = { "acknowledged", 128 },
    [STATE_CONSENT] = { "consent", 32 },
    [STATE_PERMITS] = { "permits", 256 * 1024 },
};

bool state_default_dir(const char *dir, char **ret_dir, struct err *err)
{
    const char *base = secure_getenv("XDG_STATE_HOME"), *home = secure_getenv("HOME");

    if (dir && *dir != '\0')
        *ret_dir = mem_text(dir);
    else if (dir)
        return err_set(err, ERR_INVALID_ARGUMENT, "the state folder's name is empty");
    else if (base && *base == '/') /* the specification ignores relative ones */
        *ret_dir = mem_format("%s/warren", base);
    else if (home && *home == '/')
        *ret_dir = mem_format("%s/.local/state/warren", home);
    else
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "no state folder: neither given, nor XDG_STATE_HOME, nor HOME");
    return true;
}

static struct state *state_new(const char *dir)
{
    struct state *state = mem_new(struct state);

    state->dir = mem_text(dir);
    state->identity = file_path(dir, "identity.key");
    state->lock = -1;
    for (size_t i = 0; i < STATE_N_FILES; i++)
        state->path[i] = file_path(dir, files[i].name);
    return state;
}

void state_free(struct state *state)
{
    if (!state)
        return;
    if (state->lock >= 0)
        close(state->lock);
    for (size_t i = 0; i < STATE_N_FILES; i++)
        free(state->path[i]);
    buf_wipe(&state->passphrase);
    free(state->identity);
    free(state->dir);
    free(state);
}

/* Nothing is put beside another program's files, and nobody is told to change their rights. */
static bool check_ours(const char *dir, struct err *err)
{
    const char *names[STATE_N_FILES + 3] = { "identity.key", "lock", "lost+found" };
    _free_ char *identity = file_path(dir, "identity.key");
    _free_ char *other = NULL;
    struct err ignored;

    for (size_t i = 0; i < STATE_N_FILES; i++)
        names[3 + i] = files[i].name;
    if (file_exists(identity) || !dir_find_other(dir, names, N_ELEMENTS(names), &other, &ignored) ||
        !other)
        return true;
    err_set(err, ERR_INVALID_ARGUMENT,
            "%s is not a state folder of warren: it holds %s, and no identity.key", dir, other);
    return err_advise(err, "give a folder of warren's own with --state; `warren join` makes it");
}

bool state_look(const char *dir, struct state **ret_state, struct err *err)
{
    if (!check_ours(dir, err))
        return false;
    if (!file_check_private_dir(dir, err)) {
        if (err->code == ERR_NOT_FOUND)
            err_set(err, ERR_NOT_JOINED, "there is no state folder %s", dir);
        return false;
    }
    *ret_state = state_new(dir);
    return true;
}

bool state_open(const char *dir, bool may_create, struct state **ret_state, struct err *err)
{
    _cleanup_(state_freep) struct state *state = NULL;
    _free_ char *lock = file_path(dir, "lock");

    if (may_create && (!check_ours(dir, err) || !file_private_dir(dir, err)))
        return false;
    if (!state_look(dir, &state, err) || !file_lock(lock, &state->lock, err))
        return false;
    *ret_state = STEAL(state);
    return true;
}

int state_held(const struct state *state)
{
    return state->lock;
}

void state_set_passphrase(struct state *state, const char *passphrase)
{
    buf_grow(&state->passphrase, strlen(passphrase)); /* at once: no copies behind */
    buf_clear(&state->passphrase);
    buf_put_text(&state->passphrase, passphrase);
}

bool state_change_passphrase(const struct state *state, struct view old, struct view next,
                             struct err *err)
{
    const char *rekey = state->path[STATE_REKEY];

    if (!file_exists(state->identity))
        return err_set(err, ERR_NOT_JOINED, "%s holds no identity", state->dir);
    /* first the one that is there for a moment: it holds the next key */
    return (!file_exists(rekey) || secret_change(rekey, old, next, err)) &&
           secret_change(state->identity, old, next, err);
}

const char *state_path(const struct state *state, enum state_file file)
{
    return state->path[file];
}

bool state_read(const struct state *state, enum state_file file, struct buf *ret_bytes,
                struct err *err)
{
    if (file == STATE_REKEY)
        return secret_read(state->path[file], files[file].max, buf_view(&state->passphrase),
                           ret_bytes, err);
    return file_read_secret(state->path[file], files[file].max, ret_bytes, err);
}

bool state_read_if(const struct state *state, enum state_file file, struct buf *ret_bytes,
                   bool *ret_exists, struct err *err)
{
    *ret_exists = state_read(state, file, ret_bytes, err);
    return *ret_exists || err->code == ERR_NOT_FOUND;
}

bool state_write(const struct state *state, enum state_file file, struct view bytes,
                 struct err *err)
{
    if (file == STATE_REKEY)
        return secret_write(state->path[file], bytes, buf_view(&state->passphrase), err);
    return file_write(state->path[file], bytes, 0600, err);
}

bool state_append(const struct state *state, enum state_file file, struct view bytes,
                  struct err *err)
{
    return file_append(state->path[file], bytes, err);
}

bool state_remove(const struct state *state, enum state_file file, struct err *err)
{
    return unlink(state->path[file]) == 0 || errno == ENOENT ||
           err_errno(err, "%s", state->path[file]);
}

bool state_identity(struct state *state, bool may_create, struct key **ret_key, struct err *err)
{
    bool is_sealed = true;

    if (secret_is_sealed(state->identity, &is_sealed, err) && !is_sealed)
        buf_wipe(&state->passphrase); /* and so the next key will be a plain file */
    if (key_unlock(state->identity, buf_view(&state->passphrase), ret_key, err))
        return true;
    if (err->code != ERR_NOT_FOUND)
        return false;
    if (!may_create)
        return err_set(err, ERR_NOT_JOINED, "%s holds no identity", state->dir);

    if (state->passphrase.len &&
        !secret_check_new(buf_view(&state->passphrase), "the identity key", err))
        return false;
    _cleanup_(key_freep) struct key *key = key_new();
    if (!key_create(key, state->identity, buf_view(&state->passphrase), err))
        return false;
    *ret_key = STEAL(key);
    return true;
}

const char *state_dir_of(const struct state *state)
{
    return state->dir;
}

bool state_has_identity(const struct state *state)
{
    return file_exists(state->identity);
}

bool state_read_identity(const struct state *state, struct buf *ret_text, struct err *err)
{
    return file_read_secret(state->identity, 1024, ret_text, err);
}

bool state_write_identity(const struct state *state, struct view text, struct err *err)
{
    return file_write(state->identity, text, 0600, err);
}

bool state_replace_identity(const struct state *state, const uint8_t seed[SEED_SIZE],
                            struct err *err)
{
    _buf_wipe_ text = { 0 };

    key_put_text(seed, &text);
    return secret_write(state->identity, buf_view(&text), buf_view(&state->passphrase), err);
}

void state_put_signed(struct buf *to, struct view statement, struct view sig)
{
    buf_put_u32(to, (uint32_t)statement.len);
    buf_put(to, statement);
    buf_put(to, sig);
}

bool state_read_signed(struct view bytes, struct view *ret_statement, struct view *ret_sig)
{
    struct view rest = bytes;
    uint32_t len;

    return view_take_u32(&rest, &len) && view_take(&rest, len, ret_statement) &&
           view_take(&rest, SIG_SIZE, ret_sig) && rest.len == 0;
}
