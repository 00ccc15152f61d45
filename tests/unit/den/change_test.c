/* SPDX-License-Identifier: Apache-2.0 */
/* What a manifest changes against the one before, what the root signs for it, and the files in which both travel. */
#include "base/clock.h"
#include "den/root.h"
#include "tests/check.h"

#define NETWORK "corp.example"

enum { START_S = 1800000000 };

struct net {
    uint64_t now;
    struct pki_ca *root, *fresh;
    struct pki_key *intermediate;
    struct key *login, *sign, *router, *other;
    struct rpc_trust *trust;
};

static bool fine(bool is_fine, const struct err *err)
{
    if (!is_fine)
        check_failed(__FILE__, __LINE__, "%s", err->text);
    return is_fine;
}

static struct pki_ca *root_new(uint64_t now)
{
    struct pki_ca *ca = NULL;
    struct pki_key *key = NULL;
    struct err err = { 0 };

    fine(pki_key_new(PKI_P384, &key, &err) &&
             pki_ca_new_root(NETWORK, now, ROOT_LIFE_MS, key, &ca, &err),
         &err);
    return ca;
}

static struct rpc_trust *copy_of(const struct rpc_trust *trust)
{
    struct rpc_trust *copy = NULL;
    _buf_ bytes = { 0 };
    struct err err = { 0 };

    rpc_trust_save(trust, &bytes);
    fine(rpc_trust_load(buf_view(&bytes), pki_verify_by_cert, &copy, &err), &err);
    return copy;
}

static struct root_order order_of(const struct net *n, enum change_step step, enum change_what what,
                                  struct view pk)
{
    const struct change change = { .step = step, .what = what };
    struct root_order order = {
        .step = step,
        .what = what,
        .network = mem_text(NETWORK),
        .reason = mem_text(""),
        .host = mem_text(""),
        .made_at = n->now,
        .pk = buf_dup(pk),
        .trust = n->trust ? copy_of(n->trust) : NULL,
    };
    struct err err = { 0 };

    if (step == CHANGE_FOUND) {
        order.login_pk = buf_dup(key_public_view(n->login));
        order.sign_pk = buf_dup(key_public_view(n->sign));
    }
    if (change_needs_intermediate(&change))
        fine(pki_csr_new(n->intermediate, &order.csr, &err), &err);
    root_order_write(&order);
    return order;
}

/* Signs and takes it. */
static bool roll(struct net *n, enum change_step step, enum change_what what, struct view pk,
                 struct err *err)
{
    _cleanup_(root_order_deinit) struct root_order order = order_of(n, step, what, pk);
    _cleanup_(root_answer_deinit) struct root_answer answer = { 0 };

    return root_sign(&order, &(struct root_signers){ n->root, n->fresh }, n->now, &answer, err) &&
           root_accept(&n->trust, &order, &answer, n->now, err);
}

static void net_init(struct net *n)
{
    struct err err = { 0 };

    *n = (struct net){ .now = (uint64_t)START_S * 1000,
                       .login = key_new(),
                       .sign = key_new(),
                       .router = key_new(),
                       .other = key_new() };
    n->root = root_new(n->now);
    n->fresh = root_new(n->now);
    fine(pki_key_new(PKI_P256, &n->intermediate, &err), &err);
    fine(roll(n, CHANGE_FOUND, CHANGE_INTERMEDIATE, key_public_view(n->router), &err), &err);
}

static void net_deinit(struct net *n)
{
    pki_ca_free(n->root);
    pki_ca_free(n->fresh);
    pki_key_free(n->intermediate);
    key_free(n->login);
    key_free(n->sign);
    key_free(n->router);
    key_free(n->other);
    rpc_trust_free(n->trust);
}

static struct change_state state_of(const struct net *n)
{
    return change_state_of(n->trust);
}

TEST(a_rollover_goes_through_its_stages_and_back)
{
    static const struct {
        enum change_step step;
        enum change_stage stage;
        size_t n_listed;
        bool is_first_old;
    } moves[] = {
        { CHANGE_STAGE, CHANGE_STAGED, 2, true },     { CHANGE_BACK, CHANGE_NONE, 1, true },
        { CHANGE_STAGE, CHANGE_STAGED, 2, true },     { CHANGE_SWITCH, CHANGE_SWITCHED, 2, false },
        { CHANGE_BACK, CHANGE_STAGED, 2, true },      { CHANGE_RENEW, CHANGE_STAGED, 2, true },
        { CHANGE_SWITCH, CHANGE_SWITCHED, 2, false }, { CHANGE_RETIRE, CHANGE_NONE, 1, false },
    };
    static const enum change_what whats[] = { CHANGE_INTERMEDIATE, CHANGE_ROOT };
    _cleanup_(net_deinit) struct net n;
    struct err err = { 0 };

    net_init(&n);
    for (size_t w = 0; w < N_ELEMENTS(whats); w++) {
        uint8_t old[HASH_SIZE];
        const struct rpc_manifest *m = rpc_trust_manifest(n.trust);
        memcpy(old, (whats[w] == CHANGE_ROOT ? &m->roots : &m->intermediates)->item[0].data,
               HASH_SIZE);
        for (size_t i = 0; i < N_ELEMENTS(moves); i++) {
            n.now += DAY_MS;
            CHECK_OK(roll(&n, moves[i].step, whats[w], VIEW(NULL, 0), &err), err);
            m = rpc_trust_manifest(n.trust);
            const struct rpc_items *items = whats[w] == CHANGE_ROOT ? &m->roots : &m->intermediates;
            CHECK_U64(state_of(&n).stage, moves[i].stage);
            CHECK(moves[i].stage == CHANGE_NONE || state_of(&n).what == whats[w]);
            CHECK_U64(items->n, moves[i].n_listed);
            CHECK(view_eq(items->item[0], VIEW_ARR(old)) == moves[i].is_first_old);
            CHECK_U64(m->issued_at, n.now - MANIFEST_BACKDATE_MS);
            CHECK_U64(m->not_after, m->issued_at + MANIFEST_LIFE_MS);
        }
    }
}

TEST(keys_of_dens_move_and_keep_their_times)
{
    _cleanup_(net_deinit) struct net n;
    struct err err = { 0 };
    struct view pk;

    net_init(&n);
    n.now += DAY_MS;
    CHECK_OK(roll(&n, CHANGE_STAGE, CHANGE_DEN_SIGN, key_public_view(n.other), &err), err);
    CHECK(rpc_trust_den_sign(n.trust, n.now, &pk) && view_eq(pk, key_public_view(n.sign)));
    CHECK(!roll(&n, CHANGE_STAGE, CHANGE_DEN_LOGIN, key_public_view(n.login), &err));
    CHECK_STR(err_code_name(err.code), "already_exists"); /* one rollover at a time */
    CHECK_OK(roll(&n, CHANGE_SWITCH, CHANGE_DEN_SIGN, VIEW(NULL, 0), &err), err);
    CHECK(rpc_trust_den_sign(n.trust, n.now, &pk) && view_eq(pk, key_public_view(n.other)));
    CHECK_U64(rpc_trust_manifest(n.trust)->keys.item[0].from, n.now - MANIFEST_BACKDATE_MS);
    CHECK_U64(rpc_trust_manifest(n.trust)->keys.item[1].from,
              (uint64_t)START_S * 1000 - MANIFEST_BACKDATE_MS);
    CHECK_OK(roll(&n, CHANGE_RETIRE, CHANGE_DEN_SIGN, VIEW(NULL, 0), &err), err);
    CHECK_U64(rpc_trust_manifest(n.trust)->keys.n, 3);
    CHECK_U64(rpc_trust_first_key(n.trust, RPC_KEY_DEN_SIGN, key_public_view(n.sign)), 1);
    CHECK(!roll(&n, CHANGE_STAGE, CHANGE_DEN_LOGIN, key_public_view(n.router), &err));
    CHECK(strstr(err.text, "lists this key")); /* one key has one role */
}

TEST(steps_that_make_no_sense_say_what_comes_instead)
{
    static const struct {
        enum change_step step;
        enum err_code code;
        const char *why;
    } cases[] = {
        { CHANGE_SWITCH, ERR_NOT_FOUND, "nothing is staged" },
        { CHANGE_RETIRE, ERR_NOT_FOUND, "nothing to retire" },
        { CHANGE_BACK, ERR_NOT_FOUND, "nothing to undo" },
        { CHANGE_REMOVE_ROUTER, ERR_NOT_FOUND, "no such router" },
    };
    _cleanup_(net_deinit) struct net n;
    struct change change;
    struct err err = { 0 };

    net_init(&n);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        change = (struct change){ .step = cases[i].step, .pk = key_public_view(n.other) };
        CHECK(!change_check(n.trust, &change, &err));
        CHECK_STR(err_code_name(err.code), err_code_name(cases[i].code));
        CHECK(strstr(err.text, cases[i].why));
    }
    change = (struct change){ .step = CHANGE_REMOVE_ROUTER, .pk = key_public_view(n.router) };
    CHECK(!change_check(n.trust, &change, &err) && strstr(err.text, "only router"));
    CHECK_OK(roll(&n, CHANGE_ADD_ROUTER, CHANGE_INTERMEDIATE, key_public_view(n.other), &err), err);
    CHECK_OK(roll(&n, CHANGE_REMOVE_ROUTER, CHANGE_INTERMEDIATE, key_public_view(n.router), &err),
             err);
    CHECK(!rpc_trust_check_key(n.trust, RPC_KEY_ROUTER, key_public_view(n.router), n.now, &err));
    CHECK_OK(rpc_trust_check_key(n.trust, RPC_KEY_ROUTER, key_public_view(n.other), n.now, &err),
             err);
}

TEST(every_order_and_answer_is_read_as_it_was_written)
{
    _cleanup_(net_deinit) struct net n;
    struct err err = { 0 };

    net_init(&n);
    for (int step = CHANGE_STAGE; step < CHANGE_FOUND; step++) {
        bool is_router = step == CHANGE_ADD_ROUTER || step == CHANGE_REMOVE_ROUTER;
        _cleanup_(root_order_deinit) struct root_order read = { 0 };
        _cleanup_(root_order_deinit) struct root_order order =
            order_of(&n, (enum change_step)step, CHANGE_INTERMEDIATE,
                     is_router ? key_public_view(n.other) : VIEW(NULL, 0));
        CHECK_OK(root_order_read("f", buf_view(&order.text), &read, &err), err);
        CHECK(read.step == order.step && read.what == order.what && read.made_at == order.made_at);
        CHECK_VIEW(buf_view(&read.csr), buf_view(&order.csr));
        CHECK_VIEW(buf_view(&read.pk), buf_view(&order.pk));
        CHECK_VIEW(rpc_trust_manifest_bytes(read.trust), rpc_trust_manifest_bytes(n.trust));
        root_order_write(&read);
        CHECK_VIEW(buf_view(&read.text), buf_view(&order.text));
    }
    _cleanup_(root_order_deinit) struct root_order order =
        order_of(&n, CHANGE_STAGE, CHANGE_ROOT, VIEW(NULL, 0));
    _cleanup_(root_answer_deinit) struct root_answer made = { 0 }, read = { 0 };
    _buf_ text = { 0 }, again = { 0 };
    CHECK_OK(root_sign(&order, &(struct root_signers){ n.root, n.fresh }, n.now, &made, &err), err);
    root_answer_write(&made, &text);
    CHECK_OK(root_answer_read("f", buf_view(&text), &read, &err), err);
    root_answer_write(&read, &again);
    CHECK_VIEW(buf_view(&again), buf_view(&text));
    for (size_t cut = 1; cut < text.len; cut += 97) { /* never a crash, and never taken */
        _cleanup_(root_answer_deinit) struct root_answer part = { 0 };
        struct rpc_trust *before = n.trust;
        if (root_answer_read("f", view_sub(buf_view(&text), 0, cut), &part, &err))
            CHECK(!root_accept(&n.trust, &order, &part, n.now, &err));
        CHECK(n.trust == before);
    }
    CHECK_OK(root_accept(&n.trust, &order, &read, n.now, &err), err);
}

TEST(an_answer_counts_once_for_its_order_and_says_what_was_asked)
{
    _cleanup_(net_deinit) struct net n;
    _cleanup_(root_answer_deinit) struct root_answer answer = { 0 }, late = { 0 };
    struct err err = { 0 };

    net_init(&n);
    _cleanup_(root_order_deinit) struct root_order stage =
        order_of(&n, CHANGE_STAGE, CHANGE_INTERMEDIATE, VIEW(NULL, 0));
    _cleanup_(root_order_deinit) struct root_order renew =
        order_of(&n, CHANGE_RENEW, CHANGE_INTERMEDIATE, VIEW(NULL, 0));
    CHECK(!root_sign(&stage, &(struct root_signers){ n.fresh, NULL }, n.now, &answer, &err));
    CHECK_STR(err_code_name(err.code), "wrong_key"); /* a root that is not listed */
    CHECK_OK(root_sign(&stage, &(struct root_signers){ n.root, NULL }, n.now, &answer, &err), err);
    CHECK_OK(root_sign(&renew, &(struct root_signers){ n.root, NULL }, n.now, &late, &err), err);
    CHECK(!root_accept(&n.trust, &renew, &answer, n.now, &err) && err.code == ERR_STALE);
    memcpy(late.order_hash, answer.order_hash, HASH_SIZE); /* another manifest under its name */
    CHECK(!root_accept(&n.trust, &stage, &late, n.now, &err) && err.code == ERR_BAD_STATEMENT);
    CHECK(!root_accept(&n.trust, &stage, &answer, n.now - DAY_MS, &err));
    CHECK(strstr(err.text, "check the clocks"));
    answer.sigs[0].data[answer.sigs[0].len - 1] ^= 1;
    CHECK(!root_accept(&n.trust, &stage, &answer, n.now, &err) && err.code == ERR_BAD_SIGNATURE);
    answer.sigs[0].data[answer.sigs[0].len - 1] ^= 1;
    CHECK_OK(root_accept(&n.trust, &stage, &answer, n.now, &err), err);
    CHECK(!root_accept(&n.trust, &stage, &answer, n.now, &err) && err.code == ERR_STALE);
    hash_sha256(buf_view(&renew.text), late.order_hash);
    CHECK(!root_accept(&n.trust, &renew, &late, n.now, &err) && err.code == ERR_STALE);
}

TEST(orders_that_are_odd_are_refused_with_file_and_key)
{
    static const struct {
        const char *key, *value, *why;
    } cases[] = {
        { "step", "dance", "step" },   { "what", "everything", "what" },
        { "csr", "zz", "csr" },        { "public_key", "00", "public_key" },
        { "request", "9", "request" }, { "nonsense", "1", "nonsense" },
    };
    _cleanup_(net_deinit) struct net n;
    struct err err = { 0 };

    net_init(&n);
    _cleanup_(root_order_deinit) struct root_order order =
        order_of(&n, CHANGE_STAGE, CHANGE_INTERMEDIATE, VIEW(NULL, 0));
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        _cleanup_(root_order_deinit) struct root_order read = { 0 };
        _buf_ text = { 0 };
        struct view rest = buf_view(&order.text);
        while (rest.len) {
            const uint8_t *end = memchr(rest.data, '\n', rest.len);
            struct view line = view_sub(rest, 0, end ? (size_t)(end - rest.data) + 1 : rest.len);
            _free_ char *start = mem_format("%s =", cases[i].key);
            if (!view_starts(line, view_text(start)))
                buf_put(&text, line);
            rest = view_sub(rest, line.len, rest.len);
        }
        buf_printf(&text, "%s = %s\n", cases[i].key, cases[i].value);
        CHECK(!root_order_read("the-file", buf_view(&text), &read, &err));
        CHECK(strstr(err.text, "the-file") && strstr(err.text, cases[i].why));
    }
}
