/* SPDX-License-Identifier: Apache-2.0 */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KILL_AFTER_MS = 5000, MAX_ENV = 8 };

extern char **environ;

/* The arguments as one line of JSON, and the keywords as a second one when there are some. */
static void put_input(struct job *job, const struct peer_values *values)
{
    struct peer_error error;
    FILE *out = open_memstream(&job->in, &job->n_in);
    char *args = peer_json_from_msgpack(values->args, values->args_size, &error), *kwargs = NULL;

    if (!out)
        abort();
    if (values->kwargs_size)
        kwargs = peer_json_from_msgpack(values->kwargs, values->kwargs_size, &error);
    fprintf(out, "%s\n", args ? args : "[]");
    if (kwargs && strcmp(kwargs, "{}") != 0)
        fprintf(out, "%s\n", kwargs);
    fclose(out);
    free(args);
    free(kwargs);
}

struct job *job_new(const struct peer_event *event)
{
    const struct peer_message *message = event->message;
    struct job *job = calloc(1, sizeof(*job));

    if (!job)
        abort();
    job->invocation = event->invocation;
    job->wants_parts = message->progress;
    job->session = message->remote_session;
    snprintf(job->caller, sizeof(job->caller), "%s", message->remote_id);
    snprintf(job->role, sizeof(job->role), "%s", message->remote_role);
    snprintf(job->procedure, sizeof(job->procedure), "%s", message->uri);
    job->fd_in = job->fd_out = job->fd_err = job->fd_pid = -1;
    put_input(job, &message->values);
    return job;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void job_free(struct job *job)
{
    close_fd(&job->fd_in);
    close_fd(&job->fd_out);
    close_fd(&job->fd_err);
    close_fd(&job->fd_pid);
    free(job->in);
    free(job->out);
    free(job);
}

/* ---- starting ---- */

static char *variable(const char *name, const char *value)
{
    char *text = NULL;

    if (asprintf(&text, "%s=%s", name, value) < 0)
        abort();
    return text;
}

/* Our environment with ours in front, so that nothing inherited stands for a caller. */
static char **environment(const struct job *job, const struct job_world *world, char *own[MAX_ENV])
{
    char session[24], **all;
    size_t n = 0, n_own = 0;

    snprintf(session, sizeof(session), "%llu", job->session);
    own[n_own++] = variable("WARREN_CALLER", job->caller);
    own[n_own++] = variable("WARREN_CALLER_ROLE", job->role);
    own[n_own++] = variable("WARREN_CALLER_SESSION", session);
    own[n_own++] = variable("WARREN_PROCEDURE", job->procedure);
    own[n_own++] = variable("WARREN_ID", world->id);
    own[n_own++] = variable("WARREN_NETWORK", world->network);
    own[n_own++] = variable("WARREN_PROGRESS", job->wants_parts ? "1" : "0");
    own[n_own] = NULL;
    while (environ[n])
        n++;
    all = calloc(n + n_own + 1, sizeof(*all));
    if (!all)
        abort();
    memcpy(all, own, n_own * sizeof(*own));
    for (size_t i = 0; i < n; i++) {
        if (strncmp(environ[i], "WARREN_", 7) != 0)
            all[n_own++] = environ[i];
    }
    return all;
}

static int spawn(struct job *job, const struct job_world *world, const int theirs[3])
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char *own[MAX_ENV + 1], **env = environment(job, world, own);
    sigset_t none, all;
    int failed;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < 3; i++)
        posix_spawn_file_actions_adddup2(&actions, theirs[i], i);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3); /* no socket or key of ours */
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0); /* a group of its own, to be ended as one */
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    failed = posix_spawnp(&job->pid, world->command[0], &actions, &attributes, world->command, env);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    for (size_t i = 0; own[i]; i++)
        free(own[i]);
    free(env);
    return failed;
}

/* Ours never blocks, and none of them is in a way of the first three. */
static bool make_pipe(int *ret_ours, int *ret_theirs, bool is_input)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    *ret_ours = ends[is_input ? 1 : 0];
    *ret_theirs = fcntl(ends[is_input ? 0 : 1], F_DUPFD_CLOEXEC, 3);
    close(ends[is_input ? 0 : 1]);
    fcntl(*ret_ours, F_SETFL, O_NONBLOCK);
    return *ret_theirs >= 0;
}

bool job_start(struct job *job, const struct job_world *world)
{
    int theirs[3] = { -1, -1, -1 }, failed = 0;

    if (!make_pipe(&job->fd_in, &theirs[0], true) || !make_pipe(&job->fd_out, &theirs[1], false) ||
        !make_pipe(&job->fd_err, &theirs[2], false))
        failed = errno;
    if (!failed)
        failed = spawn(job, world, theirs);
    for (int i = 0; i < 3; i++)
        close_fd(&theirs[i]);
    if (!failed)
        job->fd_pid = pidfd_open(job->pid, 0);
    errno = failed;
    return !failed;
}

/* ---- running ---- */

void job_stop(struct job *job)
{
    if (job->pid && !job->has_ended && job->kill_at == 0) {
        kill(-job->pid, SIGTERM);
        job->kill_at = cli_now() + KILL_AFTER_MS;
    }
}

unsigned long job_fds(const struct job *job, struct pollfd to[JOB_FDS])
{
    unsigned long n = 0;

    if (job->fd_in >= 0)
        to[n++] = (struct pollfd){ job->fd_in, POLLOUT, 0 };
    if (job->fd_out >= 0)
        to[n++] = (struct pollfd){ job->fd_out, POLLIN, 0 };
    if (job->fd_err >= 0)
        to[n++] = (struct pollfd){ job->fd_err, POLLIN, 0 };
    if (job->fd_pid >= 0)
        to[n++] = (struct pollfd){ job->fd_pid, POLLIN, 0 };
    return n;
}

static void write_input(struct job *job)
{
    ssize_t n = write(job->fd_in, job->in + job->in_at, job->n_in - job->in_at);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    job->in_at += n > 0 ? (size_t)n : 0;
    if (n <= 0 || job->in_at == job->n_in) /* it need not read all */
        close_fd(&job->fd_in);
}

static void read_output(struct job *job)
{
    char bytes[65536];
    ssize_t n = read(job->fd_out, bytes, sizeof(bytes));

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        close_fd(&job->fd_out);
        return;
    }
    if (job->n_out + (size_t)n > JOB_MAX_OUT) {
        job->is_too_large = true;
        job_stop(job);
        return;
    }
    job->out = realloc(job->out, job->n_out + (size_t)n + 1);
    if (!job->out)
        abort();
    memcpy(job->out + job->n_out, bytes, (size_t)n);
    job->n_out += (size_t)n;
}

/* Passed on line by line; its end is kept for the caller. */
static void take_err(struct job *job, const char *bytes, size_t n)
{
    fflush(stderr);
    if (write(STDERR_FILENO, bytes, n) < 0) { /* nobody reads it */
    }
    if (n >= sizeof(job->err)) {
        bytes += n - sizeof(job->err);
        n = sizeof(job->err);
    }
    if (job->n_err + n > sizeof(job->err)) {
        size_t gone = job->n_err + n - sizeof(job->err);
        memmove(job->err, job->err + gone, job->n_err - gone);
        job->n_err -= gone;
    }
    memcpy(job->err + job->n_err, bytes, n);
    job->n_err += n;
}

static void read_err(struct job *job)
{
    char bytes[4096];
    ssize_t n = read(job->fd_err, bytes, sizeof(bytes));

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        close_fd(&job->fd_err);
    else
        take_err(job, bytes, (size_t)n);
}

/* What its children hold open after it is not waited for, but what it wrote is read. */
static void notice_end(struct job *job)
{
    size_t before;

    if (waitpid(job->pid, &job->wait_status, WNOHANG) != job->pid)
        return;
    job->has_ended = true;
    do {
        before = job->n_out;
        if (job->fd_out >= 0)
            read_output(job);
    } while (job->fd_out >= 0 && job->n_out > before);
    if (job->fd_err >= 0)
        read_err(job);
    kill(-job->pid, SIGTERM); /* of its group, what is left */
    close_fd(&job->fd_in);
    close_fd(&job->fd_out);
    close_fd(&job->fd_err);
    close_fd(&job->fd_pid);
}

void job_turn(struct job *job, const struct pollfd *fds, unsigned long n)
{
    for (unsigned long i = 0; i < n; i++) {
        if (!fds[i].revents)
            continue;
        if (fds[i].fd == job->fd_in)
            write_input(job);
        else if (fds[i].fd == job->fd_out)
            read_output(job);
        else if (fds[i].fd == job->fd_err)
            read_err(job);
        else if (fds[i].fd == job->fd_pid)
            notice_end(job);
    }
    if (job->fd_pid < 0 && !job->has_ended)
        notice_end(job);
    if (job->kill_at && !job->has_ended && cli_now() >= job->kill_at) {
        kill(-job->pid, SIGKILL);
        job->kill_at = cli_now() + KILL_AFTER_MS;
    }
}
