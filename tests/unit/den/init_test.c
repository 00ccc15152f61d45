/* SPDX-License-Identifier: Apache-2.0 */
/* A network from nothing, tokens for it, and a second router: init.c, token.c, manifest.c, router_add.c. */
#include "den/init.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "den/audit.h"
#include "den/folder.h"
#include "den/policy.h"
#include "den/rollover.h"
#include "den/router_add.h"
#include "den/token.h"
#include "pki/pki.h"
#include "tests/check.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct err err;
static const char network[] = "corp.example";

/* What is at stake in one test: a folder of its own, a router's keys and request in it. */
struct scene {
    char *dir, *den, *request;
    struct key *router_key;
    struct pki_key *tls_key;
    struct buf text;
};

static char *write_request(const struct scene *s, const char *name, const char *host,
                           const struct key *key, const struct pki_key *tls_key)
{
    char *path = file_path(s->dir, name);
    _buf_ csr = { 0 };
    _buf_ text = { 0 };

    if (!pki_csr_new(tls_key, &csr, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    rpc_router_request_write(host, buf_view(&csr), key, &text);
    if (!file_write(path, buf_view(&text), 0600, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    return path;
}

static struct scene scene_new(void)
{
    static unsigned n;
    struct scene s = { .dir = mem_format("%s/scene-%u", check_dir(), n++) };

    log_open("init_test", LOG_ERROR);
    if (!file_private_dir(s.dir, &err) || !pki_key_new(PKI_P256, &s.tls_key, &err))
        check_failed(__FILE__, __LINE__, "%s", err.text);
    s.den = file_path(s.dir, "den");
    s.router_key = key_new();
    s.request = write_request(&s, "router.request", "127.0.0.1:8443", s.router_key, s.tls_key);
    return s;
}

static void scene_deinit(struct scene *s)
{
    free(s->dir);
    free(s->den);
    free(s->request);
    key_free(s->router_key);
    pki_key_free(s->tls_key);
    buf_free(&s->text);
}

/* A file to read `text` from; the caller closes it. */
static int fd_of(const char *text)
{
    int fds[2];

    if (pipe(fds) != 0 || write(fds[1], text, strlen(text)) != (ssize_t)strlen(text))
        abort();
    close(fds[1]);
    return fds[0];
}

static bool init_with(struct scene *s, const struct init_order *order, const char *passphrase)
{
    struct init_order filled = *order;
    bool ok;

    filled.dir = filled.dir ? filled.dir : s->den;
    filled.network = filled.network ? filled.network : network;
    filled.request_path = filled.request_path ? filled.request_path : s->request;
    filled.now = clock_wall_ms();
    filled.passphrase_fd = fd_of(passphrase);
    ok = init_network(&filled, &s->text, &err);
    close(filled.passphrase_fd);
    return ok;
}

static bool init(struct scene *s)
{
    const struct init_order order = { 0 };

    return init_with(s, &order, "correct horse\nand what follows is not ours\n");
}

static size_t count_entries(const char *path)
{
    DIR *dir = opendir(path);
    size_t n = 0;

    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

static bool load_config(const struct scene *s, struct den_config *config)
{
    _free_ char *path = file_path(s->den, "den.conf");

    return config_read(path, config, NULL, &err);
}

static bool read_cert(const char *dir, const char *name, struct pki_cert **ret_cert)
{
    _free_ char *path = file_path(dir, name);
    _buf_ pem = { 0 };

    return file_read(path, 65536, &pem, &err) && pki_cert_read_pem(buf_view(&pem), ret_cert, &err);
}

static bool read_answer(const char *path, struct rpc_router_answer *ret_answer)
{
    _buf_ text = { 0 };

    return file_read(path, RPC_MAX_ROUTER_FILE, &text, &err) &&
           rpc_router_answer_read(path, buf_view(&text), ret_answer, &err);
}

TEST(init_makes_private_files)
{
    static const struct {
        const char *name;
        unsigned mode;
    } files[] = {
        { "", 0700 },
        { "root.key", 0600 },
        { "root.pem", 0644 },
        { "intermediate.key", 0600 },
        { "intermediate.pem", 0644 },
        { "login.key", 0600 },
        { "sign.key", 0600 },
        { "trust", 0600 },
        { "den.db", 0600 },
        { "den.anchor", 0600 },
        { "den.conf", 0600 },
        { "policy.yaml", 0600 },
        { "router.answer", 0644 },
        { "router.csr", 0644 },
        { "admin.join", 0600 },
        { "signer.book", 0600 },
        { "signer.numbers", 0600 },
        { "signer.orders", 0600 },
    };
    _cleanup_(scene_deinit) struct scene s = scene_new();

    CHECK_OK(init(&s), err);
    for (size_t i = 0; i < N_ELEMENTS(files); i++) {
        _free_ char *path = file_path(s.den, files[i].name);
        struct stat st = { 0 };
        if (stat(path, &st) != 0 || (st.st_mode & 07777) != files[i].mode)
            check_failed(__FILE__, __LINE__, "%s: mode %04o", path, (unsigned)(st.st_mode & 07777));
    }
    CHECK_U64(count_entries(s.den), N_ELEMENTS(files) - 1 + 2); /* and no others */
    CHECK_U64(count_entries(s.dir), 4); /* den and the request, nothing half-made */
}

TEST(init_prints_the_pin_that_openssl_prints)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _cleanup_(pki_cert_freep) struct pki_cert *root = NULL;
    uint8_t pin[HASH_SIZE];
    _buf_ hex = { 0 };

    CHECK_OK(init(&s), err);
    CHECK_OK(read_cert(s.den, "root.pem", &root), err);
    hash_sha256(pki_cert_der(root), pin);
    text_put_hex(&hex, VIEW_ARR(pin));
    CHECK(strstr(buf_cstr(&s.text), buf_cstr(&hex)));
    CHECK(strstr(buf_cstr(&s.text), "admin.join"));
}

TEST(the_root_key_opens_with_its_passphrase_alone)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _cleanup_(pki_key_freep) struct pki_key *key = NULL, *none = NULL;
    _free_ char *path = file_path(s.den, "root.key");
    _buf_ pem = { 0 };

    CHECK_OK(init(&s), err);
    CHECK_OK(file_read_secret(path, 65536, &pem, &err), err);
    CHECK_ERR(pki_key_read(buf_view(&pem), VIEW(NULL, 0), &none, &err), err, ERR_LOCKED);
    CHECK_ERR(pki_key_read(buf_view(&pem), VIEW_LIT("correct horse\n"), &none, &err), err,
              ERR_BAD_PASSPHRASE);
    CHECK_OK(pki_key_read(buf_view(&pem), VIEW_LIT("correct horse"), &key, &err), err);
}

TEST(the_manifest_lists_exactly_the_keys_in_use)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _cleanup_(config_deinit) struct den_config config = { 0 };
    _cleanup_(rpc_trust_freep) struct rpc_trust *trust = NULL;
    _cleanup_(key_freep) struct key *login = NULL, *sign = NULL;
    _cleanup_(pki_cert_freep) struct pki_cert *root = NULL, *intermediate = NULL;
    uint8_t root_hash[HASH_SIZE], intermediate_hash[HASH_SIZE];
    uint64_t now = clock_wall_ms();
    const struct rpc_manifest *m;

    CHECK_OK(init(&s), err);
    CHECK_OK(load_config(&s, &config), err);
    CHECK_OK(config_check_secrets(&config, &err), err);
    CHECK_OK(folder_load_trust(&config, &trust, &err), err);
    _free_ char *login_path = file_path(s.den, "login.key"),
                *sign_path = file_path(s.den, "sign.key");
    CHECK_OK(key_read(login_path, &login, &err), err);
    CHECK_OK(key_read(sign_path, &sign, &err), err);
    CHECK_OK(rpc_trust_check_key(trust, RPC_KEY_DEN_LOGIN, key_public_view(login), now, &err), err);
    CHECK_OK(rpc_trust_check_key(trust, RPC_KEY_DEN_SIGN, key_public_view(sign), now, &err), err);
    CHECK_OK(rpc_trust_check_key(trust, RPC_KEY_ROUTER, key_public_view(s.router_key), now, &err),
             err);
    CHECK_ERR(rpc_trust_check_key(trust, RPC_KEY_DEN_SIGN, key_public_view(login), now, &err), err,
              ERR_UNLISTED_KEY);
    CHECK_ERR(rpc_trust_check_key(trust, RPC_KEY_ROUTER, key_public_view(s.router_key),
                                  now + 400 * DAY_MS, &err),
              err, ERR_UNLISTED_KEY);

    m = rpc_trust_manifest(trust);
    CHECK_OK(read_cert(s.den, "root.pem", &root), err);
    CHECK_OK(read_cert(s.den, "intermediate.pem", &intermediate), err);
    pki_cert_hash(root, root_hash);
    pki_cert_hash(intermediate, intermediate_hash);
    CHECK_U64(m->manifest_no, 1);
    CHECK_U64(m->keys.n, 3);
    CHECK_U64(m->roots.n, 1);
    CHECK_VIEW(m->roots.item[0], VIEW_ARR(root_hash));
    CHECK_VIEW(m->netid, VIEW_ARR(root_hash));
    CHECK_U64(m->intermediates.n, 1);
    CHECK_VIEW(m->intermediates.item[0], VIEW_ARR(intermediate_hash));
    CHECK(m->not_after - m->issued_at <= 400 * DAY_MS);
}

/* The answer as the router judges it: trust set, its own key, the chain. */
static void check_answer(const char *path, const struct pki_key *tls_key, uint64_t manifest_no)
{
    _cleanup_(rpc_router_answer_deinit) struct rpc_router_answer answer = { 0 };
    _cleanup_(rpc_trust_freep) struct rpc_trust *trust = NULL;
    _cleanup_(pki_trust_freep) struct pki_trust *set = pki_trust_new();
    uint8_t spki[HASH_SIZE];
    struct pki_question question = { .name = "router.corp.example",
                                     .network = network,
                                     .role = PKI_SERVER,
                                     .now = clock_wall_ms(),
                                     .spki = spki };
    struct view root, chain[2];

    CHECK_OK(read_answer(path, &answer), err);
    CHECK_STR(answer.network, network);
    CHECK_OK(rpc_trust_load(buf_view(&answer.trust), pki_verify_by_cert, &trust, &err), err);
    CHECK_U64(rpc_trust_manifest(trust)->manifest_no, manifest_no);
    CHECK(rpc_trust_root(trust, 0, &root));
    CHECK_OK(pki_trust_add_root(set, root, &err), err);
    pki_trust_list_intermediate(set, rpc_trust_manifest(trust)->intermediates.item[0].data);
    CHECK_OK(pki_key_spki_hash(tls_key, spki, &err), err);
    chain[0] = buf_view(&answer.certificate);
    chain[1] = buf_view(&answer.chain);
    CHECK_OK(pki_judge(set, chain, 2, &question, NULL, &err), err);
}

TEST(the_answer_stands_before_the_judge)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _free_ char *path = file_path(s.den, "router.answer");

    CHECK_OK(init(&s), err);
    check_answer(path, s.tls_key, 1);
}

TEST(the_answer_goes_where_it_is_asked_to_and_nowhere_else)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _free_ char *apart = file_path(s.dir, "apart"), *inside = file_path(s.den, "router.answer");
    const struct init_order order = { .answer_path = apart };

    CHECK_OK(init_with(&s, &order, "a secret, long"), err);
    check_answer(apart, s.tls_key, 1);
    CHECK(!file_exists(inside));
}

static bool collect_what(void *user, const struct store_audit *entry)
{
    _buf_ json = { 0 };
    const char *what, *end;

    audit_put_json(entry, &json);
    what = strstr(buf_cstr(&json), "\"what\":\"") + 8;
    end = strchr(what, '"');
    buf_printf(user, "%.*s ", (int)(end - what), what);
    return true;
}

TEST(everything_is_audited_from_the_first_entry)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _cleanup_(config_deinit) struct den_config config = { 0 };
    _cleanup_(store_freep) struct store *store = NULL;
    uint64_t n, bad;
    _buf_ whats = { 0 };

    CHECK_OK(init(&s), err);
    CHECK_OK(load_config(&s, &config), err);
    CHECK_OK(folder_open_store(&config, &store, &err), err);
    CHECK_OK(audit_verify(store, &n, &bad, NULL, &err), err);
    CHECK_U64(bad, 0);
    CHECK_OK(store_audit_each(store, 1, collect_what, &whats, &err), err);
    CHECK_STR(buf_cstr(&whats), "network.created certificate.issued token.created ");
}

TEST(the_first_policy_forbids_everything)
{
    _cleanup_(policy_freep) struct policy *policy = NULL;
    struct policy_decision d;
    struct view chat = VIEW_LIT("chat");

    CHECK_OK(policy_parse("policy.yaml", view_text(init_policy), &policy, NULL, &err), err);
    const struct policy_dial dial = { policy_party("456000", ""), policy_party("123456", ""), &chat,
                                      1, 0 };
    policy_decide(policy, &dial, &d);
    CHECK(d.verdict == POLICY_DENIED);
}

/* A join string's token as den finds it, and the string's own parts. */
static void check_join(struct store *store, struct view text, const char *role, uint64_t uses)
{
    _cleanup_(rpc_join_wipe) struct rpc_join join = { 0 };
    _cleanup_(key_freep) struct key *key = NULL;
    struct store_token token = { 0 };
    enum store_found is;

    CHECK_OK(rpc_join_read(text, &join, &err), err);
    CHECK_STR(join.network, network);
    CHECK_STR(join.hosts[0].host, "127.0.0.1");
    CHECK_U64(join.hosts[0].port, 8443);
    CHECK_U64(join.n_hosts, 1);
    CHECK(join.has_token);
    key = rpc_token_key(join.token);
    CHECK_OK(store_token_find(store, key_public_view(key), &is, &token, &err), err);
    CHECK(is == STORE_FOUND);
    CHECK_STR(token.role, role);
    CHECK_U64(token.uses_left, uses);
}

TEST(join_strings_hold_tokens_that_den_knows)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _free_ char *path = file_path(s.den, "admin.join");
    _cleanup_(config_deinit) struct den_config config = { 0 };
    _cleanup_(store_freep) struct store *den_runs = NULL, *store = NULL;
    _cleanup_(rpc_trust_freep) struct rpc_trust *trust = NULL;
    struct token_order order = { .role = "peer",
                                 .uses = 3,
                                 .life_ms = DAY_MS,
                                 .deed = { .at = 5 },
                                 .router = "127.0.0.1:8443" };
    _buf_ admin = { 0 };
    _buf_ peer = { 0 };

    CHECK_OK(init(&s), err);
    CHECK_OK(load_config(&s, &config), err);
    CHECK_OK(folder_open_store(&config, &den_runs, &err), err);
    CHECK_OK(folder_open_store(&config, &store, &err), err);
    CHECK_OK(folder_load_trust(&config, &trust, &err), err);
    order.trust = trust;
    CHECK_OK(file_read(path, 1024, &admin, &err), err);
    check_join(den_runs, view_sub(buf_view(&admin), 0, admin.len - 1), "admin", 1);
    CHECK_OK(token_new(store, &order, &peer, &err), err);
    check_join(den_runs, buf_view(&peer), "peer", 3);
}

TEST(odd_tokens_are_refused)
{
    static const struct {
        struct token_order order;
        const char *why;
    } cases[] = {
        { { .role = "king", .uses = 1, .router = "a:1" },
          "token: role: expected peer or admin, found \"king\"" },
        { { .role = "peer", .uses = 0, .router = "a:1" },
          "token: uses: expected 1 to 1000000, found 0" },
        { { .role = "peer", .uses = 1000001, .router = "a:1" },
          "token: uses: expected 1 to 1000000, found 1000001" },
        { { .role = "peer", .uses = 1, .life_ms = UINT64_MAX, .router = "a:1" },
          "token: expires: expected at most 3650d, as for the life of devices" },
        { { .role = "peer", .uses = 1, .router = "a" },
          "token: router: expected HOST:PORT, found \"a\"" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _buf_ join = { 0 };
        CHECK_ERR(token_new(NULL, &cases[i].order, &join, &err), err, ERR_INVALID_ARGUMENT);
        CHECK_STR(err.text, cases[i].why);
        CHECK_U64(join.len, 0);
    }
}

/* ---- what is refused, and that nothing is left of it ---------------------------------------------- */

TEST(init_refuses_and_leaves_nothing)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _free_ char *no_folder = file_path(s.dir, "no/such/answer"), *junk = file_path(s.dir, "junk");
    _free_ char *altered = file_path(s.dir, "altered"), *strong = NULL;
    _cleanup_(pki_key_freep) struct pki_key *p384 = NULL;
    _buf_ text = { 0 };
    char *port;

    CHECK_OK(pki_key_new(PKI_P384, &p384, &err), err);
    strong = write_request(&s, "strong", "127.0.0.1:8443", s.router_key, p384);
    const struct {
        struct init_order order;
        const char *passphrase;
        enum err_code code;
        const char *why; /* a part of it */
    } cases[] = {
        { { .network = "Corp.example" },
          "x",
          ERR_INVALID_ARGUMENT,
          "network: expected a name such as corp.example" },
        { { .network = "corp" }, "x", ERR_INVALID_ARGUMENT, "network: expected" },
        { { .dir = "" }, "x", ERR_INVALID_ARGUMENT, "the folder's name is empty" },
        { { .request_path = no_folder }, "x", ERR_NOT_FOUND, "the router's request: " },
        { { .request_path = junk }, "x", ERR_BAD_CONFIG, "junk:1: " },
        { { .request_path = altered }, "x", ERR_BAD_SIGNATURE, "altered" },
        { { .request_path = strong }, "x", ERR_WRONG_KEY, "strong: csr: " },
        { { .answer_path = s.request }, "x", ERR_ALREADY_EXISTS, "nothing was overwritten" },
        { { 0 }, "", ERR_INVALID_ARGUMENT, "passphrase is empty" },
        { { 0 }, "\nsecond line", ERR_INVALID_ARGUMENT, "passphrase is empty" },
        { { 0 }, "too short", ERR_INVALID_ARGUMENT, "the root key has 9 characters" },
        { { .answer_path = no_folder },
          "of the root, long",
          ERR_SYSTEM,
          "no/such/answer" }, /* late: nearly all is made */
    };

    CHECK_OK(file_write(junk, VIEW_LIT("what is this\n"), 0600, &err), err);
    CHECK_OK(file_read(s.request, 65536, &text, &err), err);
    port = strstr((char *)(uintptr_t)buf_cstr(&text), ":8443");
    CHECK(port);
    port[1] = '9';
    CHECK_OK(file_write(altered, buf_view(&text), 0600, &err), err);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        CHECK_ERR(init_with(&s, &cases[i].order, cases[i].passphrase), err, cases[i].code);
        if (!strstr(err.text, cases[i].why))
            check_failed(__FILE__, __LINE__, "\"%s\" does not hold \"%s\"", err.text, cases[i].why);
        CHECK(!file_exists(s.den));
        CHECK_U64(count_entries(s.dir), 2 + 4);
        CHECK_U64(s.text.len, 0);
    }
    CHECK_OK(init(&s), err); /* and none of them was in the way */
}

TEST(init_overwrites_nothing)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _free_ char *path = file_path(s.den, "root.key"),
                *why = mem_format("init: %s is not empty: it holds ", s.den);
    _buf_ before = { 0 };
    _buf_ after = { 0 };

    CHECK_OK(file_private_dir(s.den, &err), err); /* an empty one is no harm */
    CHECK_OK(init(&s), err);
    CHECK_OK(file_read(path, 65536, &before, &err), err);
    CHECK_ERR(init(&s), err, ERR_ALREADY_EXISTS);
    CHECK(strstr(err.text, why));
    CHECK_OK(file_read(path, 65536, &after, &err), err);
    CHECK_VIEW(buf_view(&after), buf_view(&before));
}

TEST(init_leaves_alone_what_stands_where_it_would_work)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _free_ char *work = mem_format("%s.new-%ld", s.den, (long)getpid());
    _free_ char *kept = file_path(work, "kept");
    _free_ char *why =
        mem_format("init: %s exists; nothing was overwritten: remove it, if it is left "
                   "from an init that was killed",
                   work);
    _buf_ back = { 0 };

    CHECK_OK(file_private_dir(work, &err), err);
    CHECK_OK(file_write(kept, VIEW_LIT("kept"), 0600, &err), err);
    CHECK_ERR(init(&s), err, ERR_ALREADY_EXISTS);
    CHECK_STR(err.text, why);
    CHECK_OK(file_read(kept, 16, &back, &err), err);
    CHECK_VIEW(buf_view(&back), VIEW_LIT("kept"));
    CHECK(!file_exists(s.den));
    CHECK(unlink(kept) == 0 && rmdir(work) == 0);
    CHECK(symlink(check_dir(), work) == 0); /* nor does it follow where one leads */
    CHECK_ERR(init(&s), err, ERR_ALREADY_EXISTS);
    CHECK(unlink(work) == 0);
    CHECK_OK(init(&s), err);
}

/* ---- a second router -------------------------------------------------------------------------------- */

static bool add(const struct den_config *config, const char *request, const char *answer,
                const char *passphrase)
{
    struct router_add_order order = {
        .config = config,
        .request_path = request,
        .answer_path = answer,
        .passphrase_fd = fd_of(passphrase),
        .now = clock_wall_ms(),
    };
    _buf_ text = { 0 };
    order.ret_text = &text;
    bool ok = router_add(&order, &err);

    close(order.passphrase_fd);
    return ok;
}

TEST(a_second_router_comes_with_the_next_manifest)
{
    _cleanup_(store_freep) struct store *store = NULL;
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _cleanup_(config_deinit) struct den_config config = { 0 };
    _cleanup_(rpc_trust_freep) struct rpc_trust *trust = NULL;
    _cleanup_(key_freep) struct key *key = key_new();
    _cleanup_(pki_key_freep) struct pki_key *tls_key = NULL;
    _free_ char *request = NULL, *answer = file_path(s.dir, "2.answer"),
                *again = file_path(s.dir, "3.answer");
    uint64_t now = clock_wall_ms();

    CHECK_OK(init(&s), err);
    CHECK_OK(load_config(&s, &config), err);
    CHECK_OK(pki_key_new(PKI_P256, &tls_key, &err), err);
    request = write_request(&s, "2.request", "router2.example:443", key, tls_key);

    CHECK_ERR(add(&config, request, answer, "wrong"), err, ERR_BAD_PASSPHRASE);
    CHECK(!file_exists(answer));
    CHECK_OK(add(&config, request, answer, "correct horse"), err);
    check_answer(answer, tls_key, 2);
    CHECK_OK(folder_open_store(&config, &store, &err), err);
    CHECK_OK(rollover_load_trust(&config, store, &trust, &err), err);
    CHECK_OK(rpc_trust_check_key(trust, RPC_KEY_ROUTER, key_public_view(key), now, &err), err);
    CHECK_OK(rpc_trust_check_key(trust, RPC_KEY_ROUTER, key_public_view(s.router_key), now, &err),
             err);
    CHECK_ERR(add(&config, request, answer, "correct horse"), err, ERR_ALREADY_EXISTS);
    CHECK_OK(add(&config, request, again, ""),
             err); /* a listed key needs no root: only a new certificate */
    check_answer(again, tls_key, 2);
}

TEST(one_command_at_a_time_changes_the_manifest)
{
    _cleanup_(scene_deinit) struct scene s = scene_new();
    _cleanup_(config_deinit) struct den_config config = { 0 };
    _free_ char *answer = file_path(s.dir, "2.answer");
    int lock = -1;

    CHECK_OK(init(&s), err);
    CHECK_OK(load_config(&s, &config), err);
    CHECK_OK(rollover_lock(&config, &lock, &err), err);
    CHECK_ERR(add(&config, s.request, answer, ""), err, ERR_BUSY);
    CHECK(strstr(err.text, "another rollover command runs"));
    close(lock);
    CHECK_OK(add(&config, s.request, answer, ""), err);
}
