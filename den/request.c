/* SPDX-License-Identifier: Apache-2.0 */
/* Every procedure that changes something takes [body, R, signature], so that a router which
 * lies about its caller gains nothing: the stamp only has to agree with what the identity key
 * signed. */
#include "den/core_in.h"

#include "base/text.h"
#include "den/people.h"

bool request_caller(struct den_core *core, const struct rpc_inv *inv,
                    struct store_identity *ret_who, struct err *err)
{
    struct view id = inv->invocation->caller_authid;
    enum store_found found = STORE_NONE;

    if (text_is_id(id) && !store_identity_by_id(core->c.store, id, &found, ret_who, err))
        return false;
    if (found == STORE_NONE)
        return err_set(err, ERR_NOT_AUTHORIZED, "the caller has no ID in this network");
    return enrolment_is_alive(ret_who, core_wall(core), err);
}

bool request_begin(struct den_core *core, struct store_identity *who, struct err *err)
{
    uint8_t pk[KEY_SIZE];

    memcpy(pk, who->pk, sizeof(pk));
    if (!people_begin(core->c.store, who, err))
        return false;
    if (!view_eq_secret(VIEW_ARR(pk), VIEW_ARR(who->pk)))
        return err_set(err, ERR_WRONG_KEY, "the key of %s was replaced meanwhile", who->id);
    return enrolment_is_alive(who, core_wall(core), err);
}

bool request_take(struct den_core *core, struct view id, struct err *err)
{
    return core_take(core, RATE_REQUEST, id) ||
           err_set(err, ERR_LIMIT, "too many requests of yours: wait some seconds");
}

static bool refuse_rate(struct err *err)
{
    return err_set(err, ERR_LIMIT, "too many of these requests; wait some minutes");
}

bool request_charge(struct den_core *core, const struct request *request, enum rate rate,
                    struct err *err)
{
    return rate == N_RATES || core_take(core, rate, view_text(request->who.id)) || refuse_rate(err);
}

static bool check_request(const struct den_core *core, const struct rpc_request *r,
                          const char *procedure, struct view body, struct err *err)
{
    uint8_t hash[HASH_SIZE];

    pki_hash(body, hash);
    if (!view_eq_secret(r->netid, rpc_trust_netid(core->c.trust)))
        return err_set(err, ERR_BAD_STATEMENT, "request: for another network");
    /* while a new one is on its way, some know the one before as den's */
    if (!rpc_trust_check_key(core->c.trust, RPC_KEY_DEN_SIGN, r->den_pk, core_wall(core), err))
        return err_wrap(err, "request: for another den's key");
    if (!view_eq_text(r->procedure, procedure))
        return err_set(err, ERR_BAD_STATEMENT, "request: for another procedure");
    if (!view_eq_secret(r->body_hash, VIEW_ARR(hash)))
        return err_set(err, ERR_BAD_STATEMENT, "request: the body is not the one that was signed");
    return true;
}

/* The body came as opaque bytes: nobody has walked it before. */
bool request_check_body(const struct request *request, struct err *err)
{
    struct view body = request->body;
    size_t len = 0;

    if (!rpc_walk(body, &len, err))
        return err_wrap(err, "body");
    if (len != body.len || rpc_value_kind(body) != RPC_MAP || rpc_map_has_duplicates(body))
        return err_set(err, ERR_BAD_WIRE, "body: not one map without duplicate keys");
    return true;
}

bool request_read(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                  size_t max_body, enum rate rate, struct request *ret_request, struct err *err)
{
    struct request request = {
        .body = rpc_fields_bin(args, "body", max_body),
        .statement = rpc_fields_bin(args, "request", RPC_MAX_STATEMENT),
        .sig = rpc_fields_fixed(args, "signature", SIG_SIZE),
    };
    struct view stamp = inv->invocation->caller_authid; /* the router proved it: rates go by it */
    struct rpc_request r;

    if (!rpc_fields_end(args, err))
        return false;
    if (text_is_id(stamp) && !request_take(core, stamp, err))
        return false;
    if (text_is_id(stamp) && rate != N_RATES && !core_has(core, rate, stamp))
        return refuse_rate(err);
    if (!request_caller(core, inv, &request.who, err))
        return false;
    if (!rpc_statement_read(RPC_W_REQUEST, request.statement, &r, err))
        return err_wrap(err, "request");
    if (!view_eq_text(r.id, request.who.id))
        return err_set(err, ERR_NOT_AUTHORIZED, "request: of another ID than the caller's, %s",
                       request.who.id);
    *ret_request = request;
    return true;
}

static bool verify(const struct request *request, struct err *err)
{
    struct rpc_request r;

    return rpc_statement_open(RPC_W_REQUEST, VIEW_ARR(request->who.pk), request->statement,
                              request->sig, &r, err) ||
           err_wrap(err, "request");
}

bool request_match(struct den_core *core, const struct request *request, const char *procedure,
                   struct err *err)
{
    struct rpc_request r;

    return rpc_statement_read(RPC_W_REQUEST, request->statement, &r, err) &&
           check_request(core, &r, procedure, request->body, err);
}

bool request_take_nonce(struct den_core *core, const struct request *request, struct err *err)
{
    struct view pk = VIEW_ARR(request->who.pk);
    struct rpc_request r;

    if (!rpc_statement_read(RPC_W_REQUEST, request->statement, &r, err) ||
        !fresh_check(fresh_look(core->fresh, r.beacon, pk, r.nonce), err))
        return err_wrap(err, "request");
    fresh_take(core->fresh, r.beacon, pk, r.nonce);
    return true;
}

static bool is_fresh(struct den_core *core, const struct request *request, struct err *err)
{
    struct rpc_request r;

    return (rpc_statement_read(RPC_W_REQUEST, request->statement, &r, err) &&
            fresh_check(fresh_look(core->fresh, r.beacon, VIEW_ARR(request->who.pk), r.nonce),
                        err)) ||
           err_wrap(err, "request");
}

bool request_open(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                  const char *procedure, size_t max_body, enum rate rate,
                  struct request *ret_request, struct err *err)
{
    struct request request;

    if (!request_read(core, inv, args, max_body, rate, &request, err) || !verify(&request, err) ||
        !is_fresh(core, &request, err) || !request_match(core, &request, procedure, err) ||
        !request_take_nonce(core, &request, err) || !request_charge(core, &request, rate, err) ||
        !request_check_body(&request, err))
        return false;
    *ret_request = request;
    return true;
}
