/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/sas.h"
#include "tests/check.h"

static const uint8_t exporter[32] = { 1, 2, 3 };

static void number(uint8_t to[HASH_SIZE], uint8_t fill)
{
    memset(to, fill, HASH_SIZE);
}

/* Both ends, as far as their openings; what each sent. */
static void commit_both(struct sas *a, struct sas *b)
{
    uint8_t n[HASH_SIZE], from_a[HASH_SIZE], from_b[HASH_SIZE];
    struct err err = { 0 };

    number(n, 0xaa);
    sas_commit(a, n, from_a);
    number(n, 0xbb);
    sas_commit(b, n, from_b);
    CHECK_OK(sas_input(a, VIEW_ARR(from_b), &err), err);
    CHECK_OK(sas_input(b, VIEW_ARR(from_a), &err), err);
    CHECK(!a->is_done && !b->is_done);
}

TEST(both_ends_read_the_same)
{
    struct sas a = { 0 }, b = { 0 };
    char of_a[SAS_TEXT], of_b[SAS_TEXT];
    struct err err = { 0 };

    commit_both(&a, &b);
    CHECK_OK(sas_input(&a, VIEW_ARR(b.ours), &err), err);
    CHECK_OK(sas_input(&b, VIEW_ARR(a.ours), &err), err);
    CHECK(a.is_done && b.is_done);
    sas_text(&a, true, VIEW_ARR(exporter), of_a);
    sas_text(&b, false, VIEW_ARR(exporter), of_b);
    CHECK_STR(of_a, of_b);
    /* python3: sha256(b"warren/1 sas\0" + bytes([1,2,3]) + bytes(29) + b"\xaa"*32 + b"\xbb"*32) */
    CHECK_STR(of_a, "R2R6");
    sas_text(&a, false, VIEW_ARR(exporter), of_b); /* who calls matters */
    CHECK(strcmp(of_a, of_b) != 0);
}

TEST(a_number_chosen_afterwards_is_noticed)
{
    struct sas a = { 0 }, b = { 0 };
    struct err err = { 0 };
    uint8_t other[HASH_SIZE];

    commit_both(&a, &b);
    memcpy(other, b.ours, HASH_SIZE);
    other[31] ^= 1;
    CHECK_ERR(sas_input(&a, VIEW_ARR(other), &err), err, ERR_BAD_WIRE);
    CHECK(!a.is_done);
}

TEST(there_is_one_try)
{
    struct sas a = { 0 }, b = { 0 };
    struct err err = { 0 };

    commit_both(&a, &b);
    CHECK_OK(sas_input(&a, VIEW_ARR(b.ours), &err), err);
    CHECK_ERR(sas_input(&a, VIEW_ARR(b.ours), &err), err, ERR_BAD_WIRE);
    CHECK_ERR(sas_input(&b, view_sub(VIEW_ARR(a.ours), 0, 31), &err), err, ERR_BAD_WIRE);
}
