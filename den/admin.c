/* SPDX-License-Identifier: Apache-2.0 */
#include "den/admin.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>

static const struct admin_row rows[] = {
    { "den.peer.list", "after limit", ADMIN_READS, admin_peer_list },
    { "den.peer.get", "id", ADMIN_READS, admin_peer_get },
    { "den.peer.groups", "id groups", ADMIN_CHANGES, admin_peer_groups },
    { "den.peer.remove", "id", ADMIN_CHANGES, admin_peer_remove },
    { "den.peer.re_enrol", "id key expires device_life", ADMIN_CHANGES, admin_peer_re_enrol },
    { "den.name.all", "after limit", ADMIN_READS, admin_name_list },
    { "den.name.assign", "name id", ADMIN_CHANGES, admin_name_assign },
    { "den.name.free", "name", ADMIN_CHANGES, admin_name_free },
    { "den.token.list", "after limit", ADMIN_READS, admin_token_list },
    { "den.token.add", "key uses expires role groups label ephemeral device_life needs_approval",
      ADMIN_CHANGES, admin_token_add },
    { "den.token.revoke", "token", ADMIN_CHANGES, admin_token_revoke },
    { "den.waiting.list", "after limit", ADMIN_READS, admin_waiting_list },
    { "den.waiting.approve", "code role groups", ADMIN_CHANGES, admin_approve },
    { "den.waiting.deny", "code", ADMIN_CHANGES, admin_deny },
    { "den.cert.list", "id state expires_before after limit", ADMIN_READS, admin_cert_list },
    { "den.cert.show", "serial", ADMIN_READS, admin_cert_show },
    { "den.cert.revoke", "serial key id reason", ADMIN_CHANGES, admin_revoke },
    { "den.session.list", "id open after limit", ADMIN_READS, admin_session_list },
    { "den.session.end", "sid reason", ADMIN_CHANGES, admin_session_close },
    { "den.policy.show", "", ADMIN_READS, admin_policy_show },
    { "den.policy.load", "text trial replaces", ADMIN_CHANGES, admin_policy_load,
      ADMIN_MAX_POLICY },
    { "den.router.list", "after limit", ADMIN_READS, admin_router_list },
    { "den.rollover.status", "", ADMIN_READS, admin_rollover_status },
    { "den.audit.list", "after limit since until", ADMIN_READS, admin_audit_list },
    { "den.audit.head", "", ADMIN_READS, admin_audit_head },
    { "den.audit.verify", "after", ADMIN_READS, admin_audit_verify },
    { "den.status", "", ADMIN_READS, admin_status },
};

const struct admin_row *admin_row(size_t i)
{
    return i < N_ELEMENTS(rows) ? &rows[i] : NULL;
}

const struct admin_row *admin_find(const char *procedure)
{
    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        if (strcmp(rows[i].procedure, procedure) == 0)
            return &rows[i];
    }
    return NULL;
}

static bool is_key(const char *keys, struct view key)
{
    size_t len;

    for (; *keys; keys += len + (keys[len] == ' ')) {
        len = strcspn(keys, " ");
        if (view_eq(key, VIEW(keys, len)))
            return true;
    }
    return false;
}

/* A key that is misspelt would else be as if it were not there. */
bool admin_check_keys(const char *procedure, const char *keys, struct view body, struct err *err)
{
    struct view cursor, key, value;
    uint32_t n;

    if (!rpc_map_open(body, &cursor, &n))
        return err_set(err, ERR_BAD_WIRE, "body: expected a map");
    while (rpc_map_next(&cursor, &n, &key, &value)) {
        if (!is_key(keys, key))
            return err_set(err, ERR_INVALID_ARGUMENT, "\"%.*s\" is nothing that %s takes: %s",
                           VIEW_FMT(view_sub(key, 0, 32)), procedure,
                           *keys ? keys : "it takes nothing");
    }
    return true;
}

struct ending {
    const struct admin *a;
    struct err *err;
    bool ok;
};

static bool end_order(void *user, const struct store_token *token)
{
    struct ending *e = user;
    const struct admin_place *place = e->a->place;

    if (token->revoked_at == e->a->deed.at && token->for_id[0] != '\0')
        e->ok = place->end_order(place->user, VIEW_ARR(token->pk), e->err);
    return e->ok;
}

/* With a token for a new key ends the order to the signer that named it. */
static bool end_orders(const struct admin *a, struct err *err)
{
    struct ending e = { a, err, true };

    if (!a->place || !a->place->end_order)
        return true;
    return (store_token_each(a->store, end_order, &e, err) && e.ok) ||
           err_wrap(err, "it was done, and the signer's order stands");
}

bool admin_run(const struct admin_row *row, const struct admin *a, struct buf *to, struct err *err)
{
    return admin_check_keys(row->procedure, row->keys, a->body, err) && row->act(a, to, err) &&
           (row->kind != ADMIN_CHANGES || end_orders(a, err));
}

/* ---- words --------------------------------------------------------------------------------------- */

bool admin_word(const struct admin *a, const char *key, char to[ADMIN_WORD], const char **ret,
                struct err *err)
{
    struct view value;
    uint64_t number;

    if (!rpc_map_get(a->body, key, &value))
        return true;
    if (rpc_value_kind(value) == RPC_BOOL)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: expected text", key);
    if (rpc_map_u64(a->body, key, &number)) /* so a shell's JSON has it */
        snprintf(to, ADMIN_WORD, "%" PRIu64, number);
    else if (!rpc_map_text(a->body, key, &value) || value.len >= ADMIN_WORD ||
             (value.len && memchr(value.data, 0, value.len)))
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: expected text of at most %d bytes", key,
                       ADMIN_WORD - 1);
    else
        snprintf(to, ADMIN_WORD, "%.*s", VIEW_FMT(value));
    *ret = to;
    return true;
}

bool admin_need(const struct admin *a, const char *key, char to[ADMIN_WORD], struct err *err)
{
    const char *word = NULL;

    return admin_word(a, key, to, &word, err) &&
           (word || err_set(err, ERR_INVALID_ARGUMENT, "%s: missing", key));
}

/* ---- pages --------------------------------------------------------------------------------------- */

bool admin_page_begin(const struct admin *a, struct admin_page *page, struct err *err)
{
    char text[ADMIN_WORD];
    const char *after = NULL;
    struct view unused;

    *page = (struct admin_page){ .a = a, .limit = ADMIN_PAGE };
    if (!admin_word(a, "after", text, &after, err))
        return false;
    if (after && strlen(after) >= sizeof(page->after))
        return err_set(err, ERR_INVALID_ARGUMENT, "after: expected \"next\" of the page before");
    if (after)
        memcpy(page->after, after, strlen(after) + 1);
    if (rpc_map_get(a->body, "limit", &unused) &&
        (!rpc_map_u64(a->body, "limit", &page->limit) || page->limit == 0 ||
         page->limit > ADMIN_MAX_PAGE))
        return err_set(err, ERR_INVALID_ARGUMENT, "limit: expected a number from 1 to %d",
                       ADMIN_MAX_PAGE);
    return true;
}

bool admin_page_take(struct admin_page *page, const char *place)
{
    if (page->n == page->limit || (page->n && page->items.len + page->one.len > ADMIN_MAX_BYTES)) {
        page->is_more = true;
        return false;
    }
    buf_put(&page->items, buf_view(&page->one));
    buf_clear(&page->one);
    page->n++;
    snprintf(page->next, sizeof(page->next), "%s", place);
    return true;
}

void admin_page_end(struct admin_page *page, struct buf *to)
{
    struct admin_object o = { 0 };
    _buf_ list = { 0 };

    rpc_put_array(&list, page->n);
    buf_put(&list, buf_view(&page->items));
    admin_value(&o, "items", buf_view(&list));
    if (page->is_more)
        admin_text(&o, "next", page->next);
    else
        admin_nil(&o, "next");
    admin_end(&o, to);
    admin_page_deinit(page);
}

void admin_page_deinit(struct admin_page *page)
{
    buf_free(&page->items);
    buf_free(&page->one);
}
