/* SPDX-License-Identifier: Apache-2.0 */
#include "router/names.h"
#include "tests/check.h"

TEST(a_name_goes_with_its_holder_not_with_the_one_before)
{
    struct names *names = names_new();
    char first, second; /* never looked into */
    struct conn *a = (struct conn *)(void *)&first, *b = (struct conn *)(void *)&second;

    CHECK(!names_find(names, VIEW_LIT("den")));
    names_set(names, VIEW_LIT("den"), a);
    CHECK(names_find(names, VIEW_LIT("den")) == a);
    names_set(names, VIEW_LIT("den"), b);
    names_drop(names, VIEW_LIT("den"), a); /* it has lost it already */
    CHECK(names_find(names, VIEW_LIT("den")) == b);
    names_drop(names, VIEW_LIT("den"), b);
    CHECK(!names_find(names, VIEW_LIT("den")));
    names_free(names);
}
