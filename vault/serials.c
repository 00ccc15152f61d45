/* SPDX-License-Identifier: Apache-2.0 */
#include "vault/serials.h"

#include "base/list.h"
#include "base/map.h"

struct out {
    struct list node; /* the oldest first */
    uint64_t at;
    struct vault_serial *serial;
};

struct vault_serials {
    struct map *by_serial; /* struct out */
    struct list all;
};

void vault_serial_free(struct vault_serial *serial)
{
    if (!serial)
        return;
    pki_csr_free(serial->csr);
    free(serial);
}

struct vault_serials *vault_serials_new(void)
{
    struct vault_serials *s = mem_new(struct vault_serials);

    s->by_serial = map_new();
    list_init(&s->all);
    return s;
}

static struct vault_serial *take_out(struct vault_serials *s, struct out *out)
{
    struct vault_serial *serial = out->serial;

    map_remove(s->by_serial, VIEW(serial->serial, serial->len));
    list_remove(&out->node);
    free(out);
    return serial;
}

void vault_serials_free(struct vault_serials *s)
{
    struct out *out;

    if (!s)
        return;
    LIST_EACH(out, &s->all, node)
        vault_serial_free(take_out(s, out));
    map_free(s->by_serial);
    free(s);
}

/* A clock that was set back makes them old too. */
static bool is_old(const struct out *out, uint64_t now)
{
    return now < out->at || now - out->at >= VAULT_SERIAL_FOR;
}

static void drop_old(struct vault_serials *s, uint64_t now)
{
    struct out *out;

    LIST_EACH(out, &s->all, node) {
        if (!is_old(out, now))
            return;
        vault_serial_free(take_out(s, out));
    }
}

const struct vault_serial *vault_serials_draw(struct vault_serials *s,
                                              struct vault_serial *serial_taken, uint64_t now,
                                              struct err *err)
{
    struct out *out;

    drop_old(s, now);
    if (map_count(s->by_serial) >= VAULT_MAX_SERIALS) {
        vault_serial_free(serial_taken);
        err_set(err, ERR_BUSY, "too many serial numbers were drawn and not used");
        return NULL;
    }
    out = mem_new(struct out);
    out->serial = serial_taken;
    out->at = now;
    pki_serial_new(serial_taken->serial, &serial_taken->len);
    map_set(s->by_serial, VIEW(serial_taken->serial, serial_taken->len), out);
    list_append(&s->all, &out->node);
    return serial_taken;
}

struct vault_serial *vault_serials_use(struct vault_serials *s, struct view serial, uint64_t now)
{
    struct out *out = map_get(s->by_serial, serial);
    struct vault_serial *found;
    bool was_old;

    if (!out)
        return NULL;
    was_old = is_old(out, now);
    found = take_out(s, out);
    if (!was_old)
        return found;
    vault_serial_free(found);
    return NULL;
}
