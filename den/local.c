/* SPDX-License-Identifier: Apache-2.0 */
#include "den/local.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    MAX_CONNS = 16,
    MAX_QUESTION = 2 * 1024 * 1024, /* a policy, with its line ends escaped */
    MAX_ANSWER = 8 * 1024 * 1024,
    ASK_FOR = 10000,    /* ms: how long a question may take to come, and an answer to be taken */
    ANSWER_FOR = 60000, /* ms: what this end waits for an answer */
    PATH = 64,
};

struct local {
    struct rpc_loop *loop;
    struct rpc_readable *readable;
    struct list conns;
    size_t n_conns;
    int fd, dir_fd;
    local_serve *serve;
    void *user;
};

struct conn {
    struct list node;
    struct local *local;
    struct rpc_readable *readable; /* NULL: it has asked */
    int fd;
    unsigned long uid;
    uint64_t until;
    struct buf in, out;
};

/* A folder's path may be longer than a socket's can be. */
static bool put_address(int dir_fd, struct sockaddr_un *to)
{
    int n;

    to->sun_family = AF_UNIX;
    n = snprintf(to->sun_path, sizeof(to->sun_path), "/proc/self/fd/%d/" LOCAL_SOCKET, dir_fd);
    return n > 0 && (size_t)n < sizeof(to->sun_path);
}

static void conn_free(struct conn *conn)
{
    list_remove(&conn->node);
    conn->local->n_conns--;
    rpc_readable_free(conn->readable);
    close(conn->fd);
    buf_wipe(&conn->in);
    buf_wipe(&conn->out);
    free(conn);
}

/* ---- answers --------------------------------------------------------------------------------------- */

static void put_error(const struct err *err, struct buf *to)
{
    _buf_ map = { 0 };
    struct err unused;

    rpc_put_map(&map, 1);
    rpc_put_str(&map, "error");
    rpc_put_map(&map, 3);
    rpc_put_str(&map, "code");
    rpc_put_str(&map, err_code_name(err->code));
    rpc_put_str(&map, "cause");
    rpc_put_str(&map, text_is_utf8(view_text(err->text)) ? err->text : "");
    rpc_put_str(&map, "remedy");
    rpc_put_str(&map, err_code_remedy(err->code));
    if (!rpc_json_from_msgpack(buf_view(&map), MAX_ANSWER, to, &unused))
        abort(); /* all of it is ours */
}

static bool read_question(struct view line, struct buf *msgpack, char procedure[64],
                          struct view *ret_body, struct err *err)
{
    static const uint8_t nothing[] = { 0x80 }; /* an empty map */
    struct view name;

    if (!rpc_json_to_msgpack(line, MAX_QUESTION, msgpack, err))
        return err_wrap(err, "a question is a line of JSON");
    if (rpc_value_kind(buf_view(msgpack)) != RPC_MAP || rpc_map_has_duplicates(buf_view(msgpack)) ||
        !rpc_map_text(buf_view(msgpack), "procedure", &name) || name.len >= 64)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "expected {\"procedure\": TEXT, \"body\": {...}}");
    snprintf(procedure, 64, "%.*s", VIEW_FMT(name));
    if (!rpc_map_get(buf_view(msgpack), "body", ret_body))
        *ret_body = VIEW_ARR(nothing);
    return true;
}

static bool answer(struct conn *conn, struct view line, struct err *err)
{
    struct local *local = conn->local;
    char procedure[64];
    _buf_ question = { 0 };
    _buf_wipe_ value = { 0 };
    struct view body;

    if (!read_question(line, &question, procedure, &body, err) ||
        !local->serve(local->user, procedure, conn->uid, body, &value, err))
        return false;
    buf_put_text(&conn->out, "{\"result\":");
    if (!rpc_json_from_msgpack(buf_view(&value), MAX_ANSWER, &conn->out, err)) {
        buf_clear(&conn->out);
        return err_wrap(err, "the answer");
    }
    buf_put_text(&conn->out, "}");
    return true;
}

/* In another thread: who asks and does not read holds up nobody else. */
static void write_out(void *user)
{
    struct conn *conn = user;
    uint64_t until = clock_mono_ms() + ASK_FOR;
    size_t done = 0;

    while (done < conn->out.len && clock_mono_ms() < until) {
        ssize_t n = send(conn->fd, conn->out.data + done, conn->out.len - done,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        struct pollfd p = { .fd = conn->fd, .events = POLLOUT };
        if (n > 0)
            done += (size_t)n;
        else if (n < 0 && errno != EAGAIN && errno != EINTR)
            return;
        else
            poll(&p, 1, 100);
    }
}

static void on_written(void *user)
{
    conn_free(user);
}

static void take_line(struct conn *conn, size_t len)
{
    struct err err = { 0 };

    rpc_readable_free(conn->readable);
    conn->readable = NULL;
    if (!answer(conn, view_sub(buf_view(&conn->in), 0, len), &err))
        put_error(&err, &conn->out);
    buf_put_text(&conn->out, "\n");
    rpc_loop_work(conn->local->loop, write_out, on_written, conn);
}

/* ---- connections ----------------------------------------------------------------------------------- */

static void on_data(void *user)
{
    struct conn *conn = user;
    uint8_t chunk[4096];
    ssize_t n = recv(conn->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    const uint8_t *end;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || conn->in.len + (size_t)n > MAX_QUESTION) {
        conn_free(conn);
        return;
    }
    buf_put(&conn->in, VIEW(chunk, (size_t)n));
    end = memchr(conn->in.data, '\n', conn->in.len);
    if (end)
        take_line(conn, (size_t)(end - conn->in.data));
}

static bool may_ask(int fd, unsigned long *ret_uid)
{
    struct ucred who;
    socklen_t size = sizeof(who);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0)
        return false;
    *ret_uid = who.uid;
    return who.uid == 0 || who.uid == getuid();
}

static void on_conn(void *user)
{
    struct local *local = user;
    int fd = accept4(local->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    unsigned long uid = 0;
    struct conn *conn;
    struct err err;

    if (fd < 0)
        return;
    if (local->n_conns == MAX_CONNS || !may_ask(fd, &uid)) {
        log_event(LOG_WARN, "admin.refused", "uid=%lu at=socket", uid);
        close(fd);
        return;
    }
    conn = mem_new(struct conn);
    *conn =
        (struct conn){ .local = local, .fd = fd, .uid = uid, .until = clock_mono_ms() + ASK_FOR };
    list_append(&local->conns, &conn->node);
    local->n_conns++;
    if (!rpc_readable_new(rpc_loop_native(local->loop), fd, on_data, conn, &conn->readable, &err))
        conn_free(conn);
}

void local_tick(struct local *local)
{
    struct conn *conn;

    if (!local)
        return;
    LIST_EACH(conn, &local->conns, node) {
        if (conn->readable && clock_mono_ms() > conn->until) {
            conn_free(conn);
            return; /* the next one at the next tick */
        }
    }
}

static bool listen_at(struct local *local, const char *dir, struct err *err)
{
    struct sockaddr_un at = { 0 };

    local->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (local->dir_fd < 0)
        return err_errno(err, "%s", dir);
    if (!put_address(local->dir_fd, &at))
        return err_set(err, ERR_SYSTEM, "%s: no place for a socket", dir);
    local->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (local->fd < 0)
        return err_errno(err, "%s/" LOCAL_SOCKET, dir);
    unlinkat(local->dir_fd, LOCAL_SOCKET, 0); /* of one before; the folder's lock is ours */
    /* the mask makes it 0600 from its first moment on: umask(077) is set */
    if (bind(local->fd, (const struct sockaddr *)&at, sizeof(at)) != 0 ||
        fchmodat(local->dir_fd, LOCAL_SOCKET, 0600, 0) != 0 || listen(local->fd, MAX_CONNS) != 0)
        return err_errno(err, "%s/" LOCAL_SOCKET, dir);
    return rpc_readable_new(rpc_loop_native(local->loop), local->fd, on_conn, local,
                            &local->readable, err);
}

bool local_open(struct rpc_loop *loop, const char *dir, local_serve *serve, void *user,
                struct local **ret_local, struct err *err)
{
    struct local *local = mem_new(struct local);

    *local = (struct local){ .loop = loop, .fd = -1, .dir_fd = -1, .serve = serve, .user = user };
    list_init(&local->conns);
    if (!listen_at(local, dir, err)) {
        local_free(local);
        return false;
    }
    *ret_local = local;
    return true;
}

void local_free(struct local *local)
{
    struct conn *conn;

    if (!local)
        return;
    LIST_EACH(conn, &local->conns, node)
        conn_free(conn);
    rpc_readable_free(local->readable);
    if (local->readable)
        unlinkat(local->dir_fd, LOCAL_SOCKET, 0);
    if (local->fd >= 0)
        close(local->fd);
    if (local->dir_fd >= 0)
        close(local->dir_fd);
    free(local);
}

/* ---- the other end -------------------------------------------------------------------------------- */

static void closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static bool connect_to(const char *dir, int fd, struct err *err)
{
    _cleanup_(closep) int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct timeval patience = { .tv_sec = ANSWER_FOR / 1000 };
    struct sockaddr_un to = { 0 };

    if (dir_fd < 0 || fd < 0)
        return err_errno(err, "%s", dir);
    if (!put_address(dir_fd, &to))
        return err_set(err, ERR_SYSTEM, "%s: no place for a socket", dir);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0)
        return errno == ENOENT || errno == ECONNREFUSED
                   ? err_set(err, ERR_DEN_AWAY, "no den is at work in %s", dir)
                   : err_errno(err, "%s/" LOCAL_SOCKET, dir);
    return true;
}

static bool exchange(const char *dir, struct view question, struct buf *answer_to, struct err *err)
{
    _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint8_t chunk[16384];
    ssize_t n;

    if (!connect_to(dir, fd, err))
        return false;
    if (send(fd, question.data, question.len, MSG_NOSIGNAL) != (ssize_t)question.len)
        return err_errno(err, "asking den");
    while ((n = recv(fd, chunk, sizeof(chunk), 0)) > 0 && answer_to->len <= MAX_ANSWER)
        buf_put(answer_to, VIEW(chunk, (size_t)n));
    if (n < 0)
        return errno == EAGAIN ? err_set(err, ERR_TIMEOUT, "den does not answer")
                               : err_errno(err, "asking den");
    return answer_to->len ||
           err_set(err, ERR_SYSTEM, "den hung up without an answer: its log may say why");
}

static bool take_error(struct view error, struct err *err)
{
    struct view code = { 0 }, cause = { 0 };

    rpc_map_text(error, "code", &code);
    rpc_map_text(error, "cause", &cause);
    return err_set(err, err_code_find((const char *)code.data, code.len), "%.*s", VIEW_FMT(cause));
}

bool local_ask(const char *dir, const char *procedure, struct view body, struct buf *ret_value,
               struct err *err)
{
    _buf_wipe_ question = { 0 };
    _buf_wipe_ text = { 0 };
    _buf_wipe_ all = { 0 };
    struct view value;

    buf_printf(&question, "{\"procedure\":\"%s\",\"body\":", procedure);
    if (!body.len)
        buf_put_text(&question, "{}");
    else if (!rpc_json_from_msgpack(body, MAX_QUESTION, &question, err))
        return false;
    buf_put_text(&question, "}\n");
    if (!exchange(dir, buf_view(&question), &text, err))
        return false;
    if (text.data[text.len - 1] == '\n')
        text.len--;
    if (!rpc_json_to_msgpack(buf_view(&text), MAX_ANSWER, &all, err))
        return err_wrap(err, "den's answer");
    if (rpc_map_get(buf_view(&all), "error", &value))
        return take_error(value, err);
    if (!rpc_map_get(buf_view(&all), "result", &value))
        rpc_put_nil(ret_value);
    else
        buf_put(ret_value, value);
    return true;
}
