/* SPDX-License-Identifier: Apache-2.0 */
/* One call that `warren serve` answers by running a command: its process group, its input and its output. */
#pragma once

#include "rpc.h"

#include <poll.h>
#include <sys/types.h>

enum { JOB_MAX_OUT = PEER_MAX_VALUES, JOB_ERR = 4096, JOB_FDS = 4 };

struct job {
    struct job *next;
    struct peer_invocation *invocation; /* NULL: nobody waits for the answer any more */
    char caller[80], role[40], procedure[260];
    unsigned long long session;
    bool wants_parts;

    char *in; /* JSON for its standard input */
    size_t n_in, in_at;
    char *out; /* what it printed and was not sent as a part */
    size_t n_out;
    char err[JOB_ERR]; /* the end of its standard error */
    size_t n_err, err_line;

    pid_t pid; /* 0: it waits for its turn */
    int fd_in, fd_out, fd_err, fd_pid;
    unsigned long long kill_at; /* SIGKILL follows SIGTERM then; 0: was not asked to end */
    bool has_ended, is_too_large;
    int wait_status;
};

struct job_world {
    char *const *command;
    const char *id, *network;
};

struct job *job_new(const struct peer_event *event); /* INVOCATION */
void job_free(struct job *job);
/* False: errno says why. */
bool job_start(struct job *job, const struct job_world *world);
/* SIGTERM to its group, SIGKILL five seconds later. */
void job_stop(struct job *job);
/* Appends what to poll(2) for; returns how many. */
unsigned long job_fds(const struct job *job, struct pollfd to[JOB_FDS]);
/* Moves bytes, notices the end. `say`: a whole line of its standard error. */
void job_turn(struct job *job, const struct pollfd *fds, unsigned long n);
