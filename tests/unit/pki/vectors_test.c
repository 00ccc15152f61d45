/* SPDX-License-Identifier: Apache-2.0 */
/* Other people's vectors: x509-limbo's chains, Wycheproof's signatures. */
#include "base/file.h"
#include "base/text.h"
#include "pki/batch.h"
#include "rpc/json.h"
#include "rpc/rpc.h"
#include "tests/check.h"
#include "tests/unit/pki/limbo.h"

#include <stdio.h>

enum {
    MAX_FILE = 16 * 1024 * 1024,
    GOOD_SERVERS = 28 /* that were accepted when this was written */
};

static void tell(struct view id, bool is_good, const char *why)
{
    if (!is_good && !why)
        printf("# false accept: %.*s\n", VIEW_FMT(id));
}

TEST(no_bad_chain_of_limbo_is_accepted)
{
    _free_ char *path = check_vectors("limbo/limbo.json");
    struct limbo_totals totals[2] = { 0 };
    struct err err = { 0 };

    if (!path)
        return;
    CHECK_OK(limbo_run(path, tell, totals, &err), err);
    CHECK(totals[PKI_SERVER].n_bad > 100 && totals[PKI_CLIENT].n_bad > 0);
    CHECK_U64(totals[PKI_SERVER].n_bad_taken, 0);
    CHECK_U64(totals[PKI_CLIENT].n_bad_taken, 0);
    CHECK(totals[PKI_SERVER].n_good_taken >= GOOD_SERVERS);
    CHECK_U64(totals[PKI_CLIENT].n_good_taken, totals[PKI_CLIENT].n_good);
}

/* ---- signatures -------------------------------------------------------------------------- */

typedef bool verify_fn(struct view key, struct view bytes, struct view sig);

static struct buf unhex(struct view map, const char *key)
{
    struct buf bytes = { 0 };
    struct view hex = { 0 };

    if (!rpc_map_text(map, key, &hex) || hex.len % 2 != 0 ||
        !text_read_hex(hex, buf_grow(&bytes, hex.len / 2), hex.len / 2))
        check_failed(__FILE__, __LINE__, "%s: not hexadecimal", key);
    return bytes;
}

static void try_signature(struct view key, struct view test, verify_fn *verify)
{
    _buf_ msg = unhex(test, "msg"), sig = unhex(test, "sig");
    struct view result = { 0 };
    uint64_t id = 0;

    rpc_map_text(test, "result", &result);
    rpc_map_u64(test, "tcId", &id);
    if (verify(key, buf_view(&msg), buf_view(&sig)) != view_eq_text(result, "valid"))
        check_failed(__FILE__, __LINE__, "signature %llu is %.*s", (unsigned long long)id,
                     VIEW_FMT(result));
}

static unsigned try_group(struct view group, const char *key_name, verify_fn *verify)
{
    struct view holder = group, tests;
    struct rpc_fields list;
    unsigned n = 0;

    if (strcmp(key_name, "pk") == 0 && !rpc_map_get(group, "publicKey", &holder))
        return 0;
    _buf_ key = unhex(holder, key_name);
    if (!rpc_map_get(group, "tests", &tests))
        return 0;
    for (rpc_fields_open(&list, tests); rpc_fields_more(&list); n++)
        try_signature(buf_view(&key), rpc_fields_value(&list, "test"), verify);
    return n;
}

static void try_file(const char *name, const char *key_name, verify_fn *verify)
{
    _free_ char *path = check_vectors(name);
    _buf_ text = { 0 }, value = { 0 };
    struct rpc_fields list;
    struct err err = { 0 };
    struct view groups;
    unsigned n = 0;

    if (!path)
        return;
    CHECK_OK(file_read(path, MAX_FILE, &text, &err), err);
    CHECK_OK(rpc_json_to_msgpack(buf_view(&text), MAX_FILE, &value, &err), err);
    CHECK(rpc_map_get(buf_view(&value), "testGroups", &groups));
    rpc_fields_open(&list, groups);
    while (rpc_fields_more(&list))
        n += try_group(rpc_fields_value(&list, "group"), key_name, verify);
    CHECK(n > 100);
}

static bool verify_p256(struct view key, struct view bytes, struct view sig)
{
    struct err err;

    return pki_verify_by_spki(key, bytes, sig, &err);
}

/* Among others, which are right and stay so. */
static bool verify_together(struct view key, struct view bytes, struct view sig)
{
    static struct buf own_spki, own_sig;
    _cleanup_(pki_batch_freep) struct pki_batch *batch = pki_batch_new(VIEW(NULL, 0));
    _cleanup_(pki_key_freep) struct pki_key *own = NULL;
    uint8_t hash[HASH_SIZE], own_hash[HASH_SIZE];
    bool is[5] = { false };
    struct err err = { 0 };
    bool is_added;

    pki_hash(VIEW_LIT("ours"), own_hash);
    if (!own_spki.len) {
        CHECK(pki_key_new(PKI_P256, &own, &err) && pki_key_spki(own, &own_spki, &err) &&
              pki_key_sign(own, VIEW_LIT("ours"), &own_sig, &err));
    }
    pki_hash(bytes, hash);
    CHECK(pki_batch_add(batch, buf_view(&own_spki), VIEW_ARR(own_hash), buf_view(&own_sig)));
    is_added = pki_batch_add(batch, key, VIEW_ARR(hash), sig);
    CHECK(pki_batch_add(batch, buf_view(&own_spki), VIEW_ARR(hash), buf_view(&own_sig)));
    CHECK(pki_batch_add(batch, buf_view(&own_spki), VIEW_ARR(own_hash), buf_view(&own_sig)));
    CHECK_U64(pki_batch_count(batch), 3 + is_added);
    CHECK(!pki_batch_verify(batch, is)); /* the third one is over something else */
    CHECK(is[0] && !is[1 + is_added] && is[2 + is_added]);
    CHECK(pki_batch_verify(batch, is)); /* none */
    return is_added && is[1];
}

TEST(ed25519_signatures_are_judged_as_wycheproof_judges_them)
{
    try_file("wycheproof/ed25519_test.json", "pk", key_verify);
}

TEST(ecdsa_signatures_are_judged_as_wycheproof_judges_them)
{
    try_file("wycheproof/ecdsa_secp256r1_sha256_test.json", "publicKeyDer", verify_p256);
    try_file("wycheproof/ecdsa_secp256r1_sha256_test.json", "publicKeyDer", verify_together);
}
