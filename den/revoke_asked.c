/* SPDX-License-Identifier: Apache-2.0 */
/* den.ca.revoke: a machine says that something of its own is not to be trusted any more, an
 * administrator says it of anybody's. */
#include "den/core_in.h"

#include "den/admin.h"
#include "den/revocation.h"

#include <inttypes.h>
#include <stdio.h>

enum { MAX_BODY = 1024, MAX_WORD = 128 };

static const char procedure[] = "den.ca.revoke";

struct words {
    char id[MAX_WORD], serial[MAX_WORD], key[MAX_WORD], reason[MAX_WORD];
};

/* A word of the body as C text; NULL where there is none. */
static bool read_word(struct view body, const char *name, char to[MAX_WORD], const char **ret_word,
                      struct err *err)
{
    struct view value;

    if (!rpc_map_get(body, name, &value) || rpc_value_kind(value) == RPC_NIL)
        return true;
    if (!rpc_map_text(body, name, &value) || value.len == 0 || value.len >= MAX_WORD ||
        memchr(value.data, 0, value.len))
        return err_set(err, ERR_INVALID_ARGUMENT, "body: %s: expected text of 1 to %d bytes", name,
                       MAX_WORD - 1);
    memcpy(to, value.data, value.len);
    to[value.len] = 0;
    *ret_word = to;
    return true;
}

/* As a number too: so a shell's JSON has it. */
static bool read_id(struct view body, char to[MAX_WORD], const char **ret_word, struct err *err)
{
    uint64_t number;

    if (!rpc_map_u64(body, "id", &number))
        return read_word(body, "id", to, ret_word, err);
    snprintf(to, MAX_WORD, "%" PRIu64, number);
    *ret_word = to;
    return true;
}

static bool read_words(struct view body, struct words *words, struct revocation_words *to,
                       struct err *err)
{
    return admin_check_keys(procedure, "id serial key reason", body, err) &&
           read_id(body, words->id, &to->id, err) &&
           read_word(body, "serial", words->serial, &to->serial, err) &&
           read_word(body, "key", words->key, &to->key, err) &&
           read_word(body, "reason", words->reason, &to->reason, err);
}

/* Whether something exists is told to those alone who may know: the others get one answer. */
static bool find(struct den_core *core, const struct request *request,
                 struct store_revocation *ret_r, struct err *err)
{
    struct revocation_words typed = { 0 };
    struct words words = { 0 };
    bool is_admin = strcmp(request->who.role, "admin") == 0, is_found;

    if (!read_words(request->body, &words, &typed, err))
        return false;
    is_found = revocation_resolve(core->c.store, &typed, core_wall(core), ret_r, err);
    if (!is_found && (is_admin || err->code != ERR_NOT_FOUND))
        return false;
    return (is_found && (is_admin || strcmp(ret_r->id, request->who.id) == 0)) ||
           err_set(err, ERR_NOT_AUTHORIZED, "only an administrator may revoke what is not %s's own",
                   request->who.id);
}

static void answer(struct den_core *core, uint64_t inv, const struct store_revocation *r,
                   bool is_new)
{
    _buf_ args = { 0 };

    rpc_put_array(&args, 1);
    rpc_put_map(&args, 4);
    rpc_put_str(&args, "rev_no");
    rpc_put_u64(&args, r->no);
    rpc_put_str(&args, "kind");
    rpc_put_str(&args, revocation_kind_name(r->kind));
    rpc_put_str(&args, "id");
    rpc_put_str(&args, r->id);
    rpc_put_str(&args, "is_new");
    rpc_put_bool(&args, is_new);
    core_yield(core, inv, buf_view(&args));
}

bool revoke_asked(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                  struct err *err)
{
    struct request request;
    struct store_revocation r;
    bool is_new = false;

    if (!request_open(core, inv, args, procedure, MAX_BODY, N_RATES, &request, err) ||
        !find(core, &request, &r, err))
        return err_wrap(err, "revoking");
    const struct deed by = deed_of_id(request.who.id, inv->invocation->source, core_wall(core));
    if (!revocation_put_down(core->c.store, &r, &by, &is_new, err))
        return err_wrap(err, "revoking");
    answer(core, inv->number, &r, is_new); /* before its session ends, if it is the caller's own */
    if (is_new)
        den_core_look(core);
    return true;
}
