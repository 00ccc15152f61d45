/* SPDX-License-Identifier: Apache-2.0 */
/* The admin table: who may, what stands in the audit, and lists in pages. */
#include "den/admin.h"
#include "tests/unit/den/world.h"

#include <stdarg.h>
#include <stdio.h>

#define POLICY "rules: [{from: any, to: any, can: any, consent: deny}]\n"

static struct world_peer *admin_new(struct world *w)
{
    struct world_peer *peer = world_peer_new(w);
    struct store_identity who;
    enum store_found found;
    struct err err = { 0 };

    if (!CHECK(peer))
        return NULL;
    CHECK(store_identity_by_id(w->store, view_text(peer->id), &found, &who, &err));
    snprintf(who.role, sizeof(who.role), "admin");
    CHECK(store_begin(w->store, &err) && store_identity_set(w->store, &who, &err) &&
          store_commit(w->store, &err));
    return peer;
}

/* `role`: the router's stamp. */
static uint64_t ask(struct world *w, const struct world_peer *peer, const char *role,
                    const char *procedure, struct view body)
{
    struct buf args = { 0 };

    world_put_request(w, &args, peer->key, peer->id, procedure, body);
    return world_handle(w, procedure, role, peer->id, &args);
}

/* {key: value, ...} of texts, NULL at the end. */
static struct buf body_of(const char *first, ...)
{
    struct buf body = { 0 }, pairs = { 0 };
    const char *key = first;
    uint32_t n = 0;
    va_list list;

    va_start(list, first);
    for (; key; key = va_arg(list, const char *), n++) {
        rpc_put_str(&pairs, key);
        rpc_put_str(&pairs, va_arg(list, const char *));
    }
    va_end(list);
    rpc_put_map(&body, n);
    buf_put(&body, buf_view(&pairs));
    buf_free(&pairs);
    return body;
}

/* The one value of an answer; empty after having failed. */
static struct view value_of(const struct world *w, uint64_t inv)
{
    const struct world_answer *answer = world_answer(w, inv);
    struct rpc_fields f;

    if (!CHECK(answer && answer->what == WORLD_YIELDED))
        return VIEW_LIT("\x80");
    rpc_fields_open(&f, buf_view(&answer->bytes));
    return rpc_fields_value(&f, "value");
}

TEST(every_procedure_is_for_administrators_alone)
{
    static const char *const roles[] = { "guest", "peer", "script", "router", "" };
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    _buf_ empty = body_of(NULL);
    size_t n_rows = 0;

    CHECK(world_unlimited(w));
    for (size_t i = 0; admin_row(i); i++, n_rows++) {
        const char *procedure = admin_row(i)->procedure;
        for (size_t r = 0; r < N_ELEMENTS(roles); r++) {
            uint64_t inv = ask(w, peer, roles[r], procedure, buf_view(&empty));
            world_check_refused(w, inv, ERR_NOT_AUTHORIZED);
            w->n_answers = 0;
        }
        /* a router that stamps it itself: den's own record counts */
        world_check_refused(w, ask(w, peer, "admin", procedure, buf_view(&empty)),
                            ERR_NOT_AUTHORIZED);
        w->n_answers = 0;
    }
    CHECK(n_rows >= 20);
    CHECK_U64(world_audited(w, "what=request.refused", "not_authorized"),
              n_rows * (N_ELEMENTS(roles) + 1));
}

TEST(an_act_is_audited_with_who_from_where_before_and_after)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *boss = admin_new(w), *bob = world_peer_new(w);
    _buf_ one = body_of("id", bob->id, "groups", "staff", NULL),
          two = body_of("id", bob->id, "groups", "servers", NULL);
    struct view value;
    struct view groups = { 0 };
    char by[64];

    w->source = "192.0.2.7";
    value_of(w, ask(w, boss, "admin", "den.peer.groups", buf_view(&one)));
    value = value_of(w, ask(w, boss, "admin", "den.peer.groups", buf_view(&two)));
    CHECK(rpc_map_text(value, "groups", &groups) && view_eq_text(groups, "servers"));
    snprintf(by, sizeof(by), "by=%s\nsource=192.0.2.7", boss->id);
    CHECK_U64(world_audited(w, "groups_before=staff\ngroups=servers", by), 1);
    CHECK_U64(world_audited(w, "state_before=committed", by), 2);
}

TEST(a_request_is_good_once_and_for_its_procedure)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *boss = admin_new(w);
    _buf_ empty = body_of(NULL);
    struct buf args = { 0 }, again = { 0 }, other = { 0 };

    world_put_request(w, &args, boss->key, boss->id, "den.peer.list", buf_view(&empty));
    buf_put(&again, buf_view(&args));
    buf_put(&other, buf_view(&args));
    world_check_refused(w, world_handle(w, "den.token.list", "admin", boss->id, &other),
                        ERR_BAD_STATEMENT);
    value_of(w, world_handle(w, "den.peer.list", "admin", boss->id, &args));
    world_check_refused(w, world_handle(w, "den.peer.list", "admin", boss->id, &again),
                        ERR_REPLAYED);
}

TEST(lists_come_in_pages_and_each_item_once)
{
    enum { MANY = 25 };
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *boss = admin_new(w);
    static const char *const lists[] = { "den.peer.list", "den.token.list", "den.audit.list" };
    struct err err = { 0 };

    CHECK(world_unlimited(w));
    for (unsigned i = 0; i < MANY; i++)
        key_free(world_token(w, "peer", 1, 0));
    for (unsigned i = 0; i < MANY; i++) {
        struct store_identity who = { .role = "peer", .created_at = i };
        snprintf(who.id, sizeof(who.id), "%u", 700000 + i);
        memset(who.pk, (int)i + 1, sizeof(who.pk));
        CHECK_OK(store_begin(w->store, &err), err);
        CHECK_OK(store_identity_add(w->store, &who, &err), err);
        CHECK_OK(store_commit(w->store, &err), err);
    }
    for (size_t l = 0; l < N_ELEMENTS(lists); l++) {
        char after[160] = "";
        size_t n = 0, n_pages = 0;
        do {
            struct buf body = { 0 };
            struct rpc_fields f;
            struct view value, items, next = { 0 };
            rpc_put_map(&body, *after ? 2 : 1);
            rpc_put_str(&body, "limit");
            rpc_put_u64(&body, 2);
            if (*after) {
                rpc_put_str(&body, "after");
                rpc_put_str(&body, after);
            }
            value = value_of(w, ask(w, boss, "admin", lists[l], buf_view(&body)));
            buf_free(&body);
            CHECK(rpc_map_get(value, "items", &items));
            rpc_fields_open(&f, items);
            for (; rpc_fields_more(&f); n++)
                rpc_fields_map(&f, "item");
            after[0] = '\0';
            if (rpc_map_text(value, "next", &next))
                snprintf(after, sizeof(after), "%.*s", VIEW_FMT(next));
        } while (*after && ++n_pages < 50);
        CHECK(n >= (l == 2 ? 4 : MANY) && n < 4 * MANY);
        CHECK_U64(n_pages, (n - 1) / 2);
    }
}

TEST(words_that_are_none_are_named)
{
    static const struct {
        const char *procedure, *key, *value, *why;
    } cases[] = {
        { "den.peer.list", "form", "1", "\"form\" is nothing that den.peer.list takes" },
        { "den.peer.list", "limit", "many", "limit: expected a number" },
        { "den.peer.get", "id", "x", "is not an ID" },
        { "den.token.list", "after", "12", "after: expected" },
        { "den.cert.list", "after", "x", "after: expected" },
        { "den.cert.list", "state", "good", "state: expected" },
        { "den.session.end", "sid", "12", "sid: expected" },
        { "den.audit.list", "since", "once", "since: expected" },
        { "den.token.add", "uses", "0", "uses: expected" },
        { "den.token.add", "uses", "1", "key: missing" },
        { "den.peer.remove", "id", "999999", "there is no ID" },
    };
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *boss = admin_new(w);

    CHECK(world_unlimited(w));
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ body = body_of(cases[i].key, cases[i].value, NULL);
        uint64_t inv = ask(w, boss, "admin", cases[i].procedure, buf_view(&body));
        const struct world_answer *answer = world_answer(w, inv);
        if (CHECK(answer && answer->what == WORLD_REFUSED) &&
            !CHECK(strstr(answer->err.text, cases[i].why)))
            printf("# %s: %s\n", cases[i].procedure, answer->err.text);
    }
}

TEST(an_account_of_this_machine_is_named)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *bob = world_peer_new(w);
    _buf_ body = body_of("id", bob->id, NULL), value = { 0 }, nothing = { 0 };
    struct err err = { 0 };

    CHECK_OK(den_core_admin(w->core, "den.peer.remove", 1234, buf_view(&body), &value, &err), err);
    CHECK_U64(world_audited(w, "what=identity.removed", "by=uid 1234\nsource=local"), 1);
    CHECK(!den_core_admin(w->core, "den.peer.vanish", 0, buf_view(&body), &nothing, &err));
    CHECK_U64(err.code, ERR_NO_SUCH_PROCEDURE);
    CHECK(!den_core_admin(w->core, "den.peer.get", 7, VIEW_LIT("\x81"), &nothing, &err));
    CHECK(!den_core_admin(w->core, "den.peer.get", 7, VIEW_LIT("\x80"), &nothing, &err));
    CHECK_U64(world_audited(w, "what=request.refused", "by=uid 7"), 1);
}
