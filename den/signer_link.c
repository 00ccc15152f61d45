/* SPDX-License-Identifier: Apache-2.0 */
#include "den/signer_link.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PATIENCE = 10000,   /* ms, for an answer, while nothing else is held up by that */
    TURNING_FOR = 1000, /* the same while den's loop turns: then it is taken to hang */
    REMEMBERED = 60000, /* how slow it was; so long one that is just slow is given twice of that */
    STUCK_FOR = 10000,  /* a child of ours that hangs so long is ended, and started again */
    LEAST_PAUSE = 100,
    MOST_PAUSE = 30000,
    MOST_TO_REACH = 1000, /* of one that somebody else starts: asking costs nothing */
    CALM = 60000,         /* after so long the next pause is the least again */
    REAP_FOR = 500,
    REAP_TURNING_FOR =
        100, /* the same while the loop turns: then it is looked for again and again */
    CHILD_FD = 3,
    PASSPHRASE_FD = 4,
    PIN_FD = 5,
    N_CHILD_FDS = 3,
};

struct signer_link {
    char *log_format;
    char *socket, *dir;                              /* socket NULL: a child of ours */
    int fd;                                          /* -1: not there */
    pid_t pid;                                       /* 0: none */
    uint64_t generation, opened_at, retry_at, pause; /* mono */
    struct buf passphrase, pin;                      /* for the first one */
    bool is_sealed, has_pin;
    struct buf out, in;           /* not sent yet; came, and not taken yet */
    size_t n_asked;               /* over this connection, their answers not taken yet */
    size_t n_lost;                /* over earlier ones: they have no answer */
    uint64_t waits_at;            /* mono: since when the next answer is awaited */
    uint64_t slowest, slowest_at; /* ms that an answer took of late; mono: when */
    bool is_turning;              /* den's loop: nobody may wait for long */
    bool hangs;        /* its connection is there, and what was asked is not waited for any more */
    size_t n_skipped;  /* questions of those, whose answers may still come: nobody wants them */
    uint64_t hangs_at; /* mono: since when it gave no answer */
    pid_t ending;      /* a child that was killed, and that the kernel still has; 0: none */
};

struct signer_link *signer_link_new(const struct signer_place *place)
{
    struct signer_link *l = mem_new(struct signer_link);

    l->socket = place->socket && *place->socket ? mem_text(place->socket) : NULL;
    l->dir = mem_text(place->dir);
    l->log_format = mem_text(place->log_format ? place->log_format : "text");
    l->fd = -1;
    l->pause = LEAST_PAUSE;
    l->is_sealed = place->secrets.passphrase.len != 0;
    l->passphrase = buf_dup(place->secrets.passphrase);
    l->has_pin = place->secrets.login.pin.len != 0;
    l->pin = buf_dup(place->secrets.login.pin);
    return l;
}

uint64_t signer_link_generation(void *link)
{
    return ((struct signer_link *)link)->generation;
}

/* ---- its end --------------------------------------------------------------------------------------------- */

static void say_status(int status, char *to, size_t size)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        snprintf(to, size, "killed by SIGSYS: a system call that its sandbox forbids");
    else if (WIFSIGNALED(status))
        snprintf(to, size, "killed by signal %d (SIG%s)", WTERMSIG(status),
                 sigabbrev_np(WTERMSIG(status)));
    else
        snprintf(to, size, "it ended with status %d", WEXITSTATUS(status));
}

static pid_t await_end(pid_t pid, uint64_t wait_for, int *ret_status)
{
    uint64_t until = clock_mono_ms() + wait_for;
    pid_t done;

    while ((done = waitpid(pid, ret_status, WNOHANG)) == 0 && clock_mono_ms() < until)
        poll(NULL, 0, 1);
    return done;
}

/* A child that hung up ends by itself; one that does not is made to. One that cannot be killed yet (it is in a disk or a
 * device that does not answer) is not waited for while the loop turns. */
static void reap(struct signer_link *l, char *why, size_t size)
{
    uint64_t wait_for = l->is_turning ? REAP_TURNING_FOR : REAP_FOR;
    int status = 0;
    pid_t done = l->hangs ? 0 : await_end(l->pid, wait_for, &status);

    if (done == 0) {
        kill(l->pid, SIGKILL);
        done = await_end(l->pid, wait_for, &status);
    }
    if (done == l->pid && !l->hangs)
        say_status(status, why, size);
    if (done == 0)
        l->ending = l->pid;
    l->pid = 0;
}

/* It has its book until then: another one could not open that. */
static bool has_ended(struct signer_link *l, struct err *err)
{
    int status;

    if (l->ending && waitpid(l->ending, &status, WNOHANG) == 0)
        return err_set(err, ERR_BUSY,
                       "den's signer (process %d) was killed and does not end: what it waits for, "
                       "a disk or a token, does not answer",
                       (int)l->ending);
    l->ending = 0;
    return true;
}

static void hang_up(struct signer_link *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    l->n_lost += l->n_asked;
    l->n_asked = l->n_skipped = 0;
    l->hangs = false;
    buf_clear(&l->out);
    buf_clear(&l->in);
}

static void lost(struct signer_link *l, const char *what)
{
    char why[128];
    uint64_t now = clock_mono_ms();

    snprintf(why, sizeof(why), "%s", what);
    close(l->fd); /* a child sees that, and ends */
    l->fd = -1;
    if (l->pid)
        reap(l, why, sizeof(why));
    hang_up(l);
    if (now - l->opened_at >= CALM)
        l->pause = LEAST_PAUSE;
    l->retry_at = now + l->pause;
    log_event(LOG_ERROR, "signer.lost", "cause=%s again_in_ms=%" PRIu64, log_quote_text(why),
              l->pause);
    l->pause = min_u64(2 * l->pause, l->socket ? MOST_TO_REACH : MOST_PAUSE);
}

/* Whether whoever starts den has something that den does not keep. */
static bool is_locked(const struct signer_link *l)
{
    return l->is_sealed || l->has_pin;
}

/* False; with what whoever starts den has to bring. */
static bool say_bring(const struct signer_link *l, struct err *err)
{
    return err_advise(
        err,
        l->is_sealed && l->has_pin
            ? "give both: --passphrase-fd N and --pin-fd N, at a terminal, or as the credentials "
              "warren-den.passphrase and warren-den.pin"
        : l->is_sealed
            ? "give it: --passphrase-fd N, at a terminal, or as the credential "
              "warren-den.passphrase"
            : "give the PIN: --pin-fd N, at a terminal, or as the credential warren-den.pin");
}

static const char *lock_of(const struct signer_link *l)
{
    return l->is_sealed ? "under a passphrase" : "in a token with a PIN";
}

/* ---- one that hangs --------------------------------------------------------------------------------------- */

static bool may_restart(const struct signer_link *l)
{
    return l->pid && !is_locked(l);
}

static const char *remedy_of(const struct signer_link *l)
{
    if (l->socket)
        return "see what its process waits for (stopped? a disk or a token that does not answer?), "
               "or restart its service (warren-den-signer)";
    return may_restart(l) ? "see what its process waits for (stopped? a disk or a token that does "
                            "not answer?); den starts another one when it stays so"
                          : "see what its process waits for (stopped? a disk or a token that does "
                            "not answer?), or start den again, with what opens the keys";
}

static bool say_hangs(const struct signer_link *l, struct err *err)
{
    uint64_t s = (clock_mono_ms() - l->hangs_at) / SECOND_MS;

    err_set(err, ERR_BUSY,
            "den's signer has not answered for %" PRIu64
            " s; den's log says what to do (signer.hangs)",
            s);
    return err_advise(err, remedy_of(l));
}

/* What was asked has failed; nothing more is asked until all of it was answered, for nobody. So the answers that come then
 * tell that it goes on, and none is taken for another one's. */
static void give_up(struct signer_link *l)
{
    l->hangs = true;
    l->hangs_at = l->waits_at;
    l->n_skipped = l->n_asked;
    l->n_lost += l->n_asked;
    l->n_asked = 0;
    log_event(LOG_ERROR, "signer.hangs", "no_answer_for_ms=%" PRIu64 " questions=%zu remedy=%s",
              clock_mono_ms() - l->hangs_at, l->n_skipped, log_quote_text(remedy_of(l)));
}

static bool say_not_there(const struct signer_link *l, struct err *err)
{
    err_set(err, ERR_BUSY, "den's signer is not there; it is awaited");
    return l->socket ? err_advise(err, "start its service (warren-den-signer); its log, or "
                                       "signer.not_there in den's, says why it is not there")
                     : false;
}

bool signer_link_is_away(const void *link, struct err *ret_why)
{
    const struct signer_link *l = link;
    bool is_awaited = l->fd < 0 && clock_mono_ms() < l->retry_at;

    if (l->hangs)
        say_hangs(l, ret_why);
    else if (is_awaited)
        say_not_there(l, ret_why);
    return l->hangs || is_awaited;
}

void signer_link_turn(struct signer_link *l)
{
    l->is_turning = true;
}

bool signer_link_may_leave(void *link, struct err *err)
{
    const struct signer_link *l = link;

    if (l->socket || !is_locked(l))
        return true;
    err_set(err, ERR_LOCKED, "den's keys are %s: start warren-den anew with it", lock_of(l));
    return say_bring(l, err);
}

void signer_link_has_left(void *link)
{
    struct signer_link *l = link;
    char why[128];

    hang_up(l);
    if (l->pid)
        reap(l, why, sizeof(why));
    l->retry_at = 0;
    l->pause = LEAST_PAUSE;
}

void signer_link_free(struct signer_link *l)
{
    char why[128];

    if (!l)
        return;
    l->is_turning = false;
    hang_up(l);
    if (l->pid)
        reap(l, why, sizeof(why));
    buf_free(&l->out);
    buf_free(&l->in);
    buf_wipe(&l->passphrase);
    buf_wipe(&l->pin);
    free(l->socket);
    free(l->dir);
    free(l->log_format);
    free(l);
}

void signer_link_free_any(void *link)
{
    signer_link_free(link);
}

/* ---- its beginning --------------------------------------------------------------------------------------- */

/* Beside this program. */
static bool find_program(char **ret_path, struct err *err)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    if (n <= 0)
        return err_errno(err, "/proc/self/exe");
    self[n] = '\0';
    slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    _free_ char *path = file_path(self, "warren-den-signer");
    if (access(path, X_OK) != 0)
        return err_errno(err, "%s, which belongs beside warren-den", path);
    *ret_path = STEAL(path);
    return true;
}

/* After fork(): other threads may hold any lock, so nothing here allocates. The descriptors become 3, 4 and 5. */
static void become(const char *program, char *const *argv, const int fds[N_CHILD_FDS])
{
    int far[N_CHILD_FDS];
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL); /* whatever it writes, it may be killed at any time */
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int i = 0; i < N_CHILD_FDS; i++) /* first out of the way of each other */
        far[i] = fds[i] >= 0 ? fcntl(fds[i], F_DUPFD, CHILD_FD + N_CHILD_FDS) : -1;
    for (int i = 0; i < N_CHILD_FDS; i++) {
        if (fds[i] >= 0 && dup2(far[i], CHILD_FD + i) < 0)
            _exit(127);
        if (fds[i] < 0)
            close(CHILD_FD + i);
    }
    close_range(CHILD_FD + N_CHILD_FDS, ~0U, 0);
    execv(program, argv);
    _exit(127);
}

/* A pipe holds more than the longest passphrase. It is forgotten here. */
static bool put_secret(struct buf *secret, int *ret_fd, struct err *err)
{
    int ends[2];
    bool ok;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_errno(err, "signer");
    ok = write(ends[1], secret->data, secret->len) == (ssize_t)secret->len;
    close(ends[1]);
    buf_wipe(secret);
    if (!ok) {
        close(ends[0]);
        return err_errno(err, "signer");
    }
    *ret_fd = ends[0];
    return true;
}

static bool put_secrets(struct signer_link *l, int fds[N_CHILD_FDS], struct err *err)
{
    if ((l->is_sealed && !l->passphrase.len) || (l->has_pin && !l->pin.len)) {
        err_set(err, ERR_LOCKED, "den's signer ended, and its keys are %s", lock_of(l));
        return say_bring(l, err);
    }
    return (!l->is_sealed || put_secret(&l->passphrase, &fds[1], err)) &&
           (!l->has_pin || put_secret(&l->pin, &fds[2], err));
}

static void close_all(const int fds[N_CHILD_FDS])
{
    for (int i = 0; i < N_CHILD_FDS; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* On false it leaves what is open in `fds` to the caller, as it does on true. */
static bool spawn(struct signer_link *l, const char *program, int fds[N_CHILD_FDS], struct err *err)
{
    _free_ char *fd = mem_format("%d", CHILD_FD), *passphrase_fd = mem_format("%d", PASSPHRASE_FD),
                *pin_fd = mem_format("%d", PIN_FD), *self = mem_text(program);
    char passphrase[] = "--passphrase-fd", pin[] = "--pin-fd";
    char *argv[16] = {
        self, (char[]){ "run" },          (char[]){ "--folder" }, l->dir, (char[]){ "--fd" },
        fd,   (char[]){ "--log-format" }, l->log_format
    };
    size_t n = 8;
    int pair[2];

    if (!put_secrets(l, fds, err))
        return false;
    if (fds[1] >= 0) {
        argv[n++] = passphrase;
        argv[n++] = passphrase_fd;
    }
    if (fds[2] >= 0) {
        argv[n++] = pin;
        argv[n++] = pin_fd;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return err_errno(err, "signer");
    fds[0] = pair[1];
    l->pid = fork();
    if (l->pid == 0)
        become(program, argv, fds);
    if (l->pid > 0) {
        l->fd = pair[0];
        return true;
    }
    l->pid = 0;
    close(pair[0]);
    return err_errno(err, "signer");
}

static bool start(struct signer_link *l, struct err *err)
{
    int fds[N_CHILD_FDS] = { -1, -1, -1 };
    _free_ char *program = NULL;
    bool ok = find_program(&program, err) && spawn(l, program, fds, err);

    close_all(fds);
    return ok;
}

static bool reach(struct signer_link *l, struct err *err)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int fd;

    if (strlen(l->socket) >= sizeof(to.sun_path))
        return err_set(err, ERR_BAD_CONFIG, "signer: %s is too long for a socket", l->socket);
    snprintf(to.sun_path, sizeof(to.sun_path), "%s", l->socket);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0) {
        err_errno(err, "signer: %s", l->socket);
        if (fd >= 0)
            close(fd);
        return false;
    }
    l->fd = fd;
    return true;
}

static bool open_link(struct signer_link *l, struct err *err)
{
    uint64_t now = clock_mono_ms();

    if (now < l->retry_at)
        return say_not_there(l, err);
    if (!has_ended(l, err) || !(l->socket ? reach(l, err) : start(l, err))) {
        l->retry_at = now + l->pause;
        l->pause = min_u64(2 * l->pause, l->socket ? MOST_TO_REACH : MOST_PAUSE);
        return false;
    }
    l->opened_at = now;
    l->generation++;
    return true;
}

/* ---- questions and their answers -------------------------------------------------------------------------- */

enum { CHUNK = 64 * 1024 };

/* What the kernel takes at once. */
static bool give(struct signer_link *l)
{
    while (l->out.len) {
        ssize_t n = send(l->fd, l->out.data, l->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        buf_drop_front(&l->out, (size_t)n);
    }
    return true;
}

/* What is there. */
static bool take(struct signer_link *l)
{
    for (;;) {
        ssize_t n = recv(l->fd, buf_grow(&l->in, CHUNK), CHUNK, MSG_DONTWAIT);
        int number = errno;
        l->in.len -= n > 0 ? CHUNK - (size_t)n : CHUNK;
        if (n < 0 && number == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && number == EAGAIN;
        if (n < CHUNK || l->in.len > VAULT_MAX_ANSWER + VAULT_HEAD)
            return true; /* enough to look at first */
    }
}

/* Both at once: whoever only gave would wait for ever for one that wants to be rid of its answers first. */
static bool move(struct signer_link *l)
{
    if (give(l) && take(l))
        return true;
    lost(l, "it gave no answer");
    return false;
}

/* A whole answer at the front of what came; `ret_len` without its head. */
static bool is_whole(const struct signer_link *l, uint32_t *ret_len)
{
    struct view rest = buf_view(&l->in);

    return view_take_u32(&rest, ret_len) && *ret_len <= rest.len;
}

static bool is_too_large(const struct signer_link *l)
{
    struct view rest = buf_view(&l->in);
    uint32_t len;

    return view_take_u32(&rest, &len) && len > VAULT_MAX_ANSWER;
}

static void note_pace(struct signer_link *l, uint64_t took)
{
    uint64_t now = clock_mono_ms();

    if (!l->is_turning || took > PATIENCE) /* it starts, or it did hang */
        return;
    if (took >= l->slowest || now >= l->slowest_at + REMEMBERED)
        l->slowest = took;
    if (2 * took >= l->slowest)
        l->slowest_at = now;
}

/* For what nobody stands and waits for. One that answers, but slowly (a disk that takes its time to keep what it signed),
 * would never have anything signed if each of its answers came too late. */
static uint64_t patience_of(const struct signer_link *l)
{
    bool is_slow = clock_mono_ms() < l->slowest_at + REMEMBERED;

    if (!l->is_turning)
        return PATIENCE;
    return min_u64(PATIENCE,
                   is_slow && 2 * l->slowest > TURNING_FOR ? 2 * l->slowest : TURNING_FOR);
}

/* Only a whole answer counts: one that comes a byte at a time would hold up everybody else's. */
static uint64_t overdue_at(const struct signer_link *l)
{
    return l->waits_at + patience_of(l);
}

static bool is_overdue(const struct signer_link *l)
{
    uint32_t len;

    return l->n_asked && !is_whole(l, &len) && clock_mono_ms() >= overdue_at(l);
}

static void wait_for_more(struct signer_link *l, uint64_t until)
{
    struct pollfd p = { .fd = l->fd, .events = (short)(POLLIN | (l->out.len ? POLLOUT : 0)) };
    uint64_t now = clock_mono_ms();

    poll(&p, 1, now < until ? (int)(until - now) : 0);
}

/* Whether an answer is there to be taken; not without waiting for it, if need be as long as it may take. */
static bool look_for_one(struct signer_link *l, bool waits, uint32_t *ret_len)
{
    uint64_t held_until = clock_mono_ms() + (l->is_turning ? TURNING_FOR : PATIENCE);

    while (l->n_asked && !is_whole(l, ret_len)) {
        if (!move(l))
            return false;
        if (is_whole(l, ret_len))
            break;
        if (is_too_large(l)) {
            lost(l, "its answer is too large");
            return false;
        }
        if (is_overdue(l) || (waits && clock_mono_ms() >= held_until)) {
            give_up(l);
            return false;
        }
        if (!waits)
            return false;
        wait_for_more(l, min_u64(overdue_at(l), held_until));
    }
    return l->n_asked != 0;
}

bool signer_link_send(void *link, struct view request, struct err *err)
{
    struct signer_link *l = link;

    if (l->hangs)
        return say_hangs(l, err);
    if (l->fd < 0 && !open_link(l, err))
        return false;
    if (l->n_asked++ == 0)
        l->waits_at = clock_mono_ms();
    buf_put_u32(&l->out, (uint32_t)request.len);
    buf_put(&l->out, request);
    /* Nothing is read here: what came waits where its reader is told of it. If it is lost by that, its answer tells. */
    if (!give(l))
        lost(l, "it takes no questions");
    return true;
}

/* A child whose keys are locked said why in a line of its own; nobody but den's operator starts another. */
static bool say_ended(const struct signer_link *l, struct err *err)
{
    if (!is_locked(l) || l->socket)
        return err_set(err, ERR_BUSY, "den's signer ended; it is started again: try again soon");
    err_set(err, ERR_BUSY, "den's signer ended, and its keys are %s", lock_of(l));
    return err_advise(
        err, "start den again, with what opens the keys; the line before says why it ended");
}

bool signer_link_receive(void *link, bool waits, struct buf *answer, bool *ret_is_there,
                         struct err *err)
{
    struct signer_link *l = link;
    uint32_t len = 0;

    *ret_is_there = true;
    if (l->n_lost == 0 && look_for_one(l, waits, &len)) {
        buf_put(answer, view_sub(buf_view(&l->in), VAULT_HEAD, len));
        buf_drop_front(&l->in, VAULT_HEAD + len);
        l->n_asked--;
        note_pace(l, clock_mono_ms() - l->waits_at);
        l->waits_at = clock_mono_ms();
        return true;
    }
    if (l->n_lost) {
        l->n_lost--;
        return l->hangs ? say_hangs(l, err) : say_ended(l, err);
    }
    *ret_is_there = false;
    return true;
}

int signer_link_fd(const struct signer_link *l)
{
    return l->fd;
}

/* The answers that nobody waits for any more. */
static void skip(struct signer_link *l)
{
    uint32_t len;

    while (l->n_skipped && move(l) && is_whole(l, &len)) {
        buf_drop_front(&l->in, VAULT_HEAD + len);
        l->n_skipped--;
        note_pace(l, clock_mono_ms() - l->waits_at);
        l->waits_at = clock_mono_ms();
    }
    if (l->hangs && is_too_large(l))
        lost(l, "its answer is too large");
    if (!l->hangs || l->n_skipped)
        return;
    l->hangs = false;
    log_event(LOG_INFO, "signer.back", "after_ms=%" PRIu64, clock_mono_ms() - l->hangs_at);
}

static void look_at_hanging(struct signer_link *l)
{
    skip(l);
    if (l->hangs && may_restart(l) && clock_mono_ms() >= l->hangs_at + STUCK_FOR)
        lost(l, "it hangs");
}

bool signer_link_look(struct signer_link *l)
{
    struct err err = { 0 };

    if (l->fd >= 0 && is_overdue(l) && move(l) && is_overdue(l))
        give_up(l);
    if (l->hangs)
        look_at_hanging(l);
    struct pollfd p = { .fd = l->fd, .events = POLLIN };
    if (l->fd >= 0 && !l->n_asked && !l->hangs &&
        poll(&p, 1, 0) > 0) /* whatever it is, it is its end */
        lost(l, "it hung up");
    if (l->fd >= 0)
        return !l->hangs;
    if (clock_mono_ms() < l->retry_at)
        return false;
    if (open_link(l, &err))
        return true;
    log_event(LOG_ERROR, "signer.not_there", "code=%s cause=%s again_in_ms=%" PRIu64,
              err_code_name(err.code), log_quote_text(err.text), l->retry_at - clock_mono_ms());
    return false;
}

bool signer_link_is_over(const struct signer_link *l, struct err *ret_why)
{
    if (!is_locked(l) || l->passphrase.len || l->pin.len || l->fd >= 0 || l->generation == 0)
        return false;
    err_set(ret_why, ERR_LOCKED, "den's signer ended, and its keys are %s: start den again with it",
            lock_of(l));
    say_bring(l, ret_why);
    return true;
}

bool signer_link_is_there(const struct signer_link *link)
{
    return link->fd >= 0 && !link->hangs;
}
