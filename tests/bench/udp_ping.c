/* SPDX-License-Identifier: Apache-2.0 */
/* What rtt_us stands beside: N round trips of 64 bytes between two processes over bare UDP on loopback, one blocking call each way.
 * udp_ping N */
#include "base/clock.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGE = 64, WARM_UP = 200 };

static int open_socket(struct sockaddr_in *ret_at)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) < 0)
        exit(1);
    *ret_at = at;
    return fd;
}

static void echo(int fd)
{
    char bytes[MESSAGE];

    while (recv(fd, bytes, sizeof(bytes), 0) == MESSAGE &&
           send(fd, bytes, sizeof(bytes), 0) == MESSAGE)
        ;
    _exit(0);
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

int main(int argc, char **argv)
{
    size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 20000;
    double *samples = mem_resize(NULL, n, sizeof(*samples));
    char bytes[MESSAGE] = { 0 };
    struct sockaddr_in here, there;
    int near = open_socket(&here), far = open_socket(&there);
    pid_t child;

    connect(near, (struct sockaddr *)&there, sizeof(there));
    connect(far, (struct sockaddr *)&here, sizeof(here));
    child = fork();
    if (child == 0)
        echo(far);
    for (size_t i = 0; i < n + WARM_UP; i++) {
        uint64_t begin = clock_mono_ns();

        if (send(near, bytes, sizeof(bytes), 0) != MESSAGE ||
            recv(near, bytes, sizeof(bytes), 0) != MESSAGE)
            return 1;
        if (i >= WARM_UP)
            samples[i - WARM_UP] = (double)(clock_mono_ns() - begin) / 1000;
    }
    kill(child, SIGKILL);
    qsort(samples, n, sizeof(*samples), by_value);
    printf("{\"value\": %.1f, \"p99\": %.1f}\n", samples[n / 2], samples[n * 99 / 100]);
    free(samples);
    return 0;
}
