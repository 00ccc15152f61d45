/* SPDX-License-Identifier: Apache-2.0 */
#include "router/revocations.h"
#include "router/relay.h"

#include <inttypes.h>

bool revocations_check(const struct router *router, struct view pk, const struct rpc_admission *a,
                       struct err *err)
{
    if (rpc_revoked_has(router->revoked, RPC_REVOKED_IDENTITY, pk))
        return err_set(err, ERR_REVOKED, "the identity key of %.*s was revoked", VIEW_FMT(a->id));
    if (a->adm_no < rpc_revoked_min_adm_no(router->revoked, a->id))
        return err_set(err, ERR_REVOKED, "admission %" PRIu64 " of %.*s was revoked", a->adm_no,
                       VIEW_FMT(a->id));
    return true;
}

/* Of those that came by netsign: nobody else has an admission. */
static bool is_revoked(const struct router *router, const struct conn *conn)
{
    const struct rpc_admission a = { .id = conn_id(conn), .adm_no = conn->adm_no };
    struct err ignored;

    return conn->state == CONN_ESTABLISHED && conn->adm_no &&
           !revocations_check(router, VIEW_ARR(conn->pk), &a, &ignored);
}

static void end_sessions(struct router *router)
{
    struct conn *conn;

    LIST_EACH(conn, &router->conns, of_router) {
        if (!is_revoked(router, conn))
            continue;
        log_event(LOG_WARN, "revoked", "id=%s session=%" PRIu64 " address=%s", conn->id,
                  conn->session, conn->address);
        conn_goodbye(conn, "network.error.revoked", "it was revoked: ask the operator");
    }
}

static bool take(struct router *router, struct view bytes, struct view sig, struct buf *records,
                 struct err *err)
{
    struct rpc_revoked_news news;

    if (!rpc_revoked_add(router->revoked, router->trust, bytes, sig, router_network_time(router),
                         &news, err))
        return false;
    switch (news.step) {
    case RPC_REVOKED_TAKEN:
        rpc_revoked_put_record(records, bytes, sig);
        return true;
    case RPC_REVOKED_KNOWN:
        return true;
    case RPC_REVOKED_GAP:
        return err_set(err, ERR_STALE, "revocation %" PRIu64 " is the newest that is known here",
                       rpc_revoked_no(router->revoked));
    }
    abort();
}

static bool take_all(struct router *router, struct view list, struct buf *records, struct err *err)
{
    struct rpc_fields all;

    rpc_fields_open(&all, list);
    while (rpc_fields_more(&all)) {
        struct rpc_fields one;
        rpc_fields_open(&one, rpc_fields_array(&all, "revocation"));
        struct view bytes = rpc_fields_bin(&one, "statement", RPC_MAX_STATEMENT);
        struct view sig = rpc_fields_fixed(&one, "signature", SIG_SIZE);
        if (!rpc_fields_end(&one, err) || !take(router, bytes, sig, records, err))
            return false;
    }
    return rpc_fields_end(&all, err);
}

enum { MAX_PAGE = 512 * 1024, MAX_PER_PAGE = 4000 };

bool revocations_list(struct conn *caller, struct rpc_fields *args, struct buf *to, struct err *err)
{
    uint64_t from = rpc_fields_u64(args, "from"), no = 0;
    struct router *router = caller->router;
    struct view rest, bytes, sig;
    _buf_ file = { 0 };
    _buf_ items = { 0 };
    uint32_t n = 0;

    if (!rpc_fields_end(args, err) ||
        !router->outside.read_revocations(router->outside.user, &file, err))
        return false;
    buf_put(&file, buf_view(&router->unkept));
    rest = buf_view(&file);
    rpc_revoked_skip_head(&rest);
    while (n < MAX_PER_PAGE && items.len < MAX_PAGE &&
           rpc_revoked_take_record(&rest, &bytes, &sig)) {
        if (++no < from)
            continue;
        rpc_put_array(&items, 2);
        rpc_put_bin(&items, bytes);
        rpc_put_bin(&items, sig);
        n++;
    }
    rpc_put_array(to, 1);
    rpc_put_array(to, n);
    rpc_put_raw(to, buf_view(&items));
    return true;
}

/* What was taken is acted on and kept, also when one after it was not. */
bool revocations_install(struct conn *caller, struct rpc_fields *args, struct buf *to,
                         struct err *err)
{
    struct view list = rpc_fields_array(args, "revocations");
    struct router *router = caller->router;
    _buf_ records = { 0 };
    bool is_taken;

    if (!rpc_fields_end(args, err))
        return false;
    is_taken = take_all(router, list, &records, err);
    if (records.len) {
        end_sessions(router);
        relay_look_at_revocations(router->relay);
        router_keep_revocations(router, buf_view(&records));
        log_event(LOG_INFO, "revocations", "newest=%" PRIu64, rpc_revoked_no(router->revoked));
    }
    if (!is_taken)
        return false;
    rpc_put_array(to, 1);
    rpc_put_u64(to, rpc_revoked_no(router->revoked));
    return true;
}
