/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t read_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t clock_mono_ms(void)
{
    return read_ns(CLOCK_BOOTTIME) / 1000000u;
}

uint64_t clock_mono_us(void)
{
    return read_ns(CLOCK_BOOTTIME) / 1000u;
}

uint64_t clock_mono_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ms(void)
{
    return read_ns(CLOCK_REALTIME) / 1000000u;
}

const char *clock_text(uint64_t ms, char to[CLOCK_TEXT])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;

    if (!gmtime_r(&seconds, &tm) || strftime(to, CLOCK_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(to, CLOCK_TEXT, "-");
    return to;
}

const char *clock_text_ms(uint64_t ms, char to[CLOCK_TEXT])
{
    size_t len = strlen(clock_text(ms, to));

    if (to[len - 1] == 'Z')
        snprintf(to + len - 1, CLOCK_TEXT - len + 1, ".%03uZ", (unsigned)(ms % 1000));
    return to;
}
