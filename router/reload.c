/* SPDX-License-Identifier: Apache-2.0 */
/* Other realms for a running router. A session stays when it could come in again the way it came:
 * its realm is there, its method too, its principal has the same role and the same secret. Else it
 * ends with GOODBYE and a reason of its own. Limits are those of when it came. */
#include "router/handshake_state.h"
#include "router/router.h"

static bool has_key(const struct principal *principal, const uint8_t key[KEY_SIZE])
{
    for (size_t i = 0; i < principal->n_keys; i++) {
        if (memcmp(principal->keys[i], key, KEY_SIZE) == 0)
            return true;
    }
    return false;
}

/* Which of its keys a session came with is not kept: all must be there. */
static bool has_keys(const struct principal *after, const struct principal *before)
{
    for (size_t i = 0; i < before->n_keys; i++) {
        if (!has_key(after, before->keys[i]))
            return false;
    }
    return true;
}

static bool has_same_secret(enum realm_method method, const struct principal *before,
                            const struct principal *after)
{
    switch (method) {
    case REALM_TICKET:
        return view_eq_secret(buf_view(&before->ticket), buf_view(&after->ticket));
    case REALM_WAMPCRA:
        return view_eq_secret(buf_view(&before->secret), buf_view(&after->secret));
    case REALM_CRYPTOSIGN:
        return has_keys(after, before);
    case REALM_NETSIGN:
    case REALM_ANONYMOUS:
    case REALM_METHODS:
        break;
    }
    return true;
}

static const char *principal_why_not(const struct conn *conn, const struct realm_config *before,
                                     const struct realm_config *after)
{
    const struct principal *was = map_get(before->principals, conn_id(conn)),
                           *is = map_get(after->principals, conn_id(conn));

    if (!was || !is)
        return "this principal was removed";
    if (strcmp(is->role, conn->authrole) != 0)
        return "this principal has another role now";
    return has_same_secret(conn->method, was, is) ? NULL : "this principal has another secret now";
}

/* NULL: it stays. */
static const char *why_not(const struct conn *conn, const struct realm_config *before,
                           const struct realm_config *after)
{
    if (!after)
        return "this realm was removed";
    if (!after->has_method[conn->method])
        return "this realm does not take the method of this session any more";
    if (conn->method == REALM_NETSIGN)
        return NULL;
    if (conn->method != REALM_ANONYMOUS)
        return principal_why_not(conn, before, after);
    return strcmp(after->anonymous_role, conn->authrole) == 0
               ? NULL
               : "this realm gives another role to such sessions now";
}

/* Who is under way is judged by the new file: its principal of the same name, as long as that comes by the method
 * that HELLO named, and has the key that HELLO showed. NULL: what follows is refused. */
static const struct principal *find_again(const struct handshake *h,
                                          const struct realm_config *after)
{
    const struct principal *now = map_get(after->principals, view_text(h->principal->authid));
    bool has_means = false;

    if (!now)
        return NULL;
    if (h->method == REALM_TICKET)
        has_means = now->ticket.len > 0;
    else if (h->method == REALM_WAMPCRA)
        has_means = now->secret.len > 0;
    else if (h->method == REALM_CRYPTOSIGN)
        has_means = has_key(now, h->netsign.client_pk);
    return has_means ? now : NULL;
}

/* Who has proved itself, and waits for its WELCOME. */
static bool is_as_it_was(const struct handshake *h, const struct principal *now)
{
    return now && strcmp(now->role, h->principal->role) == 0 &&
           has_same_secret(h->method, h->principal, now);
}

static void move_handshake(struct conn *conn, const struct realm_config *after)
{
    struct handshake *h = conn->handshake;
    const struct principal *now;
    struct err why = { 0 };

    now = h->principal && after ? find_again(h, after) : NULL;
    if (!after || !after->has_method[h->method] ||
        (h->is_decided && h->principal && !is_as_it_was(h, now))) {
        err_set(&why, ERR_NO_SUCH_REALM, "the router's configuration changed meanwhile");
        conn_abort(conn, &why);
        return;
    }
    h->principal = now;
}

static void review(struct conn *conn, const struct realms *after)
{
    const struct realm_config *before, *now;
    const char *why;

    if (!conn->realm || conn->state == CONN_CLOSING)
        return;
    before = conn->realm->config;
    now = realms_find(after, before->name);
    if (conn->state != CONN_ESTABLISHED) {
        move_handshake(conn, now);
        return;
    }
    why = why_not(conn, before, now);
    if (why)
        conn_goodbye(conn, "network.close.removed", why);
}

static bool is_held(const struct router *router, const struct realm *realm)
{
    const struct conn *conn;

    LIST_EACH(conn, &router->conns, of_router) {
        if (conn->realm == realm)
            return true;
    }
    return false;
}

/* Those whose last connection is gone. */
static void bury_retired(struct router *router)
{
    struct realm *realm;

    LIST_EACH(realm, &router->retired, retired) {
        if (!is_held(router, realm))
            realm_free(realm);
    }
}

/* Nobody is left in it, but connections that are closing point to it. */
static void retire(struct router *router, struct realm *realm)
{
    realm->config = NULL;
    list_append(&router->retired, &realm->retired);
}

/* Out of the router's list; NULL: it has none of that name. */
static struct realm *take_realm(struct router *router, const char *name)
{
    for (size_t i = 0; i < router->n_realms; i++) {
        struct realm *realm = router->realms[i];
        if (realm && strcmp(realm->config->name, name) == 0) {
            router->realms[i] = NULL;
            return realm;
        }
    }
    return NULL;
}

static void exchange_realms(struct router *router, const struct realms *after)
{
    struct realm *all[REALMS_MAX] = { 0 };

    for (size_t i = 0; i < after->n; i++) {
        all[i] = take_realm(router, after->item[i]->name);
        if (all[i])
            all[i]->config = after->item[i];
        else
            all[i] = realm_new(router, after->item[i]);
    }
    for (size_t i = 0; i < router->n_realms; i++) {
        if (router->realms[i])
            retire(router, router->realms[i]);
    }
    memcpy(router->realms, all, sizeof(all));
    router->n_realms = after->n;
}

void router_reload(struct router *router, struct moment now, struct realms *realms)
{
    struct realms *before = router->realms_config;
    struct conn *conn;

    router->now = now;
    router_take_proxies(router);
    grants_set_max(router->grants, (size_t)router->config->max_grants);
    if (!realms)
        realms = realms_new(rpc_trust_network(router->trust));
    bury_retired(router);
    LIST_EACH(conn, &router->conns, of_router)
        review(conn, realms);
    exchange_realms(router, realms);
    router->realms_config = realms;
    realms_free(before);
}
