/* SPDX-License-Identifier: Apache-2.0 */
#include "den/revoked.h"

#include "pki/pki.h"

struct entry {
    uint64_t not_after;
    uint32_t len; /* of its DER in `der` */
};

struct revoked {
    struct buf der;
    struct entry *entries;
    size_t n, room;
    uint64_t no; /* of the newest revocation whose certificates are all here */
};

struct revoked *revoked_new(void)
{
    return mem_new(struct revoked);
}

void revoked_free(struct revoked *revoked)
{
    if (!revoked)
        return;
    buf_free(&revoked->der);
    free(revoked->entries);
    free(revoked);
}

struct loading {
    struct revoked *to;
    size_t max, n;
    uint64_t by; /* of the entry read last */
    bool is_all;
    struct err *err;
};

/* A revocation's certificates come in together: the number is where the next load goes on. */
static bool add(void *user, const struct store_revoked *r)
{
    struct loading *l = user;
    struct revoked *to = l->to;
    const struct pki_revoked entry = { VIEW(r->serial, r->serial_len), r->at, r->reason };
    size_t before = to->der.len;

    if (l->n >= l->max && r->by != l->by) {
        l->is_all = false;
        return false;
    }
    if (!pki_revoked_put(&to->der, &entry, l->err))
        return false;
    if (to->n == to->room) {
        to->room = to->room ? 2 * to->room : 64;
        to->entries = mem_resize(to->entries, to->room, sizeof(*to->entries));
    }
    to->entries[to->n++] = (struct entry){ r->not_after, (uint32_t)(to->der.len - before) };
    to->no = l->by = r->by;
    l->n++;
    return true;
}

bool revoked_load(struct revoked *revoked, struct store *store, uint64_t since, size_t max,
                  bool *ret_is_all, struct err *err)
{
    struct loading l = { .to = revoked, .max = max, .is_all = true, .err = err };
    uint64_t last;

    err->code = ERR_NONE;
    if (!store_revocation_last(store, &last, err) ||
        !store_revoked_each(store, revoked->no, since, add, &l, err) || err->code != ERR_NONE)
        return err_wrap(err, "revoked certificates");
    if (l.is_all && last > revoked->no)
        revoked->no = last; /* the newest ones have no certificate */
    *ret_is_all = l.is_all;
    return true;
}

void revoked_drop_ended(struct revoked *revoked, uint64_t before)
{
    uint8_t *from = revoked->der.data, *to = from;
    size_t kept = 0;

    for (size_t i = 0; i < revoked->n; i++) {
        struct entry entry = revoked->entries[i];
        if (entry.not_after >= before) {
            if (to != from)
                memmove(to, from, entry.len);
            to += entry.len;
            revoked->entries[kept++] = entry;
        }
        from += entry.len;
    }
    revoked->n = kept;
    if (revoked->der.data)
        revoked->der.len = (size_t)(to - revoked->der.data);
}

struct view revoked_entries(const struct revoked *revoked)
{
    return buf_view(&revoked->der);
}

size_t revoked_count(const struct revoked *revoked)
{
    return revoked->n;
}

uint64_t revoked_no(const struct revoked *revoked)
{
    return revoked->no;
}
