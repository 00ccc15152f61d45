/* SPDX-License-Identifier: Apache-2.0 */
/* Instants as people write them: RFC 3339, 5.6, a plain day, or seconds since 1970. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Exactly `n` digits; -1: there are none. Moves on. */
static int read_digits(const char **at, size_t n)
{
    int number = 0;

    for (size_t i = 0; i < n; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return -1;
        number = 10 * number + (**at - '0');
    }
    return number;
}

static bool read_mark(const char **at, const char *marks)
{
    if (**at == '\0' || !strchr(marks, **at))
        return false;
    (*at)++;
    return true;
}

/* "2027-01-31" */
static bool read_day(const char **at, struct tm *tm)
{
    struct tm day = { .tm_year = read_digits(at, 4) - 1900 };

    if (day.tm_year < 70 || !read_mark(at, "-"))
        return false;
    day.tm_mon = read_digits(at, 2) - 1;
    if (!read_mark(at, "-"))
        return false;
    day.tm_mday = read_digits(at, 2);
    *tm = day;
    return timegm(&day) != -1 && day.tm_mon == tm->tm_mon && day.tm_mday == tm->tm_mday;
}

/* "T12:00:00", with a fraction of the second to pass over */
static bool read_clock(const char **at, struct tm *tm)
{
    if (!read_mark(at, "Tt "))
        return false;
    tm->tm_hour = read_digits(at, 2);
    if (tm->tm_hour < 0 || tm->tm_hour > 23 || !read_mark(at, ":"))
        return false;
    tm->tm_min = read_digits(at, 2);
    if (tm->tm_min < 0 || tm->tm_min > 59 || !read_mark(at, ":"))
        return false;
    tm->tm_sec = read_digits(at, 2);
    if (tm->tm_sec < 0 || tm->tm_sec > 60)
        return false;
    if (read_mark(at, ".") && read_digits(at, 1) < 0)
        return false;
    while (**at >= '0' && **at <= '9')
        (*at)++;
    return true;
}

/* "Z" or "+01:00": seconds to take away */
static bool read_zone(const char **at, int *ret_offset)
{
    int sign = **at == '-' ? -1 : 1, hours, minutes;

    *ret_offset = 0;
    if (read_mark(at, "Zz"))
        return true;
    if (!read_mark(at, "+-"))
        return false;
    hours = read_digits(at, 2);
    if (hours < 0 || hours > 23 || !read_mark(at, ":"))
        return false;
    minutes = read_digits(at, 2);
    *ret_offset = sign * (hours * 3600 + minutes * 60);
    return minutes >= 0 && minutes <= 59;
}

static bool read_seconds(const char *text, uint64_t *ret_ms)
{
    size_t len = strspn(text, "0123456789");
    unsigned long long seconds = strtoull(text, NULL, 10);

    *ret_ms = seconds * 1000;
    return len > 0 && len < 13 && text[len] == '\0' && seconds > 0 &&
           seconds < 253402300800ULL; /* year 10000 */
}

bool cli_read_time(const char *text, uint64_t *ret_ms)
{
    const char *at = text;
    struct tm tm;
    int offset = 0;
    time_t seconds;

    if (read_seconds(text, ret_ms))
        return true;
    if (!read_day(&at, &tm) || (*at != '\0' && (!read_clock(&at, &tm) || !read_zone(&at, &offset))))
        return false;
    seconds = timegm(&tm) - offset;
    *ret_ms = (uint64_t)seconds * 1000;
    return *at == '\0' && seconds > 0;
}
