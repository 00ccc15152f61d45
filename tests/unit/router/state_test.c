/* SPDX-License-Identifier: Apache-2.0 */
/* init, den's answer, accept, load: on real files. */
#include "router/state.h"
#include "base/clock.h"
#include "base/file.h"
#include "tests/unit/router/world.h"

#include <stdio.h>
#include <sys/stat.h>

struct folder {
    struct world *w; /* for its CA; its router is not used */
    char *dir, *answer_path;
    struct rpc_router_request request;
    struct rpc_router_answer answer;
};

static void read_request(struct folder *f)
{
    _free_ char *path = file_path(f->dir, STATE_REQUEST);
    struct err err = { 0 };
    _buf_ text = { 0 };

    CHECK_OK(file_read(path, RPC_MAX_ROUTER_FILE, &text, &err), err);
    CHECK_OK(rpc_router_request_read(path, buf_view(&text), &f->request, &err), err);
}

/* The manifest with this router's key in it: the world's, made anew. */
static void make_trust(struct folder *f, const uint8_t *router_pk, struct buf *ret_bytes)
{
    struct world *w = f->w;
    uint8_t zeros[HASH_SIZE] = { 0 }, intermediate[HASH_SIZE];
    struct rpc_manifest m = {
        .netid = VIEW_ARR(w->netid),
        .network = VIEW_LIT(WORLD_NETWORK),
        .manifest_no = 1,
        .previous = VIEW_ARR(zeros),
        .roots = { { VIEW_ARR(w->netid) }, 1 },
        .intermediates = { { VIEW_ARR(intermediate) }, 1 },
        .keys = { { { RPC_KEY_ROUTER, VIEW(router_pk, KEY_SIZE), WORLD_WALL - DAY_MS,
                      WORLD_WALL + 100 * DAY_MS } },
                  1 },
        .issued_at = WORLD_WALL - DAY_MS,
        .not_after = WORLD_WALL + 300 * DAY_MS,
    };
    _cleanup_(rpc_trust_freep) struct rpc_trust *trust =
        rpc_trust_new(WORLD_NETWORK, w->netid, pki_verify_by_cert);
    struct err err = { 0 };
    struct view sig;
    _buf_ bytes = { 0 };
    _buf_ sig_bytes = { 0 };

    pki_cert_hash(pki_ca_cert(w->intermediate), intermediate);
    rpc_statement_write(RPC_W_MANIFEST, &m, &bytes);
    CHECK_OK(pki_key_sign(pki_ca_key(w->root), buf_view(&bytes), &sig_bytes, &err), err);
    sig = buf_view(&sig_bytes);
    CHECK_OK(rpc_trust_add_root(trust, pki_cert_der(pki_ca_cert(w->root)), &err), err);
    CHECK_OK(rpc_trust_add_manifest(trust, buf_view(&bytes), &sig, 1, &err), err);
    rpc_trust_save(trust, ret_bytes);
}

static void make_certificate(struct folder *f, const char *label, struct view csr_der,
                             struct buf *ret_der)
{
    _cleanup_(pki_csr_freep) struct pki_csr *csr = NULL;
    _cleanup_(pki_cert_freep) struct pki_cert *cert = NULL;
    struct pki_order order = { .profile = strcmp(label, "router") == 0 ? PKI_ROUTER : PKI_PEER,
                               .label = label,
                               .network = WORLD_NETWORK,
                               .now = WORLD_WALL };
    struct err err = { 0 };

    order.life_ms = order.profile == PKI_ROUTER ? 30 * DAY_MS : DAY_MS;
    pki_serial_new(order.serial, &order.serial_len);
    CHECK_OK(pki_csr_read(csr_der, &csr, &err), err);
    CHECK_OK(pki_ca_issue(f->w->intermediate, csr, &order, &cert, &err), err);
    buf_free(ret_der);
    *ret_der = buf_dup(pki_cert_der(cert));
}

/* A router that asked, and den's right answer to it. */
static struct folder folder_new(void)
{
    static unsigned n;
    struct folder f = { .w = world_new() };
    struct err err = { 0 };

    f.dir = mem_format("%s/router%u", check_dir(), n);
    f.answer_path = mem_format("%s/answer%u", check_dir(), n++);
    if (!CHECK(state_init(f.dir, "localhost:7443", "127.0.0.1:0", &err)))
        fprintf(stderr, "# %s\n", err.text);
    read_request(&f);
    f.answer.network = mem_text(WORLD_NETWORK);
    make_trust(&f, f.request.public_key, &f.answer.trust);
    make_certificate(&f, "router", buf_view(&f.request.csr), &f.answer.certificate);
    f.answer.chain = buf_dup(pki_cert_der(pki_ca_cert(f.w->intermediate)));
    return f;
}

static void folder_deinit(struct folder *f)
{
    rpc_router_request_deinit(&f->request);
    rpc_router_answer_deinit(&f->answer);
    world_free(f->w);
    free(f->dir);
    free(f->answer_path);
}
#define _folder_ _cleanup_(folder_deinit) struct folder

static bool accept_it(const struct folder *f, struct err *err)
{
    _buf_ text = { 0 };

    rpc_router_answer_write(&f->answer, &text);
    return file_write(f->answer_path, buf_view(&text), 0600, err) &&
           state_accept(f->dir, f->answer_path, WORLD_WALL, err);
}

TEST(a_router_asks_is_answered_and_starts)
{
    _folder_ f = folder_new();
    _cleanup_(state_deinit) struct state state = { 0 };
    struct err err = { 0 };
    struct stat st;

    CHECK_STR(f.request.host, "localhost:7443");
    CHECK_OK(accept_it(&f, &err), err);
    CHECK_OK(accept_it(&f, &err), err); /* again: nothing changes */
    CHECK_OK(state_load(f.dir, WORLD_WALL, &state, &err), err);
    CHECK_VIEW(key_public_view(state.key), VIEW_ARR(f.request.public_key));
    CHECK_U64(state.n_chain, 2);
    CHECK_VIEW(buf_view(&state.chain[0]), buf_view(&f.answer.certificate));
    CHECK(state.not_after > WORLD_WALL + 29 * DAY_MS);
    for (size_t i = 0; i < 2; i++) {
        _free_ char *path = file_path(f.dir, i ? STATE_KEY : STATE_TLS_KEY);
        CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    }
    CHECK(stat(f.dir, &st) == 0 && (st.st_mode & 0777) == 0700);
}

TEST(answers_that_are_not_for_this_router_are_refused)
{
    _folder_ f = folder_new();
    _cleanup_(pki_key_freep) struct pki_key *other = NULL;
    uint8_t stranger[KEY_SIZE] = { 1 };
    struct err err = { 0 };
    struct buf right;
    _free_ char *trust_path = file_path(f.dir, STATE_TRUST);
    _buf_ csr = { 0 };

    CHECK_OK(pki_key_new(PKI_P256, &other, &err), err);
    CHECK_OK(pki_csr_new(other, &csr, &err), err);

    right = f.answer.trust; /* a manifest without this router's key */
    f.answer.trust = (struct buf){ 0 };
    make_trust(&f, stranger, &f.answer.trust);
    CHECK_ERR(accept_it(&f, &err), err, ERR_UNLISTED_KEY);
    CHECK(strstr(err.text, STATE_KEY) != NULL);
    buf_free(&f.answer.trust);
    f.answer.trust = right;

    make_certificate(&f, "router", buf_view(&csr), &f.answer.certificate); /* for another TLS key */
    CHECK_ERR(accept_it(&f, &err), err, ERR_WRONG_KEY);
    make_certificate(&f, "456000", buf_view(&f.request.csr),
                     &f.answer.certificate); /* a peer's name */
    CHECK_ERR(accept_it(&f, &err), err, ERR_NAME_MISMATCH);
    make_certificate(&f, "router", buf_view(&f.request.csr), &f.answer.certificate);

    free(f.answer.network);
    f.answer.network = mem_text("other.example");
    CHECK_ERR(accept_it(&f, &err), err, ERR_BAD_CONFIG);
    free(f.answer.network);
    f.answer.network = mem_text(WORLD_NETWORK);

    f.answer.trust.data[f.answer.trust.len / 2] ^= 1; /* an altered manifest */
    CHECK(!accept_it(&f, &err));
    f.answer.trust.data[f.answer.trust.len / 2] ^= 1;

    CHECK(!file_exists(trust_path)); /* nothing of all this was installed */
    CHECK_OK(accept_it(&f, &err), err);
}

TEST(another_networks_answer_is_refused_later)
{
    _folder_ f = folder_new();
    _folder_ g = folder_new();
    struct err err = { 0 };

    CHECK_OK(accept_it(&f, &err), err);
    make_certificate(&g, "router", buf_view(&f.request.csr), &g.answer.certificate);
    buf_free(&g.answer.trust);
    make_trust(&g, f.request.public_key, &g.answer.trust);
    free(g.dir);
    g.dir = mem_text(f.dir); /* into the folder of the first */
    CHECK_ERR(accept_it(&g, &err), err, ERR_BAD_PIN);
}

TEST(a_folder_says_what_it_lacks)
{
    _folder_ f = folder_new();
    struct state state = { 0 };
    struct err err = { 0 };

    CHECK_ERR(state_load(check_dir(), WORLD_WALL, &state, &err), err, ERR_NOT_FOUND);
    CHECK(strstr(err_remedy(&err), "`warren-router init` made") != NULL);
    CHECK_ERR(state_load(f.dir, WORLD_WALL, &state, &err), err, ERR_NOT_FOUND);
    CHECK(strstr(err.text, "warren-router accept") != NULL);
    CHECK_ERR(state_init(f.dir, "a:1", "*:1", &err), err, ERR_ALREADY_EXISTS);
}

TEST(exposed_folders_and_keys_are_refused)
{
    static const struct {
        const char *name;
        mode_t bad, good;
    } cases[] = { { "", 0755, 0700 }, { STATE_KEY, 0644, 0600 }, { STATE_TLS_KEY, 0640, 0600 } };
    _folder_ f = folder_new();
    struct err err = { 0 };

    CHECK_OK(accept_it(&f, &err), err);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _free_ char *path = file_path(f.dir, cases[i].name);
        struct state state = { 0 };
        CHECK(chmod(path, cases[i].bad) == 0);
        CHECK_ERR(state_load(f.dir, WORLD_WALL, &state, &err), err, ERR_EXPOSED);
        CHECK(chmod(path, cases[i].good) == 0);
    }
}

TEST(keys_of_netsign_are_kept_in_a_file)
{
    _cleanup_(netkeys_freep) struct netkeys *keys = NULL, *again = NULL;
    _free_ char *path = file_path(check_dir(), STATE_NETKEYS);
    struct err err = { 0 };
    uint8_t pk[3][KEY_SIZE];
    _buf_ records = { 0 };

    random_bytes(pk, sizeof(pk));
    CHECK_OK(state_read_netkeys(check_dir(), &keys, &err), err);
    CHECK(!file_exists(path)); /* who only looks writes nothing */
    netkeys_free(STEAL(keys));
    CHECK_OK(state_open_netkeys(check_dir(), &keys, &err), err);
    CHECK(netkeys_add(keys, VIEW_ARR(pk[0]), &records));
    CHECK(netkeys_add(keys, VIEW_ARR(pk[1]), &records));
    CHECK_OK(
        state_keep_netkeys(check_dir(), view_sub(buf_view(&records), 0, records.len - 1), &err),
        err); /* the power failed */
    CHECK_OK(state_open_netkeys(check_dir(), &again, &err), err);
    CHECK(netkeys_has(again, VIEW_ARR(pk[0])) && !netkeys_has(again, VIEW_ARR(pk[1])));
    buf_clear(&records);
    CHECK(netkeys_add(again, VIEW_ARR(pk[2]), &records));
    CHECK_OK(state_keep_netkeys(check_dir(), buf_view(&records), &err), err);
    netkeys_free(STEAL(again));
    CHECK_OK(state_read_netkeys(check_dir(), &again, &err), err);
    CHECK(netkeys_has(again, VIEW_ARR(pk[0])) && netkeys_has(again, VIEW_ARR(pk[2])));
    CHECK_U64(netkeys_count(again), 2);
    netkeys_free(STEAL(again));
    CHECK_OK(file_write(path, VIEW_LIT("something else, of some length"), 0600, &err), err);
    CHECK_ERR(state_open_netkeys(check_dir(), &again, &err), err, ERR_BAD_CONFIG);
    CHECK(strstr(err.text, STATE_NETKEYS) != NULL);
}

TEST(an_expired_certificate_alone_does_not_stop_it)
{
    _folder_ f = folder_new();
    _cleanup_(state_deinit) struct state state = { 0 };
    struct state none = { 0 };
    struct err err = { 0 };

    CHECK_OK(accept_it(&f, &err), err);
    CHECK_OK(state_load(f.dir, WORLD_WALL + 31 * DAY_MS, &state, &err),
             err); /* den renews it over the network */
    CHECK_U64(state.not_after, 0);
    CHECK_ERR(state_load(f.dir, WORLD_WALL + 101 * DAY_MS, &none, &err), err, ERR_UNLISTED_KEY);
}
