/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/shortest.h"
#include "tests/check.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t draw(uint64_t *state)
{
    *state = *state * 6364136223846793005 + 1442695040888963407;
    return *state >> 32 | *state << 32;
}

static double from_bits(uint64_t bits)
{
    double number;

    memcpy(&number, &bits, sizeof(number));
    return number;
}

static double decimal(uint64_t digits, int exponent)
{
    char text[40];

    snprintf(text, sizeof(text), "%llue%d", (unsigned long long)digits, exponent);
    return strtod(text, NULL);
}

/* As "1234e-5". */
static void write_decimal(struct rpc_decimal decimal, char text[40])
{
    snprintf(text, 40, "%llue%d", (unsigned long long)decimal.digits, decimal.exponent);
}

/* What the C library writes with the fewest digits that it reads back; their number. */
static int by_trial(double number, char text[40])
{
    int n = 1;

    do
        snprintf(text, 40, "%.*e", n - 1, number);
    while (n < 17 && strtod(text, NULL) != number && n++);
    return n;
}

static int n_digits(uint64_t digits)
{
    int n = 1;

    while (digits /= 10)
        n++;
    return n;
}

static void check_number(double number)
{
    struct rpc_decimal decimal = rpc_shortest(number);
    char text[40], trial[40], same[40], *end;
    int n = by_trial(number, trial), ours = n_digits(decimal.digits);

    write_decimal(decimal, text);
    if (strtod(text, NULL) != number)
        check_failed(__FILE__, __LINE__, "%s for %s", text, trial);
    if (ours > n)
        check_failed(__FILE__, __LINE__, "%s: %d digits do for %s", text, n, trial);
    snprintf(same, sizeof(same), "%.*e", ours - 1, number);
    end = strchr(trial, 'e');
    if (ours == n && end) { /* the nearest of them */
        char digits[40];
        size_t len = 0;
        for (const char *at = trial; at < end; at++) {
            if (*at != '.')
                digits[len++] = *at;
        }
        digits[len] = '\0';
        CHECK_U64(decimal.digits, strtoull(digits, NULL, 10));
    }
}

TEST(some_that_are_known)
{
    static const struct {
        double number;
        const char *text;
    } rows[] = {
        { 0, "0e0" },
        { 1, "1e0" },
        { 0.1, "1e-1" },
        { 0.3, "3e-1" },
        { 0.1 + 0.2, "30000000000000004e-17" },
        { 1e22, "1e22" },
        { 1e23, "1e23" },
        { 123456, "123456e0" },
        { 9007199254740993.0, "9007199254740992e0" },
        { DBL_MAX, "17976931348623157e292" },
        { DBL_MIN, "22250738585072014e-324" },
        { 5e-324, "5e-324" },
        { 1.5e-323, "15e-324" },
        { 0x1p-44, "5684341886080802e-29" }, /* the number below is nearer than the one above */
        { 2.2250738585072011e-308, "2225073858507201e-323" },
        { 1.0 / 3, "3333333333333333e-16" },
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        char text[40];
        write_decimal(rpc_shortest(rows[i].number), text);
        CHECK_STR(text, rows[i].text);
    }
}

TEST(every_power_of_two_and_its_neighbours)
{
    for (uint64_t exponent = 0; exponent < 2047; exponent++) {
        check_number(from_bits((exponent << 52) + 1));
        if (exponent) {
            check_number(from_bits(exponent << 52));
            check_number(from_bits((exponent << 52) - 1));
        }
    }
}

TEST(every_power_of_ten_and_its_neighbours)
{
    for (int exponent = -323; exponent <= 308; exponent++) {
        double number = decimal(1, exponent);
        uint64_t bits;
        memcpy(&bits, &number, sizeof(bits));
        check_number(number);
        check_number(from_bits(bits - 1));
        check_number(from_bits(bits + 1));
    }
}

TEST(numbers_of_any_size)
{
    uint64_t state = 11;

    for (int i = 0; i < 20000; i++) {
        double number = from_bits(draw(&state) >> 1);
        if (isfinite(number))
            check_number(number);
    }
}

TEST(the_least_numbers)
{
    uint64_t state = 12;

    for (int i = 0; i < 2000; i++)
        check_number(from_bits(1 + (draw(&state) >> (12 + draw(&state) % 50))));
}

TEST(numbers_of_few_digits)
{
    uint64_t state = 13;

    for (int i = 0; i < 20000; i++) {
        uint64_t digits = draw(&state) % 1000000;
        check_number(decimal(digits, (int)(draw(&state) % 50) - 20));
    }
}
