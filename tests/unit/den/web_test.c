/* SPDX-License-Identifier: Apache-2.0 */
/* What plain HTTP serves, and how a revocation gets there. */
#include "den/web.h"

#include "base/base64.h"
#include "base/clock.h"
#include "tests/unit/den/ocsp.h"
#include "tests/unit/den/world.h"

#include <openssl/ocsp.h>

#define POLICY "rules: [{from: any, to: any, can: any, consent: deny}]\n"

/* OpenSSL's request about a serial number of our intermediate. */
static struct buf ask_about(const struct world *w, struct view serial)
{
    return ocsp_ask(pki_cert_der(signer_cert(w->signer)), serial);
}

static int status_in(const struct world *w, struct view answer)
{
    return ocsp_says(answer, pki_cert_der(signer_cert(w->signer)));
}

static int status_of(struct world *w, struct view serial)
{
    _buf_ request = ask_about(w, serial);
    struct web_page page = { 0 };
    int status;

    web_serve(w->core, true, VIEW_LIT("/ocsp"), buf_view(&request), VIEW_LIT("192.0.2.1"), &page);
    CHECK_U64(page.status, 200);
    CHECK_STR(page.type, "application/ocsp-response");
    status = status_in(w, buf_view(&page.body));
    buf_free(&page.body);
    return status;
}

static struct store_certificate newest(struct world *w, const struct world_peer *peer)
{
    struct store_certificate c = { 0 };
    enum store_found found = STORE_NONE;
    struct err err;

    if (!store_certificate_by_spki(w->store, VIEW_ARR(peer->spki), &found, &c, &err) ||
        found == STORE_NONE)
        check_failed(__FILE__, __LINE__, "no certificate");
    return c;
}

/* As another process does it. */
static bool revoke_elsewhere(struct world *w, struct view serial, struct err *err)
{
    _cleanup_(store_freep) struct store *other = NULL;

    return store_open(w->store_path, &other, err) && store_begin(other, err) &&
           store_certificate_revoke(other, serial, w->wall, 1, err) && store_commit(other, err);
}

static bool is_listed(struct world *w, struct view serial)
{
    struct view der = den_core_crl(w->core);

    for (size_t i = 0; i + serial.len <= der.len; i++)
        if (view_eq(view_sub(der, i, serial.len), serial))
            return true;
    return false;
}

TEST(a_revocation_of_another_process_shows_in_ocsp_at_once_and_on_the_list_at_the_next_look)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    _cleanup_(store_certificate_deinit) struct store_certificate c = newest(w, peer);
    struct view serial = buf_view(&c.serial);
    struct rpc_heartbeat before = world_heartbeat(w);
    uint64_t crl_no = before.crl_no;
    struct err err;

    CHECK_U64(status_of(w, serial), V_OCSP_CERTSTATUS_GOOD);
    CHECK(den_core_look(w->core) && !is_listed(w, serial));
    CHECK_U64(world_heartbeat(w).crl_no, crl_no);
    CHECK_OK(revoke_elsewhere(w, serial, &err), err);
    CHECK_U64(status_of(w, serial), V_OCSP_CERTSTATUS_REVOKED);
    CHECK(den_core_look(w->core) && is_listed(w, serial));
    struct rpc_heartbeat after = world_heartbeat(w);
    uint8_t hash[HASH_SIZE];
    hash_sha256(den_core_crl(w->core), hash);
    CHECK(after.crl_no > crl_no); /* every peer hears of the new list at once */
    CHECK_VIEW(after.crl_hash, VIEW_ARR(hash));
    CHECK_OK(world_restart(w, &err), err);
    CHECK(is_listed(w, serial));
    CHECK(world_answer(w, world_sign(w, peer))->what == WORLD_REFUSED); /* the key, for ever */
    CHECK_U64(world_answer(w, w->n_invs)->err.code, ERR_WRONG_KEY);
}

TEST(an_entry_stays_until_a_list_that_is_newer_than_its_certificate)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    _cleanup_(store_certificate_deinit) struct store_certificate c = newest(w, peer);
    struct err err;

    CHECK_OK(revoke_elsewhere(w, buf_view(&c.serial), &err), err);
    CHECK(den_core_look(w->core));
    world_pass(w, 23 * HOUR_MS);
    CHECK(is_listed(w, buf_view(&c.serial)));
    world_pass(w, 2 * HOUR_MS); /* the first list beyond its end still has it */
    CHECK(w->wall > c.not_after && is_listed(w, buf_view(&c.serial)));
    world_pass(w, 24 * HOUR_MS);
    CHECK(!is_listed(w, buf_view(&c.serial)));
    CHECK_U64(status_of(w, buf_view(&c.serial)), V_OCSP_CERTSTATUS_REVOKED);
}

TEST(ocsp_answers_for_every_serial_that_was_ever_drawn)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    static const uint8_t drawn[17] = { 9, 9 }, never[17] = { 8, 8 };
    struct err err;

    CHECK_OK(store_begin(w->store, &err), err);
    CHECK_OK(
        store_serial_reserve(w->store, VIEW_ARR(drawn), peer->id, VIEW_ARR(peer->spki), 1, &err),
        err);
    CHECK_OK(store_commit(w->store, &err), err);
    CHECK_U64(status_of(w, VIEW_ARR(drawn)), V_OCSP_CERTSTATUS_REVOKED);
    CHECK_U64(status_of(w, VIEW_ARR(never)), V_OCSP_CERTSTATUS_UNKNOWN);
    CHECK(world_audited(w, "certificate.issued", "ocsp") == 1); /* its signer, once */
    world_pass(w, 2 * DAY_MS);
    CHECK_U64(status_of(w, VIEW_ARR(never)), V_OCSP_CERTSTATUS_UNKNOWN);
    CHECK(world_audited(w, "certificate.issued", "ocsp") == 2);
}

TEST(a_request_in_a_url_is_found_whatever_happened_to_it_on_the_way)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    /* its base64 has two slashes in a row, and a plus */
    static const uint8_t serial[17] = { 0x3f, 0xff, 0xff, 0xff, 0xff, 0xfb, 0xef, 0xbe, 0xff,
                                        0xff, 0xff, 0xfb, 0xef, 0xbe, 0xfb, 0xef, 0xbe };
    _buf_ request = ask_about(w, VIEW_ARR(serial)), text = { 0 }, path = { 0 };
    struct err err;
    char *slashes;

    CHECK_OK(store_begin(w->store, &err), err);
    CHECK_OK(
        store_serial_reserve(w->store, VIEW_ARR(serial), peer->id, VIEW_ARR(peer->spki), 1, &err),
        err);
    CHECK_OK(store_commit(w->store, &err), err);
    base64_put(&text, buf_view(&request));
    _free_ char *plain = mem_text(buf_cstr(&text));
    CHECK(strstr(plain, "//") && strchr(plain, '+'));
    for (int i = 0; i < 3; i++) {
        struct web_page page = { 0 };
        buf_clear(&path);
        buf_put_text(&path, "/ocsp/");
        for (const char *c = plain; *c; c++)
            if (i == 0 && (*c == '/' || *c == '+' || *c == '='))
                buf_printf(&path, "%%%02X", (unsigned)*c);
            else
                buf_put_u8(&path, (uint8_t)(i == 1 && *c == '+' ? ' ' : *c));
        if (i == 2) { /* one slash of two in a row is lost */
            slashes = strstr(plain, "//");
            size_t at = (size_t)(slashes - plain) + 6;
            memmove(path.data + at, path.data + at + 1, path.len - at - 1);
            path.len--;
        }
        web_serve(w->core, false, buf_view(&path), VIEW(NULL, 0), VIEW_LIT("192.0.2.1"), &page);
        CHECK_U64(status_in(w, buf_view(&page.body)), V_OCSP_CERTSTATUS_REVOKED);
        buf_free(&page.body);
    }
}

TEST(pages_have_their_status_and_type)
{
    static const struct {
        bool is_post;
        const char *path, *type;
        unsigned status;
    } cases[] = {
        { false, "/crl", "application/pkix-crl", 200 },
        { false, "/ca", "application/pkix-cert", 200 },
        { false, "/root", "application/pkix-cert", 200 },
        { false, "/ocsp", "text/plain; charset=utf-8", 405 },
        { false, "/ocsp/", "application/ocsp-response", 200 },
        { false, "/ocsp/%%%", "application/ocsp-response", 200 },
        { false, "/ocsp/AA==", "application/ocsp-response", 200 },
        { false, "/", "text/plain; charset=utf-8", 404 },
        { false, "/crl/", "text/plain; charset=utf-8", 404 },
        { true, "/crl", "text/plain; charset=utf-8", 405 },
        { true, "/ocsp", "application/ocsp-response", 200 },
    };
    _cleanup_(world_freep) struct world *w = world_new(POLICY);

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct web_page page = { 0 };
        web_serve(w->core, cases[i].is_post, view_text(cases[i].path), VIEW(NULL, 0),
                  VIEW_LIT("192.0.2.1"), &page);
        CHECK_U64(page.status, cases[i].status);
        CHECK_STR(page.type, cases[i].type);
        CHECK(page.body.len > 0);
        buf_free(&page.body);
    }
}

TEST(many_revocations_are_taken_in_slices)
{
    enum { MANY = 12000, ALL_LOOKS = 26 /* 500 at a time are signed, then 5000 listed */ };
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    uint8_t serial[17] = { 1 }, spki[HASH_SIZE] = { 0 };
    unsigned n_looks = 1;
    struct err err;

    CHECK_OK(store_begin(w->store, &err), err);
    for (uint32_t i = 0; i < MANY; i++) {
        memcpy(serial + 1, &i, sizeof(i));
        CHECK_OK(
            store_serial_reserve(w->store, VIEW_ARR(serial), "456000", VIEW_ARR(spki), 1, &err),
            err);
        CHECK_OK(store_certificate_put(w->store, VIEW_ARR(serial), VIEW_LIT("x"), 1,
                                       w->wall + HOUR_MS, &err),
                 err);
        CHECK_OK(store_certificate_revoke(w->store, VIEW_ARR(serial), w->wall, 0, &err), err);
    }
    CHECK_OK(store_commit(w->store, &err), err);
    while (!den_core_look(w->core)) {
        CHECK(!is_listed(w, VIEW_ARR(serial)));
        n_looks++;
    }
    CHECK_U64(n_looks, ALL_LOOKS);
    CHECK(is_listed(w, VIEW_ARR(serial)));
    CHECK_U64(world_audited(w, "crl.issued", NULL), 2); /* one for all of them */
}

TEST(a_number_that_could_not_be_kept_is_not_used)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    _cleanup_(world_peer_freep) struct world_peer *peer = world_peer_new(w);
    _cleanup_(store_certificate_deinit) struct store_certificate c = newest(w, peer);
    _buf_ before = buf_dup(den_core_crl(w->core));
    struct err err;

    CHECK_OK(revoke_elsewhere(w, buf_view(&c.serial), &err), err);
    w->cannot_save = true;
    den_core_look(w->core);
    CHECK_VIEW(den_core_crl(w->core), buf_view(&before));
    w->cannot_save = false;
    world_pass(w, 3 * SECOND_MS);
    CHECK(is_listed(w, buf_view(&c.serial)));
}

/* A network that asks without end is slowed down; others, and what costs nothing, are not. */
TEST(ocsp_has_a_rate_for_each_network)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    const struct {
        const char *path, *source;
        unsigned status;
    } then[] = {
        { "/ocsp", "192.0.2.200", 429 },
        { "/ocsp/MAA=", "192.0.2.1", 429 },
        { "/ocsp", "198.51.100.1", 200 },
        { "/crl", "192.0.2.1", 200 },
    };
    unsigned n = 0;

    for (;; n++) {
        struct web_page page = { 0 };
        web_serve(w->core, true, VIEW_LIT("/ocsp"), VIEW_LIT("x"), VIEW_LIT("192.0.2.1"), &page);
        buf_free(&page.body);
        if (page.status != 200)
            break;
    }
    CHECK_U64(n, 500);
    for (size_t i = 0; i < N_ELEMENTS(then); i++) {
        struct web_page page = { 0 };
        bool is_post = strcmp(then[i].path, "/ocsp") == 0;
        web_serve(w->core, is_post, view_text(then[i].path), VIEW_LIT("x"),
                  view_text(then[i].source), &page);
        CHECK_U64(page.status, then[i].status);
        buf_free(&page.body);
    }
    world_pass(w, 100);
    struct web_page page = { 0 };
    web_serve(w->core, true, VIEW_LIT("/ocsp"), VIEW_LIT("x"), VIEW_LIT("192.0.2.1"), &page);
    CHECK_U64(page.status, 200);
    buf_free(&page.body);
}

/* What /health says; its status is *ret_status. */
static struct buf health(struct world *w, unsigned *ret_status)
{
    struct web_page page = { 0 };

    web_serve(w->core, false, VIEW_LIT("/health"), VIEW(NULL, 0), VIEW_LIT("192.0.2.1"), &page);
    *ret_status = page.status;
    buf_put_u8(&page.body, 0);
    return page.body;
}

static void check_health(struct world *w, unsigned wanted, const char *part)
{
    unsigned status;
    _buf_ said = health(w, &status);

    CHECK_U64(status, wanted);
    CHECK(strstr((const char *)said.data, part));
}

TEST(health_tries_what_nobody_else_may_have_tried)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);

    check_health(w, 200, "ok");
    world_pass(w, SECOND_MS);
    world_disk_is_full = true;
    check_health(w, 503, "nothing is signed: ");
    check_health(w, 503, "nothing is signed: "); /* remembered */
    world_disk_is_full = false;
    world_pass(w, SECOND_MS);
    check_health(w, 200, "ok");
    w->cannot_save = true; /* the file beside the store */
    world_pass(w, SECOND_MS);
    check_health(w, 503, "nothing is signed: ");
    w->cannot_save = false;
    world_pass(w, 3 * SECOND_MS);
    check_health(w, 200, "ok");
}

TEST(health_writes_no_more_than_once_a_second)
{
    _cleanup_(world_freep) struct world *w = world_new(POLICY);
    size_t before;

    world_pass(w, SECOND_MS);
    before = world_n_commits;
    for (int i = 0; i < 100; i++)
        check_health(w, 200, "ok");
    CHECK_U64(world_n_commits - before, 1);
}
