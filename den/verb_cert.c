/* SPDX-License-Identifier: Apache-2.0 */
#include "den/verb_cert.h"

#include "base/clock.h"
#include "base/text.h"
#include "den/args.h"
#include "den/inventory.h"
#include "den/record.h"
#include "den/revocation.h"
#include "den/token.h"
#include "den/verb.h"
#include "pki/pki.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- serials as typed ---------------------------------------------------------------------------- */

/* The caller frees what is in it. */
static bool find(struct store *store, const struct revocation_serial *serial,
                 struct store_certificate *ret_c, struct err *err)
{
    enum store_found found;
    char hex[RECORD_HEX];

    if (!store_certificate_by_serial(store, VIEW(serial->octets, serial->len), &found, ret_c, err))
        return false;
    return found == STORE_FOUND ||
           err_set(err, ERR_NOT_FOUND, "no certificate has the serial number %s",
                   record_hex(VIEW(serial->octets, serial->len), hex));
}

/* ---- cert list ------------------------------------------------------------------------------------ */

struct listing {
    struct inventory_wanted wanted;
    bool is_json;
    uint64_t n;
};

static bool list_one(void *user, const struct store_certificate *c)
{
    struct listing *l = user;
    _buf_ line = { 0 };

    if (!inventory_is_wanted(&l->wanted, c))
        return true;
    if (l->is_json)
        inventory_put_json(c, l->wanted.now, &line);
    else
        inventory_put_line(c, l->wanted.now, &line);
    if (l->is_json)
        return printf("%s%s", l->n++ ? ", " : "[", buf_cstr(&line)) >= 0;
    l->n++;
    return puts(buf_cstr(&line)) >= 0;
}

struct list_words { /* as typed */
    const char *config, *id, *serial, *state, *expires_before;
};

static bool read_list_words(const struct list_words *words, char id[TEXT_ID], struct listing *l,
                            struct err *err)
{
    l->wanted.now = clock_wall_ms();
    if (words->id) {
        if (!text_read_id(words->id, id)) /* "router" and "ocsp" have certificates too */
            snprintf(id, TEXT_ID, "%s", words->id);
        l->wanted.id = id;
    }
    l->wanted.has_state = words->state != NULL;
    if (words->state && !inventory_state_find(words->state, &l->wanted.state))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "--state: expected valid, expired, revoked or unsigned, found \"%.64s\"",
                       words->state);
    return !words->expires_before ||
           inventory_read_time(words->expires_before, l->wanted.now, &l->wanted.expires_before) ||
           err_set(err, ERR_INVALID_ARGUMENT,
                   "--expires-before: expected a duration such as 36h, a day such as 2027-01-31 or "
                   "a time such as 2027-01-31T12:00:00Z, found \"%.64s\"",
                   words->expires_before);
}

static bool list(struct store *store, const struct list_words *words, struct listing *l,
                 struct err *err)
{
    _cleanup_(store_certificate_deinit) struct store_certificate c = { 0 };
    struct revocation_serial serial = { 0 };

    if (!words->serial)
        return store_certificate_each(store, l->wanted.id, list_one, l, err);
    if (!revocation_read_serial(words->serial, &serial, err) || !find(store, &serial, &c, err))
        return false;
    list_one(l, &c);
    return true;
}

int verb_cert_list(int argc, char **argv)
{
    _cleanup_(store_freep) struct store *store = NULL;
    struct list_words words = { 0 };
    struct listing listing = { 0 };
    const struct args_option options[] = {
        { "config", &words.config, true },
        { "id", &words.id, false },
        { "serial", &words.serial, false },
        { "state", &words.state, false },
        { "expires-before", &words.expires_before, false },
        { "json", NULL, false, &listing.is_json },
    };
    char id[TEXT_ID];
    struct err err;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), NULL, NULL, 0, &err) ||
        !read_list_words(&words, id, &listing, &err))
        return verb_misuse(&err);
    if (!verb_read_store(words.config, &store))
        return VERB_FAILED;
    if (!list(store, &words, &listing, &err))
        return verb_fail(&err);
    if (listing.is_json)
        printf("%s]\n", listing.n ? "" : "[");
    else
        fprintf(stderr, "%" PRIu64 " certificate%s\n", listing.n, listing.n == 1 ? "" : "s");
    return VERB_DONE;
}

/* ---- cert show ------------------------------------------------------------------------------------ */

static bool show(const struct store_certificate *c, bool is_pem, struct err *err)
{
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    _buf_ text = { 0 }, pem = { 0 };
    char spki[RECORD_HEX];

    if (c->der.len && !pki_cert_read(buf_view(&c->der), &cert, err))
        return false;
    if (cert)
        pki_pem_put(&pem, "CERTIFICATE", buf_view(&c->der));
    if (is_pem) {
        if (!cert)
            return err_set(err, ERR_NOT_FOUND,
                           "the serial number was reserved, and nothing was signed with it");
        fwrite(pem.data, 1, pem.len, stdout);
        return true;
    }
    inventory_put_line(c, clock_wall_ms(), &text);
    buf_printf(&text, "\nkey (SHA-256 of the SPKI)  %s\n", record_hex(VIEW_ARR(c->spki), spki));
    if (cert)
        buf_printf(&text, "names                      %s\nissuer                     %s\n%s",
                   pki_cert_facts(cert)->names, pki_cert_facts(cert)->issuer, buf_cstr(&pem));
    fwrite(text.data, 1, text.len, stdout);
    return true;
}

int verb_cert_show(int argc, char **argv)
{
    static const char *const alone_names[] = { "SERIAL" };
    _cleanup_(store_certificate_deinit) struct store_certificate c = { 0 };
    _cleanup_(store_freep) struct store *store = NULL;
    const char *path = NULL, *typed = NULL;
    bool is_pem = false;
    const struct args_option options[] = { { "config", &path, true },
                                           { "pem", NULL, false, &is_pem } };
    struct revocation_serial serial = { 0 };
    struct err err;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), alone_names, &typed, 1, &err) ||
        !revocation_read_serial(typed, &serial, &err))
        return verb_misuse(&err);
    if (!verb_read_store(path, &store))
        return VERB_FAILED;
    return find(store, &serial, &c, &err) && show(&c, is_pem, &err) ? VERB_DONE : verb_fail(&err);
}

/* ---- revoke --------------------------------------------------------------------------------------- */

static int revoke(const char *config, const struct revocation_words *words)
{
    _cleanup_(store_freep) struct store *store = NULL;
    const struct deed deed = deed_here(clock_wall_ms());
    struct store_revocation r = { 0 };
    bool is_new = false;
    struct err err;

    if (!verb_open_to_change(config, &store))
        return VERB_FAILED;
    if (!revocation_resolve(store, words, clock_wall_ms(), &r, &err))
        return err.code == ERR_INVALID_ARGUMENT ? verb_misuse(&err) : verb_fail(&err);
    if (!revocation_put_down(store, &r, &deed, &is_new, &err))
        return verb_fail(&err);
    if (is_new)
        printf("revoked by %s, of %s: number %" PRIu64
               ", on the list and in OCSP within seconds while den runs\n",
               revocation_kind_name(r.kind), r.id, r.no);
    else
        printf("was revoked before, by number %" PRIu64 "; nothing was changed\n", r.no);
    return verb_end_orders(config, store, r.id, deed.at);
}

int verb_revoke(int argc, char **argv)
{
    struct revocation_words words = { 0 };
    const char *config = NULL;
    const struct args_option options[] = {
        { "config", &config, true },        { "id", &words.id, false },
        { "serial", &words.serial, false }, { "key", &words.key, false },
        { "reason", &words.reason, false },
    };
    struct err err;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), NULL, NULL, 0, &err))
        return verb_misuse(&err);
    return revoke(config, &words);
}

int verb_cert_revoke(int argc, char **argv)
{
    static const char *const alone_names[] = { "SERIAL" };
    struct revocation_words words = { 0 };
    const char *config = NULL;
    const struct args_option options[] = { { "config", &config, true },
                                           { "reason", &words.reason, false } };
    struct err err;

    if (!args_read(argc, argv, options, N_ELEMENTS(options), alone_names, &words.serial, 1, &err))
        return verb_misuse(&err);
    return revoke(config, &words);
}
