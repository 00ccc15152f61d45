/* SPDX-License-Identifier: Apache-2.0 */
#include "router/netkeys.h"
#include "base/text.h"

static const char head[NETKEYS_HASH + 1] = "warren netkeys1\n";

enum { FIRST_SLOTS = 1024 };

struct slot {
    uint8_t hash[NETKEYS_HASH]; /* all zero: free */
};

struct netkeys {
    struct slot *slots; /* open addressing, never more than half full */
    size_t n, n_slots;  /* the latter a power of two */
    size_t max;
    uint64_t secret; /* odd: where a hash goes cannot be chosen from outside */
};

struct netkeys *netkeys_new(size_t max)
{
    struct netkeys *keys = mem_new(struct netkeys);

    random_bytes((uint8_t *)&keys->secret, sizeof(keys->secret));
    keys->secret |= 1;
    keys->max = max;
    keys->n_slots = FIRST_SLOTS;
    keys->slots = mem_array(struct slot, keys->n_slots);
    return keys;
}

void netkeys_free(struct netkeys *keys)
{
    if (!keys)
        return;
    free(keys->slots);
    free(keys);
}

static bool is_free(const struct slot *slot)
{
    static const struct slot none;

    return memcmp(slot, &none, sizeof(none)) == 0;
}

/* Its place, or the free one where it would go. */
static struct slot *find(const struct netkeys *keys, const struct slot *wanted)
{
    uint64_t n;
    size_t at;

    memcpy(&n, wanted->hash, sizeof(n));
    for (at = (size_t)((n * keys->secret) >> 32) & (keys->n_slots - 1);;
         at = (at + 1) & (keys->n_slots - 1)) {
        struct slot *slot = &keys->slots[at];
        if (is_free(slot) || memcmp(slot, wanted, sizeof(*slot)) == 0)
            return slot;
    }
}

static void grow(struct netkeys *keys)
{
    struct slot *before = keys->slots;
    size_t n_before = keys->n_slots;

    keys->n_slots *= 2;
    keys->slots = mem_array(struct slot, keys->n_slots);
    for (size_t i = 0; i < n_before; i++) {
        if (!is_free(&before[i]))
            *find(keys, &before[i]) = before[i];
    }
    free(before);
}

static struct slot slot_of(struct view public_key)
{
    uint8_t hash[HASH_SIZE];
    struct slot slot;

    hash_sha256(public_key, hash);
    memcpy(slot.hash, hash, sizeof(slot.hash));
    return slot;
}

static bool add(struct netkeys *keys, const struct slot *slot)
{
    if (keys->n >= keys->max || !is_free(find(keys, slot)))
        return false;
    if (keys->n >= keys->n_slots / 2)
        grow(keys);
    *find(keys, slot) = *slot;
    keys->n++;
    return true;
}

/* ---- the file -------------------------------------------------------------------------------- */

void netkeys_put_head(struct buf *to)
{
    buf_put(to, VIEW(head, NETKEYS_HASH));
}

bool netkeys_load(struct view file, size_t max, struct netkeys **ret_keys, size_t *ret_len,
                  struct err *err)
{
    struct netkeys *keys;
    struct slot slot;

    if (file.len < NETKEYS_HASH || memcmp(file.data, head, NETKEYS_HASH) != 0)
        return err_set(err, ERR_BAD_CONFIG, "not a file of keys that came by netsign");
    *ret_len = file.len - file.len % sizeof(slot);
    keys = netkeys_new(max);
    for (size_t at = NETKEYS_HASH; at < *ret_len; at += sizeof(slot)) {
        memcpy(&slot, file.data + at, sizeof(slot));
        add(keys, &slot);
    }
    *ret_keys = keys;
    return true;
}

/* ---- asking ---------------------------------------------------------------------------------- */

bool netkeys_add(struct netkeys *keys, struct view public_key, struct buf *records)
{
    struct slot slot = slot_of(public_key);

    if (!add(keys, &slot))
        return false;
    buf_put(records, VIEW_ARR(slot.hash));
    return true;
}

bool netkeys_has(const struct netkeys *keys, struct view public_key)
{
    struct slot slot = slot_of(public_key);

    return !is_free(find(keys, &slot));
}

size_t netkeys_count(const struct netkeys *keys)
{
    return keys->n;
}

bool netkeys_is_refused(const struct netkeys *keys, struct view public_key)
{
    return keys->n >= keys->max || netkeys_has(keys, public_key);
}

static void put_found(const struct realm_config *realm, const struct principal *principal,
                      struct view key, struct buf *to)
{
    buf_printf(to, "realm %s: principal %s: key ", realm->name, principal->authid);
    text_put_hex(to, key);
    buf_put_text(to, ": it came by netsign, so cryptosign refuses it: give the principal a key of "
                     "its own\n");
}

bool netkeys_check_realms(const struct netkeys *keys, const struct realms *realms,
                          struct buf *ret_all, struct err *err)
{
    _buf_ all = { 0 };
    struct view key;
    void *principal;

    for (size_t i = 0; i < realms->n; i++) {
        size_t cursor = 0;
        while (map_next(realms->item[i]->by_key, &cursor, &key, &principal)) {
            if (netkeys_has(keys, key))
                put_found(realms->item[i], principal, key, &all);
        }
    }
    if (all.len == 0)
        return true;
    if (ret_all)
        buf_put(ret_all, buf_view(&all));
    return err_set(err, ERR_BAD_CONFIG, "%.*s", (int)strcspn(buf_cstr(&all), "\n"), buf_cstr(&all));
}
