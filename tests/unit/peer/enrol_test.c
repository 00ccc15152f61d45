/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/core.h"
#include "tests/check.h"

struct enrolment {
    struct key *identity, *token;
    uint8_t netid[HASH_SIZE], beacon[RPC_BEACON], hash[HASH_SIZE];
    struct buf extra;
};

static void make(struct enrolment *e, bool with_token)
{
    struct err err;

    CHECK(key_init(&err));
    *e = (struct enrolment){ .identity = key_new(), .token = with_token ? key_new() : NULL };
    memset(e->beacon, 5, sizeof(e->beacon));
    const struct enrol_context context = { VIEW_ARR(e->netid), VIEW_ARR(e->beacon), "corp.example",
                                           "alice-laptop",     e->identity,         e->token };
    enrol_put(&context, &e->extra, e->hash);
}

static void enrolment_deinit(struct enrolment *e)
{
    key_free(e->identity);
    key_free(e->token);
    buf_free(&e->extra);
}

static void check_enrolment(bool with_token)
{
    _cleanup_(enrolment_deinit) struct enrolment e;
    struct view list;
    struct rpc_fields f;
    struct rpc_enrol enrol;
    struct err err;
    size_t len;

    make(&e, with_token);
    CHECK_OK(rpc_walk(buf_view(&e.extra), &len, &err), err);
    CHECK_U64(len, e.extra.len);
    CHECK(rpc_map_get(buf_view(&e.extra), "enrol", &list));
    rpc_fields_open(&f, list);
    struct view bytes = rpc_fields_bin(&f, "E", RPC_MAX_STATEMENT),
                sig = rpc_fields_fixed(&f, "sig", SIG_SIZE);
    struct view token_sig = rpc_fields_bin_or_nil(&f, "token_sig", SIG_SIZE);
    CHECK_OK(rpc_fields_end(&f, &err), err);
    CHECK_OK(rpc_statement_open(RPC_W_ENROL, key_public_view(e.identity), bytes, sig, &enrol, &err),
             err);
    CHECK_VIEW(enrol.client_pk, key_public_view(e.identity));
    CHECK_VIEW(enrol.beacon, VIEW_ARR(e.beacon));
    CHECK_VIEW(enrol.host, VIEW_LIT("alice-laptop"));
    CHECK_U64(token_sig.len, with_token ? SIG_SIZE : 0);
    if (with_token)
        CHECK(key_verify(enrol.token_pk, bytes, token_sig) &&
              view_eq(enrol.token_pk, key_public_view(e.token)));

    uint8_t hash[HASH_SIZE];
    hash_sha256(bytes, hash);
    CHECK_VIEW(VIEW_ARR(e.hash), VIEW_ARR(hash));
}

TEST(an_enrolment_is_signed_by_the_identity_and_by_the_token)
{
    check_enrolment(true);
}

TEST(an_enrolment_without_token_has_no_second_signature)
{
    check_enrolment(false);
}

TEST(only_the_answer_to_our_own_enrolment_is_an_admission)
{
    static const uint8_t ours[HASH_SIZE] = { 1 }, theirs[HASH_SIZE] = { 2 };
    static const struct view carried = VIEW_LIT("what we carry"), fresh = VIEW_LIT("another");
    const struct {
        const char *id;
        const uint8_t *enrol_hash;
        struct view bytes, a_id, a_hash;
        const char *why; /* NULL: good */
    } cases[] = {
        { "", ours, fresh, VIEW_LIT("456000"), VIEW_ARR(ours), NULL },
        { "", ours, fresh, VIEW_LIT("456000"), VIEW_ARR(theirs),
          "admission: answers another enrolment than ours" },
        { "",
          ours,
          fresh,
          VIEW_LIT("456000"),
          { NULL, 0 },
          "admission: answers another enrolment than ours" },
        { "456000", NULL, carried, VIEW_LIT("456000"), VIEW_ARR(theirs), NULL },
        { "456000", NULL, fresh, VIEW_LIT("456000"), { NULL, 0 }, NULL },
        { "456000", NULL, fresh, VIEW_LIT("456000"), VIEW_ARR(theirs),
          "admission: answers an enrolment that we did not send" },
        { "456000", ours, fresh, VIEW_LIT("456000"), VIEW_ARR(ours), NULL },
        { "456000", ours, fresh, VIEW_LIT("123456"), VIEW_ARR(ours),
          "admission: gives the ID 123456, but ours is 456000" },
        { "456000", NULL, carried, VIEW_LIT("123456"), VIEW_ARR(ours),
          "admission: gives the ID 123456, but ours is 456000" },
    };

    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        const struct enrol_wanted wanted = { cases[i].id, cases[i].enrol_hash, carried };
        const struct rpc_admission a = { .id = cases[i].a_id, .enrol_hash = cases[i].a_hash };
        struct err err = { 0 };

        CHECK(enrol_check(&wanted, cases[i].bytes, &a, &err) == !cases[i].why);
        CHECK_STR(err.text, cases[i].why ? cases[i].why : "");
    }
}

TEST(the_host_text_is_plain)
{
    char host[65];

    enrol_host_text(host);
    CHECK(strlen(host) <= 64);
    for (size_t i = 0; host[i] != '\0'; i++)
        CHECK(strchr("abcdefghijklmnopqrstuvwxyz0123456789-.", host[i]) != NULL);
}
