/* SPDX-License-Identifier: Apache-2.0 */
#include "vault/serve.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE = 10000 /* ms: for the rest of a frame that has begun */ };

/* ---- bytes ------------------------------------------------------------------------------------------------ */

static bool is_ready(int fd, short what)
{
    struct pollfd p = { .fd = fd, .events = what };
    int n;

    do
        n = poll(&p, 1, PATIENCE);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

static bool take(int fd, uint8_t *to, size_t len)
{
    while (len) {
        ssize_t n = is_ready(fd, POLLIN) ? recv(fd, to, len, 0) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        to += n;
        len -= (size_t)n;
    }
    return true;
}

static bool give(int fd, struct view bytes)
{
    while (bytes.len) {
        ssize_t n = is_ready(fd, POLLOUT) ? send(fd, bytes.data, bytes.len, MSG_NOSIGNAL) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = VIEW(bytes.data + n, bytes.len - (size_t)n);
    }
    return true;
}

/* ---- frames ------------------------------------------------------------------------------------------------- */

enum step { STEP_ON, STEP_CLOSE, STEP_LEAVE, STEP_BROKEN };

static enum step junk(const char *what)
{
    log_event(LOG_WARN, "signer.junk", "cause=%s", log_quote_text(what));
    return STEP_CLOSE;
}

/* Its kind bounds it before there is room for it. */
static enum step read_frame(int fd, struct buf *to)
{
    uint8_t head[VAULT_HEAD + 1];
    struct view rest = VIEW(head, VAULT_HEAD);
    uint32_t len = 0;

    if (!take(fd, head, sizeof(head)))
        return STEP_CLOSE;
    view_take_u32(&rest, &len);
    if (len == 0 || len > vault_max_request(head[VAULT_HEAD]))
        return junk(vault_max_request(head[VAULT_HEAD]) ? "a frame that is too large"
                                                        : "a frame of no known kind");
    buf_clear(to);
    buf_put_u8(to, head[VAULT_HEAD]);
    return len == 1 || take(fd, buf_grow(to, len - 1), len - 1) ? STEP_ON : STEP_CLOSE;
}

static enum step answer(struct vault *vault, int fd)
{
    _buf_ request = { 0 }, to = { 0 };
    enum vault_outcome outcome;
    enum step step = read_frame(fd, &request);

    if (step != STEP_ON)
        return step;
    buf_put_u32(&to, 0);
    outcome = vault_handle(vault, clock_wall_ms(), buf_view(&request), &to);
    switch (outcome) {
    case VAULT_BROKEN:
        return STEP_BROKEN;
    case VAULT_JUNK:
        return junk("a frame that is no request");
    case VAULT_ANSWERED:
    case VAULT_LEAVES:
        break;
    }
    for (size_t i = 0; i < VAULT_HEAD; i++)
        to.data[i] = (uint8_t)((to.len - VAULT_HEAD) >> (24 - 8 * i));
    if (outcome == VAULT_LEAVES) {
        give(fd, buf_view(&to));
        log_event(LOG_INFO, "signer.leaves", "cause=new_keys");
        return STEP_LEAVE;
    }
    return give(fd, buf_view(&to)) ? STEP_ON : STEP_CLOSE;
}

/* ---- connections ---------------------------------------------------------------------------------------------- */

/* One at a time, den's alone: whoever else comes is sent away. */
static void take_conn(struct vault_place *place)
{
    struct ucred who = { .uid = (uid_t)-1 };
    socklen_t size = sizeof(who);
    int fd = accept4(place->listen_fd, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        return;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 || who.uid != place->peer ||
        place->conn_fd >= 0) {
        log_event(LOG_WARN, "signer.not_let_in", "uid=%u pid=%d cause=%s", (unsigned)who.uid,
                  (int)who.pid, who.uid != place->peer ? "another_user" : "one_is_there");
        close(fd);
        return;
    }
    place->conn_fd = fd;
    log_event(LOG_INFO, "signer.connected", "uid=%u pid=%d", (unsigned)who.uid, (int)who.pid);
}

bool vault_serve(struct vault *vault, struct vault_place *place)
{
    for (;;) {
        struct pollfd fds[] = { { .fd = place->conn_fd, .events = POLLIN },
                                { .fd = place->listen_fd, .events = POLLIN } };
        enum step step = STEP_ON;
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[0].revents)
            step = answer(vault, place->conn_fd);
        if (step == STEP_BROKEN)
            return false;
        if (step == STEP_LEAVE || (step == STEP_CLOSE && place->listen_fd < 0))
            return true;
        if (step == STEP_CLOSE) {
            close(place->conn_fd);
            place->conn_fd = -1;
        }
        if (fds[1].revents)
            take_conn(place);
    }
}
