/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/json_number.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>

/* Powers of ten that a float64 holds exactly. */
static const double powers[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                 1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
enum { MAX_POWER = N_ELEMENTS(powers) - 1 };

/* The C library writes and reads numbers in the program's language, and libpeer lives in programs
 * of others. The "C" locale is a static object: nothing to free. */
static locale_t plain_numbers(void)
{
    return uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0));
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A text's digits and scale; false when they are more than a float64 holds exactly. */
static bool read_small(struct view text, double *ret_number)
{
    bool is_negative = text.data[0] == '-', is_below_point = false, is_exp_negative = false;
    uint64_t digits = 0;
    int scale = 0, exponent = 0;
    size_t i = is_negative;

    for (; i < text.len && (text.data[i] | 0x20) != 'e'; i++) {
        if (text.data[i] == '.') {
            is_below_point = true;
            continue;
        }
        digits = digits * 10 + (uint64_t)(text.data[i] - '0');
        if (digits >> 53)
            return false;
        scale -= is_below_point;
    }
    for (i++; i < text.len; i++) {
        if (text.data[i] == '-' || text.data[i] == '+')
            is_exp_negative = text.data[i] == '-';
        else if ((exponent = exponent * 10 + (text.data[i] - '0')) > 1000)
            return false;
    }
    scale += is_exp_negative ? -exponent : exponent;
    if (scale > MAX_POWER || scale < -MAX_POWER)
        return false;
    /* One rounding, of two numbers that are exact. */
    *ret_number = scale < 0 ? (double)digits / powers[-scale] : (double)digits * powers[scale];
    if (is_negative)
        *ret_number = -*ret_number;
    return true;
}

const char *rpc_json_read_double(struct view text, double *ret_number)
{
    char copy[RPC_JSON_MAX_DIGITS + 1];
    locale_t before;

    if (text.len > RPC_JSON_MAX_DIGITS)
        return "a number of more than 400 characters";
    if (read_small(text, ret_number))
        return NULL;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    before = plain_numbers();
    *ret_number = strtod(copy, NULL);
    uselocale(before);
    return isfinite(*ret_number) ? NULL : "a number out of range";
}

/* ---- writing --------------------------------------------------------------------------------- */

enum { MIN_EXPONENT = -6, MAX_EXPONENT = 15 }; /* within: written without 'e' */

/* Numbers of at most 15 digits, six of them below the point, as most are: such a text is the only
 * one as short. */
static bool put_small(struct buf *to, double number)
{
    for (unsigned n_below = 0; n_below <= 6; n_below++) {
        double scaled = number * powers[n_below];
        uint64_t digits, unit = (uint64_t)powers[n_below];
        if (scaled >= 1e15)
            return false;
        digits = (uint64_t)(scaled + 0.5);
        if ((double)digits / powers[n_below] != number)
            continue;
        char text[40];
        int len = n_below ? snprintf(text, sizeof(text), "%llu.%0*llu",
                                     (unsigned long long)(digits / unit), (int)n_below,
                                     (unsigned long long)(digits % unit))
                          : snprintf(text, sizeof(text), "%llu.0", (unsigned long long)digits);
        buf_put(to, VIEW(text, (size_t)len));
        return true;
    }
    return false;
}

/* The fewest digits that read back as `number`, without zeros at the end; and the exponent of the
 * first. */
static size_t shortest(double number, char digits[24], int *ret_exponent)
{
    char text[40];
    size_t len = 0;

    for (int n = number < DBL_MIN ? 1 : 15; n <= 17; n++) { /* the smallest hold less */
        snprintf(text, sizeof(text), "%.*e", n - 1, number);
        if (n == 17 || strtod(text, NULL) == number)
            break;
    }
    for (const char *at = text; *at != 'e'; at++) {
        if (*at != '.')
            digits[len++] = *at;
    }
    *ret_exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    while (len > 1 && digits[len - 1] == '0')
        len--;
    return len;
}

static void put_zeros(struct buf *to, int n)
{
    for (; n > 0; n--)
        buf_put_u8(to, '0');
}

static void put_digits(struct buf *to, const char *digits, size_t n, int exponent)
{
    size_t n_above = exponent < 0 ? 0 : (size_t)exponent + 1;

    if (n_above == 0) {
        buf_put_text(to, "0.");
        put_zeros(to, -exponent - 1);
        buf_put(to, VIEW(digits, n));
    } else if (n_above < n) {
        buf_put(to, VIEW(digits, n_above));
        buf_put_u8(to, '.');
        buf_put(to, VIEW(digits + n_above, n - n_above));
    } else {
        buf_put(to, VIEW(digits, n));
        put_zeros(to, (int)(n_above - n));
        buf_put_text(to, ".0");
    }
}

static void put_scientific(struct buf *to, const char *digits, size_t n, int exponent)
{
    buf_put_u8(to, (uint8_t)digits[0]);
    if (n > 1) {
        buf_put_u8(to, '.');
        buf_put(to, VIEW(digits + 1, n - 1));
    }
    buf_printf(to, "e%d", exponent);
}

void rpc_json_put_double(struct buf *to, double number)
{
    char digits[24] = "0";
    int exponent;
    size_t n;

    if (signbit(number)) {
        buf_put_u8(to, '-');
        number = -number;
    }
    if (put_small(to, number))
        return;
    locale_t before = plain_numbers();
    n = shortest(number, digits, &exponent);
    uselocale(before);
    if (exponent >= MIN_EXPONENT && exponent < MAX_EXPONENT)
        put_digits(to, digits, n, exponent);
    else
        put_scientific(to, digits, n, exponent);
}
