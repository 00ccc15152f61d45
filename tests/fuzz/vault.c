/* SPDX-License-Identifier: Apache-2.0 */
/* What a den that was taken over can send to its signer. Whatever it sends: an answer that reads, or it is known as junk;
 * the first key of an ID stays its key, and no manifest is signed. */
#include "base/clock.h"
#include "base/log.h"
#include "rpc/rpc.h"
#include "tests/fuzz/fuzz.h"
#include "vault/vault.h"

#define NOW ((uint64_t)1800000000 * 1000)

static const uint8_t netid[HASH_SIZE] = { [0 ... HASH_SIZE - 1] = 1 }, pk[KEY_SIZE] = { 7 };
static struct vault_book *book; /* the vault's */

static void must(bool is)
{
    if (!is)
        abort();
}

static struct vault *found(void)
{
    const uint8_t seed[SEED_SIZE] = { 1 };
    struct pki_key *root_key = NULL, *ca_key = NULL;
    struct pki_ca *root = NULL;
    struct vault_keys keys = { 0 };
    const struct vault_who *who;
    struct err err;

    log_open("fuzz", (enum log_level)(LOG_ERROR + 1));
    must(key_init(&err) && pki_key_new(PKI_P384, &root_key, &err) &&
         pki_ca_new_root("corp.example", NOW, 3650 * DAY_MS, root_key, &root, &err) &&
         pki_key_new(PKI_P256, &ca_key, &err) &&
         pki_ca_new_intermediate(root, "corp.example", NOW, 1000 * DAY_MS, ca_key, &keys.ca, &err));
    pki_ca_free(root);
    keys.sign = key_from_seed(seed);
    book = vault_book_new(VIEW_ARR(netid), "corp.example");
    must(vault_book_claim(book, VIEW_LIT("999999"), VIEW_ARR(pk), NOW, &who) == VAULT_CLAIMED);
    return vault_new(&keys, book, VAULT_ASKED_BY_DEN);
}

/* Nothing but a yes with its content, or a no with code and text. */
static void check_answer(const struct buf *answer)
{
    struct vault_in in = { .rest = buf_view(answer) };
    struct err err = { 0 };

    if (!vault_take_outcome(&in, &err))
        must(err.code != ERR_NONE && vault_end(&in));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vault *vault;
    const struct vault_who *who;
    _buf_ answer = { 0 };

    if (!vault)
        vault = found();
    switch (vault_handle(vault, NOW, VIEW(data, size), &answer)) {
    case VAULT_LEAVES:
    case VAULT_ANSWERED:
        check_answer(&answer);
        break;
    case VAULT_JUNK:
        must(answer.len == 0);
        break;
    case VAULT_BROKEN: /* it is in memory */
        abort();
    }
    who = vault_book_find(book, VIEW_LIT("999999"));
    must(who && view_eq(VIEW_ARR(who->pk), VIEW_ARR(pk)));
    return 0;
}
