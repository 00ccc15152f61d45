/* SPDX-License-Identifier: Apache-2.0 */
/* A second program of this machine's owner looks at the identity that the first one uses: it cannot hold the state folder, so the first
 * one examines, and tells it over a socket in that folder. A packet is a struct peer_finding, the end is the end. */
#include "peer/errand.h"
#include "peer/examine.h"

#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NAME "doctor"

struct beside {
    struct core *core;
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    int fd, client; /* client: -1 none */
    struct loop_watch *watch;
    bool owner_waits; /* the application asked meanwhile */
};

static bool put_address(const char *dir, struct sockaddr_un *ret)
{
    _free_ char *path = file_path(dir, NAME);

    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    return snprintf(ret->sun_path, sizeof(ret->sun_path), "%s", path) < (int)sizeof(ret->sun_path);
}

static int new_socket(unsigned flags)
{
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | (int)flags, 0);
}

/* ---- the program that is there ---------------------------------------------------------------- */

static void hang_up(struct beside *beside)
{
    if (beside->client >= 0)
        close(beside->client);
    beside->client = -1;
}

/* Its own: other users do not come into the folder, but a folder's rights may change. */
static bool is_owner(int fd)
{
    struct ucred who = { 0 };
    socklen_t len = sizeof(who);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
           (who.uid == geteuid() || who.uid == 0);
}

static void on_client(void *user)
{
    struct beside *beside = user;
    int fd = accept4(beside->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    if (!is_owner(fd) || beside->client >= 0 || beside->core->examine) {
        close(fd);
        return;
    }
    beside->client = fd;
    examine_start(beside->core);
}

void beside_tell(const struct core *core, const struct finding *f)
{
    struct beside *beside = core->beside;

    if (beside && beside->client >= 0) {
        if (send(beside->client, &f->it, sizeof(f->it), MSG_NOSIGNAL) < 0)
            shutdown(beside->client, SHUT_RDWR); /* it went, or does not read */
        return;
    }
    finding_tell(f, core->hub, NULL);
}

void beside_examined(struct core *core)
{
    struct beside *beside = core->beside;

    if (!beside || beside->client < 0) {
        core_event(core, PEER_EVENT_EXAMINED);
        return;
    }
    hang_up(beside);
    if (beside->owner_waits && !core->is_closing) {
        beside->owner_waits = false;
        examine_start(core);
    }
}

void beside_owner_asks(struct core *core)
{
    if (core->beside && core->beside->client >= 0)
        core->beside->owner_waits = true;
    else
        examine_start(core);
}

void beside_begin(struct core *core)
{
    struct beside *beside;
    struct sockaddr_un to;
    int fd;

    if (!put_address(state_dir_of(core->state), &to) || (fd = new_socket(SOCK_NONBLOCK)) < 0)
        return;
    unlink(to.sun_path); /* of a program that crashed: the folder is ours */
    if (bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0 || chmod(to.sun_path, 0600) < 0 ||
        listen(fd, 1) < 0) {
        close(fd);
        return;
    }
    beside = mem_new(struct beside);
    core->beside = beside;
    beside->core = core;
    beside->fd = fd;
    beside->client = -1;
    memcpy(beside->path, to.sun_path, sizeof(beside->path));
    beside->watch = loop_watch_new(core->loop, fd, on_client, beside);
    loop_watch_set(beside->watch, LOOP_READ);
}

void beside_end(struct core *core)
{
    struct beside *beside = STEAL(core->beside);

    if (!beside)
        return;
    hang_up(beside);
    loop_watch_free(beside->watch);
    close(beside->fd);
    unlink(beside->path);
    free(beside);
}

/* ---- the other one ----------------------------------------------------------------------------- */

static int ask(const char *state_dir, struct err *err)
{
    _free_ char *dir = NULL;
    struct sockaddr_un to;
    int fd;

    if (!state_default_dir(state_dir, &dir, err))
        return -1;
    if (!put_address(dir, &to)) {
        err_set(err, ERR_TOO_LARGE, "the state folder's name is too long for a socket in it");
        return -1;
    }
    fd = new_socket(0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    err_set(err, ERR_BUSY, "the program that uses %s does not answer: %s", dir, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

int peer_examine_beside(const char *state_dir, struct peer_error *ret_error)
{
    struct err err = { 0 };
    int fd = ask(state_dir, &err);

    if (fd < 0)
        errand_put_error(&err, ret_error);
    return fd;
}
