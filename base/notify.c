/* SPDX-License-Identifier: Apache-2.0 */
#include "base/notify.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A path, or an abstract name, which is written with an @. */
static socklen_t read_address(const char *name, struct sockaddr_un *to)
{
    size_t len = strlen(name);

    if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof(to->sun_path))
        return 0;
    *to = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(to->sun_path, name, len);
    if (name[0] == '@')
        to->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

void notify_say(const char *text)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address;
    socklen_t len = name ? read_address(name, &address) : 0;
    int fd;

    if (!len)
        return;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    (void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address, len);
    close(fd);
}

void notify_reloading(void)
{
    _free_ char *text = mem_format("RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading",
                                   clock_mono_ns() / 1000);

    notify_say(text);
}

uint64_t notify_watchdog(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t us = 0, whose = 0;

    if (!usec || !text_read_u64(view_text(usec), &us))
        return 0;
    if (pid && (!text_read_u64(view_text(pid), &whose) || whose != (uint64_t)getpid()))
        return 0;
    return us ? us / 1000 + (us < 1000) : 0;
}
