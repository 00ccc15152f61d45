/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/json_number.h"
#include "rpc/shortest.h"

#include <locale.h>
#include <math.h>

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

static void put_exponent(struct buf *to, int exponent)
{
    unsigned amount = (unsigned)abs(exponent), unit = amount < 10 ? 1 : amount < 100 ? 10 : 100;

    buf_put_text(to, exponent < 0 ? "e-" : "e");
    for (; unit; unit /= 10)
        buf_put_u8(to, (uint8_t)('0' + amount / unit % 10));
}

static void put_scientific(struct buf *to, const char *digits, size_t n, int exponent)
{
    buf_put_u8(to, (uint8_t)digits[0]);
    if (n > 1) {
        buf_put_u8(to, '.');
        buf_put(to, VIEW(digits + 1, n - 1));
    }
    put_exponent(to, exponent);
}

void rpc_json_put_double(struct buf *to, double number)
{
    char text[24], *digits = text + sizeof(text);
    struct rpc_decimal decimal = rpc_shortest(fabs(number));
    size_t n = 0;
    int exponent;

    do {
        *--digits = (char)('0' + decimal.digits % 10);
        n++;
    } while (decimal.digits /= 10);
    exponent = decimal.exponent + (int)n - 1; /* of the first digit */
    if (signbit(number))
        buf_put_u8(to, '-');
    if (exponent >= MIN_EXPONENT && exponent < MAX_EXPONENT)
        put_digits(to, digits, n, exponent);
    else
        put_scientific(to, digits, n, exponent);
}
