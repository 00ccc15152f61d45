/* SPDX-License-Identifier: Apache-2.0 */
/* Lists, in pages. */
#include "den/admin.h"

#include "base/text.h"
#include "den/inventory.h"
#include "den/record.h"

#include <inttypes.h>
#include <stdio.h>

/* A page whose filter takes nothing ends after so many rows, and goes on from there. */
enum { MAX_LOOKED_AT = 20000 };

#define _page_ _cleanup_(admin_page_deinit) struct admin_page

static bool bad_place(struct err *err)
{
    return err_set(err, ERR_INVALID_ARGUMENT, "after: expected \"next\" of the page before");
}

static bool read_number(const struct admin_page *page, uint64_t *ret_n, struct err *err)
{
    if (!page->after[0])
        return true;
    return (text_read_u64(view_text(page->after), ret_n) && *ret_n <= INT64_MAX) || bad_place(err);
}

/* "<time>-<key>": for what is listed by time. */
static bool read_place(const struct admin_page *page, uint64_t *ret_at, uint8_t pk[KEY_SIZE],
                       struct err *err)
{
    const char *dash = strchr(page->after, '-');

    if (!page->after[0])
        return true;
    return (dash &&
            text_read_u64(VIEW((const uint8_t *)page->after, (size_t)(dash - page->after)),
                          ret_at) &&
            *ret_at <= INT64_MAX && text_read_hex(view_text(dash + 1), pk, KEY_SIZE)) ||
           bad_place(err);
}

static bool take_at(struct admin_page *page, uint64_t at, const uint8_t pk[KEY_SIZE])
{
    char place[96], hex[RECORD_HEX];

    snprintf(place, sizeof(place), "%" PRIu64 "-%s", at, record_hex(VIEW(pk, KEY_SIZE), hex));
    return admin_page_take(page, place);
}

static bool take_no(struct admin_page *page, uint64_t no)
{
    char place[24];

    snprintf(place, sizeof(place), "%" PRIu64, no);
    return admin_page_take(page, place);
}

/* ---- peers, names, tokens, waiting machines ---------------------------------------------------------- */

static bool take_peer(void *user, const struct store_identity *who)
{
    struct admin_page *page = user;

    admin_put_peer(who, page->a->deed.at, &page->one);
    return admin_page_take(page, who->id);
}

bool admin_peer_list(const struct admin *a, struct buf *to, struct err *err)
{
    _page_ page = { 0 };

    if (!admin_page_begin(a, &page, err) ||
        !store_identity_after(a->store, page.after, take_peer, &page, err))
        return false;
    admin_page_end(&page, to);
    return true;
}

static bool take_name(void *user, const struct store_name *name)
{
    struct admin_page *page = user;

    admin_put_name(name, &page->one);
    return admin_page_take(page, name->name);
}

bool admin_name_list(const struct admin *a, struct buf *to, struct err *err)
{
    _page_ page = { 0 };

    if (!admin_page_begin(a, &page, err) ||
        !store_name_after(a->store, page.after, take_name, &page, err))
        return false;
    admin_page_end(&page, to);
    return true;
}

static bool take_token(void *user, const struct store_token *t)
{
    struct admin_page *page = user;

    admin_put_token(t, page->a->deed.at, &page->one);
    return take_at(page, t->created_at, t->pk);
}

bool admin_token_list(const struct admin *a, struct buf *to, struct err *err)
{
    _page_ page = { 0 };
    uint8_t pk[KEY_SIZE] = { 0 };
    uint64_t at = INT64_MAX;

    if (!admin_page_begin(a, &page, err) || !read_place(&page, &at, pk, err) ||
        !store_token_before(a->store, at, VIEW_ARR(pk), take_token, &page, err))
        return false;
    admin_page_end(&page, to);
    return true;
}

static bool take_waiting(void *user, const struct store_waiting *w)
{
    struct admin_page *page = user;

    admin_put_waiting(w, &page->one);
    return take_at(page, w->first_at, w->pk);
}

bool admin_waiting_list(const struct admin *a, struct buf *to, struct err *err)
{
    _page_ page = { 0 };
    uint8_t pk[KEY_SIZE] = { 0 };
    uint64_t at = 0;

    if (!admin_page_begin(a, &page, err) || !read_place(&page, &at, pk, err) ||
        !store_waiting_after(a->store, at, VIEW_ARR(pk), take_waiting, &page, err))
        return false;
    admin_page_end(&page, to);
    return true;
}

/* ---- with filters -------------------------------------------------------------------------------------- */

struct filtered {
    struct admin_page page;
    struct inventory_wanted wanted; /* certificates */
    const char *id;                 /* sessions; NULL: of all */
    bool only_open;
    uint64_t since, until; /* audit; until 0: to the end */
    size_t n_looked_at;
};

static void filtered_deinit(struct filtered *f)
{
    admin_page_deinit(&f->page);
}

/* What was passed over moves the page on too. */
static bool pass_over(struct filtered *f, uint64_t no)
{
    if (++f->n_looked_at < MAX_LOOKED_AT)
        return true;
    snprintf(f->page.next, sizeof(f->page.next), "%" PRIu64, no);
    f->page.is_more = true;
    return false;
}

static bool take_certificate(void *user, const struct store_certificate *c)
{
    struct filtered *f = user;

    if (!inventory_is_wanted(&f->wanted, c))
        return pass_over(f, c->no);
    inventory_put(c, f->wanted.now, &f->page.one);
    return take_no(&f->page, c->no);
}

bool admin_cert_list(const struct admin *a, struct buf *to, struct err *err)
{
    _cleanup_(filtered_deinit) struct filtered f = { .wanted.now = a->deed.at };
    char id[ADMIN_WORD], plain[TEXT_ID], state[ADMIN_WORD], before[ADMIN_WORD];
    const char *typed_id = NULL, *typed_state = NULL, *typed_before = NULL;
    uint64_t no = 0;

    if (!admin_page_begin(a, &f.page, err) || !read_number(&f.page, &no, err) ||
        !admin_word(a, "id", id, &typed_id, err) ||
        !admin_word(a, "state", state, &typed_state, err) ||
        !admin_word(a, "expires_before", before, &typed_before, err))
        return false;
    if (typed_id) /* "router" and "ocsp" have certificates too */
        f.wanted.id = text_read_id(typed_id, plain) ? plain : typed_id;
    f.wanted.has_state = typed_state != NULL;
    if (typed_state && !inventory_state_find(typed_state, &f.wanted.state))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "state: expected valid, expired, revoked or unsigned");
    if (typed_before && !inventory_read_time(typed_before, f.wanted.now, &f.wanted.expires_before))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "expires_before: expected a duration such as 36h or a time such as "
                       "2027-01-31T12:00:00Z");
    if (!store_certificate_after(a->store, f.wanted.id, no, take_certificate, &f, err))
        return false;
    admin_page_end(&f.page, to);
    return true;
}

static bool is_of(const struct filtered *f, const struct store_session *x)
{
    return (!f->only_open || store_is_open_state(x->state)) &&
           (!f->id || strcmp(x->a_id, f->id) == 0 || strcmp(x->b_id, f->id) == 0);
}

static bool take_session(void *user, uint64_t no, const struct store_session *x)
{
    struct filtered *f = user;

    if (!is_of(f, x))
        return pass_over(f, no);
    admin_put_session(x, &f->page.one);
    return take_no(&f->page, no);
}

bool admin_session_list(const struct admin *a, struct buf *to, struct err *err)
{
    _cleanup_(filtered_deinit) struct filtered f = { .only_open = rpc_map_bool(a->body, "open") };
    char typed[ADMIN_WORD], id[TEXT_ID];
    const char *word = NULL;
    uint64_t no = INT64_MAX;

    if (!admin_page_begin(a, &f.page, err) || !read_number(&f.page, &no, err) ||
        !admin_word(a, "id", typed, &word, err))
        return false;
    if (word && !text_read_id(word, id))
        return err_set(err, ERR_INVALID_ARGUMENT, "id: expected an ID of 6 to 9 digits");
    f.id = word ? id : NULL;
    if (!store_session_before(a->store, no, take_session, &f, err))
        return false;
    admin_page_end(&f.page, to);
    return true;
}

static bool take_audit(void *user, const struct store_audit *entry)
{
    struct filtered *f = user;

    if (entry->at < f->since || (f->until && entry->at > f->until))
        return pass_over(f, entry->no);
    admin_put_audit(entry, &f->page.one);
    return take_no(&f->page, entry->no);
}

static bool read_time(const struct admin *a, const char *key, uint64_t *ret_at, struct err *err)
{
    char text[ADMIN_WORD];
    const char *word = NULL;

    if (!admin_word(a, key, text, &word, err))
        return false;
    return !word || audit_read_time(word, a->deed.at, ret_at) ||
           err_set(err, ERR_INVALID_ARGUMENT,
                   "%s: expected how long ago, such as 36h, a day such as 2027-01-31 or a time "
                   "such as 2027-01-31T12:00:00Z",
                   key);
}

bool admin_audit_list(const struct admin *a, struct buf *to, struct err *err)
{
    _cleanup_(filtered_deinit) struct filtered f = { 0 };
    uint64_t no = 0;

    if (!admin_page_begin(a, &f.page, err) || !read_number(&f.page, &no, err) ||
        !read_time(a, "since", &f.since, err) || !read_time(a, "until", &f.until, err) ||
        !store_audit_each(a->store, no + 1, take_audit, &f, err))
        return false;
    admin_page_end(&f.page, to);
    return true;
}
