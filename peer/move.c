/* SPDX-License-Identifier: Apache-2.0 */
/* Moving this machine's identity to another one, and agreeing to another's changed key: the state folder alone, no
 * connection. */
#include "base/clock.h"
#include "base/file.h"
#include "base/seal.h"
#include "base/secret.h"
#include "base/text.h"
#include "peer/errand.h"
#include "peer/known.h"

#include <stdio.h>

enum { MAX_EXPORT = SEAL_MAX };

/* What makes an identity; certificate and lists are fetched anew. Names are part of the file's form. */
static const struct {
    const char *name;
    enum state_file file;
} parts[] = {
    { "network", STATE_NETWORK },
    { "trust", STATE_TRUST },
    { "admission", STATE_ADMISSION },
    { "known_peers", STATE_KNOWN },
};

static bool fail(const struct err *err, struct peer_error *ret_error)
{
    errand_put_error(err, ret_error);
    return false;
}

static void put_part(struct buf *to, const char *name, struct view bytes)
{
    buf_put_u32(to, (uint32_t)strlen(name));
    buf_put_text(to, name);
    buf_put_u32(to, (uint32_t)bytes.len);
    buf_put(to, bytes);
}

static bool take_part(struct view *rest, struct view *ret_name, struct view *ret_bytes)
{
    uint32_t len;

    return view_take_u32(rest, &len) && view_take(rest, len, ret_name) &&
           view_take_u32(rest, &len) && view_take(rest, len, ret_bytes);
}

/* ---- export -------------------------------------------------------------------------------------------- */

static bool collect(const struct state *state, struct buf *to, struct err *err)
{
    _buf_wipe_ key = { 0 };
    bool exists;

    if (!state_read_identity(state, &key, err))
        return false;
    buf_grow(to, MAX_EXPORT / 2); /* at once: growing would leave copies of the key behind */
    buf_clear(to);
    put_part(to, "identity.key", buf_view(&key));
    for (size_t i = 0; i < N_ELEMENTS(parts); i++) {
        _buf_ bytes = { 0 };
        if (!state_read_if(state, parts[i].file, &bytes, &exists, err))
            return false;
        if (exists)
            put_part(to, parts[i].name, buf_view(&bytes));
    }
    return to->len <= MAX_EXPORT || err_set(err, ERR_TOO_LARGE, "the state folder is too large");
}

static bool is_there(const struct state *state, enum state_file file)
{
    return file_exists(state_path(state, file));
}

static bool check_movable(const struct state *state, struct err *err)
{
    if (is_there(state, STATE_MOVED))
        return err_set(err, ERR_MOVED, "this identity was moved away before");
    if (is_there(state, STATE_REKEY))
        return err_set(err, ERR_BUSY,
                       "a new key is under way: run `warren rekey` to its end first");
    return is_there(state, STATE_NETWORK) ||
           err_set(err, ERR_NOT_JOINED, "the state folder knows no network");
}

/* The mark first: at no instant two machines may use it. Without a file it is taken back. */
static bool move_out(const struct state *state, const char *path, struct view sealed,
                     struct err *err)
{
    char at[CLOCK_TEXT];
    _buf_ note = { 0 };
    struct err ignored;

    buf_printf(&note, "exported to %s at %s; importing that file here takes it back\n", path,
               clock_text(clock_wall_ms(), at));
    if (!state_write(state, STATE_MOVED, buf_view(&note), err))
        return false;
    if (file_create(path, sealed, 0600, err))
        return true;
    state_remove(state, STATE_MOVED, &ignored);
    return false;
}

bool peer_move_out(const char *state_dir, const char *file, const char *passphrase,
                   struct peer_error *ret_error)
{
    _cleanup_(state_freep) struct state *state = NULL;
    _buf_wipe_ bytes = { 0 };
    _buf_ sealed = { 0 };
    _free_ char *dir = NULL;
    struct err err = { 0 };

    if (!file || !passphrase)
        err_set(&err, ERR_INVALID_ARGUMENT, "a file and a passphrase are needed");
    else if (key_init(&err) && state_default_dir(state_dir, &dir, &err) &&
             state_open(dir, false, &state, &err) && check_movable(state, &err) &&
             secret_check_new(view_text(passphrase), "the exported identity", &err) &&
             (!file_exists(file) ||
              err_set(&err, ERR_ALREADY_EXISTS, "%s exists; nothing was overwritten", file)) &&
             collect(state, &bytes, &err) &&
             seal_put(buf_view(&bytes), view_text(passphrase), &sealed, &err) &&
             move_out(state, file, buf_view(&sealed), &err))
        return true;
    return fail(&err, ret_error);
}

/* ---- import -------------------------------------------------------------------------------------------- */

static bool find_part(struct view bytes, const char *wanted, struct view *ret_bytes)
{
    struct view name;

    while (bytes.len && take_part(&bytes, &name, ret_bytes)) {
        if (view_eq_text(name, wanted))
            return true;
    }
    return false;
}

static bool is_same_key(const struct state *state, struct view key_text)
{
    _buf_wipe_ own = { 0 };
    struct err ignored;

    return state_read_identity(state, &own, &ignored) && view_eq_secret(buf_view(&own), key_text);
}

static bool check_place(const struct state *state, struct view key_text, struct err *err)
{
    if (!state_has_identity(state))
        return true;
    if (is_same_key(state, key_text))
        return is_there(state, STATE_MOVED) ||
               err_set(err, ERR_ALREADY_EXISTS, "this identity is here already");
    return err_set(err, ERR_ALREADY_EXISTS,
                   "%s holds another identity; nothing was overwritten: choose a new folder with "
                   "--state",
                   state_dir_of(state));
}

/* The certificate of a folder that had it before is of no more use; `moved` goes last. */
static bool unpack(const struct state *state, struct view bytes, struct err *err)
{
    struct view key, part;

    if (!find_part(bytes, "identity.key", &key) || !find_part(bytes, "network", &part))
        return err_set(err, ERR_BAD_CONFIG, "the file holds no identity");
    if (!check_place(state, key, err) || !state_write_identity(state, key, err))
        return false;
    for (size_t i = N_ELEMENTS(parts); i-- > 0;) { /* `network` last: it says that all is there */
        if (find_part(bytes, parts[i].name, &part) && !state_write(state, parts[i].file, part, err))
            return false;
    }
    return state_remove(state, STATE_MOVED, err);
}

bool peer_move_in(const char *state_dir, const char *file, const char *passphrase,
                  struct peer_error *ret_error)
{
    _cleanup_(state_freep) struct state *state = NULL;
    _buf_wipe_ bytes = { 0 };
    _buf_ sealed = { 0 };
    _free_ char *dir = NULL;
    struct err err = { 0 };

    if (!file || !passphrase)
        err_set(&err, ERR_INVALID_ARGUMENT, "a file and a passphrase are needed");
    else if (key_init(&err) && state_default_dir(state_dir, &dir, &err) &&
             file_read(file, MAX_EXPORT + 1024, &sealed, &err) &&
             seal_open(buf_view(&sealed), view_text(passphrase), &bytes, &err) &&
             state_open(dir, true, &state, &err) && unpack(state, buf_view(&bytes), &err))
        return true;
    return fail(&err, ret_error);
}

/* ---- changed keys -------------------------------------------------------------------------------------- */

static void print_of(const uint8_t pk[KEY_SIZE], char to[65])
{
    uint8_t hash[HASH_SIZE];
    _buf_ hex = { 0 };

    hash_sha256(VIEW(pk, KEY_SIZE), hash);
    text_put_hex(&hex, VIEW_ARR(hash));
    snprintf(to, 65, "%s", buf_cstr(&hex));
}

/* The offered key is a line as in known_peers, of one peer. */
static bool read_offered(const struct state *state, const char *id, uint8_t old_pk[KEY_SIZE],
                         uint8_t new_pk[KEY_SIZE], struct err *err)
{
    _buf_ text = { 0 };
    bool exists, is_known = false, is_offered = false;

    if (!state_read_if(state, STATE_OFFERED, &text, &exists, err))
        return false;
    if (exists)
        known_key_in(buf_view(&text), id, new_pk, &is_offered);
    if (!is_offered)
        return err_set(err, ERR_NOT_FOUND, "no changed key of %s was refused here lately", id);
    if (!known_key(state, id, old_pk, &is_known) || !is_known)
        return err_set(err, ERR_NOT_FOUND, "%s is not known here", id);
    return !view_eq(VIEW(old_pk, KEY_SIZE), VIEW(new_pk, KEY_SIZE)) ||
           err_set(err, ERR_NOT_FOUND, "the newest key of %s is the one that is known here", id);
}

static bool open_offered(const char *state_dir, const char *typed, struct state **ret_state,
                         char id[TEXT_ID], uint8_t old_pk[KEY_SIZE], uint8_t new_pk[KEY_SIZE],
                         struct err *err)
{
    _free_ char *dir = NULL;

    if (!typed || !text_read_id(typed, id))
        return err_set(err, ERR_INVALID_ARGUMENT, "an ID has 6 to 9 digits");
    return key_init(err) && state_default_dir(state_dir, &dir, err) &&
           state_look(dir, ret_state, err) && read_offered(*ret_state, id, old_pk, new_pk, err);
}

bool peer_known_offered(const char *state_dir, const char *id, char ret_old[65], char ret_new[65],
                        struct peer_error *ret_error)
{
    _cleanup_(state_freep) struct state *state = NULL;
    uint8_t old_pk[KEY_SIZE], new_pk[KEY_SIZE];
    char digits[TEXT_ID];
    struct err err;

    if (!open_offered(state_dir, id, &state, digits, old_pk, new_pk, &err))
        return fail(&err, ret_error);
    print_of(old_pk, ret_old);
    print_of(new_pk, ret_new);
    return true;
}

bool peer_known_accept(const char *state_dir, const char *id, const char *fingerprint,
                       struct peer_error *ret_error)
{
    _cleanup_(state_freep) struct state *state = NULL;
    uint8_t old_pk[KEY_SIZE], new_pk[KEY_SIZE];
    char digits[TEXT_ID], print[65];
    struct err err;

    if (!open_offered(state_dir, id, &state, digits, old_pk, new_pk, &err))
        return fail(&err, ret_error);
    print_of(new_pk, print);
    if (!fingerprint || strcmp(print, fingerprint) != 0)
        err_set(&err, ERR_WRONG_KEY, "the changed key has another fingerprint: %s", print);
    else if (known_replace(state, digits, new_pk, clock_wall_ms(), &err) &&
             state_remove(state, STATE_OFFERED, &err))
        return true;
    return fail(&err, ret_error);
}
