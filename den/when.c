/* SPDX-License-Identifier: Apache-2.0 */
#include "den/when.h"

#include "base/clock.h"

#include <glib.h>
#include <stdio.h>

enum { DAY_S = 86400, DAY_MIN = 1440, MAX_ZONE = 64, MAX_STEPS = 64 };

struct when_zone {
    GTimeZone *zone;
};

/* GLib would also take paths, and offsets. */
static bool is_zone_name(struct view name)
{
    bool is_start = true;

    if (name.len == 0 || name.len >= MAX_ZONE)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (is_start && !is_letter)
            return false;
        if (!is_letter && !(c >= '0' && c <= '9') && c != '_' && c != '-' && c != '+' && c != '/')
            return false;
        is_start = c == '/';
    }
    return !is_start;
}

struct when_zone *when_zone_new(struct view name)
{
    _free_ char *text = view_dup_text(name);
    struct when_zone *zone;
    GTimeZone *found;

    found = is_zone_name(name) ? g_time_zone_new_identifier(text) : NULL;
    if (!found)
        return NULL;
    zone = mem_new(struct when_zone);
    zone->zone = found;
    return zone;
}

void when_zone_free(struct when_zone *zone)
{
    if (!zone)
        return;
    g_time_zone_unref(zone->zone);
    free(zone);
}

/* ---- local time ------------------------------------------------------------------------------ */

static int64_t offset_at(const struct when *when, int64_t at /* s */)
{
    gint interval;

    if (!when->zone)
        return 0;
    interval = g_time_zone_find_interval(when->zone->zone, G_TIME_TYPE_UNIVERSAL, at);
    return g_time_zone_get_offset(when->zone->zone, interval);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static bool may_begin_on(const struct when *when, int64_t day)
{
    int64_t weekday = (day % 7 + 7 + 3) % 7; /* 1970 began on a Thursday */

    return day >= when->first && day <= when->last && (when->days >> weekday & 1);
}

/* Minutes since 1970, local, at which the one that is open at the local second `local` ends; false: none is. */
static bool find_end(const struct when *when, int64_t local, int64_t *ret_end)
{
    int64_t day = floor_div(local, DAY_S), minute = (local - day * DAY_S) / 60;
    bool is_over_midnight = when->from >= when->until;

    if (minute >= when->from && (is_over_midnight || minute < when->until) &&
        may_begin_on(when, day))
        *ret_end = (day + is_over_midnight) * DAY_MIN + when->until;
    else if (is_over_midnight && minute < when->until && may_begin_on(when, day - 1))
        *ret_end = day * DAY_MIN + when->until;
    else
        return false;
    return true;
}

/* The second at which clocks show `local` (minutes); where they leap over it, the leap. */
static int64_t from_local(const struct when *when, int64_t local, int64_t near)
{
    int64_t one = local * 60 - offset_at(when, near), two = local * 60 - offset_at(when, one);
    int64_t low, high;

    if (two == one || local * 60 - offset_at(when, two) == two)
        return two;
    low = one < two ? one : two;
    high = one < two ? two : one;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (offset_at(when, middle) == offset_at(when, low))
            low = middle;
        else
            high = middle;
    }
    return high;
}

bool when_is_open(const struct when *when, uint64_t at)
{
    int64_t s = (int64_t)(at / 1000), end;

    return find_end(when, s + offset_at(when, s), &end);
}

static int64_t closes_after(const struct when *when, int64_t s)
{
    int64_t end, at;

    if (!find_end(when, s + offset_at(when, s), &end))
        return s;
    at = from_local(when, end, s);
    return at > s ? at : s + 60; /* clocks are put back: looked at again in a minute */
}

uint64_t when_closes_at(const struct when *when, size_t n, uint64_t at)
{
    int64_t start = (int64_t)(at / 1000), now = start;

    for (unsigned step = 0; step < MAX_STEPS * 24 && now - start <= 7 * DAY_S; step++) {
        int64_t end = now;
        for (size_t i = 0; i < n; i++) {
            int64_t one = closes_after(&when[i], now);
            end = one > end ? one : end;
        }
        if (end == now)
            return now == start ? at : (uint64_t)now * 1000;
        now = end;
    }
    return 0;
}

/* ---- as text --------------------------------------------------------------------------------- */

static bool take_number(struct view *text, size_t digits, unsigned *ret_n)
{
    unsigned n = 0;

    if (text->len < digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        if (text->data[i] < '0' || text->data[i] > '9')
            return false;
        n = 10 * n + (unsigned)(text->data[i] - '0');
    }
    *text = view_sub(*text, digits, text->len);
    *ret_n = n;
    return true;
}

static bool take_char(struct view *text, char c)
{
    if (!text->len || text->data[0] != (uint8_t)c)
        return false;
    *text = view_sub(*text, 1, text->len);
    return true;
}

static bool take_day(struct view *text, unsigned *ret_day)
{
    static const char days[7][4] = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" };

    for (unsigned i = 0; i < 7; i++) {
        if (!view_starts(*text, view_text(days[i])))
            continue;
        *text = view_sub(*text, 3, text->len);
        *ret_day = i;
        return true;
    }
    return false;
}

bool when_read_days(struct view text, uint8_t *ret_days)
{
    unsigned from, until;
    uint8_t days = 0;

    if (!take_day(&text, &from))
        return false;
    until = from;
    if (text.len && (!take_char(&text, '-') || !take_day(&text, &until) || text.len))
        return false;
    for (unsigned day = from;; day = (day + 1) % 7) {
        days = (uint8_t)(days | 1u << day);
        if (day == until)
            break;
    }
    *ret_days = days;
    return true;
}

static bool take_clock(struct view *text, unsigned *ret_minutes)
{
    unsigned hour, minute;

    if (!take_number(text, 2, &hour) || !take_char(text, ':') || !take_number(text, 2, &minute) ||
        minute > 59 || hour * 60 + minute > DAY_MIN)
        return false;
    *ret_minutes = hour * 60 + minute;
    return true;
}

bool when_read_hours(struct view text, unsigned *ret_from, unsigned *ret_until)
{
    unsigned from, until;

    if (!take_clock(&text, &from) || !take_char(&text, '-') || !take_clock(&text, &until) ||
        text.len || from == until || from == DAY_MIN)
        return false;
    *ret_from = from;
    *ret_until = until;
    return true;
}

static bool take_date(struct view *text, int64_t *ret_day)
{
    unsigned year, month, day;
    GDate date;
    GDate epoch;

    if (!take_number(text, 4, &year) || !take_char(text, '-') || !take_number(text, 2, &month) ||
        !take_char(text, '-') || !take_number(text, 2, &day) || year < 1970 || month < 1 ||
        month > 12 || !g_date_valid_dmy((GDateDay)day, (GDateMonth)month, (GDateYear)year))
        return false;
    g_date_clear(&date, 1);
    g_date_clear(&epoch, 1);
    g_date_set_dmy(&date, (GDateDay)day, (GDateMonth)month, (GDateYear)year);
    g_date_set_dmy(&epoch, 1, G_DATE_JANUARY, 1970);
    *ret_day = g_date_days_between(&epoch, &date);
    return true;
}

bool when_read_date(struct view text, int64_t *ret_day)
{
    return take_date(&text, ret_day) && text.len == 0;
}

static bool take_offset(struct view *text, int64_t *ret_minutes)
{
    unsigned minutes;
    bool is_west = text->len && text->data[0] == '-';

    *ret_minutes = 0;
    if (take_char(text, 'Z'))
        return true;
    if ((!take_char(text, '+') && !take_char(text, '-')) || !take_clock(text, &minutes))
        return false;
    *ret_minutes = is_west ? -(int64_t)minutes : (int64_t)minutes;
    return true;
}

/* Behind the seconds: ".25", of which what is less than a millisecond does not count. */
static bool take_fraction(struct view *text, unsigned *ret_ms)
{
    unsigned digit, ms = 0, weight = 100;

    if (!take_char(text, '.') && !take_char(text, ','))
        return true;
    if (!take_number(text, 1, &digit))
        return false;
    do {
        ms += digit * weight;
        weight /= 10;
    } while (take_number(text, 1, &digit));
    *ret_ms = ms;
    return true;
}

/* ":30.25", or nothing. */
static bool take_seconds(struct view *text, unsigned *ret_seconds, unsigned *ret_ms)
{
    return !take_char(text, ':') ||
           (take_number(text, 2, ret_seconds) && *ret_seconds <= 59 && take_fraction(text, ret_ms));
}

bool when_read_instant(struct view text, uint64_t *ret_at)
{
    int64_t day, offset = 0, at;
    unsigned minutes = 0, seconds = 0, ms = 0;

    if (!take_date(&text, &day))
        return false;
    if (text.len &&
        ((!take_char(&text, 'T') && !take_char(&text, ' ')) || !take_clock(&text, &minutes) ||
         !take_seconds(&text, &seconds, &ms) || !take_offset(&text, &offset) || text.len))
        return false;
    at = ((day * DAY_MIN + minutes - offset) * 60 + seconds) * 1000 + ms;
    if (at < 0)
        return false;
    *ret_at = (uint64_t)at;
    return true;
}
