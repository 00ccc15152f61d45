/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/error.h"
#include "base/text.h"

/* WAMP's words. The first row of a code is the one we send; all rows are understood. */
static const struct {
    const char *uri;
    enum err_code code;
    bool is_read_only;
} wamp_words[] = {
    { "wamp.error.invalid_argument", ERR_INVALID_ARGUMENT, false },
    { "wamp.error.protocol_violation", ERR_BAD_WIRE, false },
    { "wamp.error.not_authorized", ERR_NOT_AUTHORIZED, false },
    { "wamp.error.timeout", ERR_TIMEOUT, false },
    { "wamp.error.canceled", ERR_CANCELED, false },
    { "wamp.error.network_failure", ERR_NETWORK_FAILURE, false },
    { "wamp.error.no_such_procedure", ERR_NO_SUCH_PROCEDURE, false },
    { "wamp.error.no_such_registration", ERR_NO_SUCH_REGISTRATION, false },
    { "wamp.error.no_such_subscription", ERR_NO_SUCH_SUBSCRIPTION, false },
    { "wamp.error.invalid_uri", ERR_INVALID_URI, false },
    { "wamp.error.no_such_realm", ERR_NO_SUCH_REALM, false },
    { "wamp.error.payload_size_exceeded", ERR_TOO_LARGE, false },
    { "wamp.error.procedure_already_exists", ERR_ALREADY_EXISTS, true },
    { "wamp.error.cancelled", ERR_CANCELED, true },
    { "wamp.error.authorization_denied", ERR_NOT_AUTHORIZED, true },
    { "wamp.error.authorization_required", ERR_NOT_AUTHORIZED, true },
    { "wamp.error.authorization_failed", ERR_NOT_AUTHORIZED, true },
    { "wamp.error.authentication_denied", ERR_NOT_AUTHORIZED, true },
    { "wamp.error.authentication_required", ERR_NOT_AUTHORIZED, true },
    { "wamp.error.authentication_failed", ERR_NOT_AUTHORIZED, true },
    { "wamp.error.no_matching_auth_method", ERR_NOT_AUTHORIZED, true },
    { "wamp.error.no_such_principal", ERR_NOT_AUTHORIZED, true },
    { "wamp.error.no_such_role", ERR_NOT_AUTHORIZED, true },
    { "wamp.error.option_not_allowed", ERR_INVALID_ARGUMENT, true },
    { "wamp.error.feature_not_supported", ERR_INVALID_ARGUMENT, true },
    { "wamp.error.unavailable", ERR_BUSY, true },
    { "wamp.error.no_available_callee", ERR_BUSY, true },
    { "wamp.close.normal", ERR_CLOSED, true },
    { "wamp.close.close_realm", ERR_CLOSED, true },
    { "wamp.close.goodbye_and_out", ERR_CLOSED, true },
    { "wamp.close.killed", ERR_CLOSED, true },
    { "wamp.close.system_shutdown", ERR_CLOSED, true },
};

void rpc_error_uri(const char *name_space, enum err_code code, struct buf *to)
{
    /* WAMP's word is about procedures alone, and it is the router who registers them */
    bool is_registration = code == ERR_ALREADY_EXISTS && strcmp(name_space, "network") == 0;

    for (size_t i = 0; i < N_ELEMENTS(wamp_words); i++) {
        if (wamp_words[i].code == code && (is_registration || !wamp_words[i].is_read_only)) {
            buf_put_text(to, wamp_words[i].uri);
            return;
        }
    }
    buf_printf(to, "%s.error.%s", name_space, err_code_name(code));
}

void rpc_error_put_payload(const struct err *what, struct buf *to)
{
    rpc_put_array(to, 0);
    rpc_put_map(to, 3);
    rpc_put_str(to, "code");
    rpc_put_str(to, err_code_name(what->code));
    rpc_put_str(to, "cause");
    /* text is cut at a size, perhaps inside a character */
    rpc_put_str(to, text_is_utf8(view_text(what->text)) ? what->text : err_code_line(what->code));
    rpc_put_str(to, "remedy");
    rpc_put_str(to, err_remedy(what));
}

/* The code in "<one component>.error.<code>"; ERR_NONE when it has another form or none of our
 * codes. */
static enum err_code own_code(struct view uri)
{
    static const char word[] = ".error.";
    struct view name;
    size_t at = 0;

    while (at < uri.len && uri.data[at] != '.')
        at++;
    if (at == 0 || !view_eq_text(view_sub(uri, at, sizeof(word) - 1), word))
        return ERR_NONE;
    name = view_sub(uri, at + sizeof(word) - 1, uri.len);
    if (view_starts(name, VIEW_LIT("too_many_"))) /* each limit has a URI of its own */
        return ERR_LIMIT;
    for (enum err_code code = 1; code < ERR_N_CODES; code++) {
        if (view_eq_text(name, err_code_name(code)))
            return code;
    }
    return ERR_NONE;
}

static enum err_code code_of(struct view uri)
{
    for (size_t i = 0; i < N_ELEMENTS(wamp_words); i++) {
        if (view_eq_text(uri, wamp_words[i].uri))
            return wamp_words[i].code;
    }
    return own_code(uri);
}

bool rpc_error_is_own(struct view uri)
{
    return code_of(uri) != ERR_NONE;
}

/* Our `cause`, or what stock programs do: a text as first argument. */
static bool find_cause(struct rpc_payload payload, struct view *ret_cause)
{
    struct view kwargs = rpc_payload_kwargs(payload);
    struct rpc_fields f;

    if (!rpc_map_has_duplicates(kwargs) && rpc_map_text(kwargs, "cause", ret_cause) &&
        ret_cause->len)
        return true;
    rpc_fields_open(&f, rpc_payload_args(payload));
    *ret_cause = rpc_fields_text(&f, "cause", RPC_MAX_MESSAGE);
    return ret_cause->len != 0;
}

void rpc_error_read(struct view uri, struct rpc_payload payload, struct err *ret_what)
{
    enum err_code code = code_of(uri);
    struct view cause = { 0 };

    if (!find_cause(payload, &cause))
        cause = view_text(err_code_line(code ? code : ERR_INTERNAL));
    if (code)
        err_set(ret_what, code, "%.*s", VIEW_FMT(cause));
    else
        err_set(ret_what, ERR_INTERNAL, "%.*s: %.*s", VIEW_FMT(uri), VIEW_FMT(cause));
}
