/* SPDX-License-Identifier: Apache-2.0 */
/* The identity key under a passphrase: set, changed, taken away. The state folder alone, no connection. */
#include "base/secret.h"
#include "peer/errand.h"

static struct view or_none(const char *passphrase)
{
    return passphrase ? view_text(passphrase) : VIEW(NULL, 0);
}

static bool check_length(const char *passphrase, struct err *err)
{
    return !passphrase || strlen(passphrase) <= SECRET_PASSPHRASE ||
           err_set(err, ERR_INVALID_ARGUMENT, "the passphrase is longer than %d bytes",
                   SECRET_PASSPHRASE);
}

/* What a key change that is under way has put down comes first: it holds the key that is next. */
static bool change(const char *state_dir, const char *old, const char *next, struct err *err)
{
    _cleanup_(state_freep) struct state *state = NULL;
    _free_ char *dir = NULL;

    return key_init(err) && check_length(old, err) && check_length(next, err) &&
           (!next || secret_check_new(view_text(next), "the identity key", err)) &&
           state_default_dir(state_dir, &dir, err) && state_open(dir, false, &state, err) &&
           state_change_passphrase(state, or_none(old), or_none(next), err);
}

bool peer_passphrase(const char *state_dir, const char *old, const char *next,
                     struct peer_error *ret_error)
{
    struct err err = { 0 };

    if (change(state_dir, old, next, &err))
        return true;
    errand_put_error(&err, ret_error);
    return false;
}
