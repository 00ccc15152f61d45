/* SPDX-License-Identifier: Apache-2.0 */
/* A library to preload: all clocks of a program run faster, and the waits that go by them are as much shorter. So that tests of
 * hours take minutes, with the real programs. FASTCLOCK is "RATE MONOTONIC BOOTTIME REALTIME": how fast, and what the three
 * clocks said, in nanoseconds, when it began; programs with the same value agree about the time. A fifth number is how many
 * nanoseconds the program's wall clock is ahead of that. */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { S = 1000000000 };

static long long rate = 1, origin_monotonic, origin_boottime, origin_realtime, ahead;

__attribute__((constructor)) static void read_environment(void)
{
    const char *text = getenv("FASTCLOCK");

    if (!text ||
        sscanf(text, "%lld %lld %lld %lld %lld", &rate, &origin_monotonic, &origin_boottime,
               &origin_realtime, &ahead) < 4 ||
        rate < 1) {
        fprintf(stderr, "fastclock: FASTCLOCK is not four numbers\n");
        abort();
    }
}

static const long long *origin_of(clockid_t clock)
{
    switch (clock) {
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_MONOTONIC_RAW:
        return &origin_monotonic;
    case CLOCK_BOOTTIME:
        return &origin_boottime;
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
        return &origin_realtime;
    default:
        return NULL; /* CPU time is what it is */
    }
}

static long long to_ns(const struct timespec *t)
{
    return (long long)t->tv_sec * S + t->tv_nsec;
}

static struct timespec from_ns(long long ns)
{
    return (struct timespec){ .tv_sec = ns / S, .tv_nsec = ns % S };
}

int clock_gettime(clockid_t clock, struct timespec *to)
{
    const long long *origin = origin_of(clock);
    int rc = (int)syscall(SYS_clock_gettime, clock, to);

    if (rc == 0 && origin)
        *to = from_ns(*origin + (to_ns(to) - *origin) * rate +
                      (origin == &origin_realtime ? ahead : 0));
    return rc;
}

int gettimeofday(struct timeval *restrict to, void *restrict zone)
{
    struct timespec now;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    to->tv_sec = now.tv_sec;
    to->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *to)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (to)
        *to = now.tv_sec;
    return now.tv_sec;
}

static clockid_t timer_clock[1024]; /* of the timer with this descriptor */

int timerfd_create(int clock, int flags)
{
    int fd = (int)syscall(SYS_timerfd_create, clock, flags);

    if (fd >= 0 && fd < 1024)
        timer_clock[fd] = clock;
    return fd;
}

static long long real_wait(long long ns)
{
    return ns > 0 && ns < rate ? 1 : ns / rate;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *old)
{
    const long long *origin = fd >= 0 && fd < 1024 ? origin_of(timer_clock[fd]) : NULL;
    struct itimerspec real = *value;
    long long at = to_ns(&value->it_value);

    if (at && (flags & TFD_TIMER_ABSTIME) && origin)
        at = *origin + (at > *origin ? real_wait(at - *origin) : at - *origin);
    else
        at = real_wait(at);
    real.it_value = from_ns(at);
    real.it_interval = from_ns(real_wait(to_ns(&value->it_interval)));
    return (int)syscall(SYS_timerfd_settime, fd, flags, &real, old);
}

static int real_ms(int ms)
{
    return ms <= 0 ? ms : (int)((ms + rate - 1) / rate);
}

int poll(struct pollfd *fds, nfds_t n, int ms)
{
    return (int)syscall(SYS_poll, fds, n, real_ms(ms));
}

int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *wait, const sigset_t *signals)
{
    struct timespec real;

    if (wait)
        real = from_ns(real_wait(to_ns(wait)));
    return (int)syscall(SYS_ppoll, fds, n, wait ? &real : NULL, signals, sizeof(long));
}

int epoll_pwait(int fd, struct epoll_event *events, int n, int ms, const sigset_t *signals)
{
    return (int)syscall(SYS_epoll_pwait, fd, events, n, real_ms(ms), signals, sizeof(long));
}

int epoll_wait(int fd, struct epoll_event *events, int n, int ms)
{
    return epoll_pwait(fd, events, n, ms, NULL);
}

int nanosleep(const struct timespec *wait, struct timespec *left)
{
    struct timespec real = from_ns(real_wait(to_ns(wait)));

    return (int)syscall(SYS_nanosleep, &real, left);
}
